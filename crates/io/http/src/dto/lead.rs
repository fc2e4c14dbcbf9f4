//! Leads and their import.

use super::{PageQuery, Timestamp};
use domain::{CampaignId, LeadId, ListId, RegionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// A lead. Its number is masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lead {
    /// Its id.
    #[schema(value_type = String, example = "lead_0001000000000009")]
    pub id: LeadId,
    /// Its campaign.
    #[schema(value_type = String)]
    pub campaign: CampaignId,
    /// The list it came with.
    #[schema(value_type = String)]
    pub list: ListId,
    /// The region that keeps it.
    #[schema(value_type = String)]
    pub region: RegionId,
    /// The number, masked.
    #[schema(example = "+1415*****34")]
    pub number: String,
    /// The person's name.
    pub name: String,
    /// Every other field.
    pub attributes: BTreeMap<String, String>,
    /// `due`, `leased`, `resting`, `in_doubt`, `finished`, …
    pub state: String,
    /// Attempts made.
    pub attempts: u16,
    /// The last result.
    #[serde(default)]
    pub last_disposition: Option<String>,
    /// When it may be tried again.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
    /// IANA names of the time zones the number may lie in.
    pub time_zones: Vec<String>,
}

/// Which leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LeadFilter {
    /// Objects in the page, 1 to 1000; 100 when not given.
    #[serde(default)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before; opaque.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Only those of this campaign.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub campaign: Option<CampaignId>,
    /// Only those in this state.
    #[serde(default)]
    pub state: Option<String>,
}

impl LeadFilter {
    /// Which page.
    pub fn page(&self) -> PageQuery {
        PageQuery {
            limit: self.limit,
            cursor: self.cursor.clone(),
        }
    }
}

/// How a CSV file of leads is read. The file is UTF-8 with a heading; the column `number` (or
/// `phone`) is required, `name` and `priority` are known, all others become attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ImportOptions {
    /// Count only, change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// ISO 3166 code for numbers without a country code (`US`, `CN`).
    #[serde(default)]
    pub default_country: Option<String>,
    /// The list's name; the time of the import when not given.
    #[serde(default)]
    pub list: Option<String>,
}
