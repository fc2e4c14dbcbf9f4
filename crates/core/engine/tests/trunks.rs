//! One engine with several carriers, in virtual time: which trunk, when it is left, when it is back.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use bytes::Bytes;
use call::{AgentCommand, RequestId};
use domain::{
    AgentAccount, AgentDisposition, AgentId, AttemptId, Attestation, CallOutcome, CallRecord,
    CallerId, CallerIdCaps, Campaign, CampaignId, CampaignState, Codec, DialLevel, Disposition,
    DispositionCode, DispositionFlags, DncEntry, DncScope, DncSource, IdentityHeader, Instant,
    LeadId, LeadProfile, LeasedLead, LegId, ListId, MemberId, Now, NumberFormat, PacingMode,
    Privacy, RegionId, Secret, SessionId, SipTransport, Trunk, TrunkId, TrunkManner, TrunkSecurity,
    TrunkTarget, WallTime, status::TrunkTrouble,
};
use engine::{
    DirectoryChange, DirectoryCopy, Engine, EngineConfig, Entry, Input, LearnedOf, Observed,
    Output, Side,
};
use media::{MediaCommand, MediaEvent, Port, PortRange};
use sansio::Seed;
use sip::{
    CallHandle, Credentials, Endpoint, EndpointConfig, Flow, Registration, SipEvent,
    passport::{SIGNATURE_BYTES, Signer, Voucher},
    sdp::{Direction, LocalMedia},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

#[path = "trunks/standings.rs"]
mod standings;

const REGION: RegionId = RegionId(1);
const SESSION: SessionId = SessionId(9);
const CAMPAIGN: CampaignId = CampaignId(1);
const TTL: Duration = Duration::from_secs(30);
const US: &str = "10.0.0.1:5060";
const STEP: Duration = Duration::from_millis(10);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What a carrier does with new calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// 200 at once.
    Answers,
    /// 180 and nothing more.
    Rings,
    /// This status.
    Refuses(u16),
    /// 100, then this status.
    Late(u16),
    /// Its host is gone.
    Gone,
}

struct Carrier {
    endpoint: Endpoint,
    mode: Mode,
    /// When each call came, the number called and the INVITE.
    calls: Vec<(Instant, String, CallHandle)>,
    /// The text of INVITEs, repeated ones too.
    invites: Vec<String>,
    waiting: Vec<(CallHandle, u16)>,
}

struct World {
    now: Now,
    engine: Engine,
    carriers: BTreeMap<SocketAddr, Carrier>,
    phone: Endpoint,
    closed: BTreeMap<AttemptId, (Disposition, Option<CallRecord>)>,
    noted: Vec<CallRecord>,
    told: Vec<(Duration, TrunkId, Option<TrunkTrouble>)>,
    failed_over: Vec<TrunkId>,
    learned: Vec<(LearnedOf, Option<Vec<u8>>)>,
    ports: BTreeMap<LegId, Port>,
    leads: u64,
    index: u64,
    began: Instant,
    audit: permit::audit::Verifier,
    permitted: Vec<u64>,
}

fn trunk(id: u32, rank: u16) -> Trunk {
    Trunk {
        id: TrunkId(id),
        name: format!("carrier{id}"),
        node: MemberId(2),
        transport: SipTransport::Udp,
        address: format!("10.0.1.{id}:5060"),
        domain: String::new(),
        auth: None,
        register: false,
        channels: 50,
        calls_per_second: 2_000,
        number_format: NumberFormat::PlusE164,
        codecs: vec![Codec::Pcma],
        options_interval: Duration::ZERO,
        enabled: true,
        rank,
    }
}

