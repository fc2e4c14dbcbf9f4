//! I3: no INVITE to a number once an entry was answered as effective, or once the node itself heard
//! the person's wish; and what rings there is cancelled. A number of the base may be dialed while it
//! is lifted, and not for that where an entry forbids it. What a registry said is not lost when its
//! entry is dropped because the base has it.

use super::{Invite, Truth};
use crate::violation::{Checked, Invariant};
use domain::{DncEntry, DncScope, DncSource, LeasedLead, PhoneNumber, WallTime};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A node looks at its clock several times a second, and two clocks differ by ρ.
const GRACE: u64 = 2_500;

type Key = (PhoneNumber, DncScope);

/// What binds whom, since when.
#[derive(Debug, Default)]
pub(crate) struct DoNotCall {
    effective: BTreeMap<Key, u64>,
    /// Index of the last entry that removed one.
    removed: BTreeMap<Key, u64>,
    /// What a node heard from a person, until the directory has it.
    heard: BTreeSet<(usize, PhoneNumber)>,
    /// The base in use, the entry that put it there, and since when that is effective.
    base: Option<Arc<BTreeSet<PhoneNumber>>>,
    base_index: u64,
    base_since: Option<u64>,
    /// Numbers that may be dialed although the base has them.
    lifted: BTreeSet<PhoneNumber>,
    /// Those of which that was taken back: by which entry, and since when that is effective.
    unlifted: BTreeMap<PhoneNumber, (u64, Option<u64>)>,
    /// When a registry last named a number.
    named: BTreeMap<PhoneNumber, WallTime>,
    /// Numbers of entries that were dropped because the base has them: since when they are
    /// forbidden, and when the registry named them.
    settled: BTreeMap<PhoneNumber, (u64, WallTime)>,
}

fn scopes(lead: &LeasedLead) -> [Key; 3] {
    [
        DncScope::Mesh,
        DncScope::Campaign(lead.campaign),
        DncScope::Region(lead.lead.region()),
    ]
    .map(|scope| (lead.number, scope))
}

impl DoNotCall {
    /// The entry that index `index` added was answered as effective. True when it binds.
    pub(crate) fn effective(&mut self, now: u64, key: Key, index: u64) -> bool {
        if self
            .removed
            .get(&key)
            .is_some_and(|removed| *removed > index)
        {
            return false;
        }
        self.effective.entry(key).or_insert(now);
        true
    }

    /// The directory's entry `index` removed it.
    pub(crate) fn removed(&mut self, key: Key, index: u64) {
        self.effective.remove(&key);
        self.removed.insert(key, index);
    }

    /// An entry was added or renewed.
    pub(crate) fn said(&mut self, entry: &DncEntry) {
        if entry.source == DncSource::Registry {
            self.named.insert(entry.number, entry.added_at);
        }
    }

    /// An entry for everywhere is dropped because the base in use is said to have its number.
    pub(crate) fn settled(&mut self, number: PhoneNumber) {
        let named = self.named.get(&number).copied();
        let since = self.effective.get(&(number, DncScope::Mesh));
        if let (Some(since), Some(named)) = (since.copied(), named) {
            let known = self.settled.entry(number).or_insert((since, named));
            known.1 = named.max(known.1);
        }
    }

    /// The directory's entry `index` put a base into use, or none: the one before binds no more, and
    /// this one not yet. Unless somebody has forced it, and so `built_at` is none, it has what was
    /// dropped for an earlier one, or its list is a later one.
    pub(crate) fn base_in_use(
        &mut self,
        base: Option<Arc<BTreeSet<PhoneNumber>>>,
        index: u64,
        built_at: Option<WallTime>,
    ) -> Checked {
        let lacks = |number: &PhoneNumber| base.as_ref().is_none_or(|base| !base.contains(number));
        let lost = (self.settled.iter()).find(|(number, (_, named))| {
            lacks(number) && built_at.is_some_and(|built_at| built_at <= *named)
        });
        if let Some((number, _)) = lost {
            return Err(Invariant::I3.broken(format!(
                "the base of entry {index} loses {number}, whose entry was dropped for another"
            )));
        }
        self.settled.retain(|number, _| !lacks(number));
        self.base = base;
        self.base_index = index;
        self.base_since = None;
        Ok(())
    }

