//! `/status`, `/members`, `/regions`, `/home-rules`, `/join-tokens`.

use super::AdminState;
use crate::{
    auth::Caller,
    dto::{
        AuditHead, HomeRules, JoinToken, JoinTokenCreated, JoinTokenRequest, Member, Page,
        PageQuery, Region, RegionRequest, Status,
    },
    extract::{Json, Path, Query},
    problem::Problem,
};
use axum::{extract::State, http::StatusCode};
use domain::MemberId;

/// The live state of the mesh.
#[utoipa::path(get, path = "/status", tag = "mesh", operation_id = "status",
    security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The state now.", body = Status)))]
pub(super) async fn status(State(state): State<AdminState>) -> Result<axum::Json<Status>, Problem> {
    Ok(axum::Json(state.backend.status().await?))
}

/// Members, by id; removed ones too.
#[utoipa::path(get, path = "/members", tag = "mesh", operation_id = "list_members",
    params(PageQuery), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "A page.", body = Page<Member>)))]
pub(super) async fn members(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<Member>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.members(page).await?))
}

/// One member.
#[utoipa::path(get, path = "/members/{id}", tag = "mesh", operation_id = "show_member",
    params(("id" = String, Path, description = "Member id.")), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The member.", body = Member)))]
pub(super) async fn member(
    State(state): State<AdminState>,
    Path(id): Path<MemberId>,
) -> Result<axum::Json<Member>, Problem> {
    Ok(axum::Json(state.backend.member(id).await?))
}

/// Takes a member out of the mesh for good.
#[utoipa::path(delete, path = "/members/{id}", tag = "mesh", operation_id = "remove_member",
    params(("id" = String, Path, description = "Member id.")), security(("bearer" = ["admin"])),
    responses((status = 204, description = "Removed.")))]
pub(super) async fn remove_member(
    State(state): State<AdminState>,
    Path(id): Path<MemberId>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    state.backend.remove_member(&by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Regions, by id.
#[utoipa::path(get, path = "/regions", tag = "mesh", operation_id = "list_regions",
    params(PageQuery), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "A page.", body = Page<Region>)))]
pub(super) async fn regions(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<Region>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.regions(page).await?))
}

/// Heads of the nodes' audit chains: what `dialmesh audit verify` compares files with.
#[utoipa::path(get, path = "/audit/heads", tag = "mesh", operation_id = "list_audit_heads",
    params(PageQuery), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "A page.", body = Page<AuditHead>)))]
pub(super) async fn audit_heads(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<AuditHead>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.audit_heads(page).await?))
}

/// Makes a region.
#[utoipa::path(post, path = "/regions", tag = "mesh", operation_id = "create_region",
    request_body = RegionRequest, security(("bearer" = ["admin"])),
    responses((status = 201, description = "Made.", body = Region)))]
pub(super) async fn create_region(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<RegionRequest>,
) -> Result<(StatusCode, axum::Json<Region>), Problem> {
    let region = state.backend.create_region(&by, request).await?;
    Ok((StatusCode::CREATED, axum::Json(region)))
}

/// The map from numbers to home regions.
#[utoipa::path(get, path = "/home-rules", tag = "mesh", operation_id = "home_rules",
    security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The map.", body = HomeRules)))]
pub(super) async fn home_rules(
    State(state): State<AdminState>,
) -> Result<axum::Json<HomeRules>, Problem> {
    Ok(axum::Json(state.backend.home_rules().await?))
}

/// Replaces the map from numbers to home regions, as long as no list was imported; then plan a move.
#[utoipa::path(put, path = "/home-rules", tag = "mesh", operation_id = "set_home_rules",
    request_body = HomeRules, security(("bearer" = ["admin"])),
    responses((status = 200, description = "The map.", body = HomeRules)))]
pub(super) async fn set_home_rules(
    State(state): State<AdminState>,
    by: Caller,
    Json(rules): Json<HomeRules>,
) -> Result<axum::Json<HomeRules>, Problem> {
    Ok(axum::Json(state.backend.set_home_rules(&by, rules).await?))
}

/// Join tokens that have not ended.
#[utoipa::path(get, path = "/join-tokens", tag = "mesh", operation_id = "list_join_tokens",
    params(PageQuery), security(("bearer" = ["admin"])),
    responses((status = 200, description = "A page.", body = Page<JoinToken>)))]
pub(super) async fn join_tokens(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<JoinToken>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.join_tokens(page).await?))
}

/// Makes a token with which one member may join; it is shown this once.
#[utoipa::path(post, path = "/join-tokens", tag = "mesh", operation_id = "create_join_token",
    request_body = JoinTokenRequest, security(("bearer" = ["admin"])),
    responses((status = 201, description = "Made.", body = JoinTokenCreated)))]
pub(super) async fn create_join_token(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<JoinTokenRequest>,
) -> Result<(StatusCode, axum::Json<JoinTokenCreated>), Problem> {
    let created = state.backend.create_join_token(&by, request).await?;
    Ok((StatusCode::CREATED, axum::Json(created)))
}

/// Ends a join token.
#[utoipa::path(delete, path = "/join-tokens/{id}", tag = "mesh", operation_id = "revoke_join_token",
    params(("id" = String, Path, description = "Token id.")), security(("bearer" = ["admin"])),
    responses((status = 204, description = "Ended.")))]
pub(super) async fn revoke_join_token(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    state.backend.revoke_join_token(&by, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
