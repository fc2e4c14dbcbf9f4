//! In which order leads are given out, and what was learned of who answers.

use domain::{CampaignId, ListId, MemberId};
use scoring::{Answers, Count, HOURS};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which of a campaign's due leads of one priority go out first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeadOrder {
    /// Those that have been due for longest.
    #[default]
    Oldest,
    /// Of those that have been due for longest (eight for each that is asked for), the ones with the best
    /// chance of an answer now, as each city has learned it. One lead in twenty goes out in no order, to
    /// tell what that wins.
    BestChance,
}

impl From<domain::LeadOrder> for LeadOrder {
    fn from(order: domain::LeadOrder) -> Self {
        match order {
            domain::LeadOrder::Oldest => Self::Oldest,
            domain::LeadOrder::BestChance => Self::BestChance,
        }
    }
}

impl From<LeadOrder> for domain::LeadOrder {
    fn from(order: LeadOrder) -> Self {
        match order {
            LeadOrder::Oldest => Self::Oldest,
            LeadOrder::BestChance => Self::BestChance,
        }
    }
}

/// Lines, and the share of them that a person answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnswerRate {
    /// Lines that were begun.
    pub lines: u64,
    /// Those that a person answered.
    pub answered: u64,
    /// The share, in percent; none without a line.
    pub percent: Option<f64>,
    /// Where the share lies with 95 % certainty, in percent: from.
    pub from: f64,
    /// To.
    pub to: f64,
}

impl From<Count> for AnswerRate {
    fn from(count: Count) -> Self {
        let percent = |share: f64| (share * 1000.0).round() / 10.0;
        let (from, to) = count.interval();
        Self {
            lines: count.lines,
            answered: count.answered,
            percent: count.share().map(percent),
            from: percent(from),
            to: percent(to),
        }
    }
}

/// Answers at one hour of the called persons' day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HourLearned {
    /// 0 to 23.
    pub hour: u8,
    /// What was seen.
    pub rate: AnswerRate,
    /// What the hour is believed to make of the chance of an answer: 1.2 is a fifth more.
    pub factor: f64,
}

/// Answers at one place of a row: an attempt, from 1; a weekday, from 1 for Monday.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlaceLearned {
    /// Which.
    pub place: u8,
    /// What was seen.
    pub rate: AnswerRate,
}

/// Answers of one list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListLearned {
    /// The list; none for all that are not told apart.
    #[schema(value_type = Option<String>)]
    pub list: Option<ListId>,
    /// Its name.
    pub name: String,
    /// What was seen at all hours.
    pub rate: AnswerRate,
    /// By hour, those with a line.
    pub hours: Vec<HourLearned>,
}

/// Chances that were promised before a line was begun, beside what happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Promise {
    /// Lines whose chance lay within one tenth; older ones count less.
    pub lines: u64,
    /// The mean of their chances, in percent.
    pub expected_percent: f64,
    /// The share that was answered, in percent.
    pub answered_percent: f64,
}

/// What all cities that answered have learned of who answers a campaign's calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CampaignLearned {
    /// The campaign.
    #[schema(value_type = String)]
    pub campaign: CampaignId,
    /// In which order its leads are given out.
    pub lead_order: LeadOrder,
    /// All lines.
    pub all: AnswerRate,
    /// By hour of the called persons' day, those with a line.
    pub hours: Vec<HourLearned>,
    /// By weekday there, those with a line.
    pub weekdays: Vec<PlaceLearned>,
    /// By attempt, those with a line; the last counts all beyond it.
    pub attempts: Vec<PlaceLearned>,
    /// By list, those with a line.
    pub lists: Vec<ListLearned>,
    /// Leads that were given out by their chance.
    pub by_chance: AnswerRate,
    /// Leads that were given out in no order meanwhile: the difference is what the order wins.
    pub held_out: AnswerRate,
    /// What was promised beside what happened, by tenths.
    pub calibration: Vec<Promise>,
    /// How far promises are off on the mean, in percentage points.
    pub calibration_error: f64,
    /// What the chances are learned from, and nothing else.
    pub features: Vec<String>,
    /// Cities whose node told what it learned.
    #[schema(value_type = Vec<String>)]
    pub told: Vec<MemberId>,
    /// Cities whose node did not answer: theirs is missing here.
    #[schema(value_type = Vec<String>)]
    pub silent: Vec<MemberId>,
}

/// What chances are learned from.
const FEATURES: [&str; 5] = ["region", "list", "attempt", "weekday", "hour"];

