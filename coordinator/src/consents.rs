//! Consents: looked up, withdrawn.

use crate::{
    backend::{Backend, audit, missing, unexpected},
    dnc::acknowledged,
};
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{Consent, ConsentCheck, ConsentWithdrawal, DncResult},
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
                .map(|(id, consent)| Consent {
                    id: id.to_string(),
                    campaign: consent.campaign,
                    kind: consent.proof.kind.name().to_owned(),
                    source: consent.proof.source,
                    place: consent.proof.place,
                    given_at: consent.given_at.into(),
                    until: consent.until.map(Into::into),
                    good: consent.until.is_none_or(|until| until > now),
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
) -> Answer<DncResult> {
    let (begun, campaign) = (Instant::now(), request.campaign);
    let known = (backend.member.directory())
        .read(|d| (d.consents_of(number).iter()).any(|(_, c)| c.campaign == campaign));
    if !known {
        return Err(missing("consent of that campaign of", number));
    }
    let detail = format!("{number} {campaign:?}: {}", request.reason);
    audit(by, "withdraw_consent", &detail);
    let change = Change::ChangeConsents {
        add: Vec::new(),
        withdraw: vec![(number, campaign)],
        reason: request.reason,
    };
    match backend.change(change).await?.reply {
        DirectoryReply::Clearance { index, .. } => {
            acknowledged(backend, begun, index, request.wait, "the withdrawal").await
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
