//! A new do-not-call base from the one in use and what registries said since.
//!
//! Only entries of registries are folded in: what a person, an agent or an administrator asked for
//! stays an entry for ever, whichever base is in use.

use crate::{
    backend::{Backend, audit, unexpected},
    operations::Running,
};
use dialmesh_http::{admin::Answer, auth::Caller, dto::Operation, problem::BackendError};
use domain::{DncBaseId, DncScope, DncSource, PhoneNumber, limits};
use ledger::{Change, DirectoryReply, DncFact, DncRemoval, NewDncBase};
use member::AskError;
use permit::base::BaseAbout;
use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};
use storage::{BuildProgress, DncBase, DncBaseBuild, DncBaseError, SORT_MEMORY};

/// The operation's kind.
pub(crate) const KIND: &str = "do_not_call_compaction";

/// What may be folded into a base: everywhere, on a registry's word.
fn folds(fact: &DncFact) -> bool {
    fact.entry.scope == DncScope::Mesh && fact.entry.source == DncSource::Registry
}

/// The source of the new base, within its bound.
fn source(old: &str, folded: usize) -> String {
    let suffix = format!(" (with {folded} since)");
    let mut origin = old.split(" (with ").next().unwrap_or(old);
    while origin.len() + suffix.len() > limits::NAME_BYTES {
        let last = origin.char_indices().next_back();
        origin = &origin[..last.map_or(0, |(place, _)| place)];
    }
    format!("{origin}{suffix}")
}

/// Do-not-call entries looked at before others may have the directory.
const LOOKED_AT: usize = 10_000;

