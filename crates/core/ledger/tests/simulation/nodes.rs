//! Nodes: the real permit, a hopper, a journal, and a telephone network behind them.

use super::{
    checks::Call,
    leaders::{Answer, Request},
    world::{CAMPAIGN, Clock, DELTA, Defect, Event, REGION, RING, T, TALK, World},
};
use domain::*;
use ledger::*;
use permit::*;
use sansio::Stream;
use std::collections::BTreeMap;

/// What the journal knows of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    Leased,
    Dialing,
    Ended(CallOutcome),
}

#[derive(Clone, Debug)]
struct Entry {
    lead: LeasedLead,
    run: Incarnation,
    mark: Mark,
    /// A power loss came after: its tail may be lost.
    tainted: bool,
}

struct Live {
    call: usize,
    lead: LeasedLead,
    invited: WallTime,
}

pub(crate) struct Node {
    member: MemberId,
    run: Incarnation,
    clock: Clock,
    /// Off the true calendar by so much.
    skew: i64,
    down_until: u64,
    paused_until: u64,
    permit: Permit,
    session: Option<SessionId>,
    hopper: Vec<LeasedLead>,
    live: Vec<Live>,
    sequence: u64,
    claim: Option<(u64, u64)>,
    journal: BTreeMap<AttemptId, Entry>,
    /// The last few writes: attempt, and what stood there before.
    tail: Vec<(AttemptId, Option<Mark>)>,
    reached: u64,
    /// The voter that it takes for the leader.
    asks: usize,
}

fn caller_id() -> CallerId {
    CallerId {
        number: super::world::number(9999),
        trunk: TrunkId(1),
        caps: CallerIdCaps {
            per_day: 10_000,
            per_hour: 10_000,
        },
        resting: false,
    }
}

fn fresh_permit() -> Permit {
    let mut permit = Permit::new(DELTA);
    permit.caps_mut().set(caller_id().number, caller_id().caps);
    permit
}

impl Node {
    pub(crate) fn new(i: usize, random: &mut Stream) -> Self {
        Self {
            member: MemberId(i as u64 + 10),
            run: Incarnation(1),
            clock: Clock::drawn(random),
            skew: i64::from(random.below(2000)) - 1000,
            down_until: 0,
            paused_until: 0,
            permit: fresh_permit(),
            session: None,
            hopper: Vec::new(),
            live: Vec::new(),
            sequence: 0,
            claim: None,
            journal: BTreeMap::new(),
            tail: Vec::new(),
            reached: 0,
            asks: 0,
        }
    }

    fn write(&mut self, lead: &LeasedLead, mark: Mark) {
        let run = self.run;
        let entry = self.journal.entry(lead.attempt);
        let before = match entry {
            std::collections::btree_map::Entry::Occupied(mut known) => {
                let before = known.get().mark;
                known.get_mut().mark = mark;
                Some(before)
            }
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(Entry {
                    lead: lead.clone(),
                    run,
                    mark,
                    tainted: false,
                });
                None
            }
        };
        self.tail.push((lead.attempt, before));
        if self.tail.len() > 5 {
            self.tail.remove(0);
        }
    }
}

impl World {
    fn local(&self, i: usize) -> Now {
        let node = &self.nodes[i];
        Now {
            monotonic: node.clock.at(self.now),
            wall: WallTime::from_millis(self.wall().as_millis() + node.skew),
        }
    }

    fn runs(&self, i: usize) -> bool {
        self.nodes[i].down_until <= self.now && self.nodes[i].paused_until <= self.now
    }

    pub(crate) fn node_wakes(&mut self, i: usize) -> Result<(), String> {
        let next = 100 + u64::from(self.random.below(500));
        self.after(next, Event::NodeWakes(i));
        if !self.runs(i) {
            return Ok(());
        }
        self.end_calls(i);
        let now = self.local(i);
        self.nodes[i].permit.handle_timeout(now);
        self.outputs(i);
        self.ask_for_leads(i);
        self.dial(i)?;
        self.tell_outcomes(i);
        Ok(())
    }

