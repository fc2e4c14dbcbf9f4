//! What others may see: counts for pacing, attempts for the engine.

use super::CallCenter;
use crate::{
    agent::Duty,
    attempt::AttemptState,
    notice::{AgentStatus, CallCard, Phone},
};
use domain::{
    AgentId, AttemptId, Campaign, CampaignId, LeasedLead, LegId, Now, PhoneNumber,
    SupervisionRefusal, WallTime,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How far a line has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinePhase {
    /// Nothing heard yet.
    Dialing,
    /// It rings.
    Ringing,
    /// Somebody or something answered; who, is being found out.
    Screening,
}

/// One line that may still need an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineAge {
    /// Which.
    pub attempt: AttemptId,
    /// How far it has come.
    pub phase: LinePhase,
    /// How long ago it was begun.
    pub age: Duration,
    /// For how long it has rung, if it rings.
    pub rung: Option<Duration>,
    /// Whether an agent is kept for it.
    pub kept: bool,
}

/// A call in which an agent and a person speak.
#[derive(Clone, Copy, Debug)]
pub struct JoinedCall<'a> {
    /// Which.
    pub attempt: AttemptId,
    /// Its lease; of a call-back, who calls.
    pub lease: &'a LeasedLead,
    /// Who speaks for us.
    pub agent: AgentId,
    /// The person's number; none where a caller withholds it.
    pub number: Option<PhoneNumber>,
    /// When they were joined.
    pub joined_at: WallTime,
    /// Since when the person is on hold.
    pub held_since: Option<WallTime>,
}

/// One campaign in counts and ages: all that pacing may know.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PacingView {
    /// Ready agents who serve the campaign, with a screen open.
    pub ready: u32,
    /// Agents kept for lines of this campaign.
    pub reserved: u32,
    /// How long each agent who serves the campaign has been on the present call (of any campaign).
    pub on_call: Vec<Duration>,
    /// The same for wrap-up; agents who asked for a pause or log-out after it are left out.
    pub wrap_up: Vec<Duration>,
    /// Lines of the campaign that may still need an agent; cancelled ones are none.
    pub lines: Vec<LineAge>,
    /// Persons who wait for an agent.
    pub waiting: u32,
    /// Persons who called back and wait for an agent: none of them can be abandoned.
    pub callers: u32,
    /// Lines of other campaigns, without an agent of their own, that the ready agents serve too.
    pub lines_elsewhere: u32,
    /// The campaigns that those are of.
    pub elsewhere: Vec<CampaignId>,
}

impl CallCenter {
    /// The campaign's counts and ages.
    pub fn pacing_view(&self, campaign: CampaignId, now: Now) -> PacingView {
        let mut view = PacingView {
            ready: self.ready.count(campaign) as u32,
            ..PacingView::default()
        };
        self.look_elsewhere(campaign, &mut view);
        for id in self.lines.get(&campaign).into_iter().flatten() {
            let attempt = self.attempt(*id);
            view.reserved += u32::from(attempt.reserved.is_some());
            view.lines.push(LineAge {
                attempt: *id,
                phase: match attempt.state {
                    AttemptState::Ringing => LinePhase::Ringing,
                    AttemptState::Answered | AttemptState::Screening => LinePhase::Screening,
                    _ => LinePhase::Dialing,
                },
                age: now.monotonic.since(attempt.began),
                rung: (attempt.ringing).map(|since| now.monotonic.since(since.monotonic)),
                kept: attempt.reserved.is_some(),
            });
        }
        let waits =
            |(_, id): &&(domain::Instant, AttemptId)| self.attempt(*id).campaign.id == campaign;
        view.waiting = self.persons.iter().filter(waits).count() as u32;
        view.callers = self.callers.iter().filter(waits).count() as u32;
        for agent in self.agents.values().filter(|a| a.serves(campaign)) {
            let age = now.monotonic.since(agent.began);
            match agent.duty {
                Duty::OnCall => view.on_call.push(age),
                Duty::WrapUp if agent.will_be_ready() => view.wrap_up.push(age),
                _ => {}
            }
        }
        view
    }

