//! How leased leads end: reports of living sessions, late facts of ended ones, and what a
//! returning node's journal proves.

use super::{
    OutcomeCounts, OutcomeRefusal, Proof, RegionLedger, RegionRefusal, RegionReply,
    book::{Blocked, LeadSlot, LeadState, Row, seconds_up},
};
use domain::{
    CallOutcome, Disposition, Incarnation, MemberId, MeshVersion, SessionId, WallTime, limits,
};

/// Who tells an outcome.
#[derive(Clone, Copy)]
enum Teller {
    /// The session that holds or held the lead. It lives and speaks of its own acts, so its word
    /// that a lead was never dialed, and never will be, needs no journal.
    Holder(SessionId),
    /// A later run of the node, from the journal.
    Journal(MemberId, Incarnation, Proof),
}

/// What an outcome did.
enum Effect {
    Closed,
    Refunded,
    Nothing,
}

impl RegionLedger {
    pub(super) fn report(
        &mut self,
        session: SessionId,
        outcomes: &[CallOutcome],
    ) -> Result<RegionReply, RegionRefusal> {
        self.outcomes(Teller::Holder(session), outcomes)
    }

    pub(super) fn settle(
        &mut self,
        node: MemberId,
        incarnation: Incarnation,
        outcomes: &[CallOutcome],
        proof: Proof,
    ) -> Result<RegionReply, RegionRefusal> {
        self.outcomes(Teller::Journal(node, incarnation, proof), outcomes)
    }

    fn outcomes(
        &mut self,
        teller: Teller,
        outcomes: &[CallOutcome],
    ) -> Result<RegionReply, RegionRefusal> {
        if outcomes.len() > limits::OUTCOME_BATCH {
            return Err(RegionRefusal::TooMany {
                what: "outcomes".into(),
                got: outcomes.len() as u64,
                limit: limits::OUTCOME_BATCH as u64,
            });
        }
        let mut counts = OutcomeCounts::default();
        for (place, outcome) in outcomes.iter().enumerate() {
            match self.outcome(teller, outcome) {
                Ok(Effect::Closed) => counts.accepted += 1,
                Ok(Effect::Refunded) => counts.refunded += 1,
                Ok(Effect::Nothing) => counts.closed_before += 1,
                Err(refusal) => counts.refused.push((place as u32, refusal)),
            }
        }
        Ok(RegionReply::Reported(counts))
    }

    fn outcome(&mut self, teller: Teller, outcome: &CallOutcome) -> Result<Effect, OutcomeRefusal> {
        let lead = (self.slot(outcome.lead())).ok_or(OutcomeRefusal::UnknownLead)?;
        // An attempt has one lease and is closed once: whatever names another attempt than the
        // lease's is a repetition, or came after the doubt ran out.
        let Some(lease) =
            (self.leases.get(lead)).filter(|lease| lease.attempt == outcome.attempt())
        else {
            self.heard_late(lead, outcome);
            return Ok(Effect::Nothing);
        };
        let mut refundable = true;
        match teller {
            Teller::Holder(session) if lease.session == session => {}
            Teller::Holder(_) => return Err(OutcomeRefusal::OtherSession),
            Teller::Journal(node, incarnation, proof) => {
                let session = &self.sessions[&lease.session];
                if (session.node, session.incarnation) != (node, incarnation) {
                    return Err(OutcomeRefusal::OtherSession);
                }
                if session.ended.is_none() {
                    return Err(OutcomeRefusal::StillOpen);
                }
                refundable = proof != Proof::PowerLoss;
            }
        }
        match *outcome {
            CallOutcome::Undialed { .. } | CallOutcome::Listed { .. } if !refundable => {
                Err(OutcomeRefusal::NoProof)
            }
            // A crash leaves the network ringing or two people talking. Only the doubt's own end, or
            // somebody who saw the call end, may free the number (mesh protocol, section 3.6).
            CallOutcome::Dialed {
                disposition: Disposition::Unknown,
                ..
            } if matches!(teller, Teller::Journal(..)) => Err(OutcomeRefusal::UnknownEnd),
            CallOutcome::Undialed { .. } => {
                self.refund(lead);
                Ok(Effect::Refunded)
            }
            CallOutcome::Listed { base, .. } => {
                self.refund(lead);
                // What an older base said is asked of the one in use, and the node may not have heard
                // of a lift.
                let number = self.book.number_of(lead).number;
                if self.base == Some(base) && !self.clearance.is_lifted(number) {
                    (self.book).change(lead, |row| {
                        row.blocked = row.blocked.with(Blocked::BASE, true);
                    });
                }
                Ok(Effect::Refunded)
            }
            CallOutcome::Dialed {
                disposition,
                invited_at,
                callback_at,
                ..
            } => {
                // The node's clock may differ from ours, but it cannot have dialed before the
                // claim nor after now.
                let invited = invited_at.max(lease.claimed_at).min(self.clock());
                self.close_attempt(lead, disposition, invited, callback_at);
                Ok(Effect::Closed)
            }
        }
    }

