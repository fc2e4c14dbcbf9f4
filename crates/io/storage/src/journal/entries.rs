//! What lies in the engine: which entries and values of a group exist, on whatever files.

use super::{Durability, Journal, JournalBatch, JournalError, JournalOptions};
use bytes::Bytes;
use parking_lot::RwLock;
use protobuf::well_known_types::BytesValue;
use raft_engine::{
    Config, Engine, MessageExt, ReadableSize, RecoveryMode,
    env::{DefaultFileSystem, FileSystem},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

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
}

/// Which of the engine's entries of a group exist: those in `first..end`.
///
/// The engine forgets compactions when their file is purged and has no truncation at all, so both
/// bounds are values of the group, only ever overwritten (a deleted value could come back, too).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) first: u64,
    pub(super) end: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            first: 0,
            end: u64::MAX,
        }
    }
}

pub(super) const FIRST_KEY: &[u8] = b".first";
pub(super) const END_KEY: &[u8] = b".end";

pub(super) struct EntryExt;

impl MessageExt for EntryExt {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        let head = entry
            .value
            .first_chunk()
            .expect("entries are written with their index in front");
        u64::from_be_bytes(*head)
    }
}

pub(super) struct Shared<F: FileSystem = DefaultFileSystem> {
    pub(super) engine: Engine<F>,
    pub(super) bounds: RwLock<BTreeMap<u64, Bounds>>,
    pub(super) dir: PathBuf,
}

impl<F: FileSystem> Shared<F> {
    /// Opens the engine in `dir`, which exists, and reads every group's bounds.
    pub(super) fn open(
        dir: &Path,
        options: JournalOptions,
        files: F,
    ) -> Result<Self, JournalError> {
        let config = Config {
            dir: dir.to_string_lossy().into_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            recovery_threads: 2,
            target_file_size: ReadableSize(options.file_bytes),
            purge_threshold: ReadableSize(options.purge_bytes),
            ..Config::default()
        };
        let engine = Engine::open_with_file_system(config, Arc::new(files)).map_err(|e| {
            JournalError::Engine {
                dir: dir.into(),
                doing: "opened",
                why: e.to_string(),
            }
        })?;
        let mut bounds = BTreeMap::new();
        for group in engine.raft_groups() {
            let number = |key| {
                engine
                    .get(group, key)
                    .and_then(|v| Some(u64::from_be_bytes(v.try_into().ok()?)))
            };
            let found = Bounds {
                first: number(FIRST_KEY).unwrap_or(0),
                end: number(END_KEY).unwrap_or(u64::MAX),
            };
            // Entries compacted long ago may be back from a rewritten file.
            if engine
                .first_index(group)
                .is_some_and(|first| first < found.first)
            {
                engine.compact_to(group, found.first);
            }
            bounds.insert(group, found);
        }
        Ok(Self {
            engine,
            bounds: RwLock::new(bounds),
            dir: dir.into(),
        })
    }

    pub(super) fn span(&self, group: u64) -> Option<(u64, u64)> {
        let bounds = self.bounds.read().get(&group).copied().unwrap_or_default();
        let first = self.engine.first_index(group)?.max(bounds.first);
        let last = self
            .engine
            .last_index(group)?
            .min(bounds.end.checked_sub(1)?);
        (first <= last).then_some((first, last))
    }

    pub(super) fn read(
        &self,
        group: u64,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        // Purging may move entries to another file between the look at the index and the read.
        let mut tries = 0;
        loop {
            let Some((first, last)) = self.span(group) else {
                return Ok(Vec::new());
            };
            let (from, to) = (from.max(first), to.min(last + 1));
            if from >= to {
                return Ok(Vec::new());
            }
            let mut found: Vec<BytesValue> = Vec::new();
            let result = self.engine.fetch_entries_to::<EntryExt>(
                group,
                from,
                to,
                Some(max_bytes),
                &mut found,
            );
            match result {
                Ok(_) => {
                    return Ok(found
                        .into_iter()
                        .map(|e| (EntryExt::index(&e), Bytes::from(e.value).slice(8..)))
                        .collect());
                }
                Err(e) if tries < 5 => {
                    tracing::debug!(group, from, to, error = %e, "journal read is tried again");
                    tries += 1;
                }
                Err(e) => {
                    return Err(JournalError::Engine {
                        dir: self.dir.clone(),
                        doing: "read",
                        why: e.to_string(),
                    });
                }
            }
        }
    }

    pub(super) fn value(&self, group: u64, key: &str) -> Option<Vec<u8>> {
        self.engine.get(group, format!("={key}").as_bytes())
    }
}
