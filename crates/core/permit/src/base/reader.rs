//! Asking a base.

use super::{
    BITMAP_BYTES, BLOCK_BITS, BaseError, BaseLayout, BlockEntry, BlockShape, ENTRY_BYTES,
    FOOTER_BYTES, GROUP_BITS, GROUP_BYTES, Numbers, PAGE_BITS, PAGE_BYTES, PAGE_GROUPS, SCAN,
    SPLIT_POSITIONS, Section,
};
use domain::PhoneNumber;
use std::hint::black_box;

/// Questions that wait for memory together: about as many as a core has reads under way.
const TOGETHER: usize = 16;

/// A base over bytes that somebody else holds: memory or a mapped file.
#[derive(Clone, Copy, Debug)]
pub struct BaseReader<'a> {
    pub(super) blocks: &'a [u8],
    pub(super) entries: &'a [u8],
    pub(super) groups: &'a [u8],
    pub(super) pages: &'a [u8],
    pub(super) first_page: u64,
    pub(super) count: u64,
}

impl<'a> BaseReader<'a> {
    /// Reads the footer and finds the sections. Cheap: the sections themselves are not read.
    ///
    /// # Errors
    /// [`BaseError`] when these are not the bytes of a whole base.
    pub fn open(bytes: &'a [u8]) -> Result<(BaseLayout, Self), BaseError> {
        let file_bytes = bytes.len() as u64;
        let footer: &[u8; FOOTER_BYTES] = bytes
            .last_chunk()
            .ok_or(BaseError::Short { bytes: file_bytes })?;
        let layout = BaseLayout::read(footer, file_bytes)?;
        let reader = Self::with_layout(bytes, &layout).ok_or(BaseError::NotABase)?;
        Ok((layout, reader))
    }

    /// The reader of bytes whose layout is known. None when they are fewer than the layout says.
    #[inline]
    pub fn with_layout(bytes: &'a [u8], layout: &BaseLayout) -> Option<Self> {
        let section = |section| bytes.get(layout.range(section));
        Some(Self {
            blocks: section(Section::Blocks)?,
            entries: section(Section::Entries)?,
            groups: section(Section::Groups)?,
            pages: section(Section::Pages)?,
            first_page: layout.first_page.into(),
            count: layout.count,
        })
    }

    /// Whether the number is in the base: no false yes, no false no, no allocation. In a damaged
    /// base that nobody verified, what cannot be read is a yes.
    #[inline]
    pub fn contains(&self, number: PhoneNumber) -> bool {
        self.find(number.digits()).unwrap_or(true)
    }

    /// [`BaseReader::contains`] for many numbers, each answer in its place of `found`; those beyond
    /// the shorter of the two are left alone. One question mostly waits for memory: here some wait
    /// together, level by level.
    pub fn contains_many(&self, numbers: &[PhoneNumber], found: &mut [bool]) {
        for (numbers, found) in numbers.chunks(TOGETHER).zip(found.chunks_mut(TOGETHER)) {
            let mut groups = [Some(None); TOGETHER];
            for (number, group) in numbers.iter().zip(&mut groups) {
                *group = self.group(number.digits());
            }
            let mut places = [Some(None); TOGETHER];
            for ((number, group), place) in numbers.iter().zip(groups).zip(&mut places) {
                *place = self.place(number.digits(), group);
            }
            let mut entries = [Some(None); TOGETHER];
            for (place, entry) in places.iter().zip(&mut entries) {
                *entry = self.entry(*place);
            }
            // Looks where the answers lie; what is read comes again a moment later, from the cache.
            let mut touched = 0;
            for (number, entry) in numbers.iter().zip(&entries) {
                if let Some(Some(entry)) = entry {
                    let (at, _) = near(self.blocks, *entry, number.digits() as u16);
                    touched ^= at;
                }
            }
            black_box(touched);
            for (number, entry) in numbers.iter().zip(&entries) {
                if let Some(Some(entry)) = entry {
                    let (_, at) = near(self.blocks, *entry, number.digits() as u16);
                    touched ^= self.blocks.get(at).copied().unwrap_or(0);
                }
            }
            black_box(touched);
            for ((number, entry), found) in numbers.iter().zip(entries).zip(found) {
                *found = self.answer(number.digits(), entry).unwrap_or(true);
            }
        }
    }

