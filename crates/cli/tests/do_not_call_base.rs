//! A list of national size, from a text file to what the carrier sees: built, staged, put into use
//! while three cities dial, also while one of them is down. The judge is the carrier's log.

#[path = "do_not_call_base/clearance.rs"]
mod clearance;
#[path = "do_not_call_base/lists.rs"]
mod lists;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use simulations::{
    chaos::invites,
    population::{City, Population, PopulationConfig},
    world::{World, WorldConfig, at_least, wall_ms},
};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, Instant},
};

/// Session and do-not-call freshness of the run.
const PERMIT: Duration = Duration::from_secs(10);
/// Rows of the file of leads.
const LEADS: usize = 3_000;
/// The first so many of them are in the first base.
const LISTED: usize = 500;
/// Numbers of the first base that nobody has as a lead: many chunks of the file.
const OTHERS: u64 = 2_000_000;
/// How long the mesh may take with anything.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// The JSON that a verb printed.
fn said(world: &World, words: &[&str]) -> Result<Value> {
    let output = dialmesh(world, words)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {errors}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("{words:?} prints JSON"))
}

/// What a verb said against it.
fn refused(world: &World, words: &[&str]) -> Result<String> {
    let output = dialmesh(world, words)?;
    ensure!(!output.status.success(), "{words:?} went through");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Builds a base of these numbers and makes it known; its name.
fn staged(world: &World, name: &str, numbers: &[String], others: u64) -> Result<String> {
    let list = world.folder().join(format!("{name}.txt"));
    let mut text = numbers.join("\n");
    // A range of numbers that the population never draws.
    for n in 0..others {
        write!(text, "\n+1415{:07}", n * 4).expect("a text takes text");
    }
    text.push_str("\nnot a number\n\n");
    fs::write(&list, text)?;
    let folder = world.folder().join("bases");
    let (list, folder) = (list.to_string_lossy(), folder.to_string_lossy());
    let words = [
        "dnc", "base", "build", &list, "--source", name, "--out", &folder,
    ];
    let built = said(world, &words)?;
    println!("{built}");
    ensure!(built["numbers"] == numbers.len() as u64 + others, "{built}");
    ensure!(built["invalid"] == 1 && built["blank"] == 1, "{built}");
    let file = built["file"].as_str().context("a file")?;
    let known = said(world, &["dnc", "base", "stage", file])?;
    ensure!(known["in_use"] == false, "{known}");
    Ok(built["id"].as_str().context("an id")?.to_owned())
}

/// Names of the nodes that hold a base.
fn holders(world: &World, id: &str) -> Result<BTreeSet<String>> {
    let bases = said(world, &["dnc", "base", "ls"])?;
    let bases = bases.as_array().context("a list")?;
    let base = bases.iter().find(|base| base["id"] == id);
    let held = base.context("it is known")?["held_by"].as_array();
    let names = held.context("nodes")?.iter();
    Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
}

async fn until_held(world: &World, id: &str, by: usize) -> Result<()> {
    let took = world.until("every node holds the base", PATIENCE, async |w| {
        holders(w, id).is_ok_and(|held| held.len() == by)
    });
    println!("{by} nodes hold it after {:.1?}", took.await?);
    Ok(())
}

async fn until_dialing(world: &World, city: &str) -> Result<Duration> {
    let from = wall_ms();
    let dialing = world.until("a call", PATIENCE, async |w| {
        invites(w, city, from, i64::MAX).is_ok_and(|n| n > 0)
    });
    dialing
        .await
        .with_context(|| format!("{city} dials nobody"))
}

/// A base file cut short, and one under another's name: refused with the reason, nothing is left.
fn bad_files(world: &World, id: &str) -> Result<()> {
    let good: PathBuf = world.folder().join(format!("bases/{id}.dncbase"));
    let bytes = fs::read(&good)?;
    let short = world.folder().join("short.dncbase");
    fs::write(&short, &bytes[..bytes.len() / 2])?;
    let why = refused(world, &["dnc", "base", "stage", &short.to_string_lossy()])?;
    ensure!(why.contains("is refused"), "{why}");
    let misnamed = world.folder().join(format!("{}.dncbase", "0".repeat(64)));
    fs::write(&misnamed, &bytes)?;
    let why = refused(
        world,
        &["dnc", "base", "stage", &misnamed.to_string_lossy()],
    )?;
    ensure!(why.contains("rename"), "{why}");
    let nothing = "f".repeat(64);
    let why = refused(world, &["dnc", "base", "use", &nothing])?;
    ensure!(why.contains("not known"), "{why}");
    let why = refused(
        world,
        &["dnc", "base", "use", "--none", "--reason", "a whim"],
    )?;
    ensure!(why.contains("--yes"), "{why}");
    Ok(())
}

/// A number of the base is lifted from it, and on do-not-call again by an entry. Its lead was
/// rejected before, so that nobody dials it.
fn lifted(world: &World, number: &str) -> Result<()> {
    let words = ["dnc", "rm", number, "--reason", "a customer", "--yes"];
    said(world, &words)?;
    let checked = said(world, &["dnc", "check", number])?;
    ensure!(
        checked["listed"] == false && checked["in_base"] == true,
        "{checked}"
    );
    ensure!(checked["lifted_for"] == "a customer", "{checked}");
    said(world, &["dnc", "add", number])?;
    let checked = said(world, &["dnc", "check", number])?;
    ensure!(checked["listed"] == true, "add wins: {checked}");
    Ok(())
}

async fn story() -> Result<()> {
    let mut config = WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 11);
    config.agents_per_city = 4;
    config.session_ttl = PERMIT;
    config.freshness = PERMIT;
    config.campaign = json!({"dial_level": 1.5, "retry": []});
    let mut world = World::build(config, |step| println!("{step}")).await?;
    let csv = world.folder().join("leads.csv");
    let people = PopulationConfig::new(11, LEADS, &City::CHINA).write_file(&csv)?;

    // A base in use before the import: its rows are rejected.
    let listed = people.numbers[..LISTED].to_vec();
    let first = staged(&world, "first", &listed, OTHERS)?;
    bad_files(&world, &first)?;
    until_held(&world, &first, 3).await?;
    let used = said(&world, &["dnc", "base", "use", &first])?;
    ensure!(used["state"] == "effective", "{used}");
    let checked = said(&world, &["dnc", "check", &listed[0]])?;
    ensure!(
        checked["listed"] == true && checked["in_base"] == true,
        "{checked}"
    );
    let operation = world.import(&csv).await?;
    ensure!(
        operation["counts"]["do_not_call"] == LISTED as u64,
        "{operation}"
    );
    lifted(&world, &listed[0])?;
    world.expect_leads(&Population {
        numbers: people.numbers[LISTED..].to_vec(),
        ..Population::default()
    });
    world.expect_never(listed.clone());
    world.seat_agents().await?;
    world.start_campaign().await?;
    for city in ["beijing", "shanghai", "shenzhen"] {
        until_dialing(&world, city).await?;
    }

    // Another while they dial, and one city is down: refused, then forced.
    world.kill("shenzhen")?;
    let mut more = listed.clone();
    more.extend(people.numbers[LISTED..].iter().skip(1).step_by(2).cloned());
    let second = staged(&world, "second", &more, 0)?;
    until_held(&world, &second, 2).await?;
    let why = refused(&world, &["dnc", "base", "use", &second])?;
    ensure!(why.contains("shenzhen") && why.contains("force"), "{why}");
    let began = Instant::now();
    let used = said(&world, &["dnc", "base", "use", &second, "--force", "--yes"])?;
    ensure!(used["state"] == "effective", "{used}");
    println!("effective after {:.1?} with a city down", began.elapsed());
    let at = wall_ms();
    for number in &more[LISTED..] {
        world.expect_never_since(number, at);
    }
    until_dialing(&world, "beijing").await?;
    // It comes back, fetches the base, and dials by it.
    println!(
        "shenzhen is back after {}",
        world.restart("shenzhen").await?
    );
    until_held(&world, &second, 3).await?;
    until_dialing(&world, "shenzhen").await?;
    // What the registry says since is folded into a third; its entries stay beside it for a month.
    let since: Vec<String> = (people.numbers[LISTED..].iter().step_by(2).take(20))
        .cloned()
        .collect();
    let list = world.folder().join("since.csv");
    fs::write(&list, format!("number\n{}\n", since.join("\n")))?;
    let words = ["dnc", "import", &list.to_string_lossy(), "--registry"];
    let taken = said(&world, &words)?;
    ensure!(taken["counts"]["accepted"] == 20, "{taken}");
    let at = wall_ms();
    for number in &since {
        world.expect_never_since(number, at);
    }
    let compacted = said(&world, &["dnc", "base", "compact"])?;
    let (folded, numbers) = (
        &compacted["counts"]["folded"],
        &compacted["counts"]["numbers"],
    );
    ensure!(*folded == 20 && *numbers == more.len() + 20, "{compacted}");
    let third = compacted["made"].as_str().context("a base")?.to_owned();
    let wait_held = ["dnc", "base", "use", &third, "--wait-held", "60s"];
    let used = said(&world, &wait_held)?;
    ensure!(used["state"] == "effective", "{used}");
    let both = said(&world, &["dnc", "check", &since[0]])?;
    ensure!(
        both["in_base"] == true && both["entries"][0]["source"] == "registry",
        "{both}"
    );
    // So that the way back loses none of them.
    let used = said(&world, &["dnc", "base", "use", &second])?;
    ensure!(used["state"] == "effective", "{used}");
    let checked = said(&world, &["dnc", "check", &since[0]])?;
    ensure!(
        checked["in_base"] == false && checked["listed"] == true,
        "{checked}"
    );
    until_dialing(&world, "beijing").await?;
    said(&world, &wait_held)?;
    // What an administrator takes out while another is made is not brought back by it.
    let since_then = world.folder().join("since_then.csv");
    fs::write(
        &since_then,
        format!("number\n{}\n", people.numbers[LISTED + 40]),
    )?;
    let words = ["dnc", "import", &since_then.to_string_lossy(), "--registry"];
    said(&world, &words)?;
    world.expect_never_since(&people.numbers[LISTED + 40], wall_ms());
    let compacted = said(&world, &["dnc", "base", "compact"])?;
    let fourth = compacted["made"].as_str().context("a base")?;
    let typing_error = &since[0];
    said(
        &world,
        &[
            "dnc",
            "rm",
            typing_error,
            "--reason",
            "typing error",
            "--yes",
        ],
    )?;
    let why = refused(
        &world,
        &["dnc", "base", "use", fourth, "--wait-held", "60s"],
    )?;
    ensure!(why.contains("compact again"), "{why}");
    said_nothing(&world, &["dnc", "base", "rm", fourth, "--yes"])?;
    // The first is forgotten, everywhere.
    said_nothing(&world, &["dnc", "base", "rm", &first, "--yes"])?;
    let gone = world.until("the file is deleted", PATIENCE, async |w| {
        let name = format!("{first}.dncbase");
        ["beijing", "shanghai", "shenzhen"].iter().all(|city| {
            !w.folder()
                .join("data")
                .join(city)
                .join("dnc")
                .join(&name)
                .exists()
        })
    });
    gone.await?;
    // Leads that it covers are set aside, not leased again and again.
    let path = format!("/campaigns/{}/stats", world.campaign());
    let aside = world.until("leads are set aside", PATIENCE, async |w| {
        let stats = w.api().get(&path).await.unwrap_or_default();
        stats["leads"]["do_not_call"].as_u64().unwrap_or_default() > 100
    });
    aside.await?;

    let evidence = world.finish(Duration::from_secs(40)).await?;
    let mut verdict = evidence.judge(20)?;
    let asked: BTreeSet<&str> = (evidence.records.lines())
        .filter_map(|line| line.split("\"dnc_base\":\"").nth(1)?.split('"').next())
        .collect();
    println!("bases that were asked: {asked:?}");
    let named = [&first, &second].map(|id| u64::from(asked.contains(id.as_str())));
    let both = named.iter().sum();
    verdict
        .checks
        .push(at_least("bases named by call records", both, 2));
    let dialed: BTreeSet<&str> = evidence.log.iter().map(|e| e.number.as_str()).collect();
    verdict
        .checks
        .push(at_least("numbers dialed", dialed.len() as u64, 60));
    println!("{verdict}");
    ensure!(verdict.passed(), "not everything held");
    world.shut_down().await;
    Ok(())
}

/// A verb that prints nothing where nobody looks.
fn said_nothing(world: &World, words: &[&str]) -> Result<()> {
    let output = dialmesh(world, words)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {errors}");
    Ok(())
}

/// One mesh at a time: a machine has so many processors.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn patterns_and_freezes_are_obeyed_from_command_line_to_carrier() {
    let _turn = TURN.lock().await;
    if let Err(error) = clearance::story().await {
        panic!("{error:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_national_list_is_obeyed_from_file_to_carrier() {
    let _turn = TURN.lock().await;
    if let Err(error) = story().await {
        panic!("{error:#}");
    }
}
