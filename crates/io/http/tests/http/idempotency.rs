//! The same key, the same answer.

use crate::{Reply, Server, request};
use axum::{
    body::Body,
    http::{Method, header},
};
use dialmesh_http::{auth::Role, limits};
use serde_json::{Value, json};

async fn post(server: &Server, role: Role, key: &str, body: Value) -> Reply {
    let request = request(role, Method::POST, "/api/v1/campaigns")
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    server.send(request).await
}

fn campaign(name: &str) -> Value {
    json!({ "name": name, "rule_pack": "us-federal" })
}

#[tokio::test]
async fn a_repeated_request_gives_the_first_answer() {
    let server = Server::new();
    let first = post(&server, Role::Admin, "k1", campaign("a")).await;
    let again = post(&server, Role::Admin, "k1", campaign("a")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("etag"), "\"1\"");
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
    assert_eq!(server.memory.state().campaigns.len(), 1);

    let other = post(&server, Role::Admin, "k1", campaign("b")).await;
    assert_eq!(
        (other.status.as_u16(), other.problem().as_str()),
        (422, "DM2306")
    );
    let somebody = post(&server, Role::Supervisor, "k1", campaign("c")).await;
    assert_eq!(somebody.status, 201, "keys belong to their token");
}

#[tokio::test]
async fn a_refusal_may_be_tried_again() {
    let server = Server::new();
    let quorum = &server.memory.quorum;
    quorum.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        post(&server, Role::Admin, "k", campaign("a"))
            .await
            .problem(),
        "DM2401"
    );
    quorum.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        post(&server, Role::Admin, "k", campaign("a")).await.status,
        201
    );
}

#[tokio::test]
async fn keys_are_short_and_printable() {
    let server = Server::new();
    let long = "k".repeat(limits::IDEMPOTENCY_KEY_BYTES);
    assert_eq!(
        post(&server, Role::Admin, &long, campaign("a"))
            .await
            .status,
        201
    );
    for bad in [format!("{long}k"), "a b".to_owned()] {
        let reply = post(&server, Role::Admin, &bad, campaign("b")).await;
        assert_eq!(reply.json()["errors"][0]["pointer"], "Idempotency-Key");
    }
}