fn caller_id(digits: u64, trunk: u32) -> CallerId {
    CallerId {
        number: format!("+{digits}").parse().unwrap(),
        trunk: TrunkId(trunk),
        caps: CallerIdCaps {
            per_day: 10_000,
            per_hour: 10_000,
        },
        resting: false,
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
        talk_limit: Duration::from_secs(600),
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

fn local(port: u16) -> LocalMedia {
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

fn back(flow: Flow) -> Flow {
    Flow {
        transport: flow.transport,
        local: flow.remote,
        remote: flow.local,
    }
}

impl World {
    /// Two carriers with these ranks, one caller ID of Beijing each.
    fn new(ranks: [u16; 2]) -> Self {
        Self::with(ranks, Vec::new())
    }

    fn with(ranks: [u16; 2], manners: Vec<(TrunkId, TrunkManner)>) -> Self {
        Self::vouched(ranks, manners, None)
    }

    /// The same with what calls are signed with.
    fn vouched(
        ranks: [u16; 2],
        manners: Vec<(TrunkId, TrunkManner)>,
        voucher: Option<Arc<Voucher>>,
    ) -> Self {
        let engine = Engine::new(
            EngineConfig {
                member: MemberId(2),
                regions: vec![REGION],
                trunk_address: at(US),
                trunk_advertised: at(US),
                trunk_tls: None,
                voucher,
                agent_address: at("10.0.0.1:5062"),
                media_address: [10, 0, 0, 1].into(),
                media_ports: PortRange::new(20_000, 20_400).unwrap(),
                realm: "dialmesh".into(),
                md5_only: false,
                srtp: engine::SrtpConfig::default(),
                freshness: TTL,
                safe_harbour: None,
                hold: media::PromptId::HOLD,
                voice_drops: Default::default(),
                call_backs: engine::CallBackConfig::default(),
                audit: permit::audit::Head::first(MemberId(2)),
                audit_numbers: permit::audit::NumberKey::new("test".into(), [7; 32]),
            },
            Seed::from_u64(1),
        );
        let ua = |seed| {
            let mut ua = Endpoint::new(EndpointConfig::default(), Seed::from_u64(seed));
            ua.set_peers([[10, 0, 0, 1].into()]);
            ua
        };
        let carrier = |id: u64| Carrier {
            endpoint: ua(10 + id),
            mode: Mode::Answers,
            calls: Vec::new(),
            invites: Vec::new(),
            waiting: Vec::new(),
        };
        let now = Now {
            monotonic: Instant::from_millis(1_000_000),
            wall: WallTime::from_millis(1_795_300_000_000),
        };
        let mut world = Self {
            now,
            engine,
            carriers: (1..=4)
                .map(|id| (at(&format!("10.0.1.{id}:5060")), carrier(id)))
                .collect(),
            phone: ua(3),
            closed: BTreeMap::new(),
            noted: Vec::new(),
            told: Vec::new(),
            failed_over: Vec::new(),
            learned: Vec::new(),
            ports: BTreeMap::new(),
            leads: 0,
            index: 5,
            began: now.monotonic,
            audit: permit::audit::Verifier::new(permit::audit::Head::first(MemberId(2))),
            permitted: Vec::new(),
        };
        let agent = |id: u32| AgentAccount {
            id: AgentId(id),
            login: format!("a{id}"),
            name: "Li".into(),
            node: MemberId(2),
            campaigns: Vec::new(),
            sip_password: Secret::new("secret"),
            token_hash: String::new(),
            enabled: true,
        };
        let copy = DirectoryCopy {
            campaigns: vec![Arc::new(campaign())],
            trunks: vec![trunk(1, ranks[0]), trunk(2, ranks[1])],
            caller_ids: vec![caller_id(861_088_880_001, 1), caller_id(861_088_880_002, 2)],
            agents: (1..=30).map(agent).collect(),
            manners,
            ..DirectoryCopy::default()
        };
        world.directory(DirectoryChange::Reset(Box::new(copy)));
        world.input(Input::SessionOpened {
            region: REGION,
            session: SESSION,
            ttl: TTL,
        });
        for id in 1..=30u32 {
            let login = format!("a{id}");
            let registration = Registration {
                flow: Flow {
                    transport: SipTransport::Udp,
                    local: at("10.0.2.1:5060"),
                    remote: at("10.0.0.1:5062"),
                },
                domain: "10.0.0.1:5062".into(),
                user: login.clone(),
                credentials: Some(Credentials {
                    username: login,
                    password: Secret::new("secret"),
                }),
                expires: Duration::from_secs(3_000),
            };
            let now = world.now;
            (world.phone)
                .register(now, TrunkId(100 + id), registration)
                .unwrap();
        }
        world.run(Duration::from_secs(3));
        world.told.clear();
        world
    }

    /// So many agents begin their shift.
    fn shifts(&mut self, agents: u32) {
        for id in 1..=agents {
            self.input(Input::ScreenAttached(AgentId(id)));
            self.press(id, AgentCommand::LogIn);
        }
        self.run(Duration::from_secs(1));
        for id in 1..=agents {
            self.press(id, AgentCommand::Ready);
        }
    }

    fn press(&mut self, agent: u32, command: AgentCommand) {
        self.input(Input::Agent {
            agent: AgentId(agent),
            request: RequestId(1),
            command,
        });
    }

    fn directory(&mut self, change: DirectoryChange) {
        self.index += 1;
        let (index, changes) = (self.index, vec![change]);
        self.input(Input::Directory { index, changes });
    }

    fn input(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input).unwrap();
        self.drain();
    }

    fn carrier(&mut self, id: u32) -> &mut Carrier {
        let address = at(&format!("10.0.1.{id}:5060"));
        self.carriers.get_mut(&address).unwrap()
    }

    /// Calls that were sent to a carrier, heard or not.
    fn sent(&mut self, id: u32) -> usize {
        let ids = self.carrier(id).invites.iter().filter_map(|invite| {
            let line = invite.lines().find(|line| line.starts_with("Call-ID:"));
            line.map(str::to_owned)
        });
        ids.collect::<BTreeSet<_>>().len()
    }

    fn calls(&mut self, id: u32) -> usize {
        self.carrier(id).calls.len()
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit {
                    side,
                    flow,
                    bytes,
                    invite,
                } => {
                    if let Some(attempt) = invite {
                        assert!(self.noted.iter().any(|noted| noted.attempt == attempt));
                        self.engine.handle(self.now, Input::Sent(attempt)).unwrap();
                    }
                    self.arrive(side, flow, &bytes);
                }
                Output::Note(Entry::Dialing(record)) => {
                    assert!(
                        self.permitted
                            .contains(&record.permission.as_ref().unwrap().sequence)
                    );
                    self.noted.push(*record);
                }
                Output::Audit(line) => {
                    self.permitted
                        .push(self.audit.line(&line).unwrap().sequence);
                }
                Output::Persist { token, entry } => {
                    if let Entry::Closed {
                        outcome:
                            CallOutcome::Dialed {
                                attempt,
                                disposition,
                                ..
                            },
                        record,
                        ..
                    } = entry
                    {
                        let ended = (disposition, record.map(|record| *record));
                        let twice = self.closed.insert(attempt, ended);
                        assert!(twice.is_none(), "one attempt, one end");
                    }
                    if let Some(token) = token {
                        self.engine
                            .handle(self.now, Input::Persisted(token))
                            .unwrap();
                    }
                }
                Output::Media(MediaCommand::Open { leg, port, .. }) => {
                    self.ports.insert(leg, port);
                }
                Output::Media(MediaCommand::Close { leg }) => {
                    let event = MediaEvent::Closed {
                        leg,
                        port: self.ports.remove(&leg).unwrap(),
                        stats: Default::default(),
                        detail: Default::default(),
                    };
                    self.engine.handle(self.now, Input::Media(event)).unwrap();
                }
                Output::KeepAlive {
                    region,
                    session,
                    sent_at,
                } => {
                    let confirmed = Input::SessionConfirmed {
                        region,
                        session,
                        sent_at,
                    };
                    self.engine.handle(self.now, confirmed).unwrap();
                }
                Output::AskFresh { sent_at, applied } => {
                    let index = applied;
                    let fresh = Input::Fresh { sent_at, index };
                    self.engine.handle(self.now, fresh).unwrap();
                }
                Output::Notice { agent, notice } => {
                    if let call::AgentNotice::State(status) = &notice
                        && status.state == domain::AgentState::WrapUp
                    {
                        let command = AgentCommand::Dispose {
                            disposition: "sale".into(),
                            note: String::new(),
                            callback_at: None,
                        };
                        let request = RequestId(2);
                        let pressed = Input::Agent {
                            agent,
                            request,
                            command,
                        };
                        self.engine.handle(self.now, pressed).unwrap();
                    }
                }
                Output::Observed(Observed::TrunkHealth { trunk, trouble }) => {
                    let after = self.now.monotonic.since(self.began);
                    self.told.push((after, trunk, trouble));
                }
                Output::Observed(Observed::FailedOver { trunk }) => self.failed_over.push(trunk),
                Output::Learned { of, bytes } => self.learned.push((of, bytes)),
                _ => {}
            }
        }
    }

    fn arrive(&mut self, side: Side, flow: Flow, bytes: &[u8]) {
        let back = back(flow);
        let input = sip::Input::Received { flow: back, bytes };
        if side == Side::Agents {
            return self.phone.handle(self.now, input).unwrap();
        }
        let carrier = self.carriers.get_mut(&flow.remote).unwrap();
        if bytes.starts_with(b"INVITE ") {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            carrier.invites.push(text);
        }
        if carrier.mode != Mode::Gone {
            carrier.endpoint.handle(self.now, input).unwrap();
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now.monotonic + span;
        while self.now.monotonic < end {
            self.now = self.now.plus(STEP);
            self.engine.handle_timeout(self.now);
            self.drain();
            let mut out = Vec::new();
            for carrier in self.carriers.values_mut() {
                out.extend(
                    carrier
                        .speak(self.now)
                        .into_iter()
                        .map(|o| (Side::Trunks, o)),
                );
            }
            self.phone.handle_timeout(self.now);
            while let Some(output) = self.phone.poll_output() {
                match output {
                    sip::Output::Transmit { flow, bytes, .. } => {
                        out.push((Side::Agents, (flow, bytes)));
                    }
                    sip::Output::Event(SipEvent::Incoming { call, body, .. }) => {
                        let (answer, _) = local(30_000).answer(&body).unwrap();
                        (self.phone).accept(self.now, call, answer.into()).unwrap();
                    }
                    sip::Output::Event(_) => {}
                }
            }
            for (side, (flow, bytes)) in out {
                let flow = back(flow);
                self.input(Input::Sip {
                    side,
                    flow,
                    bytes: &bytes,
                });
            }
        }
    }

    /// Leads of Beijing, one an attempt.
    fn lease(&mut self, n: u64) -> Vec<AttemptId> {
        self.lease_to(n, |place| format!("+86106{:07}", 1_000_000 + place))
    }

    /// One more attempt at the same number.
    fn lease_to_one_person(&mut self) -> AttemptId {
        self.lease_to(1, |_| "+861069999999".to_owned())[0]
    }

    fn lease_to(&mut self, n: u64, number: impl Fn(u64) -> String) -> Vec<AttemptId> {
        let leads: Vec<LeasedLead> = (self.leads..self.leads + n)
            .map(|place| LeasedLead {
                lead: LeadId::new(REGION, place + 1),
                attempt: AttemptId::new(REGION, 50 + place, 0),
                session: SESSION,
                campaign: CAMPAIGN,
                list: ListId(1),
                number: number(place).parse().unwrap(),
                zones: vec![domain::zones::find("Asia/Shanghai").unwrap()],
                attempt_count: 1,
                profile: LeadProfile::default(),
            })
            .collect();
        self.leads += n;
        let attempts = leads.iter().map(|lead| lead.attempt).collect();
        self.input(Input::Claimed {
            region: REGION,
            campaign: CAMPAIGN,
            leads,
            rest: None,
        });
        attempts
    }

    fn end(&self, attempt: AttemptId) -> (Disposition, u16, Option<TrunkId>) {
        let (disposition, record) = &self.closed[&attempt];
        let record = record.as_ref().unwrap();
        (*disposition, record.sip_status, record.trunk)
    }

    /// The first carrier refuses its first call.
    fn refuse(&mut self, status: &str, more: &str) {
        let invite = self.carrier(1).invites[0].clone();
        let line = |name: &str| {
            let found = invite.lines().find(|line| line.starts_with(name));
            found.unwrap().to_owned()
        };
        let refusal = format!(
            "SIP/2.0 {status}\r\n{}\r\n{}\r\n{};tag=t\r\n{}\r\n{}\r\n{more}Content-Length: 0\r\n\r\n",
            line("Via:"),
            line("From:"),
            line("To:"),
            line("Call-ID:"),
            line("CSeq:"),
        );
        let flow = Flow {
            transport: SipTransport::Udp,
            local: at(US),
            remote: at("10.0.1.1:5060"),
        };
        let side = Side::Trunks;
        let bytes = refusal.as_bytes();
        self.input(Input::Sip { side, flow, bytes });
    }

    /// Why a trunk is out, by the node's own word.
    fn trouble(&mut self, id: u32) -> Option<TrunkTrouble> {
        let status = self.engine.status(self.now);
        let seen = |t: &&domain::status::TrunkHealth| t.trunk == TrunkId(id);
        let trouble = status.trunk_health.iter().find(seen).unwrap().trouble;
        let up = status
            .trunks
            .iter()
            .find(|t| t.trunk == TrunkId(id))
            .unwrap()
            .up;
        assert_eq!(up, trouble.is_none());
        trouble
    }
}

impl Carrier {
    fn speak(&mut self, now: Now) -> Vec<(Flow, Bytes)> {
        if self.mode == Mode::Gone {
            return Vec::new();
        }
        self.endpoint.handle_timeout(now);
        for (call, status) in std::mem::take(&mut self.waiting) {
            self.endpoint.reject(now, call, status).unwrap();
        }
        let mut out = Vec::new();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                sip::Output::Transmit { flow, bytes, .. } => out.push((flow, bytes)),
                sip::Output::Event(SipEvent::Incoming { call, to, body, .. }) => {
                    self.calls.push((now.monotonic, to.user(), call));
                    let (answer, _) = local(31_000).answer(&body).unwrap();
                    let ua = &mut self.endpoint;
                    match self.mode {
                        Mode::Answers => ua.accept(now, call, answer.into()).unwrap(),
                        Mode::Rings => ua.ringing(now, call).unwrap(),
                        Mode::Refuses(status) => ua.reject(now, call, status).unwrap(),
                        Mode::Late(status) => self.waiting.push((call, status)),
                        Mode::Gone => {}
                    }
                }
                sip::Output::Event(_) => {}
            }
        }
        out
    }

    /// Hangs every call up.
    fn hang_up(&mut self, now: Now) {
        for (_, _, call) in &self.calls {
            let _over = self.endpoint.bye(now, *call, None).is_err();
        }
    }
}

