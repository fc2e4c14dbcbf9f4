//! Which of a city's numbers is shown: the one that the person saw before, none that rests, and what the node
//! learns of them from its calls.

use super::*;
use domain::{CallerIdStanding, PhoneNumber};
use numbering::{PROBES, Standing, review};
use scoring::{Answers, GivenOut, Line};

fn number(trunk: u32) -> PhoneNumber {
    caller_id(861_088_880_000 + u64::from(trunk), trunk).number
}

/// As the engine tells it to be kept.
fn kept(standing: Standing, world: &World) -> Vec<u8> {
    let zone = domain::zones::find("Asia/Shanghai").unwrap();
    let day = compliance::local_day(zone, world.now.wall).unwrap();
    [&[1][..], &day.to_le_bytes(), &standing.save()].concat()
}

/// A number that rests, with the day's probes done.
fn resting() -> Standing {
    let mut stock = [Standing::default(); 3];
    for _ in 0..60 {
        stock[0].note(0.2, false);
    }
    let mut numbers: Vec<&mut Standing> = stock.iter_mut().collect();
    assert_eq!(review(&mut numbers, 75).resting, 1);
    for _ in 0..PROBES {
        stock[0].note(0.2, false);
    }
    stock[0]
}

impl World {
    /// The numbers that were shown since this was asked last.
    fn shown(&mut self) -> Vec<PhoneNumber> {
        let noted = self.noted.drain(..);
        noted.map(|record| record.caller_id.unwrap()).collect()
    }

    fn known(&mut self, number: PhoneNumber) -> CallerIdStanding {
        let standings = self.engine.standings(self.now);
        self.drain();
        let known = standings.numbers.into_iter().find(|n| n.number == number);
        known.unwrap()
    }

    /// A campaign that the chances are known of.
    fn experienced(&mut self) {
        let mut answers = Answers::new(0.2);
        let line = Line {
            region: REGION.0,
            list: 1,
            attempt: 1,
            hour: 10,
            weekday: 1,
        };
        for n in 0..400 {
            answers.note(&line, GivenOut::InTurn, 0, n % 5 == 0);
        }
        let learned = vec![(LearnedOf::Campaign(CAMPAIGN), answers.save())];
        self.input(Input::Learned(learned));
    }
}

#[test]
fn who_is_called_again_sees_the_same_number_until_it_rests() {
    let mut world = World::new([1, 1]);
    for id in [1, 2] {
        world.carrier(id).mode = Mode::Rings;
    }
    world.shifts(1);
    let mut shown = Vec::new();
    for _ in 0..12 {
        let taken = world.lease_to_one_person();
        world.run(Duration::from_secs(25));
        assert_eq!(world.end(taken).0, Disposition::NoAnswer);
        shown.extend(world.shown());
    }
    assert_eq!(shown, [shown[0]; 12], "a lot of two would differ once");
    let trunk = if shown[0] == number(1) { 1 } else { 2 };
    let tired = CallerId {
        resting: true,
        ..caller_id(861_088_880_000 + u64::from(trunk), trunk)
    };
    world.directory(DirectoryChange::CallerIds(vec![tired]));
    world.lease_to_one_person();
    world.run(Duration::from_secs(25));
    assert_eq!(world.shown(), [number(3 - trunk)]);
}

#[test]
fn a_number_that_rests_is_shown_only_where_no_other_is_left() {
    let mut world = World::new([1, 1]);
    for id in [1, 2] {
        world.carrier(id).mode = Mode::Rings;
    }
    let learned = vec![
        (LearnedOf::CallerId(number(1)), kept(resting(), &world)),
        // Of another release: learned anew.
        (LearnedOf::CallerId(number(2)), vec![7; 30]),
    ];
    world.input(Input::Learned(learned));
    let known = world.known(number(1));
    assert_eq!((known.rests_days, known.lines_today), (Some(0), PROBES));
    world.shifts(10);
    world.lease(10);
    world.run(Duration::from_secs(3));
    assert_eq!(world.shown(), [number(2); 10]);
    world.directory(DirectoryChange::CallerIdsRemoved(vec![number(2)]));
    world.run(Duration::from_secs(25));
    world.lease(3);
    world.run(Duration::from_secs(3));
    assert_eq!(world.shown(), [number(1); 3]);
    world.directory(DirectoryChange::CallerIdsRemoved(vec![number(1)]));
    let forgotten = (LearnedOf::CallerId(number(1)), None);
    assert_eq!(world.learned.last(), Some(&forgotten));
}

#[test]
fn what_calls_come_to_is_learned_of_the_number_once_the_campaign_is_known() {
    let mut world = World::new([1, 2]);
    world.carrier(1).mode = Mode::Rings;
    world.shifts(3);
    world.lease(3);
    world.run(Duration::from_secs(25));
    // Too little is known of the campaign's persons to hold their silence against a number.
    let known = world.known(number(1));
    assert_eq!((known.lines_today, known.expected_permille), (3, 0));
    let mut world = World::new([1, 2]);
    world.experienced();
    world.carrier(1).mode = Mode::Rings;
    world.shifts(3);
    world.lease(3);
    world.run(Duration::from_secs(25));
    let known = world.known(number(1));
    assert_eq!((known.lines_today, known.answered_permille), (3, 0));
    assert!((300..900).contains(&known.expected_permille), "{known:?}");
    assert!(known.quality_permille < 1000 && !known.doubted);
    world.run(Duration::from_secs(60));
    let of_it = |(of, _): &&(LearnedOf, _)| *of == LearnedOf::CallerId(number(1));
    let (_, bytes) = world.learned.iter().rev().find(of_it).unwrap().clone();

    // The next run goes on from there.
    let mut next = World::new([1, 2]);
    let learned = vec![(LearnedOf::CallerId(number(1)), bytes.unwrap())];
    next.input(Input::Learned(learned));
    assert_eq!(next.known(number(1)), known);
}

#[test]
fn two_calls_refused_as_unwanted_are_doubt_enough() {
    let mut world = World::new([1, 2]);
    world.experienced();
    world.carrier(1).mode = Mode::Refuses(607);
    world.shifts(2);
    world.lease(1);
    world.run(Duration::from_secs(3));
    assert!(!world.known(number(1)).doubted);
    world.carrier(1).mode = Mode::Refuses(608);
    world.lease(1);
    world.run(Duration::from_secs(3));
    assert!(world.known(number(1)).doubted);
    assert_eq!(world.shown(), [number(1); 2], "not the carrier's failure");
    let standings = world.engine.standings(world.now);
    let [pool] = &standings.pools[..] else {
        panic!("both are Beijing's: {:?}", standings.pools)
    };
    assert_eq!((pool.numbers, pool.doubted, pool.resting), (2, 1, 0));
    assert_eq!((pool.country.as_str(), pool.lines_today), ("CN", 2));
}
