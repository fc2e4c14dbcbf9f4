//! The switch: what a carrier's proxy does with the product's messages (RFC 3261, the side that
//! is called), one call a record, one heap of timers. It says what to send; sockets are elsewhere.

mod answers;
mod ending;
mod register;

use super::{
    CarrierStats, Outage,
    config::{CarrierConfig, Rule},
    fate::{self, Behaviour, Fate},
    net::{Arrived, Flow},
    witness::{Entry, Event, Witness},
};
use crate::{
    audio::{
        Law,
        rtp::{RtpStream, RtpThread},
    },
    wire::{Message, address_of, digits_of, sdp::Sdp, uri_of, user_of},
};
use sansio::{Seed, Stream};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::{Duration, Instant},
};

/// RFC 3261 section 17.1.1.1.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const LIFETIME: Duration = Duration::from_secs(32);
/// How long a network lets it ring: as mobile networks do, a call that nobody gives up ends so.
const RING_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Ringing, or the refusal.
    Progress,
    /// The answer, or the network's patience.
    Outcome,
    Retransmit,
    GiveUp,
    HangUp,
    /// Whether the caller's media still comes.
    Silence,
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// 100 sent.
    Routing,
    /// 180 or 183 sent.
    Ringing,
    /// 200 sent, no ACK yet.
    Answered,
    /// ACK came.
    Talking,
    /// A refusal sent, no ACK yet.
    Refused,
    /// Our BYE sent.
    Leaving,
    /// Nothing more will happen; kept for retransmissions.
    Over,
}

#[derive(Debug)]
struct Call {
    key: String,
    trunk: usize,
    flow: Flow,
    invite: Message,
    number: String,
    caller_id: String,
    attempt: String,
    local_tag: String,
    fate: Fate,
    phase: Phase,
    /// The latest response to the INVITE, for its retransmissions.
    response: Vec<u8>,
    status: u16,
    answered: Option<Instant>,
    interval: Duration,
    stream: Option<RtpStream>,
    /// Packets that had come at the last look.
    arrived: u64,
    law: Law,
    session: Option<Sdp>,
    early_sdp: bool,
    reinvite: Option<(u32, Vec<u8>)>,
    bye: Option<(Flow, Vec<u8>)>,
    epochs: [u32; 7],
    closed: bool,
}

/// What the switch of one carrier knows.
#[derive(Debug)]
pub(super) struct Switch {
    config: CarrierConfig,
    /// Trunks of each listener.
    groups: Vec<Vec<usize>>,
    trunk_ip: Vec<IpAddr>,
    outages: Vec<Outage>,
    live: Vec<u32>,
    started: Vec<VecDeque<Instant>>,
    calls: HashMap<u64, Call>,
    by_key: HashMap<String, u64>,
    next_call: u64,
    counts: HashMap<String, u32>,
    /// INVITEs that opened no call, by branch: challenged or ignored ones.
    seen: HashMap<String, u32>,
    seen_order: VecDeque<(Instant, String)>,
    timers: BinaryHeap<Reverse<(Instant, u64, Timer, u32)>>,
    random: Stream,
    nonce_secret: String,
    rtp: RtpThread,
    witness: Witness,
    /// When the message came that is being looked at.
    arrived: Option<Instant>,
    stats: Arc<Mutex<CarrierStats>>,
    /// Calls whose audio report is on its way to the log.
    pub(super) reporting: Arc<AtomicUsize>,
    out: Vec<(Flow, Vec<u8>)>,
}

impl Switch {
    pub(super) fn new(
        config: CarrierConfig,
        groups: Vec<Vec<usize>>,
        rtp: RtpThread,
        witness: Witness,
        stats: Arc<Mutex<CarrierStats>>,
    ) -> Self {
        let trunks = config.trunks.len();
        let mut random = Seed::from_u64(config.seed).stream("switch");
        Self {
            trunk_ip: config.trunks.iter().map(|t| t.listen.ip()).collect(),
            groups,
            outages: vec![Outage::None; trunks],
            live: vec![0; trunks],
            started: vec![VecDeque::new(); trunks],
            calls: HashMap::new(),
            by_key: HashMap::new(),
            next_call: 1,
            counts: HashMap::new(),
            seen: HashMap::new(),
            seen_order: VecDeque::new(),
            timers: BinaryHeap::new(),
            nonce_secret: random.token(24),
            random,
            rtp,
            witness,
            arrived: None,
            stats,
            reporting: Arc::default(),
            out: Vec::new(),
            config,
        }
    }

