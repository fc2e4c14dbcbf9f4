//! Agents with their phones as a process of its own, against one node.

use anyhow::Context as _;
use clap::Parser;
use serde::Deserialize;
use simulations::{
    agent::{Agent, AgentConfig, AgentLog},
    audio::rtp::RtpThread,
    phone::{Phone, PhoneConfig},
    process,
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Simulated agents: a SIP phone each that holds the shift's leg, and a person who presses buttons.
#[derive(Debug, Parser)]
#[command(name = "dialmesh-phones")]
struct Arguments {
    /// Who: TOML with `[[agents]]`, each with `login`, `sip_password`, `token`.
    #[arg(long, value_name = "FILE")]
    agents: PathBuf,
    /// The node's SIP address for agents' phones.
    #[arg(long, value_name = "ADDRESS")]
    registrar: SocketAddr,
    /// The node's agent API, `ws://address:port/agent/v1/socket`; without it only phones run.
    #[arg(long, value_name = "URL")]
    socket: Option<String>,
    /// Log of acknowledged dispositions and of what was heard (JSON lines).
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Seed of every draw.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Of 1000 calls, after how many an agent takes a break.
    #[arg(long, value_name = "PERMILLE", default_value_t = 20)]
    breaks: u32,
    /// Shortest and longest talk before the agent hangs up, in milliseconds: `6000-15000`.
    #[arg(long, value_name = "RANGE", default_value = "6000-15000", value_parser = range)]
    talk_ms: (u32, u32),
    /// Shortest and longest wrap-up, in milliseconds.
    #[arg(long, value_name = "RANGE", default_value = "300-1500", value_parser = range)]
    wrap_up_ms: (u32, u32),
    /// How often a line of figures is printed, in seconds; 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    report: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentsFile {
    agents: Vec<Account>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    login: String,
    sip_password: String,
    #[serde(default)]
    token: String,
}

fn range(text: &str) -> Result<(u32, u32), String> {
    let (least, most) = text.split_once('-').ok_or("expected LEAST-MOST")?;
    let read = |t: &str| {
        t.trim()
            .parse::<u32>()
            .map_err(|_| format!("{t:?} is not a number"))
    };
    let (least, most) = (read(least)?, read(most)?);
    if least > most {
        return Err(format!("{least} is above {most}"));
    }
    Ok((least, most))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let text = std::fs::read_to_string(&arguments.agents)
        .with_context(|| format!("reading {}", arguments.agents.display()))?;
    let file: AgentsFile =
        toml::from_str(&text).with_context(|| arguments.agents.display().to_string())?;
    let log = match &arguments.log {
        Some(path) => AgentLog::open(path)?,
        None => AgentLog::default(),
    };
    let stop = process::stop_signal()?;
    tokio::pin!(stop);
    let rtp = RtpThread::start("phones-rtp").context("starting the RTP thread")?;
    let (mut phones, mut agents) = (Vec::new(), Vec::new());
    for account in &file.agents {
        let config = PhoneConfig::new(&account.login, &account.sip_password, arguments.registrar);
        let phone = Phone::start(config, rtp.clone()).await?;
        println!(
            "phone {} sip:{} {} Hz",
            account.login,
            phone.addr(),
            phone.tone()
        );
        if let Some(url) = &arguments.socket {
            let config = AgentConfig {
                seed: arguments.seed,
                pause_permille: arguments.breaks,
                talk_ms: arguments.talk_ms,
                wrap_up_ms: arguments.wrap_up_ms,
                ..AgentConfig::new(&account.login, &account.token, url)
            };
            agents.push(Agent::start(config, phone.clone(), log.clone()));
        }
        phones.push(phone);
    }
    println!("ready");
    let every = Duration::from_secs(if arguments.report == 0 {
        3_600
    } else {
        arguments.report
    });
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(every) => {
                let registered = phones.iter().filter(|p| p.status().borrow().registered).count();
                let in_leg = phones.iter().filter(|p| p.status().borrow().in_leg).count();
                let (mut calls, mut disposed, mut heard, mut trouble) = (0, 0, 0, String::new());
                for agent in &agents {
                    let status = agent.status();
                    let status = status.borrow();
                    calls += status.calls;
                    disposed += status.disposed;
                    heard += status.heard;
                    if !status.trouble.is_empty() {
                        trouble.clone_from(&status.trouble);
                    }
                }
                println!(
                    "phones {} registered {registered} in leg {in_leg}; calls {calls} disposed {disposed} heard {heard} {trouble}",
                    phones.len()
                );
            }
        }
    }
    let leaving = agents.into_iter().map(|agent| agent.stop());
    futures::future::join_all(leaving).await;
    futures::future::join_all(phones.iter().map(|phone| phone.stop())).await;
    Ok(())
}
