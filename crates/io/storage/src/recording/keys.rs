//! Recording keys as a coordinator keeps them: private halves, sealed with its data key.

use super::wrapping_key;
use crate::{
    data_dir::{write_atomically, write_new},
    seal::{DataKeys, SealError, SealedKind, random},
};
use aws_lc_rs::{
    aead::LessSafeKey,
    agreement::{PrivateKey, X25519},
};
use domain::{RecordingKey, RecordingKeyId, WallTime, limits};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// In the coordinator's data folder.
const FILE: &str = "recording.keys";
const PLACE: &[u8] = b"recording.keys";
const VERSION: u8 = 1;
const EXPORT_HEADING: &str = "# dialmesh recording keys: who has them can hear every recording made with them. Keep them apart from the recordings.\n\
                              version 1\n";

/// Recording keys cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum RecordingKeyError {
    /// The file system refused.
    #[error("{} cannot be read or written", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is sealed with another data key, or was changed.
    #[error("{} cannot be opened", file.display())]
    Sealed {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: SealError,
    },
    /// It is not what it should be.
    #[error("{}, line {line}: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Counted from 1; 0 for the whole.
        line: usize,
        /// What is wrong; never a key.
        why: &'static str,
    },
    /// No more fit.
    #[error(
        "this coordinator holds {} recording keys, the most it may",
        limits::RECORDING_KEYS
    )]
    Full,
}

/// The private half of a recording key: opens what was made with the public one. Never printed.
#[derive(Clone)]
pub struct RecordingPrivateKey {
    public: RecordingKey,
    secret: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for RecordingPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingPrivateKey")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl RecordingPrivateKey {
    /// Draws one.
    pub fn draw(now: WallTime) -> Self {
        Self::of(Zeroizing::new(random()), now).expect("any 32 bytes are a private key of X25519")
    }

    pub(super) fn of(secret: Zeroizing<[u8; 32]>, created_at: WallTime) -> Option<Self> {
        let private = PrivateKey::from_private_key(&X25519, &*secret).ok()?;
        let public: [u8; 32] = private
            .compute_public_key()
            .ok()?
            .as_ref()
            .try_into()
            .ok()?;
        let mut hasher = blake3::Hasher::new_derive_key("dialmesh recording key id, version 1");
        hasher.update(&public);
        let hash = hasher.finalize();
        let id = hash.as_bytes().first_chunk().expect("32 bytes");
        let id = RecordingKeyId(u64::from_be_bytes(*id));
        Some(Self {
            public: RecordingKey {
                id,
                public,
                created_at,
            },
            secret,
        })
    }

    /// Its name.
    pub fn id(&self) -> RecordingKeyId {
        self.public.id
    }

    /// Its public half.
    pub fn public(&self) -> RecordingKey {
        self.public
    }

    /// The key that wraps the key of the file of that public key.
    pub(super) fn wrapping_key(&self, file: &[u8; 32]) -> Option<LessSafeKey> {
        let private = PrivateKey::from_private_key(&X25519, &*self.secret).ok()?;
        wrapping_key(&private, file, [file, &self.public.public])
    }
}

/// All private halves at hand, oldest first. Never printed.
#[derive(Clone, Debug, Default)]
pub struct RecordingKeys(Vec<RecordingPrivateKey>);

