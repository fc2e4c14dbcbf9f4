//! What the coordinator keeps of one list: its last numbers as a base file, what it is asked with
//! (sealed), and how its pulls went.

use super::fetch::Marks;
use dialmesh_http::dto::DncListPull;
use domain::{DncBaseId, Secret, WallTime, limits};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use storage::{
    DataKeys, DncBase, DncBaseError, NativeFiles, SealedFile, SealedKind, SealedWriter,
    dnc_base_path, dnc_bases,
};

/// Bytes of a piece of the sealed file.
const PIECE: usize = 64 * 1024;

/// With what a list is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Credentials {
    pub(super) header: Option<Secret>,
    pub(super) ca: Option<String>,
}

/// What is known of a list's numbers, which lie in a file of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Text {
    /// That file's name.
    part: String,
    /// BLAKE3 of what the publisher sent.
    pub(super) content: String,
    pub(super) numbers: u64,
    /// When the publisher gave or confirmed it, in milliseconds since 1970.
    as_of: i64,
    pub(super) marks: Marks,
}

impl Text {
    pub(super) fn new(
        part: DncBaseId,
        content: String,
        numbers: u64,
        as_of: WallTime,
        marks: Marks,
    ) -> Self {
        Self {
            part: part.to_string(),
            content,
            numbers,
            as_of: as_of.as_millis(),
            marks,
        }
    }

    /// Its file's name; none in a file that somebody has written by hand.
    pub(super) fn part(&self) -> Option<DncBaseId> {
        self.part.parse().ok()
    }

    pub(super) const fn as_of(&self) -> WallTime {
        WallTime::from_millis(self.as_of)
    }

    /// The publisher has confirmed it.
    pub(super) fn confirmed(&mut self, as_of: WallTime) {
        self.as_of = self.as_of.max(as_of.as_millis());
    }
}

/// What was pulled and nobody has approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) text: Text,
    pub(super) reason: String,
    pub(super) operation: String,
}

/// How a list stands at its coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) accepted: Option<Text>,
    pub(super) waiting: Option<Waiting>,
    /// Pulls that failed since the last that did not.
    pub(super) failures: u32,
    /// When it was last pulled, in milliseconds since 1970.
    pub(super) tried_at: Option<i64>,
    /// Oldest first.
    pub(super) pulls: VecDeque<DncListPull>,
}

impl State {
    /// Keeps how a pull went.
    pub(super) fn note(&mut self, pull: DncListPull) {
        if self.pulls.len() >= limits::DNC_LIST_PULLS {
            self.pulls.pop_front();
        }
        self.pulls.push_back(pull);
    }

    /// The last pulls, newest first.
    pub(super) fn pulls(&self) -> impl Iterator<Item = &DncListPull> {
        self.pulls.iter().rev()
    }
}

/// One list's folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    name: String,
    dir: PathBuf,
    keys: DataKeys,
}

impl Folder {
    /// Of a list whose name the directory or the API has judged: no path.
    pub(super) fn of(lists: &Path, name: &str, keys: &DataKeys) -> Self {
        Self {
            name: name.to_owned(),
            dir: lists.join(name),
            keys: keys.clone(),
        }
    }

