//! A backend in memory: no mesh, no disk, just the rules that the API shows.

use async_trait::async_trait;
use bytes::Bytes;
use dialmesh_http::{
    admin::{AdminBackend, Answer, ByteStream, CampaignAction, RecordStream, RecordingAudio},
    auth::{Caller, Principal, Role, hash_token},
    dto::*,
    problem::{BackendError, FieldError},
};
use domain::{
    AgentAccount, AgentId, AttemptId, CallRecord, CampaignId, CampaignState, Disposition,
    DncBaseId, DncSource, LeadId, ListId, MemberId, MemberRole, PhoneNumber, Prefix, RegionId,
    Secret, SessionId, Supervision, Target, TrunkId, WallTime,
};
use futures::{StreamExt, stream};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

pub(crate) const TIME: WallTime = WallTime::from_millis(1_795_300_496_789);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) campaigns: BTreeMap<CampaignId, domain::Campaign>,
    pub(crate) trunks: BTreeMap<TrunkId, (domain::Trunk, domain::TrunkManner)>,
    pub(crate) caller_ids: BTreeMap<PhoneNumber, domain::CallerId>,
    pub(crate) agents: BTreeMap<AgentId, AgentAccount>,
    pub(crate) dnc: Vec<domain::DncEntry>,
    pub(crate) bases: Vec<DncBase>,
    pub(crate) lists: Vec<DncList>,
    pub(crate) patterns: Vec<(domain::DncPattern, domain::DncScope)>,
    pub(crate) freezes: Vec<domain::Freeze>,
    pub(crate) consents: Vec<Consent>,
    pub(crate) regions: Vec<domain::Region>,
    pub(crate) rules: Vec<domain::HomeRule>,
    pub(crate) plan: Option<Vec<HomeRule>>,
    pub(crate) tokens: BTreeMap<String, ApiToken>,
    pub(crate) join_tokens: BTreeMap<String, JoinToken>,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) records: Vec<CallRecord>,
    pub(crate) removed: Vec<MemberId>,
    pub(crate) draining: Vec<MemberId>,
    pub(crate) voters: Option<VoterSettings>,
    pub(crate) policies: BTreeMap<RegionId, RegionPolicy>,
    /// Who did what.
    pub(crate) audit: Vec<(String, String)>,
    pub(crate) cities: Vec<CityStatus>,
    pub(crate) recording_key: Option<RecordingKey>,
    /// The only live call, and who supervises it.
    pub(crate) live: Option<domain::LiveCall>,
}

fn running(kind: &str) -> Operation {
    Operation {
        id: "op_1".to_owned(),
        kind: kind.to_owned(),
        state: OperationState::Running,
        dry_run: false,
        bytes_done: 0,
        bytes_total: None,
        rows: 0,
        counts: BTreeMap::new(),
        has_rejects: false,
        made: None,
        error: None,
        created_at: TIME.into(),
        ended_at: None,
    }
}

pub(crate) struct Memory {
    state: Mutex<State>,
    pub(crate) quorum: AtomicBool,
    pub(crate) revoked: AtomicBool,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            quorum: AtomicBool::new(true),
            revoked: AtomicBool::new(false),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A change: audited, refused without a quorum.
    fn change(&self, by: &Caller, what: &str) -> Answer<MutexGuard<'_, State>> {
        if !self.quorum.load(Ordering::SeqCst) {
            let why = "2 of 3 members are unreachable".to_owned();
            return Err(BackendError::NoQuorum(why));
        }
        let mut state = self.state();
        state
            .audit
            .push((by.principal.name.clone(), what.to_owned()));
        Ok(state)
    }
}

fn missing(what: &'static str, id: impl ToString) -> BackendError {
    let id = id.to_string();
    BackendError::NotFound { what, id }
}

/// A page of objects whose keys sort as texts; the cursor is the last key.
fn paged<T>(all: impl Iterator<Item = (String, T)>, page: &PageQuery) -> Page<T> {
    let after = page.cursor.clone().unwrap_or_default();
    let mut rest: Vec<_> = all.filter(|(key, _)| *key > after).collect();
    let more = rest.len() > page.limit();
    rest.truncate(page.limit());
    let next = rest.last().filter(|_| more).map(|(key, _)| key.clone());
    Page::new(rest.into_iter().map(|(_, object)| object).collect(), next)
}

async fn read_all(mut rows: ByteStream) -> Answer<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = rows.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn member(id: u64, removed: bool) -> Member {
    let member = domain::Member {
        id: MemberId(id),
        name: "shenzhen".to_owned(),
        role: MemberRole::Node,
        region: Some(RegionId(1)),
        mesh_address: "127.0.0.1:7401".to_owned(),
        http_address: "http://127.0.0.1:7480".to_owned(),
        joined_at: TIME,
        removed,
    };
    Member::new(&member, !removed)
}

pub(crate) fn lead() -> Lead {
    let number: PhoneNumber = "+14155550134".parse().unwrap();
    Lead {
        id: LeadId::new(RegionId(1), 9),
        campaign: CampaignId(1),
        list: ListId(1),
        region: RegionId(1),
        number: number.to_string(),
        name: "Ada".to_owned(),
        attributes: BTreeMap::new(),
        state: "due".to_owned(),
        attempts: 0,
        last_disposition: None,
        next_at: None,
        time_zones: vec!["America/Los_Angeles".to_owned()],
    }
}