    /// Does what the permit asks for.
    fn outputs(&mut self, i: usize) {
        while let Some(output) = self.nodes[i].permit.poll_output() {
            let run = self.nodes[i].run;
            match output {
                PermitOutput::SendKeepAlive { session, sent, .. } => {
                    let request = Request::KeepAlive {
                        node: i,
                        run,
                        session,
                        sent,
                    };
                    self.ask(i, request);
                }
                PermitOutput::AskFreshness { sent, applied } => {
                    self.ask(
                        i,
                        Request::Freshness {
                            node: i,
                            run,
                            sent,
                            applied,
                        },
                    );
                }
                PermitOutput::Drain { .. } => self.cancel(i, |_| true),
                PermitOutput::Resumed { .. } => {}
            }
        }
    }

    /// Asks whom the node takes for the leader; while things go wrong it may hold on to an old one.
    fn ask(&mut self, i: usize, request: Request) {
        let holds_on = self.mishap(800);
        if let Some(leader) = self.leader.filter(|_| !holds_on) {
            self.nodes[i].asks = leader;
        }
        self.send(Event::ToVoter(self.nodes[i].asks, request));
    }

    /// Cancels unanswered calls.
    fn cancel(&mut self, i: usize, which: impl Fn(&LeasedLead) -> bool) {
        let now = self.now;
        for live in &self.nodes[i].live {
            let call = &mut self.checks.calls[live.call];
            let ringing = call.answered.is_none_or(|at| at > now);
            if ringing && call.end > now && which(&live.lead) {
                call.end = now;
                call.answered = None;
            }
        }
        self.end_calls(i);
    }

    /// Calls that ended become outcomes.
    fn end_calls(&mut self, i: usize) {
        let now = self.now;
        let wall = self.local(i).wall;
        let (ended, live): (Vec<_>, Vec<_>) = (self.nodes[i].live.drain(..))
            .partition(|live| self.checks.calls[live.call].end <= now);
        self.nodes[i].live = live;
        for live in ended {
            let disposition = match self.random.below(4) {
                0 => Disposition::Busy,
                1 => Disposition::Cancelled,
                _ => Disposition::NoAnswer,
            };
            let outcome = CallOutcome::Dialed {
                lead: live.lead.lead,
                attempt: live.lead.attempt,
                disposition,
                invited_at: live.invited,
                ended_at: wall,
                callback_at: None,
            };
            self.nodes[i].write(&live.lead, Mark::Ended(outcome));
        }
    }

    fn ask_for_leads(&mut self, i: usize) {
        let now = self.now;
        let node = &mut self.nodes[i];
        let asker = Some((i, node.run));
        let Some(session) = node.session else {
            let command = RegionCommand::OpenSession {
                node: node.member,
                incarnation: node.run,
                ttl: T,
            };
            if self.chance(300) {
                self.propose(command, asker);
            }
            return;
        };
        // One claim at a time; without an answer, the same again.
        match node.claim {
            Some((_, asked)) if now < asked + 3000 => return,
            Some((sequence, _)) => node.claim = Some((sequence, now)),
            None if node.hopper.len() >= 3 => return,
            None => {
                node.sequence += 1;
                node.claim = Some((node.sequence, now));
            }
        }
        let sequence = node.claim.map_or(0, |claim| claim.0);
        let command = RegionCommand::Claim {
            session,
            campaign: CAMPAIGN,
            n: 3,
            sequence,
        };
        self.propose(command, asker);
    }

