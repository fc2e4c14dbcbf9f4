//! Checking every byte of a base, as a stream.

use super::{BaseError, BaseLayout, CHUNK_BYTES, FOOTER_BYTES, HEAD_BYTES, HEAD_MAGIC, Section};

/// The BLAKE3 of one chunk, as the section *chunks* has it.
pub fn chunk_hash(chunk: &[u8]) -> [u8; 32] {
    *blake3::hash(chunk).as_bytes()
}

/// Hashes the bytes of a file from its first to its last and compares them with its layout.
#[derive(Debug)]
pub struct BaseVerifier<'a> {
    layout: &'a BaseLayout,
    at: usize,
    section: blake3::Hasher,
    chunk: blake3::Hasher,
    /// Of the section *chunks*, as it must be.
    table: blake3::Hasher,
    footer: Vec<u8>,
}

impl<'a> BaseVerifier<'a> {
    /// For a file with this layout.
    pub fn new(layout: &'a BaseLayout) -> Self {
        Self {
            layout,
            at: 0,
            section: blake3::Hasher::new(),
            chunk: blake3::Hasher::new(),
            table: blake3::Hasher::new(),
            footer: Vec::with_capacity(FOOTER_BYTES),
        }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    /// [`BaseError::Damaged`] names the section that ended with another hash.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), BaseError> {
        let chunks_start = self.layout.range(Section::Chunks).start;
        while !bytes.is_empty() {
            let Some(section) =
                (Section::DESCRIBED.into_iter()).find(|s| self.at < self.layout.range(*s).end)
            else {
                let room = FOOTER_BYTES - self.footer.len();
                if bytes.len() > room {
                    return Err(damaged(Section::Footer));
                }
                self.footer.extend_from_slice(bytes);
                return Ok(());
            };
            let mut end = self.layout.range(section).end;
            if self.at < chunks_start {
                end = end.min((self.at / CHUNK_BYTES + 1) * CHUNK_BYTES);
            }
            let (now, later) = bytes.split_at((end - self.at).min(bytes.len()));
            self.section.update(now);
            if self.at < chunks_start {
                self.chunk.update(now);
            }
            self.at += now.len();
            bytes = later;
            self.end_chunk(chunks_start);
            if self.at == self.layout.range(section).end {
                self.end_section(section)?;
            }
        }
        Ok(())
    }

    fn end_chunk(&mut self, chunks_start: usize) {
        let whole = self.at.is_multiple_of(CHUNK_BYTES) && self.at < chunks_start;
        if whole || (self.at == chunks_start && self.chunk.count() > 0) {
            self.table.update(self.chunk.finalize().as_bytes());
            self.chunk.reset();
        }
    }

    fn end_section(&mut self, section: Section) -> Result<(), BaseError> {
        let hash = *self.section.finalize().as_bytes();
        self.section.reset();
        let right = self.layout.hash(section) == Some(hash);
        let table = *self.table.finalize().as_bytes();
        if !right || (section == Section::Chunks && table != hash) {
            return Err(damaged(section));
        }
        Ok(())
    }

    /// The file ended.
    ///
    /// # Errors
    /// [`BaseError::Damaged`] when it ended early or the footer is another one.
    pub fn finish(self) -> Result<(), BaseError> {
        match (Section::DESCRIBED.into_iter()).find(|s| self.at < self.layout.range(*s).end) {
            Some(section) => Err(damaged(section)),
            None if self.footer != self.layout.to_footer() => Err(damaged(Section::Footer)),
            None => Ok(()),
        }
    }
}

const fn damaged(section: Section) -> BaseError {
    BaseError::Damaged { section }
}

/// The head of a file of this version.
pub(super) fn head(version: u32) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&HEAD_MAGIC);
    head[8..12].copy_from_slice(&version.to_le_bytes());
    head
}
