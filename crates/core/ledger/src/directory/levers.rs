//! Levers of campaigns' pacing, kept beside the campaigns.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use crate::rules::Rules;
use domain::{CampaignId, Levers};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Done = Result<DirectoryReply, Rejection>;

/// Levers that are set, by campaign. Since version 11.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct LeverBook {
    levers: BTreeMap<CampaignId, Levers>,
}

impl LeverBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 1] = [0];

    pub(super) fn all(&self) -> impl Iterator<Item = (CampaignId, Levers)> {
        self.levers.iter().map(|(id, levers)| (*id, *levers))
    }
}

impl Directory {
    /// A campaign's levers; the default where none was set.
    pub fn levers(&self, id: CampaignId) -> Levers {
        self.levers.levers.get(&id).copied().unwrap_or_default()
    }

    /// Holds from the next decisions on. A target above what another rule pack, chosen later, allows
    /// is not aimed at: the lower of both counts.
    pub(super) fn set_levers(
        &mut self,
        campaign: CampaignId,
        levers: Levers,
        facts: &mut Vec<Fact>,
    ) -> Done {
        let known = self.campaigns.get(&campaign);
        checks::known("campaign", campaign, known.is_some())?;
        let rules = known.and_then(|campaign| Rules::of(&campaign.rule_pack));
        let budget = rules.map_or(0, |rules| rules.abandonment().budget_permille);
        levers.check(budget).map_err(|wrong| {
            let field = format!("campaign.{}", wrong.field);
            Rejection::over(&field, wrong.to_string(), wrong.max)
        })?;
        let book = &mut self.levers.levers;
        let before = if levers == Levers::default() {
            book.remove(&campaign)
        } else {
            book.insert(campaign, levers)
        };
        if before.unwrap_or_default() != levers {
            facts.push(Fact::Levers(campaign, levers));
        }
        Ok(DirectoryReply::Done)
    }
}
