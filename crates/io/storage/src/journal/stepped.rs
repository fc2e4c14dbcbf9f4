//! The journal without threads, on files that its owner brings: for simulated time and disks.

use super::{
    Durability, EntryLog, JournalBatch, JournalError, JournalOptions,
    disk::{Shared, apart},
    writer::{Done, Group, Submission},
};
use crate::seal::DataKeys;
use bytes::Bytes;
use parking_lot::Mutex;
use raft_engine::env::FileSystem;
use std::{collections::VecDeque, fmt, path::Path, sync::Arc};

/// The journal's own code and engine, but written only when its owner calls
/// [`SteppedJournal::write_queued`]. Clones share it.
pub struct SteppedJournal<F: FileSystem> {
    shared: Arc<Shared<F>>,
    queue: Arc<Mutex<VecDeque<Submission>>>,
}

impl<F: FileSystem> Clone for SteppedJournal<F> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            queue: Arc::clone(&self.queue),
        }
    }
}

impl<F: FileSystem> fmt::Debug for SteppedJournal<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteppedJournal")
            .field("dir", &self.shared.dir())
            .finish_non_exhaustive()
    }
}

/// What one call of [`SteppedJournal::write_queued`] wrote.
#[must_use = "who submitted waits for it"]
pub struct Written {
    /// Whether somebody asked for a sync, so that the engine called the file's.
    pub synced: bool,
    /// Batches that went into this one write.
    pub batches: usize,
    done: Vec<(Durability, Done)>,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written")
            .field("synced", &self.synced)
            .field("batches", &self.batches)
            .finish_non_exhaustive()
    }
}

impl Written {
    /// Tells all who submitted, in their order: once the files say that the sync has returned.
    pub fn tell(self) {
        for (_, done) in self.done {
            done();
        }
    }
}

impl<F: FileSystem> SteppedJournal<F> {
    /// Opens or makes the journal in `dir`, which must exist on the real disk: the engine looks
    /// there for the names of its files, whose content `files` has. See [`super::Journal::open`].
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    pub fn open(
        dir: &Path,
        options: JournalOptions,
        files: F,
        keys: &DataKeys,
    ) -> Result<Self, JournalError> {
        Ok(Self {
            shared: Arc::new(Shared::open(dir, options, files, keys)?),
            queue: Arc::default(),
        })
    }

    /// Whether nothing waits to be written.
    pub fn is_idle(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Writes what is queued, as much as the journal's thread would at once.
    ///
    /// # Errors
    /// [`JournalError::Engine`] when it cannot be written: nobody is told, and nothing may be
    /// written any more; a process would stop.
    pub fn write_queued(&self) -> Result<Written, JournalError> {
        let mut group = Group::default();
        {
            let mut queue = self.queue.lock();
            while !group.is_full() {
                match queue.pop_front() {
                    Some(next) => group.take(next),
                    None => break,
                }
            }
        }
        group.sync |= (group.done.iter()).any(|(d, _)| *d == Durability::SyncedSoon);
        group
            .write(&self.shared)
            .map_err(|why| JournalError::Engine {
                dir: self.shared.dir().to_owned(),
                doing: "written",
                why,
            })?;
        Ok(Written {
            synced: group.sync,
            batches: group.done.len(),
            done: group.done,
        })
    }

    /// Forgets what is queued, and whoever waits for it: the process is gone. What waits may hold
    /// this very journal, which would never go otherwise.
    pub fn forget_queued(&self) {
        let queued = std::mem::take(&mut *self.queue.lock());
        drop(queued);
    }

    /// Rewrites or drops files with little live content, as the journal's thread does now and then.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    pub fn purge(&self) -> Result<(), JournalError> {
        let purged = apart(|| self.shared.engine.purge_expired_files());
        purged.map(drop).map_err(|e| JournalError::Engine {
            dir: self.shared.dir().to_owned(),
            doing: "purged",
            why: e.to_string(),
        })
    }
}

impl<F: FileSystem + 'static> EntryLog for SteppedJournal<F> {
    fn submit(
        &self,
        batch: JournalBatch,
        durability: Durability,
        done: impl FnOnce() + Send + 'static,
    ) {
        let submission = Submission::new(batch, durability, done);
        self.queue.lock().push_back(submission);
    }

    fn span(&self, group: u64) -> Option<(u64, u64)> {
        self.shared.span(group)
    }

    fn read(
        &self,
        group: u64,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        self.shared.read(group, from, to, max_bytes)
    }

    fn value(&self, group: u64, key: &str) -> Option<Vec<u8>> {
        self.shared.value(group, key)
    }

    fn keys(&self) -> &DataKeys {
        self.shared.keys()
    }
}
