//! The writer: takes what is queued, writes it at once, syncs once.

use super::{
    Change, Durability, JournalBatch,
    disk::{Bounds, END_KEY, EntryExt, FIRST_KEY, ITSELF, Shared},
};
use crate::data_dir::{folder_of, note_failed_sync};
use raft_engine::{Command, LogBatch, env::FileSystem};
use std::{
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Changes written at once at most: bounds the wait of the first of them.
const GROUP_CHANGES: usize = 8192;
/// Bytes written at once at most.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Written where a sync is owed and nothing else is to be written.
const SYNCED: &[u8] = b".synced";

/// How long [`Durability::SyncedSoon`] may wait for a sync that others need too.
const SOON: Duration = Duration::from_millis(5);

pub(super) struct Submission {
    pub(super) batch: JournalBatch,
    pub(super) durability: Durability,
    pub(super) done: Done,
}

/// Ends the process: what is on the disk is not known any more.
pub(super) fn fatal(what: &str) -> ! {
    tracing::error!(
        what,
        "the journal cannot be written; this process stops so that no promise is broken. Check the \
         disk (space, errors in the kernel log), then start it again"
    );
    std::process::abort()
}

/// [`fatal`] where a sync has failed, or may have: the next run must not trust what it reads.
pub(super) fn fatal_sync(shared: &Shared, what: &str) -> ! {
    note_failed_sync(folder_of(shared.dir()));
    fatal(what)
}

pub(super) fn spawn(
    shared: Arc<Shared>,
    receiver: mpsc::Receiver<Submission>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("journal-writer".into())
        .spawn(move || {
            let mut owing = Owing::default();
            loop {
                let first = match owing.due {
                    None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(due) => {
                        receiver.recv_timeout(due.saturating_duration_since(Instant::now()))
                    }
                };
                let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
                if ended && owing.done.is_empty() {
                    return;
                }
                let mut group = Group::default();
                if let Ok(first) = first {
                    group.take(first);
                }
                while !group.is_full() {
                    match receiver.try_recv() {
                        Ok(next) => group.take(next),
                        Err(_) => break,
                    }
                }
                group.sync |= ended || owing.is_due();
                // The engine panics when a sync fails.
                let written = catch_unwind(AssertUnwindSafe(|| group.write(&shared)));
                match written {
                    Ok(Ok(())) => {}
                    Ok(Err(e)) => fatal(&e),
                    Err(_) => fatal_sync(&shared, "the engine panicked"),
                }
                group.tell(&mut owing);
            }
        })
}

pub(super) type Done = Box<dyn FnOnce() + Send>;

/// Submissions that are written and may wait a moment for a sync that others need too.
#[derive(Default)]
struct Owing {
    done: Vec<Done>,
    /// When the sync is made for them alone.
    due: Option<Instant>,
}

impl Owing {
    fn is_due(&self) -> bool {
        self.done.len() >= GROUP_CHANGES || self.due.is_some_and(|due| due <= Instant::now())
    }
}

#[derive(Default)]
pub(super) struct Group {
    changes: Vec<Change>,
    bytes: usize,
    pub(super) sync: bool,
    pub(super) done: Vec<(Durability, Done)>,
}

impl Group {
    pub(super) fn take(&mut self, submission: Submission) {
        self.bytes += submission
            .batch
            .changes
            .iter()
            .map(|c| match c {
                Change::Append { entry, .. } => entry.len(),
                Change::Put { value, .. } => value.len(),
                Change::Truncate { .. } | Change::Compact { .. } => 0,
            })
            .sum::<usize>();
        self.changes.extend(submission.batch.changes);
        self.sync |= submission.durability == Durability::Synced;
        self.done.push((submission.durability, submission.done));
    }

    /// Tells who has what was asked for; the others are owed it.
    fn tell(self, owing: &mut Owing) {
        if self.sync {
            owing.due = None;
            owing.done.drain(..).for_each(|done| done());
        }
        for (durability, done) in self.done {
            if durability == Durability::SyncedSoon && !self.sync {
                owing.due.get_or_insert_with(|| Instant::now() + SOON);
                owing.done.push(done);
            } else {
                done();
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.changes.len() >= GROUP_CHANGES || self.bytes >= GROUP_BYTES
    }

    pub(super) fn write<F: FileSystem>(&mut self, shared: &Shared<F>) -> Result<(), String> {
        let started = Instant::now();
        let mut log = LogBatch::with_capacity(self.changes.len());
        let mut bounds: BTreeMap<u64, Bounds> = BTreeMap::new();
        for change in self.changes.drain(..) {
            stage(&mut log, &mut bounds, shared, change).map_err(|e| e.to_string())?;
        }
        if log.is_empty() {
            // An empty batch is a barrier: what came before it is written; sync if asked or owed.
            if !self.sync {
                return Ok(());
            }
            // The engine's own `sync` does nothing: it writes an empty batch, and of one it does not
            // come to the sync.
            log.put(ITSELF, SYNCED.to_vec(), Vec::new())
                .map_err(|e| e.to_string())?;
        }
        // Readers never see entries that the new bounds hide: bounds that shrink come first.
        {
            let mut held = shared.bounds.write();
            for (group, new) in &bounds {
                let old = held.entry(*group).or_default();
                *old = Bounds {
                    first: old.first.max(new.first),
                    end: old.end.min(new.end),
                };
            }
        }
        shared
            .engine
            .write(&mut log, self.sync)
            .map_err(|e| e.to_string())?;
        shared.bounds.write().extend(bounds);
        let took = started.elapsed().as_secs_f64();
        let kind = if self.sync { "synced" } else { "written" };
        metrics::histogram!("dialmesh_journal_write_seconds", "durability" => kind).record(took);
        metrics::histogram!("dialmesh_journal_batches_per_write").record(self.done.len() as f64);
        Ok(())
    }
}

fn stage<F: FileSystem>(
    log: &mut LogBatch,
    bounds: &mut BTreeMap<u64, Bounds>,
    shared: &Shared<F>,
    change: Change,
) -> raft_engine::Result<()> {
    let mut of = |group: u64| {
        *bounds.entry(group).or_insert_with(|| {
            shared
                .bounds
                .read()
                .get(&group)
                .copied()
                .unwrap_or_default()
        })
    };
    match change {
        Change::Append {
            group,
            index,
            entry,
        } => {
            let mut now = of(group);
            assert!(
                index >= now.first && index <= now.end,
                "entry {index} of group {group:#x} lies outside of {now:?}"
            );
            if now.end != u64::MAX {
                now.end = u64::MAX;
                log.put(group, END_KEY.to_vec(), now.end.to_be_bytes().to_vec())?;
                bounds.insert(group, now);
            }
            let message = shared.message(group, index, &entry);
            log.add_entries::<EntryExt>(group, &[message])
        }
        Change::Truncate { group, from } => {
            let mut now = of(group);
            if from < now.end {
                now.end = from;
                log.put(group, END_KEY.to_vec(), from.to_be_bytes().to_vec())?;
                bounds.insert(group, now);
            }
            Ok(())
        }
        Change::Compact { group, before } => {
            let mut now = of(group);
            if before > now.first {
                now.first = before;
                // A log compacted beyond its truncated end begins anew at `before`.
                if now.end < before {
                    now.end = before;
                    log.put(group, END_KEY.to_vec(), before.to_be_bytes().to_vec())?;
                }
                log.put(group, FIRST_KEY.to_vec(), before.to_be_bytes().to_vec())?;
                log.add_command(group, Command::Compact { index: before });
                bounds.insert(group, now);
            }
            Ok(())
        }
        Change::Put { group, key, value } => log.put(group, key, value),
    }
}