    /// Dials one lead of the hopper, or gives one back.
    fn dial(&mut self, i: usize) -> Result<(), String> {
        if self.nodes[i].hopper.is_empty() || self.chance(600) {
            return Ok(());
        }
        let lead = self.nodes[i].hopper.remove(0);
        let undialed = CallOutcome::Undialed {
            lead: lead.lead,
            attempt: lead.attempt,
        };
        if self.chance(80) || self.nodes[i].session != Some(lead.session) {
            self.nodes[i].write(&lead, Mark::Ended(undialed));
            if self.defect == Defect::DialsGivenBack {
                self.nodes[i].hopper.push(lead);
            }
            return Ok(());
        }
        let caller_id = caller_id();
        let attempt = Attempt {
            attempt: lead.attempt,
            session: lead.session,
            region: REGION,
            campaign: CAMPAIGN,
            number: lead.number,
            trunk: TrunkId(1),
            caller_id: &caller_id,
            rule_pack_version: 1,
        };
        let now = self.local(i);
        let defect = self.defect;
        let node = &mut self.nodes[i];
        let grant = match node.permit.check(now, &attempt, || true) {
            Ok(grant) => Some(grant),
            Err(Denial::SessionEnding) if defect == Defect::NoSessionCheck => None,
            Err(denial) if denial.gives_lead_back() => {
                node.write(&lead, Mark::Ended(undialed));
                return Ok(());
            }
            Err(_) => {
                node.hopper.push(lead);
                return Ok(());
            }
        };
        // On disk before the datagram leaves.
        if node
            .journal
            .get(&lead.attempt)
            .is_none_or(|e| e.mark == Mark::Leased)
        {
            node.write(&lead, Mark::Dialing);
        }
        if self.mishap(15) {
            // The process stops between the look at the clock and the send.
            let pause = u64::from(self.random.below(25_000));
            self.nodes[i].paused_until = self.now + pause;
            return self.invite_after(i, lead, grant, pause);
        }
        self.invite_after(i, lead, grant, 0)
    }

    /// The datagram leaves after a pause. Nothing else of the node happens meanwhile, but the
    /// world goes on: the rest of the send is done when it wakes.
    fn invite_after(
        &mut self,
        i: usize,
        lead: LeasedLead,
        grant: Option<Grant>,
        pause: u64,
    ) -> Result<(), String> {
        if pause > 0 {
            let event = Event::ToNode(i, self.nodes[i].run, Answer::Send(Box::new(lead), grant));
            self.after(pause, event);
            return Ok(());
        }
        self.invite(i, lead, grant)
    }

    fn invite(&mut self, i: usize, lead: LeasedLead, grant: Option<Grant>) -> Result<(), String> {
        let now = self.local(i);
        let mut stands = true;
        if let Some(grant) = grant {
            let after = self.nodes[i].permit.after_send(now.monotonic, &grant);
            stands = after == AfterSend::InTime || self.defect == Defect::NoCheckAfterSend;
        }
        let clock = self.nodes[i].clock;
        let mut draw = |most: u64| 500 + u64::from(self.random.below(most as u32 - 500));
        let ring = draw(clock.real(RING));
        let talk = draw(clock.real(TALK));
        let answered = self.random.permille(500).then_some(self.now + ring);
        let end = self.now + ring + answered.map_or(0, |_| talk);
        let call = Call {
            number: lead.number,
            attempt: lead.attempt,
            start: self.now,
            answered,
            end,
        };
        let session = lead.session;
        self.checks.invite(&self.ledger, session, call, stands)?;
        let node = &mut self.nodes[i];
        if stands {
            let call = self.checks.calls.len() - 1;
            node.live.push(Live {
                call,
                lead,
                invited: now.wall,
            });
        } else {
            let outcome = CallOutcome::Dialed {
                lead: lead.lead,
                attempt: lead.attempt,
                disposition: Disposition::Cancelled,
                invited_at: now.wall,
                ended_at: now.wall,
                callback_at: None,
            };
            node.write(&lead, Mark::Ended(outcome));
        }
        Ok(())
    }

