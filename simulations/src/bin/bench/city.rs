//! The measured node: engine, sockets, relay and journal, driven as the node's shell drives them.

use crate::{plan::Plan, rtp::Pair};
use anyhow::Context as _;
use bytes::Bytes;
use call::{AgentCommand, AgentNotice, PersistToken, Phone, RequestId};
use domain::{
    AgentAccount, AgentDisposition, AgentId, AgentState, AttemptId, CallOutcome, CallRecording,
    CallerId, CallerIdCaps, Campaign, CampaignId, CampaignState, Codec, DialLevel, Disposition,
    DispositionCode, DispositionFlags, Instant, LeadId, LeadProfile, LeasedLead, LegId, ListId,
    MemberId, Now, NumberFormat, PacingMode, Recording, RegionId, Secret, SessionId, SipTransport,
    Trunk, TrunkId, WallTime,
};
use engine::{
    DirectoryChange, DirectoryCopy, Engine, EngineConfig, Entry, Input, Observed, Output, Side,
};
use media::{MediaCommand, MediaEvent};
use media_io::{Relay, RelayConfig, RelayHandle, Tapes};
use recordings::{Folder, FolderLimits, Order, Orders, Writer};
use rustix::time::{ClockId, Timespec, clock_gettime};
use sansio::Seed;
use sip_transport::{Limits, Listener, SipSockets, TransportEvent};
use std::{
    collections::{BTreeMap, VecDeque},
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use storage::{
    DataKeys, Durability, Journal, JournalOptions, JournalStream, RecordingHead,
    RecordingPrivateKey,
};

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MEMBER: MemberId = MemberId(2);
const REGION: RegionId = RegionId(1);
const SESSION: SessionId = SessionId(9);
const CAMPAIGN: CampaignId = CampaignId(1);
const TRUNK: TrunkId = TrunkId(1);
const TTL: Duration = Duration::from_secs(30);
/// Caller IDs of the trunk.
const CALLER_IDS: u64 = 20;
/// Events that may wait, how many are taken before timers are looked at, and the rest between busy
/// rounds, as in the node.
const QUEUE: usize = 65_536;
const BURST: usize = 256;
const GATHER: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(500);

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    ready: AtomicU64,
    bridged: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    failures: Mutex<BTreeMap<String, u64>>,
}

impl Counts {
    /// Agents who were ready at least once.
    pub(crate) fn ready(&self) -> u64 {
        self.ready.load(Relaxed)
    }
    /// Persons joined with an agent.
    pub(crate) fn bridged(&self) -> u64 {
        self.bridged.load(Relaxed)
    }
    /// Calls answered, bridged, ended, disposed by the agent, closed.
    pub(crate) fn completed(&self) -> u64 {
        self.completed.load(Relaxed)
    }
    /// Everything else that became of an attempt.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
    /// The same by name.
    pub(crate) fn failures(&self) -> String {
        let failures = self.failures.lock().unwrap_or_else(|p| p.into_inner());
        match failures.is_empty() {
            true => String::new(),
            false => format!("{failures:?}"),
        }
    }
    fn fail(&self, what: &str) {
        self.failed.fetch_add(1, Relaxed);
        *self
            .failures
            .lock()
            .unwrap_or_else(|p| p.into_inner())
            .entry(what.to_owned())
            .or_default() += 1;
    }
}

enum Event {
    Sip(Side, TransportEvent),
    Media(MediaEvent),
    Persisted(PersistToken),
    Press(AgentId, AgentCommand),
    Recorded(AttemptId, CallRecording),
    Campaign(Box<Campaign>),
    Stop,
}

