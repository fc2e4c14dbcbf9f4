//! Live calls and their supervisors: listed masked, changed by supervisors only, audited.

use crate::{Server, request};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use dialmesh_http::auth::Role;
use domain::{AgentId, AttemptId, CampaignId, LiveCall, RegionId, WallTime};
use serde_json::json;

const CALL: AttemptId = AttemptId(77);
const BOSS: AgentId = AgentId(9);

/// A call that is joined.
pub(crate) fn live_call() -> LiveCall {
    LiveCall {
        attempt: CALL,
        campaign: CampaignId(1),
        region: RegionId(1),
        agent: AgentId(2),
        number: Some("+8613800138000".parse().unwrap()),
        call_back: true,
        joined_at: WallTime::from_millis(1_795_000_000_000),
        supervisors: Vec::new(),
    }
}

fn server() -> Server {
    let server = Server::new();
    server.memory.state().live = Some(live_call());
    server
}

fn place(call: AttemptId) -> String {
    format!("/api/v1/live-calls/{call}/supervisors/{BOSS}")
}

#[tokio::test]
async fn a_supervisor_comes_changes_and_goes() {
    let server = server();
    let live = server.get("/api/v1/live-calls").await;
    assert!(!live.text.contains("13800138000"), "{}", live.text);
    let live = live.json();
    assert_eq!(live["data"][0]["id"], json!(CALL.to_string()));
    assert_eq!(live["data"][0]["direction"], "inbound");
    assert_eq!(live["data"][0]["supervisors"], json!([]));
    for manner in ["listen", "whisper", "barge"] {
        let body = json!({ "manner": manner });
        let reply = server.json(Method::PUT, &place(CALL), body).await;
        let there = json!({ "agent": BOSS.to_string(), "manner": manner });
        assert_eq!(
            (reply.status, reply.json()),
            (StatusCode::OK, there.clone())
        );
        let live = server.get("/api/v1/live-calls").await.json();
        assert_eq!(live["data"][0]["supervisors"], json!([there]));
    }
    let leave = request(Role::Supervisor, Method::DELETE, &place(CALL));
    let reply = server.send(leave.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    let audit = server.memory.state().audit.clone();
    assert_eq!(audit.len(), 4, "{audit:?}");
    assert!(
        audit.iter().any(|(_, what)| what == "supervise_call"),
        "{audit:?}"
    );
}

#[tokio::test]
async fn who_may_not_and_what_is_not_there_is_refused() {
    let server = server();
    for (method, path) in [
        (Method::GET, "/api/v1/live-calls".to_owned()),
        (Method::PUT, place(CALL)),
        (Method::DELETE, place(CALL)),
    ] {
        let asked = request(Role::Monitor, method, &path);
        let reply = server.send(asked.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert_eq!(reply.problem(), "DM2102");
    }
    let listen = json!({ "manner": "listen" });
    let gone = server
        .json(Method::PUT, &place(AttemptId(78)), listen)
        .await;
    assert_eq!(gone.problem(), "DM2301");
    let shout = json!({ "manner": "shout" });
    let odd = server.json(Method::PUT, &place(CALL), shout).await;
    assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY);
}
