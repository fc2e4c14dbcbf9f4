//! One member: endpoint, journal, groups.

use crate::{
    directory::Freshness,
    protocol::{SERVICES, stopped},
    region::RegionGroup,
    voters::Watch,
};
use bytes::Bytes;
use consensus::{Group, GroupConfig, GroupId, GroupOptions, Groups, Listener, StartError};
use domain::{MemberId, RegionId};
use ledger::{Directory, RegionLedger};
use mesh::{Endpoint, EndpointConfig, Identity, JoinAuthority, MeshError, ResetKey};
use parking_lot::RwLock;
use service::spawn::Tasks;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use storage::{DataKeys, Journal, JournalError};

/// The member that made the mesh, and makes its groups.
const FOUNDER: MemberId = MemberId(1);
/// At most so often is the directory looked through for members and regions.
const FOLLOW: Duration = Duration::from_millis(20);

/// How a member is started.
pub struct MemberConfig {
    /// Where its logs, snapshots and peers lie. Locked by the caller.
    pub data_dir: PathBuf,
    /// Where the mesh endpoint listens.
    pub listen: SocketAddr,
    /// With which it seals what it keeps.
    pub keys: DataKeys,
    /// Who it is.
    pub identity: Identity,
    /// Lets others join; only the coordinator with the CA has one.
    pub authority: Option<Arc<dyn JoinAuthority>>,
    /// Do-not-call freshness.
    pub freshness: Duration,
    /// Hears every entry of the directory, in order, from the first one after the last snapshot.
    pub listener: Option<Arc<dyn Listener<Directory>>>,
}

