//! What a member knows of the others' calendars, and which calendar it goes by.
//!
//! Calling windows are judged by the calendar, so a machine whose clock is wrong dials at night. A
//! member therefore asks the others what time it is and goes by the majority: by its own clock while
//! that agrees with most, by theirs when it does not, by none when nobody can tell who is right.

use crate::{Instant, MemberId, Now, WallTime, limits};
use std::cmp::Reverse;

/// One member's calendar, as it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heard {
    member: MemberId,
    /// Its calendar less our steady clock, in milliseconds.
    ahead: i64,
    /// By how much that may be wrong, in milliseconds: half of the way there and back.
    within: i64,
    /// When that was measured.
    measured: Instant,
    /// When it answered last.
    at: Instant,
}

impl Heard {
    /// By how much `ahead` may be wrong at `now`, in milliseconds: two clocks may have drifted since.
    fn within(&self, now: Instant) -> i64 {
        let age = now.since(self.measured).as_millis() / limits::CLOCK_DRIFT_ONE_IN;
        i64::try_from(age).map_or(i64::MAX, |drift| self.within.saturating_add(drift))
    }
}

/// The calendars of other members, at most [`limits::MESH_CLOCKS`] of them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MeshClock {
    heard: Vec<Heard>,
}

/// Which calendar a member goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockVerdict {
    /// Nobody else was heard: its own.
    Alone,
    /// Its own: it agrees with the majority, itself included.
    Agrees,
    /// That of the others, who agree with each other and are more than half of all.
    Corrected {
        /// Milliseconds by which the own calendar is ahead of theirs.
        ahead: i64,
    },
    /// None: there is no majority. No INVITE may leave.
    Disputed {
        /// Milliseconds by which the own calendar is ahead of the nearest other one.
        ahead: i64,
    },
}

impl ClockVerdict {
    /// Whether nobody can tell what time it is.
    pub const fn is_disputed(self) -> bool {
        matches!(self, Self::Disputed { .. })
    }

    /// Milliseconds by which the own calendar is wrong, as far as is known.
    pub const fn ahead(self) -> i64 {
        match self {
            Self::Alone | Self::Agrees => 0,
            Self::Corrected { ahead } | Self::Disputed { ahead } => ahead,
        }
    }
}

