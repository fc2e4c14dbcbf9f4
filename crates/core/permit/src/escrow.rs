//! What this node may abandon: its shares of the campaigns' budgets (mesh protocol, section 5).

use crate::at_most;
use domain::{CampaignId, EscrowGrant, EscrowLine, Instant, WallTime, limits};
use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

/// What changed in a campaign that dials ahead is told so soon.
const SOON: Duration = Duration::from_secs(5);
/// Everything else is.
const LATER: Duration = Duration::from_secs(15);
/// An ask without an answer is said again so soon, word for word.
const AGAIN: Duration = Duration::from_secs(10);

/// An ask on its way to the directory: what the node's engine knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscrowQuestion {
    /// Counts the asks of this run, from 1.
    pub sequence: u64,
    /// One for each campaign that has something to say; at most [`limits::ESCROW_LINES`].
    pub lines: Vec<EscrowLine>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    /// Permitted abandonments that are held. Below zero while more were spent than were held and
    /// an ask is under way: what it brings pays for them first. The directory counts no further
    /// down than zero, so neither does this once it is told.
    balance: i64,
    /// Nothing may be launched ahead from then on.
    ends: Instant,
    /// What goes beyond is given back.
    keep: u32,
    want: u32,
    /// What the directory was told of `want`, and when it was told anything.
    told: Option<(u32, Instant)>,
    answers: u32,
    since: WallTime,
    abandoned: u32,
    /// Abandonments of this run.
    total: u64,
}

#[derive(Clone, Debug)]
struct Asked {
    question: EscrowQuestion,
    /// When it was said first: from then on its answer counts.
    first: Instant,
    last: Instant,
}

/// The shares that this run of the node holds.
///
/// A share is used only until `t + L(1-ρ)` after the ask, sent at `t`, that it was last renewed by.
/// Then it is unknown, and the node dials one line for each agent; what it held stays held, since
/// lines that are out may still spend it, until the directory answers again. One ask is under way
/// at a time, and is repeated word for word until it is answered.
#[derive(Clone, Debug, Default)]
pub struct Escrow {
    accounts: BTreeMap<CampaignId, Account>,
    asked: Option<Asked>,
    sequence: u64,
    /// The last campaign of the ask before: with more than one ask holds, each has its turn.
    turn: Option<CampaignId>,
    /// The run ends: everything is told and given back at once.
    closing: bool,
}

impl Account {
    fn held(&self) -> u32 {
        u32::try_from(self.balance.max(0)).unwrap_or(u32::MAX)
    }

    /// What is given back: `at_risk` may still be lost by lines that are out.
    fn surplus(&self, at_risk: u32) -> u32 {
        (self.held()).saturating_sub(self.keep.min(self.want).max(at_risk))
    }

    fn speaks(&self, now: Instant, at_risk: u32, closing: bool) -> bool {
        let Some((told, at)) = self.told else {
            return self.want > 0 || self.answers > 0 || self.abandoned > 0;
        };
        let changed = self.answers > 0
            || self.abandoned > 0
            || self.want != told
            || self.surplus(at_risk) > 0;
        if closing {
            return changed;
        }
        let wait = if changed && self.want > 0 {
            SOON
        } else {
            LATER
        };
        let held = self.want > 0 || self.balance > 0;
        let renews = held && self.ends.since(now) < limits::ESCROW_LIFE / 2;
        now.since(at) >= wait && (changed || renews || self.want > self.held())
    }
}

impl Escrow {
    /// A person of the campaign answered.
    pub fn note_answer(&mut self, wall: WallTime, campaign: CampaignId) {
        let account = self.accounts.entry(campaign).or_default();
        if account.answers == 0 || wall < account.since {
            account.since = wall;
        }
        account.answers = account.answers.saturating_add(1);
    }

    /// One of them found no agent in time. The campaign's abandonments of this run: they must be in
    /// the journal before anything else leaves.
    pub fn note_abandoned(&mut self, campaign: CampaignId) -> u64 {
        let account = self.accounts.entry(campaign).or_default();
        account.abandoned = account.abandoned.saturating_add(1);
        account.balance -= 1;
        account.total += 1;
        account.total
    }

    /// The campaign would like to hold so many; none where it dials one line for each agent.
    pub fn want(&mut self, campaign: CampaignId, want: u32) {
        if want > 0 || self.accounts.contains_key(&campaign) {
            self.accounts.entry(campaign).or_default().want = want;
        }
    }

    /// Whether the directory allows anything now: none when the share is not known, else what is
    /// left of it.
    pub fn left(&self, now: Instant, campaign: CampaignId) -> Option<u32> {
        let account = self.accounts.get(&campaign)?;
        (now < account.ends).then_some(account.held())
    }