pub(crate) fn record(n: u32) -> CallRecord {
    CallRecord {
        attempt: AttemptId::new(RegionId(1), 7, n),
        lead: LeadId::new(RegionId(1), 9),
        campaign: CampaignId(1),
        list: ListId(1),
        region: RegionId(1),
        node: MemberId(2),
        session: SessionId(5),
        number: "+14155550134".parse().unwrap(),
        caller_id: Some("+14155550199".parse().unwrap()),
        trunk: Some(TrunkId(1)),
        sip_call_id: format!("call-{n}@127.0.0.1"),
        agent: None,
        invited_at: Some(TIME),
        ringing_at: None,
        answered_at: None,
        bridged_at: None,
        ended_at: TIME,
        closed_at: TIME,
        disposition: Disposition::Busy,
        disposition_name: "busy".to_owned(),
        sip_status: 486,
        q850: 17,
        ended_by: String::new(),
        carrier_leg: None,
        agent_leg: None,
        rule_pack: "us-federal/1".to_owned(),
        dnc_index: 12,
        permission: None,
        listened: None,
        recording: None,
        call_back: None,
        presence: None,
        voice_drop: None,
        called_for: None,
        holds: None,
        dnc_base: None,
        consent: None,
        note: "=cmd()".to_owned(),
    }
}

fn effective() -> DncResult {
    DncResult {
        state: Acknowledgement::Effective,
        index: 8,
        took_ms: 1,
    }
}

#[async_trait]
impl AdminBackend for Memory {
    async fn authenticate(&self, token_hash: &str) -> Option<Principal> {
        let role = Role::ALL
            .into_iter()
            .find(|role| hash_token(&format!("{}-token", role.name())) == token_hash)?;
        (!self.revoked.load(Ordering::SeqCst)).then(|| Principal {
            token: format!("tok_{}", role.name()),
            name: role.name().to_owned(),
            role,
        })
    }

