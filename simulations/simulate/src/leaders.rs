//! Voters: each with its own clock, calendar, replicas and books; one of them really leads a group,
//! others perhaps still believe so.

use crate::{
    copies::misheard,
    defect::Defect,
    homes::Sweep,
    nodes::Leaving,
    options::Options,
    seen::Happening,
    violation::Checked,
    world::{Clock, Event, REGIONS, Which, World, node_member, voter_member},
};
use domain::*;
use ledger::*;
use permit::PermitInput;
use sansio::Stream;
use std::{collections::BTreeMap, time::Duration};

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

impl Request {
    pub(crate) fn word(&self) -> u64 {
        match self {
            Self::KeepAlive { node, sent, .. } => sent.as_nanos() << 8 | *node as u64,
            Self::Freshness { node, sent, .. } => sent.as_nanos() << 8 | 128 | *node as u64,
            Self::Applied { node, index } => index << 8 | 64 | *node as u64,
        }
    }
}

/// What comes to a node.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Permit(PermitInput),
    Applied(RegionCommand, RegionReply),
    /// The number of an opt-out, and what the directory answered.
    OptOut(u64, DirectoryReply),
    /// The sequence of an ask for shares, and what the directory answered.
    Share(u64, DirectoryReply),
    SessionGone(SessionId),
    /// Not from a leader: the rest of a send that something held up.
    Send(Box<Leaving>),
}

impl Answer {
    pub(crate) fn word(&self) -> u64 {
        match self {
            Self::Permit(PermitInput::KeepAliveAnswered { sent, .. }) => sent.as_nanos() << 3,
            Self::Permit(PermitInput::FreshnessAnswered { sent, index }) => {
                sent.as_nanos() << 3 | 1 | index << 40
            }
            Self::Permit(_) => 2,
            Self::Applied(..) => 3,
            Self::OptOut(..) => 4,
            Self::SessionGone(session) => session.0 << 3 | 5,
            Self::Send(_) => 6,
            Self::Share(sequence, _) => sequence << 3 | 7,
        }
    }
}

/// What the directory's leader is to call effective.
#[derive(Clone, Copy, Debug)]
enum Awaited {
    Entry((PhoneNumber, DncScope)),
    /// The base that the entry put into use.
    Base,
    /// A pattern or freeze, or that a campaign asks for consent.
    Clearance(ClearanceFact),
    /// A withdrawal of then, by the directory's calendar.
    Withdrawal(ConsentKey, WallTime),
}

/// One voter of both groups.
#[derive(Debug)]
pub(crate) struct Voter {
    clock: Clock,
    /// Its calendar is off by so many milliseconds.
    pub(crate) calendar: i64,
    pub(crate) paused_until: u64,
    /// The term in which it believes to lead, of region and directory.
    believes: [Option<u64>; Which::MOST],
    /// Of each region.
    pub(crate) sessions: [SessionBook; REGIONS.len()],
    pub(crate) ticks: [TickBook; REGIONS.len()],
    /// How far it is with the leads that each region must hand over.
    pub(crate) sweeps: [Option<Sweep>; REGIONS.len()],
    pub(crate) freshness: FreshnessBook,
    waits: BTreeMap<EffectiveToken, (Awaited, u64)>,
    /// When a quorum round last succeeded; only a mistaken leader uses it.
    round: Option<u64>,
}

impl Voter {
    pub(crate) fn new(options: &Options, random: &mut Stream) -> Self {
        Self {
            clock: Clock::drawn(random),
            calendar: 0,
            paused_until: 0,
            believes: [None; Which::MOST],
            sessions: Default::default(),
            ticks: REGIONS.map(|_| {
                let mut ticks = TickBook::default();
                ticks.ticked(Instant::ZERO, 0);
                ticks
            }),
            sweeps: Default::default(),
            freshness: FreshnessBook::new(options.freshness()),
            waits: BTreeMap::new(),
            round: None,
        }
    }

    pub(crate) fn local(&self, now: u64) -> Instant {
        self.clock.at(now)
    }

