//! The recording of a call, as its agent sees it.

use super::CallCenter;
use crate::{
    agent::Duty,
    attempt::AttemptState,
    error::{AgentError, CommandError},
    face::Rejected,
    leg::LegCommand,
    notice::{AgentNotice, RecordingState},
};
use domain::{AgentId, AttemptId};

impl CallCenter {
    pub(super) fn recording_began(&mut self, id: AttemptId) -> Result<(), Rejected> {
        let attempt = (self.attempts.get_mut(&id)).ok_or(Rejected::UnknownAttempt(id))?;
        // Another node's word of it may come before that of the join.
        if attempt.state == AttemptState::Bridged || attempt.borrowed {
            attempt.recording = Some(RecordingState::On);
            self.tell_recording(id);
        }
        Ok(())
    }

    /// The agent's buttons; pressed again they change nothing.
    pub(super) fn pause_recording(
        &mut self,
        agent: AgentId,
        paused: bool,
    ) -> Result<(), CommandError> {
        let bound = self.agent(agent);
        let call = bound.attempt.filter(|_| bound.duty == Duty::OnCall);
        let id = call.ok_or_else(|| AgentError::NotRecorded.plain())?;
        let attempt = self.attempt_mut(id);
        let known = attempt
            .recording
            .ok_or_else(|| AgentError::NotRecorded.plain())?;
        let wished = match paused {
            true => RecordingState::Paused,
            false => RecordingState::On,
        };
        if known != wished {
            attempt.recording = Some(wished);
            let leg = attempt.leg;
            self.leg(LegCommand::PauseRecording { leg, paused });
            self.tell_recording(id);
        }
        Ok(())
    }

    fn tell_recording(&mut self, id: AttemptId) {
        let attempt = self.attempt(id);
        if let (Some(agent), Some(recording)) = (attempt.agent, attempt.recording) {
            let attempt = id;
            self.tell(agent, AgentNotice::Recording { attempt, recording });
        }
    }
}
