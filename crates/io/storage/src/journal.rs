//! The one durable log of a process: many groups of entries in one raft-engine, one write and one
//! `fdatasync` for whatever arrived while the last one ran.
//!
//! Each **group** (a Raft group's log, a named stream of the node) is a row of entries with
//! consecutive indexes and a few named values beside it. Within a process all writes happen in
//! the order in which they were submitted.
//!
//! A failed write or sync aborts the process: after a failed `fsync` nobody knows what is on the
//! disk, and the other members take over.

mod disk;
mod entries;
mod reseal;
mod stepped;
mod stream;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use crate::seal::{DataKeys, SealError};
use bytes::Bytes;
use disk::Shared;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

pub use entries::EntryLog;
pub use stepped::{SteppedJournal, Written};
pub use stream::JournalStream;

/// Bytes of one entry.
pub const MAX_ENTRY_BYTES: usize = 16 * 1024 * 1024;
/// Batches that may wait for the writer; submitters wait beyond.
const QUEUE: usize = 4096;
/// How often files that hold nothing live any more are looked for.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// How far a write must have come before its submitter hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Given to the operating system: survives the death of the process, not a power cut.
    Written,
    /// Covered by a returned `fdatasync`: survives a power cut.
    Synced,
    /// As [`Durability::Synced`], but may be 5 ms later, so that many share one `fdatasync`.
    SyncedSoon,
}

/// The journal cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory cannot be used.
    #[error("journal directory {dir} cannot be used")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What lies there is damaged in another place than its end, or cannot be read.
    #[error(
        "journal {dir} cannot be {doing}: {why}; restore it, or remove this member and join it again"
    )]
    Engine {
        /// The directory.
        dir: PathBuf,
        /// `opened`, `read`.
        doing: &'static str,
        /// What the engine says.
        why: String,
    },
    /// An entry does not open with the data keys at hand.
    #[error("entry {index} of group {group:#x} in the journal {dir} cannot be read: {source}")]
    Sealed {
        /// The directory.
        dir: PathBuf,
        /// The group.
        group: u64,
        /// Which.
        index: u64,
        /// Why.
        #[source]
        source: SealError,
    },
    /// Two stream names share an id.
    #[error("journal stream {name:?} collides with {other:?}; rename one")]
    NameTaken {
        /// The name asked for.
        name: String,
        /// The name that has the id.
        other: String,
    },
    /// An entry beyond [`MAX_ENTRY_BYTES`].
    #[error("journal entry of {bytes} bytes exceeds the limit of {MAX_ENTRY_BYTES}; split it")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

/// Sizes of the journal's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files from which on those with little live content are rewritten.
    pub purge_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            purge_bytes: 1 << 30,
        }
    }
}

/// One atomic change of the journal.
#[derive(Clone, Debug, Default)]
pub struct JournalBatch {
    pub(crate) changes: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Append {
        group: u64,
        index: u64,
        entry: Bytes,
    },
    Truncate {
        group: u64,
        from: u64,
    },
    Compact {
        group: u64,
        before: u64,
    },
    Put {
        group: u64,
        key: Vec<u8>,
        value: Vec<u8>,
    },
}

impl JournalBatch {
    /// An empty change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `entry` at `index`, which must follow the group's last index, or lie inside its
    /// entries: then those from `index` on are replaced.
    ///
    /// # Errors
    /// [`JournalError::TooLarge`].
    pub fn append(
        &mut self,
        group: u64,
        index: u64,
        entry: Bytes,
    ) -> Result<&mut Self, JournalError> {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(JournalError::TooLarge { bytes: entry.len() });
        }
        self.changes.push(Change::Append {
            group,
            index,
            entry,
        });
        Ok(self)
    }

    /// Drops the group's entries from `from` on.
    pub fn truncate(&mut self, group: u64, from: u64) -> &mut Self {
        self.changes.push(Change::Truncate { group, from });
        self
    }

    /// Drops the group's entries before `before`; later ones may begin there, whatever the last
    /// index was.
    pub fn compact(&mut self, group: u64, before: u64) -> &mut Self {
        self.changes.push(Change::Compact { group, before });
        self
    }

    /// Sets a named value of the group. Names and values are kept in memory: few and small.
    pub fn put(&mut self, group: u64, key: &str, value: Vec<u8>) -> &mut Self {
        // Our own bounds are stored under the prefix `.`.
        self.changes.push(Change::Put {
            group,
            key: format!("={key}").into_bytes(),
            value,
        });
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether it sets the group's value of that name.
    pub fn puts(&self, name: &str) -> bool {
        let set = |c: &Change| matches!(c, Change::Put { key, .. } if key[1..] == *name.as_bytes());
        self.changes.iter().any(set)
    }
}

/// The journal of a process. Clones share it; the last one to go ends its threads, after all that
/// was submitted is written.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    desk: Arc<writer::Desk>,
    submissions: Option<mpsc::SyncSender<writer::Letter>>,
    stop_purge: Option<mpsc::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.inner.shared.dir())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.submissions = None;
        self.stop_purge = None;
        for thread in self.threads.drain(..) {
            // A callback may hold the last clone; a thread cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a journal thread panicked while stopping");
            }
        }
    }
}

