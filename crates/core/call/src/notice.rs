//! What an agent's screen is told.

use domain::{AgentState, AttemptId, CampaignId, DispositionFlags, LeadId, WallTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who ended an answered call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// We did: the agent, a limit, or a lost phone.
    Caller,
    /// The called person.
    Callee,
}

impl EndedBy {
    /// As [`domain::CallRecord::ended_by`] has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

/// How an agent's phone stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phone {
    /// Not called.
    Down,
    /// Being called.
    Ringing,
    /// The shift's leg is up.
    Up,
}

/// One of the buttons of wrap-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispositionChoice {
    /// The name to send back.
    pub name: String,
    /// What follows from it.
    #[serde(flatten)]
    pub flags: DispositionFlags,
}

/// How the recording of a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// What is said is recorded.
    On,
    /// Nothing is recorded for now.
    Paused,
}

/// What stands in the place of a number that is withheld.
pub const WITHHELD: &str = "withheld";

/// That the person called us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBackCard {
    /// The number of ours that was called, masked.
    pub called: String,
    /// The other city whose number that is, by its region's name; empty where that is not known, absent
    /// where the number is this city's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// How long the person waited, in milliseconds.
    pub waited_ms: u32,
    /// Whether this agent spoke with the person last.
    pub yours: bool,
}

/// Who the agent is speaking with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCard {
    /// The attempt.
    pub attempt: AttemptId,
    /// The lead.
    pub lead: LeadId,
    /// The number, masked; `withheld` where a person who called back shows none.
    pub number: String,
    /// The person's name.
    pub name: String,
    /// Every other field of the lead.
    pub attributes: BTreeMap<String, String>,
    /// The campaign.
    pub campaign: CampaignId,
    /// Its name.
    pub campaign_name: String,
    /// IANA names of every time zone the number may lie in, for the person's local time.
    pub zones: Vec<String>,
    /// What the agent may choose from.
    pub dispositions: Vec<DispositionChoice>,
    /// When the two were joined; milliseconds since 1970 as all times here.
    pub bridged_at: Option<WallTime>,
    /// When and by whom the call was ended, if it was.
    pub ended: Option<CallEnd>,
    /// The disposition, once it is set and kept.
    pub disposition: Option<String>,
    /// Whether the call is recorded, while it lasts; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingState>,
    /// Since when the person is on hold; absent where that is not so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<WallTime>,
    /// That the person called us; absent where we called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_back: Option<CallBackCard>,
}

/// The end of a call's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEnd {
    /// When.
    pub at: WallTime,
    /// By whom.
    pub by: EndedBy,
}

/// An agent's state with its times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// `{"state":"paused","code":"lunch"}`.
    #[serde(flatten)]
    pub state: AgentState,
    /// Since when.
    pub since: WallTime,
    /// When it will end by itself: the talk limit, the wrap-up limit.
    pub deadline: Option<WallTime>,
    /// The phone.
    pub phone: Phone,
    /// What comes after the call and its wrap-up, where the agent asked for something: `ready`,
    /// `log_out`, or `pause`.
    pub next: Option<String>,
}

/// What an agent's screen is told. In JSON tagged by `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentNotice {
    /// The state changed.
    State(AgentStatus),
    /// A call came: the lead's card.
    Call(Box<CallCard>),
    /// The call's audio ended.
    CallEnded {
        /// Which.
        attempt: AttemptId,
        /// By whom.
        by: EndedBy,
    },
    /// The call's recording began, was paused, or goes on.
    Recording {
        /// Of which call.
        attempt: AttemptId,
        /// How it stands.
        recording: RecordingState,
    },
    /// The person is on hold, or is no more.
    Held {
        /// Of which call.
        attempt: AttemptId,
        /// Since when; none when it is over.
        since: Option<WallTime>,
    },
    /// The call has its disposition, durably.
    Disposed {
        /// Which.
        attempt: AttemptId,
        /// The disposition's name.
        disposition: String,
    },
    /// Something went wrong without a command to answer.
    Error {
        /// `DM3007`.
        code: String,
        /// What, why and what next.
        message: String,
    },
    /// Everything, when a screen attaches.
    Snapshot {
        /// The state.
        #[serde(flatten)]
        status: AgentStatus,
        /// The call, during it and in wrap-up.
        call: Option<Box<CallCard>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{PauseCode, RegionId};

    #[test]
    fn notices_are_what_the_pages_read() {
        let status = AgentStatus {
            state: AgentState::Paused(PauseCode("lunch".into())),
            since: WallTime::from_millis(1_795_300_000_000),
            deadline: None,
            phone: Phone::Up,
            next: None,
        };
        let attempt = AttemptId::new(RegionId(1), 2, 3);
        let card = CallCard {
            attempt,
            lead: LeadId::new(RegionId(1), 9),
            number: "+1415*****34".into(),
            name: "Ada".into(),
            attributes: BTreeMap::from([("company".into(), "Engines".into())]),
            campaign: CampaignId(4),
            campaign_name: "spring".into(),
            zones: vec!["America/Los_Angeles".into()],
            dispositions: vec![DispositionChoice {
                name: "sale".into(),
                flags: DispositionFlags {
                    success: true,
                    ..DispositionFlags::default()
                },
            }],
            bridged_at: Some(WallTime::from_millis(1_795_300_000_000)),
            ended: None,
            disposition: None,
            recording: Some(RecordingState::On),
            held_since: None,
            call_back: None,
        };
        let held = CallCard {
            held_since: Some(WallTime::from_millis(1_795_300_010_000)),
            ..card.clone()
        };
        let notices = [
            AgentNotice::State(AgentStatus {
                state: AgentState::WrapUp,
                deadline: Some(WallTime::from_millis(1_795_300_030_000)),
                next: Some("pause".into()),
                ..status.clone()
            }),
            AgentNotice::Call(Box::new(card.clone())),
            AgentNotice::Recording {
                attempt,
                recording: RecordingState::Paused,
            },
            AgentNotice::Held {
                attempt,
                since: held.held_since,
            },
            AgentNotice::Held {
                attempt,
                since: None,
            },
            AgentNotice::CallEnded {
                attempt,
                by: EndedBy::Callee,
            },
            AgentNotice::Disposed {
                attempt,
                disposition: "sale".into(),
            },
            AgentNotice::Error {
                code: "DM3007".into(),
                message: "The agent's phone hung up.".into(),
            },
            AgentNotice::Snapshot {
                status: AgentStatus {
                    state: AgentState::OnCall,
                    ..status.clone()
                },
                call: Some(Box::new(held)),
            },
            AgentNotice::Snapshot { status, call: None },
        ];
        let mut text = String::new();
        for notice in notices {
            let json = serde_json::to_string(&notice).expect("notices are plain data");
            assert_eq!(serde_json::from_str::<AgentNotice>(&json).unwrap(), notice);
            text += &json;
            text.push('\n');
        }
        insta::assert_snapshot!("notices", text);
    }
}