    /// Tells outcomes until they are acknowledged: this run's as reports, earlier ones' as
    /// settlements from the journal.
    fn tell_outcomes(&mut self, i: usize) {
        if self.chance(400) {
            return;
        }
        let node = &self.nodes[i];
        let mut commands = Vec::new();
        for entry in node.journal.values() {
            if entry.run == node.run {
                if let Mark::Ended(outcome) = entry.mark {
                    commands.push(RegionCommand::Report {
                        session: entry.lead.session,
                        sequence: 0,
                        outcomes: vec![outcome],
                    });
                }
                continue;
            }
            let outcome = match entry.mark {
                Mark::Ended(outcome) => outcome,
                Mark::Leased => CallOutcome::Undialed {
                    lead: entry.lead.lead,
                    attempt: entry.lead.attempt,
                },
                // Sent, end unknown: that is what doubt is for.
                Mark::Dialing => continue,
            };
            let proof = if entry.tainted && self.defect != Defect::FalseProof {
                Proof::PowerLoss
            } else {
                Proof::SameBoot
            };
            commands.push(RegionCommand::Settle {
                node: node.member,
                incarnation: entry.run,
                outcomes: vec![outcome],
                proof,
            });
        }
        let asker = Some((i, node.run));
        for command in commands.into_iter().take(6) {
            self.propose(command, asker);
        }
    }

    /// An answer reaches a node; lost if that run of it is over, late if it is paused.
    pub(crate) fn answered(
        &mut self,
        i: usize,
        run: Incarnation,
        answer: Answer,
    ) -> Result<(), String> {
        if self.nodes[i].run != run || self.nodes[i].down_until > self.now {
            return Ok(());
        }
        if self.nodes[i].paused_until > self.now {
            let wait = self.nodes[i].paused_until - self.now;
            self.after(wait, Event::ToNode(i, run, answer));
            return Ok(());
        }
        let now = self.local(i);
        match answer {
            Answer::Permit(mut input) => {
                if let (Defect::FreshTooSoon, PermitInput::FreshnessAnswered { index, .. }) =
                    (self.defect, &mut input)
                {
                    *index = 0;
                }
                // A word about a session that is no longer ours changes nothing.
                self.nodes[i].permit.handle(now, input).ok();
                self.outputs(i);
            }
            Answer::SessionGone(session) => self.lose_session(i, session),
            Answer::Send(lead, grant) => self.invite(i, *lead, grant)?,
            Answer::Applied(command, reply) => self.applied(i, *command, *reply),
        }
        Ok(())
    }

    fn lose_session(&mut self, i: usize, session: SessionId) {
        if self.nodes[i].session == Some(session) {
            self.nodes[i].session = None;
            self.nodes[i].claim = None;
            let now = self.local(i);
            let ended = PermitInput::SessionEnded {
                region: REGION,
                session,
            };
            self.nodes[i].permit.handle(now, ended).ok();
            self.outputs(i);
        }
    }

    fn applied(&mut self, i: usize, command: RegionCommand, reply: RegionReply) {
        let now = self.local(i);
        match (command, reply) {
            (RegionCommand::OpenSession { .. }, RegionReply::SessionOpened { session, ttl }) => {
                let opened = PermitInput::SessionOpened {
                    region: REGION,
                    session,
                    ttl,
                };
                let node = &mut self.nodes[i];
                if node.session != Some(session) && node.permit.handle(now, opened).is_ok() {
                    node.session = Some(session);
                    node.claim = None;
                }
                self.outputs(i);
            }
            (
                RegionCommand::Claim {
                    session, sequence, ..
                },
                RegionReply::Claimed { leads, .. },
            ) => {
                let node = &mut self.nodes[i];
                if node.session == Some(session) && node.claim.map(|c| c.0) == Some(sequence) {
                    node.claim = None;
                    for lead in leads {
                        node.write(&lead, Mark::Leased);
                        node.hopper.push(lead);
                    }
                }
            }
            (
                RegionCommand::Claim { .. },
                RegionReply::Refused(RegionRefusal::SessionEnded { session }),
            ) => {
                self.lose_session(i, session);
            }
            (
                RegionCommand::Report { outcomes, .. } | RegionCommand::Settle { outcomes, .. },
                RegionReply::Reported(counts),
            ) => {
                // StillOpen is the one refusal worth another try: our new session is on its way.
                let again = (counts.refused.iter()).any(|(_, r)| *r == OutcomeRefusal::StillOpen);
                if !again {
                    self.nodes[i].journal.remove(&outcomes[0].attempt());
                }
            }
            _ => {}
        }
    }