    /// None when the structure leads out of its sections.
    #[inline]
    fn find(&self, digits: u64) -> Option<bool> {
        let place = self.place(digits, self.group(digits));
        self.answer(digits, self.entry(place))
    }

    /// The group of a number. Here and below: the outer none when the structure leads out of its
    /// sections, the inner one when the number is not in the base.
    #[inline]
    fn group(&self, digits: u64) -> Option<Option<usize>> {
        let Some(page) = (digits >> PAGE_BITS).checked_sub(self.first_page) else {
            return Some(None);
        };
        let page = page as usize * PAGE_BYTES;
        if page >= self.pages.len() {
            return Some(None);
        }
        let Some(page) = (read_u32(self.pages, page)? as usize).checked_sub(1) else {
            return Some(None);
        };
        Some(Some(
            page * PAGE_GROUPS + (digits >> GROUP_BITS) as usize % PAGE_GROUPS,
        ))
    }

    /// Which entry is that of the number's block.
    #[inline]
    fn place(&self, digits: u64, group: Option<Option<usize>>) -> Option<Option<usize>> {
        let Some(group) = group? else {
            return Some(None);
        };
        let present = read_u64(self.groups, group * GROUP_BYTES)?;
        let below = 1u64 << ((digits >> BLOCK_BITS) & 63);
        if present & below == 0 {
            return Some(None);
        }
        let first = read_u64(self.groups, group * GROUP_BYTES + 8)? as usize;
        let place = first.checked_add((present & (below - 1)).count_ones() as usize)?;
        Some(Some(place))
    }

    #[inline]
    fn entry(&self, place: Option<Option<usize>>) -> Option<Option<BlockEntry>> {
        let Some(place) = place? else {
            return Some(None);
        };
        let word = read_u64(self.entries, place.checked_mul(ENTRY_BYTES)?)?;
        Some(Some(BlockEntry::from_word(word)?))
    }

    #[inline]
    fn answer(&self, digits: u64, entry: Option<Option<BlockEntry>>) -> Option<bool> {
        match entry? {
            None => Some(false),
            Some(entry) => find_in_block(self.blocks, entry, digits as u16),
        }
    }

    /// Every number, ascending: to fold a delta in and write the next base.
    pub fn numbers(&self) -> Numbers<'a> {
        Numbers::new(*self)
    }

    /// Walks the whole structure: that every block is whole, in order and counted. A file with
    /// right hashes fails this only when a faulty or hostile builder wrote it.
    ///
    /// # Errors
    /// [`BaseError::Structure`].
    pub fn check_structure(&self) -> Result<(), BaseError> {
        let mut found = 0;
        for number in self.numbers() {
            number?;
            found += 1;
        }
        if found != self.count {
            return Err(BaseError::Structure {
                section: Section::Footer,
                what: "another count than there are numbers",
            });
        }
        Ok(())
    }
}

#[inline]
pub(super) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[inline]
pub(super) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[inline]
pub(super) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[inline]
fn find_in_block(blocks: &[u8], entry: BlockEntry, low: u16) -> Option<bool> {
    let BlockEntry { at, count, shape } = entry;
    match shape {
        BlockShape::Bitmap => {
            let byte = blocks.get(at..)?.get(..BITMAP_BYTES)?[usize::from(low >> 3)];
            Some(byte >> (low & 7) & 1 == 1)
        }
        BlockShape::Split => {
            // Two positions that lie side by side, in one read.
            let positions = read_u32(blocks, at + 2 * usize::from(low >> 8))?;
            let (from, to) = (positions as u16, (positions >> 16) as u16);
            let many = usize::from(to.checked_sub(from)?);
            let from = at + SPLIT_POSITIONS + usize::from(from);
            scan_bytes(blocks, from, many, low as u8)
        }
        BlockShape::Offsets => scan_offsets(blocks, at, count, low),
    }
}

