//! From an attempt's end to its outcome and call record.

use crate::{Engine, Entry, Observed, Output, TimerName};
use call::AttemptEnd;
use domain::{
    AttemptId, CallOutcome, CallRecord, DncEntry, DncScope, DncSource, LeasedLead, LegId, LegStats,
    Now, PhoneNumber,
};
use std::time::Duration;

/// How long a record waits for the relay's figures.
const FIGURES_LIMIT: Duration = Duration::from_secs(2);

/// An attempt that ended, on its way into the journal.
#[derive(Debug)]
pub(crate) struct Ending {
    end: Box<AttemptEnd>,
    carrier_leg: Option<LegStats>,
    /// The relay still has the leg, whose figures come at its end.
    open: bool,
}

impl Engine {
    /// An attempt has its disposition. Its record waits for the leg's figures, if a leg is open, and for
    /// what became of its recording, if it has one.
    pub(crate) fn closed(&mut self, now: Now, end: Box<AttemptEnd>) {
        let attempt = end.lease.attempt;
        self.forget_carried(attempt);
        self.remember_called(&end);
        // Nothing of a call-back is an attempt's: no budget, no answer rate, no limit knows it.
        if end.call_back.is_none() {
            self.count_closed(&end);
            self.learn_end(now, &end);
            self.learn_answer(now, &end);
            self.observe_closed(&end);
        }
        self.grants.remove(&attempt);
        let open = self.legs.is_open(end.leg);
        let ending = Ending {
            carrier_leg: self.legs.figures(end.leg),
            end,
            open,
        };
        if open || self.recording_untold(attempt) {
            self.timers
                .arm(TimerName::Record(attempt), now.monotonic + FIGURES_LIMIT);
            self.endings.insert(attempt, ending);
        } else {
            self.write_ending(ending);
        }
    }

    fn observe_closed(&mut self, end: &AttemptEnd) {
        let delay = end
            .dialed
            .as_ref()
            .zip(end.ringing_at)
            .map(|(d, r)| r.since(d.invited_at));
        self.observe(Observed::Closed {
            campaign: end.lease.campaign,
            disposition: end.disposition,
            post_dial_delay: delay,
        });
    }

    /// The relay told a leg's figures.
    pub(crate) fn figures(&mut self, leg: LegId, attempt: AttemptId, stats: LegStats) {
        if let Some(ending) = self.endings.get_mut(&attempt) {
            debug_assert_eq!(ending.end.leg, leg);
            (ending.carrier_leg, ending.open) = (Some(stats), false);
            self.settle_ending(attempt);
        }
    }

    /// Writes what waited, once nothing is waited for any more.
    pub(crate) fn settle_ending(&mut self, attempt: AttemptId) {
        let waits = self.recording_untold(attempt);
        if let Some(ending) = self.endings.get(&attempt)
            && !ending.open
            && !waits
        {
            self.timers.disarm(&TimerName::Record(attempt));
            self.give_up_figures(attempt);
        }
    }

    /// What is waited for does not come any more.
    pub(crate) fn give_up_figures(&mut self, attempt: AttemptId) {
        if let Some(ending) = self.endings.remove(&attempt) {
            self.write_ending(ending);
        }
    }

    fn write_ending(&mut self, ending: Ending) {
        let Ending {
            mut end,
            carrier_leg,
            ..
        } = ending;
        let attempt = end.lease.attempt;
        let agent_leg = self.bridge_figures.remove(&attempt);
        let early = self.early_media.remove(&attempt);
        if let Some(facts) = &mut end.dialed
            && let Some(last) = self.last_invite.remove(&attempt)
        {
            // Redial gaps count from the last datagram that really left.
            facts.invited_at = facts.invited_at.max(last);
        }
        let recording = self.take_recording(attempt);
        let record = end
            .record(self.config.member, carrier_leg, agent_leg, early)
            .map(|record| CallRecord {
                recording,
                ..record
            })
            .map(Box::new);
        if let (Some(_), Some(record)) = (end.call_back, &record) {
            let entry = Entry::CalledBack(record.clone());
            return self.output(Output::Persist { token: None, entry });
        }
        let entry = Entry::Closed {
            session: end.lease.session,
            outcome: end.outcome(),
            record,
        };
        self.output(Output::Persist { token: None, entry });
    }

    /// Gives leads back that were never dialed. The region does not know the do-not-call base: it is
    /// told of leads that this covers, or it would lease them again and again.
    pub(crate) fn give_back(&mut self, leads: Vec<LeasedLead>) {
        for lease in leads {
            let (lead, attempt) = (lease.lead, lease.attempt);
            let dnc = self.permit.dnc();
            let outcome = match dnc.base_id().filter(|_| dnc.is_listed(lease.number)) {
                Some(base) => CallOutcome::Listed {
                    lead,
                    attempt,
                    base,
                },
                None => CallOutcome::Undialed { lead, attempt },
            };
            self.output(Output::Persist {
                token: None,
                entry: Entry::Closed {
                    session: lease.session,
                    outcome,
                    record: None,
                },
            });
        }
    }

    /// A person asked not to be called again: binds this node at once.
    pub(crate) fn opt_out(&mut self, now: Now, number: PhoneNumber, source: DncSource) {
        let entry = DncEntry {
            number,
            scope: DncScope::Mesh,
            source,
            added_at: now.wall,
        };
        self.permit.opt_out(number, DncScope::Mesh);
        self.output(Output::Persist {
            token: None,
            entry: Entry::OptOut(entry),
        });
        self.forbid(now, number);
    }
}
