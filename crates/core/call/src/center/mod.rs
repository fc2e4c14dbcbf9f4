//! The call center of one node: every attempt and every agent, and who speaks with whom.

mod call_backs;
mod hold;
mod keypad;
mod lines;
mod machines;
mod overflow;
mod persons;
mod recording;
mod shifts;
mod view;
mod wrap_up;

#[cfg(test)]
mod driver;
#[cfg(test)]
mod tests;

pub(crate) use call_backs::CallingBack;
pub use view::{JoinedCall, LineAge, LinePhase, PacingView};

use crate::{
    agent::{AGENT, Agent, Duty, DutyEvent},
    attempt::{ATTEMPT, Attempt, AttemptEvent, AttemptState},
    error::CommandError,
    face::{
        AgentTimer, AttemptTimer, Input, Observed, Output, PersistToken, Rejected, RequestId,
        TimerName,
    },
    leg::{LegCommand, LegEvent},
    notice::AgentNotice,
    ready::Waiting,
};
use domain::{
    AgentId, AttemptId, CampaignId, Disposition, Instant, LegId, Now, PhoneNumber, WallTime,
};
use sansio::Timers;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// Bounds of this machine beside those of [`domain::limits`].
pub mod limits {
    use std::time::Duration;

    /// How much longer than its own wrap-up limit a node waits for what a lent agent sets: the agent's node
    /// has the same limit.
    pub const LENT: Duration = Duration::from_secs(5);
    /// The engine must say within this time whether an INVITE left; after it the attempt's end is
    /// unknown.
    pub const LEASED: Duration = Duration::from_secs(10);
    /// A cancelled leg must end within this time: a final response or 64 T1 (RFC 3261 section 9.1),
    /// and some slack.
    pub const CANCELLED: Duration = Duration::from_secs(40);
    /// A ringing line whose agent is gone rings on at least so long (16 CFR 310.4(b)(4)(ii)).
    pub const MINIMUM_RING: Duration = Duration::from_secs(15);
    /// The abandonment message may last so long.
    pub const MESSAGE: Duration = Duration::from_secs(60);
    /// A message to a machine may last so long: the longest prompt, and some slack.
    pub const VOICE_DROP: Duration = Duration::from_secs(305);
    /// An agent's phone rings at most so long at log-in.
    pub const AGENT_RING: Duration = Duration::from_secs(30);
    /// A person is on hold for so long at most; then the call goes on.
    pub const HOLD: Duration = Duration::from_secs(300);
    /// A page may be reloaded within this time without a pause.
    pub const SCREEN_GRACE: Duration = Duration::from_secs(10);
    /// Bytes of a pause code.
    pub const PAUSE_CODE_BYTES: usize = 32;
    /// How far ahead a callback may be promised.
    pub const CALLBACK_AHEAD: Duration = Duration::from_secs(366 * 24 * 3600);
    /// How long a person who called back may still press a key after the announcement.
    pub const KEY: Duration = Duration::from_secs(5);
    /// The key that opts out during the abandonment message, and after a call-back's announcement.
    pub const OPT_OUT_KEY: char = '9';
}

/// Whose a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Person(AttemptId),
    Agent(AgentId),
    /// An agent of another node, who is lent to this attempt.
    Lent(AttemptId),
}

/// One node's attempts and agents. See the crate's page for what it keeps.
#[derive(Clone, Debug, Default)]
pub struct CallCenter {
    attempts: BTreeMap<AttemptId, Attempt>,
    agents: BTreeMap<AgentId, Agent>,
    /// Agents whose phone is not down, for the node's limit.
    on_shift: usize,
    legs: BTreeMap<LegId, Party>,
    /// Ready agents with an open screen.
    ready: Waiting,
    /// Ready agents who are reloading their page: not counted for pacing, given a call only when
    /// the person would have nobody else.
    unseen: Waiting,
    /// Persons who wait for an agent, longest first.
    persons: BTreeSet<(Instant, AttemptId)>,
    /// Persons who called back and wait for an agent, longest first.
    callers: BTreeSet<(Instant, AttemptId)>,
    /// Persons who called back, until their calls are closed; but those whose numbers are withheld.
    calling_back: BTreeSet<(PhoneNumber, AttemptId)>,
    /// Progressive lines whose agent is gone, oldest first.
    orphans: BTreeSet<(Instant, AttemptId)>,
    /// Attempts that may still need an agent.
    lines: BTreeMap<CampaignId, BTreeSet<AttemptId>>,
    writes: BTreeMap<PersistToken, AttemptId>,
    writes_begun: u64,
    agent_legs: u64,
    timers: Timers<TimerName>,
    outputs: VecDeque<Output>,
}

