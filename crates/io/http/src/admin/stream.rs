//! `/events`: server-sent events.

use super::AdminState;
use crate::{
    auth::{Caller, bearer, hash_token},
    events::{Event, EventId, Subscription},
    extract::Query,
    limits::EVENT_KEEP_ALIVE,
    problem::{Code, Problem},
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event as SseEvent, KeepAlive},
    },
};
use futures::stream;
use serde::Deserialize;
use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How often a stream's token is looked at again: who loses it loses the stream.
const RECHECK: Duration = Duration::from_secs(10);

/// Which events.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Topics, with commas between: `status,operation`; all when not given.
    #[serde(default)]
    topics: Option<String>,
}

struct Reader {
    state: AdminState,
    token_hash: String,
    topics: Option<BTreeSet<String>>,
    subscription: Subscription,
    recheck: tokio::time::Interval,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            tokio::select! {
                event = self.subscription.next() => {
                    let event = event?;
                    if self.topics.as_ref().is_none_or(|t| t.contains(event.topic)) {
                        return Some(event);
                    }
                }
                _ = self.recheck.tick() => {
                    self.state.backend.authenticate(&self.token_hash).await?;
                }
            }
        }
    }
}

/// Events as they happen (text/event-stream). A client that comes back sends `Last-Event-ID` and
/// misses nothing; when what it missed is no longer kept, the answer is 410.
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "events",
    params(EventsQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen.")),
    security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream")))]
pub(super) async fn events(
    State(state): State<AdminState>,
    Query(query): Query<EventsQuery>,
    _by: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = match headers.get(LAST_EVENT_ID) {
        None => None,
        Some(id) => Some(
            id.to_str()
                .ok()
                .and_then(|id| id.parse::<EventId>().ok())
                .ok_or_else(|| {
                    Problem::new(Code::EventsGone, "Last-Event-ID is not one of ours.")
                })?,
        ),
    };
    let permit = state.streams.clone().try_acquire_owned().map_err(|_| {
        let limit = crate::limits::EVENT_STREAMS;
        Problem::new(Code::TooMany, format!("{limit} event streams are open."))
            .retry_after(Duration::from_secs(5))
    })?;
    let subscription = state
        .events
        .subscribe(last)
        .map_err(|gone| Problem::new(Code::EventsGone, gone.to_string()))?;
    let mut recheck = tokio::time::interval(RECHECK);
    recheck.reset();
    let reader = Reader {
        token_hash: hash_token(bearer(&headers).unwrap_or_default()),
        topics: query
            .topics
            .map(|topics| topics.split(',').map(|t| t.trim().to_owned()).collect()),
        state,
        subscription,
        recheck,
        _permit: permit,
    };
    let stream = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        let written = SseEvent::default()
            .id(event.id.to_string())
            .event(event.topic)
            .data(&event.data);
        Some((Ok::<_, Infallible>(written), reader))
    });
    let keep_alive = KeepAlive::new().interval(EVENT_KEEP_ALIVE);
    let mut response = Sse::new(stream).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies must not gather events.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
