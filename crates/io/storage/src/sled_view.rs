//! Views on sled: small node-local ones.
//!
//! sled 0.34 flushes with `sync_file_range`, which a power cut does not respect, so each view
//! carries a checksum of its whole content and `open` believes nothing else. Values are sealed; a key
//! that is a number or a name should be a keyed hash ([`DataKeys::keyed_hash`]).

use crate::{
    key_value::{KeyValue, KeyValueError, OpenedView, ViewBatch, ViewEntry, ViewState, place},
    seal::{DataKeys, SealedKind, Sealer},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// The one key outside of the data; data keys carry a byte in front that sorts after it.
const META: &[u8] = &[0];
const DATA: u8 = 1;
/// Values are sealed; in format 1 they were not.
const FORMAT: u16 = 2;

/// What the meta record holds: applied index and the sum of the hashes of all entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Meta {
    format: u16,
    applied: u64,
    checksum: u64,
}

/// A view in one sled directory.
#[derive(Debug)]
pub struct SledView {
    database: sled::Db,
    path: PathBuf,
    meta: Mutex<Meta>,
    keys: DataKeys,
    sealer: Sealer,
}

/// What was found in a view that is whole.
struct Checked {
    meta: Meta,
    /// Its entries, where they are to be sealed anew.
    stale: Option<Vec<ViewEntry>>,
}

impl SledView {
    /// Opens or makes the view in the directory `path`. Its whole content is read and checked
    /// (views are small); a damaged one is removed and made anew. One of an earlier release, or
    /// sealed with an older key, is written anew with the newest.
    ///
    /// # Errors
    /// [`KeyValueError`] when no new view can be made there.
    pub fn open(path: &Path, keys: &DataKeys) -> Result<OpenedView<Self>, KeyValueError> {
        let existed = path.exists();
        match Self::try_open(path, keys) {
            Ok(view) => {
                let applied = view.meta.lock().applied;
                let state = if existed {
                    ViewState::Intact { applied }
                } else {
                    ViewState::New
                };
                Ok(OpenedView { view, state })
            }
            Err(error) if existed => {
                tracing::warn!(path = %path.display(), why = %error.what, "view is damaged; rebuilding it");
                remove(path)?;
                let view = Self::try_open(path, keys)?;
                Ok(OpenedView {
                    view,
                    state: ViewState::Damaged { why: error.what },
                })
            }
            Err(error) => Err(error),
        }
    }