/// A running node. Dropping it stops it.
pub(crate) struct City {
    events: SyncSender<Event>,
    counts: Arc<Counts>,
    pairs: Arc<Mutex<BTreeMap<LegId, Pair>>>,
    agent_address: SocketAddr,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl City {
    pub(crate) fn start(plan: &Plan) -> anyhow::Result<Self> {
        let (events, queue) = sync_channel(QUEUE);
        let sockets = |side: Side, address: SocketAddr| {
            let events = events.clone();
            let listeners = [SipTransport::Udp, SipTransport::Tcp]
                .map(|transport| Listener { transport, address });
            let sink = move |event| offer(&events, Event::Sip(side, event));
            SipSockets::bind(&listeners, Limits::default(), Arc::new(sink))
        };
        let trunks = sockets(Side::Trunks, plan.at(0)).context("the trunks' sockets")?;
        let agents = sockets(Side::Agents, plan.at(2)).context("the agents' sockets")?;
        let ports = plan.rtp_ports()?;
        let ports = media::PortRange::new(ports.0, ports.1)?;
        let heard = events.clone();
        let folder = tempfile::tempdir().context("a folder for journal and recordings")?;
        let orders = Orders::default();
        let tapes = match plan.record {
            true => Some(recorder(folder.path(), &orders, &events)?),
            false => None,
        };
        let relay = Relay::start_recording(
            RelayConfig::new(
                LOOPBACK,
                media::ExchangeConfig::new(ports),
                media::Prompts::default(),
                Seed::from_u64(2),
            ),
            Box::new(move |event| offer(&heard, Event::Media(event))),
            tapes,
        )?;
        let keys = DataKeys::ephemeral();
        let journal = Journal::open(
            &folder.path().join("journal"),
            JournalOptions::default(),
            &keys,
        )?;
        let engine = Engine::new(
            EngineConfig {
                member: MEMBER,
                regions: vec![REGION],
                trunk_address: plan.at(0),
                trunk_advertised: plan.at(0),
                trunk_tls: None,
                voucher: None,
                agent_address: plan.at(2),
                media_address: LOOPBACK,
                media_ports: ports,
                realm: "dialmesh".into(),
                md5_only: false,
                srtp: engine::SrtpConfig::default(),
                freshness: TTL,
                safe_harbour: None,
                hold: media::PromptId::HOLD,
                voice_drops: Default::default(),
                call_backs: engine::CallBackConfig::default(),
                audit: permit::audit::Head::first(MEMBER),
                audit_numbers: permit::audit::NumberKey::new("bench".into(), [7; 32]),
            },
            Seed::from_u64(1),
        );
        let counts = Arc::<Counts>::default();
        let pairs = Arc::<Mutex<BTreeMap<LegId, Pair>>>::default();
        let mut running = Running {
            engine,
            trunks,
            agents,
            relay,
            attempts: journal.stream("attempts")?,
            audit: std::fs::File::create(folder.path().join("audit"))?,
            _journal: journal,
            events: events.clone(),
            counts: Arc::clone(&counts),
            pairs: Arc::clone(&pairs),
            ports: BTreeMap::new(),
            owed: VecDeque::new(),
            unsent: VecDeque::new(),
            leads: plan.leads,
            given: 0,
            orders,
            outputs: Vec::new(),
            lines: Vec::new(),
        };
        running.take_directory(plan);
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || running.run(&queue))
            .context("the engine's thread")?;
        Ok(Self {
            events,
            counts,
            pairs,
            agent_address: plan.at(2),
            thread: Some(thread),
            _folder: folder,
        })
    }

    /// An agent's sign-in name and password.
    pub(crate) fn login(agent: u32) -> (String, String) {
        (format!("agent{agent}"), format!("password{agent}"))
    }

