//! `/campaigns`.

use super::{AdminState, CampaignAction};
use crate::{
    auth::Caller,
    dto::{Campaign, CampaignLearned, CampaignSettings, CampaignStats, Page, PageQuery},
    extract::{IfMatch, Json, MergePatch, Path, Query, etag},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::CampaignId;

fn tagged(status: StatusCode, campaign: Campaign) -> Response {
    let tag = etag(campaign.version);
    (status, [(header::ETAG, tag)], axum::Json(campaign)).into_response()
}

/// Campaigns, by id.
#[utoipa::path(get, path = "/campaigns", tag = "campaigns", operation_id = "list_campaigns",
    params(PageQuery), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "A page.", body = Page<Campaign>)))]
pub(super) async fn list(
    State(state): State<AdminState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<Campaign>>, Problem> {
    page.check()?;
    Ok(axum::Json(state.backend.campaigns(page).await?))
}

/// Makes a campaign in state `draft`.
#[utoipa::path(post, path = "/campaigns", tag = "campaigns", operation_id = "create_campaign",
    request_body = CampaignSettings, security(("bearer" = ["supervisor"])),
    responses((status = 201, description = "Made.", body = Campaign,
        headers(("ETag" = String, description = "The version.")))))]
pub(super) async fn create(
    State(state): State<AdminState>,
    by: Caller,
    Json(settings): Json<CampaignSettings>,
) -> Result<Response, Problem> {
    let campaign = state.backend.create_campaign(&by, settings).await?;
    Ok(tagged(StatusCode::CREATED, campaign))
}

/// One campaign.
#[utoipa::path(get, path = "/campaigns/{id}", tag = "campaigns", operation_id = "show_campaign",
    params(("id" = String, Path, description = "Campaign id.")), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The campaign.", body = Campaign,
        headers(("ETag" = String, description = "The version.")))))]
pub(super) async fn show(
    State(state): State<AdminState>,
    Path(id): Path<CampaignId>,
) -> Result<Response, Problem> {
    Ok(tagged(StatusCode::OK, state.backend.campaign(id).await?))
}

/// Changes settings by JSON merge patch (RFC 7396). Needs `If-Match`.
#[utoipa::path(patch, path = "/campaigns/{id}", tag = "campaigns", operation_id = "patch_campaign",
    params(("id" = String, Path, description = "Campaign id."),
        ("If-Match" = String, Header, description = "The ETag of the version that is changed.")),
    request_body(content = serde_json::Value, content_type = "application/merge-patch+json",
        description = "The settings to change; null gives a setting its default."),
    security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "Changed.", body = Campaign,
        headers(("ETag" = String, description = "The new version.")))))]
pub(super) async fn patch(
    State(state): State<AdminState>,
    Path(id): Path<CampaignId>,
    IfMatch(version): IfMatch,
    by: Caller,
    patch: MergePatch,
) -> Result<Response, Problem> {
    let campaign = state.backend.campaign(id).await?;
    if campaign.version != version {
        let current = campaign.version;
        return Err(crate::problem::BackendError::Changed { current }.into());
    }
    let settings = patch.apply(&campaign.settings)?;
    let changed = state
        .backend
        .update_campaign(&by, id, version, settings)
        .await?;
    Ok(tagged(StatusCode::OK, changed))
}

async fn act(
    state: AdminState,
    id: CampaignId,
    by: Caller,
    action: CampaignAction,
) -> Result<Response, Problem> {
    let campaign = state.backend.act_on_campaign(&by, id, action).await?;
    Ok(tagged(StatusCode::OK, campaign))
}

/// Starts dialing.
#[utoipa::path(post, path = "/campaigns/{id}/start", tag = "campaigns", operation_id = "start_campaign",
    params(("id" = String, Path, description = "Campaign id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "It runs.", body = Campaign)))]
pub(super) async fn start(
    State(state): State<AdminState>,
    Path(id): Path<CampaignId>,
    by: Caller,
) -> Result<Response, Problem> {
    act(state, id, by, CampaignAction::Start).await
}

/// Makes no new attempts; live calls go on.
#[utoipa::path(post, path = "/campaigns/{id}/pause", tag = "campaigns", operation_id = "pause_campaign",
    params(("id" = String, Path, description = "Campaign id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "It is paused.", body = Campaign)))]
pub(super) async fn pause(
    State(state): State<AdminState>,
    Path(id): Path<CampaignId>,
    by: Caller,
) -> Result<Response, Problem> {
    act(state, id, by, CampaignAction::Pause).await
}

/// Ends the campaign for good.
#[utoipa::path(post, path = "/campaigns/{id}/stop", tag = "campaigns", operation_id = "stop_campaign",
    params(("id" = String, Path, description = "Campaign id.")), security(("bearer" = ["supervisor"])),
    responses((status = 200, description = "It is stopped.", body = Campaign)))]
pub(super) async fn stop(
    State(state): State<AdminState>,
    Path(id): Path<CampaignId>,
    by: Caller,
) -> Result<Response, Problem> {
    act(state, id, by, CampaignAction::Stop).await
}

/// Figures, and why nothing more is dialed.
#[utoipa::path(get, path = "/campaigns/{id}/stats", tag = "campaigns", operation_id = "campaign_stats",
    params(("id" = String, Path, description = "Campaign id.")), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The figures.", body = CampaignStats)))]
pub(super) async fn stats(
    State(state): State<AdminState>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<CampaignStats>, Problem> {
    Ok(axum::Json(state.backend.campaign_stats(id).await?))
}

/// What the cities have learned of who answers, and whether their chances are what happens. Asks every
/// node: not to be read each second.
#[utoipa::path(get, path = "/campaigns/{id}/learned", tag = "campaigns", operation_id = "campaign_learned",
    params(("id" = String, Path, description = "Campaign id.")), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "What was learned.", body = CampaignLearned)))]
pub(super) async fn learned(
    State(state): State<AdminState>,
    Path(id): Path<CampaignId>,
) -> Result<axum::Json<CampaignLearned>, Problem> {
    Ok(axum::Json(state.backend.campaign_learned(id).await?))
}
