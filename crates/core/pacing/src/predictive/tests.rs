//! The predictive controller's promises.

use super::*;
use crate::{Budget, scenarios::views};
use proptest::prelude::*;

const AMPLE: Option<Budget> = Some(Budget {
    permille: 30,
    left: 50_000,
});

/// A controller that has seen a third of its lines answered after 10 s and talks of 60 s.
fn grown(level: DialLevel) -> Predictive {
    let mut controller = Predictive::new(level);
    let second = Duration::from_secs;
    for n in 0..600u64 {
        let now = Instant::from_millis(n * 2000);
        let observation = match n % 3 {
            0 => Observation::Answered { after: second(10) },
            _ => Observation::Unanswered { after: second(25) },
        };
        controller.observe(now, observation);
        if n % 3 == 0 {
            controller.observe(now, Observation::Talked { lasted: second(60) });
            let ready = true;
            let lasted = second(10);
            controller.observe(now, Observation::WrappedUp { lasted, ready });
        }
    }
    controller.answers.renew();
    controller.ends.renew_all(&controller.answers.steps);
    controller
}

fn ringing(n: usize, age: u64) -> Vec<Line> {
    let line = Line {
        phase: Phase::Ringing,
        age: Duration::from_secs(age),
        cancellable: age >= 15,
    };
    vec![line; n]
}

fn ready(ready: u32) -> View {
    View {
        ready,
        budget: AMPLE,
        ..View::default()
    }
}

#[test]
fn young_it_dials_one_line_an_agent() {
    let mut controller = Predictive::new(DialLevel(500));
    assert_eq!(controller.lines(Instant::ZERO, &ready(7)), 7);
    assert_eq!(controller.projection().binding, Binding::Young);
}

#[test]
fn grown_it_dials_ahead() {
    let mut controller = grown(DialLevel(500));
    let lines = controller.lines(Instant::ZERO, &ready(10));
    assert!((13..30).contains(&lines), "{lines}");
    assert_eq!(controller.projection().binding, Binding::Price);
    // A talk of 58 s is nearly over, one of 5 s is not.
    let with = |age| View {
        on_call: vec![Duration::from_secs(age); 10],
        budget: AMPLE,
        ..View::default()
    };
    assert_eq!(controller.lines(Instant::ZERO, &with(5)), 0);
    assert!(controller.lines(Instant::ZERO, &with(58)) > 0);
}

#[test]
fn without_budget_it_falls_to_one_line_an_agent() {
    let mut controller = grown(DialLevel(500));
    for left in [None, Some(999), Some(0), Some(-4000)] {
        let view = View {
            budget: left.map(|left| Budget { permille: 30, left }),
            ..ready(10)
        };
        assert_eq!(controller.lines(Instant::ZERO, &view), 10, "{left:?}");
        assert_eq!(controller.projection().binding, Binding::Budget);
        let out = View {
            lines: ringing(4, 3),
            waiting: 1,
            ..view
        };
        assert_eq!(controller.lines(Instant::ZERO, &out), 5, "{left:?}");
    }
}

#[test]
fn lines_thin_out_as_the_budget_does() {
    let mut last = u32::MAX;
    for left in [50_000, 6_000, 3_000, 1_500, 900] {
        let mut controller = grown(DialLevel(500));
        let view = View {
            budget: Some(Budget { permille: 30, left }),
            ..ready(10)
        };
        let lines = controller.lines(Instant::ZERO, &view);
        assert!(lines <= last && lines >= 10, "{lines} {last}");
        last = lines;
    }
    assert_eq!(last, 10);
}

#[test]
fn a_line_that_became_too_risky_is_given_up() {
    let mut controller = Predictive::new(DialLevel(500));
    for n in 0..900u64 {
        let now = Instant::from_millis(n * 2000);
        // Half are answered, some late.
        let after = Duration::from_secs(6 + n % 19);
        if n % 2 == 0 {
            controller.observe(now, Observation::Answered { after });
            let lasted = Duration::from_secs(60);
            controller.observe(now, Observation::Talked { lasted });
        } else {
            let after = Duration::from_secs(25);
            controller.observe(now, Observation::Unanswered { after });
        }
    }
    let mut view = View {
        on_call: vec![Duration::from_secs(5); 5],
        lines: ringing(4, 16),
        budget: AMPLE,
        ..View::default()
    };
    assert!(controller.give_up(Instant::ZERO, &view).is_some());
    for line in &mut view.lines {
        line.cancellable = false;
    }
    assert_eq!(controller.give_up(Instant::ZERO, &view), None);
    view.lines = ringing(4, 16);
    view.on_call.clear();
    view.ready = 5;
    assert_eq!(controller.give_up(Instant::ZERO, &view), None);
}

#[test]
fn large_teams_are_launched_in_batches() {
    let mut controller = grown(DialLevel(1000));
    let budget = Some(Budget {
        permille: 30,
        left: 1_000_000,
    });
    let view = View {
        budget,
        ..ready(500)
    };
    let lines = controller.lines(Instant::ZERO, &view);
    assert!((1200..1600).contains(&lines), "{lines}");
    let out = View {
        lines: ringing(lines as usize, 0),
        ..view
    };
    assert!(controller.lines(Instant::ZERO, &out) < 10);
}

proptest! {
    #[test]
    fn promises_hold_in_every_view(
        mut view in views(),
        level in 100u16..=1000,
        left in prop::option::of(-5_000i64..60_000),
        ages in prop::collection::vec(0u64..900, 0..40),
        wise in any::<bool>(),
    ) {
        let level = DialLevel(level);
        let mut controller = if wise { grown(level) } else { Predictive::new(level) };
        view.budget = left.map(|left| Budget { permille: 30, left });
        view.on_call = ages.iter().map(|age| Duration::from_secs(*age)).collect();
        let launch = controller.lines(Instant::ZERO, &view);
        if launch > 0 {
            prop_assert!(launch + view.outstanding() <= level.lines(view.agents()));
        }
        if view.agents() == 0 {
            prop_assert_eq!(launch, 0);
        }
        if !wise || left.is_none_or(|left| left < 1000) {
            prop_assert_eq!(launch, view.one_to_one());
        }
        let again = controller.clone().lines(Instant::ZERO, &view);
        prop_assert_eq!(again, controller.clone().lines(Instant::ZERO, &view));
    }
}
