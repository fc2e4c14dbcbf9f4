//! Overflow: a person who answered here and finds no agent is offered to the nearest node that said that it
//! has one; and the same the other way round.
//!
//! Where the person is, the agent's leg is carried by the mesh, and lease, recording and record stay.
//! Where the agent is, the person's leg is: the call center there keeps the agent in the same step that
//! answers the offer. Either side ends by a word of the other, or because the other is not heard any more:
//! each second both say which calls they carry.

mod told;

use crate::{
    Engine, Observed, Output, TimerName,
    legs::{Leg, Line, Owner, Progress},
};
use call::{LegEvent, PersistToken};
use domain::{
    AgentId, AttemptId, CampaignId, CarriedCall, CarriedSaid, CarriedWord, Codec, FreeAgents,
    Instant, LegId, MemberId, Now, OverflowAnswer, OverflowOffer, limits,
};
use media::{CARRIED_EVENT, CarryCommand, MediaCommand, Port};
use sansio::Stream;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A call may be missing for so long in what the other node says: it was said before the call began.
const GRACE: Duration = Duration::from_secs(3);
/// What must be left of a person's wait beside the way to another node and back.
const SPARE: Duration = Duration::from_millis(50);
/// How much longer than three times the way an answer may take.
const ANSWER: Duration = Duration::from_millis(200);
/// For how much longer than the person waits an agent is kept: the yes is on its way back.
const KEPT: Duration = Duration::from_secs(1);
/// How often it is looked whether the other nodes are still heard.
const LOOK: Duration = Duration::from_secs(1);
/// What a node said is forgotten after so long.
const FORGET: Duration = Duration::from_secs(60);

/// What another node said last.
#[derive(Debug)]
struct Neighbour {
    heard: Instant,
    round_trip: Duration,
    /// Free agents, less those that were asked for since.
    ready: BTreeMap<CampaignId, u32>,
}

/// A call whose other side is at another node.
#[derive(Clone, Copy, Debug)]
struct Carried {
    attempt: AttemptId,
    leg: LegId,
    /// The person is here, and the agent there.
    home: bool,
    began: Instant,
    /// The other side knows that the audio is over, or cannot be told.
    over: bool,
}

/// A node that was asked and has not answered.
#[derive(Debug)]
struct Asked {
    peer: MemberId,
    call: CarriedCall,
    tried: BTreeSet<MemberId>,
}

/// How an offer went, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverflowStep {
    /// Another node was asked for an agent.
    Asked,
    /// A person here was joined with an agent there.
    Joined,
    /// It had nobody.
    Refused,
    /// No answer in time, or one that was too late.
    Late,
    /// An agent here was kept for a person there.
    Kept,
    /// Nothing came of that.
    Withdrawn,
    /// The way to the other node was lost during a call.
    Lost,
}

impl OverflowStep {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Joined => "joined",
            Self::Refused => "refused",
            Self::Late => "late",
            Self::Kept => "kept",
            Self::Withdrawn => "withdrawn",
            Self::Lost => "lost",
        }
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Overflow {
    numbers: Stream,
    neighbours: BTreeMap<MemberId, Neighbour>,
    /// At most [`limits::CARRIED_CALLS`] with one node.
    calls: BTreeMap<(MemberId, CarriedCall), Carried>,
    of: BTreeMap<AttemptId, (MemberId, CarriedCall)>,
    asked: BTreeMap<AttemptId, Asked>,
    /// Lent agents' dispositions on their way into the journal, with whom to answer.
    disposing: BTreeMap<AttemptId, u64>,
    tally: told::Tally,
}

impl Overflow {
    pub(crate) fn new(numbers: Stream) -> Self {
        Self {
            numbers,
            neighbours: BTreeMap::new(),
            calls: BTreeMap::new(),
            of: BTreeMap::new(),
            asked: BTreeMap::new(),
            disposing: BTreeMap::new(),
            tally: told::Tally::default(),
        }
    }

