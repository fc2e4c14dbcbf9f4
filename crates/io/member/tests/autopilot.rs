//! Voters of real groups over real links: who is lost is replaced, who drains hands over first, who
//! flickers waits.
#![allow(clippy::unwrap_used, reason = "tests")]

use consensus::{GroupId, GroupStatus};
use domain::{MemberId, MemberRole, RegionId, WallTime};
use ledger::{
    Change, DirectoryCommand, DirectoryReply, MeshId, NewMember, Place, RegionPolicy, VoterPolicy,
};
use member::{Member, MemberConfig, VotersReport, save_peers};
use mesh::{MemberKey, MeshCa};
use service::{Shutdown, Tasks};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};
use storage::{DataKeys, Journal, JournalOptions};

const WAIT: Duration = Duration::from_secs(60);
const SOUTH: RegionId = RegionId(1);
const GRACE: Duration = Duration::from_secs(10);

fn wall() -> WallTime {
    service::clock::wall()
}

fn ids(members: impl IntoIterator<Item = u64>) -> BTreeSet<MemberId> {
    members.into_iter().map(MemberId).collect()
}

/// A member that comes back opens what it left.
fn keys() -> &'static DataKeys {
    static KEYS: std::sync::OnceLock<DataKeys> = std::sync::OnceLock::new();
    KEYS.get_or_init(DataKeys::ephemeral)
}

/// Members of one mesh on this machine.
struct Mesh {
    dir: tempfile::TempDir,
    ca: MeshCa,
    addresses: BTreeMap<MemberId, SocketAddr>,
    members: BTreeMap<u64, Member>,
    /// Each member's own, as each is a process.
    tasks: BTreeMap<u64, Tasks>,
}

