//! Every route does what it says, and refuses what it must.

use crate::{Server, memory, request};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use dialmesh_http::{auth::Role, limits};
use serde_json::json;
use std::sync::atomic::Ordering;

fn campaign(name: &str) -> serde_json::Value {
    json!({ "name": name, "rule_pack": "us-federal" })
}

#[tokio::test]
async fn campaigns_live_their_life() {
    let server = Server::new();
    let created = server.post("/api/v1/campaigns", campaign("autumn")).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.header("etag"), "\"1\"");
    let shown = created.json();
    assert_eq!(
        (&shown["id"], &shown["state"]),
        (&json!("camp_00000001"), &json!("draft"))
    );
    assert_eq!(shown["ring_limit_seconds"], 30, "defaults are told");

    for (action, state) in [
        ("start", "running"),
        ("pause", "paused"),
        ("start", "running"),
    ] {
        let path = format!("/api/v1/campaigns/camp_00000001/{action}");
        let reply = server.post(&path, json!({})).await;
        assert_eq!(reply.json()["state"], state);
    }
    let stats = server
        .get("/api/v1/campaigns/camp_00000001/stats")
        .await
        .json();
    assert_eq!(stats["why_idle"][0]["rule"], "outside_calling_window");
    assert_eq!(stats["abandonment"]["percent"], 1.5);
    server
        .post("/api/v1/campaigns/camp_00000001/stop", json!({}))
        .await;
    let refused = server
        .post("/api/v1/campaigns/camp_00000001/start", json!({}))
        .await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (StatusCode::CONFLICT, "DM2302")
    );

    let taken = server.post("/api/v1/campaigns", campaign("autumn")).await;
    assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(taken.json()["errors"][0]["pointer"], "/name");
    let gone = server.get("/api/v1/campaigns/camp_00000099").await;
    assert_eq!(
        (gone.status, gone.problem().as_str()),
        (StatusCode::NOT_FOUND, "DM2301")
    );
    let odd = server.get("/api/v1/campaigns/lead_01").await;
    assert_eq!(odd.status, StatusCode::NOT_FOUND);
    assert!(odd.text.contains("camp_"), "{}", odd.text);
    assert_eq!(
        server.memory.state().audit[0],
        ("admin".to_owned(), "create_campaign".to_owned())
    );
}

#[tokio::test]
async fn a_patch_needs_the_version_it_changes() {
    let server = Server::new();
    server.post("/api/v1/campaigns", campaign("autumn")).await;
    let patch = |tag: Option<&'static str>, kind: &'static str, body: serde_json::Value| {
        let mut request = request(
            Role::Supervisor,
            Method::PATCH,
            "/api/v1/campaigns/camp_00000001",
        )
        .header(header::CONTENT_TYPE, kind);
        if let Some(tag) = tag {
            request = request.header(header::IF_MATCH, tag);
        }
        server.send(request.body(Body::from(body.to_string())).unwrap())
    };
    let merge = "application/merge-patch+json";
    let body = json!({ "dial_level": 1.5, "pacing": "ratio" });
    let without = patch(None, merge, body.clone()).await;
    assert_eq!(
        (without.status.as_u16(), without.problem().as_str()),
        (428, "DM2303")
    );
    let changed = patch(Some("\"1\""), merge, body.clone()).await;
    assert_eq!(
        (changed.status, changed.header("etag")),
        (StatusCode::OK, "\"2\"")
    );
    assert_eq!(changed.json()["dial_level"], 1.5);
    assert_eq!(changed.json()["name"], "autumn", "what is not named stays");
    let stale = patch(Some("\"1\""), merge, body.clone()).await;
    assert_eq!(
        (stale.status.as_u16(), stale.problem().as_str()),
        (412, "DM2304")
    );
    let bad = patch(
        Some("\"2\""),
        merge,
        json!({ "ring_limit_seconds": 5, "name": "" }),
    )
    .await;
    let pointers: Vec<_> = bad.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(pointers, ["/name", "/ring_limit_seconds"]);
    let unknown = patch(Some("\"2\""), merge, json!({ "ringlimit": 5 })).await;
    assert_eq!(unknown.problem(), "DM2002");
    let back = patch(Some("\"2\""), merge, json!({ "dial_level": null })).await;
    assert_eq!(back.json()["dial_level"], 1.0, "null gives the default");
    assert_eq!(
        patch(Some("\"3\""), "text/plain", body).await.problem(),
        "DM2003"
    );
}

