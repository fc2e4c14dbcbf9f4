//! Uploads: streamed, bounded, never half a row.

use crate::{Server, request};
use axum::{
    body::{Body, Bytes},
    http::{Method, StatusCode, header},
};
use dialmesh_http::auth::Role;
use futures::stream;
use serde_json::json;

const PATH: &str = "/api/v1/campaigns/camp_00000001/imports?dry_run=true&default_country=US";

async fn server() -> Server {
    let server = Server::new();
    let campaign = json!({ "name": "autumn", "rule_pack": "us-federal" });
    server.post("/api/v1/campaigns", campaign).await;
    server
}

fn csv(body: Body) -> axum::http::Request<Body> {
    request(Role::Supervisor, Method::POST, PATH)
        .header(header::CONTENT_TYPE, "text/csv; charset=utf-8")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_file_becomes_an_operation_with_rejects() {
    let server = server().await;
    let accepted = server
        .send(csv(Body::from("number,name\n1,a\n2,b\n")))
        .await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(accepted.header("location"), "/api/v1/operations/op_1");
    let operation = accepted.json();
    assert_eq!(
        (&operation["rows"], &operation["dry_run"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(
        server.get("/api/v1/operations/op_1").await.json(),
        operation
    );
    assert_eq!(
        server.get("/api/v1/operations").await.json()["data"][0],
        operation
    );
    let rejects = server.get("/api/v1/operations/op_1/rejects").await;
    assert!(
        rejects
            .header("content-disposition")
            .contains("rejects.csv")
    );
    assert!(rejects.text.contains("invalid_number"));
    assert_eq!(
        server
            .get("/api/v1/operations/op_9/rejects")
            .await
            .problem(),
        "DM2301"
    );
}

#[tokio::test]
async fn what_is_not_a_file_of_rows_is_refused() {
    let server = server().await;
    let reply = server.post(PATH, json!({})).await;
    assert_eq!(reply.problem(), "DM2003");
    let odd = PATH.replace("dry_run=true", "dryrun=true");
    let request = request(Role::Admin, Method::POST, &odd)
        .header(header::CONTENT_TYPE, "text/csv")
        .body(Body::empty())
        .unwrap();
    let reply = server.send(request).await;
    assert_eq!(reply.problem(), "DM2002");
    assert!(reply.text.contains("dryrun"), "{}", reply.text);
}

#[tokio::test]
async fn the_bound_holds_for_told_and_untold_lengths() {
    const LIMIT: usize = 64 * 1024;
    let server = server().await;
    let chunked = |len: usize| {
        let chunks = (0..len.div_ceil(1000)).map(move |at| {
            let size = (len - at * 1000).min(1000);
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; size]))
        });
        Body::from_stream(stream::iter(chunks))
    };
    assert_eq!(
        server.send(csv(chunked(LIMIT))).await.status,
        StatusCode::ACCEPTED
    );
    let reply = server.send(csv(chunked(LIMIT + 1))).await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem().as_str()),
        (413, "DM2004")
    );
    let mut told = csv(chunked(10));
    let length = (LIMIT + 1).to_string().parse().unwrap();
    told.headers_mut().insert(header::CONTENT_LENGTH, length);
    assert_eq!(server.send(told).await.problem(), "DM2004");
}

#[tokio::test]
async fn a_broken_upload_is_not_an_end() {
    let server = server().await;
    let broken = stream::iter([
        Ok(Bytes::from("number\n1\n")),
        Err(std::io::Error::other("the connection is gone")),
    ]);
    let reply = server.send(csv(Body::from_stream(broken))).await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem().as_str()),
        (400, "DM2008")
    );
    assert!(server.memory.state().operations.is_empty());
}

#[tokio::test]
async fn numbers_of_a_file_go_to_do_not_call() {
    let server = server().await;
    let import = |query: &str| {
        let path = format!("/api/v1/do-not-call/imports?{query}");
        let request = request(Role::Supervisor, Method::POST, &path)
            .header(header::CONTENT_TYPE, "text/csv")
            .body(Body::from("number\n+14155550134\n"))
            .unwrap();
        server.send(request)
    };
    assert_eq!(
        import("default_country=US").await.status,
        StatusCode::ACCEPTED
    );
    let reply = import("campaign=camp_00000001&region=reg_0001").await;
    assert_eq!(reply.json()["errors"][0]["pointer"], "?region");
}
