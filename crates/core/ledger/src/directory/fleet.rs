//! Members, join tokens, regions, trunks, caller IDs.

use super::{
    AuditHead, Directory, DirectoryReply, Fact, JoinToken, MeshId, NewMember, Rejection, TokenHash,
    TokenId, checks,
};
use domain::{
    CallerId, Member, MemberId, MemberRole, PhoneNumber, Region, RegionId, Trunk, TrunkId,
    WallTime, limits,
};

type Done = Result<DirectoryReply, Rejection>;

impl Directory {
    pub(super) fn found(&mut self, mesh: MeshId, new: NewMember, facts: &mut Vec<Fact>) -> Done {
        if let Some(there) = self.mesh {
            // The founder's retry after a crash; anybody else's founding is a mistake.
            let founder = self.members.values().next();
            if let Some(member) = founder.filter(|m| there == mesh && m.name == new.name) {
                return Ok(DirectoryReply::Joined {
                    member: member.id,
                    mesh,
                });
            }
            let why = format!("this mesh is {there} already; join it with a token");
            return Err(Rejection::new("mesh", why));
        }
        let member = self.add_member(new, MemberRole::Coordinator, None, facts)?;
        self.mesh = Some(mesh);
        facts.insert(0, Fact::Mesh(mesh));
        Ok(DirectoryReply::Joined { member, mesh })
    }

    fn founded(&self) -> Result<MeshId, Rejection> {
        self.mesh
            .ok_or_else(|| Rejection::new("mesh", "is not founded yet"))
    }

    fn check_address(field: &str, text: &str) -> Result<(), Rejection> {
        checks::name(field, text)
    }

    fn add_member(
        &mut self,
        new: NewMember,
        role: MemberRole,
        region: Option<RegionId>,
        facts: &mut Vec<Fact>,
    ) -> Result<MemberId, Rejection> {
        checks::name("member.name", &new.name)?;
        Self::check_address("member.mesh_address", &new.mesh_address)?;
        Self::check_address("member.http_address", &new.http_address)?;
        checks::room("members", self.members.len(), 1, limits::MEMBERS)?;
        if (self.members.values()).any(|m| !m.removed && m.name == new.name) {
            let why = "is taken by another member; choose another or remove that one";
            return Err(Rejection::new("member.name", why));
        }
        self.last.member += 1;
        let member = Member {
            id: MemberId(self.last.member),
            name: new.name,
            role,
            region,
            mesh_address: new.mesh_address,
            http_address: new.http_address,
            joined_at: self.clock,
            removed: false,
        };
        let id = member.id;
        facts.push(Fact::Member(member.clone()));
        self.members.insert(id, member);
        Ok(id)
    }

    pub(super) fn add_join_token(
        &mut self,
        hash: TokenHash,
        role: MemberRole,
        region: Option<RegionId>,
        expires_at: WallTime,
    ) -> Done {
        self.founded()?;
        match (role, region) {
            (MemberRole::Node, None) => {
                return Err(Rejection::new(
                    "region",
                    "a node needs a region to dial for",
                ));
            }
            (MemberRole::Coordinator, Some(_)) => {
                return Err(Rejection::new("region", "a coordinator has no region"));
            }
            (_, Some(region)) => {
                checks::known("region", region, self.regions.contains_key(&region))?
            }
            (_, None) => {}
        }
        if expires_at <= self.clock {
            return Err(Rejection::new("expires_at", "lies in the past"));
        }
        if expires_at.since(self.clock) > limits::JOIN_TOKEN_LIFE {
            let limit = limits::JOIN_TOKEN_LIFE.as_secs();
            return Err(Rejection::over(
                "expires_at",
                "lies too far away (seconds)",
                limit,
            ));
        }
        // Used ones are kept as long as they would have lived, for the joiner's retry.
        let clock = self.clock;
        self.join_tokens.retain(|_, token| token.expires_at > clock);
        if let Some(token) = self.join_tokens.values().find(|t| t.hash == hash) {
            return Ok(DirectoryReply::Token(token.id));
        }
        checks::room(
            "join_tokens",
            self.join_tokens.len(),
            1,
            limits::JOIN_TOKENS,
        )?;
        self.last.token += 1;
        let id = TokenId(self.last.token);
        self.join_tokens.insert(
            id,
            JoinToken {
                id,
                hash,
                role,
                region,
                expires_at,
                used_by: None,
            },
        );
        Ok(DirectoryReply::Token(id))
    }