#[tokio::test]
async fn bad_bodies_are_named() {
    let server = Server::new();
    let send = |kind: &'static str, body: String| {
        let request = request(Role::Admin, Method::POST, "/api/v1/campaigns")
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .unwrap();
        server.send(request)
    };
    let json = "application/json";
    assert_eq!(send(json, "{".to_owned()).await.problem(), "DM2001");
    assert_eq!(
        send("text/plain", "{}".to_owned()).await.problem(),
        "DM2003"
    );
    let missing = send(json, "{}".to_owned()).await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        missing.text.contains("missing field `name`"),
        "{}",
        missing.text
    );
    let typed = send(
        json,
        r#"{"name":"a","rule_pack":"x","retry":[{"after":7}]}"#.to_owned(),
    )
    .await;
    assert_eq!(typed.json()["errors"][0]["pointer"], "/retry/0/after");

    let prefix = r#"{"name":"a","rule_pack":"x"}"#;
    let padded = |len: usize| format!("{prefix}{}", " ".repeat(len - prefix.len()));
    let at_bound = send(json, padded(limits::BODY_BYTES)).await;
    assert_eq!(at_bound.status, StatusCode::CREATED);
    let beyond = send(json, padded(limits::BODY_BYTES + 1)).await;
    assert_eq!(
        (beyond.status.as_u16(), beyond.problem().as_str()),
        (413, "DM2004")
    );
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::new();
    for n in 1..=5 {
        server
            .post("/api/v1/campaigns", campaign(&format!("c{n}")))
            .await;
    }
    let mut path = "/api/v1/campaigns?limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let page = server.get(&path).await.json();
        for campaign in page["data"].as_array().unwrap() {
            names.push(campaign["name"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/campaigns?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["c1", "c2", "c3", "c4", "c5"]);
    let bound = limits::PAGE;
    assert_eq!(
        server
            .get(&format!("/api/v1/leads?limit={bound}"))
            .await
            .status,
        200
    );
    for (path, pointer) in [
        (format!("/api/v1/leads?limit={}", bound + 1), "?limit"),
        ("/api/v1/leads?limit=0".to_owned(), "?limit"),
        ("/api/v1/leads?limit=many".to_owned(), "?limit"),
        ("/api/v1/calls?campaign=7".to_owned(), "?campaign"),
        ("/api/v1/calls?since=yesterday".to_owned(), "?since"),
    ] {
        let reply = server.get(&path).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(
            reply.json()["errors"][0]["pointer"],
            pointer,
            "{}",
            reply.text
        );
    }
    let long = "x".repeat(limits::CURSOR_BYTES);
    assert_eq!(
        server
            .get(&format!("/api/v1/leads?cursor={long}"))
            .await
            .status,
        200
    );
    let reply = server.get(&format!("/api/v1/leads?cursor={long}x")).await;
    assert_eq!(reply.problem(), "DM2007");
}

#[tokio::test]
async fn do_not_call_from_entry_to_removal() {
    let server = Server::new();
    let add = json!({ "number": "+14155550134" });
    let added = server.post("/api/v1/do-not-call", add).await.json();
    assert_eq!(
        added,
        json!({ "state": "effective", "index": 1, "took_ms": 3 })
    );
    let scoped = json!({ "number": "14155550134", "scope": { "campaign": "camp_00000002" }, "wait": "committed" });
    assert_eq!(
        server.post("/api/v1/do-not-call", scoped).await.json()["state"],
        "committed"
    );
    for number in ["%2B14155550134", "14155550134"] {
        let path = format!("/api/v1/do-not-call/check?number={number}");
        let check = server.get(&path).await.json();
        assert_eq!(check["number"], "+1415*****34", "numbers are masked");
        assert_eq!(check["entries"].as_array().unwrap().len(), 2);
    }
    for bad in ["", "12", "+1415555013x", "0123456789"] {
        let reply = server
            .post("/api/v1/do-not-call", json!({ "number": bad }))
            .await;
        assert_eq!(reply.json()["errors"][0]["pointer"], "/number", "{bad}");
    }
    let silent = json!({ "number": "+14155550134", "reason": " " });
    let reply = server.post("/api/v1/do-not-call/remove", silent).await;
    assert_eq!(reply.json()["errors"][0]["pointer"], "/reason");
    let removal = json!({ "number": "+14155550134", "reason": "wrong number" });
    let removed = server
        .post("/api/v1/do-not-call/remove", removal.clone())
        .await;
    assert_eq!(removed.status, StatusCode::OK);
    assert!(
        server
            .memory
            .state()
            .audit
            .last()
            .unwrap()
            .1
            .contains("wrong number")
    );
    let again = server.post("/api/v1/do-not-call/remove", removal).await;
    assert_eq!(again.problem(), "DM2301");
    assert!(!again.text.contains("14155550134"), "{}", again.text);
    server.memory.quorum.store(false, Ordering::SeqCst);
    let refused = server
        .post("/api/v1/do-not-call", json!({ "number": "+14155550134" }))
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (503, "DM2401")
    );
    assert_eq!(refused.header("retry-after"), "2");
    assert!(refused.text.contains("2 of 3 members are unreachable"));
}

