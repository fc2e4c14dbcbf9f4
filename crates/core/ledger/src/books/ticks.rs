//! How much time a region's leader may say has passed.

use super::at_most;
use crate::region::{Leadership, RegionCommand};
use domain::{Instant, limits};

/// Every member keeps one for each region group; the leader proposes from it.
///
/// A tick says what passed since its proposer *saw the tick before applied*, on its own steady
/// clock, drift taken off. That is never more than what really passed between the two entries, so
/// the ledger's steady time is a lower bound, whoever leads and however often that changes.
#[derive(Debug, Default)]
pub struct TickBook {
    leadership: Option<Leadership>,
    last: Option<(u64, Instant)>,
    proposed: Option<Instant>,
}

impl TickBook {
    /// A tick was applied here, or (after a start or a snapshot) the last one is this.
    pub fn ticked(&mut self, now: Instant, index: u64) {
        if self.last.is_none_or(|(last, _)| last != index) {
            self.last = Some((index, now));
            self.proposed = None;
        }
    }

    /// This member became leader: a first tick is due at once.
    pub fn elected(&mut self, leadership: Leadership) {
        self.leadership = Some(leadership);
        self.proposed = None;
    }

    /// This member no longer leads.
    pub fn deposed(&mut self) {
        self.leadership = None;
        self.proposed = None;
    }

    fn due_at(&self, confirmed: Option<Leadership>) -> Option<Instant> {
        let leadership = self.leadership?;
        let (_, seen) = self.last?;
        Some(match self.proposed {
            // An answer that never came: the same tick again; one of them will be refused.
            Some(proposed) => proposed + limits::TICK_INTERVAL,
            None if confirmed != Some(leadership) => Instant::ZERO,
            None => seen + limits::TICK_INTERVAL,
        })
    }

    /// The tick to propose now, if one is due. `confirmed` is the leadership of the last applied
    /// tick ([`crate::RegionLedger::leadership`]).
    pub fn due(&mut self, now: Instant, confirmed: Leadership) -> Option<RegionCommand> {
        if self.due_at(Some(confirmed))? > now {
            return None;
        }
        self.proposed = Some(now);
        let (after, seen) = self.last?;
        Some(RegionCommand::Tick {
            leadership: self.leadership?,
            after,
            elapsed: at_most(now.since(seen)),
        })
    }

    /// When [`TickBook::due`] has something next.
    pub fn poll_timeout(&self, confirmed: Leadership) -> Option<Instant> {
        self.due_at(Some(confirmed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::MemberId;
    use std::time::Duration;

    const ME: Leadership = Leadership {
        term: 3,
        member: MemberId(1),
    };

    #[test]
    fn says_less_than_what_passed() {
        let at = Instant::from_millis;
        let mut book = TickBook::default();
        assert_eq!(book.due(at(0), ME), None, "does not lead");
        book.elected(ME);
        assert_eq!(book.due(at(0), ME), None, "does not know the last tick");
        book.ticked(at(1000), 5);
        let first = book.due(at(2000), Leadership::default());
        let elapsed = Duration::from_millis(980);
        let tick = |after, elapsed| RegionCommand::Tick {
            leadership: ME,
            after,
            elapsed,
        };
        assert_eq!(first, Some(tick(5, elapsed)), "at once, to be confirmed");
        assert_eq!(book.due(at(2001), Leadership::default()), None);
        book.ticked(at(2100), 9);
        book.ticked(at(3000), 9);
        assert_eq!(book.poll_timeout(ME), Some(at(4100)));
        let second = book.due(at(4100), ME);
        assert_eq!(second, Some(tick(9, Duration::from_millis(1960))));
        assert!(book.due(at(6100), ME).is_some(), "again, unanswered");
        book.deposed();
        assert_eq!(book.due(at(99_000), ME), None);
    }
}
