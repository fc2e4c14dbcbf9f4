//! `dialmesh dnc`.

use crate::{
    client::{Client, with_query},
    names,
    output::{self, Form},
    session::Session,
    transfer,
    verbs::{dnc_base, dnc_list, dnc_pattern},
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Do-not-call.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Never dial a number again. Waits until no node will dial it.
    #[command(
        after_help = "Examples:\n  dialmesh dnc add +8613800138000\n  dialmesh dnc add +8613800138000 --campaign autumn --wait committed"
    )]
    Add {
        /// E.164.
        number: String,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Until when to wait: committed (agreed on), or effective (no node will dial it, even one that is cut off).
        #[arg(long, default_value = "effective", value_parser = ["committed", "effective"])]
        wait: String,
    },
    /// Tell whether a number may be dialed.
    #[command(after_help = "Examples:\n  dialmesh dnc check +8613800138000")]
    Check {
        /// E.164.
        number: String,
    },
    /// Allow a number again: its entry is removed, and where the do-not-call base has it, it is lifted from that. It is audited.
    #[command(
        after_help = "Examples:\n  dialmesh dnc rm +8613800138000 --reason \"typing error, see ticket 4711\" --yes"
    )]
    Rm {
        /// E.164.
        number: String,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Import a CSV file of any length: UTF-8 with a heading and the column number.
    #[command(
        after_help = "Examples:\n  dialmesh dnc import registry.csv --default-country US\n  dialmesh dnc import registry.csv --dry-run --rejects rejects.csv"
    )]
    Import(Import),
    /// Lists of national size: build, stage, put into use.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh dnc base build registry.txt --source FTC --out .\n  dialmesh dnc base ls"
    )]
    Base(dnc_base::Verb),
    /// Lists that the coordinator pulls from their publishers.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh dnc list add ftc --from https://registry.example/numbers.txt --country US\n  dialmesh dnc list ls"
    )]
    List(dnc_list::Verb),
    /// Patterns: digits with which numbers begin that nobody dials.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh dnc pattern add +1900 --reason \"premium rate\" --yes\n  dialmesh dnc pattern ls"
    )]
    Pattern(dnc_pattern::Verb),
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ScopeArgs {
    /// Only in this campaign; everywhere when not given.
    #[arg(long)]
    campaign: Option<String>,
    /// Only in this region; everywhere when not given.
    #[arg(long)]
    region: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; - for standard input.
    file: PathBuf,
    #[command(flatten)]
    scope: ScopeArgs,
    /// The country of numbers without a country code, by its ISO 3166 code (CN, US).
    #[arg(long, value_name = "CODE")]
    default_country: Option<String>,
    /// The numbers come from the registry of the base in use, which may take them back: `dnc base compact` takes them into a new base, and 31 days later they are dropped where the base in use has them.
    #[arg(long, conflicts_with_all = ["campaign", "region"])]
    registry: bool,
    /// Count only and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Where to write the rows that were refused, with their reasons (mode 0600).
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

impl ScopeArgs {
    /// The ids of campaign and region.
    async fn ids(&self, client: &Client) -> Result<(Option<String>, Option<String>)> {
        let campaign = names::id_if(client, names::CAMPAIGN, self.campaign.as_deref()).await?;
        let region = names::id_if(client, names::REGION, self.region.as_deref()).await?;
        Ok((campaign, region))
    }

    /// As the API takes it.
    pub(crate) async fn scope(&self, client: &Client) -> Result<Value> {
        Ok(match self.ids(client).await? {
            (Some(id), _) => json!({"campaign": id}),
            (None, Some(id)) => json!({"region": id}),
            (None, None) => json!("mesh"),
        })
    }
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = || session.client();
    match verb {
        Verb::Base(verb) => dnc_base::run(verb, session).await,
        Verb::List(verb) => dnc_list::run(verb, session).await,
        Verb::Pattern(verb) => dnc_pattern::run(verb, session).await,
        Verb::Add {
            number,
            scope,
            wait,
        } => {
            let client = client()?;
            let scope = scope.scope(&client).await?;
            let body = json!({"number": number, "scope": scope, "wait": wait});
            session.show(&client.post("/do-not-call", &body).await?)
        }
        Verb::Check { number } => {
            let found: Value = client()?
                .get(&with_query("/do-not-call/check", &[("number", number)]))
                .await?;
            if session.form() != Form::Table {
                return session.show(&found);
            }
            let listed = found["listed"] == true;
            let verdict = if listed {
                "is on do-not-call"
            } else {
                "is not on do-not-call"
            };
            output::lines(&[format!("{} {verdict}", output::plain(&found["number"]))])?;
            if found["in_base"] == true {
                output::lines(&["It is in the do-not-call base in use.".to_owned()])?;
            }
            if let Some(reason) = found["lifted_for"].as_str() {
                output::lines(&[format!("It is lifted from that: {reason}.")])?;
            }
            for pattern in found["scoped_patterns"].as_array().into_iter().flatten() {
                let (digits, scope) = (
                    output::plain(&pattern["pattern"]),
                    output::plain(&pattern["scope"]),
                );
                output::lines(&[format!(
                    "The do-not-call pattern {digits} covers it in {scope}."
                )])?;
            }
            if let Some(pattern) = found["pattern"].as_str() {
                output::lines(&[format!("The do-not-call pattern {pattern} covers it.")])?;
            }
            for freeze in found["freezes"].as_array().into_iter().flatten() {
                let (until, reason) = (
                    output::plain(&freeze["until"]),
                    output::plain(&freeze["reason"]),
                );
                output::lines(&[format!("It is frozen until {until}: {reason}.")])?;
            }
            let columns = [
                ("scope", "/scope"),
                ("source", "/source"),
                ("added", "/added_at"),
            ];
            if found["entries"]
                .as_array()
                .is_some_and(|entries| !entries.is_empty())
            {
                session.rows(&columns, &found["entries"])
            } else {
                Ok(())
            }
        }
        Verb::Rm {
            number,
            scope,
            reason,
        } => {
            let client = client()?;
            let scope = scope.scope(&client).await?;
            session.confirm("allow the number to be dialed again")?;
            let body = json!({"number": number, "scope": scope, "reason": reason});
            session.show(&client.post("/do-not-call/remove", &body).await?)
        }
        Verb::Import(args) => {
            let client = client()?;
            let (campaign, region) = args.scope.ids(&client).await?;
            let mut query = vec![("dry_run", args.dry_run.to_string())];
            if args.registry {
                query.push(("registry", true.to_string()));
            }
            query.extend(
                args.default_country
                    .map(|code| ("default_country", code.to_uppercase())),
            );
            query.extend(campaign.map(|id| ("campaign", id)));
            query.extend(region.map(|id| ("region", id)));
            let path = with_query("/do-not-call/imports", &query);
            transfer::import(session, &client, &path, &args.file, args.rejects.as_deref()).await
        }
    }
}