    /// Counts lines of other campaigns that may take this campaign's ready agents.
    fn look_elsewhere(&self, campaign: CampaignId, view: &mut PacingView) {
        let all = self.ready.any();
        let mut shared = BTreeSet::new();
        if !all && self.lines.keys().any(|other| *other != campaign) {
            for id in self.ready.naming(campaign) {
                shared.extend(self.agent(id).campaigns.iter().copied());
            }
        }
        let others = (self.lines.iter())
            .filter(|(other, _)| **other != campaign && (all || shared.contains(other)));
        for (other, lines) in others {
            let free = |id: &&AttemptId| self.attempt(**id).reserved.is_none();
            let count = lines.iter().filter(free).count() as u32;
            if count > 0 {
                view.lines_elsewhere += count;
                view.elsewhere.push(*other);
            }
        }
    }

    /// Attempts under way, with their numbers: for do-not-call entries and ends of validity.
    pub fn attempts(
        &self,
    ) -> impl Iterator<Item = (AttemptId, PhoneNumber, &Arc<Campaign>, AttemptState)> {
        self.attempts
            .iter()
            .map(|(id, a)| (*id, a.lease.number, &a.campaign, a.state))
    }

    /// How many attempts are under way.
    pub fn attempts_len(&self) -> usize {
        self.attempts.len()
    }

    /// Where an attempt stands.
    pub fn attempt_state(&self, attempt: AttemptId) -> Option<AttemptState> {
        self.attempts.get(&attempt).map(|a| a.state)
    }

    /// Whether another INVITE may leave for an attempt: one left, nothing rang, nobody gave it up.
    pub fn may_dial_again(&self, attempt: AttemptId) -> bool {
        (self.attempts.get(&attempt))
            .is_some_and(|a| a.state == AttemptState::Dialing && a.cancel.is_none())
    }

    /// The number that an attempt under way shows, or that a call-back called.
    pub fn shown_number(&self, attempt: AttemptId) -> Option<PhoneNumber> {
        let facts = self.attempts.get(&attempt)?.dialed.as_ref()?;
        facts.caller_id
    }

    /// The lease of an attempt under way; of a call-back, who calls.
    pub fn lease(&self, attempt: AttemptId) -> Option<&LeasedLead> {
        self.attempts.get(&attempt).map(|a| &a.lease)
    }

    /// The agent's state and times, if the agent is known here.
    pub fn agent_status(&self, agent: AgentId) -> Option<AgentStatus> {
        self.agents.get(&agent).map(crate::agent::Agent::status)
    }

    /// The agents known here with their states and calls, for wallboards.
    pub fn agents(&self) -> impl Iterator<Item = (AgentId, AgentStatus, Option<AttemptId>)> {
        self.agents
            .iter()
            .map(|(id, agent)| (*id, agent.status(), agent.attempt))
    }