    /// Events of a region, as they apply here.
    pub(crate) fn heard(
        &mut self,
        now: u64,
        region: usize,
        events: &[RegionEvent],
        options: &Options,
    ) {
        let now = self.clock.at(now);
        let (sessions, ticks) = (&mut self.sessions[region], &mut self.ticks[region]);
        for event in events {
            match event {
                RegionEvent::SessionOpened { session, ttl, .. } => {
                    sessions.opened(now, *session, halved(options, *ttl));
                }
                RegionEvent::SessionEnded { session, .. } => sessions.ended(*session),
                RegionEvent::Ticked { leadership, index } => {
                    sessions.ticked(*leadership);
                    ticks.ticked(now, *index);
                }
                RegionEvent::Reset { tick, .. } => ticks.ticked(now, *tick),
                RegionEvent::AttemptsLost(_) | RegionEvent::FactsTaken { .. } => {}
            }
        }
    }

    /// The process starts again: its books are lost, it leads nothing.
    pub(crate) fn restarted(&mut self, options: &Options) {
        self.believes = [None; Which::MOST];
        self.sessions = Default::default();
        self.ticks = Default::default();
        self.sweeps = Default::default();
        self.freshness = FreshnessBook::new(options.freshness());
        self.waits.clear();
        self.round = None;
    }

    pub(crate) fn believes(&self, which: Which) -> Option<u64> {
        self.believes[which.place()]
    }
}

fn halved(options: &Options, ttl: Duration) -> Duration {
    if options.has(Defect::ExpiresEarly) {
        ttl / 2
    } else {
        ttl
    }
}

impl World {
    /// All groups of this run.
    pub(crate) fn groups(&self) -> Vec<Which> {
        let regions = (0..self.regions.len()).map(Which::Region);
        regions.chain([Which::Directory]).collect()
    }

    /// The voter that really leads a group.
    pub(crate) fn leader(&self, which: Which) -> Option<usize> {
        match which {
            Which::Region(region) => self.regions[region].leader,
            Which::Directory => self.directory.leader,
        }
    }

    fn term(&self, which: Which) -> u64 {
        match which {
            Which::Region(region) => self.regions[region].term,
            Which::Directory => self.directory.term,
        }
    }

    fn up(&self, voter: usize) -> bool {
        self.voters[voter].paused_until <= self.now
    }

    /// Whether a voter and a majority hear each other.
    pub(crate) fn has_quorum(&self, voter: usize) -> bool {
        let heard = (0..self.voters.len())
            .filter(|other| self.up(*other) && self.network.joined(voter, *other))
            .count();
        self.up(voter) && heard > self.voters.len() / 2
    }

    /// A leader that lost its quorum is replaced after a while.
    pub(crate) fn watch(&mut self) -> Checked {
        for which in self.groups() {
            let lost = (self.leader(which)).is_none_or(|leader| !self.has_quorum(leader));
            if lost && self.chance(600) {
                self.elect(which)?;
            }
        }
        let next = 700 + self.millis(900);
        self.after(next, Event::Watch);
        Ok(())
    }

    /// An election without need.
    pub(crate) fn churn(&mut self, which: Which) -> Checked {
        if self.calm() {
            return Ok(());
        }
        self.elect(which)?;
        let next = 1000 + self.millis(2000 * self.options.churn_every);
        self.after(next, Event::Elect(which));
        Ok(())
    }

