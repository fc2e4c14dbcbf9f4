//! Every rule of the directory, one test each.

mod bases;
mod clearance;
mod consents;
mod dnc_lists;
mod homes;

use super::*;
use crate::{envelope::by_wire, origin::Origin, region::DncRemoval};
use domain::{
    AgentDisposition, AnsweringMachines, CallerIdCaps, CampaignState, Codec, DialLevel,
    Disposition, DispositionCode, DispositionFlags, HomeMatch, Incarnation, LeadOrder, Levers,
    MemberRole, NumberFormat, PacingMode, RetryRule, Secret, SipTransport, limits,
};
use std::time::Duration;

const NOW: i64 = 1_795_280_400_000;

struct World {
    directory: Directory,
    index: u64,
    events: Vec<DirectoryEvent>,
}

fn wall(secs: u64) -> WallTime {
    WallTime::from_millis(NOW) + Duration::from_secs(secs)
}

fn new_member(name: &str) -> NewMember {
    NewMember {
        name: name.into(),
        mesh_address: "192.0.2.1:7000".into(),
        http_address: "http://192.0.2.1:8080".into(),
    }
}

fn number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(14_155_550_000 + n).unwrap()
}

impl World {
    /// Founded, with one region and one node (member 2).
    fn new() -> Self {
        let mut world = Self {
            directory: Directory::default(),
            index: 0,
            events: Vec::new(),
        };
        world.ok(Change::Found {
            mesh: MeshId(7),
            member: new_member("hub"),
        });
        world.ok(Change::SetRegion {
            id: None,
            name: "west".into(),
        });
        world.ok(token(1, MemberRole::Node, Some(RegionId(1))));
        let joined = world.ok(Change::Join {
            hash: [1; 32],
            member: new_member("oakland"),
        });
        assert_eq!(
            joined,
            DirectoryReply::Joined {
                member: MemberId(2),
                mesh: MeshId(7)
            }
        );
        world
    }

    fn apply(&mut self, command: DirectoryCommand) -> DirectoryReply {
        self.index += 1;
        let context = ApplyContext {
            index: self.index,
            wall: WallTime::from_millis(NOW),
        };
        let reply = self
            .directory
            .apply(context, by_wire(&command), &mut self.events);
        assert_eq!(by_wire(&reply), reply);
        if self.directory.dnc_len() < 100 {
            let copy = Directory::restore(&self.directory.snapshot()).unwrap();
            assert!(copy == self.directory, "a restored copy differs");
        }
        reply
    }

    fn change(&mut self, change: Change) -> DirectoryReply {
        self.apply(change.into())
    }

    fn ok(&mut self, change: Change) -> DirectoryReply {
        match self.change(change) {
            DirectoryReply::Rejected(rejection) => panic!("{rejection}"),
            reply => reply,
        }
    }

    fn no(&mut self, change: Change) -> Rejection {
        let before = self.directory.clone();
        match self.change(change) {
            DirectoryReply::Rejected(rejection) => {
                let after = Directory {
                    applied: before.applied,
                    ..self.directory.clone()
                };
                assert!(after == before, "a rejected change changed something");
                rejection
            }
            reply => panic!("{reply:?}"),
        }
    }
}

fn token(hash: u8, role: MemberRole, region: Option<RegionId>) -> Change {
    Change::AddJoinToken {
        hash: [hash; 32],
        role,
        region,
        expires_at: wall(3600),
    }
}

