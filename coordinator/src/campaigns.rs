//! Campaigns.

use crate::backend::{Backend, audit, missing, page, unexpected};
use compliance::RulePack;
use dialmesh_http::{
    admin::{Answer, CampaignAction},
    auth::Caller,
    dto::{Campaign, CampaignSettings, Page, PageQuery},
    problem::{BackendError, FieldError},
};
use domain::{
    AnsweringMachines, CampaignId, CampaignState, LeadOrder, Levers, PromptName, Recording,
};
use ledger::{Change, DirectoryReply};

pub(crate) fn list(backend: &Backend, query: &PageQuery) -> Answer<Page<Campaign>> {
    backend.member.directory().read(|directory| {
        let all = directory.campaigns().map(|c| (c.id, c));
        page(all, query).map(|page| page.map(|campaign| shown(directory, campaign)))
    })
}

pub(crate) fn show(backend: &Backend, id: CampaignId) -> Answer<Campaign> {
    let found = (backend.member.directory())
        .read(|directory| (directory.campaign(id)).map(|campaign| shown(directory, campaign)));
    found.ok_or_else(|| missing("campaign", id))
}

/// With what is kept beside it.
fn shown(directory: &ledger::Directory, campaign: &domain::Campaign) -> Campaign {
    let mut shown = Campaign::from(campaign);
    shown.settings.requires_consent = directory.requires_consent(campaign.id);
    shown.settings.answering_machines = directory.answering_machines(campaign.id).into();
    shown.settings.recording = directory.recording(campaign.id).into();
    shown.settings.set_levers(directory.levers(campaign.id));
    shown.settings.hold_out_percent = directory.hold_out(campaign.id);
    shown.settings.voice_drop = directory.voice_drop(campaign.id).map(ToString::to_string);
    shown.settings.drop_rate_group = directory.drop_rate_group(campaign.id);
    shown.settings.lead_order = directory.lead_order(campaign.id).into();
    shown
}

/// Says whether a campaign asks for consent, where that changes.
async fn require_consent(backend: &Backend, campaign: CampaignId, required: bool) -> Answer<()> {
    let known = (backend.member.directory()).read(|d| d.requires_consent(campaign));
    if known != required {
        let change = Change::RequireConsent { campaign, required };
        backend.change(change).await?;
    }
    Ok(())
}

/// Says what a campaign does about answering machines, where that changes.
async fn set_answering_machines(
    backend: &Backend,
    campaign: CampaignId,
    machines: AnsweringMachines,
) -> Answer<()> {
    let known = (backend.member.directory()).read(|d| d.answering_machines(campaign));
    if known != machines {
        let change = Change::SetAnsweringMachines { campaign, machines };
        backend.change(change).await?;
    }
    Ok(())
}

/// Says which calls of a campaign are recorded, where that changes.
async fn set_recording(
    backend: &Backend,
    campaign: CampaignId,
    recording: Recording,
) -> Answer<()> {
    let known = (backend.member.directory()).read(|d| d.recording(campaign));
    if known != recording {
        let change = Change::SetRecording {
            campaign,
            recording,
        };
        backend.change(change).await?;
    }
    Ok(())
}

/// Sets a campaign's levers, where they change.
async fn set_levers(backend: &Backend, campaign: CampaignId, levers: Levers) -> Answer<()> {
    let known = (backend.member.directory()).read(|d| d.levers(campaign));
    if known != levers {
        backend
            .change(Change::SetLevers { campaign, levers })
            .await?;
    }
    Ok(())
}

/// Says with which other a campaign counts its abandonments, where that changes.
async fn set_drop_rate_group(
    backend: &Backend,
    campaign: CampaignId,
    with: Option<CampaignId>,
) -> Answer<()> {
    let known = (backend.member.directory()).read(|d| d.drop_rate_group(campaign));
    if known != with {
        let change = Change::SetDropRateGroup { campaign, with };
        backend.change(change).await?;
    }
    Ok(())
}

/// Says which share of a campaign's dials shows a number that is not local, where that changes.
async fn set_hold_out(backend: &Backend, campaign: CampaignId, percent: u8) -> Answer<()> {
    let known = (backend.member.directory()).read(|d| d.hold_out(campaign));
    if known != percent {
        let change = Change::SetHoldOut { campaign, percent };
        backend.change(change).await?;
    }
    Ok(())
}

