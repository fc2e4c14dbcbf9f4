//! `dialmesh audit heads|verify|why|hash`.

use crate::{
    client::escaped,
    failure::Failure,
    names,
    output::{self, Form},
    session::Session,
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use dialmesh_http::dto::{AuditHead, Call, CallDirection, Timestamp};
use domain::WallTime;
use permit::audit::{Head, Line, NUMBERS, NumberKey, Verifier};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

/// Why calls were permitted, and that nobody changed it since.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// The last line of each node's chain that the directory has seen.
    #[command(
        after_help = "Examples:\n  dialmesh audit heads\n  dialmesh audit heads -o json > heads.json"
    )]
    Heads,
    /// Check a node's chain: finds any line that was changed, dropped, added or moved.
    ///
    /// Reads files only; with --heads or --online the end is compared with what the directory has
    /// seen, so that lines cut off at the end, or a chain written anew, are found too.
    #[command(
        after_help = "Examples:\n  dialmesh audit verify --online /var/lib/dialmesh/audit\n  dialmesh audit verify --heads heads.json audit-2026-10/*.log audit-2026-11/*.log"
    )]
    Verify(Verify),
    /// Why a call was permitted, in words.
    #[command(after_help = "Examples:\n  dialmesh audit why att_0001000000000000000c00000000")]
    Why {
        /// The attempt's id.
        call: String,
    },
    /// How a number stands in the chain of the node that has the key file; reads only that file.
    #[command(
        after_help = "Examples:\n  dialmesh audit hash +8613800138000 --key-file /var/lib/dialmesh/data.key\n  grep -hFf <(dialmesh audit hash +8613800138000 --key-file data.key) audit/*.log"
    )]
    Hash {
        /// The number in E.164.
        number: domain::PhoneNumber,
        /// The node's data keys.
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Files of one node's chain, or the folder they lie in.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    files: Vec<PathBuf>,
    /// What `dialmesh audit heads -o json` printed.
    #[arg(long, value_name = "FILE", conflicts_with = "online")]
    heads: Option<PathBuf>,
    /// Ask the mesh for the heads.
    #[arg(long)]
    online: bool,
}

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::Heads => heads(session).await,
        Verb::Verify(args) => verify(args, session).await,
        Verb::Why { call } => why(&call, session).await,
        Verb::Hash { number, key_file } => hash(number, &key_file, session),
    }
}

async fn heads(session: &Session) -> Result<()> {
    let client = session.client()?;
    let mut rows = client.list("/audit/heads").await?;
    if session.form() == Form::Table {
        names::label(&client, &mut rows, "node", names::MEMBER).await?;
    }
    let columns = [
        ("node", "/node"),
        ("line", "/sequence"),
        ("told", "/told_at"),
        ("hash", "/hash"),
    ];
    session.rows(&columns, &rows)
}

async fn verify(args: Verify, session: &Session) -> Result<()> {
    let heads = match (&args.heads, args.online) {
        (Some(file), _) => {
            let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            let heads: Vec<AuditHead> = serde_json::from_slice(&text).with_context(|| {
                format!(
                    "{} is not what `dialmesh audit heads -o json` prints",
                    file.display()
                )
            })?;
            Some(heads)
        }
        (None, true) => Some(serde_json::from_value(
            session.client()?.list("/audit/heads").await?,
        )?),
        (None, false) => None,
    };
    // Files of any size, on a thread that may wait.
    let found = tokio::task::spawn_blocking(move || check(&chain_files(&args.files)?, heads));
    let found = found.await.context("the check stopped")??;
    if session.form() != Form::Table {
        return session.show(&found.json());
    }
    output::lines(&found.words())
}

/// A chain that has no flaw.
#[derive(Debug)]
struct Found {
    node: String,
    first: Line,
    last: Line,
    /// The head that it was compared with, if any.
    head: Option<AuditHead>,
    compared: bool,
}

impl Found {
    fn json(&self) -> Value {
        json!({
            "node": self.node, "first_line": self.first.sequence, "last_line": self.last.sequence,
            "first_at": at(&self.first), "last_at": at(&self.last),
            "head": self.head, "flaw": null,
        })
    }

    fn words(&self) -> Vec<String> {
        let (first, last) = (&self.first, &self.last);
        let mut lines = vec![format!(
            "{}: lines {} to {} ({} to {}) follow from each other",
            self.node,
            first.sequence,
            last.sequence,
            at(first),
            at(last)
        )];
        if first.sequence > 1 {
            lines.push(format!(
                "lines before {} were not given and not checked",
                first.sequence
            ));
        }
        lines.push(match (&self.head, self.compared) {
            (Some(head), _) => format!(
                "the directory has seen line {} on {}, and it is the same",
                head.sequence, head.told_at
            ),
            (None, true) => "the directory has seen no line of this node yet".to_owned(),
            (None, false) => "the end was not compared: lines cut off there would not show; give --heads or --online".to_owned(),
        });
        lines
    }
}

fn at(line: &Line) -> Timestamp {
    Timestamp(WallTime::from_millis(line.at_ms))
}

