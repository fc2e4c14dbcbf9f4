//! Trunks and caller IDs.

use crate::{
    backend::{Backend, audit, missing, page, unexpected},
    nodes::Heard,
    status::trunk_state,
};
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{
        CallerId, CallerIdPatch, CallerIdsAdded, CallerIdsRequest, Page, PageQuery, Trunk,
        TrunkPatch, TrunkRequest,
    },
    problem::{BackendError, FieldError},
};
use domain::{PhoneNumber, TrunkId};
use ledger::{Change, DirectoryReply};

/// As it is shown, with what its node says of it.
fn shown(backend: &Backend, trunk: &domain::Trunk, manner: &domain::TrunkManner) -> Trunk {
    let heard = backend.nodes.of(trunk.node);
    let fresh = heard.as_ref().is_some_and(Heard::is_fresh);
    let said = heard.map(|heard| heard.status).unwrap_or_default();
    let health = said.trunk_health.iter().find(|seen| seen.trunk == trunk.id);
    Trunk::new(trunk, manner).with_health(trunk_state(trunk, &said, fresh), health)
}

pub(crate) fn list(backend: &Backend, query: &PageQuery) -> Answer<Page<Trunk>> {
    backend.member.directory().read(|directory| {
        let all = directory.trunks().map(|trunk| (trunk.id, trunk));
        let of = |trunk: &domain::Trunk| shown(backend, trunk, &directory.trunk_manner(trunk.id));
        page(all, query).map(|page| page.map(of))
    })
}

fn known(backend: &Backend, id: TrunkId) -> Answer<(domain::Trunk, domain::TrunkManner)> {
    let found = (backend.member.directory())
        .read(|d| d.trunk(id).map(|trunk| (trunk.clone(), d.trunk_manner(id))));
    found.ok_or_else(|| missing("trunk", id))
}

pub(crate) fn show(backend: &Backend, id: TrunkId) -> Answer<Trunk> {
    let (trunk, manner) = known(backend, id)?;
    Ok(shown(backend, &trunk, &manner))
}

async fn set(
    backend: &Backend,
    trunk: domain::Trunk,
    manner: domain::TrunkManner,
) -> Answer<Trunk> {
    let security = manner.security;
    let directory = backend.member.directory();
    let known = directory.read(|d| d.trunk_manner(trunk.id).security);
    let manner = Box::new(manner);
    // Members of the release before cannot read how calls are vouched for: only said where it changes.
    let change = match security == known {
        true => Change::SetTrunkAndManner { trunk, manner },
        false => Change::SetTrunkWhole {
            trunk,
            manner,
            security,
        },
    };
    match backend.change(change).await?.reply {
        DirectoryReply::Trunk(id) => show(backend, id),
        other => Err(unexpected(&other)),
    }
}

pub(crate) async fn create(backend: &Backend, by: &Caller, request: TrunkRequest) -> Answer<Trunk> {
    audit(by, "create_trunk", &request.name);
    let made = request.into_domain(TrunkId(0)).ok_or_else(|| {
        let wrong = FieldError::new("/profile".to_owned(), "is not known".to_owned());
        BackendError::Invalid(vec![wrong])
    });
    let (trunk, manner) = made?;
    set(backend, trunk, manner).await
}

pub(crate) async fn patch(
    backend: &Backend,
    by: &Caller,
    id: TrunkId,
    patch: TrunkPatch,
) -> Answer<Trunk> {
    audit(by, "patch_trunk", &id.to_string());
    let _edit = backend.edit.lock().await;
    let (mut trunk, mut manner) = known(backend, id)?;
    patch.apply(&mut trunk, &mut manner);
    set(backend, trunk, manner).await
}

pub(crate) async fn delete(backend: &Backend, by: &Caller, id: TrunkId) -> Answer<()> {
    show(backend, id)?;
    audit(by, "delete_trunk", &id.to_string());
    backend.change(Change::RemoveTrunk { id }).await.map(drop)
}

pub(crate) fn caller_ids(backend: &Backend, query: &PageQuery) -> Answer<Page<CallerId>> {
    backend.member.directory().read(|directory| {
        let all = directory.caller_ids().map(|c| (c.number.digits(), c));
        page(all, query).map(|page| page.map(CallerId::from))
    })
}

pub(crate) async fn add_caller_ids(
    backend: &Backend,
    by: &Caller,
    request: CallerIdsRequest,
) -> Answer<CallerIdsAdded> {
    audit(
        by,
        "add_caller_ids",
        &format!("{} numbers", request.caller_ids.len()),
    );
    let _edit = backend.edit.lock().await;
    let mut caller_ids = Vec::with_capacity(request.caller_ids.len());
    let mut updated = 0;
    for (at, wanted) in request.caller_ids.iter().enumerate() {
        let mut caller_id = wanted.to_domain().map_err(|error| {
            let pointer = format!("/caller_ids/{at}/number");
            BackendError::Invalid(vec![FieldError::new(pointer, error.to_string())])
        })?;
        let known = backend
            .member
            .directory()
            .read(|d| d.caller_id(caller_id.number).copied());
        if let Some(known) = known {
            caller_id.resting = known.resting;
            updated += 1;
        }
        caller_ids.push(caller_id);
    }
    let added = caller_ids.len() - updated;
    backend.change(Change::SetCallerIds { caller_ids }).await?;
    Ok(CallerIdsAdded { added, updated })
}

fn caller_id(backend: &Backend, number: PhoneNumber) -> Answer<domain::CallerId> {
    let found = backend
        .member
        .directory()
        .read(|d| d.caller_id(number).copied());
    found.ok_or_else(|| missing("caller ID", number))
}

pub(crate) async fn patch_caller_id(
    backend: &Backend,
    by: &Caller,
    number: PhoneNumber,
    patch: CallerIdPatch,
) -> Answer<CallerId> {
    audit(by, "patch_caller_id", &number.to_string());
    let _edit = backend.edit.lock().await;
    let mut known = caller_id(backend, number)?;
    known.resting = patch.resting.unwrap_or(known.resting);
    known.caps.per_day = patch.per_day.unwrap_or(known.caps.per_day);
    known.caps.per_hour = patch.per_hour.unwrap_or(known.caps.per_hour);
    backend
        .change(Change::SetCallerIds {
            caller_ids: vec![known],
        })
        .await?;
    Ok(CallerId::from(&known))
}

pub(crate) async fn delete_caller_id(
    backend: &Backend,
    by: &Caller,
    number: PhoneNumber,
) -> Answer<()> {
    caller_id(backend, number)?;
    audit(by, "delete_caller_id", &number.to_string());
    backend
        .change(Change::RemoveCallerIds {
            numbers: vec![number],
        })
        .await
        .map(drop)
}
