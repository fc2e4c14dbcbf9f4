//! Who a person is who calls: a member answers from its copy of the region's group, and asks others where
//! it has none. Only who may have the region's data is told.
#![allow(clippy::unwrap_used, reason = "tests")]

use domain::{
    Campaign, CampaignId, CampaignState, DialLevel, DispositionCode, HomeMatch, HomeRule,
    Incarnation, KnownPerson, LeadProfile, ListId, MemberId, MemberRole, NewLead, PacingMode,
    PhoneNumber, RegionId,
};
use ledger::{
    Change, DirectoryCommand, DirectoryReply, MeshId, NewMember, Place, RegionCommand,
    RegionPolicy, RegionReply,
};
use member::{Member, MemberConfig, NOT_FOR_YOU, WHO_CALLS, WhoCalls, decode, encode, save_peers};
use mesh::{MemberKey, MeshCa, RpcError};
use service::{Shutdown, Tasks, clock};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

const WAIT: Duration = Duration::from_secs(30);
const SOUTH: RegionId = RegionId(1);

fn number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(12_125_550_000 + n).unwrap()
}

fn campaign() -> Campaign {
    Campaign {
        id: CampaignId(0),
        name: "spring".into(),
        state: CampaignState::Draft,
        regions: vec![SOUTH],
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: Duration::from_secs(15),
        talk_limit: Duration::from_secs(600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "demo".into(),
        retry: Vec::new(),
        attempts_max: 3,
        dispositions: vec![domain::AgentDisposition {
            name: "sale".into(),
            flags: domain::DispositionFlags::default(),
        }],
        default_disposition: DispositionCode(0),
        any_city_caller_id: true,
        version: 1,
    }
}

async fn boot(ca: &MeshCa, id: u64, dir: &Path, peers: &BTreeMap<MemberId, SocketAddr>) -> Started {
    let key = MemberKey::generate();
    let chain = ca.issue(
        MemberId(id),
        &key.csr().unwrap(),
        clock::wall(),
        Duration::from_secs(86_400),
    );
    let data_dir = dir.join(id.to_string());
    std::fs::create_dir_all(&data_dir).unwrap();
    save_peers(&data_dir, peers).unwrap();
    let config = MemberConfig {
        data_dir,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        keys: storage::DataKeys::ephemeral(),
        identity: key.certified(chain.unwrap()).unwrap(),
        authority: None,
        freshness: Duration::from_secs(30),
        listener: None,
    };
    let tasks = Tasks::new(Shutdown::new());
    let member = Member::start(config, &tasks).await.unwrap();
    Started {
        member,
        _tasks: tasks,
    }
}

/// A member; dropping it ends its tasks.
struct Started {
    member: Member,
    _tasks: Tasks,
}

fn new_member(name: &str, member: &Member) -> NewMember {
    NewMember {
        name: name.into(),
        mesh_address: member.endpoint().local_address().unwrap().to_string(),
        http_address: "http://127.0.0.1:1".into(),
    }
}

async fn change(member: &Member, change: Change) -> DirectoryReply {
    let command = DirectoryCommand::from(change);
    let committed = (member.directory().propose_again(&command, WAIT).await).unwrap();
    let refused = matches!(committed.reply, DirectoryReply::Rejected(_));
    assert!(!refused, "{:?}", committed.reply);
    committed.reply
}

async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < WAIT, "{what}: not within {WAIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A lead of the region, held by a session of the node.
async fn one_is_called(centre: &Member, node: MemberId) {
    let create = Change::CreateCampaign {
        campaign: Box::new(campaign()),
    };
    let DirectoryReply::Campaign { id: campaign, .. } = change(centre, create).await else {
        panic!("no campaign")
    };
    let run = Change::SetCampaignState {
        id: campaign,
        state: CampaignState::Running,
        if_match: None,
    };
    change(centre, run).await;
    let lead = |n| NewLead {
        number: number(n),
        zones: vec![domain::zones::find("America/New_York").unwrap()],
        priority: 0,
        profile: LeadProfile {
            name: "Ada".into(),
            ..LeadProfile::default()
        },
    };
    let import = RegionCommand::Import {
        list: ListId(1),
        campaign,
        batch: 1,
        rows: vec![lead(1)],
    };
    let propose = async |command: &RegionCommand| {
        let group = centre.region(SOUTH)?;
        Some(group.propose_again(command, WAIT).await.ok()?.reply)
    };
    until("the lead is there", async || {
        let reply = propose(&import).await?;
        matches!(reply, RegionReply::Imported { .. }).then_some(())
    })
    .await;
    let open = RegionCommand::OpenSession {
        node,
        incarnation: Incarnation(1),
        ttl: Duration::from_secs(30),
    };
    let Some(RegionReply::SessionOpened { session, .. }) = propose(&open).await else {
        panic!("no session")
    };
    let mut sequence = 0;
    until("it is leased", async || {
        sequence += 1;
        let claim = RegionCommand::Claim {
            session,
            campaign,
            n: 1,
            sequence,
        };
        match propose(&claim).await? {
            RegionReply::Claimed { leads, .. } => (!leads.is_empty()).then_some(()),
            _ => None,
        }
    })
    .await;
}

/// What `of` answers to `by`.
async fn asked(by: &Member, of: &Member, n: u64) -> Result<Option<KnownPerson>, RpcError> {
    let question = encode(&WhoCalls {
        region: SOUTH,
        number: number(n),
    });
    let answer = by.endpoint().rpc(of.id(), WHO_CALLS, question, WAIT).await;
    answer.map(|answer| decode(&answer).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_tell_each_other_who_calls_and_nobody_outside_a_regions_domain() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(&dir.path().join("ca"), clock::wall()).unwrap();
    let first = boot(&ca, 1, dir.path(), &BTreeMap::new()).await;
    let centre = &first.member;
    let found = Change::Found {
        mesh: MeshId(7),
        member: new_member("centre", centre),
    };
    change(centre, found).await;
    let name = "south".to_owned();
    change(centre, Change::SetRegion { id: None, name }).await;
    let all = HomeRule {
        when: HomeMatch::Default,
        region: SOUTH,
    };
    let homes = Change::PlanHomes {
        rules: vec![all],
        move_leads: false,
    };
    change(centre, homes).await;
    let peers = BTreeMap::from([(MemberId(1), centre.endpoint().local_address().unwrap())]);
    let second = boot(&ca, 2, dir.path(), &peers).await;
    let node = &second.member;
    let hash = [2; 32];
    let token = Change::AddJoinToken {
        hash,
        role: MemberRole::Node,
        region: Some(SOUTH),
        expires_at: clock::wall() + WAIT,
    };
    change(centre, token).await;
    let member = new_member("city", node);
    change(centre, Change::Join { hash, member }).await;
    one_is_called(centre, node.id()).await;

    // Whether it has a copy of the group yet or not: then others are asked.
    let person = until("who calls is known", async || {
        let asked = node.who_calls(number(1), Duration::from_secs(1)).await;
        asked.ok().flatten()
    })
    .await;
    assert_eq!(person.profile.name, "Ada");
    assert_eq!(asked(node, centre, 1).await.unwrap(), Some(person.clone()));
    assert_eq!(asked(node, centre, 2).await.unwrap(), None, "a stranger");
    assert_eq!(node.who_calls(number(2), WAIT).await, Ok(None));

    // The region's data stays with the node.
    let place = Place {
        failure_domain: None,
        legal_domain: Some("cn".into()),
    };
    let id = node.id();
    change(centre, Change::PlaceMember { id, place }).await;
    let policy = RegionPolicy {
        legal_domain: Some("cn".into()),
        ..RegionPolicy::default()
    };
    change(centre, Change::SetRegionPolicy { id: SOUTH, policy }).await;
    until("both know the policy", async || {
        let knows = |member: &Member| {
            (member.directory()).read(|d| d.region_policy(SOUTH).legal_domain.is_some())
        };
        (knows(centre) && knows(node)).then_some(())
    })
    .await;
    assert_eq!(centre.who_calls(number(1), WAIT).await, Ok(None));
    match asked(centre, node, 1).await {
        Err(RpcError::Service { code, message, .. }) => {
            assert_eq!(code, NOT_FOR_YOU, "{message}");
            assert!(!message.contains("2125550001"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(node.who_calls(number(1), WAIT).await, Ok(Some(person)));
    for member in [node, centre] {
        member.shut_down().await;
    }
}
