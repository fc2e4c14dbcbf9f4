//! Campaigns.

use crate::backend::{Backend, audit, missing, page, unexpected};
use dialmesh_http::{
    admin::{Answer, CampaignAction},
    auth::Caller,
    dto::{Campaign, CampaignSettings, Page, PageQuery},
    problem::BackendError,
};
use domain::{CampaignId, CampaignState};
use ledger::{Change, DirectoryReply};

pub(crate) fn list(backend: &Backend, query: &PageQuery) -> Answer<Page<Campaign>> {
    backend.member.directory().read(|directory| {
        page(directory.campaigns().map(|c| (c.id, c)), query).map(|page| page.map(Campaign::from))
    })
}

pub(crate) fn show(backend: &Backend, id: CampaignId) -> Answer<Campaign> {
    let found = backend
        .member
        .directory()
        .read(|d| d.campaign(id).map(Campaign::from));
    found.ok_or_else(|| missing("campaign", id))
}

async fn change(backend: &Backend, change: Change) -> Answer<Campaign> {
    match backend.change(change).await?.reply {
        DirectoryReply::Campaign { id, .. } => show(backend, id),
        other => Err(unexpected(&other)),
    }
}

pub(crate) async fn create(
    backend: &Backend,
    by: &Caller,
    settings: CampaignSettings,
) -> Answer<Campaign> {
    audit(by, "create_campaign", &settings.name);
    let campaign = settings.to_domain(CampaignId(0), CampaignState::Draft, 0);
    let campaign = Box::new(campaign.map_err(BackendError::Invalid)?);
    change(backend, Change::CreateCampaign { campaign }).await
}

pub(crate) async fn update(
    backend: &Backend,
    by: &Caller,
    id: CampaignId,
    version: u64,
    settings: CampaignSettings,
) -> Answer<Campaign> {
    let known = show(backend, id)?;
    audit(by, "update_campaign", &format!("{id} version {version}"));
    let campaign = settings.to_domain(id, known.state, version);
    let campaign = Box::new(campaign.map_err(BackendError::Invalid)?);
    change(
        backend,
        Change::SetCampaign {
            campaign,
            if_match: Some(version),
        },
    )
    .await
}

pub(crate) async fn act(
    backend: &Backend,
    by: &Caller,
    id: CampaignId,
    action: CampaignAction,
) -> Answer<Campaign> {
    show(backend, id)?;
    audit(by, "act_on_campaign", &format!("{id} {action:?}"));
    let state = match action {
        CampaignAction::Start => CampaignState::Running,
        CampaignAction::Pause => CampaignState::Paused,
        CampaignAction::Stop => CampaignState::Stopped,
    };
    change(
        backend,
        Change::SetCampaignState {
            id,
            state,
            if_match: None,
        },
    )
    .await
}
