//! The home map changes while three cities dial: leads change hands, the coordinator is killed in
//! the middle, imports go on. The judge is the carrier's log.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use simulations::{
    chaos::invites,
    population::{City, PopulationConfig},
    world::{World, WorldConfig, wall_ms},
};
use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    process::{Command, Output},
    time::{Duration, Instant},
};

const PERMIT: Duration = Duration::from_secs(10);
const LEADS: usize = 30_000;
/// Nobody is tried again within this time, wherever the number is at home meanwhile.
const REST: Duration = Duration::from_secs(45);
/// How long a move may take: what is leased waits for its call's end.
const PATIENCE: Duration = Duration::from_secs(240);

/// `dialmesh` with words, speaking to this mesh.
fn dialmesh(world: &World, words: &[&str]) -> Result<Output> {
    let contexts = world.folder().join("contexts.toml");
    if !contexts.exists() {
        let text = format!(
            "current = \"here\"\n[context.here]\nurl = {:?}\ntoken = {:?}\n",
            world.api().base(),
            world.api().token()
        );
        let mut file = (fs::OpenOptions::new().write(true).create_new(true))
            .mode(0o600)
            .open(&contexts)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
    }
    Ok(Command::new(env!("CARGO_BIN_EXE_dialmesh"))
        .args(words)
        .args(["-o", "json"])
        .env("DIALMESH_CONTEXTS", contexts)
        .output()?)
}

fn said(world: &World, words: &[&str]) -> Result<Value> {
    let output = dialmesh(world, words)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {errors}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("{words:?} prints JSON"))
}

fn sum(rows: &Value, key: &str) -> u64 {
    let rows = rows.as_array().into_iter().flatten();
    rows.filter_map(|row| row[key].as_u64()).sum()
}

/// Every city's numbers are at home one city further.
fn turned(map: &Value) -> Result<Value> {
    let rules = map["rules"].as_array().context("rules")?;
    let regions: Vec<&Value> = rules
        .iter()
        .filter(|rule| rule["when"]["city"].is_string())
        .map(|rule| &rule["region"])
        .collect();
    ensure!(regions.len() == 3, "{map}");
    let next = |region: &Value| {
        let place = regions.iter().position(|known| *known == region);
        place.map(|place| regions[(place + 1) % 3].clone())
    };
    let turned = rules.iter().map(|rule| {
        let region = next(&rule["region"]).context("a city's region")?;
        Ok(json!({"when": rule["when"], "region": region}))
    });
    Ok(json!({"rules": turned.collect::<Result<Vec<_>>>()?}))
}

async fn leads_in(world: &World) -> Result<u64> {
    let path = format!("/campaigns/{}/stats", world.campaign());
    let stats: Value = world.api().get(&path).await?;
    let leads = stats["leads"].as_object().context("counts")?;
    Ok(leads.values().filter_map(Value::as_u64).sum())
}

async fn story() -> Result<()> {
    let mut config = WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 23);
    config.agents_per_city = 4;
    config.session_ttl = PERMIT;
    config.freshness = PERMIT;
    let again =
        |after: &str| json!({"after": after, "delay_seconds": REST.as_secs(), "attempts_max": 3});
    config.campaign = json!({
        "dial_level": 1.5,
        "retry": [again("no_answer"), again("busy")],
    });
    let mut world = World::build(config, |step| println!("{step}")).await?;
    let file = world.folder().join("leads.csv");
    let population = PopulationConfig::new(23, LEADS, &City::CHINA).write_file(&file)?;
    world.expect_leads(&population);
    world.import(&file).await?;
    let all = leads_in(&world).await?;
    world.seat_agents().await?;
    world.start_campaign().await?;
    let cities = ["beijing", "shanghai", "shenzhen"];
    for city in cities {
        let dialing = world.until("a call", PATIENCE, async |w| {
            invites(w, city, 0, i64::MAX).is_ok_and(|n| n > 0)
        });
        dialing.await?;
    }

    let homes = world.folder().join("homes.json");
    let map = said(&world, &["region", "rules"])?;
    fs::write(&homes, turned(&map)?.to_string())?;
    let homes = homes.to_string_lossy().into_owned();
    let counted = said(&world, &["region", "homes", "plan", &homes, "--dry-run"])?;
    let leads = sum(&counted["moves"], "leads");
    println!("{leads} of {all} leads would move: {}", counted["moves"]);
    ensure!(counted["id"].is_null() && leads > all / 2, "{counted}");
    let none = dialmesh(&world, &["region", "homes", "apply", "--yes"])?;
    let why = String::from_utf8_lossy(&none.stderr).into_owned();
    ensure!(!none.status.success() && why.contains("plan FILE"), "{why}");
    let planned = said(&world, &["region", "homes", "plan", &homes])?;
    let id = planned["id"].as_u64().context("a plan")?;

    let began = Instant::now();
    world
        .api()
        .post(&format!("/home-rules/plans/{id}/apply"), &json!({}))
        .await?;
    let mut out = 0;
    while out == 0 && began.elapsed() < Duration::from_secs(30) {
        let now: Value = world.api().get("/home-rules/plans").await?;
        out = sum(&now["regions"], "numbers_out");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.kill_coordinator();
    println!("killed after {out} numbers had moved");
    ensure!(out > 0 && out < leads, "{out} numbers were not the middle");
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.restart_coordinator().await?;
    // Beside the move: every number is known, wherever it is just now.
    let doubled = world.import(&file).await?;
    let counts = &doubled["counts"];
    ensure!(counts["accepted"].is_null(), "{counts}");
    ensure!(
        counts["duplicate"].as_u64() > Some(all * 9 / 10),
        "{counts}"
    );
    let settled = world.until("leads have moved", PATIENCE, async |w| {
        let now = w.api().get("/home-rules/plans").await;
        now.is_ok_and(|now| now["state"] == "settled")
    });
    settled.await?;
    println!("moved after {:.1?}", began.elapsed());
    let status = said(&world, &["region", "homes", "status"])?;
    println!("{}", status["regions"]);
    let (out, came) = (
        sum(&status["regions"], "leads_out"),
        sum(&status["regions"], "leads_in"),
    );
    ensure!(out == came && came == leads, "{leads} leads: {status}");
    ensure!(leads_in(&world).await? == all, "a lead is lost or doubled");
    let wanted: Value = serde_json::from_slice(&fs::read(&homes)?)?;
    let map = said(&world, &["region", "rules"])?;
    ensure!(map == wanted, "{map} instead of {wanted}");

    let from = wall_ms();
    for city in cities {
        let dialing = world.until("a call after the move", PATIENCE, async |w| {
            invites(w, city, from, i64::MAX).is_ok_and(|n| n > 0)
        });
        dialing.await.with_context(|| city.to_owned())?;
    }
    let mut evidence = world.finish(Duration::from_secs(40)).await?;
    evidence.orders.gap = REST;
    evidence.orders.attempts_max = 3;
    let verdict = evidence.judge(40)?;
    println!("{verdict}");
    ensure!(verdict.passed(), "not everything held");
    world.shut_down().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_change_hands_while_three_cities_dial() {
    if let Err(error) = story().await {
        panic!("{error:#}");
    }
}