    async fn status(&self) -> Answer<Status> {
        Ok(Status {
            as_of: TIME.into(),
            member: MemberId(1),
            version: "0.1.0".to_owned(),
            mesh_version: 1,
            newest_version: 1,
            holding_back: Vec::new(),
            campaigns_running: 1,
            cities: self.state().cities.clone(),
            groups: vec![
                GroupStatus {
                    name: "directory".to_owned(),
                    leader: Some(MemberId(1)),
                    term: 3,
                    applied_index: 1_204,
                    members: (1..=4)
                        .map(|id| GroupMember {
                            member: MemberId(id),
                            voter: true,
                            matched_index: Some(1_204),
                            health: Some(ReplicaHealth::Healthy),
                        })
                        .collect(),
                    autopilot: Some(Autopilot {
                        healthy_voters: 3,
                        failure_tolerance: 1,
                        last_index: 1_204,
                        why: "as it should be".to_owned(),
                        last_step: None,
                        last_step_at: None,
                    }),
                },
                GroupStatus {
                    name: "south-china".to_owned(),
                    leader: None,
                    term: 8,
                    applied_index: 88_310,
                    members: Vec::new(),
                    autopilot: None,
                },
            ],
        })
    }
    async fn members(&self, page: PageQuery) -> Answer<Page<Member>> {
        let removed = self.state().removed.clone();
        let all = (1..=3).map(|id| (format!("{id}"), member(id, removed.contains(&MemberId(id)))));
        Ok(paged(all, &page))
    }
    async fn member(&self, id: MemberId) -> Answer<Member> {
        match id.0 {
            1..=3 => Ok(member(id.0, self.state().removed.contains(&id))),
            _ => Err(missing("member", id)),
        }
    }
    async fn remove_member(&self, by: &Caller, id: MemberId) -> Answer<()> {
        self.member(id).await?;
        self.change(by, "remove_member")?.removed.push(id);
        Ok(())
    }
    async fn drain_member(&self, by: &Caller, id: MemberId, on: bool) -> Answer<Member> {
        let member = self.member(id).await?;
        let mut state = self.change(by, if on { "drain_member" } else { "undrain_member" })?;
        state.draining.retain(|other| *other != id);
        if on {
            state.draining.push(id);
        }
        Ok(Member {
            draining: on,
            ..member
        })
    }
    async fn voter_settings(&self) -> Answer<VoterSettings> {
        Ok(self.state().voters.unwrap_or(VoterSettings {
            voters: 3,
            grace_seconds: 300,
            stable_seconds: 10,
        }))
    }
    async fn set_voter_settings(
        &self,
        by: &Caller,
        settings: VoterSettings,
    ) -> Answer<VoterSettings> {
        self.change(by, "set_voter_settings")?.voters = Some(settings);
        Ok(settings)
    }
    async fn region_policy(&self, id: RegionId) -> Answer<RegionPolicy> {
        let state = self.state();
        if !state.regions.iter().any(|region| region.id == id) {
            return Err(missing("region", id));
        }
        Ok(state.policies.get(&id).cloned().unwrap_or_default())
    }
    async fn set_region_policy(
        &self,
        by: &Caller,
        id: RegionId,
        policy: RegionPolicy,
    ) -> Answer<RegionPolicy> {
        self.region_policy(id).await?;
        let mut state = self.change(by, "set_region_policy")?;
        state.policies.insert(id, policy.clone());
        Ok(policy)
    }
    async fn regions(&self, page: PageQuery) -> Answer<Page<Region>> {
        let state = self.state();
        let all = state.regions.iter().map(|r| (r.id.to_string(), r.into()));
        Ok(paged(all, &page))
    }
    async fn audit_heads(&self, page: PageQuery) -> Answer<Page<AuditHead>> {
        let head = AuditHead {
            node: MemberId(2),
            sequence: 7,
            hash: "00".repeat(32),
            told_at: WallTime::EPOCH.into(),
        };
        Ok(paged([(head.node.to_string(), head)].into_iter(), &page))
    }
    async fn create_region(&self, by: &Caller, request: RegionRequest) -> Answer<Region> {
        let mut state = self.change(by, "create_region")?;
        if state.regions.iter().any(|r| r.name == request.name) {
            return Err(BackendError::Conflict(format!(
                "region {} is there",
                request.name
            )));
        }
        let region = domain::Region {
            id: RegionId(state.regions.len() as u16 + 1),
            name: request.name,
        };
        state.regions.push(region.clone());
        Ok((&region).into())
    }
    async fn home_rules(&self) -> Answer<HomeRules> {
        let rules = self.state().rules.iter().map(Into::into).collect();
        Ok(HomeRules { rules })
    }
    async fn set_home_rules(&self, by: &Caller, rules: HomeRules) -> Answer<HomeRules> {
        let mut state = self.change(by, "set_home_rules")?;
        state.rules = rules.rules.iter().map(|r| r.to_domain().unwrap()).collect();
        Ok(rules)
    }
    async fn homes_move(&self) -> Answer<HomesMove> {
        let state = self.state();
        let planned = state.plan.as_ref();
        Ok(HomesMove {
            state: if planned.is_some() {
                HomesState::Planned
            } else {
                HomesState::Settled
            },
            id: planned.map(|_| 1),
            planned_at: planned.map(|_| TIME.into()),
            applied_at: None,
            rules: planned.cloned().unwrap_or_default(),
            regions: Vec::new(),
        })
    }
    async fn plan_homes(&self, by: &Caller, request: HomesPlanRequest) -> Answer<HomesPlan> {
        let mut plan = HomesPlan {
            id: None,
            in_force: false,
            moves: Vec::new(),
            region_entries: 0,
        };
        if !request.dry_run {
            let mut state = self.change(by, "plan_home_rules")?;
            state.plan = Some(request.rules);
            plan.id = Some(1);
        }
        Ok(plan)
    }
    async fn apply_homes(&self, by: &Caller, id: u64) -> Answer<Operation> {
        let mut state = self.change(by, "apply_home_rules_plan")?;
        match state.plan.take().filter(|_| id == 1) {
            Some(rules) => state.rules = rules.iter().map(|r| r.to_domain().unwrap()).collect(),
            None => return Err(BackendError::Conflict(format!("no map {id} is planned"))),
        }
        Ok(running("home_move"))
    }
    async fn cancel_homes(&self, by: &Caller, id: u64) -> Answer<()> {
        let mut state = self.change(by, "cancel_home_rules_plan")?;
        match state.plan.take().filter(|_| id == 1) {
            Some(_) => Ok(()),
            None => Err(BackendError::Conflict(format!("no map {id} is planned"))),
        }
    }
    async fn join_tokens(&self, page: PageQuery) -> Answer<Page<JoinToken>> {
        let state = self.state();
        let all = state.join_tokens.clone().into_iter();
        Ok(paged(all, &page))
    }
    async fn create_join_token(
        &self,
        by: &Caller,
        request: JoinTokenRequest,
    ) -> Answer<JoinTokenCreated> {
        let mut state = self.change(by, "create_join_token")?;
        let info = JoinToken {
            id: format!("join_{}", state.join_tokens.len() + 1),
            role: request.role,
            name: request.name,
            region: request.region,
            expires_at: TIME.into(),
            used: false,
        };
        state.join_tokens.insert(info.id.clone(), info.clone());
        let token = Secret::new("dmj1.hash.id.secret");
        Ok(JoinTokenCreated { info, token })
    }
    async fn revoke_join_token(&self, by: &Caller, id: &str) -> Answer<()> {
        let removed = self.change(by, "revoke_join_token")?.join_tokens.remove(id);
        removed.map(drop).ok_or_else(|| missing("join token", id))
    }