impl Journal {
    /// Opens or makes the journal in `dir`. Torn bytes at its end (a crash in the middle of a
    /// write that nobody was told of) are dropped, and so is what lies behind a hole among what no
    /// sync had covered; damage anywhere else refuses to open. Entries
    /// are sealed with the newest of `keys`; a journal of an earlier release, or sealed with an
    /// older key, is sealed anew first.
    ///
    /// # Errors
    /// [`JournalError::Io`], [`JournalError::Engine`], [`JournalError::Sealed`].
    pub fn open(
        dir: &Path,
        options: JournalOptions,
        keys: &DataKeys,
    ) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io {
            dir: dir.into(),
            source,
        };
        let shared = Arc::new(reseal::open(dir, options, keys)?);
        let (submissions, receiver) = mpsc::sync_channel(QUEUE);
        let desk = Arc::new(writer::Desk::default());
        let (stop_purge, purge_receiver) = mpsc::channel::<()>();
        let threads = vec![
            writer::spawn(Arc::clone(&shared), Arc::clone(&desk), receiver).map_err(io)?,
            spawn_purge(Arc::clone(&shared), purge_receiver).map_err(io)?,
        ];
        let inner = Inner {
            shared,
            desk,
            submissions: Some(submissions),
            stop_purge: Some(stop_purge),
            threads,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Hands a batch to the writer. `done` runs on the writer's thread once the batch has come as
    /// far as `durability` says; keep it short. Each kind of durability is told in the order of
    /// submission. Waits while 4096 batches are queued.
    pub fn submit(
        &self,
        batch: JournalBatch,
        durability: Durability,
        done: impl FnOnce() + Send + 'static,
    ) {
        let submission = writer::Submission::new(batch, durability, done);
        self.inner.desk.queue();
        self.send(writer::Letter::Write(submission));
    }

    /// As [`Journal::submit`], but the caller writes itself where nothing waits for the writer's
    /// thread and no sync is asked for at once: two threads need not wake one another. `done` may run
    /// before this returns. Not for async code.
    pub fn submit_here(
        &self,
        batch: JournalBatch,
        durability: Durability,
        done: impl FnOnce() + Send + 'static,
    ) {
        let submission = writer::Submission::new(batch, durability, done);
        let inner = &self.inner;
        match inner.desk.write_here(&inner.shared, submission) {
            Ok(false) => {}
            Ok(true) => self.send(writer::Letter::Look),
            Err(queued) => self.send(writer::Letter::Write(queued)),
        }
    }

    fn send(&self, letter: writer::Letter) {
        let sender = self.inner.submissions.as_ref().expect("taken only in drop");
        if sender.send(letter).is_err() {
            writer::fatal("the journal's writer is gone");
        }
    }

    /// Writes a batch and waits for it. Not for async code.
    pub fn write(&self, batch: JournalBatch, durability: Durability) {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(batch, durability, move || {
            // The waiter cannot be gone: it is blocked on this.
            sender.send(()).ok();
        });
        if receiver.recv().is_err() {
            writer::fatal("the journal's writer is gone");
        }
    }

    /// The group's entries that exist, as `first..=last`; `None` when there are none. Counts what
    /// is written, not what is queued.
    pub fn span(&self, group: u64) -> Option<(u64, u64)> {
        self.inner.shared.span(group)
    }

    /// The index before which the group's entries were compacted; 0 when never.
    pub fn compacted_before(&self, group: u64) -> u64 {
        self.inner
            .shared
            .bounds
            .read()
            .get(&group)
            .map_or(0, |b| b.first)
    }

    /// Written entries of `from..to` that exist, in order, stopping early once they hold
    /// `max_bytes` (at least one is given).
    ///
    /// # Errors
    /// [`JournalError::Engine`] when they cannot be read, [`JournalError::Sealed`] when they do not
    /// open with the data key.
    pub fn read(
        &self,
        group: u64,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        self.inner.shared.read(group, from, to, max_bytes)
    }

    /// A named value of the group, as last written.
    pub fn value(&self, group: u64, key: &str) -> Option<Vec<u8>> {
        self.inner.shared.value(group, key)
    }

    /// The stream of that name, for the process's own use. Open each name once.
    ///
    /// # Errors
    /// [`JournalError::NameTaken`] when another name hashes to the same id.
    pub fn stream(&self, name: &str) -> Result<JournalStream, JournalError> {
        JournalStream::open(self.clone(), name)
    }

    /// The keys it is sealed with.
    pub fn keys(&self) -> &DataKeys {
        self.inner.shared.keys()
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.inner.shared.engine.get_used_size() as u64
    }
}

fn spawn_purge(shared: Arc<Shared>, stop: mpsc::Receiver<()>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("journal-purge".into()).spawn(move || {
        while stop.recv_timeout(PURGE_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
            // The engine panics when a sync fails.
            match catch_unwind(AssertUnwindSafe(|| shared.engine.purge_expired_files())) {
                Ok(Ok(_)) => {}
                Ok(Err(e)) => {
                    tracing::error!(dir = %shared.dir().display(), error = %e, "old journal files cannot be purged");
                }
                Err(_) => writer::fatal_sync(&shared, "the engine panicked while purging"),
            }
            metrics::gauge!("dialmesh_journal_used_bytes").set(shared.engine.get_used_size() as f64);
        }
    })
}
