//! What this node learns of who answers, campaign by campaign, and what it says of it to the regions that
//! give leads out.

use crate::{Engine, LearnedOf, Output, TimerName};
use call::AttemptEnd;
use domain::{
    CampaignId, Chances, Disposition, LeadOrder, ListId, Now, RegionId, SegmentChances, WallTime,
    held_out, limits,
};
use scoring::{Answers, Count, GivenOut, HOURS, Line, Order};
use std::{collections::BTreeMap, time::Duration};

/// What was learned is told to be kept so often: a crash loses no more of it.
const KEPT_EVERY: Duration = Duration::from_secs(60);

/// The chance of an answer before anything is known, and after how many lines of other campaigns half of
/// it is theirs.
const USUAL: (f64, f64) = (0.2, 200.0);

/// Of every campaign, at most [`limits::LEARNED_CAMPAIGNS`].
#[derive(Debug, Default)]
pub(crate) struct Scores {
    campaigns: BTreeMap<CampaignId, Learned>,
}

#[derive(Debug)]
struct Learned {
    answers: Answers,
    /// When a line was learned of last.
    last: WallTime,
    /// Not told since then.
    news: bool,
}

impl Scores {
    /// What was learned of a campaign.
    pub(crate) fn of(&self, campaign: CampaignId) -> Option<&Answers> {
        self.campaigns.get(&campaign).map(|known| &known.answers)
    }

    /// What an earlier run learned; what this one learned already is left.
    fn restore(&mut self, campaign: CampaignId, answers: Answers, last: WallTime) {
        if self.campaigns.len() < limits::LEARNED_CAMPAIGNS {
            self.campaigns.entry(campaign).or_insert(Learned {
                answers,
                last,
                news: false,
            });
        }
    }

    /// A campaign's, which begins where those of the node's other campaigns are; and the one that is
    /// forgotten for it.
    fn entry(&mut self, campaign: CampaignId) -> (&mut Learned, Option<CampaignId>) {
        let full = self.campaigns.len() >= limits::LEARNED_CAMPAIGNS;
        let gone = (full && !self.campaigns.contains_key(&campaign))
            .then(|| self.campaigns.iter().min_by_key(|(_, known)| known.last))
            .flatten()
            .map(|(id, _)| *id);
        if let Some(gone) = gone {
            self.campaigns.remove(&gone);
        }
        let beginning = self.usual();
        let known = self.campaigns.entry(campaign).or_insert_with(|| Learned {
            answers: Answers::new(beginning),
            last: WallTime::EPOCH,
            news: false,
        });
        (known, gone)
    }

    /// The share of all campaigns' lines that was answered, shrunk to [`USUAL`].
    fn usual(&self) -> f32 {
        let mut all = Count::default();
        self.campaigns
            .values()
            .for_each(|known| all.add(known.answers.all()));
        let (chance, lines) = USUAL;
        ((all.answered as f64 + chance * lines) / (all.lines as f64 + lines)) as f32
    }
}

impl Engine {
    /// An attempt ended: whether a person answered is learned.
    pub(crate) fn learn_answer(&mut self, now: Now, end: &AttemptEnd) {
        let (Some(dialed), Some(answered)) = (&end.dialed, answered(end.disposition)) else {
            return;
        };
        let lease = &end.lease;
        let zone = lease.zones.first();
        let Some(local) = zone.and_then(|zone| compliance::local_time(*zone, dialed.invited_at))
        else {
            return;
        };
        let line = Line {
            region: lease.lead.region().0,
            list: lease.list.0,
            attempt: lease.attempt_count,
            hour: local.hour,
            weekday: local.weekday,
        };
        let held_out = held_out(lease.lead, limits::HELD_OUT_PERMILLE);
        let given = match self.facts.lead_order(lease.campaign) {
            LeadOrder::Oldest => GivenOut::InTurn,
            LeadOrder::BestChance if held_out => GivenOut::HeldOut,
            LeadOrder::BestChance => GivenOut::ByChance,
        };
        let (known, gone) = self.scores.entry(lease.campaign);
        let lines = known.answers.all().lines;
        let chance = known
            .answers
            .note(&line, given, now.wall.as_secs() / 86_400, answered);
        (known.last, known.news) = (now.wall, true);
        if let Some(campaign) = gone {
            let of = LearnedOf::Campaign(campaign);
            self.output(Output::Learned { of, bytes: None });
        }
        self.learn_standing(now, end, (chance, lines), answered);
        self.keep_soon(now);
    }

    /// What is learned is told within a minute.
    pub(crate) fn keep_soon(&mut self, now: Now) {
        if self.timers.deadline(&TimerName::Learned).is_none() {
            (self.timers).arm(TimerName::Learned, now.monotonic + KEPT_EVERY);
        }
    }

    /// Tells what was learned since it was told last, to be kept.
    pub(crate) fn tell_learned(&mut self) {
        self.tell_standings();
        let news = self
            .scores
            .campaigns
            .iter_mut()
            .filter(|(_, known)| known.news);
        let told: Vec<_> = news
            .map(|(id, known)| {
                known.news = false;
                (*id, known.answers.save())
            })
            .collect();
        for (campaign, bytes) in told {
            let (of, bytes) = (LearnedOf::Campaign(campaign), Some(bytes));
            self.output(Output::Learned { of, bytes });
        }
    }

