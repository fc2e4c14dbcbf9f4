//! Logs on standard error: text for people, JSON lines for machines.

use serde::Deserialize;
use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line for people, in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged and how; the section `log` of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LogSettings {
    /// Levels: `info`, or by module: `info,mesh=debug`. openraft and raft-engine say warnings only
    /// unless they are named.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Logs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The filter does not parse.
    #[error(
        "log.level {level:?} is not a filter: {reason}; expected a level (error, warn, info, debug, trace) or module=level pairs, such as \"info,mesh=debug\""
    )]
    Filter {
        /// What was given.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another subscriber is installed already.
    #[error("logs were already started in this process")]
    AlreadyStarted,
}

/// Libraries that talk of their own insides, and what they may say; named in the level they say what
/// is asked. openraft warns several times a second for as long as a member cannot be reached, which
/// our own links and leaders tell once.
const QUIET: [(&str, &str); 2] = [("openraft", "error"), ("raft_engine", "warn")];

fn filter(level: &str) -> Result<EnvFilter, LogsError> {
    let quiet = (QUIET.iter()).filter(|(library, _)| !level.contains(library));
    let quiet: String = quiet
        .map(|(library, level)| format!("{library}={level},"))
        .collect();
    EnvFilter::builder()
        .parse(format!("{quiet}{level}"))
        .map_err(|error| LogsError::Filter {
            level: level.to_owned(),
            reason: error.to_string(),
        })
}

/// Starts the logs of this process. Call once, before the first task.
///
/// # Errors
/// The level does not parse, or logs were already started.
pub fn start(settings: &LogSettings) -> Result<(), LogsError> {
    let registry = tracing_subscriber::registry().with(filter(&settings.level)?);
    let started =
        match settings.format {
            LogFormat::Text => registry
                .with(fmt::layer().with_writer(io::stderr).with_ansi(
                    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
                ))
                .try_init(),
            LogFormat::Json => registry
                .with(
                    fmt::layer()
                        .json()
                        .flatten_event(true)
                        .with_writer(io::stderr),
                )
                .try_init(),
        };
    started.map_err(|_| LogsError::AlreadyStarted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_level_says_what_is_expected() {
        assert!(filter("info,mesh=debug").is_ok());
        let error = filter("info,mesh=loud").unwrap_err().to_string();
        assert!(
            error.contains("loud") && error.contains("expected a level"),
            "{error}"
        );
    }
}
