//! The end of a call and its one disposition.

use super::{CallCenter, limits};
use crate::{
    agent::{After, Duty, DutyEvent},
    attempt::{AttemptEvent, AttemptState, JournalEntry, Verdict},
    error::{AgentError, CommandError},
    face::{AttemptTimer, Output, PersistToken, Rejected, RequestId},
    leg::LegCommand,
    notice::{AgentNotice, EndedBy},
};
use domain::{
    AgentId, AttemptId, Disposition, DispositionCode, DncSource, Now, PauseCode, WallTime,
};

impl CallCenter {
    /// The audio of a bridged call ends and wrap-up begins. `hang_up` when the person's leg is
    /// still there.
    pub(super) fn end_call(&mut self, now: Now, id: AttemptId, by: EndedBy, hang_up: bool) {
        self.end_audio(now, id, by, hang_up);
        let attempt = self.attempt(id);
        let limit = attempt.campaign.wrap_up_limit;
        let limit = match attempt.lent {
            Some(_) => limit + limits::LENT,
            None => limit,
        };
        match attempt.verdict.as_ref().map(|verdict| verdict.kept) {
            None => self.arm(now, id, AttemptTimer::WrapUp, limit),
            Some(true) => self.finish(now, id),
            // Closed when the journal has it.
            Some(false) => {}
        }
    }

    /// The part of [`Self::end_call`] that holds for an agent who is leaving, too.
    pub(super) fn end_audio(&mut self, now: Now, id: AttemptId, by: EndedBy, hang_up: bool) {
        self.disarm(id, AttemptTimer::Talk);
        self.end_hold(now, id);
        self.mark_ended(now, id, by);
        self.attempt_mut(id).recording = None;
        let attempt = self.attempt(id);
        let (leg, limit) = (attempt.leg, attempt.campaign.wrap_up_limit);
        let lent = attempt.lent;
        let undisposed = attempt.verdict.is_none();
        let agent = attempt.agent.expect("a bridged attempt has an agent");
        if let Some(b) = lent.or_else(|| self.agent(agent).leg) {
            self.leg(LegCommand::Unbridge { a: leg, b });
        }
        if hang_up {
            self.leg(LegCommand::HangUp { leg });
        }
        self.legs.remove(&leg);
        self.advance(id, AttemptEvent::HungUp);
        if let Some(leg) = lent {
            self.legs.remove(&leg);
            self.leg(LegCommand::HangUp { leg });
            return;
        }
        self.tell(agent, AgentNotice::CallEnded { attempt: id, by });
        let deadline = undisposed.then(|| now.wall + limit);
        self.duty(now, agent, DutyEvent::CallEnded, deadline);
    }

    /// The agent's hang-up button.
    pub(super) fn agent_hangs_up(&mut self, now: Now, agent: AgentId) -> Result<(), CommandError> {
        let on_call = self.agent(agent);
        match on_call.attempt {
            Some(id) if on_call.duty == Duty::OnCall => {
                self.end_call(now, id, EndedBy::Caller, true);
                Ok(())
            }
            _ => Err(AgentError::NoCall.plain()),
        }
    }

    /// The agent's disposition. Its reply comes once the journal has it, unless it is refused.
    pub(super) fn dispose(
        &mut self,
        now: Now,
        agent: AgentId,
        request: RequestId,
        (name, note, callback_at): (String, String, Option<WallTime>),
    ) -> Result<(), CommandError> {
        let bound = self.agent(agent);
        let id = match bound.attempt {
            Some(id) if matches!(bound.duty, Duty::OnCall | Duty::WrapUp) => id,
            _ => return Err(AgentError::NothingToDispose.plain()),
        };
        let attempt = self.attempt(id);
        if attempt.verdict.is_some() {
            return Err(AgentError::AlreadyDisposed.plain());
        }
        let choices = &attempt.campaign.dispositions;
        let Some(place) = choices.iter().position(|choice| choice.name == name) else {
            let names: Vec<_> = choices.iter().map(|choice| choice.name.as_str()).collect();
            let given: String = name.chars().take(64).collect();
            return Err(AgentError::UnknownDisposition
                .with(format_args!("Given {given:?}, known {}", names.join(", "))));
        };
        let most = domain::limits::NOTE_BYTES;
        if note.len() > most {
            return Err(AgentError::NoteTooLong
                .with(format_args!("Given {} bytes, at most {most}", note.len())));
        }
        if let Some(at) = callback_at {
            if at <= now.wall || at > now.wall + limits::CALLBACK_AHEAD {
                return Err(AgentError::CallbackTime.with(format_args!("Given {at}")));
            }
            if choices[place].flags.do_not_call {
                return Err(AgentError::CallbackForbidden.plain());
            }
            if attempt.call_back.is_some() {
                return Err(AgentError::CallbackNotKept.plain());
            }
        }
        if choices[place].flags.do_not_call && attempt.withheld() {
            return Err(AgentError::NumberWithheld.plain());
        }
        let code = DispositionCode(place as u16);
        let verdict = Verdict {
            code,
            note,
            callback_at,
            request: Some((agent, request)),
            kept: false,
        };
        self.set_verdict(id, agent, verdict);
        self.write_verdict(now, id);
        Ok(())
    }