#[test]
fn the_lower_rank_goes_first_and_the_next_when_it_is_full() {
    let mut world = World::new([2, 1]);
    let full = Trunk {
        channels: 3,
        ..trunk(2, 1)
    };
    world.directory(DirectoryChange::Trunk(Box::new(full)));
    world.shifts(5);
    world.lease(5);
    world.run(Duration::from_secs(1));
    assert_eq!((world.calls(2), world.calls(1)), (3, 2));
}

#[test]
fn trunks_of_a_rank_share_by_weight() {
    let manner = TrunkManner {
        weight: 400,
        ..TrunkManner::default()
    };
    let mut world = World::with([1, 1], vec![(TrunkId(1), manner)]);
    world.shifts(30);
    for _ in 0..10 {
        world.lease(30);
        world.run(Duration::from_secs(1));
        let now = world.now;
        world.carrier(1).hang_up(now);
        world.carrier(2).hang_up(now);
        world.run(Duration::from_millis(200));
    }
    let (heavy, light) = (world.calls(1), world.calls(2));
    assert_eq!(heavy + light, 300);
    assert!((220..260).contains(&heavy), "{heavy} of 300, 240 expected");
}

#[test]
fn a_call_that_fails_before_ringing_goes_to_the_next_trunk_within_its_attempt() {
    for mode in [Mode::Refuses(503), Mode::Late(500), Mode::Refuses(407)] {
        let mut world = World::new([1, 2]);
        world.carrier(1).mode = mode;
        world.shifts(1);
        let attempt = world.lease(1)[0];
        world.run(Duration::from_secs(1));
        assert_eq!((world.calls(1), world.calls(2)), (1, 1), "{mode:?}");
        assert_eq!(world.failed_over, [TrunkId(1)]);
        // Asked twice, written down twice, counted once.
        assert_eq!(world.permitted.len(), 2);
        let trunks: Vec<_> = world.noted.iter().map(|noted| noted.trunk).collect();
        assert_eq!(trunks, [Some(TrunkId(1)), Some(TrunkId(2))]);
        let status = world.engine.status(world.now);
        assert_eq!((status.total.attempts, status.lines.bridged), (1, 1));
        let now = world.now;
        world.carrier(2).hang_up(now);
        world.run(Duration::from_secs(3));
        let (disposition, status, trunk) = world.end(attempt);
        assert!(
            matches!(disposition, Disposition::Agent(_)),
            "{disposition:?}"
        );
        assert_eq!((status, trunk), (200, Some(TrunkId(2))));
    }
}

