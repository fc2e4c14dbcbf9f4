//! One attempt: from the lease to its one disposition.

use crate::{
    center::CallingBack,
    end::AttemptEnd,
    leg::Failure,
    notice::{CallBackCard, CallCard, CallEnd, DispositionChoice, RecordingState, WITHHELD},
};
use domain::{
    AgentId, AttemptId, CallOutcome, Campaign, CampaignId, ConsentUsed, Disposition,
    DispositionCode, DncBaseId, Holds, Instant, LeadId, LeasedLead, LegId, Now, OtherCity,
    Permission, PhoneNumber, Presence, SessionId, TrunkId, VoiceDrop, WallTime, WhoAnswered,
};
use sansio::transitions::Table;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// The engine was asked to dial and has not said whether an INVITE left.
    Leased,
    /// An INVITE left.
    Dialing,
    /// 180 or 183 came.
    Ringing,
    /// 200 came.
    Answered,
    /// Is it a person?
    Screening,
    /// A machine: its beep is awaited, then a message is played.
    LeavingMessage,
    /// A person without an agent: for [`Campaign::answer_limit`], then the message is played.
    WaitingForAgent,
    /// A person and an agent speak.
    Bridged,
    /// The audio ended; the agent writes.
    WrapUp,
    /// It has its disposition.
    Closed,
}

/// What moves an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEvent {
    /// An INVITE left; again when the carrier failed and the next trunk is tried.
    Dialed,
    /// No INVITE left and none will.
    NotDialed,
    /// 180 or 183.
    Rang,
    /// 200.
    Answered,
    /// The network ended it without an answer.
    Failed,
    /// The engine fell silent about it.
    Lost,
    /// A verdict on who answered is awaited.
    ScreeningBegan,
    /// It is a machine or a fax.
    MachineFound,
    /// It is a machine, and a message is to be left.
    MachineAwaited,
    /// It is a person, who needs an agent.
    Queued,
    /// The abandonment message begins.
    MessageBegan,
    /// Joined with an agent.
    Joined,
    /// The person's leg ended, whoever ended it.
    HungUp,
    /// The disposition is set and kept.
    Disposed,
    /// The agent is gone; nobody will set a disposition.
    AgentLost,
}

/// Every move of an attempt.
pub const ATTEMPT: Table<AttemptState, AttemptEvent> = sansio::table!(
    "attempt", AttemptState, AttemptEvent;
    Leased: Dialed => Dialing,
    Leased: NotDialed => Closed,
    Leased: Lost => Closed,
    Dialing: Dialed => Dialing,
    Dialing: Rang => Ringing,
    Dialing: Answered => Answered,
    Dialing: Failed => Closed,
    Dialing: Lost => Closed,
    Ringing: Rang => Ringing,
    Ringing: Answered => Answered,
    Ringing: Failed => Closed,
    Ringing: Lost => Closed,
    Answered: ScreeningBegan => Screening,
    Answered: Queued => WaitingForAgent,
    Answered: HungUp => Closed,
    Screening: Queued => WaitingForAgent,
    Screening: MachineFound => Closed,
    Screening: MachineAwaited => LeavingMessage,
    Screening: HungUp => Closed,
    LeavingMessage: HungUp => Closed,
    WaitingForAgent: Joined => Bridged,
    WaitingForAgent: MessageBegan => WaitingForAgent,
    WaitingForAgent: HungUp => Closed,
    Bridged: HungUp => WrapUp,
    WrapUp: Disposed => Closed,
    WrapUp: AgentLost => Closed,
);

/// Why an attempt is given up before an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A do-not-call entry for the number came (I3).
    DoNotCall,
    /// The session's or the do-not-call state's validity ends (I2).
    ValidityEnded,
    /// The campaign was paused or stopped.
    CampaignPaused,
    /// A pause of the process slipped in while sending: the yes was too old (mesh, section 3.7).
    SentLate,
    /// The node is shutting down.
    Shutdown,
    /// It rang for [`Campaign::ring_limit`].
    RingLimit,
    /// The agent kept for it is gone and no other came.
    AgentGone,
    /// Pacing gave it up: whoever answers now would likely find no agent.
    TooRisky,
}

impl CancelReason {
    /// The disposition it leads to.
    pub const fn disposition(self) -> Disposition {
        match self {
            Self::RingLimit => Disposition::NoAnswer,
            _ => Disposition::Cancelled,
        }
    }

    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoNotCall => "do_not_call",
            Self::ValidityEnded => "validity_ended",
            Self::CampaignPaused => "campaign_paused",
            Self::SentLate => "sent_late",
            Self::Shutdown => "shutdown",
            Self::RingLimit => "ring_limit",
            Self::AgentGone => "agent_gone",
            Self::TooRisky => "too_risky",
        }
    }
}

