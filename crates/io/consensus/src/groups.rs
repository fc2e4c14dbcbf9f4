//! All groups of a process, over one journal and one endpoint.

use crate::{
    config::{GroupId, GroupOptions},
    gather,
    group::{Group, GroupCore, StartError, follow},
    log_store::LogStore,
    machine::{Listener, Machine, group_dir},
    network::Network,
    pipeline::Lines,
    platform::{MeshLink, Native, NativeFiles, Platform},
    protocol::{SERVICE, code, decode_head},
    receive::Receive,
    snapshot::SnapshotDir,
};
use bytes::Bytes;
use domain::MemberId;
use futures::future::{BoxFuture, FutureExt};
use mesh::{Endpoint, Service, ServiceError};
use openraft::Raft;
use parking_lot::RwLock;
use sansio::Replicated;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use storage::{EntryLog as _, Journal};

type Running = Arc<RwLock<BTreeMap<GroupId, Arc<dyn Receive>>>>;

/// How a group is started.
pub struct GroupConfig<M: Replicated> {
    /// Which group.
    pub id: GroupId,
    /// The machine before the first entry; the same on all members.
    pub initial: M,
    /// Hears the machine's events from the first entry applied on.
    pub listener: Option<Arc<dyn Listener<M>>>,
    /// Tuning.
    pub options: GroupOptions,
}

impl<M: Replicated> fmt::Debug for GroupConfig<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupConfig")
            .field("id", &self.id)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// All groups of a process. Clones share them.
pub struct Groups<P: Platform = Native> {
    journal: P::Log,
    endpoint: P::Mesh,
    files: P::Files,
    data: PathBuf,
    running: Running,
}

impl<P: Platform> Clone for Groups<P> {
    fn clone(&self) -> Self {
        Self {
            journal: self.journal.clone(),
            endpoint: self.endpoint.clone(),
            files: self.files.clone(),
            data: self.data.clone(),
            running: Arc::clone(&self.running),
        }
    }
}

impl<P: Platform> fmt::Debug for Groups<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

struct Demultiplex(Running);

impl Service for Demultiplex {
    fn call(
        &self,
        from: MemberId,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, ServiceError>> {
        let (group, kind, body) = match decode_head(request) {
            Ok(parts) => parts,
            Err(e) => return async move { Err(e) }.boxed(),
        };
        match self.0.read().get(&group) {
            Some(running) => running.receive(from, kind, body),
            None => {
                let text = format!("{group} does not run on this member");
                async move { Err(ServiceError::new(code::UNKNOWN_GROUP, text)) }.boxed()
            }
        }
    }
}

impl Groups {
    /// Groups whose logs are in `journal`, whose snapshots are under `data`, sealed with the journal's
    /// keys, and whose members are reached through `endpoint`. Registers the consensus service there.
    pub fn new(journal: Journal, endpoint: Endpoint, data: &Path) -> Self {
        Self::on(journal, endpoint, NativeFiles, data)
    }
}

impl<P: Platform> Groups<P> {
    /// [`Groups::new`] on any platform, with its `files`.
    pub fn on(journal: P::Log, endpoint: P::Mesh, files: P::Files, data: &Path) -> Self {
        let running = Running::default();
        endpoint.serve(SERVICE, Demultiplex(Arc::clone(&running)));
        Self {
            journal,
            endpoint,
            files,
            data: data.into(),
            running,
        }
    }

    /// Starts a group from what is on the disk: the newest whole snapshot, then the log up to
    /// the committed index. A member that is new to it waits to be added by the others (or calls
    /// [`Group::initialize`]).
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start<M: Replicated>(
        &self,
        config: GroupConfig<M>,
    ) -> Result<Group<M, P>, StartError> {
        let GroupConfig {
            id,
            initial,
            listener,
            options,
        } = config;
        if self.running.read().contains_key(&id) {
            return Err(StartError::Running { group: id });
        }
        let dir = group_dir(&self.data, id);
        let files = |source| StartError::Files {
            group: id,
            dir: dir.clone(),
            source,
        };
        let snapshots = SnapshotDir::open(
            self.files.clone(),
            &dir.join("snapshots"),
            id,
            self.journal.keys(),
        )
        .map_err(files)?;
        let log = LogStore::open(&self.journal, id).map_err(files)?;
        let machine = Machine::new(id, initial, snapshots, listener);
        let failed = |why: String| StartError::Raft { group: id, why };
        let snapshot_every = options.snapshot_every;
        let options = options
            .to_openraft(id)
            .validate()
            .map_err(|e| failed(e.to_string()))?;
        let network = Network::<P> {
            endpoint: self.endpoint.clone(),
            group: id,
            opened: 0,
        };
        let raft = Raft::new(
            self.endpoint.member().0,
            Arc::new(options),
            network,
            log,
            machine.clone(),
        )
        .await
        .map_err(|e| failed(e.to_string()))?;
        let (leadership, watching) = follow(id, &raft, machine.clone(), snapshot_every);
        let proposals =
            gather::start::<M, P>(id, self.endpoint.clone(), raft.clone(), leadership.clone());
        let core = Arc::new(GroupCore {
            id,
            label: id.to_string(),
            endpoint: self.endpoint.clone(),
            raft,
            machine,
            receiving: Arc::default(),
            lines: Lines::default(),
            leadership,
            watching,
            proposals,
        });
        self.running.write().insert(id, Arc::new(Arc::clone(&core)));
        Ok(Group::new(core))
    }

    /// Stops a group on this member and forgets it; it may be started again.
    pub async fn stop<M: Replicated>(&self, group: Group<M, P>) {
        group.shut_down().await;
        self.running.write().remove(&group.id());
    }

    /// The groups that run here.
    pub fn running(&self) -> Vec<GroupId> {
        self.running.read().keys().copied().collect()
    }
}
