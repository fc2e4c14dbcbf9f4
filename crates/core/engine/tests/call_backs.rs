//! Persons who call this node's numbers: a modelled carrier brings the calls, the relay is played by
//! hand, the agent has a browser.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use bytes::Bytes;
use call::{AgentCommand, AgentNotice, CallCard, RequestId};
use domain::{
    AgentAccount, AgentDisposition, AgentId, AttemptId, CallBackEnd, CallRecord, CallerId,
    CallerIdCaps, CallerTold, Campaign, CampaignId, CampaignState, Codec, DialLevel, Disposition,
    DispositionCode, DispositionFlags, DncEntry, DncSource, Instant, KnownPerson, LeadId,
    LeadProfile, LegId, ListId, MemberId, Now, NumberFormat, PacingMode, PhoneNumber, RegionId,
    Secret, SipTransport, Trunk, TrunkId, WallTime,
};
use engine::{
    CallBackConfig, CalledPerson, CallerAnswer, DirectoryChange, DirectoryCopy, Engine,
    EngineConfig, Entry, Input, Observed, Output, Side,
};
use media::{BrowserEvent, BrowserId, MediaCommand, MediaEvent, Port, PortRange, PromptId};
use sansio::Seed;
use sip::{
    Address, CallHandle, Endpoint, EndpointConfig, Flow, Invite, SipEvent,
    sdp::{Direction, LocalMedia},
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

const REGION: RegionId = RegionId(1);
const LI: AgentId = AgentId(1);
const OUR_NUMBER: &str = "+861088880001";
const PERSON: &str = "+8613800138000";

fn number(text: &str) -> PhoneNumber {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn flow() -> Flow {
    Flow {
        transport: SipTransport::Udp,
        local: at("10.0.1.1:5060"),
        remote: at("10.0.0.1:5060"),
    }
}

fn back(flow: Flow) -> Flow {
    Flow {
        transport: flow.transport,
        local: flow.remote,
        remote: flow.local,
    }
}

fn theirs() -> LocalMedia {
    LocalMedia {
        session_id: 1,
        version: 1,
        address: at("10.0.1.1:30000"),
        codecs: vec![Codec::Pcma],
        dtmf_payload: 96,
        direction: Direction::SendRecv,
        crypto: None,
    }
}

fn campaign(id: u32) -> Campaign {
    Campaign {
        id: CampaignId(id),
        name: format!("campaign {id}"),
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
        any_city_caller_id: true,
        version: 1,
    }
}

fn directory() -> DirectoryCopy {
    DirectoryCopy {
        campaigns: vec![campaign(1).into(), campaign(2).into()],
        trunks: vec![Trunk {
            id: TrunkId(1),
            name: "carrier".into(),
            node: MemberId(2),
            transport: SipTransport::Udp,
            address: "10.0.1.1:5060".into(),
            domain: String::new(),
            auth: None,
            register: false,
            channels: 2,
            calls_per_second: 100,
            number_format: NumberFormat::PlusE164,
            codecs: vec![Codec::Pcma],
            options_interval: Duration::ZERO,
            enabled: true,
            rank: 0,
        }],
        caller_ids: vec![CallerId {
            number: number(OUR_NUMBER),
            trunk: TrunkId(1),
            caps: CallerIdCaps::default(),
            resting: false,
        }],
        agents: vec![AgentAccount {
            id: LI,
            login: "li".into(),
            name: "Li".into(),
            node: MemberId(2),
            campaigns: Vec::new(),
            sip_password: Secret::new("secret"),
            token_hash: String::new(),
            enabled: true,
        }],
        ..DirectoryCopy::default()
    }
}

struct World {
    engine: Engine,
    carrier: Endpoint,
    now: Now,
    ports: BTreeMap<LegId, Port>,
    media: Vec<MediaCommand>,
    notices: Vec<AgentNotice>,
    noted: Vec<CallRecord>,
    ended: Vec<CallRecord>,
    opt_outs: Vec<DncEntry>,
    remembered: Vec<CalledPerson>,
    refused: Vec<u16>,
    /// What regions know, and whether they say so at once.
    known: BTreeMap<PhoneNumber, KnownPerson>,
    says: bool,
    /// Questions: which, of whom, whose number was called.
    asked: Vec<(u64, Option<PhoneNumber>, PhoneNumber)>,
    answers: Vec<CallerAnswer>,
    /// What the carrier heard of its calls.
    heard: Vec<SipEvent>,
}

impl World {
    fn new(call_backs: CallBackConfig) -> Self {
        let config = EngineConfig {
            member: MemberId(2),
            regions: vec![REGION],
            trunk_address: at("10.0.0.1:5060"),
            trunk_advertised: at("10.0.0.1:5060"),
            trunk_tls: None,
            voucher: None,
            agent_address: at("10.0.0.1:5062"),
            media_address: [10, 0, 0, 1].into(),
            media_ports: PortRange::new(20_000, 20_200).unwrap(),
            realm: "dialmesh".into(),
            md5_only: false,
            srtp: engine::SrtpConfig::default(),
            freshness: Duration::from_secs(30),
            safe_harbour: None,
            hold: PromptId::HOLD,
            voice_drops: Default::default(),
            call_backs,
            audit: permit::audit::Head::first(MemberId(2)),
            audit_numbers: permit::audit::NumberKey::new("test".into(), [7; 32]),
        };
        let mut carrier = Endpoint::new(EndpointConfig::default(), Seed::from_u64(2));
        carrier.set_peers([[10, 0, 0, 1].into()]);
        let mut world = Self {
            engine: Engine::new(config, Seed::from_u64(1)),
            carrier,
            now: Now {
                monotonic: Instant::from_millis(1_000_000),
                wall: WallTime::from_millis(1_795_300_000_000),
            },
            ports: BTreeMap::new(),
            media: Vec::new(),
            notices: Vec::new(),
            noted: Vec::new(),
            ended: Vec::new(),
            opt_outs: Vec::new(),
            remembered: Vec::new(),
            refused: Vec::new(),
            known: BTreeMap::new(),
            says: true,
            asked: Vec::new(),
            answers: Vec::new(),
            heard: Vec::new(),
        };
        world.change(DirectoryChange::Reset(Box::new(directory())));
        world
    }

    fn change(&mut self, change: DirectoryChange) {
        self.input(Input::Directory {
            index: 5,
            changes: vec![change],
        });
    }

    fn input(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { flow, bytes, .. } => {
                    let received = sip::Input::Received {
                        flow: back(flow),
                        bytes: &bytes,
                    };
                    self.carrier.handle(self.now, received).unwrap();
                }
                Output::Media(MediaCommand::Open { leg, port, .. }) => {
                    self.ports.insert(leg, port);
                }
                Output::Media(MediaCommand::Close { leg }) => {
                    let closed = MediaEvent::Closed {
                        leg,
                        port: self.ports.remove(&leg).unwrap(),
                        stats: Default::default(),
                        detail: Default::default(),
                    };
                    self.engine.handle(self.now, Input::Media(closed)).unwrap();
                }
                Output::Media(command) => self.media.push(command),
                Output::Note(Entry::Dialing(record)) => self.noted.push(*record),
                Output::Persist { token, entry } => {
                    match entry {
                        Entry::CalledBack(record) => self.ended.push(*record),
                        Entry::OptOut(entry) => self.opt_outs.push(entry),
                        Entry::Closed { .. } => panic!("no region knows of a call-back: {entry:?}"),
                        _ => {}
                    }
                    if let Some(token) = token {
                        let persisted = Input::Persisted(token);
                        self.engine.handle(self.now, persisted).unwrap();
                    }
                }
                Output::Notice { notice, .. } => self.notices.push(notice),
                Output::Reply { result, .. } => assert_eq!(result, Ok(())),
                Output::WhoCalls {
                    ask,
                    number,
                    called,
                } => {
                    self.asked.push((ask, number, called));
                    if self.says {
                        let said = self.said(ask);
                        self.engine.handle(self.now, said).unwrap();
                    }
                }
                Output::Observed(Observed::CallerAsked { answer }) => self.answers.push(answer),
                Output::Called { person, .. } => self.remembered.push(*person),
                Output::Observed(Observed::CallBackRefused { status }) => self.refused.push(status),
                Output::Observed(Observed::Call(call::Observed::Abandoned { .. })) => {
                    panic!("who calls back is never abandoned")
                }
                _ => {}
            }
        }
    }

    /// What the mesh says to a question.
    fn said(&self, ask: u64) -> Input<'static> {
        let (_, number, called) = *(self.asked.iter().find(|(id, ..)| *id == ask)).unwrap();
        let person = number.and_then(|number| self.known.get(&number)).cloned();
        let own = called == OUR_NUMBER.parse().unwrap();
        let city = if own { "Beijing" } else { "Shanghai" };
        let told = CallerTold {
            person,
            unanswered: false,
            city: city.to_owned(),
        };
        let told = Box::new(told);
        Input::CallerTold { ask, told }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now.monotonic + span;
        while self.now.monotonic < end {
            self.now = self.now.plus(Duration::from_millis(20));
            self.engine.handle_timeout(self.now);
            self.drain();
            self.carrier.handle_timeout(self.now);
            let mut out = Vec::new();
            while let Some(output) = self.carrier.poll_output() {
                match output {
                    sip::Output::Transmit { flow, bytes, .. } => out.push((flow, bytes)),
                    sip::Output::Event(event) => self.heard.push(event),
                }
            }
            for (flow, bytes) in out {
                self.input(Input::Sip {
                    side: Side::Trunks,
                    flow: back(flow),
                    bytes: &bytes,
                });
            }
        }
    }

    /// The person calls; time for the answer passes.
    fn calls(&mut self, from: &str, to: &str, headers: &[(&str, &str)]) -> CallHandle {
        let call = self.place(from, to, headers);
        self.run(Duration::from_millis(200));
        call
    }

    /// The person calls.
    fn place(&mut self, from: &str, to: &str, headers: &[(&str, &str)]) -> CallHandle {
        let uri = |user: &str| format!("sip:{user}@10.0.0.1");
        let own = |text: &&str| (*text).to_owned();
        let invite = Invite {
            flow: flow(),
            request_uri: uri(to),
            from: Address::new(uri(from)),
            to: Address::new(uri(to)),
            contact_user: "carrier".into(),
            p_asserted_identity: None,
            headers: (headers.iter())
                .map(|(name, value)| (own(name), own(value)))
                .collect(),
            body: Bytes::from(theirs().offer()),
            credentials: None,
            expires: None,
            valid_until: None,
            session_expires: None,
            reliable: false,
            follow_redirect: false,
        };
        self.carrier.invite(self.now, invite).unwrap()
    }

    fn press(&mut self, command: AgentCommand) {
        let request = RequestId(1);
        self.input(Input::Agent {
            agent: LI,
            request,
            command,
        });
    }

    /// Li is on shift, paused.
    fn shift(&mut self) {
        let browser = BrowserId(1);
        self.input(Input::BrowserOffered { agent: LI, browser });
        self.input(Input::Browser(BrowserEvent::Up { browser }));
        self.input(Input::ScreenAttached(LI));
        self.press(AgentCommand::LogIn);
    }

    fn answered(&self, call: CallHandle) -> bool {
        let answer = |e: &SipEvent| matches!(e, SipEvent::Answered { call: c, .. } if *c == call);
        self.heard.iter().any(answer)
    }

    fn ended_by_us(&self, call: CallHandle) -> bool {
        let ended = |e: &SipEvent| matches!(e, SipEvent::Ended { call: c, .. } if *c == call);
        self.heard.iter().any(ended)
    }

    fn status_of(&self, call: CallHandle) -> Option<u16> {
        self.heard.iter().find_map(|event| match event {
            SipEvent::Failed {
                call: c, status, ..
            } if *c == call => Some(*status),
            _ => None,
        })
    }

    fn card(&self) -> &CallCard {
        let card = self.notices.iter().rev().find_map(|notice| match notice {
            AgentNotice::Call(card) => Some(card),
            _ => None,
        });
        card.unwrap()
    }

    /// The leg of the person, the last one that was opened.
    fn leg(&self) -> LegId {
        let persons = self.ports.keys().filter(|leg| leg.0 < call::AGENT_LEGS);
        *persons.max().unwrap()
    }

    fn plays(&self, prompt: PromptId, repeat: bool) -> bool {
        let leg = self.leg();
        self.media.contains(&MediaCommand::Play {
            leg,
            prompt,
            repeat,
        })
    }

    fn finished(&mut self, prompt: PromptId) {
        let played = MediaEvent::Played {
            leg: self.leg(),
            prompt,
            finished: true,
        };
        self.input(Input::Media(played));
    }

    fn digit(&mut self, digit: char) {
        let leg = self.leg();
        self.input(Input::Media(MediaEvent::Digit { leg, digit }));
    }
}

