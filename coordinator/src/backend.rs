//! What lies behind the admin API: one face, each subject in a file of its own.

use crate::{
    bases::{self, Bases},
    campaigns, clearance, compaction, consents, dnc, homes, import, leads, learned, lists,
    lists::Lists,
    members,
    nodes::Nodes,
    notes::Notes,
    operations::Operations,
    people, recordings, records,
    records::Records,
    standings, stats, status, supervision, trunks,
    voters::{self, Reports},
};
use async_trait::async_trait;
use consensus::{Committed, Group, ProposeError};
use dialmesh_http::{
    admin::{AdminBackend, Answer, ByteStream, CampaignAction, RecordStream, RecordingAudio},
    auth::{Caller, Principal},
    dto::{
        Agent, AgentCreated, AgentPatch, AgentRequest, ApiToken, ApiTokenCreated, ApiTokenRequest,
        AuditHead, Call, CallFilter, CallerId, CallerIdPatch, CallerIdReputations, CallerIdsAdded,
        CallerIdsRequest, Campaign, CampaignLearned, CampaignSettings, CampaignStats, ConsentCheck,
        ConsentImportOptions, ConsentWithdrawal, ConsentWithdrawn, DncBase, DncBaseUse, DncCheck,
        DncImportOptions, DncList, DncListDecision, DncListPullRequest, DncListRequest, DncPattern,
        DncRemoval, DncRequest, DncResult, Freeze, FreezeLift, FreezeRequest, HomeRules, HomesMove,
        HomesPlan, HomesPlanRequest, ImportOptions, JoinToken, JoinTokenCreated, JoinTokenRequest,
        Lead, LeadFilter, LiveCalls, Member as MemberView, Operation, Page, PageQuery,
        PatternRemoval, PatternRequest, Recording, RecordingCheck, RecordingDetail,
        RecordingFilter, RecordingKey, Region, RegionPolicy, RegionRequest, StandingsQuery, Status,
        TokenIssued, Trunk, TrunkPatch, TrunkRequest, VoterSettings,
    },
    events::Events,
    problem::{BackendError, FieldError},
};
use domain::{
    AgentId, AttemptId, CampaignId, DncBaseId, Incarnation, LeadId, MemberId, PhoneNumber, Prefix,
    RegionId, Supervision, Target, TrunkId,
};
use ledger::{Change, DirectoryCommand, DirectoryReply, Origin, RegionLedger, Rejection};
use member::{AskError, Member};
use service::Tasks;
use std::{
    fmt::Display,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a leader with a quorum is looked for: an election's time and more.
const QUORUM: Duration = Duration::from_secs(5);
/// How long one change may take to be agreed on.
const CHANGE: Duration = Duration::from_secs(10);
/// Longer than freshness: how late the last node to be waited for may be.
const EFFECTIVE_MORE: Duration = Duration::from_secs(5);

/// Everything that the subjects share.
pub(crate) struct Backend {
    pub(crate) member: Member,
    pub(crate) records: Records,
    pub(crate) recording_keys: recordings::Keys,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) operations: Arc<Operations>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) bases: Arc<Bases>,
    pub(crate) lists: Arc<Lists>,
    pub(crate) events: Events,
    pub(crate) tasks: Tasks,
    /// Of the CA's key; join tokens carry it.
    pub(crate) ca_key_hash: [u8; 32],
    pub(crate) freshness: Duration,
    pub(crate) incarnation: Incarnation,
    /// Commands of this run, so that a retry is known as one.
    pub(crate) sequence: AtomicU64,
    pub(crate) voters: Reports,
    /// Held while an object is read, changed and written back.
    pub(crate) edit: tokio::sync::Mutex<()>,
}

/// One line for each change or disclosure: who, what, and the request's id.
pub(crate) fn audit(by: &Caller, what: &str, detail: &str) {
    let (token, name) = (&by.principal.token, &by.principal.name);
    tracing::info!(target: "audit", token, name, request = by.request_id, what, detail, "admin");
}

pub(crate) fn missing(what: &'static str, id: impl Display) -> BackendError {
    BackendError::NotFound {
        what,
        id: id.to_string(),
    }
}

pub(crate) fn unexpected(reply: &DirectoryReply) -> BackendError {
    BackendError::Internal(format!("the directory answered {reply:?}"))
}

