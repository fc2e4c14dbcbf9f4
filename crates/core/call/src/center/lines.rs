//! Lines: from the wish to dial to the answer or its failure.

use super::{CallCenter, Party, limits};
use crate::{
    AGENT_LEGS,
    agent::{After, DutyEvent},
    attempt::{Attempt, AttemptEvent, AttemptState, CancelReason, DialFacts},
    face::{AttemptTimer, Rejected},
    failure,
    leg::{Callee, Failure, LegCommand, LegEvent},
    notice::{CallEnd, EndedBy},
};
use domain::{
    AgentId, AttemptId, Campaign, CampaignState, Disposition, LeasedLead, LegId, Now, PacingMode,
};
use std::{sync::Arc, time::Duration};

impl CallCenter {
    pub(super) fn dial(
        &mut self,
        now: Now,
        lease: LeasedLead,
        campaign: Arc<Campaign>,
        leg: LegId,
        screening: Option<Duration>,
    ) -> Result<(), Rejected> {
        let id = lease.attempt;
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
        if lease.campaign != campaign.id {
            return Err(Rejected::OtherCampaign {
                attempt: id,
                leased: lease.campaign,
                given: campaign.id,
            });
        }
        if campaign.state != CampaignState::Running {
            return Err(Rejected::NotRunning(campaign.id));
        }
        let reserved = match campaign.pacing {
            PacingMode::Ratio | PacingMode::Predictive => None,
            PacingMode::Progressive => Some(
                self.ready
                    .longest(campaign.id)
                    .ok_or(Rejected::NoReadyAgent(campaign.id))?,
            ),
        };
        let number = lease.number;
        let attempt = Attempt {
            screening,
            ..Attempt::new(now, lease, campaign, leg)
        };
        self.attempts.insert(id, attempt);
        self.legs.insert(leg, Party::Person(id));
        self.sort_line(id);
        if let Some(agent) = reserved {
            self.reserve(now, id, agent);
        }
        self.arm(now, id, AttemptTimer::Leased, limits::LEASED);
        self.leg(LegCommand::Dial {
            leg,
            to: Callee::Person {
                attempt: id,
                number,
            },
        });
        Ok(())
    }

    pub(super) fn dialed(
        &mut self,
        now: Now,
        id: AttemptId,
        facts: DialFacts,
    ) -> Result<(), Rejected> {
        self.may(id, AttemptEvent::Dialed)?;
        let attempt = self.attempt_mut(id);
        let first = attempt.dialed.replace(facts).is_none();
        let (ring_limit, cancelled) = (attempt.campaign.ring_limit, attempt.cancel.is_some());
        self.advance(id, AttemptEvent::Dialed);
        if first {
            self.disarm(id, AttemptTimer::Leased);
        }
        // Counts from the INVITE, not from the first ringing: a line that stays silent must end as
        // well.
        self.arm(now, id, AttemptTimer::Ring, ring_limit);
        if cancelled {
            // The wish to cancel came while the engine was sending.
            self.cancel_leg(now, id);
        }
        Ok(())
    }

    pub(super) fn not_dialed(&mut self, now: Now, id: AttemptId) -> Result<(), Rejected> {
        self.may(id, AttemptEvent::NotDialed)?;
        self.close(now, id, AttemptEvent::NotDialed, Disposition::Cancelled);
        Ok(())
    }

    /// The engine never said whether an INVITE left. It may have: the end is unknown.
    pub(super) fn engine_silent(&mut self, now: Now, id: AttemptId) {
        let leg = self.attempt(id).leg;
        self.leg(LegCommand::Cancel { leg });
        self.close(now, id, AttemptEvent::Lost, Disposition::Unknown);
    }

    pub(super) fn cancel_attempt(
        &mut self,
        now: Now,
        id: AttemptId,
        reason: CancelReason,
    ) -> Result<(), Rejected> {
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        if !attempt.unanswered() {
            return Err(Rejected::TooLate {
                attempt: id,
                state: attempt.state,
            });
        }
        self.cancel(now, id, reason);
        Ok(())
    }

