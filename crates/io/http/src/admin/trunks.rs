//! `/trunks` and `/caller-ids`.

use super::{AdminState, do_not_call::number};
use crate::{
    auth::Caller,
    dto::{
        CallerId, CallerIdPatch, CallerIdReputations, CallerIdsAdded, CallerIdsRequest, Page,
        PageQuery, StandingsQuery, Trunk, TrunkPatch, TrunkRequest,
    },
    extract::{Json, Path, Query},
    problem::{Code, Problem},
};
use axum::{extract::State, http::StatusCode};
use domain::TrunkId;

/// Trunks, by id.
#[utoipa::path(get, path = "/trunks", tag = "trunks", operation_id = "list_trunks",
    params(PageQuery), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "A page.", body = Page<Trunk>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<Trunk>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.trunks(page).await?))
}

/// Makes a trunk.
#[utoipa::path(post, path = "/trunks", tag = "trunks", operation_id = "create_trunk",
    request_body = TrunkRequest, security(("bearer" = ["admin"])),
    responses((status = 201, description = "Made.", body = Trunk)))]
pub(super) async fn create(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<TrunkRequest>,
) -> Result<(StatusCode, axum::Json<Trunk>), Problem> {
    let trunk = state.backend.create_trunk(&by, request).await?;
    Ok((StatusCode::CREATED, axum::Json(trunk)))
}

/// One trunk.
#[utoipa::path(get, path = "/trunks/{id}", tag = "trunks", operation_id = "show_trunk",
    params(("id" = String, Path, description = "Trunk id.")), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The trunk.", body = Trunk)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Path(id): Path<TrunkId>,
) -> Result<axum::Json<Trunk>, Problem> {
    Ok(axum::Json(state.backend.trunk(id).await?))
}

/// Changes a trunk: only what is given.
#[utoipa::path(patch, path = "/trunks/{id}", tag = "trunks", operation_id = "patch_trunk",
    params(("id" = String, Path, description = "Trunk id.")),
    request_body = TrunkPatch, security(("bearer" = ["admin"])),
    responses((status = 200, description = "Changed.", body = Trunk)))]
pub(super) async fn patch(
    State(state): State<AdminState>,
    Path(id): Path<TrunkId>,
    by: Caller,
    Json(patch): Json<TrunkPatch>,
) -> Result<axum::Json<Trunk>, Problem> {
    Ok(axum::Json(state.backend.patch_trunk(&by, id, patch).await?))
}

/// Removes a trunk that no caller ID uses.
#[utoipa::path(delete, path = "/trunks/{id}", tag = "trunks", operation_id = "delete_trunk",
    params(("id" = String, Path, description = "Trunk id.")), security(("bearer" = ["admin"])),
    responses((status = 204, description = "Removed.")))]
pub(super) async fn delete(
    State(state): State<AdminState>,
    Path(id): Path<TrunkId>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    state.backend.delete_trunk(&by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Caller IDs, by number.
#[utoipa::path(get, path = "/caller-ids", tag = "caller-ids", operation_id = "list_caller_ids",
    params(PageQuery), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "A page.", body = Page<CallerId>)))]
pub(super) async fn caller_ids(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<CallerId>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.caller_ids(page).await?))
}

/// What persons think of the caller IDs: which are answered less than expected, seem labelled or rest, and
/// which places have too few. Asks every node.
#[utoipa::path(get, path = "/caller-ids/reputation", tag = "caller-ids", operation_id = "caller_id_reputations",
    params(StandingsQuery), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "What the nodes know.", body = CallerIdReputations)))]
pub(super) async fn reputations(
    State(state): State<AdminState>,
    Query(query): Query<StandingsQuery>,
) -> Result<axum::Json<CallerIdReputations>, Problem> {
    Ok(axum::Json(
        state.backend.caller_id_reputations(query).await?,
    ))
}

/// Adds caller IDs, all or none.
#[utoipa::path(post, path = "/caller-ids", tag = "caller-ids", operation_id = "add_caller_ids",
    request_body = CallerIdsRequest, security(("bearer" = ["admin"])),
    responses((status = 200, description = "What became of them.", body = CallerIdsAdded)))]
pub(super) async fn add_caller_ids(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<CallerIdsRequest>,
) -> Result<axum::Json<CallerIdsAdded>, Problem> {
    Ok(axum::Json(
        state.backend.add_caller_ids(&by, request).await?,
    ))
}

fn caller_id(text: &str) -> Result<domain::PhoneNumber, Problem> {
    number(text, "").map_err(|problem| Problem::new(Code::NotFound, problem.detail))
}

/// Changes a caller ID: only what is given.
#[utoipa::path(patch, path = "/caller-ids/{number}", tag = "caller-ids", operation_id = "patch_caller_id",
    params(("number" = String, Path, description = "E.164; %2B for the plus sign, or without it.")),
    request_body = CallerIdPatch, security(("bearer" = ["admin"])),
    responses((status = 200, description = "Changed.", body = CallerId)))]
pub(super) async fn patch_caller_id(
    State(state): State<AdminState>,
    Path(number): Path<String>,
    by: Caller,
    Json(patch): Json<CallerIdPatch>,
) -> Result<axum::Json<CallerId>, Problem> {
    let number = caller_id(&number)?;
    Ok(axum::Json(
        state.backend.patch_caller_id(&by, number, patch).await?,
    ))
}

/// Removes a caller ID.
#[utoipa::path(delete, path = "/caller-ids/{number}", tag = "caller-ids", operation_id = "delete_caller_id",
    params(("number" = String, Path, description = "E.164; %2B for the plus sign, or without it.")),
    security(("bearer" = ["admin"])),
    responses((status = 204, description = "Removed.")))]
pub(super) async fn delete_caller_id(
    State(state): State<AdminState>,
    Path(number): Path<String>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    state
        .backend
        .delete_caller_id(&by, caller_id(&number)?)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
