//! What is asked before an INVITE, and the two answers.

use domain::{
    AttemptId, CallerId, CampaignId, ConsentUsed, CountryCode, DncBaseId, Instant, PhoneNumber,
    RegionId, SessionId, TrunkId, WallTime,
};
use std::time::Duration;

/// An attempt that is about to be dialed.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The reserved attempt.
    pub attempt: AttemptId,
    /// The session that the lead is leased to.
    pub session: SessionId,
    /// The lead's home region.
    pub region: RegionId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// The number to be called.
    pub number: PhoneNumber,
    /// The trunk it is to leave by.
    pub trunk: TrunkId,
    /// The number to be shown.
    pub caller_id: &'a CallerId,
    /// Whether the campaign's rule pack asks for consent; the campaign itself may, too.
    pub consent_required: bool,
    /// How old the rule pack allows a registry's data to be, that is the base in use.
    pub registry_age_max: Option<Duration>,
    /// The country whose registry that is; none when the rule pack names none.
    pub registry_country: Option<CountryCode>,
    /// Version of the rule pack by which the calling window is judged, for the call record.
    pub rule_pack_version: u32,
}

/// An INVITE may leave now. Carries what the call record says of why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The attempt.
    pub attempt: AttemptId,
    /// The region whose session allowed it.
    pub region: RegionId,
    /// The session whose lease allowed it.
    pub session: SessionId,
    /// The number shown, against whose caps the attempt is counted.
    pub caller_id: PhoneNumber,
    /// When it was judged, by the calendar.
    pub checked_at: WallTime,
    /// The directory index at which do-not-call was checked.
    pub dnc_index: u64,
    /// The do-not-call base that was asked.
    pub dnc_base: Option<DncBaseId>,
    /// The person's consent, where one was there.
    pub consent: Option<ConsentUsed>,
    /// The rule pack's version.
    pub rule_pack_version: u32,
    /// Validity of session and freshness ends: an INVITE that left later must be cancelled.
    pub valid_until: Instant,
}

/// The rule that forbids an INVITE, in the order in which they are looked at: what cannot change
/// while the lead is held comes last, so that the answer names the nearest cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// I2: this node has no session in the lead's region.
    #[error("no session in {0}")]
    NoSession(RegionId),
    /// I2: the lead is leased to an earlier session of this node.
    #[error("leased to {leased}, the current session is {current}")]
    OtherSession {
        /// The lead's.
        leased: SessionId,
        /// This node's.
        current: SessionId,
    },
    /// I2: the session's validity has ended, or will within the guard.
    #[error("the session's validity has ended or is about to")]
    SessionEnding,
    /// I3: the copy of do-not-call is not fresh, or will not be within the guard.
    #[error("the copy of do-not-call is not fresh")]
    NotFresh,
    /// I3: the do-not-call base that the directory has put into use is not here.
    #[error("the do-not-call base in use is not at this node yet")]
    NoDncBase,
    /// The do-not-call base in use is older than the rule pack allows a registry's data to be.
    #[error("the do-not-call base in use is older than the rule pack allows")]
    OldDncBase,
    /// I3: the number must not be called.
    #[error("a do-not-call entry, pattern or the base covers the number")]
    DoNotCall,
    /// I3: the number rests by a freeze that has not ended.
    #[error("the number is frozen")]
    Frozen,
    /// Consent is asked for, and there is none that is good.
    #[error("the campaign asks for consent, and there is none that is good")]
    NoConsent,
    /// I4: nobody can tell what time it is: this machine's clock and those of the other members
    /// disagree, and there is no majority.
    #[error("the clocks of this member and of the others disagree")]
    ClockDisputed,
    /// I4: the window is closed in a zone where the number may lie.
    #[error("outside the calling window")]
    WindowClosed,
    /// I9: the caller ID belongs to another trunk.
    #[error("the caller ID belongs to {owner}, not to {trunk}")]
    OtherTrunk {
        /// Whose it is.
        owner: TrunkId,
        /// The one wished for.
        trunk: TrunkId,
    },
    /// I9: the caller ID rests.
    #[error("the caller ID is resting")]
    Resting,
    /// I9: the caller ID is not one of this node's.
    #[error("the caller ID is not known at this node")]
    UnknownCallerId,
    /// I9: the caller ID was shown as often as a day allows.
    #[error("the caller ID's cap for a day is reached")]
    DayCap,
    /// I9: the caller ID was shown as often as an hour allows.
    #[error("the caller ID's cap for an hour is reached")]
    HourCap,
}

impl Denial {
    /// The rule's name in metrics and records.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::NoSession(_) => "no_session",
            Self::OtherSession { .. } => "other_session",
            Self::SessionEnding => "session_ending",
            Self::NotFresh => "not_fresh",
            Self::NoDncBase => "no_dnc_base",
            Self::OldDncBase => "old_dnc_base",
            Self::DoNotCall => "do_not_call",
            Self::Frozen => "frozen",
            Self::NoConsent => "no_consent",
            Self::ClockDisputed => "clock_disputed",
            Self::WindowClosed => "window_closed",
            Self::OtherTrunk { .. } => "other_trunk",
            Self::Resting => "resting",
            Self::UnknownCallerId => "unknown_caller_id",
            Self::DayCap => "day_cap",
            Self::HourCap => "hour_cap",
        }
    }

    /// Whether another caller ID might be allowed where this one is not.
    pub const fn is_about_caller_id(self) -> bool {
        matches!(
            self,
            Self::OtherTrunk { .. }
                | Self::Resting
                | Self::UnknownCallerId
                | Self::DayCap
                | Self::HourCap
        )
    }

    /// Whether the lead must be given back rather than tried again here.
    pub const fn gives_lead_back(self) -> bool {
        matches!(
            self,
            Self::NoSession(_)
                | Self::OtherSession { .. }
                | Self::DoNotCall
                | Self::Frozen
                | Self::NoConsent
                | Self::WindowClosed
        )
    }
}