    fn with(&self, peer: MemberId) -> impl Iterator<Item = (CarriedCall, &Carried)> {
        let all = (peer, CarriedCall(0))..=(peer, CarriedCall(u64::MAX));
        self.calls
            .range(all)
            .map(|((_, call), carried)| (*call, carried))
    }

    fn is_full(&self, peer: MemberId) -> bool {
        self.with(peer).count() >= limits::CARRIED_CALLS
    }

    /// The nearest node with a free agent, of those that are heard and in reach.
    fn nearest(
        &self,
        now: Instant,
        campaign: CampaignId,
        left: Duration,
        tried: &BTreeSet<MemberId>,
    ) -> Option<(MemberId, Duration)> {
        let free = |n: &Neighbour| n.ready.get(&campaign).is_some_and(|ready| *ready > 0);
        let able = self.neighbours.iter().filter(|(peer, neighbour)| {
            now.since(neighbour.heard) <= limits::FREE_AGENTS_AGE
                && free(neighbour)
                && neighbour.round_trip + SPARE <= left
                && !tried.contains(peer)
                && !self.is_full(**peer)
        });
        able.map(|(peer, neighbour)| (neighbour.round_trip, *peer))
            .min()
            .map(|(round_trip, peer)| (peer, round_trip))
    }
}

impl Engine {
    // ---- What nodes tell each other.

    /// What this node tells each of these others.
    pub fn free_agents(&self, peers: &[MemberId]) -> Vec<FreeAgents> {
        let spare = |id: CampaignId| {
            let inbound = self.facts.levers(id).inbound_agents;
            let ready = self.calls.ready_for(id).saturating_sub(inbound);
            (ready > 0 && !self.draining).then_some((id, ready))
        };
        let campaigns = self.facts.campaigns.keys().filter_map(|id| spare(*id));
        let ready: Vec<_> = campaigns.take(limits::FREE_AGENTS_CAMPAIGNS).collect();
        let told = |peer: &MemberId| FreeAgents {
            ready: ready.clone(),
            calls: self.overflow.with(*peer).map(|(call, _)| call).collect(),
        };
        peers.iter().map(told).collect()
    }

    /// What another node tells this one.
    pub(crate) fn neighbour_told(
        &mut self,
        now: Now,
        peer: MemberId,
        round_trip: Duration,
        free: FreeAgents,
    ) {
        let at = now.monotonic;
        let carries = self.overflow.with(peer).next().is_some();
        let known = &mut self.overflow.neighbours;
        known.retain(|_, neighbour| at.since(neighbour.heard) <= FORGET);
        if known.len() < limits::POOL_NEIGHBOURS || known.contains_key(&peer) || carries {
            let ready = free.ready.into_iter().take(limits::FREE_AGENTS_CAMPAIGNS);
            let neighbour = Neighbour {
                heard: at,
                round_trip,
                ready: ready.collect(),
            };
            known.insert(peer, neighbour);
        }
        let theirs: BTreeSet<_> = free.calls.into_iter().collect();
        let gone = |(call, carried): &(CarriedCall, &Carried)| {
            !theirs.contains(call) && at.since(carried.began) > GRACE
        };
        let gone: Vec<_> = self.overflow.with(peer).filter(gone).collect();
        let gone: Vec<_> = gone.into_iter().map(|(call, _)| call).collect();
        for call in gone {
            self.carried_gone(now, (peer, call));
        }
        // Whoever waits already may have an agent now.
        for attempt in self.calls.waiting() {
            if !self.overflow.asked.contains_key(&attempt) {
                self.ask_neighbours(now, attempt, BTreeSet::new());
            }
        }
    }

    /// Looks for nodes that are not heard any more.
    pub(crate) fn look_at_carried(&mut self, now: Now) {
        let heard = |peer: &MemberId| self.overflow.neighbours.get(peer).map(|n| n.heard);
        let silent = |((peer, _), carried): &(&(MemberId, CarriedCall), &Carried)| {
            let last = heard(peer).map_or(carried.began, |at| at.max(carried.began));
            now.monotonic.since(last) > limits::CARRIED_LOST
        };
        let calls = self.overflow.calls.iter().filter(silent);
        let lost: Vec<_> = calls.map(|(key, _)| *key).collect();
        for key in lost {
            self.carried_gone(now, key);
        }
        if !self.overflow.calls.is_empty() {
            (self.timers).arm(TimerName::Overflow, now.monotonic + LOOK);
        }
    }

