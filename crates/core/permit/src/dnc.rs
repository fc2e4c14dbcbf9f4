//! A node's own copy of do-not-call: exact, and fast to ask.

use crate::hash::LookUp;
use domain::{CampaignId, DncScope, PhoneNumber, RegionId};

/// Do-not-call entries, fed by the directory's events and by this node's own agents and callers.
///
/// No false yes and no false no. Asking allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct DncSet {
    /// Entries for everywhere: the most, by far.
    mesh: LookUp<PhoneNumber, u64>,
    /// Entries for a campaign or region.
    scoped: LookUp<(PhoneNumber, DncScope), u64>,
    /// Opt-outs heard here that the directory has not yet confirmed. They bind at once.
    local: LookUp<(PhoneNumber, DncScope), ()>,
    index: u64,
}

impl DncSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The directory index of the last change taken in, for the call record.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many entries, the unconfirmed ones too.
    pub fn len(&self) -> usize {
        self.mesh.len() + self.scoped.len() + self.local.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in an entry that the directory's entry `index` added or renewed.
    pub fn add(&mut self, number: PhoneNumber, scope: DncScope, index: u64) {
        self.index = self.index.max(index);
        self.local.remove(&(number, scope));
        let known = match scope {
            DncScope::Mesh => self.mesh.entry(number).or_insert(index),
            _ => self.scoped.entry((number, scope)).or_insert(index),
        };
        *known = index.max(*known);
    }

    /// Takes in that the entry which the directory's entry `added_by` had added was removed by its
    /// entry `index`. An entry added later stays, and so does an unconfirmed one.
    pub fn remove(&mut self, number: PhoneNumber, scope: DncScope, added_by: u64, index: u64) {
        self.index = self.index.max(index);
        match scope {
            DncScope::Mesh => {
                if self.mesh.get(&number).is_some_and(|at| *at <= added_by) {
                    self.mesh.remove(&number);
                }
            }
            _ => {
                let key = (number, scope);
                if self.scoped.get(&key).is_some_and(|at| *at <= added_by) {
                    self.scoped.remove(&key);
                }
            }
        }
    }

    /// Replaces every confirmed entry by these; unconfirmed ones stay.
    pub fn reset(
        &mut self,
        index: u64,
        entries: impl IntoIterator<Item = (PhoneNumber, DncScope, u64)>,
    ) {
        self.mesh.clear();
        self.scoped.clear();
        for (number, scope, added_by) in entries {
            self.add(number, scope, added_by);
        }
        self.index = index;
    }

    /// An agent's or a called person's opt-out binds this node before any commit.
    pub fn bind(&mut self, number: PhoneNumber, scope: DncScope) {
        let known = match scope {
            DncScope::Mesh => self.mesh.contains_key(&number),
            _ => self.scoped.contains_key(&(number, scope)),
        };
        if !known {
            self.local.insert((number, scope), ());
        }
    }

    /// Whether an attempt at this number, for this campaign and from this region, is forbidden.
    pub fn covers(&self, number: PhoneNumber, campaign: CampaignId, region: RegionId) -> bool {
        if self.mesh.contains_key(&number) {
            return true;
        }
        let (campaign, region) = (DncScope::Campaign(campaign), DncScope::Region(region));
        let scoped = |scope| !self.scoped.is_empty() && self.scoped.contains_key(&(number, scope));
        let local = |scope| !self.local.is_empty() && self.local.contains_key(&(number, scope));
        scoped(campaign)
            || scoped(region)
            || local(DncScope::Mesh)
            || local(campaign)
            || local(region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: CampaignId = CampaignId(1);
    const REGION: RegionId = RegionId(2);

    fn number(last: u64) -> PhoneNumber {
        PhoneNumber::from_digits(14_155_550_100 + last).unwrap()
    }

    #[test]
    fn scopes_cover_what_they_say() {
        let mut set = DncSet::new();
        set.add(number(1), DncScope::Mesh, 5);
        set.add(number(2), DncScope::Campaign(CAMPAIGN), 6);
        set.add(number(3), DncScope::Region(REGION), 7);
        let covered =
            |n, campaign, region| set.covers(number(n), CampaignId(campaign), RegionId(region));
        assert!(covered(1, 9, 9));
        assert!(covered(2, 1, 9) && !covered(2, 9, 2));
        assert!(covered(3, 9, 2) && !covered(3, 1, 9));
        assert!(!covered(4, 1, 2));
        assert_eq!((set.index(), set.len()), (7, 3));
    }

    #[test]
    fn a_removal_takes_only_what_it_names() {
        let mut set = DncSet::new();
        for scope in [DncScope::Mesh, DncScope::Campaign(CAMPAIGN)] {
            set.add(number(1), scope, 5);
            set.add(number(1), scope, 8);
            set.remove(number(1), scope, 5, 9);
            assert!(set.covers(number(1), CAMPAIGN, REGION), "renewed by 8");
            set.remove(number(1), scope, 8, 10);
            assert!(!set.covers(number(1), CAMPAIGN, REGION));
        }
        assert_eq!(set.index(), 10);
    }

    #[test]
    fn local_opt_outs_bind_until_confirmed_and_through_resets() {
        let mut set = DncSet::new();
        set.bind(number(1), DncScope::Mesh);
        set.bind(number(2), DncScope::Campaign(CAMPAIGN));
        set.reset(3, [(number(9), DncScope::Mesh, 2)]);
        for n in [1, 2, 9] {
            assert!(set.covers(number(n), CAMPAIGN, REGION), "{n}");
        }
        set.remove(number(1), DncScope::Mesh, 2, 4);
        assert!(set.covers(number(1), CAMPAIGN, REGION), "an older removal");
        set.add(number(1), DncScope::Mesh, 5);
        set.remove(number(1), DncScope::Mesh, 5, 6);
        assert!(!set.covers(number(1), CAMPAIGN, REGION));
    }
}
