//! One group on one member.

use crate::{
    change::ChangeError,
    config::GroupId,
    gather::Inbox,
    machine::{Applied, Machine},
    pipeline::Lines,
    platform::{
        InstantOf, MeshLink, Native, Platform, now, runtime::AsyncRuntime, runtime::Instant,
        runtime::Select2, within,
    },
    propose::Miss,
    protocol::{Kind, SERVICE, decode, encode},
    receive::RaftOf,
    status::{GroupStatus, Leadership, status},
};
use domain::MemberId;
use mesh::{Priority, ServiceError};
use openraft::{
    EmptyNode,
    async_runtime::WatchReceiver,
    errors::{Fatal, InitializeError, RaftError},
};
use sansio::Replicated;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Mutex, broadcast, oneshot, watch};

/// A group cannot be started on this member.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its files.
    #[error("files of {group} in {dir} cannot be used")]
    Files {
        /// Which group.
        group: GroupId,
        /// Where.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Options, or what the log and snapshots hold.
    #[error("{group} cannot be started: {why}")]
    Raft {
        /// Which group.
        group: GroupId,
        /// Why.
        why: String,
    },
    /// It runs already.
    #[error("{group} runs on this member already")]
    Running {
        /// Which group.
        group: GroupId,
    },
}

/// A linearizable read got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader confirmed in time that it leads.
    #[error(
        "{group} has no leader that a quorum of its voters confirms (waited {waited:?}, last: {why}); \
         see that most of its voters run and reach each other"
    )]
    NoQuorum {
        /// Which group.
        group: GroupId,
        /// How long was waited.
        waited: Duration,
        /// What the last try met.
        why: String,
    },
}

/// An index was not applied in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{group} has applied {applied} here, not yet {wanted}")]
pub struct WaitError {
    /// Which group.
    pub group: GroupId,
    /// What was waited for.
    pub wanted: u64,
    /// How far it is.
    pub applied: u64,
}

pub(crate) struct GroupCore<M: Replicated, P: Platform> {
    pub(crate) id: GroupId,
    pub(crate) label: String,
    pub(crate) endpoint: P::Mesh,
    pub(crate) raft: RaftOf<M, P>,
    pub(crate) machine: Machine<M, P>,
    pub(crate) receiving: Arc<Mutex<()>>,
    /// Entries that come from leaders.
    pub(crate) lines: Lines,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// Dropped with the core, which ends the task that follows the leadership.
    #[expect(dead_code, reason = "its drop is what it is for")]
    pub(crate) watching: oneshot::Sender<()>,
    /// Dropped with the core, which ends the task that carries proposals.
    pub(crate) proposals: Inbox<P>,
}

/// One group on this member. Clones share it.
pub struct Group<M: Replicated, P: Platform = Native> {
    core: Arc<GroupCore<M, P>>,
}

impl<M: Replicated, P: Platform> Clone for Group<M, P> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }
}

impl<M: Replicated, P: Platform> fmt::Debug for Group<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.core.id)
            .finish_non_exhaustive()
    }
}

/// Follows openraft's metrics: who leads, gauges, and when a snapshot is due.
pub(crate) fn follow<M: Replicated, P: Platform>(
    id: GroupId,
    raft: &RaftOf<M, P>,
    machine: Machine<M, P>,
    snapshot_every: u64,
) -> (watch::Receiver<Leadership>, oneshot::Sender<()>) {
    let (sender, receiver) = watch::channel(Leadership::default());
    let mut metrics = raft.metrics();
    let label = id.to_string();
    let trigger = raft.clone();
    // The entry up to which a snapshot was asked for.
    let mut asked = 0;
    let (watching, mut ended) = oneshot::channel::<()>();
    // Ends by itself: nobody waits for it.
    drop(P::Runtime::spawn(async move {
        loop {
            let (now, failure, applied, kept) =
                {
                    let held = metrics.borrow_watched();
                    let now = Leadership {
                        term: held.current_term,
                        leader: held.current_leader.map(MemberId),
                    };
                    let leads = held.state.is_leader();
                    metrics::gauge!("dialmesh_raft_term", "group" => label.clone())
                        .set(now.term as f64);
                    metrics::gauge!("dialmesh_raft_leader", "group" => label.clone())
                        .set(if leads { 1.0 } else { 0.0 });
                    metrics::gauge!("dialmesh_raft_applied_index", "group" => label.clone())
                        .set(held.last_applied.as_ref().map_or(0.0, |l| l.index as f64));
                    (
                        now,
                        held.running_state.clone().err(),
                        held.last_applied.as_ref().map_or(0, |l| l.index),
                        held.snapshot.as_ref().map_or(0, |l| l.index),
                    )
                };
            let leader = if failure.is_some() { None } else { now.leader };
            let now = Leadership { leader, ..now };
            sender.send_if_modified(|held| {
                let changed = *held != now;
                if changed {
                    tracing::info!(group = label, term = now.term, leader = ?now.leader, "leadership changed");
                }
                *held = now;
                changed
            });
            if let Some(why) = failure {
                if !matches!(why, Fatal::Stopped) {
                    P::group_failed(id, &why.to_string());
                }
                return;
            }
            let since = applied.saturating_sub(asked.max(kept));
            if since >= snapshot_every && machine.has_doubled() {
                asked = applied;
                // Where the group has stopped, the next look says so.
                drop(trigger.trigger().snapshot().await);
            }
            match P::Runtime::select2(&mut ended, metrics.changed()).await {
                Select2::Second(Ok(())) => {}
                Select2::First(_) | Select2::Second(Err(_)) => return,
            }
        }
    }));
    (receiver, watching)
}

