//! One region's leads: who may dial which, how often, until when (mesh protocol, section 3).
//!
//! Permission is a committed record with an end, and doubt is resolved towards not dialing. A
//! *session* holds *leases*; a lease reserves one attempt; a session that ends leaves what it
//! held *in doubt* until the network can no longer be working on it.
//!
//! # Time
//!
//! Replicas read no clock. Two times come in with commands:
//!
//! * the **calendar**: the proposer's wall time, made monotonic. It decides what is due, which
//!   windows are open, which attempts are recent. A wrong calendar can dial at a wrong hour (the
//!   node looks once more, on its own), but never two nodes at once;
//! * the **steady time**: a lower bound on what has really passed, from [`RegionCommand::Tick`].
//!   It alone ends a doubt, so that a calendar that jumps cannot bring two attempts together.
//!
//! # Leadership
//!
//! A new leader's first tick carries its [`Leadership`]. From then on an expiry that an earlier
//! leader decided is refused, however late it arrives; and a leader answers keep-alives only once
//! its own tick is applied ([`crate::SessionBook`]).

mod book;
mod callers;
mod choice;
mod claims;
mod clearance;
mod due;
mod facts;
mod import;
mod leases;
mod moves;
mod outcomes;
mod saved;
mod sessions;
mod words;

pub use book::RegionStats;
pub use facts::catch_up;
pub use moves::{
    MoveRefusal, MovedBatch, MovedCounts, MovedLead, MovedNumber, NumberView, RegionMoves,
};
pub use words::*;

use book::{Book, LeadSlot, NONE};
use domain::{
    Campaign, CampaignId, Clearance, DncBaseId, DncScope, Incarnation, LeadId, LeasedLead, ListId,
    MemberId, MeshVersion, PhoneNumber, RegionId, SessionId, SharedMap, WallTime,
};
use sansio::{ApplyContext, Replicated, RestoreError};
use serde::{Deserialize, Serialize};
use sessions::Session;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The hold of a session on a lead, or the doubt that is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    attempt: domain::AttemptId,
    session: SessionId,
    /// The calendar at the claim.
    claimed_at: WallTime,
    doubt: Option<Doubt>,
}

/// What is known about a lease whose session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    /// Steady time from which the network's longest work counts, in milliseconds.
    from: u64,
    /// The latest the attempt can have begun, by the calendar.
    latest: WallTime,
}

/// How far a list's import came, and what became of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ImportState {
    campaign: CampaignId,
    last_batch: u64,
    totals: ImportTotals,
}

/// One region's replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionLedger {
    region: RegionId,
    applied: u64,
    leadership: Leadership,
    /// Index of the last tick's entry.
    tick: u64,
    /// Milliseconds that have passed at least, while someone led.
    steady: u64,
    book: Book,
    campaigns: BTreeMap<CampaignId, Campaign>,
    /// The longest ring and talk limits ever heard of a campaign, added up.
    longest: BTreeMap<CampaignId, Duration>,
    facts_index: u64,
    /// The do-not-call base in use.
    base: Option<DncBaseId>,
    /// Do-not-call entries that concern this region, with the directory index that added them.
    dnc: SharedMap<(PhoneNumber, DncScope), u64>,
    clearance: Clearance,
    /// Ends of freezes and consents yet to come; from `clearance`.
    endings: BTreeSet<(WallTime, clearance::Ending)>,
    sessions: BTreeMap<SessionId, Session>,
    /// The newest incarnation heard of each node.
    nodes: BTreeMap<MemberId, Incarnation>,
    leases: leases::Leases,
    /// Leads in doubt by the steady time when they may be looked at; from `leases`.
    doubts: BTreeSet<(u64, LeadSlot)>,
    imports: BTreeMap<ListId, ImportState>,
    /// Leads that come from other regions or go there.
    moves: moves::Moves,
    /// What may be written, by the directory. Only rises.
    version: MeshVersion,
    lead_limit: usize,
}

impl RegionLedger {
    /// An empty ledger for one region.
    pub fn new(region: RegionId) -> Self {
        Self {
            region,
            applied: 0,
            leadership: Leadership::default(),
            tick: 0,
            steady: 0,
            book: Book::default(),
            campaigns: BTreeMap::new(),
            longest: BTreeMap::new(),
            facts_index: 0,
            base: None,
            dnc: SharedMap::default(),
            clearance: Clearance::default(),
            endings: BTreeSet::new(),
            sessions: BTreeMap::new(),
            nodes: BTreeMap::new(),
            leases: leases::Leases::default(),
            doubts: BTreeSet::new(),
            imports: BTreeMap::new(),
            moves: moves::Moves::default(),
            version: MeshVersion::BASE,
            lead_limit: domain::limits::REGION_LEADS,
        }
    }

