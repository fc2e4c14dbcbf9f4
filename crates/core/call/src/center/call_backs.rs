//! Persons who call one of our numbers: the agent who called them, else who has been ready longest,
//! else a wait with music, else who called and a key to opt out.
//!
//! Each is an attempt that begins with its answer: from the join on it is a call like any other. None
//! ever counts as abandoned: nobody was dialed.

use super::{CallCenter, Party, limits};
use crate::{
    AGENT_LEGS,
    agent::Duty,
    attempt::{Attempt, AttemptEvent, AttemptState, DialFacts},
    face::{AttemptTimer, CallBackWish, Observed, Output, Rejected},
    leg::{LegCommand, Prompt},
    notice::EndedBy,
};
use domain::{
    AgentId, AttemptId, CallBack, CallBackEnd, Campaign, CampaignId, Disposition, DncSource,
    LeasedLead, LegId, Now, PhoneNumber,
};
use std::{sync::Arc, time::Duration};

/// A call-back under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallingBack {
    pub(crate) wish: CallBackWish,
    /// From the answer until an agent, the announcement, or the end; none while the person waits.
    pub(crate) waited: Option<Duration>,
    pub(crate) end: CallBackEnd,
}

impl CallingBack {
    /// For the record.
    pub(crate) fn told(&self) -> CallBack {
        let waited = self.waited.unwrap_or_default().as_millis();
        CallBack {
            after: self.wish.after,
            withheld: self.wish.withheld,
            waited_ms: u32::try_from(waited).unwrap_or(u32::MAX),
            end: self.end,
        }
    }
}

impl CallCenter {
    /// A person called back, and was answered.
    pub(super) fn called_back(
        &mut self,
        now: Now,
        lead: LeasedLead,
        campaign: Arc<Campaign>,
        leg: LegId,
        (facts, wish): (DialFacts, CallBackWish),
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
        if lead.campaign != campaign.id {
            return Err(Rejected::OtherCampaign {
                attempt: id,
                leased: lead.campaign,
                given: campaign.id,
            });
        }
        let agent = self.agent_for(campaign.id, wish.agent);
        let limit = domain::limits::CALL_BACKS_WAITING;
        if agent.is_none() && self.callers.len() >= limit {
            return Err(Rejected::TooManyCallBacks { limit });
        }
        let calling = CallingBack {
            wish,
            waited: None,
            end: CallBackEnd::GaveUp,
        };
        let attempt = Attempt {
            state: AttemptState::Answered,
            dialed: Some(facts),
            answered: Some(now),
            queued: Some(now.monotonic),
            call_back: Some(calling),
            ..Attempt::new(now, lead, campaign, leg)
        };
        if !wish.withheld {
            self.calling_back.insert((attempt.lease.number, id));
        }
        self.attempts.insert(id, attempt);
        self.legs.insert(leg, Party::Person(id));
        self.advance(id, AttemptEvent::Queued);
        self.serve_caller(now, id, agent);
        Ok(())
    }

    fn serve_caller(&mut self, now: Now, id: AttemptId, agent: Option<AgentId>) {
        let attempt = self.attempt(id);
        let campaign = attempt.campaign.id;
        let Some(CallingBack { wish, .. }) = attempt.call_back else {
            return;
        };
        match agent {
            Some(agent) => self.join(now, id, agent),
            None if self.is_served(campaign) => {
                let (leg, queued) = (attempt.leg, attempt.queued.unwrap_or(now.monotonic));
                self.callers.insert((queued, id));
                self.leg(LegCommand::Play {
                    leg,
                    prompt: Prompt::Waiting,
                });
                self.arm(now, id, AttemptTimer::Answer, wish.wait);
                self.tell_waiting();
            }
            // Nobody is on shift: no wait would help.
            None => self.announce(now, id),
        }
    }

    /// Who takes a call-back now: the agent who called, else who has been ready longest.
    fn agent_for(&self, campaign: CampaignId, last: Option<AgentId>) -> Option<AgentId> {
        let free = |id: &AgentId| {
            let agent = self.agents.get(id);
            agent.is_some_and(|a| a.duty == Duty::Ready && a.audio && a.serves(campaign))
        };
        last.filter(free)
            .or_else(|| self.ready.longest(campaign))
            // Somebody reloading the page still has the phone at the ear.
            .or_else(|| self.unseen.longest(campaign))
    }

    /// Whether somebody on shift takes calls of the campaign, now or later.
    pub fn is_served(&self, campaign: CampaignId) -> bool {
        let on_shift = |duty| duty != Duty::LoggedOut;
        (self.agents.values()).any(|agent| on_shift(agent.duty) && agent.serves(campaign))
    }

