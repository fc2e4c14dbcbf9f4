//! `--seed N`, `run --seed N`: one run.

use super::{again, print_seen, tell_broken};
use simulate::{Defect, Keep, Options};

/// Which run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Which run
    #[arg(long, value_name = "N")]
    pub(crate) seed: u64,
    /// With this mistake on purpose
    #[arg(long, value_name = "NAME")]
    pub(crate) defect: Option<Defect>,
    /// Print every event
    #[arg(long)]
    pub(crate) events: bool,
}

/// The options of a seed, with a mistake or not.
pub(crate) fn options(seed: u64, defect: Option<Defect>) -> Options {
    let drawn = Options::drawn(seed);
    match defect {
        Some(defect) => drawn.with(defect),
        None => drawn,
    }
}

/// True when no rule was broken.
pub(crate) fn run(args: &Args) -> bool {
    let options = options(args.seed, args.defect);
    println!("{options:?}");
    let keep = if args.events { Keep::All } else { Keep::Hash };
    let outcome = simulate::run(&options, keep);
    if args.events {
        for line in outcome.trace.lines() {
            println!("{line}");
        }
    }
    print_seen(&outcome.seen);
    match &outcome.violation {
        None => {
            let (hash, replicas) = (outcome.trace.hash(), outcome.replicas);
            println!(
                "seed {} is clean: events {hash:016x}, replicas {replicas:016x}",
                args.seed
            );
            true
        }
        Some(_) => {
            tell_broken(&options, &outcome, &again(&options));
            false
        }
    }
}
