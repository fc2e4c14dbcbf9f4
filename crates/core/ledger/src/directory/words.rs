//! What is said to the directory, and what it answers.

use super::{
    ConsentKey, DirectoryFacts, DncLift, DncListChange, NewDncPart, Removal,
    layout::{Place, RegionPolicy, VoterPolicy},
};
use crate::{
    origin::Origin,
    region::{DncFact, DncRemoval},
};
use domain::{
    AgentAccount, AgentId, AnsweringMachines, CallerId, Campaign, CampaignId, CampaignState,
    ClearanceFact, Consent, DncBaseId, DncEntry, DncListAge, DncPattern, DncScope, EscrowAsk,
    EscrowGrant, Freeze, HomeRule, LeadOrder, Levers, ListId, Member, MemberId, MemberRole,
    MeshVersion, PhoneNumber, Prefix, PromptName, Recording, RecordingKey, Region, RegionId,
    Target, Trunk, TrunkId, TrunkManner, TrunkSecurity, WallTime,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// Names one mesh for ever; drawn at its founding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MeshId(pub u128);

impl fmt::Display for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mesh_{:032x}", self.0)
    }
}

impl fmt::Debug for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A join or API token's id; the directory gives it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TokenId(pub u64);

/// BLAKE3 of a token's secret. The secret itself is shown once and kept nowhere.
pub type TokenHash = [u8; 32];

/// Lets one process join the mesh once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Its id.
    pub id: TokenId,
    /// Hash of its secret.
    pub hash: TokenHash,
    /// What may join with it.
    pub role: MemberRole,
    /// For which region a node.
    pub region: Option<RegionId>,
    /// Useless from then on.
    pub expires_at: WallTime,
    /// Who used it.
    pub used_by: Option<MemberId>,
}

/// What the bearer of an API token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, other owners too.
    Owner,
    /// Everything but owners.
    Admin,
    /// Campaigns, lists, do-not-call.
    CampaignManager,
    /// Watches, and moves agents.
    Supervisor,
    /// Listens to recordings and scores them.
    Qa,
    /// Reads everything, the audit too.
    Auditor,
    /// A program: imports, exports, events.
    Integration,
}

/// To what part of the mesh a token is bound; none means all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// One region.
    Region(RegionId),
    /// One campaign.
    Campaign(CampaignId),
}

/// Opens the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// Hash of its secret.
    pub hash: TokenHash,
    /// Whose it is, for people.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// Where; empty means everywhere.
    pub scopes: Vec<TokenScope>,
    /// Useless from then on; never, if none.
    pub expires_at: Option<WallTime>,
    /// Taken back.
    pub revoked: bool,
}

/// An imported list of leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Its id.
    pub id: ListId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// The file's name or whatever the importer called it.
    pub name: String,
    /// When its import began.
    pub created_at: WallTime,
}

/// A process that asks to become a member; the directory gives the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMember {
    /// Unique among members that are not removed.
    pub name: String,
    /// `address:port` of its mesh endpoint.
    pub mesh_address: String,
    /// `http://address:port` of its HTTP surface.
    pub http_address: String,
}

/// A command to the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryCommand {
    /// Who proposes it; with it a retry is answered as the first time.
    pub origin: Option<Origin>,
    /// What is to change.
    pub change: Change,
}

impl From<Change> for DirectoryCommand {
    /// A command that applies as often as it is proposed.
    fn from(change: Change) -> Self {
        Self {
            origin: None,
            change,
        }
    }
}

