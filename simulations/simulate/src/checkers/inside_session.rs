//! I2: an INVITE only for a lead leased to the node's current session, inside that session; and
//! nothing unanswered rings on once the session has ended.

use super::{Invite, Truth};
use crate::violation::{Checked, Invariant};
use domain::{AttemptId, LeasedLead, RegionId, SessionId};
use std::collections::{BTreeMap, BTreeSet};

/// A node looks at its clock several times a second, and two clocks differ by ρ.
const GRACE: u64 = 2_500;

/// What was dialed, and when sessions ended.
#[derive(Debug, Default)]
pub(crate) struct InsideSession {
    dialed: BTreeSet<AttemptId>,
    ended: BTreeMap<(RegionId, SessionId), u64>,
}

impl InsideSession {
    /// Whatever becomes of it: one INVITE an attempt.
    pub(super) fn once(&mut self, invite: &Invite<'_>) -> Checked {
        if self.dialed.insert(invite.lead.attempt) {
            return Ok(());
        }
        Err(Invariant::I2.broken(format!(
            "node {} dials {} a second time",
            invite.node, invite.lead.attempt
        )))
    }

    pub(super) fn invite(&self, truth: Truth<'_>, invite: &Invite<'_>) -> Checked {
        let lead = invite.lead;
        let region = truth.region_of(lead);
        let session = region.and_then(|region| region.session(lead.session));
        if session.is_none_or(|session| session.ended.is_some()) {
            return Err(Invariant::I2.broken(format!(
                "node {} dials {} by {}, which has ended",
                invite.node, lead.attempt, lead.session
            )));
        }
        let held = region.map(|region| region.leased_to(lead.session));
        let held = held.unwrap_or_default();
        if held.iter().any(|held| held.attempt == lead.attempt) {
            return Ok(());
        }
        Err(Invariant::I2.broken(format!(
            "node {} dials {}, which {} does not hold",
            invite.node, lead.attempt, lead.session
        )))
    }

    pub(crate) fn ended(&mut self, now: u64, session: (RegionId, SessionId)) {
        self.ended.insert(session, now);
    }

    pub(super) fn rings(&self, now: u64, node: usize, lead: &LeasedLead) -> Checked {
        match self.ended.get(&(lead.lead.region(), lead.session)) {
            Some(ended) if now > ended + GRACE => Err(Invariant::I2.broken(format!(
                "{} still rings at node {node}, {} ms after {} ended",
                lead.attempt,
                now - ended,
                lead.session
            ))),
            _ => Ok(()),
        }
    }
}
