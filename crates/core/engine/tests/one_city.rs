//! One engine against a modelled carrier and a modelled phone, in virtual time.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "one_city/in_call.rs"]
mod in_call;
#[path = "one_city/learning.rs"]
mod learning;
#[path = "one_city/secured.rs"]
mod secured;
#[path = "one_city/supervision.rs"]
mod supervision;

#[path = "one_city/overflow.rs"]
mod overflow;

use bytes::Bytes;
use call::{AgentCommand, AgentNotice, RequestId};
use domain::{
    AgentAccount, AgentDisposition, AgentId, AttemptId, CallerId, CallerIdCaps, Campaign,
    CampaignId, CampaignState, ClearanceFact, Codec, ConsentGrant, ConsentId, ConsentKind,
    DialLevel, Disposition, DispositionCode, DispositionFlags, DncEntry, DncScope, DncSource,
    Instant, LeadId, LeadProfile, LeasedLead, ListId, MemberId, Now, NumberFormat, PacingMode,
    PhoneNumber, RegionId, Secret, SessionId, SipTransport, Target, Trunk, TrunkAuth, TrunkId,
    WallTime,
    answering::{Greeting, Heard, Reason, Ringing, Verdict},
};
use engine::{
    CalledPerson, DirectoryChange, DirectoryCopy, Engine, EngineConfig, Entry, Input, LearnedOf,
    Observed, Output, PhoneAddress, Side,
};
use media::{MediaCommand, MediaEvent, PortRange};
use sansio::Seed;
use sip::{
    Credentials, Endpoint, EndpointConfig, Flow, Registration, SipEvent,
    sdp::{Direction, LocalCrypto, LocalMedia},
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

const REGION: RegionId = RegionId(1);
const SESSION: SessionId = SessionId(9);
const CAMPAIGN: CampaignId = CampaignId(1);
const AGENT: AgentId = AgentId(1);
const TTL: Duration = Duration::from_secs(30);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

/// What the modelled carrier does with a call, by the last digit of the number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Answers,
    Busy,
    Unallocated,
    Fails,
    RingsOn,
}

fn fate(to: &str) -> Fate {
    match to.chars().last() {
        Some('1') => Fate::Busy,
        Some('2') => Fate::RingsOn,
        Some('3') => Fate::Fails,
        Some('4') => Fate::Unallocated,
        _ => Fate::Answers,
    }
}

struct World {
    now: Now,
    engine: Engine,
    carrier: Endpoint,
    phone: Endpoint,
    notices: Vec<AgentNotice>,
    closed: BTreeMap<AttemptId, (Disposition, Option<domain::CallRecord>)>,
    undialed: Vec<AttemptId>,
    listed: Vec<(AttemptId, domain::DncBaseId)>,
    noted: Vec<AttemptId>,
    audit: permit::audit::Verifier,
    permitted: Vec<String>,
    invites: Vec<(Instant, AttemptId)>,
    opt_outs: usize,
    applied: u64,
    claims: u32,
    /// What went with each of them.
    chances: Vec<Option<Box<domain::Chances>>>,
    /// What was told to be kept of what the engine learned.
    learned: Vec<(LearnedOf, Option<Vec<u8>>)>,
    confirm: bool,
    /// How long the process stands still between an INVITE's datagram and the next look at the clock.
    pause: Duration,
    /// Leads of the region's group, handed out as they are claimed.
    stock: Option<Vec<LeasedLead>>,
    asked: Vec<u32>,
    asked_in: Vec<RegionId>,
    /// What the directory would grant of the abandonment budget; none while it does not answer.
    share: Option<u32>,
    /// The same of every other campaign than the first.
    other_share: u32,
    /// What the engine gave back of its shares.
    returned: u32,
    /// Calls that came to the far ends, and what each would be accepted with.
    incoming: Vec<(Side, sip::CallHandle, Bytes)>,
    /// Abandonments of the run, as the journal was told of each.
    abandoned: Vec<u64>,
    /// Where the engine said phones are.
    phones: BTreeMap<String, Option<PhoneAddress>>,
    /// What the relay was told, but for ends of legs.
    media: Vec<MediaCommand>,
    /// What the relay was told of browsers.
    browsers: Vec<media::BrowserCommand>,
    /// What is to be recorded.
    orders: Vec<engine::RecordingOrder>,
    /// What other nodes and the way to them were told.
    elsewhere: Vec<Output>,
    remembered: Vec<CalledPerson>,
    /// Nobody says who calls.
    mesh_is_silent: bool,
    /// What the far ends send with.
    theirs: BTreeMap<Side, LocalCrypto>,
    /// Names of settings that were said to be wrong, or not any more.
    problems: Vec<(String, bool)>,
}

fn flow(local: &str, remote: &str) -> Flow {
    Flow {
        transport: SipTransport::Udp,
        local: at(local),
        remote: at(remote),
    }
}

fn media_at(port: u16) -> LocalMedia {
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

fn campaign() -> Campaign {
    let flags = |do_not_call| DispositionFlags {
        contact: true,
        do_not_call,
        ..DispositionFlags::default()
    };
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
        dispositions: vec![
            AgentDisposition {
                name: "sale".into(),
                flags: flags(false),
            },
            AgentDisposition {
                name: "stop".into(),
                flags: flags(true),
            },
        ],
        default_disposition: DispositionCode(0),
        any_city_caller_id: true,
        version: 1,
    }
}

impl World {
    fn without_phone() -> Self {
        Self::with(engine::SrtpConfig::default(), directory())
    }

    fn with(srtp: engine::SrtpConfig, directory: DirectoryCopy) -> Self {
        let mut world = Self::made(srtp);
        world.enter(directory);
        world
    }

    /// The directory is known, and a session is open.
    fn enter(&mut self, directory: DirectoryCopy) {
        self.input(Input::Directory {
            index: 5,
            changes: vec![DirectoryChange::Reset(Box::new(directory))],
        });
        self.input(Input::SessionOpened {
            region: REGION,
            session: SESSION,
            ttl: TTL,
        });
    }

