//! The HTTP surface over backends in memory.

#![allow(clippy::unwrap_used, reason = "all of this is test")]

mod agent;
mod auth;
mod browser;
mod chromium;
mod clearance;
mod consents;
mod desk;
mod dnc_lists;
mod events;
mod idempotency;
mod imports;
mod memory;
mod openapi;
mod recordings;
mod resources;
mod supervision;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use dialmesh_http::{admin, auth::Role, events::Events};
use memory::Memory;
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt;

/// A server in memory and what lies behind it.
struct Server {
    router: Router,
    memory: Arc<Memory>,
    events: Events,
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|e| panic!("{e} in {} {}", self.status, self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Checks the shape of a problem and gives its code.
    fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for field in ["type", "title", "remedy"] {
            assert!(
                problem[field].as_str().is_some_and(|t| !t.is_empty()),
                "{problem}"
            );
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// One request with the token of a role.
fn request(role: Role, method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(
        header::AUTHORIZATION,
        format!("Bearer {}-token", role.name()),
    )
}

impl Server {
    fn new() -> Self {
        let (memory, events) = (Arc::new(Memory::new()), Events::new());
        Self {
            router: admin::router_with(memory.clone(), events.clone(), 64 * 1024),
            memory,
            events,
        }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        Reply {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Reply {
        let request = request(Role::Admin, Method::GET, path);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> Reply {
        let request = request(Role::Admin, method, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.json(Method::POST, path, body).await
    }
}
