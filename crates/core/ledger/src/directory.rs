//! Facts that every member needs at hand (mesh protocol, section 1): members, regions, campaigns,
//! trunks, caller IDs, agents, tokens, and who must not be called.
//!
//! Secrets never come here: tokens as BLAKE3 hashes of 32 bytes, computed by the proposer. (Trunk
//! passwords do, since every node of a city needs them; [`domain::Secret`] keeps them from print.)

mod bases;
mod checks;
mod clearance;
mod consents;
mod dnc_lists;
mod drop_rates;
mod escrow;
mod exceptions;
mod facts;
mod fleet;
mod hold_outs;
mod homes;
mod layout;
mod lead_orders;
mod levers;
mod people;
mod recordings;
mod releases;
mod trunks;
mod voice_drops;
mod words;
mod work;

pub use clearance::Removal;
pub use consents::{ConsentKey, ConsentRefusal, KnownConsent};
pub use dnc_lists::{
    DncList, DncListChange, DncListObtained, DncListSettings, DncPart, NewDncPart,
};
pub use escrow::{BudgetView, ShareView};
pub use exceptions::DncLift;
pub use facts::DirectoryFacts;
pub use homes::{Home, HomeMap, HomesMove};
pub use layout::{Place, RegionPolicy, VoterPolicy};
pub use releases::entry_for;
pub(crate) use releases::{since_entry, since_outcome};
pub use words::*;

use crate::{
    envelope::Envelope,
    origin::{Answers, Seen},
    region::DncFact,
};
use domain::{
    AgentAccount, AgentId, AnsweringMachines, CallerId, Campaign, CampaignId, DncBaseId, DncEntry,
    DncScope, DncSource, HomeRule, ListId, Member, MemberId, MeshVersion, PhoneNumber, Region,
    RegionId, SharedMap, Trunk, TrunkId, WallTime,
};
use sansio::{ApplyContext, Replicated, RestoreError};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

const ENVELOPE: Envelope = Envelope {
    what: "directory",
    kind: b'D',
    version: 13,
};

/// One do-not-call entry beside its number and scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DncRow {
    index: u64,
    source: DncSource,
    added_at: WallTime,
}

/// Ids are never reused: the last one given of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
struct LastIds {
    member: u64,
    region: u16,
    campaign: u32,
    list: u32,
    trunk: u32,
    agent: u32,
    token: u64,
}

