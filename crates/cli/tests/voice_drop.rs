//! A message on answering machines, as real processes: machines greet and beep at the carrier, hear the
//! message after the beep and nothing before it, and each attempt has its own disposition. Persons are
//! left alone.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use anyhow::{Context as _, Result, ensure};
use common::{dialmesh, said};
use dialmesh_http::dto::Timestamp;
use serde_json::{Value, json};
use simulations::{
    carrier::witness::Event,
    population::{City, PopulationConfig},
    world::{World, WorldCity, WorldConfig},
};
use std::{collections::BTreeMap, time::Duration};

const PATIENCE: Duration = Duration::from_secs(120);
/// So many machines are to hear it.
const MACHINES: usize = 12;

fn config() -> WorldConfig {
    let mut config = WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 43);
    config.cities = WorldCity::china().into_iter().take(1).collect();
    config.agents_per_city = 6;
    config.link = false;
    config.campaign = json!({"answering_machines": "hang_up", "voice_drop": "tone"});
    // Half of the answers are machines', that greet for seconds and record for longer.
    config.habits.answer_permille_by_hour = [300; 24];
    config.habits.busy_permille = 100;
    config.habits.machine_permille = 600;
    config.habits.unallocated_permille = 100;
    config.habits.powered_off_permille = 100;
    config.habits.rejected_permille = 50;
    config.habits.failure_permille = 0;
    config.habits.greeting_mean_ms = 5_000;
    config.habits.talk_mean_ms = 30_000;
    config.habits.ring_mean_ms = 500;
    config
}

/// Records of attempts that ended with a message left.
async fn left(world: &World) -> Result<Vec<Value>> {
    let records = world.export_records().await?;
    let records = records.lines().map(serde_json::from_str::<Value>);
    let records: Vec<Value> = records.collect::<std::result::Result<_, _>>()?;
    let left = |record: &Value| record["disposition"] == "message_left";
    Ok(records.into_iter().filter(left).collect())
}

async fn story() -> Result<()> {
    let mut world = World::build(config(), |step| println!("{step}")).await?;
    let campaign = world.campaign().to_owned();
    // What the law forbids is refused with the law's name.
    let forbidden = ["campaign", "create", "by-law", "--rule-pack", "us-federal"];
    let more = ["--answering-machines", "hang_up", "--voice-drop", "tone"];
    let refused = dialmesh(&world, &[&forbidden[..], &more].concat())?;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        !refused.status.success() && why.contains("47 CFR 64.1200"),
        "{why}"
    );
    let leads = world.folder().join("leads.csv");
    let population = PopulationConfig::new(43, 300, &[City::Beijing]).write_file(&leads)?;
    world.import(&leads).await?;
    world.expect_leads(&population);
    world.seat_agents().await?;
    world.start_campaign().await?;
    let enough = world.until("messages left", PATIENCE, async |w| {
        left(w).await.is_ok_and(|left| left.len() >= MACHINES)
    });
    enough.await?;
    let stats = said(&world, &["campaign", "stats", &campaign, "-o", "json"])?;
    let stats: Value = serde_json::from_str(&stats)?;
    ensure!(
        stats["dispositions"]["message_left"].as_u64() >= Some(MACHINES as u64),
        "{stats}"
    );
    let evidence = world.finish(PATIENCE).await?;
    ensure!(evidence.settled, "calls or records were left");
    // What each called number was, and what it heard.
    let mut ends = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for entry in &evidence.log {
        match &entry.event {
            Event::Final { behaviour, .. } => {
                kinds.insert(entry.attempt.clone(), behaviour.clone());
            }
            Event::Closed { how, audio, .. } => {
                let heard = audio.as_ref().map(|audio| audio.heard.clone());
                ends.insert(
                    entry.attempt.clone(),
                    (how.clone(), heard.unwrap_or_default()),
                );
            }
            _ => {}
        }
    }
    let mut machines = 0;
    for line in evidence.records.lines() {
        let record: Value = serde_json::from_str(line)?;
        let attempt = record["attempt"].as_str().context("an attempt")?;
        let (Some(kind), Some((how, heard))) = (kinds.get(attempt), ends.get(attempt)) else {
            continue;
        };
        let message = heard.contains(&World::MESSAGE_HERTZ);
        if record["disposition"] == "message_left" {
            machines += 1;
            ensure!(
                kind == "machine" && how == "caller",
                "{record}: {kind}, {how}"
            );
            ensure!(record["voice_drop"] == "left", "{record}");
            // The message and nothing else: no agent, no safe-harbour tone.
            ensure!(
                *heard == [World::MESSAGE_HERTZ],
                "{record}: heard {heard:?}"
            );
            let at = |what: &str| -> Result<i64> {
                let at: Timestamp = serde_json::from_value(record[what].clone())?;
                Ok(at.0.as_millis())
            };
            // Greeting, half a second of beep, two seconds of message.
            let lasted = at("ended_at")? - at("answered_at")?;
            ensure!(lasted >= 3_500, "{record} lasted {lasted} ms");
        } else if kind != "machine" {
            ensure!(!message, "{record}: a {kind} heard the message");
        }
    }
    println!("{machines} machines have the message");
    ensure!(machines >= MACHINES, "{machines}");
    let verdict = evidence.judge(0)?;
    ensure!(verdict.passed(), "{verdict}");
    world.shut_down().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_hear_the_message_after_their_beep_and_nobody_else_does() {
    if let Err(error) = story().await {
        panic!("{error:#}");
    }
}
