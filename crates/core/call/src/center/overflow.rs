//! Overflow: a person who answered here and an agent of another node, or the other way round.
//!
//! At the person's node the attempt is like any other but that its agent is lent: a leg, and a name for
//! the record. At the agent's node it is borrowed: the agent is kept, joined and wraps up as ever, and
//! what the agent sets is reported instead of written.

use super::{CallCenter, Party, limits};
use crate::{
    AGENT_LEGS,
    attempt::{Attempt, AttemptEvent, AttemptState, Verdict},
    error::AgentError,
    face::{AttemptTimer, Observed, PersistToken, Rejected},
    leg::{LegCommand, LegEvent},
    notice::{EndedBy, RecordingState},
};
use domain::{
    AgentId, AttemptId, Campaign, Disposition, DispositionCode, LeasedLead, LegId, Now, WallTime,
};
use std::{sync::Arc, time::Duration};

impl CallCenter {
    // ---- Where the person is.

    /// Another node keeps an agent for a person who waits: the two are joined.
    pub(super) fn agent_lent(
        &mut self,
        now: Now,
        id: AttemptId,
        agent: AgentId,
        leg: LegId,
    ) -> Result<(), Rejected> {
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        if !self.waits_for_agent(id) {
            return Err(Rejected::NotAllowed {
                attempt: id,
                state: attempt.state,
                event: AttemptEvent::Joined,
            });
        }
        if leg.0 >= AGENT_LEGS || self.legs.contains_key(&leg) {
            return Err(Rejected::LegTaken(leg));
        }
        let (campaign, person) = (attempt.campaign.id, attempt.leg);
        let waited = self.waited(now, id);
        self.attempt_mut(id).lent = Some(leg);
        self.legs.insert(leg, Party::Lent(id));
        self.begin_talk(now, id, agent);
        self.leg(LegCommand::Bridge { a: person, b: leg });
        self.observe(Observed::Joined { campaign, waited });
        Ok(())
    }

    /// What happened to a lent agent's leg.
    pub(super) fn lent_leg(&mut self, now: Now, id: AttemptId, event: LegEvent) {
        let ended = matches!(event, LegEvent::HungUp { .. } | LegEvent::Failed(_));
        if ended && self.attempt(id).state == AttemptState::Bridged {
            self.end_call(now, id, EndedBy::Caller, true);
        }
    }

    /// A lent agent's disposition; [`crate::Output::LentKept`] follows once the journal has it.
    pub(super) fn lent_disposed(
        &mut self,
        now: Now,
        id: AttemptId,
        (name, note, callback_at): (String, String, Option<WallTime>),
    ) -> Result<(), Rejected> {
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        let agent = attempt.agent.filter(|_| attempt.lent.is_some());
        let open = matches!(attempt.state, AttemptState::Bridged | AttemptState::WrapUp);
        let place = (attempt.campaign.dispositions.iter()).position(|choice| choice.name == name);
        let too_long = note.len() > domain::limits::NOTE_BYTES;
        let callback_at = callback_at.filter(|at| *at <= now.wall + limits::CALLBACK_AHEAD);
        let (Some(agent), Some(place), true, None, false) =
            (agent, place, open, &attempt.verdict, too_long)
        else {
            return Err(Rejected::LentDisposition(id));
        };
        let verdict = Verdict {
            code: DispositionCode(place as u16),
            note,
            callback_at,
            request: None,
            kept: false,
        };
        self.set_verdict(id, agent, verdict);
        self.write_verdict(now, id);
        Ok(())
    }

    /// A lent agent is gone, or the way there: what is set stands, else the default.
    pub(super) fn lent_left(&mut self, now: Now, id: AttemptId) -> Result<(), Rejected> {
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        let lent = attempt.agent.filter(|_| attempt.lent.is_some());
        let agent = lent.ok_or(Rejected::LentDisposition(id))?;
        if attempt.state == AttemptState::Bridged {
            self.end_audio(now, id, EndedBy::Caller, true);
        }
        self.disarm(id, AttemptTimer::WrapUp);
        self.wrap_up_alone(now, id, agent);
        Ok(())
    }

    /// A lent agent wants nothing recorded for now, or everything again.
    pub(super) fn lent_pauses(&mut self, id: AttemptId, paused: bool) -> Result<(), Rejected> {
        let attempt = (self.attempts.get_mut(&id)).ok_or(Rejected::UnknownAttempt(id))?;
        if attempt.lent.is_some() && attempt.recording.is_some() {
            attempt.recording = Some(match paused {
                true => RecordingState::Paused,
                false => RecordingState::On,
            });
            let leg = attempt.leg;
            self.leg(LegCommand::PauseRecording { leg, paused });
        }
        Ok(())
    }

