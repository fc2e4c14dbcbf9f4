//! Hoppers: leased leads ready to dial, a short queue for each campaign and region.

use domain::{CampaignId, LeasedLead, RegionId, SessionId};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// All hoppers of a node.
#[derive(Debug, Default)]
pub(crate) struct Hoppers {
    queues: BTreeMap<CampaignId, VecDeque<LeasedLead>>,
    asked: BTreeMap<(RegionId, CampaignId), Asked>,
    len: usize,
}

/// Whether more leads were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The answer is under way; given up when it does not come.
    Until(domain::Instant),
    /// The group had none; ask again then.
    RestUntil(domain::Instant),
}

/// An answer that does not come within this time is asked for again.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

impl Hoppers {
    /// Puts leads in, first come first dialed.
    pub(crate) fn put(&mut self, campaign: CampaignId, leads: Vec<LeasedLead>) {
        self.len += leads.len();
        self.queues.entry(campaign).or_default().extend(leads);
    }

    /// Puts a lead back in front: it could not be dialed just now.
    pub(crate) fn put_back(&mut self, lead: LeasedLead) {
        self.len += 1;
        self.queues
            .entry(lead.campaign)
            .or_default()
            .push_front(lead);
    }

    /// Takes the next lead of a campaign.
    pub(crate) fn take(&mut self, campaign: CampaignId) -> Option<LeasedLead> {
        let lead = self.queues.get_mut(&campaign)?.pop_front()?;
        self.len -= 1;
        Some(lead)
    }

    /// Leads of one campaign.
    pub(crate) fn of(&self, campaign: CampaignId) -> usize {
        self.queues.get(&campaign).map_or(0, VecDeque::len)
    }

    /// Those leads, the next to be dialed first.
    pub(crate) fn leads(&self, campaign: CampaignId) -> impl Iterator<Item = &LeasedLead> {
        self.queues.get(&campaign).into_iter().flatten()
    }

    /// Leads held by one session.
    pub(crate) fn held_by(&self, session: SessionId, region: RegionId) -> usize {
        let holds = |lead: &&LeasedLead| lead.session == session && lead.lead.region() == region;
        self.queues.values().flatten().filter(holds).count()
    }

    /// All leads.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes out every lead that `gone` names.
    pub(crate) fn take_if(&mut self, gone: impl Fn(&LeasedLead) -> bool) -> Vec<LeasedLead> {
        let mut taken = Vec::new();
        for queue in self.queues.values_mut() {
            if queue.iter().any(&gone) {
                let (out, kept) = queue.drain(..).partition::<Vec<_>, _>(&gone);
                taken.extend(out);
                queue.extend(kept);
            }
        }
        self.len -= taken.len();
        taken
    }

    /// Whether the region may be asked for leads of the campaign now; then it counts as asked.
    pub(crate) fn ask(
        &mut self,
        now: domain::Instant,
        region: RegionId,
        campaign: CampaignId,
    ) -> bool {
        let blocked = match self.asked.get(&(region, campaign)) {
            Some(Asked::Until(at) | Asked::RestUntil(at)) => *at > now,
            None => false,
        };
        if !blocked {
            self.asked
                .insert((region, campaign), Asked::Until(now + ANSWER_LIMIT));
        }
        !blocked
    }

    /// The answer came.
    pub(crate) fn answered(
        &mut self,
        now: domain::Instant,
        region: RegionId,
        campaign: CampaignId,
        rest: Option<Duration>,
    ) {
        match rest {
            Some(rest) => self
                .asked
                .insert((region, campaign), Asked::RestUntil(now + rest)),
            None => self.asked.remove(&(region, campaign)),
        };
    }

    /// A campaign was changed or a session opened: ask again without rest.
    pub(crate) fn wake(&mut self) {
        self.asked
            .retain(|_, asked| matches!(asked, Asked::Until(_)));
    }
}
