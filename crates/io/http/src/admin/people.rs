//! `/agents` and `/tokens`.

use super::AdminState;
use crate::{
    auth::Caller,
    dto::{
        Agent, AgentCreated, AgentPatch, AgentRequest, ApiToken, ApiTokenCreated, ApiTokenRequest,
        Page, PageQuery, TokenIssued,
    },
    extract::{Json, Path, Query},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use domain::AgentId;

/// Secrets must not be kept on the way.
const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

type Created<T> = (StatusCode, [(HeaderName, &'static str); 1], axum::Json<T>);

/// Agents, by id.
#[utoipa::path(get, path = "/agents", tag = "agents", operation_id = "list_agents",
    params(PageQuery), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "A page.", body = Page<Agent>)))]
pub(super) async fn agents(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<Agent>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.agents(page).await?))
}

/// Makes an agent; the SIP password and the token are shown this once.
#[utoipa::path(post, path = "/agents", tag = "agents", operation_id = "create_agent",
    request_body = AgentRequest, security(("bearer" = ["admin"])),
    responses((status = 201, description = "Made.", body = AgentCreated)))]
pub(super) async fn create_agent(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<AgentRequest>,
) -> Result<Created<AgentCreated>, Problem> {
    let created = state.backend.create_agent(&by, request).await?;
    Ok((StatusCode::CREATED, NO_STORE, axum::Json(created)))
}

/// One agent.
#[utoipa::path(get, path = "/agents/{id}", tag = "agents", operation_id = "show_agent",
    params(("id" = String, Path, description = "Agent id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The agent.", body = Agent)))]
pub(super) async fn agent(
    State(state): State<AdminState>,
    Path(id): Path<AgentId>,
) -> Result<axum::Json<Agent>, Problem> {
    Ok(axum::Json(state.backend.agent(id).await?))
}

/// Changes an agent: only what is given.
#[utoipa::path(patch, path = "/agents/{id}", tag = "agents", operation_id = "patch_agent",
    params(("id" = String, Path, description = "Agent id.")),
    request_body = AgentPatch, security(("bearer" = ["admin"])),
    responses((status = 200, description = "Changed.", body = Agent)))]
pub(super) async fn patch_agent(
    State(state): State<AdminState>,
    Path(id): Path<AgentId>,
    by: Caller,
    Json(patch): Json<AgentPatch>,
) -> Result<axum::Json<Agent>, Problem> {
    Ok(axum::Json(state.backend.patch_agent(&by, id, patch).await?))
}

/// Makes a fresh token for an agent; the one before is void.
#[utoipa::path(post, path = "/agents/{id}/token", tag = "agents", operation_id = "rotate_agent_token",
    params(("id" = String, Path, description = "Agent id.")), security(("bearer" = ["admin"])),
    responses((status = 201, description = "Made.", body = TokenIssued)))]
pub(super) async fn rotate_agent_token(
    State(state): State<AdminState>,
    Path(id): Path<AgentId>,
    by: Caller,
) -> Result<Created<TokenIssued>, Problem> {
    let issued = state.backend.rotate_agent_token(&by, id).await?;
    Ok((StatusCode::CREATED, NO_STORE, axum::Json(issued)))
}

/// Tokens of this API that have not ended.
#[utoipa::path(get, path = "/tokens", tag = "tokens", operation_id = "list_tokens",
    params(PageQuery), security(("bearer" = ["admin"])),
    responses((status = 200, description = "A page.", body = Page<ApiToken>)))]
pub(super) async fn tokens(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<ApiToken>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.tokens(page).await?))
}

/// Makes a token of this API; it is shown this once.
#[utoipa::path(post, path = "/tokens", tag = "tokens", operation_id = "create_token",
    request_body = ApiTokenRequest, security(("bearer" = ["admin"])),
    responses((status = 201, description = "Made.", body = ApiTokenCreated)))]
pub(super) async fn create_token(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<ApiTokenRequest>,
) -> Result<Created<ApiTokenCreated>, Problem> {
    let created = state.backend.create_token(&by, request).await?;
    Ok((StatusCode::CREATED, NO_STORE, axum::Json(created)))
}

/// Ends a token of this API.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", operation_id = "revoke_token",
    params(("id" = String, Path, description = "Token id.")), security(("bearer" = ["admin"])),
    responses((status = 204, description = "Ended.")))]
pub(super) async fn revoke_token(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    state.backend.revoke_token(&by, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
