//! The footer: what is in the file, and where.

use super::{
    BaseAbout, CHUNK_BYTES, ENTRY_BYTES, FOOTER_BYTES, FOOTER_MAGIC, GROUP_BYTES, HEAD_BYTES,
    LAST_PAGE, OLDEST_VERSION, PAGE_BYTES, PAGE_GROUPS, SCAN, VERSION,
};
use domain::{DncBaseId, WallTime, limits};
use std::{fmt, ops::Range};

/// A part of a base file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Magic and version.
    Head,
    /// The numbers.
    Blocks,
    /// Where each block lies.
    Entries,
    /// Which blocks there are.
    Groups,
    /// Which groups there are.
    Pages,
    /// The hash of each MiB.
    Chunks,
    /// What is in the file.
    Footer,
}

impl Section {
    /// Those that the footer describes, in the order of the file.
    pub const DESCRIBED: [Self; 6] = [
        Self::Head,
        Self::Blocks,
        Self::Entries,
        Self::Groups,
        Self::Pages,
        Self::Chunks,
    ];
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "head",
            Self::Blocks => "blocks",
            Self::Entries => "entries",
            Self::Groups => "groups",
            Self::Pages => "pages",
            Self::Chunks => "chunks",
            Self::Footer => "footer",
        })
    }
}

/// Bytes are no whole do-not-call base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// Fewer bytes than the smallest base has.
    #[error("{bytes} bytes are too few for a do-not-call base; fetch or build the file again")]
    Short {
        /// How many there are.
        bytes: u64,
    },
    /// The footer does not begin as one does: another kind of file, or one cut short.
    #[error(
        "no do-not-call base, or one cut short (no footer at its end); fetch or build the file again"
    )]
    NotABase,
    /// Written by a newer or much older release.
    #[error(
        "version {found}; this release reads {OLDEST_VERSION} to {VERSION}: upgrade this member, or \
         build the file again"
    )]
    Version {
        /// What the footer says.
        found: u32,
    },
    /// The bytes of a section are not those that were written.
    #[error("section {section} is damaged (its hash differs); fetch or build the file again")]
    Damaged {
        /// Which.
        section: Section,
    },
    /// A section has the right hash, but no builder of this release writes it so.
    #[error("section {section} makes no sense ({what}); build the file again with this release")]
    Structure {
        /// Which.
        section: Section,
        /// What is wrong.
        what: &'static str,
    },
}

/// What a base file is and where its sections lie: its footer, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseLayout {
    pub(super) id: DncBaseId,
    pub(super) version: u32,
    pub(super) count: u64,
    pub(super) about: BaseAbout,
    pub(super) first_page: u32,
    /// Length and hash of each described section.
    pub(super) sections: [(u64, [u8; 32]); 6],
    /// Where each section begins, and where the file ends.
    starts: [usize; 8],
}

