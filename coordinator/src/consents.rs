//! Consents: looked up, withdrawn.

use crate::{
    backend::{Backend, audit, missing, unexpected},
    dnc::acknowledged,
};
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{Consent, ConsentCheck, ConsentWithdrawal, ConsentWithdrawn},
};
use domain::{CampaignId, PhoneNumber};
use ledger::{Change, DirectoryReply};
use std::time::Instant;

pub(crate) fn check(backend: &Backend, by: &Caller, number: PhoneNumber) -> ConsentCheck {
    audit(by, "check_consent", &number.to_string());
    let now = service::clock::wall();
    backend.member.directory().read(|directory| {
        let consents = directory.consents_of(number).into_iter();
        ConsentCheck {
            number: number.to_string(),
            consents: consents
                .map(|known| (known.id, known.withdrawn, known.consent))
                .map(|(id, withdrawn, consent)| Consent {
                    id: id.to_string(),
                    campaign: consent.campaign,
                    kind: consent.proof.kind.name().to_owned(),
                    source: consent.proof.source,
                    place: consent.proof.place,
                    given_at: consent.given_at.into(),
                    until: consent.until.map(Into::into),
                    withdrawn_at: withdrawn.map(Into::into),
                    good: withdrawn.is_none() && consent.until.is_none_or(|until| until > now),
                })
                .collect(),
            applied_index: directory.applied(),
        }
    })
}

pub(crate) async fn withdraw(
    backend: &Backend,
    by: &Caller,
    number: PhoneNumber,
    request: ConsentWithdrawal,
) -> Answer<ConsentWithdrawn> {
    let (begun, campaign) = (Instant::now(), request.campaign);
    if let Some(id) = campaign {
        let known = (backend.member.directory()).read(|d| d.campaign(id).is_some());
        known.then_some(()).ok_or_else(|| missing("campaign", id))?;
    }
    let detail = format!("{number} {campaign:?}: {}", request.reason);
    audit(by, "withdraw_consent", &detail);
    // Also where none is known: an import that is under way may bring it yet.
    let change = Change::ChangeConsents {
        add: Vec::new(),
        withdraw: vec![(number, campaign)],
        reason: request.reason,
    };
    match backend.change(change).await?.reply {
        DirectoryReply::Clearance { index, removed, .. } => {
            let result =
                acknowledged(backend, begun, index, request.wait, "the withdrawal").await?;
            Ok(ConsentWithdrawn {
                state: result.state,
                index: result.index,
                took_ms: result.took_ms,
                withdrawn: removed,
            })
        }
        other => Err(unexpected(&other)),
    }
}

/// Whether a campaign asks for consent, by its rule pack or its own settings.
pub(crate) fn required(directory: &ledger::Directory, campaign: CampaignId) -> bool {
    let pack = (directory.campaign(campaign))
        .and_then(|campaign| compliance::RulePack::by_name(&campaign.rule_pack));
    directory.requires_consent(campaign) || pack.is_some_and(|pack| pack.consent.required)
}
