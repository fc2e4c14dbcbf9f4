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
    at: Instant,
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
    /// long on its way says little and is not taken. At the bound the oldest one goes.
    pub fn heard(&mut self, member: MemberId, sent: Instant, received: Instant, wall: WallTime) {
        let way = received.since(sent);
        if way > limits::CLOCK_TOLERANCE / 2 {
            return;
        }
        self.heard.retain(|h| h.member != member);
        if self.heard.len() == limits::MESH_CLOCKS {
            let oldest = self.heard.iter().map(|h| h.at).min();
            self.heard.retain(|h| Some(h.at) != oldest);
        }
        self.heard.push(Heard {
            member,
            ahead: ahead(wall, sent + way / 2),
            at: received,
        });
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
    pub fn earliest(&self, own: Now) -> WallTime {
        let mine = ahead(own.wall, own.monotonic);
        let least = self.heard.iter().map(|h| h.ahead).min().unwrap_or(mine);
        let behind = mine.saturating_sub(least.min(mine));
        WallTime::from_millis(own.wall.as_millis().saturating_sub(behind))
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
