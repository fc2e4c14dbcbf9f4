//! Sealing: what a member keeps of numbers and profiles is encrypted and authenticated with its
//! own data key (mesh.md, section 6).
//!
//! AES-256-GCM. Each run of each file kind draws a random prefix of 96 bits; HKDF-SHA256 makes a
//! key of its own from the data key, the prefix and the kind, and under that key nonces are counted.
//! So no nonce comes twice under one key, whatever is restored from a backup. The **place** of what
//! is sealed (group and index, name and key) is authenticated with it: bytes that were moved to
//! another place, or changed, do not open.
//!
//! A sealed record, numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | id of the data key |
//! | 12 | prefix |
//! | 8 | count |
//! | n | ciphertext |
//! | 16 | tag |

mod key_file;
mod stream;
#[cfg(test)]
mod tests;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use zeroize::Zeroizing;

pub use key_file::{KeyFileError, SEALED_BY};
pub use stream::{SealedFile, SealedWriter, is_wrong_key, seal_anew, sealed_parts};

/// Version of a sealed record.
const VERSION: u8 = 1;
const PREFIX: usize = 12;
const TAG: usize = 16;
/// Bytes before the ciphertext of a record.
const HEAD: usize = 1 + 4 + PREFIX + 8;
/// How much longer a sealed record is.
pub const SEAL_BYTES: usize = HEAD + TAG;
/// Keys of earlier runs kept at hand; beyond, they are made again.
const AT_HAND: usize = 256;

/// What kind of file something is sealed for; each kind has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealedKind {
    /// Entries of the journal.
    Journal = 1,
    /// Snapshots of a group.
    Snapshot = 2,
    /// Values of a view.
    View = 3,
    /// Records of a record store.
    Records = 4,
    /// Files of rejected rows.
    Rejects = 5,
    /// With what a do-not-call list is asked for.
    ListSource = 6,
    /// Private halves of recording keys.
    RecordingKeys = 7,
}

impl SealedKind {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Journal => b"dialmesh seal 1 journal",
            Self::Snapshot => b"dialmesh seal 1 snapshot",
            Self::View => b"dialmesh seal 1 view",
            Self::Records => b"dialmesh seal 1 records",
            Self::Rejects => b"dialmesh seal 1 rejects",
            Self::ListSource => b"dialmesh seal 1 list source",
            Self::RecordingKeys => b"dialmesh seal 1 recording keys",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Journal => "the journal entry",
            Self::Snapshot => "the snapshot",
            Self::View => "the view's value",
            Self::Records => "the record",
            Self::Rejects => "the file of rejects",
            Self::ListSource => "the file of what a list is asked with",
            Self::RecordingKeys => "the file of recording keys",
        }
    }
}

/// Names a data key: the first bytes of a hash of it, so that a wrong key is told at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyId(u32);

impl DataKeyId {
    /// As a number, for tables of numbers.
    pub(crate) const fn number(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is sealed cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with a key that is not at hand.
    #[error(
        "sealed with the data key {id}, and {file} holds {has}: put back the key file that this data was written with; without it the data cannot be read"
    )]
    WrongKey {
        /// The key it was sealed with.
        id: DataKeyId,
        /// The key file.
        file: String,
        /// Ids of the keys at hand.
        has: String,
    },
    /// It does not open with its key.
    #[error(
        "{what} does not open with its data key {id}: bytes were changed, or moved here from another place; restore it, or remove this member and join it again"
    )]
    Damaged {
        /// What it is.
        what: &'static str,
        /// The key it says it was sealed with.
        id: DataKeyId,
    },
    /// It ends before its end.
    #[error("{what} ends too early: it was cut off")]
    CutOff {
        /// What it is.
        what: &'static str,
    },
    /// It is not sealed, or by a later release.
    #[error("{what} is not sealed as this release seals (version {version}, not {VERSION})")]
    Version {
        /// What it is.
        what: &'static str,
        /// Its version.
        version: u8,
    },
}

