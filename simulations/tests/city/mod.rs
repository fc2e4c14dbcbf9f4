//! A node's engine on real trunk sockets; agents and their phones are in memory, and so is the relay.

pub(crate) mod sipp;

use bytes::Bytes;
use call::{AgentCommand, RequestId};
use domain::{
    AgentAccount, AgentDisposition, AgentId, AgentState, AttemptId, CallOutcome, CallRecord,
    CallerId, CallerIdCaps, Campaign, CampaignId, CampaignState, Codec, DialLevel, Disposition,
    DispositionCode, DispositionFlags, Instant, LeadId, LeadProfile, LeasedLead, LegId, ListId,
    MemberId, Now, NumberFormat, PacingMode, PhoneNumber, RegionId, Secret, SessionId,
    SipTransport, Trunk, TrunkId, TrunkTarget, WallTime, status::TrunkTrouble,
};
use engine::{
    DirectoryChange, DirectoryCopy, Engine, EngineConfig, Entry, Input, Observed, Output, Side,
};
use media::{MediaCommand, MediaEvent, Port};
use sansio::Seed;
use simulations::world::WorldConfig;
use sip::{
    Credentials, Endpoint, EndpointConfig, Flow, Registration, SipEvent,
    sdp::{Direction, LocalMedia},
};
use sip_transport::{Exporter, Limits, Listener, SipSockets, Strangers, Tls, TransportEvent};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

const MEMBER: MemberId = MemberId(2);
const REGION: RegionId = RegionId(1);
const SESSION: SessionId = SessionId(9);
const CAMPAIGN: CampaignId = CampaignId(1);

/// The node: engine and trunk sockets as in the product; agents and their phones in memory.
pub(crate) struct City {
    pub(crate) began: std::time::Instant,
    engine: Engine,
    sockets: SipSockets,
    /// Where the sockets' streams run.
    _runtime: Runtime,
    wire: Receiver<(Side, TransportEvent)>,
    events: SyncSender<(Side, TransportEvent)>,
    /// Sockets for phones, where a test opened them.
    phone_sockets: Option<SipSockets>,
    phones: Endpoint,
    owed: VecDeque<Input<'static>>,
    /// Messages that the sockets refused.
    unsent: VecDeque<(Side, Flow, Bytes)>,
    ports: BTreeMap<LegId, Port>,
    leads: u64,
    /// The numbers of the leads, by their place; none when there are no more.
    numbers: fn(u64) -> Option<PhoneNumber>,
    pub(crate) records: Vec<CallRecord>,
    /// When the first INVITE of each attempt left.
    pub(crate) dialed: BTreeMap<AttemptId, Duration>,
    /// When attempts left by each trunk, tries of trunks that are out too.
    pub(crate) by_trunk: BTreeMap<TrunkId, Vec<Duration>>,
    pub(crate) completed: u64,
    pub(crate) lost: BTreeMap<String, u64>,
    pub(crate) told: Vec<(Duration, TrunkId, Option<TrunkTrouble>)>,
    pub(crate) failed_over: u64,
}

/// An address of loopback that nothing is bound to.
pub(crate) fn free_port() -> SocketAddr {
    WorldConfig::free_address().expect("loopback has a free port")
}

fn described(port: u16) -> LocalMedia {
    LocalMedia {
        session_id: 1,
        version: 1,
        address: SocketAddr::new([127, 0, 0, 1].into(), port),
        codecs: vec![Codec::Pcma],
        dtmf_payload: 101,
        direction: Direction::SendRecv,
        crypto: None,
    }
}

fn phone_flow() -> Flow {
    Flow {
        transport: SipTransport::Udp,
        local: "10.0.2.1:5060".parse().unwrap(),
        remote: "10.0.0.1:5062".parse().unwrap(),
    }
}

fn back(flow: Flow) -> Flow {
    Flow {
        transport: flow.transport,
        local: flow.remote,
        remote: flow.local,
    }
}

fn campaign() -> Campaign {
    Campaign {
        id: CAMPAIGN,
        name: "spring".into(),
        state: CampaignState::Running,
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
            flags: DispositionFlags::default(),
        }],
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    }
}

/// A trunk of the city.
pub(crate) fn trunk(id: u32, address: SocketAddr) -> Trunk {
    Trunk {
        id: TrunkId(id),
        name: format!("carrier{id}"),
        node: MEMBER,
        transport: SipTransport::Udp,
        address: address.to_string(),
        domain: String::new(),
        auth: None,
        register: false,
        channels: 200,
        calls_per_second: 30,
        number_format: NumberFormat::PlusE164,
        codecs: vec![Codec::Pcma],
        // The calls alone are to tell.
        options_interval: Duration::ZERO,
        enabled: true,
        rank: 1,
    }
}

