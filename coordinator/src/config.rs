//! The coordinator's configuration: parsed and validated whole before any port is bound.

use domain::limits;
use serde::Deserialize;
use service::config::{ConfigError, Layers, duration};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything the coordinator is told by its operator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoordinatorConfig {
    /// Its name among the members.
    pub name: String,
    /// Where its journal, logs, snapshots, call records, identity and the mesh's CA lie.
    pub data_dir: PathBuf,
    /// The mesh endpoint.
    pub mesh: MeshConfig,
    /// Admin API and console.
    pub http: HttpConfig,
    /// `/metrics`, `/livez`, `/readyz`.
    pub monitoring: MonitoringConfig,
    /// Times of the mesh protocol.
    #[serde(default)]
    pub protocol: ProtocolConfig,
    /// Logs.
    #[serde(default)]
    pub log: service::logs::LogSettings,
}

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

/// Admin API and console.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The TCP address to bind.
    pub listen: SocketAddr,
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

fn default_session_ttl() -> Duration {
    limits::SESSION_TTL
}

fn default_freshness() -> Duration {
    limits::FRESHNESS
}

impl CoordinatorConfig {
    /// Reads file and environment; relative paths are taken from the file's folder.
    ///
    /// # Errors
    /// The first problem, with place and remedy.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let layers = Layers::new()
            .with_file(path)?
            .with_environment(std::env::vars(), &service::config::NOT_SETTINGS);
        let mut config: Self = layers.read()?;
        config.data_dir = path
            .parent()
            .unwrap_or(Path::new("."))
            .join(&config.data_dir);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_valid() {
        let text = include_str!("../../deploy/three-cities/coordinator.toml");
        let config: CoordinatorConfig = Layers::new().with_text("c.toml", text).read().unwrap();
        assert_eq!(config.name, "coordinator");
        assert_eq!(config.protocol.freshness, Duration::from_secs(30));
    }
}