impl fmt::Debug for MemberConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberConfig")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// A member cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// Its journal.
    #[error("the journal cannot be opened")]
    Journal(#[from] JournalError),
    /// Its endpoint.
    #[error("the mesh endpoint cannot be opened")]
    Mesh(#[from] MeshError),
    /// A group.
    #[error(transparent)]
    Group(#[from] StartError),
    /// The list of peers.
    #[error("{} cannot be read; delete it and join again", path.display())]
    Peers {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

struct Inner {
    endpoint: Endpoint,
    journal: Journal,
    groups: Groups,
    directory: Group<Directory>,
    regions: RwLock<BTreeMap<RegionId, RegionGroup>>,
    region_listener: Option<Arc<dyn Listener<RegionLedger>>>,
    freshness: Freshness,
    watch: Watch,
    data_dir: PathBuf,
    tasks: Tasks,
}

/// A running member. Clones share it.
#[derive(Clone)]
pub struct Member(Arc<Inner>);

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl Member {
    /// Opens journal and endpoint, starts the directory group and every region group known.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn start(config: MemberConfig, tasks: &Tasks) -> Result<Self, MemberError> {
        Self::start_hearing(config, None, tasks).await
    }

    /// [`Member::start`] with one who hears every entry of every region, in each region's order,
    /// from the first one after its last snapshot.
    ///
    /// # Errors
    /// [`MemberError`].
    pub async fn start_hearing(
        config: MemberConfig,
        regions: Option<Arc<dyn Listener<RegionLedger>>>,
        tasks: &Tasks,
    ) -> Result<Self, MemberError> {
        let MemberConfig {
            data_dir,
            listen,
            keys,
            identity,
            authority,
            freshness,
            listener,
        } = config;
        // Where this machine's clock is wrong, the groups' calendars must not follow it.
        consensus::platform::use_calendar(service::clock::proposed);
        let journal = Journal::open(
            &data_dir.join("journal"),
            storage::JournalOptions::default(),
            &keys,
        )?;
        let endpoint = Endpoint::bind(EndpointConfig {
            bind: listen,
            identity,
            reset: ResetKey::load_or_create(&data_dir).map_err(MeshError::from)?,
            authority,
        })?;
        endpoint.set_addresses(&peers_of(&data_dir)?);
        let groups = Groups::new(journal.clone(), endpoint.clone(), &data_dir);
        let directory = groups
            .start(GroupConfig {
                id: GroupId::Directory,
                initial: Directory::default(),
                listener,
                options: GroupOptions::default(),
            })
            .await?;
        if endpoint.member() == FOUNDER {
            directory.initialize(&BTreeSet::from([FOUNDER])).await?;
        }
        let member = Self(Arc::new(Inner {
            endpoint,
            journal,
            groups,
            directory,
            regions: RwLock::default(),
            region_listener: regions,
            freshness: Freshness::new(freshness),
            watch: Watch::default(),
            data_dir,
            tasks: tasks.clone(),
        }));
        member.serve_directory();
        member.serve_regions();
        member.serve_callers();
        member.serve_clock();
        member.serve_voters();
        member.follow_once().await?;
        tasks.spawn("compare_clocks", member.clone().compare_clocks());
        tasks.spawn("follow_directory", member.clone().follow());
        tasks.spawn("directory_duties", member.clone().directory_duties());
        tasks.spawn("presence", member.clone().watch_presence());
        tasks.spawn(
            "directory_voters",
            member.clone().keep_voters(member.directory().clone()),
        );
        Ok(member)
    }

    /// This member.
    pub fn id(&self) -> MemberId {
        self.0.endpoint.member()
    }

    /// Its links.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Its journal, for streams beside the groups' logs.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// The directory group.
    pub fn directory(&self) -> &Group<Directory> {
        &self.0.directory
    }

    /// A region's group, once this member knows of it.
    pub fn region(&self, region: RegionId) -> Option<Group<RegionLedger>> {
        self.0.regions.read().get(&region).map(|r| r.group.clone())
    }

    /// Every region's group known here.
    pub fn regions(&self) -> Vec<(RegionId, Group<RegionLedger>)> {
        self.0
            .regions
            .read()
            .iter()
            .map(|(id, r)| (*id, r.group.clone()))
            .collect()
    }

    /// Hands over what this member leads, then stops the groups and links on it, in order.
    pub async fn shut_down(&self) {
        self.hand_over_all().await;
        for (_, group) in self.regions() {
            self.0.groups.stop(group).await;
        }
        self.0.groups.stop(self.0.directory.clone()).await;
        self.0.endpoint.close();
        // The services hold this member and the endpoint holds the services: without this the
        // journal would stay open for as long as the process lives.
        for service in SERVICES {
            self.0
                .endpoint
                .serve(service, |_, _: Bytes| async { Err(stopped()) });
        }
    }

    pub(crate) fn region_group(&self, region: RegionId) -> Option<RegionGroup> {
        self.0.regions.read().get(&region).cloned()
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    pub(crate) fn freshness(&self) -> &Freshness {
        &self.0.freshness
    }

    /// Keeps addresses, removals and region groups as the directory has them.
    async fn follow(self) {
        let mut applied = self.0.directory.watch_applied();
        loop {
            if applied.changed().await.is_err() {
                return;
            }
            if let Err(error) = self.follow_once().await {
                tracing::error!(%error, "what the directory says cannot be followed; restart this member");
            }
            tokio::time::sleep(FOLLOW).await;
        }
    }

    async fn follow_once(&self) -> Result<(), MemberError> {
        let (members, regions) = self.0.directory.read(|directory| {
            let regions: Vec<RegionId> = directory.regions().map(|r| r.id).collect();
            (directory.members().cloned().collect::<Vec<_>>(), regions)
        });
        let mut addresses = BTreeMap::new();
        let mut removed = BTreeSet::new();
        for member in members.iter().filter(|m| m.id != self.id()) {
            match (member.removed, member.mesh_address.parse()) {
                (true, _) => _ = removed.insert(member.id),
                (false, Ok(address)) => _ = addresses.insert(member.id, address),
                (false, Err(_)) => {
                    tracing::warn!(member = %member.id, address = member.mesh_address, "not an address");
                }
            }
        }
        if !members.is_empty() && peers_of(&self.0.data_dir)? != addresses {
            save_peers(&self.0.data_dir, &addresses)?;
            self.0.endpoint.set_addresses(&addresses);
        }
        // Also where the addresses are as they were: after a start nobody is refused yet.
        self.0.endpoint.set_removed(&removed);
        for region in regions {
            if self.region(region).is_none() {
                self.start_region(region).await?;
            }
        }
        Ok(())
    }

    async fn start_region(&self, region: RegionId) -> Result<(), MemberError> {
        let group = self
            .0
            .groups
            .start(GroupConfig {
                id: GroupId::Region(region),
                initial: RegionLedger::new(region),
                listener: self.0.region_listener.clone(),
                options: GroupOptions::default(),
            })
            .await?;
        if self.id() == FOUNDER {
            group.initialize(&BTreeSet::from([FOUNDER])).await?;
        }
        let found = RegionGroup::new(group.clone());
        self.0.regions.write().insert(region, found.clone());
        self.0
            .tasks
            .spawn("region_duties", self.clone().region_duties(found));
        self.0
            .tasks
            .spawn("move_leads", self.clone().move_leads(group.clone()));
        self.0
            .tasks
            .spawn("region_voters", self.clone().keep_voters(group));
        Ok(())
    }
}

const PEERS: &str = "peers";

/// Where the other members are, as this one last knew: a member must find the others before its
/// directory can tell it.
///
/// # Errors
/// The file is there and cannot be read.
pub fn peers_of(data_dir: &Path) -> Result<BTreeMap<MemberId, SocketAddr>, MemberError> {
    let path = data_dir.join(PEERS);
    let bad = |source| MemberError::Peers {
        path: path.clone(),
        source,
    };
    match fs::read_to_string(&path) {
        Ok(text) => text
            .lines()
            .map(|line| {
                let (id, address) = line.split_once(' ')?;
                Some((id.parse().ok()?, address.parse().ok()?))
            })
            .collect::<Option<_>>()
            .ok_or_else(|| {
                bad(io::Error::other(
                    "a line is not `mem_00000001 address:port`",
                ))
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(bad(error)),
    }
}

/// Keeps where the other members are.
///
/// # Errors
/// The file cannot be written.
pub fn save_peers(
    data_dir: &Path,
    peers: &BTreeMap<MemberId, SocketAddr>,
) -> Result<(), MemberError> {
    let path = data_dir.join(PEERS);
    let text: String = peers
        .iter()
        .map(|(id, address)| format!("{id} {address}\n"))
        .collect();
    storage::write_atomically(&path, text.as_bytes())
        .map_err(|source| MemberError::Peers { path, source })
}