/// Says in which order a campaign's leads are given out, where that changes.
async fn set_lead_order(backend: &Backend, campaign: CampaignId, order: LeadOrder) -> Answer<()> {
    let known = (backend.member.directory()).read(|d| d.lead_order(campaign));
    if known != order {
        let change = Change::SetLeadOrder { campaign, order };
        backend.change(change).await?;
    }
    Ok(())
}

/// A share that a member could not read is refused before anything is made or changed.
fn check_hold_out(backend: &Backend, settings: &CampaignSettings, known: u8) -> Answer<()> {
    let percent = settings.hold_out_percent;
    if percent == known {
        return Ok(());
    }
    let campaign = CampaignId(0);
    backend.may_write(&Change::SetHoldOut { campaign, percent })
}

/// Says which message a campaign leaves on answering machines, where that changes.
async fn set_voice_drop(
    backend: &Backend,
    campaign: CampaignId,
    prompt: Option<PromptName>,
) -> Answer<()> {
    let known = (backend.member.directory()).read(|d| d.voice_drop(campaign).cloned());
    if known != prompt {
        let change = Change::SetVoiceDrop { campaign, prompt };
        backend.change(change).await?;
    }
    Ok(())
}

/// A message that may not be left is refused with the rule that forbids it, before anything is made or
/// changed; so is one that nobody would listen for, and one that a member could not read.
fn check_voice_drop(backend: &Backend, settings: &CampaignSettings) -> Answer<Option<PromptName>> {
    let refused = |why: String| {
        let field = FieldError::new("/voice_drop", why);
        Err(BackendError::Invalid(vec![field]))
    };
    let Some(name) = settings.voice_drop.clone() else {
        return Ok(None);
    };
    let prompt = match PromptName::try_from(name) {
        Ok(prompt) => prompt,
        Err(wrong) => return refused(wrong.to_string()),
    };
    if AnsweringMachines::from(settings.answering_machines) == AnsweringMachines::Off {
        let why = "needs answering_machines hang_up: nobody listens for machines otherwise";
        return refused(why.to_owned());
    }
    if let Some(pack) = RulePack::by_name(&settings.rule_pack)
        && !pack.message.voice_drop
    {
        return refused(format!(
            "is not allowed by the rule pack {}: {}; leave it out, machines are hung up on",
            pack.name, pack.message.voice_drop_source
        ));
    }
    backend.may_write(&Change::SetVoiceDrop {
        campaign: CampaignId(0),
        prompt: Some(prompt.clone()),
    })?;
    Ok(Some(prompt))
}

/// Levers that cannot be set are told before anything is made or changed: beyond what the rule pack
/// allows, or while a member could not read them.
fn check_levers(
    backend: &Backend,
    settings: &CampaignSettings,
    (known, grouped): (Levers, Option<CampaignId>),
) -> Answer<()> {
    let levers = settings.levers();
    let order = LeadOrder::from(settings.lead_order);
    if order != LeadOrder::default() {
        let campaign = CampaignId(0);
        backend.may_write(&Change::SetLeadOrder { campaign, order })?;
    }
    let with = settings.drop_rate_group;
    if with.is_some() && with != grouped {
        let campaign = CampaignId(0);
        backend.may_write(&Change::SetDropRateGroup { campaign, with })?;
    }
    if levers == known {
        return Ok(());
    }
    if let Some(pack) = RulePack::by_name(&settings.rule_pack) {
        let most = pack.abandonment.budget_permille;
        if levers.target_permille.is_some_and(|target| target > most) {
            let why = format!(
                "is over what the rule pack {} allows, {} %; give that or less, or leave it out to \
                 aim at it",
                pack.name,
                f64::from(most) / 10.0
            );
            let field = FieldError::new("/target_abandonment_percent", why);
            return Err(BackendError::Invalid(vec![field]));
        }
    }
    backend.may_write(&Change::SetLevers {
        campaign: CampaignId(0),
        levers,
    })
}

/// Nothing can be recorded without a key: said before anything is made or changed.
fn check_recording(backend: &Backend, settings: &CampaignSettings) -> Answer<()> {
    let recording = Recording::from(settings.recording);
    let key = (backend.member.directory()).read(ledger::Directory::recording_key);
    if recording != Recording::Off && key.is_none() {
        let why = "needs a recording key, and the mesh has none; make it with `dialmesh recording \
                   key create`";
        return Err(BackendError::Invalid(vec![FieldError::new(
            "/recording",
            why,
        )]));
    }
    Ok(())
}