/// The chain's files in order.
fn chain_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
            let name = entry?.file_name();
            let text = name.to_string_lossy();
            if text.starts_with("permissions-") && text.ends_with(".log") {
                files.push(path.join(&name));
            }
        }
        if files.len() == before {
            let why = format!(
                "{} has no file permissions-*.log; a node keeps them in data_dir/audit",
                path.display()
            );
            return Err(Failure::usage(why).into());
        }
    }
    // Names begin with the number of their first line, wherever the files lie.
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    Ok(files)
}

fn check(files: &[PathBuf], heads: Option<Vec<AuditHead>>) -> Result<Found> {
    let compared = heads.is_some();
    let mut chain: Option<(Verifier, Line, Line, Option<AuditHead>)> = None;
    for path in files {
        let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
        for (place, line) in BufReader::new(file).split(b'\n').enumerate() {
            let line = line.with_context(|| format!("reading {}", path.display()))?;
            let flawed = || format!("{}, line {} of the file", path.display(), place + 1);
            match &mut chain {
                None => {
                    let first = Verifier::middle().line(&line).with_context(flawed)?;
                    let head = (heads.iter().flatten())
                        .find(|head| head.node.to_string() == first.node)
                        .cloned();
                    let mut verifier = begin(&first, head.as_ref())?;
                    verifier.line(&line).with_context(flawed)?;
                    chain = Some((verifier, first.clone(), first, head));
                }
                Some((verifier, _, last, _)) => {
                    *last = verifier.line(&line).with_context(flawed)?
                }
            }
        }
    }
    let Some((verifier, first, last, head)) = chain else {
        return Err(Failure::usage(format!("{} is empty", shown(files))).into());
    };
    let node = verifier.node().to_owned();
    verifier.finish().with_context(|| shown(files))?;
    Ok(Found {
        node,
        first,
        last,
        head,
        compared,
    })
}

fn shown(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|f| Path::display(f).to_string()).collect();
    names.join(", ")
}

fn begin(first: &Line, head: Option<&AuditHead>) -> Result<Verifier> {
    let verifier = match first.sequence {
        1 => {
            let node = first.node.parse();
            let node = node.with_context(|| format!("{:?} is no node's id", first.node))?;
            Verifier::new(Head::first(node))
        }
        _ => Verifier::middle(),
    };
    let Some(head) = head else {
        return Ok(verifier);
    };
    let anchor = Head::from_hex(head.sequence, &head.hash);
    Ok(verifier.against(
        anchor.with_context(|| format!("the head of {} has no SHA-256 in hex", head.node))?,
    ))
}

fn hash(number: domain::PhoneNumber, key_file: &Path, session: &Session) -> Result<()> {
    let keys = storage::DataKeys::load(key_file)?.hash_keys(NUMBERS);
    let hashes: Vec<String> = (keys.into_iter())
        .map(|(id, key)| NumberKey::new(id.to_string(), *key).hash(number))
        .collect();
    match session.form() {
        Form::Table => output::lines(&hashes),
        _ => session.show(&json!({ "hashes": hashes })),
    }
}

async fn why(call: &str, session: &Session) -> Result<()> {
    let client = session.client()?;
    let call: Call = client.get(&format!("/calls/{}", escaped(call))).await?;
    if session.form() != Form::Table {
        return session.show(&json!({"call": call.id, "permission": call.permission}));
    }
    let mut row = json!([{"node": call.node, "region": call.region}]);
    names::label(&client, &mut row, "node", names::MEMBER).await?;
    names::label(&client, &mut row, "region", names::REGION).await?;
    let label = |key: &str| output::plain(&row[0][key]);
    if call.direction == CallDirection::Inbound {
        return output::lines(&[format!(
            "{}: the person called {}: nothing was dialed, so nothing had to be permitted",
            call.id,
            label("node")
        )]);
    }
    let Some(permission) = &call.permission else {
        return output::lines(&[format!(
            "{}: nothing is known of its permission: it was never dialed, or a crash of {} hid its end (its line is in the node's chain then)",
            call.id,
            label("node")
        )]);
    };
    let when = call
        .invited_at
        .map_or_else(String::new, |at| at.to_string());
    let shown = call.caller_id.as_deref().unwrap_or("no caller ID");
    output::lines(&[
        format!(
            "{} was permitted to dial {} on {when}, since",
            call.id, call.number
        ),
        format!(
            "  its lead was leased to {} ({}) for {}",
            label("node"),
            permission.session,
            label("region")
        ),
        format!(
            "  that session and the copy of do-not-call were valid for {:.1} s more",
            f64::from(permission.valid_for_ms) / 1000.0
        ),
        format!(
            "  no do-not-call entry covered the number, up to entry {} of the directory",
            permission.dnc_index
        ),
        match &permission.dnc_base {
            Some(base) => format!("  nor did the do-not-call base in use, {base}"),
            None => "  no do-not-call base was in use".to_owned(),
        },
        match &permission.consent {
            Some(consent) => format!("  the person had agreed: {consent}"),
            None => "  no consent was asked for".to_owned(),
        },
        format!(
            "  the calling window of {} was open in {}",
            permission.rule_pack,
            permission.zones.join(", ")
        ),
        format!("  {shown} was within its caps, and its own trunk carried it"),
        format!(
            "line {} of {}'s audit chain says so",
            permission.sequence,
            label("node")
        ),
    ])
}