#[test]
fn it_is_tried_once_more_only_and_not_where_the_person_was_reached() {
    for (first, second, disposition, status, calls) in [
        (
            Mode::Refuses(503),
            Mode::Refuses(502),
            Disposition::CarrierFailure,
            502,
            (1, 1),
        ),
        (
            Mode::Refuses(486),
            Mode::Answers,
            Disposition::Busy,
            486,
            (1, 0),
        ),
        (
            Mode::Refuses(404),
            Mode::Answers,
            Disposition::Unallocated,
            404,
            (1, 0),
        ),
        (
            Mode::Refuses(484),
            Mode::Answers,
            Disposition::CarrierFailure,
            484,
            (1, 0),
        ),
        (
            Mode::Refuses(302),
            Mode::Answers,
            Disposition::CarrierFailure,
            302,
            (1, 0),
        ),
        (
            Mode::Refuses(503),
            Mode::Refuses(486),
            Disposition::Busy,
            486,
            (1, 1),
        ),
    ] {
        let mut world = World::new([1, 2]);
        (world.carrier(1).mode, world.carrier(2).mode) = (first, second);
        world.shifts(1);
        let attempt = world.lease(1)[0];
        world.run(Duration::from_secs(3));
        assert_eq!((world.calls(1), world.calls(2)), calls, "{first:?}");
        let (got, got_status, _) = world.end(attempt);
        assert_eq!((got, got_status), (disposition, status), "{first:?}");
    }
}

