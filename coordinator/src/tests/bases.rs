//! Do-not-call bases at a coordinator without nodes: compacted, settled, refused.

use super::{Mesh, body, by};
use crate::backend::Backend;
use dialmesh_http::{
    admin::AdminBackend,
    dto::{Acknowledgement, DncBaseUse, Operation, OperationState, Wait},
    problem::BackendError,
};
use domain::{DncBaseId, DncEntry, DncScope, DncSource, PhoneNumber, WallTime};
use ledger::Change;
use permit::base::BaseAbout;
use std::{
    fs, ops::ControlFlow, os::unix::fs::FileExt as _, path::Path, sync::Arc, time::Duration,
};
use storage::{DncBaseBuild, SORT_MEMORY, dnc_base_path, e164};

const DAY: Duration = Duration::from_secs(86_400);

fn number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(14_155_550_000 + n).unwrap()
}

fn ago(days: u32) -> WallTime {
    let days = i64::from(days) * 86_400_000;
    WallTime::from_millis(service::clock::wall().as_millis() - days)
}

/// A base of 100,000 numbers, each seventh from 1,000 on, and its bytes.
fn built(dir: &Path, built_at: WallTime) -> (DncBaseId, Vec<u8>) {
    let list: String = (0..100_000)
        .map(|n| format!("{}\n", number(1_000 + n * 7).digits()))
        .collect();
    let build = DncBaseBuild {
        dir: dir.to_owned(),
        about: BaseAbout {
            source: "a registry".into(),
            built_at,
        },
        memory: SORT_MEMORY,
    };
    let go_on = |_| ControlFlow::Continue(());
    let (built, _) = (build.from_list(list.as_bytes(), e164, |_| Ok(()), go_on)).unwrap();
    (built.id, fs::read(built.path).unwrap())
}

async fn used(api: &dyn AdminBackend, id: DncBaseId, force: bool) -> Result<(), BackendError> {
    let request = DncBaseUse {
        id: Some(id.to_string()),
        force,
        reason: String::new(),
        wait: Wait::Effective,
    };
    let result = api.use_do_not_call_base(&by(), request).await?;
    assert_eq!(result.state, Acknowledgement::Effective);
    Ok(())
}

/// Entries as an import of a registry's changes makes them.
async fn said(backend: &Backend, entries: &[(u64, WallTime)]) {
    let entry = |(n, added_at): &(u64, WallTime)| DncEntry {
        number: number(*n),
        scope: DncScope::Mesh,
        source: DncSource::Registry,
        added_at: *added_at,
    };
    let change = Change::ChangeDnc {
        add: entries.iter().map(entry).collect(),
        remove: Vec::new(),
        reason: String::new(),
    };
    backend.change(change).await.unwrap();
}

