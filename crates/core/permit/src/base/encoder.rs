//! Writing a base in one pass.

use super::{
    BITMAP_BYTES, BLOCK_BITS, BaseLayout, BlockEntry, BlockShape, CHUNK_BYTES, ENTRY_BYTES,
    GROUP_BITS, GROUP_BYTES, PAGE_BITS, PAGE_BYTES, PAGE_GROUPS, SCAN, VERSION, verifier::head,
};
use domain::{DncBaseId, PhoneNumber, WallTime, limits};
use std::{
    io::{self, Write},
    mem,
};

/// From where and from when a base is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseAbout {
    /// Who published the numbers, at most [`limits::NAME_BYTES`] bytes.
    pub source: String,
    /// When the file was built.
    pub built_at: WallTime,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseSummary {
    /// The hash that names the file.
    pub id: DncBaseId,
    /// Numbers in it.
    pub count: u64,
    /// Bytes of it.
    pub bytes: u64,
}

/// A base cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The sink refused.
    #[error("the do-not-call base cannot be written")]
    Io(#[from] io::Error),
    /// A number is not greater than the one before.
    #[error(
        "{number} comes after an equal or greater one; sort the numbers and drop repeats first"
    )]
    NotAscending {
        /// Which.
        number: PhoneNumber,
    },
    /// More than [`limits::DNC_BASE_NUMBERS`].
    #[error(
        "more than {} numbers; a base holds no more: leave lists of other countries to members that \
         dial there",
        limits::DNC_BASE_NUMBERS
    )]
    TooMany,
    /// The directory would grow beyond [`limits::DNC_BASE_DIRECTORY_BYTES`].
    #[error(
        "the numbers lie further apart than those of any country: the directory would need more than \
         {room} bytes; look for numbers with digits missing or too many in the list"
    )]
    TooSpread {
        /// What it may have.
        room: usize,
    },
    /// The source's name is too long.
    #[error("source has {bytes} bytes, at most {}; shorten it", limits::NAME_BYTES)]
    SourceTooLong {
        /// How many it has.
        bytes: usize,
    },
}

/// Writes a base from ascending numbers. Holds one block and the directory (8 bytes a block, 16 a
/// group) in memory, whatever the count.
#[derive(Debug)]
pub struct BaseEncoder<W> {
    out: Tally<W>,
    about: BaseAbout,
    sections: Vec<(u64, [u8; 32])>,
    /// The last 16 bits of the numbers of the current block.
    lows: Vec<u16>,
    block: u64,
    /// The number pushed last, 0 before the first.
    last: u64,
    count: u64,
    entries: Vec<u64>,
    /// Which blocks a group has, and the place of its first one's entry.
    groups: Vec<(u64, u64)>,
    pages: Vec<u32>,
    first_page: u64,
    room: usize,
    scratch: Vec<u8>,
}

impl<W: Write> BaseEncoder<W> {
    /// Begins a file in `sink`, which should buffer.
    ///
    /// # Errors
    /// [`EncodeError::SourceTooLong`], or the sink refused.
    pub fn new(sink: W, about: BaseAbout) -> Result<Self, EncodeError> {
        Self::with_room(sink, about, limits::DNC_BASE_DIRECTORY_BYTES)
    }

    pub(super) fn with_room(sink: W, about: BaseAbout, room: usize) -> Result<Self, EncodeError> {
        let bytes = about.source.len();
        if bytes > limits::NAME_BYTES {
            return Err(EncodeError::SourceTooLong { bytes });
        }
        let mut encoder = Self {
            out: Tally::new(sink),
            about,
            sections: Vec::with_capacity(6),
            lows: Vec::with_capacity(1 << BLOCK_BITS),
            block: 0,
            last: 0,
            count: 0,
            entries: Vec::new(),
            groups: Vec::new(),
            pages: Vec::new(),
            first_page: 0,
            room,
            scratch: Vec::new(),
        };
        encoder.out.put(&head(VERSION))?;
        encoder.end_section();
        Ok(encoder)
    }

