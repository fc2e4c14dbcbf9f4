//! `/api/v1/openapi.json`, the documentation page made from it, and a page for each error code.
//! All of it works offline: no script, no address of another host.

use crate::problem::{Code, Problem};
use axum::{
    Router,
    extract::Path,
    http::header,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde_json::Value;
use std::fmt::Write;
use utoipa::openapi::OpenApi;

const CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
code,pre{font-family:ui-monospace,monospace;font-size:.92em}h2{margin-top:2.5rem;border-bottom:1px solid #8886}\
details{border:1px solid #8884;border-radius:6px;margin:.4rem 0;padding:.3rem .8rem}summary{cursor:pointer}\
.m{display:inline-block;min-width:4.2rem;font-weight:700}.r{float:right;opacity:.75}table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}\
pre{overflow:auto;background:#8881;padding:.6rem;border-radius:6px}";

pub(super) fn router(openapi: &OpenApi) -> Router {
    let document = serde_json::to_value(openapi).expect("an OpenAPI description is JSON");
    let mut json = serde_json::to_string_pretty(openapi).expect("an OpenAPI description is JSON");
    json.push('\n');
    let page = page(&document);
    Router::new()
        .route(
            "/api/v1/openapi.json",
            get(|| async move { ([(header::CONTENT_TYPE, "application/json")], json) }),
        )
        .route("/api/v1/docs", get(|| async move { html(page) }))
        .route("/api/v1/problems/{code}", get(problem))
}

fn html(page: String) -> Response {
    (
        [
            (header::CONTENT_SECURITY_POLICY, CSP),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        Html(page),
    )
        .into_response()
}

async fn problem(Path(code): Path<String>) -> Response {
    match Code::ALL.iter().find(|known| known.code() == code) {
        Some(known) => html(document_of(
            known.code(),
            &format!(
                "<h1>{}</h1><p>{}</p><p><strong>What to do.</strong> {}</p><p>HTTP status {}. <a href=\"/api/v1/docs#problems\">All codes</a></p>",
                known.code(),
                escaped(known.title()),
                escaped(known.remedy()),
                known.status().as_u16()
            ),
        )),
        None => Problem::new(Code::NotFound, "There is no such code.").into_response(),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

fn document_of(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escaped(title)
    )
}

/// Writing to a String cannot fail.
const INFALLIBLE: &str = "writing to a String cannot fail";

fn page(document: &Value) -> String {
    let mut body = String::new();
    let info = &document["info"];
    write!(
        body,
        "<h1>{}</h1><p>{}</p><p>The same for machines: <a href=\"/api/v1/openapi.json\">openapi.json</a></p>",
        escaped(info["title"].as_str().unwrap_or_default()),
        escaped(info["description"].as_str().unwrap_or_default())
    )
    .expect(INFALLIBLE);
    let mut tags: Vec<&str> = Vec::new();
    let operations: Vec<_> = document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(path, item)| {
            item.as_object()
                .into_iter()
                .flatten()
                .map(move |(method, operation)| (path, method, operation))
        })
        .collect();
    for (_, _, operation) in &operations {
        let tag = operation["tags"][0].as_str().unwrap_or("other");
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    for tag in tags {
        write!(body, "<h2>{}</h2>", escaped(tag)).expect(INFALLIBLE);
        for (path, method, operation) in &operations {
            if operation["tags"][0] == tag {
                describe(&mut body, path, method, operation);
            }
        }
    }
    schemas(&mut body, document);
    body.push_str("<h2 id=\"problems\">Problems</h2><table><tr><th>Code</th><th>Status</th><th>What</th><th>What to do</th></tr>");
    for code in Code::ALL {
        write!(
            body,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            code.code(),
            code.status().as_u16(),
            escaped(code.title()),
            escaped(code.remedy())
        )
        .expect(INFALLIBLE);
    }
    body.push_str("</table>");
    document_of("dialmesh admin API", &body)
}

fn describe(body: &mut String, path: &str, method: &str, operation: &Value) {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    write!(
        body,
        "<details><summary><span class=\"m\">{}</span><code>{}</code><span class=\"r\">{}</span></summary><p>{} {}</p>",
        method.to_uppercase(),
        escaped(path),
        text(&operation["security"][0]["bearer"][0]),
        text(&operation["summary"]),
        text(&operation["description"])
    )
    .expect(INFALLIBLE);
    if let Some(parameters) = operation["parameters"].as_array() {
        body.push_str("<table><tr><th>Parameter</th><th>In</th><th></th></tr>");
        for parameter in parameters {
            write!(
                body,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                text(&parameter["description"])
            )
            .expect(INFALLIBLE);
        }
        body.push_str("</table>");
    }
    let contents = [
        ("Body", &operation["requestBody"]["content"]),
        ("Answer", &operation["responses"]["200"]["content"]),
        ("Answer", &operation["responses"]["201"]["content"]),
        ("Answer", &operation["responses"]["202"]["content"]),
    ];
    for (what, content) in contents {
        for (kind, media) in content.as_object().into_iter().flatten() {
            write!(body, "<p>{what}: <code>{}</code> ", escaped(kind)).expect(INFALLIBLE);
            if let Some(name) = media["schema"]["$ref"]
                .as_str()
                .and_then(|r| r.rsplit('/').next())
            {
                write!(body, "<a href=\"#{0}\">{0}</a>", escaped(name)).expect(INFALLIBLE);
            }
            body.push_str("</p>");
        }
    }
    body.push_str("</details>");
}

fn schemas(body: &mut String, document: &Value) {
    body.push_str("<h2>Objects</h2>");
    let schemas = document["components"]["schemas"].as_object();
    for (name, schema) in schemas.into_iter().flatten() {
        let json = serde_json::to_string_pretty(schema).unwrap_or_default();
        write!(
            body,
            "<details id=\"{0}\"><summary><code>{0}</code> {1}</summary><pre>{2}</pre></details>",
            escaped(name),
            escaped(schema["description"].as_str().unwrap_or_default()),
            escaped(&json)
        )
        .expect(INFALLIBLE);
    }
}
