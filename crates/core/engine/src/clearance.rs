//! Numbers that may not be dialed any more: what rings is cancelled, hoppers are emptied.

use crate::Engine;
use call::CancelReason;
use domain::{
    AttemptId, CampaignId, ClearanceFact, LeasedLead, Now, PhoneNumber, PrefixMap, Target,
};
use std::collections::BTreeSet;

/// Which leads facts may forbid, so that each lead in hand is looked up once, however many facts
/// come in one entry. Those that only allow concern nobody.
#[derive(Debug, Default)]
struct Concerned {
    numbers: BTreeSet<PhoneNumber>,
    prefixes: PrefixMap<()>,
    campaigns: BTreeSet<CampaignId>,
}

impl Concerned {
    fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.prefixes.is_empty() && self.campaigns.is_empty()
    }

    fn picks(&self, number: PhoneNumber, campaign: CampaignId) -> bool {
        self.campaigns.contains(&campaign)
            || self.numbers.contains(&number)
            || self.prefixes.covering(number).next().is_some()
    }
}

impl<'a> FromIterator<&'a ClearanceFact> for Concerned {
    fn from_iter<I: IntoIterator<Item = &'a ClearanceFact>>(facts: I) -> Self {
        let mut all = Self::default();
        for fact in facts {
            match *fact {
                ClearanceFact::Pattern(_, false)
                | ClearanceFact::ScopedPattern(_, _, false)
                | ClearanceFact::Lift(_, true)
                | ClearanceFact::Freeze(_, None)
                | ClearanceFact::RequiresConsent(_, false) => {}
                ClearanceFact::Pattern(prefix, true)
                | ClearanceFact::ScopedPattern(prefix, _, true)
                | ClearanceFact::Freeze(Target::Prefix(prefix), Some(_)) => {
                    all.prefixes.insert(prefix, ());
                }
                // One without an end is good whatever was before.
                ClearanceFact::Consent(_, _, Some(grant)) if grant.until.is_none() => {}
                ClearanceFact::Freeze(Target::Number(number), Some(_))
                | ClearanceFact::Lift(number, false)
                | ClearanceFact::Consent(number, ..) => {
                    all.numbers.insert(number);
                }
                ClearanceFact::RequiresConsent(campaign, true) => {
                    all.campaigns.insert(campaign);
                }
            }
        }
        all
    }
}

impl Engine {
    /// The directory's entry `index` changed patterns, freezes and consents.
    pub(crate) fn clearance_changed(&mut self, now: Now, index: u64, facts: &[ClearanceFact]) {
        for fact in facts {
            self.permit.dnc_mut().take(fact, index);
        }
        let concerned: Concerned = facts.iter().collect();
        if !concerned.is_empty() {
            self.forbid_where(now, |lead| concerned.picks(lead.number, lead.campaign));
        }
    }

    /// A number may not be called any more.
    pub(crate) fn forbid(&mut self, now: Now, number: PhoneNumber) {
        self.forbid_where(now, |lead| lead.number == number);
    }

    /// Looks at every lead in hand that `concerned` picks, and lets go of those that may not be
    /// called now.
    pub(crate) fn forbid_where(&mut self, now: Now, concerned: impl Fn(&LeasedLead) -> bool) {
        let dnc = self.permit.dnc();
        let barred = |lead: &LeasedLead| {
            let required = self.facts.consent_required(lead.campaign);
            concerned(lead) && dnc.bars(lead, required, now.wall)
        };
        let leads = self.hoppers.take_if(barred);
        let ringing: Vec<AttemptId> = (self.calls.attempts())
            .filter(|(attempt, ..)| self.calls.lease(*attempt).is_some_and(barred))
            .map(|(attempt, ..)| attempt)
            .collect();
        self.give_back(leads);
        for attempt in ringing {
            self.cancel(now, attempt, CancelReason::DoNotCall);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ConsentGrant, ConsentId, ConsentKind, DncScope, WallTime};

    #[test]
    fn facts_that_only_allow_concern_nobody() {
        let number: PhoneNumber = "+14155550134".parse().unwrap();
        let other: PhoneNumber = "+14155550135".parse().unwrap();
        let prefix = "+1415555".parse().unwrap();
        let (campaign, winter) = (CampaignId(1), CampaignId(2));
        let until = Some(WallTime::from_millis(9));
        let grant = |until| {
            Some(ConsentGrant {
                id: ConsentId(1),
                kind: ConsentKind::Form,
                until,
            })
        };
        let of = |facts: &[ClearanceFact]| facts.iter().collect::<Concerned>();
        let allow = of(&[
            ClearanceFact::Pattern(prefix, false),
            ClearanceFact::ScopedPattern(prefix, DncScope::Campaign(campaign), false),
            ClearanceFact::Lift(number, true),
            ClearanceFact::Freeze(Target::Number(number), None),
            ClearanceFact::Freeze(Target::Prefix(prefix), None),
            ClearanceFact::RequiresConsent(campaign, false),
            ClearanceFact::Consent(number, None, grant(None)),
        ]);
        assert!(allow.is_empty());
        for (fact, both) in [
            (ClearanceFact::Pattern(prefix, true), true),
            (
                ClearanceFact::ScopedPattern(prefix, DncScope::Campaign(winter), true),
                true,
            ),
            (ClearanceFact::Lift(number, false), false),
            (ClearanceFact::Freeze(Target::Prefix(prefix), until), true),
            (ClearanceFact::Freeze(Target::Number(number), until), false),
            (ClearanceFact::Consent(number, None, None), false),
            (
                ClearanceFact::Consent(number, Some(campaign), grant(until)),
                false,
            ),
        ] {
            let concerned = of(&[fact]);
            assert!(concerned.picks(number, winter), "{fact:?}");
            assert_eq!(concerned.picks(other, winter), both, "{fact:?}");
        }
        let asked = of(&[ClearanceFact::RequiresConsent(campaign, true)]);
        assert!(asked.picks(other, campaign) && !asked.picks(other, winter));
    }
}
