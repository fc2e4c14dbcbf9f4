//! A page of a headless Chromium with a file for a microphone, spoken to by its DevTools protocol.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

pub(crate) struct Chromium {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
    /// Ends with the test.
    _process: Child,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// None where there is no Chromium.
    pub(crate) async fn start(microphone: &Path) -> Option<Self> {
        let program = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
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
                "--autoplay-policy=no-user-gesture-required",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                "--allow-loopback-in-peer-connection",
                "--remote-debugging-port=0",
            ])
            .arg(format!(
                "--use-file-for-fake-audio-capture={}",
                microphone.display()
            ))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let url = timeout(Duration::from_secs(90), async {
            loop {
                let line = lines.next_line().await.unwrap();
                let line = line.expect("the browser started");
                if let Some((_, url)) = line.split_once("DevTools listening on ") {
                    return url.trim().to_owned();
                }
            }
        })
        .await
        .expect("the browser tells its address");
        // The pipe must be read on, or the browser blocks when it is full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut browser = Self {
            socket: connect_async(&url).await.unwrap().0,
            next: 0,
            _process: process,
            _profile: profile,
        };
        let blank = json!({ "url": "about:blank" });
        let target = browser.call("Target.createTarget", blank).await;
        let page = target["targetId"].as_str().unwrap();
        let host = url.split('/').nth(2).unwrap();
        let url = format!("ws://{host}/devtools/page/{page}");
        browser.socket = connect_async(&url).await.unwrap().0;
        Some(browser)
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
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
                let message: Value = serde_json::from_str(text).unwrap_or_default();
                if message["id"] == id {
                    return message["result"].clone();
                }
            }
        };
        timeout(Duration::from_secs(60), answer)
            .await
            .expect("the browser answers")
    }

    /// Opens a page and waits until it is there.
    pub(crate) async fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
        for _ in 0..300 {
            let script = "location.href + ' ' + document.readyState";
            let there = self.evaluate(script).await;
            if there.as_str() == Some(&format!("{url} complete")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{url} does not open");
    }

    /// What a script of the page comes to.
    pub(crate) async fn evaluate(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", params).await;
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].clone()
    }
}
