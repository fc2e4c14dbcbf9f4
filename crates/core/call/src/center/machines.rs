//! Answering machines on which a campaign's message is left: the beep is awaited, for a while, then the
//! message is played once.
//!
//! No agent is kept for such a line, and pacing counts it no more: from the verdict on nobody will be
//! needed for it.

use super::{CallCenter, limits};
use crate::{
    attempt::{AttemptEvent, AttemptState},
    face::{AttemptTimer, Observed, Output, Rejected},
    leg::{LegCommand, Prompt},
    notice::EndedBy,
};
use domain::{AttemptId, Disposition, DncSource, Now, VoiceDrop, WhoAnswered};

impl CallCenter {
    /// A machine answered an attempt whose campaign has a message for machines.
    pub(super) fn machine_found(
        &mut self,
        now: Now,
        id: AttemptId,
        who: WhoAnswered,
        message: Result<(), VoiceDrop>,
    ) -> Result<(), Rejected> {
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        if attempt.state != AttemptState::Screening {
            return Err(Rejected::NotAllowed {
                attempt: id,
                state: attempt.state,
                event: AttemptEvent::MachineAwaited,
            });
        }
        if let Err(why) = message {
            self.note_drop(id, why);
            return self.screened(now, id, who);
        }
        self.note_who(id, who);
        self.disarm(id, AttemptTimer::Screening);
        self.advance(id, AttemptEvent::MachineAwaited);
        self.release(now, id);
        self.arm(now, id, AttemptTimer::Message, domain::limits::MACHINE_BEEP);
        Ok(())
    }

    /// It records: the message begins, if it still may. A second beep is nothing.
    pub(super) fn machine_beeped(
        &mut self,
        now: Now,
        id: AttemptId,
        message: Result<(), VoiceDrop>,
    ) -> Result<(), Rejected> {
        let attempt = (self.attempts.get_mut(&id)).ok_or(Rejected::UnknownAttempt(id))?;
        if attempt.state != AttemptState::LeavingMessage || attempt.message {
            return Ok(());
        }
        if let Err(why) = message {
            self.drop_over(now, id, why, EndedBy::Caller);
            return Ok(());
        }
        attempt.message = true;
        let leg = attempt.leg;
        self.arm(now, id, AttemptTimer::Message, limits::VOICE_DROP);
        self.leg(LegCommand::Play {
            leg,
            prompt: Prompt::VoiceDrop,
        });
        Ok(())
    }

    /// The message was played to its end.
    pub(super) fn message_left(&mut self, now: Now, id: AttemptId) {
        if self.attempt(id).message {
            self.drop_over(now, id, VoiceDrop::Left, EndedBy::Caller);
        }
    }

    /// No beep came in time, or the message takes too long.
    pub(super) fn machine_over(&mut self, now: Now, id: AttemptId) {
        let end = if self.attempt(id).message {
            VoiceDrop::BrokenOff
        } else {
            VoiceDrop::NoBeep
        };
        self.drop_over(now, id, end, EndedBy::Caller);
    }

    /// The machine hung up.
    pub(super) fn machine_gone(&mut self, now: Now, id: AttemptId, by_peer: bool) {
        let end = if self.attempt(id).message {
            VoiceDrop::BrokenOff
        } else {
            VoiceDrop::HungUp
        };
        let by = if by_peer {
            EndedBy::Callee
        } else {
            EndedBy::Caller
        };
        self.drop_over(now, id, end, by);
    }

    /// A key: whoever presses it is a person after all, and 9 opts out as in every message of ours.
    pub(super) fn machine_pressed(&mut self, now: Now, id: AttemptId, key: char) {
        if key != limits::OPT_OUT_KEY {
            return;
        }
        let attempt = self.attempt(id);
        let (number, campaign) = (attempt.lease.number, attempt.campaign.id);
        self.outputs.push_back(Output::AddDoNotCall {
            number,
            campaign,
            source: DncSource::Person,
        });
        self.observe(Observed::OptedOut { campaign });
        self.drop_over(now, id, VoiceDrop::OptedOut, EndedBy::Caller);
    }

    fn drop_over(&mut self, now: Now, id: AttemptId, end: VoiceDrop, by: EndedBy) {
        self.note_drop(id, end);
        let leg = self.attempt(id).leg;
        self.mark_ended(now, id, by);
        if by == EndedBy::Caller {
            self.leg(LegCommand::HangUp { leg });
        }
        let disposition = match end {
            VoiceDrop::Left => Disposition::MessageLeft,
            _ => Disposition::Machine,
        };
        self.close(now, id, AttemptEvent::HungUp, disposition);
    }

    fn note_drop(&mut self, id: AttemptId, drop: VoiceDrop) {
        let attempt = self.attempt_mut(id);
        attempt.voice_drop = Some(drop);
        let campaign = attempt.campaign.id;
        self.observe(Observed::VoiceDrop { campaign, drop });
    }
}
