//! A city with a simulated carrier, an agent without a phone, and two persons to call.

use super::common::{City, Founder, Screen, free_port, until};
use dialmesh_http::auth::hash_token;
use domain::{
    AgentAccount, AgentDisposition, AgentId, CallerId, CallerIdCaps, Campaign, CampaignId,
    CampaignState, Codec, DialLevel, DispositionCode, DispositionFlags, LeadProfile, MemberId,
    NewLead, NumberFormat, PacingMode, RegionId, Secret, SipTransport, Trunk, TrunkId,
};
use ledger::{Change, DirectoryReply};
use simulations::{
    audio::{rtp::AudioReport, tone_hertz},
    carrier::{
        Behaviour, Carrier, CarrierConfig, CarrierHandle, Rule, TrunkConfig,
        witness::{self, Event},
    },
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const NUMBERS: [&str; 2] = ["+12125557788", "+12125557799"];
const LOGIN: &str = "li";

/// The tone that an agent speaks here, in hertz.
pub(crate) fn agents_tone() -> u32 {
    tone_hertz(LOGIN)
}

/// The tones that the persons speak.
pub(crate) fn persons_tones() -> [f64; 2] {
    NUMBERS.map(|number| f64::from(tone_hertz(number.trim_start_matches('+'))))
}

pub(crate) struct Floor {
    pub(crate) founder: Founder,
    pub(crate) node: MemberId,
    pub(crate) campaign: CampaignId,
    pub(crate) screen: Screen,
    carrier: CarrierHandle,
    log: PathBuf,
    pub(crate) city: City,
    pub(crate) folder: tempfile::TempDir,
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

/// A carrier whose people answer at once and stay.
async fn carrier(log: &Path) -> CarrierHandle {
    let trunk = TrunkConfig::open("east", ([127, 0, 0, 1], 0).into());
    let mut config = CarrierConfig::new(7, vec![trunk]);
    config.log = Some(log.to_owned());
    config.rules = vec![Rule {
        behaviour: Behaviour::AnswerNow,
        ..Rule::default()
    }];
    Carrier::start(config).await.unwrap()
}

fn trunk(node: MemberId, carrier: &CarrierHandle) -> Trunk {
    Trunk {
        id: TrunkId(0),
        name: "east".into(),
        node,
        transport: SipTransport::Udp,
        address: carrier.addresses()[0].1.to_string(),
        domain: String::new(),
        auth: None,
        register: false,
        channels: 10,
        calls_per_second: 10,
        number_format: NumberFormat::PlusE164,
        codecs: vec![Codec::Pcma],
        options_interval: Duration::ZERO,
        enabled: true,
        rank: 0,
    }
}

impl Floor {
    /// A city with one carrier, one agent without a phone, and two leads.
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// The same with more lines in the node's section `[sip]`, and sections below it.
    pub(crate) async fn with(sip: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mesh_port, city_dir) = (free_port(), folder.path().join("city"));
        let log = folder.path().join("carrier.jsonl");
        let founder = Founder::start(&folder.path().join("centre")).await;
        let east = Change::SetRegion {
            id: None,
            name: "east".into(),
        };
        let DirectoryReply::Region(region) = founder.change(east).await else {
            panic!("no region")
        };
        let node = founder.admit("city", region, mesh_port, &city_dir).await;
        let city = City::start_with("city", mesh_port, &city_dir, sip);
        let carrier = carrier(&log).await;
        let trunk = trunk(node, &carrier);
        let DirectoryReply::Trunk(trunk) = founder.change(Change::SetTrunk { trunk }).await else {
            panic!("no trunk")
        };
        let caller_ids = vec![CallerId {
            number: "+12125550100".parse().unwrap(),
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
            login: LOGIN.into(),
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
        let lead = |number: &str| NewLead {
            number: number.parse().unwrap(),
            zones: vec![domain::zones::find("America/New_York").unwrap()],
            priority: 0,
            profile: LeadProfile::default(),
        };
        let leads = NUMBERS.map(lead).to_vec();
        founder.import(region, list, campaign, leads).await;
        city.ready().await;
        let screen = until("the agent is known", Duration::from_secs(20), async || {
            Screen::try_open(city.http, &token).await
        })
        .await;
        Self {
            founder,
            node,
            campaign,
            screen,
            carrier,
            log,
            city,
            folder,
        }
    }

    /// Stops the carrier and asks its own ears: of the first call.
    pub(crate) async fn what_the_person_heard(self) -> AudioReport {
        let heard = self.what_persons_heard().await;
        let first = heard.into_iter().map(|(_, audio)| audio).next();
        first.expect("the first call had sound")
    }

    /// Stops the carrier and asks its own ears: what each person spoke, in hertz, and heard.
    pub(crate) async fn what_persons_heard(self) -> Vec<(u32, AudioReport)> {
        self.carrier.stop().await;
        let entries = witness::read(&self.log).unwrap();
        let closed = entries.into_iter().filter_map(|entry| match entry.event {
            Event::Closed { audio, tone, .. } => Some((tone, audio?)),
            _ => None,
        });
        closed.collect()
    }

    /// Another account of the node, known there, and its screen.
    pub(crate) async fn hire(&self, login: &str, token: &str) -> (AgentId, Screen) {
        let token = Secret::new(token);
        let agent = AgentAccount {
            id: AgentId(0),
            login: login.into(),
            name: login.into(),
            node: self.node,
            campaigns: Vec::new(),
            sip_password: Secret::new("secret"),
            token_hash: hash_token(token.expose()),
            enabled: true,
        };
        let agent = Box::new(agent);
        self.founder.change(Change::SetAgent { agent }).await;
        let screen = until(
            "the account is known",
            Duration::from_secs(20),
            async || Screen::try_open(self.city.http, &token).await,
        )
        .await;
        (self.agent(login), screen)
    }

    /// The id of an account.
    pub(crate) fn agent(&self, login: &str) -> AgentId {
        self.founder.member.directory().read(|directory| {
            let mut agents = directory.agents();
            agents
                .find(|a| a.login == login)
                .expect("it was entered")
                .id
        })
    }

    pub(crate) async fn dial(&self) {
        let run = Change::SetCampaignState {
            id: self.campaign,
            state: CampaignState::Running,
            if_match: None,
        };
        self.founder.change(run).await;
    }
}
