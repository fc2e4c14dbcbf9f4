//! Every state of both models, and every mistake on purpose.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use protocol_model::{Defect, Invariant, Part, SHAPES, Shape};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

/// On two threads.
fn each<T: Sync>(all: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(one);
                }
            });
        }
    });
}

#[test]
fn no_state_breaks_a_rule_and_what_should_happen_does() {
    each(&SHAPES, |shape: &Shape| {
        let explored = shape.explore(None);
        println!(
            "{shape}: {} states, {} steps, {} deep, {:.1} s",
            explored.states,
            explored.steps,
            explored.depth,
            explored.took.as_secs_f64()
        );
        assert!(explored.broken.is_none(), "{shape}: {:?}", explored.broken);
        for (what, steps) in &explored.sometimes {
            assert!(steps.is_some(), "{shape}: never: {what}");
        }
    });
}

#[test]
fn every_mistake_has_a_counterexample() {
    each(Defect::ALL, |defect| {
        let explored = Shape::of(*defect).explore(Some(*defect));
        let broken = explored.broken.unwrap_or_else(|| {
            panic!("{defect} is not found in {} states", explored.states);
        });
        println!(
            "{defect}: {:?} in {} steps, {} states",
            broken.invariant,
            broken.steps.len(),
            explored.states
        );
        assert!(
            defect.seen_by().contains(&broken.invariant),
            "{defect}: {broken:?}"
        );
    });
}

#[test]
fn names_of_mistakes_are_read_back_and_say_what_they_break() {
    let mut seen = BTreeSet::new();
    for defect in Defect::ALL {
        assert_eq!(defect.name().parse(), Ok(*defect));
        assert!(defect.breaks().contains(':'), "{defect}");
        assert_eq!(
            defect.part() == Part::Freshness,
            defect.seen_by() == [Invariant::I3],
            "{defect}"
        );
        seen.insert(defect.name());
    }
    assert_eq!(seen.len(), Defect::ALL.len());
    assert!("none".parse::<Defect>().unwrap_err().contains("no-guard"));
}
