//! The key file: a member's data keys, one a line, oldest first.
//!
//! ```text
//! # dialmesh data keys: …
//! version 1
//! key 1f2e3d4c 64 hexadecimal digits
//! ```

use super::{DataKey, DataKeyId, DataKeys, random};
use crate::data_dir::{replace_atomically, write_atomically, write_new};
use std::{
    env,
    fmt::Write as _,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// In the data directory: by which keys something there is sealed, the newest last.
pub const SEALED_BY: &str = "sealed";
/// Keys of one file: one a year for a lifetime.
const KEYS: usize = 64;
const HEADING: &str = "# dialmesh data keys: who has them can read this member's data. Keep a copy apart from the data.\n\
                       # The last one seals; the others open what was sealed before.\n\
                       version 1\n";

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It is not there, and its data is.
    #[error(
        "the data key file {} is missing, and {} is sealed with its key {id}: restore it from the backup; without it the data cannot be read",
        file.display(), data_dir.display()
    )]
    Missing {
        /// The key file.
        file: PathBuf,
        /// The data.
        data_dir: PathBuf,
        /// The key that is wanted.
        id: String,
    },
    /// It holds other keys than the data was sealed with.
    #[error(
        "{} holds the data keys {has}, and {} is sealed with {id}: put back the key file of this member; without it the data cannot be read",
        file.display(), data_dir.display()
    )]
    Wrong {
        /// The key file.
        file: PathBuf,
        /// The data.
        data_dir: PathBuf,
        /// The key that is wanted.
        id: String,
        /// The keys that are there.
        has: String,
    },
    /// Others may read or change it.
    #[error("the data key file {} has mode {mode:04o}: others may use it; chmod 600 {}", file.display(), file.display())]
    TooOpen {
        /// The key file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A line is not what it should be.
    #[error("the data key file {}, line {line}: {why}; restore it from the backup", file.display())]
    Damaged {
        /// The key file.
        file: PathBuf,
        /// Counted from 1; 0 for the whole.
        line: usize,
        /// What is wrong; never a key.
        why: &'static str,
    },
    /// There is one already.
    #[error("the data key file {} exists; a new key is added by `dialmesh key rotate`", file.display())]
    Exists {
        /// The key file.
        file: PathBuf,
    },
    /// No more keys fit.
    #[error("the data key file {} holds {KEYS} keys, the most it may; remove keys that no data and no backup is sealed with", file.display())]
    Full {
        /// The key file.
        file: PathBuf,
    },
    /// This process's user may not read or write it.
    #[error("{} may not be read or written by the user of this process; chown the file and its folder to that user", file.display())]
    NotOurs {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file system refused.
    #[error("{} cannot be read or written; its folder must exist and belong to this process's user", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DataKeys {
    /// The keys in `file`. At the first start, with nothing sealed in `data_dir`, a key is drawn and
    /// the file made (mode 0600). Notes in `data_dir` by which key it is sealed from now on. Hold
    /// the directory's lock.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn open(file: &Path, data_dir: &Path) -> Result<Self, KeyFileError> {
        let mut sealed_by = sealed_by(data_dir)?;
        let keys = match (Self::load(file), sealed_by.last()) {
            (Ok(keys), _) => keys,
            (Err(KeyFileError::Io { source, .. }), None)
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Self::create(file)?
            }
            (Err(KeyFileError::Io { source, .. }), Some(id))
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Err(KeyFileError::Missing {
                    file: file.into(),
                    data_dir: data_dir.into(),
                    id: id.to_string(),
                });
            }
            (Err(error), _) => return Err(error),
        };
        if let Some(id) = sealed_by.last().filter(|id| !keys.ids().contains(id)) {
            return Err(KeyFileError::Wrong {
                file: file.into(),
                data_dir: data_dir.into(),
                id: id.to_string(),
                has: words(&keys.ids()),
            });
        }
        if sealed_by.last() != Some(&keys.active()) {
            sealed_by.retain(|id| *id != keys.active());
            sealed_by.push(keys.active());
            let path = data_dir.join(SEALED_BY);
            let text = format!("sealed 1 {}\n", words(&sealed_by).replace(", ", " "));
            write_atomically(&path, text.as_bytes()).map_err(|e| io_error(&path, e))?;
        }
        Ok(keys)
    }

    /// The keys in `file`, which must be there.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(file: &Path) -> Result<Self, KeyFileError> {
        let mode = fs::metadata(file).map_err(|e| io_error(file, e))?;
        let mode = mode.permissions().mode() & 0o7777;
        // systemd gives a credential to the unit's user by an access list, which shows as a group's
        // right to read.
        let given = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let forbidden = match given.is_some_and(|folder| file.starts_with(folder)) {
            true => 0o037,
            false => 0o077,
        };
        if mode & forbidden != 0 {
            return Err(KeyFileError::TooOpen {
                file: file.into(),
                mode,
            });
        }
        let text = fs::read_to_string(file).map_err(|e| io_error(file, e))?;
        let keys = parse(&Zeroizing::new(text)).map_err(|(line, why)| KeyFileError::Damaged {
            file: file.into(),
            line,
            why,
        })?;
        Ok(Self::of(keys, file))
    }

    /// Draws a key and makes the file, which must not be there.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`], [`KeyFileError::Io`].
    pub fn create(file: &Path) -> Result<Self, KeyFileError> {
        let keys = Self::of(vec![DataKey::new(Zeroizing::new(random()))], file);
        write_new(file, keys.text().as_bytes()).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { file: file.into() },
            _ => io_error(file, e),
        })?;
        tracing::info!(file = %file.display(), key = %keys.active(), "a data key was made; keep a copy apart from the data");
        Ok(keys)
    }

    /// Adds a new key to `file`: it seals from the next start on, the others go on opening.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn rotate(file: &Path) -> Result<Self, KeyFileError> {
        let keys = Self::load(file)?;
        if keys.0.keys.len() >= KEYS {
            return Err(KeyFileError::Full { file: file.into() });
        }
        let old = keys.0.keys.iter();
        let mut all: Vec<_> = old.map(|key| DataKey::new(key.secret.clone())).collect();
        all.push(DataKey::new(Zeroizing::new(random())));
        let keys = Self::of(all, file);
        // Whoever adds a key, often root, the member goes on reading its file.
        replace_atomically(file, keys.text().as_bytes()).map_err(|e| io_error(file, e))?;
        Ok(keys)
    }

    fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(HEADING.len() + KEYS * 96));
        text.push_str(HEADING);
        for key in &self.0.keys {
            write!(text, "key {} ", key.id).expect("a text takes text");
            for byte in key.secret.iter() {
                write!(text, "{byte:02x}").expect("a text takes text");
            }
            text.push('\n');
        }
        text
    }

    /// A ring of fixed keys, for golden bytes.
    #[cfg(test)]
    pub(crate) fn fixed(keys: &[[u8; 32]]) -> Self {
        let keys = keys.iter().map(|key| DataKey::new(Zeroizing::new(*key)));
        Self::of(keys.collect(), Path::new("test.key"))
    }
}

