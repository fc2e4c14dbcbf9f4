//! Errors as RFC 9457 `application/problem+json` with a stable code, JSON pointers to each bad
//! field and the request's id.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// `Content-Type` of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal, $remedy:literal;)+) => {
        /// Every error of the HTTP surface. The code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// `DM2001`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// What happened, in a line.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What to do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)+ }
            }

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    NotJson = "DM2001", BAD_REQUEST, "The body is not valid JSON.",
        "Send one JSON document with Content-Type: application/json.";
    /// A field of body, query or path is not as it must be.
    Invalid = "DM2002", UNPROCESSABLE_ENTITY, "A field is not as it must be.",
        "Correct the fields named under errors and send the request again.";
    /// The body has another media type.
    MediaType = "DM2003", UNSUPPORTED_MEDIA_TYPE, "The body's media type is not the expected one.",
        "Set Content-Type to application/json (application/merge-patch+json for PATCH, text/csv for imports).";
    /// The body is too large.
    TooLarge = "DM2004", PAYLOAD_TOO_LARGE, "The body is too large.",
        "Split it into several requests; the limit is in the detail.";
    /// No such path.
    NoRoute = "DM2005", NOT_FOUND, "No such path.",
        "See /api/v1/docs for the paths of this API.";
    /// The path exists, the method does not.
    Method = "DM2006", METHOD_NOT_ALLOWED, "The path does not know this method.",
        "See /api/v1/docs for the methods of this path.";
    /// The cursor was not made by this API.
    Cursor = "DM2007", BAD_REQUEST, "The cursor is not one that this list gave.",
        "Start the list again without a cursor.";
    /// The upload broke off.
    Interrupted = "DM2008", BAD_REQUEST, "The body ended before it was complete.",
        "Send the request again with the same Idempotency-Key.";

    /// No token, or one that nobody knows.
    NoToken = "DM2101", UNAUTHORIZED, "The request carries no valid token.",
        "Send Authorization: Bearer <token>; create one with: dialmesh token create --role monitor.";
    /// The token's role is too small.
    Forbidden = "DM2102", FORBIDDEN, "The token's role does not allow this.",
        "Use a token of the role named in the detail.";
    /// The ticket is unknown, used or too old.
    Ticket = "DM2103", UNAUTHORIZED, "The ticket is unknown, was used or has expired.",
        "Ask for a new one at /agent/v1/tickets and use it within 30 seconds.";

    /// No such object.
    NotFound = "DM2301", NOT_FOUND, "There is no such object.",
        "List the objects to see their ids.";
    /// The object's state or another object stands in the way.
    Conflict = "DM2302", CONFLICT, "The state of the object does not allow this.",
        "Read the object again; the detail says what stands in the way.";
    /// `If-Match` is missing.
    PreconditionRequired = "DM2303", PRECONDITION_REQUIRED, "The request needs If-Match.",
        "Read the object and send its ETag in If-Match, so that nobody's change is overwritten.";
    /// `If-Match` does not match.
    Changed = "DM2304", PRECONDITION_FAILED, "The object was changed in the meantime.",
        "Read it again, apply the change to what is there now and send its new ETag.";
    /// A bound of the mesh is reached.
    Limit = "DM2305", CONFLICT, "A limit of the mesh is reached.",
        "Remove what is no longer needed; the detail names the limit.";
    /// The `Idempotency-Key` was used for another request.
    KeyReused = "DM2306", UNPROCESSABLE_ENTITY, "The Idempotency-Key was used for another request.",
        "Use a new key for each request and the same key only for its repetition.";
    /// A request with this `Idempotency-Key` is under way.
    KeyInFlight = "DM2307", CONFLICT, "A request with this Idempotency-Key is still under way.",
        "Wait a moment and send the request again.";
    /// The events asked for are gone.
    EventsGone = "DM2308", GONE, "The events after Last-Event-ID are no longer kept.",
        "Connect again without Last-Event-ID and read the objects anew.";

    /// The range is behind the end.
    Range = "DM2309", RANGE_NOT_SATISFIABLE, "Nothing of that range is there.",
        "Ask for a range within the bytes that Content-Range names.";

    /// No quorum: nothing can be decided.
    NoQuorum = "DM2401", SERVICE_UNAVAILABLE, "The mesh has no quorum: nothing was changed.",
        "See which members are unreachable (dialmesh status), bring them back and send the request again.";
    /// Not now.
    Unavailable = "DM2402", SERVICE_UNAVAILABLE, "This cannot be answered now.",
        "Send the request again after the time in Retry-After.";
    /// Too many at a time.
    TooMany = "DM2403", TOO_MANY_REQUESTS, "Too many of these at a time.",
        "Close some and try again after the time in Retry-After.";
    /// Sent to the mesh, not confirmed in time.
    Unconfirmed = "DM2404", SERVICE_UNAVAILABLE, "The mesh did not confirm this in time: it may hold or not.",
        "Send the same request again, with the same Idempotency-Key if it had one, until it is answered; count an opt-out as not effective until then.";

    /// Our fault.
    Internal = "DM2901", INTERNAL_SERVER_ERROR, "The server failed.",
        "Look for the request id in the server's log and report it.";
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl FieldError {
    /// What is wrong at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }
}