/// Why nothing is known to have been agreed on.
pub(crate) fn not_proposed(error: &ProposeError) -> BackendError {
    match error {
        ProposeError::NoQuorum { .. } => BackendError::NoQuorum(error.to_string()),
        ProposeError::UnknownOutcome { .. } => BackendError::Unconfirmed(error.to_string()),
        ProposeError::TooLarge { .. }
        | ProposeError::Refused { .. }
        | ProposeError::Reply { .. } => BackendError::Internal(error.to_string()),
    }
}

/// Tables of the directory that may be full.
const TABLES: [&str; 19] = [
    "campaigns",
    "trunks",
    "caller_ids",
    "agents",
    "members",
    "regions",
    "lists",
    "join_tokens",
    "api_tokens",
    "dnc",
    "bases",
    "dnc_lists",
    "lifts",
    "patterns",
    "freezes",
    "consents",
    "proofs",
    "withdrawals",
    "home_rules",
];

/// A refusal of the directory as the API tells it.
fn rejected(rejection: Rejection) -> BackendError {
    if let Some(current) = rejection.version {
        return BackendError::Changed { current };
    }
    if let Some(limit) = rejection.limit
        && let Some(what) = TABLES.into_iter().find(|table| *table == rejection.field)
    {
        let what = match what {
            "proofs" => {
                "different proofs of consents; use one source for one form, and not one for each \
                 answer"
            }
            "withdrawals" => {
                "withdrawals of consents that are remembered; put these numbers on do-not-call"
            }
            table => table,
        };
        return BackendError::Limit { what, limit };
    }
    let limit = rejection
        .limit
        .map(|limit| format!(" (at most {limit})"))
        .unwrap_or_default();
    let message = format!("{}{limit}", rejection.why);
    match rejection.field.as_str() {
        "state" | "campaign.state" | "trunk" | "member" | "campaign" | "mesh" | "origin"
        | "homes" => BackendError::Conflict(message),
        field => {
            // `campaign.ring_limit` is the API's `/ring_limit`.
            let kinds = [
                "campaign", "trunk", "agent", "region", "token", "list", "member", "add",
            ];
            let inner = field
                .split_once('.')
                .filter(|(kind, _)| kinds.contains(kind));
            let path = inner.map_or(field, |(_, rest)| rest).replace('.', "/");
            BackendError::Invalid(vec![FieldError::new(format!("/{path}"), message)])
        }
    }
}

/// A page of objects that come in the order of their keys; the cursor is the last key.
pub(crate) fn page<K, T>(all: impl Iterator<Item = (K, T)>, query: &PageQuery) -> Answer<Page<T>>
where
    K: FromStr + Display + PartialOrd,
{
    let after = match query.cursor.as_deref().map(str::parse::<K>) {
        None => None,
        Some(Ok(key)) => Some(key),
        Some(Err(_)) => {
            let error = FieldError::new("?cursor", "is not one that this list gave");
            return Err(BackendError::Invalid(vec![error]));
        }
    };
    let mut rest = all.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    let (mut data, mut last) = (Vec::new(), None);
    for (key, object) in rest.by_ref().take(query.limit()) {
        last = Some(key);
        data.push(object);
    }
    let next = rest.next().and(last).map(|key| key.to_string());
    Ok(Page::new(data, next))
}

