//! The keypad: keys that an agent presses for the person to hear.

use super::CallCenter;
use crate::{
    agent::Duty,
    error::{AgentError, CommandError},
    leg::LegCommand,
};
use domain::{AgentId, Keys, Now, limits};
use std::time::Duration;

impl CallCenter {
    /// All of the keys are sent, one after the other, or none.
    pub(super) fn press_keys(
        &mut self,
        now: Now,
        agent: AgentId,
        keys: &Keys,
    ) -> Result<(), CommandError> {
        let bound = self.agent(agent);
        let call = bound.attempt.filter(|_| bound.duty == Duty::OnCall);
        let id = call.ok_or_else(|| AgentError::NoKeypad.plain())?;
        let keys = (keys.read()).map_err(|why| AgentError::KeysUnusable.with(why))?;
        let attempt = self.attempt_mut(id);
        if attempt.held.is_some() {
            return Err(AgentError::OnHold.plain());
        }
        let begin = attempt.keys_until.max(now.monotonic);
        let span = |count: usize| limits::KEY * u32::try_from(count).unwrap_or(u32::MAX);
        let wait: Duration = begin.since(now.monotonic) + span(keys.len());
        if wait > span(limits::KEYS_WAITING) {
            return Err(AgentError::KeysWaiting.plain());
        }
        attempt.keys_until = now.monotonic + wait;
        let leg = attempt.leg;
        for key in keys {
            self.leg(LegCommand::SendKey { leg, key });
        }
        Ok(())
    }
}
