//! `/live-calls` and the supervisors in them.

use super::AdminState;
use crate::{
    auth::Caller,
    dto::{LiveCalls, SupervisionRequest, Supervisor},
    extract::{Json, Path},
    problem::Problem,
};
use axum::{extract::State, http::StatusCode};
use domain::{AgentId, AttemptId};

/// Calls in which an agent and a person speak now, and the agent accounts with which they can be
/// supervised: on shift and paused.
#[utoipa::path(get, path = "/live-calls", tag = "calls", operation_id = "list_live_calls",
    security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "All of them.", body = LiveCalls)))]
pub(super) async fn list(
    State(state): State<AdminState>,
) -> Result<axum::Json<LiveCalls>, Problem> {
    Ok(axum::Json(state.backend.live_calls().await?))
}

/// Lets a supervisor into a live call, or changes how the supervisor is there. The audio leg is that of
/// an agent account of the call's node, on shift, paused, and serving the call's campaign. The person's
/// call is not touched. Who does is audited.
#[utoipa::path(put, path = "/live-calls/{id}/supervisors/{agent}", tag = "calls",
    operation_id = "supervise_call",
    params(("id" = String, Path, description = "Attempt id."),
        ("agent" = String, Path, description = "Id of the supervisor's agent account.")),
    request_body = SupervisionRequest, security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The supervisor is in the call.", body = Supervisor)))]
pub(super) async fn supervise(
    State(state): State<AdminState>,
    Path((call, agent)): Path<(AttemptId, AgentId)>,
    by: Caller,
    Json(request): Json<SupervisionRequest>,
) -> Result<axum::Json<Supervisor>, Problem> {
    let manner = request.manner;
    state
        .backend
        .supervise(&by, call, agent, Some(manner.into()))
        .await?;
    Ok(axum::Json(Supervisor { agent, manner }))
}

/// Lets a supervisor go out of a call.
#[utoipa::path(delete, path = "/live-calls/{id}/supervisors/{agent}", tag = "calls",
    operation_id = "leave_call",
    params(("id" = String, Path, description = "Attempt id."),
        ("agent" = String, Path, description = "Id of the supervisor's agent account.")),
    security(("bearer" = ["supervisor"])),
    responses((status = 204, description = "The supervisor is out of the call.")))]
pub(super) async fn leave(
    State(state): State<AdminState>,
    Path((call, agent)): Path<(AttemptId, AgentId)>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    state.backend.supervise(&by, call, agent, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
