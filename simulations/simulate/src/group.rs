//! One Raft group as its members see it: a log, a witness that applies at commit, and replicas
//! that follow when they can. I10 is checked here, entry by entry.

use crate::{
    trace::fold_of,
    violation::{Invariant, Violation},
};
use domain::{MeshVersion, WallTime};
use sansio::{ApplyContext, Replicated};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Every so many entries the whole state is compared.
const COMPARED_EVERY: u64 = 32;

/// A value as the other side of a link reads it.
fn by_wire<T: Serialize + DeserializeOwned>(value: &T) -> (T, u64) {
    let bytes = postcard::to_stdvec(value).expect("plain data always serialises into memory");
    let read = postcard::from_bytes(&bytes).expect("what is sent can be read");
    (read, fold_of(&bytes))
}

/// One committed entry.
#[derive(Clone, Debug)]
struct Entry<C> {
    wall: WallTime,
    command: C,
    /// Of the witness's answer.
    reply: u64,
}

/// How a replica may go wrong on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wrongs {
    /// Two entries change places.
    pub(crate) order: bool,
    /// The entry's calendar is replaced by this one.
    pub(crate) calendar: Option<WallTime>,
    /// A restart skips one entry.
    pub(crate) gap: bool,
}

/// A log and the machines that follow it.
#[derive(Debug)]
pub(crate) struct Group<M: Replicated> {
    log: Vec<Entry<M::Command>>,
    /// Always at the end of the log; what checkers look at.
    pub(crate) witness: M,
    replicas: Vec<(u64, M)>,
    /// What each replica's release understands.
    reads: Vec<MeshVersion>,
    /// Hashes of the witness's snapshots.
    sums: BTreeMap<u64, u64>,
    /// The voter that really leads.
    pub(crate) leader: Option<usize>,
    /// How many elections there were.
    pub(crate) term: u64,
}

/// What an entry did.
#[derive(Debug)]
pub(crate) struct Committed<M: Replicated> {
    pub(crate) reply: M::Reply,
    pub(crate) events: Vec<M::Event>,
    /// Of command and reply, for the trace.
    pub(crate) hash: u64,
}

impl<M: Replicated + PartialEq> Group<M> {
    pub(crate) fn new(voters: usize, new: impl Fn() -> M) -> Self {
        Self {
            log: Vec::new(),
            witness: new(),
            replicas: (0..voters).map(|_| (0, new())).collect(),
            reads: vec![MeshVersion::NEWEST; voters],
            sums: BTreeMap::new(),
            leader: None,
            term: 0,
        }
    }

    /// Every replica's release understands this.
    pub(crate) fn read_by(&mut self, version: MeshVersion) {
        self.reads.fill(version);
    }

    /// One replica's release understands this from now on.
    pub(crate) fn replica_reads(&mut self, voter: usize, version: MeshVersion) {
        self.reads[voter] = version;
    }

    /// What one must understand to read an entry.
    pub(crate) fn since(&self, index: u64) -> MeshVersion {
        let entry = (index.checked_sub(1)).and_then(|place| self.log.get(place as usize));
        entry.map_or(MeshVersion::BASE, |entry| M::since(&entry.command))
    }

    /// Index of the last entry.
    pub(crate) fn last(&self) -> u64 {
        self.log.len() as u64
    }

    /// A voter's machine, which may lag.
    pub(crate) fn replica(&self, voter: usize) -> &M {
        &self.replicas[voter].1
    }

    /// How far a voter's machine is.
    pub(crate) fn applied(&self, voter: usize) -> u64 {
        self.replicas[voter].0
    }

    /// Commits an entry; the witness applies it.
    pub(crate) fn commit(&mut self, wall: WallTime, command: &M::Command) -> Committed<M> {
        let (command, asked) = by_wire(command);
        let index = self.last() + 1;
        let mut events = Vec::new();
        let context = ApplyContext { index, wall };
        let reply = self.witness.apply(context, command.clone(), &mut events);
        let (reply, answered) = by_wire(&reply);
        self.log.push(Entry {
            wall,
            command,
            reply: answered,
        });
        if index.is_multiple_of(COMPARED_EVERY) {
            self.sums.insert(index, fold_of(&self.witness.snapshot()));
        }
        Committed {
            reply,
            events,
            hash: asked.rotate_left(1) ^ answered,
        }
    }

    /// A voter applies entries up to `to`; the events that its books hear.
    pub(crate) fn advance(
        &mut self,
        voter: usize,
        to: u64,
        wrongs: Wrongs,
    ) -> Result<Vec<M::Event>, Violation> {
        let mut events = Vec::new();
        let to = to.min(self.last());
        let (applied, machine) = &mut self.replicas[voter];
        while *applied < to {
            let index = *applied + 1;
            let mut place = *applied as usize;
            if wrongs.order && index.is_multiple_of(8) {
                place = place.saturating_sub(1);
            }
            let entry = &self.log[place];
            let since = M::since(&entry.command);
            if since > self.reads[voter] {
                return Err(Invariant::I10.broken(format!(
                    "voter {voter} understands {} and was sent entry {index}, which needs {since}",
                    self.reads[voter]
                )));
            }
            let wall = wrongs.calendar.unwrap_or(entry.wall);
            let context = ApplyContext { index, wall };
            let reply = machine.apply(context, entry.command.clone(), &mut events);
            *applied = index;
            let bytes = postcard::to_stdvec(&reply).expect("plain data always serialises");
            if fold_of(&bytes) != entry.reply {
                return Err(Invariant::I10.broken(format!(
                    "voter {voter} answers entry {index} otherwise than the witness: {reply:?}"
                )));
            }
            let sum = self.sums.get(&index);
            if sum.is_some_and(|sum| *sum != fold_of(&machine.snapshot())) {
                return Err(Invariant::I10.broken(format!(
                    "voter {voter} differs from the witness after entry {index}"
                )));
            }
        }
        Ok(events)
    }

    /// A voter's process starts again: from its own snapshot, or from the witness's when that is
    /// much further. Answers what its books hear.
    pub(crate) fn restart(
        &mut self,
        voter: usize,
        install: bool,
        wrongs: Wrongs,
    ) -> Result<M::Event, Violation> {
        let last = self.last();
        let (applied, machine) = &mut self.replicas[voter];
        let from = if install { &self.witness } else { &*machine };
        let copy = M::restore(&from.snapshot())
            .map_err(|error| Invariant::I10.broken(error.to_string()))?;
        if copy != *from {
            return Err(
                Invariant::I10.broken(format!("voter {voter} restored a copy that differs"))
            );
        }
        *machine = copy;
        if install {
            *applied = last;
        }
        if wrongs.gap && *applied < last {
            *applied += 1;
        }
        Ok(machine.reset_event())
    }

    /// Every replica brought to the end and compared; the hash of their bytes.
    pub(crate) fn settled(&mut self, wrongs: impl Fn(usize) -> Wrongs) -> Result<u64, Violation> {
        let bytes = self.witness.snapshot();
        for voter in 0..self.replicas.len() {
            let last = self.last();
            self.advance(voter, last, wrongs(voter))?;
            if self.replicas[voter].1.snapshot() != bytes {
                return Err(Invariant::I10.broken(format!(
                    "voter {voter} ends with other bytes than the witness"
                )));
            }
        }
        Ok(fold_of(&bytes))
    }
}