fn person() -> CalledPerson {
    CalledPerson {
        number: number(PERSON),
        attempt: AttemptId::new(REGION, 50, 0),
        at: WallTime::from_millis(1_795_299_000_000),
        lead: LeadId::new(REGION, 7),
        list: ListId(3),
        campaign: CampaignId(2),
        shown: Some(number(OUR_NUMBER)),
        agent: Some(LI),
        zones: vec![domain::zones::find("Asia/Shanghai").unwrap()],
        profile: LeadProfile {
            name: "Ada".into(),
            ..LeadProfile::default()
        },
    }
}

#[path = "call_backs/elsewhere.rs"]
mod elsewhere;

#[test]
fn a_person_who_was_called_reaches_the_agent_with_the_leads_card() {
    let mut world = World::new(CallBackConfig::default());
    world.input(Input::Called(vec![person()]));
    world.shift();
    world.press(AgentCommand::Ready);
    let call = world.calls(PERSON, OUR_NUMBER, &[]);
    assert!(world.answered(call), "{:?}", world.heard);
    let card = world.card().clone();
    assert_eq!((card.lead, card.name.as_str()), (person().lead, "Ada"));
    assert_eq!(card.campaign, CampaignId(2));
    assert!(card.call_back.as_ref().unwrap().yours);
    let bridged = |c: &MediaCommand| matches!(c, MediaCommand::Bridge { .. });
    assert!(world.media.iter().any(bridged));
    // The carrier's own payload type of keys, and its address.
    assert!(world.media.iter().any(|command| matches!(
        command,
        MediaCommand::SetRemote { addr, telephone_event: Some(96), .. }
            if *addr == at("10.0.1.1:30000")
    )));
    let [noted] = &world.noted[..] else {
        panic!("{:?}", world.noted);
    };
    assert!(noted.attempt.is_call_back());
    assert_eq!(noted.call_back.unwrap().end, CallBackEnd::Unknown);
    let status = world.engine.status(world.now);
    assert_eq!(status.agents.on_call, 1);
    assert_eq!((status.total.attempts, status.total.answered), (0, 0));

    world.run(Duration::from_secs(5));
    world.carrier.bye(world.now, call, None).unwrap();
    world.run(Duration::from_millis(200));
    world.press(AgentCommand::Dispose {
        disposition: "sale".into(),
        note: "called back".into(),
        callback_at: None,
    });
    world.run(Duration::from_secs(3));
    let [record] = &world.ended[..] else {
        panic!("{:?}", world.ended);
    };
    assert_eq!(record.disposition, Disposition::Agent(DispositionCode(0)));
    assert_eq!((record.lead, record.list), (person().lead, person().list));
    assert_eq!(
        (record.agent, record.ended_by.as_str()),
        (Some(LI), "callee")
    );
    assert_eq!(record.caller_id, Some(number(OUR_NUMBER)));
    assert_eq!(record.trunk, Some(TrunkId(1)));
    let told = record.call_back.unwrap();
    assert_eq!(told.after, Some(person().attempt));
    assert_eq!(told.end, CallBackEnd::Taken);
    assert!(record.carrier_leg.is_some() && !record.sip_call_id.is_empty());
    let status = world.engine.status(world.now);
    assert_eq!((status.total.attempts, status.total.bridged), (0, 0));
    assert_eq!(status.trunks[0].channels, 0);
    assert_eq!(world.engine.live(), 0);
}

