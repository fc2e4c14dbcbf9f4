//! Agents' shifts: log-in, phone, screen, pauses, log-out.

use super::{CallCenter, Party, limits};
use crate::{
    AGENT_LEGS,
    agent::{After, Agent, Duty, DutyEvent, PHONE, PhoneEvent, SCREEN_GONE},
    command::AgentCommand,
    error::{AgentError, CommandError},
    face::{Account, AgentTimer, Rejected, RequestId, TimerName},
    leg::{Callee, LegCommand, LegEvent},
    notice::{AgentNotice, EndedBy, Phone},
};
use domain::{AgentId, LegId, Now, PauseCode};

impl CallCenter {
    pub(super) fn account_changed(&mut self, now: Now, account: Account) {
        let id = account.agent;
        self.agents.entry(id).or_insert_with(|| Agent::new(now));
        self.unindex(id);
        let agent = self.agent_mut(id);
        agent.campaigns = account.campaigns;
        agent.enabled = account.enabled;
        self.index(id);
        let agent = self.agent(id);
        if !agent.enabled && agent.phone != Phone::Down {
            self.log_out(now, id);
        } else if agent.duty == Duty::Ready {
            self.offer(now, id);
        }
    }

    pub(super) fn command(
        &mut self,
        now: Now,
        agent: AgentId,
        request: RequestId,
        command: AgentCommand,
    ) {
        let result = if !self.agents.contains_key(&agent) {
            Err(AgentError::UnknownAgent.plain())
        } else {
            match command {
                AgentCommand::LogIn => self.log_in(now, agent),
                AgentCommand::LogOut if self.agent(agent).phone == Phone::Down => {
                    Err(AgentError::LoggedOut.plain())
                }
                AgentCommand::LogOut => {
                    self.log_out(now, agent);
                    Ok(())
                }
                AgentCommand::Ready => self.wants_calls(now, agent),
                AgentCommand::Pause { code } => self.wants_pause(now, agent, code),
                AgentCommand::HangUp => self.agent_hangs_up(now, agent),
                AgentCommand::RecordingPause => self.pause_recording(agent, true),
                AgentCommand::RecordingResume => self.pause_recording(agent, false),
                AgentCommand::Hold => self.hold(now, agent),
                AgentCommand::Resume => self.resume(now, agent),
                AgentCommand::PressKeys { keys } => self.press_keys(now, agent, &keys),
                AgentCommand::Dispose {
                    disposition,
                    note,
                    callback_at,
                } => match self.dispose(now, agent, request, (disposition, note, callback_at)) {
                    // Answered when the journal has it.
                    Ok(()) => return,
                    refused => refused,
                },
            }
        };
        self.reply(request, result);
    }

    fn log_in(&mut self, now: Now, id: AgentId) -> Result<(), CommandError> {
        let agent = self.agent(id);
        if !agent.enabled {
            return Err(AgentError::Disabled.plain());
        }
        if agent.phone != Phone::Down {
            return Err(AgentError::AlreadyLoggedIn.plain());
        }
        let most = domain::limits::NODE_AGENTS;
        if self.on_shift >= most {
            return Err(AgentError::NodeFull.with(format_args!("The limit is {most}")));
        }
        let leg = LegId(AGENT_LEGS + self.agent_legs);
        self.agent_legs += 1;
        self.on_shift += 1;
        self.legs.insert(leg, Party::Agent(id));
        self.agent_mut(id).leg = Some(leg);
        self.present(id);
        self.phone(id, PhoneEvent::Called);
        let rings_until = now.monotonic + limits::AGENT_RING;
        self.timers
            .arm(TimerName::Agent(id, AgentTimer::Phone), rings_until);
        self.leg(LegCommand::Dial {
            leg,
            to: Callee::Agent(id),
        });
        self.tell_state(id);
        Ok(())
    }

    fn phone(&mut self, id: AgentId, event: PhoneEvent) {
        let agent = self.agent_mut(id);
        let to = PHONE.next(agent.phone, event);
        agent.phone = to.expect("a phone makes only moves of its table");
    }

