//! Overflow: a person who answered at one node meets a free agent of another. What the two nodes say of
//! it to each other.

use crate::{AgentId, CampaignId, Codec, LeasedLead, WallTime};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names a call between the node that made it and the one that lends an agent. Chosen by the first, by
/// chance, anew for each node that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CarriedCall(pub u64);

impl fmt::Display for CarriedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "carried_{:016x}", self.0)
    }
}

/// A person answered who finds no agent: asked of a node that said that it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverflowOffer {
    /// The name of the call from here on.
    pub call: CarriedCall,
    /// Whom the agent would speak with. The lease stays with the node that asks.
    pub lead: LeasedLead,
    /// The law of the person's audio: what is best sent.
    pub codec: Codec,
    /// How long the person has waited, in milliseconds.
    pub waited_ms: u32,
    /// For how long the agent is kept at most until [`CarriedWord::Joined`], in milliseconds.
    pub within_ms: u32,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OverflowAnswer {
    /// This agent is kept for the person.
    Kept(AgentId),
    /// Nobody is free for the campaign now.
    NoAgent,
    /// No media port is left, or as many calls as may be are carried between the two already.
    Full,
    /// The campaign is not known there, or the node is stopping.
    NotServed,
}

impl OverflowAnswer {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept(_) => "kept",
            Self::NoAgent => "no_agent",
            Self::Full => "full",
            Self::NotServed => "not_served",
        }
    }
}

/// What is said of a carried call, by either side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CarriedWord {
    /// The person hears the agent: said by the node that made the call.
    Joined,
    /// The call is recorded by that node, or not for now.
    Recording {
        /// For now.
        paused: bool,
    },
    /// The agent wants it so.
    PauseRecording {
        /// For now.
        paused: bool,
    },
    /// The audio is over, or never began.
    Over {
        /// The person hung up.
        by_person: bool,
    },
    /// The agent's one disposition. Taken once it is durable.
    Disposed {
        /// Its name in the campaign.
        disposition: String,
        /// The agent's note.
        note: String,
        /// A promised callback.
        callback_at: Option<WallTime>,
    },
    /// The agent is gone, and sets none.
    Left,
}

/// One word of a carried call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedSaid {
    /// Which call.
    pub call: CarriedCall,
    /// What.
    pub word: CarriedWord,
}

/// What a node tells its neighbours each second.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FreeAgents {
    /// Ready agents that each campaign may have, those with the lowest ids where there are many. Who
    /// serves several is in each.
    pub ready: Vec<(CampaignId, u32)>,
    /// Calls that it carries with whom it tells: one that is missing is over.
    pub calls: Vec<CarriedCall>,
}
