//! Pacing over agents who can be reached in other cities.

use super::{
    tests::{AMPLE, grown, ready, ringing},
    *,
};
use crate::{FORECAST_LIFE, Neighbour};
use domain::limits;

/// A city with so many ready agents and lines that have rung for five seconds, a second ago.
fn city(agents: u32, lines: usize) -> Neighbour {
    let view = View {
        lines: ringing(lines, 5),
        ..ready(agents)
    };
    let forecast = grown(DialLevel(1000)).forecast(&view);
    Neighbour {
        age: Duration::from_secs(1),
        takes: true,
        overlap_permille: 1000,
        forecast: forecast.expect("it plans ahead"),
    }
}

/// Lines launched in a minute of looks each half second at what does not change.
fn launched(view: &View) -> u32 {
    let mut controller = grown(DialLevel(1000));
    let looks = (0..120u64).map(|n| Instant::from_millis(2_000_000 + n * 500));
    looks.map(|now| controller.lines(now, view)).sum()
}

fn busy(neighbours: Vec<Neighbour>) -> View {
    View {
        on_call: vec![Duration::from_secs(5); 10],
        neighbours,
        budget: AMPLE,
        ..View::default()
    }
}

#[test]
fn free_agents_elsewhere_are_dialed_for() {
    assert_eq!(launched(&busy(vec![])), 0);
    assert!(launched(&busy(vec![city(6, 0)])) > 5);
    // Lines that come to the same agents take them.
    assert_eq!(launched(&busy(vec![city(6, 40)])), 0);
    // Who takes nobody of ours helps nothing.
    let mut aloof = city(6, 0);
    aloof.takes = false;
    assert_eq!(launched(&busy(vec![aloof])), 0);
}

#[test]
fn own_agents_are_not_dialed_for_when_others_lines_come_to_them() {
    let lines = grown(DialLevel(1000)).lines(Instant::from_millis(2_000_000), &ready(4));
    assert!(lines >= 4, "{lines}");
    let mut flood = city(0, 60);
    flood.overlap_permille = 500;
    let shared = View {
        neighbours: vec![flood],
        ..ready(4)
    };
    assert_eq!(launched(&shared), 0);
}

#[test]
fn each_node_closes_its_part() {
    let first = |neighbours: Vec<Neighbour>| {
        let view = View {
            neighbours,
            ..ready(10)
        };
        let mut controller = grown(DialLevel(1000));
        controller.lines(Instant::from_millis(2_000_000), &view)
    };
    let (two, five) = (first(vec![city(10, 0)]), first(vec![city(10, 0); 4]));
    // The pool of five lacks two and a half times as much, of which each takes a fifth.
    assert!(
        two > 8 && five > 8 && five.abs_diff(two) <= 5,
        "{two} {five}"
    );
}

#[test]
fn old_words_do_not_count() {
    let mut silent = city(6, 0);
    silent.age = FORECAST_LIFE + Duration::from_millis(1);
    let view = View {
        neighbours: vec![silent; 3],
        ..ready(5)
    };
    let now = Instant::from_millis(2_000_000);
    let alone = grown(DialLevel(1000)).lines(now, &ready(5));
    assert_eq!(grown(DialLevel(1000)).lines(now, &view), alone);
}

#[test]
fn neighbours_are_bounded() {
    let mut full = busy(vec![city(0, 0); limits::POOL_NEIGHBOURS]);
    full.neighbours.push(city(50, 0));
    assert_eq!(full.pool().count(), limits::POOL_NEIGHBOURS);
    assert_eq!(launched(&full), 0);
    full.neighbours.swap(0, limits::POOL_NEIGHBOURS);
    assert!(launched(&full) > 0);
}

#[test]
fn others_agents_never_stand_for_the_budget() {
    for (left, out) in [(8, 0), (8, 5), (8, 9), (1, 0), (0, 0)] {
        let view = View {
            lines: ringing(out, 3),
            budget: Some(crate::Budget {
                permille: 30,
                left: left * 1000,
            }),
            ..busy(vec![city(80, 0); 20])
        };
        let mut controller = grown(DialLevel(1000));
        let lines = controller.lines(Instant::from_millis(2_000_000), &view);
        let allowed = (left as u32).saturating_sub(out as u32 + 1);
        assert!(lines <= allowed, "{lines} of {allowed}");
        assert!(lines == 0 || !controller.keeps_agents());
    }
}

#[test]
fn no_more_agents_are_believed_in_than_a_node_may_have() {
    let mut boaster = city(0, 0);
    boaster.forecast.agents = limits::NODE_AGENTS as u32;
    assert_eq!(boaster.agents(), limits::NODE_AGENTS as u32);
    boaster.forecast.agents += 1;
    assert_eq!(boaster.agents(), limits::NODE_AGENTS as u32);
    boaster.forecast = Forecast {
        agents: u32::MAX,
        waiting: u32::MAX,
        lines: crate::Sums {
            mean: [u32::MAX; crate::MOMENTS],
            variance: [0; crate::MOMENTS],
            third: [i32::MIN; crate::MOMENTS],
        },
        ..boaster.forecast
    };
    let lines = launched(&busy(vec![boaster; limits::POOL_NEIGHBOURS]));
    assert!(lines < 100, "{lines}");
}
