//! Sealed files: bytes of any length in sealed chunks, read from any place.
//!
//! Layout, numbers big-endian: `DMSEAL`, version (1 byte), kind (1), bytes of a chunk (4), id of the
//! data key (4), prefix (12), then the chunks, each with its tag (16). All are full but the last,
//! which only a file of nothing has empty. A chunk's nonce says which one it is and whether it is the
//! last, so that chunks cannot be dropped, doubled or moved; the head and the file's place are
//! authenticated with each.

use super::{DataKeyId, DataKeys, PREFIX, SealError, SealedKind, TAG, nonce};
use crate::files::{Files, NativeFiles};
use aws_lc_rs::aead::{Aad, LessSafeKey};
use parking_lot::Mutex;
use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

const MAGIC: &[u8; 6] = b"DMSEAL";
const VERSION: u8 = 1;
const HEAD: usize = 6 + 1 + 1 + 4 + 4 + PREFIX;
/// Bytes of a chunk at most.
const CHUNK_MAX: usize = 16 << 20;

fn head(keys: &DataKeys, kind: SealedKind, chunk: usize, prefix: &[u8; PREFIX]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..6].copy_from_slice(MAGIC);
    (head[6], head[7]) = (VERSION, kind as u8);
    let chunk = u32::try_from(chunk).expect("at most CHUNK_MAX");
    head[8..12].copy_from_slice(&chunk.to_be_bytes());
    head[12..16].copy_from_slice(&keys.active().0.to_be_bytes());
    head[16..].copy_from_slice(prefix);
    head
}

fn place_of(head: &[u8; HEAD], place: &[u8]) -> Vec<u8> {
    [&head[..], place].concat()
}

/// Encrypts a chunk where it lies and puts its tag behind it.
fn seal(key: &LessSafeKey, at: u64, last: bool, place: &[u8], chunk: &mut Vec<u8>) {
    let tag = key.seal_in_place_separate_tag(nonce(last.into(), at), Aad::from(place), chunk);
    chunk.extend_from_slice(tag.expect("a chunk is far below AES-GCM's 64 GiB").as_ref());
}

/// Writes a sealed file. Nothing can be read back before [`SealedWriter::finish`].
pub struct SealedWriter<W: Write> {
    file: W,
    key: LessSafeKey,
    place: Vec<u8>,
    chunk: usize,
    waiting: Vec<u8>,
    next: u64,
    /// A write failed.
    broken: bool,
}

impl<W: Write> std::fmt::Debug for SealedWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedWriter").finish_non_exhaustive()
    }
}

impl<W: Write> SealedWriter<W> {
    /// Begins a file. `place` must be given again to read it; `chunk` is 1 byte to 16 MiB.
    ///
    /// # Errors
    /// Whatever `file` says.
    pub fn begin(
        keys: &DataKeys,
        kind: SealedKind,
        place: &[u8],
        chunk: usize,
        file: W,
    ) -> io::Result<Self> {
        Self::begin_with(keys, kind, place, chunk, file, keys.prefix())
    }

    pub(super) fn begin_with(
        keys: &DataKeys,
        kind: SealedKind,
        place: &[u8],
        chunk: usize,
        mut file: W,
        prefix: [u8; PREFIX],
    ) -> io::Result<Self> {
        let chunk = chunk.clamp(1, CHUNK_MAX);
        let head = head(keys, kind, chunk, &prefix);
        file.write_all(&head)?;
        Ok(Self {
            file,
            key: keys.newest().derive(kind, &prefix),
            place: place_of(&head, place),
            chunk,
            waiting: Vec::with_capacity(chunk + TAG),
            next: 0,
            broken: false,
        })
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        self.check_whole()?;
        seal(&self.key, self.next, last, &self.place, &mut self.waiting);
        self.next += 1;
        self.broken = true;
        self.file.write_all(&self.waiting)?;
        self.broken = false;
        self.waiting.clear();
        Ok(())
    }

    /// What waits is sealed already where its write failed, and how much of it was written is not
    /// known: nothing can follow it.
    fn check_whole(&self) -> io::Result<()> {
        match self.broken {
            true => Err(io::Error::other(
                "an earlier write of this sealed file failed",
            )),
            false => Ok(()),
        }
    }

