//! Bearer tokens, roles, and which role a route needs.
//!
//! A route's role is written once, in its OpenAPI description (`security(("bearer" = ["admin"]))`);
//! the guard reads it from there. A route without one is refused to everybody.

use crate::{
    admin::AdminState,
    problem::{Code, Problem},
};
use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fmt, str::FromStr};
use utoipa::ToSchema;

/// What a token may do. Each role may do everything the smaller ones may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees state and figures; no personal data beyond masked numbers.
    Monitor,
    /// Runs campaigns: start and pause, imports, do-not-call, callers' records.
    Supervisor,
    /// Everything: trunks, agents, tokens, members, full numbers.
    Admin,
}

impl Role {
    /// Every role, smallest first.
    pub const ALL: [Self; 3] = [Self::Monitor, Self::Supervisor, Self::Admin];

    /// Its name in API and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Supervisor => "supervisor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("{text:?} is not a role; expected monitor, supervisor or admin"))
    }
}

/// Whom a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's id, as in `GET /tokens`.
    pub token: String,
    /// The name it was given.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Who asks, for the audit trail. Given to every backend method that changes or reveals something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whom the token stands for.
    pub principal: Principal,
    /// The request's id.
    pub request_id: String,
}

/// BLAKE3 of a token in hexadecimal: the only form in which tokens are stored and looked up.
pub fn hash_token(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

/// A token from 256 random bits: `prefix`, then base64url. `dmat_` for API tokens, `dmag_` for
/// agents' tokens, `dmj1.` is the mesh's own.
pub fn token_text(prefix: &str, random: &[u8; 32]) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random))
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes on every supported system");
    bytes
}

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= 256)
        .then_some(token)
}

/// Which role each route needs.
#[derive(Clone, Debug, Default)]
pub struct Routes(HashMap<(Method, String), Role>);

impl Routes {
    /// Reads the roles from the OpenAPI description.
    pub fn from_openapi(openapi: &utoipa::openapi::OpenApi) -> Self {
        let document = serde_json::to_value(openapi).expect("an OpenAPI description is JSON");
        let mut routes = HashMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let role = operation["security"][0]["bearer"][0].as_str();
                if let (Some(Ok(role)), Ok(method)) = (
                    role.map(Role::from_str),
                    Method::from_bytes(method.to_uppercase().as_bytes()),
                ) {
                    routes.insert((method, path.clone()), role);
                }
            }
        }
        Self(routes)
    }

    /// The smallest role that may use a route.
    pub fn role(&self, method: &Method, path: &str) -> Option<Role> {
        self.0.get(&(method.clone(), path.to_owned())).copied()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(Code::NoToken, ""))
    }
}

/// Lets a request through when its token's role suffices for the route.
pub(crate) async fn guard(
    State(state): State<AdminState>,
    mut request: Request,
    next: Next,
) -> Response {
    // Read before the first wait: a request's body may not be shared between threads.
    let asked = Asked::of(&request);
    match admit(&state, asked).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// What the guard looks at.
struct Asked {
    token_hash: Option<String>,
    method: Method,
    path: String,
    request_id: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let path = request.extensions().get::<MatchedPath>();
        Self {
            token_hash: bearer(request.headers()).map(hash_token),
            // HEAD is answered by GET's handler.
            method: match request.method() {
                &Method::HEAD => Method::GET,
                method => method.clone(),
            },
            path: path.map_or_else(String::new, |path| path.as_str().to_owned()),
            request_id: crate::extract::request_id(request.headers()),
        }
    }
}

async fn admit(state: &AdminState, asked: Asked) -> Result<Caller, Problem> {
    let hash = asked
        .token_hash
        .ok_or_else(|| Problem::new(Code::NoToken, ""))?;
    let principal = state
        .backend
        .authenticate(&hash)
        .await
        .ok_or_else(|| Problem::new(Code::NoToken, "Nobody knows this token."))?;
    match state.routes.role(&asked.method, &asked.path) {
        Some(needed) if principal.role < needed => {
            let role = principal.role;
            let detail = format!("This needs the role {needed}; the token has {role}.");
            Err(Problem::new(Code::Forbidden, detail))
        }
        Some(_) => Ok(Caller {
            principal,
            request_id: asked.request_id,
        }),
        // The path does not know the method, or a route names no role: nobody may.
        None => Err(Problem::new(Code::Method, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn bearer_reads_the_one_scheme() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(read("bearer abc"), Some("abc".to_owned()));
        assert_eq!(read("Basic abc"), None);
        assert_eq!(read("Bearer "), None);
        assert_eq!(read(&format!("Bearer {}", "a".repeat(257))), None);
    }

    #[test]
    fn roles_are_ordered_and_named() {
        assert!(Role::Monitor < Role::Supervisor && Role::Supervisor < Role::Admin);
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!(
            "root"
                .parse::<Role>()
                .unwrap_err()
                .contains("expected monitor")
        );
    }

    #[test]
    fn tokens_are_long_and_only_their_hash_is_kept() {
        let token = token_text("dmat_", &random());
        assert_eq!(token.len(), 5 + 43);
        assert_eq!(hash_token(&token).len(), 64);
    }
}
