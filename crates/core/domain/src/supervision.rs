//! Supervisors in calls: what they may do there, what is shown of live calls, and why not.

use crate::{AgentId, AttemptId, CampaignId, PhoneNumber, RegionId, WallTime, limits};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a supervisor is in a call. Each hears the agent and the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supervision {
    /// Nobody hears the supervisor.
    Listen,
    /// The agent hears the supervisor; the person does not.
    Whisper,
    /// Both hear the supervisor.
    Barge,
}

impl Supervision {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Listen, Self::Whisper, Self::Barge];

    /// Its name in the API, the log and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
        }
    }
}

impl fmt::Display for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a coordinator asks of the node that has a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisionOrder {
    /// The call.
    pub call: AttemptId,
    /// The agent account whose audio leg the supervisor has.
    pub seat: AgentId,
    /// How; none leaves the call.
    pub manner: Option<Supervision>,
}

/// A call in which an agent and a person speak now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCall {
    /// Which.
    pub attempt: AttemptId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The region of its lead.
    pub region: RegionId,
    /// Who speaks for us.
    pub agent: AgentId,
    /// Whom we called, or who called back; none where a caller withholds it.
    pub number: Option<PhoneNumber>,
    /// Whether the person called.
    pub call_back: bool,
    /// When the two were joined.
    pub joined_at: WallTime,
    /// Who else is in it, and how.
    pub supervisors: Vec<(AgentId, Supervision)>,
}

/// What a node says of its live calls.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LiveFloor {
    /// Calls, by id.
    pub calls: Vec<LiveCall>,
    /// Agents on shift who take no calls now: their audio legs can be a supervisor's.
    pub seats: Vec<AgentId>,
    /// Calls among them whose person is on hold, and since when. Last: nodes of earlier releases do not
    /// say it.
    pub held: Vec<(AttemptId, WallTime)>,
}

/// Why a supervisor was not let into a call, or could not leave it. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SupervisionRefusal {
    /// No agent and person speak in such a call here.
    #[error("no call of that id has an agent and a person joined at this node now")]
    NotLive,
    /// Not an agent of this node.
    #[error("the supervisor's agent account is not one of this node")]
    OtherNode,
    /// The seat's phone is not up, or its audio is gone.
    #[error("the supervisor's audio leg is not up: sign in at the agents' page and log in first")]
    NoLeg,
    /// The seat takes calls.
    #[error("the supervisor's agent account takes calls: pause it first")]
    TakesCalls,
    /// The seat does not serve the call's campaign.
    #[error("the supervisor's agent account does not serve the call's campaign")]
    OtherCampaign,
    /// As many as may are in the call.
    #[error(
        "{} supervisors are in the call, which is the limit",
        limits::CALL_SUPERVISORS
    )]
    Full,
    /// The seat is not in that call.
    #[error("the supervisor is not in that call")]
    NotThere,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let names: std::collections::BTreeSet<_> = Supervision::ALL.map(Supervision::name).into();
        assert_eq!(names.len(), Supervision::ALL.len());
        assert_eq!(Supervision::Whisper.to_string(), "whisper");
        let full = format!("{} supervisors", limits::CALL_SUPERVISORS);
        assert!(SupervisionRefusal::Full.to_string().starts_with(&full));
    }
}