/// The replicated directory.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Directory {
    applied: u64,
    clock: WallTime,
    mesh: Option<MeshId>,
    last: LastIds,
    /// Index of the last entry that changed do-not-call.
    dnc_index: u64,
    members: BTreeMap<MemberId, Member>,
    regions: BTreeMap<RegionId, Region>,
    home_rules: Vec<HomeRule>,
    join_tokens: BTreeMap<TokenId, JoinToken>,
    api_tokens: BTreeMap<TokenId, ApiToken>,
    campaigns: BTreeMap<CampaignId, Campaign>,
    lists: BTreeMap<ListId, List>,
    trunks: BTreeMap<TrunkId, Trunk>,
    caller_ids: SharedMap<PhoneNumber, CallerId>,
    agents: BTreeMap<AgentId, AgentAccount>,
    dnc: SharedMap<(PhoneNumber, DncScope), DncRow>,
    answers: BTreeMap<MemberId, Answers<DirectoryReply>>,
    /// One head a member. Since version 2; version 1 reads as an empty map here.
    audit: BTreeMap<MemberId, AuditHead>,
    /// Do-not-call bases. Since version 3, and read as none from earlier ones.
    bases: BTreeMap<DncBaseId, StagedDncBase>,
    /// The one in use. Since version 3; read as none from earlier ones.
    base: Option<DncBaseId>,
    /// Places and voters. Since version 4, and read as none from earlier ones.
    layout: layout::Layout,
    /// Patterns and freezes. Since version 4, and read as none from earlier ones.
    clearance: clearance::ClearanceBook,
    /// Since version 4, and read as none from earlier ones.
    consents: consents::ConsentBook,
    /// Abandonment budgets. Since version 4; read as none from earlier ones.
    escrow: escrow::Escrow,
    /// Withdrawn consents. Since version 5; read as none from earlier ones.
    withdrawals: consents::Withdrawals,
    /// How far consents were looked at that may be over for long. Since version 5.
    consents_looked_at: Option<ConsentKey>,
    /// Of do-not-call bases. Since version 5; read as none from earlier ones.
    history: bases::BaseHistory,
    /// Home maps on their way. Since version 5; read as none from earlier ones.
    homes: homes::Homes,
    /// Lists that are pulled. Since version 5; read as none from earlier ones.
    dnc_lists: dnc_lists::DncListBook,
    /// Patterns of scopes, and lifts. Since version 5; read as none from earlier ones.
    exceptions: exceptions::ExceptionBook,
    /// What campaigns do about answering machines, those that do anything. Since version 6; read as
    /// none from earlier ones.
    answering: BTreeMap<CampaignId, AnsweringMachines>,
    /// How trunks are used. Since version 7; read as the default from earlier ones.
    manners: trunks::MannerBook,
    /// Which calls are recorded, and with which key. Since version 8; read as none from earlier ones.
    recordings: recordings::RecordingBook,
    /// What members understand. Since version 9; read as the base from earlier ones.
    releases: releases::ReleaseBook,
    /// How trunks' calls are vouched for. Since version 10; read as not at all from earlier ones.
    securities: trunks::SecurityBook,
    /// Levers of campaigns' pacing. Since version 11; read as none from earlier ones.
    levers: levers::LeverBook,
    /// Campaigns that count their abandonments with another. Since version 11.
    drop_rates: drop_rates::DropRateBook,
    /// Which share of dials shows a number that is not local. Since version 12; read as none from
    /// earlier ones.
    hold_outs: hold_outs::HoldOutBook,
    /// In which order campaigns' leads are given out. Since version 12; read as the default from
    /// earlier ones.
    lead_orders: lead_orders::LeadOrderBook,
    /// Which message campaigns leave on answering machines. Since version 13; read as none from earlier
    /// ones.
    voice_drops: voice_drops::VoiceDropBook,
}

impl Directory {
    /// Index of the last applied entry; 0 before the first.
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// The calendar: the latest wall time of any entry.
    pub const fn clock(&self) -> WallTime {
        self.clock
    }

    /// The mesh's id, once founded.
    pub const fn mesh(&self) -> Option<MeshId> {
        self.mesh
    }

    /// Index of the last entry that changed do-not-call.
    pub const fn dnc_index(&self) -> u64 {
        self.dnc_index
    }

