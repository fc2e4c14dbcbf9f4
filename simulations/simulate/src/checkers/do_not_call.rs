//! I3: no INVITE to a number once an entry was answered as effective, or once the node itself heard
//! the person's wish; and what rings there is cancelled.

use super::{Invite, Truth};
use crate::violation::{Checked, Invariant};
use domain::{DncScope, LeasedLead, PhoneNumber};
use std::collections::{BTreeMap, BTreeSet};

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