impl Mesh {
    /// A coordinator and three nodes of one region, in different failure domains.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mesh = Self {
            ca: MeshCa::create(&dir.path().join("ca"), wall()).unwrap(),
            dir,
            addresses: BTreeMap::new(),
            members: BTreeMap::new(),
            tasks: BTreeMap::new(),
        };
        mesh.boot(1).await;
        let member = mesh.new_member(1);
        mesh.change(Change::Found {
            mesh: MeshId(7),
            member,
        })
        .await;
        let name = "south".to_owned();
        mesh.change(Change::SetRegion { id: None, name }).await;
        mesh.policy(1).await;
        for id in 2..=4 {
            mesh.boot(id).await;
            let hash = [id as u8; 32];
            mesh.change(Change::AddJoinToken {
                hash,
                role: MemberRole::Node,
                region: Some(SOUTH),
                expires_at: wall() + WAIT,
            })
            .await;
            let member = mesh.new_member(id);
            let joined = mesh.change(Change::Join { hash, member }).await;
            assert!(
                matches!(joined, DirectoryReply::Joined { member, .. } if member == MemberId(id))
            );
            mesh.place(id, None).await;
        }
        mesh
    }

    fn new_member(&self, id: u64) -> NewMember {
        NewMember {
            name: format!("city-{id}"),
            mesh_address: self.addresses[&MemberId(id)].to_string(),
            http_address: "http://127.0.0.1:1".into(),
        }
    }

    async fn place(&self, id: u64, legal: Option<&str>) {
        let place = Place {
            failure_domain: Some(format!("building-{id}")),
            legal_domain: legal.map(str::to_owned),
        };
        self.change(Change::PlaceMember {
            id: MemberId(id),
            place,
        })
        .await;
    }

    async fn policy(&self, stable: u64) {
        let policy = VoterPolicy {
            voters: 3,
            grace: GRACE,
            stable: Duration::from_secs(stable),
        };
        self.change(Change::SetVoterPolicy { policy }).await;
    }

    async fn drain(&self, id: u64, on: bool) {
        self.change(Change::DrainMember {
            id: MemberId(id),
            on,
        })
        .await;
    }

    async fn boot(&mut self, id: u64) {
        let key = MemberKey::generate();
        let chain = self
            .ca
            .issue(MemberId(id), &key.csr().unwrap(), wall(), 10 * WAIT)
            .unwrap();
        let data_dir = self.dir.path().join(id.to_string());
        std::fs::create_dir_all(&data_dir).unwrap();
        save_peers(&data_dir, &self.addresses).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = MemberConfig {
            keys: keys().clone(),
            data_dir,
            listen: self.addresses.get(&MemberId(id)).copied().unwrap_or(any),
            identity: key.certified(chain).unwrap(),
            authority: None,
            freshness: Duration::from_secs(30),
            listener: None,
        };
        let tasks = Tasks::new(Shutdown::new());
        let member = Member::start(config, &tasks).await.unwrap();
        self.tasks.insert(id, tasks);
        let address = member.endpoint().local_address().unwrap();
        self.addresses.insert(MemberId(id), address);
        self.members.insert(id, member);
        for member in self.members.values() {
            member.endpoint().set_addresses(&self.addresses);
        }
    }

    async fn change(&self, change: Change) -> DirectoryReply {
        let any = self.members.values().next().unwrap();
        let command = DirectoryCommand::from(change);
        let committed = any.directory().propose_again(&command, WAIT).await.unwrap();
        assert!(
            !matches!(committed.reply, DirectoryReply::Rejected(_)),
            "{:?}",
            committed.reply
        );
        committed.reply
    }

    fn status(&self, group: GroupId) -> Option<GroupStatus> {
        let leads = |member: &&Member| match group {
            GroupId::Directory => member.directory().is_leader(),
            GroupId::Region(region) => member.region(region).is_some_and(|g| g.is_leader()),
        };
        let member = self.members.values().find(leads)?;
        Some(match group {
            GroupId::Directory => member.directory().status(),
            GroupId::Region(region) => member.region(region)?.status(),
        })
    }

    /// Waits until the leaders of both groups see the voters so.
    async fn voters(&self, wanted: impl Fn(&GroupStatus) -> bool, what: &str) -> Vec<GroupStatus> {
        let began = Instant::now();
        loop {
            let seen = [GroupId::Directory, GroupId::Region(SOUTH)].map(|g| self.status(g));
            if seen.iter().all(|s| s.as_ref().is_some_and(&wanted)) {
                return seen.into_iter().flatten().collect();
            }
            assert!(
                began.elapsed() < WAIT,
                "{what}: {seen:?} {:?}",
                self.reports().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn reports(&self) -> Vec<Option<VotersReport>> {
        // From a member that need not lead: it asks who does.
        let last = self.members.values().next_back().unwrap();
        vec![
            last.voters_report(GroupId::Directory).await,
            last.voters_report(GroupId::Region(SOUTH)).await,
        ]
    }

    /// Waits until the leaders of both groups give such a reason.
    async fn reason(&self, words: &str) {
        let began = Instant::now();
        loop {
            let reports = self.reports().await;
            if reports
                .iter()
                .all(|r| r.as_ref().is_some_and(|r| r.why.contains(words)))
            {
                return;
            }
            assert!(began.elapsed() < WAIT, "nobody says {words:?}: {reports:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As if the process had ended.
    async fn kill(&mut self, id: u64) {
        let member = self.members.remove(&id).unwrap();
        member.endpoint().close();
        member.shut_down().await;
        // What a process's tasks hold goes with the process.
        let tasks = self.tasks.remove(&id).unwrap();
        let _cut_off = tasks.drain(Duration::ZERO).await;
        drop(member);
        let journal = self.dir.path().join(id.to_string()).join("journal");
        let began = Instant::now();
        while let Err(error) = Journal::open(&journal, JournalOptions::default(), keys()) {
            assert!(began.elapsed() < WAIT, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn leader(&self) -> u64 {
        self.status(GroupId::Directory).unwrap().leader.unwrap().0
    }
}

fn three(status: &GroupStatus) -> bool {
    status.voters.len() == 3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn voters_are_replaced_drained_and_never_flicker_in() {
    let mut mesh = Mesh::start().await;
    // The fourth joins the groups last.
    let whole = |s: &GroupStatus| three(s) && s.voters.len() + s.learners.len() == 4;
    let first = mesh.voters(whole, "three of four vote").await;
    for status in &first {
        assert!(status.voters.contains(&MemberId(1)), "{status:?}");
    }

    // A voter dies: first it is waited for, then the learner takes its place, in both groups. The
    // two may have different ones; both members that one of them has are told apart below.
    let voted = |id: u64| first.iter().all(|s| s.voters.contains(&MemberId(id)));
    let dead = (2..=4)
        .find(|id| voted(*id))
        .expect("two groups of three among four share two");
    let died = Instant::now();
    mesh.kill(dead).await;
    mesh.reason(&format!("city-{dead} has been silent")).await;
    let gone = |s: &GroupStatus| three(s) && !s.voters.contains(&MemberId(dead));
    mesh.voters(gone, "the dead voter is replaced").await;
    assert!(died.elapsed() >= GRACE, "{:?}", died.elapsed());

    // A drain: the leader moves at once; the vote stays while nobody is there to take it.
    let leader = mesh.leader();
    mesh.drain(leader, true).await;
    let moved = |s: &GroupStatus| s.leader.is_some_and(|l| l != MemberId(leader));
    mesh.voters(moved, "another leads").await;
    mesh.reason("drains and keeps its vote").await;
    mesh.boot(dead).await;
    let left = |s: &GroupStatus| gone_of(s, leader) && s.voters.contains(&MemberId(dead));
    mesh.voters(left, "the member that came back votes for the drained one")
        .await;
    mesh.drain(leader, false).await;

    // A learner that was just lost is not promoted, however much a voter is needed.
    mesh.policy(60).await;
    let others = ids(1..=4).into_iter().filter(|id| id.0 != leader).collect();
    let lost = &mesh.members[&leader];
    lost.endpoint().set_cut(&others);
    for (id, member) in &mesh.members {
        if *id != leader {
            let mut links = member.endpoint().watch_connected();
            let cut = links.wait_for(|l| !l.contains(&MemberId(leader)));
            tokio::time::timeout(WAIT, cut).await.unwrap().unwrap();
        }
    }
    lost.endpoint().set_cut(&BTreeSet::new());
    let next = (2..=4)
        .find(|id| *id != leader && *id != mesh.leader())
        .unwrap();
    mesh.change(Change::RemoveMember { id: MemberId(next) })
        .await;
    let two = |s: &GroupStatus| s.voters.len() == 2 && gone_of(s, next);
    mesh.voters(two, "who is removed goes, though nobody takes its place")
        .await;
    mesh.reason(&format!("city-{leader} must be there")).await;
    mesh.policy(1).await;
    let again = |s: &GroupStatus| three(s) && s.voters.contains(&MemberId(leader));
    mesh.voters(again, "it votes after a while without a break")
        .await;

    // Who stops hands over before it goes: it sees another lead while it still listens.
    let leader = mesh.leader();
    let stopping = mesh.members.remove(&leader).unwrap();
    let mut seen = stopping.directory().watch_leadership();
    let handed = tokio::spawn(async move {
        let other = |l: &consensus::Leadership| l.leader.is_some_and(|id| id != MemberId(leader));
        seen.wait_for(other).await.map(|l| l.leader)
    });
    stopping.shut_down().await;
    let to = handed.await.unwrap().unwrap();
    assert!(to.is_some_and(|id| id != MemberId(leader)), "{to:?}");
}

fn gone_of(status: &GroupStatus, id: u64) -> bool {
    !status.voters.contains(&MemberId(id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_regions_data_moves_into_its_legal_domain() {
    let mesh = Mesh::start().await;
    mesh.voters(three, "three of four vote").await;
    for id in 2..=4 {
        mesh.place(id, Some("cn")).await;
    }
    let policy = RegionPolicy {
        legal_domain: Some("cn".into()),
        ..RegionPolicy::default()
    };
    mesh.change(Change::SetRegionPolicy { id: SOUTH, policy })
        .await;
    let began = Instant::now();
    loop {
        let status = mesh.status(GroupId::Region(SOUTH));
        if let Some(status) = &status {
            let voters: BTreeSet<MemberId> = status.voters.iter().copied().collect();
            if voters == ids(2..=4) && status.learners.is_empty() {
                break;
            }
        }
        assert!(
            began.elapsed() < WAIT,
            "{status:?} {:?}",
            mesh.reports().await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The directory stays with all.
    let directory = mesh.status(GroupId::Directory).unwrap();
    assert_eq!(directory.voters.len() + directory.learners.len(), 4);
    for member in mesh.members.values() {
        member.shut_down().await;
    }
}
