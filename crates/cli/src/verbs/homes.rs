//! `dialmesh region homes`: another map from numbers to home regions, and the move of leads to it.

use crate::{client::Client, failure::Failure, names, output::Form, session::Session, transfer};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{io::Read, path::PathBuf};

/// Change which numbers are at home where, and move their leads.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Plan another map, and show how many leads would move from where to where. Nothing moves before `apply`.
    #[command(
        after_help = "The file is what `dialmesh region rules -o json` prints, changed; regions by name or id.\n\nExamples:\n  dialmesh region rules -o json > homes.json\n  dialmesh region homes plan homes.json --dry-run\n  dialmesh region homes plan homes.json"
    )]
    Plan(Plan),
    /// Move leads to where the planned map has them, and wait until they are there. It goes on when this ends, and cannot be cancelled.
    #[command(
        after_help = "Examples:\n  dialmesh region homes apply\n  dialmesh region homes apply --yes"
    )]
    Apply,
    /// Show whether a map is planned or leads are moving, and how far each region is.
    #[command(after_help = "Examples:\n  dialmesh region homes status")]
    Status,
    /// Drop a plan that was not applied.
    #[command(after_help = "Examples:\n  dialmesh region homes cancel")]
    Cancel,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The whole map as JSON; - reads standard input.
    file: PathBuf,
    /// Only count: nothing is planned.
    #[arg(long)]
    dry_run: bool,
}

const PLANS: &str = "/home-rules/plans";

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::Plan(args) => plan(&args, session).await,
        Verb::Apply => apply(session).await,
        Verb::Status => status(session).await,
        Verb::Cancel => {
            let client = session.client()?;
            let now: Value = client.get(PLANS).await?;
            let id = planned(&now)?;
            client.delete(&format!("{PLANS}/{id}")).await?;
            session.done("The plan is dropped; the map in force stays.")
        }
    }
}

/// The id of what is planned.
fn planned(now: &Value) -> Result<u64, Failure> {
    match (now["state"].as_str(), now["id"].as_u64()) {
        (Some("planned"), Some(id)) => Ok(id),
        (Some("moving"), _) => Err(Failure::refused(
            "leads are moving already; see `dialmesh region homes status`",
        )),
        _ => Err(Failure::refused(
            "no map is planned; plan one with `dialmesh region homes plan FILE`",
        )),
    }
}

fn read(args: &Plan) -> Result<Value> {
    let place = || format!("cannot read {}", args.file.display());
    let text = if args.file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .with_context(place)?;
        text
    } else {
        std::fs::read_to_string(&args.file).with_context(place)?
    };
    let map: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} is not JSON: {error}", args.file.display())))?;
    if !map["rules"].is_array() {
        let text = format!(
            "{} has no list `rules`; begin with `dialmesh region rules -o json`",
            args.file.display()
        );
        return Err(Failure::usage(text).into());
    }
    Ok(map)
}

async fn plan(args: &Plan, session: &Session) -> Result<()> {
    let mut map = read(args)?;
    let client = session.client()?;
    if let Some(rules) = map["rules"].as_array_mut() {
        for rule in rules {
            if let Some(named) = rule["region"].as_str() {
                rule["region"] = json!(names::id(&client, names::REGION, named).await?);
            }
        }
    }
    let request = json!({"rules": map["rules"], "dry_run": args.dry_run});
    let plan = client.post(PLANS, &request).await?;
    if session.form() != Form::Table {
        return session.show(&plan);
    }
    let mut rows = plan["moves"].clone();
    for key in ["from", "to"] {
        names::label(&client, &mut rows, key, names::REGION).await?;
    }
    session.rows(
        &[
            ("from", "/from"),
            ("to", "/to"),
            ("numbers", "/numbers"),
            ("leads", "/leads"),
            ("live now", "/live"),
        ],
        &rows,
    )?;
    let entries = plan["region_entries"].as_u64().unwrap_or(0);
    if entries > 0 {
        eprintln!(
            "{entries} do-not-call entries are for one region alone and do not go with their numbers; add them for the new region, or for the mesh, before you apply."
        );
    }
    session.done(match (args.dry_run, plan["in_force"] == true) {
        (true, _) => "A dry run: nothing was changed.",
        (false, true) => "There were no leads: the map is in force.",
        (false, false) => {
            "Planned. Next: dialmesh region homes apply (or: dialmesh region homes cancel)"
        }
    })
}

async fn apply(session: &Session) -> Result<()> {
    let client = session.client()?;
    let now: Value = client.get(PLANS).await?;
    let id = planned(&now)?;
    session.confirm("move leads to the regions of the planned map; it cannot be cancelled then")?;
    let path = format!("{PLANS}/{id}/apply");
    let moved = transfer::operation(&client, &path).await?;
    session.show(&serde_json::to_value(moved)?)
}

async fn status(session: &Session) -> Result<()> {
    let client = session.client()?;
    let now: Value = client.get(PLANS).await?;
    if session.form() != Form::Table {
        return session.show(&now);
    }
    session.done(&told(&now))?;
    regions(session, &client, now["regions"].clone()).await
}

fn told(now: &Value) -> String {
    match (now["state"].as_str(), now["applied_at"].as_str()) {
        (Some("moving"), Some(since)) => format!("Leads have been moving since {since}."),
        (Some("planned"), _) => {
            "A map is planned and not applied; leads lie by the one in force.".to_owned()
        }
        _ => "Settled: leads lie by the map in force. The figures are of its move.".to_owned(),
    }
}

async fn regions(session: &Session, client: &Client, mut rows: Value) -> Result<()> {
    names::label(client, &mut rows, "region", names::REGION).await?;
    session.rows(
        &[
            ("region", "/region"),
            ("done", "/left"),
            ("numbers out", "/numbers_out"),
            ("leads out", "/leads_out"),
            ("numbers in", "/numbers_in"),
            ("leads in", "/leads_in"),
            ("under way", "/under_way"),
        ],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plan_is_applied_or_dropped() {
        assert_eq!(planned(&json!({"state": "planned", "id": 3})).unwrap(), 3);
        let moving = planned(&json!({"state": "moving", "id": 3})).unwrap_err();
        assert!(moving.to_string().contains("status"), "{moving}");
        let none = planned(&json!({"state": "settled", "id": null})).unwrap_err();
        assert!(none.to_string().contains("plan FILE"), "{none}");
    }

    #[test]
    fn a_file_without_rules_is_refused_with_a_way_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = Plan {
            file: file.path().to_owned(),
            dry_run: true,
        };
        for (text, word) in [("{", "is not JSON"), ("{}", "region rules -o json")] {
            std::fs::write(file.path(), text).unwrap();
            let why = read(&args).unwrap_err().to_string();
            assert!(why.contains(word), "{why}");
        }
        std::fs::write(file.path(), r#"{"rules": []}"#).unwrap();
        assert_eq!(read(&args).unwrap(), json!({"rules": []}));
    }
}