    /// Every member, the removed ones too.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// A member.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Every region.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.values()
    }

    /// The map from numbers to home regions that is in force; while leads move to another, the one
    /// before.
    pub fn home_rules(&self) -> &[HomeRule] {
        &self.home_rules
    }

    /// The home region of a number, by `numbering`'s knowledge of its place; `None` when no rule
    /// matches.
    pub fn home_region(&self, number: PhoneNumber) -> Option<RegionId> {
        self.home_map().home(number).map(|home| home.region)
    }

    /// Join tokens that are still kept.
    pub fn join_tokens(&self) -> impl Iterator<Item = &JoinToken> {
        self.join_tokens.values()
    }

    /// A join token that may still be used at `wall`, by the hash of its secret.
    pub fn usable_join_token(&self, hash: &TokenHash, wall: WallTime) -> Option<&JoinToken> {
        (self.join_tokens.values())
            .find(|t| t.hash == *hash && t.used_by.is_none() && t.expires_at > wall)
    }

    /// API tokens, the revoked ones too.
    pub fn api_tokens(&self) -> impl Iterator<Item = &ApiToken> {
        self.api_tokens.values()
    }

    /// The API token with that hash, if it is neither revoked nor expired at `wall`.
    pub fn api_token(&self, hash: &TokenHash, wall: WallTime) -> Option<&ApiToken> {
        (self.api_tokens.values())
            .find(|t| t.hash == *hash && !t.revoked && t.expires_at.is_none_or(|at| at > wall))
    }

    /// Every campaign.
    pub fn campaigns(&self) -> impl Iterator<Item = &Campaign> {
        self.campaigns.values()
    }

    /// A campaign.
    pub fn campaign(&self, id: CampaignId) -> Option<&Campaign> {
        self.campaigns.get(&id)
    }

    /// What a campaign does about answering machines.
    pub fn answering_machines(&self, id: CampaignId) -> AnsweringMachines {
        self.answering.get(&id).copied().unwrap_or_default()
    }

    /// Every list.
    pub fn lists(&self) -> impl Iterator<Item = &List> {
        self.lists.values()
    }

    /// A list.
    pub fn list(&self, id: ListId) -> Option<&List> {
        self.lists.get(&id)
    }

    /// Every trunk.
    pub fn trunks(&self) -> impl Iterator<Item = &Trunk> {
        self.trunks.values()
    }

    /// A trunk.
    pub fn trunk(&self, id: TrunkId) -> Option<&Trunk> {
        self.trunks.get(&id)
    }

    /// Every caller ID.
    pub fn caller_ids(&self) -> impl Iterator<Item = &CallerId> {
        self.caller_ids.values()
    }

    /// A caller ID.
    pub fn caller_id(&self, number: PhoneNumber) -> Option<&CallerId> {
        self.caller_ids.get(&number)
    }

    /// Every agent.
    pub fn agents(&self) -> impl Iterator<Item = &AgentAccount> {
        self.agents.values()
    }

    /// An agent.
    pub fn agent(&self, id: AgentId) -> Option<&AgentAccount> {
        self.agents.get(&id)
    }

    /// Every do-not-call entry, by number and scope.
    pub fn dnc(&self) -> impl Iterator<Item = DncFact> + '_ {
        (self.dnc.iter()).map(|((number, scope), row)| dnc_fact(*number, *scope, row))
    }

    /// The do-not-call entries after one, by number and scope: a long look at all of them is taken in
    /// pieces, so that entries are applied in between.
    pub fn dnc_after(
        &self,
        last: Option<(PhoneNumber, DncScope)>,
    ) -> impl Iterator<Item = DncFact> + '_ {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        (self.dnc.range((from, Bound::Unbounded)))
            .map(|((number, scope), row)| dnc_fact(*number, *scope, row))
    }

    /// How many do-not-call entries there are.
    pub fn dnc_len(&self) -> usize {
        self.dnc.len()
    }

    /// One do-not-call entry.
    pub fn dnc_entry(&self, number: PhoneNumber, scope: DncScope) -> Option<DncFact> {
        (self.dnc.get(&(number, scope))).map(|row| dnc_fact(number, scope, row))
    }

    /// Every do-not-call entry of a number.
    pub fn dnc_of(&self, number: PhoneNumber) -> impl Iterator<Item = DncFact> + '_ {
        (self.dnc.range((number, DncScope::Mesh)..))
            .take_while(move |((n, _), _)| *n == number)
            .map(|((number, scope), row)| dnc_fact(*number, *scope, row))
    }

    /// Whether an entry or pattern forbids an attempt at a number of that region for that campaign.
    /// Exact, apart from the base.
    pub fn dnc_covers(&self, number: PhoneNumber, campaign: CampaignId, region: RegionId) -> bool {
        [
            DncScope::Mesh,
            DncScope::Campaign(campaign),
            DncScope::Region(region),
        ]
        .into_iter()
        .any(|scope| self.dnc.contains_key(&(number, scope)))
            || (self.dnc_pattern_for(number, campaign, region)).is_some()
    }

    /// The do-not-call bases known, by hash.
    pub fn dnc_bases(&self) -> impl Iterator<Item = &StagedDncBase> {
        self.bases.values()
    }

    /// A do-not-call base.
    pub fn dnc_base(&self, id: DncBaseId) -> Option<&StagedDncBase> {
        self.bases.get(&id)
    }

    /// The do-not-call base in use.
    pub const fn dnc_base_in_use(&self) -> Option<DncBaseId> {
        self.base
    }

    /// The head of a member's audit chain: the last line's number and SHA-256.
    pub fn audit_head(&self, member: MemberId) -> Option<(u64, [u8; 32])> {
        self.audit
            .get(&member)
            .map(|head| (head.sequence, head.hash))
    }

    /// The heads of all audit chains.
    pub fn audit_heads(&self) -> impl Iterator<Item = &AuditHead> {
        self.audit.values()
    }

    /// Everything a node's engine starts from.
    pub fn facts(&self) -> DirectoryFacts {
        DirectoryFacts {
            index: self.applied,
            dnc_index: self.dnc_index,
            mesh: self.mesh,
            members: self.members.values().cloned().collect(),
            regions: self.regions.values().cloned().collect(),
            home_rules: self.home_rules.clone(),
            campaigns: self.campaigns.values().cloned().collect(),
            trunks: self.trunks.values().cloned().collect(),
            caller_ids: self.caller_ids.values().copied().collect(),
            agents: self.agents.values().cloned().collect(),
            dnc: self.dnc().collect(),
            dnc_base: self.base,
            dnc_ages: self.dnc_ages(),
            clearance: self.clearance_facts().collect(),
            answering: self.answering.iter().map(|(id, m)| (*id, *m)).collect(),
            manners: self.trunk_manners(),
            recordings: self.recordings.all().collect(),
            recording_key: self.recording_key(),
            levers: self.levers.all().collect(),
            drop_rate_groups: self.drop_rates.all().collect(),
            hold_outs: self.hold_outs.all().collect(),
            lead_orders: self.lead_orders.all().collect(),
            voice_drops: self.voice_drops.all().collect(),
        }
    }

    /// What came with version 12 and later, as it is encoded where there is none of it.
    fn twelve_missing() -> Vec<u8> {
        [
            hold_outs::HoldOutBook::EMPTY,
            lead_orders::LeadOrderBook::EMPTY,
            voice_drops::VoiceDropBook::EMPTY,
        ]
        .concat()
    }

    fn change(
        &mut self,
        change: Change,
        facts: &mut Vec<Fact>,
        dnc: &mut Vec<DirectoryEvent>,
    ) -> Result<DirectoryReply, Rejection> {
        self.not_yet(&change)?;
        match change {
            Change::Found { mesh, member } => self.found(mesh, member, facts),
            Change::AddJoinToken {
                hash,
                role,
                region,
                expires_at,
            } => self.add_join_token(hash, role, region, expires_at),
            Change::RemoveJoinToken { id } => self.remove_join_token(id),
            Change::Join { hash, member } => self.join(&hash, member, facts),
            Change::MoveMember {
                id,
                mesh_address,
                http_address,
            } => self.move_member(id, mesh_address, http_address, facts),
            Change::RemoveMember { id } => self.remove_member(id, facts),
            Change::SetRegion { id, name } => self.set_region(id, name, facts),
            Change::SetHomeRules { rules } => self.set_home_rules(rules, facts),
            Change::SetTrunk { trunk } => self.set_trunk(trunk, facts),
            Change::RemoveTrunk { id } => self.remove_trunk(id, facts),
            Change::SetCallerIds { caller_ids } => self.set_caller_ids(caller_ids, facts),
            Change::RemoveCallerIds { numbers } => self.remove_caller_ids(&numbers, facts),
            Change::CreateCampaign { campaign } => self.create_campaign(*campaign, facts),
            Change::SetCampaign { campaign, if_match } => {
                self.set_campaign(*campaign, if_match, facts)
            }
            Change::SetCampaignState {
                id,
                state,
                if_match,
            } => self.set_campaign_state(id, state, if_match, facts),
            Change::CreateList { campaign, name } => self.create_list(campaign, name, facts),
            Change::ChangeDnc {
                add,
                remove,
                reason,
            } => self.change_dnc(&add, &remove, &reason, dnc),
            Change::SetAgent { agent } => self.set_agent(*agent, facts),
            Change::RemoveAgent { id } => self.remove_agent(id, facts),
            Change::AddApiToken {
                hash,
                name,
                role,
                scopes,
                expires_at,
            } => self.add_api_token(hash, name, role, scopes, expires_at),
            Change::RevokeApiToken { id } => self.revoke_api_token(id),
            Change::AnchorAudit {
                member,
                sequence,
                hash,
            } => self.anchor_audit(member, sequence, hash),
            Change::StageDncBase { base } => self.stage_base(base),
            Change::HoldDncBase { member, id } => self.hold_base(member, id),
            Change::UseDncBase { id, force, reason } => self.use_base(id, force, &reason, facts),
            Change::DropDncBase { id } => self.drop_base(id),
            Change::StageCompactedDncBase { base, from, index } => {
                self.stage_compacted_base(base, from, index)
            }
            Change::SettleDnc { base, remove } => self.settle_dnc(base, &remove, dnc),
            Change::PlaceMember { id, place } => self.place_member(id, place),
            Change::DrainMember { id, on } => self.drain_member(id, on),
            Change::SetVoterPolicy { policy } => self.set_voter_policy(policy),
            Change::SetRegionPolicy { id, policy } => self.set_region_policy(id, policy),
            Change::ChangePatterns {
                add,
                remove,
                reason,
            } => self.change_patterns(add, &remove, &reason, facts),
            Change::ChangeFreezes { add, lift, reason } => {
                self.change_freezes(add, &lift, &reason, facts)
            }
            Change::ChangeConsents {
                add,
                withdraw,
                reason,
            } => self.change_consents(&add, &withdraw, &reason, facts),
            Change::RequireConsent { campaign, required } => {
                self.require_consent(campaign, required, facts)
            }
            Change::Escrow { ask } => self.escrow(&ask),
            Change::PlanHomes { rules, move_leads } => self.plan_homes(rules, move_leads, facts),
            Change::ApplyHomes { id } => self.apply_homes(id),
            Change::CancelHomes { id } => self.cancel_homes(id),
            Change::LeftHomes { id, region } => self.left_homes(id, region, facts),
            Change::ChangeDncList { name, change } => self.change_dnc_list(name, change, facts),
            Change::ChangeScopedPatterns {
                scope,
                add,
                remove,
                reason,
            } => self.change_scoped_patterns(scope, add, &remove, &reason, facts),
            Change::ChangeLifts { add, remove } => self.change_lifts(add, &remove, facts),
            Change::StageDncBaseOfLists { base, parts } => self.stage_base_of_lists(base, &parts),
            Change::SetRecording {
                campaign,
                recording,
            } => self.set_recording(campaign, recording, facts),
            Change::SetRecordingKey { key } => self.set_recording_key(key, facts),
            Change::SetAnsweringMachines { campaign, machines } => {
                self.set_answering_machines(campaign, machines, facts)
            }
            Change::SetTrunkAndManner { trunk, manner } => {
                let security = self.securities.of(trunk.id);
                self.set_trunk_and_manner(trunk, *manner, security, facts)
            }
            Change::SetTrunkWhole {
                trunk,
                manner,
                security,
            } => self.set_trunk_and_manner(trunk, *manner, security, facts),
            Change::Understand { id, version } => self.understand(id, version, facts),
            Change::SetLevers { campaign, levers } => self.set_levers(campaign, levers, facts),
            Change::SetDropRateGroup { campaign, with } => {
                self.set_drop_rate_group(campaign, with, facts)
            }
            Change::SetHoldOut { campaign, percent } => self.set_hold_out(campaign, percent, facts),
            Change::SetLeadOrder { campaign, order } => self.set_lead_order(campaign, order, facts),
            Change::SetVoiceDrop { campaign, prompt } => {
                self.set_voice_drop(campaign, prompt, facts)
            }
        }
    }
}