pub(crate) fn caller_id(number: &str, trunk: u32) -> CallerId {
    CallerId {
        number: number.parse().unwrap(),
        trunk: TrunkId(trunk),
        caps: CallerIdCaps {
            per_day: 10_000,
            per_hour: 10_000,
        },
        resting: false,
    }
}

fn agent(n: u32) -> AgentAccount {
    AgentAccount {
        id: AgentId(n),
        login: format!("a{n}"),
        name: format!("Agent {n}"),
        node: MEMBER,
        campaigns: Vec::new(),
        sip_password: Secret::new("secret"),
        token_hash: String::new(),
        enabled: true,
    }
}

fn limits(strangers: Strangers) -> Limits {
    Limits {
        strangers,
        ..Limits::default()
    }
}

impl City {
    /// A city with these trunks and caller IDs, so many agents on shift, and leads with these numbers.
    pub(crate) fn start(
        copy: DirectoryCopy,
        agents: u32,
        numbers: fn(u64) -> Option<PhoneNumber>,
    ) -> Self {
        Self::start_with(copy, agents, numbers, None)
    }

    /// The same with TLS for trunks that want it.
    pub(crate) fn start_with(
        copy: DirectoryCopy,
        agents: u32,
        numbers: fn(u64) -> Option<PhoneNumber>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let address = free_port();
        let trunk_tls = tls.as_ref().map(|_| free_port());
        let (events, wire) = sync_channel(65_536);
        let listener = |transport, address| Listener { transport, address };
        let mut listeners = vec![
            listener(SipTransport::Udp, address),
            listener(SipTransport::Tcp, address),
        ];
        listeners.extend(trunk_tls.map(|address| listener(SipTransport::Tls, address)));
        let put = events.clone();
        let sink = move |event| put.try_send((Side::Trunks, event)).is_ok();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let within = runtime.enter();
        let sockets =
            SipSockets::bind_with(&listeners, limits(Strangers::Refused), tls, Arc::new(sink))
                .unwrap();
        drop(within);
        let engine = Engine::new(
            EngineConfig {
                member: MEMBER,
                regions: vec![REGION],
                trunk_address: address,
                trunk_advertised: address,
                trunk_tls: trunk_tls.map(|address| (address, address)),
                voucher: None,
                agent_address: "10.0.0.1:5062".parse().unwrap(),
                media_address: [127, 0, 0, 1].into(),
                media_ports: media::PortRange::new(20_000, 24_000).unwrap(),
                realm: "dialmesh".into(),
                md5_only: false,
                srtp: engine::SrtpConfig::default(),
                freshness: Duration::from_secs(30),
                safe_harbour: None,
                hold: media::PromptId::HOLD,
                voice_drops: Default::default(),
                call_backs: engine::CallBackConfig::default(),
                audit: permit::audit::Head::first(MEMBER),
                audit_numbers: permit::audit::NumberKey::new("test".into(), [7; 32]),
            },
            Seed::from_u64(1),
        );
        let mut phones = Endpoint::new(EndpointConfig::default(), Seed::from_u64(3));
        phones.set_peers([[10, 0, 0, 1].into()]);
        let mut city = Self {
            began: std::time::Instant::now(),
            engine,
            sockets,
            _runtime: runtime,
            wire,
            events,
            phone_sockets: None,
            phones,
            owed: VecDeque::new(),
            unsent: VecDeque::new(),
            ports: BTreeMap::new(),
            leads: 0,
            numbers,
            records: Vec::new(),
            dialed: BTreeMap::new(),
            by_trunk: BTreeMap::new(),
            completed: 0,
            lost: BTreeMap::new(),
            told: Vec::new(),
            failed_over: 0,
        };
        city.input(Input::Directory {
            index: 5,
            changes: vec![DirectoryChange::Reset(Box::new(DirectoryCopy {
                campaigns: vec![Arc::new(campaign())],
                agents: (1..=agents).map(agent).collect(),
                ..copy
            }))],
        });
        city.let_carriers_in();
        city.input(Input::SessionOpened {
            region: REGION,
            session: SESSION,
            ttl: Duration::from_secs(30),
        });
        for n in 1..=agents {
            let login = format!("a{n}");
            let registration = Registration {
                flow: phone_flow(),
                domain: "10.0.0.1:5062".into(),
                user: login.clone(),
                credentials: Some(Credentials {
                    username: login,
                    password: Secret::new("secret"),
                }),
                expires: Duration::from_secs(3_000),
            };
            let now = city.now();
            (city.phones)
                .register(now, TrunkId(100 + n), registration)
                .unwrap();
        }
        city.run(Duration::from_secs(2));
        for n in 1..=agents {
            city.input(Input::ScreenAttached(AgentId(n)));
            city.press(AgentId(n), AgentCommand::LogIn);
        }
        city
    }

