//! What is said to a region's ledger, and what it answers.

use super::moves::{MoveRefusal, MovedBatch, MovedCounts};
use crate::directory::{since_entry, since_outcome};
use domain::{
    AttemptId, CallOutcome, Campaign, CampaignId, Chances, ClearanceFact, Disposition, DncBaseId,
    DncEntry, DncScope, Incarnation, LeadId, LeadProfile, LeasedLead, ListId, MemberId,
    MeshVersion, NewLead, PhoneNumber, RegionId, SessionId, WallTime,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which leader: Raft's term, and the member, since a term may see more than one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Leadership {
    /// Raft's term.
    pub term: u64,
    /// The leading member.
    pub member: MemberId,
}

/// A do-not-call entry as the directory holds it: with the index of the entry that added it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncFact {
    /// The entry.
    pub entry: DncEntry,
    /// The directory's log index that added (or renewed) it.
    pub index: u64,
}

/// The removal of exactly one do-not-call entry: of one added later it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncRemoval {
    /// The number.
    pub number: PhoneNumber,
    /// Where the entry holds.
    pub scope: DncScope,
    /// The index of the entry that is removed, as [`DncFact::index`] gave it.
    pub index: u64,
}

/// Facts of the directory that a region's ledger needs, forwarded by the region's leader.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The directory index of which they are true. Never goes back; equal ones add up.
    pub directory_index: u64,
    /// Campaigns as they are now.
    pub campaigns: Vec<Campaign>,
    /// Entries added or renewed; at most [`domain::limits::DNC_BATCH`].
    pub dnc_added: Vec<DncFact>,
    /// Entries removed; at most [`domain::limits::DNC_BATCH`].
    pub dnc_removed: Vec<DncRemoval>,
}

/// Why a returning node's word about an ended session is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The process died but the machine did not: what the journal does not show was not sent.
    SameBoot,
    /// The process ended in order, its journal complete.
    CleanStop,
    /// The machine went down: the journal's tail may be lost, so nothing is refunded.
    PowerLoss,
}

/// A command to a region's ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegionCommand {
    /// Adds leads. A batch applies once; batches of a list come in order, from 1.
    Import {
        /// The list.
        list: ListId,
        /// Its campaign.
        campaign: CampaignId,
        /// Counts the list's batches in this region, from 1.
        batch: u64,
        /// At most [`domain::limits::IMPORT_BATCH`].
        rows: Vec<NewLead>,
    },
    /// Brings facts of the directory.
    Facts(Facts),
    /// Opens a session for a run of a node; an earlier run's is closed.
    OpenSession {
        /// The node.
        node: MemberId,
        /// The run of its process.
        incarnation: Incarnation,
        /// Time to live T; recorded, so that node and leader count the same.
        ttl: Duration,
    },
    /// Ends a session that was not renewed for T(1+ρ). Only the leader of the last tick may.
    ExpireSession {
        /// The session.
        session: SessionId,
        /// The leader that counted.
        leadership: Leadership,
    },
    /// Ends a session in order; what it still holds comes in doubt.
    CloseSession {
        /// The session.
        session: SessionId,
    },
    /// Asks for leads to dial.
    Claim {
        /// The session that will hold them.
        session: SessionId,
        /// The campaign.
        campaign: CampaignId,
        /// At most so many; at most [`domain::limits::CLAIM_BATCH`].
        n: u32,
        /// Counts the node's claims; a retry carries the same number. Never starts over within a
        /// run: one session may outlive the node's doubts about it, and would answer again.
        sequence: u64,
    },
    /// Tells how leased leads ended.
    Report {
        /// The session that held them.
        session: SessionId,
        /// Counts the session's reports, for logs; an outcome applies once whatever it says.
        sequence: u64,
        /// At most [`domain::limits::OUTCOME_BATCH`].
        outcomes: Vec<CallOutcome>,
    },
    /// Tells what a returning node's journal knows of leads that came in doubt.
    Settle {
        /// The node.
        node: MemberId,
        /// The run that held them, not the one that speaks.
        incarnation: Incarnation,
        /// At most [`domain::limits::OUTCOME_BATCH`].
        outcomes: Vec<CallOutcome>,
        /// Why it is believed.
        proof: Proof,
    },
    /// Says how much time has passed at least. The first of a leader makes it known.
    Tick {
        /// Who says so.
        leadership: Leadership,
        /// Index of the tick before, which makes a repeated one harmless.
        after: u64,
        /// Passed since the leader saw that one applied, drift taken off; at most
        /// [`domain::limits::TICK_MAX`] counts.
        elapsed: Duration,
    },
    /// Says which do-not-call base is in use, by the directory.
    DncBase {
        /// The directory index of which it is true. Never goes back.
        directory_index: u64,
        /// Which; none when there is none.
        base: Option<DncBaseId>,
    },
    /// Brings patterns, freezes and consents of the directory.
    Clearance {
        /// The directory index of which they are true. Never goes back; equal ones add up.
        directory_index: u64,
        /// At most [`domain::limits::DNC_BATCH`] twice: added and gone.
        facts: Vec<ClearanceFact>,
    },
    /// Adds leads, routed by a home map: one decided by an earlier map than the group has heard of
    /// is refused. Batches count together with those of [`RegionCommand::Import`].
    ImportAt {
        /// The version of the map.
        homes: u64,
        /// Only those whose number is here: for the region that a number leaves.
        known_only: bool,
        /// The list.
        list: ListId,
        /// Its campaign.
        campaign: CampaignId,
        /// Counts the list's batches in this region, from 1.
        batch: u64,
        /// At most [`domain::limits::IMPORT_BATCH`].
        rows: Vec<NewLead>,
    },
    /// Says which home map leads are moved by: from here on nothing comes by an earlier one.
    Homes {
        /// Its version.
        version: u64,
    },
    /// Picks up numbers that another region has from now on. Those with a live attempt, and those on
    /// their way already, stay for a later batch.
    ExportLeads {
        /// The version of the map that says so.
        version: u64,
        /// Their new region.
        to: RegionId,
        /// Counts this region's batches, from 1.
        batch: u64,
        /// At most [`domain::limits::MOVE_BATCH`].
        numbers: Vec<PhoneNumber>,
    },
    /// Takes over a batch that another region picked up; once, however often it comes.
    ImportMoved {
        /// All of it.
        batch: MovedBatch,
    },
    /// Lets go of a batch, for its new region has committed what became of it.
    ForgetMoved {
        /// That region.
        to: RegionId,
        /// The batch.
        batch: u64,
        /// What that region says it took; none when it could not, and the leads stay here.
        taken: Option<MovedCounts>,
    },
    /// Says what all members understand, by the directory.
    MeshVersion {
        /// A lower one than is known changes nothing.
        version: MeshVersion,
    },
    /// Asks for leads to dial: of those that have been due for longest the ones with the best chance.
    /// Those that were looked at and not given go behind the others of their priority.
    ClaimBest {
        /// As in [`RegionCommand::Claim`].
        session: SessionId,
        /// As there.
        campaign: CampaignId,
        /// As there.
        n: u32,
        /// As there; counts together with those.
        sequence: u64,
        /// What the node has learned.
        chances: Chances,
    },
}