#[test]
fn a_call_that_another_trunk_failed_finds_a_place_among_new_ones() {
    let mut world = World::new([2, 1]);
    let slow = Trunk {
        calls_per_second: 20,
        ..trunk(2, 1)
    };
    world.directory(DirectoryChange::Trunk(Box::new(slow)));
    world.carrier(1).mode = Mode::Refuses(503);
    world.shifts(30);
    world.lease(30);
    world.run(2 * STEP);
    // Two at a moment: one of the new ones, and the first that the other trunk failed.
    assert_eq!(world.sent(2), 2);
    assert_eq!(world.failed_over, [TrunkId(1)]);
}

#[test]
fn do_not_call_that_comes_in_between_stops_the_second_invite() {
    let mut world = World::new([1, 2]);
    world.carrier(1).mode = Mode::Gone;
    world.shifts(1);
    let attempt = world.lease(1)[0];
    world.run(Duration::from_secs(1));
    let entry = DncEntry {
        number: "+861061000000".parse().unwrap(),
        scope: DncScope::Mesh,
        source: DncSource::Agent,
        added_at: world.now.wall,
    };
    let index = world.index + 1;
    world.directory(DirectoryChange::Dnc {
        added: vec![(entry, index)],
        removed: Vec::new(),
    });
    world.refuse("503 Service Unavailable", "");
    world.run(Duration::from_secs(3));
    assert_eq!(world.carrier(2).invites.len(), 0);
    assert_eq!(world.closed[&attempt].0, Disposition::Cancelled);
}

#[test]
fn the_next_trunk_shows_its_own_number_or_none_is_dialed() {
    let mut world = World::new([1, 2]);
    world.carrier(1).mode = Mode::Refuses(503);
    // The second trunk's number is of another city now: not local, and the campaign says nothing.
    let gone = vec!["+861088880002".parse().unwrap()];
    world.directory(DirectoryChange::CallerIdsRemoved(gone));
    let far = vec![caller_id(862_188_880_002, 2)];
    world.directory(DirectoryChange::CallerIds(far));
    world.shifts(1);
    let attempt = world.lease(1)[0];
    world.run(Duration::from_secs(3));
    assert_eq!((world.calls(1), world.calls(2)), (1, 0));
    assert_eq!(world.end(attempt).0, Disposition::CarrierFailure);
    let any = Campaign {
        any_city_caller_id: true,
        ..campaign()
    };
    world.directory(DirectoryChange::Campaign(Arc::new(any)));
    world.lease(1);
    world.run(Duration::from_secs(3));
    assert_eq!((world.calls(1), world.calls(2)), (2, 1));
    let invite = world.carrier(2).invites[0].clone();
    assert!(invite.contains("From: <sip:+862188880002@"), "{invite}");
}

#[test]
fn a_share_is_held_out_by_lot_with_the_nodes_own_numbers_and_the_record_says_so() {
    use domain::{Arm, Presence};
    let mut world = World::new([1, 2]);
    for id in [1, 2] {
        world.carrier(id).mode = Mode::Rings;
    }
    world.directory(DirectoryChange::HoldOut(CAMPAIGN, 20));
    world.shifts(30);
    // Without a number that is not local there is nothing to compare.
    world.lease(3);
    world.run(Duration::from_secs(3));
    let plain = Some(Presence {
        local: true,
        trial: None,
    });
    let noted: Vec<_> = world.noted.drain(..).map(|r| r.presence).collect();
    assert_eq!(noted, [plain; 3]);
    let far = caller_id(862_188_880_009, 2);
    world.directory(DirectoryChange::CallerIds(vec![far]));
    world.lease(27);
    world.run(Duration::from_secs(3));
    let noted: Vec<CallRecord> = world.noted.drain(..).collect();
    assert_eq!(noted.len(), 27);
    let mut held = 0;
    for record in &noted {
        let out = numbering::is_held_out(record.attempt, 20);
        held += usize::from(out);
        let arm = if out { Arm::HeldOut } else { Arm::Local };
        let presence = Presence {
            local: !out,
            trial: Some(arm),
        };
        assert_eq!(record.presence, Some(presence), "{:?}", record.attempt);
        assert_eq!(record.caller_id == Some(far.number), out);
        // By the trunk whose number it is, the lower rank though it has.
        assert_eq!(record.trunk, Some(TrunkId(1 + u32::from(out))));
    }
    assert!((1..=12).contains(&held), "{held} of 27");
    let invites = &world.carrier(2).invites;
    let from = |invite: &&String| invite.contains("From: <sip:+862188880009@");
    assert_eq!(invites.iter().filter(from).count(), held);
    // Taken back, all are local again.
    world.directory(DirectoryChange::HoldOut(CAMPAIGN, 0));
    world.run(Duration::from_secs(60));
    world.noted.clear();
    world.lease(20);
    world.run(Duration::from_secs(3));
    assert!(!world.noted.is_empty());
    assert!(world.noted.iter().all(|record| record.presence == plain));
}