    fn try_open(path: &Path, keys: &DataKeys) -> Result<Self, KeyValueError> {
        // sled panics on some damage instead of answering with an error.
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let database = sled::Config::new()
                .path(path)
                .cache_capacity(32 * 1024 * 1024)
                .flush_every_ms(Some(500))
                .open()
                .map_err(|e| fail(path, e))?;
            let checked = Self::check(path, &database, keys)?;
            Ok((database, checked))
        }));
        let (database, checked) =
            checked.unwrap_or_else(|_| Err(fail(path, "sled panicked while opening it")))?;
        let Some(stale) = checked.stale else {
            return Ok(Self {
                database,
                path: path.into(),
                meta: Mutex::new(checked.meta),
                keys: keys.clone(),
                sealer: keys.sealer(SealedKind::View),
            });
        };
        // sled keeps what is overwritten for a while: the old files go whole.
        drop(database);
        remove(path)?;
        let view = Self::try_open(path, keys)?;
        let mut batch = ViewBatch::new();
        for (key, value) in stale {
            batch.put(key, value);
        }
        view.write(&batch, checked.meta.applied)?;
        view.flush()?;
        Ok(view)
    }

    fn check(path: &Path, database: &sled::Db, keys: &DataKeys) -> Result<Checked, KeyValueError> {
        let found = database.get(META).map_err(|e| fail(path, e))?;
        let meta = match found {
            Some(bytes) => postcard::from_bytes::<Meta>(&bytes)
                .map_err(|e| fail(path, format!("meta record cannot be read: {e}")))?,
            None => Meta {
                format: FORMAT,
                ..Meta::default()
            },
        };
        if !(1..=FORMAT).contains(&meta.format) {
            let why = format!("format {}, not {FORMAT} or before", meta.format);
            return Err(fail(path, why));
        }
        let (mut checksum, mut stale) = (0u64, meta.format < FORMAT);
        let mut entries = Vec::new();
        for entry in database.range([DATA]..) {
            let (key, value) = entry.map_err(|e| fail(path, e))?;
            let key = &key[1..];
            checksum = checksum.wrapping_add(hash(key, &value));
            let value = if meta.format < FORMAT {
                value.to_vec()
            } else {
                stale |= !keys.is_newest(&value);
                let opened = keys.open_bytes(SealedKind::View, &place(path, key), &value);
                opened.map_err(|e| fail(path, e))?
            };
            entries.push((key.to_vec(), value));
        }
        if checksum != meta.checksum {
            return Err(fail(path, "content does not match its checksum"));
        }
        Ok(Checked {
            meta,
            stale: stale.then_some(entries),
        })
    }

    /// The stored form of a key's value.
    fn stored(&self, key: &[u8]) -> Result<Option<sled::IVec>, KeyValueError> {
        let found = self.database.get(data_key(key));
        found.map_err(|e| fail(&self.path, e))
    }

    fn unsealed(&self, key: &[u8], value: &[u8]) -> Result<Vec<u8>, KeyValueError> {
        let place = place(&self.path, key);
        let opened = self.keys.open_bytes(SealedKind::View, &place, value);
        opened.map_err(|e| fail(&self.path, e))
    }

    fn commit(&self, batch: sled::Batch, meta: Meta) -> Result<(), KeyValueError> {
        let mut batch = batch;
        let bytes = postcard::to_stdvec(&meta).expect("a plain struct always serialises");
        batch.insert(META, bytes);
        self.database
            .apply_batch(batch)
            .map_err(|e| fail(&self.path, e))
    }
}

fn hash(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    u64::from_le_bytes(
        hasher.finalize().as_bytes()[..8]
            .try_into()
            .expect("eight bytes"),
    )
}

fn remove(path: &Path) -> Result<(), KeyValueError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(|e| fail(path, e))
}

fn data_key(key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(DATA);
    full.extend_from_slice(key);
    full
}

fn fail(path: &Path, what: impl std::fmt::Display) -> KeyValueError {
    KeyValueError {
        path: path.into(),
        what: what.to_string(),
    }
}

