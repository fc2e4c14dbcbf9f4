//! A group's log, vote and committed index on the journal.

use crate::{
    config::{Entry, GroupId, LogId, Types, Vote},
    platform::Platform,
};
use bytes::Bytes;
use openraft::{
    EntryPayload, LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use storage::{Durability, EntryLog, JournalBatch};
use tokio::sync::oneshot;

/// Entries kept in memory for followers and for applying, beside those not yet written.
const TAIL_ENTRIES: usize = 8192;
const TAIL_BYTES: usize = 32 * 1024 * 1024;
/// Bytes read for one message to a follower; see also `network`, which cuts by encoded size.
const READ_BYTES: usize = 1024 * 1024;
/// Version of an entry on disk.
const ENTRY_VERSION: u8 = 1;

const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";

#[derive(Default)]
struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// Where the entries began when the first of them was appended.
    begins: u64,
    /// The newest entries, consecutive, ending at `last`.
    tail: VecDeque<Entry>,
    tail_bytes: usize,
    /// Grows when entries go, so that a read of the journal can be told from a race.
    removals: u64,
}

impl State {
    fn first(&self) -> u64 {
        self.purged
            .as_ref()
            .map_or(0, |p| p.index + 1)
            .max(self.begins)
    }

    fn tail_first(&self) -> Option<u64> {
        self.tail.front().map(|e| e.log_id.index)
    }

    fn shorten(&mut self, written: u64) {
        while (self.tail.len() > TAIL_ENTRIES || self.tail_bytes > TAIL_BYTES)
            && self.tail_first().is_some_and(|first| first < written)
        {
            if let Some(entry) = self.tail.pop_front() {
                self.tail_bytes -= weight(&entry);
            }
        }
    }
}

fn weight(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => 64 + proposal.command.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 128,
    }
}

struct Inner<L> {
    journal: L,
    group: u64,
    state: Mutex<State>,
    /// Entries before this index are in the journal.
    written: AtomicU64,
}

/// A group's log. Clones share it.
pub(crate) struct LogStore<L>(Arc<Inner<L>>);

impl<L> Clone for LogStore<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![ENTRY_VERSION]).expect("plain data serialises")
}

fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> io::Result<T> {
    match bytes.split_first() {
        Some((&ENTRY_VERSION, rest)) => postcard::from_bytes(rest)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {e}"))),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{what} has a version that this release cannot read"),
        )),
    }
}

impl<L: EntryLog> LogStore<L> {
    /// Reads what the journal holds of the group.
    pub(crate) fn open(journal: &L, group: GroupId) -> io::Result<Self> {
        let number = group.to_u64();
        let mut state = State::default();
        if let Some(bytes) = journal.value(number, VOTE) {
            state.vote = Some(decode(VOTE, &bytes)?);
        }
        if let Some(bytes) = journal.value(number, COMMITTED) {
            state.committed = decode(COMMITTED, &bytes)?;
        }
        if let Some(bytes) = journal.value(number, PURGED) {
            state.purged = Some(decode(PURGED, &bytes)?);
        }
        state.last = state.purged;
        let mut written = state.first();
        if let Some((first, last)) = journal.span(number) {
            state.begins = first;
            let entries = journal
                .read(number, last, last + 1, 1)
                .map_err(io::Error::other)?;
            if let Some((_, bytes)) = entries.first() {
                let entry: Entry = decode("entry", bytes)?;
                state.last = state.last.max(Some(entry.log_id));
                written = written.max(last + 1);
            }
        }
        Ok(Self(Arc::new(Inner {
            journal: journal.clone(),
            group: number,
            state: Mutex::new(state),
            written: AtomicU64::new(written),
        })))
    }

    async fn write(&self, batch: JournalBatch, durability: Durability) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.0.journal.submit(batch, durability, move || {
            sender.send(()).ok();
        });
        receiver
            .await
            .map_err(|_| io::Error::other("the journal is gone"))
    }

    /// Entries of `from..to` that the log contains, about `max_bytes` of them.
    fn entries(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        loop {
            let (removals, from, end, missing_to) = {
                let state = self.0.state.lock();
                let from = from.max(state.first());
                let end = to.min(state.last.as_ref().map_or(0, |l| l.index + 1));
                if from >= end {
                    return Ok(Vec::new());
                }
                let tail_first = state.tail_first().unwrap_or(end);
                if from >= tail_first {
                    let skip = (from - tail_first) as usize;
                    let wanted = state.tail.iter().skip(skip).take((end - from) as usize);
                    return Ok(up_to(wanted.cloned(), max_bytes));
                }
                (state.removals, from, end, tail_first.min(end))
            };
            // Older than the tail: from the journal, outside of the lock.
            let found = self
                .0
                .journal
                .read(self.0.group, from, missing_to, max_bytes)
                .map_err(io::Error::other)?;
            let mut entries = Vec::with_capacity(found.len());
            for (_, bytes) in &found {
                entries.push(decode::<Entry>("entry", bytes)?);
            }
            let state = self.0.state.lock();
            let whole_range = max_bytes == usize::MAX;
            let tail_moved =
                whole_range && end > missing_to && state.tail_first() != Some(missing_to);
            if state.removals != removals || tail_moved {
                continue;
            }
            let next = entries.last().map_or(from, |e| e.log_id.index + 1);
            let whole = entries.first().is_some_and(|e| e.log_id.index == from);
            if !whole || (whole_range && next != missing_to) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the log lacks entries between {from} and {missing_to}"),
                ));
            }
            if whole_range && end > missing_to {
                entries.extend(state.tail.iter().take((end - missing_to) as usize).cloned());
            }
            return Ok(entries);
        }
    }
}

