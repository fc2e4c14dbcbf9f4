//! The abandonment budgets: counts of every campaign over its rule pack's window, and the shares
//! of them that nodes hold (mesh protocol, section 5).
//!
//! **What holds.** Whenever a share is granted or renewed, the abandonments of the window, those in
//! doubt, and everything that is out come to no more than the budget allows by the answers that
//! will still be in the window when the shares end. So however the shares are spent, each
//! abandonment happens inside the budget.
//!
//! A share belongs to one run of one node. Of a run that ended, or that was not heard of until its
//! share ended, what was out counts as abandoned, until its window has passed or the node's journal
//! proves otherwise. Of a run that crashed it never proves that those who were on the line then
//! were not let down: so many of what was out stay abandoned.

mod counts;

use super::{Directory, DirectoryReply, Rejection, checks, drop_rates::DropRateBook};
use crate::rules::Rules;
use counts::Counts;
use domain::{
    CampaignId, EscrowAsk, EscrowGrant, EscrowLine, EscrowProof, Incarnation, MemberId, WallTime,
    limits,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Calendars of members may be apart by this much: answers leave by it earlier, abandonments and
/// doubts later.
pub(super) const CALENDARS: Duration = Duration::from_secs(60);

/// After its end a share may still be spent by lines that were out then.
const TAIL: Duration = Duration::from_secs(limits::RING_LIMIT_MAX.as_secs() + CALENDARS.as_secs());

type Done = Result<DirectoryReply, Rejection>;

/// The budgets of all campaigns.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Escrow {
    campaigns: BTreeMap<CampaignId, Account>,
    holders: BTreeMap<MemberId, Holder>,
}

/// The last ask of a member and its answer, for a retry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    incarnation: Incarnation,
    sequence: u64,
    answer: Vec<EscrowGrant>,
}

/// One campaign.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Account {
    counts: Counts,
    shares: BTreeMap<(MemberId, Incarnation), Share>,
}

/// What one run of a node holds of one campaign's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Share {
    /// Granted, and neither told as abandoned nor given back.
    out: u32,
    /// What the node would like to hold.
    want: u32,
    /// By this time of the calendar nothing of it can be used any more, unless renewed.
    ends: WallTime,
    /// Abandonments told by this run.
    abandoned: u64,
}

/// A campaign's abandonment budget, for people.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BudgetView {
    /// Live answers in the window.
    pub answered: u64,
    /// Those that were abandoned, as far as nodes have told.
    pub abandoned: u64,
    /// Shares of runs that ended, or were not heard of in time: counted as abandoned.
    pub in_doubt: u64,
    /// Whole abandonments that may still happen, those that nodes hold among them; below zero when
    /// more happened than the budget allows.
    pub left: i64,
    /// Who holds how many.
    pub shares: Vec<ShareView>,
}

/// What a node holds, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareView {
    /// The node.
    pub member: MemberId,
    /// Permitted abandonments that it holds; in doubt if `live` is not.
    pub out: u32,
    /// What it would like to hold; 0 where it dials one line for each agent anyway.
    pub want: u32,
    /// Whether it can still use them.
    pub live: bool,
}

impl Escrow {
    fn is_current(&self, member: MemberId, run: Incarnation) -> bool {
        (self.holders.get(&member)).is_some_and(|holder| holder.incarnation == run)
    }

    /// Takes what a node tells of a campaign.
    fn tell(&mut self, clock: WallTime, ask: &EscrowAsk, line: &EscrowLine) {
        let account = self.campaigns.entry(line.campaign).or_default();
        account.counts.add_answers(clock, line.since, line.answers);
        account.counts.add_abandoned(clock, line.abandoned);
        let key = (ask.member, ask.incarnation);
        let share = account.shares.entry(key).or_default();
        share.abandoned += u64::from(line.abandoned);
        share.out = share
            .out
            .saturating_sub(line.abandoned)
            .saturating_sub(line.returned);
        share.want = line.want;
    }

    /// What a node may hold of a campaign from here on.
    fn grant(
        &mut self,
        clock: WallTime,
        ask: &EscrowAsk,
        line: &EscrowLine,
        rules: Option<Rules>,
    ) -> EscrowGrant {
        let none = EscrowGrant {
            campaign: line.campaign,
            granted: 0,
            keep: 0,
            renewed: false,
        };
        let Some(rules) = rules else { return none };
        let ends = clock + limits::ESCROW_LIFE + TAIL;
        let asks = Some((ask.member, ask.incarnation));
        let (dead, out, wants) = self.sums(line.campaign, rules, clock, asks);
        let Some(account) = self.campaigns.get_mut(&line.campaign) else {
            return none;
        };
        let pool = account.counts.left(rules, clock, ends, dead);
        let free = pool - out as i64;
        let share = (account.shares.entry((ask.member, ask.incarnation))).or_default();
        // Its part of what there is, by what each would like; rounded up, so that one whole
        // abandonment is of use to the first who asks.
        let part = (u64::try_from(pool).unwrap_or(0) * u64::from(line.want)).div_ceil(wants.max(1));
        let part = u32::try_from(part).unwrap_or(u32::MAX).min(line.want);
        let granted = part
            .saturating_sub(share.out)
            .min(u32::try_from(free.max(0)).unwrap_or(u32::MAX));
        share.out += granted;
        let keep = match free {
            1.. => line.want,
            0 => part,
            _ => share
                .out
                .saturating_sub(u32::try_from(-free).unwrap_or(u32::MAX)),
        };
        // Who holds nothing may know that at any time: it permits nothing.
        let renewed = free >= 0 || share.out == 0;
        if renewed {
            share.ends = ends;
        }
        EscrowGrant {
            granted,
            keep,
            renewed,
            ..none
        }
    }

