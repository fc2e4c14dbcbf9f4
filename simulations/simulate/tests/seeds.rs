//! Seeds are clean, repeat to the bit, and planted mistakes are found.

use simulate::{Defect, Happening, Invariant, Keep, Options, Seen, determinism, find, run};

/// `SEEDS` says how many.
const SEEDS: u64 = 10_000;
/// Fewer may lack something that seldom happens.
const FEW: u64 = 1000;

/// Every `step`th seed from `first` on.
fn seeds(first: u64, step: usize, end: u64) -> Seen {
    let mut sum = Seen::default();
    for seed in (first..end).step_by(step) {
        let outcome = run(&Options::drawn(seed), Keep::Hash);
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}: {violation}\nagain: cargo simulate --seed {seed}");
        }
        sum.add(&outcome.seen);
    }
    sum
}

#[test]
fn seeds_are_clean_and_things_happen() {
    let all = (std::env::var("SEEDS").ok())
        .and_then(|n| n.parse().ok())
        .unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sum = Seen::default();
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads as u64)
            .map(|first| scope.spawn(move || seeds(first, threads, all)))
            .collect();
        for part in parts {
            sum.add(&part.join().expect("its seeds are clean"));
        }
    });
    // A simulation in which something never happens proves nothing about it.
    for (of, count) in sum.all() {
        assert!(
            count > 0 || all < FEW,
            "in {all} seeds there were no {}",
            of.words()
        );
    }
    assert!(sum.count(Happening::Invites) > 10 * all);
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..12 {
        let options = Options::drawn(seed);
        determinism(&options).unwrap_or_else(|d| panic!("seed {seed}: {d:?}"));
    }
    let hash = |seed| run(&Options::drawn(seed), Keep::Hash).trace.hash();
    assert_ne!(hash(1), hash(2));
}

#[test]
fn every_planted_mistake_is_found_by_its_checker() {
    let mut by = std::collections::BTreeSet::new();
    for defect in Defect::ALL {
        let found = (0..1000).find_map(|seed| {
            let outcome = find(&Options::drawn(seed).with(*defect));
            Some((seed, outcome.violation?))
        });
        let (seed, violation) = found.unwrap_or_else(|| panic!("{defect} is not found"));
        println!("{defect}: seed {seed}: {violation}");
        assert!(
            defect.seen_by().contains(&violation.invariant),
            "{defect}: seed {seed}: {violation}"
        );
        by.insert(violation.invariant);
    }
    assert_eq!(
        by.len(),
        Invariant::ALL.len(),
        "each checker finds something: {by:?}"
    );
}

#[test]
fn a_run_with_words_is_the_run_without() {
    let options = Options::drawn(5);
    let (quiet, told) = (run(&options, Keep::Hash), run(&options, Keep::All));
    assert_eq!(quiet.trace.hash(), told.trace.hash());
    assert!(told.trace.lines().count() > 1000);
    assert_eq!(told.trace.first_difference(&told.trace), None);
    let other = run(&Options::drawn(6), Keep::All);
    assert!(told.trace.first_difference(&other.trace).is_some());
}

#[test]
fn names_of_mistakes_are_read_back_and_say_what_they_break() {
    for defect in Defect::ALL {
        assert_eq!(defect.name().parse(), Ok(*defect));
        assert!(defect.breaks().contains(':'), "{defect}");
        assert!(!defect.seen_by().is_empty());
    }
    assert!(
        "none"
            .parse::<Defect>()
            .unwrap_err()
            .contains("wrong-order")
    );
}
