//! `swarm`: many seeds.

use super::{print_seen, replay, tell_broken};
use anyhow::Result;
use simulate::{Invariant, Keep, Options, Outcome, Seen, Violation};
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Which seeds.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 10_000)]
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
    /// Where a failing seed's file goes
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
}

#[derive(Default)]
struct Sum {
    seen: Seen,
    failed: Option<(Options, Outcome)>,
}

/// True when every seed was clean.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let started = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.threads.max(1))
            .map(|_| scope.spawn(|| work(args, &next, &done, &stop, &sum)))
            .collect();
        let mut told = Instant::now();
        while !workers.iter().all(|worker| worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
            let every = if std::io::stderr().is_terminal() {
                1
            } else {
                15
            };
            if told.elapsed() >= Duration::from_secs(every) {
                told = Instant::now();
                progress(args, done.load(Ordering::Relaxed), started.elapsed());
            }
        }
    });
    progress(args, done.load(Ordering::Relaxed), started.elapsed());
    eprintln!();
    let sum = sum
        .into_inner()
        .expect("no worker panics with the sum in hand");
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
    let Some((options, outcome)) = sum.failed else {
        println!("every seed is clean");
        return Ok(true);
    };
    let file = args.out.join(format!("seed-{}.json", options.seed));
    replay::write(&file, &options, &outcome)?;
    let again = format!("cargo simulate replay {}", file.display());
    tell_broken(&options, &outcome, &again);
    Ok(false)
}

fn work(args: &Args, next: &AtomicU64, done: &AtomicU64, stop: &AtomicBool, sum: &Mutex<Sum>) {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let place = next.fetch_add(1, Ordering::Relaxed);
        if place >= args.seeds {
            break;
        }
        let options = Options::drawn(args.from + place);
        let mut outcome = simulate::run(&options, Keep::Hash);
        let twice = args.twice_every > 0 && place.is_multiple_of(args.twice_every);
        if twice && outcome.violation.is_none() {
            outcome.violation = compared(&options, &outcome);
        }
        seen.add(&outcome.seen);
        done.fetch_add(1, Ordering::Relaxed);
        if outcome.violation.is_some() {
            stop.store(true, Ordering::Relaxed);
            let mut sum = sum.lock().expect("no worker panics with the sum in hand");
            let first = (sum.failed.as_ref()).is_none_or(|(o, _)| options.seed < o.seed);
            if first {
                sum.failed = Some((options, outcome));
            }
        }
    }
    let mut sum = sum.lock().expect("no worker panics with the sum in hand");
    sum.seen.add(&seen);
}

/// I12: the same run once more.
fn compared(options: &Options, first: &Outcome) -> Option<Violation> {
    let second = simulate::run(options, Keep::Hash);
    let same = first.trace.hash() == second.trace.hash() && first.replicas == second.replicas;
    (!same).then(|| Violation {
        invariant: Invariant::I12,
        what: format!(
            "two runs differ; `cargo simulate check-determinism --seed {}` says where",
            options.seed
        ),
        at: 0,
    })
}

fn progress(args: &Args, done: u64, elapsed: Duration) {
    let a_minute = done as f64 * 60.0 / elapsed.as_secs_f64().max(0.001);
    let mut to = std::io::stderr();
    let end = if to.is_terminal() { "\r" } else { "\n" };
    // Whoever closed stderr does not want to know.
    write!(
        to,
        "{done} of {} seeds, {a_minute:.0} a minute{end}",
        args.seeds
    )
    .ok();
    to.flush().ok();
}