    async fn campaigns(&self, page: PageQuery) -> Answer<Page<Campaign>> {
        let state = self.state();
        let all = state
            .campaigns
            .values()
            .map(|c| (c.id.to_string(), c.into()));
        Ok(paged(all, &page))
    }
    async fn campaign(&self, id: CampaignId) -> Answer<Campaign> {
        let state = self.state();
        let found = state.campaigns.get(&id).map(Into::into);
        found.ok_or_else(|| missing("campaign", id))
    }
    async fn create_campaign(&self, by: &Caller, settings: CampaignSettings) -> Answer<Campaign> {
        let mut state = self.change(by, "create_campaign")?;
        if state.campaigns.values().any(|c| c.name == settings.name) {
            let error = FieldError::new("/name", "is taken by another campaign");
            return Err(BackendError::Invalid(vec![error]));
        }
        let id = CampaignId(state.campaigns.len() as u32 + 1);
        let campaign = settings
            .to_domain(id, CampaignState::Draft, 1)
            .map_err(BackendError::Invalid)?;
        state.campaigns.insert(id, campaign.clone());
        Ok((&campaign).into())
    }
    async fn update_campaign(
        &self,
        by: &Caller,
        id: CampaignId,
        version: u64,
        settings: CampaignSettings,
    ) -> Answer<Campaign> {
        let mut state = self.change(by, "update_campaign")?;
        let old = state
            .campaigns
            .get_mut(&id)
            .ok_or_else(|| missing("campaign", id))?;
        if old.version != version {
            return Err(BackendError::Changed {
                current: old.version,
            });
        }
        *old = settings
            .to_domain(id, old.state, version + 1)
            .map_err(BackendError::Invalid)?;
        Ok((&*old).into())
    }
    async fn act_on_campaign(
        &self,
        by: &Caller,
        id: CampaignId,
        action: CampaignAction,
    ) -> Answer<Campaign> {
        let mut state = self.change(by, "act_on_campaign")?;
        let old = state
            .campaigns
            .get_mut(&id)
            .ok_or_else(|| missing("campaign", id))?;
        if old.state == CampaignState::Stopped && action != CampaignAction::Stop {
            return Err(BackendError::Conflict(
                "the campaign is stopped for good".to_owned(),
            ));
        }
        old.state = match action {
            CampaignAction::Start => CampaignState::Running,
            CampaignAction::Pause => CampaignState::Paused,
            CampaignAction::Stop => CampaignState::Stopped,
        };
        old.version += 1;
        Ok((&*old).into())
    }
    async fn campaign_learned(&self, id: CampaignId) -> Answer<CampaignLearned> {
        let campaign = self.campaign(id).await?;
        let mut answers = scoring::Answers::new(0.2);
        let line = scoring::Line {
            region: 1,
            list: 1,
            attempt: 1,
            hour: 10,
            weekday: 0,
        };
        answers.note(&line, scoring::GivenOut::InTurn, 0, true);
        let order = campaign.settings.lead_order;
        Ok(CampaignLearned::new(id, order, &answers, |_| {
            "spring".to_owned()
        }))
    }
    async fn campaign_stats(&self, id: CampaignId) -> Answer<CampaignStats> {
        self.campaign(id).await?;
        Ok(CampaignStats {
            campaign: id,
            leads: BTreeMap::from([("due".to_owned(), 4)]),
            attempts: 10,
            call_backs: 1,
            dispositions: BTreeMap::from([("busy".to_owned(), 10)]),
            abandonment: Abandonment::new(200, 3, 3.0),
            budget: AbandonmentBudget {
                window: "30 days".to_owned(),
                left: 3,
                in_doubt: 0,
                cities: Vec::new(),
            },
            local_presence: None,
            why_idle: vec![IdleReason {
                rule: "outside_calling_window".to_owned(),
                leads: 4,
                next_at: Some(TIME.into()),
            }],
            as_of: TIME.into(),
        })
    }

