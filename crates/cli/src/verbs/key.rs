//! `dialmesh key`: a member's data keys. Keys are never shown.

use crate::{output::Form, session::Session};
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use std::path::{Path, PathBuf};
use storage::DataKeys;

/// The keys that a member seals its data with.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a key file before a member's first start, where it cannot make it itself.
    #[command(
        after_help = "Examples:\n  dialmesh key create node.key\n  dialmesh key create node.key && systemd-creds encrypt --name=data.key node.key /etc/dialmesh/node.cred"
    )]
    Create {
        /// The new file.
        file: PathBuf,
    },
    /// The ids of a file's keys, and which one seals.
    #[command(
        after_help = "Examples:\n  dialmesh key show /var/lib/dialmesh/data.key\n  dialmesh key show /var/lib/dialmesh/data.key -o json"
    )]
    Show {
        /// The key file.
        file: PathBuf,
    },
    /// Add a new key: it seals from the member's next start on, which seals anew what an older one sealed.
    #[command(after_help = "Examples:\n  dialmesh key rotate /var/lib/dialmesh/data.key")]
    Rotate {
        /// The key file.
        file: PathBuf,
    },
}

pub(crate) fn run(verb: &Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::Create { file } => {
            let keys = DataKeys::create(file)?;
            session.done(&format!(
                "The data key {} is made in {}; keep a copy apart from the data.",
                keys.active(),
                file.display()
            ))
        }
        Verb::Show { file } => show(&DataKeys::load(file)?, file, session),
        Verb::Rotate { file } => {
            let keys = DataKeys::rotate(file)?;
            session.done(&format!(
                "{} has the new data key {}. Keep a copy of the file; then restart the member: it seals everything anew.",
                file.display(),
                keys.active()
            ))
        }
    }
}

fn show(keys: &DataKeys, file: &Path, session: &Session) -> Result<()> {
    let ids: Vec<String> = keys.ids().iter().map(ToString::to_string).collect();
    if session.form() != Form::Table {
        let seals = keys.active().to_string();
        return session.show(&json!({ "file": file, "keys": ids, "seals": seals }));
    }
    let lines: Vec<String> = (ids.iter())
        .map(|id| match *id == keys.active().to_string() {
            true => format!("{id}  seals and opens"),
            false => format!("{id}  opens"),
        })
        .collect();
    crate::output::lines(&lines)
}
