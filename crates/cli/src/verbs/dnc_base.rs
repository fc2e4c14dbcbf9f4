//! `dialmesh dnc base`.

use crate::{client::Client, failure::Failure, session::Session, transfer};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use domain::DncBaseId;
use permit::base::BaseAbout;
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal as _},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use storage::{BuildProgress, DncBase, DncBaseBuild, SORT_MEMORY, e164};

/// How often it is looked whether every node has a base.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The do-not-call base: a list of national size that every node keeps and asks at each attempt.
///
/// Build it from a registry's list, stage it, and put it into use once every node has it. What
/// comes in between goes beside it by `dialmesh dnc add` and `dialmesh dnc import`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build a base from a list: one number a line, in any order. Needs no mesh.
    #[command(
        after_help = "Examples:\n  dialmesh dnc base build registry.txt --source \"FTC, November\" --default-country US --out .\n  zcat registry.gz | dialmesh dnc base build - --source FTC --out /srv/bases --rejects bad.csv"
    )]
    Build(Build),
    /// Make a base known to the mesh: the coordinator takes the file, every node fetches it.
    #[command(after_help = "Examples:\n  dialmesh dnc base stage 6e340b9c….dncbase")]
    Stage {
        /// The file that `dnc base build` wrote.
        file: PathBuf,
    },
    /// The bases that the mesh knows: which is in use, and which nodes have each.
    #[command(after_help = "Examples:\n  dialmesh dnc base ls")]
    Ls,
    /// Put a base into use, on every node in one step.
    #[command(
        after_help = "Examples:\n  dialmesh dnc base use 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d --wait-held 10m\n  dialmesh dnc base use --none --reason \"the registry withdrew it, ticket 4711\" --yes"
    )]
    Use(Use),
    /// Build a new base from the one in use and what registries said since (`dnc import --registry`), and stage it.
    #[command(
        after_help = "Examples:\n  dialmesh dnc base compact\n  dialmesh dnc base use --wait-held 10m \"$(dialmesh dnc base compact -o json | jq -r .made)\""
    )]
    Compact,
    /// Forget a base that is not in use; nodes delete it.
    #[command(
        after_help = "Examples:\n  dialmesh dnc base rm 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d --yes"
    )]
    Rm {
        /// Its 64 hexadecimal digits.
        id: DncBaseId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The list; - for standard input.
    list: PathBuf,
    /// Who published the numbers, and for when; kept in the file and shown.
    #[arg(long)]
    source: String,
    /// The folder where the base goes, under its hash as name.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The country of numbers without a country code, by its ISO 3166 code (CN, US).
    #[arg(long, value_name = "CODE")]
    default_country: Option<String>,
    /// Where to write the lines that are no numbers, with what is wrong (mode 0600).
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Use {
    /// Its 64 hexadecimal digits.
    #[arg(required_unless_present = "none", conflicts_with = "none")]
    id: Option<DncBaseId>,
    /// Take the present one out of use: its numbers may be dialed again.
    #[arg(long, requires = "reason")]
    none: bool,
    /// Wait for so long until every node has it; refused if one does not by then.
    #[arg(long, value_name = "SPAN", value_parser = service::config::parse_duration, conflicts_with_all = ["none", "force"])]
    wait_held: Option<Duration>,
    /// Although some nodes do not have it yet: they dial nobody until they do. Or although it may lack numbers that the present one has.
    #[arg(long)]
    force: bool,
    /// Why; kept for the audit.
    #[arg(long, default_value = "")]
    reason: String,
    /// Until when to wait: committed (agreed on), or effective (no node dials without it, even one that is cut off).
    #[arg(long, default_value = "effective", value_parser = ["committed", "effective"])]
    wait: String,
}

const COLUMNS: [(&str, &str); 7] = [
    ("id", "/id"),
    ("in use", "/in_use"),
    ("numbers", "/numbers"),
    ("source", "/source"),
    ("built", "/built_at"),
    ("held by", "/held_by"),
    ("missing at", "/missing_at"),
];

pub(crate) async fn run(verb: Verb, session: &Session) -> Result<()> {
    match verb {
        Verb::Build(args) => build(&args, session),
        Verb::Stage { file } => {
            let base = DncBase::open(&file)
                .map_err(|error| Failure::usage(format!("{:#}", anyhow::Error::from(error))))?;
            let client = session.client()?;
            let path = format!("/do-not-call/bases/{}", base.id());
            let staged: Value =
                transfer::put_file(&client, &path, "application/octet-stream", &file).await?;
            session.show(&staged)
        }
        Verb::Ls => {
            let bases = session.client()?.list("/do-not-call/bases").await?;
            session.rows(&COLUMNS, &bases)
        }
        Verb::Use(args) => {
            let client = session.client()?;
            if args.none {
                session.confirm("let every number of the do-not-call base be dialed again")?;
            } else if args.force {
                session.confirm(
                    "stop dialing at every node that does not have the base yet, and let numbers \
                     be dialed that registries named and only the base in use has",
                )?;
            }
            if let (Some(id), Some(patience)) = (args.id, args.wait_held) {
                until_held(&client, id, patience).await?;
            }
            let body = json!({
                "id": args.id.map(|id| id.to_string()),
                "force": args.force,
                "reason": args.reason,
                "wait": args.wait,
            });
            session.show(&client.post("/do-not-call/bases/use", &body).await?)
        }
        Verb::Compact => {
            let client = session.client()?;
            let made = transfer::operation(&client, "/do-not-call/bases/compact").await?;
            session.show(&serde_json::to_value(made)?)
        }
        Verb::Rm { id } => {
            let client = session.client()?;
            session.confirm(&format!("delete do-not-call base {id} from the mesh"))?;
            client.delete(&format!("/do-not-call/bases/{id}")).await?;
            session.done("It is forgotten; nodes delete it.")
        }
    }
}

/// Waits until every node has a base, or for so long: the mesh then says who does not.
async fn until_held(client: &Client, id: DncBaseId, patience: Duration) -> Result<()> {
    let (id, began) = (id.to_string(), Instant::now());
    loop {
        let bases = client.list("/do-not-call/bases").await?;
        let known = (bases.as_array().into_iter().flatten()).find(|base| base["id"] == id);
        let missing = known.map(|base| base["missing_at"].as_array().map_or(0, Vec::len));
        if missing.is_none_or(|nodes| nodes == 0) || began.elapsed() >= patience {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn build(args: &Build, session: &Session) -> Result<()> {
    let country = args.default_country.as_deref().map(str::to_uppercase);
    if let Some(code) = &country
        && let Err(numbering::ParseError::UnknownCountry { .. }) = numbering::parse("1", code)
    {
        let text = format!("--default-country {code:?} is not an ISO 3166 code such as CN or US");
        return Err(Failure::usage(text).into());
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let (list, length) = open(&args.list)?;
    let mut rejects = args.rejects.as_deref().map(rejected).transpose()?;
    let bar = transfer::bar(
        length,
        match length {
            Some(_) => "reading   [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "reading   {spinner} {bytes} {bytes_per_sec}",
        },
    );
    let build = DncBaseBuild {
        dir: args.out.clone(),
        about: BaseAbout {
            source: args.source.clone(),
            built_at: service::clock::wall(),
        },
        memory: SORT_MEMORY,
    };
    let read = |text: &str| match &country {
        Some(code) => numbering::parse(text, code).map_err(|error| error.to_string()),
        None => e164(text),
    };
    let result = build.from_list(
        list,
        read,
        |line| match &mut rejects {
            Some(file) => {
                let text = String::from_utf8_lossy(line.text);
                file.serialize((line.line, text.as_ref(), line.reason))
                    .map_err(io::Error::other)
            }
            None => Ok(()),
        },
        |progress| {
            match progress {
                BuildProgress::Reading { bytes, .. } => bar.set_position(bytes),
                BuildProgress::Writing { numbers } => bar.set_message(format!("{numbers} written")),
                BuildProgress::Verifying { .. } => bar.set_message("reading back"),
            }
            ControlFlow::Continue(())
        },
    );
    bar.finish_and_clear();
    let (built, counts) = result?;
    if let Some(mut file) = rejects {
        file.flush().context("the rejects cannot be written")?;
    }
    for bad in &counts.first_invalid {
        eprintln!("line {}: {}", bad.line, bad.reason);
    }
    let more = counts.invalid - counts.first_invalid.len() as u64;
    if more > 0 {
        eprintln!("{more} more lines are no numbers; --rejects FILE keeps them all");
    }
    session.show(&json!({
        "id": built.id.to_string(),
        "file": built.path,
        "numbers": built.count,
        "file_bytes": built.bytes,
        "lines": counts.read,
        "duplicate": counts.duplicate,
        "invalid": counts.invalid,
        "blank": counts.blank,
    }))?;
    if io::stderr().is_terminal() {
        eprintln!("Next: dialmesh dnc base stage {}", built.path.display());
    }
    Ok(())
}

/// The list, and its length where it is a file.
fn open(path: &Path) -> Result<(Box<dyn io::Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        let text = format!(
            "{} is a folder; name a list, one number a line",
            path.display()
        );
        return Err(Failure::usage(text).into());
    }
    Ok((Box::new(file), Some(metadata.len())))
}

fn rejected(path: &Path) -> Result<csv::Writer<BufWriter<File>>> {
    let file = (OpenOptions::new().write(true).create(true).truncate(true))
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut writer = csv::Writer::from_writer(BufWriter::new(file));
    writer.write_record(["line", "text", "reason"])?;
    Ok(writer)
}