    /// What happened to an agent's leg.
    pub(super) fn agent_leg(&mut self, now: Now, id: AgentId, event: LegEvent) {
        match (event, self.agent(id).phone) {
            (LegEvent::Answered, Phone::Ringing) => {
                self.disarm_agent(id, AgentTimer::Phone);
                self.phone(id, PhoneEvent::Answered);
                self.agent_mut(id).pause = PauseCode::default();
                self.duty(now, id, DutyEvent::PhoneUp, None);
            }
            (LegEvent::Failed(_) | LegEvent::HungUp { .. }, Phone::Ringing) => {
                self.phone_down(id);
                self.tell_error(id, AgentError::PhoneUnreachable.plain());
                self.tell_state(id);
            }
            (LegEvent::Failed(_) | LegEvent::HungUp { .. }, Phone::Up) => {
                self.leave(now, id, false);
                self.tell_error(id, AgentError::PhoneLost.plain());
            }
            (LegEvent::Interrupted, Phone::Up) => self.audio_lost(now, id),
            (LegEvent::Restored, Phone::Up) => self.audio_back(now, id),
            // Ringing, keys and repeated answers change nothing.
            _ => {}
        }
    }

    /// The agent cannot be heard for now. A call goes on, in silence; no other comes, and a line kept
    /// for the agent goes to another.
    fn audio_lost(&mut self, now: Now, id: AgentId) {
        if !self.set_audio(id, false) {
            return;
        }
        let agent = self.agent(id);
        if agent.duty == Duty::Reserved {
            let line = agent.attempt.expect("a reserved agent is kept for a line");
            self.release(now, line);
            self.orphan(now, line);
        }
        self.tell_error(id, AgentError::AudioLost.plain());
        self.tell_state(id);
    }

    fn audio_back(&mut self, now: Now, id: AgentId) {
        if !self.set_audio(id, true) {
            return;
        }
        self.tell_state(id);
        if self.agent(id).duty == Duty::Ready {
            self.offer(now, id);
        }
    }

    /// True when it changed.
    fn set_audio(&mut self, id: AgentId, audio: bool) -> bool {
        self.unindex(id);
        let before = std::mem::replace(&mut self.agent_mut(id).audio, audio);
        self.index(id);
        before != audio
    }

    /// The phone was not answered at log-in.
    pub(super) fn phone_rang_out(&mut self, _now: Now, id: AgentId) {
        if let Some(leg) = self.agent(id).leg {
            self.leg(LegCommand::Cancel { leg });
        }
        self.phone_down(id);
        self.tell_error(id, AgentError::PhoneUnreachable.plain());
        self.tell_state(id);
    }

    fn phone_down(&mut self, id: AgentId) {
        self.disarm_agent(id, AgentTimer::Phone);
        self.phone(id, PhoneEvent::Ended);
        self.agent_mut(id).audio = true;
        self.on_shift -= 1;
        if let Some(leg) = self.agent_mut(id).leg.take() {
            self.legs.remove(&leg);
        }
    }

    fn disarm_agent(&mut self, id: AgentId, timer: AgentTimer) {
        self.timers.disarm(&TimerName::Agent(id, timer));
    }

    /// Ends the shift: at once when nothing binds the agent, else after the call and its wrap-up.
    fn log_out(&mut self, now: Now, id: AgentId) {
        let agent = self.agent_mut(id);
        if agent.phone == Phone::Ringing {
            if let Some(leg) = agent.leg {
                self.leg(LegCommand::Cancel { leg });
            }
            self.phone_down(id);
            self.tell_state(id);
        } else if agent.busy() {
            agent.after = Some(After::LogOut);
            self.tell_state(id);
        } else {
            self.leave(now, id, true);
        }
    }

    /// The agent is gone from the floor, now. `hang_up` when the phone is still there. A line kept
    /// for the agent goes to another; a person in a bridge is hung up; a call in wrap-up is closed.
    pub(super) fn leave(&mut self, now: Now, id: AgentId, hang_up: bool) {
        let agent = self.agent_mut(id);
        let (duty, bound, leg) = (agent.duty, agent.attempt, agent.leg);
        agent.after = None;
        if duty == Duty::OnCall {
            let call = bound.expect("an agent on a call is bound to it");
            self.end_audio(now, call, EndedBy::Caller, true);
        }
        if hang_up && let Some(leg) = leg {
            self.leg(LegCommand::HangUp { leg });
        }
        self.phone_down(id);
        self.agent_mut(id).attempt = None;
        self.duty(now, id, DutyEvent::Left, None);
        match bound {
            Some(line) if duty == Duty::Reserved => self.orphan(now, line),
            Some(call) => self.wrap_up_alone(now, call, id),
            None => {}
        }
    }