/// A change of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The first command: makes the mesh, and its first coordinator.
    Found {
        /// Drawn by the founder.
        mesh: MeshId,
        /// The founder.
        member: NewMember,
    },
    /// Makes a join token.
    AddJoinToken {
        /// Hash of its secret.
        hash: TokenHash,
        /// What may join with it.
        role: MemberRole,
        /// For which region a node; must be set for a node, and for nothing else.
        region: Option<RegionId>,
        /// At most [`domain::limits::JOIN_TOKEN_LIFE`] away.
        expires_at: WallTime,
    },
    /// Takes a join token back.
    RemoveJoinToken {
        /// Which.
        id: TokenId,
    },
    /// Uses a join token.
    Join {
        /// Hash of its secret.
        hash: TokenHash,
        /// Who joins.
        member: NewMember,
    },
    /// A member's addresses changed.
    MoveMember {
        /// Which.
        id: MemberId,
        /// `address:port` of its mesh endpoint.
        mesh_address: String,
        /// `http://address:port` of its HTTP surface.
        http_address: String,
    },
    /// Takes a member out of the mesh, for good.
    RemoveMember {
        /// Which.
        id: MemberId,
    },
    /// Makes a region (id none) or renames one.
    SetRegion {
        /// Which; none makes one.
        id: Option<RegionId>,
        /// Its unique name.
        name: String,
    },
    /// Replaces the map from numbers to home regions, whatever leads there are: of earlier releases.
    SetHomeRules {
        /// The whole map.
        rules: Vec<HomeRule>,
    },
    /// Makes a trunk (id 0) or replaces one.
    SetTrunk {
        /// The trunk.
        trunk: Trunk,
    },
    /// Removes a trunk that has no caller IDs left.
    RemoveTrunk {
        /// Which.
        id: TrunkId,
    },
    /// Adds or replaces caller IDs, all or none.
    SetCallerIds {
        /// At most [`domain::limits::CALLER_ID_BATCH`].
        caller_ids: Vec<CallerId>,
    },
    /// Removes caller IDs.
    RemoveCallerIds {
        /// Unknown ones are ignored.
        numbers: Vec<PhoneNumber>,
    },
    /// Makes a campaign; its id and version are given here.
    CreateCampaign {
        /// The campaign.
        campaign: Box<Campaign>,
    },
    /// Replaces a campaign's settings; its state stays.
    SetCampaign {
        /// The campaign.
        campaign: Box<Campaign>,
        /// Only if its version is this one.
        if_match: Option<u64>,
    },
    /// Starts, pauses, stops a campaign.
    SetCampaignState {
        /// Which.
        id: CampaignId,
        /// The state wished for.
        state: CampaignState,
        /// Only if its version is this one.
        if_match: Option<u64>,
    },
    /// Makes a list for an import.
    CreateList {
        /// Its campaign.
        campaign: CampaignId,
        /// What to call it.
        name: String,
    },
    /// Adds and removes do-not-call entries. Where both name an entry, adding wins.
    ChangeDnc {
        /// At most [`domain::limits::DNC_BATCH`].
        add: Vec<DncEntry>,
        /// At most [`domain::limits::DNC_BATCH`]; each names the very entry it removes.
        remove: Vec<DncRemoval>,
        /// Why entries are removed; kept in the log. Must not be empty when `remove` is not.
        reason: String,
    },
    /// Makes an agent (id 0) or replaces one.
    SetAgent {
        /// The agent.
        agent: Box<AgentAccount>,
    },
    /// Removes an agent.
    RemoveAgent {
        /// Which.
        id: AgentId,
    },
    /// Makes an API token.
    AddApiToken {
        /// Hash of its secret.
        hash: TokenHash,
        /// Whose it is.
        name: String,
        /// What its bearer may do.
        role: Role,
        /// Where; empty means everywhere.
        scopes: Vec<TokenScope>,
        /// Useless from then on; never, if none.
        expires_at: Option<WallTime>,
    },
    /// Takes an API token back.
    RevokeApiToken {
        /// Which.
        id: TokenId,
    },
    /// Keeps the head of a node's audit chain. It only moves on: an earlier one is refused, and so
    /// is another hash for the same line.
    AnchorAudit {
        /// Whose chain.
        member: MemberId,
        /// Its last line's number, from 1.
        sequence: u64,
        /// Its last line's SHA-256.
        hash: [u8; 32],
    },
    /// Makes a do-not-call base known, which a coordinator holds: every node fetches it.
    StageDncBase {
        /// The base.
        base: NewDncBase,
    },
    /// A member holds a base, whole and verified.
    HoldDncBase {
        /// Who.
        member: MemberId,
        /// Which.
        id: DncBaseId,
    },
    /// Puts a base into use, or none. From this entry on no node dials without it.
    UseDncBase {
        /// Which; none takes the present one out of use.
        id: Option<DncBaseId>,
        /// Although some nodes do not hold it yet: they dial nobody until they do. Or although it may
        /// lack numbers that the present one has and registries still name, or have some that were
        /// taken out since it was made.
        force: bool,
        /// Why; must not be empty when the base is taken out of use.
        reason: String,
    },
    /// Forgets a base that is not in use.
    DropDncBase {
        /// Which.
        id: DncBaseId,
    },
    /// A member says where it is.
    PlaceMember {
        /// Which.
        id: MemberId,
        /// Where.
        place: Place,
    },
    /// A member is to be left alone, or not any more: it leads nothing, and votes only where
    /// nobody else can.
    DrainMember {
        /// Which.
        id: MemberId,
        /// Whether from now on or no longer.
        on: bool,
    },
    /// How voters are kept, in all groups.
    SetVoterPolicy {
        /// The whole policy.
        policy: VoterPolicy,
    },
    /// What is asked of one region's group.
    SetRegionPolicy {
        /// Which.
        id: RegionId,
        /// The whole policy.
        policy: RegionPolicy,
    },
    /// Adds and removes do-not-call patterns. Where both name one, adding wins.
    ChangePatterns {
        /// At most [`domain::limits::DNC_BATCH`].
        add: Vec<DncPattern>,
        /// At most [`domain::limits::DNC_BATCH`].
        remove: Vec<Removal<Prefix>>,
        /// Why some are removed; must not be empty then.
        reason: String,
    },
    /// Freezes numbers and patterns, and lifts freezes. Where both name one, freezing wins.
    ChangeFreezes {
        /// At most [`domain::limits::DNC_BATCH`]; each ends within [`domain::limits::FREEZE_MAX`].
        add: Vec<Freeze>,
        /// At most [`domain::limits::DNC_BATCH`].
        lift: Vec<Removal<Target>>,
        /// Why some are lifted; must not be empty then.
        reason: String,
    },
    /// Adds and withdraws consents. Where both name one, it is withdrawn.
    ChangeConsents {
        /// At most [`domain::limits::DNC_BATCH`]; each takes the place of one that was given earlier.
        /// One that the person withdrew since it was given is not taken, nor is one that was given
        /// before the one that is known. One that is known as it is keeps its id.
        add: Vec<Consent>,
        /// At most [`domain::limits::DNC_BATCH`]. Without a campaign every consent of the number is
        /// meant. It counts too for what was given before and comes later.
        withdraw: Vec<ConsentKey>,
        /// Why some are withdrawn; must not be empty then.
        reason: String,
    },
    /// Says whether a campaign dials nobody without consent, whatever its rule pack says.
    RequireConsent {
        /// Which.
        campaign: CampaignId,
        /// Whether.
        required: bool,
    },
    /// A node tells answers and abandonments, and asks for its shares of abandonment budgets. Each
    /// ask is taken once, however often it comes.
    Escrow {
        /// What it says.
        ask: Box<EscrowAsk>,
    },
    /// Makes a base known as [`Change::StageDncBase`] does, that was made from another one and the
    /// registries' entries.
    StageCompactedDncBase {
        /// The base.
        base: NewDncBase,
        /// All of this one is in it.
        from: DncBaseId,
        /// The directory's index of which the entries that went into it were true.
        index: u64,
    },
    /// Removes entries of registries for everywhere that the base in use has, and that are
    /// [`domain::limits::DNC_SETTLED_AFTER`] old. Refused while another base is in use.
    SettleDnc {
        /// The base that has them, as its reader has seen.
        base: DncBaseId,
        /// At most [`domain::limits::DNC_BATCH`]; each names the very entry it removes.
        remove: Vec<DncRemoval>,
    },
    /// Plans another map from numbers to home regions. Before the first list it holds at once.
    PlanHomes {
        /// The whole map.
        rules: Vec<HomeRule>,
        /// Whether leads may have to move for it; otherwise it is refused where there are lists.
        move_leads: bool,
    },
    /// Begins to move leads to where the planned map has them.
    ApplyHomes {
        /// Which plan.
        id: u64,
    },
    /// Drops a plan that was not applied.
    CancelHomes {
        /// Which.
        id: u64,
    },
    /// A region has nothing left that the map puts elsewhere. With the last region it is in force.
    LeftHomes {
        /// The map.
        id: u64,
        /// The region.
        region: RegionId,
    },
    /// Declares, pauses or removes a do-not-call list, or says that it was obtained.
    ChangeDncList {
        /// Its name: lower-case letters, digits, `-`, `_`, `.`; at most 32.
        name: String,
        /// What.
        change: DncListChange,
    },
    /// Makes a do-not-call base known that was made of lists, each as it was last obtained.
    StageDncBaseOfLists {
        /// The base.
        base: NewDncBase,
        /// At most [`domain::limits::DNC_LISTS`].
        parts: Vec<NewDncPart>,
    },
    /// Adds and removes do-not-call patterns of one campaign or region, or those for everywhere.
    /// Where both name one, adding wins.
    ChangeScopedPatterns {
        /// Where they hold.
        scope: DncScope,
        /// At most [`domain::limits::DNC_BATCH`].
        add: Vec<DncPattern>,
        /// At most [`domain::limits::DNC_BATCH`].
        remove: Vec<Removal<Prefix>>,
        /// Why some are removed; must not be empty then.
        reason: String,
    },
    /// Lets numbers be dialed although the do-not-call base in use has them, and takes that back.
    ChangeLifts {
        /// At most [`domain::limits::DNC_BATCH`].
        add: Vec<DncLift>,
        /// At most [`domain::limits::DNC_BATCH`].
        remove: Vec<Removal<PhoneNumber>>,
    },
    /// Says what a campaign does about answering machines, from its next attempts on.
    SetAnsweringMachines {
        /// Which.
        campaign: CampaignId,
        /// What.
        machines: AnsweringMachines,
    },
    /// Makes a trunk (id 0) or replaces one, together with how it is used. [`Change::SetTrunk`]
    /// leaves that as it is.
    SetTrunkAndManner {
        /// The trunk.
        trunk: Trunk,
        /// How it is used.
        manner: Box<TrunkManner>,
    },
    /// Says which calls of a campaign are recorded, from its next joined ones on.
    SetRecording {
        /// Which campaign.
        campaign: CampaignId,
        /// Which calls. Refused while there is no key.
        recording: Recording,
    },
    /// Recordings are made with this key from here on. Those made before keep theirs.
    SetRecordingKey {
        /// Its public half.
        key: RecordingKey,
    },
    /// A member says up to which version it understands what the others write.
    Understand {
        /// Which.
        id: MemberId,
        /// At least the mesh's version.
        version: MeshVersion,
    },
    /// Makes a trunk (id 0) or replaces one, together with how it is used and how its calls are
    /// vouched for. [`Change::SetTrunkAndManner`] leaves the latter as it is.
    SetTrunkWhole {
        /// The trunk.
        trunk: Trunk,
        /// How it is used; its own `security` is not among its bytes.
        manner: Box<TrunkManner>,
        /// How its calls are vouched for.
        security: TrunkSecurity,
    },
    /// Says what an operator sets of a campaign's pacing beside mode and dial level.
    SetLevers {
        /// Which campaign.
        campaign: CampaignId,
        /// All of them.
        levers: Levers,
    },
    /// Has a campaign count its abandonments with another's, in one budget for both; see
    /// [`super::Directory::drop_rate_group`].
    SetDropRateGroup {
        /// Which campaign; it must be a draft.
        campaign: CampaignId,
        /// With which it counts; none for a budget of its own.
        with: Option<CampaignId>,
    },
    /// Says of how many dials in a hundred a campaign shows a number that is not local, so that what
    /// a local one is worth can be told.
    SetHoldOut {
        /// Which campaign.
        campaign: CampaignId,
        /// At most [`domain::limits::HOLD_OUT_PERCENT`]; 0 for none.
        percent: u8,
    },
    /// Says in which order a campaign's leads are given out.
    SetLeadOrder {
        /// Which campaign.
        campaign: CampaignId,
        /// Which order.
        order: LeadOrder,
    },
    /// Says which message a campaign leaves on answering machines. Its rule pack must allow it.
    SetVoiceDrop {
        /// Which campaign.
        campaign: CampaignId,
        /// The prompt, as nodes have it; none for no message.
        prompt: Option<PromptName>,
    },
}

