//! I3: no INVITE to a number once an entry was answered as effective, or once the node itself heard
//! the person's wish; and what rings there is cancelled.

use super::{Invite, Truth};
use crate::violation::{Checked, Invariant};
use domain::{DncScope, LeasedLead, PhoneNumber};
use permit::base::{BaseLookup as _, MemoryBase};
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
    base: Option<Arc<MemoryBase>>,
    base_index: u64,
    base_since: Option<u64>,
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

    /// The directory's entry `index` put a base into use, or none: the one before binds no more, and
    /// this one not yet.
    pub(crate) fn base_in_use(&mut self, base: Option<Arc<MemoryBase>>, index: u64) {
        self.base = base;
        self.base_index = index;
        self.base_since = None;
    }

    /// That entry was answered as effective. True when its base binds.
    pub(crate) fn base_effective(&mut self, now: u64, index: u64) -> bool {
        let binds = self.base.is_some() && self.base_index == index;
        if binds {
            self.base_since.get_or_insert(now);
        }
        binds
    }

    /// Since when the base forbids a number.
    fn listed(&self, number: PhoneNumber) -> Option<u64> {
        self.base_since
            .filter(|_| self.base.as_ref().is_some_and(|b| b.contains(number)))
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
            return Err(Invariant::I3.broken(format!(
                "node {} dials {}, in the base that is in use since {since} ms",
                invite.node, lead.number
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
