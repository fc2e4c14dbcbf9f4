//! What is left of an attempt: its outcome and its record.

use crate::{
    attempt::{CancelReason, DialFacts},
    leg::Failure,
    notice::EndedBy,
};
use domain::{
    AgentId, CallBack, CallOutcome, CallRecord, Campaign, Disposition, Holds, LeasedLead, LegId,
    LegStats, Listened, MemberId, VoiceDrop, WallTime, WhoAnswered, answering::Verdict,
};
use std::sync::Arc;

/// Everything about a closed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// The lead and its lease.
    pub lease: LeasedLead,
    /// The campaign as it was when the attempt began.
    pub campaign: Arc<Campaign>,
    /// The person's leg.
    pub leg: LegId,
    /// The one final result; [`Disposition::Cancelled`] when nothing was dialed.
    pub disposition: Disposition,
    /// The INVITE; none when it never left.
    pub dialed: Option<DialFacts>,
    /// First 180 or 183.
    pub ringing_at: Option<WallTime>,
    /// 200.
    pub answered_at: Option<WallTime>,
    /// Joined with the agent.
    pub bridged_at: Option<WallTime>,
    /// Audio ended.
    pub ended_at: WallTime,
    /// Who ended an answered call.
    pub ended_by: Option<EndedBy>,
    /// Who answered, where somebody listened and told.
    pub who: Option<WhoAnswered>,
    /// Closed.
    pub closed_at: WallTime,
    /// The agent who took it.
    pub agent: Option<AgentId>,
    /// Why we gave it up, if we did.
    pub cancelled: Option<CancelReason>,
    /// What the network said, if it failed.
    pub failure: Failure,
    /// A promised callback.
    pub callback_at: Option<WallTime>,
    /// The agent's note.
    pub note: String,
    /// That the person called us, and how it went.
    pub call_back: Option<CallBack>,
    /// What became of the message to the machine that answered.
    pub voice_drop: Option<VoiceDrop>,
    /// How often the person was on hold, and for how long.
    pub holds: Holds,
}

impl AttemptEnd {
    /// What the region group is told. An attempt whose fate is unknown counts as dialed.
    pub fn outcome(&self) -> CallOutcome {
        let (lead, attempt) = (self.lease.lead, self.lease.attempt);
        let invited_at = match &self.dialed {
            Some(facts) => facts.invited_at,
            None if self.disposition == Disposition::Unknown => self.ended_at,
            None => return CallOutcome::Undialed { lead, attempt },
        };
        CallOutcome::Dialed {
            lead,
            attempt,
            disposition: self.disposition,
            invited_at,
            ended_at: self.ended_at,
            callback_at: self.callback_at,
        }
    }

    /// The call record, with what only the engine knows (the legs' figures, and what early media
    /// was); none when nothing was dialed.
    pub fn record(
        &self,
        node: MemberId,
        carrier_leg: Option<LegStats>,
        agent_leg: Option<LegStats>,
        early: Option<Verdict>,
    ) -> Option<CallRecord> {
        if matches!(self.outcome(), CallOutcome::Undialed { .. }) {
            return None;
        }
        let lease = &self.lease;
        let dialed = self.dialed.as_ref();
        Some(CallRecord {
            attempt: lease.attempt,
            lead: lease.lead,
            campaign: lease.campaign,
            list: lease.list,
            region: lease.lead.region(),
            node,
            session: lease.session,
            number: lease.number,
            caller_id: dialed.and_then(|facts| facts.caller_id),
            trunk: dialed.and_then(|facts| facts.trunk),
            sip_call_id: dialed.map_or_else(String::new, |facts| facts.sip_call_id.clone()),
            agent: self.agent,
            invited_at: dialed.map(|facts| facts.invited_at),
            ringing_at: self.ringing_at,
            answered_at: self.answered_at,
            bridged_at: self.bridged_at,
            ended_at: self.ended_at,
            closed_at: self.closed_at,
            disposition: self.disposition,
            disposition_name: self.campaign.disposition_name(self.disposition).to_owned(),
            sip_status: if self.answered_at.is_some() {
                200
            } else {
                self.failure.status
            },
            q850: self.failure.q850,
            ended_by: self.ended_by.map_or("", EndedBy::name).to_owned(),
            carrier_leg,
            agent_leg,
            rule_pack: dialed.map_or_else(
                || self.campaign.rule_pack.clone(),
                |facts| facts.rule_pack.clone(),
            ),
            dnc_index: dialed.map_or(0, |facts| facts.dnc_index),
            permission: dialed.and_then(|facts| facts.permission.clone()),
            dnc_base: dialed.and_then(|facts| facts.dnc_base),
            consent: dialed.and_then(|facts| facts.consent),
            note: self.note.clone(),
            listened: (early.is_some() || self.who.is_some()).then_some(Listened {
                early,
                answered: self.who,
            }),
            recording: None,
            call_back: self.call_back,
            presence: dialed.and_then(|facts| facts.presence),
            voice_drop: self.voice_drop,
            called_for: (dialed.and_then(|facts| facts.for_city.as_ref())).map(|city| city.node),
            holds: (self.holds.count > 0).then_some(self.holds),
        })
    }
}