    /// A node that knows nothing yet.
    fn made(srtp: engine::SrtpConfig) -> Self {
        let engine = Engine::new(
            EngineConfig {
                member: MemberId(2),
                regions: vec![REGION],
                trunk_address: at("10.0.0.1:5060"),
                trunk_advertised: at("10.0.0.1:5060"),
                trunk_tls: Some((at("10.0.0.1:5061"), at("10.0.0.1:5061"))),
                voucher: None,
                agent_address: at("10.0.0.1:5062"),
                media_address: [10, 0, 0, 1].into(),
                media_ports: PortRange::new(20_000, 20_200).unwrap(),
                realm: "dialmesh".into(),
                md5_only: false,
                srtp,
                freshness: TTL,
                safe_harbour: None,
                hold: media::PromptId::HOLD,
                voice_drops: [(message(), media::PromptId::TONE)].into(),
                call_backs: engine::CallBackConfig::default(),
                audit: permit::audit::Head::first(MemberId(2)),
                audit_numbers: permit::audit::NumberKey::new("test".into(), [7; 32]),
            },
            Seed::from_u64(1),
        );
        let mut carrier = Endpoint::new(EndpointConfig::default(), Seed::from_u64(2));
        carrier.set_peers([[10, 0, 0, 1].into()]);
        let mut phone = Endpoint::new(EndpointConfig::default(), Seed::from_u64(3));
        phone.set_peers([[10, 0, 0, 1].into()]);
        let now = Now {
            monotonic: Instant::from_millis(1_000_000),
            wall: WallTime::from_millis(1_795_300_000_000),
        };
        Self {
            now,
            engine,
            carrier,
            phone,
            notices: Vec::new(),
            closed: BTreeMap::new(),
            undialed: Vec::new(),
            listed: Vec::new(),
            noted: Vec::new(),
            audit: permit::audit::Verifier::new(permit::audit::Head::first(MemberId(2))),
            permitted: Vec::new(),
            invites: Vec::new(),
            opt_outs: 0,
            applied: 0,
            claims: 0,
            chances: Vec::new(),
            learned: Vec::new(),
            confirm: true,
            pause: Duration::ZERO,
            stock: None,
            asked: Vec::new(),
            asked_in: Vec::new(),
            share: None,
            other_share: 0,
            returned: 0,
            incoming: Vec::new(),
            abandoned: Vec::new(),
            phones: BTreeMap::new(),
            media: Vec::new(),
            browsers: Vec::new(),
            orders: Vec::new(),
            elsewhere: Vec::new(),
            remembered: Vec::new(),
            mesh_is_silent: false,
            theirs: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    fn new() -> Self {
        let mut world = Self::without_phone();
        world.register(flow("10.0.2.1:5060", "10.0.0.1:5062"));
        world
    }

    /// The agent's phone registers that way.
    fn register(&mut self, flow: Flow) {
        let registration = Registration {
            flow,
            domain: "10.0.0.1:5062".into(),
            user: "li".into(),
            credentials: Some(Credentials {
                username: "li".into(),
                password: Secret::new("secret"),
            }),
            expires: Duration::from_secs(300),
        };
        (self.phone)
            .register(self.now, TrunkId(77), registration)
            .unwrap();
        self.run(Duration::from_secs(3));
    }

    fn input(&mut self, input: Input<'_>) {
        if let Err(refused) = self.engine.handle(self.now, input) {
            panic!("the engine refused: {refused}");
        }
        self.drain();
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
                        assert!(self.noted.contains(&attempt), "noted before it is sent");
                        let permitted = self.permitted.contains(&attempt.to_string());
                        assert!(permitted, "why is written before it is sent");
                        self.invites.push((self.now.monotonic, attempt));
                        self.now = self.now.plus(self.pause);
                        self.engine.handle(self.now, Input::Sent(attempt)).unwrap();
                    }
                    let back = Flow {
                        transport: flow.transport,
                        local: flow.remote,
                        remote: flow.local,
                    };
                    let peer = match side {
                        Side::Trunks => &mut self.carrier,
                        Side::Agents => &mut self.phone,
                    };
                    peer.handle(
                        self.now,
                        sip::Input::Received {
                            flow: back,
                            bytes: &bytes,
                        },
                    )
                    .unwrap();
                }
                Output::Note(Entry::Abandoned { total, .. }) => self.abandoned.push(total),
                Output::AskEscrow(question) => self.grant(&question),
                Output::Note(Entry::Dialing(record)) => self.noted.push(record.attempt),
                Output::Audit(line) => {
                    let line = self.audit.line(&line).expect("a chain without a flaw");
                    self.permitted.push(line.attempt);
                }
                Output::Note(_) => {}
                Output::Persist { token, entry } => {
                    match entry {
                        Entry::Closed {
                            outcome, record, ..
                        } => {
                            if let domain::CallOutcome::Dialed {
                                attempt,
                                disposition,
                                ..
                            } = outcome
                            {
                                let before = self
                                    .closed
                                    .insert(attempt, (disposition, record.map(|r| *r)));
                                assert!(before.is_none(), "one disposition an attempt");
                            } else {
                                self.undialed.push(outcome.attempt());
                            }
                            if let domain::CallOutcome::Listed { attempt, base, .. } = outcome {
                                self.listed.push((attempt, base));
                            }
                        }
                        Entry::OptOut(_) => self.opt_outs += 1,
                        _ => {}
                    }
                    if let Some(token) = token {
                        self.engine
                            .handle(self.now, Input::Persisted(token))
                            .unwrap();
                    }
                }
                Output::Media(MediaCommand::Close { leg }) => {
                    // The relay would say the port it was opened on; the pool only counts.
                    let port = media::Port::new(20_000).unwrap();
                    let stats = domain::LegStats {
                        received: 7,
                        ..Default::default()
                    };
                    let event = MediaEvent::Closed {
                        leg,
                        port,
                        stats,
                        detail: Default::default(),
                    };
                    self.engine.handle(self.now, Input::Media(event)).unwrap();
                }
                Output::Media(command) => self.media.push(command),
                // Its agents have SIP phones, supervisors have browsers.
                Output::Browser(command) => self.browsers.push(command),
                Output::Observed(Observed::Problem { problem, over }) => {
                    self.problems.push((problem.value, over));
                }
                Output::Called { person, .. } => self.remembered.push(*person),
                Output::WhoCalls { ask, .. } => {
                    if !self.mesh_is_silent {
                        let told = Input::CallerTold {
                            ask,
                            told: Box::default(),
                        };
                        self.engine.handle(self.now, told).unwrap();
                    }
                }
                Output::Observed(_) => {}
                output @ (Output::Carry(_)
                | Output::Offer { .. }
                | Output::Say { .. }
                | Output::WordTaken { .. }) => self.elsewhere.push(output),
                Output::KeepAlive {
                    region,
                    session,
                    sent_at,
                } if self.confirm => {
                    self.engine
                        .handle(
                            self.now,
                            Input::SessionConfirmed {
                                region,
                                session,
                                sent_at,
                            },
                        )
                        .unwrap();
                }
                Output::AskFresh { sent_at, applied } if self.confirm => {
                    self.engine
                        .handle(
                            self.now,
                            Input::Fresh {
                                sent_at,
                                index: applied,
                            },
                        )
                        .unwrap();
                }
                Output::KeepAlive { .. } | Output::AskFresh { .. } => {}
                Output::Learned { of, bytes } => self.learned.push((of, bytes)),
                Output::Claim {
                    n, region, chances, ..
                } => {
                    self.chances.push(chances);
                    self.asked_in.push(region);
                    self.claims += n;
                    self.asked.push(n);
                }
                Output::Notice { notice, .. } => self.notices.push(notice),
                Output::Reply { result, .. } => assert!(result.is_ok(), "{result:?}"),
                Output::Applied(index) => self.applied = index,
                Output::Record(order) => self.orders.push(*order),
                Output::Phone { login, phone } => _ = self.phones.insert(login, phone),
            }
        }
    }

    /// The directory's answer to an ask for shares.
    fn grant(&mut self, question: &permit::EscrowQuestion) {
        let Some(first) = &mut self.share else { return };
        let (others, returned) = (&mut self.other_share, &mut self.returned);
        let grants = question.lines.iter().map(|line| {
            let share = match line.campaign {
                CAMPAIGN => &mut *first,
                _ => &mut *others,
            };
            *returned += line.returned;
            let granted = line.want.min(*share);
            *share -= granted;
            domain::EscrowGrant {
                campaign: line.campaign,
                granted,
                keep: line.want,
                renewed: true,
            }
        });
        let (sequence, grants) = (question.sequence, grants.collect());
        let answered = Input::EscrowAnswered { sequence, grants };
        self.engine.handle(self.now, answered).unwrap();
    }

    /// The campaign dials three lines for each ready agent, as far as it may.
    fn ratio(&mut self) {
        self.paces(PacingMode::Ratio);
    }

    /// Paces the campaign that way, at three lines an agent.
    fn paces(&mut self, pacing: PacingMode) {
        let campaign = Campaign {
            pacing,
            dial_level: DialLevel(300),
            ..campaign()
        };
        self.input(Input::Directory {
            index: 6,
            changes: vec![DirectoryChange::Campaign(Arc::new(campaign))],
        });
    }

    /// Lets the modelled ends speak, and time pass.
    fn run(&mut self, span: Duration) {
        let end = self.now.monotonic + span;
        while self.now.monotonic < end {
            self.now = self.now.plus(Duration::from_millis(20));
            self.engine.handle_timeout(self.now);
            self.drain();
            for n in std::mem::take(&mut self.asked) {
                let Some(stock) = &mut self.stock else {
                    continue;
                };
                let given = stock.len().min(n as usize);
                let leads: Vec<LeasedLead> = stock.drain(..given).collect();
                let rest = (given < n as usize).then_some(Duration::from_secs(2));
                self.input(Input::Claimed {
                    region: REGION,
                    campaign: CAMPAIGN,
                    leads,
                    rest,
                });
            }
            for side in [Side::Trunks, Side::Agents] {
                let ua = if side == Side::Trunks {
                    &mut self.carrier
                } else {
                    &mut self.phone
                };
                ua.handle_timeout(self.now);
                let far = LocalMedia {
                    crypto: self.theirs.get(&side).cloned(),
                    ..media_at(30_000)
                };
                let mut out = Vec::new();
                while let Some(output) = ua.poll_output() {
                    match output {
                        sip::Output::Transmit { flow, bytes, .. } => out.push((flow, bytes)),
                        sip::Output::Event(event) => {
                            if let SipEvent::Incoming { call, body, .. } = &event {
                                let accepts = far.answer(body).map_or(Vec::new(), |(a, _)| a);
                                self.incoming.push((side, *call, Bytes::from(accepts)));
                            }
                            answer(ua, self.now, (side, &far), event);
                        }
                    }
                }
                for (flow, bytes) in out {
                    let flow = Flow {
                        transport: flow.transport,
                        local: flow.remote,
                        remote: flow.local,
                    };
                    self.engine
                        .handle(
                            self.now,
                            Input::Sip {
                                side,
                                flow,
                                bytes: &bytes,
                            },
                        )
                        .unwrap();
                }
                self.drain();
            }
        }
    }

    fn press(&mut self, command: AgentCommand) {
        self.input(Input::Agent {
            agent: AGENT,
            request: RequestId(1),
            command,
        });
    }

    fn shift(&mut self) {
        self.input(Input::ScreenAttached(AGENT));
        self.press(AgentCommand::LogIn);
        self.run(Duration::from_secs(1));
        self.press(AgentCommand::Ready);
    }

    /// The person of number 8000 calls.
    fn is_called(&mut self) -> sip::CallHandle {
        let uri = |user: &str| format!("sip:{user}@10.0.0.1");
        let invite = sip::Invite {
            flow: flow("10.0.1.1:5060", "10.0.0.1:5060"),
            request_uri: uri("+861088880001"),
            from: sip::Address::new(uri("+8613800138000")),
            to: sip::Address::new(uri("+861088880001")),
            contact_user: "carrier".into(),
            p_asserted_identity: None,
            headers: Vec::new(),
            body: Bytes::from(media_at(30_000).offer()),
            credentials: None,
            expires: None,
            valid_until: None,
            session_expires: None,
            reliable: false,
            follow_redirect: false,
        };
        self.carrier.invite(self.now, invite).unwrap()
    }

    fn lease(&mut self, last_digits: &[&str]) -> Vec<AttemptId> {
        let leads = Self::leads(last_digits);
        let attempts = leads.iter().map(|lead| lead.attempt).collect();
        self.input(Input::Claimed {
            region: REGION,
            campaign: CAMPAIGN,
            leads,
            rest: None,
        });
        attempts
    }

    fn leads(last_digits: &[&str]) -> Vec<LeasedLead> {
        (last_digits.iter().enumerate())
            .map(|(place, digits)| LeasedLead {
                lead: LeadId::new(REGION, place as u64 + 1),
                attempt: AttemptId::new(REGION, 50, place as u32),
                session: SESSION,
                campaign: CAMPAIGN,
                list: ListId(1),
                number: number(&format!("+861380013{digits}")),
                zones: vec![domain::zones::find("Asia/Shanghai").unwrap()],
                attempt_count: 1,
                profile: LeadProfile::default(),
            })
            .collect()
    }
}

