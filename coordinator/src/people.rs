//! Agents, and the tokens of this API.

use crate::backend::{Backend, audit, missing, page, unexpected};
use dialmesh_http::{
    admin::Answer,
    auth::{Caller, Principal, Role, hash_token},
    dto::{
        Agent, AgentCreated, AgentPatch, AgentRequest, ApiToken, ApiTokenCreated, ApiTokenRequest,
        Page, PageQuery, TokenIssued,
    },
    problem::BackendError,
};
use domain::{AgentAccount, AgentId, Secret};
use ledger::{Change, DirectoryReply, TokenHash, TokenId};
use std::time::Duration;

/// Before every API token.
pub(crate) const API_TOKEN: &str = "dmat_";
/// Before every agent's token.
const AGENT_TOKEN: &str = "dmag_";

fn fresh(prefix: &str) -> Answer<Secret> {
    service::entropy::secret(prefix).map_err(|error| BackendError::Internal(error.to_string()))
}

/// BLAKE3 of a token's text, as the directory keeps it.
pub(crate) fn hash(token: &Secret) -> TokenHash {
    *blake3::hash(token.expose().as_bytes()).as_bytes()
}

fn from_hex(text: &str) -> Option<TokenHash> {
    let digits = text.as_bytes();
    let mut hash = TokenHash::default();
    if digits.len() != 2 * hash.len() || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// The API knows three steps; the directory's finer roles fall on the step that they include.
const fn role_of(role: ledger::Role) -> Role {
    match role {
        ledger::Role::Owner | ledger::Role::Admin => Role::Admin,
        ledger::Role::CampaignManager | ledger::Role::Supervisor | ledger::Role::Integration => {
            Role::Supervisor
        }
        ledger::Role::Qa | ledger::Role::Auditor => Role::Monitor,
    }
}

const fn role_from(role: Role) -> ledger::Role {
    match role {
        Role::Admin => ledger::Role::Admin,
        Role::Supervisor => ledger::Role::Supervisor,
        Role::Monitor => ledger::Role::Auditor,
    }
}

fn token_text(id: TokenId) -> String {
    format!("tok_{:08x}", id.0)
}

/// Reads `tok_0000002a` and the like.
pub(crate) fn token_id(text: &str, prefix: &str) -> Option<TokenId> {
    u64::from_str_radix(text.strip_prefix(prefix)?, 16)
        .ok()
        .map(TokenId)
}

pub(crate) fn authenticate(backend: &Backend, token_hash: &str) -> Option<Principal> {
    let (hash, now) = (from_hex(token_hash)?, service::clock::wall());
    backend.member.directory().read(|directory| {
        // Scopes are not judged by this API's routes: a scoped token opens none of them.
        let token = directory
            .api_token(&hash, now)
            .filter(|token| token.scopes.is_empty())?;
        let (token, name, role) = (
            token_text(token.id),
            token.name.clone(),
            role_of(token.role),
        );
        Some(Principal { token, name, role })
    })
}

pub(crate) fn agents(backend: &Backend, query: &PageQuery) -> Answer<Page<Agent>> {
    backend.member.directory().read(|directory| {
        page(directory.agents().map(|a| (a.id, a)), query).map(|page| page.map(Agent::from))
    })
}

pub(crate) fn agent(backend: &Backend, id: AgentId) -> Answer<Agent> {
    account(backend, id).map(|account| Agent::from(&account))
}

fn account(backend: &Backend, id: AgentId) -> Answer<AgentAccount> {
    let found = backend.member.directory().read(|d| d.agent(id).cloned());
    found.ok_or_else(|| missing("agent", id))
}

async fn set(backend: &Backend, account: AgentAccount) -> Answer<Agent> {
    match backend
        .change(Change::SetAgent {
            agent: Box::new(account),
        })
        .await?
        .reply
    {
        DirectoryReply::Agent(id) => agent(backend, id),
        other => Err(unexpected(&other)),
    }
}

pub(crate) async fn create_agent(
    backend: &Backend,
    by: &Caller,
    request: AgentRequest,
) -> Answer<AgentCreated> {
    audit(by, "create_agent", &request.login);
    let (sip_password, token) = (fresh("")?, fresh(AGENT_TOKEN)?);
    let account = AgentAccount {
        id: AgentId(0),
        login: request.login,
        name: request.name,
        node: request.node,
        campaigns: request.campaigns,
        sip_password: sip_password.clone(),
        token_hash: hash_token(token.expose()),
        enabled: true,
    };
    let agent = set(backend, account).await?;
    Ok(AgentCreated {
        agent,
        sip_password,
        token,
    })
}

pub(crate) async fn patch_agent(
    backend: &Backend,
    by: &Caller,
    id: AgentId,
    patch: AgentPatch,
) -> Answer<Agent> {
    audit(by, "patch_agent", &id.to_string());
    let _edit = backend.edit.lock().await;
    let mut account = account(backend, id)?;
    patch.apply(&mut account);
    set(backend, account).await
}

pub(crate) async fn rotate_agent_token(
    backend: &Backend,
    by: &Caller,
    id: AgentId,
) -> Answer<TokenIssued> {
    audit(by, "rotate_agent_token", &id.to_string());
    let _edit = backend.edit.lock().await;
    let (mut account, token) = (account(backend, id)?, fresh(AGENT_TOKEN)?);
    account.token_hash = hash_token(token.expose());
    set(backend, account).await?;
    Ok(TokenIssued { token })
}

fn view(backend: &Backend, token: &ledger::ApiToken) -> ApiToken {
    // The token of the founding is as old as the mesh.
    let founded = || {
        let directory = backend.member.directory();
        directory
            .read(|d| d.members().next().map(|m| m.joined_at))
            .unwrap_or_default()
    };
    ApiToken {
        id: token_text(token.id),
        name: token.name.clone(),
        role: role_of(token.role),
        created_at: backend
            .notes
            .made_at(token.id)
            .unwrap_or_else(founded)
            .into(),
        expires_at: token.expires_at.map(Into::into),
    }
}

fn live_tokens(backend: &Backend) -> Vec<ledger::ApiToken> {
    let now = service::clock::wall();
    let live = |t: &&ledger::ApiToken| !t.revoked && t.expires_at.is_none_or(|at| at > now);
    backend
        .member
        .directory()
        .read(|d| d.api_tokens().filter(live).cloned().collect())
}

pub(crate) fn tokens(backend: &Backend, query: &PageQuery) -> Answer<Page<ApiToken>> {
    let live = live_tokens(backend);
    page(live.iter().map(|t| (t.id.0, t)), query).map(|page| page.map(|t| view(backend, t)))
}

pub(crate) async fn create_token(
    backend: &Backend,
    by: &Caller,
    request: ApiTokenRequest,
) -> Answer<ApiTokenCreated> {
    audit(
        by,
        "create_token",
        &format!("{} {}", request.name, request.role),
    );
    let (token, now) = (fresh(API_TOKEN)?, service::clock::wall());
    let change = Change::AddApiToken {
        hash: hash(&token),
        name: request.name,
        role: role_from(request.role),
        scopes: Vec::new(),
        expires_at: Some(now + Duration::from_secs(request.ttl_seconds)),
    };
    let DirectoryReply::Token(id) = backend.change(change).await?.reply else {
        return Err(BackendError::Internal(
            "the directory made no token".to_owned(),
        ));
    };
    let kept = backend.notes.note_made(now, id);
    kept.map_err(|error| BackendError::Internal(error.to_string()))?;
    let made = live_tokens(backend).into_iter().find(|t| t.id == id);
    let info = view(
        backend,
        &made.ok_or_else(|| missing("token", token_text(id)))?,
    );
    Ok(ApiTokenCreated { info, token })
}

pub(crate) async fn revoke_token(backend: &Backend, by: &Caller, id: &str) -> Answer<()> {
    let live = live_tokens(backend);
    let wanted = token_id(id, "tok_").and_then(|wanted| live.iter().find(|t| t.id == wanted));
    let token = wanted.ok_or_else(|| missing("token", id))?;
    let owners = live
        .iter()
        .filter(|t| t.role == ledger::Role::Owner)
        .count();
    if token.role == ledger::Role::Owner && owners == 1 {
        let why = "the last owner's token cannot be ended: nobody could make another owner";
        return Err(BackendError::Conflict(why.to_owned()));
    }
    audit(by, "revoke_token", id);
    backend
        .change(Change::RevokeApiToken { id: token.id })
        .await?;
    let forgotten = backend.notes.forget_made(service::clock::wall(), token.id);
    forgotten.map_err(|error| BackendError::Internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_ids_read_back() {
        let token = Secret::new("dmat_x");
        assert_eq!(from_hex(&hash_token(token.expose())), Some(hash(&token)));
        assert_eq!(from_hex("00"), None);
        assert_eq!(from_hex(&"g".repeat(64)), None);
        assert_eq!(
            token_id(&token_text(TokenId(42)), "tok_"),
            Some(TokenId(42))
        );
        assert_eq!(token_id("tok_", "tok_"), None);
    }

    #[test]
    fn roles_made_here_keep_their_step() {
        for role in Role::ALL {
            assert_eq!(role_of(role_from(role)), role);
        }
    }
}
