//! Consents, and which campaigns ask for them.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{
    CampaignId, ClearanceFact, Consent, ConsentGrant, ConsentId, ConsentKind, ConsentProof,
    PhoneNumber, WallTime, limits,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

type Done = Result<DirectoryReply, Rejection>;

/// Whose consent, for which campaign (all, if none).
pub type ConsentKey = (PhoneNumber, Option<CampaignId>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    id: ConsentId,
    kind: ConsentKind,
    proof: u32,
    given_at: WallTime,
    until: Option<WallTime>,
}

/// The directory's consents. Proofs are kept once: a form has thousands of answers.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ConsentBook {
    rows: BTreeMap<ConsentKey, Row>,
    proofs: BTreeMap<ConsentProof, u32>,
    /// Campaigns that dial nobody without consent, whatever their rule packs say.
    required: BTreeSet<CampaignId>,
    last: u64,
}

impl Row {
    const fn grant(&self) -> ConsentGrant {
        ConsentGrant {
            id: self.id,
            kind: self.kind,
            until: self.until,
        }
    }
}

impl ConsentBook {
    pub(super) fn facts(&self) -> impl Iterator<Item = ClearanceFact> {
        let consents = (self.rows.iter()).map(|((number, campaign), row)| {
            ClearanceFact::Consent(*number, *campaign, Some(row.grant()))
        });
        let required = self.required.iter();
        consents.chain(required.map(|id| ClearanceFact::RequiresConsent(*id, true)))
    }
}

impl Directory {
    /// How many consents there are.
    pub fn consents_len(&self) -> usize {
        self.consents.rows.len()
    }

    /// The consents of a number, good or over, with their ids.
    pub fn consents_of(&self, number: PhoneNumber) -> Vec<(ConsentId, Consent)> {
        let book = &self.consents;
        let rows = (book.rows.range((number, None)..)).take_while(|((n, _), _)| *n == number);
        rows.map(|((number, campaign), row)| {
            let proof = book.proofs.iter().find(|(_, place)| **place == row.proof);
            let consent = Consent {
                number: *number,
                campaign: *campaign,
                proof: (proof.map(|(proof, _)| proof.clone()))
                    .expect("a consent's proof stays for as long as the directory"),
                given_at: row.given_at,
                until: row.until,
            };
            (row.id, consent)
        })
        .collect()
    }

    /// A consent that is good at `wall`: the campaign's own, or one for all.
    pub fn consent_for(
        &self,
        number: PhoneNumber,
        campaign: CampaignId,
        wall: WallTime,
    ) -> Option<ConsentGrant> {
        [Some(campaign), None]
            .into_iter()
            .filter_map(|campaign| self.consents.rows.get(&(number, campaign)))
            .map(Row::grant)
            .find(|grant| grant.is_good(wall))
    }

    /// Whether a campaign itself asks for consent; its rule pack may, too.
    pub fn requires_consent(&self, campaign: CampaignId) -> bool {
        self.consents.required.contains(&campaign)
    }

    pub(super) fn change_consents(
        &mut self,
        add: &[Consent],
        withdraw: &[ConsentKey],
        reason: &str,
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::room("add", 0, add.len(), limits::DNC_BATCH)?;
        checks::room("withdraw", 0, withdraw.len(), limits::DNC_BATCH)?;
        if !withdraw.is_empty() {
            checks::name("reason", reason)?;
        }
        for consent in add {
            checks::name("add.source", &consent.proof.source)?;
            checks::name("add.place", &consent.proof.place)?;
            if let Some(campaign) = consent.campaign {
                let known = self.campaigns.contains_key(&campaign);
                checks::known("add.campaign", campaign, known)?;
            }
            if consent.until.is_some_and(|until| until <= consent.given_at) {
                let why = "is not after given_at";
                return Err(Rejection::new("add.until", why));
            }
        }
        let book = &mut self.consents;
        let key = |consent: &Consent| (consent.number, consent.campaign);
        let new: BTreeSet<ConsentKey> = (add.iter().map(key))
            .filter(|key| !book.rows.contains_key(key))
            .collect();
        checks::room("consents", book.rows.len(), new.len(), limits::CONSENTS)?;
        let proofs: BTreeSet<&ConsentProof> = (add.iter().map(|consent| &consent.proof))
            .filter(|proof| !book.proofs.contains_key(proof))
            .collect();
        let have = book.proofs.len();
        checks::room("proofs", have, proofs.len(), limits::CONSENT_PROOFS)?;
        let mut told = Vec::with_capacity(add.len() + withdraw.len());
        for consent in add {
            let next = book.proofs.len() as u32;
            let proof = *book.proofs.entry(consent.proof.clone()).or_insert(next);
            book.last += 1;
            let row = Row {
                id: ConsentId(book.last),
                kind: consent.proof.kind,
                proof,
                given_at: consent.given_at,
                until: consent.until,
            };
            let (number, campaign) = key(consent);
            book.rows.insert((number, campaign), row);
            told.push(ClearanceFact::Consent(number, campaign, Some(row.grant())));
        }
        // Last: in doubt nobody agreed.
        let (mut removed, mut kept) = (0, 0);
        for key in withdraw {
            if self.consents.rows.remove(key).is_some() {
                told.push(ClearanceFact::Consent(key.0, key.1, None));
                removed += 1;
            } else {
                kept += 1;
            }
        }
        Ok(self.cleared(new.len() as u32, removed, kept, told, facts))
    }

    pub(super) fn require_consent(
        &mut self,
        campaign: CampaignId,
        required: bool,
        facts: &mut Vec<Fact>,
    ) -> Done {
        let known = self.campaigns.contains_key(&campaign);
        checks::known("campaign", campaign, known)?;
        let changed = match required {
            true => self.consents.required.insert(campaign),
            false => self.consents.required.remove(&campaign),
        };
        let told = (changed).then_some(ClearanceFact::RequiresConsent(campaign, required));
        Ok(self.cleared(0, 0, 0, told.into_iter().collect(), facts))
    }
}