impl KeyValue for SledView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        let found = self.stored(key)?;
        found.map(|v| self.unsealed(key, &v)).transpose()
    }

    fn write(&self, batch: &ViewBatch, applied: u64) -> Result<(), KeyValueError> {
        let mut held = self.meta.lock();
        let mut meta = Meta { applied, ..*held };
        // The last change to a key counts, and each key's old value leaves the sum once.
        let last: BTreeMap<&[u8], Option<&[u8]>> = batch
            .changes
            .iter()
            .map(|(k, v)| (&k[..], v.as_deref()))
            .collect();
        let mut changes = sled::Batch::default();
        for (key, value) in last {
            if let Some(old) = self.stored(key)? {
                meta.checksum = meta.checksum.wrapping_sub(hash(key, &old));
            }
            match value {
                Some(value) => {
                    let value = self.sealer.seal(&place(&self.path, key), value);
                    meta.checksum = meta.checksum.wrapping_add(hash(key, &value));
                    changes.insert(data_key(key), value);
                }
                None => changes.remove(data_key(key)),
            }
        }
        self.commit(changes, meta)?;
        *held = meta;
        Ok(())
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<ViewEntry>, KeyValueError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let from = data_key(from);
        let range = match to {
            Some(to) => self.database.range(from..data_key(to)),
            None => self.database.range(from..),
        };
        range
            .take(limit)
            .map(|entry| {
                let (key, value) = entry.map_err(|e| fail(&self.path, e))?;
                let value = self.unsealed(&key[1..], &value)?;
                Ok((key[1..].to_vec(), value))
            })
            .collect()
    }

    fn applied(&self) -> Result<u64, KeyValueError> {
        Ok(self.meta.lock().applied)
    }

    fn clear(&self) -> Result<(), KeyValueError> {
        let mut held = self.meta.lock();
        self.database.clear().map_err(|e| fail(&self.path, e))?;
        let meta = Meta {
            format: FORMAT,
            ..Meta::default()
        };
        self.commit(sled::Batch::default(), meta)?;
        *held = meta;
        Ok(())
    }

    fn flush(&self) -> Result<(), KeyValueError> {
        self.database
            .flush()
            .map(drop)
            .map_err(|e| fail(&self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_value::conformance;

    struct InDir(tempfile::TempDir, DataKeys);
    impl conformance::Opens for InDir {
        type View = SledView;
        fn open(&self) -> OpenedView<SledView> {
            SledView::open(&self.0.path().join("view"), &self.1).unwrap()
        }
    }

    #[test]
    fn conforms() {
        conformance::all(&InDir(tempfile::tempdir().unwrap(), DataKeys::ephemeral()));
    }

    #[test]
    fn a_lost_write_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("view");
        let keys = DataKeys::ephemeral();
        {
            let view = SledView::open(&path, &keys).unwrap().view;
            view.write(ViewBatch::new().put("a", "1").put("b", "2"), 7)
                .unwrap();
            // As if a page had been lost below the checksum.
            view.database.remove(data_key(b"a")).unwrap();
            view.flush().unwrap();
        }
        let opened = SledView::open(&path, &keys).unwrap();
        assert!(
            matches!(opened.state, ViewState::Damaged { .. }),
            "{:?}",
            opened.state
        );
        assert_eq!(opened.view.applied().unwrap(), 0);
        assert_eq!(opened.view.get(b"b").unwrap(), None);
    }

    #[test]
    fn overwritten_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("view");
        let keys = DataKeys::ephemeral();
        {
            let view = SledView::open(&path, &keys).unwrap().view;
            view.write(ViewBatch::new().put("a", vec![1; 5000]), 7)
                .unwrap();
            view.flush().unwrap();
        }
        let length = fs::metadata(path.join("db")).unwrap().len() as usize;
        fs::write(path.join("db"), vec![0xa5; length]).unwrap();
        let opened = SledView::open(&path, &keys).unwrap();
        assert_ne!(opened.state, ViewState::Intact { applied: 7 });
        assert_eq!(opened.view.get(b"a").unwrap(), None);
    }

    #[test]
    fn an_earlier_releases_view_is_read_and_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("view");
        crate::copy_folder("tests/data/plain/view", &path);
        let number = "+8613800138000".parse().unwrap();
        assert!(
            !crate::in_clear(dir.path(), &[number], &[])
                .unwrap()
                .is_empty()
        );
        let keys = DataKeys::fixed(&[[1; 32]]);
        let opened = SledView::open(&path, &keys).unwrap();
        assert_eq!(opened.state, ViewState::Intact { applied: 7 });
        let value = opened.view.get(b"k").unwrap();
        assert_eq!(value.as_deref(), Some(&b"value +8613800138000"[..]));
        drop(opened);
        assert_eq!(crate::in_clear(dir.path(), &[number], &[]).unwrap(), []);
        // A newer key: read once more, and the old one is needed no longer.
        let both = DataKeys::fixed(&[[1; 32], [2; 32]]);
        drop(SledView::open(&path, &both).unwrap());
        let newest = DataKeys::fixed(&[[2; 32]]);
        let opened = SledView::open(&path, &newest).unwrap();
        assert_eq!(opened.state, ViewState::Intact { applied: 7 });
        // A value at another's key is damage.
        let view = opened.view;
        view.write(ViewBatch::new().put("a", "1").put("b", "2"), 8)
            .unwrap();
        let (a, b) = (view.stored(b"a").unwrap(), view.stored(b"b").unwrap());
        view.database.insert(data_key(b"a"), b.unwrap()).unwrap();
        view.database.insert(data_key(b"b"), a.unwrap()).unwrap();
        let error = view.get(b"a").unwrap_err().to_string();
        assert!(error.contains("moved here"), "{error}");
        drop(view);
        let opened = SledView::open(&path, &newest).unwrap();
        assert!(
            matches!(opened.state, ViewState::Damaged { .. }),
            "{:?}",
            opened.state
        );
    }
}
