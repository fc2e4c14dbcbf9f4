//! Live calls, and supervisors in them.

use super::{CallDirection, Timestamp, Validate};
use crate::problem::FieldError;
use domain::{AgentId, AttemptId, CampaignId, MemberId, RegionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a supervisor is in a call. Each hears the agent and the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SupervisionManner {
    /// Nobody hears the supervisor.
    Listen,
    /// The agent hears the supervisor; the person does not, and no recording has it.
    Whisper,
    /// Both hear the supervisor.
    Barge,
}

impl From<domain::Supervision> for SupervisionManner {
    fn from(manner: domain::Supervision) -> Self {
        match manner {
            domain::Supervision::Listen => Self::Listen,
            domain::Supervision::Whisper => Self::Whisper,
            domain::Supervision::Barge => Self::Barge,
        }
    }
}

impl From<SupervisionManner> for domain::Supervision {
    fn from(manner: SupervisionManner) -> Self {
        match manner {
            SupervisionManner::Listen => Self::Listen,
            SupervisionManner::Whisper => Self::Whisper,
            SupervisionManner::Barge => Self::Barge,
        }
    }
}

/// How a supervisor shall be in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SupervisionRequest {
    /// How.
    pub manner: SupervisionManner,
}

impl Validate for SupervisionRequest {
    fn validate(&self) -> Vec<FieldError> {
        // Every manner that can be read is one.
        Vec::new()
    }
}

/// A supervisor in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Supervisor {
    /// The agent account whose audio leg the supervisor has.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// How.
    pub manner: SupervisionManner,
}

/// A call in which an agent and a person speak now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveCall {
    /// The attempt's id.
    #[schema(value_type = String)]
    pub id: AttemptId,
    /// Its campaign.
    #[schema(value_type = String)]
    pub campaign: CampaignId,
    /// The region of its lead.
    #[schema(value_type = String)]
    pub region: RegionId,
    /// The node that has it.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// Its campaign's name.
    pub campaign_name: String,
    /// Its agent.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// Its agent's sign-in name.
    pub agent_login: String,
    /// The person's number, masked; `withheld` where a person who called shows none.
    pub number: String,
    /// Who called whom.
    pub direction: CallDirection,
    /// When the two were joined.
    pub joined_at: Timestamp,
    /// Since when the person is on hold; none where that is not so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
    /// Who else is in it.
    pub supervisors: Vec<Supervisor>,
}

impl LiveCall {
    /// As a node tells it, which knows no names.
    pub fn new(node: MemberId, call: &domain::LiveCall) -> Self {
        let withheld = || "withheld".to_owned();
        Self {
            id: call.attempt,
            campaign: call.campaign,
            campaign_name: String::new(),
            agent_login: String::new(),
            region: call.region,
            node,
            agent: call.agent,
            number: (call.number).map_or_else(withheld, |number| number.to_string()),
            direction: match call.call_back {
                true => CallDirection::Inbound,
                false => CallDirection::Outbound,
            },
            joined_at: Timestamp(call.joined_at),
            held_since: None,
            supervisors: (call.supervisors.iter())
                .map(|(agent, manner)| Supervisor {
                    agent: *agent,
                    manner: (*manner).into(),
                })
                .collect(),
        }
    }
}

/// An agent account whose audio leg is up and takes no calls: it can be a supervisor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seat {
    /// The account.
    #[schema(value_type = String)]
    pub agent: AgentId,
    /// Its sign-in name.
    pub login: String,
    /// Its node; it can supervise calls of that node.
    #[schema(value_type = String)]
    pub node: MemberId,
}

/// Live calls of all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct LiveCalls {
    /// Calls, by node and id.
    pub data: Vec<LiveCall>,
    /// Who could supervise them.
    pub seats: Vec<Seat>,
    /// Nodes that did not answer: their calls are not shown.
    #[schema(value_type = Vec<String>)]
    pub silent: Vec<MemberId>,
}
