//! Local presence, measured: whether the shown number was local to the called one, and the share of
//! dials that show a number that is not, so that the difference is known.

use serde::{Deserialize, Serialize};

/// Which way a dial went by lot, where both were to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// With a local number.
    Local,
    /// Held out: with a number that is not local.
    HeldOut,
}

impl Arm {
    /// Its name in records and exports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::HeldOut => "held_out",
        }
    }
}

/// What a call record says of the shown number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Presence {
    /// Whether it was local: of the called number's area, city, province or state.
    pub local: bool,
    /// What the lot said; none where there was nothing to choose from, or no share is held out. Only
    /// these dials are compared with each other: the rest differ in more than the number.
    pub trial: Option<Arm>,
}
