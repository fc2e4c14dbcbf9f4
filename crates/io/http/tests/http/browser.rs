//! The console in a real browser: sign in, see the live mesh, in both languages, with the strict
//! policy. Where the pages are not built, that the binary says so. Where there is no Chromium,
//! only the server's side is looked at.

use crate::{
    chromium::{Browser, element},
    memory::{Memory, TIME},
    supervision::live_call,
};
use dialmesh_http::{
    admin,
    dto::*,
    events::Events,
    pages::{self, Page},
};
use domain::{AgentId, MemberId, RegionId, Supervision, TrunkId};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};

fn trunk(id: u32, name: &str, state: TrunkState, in_use: u32) -> TrunkStatus {
    TrunkStatus {
        id: TrunkId(id),
        name: name.to_owned(),
        state,
        trouble: None,
        since: None,
        in_use,
        channels: 60,
    }
}

fn city(id: u64, name: &str, mode: CityMode, age_ms: u64) -> CityStatus {
    let n = id as u32;
    CityStatus {
        node: MemberId(id),
        name: name.to_owned(),
        region: RegionId(1),
        region_name: "south-china".to_owned(),
        mode,
        mode_since: TIME.into(),
        queued: if mode == CityMode::Local { 37 } else { 0 },
        hopper: 180 + id,
        trunks: vec![
            trunk(n * 2, "carrier-a", TrunkState::Up, 21 + n),
            trunk(
                n * 2 + 1,
                "carrier-b",
                if id == 3 {
                    TrunkState::Down
                } else {
                    TrunkState::Up
                },
                if id == 3 { 0 } else { 9 },
            ),
        ],
        problems: match id {
            3 => vec![CityProblem {
                code: "srtp_trunk_unknown".to_owned(),
                setting: "sip.srtp.trunks".to_owned(),
                value: "carier-a".to_owned(),
                known: vec!["carrier-a".to_owned(), "carrier-b".to_owned()],
                text: "told in words".to_owned(),
            }],
            4 => vec![CityProblem {
                code: "of_a_later_release".to_owned(),
                setting: "media".to_owned(),
                value: "x".to_owned(),
                known: Vec::new(),
                text: "told in words".to_owned(),
            }],
            _ => Vec::new(),
        },
        overflow: CityOverflow {
            out_now: if id == 2 { 2 } else { 0 },
            out_total: if id == 2 { 15 } else { 0 },
            ..CityOverflow::default()
        },
        calls: CallCounts {
            dialing: 4,
            ringing: 9 + n,
            waiting: 1,
            bridged: 18 + n,
        },
        agents: AgentCounts {
            paused: 2,
            ready: 3 + n,
            reserved: 1,
            on_call: 18 + n,
            wrap_up: 4,
        },
        abandonment: Abandonment::new(1_240, if id == 4 { 52 } else { 14 }, 3.0),
        calls_per_second: 3.4 + id as f64 / 2.0,
        attempts_total: 18_220 + id,
        bridged_total: 5_931 + id,
        as_of: TIME.into(),
        age_ms,
    }
}

