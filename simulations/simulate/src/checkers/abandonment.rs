//! I6: abandonment stays within the campaign's budget over its window, mesh-wide; and the directory
//! never reckons with fewer than there were.

use crate::violation::{Checked, Invariant};
use domain::{CampaignId, EscrowAsk, Incarnation, MemberId, WallTime};
use ledger::{Directory, DirectoryReply};
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
    /// Those that a share allowed, and those that none did.
    abandoned: Vec<(u64, bool)>,
}

/// What one run of a node abandoned of a campaign.
#[derive(Debug, Default)]
struct Spent {
    /// In order; whether no share of the node covered it.
    beyond: Vec<bool>,
    /// So many of them the directory was told of.
    told: usize,
}

/// Every answer and every abandonment.
#[derive(Debug, Default)]
pub(crate) struct Abandonment {
    campaigns: BTreeMap<CampaignId, Truth>,
    runs: BTreeMap<(MemberId, Incarnation, CampaignId), Spent>,
    /// The last ask of each member that was taken.
    asks: BTreeMap<MemberId, (Incarnation, u64)>,
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

    /// A person whom nobody took; `beyond` what the node's share covers. No share can keep an agent's
    /// phone from dropping: the budget is not asked of those, but that the directory counts them is.
    pub(crate) fn abandoned(
        &mut self,
        now: u64,
        who: (MemberId, Incarnation),
        campaign: CampaignId,
        beyond: bool,
        directory: &Directory,
    ) -> Checked {
        let slack = self.slack();
        let spent = self.runs.entry((who.0, who.1, campaign)).or_default();
        spent.beyond.push(beyond);
        let truth = self.campaigns.entry(campaign).or_default();
        truth.abandoned.push((now, beyond));
        // With calendars apart the window may be as much shorter, and as much longer.
        let within = |at: u64, span: u64| at + span > now;
        let answers = truth.answers.iter();
        let answers = answers.filter(|(at, _)| within(*at, WINDOW + slack));
        let answers: u64 = answers.map(|(_, n)| n).sum();
        let abandoned = truth.abandoned.iter();
        let abandoned = abandoned.filter(|(at, beyond)| !beyond && within(*at, WINDOW - slack));
        let abandoned = abandoned.count() as u64;
        if !beyond && 1000 * abandoned > PERMILLE * answers {
            let node = who.0;
            return Err(Invariant::I6.broken(format!(
                "{node} lets person {abandoned} of {answers} down in {campaign}"
            )));
        }
        self.covered(now, campaign, directory)
    }

    /// The directory answered an ask: what it took once it knows from then on.
    pub(crate) fn told(&mut self, ask: &EscrowAsk, reply: &DirectoryReply) {
        let this = (ask.incarnation, ask.sequence);
        let taken = matches!(reply, DirectoryReply::Escrow(_));
        if !taken || self.asks.get(&ask.member).is_some_and(|last| *last >= this) {
            return;
        }
        self.asks.insert(ask.member, this);
        for line in &ask.lines {
            let run = (ask.member, ask.incarnation, line.campaign);
            self.runs.entry(run).or_default().told += line.abandoned as usize;
        }
        for proof in &ask.proofs {
            let runs = self.runs.iter_mut();
            let of_run = runs.filter(|(key, _)| (key.0, key.1) == (ask.member, proof.incarnation));
            of_run.for_each(|(_, spent)| spent.told = spent.beyond.len());
        }
    }

    /// Those beyond a share that the directory was not told of: it need not have counted them as out.
    fn untold(&self, campaign: CampaignId) -> u64 {
        let runs = self.runs.iter().filter(|(key, _)| key.2 == campaign);
        let untold = runs.flat_map(|(_, spent)| spent.beyond.iter().skip(spent.told));
        untold.filter(|beyond| **beyond).count() as u64
    }

    /// A node holds no more than the directory lent it: nobody else may be lent the same.
    pub(crate) fn lent(
        member: MemberId,
        campaign: CampaignId,
        held: u32,
        directory: &Directory,
    ) -> Checked {
        let view = directory.abandonment(campaign, WallTime::EPOCH);
        let shares = view.into_iter().flat_map(|view| view.shares);
        let lent = shares.filter(|share| share.member == member);
        let lent = lent.map(|share| share.out).max().unwrap_or(0);
        if held > lent {
            return Err(Invariant::I6.broken(format!(
                "{member} holds {held} of {campaign}; the directory lent it {lent}"
            )));
        }
        Ok(())
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
        let were = truth.abandoned.iter().filter(|(at, _)| *at > since).count() as u64;
        let were = were.saturating_sub(self.untold(campaign));
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
