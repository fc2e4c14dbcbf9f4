//! Persons who answered: screened, joined with an agent, or told that there is none.

use super::{CallCenter, limits};
use crate::{
    agent::DutyEvent,
    attempt::{AttemptEvent, AttemptState},
    face::{AttemptTimer, Observed, Output, Rejected},
    leg::{LegCommand, Prompt},
    notice::{AgentNotice, CallEnd, EndedBy},
};
use domain::{AgentId, AttemptId, Disposition, DncSource, Now, WhoAnswered, answering::Verdict};
use std::time::Duration;

impl CallCenter {
    pub(super) fn screened(
        &mut self,
        now: Now,
        id: AttemptId,
        who: WhoAnswered,
    ) -> Result<(), Rejected> {
        let (event, disposition) = match who.verdict {
            verdict if verdict.counts_as_person() => (AttemptEvent::Queued, None),
            Verdict::Fax => (AttemptEvent::MachineFound, Some(Disposition::Fax)),
            // The network's tones and announcements after an answer are machines, too.
            _ => (AttemptEvent::MachineFound, Some(Disposition::Machine)),
        };
        let attempt = self.attempts.get(&id).ok_or(Rejected::UnknownAttempt(id))?;
        if attempt.state != AttemptState::Screening {
            return Err(Rejected::NotAllowed {
                attempt: id,
                state: attempt.state,
                event,
            });
        }
        self.note_who(id, who);
        match disposition {
            None => self.queue(now, id, silent_after_greeting(who)),
            Some(disposition) => {
                let leg = self.attempt(id).leg;
                self.mark_ended(now, id, EndedBy::Caller);
                self.leg(LegCommand::HangUp { leg });
                self.close(now, id, event, disposition);
            }
        }
        Ok(())
    }

    /// The listener said nothing in time: whoever it is counts as a person.
    pub(super) fn screening_over(&mut self, now: Now, id: AttemptId) {
        let answered = self.attempt(id).answered.unwrap_or(now);
        let took = now.monotonic.since(answered.monotonic).as_millis();
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        self.note_who(id, WhoAnswered::untold(took));
        self.queue(now, id, Duration::ZERO);
    }

    pub(super) fn note_who(&mut self, id: AttemptId, who: WhoAnswered) {
        let attempt = self.attempt_mut(id);
        attempt.who = Some(who);
        let campaign = attempt.campaign.id;
        self.observe(Observed::Screened { campaign, who });
    }

    /// A person answered, whose greeting ended `ago`: joined at once with the agent kept for the line,
    /// else with whoever has been ready longest, else waiting. The wait counts from the greeting's
    /// end (16 CFR 310.4(b)(1)(iv)), what the listener took of it included.
    pub(super) fn queue(&mut self, now: Now, id: AttemptId, ago: Duration) {
        self.disarm(id, AttemptTimer::Screening);
        let attempt = self.attempt_mut(id);
        let queued = now.monotonic - ago;
        attempt.queued = Some(queued);
        let (campaign, limit) = (attempt.campaign.id, attempt.campaign.answer_limit);
        let agent = attempt
            .reserved
            .or_else(|| self.ready.longest(campaign))
            // Somebody reloading the page still has the phone at the ear.
            .or_else(|| self.unseen.longest(campaign));
        self.advance(id, AttemptEvent::Queued);
        match agent {
            Some(agent) => self.join(now, id, agent),
            None => {
                self.persons.insert((queued, id));
                self.arm(now, id, AttemptTimer::Answer, limit.saturating_sub(ago));
            }
        }
    }

    /// Joins a waiting person with an agent who is ready, or kept for the line.
    pub(super) fn join(&mut self, now: Now, id: AttemptId, agent: AgentId) {
        let waited = self.waited(now, id);
        self.caller_joined(now, id);
        let attempt = self.attempt(id);
        // Counted where the person is, and of call-backs apart.
        let counted = attempt.call_back.is_none() && !attempt.borrowed;
        let (campaign, leg) = (attempt.campaign.id, attempt.leg);
        let talk_end = self.begin_talk(now, id, agent);
        let joined = self.agent_mut(agent);
        joined.attempt = Some(id);
        let agent_leg = joined
            .leg
            .expect("an agent without a phone is neither ready nor reserved");
        self.leg(LegCommand::Bridge {
            a: leg,
            b: agent_leg,
        });
        let card = Box::new(self.attempt(id).card());
        self.tell(agent, AgentNotice::Call(card));
        self.duty(now, agent, DutyEvent::Joined, Some(talk_end.wall));
        if counted {
            self.observe(Observed::Joined { campaign, waited });
        }
    }

