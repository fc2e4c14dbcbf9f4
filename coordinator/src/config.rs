//! The coordinator's configuration: parsed and validated whole before any port is bound.

use serde::Deserialize;
use service::{
    config::{ConfigError, Layers},
    sections::{
        MeshConfig, MonitoringConfig, OutOfBounds, PlaceConfig, ProtocolConfig, StorageConfig,
    },
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
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
    /// Its data keys.
    #[serde(default)]
    pub storage: StorageConfig,
    /// Where it is.
    #[serde(default)]
    pub place: PlaceConfig,
    /// Do-not-call lists.
    #[serde(default)]
    pub do_not_call: DoNotCallConfig,
    /// Logs.
    #[serde(default)]
    pub log: service::logs::LogSettings,
}

/// Admin API and console.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The TCP address to bind.
    pub listen: SocketAddr,
}

/// Do-not-call lists that are pulled.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoNotCallConfig {
    /// The folder that lists given as `file:///…` must lie in; none are read without one.
    #[serde(default)]
    pub files: Option<PathBuf>,
    /// Bytes of a list at most; [`domain::limits::DNC_LIST_BYTES`] when not given.
    #[serde(default)]
    pub list_bytes: Option<u64>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorConfigError {
    /// A layer cannot be read.
    #[error(transparent)]
    Layers(#[from] ConfigError),
    /// A value out of its bounds.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
}

impl CoordinatorConfig {
    /// Reads file and environment; relative paths are taken from the file's folder.
    ///
    /// # Errors
    /// The first problem, with place and remedy.
    pub fn load(path: &Path) -> Result<Self, CoordinatorConfigError> {
        let layers = Layers::new()
            .with_file(path)?
            .with_environment(std::env::vars(), &service::config::NOT_SETTINGS);
        let mut config: Self = layers.read()?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.data_dir = folder.join(&config.data_dir);
        config.storage.relative_to(folder);
        if let Some(files) = &mut config.do_not_call.files {
            *files =
                std::path::absolute(folder.join(&files)).unwrap_or_else(|_| folder.join(&files));
        }
        config.protocol.check(path)?;
        config.place.check(path)?;
        config.mesh.check(path)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_sample_is_valid() {
        let text = include_str!("../../deploy/three-cities/coordinator.toml");
        let config: CoordinatorConfig = Layers::new().with_text("c.toml", text).read().unwrap();
        assert_eq!(config.name, "coordinator");
        assert_eq!(config.protocol.freshness, Duration::from_secs(30));
    }
}
