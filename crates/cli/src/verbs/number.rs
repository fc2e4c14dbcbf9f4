//! `dialmesh number`: caller IDs.

use crate::{
    client::{Client, escaped},
    failure::Failure,
    names,
    output::Form,
    session::Session,
    transfer::bar,
    verbs::{Fields, nothing, number_reputation},
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use dialmesh_http::limits::CALLER_IDS;
use domain::PhoneNumber;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Caller IDs: the numbers shown to called persons, each of one trunk.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add the caller IDs of a CSV file, one E.164 number a line in its first column.
    #[command(
        after_help = "Examples:\n  dialmesh number import shenzhen-numbers.csv --trunk sz-ct\n  dialmesh number import shenzhen-numbers.csv --trunk sz-ct --dry-run"
    )]
    Import {
        /// The file; - for standard input.
        file: PathBuf,
        #[command(flatten)]
        of: Of,
        /// Check the file and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Add caller IDs.
    #[command(
        after_help = "Examples:\n  dialmesh number add +8675512345678 +8675512345679 --trunk sz-ct --per-day 200"
    )]
    Add {
        /// E.164 numbers.
        #[arg(required = true)]
        numbers: Vec<String>,
        #[command(flatten)]
        of: Of,
    },
    /// List the caller IDs.
    #[command(after_help = "Examples:\n  dialmesh number ls\n  dialmesh number ls --trunk sz-ct")]
    Ls {
        /// Only of this trunk.
        #[arg(long)]
        trunk: Option<String>,
    },
    /// Show which caller IDs are answered less than expected, seem labelled as spam or rest for that, and
    /// which cities have too few.
    #[command(
        after_help = "Examples:\n  dialmesh number reputation\n  dialmesh number reputation --node newyork\n  dialmesh number reputation -o json | jq '.places[] | select(.more_wanted)'"
    )]
    Reputation {
        /// Only of this node.
        #[arg(long)]
        node: Option<String>,
    },
    /// Do not show a caller ID for now, or show it again with --off.
    #[command(
        after_help = "Examples:\n  dialmesh number rest +8675512345678\n  dialmesh number rest +8675512345678 --off"
    )]
    Rest {
        /// E.164.
        number: String,
        /// Show it again.
        #[arg(long)]
        off: bool,
    },
    /// Change how often a caller ID may be shown.
    #[command(
        after_help = "Examples:\n  dialmesh number set +8675512345678 --per-day 100 --per-hour 20"
    )]
    Set {
        /// E.164.
        number: String,
        /// Attempts in a day, at most.
        #[arg(long, value_name = "N")]
        per_day: Option<u32>,
        /// Attempts in an hour, at most.
        #[arg(long, value_name = "N")]
        per_hour: Option<u32>,
    },
    /// Remove a caller ID.
    #[command(after_help = "Examples:\n  dialmesh number rm +8675512345678 --yes")]
    Rm {
        /// E.164.
        number: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The one trunk they leave by.
    #[arg(long)]
    trunk: String,
    /// Attempts in a day for each, at most.
    #[arg(long, value_name = "N")]
    per_day: Option<u32>,
    /// Attempts in an hour for each, at most.
    #[arg(long, value_name = "N")]
    per_hour: Option<u32>,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    let client = session.client()?;
    match verb {
        Verb::Import { file, of, dry_run } => {
            let (numbers, repeated) = read(&file)?;
            let mut counts = match dry_run {
                true => {
                    names::id(&client, names::TRUNK, &of.trunk).await?;
                    json!({"good": numbers.len(), "dry_run": true})
                }
                false => add(&client, &numbers, &of).await?,
            };
            counts["repeated"] = json!(repeated);
            session.show(&counts)
        }
        Verb::Add { numbers, of } => {
            let numbers: Result<BTreeSet<_>> = numbers.iter().map(|text| number(text)).collect();
            let counts = add(&client, &numbers?.into_iter().collect::<Vec<_>>(), &of).await?;
            session.show(&counts)
        }
        Verb::Ls { trunk } => {
            let trunk = names::id_if(&client, names::TRUNK, trunk.as_deref()).await?;
            let mut rows = client.list("/caller-ids").await?;
            if let (Some(rows), Some(trunk)) = (rows.as_array_mut(), trunk) {
                rows.retain(|row| row["trunk"] == trunk.as_str());
            }
            if session.form() == Form::Table {
                names::label(&client, &mut rows, "trunk", names::TRUNK).await?;
            }
            let columns = [
                ("number", "/number"),
                ("trunk", "/trunk"),
                ("per day", "/per_day"),
                ("per hour", "/per_hour"),
                ("resting", "/resting"),
            ];
            session.rows(&columns, &rows)
        }
        Verb::Reputation { node } => {
            let node = names::id_if(&client, names::MEMBER, node.as_deref()).await?;
            let query = node.map_or_else(String::new, |node| format!("?node={node}"));
            let known = client
                .get(&format!("/caller-ids/reputation{query}"))
                .await?;
            if session.form() != Form::Table {
                return session.show(&known);
            }
            number_reputation::print(&client, known).await
        }
        Verb::Rest { number: text, off } => {
            let path = path(&text)?;
            session.show(&client.patch(&path, &json!({"resting": !off})).await?)
        }
        Verb::Set {
            number: text,
            per_day,
            per_hour,
        } => {
            if per_day.or(per_hour).is_none() {
                return Err(nothing("number set").into());
            }
            let mut fields = Fields::default();
            fields.put("per_day", per_day)?;
            fields.put("per_hour", per_hour)?;
            session.show(&client.patch(&path(&text)?, &fields.object()).await?)
        }
        Verb::Rm { number: text } => {
            let path = path(&text)?;
            session.confirm(&format!("remove the caller ID {text}"))?;
            client.delete(&path).await?;
            session.done(&format!("{text} is removed"))
        }
    }
}