/// An error (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the code is explained.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, in a line; the same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What to do.
    pub remedy: String,
    /// The stable code (`DM2002`); `dialmesh explain DM2002` prints its page.
    pub code: String,
    /// The request's id, as in the header `X-Request-Id` and the server's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Each bad field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of `code`; `detail` says what happened this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/api/v1/problems/{}", code.code()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            remedy: code.remedy().to_owned(),
            code: code.code().to_owned(),
            request_id: String::new(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Bad fields.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.pointer, one.message),
            many => format!("{} fields are not as they must be.", many.len()),
        };
        Self {
            errors,
            ..Self::new(Code::Invalid, detail)
        }
    }

    /// One bad field.
    pub fn field(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(pointer, message)])
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.title)?;
        if !self.detail.is_empty() {
            write!(f, " {}", self.detail)?;
        }
        for error in self.errors.iter().filter(|_| self.errors.len() > 1) {
            write!(f, "\n  {}: {}", error.pointer, error.message)?;
        }
        write!(f, "\n{}", self.remedy)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry = self
            .retry_after
            .map(|after| HeaderValue::from(after.as_secs().max(1)));
        let body = serde_json::to_vec(&self).expect("a problem has only texts and numbers");
        let mut response = (
            status,
            [
                (header::CONTENT_TYPE, CONTENT_TYPE),
                (header::CACHE_CONTROL, "no-store"),
            ],
            body,
        )
            .into_response();
        if let Some(retry) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, retry);
        }
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For the middleware that adds the request's id.
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a backend refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// There is no such object.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `campaign`.
        what: &'static str,
        /// Its id as it was asked for. Never a whole phone number.
        id: String,
    },
    /// Fields that only the backend can judge (an unknown region, a name that is taken).
    #[error("{} fields are not as they must be", .0.len())]
    Invalid(Vec<FieldError>),
    /// State or another object stands in the way.
    #[error("{0}")]
    Conflict(String),
    /// The object has another version by now.
    #[error("the version is now {current}")]
    Changed {
        /// The version now.
        current: u64,
    },
    /// A bound is reached.
    #[error("{what}: {limit} at most")]
    Limit {
        /// What of.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// No quorum: nothing was changed.
    #[error("no quorum: {0}")]
    NoQuorum(String),
    /// It may have been changed or not; nobody knows yet.
    #[error("{0}")]
    Unconfirmed(String),
    /// Not now.
    #[error("{detail}")]
    Unavailable {
        /// Why.
        detail: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The upload broke off or grew too large.
    #[error("{0}")]
    Body(BodyError),
    /// Our fault; the text goes to the log, not to the client.
    #[error("internal: {0}")]
    Internal(String),
}

/// Why an upload ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More than the limit.
    #[error("the upload is larger than {0} bytes")]
    TooLarge(u64),
    /// The connection broke.
    #[error("the upload broke off")]
    Interrupted,
}

impl From<BodyError> for BackendError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        let text = error.to_string();
        match error {
            BackendError::NotFound { .. } => Self::new(Code::NotFound, text),
            BackendError::Invalid(errors) => Self::fields(errors),
            BackendError::Conflict(_) => Self::new(Code::Conflict, text),
            BackendError::Changed { .. } => Self::new(Code::Changed, text),
            BackendError::Limit { .. } => Self::new(Code::Limit, text),
            BackendError::NoQuorum(detail) => {
                Self::new(Code::NoQuorum, detail).retry_after(Duration::from_secs(2))
            }
            BackendError::Unconfirmed(detail) => {
                Self::new(Code::Unconfirmed, detail).retry_after(Duration::from_secs(2))
            }
            BackendError::Unavailable { retry_after, .. } => {
                Self::new(Code::Unavailable, text).retry_after(retry_after)
            }
            BackendError::Body(BodyError::TooLarge(_)) => Self::new(Code::TooLarge, text),
            BackendError::Body(BodyError::Interrupted) => Self::new(Code::Interrupted, text),
            BackendError::Internal(why) => {
                tracing::error!(error = %why, "a request failed");
                Self::new(Code::Internal, "")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|c| c.code()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.code().starts_with("DM2") && code.code().len() == 6);
            assert!(
                code.title().ends_with('.') && code.remedy().ends_with('.'),
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_problem_survives_the_wire() {
        let problem = Problem::field("/name", "is empty; expected 1 to 128 bytes");
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
        assert!(problem.to_string().contains("/name: is empty"));
    }

    #[test]
    fn what_went_wrong_inside_stays_inside() {
        let problem = Problem::from(BackendError::Internal("disk /dev/sda3".to_owned()));
        assert!(!serde_json::to_string(&problem).unwrap().contains("sda3"));
        assert_eq!(problem.status, 500);
    }
}
