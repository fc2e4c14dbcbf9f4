//! Records kept for good and found by key or by time: call records at the coordinator. Their values
//! are sealed, each to its key and time.

use crate::{
    data_dir::sync_folder_of,
    seal::{DataKeys, SealedKind, Sealer},
};
use domain::WallTime;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Key -> time, value.
const RECORDS: TableDefinition<'_, &[u8], (i64, &[u8])> = TableDefinition::new("records");
/// Time, key -> nothing.
const BY_TIME: TableDefinition<'_, (i64, &[u8]), ()> = TableDefinition::new("by_time");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Values are sealed; in format 1 they were not.
const FORMAT: u64 = 2;
/// Records copied in one transaction when all are sealed anew.
const PIECE: usize = 5_000;

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
    keys: DataKeys,
    sealer: Sealer,
}

/// Where a record is sealed to.
fn place(key: &[u8], at: i64) -> Vec<u8> {
    [key, &at.to_be_bytes()[..]].concat()
}

/// What a file says of itself: its format and by which key it is sealed; nothing when new.
type Said = (Option<u64>, Option<u64>);

impl std::fmt::Debug for RecordStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl RecordStore {
    /// Opens or makes the store in the file `path`. One of an earlier release, or sealed with an
    /// older key, is copied into a new file first, every record sealed with the newest key, so that
    /// nothing readable stays; that takes as much room again meanwhile.
    ///
    /// # Errors
    /// [`RecordError`]; a damaged store is never made anew by itself.
    pub fn open(path: &Path, keys: &DataKeys) -> Result<Self, RecordError> {
        let failed = |what: String| RecordError {
            path: path.into(),
            what,
        };
        let new = path.with_extension("new");
        let run = || -> Result<Self, redb::Error> {
            if new.exists() {
                fs::remove_file(&new)?;
            }
            let (store, (format, key)) = Self::open_file(path, keys)?;
            let newest = Some(keys.active().number());
            match format {
                None => {}
                Some(FORMAT) if key == newest => {}
                Some(1 | FORMAT) => {
                    tracing::info!(path = %path.display(), key = %keys.active(), "all records are sealed with the newest data key");
                    let (sealed, _) = Self::open_file(&new, keys)?;
                    store.copy_to(&sealed, format == Some(1))?;
                    drop((store, sealed));
                    fs::rename(&new, path)?;
                    sync_folder_of(path)?;
                    return Self::open_file(path, keys).map(|(store, _)| store);
                }
                Some(other) => {
                    return Err(redb::Error::Corrupted(format!(
                        "format {other} is not {FORMAT}; a newer release wrote it"
                    )));
                }
            }
            Ok(store)
        };
        run().map_err(|e| failed(e.to_string()))
    }

    /// Opens a file and says what it said of itself; a new one is made of this release.
    fn open_file(path: &Path, keys: &DataKeys) -> Result<(Self, Said), redb::Error> {
        let database = Database::create(path)?;
        let write = database.begin_write()?;
        write.open_table(RECORDS)?;
        write.open_table(BY_TIME)?;
        let said = {
            let mut meta = write.open_table(META)?;
            let format = meta.get("format")?.map(|v| v.value());
            let key = meta.get("key")?.map(|v| v.value());
            if format.is_none() {
                meta.insert("format", FORMAT)?;
                meta.insert("key", keys.active().number())?;
            }
            (format, key)
        };
        write.commit()?;
        let store = Self {
            database,
            path: path.into(),
            keys: keys.clone(),
            sealer: keys.sealer(SealedKind::Records),
        };
        Ok((store, said))
    }

    fn copy_to(&self, to: &Self, plain: bool) -> Result<(), redb::Error> {
        let table = self.database.begin_read()?.open_table(RECORDS)?;
        let mut rows = table.iter()?;
        loop {
            let write = to.database.begin_write()?;
            let mut copied = 0;
            {
                let mut by_key = write.open_table(RECORDS)?;
                let mut by_time = write.open_table(BY_TIME)?;
                for row in rows.by_ref().take(PIECE) {
                    let (key, value) = row?;
                    let (key, (at, value)) = (key.value(), value.value());
                    let value = match plain {
                        true => value.to_vec(),
                        false => self.unsealed(key, at, value)?,
                    };
                    let value = to.sealer.seal(&place(key, at), &value);
                    by_key.insert(key, (at, &value[..]))?;
                    by_time.insert((at, key), ())?;
                    copied += 1;
                }
            }
            write.commit()?;
            if copied == 0 {
                return Ok(());
            }
        }
    }

    fn unsealed(&self, key: &[u8], at: i64, value: &[u8]) -> Result<Vec<u8>, redb::Error> {
        let opened = (self.keys).open_bytes(SealedKind::Records, &place(key, at), value);
        opened.map_err(|e| redb::Error::Corrupted(e.to_string()))
    }

