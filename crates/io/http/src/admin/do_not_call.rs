//! `/do-not-call`.

use super::{AdminState, leads};
use crate::{
    auth::Caller,
    dto::{
        DncCheck, DncCheckQuery, DncImportOptions, DncRemoval, DncRequest, DncResult, Operation,
    },
    extract::{Json, Query},
    problem::Problem,
};
use axum::{
    extract::{Request, State},
    response::Response,
};
use domain::PhoneNumber;

pub(super) fn number(text: &str, pointer: &str) -> Result<PhoneNumber, Problem> {
    text.trim()
        .parse()
        .map_err(|error| Problem::field(pointer, format!("is not an E.164 number: {error}")))
}

/// Never dial this number. Answers when the entry is committed or effective, as asked.
#[utoipa::path(post, path = "/do-not-call", tag = "do-not-call", operation_id = "add_do_not_call",
    request_body = DncRequest, security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "How far the entry has come.", body = DncResult)))]
pub(super) async fn add(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<DncRequest>,
) -> Result<axum::Json<DncResult>, Problem> {
    let number = number(&request.number, "/number")?;
    let result = state.backend.add_do_not_call(&by, number, request).await?;
    Ok(axum::Json(result))
}

/// What is known about a number.
#[utoipa::path(get, path = "/do-not-call/check", tag = "do-not-call", operation_id = "check_do_not_call",
    params(DncCheckQuery), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The entries.", body = DncCheck)))]
pub(super) async fn check(
    State(state): State<AdminState>,
    by: Caller,
    Query(query): Query<DncCheckQuery>,
) -> Result<axum::Json<DncCheck>, Problem> {
    let number = number(&query.number, "?number")?;
    Ok(axum::Json(
        state.backend.check_do_not_call(&by, number).await?,
    ))
}

/// Allow a number again, with the reason. (A POST with a body: numbers do not belong into paths,
/// which are logged on the way.)
#[utoipa::path(post, path = "/do-not-call/remove", tag = "do-not-call", operation_id = "remove_do_not_call",
    request_body = DncRemoval, security(("bearer" = ["admin"])),
    responses((status = 200, description = "Removed.", body = DncResult)))]
pub(super) async fn remove(
    State(state): State<AdminState>,
    by: Caller,
    Json(removal): Json<DncRemoval>,
) -> Result<axum::Json<DncResult>, Problem> {
    let number = number(&removal.number, "/number")?;
    let result = state
        .backend
        .remove_do_not_call(&by, number, removal)
        .await?;
    Ok(axum::Json(result))
}

/// Adds the numbers of a CSV file.
#[utoipa::path(post, path = "/do-not-call/imports", tag = "do-not-call", operation_id = "import_do_not_call",
    params(DncImportOptions),
    request_body(content = String, content_type = "text/csv",
        description = "UTF-8 with a heading and the column number."),
    security(("bearer" = ["supervisor"])),
    responses((status = 202, description = "Under way.", body = Operation)))]
pub(super) async fn import(
    State(state): State<AdminState>,
    Query(options): Query<DncImportOptions>,
    by: Caller,
    request: Request,
) -> Result<Response, Problem> {
    options
        .scope()
        .map_err(|error| Problem::fields(vec![error]))?;
    let (length, rows) = leads::csv_body(request, state.import_bytes)?;
    let operation = state
        .backend
        .import_do_not_call(&by, options, length, rows)
        .await?;
    Ok(leads::accepted(operation))
}
