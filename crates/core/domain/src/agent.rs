//! Agents: the people who talk.

use crate::{AgentId, CampaignId, MemberId, Secret};
use serde::{Deserialize, Serialize};

/// Why an agent is paused: `break`, `lunch`, `training`; the empty code is "not yet ready".
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PauseCode(pub String);

/// What an agent is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "code")]
pub enum AgentState {
    /// No shift.
    LoggedOut,
    /// On shift, takes no calls.
    Paused(PauseCode),
    /// Waits for a call.
    Ready,
    /// Kept for a line that is being dialed.
    Reserved,
    /// In a bridge.
    OnCall,
    /// After the call.
    WrapUp,
}

impl AgentState {
    /// Name in metrics and API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LoggedOut => "logged_out",
            Self::Paused(_) => "paused",
            Self::Ready => "ready",
            Self::Reserved => "reserved",
            Self::OnCall => "on_call",
            Self::WrapUp => "wrap_up",
        }
    }
}

/// An agent as the directory keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentAccount {
    /// The id.
    pub id: AgentId,
    /// Sign-in name and SIP user name; lower-case letters, digits, `-`, `_`, `.`; at most 32.
    pub login: String,
    /// Name shown.
    pub name: String,
    /// The node the agent belongs to.
    pub node: MemberId,
    /// Campaigns the agent takes calls of; empty means every running one.
    pub campaigns: Vec<CampaignId>,
    /// The SIP phone's digest password.
    pub sip_password: Secret,
    /// BLAKE3 of the token that opens the agent's API, in hexadecimal; the token itself is shown once.
    pub token_hash: String,
    /// Whether the agent may sign in.
    pub enabled: bool,
}