fn directory() -> DirectoryCopy {
    DirectoryCopy {
        campaigns: vec![Arc::new(campaign())],
        trunks: vec![Trunk {
            id: TrunkId(1),
            name: "carrier".into(),
            node: MemberId(2),
            transport: SipTransport::Udp,
            address: "10.0.1.1:5060".into(),
            domain: String::new(),
            auth: Some(TrunkAuth {
                username: "u".into(),
                password: Secret::new("p"),
            }),
            register: false,
            channels: 10,
            calls_per_second: 100,
            number_format: NumberFormat::PlusE164,
            codecs: vec![Codec::Pcma],
            options_interval: Duration::ZERO,
            enabled: true,
            rank: 0,
        }],
        caller_ids: vec![CallerId {
            number: number("+861088880001"),
            trunk: TrunkId(1),
            caps: CallerIdCaps {
                per_day: 100,
                per_hour: 100,
            },
            resting: false,
        }],
        agents: vec![AgentAccount {
            id: AGENT,
            login: "li".into(),
            name: "Li".into(),
            node: MemberId(2),
            campaigns: Vec::new(),
            sip_password: Secret::new("secret"),
            token_hash: String::new(),
            enabled: true,
        }],
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
        recordings: Vec::new(),
        recording_key: None,
        manners: Vec::new(),
    }
}

/// What the far ends do with a call.
fn answer(ua: &mut Endpoint, now: Now, (side, far): (Side, &LocalMedia), event: SipEvent) {
    if let SipEvent::Incoming { call, to, body, .. } = event {
        let answer = match far.answer(&body) {
            Ok((answer, _)) => answer,
            Err(why) => {
                let refused = ua.reject_for(now, call, 488, &why.to_string());
                return refused.unwrap();
            }
        };
        match (side, fate(&to.user())) {
            (Side::Agents, _) | (Side::Trunks, Fate::Answers) => {
                ua.accept(now, call, Bytes::from(answer)).unwrap();
            }
            (Side::Trunks, Fate::Busy) => ua.reject(now, call, 486).unwrap(),
            (Side::Trunks, Fate::Unallocated) => ua.reject(now, call, 404).unwrap(),
            (Side::Trunks, Fate::Fails) => ua.reject(now, call, 503).unwrap(),
            (Side::Trunks, Fate::RingsOn) => ua.ringing(now, call).unwrap(),
        }
    }
}

#[test]
fn an_answered_person_is_bridged_and_disposed() {
    let mut world = World::new();
    assert_eq!(world.applied, 5);
    world.shift();
    world.run(Duration::from_millis(200));
    assert!(world.claims > 0, "an agent is ready: leads are asked for");
    let attempts = world.lease(&["8000"]);
    world.run(Duration::from_secs(1));
    assert_eq!(world.invites.len(), 1);
    let called = world
        .notices
        .iter()
        .any(|n| matches!(n, AgentNotice::Call(card) if card.attempt == attempts[0]));
    assert!(called, "{:?}", world.notices);
    world.press(AgentCommand::HangUp);
    world.run(Duration::from_secs(1));
    world.press(AgentCommand::Dispose {
        disposition: "sale".into(),
        note: "ok".into(),
        callback_at: None,
    });
    world.run(Duration::from_secs(3));
    let (disposition, record) = &world.closed[&attempts[0]];
    assert_eq!(*disposition, Disposition::Agent(DispositionCode(0)));
    let record = record.as_ref().unwrap();
    assert_eq!(record.disposition_name, "sale");
    assert_eq!(record.carrier_leg.unwrap().received, 7);
    assert!(record.bridged_at.is_some() && !record.sip_call_id.is_empty());
    assert_eq!(world.engine.live(), 0);
    let status = world.engine.status(world.now);
    assert_eq!(
        (
            status.total.attempts,
            status.total.bridged,
            status.agents.ready
        ),
        (1, 1, 1)
    );
}

/// A world that records each joined call, with one that is joined: its attempt.
fn joined_and_recorded(key: Option<domain::RecordingKey>) -> (World, AttemptId) {
    let mut world = World::new();
    let mut changes = vec![DirectoryChange::Recording(CAMPAIGN, domain::Recording::All)];
    changes.extend(key.map(DirectoryChange::RecordingKey));
    world.input(Input::Directory { index: 6, changes });
    world.shift();
    let attempt = world.lease(&["8000"])[0];
    world.run(Duration::from_secs(1));
    (world, attempt)
}

fn recording_key() -> domain::RecordingKey {
    domain::RecordingKey {
        id: domain::RecordingKeyId(1),
        public: [9; 32],
        created_at: WallTime::EPOCH,
    }
}