    /// Adds records, all or none, durably. Those whose key is known already are left as they
    /// are. Returns how many were new. A disk that is full or broken ends the process, as
    /// everywhere in this store.
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
                    let value = self.sealer.seal(&place(&record.key, at), &record.value);
                    by_key.insert(&record.key[..], (at, &value[..]))?;
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
            let Some(found) = table.get(key)? else {
                return Ok(None);
            };
            let (at, value) = found.value();
            Ok(Some(Record {
                key: key.to_vec(),
                at: WallTime::from_millis(at),
                value: self.unsealed(key, at, value)?,
            }))
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
                    value: self.unsealed(key, at, found.value().1)?,
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
        let error = match work() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if let redb::Error::Io(_) | redb::Error::PreviousIo = error {
            self.fatal(&error);
        }
        Err(RecordError {
            path: self.path.clone(),
            what: error.to_string(),
        })
    }

    /// Ends the process: the database takes nothing any more until it is opened again, and nobody
    /// knows how much of the last write is on the disk. The next start finds out.
    fn fatal(&self, why: &redb::Error) -> ! {
        tracing::error!(
            path = %self.path.display(),
            %why,
            "call records cannot be written or read; this process stops so that no promise is broken. \
             Check the disk (space, errors in the kernel log), then start it again"
        );
        std::process::abort()
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
        let keys = DataKeys::ephemeral();
        let store = RecordStore::open(&path, &keys).unwrap();
        assert_eq!(
            store
                .append(&[record("a", 5), record("b", 3), record("a", 9)])
                .unwrap(),
            2
        );
        assert_eq!(store.append(&[record("a", 7), record("c", 4)]).unwrap(), 1);
        drop(store);
        let store = RecordStore::open(&path, &keys).unwrap();
        assert_eq!(store.len().unwrap(), 3);
        assert_eq!(store.get(b"a").unwrap(), Some(record("a", 5)));
        assert_eq!(store.get(b"x").unwrap(), None);
    }

    /// In a process of its own, which may write no file beyond four megabytes.
    #[test]
    fn a_full_disk_ends_the_process_and_what_was_kept_is_there() {
        const FOLDER: &str = "RECORDS_UNTIL_FULL";
        const TEST: &str = "a_full_disk_ends_the_process_and_what_was_kept_is_there";
        let keys = DataKeys::fixed(&[[1; 32]]);
        if let Some(folder) = std::env::var_os(FOLDER) {
            let folder = PathBuf::from(folder);
            let store = RecordStore::open(&folder.join("records.redb"), &keys).unwrap();
            for n in 0..100_000 {
                let mut record = record(&format!("k{n:06}"), n);
                record.value.resize(20_000, 7);
                // The first failure ends this process: nobody sees an error here.
                store.append(std::slice::from_ref(&record)).unwrap();
                fs::write(folder.join("kept"), n.to_string()).unwrap();
            }
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        // Without the signal a write beyond the limit fails as on a full disk.
        let script = "ulimit -f 8192; ulimit -c 0; trap '' XFSZ; exec \"$0\" \"$@\"";
        let ended = std::process::Command::new("sh")
            .args(["-c", script])
            .arg(&program)
            .args([TEST, "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(ended.signal(), Some(6), "it was aborted: {ended}");
        let kept: i64 = (fs::read_to_string(dir.path().join("kept")).unwrap())
            .parse()
            .unwrap();
        assert!(kept > 10, "{kept}");
        let store = RecordStore::open(&dir.path().join("records.redb"), &keys).unwrap();
        let there = store.len().unwrap();
        assert!(
            [kept as u64 + 1, kept as u64 + 2].contains(&there),
            "{there}, told {kept}"
        );
        assert_eq!(store.append(&[record("more", 1)]).unwrap(), 1);
    }

    #[test]
    fn pages_meet_without_gap_or_overlap() {
        let dir = tempfile::tempdir().unwrap();
        let store =
            RecordStore::open(&dir.path().join("records.redb"), &DataKeys::ephemeral()).unwrap();
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

    #[test]
    fn an_earlier_releases_store_is_read_and_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.redb");
        fs::copy("tests/data/plain/records.redb", &path).unwrap();
        let number = "+8613800138000".parse().unwrap();
        assert_eq!(
            crate::in_clear(dir.path(), &[number], &[]).unwrap().len(),
            1
        );
        let value = b"record of +8613800138000".to_vec();
        let open = |keys: &[[u8; 32]]| RecordStore::open(&path, &DataKeys::fixed(keys));
        let store = open(&[[1; 32]]).unwrap();
        assert_eq!(store.get(b"a").unwrap().unwrap().value, value);
        store.append(&[record("b", 6)]).unwrap();
        drop(store);
        assert_eq!(
            crate::in_clear(dir.path(), &[number], &["value of b"]).unwrap(),
            []
        );

        // Another key is told by its name; with both at hand the newer one seals all.
        drop(open(&[[1; 32], [2; 32]]).unwrap());
        let wrong = open(&[[1; 32]]).unwrap_err().to_string();
        assert!(wrong.contains("put back the key file"), "{wrong}");
        let store = open(&[[2; 32]]).unwrap();
        assert_eq!(store.get(b"a").unwrap().unwrap().value, value);
        let (from, to) = (WallTime::from_millis(0), WallTime::from_millis(9));
        let order = RecordOrder::OldestFirst;
        let page = store.scan(from, to, order, None, 9).unwrap();
        assert_eq!(page.records[1], record("b", 6));

        // Records that change places.
        let write = store.database.begin_write().unwrap();
        {
            let mut table = write.open_table(RECORDS).unwrap();
            let moved = table.get(&b"a"[..]).unwrap().unwrap().value().1.to_vec();
            table.insert(&b"b"[..], (6, &moved[..])).unwrap();
        }
        write.commit().unwrap();
        let error = store.get(b"b").unwrap_err().to_string();
        assert!(error.contains("moved here"), "{error}");
    }
}
