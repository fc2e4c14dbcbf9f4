//! `dialmesh freeze`.

use crate::{session::Session, when};
use anyhow::Result;
use clap::{Args, Subcommand};
use dialmesh_http::dto::Timestamp;
use domain::Prefix;
use serde_json::{Value, json};

/// Freezes: numbers and patterns that rest until a time, and are dialed again by themselves.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Do not dial a number, or numbers that begin so, until a time; what rings is cancelled.
    #[command(
        after_help = "Examples:\n  dialmesh freeze add +8613800138000 --until 30d --reason \"asked to be called in a month\"\n  dialmesh freeze add --pattern +86951 --until 2026-12-24T00:00:00Z --reason \"carrier's request\" --source complaints --yes"
    )]
    Add {
        #[command(flatten)]
        target: Target,
        /// Until when: a time (2026-12-24T00:00:00Z), or how long from now (90m, 30d); at most 366 days.
        #[arg(long, value_parser = when::until)]
        until: Timestamp,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Who or what found it; the token's name when not given.
        #[arg(long)]
        source: Option<String>,
        /// Until when to wait: committed (agreed on), or effective (no node will dial it, even one that is cut off).
        #[arg(long, default_value = "effective", value_parser = ["committed", "effective"])]
        wait: String,
    },
    /// End a freeze before its time. It is audited.
    #[command(
        after_help = "Examples:\n  dialmesh freeze lift +8613800138000 --reason \"she called back\" --yes"
    )]
    Lift {
        #[command(flatten)]
        target: Target,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// List the freezes that hold.
    #[command(after_help = "Examples:\n  dialmesh freeze ls\n  dialmesh freeze ls -o json")]
    Ls,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// E.164.
    number: Option<String>,
    /// A plus sign and the first 1 to 10 digits: every number that begins so.
    #[arg(long)]
    pattern: Option<Prefix>,
}

impl Target {
    fn body(&self) -> Value {
        match (&self.number, self.pattern) {
            (Some(number), _) => json!({"number": number}),
            (None, Some(pattern)) => json!({"pattern": pattern.to_string()}),
            (None, None) => json!({}),
        }
    }
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    match verb {
        Verb::Add {
            target,
            until,
            reason,
            source,
            wait,
        } => {
            if let Some(pattern) = target.pattern {
                session.confirm(&format!(
                    "stop dialing every number that begins with {pattern} until {until}"
                ))?;
            }
            let mut body = target.body();
            body["until"] = json!(until);
            body["reason"] = json!(reason);
            body["wait"] = json!(wait);
            if let Some(source) = source {
                body["source"] = json!(source);
            }
            session.show(&client.post("/freezes", &body).await?)
        }
        Verb::Lift { target, reason } => {
            session.confirm("let it be dialed again")?;
            let mut body = target.body();
            body["reason"] = json!(reason);
            session.show(&client.post("/freezes/lift", &body).await?)
        }
        Verb::Ls => {
            let freezes = client.list("/freezes").await?;
            let columns = [
                ("number", "/number"),
                ("pattern", "/pattern"),
                ("until", "/until"),
                ("reason", "/reason"),
                ("source", "/source"),
                ("since", "/frozen_at"),
            ];
            session.rows(&columns, &freezes)
        }
    }
}
