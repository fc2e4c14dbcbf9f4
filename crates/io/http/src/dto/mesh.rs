//! Members, regions, home rules, join tokens.

use super::{Checks, Timestamp, Validate};
use crate::problem::FieldError;
use domain::{HomeMatch, MemberId, MemberRole, RegionId, Secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A new region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionRequest {
    /// Unique name.
    #[schema(example = "south-china")]
    pub name: String,
}

impl Validate for RegionRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        checks.done()
    }
}

/// The head of a node's audit chain, as the directory keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditHead {
    /// Whose chain.
    #[schema(value_type = String, example = "mem_00000002")]
    pub node: MemberId,
    /// Number of the last line that was told, from 1.
    pub sequence: u64,
    /// Its SHA-256 in hex.
    pub hash: String,
    /// When it was told.
    pub told_at: Timestamp,
}

/// A region: the unit of lead ownership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Region {
    /// Its id.
    #[schema(value_type = String, example = "reg_0001")]
    pub id: RegionId,
    /// Unique name.
    pub name: String,
}

impl From<&domain::Region> for Region {
    fn from(region: &domain::Region) -> Self {
        Self {
            id: region.id,
            name: region.name.clone(),
        }
    }
}

/// What a home rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HomeWhen {
    /// Every number that no other rule matches.
    Default,
    /// ISO 3166 country code: `{"country": "CN"}`.
    Country(String),
    /// State or province, in English.
    Province(String),
    /// City, in English.
    City(String),
    /// Leading digits of the E.164 number, without the plus sign.
    Prefix(String),
}

/// One rule of the map from numbers to home regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HomeRule {
    /// What it looks at.
    pub when: HomeWhen,
    /// Where such numbers live.
    #[schema(value_type = String)]
    pub region: RegionId,
}

impl HomeRule {
    /// As the directory keeps it.
    ///
    /// # Errors
    /// The prefix is not 1 to 15 digits; [`Validate::validate`] says so before.
    pub fn to_domain(&self) -> Result<domain::HomeRule, std::num::ParseIntError> {
        Ok(domain::HomeRule {
            when: match &self.when {
                HomeWhen::Default => HomeMatch::Default,
                HomeWhen::Country(code) => HomeMatch::Country(code.clone()),
                HomeWhen::Province(name) => HomeMatch::Province(name.clone()),
                HomeWhen::City(name) => HomeMatch::City(name.clone()),
                HomeWhen::Prefix(digits) => HomeMatch::Prefix(digits.parse()?),
            },
            region: self.region,
        })
    }
}

impl From<&domain::HomeRule> for HomeRule {
    fn from(rule: &domain::HomeRule) -> Self {
        Self {
            when: match &rule.when {
                HomeMatch::Default => HomeWhen::Default,
                HomeMatch::Country(code) => HomeWhen::Country(code.clone()),
                HomeMatch::Province(name) => HomeWhen::Province(name.clone()),
                HomeMatch::City(name) => HomeWhen::City(name.clone()),
                HomeMatch::Prefix(digits) => HomeWhen::Prefix(digits.to_string()),
            },
            region: rule.region,
        }
    }
}

/// The whole map from numbers to home regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HomeRules {
    /// At most 10 000; exactly one is the default.
    pub rules: Vec<HomeRule>,
}

impl Validate for HomeRules {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.range("/rules", self.rules.len(), (1, 10_000));
        let defaults = self.rules.iter().filter(|r| r.when == HomeWhen::Default);
        let defaults = defaults.count();
        checks.require(defaults == 1, "/rules", || {
            format!("{defaults} rules are the default; expected exactly one")
        });
        for (at, rule) in self.rules.iter().enumerate().take(10_000) {
            match &rule.when {
                HomeWhen::Default => {}
                HomeWhen::Country(code) => checks.require(
                    code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()),
                    &format!("/rules/{at}/when/country"),
                    || "is not an ISO 3166 code of two capital letters".to_owned(),
                ),
                HomeWhen::Province(name) => {
                    checks.name(&format!("/rules/{at}/when/province"), name);
                }
                HomeWhen::City(name) => checks.name(&format!("/rules/{at}/when/city"), name),
                HomeWhen::Prefix(digits) => checks.require(
                    (1..=15).contains(&digits.len())
                        && digits.bytes().all(|b| b.is_ascii_digit())
                        && !digits.starts_with('0'),
                    &format!("/rules/{at}/when/prefix"),
                    || "is not 1 to 15 digits beginning with a country code".to_owned(),
                ),
            }
        }
        checks.done()
    }
}

/// A member of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Its id.
    #[schema(value_type = String, example = "mem_00000001")]
    pub id: MemberId,
    /// Unique name; a city's for a node.
    pub name: String,
    /// `coordinator` or `node`.
    #[schema(value_type = String)]
    pub role: MemberRole,
    /// The region it dials for.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub region: Option<RegionId>,
    /// Where others reach its mesh endpoint.
    pub mesh_address: String,
    /// Where its HTTP surface is.
    pub http_address: String,
    /// When it joined.
    pub joined_at: Timestamp,
    /// Whether its certificate is refused.
    pub removed: bool,
    /// Whether this member's links reach it now.
    pub reachable: bool,
    /// What it may fail together with.
    #[serde(default)]
    pub failure_domain: String,
    /// Under whose law its data lies.
    #[serde(default)]
    pub legal_domain: Option<String>,
    /// Whether it is to be left alone: it leads nothing, and votes only where nobody else can.
    #[serde(default)]
    pub draining: bool,
    /// Up to which version it understands what members write for each other.
    #[serde(default)]
    pub understands: u16,
}

impl Member {
    /// As the directory keeps it, with what the links know.
    pub fn new(member: &domain::Member, reachable: bool) -> Self {
        Self {
            id: member.id,
            name: member.name.clone(),
            role: member.role,
            region: member.region,
            mesh_address: member.mesh_address.clone(),
            http_address: member.http_address.clone(),
            joined_at: member.joined_at.into(),
            removed: member.removed,
            reachable,
            failure_domain: member.name.clone(),
            legal_domain: None,
            draining: false,
            understands: domain::MeshVersion::BASE.0,
        }
    }
}

/// A new join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRequest {
    /// `coordinator` or `node`.
    #[schema(value_type = String, example = "node")]
    pub role: MemberRole,
    /// The name the member will have.
    pub name: String,
    /// The region the node will dial for.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub region: Option<RegionId>,
    /// How long it may be used; an hour when not given, 24 hours at most.
    #[serde(default = "hour")]
    pub ttl_seconds: u64,
}

const fn hour() -> u64 {
    3_600
}

impl Validate for JoinTokenRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        checks.range("/ttl_seconds", self.ttl_seconds, (60, 86_400));
        let node = self.role == MemberRole::Node;
        checks.require(node == self.region.is_some(), "/region", || {
            "is needed for a node and only there".to_owned()
        });
        checks.done()
    }
}

/// A join token; the token itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// Its id.
    pub id: String,
    /// `coordinator` or `node`.
    #[schema(value_type = String)]
    pub role: MemberRole,
    /// The name the member will have.
    pub name: String,
    /// The region the node will dial for.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub region: Option<RegionId>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it was used; it can be used once.
    pub used: bool,
}

/// A new join token, shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinTokenCreated {
    /// What it is.
    #[serde(flatten)]
    pub info: JoinToken,
    /// The token itself.
    #[schema(value_type = String, example = "dmj1.…")]
    pub token: Secret,
}