    /// The directory's entry `index` lifts a number from the base, or takes that back.
    pub(crate) fn lifted(&mut self, number: PhoneNumber, there: bool, index: u64) {
        if there {
            self.lifted.insert(number);
            self.unlifted.remove(&number);
        } else if self.lifted.remove(&number) {
            self.unlifted.insert(number, (index, None));
        }
    }

    /// All that may dial know the directory up to `index`: how many more lifts are over for them.
    pub(crate) fn lifts_over(&mut self, now: u64, index: u64) -> u64 {
        let mut ends = 0;
        for (by, since) in self.unlifted.values_mut() {
            if *by <= index && since.is_none() {
                *since = Some(now);
                ends += 1;
            }
        }
        ends
    }

    /// That entry was answered as effective. True when its base binds.
    pub(crate) fn base_effective(&mut self, now: u64, index: u64) -> bool {
        let binds = self.base.is_some() && self.base_index == index;
        if binds {
            self.base_since.get_or_insert(now);
        }
        binds
    }

    /// Since when the base, or an entry that was dropped for it, forbids a number.
    fn listed(&self, number: PhoneNumber) -> Option<u64> {
        let base =
            (self.base_since).filter(|_| self.base.as_ref().is_some_and(|b| b.contains(&number)));
        let since = self
            .settled
            .get(&number)
            .map(|(since, _)| *since)
            .or(base)?;
        if self.lifted.contains(&number) {
            return None;
        }
        match self.unlifted.get(&number) {
            Some((_, back)) => Some(since.max((*back)?)),
            None => Some(since),
        }
    }

    /// Whether only a lift keeps the base from forbidding a number.
    pub(super) fn is_lifted(&self, number: PhoneNumber) -> bool {
        let has = self.base.as_ref().is_some_and(|b| b.contains(&number));
        has && self.base_since.is_some() && self.lifted.contains(&number)
    }

    /// Whether the base in use has a number that is not lifted.
    pub(crate) fn in_base(&self, number: PhoneNumber) -> bool {
        let has = self.base.as_ref().is_some_and(|b| b.contains(&number));
        has && !self.lifted.contains(&number)
    }

    /// A person told a node not to call.
    pub(crate) fn heard(&mut self, node: usize, number: PhoneNumber) {
        self.heard.insert((node, number));
    }

    /// The node's own copy has the entry now: from here on the directory's word counts.
    pub(crate) fn taken_over(&mut self, node: usize, number: PhoneNumber) {
        self.heard.remove(&(node, number));
    }

    fn binds(&self, lead: &LeasedLead) -> Option<u64> {
        (scopes(lead).iter()).find_map(|key| self.effective.get(key).copied())
    }

    pub(super) fn invite(&self, truth: Truth<'_>, invite: &Invite<'_>) -> Checked {
        let lead = invite.lead;
        if let Some(since) = self.binds(lead) {
            let index = scopes(lead).map(|(number, scope)| {
                (truth.directory.dnc_entry(number, scope)).map_or(0, |fact| fact.index)
            });
            return Err(Invariant::I3.broken(format!(
                "node {} dials {}, forbidden since {since} ms (entries {index:?})",
                invite.node, lead.number
            )));
        }
        if let Some(since) = self.listed(lead.number) {
            let settled = self.settled.contains_key(&lead.number);
            return Err(Invariant::I3.broken(format!(
                "node {} dials {}, forbidden by the base since {since} ms{}",
                invite.node,
                lead.number,
                if settled {
                    " (entry dropped for it)"
                } else {
                    ""
                }
            )));
        }
        if self.heard.contains(&(invite.node, lead.number)) {
            return Err(Invariant::I3.broken(format!(
                "node {} dials {}, who told it not to call",
                invite.node, lead.number
            )));
        }
        Ok(())
    }

    pub(super) fn rings(
        &self,
        now: u64,
        node: usize,
        lead: &LeasedLead,
        truth: Truth<'_>,
    ) -> Checked {
        let covered = (truth.directory).dnc_covers(lead.number, lead.campaign, lead.lead.region());
        if let Some(since) = self.listed(lead.number)
            && now > since + GRACE
        {
            return Err(Invariant::I3.broken(format!(
                "{} still rings at node {node}, {} ms after the base it is in became effective",
                lead.attempt,
                now - since
            )));
        }
        match self.binds(lead) {
            Some(since) if covered && now > since + GRACE => Err(Invariant::I3.broken(format!(
                "{} still rings at node {node}, {} ms after the entry became effective",
                lead.attempt,
                now - since
            ))),
            _ => Ok(()),
        }
    }
}