/// A do-not-call base, as its builder describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDncBase {
    /// The hash that names it.
    pub id: DncBaseId,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Its numbers; at most [`domain::limits::DNC_BASE_NUMBERS`].
    pub count: u64,
    /// Where they came from.
    pub source: String,
    /// When it was built.
    pub built_at: WallTime,
}

/// A do-not-call base that the directory knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedDncBase {
    /// As it was described.
    pub base: NewDncBase,
    /// When it was made known.
    pub staged_at: WallTime,
    /// Members that hold it, whole and verified.
    pub holders: BTreeSet<MemberId>,
}

/// The head of a node's audit chain, as it was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Whose chain.
    pub member: MemberId,
    /// Its last line's number.
    pub sequence: u64,
    /// Its last line's SHA-256.
    pub hash: [u8; 32],
    /// When it was told.
    pub at: WallTime,
}

/// Why a change was refused. Nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {why}{}", .limit.map(|l| format!(" (limit {l})")).unwrap_or_default())]
pub struct Rejection {
    /// The field of the change that is wrong (`campaign.ring_limit`).
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
    /// The limit that it is over, where there is one.
    pub limit: Option<u64>,
    /// The version now, where `if_match` named another.
    pub version: Option<u64>,
}

impl Rejection {
    /// A refusal without a limit.
    pub(crate) fn new(field: &str, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            why: why.into(),
            limit: None,
            version: None,
        }
    }

    /// Something is over its limit.
    pub(crate) fn over(field: &str, why: impl Into<String>, limit: u64) -> Self {
        Self {
            limit: Some(limit),
            ..Self::new(field, why)
        }
    }
}

