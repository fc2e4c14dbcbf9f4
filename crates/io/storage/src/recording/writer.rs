//! Writing: whoever has the public half may.

use super::{
    BEFORE_HEAD, CHUNK, END, MAGIC, RECORDING_CHUNK, RECORDING_HEAD_MAX, RecordingHead,
    RecordingTail, TAIL, VERSION, WRAPPED, aad, file_key, nonce, place, wrap_nonce, wrapping_key,
};
use aws_lc_rs::{
    aead::LessSafeKey,
    agreement::{PrivateKey, X25519},
};
use domain::RecordingKey;
use std::{
    fmt,
    io::{self, Write},
};
use zeroize::Zeroizing;

/// What names a finished file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingSum {
    /// BLAKE3 of all before the tail.
    pub hash: [u8; 32],
    /// Bytes of the whole file.
    pub bytes: u64,
}

/// A recording that is being written. What it wrote it cannot read.
pub struct RecordingWriter<W: Write> {
    file: W,
    key: LessSafeKey,
    head_hash: [u8; 32],
    hasher: blake3::Hasher,
    next: u64,
    bytes: u64,
    last: bool,
}

impl<W: Write> fmt::Debug for RecordingWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingWriter")
            .field("chunks", &self.next)
            .finish_non_exhaustive()
    }
}

impl<W: Write> RecordingWriter<W> {
    /// Begins a file: draws its key, wraps it for `key`, and forgets how.
    ///
    /// # Errors
    /// Whatever `file` says, or the key is none that anything can be wrapped for.
    pub fn begin(head: &RecordingHead, key: &RecordingKey, file: W) -> io::Result<Self> {
        let drawn = [crate::seal::random(), crate::seal::random()].map(Zeroizing::new);
        Self::begin_with(head, key, &drawn, file)
    }

    /// With these 32 bytes for the pair of this file, and those for its key.
    pub(super) fn begin_with(
        head: &RecordingHead,
        key: &RecordingKey,
        [pair, secret]: &[Zeroizing<[u8; 32]>; 2],
        mut file: W,
    ) -> io::Result<Self> {
        let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let private = PrivateKey::from_private_key(&X25519, &**pair)
            .map_err(|_| refused("no key pair can be made"))?;
        let public =
            (private.compute_public_key()).map_err(|_| refused("no key pair can be made"))?;
        let body = postcard::to_stdvec(head).expect("a head is plain data");
        let mut start = Vec::with_capacity(BEFORE_HEAD + body.len() + 32 + WRAPPED);
        start.extend_from_slice(MAGIC);
        start.push(VERSION);
        start.extend_from_slice(&(body.len() as u16).to_be_bytes());
        start.extend_from_slice(&body);
        start.extend_from_slice(public.as_ref());
        let wrapping = wrapping_key(&private, &key.public, [public.as_ref(), &key.public])
            .ok_or_else(|| refused("the recording key is no X25519 public key"))?;
        let mut wrapped = Zeroizing::new(secret.to_vec());
        let tag = wrapping
            .seal_in_place_separate_tag(wrap_nonce(), aad(&start), &mut wrapped)
            .map_err(|_| refused("the file's key cannot be wrapped"))?;
        start.extend_from_slice(&wrapped);
        start.extend_from_slice(tag.as_ref());
        assert!(start.len() <= RECORDING_HEAD_MAX, "heads have a bound");
        file.write_all(&start)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&start);
        Ok(Self {
            file,
            key: file_key(secret),
            head_hash: *blake3::hash(&start).as_bytes(),
            hasher,
            next: 0,
            bytes: start.len() as u64,
            last: false,
        })
    }

    /// Appends a second of both sides, sealed where it lies; a shorter one is the last. Whatever it
    /// writes is readable, whatever happens next.
    ///
    /// # Errors
    /// Whatever the file says; nothing more can be written then.
    pub fn chunk(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        assert!(
            !self.last && bytes.len() <= RECORDING_CHUNK,
            "chunks are full but the last"
        );
        self.last = bytes.len() < RECORDING_CHUNK;
        let at = place(&self.head_hash, CHUNK, self.next);
        let tag = (self.key)
            .seal_in_place_separate_tag(nonce(CHUNK, self.next), aad(&at), bytes)
            .expect("a chunk is far below the cipher's limit");
        bytes.extend_from_slice(tag.as_ref());
        self.next += 1;
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the end; sync what comes back.
    ///
    /// # Errors
    /// Whatever the file says; the recording is readable without its end.
    pub fn finish(mut self, tail: &RecordingTail) -> io::Result<(W, RecordingSum)> {
        let hash = *self.hasher.finalize().as_bytes();
        let mut end = postcard::to_stdvec(tail).expect("a tail is plain data");
        // What the tail says is bound to all that was written before it.
        let at = [&place(&self.head_hash, TAIL, self.next)[..], &hash].concat();
        let tag = (self.key)
            .seal_in_place_separate_tag(nonce(TAIL, self.next), aad(&at), &mut end)
            .expect("a tail is far below the cipher's limit");
        end.extend_from_slice(tag.as_ref());
        let bytes = end.len() as u32;
        end.extend_from_slice(&hash);
        end.extend_from_slice(&bytes.to_be_bytes());
        end.extend_from_slice(END);
        self.file.write_all(&end)?;
        let bytes = self.bytes + end.len() as u64;
        Ok((self.file, RecordingSum { hash, bytes }))
    }
}
