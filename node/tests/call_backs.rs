//! A person who was called calls back: SIPp as the carrier, the real node with its mesh, journal and
//! sockets. First the agent who called takes it; then nobody is there, and key 9 opts out.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "common/apart.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod apart;
#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use common::{City, Founder, Screen, Sipp, free_port, until, without_sha256};
use dialmesh_http::auth::hash_token;
use domain::{
    AgentAccount, AgentDisposition, AgentId, CallBackEnd, CallRecord, CallerId, CallerIdCaps,
    Campaign, CampaignId, CampaignState, Codec, DialLevel, Disposition, DispositionCode,
    DispositionFlags, DncSource, LeadProfile, MemberId, NewLead, NumberFormat, PacingMode,
    PhoneNumber, RegionId, Secret, SipTransport, Trunk, TrunkId,
};
use ledger::{Change, DirectoryReply};
use serde_json::json;
use std::{
    net::UdpSocket,
    path::Path,
    time::{Duration, Instant},
};

#[path = "call_backs/elsewhere.rs"]
mod elsewhere;

const PERSON: &str = "+12125557788";
const OURS: &str = "+12125550100";

fn person() -> PhoneNumber {
    PERSON.parse().unwrap()
}

fn campaign(region: RegionId) -> Campaign {
    Campaign {
        id: CampaignId(0),
        name: "spring".into(),
        state: CampaignState::Draft,
        regions: vec![region],
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(15),
        talk_limit: Duration::from_secs(600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "demo".into(),
        retry: Vec::new(),
        attempts_max: 1,
        dispositions: vec![AgentDisposition {
            name: "sale".into(),
            flags: DispositionFlags::default(),
        }],
        default_disposition: DispositionCode(0),
        any_city_caller_id: true,
        version: 1,
    }
}

fn trunk(node: MemberId, port: u16) -> Trunk {
    Trunk {
        id: TrunkId(0),
        name: "carrier".into(),
        node,
        transport: SipTransport::Udp,
        address: format!("127.0.0.1:{port}"),
        domain: String::new(),
        auth: None,
        register: false,
        channels: 10,
        calls_per_second: 10,
        number_format: NumberFormat::PlusE164,
        codecs: vec![Codec::Pcma, Codec::Pcmu],
        options_interval: Duration::ZERO,
        enabled: true,
        rank: 0,
    }
}

struct Floor {
    founder: Founder,
    city: City,
    screen: Screen,
    campaign: CampaignId,
    carrier_port: u16,
    folder: tempfile::TempDir,
}

impl Floor {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mesh_port, city_dir) = (free_port(), folder.path().join("city"));
        let founder = Founder::start(&folder.path().join("centre")).await;
        let east = Change::SetRegion {
            id: None,
            name: "east".into(),
        };
        let DirectoryReply::Region(region) = founder.change(east).await else {
            panic!("no region")
        };
        let node = founder.admit("city", region, mesh_port, &city_dir).await;
        let city = City::start("city", mesh_port, &city_dir);
        let carrier_port = free_port();
        let trunk = trunk(node, carrier_port);
        let DirectoryReply::Trunk(trunk) = founder.change(Change::SetTrunk { trunk }).await else {
            panic!("no trunk")
        };
        let caller_ids = vec![CallerId {
            number: OURS.parse().unwrap(),
            trunk,
            caps: CallerIdCaps::default(),
            resting: false,
        }];
        founder.change(Change::SetCallerIds { caller_ids }).await;
        let create = Change::CreateCampaign {
            campaign: Box::new(campaign(region)),
        };
        let DirectoryReply::Campaign { id: campaign, .. } = founder.change(create).await else {
            panic!("no campaign")
        };
        let token = Secret::new("dmag_test");
        let agent = AgentAccount {
            id: AgentId(0),
            login: "li".into(),
            name: "Li".into(),
            node,
            campaigns: vec![campaign],
            sip_password: Secret::new("secret"),
            token_hash: hash_token(token.expose()),
            enabled: true,
        };
        let agent = Box::new(agent);
        founder.change(Change::SetAgent { agent }).await;
        let create = Change::CreateList {
            campaign,
            name: "one".into(),
        };
        let DirectoryReply::List(list) = founder.change(create).await else {
            panic!("no list")
        };
        let lead = NewLead {
            number: person(),
            zones: vec![domain::zones::find("America/New_York").unwrap()],
            priority: 0,
            profile: LeadProfile {
                name: "Ada".into(),
                ..LeadProfile::default()
            },
        };
        founder.import(region, list, campaign, vec![lead]).await;
        city.ready().await;
        let screen = until("the agent is known", Duration::from_secs(20), async || {
            Screen::try_open(city.http, &token).await
        })
        .await;
        Self {
            founder,
            city,
            screen,
            campaign,
            carrier_port,
            folder,
        }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIPp as the agent's phone: registered, then on the shift's call.
    async fn phone(&mut self) -> Sipp {
        let (port, users) = (free_port(), self.folder().join("users.csv"));
        let text = "SEQUENTIAL\nli;[authentication username=li password=secret]\n";
        std::fs::write(&users, text).unwrap();
        let registrar = without_sha256(self.city.agents, port).await;
        let registrar = format!("127.0.0.1:{registrar}");
        let arguments = ["-inf", users.to_str().unwrap(), &registrar];
        let mut register = Sipp::start("agent-register", port, 1, &arguments, self.folder());
        register.ends_well().await;
        let phone = Sipp::start("agent-phone", port, 1, &[], self.folder());
        self.screen.press(json!({"type": "log_in"})).await;
        self.screen
            .wait("the shift's leg is up", |n| n["phone"] == "up")
            .await;
        self.screen.press(json!({"type": "ready"})).await;
        phone
    }

    /// The person calls; audio goes to and comes from that port.
    fn calls_back(&self, rtp_port: u16) -> Sipp {
        let (port, node) = (rtp_port.to_string(), self.city.trunks);
        let node = format!("127.0.0.1:{node}");
        let keys = [
            "-key", "person", PERSON, "-key", "called", OURS, "-key", "rtp_port", &port, &node,
        ];
        let folder = self.folder();
        // What the call before said is not this one's.
        std::fs::remove_file(folder.join("carrier-calls-back.messages")).ok();
        Sipp::start("carrier-calls-back", self.carrier_port, 1, &keys, folder)
    }

    /// The records, once there are so many.
    async fn records(&mut self, count: usize) -> Vec<CallRecord> {
        let enough = Instant::now() + Duration::from_secs(30);
        loop {
            let records = self.founder.records.lock().clone();
            if records.len() >= count {
                return records;
            }
            assert!(Instant::now() < enough, "{count} records: {records:#?}");
            self.screen.sit(Duration::from_millis(50)).await;
        }
    }
}

