//! The do-not-call base on a disk: built from a list, mapped into memory, verified, replaced while
//! it is asked. The format is `permit::base`.
//!
//! A base file is named by its hash and never changes. It is written under another name in the
//! folder `building` (or `incoming`), synced, and renamed into place: a crash leaves the whole file
//! or none, and the next build sweeps up. A process maps the file; a disk that fails under a mapping
//! ends the process, which then refuses the damaged file when it starts.

mod build;
mod incoming;
mod list;
mod runs;
mod swap;
mod syscalls;

pub use build::{
    BuildError, BuildProgress, BuiltDncBase, DncBaseBuild, InvalidLine, ListCounts, RejectedLine,
    SORT_MEMORY, SORT_MEMORY_MIN, compare_dnc_bases, e164,
};
pub use incoming::{IncomingDncBase, IncomingError};
pub use swap::DncBaseSwap;

use domain::{DncBaseId, PhoneNumber, WallTime};
use permit::base::{
    BaseAbout, BaseError, BaseLayout, BaseLookup, BaseReader, BaseVerifier, Numbers, Section,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use syscalls::Mapping;

/// How the names of base files end, after their hash.
pub const DNC_BASE_SUFFIX: &str = ".dncbase";

/// A do-not-call base file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DncBaseError {
    /// The file system refused.
    #[error("do-not-call base {file} cannot be read; check that it exists and is readable")]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those of a whole base.
    #[error("do-not-call base {file} is refused: {reason}")]
    Refused {
        /// The file.
        file: PathBuf,
        /// Which section, and what to do.
        reason: BaseError,
    },
    /// The file is whole, but another one than its name says.
    #[error("do-not-call base {file} is refused: it holds base {id}; rename it so")]
    Misnamed {
        /// The file.
        file: PathBuf,
        /// What it holds.
        id: DncBaseId,
    },
}

/// A base file in memory. Asking it allocates nothing and takes no lock.
#[derive(Debug)]
pub struct DncBase {
    map: Mapping,
    layout: BaseLayout,
    file: File,
    path: PathBuf,
}

impl DncBase {
    /// Maps a file. Cheap: the footer is checked, that the file is as long as it says, and that it
    /// is the one that its name says. For use, take [`DncBase::open_verified`].
    ///
    /// # Errors
    /// [`DncBaseError`]; a file cut short is refused.
    pub fn open(path: &Path) -> Result<Self, DncBaseError> {
        let io = |source| DncBaseError::Io {
            file: path.into(),
            source,
        };
        let refused = |reason| DncBaseError::Refused {
            file: path.into(),
            reason,
        };
        let file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let len = usize::try_from(bytes).unwrap_or(0);
        if len == 0 {
            return Err(refused(BaseError::Short { bytes }));
        }
        let map = Mapping::new(&file, len).map_err(io)?;
        let (layout, _) = BaseReader::open(map.bytes()).map_err(refused)?;
        let base = Self {
            map,
            layout,
            file,
            path: path.into(),
        };
        match named(path) {
            Some(id) if id != base.layout.id() => Err(DncBaseError::Misnamed {
                file: path.into(),
                id: base.layout.id(),
            }),
            _ => Ok(base),
        }
    }

    /// Maps a file and checks every byte, which also brings it into memory.
    ///
    /// # Errors
    /// [`DncBaseError`] names the file, its damaged section and the remedy.
    pub fn open_verified(path: &Path) -> Result<Self, DncBaseError> {
        let base = Self::open(path)?;
        base.verify(|_| {})?;
        Ok(base)
    }

    /// Copies a file into memory of its own and checks every byte of the copy. Takes as much memory
    /// as the file has bytes, but large pages answer faster than those of a file, none is ever read
    /// from the disk again, and a disk that fails later harms nobody.
    ///
    /// # Errors
    /// [`DncBaseError`] names the file, its damaged section and the remedy.
    pub fn open_resident(path: &Path) -> Result<Self, DncBaseError> {
        let mut base = Self::open(path)?;
        let io = |source| DncBaseError::Io {
            file: path.into(),
            source,
        };
        base.map = Mapping::copied(&base.file, base.map.bytes().len()).map_err(io)?;
        let refused = |reason| DncBaseError::Refused {
            file: path.into(),
            reason,
        };
        let mut verifier = BaseVerifier::new(&base.layout);
        verifier.take(base.map.bytes()).map_err(refused)?;
        verifier.finish().map_err(refused)?;
        base.reader().check_structure().map_err(refused)?;
        Ok(base)
    }

