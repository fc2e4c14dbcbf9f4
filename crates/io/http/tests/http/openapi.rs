//! The description and the page made from it.

use crate::Server;
use axum::{body::Body, http::Request};
use dialmesh_http::admin;
use std::collections::BTreeSet;

#[tokio::test]
async fn what_is_committed_is_what_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let text = admin::openapi_text();
    if std::env::var_os("DIALMESH_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let server = Server::new();
    let request = Request::get("/api/v1/openapi.json")
        .body(Body::empty())
        .unwrap();
    let served = server.send(request).await;
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.text, text);
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "openapi.json is not what is served; if the change is meant: DIALMESH_BLESS=1 cargo test -p dialmesh-http --test http committed"
    );
}

#[test]
fn every_reference_leads_somewhere_and_names_are_unique() {
    let document = serde_json::to_value(admin::openapi()).unwrap();
    assert_eq!(document["openapi"].as_str().map(|v| &v[..3]), Some("3.1"));
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{pointer} leads nowhere"
        );
    }
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name.clone()), "{name} twice");
            assert!(
                operation["summary"].is_string(),
                "{method} {path} says nothing"
            );
            let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
            assert!(problem.is_object(), "{method} {path} has no problem");
            let holes = path.matches('{').count();
            let parameters = operation["parameters"].as_array();
            let given = parameters.map_or(0, |p| p.iter().filter(|p| p["in"] == "path").count());
            assert_eq!(holes, given, "{method} {path}");
        }
    }
    assert!(names.len() >= 45, "{}", names.len());
}

#[tokio::test]
async fn the_docs_page_needs_no_other_host_and_no_script() {
    let server = Server::new();
    let request = Request::get("/api/v1/docs").body(Body::empty()).unwrap();
    let page = server.send(request).await;
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    assert!(!page.text.contains("<script") && !page.text.contains("http://"));
    assert!(!page.text.contains("https://"));
    for part in [
        "/api/v1/do-not-call",
        "DM2401",
        "CampaignSettings",
        "supervisor",
    ] {
        assert!(page.text.contains(part), "{part}");
    }
}