/// What the engine knows of a sent INVITE; goes into the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialFacts {
    /// When the INVITE left. The engine may move it on in [`AttemptEnd`] when it was retransmitted.
    pub invited_at: WallTime,
    /// The number shown.
    pub caller_id: Option<PhoneNumber>,
    /// The trunk.
    pub trunk: Option<TrunkId>,
    /// Call-ID.
    pub sip_call_id: String,
    /// The rule pack and version that allowed it.
    pub rule_pack: String,
    /// The directory index at which do-not-call was checked.
    pub dnc_index: u64,
    /// The rest of why it was allowed.
    pub permission: Option<Permission>,
    /// The do-not-call base that was asked.
    pub dnc_base: Option<DncBaseId>,
    /// The person's consent, where one was there.
    pub consent: Option<ConsentUsed>,
    /// Whether the shown number was local, and held out by lot or not.
    pub presence: Option<Presence>,
    /// Of a call-back: the city whose number was called, where that is another.
    pub for_city: Option<OtherCity>,
}

/// What must be durable before an agent is told that a disposition is set (I7). After a crash it
/// gives the outcome of an attempt whose end was not written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalEntry {
    /// An agent, or the wrap-up limit, set a disposition.
    Disposed {
        /// The attempt.
        attempt: AttemptId,
        /// The lead.
        lead: LeadId,
        /// The session whose lease allowed it.
        session: SessionId,
        /// The campaign.
        campaign: CampaignId,
        /// Who.
        agent: Option<AgentId>,
        /// What.
        disposition: DispositionCode,
        /// The note.
        note: String,
        /// A promised callback.
        callback_at: Option<WallTime>,
        /// When the INVITE left.
        invited_at: WallTime,
        /// When the disposition was set.
        disposed_at: WallTime,
    },
}

impl JournalEntry {
    /// The outcome to report when the process died before the attempt was closed.
    pub fn outcome(&self) -> CallOutcome {
        let Self::Disposed {
            attempt,
            lead,
            disposition,
            callback_at,
            invited_at,
            disposed_at,
            ..
        } = self;
        CallOutcome::Dialed {
            lead: *lead,
            attempt: *attempt,
            disposition: Disposition::Agent(*disposition),
            invited_at: *invited_at,
            ended_at: *disposed_at,
            callback_at: *callback_at,
        }
    }
}

/// An agent's verdict on a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) code: DispositionCode,
    pub(crate) note: String,
    pub(crate) callback_at: Option<WallTime>,
    /// The command to answer once it is kept.
    pub(crate) request: Option<(AgentId, crate::RequestId)>,
    /// Whether the journal has it.
    pub(crate) kept: bool,
}

/// A live attempt.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) lease: LeasedLead,
    /// As it was when the attempt began: codes of dispositions are places in this list.
    pub(crate) campaign: Arc<Campaign>,
    pub(crate) leg: LegId,
    pub(crate) state: AttemptState,
    pub(crate) screening: Option<Duration>,
    /// Who answered, where somebody listened and told.
    pub(crate) who: Option<WhoAnswered>,
    pub(crate) began: Instant,
    pub(crate) dialed: Option<DialFacts>,
    pub(crate) ringing: Option<Now>,
    pub(crate) answered: Option<Now>,
    /// When the wait for an agent began: at the end of the person's greeting, where it was heard.
    pub(crate) queued: Option<Instant>,
    pub(crate) bridged_at: Option<WallTime>,
    pub(crate) ended: Option<CallEnd>,
    pub(crate) cancel: Option<CancelReason>,
    /// The abandonment message is being played: no agent will be joined any more.
    pub(crate) message: bool,
    /// The agent kept for this line.
    pub(crate) reserved: Option<AgentId>,
    /// The agent who took it.
    pub(crate) agent: Option<AgentId>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) failure: Option<Failure>,
    /// How its recording stands, while it is joined.
    pub(crate) recording: Option<RecordingState>,
    /// Nobody was dialed: a person called us.
    pub(crate) call_back: Option<CallingBack>,
    /// The leg to the agent, where that is one of another node.
    pub(crate) lent: Option<LegId>,
    /// The person is another node's: so are lease, record and disposition.
    pub(crate) borrowed: bool,
    /// What became of the message to the machine that answered.
    pub(crate) voice_drop: Option<VoiceDrop>,
    /// Since when the person is on hold.
    pub(crate) held: Option<Now>,
    /// Holds that began, and how long those that ended were.
    pub(crate) holds: Holds,
    /// When the last of the agent's keys will have been sent.
    pub(crate) keys_until: Instant,
}