#[tokio::test]
async fn trunks_and_caller_ids() {
    let server = Server::new();
    let trunk = json!({
        "name": "carrier-a", "node": "mem_00000002", "address": "203.0.113.7:5060",
        "auth": { "username": "u", "password": "hunter2" }
    });
    let created = server.post("/api/v1/trunks", trunk).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert!(!created.text.contains("hunter2"), "secrets are write-only");
    let path = "/api/v1/trunks/trunk_00000001";
    let patched = server
        .json(
            Method::PATCH,
            path,
            json!({ "enabled": false, "channels": 60 }),
        )
        .await
        .json();
    assert_eq!(
        (&patched["enabled"], &patched["channels"]),
        (&json!(false), &json!(60))
    );
    assert_eq!(
        server.get(path).await.json()["auth"],
        json!({ "username": "u" })
    );
    let bad =
        json!({ "name": "b", "node": "mem_00000002", "address": "203.0.113.7", "register": true });
    let reply = server.post("/api/v1/trunks", bad).await.json();
    assert_eq!(reply["errors"][0]["pointer"], "/address");
    assert_eq!(reply["errors"][1]["pointer"], "/register");

    let ids = json!({ "caller_ids": [
        { "number": "+14155550199", "trunk": "trunk_00000001" },
        { "number": "+14155550198", "trunk": "trunk_00000001", "per_day": 9 },
    ] });
    let added = server.post("/api/v1/caller-ids", ids).await.json();
    assert_eq!(added, json!({ "added": 2, "updated": 0 }));
    let listed = server.get("/api/v1/caller-ids").await.json();
    assert_eq!(
        listed["data"][1]["number"], "+14155550199",
        "the operator's own numbers are whole"
    );
    let node = domain::MemberId(3).to_string();
    let path = format!("/api/v1/caller-ids/reputation?node={node}");
    assert_eq!(server.get(&path).await.json()["told"], json!([node]));
    let wrong = server.get("/api/v1/caller-ids/reputation?city=3").await;
    assert_eq!(wrong.status, 422);

    let path = "/api/v1/caller-ids/%2B14155550199";
    let rested = server
        .json(Method::PATCH, path, json!({ "resting": true }))
        .await;
    assert_eq!(rested.json()["resting"], true);
    assert_eq!(
        server.json(Method::DELETE, path, json!({})).await.status,
        204
    );
    assert_eq!(
        server.json(Method::DELETE, path, json!({})).await.problem(),
        "DM2301"
    );
    let reply = server
        .json(Method::DELETE, "/api/v1/trunks/trunk_00000001", json!({}))
        .await;
    assert_eq!(reply.status, 204);
}

