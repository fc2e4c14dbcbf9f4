//! The writer: takes what is queued, writes it at once, syncs once. Where nothing is queued, whoever
//! submits may write instead.

use super::{
    Change, Durability, JournalBatch,
    disk::{Bounds, END_KEY, EntryExt, FIRST_KEY, ITSELF, Shared},
};
use crate::data_dir::{folder_of, note_failed_sync};
use parking_lot::Mutex;
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

impl Submission {
    pub(super) fn new(
        batch: JournalBatch,
        durability: Durability,
        done: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self {
            batch,
            durability,
            done: Box::new(done),
        }
    }
}

/// What the writer's thread is sent.
pub(super) enum Letter {
    /// Counted in [`Desk`]'s queue.
    Write(Submission),
    /// A sync is owed, and when was not known before.
    Look,
}

/// Between the submitters and the writer's thread: whose turn it is to write.
#[derive(Default)]
pub(super) struct Desk {
    turn: Mutex<Turn>,
}

#[derive(Default)]
struct Turn {
    /// Submissions on their way to the thread, or being written by it.
    queued: usize,
    owing: Owing,
}

impl Desk {
    /// One more for the thread.
    pub(super) fn queue(&self) {
        self.turn.lock().queued += 1;
    }

    /// Writes a submission at once where nothing waits for the thread, which would have to be woken
    /// for it, and wake the submitter; gives it back, counted as queued, where something does, or
    /// where it is to be synced now. Whether the thread is to look when a sync is due.
    pub(super) fn write_here(
        &self,
        shared: &Shared,
        submission: Submission,
    ) -> Result<bool, Submission> {
        let mut turn = self.turn.lock();
        if turn.queued > 0 || submission.durability == Durability::Synced {
            turn.queued += 1;
            return Err(submission);
        }
        let mut group = Group::default();
        group.take(submission);
        // Nobody else writes meanwhile: entries of a group follow one another.
        group.write_or_end(shared);
        let news = turn.owing.due.is_none();
        let written = turn.owing.owe(std::mem::take(&mut group.done));
        let look = news && turn.owing.due.is_some();
        drop(turn);
        written.into_iter().for_each(|done| done());
        Ok(look)
    }
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
    desk: Arc<Desk>,
    receiver: mpsc::Receiver<Letter>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("journal-writer".into())
        .spawn(move || {
            loop {
                let due = desk.turn.lock().owing.due;
                let first = match due {
                    None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(due) => {
                        receiver.recv_timeout(due.saturating_duration_since(Instant::now()))
                    }
                };
                let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
                let mut group = Group::default();
                let mut next = first.ok();
                while let Some(letter) = next {
                    if let Letter::Write(submission) = letter {
                        group.take(submission);
                    }
                    next = match group.is_full() {
                        true => None,
                        false => receiver.try_recv().ok(),
                    };
                }
                // Those that are owed a sync are covered by one that begins from here on; whoever
                // writes itself meanwhile is owed the next.
                let owed = {
                    let mut turn = desk.turn.lock();
                    group.sync |= turn.owing.is_due() || (ended && !turn.owing.done.is_empty());
                    match group.sync {
                        true => std::mem::take(&mut turn.owing).done,
                        false => Vec::new(),
                    }
                };
                if ended && owed.is_empty() {
                    return;
                }
                group.write_or_end(&shared);
                owed.into_iter().for_each(|done| done());
                group.tell(&desk);
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

    /// Takes those that wait for a sync; the others have what they asked for.
    fn owe(&mut self, written: Vec<(Durability, Done)>) -> Vec<Done> {
        let mut told = Vec::new();
        for (durability, done) in written {
            if durability == Durability::SyncedSoon {
                self.due.get_or_insert_with(|| Instant::now() + SOON);
                self.done.push(done);
            } else {
                told.push(done);
            }
        }
        told
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
    fn tell(self, desk: &Desk) {
        let written = self.done.len();
        let told = {
            let mut turn = desk.turn.lock();
            let told = match self.sync {
                true => self.done.into_iter().map(|(_, done)| done).collect(),
                false => turn.owing.owe(self.done),
            };
            turn.queued -= written;
            told
        };
        told.into_iter().for_each(|done: Done| done());
    }

    /// Writes, or ends the process.
    fn write_or_end(&mut self, shared: &Shared) {
        // The engine panics when a sync fails.
        match catch_unwind(AssertUnwindSafe(|| self.write(shared))) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => fatal(&why),
            Err(_) => fatal_sync(shared, "the engine panicked"),
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
