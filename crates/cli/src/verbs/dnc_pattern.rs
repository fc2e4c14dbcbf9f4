//! `dialmesh dnc pattern`.

use crate::{session::Session, verbs::dnc::ScopeArgs};
use anyhow::Result;
use clap::Subcommand;
use domain::Prefix;
use serde_json::json;

/// Patterns: digits with which numbers begin that nobody dials, such as an area code's.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Never dial numbers that begin so; what rings is cancelled. Waits until no node will dial them.
    #[command(
        after_help = "Examples:\n  dialmesh dnc pattern add +1900 --reason \"premium rate\" --yes\n  dialmesh dnc pattern add +86170 --campaign autumn --reason \"virtual operators\" --yes"
    )]
    Add {
        /// A plus sign and the first 1 to 10 digits, country code first.
        pattern: Prefix,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Until when to wait: committed (agreed on), or effective (no node will dial them, even one that is cut off).
        #[arg(long, default_value = "effective", value_parser = ["committed", "effective"])]
        wait: String,
    },
    /// List the patterns.
    #[command(after_help = "Examples:\n  dialmesh dnc pattern ls")]
    Ls,
    /// Allow numbers that begin so again. It is audited.
    #[command(
        after_help = "Examples:\n  dialmesh dnc pattern rm +1900 --reason \"a typing error, ticket 4711\" --yes"
    )]
    Rm {
        /// The pattern, exactly as it was added.
        pattern: Prefix,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    match verb {
        Verb::Add {
            pattern,
            scope,
            reason,
            wait,
        } => {
            let scope = scope.scope(&client).await?;
            session.confirm(&format!("dial no number that begins with {pattern}"))?;
            let body = json!({
                "pattern": pattern.to_string(), "scope": scope, "reason": reason, "wait": wait
            });
            session.show(&client.post("/do-not-call/patterns", &body).await?)
        }
        Verb::Ls => {
            let patterns = client.list("/do-not-call/patterns").await?;
            let columns = [
                ("pattern", "/pattern"),
                ("scope", "/scope"),
                ("reason", "/reason"),
                ("source", "/source"),
                ("added", "/added_at"),
            ];
            session.rows(&columns, &patterns)
        }
        Verb::Rm {
            pattern,
            scope,
            reason,
        } => {
            let scope = scope.scope(&client).await?;
            session.confirm(&format!(
                "let numbers that begin with {pattern} be dialed again"
            ))?;
            let body = json!({"pattern": pattern.to_string(), "scope": scope, "reason": reason});
            session.show(&client.post("/do-not-call/patterns/remove", &body).await?)
        }
    }
}
