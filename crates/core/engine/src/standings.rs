//! What persons think of this node's caller IDs: learned from its calls, reviewed when the day of a number's
//! place ends, and written into what the choice of a number looks at.

use crate::{Engine, LearnedOf, Observed, Output};
use call::AttemptEnd;
use compliance::local_day;
use domain::{
    CallerIdPool, CallerIdStanding, CallerIdStandings, Now, PhoneNumber, WallTime, limits,
};
use numbering::{CallerIdFacts, Locality, STANDING_BYTES, Standing, locality, review};
use std::{collections::BTreeMap, time::Duration};

/// Version of a standing's bytes.
const VERSION: u8 = 1;
/// Bytes of a standing with its version and its day.
const KEPT_BYTES: usize = 1 + 8 + STANDING_BYTES;

/// Lines a day that a number takes without being labelled soon, where its own cap is not lower.
const QUOTA: u32 = 75;

/// Lines of a campaign that its chances are learned from before they are held against numbers.
const SURE_AFTER: u64 = 200;

/// Ends of days are looked for so often: zones differ from each other by quarters of an hour.
const LOOK_EVERY: Duration = Duration::from_secs(15 * 60);

/// SIP statuses of calls that were refused as unwanted: RFC 8197, RFC 8688.
const UNWANTED: [u16; 2] = [607, 608];

/// The same for numbers that are chosen from for the same persons.
type Place = (&'static str, Option<&'static str>, Option<u32>);

/// What is known of the numbers that were shown, and of the places that they are of.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    numbers: BTreeMap<PhoneNumber, Known>,
    pools: BTreeMap<Place, Pool>,
    /// When ends of days are looked for next.
    look_at: Option<WallTime>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    standing: Standing,
    /// The day at its place, of the last line or review.
    day: i64,
    /// Not told since then.
    news: bool,
}

/// Numbers of one place, as they were at the end of their last day.
#[derive(Clone, Copy, Debug, Default)]
struct Pool {
    day: i64,
    load: u32,
    buy: bool,
}

/// The numbers of one city are one stock; where no city is known those of an area, or of a country.
fn place(locality: &Locality) -> Place {
    match (locality.city, locality.area) {
        (Some(city), _) => (locality.country, Some(city), None),
        (None, area) => (locality.country, locality.province, area),
    }
}

/// The day there; that of Greenwich for numbers of no place.
fn day(locality: &Locality, at: WallTime) -> i64 {
    let zone = locality.zones.first();
    zone.and_then(|zone| local_day(*zone, at))
        .unwrap_or_else(|| at.as_secs().div_euclid(86_400))
}

impl Known {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(KEPT_BYTES);
        bytes.push(VERSION);
        bytes.extend(self.day.to_le_bytes());
        bytes.extend(self.standing.save());
        bytes
    }

    /// None for bytes of another release, or broken ones: it is learned again.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (day, rest) = rest.split_first_chunk()?;
        Some(Self {
            standing: Standing::read(rest.try_into().ok()?)?,
            day: i64::from_le_bytes(*day),
            news: false,
        })
        .filter(|_| *version == VERSION)
    }
}

impl Standings {
    /// Writes into the facts what the choice looks at.
    pub(crate) fn tell(&self, facts: &mut CallerIdFacts) {
        let standing = self.numbers.get(&facts.number).map(|known| known.standing);
        let standing = standing.unwrap_or_default();
        (facts.worth, facts.tired) = (standing.worth(), standing.resting());
    }

