//! The wire between cities as a process of its own: a UDP proxy in front of each member.

use anyhow::Context as _;
use clap::Parser;
use simulations::{
    link::{LinkMember, LinkProxy},
    process,
};
use std::net::SocketAddr;

/// A UDP proxy in front of each member's mesh endpoint, with cuts, delay and loss by control.
#[derive(Debug, Parser)]
#[command(name = "dialmesh-link")]
struct Arguments {
    /// A member as NAME=ADVERTISED=TARGET, both `address:port`; once for each.
    #[arg(long = "member", value_name = "MEMBER", required = true, value_parser = member)]
    members: Vec<LinkMember>,
    /// Control socket on loopback; port 0 for any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Seed of the loss.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

fn member(text: &str) -> Result<LinkMember, String> {
    let mut parts = text.split('=');
    let (Some(name), Some(advertised), Some(target), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("expected NAME=ADVERTISED=TARGET".into());
    };
    let address = |what: &str, text: &str| {
        text.parse::<SocketAddr>()
            .map_err(|_| format!("{what}: {text:?} is not address:port"))
    };
    Ok(LinkMember {
        name: name.to_owned(),
        advertised: address("ADVERTISED", advertised)?,
        target: address("TARGET", target)?,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(
        arguments.control.ip().is_loopback(),
        "--control {} is not on loopback; it has no password",
        arguments.control
    );
    let stop = process::stop_signal()?;
    let link = LinkProxy::start(arguments.members, arguments.seed, Some(arguments.control)).await?;
    for (member, address) in link.addresses() {
        println!("member {member} {address}");
    }
    println!("control {}", link.control().context("asked for above")?);
    println!("ready");
    stop.await;
    println!(
        "{}",
        serde_json::to_string(&link.stats()).context("writing the counters")?
    );
    link.stop().await;
    Ok(())
}