    /// Writes the last chunk; sync what comes back.
    ///
    /// # Errors
    /// Whatever the file says.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(true)?;
        Ok(self.file)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_whole()?;
        // A full chunk waits until it is known that it is not the last.
        if self.waiting.len() == self.chunk && !bytes.is_empty() {
            self.put(false)?;
        }
        let taken = bytes.len().min(self.chunk - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// What waits for its chunk to be full goes on waiting.
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// How many bytes lie in chunks, as the file's length says; none where it ends within a tag.
fn plain_bytes(file: u64, chunk: usize) -> Option<u64> {
    let (body, tag) = (file.checked_sub(HEAD as u64)?, TAG as u64);
    let whole = chunk as u64 + tag;
    let (full, rest) = (body / whole, body % whole);
    match rest {
        0 if full > 0 => Some(full * chunk as u64),
        rest if rest == tag && full == 0 => Some(0),
        rest if rest > tag => Some(full * chunk as u64 + rest - tag),
        _ => None,
    }
}

/// A sealed file, to be read.
#[derive(Debug)]
pub struct SealedFile<F: Files = NativeFiles> {
    file: Mutex<F::File>,
    key: Arc<LessSafeKey>,
    id: DataKeyId,
    kind: SealedKind,
    place: Vec<u8>,
    chunk: usize,
    bytes: u64,
}

impl SealedFile {
    /// Opens one of the operating system's files; see [`SealedFile::open_on`].
    ///
    /// # Errors
    /// As [`SealedFile::open_on`].
    pub fn open(keys: &DataKeys, kind: SealedKind, place: &[u8], path: &Path) -> io::Result<Self> {
        Self::open_on(&NativeFiles, keys, (kind, place), path)
    }
}

impl<F: Files> SealedFile<F> {
    /// Whether the file begins as sealed ones do.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_sealed(files: &F, path: &Path) -> io::Result<bool> {
        let mut start = Vec::with_capacity(MAGIC.len());
        let file = files.open(path)?;
        file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
        Ok(start == MAGIC)
    }

    /// Opens a file whose end is there.
    ///
    /// # Errors
    /// It cannot be read, or [`SealError`] within an [`io::Error`] of invalid data.
    pub fn open_on(
        files: &F,
        keys: &DataKeys,
        (kind, place): (SealedKind, &[u8]),
        path: &Path,
    ) -> io::Result<Self> {
        let (file, mut this) = Self::begin(files, keys, (kind, place), path)?;
        let what = kind.name();
        this.bytes = plain_bytes(file, this.chunk).ok_or(SealError::CutOff { what })?;
        Ok(this)
    }

    /// The head; the file's length.
    fn begin(
        files: &F,
        keys: &DataKeys,
        (kind, place): (SealedKind, &[u8]),
        path: &Path,
    ) -> io::Result<(u64, Self)> {
        let mut file = files.open(path)?;
        let mut head = [0; HEAD];
        let what = kind.name();
        file.read_exact(&mut head)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => SealError::CutOff { what }.into(),
                _ => error,
            })?;
        let version = head[6];
        if head[..6] != *MAGIC || version != VERSION || head[7] != kind as u8 {
            return Err(SealError::Version { what, version }.into());
        }
        let chunk = u32::from_be_bytes(head[8..12].try_into().expect("4")) as usize;
        let id = DataKeyId(u32::from_be_bytes(head[12..16].try_into().expect("4")));
        if !(1..=CHUNK_MAX).contains(&chunk) {
            return Err(SealError::Damaged { what, id }.into());
        }
        let prefix = head[16..].try_into().expect("12");
        let key = keys.opener(kind, id, prefix)?;
        let length = files.length(path)?;
        let this = Self {
            file: Mutex::new(file),
            key,
            id,
            kind,
            place: place_of(&head, place),
            chunk,
            bytes: 0,
        };
        Ok((length, this))
    }

    /// Bytes of what is sealed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The key it is sealed with.
    pub fn key(&self) -> DataKeyId {
        self.id
    }

    /// Bytes of a chunk: reading whole ones costs least.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Up to `length` bytes from `offset` on; fewer only at the end.
    ///
    /// # Errors
    /// It cannot be read, was changed or was cut off.
    pub fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let end = self.bytes.min(offset.saturating_add(length as u64));
        let mut found = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let chunk = self.chunk as u64;
        let mut at = offset;
        // An empty file has one chunk too, whose tag says that nothing was cut off.
        if self.bytes == 0 {
            self.read_chunk(0)?;
        }
        while at < end {
            let plain = self.read_chunk(at / chunk)?;
            let from = (at % chunk) as usize;
            let to = plain.len().min(from + (end - at) as usize);
            found.extend_from_slice(&plain[from..to]);
            at += (to - from) as u64;
        }
        Ok(found)
    }

    fn read_chunk(&self, at: u64) -> io::Result<Vec<u8>> {
        let chunk = self.chunk as u64;
        let last = (at + 1) * chunk >= self.bytes;
        let plain = if last { self.bytes - at * chunk } else { chunk } as usize;
        let mut bytes = vec![0; plain + TAG];
        let from = HEAD as u64 + at * (chunk + TAG as u64);
        let mut file = self.file.lock();
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut bytes)?;
        drop(file);
        let what = self.kind.name();
        let open = |last: bool, bytes: &mut [u8]| {
            let place = Aad::from(&self.place);
            let opened = (self.key).open_in_place(nonce(last.into(), at), place, bytes);
            opened.is_ok()
        };
        // A file cut off between two chunks ends with one that is not the last.
        let mut again = if last { bytes.clone() } else { Vec::new() };
        if !open(last, &mut bytes) {
            let cut_off = last && open(false, &mut again);
            let error = match cut_off {
                true => SealError::CutOff { what },
                false => SealError::Damaged { what, id: self.id },
            };
            return Err(error.into());
        }
        bytes.truncate(plain);
        Ok(bytes)
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`SealedFile::read_at`].
    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        let bytes = usize::try_from(self.bytes).map_err(io::Error::other)?;
        self.read_at(0, bytes)
    }
}