async fn serve() -> (SocketAddr, Arc<Memory>) {
    let (memory, events) = (Arc::new(Memory::new()), Events::new());
    memory.state().cities = vec![
        city(2, "shenzhen", CityMode::Central, 400),
        city(3, "guangzhou", CityMode::Local, 700),
        city(4, "chengdu", CityMode::Unreachable, 92_000),
    ];
    let router = admin::router(memory.clone(), events.clone()).merge(pages::router(Page::Console));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let every = Duration::from_millis(250);
    tokio::spawn(admin::publish_status(memory.clone(), events, every));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, memory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_shows_the_live_mesh() {
    let (address, memory) = serve().await;
    if !web::is_built(Page::Console) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        assert!(page.contains(web::BUILD_COMMAND), "{page}");
        return;
    }
    let Some(mut browser) = Browser::start().await else {
        eprintln!("there is no Chromium here: the console was not opened");
        return;
    };
    let url = json!({ "url": format!("http://{address}/") });
    browser.call("Page.navigate", url).await;
    browser.until(&format!("!!{}", element("token"))).await;
    browser.picture("sign-in.png").await;
    browser.sign_in("wrong").await;
    browser
        .until(&format!("!!{}", element("sign-in-problem")))
        .await;
    browser.sign_in("monitor-token").await;
    browser
        .until("document.querySelectorAll('[data-testid=city]').length === 3")
        .await;
    browser
        .until(&format!("{}.dataset.link === 'live'", element("link")))
        .await;

    let city = |name: &str| format!("document.querySelector('[data-city={name}]')");
    let text = browser
        .evaluate(&format!("{}.innerText", city("guangzhou")))
        .await;
    let text = text.as_str().unwrap().to_owned();
    assert!(
        text.contains("Local") && text.contains("37 results waiting"),
        "{text}"
    );
    assert!(
        text.contains("[sip.srtp.trunks] names “carier-a”")
            && text.contains("Its trunks: carrier-a, carrier-b"),
        "{text}"
    );
    let carried = |name: &str| format!("{}.querySelector('[data-testid=overflow]')", city(name));
    let said = format!("{}.innerText", carried("shenzhen"));
    let said = browser.evaluate(&said).await;
    let said = said.as_str().unwrap();
    assert!(said.contains("2 now, 15 since the start"), "{said}");
    assert_eq!(
        browser
            .evaluate(&format!("!!{}", carried("guangzhou")))
            .await,
        false,
        "nothing where nothing was carried"
    );
    // Of a release that this page does not know: as the node says it.
    let problem = "querySelector('[data-code=of_a_later_release]').innerText.trim()";
    assert_eq!(
        browser
            .evaluate(&format!("{}.{problem}", city("chengdu")))
            .await,
        "told in words"
    );
    assert_eq!(
        browser
            .evaluate(&format!("{}.dataset.stale", city("shenzhen")))
            .await,
        "false"
    );
    assert_eq!(
        browser
            .evaluate(&format!("{}.dataset.stale", city("chengdu")))
            .await,
        "true"
    );
    let unnamed = "[...document.querySelectorAll('button, input')].filter(e => !(e.innerText || e.ariaLabel || e.labels?.length)).length";
    assert_eq!(
        browser.evaluate(unnamed).await,
        0,
        "every control has a name"
    );
    browser.picture("console-en.png").await;

    memory.state().cities[0].calls.bridged = 4_321;
    let bridged = format!(
        "{}.querySelector('[data-testid=bridged]').innerText",
        city("shenzhen")
    );
    browser.until(&format!("{bridged} === '4,321'")).await;

    let chinese = format!(
        "{}.querySelector('input[value=\"zh-CN\"]').click()",
        element("language")
    );
    browser.evaluate(&chinese).await;
    browser
        .until("document.documentElement.lang === 'zh-CN'")
        .await;
    browser
        .until("document.body.innerText.includes('本地模式')")
        .await;
    browser
        .until("document.body.innerText.includes('现有中继：carrier-a, carrier-b')")
        .await;
    browser
        .evaluate(&format!("{}.click()", element("theme")))
        .await;
    browser.picture("console-zh-dark.png").await;
    let phone = json!({ "width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": true });
    browser
        .call("Emulation.setDeviceMetricsOverride", phone)
        .await;
    let overflow = "document.documentElement.scrollWidth <= window.innerWidth";
    browser.until(overflow).await;
    browser.picture("console-phone.png").await;

    browser
        .evaluate(&format!("{}.click()", element("sign-out")))
        .await;
    browser.until(&format!("!!{}", element("token"))).await;
    // One refusal was asked for; the policy must never have been hurt.
    let other: Vec<_> = browser
        .complaints
        .iter()
        .filter(|c| !c.contains("401"))
        .collect();
    assert!(other.is_empty(), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_whispers_and_leaves_by_the_console() {
    let (address, memory) = serve().await;
    memory.state().live = Some(live_call());
    if !web::is_built(Page::Console) {
        eprintln!("the pages are not built: the console was not opened");
        return;
    }
    let Some(mut browser) = Browser::start().await else {
        eprintln!("there is no Chromium here: the console was not opened");
        return;
    };
    let url = json!({ "url": format!("http://{address}/") });
    browser.call("Page.navigate", url).await;
    browser.until(&format!("!!{}", element("token"))).await;
    browser.sign_in("supervisor-token").await;
    browser.until(&format!("!!{}", element("live-show"))).await;
    let press = |what: &str| format!("{}.click()", element(what));
    browser.evaluate(&press("live-show")).await;
    browser.until(&format!("!!{}", element("live-call"))).await;
    for (button, manner) in [
        ("live-listen", Supervision::Listen),
        ("live-whisper", Supervision::Whisper),
        ("live-barge", Supervision::Barge),
    ] {
        browser
            .until(&format!("!{}.disabled", element(button)))
            .await;
        browser.evaluate(&press(button)).await;
        let pressed = format!("{}.ariaPressed === 'true'", element(button));
        browser.until(&pressed).await;
        let there = memory.state().live.as_ref().unwrap().supervisors.clone();
        assert_eq!(there, [(AgentId(9), manner)]);
    }
    browser.picture("console-live-calls.png").await;
    browser
        .until(&format!("!{}.disabled", element("live-leave")))
        .await;
    browser.evaluate(&press("live-leave")).await;
    browser.until(&format!("!{}", element("live-leave"))).await;
    let there = memory.state().live.as_ref().unwrap().supervisors.clone();
    assert!(there.is_empty(), "{there:?}");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_shows_which_caller_ids_wear_out() {
    let (address, _memory) = serve().await;
    if !web::is_built(Page::Console) {
        eprintln!("the pages are not built: the console was not opened");
        return;
    }
    let Some(mut browser) = Browser::start().await else {
        eprintln!("there is no Chromium here: the console was not opened");
        return;
    };
    let url = json!({ "url": format!("http://{address}/") });
    browser.call("Page.navigate", url).await;
    browser.until(&format!("!!{}", element("token"))).await;
    browser.sign_in("monitor-token").await;
    let show = element("caller-ids-show");
    browser.until(&format!("!!{show}")).await;
    browser.evaluate(&format!("{show}.click()")).await;
    let says = |what: &str, text: &str| {
        format!("!!{0} && {0}.innerText.includes('{text}')", element(what))
    };
    let more = says("caller-id-places", "import more numbers");
    browser.until(&more).await;
    let rests = says("caller-ids-troubled", "+8675512345678 · rests, day 3");
    browser.until(&rests).await;
    let good = says("caller-ids-troubled", "+8675512345679");
    browser.until(&format!("!({good})")).await;
    browser.picture("console-caller-ids.png").await;
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}