    /// A voter with a quorum wins; the old leader may learn of it much later.
    fn elect(&mut self, which: Which) -> Checked {
        let able: Vec<_> = (0..self.voters.len())
            .filter(|v| self.has_quorum(*v))
            .collect();
        if able.is_empty() {
            return Ok(());
        }
        self.saw(Happening::Elections);
        if let Some(old) = self.leader(which) {
            let mut late = 0;
            if self.mishap(500) {
                late = self.millis(15_000);
                self.saw(Happening::LateDeposed);
            }
            let term = self.term(which);
            self.after(late, Event::Deposed(which, old, term));
        }
        let voter = able[self.random.below(able.len() as u32) as usize];
        let (now, defect) = (self.now, self.options.defect);
        match which {
            Which::Region(region) => {
                self.regions[region].leader = Some(voter);
                self.regions[region].term += 1;
                let leadership = Leadership {
                    term: self.regions[region].term,
                    member: voter_member(voter),
                };
                self.follow(which, voter, u64::MAX)?;
                let replica = self.regions[region].replica(voter);
                let open: Vec<_> = (replica.sessions())
                    .filter(|s| s.ended.is_none())
                    .map(|s| (s.session, halved(&self.options, s.ttl)))
                    .collect();
                let tick = replica.last_tick();
                let me = &mut self.voters[voter];
                me.believes[which.place()] = Some(leadership.term);
                me.round = None;
                let local = me.clock.at(now);
                me.ticks[region].ticked(local, tick);
                me.ticks[region].elected(leadership);
                me.sweeps[region] = None;
                let from = if defect == Some(Defect::NewLeaderExpires) {
                    local - self.options.ttl()
                } else {
                    local
                };
                me.sessions[region].elected(from, leadership, open);
            }
            Which::Directory => {
                self.directory.leader = Some(voter);
                self.directory.term += 1;
                self.follow(Which::Directory, voter, u64::MAX)?;
                let nodes = (0..self.nodes.len()).map(node_member);
                let me = &mut self.voters[voter];
                me.believes[which.place()] = Some(self.directory.term);
                me.waits.clear();
                let local = me.clock.at(now);
                if defect == Some(Defect::EffectiveAtElection) {
                    let early = local - self.options.freshness();
                    me.freshness.elected(early, nodes);
                } else {
                    me.freshness.elected(local, nodes);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn deposed(&mut self, which: Which, voter: usize, term: u64) {
        let me = &mut self.voters[voter];
        if me.believes(which) != Some(term) {
            return;
        }
        me.believes[which.place()] = None;
        match which {
            Which::Region(region) => {
                me.sessions[region].deposed();
                me.ticks[region].deposed();
                me.sweeps[region] = None;
            }
            Which::Directory => {
                me.freshness.deposed();
                me.waits.clear();
            }
        }
    }

    /// A voter's replica applies up to `to`; its books hear of it.
    pub(crate) fn follow(&mut self, which: Which, voter: usize, to: u64) -> Checked {
        let wrongs = self.wrongs(voter);
        match which {
            Which::Region(region) => {
                let events = self.regions[region].advance(voter, to, wrongs)?;
                self.voters[voter].heard(self.now, region, &events, &self.options);
            }
            Which::Directory => {
                self.directory.advance(voter, to, wrongs)?;
            }
        }
        Ok(())
    }

    /// What a voter does by itself: follow, tick, expire, forward facts, tell what is effective.
    pub(crate) fn voter_wakes(&mut self, i: usize) -> Checked {
        let next = 150 + self.millis(350);
        self.after(next, Event::VoterWakes(i));
        if !self.up(i) {
            return Ok(());
        }
        for which in self.groups() {
            let joined = (self.leader(which)).is_some_and(|l| self.network.joined(i, l));
            if joined && !self.mishap(200) {
                let applied = match which {
                    Which::Region(region) => self.regions[region].applied(i),
                    Which::Directory => self.directory.applied(i),
                };
                let most = if self.mishap(300) { 2 } else { 1000 };
                self.follow(which, i, applied + most)?;
            }
        }
        let local = self.voters[i].local(self.now);
        for region in 0..self.regions.len() {
            if self.voters[i].believes(Which::Region(region)).is_some() {
                self.region_duties(i, region, local);
            }
        }
        if self.voters[i].believes(Which::Directory).is_some() {
            let me = &mut self.voters[i];
            let effective = me.freshness.poll(local);
            let done: Vec<_> = (effective.iter())
                .filter_map(|(token, _)| me.waits.remove(token))
                .collect();
            for (awaited, index) in done {
                self.effective(awaited, index);
            }
        }
        Ok(())
    }

    fn region_duties(&mut self, i: usize, region: usize, local: Instant) {
        let confirmed = self.regions[region].replica(i).leadership();
        let me = &mut self.voters[i];
        let mut commands = Vec::new();
        if let Some(mut tick) = me.ticks[region].due(local, confirmed) {
            if self.options.has(Defect::TicksRunFast)
                && let RegionCommand::Tick { elapsed, .. } = &mut tick
            {
                *elapsed *= 10;
            }
            commands.push(tick);
        }
        commands.extend(me.sessions[region].due_expiries(local));
        if self.chance(300) {
            commands.extend(catch_up(
                self.directory.replica(i),
                self.regions[region].replica(i),
            ));
            misheard(self.options.defect, &mut commands);
        }
        for command in commands {
            let delay = 1 + self.millis(40);
            let command = Box::new(command);
            let propose = Event::Propose {
                region,
                voter: i,
                command,
                asker: None,
                hops: 0,
            };
            self.after(delay, propose);
        }
        self.move_leads(i, region);
    }

    fn effective(&mut self, awaited: Awaited, index: u64) {
        let now = self.now;
        let ends = self.checkers.dnc.lifts_over(now, index);
        (self.checkers.seen).saw_many(Happening::LiftEndsEffective, ends);
        match awaited {
            Awaited::Entry(key) => {
                if self.checkers.dnc.effective(now, key, index) {
                    self.saw(Happening::Effective);
                }
            }
            Awaited::Base => {
                if self.checkers.dnc.base_effective(now, index) {
                    self.saw(Happening::BasesEffective);
                    self.keeper.effective = self.directory.witness.dnc_base_in_use();
                }
            }
            Awaited::Clearance(fact) => {
                if self.checkers.clearance.effective(now, &fact, index) {
                    self.saw(Happening::ClearanceEffective);
                }
                if self.checkers.consents.effective(now, &fact, index) {
                    self.saw(Happening::ConsentAsked);
                }
            }
            Awaited::Withdrawal(key, at) => {
                self.checkers.consents.withdrawn(now, key, at);
                self.saw(Happening::WithdrawalEffective);
            }
        }
    }

    /// The directory's leader begins to wait for the withdrawals that its entry `index` holds.
    pub(crate) fn wait_withdrawn_effective(
        &mut self,
        leader: usize,
        withdrawn: &[ConsentKey],
        index: u64,
    ) {
        let at = self.directory.witness.clock();
        for key in withdrawn {
            let awaited = Awaited::Withdrawal(*key, at);
            if self.options.has(Defect::EffectiveAtCommit) {
                self.effective(awaited, index);
            }
            let me = &mut self.voters[leader];
            let local = me.clock.at(self.now);
            if let Some(token) = me.freshness.wait_effective(local, index) {
                me.waits.insert(token, (awaited, index));
            }
        }
    }

    /// The directory's leader begins to wait for the base that its entry `index` put into use.
    pub(crate) fn wait_base_effective(&mut self, leader: usize, index: u64) {
        if self.options.has(Defect::EffectiveAtCommit) {
            self.effective(Awaited::Base, index);
        }
        let me = &mut self.voters[leader];
        let local = me.clock.at(self.now);
        if let Some(token) = me.freshness.wait_effective(local, index) {
            me.waits.insert(token, (Awaited::Base, index));
        }
    }

    /// The directory's leader begins to wait for patterns and freezes that its entry `index` holds.
    pub(crate) fn wait_clearance_effective(
        &mut self,
        leader: usize,
        facts: &[ClearanceFact],
        index: u64,
    ) {
        for fact in facts {
            if self.options.has(Defect::EffectiveAtCommit) {
                self.effective(Awaited::Clearance(*fact), index);
            }
            let me = &mut self.voters[leader];
            let local = me.clock.at(self.now);
            if let Some(token) = me.freshness.wait_effective(local, index) {
                me.waits.insert(token, (Awaited::Clearance(*fact), index));
            }
        }
    }

    /// The directory's leader begins to wait for an entry that it has applied.
    pub(crate) fn wait_effective(&mut self, leader: usize, added: &[DncFact]) {
        for fact in added {
            let key = (fact.entry.number, fact.entry.scope);
            if self.options.has(Defect::EffectiveAtCommit) {
                self.effective(Awaited::Entry(key), fact.index);
            }
            let me = &mut self.voters[leader];
            let local = me.clock.at(self.now);
            if let Some(token) = me.freshness.wait_effective(local, fact.index) {
                me.waits.insert(token, (Awaited::Entry(key), fact.index));
            }
        }
    }

    /// A request comes to a voter: noted first, then a quorum round.
    pub(crate) fn asked(&mut self, i: usize, request: Request) {
        if !self.up(i) {
            let wait = self.voters[i].paused_until - self.now;
            self.after(wait, Event::ToVoter(i, request));
            return;
        }
        let (now, options) = (self.now, &self.options);
        let me = &mut self.voters[i];
        let local = me.clock.at(now);
        let which = match &request {
            Request::KeepAlive { node, .. } => Which::Region(self.nodes[*node].region),
            Request::Freshness { .. } | Request::Applied { .. } => Which::Directory,
        };
        let Some(term) = me.believes(which) else {
            return;
        };
        let noted = match &request {
            Request::KeepAlive {
                session, node, run, ..
            } => match me.sessions[which.place()].request_noted(local, *session) {
                Ok(_) => true,
                Err(KeepAliveRefusal::Ended) if options.has(Defect::AnswersDecided) => true,
                Err(KeepAliveRefusal::Ended) => {
                    let gone = Answer::SessionGone(*session);
                    self.tell(i, *node, *run, gone);
                    return;
                }
                Err(_) => false,
            },
            Request::Freshness { node, applied, .. } => {
                (me.freshness).renewed(local, node_member(*node), *applied)
            }
            Request::Applied { node, index } => {
                me.freshness.applied(node_member(*node), *index);
                false
            }
        };
        if !noted {
            return;
        }
        if options.has(Defect::RoundBeforeRequest)
            && which != Which::Directory
            && me.round.is_some_and(|round| now < round + 10_000)
        {
            self.confirm(i, &request, 0);
            return;
        }
        let round = 2 + self.millis(100);
        self.after(round, Event::RoundEnds(i, term, request));
    }

    /// The quorum round ends: it succeeded if the voter still really leads and hears a majority.
    pub(crate) fn round_ends(&mut self, i: usize, term: u64, request: &Request) {
        let which = match request {
            Request::KeepAlive { node, .. } => Which::Region(self.nodes[*node].region),
            _ => Which::Directory,
        };
        let leads = self.leader(which) == Some(i) && self.term(which) == term && self.has_quorum(i);
        if !leads {
            self.saw(Happening::RoundsFailed);
            if !self.options.has(Defect::NoQuorumRound) {
                return;
            }
        } else if which != Which::Directory {
            self.voters[i].round = Some(self.now);
        }
        let last = self.directory.last();
        let index = if leads {
            last
        } else {
            self.directory.applied(i)
        };
        self.confirm(i, request, index);
    }

    /// Answers with a yes.
    fn confirm(&mut self, i: usize, request: &Request, index: u64) {
        let (node, run, input) = match *request {
            Request::KeepAlive {
                node,
                run,
                session,
                sent,
            } => {
                let region = REGIONS[self.nodes[node].region];
                let input = PermitInput::KeepAliveAnswered {
                    region,
                    session,
                    sent,
                };
                (node, run, input)
            }
            Request::Freshness {
                node, run, sent, ..
            } => (node, run, PermitInput::FreshnessAnswered { sent, index }),
            Request::Applied { .. } => return,
        };
        self.tell(i, node, run, Answer::Permit(input));
    }

    /// A voter says something to a node.
    pub(crate) fn tell(&mut self, voter: usize, node: usize, run: Incarnation, answer: Answer) {
        let to = self.place_of(node);
        self.send(voter, to, Event::ToNode(node, run, Box::new(answer)));
    }
}
