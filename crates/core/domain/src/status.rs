//! What a node says of itself each second: counts and ages, never a number or a name of a person.

mod problem;

pub use problem::NodeProblem;

use crate::{CampaignId, DialLevel, MemberId, RegionId, SessionId, TrunkId, WallTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a node hears the groups it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeMode {
    /// Sessions and freshness are renewed.
    #[default]
    Central,
    /// Cut off: dials what it holds until validity ends, queues its results.
    Local,
    /// Draining: no new attempts, live calls go on.
    Draining,
}

/// A node's session in one region group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The region.
    pub region: RegionId,
    /// The session, if one is open.
    pub session: Option<SessionId>,
    /// Milliseconds of validity left; 0 when ended.
    pub valid_ms: u64,
    /// Leads leased and not yet dialed.
    pub hopper: u32,
}

/// Why a trunk takes no new calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkTrouble {
    /// It cannot be used as it is set up: its address is none, or there is no room to watch it.
    Unusable,
    /// It does not answer OPTIONS.
    NoOptions,
    /// The carrier refuses our REGISTER, or does not answer it.
    Unregistered,
    /// The carrier asked to be left alone for a time (503 with Retry-After).
    RetryAfter,
    /// Calls failed on the carrier's side, one after the other.
    Errors,
    /// INVITEs were left without any answer.
    Silent,
    /// Its address cannot be reached.
    Unreachable,
    /// Far fewer calls are answered than used to be, on this trunk alone.
    FewAnswers,
    /// Its name has not led to an address yet.
    Unresolved,
}

impl TrunkTrouble {
    /// Every one, in the order in which they are told.
    pub const ALL: [Self; 9] = [
        Self::Unusable,
        Self::NoOptions,
        Self::Unregistered,
        Self::RetryAfter,
        Self::Errors,
        Self::Silent,
        Self::Unreachable,
        Self::FewAnswers,
        Self::Unresolved,
    ];

    /// Its name in the API and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unusable => "unusable",
            Self::NoOptions => "no_options",
            Self::Unregistered => "unregistered",
            Self::RetryAfter => "retry_after",
            Self::Errors => "errors",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::FewAnswers => "few_answers",
            Self::Unresolved => "unresolved",
        }
    }
}

/// What kept a node from launching more lines of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PacingLimit {
    /// Nobody who takes its calls is on shift.
    NoAgents,
    /// The copy of do-not-call is not whole, or too old: nobody is dialed.
    DoNotCall,
    /// No lead is at hand.
    Leads,
    /// The trunks have no free channel.
    Channels,
    /// The trunks take no more calls a second.
    CallsPerSecond,
    /// The ramp at the begin of a shift.
    RampUp,
    /// The ramp before the end of dialing.
    RampDown,
    /// The ready agents are left to inbound calls.
    InboundAgents,
    /// The share of the abandonment budget is unknown or spent: one line for each ready agent.
    Budget,
    /// Each ready agent has a line.
    ReadyAgents,
    /// Too little was seen yet: one line for each ready agent.
    Young,
    /// The budget would not outlast everybody answering and all agents leaving.
    Reserve,
    /// One more line would risk more than the target abandonment pays for.
    Target,
    /// One more line would risk more than the budget pays for.
    Risk,
    /// The dial level.
    DialLevel,
}

impl PacingLimit {
    /// Every one.
    pub const ALL: [Self; 15] = [
        Self::NoAgents,
        Self::DoNotCall,
        Self::Leads,
        Self::Channels,
        Self::CallsPerSecond,
        Self::RampUp,
        Self::RampDown,
        Self::InboundAgents,
        Self::Budget,
        Self::ReadyAgents,
        Self::Young,
        Self::Reserve,
        Self::Target,
        Self::Risk,
        Self::DialLevel,
    ];

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAgents => "no_agents",
            Self::DoNotCall => "do_not_call",
            Self::Leads => "leads",
            Self::Channels => "trunk_channels",
            Self::CallsPerSecond => "trunk_calls_per_second",
            Self::RampUp => "ramp_up",
            Self::RampDown => "ramp_down",
            Self::InboundAgents => "inbound_agents",
            Self::Budget => "abandonment_budget",
            Self::ReadyAgents => "ready_agents",
            Self::Young => "still_learning",
            Self::Reserve => "budget_reserve",
            Self::Target => "target_abandonment",
            Self::Risk => "abandonment_risk",
            Self::DialLevel => "dial_level",
        }
    }
}