    pub(super) fn remove_join_token(&mut self, id: TokenId) -> Done {
        self.join_tokens.remove(&id);
        Ok(DirectoryReply::Done)
    }

    pub(super) fn join(&mut self, hash: &TokenHash, new: NewMember, facts: &mut Vec<Fact>) -> Done {
        let mesh = self.founded()?;
        let Some(token) = self.join_tokens.values().find(|t| t.hash == *hash).cloned() else {
            return Err(Rejection::new("token", "is not known; make a new one"));
        };
        if let Some(user) = token.used_by {
            // The same joiner, whose answer was lost.
            let member = self.members.get(&user);
            return match member.filter(|m| m.name == new.name && !m.removed) {
                Some(_) => Ok(DirectoryReply::Joined { member: user, mesh }),
                None => Err(Rejection::new("token", "is used; make a new one")),
            };
        }
        if token.expires_at <= self.clock {
            return Err(Rejection::new("token", "has expired; make a new one"));
        }
        let member = self.add_member(new, token.role, token.region, facts)?;
        (self
            .join_tokens
            .get_mut(&token.id)
            .expect("it was found above"))
        .used_by = Some(member);
        Ok(DirectoryReply::Joined { member, mesh })
    }

    /// Keeps the head of a member's audit chain.
    pub(super) fn anchor_audit(&mut self, member: MemberId, sequence: u64, hash: [u8; 32]) -> Done {
        self.living_member(member)?;
        let at = self.clock;
        let head = AuditHead {
            member,
            sequence,
            hash,
            at,
        };
        match self.audit.get(&member) {
            Some(known) if known.sequence > sequence => Err(Rejection::new(
                "sequence",
                format!("is {sequence}, and {} was told before", known.sequence),
            )),
            Some(known) if known.sequence == sequence && known.hash != hash => Err(Rejection::new(
                "hash",
                format!(
                    "of line {sequence} is not the one told before: the chain was written anew"
                ),
            )),
            _ => {
                self.audit.insert(member, head);
                Ok(DirectoryReply::Done)
            }
        }
    }

    /// A member that is not removed.
    pub(super) fn living_member(&mut self, id: MemberId) -> Result<&mut Member, Rejection> {
        (self.members.get_mut(&id))
            .filter(|member| !member.removed)
            .ok_or_else(|| Rejection::new("member", format!("{id} is not a member")))
    }

    pub(super) fn move_member(
        &mut self,
        id: MemberId,
        mesh_address: String,
        http_address: String,
        facts: &mut Vec<Fact>,
    ) -> Done {
        Self::check_address("mesh_address", &mesh_address)?;
        Self::check_address("http_address", &http_address)?;
        let member = self.living_member(id)?;
        if (&member.mesh_address, &member.http_address) != (&mesh_address, &http_address) {
            (member.mesh_address, member.http_address) = (mesh_address, http_address);
            facts.push(Fact::Member(member.clone()));
        }
        Ok(DirectoryReply::Done)
    }

    pub(super) fn remove_member(&mut self, id: MemberId, facts: &mut Vec<Fact>) -> Done {
        let living = |m: &&Member| m.role == MemberRole::Coordinator && !m.removed;
        let last_one = self.members.values().filter(living).all(|m| m.id == id);
        let member = self.living_member(id)?;
        if member.role == MemberRole::Coordinator && last_one {
            let why = "the last coordinator cannot be removed; add another first";
            return Err(Rejection::new("member", why));
        }
        self.check_domain_stays(id, &super::Place::default(), "member")?;
        let member = self.living_member(id)?;
        member.removed = true;
        facts.push(Fact::Member(member.clone()));
        self.layout.forget(id);
        self.forget_release(id, facts);
        Ok(DirectoryReply::Done)
    }

    pub(super) fn set_region(
        &mut self,
        id: Option<RegionId>,
        name: String,
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::name("region.name", &name)?;
        if let Some(other) = self.regions.values().find(|r| r.name == name) {
            if id.is_some_and(|id| id == other.id) {
                return Ok(DirectoryReply::Region(other.id));
            }
            return Err(Rejection::new("region.name", "is taken by another region"));
        }
        let id = match id {
            Some(id) => {
                checks::known("region", id, self.regions.contains_key(&id))?;
                id
            }
            None => {
                checks::room("regions", self.regions.len(), 1, limits::REGIONS)?;
                self.last.region += 1;
                RegionId(self.last.region)
            }
        };
        let region = Region { id, name };
        facts.push(Fact::Region(region.clone()));
        self.regions.insert(id, region);
        Ok(DirectoryReply::Region(id))
    }

