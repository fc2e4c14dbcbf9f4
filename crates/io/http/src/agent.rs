//! The agents' API, `/agent/v1`, served by each node over an [`AgentBackend`].
//!
//! `GET /agent/v1/socket` is a WebSocket of JSON frames. The agent's screen sends
//! `{"id": 7, "type": "ready"}` and gets `{"reply": 7, "ok": true}`, or
//! `{"reply": 7, "ok": false, "error": {"code": …, "message": …}}`; between them come notices
//! ([`call::AgentNotice`], tagged by `type`), first of all a snapshot. Scripts may send the same
//! commands by `POST /agent/v1/commands`.
//!
//! Two more commands are the socket's alone: `audio_offer` with the browser's `sdp`, answered with the
//! node's `sdp`, and `audio_close`.

mod socket;
mod ticket;

use crate::{
    auth::{bearer, hash_token},
    extract,
    limits::{AGENT_FRAME_BYTES, AGENT_READ_BYTES},
    problem::{Code, Problem},
};
use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{Query, Request, State, WebSocketUpgrade},
    http::HeaderMap,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use call::{AgentCommand, AgentNotice, CommandError};
use domain::AgentId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use ticket::Tickets;
use tokio::sync::{Semaphore, mpsc};

/// What the agents' API needs from the node behind it.
#[async_trait]
pub trait AgentBackend: Send + Sync + 'static {
    /// The agent whose token has this hash ([`crate::auth::hash_token`]); `None` when nobody knows
    /// it or the account is disabled. Must work from the node's own copy of the directory.
    async fn authenticate(&self, token_hash: &str) -> Option<AgentId>;

    /// Attaches a screen: notices from now on, a snapshot first. The channel should hold
    /// [`crate::limits::AGENT_QUEUE`]; a node that finds it full drops its sender, and the screen
    /// is closed. The receiver is dropped when the screen is gone.
    async fn attach(&self, agent: AgentId) -> Result<mpsc::Receiver<AgentNotice>, CommandError>;

    /// Does what a button asks. `Ok` when the engine has taken it.
    async fn command(&self, agent: AgentId, command: AgentCommand) -> Result<(), CommandError>;

    /// Takes a browser's offer of audio, in place of the agent's other one; answers with SDP.
    async fn audio_offer(&self, agent: AgentId, sdp: String) -> Result<String, CommandError>;

    /// Ends the agent's audio in a browser. Fine when there is none.
    async fn audio_close(&self, agent: AgentId) -> Result<(), CommandError>;
}

#[derive(Clone)]
struct AgentState {
    backend: Arc<dyn AgentBackend>,
    tickets: Arc<Tickets>,
    sockets: Arc<Semaphore>,
}

/// The agents' API.
pub fn router(backend: Arc<dyn AgentBackend>) -> Router {
    let state = AgentState {
        backend,
        tickets: Arc::default(),
        sockets: Arc::new(Semaphore::new(crate::limits::AGENT_SOCKETS)),
    };
    Router::new()
        .route("/agent/v1/socket", get(socket))
        .route("/agent/v1/commands", post(command))
        .route("/agent/v1/tickets", post(new_ticket))
        .method_not_allowed_fallback(extract::no_method)
        .route("/agent/{*rest}", axum::routing::any(extract::no_route))
        .layer(middleware::from_fn(extract::with_request_id))
        .with_state(state)
}

async fn by_token(state: &AgentState, headers: &HeaderMap) -> Result<AgentId, Problem> {
    let token = bearer(headers).ok_or_else(|| Problem::new(Code::NoToken, ""))?;
    state
        .backend
        .authenticate(&hash_token(token))
        .await
        .ok_or_else(|| Problem::new(Code::NoToken, "Nobody knows this token."))
}

#[derive(Deserialize)]
struct TicketQuery {
    ticket: Option<String>,
}

/// `GET /agent/v1/socket`, by bearer token or by ticket: browsers cannot set headers here.
async fn socket(
    State(state): State<AgentState>,
    Query(query): Query<TicketQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let agent = match query.ticket {
        Some(ticket) => state
            .tickets
            .redeem(&ticket, Instant::now())
            .ok_or_else(|| Problem::new(Code::Ticket, ""))?,
        None => by_token(&state, &headers).await?,
    };
    let upgrade =
        upgrade.map_err(|rejection| Problem::new(Code::MediaType, rejection.body_text()))?;
    let permit = state
        .sockets
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::new(Code::TooMany, ""))?;
    let backend = state.backend;
    Ok(upgrade
        .max_message_size(AGENT_FRAME_BYTES)
        .max_frame_size(AGENT_FRAME_BYTES)
        // The library zeroes the whole of it at every read; commands are short.
        .read_buffer_size(AGENT_READ_BYTES)
        .on_upgrade(move |socket| async move {
            socket::serve(socket, agent, backend).await;
            drop(permit);
        }))
}

/// `POST /agent/v1/tickets`: a ticket for one socket, good for 30 seconds.
async fn new_ticket(
    State(state): State<AgentState>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let agent = by_token(&state, &headers).await?;
    let ticket = state
        .tickets
        .issue(agent, Instant::now())
        .ok_or_else(|| Problem::new(Code::TooMany, ""))?;
    let seconds = crate::limits::TICKET_SPAN.as_secs();
    Ok(Json(
        json!({ "ticket": ticket, "expires_in_seconds": seconds }),
    ))
}

/// `POST /agent/v1/commands`: one command, `{"type": "ready"}`.
async fn command(
    State(state): State<AgentState>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let agent = by_token(&state, &headers).await?;
    let body = extract::body(request, AGENT_FRAME_BYTES).await?;
    let command: AgentCommand = extract::read_json(&body)?;
    Ok(match state.backend.command(agent, command).await {
        Ok(()) => Json(json!({ "ok": true })).into_response(),
        Err(error) => {
            // The agents' codes have their own table; the shape is the same.
            let mut problem = Problem::new(Code::Conflict, error.message);
            problem.title = "The command was refused.".to_owned();
            problem.kind = format!("/api/v1/problems/{}", error.code);
            problem.code = error.code;
            problem.into_response()
        }
    })
}
