//! Sections that every member's configuration has, and the error for a value out of its bounds.

use crate::config::duration;
use domain::limits;
use serde::Deserialize;
use std::{net::SocketAddr, ops::RangeInclusive, path::Path, time::Duration};

/// What T and δ may be.
const PROTOCOL_TIMES: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(300);

/// The mesh endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshConfig {
    /// The UDP address to bind.
    pub listen: SocketAddr,
    /// Where other members reach it; the bound address where absent.
    #[serde(default)]
    pub advertise: Option<SocketAddr>,
}

/// `/metrics`, `/livez`, `/readyz`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitoringConfig {
    /// The TCP address to bind.
    pub listen: SocketAddr,
}

/// Times of the mesh protocol; equal on every member.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtocolConfig {
    /// Session time to live T; 5 s to 5 min.
    #[serde(default = "default_session_ttl", with = "duration")]
    pub session_ttl: Duration,
    /// Do-not-call freshness; 5 s to 5 min.
    #[serde(default = "default_freshness", with = "duration")]
    pub freshness: Duration,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            session_ttl: limits::SESSION_TTL,
            freshness: limits::FRESHNESS,
        }
    }
}

impl ProtocolConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// The first value out of them; `path` is the file to name.
    pub fn check(&self, path: &Path) -> Result<(), OutOfBounds> {
        for (key, value) in [
            ("protocol.session_ttl", self.session_ttl),
            ("protocol.freshness", self.freshness),
        ] {
            if !PROTOCOL_TIMES.contains(&value) {
                return Err(OutOfBounds {
                    file: path.display().to_string(),
                    key,
                    value: format!("{value:?}"),
                    remedy: "give \"5s\" to \"5m\", equal on every member",
                });
            }
        }
        Ok(())
    }
}

fn default_session_ttl() -> Duration {
    limits::SESSION_TTL
}

fn default_freshness() -> Duration {
    limits::FRESHNESS
}

/// Where a member is: what voters of a group are chosen by.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceConfig {
    /// What it may fail together with (`beijing`, `beijing-hall-2`); its region where absent, a
    /// coordinator itself.
    #[serde(default)]
    pub failure_domain: Option<String>,
    /// Under whose law its data lies (`cn`); where absent it may not hold a region's data that must
    /// stay somewhere.
    #[serde(default)]
    pub legal_domain: Option<String>,
}

impl PlaceConfig {
    /// Checks the bounds.
    ///
    /// # Errors
    /// The first value out of them; `path` is the file to name.
    pub fn check(&self, path: &Path) -> Result<(), OutOfBounds> {
        for (key, value) in [
            ("place.failure_domain", &self.failure_domain),
            ("place.legal_domain", &self.legal_domain),
        ] {
            let Some(value) = value else { continue };
            let plain = !value.trim().is_empty() && !value.chars().any(char::is_control);
            if !plain || value.len() > limits::NAME_BYTES {
                return Err(OutOfBounds {
                    file: path.display().to_string(),
                    key,
                    value: format!("{value:?}"),
                    remedy: "give 1 to 128 bytes without control characters",
                });
            }
        }
        Ok(())
    }
}

/// A value that is well formed but cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: `{key}` is {value}; {remedy}")]
pub struct OutOfBounds {
    /// The file.
    pub file: String,
    /// The key.
    pub key: &'static str,
    /// What it is.
    pub value: String,
    /// What it should be.
    pub remedy: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_bounds() {
        let check = |domain: &str| {
            let place = PlaceConfig {
                failure_domain: Some("beijing".into()),
                legal_domain: Some(domain.into()),
            };
            place
                .check(Path::new("node.toml"))
                .map_err(|e| e.to_string())
        };
        assert_eq!(check(&"x".repeat(limits::NAME_BYTES)), Ok(()));
        for bad in [" ", "a\nb", &"x".repeat(limits::NAME_BYTES + 1)] {
            let error = check(bad).unwrap_err();
            assert!(error.contains("`place.legal_domain`"), "{error}");
        }
        assert!(PlaceConfig::default().check(Path::new("node.toml")).is_ok());
    }

    #[test]
    fn times_have_bounds() {
        let with = |freshness| ProtocolConfig {
            freshness,
            ..ProtocolConfig::default()
        };
        let check = |freshness| with(freshness).check(Path::new("node.toml"));
        for good in [5, 30, 300] {
            assert_eq!(check(Duration::from_secs(good)), Ok(()));
        }
        for bad in [Duration::from_millis(4_999), Duration::from_secs(301)] {
            let error = check(bad).unwrap_err().to_string();
            assert!(
                error.contains("node.toml: `protocol.freshness`") && error.contains("5m"),
                "{error}"
            );
        }
    }
}
