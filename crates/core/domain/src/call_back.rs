//! Call-backs: persons who call one of our own numbers.

use crate::AttemptId;
use serde::{Deserialize, Serialize};

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
