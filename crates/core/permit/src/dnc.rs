//! A node's own copy of do-not-call: exact, and fast to ask.

use crate::base::BaseLookup;
use domain::{
    CampaignId, Clearance, ClearanceFact, ConsentGrant, CountryCode, DncBaseId, DncListAge,
    DncScope, LeasedLead, PhoneNumber, RegionId, WallTime, registry_is_too_old,
};
use sansio::LookUp;
use std::{sync::Arc, time::Duration};

/// Do-not-call entries, fed by the directory's events and by this node's own agents and callers,
/// in front of a base of national size.
///
/// A base never changes. What the directory learned since lies in front of it: entries added, and
/// numbers *lifted* from the base. An entry wins over a lift, whichever came first.
///
/// No false yes and no false no. Asking allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct DncSet {
    /// Entries for everywhere: the most, by far.
    mesh: LookUp<PhoneNumber, u64>,
    /// Entries for a campaign or region.
    scoped: LookUp<(PhoneNumber, DncScope), u64>,
    /// Opt-outs heard here. They bind at once, and until this copy holds what the directory made
    /// of them. An entry of somebody else's for the same number is no substitute, since it may be
    /// removed for reasons older than this opt-out.
    local: LookUp<(PhoneNumber, DncScope), Heard>,
    base: Option<Arc<dyn BaseLookup>>,
    /// Of the lists that the base in use was made of.
    ages: Vec<DncListAge>,
    /// The base that the directory has put into use.
    required: Option<DncBaseId>,
    /// Patterns, freezes, consents, and numbers of the base that are lifted.
    clearance: Clearance,
    index: u64,
}

/// Opt-outs of one number and scope that were heard here.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// How many the directory has not answered.
    waiting: u32,
    /// The latest entry that it made of one.
    told: u64,
}

impl Heard {
    const fn is_over(self, index: u64) -> bool {
        self.waiting == 0 && self.told <= index
    }
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

    /// How many entries, the unconfirmed ones too, the base's not.
    pub fn len(&self) -> usize {
        self.mesh.len() + self.scoped.len() + self.local.len()
    }

