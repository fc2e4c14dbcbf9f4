//! openraft's own suite for log stores and state machines, on ours.

use super::cluster::Ledger;
use crate::{
    config::{GroupId, Types},
    log_store::LogStore,
    machine::Machine,
    platform::{Native, NativeFiles},
    snapshot::SnapshotDir,
};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use storage::{DataKeys, Journal, JournalOptions};

struct Builder;

type Log = LogStore<Journal>;
type Toy = Machine<Ledger, Native>;

impl StoreBuilder<Types<Native>, Log, Toy, (tempfile::TempDir, Journal)> for Builder {
    async fn build(
        &self,
    ) -> Result<((tempfile::TempDir, Journal), Log, Toy), StorageError<Types<Native>>> {
        let dir = tempfile::tempdir().unwrap();
        // The suite hands one store's snapshot to another.
        static KEYS: std::sync::OnceLock<DataKeys> = std::sync::OnceLock::new();
        let keys = KEYS.get_or_init(DataKeys::ephemeral);
        let journal =
            Journal::open(&dir.path().join("journal"), JournalOptions::default(), keys).unwrap();
        let log = LogStore::open(&journal, GroupId::Directory).unwrap();
        let folder = dir.path().join("snapshots");
        let snapshots = SnapshotDir::open(NativeFiles, &folder, GroupId::Directory, keys).unwrap();
        let machine = Machine::new(GroupId::Directory, Ledger::default(), snapshots, None);
        Ok(((dir, journal), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}