#[tokio::test]
async fn the_mesh_its_people_and_their_tokens() {
    let server = Server::new();
    assert_eq!(
        server.get("/api/v1/status").await.json()["groups"][0]["name"],
        "directory"
    );
    let members = server.get("/api/v1/members").await.json();
    assert_eq!(members["data"][0]["role"], "node");
    let reply = server
        .json(Method::DELETE, "/api/v1/members/mem_00000002", json!({}))
        .await;
    assert_eq!(reply.status, 204);
    assert_eq!(
        server.get("/api/v1/members/mem_00000002").await.json()["removed"],
        true
    );

    let drained = server
        .post("/api/v1/members/mem_00000003/drain", json!({}))
        .await;
    assert_eq!(drained.json()["draining"], true);
    server
        .post("/api/v1/members/mem_00000003/undrain", json!({}))
        .await;
    assert!(server.memory.state().draining.is_empty());

    let region = server
        .post("/api/v1/regions", json!({ "name": "south-china" }))
        .await;
    assert_eq!(region.json()["id"], "reg_0001");
    let policy = "/api/v1/regions/reg_0001/policy";
    let reply = server
        .json(Method::PUT, policy, json!({ "legal_domain": "cn" }))
        .await;
    assert_eq!(reply.json()["legal_domain"], "cn");
    assert_eq!(server.get(policy).await.json()["legal_domain"], "cn");
    let unknown = server.get("/api/v1/regions/reg_0009/policy").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let voters = json!({ "voters": 5, "grace_seconds": 600, "stable_seconds": 30 });
    let reply = server
        .json(Method::PUT, "/api/v1/voters", voters.clone())
        .await;
    assert_eq!(reply.json(), voters);
    assert_eq!(server.get("/api/v1/voters").await.json(), voters);
    let even = json!({ "voters": 4, "grace_seconds": 600, "stable_seconds": 30 });
    let refused = server.json(Method::PUT, "/api/v1/voters", even).await;
    assert_eq!(refused.json()["errors"][0]["pointer"], "/voters");
    let rules = json!({ "rules": [
        { "when": "default", "region": "reg_0001" },
        { "when": { "prefix": "86755" }, "region": "reg_0001" },
    ] });
    assert_eq!(
        server
            .json(Method::PUT, "/api/v1/home-rules", rules.clone())
            .await
            .json(),
        rules
    );
    assert_eq!(server.get("/api/v1/home-rules").await.json(), rules);
    let plans = "/api/v1/home-rules/plans";
    let mut other = json!({ "rules": [{ "when": "default", "region": "reg_0001" }] });
    other["dry_run"] = json!(true);
    let counted = server.post(plans, other.clone()).await.json();
    assert_eq!(
        (&counted["id"], &counted["moves"]),
        (&json!(null), &json!([]))
    );
    assert_eq!(server.get(plans).await.json()["state"], "settled");
    other["dry_run"] = json!(false);
    assert_eq!(server.post(plans, other.clone()).await.json()["id"], 1);
    assert_eq!(server.get(plans).await.json()["state"], "planned");
    let drop = format!("{plans}/1");
    let dropped = server.json(Method::DELETE, &drop, json!({})).await;
    assert_eq!(dropped.status, StatusCode::NO_CONTENT);
    let apply = format!("{plans}/1/apply");
    let none = server.post(&apply, json!({})).await;
    assert_eq!(none.status, StatusCode::CONFLICT);
    server.post(plans, other).await;
    let moving = server.post(&apply, json!({})).await;
    assert_eq!(moving.status, StatusCode::ACCEPTED);
    assert_eq!(moving.json()["kind"], "home_move");
    let bad = json!({ "rules": [{ "when": { "prefix": "0755" }, "region": "reg_0001" }] });
    let refused = server.post(plans, bad).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);

    let join = json!({ "role": "node", "name": "shenzhen", "region": "reg_0001" });
    let created = server.post("/api/v1/join-tokens", join).await.json();
    assert!(created["token"].as_str().unwrap().starts_with("dmj1."));
    assert!(
        !server
            .get("/api/v1/join-tokens")
            .await
            .text
            .contains("dmj1.")
    );
    let without = json!({ "role": "node", "name": "shenzhen" });
    let reply = server.post("/api/v1/join-tokens", without).await.json();
    assert_eq!(reply["errors"][0]["pointer"], "/region");
    let path = "/api/v1/join-tokens/join_1";
    assert_eq!(
        server.json(Method::DELETE, path, json!({})).await.status,
        204
    );

    let agent = json!({ "login": "li.wei", "name": "Li Wei", "node": "mem_00000002" });
    let created = server.post("/api/v1/agents", agent).await;
    assert_eq!(created.header("cache-control"), "no-store");
    assert_eq!(created.json()["sip_password"], "sip-password");
    let shown = server.get("/api/v1/agents/agent_00000001").await;
    assert!(!shown.text.contains("password") && !shown.text.contains("token"));
    let path = "/api/v1/agents/agent_00000001";
    let patched = server
        .json(Method::PATCH, path, json!({ "enabled": false }))
        .await;
    assert_eq!(patched.json()["enabled"], false);
    let issued = server
        .post("/api/v1/agents/agent_00000001/token", json!({}))
        .await;
    assert_eq!(issued.json()["token"], "dmag_fresh");

    let token = json!({ "name": "wallboard", "role": "monitor" });
    let created = server.post("/api/v1/tokens", token).await.json();
    assert_eq!(
        (&created["role"], &created["token"]),
        (&json!("monitor"), &json!("dmat_token"))
    );
    assert!(!server.get("/api/v1/tokens").await.text.contains("dmat_"));
    assert_eq!(
        server
            .json(Method::DELETE, "/api/v1/tokens/tok_1", json!({}))
            .await
            .status,
        204
    );
}

