//! Seeds are clean, repeat to the bit, and planted mistakes are found.
#![allow(clippy::unwrap_used, reason = "a test stops where it is surprised")]

use raft_sim::{Defect, Keep, Options, Seen, SimRuntime, determinism, find, run};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `SEEDS` says how many.
const SEEDS: u64 = 200;
/// So few may lack something that seldom happens.
const FEW: u64 = 100;

/// Every `step`th seed from `first` on.
fn seeds(first: u64, step: usize, end: u64) -> Seen {
    let mut sum = Seen::default();
    for seed in (first..end).step_by(step) {
        let outcome = run(&Options::drawn(seed), Keep::Hash);
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}: {violation}\nagain: cargo simulate-raft --seed {seed} --events");
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
        println!("{count:>12}  {}", of.words());
        assert!(
            count > 0 || all < FEW,
            "in {all} seeds there were no {}",
            of.words()
        );
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..6 {
        let options = Options::drawn(seed);
        determinism(&options).unwrap_or_else(|d| panic!("seed {seed}: {d:?}"));
    }
    let hash = |seed| run(&Options::drawn(seed), Keep::Hash).trace.hash();
    assert_ne!(hash(1), hash(2));
}

#[test]
fn two_processes_run_a_seed_alike() {
    let tell = || {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_raft-sim"))
            .args(["--seed", "11", "--events"])
            .output()
            .expect("it was built for this test");
        assert!(ran.status.success(), "{ran:?}");
        ran.stdout
    };
    let (first, second) = (tell(), tell());
    assert!(first.len() > 10_000);
    assert!(first == second, "equal bytes of the event log");
}

#[test]
fn every_planted_mistake_is_found_by_its_checker() {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(defect) = Defect::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    is_found(*defect);
                }
            });
        }
    });
}

/// Within a thousand seeds, by a checker that may find it.
fn is_found(defect: Defect) {
    let found = (0..1000).find_map(|seed| {
        let outcome = find(&Options::drawn(seed).with(defect));
        Some((seed, outcome.violation?))
    });
    let (seed, violation) = found.unwrap_or_else(|| panic!("{defect} is not found"));
    println!("{defect}: seed {seed}: {violation}");
    assert!(
        defect.seen_by().contains(&violation.rule),
        "{defect}: seed {seed}: {violation}"
    );
}

#[test]
fn the_runtime_is_as_openraft_demands() {
    consensus::platform::RuntimeSuite::<SimRuntime>::test_all();
}

#[test]
fn names_of_mistakes_are_read_back_and_say_what_they_break() {
    for defect in Defect::ALL {
        assert_eq!(defect.name().parse(), Ok(*defect));
        assert!(defect.breaks().contains(':') || *defect == Defect::ForeignEntropy);
        assert!(!defect.seen_by().is_empty());
    }
    assert!("none".parse::<Defect>().unwrap_err().contains("hash-order"));
}
