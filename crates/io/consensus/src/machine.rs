//! The replicated machine as openraft drives it: applies, snapshots, listeners.

use crate::{
    config::{GroupId, LogId, Reply, SnapshotMeta, StoredMembership, Types},
    platform::{Platform, now, runtime::Instant},
    snapshot::{SnapshotDir, SnapshotFile},
};
use futures::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot,
    storage::{EntryResponder, RaftStateMachine},
};
use parking_lot::RwLock;
use sansio::{ApplyContext, Replicated};
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{broadcast, watch};

/// Events of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied<E> {
    /// The entry's index; of a snapshot, the last index it holds.
    pub index: u64,
    /// What the machine said, in its order. May be empty for a listener.
    pub events: Vec<E>,
}

/// Hears what the machine says, entry by entry in the order of the log, on the thread that
/// applies: be quick and never wait. At a start the entries since the last snapshot are heard
/// again, after the reset event of that snapshot.
pub trait Listener<M: Replicated>: Send + Sync + 'static {
    /// One entry was applied; the machine shows it already. Called for each command.
    fn applied(&self, applied: Applied<M::Event>);
}

impl<M: Replicated, F: Fn(Applied<M::Event>) + Send + Sync + 'static> Listener<M> for F {
    fn applied(&self, applied: Applied<M::Event>) {
        self(applied);
    }
}

pub(crate) struct Held<M> {
    pub(crate) machine: M,
    pub(crate) last: Option<LogId>,
    membership: StoredMembership,
}

pub(crate) struct Shared<M: Replicated, P: Platform> {
    pub(crate) group: GroupId,
    pub(crate) held: RwLock<Held<M>>,
    pub(crate) snapshots: SnapshotDir<P::Files>,
    listener: Option<Arc<dyn Listener<M>>>,
    pub(crate) events: broadcast::Sender<Applied<M::Event>>,
    pub(crate) applied: watch::Sender<u64>,
    label: String,
    growth: Growth,
}

/// What the log has grown by since the last snapshot.
#[derive(Debug, Default)]
struct Growth {
    /// Bytes of the commands applied since.
    bytes: AtomicU64,
    /// Bytes of the snapshot.
    snapshot: AtomicU64,
}

impl Growth {
    fn snapshot_has(&self, bytes: u64) {
        self.snapshot.store(bytes, Ordering::Relaxed);
    }
}

/// Clones share the machine.
pub(crate) struct Machine<M: Replicated, P: Platform>(pub(crate) Arc<Shared<M, P>>);

impl<M: Replicated, P: Platform> Clone for Machine<M, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Entries whose events a slow subscriber may lag behind before it is told that it missed some.
const EVENTS: usize = 16_384;

impl<M: Replicated, P: Platform> Machine<M, P> {
    pub(crate) fn new(
        group: GroupId,
        initial: M,
        snapshots: SnapshotDir<P::Files>,
        listener: Option<Arc<dyn Listener<M>>>,
    ) -> Self {
        Self(Arc::new(Shared {
            group,
            held: RwLock::new(Held {
                machine: initial,
                last: None,
                membership: StoredMembership::default(),
            }),
            snapshots,
            listener,
            events: broadcast::Sender::new(EVENTS),
            applied: watch::Sender::new(0),
            label: group.to_string(),
            growth: Growth::default(),
        }))
    }

    /// Whether the commands applied since the last snapshot have as many bytes as it has.
    pub(crate) fn has_doubled(&self) -> bool {
        let growth = &self.0.growth;
        growth.bytes.load(Ordering::Relaxed) >= growth.snapshot.load(Ordering::Relaxed)
    }

    fn tell(&self, index: u64, events: Vec<M::Event>) {
        let applied = Applied { index, events };
        if self.0.events.receiver_count() > 0 {
            // Receivers may go at any time.
            self.0.events.send(applied.clone()).ok();
        }
        if let Some(listener) = &self.0.listener {
            listener.applied(applied);
        }
    }