    pub(crate) fn agent_address(&self) -> SocketAddr {
        self.agent_address
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    pub(crate) fn begin_shifts(&self, agents: u32) {
        for agent in 1..=agents {
            offer(
                &self.events,
                Event::Press(AgentId(agent), AgentCommand::LogIn),
            );
        }
    }

    pub(crate) fn run_campaign(&self) {
        offer(
            &self.events,
            Event::Campaign(Box::new(campaign(CampaignState::Running))),
        );
    }

    /// Of each leg that is up: what its far end told in SDP, and the node's own address.
    pub(crate) fn rtp_pairs(&self) -> Vec<Pair> {
        self.pairs
            .lock()
            .unwrap_or_else(|p| p.into_inner())
            .values()
            .copied()
            .collect()
    }
}

impl Drop for City {
    fn drop(&mut self) {
        self.events.send(Event::Stop).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The thread that writes recordings, as the node has it; it ends with the relay.
fn recorder(
    folder: &std::path::Path,
    orders: &Orders,
    events: &SyncSender<Event>,
) -> anyhow::Result<Tapes> {
    let (tapes, reader) = media_io::tapes();
    let path = folder.join("recordings");
    let folder = Folder::open(path, FolderLimits::default())?;
    let told = events.clone();
    let tell = move |attempt, recording| {
        let _full = !offer(&told, Event::Recorded(attempt, recording));
    };
    Writer::start(folder, orders.clone(), reader, tell)?;
    Ok(tapes)
}

fn offer(events: &SyncSender<Event>, event: Event) -> bool {
    !matches!(events.try_send(event), Err(TrySendError::Full(_)))
}

/// The clocks as the node reads them.
fn now() -> Now {
    let nanos = |t: Timespec| i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec);
    Now {
        monotonic: Instant::from_nanos(nanos(clock_gettime(ClockId::Boottime)) as u64),
        wall: WallTime::from_millis((nanos(clock_gettime(ClockId::Realtime)) / 1_000_000) as i64),
    }
}

struct Running {
    engine: Engine,
    trunks: SipSockets,
    agents: SipSockets,
    relay: RelayHandle,
    attempts: JournalStream,
    audit: std::fs::File,
    _journal: Journal,
    events: SyncSender<Event>,
    counts: Arc<Counts>,
    pairs: Arc<Mutex<BTreeMap<LegId, Pair>>>,
    ports: BTreeMap<LegId, u16>,
    /// Inputs that follow from outputs, in their order.
    owed: VecDeque<Input<'static>>,
    /// Messages that the sockets refused.
    unsent: VecDeque<(Side, sip::Flow, Bytes)>,
    leads: u64,
    given: u64,
    orders: Orders,
    /// Of rounds before, for their room: outputs, and lines of the audit chain.
    outputs: Vec<Output>,
    lines: Vec<u8>,
}

impl Running {
    fn run(mut self, queue: &Receiver<Event>) {
        let mut woke = std::time::Instant::now();
        loop {
            let wait = self
                .engine
                .poll_timeout()
                .map_or(IDLE, |(at, _)| at.since(now().monotonic).min(IDLE));
            let mut next = match queue.recv_timeout(wait) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let last = std::mem::replace(&mut woke, std::time::Instant::now());
            for _ in 0..BURST {
                let Some(event) = next.take() else { break };
                if matches!(event, Event::Stop) {
                    return;
                }
                self.take(event);
                next = queue.try_recv().ok();
            }
            let more = next.is_some();
            if let Some(event) = next {
                self.take(event);
            }
            let now = now();
            if self
                .engine
                .poll_timeout()
                .is_some_and(|(at, _)| at <= now.monotonic)
            {
                self.engine.handle_timeout(now);
                self.drain();
                self.settle();
            }
            self.relay.flush();
            if !more && woke.duration_since(last) < 2 * GATHER {
                std::thread::sleep(GATHER);
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Sip(side, TransportEvent::Received { flow, bytes }) => {
                self.input(Input::Sip {
                    side,
                    flow,
                    bytes: &bytes,
                });
            }
            Event::Sip(side, TransportEvent::Closed { flow }) => {
                self.input(Input::SipFlowLost {
                    side,
                    flow,
                    closed: true,
                });
            }
            Event::Sip(side, TransportEvent::Unsent { flow, bytes }) => {
                self.input(Input::SipUnsent {
                    side,
                    flow,
                    bytes: &bytes,
                    congested: false,
                });
            }
            Event::Sip(side, TransportEvent::SendFailed { flow }) => {
                self.input(Input::SipFlowLost {
                    side,
                    flow,
                    closed: false,
                });
            }
            Event::Media(event) => self.input(Input::Media(event)),
            Event::Persisted(token) => self.input(Input::Persisted(token)),
            Event::Recorded(attempt, recording) => {
                self.input(Input::Recorded(attempt, recording));
            }
            Event::Press(agent, command) => {
                if command == AgentCommand::LogIn {
                    self.input(Input::ScreenAttached(agent));
                }
                self.press(agent, command);
            }
            Event::Campaign(campaign) => {
                let changes = vec![DirectoryChange::Campaign(Arc::new(*campaign))];
                self.input(Input::Directory { index: 6, changes });
            }
            Event::Stop => {}
        }
    }

    fn press(&mut self, agent: AgentId, command: AgentCommand) {
        self.input(Input::Agent {
            agent,
            request: RequestId(u64::from(agent.0)),
            command,
        });
    }

    fn input(&mut self, input: Input<'_>) {
        self.input_once(input);
        self.settle();
    }

    /// Answers what the engine asked for.
    fn settle(&mut self) {
        loop {
            if let Some(input) = self.owed.pop_front() {
                self.input_once(input);
            } else if let Some((side, flow, bytes)) = self.unsent.pop_front() {
                self.input_once(Input::SipUnsent {
                    side,
                    flow,
                    bytes: &bytes,
                    congested: false,
                });
            } else {
                return;
            }
        }
    }

    fn input_once(&mut self, input: Input<'_>) {
        if let Err(refused) = self.engine.handle(now(), input) {
            self.counts.fail(&format!("refused: {refused}"));
        }
        self.drain();
    }

    /// As in the node: notes of the round are in the page cache before its first datagram leaves.
    fn drain(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut lines = std::mem::take(&mut self.lines);
        let mut notes = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Note(entry) => notes.push(encode(&entry)),
                Output::Audit(line) => lines.extend_from_slice(&line),
                output => outputs.push(output),
            }
        }
        if !lines.is_empty() {
            self.audit.write_all(&lines).expect("the audit chain");
        }
        if !notes.is_empty() {
            self.attempts
                .append(notes, Durability::Written)
                .expect("an entry is small");
        }
        for output in outputs.drain(..) {
            self.output(output);
        }
        lines.clear();
        (self.outputs, self.lines) = (outputs, lines);
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Note(_)
            | Output::Audit(_)
            | Output::Applied(_)
            | Output::Phone { .. }
            | Output::Called { .. }
            | Output::WhoCalls { .. }
            | Output::Learned { .. } => {}
            Output::Record(order) => {
                let head = RecordingHead {
                    attempt: order.attempt,
                    region: order.region,
                    node: MEMBER,
                    campaign: order.campaign,
                    agent: Some(order.agent),
                    codec: Codec::Pcma,
                    began_at: order.began_at,
                    key: order.key.id,
                };
                let key = order.key;
                if !self.orders.put(Order { head, key }) {
                    self.counts.fail("recording not ordered");
                }
            }
            // One line for each ready agent: the bench's campaign needs no share of a budget.
            Output::AskEscrow(_) => {}
            Output::Persist { token, entry } => self.persist(token, entry),
            Output::Transmit {
                side,
                flow,
                bytes,
                invite,
            } => {
                let sockets = match side {
                    Side::Trunks => &self.trunks,
                    Side::Agents => &self.agents,
                };
                let sent = sockets.send(flow, &bytes);
                if let Some(attempt) = invite {
                    self.input_once(Input::Sent(attempt));
                }
                if sent.is_err() {
                    self.unsent.push_back((side, flow, bytes));
                }
            }
            Output::Media(command) => self.media(command),
            // Its agents have SIP phones, and there is no other city.
            Output::Browser(_) | Output::Carry(_) | Output::WordTaken { .. } => {
                self.counts.fail("a word to nobody")
            }
            Output::Offer { .. } | Output::Say { .. } => self.counts.fail("a word to nobody"),
            Output::KeepAlive {
                region,
                session,
                sent_at,
            } => {
                self.owed.push_back(Input::SessionConfirmed {
                    region,
                    session,
                    sent_at,
                });
            }
            Output::AskFresh { sent_at, applied } => {
                self.owed.push_back(Input::Fresh {
                    sent_at,
                    index: applied,
                });
            }
            Output::Claim {
                region,
                campaign,
                n,
                ..
            } => self.claim(region, campaign, n),
            Output::Notice { agent, notice } => self.notice(agent, &notice),
            Output::Reply {
                result: Err(error), ..
            } => self.counts.fail(&error.code),
            Output::Reply { result: Ok(()), .. } => {}
            Output::Observed(Observed::Call(call::Observed::Joined { .. })) => {
                self.counts.bridged.fetch_add(1, Relaxed);
            }
            Output::Observed(Observed::Refused { rule }) => {
                self.counts.fail(&format!("denied: {rule}"))
            }
            Output::Observed(Observed::SentLate) => self.counts.fail("sent late"),
            Output::Observed(_) => {}
        }
    }

