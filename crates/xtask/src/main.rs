//! Typed tasks, no shell: `cargo xtask demo`, `cargo xtask test`, `cargo xtask tidy`.

mod run;
mod setup;
mod suite;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

const EXAMPLES: &str = "Examples:
  cargo xtask demo                                    a whole mesh on this machine
  cargo xtask demo -- --exit-after 90s --report       the same, scripted
  cargo xtask test                                    every test, installing what it needs
  cargo xtask test --only tidy,clippy                 some steps of it";

#[derive(Subcommand)]
enum Task {
    /// Set up what is missing and start a whole mesh on this machine.
    Demo {
        /// Passed to `dialmesh demo`; see `cargo xtask demo -- --help`.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Set up what is missing and pass every test.
    Test {
        /// Only these steps, separated by commas.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Name the steps and stop.
        #[arg(long)]
        list: bool,
    },
    /// Check the table of arrows, the purity of core and the habits of the house.
    Tidy,
    /// Install what the tests need (Debian packages) and build the pages.
    Setup,
    /// Build the pages with npm, so that the next build embeds them.
    Web,
    /// Break a mesh of real processes at random and judge what it dialed.
    Chaos {
        /// Passed to `dialmesh-chaos`; see `cargo xtask chaos -- --help`.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Measure against the ceilings and peers of docs/testing.md, in release.
    Bench {
        /// Passed to the benchmark.
        #[arg(last = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo { args } => setup::web().and_then(|()| suite::demo(&args)),
        Task::Test { only, list } => suite::test(&only, list),
        Task::Tidy => tidy::check(),
        Task::Setup => setup::packages().and_then(|()| setup::web()),
        Task::Web => setup::build_web(),
        Task::Chaos { args } => setup::web().and_then(|()| suite::chaos(&args)),
        Task::Bench { args } => suite::bench(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
