//! `replay FILE`: a run as a swarm wrote it down.

use super::{print_seen, tell_broken};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use simulate::{Keep, Options, Outcome};
use std::path::{Path, PathBuf};

/// Layout of the file.
const VERSION: u32 = 1;

/// Which run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print every event
    #[arg(long)]
    events: bool,
}

/// A failing run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    /// The release that wrote it; another one may run another way.
    release: String,
    options: Options,
    violation: String,
    /// Over every event up to the violation.
    events: String,
}

/// Writes a run down.
pub(crate) fn write(path: &Path, options: &Options, outcome: &Outcome) -> Result<()> {
    let violation = outcome.violation.as_ref();
    let file = File {
        version: VERSION,
        release: env!("CARGO_PKG_VERSION").into(),
        options: options.clone(),
        violation: violation.map_or_else(String::new, ToString::to_string),
        events: format!("{:016x}", outcome.trace.hash()),
    };
    let text = serde_json::to_string_pretty(&file)? + "\n";
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// True when the run is clean now.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let name = args.file.display();
    let text =
        std::fs::read_to_string(&args.file).with_context(|| format!("{name} cannot be read"))?;
    let file: File = serde_json::from_str(&text)
        .with_context(|| format!("{name} is not a run that `cargo simulate swarm` wrote"))?;
    if file.version != VERSION {
        bail!(
            "{name} has version {}; this release reads {VERSION}",
            file.version
        );
    }
    println!("{:?}", file.options);
    println!("written by {}: {}", file.release, file.violation);
    let keep = if args.events { Keep::All } else { Keep::Hash };
    let outcome = simulate::run(&file.options, keep);
    if args.events {
        for line in outcome.trace.lines() {
            println!("{line}");
        }
    }
    print_seen(&outcome.seen);
    if file.events != format!("{:016x}", outcome.trace.hash()) {
        println!("the events are not those of the file: the code has changed since");
    }
    if outcome.violation.is_none() {
        println!("the run is clean now");
        return Ok(true);
    }
    let again = format!("cargo simulate replay {name}");
    tell_broken(&file.options, &outcome, &again);
    Ok(false)
}
