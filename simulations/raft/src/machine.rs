//! The book of the simulated groups: it knows each command that it ever applied.

use crate::{defect::Defect, runtime};
use domain::WallTime;
use sansio::ApplyContext;
use serde::{Deserialize, Serialize};
use simulate::fold_of;
use std::{cell::Cell, collections::BTreeMap};

thread_local! {
    static DEFECT: Cell<Option<Defect>> = const { Cell::new(None) };
}

/// The mistake on purpose of this thread's machines.
pub(crate) fn plant(defect: Option<Defect>) {
    DEFECT.with(|d| d.set(defect));
}

pub(crate) fn has(defect: Defect) -> bool {
    DEFECT.with(Cell::get) == Some(defect)
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The entry that it was applied with first.
    pub(crate) first: u64,
    /// How often it counted.
    pub(crate) times: u32,
}

/// Every command by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Book {
    /// The last command's entry, of the ledger's as well.
    pub(crate) index: u64,
    pub(crate) lines: BTreeMap<u64, Line>,
    wall: WallTime,
    /// Over all commands in their order.
    chain: u64,
    /// The last command's freight: makes snapshots large.
    freight: BTreeMap<u64, Vec<u8>>,
}

/// Writes a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Write {
    pub(crate) number: u64,
    /// Known again when it comes twice.
    pub(crate) once: bool,
    pub(crate) freight: Vec<u8>,
}

/// What a listener hears: the hash of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The last command's entry.
    pub(crate) index: u64,
    pub(crate) hash: u64,
    /// The whole state came at once.
    pub(crate) reset: bool,
}

impl Book {
    /// Over every byte.
    pub(crate) fn hash(&self) -> u64 {
        fold_of(&postcard::to_stdvec(self).expect("plain data serialises"))
    }

    /// Applies a command.
    pub(crate) fn write(&mut self, context: ApplyContext, command: Write) -> Line {
        let wall = if has(Defect::OwnCalendar) {
            WallTime::from_millis(runtime::calendar())
        } else {
            context.wall
        };
        self.wall = self.wall.max(wall);
        let new = Line {
            first: context.index,
            times: 0,
        };
        let line = self.lines.entry(command.number).or_insert(new);
        let known = line.times > 0 && command.once && !has(Defect::CountsAgain);
        if !known {
            line.times += 1;
            self.chain = fold_of(
                &[self.chain, command.number, context.index]
                    .map(u64::to_le_bytes)
                    .concat(),
            );
            self.freight.insert(command.number % 16, command.freight);
        }
        let line = *line;
        if has(Defect::HashOrder) {
            let unordered: std::collections::HashSet<u64> = self.lines.keys().copied().collect();
            self.chain ^= unordered.iter().next().copied().unwrap_or_default();
        }
        line
    }

    /// As a snapshot holds it.
    pub(crate) fn saved(&self) -> Vec<u8> {
        if has(Defect::SnapshotForgets) {
            let mut less = self.clone();
            less.lines.pop_last();
            return postcard::to_stdvec(&less).expect("plain data serialises");
        }
        postcard::to_stdvec(self).expect("plain data serialises")
    }
}