/// A calendar less a steady clock, in milliseconds.
fn ahead(wall: WallTime, monotonic: Instant) -> i64 {
    let steady = i64::try_from(monotonic.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
    wall.as_millis().saturating_sub(steady)
}

fn agree(a: i64, b: i64) -> bool {
    u128::from(a.abs_diff(b)) <= limits::CLOCK_TOLERANCE.as_millis()
}

impl MeshClock {
    /// A member was asked at `sent` and its answer `wall` came at `received`. An answer that was
    /// long on its way says little: beyond half of [`limits::CLOCK_TOLERANCE`] it is not taken, and
    /// one that agrees with what an earlier and quicker one said does not replace it. At the bound
    /// the oldest one goes.
    pub fn heard(&mut self, member: MemberId, sent: Instant, received: Instant, wall: WallTime) {
        let way = received.since(sent);
        if way > limits::CLOCK_TOLERANCE / 2 {
            return;
        }
        let new = Heard {
            member,
            ahead: ahead(wall, sent + way / 2),
            // Calendars are told in whole milliseconds.
            within: i64::try_from(way.as_millis() / 2).map_or(i64::MAX, |half| half + 1),
            measured: received,
            at: received,
        };
        if let Some(old) = self.heard.iter_mut().find(|h| h.member == member) {
            let within = old.within(received);
            let apart = old.ahead.abs_diff(new.ahead);
            let agrees = apart <= within.saturating_add(new.within).unsigned_abs();
            if within < new.within && agrees {
                old.at = received;
            } else {
                *old = new;
            }
            return;
        }
        if self.heard.len() == limits::MESH_CLOCKS {
            let oldest = self.heard.iter().map(|h| h.at).min();
            self.heard.retain(|h| Some(h.at) != oldest);
        }
        self.heard.push(new);
    }

    /// Forgets what was heard too long ago: steady clocks drift.
    pub fn forget_old(&mut self, now: Instant) {
        (self.heard).retain(|h| now.since(h.at) <= limits::CLOCK_MEMORY);
    }

    /// How many calendars are known.
    pub fn known(&self) -> usize {
        self.heard.len()
    }

    /// Which calendar to go by, `own` being the machine's. Allocates nothing.
    pub fn verdict(&self, own: Now) -> ClockVerdict {
        if self.heard.is_empty() {
            return ClockVerdict::Alone;
        }
        let own = ahead(own.wall, own.monotonic);
        let all = self.heard.len() + 1;
        let others = |value: i64| self.heard.iter().filter(|h| agree(h.ahead, value)).count();
        if (others(own) + 1) * 2 > all {
            return ClockVerdict::Agrees;
        }
        // The calendar that most of the others agree with; of equals the smallest, so that all who
        // heard the same say the same.
        let most = (self.heard.iter())
            .map(|h| (others(h.ahead), h.ahead))
            .max_by_key(|(count, ahead)| (*count, Reverse(*ahead)));
        match most {
            Some((count, theirs)) if count * 2 > all => ClockVerdict::Corrected {
                ahead: own.saturating_sub(theirs),
            },
            _ => {
                let nearest = self.heard.iter().map(|h| own.saturating_sub(h.ahead));
                ClockVerdict::Disputed {
                    ahead: nearest.min_by_key(|d| d.unsigned_abs()).unwrap_or(0),
                }
            }
        }
    }

    /// The earliest of all calendars that are known, `own` being the machine's.
    fn earliest(&self, own: Now) -> WallTime {
        let mine = ahead(own.wall, own.monotonic);
        let least = self.heard.iter().map(|h| h.ahead).min().unwrap_or(mine);
        let behind = mine.saturating_sub(least.min(mine));
        WallTime::from_millis(own.wall.as_millis().saturating_sub(behind))
    }

    /// The time that proposals carry, `own` being the machine's. A group's calendar takes the later of
    /// an entry's time and its own, and what rests by it must not rest too short: a calendar that goes
    /// by the others' is taken where it can be at the earliest, and while nobody can tell who is right
    /// the earliest of all counts.
    pub fn proposed(&self, own: Now) -> WallTime {
        let (wall, verdict) = self.wall(own);
        match verdict {
            ClockVerdict::Alone | ClockVerdict::Agrees => wall,
            ClockVerdict::Disputed { .. } => self.earliest(own),
            ClockVerdict::Corrected { ahead: by } => {
                let theirs = ahead(own.wall, own.monotonic).saturating_sub(by);
                let same = self.heard.iter().filter(|h| h.ahead == theirs);
                let within = same.map(|h| h.within(own.monotonic)).max().unwrap_or(0);
                WallTime::from_millis(wall.as_millis().saturating_sub(within))
            }
        }
    }

    /// The calendar to go by, and why.
    pub fn wall(&self, own: Now) -> (WallTime, ClockVerdict) {
        let verdict = self.verdict(own);
        let wall = match verdict {
            ClockVerdict::Corrected { ahead } => {
                WallTime::from_millis(own.wall.as_millis().saturating_sub(ahead))
            }
            _ => own.wall,
        };
        (wall, verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOUR: i64 = 3_600_000;
    /// How old an answer may be on arrival.
    const LONGEST_WAY: Duration = Duration::from_millis(2_500);

    fn now(wall: i64) -> Now {
        Now {
            monotonic: Instant::from_millis(1_000_000),
            wall: WallTime::from_millis(wall),
        }
    }

    fn hearing(walls: &[i64]) -> MeshClock {
        let mut clock = MeshClock::default();
        let at = now(0).monotonic;
        for (id, wall) in walls.iter().enumerate() {
            clock.heard(MemberId(id as u64), at, at, WallTime::from_millis(*wall));
        }
        clock
    }

    #[test]
    fn the_majority_is_right() {
        let noon = 1_800_000_000_000;
        let verdict = |walls: &[i64], own| hearing(walls).verdict(now(own));
        assert_eq!(verdict(&[], noon), ClockVerdict::Alone);
        assert_eq!(verdict(&[noon + 5_000], noon), ClockVerdict::Agrees);
        assert_eq!(
            verdict(&[noon + 5_001], noon),
            ClockVerdict::Disputed { ahead: -5_001 },
            "one against one"
        );
        assert_eq!(
            verdict(&[noon, noon + 1_000], noon + HOUR),
            ClockVerdict::Corrected { ahead: HOUR }
        );
        assert_eq!(verdict(&[noon, noon + HOUR], noon), ClockVerdict::Agrees);
        assert_eq!(
            verdict(&[noon, noon + HOUR], noon - HOUR),
            ClockVerdict::Disputed { ahead: -HOUR },
            "three opinions"
        );
        // Two of four is no majority.
        assert!(verdict(&[noon, noon + HOUR, noon + HOUR], noon).is_disputed());
        let (wall, _) = hearing(&[noon, noon, noon + HOUR]).wall(now(noon - HOUR));
        assert_eq!(wall.as_millis(), noon - HOUR, "two of four do not correct");
        let (wall, verdict) = hearing(&[noon, noon, noon]).wall(now(noon + HOUR));
        assert_eq!((wall.as_millis(), verdict.ahead()), (noon, HOUR));
    }

    #[test]
    fn a_calendar_that_is_no_calendar_is_judged_too() {
        let noon = 1_800_000_000_000;
        for wrong in [i64::MIN, i64::MAX] {
            let clock = hearing(&[wrong, noon, noon]);
            assert_eq!(clock.verdict(now(noon)), ClockVerdict::Agrees);
            assert!(hearing(&[wrong]).verdict(now(noon)).is_disputed());
            let lone = clock.verdict(now(noon + HOUR));
            assert!(lone.is_disputed(), "two of four: {lone:?}");
        }
    }

    #[test]
    fn the_earliest_of_all_is_never_ahead_of_the_one_that_is_right() {
        let noon = 1_800_000_000_000;
        let earliest = |walls: &[i64], own| hearing(walls).earliest(now(own)).as_millis();
        let disputed = hearing(&[noon]).proposed(now(noon + 72 * HOUR));
        assert_eq!(disputed.as_millis(), noon);
        assert_eq!(earliest(&[], noon), noon);
        assert_eq!(earliest(&[noon], noon + 72 * HOUR), noon, "one against one");
        assert_eq!(earliest(&[noon + 72 * HOUR], noon), noon);
        assert_eq!(earliest(&[noon, noon - HOUR], noon + HOUR), noon - HOUR);
    }

    #[test]
    fn a_jump_is_seen_at_once_and_time_goes_on_while_nobody_is_asked() {
        let noon = 1_800_000_000_000;
        let clock = hearing(&[noon, noon, noon]);
        let later = |wall| Now {
            monotonic: Instant::from_millis(1_060_000),
            wall: WallTime::from_millis(wall),
        };
        assert_eq!(clock.verdict(later(noon + 60_000)), ClockVerdict::Agrees);
        let (wall, _) = clock.wall(later(noon + 5 * HOUR));
        assert_eq!(wall.as_millis(), noon + 60_000);
    }

    #[test]
    fn a_quick_answer_says_more_than_a_slow_one_until_clocks_may_have_drifted() {
        let noon = 1_800_000_000_000;
        let ms = Duration::from_millis;
        let start = Instant::from_millis(1_000_000);
        let mut clock = MeshClock::default();
        // Who answers is `noon` at `start`; `there` and `back` are what the ways take.
        let ask = |clock: &mut MeshClock, at: u64, there: u64, back: u64, jumped: i64| {
            let sent = start + ms(at);
            let wall = noon + i64::try_from(at + there).unwrap() + jumped;
            let received = sent + ms(there + back);
            for id in [1, 2] {
                clock.heard(MemberId(id), sent, received, WallTime::from_millis(wall));
            }
        };
        // Our machine is an hour ahead: what it makes of the others' time, less the true one.
        let errors = |clock: &MeshClock, at: u64| {
            let truth = noon + i64::try_from(at).unwrap();
            let own = Now {
                monotonic: start + ms(at),
                wall: WallTime::from_millis(truth + HOUR),
            };
            let (wall, verdict) = clock.wall(own);
            assert!(matches!(verdict, ClockVerdict::Corrected { .. }));
            let proposed = clock.proposed(own).as_millis();
            (wall.as_millis() - truth, proposed - truth)
        };
        ask(&mut clock, 0, 400, 0, 0);
        assert_eq!(errors(&clock, 400), (200, -1), "nothing is proposed early");
        ask(&mut clock, 5_000, 0, 400, 0);
        assert_eq!(errors(&clock, 5_400), (-200, -401));
        ask(&mut clock, 10_000, 1, 1, 0);
        assert_eq!(errors(&clock, 10_002), (0, -2));
        ask(&mut clock, 15_000, 400, 0, 0);
        assert_eq!(
            errors(&clock, 15_400),
            (0, -7),
            "the quick one still counts"
        );
        assert_eq!(clock.known(), 2);
        // It was put right by a second: no drift explains that.
        ask(&mut clock, 20_000, 100, 100, -1_000);
        assert_eq!(errors(&clock, 20_200), (-1_000, -1_101));
        // Ten minutes later a way of 400 ms says more than what was measured before.
        ask(&mut clock, 30_000, 1, 1, -1_000);
        ask(&mut clock, 630_000, 0, 400, -1_000);
        assert_eq!(errors(&clock, 630_400), (-1_200, -1_401));
    }

    #[test]
    fn bounded_and_forgetful() {
        let mut clock = MeshClock::default();
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        for id in 0..=limits::MESH_CLOCKS as u64 {
            let when = at(100 + id);
            clock.heard(MemberId(id), when, when, WallTime::EPOCH);
            clock.heard(MemberId(id), when, when, WallTime::EPOCH);
        }
        assert_eq!(clock.known(), limits::MESH_CLOCKS, "the oldest went");
        clock.forget_old(at(101) + limits::CLOCK_MEMORY);
        assert_eq!(clock.known(), limits::MESH_CLOCKS);
        clock.forget_old(at(102) + limits::CLOCK_MEMORY);
        assert_eq!(clock.known(), limits::MESH_CLOCKS - 1);
        let mut clock = MeshClock::default();
        clock.heard(MemberId(1), at(5), at(5) + LONGEST_WAY, WallTime::EPOCH);
        assert_eq!(clock.known(), 1);
        let late = at(5) + LONGEST_WAY + Duration::from_millis(1);
        clock.heard(MemberId(2), at(5), late, WallTime::EPOCH);
        assert_eq!(clock.known(), 1, "too long on its way");
    }
}
