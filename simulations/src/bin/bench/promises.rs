//! Times that the mesh promises: an opt-out effective over long links, leads of a dead node leased
//! again, leasing after the loss of a leader.

use crate::{Arguments, cores, cpu::load, member::Order, trio::Trio, whole::program, word};
use anyhow::{Context as _, ensure};
use simulations::{
    chaos::{invites, spread},
    population::{City, PopulationConfig},
    world::{Wait, World, WorldConfig, wall_ms},
};
use std::time::{Duration, Instant};

/// One way between any two members; twice that is a round trip.
const ONE_WAY: u32 = 75;
/// An opt-out is effective within, in 99 of 100 cases.
const EFFECTIVE: Duration = Duration::from_millis(500);
/// Leasing goes on after the loss of a leader within, in 99 of 100 cases.
const LEADER: Duration = Duration::from_secs(3);
/// Undialed leads of a dead node are leased again within the session's time to live and this.
const LEASED: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(120);
/// Leads of each city where all of them shall be leased at once.
const FEW: usize = 40;

fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last * 99).div_ceil(100))
        .copied()
        .unwrap_or(Duration::MAX)
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    println!("load of the machine {} before, {} cores", load(), cores());
    let results = [
        leaders(arguments).await?,
        far(arguments).await?,
        dead(arguments).await?,
    ];
    println!("load of the machine {} after", load());
    Ok(results.iter().all(|good| *good))
}

/// The leader of a region group is killed again and again while a session at another member claims.
async fn leaders(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut trio = Trio::start().await?;
    trio.ask(1, &Order::Import { leads: 1_000_000 }).await?;
    let mut gaps = Vec::new();
    for _ in 0..arguments.times {
        let leader = trio.leader().await?;
        let asker = leader % 3 + 1;
        trio.tell(asker, &Order::Pace { seconds: 8 }).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let killed = wall_ms();
        trio.kill(leader).await?;
        let answer = trio.hear(asker).await?;
        let before = answer.moments.iter().filter(|at| **at < killed).count();
        let after = answer
            .moments
            .get(before)
            .context("leasing did not resume")?;
        ensure!(before > 0, "no claim before the kill");
        gaps.push(Duration::from_millis(
            (after - killed).max(0).unsigned_abs(),
        ));
        trio.revive(leader).await?;
    }
    let good = p99(&gaps) <= LEADER;
    println!(
        "leader killed, until the next claim at another member: {}; bar: p99 <= {LEADER:?}: {}",
        spread(&gaps),
        word(good)
    );
    Ok(good)
}

fn config(arguments: &Arguments) -> anyhow::Result<WorldConfig> {
    let mut config = WorldConfig::new(program(arguments.dialmesh.as_ref())?, 1);
    config.log_level = "warn".into();
    Ok(config)
}

async fn populated(config: WorldConfig, people: usize) -> anyhow::Result<World> {
    let seed = config.seed;
    let mut world = World::build(config, |step| eprintln!("{step}")).await?;
    let csv = world.folder().join("leads.csv");
    let people = PopulationConfig::new(seed, people, &City::CHINA).write_file(&csv)?;
    world.expect_leads(&people);
    world.import(&csv).await?;
    world.seat_agents().await?;
    Ok(world)
}

/// Three cities dial over links of 150 ms there and back, and persons opt out.
async fn far(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut config = config(arguments)?;
    // As in production.
    (config.session_ttl, config.freshness) = (Duration::from_secs(30), Duration::from_secs(30));
    let mut world = populated(config, 3_000).await?;
    world.start_campaign().await?;
    world.delay(ONE_WAY)?;
    world
        .until("every city dials", PATIENCE, async |world| {
            let from = wall_ms() - 2_000;
            (world.cities().iter())
                .all(|city| invites(world, city, from, i64::MAX).is_ok_and(|n| n > 0))
        })
        .await?;
    // A new mesh moves votes and leads to where they belong, and a voter that is suddenly further away
    // may lose its vote; the bar is about the mesh that stands.
    let settling = world
        .until("every group is at rest", PATIENCE, async |world| {
            let status = world.status().await;
            status.is_ok_and(|status| status.restless_groups().is_empty())
        })
        .await?;
    println!("groups at rest after {settling:?}");
    let numbers: Vec<String> = (world.leads().iter().rev())
        .take(arguments.times as usize * 5)
        .cloned()
        .collect();
    let mut took = Vec::new();
    for number in &numbers {
        let answer = world.add_do_not_call(number, Wait::Effective).await?;
        ensure!(answer.state == "effective", "it is {}", answer.state);
        if answer.took > EFFECTIVE {
            let status = world.status().await?;
            let groups: Vec<_> = (status.groups.iter().map(ToString::to_string)).collect();
            println!(
                "one took {:?}; groups then: {}",
                answer.took,
                groups.join("; ")
            );
        }
        took.push(answer.took);
    }
    let good = p99(&took) <= EFFECTIVE;
    println!(
        "do-not-call effective, three cities dialing, {} ms round trip: {}; bar: p99 <= {EFFECTIVE:?}: {}",
        2 * ONE_WAY,
        spread(&took),
        word(good)
    );
    Ok(good)
}

/// A node dies with every lead of its region leased, and starts again: whoever it dials then was
/// leased anew.
async fn dead(arguments: &Arguments) -> anyhow::Result<bool> {
    let config = config(arguments)?;
    let ttl = config.session_ttl;
    let mut took = Vec::new();
    let mut world = populated(config, 3 * FEW).await?;
    world.start_campaign().await?;
    let city = world.cities()[0].clone();
    let place = city.clone();
    let from = wall_ms();
    world
        .until("the city dials", PATIENCE, async |world| {
            invites(world, &place, from, i64::MAX).is_ok_and(|n| n > 0)
        })
        .await?;
    let began = Instant::now();
    let killed = wall_ms();
    world.kill(&city)?;
    world.restart(&city).await?;
    let place = city.clone();
    world
        .until("the city dials again", PATIENCE, async |world| {
            invites(world, &place, killed, i64::MAX).is_ok_and(|n| n > 0)
        })
        .await?;
    took.push(began.elapsed());
    let limit = ttl + LEASED;
    let good = took.iter().all(|took| *took <= limit);
    println!(
        "node killed with every lead of its region leased, until it dials one of them after its restart: {}; bar: <= T + \
         {LEASED:?} = {limit:?}: {}",
        spread(&took),
        word(good)
    );
    Ok(good)
}
