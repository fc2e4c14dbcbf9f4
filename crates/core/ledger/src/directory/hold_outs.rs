//! Which share of campaigns' dials shows a number that is not local, kept beside the campaigns.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{CampaignId, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Done = Result<DirectoryReply, Rejection>;

/// Shares in percent, by campaign, of those that hold any out. Since version 12.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct HoldOutBook {
    shares: BTreeMap<CampaignId, u8>,
}

impl HoldOutBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 1] = [0];

    pub(super) fn all(&self) -> impl Iterator<Item = (CampaignId, u8)> {
        self.shares.iter().map(|(id, percent)| (*id, *percent))
    }
}

impl Directory {
    /// Of how many dials in a hundred a campaign shows a number that is not local, where there is a
    /// local one too.
    pub fn hold_out(&self, id: CampaignId) -> u8 {
        self.hold_outs.shares.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn set_hold_out(
        &mut self,
        campaign: CampaignId,
        percent: u8,
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::known("campaign", campaign, self.campaigns.contains_key(&campaign))?;
        let most = limits::HOLD_OUT_PERCENT;
        if percent > most {
            let why = format!("{percent} is not within 0 to {most}");
            return Err(Rejection::over(
                "campaign.hold_out_percent",
                why,
                most.into(),
            ));
        }
        let shares = &mut self.hold_outs.shares;
        let before = match percent {
            0 => shares.remove(&campaign),
            _ => shares.insert(campaign, percent),
        };
        if before.unwrap_or_default() != percent {
            facts.push(Fact::HoldOut(campaign, percent));
        }
        Ok(DirectoryReply::Done)
    }
}