    /// Ends the days that are over of the places of `candidates`; gives whether one was.
    fn end_days(&mut self, candidates: &[CallerIdFacts], now: WallTime) -> bool {
        let mut stock: BTreeMap<Place, Vec<&CallerIdFacts>> = BTreeMap::new();
        for facts in candidates {
            stock.entry(place(&facts.locality)).or_default().push(facts);
        }
        self.pools.retain(|place, _| stock.contains_key(place));
        let mut ended = false;
        for (place, facts) in stock {
            let today = day(&facts[0].locality, now);
            let known = facts
                .iter()
                .filter_map(|facts| self.numbers.get(&facts.number));
            let last = known.map(|known| known.day).max().unwrap_or(today);
            let pool = self.pools.entry(place).or_insert(Pool {
                day: last,
                ..Pool::default()
            });
            // A calendar that was set back: the day goes on.
            if today <= pool.day {
                continue;
            }
            pool.day = today;
            ended = true;
            let quota = facts.iter().map(|facts| facts.caps.per_day.min(QUOTA));
            let quota = quota.sum::<u32>() / u32::try_from(facts.len()).unwrap_or(u32::MAX);
            let mut standings: Vec<(PhoneNumber, Standing)> = facts
                .iter()
                .map(|facts| {
                    let known = self.numbers.get(&facts.number);
                    (
                        facts.number,
                        known.map(|known| known.standing).unwrap_or_default(),
                    )
                })
                .collect();
            let mut numbers: Vec<&mut Standing> =
                standings.iter_mut().map(|(_, standing)| standing).collect();
            let review = review(&mut numbers, quota);
            (pool.load, pool.buy) = (review.load, review.buy());
            for (number, standing) in standings {
                // What was never shown stays unknown.
                if let Some(known) = self.numbers.get_mut(&number) {
                    (known.standing, known.day, known.news) = (standing, today, true);
                }
            }
        }
        ended
    }
}

impl Engine {
    /// Looks whether a day is over, a few times an hour; called before a number is chosen and before
    /// standings are told.
    pub(crate) fn review_standings(&mut self, now: Now) {
        let due = (self.standings.look_at).is_none_or(|at| at <= now.wall);
        if !due {
            return;
        }
        self.standings.look_at = Some(now.wall + LOOK_EVERY);
        if self.standings.end_days(&self.candidates, now.wall) {
            for facts in &mut self.candidates {
                self.standings.tell(facts);
            }
            self.keep_soon(now);
            self.observe_standings();
        }
    }

    /// A line that showed one of our numbers was answered or not; `chance` is what it was expected to be
    /// by all but the number, `lines` are what that is learned from.
    pub(crate) fn learn_standing(
        &mut self,
        now: Now,
        end: &AttemptEnd,
        (chance, lines): (f32, u64),
        answered: bool,
    ) {
        let shown = end.dialed.as_ref().and_then(|dialed| {
            // One that is not local is answered less for that, and is not to blame.
            let local = dialed.presence.is_some_and(|presence| presence.local);
            dialed.caller_id.filter(|_| local)
        });
        let Some(number) = shown.filter(|number| self.facts.caller_ids.contains_key(number)) else {
            return;
        };
        let known = self.standings.numbers.entry(number).or_default();
        match lines >= SURE_AFTER {
            true => known.standing.note(chance, answered),
            false => known.standing.shown(),
        }
        if UNWANTED.contains(&end.failure.status) {
            known.standing.reported();
        }
        known.day = day(&locality(number), now.wall);
        known.news = true;
        if let Some(facts) = (self.candidates.iter_mut()).find(|facts| facts.number == number) {
            self.standings.tell(facts);
        }
        self.keep_soon(now);
    }

    /// Caller IDs are gone for good.
    pub(crate) fn forget_standings(&mut self, numbers: &[PhoneNumber]) {
        for number in numbers {
            if self.standings.numbers.remove(number).is_some() {
                let of = LearnedOf::CallerId(*number);
                self.output(Output::Learned { of, bytes: None });
            }
        }
    }

    /// Tells what changed since it was told last, to be kept.
    pub(crate) fn tell_standings(&mut self) {
        let news = (self.standings.numbers.iter_mut()).filter(|(_, known)| known.news);
        let told: Vec<_> = news
            .map(|(number, known)| {
                known.news = false;
                (*number, known.bytes())
            })
            .collect();
        for (number, bytes) in told {
            let (of, bytes) = (LearnedOf::CallerId(number), Some(bytes));
            self.output(Output::Learned { of, bytes });
        }
        self.observe_standings();
    }

