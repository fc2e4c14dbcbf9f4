//! The shipped program under load: a coordinator and a city's node, SIPp at both ends, agents at the
//! node's API. What an installation would see, on one machine.

use crate::{
    Arguments, CPU_WHOLE_CALL_MS, WARM_UP, cores,
    cpu::{self, Clock, load},
    ends::{Carrier, Phones},
    plan::Plan,
    word,
};
use anyhow::{Context as _, ensure};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use simulations::{
    agent::api::{Button, Card, Desk, Notice},
    population::{City, PopulationConfig},
    world::{World, WorldCity, WorldConfig},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

/// How long everything may need to get ready, and to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// Caller IDs; each is shown 10,000 times an hour at most.
const CALLER_IDS: usize = 20;

/// What the agents saw.
#[derive(Debug, Default)]
struct Seen {
    ready: AtomicU64,
    disposed: AtomicU64,
    refused: AtomicU64,
    /// The measuring is over: screens that go are no news.
    over: AtomicBool,
}

pub(crate) fn program(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("dialmesh"));
    let program = named.cloned().or_else(beside);
    let program =
        program.context("the program dialmesh is not beside this one; name --dialmesh")?;
    ensure!(
        program.is_file(),
        "{} is not there; build it with `cargo build --release --bin dialmesh`, or name --dialmesh",
        program.display()
    );
    Ok(program)
}

fn world(arguments: &Arguments, plan: &Plan) -> anyhow::Result<WorldConfig> {
    let mut config = WorldConfig::new(program(arguments.dialmesh.as_ref())?, 1);
    config.cities = vec![WorldCity {
        name: "beijing".into(),
        region: "north-china".into(),
        place: City::Beijing,
    }];
    config.link = false;
    // Ports follow from it: 300 calls a second whose ports rest 5 s need more than the agents do.
    config.agents_per_city = (plan.agents as usize).max(400);
    config.caller_ids_per_city = CALLER_IDS;
    config.channels = 2_000;
    config.calls_per_second = plan.calls_per_second;
    config.trunk = Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), plan.carrier()));
    config.log_level = "warn".into();
    config.campaign = json!({"wrap_up_limit_seconds": 60, "retry": []});
    Ok(config)
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let plan = Plan {
        port: arguments.port,
        agents: arguments.agents,
        leads: 0,
        calls_per_second: arguments.rate + arguments.rate / 10,
        talk_ms: arguments.talk_ms,
        record: false,
    };
    let mut world = World::build(world(arguments, &plan)?, |step| eprintln!("{step}")).await?;
    let seconds = arguments.seconds + WARM_UP.as_secs() + 10;
    let leads = usize::try_from(u64::from(plan.calls_per_second) * seconds)?;
    let csv = world.folder().join("leads.csv");
    let people = PopulationConfig::new(1, leads, &[City::Beijing]).write_file(&csv)?;
    world.expect_leads(&people);
    eprintln!("{leads} leads");
    world.import(&csv).await?;
    eprintln!("{} agents", plan.agents);
    let seen = Arc::new(Seen::default());
    let phones = seat(&world, &plan, &seen).await?;
    let carrier = Carrier::start(&plan)?;
    world.start_campaign().await?;
    let first = world.until("the first call", PATIENCE, async |_| {
        seen.disposed.load(Relaxed) > 0
    });
    first.await?;
    tokio::time::sleep(WARM_UP).await;

    let node = world.nodes()[0].process_id().context("the node runs")?;
    let coordinator = world
        .coordinator_process_id()
        .context("the coordinator runs")?;
    let before = load();
    let threads_before = cpu::threads_of(node);
    let clocks = [node, coordinator, carrier.id(), phones.id()].map(Clock::of);
    let own = Clock::of_self();
    let (began, first) = (Instant::now(), seen.disposed.load(Relaxed));
    let (mut slowest, mut last) = (u64::MAX, first);
    for second in 1..=arguments.seconds {
        let due = began + Duration::from_secs(second);
        tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
        let now = seen.disposed.load(Relaxed);
        slowest = slowest.min(now - last);
        last = now;
    }
    let span = began.elapsed().as_secs_f64();
    let calls = last - first;
    let [node_cpu, coordinator_cpu, carrier_cpu, phones_cpu] = clocks.map(|clock| clock.spent());
    let (own_cpu, after) = (own.spent(), load());
    let threads = cpu::threads_of(node);

    world.pause_campaign().await?;
    let told = records(&world, &seen).await?;
    // What rang when the campaign was paused at the end was cancelled by that.
    let failures: u64 = (told.iter())
        .filter(|(name, _)| !matches!(name.as_str(), "agent's" | "cancelled"))
        .map(|(_, n)| n)
        .sum();
    let refused = seen.refused.load(Relaxed);
    let rate = calls as f64 / span;
    let share = |cpu: Duration| cpu.as_secs_f64() / span * 100.0;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1000.0 / calls.max(1) as f64;
    let per_call = each(node_cpu);
    println!("whole: a coordinator and one node as processes, SIPp at both ends; no RTP");
    println!(
        "  answered, bridged, disposed   {calls} calls in {span:.1} s = {rate:.1} calls/s (slowest second {slowest})"
    );
    println!("  call records of the whole run {told:?}");
    println!("  failures                      {failures}, commands refused {refused}");
    println!(
        "  CPU of the node               {per_call:.3} ms a call ({:.1} % of one core)",
        share(node_cpu)
    );
    for (name, cpu) in threads {
        let cpu = cpu.saturating_sub(threads_before.get(&name).copied().unwrap_or_default());
        if each(cpu) >= 0.01 {
            println!("    {name:<27} {:.3} ms a call", each(cpu));
        }
    }
    println!(
        "  CPU of the coordinator        {:.3} ms a call ({:.1} % of one core)",
        each(coordinator_cpu),
        share(coordinator_cpu)
    );
    println!(
        "  CPU outside                   SIPp carrier {:.1} %, phones {:.1} %, agents {:.1} % of one core",
        share(carrier_cpu),
        share(phones_cpu),
        share(own_cpu)
    );
    println!(
        "  load of the machine           {before} before, {after} after, {} cores",
        cores()
    );
    println!("  SIPp carrier                  {}", carrier.verdict());
    let good = rate >= f64::from(arguments.rate)
        && failures == 0
        && refused == 0
        && per_call <= CPU_WHOLE_CALL_MS;
    println!(
        "  bar: >= {} calls/s, 0 failures, <= {CPU_WHOLE_CALL_MS} ms a call: {}",
        arguments.rate,
        word(good)
    );
    drop(phones);
    seen.over.store(true, Relaxed);
    world.shut_down().await;
    Ok(good)
}

