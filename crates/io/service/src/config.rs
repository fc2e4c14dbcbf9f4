//! Configuration in layers: TOML file < environment (`DIALMESH_SIP__LISTEN`) < flags.
//!
//! The target is any `Deserialize` type; every value keeps the place it came from, so that an
//! error names file, line and column (or the variable, or the flag), the expected shape and the
//! remedy. Unknown keys are refused with the nearest known one. `#[serde(flatten)]` must not be
//! used in the target: serde hides the known keys of such a type.

mod deserialize;
mod span;
mod tree;

pub use span::{DurationError, duration, optional_duration, parse_duration};

use serde::de::DeserializeOwned;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Prefix of environment variables that are settings.
pub const ENVIRONMENT_PREFIX: &str = "DIALMESH_";

/// Environment variables with that prefix that are read elsewhere: by the command line, by tests.
pub const NOT_SETTINGS: [&str; 6] = [
    "DIALMESH_CONFIG",
    "DIALMESH_CONTEXT",
    "DIALMESH_CONTEXTS",
    "DIALMESH_COMMIT",
    "DIALMESH_BLESS",
    "DIALMESH_SCREENSHOTS",
];

/// Where a value or key was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file; line and column count from 1.
    File {
        /// As the path was given.
        path: Arc<str>,
        /// Line.
        line: usize,
        /// Column, in bytes.
        column: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// In this flag, with its dashes.
    Flag(String),
    /// Nowhere: no file was given.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// The configuration cannot be used. The text names the place, the problem and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}; give the path of a readable TOML file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: not valid TOML: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        problem: String,
    },
    /// A key that nothing reads: most likely a misspelt one.
    #[error("{place}: unknown key `{key}`; {remedy}")]
    UnknownKey {
        /// Where.
        place: Place,
        /// The whole key, with dots.
        key: String,
        /// The nearest known key, and all that are known there.
        remedy: String,
    },
    /// A key that must be given is not.
    #[error("{place}: `{key}` is missing; {remedy}")]
    Missing {
        /// The table that should hold it.
        place: Place,
        /// The whole key, with dots.
        key: String,
        /// How to give it.
        remedy: String,
    },
    /// A value of the wrong shape.
    #[error("{place}: `{key}` {problem}")]
    Value {
        /// Where.
        place: Place,
        /// The whole key, with dots.
        key: String,
        /// What it is and what was expected.
        problem: String,
    },
}

impl ConfigError {
    /// Where the problem was written; none when the file could not be read.
    pub const fn place(&self) -> Option<&Place> {
        match self {
            Self::Read { .. } => None,
            Self::Syntax { place, .. }
            | Self::UnknownKey { place, .. }
            | Self::Missing { place, .. }
            | Self::Value { place, .. } => Some(place),
        }
    }
}

/// The layers of a configuration, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    file: Option<(Arc<str>, String)>,
    overrides: Vec<(Place, Vec<String>, String)>,
}

impl Layers {
    /// None yet: every value must come from environment, flags or the type's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn with_file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Ok(self.with_text(&path.display().to_string(), text))
    }

    /// Adds a file's text under a name.
    #[must_use]
    pub fn with_text(mut self, name: &str, text: impl Into<String>) -> Self {
        self.file = Some((name.into(), text.into()));
        self
    }

    /// Adds those of `variables` whose name begins with [`ENVIRONMENT_PREFIX`], except `reserved`
    /// ones, which are read elsewhere (`DIALMESH_CONFIG`). Two underscores part the levels:
    /// `DIALMESH_SIP__LISTEN` is `sip.listen`.
    #[must_use]
    pub fn with_environment(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
        reserved: &[&str],
    ) -> Self {
        let mut found: Vec<_> = variables
            .into_iter()
            .filter(|(name, _)| !reserved.contains(&name.as_str()))
            .filter_map(|(name, value)| {
                let key = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_lowercase();
                let path: Vec<_> = key.split("__").map(str::to_owned).collect();
                Some((Place::Environment(name), path, value))
            })
            .collect();
        found.sort_by(|a, b| a.1.cmp(&b.1));
        self.overrides.extend(found);
        self
    }

    /// Adds a flag's value for a dotted key.
    #[must_use]
    pub fn with_flag(mut self, flag: &str, key: &str, value: impl Into<String>) -> Self {
        let path: Vec<_> = key.split('.').map(str::to_owned).collect();
        self.overrides
            .push((Place::Flag(flag.to_owned()), path, value.into()));
        self
    }

    /// Reads the whole configuration.
    ///
    /// # Errors
    /// The first problem found, with its place and remedy.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let mut root = match &self.file {
            Some((name, text)) => tree::parse(name, text)?,
            None => tree::Node::empty(Place::Nowhere),
        };
        for (place, path, value) in &self.overrides {
            root.set(path, place, value);
        }
        deserialize::read(&root)
    }
}

#[cfg(test)]
mod tests;
