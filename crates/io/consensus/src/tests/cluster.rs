//! The toy machine, and members that can be killed and restarted.

use crate::{Group, GroupConfig, GroupId, GroupOptions, Groups, MembershipChange, status::Role};
use domain::{MemberId, RegionId, WallTime};
use mesh::{Endpoint, EndpointConfig, MemberKey, MeshCa, ResetKey};
use sansio::{ApplyContext, Replicated, RestoreError};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use storage::{DataKeys, Journal, JournalOptions};

pub(super) const WAIT: Duration = Duration::from_secs(30);
pub(super) const GROUP: GroupId = GroupId::Region(RegionId(7));

/// Adds up numbers, once for each origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) sum: u64,
    pub(super) applied: BTreeMap<u64, u64>,
    pub(super) wall: WallTime,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Add {
    pub(super) origin: u64,
    pub(super) amount: u64,
    pub(super) ballast: Vec<u8>,
}

pub(super) fn add(origin: u64) -> Add {
    Add {
        origin,
        amount: origin * 10,
        ballast: Vec::new(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Added(u64),
    Reset { sum: u64 },
}

impl Replicated for Ledger {
    type Command = Add;
    type Reply = u64;
    type Event = Event;

    fn apply(&mut self, context: ApplyContext, command: Add, events: &mut Vec<Event>) -> u64 {
        self.wall = self.wall.max(context.wall);
        if self
            .applied
            .insert(command.origin, command.amount)
            .is_none()
        {
            self.sum += command.amount;
            events.push(Event::Added(command.origin));
        }
        self.sum
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap()
    }

    fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        postcard::from_bytes(bytes).map_err(|e| RestoreError {
            what: "ledger",
            why: e.to_string(),
        })
    }

    fn reset_event(&self) -> Event {
        Event::Reset { sum: self.sum }
    }
}

/// Tests elect faster than members in different cities.
pub(super) fn quick() -> GroupOptions {
    GroupOptions {
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(500),
        election_max: Duration::from_millis(1000),
        ..GroupOptions::default()
    }
}

/// One running member.
pub(super) struct Running {
    pub(super) endpoint: Endpoint,
    pub(super) groups: Groups,
    pub(super) group: Group<Ledger>,
}

pub(super) struct Cluster {
    dir: tempfile::TempDir,
    ca: MeshCa,
    options: GroupOptions,
    addresses: BTreeMap<MemberId, SocketAddr>,
    pub(super) members: BTreeMap<u64, Running>,
}

fn now() -> WallTime {
    <crate::platform::Native as crate::platform::Platform>::wall()
}

impl Cluster {
    /// Members 1..=n, all voters.
    pub(super) async fn start(n: u64, options: GroupOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = MeshCa::create(&dir.path().join("ca"), now()).unwrap();
        let mut cluster = Self {
            dir,
            ca,
            options,
            addresses: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        for member in 1..=n {
            cluster.boot(member).await;
        }
        let first = cluster.group(1).clone();
        first.initialize(&ids([1])).await.unwrap();
        let others = ids(2..=n);
        if !others.is_empty() {
            first
                .change(&MembershipChange::AddLearners(others), WAIT)
                .await
                .unwrap();
            // From a member that does not lead: forwarded.
            let last = cluster.group(n);
            last.change(&MembershipChange::SetVoters(ids(1..=n)), WAIT)
                .await
                .unwrap();
        }
        cluster
    }

    pub(super) fn data(&self, member: u64) -> PathBuf {
        self.dir.path().join(member.to_string())
    }

    /// Where a member's snapshots of the group lie.
    pub(super) fn snapshots(&self, member: u64) -> PathBuf {
        let folder = crate::machine::group_dir(&self.data(member), GROUP);
        folder.join("snapshots")
    }

    /// Starts a member from its directory, at the address that it had before.
    pub(super) async fn boot(&mut self, member: u64) {
        let id = MemberId(member);
        let key = MemberKey::generate();
        let lifetime = Duration::from_secs(86_400);
        let chain = self
            .ca
            .issue(id, &key.csr().unwrap(), now(), lifetime)
            .unwrap();
        let identity = key.certified(chain).unwrap();
        let bind = self
            .addresses
            .get(&id)
            .copied()
            .unwrap_or(([127, 0, 0, 1], 0).into());
        let endpoint = tokio::time::timeout(WAIT, async {
            loop {
                let identity = identity.clone();
                match Endpoint::bind(EndpointConfig {
                    bind,
                    identity,
                    reset: ResetKey::random(),
                    authority: None,
                }) {
                    Ok(endpoint) => return endpoint,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await
        .expect("the old socket is given back");
        self.addresses.insert(id, endpoint.local_address().unwrap());
        let data = self.data(member);
        std::fs::create_dir_all(&data).unwrap();
        let keys = DataKeys::open(&data.join("data.key"), &data).unwrap();
        // As with the socket: a killed member's tasks let go of its journal a moment later.
        let journal = tokio::time::timeout(WAIT, async {
            loop {
                match Journal::open(&data.join("journal"), JournalOptions::default(), &keys) {
                    Ok(journal) => return journal,
                    Err(storage::JournalError::Engine { why, .. }) if why.contains("lock") => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
        .expect("the old journal is given back");
        let groups = Groups::new(journal, endpoint.clone(), &data);
        let config = GroupConfig {
            id: GROUP,
            initial: Ledger::default(),
            listener: None,
            options: self.options,
        };
        let group = groups.start(config).await.unwrap();
        self.members.insert(
            member,
            Running {
                endpoint,
                groups,
                group,
            },
        );
        for running in self.members.values() {
            running.endpoint.set_addresses(&self.addresses);
        }
    }

    /// Ends a member without a word to the others.
    pub(super) async fn kill(&mut self, member: u64) {
        let running = self.members.remove(&member).unwrap();
        running.endpoint.close();
        running.groups.stop(running.group).await;
    }

    /// Where a number can be read in any file of any member.
    pub(super) fn in_clear(&self, number: u64) -> Vec<storage::Clear> {
        let number = domain::PhoneNumber::from_digits(number).unwrap();
        storage::in_clear(self.dir.path(), &[number], &[]).unwrap()
    }

    pub(super) fn group(&self, member: u64) -> &Group<Ledger> {
        &self.members[&member].group
    }

    /// The member that all running ones agree to be led by.
    pub(super) async fn leader(&self) -> u64 {
        tokio::time::timeout(WAIT, async {
            loop {
                let seen: BTreeSet<_> = self.members.values().map(|m| m.group.leader()).collect();
                if let [Some(leader)] = seen.into_iter().collect::<Vec<_>>()[..]
                    && self
                        .members
                        .get(&leader.0)
                        .is_some_and(|m| m.group.status().role == Role::Leader)
                {
                    return leader.0;
                }
                let any = self.members.values().next().unwrap();
                let mut changes = any.group.watch_leadership();
                let pause = Duration::from_millis(50);
                tokio::time::timeout(pause, changes.changed()).await.ok();
            }
        })
        .await
        .expect("a leader within time")
    }

    /// Any running member that does not lead.
    pub(super) async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        *self.members.keys().find(|m| **m != leader).unwrap()
    }

    /// Cuts `member` off from all others, or heals that.
    pub(super) fn isolate(&self, member: u64, cut: bool) {
        let others: BTreeSet<MemberId> = if cut {
            self.addresses
                .keys()
                .copied()
                .filter(|m| m.0 != member)
                .collect()
        } else {
            BTreeSet::new()
        };
        for (other, running) in &self.members {
            let set = if *other == member {
                others.clone()
            } else if cut {
                ids([member])
            } else {
                BTreeSet::new()
            };
            running.endpoint.set_cut(&set);
        }
    }

    /// Waits until all members have applied `index`, and compares their machines.
    pub(super) async fn agree(&self, index: u64) -> Ledger {
        let mut seen = Vec::new();
        for running in self.members.values() {
            running.group.wait_applied(index, WAIT).await.unwrap();
            seen.push(running.group.read(Ledger::clone));
        }
        assert!(
            seen.windows(2).all(|w| w[0] == w[1]),
            "replicas differ at {index}"
        );
        seen.remove(0)
    }
}

pub(super) fn ids(members: impl IntoIterator<Item = u64>) -> BTreeSet<MemberId> {
    members.into_iter().map(MemberId).collect()
}

/// Commands that were acknowledged, and the highest index among them.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) origins: BTreeSet<u64>,
    pub(super) index: u64,
}

impl Acknowledged {
    pub(super) async fn add(&mut self, group: &Group<Ledger>, origins: std::ops::Range<u64>) {
        let tasks: Vec<_> = origins
            .map(|origin| {
                let group = group.clone();
                tokio::spawn(async move { (origin, group.propose_again(&add(origin), WAIT).await) })
            })
            .collect();
        for task in tasks {
            let (origin, result) = task.await.unwrap();
            let committed = result.unwrap();
            self.origins.insert(origin);
            self.index = self.index.max(committed.index);
        }
    }

    pub(super) fn check(&self, ledger: &Ledger) {
        let found: BTreeSet<u64> = ledger.applied.keys().copied().collect();
        assert_eq!(found, self.origins);
        assert_eq!(ledger.sum, self.origins.iter().map(|o| o * 10).sum::<u64>());
    }
}

pub(super) type Heard = Arc<parking_lot::Mutex<Vec<(u64, Vec<Event>)>>>;