    /// The region whose leads these are.
    pub const fn region(&self) -> RegionId {
        self.region
    }

    /// Index of the last applied entry; 0 before the first.
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// The calendar: the latest wall time of any entry.
    pub const fn clock(&self) -> WallTime {
        self.book.clock
    }

    /// Index of the last tick's entry, which the next tick must name.
    pub const fn last_tick(&self) -> u64 {
        self.tick
    }

    /// Who leads, by the last tick.
    pub const fn leadership(&self) -> Leadership {
        self.leadership
    }

    /// The directory index up to which facts have come.
    pub const fn facts_index(&self) -> u64 {
        self.facts_index
    }

    /// The do-not-call base that this region knows to be in use.
    pub const fn dnc_base(&self) -> Option<DncBaseId> {
        self.base
    }

    /// How many leads there are.
    pub fn len(&self) -> usize {
        self.book.rows.len()
    }

    /// Whether there are no leads.
    pub fn is_empty(&self) -> bool {
        self.book.rows.len() == 0
    }

    /// One campaign's counts; no scan.
    pub fn stats(&self, campaign: CampaignId) -> RegionStats {
        self.book.stats(campaign)
    }

    /// Every campaign with leads here, and its counts.
    pub fn all_stats(&self) -> impl Iterator<Item = (CampaignId, RegionStats)> + '_ {
        (self.book.campaign_ids()).map(|campaign| (campaign, self.book.stats(campaign)))
    }

    /// The campaign as this region knows it.
    pub fn campaign(&self, campaign: CampaignId) -> Option<&Campaign> {
        self.campaigns.get(&campaign)
    }

    /// Every session that is open, or ended with leads still in doubt.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView> + '_ {
        (self.sessions.iter()).map(|(id, session)| self.session_view(*id, session))
    }

    /// One session.
    pub fn session(&self, id: SessionId) -> Option<SessionView> {
        (self.sessions.get(&id)).map(|session| self.session_view(id, session))
    }

    /// What a session holds, as its claims answered: for a node that lost an answer.
    pub fn leased_to(&self, session: SessionId) -> Vec<LeasedLead> {
        (self.leases_of(session))
            .filter(|(_, lease)| lease.doubt.is_none())
            .map(|(lead, lease)| self.leased_lead(lead, lease))
            .collect()
    }

    /// A lead.
    pub fn lead(&self, id: LeadId) -> Option<LeadView> {
        let lead = self.slot(id)?;
        let row = &self.book.rows[lead as usize];
        let lease = self.leases.get(lead);
        Some(LeadView {
            lead: id,
            number: self.book.numbers[row.number as usize].number,
            campaign: row.campaign,
            list: row.list,
            priority: row.priority,
            attempts: row.attempts,
            standing: self.book.lead_standing(lead),
            session: lease.map(|lease| lease.session),
            profile: self.book.profile(lead),
        })
    }

    /// The leads of a number, over all campaigns.
    pub fn leads_of(&self, number: PhoneNumber) -> Vec<LeadId> {
        (self.book.leads_of(number).into_iter())
            .map(|lead| self.lead_id(lead))
            .collect()
    }

    /// The ended attempts at a number that are still remembered, in seconds since the epoch,
    /// rounded up, oldest first; and whether one more may be live.
    pub fn attempts_at(&self, number: PhoneNumber) -> (Vec<u32>, bool) {
        (self.book.number(number)).map_or((Vec::new(), false), |row| {
            (row.history.to_vec(), row.live != NONE)
        })
    }

    /// Whether a do-not-call entry or pattern covers a number in a campaign.
    pub fn dnc_covers(&self, number: PhoneNumber, campaign: CampaignId) -> bool {
        [
            DncScope::Mesh,
            DncScope::Campaign(campaign),
            DncScope::Region(self.region),
        ]
        .into_iter()
        .any(|scope| self.dnc.contains_key(&(number, scope)))
            || (self.clearance.pattern_for(number, campaign, self.region)).is_some()
    }

    /// When a lead that rests becomes due next, of any campaign.
    pub fn next_due(&self) -> Option<WallTime> {
        self.book.next_due()
    }

    /// What an import did so far: the last batch and the sums over all batches.
    pub fn import_totals(&self, list: ListId) -> Option<(u64, ImportTotals)> {
        let state = self.imports.get(&list)?;
        Some((state.last_batch, state.totals))
    }

    fn lead_id(&self, lead: LeadSlot) -> LeadId {
        LeadId::new(self.region, u64::from(lead) + 1)
    }

    fn slot(&self, lead: LeadId) -> Option<LeadSlot> {
        let count = lead.0 & 0xffff_ffff_ffff;
        let slot = LeadSlot::try_from(count.checked_sub(1)?).ok()?;
        (lead.region() == self.region && (slot as usize) < self.book.rows.len()).then_some(slot)
    }

    /// How long the network may work on an attempt of a campaign: ring limit, INVITE
    /// retransmission, talk limit.
    fn longest_work(&self, campaign: CampaignId) -> Duration {
        let limits = self.longest.get(&campaign).copied();
        limits.unwrap_or(domain::limits::RING_LIMIT_MAX + domain::limits::TALK_LIMIT_MAX)
            + domain::limits::INVITE_LIFETIME
    }
}

