//! What an operator may set.

use domain::limits;
use serde::{Deserialize, Serialize};
use std::{ops::RangeInclusive, time::Duration};

/// How a group's voters are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Voters wanted: 3 or 5.
    pub voters: usize,
    /// How long a voter may be silent before another takes its place.
    pub grace: Duration,
    /// How long a member must have been there without a break before it is promoted.
    pub stable: Duration,
    /// How many entries behind the leader still counts as caught up.
    pub lag: u64,
    /// Voters should be no further from each other than this, there and back.
    pub near: Duration,
    /// Only members of this legal domain may hold the group's data; any, if none.
    pub legal_domain: Option<String>,
}

/// Silence up to here is none: a link is looked at twice a second, and a cut is noticed within 4 s.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);

impl Policy {
    /// What [`Policy::grace`] may be.
    pub const GRACE: RangeInclusive<Duration> = limits::VOTER_GRACE_MIN..=limits::VOTER_GRACE_MAX;
    /// What [`Policy::stable`] may be.
    pub const STABLE: RangeInclusive<Duration> =
        limits::VOTER_STABLE_MIN..=limits::VOTER_STABLE_MAX;

    /// Checks the bounds.
    ///
    /// # Errors
    /// The first value out of them.
    pub fn check(&self) -> Result<(), PolicyError> {
        let error = |field, is: String, remedy| Err(PolicyError { field, is, remedy });
        if self.voters != 3 && self.voters != 5 {
            return error("voters", self.voters.to_string(), "give 3 or 5");
        }
        if !Self::GRACE.contains(&self.grace) {
            let is = format!("{} s", self.grace.as_secs_f64());
            return error("grace", is, "give 10 s to 24 h");
        }
        if !Self::STABLE.contains(&self.stable) {
            let is = format!("{} s", self.stable.as_secs_f64());
            return error("stable", is, "give 1 s to 1 h");
        }
        Ok(())
    }
}

impl Default for Policy {
    /// Three voters, replaced after 5 minutes, promoted after 10 seconds.
    fn default() -> Self {
        Self {
            voters: 3,
            grace: Duration::from_secs(300),
            stable: Duration::from_secs(10),
            lag: 250,
            near: Duration::from_millis(35),
            legal_domain: None,
        }
    }
}

/// A value of a policy that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {is}; {remedy}")]
pub struct PolicyError {
    /// Which.
    pub field: &'static str,
    /// What it is.
    pub is: String,
    /// What it should be.
    pub remedy: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_bounds() {
        let good = |voters, grace, stable| {
            let policy = Policy {
                voters,
                grace: Duration::from_millis(grace),
                stable: Duration::from_millis(stable),
                ..Policy::default()
            };
            policy.check().map_err(|e| e.to_string())
        };
        assert_eq!(good(3, 10_000, 1_000), Ok(()));
        assert_eq!(good(5, 86_400_000, 3_600_000), Ok(()));
        for voters in [0, 1, 2, 4, 6] {
            assert!(good(voters, 10_000, 1_000).unwrap_err().contains("3 or 5"));
        }
        for grace in [9_999, 86_400_001] {
            assert!(good(3, grace, 1_000).unwrap_err().contains("grace is"));
        }
        for stable in [999, 3_600_001] {
            assert!(good(3, 10_000, stable).unwrap_err().contains("stable is"));
        }
    }
}