/// Every entry that is picked, looked for piece by piece: the directory goes on meanwhile.
async fn entries(backend: &Backend, picked: impl Fn(&DncFact) -> bool) -> Vec<DncRemoval> {
    let (mut found, mut last) = (Vec::new(), None);
    loop {
        let seen = backend.member.directory().read(|directory| {
            let mut seen = 0;
            for fact in directory.dnc_after(last).take(LOOKED_AT) {
                (seen, last) = (seen + 1, Some((fact.entry.number, fact.entry.scope)));
                if picked(&fact) {
                    found.push(DncRemoval {
                        number: fact.entry.number,
                        scope: fact.entry.scope,
                        index: fact.index,
                    });
                }
            }
            seen
        });
        if seen < LOOKED_AT {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

/// Work on the disk, on a thread of its own.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Begins to build; the answer is the operation under way.
pub(crate) async fn start(backend: &Arc<Backend>, by: &Caller) -> Answer<Operation> {
    let (in_use, index) = (backend.member.directory()).read(|d| (d.dnc_base_in_use(), d.applied()));
    let Some(id) = in_use else {
        let why = "no do-not-call base is in use; build one with `dialmesh dnc base build`";
        return Err(BackendError::Conflict(why.to_owned()));
    };
    if !(backend.member.directory()).read(|d| d.dnc_parts(id).is_empty()) {
        let why = "the base in use is made of lists that are pulled (`dialmesh dnc list ls`): what \
                   they have in common with entries of registries is dropped by itself, and the \
                   rest stays beside it";
        return Err(BackendError::Conflict(why.to_owned()));
    }
    let Some(base) = backend.bases.get(id) else {
        let why = format!("the base in use, {id}, is not at this coordinator; stage it again");
        return Err(BackendError::Conflict(why));
    };
    let added = entries(backend, folds).await.into_iter();
    let added: BTreeSet<PhoneNumber> = added.map(|entry| entry.number).collect();
    if added.is_empty() {
        let why = "no registry has said anything since the base in use was built; import its \
                   changes with `dialmesh dnc import --registry`";
        return Err(BackendError::Conflict(why.to_owned()));
    }
    let known = Arc::clone(&base);
    let (has_all, added) = on_disk(move || {
        let has_all = added.iter().all(|number| known.contains(*number));
        (has_all, added)
    })
    .await;
    if has_all {
        let settle = settle(Arc::clone(backend), id);
        backend.tasks.spawn("do_not_call_settle", settle);
        let why = "the base in use has all that registries have said since; those entries are \
                   dropped by themselves once they are 31 days old";
        return Err(BackendError::Conflict(why.to_owned()));
    }
    let detail = format!("{id} and {} entries", added.len());
    audit(by, "compact_do_not_call_base", &detail);
    let running = (backend.operations).begin(KIND, false, None);
    let running = running.map_err(|e| BackendError::Internal(e.to_string()))?;
    let begun = running.operation.clone();
    let work = build(Arc::clone(backend), base, added, index, running);
    backend.tasks.spawn(KIND, work);
    Ok(begun)
}

/// Builds and stages; `index` is of the directory that the entries were read from.
async fn build(
    backend: Arc<Backend>,
    base: Arc<DncBase>,
    added: BTreeSet<PhoneNumber>,
    index: u64,
    mut running: Running,
) {
    let (folded, from) = (added.len() as u64, base.id());
    let plan = DncBaseBuild {
        dir: backend.bases.dir().to_owned(),
        about: BaseAbout {
            source: source(&base.about().source, added.len()),
            // Its list is as old as it was: what was folded in does not make the rest true again.
            built_at: base.about().built_at,
        },
        memory: SORT_MEMORY,
    };
    let about = plan.about.clone();
    // Given back in the end, so that progress can be told from the other thread.
    let blocking = on_disk(move || {
        let built = plan.compact(&base, &added, &BTreeSet::new(), |progress| {
            if let BuildProgress::Writing { numbers } = progress {
                running.operation.rows = numbers;
                running.tell();
            }
            ControlFlow::Continue(())
        });
        let opened = built.map_err(|e| format!("{:#}", anyhow::Error::from(e)));
        let opened = opened.and_then(|built| {
            let base = DncBase::open(&built.path).map_err(|e| e.to_string())?;
            Ok((built, base))
        });
        (opened, running)
    });
    let (opened, mut running) = blocking.await;
    let result = match opened {
        Ok((built, base)) => {
            let counts = [("numbers", built.count), ("folded", folded)];
            running.operation.rows = built.count;
            running.operation.counts =
                (counts.into_iter().map(|(name, n)| (name.to_owned(), n))).collect();
            running.operation.made = Some(built.id.to_string());
            backend.bases.adopt(base);
            let new = NewDncBase {
                id: built.id,
                file_bytes: built.bytes,
                count: built.count,
                source: about.source,
                built_at: about.built_at,
            };
            stage(&backend, new, from, index).await
        }
        Err(error) => Err(error),
    };
    running.end(result.err());
}

/// Makes a base known that was built here. One that the directory will not have leaves nothing.
async fn stage(
    backend: &Backend,
    base: NewDncBase,
    from: DncBaseId,
    index: u64,
) -> Result<(), String> {
    let id = base.id;
    let change = Change::StageCompactedDncBase { base, from, index };
    let Err(error) = backend.change(change).await else {
        return Ok(());
    };
    // Not known how it ended: nodes may be fetching it.
    if matches!(error, BackendError::Unconfirmed(_)) {
        return Err(format!(
            "the base {id} is built, and it is not known whether it is staged: {error}; look with \
             `dialmesh dnc base ls`, and compact again where it is not"
        ));
    }
    let known = (backend.member.directory()).read(|directory| directory.dnc_base(id).is_some());
    if !known && let Err(left) = backend.bases.delete(id) {
        tracing::warn!(base = %id, %left, "the file of a base that is not staged is left");
    }
    Err(format!("the base was built and cannot be staged: {error}"))
}

/// Drops what registries said that the base in use has in it and that is old enough. Once that base
/// is effective; what cannot be dropped stays beside it, and is tried again the next day.
pub(crate) async fn settle(backend: Arc<Backend>, id: DncBaseId) {
    let Ok(_alone) = backend.bases.settling.try_lock() else {
        return;
    };
    if let Err(error) = crate::dnc::forget_lifts(&backend, id).await {
        tracing::warn!(base = %id, %error, "lifts of numbers that the base does not have stay");
    }
    match drop_settled(&backend, id).await {
        Ok(0) => {}
        Ok(dropped) => {
            tracing::info!(base = %id, dropped, "entries that the do-not-call base has are dropped")
        }
        Err(error) => {
            tracing::warn!(base = %id, %error, "entries that the do-not-call base has stay beside it")
        }
    }
}

async fn drop_settled(backend: &Backend, id: DncBaseId) -> Result<u64, SettleError> {
    let Some(base) = backend.bases.get(id) else {
        return Ok(0);
    };
    let now = service::clock::wall();
    let ripe =
        |fact: &DncFact| folds(fact) && fact.entry.added_at + limits::DNC_SETTLED_AFTER <= now;
    let ripe = entries(backend, ripe).await;
    let index = (backend.member.directory()).read(ledger::Directory::dnc_index);
    if ripe.is_empty() {
        return Ok(0);
    }
    // No node that may dial is without the base by then.
    backend.effective(index).await?;
    // A damaged one says yes where it cannot know.
    let settled: Vec<DncRemoval> = on_disk(move || {
        base.verify(|_| {})?;
        let has = |entry: &DncRemoval| base.contains(entry.number);
        Ok::<_, DncBaseError>(ripe.into_iter().filter(has).collect())
    })
    .await?;
    let mut dropped = 0;
    for remove in settled.chunks(limits::DNC_BATCH) {
        let change = Change::SettleDnc {
            base: id,
            remove: remove.to_vec(),
        };
        match backend.change(change).await?.reply {
            DirectoryReply::Dnc { removed, .. } => dropped += u64::from(removed),
            other => return Err(unexpected(&other).into()),
        }
    }
    Ok(dropped)
}

/// Entries stay beside the base.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    NotEffective(#[from] AskError),
    #[error(transparent)]
    Damaged(#[from] DncBaseError),
    #[error(transparent)]
    Refused(#[from] BackendError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_keeps_its_origin_and_its_bound() {
        assert_eq!(source("FTC, November", 7), "FTC, November (with 7 since)");
        assert_eq!(source("FTC (with 7 since)", 12), "FTC (with 12 since)");
        let long = source(&"长".repeat(60), 12);
        assert!(
            long.len() <= limits::NAME_BYTES && long.ends_with("(with 12 since)"),
            "{long}"
        );
    }
}
