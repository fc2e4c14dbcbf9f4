//! What persons think of the caller IDs of each city.

use domain::{CallerIdPool, CallerIdStandings, MemberId, PhoneNumber};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which caller IDs to tell.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StandingsQuery {
    /// Only of this node.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub node: Option<MemberId>,
}

/// What is known of a caller ID's acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerIdState {
    /// Nothing speaks against it.
    Good,
    /// It is answered so much less than expected that it seems to be labelled as spam, and is shown all the
    /// same: too few others are left.
    Doubted,
    /// It seems labelled and rests: four calls a day show it, to see whether that is over.
    Resting,
}

/// One caller ID at the node whose trunk it leaves by. It is the operator's own number and is shown whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallerIdReputation {
    /// E.164.
    pub number: String,
    /// The node that shows it.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// What is thought of it.
    pub state: CallerIdState,
    /// Days that it has rested.
    pub rested_days: Option<u16>,
    /// Calls of the day so far, by the clock of its place.
    pub calls_today: u32,
    /// Answers of late; half of what was seen is forgotten after four days.
    pub answered: f64,
    /// Answers that were expected of the same calls by all but the number.
    pub expected: f64,
    /// Answers beside those expected: 1.1 is a tenth more. Near 1 while little is known.
    pub quality: f64,
}

/// The caller IDs that one node has of one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallerIdPlace {
    /// The node.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// ISO 3166 code.
    pub country: String,
    /// The city, or where none is known the state or province.
    pub place: Option<String>,
    /// The same in Chinese, where it has such a name.
    pub place_zh: Option<String>,
    /// The area code, where no city is known.
    pub area: Option<u32>,
    /// How many numbers there are.
    pub numbers: u32,
    /// Calls of the day so far.
    pub calls_today: u32,
    /// Numbers that seem labelled, resting or not.
    pub doubted: u32,
    /// Numbers that rest.
    pub resting: u32,
    /// Calls of the last day that ended beside what all the numbers bear (75 a day each, or their own cap
    /// where that is lower), in percent.
    pub load_percent: f64,
    /// Whether more numbers are wanted: beyond 60 percent they wear out.
    pub more_wanted: bool,
}

/// What persons think of the caller IDs, as the nodes have learned it from their calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallerIdReputations {
    /// By node and place.
    pub places: Vec<CallerIdPlace>,
    /// Numbers that rest or are doubted first, then those with the lowest quality; at most 1,000 of each
    /// node.
    pub numbers: Vec<CallerIdReputation>,
    /// Numbers beyond that.
    pub more_numbers: u32,
    /// Places beyond 1,000 of a node.
    pub more_places: u32,
    /// Nodes that answered.
    #[schema(value_type = Vec<String>)]
    pub told: Vec<MemberId>,
    /// Nodes that did not: of their caller IDs nothing is said.
    #[schema(value_type = Vec<String>)]
    pub silent: Vec<MemberId>,
}

/// Thousandths.
fn of_one(permille: u32) -> f64 {
    f64::from(permille) / 1000.0
}

fn place(node: MemberId, pool: CallerIdPool) -> CallerIdPlace {
    CallerIdPlace {
        node,
        country: pool.country,
        place: pool.place,
        place_zh: pool.place_zh,
        area: pool.area,
        numbers: pool.numbers,
        calls_today: pool.lines_today,
        doubted: pool.doubted,
        resting: pool.resting,
        load_percent: f64::from(pool.load_permille) / 10.0,
        more_wanted: pool.buy,
    }
}

impl CallerIdReputations {
    /// What the nodes said, in any order; none of a node that did not answer.
    pub fn new(said: Vec<(MemberId, Option<CallerIdStandings>)>) -> Self {
        let mut all = Self {
            places: Vec::new(),
            numbers: Vec::new(),
            more_numbers: 0,
            more_places: 0,
            told: Vec::new(),
            silent: Vec::new(),
        };
        for (node, standings) in said {
            let Some(standings) = standings else {
                all.silent.push(node);
                continue;
            };
            all.told.push(node);
            all.more_numbers += standings.more_numbers;
            all.more_places += standings.more_pools;
            let pools = standings.pools.into_iter();
            all.places.extend(pools.map(|pool| place(node, pool)));
            let numbers = standings.numbers.into_iter();
            all.numbers
                .extend(numbers.map(|standing| CallerIdReputation {
                    number: PhoneNumber::reveal(standing.number),
                    node,
                    state: match (standing.rests_days, standing.doubted) {
                        (Some(_), _) => CallerIdState::Resting,
                        (None, true) => CallerIdState::Doubted,
                        (None, false) => CallerIdState::Good,
                    },
                    rested_days: standing.rests_days,
                    calls_today: standing.lines_today,
                    answered: of_one(standing.answered_permille),
                    expected: of_one(standing.expected_permille),
                    quality: of_one(u32::from(standing.quality_permille)),
                }));
        }
        let order = |state| match state {
            CallerIdState::Resting => 0,
            CallerIdState::Doubted => 1,
            CallerIdState::Good => 2,
        };
        (all.numbers).sort_by(|a, b| {
            (order(a.state).cmp(&order(b.state))).then(a.quality.total_cmp(&b.quality))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::CallerIdStanding;

    #[test]
    fn the_worst_numbers_of_all_nodes_come_first_and_silence_is_told() {
        let standing = |n: u64, quality, doubted, rests_days| CallerIdStanding {
            number: PhoneNumber::from_digits(12_125_550_100 + n).expect("a number"),
            lines_today: 4,
            answered_permille: 2_500,
            expected_permille: 5_000,
            quality_permille: quality,
            doubted,
            rests_days,
        };
        let of = |numbers| CallerIdStandings {
            pools: vec![CallerIdPool {
                country: "US".to_owned(),
                load_permille: 666,
                buy: true,
                ..CallerIdPool::default()
            }],
            numbers,
            more_numbers: 3,
            more_pools: 0,
        };
        let one = of(vec![
            standing(1, 400, true, None),
            standing(2, 900, false, None),
        ]);
        let other = of(vec![
            standing(3, 700, true, Some(2)),
            standing(4, 800, false, None),
        ]);
        let all = CallerIdReputations::new(vec![
            (MemberId(2), Some(one)),
            (MemberId(3), None),
            (MemberId(4), Some(other)),
        ]);
        let shown: Vec<_> = all
            .numbers
            .iter()
            .map(|n| (n.number.as_str(), n.state, n.node.0))
            .collect();
        assert_eq!(
            shown,
            [
                ("+12125550103", CallerIdState::Resting, 4),
                ("+12125550101", CallerIdState::Doubted, 2),
                ("+12125550104", CallerIdState::Good, 4),
                ("+12125550102", CallerIdState::Good, 2),
            ]
        );
        assert_eq!((all.more_numbers, all.places.len()), (6, 2));
        assert_eq!(
            (all.told, all.silent),
            (vec![MemberId(2), MemberId(4)], vec![MemberId(3)])
        );
        assert_eq!(
            (all.numbers[0].answered, all.numbers[0].quality),
            (2.5, 0.7)
        );
        assert!(all.places[0].more_wanted && all.places[0].load_percent == 66.6);
    }
}
