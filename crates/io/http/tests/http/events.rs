//! The event stream.

use crate::{Server, request};
use axum::{
    body::{Body, BodyDataStream},
    http::{Method, StatusCode},
};
use dialmesh_http::{admin, auth::Role, limits};
use futures::StreamExt;
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};
use tower::ServiceExt;

struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    /// The next event as (id, topic, data); `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|l| l.strip_prefix(name));
                    line.map(|l| l.trim_start_matches([':', ' ']).to_owned())
                };
                let read = (field("id"), field("event"), field("data"));
                self.text = rest.to_owned();
                if let (Some(id), Some(topic), Some(data)) = read {
                    return Some((id, topic, data));
                }
                continue;
            }
            let chunk = self.body.next().await?.ok()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

async fn open(server: &Server, query: &str, last: Option<&str>) -> Result<Stream, StatusCode> {
    let mut request = request(
        Role::Monitor,
        Method::GET,
        &format!("/api/v1/events{query}"),
    );
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = server.router.clone().oneshot(request).await.unwrap();
    if response.status() != StatusCode::OK {
        return Err(response.status());
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    Ok(Stream {
        body: response.into_body().into_data_stream(),
        text: String::new(),
    })
}

#[tokio::test]
async fn a_stream_resumes_where_it_broke() {
    let server = Server::new();
    server.events.publish_state("status", &json!({ "n": 0 }));
    let mut stream = open(&server, "", None).await.unwrap();
    assert_eq!(
        stream.next().await.unwrap().1,
        "status",
        "the newest state comes first"
    );
    server.events.publish("campaign", &json!({ "n": 1 }));
    let (id, topic, data) = stream.next().await.unwrap();
    assert_eq!((topic.as_str(), data.as_str()), ("campaign", r#"{"n":1}"#));
    drop(stream);
    server.events.publish("campaign", &json!({ "n": 2 }));
    server.events.publish("operation", &json!({ "n": 3 }));
    let mut resumed = open(&server, "", Some(&id)).await.unwrap();
    assert_eq!(resumed.next().await.unwrap().2, r#"{"n":2}"#);
    assert_eq!(resumed.next().await.unwrap().2, r#"{"n":3}"#);
    let mut chosen = open(&server, "?topics=operation", Some(&id)).await.unwrap();
    assert_eq!(chosen.next().await.unwrap().1, "operation");
    server.events.close();
    assert_eq!(resumed.next().await, None, "closing ends every stream");
}

#[tokio::test]
async fn what_is_gone_is_said() {
    let server = Server::new();
    for last in ["nonsense", "00000000-1"] {
        assert_eq!(
            open(&server, "", Some(last)).await.err(),
            Some(StatusCode::GONE)
        );
    }
    let mut streams = Vec::new();
    for _ in 0..limits::EVENT_STREAMS {
        streams.push(open(&server, "", None).await.unwrap());
    }
    let refused = open(&server, "", None).await.err();
    assert_eq!(refused, Some(StatusCode::TOO_MANY_REQUESTS));
    streams.pop();
    assert!(open(&server, "", None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token() {
    let server = Server::new();
    let mut stream = open(&server, "", None).await.unwrap();
    server.memory.revoked.store(true, Ordering::SeqCst);
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_status_is_told_every_second_while_anybody_listens() {
    let server = Server::new();
    let teller = admin::publish_status(
        server.memory.clone(),
        server.events.clone(),
        Duration::from_secs(1),
    );
    let teller = tokio::spawn(teller);
    let mut stream = open(&server, "?topics=status", None).await.unwrap();
    let (first, _, data) = stream.next().await.unwrap();
    assert!(data.contains("\"version\":\"0.1.0\""));
    let (second, _, _) = stream.next().await.unwrap();
    assert_ne!(first, second);
    teller.abort();
}
