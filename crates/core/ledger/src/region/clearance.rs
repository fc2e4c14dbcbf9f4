//! Patterns, freezes and consents, as a region keeps its leads from being dialed by them.

use super::{
    RegionEvent, RegionLedger, RegionRefusal, RegionReply,
    book::{Blocked, LeadSlot},
};
use crate::rules::Rules;
use domain::{CampaignId, Clearance, ClearanceFact, PhoneNumber, Target, WallTime, limits};
use std::collections::BTreeSet;

/// Patterns up to so many digits cover so much of a region that every lead is looked at.
const FEW_DIGITS: usize = 3;
/// Numbers of a longer one that are gathered at a time.
const PIECE: usize = 1_024;

/// What ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    Freeze(Target),
    Consent(PhoneNumber, Option<CampaignId>),
}

/// When something ends by itself, and what.
fn ending(fact: &ClearanceFact) -> Option<(WallTime, Ending)> {
    match *fact {
        ClearanceFact::Freeze(target, until) => Some((until?, Ending::Freeze(target))),
        ClearanceFact::Consent(number, campaign, grant) => {
            Some((grant?.until?, Ending::Consent(number, campaign)))
        }
        ClearanceFact::Pattern(..)
        | ClearanceFact::RequiresConsent(..)
        | ClearanceFact::ScopedPattern(..)
        | ClearanceFact::Lift(..) => None,
    }
}

/// The ends of freezes and consents that are yet to come.
pub(super) fn endings(clearance: &Clearance, clock: WallTime) -> BTreeSet<(WallTime, Ending)> {
    let endings = clearance.facts().filter_map(|fact| ending(&fact));
    endings.filter(|(until, _)| *until > clock).collect()
}

impl RegionLedger {
    pub(super) fn take_clearance(
        &mut self,
        directory_index: u64,
        facts: &[ClearanceFact],
        events: &mut Vec<RegionEvent>,
    ) -> Result<RegionReply, RegionRefusal> {
        if directory_index < self.facts_index {
            return Err(RegionRefusal::StaleFacts {
                got: directory_index,
                have: self.facts_index,
            });
        }
        let most = 2 * limits::DNC_BATCH;
        if facts.len() > most {
            return Err(RegionRefusal::TooMany {
                what: "patterns, freezes and consents".into(),
                got: facts.len() as u64,
                limit: most as u64,
            });
        }
        self.facts_index = directory_index;
        for fact in facts {
            if let Some(before) = self.clearance.own(fact).and_then(|own| ending(&own)) {
                self.endings.remove(&before);
            }
            if let Some(next) = ending(fact).filter(|(until, _)| *until > self.clock()) {
                self.endings.insert(next);
            }
            if self.clearance.take(fact) {
                if let ClearanceFact::Lift(number, true) = fact {
                    self.found_lifted(*number);
                }
                match (fact.target(), fact) {
                    (Some(target), _) => self.recheck_target(target),
                    (None, ClearanceFact::RequiresConsent(campaign, _)) => {
                        self.recheck_campaign(*campaign);
                    }
                    (None, _) => {}
                }
            }
        }
        events.push(RegionEvent::FactsTaken { directory_index });
        Ok(RegionReply::FactsTaken { directory_index })
    }

    /// What ends by itself has ended by the calendar: leads are looked at again.
    pub(super) fn pass_endings(&mut self) {
        while let Some((until, what)) = self.endings.first().copied() {
            if until > self.clock() {
                break;
            }
            self.endings.pop_first();
            match what {
                Ending::Freeze(target) => self.recheck_target(target),
                Ending::Consent(number, _) => self.recheck(number),
            }
        }
    }

    /// Brings every lead of a campaign in line: one look at each lead of the region.
    pub(super) fn recheck_campaign(&mut self, campaign: CampaignId) {
        for lead in 0..self.book.rows.len() as LeadSlot {
            if self.book.rows[lead as usize].campaign == campaign {
                let number = self.book.number_of(lead).number;
                self.recheck_lead(number, lead);
            }
        }
    }

    /// Whether a campaign dials nobody without consent.
    pub(super) fn consent_required(&self, campaign: CampaignId) -> bool {
        let pack = (self.campaigns.get(&campaign)).and_then(|c| Rules::of(&c.rule_pack));
        self.clearance.requires_consent(campaign)
            || pack.is_some_and(|rules| rules.consent_required())
    }

    /// Brings the leads of a number or pattern in line with everything that may forbid them.
    fn recheck_target(&mut self, target: Target) {
        match target {
            Target::Number(number) => self.recheck(number),
            // Most of a region, maybe: leads one after the other, by no index.
            Target::Prefix(prefix) if prefix.len() <= FEW_DIGITS => {
                for lead in 0..self.book.rows.len() as LeadSlot {
                    let number = self.book.number_of(lead).number;
                    if prefix.covers(number) {
                        self.recheck_lead(number, lead);
                    }
                }
            }
            Target::Prefix(prefix) => {
                let mut numbers = Vec::with_capacity(PIECE);
                for (mut first, last) in prefix.ranges() {
                    loop {
                        let found = self.book.numbers_within((first, last));
                        numbers.extend(found.take(PIECE));
                        numbers.iter().for_each(|number| self.recheck(*number));
                        let next = numbers.last().map(|number| number.digits() + 1);
                        let next = next.and_then(|digits| PhoneNumber::from_digits(digits).ok());
                        let more = numbers.len() == PIECE;
                        numbers.clear();
                        match next.filter(|next| more && *next <= last) {
                            Some(next) => first = next,
                            None => break,
                        }
                    }
                }
            }
        }
    }

    /// What nodes found of a number in the base does not hold it back any more.
    fn found_lifted(&mut self, number: PhoneNumber) {
        for lead in self.book.leads_of(number) {
            self.book.change(lead, |row| {
                row.blocked = row.blocked.with(Blocked::BASE, false);
            });
        }
    }

    /// Brings the leads of a number in line with everything that may forbid them.
    pub(super) fn recheck(&mut self, number: PhoneNumber) {
        let mut lead = self.book.first_of(number);
        while let Some(slot) = lead {
            lead = self.book.after(slot);
            self.recheck_lead(number, slot);
        }
    }

    fn recheck_lead(&mut self, number: PhoneNumber, lead: LeadSlot) {
        let row = &self.book.rows[lead as usize];
        let blocked = self.blocked(number, row.campaign, row.blocked);
        if blocked != row.blocked {
            self.book.change(lead, |row| row.blocked = blocked);
        }
    }

    /// What forbids a number in a campaign now; what a node found stays as it was.
    pub(super) fn blocked(
        &self,
        number: PhoneNumber,
        campaign: CampaignId,
        before: Blocked,
    ) -> Blocked {
        let frozen = self.clearance.frozen_until(number, self.clock());
        before
            .with(Blocked::ENTRY, self.dnc_covers(number, campaign))
            .with(Blocked::FROZEN, frozen.is_some())
            .with(
                Blocked::CONSENT,
                self.consent_required(campaign)
                    && (self.clearance.consent(number, campaign, self.clock())).is_none(),
            )
    }
}