impl From<SealError> for std::io::Error {
    fn from(error: SealError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// One data key.
struct DataKey {
    id: DataKeyId,
    secret: Zeroizing<[u8; 32]>,
}

impl DataKey {
    fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("dialmesh data key id, version 1");
        hasher.update(&*secret);
        let hash = hasher.finalize();
        let id = hash.as_bytes().first_chunk().expect("32 bytes");
        Self {
            id: DataKeyId(u32::from_be_bytes(*id)),
            secret,
        }
    }

    fn hash_key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key("dialmesh keyed hash, version 1");
        hasher.update(&*self.secret);
        hasher.update(purpose.as_bytes());
        Zeroizing::new(*hasher.finalize().as_bytes())
    }

    /// The key of one run and kind.
    fn derive(&self, kind: SealedKind, prefix: &[u8; PREFIX]) -> LessSafeKey {
        let info = [kind.info()];
        let random = Salt::new(HKDF_SHA256, prefix).extract(&*self.secret);
        let okm = random.expand(&info, &AES_256_GCM);
        LessSafeKey::new(UnboundKey::from(okm.expect("one key is short enough")))
    }
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // As with the certificates' keys: without randomness nothing may be written.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random bytes never run out");
    bytes
}

fn nonce(first: u8, count: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[0] = first;
    bytes[4..].copy_from_slice(&count.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

type AtHand = HashMap<(DataKeyId, [u8; PREFIX], SealedKind), Arc<LessSafeKey>>;

struct Ring {
    /// Oldest first. The last one seals, all open. Never empty.
    keys: Vec<DataKey>,
    file: PathBuf,
    at_hand: Mutex<AtHand>,
    /// How many prefixes a simulation has drawn; without it they are random.
    counted: Option<AtomicU64>,
}

/// A member's data keys: the newest seals, all open. Clones share them. Never printed.
#[derive(Clone)]
pub struct DataKeys(Arc<Ring>);

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKeys")
            .field("ids", &self.ids())
            .finish_non_exhaustive()
    }
}

impl DataKeys {
    fn of(keys: Vec<DataKey>, file: &Path) -> Self {
        Self(Arc::new(Ring {
            keys,
            file: file.into(),
            at_hand: Mutex::default(),
            counted: None,
        }))
    }

    /// A key that no file holds: what it seals is lost with this value. For tests and benches.
    pub fn ephemeral() -> Self {
        let key = DataKey::new(Zeroizing::new(random()));
        Self::of(vec![key], Path::new("memory"))
    }

