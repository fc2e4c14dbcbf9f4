//! Do-not-call entries.

use crate::backend::{Backend, audit, missing, unexpected};
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{Acknowledgement, DncCheck, DncPattern, DncRemoval, DncRequest, DncResult, Wait},
    problem::BackendError,
};
use domain::{DncBaseId, DncEntry, DncScope, DncSource, PhoneNumber};
use ledger::{Change, DirectoryReply};
use std::time::{Duration, Instant};

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the scope's campaign or region is known.
pub(crate) fn check_scope(backend: &Backend, scope: DncScope) -> Answer<()> {
    backend.member.directory().read(|directory| match scope {
        DncScope::Mesh => Ok(()),
        DncScope::Campaign(id) => directory
            .campaign(id)
            .map(drop)
            .ok_or_else(|| missing("campaign", id)),
        DncScope::Region(id) => {
            let known = directory.regions().any(|r| r.id == id);
            known.then_some(()).ok_or_else(|| missing("region", id))
        }
    })
}

pub(crate) async fn add(
    backend: &Backend,
    by: &Caller,
    number: PhoneNumber,
    request: DncRequest,
) -> Answer<DncResult> {
    let (begun, scope) = (Instant::now(), DncScope::from(request.scope));
    check_scope(backend, scope)?;
    audit(by, "add_do_not_call", &format!("{number} {scope:?}"));
    let added_at = service::clock::wall();
    let entry = DncEntry {
        number,
        scope,
        source: DncSource::Admin,
        added_at,
    };
    let change = Change::ChangeDnc {
        add: vec![entry],
        remove: Vec::new(),
        reason: String::new(),
    };
    let index = match backend.change(change).await?.reply {
        DirectoryReply::Dnc { index, .. } => index,
        other => return Err(unexpected(&other)),
    };
    acknowledged(backend, begun, index, request.wait, "the entry").await
}

/// Waits until the directory's entry `index` has come as far as was asked.
pub(crate) async fn acknowledged(
    backend: &Backend,
    begun: Instant,
    index: u64,
    wait: Wait,
    what: &str,
) -> Answer<DncResult> {
    let state = match wait {
        Wait::Committed => Acknowledgement::Committed,
        Wait::Effective => {
            backend
                .effective(index)
                .await
                .map_err(|error| BackendError::Unavailable {
                    detail: format!(
                        "{what} is agreed on at index {index} and will not be lost, but {error}"
                    ),
                    retry_after: Duration::from_secs(5),
                })?;
            metrics::histogram!("dialmesh_dnc_effective_seconds")
                .record(begun.elapsed().as_secs_f64());
            Acknowledgement::Effective
        }
    };
    Ok(DncResult {
        state,
        index,
        took_ms: millis(begun.elapsed()),
    })
}

pub(crate) fn check(backend: &Backend, by: &Caller, number: PhoneNumber) -> DncCheck {
    audit(by, "check_do_not_call", &number.to_string());
    let in_base = crate::bases::holds(backend, number);
    backend.member.directory().read(|directory| {
        let entries: Vec<_> = directory
            .dnc_of(number)
            .map(|fact| (&fact.entry).into())
            .collect();
        let pattern = directory.dnc_pattern_of(number);
        let lift = directory.dnc_lift(number).map(|(lift, _)| lift);
        let scoped: Vec<DncPattern> = (directory.scoped_patterns())
            .filter(|(pattern, ..)| pattern.prefix.covers(number))
            .map(|(pattern, scope, _)| (pattern, scope).into())
            .collect();
        let freezes = (directory.freezes_of(number, service::clock::wall()))
            .map(Into::into)
            .collect();
        DncCheck {
            number: number.to_string(),
            listed: (in_base && lift.is_none())
                || !entries.is_empty()
                || pattern.is_some()
                || !scoped.is_empty(),
            in_base,
            lifted_for: lift.map(|lift| lift.reason.clone()),
            entries,
            pattern: pattern.map(|prefix| prefix.to_string()),
            scoped_patterns: scoped,
            freezes,
            applied_index: directory.applied(),
        }
    })
}

