//! Consents.

use crate::{Server, request};
use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use dialmesh_http::auth::Role;
use serde_json::json;

#[tokio::test]
async fn consents_from_import_to_withdrawal() {
    let server = Server::new();
    server
        .post(
            "/api/v1/campaigns",
            json!({ "name": "autumn", "rule_pack": "us-federal" }),
        )
        .await;
    let import = |query: &str| {
        let path = format!("/api/v1/consents/imports{query}");
        let request = request(Role::Supervisor, Method::POST, &path)
            .header(header::CONTENT_TYPE, "text/csv")
            .body(Body::from("number\n+14155550134\n"));
        server.send(request.unwrap())
    };
    for (query, pointer) in [
        ("?kind=shouted", "?kind"),
        ("?given_at=yesterday", "?given_at"),
        ("?until=2026-13-01T00:00:00Z", "?until"),
    ] {
        let reply = import(query).await;
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
    }
    let taken = import("?kind=form&source=form%203&place=example.com").await;
    assert_eq!(taken.status, StatusCode::ACCEPTED);
    let check = server
        .get("/api/v1/consents/check?number=14155550134")
        .await;
    assert!(!check.text.contains("14155550134"), "{}", check.text);
    let found = check.json();
    assert_eq!(
        (
            &found["consents"][0]["kind"],
            &found["consents"][0]["source"]
        ),
        (&json!("form"), &json!("form 3"))
    );
    let path = "/api/v1/consents/withdraw";
    let silent = json!({ "number": "+14155550134", "reason": " " });
    assert_eq!(
        server.post(path, silent).await.json()["errors"][0]["pointer"],
        "/reason"
    );
    let withdrawal = json!({ "number": "+14155550134", "reason": "wrote to us" });
    let withdrawn = server.post(path, withdrawal.clone()).await;
    let withdrawn = withdrawn.json();
    assert_eq!(
        (&withdrawn["state"], &withdrawn["withdrawn"]),
        (&json!("effective"), &json!(1))
    );
    // Once more: it counts for what comes later.
    assert_eq!(server.post(path, withdrawal).await.json()["withdrawn"], 0);
    let check = server
        .get("/api/v1/consents/check?number=14155550134")
        .await;
    let found = &check.json()["consents"][0];
    assert_eq!(found["good"], false);
    assert!(found["withdrawn_at"].is_string(), "{found}");
}