/// Hangs up and disposes at once; the call's record, if it is written within a moment.
fn over(world: &mut World, attempt: AttemptId) -> Option<domain::CallRecord> {
    world.press(AgentCommand::HangUp);
    world.press(AgentCommand::Dispose {
        disposition: "sale".into(),
        note: String::new(),
        callback_at: None,
    });
    world.run(Duration::from_millis(500));
    world
        .closed
        .get(&attempt)
        .and_then(|(_, record)| record.clone())
}

#[test]
fn a_joined_call_is_recorded_paused_and_its_record_waits_for_what_became_of_it() {
    let (mut world, attempt) = joined_and_recorded(Some(recording_key()));
    let [order] = world.orders[..] else {
        panic!("{:?}", world.orders);
    };
    assert_eq!((order.attempt, order.key), (attempt, recording_key()));
    let bridged = world
        .media
        .iter()
        .position(|c| matches!(c, MediaCommand::Bridge { .. }));
    let record = MediaCommand::Record {
        recording: attempt,
        agent: domain::LegId(call::AGENT_LEGS),
        person: domain::LegId(1),
    };
    let recorded = world.media.iter().position(|command| *command == record);
    assert!(bridged.is_some() && bridged < recorded, "{:?}", world.media);
    world.press(AgentCommand::RecordingPause);
    world.press(AgentCommand::RecordingPause);
    world.press(AgentCommand::RecordingResume);
    let pauses: Vec<bool> = (world.media.iter())
        .filter_map(|command| match command {
            MediaCommand::PauseRecording { paused, .. } => Some(*paused),
            _ => None,
        })
        .collect();
    assert_eq!(pauses, [true, false]);
    let states: Vec<_> = (world.notices.iter())
        .filter_map(|notice| match notice {
            AgentNotice::Recording { recording, .. } => Some(*recording),
            _ => None,
        })
        .collect();
    use call::RecordingState::{On, Paused};
    assert_eq!(states, [On, Paused, On]);
    assert_eq!(over(&mut world, attempt), None, "the file has no end yet");
    let told = domain::CallRecording {
        length_ms: 1_234,
        hash: Some([3; 32]),
        ..domain::CallRecording::only(domain::RecordingEnd::Whole)
    };
    world.input(Input::Recorded(attempt, told));
    let record = world.closed[&attempt].1.as_ref().unwrap();
    assert_eq!(record.recording, Some(told));
    assert_eq!(record.carrier_leg.unwrap().received, 7);
    assert_eq!(world.engine.live(), 0);
}

#[test]
fn a_recording_that_nobody_tells_of_holds_no_record_back_for_long() {
    let (mut world, attempt) = joined_and_recorded(Some(recording_key()));
    assert_eq!(over(&mut world, attempt), None);
    world.run(Duration::from_secs(2));
    let end = |world: &World| {
        world.closed[&attempt]
            .1
            .as_ref()
            .unwrap()
            .recording
            .map(|r| r.end)
    };
    assert_eq!(end(&world), Some(domain::RecordingEnd::Untold));
    // Without a key nothing is recorded, and the record says so at once.
    let (mut world, attempt) = joined_and_recorded(None);
    assert!(world.orders.is_empty());
    let record = over(&mut world, attempt).expect("nothing is waited for");
    let refused = domain::RecordingEnd::Refused;
    assert_eq!(record.recording.map(|r| r.end), Some(refused));
}

/// A world that listens to who answers, with one answered call: its attempt and leg.
fn answered_and_listened_to() -> (World, AttemptId, domain::LegId) {
    let mut world = World::new();
    world.input(Input::Directory {
        index: 6,
        changes: vec![DirectoryChange::Answering(
            CAMPAIGN,
            domain::AnsweringMachines::HangUp,
        )],
    });
    world.shift();
    let attempt = world.lease(&["8000"])[0];
    world.run(Duration::from_secs(1));
    let listens = |answered| {
        world.media.iter().find_map(|command| match command {
            MediaCommand::Listen { leg, answered: at } if *at == answered => Some(*leg),
            _ => None,
        })
    };
    let leg = listens(false).expect("from early media on");
    assert_eq!(listens(true), Some(leg), "and told of the answer");
    assert_eq!(world.engine.status(world.now).agents.reserved, 1);
    (world, attempt, leg)
}

fn told(world: &mut World, leg: domain::LegId, verdict: Verdict) -> domain::WhoAnswered {
    let who = domain::WhoAnswered {
        verdict,
        reason: Reason::GreetingEnded,
        took_ms: 1_100,
        greeting: Greeting {
            spoken_ms: 380,
            silence_ms: 660,
            utterances: 1,
            ..Greeting::default()
        },
    };
    let heard = Heard::Answered(who);
    world.input(Input::Media(MediaEvent::Heard { leg, heard }));
    who
}

#[test]
fn a_machine_is_hung_up_on_and_its_record_says_why() {
    let (mut world, attempt, leg) = answered_and_listened_to();
    let ringing = Verdict::Ringback(Ringing::China);
    let heard = Heard::Early(ringing);
    world.input(Input::Media(MediaEvent::Heard { leg, heard }));
    let who = told(&mut world, leg, Verdict::Machine);
    world.run(Duration::from_secs(3));
    let (disposition, record) = &world.closed[&attempt];
    assert_eq!(*disposition, Disposition::Machine);
    let record = record.as_ref().unwrap();
    let listened = record.listened.unwrap();
    assert_eq!(
        (listened.early, listened.answered),
        (Some(ringing), Some(who))
    );
    assert_eq!(record.ended_by, "caller");
    let called = |n: &AgentNotice| matches!(n, AgentNotice::Call(_));
    assert!(!world.notices.iter().any(called));
    assert_eq!(world.engine.status(world.now).agents.ready, 1);
    assert!(world.abandoned.is_empty(), "nobody was let down");
    // What comes late is about a call that ended.
    told(&mut world, leg, Verdict::Human);
    assert_eq!(world.engine.live(), 0);
}

/// The name of the one message that the node has.
fn message() -> domain::PromptName {
    "autumn".to_owned().try_into().unwrap()
}

#[test]
fn a_machine_hears_the_campaigns_message_after_its_beep() {
    use domain::VoiceDrop;
    // The rule pack of the test allows messages; that of the law does not. Nor has the node every prompt.
    let other: domain::PromptName = "winter".to_owned().try_into().unwrap();
    for (prompt, pack, want) in [
        (message(), "demo", VoiceDrop::Left),
        (message(), "us-federal", VoiceDrop::Forbidden),
        (other, "demo", VoiceDrop::NoPrompt),
    ] {
        let (mut world, attempt, leg) = answered_and_listened_to();
        let campaign = Campaign {
            rule_pack: pack.into(),
            ..campaign()
        };
        let changes = vec![
            DirectoryChange::Campaign(Arc::new(campaign)),
            DirectoryChange::VoiceDrop(CAMPAIGN, Some(prompt)),
        ];
        world.input(Input::Directory { index: 7, changes });
        told(&mut world, leg, Verdict::Machine);
        let left = want == VoiceDrop::Left;
        if left {
            // Settings that change before the beep are for the next machine.
            let changes = vec![DirectoryChange::VoiceDrop(CAMPAIGN, None)];
            world.input(Input::Directory { index: 8, changes });
            world.run(Duration::from_secs(5));
            assert_eq!(world.engine.live(), 1, "its greeting goes on");
            let heard = Heard::Beep;
            world.input(Input::Media(MediaEvent::Heard { leg, heard }));
            let prompt = media::PromptId::TONE;
            let plays = |command: &&MediaCommand| matches!(command, MediaCommand::Play { leg: at, prompt: what, repeat: false } if *at == leg && *what == prompt);
            assert_eq!(world.media.iter().filter(plays).count(), 1);
            let played = MediaEvent::Played {
                leg,
                prompt,
                finished: true,
            };
            world.input(Input::Media(played));
        }
        world.run(Duration::from_secs(3));
        let (disposition, record) = &world.closed[&attempt];
        let expected = match left {
            true => Disposition::MessageLeft,
            false => Disposition::Machine,
        };
        assert_eq!(*disposition, expected);
        let record = record.as_ref().unwrap();
        assert_eq!(record.voice_drop, Some(want));
        assert!(world.abandoned.is_empty(), "nobody was let down");
        assert_eq!(world.engine.status(world.now).agents.ready, 1);
    }
}

