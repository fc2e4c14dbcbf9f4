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
use std::{collections::BTreeMap, fmt, num::ParseIntError, str::FromStr, time::Instant};

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

/// Where a freeze stands in the list: the directory's index that added it, and its place among those
/// of that entry. It stays when others come and go, and no number is seen in logs on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64, u32);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Place {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (index, place) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self(index.parse()?, place.parse()?))
    }
}

/// The next freezes of the list, oldest first: as many as a page needs to know whether it is the
/// last. Of one entry all come, so that their places are known.
fn next_freezes<'a>(
    all: impl Iterator<Item = (&'a domain::Freeze, u64)>,
    from: u64,
    most: usize,
) -> Vec<(Place, &'a domain::Freeze)> {
    let mut found: BTreeMap<u64, Vec<&domain::Freeze>> = BTreeMap::new();
    let mut count = 0;
    for (freeze, index) in all.filter(|(_, index)| *index >= from) {
        let last = found.last_key_value().map(|(last, of)| (*last, of.len()));
        if let Some((last, _)) = last
            && index > last
            && count >= most
        {
            continue;
        }
        found.entry(index).or_default().push(freeze);
        count += 1;
        // The entry of before the page goes beside what it shows.
        if let Some((last, of)) = last
            && index < last
            && count - of >= most
        {
            found.remove(&last);
            count -= of;
        }
    }
    let placed = |(index, of): (u64, Vec<&'a domain::Freeze>)| {
        let places = (0u32..).map(move |place| Place(index, place));
        places.zip(of).collect::<Vec<_>>()
    };
    found.into_iter().flat_map(placed).collect()
}

/// Freezes that hold now, oldest first.
pub(crate) fn freezes(backend: &Backend, query: &PageQuery) -> Answer<Page<Freeze>> {
    let now = service::clock::wall();
    let after = (query.cursor.as_deref()).and_then(|cursor| cursor.parse::<Place>().ok());
    let most = query.limit() + limits::DNC_BATCH + 1;
    (backend.member.directory()).read(|directory| {
        let holding = directory.freezes().filter(|(freeze, _)| freeze.until > now);
        let next = next_freezes(holding, after.map_or(0, |place| place.0), most);
        page(next.into_iter(), query).map(|page| page.map(Freeze::from))
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

#[cfg(test)]
mod tests {
    use super::*;
    use domain::WallTime;

    fn freeze(n: u64) -> domain::Freeze {
        let number = domain::PhoneNumber::from_digits(14_155_550_000 + n).unwrap();
        domain::Freeze {
            target: Target::Number(number),
            until: WallTime::from_millis(9),
            reason: "asked to wait".into(),
            source: "complaints".into(),
            frozen_at: WallTime::EPOCH,
        }
    }

    /// Every page of a list that loses some and gains some between two.
    #[test]
    fn nothing_is_left_out_when_freezes_come_and_go_between_pages() {
        // Targets in another order than indexes; eight of one entry.
        let index = |n: u64| if n < 7 { 50 } else { (n * 37) % 101 };
        let mut all: Vec<_> = (0..40).map(|n| (freeze(n), index(n))).collect();
        let (mut seen, mut cursor, mut page_no) = (Vec::new(), None, 0);
        loop {
            let query = PageQuery {
                limit: Some(3),
                cursor: cursor.take(),
            };
            let from = (query.cursor.as_deref()).map_or(0, |c| c.parse::<Place>().unwrap().0);
            let most = query.limit() + 8 + 1;
            let holding = all.iter().map(|(freeze, index)| (freeze, *index));
            let next = next_freezes(holding, from, most);
            assert!(next.len() < most + 8, "bounded");
            let shown = page(next.into_iter(), &query).unwrap();
            seen.extend(shown.data.iter().map(|freeze| freeze.target));
            cursor = shown.next_cursor;
            let Some(last) = &cursor else { break };
            let last: Place = last.parse().unwrap();
            page_no += 1;
            // One that was shown is lifted, and another comes: neither moves the rest.
            if let Some(place) = all.iter().position(|(_, index)| *index < last.0) {
                all.remove(place);
            }
            if page_no == 2 {
                all.push((freeze(99), 200));
            }
        }
        let mut all: Vec<_> = (0..40).map(freeze).map(|freeze| freeze.target).collect();
        all.push(freeze(99).target);
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, all, "each once");
        assert_eq!(seen.last(), Some(&freeze(99).target), "oldest first");
        assert!("x".parse::<Place>().is_err() && "5.".parse::<Place>().is_err());
    }
}
