//! Numbers that may not be dialed any more: what rings is cancelled, hoppers are emptied.

use crate::Engine;
use call::CancelReason;
use domain::{AttemptId, ClearanceFact, LeasedLead, Now, PhoneNumber};
use permit::DncSet;

impl Engine {
    /// The directory's entry `index` changed patterns and freezes.
    pub(crate) fn clearance_changed(&mut self, now: Now, index: u64, facts: &[ClearanceFact]) {
        for fact in facts {
            self.permit.dnc_mut().take(fact, index);
        }
        self.forbid_where(now, |lead| {
            (facts.iter()).any(|fact| fact.concerns(lead.number, lead.campaign))
        });
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
            concerned(lead) && is_barred(dnc, required, now, lead)
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

/// Whether do-not-call, a freeze or the lack of consent (`required`: by the rule pack) forbids a lead
/// now.
pub(crate) fn is_barred(dnc: &DncSet, required: bool, now: Now, lead: &LeasedLead) -> bool {
    let required = required || dnc.requires_consent(lead.campaign);
    dnc.covers(lead.number, lead.campaign, lead.lead.region())
        || dnc.is_frozen(lead.number, now.wall)
        || (required && (dnc.consent(lead.number, lead.campaign, now.wall)).is_none())
}
