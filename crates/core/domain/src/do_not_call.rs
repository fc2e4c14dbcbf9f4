//! Do not call: never dial, with scope and source.

use crate::{CampaignId, PhoneNumber, RegionId, WallTime};
use serde::{Deserialize, Serialize};

/// Where an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DncScope {
    /// Everywhere.
    Mesh,
    /// In one campaign.
    Campaign(CampaignId),
    /// For leads of one region.
    Region(RegionId),
}

impl DncScope {
    /// Whether an entry of this scope forbids an attempt of that campaign and region.
    pub fn covers(self, campaign: CampaignId, region: RegionId) -> bool {
        match self {
            Self::Mesh => true,
            Self::Campaign(c) => c == campaign,
            Self::Region(r) => r == region,
        }
    }
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DncSource {
    /// An administrator or an import.
    Admin,
    /// An agent, on the person's word.
    Agent,
    /// The called person, by key.
    Person,
    /// A published registry.
    Registry,
}

/// One do-not-call entry as the directory keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncEntry {
    /// The number.
    pub number: PhoneNumber,
    /// Where it holds.
    pub scope: DncScope,
    /// Who asked.
    pub source: DncSource,
    /// When it was asked.
    pub added_at: WallTime,
}
