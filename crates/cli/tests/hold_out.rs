//! Dials held out of local presence, as real processes: by lot some calls show a number of another city of
//! the same trunk, the carrier sees the same as the records say, and the report counts what the carrier
//! counted.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use anyhow::{Context as _, Result, ensure};
use common::said;
use serde_json::{Value, json};
use simulations::{
    carrier::witness::Event,
    population::{City, PopulationConfig},
    world::{World, WorldCity, WorldConfig},
};
use std::{collections::BTreeMap, time::Duration};

const PATIENCE: Duration = Duration::from_secs(180);
const LEADS: usize = 400;
/// Dials to look at: of so many, one in five held out, a report can be made.
const DIALS: u64 = 250;

fn config() -> WorldConfig {
    let mut config = WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 41);
    config.cities = WorldCity::china().into_iter().take(1).collect();
    config.far_caller_ids = Some(City::Shanghai);
    config.agents_per_city = 20;
    config.link = false;
    config.campaign = json!({"hold_out_percent": 20, "any_city_caller_id": false});
    config
}

/// Dials and answers of one kind of number.
type Counts = (u64, u64);

/// What the records say, local numbers first; each compared with the number that the carrier saw.
fn counted(records: &str, seen: &BTreeMap<String, String>) -> Result<[Counts; 2]> {
    let mut counts = [(0, 0); 2];
    for line in records.lines() {
        let record: Value = serde_json::from_str(line)?;
        let attempt = record["attempt"].as_str().context("an attempt")?;
        let shown = seen
            .get(attempt)
            .with_context(|| format!("{attempt} was not seen"))?;
        let local = shown.starts_with("8610");
        ensure!(local || shown.starts_with("8621"), "{shown}");
        ensure!(record["caller_id_local"] == local, "{record}: {shown}");
        let trial = if local { "local" } else { "held_out" };
        ensure!(record["caller_id_trial"] == trial, "{record}");
        let disposition = record["disposition"].as_str().context("a disposition")?;
        let answered = !record["answered_at"].is_null();
        if ["carrier_failure", "trunk_failure", "unknown"].contains(&disposition)
            || (disposition == "cancelled" && !answered)
        {
            continue;
        }
        let arm = &mut counts[usize::from(!local)];
        arm.0 += 1;
        arm.1 += u64::from(answered && !["machine", "fax"].contains(&disposition));
    }
    Ok(counts)
}

async fn story() -> Result<()> {
    let mut world = World::build(config(), |step| println!("{step}")).await?;
    let leads = world.folder().join("leads.csv");
    let population = PopulationConfig::new(41, LEADS, &[City::Beijing]).write_file(&leads)?;
    world.import(&leads).await?;
    world.expect_leads(&population);
    let campaign = world.campaign().to_owned();
    let none = said(&world, &["campaign", "report", &campaign, "-o", "table"])?;
    ensure!(none.contains("too few to tell"), "{none}");
    world.seat_agents().await?;
    world.start_campaign().await?;
    let dialed = world.until("enough dials", PATIENCE, async |w| {
        w.carrier_stats().opened >= DIALS
    });
    dialed.await?;
    world.pause_campaign().await?;
    let quiet = world.until("calls over, records here", PATIENCE, async |w| {
        let (stats, records) = (w.carrier_stats(), w.export_records().await);
        let kept = records.map_or(0, |text| text.lines().count() as u64);
        stats.live == 0 && kept >= stats.opened
    });
    quiet.await?;
    let table = said(&world, &["campaign", "report", &campaign, "-o", "table"])?;
    println!("{table}");
    let report = said(&world, &["campaign", "report", &campaign, "-o", "json"])?;
    let report: Value = serde_json::from_str(&report)?;
    let evidence = world.finish(PATIENCE).await?;
    ensure!(evidence.settled, "calls or records were left");
    let seen: BTreeMap<String, String> = (evidence.log.iter())
        .filter(|entry| matches!(entry.event, Event::Invite { .. }))
        .map(|entry| (entry.attempt.clone(), entry.caller_id.clone()))
        .collect();
    let [local, held_out] = counted(&evidence.records, &seen)?;
    println!("local {local:?}, held out {held_out:?}: {report}");
    // A fifth of them: 50 of 250, within five deviations of six.
    ensure!((20..=90).contains(&held_out.0), "{held_out:?}");
    let told = |row: &Value, arm: &str| {
        let count = |what: &str| row[arm][what].as_u64();
        (count("dials"), count("answers"))
    };
    let row = &report["regions"][0];
    ensure!(row["name"] == "north-china", "{report}");
    for row in [row, &report["all"]] {
        ensure!(
            told(row, "local") == (Some(local.0), Some(local.1)),
            "{row}"
        );
        let held = (Some(held_out.0), Some(held_out.1));
        ensure!(told(row, "held_out") == held, "{row}");
    }
    // These people look at no number: the interval must not say that they do by five deviations.
    let [low, high] = ["low_points", "high_points"].map(|end| row[end].as_f64());
    match (held_out.0 >= 30, low, high) {
        (true, Some(low), Some(high)) => ensure!(low < 20.0 && high > -20.0, "{row}"),
        (false, None, None) => ensure!(row["local_is_answered"] == "too_few", "{row}"),
        _ => anyhow::bail!("{row}"),
    }
    let verdict = evidence.judge(0)?;
    ensure!(verdict.passed(), "{verdict}");
    world.shut_down().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_counts_what_the_carrier_saw_of_dials_held_out() {
    if let Err(error) = story().await {
        panic!("{error:#}");
    }
}