fn dnc_fact(number: PhoneNumber, scope: DncScope, row: &DncRow) -> DncFact {
    DncFact {
        entry: DncEntry {
            number,
            scope,
            source: row.source,
            added_at: row.added_at,
        },
        index: row.index,
    }
}

impl Replicated for Directory {
    type Command = DirectoryCommand;
    type Reply = DirectoryReply;
    type Event = DirectoryEvent;

    fn since(command: &DirectoryCommand) -> MeshVersion {
        command.change.since()
    }

    fn too_new(&self, command: &DirectoryCommand) -> Option<DirectoryReply> {
        let why = self.not_yet(&command.change).err()?;
        Some(DirectoryReply::Rejected(why))
    }

    fn apply(
        &mut self,
        context: ApplyContext,
        command: DirectoryCommand,
        events: &mut Vec<DirectoryEvent>,
    ) -> DirectoryReply {
        self.applied = context.index;
        self.clock = self.clock.max(context.wall);
        if let Some(origin) = command.origin {
            let answers = self.answers.entry(origin.member).or_default();
            match answers.look(origin.incarnation, origin.sequence) {
                Seen::New => {}
                Seen::Again(reply) => return reply.clone(),
                Seen::TooOld => {
                    return DirectoryReply::Rejected(Rejection::new(
                        "origin",
                        "came after later commands of its proposer, too late to tell a retry",
                    ));
                }
            }
        }
        let mut facts = Vec::new();
        self.clearance.expire(self.clock, &mut facts);
        self.expire_consents(&mut facts);
        let reply = (self.change(command.change, &mut facts, events))
            .unwrap_or_else(DirectoryReply::Rejected);
        if !facts.is_empty() {
            events.push(DirectoryEvent::Changed {
                index: context.index,
                facts,
            });
        }
        if let Some(origin) = command.origin {
            (self.answers.entry(origin.member).or_default()).keep(origin.sequence, reply.clone());
        }
        reply
    }