fn up_to(entries: impl Iterator<Item = Entry>, max_bytes: usize) -> Vec<Entry> {
    let mut bytes = 0;
    let mut found = Vec::new();
    for entry in entries {
        bytes += weight(&entry);
        if bytes > max_bytes && !found.is_empty() {
            break;
        }
        found.push(entry);
    }
    found
}

impl<P: Platform> RaftLogReader<Types<P>> for LogStore<P::Log> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let from = match range.start_bound() {
            Bound::Included(i) => *i,
            Bound::Excluded(i) => i + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(i) => i.saturating_add(1),
            Bound::Excluded(i) => *i,
            Bound::Unbounded => u64::MAX,
        };
        self.entries(from, to, usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.0.state.lock().vote)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.entries(start, end, READ_BYTES)
    }
}

impl<P: Platform> RaftLogStorage<Types<P>> for LogStore<P::Log> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types<P>>, io::Error> {
        let state = self.0.state.lock();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: state.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut batch = JournalBatch::new();
        batch.put(self.0.group, VOTE, encode(vote));
        self.0.state.lock().vote = Some(*vote);
        self.write(batch, Durability::Synced).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut batch = JournalBatch::new();
        batch.put(self.0.group, COMMITTED, encode(&committed));
        self.0.state.lock().committed = committed;
        // A hint for the next start: it need not survive a power cut, nor be waited for.
        self.0.journal.submit(batch, Durability::Written, || {});
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.0.state.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<Types<P>>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = JournalBatch::new();
        let mut after = None;
        {
            let mut state = self.0.state.lock();
            for entry in entries {
                let index = entry.log_id.index;
                batch
                    .append(self.0.group, index, Bytes::from(encode(&entry)))
                    .map_err(io::Error::other)?;
                after = Some(index + 1);
                if state.last == state.purged {
                    state.begins = index;
                }
                state.last = Some(entry.log_id);
                state.tail_bytes += weight(&entry);
                state.tail.push_back(entry);
            }
            state.shorten(self.0.written.load(Ordering::Acquire));
        }
        let inner = Arc::clone(&self.0);
        self.0.journal.submit(batch, Durability::Synced, move || {
            if let Some(after) = after {
                inner.written.fetch_max(after, Ordering::AcqRel);
            }
            callback.io_completed(Ok(()));
        });
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.as_ref().map_or(0, |l| l.index + 1);
        let mut batch = JournalBatch::new();
        batch.truncate(self.0.group, from);
        {
            let mut state = self.0.state.lock();
            if state.last.as_ref().is_none_or(|last| from > last.index) {
                return Ok(());
            }
            while state.tail.back().is_some_and(|e| e.log_id.index >= from) {
                if let Some(entry) = state.tail.pop_back() {
                    state.tail_bytes -= weight(&entry);
                }
            }
            state.last = last_log_id.max(state.purged);
            state.removals += 1;
        }
        // After a crash the entries may be back: as if the message that removed them had been
        // lost, which Raft allows.
        self.write(batch, Durability::Written).await?;
        // Nothing from here on is written any more; all before was queued earlier and is.
        self.0.written.store(from, Ordering::Release);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let mut batch = JournalBatch::new();
        batch
            .put(self.0.group, PURGED, encode(&log_id))
            .compact(self.0.group, log_id.index + 1);
        {
            let mut state = self.0.state.lock();
            while state
                .tail_first()
                .is_some_and(|first| first <= log_id.index)
            {
                if let Some(entry) = state.tail.pop_front() {
                    state.tail_bytes -= weight(&entry);
                }
            }
            state.purged = state.purged.max(Some(log_id));
            state.last = state.last.max(Some(log_id));
            state.removals += 1;
        }
        self.write(batch, Durability::Written).await?;
        self.0.written.fetch_max(log_id.index + 1, Ordering::AcqRel);
        Ok(())
    }
}
