//! Reading requests so that every refusal is a problem that names the field, and the request's id.

use crate::{
    dto::Validate,
    limits::BODY_BYTES,
    problem::{Code, FieldError, Problem},
};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use std::{fmt::Write, time::Instant};

/// The header that carries the request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's id, once the middleware has set it.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

fn acceptable(id: &HeaderValue) -> bool {
    (1..=64).contains(&id.len()) && id.as_bytes().iter().all(|b| b.is_ascii_graphic())
}

/// Gives each request an id (the client's own where it is short and printable), writes it into
/// problems and the response, and logs the request without its query, which may hold a number.
pub async fn with_request_id(mut request: Request, next: Next) -> Response {
    let id = match request.headers().get(REQUEST_ID) {
        Some(id) if acceptable(id) => id.clone(),
        _ => {
            let mut text = String::from("req_");
            for byte in crate::auth::random::<12>() {
                write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            }
            HeaderValue::from_str(&text).expect("hexadecimal digits are a header value")
        }
    };
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let method = request.method().clone();
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(String::new, |path| path.as_str().to_owned());
    let began = Instant::now();
    let mut response = next.run(request).await;
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = id.to_str().unwrap_or_default().to_owned();
        let body = serde_json::to_vec(&problem).expect("a problem has only texts and numbers");
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(body);
    }
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, took = ?began.elapsed(), id = ?id, "request");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A JSON body whose bad fields are named by JSON pointer.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Validate> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = json_body(request, "application/json").await?;
        let value: T = read_json(&bytes)?;
        match value.validate() {
            errors if errors.is_empty() => Ok(Self(value)),
            errors => Err(Problem::fields(errors)),
        }
    }
}

/// A JSON merge patch (RFC 7396), not yet applied.
#[derive(Debug)]
pub struct MergePatch(pub serde_json::Value);

impl<S: Send + Sync> FromRequest<S> for MergePatch {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = json_body(request, "application/merge-patch+json").await?;
        let patch: serde_json::Value = read_json(&bytes)?;
        if patch.is_object() {
            Ok(Self(patch))
        } else {
            Err(Problem::field(
                "",
                "is not an object; expected the fields to change",
            ))
        }
    }
}

impl MergePatch {
    /// The object with the patch applied.
    ///
    /// # Errors
    /// The result is not of the shape `T`, or a field is out of bounds.
    pub fn apply<T: serde::Serialize + DeserializeOwned + Validate>(
        &self,
        object: &T,
    ) -> Result<T, Problem> {
        let mut value = serde_json::to_value(object)
            .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        merge(&mut value, &self.0);
        let bytes = value.to_string();
        let patched: T = read_json(bytes.as_bytes())?;
        match patched.validate() {
            errors if errors.is_empty() => Ok(patched),
            errors => Err(Problem::fields(errors)),
        }
    }
}

/// RFC 7396, section 2.
fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = serde_json::Value::Object(serde_json::Map::new());
    }
    if let Some(object) = target.as_object_mut() {
        for (name, value) in fields {
            if value.is_null() {
                object.remove(name);
            } else {
                merge(object.entry(name).or_insert(serde_json::Value::Null), value);
            }
        }
    }
}

/// The body, when its type is `application/json` or `also`.
async fn json_body(request: Request, also: &str) -> Result<Vec<u8>, Problem> {
    let kind = media_type(request.headers());
    if kind != "application/json" && kind != also {
        let shown = if kind.is_empty() { "none" } else { &kind };
        return Err(Problem::new(
            Code::MediaType,
            format!("It is {shown}; expected {also}."),
        ));
    }
    body(request, BODY_BYTES).await
}

/// The body, when it is not larger than `limit` bytes.
pub(crate) async fn body(request: Request, limit: usize) -> Result<Vec<u8>, Problem> {
    use futures::StreamExt;
    let mut stream = request.into_body().into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::Interrupted, ""))?;
        if bytes.len() + chunk.len() > limit {
            let detail = format!("At most {limit} bytes.");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The media type without parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase())
        .unwrap_or_default()
}

/// Reads JSON; a value of the wrong shape is named by JSON pointer.
///
/// # Errors
/// Not JSON, or not of the shape `T`.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        let place = format!(" at line {} column {}", inner.line(), inner.column());
        let text = inner.to_string();
        if inner.is_data() {
            let message = text.strip_suffix(&place).unwrap_or(&text);
            Problem::fields(vec![FieldError::new(pointer, message)])
        } else {
            Problem::new(Code::NotJson, text)
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Problem::new(Code::NotJson, error.to_string()))?;
    Ok(value)
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        text.push('/');
        text.push_str(&part);
    }
    text
}

/// The query, whose bad parameters are named.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let reason = text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, rest)| rest);
                match reason.split_once(": ") {
                    Some((name, why)) if !name.contains(' ') => {
                        Problem::field(format!("?{name}"), why)
                    }
                    _ => Problem::field("?", reason),
                }
            })
    }
}

/// The path's parameters. One that cannot be an id names nothing: not found.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let reason = text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, rest)| rest);
                Problem::new(Code::NotFound, reason)
            })
    }
}

/// The version in `If-Match`, which such a route demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub u64);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let value = parts
            .headers
            .get(header::IF_MATCH)
            .ok_or_else(|| Problem::new(Code::PreconditionRequired, ""))?;
        value
            .to_str()
            .ok()
            .and_then(|text| {
                text.trim()
                    .strip_prefix('"')?
                    .strip_suffix('"')?
                    .parse()
                    .ok()
            })
            .map(Self)
            .ok_or_else(|| Problem::new(Code::Changed, "If-Match is not an ETag of this API."))
    }
}

/// The `ETag` of a version.
pub fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes are a header value")
}

/// A path that nothing serves.
pub(crate) async fn no_route() -> Response {
    Problem::new(Code::NoRoute, "").into_response()
}

/// A method that the path does not know.
pub(crate) async fn no_method() -> Response {
    Problem::new(Code::Method, "").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_patch_as_in_rfc_7396() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ] {
            let mut value = target;
            merge(&mut value, &patch);
            assert_eq!(value, result);
        }
    }

    #[test]
    fn wrong_shapes_are_named_by_pointer() {
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[expect(dead_code, reason = "only its shape matters")]
            items: Vec<Inner>,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Inner {
            #[expect(dead_code, reason = "only its shape matters")]
            count: u8,
        }
        let problem = read_json::<Outer>(br#"{"items":[{"count":1},{"count":"x"}]}"#).unwrap_err();
        assert_eq!(problem.errors[0].pointer, "/items/1/count");
        assert!(
            problem.errors[0].message.contains("expected u8"),
            "{problem}"
        );
        assert_eq!(read_json::<Outer>(b"{").unwrap_err().code, "DM2001");
        assert_eq!(
            read_json::<Outer>(b"{\"items\":[]} x").unwrap_err().code,
            "DM2001"
        );
    }
}
