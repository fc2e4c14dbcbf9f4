//! A supervisor by the command line, as real processes: what was whispered is in nobody's recording, and
//! what the person was told by who barged in is.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use anyhow::{Context as _, Result, ensure};
use common::{dialmesh, said};
use serde_json::{Value, json};
use simulations::{
    audio::{Law, WINDOW, rtp::RtpThread, tones_in},
    phone::{Phone, PhoneConfig, PhoneHandle},
    population::{City, PopulationConfig},
    world::{Account, World, WorldCity, WorldConfig},
};
use std::{
    fs,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(90);
const HEADER: usize = 58;
/// Of 100 windows of a side of a recording: somebody spoke there for a while.
const SPOKE: usize = 10;

fn config() -> WorldConfig {
    let mut config = WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 12);
    config.cities = WorldCity::china().into_iter().take(1).collect();
    config.agents_per_city = 2;
    config.link = false;
    config.talk_ms = (12_000, 15_000);
    config.pause_permille = 0;
    config.habits.answer_permille_by_hour = [900; 24];
    // Persons who stay until the agent hangs up.
    config.habits.talk_mean_ms = 120_000;
    config.habits.machine_permille = 0;
    config
}

/// A supervisor at a phone with a tone, on shift and paused.
struct Boss {
    account: Account,
    phone: PhoneHandle,
}

impl Boss {
    async fn new(world: &World) -> Result<Self> {
        let account = world.open_account(0, 90).await?;
        let node = &world.nodes()[0];
        let config = PhoneConfig::new(&account.login, &account.sip_password, node.agent_sip());
        let phone = Phone::start(config, RtpThread::start("boss")?).await?;
        let url = format!("http://{}/agent/v1/commands", node.http());
        let client = reqwest::Client::new();
        let end = Instant::now() + PATIENCE;
        // Until the node knows the account, and the account its phone.
        while !phone.status().borrow().in_leg {
            ensure!(Instant::now() < end, "the supervisor's phone gets no leg");
            if phone.status().borrow().registered {
                let button = client.post(&url).bearer_auth(&account.token);
                button.json(&json!({"type": "log_in"})).send().await?;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(Self { account, phone })
    }

    fn act(&self, world: &World, verb: &str, call: &str) -> Result<String> {
        let seat = self.account.login.as_str();
        said(world, &["call", verb, call, "--seat", seat])
    }
}

fn live(world: &World) -> Result<Value> {
    let told = said(world, &["call", "live", "-o", "json"])?;
    Ok(serde_json::from_str(&told)?)
}

/// A call that was joined just now.
async fn young(world: &World, not: &str) -> Result<String> {
    let old = live(world)?["data"].clone();
    let known = |id: &Value| {
        let known = old.as_array().into_iter().flatten();
        known.into_iter().any(|call| call["id"] == *id)
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let now = live(world)?;
        let calls = now["data"].as_array().context("calls")?;
        let new = calls
            .iter()
            .find(|call| !known(&call["id"]) && call["id"] != not);
        if let Some(new) = new {
            ensure!(
                new["number"].as_str().is_some_and(|n| n.contains('*')),
                "{new}"
            );
            return Ok(new["id"].as_str().context("an id")?.to_owned());
        }
        ensure!(Instant::now() < end, "no call is joined: {now}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// In a call in that manner for some seconds, to its end: its recording's sides, agent and person.
async fn supervised(
    world: &World,
    boss: &Boss,
    verb: &str,
    not: &str,
) -> Result<(String, [usize; 2])> {
    let call = young(world, not).await?;
    boss.act(world, verb, &call)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let from = Instant::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let heard = boss.phone.heard_between(from, Instant::now());
    let floor = live(world)?;
    let calls = floor["data"].as_array().context("calls")?;
    let there = calls.iter().find(|one| one["id"] == call.as_str());
    let there = there.with_context(|| format!("{call} ended too soon"))?;
    ensure!(there["supervisors"][0]["manner"] == verb, "{there}");
    ensure!(
        heard.len() == 2,
        "both are heard, {heard:?} Hz, by {} Hz",
        boss.phone.tone()
    );
    let path = format!("/recordings/{call}");
    let whole = world.until("the call's recording", PATIENCE, async |w| {
        let told = w.api().get(&path).await;
        told.is_ok_and(|recording| recording["end"] == "whole")
    });
    whole.await?;
    let url = format!("{}/api/v1{path}/audio", world.api().base());
    let request = reqwest::Client::new()
        .get(url)
        .bearer_auth(world.api().token());
    let wav = request.send().await?.error_for_status()?.bytes().await?;
    let law = if wav[20] == 6 { Law::A } else { Law::Mu };
    let sides = [0, 1].map(|side| {
        let bytes = wav[HEADER..].iter().skip(side).step_by(2);
        let samples: Vec<i16> = bytes.map(|code| law.decode(*code)).collect();
        let windows: Vec<&[i16; WINDOW]> = (samples.chunks_exact(WINDOW))
            .map(|window| window.try_into().unwrap())
            .collect();
        let tone = boss.phone.tone();
        let with = windows.iter().filter(|w| tones_in(w).contains(&tone));
        100 * with.count() / windows.len().max(1)
    });
    println!("{verb} {call}: the supervisor's tone in {sides:?} % of its recording");
    Ok((call, sides))
}

async fn story() -> Result<()> {
    let mut world = World::build(config(), |step| println!("{step}")).await?;
    said(&world, &["recording", "key", "create"])?;
    world.set_campaign(&json!({"recording": "all"})).await?;
    let leads = world.folder().join("leads.csv");
    let population = PopulationConfig::new(12, 300, &[City::Beijing]).write_file(&leads)?;
    world.import(&leads).await?;
    world.expect_leads(&population);
    world.seat_agents().await?;
    let boss = Boss::new(&world).await?;
    world.start_campaign().await?;

    let (first, sides) = supervised(&world, &boss, "whisper", "").await?;
    ensure!(sides == [0, 0], "a whisper is recorded: {sides:?}");
    let (second, sides) = supervised(&world, &boss, "barge", &first).await?;
    ensure!(sides[0] > SPOKE && sides[1] == 0, "{sides:?}");

    // Over with the call; what is refused says what to do.
    let gone = dialmesh(
        &world,
        &["call", "listen", &second, "--seat", &boss.account.login],
    )?;
    let why = String::from_utf8_lossy(&gone.stderr).into_owned();
    ensure!(!gone.status.success() && why.contains("live call"), "{why}");
    let third = young(&world, &second).await?;
    boss.act(&world, "listen", &third)?;
    boss.act(&world, "leave", &third)?;
    let agents = live(&world)?["data"][0]["agent_login"].clone();
    let agent = agents.as_str().context("an agent")?;
    let busy = dialmesh(&world, &["call", "listen", &third, "--seat", agent])?;
    let why = String::from_utf8_lossy(&busy.stderr).into_owned();
    ensure!(
        !busy.status.success() && why.contains("pause it first"),
        "{why}"
    );

    let log = fs::read_to_string(world.folder().join("coordinator.log"))?;
    let audited = |act: &str| {
        log.lines()
            .any(|l| l.contains("supervise_call") && l.contains(act))
    };
    for act in ["whisper", "barge", "listen", "leave"] {
        ensure!(audited(act), "nothing in the audit of {act}");
    }
    world.shut_down().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_whispers_and_barges_by_the_command_line() {
    if let Err(error) = story().await {
        panic!("{error:#}");
    }
}