    // ---- Where the person is.

    /// A person waits, and no agent of this node is free.
    pub(crate) fn ask_neighbours(
        &mut self,
        now: Now,
        attempt: AttemptId,
        mut tried: BTreeSet<MemberId>,
    ) {
        self.overflow.asked.remove(&attempt);
        let Some((waited, left)) = self.calls.patience(now, attempt) else {
            return;
        };
        let Some(lead) = self.calls.lease(attempt).cloned() else {
            return;
        };
        let campaign = lead.campaign;
        let nearest = (self.overflow).nearest(now.monotonic, campaign, left, &tried);
        let Some((peer, round_trip)) = nearest else {
            return;
        };
        tried.insert(peer);
        self.expect_of(peer, campaign, |ready| ready.saturating_sub(1));
        let call = CarriedCall(self.overflow.numbers.next_u64());
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let person = self.legs.of_attempt(attempt);
        let offer = OverflowOffer {
            call,
            lead,
            codec: (person.and_then(|leg| self.legs.codec(leg))).unwrap_or(Codec::Pcma),
            waited_ms: millis(waited),
            within_ms: millis(left + KEPT),
        };
        let asked = Asked { peer, call, tried };
        self.overflow.asked.insert(attempt, asked);
        self.observe_overflow(campaign, OverflowStep::Asked);
        self.output(Output::Offer {
            to: peer,
            attempt,
            offer: Box::new(offer),
            deadline: (round_trip * 3 + ANSWER).min(left),
        });
    }

    /// Another node answered an offer, or did not; none is no answer.
    pub(crate) fn offer_answered(
        &mut self,
        now: Now,
        peer: MemberId,
        attempt: AttemptId,
        call: CarriedCall,
        answer: Option<OverflowAnswer>,
    ) {
        let awaited = (self.overflow.asked.get(&attempt))
            .is_some_and(|asked| asked.peer == peer && asked.call == call);
        let tried = match awaited {
            true => self
                .overflow
                .asked
                .remove(&attempt)
                .map(|asked| asked.tried),
            false => None,
        };
        let campaign = self.calls.lease(attempt).map(|lease| lease.campaign);
        let (Some(tried), Some(campaign)) = (tried, campaign) else {
            // The call ended meanwhile: nobody is kept for it.
            self.say(peer, call, CarriedWord::Over { by_person: true });
            return;
        };
        match answer {
            Some(OverflowAnswer::Kept(agent)) => {
                if self.take_lent(now, (peer, call), attempt, agent) {
                    self.observe_overflow(campaign, OverflowStep::Joined);
                } else {
                    self.observe_overflow(campaign, OverflowStep::Late);
                    self.say(peer, call, CarriedWord::Over { by_person: false });
                }
                return;
            }
            Some(_) => {
                self.expect_of(peer, campaign, |_| 0);
                self.observe_overflow(campaign, OverflowStep::Refused);
            }
            None => {
                self.observe_overflow(campaign, OverflowStep::Late);
                // A yes may be on its way.
                self.say(peer, call, CarriedWord::Over { by_person: false });
            }
        }
        self.ask_neighbours(now, attempt, tried);
    }

    /// Joins a waiting person with an agent who is kept at another node; false when it is too late.
    fn take_lent(
        &mut self,
        now: Now,
        key: (MemberId, CarriedCall),
        attempt: AttemptId,
        agent: AgentId,
    ) -> bool {
        if !self.calls.waits_for_agent(attempt) || self.overflow.calls.contains_key(&key) {
            return false;
        }
        let Some(port) = self.ports.take(now.monotonic) else {
            return false;
        };
        let leg = self.next_leg();
        let person = self.legs.of_attempt(attempt);
        let codec = person.and_then(|leg| self.legs.codec(leg));
        let codec = codec.unwrap_or(Codec::Pcma);
        self.open_carried(now, key, (leg, port), Owner::Agent(agent), codec);
        self.keep_carried(now, key, attempt, leg, true);
        let lent = call::Input::AgentLent {
            attempt,
            agent,
            leg,
        };
        let (peer, call) = key;
        self.say(peer, call, CarriedWord::Joined);
        self.tell_calls(now, lent);
        true
    }