    /// Takes what is to be sent.
    pub(super) fn take_output(&mut self) -> Vec<(Flow, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }

    /// When [`Self::on_time`] wants to be called.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn rules(&mut self) -> &mut Vec<Rule> {
        &mut self.config.rules
    }

    pub(super) fn set_answer_share(&mut self, permille: u32) {
        self.config.habits.answer_permille_by_hour = [permille.min(1000); 24];
    }

    /// Sets the outage of one trunk, or of all; false where there is no such trunk.
    pub(super) fn set_outage(&mut self, trunk: Option<&str>, outage: Outage) -> bool {
        let mut found = false;
        for (i, t) in self.config.trunks.iter().enumerate() {
            if trunk.is_none_or(|name| name == t.name) {
                self.outages[i] = outage;
                found = true;
            }
        }
        found
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut CarrierStats)) {
        change(&mut self.stats.lock().unwrap_or_else(|p| p.into_inner()));
    }

    /// One message came: what is logged about it bears the time of its arrival.
    pub(super) fn on_arrived(&mut self, arrived: &Arrived) {
        self.arrived = Some(arrived.at);
        self.on_bytes(arrived.at, arrived.flow, &arrived.bytes);
        self.arrived = None;
    }

    fn on_bytes(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(error) => {
                self.count(|s| s.odd += 1);
                let entry = self.entry_of(None, flow, None);
                self.log(
                    entry,
                    Event::Odd {
                        detail: error.to_string(),
                    },
                );
                return;
            }
        };
        let Some(method) = message.method().map(str::to_owned) else {
            self.on_response(now, &message);
            return;
        };
        let trunk = self.trunk_of(flow, &message);
        if self.outages[trunk] == Outage::Silence && method != "INVITE" {
            return;
        }
        match method.as_str() {
            "INVITE" => self.on_invite(now, flow, message, trunk),
            "ACK" => self.on_ack(now, &message),
            "CANCEL" => self.on_cancel(now, flow, &message),
            "BYE" => self.on_bye(now, flow, &message),
            "REGISTER" => self.on_register(flow, &message, trunk),
            "OPTIONS" | "INFO" | "PRACK" | "NOTIFY" | "MESSAGE" => {
                self.count(|s| s.options += u64::from(method == "OPTIONS"));
                let status = if self.outages[trunk] == Outage::Storm {
                    503
                } else {
                    200
                };
                self.reply(flow, &message, status);
            }
            "UPDATE" => self.on_update(flow, &message),
            _ => self.reply(flow, &message, 405),
        }
    }

    /// The trunk a message came by: of its call, of its credentials, else the address's first.
    fn trunk_of(&self, flow: Flow, message: &Message) -> usize {
        if let Some(call) = self.find(message) {
            return call.trunk;
        }
        let group = &self.groups[flow.listener];
        let user = register::credentials(message).and_then(|c| c.get("username").cloned());
        user.and_then(|user| {
            let is_it = |i: &&usize| self.config.trunks[**i].username.as_ref() == Some(&user);
            group.iter().find(is_it).copied()
        })
        .unwrap_or(group[0])
    }

    fn find(&self, request: &Message) -> Option<&Call> {
        self.calls.get(
            self.by_key
                .get(&key_of(request.call_id(), request.from_tag()))?,
        )
    }

    fn find_id(&self, request: &Message) -> Option<u64> {
        self.by_key
            .get(&key_of(request.call_id(), request.from_tag()))
            .copied()
    }

    fn on_invite(&mut self, now: Instant, flow: Flow, message: Message, trunk: usize) {
        self.count(|s| s.invites += 1);
        if self.outages[trunk] == Outage::Silence {
            self.ignore(now, flow, &message, trunk, false);
            return;
        }
        if let Some(id) = self.find_id(&message) {
            let call = &self.calls[&id];
            if !message.to_tag().is_empty() {
                self.on_reinvite(flow, &message, id);
                return;
            }
            if message.cseq().0 == call.invite.cseq().0 {
                let entry = self.entry_of(Some(call), flow, None);
                let answer = (call.phase != Phase::Talking && call.phase != Phase::Leaving)
                    .then(|| call.response.clone());
                self.count(|s| s.retransmissions += 1);
                let event = Event::Invite {
                    retransmission: true,
                    challenged: false,
                    ignored: false,
                    cseq: message.cseq().0,
                    count: 0,
                };
                self.log(entry, event);
                if let Some(answer) = answer {
                    self.out.push((answer_flow(flow, &message), answer));
                }
                return;
            }
            if !call.closed {
                // RFC 3261 section 8.2.2.2: the same call by another transaction.
                self.reply(flow, &message, 482);
                return;
            }
            let key = call.key.clone();
            self.by_key.remove(&key);
        } else if !message.to_tag().is_empty() {
            self.reply(flow, &message, 481);
            return;
        }
        if let Some(refusal) = self.admit(now, flow, &message, trunk) {
            self.out
                .push((answer_flow(flow, &message), refusal.to_bytes()));
            return;
        }
        self.open(now, flow, message, trunk);
    }

    /// An INVITE that gets no answer at all.
    fn ignore(&mut self, now: Instant, flow: Flow, message: &Message, trunk: usize, counted: bool) {
        let (retransmission, count) = self.first_sight(now, message, counted);
        let entry = self.entry_of(None, flow, Some((message, trunk)));
        let event = Event::Invite {
            retransmission,
            challenged: false,
            ignored: true,
            cseq: message.cseq().0,
            count,
        };
        self.count(|s| s.ignored += u64::from(!retransmission));
        self.log(entry, event);
    }

    /// Whether an INVITE that opened no call came before, and the count of its number.
    fn first_sight(&mut self, now: Instant, message: &Message, counted: bool) -> (bool, u32) {
        while let Some((at, _)) = self.seen_order.front()
            && now.duration_since(*at) > 2 * LIFETIME
        {
            let (_, branch) = self.seen_order.pop_front().expect("there is a front");
            self.seen.remove(&branch);
        }
        let branch = format!("{} {}", message.branch(), message.call_id());
        if let Some(count) = self.seen.get(&branch) {
            return (true, *count);
        }
        let digits = digits_of(user_of(message.uri()));
        let count = if counted {
            self.called_again(&digits)
        } else {
            0
        };
        self.seen.insert(branch.clone(), count);
        self.seen_order.push_back((now, branch));
        (false, count)
    }

    fn called_again(&mut self, digits: &str) -> u32 {
        let count = self.counts.entry(digits.to_owned()).or_default();
        *count += 1;
        *count
    }

    fn hour(&self) -> usize {
        let (wall_ms, _) = self.witness.clocks();
        let minutes = wall_ms.div_euclid(60_000) + i64::from(self.config.utc_offset_minutes);
        minutes.div_euclid(60).rem_euclid(24) as usize
    }

    /// A new call: its fate is drawn, 100 goes out, the rest follows by timers.
    fn open(&mut self, now: Instant, flow: Flow, invite: Message, trunk: usize) {
        let number = digits_of(user_of(invite.uri()));
        let attempt = self.counts.get(&number).map_or(1, |n| n + 1);
        let rule = self
            .config
            .rules
            .iter()
            .find(|r| r.matches(&number, attempt));
        let forced = rule.map(|r| r.behaviour);
        let fate = fate::draw(
            self.config.seed,
            &number,
            attempt,
            self.hour(),
            &self.config.habits,
            forced,
        );
        if fate.behaviour == Behaviour::BlackHole {
            self.ignore(now, flow, &invite, trunk, true);
            return;
        }
        let session = invite.sdp();
        let laws = [Law::A, Law::Mu];
        let no_law = session
            .as_ref()
            .is_some_and(|offer| !offer.laws.iter().any(|l| laws.contains(l)));
        let count = self.called_again(&number);
        let id = self.next_call;
        self.next_call += 1;
        let key = key_of(invite.call_id(), invite.from_tag());
        let law = session
            .as_ref()
            .and_then(|s| s.laws.first().copied())
            .unwrap_or(Law::A);
        let call = Call {
            key: key.clone(),
            trunk,
            flow,
            caller_id: caller_of(&invite),
            attempt: invite
                .header("X-Dialmesh-Attempt")
                .unwrap_or_default()
                .to_owned(),
            number,
            local_tag: self.random.token(10),
            phase: Phase::Routing,
            response: Vec::new(),
            status: 0,
            answered: None,
            interval: T1,
            stream: None,
            arrived: 0,
            law,
            session,
            early_sdp: false,
            reinvite: None,
            bye: None,
            epochs: [0; 7],
            closed: false,
            fate,
            invite,
        };
        self.count(|s| {
            s.opened += 1;
            s.live += 1;
        });
        self.live[trunk] += 1;
        let entry = self.entry_of(Some(&call), flow, None);
        let event = Event::Invite {
            retransmission: false,
            challenged: false,
            ignored: false,
            cseq: call.invite.cseq().0,
            count,
        };
        self.log(entry, event);
        let post_dial = call.fate.post_dial;
        let behaviour = call.fate.behaviour;
        self.calls.insert(id, call);
        self.by_key.insert(key, id);
        self.respond(id, 100, None);
        match behaviour {
            _ if no_law => self.refuse(now, id, 488),
            _ if self.outages[trunk] == Outage::Storm => self.refuse(now, id, 503),
            Behaviour::Mute => {}
            Behaviour::AnswerNow => self.answer(now, id),
            _ => self.arm(id, Timer::Progress, now + post_dial),
        }
    }

    fn arm(&mut self, id: u64, timer: Timer, at: Instant) {
        if let Some(call) = self.calls.get_mut(&id) {
            let epoch = &mut call.epochs[timer as usize];
            *epoch += 1;
            self.timers.push(Reverse((at, id, timer, *epoch)));
        }
    }

    fn disarm(&mut self, id: u64, timers: &[Timer]) {
        if let Some(call) = self.calls.get_mut(&id) {
            for timer in timers {
                call.epochs[*timer as usize] += 1;
            }
        }
    }

    /// Runs every timer that is due.
    pub(super) fn on_time(&mut self, now: Instant) {
        while let Some(Reverse((at, id, timer, epoch))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            let Some(call) = self.calls.get(&id) else {
                continue;
            };
            if call.epochs[timer as usize] != epoch {
                continue;
            }
            match timer {
                Timer::Progress => self.progress(now, id),
                Timer::Outcome => self.outcome(now, id),
                Timer::Retransmit => self.retransmit(now, id),
                Timer::GiveUp => self.give_up(now, id),
                Timer::HangUp => self.hang_up(now, id, "callee"),
                Timer::Silence => self.listen(now, id),
                Timer::Forget => {
                    let call = self.calls.remove(&id).expect("found above");
                    if self.by_key.get(&call.key) == Some(&id) {
                        self.by_key.remove(&call.key);
                    }
                }
            }
        }
    }

    fn progress(&mut self, now: Instant, id: u64) {
        let call = &self.calls[&id];
        let (behaviour, ring, early) = (call.fate.behaviour, call.fate.ring, call.fate.early_media);
        let status = match behaviour {
            Behaviour::Busy => 486,
            Behaviour::Unallocated => 404,
            Behaviour::PoweredOff | Behaviour::Unavailable => 480,
            Behaviour::Rejected => 603,
            Behaviour::Failure => 503,
            Behaviour::Status(status) if status >= 300 => status,
            _ => {
                self.ring(id, early);
                let waits = matches!(
                    behaviour,
                    Behaviour::NoAnswer | Behaviour::EarlyMedia | Behaviour::AnswersAtCancel
                );
                self.arm(
                    id,
                    Timer::Outcome,
                    now + if waits { RING_MAX } else { ring },
                );
                return;
            }
        };
        self.refuse(now, id, status);
    }

    fn outcome(&mut self, now: Instant, id: u64) {
        match self.calls[&id].fate.behaviour {
            Behaviour::NoAnswer | Behaviour::EarlyMedia | Behaviour::AnswersAtCancel => {
                self.refuse(now, id, 480);
            }
            _ => self.answer(now, id),
        }
    }

    fn listen_later(&mut self, now: Instant, id: u64) {
        let patience = Duration::from_millis(self.config.media_timeout_ms.into());
        if self.calls[&id].stream.is_some() && !patience.is_zero() {
            self.arm(id, Timer::Silence, now + patience);
        }
    }

    /// Ends a call whose caller sent nothing since the last look.
    fn listen(&mut self, now: Instant, id: u64) {
        let call = self
            .calls
            .get_mut(&id)
            .expect("timers of a call that lives");
        let Some(stream) = call.stream.as_ref() else {
            return;
        };
        let arrived = stream.arrived();
        if arrived == call.arrived {
            self.hang_up(now, id, "network");
        } else {
            call.arrived = arrived;
            self.listen_later(now, id);
        }
    }

    fn retransmit(&mut self, now: Instant, id: u64) {
        let call = self
            .calls
            .get_mut(&id)
            .expect("timers of a call that lives");
        call.interval = (call.interval * 2).min(T2);
        let again = match call.phase {
            Phase::Answered | Phase::Refused => {
                (answer_flow(call.flow, &call.invite), call.response.clone())
            }
            Phase::Leaving => call.bye.clone().expect("leaving with a BYE"),
            _ => return,
        };
        let at = now + call.interval;
        self.out.push(again);
        self.arm(id, Timer::Retransmit, at);
    }

    fn on_ack(&mut self, now: Instant, message: &Message) {
        let Some(id) = self.find_id(message) else {
            return;
        };
        let call = &self.calls[&id];
        if message.cseq().0 != call.invite.cseq().0 {
            // The ACK of a later INVITE in the call.
            return;
        }
        let status = call.status;
        match call.phase {
            Phase::Answered => {
                let answer = message.sdp().filter(|_| call.session.is_none());
                let talk = call.fate.talk.map(|t| call.answered.expect("answered") + t);
                let call = self.calls.get_mut(&id).expect("found above");
                call.phase = Phase::Talking;
                if let (Some(stream), Some(sdp)) = (&call.stream, answer) {
                    call.law = sdp.laws.first().copied().unwrap_or(call.law);
                    stream.set_peer(sdp.audio, call.law);
                }
                self.disarm(id, &[Timer::Retransmit, Timer::GiveUp]);
                if let Some(at) = talk {
                    self.arm(id, Timer::HangUp, at.max(now));
                }
                self.listen_later(now, id);
            }
            Phase::Refused => self.rest(now, id),
            _ => return,
        }
        self.count(|s| s.acks += 1);
        let entry = self.entry_of(self.calls.get(&id), self.calls[&id].flow, None);
        self.log(entry, Event::Ack { status });
    }

    fn log(&self, mut entry: Entry, event: Event) {
        entry.event = event;
        self.witness.write(entry);
    }

    /// A line about a call, or about a message that belongs to none.
    fn entry_of(
        &self,
        call: Option<&Call>,
        flow: Flow,
        message: Option<(&Message, usize)>,
    ) -> Entry {
        let at = self.arrived.unwrap_or_else(Instant::now);
        let (wall_ms, mono_ns) = self.witness.clocks_at(at);
        let mut entry = Entry {
            wall_ms,
            mono_ns,
            trunk: String::new(),
            call_id: String::new(),
            number: String::new(),
            caller_id: String::new(),
            source: Some(flow.peer),
            attempt: String::new(),
            event: Event::Started { seed: 0 },
        };
        if let Some(call) = call {
            entry.trunk.clone_from(&self.config.trunks[call.trunk].name);
            entry.call_id = call.invite.call_id().to_owned();
            entry.number.clone_from(&call.number);
            entry.caller_id.clone_from(&call.caller_id);
            entry.attempt.clone_from(&call.attempt);
        } else if let Some((message, trunk)) = message {
            entry.trunk.clone_from(&self.config.trunks[trunk].name);
            entry.call_id = message.call_id().to_owned();
            entry.number = digits_of(user_of(message.uri()));
            entry.caller_id = caller_of(message);
            entry.attempt = message
                .header("X-Dialmesh-Attempt")
                .unwrap_or_default()
                .to_owned();
        }
        entry
    }
}

fn key_of(call_id: &str, remote_tag: &str) -> String {
    format!("{call_id}\n{remote_tag}")
}

/// The shown number: From's, or P-Asserted-Identity's where From has none.
fn caller_of(message: &Message) -> String {
    ["From", "P-Asserted-Identity"]
        .iter()
        .filter_map(|name| message.header(name))
        .map(|value| digits_of(user_of(uri_of(value))))
        .find(|digits| !digits.is_empty())
        .unwrap_or_default()
}

fn answer_flow(flow: Flow, request: &Message) -> Flow {
    match flow.connection {
        Some(_) => flow,
        None => Flow {
            peer: crate::wire::response_target(request, flow.peer),
            ..flow
        },
    }
}
