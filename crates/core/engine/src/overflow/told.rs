//! What the node says of calls whose other side is at another node.

use super::{Overflow, OverflowStep};
use crate::Engine;
use domain::{CampaignId, limits, status::OverflowStatus};
use std::collections::BTreeMap;

/// A campaign's, since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    joined: u64,
    lent: u64,
    missed: u64,
}

/// Those of all campaigns that had any; as many as there are campaigns at most.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<CampaignId, Counts>);

impl Tally {
    pub(super) fn count(&mut self, campaign: CampaignId, step: OverflowStep) {
        match step {
            OverflowStep::Joined => self.0.entry(campaign).or_default().joined += 1,
            OverflowStep::Refused | OverflowStep::Late => {
                self.0.entry(campaign).or_default().missed += 1;
            }
            OverflowStep::Asked
            | OverflowStep::Kept
            | OverflowStep::Withdrawn
            | OverflowStep::Lost => {}
        }
    }

    /// An agent of this node was joined with another node's person.
    pub(super) fn lent(&mut self, campaign: CampaignId) {
        self.0.entry(campaign).or_default().lent += 1;
    }
}

impl Engine {
    /// Of the campaigns that had any, as [`domain::status::NodeStatus::overflow`] says it.
    pub(crate) fn carried_calls(&self) -> Vec<OverflowStatus> {
        let Overflow { calls, tally, .. } = &self.overflow;
        let mut now = BTreeMap::<CampaignId, (u32, u32)>::new();
        for carried in calls.values().filter(|carried| !carried.over) {
            let Some(lease) = self.calls.lease(carried.attempt) else {
                continue;
            };
            let (out, inward) = now.entry(lease.campaign).or_default();
            match carried.home {
                true => *out += 1,
                false => *inward += 1,
            }
        }
        // An agent who is kept is in no total yet.
        let mut all = tally.0.clone();
        for campaign in now.keys() {
            all.entry(*campaign).or_default();
        }
        let told = |(campaign, counts): (CampaignId, Counts)| {
            let (out_now, in_now) = now.get(&campaign).copied().unwrap_or_default();
            OverflowStatus {
                campaign,
                out_now,
                in_now,
                out_total: counts.joined,
                in_total: counts.lent,
                missed: counts.missed,
            }
        };
        all.into_iter()
            .map(told)
            .take(limits::PACING_TOLD)
            .collect()
    }
}
