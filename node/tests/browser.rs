//! An agent's audio in a browser against the real node: offered over the agents' WebSocket, up by ICE and
//! DTLS, and joined with persons whom the simulated carrier plays with tones of their own.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../../crates/io/media-io/tests/common/browser.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod client;
#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[path = "common/floor.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod floor;

use client::{Act, Browser, Offered};
use common::until;
use domain::Codec;
use floor::{Floor, agents_tone, persons_tones};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

impl Floor {
    async fn offer(&mut self, sdp: &str) -> Value {
        self.screen
            .ask(json!({ "type": "audio_offer", "sdp": sdp }))
            .await
    }

    /// The page's audio; up as soon as its connection is.
    async fn browser(&mut self) -> Browser {
        let offered = Offered::new(Codec::Pcmu);
        let reply = self.offer(&offered.sdp).await;
        assert_eq!(reply["ok"], json!(true), "{reply}");
        offered.answered(reply["sdp"].as_str().unwrap())
    }

    async fn state(&mut self, what: &str, is: impl Fn(&Value) -> bool) {
        self.screen.wait(what, is).await;
    }
}

/// Waits until one of the persons is heard; which. The page goes on meanwhile.
async fn heard(browser: Browser, tones: [f64; 2]) -> (Browser, usize) {
    let waiting = tokio::task::spawn_blocking(move || {
        browser.forget();
        let clear = |known: &client::Known| {
            let heard = tones.iter().position(|tone| known.share(*tone) > 0.8);
            heard.filter(|_| known.heard.len() >= 4_000)
        };
        browser.until("a person is heard", |known| clear(known).is_some());
        let person = clear(&browser.known()).unwrap();
        (browser, person)
    });
    waiting.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_talks_from_a_browser() {
    let mut floor = Floor::new().await;
    let tones = persons_tones();
    let agent = agents_tone();

    // What cannot be taken says why and changes nothing.
    let refused = floor
        .offer("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n")
        .await;
    assert_eq!(refused["error"]["code"], "DM3020", "{refused}");
    let words = refused["error"]["message"].as_str().unwrap();
    assert!(
        words.contains("m=audio") && words.contains("PCMU"),
        "{words}"
    );

    // The shift begins on the browser: no phone is registered.
    let browser = floor.browser().await;
    floor.screen.press(json!({"type": "log_in"})).await;
    floor.state("the leg is up", |n| n["phone"] == "up").await;
    browser.act(Act::Speak(Some(f64::from(agent))));
    floor.screen.press(json!({"type": "ready"})).await;
    floor.dial().await;
    let call = (floor.screen)
        .wait("a person is on the line", |n| n["type"] == "call")
        .await;
    let (browser, person) = heard(browser, tones).await;

    // The page is loaded anew: another connection takes over within the call.
    let again = floor.browser().await;
    floor
        .state("the old audio is gone", |n| n["phone"] == "down")
        .await;
    let back = |n: &Value| n["phone"] == "up" && n["state"] == "on_call";
    floor.state("the new audio is up", back).await;
    again.act(Act::Speak(Some(f64::from(agent))));
    let told = tokio::task::spawn_blocking(move || browser.until("it is told", |k| k.over));
    told.await.unwrap();
    let (again, same) = heard(again, tones).await;
    assert_eq!(same, person);
    floor.screen.sit(Duration::from_secs(1)).await;

    floor.screen.press(json!({"type": "hang_up"})).await;
    floor.state("wrap-up", |n| n["state"] == "wrap_up").await;
    let sale = json!({"type": "dispose", "disposition": "sale", "note": "by browser"});
    floor.screen.press(sale).await;
    // By itself to the next person, on the same audio.
    floor.state("another person", |n| n["type"] == "call").await;
    let (again, other) = heard(again, tones).await;
    assert_ne!(other, person);
    let records = floor.founder.records.clone();
    let record = until("the record is kept", Duration::from_secs(20), async || {
        records.lock().first().cloned()
    })
    .await;
    assert_eq!(call["attempt"].as_str(), Some(&*record.attempt.to_string()));
    assert_eq!(record.note, "by browser");
    let leg = record.agent_leg.expect("the browser's figures are kept");
    assert!(leg.received > 50 && leg.sent > 50, "{leg:?}");
    assert!(leg.mos().is_some_and(|mos| mos > 3.5), "{leg:?}");

    audio_that_does_not_come_back(&mut floor).await;
    drop(again);

    // The next shift begins with another browser, and ends when its page closes the audio.
    let last = floor.browser().await;
    floor.screen.press(json!({"type": "log_in"})).await;
    floor.state("the leg is up", |n| n["phone"] == "up").await;
    floor.screen.press(json!({"type": "audio_close"})).await;
    let out = |n: &Value| n["state"] == "logged_out";
    floor.state("the shift is over", out).await;
    let told = tokio::task::spawn_blocking(move || last.until("it is told", |k| k.over));
    told.await.unwrap();

    // The person heard the agent, by the carrier's own ears.
    let audio = floor.what_the_person_heard().await;
    assert!(audio.heard.contains(&agent), "{agent} Hz: {audio:?}");
}

/// In a call: an offer without anybody behind it takes the audio's place, and nothing comes of it.
async fn audio_that_does_not_come_back(floor: &mut Floor) {
    let nobody = Offered::new(Codec::Pcmu);
    let reply = floor.offer(&nobody.sdp).await;
    assert_eq!(reply["ok"], json!(true), "{reply}");
    let began = Instant::now();
    let lost = |n: &Value| n["code"] == "DM3022";
    floor.state("the agent is told", lost).await;
    let out = |n: &Value| n["state"] == "logged_out";
    floor.state("the shift is over", out).await;
    let took = began.elapsed();
    let (least, most) = (Duration::from_secs(18), Duration::from_secs(30));
    assert!(took > least && took < most, "{took:?}");
    floor.state("and why", |n| n["code"] == "DM3007").await;
}
