//! `swarm`: many seeds.

use super::{options, print_seen, tell_broken};
use raft_sim::{Keep, Options, Outcome, Rule, Seen, Violation};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

/// Which seeds.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 200)]
    seeds: u64,
    /// The first one
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: u64,
    /// Of so many seeds, one is run twice and compared (0: none)
    #[arg(long, value_name = "N", default_value_t = 16)]
    twice_every: u64,
    /// Do not stop at the first broken rule, but name every seed that breaks one
    #[arg(long)]
    keep_going: bool,
}

#[derive(Default)]
struct Sum {
    seen: Seen,
    failed: Option<(Options, Outcome)>,
}

/// True when every seed was clean.
pub(crate) fn run(args: &Args) -> bool {
    let started = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| work(args, &next, &done, &stop, &sum));
        }
    });
    let sum = (sum.into_inner()).expect("no worker panics with the sum in hand");
    print_seen(&sum.seen);
    let done = done.into_inner();
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    println!(
        "{done} seeds from {} in {:.1} s: {:.0} seeds a minute on {} threads",
        args.from,
        minutes * 60.0,
        done as f64 / minutes,
        args.threads
    );
    match sum.failed {
        None => {
            println!("every seed is clean");
            true
        }
        Some((options, outcome)) => {
            tell_broken(&options, &outcome);
            false
        }
    }
}

fn work(args: &Args, next: &AtomicU64, done: &AtomicU64, stop: &AtomicBool, sum: &Mutex<Sum>) {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let place = next.fetch_add(1, Ordering::Relaxed);
        if place >= args.seeds {
            break;
        }
        let options = options(args.from + place, None);
        let mut outcome = raft_sim::run(&options, Keep::Hash);
        let twice = args.twice_every > 0 && place.is_multiple_of(args.twice_every);
        if twice && outcome.violation.is_none() {
            outcome.violation = compared(&options, &outcome);
        }
        seen.add(&outcome.seen);
        done.fetch_add(1, Ordering::Relaxed);
        if let Some(violation) = &outcome.violation {
            if args.keep_going {
                println!("seed {}: {violation}", options.seed);
            } else {
                stop.store(true, Ordering::Relaxed);
            }
            let mut sum = sum.lock().expect("no worker panics with the sum in hand");
            if (sum.failed.as_ref()).is_none_or(|(o, _)| options.seed < o.seed) {
                sum.failed = Some((options, outcome));
            }
        }
    }
    let mut sum = sum.lock().expect("no worker panics with the sum in hand");
    sum.seen.add(&seen);
}

/// I12: the same run once more.
fn compared(options: &Options, first: &Outcome) -> Option<Violation> {
    let second = raft_sim::run(options, Keep::Hash);
    let same = first.trace.hash() == second.trace.hash() && first.replicas == second.replicas;
    (!same).then(|| Violation {
        rule: Rule::OneRun,
        what: format!(
            "two runs differ; `cargo simulate-raft check-determinism --seed {}` says where",
            options.seed
        ),
        at: 0,
    })
}