    /// The one place where an attempt gets an agent's disposition.
    pub(super) fn set_verdict(&mut self, id: AttemptId, agent: AgentId, verdict: Verdict) {
        self.disarm(id, AttemptTimer::WrapUp);
        let attempt = self.attempt_mut(id);
        let flags = attempt.campaign.flags(verdict.code).unwrap_or_default();
        let (number, campaign) = (attempt.lease.number, attempt.campaign.id);
        let withheld = attempt.withheld();
        assert!(attempt.verdict.is_none(), "a second disposition");
        attempt.verdict = Some(verdict);
        if flags.do_not_call && !withheld {
            self.outputs.push_back(Output::AddDoNotCall {
                number,
                campaign,
                source: DncSource::Agent,
            });
        }
        // A lent agent is another node's.
        if let Some(bound) = self.agents.get_mut(&agent)
            && bound.duty == Duty::WrapUp
            && bound.attempt == Some(id)
        {
            bound.deadline = None;
        }
    }

    pub(super) fn write_verdict(&mut self, now: Now, id: AttemptId) {
        self.writes_begun += 1;
        let token = PersistToken(self.writes_begun);
        self.writes.insert(token, id);
        let attempt = self.attempt(id);
        let verdict = attempt.verdict.as_ref().expect("it was just set");
        if attempt.borrowed {
            let (note, callback_at) = (verdict.note.clone(), verdict.callback_at);
            let disposition = attempt.name_of(verdict.code);
            self.outputs.push_back(Output::Report {
                token,
                attempt: id,
                disposition,
                note,
                callback_at,
            });
            return;
        }
        let dialed = attempt.dialed.as_ref().expect("a bridged call was dialed");
        let entry = JournalEntry::Disposed {
            attempt: id,
            lead: attempt.lease.lead,
            session: attempt.lease.session,
            campaign: attempt.campaign.id,
            agent: attempt.agent,
            disposition: verdict.code,
            note: verdict.note.clone(),
            callback_at: verdict.callback_at,
            invited_at: dialed.invited_at,
            disposed_at: now.wall,
        };
        self.outputs.push_back(Output::Persist { token, entry });
    }

    pub(super) fn persisted(&mut self, now: Now, token: PersistToken) -> Result<(), Rejected> {
        let id = self
            .writes
            .remove(&token)
            .ok_or(Rejected::UnknownToken(token))?;
        // An attempt whose write is under way is not closed before it is done.
        let attempt = self.attempt_mut(id);
        let state = attempt.state;
        let (agent, lent) = (attempt.agent, attempt.lent);
        let verdict = attempt.verdict.as_mut().expect("a write has its verdict");
        verdict.kept = true;
        let (code, request) = (verdict.code, verdict.request.take());
        let disposition = attempt.name_of(code);
        if let Some((_, request)) = request {
            self.reply(request, Ok(()));
        }
        if lent.is_some() {
            self.outputs.push_back(Output::LentKept { attempt: id });
        } else if let Some(agent) = agent {
            self.tell(
                agent,
                AgentNotice::Disposed {
                    attempt: id,
                    disposition,
                },
            );
        }
        if state == AttemptState::WrapUp {
            self.finish(now, id);
        }
        Ok(())
    }

    /// Wrap-up ran out: the default disposition, kept before the agent is told like any other.
    pub(super) fn wrap_up_over(&mut self, now: Now, id: AttemptId) {
        let attempt = self.attempt(id);
        let agent = attempt.agent.expect("a call in wrap-up had an agent");
        let verdict = Self::default_verdict(attempt);
        self.set_verdict(id, agent, verdict);
        self.write_verdict(now, id);
    }

    fn default_verdict(attempt: &crate::attempt::Attempt) -> Verdict {
        Verdict {
            code: attempt.campaign.default_disposition,
            note: String::new(),
            callback_at: None,
            request: None,
            kept: false,
        }
    }

    /// Closes a call in wrap-up whose disposition is kept, and lets its agent go on.
    pub(super) fn finish(&mut self, now: Now, id: AttemptId) {
        let attempt = self.attempt(id);
        let verdict = attempt
            .verdict
            .as_ref()
            .expect("only disposed calls finish");
        let disposition = Disposition::Agent(verdict.code);
        let (auto_ready, lent) = (attempt.campaign.auto_ready, attempt.lent);
        let agent = attempt.agent.expect("a call in wrap-up had an agent");
        self.close(now, id, AttemptEvent::Disposed, disposition);
        if lent.is_some() {
            return;
        }
        let bound = self.agent_mut(agent);
        if bound.attempt != Some(id) {
            // The agent has left and may even have come back.
            return;
        }
        bound.attempt = None;
        match bound.after.take() {
            Some(After::LogOut) => self.leave(now, agent, true),
            Some(After::Paused(code)) => self.pause(now, agent, code),
            None if !auto_ready => self.pause(now, agent, PauseCode::default()),
            Some(After::Ready) | None => {
                self.duty(now, agent, DutyEvent::BecameReady, None);
                self.offer(now, agent);
            }
        }
    }

    /// The agent of a call in wrap-up is gone for good: what is set stands, else the default.
    pub(super) fn wrap_up_alone(&mut self, now: Now, id: AttemptId, agent: AgentId) {
        let attempt = self.attempt(id);
        match attempt.verdict.as_ref().map(|verdict| verdict.kept) {
            None => {
                let verdict = Self::default_verdict(attempt);
                let disposition = Disposition::Agent(verdict.code);
                self.set_verdict(id, agent, verdict);
                self.close(now, id, AttemptEvent::AgentLost, disposition);
            }
            Some(true) => self.finish(now, id),
            // Closed when the journal has it.
            Some(false) => {}
        }
    }
}
