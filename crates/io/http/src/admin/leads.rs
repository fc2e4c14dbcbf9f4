//! `/leads`, imports and operations.

use super::{AdminState, ByteStream};
use crate::{
    auth::Caller,
    dto::{ImportOptions, Lead, LeadFilter, Operation, Page, PageQuery},
    extract::{Path, Query, media_type},
    problem::{BodyError, Code, Problem},
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{CampaignId, LeadId};
use futures::{StreamExt, future};

/// The CSV body of a request as a stream with a bound, and its length where the client told it.
pub(super) fn csv_body(request: Request, limit: u64) -> Result<(Option<u64>, ByteStream), Problem> {
    body(request, "text/csv", limit)
}

/// A body of that media type as a stream with a bound, and its length where the client told it.
pub(super) fn body(
    request: Request,
    expected: &str,
    limit: u64,
) -> Result<(Option<u64>, ByteStream), Problem> {
    let kind = media_type(request.headers());
    if kind != expected {
        let shown = if kind.is_empty() { "none" } else { &kind };
        let detail = format!("It is {shown}; expected {expected}.");
        return Err(Problem::new(Code::MediaType, detail));
    }
    let length = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(Problem::new(
            Code::TooLarge,
            format!("At most {limit} bytes."),
        ));
    }
    let mut seen = 0;
    let rows = request.into_body().into_data_stream().map(move |chunk| {
        let chunk = chunk.map_err(|_| BodyError::Interrupted)?;
        seen += chunk.len() as u64;
        if seen > limit {
            return Err(BodyError::TooLarge(limit));
        }
        Ok(chunk)
    });
    // Nothing after the first error: what follows a gap must never be taken for the next row.
    let rows = rows.scan(false, |failed, chunk| {
        let next = (!*failed).then_some(chunk);
        *failed |= next.as_ref().is_some_and(Result::is_err);
        future::ready(next)
    });
    Ok((length, rows.boxed()))
}

pub(super) fn accepted(operation: Operation) -> Response {
    let location = format!("/api/v1/operations/{}", operation.id);
    (
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        axum::Json(operation),
    )
        .into_response()
}

/// Imports leads from a CSV file.
#[utoipa::path(post, path = "/campaigns/{id}/imports", tag = "leads", operation_id = "import_leads",
    params(("id" = String, Path, description = "Campaign id."), ImportOptions),
    request_body(content = String, content_type = "text/csv",
        description = "UTF-8 with a heading; the column number (or phone) is required, name and priority are known, all others become attributes."),
    security(("bearer" = ["supervisor"])),
    responses((status = 202, description = "Under way.", body = Operation)))]
pub(super) async fn import(
    State(state): State<AdminState>,
    Path(id): Path<CampaignId>,
    Query(options): Query<ImportOptions>,
    by: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (length, rows) = csv_body(request, state.import_bytes)?;
    let operation = state
        .backend
        .import_leads(&by, id, options, length, rows)
        .await?;
    Ok(accepted(operation))
}

/// Leads.
#[utoipa::path(get, path = "/leads", tag = "leads", operation_id = "list_leads",
    params(LeadFilter), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "A page.", body = Page<Lead>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Query(filter): Query<LeadFilter>,
) -> Result<axum::Json<Page<Lead>>, Problem> {
    filter.page().check()?;
    Ok(axum::Json(state.backend.leads(filter).await?))
}

/// One lead.
#[utoipa::path(get, path = "/leads/{id}", tag = "leads", operation_id = "show_lead",
    params(("id" = String, Path, description = "Lead id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The lead.", body = Lead)))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Path(id): Path<LeadId>,
) -> Result<axum::Json<Lead>, Problem> {
    Ok(axum::Json(state.backend.lead(id).await?))
}

/// Long work, newest first.
#[utoipa::path(get, path = "/operations", tag = "operations", operation_id = "list_operations",
    params(PageQuery), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "A page.", body = Page<Operation>)))]
pub(super) async fn operations(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<Operation>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.operations(page).await?))
}

/// The progress of long work.
#[utoipa::path(get, path = "/operations/{id}", tag = "operations", operation_id = "show_operation",
    params(("id" = String, Path, description = "Operation id.")), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The operation.", body = Operation)))]
pub(super) async fn operation(
    State(state): State<AdminState>,
    Path(id): Path<String>,
) -> Result<axum::Json<Operation>, Problem> {
    Ok(axum::Json(state.backend.operation(&id).await?))
}

/// The rows an import refused, with the reasons.
#[utoipa::path(get, path = "/operations/{id}/rejects", tag = "operations", operation_id = "operation_rejects",
    params(("id" = String, Path, description = "Operation id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "The rows as they were, with line and reason.",
        body = String, content_type = "text/csv")))]
pub(super) async fn rejects(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    by: Caller,
) -> Result<Response, Problem> {
    let rows = state.backend.operation_rejects(&by, &id).await?;
    Ok((
        [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
            (
                header::CONTENT_DISPOSITION,
                "attachment; filename=\"rejects.csv\"",
            ),
            (header::CACHE_CONTROL, "no-store"),
        ],
        Body::from_stream(rows),
    )
        .into_response())
}