/// What holds one campaign's pacing at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacingStatus {
    /// The campaign.
    pub campaign: CampaignId,
    /// What held most of the decisions since the node last said so.
    pub limit: PacingLimit,
    /// The dial level of the moment: below the campaign's own while it is ramped.
    pub level: DialLevel,
    /// Lines that may still need an agent.
    pub lines: u32,
    /// Agents on shift who take its calls.
    pub agents: u32,
    /// Those of them who are ready.
    pub ready: u32,
    /// Those of the ready ones who are left to inbound calls.
    pub spared: u32,
}

/// One trunk as its node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkStatus {
    /// The trunk.
    pub trunk: TrunkId,
    /// Takes new calls, as far as its health goes.
    pub up: bool,
    /// Calls on it now.
    pub channels: u32,
    /// INVITEs it was sent since the node started.
    pub attempts: u64,
    /// Those answered.
    pub answered: u64,
}

/// Why a trunk is up or not, beside its [`TrunkStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkHealth {
    /// The trunk.
    pub trunk: TrunkId,
    /// Why it takes no new calls; none while it does.
    pub trouble: Option<TrunkTrouble>,
    /// Since when it is up or not, by the node's clock.
    pub since: WallTime,
    /// Its calls that failed on the carrier's side and were tried at another address or on another trunk.
    pub failed_over: u64,
}

/// Agents of a node by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentCounts {
    /// On shift and paused.
    pub paused: u32,
    /// Waiting for a call.
    pub ready: u32,
    /// Kept for a line being dialed.
    pub reserved: u32,
    /// In a bridge.
    pub on_call: u32,
    /// After a call.
    pub wrap_up: u32,
}

/// Counts of one campaign, or of all, since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttemptCounts {
    /// Attempts whose INVITE left.
    pub attempts: u64,
    /// Answered by whom or whatever.
    pub answered: u64,
    /// Joined with an agent.
    pub bridged: u64,
    /// Live answers that no agent took in time.
    pub abandoned: u64,
}

/// Attempts in the air by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LineCounts {
    /// INVITE sent, nothing heard.
    pub dialing: u32,
    /// Ringing.
    pub ringing: u32,
    /// Answered, no agent yet.
    pub waiting: u32,
    /// Person and agent talk.
    pub bridged: u32,
}

/// Calls of one campaign whose other side is at another node. Totals count since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverflowStatus {
    /// The campaign.
    pub campaign: CampaignId,
    /// Persons of this node who speak with other nodes' agents now.
    pub out_now: u32,
    /// Agents of this node who speak with other nodes' persons now, or are kept for them.
    pub in_now: u32,
    /// Persons of this node who were joined with other nodes' agents.
    pub out_total: u64,
    /// Agents of this node who were joined with other nodes' persons.
    pub in_total: u64,
    /// How often another node was asked and no agent came of it: nobody free there after all, or too
    /// late. One person may count twice.
    pub missed: u64,
}

/// Everything a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node: MemberId,
    /// When it said so, by its own clock.
    pub at: WallTime,
    /// Whether it hears its groups.
    pub mode: NodeMode,
    /// Since when.
    pub mode_since: WallTime,
    /// Outcomes and records waiting to be shipped.
    pub queued: u32,
    /// Milliseconds for which its copy of do-not-call may be trusted.
    pub fresh_ms: u64,
    /// Its sessions.
    pub sessions: Vec<SessionStatus>,
    /// Its trunks.
    pub trunks: Vec<TrunkStatus>,
    /// Its agents.
    pub agents: AgentCounts,
    /// Its lines.
    pub lines: LineCounts,
    /// All campaigns together.
    pub total: AttemptCounts,
    /// Each campaign.
    pub campaigns: BTreeMap<CampaignId, AttemptCounts>,
    /// Attempts that the last check refused, by rule.
    pub refused: BTreeMap<String, u64>,
    /// Why its trunks are up or not.
    pub trunk_health: Vec<TrunkHealth>,
    /// What holds the campaigns that it dials, at most [`crate::limits::PACING_TOLD`] of them.
    pub pacing: Vec<PacingStatus>,
    /// What is wrong with its set-up, at most [`crate::limits::PROBLEMS_TOLD`] of them.
    pub problems: Vec<NodeProblem>,
    /// Campaigns with calls that were carried between this node and others, at most
    /// [`crate::limits::PACING_TOLD`] of them, those with the lowest ids. This and the problems come last: a
    /// node of the release before does not say them.
    pub overflow: Vec<OverflowStatus>,
}
