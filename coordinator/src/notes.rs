//! What this coordinator alone remembers, in one small file: which key a join token was used with,
//! the names that tokens were made for, when tokens were made. Everything else is the directory's.

use domain::WallTime;
use ledger::{TokenHash, TokenId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

const FILE: &str = "notes.json";

/// The file of notes cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read or written; restore it from a backup, or delete it (join tokens made before must then be made anew)", path.display())]
pub(crate) struct NotesError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// About one join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JoinNote {
    /// The name its member must have.
    pub(crate) name: String,
    /// Notes are dropped after the token's end.
    pub(crate) expires_at: WallTime,
}

/// Which key used a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// BLAKE3 of the public key, in hexadecimal.
    key: String,
    expires_at: WallTime,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Book {
    #[serde(default)]
    join_tokens: BTreeMap<u64, JoinNote>,
    /// By the token's hash, in hexadecimal.
    #[serde(default)]
    claims: BTreeMap<String, Claim>,
    /// When API tokens were made.
    #[serde(default)]
    made: BTreeMap<u64, WallTime>,
}

/// The notes, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Notes {
    path: PathBuf,
    book: Mutex<Book>,
}

pub(crate) fn hex(hash: &[u8]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

impl Notes {
    pub(crate) fn open(dir: &Path) -> Result<Self, NotesError> {
        let path = dir.join(FILE);
        let book = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Book::default()),
            Err(error) => Err(error),
        };
        match book {
            Ok(book) => Ok(Self {
                path,
                book: Mutex::new(book),
            }),
            Err(source) => Err(NotesError { path, source }),
        }
    }

    /// Makes a change and keeps it; on an error nothing has changed.
    fn change(&self, now: WallTime, change: impl FnOnce(&mut Book)) -> Result<(), NotesError> {
        let mut held = self.book.lock();
        let mut book = held.clone();
        book.join_tokens.retain(|_, note| note.expires_at > now);
        book.claims.retain(|_, claim| claim.expires_at > now);
        change(&mut book);
        let text = serde_json::to_vec_pretty(&book).expect("notes are plain data");
        storage::write_atomically(&self.path, &text).map_err(|source| NotesError {
            path: self.path.clone(),
            source,
        })?;
        *held = book;
        Ok(())
    }

    pub(crate) fn join_token(&self, id: TokenId) -> Option<JoinNote> {
        self.book.lock().join_tokens.get(&id.0).cloned()
    }

    pub(crate) fn note_join_token(
        &self,
        now: WallTime,
        id: TokenId,
        note: JoinNote,
    ) -> Result<(), NotesError> {
        self.change(now, |book| _ = book.join_tokens.insert(id.0, note))
    }

    /// The key (BLAKE3, hexadecimal) that a token was used with.
    pub(crate) fn claimed_by(&self, token: &TokenHash) -> Option<String> {
        self.book
            .lock()
            .claims
            .get(&hex(token))
            .map(|claim| claim.key.clone())
    }

    pub(crate) fn claim(
        &self,
        now: WallTime,
        token: &TokenHash,
        key: String,
        expires_at: WallTime,
    ) -> Result<(), NotesError> {
        self.change(now, |book| {
            _ = book.claims.insert(hex(token), Claim { key, expires_at })
        })
    }

    pub(crate) fn unclaim(&self, now: WallTime, token: &TokenHash) -> Result<(), NotesError> {
        self.change(now, |book| _ = book.claims.remove(&hex(token)))
    }

    /// When an API token was made, where this coordinator made it.
    pub(crate) fn made_at(&self, id: TokenId) -> Option<WallTime> {
        self.book.lock().made.get(&id.0).copied()
    }

    pub(crate) fn note_made(&self, now: WallTime, id: TokenId) -> Result<(), NotesError> {
        self.change(now, |book| _ = book.made.insert(id.0, now))
    }

    pub(crate) fn forget_made(&self, now: WallTime, id: TokenId) -> Result<(), NotesError> {
        self.change(now, |book| _ = book.made.remove(&id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_survive_and_end_with_their_token() {
        let dir = tempfile::tempdir().unwrap();
        let at = WallTime::from_millis;
        let notes = Notes::open(dir.path()).unwrap();
        notes.claim(at(0), &[7; 32], "key".into(), at(10)).unwrap();
        notes.note_made(at(5), TokenId(3)).unwrap();
        let notes = Notes::open(dir.path()).unwrap();
        assert_eq!(notes.claimed_by(&[7; 32]).as_deref(), Some("key"));
        assert_eq!(notes.made_at(TokenId(3)), Some(at(5)));
        notes.forget_made(at(11), TokenId(3)).unwrap();
        assert_eq!(notes.claimed_by(&[7; 32]), None, "its token has ended");
        assert_eq!(notes.made_at(TokenId(3)), None);
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(
            Notes::open(dir.path())
                .unwrap_err()
                .to_string()
                .contains("notes.json")
        );
    }
}
