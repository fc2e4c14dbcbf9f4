//! What every member of a mesh understands.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A version of what members write for each other: commands, and snapshots that a new member is sent.
///
/// Each release understands all versions up to one. The mesh is at the highest that every member
/// understands, and never goes back: so members are upgraded one by one, and nothing is written that
/// one of them could not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MeshVersion(pub u16);

impl MeshVersion {
    /// Where each mesh begins, and what a member is taken to understand that never said anything.
    pub const BASE: Self = Self(1);
    /// The highest that this release understands.
    pub const NEWEST: Self = Self(5);
    /// Do-not-call entries may say that a person called back.
    pub const CALL_BACKS: Self = Self(2);
    /// Trunks may say how their calls are vouched for.
    pub const SIGNED_CALLS: Self = Self(2);
    /// Campaigns may have levers ([`crate::Levers`]), and count their abandonments together.
    pub const LEVERS: Self = Self(3);
    /// Campaigns may hold dials out of local presence.
    pub const HOLD_OUT: Self = Self(4);
    /// Campaigns may have an order of leads ([`crate::LeadOrder`]), and claims name chances.
    pub const LEAD_ORDER: Self = Self(4);
    /// Campaigns may leave messages on answering machines, and attempts end with one left.
    pub const VOICE_DROP: Self = Self(5);
    /// Regions know which leads were promised a callback, and give those out first.
    pub const PROMISES: Self = Self(5);
}

impl Default for MeshVersion {
    fn default() -> Self {
        Self::BASE
    }
}

impl fmt::Display for MeshVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
