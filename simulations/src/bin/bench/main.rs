//! Measures one node against the bars: answered calls a second, and bridged calls with RTP.
//!
//! **What is in the measured process**: the real engine on a thread of its own, driven as the
//! node's shell drives it; the real SIP sockets (their receiving threads with them); the real RTP
//! relay; the real journal with `fdatasync` before an agent's disposition is acknowledged. The
//! mesh stands in for nothing measured: leases, session and do-not-call freshness are given by
//! the bench at once, where a node would ask its groups, and outcomes are counted where a node
//! would ship them. **What is outside**: SIPp as the carrier, SIPp as the agents' phones, and, for
//! media, one process that speaks RTP for all of them.
//!
//! `--which whole` measures the shipped program instead: a coordinator and one city's node as
//! processes of their own, with leases, do-not-call, outcomes and call records going over the mesh,
//! and agents at the node's WebSocket.
//!
//! `--which etcd` and `--which postgres` measure the region groups beside their peers from Debian's
//! packages, each with three members as processes; `--which promises` the times that the mesh promises.

mod city;
mod cpu;
mod debian;
mod ends;
mod etcd;
mod member;
mod plan;
mod postgres;
mod promises;
mod rtp;
mod trio;
mod whole;

use anyhow::{Context as _, ensure};
use city::City;
use clap::{Parser, ValueEnum};
use cpu::{Clock, load};
use ends::{Carrier, Phones};
use plan::Plan;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

// That of the shipped binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Calls answered, bridged, hung up by the carrier, disposed; no RTP.
    Signalling,
    /// Calls that stay bridged while RTP flows both ways.
    Media,
    /// As `signalling`, through a whole mesh of processes: a coordinator and one city's node.
    Whole,
    /// Small durable writes at three members, beside etcd.
    Etcd,
    /// Leads leased and reported at three members, beside PostgreSQL.
    Postgres,
    /// Opt-outs over long links, leads of a dead node, the loss of a leader.
    Promises,
}

/// One node against SIPp.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// What to measure.
    #[arg(long, value_enum, default_value = "signalling")]
    which: Which,
    /// Answered calls a second to reach (signalling, whole).
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Bridged calls (media).
    #[arg(long, default_value_t = 200)]
    calls: u32,
    /// Record each call, sealed, to a temporary folder (media); then the same without, to compare.
    #[arg(long)]
    record: bool,
    /// Agents on shift (signalling, whole); each call occupies one for about 0.3 s.
    #[arg(long, default_value_t = 200)]
    agents: u32,
    /// Seconds measured, after a warm-up of 3 s, or 35 s (signalling); without one for each line (etcd,
    /// postgres).
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Milliseconds from answer to the carrier's BYE (signalling, whole).
    #[arg(long, default_value_t = 100)]
    talk_ms: u32,
    /// First of the SIP ports used on loopback; the next eight are taken too.
    #[arg(long, default_value_t = 8_000)]
    port: u16,
    /// The program `dialmesh` (whole); the one beside this program when not given.
    #[arg(long, value_name = "FILE")]
    dialmesh: Option<std::path::PathBuf>,
    /// Callers at a time (etcd).
    #[arg(long, default_value_t = 256)]
    callers: u64,
    /// Leads (postgres).
    #[arg(long, default_value_t = 1_000_000)]
    leads: u64,
    /// Leaders killed; five times so many opt-outs (promises).
    #[arg(long, default_value_t = 20)]
    times: u32,
    /// Internal: be the process that speaks RTP.
    #[arg(long, hide = true)]
    rtp_ends: bool,
    /// Internal: be this member of three.
    #[arg(long, hide = true, requires = "folder")]
    member: Option<u64>,
    /// Internal: the folder the three share.
    #[arg(long, hide = true)]
    folder: Option<std::path::PathBuf>,
}

