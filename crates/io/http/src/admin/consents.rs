//! `/consents`.

use super::{AdminState, do_not_call::number, leads};
use crate::{
    auth::Caller,
    dto::{
        ConsentCheck, ConsentImportOptions, ConsentWithdrawal, ConsentWithdrawn, DncCheckQuery,
        Operation,
    },
    extract::{Json, Query},
    problem::Problem,
};
use axum::{
    extract::{Request, State},
    response::Response,
};

/// The consents of a number, with their proofs.
#[utoipa::path(get, path = "/consents/check", tag = "do-not-call", operation_id = "check_consent",
    params(DncCheckQuery), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The consents.", body = ConsentCheck)))]
pub(super) async fn check(
    State(state): State<AdminState>,
    by: Caller,
    Query(query): Query<DncCheckQuery>,
) -> Result<axum::Json<ConsentCheck>, Problem> {
    let number = number(&query.number, "?number")?;
    Ok(axum::Json(state.backend.check_consent(&by, number).await?))
}

/// A person agrees no more: where a campaign asks for consent, what rings is cancelled. What was given
/// before counts no longer, also where it is imported later.
#[utoipa::path(post, path = "/consents/withdraw", tag = "do-not-call", operation_id = "withdraw_consent",
    request_body = ConsentWithdrawal, security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "How far it has come.", body = ConsentWithdrawn)))]
pub(super) async fn withdraw(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<ConsentWithdrawal>,
) -> Result<axum::Json<ConsentWithdrawn>, Problem> {
    let number = number(&request.number, "/number")?;
    let result = (state.backend)
        .withdraw_consent(&by, number, request)
        .await?;
    Ok(axum::Json(result))
}

/// Adds the consents of a CSV file.
#[utoipa::path(post, path = "/consents/imports", tag = "do-not-call", operation_id = "import_consents",
    params(ConsentImportOptions),
    request_body(content = String, content_type = "text/csv",
        description = "UTF-8 with a heading and the column number; kind, source, place, given_at and until where rows differ."),
    security(("bearer" = ["supervisor"])),
    responses((status = 202, description = "Under way.", body = Operation)))]
pub(super) async fn import(
    State(state): State<AdminState>,
    Query(options): Query<ConsentImportOptions>,
    by: Caller,
    request: Request,
) -> Result<Response, Problem> {
    options
        .check()
        .map_err(|error| Problem::fields(vec![error]))?;
    let (length, rows) = leads::csv_body(request, state.import_bytes)?;
    let operation = state
        .backend
        .import_consents(&by, options, length, rows)
        .await?;
    Ok(leads::accepted(operation))
}