impl<M: Replicated, P: Platform> Group<M, P> {
    pub(crate) fn new(core: Arc<GroupCore<M, P>>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &GroupCore<M, P> {
        &self.core
    }

    pub(crate) fn raft(&self) -> &RaftOf<M, P> {
        &self.core.raft
    }

    /// Which group.
    pub fn id(&self) -> GroupId {
        self.core.id
    }

    /// This member.
    pub fn member(&self) -> MemberId {
        self.core.endpoint.member()
    }

    /// Looks at the machine as applied here: fast, local, possibly behind. Keep it short; applies
    /// wait meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.core.machine.0.held.read().machine)
    }

    /// Index of the last entry applied here; 0 when there is none.
    pub fn applied_index(&self) -> u64 {
        *self.core.machine.0.applied.borrow()
    }

    /// Who wrote the last entry applied here, and in which term: every entry up to there is of that
    /// leadership or of one before. None before the first entry.
    pub fn applied_leadership(&self) -> Option<Leadership> {
        let last = self.core.machine.0.held.read().last?;
        Some(Leadership {
            term: last.leader_id.term,
            leader: Some(MemberId(last.leader_id.node_id)),
        })
    }

    /// The applied index as it grows.
    pub fn watch_applied(&self) -> watch::Receiver<u64> {
        self.core.machine.0.applied.subscribe()
    }

    /// Waits until `index` is applied here.
    ///
    /// # Errors
    /// [`WaitError`] when that takes longer than `deadline`.
    pub async fn wait_applied(&self, index: u64, deadline: Duration) -> Result<(), WaitError> {
        let mut applied = self.watch_applied();
        let reached = async { drop(applied.wait_for(|now| *now >= index).await) };
        // The sender lives in the machine, which this handle keeps.
        match within::<P, _>(deadline, reached).await {
            Some(()) => Ok(()),
            None => Err(WaitError {
                group: self.id(),
                wanted: index,
                applied: self.applied_index(),
            }),
        }
    }

    /// Events of entries applied from now on, in order. One who lags 16,384 entries behind is
    /// told how many it missed, and must look at the machine anew.
    pub fn events(&self) -> broadcast::Receiver<Applied<M::Event>> {
        self.core.machine.0.events.subscribe()
    }