const WARM_UP: Duration = Duration::from_secs(3);
/// Before signalling is measured: what is kept of a call for repetitions (32 s, RFC 3261 section
/// 17.2.2) is as much as it will be, and memory does not grow any more.
const SETTLED: Duration = Duration::from_secs(35);
/// Milliseconds of CPU that an answered call may cost, signalling alone.
const CPU_CALL_MS: f64 = 0.15;
/// The same through the shipped program, with coordinator, API and records.
const CPU_WHOLE_CALL_MS: f64 = 1.0;
/// Milliseconds of CPU that a second of a bridged call may cost.
const CPU_CALL_SECOND_MS: f64 = 0.40;
/// The same while the call is recorded and sealed.
const CPU_RECORDED_CALL_SECOND_MS: f64 = 0.60;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.rtp_ends {
        rtp::speak().map(|()| true)
    } else if let (Some(member), Some(folder)) = (arguments.member, &arguments.folder) {
        member::run(folder.clone(), member).await
    } else {
        match arguments.which {
            Which::Signalling => tokio::task::block_in_place(|| signalling(&arguments)),
            Which::Media => tokio::task::block_in_place(|| media(&arguments)),
            Which::Whole => whole::run(&arguments).await,
            Which::Etcd => etcd::run(&arguments).await,
            Which::Postgres => postgres::run(&arguments).await,
            Which::Promises => promises::run(&arguments).await,
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn wait_for(what: &str, limit: Duration, mut is: impl FnMut() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    while !is() {
        ensure!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Phones registered, agents logged in and ready.
fn staffed(plan: &Plan) -> anyhow::Result<(City, Phones)> {
    let city = City::start(plan)?;
    let logins = (1..=plan.agents).map(City::login);
    let phones = Phones::start(plan, city.agent_address(), logins)?;
    city.begin_shifts(plan.agents);
    let counts = city.counts();
    let all = u64::from(plan.agents);
    wait_for("every agent's leg is up", Duration::from_secs(60), || {
        counts.ready() >= all
    })?;
    Ok((city, phones))
}

fn signalling(arguments: &Arguments) -> anyhow::Result<bool> {
    let plan = Plan {
        port: arguments.port,
        agents: arguments.agents,
        leads: u64::MAX,
        // The trunk's limiter never lets more than this leave in any one second, bursts included,
        // so that its steady rate is some 5 % below.
        calls_per_second: arguments.rate + arguments.rate / 10,
        talk_ms: arguments.talk_ms,
        record: false,
    };
    let (city, phones) = staffed(&plan)?;
    let carrier = Carrier::start(&plan)?;
    let counts = city.counts();
    city.run_campaign();
    std::thread::sleep(SETTLED);

    let before = load();
    let (began, completed, failed) = (Instant::now(), counts.completed(), counts.failed());
    let clocks = [
        Clock::of_self(),
        Clock::of(carrier.id()),
        Clock::of(phones.id()),
    ];
    let mut slowest = u64::MAX;
    let mut last = completed;
    for second in 1..=arguments.seconds {
        let due = began + Duration::from_secs(second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = counts.completed();
        slowest = slowest.min(now - last);
        last = now;
    }
    let span = began.elapsed().as_secs_f64();
    let calls = counts.completed() - completed;
    let failures = counts.failed() - failed;
    let [node, carrier_cpu, phones_cpu] = clocks.map(|clock| clock.spent());
    let after = load();
    let rate = calls as f64 / span;
    let per_call = node.as_secs_f64() * 1000.0 / calls.max(1) as f64;
    println!(
        "signalling: one node (engine, SIP sockets, relay, journal) against SIPp; no mesh, no RTP"
    );
    println!(
        "  answered, bridged, disposed   {calls} calls in {span:.1} s = {rate:.1} calls/s (slowest second {slowest})"
    );
    println!(
        "  failures                      {failures} {}",
        counts.failures()
    );
    println!(
        "  CPU of the node               {per_call:.3} ms a call ({:.1} % of one core)",
        node.as_secs_f64() / span * 100.0
    );
    for (thread, share) in cpu::threads() {
        println!("    of all so far, {thread:<16} {share:.1} s");
    }
    let sipp = |cpu: Duration| cpu.as_secs_f64() / span * 100.0;
    println!(
        "  CPU of SIPp                   carrier {:.1} %, phones {:.1} % of one core",
        sipp(carrier_cpu),
        sipp(phones_cpu)
    );
    println!(
        "  load of the machine           {before} before, {after} after, {} cores",
        cores()
    );
    println!("  SIPp carrier                  {}", carrier.verdict());
    let good = rate >= f64::from(arguments.rate) && failures == 0 && per_call <= CPU_CALL_MS;
    println!(
        "  bar: >= {} calls/s, 0 failures, <= {CPU_CALL_MS} ms a call: {}",
        arguments.rate,
        word(good)
    );
    drop(phones);
    Ok(good)
}

/// With recording, and the same without beside it.
fn media(arguments: &Arguments) -> anyhow::Result<bool> {
    if !arguments.record {
        return measured_media(arguments, false);
    }
    let without = measured_media(arguments, false)?;
    Ok(measured_media(arguments, true)? && without)
}

fn measured_media(arguments: &Arguments, record: bool) -> anyhow::Result<bool> {
    let plan = Plan {
        port: arguments.port,
        agents: arguments.calls,
        leads: u64::from(arguments.calls),
        calls_per_second: 50,
        talk_ms: 3_600_000,
        record,
    };
    let (city, phones) = staffed(&plan)?;
    let carrier = Carrier::start(&plan)?;
    let counts = city.counts();
    city.run_campaign();
    let all = u64::from(arguments.calls);
    wait_for("every call is bridged", Duration::from_secs(60), || {
        counts.bridged() >= all
    })?;
    let mut ends = rtp::Ends::start(&city.rtp_pairs())?;
    std::thread::sleep(WARM_UP);

    let before = load();
    let clocks = [Clock::of_self(), Clock::of(ends.id())];
    let began = Instant::now();
    ends.measure(arguments.seconds)?;
    std::thread::sleep(Duration::from_secs(arguments.seconds));
    let span = began.elapsed().as_secs_f64();
    let [node, ends_cpu] = clocks.map(|clock| clock.spent());
    let after = load();
    let heard = ends.report().context("the RTP process")?;
    let live = counts.bridged() - counts.completed() - counts.failed();
    let per_call_second = node.as_secs_f64() * 1000.0 / (span * all as f64);
    let lost = heard.sent - heard.received.min(heard.sent);
    println!(
        "media: {all} bridged G.711 calls with RTP both ways, {}, one node (engine, SIP sockets, relay, journal)",
        if record {
            "recorded and sealed"
        } else {
            "not recorded"
        }
    );
    println!(
        "  bridged at the end            {live}, failures {} {}",
        counts.failed(),
        counts.failures()
    );
    println!(
        "  RTP packets                   {} sent, {} received, {lost} lost, both directions",
        heard.sent, heard.received
    );
    println!(
        "  lateness of the RTP process   {:.1} ms at worst (the sender's, not the relay's)",
        heard.late_us as f64 / 1000.0
    );
    println!(
        "  CPU of the node               {per_call_second:.3} ms a bridged call-second ({:.1} % of one core)",
        node.as_secs_f64() / span * 100.0
    );
    println!(
        "  CPU of the RTP process        {:.1} % of one core",
        ends_cpu.as_secs_f64() / span * 100.0
    );
    println!(
        "  load of the machine           {before} before, {after} after, {} cores",
        cores()
    );
    let bar = match record {
        true => CPU_RECORDED_CALL_SECOND_MS,
        false => CPU_CALL_SECOND_MS,
    };
    let good = lost == 0 && live >= all && per_call_second <= bar && heard.sent > 0;
    println!(
        "  bar: 0 lost, <= {bar:.2} ms a bridged call-second: {}",
        word(good)
    );
    drop((phones, carrier));
    Ok(good)
}

fn word(good: bool) -> &'static str {
    if good { "met" } else { "MISSED" }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
