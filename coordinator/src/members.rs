//! Members, regions, home rules, join tokens.

use crate::{
    backend::{Backend, audit, missing, page, unexpected},
    notes::JoinNote,
    people::token_id,
};
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{
        AuditHead, HomeRule, HomeRules, JoinToken, JoinTokenCreated, JoinTokenRequest, Member,
        Page, PageQuery, Region, RegionRequest,
    },
    problem::{BackendError, FieldError},
};
use domain::{MemberId, Secret};
use ledger::{Change, Directory, DirectoryReply, TokenId};
use std::time::Duration;

/// How long a new region's group may take to run here before the answer goes out without it.
const REGION: Duration = Duration::from_secs(5);

fn view(backend: &Backend, directory: &Directory, member: &domain::Member) -> Member {
    let me = backend.member.id() == member.id;
    let reachable = me || backend.member.endpoint().is_connected(member.id);
    Member {
        failure_domain: directory.failure_domain(member).to_owned(),
        legal_domain: directory
            .place(member.id)
            .and_then(|p| p.legal_domain.clone()),
        draining: directory.is_draining(member.id),
        understands: directory.understands(member.id).0,
        ..Member::new(member, reachable)
    }
}

pub(crate) fn list(backend: &Backend, query: &PageQuery) -> Answer<Page<Member>> {
    backend.member.directory().read(|directory| {
        page(directory.members().map(|m| (m.id, m)), query)
            .map(|page| page.map(|m| view(backend, directory, m)))
    })
}

pub(crate) fn show(backend: &Backend, id: MemberId) -> Answer<Member> {
    let found = backend
        .member
        .directory()
        .read(|d| d.member(id).map(|member| view(backend, d, member)));
    found.ok_or_else(|| missing("member", id))
}

pub(crate) async fn remove(backend: &Backend, by: &Caller, id: MemberId) -> Answer<()> {
    if show(backend, id)?.removed {
        return Err(BackendError::Conflict(format!("{id} was removed already")));
    }
    audit(by, "remove_member", &id.to_string());
    backend.change(Change::RemoveMember { id }).await.map(drop)
}

pub(crate) fn regions(backend: &Backend, query: &PageQuery) -> Answer<Page<Region>> {
    backend.member.directory().read(|directory| {
        page(directory.regions().map(|r| (r.id, r)), query).map(|page| page.map(Region::from))
    })
}

pub(crate) fn audit_heads(backend: &Backend, query: &PageQuery) -> Answer<Page<AuditHead>> {
    let view = |head: &ledger::AuditHead| AuditHead {
        node: head.member,
        sequence: head.sequence,
        hash: head.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        told_at: head.at.into(),
    };
    backend.member.directory().read(|directory| {
        page(directory.audit_heads().map(|h| (h.member, h)), query).map(|page| page.map(view))
    })
}

pub(crate) async fn create_region(
    backend: &Backend,
    by: &Caller,
    request: RegionRequest,
) -> Answer<Region> {
    audit(by, "create_region", &request.name);
    let name = request.name.trim().to_owned();
    match backend
        .change(Change::SetRegion {
            id: None,
            name: name.clone(),
        })
        .await?
        .reply
    {
        DirectoryReply::Region(id) => {
            if let Err(error) = backend.region(id, REGION).await {
                tracing::warn!(%error, "a new region's group is not there yet");
            }
            Ok(Region { id, name })
        }
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn home_rules(backend: &Backend) -> HomeRules {
    let rules = backend
        .member
        .directory()
        .read(|d| d.home_rules().iter().map(HomeRule::from).collect());
    HomeRules { rules }
}

pub(crate) async fn set_home_rules(
    backend: &Backend,
    by: &Caller,
    rules: HomeRules,
) -> Answer<HomeRules> {
    audit(
        by,
        "set_home_rules",
        &format!("{} rules", rules.rules.len()),
    );
    let change = Change::PlanHomes {
        rules: crate::homes::rules(&rules.rules)?,
        move_leads: false,
    };
    backend.change(change).await?;
    Ok(home_rules(backend))
}

fn join_text(id: TokenId) -> String {
    format!("join_{:08x}", id.0)
}

fn join_view(backend: &Backend, token: &ledger::JoinToken) -> JoinToken {
    let user = token.used_by.and_then(|id| {
        backend
            .member
            .directory()
            .read(|d| d.member(id).map(|m| m.name.clone()))
    });
    JoinToken {
        id: join_text(token.id),
        role: token.role,
        name: backend
            .notes
            .join_token(token.id)
            .map(|note| note.name)
            .or(user)
            .unwrap_or_default(),
        region: token.region,
        expires_at: token.expires_at.into(),
        used: token.used_by.is_some(),
    }
}

fn live_join_tokens(backend: &Backend) -> Vec<ledger::JoinToken> {
    let now = service::clock::wall();
    let live = |t: &&ledger::JoinToken| t.expires_at > now;
    backend
        .member
        .directory()
        .read(|d| d.join_tokens().filter(live).cloned().collect())
}

pub(crate) fn join_tokens(backend: &Backend, query: &PageQuery) -> Answer<Page<JoinToken>> {
    let live = live_join_tokens(backend);
    page(live.iter().map(|t| (t.id.0, t)), query).map(|page| page.map(|t| join_view(backend, t)))
}

pub(crate) async fn create_join_token(
    backend: &Backend,
    by: &Caller,
    request: JoinTokenRequest,
) -> Answer<JoinTokenCreated> {
    let name = request.name.trim().to_owned();
    let taken = backend
        .member
        .directory()
        .read(|d| d.members().any(|m| !m.removed && m.name == name));
    if taken {
        let error = FieldError::new(
            "/name",
            "is taken by another member; choose another or remove that one",
        );
        return Err(BackendError::Invalid(vec![error]));
    }
    audit(
        by,
        "create_join_token",
        &format!("{name} {:?}", request.role),
    );
    let token = mesh::JoinToken::generate(backend.ca_key_hash);
    let now = service::clock::wall();
    let expires_at = now + Duration::from_secs(request.ttl_seconds);
    let change = Change::AddJoinToken {
        hash: *blake3::hash(token.secret().expose().as_bytes()).as_bytes(),
        role: request.role,
        region: request.region,
        expires_at,
    };
    let DirectoryReply::Token(id) = backend.change(change).await?.reply else {
        return Err(BackendError::Internal(
            "the directory made no token".to_owned(),
        ));
    };
    let kept = backend.notes.note_join_token(
        now,
        id,
        JoinNote {
            name: name.clone(),
            expires_at,
        },
    );
    kept.map_err(|error| BackendError::Internal(error.to_string()))?;
    let info = JoinToken {
        id: join_text(id),
        role: request.role,
        name,
        region: request.region,
        expires_at: expires_at.into(),
        used: false,
    };
    Ok(JoinTokenCreated {
        info,
        token: Secret::new(token.reveal()),
    })
}

pub(crate) async fn revoke_join_token(backend: &Backend, by: &Caller, id: &str) -> Answer<()> {
    let known =
        token_id(id, "join_").filter(|id| live_join_tokens(backend).iter().any(|t| t.id == *id));
    let id = known.ok_or_else(|| missing("join token", id))?;
    audit(by, "revoke_join_token", &join_text(id));
    backend
        .change(Change::RemoveJoinToken { id })
        .await
        .map(drop)
}
