//! Campaigns that count their abandonments together, in one budget.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{Campaign, CampaignId, CampaignState, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Done = Result<DirectoryReply, Rejection>;

/// Campaigns that count with another, by their own ids. Since version 11.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct DropRateBook {
    with: BTreeMap<CampaignId, CampaignId>,
}

impl DropRateBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 1] = [0];

    pub(super) fn all(&self) -> impl Iterator<Item = (CampaignId, CampaignId)> {
        self.with.iter().map(|(id, with)| (*id, *with))
    }

    /// Whose budget a campaign's abandonments are counted in.
    pub(super) fn account(&self, id: CampaignId) -> CampaignId {
        self.with.get(&id).copied().unwrap_or(id)
    }

    fn others(&self, head: CampaignId) -> impl Iterator<Item = CampaignId> {
        let counts = move |(id, with): (&CampaignId, &CampaignId)| (*with == head).then_some(*id);
        self.with.iter().filter_map(counts)
    }
}

impl Directory {
    /// With which other campaign one counts its abandonments: what the law asks of a campaign is
    /// asked of all that count together, as of one. Fixed once it was started: an answer and what
    /// became of it are counted in the same budget as long as any window reaches back to them.
    pub fn drop_rate_group(&self, id: CampaignId) -> Option<CampaignId> {
        self.drop_rates.with.get(&id).copied()
    }

    pub(super) fn set_drop_rate_group(
        &mut self,
        campaign: CampaignId,
        with: Option<CampaignId>,
        facts: &mut Vec<Fact>,
    ) -> Done {
        let known = self.campaigns.get(&campaign);
        checks::known("campaign", campaign, known.is_some())?;
        if self.drop_rate_group(campaign) == with {
            return Ok(DirectoryReply::Done);
        }
        let no = |why: String| Err(Rejection::new("campaign.drop_rate_group", why));
        if known.is_some_and(|known| known.state != CampaignState::Draft) {
            let why = "is fixed once the campaign was started: what it let down stays counted where \
                       it was; make another campaign";
            return no(why.into());
        }
        if let Some(head) = with {
            let other = self.campaigns.get(&head);
            checks::known("campaign.drop_rate_group", head, other.is_some())?;
            if head == campaign {
                return no("is the campaign itself; leave it out".into());
            }
            if let Some(its) = self.drop_rate_group(head) {
                return no(format!("{head} counts with {its}; name that one"));
            }
            if let Some(one) = self.drop_rates.others(campaign).next() {
                return no(format!("{one} counts with {campaign} itself"));
            }
            let packs = [known, other].map(|c| c.map(|c| c.rule_pack.as_str()));
            if packs[0] != packs[1] {
                let of = |pack: Option<&str>| pack.unwrap_or_default().to_owned();
                let (own, its) = (of(packs[0]), of(packs[1]));
                return no(format!("{head} goes by the rule pack {its}, not by {own}"));
            }
            let there = 1 + self.drop_rates.others(head).count();
            let most = limits::DROP_RATE_GROUP;
            checks::room("campaign.drop_rate_group", there, 1, most)?;
            self.drop_rates.with.insert(campaign, head);
        } else {
            self.drop_rates.with.remove(&campaign);
        }
        facts.push(Fact::DropRateGroup(campaign, with));
        Ok(DirectoryReply::Done)
    }

    /// Campaigns that count together go by the same rules.
    pub(super) fn check_counts_together(&self, campaign: &Campaign) -> Result<(), Rejection> {
        let known = self.campaigns.get(&campaign.id);
        if known.is_none_or(|known| known.rule_pack == campaign.rule_pack) {
            return Ok(());
        }
        let head = self.drop_rate_group(campaign.id);
        let other = head.or_else(|| self.drop_rates.others(campaign.id).next());
        other.map_or(Ok(()), |other| {
            let why = format!("stays as it is while abandonments are counted with {other}");
            Err(Rejection::new("campaign.rule_pack", why))
        })
    }
}