#[test]
fn a_stranger_waits_with_ringing_until_an_agent_is_ready() {
    let mut world = World::new(CallBackConfig::default());
    world.shift();
    let call = world.calls("+8613900139000", OUR_NUMBER, &[]);
    assert!(world.answered(call));
    let ringing = PromptId::ringing(Some(number(OUR_NUMBER)));
    assert!(world.plays(ringing, true), "{:?}", world.media);
    world.run(Duration::from_secs(10));
    world.press(AgentCommand::Ready);
    let leg = world.leg();
    assert!(world.media.contains(&MediaCommand::StopPlay { leg }));
    let card = world.card();
    assert_eq!(
        (card.name.as_str(), card.lead),
        ("", LeadId::new(REGION, 0))
    );
    assert_eq!(card.campaign, CampaignId(1), "the first that runs");
    assert!(card.call_back.as_ref().unwrap().waited_ms >= 10_000);
    // The next attempt or call-back finds who spoke with whom; strangers are no leads.
    world.press(AgentCommand::HangUp);
    world.run(Duration::from_millis(200));
    assert!(world.ended_by_us(call));
}

#[test]
fn nobody_is_there_so_it_is_said_who_called_and_key_9_opts_out() {
    let announcement = PromptId(40);
    let config = CallBackConfig {
        announcement: Some(announcement),
        ..CallBackConfig::default()
    };
    let mut world = World::new(config);
    world.input(Input::Called(vec![person()]));
    let call = world.calls(PERSON, OUR_NUMBER, &[]);
    assert!(world.answered(call) && world.plays(announcement, false));
    world.finished(announcement);
    world.digit('9');
    assert!(world.plays(PromptId::BEEP, false));
    let [entry] = world.opt_outs[..] else {
        panic!("{:?}", world.opt_outs);
    };
    assert_eq!(entry.number, number(PERSON));
    assert_eq!(entry.source, DncSource::CallBack);
    world.finished(PromptId::BEEP);
    world.run(Duration::from_millis(200));
    assert!(world.ended_by_us(call));
    let [record] = &world.ended[..] else {
        panic!("{:?}", world.ended);
    };
    assert_eq!(record.disposition, Disposition::NotTaken);
    assert_eq!(record.disposition_name, "not_taken");
    assert_eq!(record.call_back.unwrap().end, CallBackEnd::OptedOut);
    assert_eq!(world.engine.live(), 0);
}

