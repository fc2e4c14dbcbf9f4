//! The journal of a simulated member: our journal's code and the real engine, written in simulated
//! time.

use crate::{
    defect::Defect,
    disk::{Disk, EngineFiles},
    runtime::{draw_up_to, sleep},
};
use bytes::Bytes;
use std::{future::pending, path::Path, sync::Arc, time::Duration};
use storage::{
    DataKeys, Durability, EntryLog, JournalBatch, JournalError, JournalOptions, SteppedJournal,
};
use tokio::sync::Notify;

/// Writes between two looks for files that hold nothing live any more.
const PURGE_EVERY: u64 = 64;

/// A member's journal. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct SimLog {
    journal: SteppedJournal<EngineFiles>,
    queued: Arc<Notify>,
    defect: Option<Defect>,
}

impl SimLog {
    /// Opens what the disk holds. The folder holds the names of the engine's files.
    pub(crate) fn open(
        folder: &Path,
        disk: &Disk,
        defect: Option<Defect>,
    ) -> Result<Self, JournalError> {
        // Small files, so that the engine turns them over within a run.
        let options = JournalOptions {
            file_bytes: 64 << 10,
            purge_bytes: 256 << 10,
        };
        let journal = SteppedJournal::open(folder, options, disk.engine_files(), disk.keys())?;
        disk.commit_syncs();
        Ok(Self {
            journal,
            queued: Arc::default(),
            defect,
        })
    }

    /// The process is gone, and with it what was not yet written.
    pub(crate) fn forget_queued(&self) {
        self.journal.forget_queued();
    }

    /// The writer: what the journal's thread does, in simulated time. `fatal` is called when the
    /// process would stop.
    pub(crate) async fn write_for_ever(
        self,
        disk: Disk,
        speed: impl Fn() -> Duration,
        fatal: impl Fn(String),
    ) {
        let mut writes = 0u64;
        loop {
            while self.journal.is_idle() {
                self.queued.notified().await;
            }
            let written = self.journal.write_queued();
            if disk.failed() {
                pending::<()>().await;
            }
            let written = match written {
                Ok(written) => written,
                Err(e) => {
                    fatal(e.to_string());
                    pending().await
                }
            };
            if self.defect == Some(Defect::AckBeforeSync) {
                written.tell();
                sleep(draw_up_to(speed())).await;
                disk.commit_syncs();
            } else {
                if written.synced {
                    sleep(draw_up_to(speed())).await;
                    disk.commit_syncs();
                }
                written.tell();
            }
            writes += 1;
            if writes.is_multiple_of(PURGE_EVERY)
                && let Err(e) = self.journal.purge()
                && !disk.failed()
            {
                fatal(e.to_string());
                pending().await
            }
        }
    }
}

impl EntryLog for SimLog {
    fn submit(
        &self,
        batch: JournalBatch,
        durability: Durability,
        done: impl FnOnce() + Send + 'static,
    ) {
        if self.defect == Some(Defect::VoteNotSaved) && batch.puts("vote") {
            return done();
        }
        let durability = match self.defect {
            Some(Defect::NothingSynced) => Durability::Written,
            _ => durability,
        };
        self.journal.submit(batch, durability, done);
        self.queued.notify_one();
    }

    fn span(&self, group: u64) -> Option<(u64, u64)> {
        self.journal.span(group)
    }

    fn read(
        &self,
        group: u64,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, JournalError> {
        self.journal.read(group, from, to, max_bytes)
    }

    fn value(&self, group: u64, key: &str) -> Option<Vec<u8>> {
        self.journal.value(group, key)
    }

    fn keys(&self) -> &DataKeys {
        self.journal.keys()
    }
}
