//! The journal of a simulated member: our journal's code and the real engine, written in simulated
//! time.

use crate::{
    defect::Defect,
    disk::{Disk, EngineFiles, SYNC_FAILED},
    runtime::{draw_up_to, sleep},
};
use bytes::Bytes;
use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::{Arc, Once},
    time::Duration,
};
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
        // As the journal does on the operating system's files.
        if defect != Some(Defect::JournalUnsettled) {
            disk.settle_engine(folder)
                .map_err(|source| JournalError::Io {
                    dir: folder.into(),
                    source,
                })?;
        }
        // The engine reads back on threads of its own, whose order no seed knows.
        let held = disk.hold_faults();
        let journal = SteppedJournal::open(folder, options, disk.engine_files(), disk.keys());
        disk.resume_faults(held);
        let journal = journal?;
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
            let written = or_panic(|| self.journal.write_queued());
            if disk.failed().is_some() {
                pending::<()>().await;
            }
            let written = match written {
                Ok(written) => written,
                Err(why) => {
                    fatal(why);
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
                && let Err(why) = or_panic(|| self.journal.purge())
            {
                if disk.failed().is_none() {
                    fatal(why);
                }
                pending().await
            }
        }
    }
}

/// The engine panics when a sync fails, and the journal's threads take that as the end of the process.
fn or_panic<T>(work: impl FnOnce() -> Result<T, JournalError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(why) if why.contains(SYNC_FAILED) => Err(why.clone()),
            _ => resume_unwind(panic),
        },
    }
}

/// Panics with which a process ends as it should are not printed.
pub(crate) fn quiet_failed_syncs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let why = info.payload().downcast_ref::<String>();
            if !why.is_some_and(|why| why.contains(SYNC_FAILED)) {
                usual(info);
            }
        }));
    });
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
