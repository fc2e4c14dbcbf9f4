//! Do-not-call bases at this node: fetched from a coordinator, kept in `data_dir/dnc`, given to the
//! engine. Which there are, and which is in use, says the directory.
//!
//! A base that the directory knows is fetched ahead of its use, so that putting it into use is one
//! step of the engine. Without the one in use the engine dials nobody.

use crate::event::{Event, Events};
use anyhow::{Context, Result, bail};
use domain::{DncBaseId, MemberId, MemberRole};
use ledger::{Change, DirectoryCommand, DirectoryReply};
use member::{DNC_BASE_CHUNK, DNC_BASE_TAIL, DncBaseChunk, DncBaseTail, Member, decode, encode};
use mesh::Priority;
use service::health::Gate;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use storage::{DncBase, IncomingDncBase, dnc_base_path, dnc_bases};

/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// How long one piece of a base may take.
const PIECE: Duration = Duration::from_secs(30);
/// How long a change of the directory may take.
const PROPOSAL: Duration = Duration::from_secs(10);

/// Keeps this node's bases as the directory wants them.
pub(crate) struct Bases {
    pub(crate) member: Member,
    pub(crate) events: Events,
    pub(crate) dir: PathBuf,
    pub(crate) gate: Gate,
}

/// What the directory wants.
struct Wanted {
    known: BTreeSet<DncBaseId>,
    /// Those that the directory does not know to be here.
    untold: BTreeSet<DncBaseId>,
    in_use: Option<DncBaseId>,
    coordinators: Vec<MemberId>,
}

/// A base that the engine has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    /// Mapped: it may be needed.
    Ahead,
    /// In memory of its own: it is asked at each attempt.
    InUse,
}

impl Bases {
    /// Runs for as long as the node.
    pub(crate) async fn keep(self) {
        let mut applied = self.member.directory().watch_applied();
        let mut given = BTreeMap::new();
        loop {
            let wanted = self.wanted();
            match wanted.in_use {
                Some(id) if !given.contains_key(&id) => {
                    self.gate
                        .close("the do-not-call base in use is not here yet: nobody is dialed");
                }
                Some(_) => self.gate.open("the do-not-call base in use is here"),
                None => self.gate.open("no do-not-call base is in use"),
            }
            let settled = match self.settle(&wanted, &mut given).await {
                Ok(settled) => settled,
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "a do-not-call base is not here yet; tried again");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            if !settled {
                continue;
            }
            loop {
                if applied.changed().await.is_err() {
                    return;
                }
                let now = self.wanted();
                if now.known != wanted.known
                    || now.in_use != wanted.in_use
                    || !now.untold.is_empty()
                {
                    break;
                }
            }
        }
    }

    fn wanted(&self) -> Wanted {
        let me = self.member.id();
        self.member.directory().read(|directory| Wanted {
            known: directory.dnc_bases().map(|b| b.base.id).collect(),
            untold: (directory.dnc_bases())
                .filter(|b| !b.holders.contains(&me))
                .map(|b| b.base.id)
                .collect(),
            in_use: directory.dnc_base_in_use(),
            coordinators: (directory.members())
                .filter(|m| m.role == MemberRole::Coordinator && !m.removed)
                .map(|m| m.id)
                .collect(),
        })
    }

