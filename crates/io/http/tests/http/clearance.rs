//! Do-not-call patterns and freezes.

use crate::{Server, request};
use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use dialmesh_http::auth::Role;

use serde_json::json;

#[tokio::test]
async fn a_pattern_from_entry_to_removal() {
    let server = Server::new();
    let path = "/api/v1/do-not-call/patterns";
    for (bad, pointer) in [
        (
            json!({ "pattern": "1900x", "reason": "premium" }),
            "/pattern",
        ),
        (
            json!({ "pattern": "+12345678901", "reason": "premium" }),
            "/pattern",
        ),
        (json!({ "pattern": "+1900", "reason": " " }), "/reason"),
    ] {
        let reply = server.post(path, bad).await;
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
    }
    let body = json!({ "pattern": "+1900", "reason": "premium rate" });
    let refused = request(Role::Supervisor, Method::POST, path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()));
    let refused = server.send(refused.unwrap()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let added = server.post(path, body).await.json();
    assert_eq!(added["state"], "effective");
    let listed = server.get(path).await.json();
    assert_eq!(
        (&listed["data"][0]["pattern"], &listed["data"][0]["reason"]),
        (&json!("+1900"), &json!("premium rate"))
    );
    let check = server
        .get("/api/v1/do-not-call/check?number=19005550134")
        .await;
    let check = check.json();
    assert_eq!(
        (&check["listed"], &check["pattern"]),
        (&json!(true), &json!("+1900"))
    );
    let scoped = json!({
        "pattern": "+170", "reason": "by law", "scope": { "campaign": "camp_00000001" }
    });
    assert_eq!(server.post(path, scoped).await.json()["state"], "effective");
    let listed = server.get(path).await.json();
    assert_eq!(
        (&listed["data"][0]["scope"], &listed["data"][1]["scope"]),
        (&json!("mesh"), &json!({ "campaign": "camp_00000001" }))
    );
    let path = "/api/v1/do-not-call/patterns/remove";
    let elsewhere = json!({ "pattern": "+170", "reason": "a typing error" });
    assert_eq!(server.post(path, elsewhere).await.problem(), "DM2301");
    let removal = json!({ "pattern": "1900", "reason": "a typing error" });
    assert_eq!(
        server.post(path, removal.clone()).await.status,
        StatusCode::OK
    );
    assert_eq!(server.post(path, removal).await.problem(), "DM2301");
}

#[tokio::test]
async fn a_freeze_from_entry_to_lift() {
    let server = Server::new();
    let path = "/api/v1/freezes";
    let until = "2027-01-01T00:00:00Z";
    for (bad, pointer) in [
        (json!({ "until": until, "reason": "r" }), "/number"),
        (
            json!({ "number": "12", "until": until, "reason": "r" }),
            "/number",
        ),
        (
            json!({ "number": "+14155550134", "pattern": "+1", "until": until, "reason": "r" }),
            "/pattern",
        ),
        (
            json!({ "pattern": "+1415", "until": until, "reason": "" }),
            "/reason",
        ),
        (
            json!({ "pattern": "+1415", "until": until, "reason": "r", "source": "" }),
            "/source",
        ),
    ] {
        let reply = server.post(path, bad).await;
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
    }
    let body = json!({ "number": "+14155550134", "until": until, "reason": "asked to wait" });
    assert_eq!(server.post(path, body).await.json()["state"], "effective");
    let listed = server.get(path).await;
    assert!(!listed.text.contains("14155550134"), "{}", listed.text);
    assert_eq!(
        listed.json()["data"][0],
        json!({
            "number": "+1415*****34", "until": "2027-01-01T00:00:00.000Z", "reason": "asked to wait",
            "source": "admin", "frozen_at": "2026-11-21T22:34:56.789Z",
        })
    );
    let check = server
        .get("/api/v1/do-not-call/check?number=14155550134")
        .await;
    let check = check.json();
    assert_eq!(check["listed"], false, "frozen is not listed");
    assert_eq!(check["freezes"][0]["reason"], "asked to wait");
    let lift = json!({ "number": "+14155550134", "reason": "she called back" });
    let path = "/api/v1/freezes/lift";
    assert_eq!(server.post(path, lift.clone()).await.status, StatusCode::OK);
    let again = server.post(path, lift).await;
    assert_eq!(again.problem(), "DM2301");
    assert!(!again.text.contains("14155550134"), "{}", again.text);
}