    pub(super) fn set_trunk(&mut self, mut trunk: Trunk, facts: &mut Vec<Fact>) -> Done {
        checks::name("trunk.name", &trunk.name)?;
        checks::name("trunk.address", &trunk.address)?;
        if !trunk.domain.is_empty() {
            checks::name("trunk.domain", &trunk.domain)?;
        }
        if trunk.codecs.is_empty() {
            return Err(Rejection::new("trunk.codecs", "name at least one codec"));
        }
        let node = self.members.get(&trunk.node);
        if node.is_none_or(|m| m.removed || m.role != MemberRole::Node) {
            let why = format!("{} is not a node of the mesh", trunk.node);
            return Err(Rejection::new("trunk.node", why));
        }
        if trunk.channels == 0 || trunk.calls_per_second == 0 {
            let why =
                "a trunk needs at least one channel and one call a second; disable it instead";
            return Err(Rejection::new("trunk.channels", why));
        }
        self.check_campaigns_of(&trunk)?;
        if (self.trunks.values()).any(|t| t.name == trunk.name && t.id != trunk.id) {
            return Err(Rejection::new("trunk.name", "is taken by another trunk"));
        }
        if trunk.id == TrunkId(0) {
            checks::room("trunks", self.trunks.len(), 1, limits::TRUNKS)?;
            self.last.trunk += 1;
            trunk.id = TrunkId(self.last.trunk);
        } else {
            checks::known("trunk.id", trunk.id, self.trunks.contains_key(&trunk.id))?;
        }
        let id = trunk.id;
        facts.push(Fact::Trunk(Box::new(trunk.clone())));
        self.trunks.insert(id, trunk);
        Ok(DirectoryReply::Trunk(id))
    }

    pub(super) fn remove_trunk(&mut self, id: TrunkId, facts: &mut Vec<Fact>) -> Done {
        if self.caller_ids.values().any(|c| c.trunk == id) {
            let why = "still owns caller IDs; remove or move them first";
            return Err(Rejection::new("trunk", why));
        }
        if self.trunks.remove(&id).is_some() {
            self.manners.forget(id);
            self.securities.forget(id);
            facts.push(Fact::TrunkRemoved(id));
        }
        Ok(DirectoryReply::Done)
    }

    pub(super) fn set_caller_ids(&mut self, ids: Vec<CallerId>, facts: &mut Vec<Fact>) -> Done {
        checks::room("caller_ids", 0, ids.len(), limits::CALLER_ID_BATCH)?;
        let new = ids
            .iter()
            .filter(|c| !self.caller_ids.contains_key(&c.number));
        checks::room(
            "caller_ids",
            self.caller_ids.len(),
            new.count(),
            limits::CALLER_IDS,
        )?;
        for id in &ids {
            let known = self.trunks.contains_key(&id.trunk);
            checks::known("caller_ids.trunk", id.trunk, known)?;
            // Exactly one trunk owns a number (I9): moving it is a removal and an addition.
            if let Some(there) = self
                .caller_ids
                .get(&id.number)
                .filter(|c| c.trunk != id.trunk)
            {
                let why = format!(
                    "{} belongs to {}; remove it there first",
                    id.number, there.trunk
                );
                return Err(Rejection::new("caller_ids.number", why));
            }
            let cap = id.caps.per_day.max(id.caps.per_hour);
            if cap > limits::CALLER_ID_CAP {
                let limit = u64::from(limits::CALLER_ID_CAP);
                return Err(Rejection::over(
                    "caller_ids.caps",
                    format!("{cap} attempts"),
                    limit,
                ));
            }
        }
        for id in &ids {
            self.caller_ids.insert(id.number, *id);
        }
        if !ids.is_empty() {
            facts.push(Fact::CallerIds(ids));
        }
        Ok(DirectoryReply::Done)
    }

    pub(super) fn remove_caller_ids(
        &mut self,
        numbers: &[PhoneNumber],
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::room("numbers", 0, numbers.len(), limits::CALLER_ID_BATCH)?;
        let gone: Vec<_> = (numbers.iter().copied())
            .filter(|number| self.caller_ids.remove(number).is_some())
            .collect();
        if !gone.is_empty() {
            facts.push(Fact::CallerIdsRemoved(gone));
        }
        Ok(DirectoryReply::Done)
    }
}