fn io_error(file: &Path, source: io::Error) -> KeyFileError {
    let file = file.into();
    match source.kind() {
        io::ErrorKind::PermissionDenied => KeyFileError::NotOurs { file, source },
        _ => KeyFileError::Io { file, source },
    }
}

fn words(ids: &[DataKeyId]) -> String {
    let words: Vec<String> = ids.iter().map(DataKeyId::to_string).collect();
    words.join(", ")
}

fn key_id(text: &str) -> Option<DataKeyId> {
    let good = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| u32::from_str_radix(text, 16).ok().map(DataKeyId))?
}

/// The keys that something in `data_dir` is or was sealed with.
fn sealed_by(data_dir: &Path) -> Result<Vec<DataKeyId>, KeyFileError> {
    let path = data_dir.join(SEALED_BY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(&path, error)),
    };
    let ids = text.strip_prefix("sealed 1 ").and_then(|ids| {
        let ids: Option<Vec<_>> = ids.split_whitespace().map(key_id).collect();
        ids.filter(|ids| !ids.is_empty())
    });
    ids.ok_or(KeyFileError::Damaged {
        file: path,
        line: 1,
        why: "it names no keys",
    })
}

type Flaw = (usize, &'static str);

fn parse(text: &str) -> Result<Vec<DataKey>, Flaw> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    match lines.next() {
        Some((_, "version 1")) => {}
        Some((at, _)) => return Err((at, "it is not `version 1`; a newer release made the file")),
        None => return Err((0, "it is empty")),
    }
    let mut keys: Vec<DataKey> = Vec::new();
    for (at, line) in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["key", id, secret] = words[..] else {
            return Err((at, "it is not `key`, an id and 64 hexadecimal digits"));
        };
        let id = key_id(id).ok_or((at, "its id is not 8 hexadecimal digits"))?;
        let secret = unhex(secret).ok_or((at, "its key is not 64 hexadecimal digits"))?;
        let key = DataKey::new(secret);
        if key.id != id {
            return Err((at, "its key is not the one of its id"));
        }
        if keys.iter().any(|other| other.id == id) {
            return Err((at, "its key is there twice"));
        }
        if keys.len() == KEYS {
            return Err((at, "more keys than 64"));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err((0, "it holds no key"));
    }
    Ok(keys)
}

fn unhex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    let mut secret = Zeroizing::new([0; 32]);
    for (byte, pair) in secret.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(secret)
}
