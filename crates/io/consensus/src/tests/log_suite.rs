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
use storage::{DataKeys, Journal, JournalOptions};

struct Builder;

impl StoreBuilder<Types, LogStore, Machine<Ledger>, (tempfile::TempDir, Journal)> for Builder {
    async fn build(
        &self,
    ) -> Result<((tempfile::TempDir, Journal), LogStore, Machine<Ledger>), StorageError<Types>>
    {
        let dir = tempfile::tempdir().unwrap();
        // The suite hands one store's snapshot to another.
        static KEYS: std::sync::OnceLock<DataKeys> = std::sync::OnceLock::new();
        let keys = KEYS.get_or_init(DataKeys::ephemeral);
        let journal =
            Journal::open(&dir.path().join("journal"), JournalOptions::default(), keys).unwrap();
        let log = LogStore::open(&journal, GroupId::Directory).unwrap();
        let snapshots =
            SnapshotDir::open(&dir.path().join("snapshots"), GroupId::Directory, keys).unwrap();
        let machine = Machine::new(GroupId::Directory, Ledger::default(), snapshots, None);
        Ok(((dir, journal), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}