    /// Whether there are none, apart from the base.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in an entry that the directory's entry `index` added or renewed.
    pub fn add(&mut self, number: PhoneNumber, scope: DncScope, index: u64) {
        self.index = self.index.max(index);
        self.release(number, scope, index);
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
        self.release(number, scope, added_by);
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

    /// Takes in what the directory's entry `index` says of a pattern, freeze, consent or lift.
    pub fn take(&mut self, fact: &ClearanceFact, index: u64) {
        self.index = self.index.max(index);
        self.clearance.take(fact);
    }

    /// Whether a number rests by a freeze at `wall`.
    pub fn is_frozen(&self, number: PhoneNumber, wall: WallTime) -> bool {
        self.clearance.frozen_until(number, wall).is_some()
    }

    /// A number's consent for a campaign that is good at `wall`.
    pub fn consent(
        &self,
        number: PhoneNumber,
        campaign: CampaignId,
        wall: WallTime,
    ) -> Option<ConsentGrant> {
        self.clearance.consent(number, campaign, wall)
    }

    /// Whether a campaign itself asks for consent; its rule pack may, too.
    pub fn requires_consent(&self, campaign: CampaignId) -> bool {
        self.clearance.requires_consent(campaign)
    }

    /// Whether do-not-call, a freeze or the lack of consent forbids a lead at `wall`. `required` says
    /// that the campaign's rule pack asks for consent; the campaign itself may.
    pub fn bars(&self, lead: &LeasedLead, required: bool, wall: WallTime) -> bool {
        self.in_base(lead.number) || self.bars_beside_base(lead, required, wall)
    }

    /// [`DncSet::bars`] for each of many leads, which ask the base together.
    pub fn bars_each(&self, leads: &[LeasedLead], required: bool, wall: WallTime) -> Vec<bool> {
        let mut barred = vec![false; leads.len()];
        if let Some(base) = &self.base {
            let numbers: Vec<_> = leads.iter().map(|lead| lead.number).collect();
            base.contains_many(&numbers, &mut barred);
        }
        for (barred, lead) in barred.iter_mut().zip(leads) {
            *barred = (*barred && !self.clearance.is_lifted(lead.number))
                || self.bars_beside_base(lead, required, wall);
        }
        barred
    }

    fn bars_beside_base(&self, lead: &LeasedLead, required: bool, wall: WallTime) -> bool {
        let (number, campaign) = (lead.number, lead.campaign);
        self.covers_beside_base(number, campaign, lead.lead.region())
            || self.is_frozen(number, wall)
            || ((required || self.requires_consent(campaign))
                && self.consent(number, campaign, wall).is_none())
    }

    /// Puts a base into use (or none), in one step: no look-up falls between two. Entries stay until
    /// [`DncSet::settle`], and lifts until the directory takes them back.
    pub fn set_base(&mut self, base: Option<Arc<dyn BaseLookup>>) {
        self.base = base;
    }

    /// Takes in which base the directory has put into use, by its entry `index`.
    pub fn require(&mut self, base: Option<DncBaseId>, index: u64) {
        self.index = self.index.max(index);
        self.required = base;
    }

    /// The base that the directory has put into use.
    pub const fn required(&self) -> Option<DncBaseId> {
        self.required
    }

    /// Whether the base that is asked here is the one that the directory has put into use. Without
    /// it this copy is not whole, and nobody may be dialed by it.
    pub fn is_whole(&self) -> bool {
        self.required == self.base_id()
    }

    /// Which base is asked here, for the call record.
    pub fn base_id(&self) -> Option<DncBaseId> {
        self.base.as_ref().map(|base| base.id())
    }

    /// Takes in how old the lists are that the base in use was made of, by the directory's entry
    /// `index`.
    pub fn set_ages(&mut self, ages: Vec<DncListAge>, index: u64) {
        self.index = self.index.max(index);
        self.ages = ages;
    }

    /// Whether a base is asked whose data is older than a rule pack allows: `max`, for the registry
    /// of `country` ([`domain::registry_is_too_old`]).
    pub fn base_is_older(
        &self,
        max: Duration,
        country: Option<CountryCode>,
        wall: WallTime,
    ) -> bool {
        (self.base.as_ref())
            .is_some_and(|base| registry_is_too_old(&self.ages, base.as_of(), (max, country), wall))
    }

    /// Forgets an entry for everywhere, added by `added_by` or before, that the base covers by
    /// itself. Returns whether it did: nothing changes for callers.
    pub fn settle(&mut self, number: PhoneNumber, added_by: u64) -> bool {
        let settled =
            self.in_base(number) && self.mesh.get(&number).is_some_and(|at| *at <= added_by);
        if settled {
            self.mesh.remove(&number);
        }
        settled
    }

    /// Whether the base covers a number, whatever entries say.
    pub fn is_listed(&self, number: PhoneNumber) -> bool {
        self.in_base(number)
    }

    fn in_base(&self, number: PhoneNumber) -> bool {
        (self.base.as_ref())
            .is_some_and(|base| base.contains(number) && !self.clearance.is_lifted(number))
    }

    /// Replaces every confirmed entry, pattern, freeze and lift by these; unconfirmed
    /// entries and the base stay.
    pub fn reset(
        &mut self,
        index: u64,
        entries: impl IntoIterator<Item = (PhoneNumber, DncScope, u64)>,
        clearance: Clearance,
    ) {
        self.mesh.clear();
        self.scoped.clear();
        for (number, scope, added_by) in entries {
            self.add(number, scope, added_by);
        }
        self.local.retain(|_, heard| !heard.is_over(index));
        self.clearance = clearance;
        self.index = index;
    }

    /// An agent's or a called person's opt-out binds this node before any commit.
    pub fn bind(&mut self, number: PhoneNumber, scope: DncScope) {
        self.local.entry((number, scope)).or_default().waiting += 1;
    }

    /// The directory took one opt-out of this node as its entry `index`: one call for each
    /// [`DncSet::bind`]. It binds here by itself until this copy holds that entry, or a later word
    /// of the directory on it.
    pub fn confirm(&mut self, number: PhoneNumber, scope: DncScope, index: u64) {
        let here = match scope {
            DncScope::Mesh => self.mesh.get(&number),
            _ => self.scoped.get(&(number, scope)),
        };
        let reached = if self.index > index { index } else { 0 };
        let reached = here.map_or(reached, |at| reached.max(*at));
        if let Some(heard) = self.local.get_mut(&(number, scope)) {
            heard.waiting = heard.waiting.saturating_sub(1);
            heard.told = heard.told.max(index);
        }
        self.release(number, scope, reached);
    }

    /// The directory's word up to `index` on a number is here.
    fn release(&mut self, number: PhoneNumber, scope: DncScope, index: u64) {
        let key = (number, scope);
        if !self.local.is_empty()
            && self
                .local
                .get(&key)
                .is_some_and(|heard| heard.is_over(index))
        {
            self.local.remove(&key);
        }
    }

    /// Whether an attempt at this number, for this campaign and from this region, is forbidden by an
    /// entry, a pattern or the base. (Freezes end by themselves: [`DncSet::is_frozen`].)
    pub fn covers(&self, number: PhoneNumber, campaign: CampaignId, region: RegionId) -> bool {
        self.in_base(number) || self.covers_beside_base(number, campaign, region)
    }

    fn covers_beside_base(
        &self,
        number: PhoneNumber,
        campaign: CampaignId,
        region: RegionId,
    ) -> bool {
        if self.mesh.contains_key(&number)
            || (self.clearance.pattern_for(number, campaign, region)).is_some()
        {
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

    use crate::base::{BaseAbout, MemoryBase};
    use domain::{AttemptId, LeadId, LeadProfile, ListId, SessionId, Target};

    const CAMPAIGN: CampaignId = CampaignId(1);
    const REGION: RegionId = RegionId(2);

    fn number(last: u64) -> PhoneNumber {
        PhoneNumber::from_digits(14_155_550_100 + last).unwrap()
    }

    #[test]
    fn many_are_judged_as_each_alone() {
        let listed = (0..40).map(|n| number(2 * n)).collect();
        let about = BaseAbout {
            source: "a test".into(),
            built_at: WallTime::EPOCH,
        };
        let lead = |number| LeasedLead {
            lead: LeadId::new(REGION, 1),
            attempt: AttemptId::new(REGION, 1, 0),
            session: SessionId(1),
            campaign: CAMPAIGN,
            list: ListId(1),
            number,
            zones: Vec::new(),
            attempt_count: 1,
            profile: LeadProfile::default(),
        };
        let mut set = DncSet::new();
        set.set_base(Some(Arc::new(MemoryBase::of(&listed, about).unwrap())));
        set.add(number(1), DncScope::Mesh, 5);
        set.add(number(3), DncScope::Region(REGION), 6);
        let leads: Vec<_> = (0..80).map(|n| lead(number(n))).collect();
        let each: Vec<_> = (leads.iter())
            .map(|lead| set.bars(lead, false, WallTime::EPOCH))
            .collect();
        assert_eq!(set.bars_each(&leads, false, WallTime::EPOCH), each);
        assert_eq!(each.iter().filter(|barred| **barred).count(), 42);
        assert!(set.bars_each(&[], false, WallTime::EPOCH).is_empty());
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
        set.reset(3, [(number(9), DncScope::Mesh, 2)], Clearance::default());
        for n in [1, 2, 9] {
            assert!(set.covers(number(n), CAMPAIGN, REGION), "{n}");
        }
        set.remove(number(1), DncScope::Mesh, 2, 4);
        assert!(set.covers(number(1), CAMPAIGN, REGION), "an older removal");
        // Somebody else's entry comes and goes: the directory has not heard of ours yet.
        set.add(number(1), DncScope::Mesh, 5);
        set.remove(number(1), DncScope::Mesh, 5, 6);
        assert!(set.covers(number(1), CAMPAIGN, REGION), "not ours");
        // Ours is entry 7, and an administrator removes that.
        set.confirm(number(1), DncScope::Mesh, 7);
        assert!(set.covers(number(1), CAMPAIGN, REGION), "on its way");
        set.add(number(1), DncScope::Mesh, 7);
        assert_eq!(set.len(), 3, "the directory's word alone, once it is here");
        set.remove(number(1), DncScope::Mesh, 7, 8);
        assert!(!set.covers(number(1), CAMPAIGN, REGION));
    }

    #[test]
    fn an_opt_out_is_released_by_whatever_of_the_directory_comes_first() {
        let bound = || {
            let mut set = DncSet::new();
            set.bind(number(1), DncScope::Mesh);
            set
        };
        let covers = |set: &DncSet| set.covers(number(1), CAMPAIGN, REGION);
        // The answer comes after the entry, and after its removal.
        let mut set = bound();
        set.add(number(1), DncScope::Mesh, 7);
        set.remove(number(1), DncScope::Mesh, 7, 8);
        assert!(covers(&set));
        set.confirm(number(1), DncScope::Mesh, 7);
        assert!(!covers(&set), "the directory has spoken since");
        // A snapshot from before it, and one from after it.
        let mut set = bound();
        set.confirm(number(1), DncScope::Mesh, 7);
        set.reset(6, [], Clearance::default());
        assert!(covers(&set));
        set.reset(9, [], Clearance::default());
        assert!(!covers(&set));
        // Said again while the first is on its way: each has its own answer.
        for bound_before in [true, false] {
            let mut set = bound();
            if bound_before {
                set.bind(number(1), DncScope::Mesh);
            }
            set.confirm(number(1), DncScope::Mesh, 7);
            if !bound_before {
                set.bind(number(1), DncScope::Mesh);
            }
            set.add(number(1), DncScope::Mesh, 7);
            set.remove(number(1), DncScope::Mesh, 7, 8);
            assert!(covers(&set));
            set.confirm(number(1), DncScope::Mesh, 10);
            set.add(number(1), DncScope::Mesh, 10);
            set.remove(number(1), DncScope::Mesh, 10, 11);
            assert!(!covers(&set));
        }
        // A campaign's opt-out goes the same way.
        let scope = DncScope::Campaign(CAMPAIGN);
        let mut set = DncSet::new();
        set.bind(number(1), scope);
        set.add(number(1), scope, 3);
        set.confirm(number(1), scope, 3);
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn patterns_cover_and_freezes_end_by_themselves() {
        let mut set = DncSet::new();
        let covers = |set: &DncSet| set.covers(number(1), CAMPAIGN, REGION);
        let prefix = "+1415".parse().unwrap();
        set.take(&ClearanceFact::Pattern(prefix, true), 4);
        assert!(covers(&set) && set.index() == 4);
        set.take(&ClearanceFact::Pattern(prefix, false), 5);
        assert!(!covers(&set));
        let until = WallTime::from_millis(100);
        let target = Target::Number(number(1));
        set.take(&ClearanceFact::Freeze(target, Some(until)), 6);
        let frozen = |set: &DncSet, millis| set.is_frozen(number(1), WallTime::from_millis(millis));
        assert!(frozen(&set, 99) && !frozen(&set, 100) && !covers(&set));
        // A snapshot without it, and one with it.
        set.reset(7, [], Clearance::default());
        assert!(!frozen(&set, 99));
        set.reset(
            8,
            [],
            [ClearanceFact::Freeze(target, Some(until))]
                .into_iter()
                .collect(),
        );
        assert!(frozen(&set, 99));
    }

    fn base(last: &[u64]) -> Arc<MemoryBase> {
        let about = BaseAbout {
            source: "registry".into(),
            built_at: WallTime::EPOCH,
        };
        let numbers = last.iter().map(|n| number(*n)).collect();
        Arc::new(MemoryBase::of(&numbers, about).unwrap())
    }

    #[test]
    fn a_base_stands_behind_the_entries() {
        let mut set = DncSet::new();
        let first = base(&[1, 2]);
        set.set_base(Some(first.clone()));
        assert_eq!(set.base_id(), Some(first.id()));
        let covers = |set: &DncSet, n| set.covers(number(n), CAMPAIGN, REGION);
        assert!(covers(&set, 1) && covers(&set, 2) && !covers(&set, 3));
        set.add(number(3), DncScope::Mesh, 11);
        set.take(&ClearanceFact::Lift(number(1), true), 12);
        assert!(!covers(&set, 1) && covers(&set, 3));
        assert_eq!((set.index(), set.len()), (12, 1));
        // Add wins, whichever came first, and its removal leaves the lift.
        set.add(number(1), DncScope::Mesh, 12);
        assert!(covers(&set, 1));
        set.remove(number(1), DncScope::Mesh, 12, 13);
        assert!(!covers(&set, 1));
        // What was said here binds, lifted or not, and beyond the base that knew it too.
        set.bind(number(1), DncScope::Mesh);
        set.bind(number(2), DncScope::Mesh);
        set.set_base(None);
        assert!(covers(&set, 1) && covers(&set, 2) && covers(&set, 3));
        assert_eq!(set.base_id(), None);
    }

    #[test]
    fn a_new_base_takes_entries_in_without_a_gap_and_lifts_stay() {
        let mut set = DncSet::new();
        set.set_base(Some(base(&[1, 2, 3])));
        set.add(number(4), DncScope::Mesh, 11);
        set.add(number(5), DncScope::Mesh, 12);
        set.take(&ClearanceFact::Lift(number(2), true), 14);
        set.set_base(Some(base(&[2, 3, 4, 5])));
        let covered = |set: &DncSet| -> Vec<u64> {
            (0..9)
                .filter(|n| set.covers(number(*n), CAMPAIGN, REGION))
                .collect()
        };
        assert_eq!(covered(&set), [3, 4, 5], "2 is lifted");
        assert!(
            set.settle(number(4), 13) && !set.settle(number(5), 11),
            "12 is later"
        );
        assert!(!set.settle(number(4), 13) && !set.settle(number(9), 13));
        assert_eq!((covered(&set), set.len()), (vec![3, 4, 5], 1));
        // An entry that the base does not have, or a lift hides, never settles.
        set.add(number(2), DncScope::Mesh, 15);
        set.add(number(9), DncScope::Mesh, 16);
        assert!(!set.settle(number(2), 20) && !set.settle(number(9), 20));
        assert_eq!(covered(&set), [2, 3, 4, 5]);
        set.reset(20, [], Clearance::default());
        assert_eq!(
            covered(&set),
            [2, 3, 4, 5],
            "the base stays, lifts come again"
        );
    }
}