    fn snapshot(&self) -> Vec<u8> {
        // A member of an earlier release may be sent it, and has no word for the rest.
        let thirteen = voice_drops::VoiceDropBook::EMPTY;
        let twelve = Self::twelve_missing();
        let eleven = [
            &levers::LeverBook::EMPTY[..],
            &drop_rates::DropRateBook::EMPTY,
            &twelve,
        ]
        .concat();
        match self.mesh_version() {
            version if version < MeshVersion::SIGNED_CALLS => {
                let missing = [&trunks::SecurityBook::EMPTY[..], &eleven].concat();
                ENVELOPE.seal_shorter(9, self, &missing)
            }
            version if version < MeshVersion::LEVERS => ENVELOPE.seal_shorter(10, self, &eleven),
            version if version < MeshVersion::HOLD_OUT => ENVELOPE.seal_shorter(11, self, &twelve),
            version if version < MeshVersion::VOICE_DROP => {
                ENVELOPE.seal_shorter(12, self, &thirteen)
            }
            _ => ENVELOPE.seal(self),
        }
    }

    fn freeze(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
        // What may have millions of rows shares them with its clone.
        let directory = self.clone();
        Box::new(move || directory.snapshot())
    }

    fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        // What each later version added, as it is encoded when there is none of it.
        let layout = &layout::Layout::EMPTY[..];
        let clearance = &clearance::ClearanceBook::EMPTY[..];
        // Messages on answering machines.
        let thirteen = voice_drops::VoiceDropBook::EMPTY;
        // Dials held out of local presence, and orders of leads.
        let twelve = Self::twelve_missing();
        // Levers of campaigns' pacing, and those that count together.
        let eleven = [
            &levers::LeverBook::EMPTY[..],
            &drop_rates::DropRateBook::EMPTY,
            &twelve,
        ]
        .concat();
        // How trunks' calls are vouched for.
        let ten = [&trunks::SecurityBook::EMPTY[..], &eleven].concat();
        // What members understand.
        let nine = [&releases::ReleaseBook::EMPTY[..], &ten].concat();
        // Which calls are recorded.
        let eight = [&recordings::RecordingBook::EMPTY[..], &nine].concat();
        // How trunks are used.
        let seven = [&trunks::MannerBook::EMPTY[..], &eight].concat();
        // What campaigns do about answering machines.
        let six = [&[0][..], &seven].concat();
        // Withdrawn consents and how far consents were looked at, the history of bases, home maps, lists
        // that are pulled, patterns of scopes and lifts.
        let five = [
            &[0, 0][..],
            &bases::BaseHistory::EMPTY,
            &homes::Homes::EMPTY,
            &dnc_lists::DncListBook::EMPTY,
            &exceptions::ExceptionBook::EMPTY,
            &six,
        ]
        .concat();
        // Version 4 ends with the budgets.
        let later = [layout, clearance, &[0, 0], &five].concat();
        let missing = match bytes.get(1) {
            Some(1) => [&[0, 0, 0], &later[..]].concat(),
            Some(2) => [&[0, 0], &later[..]].concat(),
            Some(3) => later,
            Some(4) => five,
            Some(5) => six,
            Some(6) => seven,
            Some(7) => eight,
            Some(8) => nine,
            Some(9) => ten,
            Some(10) => eleven,
            Some(11) => twelve,
            Some(12) => thirteen.to_vec(),
            _ => return ENVELOPE.open(bytes),
        };
        let version = bytes[1];
        (Envelope {
            version,
            ..ENVELOPE
        })
        .open_shorter(bytes, &missing)
    }

    fn reset_event(&self) -> DirectoryEvent {
        DirectoryEvent::Reset(Arc::new(self.facts()))
    }
}

#[cfg(test)]
mod tests;