    /// What an earlier run learned of a number; what cannot be read, or was learned already, is left.
    pub(crate) fn standing_before(&mut self, number: PhoneNumber, bytes: &[u8]) {
        let room = self.standings.numbers.len() < limits::CALLER_IDS;
        if let Some(known) = Known::read(bytes).filter(|_| room) {
            self.standings.numbers.entry(number).or_insert(known);
        }
    }

    /// All that earlier runs learned is here: days that are over end now.
    pub(crate) fn standings_restored(&mut self) {
        for facts in &mut self.candidates {
            self.standings.tell(facts);
        }
        self.standings.pools.clear();
        self.standings.look_at = None;
    }

    /// What is known of this node's caller IDs: every place, and of the numbers those that rest or seem
    /// labelled first, then those that are answered least beside what is expected.
    pub fn standings(&mut self, now: Now) -> CallerIdStandings {
        self.review_standings(now);
        let mut pools: BTreeMap<Place, CallerIdPool> = BTreeMap::new();
        let mut numbers = Vec::with_capacity(self.candidates.len());
        for facts in &self.candidates {
            let known = self.standings.numbers.get(&facts.number);
            let standing = known.map(|known| known.standing).unwrap_or_default();
            let place = place(&facts.locality);
            let last = self
                .standings
                .pools
                .get(&place)
                .copied()
                .unwrap_or_default();
            let pool = pools.entry(place).or_insert_with(|| CallerIdPool {
                country: facts.locality.country.to_owned(),
                place: facts
                    .locality
                    .city
                    .or(facts.locality.province)
                    .map(str::to_owned),
                place_zh: (facts.locality.city_zh.or(facts.locality.province_zh))
                    .map(str::to_owned),
                area: facts
                    .locality
                    .area
                    .filter(|_| facts.locality.city.is_none()),
                load_permille: last.load,
                buy: last.buy,
                ..CallerIdPool::default()
            });
            pool.numbers += 1;
            pool.lines_today += standing.used();
            pool.doubted += u32::from(standing.doubted());
            pool.resting += u32::from(standing.rests().is_some());
            let (answered, expected) = standing.answers();
            numbers.push(CallerIdStanding {
                number: facts.number,
                lines_today: standing.used(),
                answered_permille: per_mille(answered),
                expected_permille: per_mille(expected),
                quality_permille: standing.quality(),
                doubted: standing.doubted(),
                rests_days: standing.rests(),
            });
        }
        numbers.sort_by_key(|n| {
            (
                n.rests_days.is_none(),
                !n.doubted,
                n.quality_permille,
                n.number,
            )
        });
        let all = numbers.len();
        numbers.truncate(limits::STANDINGS_TOLD);
        let more = all - numbers.len();
        let places = pools.len();
        CallerIdStandings {
            pools: pools.into_values().take(limits::STANDINGS_TOLD).collect(),
            more_pools: u32::try_from(places.saturating_sub(limits::STANDINGS_TOLD))
                .unwrap_or(u32::MAX),
            numbers,
            more_numbers: u32::try_from(more).unwrap_or(u32::MAX),
        }
    }

    fn observe_standings(&mut self) {
        let own = (self.candidates.iter()).filter_map(|f| self.standings.numbers.get(&f.number));
        let (mut doubted, mut resting) = (0, 0);
        for known in own {
            doubted += u32::from(known.standing.doubted());
            resting += u32::from(known.standing.rests().is_some());
        }
        let short = self
            .standings
            .pools
            .values()
            .filter(|pool| pool.buy)
            .count();
        let observed = Observed::CallerIds {
            numbers: u32::try_from(self.candidates.len()).unwrap_or(u32::MAX),
            doubted,
            resting,
            short_of: u32::try_from(short).unwrap_or(u32::MAX),
        };
        self.observe(observed);
    }
}