/// The directory's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DirectoryReply {
    /// Done; nothing more to say.
    Done,
    /// A member joined or founded the mesh.
    Joined {
        /// Its id.
        member: MemberId,
        /// The mesh.
        mesh: MeshId,
    },
    /// A token was made.
    Token(TokenId),
    /// A region was made or renamed.
    Region(RegionId),
    /// A campaign was made or changed.
    Campaign {
        /// Its id.
        id: CampaignId,
        /// Its version now.
        version: u64,
    },
    /// A list was made.
    List(ListId),
    /// A trunk was made or replaced.
    Trunk(TrunkId),
    /// An agent was made or replaced.
    Agent(AgentId),
    /// Do-not-call changed.
    Dnc {
        /// Wait for this index to be effective.
        index: u64,
        /// Entries that were not there.
        added: u32,
        /// Entries that were there and now carry this index.
        renewed: u32,
        /// Entries gone.
        removed: u32,
        /// Removals that named an entry since renewed or gone: those stay.
        kept: u32,
    },
    /// Refused.
    Rejected(Rejection),
    /// Another do-not-call base is in use.
    DncBase {
        /// Wait for this index to be effective.
        index: u64,
    },
    /// Patterns, freezes or consents changed.
    Clearance {
        /// Wait for this index to be effective.
        index: u64,
        /// Entries that were not there.
        added: u32,
        /// Entries gone, consents withdrawn.
        removed: u32,
        /// Removals that named an entry since renewed or gone: those stay. Consents not taken, and
        /// withdrawals that found none.
        kept: u32,
    },
    /// What a node may hold of abandonment budgets, one for each campaign that it named and the
    /// directory knows.
    Escrow(Vec<EscrowGrant>),
    /// A home map is planned, or holds.
    Homes {
        /// The plan, or the version of the map that holds.
        id: u64,
        /// Whether it holds.
        in_force: bool,
    },
}