impl RegionCommand {
    /// The version of the mesh that all must understand before this is written, as
    /// [`crate::Change::since`] says of changes of the directory.
    pub fn since(&self) -> MeshVersion {
        let all = match self {
            Self::ClaimBest { .. } => Some(MeshVersion::LEAD_ORDER),
            Self::Facts(facts) => {
                let entries = facts.dnc_added.iter();
                entries.map(|fact| since_entry(&fact.entry)).max()
            }
            Self::Report { outcomes, .. } | Self::Settle { outcomes, .. } => {
                outcomes.iter().map(since_outcome).max()
            }
            _ => None,
        };
        all.unwrap_or_default()
    }
}

/// What became of one imported row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// A new lead.
    Accepted(LeadId),
    /// The campaign has this number already.
    Duplicate(LeadId),
    /// Not taken.
    Refused(RowRefusal),
    /// The number is on its way to another region: ask again in a moment.
    Moving,
    /// The number is not here: its new region may take it.
    Elsewhere,
}

/// Why a row was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RowRefusal {
    /// Over [`domain::limits::NAME_BYTES`].
    #[error("the name is over 128 bytes")]
    Name,
    /// Over [`domain::limits::ATTRIBUTES`].
    #[error("more than 64 attributes")]
    Attributes,
    /// A heading or value over [`domain::limits::ATTRIBUTE_BYTES`].
    #[error("an attribute is over 1024 bytes")]
    AttributeBytes,
    /// Over [`domain::limits::LEAD_ZONES`], or too many different sets of zones.
    #[error("too many time zones")]
    Zones,
    /// The region holds [`domain::limits::REGION_LEADS`].
    #[error("the region is full")]
    RegionFull,
}

/// Sums over an import's batches in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportTotals {
    /// New leads.
    pub accepted: u64,
    /// Numbers the campaign had already.
    pub duplicate: u64,
    /// Rows not taken.
    pub refused: u64,
}

