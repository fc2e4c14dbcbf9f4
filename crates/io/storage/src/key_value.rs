//! The face of a view: a small ordered map on disk that can be rebuilt from elsewhere.

use std::path::{Path, PathBuf};

/// A key and its value.
pub type ViewEntry = (Vec<u8>, Vec<u8>);

/// Where a value is sealed to: the view's name and the key.
pub(crate) fn place(path: &Path, key: &[u8]) -> Vec<u8> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    [name, &[0], key].concat()
}

/// One atomic change of a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewBatch {
    pub(crate) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl ViewBatch {
    /// An empty change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`. Of several changes to one key in a batch the last one counts.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.changes.push((key.into(), Some(value.into())));
        self
    }

    /// Removes `key`, which may be absent.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.changes.push((key.into(), None));
        self
    }

    /// How many changes it holds.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A view failed. It is rebuildable: the remedy is always to close it, remove it and build it
/// again from what it is a view of.
#[derive(Debug, thiserror::Error)]
#[error("view {path} failed ({what}); stop, remove it and let it be rebuilt")]
pub struct KeyValueError {
    /// Where it lies.
    pub path: PathBuf,
    /// What failed.
    pub what: String,
}

/// An ordered map from bytes to bytes that can be rebuilt, and the index it is built up to.
///
/// **Durability.** A returned [`KeyValue::write`] survives the death of the process. What survives
/// a power cut is *some* earlier state with the applied index that belongs to it, or damage that
/// `open` finds; after a returned [`KeyValue::flush`] redb promises this state, sled promises nothing more.
pub trait KeyValue: Send + Sync + std::fmt::Debug {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`KeyValueError`] when the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError>;

    /// Applies a batch and moves the applied index to `applied`, both or neither.
    ///
    /// # Errors
    /// [`KeyValueError`] when the store cannot be written.
    fn write(&self, batch: &ViewBatch, applied: u64) -> Result<(), KeyValueError>;

    /// Up to `limit` entries with `from <= key` and, with `to`, `key < to`, in order of keys.
    ///
    /// # Errors
    /// [`KeyValueError`] when the store cannot be read.
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<ViewEntry>, KeyValueError>;

    /// The index this view is built up to; 0 when new.
    ///
    /// # Errors
    /// [`KeyValueError`] when the store cannot be read.
    fn applied(&self) -> Result<u64, KeyValueError>;

    /// Removes everything and sets the applied index to 0, before a rebuild.
    ///
    /// # Errors
    /// [`KeyValueError`] when the store cannot be written.
    fn clear(&self) -> Result<(), KeyValueError>;

    /// Pushes what was written to the disk; see above for what each store promises.
    ///
    /// # Errors
    /// [`KeyValueError`] when the store cannot be written.
    fn flush(&self) -> Result<(), KeyValueError>;
}

/// What `open` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewState {
    /// Nothing was there; an empty view was made. Build it from index 0.
    New,
    /// The view is whole. Bring it on from its applied index.
    Intact {
        /// The index it is built up to.
        applied: u64,
    },
    /// What was there was damaged; it was removed and an empty view was made. Build it from
    /// index 0.
    Damaged {
        /// What was wrong, for the log.
        why: String,
    },
}

/// A view and what was found when it was opened.
#[derive(Debug)]
pub struct OpenedView<V> {
    /// The view, ready to use.
    pub view: V,
    /// What was found.
    pub state: ViewState,
}

#[cfg(test)]
pub(crate) mod conformance {
    //! What every store must do; run by each store's tests.

    use super::*;
    use std::collections::BTreeMap;

    /// Opens the store in one directory, again and again.
    pub(crate) trait Opens {
        type View: KeyValue;
        fn open(&self) -> OpenedView<Self::View>;
    }

    pub(crate) fn all(store: &impl Opens) {
        let OpenedView { view, state } = store.open();
        assert_eq!(state, ViewState::New);
        empty(&view);
        batches(&view);
        scans(&view);
        random_against_a_model(&view);
        view.clear().unwrap();
        empty(&view);
        view.write(ViewBatch::new().put("kept", "1"), 42).unwrap();
        view.flush().unwrap();
        drop(view);
        let OpenedView { view, state } = store.open();
        assert_eq!(state, ViewState::Intact { applied: 42 });
        assert_eq!(view.get(b"kept").unwrap().as_deref(), Some(&b"1"[..]));
    }

    fn empty(view: &impl KeyValue) {
        assert_eq!(view.applied().unwrap(), 0);
        assert_eq!(view.get(b"a").unwrap(), None);
        assert_eq!(view.get(b"").unwrap(), None);
        assert_eq!(view.scan(b"", None, 10).unwrap(), vec![]);
    }

    fn batches(view: &impl KeyValue) {
        view.write(ViewBatch::new().put("a", "1").put("b", "2").delete("c"), 1)
            .unwrap();
        view.write(ViewBatch::new().put("a", "3").put("a", "4").delete("b"), 2)
            .unwrap();
        assert_eq!(view.get(b"a").unwrap().as_deref(), Some(&b"4"[..]));
        assert_eq!(view.get(b"b").unwrap(), None);
        assert_eq!(view.applied().unwrap(), 2);
        view.write(&ViewBatch::new(), 3).unwrap();
        assert_eq!(view.applied().unwrap(), 3);
        view.write(ViewBatch::new().put("", "empty key").put("e", ""), 4)
            .unwrap();
        assert_eq!(view.get(b"").unwrap().as_deref(), Some(&b"empty key"[..]));
        assert_eq!(view.get(b"e").unwrap().as_deref(), Some(&b""[..]));
        view.clear().unwrap();
    }

    fn scans(view: &impl KeyValue) {
        let mut batch = ViewBatch::new();
        for key in [[0u8, 0], [0, 255], [1, 0], [1, 1], [255, 255]] {
            batch.put(key, key);
        }
        view.write(&batch, 1).unwrap();
        let keys = |from: &[u8], to: Option<&[u8]>, limit| -> Vec<Vec<u8>> {
            view.scan(from, to, limit)
                .unwrap()
                .into_iter()
                .map(|(k, _)| k)
                .collect()
        };
        assert_eq!(keys(&[], None, 99).len(), 5);
        assert_eq!(keys(&[0, 255], Some(&[1, 1]), 99), [[0, 255], [1, 0]]);
        assert_eq!(keys(&[1], None, 2), [[1, 0], [1, 1]]);
        assert_eq!(keys(&[], None, 0), Vec::<Vec<u8>>::new());
        assert_eq!(keys(&[9], Some(&[3]), 5), Vec::<Vec<u8>>::new());
        view.clear().unwrap();
    }

    fn random_against_a_model(view: &impl KeyValue) {
        let mut model = BTreeMap::new();
        let mut state = 7u64;
        let mut draw = |end: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % end
        };
        for applied in 1..=60 {
            let mut batch = ViewBatch::new();
            for _ in 0..draw(20) {
                let key = draw(50).to_be_bytes();
                if draw(3) == 0 {
                    batch.delete(key);
                    model.remove(key.as_slice());
                } else {
                    let value = vec![draw(256) as u8; draw(300) as usize];
                    batch.put(key, value.clone());
                    model.insert(key.to_vec(), value);
                }
            }
            view.write(&batch, applied).unwrap();
        }
        assert_eq!(
            view.scan(&[], None, 1000).unwrap(),
            model.into_iter().collect::<Vec<_>>()
        );
    }
}