    /// Reads the whole file, checks the hash of each section, then walks the structure. `progress`
    /// is told how many bytes are read.
    ///
    /// # Errors
    /// [`DncBaseError`] names the file, its damaged section and the remedy.
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<(), DncBaseError> {
        let refused = |reason| DncBaseError::Refused {
            file: self.path.clone(),
            reason,
        };
        // Read, not looked at in the mapping: a bad disk is an error then, and no signal.
        let mut verifier = BaseVerifier::new(&self.layout);
        let mut buffer = vec![0; permit::base::CHUNK_BYTES];
        let mut at = 0;
        while at < self.layout.file_bytes() {
            let len = (self.file.read_at(&mut buffer, at)).map_err(|source| DncBaseError::Io {
                file: self.path.clone(),
                source,
            })?;
            if len == 0 {
                break;
            }
            verifier.take(&buffer[..len]).map_err(refused)?;
            at += len as u64;
            progress(at);
        }
        verifier.finish().map_err(refused)?;
        self.reader().check_structure().map_err(refused)
    }

    #[inline]
    fn reader(&self) -> BaseReader<'_> {
        BaseReader::with_layout(self.map.bytes(), &self.layout)
            .expect("the mapping is as long as the layout says, which `open` saw")
    }

    /// Whether the number is in the base: exact.
    #[inline]
    pub fn contains(&self, number: PhoneNumber) -> bool {
        self.reader().contains(number)
    }

    /// [`DncBase::contains`] for many numbers at once, each answer in its place of `found`: several
    /// times faster than one by one.
    pub fn contains_many(&self, numbers: &[PhoneNumber], found: &mut [bool]) {
        self.reader().contains_many(numbers, found);
    }

    /// Every number, ascending.
    pub fn numbers(&self) -> Numbers<'_> {
        self.reader().numbers()
    }

    /// The hash that names it.
    pub const fn id(&self) -> DncBaseId {
        self.layout.id()
    }

    /// How many numbers.
    pub const fn count(&self) -> u64 {
        self.layout.count()
    }

    /// From where and from when.
    pub const fn about(&self) -> &BaseAbout {
        self.layout.about()
    }

    /// Bytes of the file.
    pub const fn file_bytes(&self) -> u64 {
        self.layout.file_bytes()
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a receiver needs first ([`IncomingDncBase::begin`]): the hashes of all chunks, and the
    /// footer.
    pub fn tail(&self) -> &[u8] {
        &self.map.bytes()[self.layout.range(Section::Chunks).start..]
    }

    /// How many chunks lie before the tail.
    pub fn chunks(&self) -> usize {
        self.layout.chunks()
    }

    /// Chunk `n`; no bytes beyond the last one.
    pub fn chunk(&self, n: usize) -> &[u8] {
        &self.map.bytes()[self.layout.chunk_range(n)]
    }
}

impl BaseLookup for DncBase {
    fn contains(&self, number: PhoneNumber) -> bool {
        Self::contains(self, number)
    }

    fn contains_many(&self, numbers: &[PhoneNumber], found: &mut [bool]) {
        Self::contains_many(self, numbers, found);
    }

    fn id(&self) -> DncBaseId {
        Self::id(self)
    }

    fn as_of(&self) -> WallTime {
        self.about().built_at
    }
}

/// The file of a base in a folder.
pub fn dnc_base_path(dir: &Path, id: DncBaseId) -> PathBuf {
    dir.join(format!("{id}{DNC_BASE_SUFFIX}"))
}

/// The base that a file's name promises.
fn named(path: &Path) -> Option<DncBaseId> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(DNC_BASE_SUFFIX)?.parse().ok()
}

/// The bases in a folder, by name alone.
///
/// # Errors
/// Whatever the file system says.
pub fn dnc_bases(dir: &Path) -> io::Result<Vec<DncBaseId>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        found.extend(named(&entry?.path()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Takes a file in that somebody wrote, somewhere on the file system of `dir`, as base `id`: checks
/// every byte and puts it durably in its place.
///
/// # Errors
/// [`DncBaseError`], also for another base than `id`; the file stays where it is.
pub fn adopt_dnc_base(written: &Path, dir: &Path, id: DncBaseId) -> Result<DncBase, DncBaseError> {
    let base = DncBase::open_verified(written)?;
    if base.id() != id {
        return Err(DncBaseError::Misnamed {
            file: written.into(),
            id: base.id(),
        });
    }
    let path = put_in_place(&base.file, written, dir, base.id()).map_err(|source| {
        let file = written.into();
        DncBaseError::Io { file, source }
    })?;
    DncBase::open(&path)
}

/// Makes a written file durable under its name: sync, read-only, rename, sync of the folder.
fn put_in_place(file: &File, written: &Path, dir: &Path, id: DncBaseId) -> io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o400))?;
    file.sync_all()?;
    let path = dnc_base_path(dir, id);
    fs::rename(written, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(path)
}

#[cfg(test)]
mod tests;
