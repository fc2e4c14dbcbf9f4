//! Overflow, as real processes: a person of one city whose agent went away speaks with an agent of
//! another, each hears the other at the carrier's and the phone's ears, and when the agent's node is killed
//! the person gets an ending.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use anyhow::{Context as _, Result, ensure};
use common::{dialmesh, said};
use serde_json::{Value, json};
use simulations::{
    audio::rtp::{AudioReport, RtpThread},
    carrier::witness::{self, Event},
    phone::{Phone, PhoneConfig, PhoneHandle},
    population::{City, PopulationConfig},
    world::{Account, World, WorldCity, WorldConfig},
};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);
/// A killed node is noticed, and its call ended, within so long.
const ENDED: Duration = Duration::from_secs(20);
/// Tries at a call whose agent goes away between the INVITE and the answer.
const TRIES: usize = 12;

fn config() -> WorldConfig {
    let mut config = WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 31);
    config.cities = WorldCity::china().into_iter().take(2).collect();
    config.agents_per_city = 0;
    config.link = false;
    // Everybody answers, after a while, and stays until we hang up.
    config.habits.answer_permille_by_hour = [1000; 24];
    config.habits.ring_mean_ms = 4_000;
    config.habits.talk_mean_ms = 300_000;
    config.habits.machine_permille = 0;
    config
}

/// An agent at a phone with a tone, whose buttons the test presses.
struct Seat {
    account: Account,
    phone: PhoneHandle,
    commands: String,
    client: reqwest::Client,
}

impl Seat {
    async fn new(world: &World, city: usize) -> Result<Self> {
        let account = world.open_account(city, 90).await?;
        let node = &world.nodes()[city];
        let config = PhoneConfig::new(&account.login, &account.sip_password, node.agent_sip());
        let phone = Phone::start(config, RtpThread::start(&account.login)?).await?;
        Ok(Self {
            account,
            phone,
            commands: format!("http://{}/agent/v1/commands", node.http()),
            client: reqwest::Client::new(),
        })
    }

    async fn press(&self, command: Value) -> Result<bool> {
        let button = self.client.post(&self.commands);
        let button = button.bearer_auth(&self.account.token).json(&command);
        Ok(button.send().await?.status().is_success())
    }

