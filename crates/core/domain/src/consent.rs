//! Consent: proof that a person agreed to be called.

use crate::{CampaignId, PhoneNumber, WallTime};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Names one consent for ever; the directory gives it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConsentId(pub u64);

impl fmt::Display for ConsentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cons_{:08x}", self.0)
    }
}

impl fmt::Debug for ConsentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How the person agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentKind {
    /// On paper or signed electronically.
    Written,
    /// In a form on the web or in an app.
    Form,
    /// In words, recorded, or by a key pressed in a call.
    Spoken,
}

impl ConsentKind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Written, Self::Form, Self::Spoken];

    /// Its name in API, files and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Form => "form",
            Self::Spoken => "spoken",
        }
    }
}

impl FromStr for ConsentKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        (Self::ALL.into_iter().find(|kind| kind.name() == text))
            .ok_or_else(|| "is not written, form or spoken".to_owned())
    }
}

/// What proves consents: many persons agree to the same text at the same place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConsentProof {
    /// How they agreed.
    pub kind: ConsentKind,
    /// The text that they agreed to, or where it and the answers are kept.
    pub source: String,
    /// Where it was given: a page, a shop, a campaign's calls.
    pub place: String,
}

/// One person's consent, as it is told to the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The person's number.
    pub number: PhoneNumber,
    /// For this campaign only; for every one when none.
    pub campaign: Option<CampaignId>,
    /// What proves it.
    pub proof: ConsentProof,
    /// When it was given.
    pub given_at: WallTime,
    /// Good until then; until it is withdrawn when none.
    pub until: Option<WallTime>,
}

/// What decides whether a consent is good, and what call records say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentGrant {
    /// Its id.
    pub id: ConsentId,
    /// How the person agreed.
    pub kind: ConsentKind,
    /// Good until then; until it is withdrawn when none.
    pub until: Option<WallTime>,
}

impl ConsentGrant {
    /// Whether it is good at `wall`.
    pub fn is_good(&self, wall: WallTime) -> bool {
        self.until.is_none_or(|until| until > wall)
    }
}

/// The consent by which an attempt was permitted, as its record keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentUsed {
    /// Which.
    pub id: ConsentId,
    /// How the person agreed.
    pub kind: ConsentKind,
}

impl fmt::Display for ConsentUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.kind.name())
    }
}