    /// Where its base files lie.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn state_file(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    fn credentials_file(&self) -> PathBuf {
        self.dir.join("credentials.sealed")
    }

    /// Makes it anew, with what the list is asked with.
    pub(super) fn make(&self, credentials: &Credentials) -> io::Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)?;
        }
        (fs::DirBuilder::new().recursive(true).mode(0o700)).create(&self.dir)?;
        let file = (fs::OpenOptions::new().write(true).create_new(true))
            .mode(0o600)
            .open(self.credentials_file())?;
        let place = self.name.as_bytes();
        let mut sealed =
            SealedWriter::begin(&self.keys, SealedKind::ListSource, place, PIECE, file)?;
        let text = serde_json::to_vec(credentials).map_err(io::Error::other)?;
        io::Write::write_all(&mut sealed, &text)?;
        sealed.finish()?.sync_all()?;
        fs::File::open(&self.dir)?.sync_all()
    }

    /// With what the list is asked for.
    pub(super) fn credentials(&self) -> io::Result<Credentials> {
        let place = self.name.as_bytes();
        let path = self.credentials_file();
        let file = SealedFile::open(&self.keys, SealedKind::ListSource, place, &path)?;
        serde_json::from_slice(&file.read_all()?).map_err(io::Error::other)
    }

    /// Seals anew what an older key sealed.
    pub(super) fn seal_anew(&self) -> io::Result<()> {
        let path = self.credentials_file();
        if !path.exists() {
            return Ok(());
        }
        let what = (SealedKind::ListSource, self.name.as_bytes());
        storage::seal_anew(&NativeFiles, &self.keys, what, PIECE, &path)
    }

    /// How it stands; as one that was never pulled where nothing is kept.
    pub(super) fn state(&self) -> io::Result<State> {
        match fs::read(self.state_file()) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error),
        }
    }

    /// Keeps how it stands: whole, or as before. Then base files that nothing names are deleted.
    pub(super) fn keep(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(state).map_err(io::Error::other)?;
        storage::write_atomically(&self.state_file(), &text)?;
        let waiting = state.waiting.as_ref().map(|waiting| &waiting.text);
        let named: Vec<DncBaseId> = (state.accepted.iter().chain(waiting))
            .filter_map(Text::part)
            .collect();
        for id in dnc_bases(&self.dir)? {
            if !named.contains(&id) {
                fs::remove_file(dnc_base_path(&self.dir, id))?;
            }
        }
        Ok(())
    }

    /// The numbers of a text.
    pub(super) fn open(&self, part: DncBaseId) -> Result<DncBase, DncBaseError> {
        DncBase::open(&dnc_base_path(&self.dir, part))
    }

    /// Whether the file of what was accepted is gone.
    pub(super) fn has_lost(&self, state: &State) -> bool {
        let part = state.accepted.as_ref().and_then(Text::part);
        part.is_some_and(|part| !dnc_base_path(&self.dir, part).exists())
    }

    /// Deletes it.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialmesh_http::dto::DncListResult;

    fn pull(rows: u64) -> DncListPull {
        DncListPull {
            at: WallTime::EPOCH.into(),
            took_ms: 1,
            result: DncListResult::Unchanged,
            bytes: 0,
            rows,
            invalid: 0,
            numbers: 0,
            added: 0,
            removed: 0,
            error: None,
            operation: None,
        }
    }

    #[test]
    fn a_folder_keeps_secrets_sealed_and_pulls_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataKeys::ephemeral();
        let folder = Folder::of(dir.path(), "ftc", &keys);
        assert_eq!(folder.state().unwrap(), State::default());
        let credentials = Credentials {
            header: Some(Secret::new("Authorization: Bearer tok3n")),
            ca: Some("PEM".into()),
        };
        folder.make(&credentials).unwrap();
        folder.seal_anew().unwrap();
        let read = folder.credentials().unwrap();
        assert_eq!(
            (read.header.unwrap().expose(), read.ca.as_deref()),
            ("Authorization: Bearer tok3n", Some("PEM"))
        );
        assert_eq!(storage::in_clear(dir.path(), &[], &["tok3n"]).unwrap(), []);
        // Sealed to its list.
        let other = Folder::of(dir.path(), "tps", &keys);
        other.make(&Credentials::default()).unwrap();
        fs::copy(folder.credentials_file(), other.credentials_file()).unwrap();
        assert!(other.credentials().is_err());

        let mut state = State::default();
        for rows in 0..=limits::DNC_LIST_PULLS as u64 {
            state.note(pull(rows));
        }
        folder.keep(&state).unwrap();
        let kept = folder.state().unwrap();
        assert_eq!(kept, state);
        let rows: Vec<u64> = kept.pulls().map(|pull| pull.rows).collect();
        assert_eq!(rows.len(), limits::DNC_LIST_PULLS);
        assert_eq!((rows[0], rows[rows.len() - 1]), (100, 1), "newest first");
        // A file that nothing names is left of a crash.
        let stray = dnc_base_path(folder.dir(), DncBaseId([7; 32]));
        fs::write(&stray, "x").unwrap();
        folder.keep(&state).unwrap();
        assert!(!stray.exists());
        folder.remove().unwrap();
        folder.remove().unwrap();
    }
}
