//! I6: abandonment stays within the campaign's budget over its window, mesh-wide; and the directory
//! never reckons with fewer than there were.

use crate::violation::{Checked, Invariant};
use domain::{CampaignId, WallTime};
use ledger::Directory;
use std::collections::BTreeMap;

/// us-federal: 3 % of live answers over 30 days.
const PERMILLE: u64 = 30;
const WINDOW: u64 = 30 * 86_400_000;
/// Clocks of nodes may be off by this much.
const SLACK: u64 = 5_000;

/// One campaign, as it really was: when, and how many.
#[derive(Debug, Default)]
struct Truth {
    answers: Vec<(u64, u64)>,
    abandoned: Vec<u64>,
}

/// Every answer and every abandonment.
#[derive(Debug, Default)]
pub(crate) struct Abandonment {
    campaigns: BTreeMap<CampaignId, Truth>,
    /// How far the leaders' calendars were apart from each other at most: windows are counted by
    /// them.
    calendar: (i64, i64),
}

impl Abandonment {
    /// A leader's calendar is off by so many milliseconds from now on.
    pub(crate) fn calendar(&mut self, off: i64) {
        self.calendar = (self.calendar.0.min(off), self.calendar.1.max(off));
    }

    fn slack(&self) -> u64 {
        self.calendar.1.abs_diff(self.calendar.0) + SLACK
    }

    /// Persons answered.
    pub(crate) fn answered(&mut self, now: u64, campaign: CampaignId, n: u32) {
        let truth = self.campaigns.entry(campaign).or_default();
        truth.answers.push((now, u64::from(n)));
    }

    /// A person whom nobody took.
    pub(crate) fn abandoned(
        &mut self,
        now: u64,
        node: usize,
        campaign: CampaignId,
        directory: &Directory,
    ) -> Checked {
        let slack = self.slack();
        let truth = self.campaigns.entry(campaign).or_default();
        truth.abandoned.push(now);
        // With calendars apart the window may be as much shorter, and as much longer.
        let within = |at: u64, span: u64| at + span > now;
        let answers = truth.answers.iter();
        let answers = answers.filter(|(at, _)| within(*at, WINDOW + slack));
        let answers: u64 = answers.map(|(_, n)| n).sum();
        let abandoned = truth.abandoned.iter();
        let abandoned = abandoned.filter(|at| within(**at, WINDOW - slack)).count() as u64;
        if 1000 * abandoned > PERMILLE * answers {
            return Err(Invariant::I6.broken(format!(
                "node {node} lets person {abandoned} of {answers} down in {campaign}"
            )));
        }
        self.covered(now, campaign, directory)
    }

    /// What the directory was told, what is in doubt and what is out are no fewer than there were.
    pub(crate) fn covered(&self, now: u64, campaign: CampaignId, directory: &Directory) -> Checked {
        let Some(truth) = self.campaigns.get(&campaign) else {
            return Ok(());
        };
        let Some(view) = directory.abandonment(campaign, WallTime::EPOCH) else {
            return Ok(());
        };
        let since = now.saturating_sub(WINDOW - self.slack());
        let were = truth.abandoned.iter().filter(|at| **at > since).count() as u64;
        let live = view.shares.iter().filter(|share| share.live);
        let out: u64 = live.map(|share| u64::from(share.out)).sum();
        if view.abandoned + view.in_doubt + out < were {
            return Err(Invariant::I6.broken(format!(
                "{were} were let down in {campaign}; the directory reckons with {}, {} in doubt, \
                 {out} out",
                view.abandoned, view.in_doubt
            )));
        }
        Ok(())
    }
}
