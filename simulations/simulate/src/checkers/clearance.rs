//! I3: no INVITE to a number that a pattern or freeze covers, once that was answered as effective;
//! and what rings there is cancelled. A freeze forbids nothing after its end.

use super::Invite;
use crate::violation::{Checked, Invariant};
use domain::{ClearanceFact, DncScope, LeasedLead, Target};
use std::collections::BTreeMap;

/// A node looks at its clock several times a second, and two clocks differ by ρ.
pub(super) const GRACE: u64 = 2_500;
/// What a node's calendar may be off, in milliseconds.
pub(super) const SKEW: i64 = 1_100;

/// Patterns have a scope and freezes none: one target may have all of them.
type Key = (Option<DncScope>, Target);

fn key(fact: &ClearanceFact) -> Option<Key> {
    match *fact {
        ClearanceFact::Pattern(prefix, _) => Some((Some(DncScope::Mesh), Target::Prefix(prefix))),
        ClearanceFact::ScopedPattern(prefix, scope, _) => {
            Some((Some(scope), Target::Prefix(prefix)))
        }
        ClearanceFact::Freeze(target, _) => Some((None, target)),
        ClearanceFact::Lift(..) => None,
        ClearanceFact::Consent(..) | ClearanceFact::RequiresConsent(..) => None,
    }
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    since: u64,
    /// The end of a freeze, by true time of day.
    until: i64,
}

/// What binds, since when.
#[derive(Debug, Default)]
pub(crate) struct Clearance {
    effective: BTreeMap<Key, Bound>,
    /// Index of the last entry about each.
    changed: BTreeMap<Key, u64>,
}

impl Clearance {
    /// The directory's entry `index` says so: what was said before binds no more.
    pub(crate) fn changed(&mut self, fact: &ClearanceFact, index: u64) {
        if let Some(key) = key(fact) {
            self.effective.remove(&key);
            self.changed.insert(key, index);
        }
    }

    /// That entry was answered as effective. True when it binds.
    pub(crate) fn effective(&mut self, now: u64, fact: &ClearanceFact, index: u64) -> bool {
        let until = match *fact {
            ClearanceFact::Pattern(_, true) | ClearanceFact::ScopedPattern(_, _, true) => i64::MAX,
            ClearanceFact::Freeze(_, Some(until)) => until.as_millis() - SKEW,
            _ => return false,
        };
        match key(fact).filter(|key| self.changed.get(key) == Some(&index)) {
            Some(key) => {
                let bound = Bound { since: now, until };
                self.effective.entry(key).or_insert(bound);
                true
            }
            None => false,
        }
    }

    fn binds(&self, lead: &LeasedLead, wall: i64) -> Option<(Target, u64)> {
        (self.effective.iter())
            .find(|((scope, target), bound)| {
                let here = |scope: &DncScope| scope.covers(lead.campaign, lead.lead.region());
                target.covers(lead.number) && wall < bound.until && scope.iter().all(here)
            })
            .map(|((_, target), bound)| (*target, bound.since))
    }

    pub(super) fn invite(&self, invite: &Invite<'_>) -> Checked {
        match self.binds(invite.lead, invite.wall) {
            None => Ok(()),
            Some((target, since)) => Err(Invariant::I3.broken(format!(
                "node {} dials {}, forbidden by {target} since {since} ms",
                invite.node, invite.lead.number
            ))),
        }
    }

    pub(super) fn rings(&self, now: u64, wall: i64, node: usize, lead: &LeasedLead) -> Checked {
        match self.binds(lead, wall) {
            Some((target, since)) if now > since + GRACE => Err(Invariant::I3.broken(format!(
                "{} still rings at node {node}, {} ms after {target} became effective",
                lead.attempt,
                now - since
            ))),
            _ => Ok(()),
        }
    }
}
