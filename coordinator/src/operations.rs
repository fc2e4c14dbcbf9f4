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
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::AsyncReadExt;

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
    table: Mutex<BTreeMap<String, Operation>>,
    events: Events,
}

impl Operations {
    /// Reads what is there. What was under way when the process ended has failed.
    pub(crate) fn open(data_dir: &Path, events: Events) -> Result<Self, OperationsError> {
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
                operation.error = Some(
                    "the coordinator stopped meanwhile; send the file again: rows taken already count as duplicates"
                        .to_owned(),
                );
                operation.ended_at = Some(service::clock::wall().into());
                save(&dir, &operation).map_err(bad)?;
            }
            table.insert(operation.id.clone(), operation);
        }
        Ok(Self {
            dir,
            table: Mutex::new(table),
            events,
        })
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
            let ended = |o: &&Operation| o.state != OperationState::Running;
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
        let path = rejects_path(&self.dir, &operation.id);
        let file = tokio::fs::File::open(&path).await;
        let file = file.map_err(|e| BackendError::Internal(format!("{}: {e}", path.display())))?;
        let pieces = stream::unfold(Some(file), |file| async move {
            let mut file = file?;
            let mut piece = bytes::BytesMut::with_capacity(PIECE);
            match file.read_buf(&mut piece).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(piece.freeze()), Some(file))),
                Err(error) => {
                    tracing::error!(%error, "a file of rejects cannot be read");
                    Some((Err(BodyError::Interrupted), None))
                }
            }
        });
        Ok(pieces.boxed())
    }
}

fn rejects_path(dir: &Path, id: &str) -> PathBuf {
    dir.join(id).join("rejects.csv")
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
    /// Where its file of rejects belongs.
    pub(crate) fn rejects_path(&self) -> PathBuf {
        rejects_path(&self.operations.dir, &self.operation.id)
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
        if let Err(error) = save(&self.operations.dir, &self.operation) {
            tracing::error!(operation = self.operation.id, %error, "an operation's end is not kept");
        }
        self.publish();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Some("it was cut off; send the file again".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_survive_a_restart_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Arc::new(Operations::open(dir.path(), Events::new()).unwrap());
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
        assert!(operations.get("op_../x").is_err());
    }

    #[test]
    fn the_oldest_goes_at_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let operations = Arc::new(Operations::open(dir.path(), Events::new()).unwrap());
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
}