    /// Of a campaign: what is in doubt, what is out, what their holders would like. The share of
    /// one who asks counts as out, not as in doubt.
    fn sums(
        &self,
        campaign: CampaignId,
        rules: Rules,
        clock: WallTime,
        asks: Option<(MemberId, Incarnation)>,
    ) -> (u64, u64, u64) {
        let Some(account) = self.campaigns.get(&campaign) else {
            return (0, 0, 0);
        };
        // Nothing of a share was abandoned after its end: it leaves the window with that.
        let late = rules.abandonment().window.begins(clock - CALENDARS);
        let (mut dead, mut out, mut wants) = (0, 0, 0);
        for (key, share) in &account.shares {
            let live = self.is_current(key.0, key.1) && share.ends > clock;
            if live || asks == Some(*key) {
                out += u64::from(share.out);
                wants += u64::from(share.want);
            } else if late.is_none_or(|from| share.ends > from) {
                dead += u64::from(share.out);
            }
        }
        (dead, out, wants)
    }

    /// A new run of a node: what its earlier ones held stays as it was, in doubt.
    fn begin(&mut self, clock: WallTime, member: MemberId, run: Incarnation) {
        let begun = Holder {
            incarnation: run,
            sequence: 0,
            answer: Vec::new(),
        };
        self.holders.insert(member, begun);
        for account in self.campaigns.values_mut() {
            account.bury(clock, member);
            account.counts.forget(clock);
        }
        let used = |a: &Account| !(a.counts.is_empty() && a.shares.is_empty());
        self.campaigns.retain(|_, account| used(account));
    }

    /// Takes what a journal proves. Of a campaign that the run never spoke of it counts where that
    /// is `news`: the campaign is known, and no proof of the run can have come before.
    fn prove(
        &mut self,
        clock: WallTime,
        member: MemberId,
        proof: &EscrowProof,
        groups: &DropRateBook,
        news: impl Fn(CampaignId) -> bool,
    ) {
        // Nodes name the campaigns of attempts, and the one whose budget an abandonment is of.
        let of = |list: &[(CampaignId, u64)], campaign: CampaignId| -> u64 {
            let counts = |(id, _): &&(CampaignId, u64)| groups.account(*id) == campaign;
            list.iter().filter(counts).map(|(_, n)| *n).sum()
        };
        let mut untold: BTreeMap<CampaignId, u64> = BTreeMap::new();
        for (campaign, n) in &proof.abandoned {
            *untold.entry(groups.account(*campaign)).or_default() += n;
        }
        for (campaign, account) in &mut self.campaigns {
            let Some(share) = account.shares.remove(&(member, proof.incarnation)) else {
                continue;
            };
            untold.remove(campaign);
            let total = of(&proof.abandoned, *campaign);
            // What was told may be more than what the journal still knows: then it is that.
            let more = total.saturating_sub(share.abandoned);
            // Whoever was on the line is counted as let down, but no more than the share allowed:
            // a node that dials one line for each agent loses nothing by a crash.
            let out = u64::from(share.out).saturating_sub(more);
            let doubt = of(&proof.in_air, *campaign).min(out);
            let more = u32::try_from(more.saturating_add(doubt)).unwrap_or(u32::MAX);
            account.counts.add_abandoned(clock, more);
        }
        for (campaign, n) in untold.into_iter().filter(|(id, n)| *n > 0 && news(*id)) {
            let account = self.campaigns.entry(campaign).or_default();
            (account.counts).add_abandoned(clock, u32::try_from(n).unwrap_or(u32::MAX));
        }
    }

    /// Forgets what no window of any rule pack reaches.
    fn sweep(&mut self, campaign: CampaignId, clock: WallTime) {
        let over = reached(clock);
        let holders = &self.holders;
        if let Some(account) = self.campaigns.get_mut(&campaign) {
            account.counts.forget(clock);
            account.shares.retain(|(member, run), share| {
                let current = (holders.get(member)).is_some_and(|h| h.incarnation == *run);
                current || (share.out > 0 && share.ends > over)
            });
        }
    }
}

/// What ended by then, no window of any rule pack reaches any more.
fn reached(clock: WallTime) -> WallTime {
    clock - limits::ABANDONMENT_WINDOW_MAX - CALENDARS
}