impl Backend {
    /// Proposes a change of the directory and waits until it is seen here. Refusals come as errors.
    pub(crate) async fn change(&self, change: Change) -> Answer<Committed<DirectoryReply>> {
        let origin = Origin {
            member: self.member.id(),
            incarnation: self.incarnation,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let command = DirectoryCommand {
            origin: Some(origin),
            change,
        };
        let directory = self.member.directory();
        // A link that was just cut takes what is sent down it, and then nobody knows: another member
        // that leads is asked first whether a quorum follows it.
        if !directory.is_leader() {
            (directory.linearizable_index(QUORUM).await)
                .map_err(|error| BackendError::NoQuorum(error.to_string()))?;
        }
        let committed = directory
            .propose_again_unless(QUORUM, &command, CHANGE)
            .await;
        let committed = committed.map_err(|error| not_proposed(&error))?;
        if let DirectoryReply::Rejected(rejection) = committed.reply {
            return Err(rejected(rejection));
        }
        // It is agreed on in any case; only the next read might be older.
        if let Err(error) = directory.wait_applied(committed.index, CHANGE).await {
            tracing::warn!(%error, "a change is agreed on and not yet seen here");
        }
        Ok(committed)
    }

    /// Why a change may not be written yet, as far as the directory's copy knows: asked before other
    /// changes are made that belong with it.
    pub(crate) fn may_write(&self, change: &Change) -> Answer<()> {
        let may = (self.member.directory()).read(|d| d.not_yet(change));
        may.map_err(rejected)
    }

    /// Waits until no node can act against the directory's entries up to `index`.
    pub(crate) async fn effective(&self, index: u64) -> Result<(), AskError> {
        // A new leader waits out freshness and drift; nobody is waited for longer.
        let deadline = self.freshness + self.freshness / 25 + EFFECTIVE_MORE;
        self.member.effective(index, deadline).await
    }

    /// A region's group, which follows a new region within a moment.
    pub(crate) async fn region(&self, id: RegionId, wait: Duration) -> Answer<Group<RegionLedger>> {
        let end = Instant::now() + wait;
        loop {
            if let Some(group) = self.member.region(id) {
                return Ok(group);
            }
            if Instant::now() >= end {
                return Err(BackendError::Unavailable {
                    detail: format!("the group of region {id} does not run on this member yet"),
                    retry_after: Duration::from_secs(2),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The backend as the admin API sees it.
#[derive(Clone)]
pub(crate) struct Desk(pub(crate) Arc<Backend>);

#[async_trait]
impl AdminBackend for Desk {
    async fn authenticate(&self, token_hash: &str) -> Option<Principal> {
        people::authenticate(&self.0, token_hash)
    }

    async fn status(&self) -> Answer<Status> {
        Ok(status::status(&self.0))
    }
    async fn members(&self, query: PageQuery) -> Answer<Page<MemberView>> {
        members::list(&self.0, &query)
    }
    async fn member(&self, id: MemberId) -> Answer<MemberView> {
        members::show(&self.0, id)
    }
    async fn remove_member(&self, by: &Caller, id: MemberId) -> Answer<()> {
        members::remove(&self.0, by, id).await
    }
    async fn drain_member(&self, by: &Caller, id: MemberId, on: bool) -> Answer<MemberView> {
        voters::drain(&self.0, by, id, on).await
    }
    async fn voter_settings(&self) -> Answer<VoterSettings> {
        Ok(voters::settings(&self.0))
    }
    async fn set_voter_settings(
        &self,
        by: &Caller,
        settings: VoterSettings,
    ) -> Answer<VoterSettings> {
        voters::set_settings(&self.0, by, settings).await
    }
    async fn region_policy(&self, id: RegionId) -> Answer<RegionPolicy> {
        voters::policy(&self.0, id)
    }
    async fn set_region_policy(
        &self,
        by: &Caller,
        id: RegionId,
        policy: RegionPolicy,
    ) -> Answer<RegionPolicy> {
        voters::set_policy(&self.0, by, id, policy).await
    }
    async fn regions(&self, query: PageQuery) -> Answer<Page<Region>> {
        members::regions(&self.0, &query)
    }
    async fn audit_heads(&self, query: PageQuery) -> Answer<Page<AuditHead>> {
        members::audit_heads(&self.0, &query)
    }
    async fn create_region(&self, by: &Caller, request: RegionRequest) -> Answer<Region> {
        members::create_region(&self.0, by, request).await
    }
    async fn home_rules(&self) -> Answer<HomeRules> {
        Ok(members::home_rules(&self.0))
    }
    async fn set_home_rules(&self, by: &Caller, rules: HomeRules) -> Answer<HomeRules> {
        members::set_home_rules(&self.0, by, rules).await
    }
    async fn homes_move(&self) -> Answer<HomesMove> {
        Ok(homes::status(&self.0))
    }
    async fn plan_homes(&self, by: &Caller, request: HomesPlanRequest) -> Answer<HomesPlan> {
        homes::plan(&self.0, by, request).await
    }
    async fn apply_homes(&self, by: &Caller, id: u64) -> Answer<Operation> {
        homes::apply(&self.0, by, id).await
    }
    async fn cancel_homes(&self, by: &Caller, id: u64) -> Answer<()> {
        homes::cancel(&self.0, by, id).await
    }
    async fn join_tokens(&self, query: PageQuery) -> Answer<Page<JoinToken>> {
        members::join_tokens(&self.0, &query)
    }
    async fn create_join_token(
        &self,
        by: &Caller,
        request: JoinTokenRequest,
    ) -> Answer<JoinTokenCreated> {
        members::create_join_token(&self.0, by, request).await
    }
    async fn revoke_join_token(&self, by: &Caller, id: &str) -> Answer<()> {
        members::revoke_join_token(&self.0, by, id).await
    }

    async fn campaigns(&self, query: PageQuery) -> Answer<Page<Campaign>> {
        campaigns::list(&self.0, &query)
    }
    async fn campaign(&self, id: CampaignId) -> Answer<Campaign> {
        campaigns::show(&self.0, id)
    }
    async fn create_campaign(&self, by: &Caller, settings: CampaignSettings) -> Answer<Campaign> {
        campaigns::create(&self.0, by, settings).await
    }
    async fn update_campaign(
        &self,
        by: &Caller,
        id: CampaignId,
        version: u64,
        settings: CampaignSettings,
    ) -> Answer<Campaign> {
        campaigns::update(&self.0, by, id, version, settings).await
    }
    async fn act_on_campaign(
        &self,
        by: &Caller,
        id: CampaignId,
        action: CampaignAction,
    ) -> Answer<Campaign> {
        campaigns::act(&self.0, by, id, action).await
    }
    async fn campaign_learned(&self, id: CampaignId) -> Answer<CampaignLearned> {
        learned::campaign(&self.0, id).await
    }

    async fn campaign_stats(&self, id: CampaignId) -> Answer<CampaignStats> {
        stats::campaign(&self.0, id)
    }

    async fn import_leads(
        &self,
        by: &Caller,
        campaign: CampaignId,
        options: ImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation> {
        import::start(&self.0, by, campaign, options, length, rows).await
    }
    async fn leads(&self, filter: LeadFilter) -> Answer<Page<Lead>> {
        leads::list(&self.0, &filter)
    }
    async fn lead(&self, id: LeadId) -> Answer<Lead> {
        leads::show(&self.0, id)
    }
    async fn operations(&self, query: PageQuery) -> Answer<Page<Operation>> {
        Ok(self.0.operations.page(&query))
    }
    async fn operation(&self, id: &str) -> Answer<Operation> {
        self.0.operations.get(id)
    }
    async fn operation_rejects(&self, by: &Caller, id: &str) -> Answer<ByteStream> {
        audit(by, "operation_rejects", id);
        self.0.operations.rejects(id).await
    }

    async fn add_do_not_call(
        &self,
        by: &Caller,
        number: PhoneNumber,
        request: DncRequest,
    ) -> Answer<DncResult> {
        dnc::add(&self.0, by, number, request).await
    }
    async fn check_do_not_call(&self, by: &Caller, number: PhoneNumber) -> Answer<DncCheck> {
        Ok(dnc::check(&self.0, by, number))
    }
    async fn remove_do_not_call(
        &self,
        by: &Caller,
        number: PhoneNumber,
        removal: DncRemoval,
    ) -> Answer<DncResult> {
        dnc::remove(&self.0, by, number, removal).await
    }
    async fn import_do_not_call(
        &self,
        by: &Caller,
        options: DncImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation> {
        import::start_do_not_call(&self.0, by, options, length, rows).await
    }

    async fn do_not_call_bases(&self) -> Answer<Page<DncBase>> {
        Ok(bases::list(&self.0))
    }
    async fn stage_do_not_call_base(
        &self,
        by: &Caller,
        id: DncBaseId,
        body: ByteStream,
    ) -> Answer<DncBase> {
        bases::stage(&self.0, by, id, body).await
    }
    async fn use_do_not_call_base(&self, by: &Caller, request: DncBaseUse) -> Answer<DncResult> {
        bases::put_into_use(&self.0, by, request).await
    }
    async fn compact_do_not_call_base(&self, by: &Caller) -> Answer<Operation> {
        compaction::start(&self.0, by).await
    }
    async fn remove_do_not_call_base(&self, by: &Caller, id: DncBaseId) -> Answer<()> {
        bases::remove(&self.0, by, id).await
    }

    async fn do_not_call_lists(&self) -> Answer<Page<DncList>> {
        Ok(lists::list(&self.0))
    }
    async fn do_not_call_list(&self, name: &str) -> Answer<DncList> {
        lists::show(&self.0, name)
    }
    async fn declare_do_not_call_list(
        &self,
        by: &Caller,
        request: DncListRequest,
    ) -> Answer<DncList> {
        lists::declare(&self.0, by, request).await
    }
    async fn remove_do_not_call_list(&self, by: &Caller, name: &str) -> Answer<()> {
        lists::remove(&self.0, by, name).await
    }
    async fn pull_do_not_call_list(
        &self,
        by: &Caller,
        name: &str,
        request: DncListPullRequest,
    ) -> Answer<Operation> {
        lists::begin_pull(&self.0, by, name, request).await
    }
    async fn pause_do_not_call_list(&self, by: &Caller, name: &str, on: bool) -> Answer<DncList> {
        lists::pause(&self.0, by, name, on).await
    }
    async fn decide_do_not_call_list(
        &self,
        by: &Caller,
        name: &str,
        take: bool,
        decision: DncListDecision,
    ) -> Answer<DncList> {
        lists::decide(&self.0, by, name, take, decision).await
    }

    async fn do_not_call_patterns(&self, query: PageQuery) -> Answer<Page<DncPattern>> {
        clearance::patterns(&self.0, &query)
    }
    async fn add_do_not_call_pattern(
        &self,
        by: &Caller,
        prefix: Prefix,
        request: PatternRequest,
    ) -> Answer<DncResult> {
        clearance::add_pattern(&self.0, by, prefix, request).await
    }
    async fn remove_do_not_call_pattern(
        &self,
        by: &Caller,
        prefix: Prefix,
        removal: PatternRemoval,
    ) -> Answer<DncResult> {
        clearance::remove_pattern(&self.0, by, prefix, removal).await
    }
    async fn freezes(&self, query: PageQuery) -> Answer<Page<Freeze>> {
        clearance::freezes(&self.0, &query)
    }
    async fn freeze(
        &self,
        by: &Caller,
        target: Target,
        request: FreezeRequest,
    ) -> Answer<DncResult> {
        clearance::freeze(&self.0, by, target, request).await
    }
    async fn lift_freeze(
        &self,
        by: &Caller,
        target: Target,
        request: FreezeLift,
    ) -> Answer<DncResult> {
        clearance::lift(&self.0, by, target, request).await
    }

    async fn check_consent(&self, by: &Caller, number: PhoneNumber) -> Answer<ConsentCheck> {
        Ok(consents::check(&self.0, by, number))
    }
    async fn withdraw_consent(
        &self,
        by: &Caller,
        number: PhoneNumber,
        request: ConsentWithdrawal,
    ) -> Answer<ConsentWithdrawn> {
        consents::withdraw(&self.0, by, number, request).await
    }
    async fn import_consents(
        &self,
        by: &Caller,
        options: ConsentImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation> {
        import::start_consents(&self.0, by, options, length, rows).await
    }

    async fn trunks(&self, query: PageQuery) -> Answer<Page<Trunk>> {
        trunks::list(&self.0, &query)
    }
    async fn trunk(&self, id: TrunkId) -> Answer<Trunk> {
        trunks::show(&self.0, id)
    }
    async fn create_trunk(&self, by: &Caller, request: TrunkRequest) -> Answer<Trunk> {
        trunks::create(&self.0, by, request).await
    }
    async fn patch_trunk(&self, by: &Caller, id: TrunkId, patch: TrunkPatch) -> Answer<Trunk> {
        trunks::patch(&self.0, by, id, patch).await
    }
    async fn delete_trunk(&self, by: &Caller, id: TrunkId) -> Answer<()> {
        trunks::delete(&self.0, by, id).await
    }
    async fn caller_ids(&self, query: PageQuery) -> Answer<Page<CallerId>> {
        trunks::caller_ids(&self.0, &query)
    }
    async fn caller_id_reputations(&self, query: StandingsQuery) -> Answer<CallerIdReputations> {
        standings::caller_ids(&self.0, query).await
    }
    async fn add_caller_ids(
        &self,
        by: &Caller,
        request: CallerIdsRequest,
    ) -> Answer<CallerIdsAdded> {
        trunks::add_caller_ids(&self.0, by, request).await
    }
    async fn patch_caller_id(
        &self,
        by: &Caller,
        number: PhoneNumber,
        patch: CallerIdPatch,
    ) -> Answer<CallerId> {
        trunks::patch_caller_id(&self.0, by, number, patch).await
    }
    async fn delete_caller_id(&self, by: &Caller, number: PhoneNumber) -> Answer<()> {
        trunks::delete_caller_id(&self.0, by, number).await
    }

    async fn agents(&self, query: PageQuery) -> Answer<Page<Agent>> {
        people::agents(&self.0, &query)
    }
    async fn agent(&self, id: AgentId) -> Answer<Agent> {
        people::agent(&self.0, id)
    }
    async fn create_agent(&self, by: &Caller, request: AgentRequest) -> Answer<AgentCreated> {
        people::create_agent(&self.0, by, request).await
    }
    async fn patch_agent(&self, by: &Caller, id: AgentId, patch: AgentPatch) -> Answer<Agent> {
        people::patch_agent(&self.0, by, id, patch).await
    }
    async fn rotate_agent_token(&self, by: &Caller, id: AgentId) -> Answer<TokenIssued> {
        people::rotate_agent_token(&self.0, by, id).await
    }
    async fn tokens(&self, query: PageQuery) -> Answer<Page<ApiToken>> {
        people::tokens(&self.0, &query)
    }
    async fn create_token(&self, by: &Caller, request: ApiTokenRequest) -> Answer<ApiTokenCreated> {
        people::create_token(&self.0, by, request).await
    }
    async fn revoke_token(&self, by: &Caller, id: &str) -> Answer<()> {
        people::revoke_token(&self.0, by, id).await
    }

    async fn calls(&self, filter: CallFilter) -> Answer<Page<Call>> {
        records::list(&self.0, filter).await
    }
    async fn call(&self, id: AttemptId) -> Answer<Call> {
        records::show(&self.0, id).await
    }
    async fn call_records(
        &self,
        by: &Caller,
        filter: CallFilter,
        revealed: bool,
    ) -> Answer<RecordStream> {
        audit(by, "call_records", &format!("revealed={revealed}"));
        Ok(records::export(&self.0, filter))
    }

    async fn live_calls(&self) -> Answer<LiveCalls> {
        supervision::list(&self.0).await
    }
    async fn supervise(
        &self,
        by: &Caller,
        call: AttemptId,
        seat: AgentId,
        manner: Option<Supervision>,
    ) -> Answer<()> {
        supervision::supervise(&self.0, by, (call, seat), manner).await
    }

    async fn recordings(&self, filter: RecordingFilter) -> Answer<Page<Recording>> {
        recordings::list(&self.0, filter).await
    }
    async fn recording(&self, call: AttemptId) -> Answer<RecordingDetail> {
        recordings::show(&self.0, call).await
    }
    async fn check_recording(&self, by: &Caller, call: AttemptId) -> Answer<RecordingCheck> {
        recordings::check(&self.0, by, call).await
    }
    async fn recording_audio(&self, by: &Caller, call: AttemptId) -> Answer<RecordingAudio> {
        recordings::audio(&self.0, by, call).await
    }
    async fn recording_key(&self) -> Answer<RecordingKey> {
        recordings::key(&self.0)
    }
    async fn create_recording_key(&self, by: &Caller) -> Answer<RecordingKey> {
        recordings::create_key(&self.0, by).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_meet_and_foreign_cursors_are_refused() {
        let all = || (1..=5u64).map(|n| (n, n * 10));
        let mut query = PageQuery {
            limit: Some(2),
            cursor: None,
        };
        let mut seen = Vec::new();
        loop {
            let got = page(all(), &query).unwrap();
            seen.extend(got.data);
            query.cursor = got.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, [10, 20, 30, 40, 50]);
        query.cursor = Some("x".into());
        assert!(matches!(page(all(), &query), Err(BackendError::Invalid(_))));
    }

    #[test]
    fn refusals_point_to_the_apis_fields() {
        let rejection = |field: &str, limit, version| Rejection {
            field: field.into(),
            why: "why".into(),
            limit,
            version,
        };
        let invalid = rejected(rejection("campaign.retry.delay", Some(9), None));
        let error = FieldError::new("/retry/delay", "why (at most 9)");
        assert_eq!(invalid, BackendError::Invalid(vec![error]));
        let changed = rejected(rejection("if_match", None, Some(4)));
        assert_eq!(changed, BackendError::Changed { current: 4 });
        let limit = rejected(rejection("trunks", Some(3), None));
        assert_eq!(
            limit,
            BackendError::Limit {
                what: "trunks",
                limit: 3
            }
        );
        assert!(matches!(
            rejected(rejection("state", None, None)),
            BackendError::Conflict(_)
        ));
    }
}