#[test]
fn a_failing_carrier_is_left_and_tried_by_one_call() {
    let mut world = World::new([1, 2]);
    world.carrier(1).mode = Mode::Refuses(500);
    world.carrier(2).mode = Mode::Rings;
    world.shifts(30);
    world.lease(10);
    world.run(Duration::from_millis(500));
    assert_eq!(world.trouble(1), Some(TrunkTrouble::Errors));
    let calls = world.calls(1);
    assert!((3..=10).contains(&calls), "{calls}");
    assert_eq!(world.calls(2), 10, "none was lost");
    // After a second one call tries it, and rests it for two.
    world.run(Duration::from_millis(700));
    world.lease(5);
    world.run(Duration::from_millis(300));
    assert_eq!((world.calls(1), world.calls(2)), (calls + 1, 15));
    world.carrier(1).mode = Mode::Rings;
    world.run(Duration::from_millis(2_000));
    world.lease(1);
    world.run(Duration::from_millis(300));
    assert_eq!(world.trouble(1), None);
    world.lease(4);
    world.run(Duration::from_millis(300));
    assert_eq!((world.calls(1), world.calls(2)), (calls + 6, 15));
    let told: Vec<_> = world.told.iter().map(|(_, id, why)| (id.0, *why)).collect();
    assert_eq!(told, [(1, Some(TrunkTrouble::Errors)), (1, None)]);
}

#[test]
fn a_carrier_whose_host_is_gone_is_left_within_a_second() {
    let mut world = World::new([1, 2]);
    world.carrier(2).mode = Mode::Rings;
    world.shifts(30);
    world.lease(5);
    world.run(Duration::from_secs(1));
    assert_eq!(world.calls(1), 5);
    world.carrier(1).mode = Mode::Gone;
    let gone = world.now.monotonic;
    // A call each 100 ms.
    let mut caught = Vec::new();
    for _ in 0..20 {
        let lost = world.sent(1);
        caught.extend(world.lease(1));
        world.run(Duration::from_millis(100));
        if world.sent(1) == lost {
            break;
        }
    }
    assert!(world.now.monotonic.since(gone) <= Duration::from_secs(1));
    assert_eq!(world.trouble(1), Some(TrunkTrouble::Silent));
    // Those that it never answered stay with it: somebody's phone may ring.
    let lost = caught.len() - 1;
    world.run(Duration::from_millis(4_500));
    assert_eq!((world.calls(1), world.calls(2)), (5, 1));
    assert!(world.closed.is_empty(), "{:?}", world.closed);
    // One call tries it again, the next goes by the other.
    world.lease(1);
    world.run(Duration::from_millis(100));
    world.lease(1);
    world.run(Duration::from_millis(100));
    assert_eq!((world.calls(1), world.calls(2)), (5, 2));
    assert!(world.failed_over.is_empty());
    // It is there again: what is repeated reaches it, and any word makes it good.
    world.carrier(1).mode = Mode::Rings;
    world.run(Duration::from_secs(10));
    assert_eq!((world.calls(1), world.calls(2)), (5 + lost + 1, 2));
    assert_eq!(world.trouble(1), None);
    assert_eq!(world.permitted.len(), 5 + lost + 3, "one INVITE an attempt");
}

#[test]
fn an_invite_that_reached_nobody_goes_to_the_next_trunk_and_one_that_may_have_does_not() {
    let flow = |transport| Flow {
        transport,
        local: at(US),
        remote: at("10.0.1.1:5060"),
    };
    let side = Side::Trunks;
    let udp = flow(SipTransport::Udp);
    // After how long the datagram comes back; whether there was no room for it; what becomes of it.
    for (after, congested, invites, trouble) in [
        (50, false, 1, Some(TrunkTrouble::Unreachable)),
        (50, true, 1, None),
        (550, false, 0, None),
    ] {
        let mut world = World::new([1, 2]);
        world.carrier(1).mode = Mode::Gone;
        world.shifts(1);
        world.lease(1);
        world.run(Duration::from_millis(after));
        let invite = world.carrier(1).invites[0].clone();
        // As much of it as ICMP brings back, and the same with another branch.
        let bytes = &invite.as_bytes()[..300];
        let foreign = invite.replacen(";branch=z9hG4bK", ";branch=z9hG4bK1", 1);
        let foreign = &foreign.as_bytes()[..300];
        let unsent = |bytes| Input::SipUnsent {
            side,
            flow: udp,
            bytes,
            congested,
        };
        world.input(unsent(foreign));
        assert_eq!(world.carrier(2).invites.len(), 0);
        world.input(unsent(bytes));
        assert_eq!(world.carrier(2).invites.len(), invites, "{after} ms");
        assert_eq!(world.trouble(1), trouble, "{after} ms");
        world.input(unsent(bytes));
        assert_eq!(world.carrier(2).invites.len(), invites, "told once more");
    }
    // A stream that breaks may have brought it.
    let mut world = World::new([1, 2]);
    let stream = Trunk {
        transport: SipTransport::Tcp,
        ..trunk(1, 1)
    };
    world.directory(DirectoryChange::Trunk(Box::new(stream)));
    world.carrier(1).mode = Mode::Gone;
    world.shifts(1);
    let attempt = world.lease(1)[0];
    world.run(Duration::from_millis(50));
    assert_eq!(world.carrier(1).invites.len(), 1);
    let flow = flow(SipTransport::Tcp);
    let closed = true;
    world.input(Input::SipFlowLost { side, flow, closed });
    world.run(Duration::from_secs(3));
    assert_eq!(world.carrier(2).invites.len(), 0);
    assert_eq!(world.closed[&attempt].0, Disposition::TrunkFailure);
}

#[test]
fn retry_after_rests_a_trunk_for_that_time() {
    let mut world = World::new([1, 2]);
    world.carrier(1).mode = Mode::Gone;
    world.shifts(3);
    world.lease(1);
    world.run(Duration::from_millis(50));
    world.refuse("503 Service Unavailable", "Retry-After: 20\r\n");
    assert_eq!(world.trouble(1), Some(TrunkTrouble::RetryAfter));
    assert_eq!(world.carrier(2).invites.len(), 1, "at once, on the other");
    world.carrier(1).mode = Mode::Rings;
    world.run(Duration::from_secs(19));
    world.lease(1);
    world.run(Duration::from_millis(500));
    assert_eq!((world.calls(1), world.calls(2)), (0, 2));
    world.run(Duration::from_secs(1));
    world.lease(1);
    world.run(Duration::from_millis(500));
    assert_eq!((world.calls(1), world.trouble(1)), (1, None));
}

