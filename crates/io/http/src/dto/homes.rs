//! A changed map from numbers to home regions, and how far leads have moved to it.

use super::{HomeRule, HomeRules, Timestamp, Validate};
use crate::problem::FieldError;
use domain::RegionId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Another map from numbers to home regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HomesPlanRequest {
    /// The whole map; at most 10 000 rules, exactly one is the default.
    pub rules: Vec<HomeRule>,
    /// Only count what would move.
    #[serde(default)]
    pub dry_run: bool,
}

impl Validate for HomesPlanRequest {
    fn validate(&self) -> Vec<FieldError> {
        let rules = self.rules.clone();
        HomeRules { rules }.validate()
    }
}

/// What moves from one region to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomesFlow {
    /// Whence.
    #[schema(value_type = String, example = "reg_0001")]
    pub from: RegionId,
    /// Where to.
    #[schema(value_type = String, example = "reg_0002")]
    pub to: RegionId,
    /// Numbers; those that were dialed and have no lead any more too.
    pub numbers: u64,
    /// Their leads.
    pub leads: u64,
    /// Numbers with a live attempt now, which move when it has ended.
    pub live: u64,
}

/// A planned map, and what it would move as things are now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomesPlan {
    /// The plan's id; none for a dry run.
    #[serde(default)]
    pub id: Option<u64>,
    /// Whether it holds already: before the first import there is nothing to move.
    pub in_force: bool,
    /// What moves, by region.
    pub moves: Vec<HomesFlow>,
    /// Do-not-call entries for one region whose number the map puts into another: they do not go
    /// with it.
    pub region_entries: u64,
}

/// Where the home map stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HomesState {
    /// One map holds, and leads lie by it.
    Settled,
    /// Another is planned.
    Planned,
    /// Leads move to another.
    Moving,
}

/// How far one region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomesRegion {
    /// Which.
    #[schema(value_type = String, example = "reg_0001")]
    pub region: RegionId,
    /// Whether it has nothing left that belongs elsewhere.
    pub left: bool,
    /// Numbers that left it by this map.
    pub numbers_out: u64,
    /// Leads that left it.
    pub leads_out: u64,
    /// Numbers that came to it.
    pub numbers_in: u64,
    /// Leads that came to it.
    pub leads_in: u64,
    /// Numbers on their way from it just now, which nobody dials.
    pub under_way: u64,
}

/// The home map on its way into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomesMove {
    /// Where it stands.
    pub state: HomesState,
    /// The plan's id.
    #[serde(default)]
    pub id: Option<u64>,
    /// When it was planned.
    #[serde(default)]
    pub planned_at: Option<Timestamp>,
    /// When leads began to move.
    #[serde(default)]
    pub applied_at: Option<Timestamp>,
    /// The planned map; empty when none is.
    pub rules: Vec<HomeRule>,
    /// Every region.
    pub regions: Vec<HomesRegion>,
}
