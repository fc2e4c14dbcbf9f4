//! In which order a campaign's leads are given out, and what a node thinks of their chances.

use crate::{LeadId, ListId, limits};
use serde::{Deserialize, Serialize};

/// Which of a campaign's due leads of one priority go out first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum LeadOrder {
    /// Those that have been due for longest.
    #[default]
    Oldest,
    /// Of those that have been due for longest, the ones with the best chance of an answer now, as the
    /// node that asks has learned it.
    BestChance,
}

/// Hours of a day, for [`SegmentChances::hours`].
const HOURS: usize = 24;

/// Chances of an answer as a node has learned them, in whole numbers: each replica must put leads in
/// the same order. Without any, all leads are equal.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chances {
    /// Of the leads of a list; ascending by list, at most [`limits::CHANCE_LISTS`].
    pub lists: Vec<(ListId, SegmentChances)>,
    /// Of the leads of all other lists.
    pub others: SegmentChances,
}

/// Chances of the leads of one list.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SegmentChances {
    /// At a usual hour, in ten-thousandths: of the first attempt, the second and so on, those beyond
    /// the last as the last. At most [`limits::CHANCE_ATTEMPTS`]; equal ones where there is none.
    pub attempts: Vec<u16>,
    /// What an attempt at an hour of the person's day is worth beside that, in thousandths, from midnight
    /// on: what the hour makes of the chance, less what the attempt costs the lead's better hours. Those
    /// that are missing are worth 1000. At most 24.
    pub hours: Vec<u16>,
}

/// Chances that are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} {what} are over {limit}")]
pub struct ChancesError {
    /// Of what there are too many.
    pub what: &'static str,
    /// How many.
    pub got: usize,
    /// How many there may be.
    pub limit: usize,
}

impl Chances {
    /// Whether they are within their bounds.
    ///
    /// # Errors
    /// The first bound that they pass.
    pub fn check(&self) -> Result<(), ChancesError> {
        let within = |what, got, limit| match got <= limit {
            true => Ok(()),
            false => Err(ChancesError { what, got, limit }),
        };
        within("lists", self.lists.len(), limits::CHANCE_LISTS)?;
        let named = self.lists.iter().map(|(_, chances)| chances);
        for segment in named.chain([&self.others]) {
            within("attempts", segment.attempts.len(), limits::CHANCE_ATTEMPTS)?;
            within("hours", segment.hours.len(), HOURS)?;
        }
        Ok(())
    }

    /// A lead's place, higher for who goes first: what an attempt at that hour of the person's day is
    /// worth, in ten-millionths of an answer. `before` counts the attempts so far.
    pub fn place(&self, list: ListId, before: u16, hour: Option<u8>) -> i64 {
        let known = (self.lists).binary_search_by_key(&list, |(list, _)| *list);
        let segment = known.map_or(&self.others, |at| &self.lists[at].1);
        let last = segment.attempts.len().saturating_sub(1);
        let usual = segment.attempts.get(usize::from(before).min(last));
        let usual = i64::from(usual.copied().unwrap_or_default());
        let factor = hour.and_then(|hour| segment.hours.get(usize::from(hour)));
        usual * i64::from(factor.copied().unwrap_or(1000))
    }
}

/// Whether a lead is of the share, in thousandths, that is given out in no order, so that what an
/// order wins is known. The same for ever and at every member, whatever was learned.
pub fn held_out(lead: LeadId, permille: u32) -> bool {
    mixed(lead.0) % 1000 < u64::from(permille)
}

/// Whether it is the turn of a lead that is held out, at a look that gives `given` of `looked` leads
/// out: as often as it would be that of any other if there were no order. `look` differs each time.
pub fn held_out_turn(lead: LeadId, look: u64, given: usize, looked: usize) -> bool {
    let draw = mixed(lead.0 ^ mixed(look)) % looked.max(1) as u64;
    draw < given as u64
}

/// SplitMix64's last steps: numbers that follow each other come out no nearer than others.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chances() -> Chances {
        let segment = |attempts: &[u16], hours: Vec<u16>| SegmentChances {
            attempts: attempts.to_vec(),
            hours,
        };
        let mut evening = vec![800; 24];
        evening[18] = 1500;
        Chances {
            lists: vec![(ListId(3), segment(&[2000, 1000], evening))],
            others: segment(&[1500], Vec::new()),
        }
    }

    #[test]
    fn places_are_chances_at_the_hour() {
        let (list, other) = (ListId(3), ListId(4));
        let chances = chances();
        let at = |list, before, hour| chances.place(list, before, hour);
        assert_eq!(at(list, 0, Some(18)), 3_000_000);
        assert_eq!(at(list, 0, Some(10)), 1_600_000);
        assert_eq!(
            at(list, 0, None),
            2_000_000,
            "an unknown hour is a usual one"
        );
        assert_eq!(at(list, 1, Some(18)), 1_500_000);
        assert_eq!(at(list, 900, Some(18)), 1_500_000);
        assert_eq!(at(other, 0, Some(18)), 1_500_000);
        assert_eq!(Chances::default().place(list, 5, Some(9)), 0);
    }

    #[test]
    fn chances_have_bounds() {
        let mut most = Chances {
            lists: (0..limits::CHANCE_LISTS as u32)
                .map(|list| (ListId(list), chances().others))
                .collect(),
            ..Chances::default()
        };
        most.others.attempts = vec![1; limits::CHANCE_ATTEMPTS];
        most.others.hours = vec![1; 24];
        assert_eq!(most.check(), Ok(()));
        type Spoil = fn(&mut Chances);
        let cases: [(&str, Spoil); 3] = [
            ("65 lists are over 64", |c| {
                c.lists.push((ListId(99), SegmentChances::default()));
            }),
            ("11 attempts are over 10", |c| c.others.attempts.push(1)),
            ("25 hours are over 24", |c| {
                c.lists[7].1.hours = vec![1000; 25];
            }),
        ];
        for (want, spoil) in cases {
            let mut chances = most.clone();
            spoil(&mut chances);
            assert_eq!(chances.check().unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn the_share_held_out_is_the_share_asked_for_and_has_its_turns() {
        let leads = || (0..100_000).map(LeadId);
        let held = leads().filter(|lead| held_out(*lead, 50)).count();
        assert!((4_700..5_300).contains(&held), "{held}");
        assert!(!leads().take(1_000).any(|lead| held_out(lead, 0)));
        assert!(leads().take(1_000).all(|lead| held_out(lead, 1000)));
        let turns = (0..10_000).filter(|look| held_out_turn(LeadId(7), *look, 20, 160));
        let turns = turns.count();
        assert!((1_100..1_400).contains(&turns), "{turns}");
        assert!(held_out_turn(LeadId(7), 1, 20, 20));
        assert!(!held_out_turn(LeadId(7), 1, 0, 0));
    }
}
