//! Local presence: which caller ID to show, the most local to the called number first.

use crate::{Locality, locality};
use domain::{AttemptId, CallerIdCaps, PhoneNumber, TrunkId};
use sansio::{Seed, Stream};

/// The trunk of a caller ID, as far as choosing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which.
    pub trunk: TrunkId,
    /// Lower goes first.
    pub rank: u16,
    /// Its share of the calls among trunks of its rank; 0 counts as 1.
    pub weight: u16,
}

/// What must be known of a caller ID to choose it.
#[derive(Clone, Copy, Debug)]
pub struct CallerIdFacts {
    /// The number.
    pub number: PhoneNumber,
    /// The trunk it leaves by.
    pub route: Route,
    /// Where it belongs.
    pub locality: Locality,
    /// How often it may be shown.
    pub caps: CallerIdCaps,
    /// Attempts today, as the node counts its day.
    pub used_today: u32,
    /// Attempts in the hour.
    pub used_this_hour: u32,
    /// Not to be shown now: it rests, or its trunk takes no call.
    pub resting: bool,
    /// It seems labelled and rests for that ([`Standing::resting`]): not to be shown either, but where
    /// nothing else is left the caller may set this back.
    ///
    /// [`Standing::resting`]: crate::Standing::resting
    pub tired: bool,
    /// What persons think of it, in thousandths of a usual number ([`Standing::worth`]); 1000 where
    /// nothing is known. A number that is worth more gets more of the calls.
    ///
    /// [`Standing::worth`]: crate::Standing::worth
    pub worth: u16,
}

impl CallerIdFacts {
    /// A fresh caller ID.
    pub fn new(number: PhoneNumber, caps: CallerIdCaps, route: Route) -> Self {
        Self {
            number,
            route,
            locality: locality(number),
            caps,
            used_today: 0,
            used_this_hour: 0,
            resting: false,
            tired: false,
            worth: 1000,
        }
    }

    /// Whether one more call may show it: not resting and below both caps. A lead's sticky caller
    /// ID is asked this before any other is chosen.
    pub fn may_be_shown(&self) -> bool {
        !self.resting
            && !self.tired
            && self.used_today < self.caps.per_day
            && self.used_this_hour < self.caps.per_hour
    }

    /// Use of the day's cap in thousandths, by what the number is worth: one in warm-up with a low
    /// cap is not worn out first.
    fn load(&self) -> u32 {
        let whole = u64::from(self.caps.per_day.max(1)) * u64::from(self.worth.max(1));
        let load = u64::from(self.used_today) * 1_000_000 / whole;
        u32::try_from(load).unwrap_or(u32::MAX)
    }
}

/// How close a caller ID is to the called number, closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closeness {
    /// The same area code.
    Area,
    /// The same city.
    City,
    /// The same province or state.
    Province,
    /// Not local: a caller ID of the dialing city, which the campaign allows.
    AnyOfCity,
}

/// The caller ID chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its place among the candidates.
    pub index: usize,
    /// How close it is.
    pub closeness: Closeness,
}

/// Candidates within so many thousandths of the least used one's load share the draw.
const NEAR_LOAD: u32 = 100;

/// Chooses the caller ID for a call and with it the trunk, without allocation: of those that may be
/// shown the closest; of those the trunks of the lowest rank; of those a trunk drawn by weight; of its
/// caller IDs the least used by share of its day's cap and by worth, by draw among the nearly least
/// used.
///
/// `candidates` are the dialing city's own, those of one trunk side by side; `any_city` is the
/// campaign's rule that any of them will do when none is local. None means: do not dial. Draws only
/// between several trunks, and between several caller IDs.
pub fn choose_caller_id(
    candidates: &[CallerIdFacts],
    called: &Locality,
    any_city: bool,
    stream: &mut Stream,
) -> Option<Choice> {
    draw(candidates, stream, |facts| {
        closeness_of(&facts.locality, called, any_city)
    })
}

