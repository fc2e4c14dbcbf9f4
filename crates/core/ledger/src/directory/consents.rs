//! Consents, and which campaigns ask for them.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{
    CampaignId, ClearanceFact, Consent, ConsentGrant, ConsentId, ConsentKind, ConsentProof,
    PhoneNumber, SharedMap, WallTime, limits,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

type Done = Result<DirectoryReply, Rejection>;

/// Consents that each entry looks at, to find those that are over for long.
pub(super) const LOOKED_AT: usize = 64;

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

/// One consent of a number, as the directory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownConsent {
    /// Its id, as call records and the audit chain name it.
    pub id: ConsentId,
    /// Whose, for what, with its proof.
    pub consent: Consent,
    /// Since when the person agrees no more, if so.
    pub withdrawn: Option<WallTime>,
}

/// Who agrees no more, and since when. A mark for no campaign is for every one. Marks stay when
/// rows go: a file of earlier consents may be imported again on any day.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Withdrawals(SharedMap<ConsentKey, WallTime>);

impl FromIterator<(ConsentKey, WallTime)> for Withdrawals {
    fn from_iter<I: IntoIterator<Item = (ConsentKey, WallTime)>>(marks: I) -> Self {
        Self(marks.into_iter().collect())
    }
}

impl Withdrawals {
    /// The latest withdrawal that says something of a consent.
    fn since(&self, (number, campaign): ConsentKey) -> Option<WallTime> {
        if self.0.is_empty() {
            return None;
        }
        let own = campaign.and_then(|id| self.0.get(&(number, Some(id))));
        own.max(self.0.get(&(number, None))).copied()
    }

    /// Since when a consent given at that time is withdrawn, if it is.
    fn of(&self, key: ConsentKey, given_at: WallTime) -> Option<WallTime> {
        self.since(key).filter(|at| given_at <= *at)
    }
}

/// The directory's consents, those that are over or withdrawn too. Proofs are kept once: a form has
/// thousands of answers.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ConsentBook {
    rows: SharedMap<ConsentKey, Row>,
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

/// Why a consent is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentRefusal {
    /// The person withdrew what they had agreed to, at this time, which is not before it was given.
    Withdrawn(WallTime),
    /// One that was given later, at this time, is known.
    Older(WallTime),
}

impl ConsentBook {
    /// Whether exactly this is known.
    fn has(&self, consent: &Consent) -> bool {
        let row = self.rows.get(&(consent.number, consent.campaign));
        row.is_some_and(|row| {
            (row.given_at, row.until) == (consent.given_at, consent.until)
                && self.proofs.get(&consent.proof) == Some(&row.proof)
        })
    }

    /// A number's rows.
    fn of(&self, number: PhoneNumber) -> impl Iterator<Item = (ConsentKey, &Row)> {
        (self.rows.range((number, None)..))
            .take_while(move |((n, _), _)| *n == number)
            .map(|(key, row)| (*key, row))
    }

