//! Long work: a bounded table of operations, each with a folder of its own, so that they survive
//! a restart.

use dialmesh_http::{
    admin::{Answer, ByteStream},
    dto::{Operation, OperationState, Page, PageQuery},
    events::Events,
    problem::{BackendError, BodyError},
};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use storage::{DataKeys, NativeFiles, SealedFile, SealedKind, SealedWriter};

/// Operations kept; at the bound the oldest one that has ended goes.
const OPERATIONS: usize = 1_000;
/// How often progress is told.
const TOLD: Duration = Duration::from_millis(500);
/// Bytes of one piece of a file of rejects.
const PIECE: usize = 64 * 1024;

/// The folder of operations cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used; check its permissions and that the disk is not full", path.display())]
pub(crate) struct OperationsError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Every operation, by id; ids sort by their beginning.
#[derive(Debug)]
pub(crate) struct Operations {
    dir: PathBuf,
    keys: DataKeys,
    table: Mutex<BTreeMap<String, Operation>>,
    events: Events,
}

impl Operations {
    /// Reads what is there. What was under way when the process ended has failed. Files of rejects of
    /// an earlier release, or sealed with an older key, are sealed with the newest.
    pub(crate) fn open(
        data_dir: &Path,
        keys: &DataKeys,
        events: Events,
    ) -> Result<Self, OperationsError> {
        let dir = data_dir.join("operations");
        let bad = |source| OperationsError {
            path: dir.clone(),
            source,
        };
        fs::create_dir_all(&dir).map_err(bad)?;
        let mut table = BTreeMap::new();
        for entry in fs::read_dir(&dir).map_err(bad)? {
            let path = entry.map_err(bad)?.path().join("operation.json");
            let read =
                fs::read(&path).and_then(|b| serde_json::from_slice(&b).map_err(io::Error::other));
            let mut operation: Operation = match read {
                Ok(operation) => operation,
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an operation is not listed");
                    continue;
                }
            };
            if operation.state == OperationState::Running {
                operation.state = OperationState::Failed;
                let again = again(&operation.kind);
                operation.error = Some(format!("the coordinator stopped meanwhile; {again}"));
                operation.ended_at = Some(service::clock::wall().into());
                save(&dir, &operation).map_err(bad)?;
            }
            rejects_of(&dir, &operation.id, keys)
                .seal_anew()
                .map_err(bad)?;
            table.insert(operation.id.clone(), operation);
        }
        Ok(Self {
            dir,
            keys: keys.clone(),
            table: Mutex::new(table),
            events,
        })
    }

    /// One that needed an approval has it, or has none: why not.
    pub(crate) fn decide(&self, id: &str, end: Result<(), String>) {
        let mut table = self.table.lock();
        let waits = |o: &&mut Operation| o.state == OperationState::NeedsApproval;
        let Some(operation) = table.get_mut(id).filter(waits) else {
            return;
        };
        (operation.state, operation.error) = match end {
            Ok(()) => (OperationState::Succeeded, None),
            Err(why) => (OperationState::Failed, Some(why)),
        };
        if let Err(error) = save(&self.dir, operation) {
            tracing::error!(operation = id, %error, "an operation's end is not kept");
        }
        self.events.publish("operation", &*operation);
    }

    /// What needed an approval to be put into use has been, if it is `made`; else something else has.
    pub(crate) fn decide_made(&self, kind: &str, made: &str) {
        let waiting: Vec<(String, bool)> = {
            let table = self.table.lock();
            let waits = |o: &&Operation| o.state == OperationState::NeedsApproval && o.kind == kind;
            let waiting = table.values().filter(waits);
            waiting
                .map(|o| (o.id.clone(), o.made.as_deref() == Some(made)))
                .collect()
        };
        for (id, taken) in waiting {
            let end = match taken {
                true => Ok(()),
                false => Err("another one was put into use".to_owned()),
            };
            self.decide(&id, end);
        }
    }

    /// Begins one.
    pub(crate) fn begin(
        self: &Arc<Self>,
        kind: &str,
        dry_run: bool,
        bytes_total: Option<u64>,
    ) -> Result<Running, OperationsError> {
        let now = service::clock::wall();
        let mut table = self.table.lock();
        let last = (table.last_key_value())
            .and_then(|(id, _)| u64::from_str_radix(id.strip_prefix("op_")?, 16).ok())
            .unwrap_or(0);
        let number = (now.as_millis().unsigned_abs() << 8).max(last + 1);
        let operation = Operation {
            id: format!("op_{number:016x}"),
            kind: kind.to_owned(),
            state: OperationState::Running,
            dry_run,
            bytes_done: 0,
            bytes_total,
            rows: 0,
            counts: BTreeMap::new(),
            has_rejects: false,
            made: None,
            error: None,
            created_at: now.into(),
            ended_at: None,
        };
        let bad = |source| OperationsError {
            path: self.dir.clone(),
            source,
        };
        fs::create_dir_all(self.dir.join(&operation.id)).map_err(bad)?;
        save(&self.dir, &operation).map_err(bad)?;
        table.insert(operation.id.clone(), operation.clone());
        while table.len() > OPERATIONS {
            let ended = |o: &&Operation| {
                !matches!(
                    o.state,
                    OperationState::Running | OperationState::NeedsApproval
                )
            };
            let Some(oldest) = table.values().find(ended).map(|o| o.id.clone()) else {
                break;
            };
            table.remove(&oldest);
            if let Err(error) = fs::remove_dir_all(self.dir.join(&oldest)) {
                tracing::warn!(operation = oldest, %error, "an old operation's folder stays");
            }
        }
        drop(table);
        self.events.publish("operation", &operation);
        Ok(Running {
            operations: Arc::clone(self),
            operation,
            told: Instant::now(),
            ended: false,
        })
    }

    pub(crate) fn page(&self, query: &PageQuery) -> Page<Operation> {
        let table = self.table.lock();
        let before = query.cursor.as_deref();
        let mut rest =
            (table.iter().rev()).filter(|(id, _)| before.is_none_or(|b| id.as_str() < b));
        let data: Vec<_> = rest
            .by_ref()
            .take(query.limit())
            .map(|(_, o)| o.clone())
            .collect();
        let next = rest.next().and_then(|_| data.last()).map(|o| o.id.clone());
        Page::new(data, next)
    }

    pub(crate) fn get(&self, id: &str) -> Answer<Operation> {
        let found = self.table.lock().get(id).cloned();
        found.ok_or_else(|| crate::backend::missing("operation", id))
    }

    /// The rows that an import refused, as CSV.
    pub(crate) async fn rejects(&self, id: &str) -> Answer<ByteStream> {
        let operation = self.get(id)?;
        if !operation.has_rejects {
            return Err(BackendError::NotFound {
                what: "file of rejects of",
                id: id.to_owned(),
            });
        }
        let file = rejects_of(&self.dir, &operation.id, &self.keys);
        let path = file.path.clone();
        let opened = tokio::task::spawn_blocking(move || file.open()).await;
        let file = opened
            .map_err(io::Error::other)
            .flatten()
            .map_err(|e| BackendError::Internal(format!("{}: {e}", path.display())))?;
        let begin = Some((Arc::new(file), 0));
        let pieces = stream::unfold(begin, |state| async move {
            let (file, offset) = state?;
            let source = Arc::clone(&file);
            let read = tokio::task::spawn_blocking(move || source.read_at(offset, PIECE)).await;
            match read.map_err(io::Error::other).flatten() {
                Ok(piece) if piece.is_empty() => None,
                Ok(piece) => {
                    let next = offset + piece.len() as u64;
                    Some((Ok(piece.into()), Some((file, next))))
                }
                Err(error) => {
                    tracing::error!(%error, "a file of rejects cannot be read");
                    Some((Err(BodyError::Interrupted), None))
                }
            }
        });
        Ok(pieces.boxed())
    }
}