    /// The name of a trunk leads there.
    pub(crate) fn locate(&mut self, trunk: TrunkId, name: &str, targets: Vec<TrunkTarget>) {
        let name = name.to_owned();
        self.input(Input::TrunkLocated {
            trunk,
            name,
            targets,
        });
        self.let_carriers_in();
    }

    /// Copies of the trunks' messages go there.
    pub(crate) fn export_to(&self, exporter: Arc<Exporter>) {
        self.sockets.export_to(exporter);
    }

    /// As the node does it.
    fn let_carriers_in(&self) {
        self.sockets.set_guests(self.engine.trunk_sources());
    }

    /// Where the trunks' side listens.
    pub(crate) fn trunk_address(&self) -> SocketAddr {
        self.sockets.bound()[0].address
    }

    /// Listens for phones on a real socket, beside those in memory.
    pub(crate) fn open_phones(&mut self) -> SocketAddr {
        let listener = Listener {
            transport: SipTransport::Udp,
            address: free_port(),
        };
        let put = self.events.clone();
        let sink = move |event| put.try_send((Side::Agents, event)).is_ok();
        let within = self._runtime.enter();
        let sockets = SipSockets::bind(&[listener], limits(Strangers::Metered), Arc::new(sink));
        drop(within);
        let sockets = sockets.unwrap();
        sockets.set_guests([]);
        self.phone_sockets = Some(sockets);
        listener.address
    }

