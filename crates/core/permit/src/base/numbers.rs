//! Every number of a base, ascending.

use super::{
    BITMAP_BYTES, BLOCK_BITS, BaseError, BaseReader, BlockEntry, BlockShape, ENTRY_BYTES,
    GROUP_BITS, GROUP_BYTES, PAGE_BYTES, PAGE_GROUPS, SCAN, SPLIT_POSITIONS, Section,
    reader::{read_u16, read_u32, read_u64},
};
use domain::PhoneNumber;

/// The numbers of a base, ascending; the first fault in its structure, and nothing after it.
#[derive(Clone, Debug)]
pub struct Numbers<'a> {
    base: BaseReader<'a>,
    /// The place of the next page.
    page: usize,
    /// How many pages had groups so far.
    pages_seen: usize,
    /// The next group of the current page; [`PAGE_GROUPS`] when the page is done.
    group: usize,
    /// Blocks of the current group that are still to come.
    present: u64,
    /// How many blocks were seen so far.
    blocks_seen: usize,
    /// Where the next block must begin.
    at: usize,
    /// The first number of the current block.
    first: u64,
    /// The last 16 bits of its numbers, and how many of them were given.
    lows: Vec<u16>,
    given: usize,
    ended: bool,
}

impl<'a> Numbers<'a> {
    pub(super) fn new(base: BaseReader<'a>) -> Self {
        Self {
            base,
            page: 0,
            pages_seen: 0,
            group: PAGE_GROUPS,
            present: 0,
            blocks_seen: 0,
            at: 0,
            first: 0,
            lows: Vec::new(),
            given: 0,
            ended: false,
        }
    }

    /// The first number of the group before the next one.
    fn group_start(&self) -> u64 {
        let page = self.base.first_page + self.page as u64 - 1;
        (page * PAGE_GROUPS as u64 + self.group as u64 - 1) << GROUP_BITS
    }

    /// Reads the next block into `lows`. False at the end.
    fn next_block(&mut self) -> Result<bool, BaseError> {
        while self.present == 0 {
            if self.group < PAGE_GROUPS {
                self.next_group()?;
            } else if !self.next_page()? {
                return Ok(false);
            }
        }
        let bit = self.present.trailing_zeros();
        self.present &= self.present - 1;
        self.first = self.group_start() + (u64::from(bit) << BLOCK_BITS);
        let entry = read_u64(self.base.entries, self.blocks_seen * ENTRY_BYTES)
            .and_then(BlockEntry::from_word)
            .ok_or_else(|| fault(Section::Entries, "no entry for a block"))?;
        if entry.at != self.at {
            return Err(fault(Section::Entries, "a gap between blocks"));
        }
        self.blocks_seen += 1;
        let end = self.at + entry.shape.bytes(entry.count);
        let block = (self.base.blocks.get(self.at..end))
            .ok_or_else(|| fault(Section::Blocks, "a block beyond the end"))?;
        self.lows.clear();
        self.given = 0;
        decode(block, entry, &mut self.lows)
            .filter(|()| self.lows.len() == entry.count && self.lows.is_sorted_by(|a, b| a < b))
            .ok_or_else(|| fault(Section::Blocks, "a block without order"))?;
        self.at = end;
        Ok(true)
    }

    fn next_group(&mut self) -> Result<(), BaseError> {
        let at = ((self.pages_seen - 1) * PAGE_GROUPS + self.group) * GROUP_BYTES;
        let (Some(present), Some(first)) = (
            read_u64(self.base.groups, at),
            read_u64(self.base.groups, at + 8),
        ) else {
            return Err(fault(Section::Groups, "a page beyond the end"));
        };
        if present != 0 && first != self.blocks_seen as u64 {
            return Err(fault(Section::Groups, "a group that skips blocks"));
        }
        self.group += 1;
        self.present = present;
        Ok(())
    }

    fn next_page(&mut self) -> Result<bool, BaseError> {
        if self.page * PAGE_BYTES >= self.base.pages.len() {
            return self.finish();
        }
        let page = read_u32(self.base.pages, self.page * PAGE_BYTES).map(|p| p as usize);
        self.page += 1;
        match page {
            Some(0) => {}
            Some(page) if page == self.pages_seen + 1 => {
                self.pages_seen = page;
                self.group = 0;
            }
            _ => return Err(fault(Section::Pages, "pages out of order")),
        }
        Ok(true)
    }

    /// Nothing may be left over, or it would never be found.
    fn finish(&self) -> Result<bool, BaseError> {
        if self.pages_seen * PAGE_GROUPS * GROUP_BYTES != self.base.groups.len() {
            return Err(fault(Section::Groups, "groups without a page"));
        }
        if self.blocks_seen * ENTRY_BYTES != self.base.entries.len() {
            return Err(fault(Section::Entries, "entries without a group"));
        }
        match self.base.blocks.get(self.at..) {
            Some(end) if end == [0; SCAN] => Ok(false),
            _ => Err(fault(Section::Blocks, "other bytes after the last block")),
        }
    }
}

impl Iterator for Numbers<'_> {
    type Item = Result<PhoneNumber, BaseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(low) = self.lows.get(self.given) {
                self.given += 1;
                let number = PhoneNumber::from_digits(self.first + u64::from(*low));
                self.ended |= number.is_err();
                return Some(number.map_err(|_| fault(Section::Blocks, "no telephone number")));
            }
            if self.ended {
                return None;
            }
            match self.next_block() {
                Ok(true) => {}
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    self.lows.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

fn decode(block: &[u8], entry: BlockEntry, lows: &mut Vec<u16>) -> Option<()> {
    match entry.shape {
        BlockShape::Offsets => {
            lows.extend((block.chunks_exact(2)).map(|word| u16::from_le_bytes([word[0], word[1]])));
        }
        BlockShape::Split => {
            let bytes = &block[SPLIT_POSITIONS..];
            let mut from = 0;
            for high in 0..256 {
                let next = usize::from(read_u16(block, 2 * high + 2)?);
                let part = bytes.get(from..next)?;
                lows.extend(part.iter().map(|low| (high as u16) << 8 | u16::from(*low)));
                from = next;
            }
            if read_u16(block, 0)? != 0 || from != bytes.len() {
                return None;
            }
        }
        BlockShape::Bitmap => {
            for place in 0..BITMAP_BYTES / 8 {
                let mut word = read_u64(block, place * 8)?;
                while word != 0 {
                    lows.push((place * 64) as u16 | word.trailing_zeros() as u16);
                    word &= word - 1;
                }
            }
        }
    }
    Some(())
}

const fn fault(section: Section, what: &'static str) -> BaseError {
    BaseError::Structure { section, what }
}
