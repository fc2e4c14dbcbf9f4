//! `cargo fuzz-inputs`: hostile bytes from the command line.

use anyhow::bail;
use clap::Parser;
use fuzz::{INPUTS_OF_A_RUN, LONGEST, TARGETS, Target, run_corpus, swarm};
use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
};

#[derive(Debug, Parser)]
#[command(
    name = "fuzz-inputs",
    version,
    about = "Gives hostile bytes to everything that reads what strangers and carriers send",
    long_about = "Gives messages of a corpus, changed by chance, to everything that reads what strangers and carriers send: no \
                  panic, no broken invariant, no input that takes more than 10 ms of CPU. A seed is a run of 50 inputs to one \
                  state; the same seed is the same run.\n\nExit code 0: nothing found; 1: something was, and how to see it again; \
                  2: not understood.",
    after_help = "Examples:\n  cargo fuzz-inputs                               a million inputs for each target\n  cargo fuzz-inputs --inputs 10000000             the nightly ten million\n  cargo fuzz-inputs --target sdp --from 17 --inputs 50   one run again"
)]
struct Cli {
    /// Only this target: message, stream, sdp, trunk, phone, rtp, wav
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Inputs for each target
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    inputs: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let chosen = |target: &&Target| (cli.target.as_ref()).is_none_or(|name| name == target.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(chosen).collect();
    if targets.is_empty() {
        let names = TARGETS.map(|target| target.name).join(", ");
        bail!("--target must be one of {names}");
    }
    // Panics of targets are caught and told once, with how to see them again.
    std::panic::set_hook(Box::new(|_| {}));
    for target in targets {
        let kept = match run_corpus(target) {
            Ok(kept) => kept,
            Err(failure) => return told(&failure),
        };
        let progress = |done: u64| {
            if stderr().is_terminal() && done.is_multiple_of(INPUTS_OF_A_RUN * 512) {
                eprint!("\r{:8} {:3} %", target.name, done * 100 / cli.inputs.max(1));
            }
        };
        let report = match swarm(target, cli.from, cli.inputs, &progress) {
            Ok(report) => report,
            Err(failure) => return told(&failure),
        };
        if stderr().is_terminal() {
            eprint!("\r");
        }
        let mean = report.total.as_secs_f64() * 1e6 / report.inputs as f64;
        println!(
            "{:8} {:>9} inputs, mean {mean:5.1} us, longest {:?} (at most {LONGEST:?}), {kept} kept messages: {}",
            target.name, report.inputs, report.longest, target.about
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn told(failure: &fuzz::Failure) -> anyhow::Result<ExitCode> {
    println!("{failure}");
    Ok(ExitCode::FAILURE)
}
