//! How a trunk's calls are vouched for.

use serde::{Deserialize, Serialize};

/// What an operator vouches for when it signs a call (RFC 8588 section 4, ATIS-1000074 section 5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attestation {
    /// Full: it knows who calls, and that the number is theirs to show.
    A,
    /// Partial: it knows who calls, not whether the number is theirs.
    B,
    /// Gateway: it knows only where the call came in.
    C,
}

impl Attestation {
    /// The value of the claim `attest`.
    pub const fn claim(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

/// How a trunk's calls are vouched for. A trunk of which nothing is said signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrunkSecurity {
    /// INVITEs bear a PASSporT with this attestation (RFC 8224); none where they are not signed.
    pub attestation: Option<Attestation>,
}
