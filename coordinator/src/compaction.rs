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
use permit::base::BaseAbout;
use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};
use storage::{BuildProgress, DncBase, DncBaseBuild, SORT_MEMORY};

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

/// Begins to build; the answer is the operation under way.
pub(crate) async fn start(backend: &Arc<Backend>, by: &Caller) -> Answer<Operation> {
    let in_use = (backend.member.directory()).read(ledger::Directory::dnc_base_in_use);
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
    let added: BTreeSet<PhoneNumber> = (backend.member.directory()).read(|d| {
        d.dnc()
            .filter(folds)
            .map(|fact| fact.entry.number)
            .collect()
    });
    if added.is_empty() {
        let why = "no registry has said anything since the base in use was built; import its \
                   changes with `dialmesh dnc import --registry`";
        return Err(BackendError::Conflict(why.to_owned()));
    }
    audit(
        by,
        "compact_do_not_call_base",
        &format!("{id} and {} entries", added.len()),
    );
    let running = (backend.operations).begin("do_not_call_compaction", false, None);
    let running = running.map_err(|e| BackendError::Internal(e.to_string()))?;
    let begun = running.operation.clone();
    let work = build(Arc::clone(backend), base, added, running);
    backend.tasks.spawn("do_not_call_compaction", work);
    Ok(begun)
}

async fn build(
    backend: Arc<Backend>,
    base: Arc<DncBase>,
    added: BTreeSet<PhoneNumber>,
    mut running: Running,
) {
    let folded = added.len() as u64;
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
    let blocking = tokio::task::spawn_blocking(move || {
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
    let (opened, mut running) = match blocking.await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
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
            match backend.change(Change::StageDncBase { base: new }).await {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("the base is built and not staged: {error}")),
            }
        }
        Err(error) => Err(error),
    };
    running.end(result.err());
}

/// Drops the entries of registries that the base in use has in it. Called once that base is in use.
pub(crate) async fn settle(backend: Arc<Backend>, id: DncBaseId, index: u64) {
    if let Err(error) = crate::dnc::forget_lifts(&backend, id).await {
        tracing::warn!(base = %id, %error, "lifts of numbers that the base does not have stay");
    }
    if let Err(error) = backend.effective(index).await {
        tracing::info!(%error, "entries that the do-not-call base has stay beside it");
        return;
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

async fn drop_settled(backend: &Backend, id: DncBaseId) -> Answer<u64> {
    let Some(base) = backend.bases.get(id) else {
        return Ok(0);
    };
    let directory = backend.member.directory();
    let settled: Vec<DncRemoval> = directory.read(|d| {
        (d.dnc().filter(folds))
            .filter(|fact| base.contains(fact.entry.number))
            .map(|fact| DncRemoval {
                number: fact.entry.number,
                scope: fact.entry.scope,
                index: fact.index,
            })
            .collect()
    });
    let mut dropped = 0;
    for removals in settled.chunks(limits::DNC_BATCH) {
        // Another base may be in use by now: what is left stays.
        if directory.read(ledger::Directory::dnc_base_in_use) != Some(id) {
            break;
        }
        let change = Change::ChangeDnc {
            add: Vec::new(),
            remove: removals.to_vec(),
            reason: "the do-not-call base in use has them".to_owned(),
        };
        match backend.change(change).await?.reply {
            DirectoryReply::Dnc { removed, .. } => dropped += u64::from(removed),
            other => return Err(unexpected(&other)),
        }
    }
    Ok(dropped)
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
