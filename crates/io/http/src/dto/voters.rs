//! Who votes in the mesh's groups.

use super::{Checks, Timestamp, Validate};
use crate::problem::FieldError;
use domain::{MemberId, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a voter or learner is, as its group's leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaHealth {
    /// There, and all or nearly all entries are known to it.
    Healthy,
    /// There, and behind.
    Behind,
    /// Nothing is heard of it.
    Silent,
}

/// What a group's leader does about its voters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Autopilot {
    /// Voters that are there and have caught up.
    pub healthy_voters: u32,
    /// How many more voters may be lost before the group stops.
    pub failure_tolerance: u32,
    /// The last entry of the leader's log: what `matched_index` is behind of.
    pub last_index: u64,
    /// What is done next, or what is waited for, and why.
    pub why: String,
    /// The last step taken under this leader.
    #[serde(default)]
    pub last_step: Option<String>,
    /// When.
    #[serde(default)]
    pub last_step_at: Option<Timestamp>,
}

/// How voters are kept, in all groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoterSettings {
    /// Voters of a group: 3 or 5.
    pub voters: u8,
    /// How long a voter may be silent before another takes its place; 10 s to 24 h.
    pub grace_seconds: u64,
    /// How long a member must be there without a break before it votes; 1 s to 1 h.
    pub stable_seconds: u64,
}

impl Validate for VoterSettings {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        let voters = self.voters;
        checks.require(voters == 3 || voters == 5, "/voters", || {
            format!("is {voters}; give 3 or 5")
        });
        let (min, max) = (limits::VOTER_GRACE_MIN, limits::VOTER_GRACE_MAX);
        let bounds = (min.as_secs(), max.as_secs());
        checks.range("/grace_seconds", self.grace_seconds, bounds);
        let (min, max) = (limits::VOTER_STABLE_MIN, limits::VOTER_STABLE_MAX);
        let bounds = (min.as_secs(), max.as_secs());
        checks.range("/stable_seconds", self.stable_seconds, bounds);
        checks.done()
    }
}

/// What is asked of one region's group.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionPolicy {
    /// Only members of this legal domain hold its data; any, if none.
    #[serde(default)]
    #[schema(example = "cn")]
    pub legal_domain: Option<String>,
    /// Nodes of other regions that dial its leads while its own are gone; at most 8.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub failover: Vec<MemberId>,
}

impl Validate for RegionPolicy {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        if let Some(domain) = &self.legal_domain {
            checks.name("/legal_domain", domain);
        }
        let bounds = (0, limits::FAILOVER_NODES);
        checks.range("/failover", self.failover.len(), bounds);
        checks.done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_bounds() {
        let wrong = |voters, grace_seconds, stable_seconds| {
            let settings = VoterSettings {
                voters,
                grace_seconds,
                stable_seconds,
            };
            let errors = settings.validate();
            errors.into_iter().map(|e| e.pointer).collect::<Vec<_>>()
        };
        assert!(wrong(3, 10, 1).is_empty() && wrong(5, 86_400, 3_600).is_empty());
        assert_eq!(
            wrong(4, 9, 0),
            ["/voters", "/grace_seconds", "/stable_seconds"]
        );
        assert_eq!(
            wrong(3, 86_401, 3_601),
            ["/grace_seconds", "/stable_seconds"]
        );
        let long = RegionPolicy {
            legal_domain: Some("x".repeat(limits::NAME_BYTES + 1)),
            failover: vec![MemberId(1); limits::FAILOVER_NODES + 1],
        };
        assert_eq!(long.validate().len(), 2);
        let fits = RegionPolicy {
            legal_domain: None,
            failover: vec![MemberId(1); limits::FAILOVER_NODES],
        };
        assert!(fits.validate().is_empty());
    }
}
