//! The engine's own copy of the directory: what it dials by is what it has applied.

use call::Account;
use domain::{
    AgentAccount, AgentId, AnsweringMachines, CallerId, Campaign, CampaignId, ClearanceFact,
    DncBaseId, DncEntry, DncListAge, LeadOrder, Levers, MemberId, PhoneNumber, PromptName,
    Recording, RecordingKey, Trunk, TrunkId, TrunkManner, limits,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// A whole directory, as a node needs it.
#[derive(Clone, Debug, Default)]
pub struct DirectoryCopy {
    /// Campaigns.
    pub campaigns: Vec<Arc<Campaign>>,
    /// Trunks of every node.
    pub trunks: Vec<Trunk>,
    /// Caller IDs of every trunk.
    pub caller_ids: Vec<CallerId>,
    /// Agents of every node.
    pub agents: Vec<AgentAccount>,
    /// Do-not-call entries with the index that added each.
    pub dnc: Vec<(DncEntry, u64)>,
    /// The do-not-call base in use.
    pub dnc_base: Option<DncBaseId>,
    /// How old the lists are that it was made of.
    pub dnc_ages: Vec<DncListAge>,
    /// Patterns, freezes and consents.
    pub clearance: Vec<ClearanceFact>,
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

/// Campaigns, trunks, caller IDs and agents of this node.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) campaigns: BTreeMap<CampaignId, Arc<Campaign>>,
    pub(crate) trunks: BTreeMap<TrunkId, Trunk>,
    /// Trunks of other nodes, and whose they are.
    elsewhere: BTreeMap<TrunkId, MemberId>,
    manners: BTreeMap<TrunkId, Arc<TrunkManner>>,
    pub(crate) caller_ids: BTreeMap<PhoneNumber, CallerId>,
    pub(crate) agents: BTreeMap<AgentId, AgentAccount>,
    pub(crate) logins: BTreeMap<String, AgentId>,
    answering: BTreeMap<CampaignId, AnsweringMachines>,
    recordings: BTreeMap<CampaignId, Recording>,
    pub(crate) recording_key: Option<RecordingKey>,
    levers: BTreeMap<CampaignId, Levers>,
    lead_orders: BTreeMap<CampaignId, LeadOrder>,
    groups: BTreeMap<CampaignId, CampaignId>,
    /// The same the other way round.
    members: BTreeSet<(CampaignId, CampaignId)>,
    hold_outs: BTreeMap<CampaignId, u8>,
    voice_drops: BTreeMap<CampaignId, PromptName>,
}

impl Facts {
    /// Whether a campaign's rule pack asks for consent.
    pub(crate) fn consent_required(&self, campaign: CampaignId) -> bool {
        (self.campaigns.get(&campaign))
            .and_then(|campaign| compliance::RulePack::by_name(&campaign.rule_pack))
            .is_some_and(|pack| pack.consent.required)
    }

    /// How long who answers an attempt of that campaign may be listened to; none where nobody
    /// listens.
    pub(crate) fn screening(&self, campaign: CampaignId) -> Option<Duration> {
        match self.answering.get(&campaign).copied().unwrap_or_default() {
            AnsweringMachines::Off => None,
            AnsweringMachines::HangUp => Some(limits::ANSWERING),
        }
    }

    /// What a campaign does about answering machines.
    pub(crate) fn set_answering(&mut self, campaign: CampaignId, machines: AnsweringMachines) {
        match machines {
            AnsweringMachines::Off => self.answering.remove(&campaign),
            AnsweringMachines::HangUp => self.answering.insert(campaign, machines),
        };
    }

    /// What all campaigns do about them; those that are not named do nothing.
    pub(crate) fn reset_answering(&mut self, all: Vec<(CampaignId, AnsweringMachines)>) {
        self.answering = all.into_iter().collect();
    }

    /// Which calls of a campaign are recorded.
    pub(crate) fn recording(&self, campaign: CampaignId) -> Recording {
        self.recordings.get(&campaign).copied().unwrap_or_default()
    }

    /// Takes in which calls of a campaign are recorded.
    pub(crate) fn set_recording(&mut self, campaign: CampaignId, recording: Recording) {
        match recording {
            Recording::Off => self.recordings.remove(&campaign),
            Recording::All => self.recordings.insert(campaign, recording),
        };
    }

    /// Takes in which calls of all campaigns are recorded, and with which key.
    pub(crate) fn reset_recordings(
        &mut self,
        all: Vec<(CampaignId, Recording)>,
        key: Option<RecordingKey>,
    ) {
        self.recordings = all.into_iter().collect();
        self.recording_key = key;
    }

    /// A campaign's levers.
    pub(crate) fn levers(&self, campaign: CampaignId) -> Levers {
        self.levers.get(&campaign).copied().unwrap_or_default()
    }

    /// Takes in a campaign's levers.
    pub(crate) fn set_levers(&mut self, campaign: CampaignId, levers: Levers) {
        if levers == Levers::default() {
            self.levers.remove(&campaign);
        } else {
            self.levers.insert(campaign, levers);
        }
    }

    /// Takes in the levers of all campaigns; those that are not named have none set.
    pub(crate) fn reset_levers(&mut self, all: Vec<(CampaignId, Levers)>) {
        self.levers = all.into_iter().collect();
    }

    /// In which order a campaign's leads are given out.
    pub(crate) fn lead_order(&self, campaign: CampaignId) -> LeadOrder {
        self.lead_orders.get(&campaign).copied().unwrap_or_default()
    }

    /// Takes in in which order a campaign's leads are given out.
    pub(crate) fn set_lead_order(&mut self, campaign: CampaignId, order: LeadOrder) {
        self.lead_orders.insert(campaign, order);
    }

    /// Takes in the orders of all campaigns; those that are not named have the default.
    pub(crate) fn reset_lead_orders(&mut self, all: Vec<(CampaignId, LeadOrder)>) {
        self.lead_orders = all.into_iter().collect();
    }

    /// Whose budget a campaign's abandonments are counted in.
    pub(crate) fn account(&self, campaign: CampaignId) -> CampaignId {
        self.groups.get(&campaign).copied().unwrap_or(campaign)
    }

    /// The other campaigns whose abandonments are counted in that budget.
    pub(crate) fn counted_with(&self, campaign: CampaignId) -> impl Iterator<Item = CampaignId> {
        let account = self.account(campaign);
        let (first, last) = (CampaignId(0), CampaignId(u32::MAX));
        let members = self.members.range((account, first)..=(account, last));
        let all = members.map(|(_, id)| *id).chain([account]);
        all.filter(move |id| *id != campaign)
    }

    /// Takes in with which other a campaign counts its abandonments.
    pub(crate) fn set_group(&mut self, campaign: CampaignId, with: Option<CampaignId>) {
        let before = match with {
            Some(with) => self.groups.insert(campaign, with),
            None => self.groups.remove(&campaign),
        };
        if let Some(before) = before {
            self.members.remove(&(before, campaign));
        }
        self.members.extend(with.map(|with| (with, campaign)));
    }

    /// Takes in all campaigns that count with another.
    pub(crate) fn reset_groups(&mut self, all: Vec<(CampaignId, CampaignId)>) {
        self.members = all.iter().map(|(id, with)| (*with, *id)).collect();
        self.groups = all.into_iter().collect();
    }

    /// Of how many dials in a hundred a campaign shows a number that is not local.
    pub(crate) fn hold_out(&self, campaign: CampaignId) -> u8 {
        self.hold_outs.get(&campaign).copied().unwrap_or_default()
    }

    /// Takes in a campaign's share.
    pub(crate) fn set_hold_out(&mut self, campaign: CampaignId, percent: u8) {
        match percent {
            0 => self.hold_outs.remove(&campaign),
            _ => self.hold_outs.insert(campaign, percent),
        };
    }

    /// Takes in all campaigns' shares; those that are not named hold nothing out.
    pub(crate) fn reset_hold_outs(&mut self, all: Vec<(CampaignId, u8)>) {
        self.hold_outs = all.into_iter().collect();
    }

    /// The message that a campaign leaves on answering machines.
    pub(crate) fn voice_drop(&self, campaign: CampaignId) -> Option<&PromptName> {
        self.voice_drops.get(&campaign)
    }

    /// Takes in a campaign's message.
    pub(crate) fn set_voice_drop(&mut self, campaign: CampaignId, prompt: Option<PromptName>) {
        match prompt {
            Some(prompt) => self.voice_drops.insert(campaign, prompt),
            None => self.voice_drops.remove(&campaign),
        };
    }

    /// Takes in all campaigns' messages; those that are not named leave none.
    pub(crate) fn reset_voice_drops(&mut self, all: Vec<(CampaignId, PromptName)>) {
        self.voice_drops = all.into_iter().collect();
    }

    /// How a trunk is used.
    pub(crate) fn manner(&self, id: TrunkId) -> Arc<TrunkManner> {
        self.manners.get(&id).cloned().unwrap_or_default()
    }

    /// Takes in how one trunk is used.
    pub(crate) fn set_manner(&mut self, id: TrunkId, manner: TrunkManner) {
        if manner == TrunkManner::default() {
            self.manners.remove(&id);
        } else {
            self.manners.insert(id, Arc::new(manner));
        }
    }

    /// Takes in how all trunks are used.
    pub(crate) fn set_manners(&mut self, manners: Vec<(TrunkId, TrunkManner)>) {
        self.manners.clear();
        for (id, manner) in manners {
            self.set_manner(id, manner);
        }
    }

    /// Takes a trunk in if it is this node's, out if it was and is no more.
    pub(crate) fn set_trunk(&mut self, member: MemberId, trunk: Trunk) -> bool {
        if trunk.node == member {
            self.elsewhere.remove(&trunk.id);
            self.trunks.insert(trunk.id, trunk);
            true
        } else {
            self.elsewhere.insert(trunk.id, trunk.node);
            self.trunks.remove(&trunk.id).is_some()
        }
    }

    /// Which other node a trunk belongs to; none where it is this node's own.
    pub(crate) fn elsewhere(&self, trunk: TrunkId) -> Option<MemberId> {
        self.elsewhere.get(&trunk).copied()
    }

    /// Forgets a trunk; the trunk where it was this node's.
    pub(crate) fn forget_trunk(&mut self, id: TrunkId) -> Option<Trunk> {
        self.elsewhere.remove(&id);
        self.trunks.remove(&id)
    }

    /// Forgets which trunks other nodes have: all are told anew.
    pub(crate) fn forget_elsewhere(&mut self) {
        self.elsewhere.clear();
    }

    /// Takes an agent in if it is this node's; returns what the call center must hear.
    pub(crate) fn set_agent(&mut self, member: MemberId, agent: AgentAccount) -> Option<Account> {
        let known = self.forget_agent(agent.id);
        let ours = agent.node == member;
        let account = Account {
            agent: agent.id,
            campaigns: agent.campaigns.clone(),
            enabled: agent.enabled && ours,
        };
        if ours {
            self.logins.insert(agent.login.clone(), agent.id);
            self.agents.insert(agent.id, agent);
        }
        (ours || known).then_some(account)
    }

    /// Forgets an agent; whether it was known.
    pub(crate) fn forget_agent(&mut self, agent: AgentId) -> bool {
        let Some(account) = self.agents.remove(&agent) else {
            return false;
        };
        self.logins.remove(&account.login);
        true
    }
}