#[test]
fn without_a_configured_announcement_a_tone_is_played_and_the_key_still_counts() {
    let mut world = World::new(CallBackConfig::default());
    let call = world.calls(PERSON, OUR_NUMBER, &[]);
    assert!(world.answered(call) && world.plays(PromptId::TONE, false));
    world.digit('9');
    assert_eq!(world.opt_outs.len(), 1, "a stranger's, too");
    world.run(Duration::from_secs(6));
    assert!(world.ended_by_us(call));
}

#[test]
fn a_withheld_number_is_served_and_never_opted_out() {
    let mut world = World::new(CallBackConfig::default());
    world.input(Input::Called(vec![person()]));
    for headers in [&[("Privacy", "id")][..], &[]] {
        let from = if headers.is_empty() {
            "anonymous"
        } else {
            PERSON
        };
        let call = world.calls(from, OUR_NUMBER, headers);
        assert!(world.answered(call));
        world.digit('9');
        assert_eq!(world.opt_outs, []);
        let noted = world.noted.last().unwrap();
        assert_eq!(noted.number, number(OUR_NUMBER));
        let told = noted.call_back.unwrap();
        assert_eq!((told.withheld, told.after), (true, None));
        // The campaign that showed the number last.
        assert_eq!(noted.campaign, CampaignId(2));
    }
}