    /// An abandonment told too late to be its attempt's end is true all the same: the gap after it
    /// holds from when it is known (I5). A repeated one changes nothing.
    fn heard_late(&mut self, lead: LeadSlot, outcome: &CallOutcome) {
        if let CallOutcome::Dialed {
            disposition: Disposition::Abandoned,
            invited_at,
            ..
        } = *outcome
        {
            self.abandoned(lead, invited_at.min(self.clock()));
        }
    }

    /// A call to the lead's number, dialed at `invited`, was abandoned.
    fn abandoned(&mut self, lead: LeadSlot, invited: WallTime) {
        let number = self.book.rows[lead as usize].number;
        if self.tell_elsewhere(number, seconds_up(invited)) {
            return;
        }
        let last = self.book.abandoned.entry(number).or_default();
        *last = seconds_up(invited).max(*last);
    }

    /// The attempt did not happen; the lead is due as it was before.
    fn refund(&mut self, lead: LeadSlot) {
        self.release(lead);
        let ended = self.moves.ends.remove(&lead);
        self.book.change(lead, |row| {
            row.attempts = row.attempts.saturating_sub(1);
            row.state = ended.map_or(LeadState::Waiting, LeadState::Finished);
        });
    }

    /// The attempt happened at `invited` and ended with `disposition`: counts it against the
    /// number, and lets the lead rest or finish.
    pub(super) fn close_attempt(
        &mut self,
        lead: LeadSlot,
        disposition: Disposition,
        invited: WallTime,
        callback_at: Option<WallTime>,
    ) {
        self.release(lead);
        self.book.number_of(lead).attempted(invited);
        if disposition == Disposition::Abandoned {
            self.abandoned(lead, invited);
        }
        let next = self.due_again(
            &self.book.rows[lead as usize],
            disposition,
            invited,
            callback_at,
        );
        // Its other half, from another region, was done before.
        let ended = self.moves.ends.remove(&lead);
        let next = next.filter(|_| ended.is_none());
        let promised = next.is_some() && callback_at.is_some();
        // Members that understand less order their copies without it.
        let told = self.version >= MeshVersion::PROMISES;
        self.book.promise(lead, promised && told);
        self.book.change(lead, |row| match next {
            Some(due) => {
                row.due = due;
                row.state = LeadState::Waiting;
            }
            None => row.state = LeadState::Finished(disposition),
        });
    }

    /// When a lead may be tried again after an attempt; never, if `None`.
    fn due_again(
        &self,
        row: &Row,
        disposition: Disposition,
        invited: WallTime,
        callback_at: Option<WallTime>,
    ) -> Option<WallTime> {
        let campaign = self.campaigns.get(&row.campaign)?;
        if disposition.is_dead_number() || row.attempts >= campaign.attempts_max {
            return None;
        }
        let rule = campaign.retry_after(disposition);
        let delay = match disposition {
            Disposition::Agent(code) => {
                let flags = campaign.flags(code)?;
                if flags.do_not_call {
                    return None;
                }
                if let Some(at) = callback_at {
                    return Some(at.max(self.clock()));
                }
                if !flags.retry {
                    return None;
                }
                rule.map_or(limits::DEFAULT_RETRY_DELAY, |rule| rule.delay)
            }
            _ => match (callback_at, rule) {
                (Some(at), _) => return Some(at.max(self.clock())),
                (None, Some(rule)) => rule.delay,
                // We gave it up, not the person: a pause, a drain, an agent who left; or a city was
                // lost with what it held, most of it never dialed.
                (None, None)
                    if matches!(disposition, Disposition::Cancelled | Disposition::Unknown) =>
                {
                    limits::DEFAULT_RETRY_DELAY
                }
                (None, None) => return None,
            },
        };
        if rule.is_some_and(|rule| row.attempts >= rule.attempts_max) {
            return None;
        }
        // Gaps count from the last INVITE that really left.
        Some(invited + delay)
    }
}