/// An operation's file of rejects, which holds whole numbers: sealed, to its operation.
#[derive(Clone, Debug)]
pub(crate) struct RejectsFile {
    path: PathBuf,
    id: String,
    keys: DataKeys,
}

fn rejects_of(dir: &Path, id: &str, keys: &DataKeys) -> RejectsFile {
    RejectsFile {
        path: dir.join(id).join("rejects.sealed"),
        id: id.to_owned(),
        keys: keys.clone(),
    }
}

impl RejectsFile {
    /// Makes it anew.
    pub(crate) fn create(&self) -> io::Result<SealedWriter<fs::File>> {
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)?;
        let place = self.id.as_bytes();
        SealedWriter::begin(&self.keys, SealedKind::Rejects, place, PIECE, file)
    }

    pub(crate) fn open(&self) -> io::Result<SealedFile> {
        let place = self.id.as_bytes();
        SealedFile::open(&self.keys, SealedKind::Rejects, place, &self.path)
    }

    fn seal_anew(&self) -> io::Result<()> {
        let plain = self.path.with_extension("csv");
        if plain.exists() {
            fs::rename(&plain, &self.path)?;
        }
        if !self.path.exists() {
            return Ok(());
        }
        let place = self.id.as_bytes();
        storage::seal_anew(
            &NativeFiles,
            &self.keys,
            (SealedKind::Rejects, place),
            PIECE,
            &self.path,
        )
    }
}

