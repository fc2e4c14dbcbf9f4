//! Where a city's abandonment budget comes from: a window of its own, or shares of the mesh's, lent
//! by one directory as in the product (`ledger`, `permit`): by what each would like to hold, usable
//! for two minutes without another word.

use crate::center::{Time, instant, time};
use domain::limits;
use pacing::{Budget, Window};

/// What a node would like to hold beside its lines (`engine::escrow`).
const BESIDE: u32 = 16;

/// A city's budget.
#[derive(Debug)]
pub(crate) enum Purse {
    /// All of a window.
    Own(Window),
    /// What the directory has lent.
    Lent(Share),
}

/// What a city holds of the mesh's budget, and what it has not told yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    permille: u16,
    /// Whole abandonments; below zero when more happened than was held.
    held: i64,
    ends: Time,
    answers: u32,
    abandoned: u32,
}

impl Purse {
    pub(crate) fn lent(permille: u16) -> Self {
        Self::Lent(Share {
            permille,
            ..Share::default()
        })
    }

    pub(crate) fn note_answer(&mut self, now: Time) {
        match self {
            Self::Own(window) => window.note_answer(instant(now)),
            Self::Lent(share) => share.answers += 1,
        }
    }

    pub(crate) fn note_abandoned(&mut self, now: Time) {
        match self {
            Self::Own(window) => window.note_abandoned(instant(now)),
            Self::Lent(share) => {
                share.abandoned += 1;
                share.held -= 1;
            }
        }
    }

    /// What may be abandoned; none where a share has ended.
    pub(crate) fn budget(&mut self, now: Time) -> Option<Budget> {
        match self {
            Self::Own(window) => Some(window.budget(instant(now))),
            Self::Lent(share) => (now < share.ends).then_some(Budget {
                permille: share.permille,
                left: share.held * 1000,
            }),
        }
    }
}

/// Counts the mesh's answers and abandonments and lends what is left.
#[derive(Debug)]
pub(crate) struct Directory {
    window: Window,
    /// What each city holds and would like to hold.
    cities: Vec<(i64, u32)>,
}

impl Directory {
    pub(crate) fn new(window: Window, cities: usize) -> Self {
        Self {
            window,
            cities: vec![(0, 0); cities],
        }
    }

    /// A city tells what happened, gives back what is more than its part and not at risk, and gets
    /// what is missing to it. With a `level` of lines for each of its agents it would like to hold
    /// as many as its lines could let down.
    pub(crate) fn exchange(&mut self, now: Time, city: usize, purse: &mut Purse, ask: Ask) {
        let Purse::Lent(share) = purse else { return };
        for _ in 0..std::mem::take(&mut share.answers) {
            self.window.note_answer(instant(now));
        }
        for _ in 0..std::mem::take(&mut share.abandoned) {
            self.window.note_abandoned(instant(now));
        }
        let want = if ask.agents == 0 {
            0
        } else {
            ask.level.lines(ask.agents) + BESIDE
        };
        self.cities[city] = (share.held.max(0), want);
        let out: i64 = self.cities.iter().map(|(held, _)| held).sum();
        let wants: u64 = self.cities.iter().map(|(_, want)| u64::from(*want)).sum();
        let pool = self.window.left(instant(now)).div_euclid(1000);
        let free = pool - out;
        let part = (pool.max(0) as u64 * u64::from(want)).div_ceil(wants.max(1));
        let part = (part as i64).min(i64::from(want));
        let keep = match free {
            1.. => i64::from(want),
            0 => part,
            _ => share.held + free,
        };
        let held = share.held.max(0);
        if held > keep.max(i64::from(ask.at_risk)) {
            share.held = keep.max(i64::from(ask.at_risk));
        } else if held < part {
            share.held += (part - held).min(free.max(0));
        }
        self.cities[city].0 = share.held.max(0);
        if free >= 0 || share.held <= 0 {
            share.ends = now + time(limits::ESCROW_LIFE.as_secs_f64());
        }
    }
}

/// What a city says of itself when it asks for its share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) level: domain::DialLevel,
    pub(crate) agents: u32,
    /// Persons whom its lines could let down now.
    pub(crate) at_risk: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::DialLevel;
    use std::time::Duration;

    #[test]
    fn shares_never_come_to_more_than_is_left() {
        let window = Window::new(30, Duration::from_secs(30 * 86_400));
        let mut directory = Directory::new(window, 2);
        let mut purses = [Purse::lent(30), Purse::lent(30)];
        let ask = Ask {
            level: DialLevel(1000),
            agents: 10,
            at_risk: 0,
        };
        for n in 0..2000u64 {
            let now = time(n as f64);
            let city = n as usize % 2;
            purses[city].note_answer(now);
            if n % 200 == 0 && purses[city].budget(now).is_some_and(|b| b.left >= 1000) {
                purses[city].note_abandoned(now);
            }
            directory.exchange(now, city, &mut purses[city], ask);
            let out: i64 = directory.cities.iter().map(|(held, _)| held).sum();
            assert!(out <= directory.window.left(instant(now)) / 1000 + 1, "{n}");
        }
        let end = time(2000.0);
        let left = purses.map(|mut purse| purse.budget(end).expect("it was just lent").left);
        assert!(
            left[0] > 5000 && (left[0] - left[1]).abs() <= 2000,
            "{left:?}"
        );
        let late = time(2121.0);
        let mut gone = Purse::lent(30);
        directory.exchange(end, 0, &mut gone, ask);
        assert_eq!(gone.budget(late), None);
    }
}
