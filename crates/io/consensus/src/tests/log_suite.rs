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
use storage::{Journal, JournalOptions};

struct Builder;

type Log = LogStore<Journal>;
type Toy = Machine<Ledger, Native>;

impl StoreBuilder<Types<Native>, Log, Toy, (tempfile::TempDir, Journal)> for Builder {
    async fn build(
        &self,
    ) -> Result<((tempfile::TempDir, Journal), Log, Toy), StorageError<Types<Native>>> {
        let dir = tempfile::tempdir().unwrap();
        let journal =
            Journal::open(&dir.path().join("journal"), JournalOptions::default()).unwrap();
        let log = LogStore::open(&journal, GroupId::Directory).unwrap();
        let snapshots = SnapshotDir::open(NativeFiles, &dir.path().join("snapshots")).unwrap();
        let machine = Machine::new(GroupId::Directory, Ledger::default(), snapshots, None);
        Ok(((dir, journal), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}
