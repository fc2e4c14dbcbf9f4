//! Hold: the person hears music, and neither of the two hears the other, for so long.

use super::{CallCenter, limits};
use crate::{
    agent::Duty,
    error::{AgentError, CommandError},
    face::AttemptTimer,
    leg::LegCommand,
    notice::AgentNotice,
};
use domain::{AgentId, AttemptId, Now};

impl CallCenter {
    /// The agent's button; pressed again it changes nothing.
    pub(super) fn hold(&mut self, now: Now, agent: AgentId) -> Result<(), CommandError> {
        let id = self.call_to_hold(agent)?;
        let attempt = self.attempt_mut(id);
        if attempt.held.is_some() {
            return Ok(());
        }
        attempt.held = Some(now);
        attempt.holds.count = attempt.holds.count.saturating_add(1);
        let leg = attempt.leg;
        self.leg(LegCommand::Hold { leg });
        self.arm(now, id, AttemptTimer::Hold, limits::HOLD);
        self.tell_held(id);
        Ok(())
    }

    /// The agent's button; pressed again it changes nothing.
    pub(super) fn resume(&mut self, now: Now, agent: AgentId) -> Result<(), CommandError> {
        let id = self.call_to_hold(agent)?;
        self.let_go_on(now, id);
        Ok(())
    }

    /// The person has waited for as long as may be.
    pub(super) fn hold_over(&mut self, now: Now, id: AttemptId) {
        self.let_go_on(now, id);
        if let Some(agent) = self.attempt(id).agent {
            self.tell_error(agent, AgentError::HoldOver.plain());
        }
    }

    /// The hold is over, if there is one, with the call or without; true when there was.
    pub(super) fn end_hold(&mut self, now: Now, id: AttemptId) -> bool {
        let attempt = self.attempt_mut(id);
        let Some(since) = attempt.held.take() else {
            return false;
        };
        let span = now.monotonic.since(since.monotonic).as_millis();
        let total = &mut attempt.holds.total_ms;
        *total = total.saturating_add(u32::try_from(span).unwrap_or(u32::MAX));
        self.disarm(id, AttemptTimer::Hold);
        true
    }

    fn let_go_on(&mut self, now: Now, id: AttemptId) {
        if self.end_hold(now, id) {
            let leg = self.attempt(id).leg;
            self.leg(LegCommand::Resume { leg });
            self.tell_held(id);
        }
    }

    /// The call of an agent who wants it held, or held no more.
    fn call_to_hold(&self, agent: AgentId) -> Result<AttemptId, CommandError> {
        let bound = self.agent(agent);
        let call = bound.attempt.filter(|_| bound.duty == Duty::OnCall);
        let id = call.ok_or_else(|| AgentError::NoHold.plain())?;
        // Its record, and its recording, are made where the person is.
        match self.attempt(id).borrowed {
            true => Err(AgentError::HoldElsewhere.plain()),
            false => Ok(id),
        }
    }

    fn tell_held(&mut self, id: AttemptId) {
        let attempt = self.attempt(id);
        let since = attempt.held.map(|since| since.wall);
        if let Some(agent) = attempt.agent {
            self.tell(agent, AgentNotice::Held { attempt: id, since });
        }
    }
}
