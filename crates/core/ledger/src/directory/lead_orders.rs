//! In which order campaigns' leads are given out, kept beside the campaigns.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{CampaignId, LeadOrder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Done = Result<DirectoryReply, Rejection>;

/// Orders that are not the default, by campaign. Since version 12.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct LeadOrderBook {
    orders: BTreeMap<CampaignId, LeadOrder>,
}

impl LeadOrderBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 1] = [0];

    pub(super) fn all(&self) -> impl Iterator<Item = (CampaignId, LeadOrder)> {
        self.orders.iter().map(|(id, order)| (*id, *order))
    }
}

impl Directory {
    /// In which order a campaign's leads are given out.
    pub fn lead_order(&self, id: CampaignId) -> LeadOrder {
        self.lead_orders
            .orders
            .get(&id)
            .copied()
            .unwrap_or_default()
    }

    /// Holds from the next claims on.
    pub(super) fn set_lead_order(
        &mut self,
        campaign: CampaignId,
        order: LeadOrder,
        facts: &mut Vec<Fact>,
    ) -> Done {
        checks::known("campaign", campaign, self.campaigns.contains_key(&campaign))?;
        let book = &mut self.lead_orders.orders;
        let before = match order {
            LeadOrder::Oldest => book.remove(&campaign),
            LeadOrder::BestChance => book.insert(campaign, order),
        };
        if before.unwrap_or_default() != order {
            facts.push(Fact::LeadOrder(campaign, order));
        }
        Ok(DirectoryReply::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_book_is_what_earlier_versions_lack() {
        let bytes = postcard::to_stdvec(&LeadOrderBook::default()).unwrap();
        assert_eq!(bytes, LeadOrderBook::EMPTY);
    }
}