pub(super) fn campaign(name: &str) -> Campaign {
    Campaign {
        id: CampaignId(0),
        name: name.into(),
        state: CampaignState::Draft,
        regions: vec![RegionId(1)],
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(30),
        talk_limit: Duration::from_secs(600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "us-federal".into(),
        retry: Vec::new(),
        attempts_max: 3,
        dispositions: vec![AgentDisposition {
            name: "sale".into(),
            flags: DispositionFlags::default(),
        }],
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 0,
    }
}

fn create(campaign: Campaign) -> Change {
    Change::CreateCampaign {
        campaign: Box::new(campaign),
    }
}

fn trunk(name: &str) -> Trunk {
    Trunk {
        id: TrunkId(0),
        name: name.into(),
        node: MemberId(2),
        transport: SipTransport::Udp,
        address: "198.51.100.1:5060".into(),
        domain: String::new(),
        auth: None,
        register: false,
        channels: 30,
        calls_per_second: 5,
        number_format: NumberFormat::PlusE164,
        codecs: vec![Codec::Pcmu],
        options_interval: Duration::from_secs(30),
        enabled: true,
        rank: 0,
    }
}

fn caller_id(n: u64, trunk: u32) -> CallerId {
    CallerId {
        number: number(n),
        trunk: TrunkId(trunk),
        caps: CallerIdCaps::default(),
        resting: false,
    }
}

fn agent(login: &str) -> AgentAccount {
    AgentAccount {
        id: AgentId(0),
        login: login.into(),
        name: "Ann".into(),
        node: MemberId(2),
        campaigns: Vec::new(),
        sip_password: Secret::new("s"),
        token_hash: "0a".repeat(32),
        enabled: true,
    }
}

fn entry(n: u64) -> DncEntry {
    DncEntry {
        number: number(n),
        scope: DncScope::Mesh,
        source: DncSource::Person,
        added_at: wall(0),
    }
}

fn removal(n: u64, index: u64) -> DncRemoval {
    DncRemoval {
        number: number(n),
        scope: DncScope::Mesh,
        index,
    }
}

fn dnc(add: Vec<DncEntry>, remove: Vec<DncRemoval>) -> Change {
    Change::ChangeDnc {
        add,
        remove,
        reason: "asked in writing".into(),
    }
}

#[test]
fn a_mesh_is_founded_once() {
    let mut world = World::new();
    let again = world.ok(Change::Found {
        mesh: MeshId(7),
        member: new_member("hub"),
    });
    assert!(matches!(
        again,
        DirectoryReply::Joined {
            member: MemberId(1),
            ..
        }
    ));
    let other = Change::Found {
        mesh: MeshId(8),
        member: new_member("hub"),
    };
    assert_eq!(world.no(other).field, "mesh");
}

#[test]
fn join_tokens_work_once_for_what_they_were_made() {
    let mut world = World::new();
    let join = |hash: u8, name: &str| Change::Join {
        hash: [hash; 32],
        member: new_member(name),
    };
    // The joiner lost the answer; anybody else may not.
    assert!(matches!(
        world.ok(join(1, "oakland")),
        DirectoryReply::Joined {
            member: MemberId(2),
            ..
        }
    ));
    assert!(world.no(join(1, "reno")).why.contains("used"));
    assert!(world.no(join(9, "reno")).why.contains("not known"));
    assert_eq!(world.no(token(2, MemberRole::Node, None)).field, "region");
    assert_eq!(
        world
            .no(token(2, MemberRole::Coordinator, Some(RegionId(1))))
            .field,
        "region"
    );
    assert_eq!(
        world
            .no(token(2, MemberRole::Node, Some(RegionId(9))))
            .field,
        "region"
    );
    world.ok(token(2, MemberRole::Coordinator, None));
    assert_eq!(world.no(join(2, "oakland")).field, "member.name");
    world.ok(join(2, "hub-2"));
    let member = world.directory.member(MemberId(3)).unwrap();
    assert_eq!(
        (member.role, member.region),
        (MemberRole::Coordinator, None)
    );
    let late = Change::AddJoinToken {
        hash: [3; 32],
        role: MemberRole::Coordinator,
        region: None,
        expires_at: WallTime::from_millis(NOW) + limits::JOIN_TOKEN_LIFE + Duration::from_millis(1),
    };
    assert_eq!(world.no(late).limit, Some(86_400));
    assert!(
        world
            .directory
            .usable_join_token(&[2; 32], wall(0))
            .is_none()
    );
}

#[test]
fn an_expired_join_token_lets_nobody_in() {
    let mut world = World::new();
    world.ok(token(2, MemberRole::Coordinator, None));
    world.directory.clock = wall(3600);
    let join = Change::Join {
        hash: [2; 32],
        member: new_member("late"),
    };
    assert!(world.no(join).why.contains("expired"));
}

#[test]
fn the_last_coordinator_stays() {
    let mut world = World::new();
    let remove = |id| Change::RemoveMember { id: MemberId(id) };
    assert!(world.no(remove(1)).why.contains("last coordinator"));
    world.ok(remove(2));
    assert_eq!(world.no(remove(2)).field, "member");
    assert!(world.directory.member(MemberId(2)).unwrap().removed);
    // Its name is free again, its id is not.
    world.ok(token(3, MemberRole::Node, Some(RegionId(1))));
    let joined = world.ok(Change::Join {
        hash: [3; 32],
        member: new_member("oakland"),
    });
    assert!(matches!(
        joined,
        DirectoryReply::Joined {
            member: MemberId(3),
            ..
        }
    ));
}

#[test]
fn a_retried_command_is_answered_as_the_first_time() {
    let mut world = World::new();
    let create = |sequence| DirectoryCommand {
        origin: Some(Origin {
            member: MemberId(1),
            incarnation: Incarnation(1),
            sequence,
        }),
        change: create(campaign(&format!("c{sequence}"))),
    };
    let first = world.apply(create(1));
    world.apply(create(2));
    let events = world.events.len();
    assert_eq!(world.apply(create(1)), first);
    assert_eq!(world.events.len(), events, "nothing is told twice");
    assert_eq!(world.directory.campaigns().count(), 2);
    for sequence in 3..=limits::RETRY_WINDOW as u64 + 1 {
        world.apply(create(sequence));
    }
    let late = world.apply(create(1));
    assert!(matches!(late, DirectoryReply::Rejected(r) if r.field == "origin"));
}

#[test]
fn a_campaign_may_have_who_answers_listened_to() {
    let mut world = World::new();
    let say = |campaign, machines| Change::SetAnsweringMachines {
        campaign: CampaignId(campaign),
        machines,
    };
    let (off, hang_up) = (AnsweringMachines::Off, AnsweringMachines::HangUp);
    assert_eq!(world.no(say(1, hang_up)).field, "campaign");
    world.ok(create(campaign("autumn")));
    assert_eq!(world.directory.answering_machines(CampaignId(1)), off);
    let told = |world: &mut World, machines| {
        world.events.clear();
        world.ok(say(1, machines));
        let told: Vec<Fact> = (world.events.drain(..))
            .flat_map(|event| match event {
                DirectoryEvent::Changed { facts, .. } => facts,
                other => panic!("{other:?}"),
            })
            .collect();
        told
    };
    let fact = |machines| Fact::Answering(CampaignId(1), machines);
    assert_eq!(told(&mut world, off), [], "it was so before");
    assert_eq!(told(&mut world, hang_up), [fact(hang_up)]);
    assert_eq!(told(&mut world, hang_up), []);
    let kept = [(CampaignId(1), hang_up)];
    assert_eq!(world.directory.facts().answering, kept);
    assert_eq!(told(&mut world, off), [fact(off)]);
    assert!(world.directory.facts().answering.is_empty());
}

#[test]
fn a_campaigns_hold_out_is_kept_beside_it_up_to_its_bound() {
    let mut world = World::new();
    let say = |campaign, percent| Change::SetHoldOut {
        campaign: CampaignId(campaign),
        percent,
    };
    let refused = world.no(say(1, 5));
    let want = "is 1, and a hold-out share (hold_out_percent) needs 4; upgrade";
    assert!(refused.to_string().contains(want), "{refused}");
    let before = world.directory.snapshot();
    for id in [MemberId(1), MemberId(2)] {
        let version = MeshVersion::HOLD_OUT;
        world.ok(Change::Understand { id, version });
    }
    assert_ne!(before[1], world.directory.snapshot()[1]);
    assert_eq!(world.no(say(1, 5)).field, "campaign");
    world.ok(create(campaign("autumn")));
    let refused = world.no(say(1, limits::HOLD_OUT_PERCENT + 1));
    let want = "campaign.hold_out_percent: 21 is not within 0 to 20 (limit 20)";
    assert_eq!(
        (refused.to_string().as_str(), refused.limit),
        (want, Some(20))
    );
    let told = |world: &mut World, percent| {
        world.events.clear();
        world.ok(say(1, percent));
        let told: Vec<Fact> = (world.events.drain(..))
            .flat_map(|event| match event {
                DirectoryEvent::Changed { facts, .. } => facts,
                other => panic!("{other:?}"),
            })
            .collect();
        told
    };
    let fact = |percent| Fact::HoldOut(CampaignId(1), percent);
    assert_eq!(told(&mut world, 0), [], "it was so before");
    assert_eq!(told(&mut world, 20), [fact(20)]);
    assert_eq!(told(&mut world, 20), []);
    assert_eq!(world.directory.hold_out(CampaignId(1)), 20);
    assert_eq!(world.directory.facts().hold_outs, [(CampaignId(1), 20)]);
    let restored = Directory::restore(&world.directory.snapshot()).unwrap();
    assert!(restored == world.directory);
    assert_eq!(told(&mut world, 0), [fact(0)]);
    assert!(world.directory.facts().hold_outs.is_empty());
}

#[test]
fn a_campaigns_message_to_machines_is_kept_where_its_rule_pack_allows_it() {
    let mut world = World::new();
    let prompt: domain::PromptName = "autumn".to_owned().try_into().unwrap();
    let say = |campaign, prompt: Option<&domain::PromptName>| Change::SetVoiceDrop {
        campaign: CampaignId(campaign),
        prompt: prompt.cloned(),
    };
    let refused = world.no(say(1, Some(&prompt)));
    let want = "is 1, and a message to machines (voice_drop) needs 5; upgrade";
    assert!(refused.to_string().contains(want), "{refused}");
    // Nor may a retry rule name its disposition.
    let retry = RetryRule {
        after: Disposition::MessageLeft,
        delay: Duration::from_secs(86_400),
        attempts_max: 2,
    };
    let with_rule = |name: &str| Campaign {
        rule_pack: "demo".into(),
        retry: vec![retry],
        ..campaign(name)
    };
    assert_eq!(world.no(create(with_rule("autumn"))).field, "mesh.version");
    for id in [MemberId(1), MemberId(2)] {
        let version = MeshVersion::VOICE_DROP;
        world.ok(Change::Understand { id, version });
    }
    assert_eq!(world.no(say(1, None)).field, "campaign");
    world.ok(create(with_rule("autumn")));
    world.ok(create(campaign("by the law")));
    let refused = world.no(say(2, Some(&prompt)));
    assert_eq!(refused.field, "campaign.voice_drop");
    assert!(
        refused.to_string().contains("allows no message"),
        "{refused}"
    );
    world.ok(say(2, None));
    world.events.clear();
    world.ok(say(1, Some(&prompt)));
    world.ok(say(1, Some(&prompt)));
    let told: Vec<Fact> = (world.events.drain(..))
        .flat_map(|event| match event {
            DirectoryEvent::Changed { facts, .. } => facts,
            other => panic!("{other:?}"),
        })
        .collect();
    let fact = Fact::VoiceDrop(CampaignId(1), Some(prompt.clone()));
    assert_eq!(told, [fact], "once");
    assert_eq!(world.directory.voice_drop(CampaignId(1)), Some(&prompt));
    let kept = world.directory.facts().voice_drops;
    assert_eq!(kept, [(CampaignId(1), prompt)]);
    let restored = Directory::restore(&world.directory.snapshot()).unwrap();
    assert!(restored == world.directory);
    world.ok(say(1, None));
    assert!(world.directory.facts().voice_drops.is_empty());
}

#[test]
fn a_campaigns_levers_are_kept_beside_it_within_their_bounds() {
    let mut world = World::new();
    let say = |campaign, levers| Change::SetLevers {
        campaign: CampaignId(campaign),
        levers,
    };
    let some = Levers {
        target_permille: Some(30),
        inbound_agents: limits::INBOUND_AGENTS,
        ramp_up: limits::RAMP_MAX,
        ramp_down: Duration::from_secs(300),
    };
    let refused = world.no(say(1, some));
    assert_eq!(refused.field, "mesh.version");
    for id in [MemberId(1), MemberId(2)] {
        let version = MeshVersion::LEVERS;
        world.ok(Change::Understand { id, version });
    }
    assert_eq!(world.no(say(1, some)).field, "campaign");
    world.ok(create(campaign("autumn")));
    assert_eq!(world.directory.levers(CampaignId(1)), Levers::default());
    type Spoil = fn(&mut Levers);
    let cases: [(&str, Spoil, u64); 4] = [
        // The rule pack's budget.
        (
            "campaign.target_permille",
            |l| l.target_permille = Some(31),
            30,
        ),
        ("campaign.inbound_agents", |l| l.inbound_agents += 1, 5_000),
        (
            "campaign.ramp_up",
            |l| l.ramp_up += Duration::from_millis(1),
            14_400,
        ),
        ("campaign.ramp_down", |l| l.ramp_down *= 60, 14_400),
    ];
    for (field, spoil, limit) in cases {
        let mut levers = some;
        spoil(&mut levers);
        let refused = world.no(say(1, levers));
        assert_eq!(
            (refused.field.as_str(), refused.limit),
            (field, Some(limit))
        );
    }
    let told = |world: &mut World, levers| {
        world.events.clear();
        world.ok(say(1, levers));
        let told: Vec<Fact> = (world.events.drain(..))
            .flat_map(|event| match event {
                DirectoryEvent::Changed { facts, .. } => facts,
                other => panic!("{other:?}"),
            })
            .collect();
        told
    };
    let fact = |levers| Fact::Levers(CampaignId(1), levers);
    assert_eq!(told(&mut world, Levers::default()), [], "it was so before");
    assert_eq!(told(&mut world, some), [fact(some)]);
    assert_eq!(told(&mut world, some), []);
    assert_eq!(world.directory.facts().levers, [(CampaignId(1), some)]);
    let restored = Directory::restore(&world.directory.snapshot()).unwrap();
    assert!(restored == world.directory);
    assert_eq!(
        told(&mut world, Levers::default()),
        [fact(Levers::default())]
    );
    assert!(world.directory.facts().levers.is_empty());
}

#[test]
fn campaigns_are_checked_versioned_and_live_by_their_table() {
    let mut world = World::new();
    world.ok(create(campaign("autumn")));
    let told = |world: &World| world.directory.campaign(CampaignId(1)).unwrap().clone();
    type Spoil = fn(&mut Campaign);
    let cases: [(&str, Spoil); 13] = [
        ("campaign.name", |c| c.name = "autumn".into()),
        ("campaign.name", |c| {
            c.name = "x".repeat(limits::NAME_BYTES + 1)
        }),
        ("campaign.regions", |c| c.regions = vec![RegionId(9)]),
        ("campaign.ring_limit", |c| {
            c.ring_limit = Duration::from_millis(14_999)
        }),
        ("campaign.ring_limit", |c| {
            c.ring_limit = Duration::from_millis(120_001)
        }),
        ("campaign.talk_limit", |c| {
            c.talk_limit = limits::TALK_LIMIT_MAX * 2
        }),
        ("campaign.dial_level", |c| c.dial_level = DialLevel(99)),
        ("campaign.rule_pack", |c| c.rule_pack = "atlantis".into()),
        ("campaign", |c| c.answer_limit = Duration::from_secs(60)),
        ("campaign.attempts_max", |c| c.attempts_max = 0),
        ("campaign.default_disposition", |c| {
            c.default_disposition = DispositionCode(1)
        }),
        ("campaign.dispositions", |c| {
            c.dispositions = vec![c.dispositions[0].clone(); 2];
        }),
        ("campaign.retry", |c| {
            let rule = RetryRule {
                after: Disposition::Busy,
                delay: Duration::ZERO,
                attempts_max: 1,
            };
            c.retry = vec![rule; 2];
        }),
    ];
    for (field, spoil) in cases {
        let mut bad = campaign("winter");
        spoil(&mut bad);
        assert_eq!(world.no(create(bad)).field, field);
    }
    let state = |state, if_match| Change::SetCampaignState {
        id: CampaignId(1),
        state,
        if_match,
    };
    assert_eq!(
        world.no(state(CampaignState::Running, Some(2))).version,
        Some(1)
    );
    assert_eq!(world.no(state(CampaignState::Paused, None)).field, "state");
    world.ok(state(CampaignState::Running, Some(1)));
    world.ok(state(CampaignState::Running, None));
    assert_eq!(
        told(&world).version,
        2,
        "a wish that is fulfilled changes nothing"
    );
    let set = |campaign: Campaign, if_match| Change::SetCampaign {
        campaign: Box::new(campaign),
        if_match,
    };
    let mut renamed = told(&world);
    renamed.dispositions[0].name = "sold".into();
    assert_eq!(world.no(set(renamed, None)).field, "campaign.dispositions");
    let grown = Campaign {
        attempts_max: 5,
        state: CampaignState::Stopped,
        ..told(&world)
    };
    world.ok(set(grown, Some(2)));
    assert_eq!(
        (told(&world).state, told(&world).version),
        (CampaignState::Running, 3)
    );
    world.ok(state(CampaignState::Stopped, None));
    assert_eq!(world.no(state(CampaignState::Running, None)).field, "state");
    assert_eq!(world.no(set(told(&world), None)).field, "campaign.state");
    world.ok(create(campaign("autumn")));
}

#[test]
fn the_drawing_of_a_campaign_s_life() {
    let drawing = work::CAMPAIGN_LIFE.drawing();
    assert_eq!(drawing, include_str!("campaign_life.md"));
}

#[test]
fn caller_ids_belong_to_one_trunk() {
    let mut world = World::new();
    for name in ["one", "two"] {
        world.ok(Change::SetTrunk { trunk: trunk(name) });
    }
    assert_eq!(
        world
            .no(Change::SetTrunk {
                trunk: trunk("one")
            })
            .field,
        "trunk.name"
    );
    let set = |caller_ids| Change::SetCallerIds { caller_ids };
    world.ok(set(vec![caller_id(1, 1)]));
    assert_eq!(
        world.no(set(vec![caller_id(2, 1), caller_id(1, 2)])).field,
        "caller_ids.number"
    );
    assert_eq!(
        world.no(set(vec![caller_id(2, 9)])).field,
        "caller_ids.trunk"
    );
    let mut greedy = caller_id(2, 1);
    greedy.caps.per_day = limits::CALLER_ID_CAP + 1;
    assert_eq!(world.no(set(vec![greedy])).field, "caller_ids.caps");
    greedy.caps.per_day = limits::CALLER_ID_CAP;
    world.ok(set(vec![greedy]));
    let batch = |n: usize| {
        (0..n as u64)
            .map(|i| caller_id(10 + i, 1))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        world.no(set(batch(limits::CALLER_ID_BATCH + 1))).limit,
        Some(1000)
    );
    world.ok(set(batch(limits::CALLER_ID_BATCH)));
    let remove = Change::RemoveTrunk { id: TrunkId(1) };
    assert_eq!(world.no(remove.clone()).field, "trunk");
    world.ok(Change::RemoveTrunk { id: TrunkId(2) });
    let mut elsewhere = trunk("three");
    elsewhere.node = MemberId(1);
    assert_eq!(
        world.no(Change::SetTrunk { trunk: elsewhere }).field,
        "trunk.node"
    );
}

#[test]
fn agents_are_unique_and_at_a_node() {
    let mut world = World::new();
    let set = |agent: AgentAccount| Change::SetAgent {
        agent: Box::new(agent),
    };
    assert_eq!(
        world.ok(set(agent("ann"))),
        DirectoryReply::Agent(AgentId(1))
    );
    assert_eq!(world.no(set(agent("ann"))).field, "agent.login");
    assert_eq!(world.no(set(agent("Ann"))).field, "agent.login");
    assert_eq!(world.no(set(agent(&"a".repeat(33)))).limit, Some(32));
    world.ok(set(agent(&"a".repeat(32))));
    let mut bad = agent("bob");
    bad.token_hash.pop();
    assert_eq!(world.no(set(bad)).field, "agent.token_hash");
    let mut bad = agent("bob");
    bad.node = MemberId(1);
    assert_eq!(world.no(set(bad)).field, "agent.node");
    world.ok(Change::RemoveAgent { id: AgentId(1) });
    assert!(matches!(
        world.events.last(),
        Some(DirectoryEvent::Changed { facts, .. }) if facts == &[Fact::AgentRemoved(AgentId(1))]
    ));
}

#[test]
fn api_tokens_are_found_by_hash_until_revoked_or_expired() {
    let mut world = World::new();
    let add = |hash: u8, expires_at| Change::AddApiToken {
        hash: [hash; 32],
        name: "ci".into(),
        role: Role::Admin,
        scopes: vec![TokenScope::Region(RegionId(1))],
        expires_at,
    };
    let made = world.ok(add(1, Some(wall(60))));
    assert_eq!(
        world.ok(add(1, Some(wall(60)))),
        made,
        "the same secret is the same token"
    );
    world.ok(add(2, None));
    let works = |world: &World, hash: u8, at| world.directory.api_token(&[hash; 32], at).is_some();
    assert!(works(&world, 1, wall(59)) && !works(&world, 1, wall(60)));
    assert!(works(&world, 2, wall(1_000_000)));
    let DirectoryReply::Token(id) = made else {
        panic!("{made:?}");
    };
    world.ok(Change::RevokeApiToken { id });
    assert!(!works(&world, 1, wall(0)));
    assert_eq!(world.no(add(3, Some(wall(0)))).field, "token.expires_at");
}

#[test]
fn adding_to_do_not_call_wins_over_removing() {
    let mut world = World::new();
    let DirectoryReply::Dnc {
        index: first,
        added: 2,
        ..
    } = world.ok(dnc(vec![entry(1), entry(2)], vec![]))
    else {
        panic!("not two");
    };
    // Together in one batch, and after a renewal that the remover had not seen.
    let both = world.ok(dnc(vec![entry(1)], vec![removal(1, first)]));
    let DirectoryReply::Dnc {
        index: second,
        renewed: 1,
        removed: 0,
        kept: 1,
        ..
    } = both
    else {
        panic!("{both:?}");
    };
    world.ok(dnc(vec![], vec![removal(1, first)]));
    assert!(
        world
            .directory
            .dnc_covers(number(1), CampaignId(1), RegionId(1))
    );
    // Nor may a removal guess the index of the batch it comes in.
    let guess = world.index + 1;
    world.ok(dnc(vec![entry(3)], vec![removal(3, guess)]));
    assert!(
        world
            .directory
            .dnc_covers(number(3), CampaignId(1), RegionId(1))
    );
    let gone = world.ok(dnc(vec![], vec![removal(1, second)]));
    assert!(matches!(gone, DirectoryReply::Dnc { removed: 1, .. }));
    assert!(
        !world
            .directory
            .dnc_covers(number(1), CampaignId(1), RegionId(1))
    );
    assert_eq!(world.directory.dnc_index(), world.index);
    let Some(DirectoryEvent::Dnc {
        index,
        added,
        removed,
    }) = world.events.last()
    else {
        panic!("no event");
    };
    assert_eq!((*index, added.len(), removed.len()), (world.index, 0, 1));
    let silent = Change::ChangeDnc {
        add: vec![],
        remove: vec![removal(2, first)],
        reason: String::new(),
    };
    assert_eq!(world.no(silent).field, "reason");
}

#[test]
fn do_not_call_scopes_and_bounds() {
    let mut world = World::new();
    let scoped = |n, scope| DncEntry { scope, ..entry(n) };
    world.ok(dnc(
        vec![
            scoped(1, DncScope::Campaign(CampaignId(4))),
            scoped(1, DncScope::Region(RegionId(5))),
        ],
        vec![],
    ));
    let covers = |world: &World, c, r| {
        world
            .directory
            .dnc_covers(number(1), CampaignId(c), RegionId(r))
    };
    assert!(covers(&world, 4, 9) && covers(&world, 9, 5) && !covers(&world, 9, 9));
    assert_eq!(world.directory.dnc_of(number(1)).count(), 2);
    let many = |n: usize| (0..n as u64).map(entry).collect::<Vec<_>>();
    assert_eq!(
        world.no(dnc(many(limits::DNC_BATCH + 1), vec![])).limit,
        Some(1000)
    );
    world.ok(dnc(many(limits::DNC_BATCH), vec![]));
    assert_eq!(world.directory.dnc_len(), limits::DNC_BATCH + 2);
}

#[test]
fn home_rules_send_numbers_home() {
    let mut world = World::new();
    world.ok(Change::SetRegion {
        id: None,
        name: "east".into(),
    });
    let rule = |when, region| HomeRule {
        when,
        region: RegionId(region),
    };
    let rules = vec![
        rule(HomeMatch::Default, 1),
        rule(HomeMatch::Prefix(1212), 2),
        rule(HomeMatch::Prefix(1), 1),
    ];
    world.ok(Change::SetHomeRules {
        rules: rules.clone(),
    });
    let home = |text: &str| world.directory.home_region(text.parse().unwrap());
    assert_eq!(home("+12125550100"), Some(RegionId(2)));
    assert_eq!(home("+14155550100"), Some(RegionId(1)));
    for bad in [
        vec![rule(HomeMatch::Default, 9)],
        vec![rules[0].clone(), rules[0].clone()],
        vec![rule(HomeMatch::Prefix(0), 1)],
        vec![rule(HomeMatch::City(String::new()), 1)],
        vec![rule(HomeMatch::Default, 1); limits::HOME_RULES + 1],
    ] {
        assert!(
            world
                .no(Change::SetHomeRules { rules: bad })
                .field
                .starts_with("home_rules")
        );
    }
}

#[test]
fn tables_are_full_at_their_limits() {
    let mut world = World::new();
    let member = world.directory.member(MemberId(1)).unwrap().clone();
    let spare = |n: usize| {
        let copy = |i: usize| Member {
            id: MemberId(1000 + i as u64),
            name: format!("spare-{i}"),
            ..member.clone()
        };
        (0..n).map(copy).map(|m| (m.id, m)).collect::<Vec<_>>()
    };
    world.directory.members.extend(spare(limits::MEMBERS - 3));
    for (hash, name, fits) in [(5, "last", true), (6, "over", false)] {
        world.ok(token(hash, MemberRole::Coordinator, None));
        let join = Change::Join {
            hash: [hash; 32],
            member: new_member(name),
        };
        let reply = world.change(join);
        assert_eq!(
            matches!(reply, DirectoryReply::Joined { .. }),
            fits,
            "{reply:?}"
        );
    }
}

#[test]
fn resets_carry_everything_an_engine_needs() {
    let mut world = World::new();
    world.ok(create(campaign("autumn")));
    world.ok(dnc(vec![entry(1)], vec![]));
    let DirectoryEvent::Reset(facts) = world.directory.reset_event() else {
        panic!("not a reset");
    };
    assert_eq!(facts.index, world.index);
    assert_eq!(facts.dnc_index, world.index);
    assert_eq!((facts.members.len(), facts.regions.len()), (2, 1));
    assert_eq!((facts.campaigns.len(), facts.dnc.len()), (1, 1));
    assert_eq!(facts.mesh, Some(MeshId(7)));
}

#[test]
fn the_head_of_an_audit_chain_only_moves_on() {
    let mut world = World::new();
    let anchor = |member, sequence, byte| Change::AnchorAudit {
        member: MemberId(member),
        sequence,
        hash: [byte; 32],
    };
    assert_eq!(world.ok(anchor(1, 5, 7)), DirectoryReply::Done);
    assert_eq!(world.directory.audit_head(MemberId(1)), Some((5, [7; 32])));
    // Said again, and further on.
    world.ok(anchor(1, 5, 7));
    world.ok(anchor(1, 9, 8));
    assert_eq!(world.no(anchor(1, 8, 8)).field, "sequence");
    assert_eq!(world.no(anchor(1, 9, 7)).field, "hash");
    assert_eq!(world.no(anchor(99, 1, 1)).field, "member");
    assert_eq!(world.directory.audit_heads().count(), 1);
}

fn base(n: u8) -> NewDncBase {
    NewDncBase {
        id: DncBaseId([n; 32]),
        file_bytes: 4096,
        count: 1000,
        source: "a registry".into(),
        built_at: wall(0),
    }
}

fn use_base(n: Option<u8>, force: bool, reason: &str) -> Change {
    Change::UseDncBase {
        id: n.map(|n| DncBaseId([n; 32])),
        force,
        reason: reason.into(),
    }
}

#[test]
fn a_base_is_used_once_every_node_holds_it() {
    let mut world = World::new();
    let id = DncBaseId([1; 32]);
    assert_eq!(world.no(use_base(Some(1), true, "")).field, "id");
    world.ok(Change::StageDncBase { base: base(1) });
    // Said again it changes nothing; described otherwise it is refused.
    world.ok(Change::StageDncBase { base: base(1) });
    let other = NewDncBase {
        count: 999,
        ..base(1)
    };
    assert_eq!(world.no(Change::StageDncBase { base: other }).field, "base");
    let why = world.no(use_base(Some(1), false, "")).why;
    assert!(why.contains("oakland") && why.contains("force"), "{why}");
    let held = |member| Change::HoldDncBase { member, id };
    assert_eq!(world.no(held(MemberId(9))).field, "member");
    world.ok(held(MemberId(2)));
    let DirectoryReply::DncBase { index } = world.ok(use_base(Some(1), false, "")) else {
        panic!("another answer");
    };
    assert_eq!((index, world.index), (world.directory.dnc_index(), index));
    assert_eq!(world.directory.dnc_base_in_use(), Some(id));
    assert_eq!(world.directory.facts().dnc_base, Some(id));
    let told = DirectoryEvent::Changed {
        index,
        facts: vec![Fact::DncBase(Some(id))],
    };
    assert_eq!(world.events.last(), Some(&told));
    // Another, by force; then none, with a reason.
    assert_eq!(world.no(Change::DropDncBase { id }).field, "id");
    world.ok(Change::StageDncBase { base: base(2) });
    world.ok(use_base(Some(2), true, ""));
    world.ok(Change::DropDncBase { id });
    assert_eq!(world.no(held(MemberId(2))).field, "id");
    assert_eq!(world.no(use_base(None, false, " ")).field, "reason");
    world.ok(use_base(None, false, "withdrawn"));
    assert_eq!(world.directory.dnc_base_in_use(), None);
}

#[test]
fn bases_have_bounds() {
    let mut world = World::new();
    let numbers = |count| Change::StageDncBase {
        base: NewDncBase { count, ..base(100) },
    };
    assert_eq!(world.no(numbers(0)).field, "base.count");
    let over = world.no(numbers(limits::DNC_BASE_NUMBERS + 1));
    assert_eq!(over.limit, Some(limits::DNC_BASE_NUMBERS));
    for n in 0..limits::DNC_BASES as u8 {
        world.ok(Change::StageDncBase { base: base(n) });
    }
    let over = world.no(Change::StageDncBase { base: base(99) });
    assert_eq!(
        (over.field.as_str(), over.limit),
        ("bases", Some(limits::DNC_BASES as u64))
    );
}

#[test]
fn rules_for_simulations_never_meet_a_real_network() {
    let mut world = World::new();
    let state = |state| Change::SetCampaignState {
        id: CampaignId(1),
        state,
        if_match: None,
    };
    let set = |address: &str, id| Change::SetTrunk {
        trunk: Trunk {
            id: TrunkId(id),
            address: address.into(),
            ..trunk("carrier")
        },
    };
    world.ok(Change::CreateCampaign {
        campaign: Box::new(Campaign {
            rule_pack: "demo".into(),
            ..campaign("a show")
        }),
    });
    world.ok(set("198.51.100.1:5060", 0));
    let refused = world.no(state(CampaignState::Running));
    assert_eq!(refused.field, "campaign.rule_pack");
    assert!(refused.why.contains("carrier"), "{}", refused.why);
    for home in ["127.0.0.7:5060", "[::1]:5060", "localhost:5060"] {
        world.ok(set(home, 1));
    }
    world.ok(state(CampaignState::Running));
    for real in [
        "198.51.100.1:5060",
        "[2001:db8::1]:5060",
        "sip.example.net:5060",
    ] {
        assert_eq!(world.no(set(real, 1)).field, "trunk.address");
    }
    // By rules for real networks it may go anywhere, and so may the trunk once the show is over.
    world.ok(state(CampaignState::Paused));
    world.ok(set("198.51.100.1:5060", 1));
    assert_eq!(
        world.no(state(CampaignState::Running)).field,
        "campaign.rule_pack"
    );
    let known = world.directory.campaign(CampaignId(1)).unwrap().clone();
    world.ok(Change::SetCampaign {
        campaign: Box::new(Campaign {
            rule_pack: "us-federal".into(),
            ..known
        }),
        if_match: None,
    });
    world.ok(state(CampaignState::Running));
}

#[test]
fn a_registry_does_not_take_over_what_others_asked_for() {
    let mut world = World::new();
    let by = |n, source| DncEntry { source, ..entry(n) };
    world.ok(dnc(
        vec![by(1, DncSource::Person), by(2, DncSource::Registry)],
        vec![],
    ));
    let again = vec![by(1, DncSource::Registry), by(2, DncSource::Admin)];
    world.ok(dnc(again, vec![]));
    let of = |n| {
        world
            .directory
            .dnc_entry(number(n), DncScope::Mesh)
            .unwrap()
    };
    assert_eq!(of(1).entry.source, DncSource::Person);
    assert_eq!(of(2).entry.source, DncSource::Admin);
    assert_eq!(
        (of(1).index, of(2).index),
        (world.index, world.index),
        "renewed"
    );
}

#[test]
fn a_campaigns_order_of_leads_is_kept_beside_it() {
    let mut world = World::new();
    let say = |campaign, order| Change::SetLeadOrder {
        campaign: CampaignId(campaign),
        order,
    };
    let refused = world.no(say(1, LeadOrder::BestChance));
    assert_eq!(refused.field, "mesh.version");
    assert!(
        refused.to_string().contains("an order of leads needs 4"),
        "{refused}"
    );
    for id in [MemberId(1), MemberId(2)] {
        let version = MeshVersion::LEAD_ORDER;
        world.ok(Change::Understand { id, version });
    }
    assert_eq!(world.no(say(1, LeadOrder::BestChance)).field, "campaign");
    world.ok(create(campaign("autumn")));
    assert_eq!(world.directory.lead_order(CampaignId(1)), LeadOrder::Oldest);
    let told = |world: &mut World, order| {
        world.events.clear();
        world.ok(say(1, order));
        let told: Vec<Fact> = (world.events.drain(..))
            .flat_map(|event| match event {
                DirectoryEvent::Changed { facts, .. } => facts,
                other => panic!("{other:?}"),
            })
            .collect();
        told
    };
    let fact = |order| Fact::LeadOrder(CampaignId(1), order);
    assert_eq!(told(&mut world, LeadOrder::Oldest), [], "it was so before");
    assert_eq!(
        told(&mut world, LeadOrder::BestChance),
        [fact(LeadOrder::BestChance)]
    );
    assert_eq!(told(&mut world, LeadOrder::BestChance), []);
    let kept = [(CampaignId(1), LeadOrder::BestChance)];
    assert_eq!(world.directory.facts().lead_orders, kept);
    let restored = Directory::restore(&world.directory.snapshot()).unwrap();
    assert!(restored == world.directory);
    assert_eq!(
        told(&mut world, LeadOrder::Oldest),
        [fact(LeadOrder::Oldest)]
    );
    assert!(world.directory.facts().lead_orders.is_empty());
}