#[test]
fn a_rule_pack_chosen_during_the_greeting_forbids_the_message_after_it() {
    let (mut world, attempt, leg) = answered_and_listened_to();
    let ruled_by = |pack: &str| {
        DirectoryChange::Campaign(Arc::new(Campaign {
            rule_pack: pack.into(),
            ..campaign()
        }))
    };
    let message = DirectoryChange::VoiceDrop(CAMPAIGN, Some(message()));
    let changes = vec![ruled_by("demo"), message];
    world.input(Input::Directory { index: 7, changes });
    told(&mut world, leg, Verdict::Machine);
    assert_eq!(world.engine.live(), 1, "its beep is awaited");
    let changes = vec![ruled_by("us-federal")];
    world.input(Input::Directory { index: 8, changes });
    let heard = Heard::Beep;
    world.input(Input::Media(MediaEvent::Heard { leg, heard }));
    world.run(Duration::from_secs(3));
    let plays = |command: &MediaCommand| matches!(command, MediaCommand::Play { .. });
    assert!(!world.media.iter().any(plays), "{:?}", world.media);
    let (disposition, record) = &world.closed[&attempt];
    assert_eq!(*disposition, Disposition::Machine);
    let said = record.as_ref().unwrap().voice_drop;
    assert_eq!(said, Some(domain::VoiceDrop::Forbidden));
}

#[test]
fn a_person_is_given_to_the_agent_with_the_verdict_and_not_before() {
    let (mut world, attempt, leg) = answered_and_listened_to();
    let called = |n: &AgentNotice| matches!(n, AgentNotice::Call(card) if card.attempt == attempt);
    assert!(!world.notices.iter().any(called));
    told(&mut world, leg, Verdict::Human);
    assert!(world.notices.iter().any(called));
}

#[test]
fn a_relay_that_says_nothing_holds_nobody_back() {
    let (mut world, attempt, _) = answered_and_listened_to();
    let called = |n: &AgentNotice| matches!(n, AgentNotice::Call(card) if card.attempt == attempt);
    world.run(domain::limits::ANSWERING - Duration::from_secs(2));
    assert!(!world.notices.iter().any(called));
    world.run(Duration::from_secs(2));
    assert!(world.notices.iter().any(called));
}

#[test]
fn a_region_of_a_lost_city_is_claimed_from_while_it_is_helped() {
    let other = RegionId(9);
    let mut world = World::new();
    world.input(Input::SessionOpened {
        region: other,
        session: SessionId(77),
        ttl: TTL,
    });
    world.shift();
    world.run(Duration::from_secs(2));
    assert!(world.asked_in.contains(&REGION) && !world.asked_in.contains(&other));
    world.input(Input::Helped(vec![other]));
    world.run(Duration::from_secs(2));
    assert!(world.asked_in.contains(&other), "{:?}", world.asked_in);
    let now = world.now;
    let served = world.engine.status(now).sessions;
    assert_eq!(served.len(), 2);
    world.input(Input::Helped(Vec::new()));
    world.asked_in.clear();
    world.run(Duration::from_secs(2));
    assert!(!world.asked_in.contains(&other), "{:?}", world.asked_in);
}

#[test]
fn a_restarted_node_calls_a_phone_that_has_not_registered_again() {
    let phone = World::new().phones["li"].clone().expect("it registered");
    let is_called = |phones: Vec<PhoneAddress>| {
        let mut world = World::without_phone();
        world.input(Input::Phones(phones));
        world.input(Input::ScreenAttached(AGENT));
        world.press(AgentCommand::LogIn);
        world.run(Duration::from_secs(1));
        let up = |n: &AgentNotice| matches!(n, AgentNotice::State(s) if s.phone == call::Phone::Up);
        world.notices.iter().any(up)
    };
    assert!(is_called(vec![phone.clone()]));
    assert!(!is_called(Vec::new()), "nobody knows where it is");
    let over = PhoneAddress {
        expires: WallTime::from_millis(0),
        ..phone
    };
    assert!(!is_called(vec![over]), "its registration is over");
}

#[test]
fn failures_become_dispositions_and_the_agent_stays_ready() {
    let mut world = World::new();
    world.shift();
    let attempts = world.lease(&["8001", "8002"]);
    world.run(Duration::from_secs(40));
    assert_eq!(world.closed[&attempts[0]].0, Disposition::Busy);
    assert_eq!(world.closed[&attempts[1]].0, Disposition::NoAnswer);
    assert_eq!(world.engine.status(world.now).agents.ready, 1);
}

#[test]
fn do_not_call_cancels_what_rings_and_empties_the_hopper() {
    let mut world = World::new();
    world.shift();
    let attempts = world.lease(&["8002", "8012"]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 1, "one agent, one line");
    let entry = |digits: &str| DncEntry {
        number: number(&format!("+861380013{digits}")),
        scope: DncScope::Mesh,
        source: DncSource::Admin,
        added_at: WallTime::EPOCH,
    };
    let added = vec![(entry("8002"), 6), (entry("8012"), 6)];
    let changes = vec![DirectoryChange::Dnc {
        added,
        removed: Vec::new(),
    }];
    world.input(Input::Directory { index: 6, changes });
    assert_eq!(world.applied, 6);
    assert_eq!(world.undialed, [attempts[1]]);
    world.run(Duration::from_secs(5));
    assert_eq!(world.closed[&attempts[0]].0, Disposition::Cancelled);
    assert_eq!(world.invites.len(), 1);
}

#[test]
fn patterns_and_freezes_empty_the_hopper_and_cancel_what_rings() {
    let mut world = World::new();
    world.shift();
    let change = |index, fact| Input::Directory {
        index,
        changes: vec![DirectoryChange::Clearance(vec![fact])],
    };
    let prefix = "+861380013".parse().unwrap();
    let pattern = |index, there| change(index, ClearanceFact::Pattern(prefix, there));
    // 8002 rings on, 8012 waits in the hopper.
    let attempts = world.lease(&["8002", "8012"]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 1);
    world.input(pattern(6, true));
    world.run(Duration::from_secs(5));
    assert_eq!(world.closed[&attempts[0]].0, Disposition::Cancelled);
    assert_eq!(world.undialed, [attempts[1]]);
    // What comes while it holds is given back at once.
    world.undialed.clear();
    let attempts = world.lease(&["8022"]);
    assert_eq!(world.undialed, attempts);
    world.input(pattern(7, false));
    world.undialed.clear();
    world.closed.clear();
    let attempts = world.lease(&["8002"]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 2);
    // A freeze cancels too, and ends without a word: the lead that is leased after it is dialed.
    let until = world.now.wall + Duration::from_secs(60);
    let target = Target::Number(number("+8613800138002"));
    world.input(change(8, ClearanceFact::Freeze(target, Some(until))));
    world.run(Duration::from_secs(5));
    assert_eq!(world.closed[&attempts[0]].0, Disposition::Cancelled);
    world.undialed.clear();
    assert_eq!(world.lease(&["8002"]), world.undialed);
    world.run(until.since(world.now.wall));
    world.undialed.clear();
    world.lease(&["8002"]);
    world.run(Duration::from_secs(2));
    assert!(world.undialed.is_empty());
    assert_eq!(world.invites.len(), 3);
}

fn consent(digits: &str) -> ClearanceFact {
    let grant = ConsentGrant {
        id: ConsentId(4711),
        kind: ConsentKind::Form,
        until: None,
    };
    ClearanceFact::Consent(number(&format!("+861380013{digits}")), None, Some(grant))
}