    /// On shift, and ready.
    async fn work(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !self.phone.status().borrow().in_leg {
            ensure!(Instant::now() < end, "{:?} gets no leg", self.account);
            if self.phone.status().borrow().registered {
                self.press(json!({"type": "log_in"})).await?;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        while !self.press(json!({"type": "ready"})).await? {
            ensure!(Instant::now() < end, "{:?} is not ready", self.account);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

fn live(world: &World) -> Result<Vec<Value>> {
    let told: Value = serde_json::from_str(&said(world, &["call", "live", "-o", "json"])?)?;
    told["data"].as_array().cloned().context("calls")
}

/// A line of the first city loses its agent while it rings: the call that the second city's agent has.
async fn overflows(world: &World, home: &Seat, host: &Seat) -> Result<String> {
    for attempt in 1..=TRIES {
        let before = world.carrier_stats().opened;
        home.work().await?;
        let end = Instant::now() + PATIENCE;
        while world.carrier_stats().opened == before {
            ensure!(Instant::now() < end, "nobody is dialed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        home.phone.hang_up().await;
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            let calls = live(world)?;
            let with = |call: &&Value| call["agent_login"] == host.account.login.as_str();
            if let Some(call) = calls.iter().find(with) {
                println!("try {attempt}: {call}");
                return Ok(call["id"].as_str().context("an id")?.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    anyhow::bail!("in {TRIES} tries no call went to the other city")
}

/// What a city says of carried calls, in `status` and in `campaign explain`: out and in now, out and in since
/// its node started. It says so each second: waited for until it is `wanted`.
async fn carries(world: &World, city: &str, wanted: [u64; 4]) -> Result<()> {
    let read = |row: &Value| {
        let figures = ["out_now", "in_now", "out_total", "in_total"];
        figures.map(|figure| row["overflow"][figure].as_u64())
    };
    let end = Instant::now() + PATIENCE;
    loop {
        // Degraded where a city is gone: its figures are told all the same.
        let status = dialmesh(world, &["status", "-o", "json"])?;
        let status: Value = serde_json::from_slice(&status.stdout)?;
        let explained = said(
            world,
            &["campaign", "explain", world.campaign(), "-o", "json"],
        )?;
        let explained: Value = serde_json::from_str(&explained)?;
        let of_city = |rows: &Value| {
            let mut rows = rows.as_array().into_iter().flatten();
            rows.find(|row| row["name"] == city).map(read)
        };
        let told = [of_city(&status["cities"]), of_city(&explained)];
        if told.iter().all(|told| *told == Some(wanted.map(Some))) {
            println!("{city} carries {wanted:?}");
            return Ok(());
        }
        ensure!(Instant::now() < end, "{city}: {told:?} is not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How the carrier saw a call's end: by whom, what the person heard, and the person's own tone.
async fn end_at_carrier(
    world: &World,
    call: &str,
    within: Duration,
) -> Result<(String, Vec<u32>, u32)> {
    let end = Instant::now() + within;
    loop {
        let log = witness::read(&world.carrier_log())?;
        let mut ends = log.iter().filter(|entry| entry.attempt == call);
        let closed = ends.find_map(|entry| match &entry.event {
            Event::Closed {
                how, audio, tone, ..
            } => Some((how.clone(), audio.clone(), *tone)),
            _ => None,
        });
        if let Some((how, audio, tone)) = closed {
            let heard = audio.map(|AudioReport { heard, .. }| heard);
            return Ok((how, heard.unwrap_or_default(), tone));
        }
        ensure!(Instant::now() < end, "{call} has no end at the carrier");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The one record of a call.
async fn record(world: &World, call: &str) -> Result<Value> {
    let path = format!("/calls/{call}");
    let there = world.until("the call's record", PATIENCE, async |w| {
        w.api().get(&path).await.is_ok()
    });
    there.await?;
    let records = world.export_records().await?;
    let of = records.lines().filter(|line| line.contains(call)).count();
    ensure!(of == 1, "{of} records of {call}");
    world.api().get(&path).await
}

async fn story() -> Result<()> {
    let mut world = World::build(config(), |step| println!("{step}")).await?;
    let leads = world.folder().join("leads.csv");
    let population = PopulationConfig::new(31, 300, &[City::Beijing]).write_file(&leads)?;
    world.import(&leads).await?;
    world.expect_leads(&population);
    let (home, host) = (Seat::new(&world, 0).await?, Seat::new(&world, 1).await?);
    host.work().await?;
    world.start_campaign().await?;

    let call = overflows(&world, &home, &host).await?;
    let (from_here, to_there) = (world.nodes()[0].name(), world.nodes()[1].name());
    carries(&world, from_here, [1, 0, 1, 0]).await?;
    carries(&world, to_there, [0, 1, 0, 1]).await?;
    // Persons greet first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let from = Instant::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let heard = host.phone.heard_between(from, Instant::now());
    ensure!(
        host.press(json!({"type": "hang_up"})).await?,
        "no call to end"
    );
    let (how, at_carrier, tone) = end_at_carrier(&world, &call, ENDED).await?;
    println!("{call}: the agent heard {heard:?} Hz, the person {at_carrier:?} Hz; ended by {how}");
    ensure!(
        heard == [tone],
        "the agent heard {heard:?}, the person spoke {tone} Hz"
    );
    ensure!(at_carrier.contains(&host.phone.tone()), "{at_carrier:?}");
    ensure!(how == "caller", "{how}");
    let chosen = json!({"type": "dispose", "disposition": "success", "note": "from afar"});
    ensure!(host.press(chosen).await?, "the disposition is not kept");
    let told = record(&world, &call).await?;
    println!("{told}");
    ensure!(told["note"] == "from afar", "{told}");
    ensure!(told["disposition"] == "success", "{told}");
    carries(&world, from_here, [0, 0, 1, 0]).await?;
    carries(&world, to_there, [0, 0, 0, 1]).await?;

    let call = overflows(&world, &home, &host).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let killed = Instant::now();
    world.kill("shanghai")?;
    let (how, ..) = end_at_carrier(&world, &call, ENDED).await?;
    println!(
        "{call}: ended by {how}, {:.1?} after its agent's node died",
        killed.elapsed()
    );
    ensure!(how == "caller", "{how}");
    let told = record(&world, &call).await?;
    println!("{told}");
    world.shut_down().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_one_city_speaks_with_an_agent_of_another() {
    if let Err(error) = story().await {
        panic!("{error:#}");
    }
}