#[tokio::test]
async fn calls_are_masked_and_exports_only_revealed_to_admins() {
    let server = Server::new();
    server.memory.state().records = (1..=300).map(memory::record).collect();
    let calls = server
        .get("/api/v1/calls?limit=1&disposition=busy")
        .await
        .json();
    assert_eq!(calls["data"][0]["number"], "+1415*****34");
    let id = calls["data"][0]["id"].as_str().unwrap();
    let call = server.get(&format!("/api/v1/calls/{id}")).await.json();
    assert_eq!(
        (&call["sip_status"], &call["q850"]),
        (&json!(486), &json!(17))
    );

    let csv = server.get("/api/v1/call-records/export").await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let lines: Vec<_> = csv.text.lines().collect();
    assert_eq!(lines.len(), 301);
    assert!(lines[0].starts_with("\u{feff}attempt,lead,campaign"));
    assert!(
        lines[1].contains("+1415*****34") && lines[1].contains("'=cmd()"),
        "{}",
        lines[1]
    );
    assert!(!csv.text.contains("14155550134"));

    let path = "/api/v1/call-records/export?format=ndjson&numbers=full";
    let full = server.get(path).await;
    let first: serde_json::Value = serde_json::from_str(full.text.lines().next().unwrap()).unwrap();
    assert_eq!(first["number"], "+14155550134");
    assert_eq!(first["note"], "=cmd()", "JSON needs no guard");
    assert_eq!(full.text.lines().count(), 300);
    assert_eq!(
        server.memory.state().audit.last().unwrap().1,
        "call_records revealed=true"
    );
    let request = request(Role::Supervisor, Method::GET, path)
        .body(Body::empty())
        .unwrap();
    assert_eq!(server.send(request).await.problem(), "DM2102");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = Server::new();
    assert_eq!(server.get("/api/v1/nothing").await.problem(), "DM2005");
    assert_eq!(server.get("/api/v2/status").await.problem(), "DM2005");
    let reply = server.json(Method::PUT, "/api/v1/status", json!({})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem().as_str()),
        (405, "DM2006")
    );
    let page = server.get("/api/v1/problems/DM2401").await;
    assert!(page.text.contains("no quorum"), "{}", page.text);
}

