//! Voters: each with its own clock and books, one of them the real leader, others perhaps still
//! believing that they are.

use super::world::{Clock, DELTA, Defect, Event, World, number};
use domain::*;
use ledger::*;
use permit::{Grant, PermitInput};
use sansio::Stream;
use std::collections::BTreeMap;

/// What a node asks a leader.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    KeepAlive {
        node: usize,
        run: Incarnation,
        session: SessionId,
        sent: Instant,
    },
    Freshness {
        node: usize,
        run: Incarnation,
        sent: Instant,
        applied: u64,
    },
    Applied {
        node: usize,
        index: u64,
    },
}

/// What a node is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Permit(PermitInput),
    Applied(Box<RegionCommand>, Box<RegionReply>),
    SessionGone(SessionId),
    /// Not from a leader: the rest of a send that a pause interrupted.
    Send(Box<LeasedLead>, Option<Grant>),
}

pub(crate) struct Voter {
    clock: Clock,
    believes: Option<u64>,
    sessions: SessionBook,
    ticks: TickBook,
    freshness: FreshnessBook,
    waits: BTreeMap<EffectiveToken, PhoneNumber>,
}

impl Voter {
    pub(crate) fn new(random: &mut Stream) -> Self {
        let mut ticks = TickBook::default();
        ticks.ticked(Instant::ZERO, 0);
        Self {
            clock: Clock::drawn(random),
            believes: None,
            sessions: SessionBook::default(),
            ticks,
            freshness: FreshnessBook::new(DELTA),
            waits: BTreeMap::new(),
        }
    }

    /// Events of the region's ledger, as they apply here.
    pub(crate) fn heard(&mut self, now: u64, events: &[RegionEvent]) {
        let now = self.clock.at(now);
        for event in events {
            match event {
                RegionEvent::SessionOpened { session, ttl, .. } => {
                    self.sessions.opened(now, *session, *ttl);
                }
                RegionEvent::SessionEnded { session, .. } => self.sessions.ended(*session),
                RegionEvent::Ticked { leadership, index } => {
                    self.sessions.ticked(*leadership);
                    self.ticks.ticked(now, *index);
                }
                _ => {}
            }
        }
    }
}

fn leadership(voter: usize, term: u64) -> Leadership {
    Leadership {
        term,
        member: MemberId(voter as u64 + 1),
    }
}

impl World {
    /// A voter wins; the old leader may learn of it much later.
    pub(crate) fn elect(&mut self) -> Result<(), String> {
        self.checks.seen.elections += 1;
        if let Some(old) = self.leader {
            let late = if self.chance(500) {
                0
            } else {
                u64::from(self.random.below(15_000))
            };
            self.after(late, Event::Deposed(old, self.term));
        }
        let voter = self.random.below(self.voters.len() as u32) as usize;
        self.term += 1;
        self.leader = Some(voter);
        let (now, term) = (self.now, self.term);
        let defect = self.defect;
        let open: Vec<_> = (self.ledger.sessions())
            .filter(|s| s.ended.is_none())
            .map(|s| (s.session, halved(defect, s.ttl)))
            .collect();
        let nodes = (0..self.nodes.len()).map(|n| MemberId(n as u64 + 10));
        let me = &mut self.voters[voter];
        me.believes = Some(term);
        let local = me.clock.at(now);
        me.sessions.elected(local, leadership(voter, term), open);
        me.ticks.elected(leadership(voter, term));
        me.freshness.elected(local, nodes);
        me.waits.clear();
        if !self.calm() {
            let next = 3000 + u64::from(self.random.below(90_000));
            self.after(next, Event::Elect);
        }
        Ok(())
    }

    pub(crate) fn deposed(&mut self, voter: usize, term: u64) -> Result<(), String> {
        let me = &mut self.voters[voter];
        if me.believes == Some(term) {
            me.believes = None;
            me.sessions.deposed();
            me.ticks.deposed();
            me.freshness.deposed();
            me.waits.clear();
        }
        Ok(())
    }

