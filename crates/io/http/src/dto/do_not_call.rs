//! Do-not-call.

use super::{Checks, DncPattern, Freeze, Timestamp, Validate};
use crate::problem::FieldError;
use domain::{CampaignId, DncScope, RegionId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, schema::Type},
};

/// Where an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everywhere.
    #[default]
    Mesh,
    /// In one campaign: `{"campaign": "camp_00000001"}`.
    Campaign(CampaignId),
    /// For leads of one region: `{"region": "reg_0001"}`.
    Region(RegionId),
}

// By hand: the derive cannot say that an id inside a variant is a text.
impl PartialSchema for Scope {
    fn schema() -> RefOr<Schema> {
        let of = |name: &str, example: &str| {
            let id = ObjectBuilder::new()
                .schema_type(Type::String)
                .examples([example])
                .build();
            ObjectBuilder::new().property(name, id).required(name)
        };
        let mesh = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["mesh"]));
        let scope = OneOfBuilder::new()
            .item(mesh)
            .item(of("campaign", "camp_00000001"))
            .item(of("region", "reg_0001"))
            .description(Some(
                "Where an entry holds: everywhere, in one campaign, in one region.",
            ))
            .build();
        RefOr::T(Schema::OneOf(scope))
    }
}

impl ToSchema for Scope {
    fn name() -> Cow<'static, str> {
        "Scope".into()
    }
}

impl From<Scope> for DncScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Mesh => Self::Mesh,
            Scope::Campaign(id) => Self::Campaign(id),
            Scope::Region(id) => Self::Region(id),
        }
    }
}

impl From<DncScope> for Scope {
    fn from(scope: DncScope) -> Self {
        match scope {
            DncScope::Mesh => Self::Mesh,
            DncScope::Campaign(id) => Self::Campaign(id),
            DncScope::Region(id) => Self::Region(id),
        }
    }
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The mesh has agreed on the entry; it will not be lost.
    Committed,
    /// No node will dial the number any more.
    #[default]
    Effective,
}

/// Never dial this number.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DncRequest {
    /// E.164.
    #[schema(example = "+14155550134")]
    pub number: String,
    /// Where; everywhere when not given.
    #[serde(default)]
    pub scope: Scope,
    /// What to wait for; `effective` when not given.
    #[serde(default)]
    pub wait: Wait,
}

impl std::fmt::Debug for DncRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DncRequest")
            .field("scope", &self.scope)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

impl Validate for DncRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.number("/number", &self.number);
        checks.done()
    }
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledgement {
    /// Agreed on; nodes that are cut off may still dial until their freshness ends.
    Committed,
    /// No node will dial the number.
    Effective,
}

/// The answer to a do-not-call request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DncResult {
    /// How far the entry has come.
    pub state: Acknowledgement,
    /// Its index in the directory's log.
    pub index: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Allow the number again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DncRemoval {
    /// E.164.
    pub number: String,
    /// Where; the entry of exactly this scope is removed.
    #[serde(default)]
    pub scope: Scope,
    /// Why; kept for the audit.
    pub reason: String,
}

impl std::fmt::Debug for DncRemoval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DncRemoval")
            .field("scope", &self.scope)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl Validate for DncRemoval {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.number("/number", &self.number);
        let (len, max) = (self.reason.trim().len(), domain::limits::NOTE_BYTES);
        checks.require((1..=max).contains(&len), "/reason", || {
            format!("has {len} bytes; expected 1 to {max}: removing an entry needs a reason")
        });
        checks.done()
    }
}

/// Which number to look up.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DncCheckQuery {
    /// E.164; write the plus sign as `%2B` or leave it out.
    pub number: String,
}

impl std::fmt::Debug for DncCheckQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DncCheckQuery").finish_non_exhaustive()
    }
}

/// One entry about a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DncEntry {
    /// Where it holds.
    pub scope: Scope,
    /// Who asked: `admin`, `agent`, `person`, `registry`, `call_back` (a person who called back).
    pub source: String,
    /// When it was asked.
    pub added_at: Timestamp,
}