#[test]
fn what_the_carrier_asserts_counts_more_than_what_is_shown() {
    let mut world = World::new(CallBackConfig::default());
    world.input(Input::Called(vec![person()]));
    let asserted = format!("<sip:{PERSON}@carrier.example>");
    let asserted = [("P-Asserted-Identity", asserted.as_str())];
    world.calls("+8613900139000", OUR_NUMBER, &asserted);
    assert_eq!(world.noted[0].number, number(PERSON));
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_status() {
    let mut world = World::new(CallBackConfig::default());
    let call = world.calls(PERSON, "+861088889999", &[]);
    assert_eq!(world.status_of(call), Some(404), "no number of ours");
    // As many calls as the trunk has channels.
    let calls = [
        world.calls(PERSON, OUR_NUMBER, &[]),
        world.calls(PERSON, OUR_NUMBER, &[]),
    ];
    assert!(calls.iter().all(|call| world.answered(*call)));
    let call = world.calls(PERSON, OUR_NUMBER, &[]);
    assert_eq!(world.status_of(call), Some(503));
    world.carrier.bye(world.now, calls[0], None).unwrap();
    world.run(Duration::from_millis(200));
    let call = world.calls(PERSON, OUR_NUMBER, &[]);
    assert!(world.answered(call), "a channel is free again");
    assert_eq!(world.refused, [404, 503]);

    let off = CallBackConfig {
        enabled: false,
        ..CallBackConfig::default()
    };
    let mut world = World::new(off);
    let call = world.calls(PERSON, OUR_NUMBER, &[]);
    assert_eq!(world.status_of(call), Some(480));

    let mut world = World::new(CallBackConfig::default());
    world.input(Input::Drain);
    let call = world.calls(PERSON, OUR_NUMBER, &[]);
    assert_eq!(world.status_of(call), Some(503));
    assert_eq!(world.engine.live(), 0);
}

#[test]
fn a_stranger_s_address_gets_no_answer() {
    let mut world = World::new(CallBackConfig::default());
    let before = world.engine.sip_counters().0.strangers;
    let text = format!(
        "INVITE sip:{OUR_NUMBER}@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{PERSON}@10.9.9.9>;tag=x\r\nTo: <sip:{OUR_NUMBER}@10.0.0.1>\r\n\
         Call-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:x@10.9.9.9>\r\nContent-Length: 0\r\n\r\n"
    );
    let remote = at("10.9.9.9:5060");
    world.input(Input::Sip {
        side: Side::Trunks,
        flow: Flow {
            remote,
            ..back(flow())
        },
        bytes: text.as_bytes(),
    });
    assert_eq!(world.engine.sip_counters().0.strangers, before + 1);
    assert!(world.noted.is_empty() && world.refused.is_empty());
}
