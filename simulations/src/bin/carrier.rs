//! A simulated phone network as a process of its own. Prints its addresses, serves, stops on
//! SIGTERM or Ctrl-C with a complete log.

use anyhow::Context as _;
use clap::Parser;
use simulations::{
    carrier::{Carrier, CarrierConfig},
    process,
};
use std::{net::SocketAddr, path::PathBuf};

/// A simulated phone network: real SIP, real RTP, people with habits, a log of what was dialed.
#[derive(Debug, Parser)]
#[command(name = "dialmesh-carrier")]
struct Arguments {
    /// Configuration (TOML); without it the demonstration's three trunks on free ports of loopback.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed of every draw, over the configuration's.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Witness log (JSON lines), over the configuration's.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Control socket on loopback, over the configuration's; port 0 for any.
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,
    /// Print the configuration in use and leave.
    #[arg(long)]
    print_config: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut config = match &arguments.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading {}", path.display()))?;
            CarrierConfig::from_toml(&text).with_context(|| path.display().to_string())?
        }
        None => CarrierConfig::default_demo(arguments.seed.unwrap_or(1)),
    };
    config.seed = arguments.seed.unwrap_or(config.seed);
    config.log = arguments.log.or(config.log);
    config.control = arguments.control.or(config.control);
    if arguments.print_config {
        print!(
            "{}",
            toml::to_string(&config).context("writing the configuration")?
        );
        return Ok(());
    }
    let stop = process::stop_signal()?;
    let carrier = Carrier::start(config).await?;
    for (trunk, address) in carrier.addresses() {
        println!("trunk {trunk} sip:{address} (udp, tcp)");
    }
    if let Some(address) = carrier.control() {
        println!("control {address}");
    }
    println!("ready");
    stop.await;
    let stats = carrier.stats();
    carrier.stop().await;
    println!(
        "{}",
        serde_json::to_string(&stats).context("writing the counters")?
    );
    Ok(())
}