/// What to do about an operation that was cut off.
fn again(kind: &str) -> &'static str {
    match kind {
        crate::compaction::KIND => {
            "begin it again with `dialmesh dnc base compact`; nothing is left of it, unless \
             `dialmesh dnc base ls` names it"
        }
        "do_not_call_pull" | "do_not_call_list_base" => "it begins again by itself",
        crate::homes::KIND => "the move goes on: see `dialmesh region homes status`",
        _ => "send the file again: rows taken already count as duplicates",
    }
}

fn save(dir: &Path, operation: &Operation) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(operation).map_err(io::Error::other)?;
    storage::write_atomically(&dir.join(&operation.id).join("operation.json"), &text)
}

/// An operation under way. One that is dropped without an end has failed.
#[derive(Debug)]
pub(crate) struct Running {
    operations: Arc<Operations>,
    /// Its progress, to be changed in place; told by [`Running::tell`].
    pub(crate) operation: Operation,
    told: Instant,
    ended: bool,
}

impl Running {
    /// Its file of rejects.
    pub(crate) fn rejects_file(&self) -> RejectsFile {
        rejects_of(
            &self.operations.dir,
            &self.operation.id,
            &self.operations.keys,
        )
    }

    /// Tells progress, but not too often.
    pub(crate) fn tell(&mut self) {
        if self.told.elapsed() >= TOLD {
            self.told = Instant::now();
            self.publish();
        }
    }

    fn publish(&self) {
        let operation = self.operation.clone();
        self.operations.events.publish("operation", &operation);
        self.operations
            .table
            .lock()
            .insert(operation.id.clone(), operation);
    }

    /// Ends it for now: somebody has to approve what it brought, and `why`.
    pub(crate) fn needs_approval(mut self, why: String) -> Operation {
        self.ended = true;
        self.operation.state = OperationState::NeedsApproval;
        self.operation.error = Some(why);
        self.operation.ended_at = Some(service::clock::wall().into());
        self.kept();
        self.operation.clone()
    }

    /// Ends it; `failed` says why, if it did.
    pub(crate) fn end(mut self, failed: Option<String>) -> Operation {
        self.finish(failed);
        self.operation.clone()
    }

    fn finish(&mut self, failed: Option<String>) {
        self.ended = true;
        self.operation.state = match failed {
            Some(_) => OperationState::Failed,
            None => OperationState::Succeeded,
        };
        self.operation.error = failed.or_else(|| self.operation.error.take());
        self.operation.ended_at = Some(service::clock::wall().into());
        self.kept();
    }