    /// What is told of a lent agent's recording.
    pub(crate) fn tell_lent_recording(&mut self, attempt: AttemptId) {
        if let Some((peer, call)) = self.overflow.of.get(&attempt).copied() {
            self.say(peer, call, CarriedWord::Recording { paused: false });
        }
    }

    /// A lent agent's disposition is durable.
    pub(crate) fn lent_kept(&mut self, attempt: AttemptId) {
        if let Some(request) = self.overflow.disposing.remove(&attempt) {
            let taken = true;
            self.output(Output::WordTaken { request, taken });
        }
    }

    /// An attempt of this node is closed: nothing is carried for it any more.
    pub(crate) fn forget_carried(&mut self, attempt: AttemptId) {
        self.overflow.asked.remove(&attempt);
        if let Some(key) = self.overflow.of.remove(&attempt) {
            self.overflow.calls.remove(&key);
        }
        if let Some(request) = self.overflow.disposing.remove(&attempt) {
            let taken = false;
            self.output(Output::WordTaken { request, taken });
        }
    }

    // ---- Where the agent is.

    /// Another node's person wants an agent: kept, or not, in this step.
    pub fn offered(&mut self, now: Now, peer: MemberId, offer: OverflowOffer) -> OverflowAnswer {
        let OverflowOffer {
            call,
            lead,
            codec,
            within_ms,
            ..
        } = offer;
        let (key, attempt, id) = ((peer, call), lead.attempt, lead.campaign);
        let Some(campaign) = self.facts.campaigns.get(&id).filter(|_| !self.draining) else {
            return OverflowAnswer::NotServed;
        };
        let campaign = campaign.clone();
        if self.calls.ready_for(id) <= self.facts.levers(id).inbound_agents {
            return OverflowAnswer::NoAgent;
        }
        if self.overflow.is_full(peer) || self.overflow.calls.contains_key(&key) {
            return OverflowAnswer::Full;
        }
        let Some(port) = self.ports.take(now.monotonic) else {
            return OverflowAnswer::Full;
        };
        let leg = self.next_leg();
        let offered = call::Input::Offered {
            lead: Box::new(lead),
            campaign,
            leg,
            within: Duration::from_millis(within_ms.into()).min(limits::CARRIED_LOST),
        };
        let kept = self.calls.handle(now, offered).is_ok();
        let Some(agent) = self.calls.kept_agent(attempt).filter(|_| kept) else {
            self.ports.give_back(now.monotonic, port);
            return OverflowAnswer::NoAgent;
        };
        self.open_carried(now, key, (leg, port), Owner::Visitor(attempt), codec);
        self.keep_carried(now, key, attempt, leg, false);
        self.observe_overflow(id, OverflowStep::Kept);
        self.drain_calls(now);
        OverflowAnswer::Kept(agent)
    }

    /// What an agent of this node set for another node's person.
    pub(crate) fn report_disposition(
        &mut self,
        token: PersistToken,
        attempt: AttemptId,
        word: CarriedWord,
    ) {
        let token = Some(token);
        let key = self.overflow.of.get(&attempt).copied();
        let (to, call) = key.unwrap_or((self.config.member, CarriedCall(0)));
        let said = CarriedSaid { call, word };
        // Of a call that is not carried any more nobody hears: refused there like any stranger's.
        self.output(Output::Say { to, said, token });
    }

    /// Nothing of another node's attempt is left here; `untold` where its agent set no disposition.
    pub(crate) fn returned(&mut self, attempt: AttemptId, untold: bool) {
        let Some(key) = self.overflow.of.remove(&attempt) else {
            return;
        };
        self.overflow.calls.remove(&key);
        if untold {
            let (peer, call) = key;
            self.say(peer, call, CarriedWord::Left);
        }
    }

