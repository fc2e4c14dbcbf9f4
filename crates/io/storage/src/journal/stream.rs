//! Named streams: the node's own journal and outbox.

use super::{Durability, Journal, JournalBatch, JournalError};
use bytes::Bytes;
use parking_lot::Mutex;

/// Ids of named streams have this bit; Raft groups do not.
const STREAM_BIT: u64 = 1 << 63;

/// A row of entries of one name, indexed from 1.
#[derive(Debug)]
pub struct JournalStream {
    journal: Journal,
    id: u64,
    next: Mutex<u64>,
}

impl JournalStream {
    pub(super) fn open(journal: Journal, name: &str) -> Result<Self, JournalError> {
        let hash = blake3::hash(name.as_bytes());
        let id =
            u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes")) | STREAM_BIT;
        match journal.value(id, "name") {
            None => {
                let mut batch = JournalBatch::new();
                batch
                    .put(id, "name", name.as_bytes().to_vec())
                    .compact(id, 1);
                journal.write(batch, Durability::Synced);
            }
            Some(other) if other == name.as_bytes() => {}
            Some(other) => {
                return Err(JournalError::NameTaken {
                    name: name.into(),
                    other: String::from_utf8_lossy(&other).into_owned(),
                });
            }
        }
        let after_last = journal.span(id).map_or(0, |(_, last)| last + 1);
        let next = after_last.max(journal.compacted_before(id)).max(1);
        Ok(Self {
            journal,
            id,
            next: Mutex::new(next),
        })
    }

    /// Queues entries, or writes them at once where nothing is queued, and returns the index of the
    /// last one (of the one before when there are none). `done` is called with it, on the writer's
    /// thread or on this one, once they have come as far as `durability` says; until then they are not
    /// safe; it must not use this stream. Not for async code.
    ///
    /// # Errors
    /// [`JournalError::TooLarge`]; nothing was queued.
    pub fn append_then(
        &self,
        entries: Vec<Bytes>,
        durability: Durability,
        done: impl FnOnce(u64) + Send + 'static,
    ) -> Result<u64, JournalError> {
        // Held while queueing, so that indexes reach the writer in order.
        let mut next = self.next.lock();
        let mut batch = JournalBatch::new();
        let mut index = *next;
        for entry in entries {
            batch.append(self.id, index, entry)?;
            index += 1;
        }
        *next = index;
        let last = index - 1;
        self.journal
            .submit_here(batch, durability, move || done(last));
        Ok(last)
    }

    /// Appends entries, waits until they have come as far as `durability` says, and returns the
    /// index of the last one. Not for async code.
    ///
    /// # Errors
    /// [`JournalError::TooLarge`]; nothing was appended.
    pub fn append(&self, entries: Vec<Bytes>, durability: Durability) -> Result<u64, JournalError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let last = self.append_then(entries, durability, move |_| {
            sender.send(()).ok();
        })?;
        if receiver.recv().is_err() {
            super::writer::fatal("the journal's writer is gone");
        }
        Ok(last)
    }

    /// Written entries from `from` on with their indexes, in order, stopping early once they hold
    /// `max_bytes` (at least one is given). Empty when there are no more.
    ///
    /// # Errors
    /// [`JournalError::Engine`] when they cannot be read.
    pub fn read_from(
        &self,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        self.journal.read(self.id, from, u64::MAX, max_bytes)
    }

    /// Forgets entries before `before`. Not synced: after a crash some may be back.
    pub fn truncate_prefix(&self, before: u64) {
        let before = before.min(*self.next.lock());
        let mut batch = JournalBatch::new();
        batch.compact(self.id, before);
        self.journal.submit(batch, Durability::Written, || {});
    }

    /// The index that the next entry gets.
    pub fn next_index(&self) -> u64 {
        *self.next.lock()
    }

    /// The index of the oldest entry kept, or the next one's when there is none.
    pub fn first_index(&self) -> u64 {
        self.journal
            .span(self.id)
            .map_or_else(|| self.next_index(), |(first, _)| first)
    }
}
