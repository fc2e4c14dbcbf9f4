//! I1: at most one live attempt to a number, whoever dials and whatever crashes.

use super::{CallKey, Invite};
use crate::{
    group::Group,
    violation::{Checked, Invariant},
};
use domain::PhoneNumber;
use ledger::{LeadStanding, RegionLedger};
use std::collections::BTreeMap;

/// What the network makes of an INVITE. Times are real, in milliseconds of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) start: u64,
    pub(crate) answered: Option<u64>,
    pub(crate) end: u64,
}

impl Call {
    pub(crate) fn rings(&self, now: u64) -> bool {
        self.end > now && self.answered.is_none_or(|at| at > now)
    }
}

/// Calls that the network works on.
#[derive(Debug, Default)]
pub(crate) struct OneLiveAttempt {
    calls: BTreeMap<CallKey, Call>,
    latest: BTreeMap<PhoneNumber, Vec<CallKey>>,
}

impl OneLiveAttempt {
    pub(super) fn invite(&mut self, invite: &Invite<'_>, call: Call) -> Checked {
        let keys = self.latest.entry(invite.lead.number).or_default();
        let calls = &mut self.calls;
        keys.retain(|key| {
            let lives = calls.get(key).is_some_and(|call| call.end > invite.at);
            if !lives {
                calls.remove(key);
            }
            lives
        });
        if let Some(other) = keys.first() {
            return Err(Invariant::I1.broken(format!(
                "node {} dials {} for {} while {other} lives until {} ms",
                invite.node, invite.lead.number, invite.lead.attempt, self.calls[other].end,
            )));
        }
        keys.push(invite.lead.attempt);
        self.calls.insert(invite.lead.attempt, call);
        Ok(())
    }

    /// The call of an attempt, while the network remembers it.
    pub(crate) fn call(&self, attempt: CallKey) -> Option<Call> {
        self.calls.get(&attempt).copied()
    }

    /// The network ends a call at another time than was thought.
    pub(crate) fn ends(&mut self, attempt: CallKey, end: u64, answered: Option<u64>) {
        if let Some(call) = self.calls.get_mut(&attempt) {
            call.end = end;
            call.answered = answered;
        }
    }
}

/// A number is dialable, leased or in doubt in one region at most.
pub(crate) fn dialable_in(regions: &[Group<RegionLedger>], number: PhoneNumber) -> Checked {
    let here = |region: &&RegionLedger| {
        let leads = region.leads_of(number).into_iter();
        let mut leads = leads.filter_map(|lead| region.lead(lead));
        leads.any(|lead| {
            !matches!(
                lead.standing,
                LeadStanding::Moving | LeadStanding::Finished(_) | LeadStanding::Moved(_)
            )
        })
    };
    let dialable = regions.iter().map(|group| &group.witness).filter(here);
    let dialable: Vec<_> = dialable.map(RegionLedger::region).collect();
    if dialable.len() <= 1 {
        return Ok(());
    }
    Err(Invariant::I1.broken(format!("{number} is dialable in {dialable:?}")))
}
