//! I3: where a campaign asks for consent, no INVITE without one that stands, once that it asks was
//! answered as effective. What was withdrawn stands no more, once that was answered, however often it
//! is imported again: a consent counts by the time at which the person really gave it.

use super::{
    Invite,
    clearance::{GRACE, SKEW},
};
use crate::violation::{Checked, Invariant};
use domain::{CampaignId, ClearanceFact, LeasedLead, PhoneNumber, WallTime};
use ledger::ConsentKey;
use std::collections::BTreeMap;

/// A consent as the person gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given {
    at: WallTime,
    until: Option<WallTime>,
}

/// What was asked for, given and withdrawn.
#[derive(Debug, Default)]
pub(crate) struct Consents {
    /// Campaigns that ask, since when all nodes know.
    asks: BTreeMap<CampaignId, u64>,
    /// Index of the last entry about each.
    said: BTreeMap<CampaignId, u64>,
    /// Everything that was ever imported or is about to be.
    given: BTreeMap<ConsentKey, Vec<Given>>,
    /// Withdrawals that all nodes know of: by the directory's calendar, and since when.
    withdrawn: BTreeMap<ConsentKey, Vec<(WallTime, u64)>>,
}

impl Consents {
    /// A person agreed, which a file says that is imported soon.
    pub(crate) fn given(&mut self, key: ConsentKey, at: WallTime, until: Option<WallTime>) {
        let all = self.given.entry(key).or_default();
        let one = Given { at, until };
        if !all.contains(&one) {
            all.push(one);
        }
    }

    /// The directory's entry `index` says so.
    pub(crate) fn changed(&mut self, fact: &ClearanceFact, index: u64) {
        if let ClearanceFact::RequiresConsent(campaign, _) = *fact {
            self.asks.remove(&campaign);
            self.said.insert(campaign, index);
        }
    }

    /// That entry was answered as effective. True when it binds.
    pub(crate) fn effective(&mut self, now: u64, fact: &ClearanceFact, index: u64) -> bool {
        match *fact {
            ClearanceFact::RequiresConsent(campaign, true)
                if self.said.get(&campaign) == Some(&index) =>
            {
                self.asks.entry(campaign).or_insert(now);
                true
            }
            _ => false,
        }
    }

    /// A withdrawal of then, by the directory's calendar, was answered as effective.
    pub(crate) fn withdrawn(&mut self, now: u64, key: ConsentKey, at: WallTime) {
        self.withdrawn.entry(key).or_default().push((at, now));
    }

    /// Since when nothing stands by which a lead may be called, if so. `wall` is none where an end
    /// does not matter: what rings, rings on.
    fn nothing_since(
        &self,
        (number, campaign): (PhoneNumber, CampaignId),
        wall: Option<i64>,
    ) -> Option<u64> {
        let mut since = *self.asks.get(&campaign)?;
        let keys = [(number, Some(campaign)), (number, None)];
        for key in keys {
            for given in self.given.get(&key).into_iter().flatten() {
                let over = |until: WallTime| wall.is_some_and(|w| w >= until.as_millis() + SKEW);
                if given.until.is_some_and(over) {
                    continue;
                }
                let marks = [key, (key.0, None)];
                let marks = marks.iter().filter_map(|key| self.withdrawn.get(key));
                let voided = marks.flatten().filter(|(at, _)| given.at <= *at);
                since = since.max(voided.map(|(_, since)| *since).min()?);
            }
        }
        Some(since)
    }

    pub(super) fn invite(&self, invite: &Invite<'_>) -> Checked {
        let lead = (invite.lead.number, invite.lead.campaign);
        match self.nothing_since(lead, Some(invite.wall)) {
            None => Ok(()),
            Some(since) => Err(Invariant::I3.broken(format!(
                "node {} dials {} for {} without a consent since {since} ms",
                invite.node, invite.lead.number, invite.lead.campaign
            ))),
        }
    }

    pub(super) fn rings(&self, now: u64, node: usize, lead: &LeasedLead) -> Checked {
        match self.nothing_since((lead.number, lead.campaign), None) {
            Some(since) if now > since + GRACE => Err(Invariant::I3.broken(format!(
                "{} still rings at node {node}, {} ms after its last consent was withdrawn",
                lead.attempt,
                now - since
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{CAMPAIGNS, number};

    const fn at(millis: i64) -> WallTime {
        WallTime::from_millis(millis)
    }

    #[test]
    fn only_what_was_given_after_the_withdrawal_stands() {
        let lead = (number(1), CAMPAIGNS[0]);
        let mut consents = Consents::default();
        let key = (number(1), None);
        consents.given(key, at(10), Some(at(100_000)));
        let nothing = |c: &Consents, wall| c.nothing_since(lead, wall);
        assert_eq!(nothing(&consents, Some(50)), None, "nobody asks");
        let asks = ClearanceFact::RequiresConsent(CAMPAIGNS[0], true);
        consents.changed(&asks, 7);
        assert!(!consents.effective(5, &asks, 6) && consents.effective(5, &asks, 7));
        assert_eq!(nothing(&consents, Some(50)), None);
        assert_eq!(nothing(&consents, Some(100_000 + SKEW)), Some(5), "over");
        assert_eq!(nothing(&consents, None), None, "what rings, rings on");
        consents.withdrawn(9, key, at(20));
        assert_eq!(nothing(&consents, Some(50)), Some(9));
        consents.given((number(1), Some(CAMPAIGNS[0])), at(15), None);
        assert_eq!(nothing(&consents, Some(50)), Some(9), "an old one");
        consents.given(key, at(21), None);
        assert_eq!(nothing(&consents, Some(50)), None);
        consents.changed(&ClearanceFact::RequiresConsent(CAMPAIGNS[0], false), 8);
        consents.withdrawn(11, key, at(30));
        assert_eq!(nothing(&consents, Some(50)), None);
    }
}
