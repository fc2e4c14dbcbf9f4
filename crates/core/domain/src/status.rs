//! What a node says of itself each second: counts and ages, never a number or a name of a person.

use crate::{CampaignId, MemberId, RegionId, SessionId, TrunkId, WallTime};
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
    /// Why its trunks are up or not. Last: a node of the release before does not say it.
    pub trunk_health: Vec<TrunkHealth>,
}