    /// An agent of this node wants another node's recording paused; false where it is this node's own.
    pub(crate) fn pause_elsewhere(&mut self, leg: LegId, paused: bool) -> bool {
        let Some((peer, call)) = self.carried_key(leg) else {
            return false;
        };
        self.say(peer, call, CarriedWord::PauseRecording { paused });
        true
    }

    // ---- Both.

    /// The other node said something of a call.
    pub(crate) fn carried_said(
        &mut self,
        now: Now,
        peer: MemberId,
        said: CarriedSaid,
        request: u64,
    ) {
        let key = (peer, said.call);
        let taken = match self.overflow.calls.get(&key).copied() {
            None => false,
            Some(carried) => match self.take_word(now, key, carried, said.word, request) {
                Some(taken) => taken,
                // Answered once it is durable.
                None => return,
            },
        };
        self.output(Output::WordTaken { request, taken });
    }

    fn take_word(
        &mut self,
        now: Now,
        key: (MemberId, CarriedCall),
        carried: Carried,
        word: CarriedWord,
        request: u64,
    ) -> Option<bool> {
        let attempt = carried.attempt;
        let joins = word == CarriedWord::Joined;
        let input = match (word, carried.home) {
            (CarriedWord::Over { by_person }, home) => {
                self.mark_over(key);
                let by_peer = home || by_person;
                self.end_carried_leg(now, carried.leg, by_peer);
                return Some(true);
            }
            (CarriedWord::Joined, false) => call::Input::OfferTaken { attempt },
            (CarriedWord::Recording { paused: false }, false) => {
                call::Input::RecordingBegan { attempt }
            }
            (CarriedWord::PauseRecording { paused }, true) => {
                call::Input::LentPauses { attempt, paused }
            }
            (CarriedWord::Left, true) => {
                self.mark_over(key);
                call::Input::LentLeft { attempt }
            }
            (
                CarriedWord::Disposed {
                    disposition,
                    note,
                    callback_at,
                },
                true,
            ) => {
                let disposed = call::Input::LentDisposed {
                    attempt,
                    disposition,
                    note,
                    callback_at,
                };
                if self.calls.handle(now, disposed).is_err() {
                    return Some(false);
                }
                self.overflow.disposing.insert(attempt, request);
                self.drain_calls(now);
                return None;
            }
            _ => return Some(false),
        };
        let kept = self.calls.kept_agent(attempt);
        let taken = self.calls.handle(now, input).is_ok();
        if joins
            && taken
            && let Some(lease) = self.calls.lease(attempt)
        {
            self.overflow.tally.lent(lease.campaign);
            if let Some(agent) = kept {
                self.remember_lent(now, attempt, agent);
            }
        }
        self.drain_calls(now);
        Some(taken)
    }

    /// What became of a word that was said: whether the other node took it.
    pub(crate) fn word_told(
        &mut self,
        now: Now,
        peer: MemberId,
        said: &CarriedSaid,
        token: Option<PersistToken>,
        taken: bool,
    ) {
        match (token, taken) {
            (Some(token), true) => self.tell_calls(now, call::Input::Persisted { token }),
            (Some(token), false) => self.tell_calls(now, call::Input::NotKept { token }),
            // The agent is not kept any more.
            (None, false) if said.word == CarriedWord::Joined => {
                self.carried_gone(now, (peer, said.call));
            }
            (None, _) => {}
        }
    }

    /// The other side of a call is gone without a word.
    fn carried_gone(&mut self, now: Now, key: (MemberId, CarriedCall)) {
        let Some(carried) = self.overflow.calls.get(&key).copied() else {
            return;
        };
        if !carried.over
            && let Some(lease) = self.calls.lease(carried.attempt)
        {
            let campaign = lease.campaign;
            self.observe_overflow(campaign, OverflowStep::Lost);
        }
        self.mark_over(key);
        self.end_carried_leg(now, carried.leg, carried.home);
        if carried.home {
            let attempt = carried.attempt;
            self.tell_calls(now, call::Input::LentLeft { attempt });
        }
    }

