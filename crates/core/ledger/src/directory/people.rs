//! Agents and API tokens.

use super::{
    ApiToken, Directory, DirectoryReply, Fact, Rejection, Role, TokenHash, TokenId, TokenScope,
    checks,
};
use domain::{AgentAccount, AgentId, MemberRole, WallTime, limits};

type Done = Result<DirectoryReply, Rejection>;

impl Directory {
    pub(super) fn set_agent(&mut self, mut agent: AgentAccount, facts: &mut Vec<Fact>) -> Done {
        checks::login("agent.login", &agent.login)?;
        checks::name("agent.name", &agent.name)?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if agent.token_hash.len() != 64 || !agent.token_hash.bytes().all(hex) {
            let why = "is not 64 lower-case hexadecimal digits of a BLAKE3 hash";
            return Err(Rejection::new("agent.token_hash", why));
        }
        let node = self.members.get(&agent.node);
        if node.is_none_or(|m| m.removed || m.role != MemberRole::Node) {
            let why = format!("{} is not a node of the mesh", agent.node);
            return Err(Rejection::new("agent.node", why));
        }
        for campaign in &agent.campaigns {
            let known = self.campaigns.contains_key(campaign);
            checks::known("agent.campaigns", campaign, known)?;
        }
        checks::room(
            "agent.campaigns",
            0,
            agent.campaigns.len(),
            limits::CAMPAIGNS,
        )?;
        if (self.agents.values()).any(|a| a.login == agent.login && a.id != agent.id) {
            return Err(Rejection::new("agent.login", "is taken by another agent"));
        }
        if agent.id == AgentId(0) {
            checks::room("agents", self.agents.len(), 1, limits::AGENTS)?;
            self.last.agent += 1;
            agent.id = AgentId(self.last.agent);
        } else {
            checks::known("agent.id", agent.id, self.agents.contains_key(&agent.id))?;
        }
        let id = agent.id;
        facts.push(Fact::Agent(Box::new(agent.clone())));
        self.agents.insert(id, agent);
        Ok(DirectoryReply::Agent(id))
    }

    pub(super) fn remove_agent(&mut self, id: AgentId, facts: &mut Vec<Fact>) -> Done {
        if self.agents.remove(&id).is_some() {
            facts.push(Fact::AgentRemoved(id));
        }
        Ok(DirectoryReply::Done)
    }

    pub(super) fn add_api_token(
        &mut self,
        hash: TokenHash,
        name: String,
        role: Role,
        scopes: Vec<TokenScope>,
        expires_at: Option<WallTime>,
    ) -> Done {
        checks::name("token.name", &name)?;
        if expires_at.is_some_and(|at| at <= self.clock) {
            return Err(Rejection::new("token.expires_at", "lies in the past"));
        }
        for scope in &scopes {
            match scope {
                TokenScope::Region(region) => {
                    let known = self.regions.contains_key(region);
                    checks::known("token.scopes", region, known)?;
                }
                TokenScope::Campaign(campaign) => {
                    let known = self.campaigns.contains_key(campaign);
                    checks::known("token.scopes", campaign, known)?;
                }
            }
        }
        checks::room("token.scopes", 0, scopes.len(), limits::REGIONS)?;
        if let Some(token) = self.api_tokens.values().find(|t| t.hash == hash) {
            return Ok(DirectoryReply::Token(token.id));
        }
        checks::room("api_tokens", self.api_tokens.len(), 1, limits::API_TOKENS)?;
        self.last.token += 1;
        let id = TokenId(self.last.token);
        self.api_tokens.insert(
            id,
            ApiToken {
                id,
                hash,
                name,
                role,
                scopes,
                expires_at,
                revoked: false,
            },
        );
        Ok(DirectoryReply::Token(id))
    }

    pub(super) fn revoke_api_token(&mut self, id: TokenId) -> Done {
        let token = (self.api_tokens.get_mut(&id))
            .ok_or_else(|| Rejection::new("token", "is not known"))?;
        token.revoked = true;
        Ok(DirectoryReply::Done)
    }
}
