//! Do not call: never dial, with scope and source.

use crate::{CampaignId, PhoneNumber, RegionId, WallTime};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

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
    /// A person who called one of our numbers back, by key.
    CallBack,
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

/// The hash that names a do-not-call base file and stands for every byte of it.
///
/// Printed and read as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DncBaseId(pub [u8; 32]);

/// A text is not the name of a base file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the hash of a do-not-call base; expected 64 hexadecimal digits")]
pub struct DncBaseIdError;

impl fmt::Display for DncBaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DncBaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DncBaseId {
    type Err = DncBaseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(DncBaseIdError);
        }
        let mut id = [0; 32];
        for (place, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16)
                .map_err(|_| DncBaseIdError)?;
        }
        Ok(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_base_is_64_hexadecimal_digits() {
        let id = DncBaseId(std::array::from_fn(|n| n as u8 * 8));
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "00", &"g".repeat(64), &"0".repeat(65), &"é".repeat(32)] {
            assert_eq!(text.parse::<DncBaseId>(), Err(DncBaseIdError), "{text}");
        }
    }
}