    fn kept(&self) {
        if let Err(error) = save(&self.operations.dir, &self.operation) {
            tracing::error!(operation = self.operation.id, %error, "an operation's end is not kept");
        }
        self.publish();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let again = again(&self.operation.kind);
            self.finish(Some(format!("it was cut off; {again}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_survive_a_restart_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataKeys::ephemeral();
        let open = || Arc::new(Operations::open(dir.path(), &keys, Events::new()).unwrap());
        let operations = open();
        let first = operations.begin("lead_import", false, Some(9)).unwrap();
        let second = operations.begin("lead_import", true, None).unwrap();
        let second = second.end(None);
        // As a crash would: neither ended nor dropped.
        let first_id = first.operation.id.clone();
        std::mem::forget(first);
        let operations = open();
        let page = operations.page(&PageQuery {
            limit: Some(1),
            cursor: None,
        });
        assert_eq!(page.data, [second]);
        let page = operations.page(&PageQuery {
            limit: Some(1),
            cursor: page.next_cursor,
        });
        assert_eq!(
            (page.data[0].id.as_str(), page.next_cursor),
            (first_id.as_str(), None)
        );
        assert_eq!(page.data[0].state, OperationState::Failed);
        let error = page.data[0].error.as_deref().unwrap();
        assert!(error.contains("send the file again"), "{error}");
        let compaction = operations.begin(crate::compaction::KIND, false, None);
        let id = compaction.unwrap().operation.id.clone();
        let error = operations.get(&id).unwrap().error.unwrap();
        assert!(error.contains("dnc base compact"), "{error}");
        assert!(operations.get("op_../x").is_err());
    }

    #[test]
    fn an_approval_is_waited_for_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataKeys::ephemeral();
        let open = || Arc::new(Operations::open(dir.path(), &keys, Events::new()).unwrap());
        let operations = open();
        let waiting = |made: &str| {
            let mut running = operations.begin("do_not_call_pull", false, None).unwrap();
            running.operation.made = Some(made.to_owned());
            running.needs_approval("it shrank".to_owned()).id
        };
        let (a, b, c) = (waiting("a"), waiting("b"), waiting("c"));
        let operations = open();
        let state = |operations: &Operations, id: &str| {
            let operation = operations.get(id).unwrap();
            (operation.state, operation.error)
        };
        let why = Some("it shrank".to_owned());
        assert_eq!(state(&operations, &a), (OperationState::NeedsApproval, why));
        operations.decide(&a, Ok(()));
        operations.decide(&a, Err("too late".to_owned()));
        assert_eq!(state(&open(), &a), (OperationState::Succeeded, None));
        operations.decide_made("do_not_call_pull", "c");
        assert_eq!(state(&operations, &b).0, OperationState::Failed);
        assert_eq!(state(&operations, &c).0, OperationState::Succeeded);
    }

    #[test]
    fn the_oldest_goes_at_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataKeys::ephemeral();
        let operations = Arc::new(Operations::open(dir.path(), &keys, Events::new()).unwrap());
        let oldest = operations
            .begin("lead_import", false, None)
            .unwrap()
            .end(None);
        for n in 1..OPERATIONS as u64 {
            let id = format!(
                "op_{:016x}",
                (service::clock::wall().as_millis() as u64 + 60_000 + n) << 8
            );
            operations.table.lock().insert(
                id.clone(),
                Operation {
                    id,
                    ..oldest.clone()
                },
            );
        }
        assert!(operations.get(&oldest.id).is_ok(), "at the bound");
        operations
            .begin("lead_import", false, None)
            .unwrap()
            .end(None);
        assert!(operations.get(&oldest.id).is_err());
        assert!(!operations.dir.join(&oldest.id).exists());
    }

    async fn read(operations: &Operations, id: &str) -> String {
        let pieces: Vec<_> = operations.rejects(id).await.unwrap().collect().await;
        let bytes: Vec<u8> = pieces
            .into_iter()
            .flat_map(|p| p.unwrap().to_vec())
            .collect();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn an_earlier_releases_rejects_are_read_and_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataKeys::ephemeral();
        let open = || Arc::new(Operations::open(dir.path(), &keys, Events::new()).unwrap());
        let mut running = open().begin("lead_import", false, None).unwrap();
        running.operation.has_rejects = true;
        let id = running.end(None).id;
        let text = "rejected_row,rejected_for,remedy,number\n".to_owned()
            + &"2,invalid,call somebody,+8613800138000\n".repeat(5_000);
        assert!(text.len() > 2 * PIECE);
        let plain = dir.path().join("operations").join(&id).join("rejects.csv");
        fs::write(&plain, &text).unwrap();
        let number = "+8613800138000".parse().unwrap();
        let clear = || storage::in_clear(dir.path(), &[number], &[]).unwrap();
        assert_eq!(clear().len(), 1);
        for _ in 0..2 {
            let operations = open();
            assert_eq!(read(&operations, &id).await, text);
            assert!(clear().is_empty() && !plain.exists());
        }
        // Cut off: what there is comes, then the answer breaks off.
        let sealed = plain.with_extension("sealed");
        let bytes = fs::read(&sealed).unwrap();
        fs::write(&sealed, &bytes[..28 + PIECE + 16]).unwrap();
        let operations = open();
        let pieces: Vec<_> = operations.rejects(&id).await.unwrap().collect().await;
        assert!(matches!(pieces.last(), Some(Err(BodyError::Interrupted))));
    }
}
