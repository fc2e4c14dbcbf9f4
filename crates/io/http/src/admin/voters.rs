//! `/voters`, `/regions/{id}/policy`, `/members/{id}/drain`.

use super::AdminState;
use crate::{
    auth::Caller,
    dto::{Member, RegionPolicy, VoterSettings},
    extract::{Json, Path},
    problem::Problem,
};
use axum::extract::State;
use domain::{MemberId, RegionId};

/// How voters are kept, in all groups.
#[utoipa::path(get, path = "/voters", tag = "mesh", operation_id = "voter_settings",
    security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The settings.", body = VoterSettings)))]
pub(super) async fn settings(
    State(state): State<AdminState>,
) -> Result<axum::Json<VoterSettings>, Problem> {
    Ok(axum::Json(state.backend.voter_settings().await?))
}

/// Says how voters are kept, in all groups.
#[utoipa::path(put, path = "/voters", tag = "mesh", operation_id = "set_voter_settings",
    request_body = VoterSettings, security(("bearer" = ["admin"])),
    responses((status = 200, description = "The settings.", body = VoterSettings)))]
pub(super) async fn set_settings(
    State(state): State<AdminState>,
    by: Caller,
    Json(settings): Json<VoterSettings>,
) -> Result<axum::Json<VoterSettings>, Problem> {
    Ok(axum::Json(
        state.backend.set_voter_settings(&by, settings).await?,
    ))
}

/// What is asked of a region's group.
#[utoipa::path(get, path = "/regions/{id}/policy", tag = "mesh", operation_id = "region_policy",
    params(("id" = String, Path, description = "Region id.")), security(("bearer" = ["monitor"])),
    responses((status = 200, description = "The policy.", body = RegionPolicy)))]
pub(super) async fn policy(
    State(state): State<AdminState>,
    Path(id): Path<RegionId>,
) -> Result<axum::Json<RegionPolicy>, Problem> {
    Ok(axum::Json(state.backend.region_policy(id).await?))
}

/// Says what is asked of a region's group.
#[utoipa::path(put, path = "/regions/{id}/policy", tag = "mesh", operation_id = "set_region_policy",
    params(("id" = String, Path, description = "Region id.")),
    request_body = RegionPolicy, security(("bearer" = ["admin"])),
    responses((status = 200, description = "The policy.", body = RegionPolicy)))]
pub(super) async fn set_policy(
    State(state): State<AdminState>,
    Path(id): Path<RegionId>,
    by: Caller,
    Json(policy): Json<RegionPolicy>,
) -> Result<axum::Json<RegionPolicy>, Problem> {
    Ok(axum::Json(
        state.backend.set_region_policy(&by, id, policy).await?,
    ))
}

/// A member hands over what it leads, and its votes where another can take them. Its calls go on.
#[utoipa::path(post, path = "/members/{id}/drain", tag = "mesh", operation_id = "drain_member",
    params(("id" = String, Path, description = "Member id.")), security(("bearer" = ["admin"])),
    responses((status = 200, description = "The member.", body = Member)))]
pub(super) async fn drain(
    State(state): State<AdminState>,
    Path(id): Path<MemberId>,
    by: Caller,
) -> Result<axum::Json<Member>, Problem> {
    Ok(axum::Json(state.backend.drain_member(&by, id, true).await?))
}

/// A member may lead and vote again.
#[utoipa::path(post, path = "/members/{id}/undrain", tag = "mesh", operation_id = "undrain_member",
    params(("id" = String, Path, description = "Member id.")), security(("bearer" = ["admin"])),
    responses((status = 200, description = "The member.", body = Member)))]
pub(super) async fn undrain(
    State(state): State<AdminState>,
    Path(id): Path<MemberId>,
    by: Caller,
) -> Result<axum::Json<Member>, Problem> {
    Ok(axum::Json(
        state.backend.drain_member(&by, id, false).await?,
    ))
}