    /// Sends the directory's log on its way to a node.
    pub(crate) fn replicate(&mut self, i: usize) {
        let late = match self.random.below(6) {
            0 if !self.calm() => u64::from(self.random.below(20_000)),
            _ => u64::from(self.random.below(500)),
        };
        let index = self.refusals.len() as u64;
        self.after(late, Event::DirectoryReaches(i, self.nodes[i].run, index));
    }

    pub(crate) fn directory_reaches(
        &mut self,
        i: usize,
        run: Incarnation,
        index: u64,
    ) -> Result<(), String> {
        if self.nodes[i].run != run {
            return Ok(());
        }
        if !self.runs(i) {
            let busy = self.nodes[i].paused_until.max(self.nodes[i].down_until);
            let wait = busy - self.now + 1;
            self.after(wait, Event::DirectoryReaches(i, run, index));
            return Ok(());
        }
        while self.nodes[i].reached < index {
            let node = &mut self.nodes[i];
            let number = self.refusals[node.reached as usize];
            node.reached += 1;
            let reached = node.reached;
            node.permit.dnc_mut().add(number, DncScope::Mesh, reached);
            self.cancel(i, |lead| lead.number == number);
            let applied = PermitInput::DirectoryApplied { index: reached };
            let now = self.local(i);
            self.nodes[i].permit.handle(now, applied).ok();
        }
        self.outputs(i);
        let index = self.nodes[i].reached;
        self.ask(i, Request::Applied { node: i, index });
        Ok(())
    }

    /// Something goes wrong with a node or with the calendar.
    pub(crate) fn fault(&mut self) -> Result<(), String> {
        if self.calm() {
            return Ok(());
        }
        let i = self.random.below(self.nodes.len() as u32) as usize;
        match self.random.below(10) {
            0..=3 => {
                let pause = u64::from(self.random.below(40_000));
                self.nodes[i].paused_until = self.now + pause;
            }
            4..=6 => self.crash(i, false),
            7 | 8 => self.crash(i, true),
            _ => self.calendar += i64::from(self.random.below(1_200_000)),
        }
        let next = 5000 + u64::from(self.random.below(60_000));
        self.after(next, Event::Fault);
        Ok(())
    }

    fn crash(&mut self, i: usize, power: bool) {
        self.checks.seen.crashes += 1;
        // The network goes on with what it was working on, as long as it ever may.
        let most = (RING + TALK + limits::INVITE_LIFETIME).as_millis() as u64;
        let down = 500 + u64::from(self.random.below(30_000));
        let lost = self.random.below(6) as usize;
        for live in std::mem::take(&mut self.nodes[i].live) {
            let call = self.checks.calls[live.call];
            if call.end > self.now {
                let end = match self.random.below(3) {
                    0 => call.end,
                    1 => call.start + most,
                    _ => call
                        .end
                        .max(call.start + u64::from(self.random.below(most as u32))),
                };
                self.checks.calls[live.call].end = end;
            }
        }
        let now = self.now;
        let clock = Clock::drawn(&mut self.random);
        let refusals = self.refusals.len() as u64;
        let node = &mut self.nodes[i];
        node.down_until = now + down;
        node.paused_until = 0;
        node.run.0 += 1;
        node.permit = fresh_permit();
        node.session = None;
        node.claim = None;
        node.hopper.clear();
        node.reached = 0;
        if power {
            node.clock = clock;
            for (attempt, before) in node.tail.drain(..).rev().take(lost) {
                match (before, node.journal.get_mut(&attempt)) {
                    (Some(mark), Some(entry)) => entry.mark = mark,
                    (None, _) => {
                        node.journal.remove(&attempt);
                    }
                    // Acknowledged and forgotten meanwhile.
                    (Some(_), None) => {}
                }
            }
            for entry in node.journal.values_mut() {
                entry.tainted = true;
            }
        }
        node.tail.clear();
        if refusals > 0 {
            self.replicate(i);
        }
    }
}
