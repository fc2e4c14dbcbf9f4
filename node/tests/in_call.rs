//! What an agent does in a call, against the real node, its relay and the simulated carrier: keys. The
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
use serde_json::{Value, json};
use simulations::{
    audio::rtp::RtpThread,
    phone::{Phone, PhoneConfig, PhoneHandle},
};
use std::time::Duration;

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
