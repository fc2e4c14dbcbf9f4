//! Members of the mesh, regions, and the map from numbers to their home regions.

use crate::{MemberId, RegionId, WallTime};
use serde::{Deserialize, Serialize};

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// The control plane.
    Coordinator,
    /// A city's dialer.
    Node,
}

/// A member as the directory keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Unique name: a city's for a node (`shenzhen`).
    pub name: String,
    /// What it is.
    pub role: MemberRole,
    /// The region it dials for; none for a coordinator.
    pub region: Option<RegionId>,
    /// `address:port` where others reach its mesh endpoint (QUIC).
    pub mesh_address: String,
    /// `http://address:port` of its HTTP surface, for agents and monitoring.
    pub http_address: String,
    /// When it joined.
    pub joined_at: WallTime,
    /// Taken out of the mesh: its certificate is refused.
    pub removed: bool,
}

/// A region: the unit of lead ownership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its id and its Raft group.
    pub id: RegionId,
    /// Unique name (`south-china`).
    pub name: String,
}

/// What a home rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HomeMatch {
    /// Every number no other rule matches.
    Default,
    /// ISO 3166 country code (`CN`).
    Country(String),
    /// State or province as `numbering` names it in English.
    Province(String),
    /// City as `numbering` names it in English.
    City(String),
    /// Leading digits of the E.164 number. The longest wins; any prefix wins over the others.
    Prefix(u64),
}

/// One rule of the map from numbers to home regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeRule {
    /// What it looks at.
    pub when: HomeMatch,
    /// Where such numbers live.
    pub region: RegionId,
}
