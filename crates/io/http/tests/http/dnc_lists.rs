//! Do-not-call lists that are pulled.

use crate::{Server, request};
use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use dialmesh_http::auth::Role;
use serde_json::json;

const PATH: &str = "/api/v1/do-not-call/lists";

#[tokio::test]
async fn a_list_from_declaration_to_removal() {
    let server = Server::new();
    let from = "https://registry.example/list";
    for (bad, pointer) in [
        (json!({ "name": "FTC", "from": from }), "/name"),
        (json!({ "name": "base", "from": from }), "/name"),
        (json!({ "name": "..", "from": from }), "/name"),
        (json!({ "name": "ftc", "from": "" }), "/from"),
        (
            json!({ "name": "ftc", "from": from, "every_seconds": 59 }),
            "/every_seconds",
        ),
        (
            json!({ "name": "ftc", "from": from, "max_age_seconds": 0 }),
            "/max_age_seconds",
        ),
        (
            json!({ "name": "ftc", "from": from, "country": "USA" }),
            "/country",
        ),
        (
            json!({ "name": "ftc", "from": from, "shrink_permille": 1001 }),
            "/shrink_permille",
        ),
        (
            json!({ "name": "ftc", "from": from, "invalid_permille": 1001 }),
            "/invalid_permille",
        ),
        (
            json!({ "name": "ftc", "from": from, "header": "tok3n" }),
            "/header",
        ),
        (json!({ "name": "ftc", "from": from, "ca": "" }), "/ca"),
    ] {
        let reply = server.post(PATH, bad).await;
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
        assert!(!reply.text.contains("tok3n"), "{}", reply.text);
    }
    let body = json!({
        "name": "ftc", "from": from, "country": "US", "header": "Authorization: Bearer tok3n"
    });
    let refused = request(Role::Supervisor, Method::POST, PATH)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()));
    let refused = server.send(refused.unwrap()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let declared = server.post(PATH, body).await;
    assert_eq!(declared.status, StatusCode::CREATED);
    assert!(!declared.text.contains("tok3n"), "{}", declared.text);
    let declared = declared.json();
    assert_eq!(
        (&declared["every_seconds"], &declared["max_age_seconds"]),
        (&json!(86_400), &json!(31 * 86_400)),
        "a day, and 31 days, when nothing is said"
    );
    let list = format!("{PATH}/ftc");
    assert_eq!(server.get(&list).await.json()["name"], "ftc");
    assert_eq!(server.get(PATH).await.json()["data"][0]["name"], "ftc");
    let paused = server
        .post(&format!("{list}/pause"), json!({}))
        .await
        .json();
    assert_eq!(paused["paused"], true);
    let resumed = server
        .post(&format!("{list}/resume"), json!({}))
        .await
        .json();
    assert_eq!(resumed["paused"], false);
    let pull = server
        .post(&format!("{list}/pull"), json!({ "dry_run": true }))
        .await;
    assert_eq!(pull.status, StatusCode::ACCEPTED);
    assert_eq!(pull.json()["dry_run"], true);
    for decision in ["approve", "reject"] {
        let path = format!("{list}/{decision}");
        let reply = server.post(&path, json!({ "reason": " " })).await;
        assert_eq!(reply.json()["errors"][0]["pointer"], "/reason");
        let reply = server
            .post(&path, json!({ "reason": "looked at it" }))
            .await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let unknown = server.post(&format!("{PATH}/tps/pull"), json!({})).await;
    assert_eq!(unknown.problem(), "DM2301");
    let removed = server.json(Method::DELETE, &list, json!({})).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&list).await.problem(), "DM2301");
}