    /// Nothing came from a carried leg for too long.
    pub(crate) fn carried_silent(&mut self, now: Now, leg: LegId) {
        if let Some(key) = self.carried_key(leg) {
            self.carried_gone(now, key);
        }
    }

    /// The call center hangs a carried leg up: the other side is told, once.
    pub(crate) fn hang_up_carried(&mut self, leg: LegId) {
        self.legs.end(leg);
        let Some(key) = self.carried_key(leg) else {
            return;
        };
        let Some(carried) = self
            .overflow
            .calls
            .get(&key)
            .filter(|carried| !carried.over)
        else {
            return;
        };
        let (home, attempt) = (carried.home, carried.attempt);
        // The person's SIP is over already where the person hung up.
        let by_person = home && self.legs.of_attempt(attempt).is_none();
        self.mark_over(key);
        let (peer, call) = key;
        self.say(peer, call, CarriedWord::Over { by_person });
    }

    fn end_carried_leg(&mut self, now: Now, leg: LegId, by_peer: bool) {
        if self.legs.get(leg).is_none_or(|found| found.ended) {
            return;
        }
        self.legs.end(leg);
        // The call center first, which may part a bridge; then the relay closes the leg.
        self.tell_leg(now, leg, LegEvent::HungUp { by_peer });
        self.close_leg(leg);
    }

    fn mark_over(&mut self, key: (MemberId, CarriedCall)) {
        if let Some(carried) = self.overflow.calls.get_mut(&key) {
            carried.over = true;
        }
    }

    fn carried_key(&self, leg: LegId) -> Option<(MemberId, CarriedCall)> {
        match self.legs.get(leg)?.line {
            Line::Carried(peer, call) => Some((peer, call)),
            Line::Sip { .. } | Line::Browser => None,
        }
    }

    fn open_carried(
        &mut self,
        now: Now,
        (peer, call): (MemberId, CarriedCall),
        (leg, port): (LegId, Port),
        owner: Owner,
        codec: Codec,
    ) {
        self.media(MediaCommand::Open {
            leg,
            port,
            telephone_event: Some(CARRIED_EVENT),
        });
        self.output(Output::Carry(CarryCommand::Attach {
            leg,
            peer,
            call,
            codec,
        }));
        let progress = Progress {
            sent_at: now.monotonic,
            ..Progress::default()
        };
        self.legs.insert(
            leg,
            Leg {
                owner,
                line: Line::Carried(peer, call),
                listened: false,
                heard: true,
                answered: true,
                ended: false,
                closing: false,
                message: None,
                progress,
            },
        );
    }

    fn keep_carried(
        &mut self,
        now: Now,
        key: (MemberId, CarriedCall),
        attempt: AttemptId,
        leg: LegId,
        home: bool,
    ) {
        let carried = Carried {
            attempt,
            leg,
            home,
            began: now.monotonic,
            over: false,
        };
        self.overflow.calls.insert(key, carried);
        self.overflow.of.insert(attempt, key);
        (self.timers).arm(TimerName::Overflow, now.monotonic + LOOK);
    }

    /// Changes what is expected of another node's free agents until it says it anew.
    fn expect_of(&mut self, peer: MemberId, campaign: CampaignId, change: impl Fn(u32) -> u32) {
        let known = self.overflow.neighbours.get_mut(&peer);
        if let Some(ready) = known.and_then(|known| known.ready.get_mut(&campaign)) {
            *ready = change(*ready);
        }
    }

    fn say(&mut self, to: MemberId, call: CarriedCall, word: CarriedWord) {
        let (said, token) = (CarriedSaid { call, word }, None);
        self.output(Output::Say { to, said, token });
    }

    pub(crate) fn observe_overflow(&mut self, campaign: CampaignId, step: OverflowStep) {
        self.overflow.tally.count(campaign, step);
        self.observe(Observed::Overflow { campaign, step });
    }
}