    /// Calls in which an agent and a person speak now, by id.
    pub fn joined(&self) -> impl Iterator<Item = JoinedCall<'_>> {
        // A lent agent's call is one of the agent's node: there it can be heard.
        let here =
            |a: &crate::attempt::Attempt| a.state == AttemptState::Bridged && a.lent.is_none();
        let bridged = (self.attempts.iter()).filter(move |(_, a)| here(a));
        bridged.filter_map(|(id, attempt)| {
            Some(JoinedCall {
                attempt: *id,
                lease: &attempt.lease,
                agent: attempt.agent?,
                number: (!attempt.withheld()).then_some(attempt.lease.number),
                joined_at: attempt.bridged_at.unwrap_or_default(),
                held_since: attempt.held.map(|since| since.wall),
            })
        })
    }

    /// Who speaks for us in a call that is joined now.
    pub fn agent_in(&self, attempt: AttemptId) -> Option<AgentId> {
        let found = self.attempts.get(&attempt)?;
        (found.state == AttemptState::Bridged).then_some(found.agent)?
    }

    /// Whether an agent's audio leg is up and takes no calls, so that it may be a supervisor's: the leg,
    /// and whether the agent serves that campaign.
    pub fn seat(
        &self,
        agent: AgentId,
        campaign: CampaignId,
    ) -> Result<(LegId, bool), SupervisionRefusal> {
        let found = (self.agents.get(&agent)).ok_or(SupervisionRefusal::OtherNode)?;
        let leg = found
            .leg
            .filter(|_| found.phone == Phone::Up && found.audio);
        let leg = leg.ok_or(SupervisionRefusal::NoLeg)?;
        match found.duty == Duty::Paused {
            true => Ok((leg, found.serves(campaign))),
            false => Err(SupervisionRefusal::TakesCalls),
        }
    }

    /// Agents whose audio legs could be a supervisor's now.
    pub fn seats(&self) -> impl Iterator<Item = AgentId> {
        let free = |a: &crate::agent::Agent| a.duty == Duty::Paused && a.audio;
        let seats = self.agents.iter().filter(move |(_, agent)| free(agent));
        seats.map(|(id, _)| *id)
    }

    /// The agent's leg while the phone is not down: where media statistics are looked up.
    pub fn agent_leg_of(&self, agent: AgentId) -> Option<LegId> {
        self.agents.get(&agent).and_then(|a| a.leg)
    }

    /// The card of a call under way.
    pub fn card(&self, attempt: AttemptId) -> Option<CallCard> {
        self.attempts
            .get(&attempt)
            .map(crate::attempt::Attempt::card)
    }

    /// What must hold between any two inputs; checked by the random driver.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut bound = BTreeSet::new();
        for (id, agent) in &self.agents {
            assert_eq!(agent.busy(), agent.attempt.is_some(), "{id}: {agent:?}");
            assert_eq!(
                agent.leg.is_some(),
                agent.phone != Phone::Down,
                "{id}: {agent:?}"
            );
            assert_eq!(
                agent.duty == Duty::LoggedOut,
                agent.phone != Phone::Up,
                "{id}: {agent:?}"
            );
            assert!(agent.audio || agent.phone == Phone::Up, "{id}: {agent:?}");
            let ready = agent.duty == Duty::Ready && agent.audio;
            let within = |line: &crate::ready::Waiting| line.contains(*id, agent.idle_since);
            assert_eq!(within(&self.ready), ready && agent.screen, "{id}");
            assert_eq!(within(&self.unseen), ready && !agent.screen, "{id}");
            if let Some(attempt) = agent.attempt {
                assert!(bound.insert(attempt), "two agents bound to {attempt}");
                let attempt = &self.attempts[&attempt];
                match agent.duty {
                    Duty::Reserved => assert_eq!(attempt.reserved, Some(*id)),
                    Duty::OnCall => assert_eq!(attempt.state, AttemptState::Bridged),
                    Duty::WrapUp => assert_eq!(attempt.state, AttemptState::WrapUp),
                    _ => {}
                }
            }
        }
        for (id, attempt) in &self.attempts {
            assert_ne!(attempt.state, AttemptState::Closed);
            assert_ne!(attempt.state, AttemptState::Answered, "{id} is stuck");
            let held = attempt.held.is_some();
            assert!(
                !held || attempt.state == AttemptState::Bridged,
                "{attempt:?}"
            );
            if let Some(agent) = attempt.reserved {
                let line = attempt.is_line() || attempt.borrowed;
                assert!(line, "{id} keeps an agent for nothing");
                assert_eq!(self.agents[&agent].attempt, Some(*id));
                assert_eq!(self.agents[&agent].duty, Duty::Reserved);
            }
            if attempt.state == AttemptState::Bridged && attempt.lent.is_none() {
                let agent = &self.agents[&attempt.agent.unwrap()];
                assert_eq!(agent.attempt, Some(*id));
                assert!(attempt.cancel.is_none() && !attempt.message);
            }
            let waits = attempt.state == AttemptState::WaitingForAgent
                && !attempt.message
                && !attempt.borrowed;
            let queued = attempt.queued.unwrap_or_default();
            let by_us = attempt.call_back.is_none();
            let (persons, callers) = (waits && by_us, waits && !by_us);
            assert_eq!(
                persons,
                self.persons.contains(&(queued, *id)),
                "{attempt:?}"
            );
            assert_eq!(
                callers,
                self.callers.contains(&(queued, *id)),
                "{attempt:?}"
            );
            if waits {
                assert_eq!(self.ready.longest(attempt.campaign.id), None);
                assert_eq!(self.unseen.longest(attempt.campaign.id), None);
            }
            let orphan = attempt.campaign.pacing == domain::PacingMode::Progressive
                && attempt.unanswered()
                && attempt.cancel.is_none()
                && attempt.reserved.is_none();
            assert_eq!(orphan, self.orphans.contains(&(attempt.began, *id)));
            if orphan {
                assert_eq!(self.ready.longest(attempt.campaign.id), None);
            }
            let lines = self.lines.get(&attempt.campaign.id);
            assert_eq!(attempt.is_line(), lines.is_some_and(|l| l.contains(id)));
        }
        let on_shift = self.agents.values().filter(|a| a.leg.is_some()).count();
        assert_eq!(on_shift, self.on_shift);
        for writing in self.writes.values() {
            assert!(self.attempts.contains_key(writing), "write of {writing}");
        }
    }
}