/// Accounts, phones on their legs, agents ready.
async fn seat(world: &World, plan: &Plan, seen: &Arc<Seen>) -> anyhow::Result<Phones> {
    let mut accounts = Vec::new();
    for number in 1..=plan.agents as usize {
        accounts.push(world.open_account(0, number).await?);
    }
    let node = &world.nodes()[0];
    let (plan, registrar) = (plan.clone(), node.agent_sip());
    let logins: Vec<_> = (accounts.iter())
        .map(|account| (account.login.clone(), account.sip_password.clone()))
        .collect();
    let all = accounts.len() as u64;
    let phones = tokio::task::spawn_blocking(move || Phones::start(&plan, registrar, logins));
    let phones = phones.await.context("registering phones")??;
    for account in accounts {
        let url = format!("ws://{}/agent/v1/socket", node.http());
        let seen = Arc::clone(seen);
        tokio::spawn(async move {
            if let Err(error) = work(&url, &account.token, &seen).await
                && !seen.over.load(Relaxed)
            {
                eprintln!("{}: {error:#}", account.login);
            }
        });
    }
    let seated = world.until("agents ready", PATIENCE, async |_| {
        seen.ready.load(Relaxed) >= all
    });
    seated.await?;
    Ok(phones)
}

/// An agent without a pause for thought: disposes each call as soon as it has ended.
async fn work(url: &str, token: &str, seen: &Seen) -> anyhow::Result<()> {
    let mut request = url.into_client_request()?;
    let bearer = format!("Bearer {token}").parse().context("the token")?;
    request.headers_mut().insert("Authorization", bearer);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
    let (mut desk, mut phone_up, mut id) = (Desk::default(), false, 0);
    let mut card: Option<Card> = None;
    let mut was_ready = false;
    while let Some(frame) = socket.next().await {
        let Message::Text(text) = frame? else {
            continue;
        };
        let before = (desk, phone_up);
        match Notice::from_json(&text) {
            Notice::State(now, up) => (desk, phone_up) = (now, up),
            Notice::Snapshot(now, up, call) => (desk, phone_up, card) = (now, up, call),
            Notice::Call(call) => card = Some(call),
            Notice::Disposed(..) => _ = seen.disposed.fetch_add(1, Relaxed),
            Notice::Reply(_, Some(why)) | Notice::Error(why) => {
                seen.refused.fetch_add(1, Relaxed);
                eprintln!("refused: {why}");
            }
            _ => {}
        }
        if desk == Desk::Ready && !std::mem::replace(&mut was_ready, desk == Desk::Ready) {
            seen.ready.fetch_add(1, Relaxed);
        }
        if (desk, phone_up) == before && id > 0 {
            continue;
        }
        let button = match desk {
            Desk::LoggedOut => Button::LogIn,
            Desk::Paused if phone_up => Button::Ready,
            Desk::WrapUp => {
                let Some(card) = card.take() else { continue };
                let choice = card.choices.iter().find(|choice| !choice.do_not_call);
                Button::Dispose {
                    disposition: choice.context("a card has choices")?.name.clone(),
                    note: String::new(),
                    callback_at: None,
                }
            }
            _ => continue,
        };
        id += 1;
        let text = button.to_json(id).to_string();
        socket.send(Message::text(text)).await?;
    }
    anyhow::bail!("the node closed the connection")
}

/// Waits until the coordinator has the record of every disposed call; records by disposition.
async fn records(world: &World, seen: &Seen) -> anyhow::Result<BTreeMap<String, u64>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut told = BTreeMap::<String, u64>::new();
        for line in world.export_records().await?.lines() {
            let record: Value = serde_json::from_str(line).context("a call record")?;
            let system = record["disposition"].as_str();
            let system =
                system.filter(|d| domain::Disposition::SYSTEM.iter().any(|s| s.name() == *d));
            let name = system.unwrap_or("agent's").to_owned();
            *told.entry(name).or_default() += 1;
        }
        if told.get("agent's").copied().unwrap_or(0) >= seen.disposed.load(Relaxed) {
            return Ok(told);
        }
        ensure!(
            Instant::now() < deadline,
            "call records are missing: {} disposed, {told:?}",
            seen.disposed.load(Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
