//! Records kept for good and found by key or by time: call records at the coordinator.

use domain::WallTime;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Key -> time, value.
const RECORDS: TableDefinition<'_, &[u8], (i64, &[u8])> = TableDefinition::new("records");
/// Time, key -> nothing.
const BY_TIME: TableDefinition<'_, (i64, &[u8]), ()> = TableDefinition::new("by_time");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT: u64 = 1;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Unique; a second record of the same key is ignored.
    pub key: Vec<u8>,
    /// By which it is found and sorted.
    pub at: WallTime,
    /// The record, in its writer's format.
    pub value: Vec<u8>,
}

/// Where a page ended; the next one begins after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCursor {
    /// Time of the page's last record.
    pub at: WallTime,
    /// Its key.
    pub key: Vec<u8>,
}

/// In which order records are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOrder {
    /// By time, then by key.
    OldestFirst,
    /// The same backwards.
    NewestFirst,
}

/// Some records, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPage {
    /// In the order asked for.
    pub records: Vec<Record>,
    /// Pass it on to get the next page; `None` when this was the last one.
    pub next: Option<RecordCursor>,
}

/// The record store failed. It is the only copy: stop and restore rather than go on.
#[derive(Debug, thiserror::Error)]
#[error("record store {path} failed: {what}")]
pub struct RecordError {
    /// The file.
    pub path: PathBuf,
    /// What failed.
    pub what: String,
}

/// Records in one redb file. A returned [`RecordStore::append`] survives a power cut.
pub struct RecordStore {
    database: Database,
    path: PathBuf,
}