    fn persist(&mut self, token: Option<PersistToken>, entry: Entry) {
        let bytes = encode(&entry);
        if let Entry::Closed {
            outcome, record, ..
        } = &entry
        {
            match outcome {
                CallOutcome::Dialed {
                    disposition: Disposition::Agent(_),
                    ..
                } if record.as_ref().is_some_and(|r| r.bridged_at.is_some()) => {
                    self.counts.completed.fetch_add(1, Relaxed);
                }
                CallOutcome::Dialed { disposition, .. } => self.counts.fail(disposition.name()),
                CallOutcome::Undialed { .. } => self.counts.fail("undialed"),
                CallOutcome::Listed { .. } => self.counts.fail("listed"),
            }
        }
        let events = self.events.clone();
        let done = move |_| {
            if let Some(token) = token {
                // Refused only when the engine is gone.
                events.send(Event::Persisted(token)).ok();
            }
        };
        self.attempts
            .append_then(vec![bytes], Durability::SyncedSoon, done)
            .expect("an entry is small");
    }

    fn media(&mut self, command: MediaCommand) {
        let mut pairs = self.pairs.lock().unwrap_or_else(|p| p.into_inner());
        match &command {
            MediaCommand::Open { leg, port, .. } => _ = self.ports.insert(*leg, port.number()),
            MediaCommand::SetRemote { leg, addr, .. } => {
                if let Some(port) = self.ports.get(leg) {
                    pairs.insert(*leg, (*addr, SocketAddr::new(LOOPBACK, *port)));
                }
            }
            MediaCommand::Close { leg } => {
                self.ports.remove(leg);
                pairs.remove(leg);
            }
            _ => {}
        }
        if self.relay.send_later(command).is_err() {
            self.counts.fail("relay command lost");
        }
    }

