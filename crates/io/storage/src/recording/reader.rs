//! Reading: only with the private half. Nothing here reads a file itself: pieces of it may come over the
//! mesh.

use super::{
    BEFORE_HEAD, CHUNK, END, MAGIC, RECORDING_CHUNK, RecordingError, RecordingHead,
    RecordingPrivateKey, RecordingTail, TAG, TAIL, VERSION, WRAPPED, aad, file_key, nonce, place,
    wrap_nonce,
};
use aws_lc_rs::aead::LessSafeKey;
use std::{fmt, ops::Range};

/// Bytes at the end of a finished file.
pub const RECORDING_FOOTER: usize = 32 + 4 + END.len();

/// The beginning of a recording: what it is of can be read without any key.
#[derive(Clone, Debug)]
pub struct SealedRecording {
    head: RecordingHead,
    /// Up to the wrapped key.
    start: Vec<u8>,
    public: [u8; 32],
    wrapped: [u8; WRAPPED],
}

impl SealedRecording {
    /// Reads a file's first [`super::RECORDING_HEAD_MAX`] bytes, or all of it if it is shorter.
    ///
    /// # Errors
    /// [`RecordingError::NotRecording`], [`RecordingError::Version`].
    pub fn read(bytes: &[u8]) -> Result<Self, RecordingError> {
        let cut = RecordingError::NotRecording;
        let rest = bytes.strip_prefix(MAGIC).ok_or(cut.clone())?;
        let (version, rest) = rest.split_first().ok_or(cut.clone())?;
        if *version != VERSION {
            return Err(RecordingError::Version(*version));
        }
        let (len, rest) = rest.split_first_chunk::<2>().ok_or(cut.clone())?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (body, rest) = rest.split_at_checked(len).ok_or(cut.clone())?;
        let head = postcard::from_bytes(body).map_err(|_| cut.clone())?;
        let (public, rest) = rest.split_first_chunk::<32>().ok_or(cut.clone())?;
        let (wrapped, _) = rest.split_first_chunk::<WRAPPED>().ok_or(cut)?;
        Ok(Self {
            head,
            start: bytes[..BEFORE_HEAD + len + 32].to_vec(),
            public: *public,
            wrapped: *wrapped,
        })
    }

    /// Whose call it is of, as it says; true once it was unlocked.
    pub fn head(&self) -> &RecordingHead {
        &self.head
    }

    /// Unwraps its key.
    ///
    /// # Errors
    /// [`RecordingError::OtherKey`], [`RecordingError::Head`].
    pub fn unlock(&self, key: &RecordingPrivateKey) -> Result<OpenRecording, RecordingError> {
        if key.id() != self.head.key {
            return Err(RecordingError::OtherKey(self.head.key));
        }
        let wrapping = key.wrapping_key(&self.public).ok_or(RecordingError::Head)?;
        let mut secret = zeroize::Zeroizing::new(self.wrapped);
        let secret = wrapping
            .open_in_place(wrap_nonce(), aad(&self.start), &mut *secret)
            .map_err(|_| RecordingError::Head)?;
        let secret: &[u8; 32] = (&*secret).try_into().map_err(|_| RecordingError::Head)?;
        let whole = [&self.start[..], &self.wrapped].concat();
        Ok(OpenRecording {
            key: file_key(secret),
            head_hash: *blake3::hash(&whole).as_bytes(),
            head: self.head,
            head_bytes: whole.len() as u64,
        })
    }
}

/// What a finished file says at its very end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingFooter {
    /// BLAKE3 of all before the tail.
    pub hash: [u8; 32],
    /// Bytes of the sealed tail.
    pub tail: u32,
}

impl RecordingFooter {
    /// Reads a file's last [`RECORDING_FOOTER`] bytes; none where it has no end.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORDING_FOOTER] = bytes.try_into().ok()?;
        let (hash, rest) = bytes.split_first_chunk::<32>()?;
        let (tail, end) = rest.split_first_chunk::<4>()?;
        (end == END).then_some(Self {
            hash: *hash,
            tail: u32::from_be_bytes(*tail),
        })
    }
}

/// A recording whose key is at hand.
pub struct OpenRecording {
    key: LessSafeKey,
    head_hash: [u8; 32],
    head: RecordingHead,
    head_bytes: u64,
}

impl fmt::Debug for OpenRecording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRecording")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl OpenRecording {
    /// Whose call it is of.
    pub fn head(&self) -> &RecordingHead {
        &self.head
    }

    /// Samples a side in a file of so many bytes that has no end: its whole chunks.
    pub fn frames_without_end(&self, file_bytes: u64) -> u64 {
        let sealed = (RECORDING_CHUNK + TAG) as u64;
        file_bytes.saturating_sub(self.head_bytes) / sealed * (RECORDING_CHUNK as u64 / 2)
    }

    /// Where a chunk lies in the file of a recording of so many samples a side; none behind its end.
    pub fn chunk_at(&self, index: u64, frames: u64) -> Option<Range<u64>> {
        let (bytes, chunk) = (2 * frames, RECORDING_CHUNK as u64);
        let plain = bytes.checked_sub(index * chunk)?.min(chunk);
        let start = self.head_bytes + index * (chunk + TAG as u64);
        (plain > 0).then(|| start..start + plain + TAG as u64)
    }

    /// Opens a chunk in place; its plain bytes.
    ///
    /// # Errors
    /// [`RecordingError::Chunk`].
    pub fn chunk<'a>(&self, index: u64, sealed: &'a mut [u8]) -> Result<&'a [u8], RecordingError> {
        let at = place(&self.head_hash, CHUNK, index);
        let opened = (self.key).open_in_place(nonce(CHUNK, index), aad(&at), sealed);
        opened
            .map(|plain| &*plain)
            .map_err(|_| RecordingError::Chunk(index))
    }

    /// Opens the tail of a file of so many bytes, given its sealed tail and its footer.
    ///
    /// # Errors
    /// [`RecordingError::Tail`], also where the file is not as long as the tail says.
    pub fn tail(
        &self,
        footer: &RecordingFooter,
        sealed: &mut [u8],
        file_bytes: u64,
    ) -> Result<RecordingTail, RecordingError> {
        let chunks_end = file_bytes
            .checked_sub(sealed.len() as u64 + RECORDING_FOOTER as u64 + self.head_bytes)
            .ok_or(RecordingError::Tail)?;
        let chunks = chunks_end.div_ceil((RECORDING_CHUNK + TAG) as u64);
        let at = [&place(&self.head_hash, TAIL, chunks)[..], &footer.hash].concat();
        let plain = (self.key)
            .open_in_place(nonce(TAIL, chunks), aad(&at), sealed)
            .map_err(|_| RecordingError::Tail)?;
        let tail: RecordingTail = postcard::from_bytes(plain).map_err(|_| RecordingError::Tail)?;
        let expected =
            (tail.frames.checked_mul(2)).and_then(|b| b.checked_add(chunks * TAG as u64));
        match expected == Some(chunks_end) {
            true => Ok(tail),
            false => Err(RecordingError::Tail),
        }
    }
}