/// A byte of the first place that an answer needs, and where the second is, as far as the first
/// says.
#[inline]
fn near(blocks: &[u8], entry: BlockEntry, low: u16) -> (u8, usize) {
    let BlockEntry { at, count, shape } = entry;
    let byte = |at: usize| blocks.get(at).copied().unwrap_or(0);
    match shape {
        BlockShape::Bitmap => {
            let at = at + usize::from(low >> 3);
            (byte(at), at)
        }
        BlockShape::Split => {
            let positions = at + 2 * usize::from(low >> 8);
            let from = read_u16(blocks, positions).unwrap_or(0);
            let second = at + SPLIT_POSITIONS + usize::from(from);
            (byte(positions) ^ from as u8, second)
        }
        BlockShape::Offsets => {
            let middle = at + 2 * (count / 2);
            (byte(middle), middle)
        }
    }
}

/// Whether `want` is among `left` bytes from `at`.
#[inline]
fn scan_bytes(blocks: &[u8], mut at: usize, mut left: usize, want: u8) -> Option<bool> {
    let want = u64::from(want) * 0x0101_0101_0101_0101;
    while left > SCAN {
        if scan(blocks, at, SCAN, want, 0x7f7f_7f7f_7f7f_7f7f)? {
            return Some(true);
        }
        at += SCAN;
        left -= SCAN;
    }
    scan(blocks, at, left, want, 0x7f7f_7f7f_7f7f_7f7f)
}

/// Whether `want` is among `count` ascending words from `at`: halves until one scan holds the rest.
#[inline]
fn scan_offsets(blocks: &[u8], mut at: usize, count: usize, want: u16) -> Option<bool> {
    let mut left = count;
    while left > SCAN / 2 {
        let half = left / 2;
        let middle = read_u16(blocks, at + 2 * half)?;
        at += if middle <= want { 2 * half } else { 0 };
        left -= half;
    }
    let want = u64::from(want) * 0x0001_0001_0001_0001;
    scan(blocks, at, 2 * left, want, 0x7fff_7fff_7fff_7fff)
}

/// So many bytes of a scan count: its second half hides the rest.
const KEEP: [u8; 2 * SCAN] = {
    let mut keep = [0; 2 * SCAN];
    let mut place = 0;
    while place < SCAN {
        keep[place] = 0xff;
        place += 1;
    }
    keep
};

/// Whether one lane of the first `len` bytes (at most [`SCAN`]) from `at` is that of `want`, which
/// repeats it in every lane; `low` has all bits of each lane but the highest. Reads a whole scan,
/// eight bytes at a time and without a branch: nothing is mispredicted.
#[inline]
fn scan(blocks: &[u8], at: usize, len: usize, want: u64, low: u64) -> Option<bool> {
    let bytes: &[u8; SCAN] = blocks.get(at..)?.first_chunk()?;
    let keep: &[u8; SCAN] = KEEP.get(SCAN - len..)?.first_chunk()?;
    let (words, _) = bytes.as_chunks();
    let (keeps, _) = keep.as_chunks();
    let mut hit = 0;
    for (word, keep) in words.iter().zip(keeps) {
        let differs = u64::from_le_bytes(*word) ^ want;
        // The highest bit of each lane that is zero in whole, and no other bit: no lane carries
        // into the next.
        let same = !(((differs & low) + low) | differs | low);
        hit |= same & u64::from_le_bytes(*keep);
    }
    Some(hit != 0)
}
