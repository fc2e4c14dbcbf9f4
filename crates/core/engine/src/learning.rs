//! What pacing learns from calls: answers, ends, talks, abandonments.

use crate::{Engine, Entry, Output, lines::Pace};
use call::{AgentStatus, AttemptEnd, AttemptState};
use domain::{AgentState, Disposition, Now};
use pacing::Observation;

impl Pace {
    /// The pace of a changed campaign: what was dialed stays known.
    pub(crate) fn follow(&mut self, old: Self) {
        self.rate = old.rate;
        self.begun = old.begun;
        self.shift = old.shift;
    }
}

impl Engine {
    /// The call center told of a move.
    pub(crate) fn learn(&mut self, now: Now, observed: &call::Observed) {
        let at = now.monotonic;
        match *observed {
            call::Observed::Attempt {
                attempt,
                campaign,
                to: AttemptState::WaitingForAgent | AttemptState::Bridged,
            } => {
                let Some(pace) = self.paces.get_mut(&campaign) else {
                    return;
                };
                // Who waited first and was bridged then answered once.
                if let Some(began) = pace.begun.remove(&attempt) {
                    let after = at.since(began);
                    let account = self.facts.account(campaign);
                    self.escrow.note_answer(now.wall, account);
                    pace.controller.observe(at, Observation::Answered { after });
                }
            }
            call::Observed::Attempt {
                attempt,
                campaign,
                to: AttemptState::LeavingMessage,
            } => {
                // Told now: how long a message lasts says nothing of lines.
                if let Some(pace) = self.paces.get_mut(&campaign)
                    && let Some(began) = pace.begun.remove(&attempt)
                {
                    let after = at.since(began);
                    pace.controller.observe(at, Observation::Screened { after });
                }
            }
            call::Observed::Abandoned { campaign, .. } => {
                // In the journal before the person hears that nobody comes.
                let account = self.facts.account(campaign);
                let total = self.escrow.note_abandoned(account);
                self.output(Output::Note(Entry::Abandoned {
                    campaign: account,
                    total,
                }));
                if let Some(pace) = self.paces.get_mut(&campaign) {
                    pace.controller.observe(at, Observation::Abandoned);
                }
            }
            _ => {}
        }
    }

    /// An attempt ended.
    pub(crate) fn learn_end(&mut self, now: Now, end: &AttemptEnd) {
        let at = now.monotonic;
        // None of another node's agent, whose wrap-up is not this node's to reckon with.
        let status = (end.agent).and_then(|agent| self.calls.agent_status(agent));
        let Some(pace) = self.paces.get_mut(&end.lease.campaign) else {
            return;
        };
        if let Some(bridged) = end.bridged_at {
            let lasted = end.ended_at.since(bridged);
            pace.controller.observe(at, Observation::Talked { lasted });
            let away = |status: &AgentStatus| {
                matches!(status.state, AgentState::Paused(_) | AgentState::LoggedOut)
            };
            if let Some(ready) = status.as_ref().map(|status| !away(status)) {
                let lasted = end.closed_at.since(end.ended_at);
                pace.controller
                    .observe(at, Observation::WrappedUp { lasted, ready });
            }
        }
        let Some(began) = pace.begun.remove(&end.lease.attempt) else {
            return;
        };
        let after = at.since(began);
        let observation = match end.disposition {
            Disposition::NoAnswer
            | Disposition::Busy
            | Disposition::Unallocated
            | Disposition::PoweredOff
            | Disposition::OutOfService
            | Disposition::Rejected => Observation::Unanswered { after },
            Disposition::Machine | Disposition::Fax => Observation::Screened { after },
            Disposition::Cancelled => Observation::GivenUp { after },
            // Says nothing of persons, or was told when it happened.
            Disposition::CarrierFailure
            | Disposition::TrunkFailure
            | Disposition::Unknown
            | Disposition::Abandoned
            | Disposition::NotTaken
            | Disposition::MessageLeft
            | Disposition::Agent(_) => return,
        };
        pace.controller.observe(at, observation);
    }
}
