//! Agents and API tokens.

use super::{Checks, Timestamp, Validate};
use crate::{auth::Role, problem::FieldError};
use domain::{AgentId, CampaignId, MemberId, Secret, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A new agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentRequest {
    /// Sign-in name and SIP user name: 1 to 32 of `a-z 0-9 - _ .`.
    pub login: String,
    /// Name shown.
    pub name: String,
    /// The node the agent belongs to.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// Campaigns the agent takes calls of; empty for every running one.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub campaigns: Vec<CampaignId>,
}

impl Validate for AgentRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        checks.require(
            (1..=32).contains(&self.login.len()) && self.login.bytes().all(known),
            "/login",
            || "is not 1 to 32 of a-z, 0-9, hyphen, underscore and dot".to_owned(),
        );
        checks.name("/name", &self.name);
        checks.range("/campaigns", self.campaigns.len(), (0, limits::CAMPAIGNS));
        checks.done()
    }
}

/// An agent. Secrets are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// The id.
    #[schema(value_type = String, example = "agent_00000001")]
    pub id: AgentId,
    /// Sign-in name and SIP user name.
    pub login: String,
    /// Name shown.
    pub name: String,
    /// The node the agent belongs to.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// Campaigns the agent takes calls of; empty for every running one.
    #[schema(value_type = Vec<String>)]
    pub campaigns: Vec<CampaignId>,
    /// Whether the agent may sign in.
    pub enabled: bool,
}

impl From<&domain::AgentAccount> for Agent {
    fn from(account: &domain::AgentAccount) -> Self {
        Self {
            id: account.id,
            login: account.login.clone(),
            name: account.name.clone(),
            node: account.node,
            campaigns: account.campaigns.clone(),
            enabled: account.enabled,
        }
    }
}

/// A new agent with the secrets that are shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentCreated {
    /// The agent.
    pub agent: Agent,
    /// The phone's digest password; its user name is the login.
    #[schema(value_type = String)]
    pub sip_password: Secret,
    /// Opens the agent's API on the node.
    #[schema(value_type = String)]
    pub token: Secret,
}

/// Changes of an agent: only what is given changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentPatch {
    /// Name shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Campaigns the agent takes calls of; empty for every running one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub campaigns: Option<Vec<CampaignId>>,
    /// Whether the agent may sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

impl Validate for AgentPatch {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        if let Some(name) = &self.name {
            checks.name("/name", name);
        }
        let campaigns = self.campaigns.as_ref().map_or(0, Vec::len);
        checks.range("/campaigns", campaigns, (0, limits::CAMPAIGNS));
        checks.done()
    }
}

impl AgentPatch {
    /// Applies the changes.
    pub fn apply(self, account: &mut domain::AgentAccount) {
        account.enabled = self.enabled.unwrap_or(account.enabled);
        if let Some(name) = self.name {
            account.name = name;
        }
        if let Some(campaigns) = self.campaigns {
            account.campaigns = campaigns;
        }
    }
}

/// A fresh token for an object that exists, shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenIssued {
    /// The token. The one before is void.
    #[schema(value_type = String)]
    pub token: Secret,
}

/// A new token of this API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiTokenRequest {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// How long it is good; 90 days when not given, a year at most.
    #[serde(default = "ninety_days")]
    pub ttl_seconds: u64,
}

const fn ninety_days() -> u64 {
    90 * 86_400
}

impl Validate for ApiTokenRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        checks.range("/ttl_seconds", self.ttl_seconds, (60, 366 * 86_400));
        checks.done()
    }
}

/// A token of this API; the token itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiToken {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// A new token, shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiTokenCreated {
    /// What it is.
    #[serde(flatten)]
    pub info: ApiToken,
    /// The token itself.
    #[schema(value_type = String)]
    pub token: Secret,
}