#[test]
fn leads_wait_while_the_registry_is_older_than_the_rule_pack_allows() {
    use permit::base::BaseLookup as _;
    let mut world = World::new();
    let mut campaign = campaign();
    campaign.rule_pack = "us-federal".into();
    // Noon in Shanghai: the window is open.
    world.now.wall = WallTime::from_millis(1_795_320_000_000);
    let changes = vec![DirectoryChange::Campaign(Arc::new(campaign))];
    world.input(Input::Directory { index: 6, changes });
    world.shift();
    let old = base_of(&["9999"]);
    world.input(Input::DncBaseHere(old.clone()));
    let changes = vec![DirectoryChange::DncBase(Some(old.id()))];
    world.input(Input::Directory { index: 7, changes });
    world.lease(&["8002"]);
    world.run(Duration::from_secs(2));
    assert!(
        world.invites.is_empty() && world.undialed.is_empty(),
        "they wait"
    );
    let changes = vec![DirectoryChange::DncBase(None)];
    world.input(Input::Directory { index: 8, changes });
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 1);
}

#[test]
fn a_registry_of_31_days_is_good_to_the_second() {
    use permit::base::BaseLookup as _;
    let day = 86_400_000;
    // Noon in Shanghai: the window is open.
    let noon = 1_795_320_000_000;
    let invites = |second: i64| {
        let mut world = World::new();
        let mut campaign = campaign();
        campaign.rule_pack = "us-federal".into();
        world.now.wall = WallTime::from_millis(noon);
        let changes = vec![DirectoryChange::Campaign(Arc::new(campaign))];
        world.input(Input::Directory { index: 6, changes });
        world.shift();
        // It will be 31 days old by so much in a second.
        let built_at = world.now.wall.as_millis() + 1000 - 31 * day - second * 1000;
        let base = base_built(&["9999"], WallTime::from_millis(built_at));
        world.input(Input::DncBaseHere(base.clone()));
        let changes = vec![DirectoryChange::DncBase(Some(base.id()))];
        world.input(Input::Directory { index: 7, changes });
        world.run(Duration::from_secs(1));
        world.lease(&["8002"]);
        world.run(Duration::from_millis(200));
        world.invites.len()
    };
    assert_eq!((invites(-1), invites(1)), (1, 0));
}

#[test]
fn a_rule_pack_that_asks_for_consent_ends_what_rings() {
    let mut world = World::new();
    world.shift();
    let attempts = world.lease(&["8002"]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 1);
    let mut campaign = campaign();
    (campaign.rule_pack, campaign.version) = ("china".into(), 2);
    let changes = vec![DirectoryChange::Campaign(Arc::new(campaign))];
    world.input(Input::Directory { index: 6, changes });
    world.run(Duration::from_secs(5));
    assert_eq!(world.closed[&attempts[0]].0, Disposition::Cancelled);
}

#[test]
fn a_campaign_that_asks_for_consent_dials_nobody_without() {
    let mut world = World::new();
    world.shift();
    let change = |index, fact| Input::Directory {
        index,
        changes: vec![DirectoryChange::Clearance(vec![fact])],
    };
    world.input(change(6, consent("8002")));
    world.input(change(7, ClearanceFact::RequiresConsent(CAMPAIGN, true)));
    let attempts = world.lease(&["8002", "8012"]);
    assert_eq!(world.undialed, [attempts[1]], "nobody agreed there");
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 1);
    // Withdrawn while it rings; the record says by which consent it was dialed.
    let withdrawn = ClearanceFact::Consent(number("+8613800138002"), None, None);
    world.input(change(8, withdrawn));
    world.run(Duration::from_secs(5));
    assert_eq!(world.closed[&attempts[0]].0, Disposition::Cancelled);
    let record = world.closed[&attempts[0]].1.as_ref().unwrap();
    let used = record.consent.unwrap();
    assert_eq!((used.id, used.kind), (ConsentId(4711), ConsentKind::Form));
}

fn base_of(digits: &[&str]) -> Arc<permit::base::MemoryBase> {
    base_built(digits, WallTime::EPOCH)
}

fn base_built(digits: &[&str], built_at: WallTime) -> Arc<permit::base::MemoryBase> {
    let numbers = digits.iter().map(|d| number(&format!("+861380013{d}")));
    let about = permit::base::BaseAbout {
        source: "a registry".into(),
        built_at,
    };
    Arc::new(permit::base::MemoryBase::of(&numbers.collect(), about).unwrap())
}

#[test]
fn the_base_in_use_is_asked_and_without_it_nobody_is_dialed() {
    use permit::base::BaseLookup as _;
    let mut world = World::new();
    world.shift();
    let (first, second) = (base_of(&["8012"]), base_of(&["8022"]));
    let require = |index, base| Input::Directory {
        index,
        changes: vec![DirectoryChange::DncBase(base)],
    };
    // Put into use before it is here: leads wait.
    world.input(require(6, Some(first.id())));
    assert_eq!(world.applied, 6);
    let attempts = world.lease(&["8002", "8012"]);
    world.run(Duration::from_secs(2));
    assert!(world.invites.is_empty() && world.undialed.is_empty());
    world.input(Input::DncBaseHere(first.clone()));
    assert_eq!(world.undialed, [attempts[1]], "given back from the hopper");
    assert_eq!(world.listed, [(attempts[1], first.id())]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 1);
    // One step to another that is here already: what rings and is in it is cancelled.
    world.undialed.clear();
    let ringing = base_of(&["8002"]);
    world.input(Input::DncBaseHere(ringing.clone()));
    world.input(Input::DncBaseHere(second.clone()));
    assert_eq!(world.applied, 6);
    world.input(require(7, Some(ringing.id())));
    world.run(Duration::from_secs(5));
    assert_eq!(world.closed[&attempts[0]].0, Disposition::Cancelled);
    // A lead that comes later is given back at once.
    world.closed.clear();
    world.input(require(8, Some(second.id())));
    let attempts = world.lease(&["8022"]);
    assert_eq!(world.listed.last(), Some(&(attempts[0], second.id())));
    // One that is not here: what rings may be in it.
    world.undialed.clear();
    let ringing = world.lease(&["8002"]);
    world.run(Duration::from_secs(2));
    let invites = world.invites.len();
    world.input(require(9, Some(first.id())));
    world.run(Duration::from_secs(5));
    assert_eq!(world.invites.len(), invites);
    let absent = base_of(&["8032"]);
    assert_eq!(
        world.closed.len(),
        0,
        "{ringing:?} rings on, by a base that is here"
    );
    world.input(require(10, Some(absent.id())));
    world.run(Duration::from_secs(5));
    assert_eq!(world.closed[&ringing[0]].0, Disposition::Cancelled);
    world.closed.clear();
    // Out of use again.
    world.input(Input::DncBaseGone(second.id()));
    world.input(require(11, None));
    let before = world.invites.len();
    world.lease(&["8022"]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), before + 1);
}

#[test]
fn without_confirmation_the_last_invite_leaves_before_validity_ends() {
    let mut world = World::new();
    world.shift();
    world.run(Duration::from_secs(1));
    world.confirm = false;
    let cut = world.now.monotonic;
    for _ in 0..30 {
        world.lease(&["8001"]);
        world.run(Duration::from_secs(2));
        world.closed.clear();
    }
    let last = world.invites.last().unwrap().0;
    assert!(last > cut, "it goes on while it may");
    assert!(
        last <= cut + TTL,
        "and stops before its session could be another's"
    );
    assert!(
        !world.undialed.is_empty(),
        "what it may not dial it gives back"
    );
    assert_eq!(
        world.engine.status(world.now).mode,
        domain::status::NodeMode::Local
    );
}

#[test]
fn a_pause_over_the_windows_end_cancels_what_left_meanwhile() {
    // 21:00 in Shanghai, when the window of the `china` pack closes.
    let closing = WallTime::from_millis(1_795_352_400_000);
    for (pause, expected) in [(200, Disposition::NoAnswer), (600, Disposition::Cancelled)] {
        let mut world = World::new();
        let mut campaign = campaign();
        campaign.rule_pack = "china".into();
        let consents = ["8002", "8012"].map(consent).into();
        let changes = vec![
            DirectoryChange::Clearance(consents),
            DirectoryChange::Campaign(Arc::new(campaign)),
        ];
        world.input(Input::Directory { index: 6, changes });
        world.shift();
        world.now.wall = closing - Duration::from_millis(500);
        world.pause = Duration::from_millis(pause);
        let attempts = world.lease(&["8002"]);
        world.run(Duration::from_millis(100));
        assert_eq!(world.invites.len(), 1, "the window is open");
        world.run(Duration::from_secs(60));
        assert_eq!(world.closed[&attempts[0]].0, expected, "{pause} ms");
        world.lease(&["8012"]);
        world.run(Duration::from_secs(5));
        assert_eq!(world.invites.len(), 1, "and now it is closed");
    }
}

