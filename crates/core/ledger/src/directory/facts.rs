//! What a node's engine takes over of the directory.

use super::MeshId;
use crate::region::DncFact;
use domain::{
    AgentAccount, AnsweringMachines, CallerId, Campaign, CampaignId, ClearanceFact, DncBaseId,
    DncListAge, HomeRule, LeadOrder, Levers, Member, PromptName, Recording, RecordingKey, Region,
    Trunk, TrunkId, TrunkManner,
};
use serde::{Deserialize, Serialize};

/// Everything a node's engine starts from.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DirectoryFacts {
    /// The index of which it is true.
    pub index: u64,
    /// Index of the last entry that changed do-not-call.
    pub dnc_index: u64,
    /// The mesh.
    pub mesh: Option<MeshId>,
    /// Members, the removed ones too.
    pub members: Vec<Member>,
    /// Regions.
    pub regions: Vec<Region>,
    /// The map from numbers to home regions.
    pub home_rules: Vec<HomeRule>,
    /// Campaigns.
    pub campaigns: Vec<Campaign>,
    /// Trunks.
    pub trunks: Vec<Trunk>,
    /// Caller IDs.
    pub caller_ids: Vec<CallerId>,
    /// Agents.
    pub agents: Vec<AgentAccount>,
    /// Do-not-call entries.
    pub dnc: Vec<DncFact>,
    /// The do-not-call base in use.
    pub dnc_base: Option<DncBaseId>,
    /// Patterns, freezes and consents.
    pub clearance: Vec<ClearanceFact>,
    /// How old the lists are that the do-not-call base in use was made of.
    pub dnc_ages: Vec<DncListAge>,
    /// What campaigns do about answering machines, those that do anything.
    pub answering: Vec<(CampaignId, AnsweringMachines)>,
    /// How trunks are used, where it is not the default.
    pub manners: Vec<(TrunkId, TrunkManner)>,
    /// Which calls of campaigns are recorded, of those that have any recorded.
    pub recordings: Vec<(CampaignId, Recording)>,
    /// The key that recordings are made with.
    pub recording_key: Option<RecordingKey>,
    /// Levers of campaigns, of those that have any set.
    pub levers: Vec<(CampaignId, Levers)>,
    /// Campaigns that count their abandonments with another, and which.
    pub drop_rate_groups: Vec<(CampaignId, CampaignId)>,
    /// Of how many dials in a hundred campaigns show a number that is not local, of those that do.
    pub hold_outs: Vec<(CampaignId, u8)>,
    /// In which order campaigns' leads are given out, where it is not the default.
    pub lead_orders: Vec<(CampaignId, LeadOrder)>,
    /// Which message campaigns leave on answering machines, of those that leave any.
    pub voice_drops: Vec<(CampaignId, PromptName)>,
}