impl RecordingKeys {
    /// Those in a coordinator's data folder; none where none were made. What an older data key sealed
    /// is sealed anew.
    ///
    /// # Errors
    /// [`RecordingKeyError`].
    pub fn open(data_dir: &Path, keys: &DataKeys) -> Result<Self, RecordingKeyError> {
        let file = data_dir.join(FILE);
        let sealed = match fs::read(&file) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(RecordingKeyError::Io { file, source }),
        };
        let plain = keys
            .open_bytes(SealedKind::RecordingKeys, PLACE, &sealed)
            .map_err(|source| RecordingKeyError::Sealed {
                file: file.clone(),
                source,
            })?;
        let plain = Zeroizing::new(plain);
        let damaged = RecordingKeyError::Damaged {
            file,
            line: 0,
            why: "it does not hold recording keys of this release's form",
        };
        let Some((&VERSION, body)) = plain.split_first() else {
            return Err(damaged);
        };
        let Ok(rows) = postcard::from_bytes::<Vec<([u8; 32], WallTime)>>(body) else {
            return Err(damaged);
        };
        let rows = rows.into_iter();
        let all = rows.map(|(secret, at)| RecordingPrivateKey::of(Zeroizing::new(secret), at));
        let ring = Self(all.collect::<Option<_>>().ok_or(damaged)?);
        if !keys.is_newest(&sealed) {
            ring.keep(data_dir, keys)?;
        }
        Ok(ring)
    }

    /// Keeps them in a coordinator's data folder, sealed.
    ///
    /// # Errors
    /// [`RecordingKeyError::Io`].
    fn keep(&self, data_dir: &Path, keys: &DataKeys) -> Result<(), RecordingKeyError> {
        let rows: Vec<([u8; 32], WallTime)> = (self.0.iter())
            .map(|key| (*key.secret, key.public.created_at))
            .collect();
        let plain = postcard::to_extend(&rows, vec![VERSION]).expect("keys are plain data");
        let plain = Zeroizing::new(plain);
        let sealed = (keys.sealer(SealedKind::RecordingKeys)).seal(PLACE, &plain);
        let file = data_dir.join(FILE);
        write_atomically(&file, &sealed).map_err(|source| RecordingKeyError::Io { file, source })
    }

    /// Adds one, durably.
    ///
    /// # Errors
    /// [`RecordingKeyError::Full`], [`RecordingKeyError::Io`]; nothing is added then.
    pub fn add(
        &mut self,
        key: RecordingPrivateKey,
        data_dir: &Path,
        keys: &DataKeys,
    ) -> Result<(), RecordingKeyError> {
        if self.0.len() >= limits::RECORDING_KEYS {
            return Err(RecordingKeyError::Full);
        }
        let mut with = self.clone();
        with.0.push(key);
        with.keep(data_dir, keys)?;
        *self = with;
        Ok(())
    }

    /// The private half of a key.
    pub fn get(&self, id: RecordingKeyId) -> Option<&RecordingPrivateKey> {
        self.0.iter().find(|key| key.id() == id)
    }

    /// Their public halves, oldest first.
    pub fn publics(&self) -> impl Iterator<Item = RecordingKey> + '_ {
        self.0.iter().map(RecordingPrivateKey::public)
    }

    /// Writes them in clear to a new file of mode 0600: for a copy apart from the data.
    ///
    /// # Errors
    /// [`RecordingKeyError::Io`], also where there is a file of that name.
    pub fn export(&self, file: &Path) -> Result<(), RecordingKeyError> {
        use std::fmt::Write as _;
        let mut text = Zeroizing::new(EXPORT_HEADING.to_owned());
        for key in &self.0 {
            let id = key.id();
            write!(text, "key {id} {} ", key.public.created_at.as_millis())
                .expect("strings take everything");
            for byte in *key.secret {
                write!(text, "{byte:02x}").expect("strings take everything");
            }
            text.push('\n');
        }
        write_new(file, text.as_bytes()).map_err(|source| RecordingKeyError::Io {
            file: file.into(),
            source,
        })
    }

    /// Reads what [`RecordingKeys::export`] wrote.
    ///
    /// # Errors
    /// [`RecordingKeyError::Io`], [`RecordingKeyError::Damaged`].
    pub fn import(file: &Path) -> Result<Self, RecordingKeyError> {
        let text = fs::read_to_string(file).map_err(|source| RecordingKeyError::Io {
            file: file.into(),
            source,
        })?;
        let text = Zeroizing::new(text);
        let mut keys = Vec::new();
        let mut versioned = false;
        for (n, line) in text.lines().enumerate() {
            let damaged = |why| RecordingKeyError::Damaged {
                file: file.into(),
                line: n + 1,
                why,
            };
            match line.trim() {
                "" => {}
                comment if comment.starts_with('#') => {}
                "version 1" => versioned = true,
                row if versioned && keys.len() < limits::RECORDING_KEYS => {
                    let key = read_row(row).ok_or_else(|| damaged("is not a recording key"))?;
                    keys.push(key);
                }
                _ if versioned => return Err(damaged("is one key too many")),
                _ => return Err(damaged("comes before `version 1`")),
            }
        }
        Ok(Self(keys))
    }
}

/// `key ID MILLISECONDS HEX`.
fn read_row(row: &str) -> Option<RecordingPrivateKey> {
    let mut words = row.strip_prefix("key ")?.split(' ');
    let id: RecordingKeyId = words.next()?.parse().ok()?;
    let created_at = WallTime::from_millis(words.next()?.parse().ok()?);
    let hex = words
        .next()
        .filter(|hex| hex.len() == 64 && hex.is_ascii())?;
    let mut secret = Zeroizing::new([0; 32]);
    for (byte, digits) in secret.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    RecordingPrivateKey::of(secret, created_at).filter(|key| key.id() == id)
}