impl RegionLedger {
    /// Applies a command; leases are told only where somebody hears the reply.
    fn run(
        &mut self,
        context: ApplyContext,
        command: RegionCommand,
        events: &mut Vec<RegionEvent>,
        heard: bool,
    ) -> RegionReply {
        self.applied = context.index;
        self.book.advance(context.wall);
        self.pass_endings();
        if let Err(refusal) = self.not_yet(&command) {
            return RegionReply::Refused(refusal);
        }
        let result = match command {
            RegionCommand::Import {
                list,
                campaign,
                batch,
                rows,
            } => {
                let routed = import::Routed {
                    homes: 0,
                    known_only: false,
                };
                self.import(routed, list, campaign, batch, &rows)
            }
            RegionCommand::Facts(facts) => self.facts(facts, events),
            RegionCommand::OpenSession {
                node,
                incarnation,
                ttl,
            } => self.open_session(node, incarnation, ttl, events),
            RegionCommand::ExpireSession {
                session,
                leadership,
            } => self.expire_session(session, leadership, events),
            RegionCommand::CloseSession { session } => self.close_session(session, events),
            RegionCommand::Claim {
                session,
                campaign,
                n,
                sequence,
            } => {
                let asked = claims::Asked {
                    session,
                    campaign,
                    n,
                    sequence,
                };
                self.claim(&asked, None, heard)
            }
            RegionCommand::ClaimBest {
                session,
                campaign,
                n,
                sequence,
                chances,
            } => {
                let asked = claims::Asked {
                    session,
                    campaign,
                    n,
                    sequence,
                };
                self.claim(&asked, Some(&chances), heard)
            }
            RegionCommand::Report {
                session, outcomes, ..
            } => self.report(session, &outcomes),
            RegionCommand::Settle {
                node,
                incarnation,
                outcomes,
                proof,
            } => self.settle(node, incarnation, &outcomes, proof),
            RegionCommand::Tick {
                leadership,
                after,
                elapsed,
            } => self.tick(leadership, after, elapsed, events),
            RegionCommand::DncBase {
                directory_index,
                base,
            } => self.use_base(directory_index, base, events),
            RegionCommand::Clearance {
                directory_index,
                facts,
            } => self.take_clearance(directory_index, &facts, events),
            RegionCommand::ImportAt {
                homes,
                known_only,
                list,
                campaign,
                batch,
                rows,
            } => {
                let routed = import::Routed { homes, known_only };
                self.import(routed, list, campaign, batch, &rows)
            }
            RegionCommand::Homes { version } => self.take_homes(version),
            RegionCommand::ExportLeads {
                version,
                to,
                batch,
                numbers,
            } => self.export_leads(version, to, batch, &numbers),
            RegionCommand::ImportMoved { batch } => self.import_moved(batch),
            RegionCommand::ForgetMoved { to, batch, taken } => self.forget_moved(to, batch, taken),
            RegionCommand::MeshVersion { version } => self.take_version(version),
        };
        result.unwrap_or_else(RegionReply::Refused)
    }
}

impl Replicated for RegionLedger {
    type Command = RegionCommand;
    type Reply = RegionReply;
    type Event = RegionEvent;

    fn since(command: &RegionCommand) -> MeshVersion {
        command.since()
    }

    fn too_new(&self, command: &RegionCommand) -> Option<RegionReply> {
        let why = self.not_yet(command).err()?;
        Some(RegionReply::Refused(why))
    }

    fn apply(
        &mut self,
        context: ApplyContext,
        command: RegionCommand,
        events: &mut Vec<RegionEvent>,
    ) -> RegionReply {
        self.run(context, command, events, true)
    }

    fn apply_unheard(
        &mut self,
        context: ApplyContext,
        command: RegionCommand,
        events: &mut Vec<RegionEvent>,
    ) {
        self.run(context, command, events, false);
    }

    fn snapshot(&self) -> Vec<u8> {
        saved::seal(self)
    }

    fn freeze(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
        saved::freeze(self)
    }

    fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        saved::open(bytes)
    }

    fn reset_event(&self) -> RegionEvent {
        RegionEvent::Reset {
            index: self.applied,
            facts_index: self.facts_index,
            leadership: self.leadership,
            tick: self.tick,
            sessions: self.sessions().collect(),
        }
    }
}

#[cfg(test)]
mod tests;