    /// Whether this member believes that it leads. To be sure, [`Group::confirm_leadership`].
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.member())
    }

    /// Who leads, as far as this member knows.
    pub fn leader(&self) -> Option<MemberId> {
        self.core.leadership.borrow().leader
    }

    /// Term and leader as they change.
    pub fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        self.core.leadership.clone()
    }

    /// On the leader: confirms by a quorum round begun after this call that it still leads, and
    /// returns the index committed at that moment. Any later leader was elected afterwards.
    /// Never forwards.
    ///
    /// # Errors
    /// [`ReadError`] when this member does not lead, or no quorum answers (2 s at most).
    pub async fn confirm_leadership(&self) -> Result<u64, ReadError> {
        let waited = Duration::from_secs(2);
        let failed = |why: String| ReadError::NoQuorum {
            group: self.id(),
            waited,
            why,
        };
        match within::<P, _>(waited, self.core.read_index_here()).await {
            Some(Ok(index)) => Ok(index),
            Some(Err(e)) => Err(failed(e.message)),
            None => Err(failed("no quorum answered".into())),
        }
    }

    /// The index committed at a time after this call, confirmed by a quorum round of the leader
    /// (ReadIndex), from any member. A read of the local machine once that index is applied is
    /// linearizable.
    ///
    /// # Errors
    /// [`ReadError`] when no leader confirms within `deadline`.
    pub async fn linearizable_index(&self, deadline: Duration) -> Result<u64, ReadError> {
        let end = now::<P>() + deadline;
        loop {
            let why = match self.try_read_index(end).await {
                Ok(index) => return Ok(index),
                Err(Miss::Again(why) | Miss::Unknown(why) | Miss::Refused(why)) => why,
            };
            if now::<P>() >= end {
                return Err(ReadError::NoQuorum {
                    group: self.id(),
                    waited: deadline,
                    why,
                });
            }
            self.pause_for_leader(end).await;
        }
    }

    async fn try_read_index(&self, end: InstantOf<P>) -> Result<u64, Miss> {
        let left = end.saturating_duration_since(now::<P>());
        let Some(leader) = self.leader() else {
            return Err(Miss::Again("no leader is known".into()));
        };
        if leader == self.member() {
            return match within::<P, _>(left, self.core.read_index_here()).await {
                Some(result) => result.map_err(Miss::of_service),
                None => Err(Miss::Again("no quorum answered".into())),
            };
        }
        let message = encode(self.id(), Kind::ReadIndex, &());
        let ask = self
            .core
            .endpoint
            .rpc_with(leader, SERVICE, message, left, Priority::Urgent);
        let answer = ask.await.map_err(Miss::of_rpc)?;
        decode(&answer).map_err(|e: ServiceError| Miss::of_service(e))
    }

    /// A short while, or until leadership changes.
    pub(crate) async fn pause_for_leader(&self, end: InstantOf<P>) {
        let mut leadership = self.core.leadership.clone();
        leadership.mark_unchanged();
        let short = (now::<P>() + Duration::from_millis(100)).min(end);
        // Something changed, or time passed. Where the group has stopped, nothing changes any more,
        // and asking again without a pause would keep a core busy until the deadline.
        let changed = P::Runtime::timeout_at(short, leadership.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            P::Runtime::sleep_until(short).await;
        }
    }

    /// Makes this group with these voters. Done once, by the mesh's first member with only itself;
    /// where the group exists already, nothing happens.
    ///
    /// # Errors
    /// [`StartError::Raft`] when this member is not among them or the group has stopped.
    pub async fn initialize(&self, voters: &BTreeSet<MemberId>) -> Result<(), StartError> {
        let nodes: BTreeMap<u64, EmptyNode> = voters.iter().map(|m| (m.0, EmptyNode {})).collect();
        match self.core.raft.initialize(nodes).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(e) => Err(StartError::Raft {
                group: self.id(),
                why: e.to_string(),
            }),
        }
    }

    /// Waits until all that was committed before this member started is applied here: before
    /// that, local reads may show a state older than one shown before the restart.
    ///
    /// # Errors
    /// [`WaitError`] when no leader told within `deadline`.
    pub async fn recovered(&self, deadline: Duration) -> Result<(), WaitError> {
        self.core
            .raft
            .wait_for_recovery(Some(deadline))
            .await
            .map(drop)
            .map_err(|_| WaitError {
                group: self.id(),
                wanted: self.status().last_log,
                applied: self.applied_index(),
            })
    }

    /// Asks the group to let `to`, a voter that has caught up, lead. On the leader only; watch
    /// the leadership to see whether it worked.
    ///
    /// # Errors
    /// [`StartError::Raft`] when the group has stopped here.
    pub async fn hand_over(&self, to: MemberId) -> Result<(), StartError> {
        let handed = self.core.raft.trigger().transfer_leader(to.0).await;
        handed.map_err(|e| StartError::Raft {
            group: self.id(),
            why: e.to_string(),
        })
    }

    /// [`Group::hand_over`], and waits until another member leads.
    ///
    /// # Errors
    /// [`ChangeError::Unconfirmed`] when this member still leads after `deadline`, or the group
    /// has stopped here.
    pub async fn hand_over_within(
        &self,
        to: MemberId,
        deadline: Duration,
    ) -> Result<(), ChangeError> {
        let group = self.id();
        let failed = |why: String| ChangeError::Unconfirmed {
            group,
            waited: deadline,
            why,
        };
        let mut leadership = self.watch_leadership();
        self.hand_over(to)
            .await
            .map_err(|e| failed(e.to_string()))?;
        let me = self.member();
        let moved = async move {
            let other = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != me));
            other.await.is_ok()
        };
        match within::<P, _>(deadline, moved).await {
            Some(true) => Ok(()),
            Some(false) => Err(failed("the group has stopped here".into())),
            None => Err(failed(format!("{to} does not lead yet"))),
        }
    }

    /// Makes a snapshot soon, whatever the options say.
    ///
    /// # Errors
    /// [`StartError::Raft`] when the group has stopped here.
    pub async fn snapshot_now(&self) -> Result<(), StartError> {
        let made = self.core.raft.trigger().snapshot().await;
        made.map_err(|e| StartError::Raft {
            group: self.id(),
            why: e.to_string(),
        })
    }

    /// The group as this member sees it.
    pub fn status(&self) -> GroupStatus {
        let metrics = self.core.raft.metrics();
        let held = metrics.borrow_watched();
        status(self.id(), &held, self.applied_index())
    }

    /// Stops the group on this member. Proposals fail from now on.
    pub async fn shut_down(&self) {
        if let Err(e) = self.core.raft.shutdown().await {
            tracing::error!(group = %self.id(), error = %e, "the group panicked while stopping");
        }
    }
}
