//! What the admin API needs from the process behind it.

use super::RecordingAudio;
use crate::{
    auth::{Caller, Principal},
    dto::{
        Agent, AgentCreated, AgentPatch, AgentRequest, ApiToken, ApiTokenCreated, ApiTokenRequest,
        AuditHead, Call, CallFilter, CallerId, CallerIdPatch, CallerIdReputations, CallerIdsAdded,
        CallerIdsRequest, Campaign, CampaignLearned, CampaignSettings, CampaignStats, ConsentCheck,
        ConsentImportOptions, ConsentWithdrawal, ConsentWithdrawn, DncBase, DncBaseUse, DncCheck,
        DncImportOptions, DncList, DncListDecision, DncListPullRequest, DncListRequest, DncPattern,
        DncRemoval, DncRequest, DncResult, Freeze, FreezeLift, FreezeRequest, HomeRules, HomesMove,
        HomesPlan, HomesPlanRequest, ImportOptions, JoinToken, JoinTokenCreated, JoinTokenRequest,
        Lead, LeadFilter, LiveCalls, Member, Operation, Page, PageQuery, PatternRemoval,
        PatternRequest, Recording, RecordingCheck, RecordingDetail, RecordingFilter, RecordingKey,
        Region, RegionPolicy, RegionRequest, StandingsQuery, Status, TokenIssued, Trunk,
        TrunkPatch, TrunkRequest, VoterSettings,
    },
    problem::{BackendError, BodyError},
};
use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    AgentId, AttemptId, CallRecord, CampaignId, DncBaseId, LeadId, MemberId, PhoneNumber, Prefix,
    RegionId, Supervision, Target, TrunkId,
};
use futures::stream::BoxStream;

/// What a backend answers.
pub type Answer<T> = Result<T, BackendError>;
/// A body as it comes, or a file as it goes.
pub type ByteStream = BoxStream<'static, Result<Bytes, BodyError>>;
/// Call records as they are read, oldest first.
pub type RecordStream = BoxStream<'static, Answer<CallRecord>>;

/// What may be done with a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignAction {
    /// Dial.
    Start,
    /// No new attempts.
    Pause,
    /// End for good.
    Stop,
}