    /// What is held of a campaign, usable or not: lines that were out when a share ended may still
    /// spend it.
    pub fn held(&self, campaign: CampaignId) -> u32 {
        self.accounts.get(&campaign).map_or(0, Account::held)
    }

    /// The run is about to end: whatever is not at risk is given back, and nothing waits.
    pub fn close(&mut self) {
        self.closing = true;
        (self.accounts.values_mut()).for_each(|account| account.want = 0);
    }

    /// Whether the directory knows everything, and nothing of its budgets is held here.
    pub fn is_settled(&self) -> bool {
        let settled = |a: &Account| a.balance <= 0 && a.answers == 0 && a.abandoned == 0;
        self.asked.is_none() && self.accounts.values().all(settled)
    }

    /// Every campaign with its share, as [`Escrow::left`] tells it, and what it would like.
    pub fn shares(&self, now: Instant) -> impl Iterator<Item = (CampaignId, Option<u32>, u32)> {
        (self.accounts.iter()).map(move |(id, account)| {
            let left = (now < account.ends).then_some(account.held());
            (*id, left, account.want)
        })
    }

    /// The ask that is to be sent now, if any. `at_risk` says how many persons of a campaign the
    /// lines that are out could let down; asked only where something is held.
    pub fn poll(
        &mut self,
        now: Instant,
        at_risk: impl Fn(CampaignId) -> u32,
    ) -> Option<EscrowQuestion> {
        if let Some(asked) = &mut self.asked {
            if now.since(asked.last) < AGAIN {
                return None;
            }
            asked.last = now;
            return Some(asked.question.clone());
        }
        let mut lines = Vec::new();
        let turn = self.turn.take().unwrap_or(CampaignId(u32::MAX));
        let after: Vec<CampaignId> = (self.accounts)
            .range((Excluded(turn), Unbounded))
            .chain(self.accounts.range(..=turn))
            .map(|(id, _)| *id)
            .collect();
        for campaign in after {
            let Some(account) = self.accounts.get_mut(&campaign) else {
                continue;
            };
            // Nothing held, nothing to give back, whatever the lines are.
            let risk = match account.held() {
                0 => 0,
                _ => at_risk(campaign),
            };
            if !account.speaks(now, risk, self.closing) {
                continue;
            }
            if lines.len() == limits::ESCROW_LINES {
                break;
            }
            let returned = account.surplus(risk);
            account.balance = i64::from(account.held() - returned);
            account.told = Some((account.want, now));
            lines.push(EscrowLine {
                campaign,
                answers: std::mem::take(&mut account.answers),
                since: account.since,
                abandoned: std::mem::take(&mut account.abandoned),
                returned,
                want: account.want,
            });
            self.turn = Some(campaign);
        }
        if lines.is_empty() {
            return None;
        }
        self.sequence += 1;
        let question = EscrowQuestion {
            sequence: self.sequence,
            lines,
        };
        self.asked = Some(Asked {
            question: question.clone(),
            first: now,
            last: now,
        });
        Some(question)
    }

    /// The directory answered an ask. One that is not under way changes nothing.
    pub fn answered(&mut self, sequence: u64, grants: &[EscrowGrant]) {
        let under_way = (self.asked.as_ref()).is_some_and(|a| a.question.sequence == sequence);
        let Some(asked) = self.asked.take_if(|_| under_way) else {
            return;
        };
        for line in &asked.question.lines {
            let Some(account) = self.accounts.get_mut(&line.campaign) else {
                continue;
            };
            match grants.iter().find(|grant| grant.campaign == line.campaign) {
                Some(grant) => {
                    account.balance += i64::from(grant.granted);
                    account.keep = grant.keep;
                    if grant.renewed {
                        let ends = asked.first + at_most(limits::ESCROW_LIFE);
                        account.ends = account.ends.max(ends);
                    }
                }
                None => account.keep = 0,
            }
        }
    }

