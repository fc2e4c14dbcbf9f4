//! Which regions of other cities a node works, because their own nodes are gone.

use domain::{Instant, RegionId};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long nodes of a region must have been back before others leave it to them.
const BACK: Duration = Duration::from_secs(30);

/// What a node notes about the regions whose policy names it.
///
/// Whoever works a region does so by a session and leases of its own: two nodes that both believe
/// it is theirs share its leads, and never dial one twice. So what is noted here may be wrong for a
/// while without harm.
#[derive(Clone, Debug, Default)]
pub struct Failover {
    regions: BTreeMap<RegionId, Home>,
}

#[derive(Clone, Copy, Debug)]
struct Home {
    /// Whether a node of the region has a session.
    open: bool,
    since: Instant,
    helped: bool,
}

impl Failover {
    /// The regions to work now. `named` are those whose policy names this node and whose group it
    /// copies, each with whether a node of its own has an open session there. Those not named are
    /// left at once.
    pub fn look(
        &mut self,
        now: Instant,
        grace: Duration,
        named: &BTreeMap<RegionId, bool>,
    ) -> BTreeSet<RegionId> {
        self.regions.retain(|id, _| named.contains_key(id));
        for (id, open) in named {
            let home = self.regions.entry(*id).or_insert(Home {
                open: *open,
                since: now,
                helped: false,
            });
            if home.open != *open {
                (home.open, home.since) = (*open, now);
            }
            let time = now.since(home.since);
            home.helped = match (home.helped, home.open) {
                (false, false) => time >= grace,
                (true, true) => time < BACK,
                (helped, _) => helped,
            };
        }
        let helped = self.regions.iter().filter(|(_, home)| home.helped);
        helped.map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUTH: RegionId = RegionId(1);
    const GRACE: Duration = Duration::from_secs(300);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1000 * seconds)
    }

    #[test]
    fn a_region_is_worked_from_the_grace_until_its_own_are_back_for_good() {
        let mut book = Failover::default();
        let mut look = |seconds, open| {
            let named = [(SOUTH, open)].into();
            book.look(at(seconds), GRACE, &named).contains(&SOUTH)
        };
        assert!(!look(0, true));
        assert!(!look(1000, true));
        assert!(!look(1001, false), "a session just ended");
        assert!(!look(1300, false));
        assert!(look(1301, false), "the grace is over");
        // A node that comes back and goes again moves nothing to and fro.
        assert!(look(1400, true));
        assert!(look(1429, true));
        assert!(look(1429, false));
        assert!(look(1500, true));
        assert!(!look(1530, true), "back for good");
        assert!(!look(1531, false), "and the grace begins anew");
        assert!(!look(1830, false));
        assert!(look(1831, false));
    }

    #[test]
    fn whom_no_policy_names_works_nothing() {
        let mut book = Failover::default();
        book.look(at(0), GRACE, &[(SOUTH, false)].into());
        assert_eq!(
            book.look(at(300), GRACE, &[(SOUTH, false)].into()),
            [SOUTH].into()
        );
        assert!(book.look(at(301), GRACE, &BTreeMap::new()).is_empty());
        assert!(
            book.look(at(302), GRACE, &[(SOUTH, false)].into())
                .is_empty(),
            "from the beginning"
        );
    }
}