impl BaseLayout {
    /// Reads the footer of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// [`BaseError`] when it is damaged, of another version, or does not fit a file so long.
    pub fn read(footer: &[u8; FOOTER_BYTES], file_bytes: u64) -> Result<Self, BaseError> {
        let mut rest = Fields(footer);
        if rest.take::<8>() != FOOTER_MAGIC {
            return Err(BaseError::NotABase);
        }
        let (body, hash) = footer.split_at(FOOTER_BYTES - 32);
        let id = *blake3::hash(body).as_bytes();
        if id != hash {
            return Err(BaseError::Damaged {
                section: Section::Footer,
            });
        }
        let version = u32::from_le_bytes(rest.take());
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(BaseError::Version { found: version });
        }
        let first_page = u32::from_le_bytes(rest.take());
        let count = u64::from_le_bytes(rest.take());
        let built_at = WallTime::from_millis(i64::from_le_bytes(rest.take()));
        let [source_len] = rest.take::<1>();
        let source: [u8; limits::NAME_BYTES] = rest.take();
        let source = (source.get(..usize::from(source_len)))
            .and_then(|s| std::str::from_utf8(s).ok())
            .ok_or_else(|| footer_fault("the source's name"))?
            .to_owned();
        let mut layout = Self {
            id: DncBaseId(id),
            version,
            count,
            about: BaseAbout { source, built_at },
            first_page,
            sections: std::array::from_fn(|_| (u64::from_le_bytes(rest.take()), rest.take())),
            starts: [0; 8],
        };
        layout.check_lengths(file_bytes)?;
        layout.place_sections();
        Ok(layout)
    }

    /// The layout of a file whose sections are written; its id is yet to come.
    pub(super) fn written(
        about: BaseAbout,
        count: u64,
        first_page: u32,
        sections: [(u64, [u8; 32]); 6],
    ) -> Self {
        let mut layout = Self {
            id: DncBaseId([0; 32]),
            version: VERSION,
            count,
            about,
            first_page,
            sections,
            starts: [0; 8],
        };
        layout.place_sections();
        let footer = layout.to_footer();
        layout.id = DncBaseId(*footer.last_chunk().expect("a footer is longer than a hash"));
        layout
    }

    fn place_sections(&mut self) {
        let footer = (FOOTER_BYTES as u64, [0; 32]);
        let mut end = 0;
        for (place, (len, _)) in self.sections.iter().chain([&footer]).enumerate() {
            end += *len as usize;
            self.starts[place + 1] = end;
        }
    }

    fn check_lengths(&self, file_bytes: u64) -> Result<(), BaseError> {
        let [head, blocks, entries, groups, pages, chunks] = self.sections.map(|(len, _)| len);
        let all = [head, blocks, entries, groups, pages, chunks];
        let sum = (all.iter()).try_fold(FOOTER_BYTES as u64, |sum, len| sum.checked_add(*len));
        if sum != Some(file_bytes) || usize::try_from(file_bytes).is_err() {
            return Err(footer_fault("sections and file differ in length"));
        }
        let hashed = file_bytes - FOOTER_BYTES as u64 - chunks;
        let last_page = u64::from(self.first_page) + (pages / PAGE_BYTES as u64).saturating_sub(1);
        if head != HEAD_BYTES as u64
            || blocks < SCAN as u64
            || entries % ENTRY_BYTES as u64 != 0
            || groups % (GROUP_BYTES * PAGE_GROUPS) as u64 != 0
            || pages % PAGE_BYTES as u64 != 0
            || last_page > LAST_PAGE
            || chunks != hashed.div_ceil(CHUNK_BYTES as u64) * 32
        {
            return Err(footer_fault("the length of a section"));
        }
        if self.count > limits::DNC_BASE_NUMBERS {
            return Err(footer_fault("more numbers than a base may hold"));
        }
        Ok(())
    }

    /// The footer's bytes, its hash at their end.
    pub(super) fn to_footer(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        bytes.extend_from_slice(&FOOTER_MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.first_page.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.about.built_at.as_millis().to_le_bytes());
        let source = self.about.source.as_bytes();
        bytes.push(source.len() as u8);
        bytes.extend_from_slice(source);
        bytes.resize(bytes.len() + limits::NAME_BYTES - source.len(), 0);
        for (len, hash) in &self.sections {
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(hash);
        }
        bytes.resize(FOOTER_BYTES - 32, 0);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes.try_into().expect("filled up to 512 bytes")
    }

    /// The hash that stands for the whole file.
    pub const fn id(&self) -> DncBaseId {
        self.id
    }

    /// The format's version.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Numbers in the file.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// From where and from when it is.
    pub const fn about(&self) -> &BaseAbout {
        &self.about
    }

    /// Bytes of the file.
    pub const fn file_bytes(&self) -> u64 {
        self.starts[7] as u64
    }

    /// Where a section lies.
    #[inline]
    pub const fn range(&self, section: Section) -> Range<usize> {
        self.starts[section as usize]..self.starts[section as usize + 1]
    }

    /// The hash of a section, none of the footer's.
    pub fn hash(&self, section: Section) -> Option<[u8; 32]> {
        (self.sections.get(section as usize)).map(|(_, hash)| *hash)
    }

    /// How many chunks of [`CHUNK_BYTES`] (the last one shorter) lie before the section *chunks*.
    pub fn chunks(&self) -> usize {
        self.range(Section::Chunks).len() / 32
    }

    /// Where chunk `n` lies.
    pub fn chunk_range(&self, n: usize) -> Range<usize> {
        let end = self.range(Section::Chunks).start;
        let start = n.saturating_mul(CHUNK_BYTES).min(end);
        start..start.saturating_add(CHUNK_BYTES).min(end)
    }
}

const fn footer_fault(what: &'static str) -> BaseError {
    BaseError::Structure {
        section: Section::Footer,
        what,
    }
}

/// Takes fields of fixed length off the front of a footer, whose length holds them all.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = (self.0)
            .split_first_chunk()
            .expect("the footer is longer than its fields");
        self.0 = rest;
        *field
    }
}
