//! Lead score, order by the hour and caller IDs on their own:
//! `cargo run --release -p pacing-sim --example scoring -- --help`.

use clap::Parser;

#[derive(Parser)]
enum Cli {
    Scoring(pacing_sim::ScoringArgs),
    BestTime(pacing_sim::BestTimeArgs),
    Callers(pacing_sim::CallersArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli::Scoring(args) => pacing_sim::score(&args),
        Cli::BestTime(args) => pacing_sim::best_time(&args),
        Cli::Callers(args) => pacing_sim::callers(&args),
    }
}
