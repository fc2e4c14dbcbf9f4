//! What the simulated groups replicate: the book, and in some runs a region's real ledger beside it.

use crate::machine::{Book, Line, Told, Write};
use domain::RegionId;
use ledger::{RegionCommand, RegionEvent, RegionLedger, RegionReply};
use sansio::{ApplyContext, Replicated, RestoreError};
use serde::{Deserialize, Serialize};
use simulate::fold_of;

/// A book, and perhaps a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) book: Book,
    pub(crate) region: Option<RegionLedger>,
}

/// For the one or for the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    Write(Write),
    Region(Box<RegionCommand>),
}

/// What they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Line(Line),
    Region(RegionReply),
}

/// What listeners hear of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) told: Told,
    pub(crate) region: Vec<RegionEvent>,
}

impl Machine {
    pub(crate) fn new(region: Option<RegionId>) -> Self {
        Self {
            book: Book::default(),
            region: region.map(RegionLedger::new),
        }
    }

    /// Over every byte of both.
    pub(crate) fn hash(&self) -> u64 {
        let book = self.book.hash();
        self.region.as_ref().map_or(book, |region| {
            let ledger = fold_of(&region.snapshot());
            fold_of(&[book, ledger].map(u64::to_le_bytes).concat())
        })
    }

    fn told(&self, reset: bool) -> Told {
        Told {
            index: self.book.index,
            hash: self.hash(),
            reset,
        }
    }

    fn ledger(&mut self) -> &mut RegionLedger {
        let ledger = self.region.as_mut();
        ledger.expect("commands for a region are proposed where there is one")
    }

    fn run(
        &mut self,
        context: ApplyContext,
        command: Command,
        events: &mut Vec<Heard>,
        waits: bool,
    ) -> Option<Reply> {
        let mut region = Vec::new();
        let reply = match command {
            Command::Write(write) => Some(Reply::Line(self.book.write(context, write))),
            Command::Region(command) if waits => Some(Reply::Region(self.ledger().apply(
                context,
                *command,
                &mut region,
            ))),
            Command::Region(command) => {
                self.ledger().apply_unheard(context, *command, &mut region);
                None
            }
        };
        self.book.index = context.index;
        let told = self.told(false);
        events.push(Heard { told, region });
        reply
    }
}

impl Replicated for Machine {
    type Command = Command;
    type Reply = Reply;
    type Event = Heard;

    fn apply(&mut self, context: ApplyContext, command: Command, events: &mut Vec<Heard>) -> Reply {
        let reply = self.run(context, command, events, true);
        reply.expect("somebody waits for it")
    }

    fn apply_unheard(&mut self, context: ApplyContext, command: Command, events: &mut Vec<Heard>) {
        self.run(context, command, events, false);
    }

    fn snapshot(&self) -> Vec<u8> {
        self.freeze()()
    }

    /// In two steps, as the ledger does it.
    fn freeze(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
        let book = self.book.saved();
        let region = self.region.as_ref().map(RegionLedger::freeze);
        Box::new(move || {
            let saved: (Vec<u8>, Option<Vec<u8>>) = (book, region.map(|frozen| frozen()));
            postcard::to_stdvec(&saved).expect("plain data serialises")
        })
    }

    fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let unread = |e: postcard::Error| RestoreError {
            what: "book",
            why: e.to_string(),
        };
        let (book, region): (Vec<u8>, Option<Vec<u8>>) =
            postcard::from_bytes(bytes).map_err(unread)?;
        Ok(Self {
            book: postcard::from_bytes(&book).map_err(unread)?,
            region: region.as_deref().map(RegionLedger::restore).transpose()?,
        })
    }

    fn reset_event(&self) -> Heard {
        let region = self.region.iter().map(RegionLedger::reset_event);
        Heard {
            told: self.told(true),
            region: region.collect(),
        }
    }
}