    /// Whether a person whom we called waits for an agent, and may still be joined with one.
    pub fn waits_for_agent(&self, id: AttemptId) -> bool {
        (self.attempts.get(&id)).is_some_and(|a| {
            a.state == AttemptState::WaitingForAgent
                && !a.message
                && !a.borrowed
                && a.call_back.is_none()
        })
    }

    /// For how long a person has waited, and for how much longer before being let down.
    pub fn patience(&self, now: Now, id: AttemptId) -> Option<(Duration, Duration)> {
        let attempt = self
            .attempts
            .get(&id)
            .filter(|_| self.waits_for_agent(id))?;
        let waited = self.waited(now, id);
        Some((waited, attempt.campaign.answer_limit.saturating_sub(waited)))
    }

    // ---- Where the agent is.

    /// A person of another node wants an agent: who has been ready longest is kept.
    pub(super) fn offered(
        &mut self,
        now: Now,
        lead: LeasedLead,
        campaign: Arc<Campaign>,
        leg: LegId,
        within: Duration,
    ) -> Result<(), Rejected> {
        let id = lead.attempt;
        let limit = domain::limits::NODE_ATTEMPTS;
        if self.attempts.contains_key(&id) {
            return Err(Rejected::KnownAttempt(id));
        }
        if self.attempts.len() >= limit {
            return Err(Rejected::TooManyAttempts { attempt: id, limit });
        }
        if leg.0 >= AGENT_LEGS || self.legs.contains_key(&leg) {
            return Err(Rejected::LegTaken(leg));
        }
        let agent = self.ready.longest(campaign.id);
        let agent = agent.ok_or(Rejected::NoReadyAgent(campaign.id))?;
        let attempt = Attempt {
            state: AttemptState::Answered,
            answered: Some(now),
            queued: Some(now.monotonic),
            borrowed: true,
            ..Attempt::new(now, lead, campaign, leg)
        };
        self.attempts.insert(id, attempt);
        self.legs.insert(leg, Party::Person(id));
        self.advance(id, AttemptEvent::Queued);
        self.reserve(now, id, agent);
        self.arm(now, id, AttemptTimer::Answer, within);
        Ok(())
    }

    /// The other node's person hears the agent who is kept.
    pub(super) fn offer_taken(&mut self, now: Now, id: AttemptId) -> Result<(), Rejected> {
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        let kept = attempt.reserved.filter(|_| attempt.borrowed);
        let Some(agent) = kept else {
            return Err(Rejected::NotAllowed {
                attempt: id,
                state: attempt.state,
                event: AttemptEvent::Joined,
            });
        };
        self.join(now, id, agent);
        Ok(())
    }

    /// A borrowed person whom nobody joined is given back, and the agent goes on.
    pub(super) fn withdraw(&mut self, now: Now, id: AttemptId) {
        let leg = self.attempt(id).leg;
        self.mark_ended(now, id, EndedBy::Caller);
        self.leg(LegCommand::HangUp { leg });
        self.close(now, id, AttemptEvent::HungUp, Disposition::NotTaken);
    }

    /// What an agent set could not be reported. In the call it may be set again.
    pub(super) fn not_kept(&mut self, now: Now, token: PersistToken) -> Result<(), Rejected> {
        let id = (self.writes.remove(&token)).ok_or(Rejected::UnknownToken(token))?;
        let attempt = self.attempt_mut(id);
        let (state, agent) = (attempt.state, attempt.agent);
        let Some(verdict) = &mut attempt.verdict else {
            return Ok(());
        };
        verdict.kept = true;
        let request = verdict.request.take();
        if state == AttemptState::Bridged {
            attempt.verdict = None;
        }
        let error = AgentError::NotReported.plain();
        match (request, agent) {
            (Some((_, request)), _) => self.reply(request, Err(error)),
            (None, Some(agent)) => self.tell_error(agent, error),
            (None, None) => {}
        }
        if state == AttemptState::WrapUp {
            self.finish(now, id);
        }
        Ok(())
    }

    /// The agent who is kept for a borrowed person.
    pub fn kept_agent(&self, id: AttemptId) -> Option<AgentId> {
        let attempt = self.attempts.get(&id).filter(|a| a.borrowed)?;
        attempt.reserved
    }

    /// Whether an attempt is another node's, whose person speaks with an agent of this one.
    pub fn is_borrowed(&self, id: AttemptId) -> bool {
        self.attempts.get(&id).is_some_and(|a| a.borrowed)
    }

    /// Whether an attempt's agent is another node's.
    pub fn is_lent(&self, id: AttemptId) -> bool {
        self.attempts.get(&id).is_some_and(|a| a.lent.is_some())
    }

    /// Persons whom we called and who wait for an agent, longest first.
    pub fn waiting(&self) -> Vec<AttemptId> {
        self.persons.iter().map(|(_, id)| *id).collect()
    }

    /// Ready agents who serve the campaign, with a screen open.
    pub fn ready_for(&self, campaign: domain::CampaignId) -> u32 {
        self.ready.count(campaign) as u32
    }
}