#[test]
fn a_trunk_without_options_or_registration_is_out_until_it_has_them_again() {
    let mut world = World::new([1, 2]);
    let watched = Trunk {
        options_interval: Duration::from_secs(2),
        ..trunk(1, 1)
    };
    world.directory(DirectoryChange::Trunk(Box::new(watched)));
    world.run(Duration::from_secs(5));
    assert_eq!(world.trouble(1), None);
    world.carrier(1).mode = Mode::Gone;
    world.run(Duration::from_secs(13));
    assert_eq!(world.trouble(1), Some(TrunkTrouble::NoOptions));
    world.shifts(1);
    world.lease(1);
    world.run(Duration::from_secs(1));
    assert_eq!((world.carrier(1).invites.len(), world.calls(2)), (0, 1));
    world.carrier(1).mode = Mode::Answers;
    world.run(Duration::from_secs(3));
    assert_eq!(world.trouble(1), None);
}

#[test]
fn numbers_and_identity_are_written_as_the_trunk_wants_them() {
    let manner = TrunkManner {
        called: Some("99#{dialed:86}".parse().unwrap()),
        shown: Some("{national:86}".parse().unwrap()),
        user_phone: true,
        identity: IdentityHeader::Preferred,
        privacy: Some(Privacy::None),
        ..TrunkManner::default()
    };
    let mut world = World::with([1, 2], vec![(TrunkId(1), manner)]);
    world.shifts(2);
    world.lease(1);
    world.run(Duration::from_millis(100));
    let invite = world.carrier(1).invites[0].clone();
    for line in [
        "INVITE sip:99%2301061000000@10.0.1.1:5060;user=phone SIP/2.0\r\n",
        "\r\nTo: <sip:99%2301061000000@10.0.1.1:5060;user=phone>\r\n",
        "\r\nFrom: <sip:1088880001@10.0.1.1:5060;user=phone>;tag=",
        "\r\nP-Preferred-Identity: <sip:1088880001@10.0.1.1:5060;user=phone>\r\n",
        "\r\nPrivacy: none\r\n",
        "\r\nContact: <sip:1088880001@",
    ] {
        assert!(invite.contains(line), "{line} in {invite}");
    }
    assert!(!invite.contains("P-Asserted-Identity"));
    // Changed while it runs: the next call is written so.
    let plain = Box::new(TrunkManner::default());
    world.directory(DirectoryChange::TrunkManner(TrunkId(1), plain));
    world.lease(1);
    world.run(Duration::from_millis(100));
    let invite = world.carrier(1).invites[1].clone();
    assert!(invite.starts_with("INVITE sip:+861061000001@10.0.1.1:5060 SIP/2.0\r\n"));
    assert!(invite.contains("\r\nP-Asserted-Identity: <sip:+861088880001@10.0.1.1:5060>\r\n"));
}

/// The first trunk is given by name, which leads to carriers 3 and 4 with these priorities.
fn by_name(world: &mut World, priorities: [u16; 2]) {
    let named = Trunk {
        address: "carrier.example".into(),
        ..trunk(1, 1)
    };
    world.directory(DirectoryChange::Trunk(Box::new(named)));
    assert_eq!(world.trouble(1), Some(TrunkTrouble::Unresolved));
    let target = |(id, priority)| TrunkTarget {
        priority,
        weight: 1,
        address: at(&format!("10.0.1.{id}:5060")),
    };
    let targets: Vec<TrunkTarget> = [3, 4].into_iter().zip(priorities).map(target).collect();
    for name in ["other.example", "carrier.example"] {
        assert_eq!(world.trouble(1), Some(TrunkTrouble::Unresolved));
        world.input(Input::TrunkLocated {
            trunk: TrunkId(1),
            name: name.into(),
            targets: targets.clone(),
        });
    }
    assert_eq!(world.trouble(1), None);
}

#[test]
fn a_call_that_one_address_of_a_name_refuses_goes_to_the_next_within_its_attempt() {
    let mut world = World::new([1, 2]);
    by_name(&mut world, [10, 20]);
    world.carrier(3).mode = Mode::Refuses(503);
    world.carrier(4).mode = Mode::Rings;
    world.shifts(30);
    world.lease(1);
    world.run(Duration::from_millis(500));
    let calls = |world: &mut World| [1, 2, 3, 4].map(|id| world.calls(id));
    assert_eq!(calls(&mut world), [0, 0, 1, 1]);
    assert_eq!(
        world.permitted.len(),
        2,
        "asked again for the second INVITE"
    );
    assert_eq!(world.failed_over, [TrunkId(1)]);
    assert!(
        world.carrier(4).invites[0].starts_with("INVITE sip:+861061000000@carrier.example SIP/2.0")
    );
    // Two more, and it rests; the trunk does not.
    world.lease(2);
    world.run(Duration::from_millis(500));
    world.lease(3);
    world.run(Duration::from_millis(500));
    assert_eq!(calls(&mut world), [0, 0, 3, 6]);
    assert_eq!(world.trouble(1), None);
    // It has rested, and takes calls again.
    world.carrier(3).mode = Mode::Rings;
    world.run(Duration::from_secs(32));
    world.lease(1);
    world.run(Duration::from_millis(500));
    assert_eq!(calls(&mut world), [0, 0, 4, 6]);
    // Silence: those attempts stay where they are, later ones go to the other address.
    world.carrier(3).mode = Mode::Gone;
    world.lease(2);
    world.run(Duration::from_secs(2));
    assert_eq!(calls(&mut world), [0, 0, 4, 6]);
    world.lease(1);
    world.run(Duration::from_millis(500));
    assert_eq!((calls(&mut world), world.trouble(1)), ([0, 0, 4, 7], None));
    // No address is left: then it is the trunk's failure, and the next trunk is asked.
    world.carrier(4).mode = Mode::Refuses(500);
    world.lease(1);
    world.run(Duration::from_millis(500));
    assert_eq!(calls(&mut world), [0, 1, 4, 8]);
}

