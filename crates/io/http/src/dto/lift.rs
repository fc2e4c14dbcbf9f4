//! What local numbers are worth to a campaign.

use domain::RegionId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Dials that showed a local number beside those that were held out by lot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LocalPresence {
    /// Of how many dials in a hundred a number is shown that is not local; 0 once it was taken back.
    pub hold_out_percent: u8,
    /// By the leads' home region.
    pub regions: Vec<LiftOfRegion>,
    /// All regions together.
    pub all: LiftOfRegion,
    /// Dials without a lot: only one kind of number was to be had, or nothing was held out then.
    pub not_compared: u64,
    /// Fewer dials of either kind are too few to tell.
    pub least_dials: u64,
    /// How difference and interval are reckoned.
    pub method: String,
}

/// One region's comparison. Shares, difference and interval are in percent and percentage points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiftOfRegion {
    /// The region; none for all together.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub region: Option<RegionId>,
    /// Its name.
    pub name: String,
    /// With a local number.
    pub local: LiftArm,
    /// With one that is not.
    pub held_out: LiftArm,
    /// By how many points more are answered with a local number; none where it is too few to tell.
    #[serde(default)]
    pub lift_points: Option<f64>,
    /// The lower end of the 95 % confidence interval.
    #[serde(default)]
    pub low_points: Option<f64>,
    /// Its upper end.
    #[serde(default)]
    pub high_points: Option<f64>,
    /// `more` or `less`, where the interval says so; `not_told_apart` where it holds zero; `too_few`.
    #[schema(example = "more")]
    pub local_is_answered: String,
}

/// Dials of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiftArm {
    /// Dials; those that the carrier failed, or that ended by our own wish, left out.
    pub dials: u64,
    /// Of them, answered by a person; by anything where nobody listens for machines.
    pub answers: u64,
    /// The share; none where there were no dials.
    #[serde(default)]
    pub percent: Option<f64>,
}