/// Key 9 by RFC 4733, pressed once: three packets as it begins, three as it ends.
fn press_9(socket: &UdpSocket, node: u16) {
    for n in 0..6u16 {
        let ends = n >= 3;
        let mut packet = vec![0x80, if n == 0 { 0x80 | 96 } else { 96 }];
        packet.extend(n.to_be_bytes());
        packet.extend(1_000u32.to_be_bytes());
        packet.extend(7u32.to_be_bytes());
        packet.extend([9, if ends { 0x8a } else { 0x0a }]);
        packet.extend((160 * (n + 1)).to_be_bytes());
        socket.send_to(&packet, ("127.0.0.1", node)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where the node hears the call, as its answer says.
async fn node_media(carrier: &Sipp) -> u16 {
    until("the node answers", Duration::from_secs(10), async || {
        let messages = carrier.messages();
        let answer = &messages[messages.find("SIP/2.0 200")?..];
        let line = answer.lines().find(|line| line.starts_with("m=audio "))?;
        line.split(' ').nth(1)?.parse().ok()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_calls_back_is_taken_by_who_called_and_later_opts_out() {
    let mut floor = Floor::new().await;
    let folder = floor.folder().to_owned();
    let mut carrier = Sipp::start("carrier-answers", floor.carrier_port, 1, &[], &folder);
    let mut phone = floor.phone().await;
    let run = Change::SetCampaignState {
        id: floor.campaign,
        state: CampaignState::Running,
        if_match: None,
    };
    floor.founder.change(run).await;
    let screen = &mut floor.screen;
    let call = screen.wait("a call", |n| n["type"] == "call").await;
    assert_eq!(call.get("call_back"), None, "{call}");
    screen.wait("wrap-up", |n| n["state"] == "wrap_up").await;
    screen
        .press(json!({"type": "dispose", "disposition": "sale", "note": ""}))
        .await;
    carrier.ends_well().await;
    let called = floor.records(1).await[0].clone();
    assert_eq!(called.call_back, None);

    // The agent is ready again, and the person calls.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let rtp_port = socket.local_addr().unwrap().port();
    let mut carrier = floor.calls_back(rtp_port);
    let screen = &mut floor.screen;
    let call = screen.wait("a call-back", |n| n["type"] == "call").await;
    assert_eq!(call["name"], "Ada");
    assert_eq!(call["call_back"]["yours"], json!(true), "{call}");
    assert_eq!(call["call_back"]["called"], "+1212*****00");
    screen.press(json!({"type": "hang_up"})).await;
    screen.wait("wrap-up", |n| n["state"] == "wrap_up").await;
    screen
        .press(json!({"type": "dispose", "disposition": "sale", "note": "called back"}))
        .await;
    carrier.ends_well().await;
    let record = floor.records(2).await[1].clone();
    let told = record.call_back.unwrap();
    assert_eq!(told.after, Some(called.attempt));
    assert_eq!(record.called_for, None);
    assert_eq!((told.end, told.withheld), (CallBackEnd::Taken, false));
    assert_eq!((record.lead, record.agent), (called.lead, called.agent));
    assert_eq!(
        (record.number, record.note.as_str()),
        (person(), "called back")
    );
    assert!(carrier.messages().contains(&record.sip_call_id));

    // Nobody is on shift: who called is said, and the person opts out.
    floor.screen.press(json!({"type": "log_out"})).await;
    phone.ends_well().await;
    let mut carrier = floor.calls_back(rtp_port);
    let node = node_media(&carrier).await;
    tokio::task::spawn_blocking(move || press_9(&socket, node))
        .await
        .unwrap();
    carrier.ends_well().await;
    let record = floor.records(3).await[2].clone();
    assert_eq!(record.disposition, Disposition::NotTaken);
    assert_eq!(record.call_back.unwrap().end, CallBackEnd::OptedOut);
    until("the mesh knows", Duration::from_secs(20), async || {
        let directory = floor.founder.member.directory();
        let mut of = directory.read(|d| d.dnc_of(person()).collect::<Vec<_>>());
        of.pop()
            .filter(|fact| fact.entry.source == DncSource::CallBack)
    })
    .await;
}