impl CallCenter {
    /// An empty call center.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one input. `Err` leaves the state unchanged. A refused agent's command is not an
    /// `Err`: its reply says why.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), Rejected> {
        match input {
            Input::Dial {
                lease,
                campaign,
                leg,
                screening,
            } => self.dial(now, lease, campaign, leg, screening),
            Input::CalledBack {
                lead,
                campaign,
                leg,
                facts,
                wish,
            } => self.called_back(now, lead, campaign, leg, (*facts, wish)),
            Input::Dialed { attempt, facts } => self.dialed(now, attempt, facts),
            Input::NotDialed { attempt } => self.not_dialed(now, attempt),
            Input::Leg { leg, event } => self.leg_event(now, leg, event),
            Input::Screened { attempt, who } => self.screened(now, attempt, who),
            Input::MachineFound {
                attempt,
                who,
                message,
            } => self.machine_found(now, attempt, who, message),
            Input::MachineBeeped { attempt, message } => self.machine_beeped(now, attempt, message),
            Input::RecordingBegan { attempt } => self.recording_began(attempt),
            Input::AgentLent {
                attempt,
                agent,
                leg,
            } => self.agent_lent(now, attempt, agent, leg),
            Input::LentDisposed {
                attempt,
                disposition,
                note,
                callback_at,
            } => self.lent_disposed(now, attempt, (disposition, note, callback_at)),
            Input::LentLeft { attempt } => self.lent_left(now, attempt),
            Input::LentPauses { attempt, paused } => self.lent_pauses(attempt, paused),
            Input::Offered {
                lead,
                campaign,
                leg,
                within,
            } => self.offered(now, *lead, campaign, leg, within),
            Input::OfferTaken { attempt } => self.offer_taken(now, attempt),
            Input::NotKept { token } => self.not_kept(now, token),
            Input::CancelAttempt { attempt, reason } => self.cancel_attempt(now, attempt, reason),
            Input::Campaign(campaign) => {
                self.campaign_changed(now, &campaign);
                Ok(())
            }
            Input::Account(account) => {
                self.account_changed(now, account);
                Ok(())
            }
            Input::Agent {
                agent,
                request,
                command,
            } => {
                self.command(now, agent, request, command);
                Ok(())
            }
            Input::ScreenAttached { agent } => self.screen_attached(now, agent),
            Input::ScreenGone { agent } => self.screen_gone(now, agent),
            Input::Persisted { token } => self.persisted(now, token),
        }
    }

    /// Acts on every timer whose time has come.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            match timer {
                TimerName::Attempt(id, timer) => self.attempt_timer(now, id, timer),
                TimerName::Agent(id, AgentTimer::Phone) => self.phone_rang_out(now, id),
                TimerName::Agent(id, AgentTimer::Screen) => self.screen_grace_over(now, id),
            }
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next timer.
    pub fn poll_timeout(&mut self) -> Option<(Instant, TimerName)> {
        self.timers.next()
    }

    fn attempt_timer(&mut self, now: Now, id: AttemptId, timer: AttemptTimer) {
        match timer {
            AttemptTimer::Leased => self.engine_silent(now, id),
            AttemptTimer::Ring => self.cancel(now, id, crate::CancelReason::RingLimit),
            AttemptTimer::MinimumRing => self.cancel(now, id, crate::CancelReason::AgentGone),
            AttemptTimer::Cancelled => self.cancel_silent(now, id),
            AttemptTimer::Screening => self.screening_over(now, id),
            AttemptTimer::Answer if self.attempt(id).call_back.is_some() => self.announce(now, id),
            AttemptTimer::Answer if self.attempt(id).borrowed => self.withdraw(now, id),
            AttemptTimer::Answer => self.abandon(now, id),
            AttemptTimer::Message if self.attempt(id).call_back.is_some() => {
                self.caller_over(now, id);
            }
            AttemptTimer::Message if self.attempt(id).state == AttemptState::LeavingMessage => {
                self.machine_over(now, id);
            }
            AttemptTimer::Message => self.message_over(now, id),
            AttemptTimer::Talk => self.end_call(now, id, crate::EndedBy::Caller, true),
            AttemptTimer::Hold => self.hold_over(now, id),
            AttemptTimer::WrapUp => self.wrap_up_over(now, id),
        }
    }

    fn leg_event(&mut self, now: Now, leg: LegId, event: LegEvent) -> Result<(), Rejected> {
        match self.legs.get(&leg) {
            Some(Party::Person(id)) => self.person_leg(now, *id, event),
            Some(Party::Agent(id)) => {
                self.agent_leg(now, *id, event);
                Ok(())
            }
            Some(Party::Lent(id)) => {
                self.lent_leg(now, *id, event);
                Ok(())
            }
            None => {
                // Nobody may sit on an open line that no attempt knows.
                if event == LegEvent::Answered {
                    self.leg(LegCommand::HangUp { leg });
                    self.observe(Observed::StrayAnswer { leg });
                }
                Ok(())
            }
        }
    }

    // ---- The moves of the small machines, and what is kept in step with them.

    fn attempt(&self, id: AttemptId) -> &Attempt {
        self.attempts
            .get(&id)
            .expect("callers hold ids of live attempts only")
    }

    fn attempt_mut(&mut self, id: AttemptId) -> &mut Attempt {
        self.attempts
            .get_mut(&id)
            .expect("callers hold ids of live attempts only")
    }

    fn agent(&self, id: AgentId) -> &Agent {
        self.agents.get(&id).expect("agents are never forgotten")
    }

    fn agent_mut(&mut self, id: AgentId) -> &mut Agent {
        self.agents
            .get_mut(&id)
            .expect("agents are never forgotten")
    }

    /// Whether the table has the move, before anything changes.
    fn may(&self, id: AttemptId, event: AttemptEvent) -> Result<(), Rejected> {
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        match ATTEMPT.next(attempt.state, event) {
            Some(_) => Ok(()),
            None => Err(Rejected::NotAllowed {
                attempt: id,
                state: attempt.state,
                event,
            }),
        }
    }

    /// Moves an attempt; the move was found allowed.
    fn advance(&mut self, id: AttemptId, event: AttemptEvent) {
        let attempt = self.attempt_mut(id);
        let to = ATTEMPT.next(attempt.state, event);
        let to = to.expect("an attempt makes only moves of its table");
        let moved = attempt.state != to;
        attempt.state = to;
        let campaign = attempt.campaign.id;
        self.sort_line(id);
        if moved {
            self.observe(Observed::Attempt {
                attempt: id,
                campaign,
                to,
            });
        }
    }

    /// Keeps the index of lines true after a move or a cancel.
    fn sort_line(&mut self, id: AttemptId) {
        let attempt = self.attempt(id);
        let (campaign, is_line) = (attempt.campaign.id, attempt.is_line());
        if is_line {
            self.lines.entry(campaign).or_default().insert(id);
        } else if let Some(lines) = self.lines.get_mut(&campaign) {
            lines.remove(&id);
            if lines.is_empty() {
                self.lines.remove(&campaign);
            }
        }
    }

    /// Closes an attempt by the last move of its table, with its one disposition, and lets go of
    /// everything that hung on it but the agent who took it.
    fn close(&mut self, now: Now, id: AttemptId, event: AttemptEvent, disposition: Disposition) {
        self.release(now, id);
        self.advance(id, event);
        let attempt = self
            .attempts
            .remove(&id)
            .expect("callers hold ids of live attempts only");
        assert_eq!(attempt.state, AttemptState::Closed);
        self.legs.remove(&attempt.leg);
        if let Some(lent) = attempt.lent {
            self.legs.remove(&lent);
        }
        for timer in [
            AttemptTimer::Leased,
            AttemptTimer::Ring,
            AttemptTimer::MinimumRing,
            AttemptTimer::Cancelled,
            AttemptTimer::Screening,
            AttemptTimer::Answer,
            AttemptTimer::Message,
            AttemptTimer::Talk,
            AttemptTimer::Hold,
            AttemptTimer::WrapUp,
        ] {
            self.timers.disarm(&TimerName::Attempt(id, timer));
        }
        self.orphans.remove(&(attempt.began, id));
        self.calling_back.remove(&(attempt.lease.number, id));
        if let Some(queued) = attempt.queued {
            self.persons.remove(&(queued, id));
        }
        if attempt.borrowed {
            let kept = attempt.verdict.is_some_and(|verdict| verdict.kept);
            self.outputs.push_back(Output::Returned {
                attempt: id,
                campaign: attempt.campaign.id,
                joined: attempt.agent.is_some(),
                kept,
            });
            return;
        }
        let end = attempt.end(now, disposition);
        self.outputs.push_back(Output::Closed(Box::new(end)));
    }

    /// Moves an agent, keeps the index of ready agents in step, and tells the screen.
    fn duty(&mut self, now: Now, id: AgentId, event: DutyEvent, deadline: Option<WallTime>) {
        self.unindex(id);
        let agent = self.agent_mut(id);
        let from = agent.duty;
        let to = AGENT.next(from, event);
        let to = to.expect("an agent makes only moves of its table");
        if to == Duty::Ready && from != Duty::Reserved {
            agent.idle_since = now.monotonic;
        }
        let after = now.monotonic.since(agent.began);
        agent.duty = to;
        agent.deadline = deadline;
        agent.since = now.wall;
        agent.began = now.monotonic;
        self.index(id);
        if from != to {
            self.observe(Observed::Agent {
                agent: id,
                from,
                to,
                after,
            });
        }
        self.tell_state(id);
    }

    fn index(&mut self, id: AgentId) {
        let agent = self.agents.get(&id).expect("agents are never forgotten");
        if agent.duty == Duty::Ready && agent.audio {
            let line = if agent.screen {
                &mut self.ready
            } else {
                &mut self.unseen
            };
            line.insert(id, &agent.campaigns, agent.idle_since);
        }
    }

    fn unindex(&mut self, id: AgentId) {
        let agent = self.agents.get(&id).expect("agents are never forgotten");
        self.ready.remove(id, &agent.campaigns, agent.idle_since);
        self.unseen.remove(id, &agent.campaigns, agent.idle_since);
    }

    // ---- Outputs.

    fn leg(&mut self, command: LegCommand) {
        self.outputs.push_back(Output::Leg(command));
    }

    fn observe(&mut self, observed: Observed) {
        self.outputs.push_back(Output::Observed(observed));
    }

    fn tell(&mut self, agent: AgentId, notice: AgentNotice) {
        self.outputs.push_back(Output::Notice { agent, notice });
    }

    fn tell_state(&mut self, agent: AgentId) {
        let status = self.agent(agent).status();
        self.tell(agent, AgentNotice::State(status));
    }

    fn tell_error(&mut self, agent: AgentId, error: CommandError) {
        let CommandError { code, message } = error;
        self.tell(agent, AgentNotice::Error { code, message });
    }

    fn reply(&mut self, request: RequestId, result: Result<(), CommandError>) {
        self.outputs.push_back(Output::Reply { request, result });
    }

    fn arm(&mut self, now: Now, id: AttemptId, timer: AttemptTimer, after: Duration) {
        self.timers
            .arm(TimerName::Attempt(id, timer), now.monotonic + after);
    }

    fn disarm(&mut self, id: AttemptId, timer: AttemptTimer) {
        self.timers.disarm(&TimerName::Attempt(id, timer));
    }
}
