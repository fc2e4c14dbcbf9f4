//! `cargo simulate`: the fault simulator from the command line.

mod verbs;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use verbs::{determinism, planted, replay, run, swarm};

#[derive(Debug, Parser)]
#[command(
    name = "simulate",
    version,
    about = "Runs the mesh's machines in virtual time under a seed's faults",
    long_about = "Runs the mesh's machines in virtual time under a seed's faults and checks the rules \
                  that must never break after each step. One seed is one run, to the bit.\n\n\
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

/// Each verb is a `clap::Args` and a `run` that says whether all was well; verbs of other packages
/// join here, and nowhere else.
#[derive(Debug, Subcommand)]
enum Verb {
    /// One run: what happened, or which rule was broken and how to see it again
    Run(run::Args),
    /// Many seeds on two threads, and how often each thing happened
    Swarm(swarm::Args),
    /// A run from a file that a swarm wrote
    Replay(replay::Args),
    /// The same run twice, compared event by event
    CheckDeterminism(determinism::Args),
    /// Every mistake on purpose, and the seeds it took to find it
    Planted(planted::Args),
    /// The pacing controllers against a modelled city, beside what other dialers do
    Pacing(pacing_sim::PacingArgs),
    /// The lead score on a file of leads with known results
    Scoring(pacing_sim::ScoringArgs),
    /// Whom to call at which hour, in a synthetic world that drifts: what an order wins over none
    BestTime(pacing_sim::BestTimeArgs),
    /// Which caller ID to show, in synthetic worlds where numbers that are shown too often are
    /// labelled
    Callers(pacing_sim::CallersArgs),
    /// Every state of the lease and freshness protocols' models, and every mistake on purpose
    Model(protocol_model::ModelArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let verb = match (cli.verb, cli.run) {
        (Some(verb), _) => verb,
        (None, Some(args)) => Verb::Run(args),
        (None, None) => anyhow::bail!("name a verb or a seed; `cargo simulate --help` says more"),
    };
    let fine = match verb {
        Verb::Run(args) => run::run(&args),
        Verb::Swarm(args) => swarm::run(&args)?,
        Verb::Replay(args) => replay::run(&args)?,
        Verb::CheckDeterminism(args) => determinism::run(&args),
        Verb::Planted(args) => planted::run(&args),
        Verb::Pacing(args) => {
            pacing_sim::run(args)?;
            true
        }
        Verb::Scoring(args) => {
            pacing_sim::score(&args)?;
            true
        }
        Verb::BestTime(args) => {
            pacing_sim::best_time(&args)?;
            true
        }
        Verb::Callers(args) => {
            pacing_sim::callers(&args)?;
            true
        }
        Verb::Model(args) => protocol_model::run(&args),
    };
    Ok(if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
