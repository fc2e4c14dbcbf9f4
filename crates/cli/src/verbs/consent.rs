//! `dialmesh consent`.

use crate::{
    client::with_query,
    names,
    output::{self, Form},
    session::Session,
    transfer, when,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use dialmesh_http::dto::Timestamp;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Consent: proof that a person agreed to be called.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Import a CSV file of any length: UTF-8 with a heading and the column number; kind, source, place, given_at and until where rows differ.
    #[command(
        after_help = "Examples:\n  dialmesh consent import form.csv --kind form --source \"form 3, text of 2026-03\" --place example.com/offer --until 2027-03-01T00:00:00Z\n  dialmesh consent import paper.csv --campaign autumn --dry-run --rejects rejects.csv"
    )]
    Import(Import),
    /// Tell a number's consents with their proofs.
    #[command(after_help = "Examples:\n  dialmesh consent check +8613800138000")]
    Check {
        /// E.164.
        number: String,
    },
    /// A person agrees no more: every consent given before counts no longer, also one that is imported later. Where a campaign asks for consent, what rings is cancelled.
    #[command(
        after_help = "Examples:\n  dialmesh consent withdraw +8613800138000 --reason \"wrote to us, ticket 4711\" --yes\n  dialmesh consent withdraw +8613800138000 --campaign autumn --reason \"said so in a call\" --yes"
    )]
    Withdraw {
        /// E.164.
        number: String,
        /// The consent for this campaign; every consent of the person when not given.
        #[arg(long)]
        campaign: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Until when to wait: committed (agreed on), or effective (every node knows, even one that is cut off).
        #[arg(long, default_value = "effective", value_parser = ["committed", "effective"])]
        wait: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; - for standard input.
    file: PathBuf,
    /// For calls of this campaign only; for every one when not given.
    #[arg(long)]
    campaign: Option<String>,
    /// How they agreed, where rows do not say.
    #[arg(long, value_parser = ["written", "form", "spoken"])]
    kind: Option<String>,
    /// The text that they agreed to, or where it and the answers are kept, where rows do not say.
    #[arg(long)]
    source: Option<String>,
    /// Where it was given, where rows do not say: a page, a shop, a campaign's calls.
    #[arg(long)]
    place: Option<String>,
    /// When it was given, where rows do not say: a time, or how long ago.
    #[arg(long, value_parser = when::time)]
    given_at: Option<Timestamp>,
    /// Good until then, where rows do not say: a time, or how long from now; until it is withdrawn when not given.
    #[arg(long, value_parser = when::until)]
    until: Option<Timestamp>,
    /// The country of numbers without a country code, by its ISO 3166 code (CN, US).
    #[arg(long, value_name = "CODE")]
    default_country: Option<String>,
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
            let campaign = names::id_if(&client, names::CAMPAIGN, args.campaign.as_deref()).await?;
            let mut query = vec![("dry_run", args.dry_run.to_string())];
            let country = args.default_country.map(|code| code.to_uppercase());
            for (name, value) in [
                ("default_country", country),
                ("campaign", campaign),
                ("kind", args.kind),
                ("source", args.source),
                ("place", args.place),
                ("given_at", args.given_at.map(|at| at.to_string())),
                ("until", args.until.map(|at| at.to_string())),
            ] {
                query.extend(value.map(|value| (name, value)));
            }
            let path = with_query("/consents/imports", &query);
            transfer::import(session, &client, &path, &args.file, args.rejects.as_deref()).await
        }
        Verb::Check { number } => {
            let found: Value = client
                .get(&with_query("/consents/check", &[("number", number)]))
                .await?;
            if session.form() != Form::Table {
                return session.show(&found);
            }
            if found["consents"].as_array().is_none_or(Vec::is_empty) {
                let number = output::plain(&found["number"]);
                return output::lines(&[format!("No consent of {number} is known.")]);
            }
            let columns = [
                ("id", "/id"),
                ("good", "/good"),
                ("campaign", "/campaign"),
                ("kind", "/kind"),
                ("source", "/source"),
                ("place", "/place"),
                ("given", "/given_at"),
                ("until", "/until"),
                ("withdrawn", "/withdrawn_at"),
            ];
            session.rows(&columns, &found["consents"])
        }
        Verb::Withdraw {
            number,
            campaign,
            reason,
            wait,
        } => {
            let campaign = names::id_if(&client, names::CAMPAIGN, campaign.as_deref()).await?;
            session.confirm(match campaign {
                Some(_) => "withdraw the person's consent for this campaign",
                None => "withdraw every consent of the person",
            })?;
            let mut body = json!({"number": number, "reason": reason, "wait": wait});
            if let Some(campaign) = campaign {
                body["campaign"] = json!(campaign);
            }
            session.show(&client.post("/consents/withdraw", &body).await?)
        }
    }
}
