//! The pages at `/`, from the crate `web`: the console on a coordinator, the agents' page on a node.

use crate::auth::random;
use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tower_http::compression::CompressionLayer;
use web::File;

pub use web::Page;

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Everything from this host only; styles that the component library writes at run time carry the
/// response's nonce; no frame may hold the page.
fn content_security_policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// What the browser may ask the person for: the agents' page a microphone, no page anything else.
const fn permissions_policy(page: Page) -> &'static str {
    match page {
        Page::Console => "microphone=(), camera=(), geolocation=(), display-capture=()",
        Page::Agent => "microphone=(self), camera=(), geolocation=(), display-capture=()",
    }
}

/// One page and the files it loads. Paths without a file give the page, which reads the path itself.
pub fn router(shown: Page) -> Router {
    let serve = move |method: Method, uri: Uri, headers: HeaderMap| async move {
        answer(shown, &method, &uri, &headers)
    };
    Router::new()
        .route("/", get(serve))
        .fallback(serve)
        .layer(CompressionLayer::new())
}

fn answer(shown: Page, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, "pages are only read\n").into_response();
    }
    let path = uri.path().trim_start_matches('/');
    match web::file(path) {
        Some(file) if !file.path.ends_with(".html") => asset(file, headers),
        Some(file) if file.path == shown.file() => document(shown, file),
        // A file that is not there, or another page's, must not come back as this page.
        Some(_) => (StatusCode::NOT_FOUND, "no such page\n").into_response(),
        None if path.contains('.') => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
        None => {
            web::file(shown.file()).map_or_else(|| not_built(shown), |file| document(shown, file))
        }
    }
}

fn asset(file: &'static File, headers: &HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH);
    let cache = if file.is_immutable() {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = if known.is_some_and(|tags| {
        tags.to_str()
            .is_ok_and(|tags| tags.split(',').any(|tag| tag.trim() == file.etag))
    }) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, file.content_type())], file.bytes).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::ETAG, HeaderValue::from_static(file.etag));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn document(page: Page, file: &'static File) -> Response {
    let nonce = STANDARD.encode(random::<16>());
    let html = String::from_utf8_lossy(file.bytes).replace(web::NONCE_PLACE, &nonce);
    secured(page, StatusCode::OK, &nonce, html)
}

fn secured(page: Page, status: StatusCode, nonce: &str, html: String) -> Response {
    let policy = content_security_policy(nonce);
    (
        status,
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
            (header::X_FRAME_OPTIONS, "DENY".to_owned()),
            (PERMISSIONS_POLICY, permissions_policy(page).to_owned()),
        ],
        html,
    )
        .into_response()
}

fn not_built(page: Page) -> Response {
    let nonce = STANDARD.encode(random::<16>());
    let command = web::BUILD_COMMAND;
    // A node has no documentation of its API to show.
    let without = match page {
        Page::Console => {
            "<p>The API works without them: <a href=\"/api/v1/docs\">its documentation</a>.</p>"
        }
        Page::Agent => "<p>The agents' API works without them.</p>",
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>dialmesh</title><style nonce=\"{nonce}\">body{{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}}code{{font-family:ui-monospace,monospace}}</style></head><body><h1>The pages are not in this binary</h1><p>It was built without them. Build them (needs Node.js and npm), then build the binary again:</p><pre><code>{command}\ncargo build</code></pre>{without}<h1 lang=\"zh-CN\">此程序未包含网页</h1><p lang=\"zh-CN\">请先运行上面的命令构建网页，再重新编译程序。</p></body></html>\n"
    );
    secured(page, StatusCode::SERVICE_UNAVAILABLE, &nonce, html)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    async fn get(page: Page, path: &str) -> (Response, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router(page).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (Response::from_parts(parts, Body::empty()), text)
    }

    const PAGES: [Page; 2] = [Page::Console, Page::Agent];

    fn header_of(response: &Response, name: HeaderName) -> String {
        response.headers()[name].to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn every_page_has_the_policy_and_a_nonce_of_its_own() {
        for page in PAGES {
            let (first, text) = get(page, "/").await;
            let (second, _) = get(page, "/cities").await;
            let policy = |r| header_of(r, header::CONTENT_SECURITY_POLICY);
            assert_ne!(policy(&first), policy(&second));
            assert!(!policy(&first).contains("unsafe"));
            assert!(!text.contains(web::NONCE_PLACE));
            assert_eq!(first.headers()[header::CACHE_CONTROL], "no-store");
            if !web::is_built(page) {
                assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
                assert!(text.contains("cargo xtask web"), "{text}");
            }
        }
    }

    #[tokio::test]
    async fn only_the_agents_page_may_ask_for_a_microphone() {
        let allowed = async |page| header_of(&get(page, "/").await.0, PERMISSIONS_POLICY);
        assert!(allowed(Page::Console).await.contains("microphone=(),"));
        let agent = allowed(Page::Agent).await;
        assert!(agent.contains("microphone=(self),") && agent.contains("camera=()"));
    }

    #[tokio::test]
    async fn a_page_is_served_where_it_belongs_only() {
        for (served, other) in [(Page::Console, Page::Agent), (Page::Agent, Page::Console)] {
            let (response, _) = get(served, &format!("/{}", other.file())).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
        }
    }

    #[test]
    fn without_pages_the_command_is_named() {
        for page in PAGES {
            assert_eq!(not_built(page).status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[tokio::test]
    async fn files_are_cached_by_name_and_missing_ones_are_missing() {
        let page = Page::Console;
        assert_eq!(
            get(page, "/assets/gone.js").await.0.status(),
            StatusCode::NOT_FOUND
        );
        if let Some(file) = web::files().iter().find(|f| f.is_immutable()) {
            let (response, _) = get(page, &format!("/{}", file.path)).await;
            assert_eq!(response.status(), StatusCode::OK);
            let cache = response.headers()[header::CACHE_CONTROL].to_str().unwrap();
            assert!(cache.contains("immutable"));
            let request = Request::get(format!("/{}", file.path))
                .header(header::IF_NONE_MATCH, file.etag)
                .body(Body::empty())
                .unwrap();
            let response = router(page).oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        }
    }
}
