//! `planted`: do the checkers see what they are there for?

use super::run::options;
use simulate::{Defect, Violation};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// Which mistakes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// This one only
    #[arg(long, value_name = "NAME")]
    defect: Option<Defect>,
    /// Give up after so many seeds
    #[arg(long, value_name = "N", default_value_t = 2000)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,
}

/// Tries one mistake until it is found: after how many seeds, and what was seen.
fn find(defect: Defect, args: &Args) -> Option<(u64, Violation)> {
    (0..args.seeds).find_map(|tried| {
        let outcome = simulate::find(&options(args.from + tried, Some(defect)));
        Some((tried + 1, outcome.violation?))
    })
}

/// True when all were found, each by a checker that may find it.
pub(crate) fn run(args: &Args) -> bool {
    let defects: Vec<_> = (Defect::ALL.iter().copied())
        .filter(|defect| args.defect.is_none_or(|only| only == *defect))
        .collect();
    println!(
        "{:<24}{:<10}{:>6}  {:<6}what was seen",
        "mistake", "rule", "seeds", "by"
    );
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(defect) = defects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !told(*defect, find(*defect, args)) {
                        missed
                            .lock()
                            .expect("no worker panics with the list in hand")
                            .push(*defect);
                    }
                }
            });
        }
    });
    let missed = missed
        .into_inner()
        .expect("no worker panics with the list in hand");
    println!(
        "{} of {} found within {} seeds",
        defects.len() - missed.len(),
        defects.len(),
        args.seeds
    );
    for defect in &missed {
        println!(
            "not found as it should be: {defect} ({})",
            defect.breaks().trim()
        );
    }
    missed.is_empty()
}

/// Prints a line; true when it was found by a checker that may find it.
fn told(defect: Defect, found: Option<(u64, Violation)>) -> bool {
    let (name, rule) = (defect.name(), defect.rule());
    match found {
        None => {
            println!("{name:<24}{rule:<10}     -  -");
            false
        }
        Some((seeds, violation)) => {
            let by = format!("{:?}", violation.invariant);
            println!("{name:<24}{rule:<10}{seeds:>6}  {by:<6}{}", violation.what);
            defect.seen_by().contains(&violation.invariant)
        }
    }
}
