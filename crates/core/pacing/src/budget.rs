//! The abandonment budget over a rolling window: what was spent, what is left, and what will be
//! left when today's good hours drop out of the window.
//!
//! A node's budget is its share of what the directory counts, by the same rule (`ledger`); here the
//! rule stands for one lone window, as the simulator measures controllers by.

use domain::Instant;
use std::time::Duration;

/// Slots of a [`Window`]. Ends are rounded by one slot, always to the careful side.
const SLOTS: usize = 1024;
/// The budget must outlast so long without a single answer: an outage of a carrier.
const DROUGHT: Duration = Duration::from_secs(30 * 60);

/// What a campaign may still abandon, as a controller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// At most so many thousandths of the live answers of the window may be abandoned.
    pub permille: u16,
    /// Abandonments left, in thousandths of a call; negative when overspent ([`Window::left`]).
    pub left: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    answers: u32,
    abandoned: u32,
}

/// Live answers and abandonments over a rolling window. Allocates once, when made.
#[derive(Clone, Debug)]
pub struct Window {
    permille: u16,
    slot: Duration,
    slots: Box<[Slot; SLOTS]>,
    /// Number of the slot being written since [`Instant::ZERO`].
    current: u64,
    /// [`Window::left`] as last computed; none when something changed since.
    left: Option<i64>,
}

impl Window {
    /// An empty window: nothing may be abandoned until enough persons answered. A `window` of zero
    /// counts as the shortest there is.
    pub fn new(permille: u16, window: Duration) -> Self {
        let slots = u32::try_from(SLOTS - 1).expect("a small constant");
        Self {
            permille,
            slot: (window / slots).max(Duration::from_millis(1)),
            slots: Box::new([Slot::default(); SLOTS]),
            current: 0,
            left: Some(0),
        }
    }

    /// A live answer: a person who needs an agent.
    pub fn note_answer(&mut self, now: Instant) {
        self.turn(now);
        self.slots[self.current as usize % SLOTS].answers += 1;
        self.left = None;
    }

    /// One of those found no agent within the limit.
    pub fn note_abandoned(&mut self, now: Instant) {
        self.turn(now);
        self.slots[self.current as usize % SLOTS].abandoned += 1;
        self.left = None;
    }

    /// Live answers and abandonments in the window.
    pub fn counts(&mut self, now: Instant) -> (u64, u64) {
        self.turn(now);
        self.slots.iter().fold((0, 0), |(n, a), slot| {
            (n + u64::from(slot.answers), a + u64::from(slot.abandoned))
        })
    }

    /// The budget for a controller.
    pub fn budget(&mut self, now: Instant) -> Budget {
        Budget {
            permille: self.permille,
            left: self.left(now),
        }
    }

    /// Abandonments left, in thousandths of a call.
    ///
    /// The least of what is left now, and of what would be left, with one call's grace, at any
    /// later moment if nobody were abandoned from now on, nobody answered for half an hour, and
    /// from then on half as many persons as drop out of the window. So a good morning cannot be
    /// spent in one bad hour that outlives it.
    pub fn left(&mut self, now: Instant) -> i64 {
        self.turn(now);
        if let Some(left) = self.left {
            return left;
        }
        let permille = i64::from(self.permille);
        let (mut answers, mut abandoned) = (0i64, 0i64);
        for slot in self.slots.iter() {
            answers += i64::from(slot.answers);
            abandoned += i64::from(slot.abandoned);
        }
        let all = answers;
        let drought = (DROUGHT.as_nanos() / self.slot.as_nanos()) as usize + 1;
        let (mut left, mut dry) = (i64::MAX, 0);
        for gone in 0..SLOTS {
            // Answers leave with their slot's beginning, abandonments with its end.
            let slot = self.slots[(self.current as usize + 1 + gone) % SLOTS];
            answers -= i64::from(slot.answers);
            if gone == drought {
                dry = all - answers;
            }
            let hoped = if gone >= drought {
                (all - answers - dry) / 2
            } else {
                0
            };
            let grace = if gone == 0 { 0 } else { 1000 };
            left = left.min(permille * (answers + hoped) - 1000 * abandoned + grace);
            abandoned -= i64::from(slot.abandoned);
        }
        self.left = Some(left);
        left
    }

    fn turn(&mut self, now: Instant) {
        let number = (u128::from(now.as_nanos()) / self.slot.as_nanos()) as u64;
        if number <= self.current {
            return;
        }
        let fresh = (number - self.current).min(SLOTS as u64);
        for ahead in 1..=fresh {
            self.slots[(self.current + ahead) as usize % SLOTS] = Slot::default();
        }
        // After a leap longer than the window everything was cleared, whatever the place.
        if number - self.current > fresh {
            self.slots.fill(Slot::default());
        }
        self.current = number;
        self.left = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn an_empty_window_has_nothing_left() {
        let mut window = Window::new(30, Duration::from_secs(86_400));
        assert_eq!(window.left(at(5)), 0);
        window.note_abandoned(at(5));
        assert_eq!(window.left(at(5)), -1000);
    }

    #[test]
    fn answers_earn_and_abandonments_spend() {
        let mut window = Window::new(30, Duration::from_secs(30 * 86_400));
        for n in 0..1000 {
            window.note_answer(at(n * 60_000));
        }
        // Thirty were earned; half of them, and one, may go at once.
        assert_eq!(window.left(at(DAY)), 16_000);
        for left in (0..16).rev() {
            window.note_abandoned(at(DAY));
            assert_eq!(window.left(at(DAY)), left * 1000);
        }
        assert_eq!(window.counts(at(DAY)), (1000, 16));
        assert_eq!(window.counts(at(40 * DAY)), (0, 0));
        assert_eq!(window.left(at(4000 * DAY)), 0);
    }

    #[test]
    fn what_a_good_hour_earned_is_not_wholly_spent_later() {
        // 1,000 answers in the window's oldest hour, none since: they are about to leave.
        let mut window = Window::new(30, Duration::from_secs(86_400));
        for n in 0..1000 {
            window.note_answer(at(n * 3600));
        }
        assert_eq!(window.left(at(DAY / 2)), 16_000);
        // Half of them are gone and nobody answered since: the rest will be gone in half an hour.
        let late = DAY + 1_800_000;
        assert_eq!(window.left(at(late)), 1000);
        for _ in 0..10 {
            window.note_abandoned(at(late));
        }
        assert_eq!(window.left(at(late)), -9000);
    }

    #[test]
    fn a_steady_campaign_may_spend_nearly_all_it_earned() {
        let mut window = Window::new(30, Duration::from_secs(86_400));
        for n in 0..3000u64 {
            let now = at(n * 60_000);
            window.note_answer(now);
            if n % 40 == 39 {
                window.note_abandoned(now);
            }
        }
        // 1,440 in the window earn 43.2; 36 were spent.
        let left = window.left(at(3000 * 60_000));
        assert!((4_000..=7_200).contains(&left), "{left}");
    }
}
