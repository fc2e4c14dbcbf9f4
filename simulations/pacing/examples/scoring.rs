//! The lead score on its own: `cargo run --release -p pacing-sim --example scoring -- --help`.

use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: pacing_sim::ScoringArgs,
}

fn main() -> anyhow::Result<()> {
    pacing_sim::score(&Cli::parse().args)
}