    /// What earlier runs learned, those learned of last first. What cannot be read is learned anew.
    pub(crate) fn learned_before(&mut self, now: Now, learned: &[(LearnedOf, Vec<u8>)]) {
        for (place, (of, bytes)) in (0..).zip(learned) {
            match of {
                LearnedOf::Campaign(campaign) => {
                    if let Ok(answers) = Answers::read(bytes) {
                        let last = now.wall - Duration::from_secs(place);
                        self.scores.restore(*campaign, answers, last);
                    }
                }
                LearnedOf::CallerId(number) => self.standing_before(*number, bytes),
            }
        }
        self.standings_restored();
    }

    /// What this node learned of a campaign, as [`scoring::Answers::save`] writes it; none where it
    /// dialed none of its leads.
    pub fn learned(&self, campaign: CampaignId) -> Option<Vec<u8>> {
        self.scores.of(campaign).map(Answers::save)
    }

    /// What a region must know to give the best of a campaign's leads out; none where they go by turn.
    pub(crate) fn chances(&self, campaign: CampaignId, region: RegionId) -> Option<Box<Chances>> {
        match self.facts.lead_order(campaign) {
            LeadOrder::Oldest => None,
            LeadOrder::BestChance => {
                let known = self.scores.of(campaign);
                let chances = known.map(|answers| chances(answers, region));
                Some(Box::new(chances.unwrap_or_default()))
            }
        }
    }
}

/// Whether a person answered; none where the end says nothing of that.
fn answered(disposition: Disposition) -> Option<bool> {
    match disposition {
        Disposition::NoAnswer
        | Disposition::Busy
        | Disposition::Unallocated
        | Disposition::PoweredOff
        | Disposition::OutOfService
        | Disposition::Rejected
        | Disposition::Machine
        | Disposition::MessageLeft
        | Disposition::Fax => Some(false),
        Disposition::Abandoned | Disposition::Agent(_) => Some(true),
        Disposition::CarrierFailure
        | Disposition::TrunkFailure
        | Disposition::Cancelled
        | Disposition::Unknown
        | Disposition::NotTaken => None,
    }
}

/// Chances in whole numbers, for a region's leads, and what each hour makes of them beside the others.
fn chances(answers: &Answers, region: RegionId) -> Chances {
    let orders: Vec<Order> = (0..HOURS).map(|hour| answers.order(hour, None)).collect();
    let segment = |list: Option<u32>| {
        let at = answers.place(list);
        let chance = |attempt: usize| {
            let chance = answers.chance(region.0, list.unwrap_or(u32::MAX), attempt as u16);
            (chance * 10_000.0).round() as u16
        };
        // Below nothing all are alike: such an hour is a bad one for whoever waits.
        let worth = |order: &Order| (order.worth(at) * 1_000.0).round() as u16;
        SegmentChances {
            attempts: (1..=limits::CHANCE_ATTEMPTS).map(chance).collect(),
            hours: orders.iter().map(worth).collect(),
        }
    };
    let named = answers.lists().iter();
    let mut lists: Vec<_> = named
        .map(|list| (ListId(*list), segment(Some(*list))))
        .collect();
    lists.sort_unstable_by_key(|(list, _)| *list);
    Chances {
        lists,
        others: segment(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(list: u32, hour: u8) -> Line {
        Line {
            region: 1,
            list,
            attempt: 1,
            hour,
            weekday: 2,
        }
    }

    #[test]
    fn chances_are_told_within_their_bounds_and_in_order() {
        let mut answers = Answers::new(0.2);
        for n in 0..20_000u32 {
            let list = 900 - n % 100;
            let hour = if n % 2 == 0 { 10 } else { 18 };
            answers.note(&line(list, hour), GivenOut::InTurn, 0, n % 6 == 0);
        }
        let chances = chances(&answers, RegionId(1));
        assert_eq!(chances.check(), Ok(()));
        assert_eq!(chances.lists.len(), limits::CHANCE_LISTS - 1);
        assert!(chances.lists.is_sorted_by_key(|(list, _)| *list));
        // What only even numbers bring is answered at ten.
        let at = |hour| chances.place(ListId(900), 0, Some(hour));
        assert!(at(10) > at(18));
    }

    #[test]
    fn campaigns_beyond_the_bound_push_out_the_one_learned_of_first() {
        let mut scores = Scores::default();
        for n in 1..=limits::LEARNED_CAMPAIGNS as u32 {
            let (known, gone) = scores.entry(CampaignId(n));
            assert_eq!(gone, None);
            known.last = WallTime::from_millis(i64::from(n));
        }
        assert_eq!(scores.entry(CampaignId(7)).1, None, "it is there");
        let (_, gone) = scores.entry(CampaignId(9_000));
        assert_eq!(gone, Some(CampaignId(1)));
        assert_eq!(scores.campaigns.len(), limits::LEARNED_CAMPAIGNS);
    }

    #[test]
    fn a_new_campaign_begins_where_the_others_are() {
        let mut scores = Scores::default();
        assert!((scores.usual() - 0.2).abs() < 1e-6);
        let (known, _) = scores.entry(CampaignId(1));
        for n in 0..1_800 {
            known
                .answers
                .note(&line(1, 10), GivenOut::InTurn, 0, n % 2 == 0);
        }
        assert!((scores.usual() - 0.47).abs() < 0.01);
        let (other, _) = scores.entry(CampaignId(2));
        assert!((other.answers.chance(1, 5, 1) - 0.47).abs() < 0.01);
    }
}