    /// Abandonments of this run that the directory was not told of, or has not said that it knows.
    pub fn untold(&self) -> u64 {
        let asked = self.asked.iter().flat_map(|asked| &asked.question.lines);
        let asked: u64 = asked.map(|line| u64::from(line.abandoned)).sum();
        let waiting = self.accounts.values().map(|a| u64::from(a.abandoned));
        asked + waiting.sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: CampaignId = CampaignId(1);

    fn at(secs: u64) -> Instant {
        Instant::from_millis(1_000_000 + secs * 1000)
    }

    fn wall(secs: u64) -> WallTime {
        WallTime::from_millis(1_795_280_400_000) + Duration::from_secs(secs)
    }

    fn grant(granted: u32, keep: u32, renewed: bool) -> [EscrowGrant; 1] {
        [EscrowGrant {
            campaign: CAMPAIGN,
            granted,
            keep,
            renewed,
        }]
    }

    fn none(_: CampaignId) -> u32 {
        0
    }

    /// With a share of three, asked for at 0.
    fn holding() -> Escrow {
        let mut escrow = Escrow::default();
        escrow.want(CAMPAIGN, 10);
        let asked = escrow.poll(at(0), none).unwrap();
        assert_eq!((asked.sequence, asked.lines[0].want), (1, 10));
        assert_eq!(
            escrow.left(at(0), CAMPAIGN),
            None,
            "not known before the answer"
        );
        escrow.answered(1, &grant(3, 10, true));
        escrow
    }

    #[test]
    fn a_share_is_used_until_its_end_counted_from_the_ask() {
        let escrow = holding();
        assert_eq!(escrow.left(at(0), CAMPAIGN), Some(3));
        // 120 s less 2 %.
        assert_eq!(
            escrow.left(Instant::from_millis(1_117_599), CAMPAIGN),
            Some(3)
        );
        assert_eq!(escrow.left(Instant::from_millis(1_117_600), CAMPAIGN), None);
        assert_eq!(escrow.left(at(0), CampaignId(2)), None);
    }

    #[test]
    fn spent_is_spent_whatever_the_directory_hears() {
        let mut escrow = holding();
        assert_eq!(escrow.note_abandoned(CAMPAIGN), 1);
        assert_eq!(escrow.note_abandoned(CAMPAIGN), 2);
        assert_eq!(
            (escrow.left(at(1), CAMPAIGN), escrow.untold()),
            (Some(1), 2)
        );
        let asked = escrow.poll(at(6), none).unwrap();
        assert_eq!(asked.lines[0].abandoned, 2);
        // Spent while the ask is on its way: told with the next one.
        escrow.note_abandoned(CAMPAIGN);
        assert_eq!(escrow.left(at(7), CAMPAIGN), Some(0));
        escrow.note_abandoned(CAMPAIGN);
        assert_eq!(escrow.untold(), 4);
        // The directory has one out; two that it was not told of use it up, and more.
        escrow.answered(2, &grant(1, 10, true));
        assert_eq!(
            (escrow.left(at(8), CAMPAIGN), escrow.untold()),
            (Some(0), 2)
        );
        assert_eq!(escrow.poll(at(20), none).unwrap().lines[0].abandoned, 2);
    }

    #[test]
    fn what_was_spent_beyond_the_share_is_paid_by_the_ask_that_was_under_way() {
        // As the directory counts it: what is told comes off, no further down than zero.
        let (mut escrow, mut out) = (holding(), 3);
        let tell = |escrow: &mut Escrow, out: &mut u32, secs, granted| {
            let asked = escrow.poll(at(secs), none).unwrap();
            let line = asked.lines[0];
            *out = out.saturating_sub(line.abandoned + line.returned) + granted;
            asked.sequence
        };
        (0..3).for_each(|_| _ = escrow.note_abandoned(CAMPAIGN));
        let sequence = tell(&mut escrow, &mut out, 6, 2);
        // Two phones drop while the two that were granted are on their way.
        (0..2).for_each(|_| _ = escrow.note_abandoned(CAMPAIGN));
        escrow.answered(sequence, &grant(2, 10, true));
        assert_eq!((escrow.left(at(7), CAMPAIGN), out), (Some(0), 2));
        let sequence = tell(&mut escrow, &mut out, 12, 0);
        escrow.answered(sequence, &grant(0, 10, true));
        assert_eq!((escrow.left(at(13), CAMPAIGN), out), (Some(0), 0));
        // What was told is no debt here: the directory has it in its counts.
        escrow.note_abandoned(CAMPAIGN);
        assert_eq!(escrow.held(CAMPAIGN), 0);
        let sequence = tell(&mut escrow, &mut out, 18, 1);
        escrow.answered(sequence, &grant(1, 10, true));
        assert_eq!((escrow.left(at(19), CAMPAIGN), out), (Some(1), 1));
        assert!(!escrow.is_settled());
    }

    #[test]
    fn an_ask_is_repeated_word_for_word_and_answered_once() {
        let mut escrow = holding();
        escrow.note_answer(wall(3), CAMPAIGN);
        escrow.note_answer(wall(2), CAMPAIGN);
        let asked = escrow.poll(at(10), none).unwrap();
        assert_eq!((asked.lines[0].answers, asked.lines[0].since), (2, wall(2)));
        escrow.note_answer(wall(11), CAMPAIGN);
        assert_eq!(escrow.poll(at(19), none), None, "one at a time");
        assert_eq!(escrow.poll(at(20), none), Some(asked));
        escrow.answered(1, &grant(5, 10, true));
        assert_eq!(
            escrow.left(at(20), CAMPAIGN),
            Some(3),
            "an answer to another ask"
        );
        escrow.answered(2, &grant(1, 10, true));
        escrow.answered(2, &grant(1, 10, true));
        // Counted from when it was said first.
        assert_eq!(
            escrow.left(Instant::from_millis(1_127_599), CAMPAIGN),
            Some(4)
        );
        assert_eq!(escrow.left(Instant::from_millis(1_127_600), CAMPAIGN), None);
    }

    #[test]
    fn what_is_too_much_goes_back_unless_lines_may_spend_it() {
        let mut escrow = holding();
        let asked = escrow.poll(at(16), none).unwrap();
        escrow.answered(asked.sequence, &grant(0, 1, false));
        // Two lines more than agents are out.
        let asked = escrow.poll(at(22), |_| 2).unwrap();
        assert_eq!(asked.lines[0].returned, 1);
        assert_eq!(escrow.left(at(22), CAMPAIGN), Some(2));
        escrow.answered(asked.sequence, &grant(0, 1, false));
        let asked = escrow.poll(at(28), none).unwrap();
        assert_eq!(asked.lines[0].returned, 1);
        escrow.answered(asked.sequence, &grant(0, 1, true));
        // Nobody dials ahead any more.
        escrow.want(CAMPAIGN, 0);
        let asked = escrow.poll(at(44), none).unwrap();
        assert_eq!((asked.lines[0].returned, asked.lines[0].want), (1, 0));
        escrow.answered(asked.sequence, &grant(0, 0, true));
        assert_eq!(escrow.poll(at(60), none), None, "nothing to say");
        assert_eq!(escrow.left(at(60), CAMPAIGN), Some(0));
    }

    #[test]
    fn lines_are_counted_only_where_something_is_held() {
        let mut escrow = holding();
        (0..3).for_each(|_| _ = escrow.note_abandoned(CAMPAIGN));
        let asked = escrow.poll(at(6), |_| unreachable!("nothing is held"));
        assert_eq!(asked.unwrap().lines[0].returned, 0);
    }

    #[test]
    fn a_share_that_ended_stays_held_until_the_directory_speaks() {
        let mut escrow = holding();
        let asked = escrow.poll(at(60), none).unwrap();
        assert_eq!(escrow.left(at(118), CAMPAIGN), None);
        // A line that was out then lets a person down.
        escrow.note_abandoned(CAMPAIGN);
        escrow.answered(asked.sequence, &grant(0, 10, true));
        assert_eq!(escrow.left(at(119), CAMPAIGN), Some(2));
    }

    #[test]
    fn at_the_end_everything_goes_back_at_once() {
        let mut escrow = holding();
        escrow.note_answer(wall(1), CAMPAIGN);
        assert!(!escrow.is_settled());
        escrow.close();
        let asked = escrow.poll(at(1), |_| 1).unwrap();
        assert_eq!((asked.lines[0].returned, asked.lines[0].answers), (2, 1));
        escrow.answered(asked.sequence, &grant(0, 0, true));
        assert_eq!(escrow.poll(at(1), |_| 1), None, "a line may still spend it");
        let asked = escrow.poll(at(2), none).unwrap();
        assert_eq!(asked.lines[0].returned, 1);
        assert!(!escrow.is_settled(), "until the directory says so");
        escrow.answered(asked.sequence, &grant(0, 0, true));
        assert!(escrow.is_settled());
    }

    #[test]
    fn asks_have_a_bound_and_each_campaign_its_turn() {
        let mut escrow = Escrow::default();
        let all = limits::ESCROW_LINES as u32 + 40;
        (1..=all).for_each(|n| escrow.want(CampaignId(n), 1));
        let first = escrow.poll(at(0), none).unwrap();
        assert_eq!(first.lines.len(), limits::ESCROW_LINES);
        escrow.answered(1, &[]);
        let second = escrow.poll(at(30), none).unwrap();
        assert_eq!(
            second.lines[0].campaign,
            CampaignId(limits::ESCROW_LINES as u32 + 1)
        );
        assert_eq!(second.lines.len(), limits::ESCROW_LINES);
    }
}
