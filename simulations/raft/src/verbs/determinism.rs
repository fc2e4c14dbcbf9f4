//! `check-determinism --seed N`: one seed, one run.

use super::options;
use raft_sim::Defect;

/// Which run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Which run
    #[arg(long, value_name = "N")]
    seed: u64,
    /// With this mistake on purpose
    #[arg(long, value_name = "NAME")]
    defect: Option<Defect>,
}

/// True when both runs were equal.
pub(crate) fn run(args: &Args) -> bool {
    match raft_sim::determinism(&options(args.seed, args.defect)) {
        Ok(hash) => {
            println!("seed {}: equal, {hash:016x}", args.seed);
            true
        }
        Err(difference) => {
            println!("seed {}: event {} differs", args.seed, difference.event);
            println!("  first   {}", difference.lines[0]);
            println!("  second  {}", difference.lines[1]);
            false
        }
    }
}