/// What the admin API needs from the process behind it.
///
/// Methods that change or reveal something get the [`Caller`] for the audit trail. The handlers
/// have judged everything that can be judged without the directory ([`crate::dto::Validate`]),
/// and that the caller's role suffices. Without a quorum a change is refused with
/// [`BackendError::NoQuorum`] and nothing has happened.
#[async_trait]
pub trait AdminBackend: Send + Sync + 'static {
    /// Whom the token with this hash ([`crate::auth::hash_token`]) stands for; `None` when nobody
    /// knows it or it has expired.
    async fn authenticate(&self, token_hash: &str) -> Option<Principal>;

    /// The live state of the mesh.
    async fn status(&self) -> Answer<Status>;
    /// Members, by id; removed ones too.
    async fn members(&self, page: PageQuery) -> Answer<Page<Member>>;
    /// One member.
    async fn member(&self, id: MemberId) -> Answer<Member>;
    /// Takes a member out of the mesh for good.
    async fn remove_member(&self, by: &Caller, id: MemberId) -> Answer<()>;
    /// A member is to be left alone, or no longer.
    async fn drain_member(&self, by: &Caller, id: MemberId, on: bool) -> Answer<Member>;
    /// How voters are kept.
    async fn voter_settings(&self) -> Answer<VoterSettings>;
    /// Replaces how voters are kept.
    async fn set_voter_settings(
        &self,
        by: &Caller,
        settings: VoterSettings,
    ) -> Answer<VoterSettings>;
    /// What is asked of a region's group.
    async fn region_policy(&self, id: RegionId) -> Answer<RegionPolicy>;
    /// Replaces what is asked of a region's group.
    async fn set_region_policy(
        &self,
        by: &Caller,
        id: RegionId,
        policy: RegionPolicy,
    ) -> Answer<RegionPolicy>;
    /// Regions, by id.
    async fn regions(&self, page: PageQuery) -> Answer<Page<Region>>;
    /// Heads of the nodes' audit chains, by node.
    async fn audit_heads(&self, page: PageQuery) -> Answer<Page<AuditHead>>;
    /// Makes a region.
    async fn create_region(&self, by: &Caller, request: RegionRequest) -> Answer<Region>;
    /// The map from numbers to home regions.
    async fn home_rules(&self) -> Answer<HomeRules>;
    /// Replaces the map, while there are no leads that would have to move.
    async fn set_home_rules(&self, by: &Caller, rules: HomeRules) -> Answer<HomeRules>;
    /// Whether another map is planned or moved to, and how far.
    async fn homes_move(&self) -> Answer<HomesMove>;
    /// Plans another map, or only counts what it would move.
    async fn plan_homes(&self, by: &Caller, request: HomesPlanRequest) -> Answer<HomesPlan>;
    /// Begins to move leads to a planned map.
    async fn apply_homes(&self, by: &Caller, id: u64) -> Answer<Operation>;
    /// Drops a plan that was not applied.
    async fn cancel_homes(&self, by: &Caller, id: u64) -> Answer<()>;
    /// Join tokens that have not ended.
    async fn join_tokens(&self, page: PageQuery) -> Answer<Page<JoinToken>>;
    /// Makes a join token.
    async fn create_join_token(
        &self,
        by: &Caller,
        request: JoinTokenRequest,
    ) -> Answer<JoinTokenCreated>;
    /// Ends a join token.
    async fn revoke_join_token(&self, by: &Caller, id: &str) -> Answer<()>;

    /// Campaigns, by id.
    async fn campaigns(&self, page: PageQuery) -> Answer<Page<Campaign>>;
    /// One campaign.
    async fn campaign(&self, id: CampaignId) -> Answer<Campaign>;
    /// Makes a campaign in state `draft`.
    async fn create_campaign(&self, by: &Caller, settings: CampaignSettings) -> Answer<Campaign>;
    /// Replaces a campaign's settings, when its version is still `version`.
    async fn update_campaign(
        &self,
        by: &Caller,
        id: CampaignId,
        version: u64,
        settings: CampaignSettings,
    ) -> Answer<Campaign>;
    /// Starts, pauses or stops a campaign. What is so already stays so.
    async fn act_on_campaign(
        &self,
        by: &Caller,
        id: CampaignId,
        action: CampaignAction,
    ) -> Answer<Campaign>;
    /// A campaign's figures and why nothing more is dialed.
    async fn campaign_stats(&self, id: CampaignId) -> Answer<CampaignStats>;
    /// What the cities have learned of who answers a campaign's calls.
    async fn campaign_learned(&self, id: CampaignId) -> Answer<CampaignLearned>;

    /// Reads a CSV file of leads. Must read `rows` to its end (or to a refusal) before it answers;
    /// the work may go on as the operation after that. `length` is the file's, where the client
    /// told it.
    async fn import_leads(
        &self,
        by: &Caller,
        campaign: CampaignId,
        options: ImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation>;
    /// Leads.
    async fn leads(&self, filter: LeadFilter) -> Answer<Page<Lead>>;
    /// One lead.
    async fn lead(&self, id: LeadId) -> Answer<Lead>;
    /// Operations, newest first.
    async fn operations(&self, page: PageQuery) -> Answer<Page<Operation>>;
    /// One operation.
    async fn operation(&self, id: &str) -> Answer<Operation>;
    /// The rows an import refused, as CSV with the reasons.
    async fn operation_rejects(&self, by: &Caller, id: &str) -> Answer<ByteStream>;

    /// Adds a do-not-call entry and waits as asked.
    async fn add_do_not_call(
        &self,
        by: &Caller,
        number: PhoneNumber,
        request: DncRequest,
    ) -> Answer<DncResult>;
    /// What is known about a number.
    async fn check_do_not_call(&self, by: &Caller, number: PhoneNumber) -> Answer<DncCheck>;
    /// Removes an entry.
    async fn remove_do_not_call(
        &self,
        by: &Caller,
        number: PhoneNumber,
        removal: DncRemoval,
    ) -> Answer<DncResult>;
    /// Reads a CSV file of numbers, as [`AdminBackend::import_leads`] does.
    async fn import_do_not_call(
        &self,
        by: &Caller,
        options: DncImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation>;

    /// Do-not-call bases, newest first.
    async fn do_not_call_bases(&self) -> Answer<Page<DncBase>>;
    /// Takes a base in; nodes fetch it from then on. Answers once it is on the disk, whole.
    async fn stage_do_not_call_base(
        &self,
        by: &Caller,
        id: DncBaseId,
        body: ByteStream,
    ) -> Answer<DncBase>;
    /// Puts a base into use, or none, and waits as asked.
    async fn use_do_not_call_base(&self, by: &Caller, request: DncBaseUse) -> Answer<DncResult>;
    /// Builds a base from the one in use and the registry's entries since, and stages it.
    async fn compact_do_not_call_base(&self, by: &Caller) -> Answer<Operation>;
    /// Forgets a base that is not in use.
    async fn remove_do_not_call_base(&self, by: &Caller, id: DncBaseId) -> Answer<()>;

    /// Do-not-call lists that are pulled, by name, each with its last pull.
    async fn do_not_call_lists(&self) -> Answer<Page<DncList>>;
    /// One such list with its last pulls.
    async fn do_not_call_list(&self, name: &str) -> Answer<DncList>;
    /// Declares a list that is pulled from then on.
    async fn declare_do_not_call_list(
        &self,
        by: &Caller,
        request: DncListRequest,
    ) -> Answer<DncList>;
    /// Forgets a list.
    async fn remove_do_not_call_list(&self, by: &Caller, name: &str) -> Answer<()>;
    /// Begins to pull a list now.
    async fn pull_do_not_call_list(
        &self,
        by: &Caller,
        name: &str,
        request: DncListPullRequest,
    ) -> Answer<Operation>;
    /// Lets the pulls of a list rest, or go on.
    async fn pause_do_not_call_list(&self, by: &Caller, name: &str, on: bool) -> Answer<DncList>;
    /// Takes what waits for an approval, or drops it.
    async fn decide_do_not_call_list(
        &self,
        by: &Caller,
        name: &str,
        take: bool,
        decision: DncListDecision,
    ) -> Answer<DncList>;

    /// Do-not-call patterns, by their digits.
    async fn do_not_call_patterns(&self, page: PageQuery) -> Answer<Page<DncPattern>>;
    /// Adds a do-not-call pattern and waits as asked.
    async fn add_do_not_call_pattern(
        &self,
        by: &Caller,
        prefix: Prefix,
        request: PatternRequest,
    ) -> Answer<DncResult>;
    /// Removes a do-not-call pattern.
    async fn remove_do_not_call_pattern(
        &self,
        by: &Caller,
        prefix: Prefix,
        removal: PatternRemoval,
    ) -> Answer<DncResult>;
    /// Freezes that hold.
    async fn freezes(&self, page: PageQuery) -> Answer<Page<Freeze>>;
    /// Freezes a number or pattern and waits as asked.
    async fn freeze(
        &self,
        by: &Caller,
        target: Target,
        request: FreezeRequest,
    ) -> Answer<DncResult>;
    /// Ends a freeze before its time.
    async fn lift_freeze(
        &self,
        by: &Caller,
        target: Target,
        request: FreezeLift,
    ) -> Answer<DncResult>;

    /// The consents of a number.
    async fn check_consent(&self, by: &Caller, number: PhoneNumber) -> Answer<ConsentCheck>;
    /// Withdraws consents and waits as asked.
    async fn withdraw_consent(
        &self,
        by: &Caller,
        number: PhoneNumber,
        request: ConsentWithdrawal,
    ) -> Answer<ConsentWithdrawn>;
    /// Reads a CSV file of consents, as [`AdminBackend::import_leads`] does.
    async fn import_consents(
        &self,
        by: &Caller,
        options: ConsentImportOptions,
        length: Option<u64>,
        rows: ByteStream,
    ) -> Answer<Operation>;

    /// Trunks, by id.
    async fn trunks(&self, page: PageQuery) -> Answer<Page<Trunk>>;
    /// One trunk.
    async fn trunk(&self, id: TrunkId) -> Answer<Trunk>;
    /// Makes a trunk.
    async fn create_trunk(&self, by: &Caller, request: TrunkRequest) -> Answer<Trunk>;
    /// Changes a trunk.
    async fn patch_trunk(&self, by: &Caller, id: TrunkId, patch: TrunkPatch) -> Answer<Trunk>;
    /// Removes a trunk that no caller ID uses.
    async fn delete_trunk(&self, by: &Caller, id: TrunkId) -> Answer<()>;
    /// Caller IDs, by number.
    async fn caller_ids(&self, page: PageQuery) -> Answer<Page<CallerId>>;
    /// What persons think of the caller IDs, as the nodes know it.
    async fn caller_id_reputations(&self, query: StandingsQuery) -> Answer<CallerIdReputations>;
    /// Adds caller IDs, all or none.
    async fn add_caller_ids(
        &self,
        by: &Caller,
        request: CallerIdsRequest,
    ) -> Answer<CallerIdsAdded>;
    /// Changes a caller ID.
    async fn patch_caller_id(
        &self,
        by: &Caller,
        number: PhoneNumber,
        patch: CallerIdPatch,
    ) -> Answer<CallerId>;
    /// Removes a caller ID.
    async fn delete_caller_id(&self, by: &Caller, number: PhoneNumber) -> Answer<()>;

    /// Agents, by id.
    async fn agents(&self, page: PageQuery) -> Answer<Page<Agent>>;
    /// One agent.
    async fn agent(&self, id: AgentId) -> Answer<Agent>;
    /// Makes an agent with fresh secrets, which are told this once.
    async fn create_agent(&self, by: &Caller, request: AgentRequest) -> Answer<AgentCreated>;
    /// Changes an agent.
    async fn patch_agent(&self, by: &Caller, id: AgentId, patch: AgentPatch) -> Answer<Agent>;
    /// Makes a fresh token for an agent; the one before is void.
    async fn rotate_agent_token(&self, by: &Caller, id: AgentId) -> Answer<TokenIssued>;
    /// Tokens of this API that have not ended.
    async fn tokens(&self, page: PageQuery) -> Answer<Page<ApiToken>>;
    /// Makes a token.
    async fn create_token(&self, by: &Caller, request: ApiTokenRequest) -> Answer<ApiTokenCreated>;
    /// Ends a token.
    async fn revoke_token(&self, by: &Caller, id: &str) -> Answer<()>;

    /// Calls, newest first.
    async fn calls(&self, filter: CallFilter) -> Answer<Page<Call>>;
    /// One call.
    async fn call(&self, id: AttemptId) -> Answer<Call>;
    /// Call records, oldest first; numbers are masked or revealed by the handler. `revealed` says
    /// which, for the audit trail.
    async fn call_records(
        &self,
        by: &Caller,
        filter: CallFilter,
        revealed: bool,
    ) -> Answer<RecordStream>;

    /// Calls in which an agent and a person speak now.
    async fn live_calls(&self) -> Answer<LiveCalls>;
    /// Lets a supervisor, with the audio leg of an agent account, into a live call in some manner; out
    /// of it where none is given.
    async fn supervise(
        &self,
        by: &Caller,
        call: AttemptId,
        seat: AgentId,
        manner: Option<Supervision>,
    ) -> Answer<()>;

    /// Recordings, newest first.
    async fn recordings(&self, filter: RecordingFilter) -> Answer<Page<Recording>>;
    /// One recording, with what its file says.
    async fn recording(&self, call: AttemptId) -> Answer<RecordingDetail>;
    /// Reads all of a recording.
    async fn check_recording(&self, by: &Caller, call: AttemptId) -> Answer<RecordingCheck>;
    /// A recording's sound.
    async fn recording_audio(&self, by: &Caller, call: AttemptId) -> Answer<RecordingAudio>;
    /// The key that recordings are made with.
    async fn recording_key(&self) -> Answer<RecordingKey>;
    /// Makes a key that recordings are made with from here on.
    async fn create_recording_key(&self, by: &Caller) -> Answer<RecordingKey>;
}
