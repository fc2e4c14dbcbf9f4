//! Views on redb: for large ones, and where a flush must mean something. Values are sealed; a key that
//! is a number or a name should be a keyed hash ([`DataKeys::keyed_hash`]).

use crate::{
    key_value::{KeyValue, KeyValueError, OpenedView, ViewBatch, ViewEntry, ViewState, place},
    seal::{DataKeys, SealedKind, Sealer},
};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::{
    fs,
    path::{Path, PathBuf},
};

const DATA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Values are sealed; in format 1 they were not.
const FORMAT: u64 = 2;

/// A view in one redb file.
pub struct RedbView {
    database: Database,
    path: PathBuf,
    keys: DataKeys,
    sealer: Sealer,
}

impl std::fmt::Debug for RedbView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbView")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl RedbView {
    /// Opens or makes the view in the file `path`; a damaged one, one of an earlier release and one
    /// sealed with an older key are removed and made anew, to be built again.
    ///
    /// # Errors
    /// [`KeyValueError`] when no new view can be made there.
    pub fn open(path: &Path, keys: &DataKeys) -> Result<OpenedView<Self>, KeyValueError> {
        let existed = path.exists();
        match Self::try_open(path, keys) {
            Ok(view) => {
                let state = if existed {
                    ViewState::Intact {
                        applied: view.applied()?,
                    }
                } else {
                    ViewState::New
                };
                Ok(OpenedView { view, state })
            }
            Err(error) if existed => {
                tracing::warn!(path = %path.display(), why = %error.what, "view is damaged; rebuilding it");
                fs::remove_file(path).map_err(|e| fail(path, e))?;
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
        let database = Database::create(path).map_err(|e| fail(path, e))?;
        let view = Self {
            database,
            path: path.into(),
            keys: keys.clone(),
            sealer: keys.sealer(SealedKind::View),
        };
        let write = view.database.begin_write().map_err(|e| fail(path, e))?;
        {
            let mut meta = write.open_table(META).map_err(|e| fail(path, e))?;
            write.open_table(DATA).map_err(|e| fail(path, e))?;
            let format = meta
                .get("format")
                .map_err(|e| fail(path, e))?
                .map(|v| v.value());
            let sealed_by = meta
                .get("key")
                .map_err(|e| fail(path, e))?
                .map(|v| v.value());
            let newest = keys.active().number();
            match (format, sealed_by) {
                (None, _) => {
                    meta.insert("format", FORMAT).map_err(|e| fail(path, e))?;
                    meta.insert("key", newest).map_err(|e| fail(path, e))?;
                }
                (Some(FORMAT), Some(key)) if key == newest => {}
                (Some(FORMAT), _) => {
                    return Err(fail(path, "sealed with another key than the newest"));
                }
                (Some(other), _) => {
                    return Err(fail(path, format!("format {other}, not {FORMAT}")));
                }
            }
        }
        write.commit().map_err(|e| fail(path, e))?;
        Ok(view)
    }

    fn unsealed(&self, key: &[u8], value: &[u8]) -> Result<Vec<u8>, redb::Error> {
        let place = place(&self.path, key);
        let opened = self.keys.open_bytes(SealedKind::View, &place, value);
        opened.map_err(|e| redb::Error::Corrupted(e.to_string()))
    }

    fn change(
        &self,
        durability: Durability,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), KeyValueError> {
        let run = || -> Result<(), redb::Error> {
            let mut write = self.database.begin_write()?;
            write.set_durability(durability)?;
            change(&write)?;
            write.commit()?;
            Ok(())
        };
        run().map_err(|e| fail(&self.path, e))
    }
}

fn fail(path: &Path, what: impl std::fmt::Display) -> KeyValueError {
    KeyValueError {
        path: path.into(),
        what: what.to_string(),
    }
}

impl KeyValue for RedbView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        let run = || -> Result<Option<Vec<u8>>, redb::Error> {
            let table = self.database.begin_read()?.open_table(DATA)?;
            let found = table.get(key)?;
            found.map(|v| self.unsealed(key, v.value())).transpose()
        };
        run().map_err(|e| fail(&self.path, e))
    }

    fn write(&self, batch: &ViewBatch, applied: u64) -> Result<(), KeyValueError> {
        // Process death must lose nothing that was written, and redb's `None` keeps commits in
        // memory only: every write is synced. Batch well.
        self.change(Durability::Immediate, |write| {
            let mut data = write.open_table(DATA)?;
            for (key, value) in &batch.changes {
                match value {
                    Some(value) => {
                        let value = self.sealer.seal(&place(&self.path, key), value);
                        data.insert(&key[..], &value[..])?
                    }
                    None => data.remove(&key[..])?,
                };
            }
            write.open_table(META)?.insert("applied", applied)?;
            Ok(())
        })
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
        let run = || -> Result<Vec<ViewEntry>, redb::Error> {
            let table = self.database.begin_read()?.open_table(DATA)?;
            let range = match to {
                Some(to) => table.range::<&[u8]>(from..to)?,
                None => table.range::<&[u8]>(from..)?,
            };
            let mut found = Vec::new();
            for entry in range.take(limit) {
                let (key, value) = entry?;
                let value = self.unsealed(key.value(), value.value())?;
                found.push((key.value().to_vec(), value));
            }
            Ok(found)
        };
        run().map_err(|e| fail(&self.path, e))
    }

    fn applied(&self) -> Result<u64, KeyValueError> {
        let run = || -> Result<u64, redb::Error> {
            let table = self.database.begin_read()?.open_table(META)?;
            Ok(table.get("applied")?.map_or(0, |v| v.value()))
        };
        run().map_err(|e| fail(&self.path, e))
    }

    fn clear(&self) -> Result<(), KeyValueError> {
        self.change(Durability::Immediate, |write| {
            write.delete_table(DATA)?;
            write.open_table(DATA)?;
            write.open_table(META)?.insert("applied", 0)?;
            Ok(())
        })
    }

    fn flush(&self) -> Result<(), KeyValueError> {
        // Every write is already synced.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_value::conformance;

    struct InDir(tempfile::TempDir, DataKeys);
    impl conformance::Opens for InDir {
        type View = RedbView;
        fn open(&self) -> OpenedView<RedbView> {
            RedbView::open(&self.0.path().join("view.redb"), &self.1).unwrap()
        }
    }

    #[test]
    fn conforms() {
        conformance::all(&InDir(tempfile::tempdir().unwrap(), DataKeys::ephemeral()));
    }

    #[test]
    fn damage_is_found_and_the_view_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("view.redb");
        fs::write(&path, vec![0x5a; 8192]).unwrap();
        let opened = RedbView::open(&path, &DataKeys::ephemeral()).unwrap();
        assert!(matches!(opened.state, ViewState::Damaged { .. }));
        assert_eq!(opened.view.applied().unwrap(), 0);
    }

    #[test]
    fn values_are_sealed_and_another_key_means_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("view.redb");
        let number: domain::PhoneNumber = "+8613800138000".parse().unwrap();
        let keys = DataKeys::ephemeral();
        let view = RedbView::open(&path, &keys).unwrap().view;
        view.write(ViewBatch::new().put("a", number.reveal()), 7)
            .unwrap();
        assert_eq!(
            view.get(b"a").unwrap().unwrap(),
            number.reveal().into_bytes()
        );
        drop(view);
        assert_eq!(crate::in_clear(dir.path(), &[number], &[]).unwrap(), []);
        let opened = RedbView::open(&path, &DataKeys::ephemeral()).unwrap();
        assert!(
            matches!(opened.state, ViewState::Damaged { .. }),
            "{:?}",
            opened.state
        );
        assert_eq!(opened.view.get(b"a").unwrap(), None);
    }
}
