//! Agents who wait for a call, longest first, by campaign.

use domain::{AgentId, CampaignId, Instant};
use std::collections::{BTreeMap, BTreeSet};

type Line = BTreeSet<(Instant, AgentId)>;

/// An index over waiting agents. Agents of every campaign stand in a line of their own, so that
/// nobody stands in thousands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    any: Line,
    by_campaign: BTreeMap<CampaignId, Line>,
}

impl Waiting {
    pub(crate) fn insert(&mut self, agent: AgentId, campaigns: &[CampaignId], since: Instant) {
        if campaigns.is_empty() {
            self.any.insert((since, agent));
        }
        for campaign in campaigns {
            let line = self.by_campaign.entry(*campaign).or_default();
            line.insert((since, agent));
        }
    }

    pub(crate) fn remove(&mut self, agent: AgentId, campaigns: &[CampaignId], since: Instant) {
        self.any.remove(&(since, agent));
        for campaign in campaigns {
            if let Some(line) = self.by_campaign.get_mut(campaign) {
                line.remove(&(since, agent));
                if line.is_empty() {
                    self.by_campaign.remove(campaign);
                }
            }
        }
    }

    /// Who has waited longest among those who serve the campaign.
    pub(crate) fn longest(&self, campaign: CampaignId) -> Option<AgentId> {
        let own = self.by_campaign.get(&campaign).and_then(|l| l.first());
        let any = self.any.first();
        own.into_iter().chain(any).min().map(|(_, agent)| *agent)
    }

    /// How many serve the campaign.
    pub(crate) fn count(&self, campaign: CampaignId) -> usize {
        self.any.len() + self.by_campaign.get(&campaign).map_or(0, Line::len)
    }

    /// Whether somebody serves every campaign.
    pub(crate) fn any(&self) -> bool {
        !self.any.is_empty()
    }

    /// Whether the agent stands in any line.
    #[cfg(test)]
    pub(crate) fn contains(&self, agent: AgentId, since: Instant) -> bool {
        let mut lines = self.by_campaign.values().chain([&self.any]);
        lines.any(|line| line.contains(&(since, agent)))
    }

    /// Those who serve the campaign and name it.
    pub(crate) fn naming(&self, campaign: CampaignId) -> impl Iterator<Item = AgentId> + '_ {
        let own = self.by_campaign.get(&campaign).into_iter().flatten();
        own.map(|(_, agent)| *agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_waiting_of_the_campaign_comes_first() {
        let at = Instant::from_millis;
        let (a, b, c) = (AgentId(1), AgentId(2), AgentId(3));
        let (x, y) = (CampaignId(1), CampaignId(2));
        let mut waiting = Waiting::default();
        waiting.insert(a, &[], at(20));
        waiting.insert(b, &[x], at(10));
        waiting.insert(c, &[x, y], at(30));
        assert_eq!(waiting.longest(x), Some(b));
        assert_eq!(waiting.longest(y), Some(a));
        assert_eq!(waiting.count(x), 3);
        waiting.remove(b, &[x], at(10));
        waiting.remove(a, &[], at(20));
        assert_eq!(waiting.longest(x), Some(c));
        assert_eq!(waiting.longest(CampaignId(9)), None);
    }
}