/// A sum of lines in thousandths.
fn per_mille(sum: f32) -> u32 {
    (sum * 1000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{CallerIdCaps, TrunkId};
    use numbering::Route;

    const ROUTE: Route = Route {
        trunk: TrunkId(1),
        rank: 0,
        weight: 100,
    };
    const DAY: i64 = 86_400_000;
    /// A Monday's midnight in New York.
    const MIDNIGHT: i64 = 1_795_410_000_000;

    fn number(n: u64) -> PhoneNumber {
        PhoneNumber::from_digits(12_125_550_100 + n).expect("a number")
    }

    fn stock(numbers: u64) -> Vec<CallerIdFacts> {
        let facts = |n| CallerIdFacts::new(number(n), CallerIdCaps::default(), ROUTE);
        (0..numbers).map(facts).collect()
    }

    fn shown(standings: &mut Standings, n: u64, lines: u32, at: i64) {
        let known = standings.numbers.entry(number(n)).or_default();
        for _ in 0..lines {
            known.standing.note(0.2, false);
        }
        known.day = day(&locality(number(n)), WallTime::from_millis(at));
    }

    #[test]
    fn a_day_ends_at_midnight_of_the_place_and_once() {
        let (mut standings, stock) = (Standings::default(), stock(3));
        let evening = WallTime::from_millis(MIDNIGHT - 60_000);
        assert!(!standings.end_days(&stock, evening), "nothing was shown");
        shown(&mut standings, 0, 40, MIDNIGHT - 60_000);
        assert!(!standings.end_days(&stock, evening));
        let midnight = WallTime::from_millis(MIDNIGHT);
        assert!(standings.end_days(&stock, midnight));
        assert!(!standings.end_days(&stock, midnight));
        assert_eq!(standings.numbers[&number(0)].standing.rests(), Some(0));
        assert_eq!(
            standings.numbers.len(),
            1,
            "what was never shown is unknown"
        );
        // The calendar is set back, and comes right again.
        assert!(!standings.end_days(&stock, evening));
        assert!(!standings.end_days(&stock, midnight));
        assert!(standings.end_days(&stock, WallTime::from_millis(MIDNIGHT + DAY)));
    }

    #[test]
    fn a_day_that_ended_while_the_node_was_down_is_ended_by_the_next_run() {
        let (mut standings, stock) = (Standings::default(), stock(3));
        shown(&mut standings, 0, 40, MIDNIGHT - 60_000);
        let bytes = standings.numbers[&number(0)].bytes();
        assert_eq!(bytes.len(), KEPT_BYTES);
        let mut next = Standings::default();
        next.numbers
            .insert(number(0), Known::read(&bytes).expect("its own"));
        assert!(next.end_days(&stock, WallTime::from_millis(MIDNIGHT + 1)));
        assert_eq!(next.numbers[&number(0)].standing.rests(), Some(0));
        for wrong in [&bytes[..KEPT_BYTES - 1], &[9; KEPT_BYTES], &[]] {
            assert!(Known::read(wrong).is_none());
        }
    }

    #[test]
    fn each_city_is_a_stock_of_its_own() {
        let mut standings = Standings::default();
        let mut stock = stock(2);
        let boston = PhoneNumber::from_digits(16_175_550_100).expect("a number");
        stock.push(CallerIdFacts::new(boston, CallerIdCaps::default(), ROUTE));
        // One of two in New York may rest; the only one of Boston may not.
        shown(&mut standings, 0, 40, MIDNIGHT - 60_000);
        let lone = standings.numbers[&number(0)];
        standings.numbers.insert(boston, lone);
        assert!(standings.end_days(&stock, WallTime::from_millis(MIDNIGHT)));
        assert_eq!(standings.pools.len(), 2);
        assert_eq!(standings.numbers[&number(0)].standing.rests(), Some(0));
        assert_eq!(standings.numbers[&boston].standing.rests(), None);
        assert!(standings.numbers[&boston].standing.doubted());
        assert!(!standings.end_days(&[], WallTime::from_millis(MIDNIGHT + DAY)));
        assert!(standings.pools.is_empty());
    }
}
