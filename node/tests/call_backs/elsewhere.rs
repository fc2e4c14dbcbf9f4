//! The city that called is down: its carrier brings the person's call to the next city, whose agent has the
//! lead before him; with nobody on shift key 9 opts out. The lost city's node is a process that is killed.

use super::*;
use apart::apart;
use common::{Ports, write_config};
use domain::{CallBack, HomeMatch, HomeRule};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

const WESTS: &str = "+13105550100";
/// In the environment of the process that is the city's; not one of the node's own names.
const CITY: &str = "TEST_CITY";

/// The process of [`Lost`].
#[test]
fn a_city_until_it_is_killed() {
    let Some(path) = std::env::var_os(CITY) else {
        return;
    };
    let config = node::NodeConfig::load(&PathBuf::from(path)).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(node::run(config)).unwrap();
}

/// The city that will be lost: a process of its own.
struct Lost {
    process: Child,
    ports: Ports,
}

impl Lost {
    fn start(mesh: u16, dir: &Path) -> Self {
        let (path, ports) = write_config("east", mesh, dir, "");
        let mut this = Command::new(std::env::current_exe().unwrap());
        let test = "elsewhere::a_city_until_it_is_killed";
        let this = this.args(["--exact", test, "--nocapture"]).env(CITY, path);
        let process = this.stdout(Stdio::null()).spawn().unwrap();
        Self { process, ports }
    }

    /// SIGKILL.
    fn is_lost(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// An agent of one city, with a desk and a phone.
struct Seat {
    login: &'static str,
    screen: Screen,
    folder: PathBuf,
}

impl Seat {
    async fn open(login: &'static str, http: u16, folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let screen = until("the agent is known", Duration::from_secs(30), async || {
            Screen::try_open(http, &Secret::new(login)).await
        })
        .await;
        Self {
            login,
            screen,
            folder,
        }
    }

    /// On shift by SIPp as the phone, and ready.
    async fn works(&mut self, agents: u16) -> Sipp {
        let (port, users) = (free_port(), self.folder.join("users.csv"));
        let login = self.login;
        let text =
            format!("SEQUENTIAL\n{login};[authentication username={login} password=secret]\n");
        std::fs::write(&users, text).unwrap();
        let registrar = without_sha256(agents, port).await;
        let registrar = format!("127.0.0.1:{registrar}");
        let arguments = ["-inf", users.to_str().unwrap(), &registrar];
        let mut register = Sipp::start("agent-register", port, 1, &arguments, &self.folder);
        register.ends_well().await;
        let phone = Sipp::start("agent-phone", port, 1, &[], &self.folder);
        self.screen.press(json!({"type": "log_in"})).await;
        let up = |n: &serde_json::Value| n["phone"] == "up";
        self.screen.wait("the shift's leg is up", up).await;
        self.screen.press(json!({"type": "ready"})).await;
        phone
    }

    async fn disposes(&mut self) {
        let ended = |n: &serde_json::Value| n["state"] == "wrap_up";
        self.screen.wait("wrap-up", ended).await;
        self.screen
            .press(json!({"type": "dispose", "disposition": "sale", "note": ""}))
            .await;
    }
}

/// Two cities; the first one's region has every number.
struct Cities {
    founder: Founder,
    east: Lost,
    west: City,
    nodes: [MemberId; 2],
    campaign: CampaignId,
    /// Where the carriers of the two are.
    carriers: [u16; 2],
    folder: tempfile::TempDir,
}