    /// The reply is empty unless somebody here `waits` for it.
    fn apply_entry(&self, entry: crate::config::Entry, waits: bool) -> io::Result<Reply> {
        let index = entry.log_id.index;
        let mut held = self.0.held.write();
        let (reply, events) = match entry.payload {
            EntryPayload::Blank => (Reply::new(), None),
            EntryPayload::Membership(membership) => {
                held.membership = StoredMembership::new(Some(entry.log_id), membership);
                (Reply::new(), None)
            }
            EntryPayload::Normal(proposal) => {
                // A release that cannot read a command must not go on as if it were not there.
                let command = postcard::from_bytes(&proposal.command).map_err(|e| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "command {index} of {} cannot be read by this release: {e}",
                            self.0.group
                        ),
                    )
                })?;
                let bytes = proposal.command.len() as u64;
                self.0.growth.bytes.fetch_add(bytes, Ordering::Relaxed);
                let mut events = Vec::new();
                let context = ApplyContext {
                    index,
                    wall: proposal.wall,
                };
                let reply = if waits {
                    let reply = held.machine.apply(context, command, &mut events);
                    postcard::to_stdvec(&reply)
                        .map_err(io::Error::other)?
                        .into()
                } else {
                    held.machine.apply_unheard(context, command, &mut events);
                    Reply::new()
                };
                (reply, Some(events))
            }
        };
        held.last = Some(entry.log_id);
        drop(held);
        if let Some(events) = events {
            self.tell(index, events);
        }
        self.0.applied.send_replace(index);
        Ok(reply)
    }

    fn build(&self) -> io::Result<SnapshotFile<P::Files>> {
        let started = now::<P>();
        // Reads go on meanwhile, applies wait.
        let (frozen, meta) = {
            let held = self.0.held.read();
            let meta = SnapshotMeta {
                last_log_id: held.last,
                last_membership: held.membership.clone(),
            };
            self.0.growth.bytes.store(0, Ordering::Relaxed);
            (held.machine.freeze(), meta)
        };
        let paused = started.elapsed();
        let body = frozen();
        let file = self.0.snapshots.write(meta, &body)?;
        self.0.growth.snapshot_has(file.length);
        metrics::histogram!("dialmesh_raft_snapshot_pause_seconds", "group" => self.0.label.clone())
            .record(paused.as_secs_f64());
        metrics::gauge!("dialmesh_raft_snapshot_bytes", "group" => self.0.label.clone())
            .set(file.length as f64);
        tracing::info!(
            group = %self.0.group, index = file.meta.last_log_id.map(|l| l.index), bytes = file.length,
            ?paused, took = ?started.elapsed(), "snapshot written"
        );
        Ok(file)
    }

    fn install(&self, meta: &SnapshotMeta, file: &SnapshotFile<P::Files>) -> io::Result<()> {
        let machine = M::restore(&file.read_body()?)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        self.0.snapshots.adopt(file)?;
        let index = meta.last_log_id.as_ref().map_or(0, |l| l.index);
        let reset = {
            let mut held = self.0.held.write();
            held.machine = machine;
            held.last = meta.last_log_id;
            held.membership = meta.last_membership.clone();
            self.0.growth.bytes.store(0, Ordering::Relaxed);
            self.0.growth.snapshot_has(file.length);
            held.machine.reset_event()
        };
        self.tell(index, vec![reset]);
        self.0.applied.send_replace(index);
        Ok(())
    }
}

impl<M: Replicated, P: Platform> RaftSnapshotBuilder<Types<P>> for Machine<M, P> {
    type SnapshotData = SnapshotFile<P::Files>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<P>, io::Error> {
        let machine = self.clone();
        let file = P::blocking(move || machine.build()).await?;
        Ok(Snapshot {
            meta: file.meta.clone(),
            snapshot: file,
        })
    }
}

pub(crate) type SnapshotOf<P> =
    openraft::type_config::alias::SnapshotOf<Types<P>, SnapshotFile<<P as Platform>::Files>>;

impl<M: Replicated, P: Platform> RaftStateMachine<Types<P>> for Machine<M, P> {
    type SnapshotData = SnapshotFile<P::Files>;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let held = self.0.held.read();
        Ok((held.last, held.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types<P>>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let reply = self.apply_entry(entry, responder.is_some()).inspect_err(|e| {
                tracing::error!(group = %self.0.group, error = %e, "the group stops on this member");
            })?;
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile<P::Files>,
    ) -> Result<(), io::Error> {
        let (machine, meta) = (self.clone(), meta.clone());
        P::blocking(move || machine.install(&meta, &snapshot)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<P>>, io::Error> {
        let snapshots = self.0.snapshots.clone();
        let newest = P::blocking(move || snapshots.newest()).await?;
        if let Some(file) = &newest {
            self.0.growth.snapshot_has(file.length);
        }
        Ok(newest.map(|file| Snapshot {
            meta: file.meta.clone(),
            snapshot: file,
        }))
    }
}

/// Where a group's files lie.
pub(crate) fn group_dir(data: &std::path::Path, group: GroupId) -> PathBuf {
    data.join("groups").join(group.to_string())
}