    /// An agent takes a person who called back: the music ends.
    pub(super) fn caller_joined(&mut self, now: Now, id: AttemptId) {
        let queued = self.attempt(id).queued.unwrap_or(now.monotonic);
        let music = self.callers.contains(&(queued, id));
        let Some(waited) = self.stop_waiting(now, id) else {
            return;
        };
        let attempt = self.attempt_mut(id);
        let (leg, campaign) = (attempt.leg, attempt.campaign.id);
        let end = CallBackEnd::Taken;
        if let Some(calling) = &mut attempt.call_back {
            calling.end = end;
        }
        if music {
            self.leg(LegCommand::StopPlay { leg });
        }
        self.observe(Observed::CallBack {
            campaign,
            end,
            waited,
        });
    }

    /// The wait is over, whatever comes; none where it was before, or nobody called back.
    fn stop_waiting(&mut self, now: Now, id: AttemptId) -> Option<Duration> {
        let attempt = self.attempt_mut(id);
        let queued = attempt.queued.unwrap_or(now.monotonic);
        let calling = attempt.call_back.as_mut().filter(|c| c.waited.is_none())?;
        let waited = now.monotonic.since(queued);
        calling.waited = Some(waited);
        if self.callers.remove(&(queued, id)) {
            self.tell_waiting();
        }
        Some(waited)
    }

    /// Nobody came, or nobody is there: who called is said, and a key opts out.
    pub(super) fn announce(&mut self, now: Now, id: AttemptId) {
        self.stop_waiting(now, id);
        self.advance(id, AttemptEvent::MessageBegan);
        let attempt = self.attempt_mut(id);
        attempt.message = true;
        if let Some(calling) = &mut attempt.call_back {
            calling.end = CallBackEnd::Announced;
        }
        let leg = attempt.leg;
        self.leg(LegCommand::Play {
            leg,
            prompt: Prompt::WhoCalled,
        });
        self.arm(now, id, AttemptTimer::Message, limits::MESSAGE);
    }

    /// The announcement was played: the key may still be pressed for a while. What confirms an opt-out
    /// was played: that was all.
    pub(super) fn announced(&mut self, now: Now, id: AttemptId) {
        let attempt = self.attempt(id);
        let Some(calling) = attempt.call_back.filter(|_| attempt.message) else {
            return;
        };
        match calling.end {
            CallBackEnd::OptedOut => self.caller_over(now, id),
            _ => self.arm(now, id, AttemptTimer::Message, limits::KEY),
        }
    }

    /// A key of a person who hears the announcement: 9 opts out, which a tone confirms.
    pub(super) fn caller_pressed(&mut self, now: Now, id: AttemptId, key: char) {
        let attempt = self.attempt_mut(id);
        let (campaign, leg) = (attempt.campaign.id, attempt.leg);
        let Some(calling) = attempt.call_back.as_mut().filter(|_| attempt.message) else {
            return;
        };
        // Whose number is withheld cannot be kept from being called.
        if key != limits::OPT_OUT_KEY
            || calling.wish.withheld
            || calling.end == CallBackEnd::OptedOut
        {
            return;
        }
        calling.end = CallBackEnd::OptedOut;
        let number = attempt.lease.number;
        self.outputs.push_back(Output::AddDoNotCall {
            number,
            campaign,
            source: DncSource::CallBack,
        });
        self.leg(LegCommand::Play {
            leg,
            prompt: Prompt::Confirmed,
        });
        self.arm(now, id, AttemptTimer::Message, limits::KEY);
    }

    /// Everything was said.
    pub(super) fn caller_over(&mut self, now: Now, id: AttemptId) {
        let leg = self.attempt(id).leg;
        self.mark_ended(now, id, EndedBy::Caller);
        self.leg(LegCommand::HangUp { leg });
        self.close_caller(now, id);
    }

    /// A person who called back hung up with no agent there.
    pub(super) fn caller_gave_up(&mut self, now: Now, id: AttemptId, by_peer: bool) {
        let by = if by_peer {
            EndedBy::Callee
        } else {
            EndedBy::Caller
        };
        self.mark_ended(now, id, by);
        self.close_caller(now, id);
    }

    fn close_caller(&mut self, now: Now, id: AttemptId) {
        self.stop_waiting(now, id);
        let attempt = self.attempt(id);
        let campaign = attempt.campaign.id;
        if let Some(calling) = attempt.call_back {
            self.observe(Observed::CallBack {
                campaign,
                end: calling.end,
                waited: calling.waited.unwrap_or_default(),
            });
        }
        self.close(now, id, AttemptEvent::HungUp, Disposition::NotTaken);
    }

    fn tell_waiting(&mut self) {
        let waiting = self.callers.len() as u32;
        self.observe(Observed::CallBacksWaiting { waiting });
    }

    /// Whether a person of this number has called back and is on the line, or was just now.
    pub fn is_calling_back(&self, number: PhoneNumber) -> bool {
        let all = AttemptId(0)..=AttemptId(u128::MAX);
        let (first, last) = ((number, *all.start()), (number, *all.end()));
        self.calling_back.range(first..=last).next().is_some()
    }
}
