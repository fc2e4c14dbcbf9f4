//! A file's content: what the system shows, what of it the disk has for sure, and what is between.
//!
//! What no sync has covered survives a power cut in part. Either a beginning does, in the order of the
//! writes, and the write after it torn; or any of the blocks that were written does, in any order, some
//! of them torn, others never having come.

use sansio::Stream;

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

#[derive(Debug, Default)]
pub(crate) struct Content {
    /// What is read.
    pub(crate) now: Vec<u8>,
    synced: Vec<u8>,
    /// Since `synced`, in order.
    changes: Vec<Change>,
    /// How many of them a sync covers that has begun.
    syncing: usize,
    /// A sync failed: `now` shows what is in neither.
    dropped: bool,
}

/// What a power cut did to one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Something was lost.
    pub(crate) lost: bool,
    /// A block or a write is there in part.
    pub(crate) torn: bool,
    /// Something was lost before something that is there.
    pub(crate) hole: bool,
}

impl Content {
    pub(crate) fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.changes.push(change);
    }

    /// A sync of all that is written begins.
    pub(crate) fn begin_sync(&mut self) {
        self.syncing = self.changes.len();
    }

    /// The sync that has begun is done.
    pub(crate) fn commit(&mut self) {
        for change in self.changes.drain(..self.syncing) {
            apply(&mut self.synced, &change);
        }
        self.syncing = 0;
    }

    /// A sync fails: of what it should cover any part never comes to the disk, though the system goes
    /// on showing it. Whether anything was dropped.
    pub(crate) fn fail_sync(&mut self, random: &mut Stream) -> bool {
        let permille = 1 + random.below(1000);
        let blocks = blocks(std::mem::take(&mut self.changes), random);
        let all = blocks.len();
        self.changes = (blocks.into_iter())
            .filter(|_| !random.permille(permille))
            .collect();
        self.syncing = 0;
        self.dropped |= self.changes.len() < all;
        self.changes.len() < all
    }

    /// What is read from now on is on the disk.
    pub(crate) fn settle(&mut self) {
        self.begin_sync();
        self.commit();
        if std::mem::take(&mut self.dropped) {
            self.now.clone_from(&self.synced);
        }
    }

    /// What is left after a power cut.
    pub(crate) fn cut(&mut self, random: &mut Stream) -> Cut {
        let changes = std::mem::take(&mut self.changes);
        let cut = if random.permille(500) {
            self.keep_beginning(changes, random)
        } else {
            self.keep_any(changes, random)
        };
        self.syncing = 0;
        self.dropped = false;
        self.now.clone_from(&self.synced);
        cut
    }

    fn keep_beginning(&mut self, changes: Vec<Change>, random: &mut Stream) -> Cut {
        let all = changes.len();
        let kept = random.below(all as u32 + 1) as usize;
        let mut torn = false;
        for (place, change) in changes.into_iter().enumerate() {
            if place < kept {
                apply(&mut self.synced, &change);
            } else if place == kept {
                torn = self.keep_part(change, random);
            }
        }
        Cut {
            lost: kept < all,
            torn,
            hole: false,
        }
    }

    fn keep_any(&mut self, changes: Vec<Change>, random: &mut Stream) -> Cut {
        let permille = [100, 500, 800, 950][random.below(4) as usize];
        let mut cut = Cut::default();
        for block in blocks(changes, random) {
            if random.permille(permille) {
                cut.hole |= cut.lost;
                apply(&mut self.synced, &block);
            } else {
                cut.lost = true;
                if random.permille(100) {
                    cut.torn |= self.keep_part(block, random);
                }
            }
        }
        cut
    }

    /// The first bytes of a write. Whether it is torn.
    fn keep_part(&mut self, change: Change, random: &mut Stream) -> bool {
        let Change::Write { offset, mut bytes } = change else {
            return false;
        };
        let whole = bytes.len();
        bytes.truncate(random.below(whole as u32 + 1) as usize);
        let length = bytes.len();
        if length > 0 {
            apply(&mut self.synced, &Change::Write { offset, bytes });
        }
        length > 0 && length < whole
    }
}

/// The changes by blocks of the disk: a write comes there block by block.
fn blocks(changes: Vec<Change>, random: &mut Stream) -> Vec<Change> {
    let size = [512, 4096][random.below(2) as usize];
    let mut blocks = Vec::new();
    for change in changes {
        let Change::Write { mut offset, bytes } = change else {
            blocks.push(change);
            continue;
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = (size - offset % size).min(rest.len());
            let (block, after) = rest.split_at(length);
            let bytes = block.to_vec();
            blocks.push(Change::Write { offset, bytes });
            offset += length;
            rest = after;
        }
    }
    blocks
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(bytes);
        }
        Change::Truncate { length } => content.resize(*length, 0),
    }
}