    /// Takes in the next number. After an error the file is of no use.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn push(&mut self, number: PhoneNumber) -> Result<(), EncodeError> {
        let digits = number.digits();
        if digits <= self.last {
            return Err(EncodeError::NotAscending { number });
        }
        if self.count == limits::DNC_BASE_NUMBERS {
            return Err(EncodeError::TooMany);
        }
        if digits >> BLOCK_BITS != self.block {
            self.end_block()?;
            self.block = digits >> BLOCK_BITS;
        }
        self.last = digits;
        self.count += 1;
        self.lows.push(digits as u16);
        Ok(())
    }

    /// Writes what is left. The sink is flushed, and given back.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn finish(mut self) -> Result<(W, BaseSummary), EncodeError> {
        self.end_block()?;
        self.out.put(&[0; SCAN])?;
        self.end_section();
        for entry in mem::take(&mut self.entries) {
            self.out.put(&entry.to_le_bytes())?;
        }
        self.end_section();
        for (present, first) in mem::take(&mut self.groups) {
            self.out.put(&present.to_le_bytes())?;
            self.out.put(&first.to_le_bytes())?;
        }
        self.end_section();
        for page in mem::take(&mut self.pages) {
            self.out.put(&page.to_le_bytes())?;
        }
        self.end_section();
        let table = self.out.end_chunks()?;
        self.out.put(&table)?;
        self.end_section();
        let sections = (self.sections.try_into()).expect("six sections were ended");
        let layout = BaseLayout::written(self.about, self.count, self.first_page as u32, sections);
        self.out.put(&layout.to_footer())?;
        let sink = self.out.finish()?;
        let summary = BaseSummary {
            id: layout.id,
            count: layout.count,
            bytes: layout.file_bytes(),
        };
        Ok((sink, summary))
    }

    /// Bytes written so far.
    pub const fn written(&self) -> u64 {
        self.out.written
    }

    fn end_section(&mut self) {
        let section = self.out.end_section();
        self.sections.push(section);
    }

    fn end_block(&mut self) -> Result<(), EncodeError> {
        if self.lows.is_empty() {
            return Ok(());
        }
        self.enter_block()?;
        let lows = &self.lows;
        self.scratch.clear();
        match BlockShape::best(lows.len()) {
            BlockShape::Offsets => {
                let bytes = lows.iter().flat_map(|low| low.to_le_bytes());
                self.scratch.extend(bytes);
            }
            BlockShape::Split => {
                let mut counts = [0u16; 257];
                for low in lows {
                    counts[usize::from(low >> 8) + 1] += 1;
                }
                let mut position = 0;
                for count in counts {
                    position += count;
                    self.scratch.extend_from_slice(&u16::to_le_bytes(position));
                }
                self.scratch.extend(lows.iter().map(|low| *low as u8));
            }
            BlockShape::Bitmap => {
                self.scratch.resize(BITMAP_BYTES, 0);
                for low in lows {
                    self.scratch[usize::from(low >> 3)] |= 1 << (low & 7);
                }
            }
        }
        self.out.put(&self.scratch)?;
        self.lows.clear();
        Ok(())
    }

    /// Writes the current block into the directory; its bytes follow.
    fn enter_block(&mut self) -> Result<(), EncodeError> {
        let page = self.block >> (PAGE_BITS - BLOCK_BITS);
        if self.entries.is_empty() {
            self.first_page = page;
        }
        let place = (page - self.first_page) as usize;
        let new_page = place >= self.pages.len();
        let pages = self.pages.len().max(place + 1);
        let groups = self.groups.len() + if new_page { PAGE_GROUPS } else { 0 };
        let directory =
            pages * PAGE_BYTES + groups * GROUP_BYTES + (self.entries.len() + 1) * ENTRY_BYTES;
        if directory > self.room {
            return Err(EncodeError::TooSpread { room: self.room });
        }
        if new_page {
            self.pages.resize(place, 0);
            self.groups.resize(groups, (0, 0));
            self.pages.push((groups / PAGE_GROUPS) as u32);
        }
        let group = (self.block >> (GROUP_BITS - BLOCK_BITS)) as usize % PAGE_GROUPS;
        let last_page = self.groups.len() - PAGE_GROUPS;
        let (present, first) = &mut self.groups[last_page + group];
        if *present == 0 {
            *first = self.entries.len() as u64;
        }
        *present |= 1 << (self.block & 63);
        let count = self.lows.len();
        let entry = BlockEntry {
            at: (self.out.written - self.out.section_start) as usize,
            count,
            shape: BlockShape::best(count),
        };
        self.entries.push(entry.to_word());
        Ok(())
    }
}

/// A sink that hashes what goes through: by section, and by chunk.
#[derive(Debug)]
struct Tally<W> {
    sink: W,
    written: u64,
    section_start: u64,
    section: blake3::Hasher,
    /// Bytes of the chunk that is not yet whole: BLAKE3 is fast on many bytes at once.
    chunk: Vec<u8>,
    /// How many of them the section's hash has.
    hashed: usize,
    table: Vec<u8>,
}

impl<W: Write> Tally<W> {
    fn new(sink: W) -> Self {
        Self {
            sink,
            written: 0,
            section_start: 0,
            section: blake3::Hasher::new(),
            chunk: Vec::with_capacity(CHUNK_BYTES),
            hashed: 0,
            table: Vec::new(),
        }
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        while self.chunk.len() + bytes.len() >= CHUNK_BYTES {
            let (now, later) = bytes.split_at(CHUNK_BYTES - self.chunk.len());
            self.chunk.extend_from_slice(now);
            self.end_chunk()?;
            bytes = later;
        }
        self.chunk.extend_from_slice(bytes);
        Ok(())
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        self.hash_section();
        (self.table).extend_from_slice(blake3::hash(&self.chunk).as_bytes());
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.chunk)?;
        self.chunk.clear();
        self.hashed = 0;
        Ok(())
    }

    fn hash_section(&mut self) {
        self.section.update(&self.chunk[self.hashed..]);
        self.hashed = self.chunk.len();
    }

    fn end_section(&mut self) -> (u64, [u8; 32]) {
        self.hash_section();
        let hash = *self.section.finalize().as_bytes();
        self.section.reset();
        let len = self.written - self.section_start;
        self.section_start = self.written;
        (len, hash)
    }

    /// The hashes of all chunks; the last one ends here. What follows fits one chunk's buffer.
    fn end_chunks(&mut self) -> io::Result<Vec<u8>> {
        if !self.chunk.is_empty() {
            self.end_chunk()?;
        }
        Ok(mem::take(&mut self.table))
    }

    fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.sink.flush()?;
        Ok(self.sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_numbers_is_exact() {
        let about = BaseAbout {
            source: String::new(),
            built_at: WallTime::EPOCH,
        };
        let number = |n| PhoneNumber::from_digits(n).unwrap();
        let mut encoder = BaseEncoder::new(Vec::new(), about).unwrap();
        encoder.count = limits::DNC_BASE_NUMBERS - 1;
        encoder.push(number(1_000_000)).unwrap();
        let error = encoder.push(number(1_000_001)).unwrap_err();
        assert!(matches!(error, EncodeError::TooMany), "{error}");
    }
}