    /// Leads, as the region's group would lease them.
    fn claim(&mut self, region: RegionId, campaign: CampaignId, n: u32) {
        let n = u64::from(n).min(self.leads - self.given);
        let leads: Vec<LeasedLead> = (self.given..self.given + n)
            .map(|k| LeasedLead {
                lead: LeadId::new(region, k + 1),
                attempt: AttemptId::new(region, 50 + k, 0),
                session: SESSION,
                campaign,
                list: ListId(1),
                number: format!("+1212{:07}", 2_000_000 + k)
                    .parse()
                    .expect("a number of New York"),
                zones: vec![domain::zones::find("America/New_York").expect("a zone of the tables")],
                attempt_count: 1,
                profile: LeadProfile {
                    name: format!("Person {k}"),
                    ..LeadProfile::default()
                },
            })
            .collect();
        self.given += n;
        let rest = leads.is_empty().then_some(Duration::from_secs(3_600));
        self.owed.push_back(Input::Claimed {
            region,
            campaign,
            leads,
            rest,
        });
    }

    /// The agents' habits: ready as soon as the leg is up, the disposition at once.
    fn notice(&mut self, agent: AgentId, notice: &AgentNotice) {
        let AgentNotice::State(status) = notice else {
            return;
        };
        let command = match (&status.state, status.phone) {
            (AgentState::Paused(_), Phone::Up) => {
                self.counts.ready.fetch_add(1, Relaxed);
                AgentCommand::Ready
            }
            (AgentState::WrapUp, _) => AgentCommand::Dispose {
                disposition: "sale".into(),
                note: String::new(),
                callback_at: None,
            },
            _ => return,
        };
        self.owed.push_back(Input::Agent {
            agent,
            request: RequestId(u64::from(agent.0)),
            command,
        });
    }

