//! The journal as a group's log sees it.

use super::{Durability, Journal, JournalBatch, JournalError};
use crate::seal::DataKeys;
use bytes::Bytes;

/// A journal as a group's log sees it. [`Journal`] is one, with threads; [`super::SteppedJournal`]
/// another, whose owner says when it writes.
pub trait EntryLog: Clone + Send + Sync + 'static {
    /// Hands over a batch; see [`Journal::submit`].
    fn submit(
        &self,
        batch: JournalBatch,
        durability: Durability,
        done: impl FnOnce() + Send + 'static,
    );

    /// The group's entries that exist; see [`Journal::span`].
    fn span(&self, group: u64) -> Option<(u64, u64)>;

    /// Written entries of `from..to`; see [`Journal::read`].
    ///
    /// # Errors
    /// [`JournalError::Engine`] when they cannot be read.
    fn read(
        &self,
        group: u64,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError>;

    /// A named value of the group, as last written.
    fn value(&self, group: u64, key: &str) -> Option<Vec<u8>>;

    /// The keys that its entries are sealed with.
    fn keys(&self) -> &DataKeys;
}

impl EntryLog for Journal {
    fn submit(
        &self,
        batch: JournalBatch,
        durability: Durability,
        done: impl FnOnce() + Send + 'static,
    ) {
        Self::submit(self, batch, durability, done);
    }

    fn span(&self, group: u64) -> Option<(u64, u64)> {
        Self::span(self, group)
    }

    fn read(
        &self,
        group: u64,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        Self::read(self, group, from, to, max_bytes)
    }

    fn value(&self, group: u64, key: &str) -> Option<Vec<u8>> {
        Self::value(self, group, key)
    }

    fn keys(&self) -> &DataKeys {
        Self::keys(self)
    }
}