    /// Does the first thing that is to be done; true when nothing was.
    async fn settle(
        &self,
        wanted: &Wanted,
        given: &mut BTreeMap<DncBaseId, Given>,
    ) -> Result<bool> {
        // The one that calls wait for comes first.
        let in_order = (wanted.in_use.iter()).chain(&wanted.known);
        for id in in_order.copied() {
            let need = match wanted.in_use == Some(id) {
                true => Given::InUse,
                false => Given::Ahead,
            };
            if !given.contains_key(&id) || (need == Given::InUse && given[&id] != need) {
                let base = self.base(id, need, &wanted.coordinators).await?;
                self.events.put(Event::DncBaseHere(Arc::new(base))).await;
                given.insert(id, need);
                return Ok(false);
            }
            if wanted.untold.contains(&id) {
                self.tell(id).await?;
                return Ok(false);
            }
        }
        // Only what this run has seen the directory know: a copy that lags behind deletes nothing.
        let gone = (given.keys().copied()).find(|id| !wanted.known.contains(id));
        if let Some(id) = gone {
            self.events.put(Event::DncBaseGone(id)).await;
            given.remove(&id);
            let path = dnc_base_path(&self.dir, id);
            fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display()))?;
            tracing::info!(base = %id, "a do-not-call base was dropped");
            return Ok(false);
        }
        Ok(true)
    }

    /// Opens a base, fetching it first if need be.
    async fn base(&self, id: DncBaseId, need: Given, coordinators: &[MemberId]) -> Result<DncBase> {
        let dir = self.dir.clone();
        let opened = blocking(move || {
            if !dir.is_dir() || !dnc_bases(&dir)?.contains(&id) {
                return Ok(None);
            }
            let path = dnc_base_path(&dir, id);
            let opened = match need {
                Given::Ahead => DncBase::open_verified(&path),
                Given::InUse => DncBase::open_resident(&path),
            };
            match opened {
                Ok(base) => Ok(Some(base)),
                Err(error) => {
                    tracing::error!(%error, "a do-not-call base is damaged here and is fetched anew");
                    fs::remove_file(&path)?;
                    Ok(None)
                }
            }
        });
        if let Some(base) = opened.await? {
            return Ok(base);
        }
        let mut last = None;
        for coordinator in coordinators {
            match self.fetch(id, *coordinator).await {
                Ok(base) => return Ok(base),
                Err(error) => last = Some(error.context(format!("from {coordinator}"))),
            }
        }
        match last {
            Some(error) => Err(error.context(format!("cannot fetch do-not-call base {id}"))),
            None => bail!("no coordinator is known that could have do-not-call base {id}"),
        }
    }

    /// Fetches a base, going on where an earlier try ended.
    async fn fetch(&self, id: DncBaseId, from: MemberId) -> Result<DncBase> {
        let endpoint = self.member.endpoint();
        let tail = endpoint.rpc_with(from, DNC_BASE_TAIL, encode(&id), PIECE, Priority::Bulk);
        let DncBaseTail { file_bytes, tail } = decode(&tail.await?)?;
        let dir = self.dir.clone();
        let mut incoming = blocking(move || {
            fs::create_dir_all(&dir)?;
            Ok(IncomingDncBase::begin(&dir, id, file_bytes, &tail)?)
        })
        .await?;
        let missing: Vec<usize> = incoming.missing().collect();
        tracing::info!(base = %id, bytes = file_bytes, chunks = missing.len(), "a do-not-call base is fetched");
        for chunk in missing {
            let ask = DncBaseChunk {
                id,
                chunk: u32::try_from(chunk)?,
            };
            let piece =
                endpoint.rpc_with(from, DNC_BASE_CHUNK, encode(&ask), PIECE, Priority::Bulk);
            let piece = piece.await?;
            incoming = blocking(move || {
                incoming.put(chunk, &piece)?;
                Ok(incoming)
            })
            .await?;
        }
        let base = blocking(move || Ok(incoming.finish()?)).await?;
        tracing::info!(base = %id, numbers = base.count(), "a do-not-call base is here");
        Ok(base)
    }

    async fn tell(&self, id: DncBaseId) -> Result<()> {
        let change = Change::HoldDncBase {
            member: self.member.id(),
            id,
        };
        let (directory, command) = (self.member.directory(), DirectoryCommand::from(change));
        let done = directory.propose_again(&command, PROPOSAL).await?;
        // What was told must be seen here before the next look, or it is told again.
        directory.wait_applied(done.index, PROPOSAL).await?;
        if done.reply != DirectoryReply::Done {
            // Dropped meanwhile: the next look sees that.
            tracing::debug!(base = %id, reply = ?done.reply, "that a do-not-call base is here was not taken");
        }
        Ok(())
    }
}

/// Work with a disk, off the threads that others wait for.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}
