//! The simulator on its own: `cargo run --release -p pacing-sim --example pacing -- --help`.

use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: pacing_sim::PacingArgs,
}

fn main() -> anyhow::Result<()> {
    pacing_sim::run(Cli::parse().args)
}