fn number(text: &str) -> Result<PhoneNumber> {
    text.parse().map_err(|error| {
        Failure::usage(format!(
            "{text:?} is not an E.164 number such as +8675512345678: {error}"
        ))
        .into()
    })
}

fn path(text: &str) -> Result<String> {
    Ok(format!("/caller-ids/{}", escaped(&number(text)?.reveal())))
}

/// Sends the numbers in batches, each all or none. Those added before are updated, so that the same
/// command may be given again after a failure.
async fn add(client: &Client, numbers: &[PhoneNumber], of: &Of) -> Result<Value> {
    let trunk = names::id(client, names::TRUNK, &of.trunk).await?;
    let progress = bar(
        Some(numbers.len() as u64),
        "adding [{bar:30}] {pos}/{len} {eta}",
    );
    let (mut added, mut updated) = (0, 0);
    for batch in numbers.chunks(CALLER_IDS) {
        let entries: Result<Vec<Value>> = batch
            .iter()
            .map(|number| {
                let mut fields = Fields::default();
                fields.put("number", Some(number.reveal()))?;
                fields.put("trunk", Some(&trunk))?;
                fields.put("per_day", of.per_day)?;
                fields.put("per_hour", of.per_hour)?;
                Ok(fields.object())
            })
            .collect();
        let result = client
            .post("/caller-ids", &json!({"caller_ids": entries?}))
            .await;
        let counts = result.with_context(|| {
            format!(
                "{} of {} caller IDs were added before",
                added + updated,
                numbers.len()
            )
        })?;
        added += counts["added"].as_u64().unwrap_or(0);
        updated += counts["updated"].as_u64().unwrap_or(0);
        progress.inc(batch.len() as u64);
    }
    progress.finish_and_clear();
    Ok(json!({"added": added, "updated": updated}))
}

/// The numbers of a file in its order, and how many lines repeat one.
fn read(file: &Path) -> Result<(Vec<PhoneNumber>, usize)> {
    let source = if file == Path::new("-") {
        Path::new("/dev/stdin")
    } else {
        file
    };
    let text = std::fs::read(source).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).map_err(|wrong| {
        let shown: Vec<_> = wrong
            .iter()
            .take(20)
            .map(|line| format!("  {line}"))
            .collect();
        let more = wrong.len().saturating_sub(20);
        let more = if more > 0 {
            format!("\n  and {more} more")
        } else {
            String::new()
        };
        Failure::usage(format!(
            "{} has {} lines that are no caller ID; nothing was sent:\n{}{more}",
            file.display(),
            wrong.len(),
            shown.join("\n")
        ))
        .into()
    })
}

/// A first line without a digit is a heading. Spaces, hyphens and parentheses are skipped.
fn parse(text: &[u8]) -> Result<(Vec<PhoneNumber>, usize), Vec<String>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let (mut numbers, mut seen) = (Vec::new(), BTreeSet::new());
    let (mut wrong, mut repeated) = (Vec::new(), 0);
    for (at, row) in reader.byte_records().enumerate() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                wrong.push(error.to_string());
                break;
            }
        };
        let line = row.position().map_or(at as u64 + 1, csv::Position::line);
        let cell = String::from_utf8_lossy(row.get(0).unwrap_or_default());
        let digits: String = cell
            .chars()
            .filter(|c| !" -()\u{a0}\t".contains(*c))
            .collect();
        if digits.is_empty() || (at == 0 && !digits.contains(|c: char| c.is_ascii_digit())) {
            continue;
        }
        match digits.parse::<PhoneNumber>() {
            Ok(number) if seen.insert(number) => numbers.push(number),
            Ok(_) => repeated += 1,
            Err(error) => {
                let shown: String = cell.chars().take(24).collect();
                wrong.push(format!(
                    "line {line}: {shown:?}: {error}; expected E.164, such as +8675512345678"
                ));
            }
        }
    }
    if wrong.is_empty() && numbers.is_empty() {
        wrong.push("there is no number at all".to_owned());
    }
    if wrong.is_empty() {
        Ok((numbers, repeated))
    } else {
        Err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_as_people_write_them() {
        let text = b"\xef\xbb\xbfnumber,note\n+86 755 1234-5678,main\n\n8675512345679\n\"+8675512345678\"\n";
        let (numbers, repeated) = parse(text).unwrap();
        let shown: Vec<_> = numbers.iter().map(|n| n.reveal()).collect();
        assert_eq!(
            (shown, repeated),
            (vec!["+8675512345678".into(), "+8675512345679".into()], 1)
        );
    }

    #[test]
    fn wrong_lines_are_told_by_number() {
        let wrong = parse(b"number\n+8675512345678\n12\n+86x5512345678\n").unwrap_err();
        assert_eq!(wrong.len(), 2);
        assert!(
            wrong[0].starts_with("line 3:") && wrong[1].starts_with("line 4:"),
            "{wrong:?}"
        );
        assert_eq!(parse(b"number\n").unwrap_err().len(), 1);
    }
}