/// Whether an error says that the data key is not at hand; what it is about may be whole then.
pub fn is_wrong_key(error: &io::Error) -> bool {
    let seal = error.get_ref().and_then(|e| e.downcast_ref::<SealError>());
    matches!(seal, Some(SealError::WrongKey { .. }))
}

/// Seals a file with the newest key where it is plain, as earlier releases wrote it, or sealed with
/// an older key. A damaged one is left to be found as such. A crash leaves the one or the other.
///
/// # Errors
/// It cannot be read or written, or its key is not at hand.
pub fn seal_anew<F: Files>(
    files: &F,
    keys: &DataKeys,
    (kind, place): (SealedKind, &[u8]),
    chunk: usize,
    path: &Path,
) -> io::Result<()> {
    let sealed = match SealedFile::is_sealed(files, path)? {
        false => None,
        true => match SealedFile::open_on(files, keys, (kind, place), path) {
            Ok(file) if file.key() == keys.active() => return Ok(()),
            Ok(file) => Some(file),
            Err(error) if is_wrong_key(&error) => return Err(error),
            Err(_) => return Ok(()),
        },
    };
    let temporary = path.with_extension("tmp");
    let file = files.create(&temporary)?;
    let mut anew = SealedWriter::begin(keys, kind, place, chunk, file)?;
    match sealed {
        None => _ = io::copy(&mut files.open(path)?, &mut anew)?,
        Some(file) => {
            let mut offset = 0;
            while offset < file.bytes() {
                let Ok(part) = file.read_at(offset, file.chunk()) else {
                    return files.remove(&temporary);
                };
                anew.write_all(&part)?;
                offset += part.len() as u64;
            }
        }
    }
    files.sync(&mut anew.finish()?)?;
    tracing::info!(path = %path.display(), key = %keys.active(), "sealed with the newest data key");
    files.rename(&temporary, path)?;
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) => files.sync_dir(folder),
        None => Ok(()),
    }
}

/// A sealed file that comes piece by piece, over restarts: each piece a chunk. Returns how many
/// bytes are there after `piece` (offset, bytes) of `length` in all was taken; one that does not
/// follow what is there is not. An empty piece only asks. What a crash left of a chunk is cut off.
///
/// # Errors
/// It cannot be read or written; a piece that is neither a chunk nor the last one, or more than the
/// whole.
pub fn sealed_parts<F: Files>(
    files: &F,
    keys: &DataKeys,
    (kind, place): (SealedKind, &[u8]),
    chunk: usize,
    path: &Path,
    length: u64,
    (offset, piece): (u64, &[u8]),
) -> io::Result<u64> {
    let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let begun = match SealedFile::begin(files, keys, (kind, place), path) {
        // A chunk of another size, another release's file, an older key: from the beginning.
        Ok((file, this)) => {
            (this.chunk == chunk && this.id == keys.active()).then_some((file, this))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        Err(error) => return Err(error),
    };
    let whole = (chunk + TAG) as u64;
    let there = begun.as_ref().map_or(0, |(file, _)| {
        let full = (file - HEAD as u64) / whole * chunk as u64;
        match plain_bytes(*file, chunk) {
            Some(bytes) if bytes == length => bytes,
            _ => full,
        }
    });
    if there > length {
        files.remove(path)?;
        return Ok(0);
    }
    if piece.is_empty() || offset != there || there == length {
        return Ok(there);
    }
    let end = there + piece.len() as u64;
    if end > length {
        return invalid("more than the whole");
    }
    if piece.len() != chunk && end != length {
        return invalid("a piece is not as long as pieces are");
    }
    let mut file = files.edit(path)?;
    let (key, place) = match begun {
        Some((_, this)) => (this.key, this.place),
        None => {
            let prefix = keys.prefix();
            let head = head(keys, kind, chunk, &prefix);
            files.cut(&mut file, 0)?;
            file.write_all(&head)?;
            let key = keys.opener(kind, keys.active(), prefix)?;
            (key, place_of(&head, place))
        }
    };
    let at = there / chunk as u64;
    let mut sealed = Vec::with_capacity(piece.len() + TAG);
    sealed.extend_from_slice(piece);
    seal(&key, at, end == length, &place, &mut sealed);
    let from = HEAD as u64 + at * whole;
    files.cut(&mut file, from)?;
    file.seek(SeekFrom::Start(from))?;
    file.write_all(&sealed)?;
    Ok(end)
}