impl Account {
    /// Of the runs of a member, only the newest are kept apart: what older ones held becomes
    /// abandonments for good, from the present on; nothing where it has left every window.
    fn bury(&mut self, clock: WallTime, member: MemberId) {
        let first = (member, Incarnation(0));
        let last = (member, Incarnation(u64::MAX));
        let runs: Vec<_> = self
            .shares
            .range(first..=last)
            .map(|(key, _)| *key)
            .collect();
        for key in runs.iter().rev().skip(limits::ESCROW_RUNS) {
            let share = self.shares.remove(key);
            if let Some(share) = share.filter(|share| share.ends > reached(clock)) {
                self.counts.add_abandoned(clock, share.out);
            }
        }
    }
}

impl Directory {
    pub(super) fn escrow(&mut self, ask: &EscrowAsk) -> Done {
        let living = self.members.get(&ask.member).is_some_and(|m| !m.removed);
        checks::known("ask.member", ask.member, living)?;
        checks::room("ask.lines", 0, ask.lines.len(), limits::ESCROW_LINES)?;
        checks::room("ask.proofs", 0, ask.proofs.len(), limits::ESCROW_PROOFS)?;
        for proof in &ask.proofs {
            let most = limits::CAMPAIGNS;
            checks::room("ask.proofs.abandoned", 0, proof.abandoned.len(), most)?;
            checks::room("ask.proofs.in_air", 0, proof.in_air.len(), most)?;
        }
        let clock = self.clock;
        let spoke = (self.escrow.holders.get(&ask.member)).map(|holder| holder.incarnation);
        match self.escrow.holders.get(&ask.member) {
            Some(last) if last.incarnation > ask.incarnation => {
                let why = format!("is an earlier run than {}", last.incarnation.0);
                return Err(Rejection::new("ask.incarnation", why));
            }
            Some(last) if last.incarnation == ask.incarnation => {
                if last.sequence == ask.sequence {
                    return Ok(DirectoryReply::Escrow(last.answer.clone()));
                }
                if last.sequence > ask.sequence {
                    let why = format!("is before {}, which was taken already", last.sequence);
                    return Err(Rejection::new("ask.sequence", why));
                }
            }
            _ => self.escrow.begin(clock, ask.member, ask.incarnation),
        }
        let (campaigns, escrow) = (&self.campaigns, &mut self.escrow);
        let groups = &self.drop_rates;
        for proof in (ask.proofs.iter()).filter(|p| p.incarnation < ask.incarnation) {
            // Only a later run can have proved it.
            let first = spoke.is_none_or(|run| proof.incarnation >= run);
            let news = |id: CampaignId| first && campaigns.contains_key(&id);
            escrow.prove(clock, ask.member, proof, groups, news);
        }
        let known = |line: &&EscrowLine| self.campaigns.contains_key(&line.campaign);
        let lines: Vec<&EscrowLine> = ask.lines.iter().filter(known).collect();
        for line in &lines {
            self.escrow.sweep(line.campaign, clock);
            self.escrow.tell(clock, ask, line);
        }
        let mut answer = Vec::with_capacity(lines.len());
        for line in lines {
            let campaign = self.campaigns.get(&line.campaign);
            let rules = campaign.and_then(|campaign| Rules::of(&campaign.rule_pack));
            answer.push(self.escrow.grant(clock, ask, line, rules));
        }
        let holder = Holder {
            incarnation: ask.incarnation,
            sequence: ask.sequence,
            answer: answer.clone(),
        };
        self.escrow.holders.insert(ask.member, holder);
        Ok(DirectoryReply::Escrow(answer))
    }

    /// A campaign's abandonment budget, which is that of all it counts with, at `wall`, or at the
    /// directory's calendar where that is later; none where the campaign or its rule pack is not known.
    pub fn abandonment(&self, campaign: CampaignId, wall: WallTime) -> Option<BudgetView> {
        let clock = self.clock.max(wall);
        let rules = Rules::of(&self.campaigns.get(&campaign)?.rule_pack)?;
        let campaign = self.drop_rates.account(campaign);
        let Some(account) = self.escrow.campaigns.get(&campaign) else {
            return Some(BudgetView::default());
        };
        let (dead, ..) = self.escrow.sums(campaign, rules, clock, None);
        let (answered, abandoned) = account.counts.inside(rules, clock, clock);
        let ends = clock + limits::ESCROW_LIFE + TAIL;
        let shares = account
            .shares
            .iter()
            .map(|((member, run), share)| ShareView {
                member: *member,
                out: share.out,
                want: share.want,
                live: self.escrow.is_current(*member, *run) && share.ends > clock,
            });
        Some(BudgetView {
            answered,
            abandoned,
            in_doubt: dead,
            left: account.counts.left(rules, clock, ends, dead),
            shares: shares.collect(),
        })
    }
}

#[cfg(test)]
mod tests;
