//! A city that records its calls, as real processes: what agent and person said is in the file, each on
//! its side, and nobody reads it but the coordinator; a killed node leaves what was said.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use anyhow::{Context as _, Result, ensure};
use common::{dialmesh, said};
use serde_json::{Value, json};
use simulations::{
    audio::{Law, WINDOW, tone_hertz, tones_in},
    population::{City, PopulationConfig},
    world::{World, WorldCity, WorldConfig},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(90);
const HEADER: usize = 58;
const CITY: &str = "beijing";

fn config() -> WorldConfig {
    let mut config = WorldConfig::new(env!("CARGO_BIN_EXE_dialmesh"), 11);
    config.cities = WorldCity::china().into_iter().take(1).collect();
    config.agents_per_city = 3;
    config.link = false;
    config.talk_ms = (5_000, 9_000);
    // Whoever answers says hello first, and is a person.
    config.habits.answer_permille_by_hour = [700; 24];
    config
}

async fn bytes_of(world: &World, call: &str, range: Option<&str>) -> Result<reqwest::Response> {
    let url = format!("{}/api/v1/recordings/{call}/audio", world.api().base());
    let mut request = reqwest::Client::new()
        .get(url)
        .bearer_auth(world.api().token());
    if let Some(range) = range {
        request = request.header("range", range);
    }
    Ok(request.send().await?)
}

/// One side of a recording.
fn side(sound: &[u8], law: Law, side: usize) -> Vec<i16> {
    (sound.iter().skip(side).step_by(2))
        .map(|code| law.decode(*code))
        .collect()
}

/// In how many of 100 windows a tone is heard.
fn heard(samples: &[i16], tone: u32) -> usize {
    let windows: Vec<&[i16; WINDOW]> = (samples.chunks_exact(WINDOW))
        .map(|window| window.try_into().unwrap())
        .collect();
    let with = windows
        .iter()
        .filter(|window| tones_in(window).contains(&tone))
        .count();
    100 * with / windows.len().max(1)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.filter_map(Result::ok).map(|entry| entry.path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn recordings_folder(world: &World) -> PathBuf {
    world.folder().join("data").join(CITY).join("recordings")
}

/// Whole recordings of some length, as the API lists them.
async fn whole(world: &World) -> Vec<Value> {
    let all = world.api().list("/recordings").await.unwrap_or_default();
    let long = |r: &Value| r["end"] == "whole" && r["length_ms"].as_u64() > Some(3_000);
    all.into_iter().filter(long).collect()
}

/// What was said is there, each on its side, and as long as the call.
async fn check_sound(world: &World, recording: &Value) -> Result<()> {
    let call = recording["call"].as_str().context("a call")?;
    let response = bytes_of(world, call, None).await?;
    ensure!(response.status() == 200, "{}", response.status());
    ensure!(response.headers()["content-type"] == "audio/wav");
    let wav = response.bytes().await?;
    let format = u16::from_le_bytes([wav[20], wav[21]]);
    let law = if format == 6 { Law::A } else { Law::Mu };
    ensure!(
        &wav[..4] == b"RIFF" && [6, 7].contains(&format) && wav[22] == 2,
        "a header"
    );
    let sound = &wav[HEADER..];
    let length = recording["length_ms"].as_u64().context("a length")?;
    ensure!(
        sound.len() as u64 / 16 == length,
        "{} for {length} ms",
        sound.len()
    );
    let about: Value = world.api().get(&format!("/calls/{call}")).await?;
    let at = |field: &str| -> Result<i64> {
        let text = about[field].as_str().with_context(|| field.to_owned())?;
        let time: dialmesh_http::dto::Timestamp = serde_json::from_value(json!(text))?;
        Ok(time.0.as_millis())
    };
    let spoken = at("ended_at")? - at("bridged_at")?;
    ensure!(
        (spoken - length as i64).abs() <= 100,
        "{length} ms of a call of {spoken} ms"
    );
    let agent = recording["agent"].as_str().context("an agent")?;
    let agent: Value = world.api().get(&format!("/agents/{agent}")).await?;
    let login = agent["login"].as_str().context("a login")?;
    let records = world.export_records().await?;
    let record = records
        .lines()
        .find(|line| line.contains(call))
        .context("a record")?;
    let record: Value = serde_json::from_str(record)?;
    let number = record["number"]
        .as_str()
        .context("a number")?
        .trim_start_matches('+');
    let tones = (tone_hertz(login), tone_hertz(number));
    let (left, right) = (side(sound, law, 0), side(sound, law, 1));
    let (own, other) = (heard(&left, tones.0), heard(&left, tones.1));
    println!(
        "{call}: {length} ms, agent {} Hz in {own} % of the left",
        tones.0
    );
    ensure!(
        own > 80 && other == 0,
        "left: {own} % agent, {other} % person"
    );
    let (own, other) = (heard(&right, tones.1), heard(&right, tones.0));
    println!("{call}: person {} Hz in {own} % of the right", tones.1);
    ensure!(
        own > 30 && other == 0,
        "right: {own} % person, {other} % agent"
    );
    check_ranges(world, call, &wav).await
}

async fn check_ranges(world: &World, call: &str, wav: &[u8]) -> Result<()> {
    let all = wav.len();
    for (range, from, until) in [
        ("bytes=0-99".to_owned(), 0, 100),
        ("bytes=16050-16070".to_owned(), 16_050, 16_071),
        ("bytes=30000-".to_owned(), 30_000, all),
        ("bytes=-5".to_owned(), all - 5, all),
    ] {
        let response = bytes_of(world, call, Some(&range)).await?;
        ensure!(response.status() == 206, "{range}: {}", response.status());
        let told = response.headers()["content-range"].to_str()?.to_owned();
        ensure!(
            told == format!("bytes {from}-{}/{all}", until - 1),
            "{told}"
        );
        ensure!(response.bytes().await?[..] == wav[from..until], "{range}");
    }
    let behind = bytes_of(world, call, Some(&format!("bytes={all}-"))).await?;
    ensure!(behind.status() == 416, "{}", behind.status());
    Ok(())
}

/// The node has what it wrote and nothing that opens it; whoever has the exported keys does.
fn check_keys(world: &World, call: &str) -> Result<PathBuf> {
    let keys = world.folder().join("recording-keys.txt");
    let folder = world.folder().join("data").join("coordinator");
    let words = [
        "recording",
        "key",
        "export",
        "--data-dir",
        folder.to_str().unwrap(),
    ];
    said(
        world,
        &[&words[..], &["--file", keys.to_str().unwrap()]].concat(),
    )?;
    let text = fs::read_to_string(&keys)?;
    let hex = text
        .lines()
        .last()
        .and_then(|line| line.split(' ').next_back())
        .context("a key")?;
    let secret: Vec<u8> = (0..32)
        .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    for file in files(&world.folder().join("data").join(CITY)) {
        let bytes = fs::read(&file).unwrap_or_default();
        let found = bytes.windows(32).any(|w| w == secret)
            || bytes.windows(64).any(|w| w == hex.as_bytes());
        ensure!(!found, "the private half lies in {}", file.display());
    }
    let file = files(&recordings_folder(world))
        .into_iter()
        .find(|f| f.ends_with(format!("{call}.dmrec")));
    let file = file.context("the file at the node")?;
    let verify = |file: &Path| {
        let words = [
            "recording",
            "verify",
            "--file",
            file.to_str().unwrap(),
            "-o",
            "json",
        ];
        dialmesh(
            world,
            &[&words[..], &["--key-file", keys.to_str().unwrap()]].concat(),
        )
    };
    let good = verify(&file)?;
    ensure!(
        good.status.success(),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
    let mut bytes = fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = world.folder().join("changed.dmrec");
    fs::write(&changed, bytes)?;
    ensure!(!verify(&changed)?.status.success(), "a changed file passes");
    Ok(keys)
}

/// A node is killed in mid-call: what was said until then is there.
async fn check_crash(world: &mut World, keys: &Path) -> Result<()> {
    let folder = recordings_folder(world);
    let known = files(&folder);
    let growing = |_: &World| {
        let new = files(&folder)
            .into_iter()
            .filter(|file| !known.contains(file));
        new.max_by_key(|file| fs::metadata(file).map_or(0, |about| about.len()))
            .filter(|file| fs::metadata(file).is_ok_and(|about| about.len() > 40_000))
    };
    world
        .until("a recording under way", PATIENCE, async |w| {
            growing(w).is_some()
        })
        .await?;
    let file = growing(world).context("a recording under way")?;
    world.kill(CITY)?;
    let words = [
        "recording",
        "verify",
        "--file",
        file.to_str().unwrap(),
        "-o",
        "json",
    ];
    let told = said(
        world,
        &[&words[..], &["--key-file", keys.to_str().unwrap()]].concat(),
    )?;
    let told: Value = serde_json::from_str(&told)?;
    ensure!(
        told["sound"] == true && told["seconds"].as_u64() >= Some(2),
        "{told}"
    );
    println!("after the kill: {told}");
    let call = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .context("a name")?
        .to_owned();
    world.restart(CITY).await?;
    let path = format!("/recordings/{call}");
    let found = world.until("the call's record", PATIENCE, async |w| {
        w.api().get(&path).await.is_ok()
    });
    found.await?;
    let detail = world.api().get(&path).await?;
    println!(
        "and by the API: {} ms, complete: {}",
        detail["sound_ms"], detail["complete"]
    );
    ensure!(detail["sound_ms"].as_u64() >= Some(2_000), "{detail}");
    let wav = bytes_of(world, &call, None).await?.bytes().await?;
    ensure!(wav.len() as u64 == HEADER as u64 + detail["sound_ms"].as_u64().unwrap_or(0) * 16);
    Ok(())
}

async fn story() -> Result<()> {
    let mut world = World::build(config(), |step| println!("{step}")).await?;
    let refused = world
        .set_campaign(&json!({"recording": "all"}))
        .await
        .unwrap_err();
    ensure!(
        format!("{refused:#}").contains("recording key create"),
        "{refused:#}"
    );
    ensure!(
        !dialmesh(&world, &["recording", "key", "show"])?
            .status
            .success()
    );
    let made: Value = serde_json::from_str(&said(
        &world,
        &["recording", "key", "create", "-o", "json"],
    )?)?;
    ensure!(made["held_here"] == true, "{made}");
    world.set_campaign(&json!({"recording": "all"})).await?;
    let leads = world.folder().join("leads.csv");
    let population = PopulationConfig::new(11, 400, &[City::Beijing]).write_file(&leads)?;
    world.import(&leads).await?;
    world.expect_leads(&population);
    world.seat_agents().await?;
    world.start_campaign().await?;
    world
        .until("three recordings", PATIENCE, async |w| {
            whole(w).await.len() >= 3
        })
        .await?;
    let recordings = whole(&world).await;
    for recording in recordings.iter().take(3) {
        check_sound(&world, recording).await?;
    }
    let call = recordings[0]["call"].as_str().context("a call")?;
    let detail = world.api().get(&format!("/recordings/{call}")).await?;
    let tenths = recordings[0]["length_ms"]
        .as_u64()
        .unwrap_or(0)
        .div_ceil(100);
    ensure!(
        detail["agent_peaks"].as_array().map(Vec::len) == Some(tenths as usize),
        "{detail}"
    );
    let checked = said(&world, &["recording", "verify", call, "-o", "json"])?;
    ensure!(
        checked.contains("\"sound\": true") || checked.contains("\"sound\":true"),
        "{checked}"
    );
    let keys = check_keys(&world, call)?;
    check_crash(&mut world, &keys).await?;
    world.shut_down().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_city_records_its_calls() {
    if let Err(error) = story().await {
        panic!("{error:#}");
    }
}
