//! Campaigns: rules, script, caller IDs, pacing mode under one name and one abandonment budget.

use crate::{CampaignId, RegionId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How lines are launched for a campaign's agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PacingMode {
    /// One line for each ready agent, reserved for it: abandonment cannot happen.
    Progressive,
    /// `dial_level` lines for each ready agent.
    Ratio,
    /// As many lines as the abandonment budget allows, from the ages of lines, talks and wrap-ups;
    /// at most `dial_level` for each agent on shift.
    Predictive,
}

/// Lines per ready agent, in hundredths: `DialLevel(150)` is 1.5. An integer, since replicas must
/// agree to the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DialLevel(pub u16);

impl DialLevel {
    /// One line for each ready agent.
    pub const ONE: Self = Self(100);

    /// Lines for so many ready agents, rounded down, at least one line when there is an agent.
    pub fn lines(self, ready: u32) -> u32 {
        let lines = u64::from(ready) * u64::from(self.0) / 100;
        u32::try_from(lines)
            .unwrap_or(u32::MAX)
            .max(u32::from(ready > 0))
    }
}

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignState {
    /// Created, not started: leads may be imported, nothing is dialed.
    Draft,
    /// Dialing.
    Running,
    /// No new attempts; live calls go on; leases are given back.
    Paused,
    /// Ended for good.
    Stopped,
}

/// A disposition that agents of a campaign may set; the code is its place in the campaign's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DispositionCode(pub u16);

/// What follows from an agent's disposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispositionFlags {
    /// The right person was spoken to.
    #[serde(default)]
    pub contact: bool,
    /// The campaign's aim was reached.
    #[serde(default)]
    pub success: bool,
    /// The person asked not to be called: a do-not-call entry follows.
    #[serde(default)]
    pub do_not_call: bool,
    /// The lead may be tried again by the retry rule.
    #[serde(default)]
    pub retry: bool,
    /// The lead rests until a date.
    #[serde(default)]
    pub freeze: bool,
}

/// One of a campaign's own dispositions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentDisposition {
    /// Short stable name in API and reports (`sale`, `not_interested`).
    pub name: String,
    /// What follows.
    pub flags: DispositionFlags,
}

/// The one final result of an attempt. A failed call is an outcome, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Rang to the ring limit, or the network said 408 or 480-like without a better cause.
    NoAnswer,
    /// 486, 600, Q.850 17.
    Busy,
    /// 404, 604, Q.850 1: no such number (空号).
    Unallocated,
    /// 480 with Q.850 20: subscriber absent (关机).
    PoweredOff,
    /// Q.850 27 or an announcement: service suspended (停机).
    OutOfService,
    /// 403, 603, 607, 608, Q.850 21.
    Rejected,
    /// The carrier failed: 5xx, Q.850 34, 38, 41, 42, 44.
    CarrierFailure,
    /// The trunk could not be reached or refused our credentials.
    TrunkFailure,
    /// An answering machine.
    Machine,
    /// A fax or modem.
    Fax,
    /// A live answer that no agent took within the limit.
    Abandoned,
    /// We gave the attempt up before an answer; why is in the record.
    Cancelled,
    /// A crash hid the end.
    Unknown,
    /// Set by the agent, from the campaign's list.
    Agent(DispositionCode),
    /// A person who called back spoke with nobody; how it went is in the record. Never an attempt's.
    NotTaken,
    /// An answering machine, on which the campaign's message was left.
    MessageLeft,
}

impl Disposition {
    /// Every system disposition of attempts, for tables and tests.
    pub const SYSTEM: [Self; 14] = [
        Self::NoAnswer,
        Self::Busy,
        Self::Unallocated,
        Self::PoweredOff,
        Self::OutOfService,
        Self::Rejected,
        Self::CarrierFailure,
        Self::TrunkFailure,
        Self::Machine,
        Self::Fax,
        Self::Abandoned,
        Self::Cancelled,
        Self::Unknown,
        Self::MessageLeft,
    ];

    /// The name of a system disposition in API, metrics and reports; `agent` for an agent's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Unallocated => "unallocated",
            Self::PoweredOff => "powered_off",
            Self::OutOfService => "out_of_service",
            Self::Rejected => "rejected",
            Self::CarrierFailure => "carrier_failure",
            Self::TrunkFailure => "trunk_failure",
            Self::Machine => "machine",
            Self::Fax => "fax",
            Self::Abandoned => "abandoned",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Agent(_) => "agent",
            Self::NotTaken => "not_taken",
            Self::MessageLeft => "message_left",
        }
    }

    /// Whether the number itself can never be reached again, whatever the retry rule says.
    pub const fn is_dead_number(self) -> bool {
        matches!(self, Self::Unallocated | Self::OutOfService | Self::Fax)
    }
}

/// When a lead may be tried again after one kind of result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRule {
    /// The result it is about. An agent's disposition with the flag *retry* uses `Agent(code)`,
    /// or the campaign's `default_retry` where no rule names it.
    pub after: Disposition,
    /// How long the lead rests.
    pub delay: Duration,
    /// At most so many attempts in all once this result has come.
    pub attempts_max: u16,
}

/// A campaign as the directory keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Unique among campaigns that are not stopped.
    pub name: String,
    /// Where it stands.
    pub state: CampaignState,
    /// Regions whose nodes dial it; empty means all.
    pub regions: Vec<RegionId>,
    /// How lines are launched.
    pub pacing: PacingMode,
    /// Lines per ready agent in mode `Ratio`.
    pub dial_level: DialLevel,
    /// How long to let it ring before CANCEL; 15 s to 120 s.
    pub ring_limit: Duration,
    /// How long a call may last.
    pub talk_limit: Duration,
    /// How long an answered person may wait for an agent before the message is played (2 s).
    pub answer_limit: Duration,
    /// How long wrap-up may last before the default disposition is set.
    pub wrap_up_limit: Duration,
    /// Whether an agent becomes ready by itself after wrap-up.
    pub auto_ready: bool,
    /// The rule pack's name: `us-federal`, `china`.
    pub rule_pack: String,
    /// Retry rules; a result without a rule ends the lead.
    pub retry: Vec<RetryRule>,
    /// At most so many attempts at a lead in all.
    pub attempts_max: u16,
    /// The campaign's own dispositions; the place is the code.
    pub dispositions: Vec<AgentDisposition>,
    /// The disposition when wrap-up runs out; a code of `dispositions`.
    pub default_disposition: DispositionCode,
    /// Allow any caller ID of the dialing city when none is local to the number.
    pub any_city_caller_id: bool,
    /// Grows with each change; for `ETag` and `If-Match`.
    pub version: u64,
}

impl Campaign {
    /// The flags of an agent's disposition, if the campaign has such a code.
    pub fn flags(&self, code: DispositionCode) -> Option<DispositionFlags> {
        self.dispositions.get(usize::from(code.0)).map(|d| d.flags)
    }

    /// The name of a disposition as API and reports show it.
    pub fn disposition_name(&self, disposition: Disposition) -> &str {
        match disposition {
            Disposition::Agent(code) => self
                .dispositions
                .get(usize::from(code.0))
                .map_or("agent", |d| d.name.as_str()),
            system => system.name(),
        }
    }

    /// The retry rule for a result.
    pub fn retry_after(&self, disposition: Disposition) -> Option<&RetryRule> {
        self.retry.iter().find(|rule| rule.after == disposition)
    }
}