    fn now(&self) -> Now {
        let spent = self.began.elapsed();
        Now {
            monotonic: Instant::from_millis(1_000_000) + spent,
            wall: WallTime::from_millis(1_795_300_000_000) + spent,
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
        let now = self.now();
        self.engine.handle(now, input).unwrap();
        self.drain();
        loop {
            let now = self.now();
            if let Some(input) = self.owed.pop_front() {
                self.engine.handle(now, input).unwrap();
            } else if let Some((side, flow, bytes)) = self.unsent.pop_front() {
                let unsent = Input::SipUnsent {
                    side,
                    flow,
                    bytes: &bytes,
                    congested: false,
                };
                self.engine.handle(now, unsent).unwrap();
            } else {
                return;
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.output(output);
        }
    }

    fn output(&mut self, output: Output) {
        let spent = self.began.elapsed();
        match output {
            Output::Transmit {
                side: Side::Trunks,
                flow,
                bytes,
                invite,
            } => {
                let sent = self.sockets.send(flow, &bytes);
                if let Some(attempt) = invite {
                    self.owed.push_back(Input::Sent(attempt));
                }
                if sent.is_err() {
                    self.unsent.push_back((Side::Trunks, flow, bytes));
                }
            }
            Output::Transmit { flow, bytes, .. } if flow.local.ip().is_loopback() => {
                let sockets = self.phone_sockets.as_ref().unwrap();
                sockets.send(flow, &bytes).unwrap();
            }
            Output::Transmit { flow, bytes, .. } => {
                let (flow, bytes) = (back(flow), &bytes[..]);
                let now = self.now();
                let heard = sip::Input::Received { flow, bytes };
                self.phones.handle(now, heard).unwrap();
            }
            Output::Note(Entry::Dialing(record)) => {
                self.dialed.entry(record.attempt).or_insert(spent);
                let left = self.by_trunk.entry(record.trunk.unwrap()).or_default();
                left.push(spent);
            }
            Output::Persist { token, entry } => {
                if let Some(token) = token {
                    self.owed.push_back(Input::Persisted(token));
                }
                match entry {
                    Entry::Closed {
                        outcome: CallOutcome::Dialed { disposition, .. },
                        record,
                        ..
                    } => {
                        self.records.extend(record.map(|record| *record));
                        match disposition {
                            Disposition::Agent(_) => self.completed += 1,
                            other => *self.lost.entry(other.name().to_owned()).or_default() += 1,
                        }
                    }
                    Entry::Closed { outcome, .. } => panic!("given back: {outcome:?}"),
                    _ => {}
                }
            }
            Output::Media(MediaCommand::Open { leg, port, .. }) => {
                self.ports.insert(leg, port);
            }
            Output::Media(MediaCommand::Close { leg }) => {
                let port = self.ports.remove(&leg).unwrap();
                self.owed.push_back(Input::Media(MediaEvent::Closed {
                    leg,
                    port,
                    stats: Default::default(),
                    detail: Default::default(),
                }));
            }
            Output::KeepAlive {
                region,
                session,
                sent_at,
            } => self.owed.push_back(Input::SessionConfirmed {
                region,
                session,
                sent_at,
            }),
            Output::AskFresh { sent_at, applied } => {
                let index = applied;
                self.owed.push_back(Input::Fresh { sent_at, index });
            }
            Output::Claim { n, .. } => self.claim(n),
            Output::Notice { agent, notice } => self.notice(agent, &notice),
            Output::Reply { result, .. } => assert!(result.is_ok(), "{result:?}"),
            Output::Observed(Observed::TrunkHealth { trunk, trouble }) => {
                self.told.push((spent, trunk, trouble));
            }
            Output::Observed(Observed::FailedOver { .. }) => self.failed_over += 1,
            _ => {}
        }
    }

    fn claim(&mut self, n: u32) {
        let places = self.leads..self.leads + u64::from(n);
        let numbers = places.clone().zip(places.map_while(self.numbers));
        let leads: Vec<LeasedLead> = numbers
            .map(|(place, number)| LeasedLead {
                lead: LeadId::new(REGION, place + 1),
                attempt: AttemptId::new(REGION, 50 + place, 0),
                session: SESSION,
                campaign: CAMPAIGN,
                list: ListId(1),
                number,
                zones: vec![domain::zones::find("America/New_York").unwrap()],
                attempt_count: 1,
                profile: LeadProfile::default(),
            })
            .collect();
        self.leads += leads.len() as u64;
        let rest = leads.is_empty().then_some(Duration::from_secs(3_600));
        self.owed.push_back(Input::Claimed {
            region: REGION,
            campaign: CAMPAIGN,
            leads,
            rest,
        });
    }

    fn notice(&mut self, agent: AgentId, notice: &call::AgentNotice) {
        let call::AgentNotice::State(status) = notice else {
            return;
        };
        let command = match (&status.state, status.phone) {
            (AgentState::Paused(_), call::Phone::Up) => AgentCommand::Ready,
            (AgentState::WrapUp, _) => AgentCommand::Dispose {
                disposition: "sale".into(),
                note: String::new(),
                callback_at: None,
            },
            _ => return,
        };
        let request = RequestId(u64::from(agent.0));
        self.owed.push_back(Input::Agent {
            agent,
            request,
            command,
        });
    }

    /// Until so long after the start.
    pub(crate) fn run(&mut self, until: Duration) {
        while self.began.elapsed() < until {
            let now = self.now();
            let due = self
                .engine
                .poll_timeout()
                .map(|(at, _)| at.since(now.monotonic));
            let wait = due.unwrap_or_default().min(Duration::from_millis(20));
            let mut next = self.wire.recv_timeout(wait).ok();
            for _ in 0..256 {
                let Some((side, event)) = next.take() else {
                    break;
                };
                match event {
                    TransportEvent::Received { flow, bytes } => self.input(Input::Sip {
                        side,
                        flow,
                        bytes: &bytes,
                    }),
                    TransportEvent::Closed { flow } => self.input(Input::SipFlowLost {
                        side,
                        flow,
                        closed: true,
                    }),
                    TransportEvent::Unsent { flow, bytes } => self.input(Input::SipUnsent {
                        side,
                        flow,
                        bytes: &bytes,
                        congested: false,
                    }),
                    TransportEvent::SendFailed { flow } => self.input(Input::SipFlowLost {
                        side,
                        flow,
                        closed: false,
                    }),
                }
                next = self.wire.try_recv().ok();
            }
            let now = self.now();
            self.engine.handle_timeout(now);
            self.drain();
            while let Some(input) = self.owed.pop_front() {
                self.input(input);
            }
            self.let_phones_speak();
        }
    }

    fn let_phones_speak(&mut self) {
        let now = self.now();
        self.phones.handle_timeout(now);
        while let Some(output) = self.phones.poll_output() {
            match output {
                sip::Output::Transmit { flow, bytes, .. } => self.input(Input::Sip {
                    side: Side::Agents,
                    flow: back(flow),
                    bytes: &bytes,
                }),
                sip::Output::Event(SipEvent::Incoming { call, body, .. }) => {
                    let (answer, _) = described(30_000).answer(&body).unwrap();
                    self.phones.accept(now, call, answer.into()).unwrap();
                }
                sip::Output::Event(_) => {}
            }
        }
    }
}