pub(crate) async fn remove(
    backend: &Backend,
    by: &Caller,
    number: PhoneNumber,
    removal: DncRemoval,
) -> Answer<DncResult> {
    let (begun, scope) = (Instant::now(), DncScope::from(removal.scope));
    let known = backend
        .member
        .directory()
        .read(|d| d.dnc_entry(number, scope));
    let in_base = scope == DncScope::Mesh && crate::bases::covers(backend, number);
    let Some(known) = known else {
        if in_base {
            return lift(backend, by, number, removal.reason).await;
        }
        let covered = |d: &ledger::Directory| d.dnc_pattern_of(number).is_some();
        return Err(match backend.member.directory().read(covered) {
            true => {
                let why = "a do-not-call pattern covers the number, and no entry of its own; remove \
                           the pattern if all its numbers may be dialed";
                BackendError::Conflict(why.to_owned())
            }
            false => missing("do-not-call entry of that scope for", number),
        });
    };
    audit(
        by,
        "remove_do_not_call",
        &format!("{number} {scope:?}: {}", removal.reason),
    );
    let gone = ledger::DncRemoval {
        number,
        scope,
        index: known.index,
    };
    let change = Change::ChangeDnc {
        add: Vec::new(),
        remove: vec![gone],
        reason: removal.reason.clone(),
    };
    match backend.change(change).await?.reply {
        DirectoryReply::Dnc { removed: 1, .. } if in_base => {
            lift(backend, by, number, removal.reason).await
        }
        DirectoryReply::Dnc {
            index, removed: 1, ..
        } => Ok(DncResult {
            state: Acknowledgement::Committed,
            index,
            took_ms: millis(begun.elapsed()),
        }),
        DirectoryReply::Dnc { .. } => {
            let why = "the entry was asked for again meanwhile and stays; look at it again";
            Err(BackendError::Conflict(why.to_owned()))
        }
        other => Err(unexpected(&other)),
    }
}

/// Lets a number be dialed although the base in use has it.
async fn lift(
    backend: &Backend,
    by: &Caller,
    number: PhoneNumber,
    reason: String,
) -> Answer<DncResult> {
    let begun = Instant::now();
    audit(by, "lift_do_not_call", &format!("{number}: {reason}"));
    // The directory keeps as much of it as of any reason.
    let mut kept = reason;
    while kept.len() > domain::limits::NAME_BYTES {
        kept.pop();
    }
    let lift = ledger::DncLift {
        number,
        reason: kept,
        lifted_at: service::clock::wall(),
    };
    let change = Change::ChangeLifts {
        add: vec![lift],
        remove: Vec::new(),
    };
    match backend.change(change).await?.reply {
        DirectoryReply::Clearance { index, .. } => Ok(DncResult {
            state: Acknowledgement::Committed,
            index,
            took_ms: millis(begun.elapsed()),
        }),
        other => Err(unexpected(&other)),
    }
}

/// Forgets lifts of numbers that the base in use does not have any more: should a registry name one
/// again, that counts.
pub(crate) async fn forget_lifts(backend: &Backend, id: DncBaseId) -> Answer<()> {
    let Some(base) = backend.bases.get(id) else {
        return Ok(());
    };
    let directory = backend.member.directory();
    let idle: Vec<ledger::Removal<PhoneNumber>> = directory.read(|d| {
        let lifts = d
            .dnc_lifts()
            .filter(|(lift, _)| !base.contains(lift.number));
        let removal = |(lift, index): (&ledger::DncLift, u64)| ledger::Removal {
            key: lift.number,
            index,
        };
        lifts.map(removal).collect()
    });
    for remove in idle.chunks(domain::limits::DNC_BATCH) {
        // Another base may be in use by now, which has them again.
        if directory.read(ledger::Directory::dnc_base_in_use) != Some(id) {
            break;
        }
        let change = Change::ChangeLifts {
            add: Vec::new(),
            remove: remove.to_vec(),
        };
        match backend.change(change).await?.reply {
            DirectoryReply::Clearance { .. } => {}
            other => return Err(unexpected(&other)),
        }
    }
    Ok(())
}