    /// What a leader, real or not, proposes by itself.
    pub(crate) fn voter_wakes(&mut self, i: usize) -> Result<(), String> {
        let now = self.now;
        let confirmed = self.ledger.leadership();
        let me = &mut self.voters[i];
        let local = me.clock.at(now);
        let mut commands = Vec::new();
        if let Some(mut tick) = me.ticks.due(local, confirmed) {
            if let (Defect::TicksRunFast, RegionCommand::Tick { elapsed, .. }) =
                (self.defect, &mut tick)
            {
                *elapsed *= 10;
            }
            commands.push(tick);
        }
        commands.extend(me.sessions.due_expiries(local));
        let effective = me.freshness.poll(local);
        let mut done = Vec::new();
        for (token, _) in effective {
            done.extend(me.waits.remove(&token));
        }
        for number in done {
            self.checks.effective(number, now);
        }
        for command in commands {
            // A stale leader's proposals are forwarded, or lost.
            if self.leader == Some(i) || self.chance(500) {
                self.propose(command, None);
            }
        }
        let next = 100 + u64::from(self.random.below(300));
        self.after(next, Event::VoterWakes(i));
        Ok(())
    }

    /// A request comes to a voter: noted first, then a quorum round.
    pub(crate) fn asked(&mut self, i: usize, request: Request) -> Result<(), String> {
        let now = self.now;
        let defect = self.defect;
        let me = &mut self.voters[i];
        let local = me.clock.at(now);
        let Some(term) = me.believes else {
            return Ok(());
        };
        let noted = match &request {
            Request::KeepAlive {
                session, node, run, ..
            } => match me.sessions.request_noted(local, *session) {
                Ok(()) => true,
                Err(KeepAliveRefusal::Ended) if defect == Defect::AnswersDecided => true,
                Err(KeepAliveRefusal::Ended) => {
                    let (node, run, session) = (*node, *run, *session);
                    self.send(Event::ToNode(node, run, Answer::SessionGone(session)));
                    return Ok(());
                }
                Err(_) => false,
            },
            Request::Freshness { node, applied, .. } => {
                (me.freshness).renewed(local, MemberId(*node as u64 + 10), *applied)
            }
            Request::Applied { node, index } => {
                me.freshness.applied(MemberId(*node as u64 + 10), *index);
                false
            }
        };
        if noted {
            let round = 2 + u64::from(self.random.below(100));
            self.after(round, Event::RoundEnds(i, term, request));
        }
        Ok(())
    }

    /// The quorum round ends: it succeeded if the voter still really leads.
    pub(crate) fn round_ends(
        &mut self,
        i: usize,
        term: u64,
        request: Request,
    ) -> Result<(), String> {
        let leads = self.leader == Some(i) && self.term == term;
        if !leads && self.defect != Defect::NoQuorumRound {
            return Ok(());
        }
        let (node, run, input) = match request {
            Request::KeepAlive {
                node,
                run,
                session,
                sent,
            } => {
                let input = PermitInput::KeepAliveAnswered {
                    region: super::world::REGION,
                    session,
                    sent,
                };
                (node, run, input)
            }
            Request::Freshness {
                node, run, sent, ..
            } => {
                let index = if leads { self.refusals.len() as u64 } else { 0 };
                (node, run, PermitInput::FreshnessAnswered { sent, index })
            }
            Request::Applied { .. } => return Ok(()),
        };
        self.send(Event::ToNode(node, run, Answer::Permit(input)));
        Ok(())
    }

    /// Somebody asks not to be called: committed now, effective later.
    pub(crate) fn refuse(&mut self) -> Result<(), String> {
        if let Some(leader) = self.leader
            && self.now > 30_000
        {
            let refused = number(u64::from(self.random.below(24)));
            self.refusals.push(refused);
            let index = self.refusals.len() as u64;
            let now = self.now;
            let me = &mut self.voters[leader];
            let local = me.clock.at(now);
            if let Some(token) = me.freshness.wait_effective(local, index) {
                me.waits.insert(token, refused);
            }
            if self.defect == Defect::EffectiveAtCommit {
                self.checks.effective(refused, now);
            }
            for i in 0..self.nodes.len() {
                self.replicate(i);
            }
        }
        if !self.calm() {
            let next = 20_000 + u64::from(self.random.below(120_000));
            self.after(next, Event::Refuse);
        }
        Ok(())
    }
}

fn halved(defect: Defect, ttl: std::time::Duration) -> std::time::Duration {
    if defect == Defect::ExpiresEarly {
        ttl / 2
    } else {
        ttl
    }
}
