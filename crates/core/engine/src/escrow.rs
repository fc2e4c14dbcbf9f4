//! The node's shares of abandonment budgets: what it would like, what it tells, what it got.

use crate::{Engine, Observed, Output, TimerName};
use domain::{Campaign, CampaignId, CampaignState, EscrowGrant, Now, PacingMode};
use std::{collections::BTreeMap, time::Duration};

/// How often shares are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What a node would like to hold beside its lines: predictive pacing keeps a reserve.
const RESERVE: u32 = 16;

impl Engine {
    /// Looks at shares now, and from then on.
    pub(crate) fn escrow_soon(&mut self, now: Now) {
        self.timers.arm(TimerName::Escrow, now.monotonic);
    }

    /// Says what each campaign would like to hold, and asks for it where it is time.
    pub(crate) fn look_at_escrow(&mut self, now: Now) {
        self.timers.arm(TimerName::Escrow, now.monotonic + LOOK);
        let mut wants: BTreeMap<CampaignId, u32> = BTreeMap::new();
        for campaign in self.facts.campaigns.values() {
            let want = if self.draining {
                0
            } else {
                wanted(campaign, || self.calls.pacing_view(campaign.id, now))
            };
            let all = wants.entry(self.facts.account(campaign.id)).or_default();
            *all = all.saturating_add(want);
        }
        for (account, want) in wants {
            self.escrow.want(account, want);
        }
        let (calls, facts) = (&self.calls, &self.facts);
        let at_risk = |account: CampaignId| {
            let all = facts.counted_with(account).chain([account]);
            let each = all.map(|campaign| at_risk(&calls.pacing_view(campaign, now)));
            each.fold(0, u32::saturating_add)
        };
        if let Some(question) = self.escrow.poll(now.monotonic, at_risk) {
            self.output(Output::AskEscrow(question));
        }
        let news: Vec<_> = (self.escrow.shares(now.monotonic))
            .filter(|(campaign, left, want)| {
                self.shares_told.get(campaign) != Some(&(*left, *want))
            })
            .collect();
        for (campaign, left, want) in news {
            self.shares_told.insert(campaign, (left, want));
            self.observe(Observed::Share {
                campaign,
                left,
                want,
            });
        }
    }

    /// The directory answered an ask for shares.
    pub(crate) fn escrow_answered(&mut self, now: Now, sequence: u64, grants: &[EscrowGrant]) {
        self.escrow.answered(sequence, grants);
        self.pace_soon(now);
    }
}

/// Persons whom a campaign's lines could let down at worst: those who wait, and whoever answers a line
/// that keeps no agent.
pub(crate) fn at_risk(view: &call::PacingView) -> u32 {
    let lines = u32::try_from(view.lines.len()).unwrap_or(u32::MAX);
    lines
        .saturating_add(view.waiting)
        .saturating_sub(view.reserved)
}

/// As many as a campaign's lines could let down, and what pacing keeps in reserve.
fn wanted(campaign: &Campaign, view: impl FnOnce() -> call::PacingView) -> u32 {
    let ahead = campaign.pacing != PacingMode::Progressive;
    if !ahead || campaign.state != CampaignState::Running {
        return 0;
    }
    let view = view();
    let agents = view.on_call.len() + view.wrap_up.len();
    let agents = u32::try_from(agents)
        .unwrap_or(u32::MAX)
        .saturating_add(view.ready)
        .saturating_add(view.reserved);
    if agents == 0 {
        return 0;
    }
    campaign.dial_level.lines(agents).saturating_add(RESERVE)
}
