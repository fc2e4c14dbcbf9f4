//! Do-not-call patterns and freezes.

use crate::{
    backend::{Backend, audit, missing, page, unexpected},
    dnc::{acknowledged, check_scope},
};
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{
        Acknowledgement, DncPattern, DncResult, Freeze, FreezeLift, FreezeRequest, Page, PageQuery,
        PatternRemoval, PatternRequest,
    },
    problem::{BackendError, FieldError},
};
use domain::{DncScope, DncSource, Prefix, Target, limits};
use ledger::{Change, DirectoryReply, Removal};
use std::{collections::BTreeMap, time::Instant};

/// A place in the list: digits, then the scope, in the order of both.
fn place(prefix: Prefix, scope: DncScope) -> String {
    match scope {
        DncScope::Mesh => format!("{prefix}"),
        DncScope::Campaign(id) => format!("{prefix}.{id}"),
        DncScope::Region(id) => format!("{prefix}.{id}"),
    }
}

pub(crate) fn patterns(backend: &Backend, query: &PageQuery) -> Answer<Page<DncPattern>> {
    (backend.member.directory()).read(|directory| {
        let whole = directory.dnc_patterns().map(|(p, _)| (p, DncScope::Mesh));
        let scoped = directory.scoped_patterns().map(|(p, scope, _)| (p, scope));
        let all: BTreeMap<String, (&domain::DncPattern, DncScope)> = (whole.chain(scoped))
            .map(|(p, scope)| (place(p.prefix, scope), (p, scope)))
            .collect();
        page(all.into_iter(), query).map(|page| page.map(DncPattern::from))
    })
}

pub(crate) async fn add_pattern(
    backend: &Backend,
    by: &Caller,
    prefix: Prefix,
    request: PatternRequest,
) -> Answer<DncResult> {
    let (begun, scope) = (Instant::now(), DncScope::from(request.scope));
    check_scope(backend, scope)?;
    let detail = format!("{prefix} {scope:?}: {}", request.reason);
    audit(by, "add_do_not_call_pattern", &detail);
    let pattern = domain::DncPattern {
        prefix,
        source: DncSource::Admin,
        reason: request.reason,
        added_at: service::clock::wall(),
    };
    let change = Change::ChangeScopedPatterns {
        scope,
        add: vec![pattern],
        remove: Vec::new(),
        reason: String::new(),
    };
    match backend.change(change).await?.reply {
        DirectoryReply::Clearance { index, .. } => {
            acknowledged(backend, begun, index, request.wait, "the pattern").await
        }
        other => Err(unexpected(&other)),
    }
}

pub(crate) async fn remove_pattern(
    backend: &Backend,
    by: &Caller,
    prefix: Prefix,
    removal: PatternRemoval,
) -> Answer<DncResult> {
    let begun = Instant::now();
    let directory = backend.member.directory();
    let scope = DncScope::from(removal.scope);
    let index = directory.read(|d| d.pattern_in(prefix, scope).map(|(_, index)| index));
    let index = index.ok_or_else(|| missing("do-not-call pattern of that scope:", prefix))?;
    let detail = format!("{prefix} {scope:?}: {}", removal.reason);
    audit(by, "remove_do_not_call_pattern", &detail);
    let change = Change::ChangeScopedPatterns {
        scope,
        add: Vec::new(),
        remove: vec![Removal { key: prefix, index }],
        reason: removal.reason,
    };
    removed(backend, begun, change, "the pattern").await
}

/// Freezes that hold now. The place is the cursor: a number would be seen in logs on the way.
pub(crate) fn freezes(backend: &Backend, query: &PageQuery) -> Answer<Page<Freeze>> {
    let now = service::clock::wall();
    (backend.member.directory()).read(|directory| {
        let all = directory.freezes().map(|(freeze, _)| freeze);
        let holding = all.filter(|freeze| freeze.until > now);
        page((1u64..).zip(holding), query).map(|page| page.map(Freeze::from))
    })
}

pub(crate) async fn freeze(
    backend: &Backend,
    by: &Caller,
    target: Target,
    request: FreezeRequest,
) -> Answer<DncResult> {
    let (begun, now) = (Instant::now(), service::clock::wall());
    let until = request.until.0;
    if until <= now || until > now + limits::FREEZE_MAX {
        let days = limits::FREEZE_MAX.as_secs() / 86_400;
        let why = format!("is {until}; expected a time within the next {days} days");
        return Err(BackendError::Invalid(vec![FieldError::new("/until", why)]));
    }
    let detail = format!("{target} until {until}: {}", request.reason);
    audit(by, "freeze", &detail);
    let freeze = domain::Freeze {
        target,
        until,
        reason: request.reason,
        source: request.source.unwrap_or_else(|| by.principal.name.clone()),
        frozen_at: now,
    };
    let change = Change::ChangeFreezes {
        add: vec![freeze],
        lift: Vec::new(),
        reason: String::new(),
    };
    match backend.change(change).await?.reply {
        DirectoryReply::Clearance { index, .. } => {
            acknowledged(backend, begun, index, request.wait, "the freeze").await
        }
        other => Err(unexpected(&other)),
    }
}

pub(crate) async fn lift(
    backend: &Backend,
    by: &Caller,
    target: Target,
    request: FreezeLift,
) -> Answer<DncResult> {
    let begun = Instant::now();
    let directory = backend.member.directory();
    let index = directory.read(|d| d.freeze_of(target).map(|(_, index)| index));
    let index = index.ok_or_else(|| missing("freeze of", target))?;
    let detail = format!("{target}: {}", request.reason);
    audit(by, "lift_freeze", &detail);
    let change = Change::ChangeFreezes {
        add: Vec::new(),
        lift: vec![Removal { key: target, index }],
        reason: request.reason,
    };
    removed(backend, begun, change, "the freeze").await
}

/// Sends a removal of one entry.
async fn removed(
    backend: &Backend,
    begun: Instant,
    change: Change,
    what: &str,
) -> Answer<DncResult> {
    match backend.change(change).await?.reply {
        DirectoryReply::Clearance {
            index, removed: 1, ..
        } => Ok(DncResult {
            state: Acknowledgement::Committed,
            index,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        }),
        DirectoryReply::Clearance { .. } => {
            let why = format!("{what} was asked for again meanwhile and stays; look at it again");
            Err(BackendError::Conflict(why))
        }
        other => Err(unexpected(&other)),
    }
}
