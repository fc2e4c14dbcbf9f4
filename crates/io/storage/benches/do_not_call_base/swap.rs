//! Replacing the base while two threads ask it.

use crate::{Changes, about, list::Population, percentiles};
use domain::PhoneNumber;
use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use storage::{DncBase, DncBaseBuild, DncBaseSwap, SORT_MEMORY};

const SPAN: Duration = Duration::from_secs(5);
const READERS: usize = 2;
/// Questions between two looks at the clock.
const BATCH: usize = 100;

/// What one reader saw.
#[derive(Default)]
struct Seen {
    checks: u64,
    missed: u64,
    wrong: u64,
    times: Vec<f64>,
}

/// Folds changes into a second base, then puts one and the other into use in turns.
pub(crate) fn under_load(dir: &Path, first: DncBase, population: &Population) {
    let (on_it, off_it) = (
        population.questions(202_000, true),
        population.questions(202_000, false),
    );
    let (lifted, on_both) = on_it.split_at(1_000);
    let (added, on_none) = off_it.split_at(1_000);
    let changes: Changes = (
        added.iter().copied().collect(),
        lifted.iter().copied().collect(),
    );
    let on_both: Vec<_> = (on_both.iter().copied())
        .filter(|n| !changes.1.contains(n))
        .collect();
    let on_none: Vec<_> = (on_none.iter().copied())
        .filter(|n| !changes.0.contains(n))
        .collect();
    let start = Instant::now();
    let second = DncBaseBuild {
        dir: dir.into(),
        about: about(),
        memory: SORT_MEMORY,
    }
    .compact(
        &first,
        &changes.0,
        &changes.1,
        |_| ControlFlow::Continue(()),
    )
    .expect("room on the disk");
    assert_eq!(
        second.count + changes.1.len() as u64,
        first.count() + changes.0.len() as u64
    );
    println!(
        "compact    {} added, {} lifted: {:.1} s, read back and synced",
        changes.0.len(),
        changes.1.len(),
        start.elapsed().as_secs_f64()
    );
    let second = DncBase::open_verified(&second.path).expect("just built");
    let paths = [first.path().to_owned(), second.path().to_owned()];
    let bases = [Arc::new(first), Arc::new(second)];
    let swap = DncBaseSwap::new(Arc::clone(&bases[0]));
    let run = |name: &str, next: &dyn Fn(usize) -> Arc<DncBase>| {
        let stop = AtomicBool::new(false);
        let mut swaps = 0;
        let mut stale = 0;
        let seen: Vec<Seen> = thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS)
                .map(|_| scope.spawn(|| read(&swap, &stop, &on_both, &on_none)))
                .collect();
            let start = Instant::now();
            while start.elapsed() < SPAN {
                swaps += 1;
                let new = swaps % 2;
                swap.replace(next(new));
                // From here on the other base's differences must show.
                stale += usize::from(swap.contains(added[0]) != (new == 1));
                stale += usize::from(swap.contains(lifted[0]) != (new == 0));
            }
            stop.store(true, Ordering::Relaxed);
            (readers.into_iter())
                .map(|r| r.join().expect("a reader ended"))
                .collect()
        });
        report(name, swaps, stale, &seen);
    };
    run("as in use: each verified and in memory before", &|new| {
        Arc::clone(&bases[new])
    });
    run(
        "as fast as it goes: each mapped anew, the old one unmapped",
        &|new| Arc::new(DncBase::open(&paths[new]).expect("verified before")),
    );
}

fn report(name: &str, swaps: usize, stale: usize, seen: &[Seen]) {
    let mut times: Vec<f64> = seen.iter().flat_map(|s| s.times.iter().copied()).collect();
    let sum = |of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>();
    let (p50, p99) = percentiles(&mut times);
    println!(
        "swap       {swaps} in {:.0} s, {name}; {READERS} readers: {} checks, {} missed, {} wrong, {stale} \
         stale after a swap; ns each p50 {p50:.1} p99 {p99:.1} (batches of {BATCH})",
        SPAN.as_secs_f64(),
        sum(|s| s.checks),
        sum(|s| s.missed),
        sum(|s| s.wrong),
    );
    assert_eq!((sum(|s| s.missed), sum(|s| s.wrong), stale), (0, 0, 0));
}

fn read(
    swap: &DncBaseSwap,
    stop: &AtomicBool,
    on_both: &[PhoneNumber],
    on_none: &[PhoneNumber],
) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        for (yes, no) in on_both.chunks(BATCH / 2).zip(on_none.chunks(BATCH / 2)) {
            let start = Instant::now();
            let found = yes.iter().filter(|n| swap.contains(**n)).count();
            let wrong = no.iter().filter(|n| swap.contains(**n)).count();
            let asked = yes.len() + no.len();
            (seen.times).push(start.elapsed().as_secs_f64() * 1e9 / asked as f64);
            seen.checks += asked as u64;
            seen.missed += (yes.len() - found) as u64;
            seen.wrong += wrong as u64;
        }
    }
    seen
}