async fn change(backend: &Backend, change: Change) -> Answer<Campaign> {
    match backend.change(change).await?.reply {
        DirectoryReply::Campaign { id, .. } => show(backend, id),
        other => Err(unexpected(&other)),
    }
}

/// A campaign was made, and what is kept beside it could not be said.
fn half_made(id: CampaignId, setting: &str, error: &BackendError) -> BackendError {
    let why = match error {
        BackendError::Invalid(fields) => {
            let each = fields
                .iter()
                .map(|f| format!("{} {}", f.pointer, f.message));
            each.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    BackendError::Conflict(format!(
        "the campaign is created as {id}, and its {setting} is not set yet: {why}; update it with \
         {setting} before you start it"
    ))
}

pub(crate) async fn create(
    backend: &Backend,
    by: &Caller,
    settings: CampaignSettings,
) -> Answer<Campaign> {
    audit(by, "create_campaign", &settings.name);
    check_recording(backend, &settings)?;
    check_levers(backend, &settings, (Levers::default(), None))?;
    check_hold_out(backend, &settings, 0)?;
    let voice_drop = check_voice_drop(backend, &settings)?;
    let campaign = settings.to_domain(CampaignId(0), CampaignState::Draft, 0);
    let campaign = Box::new(campaign.map_err(BackendError::Invalid)?);
    let created = change(backend, Change::CreateCampaign { campaign }).await?;
    // It is a draft: nobody is dialed before this is said.
    let asked = require_consent(backend, created.id, settings.requires_consent).await;
    asked.map_err(|error| half_made(created.id, "requires_consent", &error))?;
    let machines = settings.answering_machines.into();
    let said = set_answering_machines(backend, created.id, machines).await;
    said.map_err(|error| half_made(created.id, "answering_machines", &error))?;
    let said = set_recording(backend, created.id, settings.recording.into()).await;
    said.map_err(|error| half_made(created.id, "recording", &error))?;
    let said = set_levers(backend, created.id, settings.levers()).await;
    said.map_err(|error| half_made(created.id, "levers", &error))?;
    let said = set_drop_rate_group(backend, created.id, settings.drop_rate_group).await;
    said.map_err(|error| half_made(created.id, "drop_rate_group", &error))?;
    let said = set_hold_out(backend, created.id, settings.hold_out_percent).await;
    said.map_err(|error| half_made(created.id, "hold_out_percent", &error))?;
    let said = set_lead_order(backend, created.id, settings.lead_order.into()).await;
    said.map_err(|error| half_made(created.id, "lead_order", &error))?;
    let said = set_voice_drop(backend, created.id, voice_drop).await;
    said.map_err(|error| half_made(created.id, "voice_drop", &error))?;
    show(backend, created.id)
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
    check_recording(backend, &settings)?;
    let before = (known.settings.levers(), known.settings.drop_rate_group);
    check_levers(backend, &settings, before)?;
    check_hold_out(backend, &settings, known.settings.hold_out_percent)?;
    let voice_drop = check_voice_drop(backend, &settings)?;
    let campaign = settings.to_domain(id, known.state, version);
    let campaign = Box::new(campaign.map_err(BackendError::Invalid)?);
    if known.version != version {
        return Err(BackendError::Changed {
            current: known.version,
        });
    }
    // Refused once the campaign was started: before anything is changed.
    set_drop_rate_group(backend, id, settings.drop_rate_group).await?;
    // Asked for before other settings change, and given up after them.
    if settings.requires_consent {
        require_consent(backend, id, true).await?;
    }
    let set = Change::SetCampaign {
        campaign,
        if_match: Some(version),
    };
    change(backend, set).await?;
    if !settings.requires_consent {
        require_consent(backend, id, false).await?;
    }
    set_answering_machines(backend, id, settings.answering_machines.into()).await?;
    set_recording(backend, id, settings.recording.into()).await?;
    set_levers(backend, id, settings.levers()).await?;
    set_hold_out(backend, id, settings.hold_out_percent).await?;
    set_lead_order(backend, id, settings.lead_order.into()).await?;
    set_voice_drop(backend, id, voice_drop).await?;
    show(backend, id)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_that_is_half_made_is_named_with_what_to_do() {
        let error = BackendError::NoQuorum("nobody votes".into());
        let said = half_made(CampaignId(7), "requires_consent", &error).to_string();
        for what in [
            CampaignId(7).to_string().as_str(),
            "nobody votes",
            "update it with requires_consent",
        ] {
            assert!(said.contains(what), "{said}");
        }
    }
}