impl CampaignLearned {
    /// What was learned; `name` knows lists by name.
    pub fn new(
        campaign: CampaignId,
        lead_order: LeadOrder,
        answers: &Answers,
        name: impl Fn(ListId) -> String,
    ) -> Self {
        let rounded = |figure: f64, unit: f64| (figure * unit).round() / unit;
        let hours = |list: Option<u32>, counts: [Count; HOURS], mean: bool| {
            let seen = counts.into_iter().enumerate().filter(|(_, c)| c.lines > 0);
            seen.map(|(hour, count)| {
                let factor = match mean {
                    false => answers.factor(list, hour),
                    true => mean_factor(answers, hour),
                };
                HourLearned {
                    hour: hour as u8,
                    rate: count.into(),
                    factor: rounded(factor.into(), 100.0),
                }
            })
            .collect::<Vec<_>>()
        };
        let places = |counts: &[Count]| {
            let seen = counts.iter().enumerate().filter(|(_, c)| c.lines > 0);
            seen.map(|(at, count)| PlaceLearned {
                place: at as u8 + 1,
                rate: (*count).into(),
            })
            .collect::<Vec<_>>()
        };
        let sum = |counts: &[Count]| {
            let mut all = Count::default();
            counts.iter().for_each(|count| all.add(*count));
            all
        };
        let told_apart = answers.lists().iter().map(|list| Some(*list));
        let lists = told_apart.chain([None]).filter_map(|list| {
            let counts = answers.of_list(list);
            let all = sum(&counts);
            (all.lines > 0).then(|| ListLearned {
                list: list.map(ListId),
                name: list.map_or_else(String::new, |list| name(ListId(list))),
                rate: all.into(),
                hours: hours(list, counts, false),
            })
        });
        let steps = answers.reliability().steps();
        let (by_chance, held_out) = answers.compared();
        Self {
            campaign,
            lead_order,
            all: answers.all().into(),
            hours: hours(None, answers.by_hour(), true),
            weekdays: places(&answers.by_weekday()),
            attempts: places(&answers.by_attempt()),
            lists: lists.collect(),
            by_chance: by_chance.into(),
            held_out: held_out.into(),
            calibration: steps
                .map(|(lines, expected, answered)| Promise {
                    lines,
                    expected_percent: rounded(expected * 100.0, 10.0),
                    answered_percent: rounded(answered * 100.0, 10.0),
                })
                .collect(),
            calibration_error: rounded(answers.reliability().error() * 100.0, 100.0),
            features: FEATURES.map(str::to_owned).to_vec(),
            told: Vec::new(),
            silent: Vec::new(),
        }
    }
}

/// What an hour makes of the chance on the mean over the lines of all lists at it.
fn mean_factor(answers: &Answers, hour: usize) -> f32 {
    let told_apart = answers.lists().iter().map(|list| Some(*list));
    let each = told_apart.chain([None]).map(|list| {
        let lines = answers.of_list(list)[hour].lines as f32;
        (lines * answers.factor(list, hour), lines)
    });
    let (factors, lines) = each.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    if lines > 0.0 { factors / lines } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scoring::{GivenOut, Line};

    #[test]
    fn what_was_learned_is_told_by_list_and_hour_with_its_certainty() {
        let mut answers = Answers::new(0.2);
        for n in 0..2_000u64 {
            let line = Line {
                region: 1,
                list: 3 + (n % 2) as u32,
                attempt: 1 + (n / 2 % 2) as u16,
                hour: if n / 4 % 2 == 0 { 10 } else { 18 },
                weekday: 4,
            };
            let answered = n / 8 % 10 < if line.hour == 18 { 3 } else { 1 };
            answers.note(&line, GivenOut::HeldOut, 0, answered);
        }
        let name = |list: ListId| format!("list {}", list.0);
        let learned = CampaignLearned::new(CampaignId(1), LeadOrder::BestChance, &answers, name);
        assert_eq!(
            (learned.all.lines, learned.all.percent),
            (2_000, Some(20.0))
        );
        assert!(learned.all.from > 18.0 && learned.all.to < 22.0);
        let hours: Vec<_> = learned
            .hours
            .iter()
            .map(|h| (h.hour, h.rate.percent))
            .collect();
        assert_eq!(hours, [(10, Some(10.0)), (18, Some(30.0))]);
        assert!(
            learned.hours[1].factor > learned.hours[0].factor + 0.3,
            "{learned:?}"
        );
        let days: Vec<u8> = learned.weekdays.iter().map(|day| day.place).collect();
        assert_eq!((days, learned.attempts.len()), (vec![5], 2));
        let lists: Vec<_> = learned
            .lists
            .iter()
            .map(|l| (l.name.as_str(), l.rate.lines))
            .collect();
        assert_eq!(lists, [("list 3", 1_000), ("list 4", 1_000)]);
        assert_eq!(
            (learned.held_out.lines, learned.by_chance.percent),
            (2_000, None)
        );
        let lines: u64 = learned.calibration.iter().map(|step| step.lines).sum();
        assert_eq!(lines, 2_000);
        assert!(
            (0.1..15.0).contains(&learned.calibration_error),
            "{learned:?}"
        );
    }
}
