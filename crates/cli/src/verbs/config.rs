//! `dialmesh config`.

use crate::{roles, session::Session};
use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

/// Configuration files.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Read a configuration as the role would, environment included, and say what is wrong.
    #[command(
        after_help = "Examples:\n  dialmesh config check --role node /etc/dialmesh/node.toml\n  dialmesh config check --role coordinator coordinator.toml"
    )]
    Check {
        /// Whose configuration it is.
        #[arg(long, value_enum)]
        role: Role,
        /// The file.
        file: PathBuf,
    },
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The control plane.
    Coordinator,
    /// A city's dialer.
    Node,
}

pub(crate) fn run(verb: &Verb, session: &Session) -> Result<()> {
    let Verb::Check { role, file } = verb;
    let summary = match role {
        Role::Coordinator => roles::check_coordinator(file)?,
        Role::Node => roles::check_node(file)?,
    };
    session.show(&summary)
}
