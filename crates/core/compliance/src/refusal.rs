//! Why a number may not be dialed now.

use crate::TimeOfDay;
use domain::{WallTime, ZoneId, zones};
use std::time::Duration;

/// Why a number may not be dialed now. It is an answer, not a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No time zone is known for the number.
    #[error("no time zone is known for the number; give the lead one")]
    UnknownZone,
    /// This release has no rules for the zone, or none for so early or late a time.
    #[error("no rules for zone {} at that time", name(*.zone))]
    NoZoneRules {
        /// The zone.
        zone: ZoneId,
    },
    /// Outside the calling window.
    #[error("it is {local} in {}, outside the calling window", name(*.zone))]
    WindowClosed {
        /// The first of the number's zones where it is closed.
        zone: ZoneId,
        /// What time it is there.
        local: TimeOfDay,
    },
    /// As many attempts as allowed in a rolling span.
    #[error("{max} attempts within {within:?} have been made; the next may be at {until}")]
    AttemptLimit {
        /// How many are allowed.
        max: u32,
        /// In how long a span.
        within: Duration,
        /// When enough of them are past.
        until: WallTime,
    },
    /// Too soon after a call that we abandoned.
    #[error("a call to the number was abandoned; the next may be at {until}")]
    AfterAbandonment {
        /// When the gap ends.
        until: WallTime,
    },
}

impl Refusal {
    /// When this reason ends, where that is known. Another may hold then.
    pub const fn until(&self) -> Option<WallTime> {
        match self {
            Self::UnknownZone | Self::NoZoneRules { .. } | Self::WindowClosed { .. } => None,
            Self::AttemptLimit { until, .. } | Self::AfterAbandonment { until } => Some(*until),
        }
    }
}

fn name(zone: ZoneId) -> &'static str {
    zones::name(zone).unwrap_or("(unknown to this release)")
}