#[test]
fn what_an_earlier_run_showed_counts_against_the_caps() {
    // The caller ID may be shown 100 times an hour.
    for (shown, expected) in [(99, 1), (100, 0)] {
        let mut world = World::new();
        let times = vec![world.now.wall - Duration::from_secs(600); shown];
        let shown = BTreeMap::from([(number("+861088880001"), times)]);
        world.input(Input::Shown(shown));
        world.shift();
        world.lease(&["8002"]);
        world.run(Duration::from_secs(1));
        assert_eq!(world.invites.len(), expected);
    }
}

#[test]
fn an_agents_opt_out_binds_at_once() {
    let mut world = World::new();
    world.shift();
    let attempts = world.lease(&["8000"]);
    world.run(Duration::from_secs(1));
    world.press(AgentCommand::HangUp);
    world.press(AgentCommand::Dispose {
        disposition: "stop".into(),
        note: String::new(),
        callback_at: None,
    });
    world.run(Duration::from_secs(3));
    assert!(world.closed.contains_key(&attempts[0]));
    assert_eq!(world.opt_outs, 1);
    world.closed.clear();
    world.lease(&["8000"]);
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 1, "never dialed again");
}

#[test]
fn one_agent_reaches_every_lead_of_a_short_list() {
    let mut world = World::new();
    // An answer, two that fail at once, one more failure, and at the end one that rings on.
    world.stock = Some(World::leads(&["8000", "8001", "8004", "8003", "8002"]));
    world.shift();
    world.run(Duration::from_secs(2));
    world.press(AgentCommand::HangUp);
    world.press(AgentCommand::Dispose {
        disposition: "sale".into(),
        note: String::new(),
        callback_at: None,
    });
    world.run(Duration::from_secs(30));
    assert_eq!(world.invites.len(), 5, "{:?}", world.closed);
    assert_eq!(world.closed.len(), 5);
}

/// Dials one line for each ready agent, and wants whatever may be given up to be given up.
#[derive(Debug)]
struct Impatient;

impl pacing::Controller for Impatient {
    fn lines(&mut self, _: Instant, view: &pacing::View) -> u32 {
        view.ready.saturating_sub(view.lines.len() as u32)
    }

    fn give_up(&mut self, _: Instant, view: &pacing::View) -> Option<usize> {
        view.lines.iter().position(|line| line.cancellable)
    }
}

#[test]
fn a_line_is_given_up_once_it_rang_as_long_as_the_law_asks() {
    let mut world = World::new();
    world.shift();
    assert!(world.engine.pace_by(CAMPAIGN, Box::new(Impatient)));
    assert!(!world.engine.pace_by(CampaignId(99), Box::new(Impatient)));
    let attempts = world.lease(&["8002"]);
    world.run(Duration::from_secs(1));
    assert_eq!(world.invites.len(), 1, "it rings");
    let begun = world.invites[0].0;
    while world.closed.is_empty() {
        world.run(Duration::from_millis(100));
    }
    let (disposition, record) = &world.closed[&attempts[0]];
    assert_eq!(*disposition, Disposition::Cancelled);
    assert!(record.as_ref().unwrap().ringing_at.is_some());
    let lasted = world.now.monotonic.since(begun);
    // The campaign's own ring limit is 20 s.
    let (least, most) = (Duration::from_secs(15), Duration::from_secs(17));
    assert!((least..most).contains(&lasted), "{lasted:?}");
}

#[test]
fn without_a_share_each_line_has_an_agent_of_its_own() {
    let mut world = World::new();
    world.ratio();
    world.stock = Some(World::leads(&["8002", "8012", "8022", "8032"]));
    world.shift();
    world.run(Duration::from_secs(10));
    assert_eq!(world.invites.len(), 1, "three would be its level");
    assert_eq!(world.engine.status(world.now).agents.reserved, 1);
    // The directory answers, and has something to give: from then on it dials ahead.
    world.share = Some(9);
    world.run(Duration::from_secs(6));
    assert_eq!(world.invites.len(), 1, "its agent is kept for the line");
    world.run(Duration::from_secs(10));
    assert_eq!(world.invites.len(), 4, "the line rang out");
}

#[test]
fn while_predictive_pacing_is_young_each_line_keeps_its_agent() {
    let mut world = World::new();
    world.share = Some(30);
    world.paces(PacingMode::Predictive);
    world.stock = Some(World::leads(&["8002", "8012", "8022", "8032"]));
    world.run(Duration::from_secs(1));
    world.shift();
    world.run(Duration::from_secs(10));
    assert_eq!(world.invites.len(), 1);
    assert_eq!(world.engine.status(world.now).agents.reserved, 1);
}

#[test]
fn a_share_of_one_is_one_line_ahead_until_it_is_spent() {
    let mut world = World::new();
    world.share = Some(1);
    world.ratio();
    world.run(Duration::from_secs(1));
    world.stock = Some(World::leads(&["8000", "8010", "8020", "8030", "8040"]));
    world.shift();
    world.run(Duration::from_secs(2));
    assert_eq!(world.invites.len(), 2, "one more than agents");
    assert_eq!(world.abandoned, [] as [u64; 0]);
    world.run(Duration::from_secs(3));
    assert_eq!(world.abandoned, [1], "in the journal");
    assert_eq!(world.engine.abandonments_untold(), 1);
    for lines in 3..=4 {
        world.press(AgentCommand::HangUp);
        world.run(Duration::from_secs(1));
        world.press(AgentCommand::Dispose {
            disposition: "sale".into(),
            note: String::new(),
            callback_at: None,
        });
        world.run(Duration::from_secs(5));
        assert_eq!(world.invites.len(), lines, "one line an agent again");
    }
    assert_eq!(world.abandoned, [1]);
    world.run(Duration::from_secs(10));
    assert_eq!(world.engine.abandonments_untold(), 0, "the directory knows");
}

/// A lead whose number rings on, of another campaign than the first.
fn other_lead(campaign: CampaignId, place: u32) -> LeasedLead {
    LeasedLead {
        lead: LeadId::new(REGION, 100 + u64::from(place)),
        attempt: AttemptId::new(REGION, 60, place),
        campaign,
        number: number(&format!("+86138001391{place}2")),
        ..World::leads(&["8002"]).remove(0)
    }
}

#[test]
fn one_campaigns_lines_do_not_use_up_anothers_share() {
    let mut world = World::new();
    let two = CampaignId(2);
    (world.share, world.other_share) = (Some(10), 1);
    world.ratio();
    let other = Campaign {
        id: two,
        name: "summer".into(),
        pacing: PacingMode::Ratio,
        dial_level: DialLevel(300),
        ..campaign()
    };
    world.input(Input::Directory {
        index: 7,
        changes: vec![DirectoryChange::Campaign(Arc::new(other))],
    });
    world.shift();
    world.run(Duration::from_secs(2));
    world.input(Input::Claimed {
        region: REGION,
        campaign: two,
        leads: (0..2).map(|place| other_lead(two, place)).collect(),
        rest: None,
    });
    world.run(Duration::from_secs(1));
    assert_eq!(world.invites.len(), 2, "one more than agents");
    // The first campaign may let ten down. But whoever of these lines is answered first takes the
    // agent, and two more of them are too many for the other's share.
    world.lease(&["8002", "8012", "8022", "8032"]);
    world.run(Duration::from_secs(5));
    assert_eq!(world.invites.len(), 2);
    // The other's lines rang out.
    world.run(Duration::from_secs(20));
    assert_eq!(world.invites.len(), 5, "three an agent");
}