/// Chooses as [`choose_caller_id`] does, but among those that are not local: for the dials that are held
/// out. Of the called number's own country only: a foreign number is answered, and ruled, by reasons of
/// its own.
pub fn choose_distant(
    candidates: &[CallerIdFacts],
    called: &Locality,
    stream: &mut Stream,
) -> Option<Choice> {
    // Neither numbers of no country nor those of unknown ones.
    let country = called.country.bytes().all(|b| b.is_ascii_uppercase()) && called.country != "ZZ";
    draw(candidates, stream, |facts| {
        let distant = country
            && facts.locality.country == called.country
            && closeness_of(&facts.locality, called, false).is_none();
        distant.then_some(Closeness::AnyOfCity)
    })
}

/// The caller ID that the person was shown before, in the place of the one just chosen: if it may be shown
/// again, is local to the called number (or `any_city` will do) and leaves by a trunk of no higher rank
/// than the chosen one's, so that nobody stays with a trunk that only stood in. Who calls again with the
/// same number is known, and reached when called back.
pub fn sticky_caller_id(
    candidates: &[CallerIdFacts],
    shown: PhoneNumber,
    called: &Locality,
    any_city: bool,
    chosen: Choice,
) -> Choice {
    let rank = candidates[chosen.index].route.rank;
    let found = candidates.iter().position(|facts| {
        facts.number == shown && facts.may_be_shown() && facts.route.rank <= rank
    });
    let closeness =
        found.and_then(|index| closeness_of(&candidates[index].locality, called, any_city));
    match (found, closeness) {
        (Some(index), Some(closeness)) => Choice { index, closeness },
        _ => chosen,
    }
}

/// Whether the lot holds an attempt out, `percent` of a hundred. The attempt's id alone decides: the same
/// for every try of it, on whichever trunk.
pub fn is_held_out(attempt: AttemptId, percent: u8) -> bool {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&attempt.0.to_le_bytes());
    Seed::new(seed).stream("hold-out").below(100) < u32::from(percent)
}

/// Of the candidates that may be shown and have a class, one of the best.
fn draw(
    candidates: &[CallerIdFacts],
    stream: &mut Stream,
    closeness: impl Fn(&CallerIdFacts) -> Option<Closeness>,
) -> Option<Choice> {
    let class = |facts: &CallerIdFacts| {
        (facts.may_be_shown().then(|| closeness(facts)).flatten())
            .map(|closeness| (closeness, facts.route.rank))
    };
    let best = candidates.iter().filter_map(class).min()?;
    let eligible = |facts: &&CallerIdFacts| class(facts) == Some(best);
    let trunk = draw_trunk(candidates.iter().filter(eligible), stream)?;
    let own = |facts: &&CallerIdFacts| facts.route.trunk == trunk && eligible(facts);
    let least = (candidates.iter().filter(own).map(CallerIdFacts::load)).min()?;
    let near =
        |facts: &CallerIdFacts| own(&facts) && facts.load() <= least.saturating_add(NEAR_LOAD);
    let count = candidates.iter().filter(|facts| near(facts)).count();
    let drawn = match u32::try_from(count).unwrap_or(u32::MAX) {
        0 | 1 => 0,
        several => stream.below(several) as usize,
    };
    candidates
        .iter()
        .enumerate()
        .filter(|(_, facts)| near(facts))
        .nth(drawn)
        .map(|(index, _)| Choice {
            index,
            closeness: best.0,
        })
}

/// One of the trunks by weight; each counts once, however many caller IDs it has.
fn draw_trunk<'a>(
    eligible: impl Iterator<Item = &'a CallerIdFacts> + Clone,
    stream: &mut Stream,
) -> Option<TrunkId> {
    let mut last = None;
    let routes = eligible.filter_map(move |facts| {
        let other = last.replace(facts.route.trunk) != Some(facts.route.trunk);
        other.then_some((facts.route.trunk, u32::from(facts.route.weight.max(1))))
    });
    let (mut all, mut first, mut several) = (0, None, false);
    for (trunk, weight) in routes.clone() {
        all += weight;
        several |= first.is_some();
        first.get_or_insert(trunk);
    }
    if !several {
        return first;
    }
    let mut drawn = stream.below(all);
    for (trunk, weight) in routes {
        match drawn.checked_sub(weight) {
            Some(left) => drawn = left,
            None => return Some(trunk),
        }
    }
    first
}

