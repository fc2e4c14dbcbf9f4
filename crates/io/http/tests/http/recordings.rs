//! Recordings: found, shown, heard in ranges, audited.

use crate::{Server, memory::record, request};
use axum::{
    body::Body,
    http::{Method, Request},
};
use dialmesh_http::auth::Role;
use domain::{CallRecording, RecordingEnd};
use serde_json::json;

fn recorded() -> (Server, String) {
    let server = Server::new();
    let mut call = record(1);
    call.recording = Some(CallRecording {
        length_ms: 1_000,
        hash: Some([0xab; 32]),
        ..CallRecording::only(RecordingEnd::Whole)
    });
    let id = call.attempt.to_string();
    server.memory.state().records = vec![call, record(2)];
    (server, id)
}

fn hear(id: &str, range: Option<&str>) -> Request<Body> {
    let path = format!("/api/v1/recordings/{id}/audio");
    let mut request = request(Role::Supervisor, Method::GET, &path);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn recordings_are_listed_and_calls_name_theirs() {
    let (server, id) = recorded();
    let list = server.get("/api/v1/recordings").await.json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list["data"][0]["call"], json!(id));
    assert_eq!(list["data"][0]["end"], "whole");
    assert_eq!(list["data"][0]["hash"], json!("ab".repeat(32)));
    let call = server.get(&format!("/api/v1/calls/{id}")).await.json();
    assert_eq!(call["recording"]["length_ms"], 1_000);
    let shown = server.get(&format!("/api/v1/recordings/{id}")).await.json();
    assert_eq!(
        (&shown["complete"], &shown["end"]),
        (&json!(true), &json!("whole"))
    );
    let other = record(2).attempt;
    let none = server.get(&format!("/api/v1/recordings/{other}")).await;
    assert_eq!(none.problem(), "DM2301");
}

#[tokio::test]
async fn a_recording_is_heard_whole_or_in_ranges_and_who_hears_it_is_noted() {
    let (server, id) = recorded();
    let whole = server.send(hear(&id, None)).await;
    assert_eq!((whole.status.as_u16(), whole.text.len()), (200, 100));
    assert_eq!(whole.header("content-type"), "audio/wav");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let part = server.send(hear(&id, Some("bytes=10-19"))).await;
    assert_eq!(
        (part.status.as_u16(), part.text.as_bytes()),
        (206, &whole.text.as_bytes()[10..20])
    );
    assert_eq!(part.header("content-range"), "bytes 10-19/100");
    assert_eq!(part.header("content-length"), "10");
    let behind = server.send(hear(&id, Some("bytes=100-"))).await;
    assert_eq!(behind.header("content-range"), "bytes */100");
    assert_eq!(behind.problem(), "DM2309");
    let audit = server.memory.state().audit.last().cloned().unwrap();
    assert_eq!(audit.1, "hear_recording");
}
