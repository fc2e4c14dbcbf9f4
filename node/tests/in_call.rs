//! What an agent does in a call, against the real node, its relay and the simulated carrier: keys, hold. The
//! carrier's own ears tell what the person heard.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/apart.rs"]
mod apart;
#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/floor.rs"]
mod floor;

use apart::apart;
use floor::Floor;
use member::{LIVE_CALLS, decode_live, encode};
use serde_json::{Value, json};
use simulations::{
    audio::rtp::RtpThread,
    phone::{Phone, PhoneConfig, PhoneHandle},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A floor whose agent is at a SIP phone and speaks with a person.
async fn on_call(sip: &str) -> (Floor, PhoneHandle, Value) {
    let mut floor = Floor::with(sip).await;
    let registrar = ([127, 0, 0, 1], floor.city.agents).into();
    let config = PhoneConfig::new("li", "secret", registrar);
    let phone = Phone::start(config, RtpThread::start("phones").unwrap());
    let phone = phone.await.unwrap();
    let mut status = phone.status();
    let known = status.wait_for(|s| s.registered);
    let known = tokio::time::timeout(Duration::from_secs(20), known).await;
    known.expect("the phone registers").unwrap();
    floor.screen.press(json!({"type": "log_in"})).await;
    (floor.screen)
        .wait("the leg is up", |n| n["phone"] == "up")
        .await;
    floor.screen.press(json!({"type": "ready"})).await;
    floor.dial().await;
    let call = (floor.screen)
        .wait("a person is on the line", |n| n["type"] == "call")
        .await;
    (floor, phone, call)
}

/// What the node answers to a command: true, or the code of its refusal.
async fn ask(floor: &mut Floor, command: Value) -> Value {
    let reply = floor.screen.ask(command).await;
    match reply["ok"].as_bool() {
        Some(true) => json!(true),
        _ => reply["error"]["code"].clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_the_agent_presses_reach_the_person_as_events() {
    if !apart("keys_that_the_agent_presses_reach_the_person_as_events") {
        return;
    }
    let (mut floor, phone, _) = on_call("").await;
    let press = |keys: &str| json!({"type": "press_keys", "keys": keys});
    assert_eq!(ask(&mut floor, press("12")).await, true);
    assert_eq!(ask(&mut floor, press("0*#9987")).await, true);
    assert_eq!(ask(&mut floor, press("12x")).await, "DM3028");
    // As many as may wait are there already, but for those that are sent meanwhile.
    let many = "5".repeat(32);
    assert_eq!(ask(&mut floor, press(&many)).await, "DM3029");
    // Nine keys of a fifth of a second each.
    floor.screen.sit(Duration::from_millis(2_300)).await;
    assert_eq!(ask(&mut floor, press("3")).await, true);
    floor.screen.sit(Duration::from_millis(2_000)).await;
    floor.screen.press(json!({"type": "hang_up"})).await;
    (floor.screen)
        .wait("wrap-up", |n| n["state"] == "wrap_up")
        .await;
    assert_eq!(ask(&mut floor, press("1")).await, "DM3027");
    let tone = phone.tone();
    let audio = floor.what_the_person_heard().await;
    assert_eq!(audio.keys, "120*#99873");
    assert_eq!(audio.lost, 0, "one stream without a step: {audio:?}");
    assert!(audio.heard.contains(&tone), "and the agent: {audio:?}");
}

/// The tone of the music that is on hold here, in hertz: neither an agent's nor a person's.
const MUSIC: u32 = 1_250;

/// Two seconds of it, and the lines that have a node play it.
fn music(folder: &Path) -> String {
    let tone = media::tones::sine(f64::from(MUSIC), -10.0, 0, 16_000);
    let tone: Vec<u8> = tone
        .map(|s| media::g711::encode(domain::Codec::Pcma, s))
        .collect();
    let file = folder.join("music.wav");
    std::fs::write(&file, media::wav::write(domain::Codec::Pcma, 1, &tone)).unwrap();
    format!("[prompts]\nhold = \"{}\"", file.display())
}

/// What the agent's phone hears in some time from now on.
async fn heard(floor: &mut Floor, phone: &PhoneHandle) -> Vec<u32> {
    floor.screen.sit(Duration::from_millis(600)).await;
    let from = Instant::now();
    floor.screen.sit(Duration::from_millis(2_000)).await;
    phone.heard_between(from, Instant::now())
}

/// The calls that the node says are held, as a coordinator asks it.
async fn held(floor: &Floor) -> Vec<String> {
    let endpoint = floor.founder.member.endpoint();
    let span = Duration::from_secs(5);
    let answer = endpoint.rpc(floor.node, LIVE_CALLS, encode(&()), span);
    let live = decode_live(&answer.await.unwrap()).unwrap();
    live.held.iter().map(|(call, _)| call.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_on_hold_hears_music_and_the_agent_nothing() {
    if !apart("a_person_on_hold_hears_music_and_the_agent_nothing") {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    let (mut floor, phone, call) = on_call(&music(files.path())).await;
    let person = heard(&mut floor, &phone).await;
    assert_eq!(person.len(), 1, "the agent hears the person: {person:?}");
    assert_eq!(held(&floor).await, [""; 0]);

    assert_eq!(ask(&mut floor, json!({"type": "hold"})).await, true);
    let told = (floor.screen)
        .wait("the page knows it", |n| n["type"] == "held")
        .await;
    assert!(
        told["since"].is_i64() && told["attempt"] == call["attempt"],
        "{told}"
    );
    assert_eq!(heard(&mut floor, &phone).await, [0; 0], "silence");
    assert_eq!(held(&floor).await, [call["attempt"].as_str().unwrap()]);
    let key = json!({"type": "press_keys", "keys": "1"});
    assert_eq!(ask(&mut floor, key).await, "DM3032");

    assert_eq!(ask(&mut floor, json!({"type": "resume"})).await, true);
    let told = (floor.screen)
        .wait("it is over", |n| n["type"] == "held")
        .await;
    assert!(told["since"].is_null(), "{told}");
    assert_eq!(heard(&mut floor, &phone).await, person, "each other again");
    assert_eq!(held(&floor).await, [""; 0]);

    // On hold again, and hung up from there.
    assert_eq!(ask(&mut floor, json!({"type": "hold"})).await, true);
    floor.screen.press(json!({"type": "hang_up"})).await;
    (floor.screen)
        .wait("wrap-up", |n| n["state"] == "wrap_up")
        .await;
    let sale = json!({"type": "dispose", "disposition": "sale", "note": ""});
    floor.screen.press(sale).await;
    let record = common::until("the record", Duration::from_secs(20), async || {
        floor.founder.records.lock().first().cloned()
    })
    .await;
    let holds = record.holds.expect("the person was on hold");
    assert_eq!(holds.count, 2);
    assert!((2_600..20_000).contains(&holds.total_ms), "{holds:?}");
    let tone = phone.tone();
    let audio = floor.what_the_person_heard().await;
    let mut both = vec![tone, MUSIC];
    both.sort_unstable();
    assert_eq!(audio.heard, both, "{audio:?}");
    assert_eq!(audio.lost, 0, "one stream without a step: {audio:?}");
}
