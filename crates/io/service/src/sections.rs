//! Sections that every member's configuration has, and the error for a value out of its bounds.

use crate::config::duration;
use domain::{MeshVersion, limits};
use serde::Deserialize;
use std::{
    ffi::OsString,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

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
    /// Acts as a release that understands no later version than this one, so that the mesh stays at
    /// it and the members may go back to the release before; the newest where absent.
    #[serde(default)]
    pub hold_version: Option<MeshVersion>,
}

impl MeshConfig {
    /// What this member says that it understands.
    pub fn version(&self) -> MeshVersion {
        self.hold_version.unwrap_or(MeshVersion::NEWEST)
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// The first value out of them; `path` is the file to name.
    pub fn check(&self, path: &Path) -> Result<(), OutOfBounds> {
        match self.hold_version {
            Some(v) if !(MeshVersion::BASE..=MeshVersion::NEWEST).contains(&v) => {
                Err(OutOfBounds {
                    file: path.display().to_string(),
                    key: "mesh.hold_version",
                    value: v.to_string(),
                    remedy: "give a version that this release understands (`dialmesh version`), or leave it out",
                })
            }
            _ => Ok(()),
        }
    }
}

/// `/metrics`, `/livez`, `/readyz`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitoringConfig {
    /// The TCP address to bind.
    pub listen: SocketAddr,
}

/// What a member keeps, and with which key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The file with the member's data keys, without which nothing that it keeps can be read. Where
    /// absent, `data.key` among the credentials that systemd gives, if it is there, else `data.key` in
    /// the data directory.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// The key file's name where the configuration gives none.
const KEY_FILE: &str = "data.key";

impl StorageConfig {
    /// Takes a relative path from the configuration's folder.
    pub fn relative_to(&mut self, folder: &Path) {
        if let Some(file) = &mut self.key_file {
            *file = folder.join(&*file);
        }
    }

    /// Where the data keys are.
    pub fn data_key_file(&self, data_dir: &Path) -> PathBuf {
        self.data_key_file_among(data_dir, std::env::var_os("CREDENTIALS_DIRECTORY"))
    }

    fn data_key_file_among(&self, data_dir: &Path, credentials: Option<OsString>) -> PathBuf {
        if let Some(file) = &self.key_file {
            return file.clone();
        }
        let given = credentials.map(|folder| PathBuf::from(folder).join(KEY_FILE));
        given
            .filter(|file| file.exists())
            .unwrap_or_else(|| data_dir.join(KEY_FILE))
    }
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
    fn the_key_file_is_the_one_named_given_or_beside_the_data() {
        let dir = tempfile::tempdir().unwrap();
        let given = Some(dir.path().as_os_str().to_owned());
        let mut config = StorageConfig::default();
        let data = Path::new("/data");
        let file = |config: &StorageConfig| config.data_key_file_among(data, given.clone());
        assert_eq!(file(&config), data.join("data.key"));
        std::fs::write(dir.path().join("data.key"), "").unwrap();
        assert_eq!(file(&config), dir.path().join("data.key"));
        config.key_file = Some("keys/x.key".into());
        config.relative_to(Path::new("/etc/dialmesh"));
        assert_eq!(file(&config), Path::new("/etc/dialmesh/keys/x.key"));
    }

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
