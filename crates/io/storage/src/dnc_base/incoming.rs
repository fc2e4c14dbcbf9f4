//! Receiving a base from another member, chunk by chunk, with resume.

use super::{DncBase, DncBaseError, put_in_place};
use domain::DncBaseId;
use permit::base::{BaseError, BaseLayout, FOOTER_BYTES, Section, chunk_hash};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A base cannot be received.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// The file system refused.
    #[error("do-not-call base {id} cannot be received in {dir}; check free space and permissions")]
    Io {
        /// Which base.
        id: DncBaseId,
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tail is not that of the base that was asked for.
    #[error("this is not the tail of do-not-call base {id}; ask another member for it")]
    Tail {
        /// Which base.
        id: DncBaseId,
        /// What is wrong, where it is no tail at all.
        #[source]
        reason: Option<BaseError>,
    },
    /// The bytes of a chunk are not those of the base.
    #[error("chunk {chunk} of do-not-call base {id} is damaged; ask for it again")]
    Chunk {
        /// Which base.
        id: DncBaseId,
        /// Counted from 0.
        chunk: usize,
    },
    /// Chunks are still missing.
    #[error("do-not-call base {id} is not whole: {missing} chunks are missing; ask for them")]
    Missing {
        /// Which base.
        id: DncBaseId,
        /// How many.
        missing: usize,
    },
    /// The whole file is refused.
    #[error(transparent)]
    Base(#[from] DncBaseError),
}

/// A base on its way to this member. Each chunk is checked as it comes; what came before a restart
/// is checked again and need not come again. Lies in the folder `incoming` until it is whole.
#[derive(Debug)]
pub struct IncomingDncBase {
    layout: BaseLayout,
    hashes: Vec<[u8; 32]>,
    here: Vec<bool>,
    file: File,
    path: PathBuf,
    dir: PathBuf,
}

impl IncomingDncBase {
    /// Begins, or goes on after a restart. `tail` is what [`DncBase::tail`] gave at the sender,
    /// `file_bytes` the length of the whole file there.
    ///
    /// # Errors
    /// [`IncomingError::Tail`] when these are not the bytes of base `id`.
    pub fn begin(
        dir: &Path,
        id: DncBaseId,
        file_bytes: u64,
        tail: &[u8],
    ) -> Result<Self, IncomingError> {
        let foreign = |reason| IncomingError::Tail { id, reason };
        let footer: &[u8; FOOTER_BYTES] = tail.last_chunk().ok_or(foreign(None))?;
        let layout = BaseLayout::read(footer, file_bytes).map_err(|e| foreign(Some(e)))?;
        let table = &tail[..tail.len() - FOOTER_BYTES];
        if layout.id() != id || layout.hash(Section::Chunks) != Some(chunk_hash(table)) {
            return Err(foreign(None));
        }
        let (hashes, _) = table.as_chunks();
        if hashes.len() != layout.chunks() {
            return Err(foreign(None));
        }
        let io = |source| IncomingError::Io {
            id,
            dir: dir.into(),
            source,
        };
        let incoming = dir.join("incoming");
        (fs::DirBuilder::new().recursive(true).mode(0o700))
            .create(&incoming)
            .map_err(io)?;
        let path = incoming.join(id.to_string());
        let file = (OpenOptions::new().read(true).write(true).create(true))
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        let resumed = file.metadata().map_err(io)?.len() == file_bytes;
        file.set_len(file_bytes).map_err(io)?;
        (file.write_all_at(tail, layout.range(Section::Chunks).start as u64)).map_err(io)?;
        let mut base = Self {
            here: vec![false; hashes.len()],
            hashes: hashes.to_vec(),
            layout,
            file,
            path,
            dir: dir.into(),
        };
        if resumed {
            base.look_again().map_err(io)?;
        }
        Ok(base)
    }

    /// Finds the chunks that came before a restart.
    fn look_again(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; permit::base::CHUNK_BYTES];
        for chunk in 0..self.hashes.len() {
            let range = self.layout.chunk_range(chunk);
            let bytes = &mut buffer[..range.len()];
            self.file.read_exact_at(bytes, range.start as u64)?;
            self.here[chunk] = chunk_hash(bytes) == self.hashes[chunk];
        }
        Ok(())
    }

    /// Chunks to ask for, ascending.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        (self.here.iter().enumerate())
            .filter(|(_, here)| !**here)
            .map(|(chunk, _)| chunk)
    }

    /// How many chunks the base has.
    pub const fn chunks(&self) -> usize {
        self.here.len()
    }

    /// Takes in a chunk; again, if need be.
    ///
    /// # Errors
    /// [`IncomingError::Chunk`] when it is not the base's; nothing is written then.
    pub fn put(&mut self, chunk: usize, bytes: &[u8]) -> Result<(), IncomingError> {
        if self.hashes.get(chunk) != Some(&chunk_hash(bytes)) {
            let id = self.layout.id();
            return Err(IncomingError::Chunk { id, chunk });
        }
        let at = self.layout.chunk_range(chunk).start as u64;
        (self.file.write_all_at(bytes, at)).map_err(|source| self.io(source))?;
        self.here[chunk] = true;
        Ok(())
    }

    /// Checks the whole file once more and puts it in its place, durably.
    ///
    /// # Errors
    /// [`IncomingError::Missing`] while chunks are missing. Whatever else fails, the file stays in
    /// `incoming`, and what is wrong with it comes again after the next [`IncomingDncBase::begin`].
    pub fn finish(self) -> Result<DncBase, IncomingError> {
        let id = self.layout.id();
        let missing = self.missing().count();
        if missing > 0 {
            return Err(IncomingError::Missing { id, missing });
        }
        DncBase::open(&self.path)?.verify(|_| {})?;
        let path = put_in_place(&self.file, &self.path, &self.dir, id)
            .map_err(|source| self.io(source))?;
        Ok(DncBase::open(&path)?)
    }

    fn io(&self, source: io::Error) -> IncomingError {
        IncomingError::Io {
            id: self.layout.id(),
            dir: self.dir.clone(),
            source,
        }
    }
}
