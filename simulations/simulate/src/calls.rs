//! Dialing: the last check, the datagram, and what the telephone network makes of it.

use crate::{
    checkers::{Invite, one_live_attempt::Call},
    commits::told_disposition,
    defect::Defect,
    journal::Mark,
    leaders::Answer,
    nodes::{Leaving, Live},
    seen::Happening,
    violation::Checked,
    world::{Event, RULE_PACK, World},
};
use compliance::{RulePack, may_dial_at};
use domain::*;
use permit::{AfterSend, Attempt, Denial};
use std::time::Duration;

impl World {
    /// Dials leads of the hopper, or gives them back.
    pub(crate) fn dial(&mut self, i: usize) -> Checked {
        if self.closing() {
            let hopper = std::mem::take(&mut self.nodes[i].hopper);
            for lead in hopper {
                self.nodes[i].give_back(&lead);
            }
            return Ok(());
        }
        let tries = self.nodes[i].hopper.len().min(3);
        for _ in 0..tries {
            if self.chance(550) {
                continue;
            }
            self.dial_one(i)?;
            if self.nodes[i].paused_until > self.now || self.nodes[i].hopper.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn dial_one(&mut self, i: usize) -> Checked {
        let gives_back = self.chance(60);
        let survives = self.options.has(Defect::HopperSurvivesCrash);
        let node = &mut self.nodes[i];
        let mut lead = node.hopper.remove(0);
        if survives && let Some(session) = node.session {
            lead.session = session;
        }
        if gives_back || node.session != Some(lead.session) {
            node.give_back(&lead);
            if self.options.has(Defect::DialsGivenBack) {
                node.hopper.push(lead);
            }
            return Ok(());
        }
        if !self.trunk_takes(i) {
            self.nodes[i].hopper.push(lead);
            return Ok(());
        }
        let callers = self.nodes[i].callers.len() as u32;
        let caller = self.nodes[i].callers[self.random.below(callers) as usize];
        let attempt = Attempt {
            attempt: lead.attempt,
            session: lead.session,
            region: lead.lead.region(),
            campaign: lead.campaign,
            number: lead.number,
            trunk: caller.trunk,
            caller_id: &caller,
            consent_required: false,
            registry_age_max: None,
            registry_country: None,
            rule_pack_version: 1,
        };
        let now = self.local(i);
        let looks = !self.options.has(Defect::WindowAtClaimOnly);
        let window_open = || {
            let pack = RulePack::by_name(RULE_PACK).expect("the release has the pack");
            !looks || may_dial_at(pack, &lead.zones, now.wall).is_ok()
        };
        let grant = match self.nodes[i].permit.check(now, &attempt, window_open) {
            Ok(grant) => Some(grant),
            Err(Denial::SessionEnding)
                if self.options.has(Defect::NoSessionCheck)
                    && window_open()
                    && !self.nodes[i].permit.dnc().covers(
                        lead.number,
                        lead.campaign,
                        lead.lead.region(),
                    ) =>
            {
                None
            }
            Err(denial) => {
                self.denied(i, denial, lead);
                return Ok(());
            }
        };
        let leaving = Leaving {
            lead,
            grant,
            caller,
            invited: now.wall,
            looks_after: !self.options.has(Defect::NoCheckAfterSend),
        };
        self.leaves(i, leaving)
    }

    /// Whether the trunk takes one more call now.
    fn trunk_takes(&mut self, i: usize) -> bool {
        let defect = self.options.defect;
        let writes = defect == Some(Defect::BehindUnsentBytes) && self.nodes[i].behind < self.now;
        if self.nodes[i].stalled_until > self.now && !writes {
            self.saw(Happening::TrunkStalls);
            return false;
        }
        // One that is on its way out takes a channel too.
        let leaving = usize::from(self.nodes[i].behind >= self.now && self.now > 0);
        if self.nodes[i].live.len() + leaving >= self.options.channels as usize
            && defect != Some(Defect::ChannelsIgnored)
        {
            self.saw(Happening::ChannelsFull);
            return false;
        }
        let now = self.local(i).monotonic;
        let node = &mut self.nodes[i];
        node.sent
            .retain(|at| now.since(*at) < Duration::from_secs(1));
        if node.sent.len() >= self.options.calls_per_second as usize
            && defect != Some(Defect::RateIgnored)
        {
            self.saw(Happening::RateFull);
            return false;
        }
        true
    }

    fn denied(&mut self, i: usize, denial: Denial, lead: LeasedLead) {
        match denial {
            Denial::SessionEnding => self.saw(Happening::DeniedSession),
            Denial::NotFresh => self.saw(Happening::DeniedFresh),
            Denial::DoNotCall => self.saw(Happening::DeniedDnc),
            Denial::NoDncBase => self.saw(Happening::DeniedBase),
            Denial::Frozen => self.saw(Happening::DeniedFrozen),
            Denial::NoConsent => self.saw(Happening::DeniedConsent),
            Denial::WindowClosed => self.saw(Happening::DeniedWindow),
            Denial::DayCap | Denial::HourCap => self.saw(Happening::DeniedCaps),
            _ => {}
        }
        if denial.gives_lead_back() {
            if self.nodes[i].permit.dnc().is_listed(lead.number) {
                self.saw(Happening::Listed);
            }
            self.nodes[i].give_back(&lead);
        } else {
            self.nodes[i].hopper.push(lead);
        }
    }

    /// Between check and datagram: the journal is written, and the process may stop.
    fn leaves(&mut self, i: usize, leaving: Leaving) -> Checked {
        let now = self.local(i);
        let marks_late = self.options.has(Defect::MarksAfterSend);
        let node = &mut self.nodes[i];
        node.sent.push(now.monotonic);
        node.journal.show(leaving.caller.number, now.wall);
        let mark = node.journal.mark(leaving.lead.attempt);
        if marks_late {
            node.unmarked.push((leaving.lead.clone(), now.wall));
        } else if mark.is_none_or(|mark| mark == Mark::Leased) {
            node.write(&leaving.lead, Mark::Dialing(now.wall));
        }
        let run = node.run;
        if self.nodes[i].stalled_until > self.now {
            // Written behind unsent bytes: the shell believes that it left.
            self.nodes[i].behind = self.nodes[i].stalled_until;
            let stalled = self.nodes[i].stalled_until - self.now;
            let leaving = Leaving {
                looks_after: false,
                ..leaving
            };
            let event = Event::ToNode(i, run, Box::new(Answer::Send(Box::new(leaving))));
            self.after(stalled, event);
            return Ok(());
        }
        if self.options.pauses && self.mishap(15) {
            // The process stops between the look at the clock and the send. Nothing else of the
            // node happens meanwhile; the rest of the send is done when it wakes.
            let pause = self.millis(25_000);
            self.nodes[i].behind = self.now + pause;
            self.pause_node(i, pause);
            let event = Event::ToNode(i, run, Box::new(Answer::Send(Box::new(leaving))));
            self.after(pause, event);
            return Ok(());
        }
        self.invite(i, leaving)
    }

    /// The datagram leaves.
    pub(crate) fn invite(&mut self, i: usize, leaving: Leaving) -> Checked {
        let now = self.local(i);
        let Leaving {
            lead,
            grant,
            caller,
            invited,
            looks_after,
        } = leaving;
        let mut stands = true;
        let looks_at_window = !self.options.has(Defect::WindowAtClaimOnly);
        if let Some(grant) = grant
            && looks_after
        {
            let pack = RulePack::by_name(RULE_PACK).expect("the release has the pack");
            let open = || !looks_at_window || may_dial_at(pack, &lead.zones, now.wall).is_ok();
            let after = self.nodes[i].permit.after_send(now, &grant, open);
            stands = after == AfterSend::InTime;
        }
        let (call, most) = self.rings_at(i, &lead);
        let (at, wall) = (self.now, self.true_wall());
        let trunk = TrunkId(i as u32 + 1);
        let (checkers, truth) = self.truth();
        let invite = Invite {
            at,
            wall,
            node: i,
            lead: &lead,
            caller_id: &caller,
            trunk,
            stands,
        };
        checkers.invite(truth, &invite, call)?;
        self.trace.note(at, &[lead.attempt.0 as u64, call.end], || {
            format!(
                "  INVITE of node {i}: {} to {}, stands {stands}, {call:?}",
                lead.attempt, lead.number
            )
        });
        let gap_from_claim = self.options.has(Defect::GapFromClaim);
        let node = &mut self.nodes[i];
        if now.wall > invited {
            // It left later than it was checked: rate and caps count from here.
            node.sent.push(now.monotonic);
            node.journal.show(caller.number, now.wall);
        }
        // The time of the last datagram that really left.
        let invited = match gap_from_claim {
            true => WallTime::EPOCH,
            false => now.wall.max(invited),
        };
        if stands {
            node.live.push(Live {
                lead,
                invited,
                most,
                cancelled: false,
            });
            return Ok(());
        }
        let outcome = self.cancelled(&lead, invited, now.wall);
        self.nodes[i].write(&lead, Mark::Ended(outcome));
        Ok(())
    }

    fn cancelled(
        &self,
        lead: &LeasedLead,
        invited_at: WallTime,
        ended_at: WallTime,
    ) -> CallOutcome {
        let (lead, attempt) = (lead.lead, lead.attempt);
        if self.options.has(Defect::RefundsDialed) {
            return CallOutcome::Undialed { lead, attempt };
        }
        CallOutcome::Dialed {
            lead,
            attempt,
            disposition: Disposition::Cancelled,
            invited_at,
            ended_at,
            callback_at: None,
        }
    }

    /// What becomes of a call if nobody interferes, and the longest it may last.
    fn rings_at(&mut self, i: usize, lead: &LeasedLead) -> (Call, u64) {
        let node = &self.nodes[i];
        let campaign = node.campaigns.get(&lead.campaign);
        let (ring, talk) = campaign.map_or((limits::RING_LIMIT_MIN, Duration::from_secs(1)), |c| {
            (c.ring_limit, c.talk_limit)
        });
        let (ring, talk) = (node.clock.real(ring), node.clock.real(talk));
        let most = ring + talk;
        let mut draw = |most: u64| 400 + u64::from(self.random.below(most as u32 - 400));
        let (rings, talks) = (draw(ring), draw(talk));
        let answered = self.random.permille(500).then_some(self.now + rings);
        let end = self.now + rings + answered.map_or(0, |_| talks);
        let call = Call {
            start: self.now,
            answered,
            end,
        };
        (call, most)
    }

    /// Cancels unanswered calls.
    pub(crate) fn cancel(&mut self, i: usize, which: impl Fn(&LeasedLead) -> bool) {
        let now = self.now;
        let live = &mut self.nodes[i].live;
        for one in live.iter_mut().filter(|one| which(&one.lead)) {
            let call = self.checkers.live.call(one.lead.attempt);
            if call.is_some_and(|call| call.rings(now)) {
                self.checkers.live.ends(one.lead.attempt, now, None);
                one.cancelled = true;
                self.checkers.seen.saw(Happening::RingingCancelled);
            }
        }
        self.end_calls(i);
    }

    /// Calls that ended become outcomes.
    pub(crate) fn end_calls(&mut self, i: usize) {
        let now = self.now;
        let wall = self.local(i).wall;
        let checkers = &self.checkers;
        let ended =
            |one: &Live| (checkers.live.call(one.lead.attempt)).is_none_or(|call| call.end <= now);
        let (ended, live): (Vec<_>, Vec<_>) = self.nodes[i].live.drain(..).partition(ended);
        self.nodes[i].live = live;
        for one in ended {
            let lead = one.lead;
            if one.cancelled {
                let outcome = self.cancelled(&lead, one.invited, wall);
                self.nodes[i].write(&lead, Mark::Ended(outcome));
                continue;
            }
            let answered = (self.checkers.live.call(lead.attempt)).and_then(|call| call.answered);
            let disposition = match (answered, self.random.below(20)) {
                (Some(_), 0..2) => Disposition::Agent(DispositionCode(0)),
                (Some(_), 2..4) => Disposition::Abandoned,
                (Some(_), _) => Disposition::Machine,
                (None, 0..8) => Disposition::Busy,
                (None, _) => Disposition::NoAnswer,
            };
            if answered.is_some() {
                self.saw(Happening::Answered);
                self.person_says(i, &lead, disposition);
            }
            let outcome = CallOutcome::Dialed {
                lead: lead.lead,
                attempt: lead.attempt,
                disposition: told_disposition(disposition, self.options.defect),
                invited_at: one.invited,
                ended_at: wall,
                callback_at: None,
            };
            self.nodes[i].write(&lead, Mark::Ended(outcome));
        }
    }

    /// Somebody answered: perhaps nobody took the call, perhaps it is not to happen again.
    fn person_says(&mut self, i: usize, lead: &LeasedLead, disposition: Disposition) {
        if disposition == Disposition::Abandoned {
            self.saw(Happening::Abandoned);
            let start = (self.checkers.live.call(lead.attempt)).map_or(0, |call| call.start);
            self.checkers
                .attempts
                .leaves_alone(lead.attempt, lead.number, start);
        } else if self.chance(70) {
            self.saw(Happening::OptOuts);
            self.checkers.dnc.heard(i, lead.number);
            self.nodes[i].opt_out(lead.number, &self.options);
        }
    }
}
