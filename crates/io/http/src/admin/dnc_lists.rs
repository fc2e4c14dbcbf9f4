//! `/do-not-call/lists`.

use super::{AdminState, leads};
use crate::{
    auth::Caller,
    dto::{DncList, DncListDecision, DncListPullRequest, DncListRequest, Operation, Page},
    extract::{Json, Path},
    problem::Problem,
};
use axum::{extract::State, http::StatusCode, response::Response};

/// Do-not-call lists that the coordinator pulls, by name, each with its last pull.
#[utoipa::path(get, path = "/do-not-call/lists", tag = "do-not-call", operation_id = "list_do_not_call_lists",
    security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "All of them; there are few.", body = Page<DncList>)))]
pub(super) async fn lists(
    State(state): State<AdminState>,
) -> Result<axum::Json<Page<DncList>>, Problem> {
    Ok(axum::Json(state.backend.do_not_call_lists().await?))
}

/// Declare a do-not-call list: the coordinator pulls it at once and then on its schedule, and puts
/// what it finds into use by itself where its checks pass.
#[utoipa::path(post, path = "/do-not-call/lists", tag = "do-not-call", operation_id = "declare_do_not_call_list",
    request_body = DncListRequest, security(("bearer" = ["admin"])),
    responses((status = 201, description = "Declared.", body = DncList)))]
pub(super) async fn declare(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<DncListRequest>,
) -> Result<(StatusCode, axum::Json<DncList>), Problem> {
    let list = (state.backend)
        .declare_do_not_call_list(&by, request)
        .await?;
    Ok((StatusCode::CREATED, axum::Json(list)))
}

/// One do-not-call list with its last pulls, newest first.
#[utoipa::path(get, path = "/do-not-call/lists/{name}", tag = "do-not-call", operation_id = "show_do_not_call_list",
    params(("name" = String, Path, description = "The list's name.")),
    security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The list.", body = DncList)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Path(name): Path<String>,
) -> Result<axum::Json<DncList>, Problem> {
    Ok(axum::Json(state.backend.do_not_call_list(&name).await?))
}

/// Forget a do-not-call list. The next base is made without it; the one in use keeps its numbers.
#[utoipa::path(delete, path = "/do-not-call/lists/{name}", tag = "do-not-call", operation_id = "remove_do_not_call_list",
    params(("name" = String, Path, description = "The list's name.")),
    security(("bearer" = ["admin"])),
    responses((status = 204, description = "Forgotten.")))]
pub(super) async fn remove(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    state.backend.remove_do_not_call_list(&by, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pull a do-not-call list now, also one that rests.
#[utoipa::path(post, path = "/do-not-call/lists/{name}/pull", tag = "do-not-call", operation_id = "pull_do_not_call_list",
    params(("name" = String, Path, description = "The list's name.")),
    request_body = DncListPullRequest, security(("bearer" = ["admin"])),
    responses((status = 202, description = "Under way.", body = Operation)))]
pub(super) async fn pull(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    by: Caller,
    Json(request): Json<DncListPullRequest>,
) -> Result<Response, Problem> {
    let operation = (state.backend)
        .pull_do_not_call_list(&by, &name, request)
        .await?;
    Ok(leads::accepted(operation))
}

/// Let the pulls of a do-not-call list rest. Its numbers stay in use and grow older.
#[utoipa::path(post, path = "/do-not-call/lists/{name}/pause", tag = "do-not-call", operation_id = "pause_do_not_call_list",
    params(("name" = String, Path, description = "The list's name.")),
    security(("bearer" = ["admin"])),
    responses((status = 200, description = "It rests.", body = DncList)))]
pub(super) async fn pause(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    by: Caller,
) -> Result<axum::Json<DncList>, Problem> {
    let list = (state.backend).pause_do_not_call_list(&by, &name, true);
    Ok(axum::Json(list.await?))
}

/// Let the pulls of a do-not-call list go on.
#[utoipa::path(post, path = "/do-not-call/lists/{name}/resume", tag = "do-not-call", operation_id = "resume_do_not_call_list",
    params(("name" = String, Path, description = "The list's name.")),
    security(("bearer" = ["admin"])),
    responses((status = 200, description = "It is pulled again.", body = DncList)))]
pub(super) async fn resume(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    by: Caller,
) -> Result<axum::Json<DncList>, Problem> {
    let list = (state.backend).pause_do_not_call_list(&by, &name, false);
    Ok(axum::Json(list.await?))
}

/// Take what a pull brought although its checks did not pass.
#[utoipa::path(post, path = "/do-not-call/lists/{name}/approve", tag = "do-not-call", operation_id = "approve_do_not_call_list",
    params(("name" = String, Path, description = "The list's name.")),
    request_body = DncListDecision, security(("bearer" = ["admin"])),
    responses((status = 200, description = "It goes into the next base.", body = DncList)))]
pub(super) async fn approve(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    by: Caller,
    Json(decision): Json<DncListDecision>,
) -> Result<axum::Json<DncList>, Problem> {
    let list = (state.backend).decide_do_not_call_list(&by, &name, true, decision);
    Ok(axum::Json(list.await?))
}

/// Do not take what a pull brought: what was accepted before stays.
#[utoipa::path(post, path = "/do-not-call/lists/{name}/reject", tag = "do-not-call", operation_id = "reject_do_not_call_list",
    params(("name" = String, Path, description = "The list's name.")),
    request_body = DncListDecision, security(("bearer" = ["admin"])),
    responses((status = 200, description = "It is dropped.", body = DncList)))]
pub(super) async fn reject(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    by: Caller,
    Json(decision): Json<DncListDecision>,
) -> Result<axum::Json<DncList>, Problem> {
    let list = (state.backend).decide_do_not_call_list(&by, &name, false, decision);
    Ok(axum::Json(list.await?))
}
