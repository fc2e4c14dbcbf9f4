//! `dialmesh lead`.

use crate::{
    client::{escaped, with_query},
    names,
    output::{self, Form},
    session::Session,
    transfer,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;

/// Leads: the people to call.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Import a CSV file of any length: UTF-8 with a heading; the column number (or phone) is required, name and priority are known, others become attributes.
    #[command(
        after_help = "Examples:\n  dialmesh lead import leads.csv --campaign autumn --dry-run\n  dialmesh lead import leads.csv --campaign autumn --default-country CN --rejects rejects.csv\n  zcat leads.csv.gz | dialmesh lead import - --campaign autumn --list november"
    )]
    Import(Import),
    /// List leads; their numbers are masked.
    #[command(
        after_help = "Examples:\n  dialmesh lead ls --campaign autumn\n  dialmesh lead ls --campaign autumn --state done --limit 1000 -o json"
    )]
    Ls {
        /// Only of this campaign.
        #[arg(long)]
        campaign: Option<String>,
        /// Only in this state.
        #[arg(long)]
        state: Option<String>,
        /// So many at most.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Show a lead; its number is masked.
    #[command(after_help = "Examples:\n  dialmesh lead show lead_0001000000000007")]
    Show {
        /// Its id.
        lead: String,
    },
    /// Fetch the rows an import refused, with line and reason.
    #[command(after_help = "Examples:\n  dialmesh lead rejects op_00000001 --file rejects.csv")]
    Rejects {
        /// The import's id.
        operation: String,
        /// Where to write them (mode 0600); standard output when not given.
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; - for standard input.
    file: PathBuf,
    /// The campaign that gets the leads.
    #[arg(long)]
    campaign: String,
    /// The country of numbers without a country code, by its ISO 3166 code (CN, US).
    #[arg(long, value_name = "CODE")]
    default_country: Option<String>,
    /// What to call the list; the time of the import when not given.
    #[arg(long)]
    list: Option<String>,
    /// Count only and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Where to write the rows that were refused, with their reasons (mode 0600).
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    match verb {
        Verb::Import(args) => {
            let campaign = names::id(&client, names::CAMPAIGN, &args.campaign).await?;
            let mut query = vec![("dry_run", args.dry_run.to_string())];
            query.extend(
                args.default_country
                    .map(|code| ("default_country", code.to_uppercase())),
            );
            query.extend(args.list.map(|list| ("list", list)));
            let path = with_query(
                &format!("/campaigns/{}/imports", escaped(&campaign)),
                &query,
            );
            transfer::import(session, &client, &path, &args.file, args.rejects.as_deref()).await
        }
        Verb::Ls {
            campaign,
            state,
            limit,
        } => {
            let campaign = names::id_if(&client, names::CAMPAIGN, campaign.as_deref()).await?;
            let mut query = Vec::new();
            query.extend(campaign.map(|id| ("campaign", id)));
            query.extend(state.map(|state| ("state", state)));
            let mut rows = client
                .list_some(&with_query("/leads", &query), limit)
                .await?;
            if session.form() == Form::Table {
                names::label(&client, &mut rows, "campaign", names::CAMPAIGN).await?;
                names::label(&client, &mut rows, "region", names::REGION).await?;
            }
            let columns = [
                ("id", "/id"),
                ("number", "/number"),
                ("name", "/name"),
                ("state", "/state"),
                ("attempts", "/attempts"),
                ("last", "/last_disposition"),
                ("next at", "/next_at"),
                ("region", "/region"),
                ("campaign", "/campaign"),
            ];
            session.rows(&columns, &rows)
        }
        Verb::Show { lead } => {
            let lead: Value = client.get(&format!("/leads/{}", escaped(&lead))).await?;
            session.show(&lead)
        }
        Verb::Rejects { operation, file } => {
            let path = format!("/operations/{}/rejects", escaped(&operation));
            let size = transfer::download(&client, &path, file.as_deref()).await?;
            match file {
                Some(file) => output::lines(&[format!("{size} bytes in {}", file.display())]),
                None => Ok(()),
            }
        }
    }
}
