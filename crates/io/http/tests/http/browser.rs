//! The console in a real browser: sign in, see the live mesh, in both languages, with the strict
//! policy. Where the pages are not built, that the binary says so. Where there is no Chromium,
//! only the server's side is looked at.

use crate::memory::{Memory, TIME};
use dialmesh_http::{admin, dto::*, events::Events, pages};
use domain::{MemberId, RegionId, TrunkId};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

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
    let router = admin::router(memory.clone(), events.clone()).merge(pages::router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let every = Duration::from_millis(250);
    tokio::spawn(admin::publish_status(memory.clone(), events, every));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, memory)
}

/// A page of a headless Chromium, spoken to by its DevTools protocol.
struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
    _process: Child,
    _profile: tempfile::TempDir,
    /// What the browser complained about.
    complaints: Vec<String>,
}

impl Browser {
    async fn start() -> Option<Self> {
        let program = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path)
                    .any(|folder: std::path::PathBuf| folder.join(name).is_file())
            })?;
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--lang=en-US",
                "--window-size=1360,1000",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let browser_url = timeout(Duration::from_secs(90), async {
            loop {
                let line = lines
                    .next_line()
                    .await
                    .unwrap()
                    .expect("the browser started");
                if let Some((_, url)) = line.split_once("DevTools listening on ") {
                    return url.trim().to_owned();
                }
            }
        })
        .await
        .expect("the browser tells its address");
        // The pipe must be read on, or the browser blocks when it is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = connect_async(&browser_url).await.unwrap();
        let mut browser = Self {
            socket,
            next: 0,
            _process: process,
            _profile: profile,
            complaints: Vec::new(),
        };
        let target = browser
            .call(None, "Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let page = target["targetId"].as_str().unwrap().to_owned();
        let host = browser_url.split('/').nth(2).unwrap().to_owned();
        let url = format!("ws://{host}/devtools/page/{page}");
        browser.socket = connect_async(&url).await.unwrap().0;
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(None, domain, json!({})).await;
        }
        Some(browser)
    }

    async fn call(&mut self, _session: Option<&str>, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let text = json!({ "id": id, "method": method, "params": params }).to_string();
        self.socket.send(Message::text(text)).await.unwrap();
        let answer = async {
            loop {
                let message = self.socket.next().await.unwrap().unwrap();
                let Ok(text) = message.to_text() else {
                    continue;
                };
                let Ok(message) = serde_json::from_str::<Value>(text) else {
                    continue;
                };
                match message["method"].as_str() {
                    Some("Log.entryAdded") => {
                        let entry = message["params"]["entry"].to_string();
                        self.complaints.push(entry);
                    }
                    Some("Runtime.exceptionThrown") => {
                        self.complaints.push(message["params"].to_string());
                    }
                    _ => {}
                }
                if message["id"] == id {
                    return message["result"].clone();
                }
            }
        };
        timeout(Duration::from_secs(60), answer)
            .await
            .expect("the browser answers")
    }

    async fn evaluate(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let result = self.call(None, "Runtime.evaluate", params).await;
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until a script gives something true.
    async fn until(&mut self, script: &str) {
        for _ in 0..300 {
            if self.evaluate(script).await == json!(true) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let page = self.evaluate("document.body.innerText").await;
        panic!("never: {script}\n{page}\n{:?}", self.complaints);
    }

    /// Writes a picture where `DIALMESH_SCREENSHOTS` says.
    async fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("DIALMESH_SCREENSHOTS") else {
            return;
        };
        use base64::{Engine, engine::general_purpose::STANDARD};
        sleep(Duration::from_secs(3)).await;
        let shot = self
            .call(None, "Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&folder).join(name), bytes).unwrap();
    }
}

fn element(testid: &str) -> String {
    format!("document.querySelector('[data-testid=\"{testid}\"]')")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_shows_the_live_mesh() {
    let (address, memory) = serve().await;
    if !web::is_built() {
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
    browser.call(None, "Page.navigate", url).await;
    browser.until(&format!("!!{}", element("token"))).await;
    browser.picture("sign-in.png").await;
    sign_in(&mut browser, "wrong").await;
    browser
        .until(&format!("!!{}", element("sign-in-problem")))
        .await;
    sign_in(&mut browser, "monitor-token").await;
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
        .evaluate(&format!("{}.click()", element("theme")))
        .await;
    browser.picture("console-zh-dark.png").await;
    let phone = json!({ "width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": true });
    browser
        .call(None, "Emulation.setDeviceMetricsOverride", phone)
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

async fn sign_in(browser: &mut Browser, token: &str) {
    let fill = format!(
        "(() => {{ const host = {}; const input = host.matches('input') ? host : host.querySelector('input'); \
         const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set; \
         set.call(input, {token:?}); input.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()",
        element("token")
    );
    browser.evaluate(&fill).await;
    browser
        .evaluate(&format!("{}.click()", element("sign-in")))
        .await;
}
