//! `dialmesh dnc list`.

use crate::{client::escaped, failure::Failure, secrets, session::Session, transfer};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use dialmesh_http::dto::{DncListRequest, OperationState, header_line};
use domain::{CountryCode, Secret, limits};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Do-not-call lists that the coordinator pulls from their publishers.
///
/// It asks on a schedule, makes one base of all lists, waits until every node has it, and puts it
/// into use. What looks wrong (much fewer numbers, rows that are none) waits for an approval.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Declare a list; it is pulled at once.
    #[command(
        after_help = "Examples:\n  dialmesh dnc list add ftc --from https://registry.example/numbers.txt --country US --header-file token\n  dialmesh dnc list add house --from file:///srv/lists/house.txt --every 1h"
    )]
    Add(Box<Add>),
    /// The lists: how old each is, and how its last pull went.
    #[command(after_help = "Examples:\n  dialmesh dnc list ls")]
    Ls,
    /// One list with its last pulls, newest first.
    #[command(after_help = "Examples:\n  dialmesh dnc list show ftc -o json")]
    Show {
        /// Its name.
        name: String,
    },
    /// Pull a list now, also one that rests.
    #[command(
        after_help = "Examples:\n  dialmesh dnc list pull ftc\n  dialmesh dnc list pull ftc --dry-run"
    )]
    Pull {
        /// Its name.
        name: String,
        /// Fetch and count only: what would be added and gone.
        #[arg(long)]
        dry_run: bool,
    },
    /// Let pulls of a list rest: its numbers stay in use and grow older.
    #[command(after_help = "Examples:\n  dialmesh dnc list pause ftc")]
    Pause {
        /// Its name.
        name: String,
    },
    /// Let pulls of a list go on.
    #[command(after_help = "Examples:\n  dialmesh dnc list resume ftc")]
    Resume {
        /// Its name.
        name: String,
    },
    /// Take what a pull brought although its checks did not pass. It is audited.
    #[command(
        after_help = "Examples:\n  dialmesh dnc list approve ftc --reason \"they dropped a state, ticket 4711\" --yes"
    )]
    Approve(Decision),
    /// Do not take what a pull brought: what was accepted before stays. It is audited.
    #[command(
        after_help = "Examples:\n  dialmesh dnc list reject ftc --reason \"half a file, ticket 4711\""
    )]
    Reject(Decision),
    /// Forget a list: the next base is made without it.
    #[command(
        after_help = "Examples:\n  dialmesh dnc list rm house --dry-run\n  dialmesh dnc list rm house --yes"
    )]
    Rm {
        /// Its name.
        name: String,
        /// Show what would be forgotten and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its name: lower-case letters, digits, -, _ and .
    name: String,
    /// From where: https://…, http:// on the coordinator's own machine, or file:///… below the folder [do_not_call] files of its configuration.
    #[arg(long, value_name = "ADDRESS")]
    from: String,
    /// How often; 1m to 31d.
    #[arg(long, default_value = "24h", value_parser = service::config::parse_duration)]
    every: Duration,
    /// The country whose registry it is and of numbers without a country code, by its ISO 3166 code (CN, US).
    #[arg(long, value_name = "CODE")]
    country: Option<CountryCode>,
    /// How old it may be, whatever a rule pack allows beyond.
    #[arg(long, default_value = "31d", value_parser = service::config::parse_duration)]
    max_age: Duration,
    /// Per cent of its numbers that may be gone at a pull without an approval.
    #[arg(long, default_value = "10", value_name = "PERCENT", value_parser = permille)]
    max_shrink: u16,
    /// Per cent of its rows that may be no numbers without an approval.
    #[arg(long, default_value = "0.1", value_name = "PERCENT", value_parser = permille)]
    max_invalid: u16,
    /// A file with the one header line to ask with, such as `Authorization: Bearer …`; - for standard input.
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,
    /// A file of PEM certificates: only these are trusted, and not the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Decision {
    /// Its name.
    name: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// Per cent, with one digit after the point at most, as thousandths.
fn permille(text: &str) -> Result<u16, String> {
    let expected = || format!("{text:?} is not 0 to 100 with one digit after the point at most");
    let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || tenth.len() != 1 || !digits(whole) || !digits(tenth) {
        return Err(expected());
    }
    let whole: u16 = whole.parse().map_err(|_| expected())?;
    let tenth: u16 = tenth.parse().map_err(|_| expected())?;
    let permille = whole.checked_mul(10).map(|n| n + tenth);
    permille.filter(|n| *n <= 1000).ok_or_else(expected)
}

fn header(path: &Path) -> Result<Secret> {
    let line = secrets::read(path)?;
    match header_line(line.expose()) {
        Ok(_) => Ok(line),
        Err(why) => {
            let text = format!("{} holds no header: {why}", path.display());
            Err(Failure::usage(text).into())
        }
    }
}

fn certificates(path: &Path) -> Result<String> {
    let place = || format!("cannot read {}", path.display());
    let most = limits::DNC_LIST_CA_BYTES;
    let mut text = String::new();
    let file = File::open(path).with_context(place)?;
    (file.take(most as u64 + 1).read_to_string(&mut text)).with_context(place)?;
    if text.is_empty() || text.len() > most {
        let text = format!(
            "{} is no file of certificates; expected 1 to {most} bytes of PEM",
            path.display()
        );
        return Err(Failure::usage(text).into());
    }
    Ok(text)
}

fn path(name: &str) -> String {
    format!("/do-not-call/lists/{}", escaped(name))
}

const COLUMNS: [(&str, &str); 10] = [
    ("name", "/name"),
    ("from", "/from"),
    ("country", "/country"),
    ("numbers", "/numbers"),
    ("in use", "/in_use"),
    ("obtained", "/obtained_at"),
    ("paused", "/paused"),
    ("next pull", "/next_pull_at"),
    ("last pull", "/pulls/0/result"),
    ("waiting", "/waiting"),
];

const PULLS: [(&str, &str); 9] = [
    ("at", "/at"),
    ("result", "/result"),
    ("bytes", "/bytes"),
    ("rows", "/rows"),
    ("invalid", "/invalid"),
    ("numbers", "/numbers"),
    ("added", "/added"),
    ("removed", "/removed"),
    ("why", "/error"),
];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::Add(add) => {
            let request = DncListRequest {
                name: add.name,
                from: add.from,
                every_seconds: add.every.as_secs(),
                country: add.country.map(|country| country.to_string()),
                max_age_seconds: add.max_age.as_secs(),
                shrink_permille: add.max_shrink,
                invalid_permille: add.max_invalid,
                header: add.header_file.as_deref().map(header).transpose()?,
                ca: add.ca.as_deref().map(certificates).transpose()?,
            };
            let client = session.client()?;
            session.show(&client.post("/do-not-call/lists", &request).await?)
        }
        Verb::Ls => {
            let lists = session.client()?.list("/do-not-call/lists").await?;
            session.rows(&COLUMNS, &lists)
        }
        Verb::Show { name } => {
            let mut list: Value = session.client()?.get(&path(&name)).await?;
            if session.form() != crate::output::Form::Table {
                return session.show(&list);
            }
            let pulls = list["pulls"].take();
            if let Some(list) = list.as_object_mut() {
                list.remove("pulls");
            }
            session.show(&list)?;
            session.rows(&PULLS, &pulls)
        }
        Verb::Pull { name, dry_run } => {
            let client = session.client()?;
            let body = json!({ "dry_run": dry_run });
            let pull = format!("{}/pull", path(&name));
            let done = transfer::operation_with(&client, &pull, &body).await?;
            session.show(&serde_json::to_value(&done)?)?;
            if done.state == OperationState::NeedsApproval {
                let why = done.error.as_deref().unwrap_or("it gave no reason");
                let text = format!(
                    "it is not taken: {why}; look at it, then `dialmesh dnc list approve {name}` or \
                     `reject {name}`"
                );
                return Err(Failure::refused(text).into());
            }
            Ok(())
        }
        Verb::Pause { name } => {
            let pause = format!("{}/pause", path(&name));
            session.show(&session.client()?.act(&pause).await?)
        }
        Verb::Resume { name } => {
            let resume = format!("{}/resume", path(&name));
            session.show(&session.client()?.act(&resume).await?)
        }
        Verb::Approve(Decision { name, reason }) => {
            let client = session.client()?;
            session.confirm(&format!("take what was pulled of {name}"))?;
            let approve = format!("{}/approve", path(&name));
            session.show(&client.post(&approve, &json!({ "reason": reason })).await?)
        }
        Verb::Reject(Decision { name, reason }) => {
            let client = session.client()?;
            let reject = format!("{}/reject", path(&name));
            session.show(&client.post(&reject, &json!({ "reason": reason })).await?)
        }
        Verb::Rm { name, dry_run } => {
            let client = session.client()?;
            let list: Value = client.get(&path(&name)).await?;
            if dry_run {
                session.show(&list)?;
                eprintln!("A dry run: nothing was changed.");
                return Ok(());
            }
            session.confirm(&format!(
                "make the next do-not-call base without {name} ({} numbers)",
                list["numbers"].as_u64().unwrap_or_default()
            ))?;
            client.delete(&path(&name)).await?;
            session.done("It is forgotten; the next base is made without it.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_cent_have_one_digit_after_the_point() {
        for (text, expected) in [
            ("0", 0),
            ("0.1", 1),
            ("10", 100),
            ("99.9", 999),
            ("100", 1000),
        ] {
            assert_eq!(permille(text), Ok(expected), "{text}");
        }
        for text in ["", ".", "1.", ".1", "0.05", "100.1", "-1", "1e3", "99999"] {
            assert!(permille(text).is_err(), "{text}");
        }
    }
}