    /// A key that anybody can make, whose seals come out the same in each run: **only** for
    /// simulations, in which one seed must be one run, to the byte. It keeps nothing secret.
    pub fn of_simulation(seed: u64) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        secret[..8].copy_from_slice(&seed.to_be_bytes());
        Self(Arc::new(Ring {
            keys: vec![DataKey::new(secret)],
            file: "simulation".into(),
            at_hand: Mutex::default(),
            counted: Some(AtomicU64::new(0)),
        }))
    }

    /// Of a new run, or file.
    fn prefix(&self) -> [u8; PREFIX] {
        let Some(counted) = &self.0.counted else {
            return random();
        };
        let count = counted.fetch_add(1, Ordering::Relaxed);
        // Spread as if it were drawn: bytes that a torn write loses should seldom be zero anyway.
        let hash = blake3::hash(&count.to_be_bytes());
        *hash.as_bytes().first_chunk().expect("32 bytes")
    }

    /// Which keys there are, oldest first; the last one seals.
    pub fn ids(&self) -> Vec<DataKeyId> {
        self.0.keys.iter().map(|key| key.id).collect()
    }

    /// The key that seals.
    pub fn active(&self) -> DataKeyId {
        self.newest().id
    }

    fn newest(&self) -> &DataKey {
        self.0.keys.last().expect("a ring is never empty")
    }

    /// A hash of `text` that nobody without the data key can compute: for keys of views, and where
    /// a number must be recognised and not read. `purpose` keeps uses apart.
    pub fn keyed_hash(&self, purpose: &str, text: &[u8]) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.newest().hash_key(purpose), text);
        *hash.as_bytes().first_chunk().expect("32 bytes")
    }

    /// Keys to hash with for that purpose, oldest first; the last one is that of
    /// [`DataKeys::keyed_hash`].
    pub fn hash_keys(&self, purpose: &str) -> Vec<(DataKeyId, Zeroizing<[u8; 32]>)> {
        let keys = self.0.keys.iter();
        keys.map(|key| (key.id, key.hash_key(purpose))).collect()
    }

    /// One who seals for this run.
    pub(crate) fn sealer(&self, kind: SealedKind) -> Sealer {
        self.sealer_with(kind, self.prefix())
    }

    fn sealer_with(&self, kind: SealedKind, prefix: [u8; PREFIX]) -> Sealer {
        let key = self.newest();
        Sealer {
            id: key.id,
            prefix,
            key: key.derive(kind, &prefix),
            next: AtomicU64::new(0),
        }
    }

    /// The key of some run.
    fn opener(
        &self,
        kind: SealedKind,
        id: DataKeyId,
        prefix: [u8; PREFIX],
    ) -> Result<Arc<LessSafeKey>, SealError> {
        let place = (id, prefix, kind);
        let mut at_hand = self.0.at_hand.lock();
        if let Some(key) = at_hand.get(&place) {
            return Ok(Arc::clone(key));
        }
        let found = self.0.keys.iter().find(|key| key.id == id);
        let key = found.ok_or_else(|| self.wrong(id))?;
        let key = Arc::new(key.derive(kind, &prefix));
        if at_hand.len() >= AT_HAND {
            at_hand.clear();
        }
        at_hand.insert(place, Arc::clone(&key));
        Ok(key)
    }

    fn wrong(&self, id: DataKeyId) -> SealError {
        let has: Vec<String> = self.ids().iter().map(DataKeyId::to_string).collect();
        SealError::WrongKey {
            id,
            file: self.0.file.display().to_string(),
            has: has.join(", "),
        }
    }

    /// Whether a record was sealed with the newest key, as its head says.
    pub(crate) fn is_newest(&self, sealed: &[u8]) -> bool {
        sealed.first() == Some(&VERSION)
            && sealed.get(1..5) == Some(&self.active().0.to_be_bytes()[..])
    }

    /// Opens a record in place; where the plain bytes are.
    ///
    /// # Errors
    /// [`SealError`].
    pub(crate) fn open_record(
        &self,
        kind: SealedKind,
        place: &[u8],
        sealed: &mut [u8],
    ) -> Result<Range<usize>, SealError> {
        let what = kind.name();
        if sealed.len() < SEAL_BYTES {
            return Err(SealError::CutOff { what });
        }
        if sealed[0] != VERSION {
            let version = sealed[0];
            return Err(SealError::Version { what, version });
        }
        let (head, body) = sealed.split_at_mut(HEAD);
        let id = DataKeyId(u32::from_be_bytes(head[1..5].try_into().expect("4")));
        let prefix = head[5..5 + PREFIX].try_into().expect("12");
        let count = u64::from_be_bytes(head[5 + PREFIX..].try_into().expect("8"));
        let key = self.opener(kind, id, prefix)?;
        let plain = key
            .open_in_place(nonce(0, count), Aad::from(place), body)
            .map_err(|_| SealError::Damaged { what, id })?;
        Ok(HEAD..HEAD + plain.len())
    }

    /// Opens a record; its plain bytes.
    ///
    /// # Errors
    /// [`SealError`].
    pub(crate) fn open_bytes(
        &self,
        kind: SealedKind,
        place: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let mut bytes = sealed.to_vec();
        let plain = self.open_record(kind, place, &mut bytes)?;
        bytes.truncate(plain.end);
        bytes.drain(..plain.start);
        Ok(bytes)
    }
}

/// Seals records of one run.
pub(crate) struct Sealer {
    id: DataKeyId,
    prefix: [u8; PREFIX],
    key: LessSafeKey,
    next: AtomicU64,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("key", &self.id)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    /// Appends the sealed form of `plain` to `out`: copied once, encrypted where it then lies.
    pub(crate) fn seal_into(&self, place: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        out.reserve(SEAL_BYTES + plain.len());
        out.push(VERSION);
        out.extend_from_slice(&self.id.0.to_be_bytes());
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(&count.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = self.key.seal_in_place_separate_tag(
            nonce(0, count),
            Aad::from(place),
            &mut out[start..],
        );
        let tag = tag.expect("entries are far below AES-GCM's 64 GiB");
        out.extend_from_slice(tag.as_ref());
    }

    /// The sealed form of `plain`.
    pub(crate) fn seal(&self, place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.seal_into(place, plain, &mut out);
        out
    }
}
