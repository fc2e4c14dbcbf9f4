//! What persons think of the caller IDs of a city, as its node tells coordinators who ask.

use crate::PhoneNumber;
use serde::{Deserialize, Serialize};

/// A node's caller IDs, by place and by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerIdStandings {
    /// By place, at most [`STANDINGS_TOLD`](crate::limits::STANDINGS_TOLD).
    pub pools: Vec<CallerIdPool>,
    /// Places beyond that.
    pub more_pools: u32,
    /// Those that rest or seem labelled first, then those that are answered least beside what is
    /// expected, at most [`STANDINGS_TOLD`](crate::limits::STANDINGS_TOLD).
    pub numbers: Vec<CallerIdStanding>,
    /// Numbers beyond that.
    pub more_numbers: u32,
}

/// The numbers that a node has of one place. Its day is that of the place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerIdPool {
    /// ISO 3166 code.
    pub country: String,
    /// The city, or where none is known the state or province, in English.
    pub place: Option<String>,
    /// The same in Chinese, where it has such a name here.
    pub place_zh: Option<String>,
    /// The area code, where no city is known.
    pub area: Option<u32>,
    /// How many there are.
    pub numbers: u32,
    /// Lines of the day so far that showed one of them.
    pub lines_today: u32,
    /// Those that seem labelled, resting or not.
    pub doubted: u32,
    /// Those that rest by themselves.
    pub resting: u32,
    /// Lines of the last day that ended beside what all numbers bear, in thousandths.
    pub load_permille: u32,
    /// That was so much that more numbers are wanted.
    pub buy: bool,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerIdStanding {
    /// Which.
    pub number: PhoneNumber,
    /// Lines of the day so far that showed it.
    pub lines_today: u32,
    /// Answers of late, in thousandths: half is forgotten after four days.
    pub answered_permille: u32,
    /// Answers that were expected of the same lines, in thousandths.
    pub expected_permille: u32,
    /// The one beside the other, in thousandths, near 1000 while little is known.
    pub quality_permille: u16,
    /// It seems labelled.
    pub doubted: bool,
    /// Days of its rest so far; none while it does not rest by itself.
    pub rests_days: Option<u16>,
}