    fn wants_calls(&mut self, now: Now, id: AgentId) -> Result<(), CommandError> {
        let agent = self.agent_mut(id);
        match agent.duty {
            Duty::LoggedOut => return Err(AgentError::LoggedOut.plain()),
            Duty::Ready => {}
            Duty::Reserved | Duty::OnCall | Duty::WrapUp => {
                agent.after = Some(After::Ready);
                self.tell_state(id);
            }
            Duty::Paused => {
                self.present(id);
                self.duty(now, id, DutyEvent::BecameReady, None);
                self.offer(now, id);
            }
        }
        Ok(())
    }

    fn wants_pause(&mut self, now: Now, id: AgentId, code: PauseCode) -> Result<(), CommandError> {
        let most = limits::PAUSE_CODE_BYTES;
        if code.0.len() > most {
            return Err(AgentError::PauseCode
                .with(format_args!("Given {} bytes, at most {most}", code.0.len())));
        }
        if code.0.chars().any(char::is_control) {
            return Err(AgentError::PauseCode.with("It holds control characters"));
        }
        let agent = self.agent_mut(id);
        match agent.duty {
            Duty::LoggedOut => return Err(AgentError::LoggedOut.plain()),
            Duty::Ready | Duty::Paused => self.pause(now, id, code),
            Duty::Reserved | Duty::OnCall | Duty::WrapUp => {
                agent.after = Some(After::Paused(code));
                self.tell_state(id);
            }
        }
        Ok(())
    }

    pub(super) fn pause(&mut self, now: Now, id: AgentId, code: PauseCode) {
        self.agent_mut(id).pause = code;
        self.duty(now, id, DutyEvent::Paused, None);
    }

    // ---- Screens.

    /// Whoever presses a button has a screen, whatever the sockets tell.
    fn present(&mut self, id: AgentId) {
        self.disarm_agent(id, AgentTimer::Screen);
        self.unindex(id);
        self.agent_mut(id).screen = true;
        self.index(id);
    }

    pub(super) fn screen_attached(&mut self, now: Now, id: AgentId) -> Result<(), Rejected> {
        if !self.agents.contains_key(&id) {
            return Err(Rejected::UnknownAgent(id));
        }
        self.present(id);
        let agent = self.agent_mut(id);
        if agent.after == Some(After::Paused(PauseCode(SCREEN_GONE.to_owned()))) {
            agent.after = None;
        }
        let ready = agent.duty == Duty::Ready;
        let status = agent.status();
        // A reserved agent's line is not yet the agent's call: no card before the bridge.
        let call = agent
            .attempt
            .filter(|_| agent.duty != Duty::Reserved)
            .map(|call| Box::new(self.attempt(call).card()));
        self.tell(id, AgentNotice::Snapshot { status, call });
        if ready {
            self.offer(now, id);
        }
        Ok(())
    }

    /// The last screen closed: no pacing on this agent from now on; a pause after the grace time.
    pub(super) fn screen_gone(&mut self, now: Now, id: AgentId) -> Result<(), Rejected> {
        if !self.agents.contains_key(&id) {
            return Err(Rejected::UnknownAgent(id));
        }
        self.unindex(id);
        self.agent_mut(id).screen = false;
        self.index(id);
        if self.agent(id).phone != Phone::Down {
            let until = now.monotonic + limits::SCREEN_GRACE;
            self.timers
                .arm(TimerName::Agent(id, AgentTimer::Screen), until);
        }
        Ok(())
    }

    pub(super) fn screen_grace_over(&mut self, now: Now, id: AgentId) {
        let code = PauseCode(SCREEN_GONE.to_owned());
        let agent = self.agent_mut(id);
        match agent.duty {
            Duty::LoggedOut | Duty::Paused => {}
            Duty::Ready => {
                self.pause(now, id, code);
                self.tell_error(id, AgentError::ScreenGone.plain());
            }
            Duty::Reserved | Duty::OnCall | Duty::WrapUp => {
                if agent.after != Some(After::LogOut) {
                    agent.after = Some(After::Paused(code));
                }
            }
        }
    }
}