#[test]
fn a_share_that_ends_while_lines_are_out_lets_them_ring_and_launches_none_ahead() {
    let mut world = World::new();
    world.share = Some(9);
    world.ratio();
    let numbers: Vec<String> = (0..90).map(|n| format!("8{n:02}2")).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    world.shift();
    world.run(Duration::from_secs(2));
    world.stock = Some(World::leads(&numbers));
    // What was claimed before there was any stock.
    world.lease(&[]);
    world.run(Duration::from_secs(3));
    assert_eq!(world.invites.len(), 3, "three an agent");
    // The directory answers no more.
    world.share = None;
    world.run(Duration::from_secs(115));
    let launched = world.invites.len();
    assert!(launched > 12, "{launched} lines in two minutes");
    // What was out at the end rings on until its own limit.
    let out = world.engine.live();
    assert_eq!(out, 3, "lines are out");
    world.run(Duration::from_secs(90));
    let later: Vec<Instant> = world.invites.iter().skip(launched).map(|i| i.0).collect();
    assert!(later.len() >= 2, "it dials on, {later:?}");
    for pair in later.windows(2) {
        let gap = pair[1].since(pair[0]);
        assert!(
            gap >= Duration::from_secs(19),
            "one line an agent: {later:?}"
        );
    }
    assert_eq!(world.engine.status(world.now).agents.reserved, 1);
}

#[test]
fn a_drain_gives_shares_back_while_calls_go_on() {
    let mut world = World::new();
    world.share = Some(5);
    world.ratio();
    world.shift();
    world.run(Duration::from_secs(2));
    world.lease(&["8000"]);
    world.run(Duration::from_secs(2));
    assert_eq!((world.invites.len(), world.returned), (1, 0));
    assert!(!world.engine.shares_settled());
    world.input(Input::Drain);
    world.run(Duration::from_secs(2));
    assert_eq!((world.engine.live(), world.returned), (1, 5));
    assert!(world.engine.shares_settled());
}

#[test]
fn a_phone_that_drops_without_a_share_is_an_abandonment_that_is_told() {
    let mut world = World::new();
    world.share = Some(0);
    world.ratio();
    world.shift();
    world.run(Duration::from_secs(2));
    world.lease(&["8002"]);
    world.run(Duration::from_secs(1));
    assert_eq!(world.engine.status(world.now).agents.reserved, 1);
    let call = |world: &World, side| {
        let found = world.incoming.iter().rev().find(|(of, ..)| *of == side);
        let (_, call, accepts) = found.expect("it was called");
        (*call, accepts.clone())
    };
    let (phone, _) = call(&world, Side::Agents);
    world.phone.bye(world.now, phone, None).unwrap();
    world.run(Duration::from_secs(1));
    // Nobody is there any more, and the person answers.
    let (person, accepts) = call(&world, Side::Trunks);
    world.carrier.accept(world.now, person, accepts).unwrap();
    world.run(Duration::from_secs(4));
    assert_eq!(world.abandoned, [1]);
    world.run(Duration::from_secs(20));
    assert_eq!(world.engine.abandonments_untold(), 0);
    assert!(world.engine.shares_settled());
}

#[test]
fn a_person_who_calls_back_is_not_dialed_meanwhile() {
    let mut world = World::new();
    // Nobody is on shift: the person hears who called.
    let call = world.is_called();
    world.run(Duration::from_millis(200));
    assert_eq!(world.engine.live(), 1);
    world.shift();
    let attempts = world.lease(&["8000"]);
    world.run(Duration::from_secs(2));
    assert!(world.invites.is_empty(), "the person is on the line");
    world.carrier.bye(world.now, call, None).unwrap();
    world.run(Duration::from_secs(4));
    let dialed: Vec<_> = world.invites.iter().map(|(_, attempt)| *attempt).collect();
    assert_eq!(dialed, attempts);
}

#[test]
fn nor_while_the_mesh_is_asked_who_it_is() {
    let mut world = World::new();
    world.mesh_is_silent = true;
    world.shift();
    world.is_called();
    world.run(Duration::from_millis(100));
    world.lease(&["8000"]);
    world.run(Duration::from_millis(700));
    assert_eq!(world.engine.live(), 0, "it rings");
    assert!(world.invites.is_empty());
    world.run(Duration::from_secs(1));
    assert!(world.invites.is_empty(), "the agent has the call");
    assert_eq!(world.engine.status(world.now).agents.on_call, 1);
}

#[test]
fn levers_hold_lines_and_the_status_names_the_one_that_does() {
    use domain::{Levers, status::PacingLimit};
    let mut world = World::new();
    world.share = Some(20);
    world.ratio();
    let mut index = 6;
    let mut set = |world: &mut World, levers| {
        index += 1;
        let changes = vec![DirectoryChange::Levers(CAMPAIGN, levers)];
        world.input(Input::Directory { index, changes });
        world.run(Duration::from_secs(1));
        world.engine.status(world.now);
        world.run(Duration::from_secs(1));
        let said = world.engine.status(world.now).pacing;
        let [one] = said[..] else { panic!("{said:?}") };
        assert_eq!((one.campaign, one.agents), (CAMPAIGN, 1));
        (one.limit, one.spared, one.level, world.invites.len())
    };
    world.shift();
    world.run(Duration::from_secs(2));
    let inbound = Levers {
        inbound_agents: 1,
        ..Levers::default()
    };
    let held = set(&mut world, inbound);
    assert_eq!(held, (PacingLimit::InboundAgents, 1, DialLevel(300), 0));
    world.lease(&["8002", "8012", "8022", "8032"]);
    let held = set(&mut world, inbound);
    assert_eq!(held, (PacingLimit::InboundAgents, 1, DialLevel(300), 0));
    let ramp = Levers {
        ramp_up: Duration::from_secs(3600),
        ..Levers::default()
    };
    let held = set(&mut world, ramp);
    assert_eq!(held, (PacingLimit::RampUp, 0, DialLevel(100), 1));
    // The demonstration's windows never close.
    let fall = Levers {
        ramp_down: Duration::from_secs(3600),
        ..Levers::default()
    };
    let held = set(&mut world, fall);
    assert_eq!(held, (PacingLimit::DialLevel, 0, DialLevel(300), 3));
}

#[test]
fn at_most_so_many_campaigns_are_told_of() {
    let mut world = World::new();
    world.shift();
    let most = u32::try_from(domain::limits::PACING_TOLD).unwrap();
    let changes = (2..=most + 40).map(|id| {
        let campaign = Campaign {
            id: CampaignId(id),
            name: format!("campaign {id}"),
            ..campaign()
        };
        DirectoryChange::Campaign(Arc::new(campaign))
    });
    let changes = changes.collect();
    world.input(Input::Directory { index: 6, changes });
    world.run(Duration::from_millis(200));
    let told = world.engine.status(world.now).pacing;
    assert_eq!(told.len(), domain::limits::PACING_TOLD);
    assert_eq!(told[0].campaign, CAMPAIGN);
}

#[test]
fn campaigns_that_count_together_spend_one_share() {
    let mut world = World::new();
    let two = CampaignId(2);
    world.share = Some(3);
    let other = Campaign {
        id: two,
        name: "summer".into(),
        pacing: PacingMode::Ratio,
        dial_level: DialLevel(300),
        ..campaign()
    };
    let changes = vec![
        DirectoryChange::DropRateGroup(two, Some(CAMPAIGN)),
        DirectoryChange::Campaign(Arc::new(other)),
    ];
    world.input(Input::Directory { index: 6, changes });
    world.ratio();
    world.shift();
    world.run(Duration::from_secs(2));
    world.input(Input::Claimed {
        region: REGION,
        campaign: two,
        leads: (0..2).map(|place| other_lead(two, place)).collect(),
        rest: None,
    });
    world.run(Duration::from_secs(1));
    assert_eq!(
        world.invites.len(),
        2,
        "by the first one's share, one more than agents"
    );
    // Two of the three are at risk already; with three of its own it would have a line, too.
    world.lease(&["8002", "8012", "8022", "8032"]);
    world.run(Duration::from_secs(5));
    assert_eq!(world.invites.len(), 2);
}
