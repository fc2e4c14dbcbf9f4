//! The directory's entries in the engine's words.

use domain::{DncEntry, DncScope, PhoneNumber};
use engine::{DirectoryChange, DirectoryCopy};
use ledger::{DirectoryEvent, DirectoryFacts, DncFact, DncRemoval, Fact};
use std::sync::Arc;

/// What one entry changed.
pub(crate) fn changes(events: Vec<DirectoryEvent>) -> Vec<DirectoryChange> {
    let mut changes = Vec::new();
    for event in events {
        match event {
            DirectoryEvent::Changed { facts, .. } => {
                changes.extend(facts.into_iter().filter_map(change))
            }
            DirectoryEvent::Dnc { added, removed, .. } => changes.push(DirectoryChange::Dnc {
                added: added.into_iter().map(entry).collect(),
                removed: removed.into_iter().map(removal).collect(),
            }),
            DirectoryEvent::Reset(facts) => changes.push(reset(&facts)),
        }
    }
    changes
}

/// The whole directory.
pub(crate) fn reset(facts: &DirectoryFacts) -> DirectoryChange {
    DirectoryChange::Reset(Box::new(DirectoryCopy {
        campaigns: facts.campaigns.iter().cloned().map(Arc::new).collect(),
        trunks: facts.trunks.clone(),
        caller_ids: facts.caller_ids.clone(),
        agents: facts.agents.clone(),
        dnc: facts.dnc.iter().copied().map(entry).collect(),
        dnc_base: facts.dnc_base,
        dnc_ages: facts.dnc_ages.clone(),
        clearance: facts.clearance.clone(),
        answering: facts.answering.clone(),
        recordings: facts.recordings.clone(),
        recording_key: facts.recording_key,
        manners: facts.manners.clone(),
        levers: facts.levers.clone(),
        drop_rate_groups: facts.drop_rate_groups.clone(),
        hold_outs: facts.hold_outs.clone(),
        lead_orders: facts.lead_orders.clone(),
        voice_drops: facts.voice_drops.clone(),
    }))
}

fn change(fact: Fact) -> Option<DirectoryChange> {
    Some(match fact {
        Fact::Campaign(campaign) => DirectoryChange::Campaign(Arc::new(*campaign)),
        Fact::TrunkManner(id, manner) => DirectoryChange::TrunkManner(id, manner),
        Fact::Trunk(trunk) => DirectoryChange::Trunk(trunk),
        Fact::TrunkRemoved(id) => DirectoryChange::TrunkRemoved(id),
        Fact::CallerIds(ids) => DirectoryChange::CallerIds(ids),
        Fact::CallerIdsRemoved(numbers) => DirectoryChange::CallerIdsRemoved(numbers),
        Fact::Agent(agent) => DirectoryChange::Agent(agent),
        Fact::AgentRemoved(id) => DirectoryChange::AgentRemoved(id),
        Fact::DncBase(id) => DirectoryChange::DncBase(id),
        Fact::DncAges(ages) => DirectoryChange::DncAges(ages),
        Fact::Clearance(facts) => DirectoryChange::Clearance(facts),
        Fact::Recording(campaign, recording) => DirectoryChange::Recording(campaign, recording),
        Fact::RecordingKey(key) => DirectoryChange::RecordingKey(key),
        Fact::LeadOrder(campaign, order) => DirectoryChange::LeadOrder(campaign, order),
        Fact::DropRateGroup(campaign, with) => DirectoryChange::DropRateGroup(campaign, with),
        Fact::VoiceDrop(campaign, prompt) => DirectoryChange::VoiceDrop(campaign, prompt),
        Fact::HoldOut(campaign, percent) => DirectoryChange::HoldOut(campaign, percent),
        Fact::Levers(campaign, levers) => DirectoryChange::Levers(campaign, levers),
        Fact::Answering(campaign, machines) => DirectoryChange::Answering(campaign, machines),
        Fact::Mesh(_)
        | Fact::Member(_)
        | Fact::Region(_)
        | Fact::HomeRules(_)
        | Fact::List(_)
        | Fact::MeshVersion(_) => return None,
    })
}

fn entry(fact: DncFact) -> (DncEntry, u64) {
    (fact.entry, fact.index)
}

fn removal(removal: DncRemoval) -> (PhoneNumber, DncScope, u64) {
    (removal.number, removal.scope, removal.index)
}