    /// Gives up an unanswered attempt. The first reason stands. The attempt is closed when its leg
    /// has ended, so that no second attempt can overlap it (I1); its agent is free at once, since
    /// an answer that comes now is hung up.
    pub(super) fn cancel(&mut self, now: Now, id: AttemptId, reason: CancelReason) {
        let attempt = self.attempt_mut(id);
        if attempt.cancel.is_some() || !attempt.unanswered() {
            return;
        }
        attempt.cancel = Some(reason);
        let (leased, began) = (attempt.state == AttemptState::Leased, attempt.began);
        self.sort_line(id);
        self.orphans.remove(&(began, id));
        self.disarm(id, AttemptTimer::MinimumRing);
        if !leased {
            self.cancel_leg(now, id);
        }
        self.release(now, id);
    }

    fn cancel_leg(&mut self, now: Now, id: AttemptId) {
        let leg = self.attempt(id).leg;
        self.disarm(id, AttemptTimer::Ring);
        self.arm(now, id, AttemptTimer::Cancelled, limits::CANCELLED);
        self.leg(LegCommand::Cancel { leg });
    }

    /// The end of a cancelled leg never came.
    pub(super) fn cancel_silent(&mut self, now: Now, id: AttemptId) {
        let attempt = self.attempt(id);
        let asked = attempt
            .cancel
            .map_or(Disposition::Unknown, CancelReason::disposition);
        let leg = attempt.leg;
        self.leg(LegCommand::HangUp { leg });
        self.close(now, id, AttemptEvent::Lost, asked);
    }

    pub(super) fn campaign_changed(&mut self, now: Now, campaign: &Campaign) {
        if campaign.state == CampaignState::Running {
            return;
        }
        let lines = self.lines.get(&campaign.id).cloned().unwrap_or_default();
        for id in lines {
            self.cancel(now, id, CancelReason::CampaignPaused);
        }
    }

    /// What happened to a person's leg.
    pub(super) fn person_leg(
        &mut self,
        now: Now,
        id: AttemptId,
        event: LegEvent,
    ) -> Result<(), Rejected> {
        match event {
            LegEvent::Ringing | LegEvent::EarlyMedia => self.rang(now, id),
            LegEvent::Answered => self.answered(now, id),
            LegEvent::Failed(failure) => self.ended(now, id, failure, true),
            LegEvent::HungUp { by_peer } => self.ended(now, id, Failure::default(), by_peer),
            LegEvent::Digit(key) => {
                self.person_pressed(now, id, key);
                Ok(())
            }
            LegEvent::Played => {
                if self.attempt(id).call_back.is_some() {
                    self.announced(now, id);
                } else if self.attempt(id).state == AttemptState::LeavingMessage {
                    self.message_left(now, id);
                } else {
                    self.message_over(now, id);
                }
                Ok(())
            }
            // Said of agents' legs only.
            LegEvent::Interrupted | LegEvent::Restored => Ok(()),
        }
    }

    fn rang(&mut self, now: Now, id: AttemptId) -> Result<(), Rejected> {
        self.may(id, AttemptEvent::Rang)?;
        let attempt = self.attempt_mut(id);
        let first = attempt.ringing.is_none();
        attempt.ringing.get_or_insert(now);
        let orphan = (attempt.began, id);
        self.advance(id, AttemptEvent::Rang);
        if first && self.orphans.contains(&orphan) {
            self.arm(now, id, AttemptTimer::MinimumRing, limits::MINIMUM_RING);
        }
        Ok(())
    }

    fn answered(&mut self, now: Now, id: AttemptId) -> Result<(), Rejected> {
        self.may(id, AttemptEvent::Answered)?;
        for timer in [
            AttemptTimer::Ring,
            AttemptTimer::MinimumRing,
            AttemptTimer::Cancelled,
        ] {
            self.disarm(id, timer);
        }
        let attempt = self.attempt_mut(id);
        attempt.answered = Some(now);
        let (leg, screening, cancel) = (attempt.leg, attempt.screening, attempt.cancel);
        let orphan = (attempt.began, id);
        self.orphans.remove(&orphan);
        self.advance(id, AttemptEvent::Answered);
        if let Some(reason) = cancel {
            // The answer crossed the CANCEL on the wire.
            self.attempt_mut(id).ended = Some(CallEnd {
                at: now.wall,
                by: EndedBy::Caller,
            });
            self.leg(LegCommand::HangUp { leg });
            self.close(now, id, AttemptEvent::HungUp, reason.disposition());
            return Ok(());
        }
        match screening {
            Some(limit) => {
                self.advance(id, AttemptEvent::ScreeningBegan);
                self.arm(now, id, AttemptTimer::Screening, limit);
            }
            None => self.queue(now, id, Duration::ZERO),
        }
        Ok(())
    }

