//! `cargo simulate-raft`: the second tier of the fault simulator from the command line.

mod verbs;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use verbs::{determinism, planted, run, swarm};

#[derive(Debug, Parser)]
#[command(
    name = "simulate-raft",
    version,
    about = "Runs real openraft groups in virtual time under a seed's faults",
    long_about = "Runs groups of real openraft with our log, snapshots and machine adapter in virtual \
                  time, under a seed's faults of clocks, processes, links and disks, and checks the \
                  rules that must never break. One seed is one run, to the bit.\n\n\
                  Exit code 0: clean; 1: a rule was broken; 2: not understood.",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: Option<run::Args>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One run: what happened, or which rule was broken and how to see it again
    Run(run::Args),
    /// Many seeds on two threads, and how often each thing happened
    Swarm(swarm::Args),
    /// The same run twice, compared event by event
    CheckDeterminism(determinism::Args),
    /// Every mistake on purpose, and the seeds it took to find it
    Planted(planted::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let verb = match (cli.verb, cli.run) {
        (Some(verb), _) => verb,
        (None, Some(args)) => Verb::Run(args),
        (None, None) => {
            anyhow::bail!("name a verb or a seed; `cargo simulate-raft --help` says more")
        }
    };
    let fine = match verb {
        Verb::Run(args) => run::run(&args),
        Verb::Swarm(args) => swarm::run(&args),
        Verb::CheckDeterminism(args) => determinism::run(&args),
        Verb::Planted(args) => planted::run(&args),
    };
    Ok(if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