/// Why a claim brought fewer leads than it asked for: the first thing to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortage {
    /// The region has not heard of the campaign.
    UnknownCampaign,
    /// The campaign is not running.
    NotRunning,
    /// The campaign is not dialed in this region.
    OtherRegions,
    /// This release has no rule pack of that name.
    UnknownRulePack,
    /// The session holds [`domain::limits::SESSION_LEASES`].
    SessionFull,
    /// Due leads exist, but their calling windows are closed.
    WindowClosed {
        /// When the first opens.
        opens: Option<WallTime>,
    },
    /// Nothing is due.
    NothingDue,
    /// Due leads were set aside for attempt limits or busy numbers; claim again.
    SetAside {
        /// How many.
        leads: u32,
    },
}

/// How often each kind of outcome came in a report.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutcomeCounts {
    /// Taken as told.
    pub accepted: u32,
    /// Never dialed: the attempt was given back.
    pub refunded: u32,
    /// Known before, or the doubt ran out before: nothing changed. Drop them.
    pub closed_before: u32,
    /// Not taken, by place in the batch. Drop them too: no retry will help.
    pub refused: Vec<(u32, OutcomeRefusal)>,
}

/// Why an outcome was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeRefusal {
    /// No such lead here.
    #[error("no such lead in this region")]
    UnknownLead,
    /// The attempt belongs to another session.
    #[error("the attempt belongs to another session")]
    OtherSession,
    /// A refund needs a journal that cannot have lost its tail.
    #[error("nothing is refunded after a power loss")]
    NoProof,
    /// The session has not ended: report instead.
    #[error("the session is still open; report instead of settling")]
    StillOpen,
    /// A later run knows of the INVITE but not of its end: the network may still be working on it,
    /// so the doubt runs its course. Drop it.
    #[error("an end that is not known ends no doubt")]
    UnknownEnd,
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RegionRefusal {
    /// No such session, or it ended and nothing is left of it.
    #[error("session {session} is unknown or ended; open a new one")]
    SessionEnded {
        /// The session.
        session: SessionId,
    },
    /// A newer run of the node was heard of.
    #[error("incarnation {got} of {node} is older than {newest}")]
    StaleIncarnation {
        /// The node.
        node: MemberId,
        /// What the command named.
        got: Incarnation,
        /// The newest heard of.
        newest: Incarnation,
    },
    /// A claim older than the remembered ones.
    #[error("claim {sequence} is older than the last {window} claims of its session")]
    StaleClaim {
        /// What the command named.
        sequence: u64,
        /// How many are remembered.
        window: u32,
    },
    /// Decided by a leader that another has followed.
    #[error("decided under {got:?}, but {current:?} leads")]
    StaleLeader {
        /// What the command named.
        got: Leadership,
        /// The leader of the last tick.
        current: Leadership,
    },
    /// The tick does not follow the last one.
    #[error("the tick follows {after}, but the last one is {last}")]
    StaleTick {
        /// What the command named.
        after: u64,
        /// Index of the last tick.
        last: u64,
    },
    /// Facts older than those known.
    #[error("facts of directory index {got} are older than {have}")]
    StaleFacts {
        /// What the command named.
        got: u64,
        /// What is known.
        have: u64,
    },
    /// A batch is missing before this one.
    #[error("batch {got} of {list} came, batch {expected} is next")]
    ImportGap {
        /// The list.
        list: ListId,
        /// What the command named.
        got: u64,
        /// What is next.
        expected: u64,
    },
    /// The list was begun for another campaign.
    #[error("{list} belongs to {campaign}")]
    OtherCampaign {
        /// The list.
        list: ListId,
        /// Its campaign.
        campaign: CampaignId,
    },
    /// Something is larger than its limit.
    #[error("{got} {what}; at most {limit} are taken")]
    TooMany {
        /// What there are too many of.
        what: String,
        /// How many.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// The time to live lies outside the allowed range.
    #[error("time to live {got:?} is not within {min:?} to {max:?}")]
    Ttl {
        /// What the command named.
        got: Duration,
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A move between regions.
    #[error("{0}")]
    Move(MoveRefusal),
    /// Not every member could read it.
    #[error("the mesh is at version {now}, and this needs {wanted}; upgrade all members first")]
    NotYet {
        /// What the region knows.
        now: MeshVersion,
        /// What the command needs.
        wanted: MeshVersion,
    },
}

/// The ledger's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegionReply {
    /// To an import.
    Imported {
        /// Each row's outcome, in order.
        rows: Vec<RowOutcome>,
        /// Sums over the list's batches so far.
        totals: ImportTotals,
        /// The batch had been applied before: `rows` is told from what is there now.
        again: bool,
    },
    /// To facts.
    FactsTaken {
        /// The directory index now known.
        directory_index: u64,
    },
    /// To the opening of a session.
    SessionOpened {
        /// Its id.
        session: SessionId,
        /// Its time to live, which may be an earlier command's.
        ttl: Duration,
    },
    /// To the end of a session.
    SessionEnded {
        /// How many of its leads came in doubt.
        in_doubt: u32,
    },
    /// To a claim.
    Claimed {
        /// The leads, best first.
        leads: Vec<LeasedLead>,
        /// Why there are fewer than asked for, if there are.
        shortage: Option<Shortage>,
    },
    /// To a report or a settlement.
    Reported(OutcomeCounts),
    /// To a tick.
    Ticked {
        /// How many doubts ran out.
        doubts_ended: u32,
    },
    /// Nothing changed.
    Refused(RegionRefusal),
    /// To a home map's version.
    HomesTaken {
        /// The newest heard of.
        version: u64,
    },
    /// To an export.
    Exported {
        /// The batch.
        batch: u64,
        /// What was picked up.
        counts: MovedCounts,
    },
    /// To a batch of another region.
    MovedTaken {
        /// The batch.
        batch: u64,
        /// What was taken; none when there is no room here.
        counts: Option<MovedCounts>,
    },
    /// A batch was let go of.
    Forgotten {
        /// The batch.
        batch: u64,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// It was not renewed.
    Expired,
    /// The node stopped in order.
    Closed,
    /// A newer run of the node opened one.
    Superseded,
}

/// A session, for queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub session: SessionId,
    /// Its node.
    pub node: MemberId,
    /// The run of the node's process.
    pub incarnation: Incarnation,
    /// Time to live.
    pub ttl: Duration,
    /// When it was opened.
    pub opened_at: WallTime,
    /// Why it ended; none while it is open.
    pub ended: Option<SessionEnd>,
    /// Leads leased, or in doubt once it has ended.
    pub leads: u32,
}

/// Where a lead stands, for queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeadStanding {
    /// May be claimed.
    Due,
    /// Rests until then.
    Waiting(WallTime),
    /// Held by a session.
    Leased,
    /// Its session ended; nobody knows yet how its attempt went.
    InDoubt,
    /// A do-not-call entry covers it.
    DoNotCall,
    /// No time zone is known, so no window is ever open.
    NoZone,
    /// Done.
    Finished(Disposition),
    /// Rests until a freeze of its number ends or is lifted.
    Frozen,
    /// Its campaign asks for consent, and there is none that is good.
    NoConsent,
    /// On its way to another region.
    Moving,
    /// Another region has it, under another id.
    Moved(RegionId),
}