    /// The person's side of a join; when the talk ends at the latest.
    pub(super) fn begin_talk(&mut self, now: Now, id: AttemptId, agent: AgentId) -> Now {
        self.disarm(id, AttemptTimer::Answer);
        let attempt = self.attempt_mut(id);
        attempt.reserved = None;
        attempt.agent = Some(agent);
        attempt.bridged_at = Some(now.wall);
        let answered = attempt.answered.unwrap_or(now);
        let talk_end = answered.plus(attempt.campaign.talk_limit);
        if let Some(queued) = attempt.queued {
            self.persons.remove(&(queued, id));
        }
        self.advance(id, AttemptEvent::Joined);
        let left = talk_end.monotonic.since(now.monotonic);
        self.arm(now, id, AttemptTimer::Talk, left);
        talk_end
    }

    /// Nobody became ready in time: the person is told so.
    pub(super) fn abandon(&mut self, now: Now, id: AttemptId) {
        let waited = self.waited(now, id);
        self.advance(id, AttemptEvent::MessageBegan);
        let attempt = self.attempt_mut(id);
        attempt.message = true;
        let (campaign, leg, queued) = (attempt.campaign.id, attempt.leg, attempt.queued);
        if let Some(queued) = queued {
            self.persons.remove(&(queued, id));
        }
        self.observe(Observed::Abandoned { campaign, waited });
        self.leg(LegCommand::Play {
            leg,
            prompt: Prompt::SafeHarbour,
        });
        self.arm(now, id, AttemptTimer::Message, limits::MESSAGE);
    }

    /// The message was played, or took too long.
    pub(super) fn message_over(&mut self, now: Now, id: AttemptId) {
        let attempt = self.attempt(id);
        if !attempt.message {
            return;
        }
        let leg = attempt.leg;
        self.mark_ended(now, id, EndedBy::Caller);
        self.leg(LegCommand::HangUp { leg });
        self.close(now, id, AttemptEvent::HungUp, Disposition::Abandoned);
    }

    /// A key during the message: 9 opts out and ends the call. Other keys mean nothing.
    pub(super) fn person_pressed(&mut self, now: Now, id: AttemptId, key: char) {
        let attempt = self.attempt(id);
        if attempt.call_back.is_some() {
            return self.caller_pressed(now, id, key);
        }
        if attempt.state == AttemptState::LeavingMessage {
            return self.machine_pressed(now, id, key);
        }
        if !attempt.message || key != limits::OPT_OUT_KEY {
            return;
        }
        let (number, campaign, leg) = (attempt.lease.number, attempt.campaign.id, attempt.leg);
        self.outputs.push_back(Output::AddDoNotCall {
            number,
            campaign,
            source: DncSource::Person,
        });
        self.observe(Observed::OptedOut { campaign });
        self.leg(LegCommand::StopPlay { leg });
        self.message_over(now, id);
    }

    /// A person hung up with no agent there. Counted as abandoned even inside the limit: whether
    /// the person would have waited nobody can know, and doubt goes against us.
    pub(super) fn person_gave_up(&mut self, now: Now, id: AttemptId, by_peer: bool) {
        if self.attempt(id).call_back.is_some() {
            return self.caller_gave_up(now, id, by_peer);
        }
        if self.attempt(id).borrowed {
            return self.withdraw(now, id);
        }
        if self.attempt(id).state == AttemptState::LeavingMessage {
            return self.machine_gone(now, id, by_peer);
        }
        if self.attempt(id).state == AttemptState::Screening {
            // Taken for a person who answered, and counted as one.
            self.advance(id, AttemptEvent::Queued);
        }
        let attempt = self.attempt(id);
        let (campaign, counted) = (attempt.campaign.id, attempt.message);
        let by = if by_peer {
            EndedBy::Callee
        } else {
            EndedBy::Caller
        };
        if !counted {
            let waited = self.waited(now, id);
            self.observe(Observed::Abandoned { campaign, waited });
        }
        self.mark_ended(now, id, by);
        self.close(now, id, AttemptEvent::HungUp, Disposition::Abandoned);
    }

    pub(super) fn waited(&self, now: Now, id: AttemptId) -> Duration {
        self.attempt(id)
            .queued
            .map_or(Duration::ZERO, |queued| now.monotonic.since(queued))
    }

    pub(super) fn mark_ended(&mut self, now: Now, id: AttemptId, by: EndedBy) {
        let attempt = self.attempt_mut(id);
        attempt.ended.get_or_insert(CallEnd { at: now.wall, by });
    }
}

/// For how long a person has been silent after a greeting that was heard to its end; who goes on
/// speaking, or said nothing, begins to wait now.
fn silent_after_greeting(who: WhoAnswered) -> Duration {
    if who.greeting.utterances == 0 {
        Duration::ZERO
    } else {
        Duration::from_millis(who.greeting.silence_ms.into())
    }
}