impl Cities {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let founder = Founder::start(&folder.path().join("centre")).await;
        let policy = ledger::VoterPolicy {
            stable: Duration::from_secs(1),
            ..ledger::VoterPolicy::default()
        };
        founder.change(Change::SetVoterPolicy { policy }).await;
        let mut regions = Vec::new();
        for name in ["east", "west"] {
            let name = name.to_owned();
            let reply = founder.change(Change::SetRegion { id: None, name }).await;
            let DirectoryReply::Region(region) = reply else {
                panic!("no region")
            };
            regions.push(region);
        }
        let all = HomeRule {
            when: HomeMatch::Default,
            region: regions[0],
        };
        let homes = Change::PlanHomes {
            rules: vec![all],
            move_leads: false,
        };
        founder.change(homes).await;
        let mesh = [free_port(), free_port()];
        let dirs = ["east", "west"].map(|name| folder.path().join(name));
        let east = founder.admit("east", regions[0], mesh[0], &dirs[0]).await;
        let west = founder.admit("west", regions[1], mesh[1], &dirs[1]).await;
        let nodes = [east, west];
        let east = Lost::start(mesh[0], &dirs[0]);
        let west = City::start("west", mesh[1], &dirs[1]);
        let carriers = [free_port(), free_port()];
        for (number, (node, port)) in [OURS, WESTS]
            .into_iter()
            .zip(nodes.into_iter().zip(carriers))
        {
            let trunk = Trunk {
                name: format!("carrier of {node}"),
                ..trunk(node, port)
            };
            let DirectoryReply::Trunk(trunk) = founder.change(Change::SetTrunk { trunk }).await
            else {
                panic!("no trunk")
            };
            let caller_ids = vec![CallerId {
                number: number.parse().unwrap(),
                trunk,
                caps: CallerIdCaps::default(),
                resting: false,
            }];
            founder.change(Change::SetCallerIds { caller_ids }).await;
        }
        let create = Change::CreateCampaign {
            campaign: Box::new(Campaign {
                regions: regions.clone(),
                ..campaign(regions[0])
            }),
        };
        let DirectoryReply::Campaign { id: campaign, .. } = founder.change(create).await else {
            panic!("no campaign")
        };
        for (login, node) in ["li", "mei"].into_iter().zip(nodes) {
            let agent = Box::new(AgentAccount {
                id: AgentId(0),
                login: login.into(),
                name: login.into(),
                node,
                campaigns: vec![campaign],
                sip_password: Secret::new("secret"),
                token_hash: hash_token(login),
                enabled: true,
            });
            founder.change(Change::SetAgent { agent }).await;
        }
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
        founder.import(regions[0], list, campaign, vec![lead]).await;
        west.ready().await;
        Self {
            founder,
            east,
            west,
            nodes,
            campaign,
            carriers,
            folder,
        }
    }

    /// The carrier brings the person's call for the lost city's number to the other one.
    fn calls_back(&self, rtp_port: u16) -> Sipp {
        let port = rtp_port.to_string();
        let node = format!("127.0.0.1:{}", self.west.trunks);
        let keys = [
            "-key", "person", PERSON, "-key", "called", OURS, "-key", "rtp_port", &port, &node,
        ];
        let folder = self.folder.path();
        // What the call before said is not this one's.
        std::fs::remove_file(folder.join("carrier-calls-back.messages")).ok();
        Sipp::start("carrier-calls-back", self.carriers[1], 1, &keys, folder)
    }

    async fn records(&self, count: usize) -> Vec<CallRecord> {
        until("the records", Duration::from_secs(30), async || {
            let records = self.founder.records.lock().clone();
            (records.len() >= count).then_some(records)
        })
        .await
    }

    /// Until every group can lose one of its members.
    async fn can_lose_one(&self) {
        until("three vote", Duration::from_secs(60), async || {
            let member = &self.founder.member;
            let three = |status: consensus::GroupStatus| {
                status.voters.len() == 3 && !status.changing && status.half_changed.is_none()
            };
            let regions = member.regions();
            let all = regions.iter().all(|(_, group)| three(group.status()));
            (all && three(member.directory().status())).then_some(())
        })
        .await;
    }

    /// The final status that the carrier hears for a call to that number.
    fn status_of_call_to(&self, called: &str) -> u16 {
        let here = format!("127.0.0.1:{}", self.carriers[1]);
        let node = format!("127.0.0.1:{}", self.west.trunks);
        let invite = format!(
            "INVITE sip:{called}@{node} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKwrong\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{PERSON}@{here}>;tag=wrong\r\n\
             To: <sip:{called}@{node}>\r\nCall-ID: wrong\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:carrier@{here}>\r\nContent-Length: 0\r\n\r\n"
        );
        let socket = UdpSocket::bind(&here).unwrap();
        let patience = Duration::from_secs(10);
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.send_to(invite.as_bytes(), &node).unwrap();
        let mut bytes = [0; 4096];
        loop {
            let length = socket.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]);
            let status = text.split(' ').nth(1).unwrap().parse().unwrap();
            if text.contains("Call-ID: wrong") && status >= 200 {
                return status;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_city_answers_for_one_that_is_lost() {
    if !apart("elsewhere::the_next_city_answers_for_one_that_is_lost") {
        return;
    }
    let mut cities = Cities::new().await;
    let folder = cities.folder.path().to_owned();
    let mut li = Seat::open("li", cities.east.ports.http, folder.join("li")).await;
    let mut mei = Seat::open("mei", cities.west.http, folder.join("mei")).await;
    let mut carrier = Sipp::start("carrier-answers", cities.carriers[0], 1, &[], &folder);
    let phone = li.works(cities.east.ports.agents).await;
    let run = Change::SetCampaignState {
        id: cities.campaign,
        state: CampaignState::Running,
        if_match: None,
    };
    cities.founder.change(run).await;
    li.screen.wait("a call", |n| n["type"] == "call").await;
    li.disposes().await;
    carrier.ends_well().await;
    let called = cities.records(1).await[0].clone();
    assert_eq!(called.node, cities.nodes[0]);

    cities.can_lose_one().await;
    // The city is lost, and its carrier goes to the next one.
    cities.east.is_lost();
    drop(phone);
    let mut phone = mei.works(cities.west.agents).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let rtp_port = socket.local_addr().unwrap().port();
    let mut carrier = cities.calls_back(rtp_port);
    let call = mei
        .screen
        .wait("a call-back", |n| n["type"] == "call")
        .await;
    assert_eq!(call["name"], "Ada", "{call}");
    assert_eq!(call["number"], "+1212*****88");
    assert_eq!(
        call["call_back"]["city"], "east",
        "whose number was called: {call}"
    );
    assert_eq!(call["call_back"]["yours"], json!(false));
    mei.screen.press(json!({"type": "hang_up"})).await;
    mei.disposes().await;
    carrier.ends_well().await;
    let record = cities.records(2).await[1].clone();
    assert_eq!((record.node, record.lead), (cities.nodes[1], called.lead));
    assert_eq!((record.number, record.list), (person(), called.list));
    assert_eq!(record.caller_id, Some(OURS.parse().unwrap()));
    assert_eq!(record.called_for, Some(cities.nodes[0]));
    assert!(matches!(
        record.call_back,
        Some(CallBack {
            end: CallBackEnd::Taken,
            withheld: false,
            ..
        })
    ));

    // A number that is nobody's is refused as ever.
    assert_eq!(cities.status_of_call_to("+12125550199"), 404);

    // Nobody is on shift in the next city either: the person opts out, mesh-wide.
    mei.screen.press(json!({"type": "log_out"})).await;
    phone.ends_well().await;
    let mut carrier = cities.calls_back(rtp_port);
    let node = node_media(&carrier).await;
    tokio::task::spawn_blocking(move || press_9(&socket, node))
        .await
        .unwrap();
    carrier.ends_well().await;
    let record = cities.records(3).await[2].clone();
    assert_eq!(record.call_back.unwrap().end, CallBackEnd::OptedOut);
    assert_eq!(record.number, person());
    until("the mesh knows", Duration::from_secs(20), async || {
        let directory = cities.founder.member.directory();
        let mut of = directory.read(|d| d.dnc_of(person()).collect::<Vec<_>>());
        of.pop()
            .filter(|fact| fact.entry.source == DncSource::CallBack)
    })
    .await;
}
