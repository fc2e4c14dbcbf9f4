//! Call-backs: persons who call one of our own numbers.

use crate::{AttemptId, CampaignId, LeadId, LeadProfile, ListId, MemberId, ZoneId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a person who called back was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallBackEnd {
    /// An agent took the call.
    Taken,
    /// The person hung up before anybody or anything spoke.
    GaveUp,
    /// The person heard who had called.
    Announced,
    /// The person heard it, and opted out by key.
    OptedOut,
    /// A crash hid it.
    Unknown,
}

impl CallBackEnd {
    /// Its name in API, metrics and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::GaveUp => "gave_up",
            Self::Announced => "announced",
            Self::OptedOut => "opted_out",
            Self::Unknown => "unknown",
        }
    }
}

/// What a call record says of a call-back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBack {
    /// The last attempt at the person that the node knew of; none for strangers.
    pub after: Option<AttemptId>,
    /// Whether the person's number was withheld.
    pub withheld: bool,
    /// From our answer until an agent took it, the announcement began, or the person gave up.
    pub waited_ms: u32,
    /// How it went.
    pub end: CallBackEnd,
}

/// A person as the group of the number's home region knows them: for a node that is called by somebody
/// whom it did not call itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPerson {
    /// The lead.
    pub lead: LeadId,
    /// Its list.
    pub list: ListId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Every time zone the number may lie in.
    pub zones: Vec<ZoneId>,
    /// Name and further fields.
    pub profile: LeadProfile,
}

impl fmt::Debug for KnownPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownPerson({}, {})", self.lead, self.campaign)
    }
}

/// What the mesh says of a call to one of its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CallerTold {
    /// Who calls; none for a stranger.
    pub person: Option<KnownPerson>,
    /// Nobody who could know answered: taken for a stranger.
    pub unanswered: bool,
    /// The name of the city whose number was called; empty where it is not known.
    pub city: String,
}

/// Another city, whose number was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherCity {
    /// The node that the number belongs to.
    pub node: MemberId,
    /// Its region's name; empty where it is not known.
    pub name: String,
}
