//! The admin API as the verbs use it.

use crate::{context::Context, failure::Failure};
use anyhow::{Context as _, Result};
use dialmesh_http::problem::Problem;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt::Write as _, time::Duration};

/// How long an answer may take. An opt-out with a node cut off takes as long as freshness lasts,
/// which is 5 minutes at most.
const ANSWER: Duration = Duration::from_secs(330);
/// Objects asked for at a time.
const PAGE: usize = 200;

/// One mesh's admin API.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    token: domain::Secret,
    http: reqwest::Client,
}

impl Client {
    /// For a context.
    pub(crate) fn new(context: &Context) -> Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("dialmesh/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            // The token travels in the clear: never through somebody's proxy.
            .no_proxy()
            // Plain HTTP: no certificate is asked for, and none of the system's are read.
            .tls_certs_only([])
            .build()
            .context("cannot start the HTTP client")?;
        Ok(Self {
            base: context.url.trim_end_matches('/').to_owned(),
            token: context.token.clone(),
            http,
        })
    }

    /// A request to `path` below `/api/v1`, without a limit on its time.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/v1{path}", self.base))
            .bearer_auth(self.token.expose())
    }

    /// GET.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.answer(self.request(Method::GET, path)).await
    }

    /// Every object of a list.
    pub(crate) async fn list(&self, path: &str) -> Result<Value> {
        self.list_some(path, usize::MAX).await
    }

    /// The first objects of a list, `most` of them at most.
    pub(crate) async fn list_some(&self, path: &str, most: usize) -> Result<Value> {
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        while items.len() < most {
            let limit = PAGE.min(most - items.len()).to_string();
            let mut page = vec![("limit", limit)];
            page.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut page: Value = self.get(&with_query(path, &page)).await?;
            match page.get_mut("data").map(Value::take) {
                Some(Value::Array(found)) => items.extend(found),
                _ => anyhow::bail!(
                    "the coordinator's answer to {path} is not a page; is it of this release?"
                ),
            }
            cursor = page
                .get("next_cursor")
                .and_then(Value::as_str)
                .map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(Value::Array(items))
    }

    /// POST with a body.
    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.answer(self.request(Method::POST, path).json(body))
            .await
    }

    /// POST without a body.
    pub(crate) async fn act(&self, path: &str) -> Result<Value> {
        self.answer(self.request(Method::POST, path)).await
    }

    /// PUT with a body.
    pub(crate) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.answer(self.request(Method::PUT, path).json(body))
            .await
    }

    /// PATCH with a body.
    pub(crate) async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.answer(self.request(Method::PATCH, path).json(body))
            .await
    }

    /// PATCH of what people edit: only if it still has that version.
    pub(crate) async fn patch_version(
        &self,
        path: &str,
        version: u64,
        body: &impl Serialize,
    ) -> Result<Value> {
        let request = self.request(Method::PATCH, path);
        let tag = format!("\"{version}\"");
        self.answer(request.header(reqwest::header::IF_MATCH, tag).json(body))
            .await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        let request = self.request(Method::DELETE, path).timeout(ANSWER);
        self.send(request).await.map(drop)
    }

    /// The body of the answer, or an error that says what the server said.
    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let response = self.send(request.timeout(ANSWER)).await?;
        let body = response
            .bytes()
            .await
            .map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body)
            .context("the coordinator's answer cannot be read; is it of this release?")
    }

    /// Any request; the raw answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(self.refusal(status, &body).into())
    }

    /// What a broken connection says.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = std::iter::successors(std::error::Error::source(error), |e| e.source())
            .last()
            .map_or_else(|| error.to_string(), ToString::to_string);
        Failure::unreachable(format!(
            "the coordinator at {} does not answer ({why}); check that it runs and that the \
             context's URL is right (`dialmesh context ls`)",
            self.base
        ))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Failure {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => {
                let mut text = problem.to_string();
                if !problem.request_id.is_empty() {
                    text.push_str(&format!(" (request {})", problem.request_id));
                }
                Failure::refused(text)
            }
            Err(_) => Failure::refused(format!(
                "{} answered {status}, not as a coordinator would; check the context's URL",
                self.base
            )),
        }
    }
}

/// A path with a query behind it (or more of one).
pub(crate) fn with_query(path: &str, pairs: &[(&str, String)]) -> String {
    let mut text = path.to_owned();
    for (key, value) in pairs {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(key);
        text.push('=');
        text.push_str(&escaped(value));
    }
    text
}

/// A text as one segment of a path or one value of a query.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a text takes all that is written");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialmesh_http::problem::Code;

    #[test]
    fn queries_are_escaped() {
        let query = [
            ("number", "+86 755".to_owned()),
            ("list", "a&b=c".to_owned()),
        ];
        assert_eq!(
            with_query("/x", &query),
            "/x?number=%2B86%20755&list=a%26b%3Dc"
        );
        assert_eq!(
            with_query("/x?a=1", &[("b", "深".to_owned())]),
            "/x?a=1&b=%E6%B7%B1"
        );
    }

    #[test]
    fn refusals_say_what_the_server_said() {
        let context = Context {
            url: "http://127.0.0.1:1".into(),
            token: domain::Secret::new("secret"),
        };
        let client = Client::new(&context).unwrap();
        let problem = Problem::new(Code::NoQuorum, "2 of 3 members are away");
        let body = serde_json::to_vec(&problem).unwrap();
        let text = client
            .refusal(StatusCode::SERVICE_UNAVAILABLE, &body)
            .to_string();
        for word in ["DM2401", "2 of 3 members", "dialmesh status"] {
            assert!(text.contains(word), "{text}");
        }
        let text = client
            .refusal(StatusCode::BAD_GATEWAY, b"<html>")
            .to_string();
        assert!(text.contains("502") && text.contains("URL"), "{text}");
    }
}
