//! Do-not-call entries.

use crate::backend::{Backend, audit, missing, unexpected};
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{Acknowledgement, DncCheck, DncRemoval, DncRequest, DncResult, Wait},
    problem::BackendError,
};
use domain::{DncEntry, DncScope, DncSource, PhoneNumber};
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
    let in_base = crate::bases::covers(backend, number);
    backend.member.directory().read(|directory| {
        let entries: Vec<_> = directory
            .dnc_of(number)
            .map(|fact| (&fact.entry).into())
            .collect();
        let pattern = directory.dnc_pattern_of(number);
        let freezes = (directory.freezes_of(number, service::clock::wall()))
            .map(Into::into)
            .collect();
        DncCheck {
            number: number.to_string(),
            listed: in_base || !entries.is_empty() || pattern.is_some(),
            in_base,
            entries,
            pattern: pattern.map(|prefix| prefix.to_string()),
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
    let known = known.ok_or_else(|| match crate::bases::covers(backend, number) {
        true => BackendError::Conflict(
            "the number is in the do-not-call base; build a base without it and put that into use"
                .to_owned(),
        ),
        false if backend.member.directory().read(|d| d.dnc_pattern_of(number).is_some()) => {
            let why = "a do-not-call pattern covers the number, and no entry of its own; remove the \
                       pattern if all its numbers may be dialed";
            BackendError::Conflict(why.to_owned())
        }
        false => missing("do-not-call entry of that scope for", number),
    })?;
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
        reason: removal.reason,
    };
    match backend.change(change).await?.reply {
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