impl Attempt {
    /// One that is about to be dialed.
    pub(crate) fn new(now: Now, lease: LeasedLead, campaign: Arc<Campaign>, leg: LegId) -> Self {
        Self {
            lease,
            campaign,
            leg,
            state: AttemptState::Leased,
            screening: None,
            who: None,
            began: now.monotonic,
            dialed: None,
            ringing: None,
            answered: None,
            queued: None,
            bridged_at: None,
            ended: None,
            cancel: None,
            message: false,
            reserved: None,
            agent: None,
            verdict: None,
            failure: None,
            recording: None,
            call_back: None,
            lent: None,
            borrowed: false,
            voice_drop: None,
            held: None,
            holds: Holds::default(),
            keys_until: now.monotonic,
        }
    }

    /// Whether the person's number is not known.
    pub(crate) fn withheld(&self) -> bool {
        self.call_back.is_some_and(|calling| calling.wish.withheld)
    }

    /// Dialed or about to be, not answered.
    pub(crate) fn unanswered(&self) -> bool {
        matches!(
            self.state,
            AttemptState::Leased | AttemptState::Dialing | AttemptState::Ringing
        )
    }

    /// May still need an agent, who is not there yet: what pacing calls a line.
    pub(crate) fn is_line(&self) -> bool {
        self.cancel.is_none()
            && (self.unanswered()
                || matches!(self.state, AttemptState::Answered | AttemptState::Screening))
    }

    pub(crate) fn card(&self) -> CallCard {
        let campaign = &self.campaign;
        CallCard {
            attempt: self.lease.attempt,
            lead: self.lease.lead,
            number: match self.withheld() {
                true => WITHHELD.to_owned(),
                false => self.lease.number.to_string(),
            },
            name: self.lease.profile.name.clone(),
            attributes: self.lease.profile.attributes.clone(),
            campaign: campaign.id,
            campaign_name: campaign.name.clone(),
            zones: (self.lease.zones.iter())
                .filter_map(|zone| domain::zones::name(*zone).map(str::to_owned))
                .collect(),
            dispositions: campaign
                .dispositions
                .iter()
                .map(|choice| DispositionChoice {
                    name: choice.name.clone(),
                    flags: choice.flags,
                })
                .collect(),
            bridged_at: self.bridged_at,
            ended: self.ended,
            disposition: self
                .verdict
                .as_ref()
                .filter(|verdict| verdict.kept)
                .map(|verdict| self.name_of(verdict.code)),
            recording: self.recording,
            held_since: self.held.map(|since| since.wall),
            call_back: self.call_back.map(|calling| CallBackCard {
                called: (self.dialed.as_ref())
                    .and_then(|facts| facts.caller_id)
                    .map_or_else(String::new, |number| number.to_string()),
                city: (self.dialed.as_ref())
                    .and_then(|facts| facts.for_city.as_ref())
                    .map(|city| city.name.clone()),
                waited_ms: calling.told().waited_ms,
                yours: self.agent.is_some() && calling.wish.agent == self.agent,
            }),
        }
    }

    pub(crate) fn name_of(&self, code: DispositionCode) -> String {
        self.campaign
            .disposition_name(Disposition::Agent(code))
            .to_owned()
    }

    pub(crate) fn end(self, now: Now, disposition: Disposition) -> AttemptEnd {
        let verdict = self.verdict;
        AttemptEnd {
            call_back: self.call_back.map(|calling| calling.told()),
            disposition,
            dialed: self.dialed,
            ringing_at: self.ringing.map(|at| at.wall),
            answered_at: self.answered.map(|at| at.wall),
            bridged_at: self.bridged_at,
            ended_at: self.ended.map_or(now.wall, |end| end.at),
            ended_by: self.ended.map(|end| end.by),
            who: self.who,
            closed_at: now.wall,
            agent: self.agent,
            cancelled: self.cancel,
            failure: self.failure.unwrap_or_default(),
            callback_at: verdict.as_ref().and_then(|v| v.callback_at),
            note: verdict.map_or_else(String::new, |v| v.note),
            leg: self.leg,
            campaign: self.campaign,
            lease: self.lease,
            voice_drop: self.voice_drop,
            holds: self.holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing() {
        insta::assert_snapshot!("attempt", ATTEMPT.drawing());
    }

    #[test]
    fn no_state_but_the_last_is_a_dead_end() {
        for moved in ATTEMPT.moves {
            assert_ne!(moved.from, AttemptState::Closed);
            assert!(
                moved.to == AttemptState::Closed
                    || ATTEMPT.moves.iter().any(|m| m.from == moved.to)
            );
        }
    }
}