    /// A person's leg is gone: before an answer by `failure`, after it by a hang-up.
    fn ended(
        &mut self,
        now: Now,
        id: AttemptId,
        failure: Failure,
        by_peer: bool,
    ) -> Result<(), Rejected> {
        let attempt = self.attempt(id);
        if attempt.state == AttemptState::Bridged {
            let by = if by_peer {
                EndedBy::Callee
            } else {
                EndedBy::Caller
            };
            self.end_call(now, id, by, false);
            return Ok(());
        }
        if attempt.unanswered() {
            self.may(id, AttemptEvent::Failed)?;
            let heard = attempt.ringing.is_some();
            let disposition = match attempt.cancel {
                Some(reason) => {
                    failure::disposition_after_cancel(failure, heard, reason.disposition())
                }
                None => failure::disposition(failure, heard),
            };
            self.attempt_mut(id).failure = Some(failure);
            self.close(now, id, AttemptEvent::Failed, disposition);
            return Ok(());
        }
        self.may(id, AttemptEvent::HungUp)?;
        self.person_gave_up(now, id, by_peer);
        Ok(())
    }

    // ---- Agents kept for lines.

    /// Keeps a ready agent for a line.
    pub(super) fn reserve(&mut self, now: Now, id: AttemptId, agent: AgentId) {
        let attempt = self.attempt_mut(id);
        attempt.reserved = Some(agent);
        let orphan = (attempt.began, id);
        self.orphans.remove(&orphan);
        self.disarm(id, AttemptTimer::MinimumRing);
        self.agent_mut(agent).attempt = Some(id);
        self.duty(now, agent, DutyEvent::Reserved, None);
    }

    /// Lets go of the agent kept for a line that came to nothing.
    pub(super) fn release(&mut self, now: Now, id: AttemptId) {
        let Some(agent) = self.attempt_mut(id).reserved.take() else {
            return;
        };
        let released = self.agent_mut(agent);
        released.attempt = None;
        match released.after.take() {
            Some(After::LogOut) => self.leave(now, agent, true),
            Some(After::Paused(code)) => self.pause(now, agent, code),
            Some(After::Ready) | None => {
                self.duty(now, agent, DutyEvent::BecameReady, None);
                self.offer(now, agent);
            }
        }
    }

    /// The agent kept for a line is gone. Another takes the place; where there is none the line
    /// rings on for the minimum the law asks for, in the hope that somebody becomes ready.
    pub(super) fn orphan(&mut self, now: Now, id: AttemptId) {
        let attempt = self.attempt_mut(id);
        attempt.reserved = None;
        if attempt.borrowed {
            // Another agent than was promised is none.
            return self.withdraw(now, id);
        }
        if !attempt.is_line() {
            return;
        }
        let (campaign, began, ringing) = (attempt.campaign.id, attempt.began, attempt.ringing);
        if let Some(agent) = self.ready.longest(campaign) {
            self.reserve(now, id, agent);
            return;
        }
        if !self.attempt(id).unanswered() {
            // Being screened: it is matched like any other once a person is found.
            return;
        }
        self.orphans.insert((began, id));
        if let Some(ringing) = ringing {
            let rung = now.monotonic.since(ringing.monotonic);
            let rest = limits::MINIMUM_RING.saturating_sub(rung);
            self.arm(now, id, AttemptTimer::MinimumRing, rest);
        }
    }

    /// A ready agent takes who has waited longest: a person whom we called first, who may be let down
    /// in a moment, then one who called back, else a line without its agent.
    pub(super) fn offer(&mut self, now: Now, agent: AgentId) {
        let ready = self.agent(agent);
        if !ready.audio {
            return;
        }
        let campaign = |id: &AttemptId| self.attempt(*id).campaign.id;
        let serves = |(_, id): &&(domain::Instant, AttemptId)| ready.serves(campaign(id));
        let mut waiting = self.persons.iter().chain(&self.callers);
        if let Some((_, id)) = waiting.find(serves).copied() {
            self.join(now, id, agent);
        } else if ready.screen
            && let Some((_, id)) = self.orphans.iter().find(serves).copied()
        {
            self.reserve(now, id, agent);
        }
    }
}