async fn compacted(api: &dyn AdminBackend) -> Operation {
    let begun = api.compact_do_not_call_base(&by()).await.unwrap();
    loop {
        let operation = api.operation(&begun.id).await.unwrap();
        if operation.state != OperationState::Running {
            return operation;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn made(api: &dyn AdminBackend) -> DncBaseId {
    let operation = compacted(api).await;
    assert_eq!(operation.error, None);
    operation.made.unwrap().parse().unwrap()
}

fn listed(backend: &Backend, n: u64) -> bool {
    let entry = |d: &ledger::Directory| d.dnc_entry(number(n), DncScope::Mesh).is_some();
    backend.member.directory().read(entry)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within 10 s: {what}");
}

fn refusal(result: Result<(), BackendError>) -> String {
    match result {
        Err(BackendError::Invalid(errors)) => errors[0].message.clone(),
        Err(error) => error.to_string(),
        Ok(()) => panic!("it went through"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_registries_said_goes_into_a_base_and_not_before_its_time() {
    let mesh = Mesh::new().await;
    let lists = tempfile::tempdir().unwrap();
    let (first, bytes) = built(lists.path(), ago(40));
    mesh.run(|api, coordinator| async move {
        let backend = coordinator.inside();
        let api = api.as_ref();
        let staged = api.stage_do_not_call_base(&by(), first, body(bytes)).await;
        assert!(!staged.unwrap().in_use);
        used(api, first, false).await.unwrap();
        let none = api.compact_do_not_call_base(&by()).await.unwrap_err();
        assert!(none.to_string().contains("--registry"), "{none}");
        // One is a month old; one is a minute short of it; one more is in the base already.
        let short = ago(31) + Duration::from_secs(60);
        said(&backend, &[(1, ago(32)), (2, short), (1_000, ago(32))]).await;
        let second = made(api).await;
        used(api, second, false).await.unwrap();
        until("the old ones are dropped", || !listed(&backend, 1)).await;
        until("and the one before", || !listed(&backend, 1_000)).await;
        assert!(listed(&backend, 2) && crate::bases::covers(&backend, number(2)));
        // Only the second knows of 1: the way back is refused.
        let why = refusal(used(api, first, false).await);
        assert!(why.contains("registries named until"), "{why}");
        // All of it is in the base in use: nothing to make.
        let none = api.compact_do_not_call_base(&by()).await.unwrap_err();
        assert!(none.to_string().contains("31 days"), "{none}");
        // What is taken out while the third is on its way would be back with it.
        said(&backend, &[(3, ago(0))]).await;
        let third = made(api).await;
        let removal = dialmesh_http::dto::DncRemoval {
            number: number(3).reveal(),
            scope: dialmesh_http::dto::Scope::Mesh,
            reason: "typing error".into(),
        };
        (api.remove_do_not_call(&by(), number(3), removal).await).unwrap();
        let why = refusal(used(api, third, false).await);
        assert!(why.contains("compact again"), "{why}");
        api.remove_do_not_call_base(&by(), third).await.unwrap();
        said(&backend, &[(1_007, ago(32))]).await;
        ((), coordinator)
    });
    // After a restart what has become old meanwhile is looked for without anybody asking.
    mesh.run(|_, coordinator| async move {
        let backend = coordinator.inside();
        until("one that came before the end", || !listed(&backend, 1_007)).await;
        assert!(listed(&backend, 2));
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_base_settles_nothing_and_is_not_compacted() {
    let mesh = Mesh::new().await;
    let lists = tempfile::tempdir().unwrap();
    let (first, bytes) = built(lists.path(), ago(40));
    let path = dnc_base_path(&mesh.dir.path().join("data/dnc"), first);
    mesh.run(|api, coordinator| async move {
        let backend = coordinator.inside();
        let api = api.as_ref();
        (api.stage_do_not_call_base(&by(), first, body(bytes.clone()))
            .await)
            .unwrap();
        // In a block: the footer, which is all that opening looks at, is whole.
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[bytes[5_000] ^ 1], 5_000).unwrap();
        said(&backend, &[(1_000, ago(32)), (1, ago(0))]).await;
        used(api, first, false).await.unwrap();
        crate::compaction::settle(Arc::clone(&backend), first).await;
        assert!(listed(&backend, 1_000));
        let operation = compacted(api).await;
        assert_eq!(operation.state, OperationState::Failed);
        let why = operation.error.unwrap();
        assert!(why.contains("damaged"), "{why}");
        assert_eq!(
            (
                operation.made,
                api.do_not_call_bases().await.unwrap().data.len()
            ),
            (None, 1)
        );
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_from_the_future_is_refused_and_not_kept() {
    let mesh = Mesh::new().await;
    let lists = tempfile::tempdir().unwrap();
    let now = service::clock::wall();
    let (ahead, bytes) = built(lists.path(), now + 2 * DAY);
    let (near, near_bytes) = built(lists.path(), now + Duration::from_secs(3600));
    let path = dnc_base_path(&mesh.dir.path().join("data/dnc"), ahead);
    mesh.run(|api, coordinator| async move {
        let refused = api.stage_do_not_call_base(&by(), ahead, body(bytes)).await;
        let why = refusal(refused.map(drop));
        assert!(
            why.contains("in the future") && why.contains("clock"),
            "{why}"
        );
        assert!(!path.exists());
        let gone = api.remove_do_not_call_base(&by(), ahead).await.unwrap_err();
        assert!(matches!(gone, BackendError::NotFound { .. }), "{gone}");
        // A clock that is an hour ahead is no reason.
        (api.stage_do_not_call_base(&by(), near, body(near_bytes))
            .await)
            .unwrap();
        ((), coordinator)
    });
}