    fn take_directory(&mut self, plan: &Plan) {
        let copy = directory(plan);
        self.input(Input::Directory {
            index: 5,
            changes: vec![DirectoryChange::Reset(Box::new(copy))],
        });
        self.input(Input::SessionOpened {
            region: REGION,
            session: SESSION,
            ttl: TTL,
        });
    }
}

fn encode(entry: &Entry) -> Bytes {
    let room = Vec::with_capacity(512);
    Bytes::from(postcard::to_extend(entry, room).expect("entries are plain data"))
}

fn campaign(state: CampaignState) -> Campaign {
    Campaign {
        id: CAMPAIGN,
        name: "bench".into(),
        state,
        regions: Vec::new(),
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(20),
        talk_limit: Duration::from_secs(3_600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(30),
        auto_ready: true,
        rule_pack: "demo".into(),
        retry: Vec::new(),
        attempts_max: 3,
        dispositions: vec![AgentDisposition {
            name: "sale".into(),
            flags: DispositionFlags {
                contact: true,
                ..DispositionFlags::default()
            },
        }],
        default_disposition: DispositionCode(0),
        any_city_caller_id: true,
        version: 1,
    }
}

fn directory(plan: &Plan) -> DirectoryCopy {
    let caller_id = |k| CallerId {
        number: format!("+1212555{:04}", 100 + k)
            .parse()
            .expect("a number of New York"),
        trunk: TRUNK,
        caps: CallerIdCaps {
            per_day: 1_000_000,
            per_hour: 1_000_000,
        },
        resting: false,
    };
    let agent = |k| {
        let (login, password) = City::login(k);
        AgentAccount {
            id: AgentId(k),
            login,
            name: format!("Agent {k}"),
            node: MEMBER,
            campaigns: Vec::new(),
            sip_password: Secret::new(password),
            token_hash: String::new(),
            enabled: true,
        }
    };
    DirectoryCopy {
        campaigns: vec![Arc::new(campaign(CampaignState::Paused))],
        trunks: vec![Trunk {
            id: TRUNK,
            name: "sipp".into(),
            node: MEMBER,
            transport: SipTransport::Udp,
            address: SocketAddr::new(LOOPBACK, plan.carrier()).to_string(),
            domain: String::new(),
            auth: None,
            register: false,
            channels: 10_000,
            calls_per_second: plan.calls_per_second,
            number_format: NumberFormat::PlusE164,
            codecs: vec![Codec::Pcma],
            options_interval: Duration::ZERO,
            enabled: true,
            rank: 0,
        }],
        caller_ids: (0..CALLER_IDS).map(caller_id).collect(),
        agents: (1..=plan.agents).map(agent).collect(),
        dnc: Vec::new(),
        dnc_base: None,
        dnc_ages: Vec::new(),
        clearance: Vec::new(),
        answering: Vec::new(),
        levers: Vec::new(),
        drop_rate_groups: Vec::new(),
        hold_outs: Vec::new(),
        lead_orders: Vec::new(),
        voice_drops: Vec::new(),
        recordings: match plan.record {
            true => vec![(CAMPAIGN, Recording::All)],
            false => Vec::new(),
        },
        recording_key: (plan.record).then(|| RecordingPrivateKey::draw(now().wall).public()),
        manners: Vec::new(),
    }
}
