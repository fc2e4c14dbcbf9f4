//! What was built.

use domain::MeshVersion;
use serde::Serialize;

/// The release of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What was built, for `version`, logs and the metric `dialmesh_build_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BuildInfo {
    /// The release.
    pub version: &'static str,
    /// The commit it was built from, where the build was told (`DIALMESH_COMMIT`); else `unknown`.
    pub commit: &'static str,
    /// `debug` or `release`.
    pub profile: &'static str,
    /// Up to which version it understands what other members write.
    pub understands: MeshVersion,
}

/// What this process was built from.
pub const fn info() -> BuildInfo {
    BuildInfo {
        version: VERSION,
        commit: match option_env!("DIALMESH_COMMIT") {
            Some(commit) => commit,
            None => "unknown",
        },
        profile: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        understands: MeshVersion::NEWEST,
    }
}