pub(super) const fn source_name(source: domain::DncSource) -> &'static str {
    match source {
        domain::DncSource::Admin => "admin",
        domain::DncSource::Agent => "agent",
        domain::DncSource::Person => "person",
        domain::DncSource::Registry => "registry",
        domain::DncSource::CallBack => "call_back",
    }
}

impl From<&domain::DncEntry> for DncEntry {
    fn from(entry: &domain::DncEntry) -> Self {
        Self {
            scope: entry.scope.into(),
            source: source_name(entry.source).to_owned(),
            added_at: entry.added_at.into(),
        }
    }
}

/// What is known about a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DncCheck {
    /// The number, masked.
    pub number: String,
    /// Whether some entry, a pattern or the base forbids it somewhere.
    pub listed: bool,
    /// Whether the do-not-call base in use holds it.
    #[serde(default)]
    pub in_base: bool,
    /// Why it may be dialed although the base holds it, where it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_for: Option<String>,
    /// The entries.
    pub entries: Vec<DncEntry>,
    /// The do-not-call pattern for everywhere that covers it: the shortest, if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Patterns of single campaigns and regions that cover it.
    #[serde(default)]
    pub scoped_patterns: Vec<DncPattern>,
    /// Freezes that hold for it: its own and those of patterns.
    #[serde(default)]
    pub freezes: Vec<Freeze>,
    /// The directory index at which this was read.
    pub applied_index: u64,
}

/// A do-not-call base: a file of national size that every node keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DncBase {
    /// Its name: the BLAKE3 hash of the file in 64 hexadecimal digits.
    pub id: String,
    /// How many numbers.
    pub numbers: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Where they came from.
    pub source: String,
    /// When it was built.
    pub built_at: Timestamp,
    /// When the mesh heard of it.
    pub staged_at: Timestamp,
    /// Whether nodes dial by it.
    pub in_use: bool,
    /// Names of the nodes that have it, whole.
    pub held_by: Vec<String>,
    /// Names of the nodes that do not have it yet.
    pub missing_at: Vec<String>,
}

/// Put a do-not-call base into use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DncBaseUse {
    /// Which; null takes the present one out of use.
    pub id: Option<String>,
    /// Although some nodes do not have it yet: they dial nobody until they do. Or although it may lack
    /// numbers that registries named and only the one in use has, or have some in it that were
    /// removed since it was made.
    #[serde(default)]
    pub force: bool,
    /// Why; needed to take the present one out of use, and kept for the audit.
    #[serde(default)]
    pub reason: String,
    /// What to wait for; `effective` when not given.
    #[serde(default)]
    pub wait: Wait,
}

impl Validate for DncBaseUse {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        let (len, max) = (self.reason.trim().len(), domain::limits::NAME_BYTES);
        let least = usize::from(self.id.is_none());
        checks.require((least..=max).contains(&len), "/reason", || {
            format!("has {len} bytes; expected {least} to {max}: taking a base out of use needs a reason")
        });
        checks.done()
    }
}

/// How a file of numbers is read: CSV with a heading and the column `number`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DncImportOptions {
    /// Count only, change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// ISO 3166 code for numbers without a country code.
    #[serde(default)]
    pub default_country: Option<String>,
    /// The numbers come from a registry, which may take them back: a new base takes them in.
    #[serde(default)]
    pub registry: bool,
    /// Only in this campaign.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub campaign: Option<CampaignId>,
    /// Only for leads of this region.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub region: Option<RegionId>,
}

impl DncImportOptions {
    /// Where the entries hold.
    ///
    /// # Errors
    /// Both a campaign and a region are given.
    pub fn scope(&self) -> Result<Scope, FieldError> {
        match (self.campaign, self.region) {
            (None, None) => Ok(Scope::Mesh),
            (Some(id), None) => Ok(Scope::Campaign(id)),
            (None, Some(id)) => Ok(Scope::Region(id)),
            (Some(_), Some(_)) => Err(FieldError::new(
                "?region",
                "is given beside campaign; an entry has one scope",
            )),
        }
    }
}
