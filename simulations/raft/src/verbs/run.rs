//! `--seed N`: one run.

use super::{options, print_seen, tell_broken};
use raft_sim::{Defect, Keep};

/// Which run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Which run
    #[arg(long, value_name = "N")]
    seed: u64,
    /// With this mistake on purpose
    #[arg(long, value_name = "NAME")]
    defect: Option<Defect>,
    /// Print every event
    #[arg(long)]
    events: bool,
}

/// True when the run was clean.
pub(crate) fn run(args: &Args) -> bool {
    let options = options(args.seed, args.defect);
    println!("{options:?}");
    let keep = if args.events { Keep::All } else { Keep::Hash };
    let outcome = raft_sim::run(&options, keep);
    if args.events {
        for line in outcome.trace.lines() {
            println!("{line}");
        }
    }
    print_seen(&outcome.seen);
    if outcome.violation.is_none() {
        let hash = outcome.trace.hash();
        println!("seed {}: clean, {hash:016x}", args.seed);
        return true;
    }
    tell_broken(&options, &outcome);
    false
}