#[test]
fn a_call_is_tried_at_so_many_addresses_and_one_other_trunk() {
    let mut world = World::new([1, 2]);
    by_name(&mut world, [10, 20]);
    for id in 2..=4 {
        world.carrier(id).mode = Mode::Refuses(500);
    }
    world.shifts(1);
    let attempt = world.lease(1)[0];
    world.run(Duration::from_secs(1));
    assert_eq!([1, 2, 3, 4].map(|id| world.calls(id)), [0, 1, 1, 1]);
    assert_eq!(world.closed[&attempt].0, Disposition::CarrierFailure);
    // Who answers at an address that the name led to may still hang up from there.
    world.carrier(4).mode = Mode::Answers;
    world.input(Input::TrunkLocated {
        trunk: TrunkId(1),
        name: "carrier.example".into(),
        targets: vec![TrunkTarget {
            priority: 0,
            weight: 0,
            address: at("10.0.1.4:5060"),
        }],
    });
    world.lease(1);
    world.run(Duration::from_secs(1));
    assert_eq!([1, 2, 3, 4].map(|id| world.calls(id)), [0, 1, 1, 2]);
}

#[test]
fn options_go_to_the_next_address_when_the_first_does_not_answer() {
    let mut world = World::new([1, 2]);
    by_name(&mut world, [10, 20]);
    let watched = Trunk {
        address: "carrier.example".into(),
        options_interval: Duration::from_secs(2),
        ..trunk(1, 1)
    };
    world.directory(DirectoryChange::Trunk(Box::new(watched)));
    world.run(Duration::from_secs(5));
    world.carrier(3).mode = Mode::Gone;
    world.run(Duration::from_secs(13));
    assert_eq!(world.trouble(1), None, "the other one is there");
    world.shifts(1);
    world.lease(1);
    world.run(Duration::from_secs(1));
    assert_eq!((world.carrier(3).invites.len(), world.calls(4)), (0, 1));
    world.carrier(4).mode = Mode::Gone;
    world.run(Duration::from_secs(13));
    assert_eq!(world.trouble(1), Some(TrunkTrouble::NoOptions));
    // One of them is there again: it is asked once it has rested.
    world.carrier(3).mode = Mode::Answers;
    world.run(Duration::from_secs(35));
    assert_eq!(world.trouble(1), None);
}

/// Signs what it is given with its length, unless it refuses.
#[derive(Debug)]
struct Stamp(bool);

impl Signer for Stamp {
    fn sign(&self, _now: WallTime, text: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        self.0.then_some([text.len() as u8; SIGNATURE_BYTES])
    }
}

#[test]
fn a_trunks_calls_are_signed_where_it_wants_them_so_and_else_do_not_leave() {
    let manner = TrunkManner {
        security: TrunkSecurity {
            attestation: Some(Attestation::A),
        },
        ..TrunkManner::default()
    };
    let world = |signs: Option<bool>| {
        let url = "https://cert.example.org/a.pem".parse().unwrap();
        let voucher = signs.map(|signs| Voucher::new(url, [7; 16], Box::new(Stamp(signs))));
        let manners = vec![(TrunkId(1), manner.clone())];
        let mut world = World::vouched([1, 2], manners, voucher.map(Arc::new));
        world.carrier(1).mode = Mode::Refuses(500);
        world.shifts(1);
        world.lease(1);
        world.run(Duration::from_millis(500));
        world
    };
    // Signed by the first trunk, which refuses it; the second one's calls are not signed.
    let mut signed = world(Some(true));
    let identities = |world: &mut World, id| -> Vec<bool> {
        let invites = world.carrier(id).invites.iter();
        let has = |invite: &String| {
            let lines = invite.lines().filter(|line| line.starts_with("Identity: "));
            let values: Vec<&str> = lines.collect();
            assert!(values.len() < 2);
            values.first().is_some_and(|value| {
                value.ends_with(";info=<https://cert.example.org/a.pem>;alg=ES256;ppt=shaken")
            })
        };
        invites.map(has).collect()
    };
    assert_eq!(identities(&mut signed, 1), [true]);
    assert_eq!(identities(&mut signed, 2), [false]);
    // The signer refuses: nothing leaves, by no trunk.
    let mut refused = world(Some(false));
    assert_eq!(refused.trouble(1), None);
    assert_eq!(
        (identities(&mut refused, 1), identities(&mut refused, 2)),
        (vec![], vec![])
    );
    let unsigned = refused
        .engine
        .status(refused.now)
        .refused
        .get("unsigned")
        .copied();
    assert!(unsigned.is_some_and(|count| count > 0));
    // No key: the trunk is out, and the other one is used.
    let mut keyless = world(None);
    assert_eq!(keyless.trouble(1), Some(TrunkTrouble::Unusable));
    assert_eq!(
        (identities(&mut keyless, 1), identities(&mut keyless, 2)),
        (vec![], vec![false])
    );
}