impl std::fmt::Debug for RecordStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl RecordStore {
    /// Opens or makes the store in the file `path`.
    ///
    /// # Errors
    /// [`RecordError`]; a damaged store is never made anew by itself.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let run = || -> Result<Database, redb::Error> {
            let database = Database::create(path)?;
            let write = database.begin_write()?;
            write.open_table(RECORDS)?;
            write.open_table(BY_TIME)?;
            {
                let mut meta = write.open_table(META)?;
                let format = meta.get("format")?.map(|v| v.value());
                if format.is_some_and(|f| f != FORMAT) {
                    return Err(redb::Error::Corrupted(format!(
                        "format {} is not {FORMAT}; a newer release wrote it",
                        format.unwrap_or_default()
                    )));
                }
                meta.insert("format", FORMAT)?;
            }
            write.commit()?;
            Ok(database)
        };
        match run() {
            Ok(database) => Ok(Self {
                database,
                path: path.into(),
            }),
            Err(e) => Err(RecordError {
                path: path.into(),
                what: e.to_string(),
            }),
        }
    }

    /// Adds records, all or none, durably. Those whose key is known already are left as they
    /// are. Returns how many were new.
    ///
    /// # Errors
    /// [`RecordError`]; nothing was added.
    pub fn append(&self, records: &[Record]) -> Result<usize, RecordError> {
        self.run(|| {
            let write = self.database.begin_write()?;
            let mut new = 0;
            {
                let mut by_key = write.open_table(RECORDS)?;
                let mut by_time = write.open_table(BY_TIME)?;
                for record in records {
                    if by_key.get(&record.key[..])?.is_some() {
                        continue;
                    }
                    let at = record.at.as_millis();
                    by_key.insert(&record.key[..], (at, &record.value[..]))?;
                    by_time.insert((at, &record.key[..]), ())?;
                    new += 1;
                }
            }
            write.commit()?;
            Ok(new)
        })
    }

    /// The record of that key.
    ///
    /// # Errors
    /// [`RecordError`] when the store cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Record>, RecordError> {
        self.run(|| {
            let table = self.database.begin_read()?.open_table(RECORDS)?;
            let found = table.get(key)?.map(|v| {
                let (at, value) = v.value();
                Record {
                    key: key.to_vec(),
                    at: WallTime::from_millis(at),
                    value: value.to_vec(),
                }
            });
            Ok(found)
        })
    }

    /// Up to `limit` records with `from <= at < to`, going on after `cursor`.
    ///
    /// # Errors
    /// [`RecordError`] when the store cannot be read.
    pub fn scan(
        &self,
        from: WallTime,
        to: WallTime,
        order: RecordOrder,
        cursor: Option<&RecordCursor>,
        limit: usize,
    ) -> Result<RecordPage, RecordError> {
        self.run(|| {
            let read = self.database.begin_read()?;
            let (by_time, by_key) = (read.open_table(BY_TIME)?, read.open_table(RECORDS)?);
            let mut page = RecordPage {
                records: Vec::new(),
                next: None,
            };
            let (mut low, mut high) =
                ((from.as_millis(), Vec::new()), (to.as_millis(), Vec::new()));
            match (order, cursor) {
                (_, None) => {}
                (RecordOrder::OldestFirst, Some(c)) => {
                    // The smallest key after the cursor's.
                    let after = (c.at.as_millis(), [&c.key[..], &[0]].concat());
                    low = low.max(after);
                }
                (RecordOrder::NewestFirst, Some(c)) => {
                    high = high.min((c.at.as_millis(), c.key.clone()));
                }
            }
            if low >= high {
                return Ok(page);
            }
            let mut range =
                by_time.range::<(i64, &[u8])>((low.0, &low.1[..])..(high.0, &high.1[..]))?;
            loop {
                let entry = match order {
                    RecordOrder::OldestFirst => range.next(),
                    RecordOrder::NewestFirst => range.next_back(),
                };
                let Some(entry) = entry else { break };
                if page.records.len() == limit {
                    page.next = page.records.last().map(|r: &Record| RecordCursor {
                        at: r.at,
                        key: r.key.clone(),
                    });
                    break;
                }
                let entry = entry?;
                let (at, key) = entry.0.value();
                let Some(found) = by_key.get(key)? else {
                    return Err(redb::Error::Corrupted("index without its record".into()));
                };
                page.records.push(Record {
                    key: key.to_vec(),
                    at: WallTime::from_millis(at),
                    value: found.value().1.to_vec(),
                });
            }
            Ok(page)
        })
    }

    /// How many records it holds.
    ///
    /// # Errors
    /// [`RecordError`] when the store cannot be read.
    pub fn len(&self) -> Result<u64, RecordError> {
        self.run(|| Ok(self.database.begin_read()?.open_table(RECORDS)?.len()?))
    }

    /// Whether it holds none.
    ///
    /// # Errors
    /// [`RecordError`] when the store cannot be read.
    pub fn is_empty(&self) -> Result<bool, RecordError> {
        self.len().map(|n| n == 0)
    }

    fn run<T>(&self, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, RecordError> {
        work().map_err(|e| RecordError {
            path: self.path.clone(),
            what: e.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, at: i64) -> Record {
        Record {
            key: key.into(),
            at: WallTime::from_millis(at),
            value: format!("value of {key}").into_bytes(),
        }
    }

    #[test]
    fn a_key_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.redb");
        let store = RecordStore::open(&path).unwrap();
        assert_eq!(
            store
                .append(&[record("a", 5), record("b", 3), record("a", 9)])
                .unwrap(),
            2
        );
        assert_eq!(store.append(&[record("a", 7), record("c", 4)]).unwrap(), 1);
        drop(store);
        let store = RecordStore::open(&path).unwrap();
        assert_eq!(store.len().unwrap(), 3);
        assert_eq!(store.get(b"a").unwrap(), Some(record("a", 5)));
        assert_eq!(store.get(b"x").unwrap(), None);
    }

    #[test]
    fn pages_meet_without_gap_or_overlap() {
        let dir = tempfile::tempdir().unwrap();
        let store = RecordStore::open(&dir.path().join("records.redb")).unwrap();
        let all: Vec<Record> = (0..50)
            .map(|i| record(&format!("k{i:02}"), i64::from(i) / 3 - 5))
            .collect();
        assert_eq!(store.append(&all).unwrap(), 50);
        for order in [RecordOrder::OldestFirst, RecordOrder::NewestFirst] {
            let (from, to) = (WallTime::from_millis(-4), WallTime::from_millis(9));
            let mut expected: Vec<Record> = all
                .iter()
                .filter(|r| r.at >= from && r.at < to)
                .cloned()
                .collect();
            if order == RecordOrder::NewestFirst {
                expected.reverse();
            }
            for limit in [1, 4, 13, 100] {
                let (mut seen, mut cursor) = (Vec::new(), None);
                loop {
                    let page = store.scan(from, to, order, cursor.as_ref(), limit).unwrap();
                    assert!(page.records.len() <= limit);
                    seen.extend(page.records);
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, expected, "{order:?} {limit}");
            }
        }
    }
}
