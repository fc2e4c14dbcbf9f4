//! The admin API as an operator's script would use it.

use anyhow::Context as _;
use reqwest::{Method, Response};
use serde_json::Value;
use std::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How often a refusal that will pass is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// The API refused (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// What, why, what next.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.text)
    }
}

impl std::error::Error for Problem {}

/// A client with a token.
#[derive(Debug)]
pub struct Api {
    base: String,
    token: String,
    http: reqwest::Client,
    requests: AtomicU64,
}

impl Api {
    /// For the API at an address.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        Ok(Self {
            base: format!("http://{address}"),
            token: token.to_owned(),
            http: client()?,
            requests: AtomicU64::new(1),
        })
    }

    /// `http://address:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// GET below `/api/v1`.
    ///
    /// # Errors
    /// [`Problem`] where the API refused; else the connection failed.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None, None).await
    }

    /// POST of JSON, once.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body), None).await
    }

    /// POST or PUT, again and again while nobody leads or nobody listens. The same key goes with
    /// each try, so that it takes effect once.
    ///
    /// # Errors
    /// As [`Api::get`], of the last try.
    pub async fn insist(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + patience;
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let key = format!("world-{}-{number}", std::process::id());
        loop {
            let error = match self
                .send(method.clone(), path, Some(body), Some(&key))
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let passes = error
                .downcast_ref::<Problem>()
                .is_none_or(|p| p.status == 503);
            if !passes || Instant::now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Changes an object by JSON merge patch, whatever its version is now.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1{path}", self.base);
        let found = self.checked(path, self.http.get(&url)).await?;
        let tag = found.headers().get("etag");
        let tag = tag.with_context(|| format!("{path} has no ETag"))?.clone();
        let request = (self.http.patch(url))
            .header("content-type", "application/merge-patch+json")
            .header("if-match", tag)
            .body(body.to_string());
        let answer = self.checked(path, request).await?.json().await;
        answer.with_context(|| format!("the answer to {path} is not JSON"))
    }

    /// POST of a CSV file.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn upload(&self, path: &str, csv: Vec<u8>) -> anyhow::Result<Value> {
        let request = self
            .http
            .post(format!("{}/api/v1{path}", self.base))
            .header("content-type", "text/csv")
            // Answered when the last row is committed.
            .timeout(Duration::from_secs(600))
            .body(csv);
        let response = self.checked(path, request).await?;
        response
            .json()
            .await
            .with_context(|| format!("the answer to {path}"))
    }

    /// GET of a text.
    ///
    /// # Errors
    /// As [`Api::get`]; a transfer that broke off.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let request = self.http.get(format!("{}/api/v1{path}", self.base));
        let response = self.checked(path, request).await?;
        response
            .text()
            .await
            .with_context(|| format!("the answer to {path}"))
    }

    /// Every object of a list.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=1000{cursor}")).await?;
            found.extend(page["data"].as_array().into_iter().flatten().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(found),
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<Value> {
        let post = method == Method::POST;
        let mut request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key.filter(|_| post) {
            request = request.header("idempotency-key", key);
        }
        let response = self.checked(path, request).await?;
        if response.status().as_u16() == 204 {
            return Ok(Value::Null);
        }
        response
            .json()
            .await
            .with_context(|| format!("the answer to {path} is not JSON"))
    }

    async fn checked(
        &self,
        path: &str,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<Response> {
        let response = request
            .bearer_auth(&self.token)
            .send()
            .await
            .with_context(|| format!("{}{path}", self.base))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap_or_default();
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let fields = body["errors"].as_array().map_or(String::new(), |errors| {
            errors.iter().map(|e| format!(" {e}")).collect()
        });
        Err(Problem {
            status,
            code: text("code"),
            text: format!("{path}: {} {}{fields}", text("title"), text("detail")),
        }
        .into())
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        // Plain HTTP: the system's certificates need not be read.
        .tls_certs_only([])
        .build()
        .context("making an HTTP client")
}

/// How a process came up.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// From the first question to `/readyz` saying yes.
    pub took: Duration,
    /// What was not ready, and how long.
    pub waited: Vec<(String, Duration)>,
}

impl Start {
    fn note(&mut self, why: &str, since: Duration) {
        let failed = why.lines().filter_map(|line| line.strip_prefix("[-] "));
        for line in failed {
            let (name, _) = line.split_once(' ').unwrap_or((line, ""));
            match self.waited.iter_mut().find(|(known, _)| known == name) {
                Some((_, until)) => *until = since,
                None => self.waited.push((name.to_owned(), since)),
            }
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?}", self.took)?;
        for (name, until) in &self.waited {
            write!(f, ", {name} {until:.1?}")?;
        }
        Ok(())
    }
}

/// What a member's `/metrics` says.
pub(super) async fn metrics(monitoring: SocketAddr) -> anyhow::Result<String> {
    let asked = client()?
        .get(format!("http://{monitoring}/metrics"))
        .timeout(Duration::from_secs(2));
    Ok(asked.send().await?.error_for_status()?.text().await?)
}

/// Waits until `/readyz` says yes.
///
/// # Errors
/// It did not in time, or `alive` said that there is no hope; with what was not ready.
pub(super) async fn until_ready(
    monitoring: SocketAddr,
    patience: Duration,
    mut alive: impl FnMut() -> bool,
) -> anyhow::Result<Start> {
    let http = client()?;
    let began = Instant::now();
    let mut start = Start::default();
    loop {
        let asked = http
            .get(format!("http://{monitoring}/readyz?verbose"))
            .timeout(Duration::from_secs(2))
            .send()
            .await;
        start.took = began.elapsed();
        let why = match asked {
            Ok(response) if response.status().is_success() => return Ok(start),
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(_) => "[-] process does not answer".to_owned(),
        };
        start.note(&why, start.took);
        anyhow::ensure!(alive(), "it ended: {why}");
        anyhow::ensure!(start.took < patience, "not ready after {patience:?}: {why}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
