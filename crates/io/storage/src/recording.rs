//! Files of recordings: sealed as they are written, with a key that only the holder of the recording
//! key's private half finds again (docs/protocols/recordings.md).
//!
//! A file, numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 6 | `DMRECO` |
//! | 1 | version, 1 |
//! | 2 | bytes of the head |
//! | n | head (postcard): whose call, which key |
//! | 32 | an X25519 public key drawn for this file |
//! | 48 | the file's key, wrapped |
//! | | chunks, each 16,000 bytes and a tag, the last one shorter |
//! | n + 16 | tail (postcard): length, peaks, what is missing |
//! | 44 | BLAKE3 of all before the tail (32), bytes of the sealed tail (4), `DMRECEND` |
//!
//! Chunks are sealed one by one, to the head and to their place: each is readable alone, and none can be
//! changed, moved, or taken from another file. A crash leaves a file without tail: its whole chunks are
//! readable.

mod keys;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use keys::{RecordingKeyError, RecordingKeys, RecordingPrivateKey};
pub use reader::{OpenRecording, RECORDING_FOOTER, RecordingFooter, SealedRecording};
pub use writer::{RecordingSum, RecordingWriter};

use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    agreement::{self, PrivateKey, UnparsedPublicKey, X25519},
    hkdf::{HKDF_SHA256, Salt},
};
use domain::{AgentId, AttemptId, CampaignId, Codec, MemberId, RecordingKeyId, RegionId, WallTime};
use serde::{Deserialize, Serialize};

/// Plain bytes of a chunk: a second of both sides.
pub const RECORDING_CHUNK: usize = 16_000;
/// Bytes from the file's beginning in which its head lies.
pub const RECORDING_HEAD_MAX: usize = 512;
/// The ending of files' names.
pub const RECORDING_SUFFIX: &str = "dmrec";

const MAGIC: &[u8; 6] = b"DMRECO";
const END: &[u8; 8] = b"DMRECEND";
const VERSION: u8 = 1;
const TAG: usize = 16;
const WRAPPED: usize = 32 + TAG;
/// Bytes before the head.
const BEFORE_HEAD: usize = MAGIC.len() + 1 + 2;

/// Whose call a recording is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingHead {
    /// The attempt.
    pub attempt: AttemptId,
    /// The region of its lead.
    pub region: RegionId,
    /// The node that wrote it.
    pub node: MemberId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The agent, left.
    pub agent: Option<AgentId>,
    /// How both sides are coded.
    pub codec: Codec,
    /// When the two were joined.
    pub began_at: WallTime,
    /// The key that it was wrapped for.
    pub key: RecordingKeyId,
}

/// What is missing of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecordedSide {
    /// Packets that are in it.
    pub packets: u32,
    /// Packets that came too late for their place.
    pub late: u32,
    /// Packets that the node had no time for.
    pub dropped: u32,
}

/// What is known of a recording at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingTail {
    /// Samples a side.
    pub frames: u64,
    /// The agent's side and the person's.
    pub sides: [RecordedSide; 2],
    /// Pauses, from and until in milliseconds.
    pub pauses: Vec<(u32, u32)>,
    /// The loudest sample of each tenth of a second, agent and person, 0 to 255.
    pub peaks: Vec<[u8; 2]>,
    /// When the two parted.
    pub ended_at: WallTime,
}

/// A recording cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// It does not begin as a recording does.
    #[error("this is not a recording, or its beginning is cut off")]
    NotRecording,
    /// A later release wrote it.
    #[error(
        "the recording is of version {0}, and this release reads version {VERSION}; use the release that wrote it or a later one"
    )]
    Version(u8),
    /// It was wrapped for another key.
    #[error(
        "the recording was made with the key {0}, whose private half is not here; put back the recording keys of the coordinator that made it"
    )]
    OtherKey(RecordingKeyId),
    /// Its key does not open: the head was changed.
    #[error("the recording's head was changed: its key does not open")]
    Head,
    /// A chunk does not open.
    #[error("second {0} of the recording was changed, or belongs elsewhere")]
    Chunk(u64),
    /// Its end does not fit.
    #[error("the recording's end was changed, or parts of it are missing")]
    Tail,
}

/// BLAKE3 of all that `from` gives.
///
/// # Errors
/// Whatever it says.
pub fn content_hash(mut from: impl std::io::Read) -> std::io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut from, &mut hasher)?;
    Ok(*hasher.finalize().as_bytes())
}

/// What is authenticated with a chunk or the tail.
fn place(head_hash: &[u8; 32], kind: u8, index: u64) -> [u8; 41] {
    let mut place = [0; 41];
    place[..32].copy_from_slice(head_hash);
    place[32] = kind;
    place[33..].copy_from_slice(&index.to_be_bytes());
    place
}

const CHUNK: u8 = 0;
const TAIL: u8 = 1;

/// The file's key is used for this file alone, and each place in it once.
fn nonce(kind: u8, index: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[0] = kind;
    bytes[4..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn file_key(secret: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, secret);
    LessSafeKey::new(key.expect("32 bytes are a key"))
}

/// The key that wraps a file's: only whoever has one of the two private halves finds it.
fn wrapping_key(private: &PrivateKey, peer: &[u8; 32], publics: [&[u8]; 2]) -> Option<LessSafeKey> {
    let peer = UnparsedPublicKey::new(&X25519, peer);
    agreement::agree(private, peer, (), |shared| {
        let info = [&b"dialmesh recording 1"[..], publics[0], publics[1]];
        let secret = Salt::new(HKDF_SHA256, &[]).extract(shared);
        let okm = secret.expand(&info, &CHACHA20_POLY1305).map_err(|_| ())?;
        Ok(LessSafeKey::new(UnboundKey::from(okm)))
    })
    .ok()
}

fn wrap_nonce() -> Nonce {
    // Each wrapping key wraps one file's key.
    Nonce::assume_unique_for_key([0; 12])
}

fn aad(bytes: &[u8]) -> Aad<&[u8]> {
    Aad::from(bytes)
}
