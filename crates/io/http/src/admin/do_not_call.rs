//! `/do-not-call`.

use super::{AdminState, leads};
use crate::{
    auth::Caller,
    dto::{
        DncBase, DncBaseUse, DncCheck, DncCheckQuery, DncImportOptions, DncRemoval, DncRequest,
        DncResult, Operation, Page,
    },
    extract::{Json, Path, Query},
    limits::DNC_BASE_BYTES,
    problem::Problem,
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use domain::{DncBaseId, PhoneNumber};

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

/// Allow a number again, with the reason: its entry of that scope is removed, and where the scope is
/// everywhere and the do-not-call base in use has it, it is lifted from that. (A POST with a body: numbers do not belong into paths,
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

/// Do-not-call bases: those that the mesh knows, and which one is in use.
#[utoipa::path(get, path = "/do-not-call/bases", tag = "do-not-call", operation_id = "list_do_not_call_bases",
    security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "All of them; there are few.", body = Page<DncBase>)))]
pub(super) async fn bases(
    State(state): State<AdminState>,
) -> Result<axum::Json<Page<DncBase>>, Problem> {
    Ok(axum::Json(state.backend.do_not_call_bases().await?))
}

fn base_id(text: &str) -> Result<DncBaseId, Problem> {
    text.parse()
        .map_err(|error| Problem::field("/id", format!("is {error}")))
}

/// Make a do-not-call base known: its file, as `dialmesh dnc base build` writes it. Every node
/// fetches it. Again, it changes nothing.
#[utoipa::path(put, path = "/do-not-call/bases/{id}", tag = "do-not-call", operation_id = "stage_do_not_call_base",
    params(("id" = String, Path, description = "The base's name: 64 hexadecimal digits.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file."),
    security(("bearer" = ["admin"])),
    responses((status = 200, description = "It is known, and at the coordinator.", body = DncBase)))]
pub(super) async fn stage_base(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    by: Caller,
    request: Request,
) -> Result<axum::Json<DncBase>, Problem> {
    let id = base_id(&id)?;
    let (_, body) = leads::body(request, "application/octet-stream", DNC_BASE_BYTES)?;
    let base = state.backend.stage_do_not_call_base(&by, id, body).await?;
    Ok(axum::Json(base))
}

/// Put a do-not-call base into use on every node in one step, or take it out of use.
#[utoipa::path(post, path = "/do-not-call/bases/use", tag = "do-not-call", operation_id = "use_do_not_call_base",
    request_body = DncBaseUse, security(("bearer" = ["admin"])),
    responses((status = 200, description = "How far it has come.", body = DncResult)))]
pub(super) async fn use_base(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<DncBaseUse>,
) -> Result<axum::Json<DncResult>, Problem> {
    let result = state.backend.use_do_not_call_base(&by, request).await?;
    Ok(axum::Json(result))
}

/// Build a new do-not-call base from the one in use and the mesh-wide entries of registries that came
/// since, and make it known. Once it is put into use, those entries are dropped.
#[utoipa::path(post, path = "/do-not-call/bases/compact", tag = "do-not-call", operation_id = "compact_do_not_call_base",
    security(("bearer" = ["admin"])),
    responses((status = 202, description = "Under way; `made` names the base at its end.", body = Operation)))]
pub(super) async fn compact_base(
    State(state): State<AdminState>,
    by: Caller,
) -> Result<Response, Problem> {
    let operation = state.backend.compact_do_not_call_base(&by).await?;
    Ok(leads::accepted(operation))
}

/// Forget a do-not-call base that is not in use; nodes delete it.
#[utoipa::path(delete, path = "/do-not-call/bases/{id}", tag = "do-not-call", operation_id = "remove_do_not_call_base",
    params(("id" = String, Path, description = "The base's name: 64 hexadecimal digits.")),
    security(("bearer" = ["admin"])),
    responses((status = 204, description = "Forgotten.")))]
pub(super) async fn remove_base(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    by: Caller,
) -> Result<StatusCode, Problem> {
    let id = base_id(&id)?;
    state.backend.remove_do_not_call_base(&by, id).await?;
    Ok(StatusCode::NO_CONTENT)
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