    async fn import_leads(
        &self,
        by: &Caller,
        campaign: CampaignId,
        options: ImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation> {
        self.campaign(campaign).await?;
        let text = read_all(rows).await?;
        let mut state = self.change(by, "import_leads")?;
        let rows = text.lines().count().saturating_sub(1) as u64;
        let operation = Operation {
            id: format!("op_{}", state.operations.len() + 1),
            kind: "lead_import".to_owned(),
            state: OperationState::Succeeded,
            dry_run: options.dry_run,
            bytes_done: text.len() as u64,
            bytes_total: length,
            rows,
            counts: BTreeMap::from([("accepted".to_owned(), rows)]),
            has_rejects: true,
            made: None,
            error: None,
            created_at: TIME.into(),
            ended_at: Some(TIME.into()),
        };
        state
            .operations
            .insert(operation.id.clone(), operation.clone());
        Ok(operation)
    }
    async fn leads(&self, filter: LeadFilter) -> Answer<Page<Lead>> {
        let all = [lead()].into_iter();
        let all = all.filter(|l| filter.state.as_ref().is_none_or(|s| *s == l.state));
        Ok(paged(all.map(|l| (l.id.to_string(), l)), &filter.page()))
    }
    async fn lead(&self, id: LeadId) -> Answer<Lead> {
        let found = Some(lead()).filter(|l| l.id == id);
        found.ok_or_else(|| missing("lead", id))
    }
    async fn operations(&self, page: PageQuery) -> Answer<Page<Operation>> {
        Ok(paged(self.state().operations.clone().into_iter(), &page))
    }
    async fn operation(&self, id: &str) -> Answer<Operation> {
        let found = self.state().operations.get(id).cloned();
        found.ok_or_else(|| missing("operation", id))
    }
    async fn operation_rejects(&self, _by: &Caller, id: &str) -> Answer<ByteStream> {
        self.operation(id).await?;
        let rows = ["line,reason,row\r\n", "3,invalid_number,\"abc\"\r\n"];
        Ok(stream::iter(rows.map(|row| Ok(row.into()))).boxed())
    }

    async fn add_do_not_call(
        &self,
        by: &Caller,
        number: PhoneNumber,
        request: DncRequest,
    ) -> Answer<DncResult> {
        let mut state = self.change(by, "add_do_not_call")?;
        state.dnc.push(domain::DncEntry {
            number,
            scope: request.scope.into(),
            source: DncSource::Admin,
            added_at: TIME,
        });
        Ok(DncResult {
            state: match request.wait {
                Wait::Committed => Acknowledgement::Committed,
                Wait::Effective => Acknowledgement::Effective,
            },
            index: state.dnc.len() as u64,
            took_ms: 3,
        })
    }
    async fn check_do_not_call(&self, _by: &Caller, number: PhoneNumber) -> Answer<DncCheck> {
        let state = self.state();
        let about = state.dnc.iter().filter(|e| e.number == number);
        let entries: Vec<DncEntry> = about.map(Into::into).collect();
        Ok(DncCheck {
            number: number.to_string(),
            listed: !entries.is_empty()
                || state.patterns.iter().any(|(p, _)| p.prefix.covers(number)),
            in_base: false,
            lifted_for: None,
            entries,
            pattern: (state.patterns.iter())
                .find(|(p, _)| p.prefix.covers(number))
                .map(|(p, _)| p.prefix.to_string()),
            scoped_patterns: Vec::new(),
            freezes: (state.freezes.iter())
                .filter(|f| f.target.covers(number))
                .map(Into::into)
                .collect(),
            applied_index: 9,
        })
    }
    async fn remove_do_not_call(
        &self,
        by: &Caller,
        number: PhoneNumber,
        removal: DncRemoval,
    ) -> Answer<DncResult> {
        let mut state = self.change(by, &format!("remove_do_not_call: {}", removal.reason))?;
        let before = state.dnc.len();
        let scope = removal.scope.into();
        state.dnc.retain(|e| e.number != number || e.scope != scope);
        if state.dnc.len() == before {
            return Err(missing("do-not-call entry of that scope for", number));
        }
        Ok(DncResult {
            state: Acknowledgement::Committed,
            index: 10,
            took_ms: 1,
        })
    }
    async fn do_not_call_bases(&self) -> Answer<Page<DncBase>> {
        Ok(Page::new(self.state().bases.clone(), None))
    }
    async fn stage_do_not_call_base(
        &self,
        by: &Caller,
        id: DncBaseId,
        mut body: ByteStream,
    ) -> Answer<DncBase> {
        let mut file_bytes = 0;
        while let Some(piece) = body.next().await {
            file_bytes += piece.map_err(BackendError::Body)?.len() as u64;
        }
        let base = DncBase {
            id: id.to_string(),
            numbers: 1,
            file_bytes,
            source: "a registry".to_owned(),
            built_at: TIME.into(),
            staged_at: TIME.into(),
            in_use: false,
            held_by: Vec::new(),
            missing_at: vec!["beijing".to_owned()],
        };
        self.change(by, "stage_do_not_call_base")?
            .bases
            .push(base.clone());
        Ok(base)
    }
    async fn use_do_not_call_base(&self, by: &Caller, request: DncBaseUse) -> Answer<DncResult> {
        let mut state = self.change(by, "use_do_not_call_base")?;
        for base in &mut state.bases {
            base.in_use = request.id.as_deref() == Some(&base.id);
        }
        Ok(DncResult {
            state: Acknowledgement::Effective,
            index: 8,
            took_ms: 1,
        })
    }
    async fn compact_do_not_call_base(&self, by: &Caller) -> Answer<Operation> {
        let state = self.change(by, "compact_do_not_call_base")?;
        if !state.bases.iter().any(|base| base.in_use) {
            return Err(BackendError::Conflict("no base is in use".to_owned()));
        }
        Ok(running("do_not_call_compaction"))
    }
    async fn remove_do_not_call_base(&self, by: &Caller, id: DncBaseId) -> Answer<()> {
        let mut state = self.change(by, "remove_do_not_call_base")?;
        state.bases.retain(|base| base.id != id.to_string());
        Ok(())
    }
    async fn do_not_call_lists(&self) -> Answer<Page<DncList>> {
        Ok(Page::new(self.state().lists.clone(), None))
    }
    async fn do_not_call_list(&self, name: &str) -> Answer<DncList> {
        let state = self.state();
        let found = state.lists.iter().find(|list| list.name == name).cloned();
        found.ok_or_else(|| missing("do-not-call list", name))
    }
    async fn declare_do_not_call_list(
        &self,
        by: &Caller,
        request: DncListRequest,
    ) -> Answer<DncList> {
        let list = DncList {
            name: request.name,
            from: request.from,
            every_seconds: request.every_seconds,
            country: request.country,
            max_age_seconds: request.max_age_seconds,
            shrink_permille: request.shrink_permille,
            invalid_permille: request.invalid_permille,
            kept_by: "coordinator".to_owned(),
            paused: false,
            declared_at: TIME.into(),
            obtained_at: None,
            age_seconds: None,
            numbers: None,
            in_use: false,
            next_pull_at: Some(TIME.into()),
            waiting: None,
            pulls: Vec::new(),
        };
        let mut state = self.change(by, "declare_do_not_call_list")?;
        state.lists.push(list.clone());
        Ok(list)
    }
    async fn remove_do_not_call_list(&self, by: &Caller, name: &str) -> Answer<()> {
        self.do_not_call_list(name).await?;
        let mut state = self.change(by, "remove_do_not_call_list")?;
        state.lists.retain(|list| list.name != name);
        Ok(())
    }
    async fn pull_do_not_call_list(
        &self,
        by: &Caller,
        name: &str,
        request: DncListPullRequest,
    ) -> Answer<Operation> {
        self.do_not_call_list(name).await?;
        self.change(by, "pull_do_not_call_list").map(drop)?;
        Ok(Operation {
            id: "op_2".to_owned(),
            kind: "do_not_call_pull".to_owned(),
            state: OperationState::Running,
            dry_run: request.dry_run,
            bytes_done: 0,
            bytes_total: None,
            rows: 0,
            counts: BTreeMap::new(),
            has_rejects: false,
            made: None,
            error: None,
            created_at: TIME.into(),
            ended_at: None,
        })
    }
    async fn pause_do_not_call_list(&self, by: &Caller, name: &str, on: bool) -> Answer<DncList> {
        let mut state = self.change(by, "pause_do_not_call_list")?;
        let list = state.lists.iter_mut().find(|list| list.name == name);
        let list = list.ok_or_else(|| missing("do-not-call list", name))?;
        list.paused = on;
        Ok(list.clone())
    }
    async fn decide_do_not_call_list(
        &self,
        by: &Caller,
        name: &str,
        take: bool,
        decision: DncListDecision,
    ) -> Answer<DncList> {
        let what = format!("decide_do_not_call_list: {take}, {}", decision.reason);
        self.change(by, &what).map(drop)?;
        self.do_not_call_list(name).await
    }
    async fn do_not_call_patterns(&self, _page: PageQuery) -> Answer<Page<DncPattern>> {
        let state = self.state();
        let patterns = state.patterns.iter().map(|(p, scope)| (p, *scope).into());
        Ok(Page::new(patterns.collect(), None))
    }
    async fn add_do_not_call_pattern(
        &self,
        by: &Caller,
        prefix: Prefix,
        request: PatternRequest,
    ) -> Answer<DncResult> {
        let mut state = self.change(by, "add_do_not_call_pattern")?;
        let pattern = domain::DncPattern {
            prefix,
            source: DncSource::Admin,
            reason: request.reason,
            added_at: TIME,
        };
        state.patterns.push((pattern, request.scope.into()));
        Ok(effective())
    }
    async fn remove_do_not_call_pattern(
        &self,
        by: &Caller,
        prefix: Prefix,
        removal: PatternRemoval,
    ) -> Answer<DncResult> {
        let what = format!("remove_do_not_call_pattern: {}", removal.reason);
        let mut state = self.change(by, &what)?;
        let before = state.patterns.len();
        let scope = removal.scope.into();
        state
            .patterns
            .retain(|(p, of)| p.prefix != prefix || *of != scope);
        match state.patterns.len() == before {
            true => Err(missing("do-not-call pattern", prefix)),
            false => Ok(effective()),
        }
    }
    async fn freezes(&self, _page: PageQuery) -> Answer<Page<Freeze>> {
        let freezes = self.state().freezes.iter().map(Into::into).collect();
        Ok(Page::new(freezes, None))
    }
    async fn freeze(
        &self,
        by: &Caller,
        target: Target,
        request: FreezeRequest,
    ) -> Answer<DncResult> {
        let mut state = self.change(by, "freeze")?;
        state.freezes.push(domain::Freeze {
            target,
            until: request.until.0,
            reason: request.reason,
            source: request.source.unwrap_or_else(|| by.principal.name.clone()),
            frozen_at: TIME,
        });
        Ok(effective())
    }
    async fn lift_freeze(
        &self,
        by: &Caller,
        target: Target,
        request: FreezeLift,
    ) -> Answer<DncResult> {
        let mut state = self.change(by, &format!("lift_freeze: {}", request.reason))?;
        let before = state.freezes.len();
        state.freezes.retain(|f| f.target != target);
        match state.freezes.len() == before {
            true => Err(missing("freeze of", target)),
            false => Ok(effective()),
        }
    }
    async fn check_consent(&self, _by: &Caller, number: PhoneNumber) -> Answer<ConsentCheck> {
        Ok(ConsentCheck {
            number: number.to_string(),
            consents: self.state().consents.clone(),
            applied_index: 9,
        })
    }
    async fn withdraw_consent(
        &self,
        by: &Caller,
        number: PhoneNumber,
        request: ConsentWithdrawal,
    ) -> Answer<ConsentWithdrawn> {
        let what = format!("withdraw_consent {number}: {}", request.reason);
        let mut state = self.change(by, &what)?;
        let mut withdrawn = 0;
        for consent in &mut state.consents {
            let meant = request.campaign.is_none() || consent.campaign == request.campaign;
            if meant && consent.withdrawn_at.replace(TIME.into()).is_none() {
                consent.good = false;
                withdrawn += 1;
            }
        }
        let DncResult {
            state,
            index,
            took_ms,
        } = effective();
        Ok(ConsentWithdrawn {
            state,
            index,
            took_ms,
            withdrawn,
        })
    }
    async fn import_consents(
        &self,
        by: &Caller,
        options: ConsentImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation> {
        self.change(by, "import_consents")?.consents.push(Consent {
            id: "cons_00000001".to_owned(),
            campaign: options.campaign,
            kind: options.kind.unwrap_or_default(),
            source: options.source.unwrap_or_default(),
            place: options.place.unwrap_or_default(),
            given_at: TIME.into(),
            until: None,
            withdrawn_at: None,
            good: true,
        });
        let leads = ImportOptions {
            dry_run: options.dry_run,
            ..ImportOptions::default()
        };
        (self.import_leads(by, CampaignId(1), leads, length, rows)).await
    }
    async fn import_do_not_call(
        &self,
        by: &Caller,
        options: DncImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation> {
        self.change(by, "import_do_not_call").map(drop)?;
        let leads = ImportOptions {
            dry_run: options.dry_run,
            ..ImportOptions::default()
        };
        let id = CampaignId(1);
        self.import_leads(by, id, leads, length, rows).await
    }

    async fn trunks(&self, page: PageQuery) -> Answer<Page<Trunk>> {
        let state = self.state();
        let all = state
            .trunks
            .values()
            .map(|(t, m)| (t.id.to_string(), Trunk::new(t, m)));
        Ok(paged(all, &page))
    }
    async fn trunk(&self, id: TrunkId) -> Answer<Trunk> {
        let found = (self.state().trunks.get(&id)).map(|(trunk, manner)| Trunk::new(trunk, manner));
        found.ok_or_else(|| missing("trunk", id))
    }
    async fn create_trunk(&self, by: &Caller, request: TrunkRequest) -> Answer<Trunk> {
        let mut state = self.change(by, "create_trunk")?;
        let id = TrunkId(state.trunks.len() as u32 + 1);
        let (trunk, manner) = request.into_domain(id).expect("its profile was checked");
        let shown = Trunk::new(&trunk, &manner);
        state.trunks.insert(id, (trunk, manner));
        Ok(shown)
    }
    async fn patch_trunk(&self, by: &Caller, id: TrunkId, patch: TrunkPatch) -> Answer<Trunk> {
        let mut state = self.change(by, "patch_trunk")?;
        let (trunk, manner) = state
            .trunks
            .get_mut(&id)
            .ok_or_else(|| missing("trunk", id))?;
        patch.apply(trunk, manner);
        Ok(Trunk::new(trunk, manner))
    }
    async fn delete_trunk(&self, by: &Caller, id: TrunkId) -> Answer<()> {
        let removed = self.change(by, "delete_trunk")?.trunks.remove(&id);
        removed.map(drop).ok_or_else(|| missing("trunk", id))
    }
    async fn caller_ids(&self, page: PageQuery) -> Answer<Page<CallerId>> {
        let state = self.state();
        let all = state.caller_ids.values();
        Ok(paged(
            all.map(|c| (c.number.digits().to_string(), c.into())),
            &page,
        ))
    }
    async fn caller_id_reputations(&self, query: StandingsQuery) -> Answer<CallerIdReputations> {
        let node = query.node.unwrap_or(MemberId(2));
        let standing = |number: &str, rests_days| domain::CallerIdStanding {
            number: number.parse().unwrap(),
            lines_today: 4,
            answered_permille: 2_000,
            expected_permille: 6_500,
            quality_permille: 830,
            doubted: rests_days,
            rests_days: rests_days.then_some(2),
        };
        let standings = domain::CallerIdStandings {
            pools: vec![domain::CallerIdPool {
                country: "CN".to_owned(),
                place: Some("Shenzhen".to_owned()),
                place_zh: Some("深圳市".to_owned()),
                numbers: 2,
                lines_today: 8,
                doubted: 1,
                resting: 1,
                load_permille: 720,
                buy: true,
                ..Default::default()
            }],
            numbers: vec![
                standing("+8675512345678", true),
                standing("+8675512345679", false),
            ],
            ..Default::default()
        };
        Ok(CallerIdReputations::new(vec![(node, Some(standings))]))
    }
    async fn add_caller_ids(
        &self,
        by: &Caller,
        request: CallerIdsRequest,
    ) -> Answer<CallerIdsAdded> {
        let mut state = self.change(by, "add_caller_ids")?;
        let before = state.caller_ids.len();
        for caller_id in &request.caller_ids {
            let caller_id = caller_id.to_domain().unwrap();
            state.caller_ids.insert(caller_id.number, caller_id);
        }
        let added = state.caller_ids.len() - before;
        let updated = request.caller_ids.len() - added;
        Ok(CallerIdsAdded { added, updated })
    }
    async fn patch_caller_id(
        &self,
        by: &Caller,
        number: PhoneNumber,
        patch: CallerIdPatch,
    ) -> Answer<CallerId> {
        let mut state = self.change(by, "patch_caller_id")?;
        let found = state.caller_ids.get_mut(&number);
        let caller_id = found.ok_or_else(|| missing("caller ID", number))?;
        caller_id.resting = patch.resting.unwrap_or(caller_id.resting);
        Ok((&*caller_id).into())
    }
    async fn delete_caller_id(&self, by: &Caller, number: PhoneNumber) -> Answer<()> {
        let removed = self
            .change(by, "delete_caller_id")?
            .caller_ids
            .remove(&number);
        removed
            .map(drop)
            .ok_or_else(|| missing("caller ID", number))
    }

    async fn agents(&self, page: PageQuery) -> Answer<Page<Agent>> {
        let state = self.state();
        let all = state.agents.values().map(|a| (a.id.to_string(), a.into()));
        Ok(paged(all, &page))
    }
    async fn agent(&self, id: AgentId) -> Answer<Agent> {
        let found = self.state().agents.get(&id).map(Into::into);
        found.ok_or_else(|| missing("agent", id))
    }
    async fn create_agent(&self, by: &Caller, request: AgentRequest) -> Answer<AgentCreated> {
        let mut state = self.change(by, "create_agent")?;
        let account = AgentAccount {
            id: AgentId(state.agents.len() as u32 + 1),
            login: request.login,
            name: request.name,
            node: request.node,
            campaigns: request.campaigns,
            sip_password: Secret::new("sip-password"),
            token_hash: hash_token("dmag_token"),
            enabled: true,
        };
        state.agents.insert(account.id, account.clone());
        Ok(AgentCreated {
            agent: (&account).into(),
            sip_password: account.sip_password,
            token: Secret::new("dmag_token"),
        })
    }
    async fn patch_agent(&self, by: &Caller, id: AgentId, patch: AgentPatch) -> Answer<Agent> {
        let mut state = self.change(by, "patch_agent")?;
        let account = state
            .agents
            .get_mut(&id)
            .ok_or_else(|| missing("agent", id))?;
        patch.apply(account);
        Ok((&*account).into())
    }
    async fn rotate_agent_token(&self, by: &Caller, id: AgentId) -> Answer<TokenIssued> {
        self.agent(id).await?;
        self.change(by, "rotate_agent_token").map(drop)?;
        let token = Secret::new("dmag_fresh");
        Ok(TokenIssued { token })
    }
    async fn tokens(&self, page: PageQuery) -> Answer<Page<ApiToken>> {
        Ok(paged(self.state().tokens.clone().into_iter(), &page))
    }
    async fn create_token(&self, by: &Caller, request: ApiTokenRequest) -> Answer<ApiTokenCreated> {
        let mut state = self.change(by, "create_token")?;
        let info = ApiToken {
            id: format!("tok_{}", state.tokens.len() + 1),
            name: request.name,
            role: request.role,
            created_at: TIME.into(),
            expires_at: None,
        };
        state.tokens.insert(info.id.clone(), info.clone());
        let token = Secret::new("dmat_token");
        Ok(ApiTokenCreated { info, token })
    }
    async fn revoke_token(&self, by: &Caller, id: &str) -> Answer<()> {
        let removed = self.change(by, "revoke_token")?.tokens.remove(id);
        removed.map(drop).ok_or_else(|| missing("token", id))
    }

    async fn calls(&self, filter: CallFilter) -> Answer<Page<Call>> {
        let state = self.state();
        let all = state.records.iter().filter(|r| filter.passes(r));
        Ok(paged(
            all.map(|r| (r.attempt.to_string(), r.into())),
            &filter.page(),
        ))
    }
    async fn call(&self, id: AttemptId) -> Answer<Call> {
        let state = self.state();
        let found = state.records.iter().find(|r| r.attempt == id);
        found.map(Into::into).ok_or_else(|| missing("call", id))
    }
    async fn call_records(
        &self,
        by: &Caller,
        filter: CallFilter,
        revealed: bool,
    ) -> Answer<RecordStream> {
        let mut state = self.state();
        let what = format!("call_records revealed={revealed}");
        state.audit.push((by.principal.name.clone(), what));
        let records: Vec<_> = state
            .records
            .iter()
            .filter(|r| filter.passes(r))
            .cloned()
            .collect();
        Ok(stream::iter(records.into_iter().map(Ok)).boxed())
    }

    async fn recordings(&self, filter: RecordingFilter) -> Answer<Page<Recording>> {
        let (calls, state) = (filter.calls(), self.state());
        let all = (state.records.iter()).filter(|r| calls.passes(r));
        let all = all.filter_map(|r| Some((r.attempt.to_string(), Recording::of(r)?)));
        Ok(paged(all, &filter.page()))
    }
    async fn recording(&self, call: AttemptId) -> Answer<RecordingDetail> {
        let state = self.state();
        let found = state.records.iter().find(|r| r.attempt == call);
        let recording = found.and_then(Recording::of);
        Ok(RecordingDetail {
            recording: recording.ok_or_else(|| missing("recording", call))?,
            complete: true,
            sound_ms: 1_000,
            codec: "pcmu".to_owned(),
            key: "rkey_0000000000000001".to_owned(),
            pauses: Vec::new(),
            agent_peaks: vec![1],
            person_peaks: vec![2],
        })
    }
    async fn check_recording(&self, by: &Caller, call: AttemptId) -> Answer<RecordingCheck> {
        self.recording(call).await?;
        let mut state = self.state();
        (state.audit).push((by.principal.name.clone(), "check_recording".to_owned()));
        Ok(RecordingCheck {
            sound: true,
            complete: true,
            seconds: 1,
            trouble: String::new(),
        })
    }
    async fn recording_audio(&self, by: &Caller, call: AttemptId) -> Answer<RecordingAudio> {
        self.recording(call).await?;
        let mut state = self.state();
        (state.audit).push((by.principal.name.clone(), "hear_recording".to_owned()));
        let sound: Vec<u8> = (0..=99).collect();
        Ok(RecordingAudio {
            bytes: 100,
            tag: "tag".to_owned(),
            part: Box::new(move |range| {
                let part = sound[range.start as usize..range.end as usize].to_vec();
                stream::iter([Ok(Bytes::from(part))]).boxed()
            }),
        })
    }
    async fn live_calls(&self) -> Answer<LiveCalls> {
        let state = self.state();
        let calls = state.live.iter();
        Ok(LiveCalls {
            data: calls.map(|call| LiveCall::new(MemberId(2), call)).collect(),
            seats: vec![Seat {
                agent: AgentId(9),
                login: "boss".to_owned(),
                node: MemberId(2),
            }],
            silent: Vec::new(),
        })
    }
    async fn supervise(
        &self,
        by: &Caller,
        call: AttemptId,
        seat: AgentId,
        manner: Option<Supervision>,
    ) -> Answer<()> {
        let mut state = self.change(by, "supervise_call")?;
        let live = state.live.as_mut().filter(|live| live.attempt == call);
        let live = live.ok_or_else(|| missing("live call", call))?;
        live.supervisors.retain(|(agent, _)| *agent != seat);
        live.supervisors.extend(manner.map(|manner| (seat, manner)));
        Ok(())
    }
    async fn recording_key(&self) -> Answer<RecordingKey> {
        let key = self.state().recording_key.clone();
        key.ok_or_else(|| missing("recording key", "in use"))
    }
    async fn create_recording_key(&self, by: &Caller) -> Answer<RecordingKey> {
        let mut state = self.change(by, "create_recording_key")?;
        let key = RecordingKey {
            id: "rkey_0000000000000001".to_owned(),
            public: "00".repeat(32),
            created_at: TIME.into(),
            held_here: true,
        };
        state.recording_key = Some(key.clone());
        Ok(key)
    }
}