#[tokio::test]
async fn requests_carry_an_id_through() {
    let server = Server::new();
    let with = |id: &'static str| {
        let request = request(Role::Admin, Method::GET, "/api/v1/campaigns/camp_00000009")
            .header("x-request-id", id)
            .body(Body::empty())
            .unwrap();
        server.send(request)
    };
    let reply = with("trace-7").await;
    assert_eq!(reply.header("x-request-id"), "trace-7");
    assert_eq!(reply.json()["request_id"], "trace-7");
    let odd = with("has spaces").await;
    assert!(odd.header("x-request-id").starts_with("req_"));
    let anonymous = Request::get("/api/v1/status").body(Body::empty()).unwrap();
    let reply = server.send(anonymous).await;
    assert_eq!(reply.header("www-authenticate"), "Bearer");
    assert_eq!(reply.problem(), "DM2101");
}

#[tokio::test]
async fn a_do_not_call_base_from_upload_to_removal() {
    let server = Server::new();
    let id = "0a".repeat(32);
    let path = format!("/api/v1/do-not-call/bases/{id}");
    let put = |path: &str, kind: &str, role| {
        let request = request(role, Method::PUT, path)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from("the file"));
        server.send(request.unwrap())
    };
    let octets = "application/octet-stream";
    let refused = put(&path, octets, Role::Supervisor).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(
        put(&path, "text/csv", Role::Admin).await.problem(),
        "DM2003"
    );
    let reply = put("/api/v1/do-not-call/bases/0a", octets, Role::Admin).await;
    assert_eq!(reply.json()["errors"][0]["pointer"], "/id");
    let staged = put(&path, octets, Role::Admin).await.json();
    assert_eq!(
        (&staged["id"], &staged["file_bytes"]),
        (&json!(id), &json!(8))
    );
    let bases = server.get("/api/v1/do-not-call/bases").await.json();
    assert_eq!(bases["data"], json!([staged]));
    let uses = |body| server.post("/api/v1/do-not-call/bases/use", body);
    let silent = uses(json!({ "id": null, "reason": " " })).await;
    assert_eq!(silent.json()["errors"][0]["pointer"], "/reason");
    let compact = || server.post("/api/v1/do-not-call/bases/compact", json!({}));
    assert_eq!(compact().await.status, StatusCode::CONFLICT);
    let used = uses(json!({ "id": id })).await.json();
    assert_eq!(used["state"], "effective");
    let bases = server.get("/api/v1/do-not-call/bases").await.json();
    assert_eq!(bases["data"][0]["in_use"], true);
    let compacting = compact().await;
    assert_eq!(compacting.status, StatusCode::ACCEPTED);
    assert_eq!(compacting.json()["kind"], "do_not_call_compaction");
    let gone = request(Role::Admin, Method::DELETE, &path);
    let gone = server.send(gone.body(Body::empty()).unwrap()).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let bases = server.get("/api/v1/do-not-call/bases").await.json();
    assert_eq!(bases["data"], json!([]));
}