/// A lead, for queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadView {
    /// Its id.
    pub lead: LeadId,
    /// Its number.
    pub number: PhoneNumber,
    /// Its campaign.
    pub campaign: CampaignId,
    /// The list it came with.
    pub list: ListId,
    /// Larger goes first.
    pub priority: i16,
    /// Attempts so far.
    pub attempts: u16,
    /// Where it stands.
    pub standing: LeadStanding,
    /// Who holds it or held it last, while leased or in doubt.
    pub session: Option<SessionId>,
    /// Name and further fields.
    pub profile: LeadProfile,
}

/// An attempt whose doubt ran out: its disposition is `Unknown`, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostAttempt {
    /// The attempt.
    pub attempt: AttemptId,
    /// The lead.
    pub lead: LeadId,
    /// The number.
    pub number: PhoneNumber,
    /// The campaign.
    pub campaign: CampaignId,
    /// The list.
    pub list: ListId,
    /// The session that held it.
    pub session: SessionId,
    /// The node of that session.
    pub node: MemberId,
    /// The latest it can have been dialed.
    pub latest: WallTime,
}

/// What local listeners of a region's ledger are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionEvent {
    /// A session was opened: the leader counts from now.
    SessionOpened {
        /// The session.
        session: SessionId,
        /// Its node.
        node: MemberId,
        /// The run.
        incarnation: Incarnation,
        /// Time to live.
        ttl: Duration,
    },
    /// A session ended: its node must not send another INVITE for it.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Its node.
        node: MemberId,
        /// Why.
        end: SessionEnd,
    },
    /// Doubts ran out; a call record with disposition `Unknown` is due for each.
    AttemptsLost(Vec<LostAttempt>),
    /// A tick was applied.
    Ticked {
        /// Whose.
        leadership: Leadership,
        /// Its index, which the next one must name.
        index: u64,
    },
    /// Facts of the directory were applied.
    FactsTaken {
        /// The directory index now known.
        directory_index: u64,
    },
    /// The whole state was replaced by a snapshot.
    Reset {
        /// Index of the last applied entry.
        index: u64,
        /// The directory index known.
        facts_index: u64,
        /// The leader of the last tick.
        leadership: Leadership,
        /// Index of the last tick.
        tick: u64,
        /// Every session.
        sessions: Vec<SessionView>,
    },
}