/// One thing that changed, with its full value now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// The mesh was founded.
    Mesh(MeshId),
    /// A member joined, moved or was removed (see its flag).
    Member(Member),
    /// A region.
    Region(Region),
    /// The whole map to home regions.
    HomeRules(Vec<HomeRule>),
    /// A campaign.
    Campaign(Box<Campaign>),
    /// A list.
    List(List),
    /// A trunk.
    Trunk(Box<Trunk>),
    /// How a trunk is used; said before the trunk itself.
    TrunkManner(TrunkId, Box<TrunkManner>),
    /// A trunk that is gone.
    TrunkRemoved(TrunkId),
    /// Caller IDs.
    CallerIds(Vec<CallerId>),
    /// Caller IDs that are gone.
    CallerIdsRemoved(Vec<PhoneNumber>),
    /// An agent.
    Agent(Box<AgentAccount>),
    /// An agent who is gone.
    AgentRemoved(AgentId),
    /// The do-not-call base that is in use from here on.
    DncBase(Option<DncBaseId>),
    /// Patterns, freezes and consents, there or gone.
    Clearance(Vec<ClearanceFact>),
    /// How old the lists are that the do-not-call base in use was made of.
    DncAges(Vec<DncListAge>),
    /// What a campaign does about answering machines.
    Answering(CampaignId, AnsweringMachines),
    /// Which calls of a campaign are recorded.
    Recording(CampaignId, Recording),
    /// The key that recordings are made with.
    RecordingKey(RecordingKey),
    /// What all members understand from here on.
    MeshVersion(MeshVersion),
    /// A campaign's levers.
    Levers(CampaignId, Levers),
    /// With which other a campaign counts its abandonments.
    DropRateGroup(CampaignId, Option<CampaignId>),
    /// Of how many dials in a hundred a campaign shows a number that is not local.
    HoldOut(CampaignId, u8),
    /// In which order a campaign's leads are given out.
    LeadOrder(CampaignId, LeadOrder),
    /// Which message a campaign leaves on answering machines.
    VoiceDrop(CampaignId, Option<PromptName>),
}

/// What local listeners of the directory are told. Entries without an event changed nothing that
/// a listener needs; [`super::Directory::applied`] moves on all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryEvent {
    /// Facts changed.
    Changed {
        /// By this entry.
        index: u64,
        /// Their values now.
        facts: Vec<Fact>,
    },
    /// Do-not-call changed.
    Dnc {
        /// By this entry.
        index: u64,
        /// Entries added or renewed.
        added: Vec<DncFact>,
        /// Entries gone.
        removed: Vec<DncRemoval>,
    },
    /// The whole state was replaced by a snapshot.
    Reset(Arc<DirectoryFacts>),
}
