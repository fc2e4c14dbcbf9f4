//! `/do-not-call/patterns` and `/freezes`.

use super::AdminState;
use crate::{
    auth::{Caller, Role},
    dto::{
        DncPattern, DncResult, Freeze, FreezeLift, FreezeRequest, Page, PageQuery, PatternRemoval,
        PatternRequest, pattern,
    },
    extract::{Json, Query},
    problem::{Code, Problem},
};
use axum::extract::State;
use domain::Target;

fn bad(error: crate::problem::FieldError) -> Problem {
    Problem::fields(vec![error])
}

/// Do-not-call patterns: digits with which numbers begin that nobody dials.
#[utoipa::path(get, path = "/do-not-call/patterns", tag = "do-not-call", operation_id = "list_do_not_call_patterns",
    params(PageQuery), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "A page, by digits.", body = Page<DncPattern>)))]
pub(super) async fn patterns(
    State(state): State<AdminState>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<DncPattern>>, Problem> {
    query.check()?;
    Ok(axum::Json(state.backend.do_not_call_patterns(query).await?))
}

/// Never dial numbers that begin so: what rings is cancelled. Answers when the entry is committed or
/// effective, as asked.
#[utoipa::path(post, path = "/do-not-call/patterns", tag = "do-not-call", operation_id = "add_do_not_call_pattern",
    request_body = PatternRequest, security(("bearer" = ["admin"])),
    responses((status = 200, description = "How far the entry has come.", body = DncResult)))]
pub(super) async fn add_pattern(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<PatternRequest>,
) -> Result<axum::Json<DncResult>, Problem> {
    let prefix = pattern(&request.pattern, "/pattern").map_err(bad)?;
    let result = (state.backend)
        .add_do_not_call_pattern(&by, prefix, request)
        .await?;
    Ok(axum::Json(result))
}

/// Allow numbers that begin so again, with the reason.
#[utoipa::path(post, path = "/do-not-call/patterns/remove", tag = "do-not-call", operation_id = "remove_do_not_call_pattern",
    request_body = PatternRemoval, security(("bearer" = ["admin"])),
    responses((status = 200, description = "Removed.", body = DncResult)))]
pub(super) async fn remove_pattern(
    State(state): State<AdminState>,
    by: Caller,
    Json(removal): Json<PatternRemoval>,
) -> Result<axum::Json<DncResult>, Problem> {
    let prefix = pattern(&removal.pattern, "/pattern").map_err(bad)?;
    let result = (state.backend)
        .remove_do_not_call_pattern(&by, prefix, removal)
        .await?;
    Ok(axum::Json(result))
}

/// Freezes: numbers and patterns that rest until a time.
#[utoipa::path(get, path = "/freezes", tag = "do-not-call", operation_id = "list_freezes",
    params(PageQuery), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "A page.", body = Page<Freeze>)))]
pub(super) async fn freezes(
    State(state): State<AdminState>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Freeze>>, Problem> {
    query.check()?;
    Ok(axum::Json(state.backend.freezes(query).await?))
}

/// Do not dial a number or pattern until a time: what rings is cancelled. Frozen again, the later
/// request counts. A pattern needs the role `admin`.
#[utoipa::path(post, path = "/freezes", tag = "do-not-call", operation_id = "add_freeze",
    request_body = FreezeRequest, security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "How far the entry has come.", body = DncResult)))]
pub(super) async fn freeze(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<FreezeRequest>,
) -> Result<axum::Json<DncResult>, Problem> {
    let target = request.target().map_err(bad)?;
    if matches!(target, Target::Prefix(_)) && by.principal.role < Role::Admin {
        let detail = "freezing a pattern needs the role admin, as a do-not-call pattern does";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let result = state.backend.freeze(&by, target, request).await?;
    Ok(axum::Json(result))
}

/// End a freeze before its time, with the reason.
#[utoipa::path(post, path = "/freezes/lift", tag = "do-not-call", operation_id = "lift_freeze",
    request_body = FreezeLift, security(("bearer" = ["admin"])),
    responses((status = 200, description = "Lifted.", body = DncResult)))]
pub(super) async fn lift(
    State(state): State<AdminState>,
    by: Caller,
    Json(request): Json<FreezeLift>,
) -> Result<axum::Json<DncResult>, Problem> {
    let target = request.target().map_err(bad)?;
    let result = state.backend.lift_freeze(&by, target, request).await?;
    Ok(axum::Json(result))
}
