//! A phone that others wrote: baresip from Debian registers by TLS, its audio is SRTP, and it is bridged
//! with a person of the simulated carrier, whose audio is plain. Each side's own ears tell what was heard.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/apart.rs"]
mod apart;
#[path = "common/baresip.rs"]
mod baresip;
#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/floor.rs"]
mod floor;

use apart::apart;
use baresip::{Baresip, Settings};
use common::{certificate, free_port};
use floor::{Floor, persons_tones};
use serde_json::json;
use simulations::audio::tone_hertz;
use std::time::Duration;

const LOGIN: &str = "li";

/// A floor whose node speaks TLS and SRTP with phones; its port for them, and its certificate's folder.
async fn secured(policy: &str) -> (Floor, u16, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let (phones, trunks) = (free_port(), free_port());
    let at = folder.path().display();
    let sip = format!(
        "md5_only = true\n[sip.tls]\ntrunk_listen = \"127.0.0.1:{trunks}\"\nagent_listen = \"127.0.0.1:{phones}\"\n\
         certificate = \"{at}/node.pem\"\nkey = \"{at}/node.key\"\ntrust = \"{at}/node.pem\"\n\
         [sip.srtp]\nphones = \"{policy}\"\n"
    );
    (Floor::with(&sip).await, phones, folder)
}

/// One call with the phone: both sides speak and hear, it holds and comes back, and hangs up.
async fn a_call(policy: &str, encryption: &str, secure: bool) {
    let (mut floor, registrar, folder) = secured(policy).await;
    let tone = tone_hertz(LOGIN);
    let settings = Settings {
        login: LOGIN,
        registrar,
        authority: &folder.path().join("node.pem"),
        encryption,
        tone,
    };
    let phone = Baresip::start(folder.path(), &settings);
    let screen = &mut floor.screen;
    screen.press(json!({"type": "log_in"})).await;
    screen.wait("the leg is up", |n| n["phone"] == "up").await;
    let said = "SRTP is Enabled (cryptosuite=AES_CM_128_HMAC_SHA1_80)";
    assert_eq!(phone.log().contains(said), secure, "{}", phone.log());
    screen.press(json!({"type": "ready"})).await;
    floor.dial().await;
    let screen = &mut floor.screen;
    screen
        .wait("a person is on the line", |n| n["type"] == "call")
        .await;
    screen.sit(Duration::from_secs(3)).await;
    // Hold is a re-INVITE with the same keys; so is coming back.
    phone.press("hold");
    screen.sit(Duration::from_secs(2)).await;
    phone.press("resume");
    screen.sit(Duration::from_secs(3)).await;
    screen.press(json!({"type": "hang_up"})).await;
    screen.wait("wrap-up", |n| n["state"] == "wrap_up").await;
    phone.press("hangup");
    screen
        .wait("the phone hung up", |n| n["phone"] == "down")
        .await;
    let log = phone.log();
    let heard = phone.stop();
    let persons = persons_tones().map(|tone| tone as u32);
    let person = persons.iter().find(|tone| heard.contains_key(*tone));
    let person = *person.unwrap_or_else(|| panic!("the phone hears a person: {heard:?} {log}"));
    // Of the three seconds before the hold: a key that is wrong makes noise. What comes after one,
    // baresip 1.0 does not write down, plain or not.
    assert!(heard[&person] >= 30, "{heard:?} {log}");
    assert!(!heard.contains_key(&tone), "it hears itself: {heard:?}");
    let audio = floor.what_the_person_heard().await;
    assert_eq!(audio.heard, vec![tone], "{audio:?}");
    assert_eq!(audio.lost, 0, "no packet of ours is missing: {audio:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_insists_on_srtp() {
    if !apart("a_phone_that_insists_on_srtp") {
        return;
    }
    a_call("required", "srtp-mand", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_takes_what_is_offered() {
    if !apart("a_phone_that_takes_what_is_offered") {
        return;
    }
    a_call("offered", "srtp", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_without_srtp_is_plain_where_that_may_be() {
    if !apart("a_phone_without_srtp_is_plain_where_that_may_be") {
        return;
    }
    a_call("offered", "", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_without_srtp_is_not_on_shift_where_it_must_be() {
    if !apart("a_phone_without_srtp_is_not_on_shift_where_it_must_be") {
        return;
    }
    let (mut floor, registrar, folder) = secured("required").await;
    let settings = Settings {
        login: LOGIN,
        registrar,
        authority: &folder.path().join("node.pem"),
        encryption: "",
        tone: 400,
    };
    let _phone = Baresip::start(folder.path(), &settings);
    floor.screen.press(json!({"type": "log_in"})).await;
    (floor.screen)
        .wait("it is called", |n| n["phone"] == "ringing")
        .await;
    (floor.screen)
        .wait("it cannot be on shift", |n| n["phone"] == "down")
        .await;
}
