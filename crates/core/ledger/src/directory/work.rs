//! Campaigns, lists, do-not-call.

use super::{Directory, DirectoryEvent, DirectoryReply, DncRow, Fact, List, Rejection, checks};
use crate::{
    region::{DncFact, DncRemoval},
    rules::Rules,
};
use domain::{
    AnsweringMachines, Campaign, CampaignId, CampaignState, DncEntry, DncScope, DncSource, ListId,
    Trunk, limits,
};
use std::{net::IpAddr, time::Duration};

type Done = Result<DirectoryReply, Rejection>;

/// Whether a campaign is dialing by rules for simulated networks.
fn is_simulation(campaign: &Campaign) -> bool {
    campaign.state == CampaignState::Running
        && Rules::of(&campaign.rule_pack).is_some_and(|rules| rules.simulated_only())
}

/// Whether a trunk leads to the node's own machine, where simulated carriers are.
fn leads_home(trunk: &Trunk) -> bool {
    let host = (trunk.address.rsplit_once(':')).map_or(trunk.address.as_str(), |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// What is asked of a campaign's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Dial.
    Run,
    /// No new attempts.
    Pause,
    /// End for good.
    Stop,
}

/// The life of a campaign.
pub(super) const CAMPAIGN_LIFE: sansio::transitions::Table<CampaignState, Wish> = sansio::table!(
    "campaign", CampaignState, Wish;
    Draft: Run => Running,
    Draft: Stop => Stopped,
    Running: Run => Running,
    Running: Pause => Paused,
    Running: Stop => Stopped,
    Paused: Run => Running,
    Paused: Pause => Paused,
    Paused: Stop => Stopped,
    Stopped: Stop => Stopped,
);

impl Directory {
    fn check_campaign(&self, campaign: &Campaign) -> Result<(), Rejection> {
        checks::name("campaign.name", &campaign.name)?;
        let same_name = |c: &Campaign| c.name == campaign.name && c.id != campaign.id;
        if (self.campaigns.values()).any(|c| c.state != CampaignState::Stopped && same_name(c)) {
            let why = "is taken by another campaign that is not stopped";
            return Err(Rejection::new("campaign.name", why));
        }
        for region in &campaign.regions {
            checks::known(
                "campaign.regions",
                region,
                self.regions.contains_key(region),
            )?;
        }
        checks::room(
            "campaign.regions",
            0,
            campaign.regions.len(),
            limits::REGIONS,
        )?;
        let (least, most) = (limits::RING_LIMIT_MIN, limits::RING_LIMIT_MAX);
        checks::span("campaign.ring_limit", campaign.ring_limit, least, most)?;
        let second = Duration::from_secs(1);
        checks::span(
            "campaign.talk_limit",
            campaign.talk_limit,
            second,
            limits::TALK_LIMIT_MAX,
        )?;
        if !(100..=1000).contains(&campaign.dial_level.0) {
            let why = "1.00 to 10.00 lines per agent are allowed";
            return Err(Rejection::over("campaign.dial_level", why, 1000));
        }
        let Some(rules) = Rules::of(&campaign.rule_pack) else {
            let why = format!("there is no rule pack {:?}", campaign.rule_pack);
            return Err(Rejection::new("campaign.rule_pack", why));
        };
        if let Some(why) = rules.breach(campaign) {
            return Err(Rejection::new("campaign", why));
        }
        if campaign.attempts_max == 0 {
            return Err(Rejection::new("campaign.attempts_max", "must be 1 or more"));
        }
        checks::room(
            "campaign.retry",
            0,
            campaign.retry.len(),
            limits::RETRY_RULES,
        )?;
        let rules = campaign.retry.iter().enumerate();
        for (place, rule) in rules {
            if campaign.retry[..place]
                .iter()
                .any(|r| r.after == rule.after)
            {
                let why = format!("two rules after {:?}", rule.after);
                return Err(Rejection::new("campaign.retry", why));
            }
            if rule.delay > Duration::from_secs(366 * 24 * 3600) {
                return Err(Rejection::new("campaign.retry.delay", "is over a year"));
            }
        }
        let dispositions = &campaign.dispositions;
        checks::room(
            "campaign.dispositions",
            0,
            dispositions.len(),
            limits::DISPOSITIONS,
        )?;
        for (place, disposition) in dispositions.iter().enumerate() {
            checks::name("campaign.dispositions.name", &disposition.name)?;
            if (dispositions[..place].iter()).any(|d| d.name == disposition.name) {
                let why = format!("{:?} is named twice", disposition.name);
                return Err(Rejection::new("campaign.dispositions", why));
            }
        }
        if campaign.flags(campaign.default_disposition).is_none() {
            let why = "is not a code of the campaign's dispositions";
            return Err(Rejection::new("campaign.default_disposition", why));
        }
        Ok(())
    }

    fn keep_campaign(&mut self, campaign: Campaign, facts: &mut Vec<Fact>) -> DirectoryReply {
        let (id, version) = (campaign.id, campaign.version);
        facts.push(Fact::Campaign(Box::new(campaign.clone())));
        self.campaigns.insert(id, campaign);
        DirectoryReply::Campaign { id, version }
    }

    pub(super) fn create_campaign(&mut self, campaign: Campaign, facts: &mut Vec<Fact>) -> Done {
        let campaign = Campaign {
            id: CampaignId(self.last.campaign + 1),
            version: 1,
            state: CampaignState::Draft,
            ..campaign
        };
        self.check_campaign(&campaign)?;
        checks::room("campaigns", self.campaigns.len(), 1, limits::CAMPAIGNS)?;
        self.last.campaign += 1;
        Ok(self.keep_campaign(campaign, facts))
    }

    /// The campaign, if it is there and of the version that was named.
    fn matched(&self, id: CampaignId, if_match: Option<u64>) -> Result<&Campaign, Rejection> {
        let campaign = (self.campaigns.get(&id))
            .ok_or_else(|| Rejection::new("campaign", format!("{id} is not known")))?;
        if if_match.is_some_and(|version| version != campaign.version) {
            return Err(Rejection {
                version: Some(campaign.version),
                ..Rejection::new(
                    "if_match",
                    "the campaign was changed meanwhile; read it again",
                )
            });
        }
        Ok(campaign)
    }

    pub(super) fn set_campaign(
        &mut self,
        campaign: Campaign,
        if_match: Option<u64>,
        facts: &mut Vec<Fact>,
    ) -> Done {
        let known = self.matched(campaign.id, if_match)?;
        if known.state == CampaignState::Stopped {
            return Err(Rejection::new(
                "campaign.state",
                "a stopped campaign stays as it is",
            ));
        }
        // Leads keep the codes of dispositions: their list may only grow at its end.
        let (old, new) = (&known.dispositions, &campaign.dispositions);
        if new.len() < old.len() || old.iter().zip(new).any(|(a, b)| a.name != b.name) {
            let why = "codes are in use: add at the end, change flags, but keep order and names";
            return Err(Rejection::new("campaign.dispositions", why));
        }
        let campaign = Campaign {
            state: known.state,
            version: known.version + 1,
            ..campaign
        };
        self.check_campaign(&campaign)?;
        self.check_network(&campaign)?;
        self.check_counts_together(&campaign)?;
        Ok(self.keep_campaign(campaign, facts))
    }

    /// Holds from the campaign's next attempts on.
    pub(super) fn set_answering_machines(
        &mut self,
        campaign: CampaignId,
        machines: AnsweringMachines,
        facts: &mut Vec<Fact>,
    ) -> Done {
        let known = self.campaigns.contains_key(&campaign);
        checks::known("campaign", campaign, known)?;
        let before = match machines {
            AnsweringMachines::Off => self.answering.remove(&campaign),
            AnsweringMachines::HangUp => self.answering.insert(campaign, machines),
        };
        if before.unwrap_or_default() != machines {
            facts.push(Fact::Answering(campaign, machines));
        }
        Ok(DirectoryReply::Done)
    }

    /// A rule pack that lets everything through never meets a real network.
    fn check_network(&self, campaign: &Campaign) -> Result<(), Rejection> {
        if !is_simulation(campaign) {
            return Ok(());
        }
        match self.trunks.values().find(|trunk| !leads_home(trunk)) {
            None => Ok(()),
            Some(trunk) => {
                let why = format!(
                    "{} is for simulated networks only, and trunk {} leads to {}; choose another \
                     pack, or remove the trunk",
                    campaign.rule_pack, trunk.name, trunk.address
                );
                Err(Rejection::new("campaign.rule_pack", why))
            }
        }
    }

    /// The same, seen from a trunk that is about to be kept.
    pub(super) fn check_campaigns_of(&self, trunk: &Trunk) -> Result<(), Rejection> {
        let running = |campaign: &&Campaign| is_simulation(campaign);
        match self.campaigns.values().find(running) {
            Some(campaign) if !leads_home(trunk) => {
                let why = format!(
                    "leads to a real network while campaign {} runs by the rule pack {}, which is \
                     for simulated ones only; stop the campaign first",
                    campaign.name, campaign.rule_pack
                );
                Err(Rejection::new("trunk.address", why))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn set_campaign_state(
        &mut self,
        id: CampaignId,
        state: CampaignState,
        if_match: Option<u64>,
        facts: &mut Vec<Fact>,
    ) -> Done {
        let known = self.matched(id, if_match)?;
        let wish = match state {
            CampaignState::Running => Some(Wish::Run),
            CampaignState::Paused => Some(Wish::Pause),
            CampaignState::Stopped => Some(Wish::Stop),
            CampaignState::Draft => None,
        };
        let Some(next) = wish.and_then(|wish| CAMPAIGN_LIFE.next(known.state, wish)) else {
            let why = format!("{:?} cannot follow {:?}", state, known.state);
            return Err(Rejection::new("state", why));
        };
        if next == known.state {
            let version = known.version;
            return Ok(DirectoryReply::Campaign { id, version });
        }
        let campaign = Campaign {
            state: next,
            version: known.version + 1,
            ..known.clone()
        };
        self.check_network(&campaign)?;
        Ok(self.keep_campaign(campaign, facts))
    }

    pub(super) fn create_list(
        &mut self,
        campaign: CampaignId,
        name: String,
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::name("list.name", &name)?;
        let known = self.matched(campaign, None)?;
        if known.state == CampaignState::Stopped {
            return Err(Rejection::new("list.campaign", "is stopped"));
        }
        checks::room("lists", self.lists.len(), 1, limits::LISTS)?;
        self.last.list += 1;
        let list = List {
            id: ListId(self.last.list),
            campaign,
            name,
            created_at: self.clock,
        };
        let id = list.id;
        facts.push(Fact::List(list.clone()));
        self.lists.insert(id, list);
        Ok(DirectoryReply::List(id))
    }

    pub(super) fn change_dnc(
        &mut self,
        add: &[DncEntry],
        remove: &[DncRemoval],
        reason: &str,
        events: &mut Vec<DirectoryEvent>,
    ) -> Done {
        checks::room("add", 0, add.len(), limits::DNC_BATCH)?;
        checks::room("remove", 0, remove.len(), limits::DNC_BATCH)?;
        if !remove.is_empty() {
            checks::name("reason", reason)?;
        }
        let new = (add.iter()).filter(|e| !self.dnc.contains_key(&(e.number, e.scope)));
        checks::room("dnc", self.dnc.len(), new.count(), limits::DNC_ENTRIES)?;
        let index = self.applied;
        let (mut added, mut renewed, mut kept) = (0, 0, 0);
        let mut facts = Vec::with_capacity(add.len());
        for entry in add {
            let key = (entry.number, entry.scope);
            let mut entry = *entry;
            // A registry may take back what it said, and nothing that others asked for.
            if entry.source == DncSource::Registry
                && let Some(known) = self.dnc.get(&key)
                && known.source != DncSource::Registry
            {
                (entry.source, entry.added_at) = (known.source, known.added_at);
            }
            let row = DncRow {
                index,
                source: entry.source,
                added_at: entry.added_at,
            };
            // Renewing moves the index on, so that a removal decided before cannot undo it.
            match self.dnc.insert(key, row) {
                None => added += 1,
                Some(_) => renewed += 1,
            }
            facts.push(DncFact { entry, index });
        }
        let mut removed = Vec::new();
        for removal in remove {
            let key = (removal.number, removal.scope);
            // Not what this very batch added either, should the removal have guessed its index.
            let named = |row: &DncRow| row.index == removal.index && row.index < index;
            if self.dnc.get(&key).is_some_and(named) {
                self.dnc.remove(&key);
                removed.push(*removal);
                if removal.scope == DncScope::Mesh {
                    self.history.took_back(index);
                }
            } else {
                kept += 1;
            }
        }
        let reply = DirectoryReply::Dnc {
            index,
            added,
            renewed,
            removed: removed.len() as u32,
            kept,
        };
        if !(facts.is_empty() && removed.is_empty()) {
            self.dnc_index = index;
            events.push(DirectoryEvent::Dnc {
                index,
                added: facts,
                removed,
            });
        }
        Ok(reply)
    }
}
