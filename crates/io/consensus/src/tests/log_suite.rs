//! openraft's own suite for log stores and state machines, on ours.

use super::cluster::Ledger;
use crate::{
    config::{GroupId, Types},
    log_store::LogStore,
    machine::Machine,
    snapshot::SnapshotDir,
};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use storage::{Journal, JournalOptions};

struct Builder;

impl StoreBuilder<Types, LogStore, Machine<Ledger>, (tempfile::TempDir, Journal)> for Builder {
    async fn build(
        &self,
    ) -> Result<((tempfile::TempDir, Journal), LogStore, Machine<Ledger>), StorageError<Types>>
    {
        let dir = tempfile::tempdir().unwrap();
        let journal =
            Journal::open(&dir.path().join("journal"), JournalOptions::default()).unwrap();
        let log = LogStore::open(&journal, GroupId::Directory).unwrap();
        let snapshots = SnapshotDir::open(&dir.path().join("snapshots")).unwrap();
        let machine = Machine::new(GroupId::Directory, Ledger::default(), snapshots, None);
        Ok(((dir, journal), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}
