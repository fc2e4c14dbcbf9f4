//! A page of a headless Chromium, driven by its DevTools protocol.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// A page of a headless Chromium, spoken to by its DevTools protocol.
pub(crate) struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
    _process: Child,
    _profile: tempfile::TempDir,
    /// What the browser complained about.
    pub(crate) complaints: Vec<String>,
    /// How often it asked whether the page may be left; the answer is yes.
    pub(crate) farewells: usize,
}

impl Browser {
    pub(crate) async fn start() -> Option<Self> {
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
                // A microphone that beeps, allowed without a question.
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
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
            farewells: 0,
        };
        let target = browser
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let page = target["targetId"].as_str().unwrap().to_owned();
        let host = browser_url.split('/').nth(2).unwrap().to_owned();
        let url = format!("ws://{host}/devtools/page/{page}");
        browser.socket = connect_async(&url).await.unwrap().0;
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, json!({})).await;
        }
        Some(browser)
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
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
                    Some("Page.javascriptDialogOpening") => {
                        self.farewells += 1;
                        let yes = json!({ "id": 0, "method": "Page.handleJavaScriptDialog", "params": { "accept": true } });
                        let text = yes.to_string();
                        self.socket.send(Message::text(text)).await.unwrap();
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

    pub(crate) async fn evaluate(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", params).await;
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until a script gives something true.
    pub(crate) async fn until(&mut self, script: &str) {
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
    pub(crate) async fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("DIALMESH_SCREENSHOTS") else {
            return;
        };
        use base64::{Engine, engine::general_purpose::STANDARD};
        sleep(Duration::from_secs(3)).await;
        let shot = self
            .call("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&folder).join(name), bytes).unwrap();
    }

    pub(crate) async fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
    }

    pub(crate) async fn click(&mut self, testid: &str) {
        self.until(&format!("!!{}", element(testid))).await;
        self.evaluate(&format!("{}.click()", element(testid))).await;
    }

    /// A key as a person presses it: `r`, `1`, `?`, `Escape`.
    pub(crate) async fn press(&mut self, key: &str) {
        let code = match key.chars().next() {
            Some(digit @ '0'..='9') => format!("Digit{digit}"),
            Some(letter @ 'a'..='z') => format!("Key{}", letter.to_ascii_uppercase()),
            Some('?') => "Slash".to_owned(),
            _ => key.to_owned(),
        };
        let mut down = json!({ "type": "keyDown", "key": key, "code": code });
        match key {
            "Enter" => down["text"] = json!("\r"),
            _ if key.len() == 1 => down["text"] = json!(key),
            _ => {}
        }
        // What the browser itself does with a key goes by this number.
        let number = [("Tab", 9), ("Enter", 13), ("Escape", 27)];
        if let Some((_, number)) = number.iter().find(|(name, _)| *name == key) {
            down["windowsVirtualKeyCode"] = json!(number);
        }
        self.call("Input.dispatchKeyEvent", down).await;
        let up = json!({ "type": "keyUp", "key": key, "code": code });
        self.call("Input.dispatchKeyEvent", up).await;
    }

    /// Text as a person types it where the focus is.
    pub(crate) async fn type_text(&mut self, text: &str) {
        for letter in text.chars() {
            self.press(&letter.to_string()).await;
        }
    }

    /// The text of an element.
    pub(crate) async fn text(&mut self, testid: &str) -> String {
        let text = format!("{}?.innerText ?? ''", element(testid));
        self.evaluate(&text).await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Looks for what WCAG 2.2 AA forbids, with axe (a developers' package of the pages, there once
    /// they were built here).
    pub(crate) async fn accessible(&mut self, what: &str) {
        let axe =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/node_modules/axe-core/axe.min.js");
        let Ok(axe) = std::fs::read_to_string(axe) else {
            eprintln!("SKIPPED: axe-core is not installed: {what} was not looked at");
            return;
        };
        self.evaluate(&format!("{axe};true")).await;
        // A colour that is still changing is no colour to judge.
        sleep(Duration::from_millis(400)).await;
        let run = "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.failureSummary + n.html)]))";
        let found = self.evaluate(run).await;
        assert_eq!(found, json!([]), "{what}");
    }

    /// Fills in the token and presses the button.
    pub(crate) async fn sign_in(&mut self, token: &str) {
        let fill = format!(
            "(() => {{ const host = {}; const input = host.matches('input') ? host : host.querySelector('input'); \
         const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set; \
         set.call(input, {token:?}); input.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()",
            element("token")
        );
        self.evaluate(&fill).await;
        self.click("sign-in").await;
    }
}

/// An element by its test id.
pub(crate) fn element(testid: &str) -> String {
    format!("document.querySelector('[data-testid=\"{testid}\"]')")
}
