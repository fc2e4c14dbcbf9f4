//! The do-not-call base: an exact, immutable set of up to 300 million numbers in one file.
//!
//! ```text
//! head     16 bytes: magic, version, zeros
//! blocks   the numbers, in blocks of 65,536 by their last 16 bits; then 32 zeros
//! entries  8 bytes a block: where it begins, how many numbers, in which shape
//! groups   16 bytes for 64 blocks: which of them are there, and the place of the first one's entry
//! pages    4 bytes for 256 groups, without gaps: 0 when none is there, else 1 + its place in groups
//! chunks   32 bytes for each MiB of all above: its BLAKE3
//! footer   512 bytes: magic, version, count, build time, source, length and BLAKE3 of each
//!          section, and the BLAKE3 of the footer itself: the file's id, since it stands for all
//! ```
//!
//! All integers are little-endian; sections lie without gaps. Everything but the numbers comes
//! last, so that a file is written in one pass and a receiver that has the tail (chunks and
//! footer) can check every chunk as it arrives.
//!
//! A block of *n* numbers has one of three shapes ([`BlockShape`]): sorted 16-bit offsets for few,
//! 257 positions and one byte a number for more, a bitmap for many. The bitmap is taken before it
//! is the shortest, as long as it costs at most 1.4 bytes a number: it answers in one access to
//! memory where the other shapes need two or more.
//!
//! **Versions.** A reader of version N reads N-1 too ([`OLDEST_VERSION`]), and refuses others by
//! name: members are upgraded one by one while the mesh goes on with the base it has. A base is
//! only written in a version that every member reads.
//!
//! **Damage.** [`BaseReader::open`] checks the footer's hash and that the sections fit the file:
//! a torn file is refused. It is cheap and does not read the sections; whoever puts a base into
//! use runs [`BaseVerifier`] and [`BaseReader::check_structure`] first. Whatever the bytes are, a
//! look-up stays within them, and answers *yes* where the structure leads nowhere: what cannot be
//! read forbids.

mod encoder;
mod layout;
mod memory;
mod numbers;
mod reader;
mod verifier;

pub use encoder::{BaseAbout, BaseEncoder, BaseSummary, EncodeError};
pub use layout::{BaseError, BaseLayout, Section};
pub use memory::MemoryBase;
pub use numbers::Numbers;
pub use reader::BaseReader;
pub use verifier::{BaseVerifier, chunk_hash};

use domain::{DncBaseId, PhoneNumber, WallTime};
use std::fmt;

/// The version that is written.
pub const VERSION: u32 = 1;
/// The oldest version that is read: the one before [`VERSION`], once there is one.
pub const OLDEST_VERSION: u32 = 1;
/// Bytes of the footer, which is the end of every base file.
pub const FOOTER_BYTES: usize = 512;
/// Bytes that one hash of the section *chunks* covers.
pub const CHUNK_BYTES: usize = 1 << 20;

const HEAD_BYTES: usize = 16;
const HEAD_MAGIC: [u8; 8] = *b"dnc-base";
const FOOTER_MAGIC: [u8; 8] = *b"dnc-foot";
/// What a scan reads at once. So many zeros follow the last block.
const SCAN: usize = 32;
/// Groups of one page.
const PAGE_GROUPS: usize = 256;
const GROUP_BYTES: usize = 16;
const ENTRY_BYTES: usize = 8;
const PAGE_BYTES: usize = 4;
/// Numbers of one block, by their last 16 bits.
const BLOCK_BITS: u32 = 16;
/// Numbers of one group: 64 blocks.
const GROUP_BITS: u32 = BLOCK_BITS + 6;
/// Numbers of one page.
const PAGE_BITS: u32 = GROUP_BITS + PAGE_GROUPS.ilog2();
/// No number of 15 digits lies beyond this page.
const LAST_PAGE: u64 = 999_999_999_999_999 >> PAGE_BITS;

/// How the numbers of one block are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockShape {
    /// The last 16 bits of each, ascending.
    Offsets,
    /// 257 positions of 16 bits, one for each high byte and the end; then the low byte of each.
    Split,
    /// One bit for each of the 65,536.
    Bitmap,
}

/// Bytes of the positions of a [`BlockShape::Split`].
const SPLIT_POSITIONS: usize = 2 * 257;
const BITMAP_BYTES: usize = 8192;

impl BlockShape {
    /// The shape for `count` numbers, 1 to 65,536.
    const fn best(count: usize) -> Self {
        if BITMAP_BYTES * 10 <= count * 14 {
            Self::Bitmap
        } else if SPLIT_POSITIONS + count < 2 * count {
            Self::Split
        } else {
            Self::Offsets
        }
    }

    const fn bytes(self, count: usize) -> usize {
        match self {
            Self::Offsets => 2 * count,
            Self::Split => SPLIT_POSITIONS + count,
            Self::Bitmap => BITMAP_BYTES,
        }
    }
}

/// Where a block lies: 40 bits of position, 16 of count less one, 2 of shape, the rest zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockEntry {
    at: usize,
    count: usize,
    shape: BlockShape,
}

impl BlockEntry {
    const fn to_word(self) -> u64 {
        self.at as u64 | (self.count as u64 - 1) << 40 | (self.shape as u64) << 56
    }

    #[inline]
    const fn from_word(word: u64) -> Option<Self> {
        let shape = match word >> 56 {
            0 => BlockShape::Offsets,
            1 => BlockShape::Split,
            2 => BlockShape::Bitmap,
            _ => return None,
        };
        Some(Self {
            at: (word & ((1 << 40) - 1)) as usize,
            count: (word >> 40 & 0xffff) as usize + 1,
            shape,
        })
    }
}

/// A do-not-call base in use. Asking must neither allocate nor wait.
pub trait BaseLookup: fmt::Debug + Send + Sync {
    /// Whether the number is in the base: exact.
    fn contains(&self, number: PhoneNumber) -> bool;

    /// [`BaseLookup::contains`] for many numbers, each answer in its place of `found`, which is as
    /// long: several times faster than one by one.
    fn contains_many(&self, numbers: &[PhoneNumber], found: &mut [bool]);

    /// Which base it is, for the record of each attempt.
    fn id(&self) -> DncBaseId;

    /// As of when its numbers are true: when it was built from its list.
    fn as_of(&self) -> WallTime;
}

#[cfg(test)]
mod tests;