fn closeness_of(caller: &Locality, called: &Locality, any_city: bool) -> Option<Closeness> {
    if caller.same_area(called) {
        Some(Closeness::Area)
    } else if caller.same_city(called) {
        Some(Closeness::City)
    } else if caller.same_province(called) {
        Some(Closeness::Province)
    } else {
        any_city.then_some(Closeness::AnyOfCity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sansio::Seed;

    const ROUTE: Route = Route {
        trunk: TrunkId(1),
        rank: 0,
        weight: 100,
    };

    fn facts(text: &str) -> CallerIdFacts {
        by(text, ROUTE)
    }

    fn by(text: &str, route: Route) -> CallerIdFacts {
        CallerIdFacts::new(text.parse().unwrap(), CallerIdCaps::default(), route)
    }

    fn choose(candidates: &[CallerIdFacts], called: &str, any_city: bool) -> Option<Choice> {
        let called = locality(called.parse().unwrap());
        let mut stream = Seed::from_u64(7).stream("caller-id");
        choose_caller_id(candidates, &called, any_city, &mut stream)
    }

    #[test]
    fn a_person_sees_the_number_that_they_saw_before_while_it_is_healthy_and_local() {
        let backup = Route { rank: 1, ..ROUTE };
        let mut candidates = [
            facts("+14155550100"),
            facts("+14155550101"),
            facts("+13105550100"),
            facts("+12125550100"),
            by("+14155550102", backup),
        ];
        let called = locality("+14155550134".parse().unwrap());
        let chosen = Choice {
            index: 0,
            closeness: Closeness::Area,
        };
        let again = |candidates: &[CallerIdFacts], shown: &str, any_city| {
            let shown = shown.parse().unwrap();
            let sticky = sticky_caller_id(candidates, shown, &called, any_city, chosen);
            (sticky.index, sticky.closeness)
        };
        for (shown, any_city, want) in [
            ("+14155550101", false, (1, Closeness::Area)),
            // Of the same state: local, if not as near.
            ("+13105550100", false, (2, Closeness::Province)),
            ("+12125550100", false, (0, Closeness::Area)),
            ("+12125550100", true, (3, Closeness::AnyOfCity)),
            // By a trunk that only stood in, and a number that is ours no more.
            ("+14155550102", false, (0, Closeness::Area)),
            ("+14155550199", true, (0, Closeness::Area)),
        ] {
            assert_eq!(again(&candidates, shown, any_city), want, "{shown}");
        }
        let shown = "+14155550101";
        candidates[1].tired = true;
        assert_eq!(again(&candidates, shown, false).0, 0, "labelled");
        candidates[1].tired = false;
        candidates[1].used_today = candidates[1].caps.per_day;
        assert_eq!(again(&candidates, shown, false).0, 0, "at its cap");
    }

    #[test]
    fn the_closest_is_chosen_and_never_just_any() {
        let candidates = [
            facts("+12125550100"),   // New York
            facts("+13105550100"),   // California
            facts("+14155550100"),   // San Francisco, area 415
            facts("+8675512345678"), // Shenzhen landline
            facts("+862012345678"),  // Guangzhou
        ];
        for (called, any_city, want) in [
            ("+14155550134", false, Some((2, Closeness::Area))),
            ("+17145550134", false, Some((1, Closeness::Province))),
            ("+12125550134", false, Some((0, Closeness::Area))),
            ("+8675587654321", false, Some((3, Closeness::Area))),
            ("+13055550134", false, None),
            ("+442079460123", false, None),
            ("+18005550134", false, None),
        ] {
            let got = choose(&candidates, called, any_city).map(|c| (c.index, c.closeness));
            // Any of the state's numbers will do where the state decides.
            if want == Some((1, Closeness::Province)) {
                assert!(matches!(got, Some((1 | 2, Closeness::Province))), "{got:?}");
            } else {
                assert_eq!(got, want, "{called}");
            }
        }
        let any = choose(&candidates[..1], "+442079460123", true).unwrap();
        assert_eq!((any.index, any.closeness), (0, Closeness::AnyOfCity));
        assert_eq!(choose(&[], "+14155550134", true), None);
    }

    #[test]
    fn held_out_dials_show_a_number_of_the_country_that_is_not_local() {
        let mut candidates = [
            facts("+14155550100"), // the called number's area
            facts("+13105550100"), // its state
            facts("+12125550100"), // New York
            facts("+862012345678"),
        ];
        let called = locality("+14155550134".parse().unwrap());
        let mut stream = Seed::from_u64(7).stream("caller-id");
        let got = choose_distant(&candidates, &called, &mut stream);
        let want = Choice {
            index: 2,
            closeness: Closeness::AnyOfCity,
        };
        assert_eq!(got, Some(want));
        // Caps and rest count as ever; a foreign number never does, nor one whose place nobody knows.
        candidates[2].used_today = candidates[2].caps.per_day;
        assert_eq!(choose_distant(&candidates, &called, &mut stream), None);
        candidates[2].used_today = 0;
        // Satellites' numbers share a code and no country.
        let nowhere = locality("+870773111632".parse().unwrap());
        candidates[0] = facts("+870773111633");
        assert_eq!(choose_distant(&candidates, &nowhere, &mut stream), None);
    }

    #[test]
    fn the_lot_is_the_attempts_own_and_keeps_its_share() {
        use domain::RegionId;
        let attempts =
            || (1..=20_000).map(|n| AttemptId::new(RegionId(3), n / 50, (n % 50) as u32));
        for percent in [0, 1, 5, 20] {
            let held = attempts().filter(|id| is_held_out(*id, percent)).count();
            // Within five deviations.
            let (mean, share) = (200.0 * f64::from(percent), f64::from(percent) / 100.0);
            let off = (held as f64 - mean).abs();
            assert!(
                off <= 5.0 * (mean * (1.0 - share)).sqrt(),
                "{percent}: {held}"
            );
        }
        // A larger share holds out whom a smaller one did, and more.
        assert!(attempts().all(|id| !is_held_out(id, 5) || is_held_out(id, 20)));
    }

    #[test]
    fn a_chinese_mobile_number_gets_its_citys_landline() {
        let candidates = [facts("+862012345678"), facts("+861012345678")];
        let got = choose(&candidates, "+8613800138000", false).unwrap();
        assert_eq!((got.index, got.closeness), (1, Closeness::City));
    }

    #[test]
    fn caps_and_rest_are_kept_at_the_bound() {
        let mut one = [facts("+14155550100")];
        one[0].used_today = one[0].caps.per_day - 1;
        assert!(choose(&one, "+14155550134", true).is_some());
        one[0].used_today += 1;
        assert_eq!(choose(&one, "+14155550134", true), None);
        one[0].used_today = 0;
        one[0].used_this_hour = one[0].caps.per_hour;
        assert_eq!(choose(&one, "+14155550134", true), None);
        one[0].used_this_hour = 0;
        one[0].resting = true;
        assert_eq!(choose(&one, "+14155550134", true), None);
    }

    #[test]
    fn use_spreads_by_share_of_the_cap() {
        let mut candidates = [facts("+14155550100"), facts("+14155550101")];
        candidates[1].caps.per_day = 10;
        candidates[1].caps.per_hour = 10;
        let called = locality("+14155550134".parse().unwrap());
        let mut stream = Seed::from_u64(1).stream("caller-id");
        for _ in 0..40 {
            let choice = choose_caller_id(&candidates, &called, false, &mut stream).unwrap();
            candidates[choice.index].used_today += 1;
        }
        let [mature, warming] = candidates.map(|facts| facts.used_today);
        assert_eq!(mature + warming, 40);
        assert!((2..=8).contains(&warming), "{warming} of 40");
    }

    #[test]
    fn use_spreads_by_worth() {
        let mut candidates = [facts("+14155550100"), facts("+14155550101")];
        for (facts, worth) in candidates.iter_mut().zip([2000, 1000]) {
            (facts.caps.per_day, facts.caps.per_hour, facts.worth) = (1000, 1000, worth);
        }
        let called = locality("+14155550134".parse().unwrap());
        let mut stream = Seed::from_u64(1).stream("caller-id");
        for _ in 0..900 {
            let choice = choose_caller_id(&candidates, &called, false, &mut stream).unwrap();
            candidates[choice.index].used_today += 1;
        }
        let [more, less] = candidates.map(|facts| facts.used_today);
        assert!((520..=640).contains(&more), "{more} {less}");
    }

    fn route(trunk: u32, rank: u16, weight: u16) -> Route {
        Route {
            trunk: TrunkId(trunk),
            rank,
            weight,
        }
    }

    #[test]
    fn local_comes_before_rank_and_rank_before_weight() {
        let candidates = [
            by("+13105550100", route(1, 0, 1)),   // California, first rank
            by("+14155550100", route(2, 7, 1)),   // area 415, last rank
            by("+14155550101", route(3, 3, 1)),   // area 415, between
            by("+14155550102", route(4, 7, 900)), // area 415, last rank, heavy
        ];
        let mut left = candidates;
        for want in [2, 3] {
            let got = choose(&left, "+14155550134", false).unwrap();
            assert_eq!((got.index, got.closeness), (want, Closeness::Area));
            left[want].resting = true;
        }
        assert_eq!(choose(&left, "+14155550134", false).unwrap().index, 1);
        left[1].resting = true;
        let got = choose(&left, "+14155550134", false).unwrap();
        assert_eq!((got.index, got.closeness), (0, Closeness::Province));
        left[0].resting = true;
        assert_eq!(choose(&left, "+14155550134", true), None);
    }

    #[test]
    fn trunks_of_a_rank_share_by_weight_however_many_numbers_they_have() {
        let mut candidates = vec![by("+14155550100", route(1, 1, 300))];
        for text in ["+14155550101", "+14155550102", "+14155550103"] {
            candidates.push(by(text, route(2, 1, 100)));
        }
        candidates.push(by("+14155550104", route(3, 2, 9_999)));
        for facts in &mut candidates {
            (facts.caps.per_day, facts.caps.per_hour) = (10_000, 10_000);
        }
        let called = locality("+14155550134".parse().unwrap());
        let mut stream = Seed::from_u64(5).stream("caller-id");
        let mut calls = [0u32; 5];
        for _ in 0..4_000 {
            let choice = choose_caller_id(&candidates, &called, false, &mut stream).unwrap();
            calls[choice.index] += 1;
        }
        assert!((2_850..3_150).contains(&calls[0]), "{calls:?}");
        assert!(
            calls[1..4].iter().all(|n| (250..420).contains(n)),
            "{calls:?}"
        );
        assert_eq!(calls[4], 0);
    }

    proptest! {
        #[test]
        fn the_choice_may_be_shown_and_none_is_closer(
            used in proptest::collection::vec((0u32..90, 0u32..25, any::<bool>(), 0usize..6), 0..40),
            called in 0usize..6,
            any_city: bool,
            seed: u64,
        ) {
            const NUMBERS: [u64; 6] = [
                14_155_550_100, 12_125_550_100, 862_012_345_678, 8_675_512_345_678,
                442_079_460_123, 8_613_800_138_000,
            ];
            let number = |i: usize| PhoneNumber::from_digits(NUMBERS[i]).unwrap();
            let candidates: Vec<CallerIdFacts> = used
                .into_iter()
                .map(|(used_today, used_this_hour, resting, i)| CallerIdFacts {
                    used_today,
                    used_this_hour,
                    resting,
                    ..CallerIdFacts::new(number(i), CallerIdCaps::default(), ROUTE)
                })
                .collect();
            let called = locality(number(called));
            let mut stream = Seed::from_u64(seed).stream("caller-id");
            let ranks = candidates
                .iter()
                .filter(|facts| facts.may_be_shown())
                .filter_map(|facts| closeness_of(&facts.locality, &called, any_city));
            let want = ranks.min();
            let got = choose_caller_id(&candidates, &called, any_city, &mut stream);
            prop_assert_eq!(got.map(|choice| choice.closeness), want);
            if let Some(choice) = got {
                prop_assert!(candidates[choice.index].may_be_shown());
            }
        }
    }
}