    pub(super) fn facts(&self, withdrawals: &Withdrawals) -> impl Iterator<Item = ClearanceFact> {
        let stands =
            |(key, row): &(&ConsentKey, &Row)| withdrawals.of(**key, row.given_at).is_none();
        let consents = (self.rows.iter().filter(stands)).map(|((number, campaign), row)| {
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

    /// The consents of a number: good, over and withdrawn ones.
    pub fn consents_of(&self, number: PhoneNumber) -> Vec<KnownConsent> {
        let book = &self.consents;
        (book.of(number))
            .map(|((number, campaign), row)| {
                let proof = book.proofs.iter().find(|(_, place)| **place == row.proof);
                let consent = Consent {
                    number,
                    campaign,
                    proof: (proof.map(|(proof, _)| proof.clone()))
                        .expect("a consent's proof stays for as long as the consent"),
                    given_at: row.given_at,
                    until: row.until,
                };
                KnownConsent {
                    id: row.id,
                    consent,
                    withdrawn: self.withdrawals.of((number, campaign), row.given_at),
                }
            })
            .collect()
    }

    /// Whether a consent of exactly this number and campaign is known; it may be over or withdrawn.
    pub fn has_consent(&self, key: ConsentKey) -> bool {
        self.consents.rows.contains_key(&key)
    }

    /// Why this consent would not be taken, if so: the person withdrew it, or gave a later one.
    pub fn consent_refusal(&self, consent: &Consent) -> Option<ConsentRefusal> {
        let key = (consent.number, consent.campaign);
        if let Some(at) = self.withdrawals.of(key, consent.given_at) {
            return Some(ConsentRefusal::Withdrawn(at));
        }
        let known = self.consents.rows.get(&key)?.given_at;
        (consent.given_at < known).then_some(ConsentRefusal::Older(known))
    }

    /// A consent that is good at `wall` and not withdrawn: the campaign's own, or one for all.
    pub fn consent_for(
        &self,
        number: PhoneNumber,
        campaign: CampaignId,
        wall: WallTime,
    ) -> Option<ConsentGrant> {
        [Some(campaign), None]
            .into_iter()
            .filter_map(|campaign| {
                let key = (number, campaign);
                let row = self.consents.rows.get(&key)?;
                (self.withdrawals.of(key, row.given_at).is_none()).then(|| row.grant())
            })
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
        let key = |consent: &Consent| (consent.number, consent.campaign);
        let taken = || add.iter().filter(|c| self.consent_refusal(c).is_none());
        let new: BTreeSet<ConsentKey> = (taken().map(key))
            .filter(|key| !self.consents.rows.contains_key(key))
            .collect();
        let have = self.consents.rows.len();
        checks::room("consents", have, new.len(), limits::CONSENTS)?;
        let proofs: BTreeSet<&ConsentProof> = (taken().map(|consent| &consent.proof))
            .filter(|proof| !self.consents.proofs.contains_key(proof))
            .collect();
        let unused = self.proofs_to_forget(proofs.len(), taken().map(|c| &c.proof));
        let have = self.consents.proofs.len() - unused.len();
        if have + proofs.len() > limits::CONSENT_PROOFS {
            let why = format!(
                "{have} different ones are known, {} more do not fit; use one source for one form, \
                 and not one for each answer",
                proofs.len()
            );
            return Err(Rejection::over(
                "proofs",
                why,
                limits::CONSENT_PROOFS as u64,
            ));
        }
        let marks: BTreeSet<&ConsentKey> = (withdraw.iter())
            .filter(|key| !self.withdrawals.0.contains_key(key))
            .collect();
        let have = self.withdrawals.0.len();
        let most = limits::CONSENT_WITHDRAWALS;
        if have + marks.len() > most {
            let why = format!(
                "{have} are remembered, {} more do not fit; put these numbers on do-not-call",
                marks.len()
            );
            return Err(Rejection::over("withdrawals", why, most as u64));
        }
        (self.consents.proofs).retain(|_, id| !unused.contains(id));
        let ids: BTreeSet<u32> = match proofs.is_empty() {
            true => BTreeSet::new(),
            false => self.consents.proofs.values().copied().collect(),
        };
        let mut free = (0..).filter(|id| !ids.contains(id));
        let mut told = Vec::with_capacity(add.len() + withdraw.len());
        let (mut added, mut removed, mut kept) = (0, 0, 0);
        for consent in add {
            if self.consent_refusal(consent).is_some() {
                kept += 1;
                continue;
            }
            let book = &mut self.consents;
            // A file that comes again: the consent keeps its id, which records name, and nobody is
            // told what they know.
            if book.has(consent) {
                continue;
            }
            let proof = match book.proofs.get(&consent.proof) {
                Some(known) => *known,
                None => {
                    let id = free.next().expect("there are fewer proofs than integers");
                    book.proofs.insert(consent.proof.clone(), id);
                    id
                }
            };
            book.last += 1;
            let row = Row {
                id: ConsentId(book.last),
                kind: consent.proof.kind,
                proof,
                given_at: consent.given_at,
                until: consent.until,
            };
            let (number, campaign) = key(consent);
            added += u32::from(book.rows.insert((number, campaign), row).is_none());
            told.push(ClearanceFact::Consent(number, campaign, Some(row.grant())));
        }
        // Last: in doubt nobody agreed.
        for key in withdraw {
            let gone = self.withdraw(*key, &mut told);
            removed += gone;
            kept += u32::from(gone == 0);
        }
        Ok(self.cleared(added, removed, kept, told, facts))
    }

    /// Whether so many more proofs of consents fit, once those that no consent has are forgotten.
    pub fn has_room_for_proofs(&self, new: usize) -> bool {
        let unused = self.proofs_to_forget(new, std::iter::empty()).len();
        self.consents.proofs.len() - unused + new <= limits::CONSENT_PROOFS
    }

    /// The places of proofs that make room for so many new ones: those that neither a consent nor
    /// these `needed` have. One look at each consent where there is no room, else none.
    fn proofs_to_forget<'a>(
        &self,
        new: usize,
        needed: impl Iterator<Item = &'a ConsentProof>,
    ) -> BTreeSet<u32> {
        let book = &self.consents;
        if book.proofs.len() + new <= limits::CONSENT_PROOFS {
            return BTreeSet::new();
        }
        let mut used: BTreeSet<u32> = book.rows.values().map(|row| row.proof).collect();
        used.extend(needed.filter_map(|proof| book.proofs.get(proof)));
        let all = book.proofs.values().copied();
        all.filter(|id| !used.contains(id)).collect()
    }

    /// Whether a proof is known.
    pub fn knows_proof(&self, proof: &ConsentProof) -> bool {
        self.consents.proofs.contains_key(proof)
    }

    /// Forgets consents that are over or withdrawn for long, looking at a few in the order of
    /// numbers with each entry: at all of them in time. Withdrawals stay.
    pub(super) fn expire_consents(&mut self, facts: &mut Vec<Fact>) {
        let from = (self.consents_looked_at).map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.consents.rows.range((from, Bound::Unbounded));
        let (mut seen, mut over) = (0, Vec::new());
        self.consents_looked_at = None;
        for (key, row) in next.take(LOOKED_AT) {
            let withdrawn = self.withdrawals.of(*key, row.given_at);
            let ended = [row.until, withdrawn].into_iter().flatten().min();
            if ended.is_some_and(|at| at + limits::CONSENT_KEPT <= self.clock) {
                over.push(*key);
            }
            seen += 1;
            if seen == LOOKED_AT {
                self.consents_looked_at = Some(*key);
            }
        }
        for key in &over {
            self.consents.rows.remove(key);
        }
        if !over.is_empty() {
            let gone = |(number, campaign)| ClearanceFact::Consent(number, campaign, None);
            facts.push(Fact::Clearance(over.into_iter().map(gone).collect()));
        }
    }

    /// Marks a consent as withdrawn, or all of a number where no campaign is named: what was given
    /// before counts no more, also where it is not known yet. How many stood until now.
    fn withdraw(&mut self, key: ConsentKey, told: &mut Vec<ClearanceFact>) -> u32 {
        let (mut at, mut gone) = (self.clock, 0);
        let meant = |other: ConsentKey| key.1.is_none() || other == key;
        for (other, row) in self.consents.of(key.0).filter(|(other, _)| meant(*other)) {
            if self.withdrawals.of(other, row.given_at).is_none() {
                // The importer's clock may be ahead of this calendar.
                at = at.max(row.given_at);
                told.push(ClearanceFact::Consent(other.0, other.1, None));
                gone += 1;
            }
        }
        let marks = &mut self.withdrawals.0;
        let mark = marks.get(&key).copied().unwrap_or(at);
        marks.insert(key, at.max(mark));
        gone
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
