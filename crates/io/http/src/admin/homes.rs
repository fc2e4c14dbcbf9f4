//! `/home-rules/plans`: another map from numbers to home regions, and the move of leads to it.

use super::{AdminState, leads};
use crate::{
    auth::Caller,
    dto::{HomesMove, HomesPlan, HomesPlanRequest, Operation},
    extract::{Json, Path},
    problem::Problem,
};
use axum::{extract::State, http::StatusCode, response::Response};

/// Whether another map is planned or leads are moving to it, and how far.
#[utoipa::path(get, path = "/home-rules/plans", tag = "mesh", operation_id = "home_rules_plan",
    security(("bearer" = ["monitor"])),
    responses((status = 200, description = "How things stand.", body = HomesMove)))]
pub(super) async fn show(
    State(state): State<AdminState>,
) -> Result<axum::Json<HomesMove>, Problem> {
    Ok(axum::Json(state.backend.homes_move().await?))
}

/// Plans another map and counts what would move; with `dry_run` it only counts.
#[utoipa::path(post, path = "/home-rules/plans", tag = "mesh", operation_id = "plan_home_rules",
    request_body = HomesPlanRequest, security(("bearer" = ["admin"])),
    responses((status = 200, description = "What would move.", body = HomesPlan)))]
pub(super) async fn plan(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<HomesPlanRequest>,
) -> Result<axum::Json<HomesPlan>, Problem> {
    Ok(axum::Json(state.backend.plan_homes(&by, request).await?))
}

/// Begins to move leads to where a planned map has them.
#[utoipa::path(post, path = "/home-rules/plans/{id}/apply", tag = "mesh", operation_id = "apply_home_rules_plan",
    params(("id" = u64, Path, description = "The plan's id.")), security(("bearer" = ["admin"])),
    responses((status = 202, description = "Under way.", body = Operation)))]
pub(super) async fn apply(
    State(state): State<AdminState>,
    Path(id): Path<u64>,
    by: Caller,
) -> Result<Response, Problem> {
    let operation = state.backend.apply_homes(&by, id).await?;
    Ok(leads::accepted(operation))
}

/// Drops a plan that was not applied.
#[utoipa::path(delete, path = "/home-rules/plans/{id}", tag = "mesh", operation_id = "cancel_home_rules_plan",
    params(("id" = u64, Path, description = "The plan's id.")), security(("bearer" = ["admin"])),
    responses((status = 204, description = "Dropped.")))]
pub(super) async fn cancel(
    State(state): State<AdminState>,
    Path(id): Path<u64>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    state.backend.cancel_homes(&by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
