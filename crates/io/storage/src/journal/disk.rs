//! What the journal's files hold: entries behind their index, sealed, and the bounds of each group.
//!
//! An entry begins with a byte that says how the rest is written, and its index in 7 bytes
//! (big-endian): 0, as releases before sealing wrote it, is followed by the plain entry; 1 by the
//! sealed one, whose place is group and index. Named values (votes, bounds, names of streams) hold
//! no number and lie plain.

use super::{JournalError, JournalOptions, tail};
use crate::seal::{DataKeys, SEAL_BYTES, SealedKind, Sealer};
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
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Bytes in front of an entry.
const FRONT: usize = 8;
/// Entries are numbered below this.
const INDEX_END: u64 = 1 << 56;
const PLAIN: u64 = 0;
const SEALED: u64 = 1;

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

/// The group of what is said of the journal itself: no Raft group, no stream.
pub(super) const ITSELF: u64 = 0;

pub(super) const FIRST_KEY: &[u8] = b".first";
pub(super) const END_KEY: &[u8] = b".end";

pub(super) struct EntryExt;

/// Engines opened by this process so far.
static OPENED: AtomicUsize = AtomicUsize::new(0);

/// Does something that reads on a thread of its own, where that is needed. The engine keeps the block
/// that a thread read last, by file number and offset alone, and takes it for any other engine's: of
/// several engines one would read what another wrote. A member has one journal; tests, simulations and
/// the change of a data key have several in one process.
pub(super) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if OPENED.load(Ordering::Relaxed) < 2 {
        return work();
    }
    std::thread::scope(|scope| {
        let done = scope.spawn(work).join();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn front(entry: &BytesValue) -> u64 {
    let front = entry.value.first_chunk();
    u64::from_be_bytes(*front.expect("entries are written with their index in front"))
}

impl MessageExt for EntryExt {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        front(entry) % INDEX_END
    }
}

fn place(group: u64, index: u64) -> [u8; 16] {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&group.to_be_bytes());
    place[8..].copy_from_slice(&index.to_be_bytes());
    place
}

pub(super) struct Shared<F: FileSystem = DefaultFileSystem> {
    pub(super) engine: Engine<F>,
    pub(super) bounds: RwLock<BTreeMap<u64, Bounds>>,
    dir: PathBuf,
    keys: DataKeys,
    sealer: Sealer,
}

impl<F: FileSystem> Shared<F> {
    /// Opens the engine in `dir`, which exists, and reads every group's bounds.
    pub(super) fn open(
        dir: &Path,
        options: JournalOptions,
        files: F,
        keys: &DataKeys,
    ) -> Result<Self, JournalError> {
        let config = Config {
            dir: dir.to_string_lossy().into_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            recovery_threads: 2,
            target_file_size: ReadableSize(options.file_bytes),
            purge_threshold: ReadableSize(options.purge_bytes),
            // What is sealed cannot be made smaller; 0 is never.
            batch_compression_threshold: ReadableSize(0),
            ..Config::default()
        };
        tail::cut_damaged(dir, &files).map_err(|source| JournalError::Io {
            dir: dir.into(),
            source,
        })?;
        OPENED.fetch_add(1, Ordering::Relaxed);
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
            keys: keys.clone(),
            sealer: keys.sealer(SealedKind::Journal),
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn keys(&self) -> &DataKeys {
        &self.keys
    }

    pub(super) fn refuse(&self, doing: &'static str, why: impl ToString) -> JournalError {
        JournalError::Engine {
            dir: self.dir.clone(),
            doing,
            why: why.to_string(),
        }
    }

    /// The entry as it is written: copied once and sealed where it then lies.
    pub(super) fn message(&self, group: u64, index: u64, entry: &[u8]) -> BytesValue {
        assert!(index < INDEX_END, "no group has so many entries");
        let mut value = Vec::with_capacity(FRONT + SEAL_BYTES + entry.len());
        value.extend_from_slice(&(SEALED * INDEX_END + index).to_be_bytes());
        self.sealer
            .seal_into(&place(group, index), entry, &mut value);
        let mut message = BytesValue::new();
        message.set_value(value);
        message
    }

    fn entry(&self, group: u64, message: BytesValue) -> Result<(u64, Bytes), JournalError> {
        let (form, index) = (front(&message) / INDEX_END, EntryExt::index(&message));
        let mut value = message.value;
        match form {
            PLAIN => Ok((index, Bytes::from(value).slice(FRONT..))),
            SEALED => {
                let sealed = &mut value[FRONT..];
                let place = place(group, index);
                let opened = self.keys.open_record(SealedKind::Journal, &place, sealed);
                let plain = opened.map_err(|source| JournalError::Sealed {
                    dir: self.dir.clone(),
                    group,
                    index,
                    source,
                })?;
                let entry = Bytes::from(value).slice(FRONT + plain.start..FRONT + plain.end);
                Ok((index, entry))
            }
            other => Err(self.refuse(
                "read",
                format!("entry {index} is written in form {other}, which a newer release knows"),
            )),
        }
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
            let result = apart(|| {
                let engine = &self.engine;
                engine.fetch_entries_to::<EntryExt>(group, from, to, Some(max_bytes), &mut found)
            });
            match result {
                Ok(_) => return found.into_iter().map(|e| self.entry(group, e)).collect(),
                Err(e) if tries < 5 => {
                    tracing::debug!(group, from, to, error = %e, "journal read is tried again");
                    tries += 1;
                }
                Err(e) => return Err(self.refuse("read", e)),
            }
        }
    }

    pub(super) fn value(&self, group: u64, key: &str) -> Option<Vec<u8>> {
        self.engine.get(group, format!("={key}").as_bytes())
    }
}
