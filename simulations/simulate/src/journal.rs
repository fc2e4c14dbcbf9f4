//! What a modelled node keeps on its disk: attempts, how often caller IDs were shown, opt-outs.

use domain::{AttemptId, CallOutcome, Incarnation, LeasedLead, PhoneNumber, WallTime};
use std::collections::{BTreeMap, btree_map};

/// The last writes may not be on the disk yet when the power fails.
const UNSYNCED: usize = 5;

/// What the journal knows of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    Leased,
    /// An INVITE is about to leave, at this time.
    Dialing(WallTime),
    Ended(CallOutcome),
}

/// One attempt.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) lead: LeasedLead,
    pub(crate) run: Incarnation,
    pub(crate) mark: Mark,
    /// A power loss came after: its tail may be lost.
    pub(crate) tainted: bool,
}

/// One of the last writes, and what stood there before.
#[derive(Clone, Debug)]
enum Write {
    Attempt(AttemptId, Option<Mark>),
    Shown(PhoneNumber),
}

/// A node's disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    entries: BTreeMap<AttemptId, Entry>,
    tail: Vec<Write>,
    shown: Vec<(PhoneNumber, WallTime)>,
}

impl Journal {
    fn wrote(&mut self, write: Write) {
        self.tail.push(write);
        if self.tail.len() > UNSYNCED {
            self.tail.remove(0);
        }
    }

    pub(crate) fn write(&mut self, lead: &LeasedLead, run: Incarnation, mark: Mark) {
        let before = match self.entries.entry(lead.attempt) {
            btree_map::Entry::Occupied(mut known) => {
                Some(std::mem::replace(&mut known.get_mut().mark, mark))
            }
            btree_map::Entry::Vacant(place) => {
                place.insert(Entry {
                    lead: lead.clone(),
                    run,
                    mark,
                    tainted: false,
                });
                None
            }
        };
        self.wrote(Write::Attempt(lead.attempt, before));
    }

    pub(crate) fn mark(&self, attempt: AttemptId) -> Option<Mark> {
        self.entries.get(&attempt).map(|entry| entry.mark)
    }

    pub(crate) fn show(&mut self, number: PhoneNumber, at: WallTime) {
        self.shown.push((number, at));
        self.wrote(Write::Shown(number));
    }

    /// When a caller ID was shown.
    pub(crate) fn shown(&self, number: PhoneNumber) -> impl Iterator<Item = WallTime> + '_ {
        (self.shown.iter()).filter_map(move |(n, at)| (*n == number).then_some(*at))
    }

    pub(crate) fn forget(&mut self, attempt: AttemptId) {
        self.entries.remove(&attempt);
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Everything so far is on the disk.
    pub(crate) fn synced(&mut self) {
        self.tail.clear();
    }

    /// The power fails: up to `lost` of the last writes are gone. The caller IDs whose showing was
    /// forgotten, and how many writes were lost.
    pub(crate) fn power_lost(&mut self, lost: usize) -> (Vec<PhoneNumber>, usize) {
        let mut forgotten = Vec::new();
        let mut count = 0;
        for write in self.tail.drain(..).rev().take(lost) {
            count += 1;
            match write {
                Write::Attempt(attempt, before) => match (before, self.entries.get_mut(&attempt)) {
                    (Some(mark), Some(entry)) => entry.mark = mark,
                    (None, _) => {
                        self.entries.remove(&attempt);
                    }
                    // Acknowledged and forgotten meanwhile.
                    (Some(_), None) => {}
                },
                Write::Shown(number) => {
                    self.shown.pop();
                    forgotten.push(number);
                }
            }
        }
        for entry in self.entries.values_mut() {
            entry.tainted = true;
        }
        (forgotten, count)
    }
}
