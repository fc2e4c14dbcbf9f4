//! A do-not-call base of national size, from a text list to a swap under load, beside a sorted
//! vector and a hash set:
//! `cargo bench -p storage --bench do_not_call_base -- --numbers 250000000`.
//!
//! The list is made of Chinese mobile numbers by a seed, in no order, with repeats and broken lines
//! in known places, so that every count and every answer is checked. `--look-ups-alone` makes the base
//! without a list. Needs 15 bytes of disk a
//! number for the list, and 8 bytes of memory a number for the vector.

#[path = "do_not_call_base/list.rs"]
mod list;
#[path = "do_not_call_base/swap.rs"]
mod swap;

use domain::{PhoneNumber, WallTime};
use list::Population;
use permit::base::{BaseAbout, BaseEncoder, BaseReader};
use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    hint::black_box,
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};
use storage::{BuildProgress, DncBase, DncBaseBuild, SORT_MEMORY, e164};

const DEFAULT_NUMBERS: u64 = 5_000_000;
/// Questions of one kind.
const QUESTIONS: usize = 4_000_000;
/// Questions timed together: a clock takes longer than an answer.
const BATCH: usize = 100;

fn main() {
    let numbers = argument("--numbers").unwrap_or(DEFAULT_NUMBERS);
    let seed = argument("--seed").unwrap_or(1);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the bench");
    let population = Population::new(numbers, seed);
    if std::env::args().any(|a| a == "--look-ups-alone") {
        let path = dir.path().join("base");
        let file = File::create(&path).expect("a new file");
        let mut encoder = BaseEncoder::new(file, about()).expect("a short source");
        (population.numbers()).for_each(|n| encoder.push(n).expect("ascending"));
        encoder.finish().expect("room on the disk");
        let base = DncBase::open_verified(&path).expect("just written");
        return look_ups(&base, &population);
    }
    let path = dir.path().join("list.txt");
    let start = Instant::now();
    let made = population.write(&path);
    println!(
        "list       {} numbers, {} repeats, {} broken lines, {:.2} GB, made in {:.1} s",
        made.numbers,
        made.repeats,
        made.broken,
        gigabytes(fs::metadata(&path).expect("just written").len()),
        start.elapsed().as_secs_f64()
    );
    let base = build(dir.path(), &path, &made);
    fs::remove_file(&path).expect("the list is no longer needed");
    look_ups(&base, &population);
    spread(numbers / 5);
    swap::under_load(dir.path(), base, &population);
}

/// The value after `name` on the command line.
fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|a| a != name).skip(1);
    arguments.next().map(|value| {
        (value.replace('_', "").parse()).unwrap_or_else(|_| panic!("{name} takes a number"))
    })
}

pub(crate) fn about() -> BaseAbout {
    BaseAbout {
        source: "bench".into(),
        built_at: WallTime::EPOCH,
    }
}

fn build(dir: &Path, list: &Path, made: &list::Made) -> DncBase {
    let build = DncBaseBuild {
        dir: dir.into(),
        about: about(),
        memory: SORT_MEMORY,
    };
    let mut rejected = 0;
    let mut peak = 0;
    let start = Instant::now();
    let mut times = [Duration::ZERO; 3];
    let (built, counts) = build
        .from_list(
            File::open(list).expect("the list was written"),
            e164,
            |_| {
                rejected += 1;
                Ok(())
            },
            |progress| {
                let step = match progress {
                    BuildProgress::Reading { .. } => 0,
                    BuildProgress::Writing { .. } => 1,
                    BuildProgress::Verifying { .. } => 2,
                };
                times[step] = start.elapsed();
                peak = peak.max(status("RssAnon:"));
                ControlFlow::Continue(())
            },
        )
        .expect("the list is sound");
    let whole = start.elapsed();
    assert_eq!(
        (counts.accepted, counts.duplicate, counts.invalid, rejected),
        (made.numbers, made.repeats, made.broken, made.broken),
        "counts are exact"
    );
    println!(
        "build      {:.1} s (read and sort until {:.1}, merge and write until {:.1}, read back and sync \
         the rest), peak memory {:.0} MB, {:.2} M lines/s",
        whole.as_secs_f64(),
        times[0].as_secs_f64(),
        times[1].as_secs_f64(),
        peak as f64 / 1e6,
        counts.read as f64 / whole.as_secs_f64() / 1e6
    );
    let start = Instant::now();
    let base = DncBase::open(&built.path).expect("just built");
    let opened = start.elapsed();
    base.verify(|_| {}).expect("just built");
    println!(
        "open       {:.0} us; verify every byte and the structure {:.2} s; {:.3} GB, {:.3} bytes a number",
        opened.as_secs_f64() * 1e6,
        (start.elapsed() - opened).as_secs_f64(),
        gigabytes(built.bytes),
        built.bytes as f64 / built.count as f64
    );
    base
}

fn look_ups(base: &DncBase, population: &Population) {
    let hits = population.questions(QUESTIONS, true);
    let misses = population.questions(QUESTIONS, false);
    println!(
        "look-ups   {} numbers; ns each, in batches of {BATCH} (mean, p50, p99 of batches); chained: \
         each waits for the one before; alone: with a clock around each, the clock's cost taken off",
        base.count()
    );
    header();
    let bytes = base.file_bytes() as f64 / base.count() as f64;
    row("base file", bytes, &hits, &misses, |n| base.contains(n));
    let start = Instant::now();
    let resident = DncBase::open_resident(base.path()).expect("verified before");
    let copied = start.elapsed().as_secs_f64();
    let name = format!("in memory ({copied:.1} s)");
    row(&name, bytes, &hits, &misses, |n| resident.contains(n));
    together("file, 500 at once", base, &hits, &misses);
    together("memory, 500 at once", &resident, &hits, &misses);
    drop(resident);
    if status_of("/proc/meminfo", "MemAvailable:") < base.count() * 12 {
        println!("           too little memory for the sorted vector");
        return;
    }
    let sorted: Vec<u64> = (base.numbers())
        .map(|n| n.expect("verified").digits())
        .collect();
    row("sorted vector", 8.0, &hits, &misses, |n| {
        sorted.binary_search(&n.digits()).is_ok()
    });
    let before = status("RssAnon:");
    let set: HashSet<u64> = (sorted.iter().step_by(5)).copied().collect();
    let bytes = (status("RssAnon:") - before) as f64 / set.len() as f64;
    let kept: Vec<PhoneNumber> = (hits.iter().copied())
        .filter(|n| set.contains(&n.digits()))
        .collect();
    let name = format!("hash set of {} M", set.len() / 1_000_000);
    row(&name, bytes, &kept, &misses, |n| set.contains(&n.digits()));
}

/// As a claim asks: so many leads at once.
fn together(name: &str, base: &DncBase, hits: &[PhoneNumber], misses: &[PhoneNumber]) {
    let claim = domain::limits::CLAIM_BATCH;
    let mut found = vec![false; claim];
    let mut batches = |questions: &[PhoneNumber], expected: bool| {
        let mut times = Vec::with_capacity(questions.len() / claim);
        for batch in questions.chunks_exact(claim) {
            let start = Instant::now();
            base.contains_many(black_box(batch), &mut found);
            times.push(start.elapsed().as_secs_f64() * 1e9 / claim as f64);
            assert!(found.iter().all(|f| *f == expected), "{name}: exact");
        }
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let (p50, p99) = percentiles(&mut times);
        format!("{mean:>8.1}{p50:>8.1}{p99:>8.1}")
    };
    let (hit, miss) = (batches(hits, true), batches(misses, false));
    println!("           {name:<18}{:>9}  {hit:>24}  {miss:>24}", "");
}

/// Sixty countries, thinly.
fn spread(numbers: u64) {
    let mut encoder = BaseEncoder::new(Vec::new(), about()).expect("a short source");
    let each = (numbers / 60).max(1);
    let gap = 1_000_000_000 / each;
    let mut state = 7;
    let (mut hits, mut misses) = (Vec::new(), Vec::new());
    let mut count = 0;
    for country in 0..60 {
        let mut at = (20 + country) * 10_000_000_000;
        for _ in 0..each {
            let step = list::random(&mut state) % (2 * gap) + 1;
            if step > 1 {
                misses.push(list::number(at + 1));
            }
            at += step;
            encoder.push(list::number(at)).expect("ascending");
            hits.push(list::number(at));
            count += 1;
            if hits.len() > 2 * QUESTIONS {
                list::thin(&mut hits, &mut state);
                list::thin(&mut misses, &mut state);
            }
        }
    }
    let (bytes, summary) = encoder.finish().expect("memory takes it");
    let (_, base) = BaseReader::open(&bytes).expect("just written");
    list::shuffle(&mut hits, &mut state);
    list::shuffle(&mut misses, &mut state);
    println!("spread     {count} numbers over 60 countries of 10^9");
    header();
    let each = summary.bytes as f64 / summary.count as f64;
    row("base file", each, &hits, &misses, |n| base.contains(n));
}

fn header() {
    println!(
        "           {:<18}{:>9}  {:>24}  {:>24}  {:>8}  {:>14}",
        "", "bytes each", "hit mean p50 p99", "miss mean p50 p99", "chained", "alone p50 p99"
    );
}

fn row(
    name: &str,
    bytes: f64,
    hits: &[PhoneNumber],
    misses: &[PhoneNumber],
    ask: impl Fn(PhoneNumber) -> bool,
) {
    let batches = |questions: &[PhoneNumber], expected: bool| {
        let mut times = Vec::with_capacity(questions.len() / BATCH);
        for batch in questions.chunks_exact(BATCH) {
            let start = Instant::now();
            let found: usize = (batch.iter())
                .map(|n| usize::from(ask(black_box(*n))))
                .sum();
            times.push(start.elapsed().as_secs_f64() * 1e9 / BATCH as f64);
            assert_eq!(found, if expected { BATCH } else { 0 }, "{name}: exact");
        }
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let (p50, p99) = percentiles(&mut times);
        format!("{mean:>8.1}{p50:>8.1}{p99:>8.1}")
    };
    let (hit, miss) = (batches(hits, true), batches(misses, false));
    let start = Instant::now();
    let mut at = 0;
    let mut asked = 0;
    while at < hits.len() {
        // Where the next question lies depends on this answer.
        at += usize::from(ask(hits[at]));
        asked += 1;
    }
    let chained = start.elapsed().as_secs_f64() * 1e9 / f64::from(asked);
    let mut clock: Vec<f64> = (0..100_000).map(|_| alone(|| true)).collect();
    let (clock, _) = percentiles(&mut clock);
    let mut single: Vec<f64> = (hits.iter().zip(misses))
        .flat_map(|(hit, miss)| [alone(|| ask(*hit)), alone(|| ask(*miss))])
        .map(|ns| ns - clock)
        .collect();
    let (p50, p99) = percentiles(&mut single);
    println!(
        "           {name:<18}{bytes:>9.3}  {hit:>24}  {miss:>24}  {chained:>8.1}  {p50:>7.0}{p99:>7.0}"
    );
}

fn alone(ask: impl FnOnce() -> bool) -> f64 {
    let start = Instant::now();
    black_box(ask());
    start.elapsed().as_secs_f64() * 1e9
}

pub(crate) fn percentiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    (at(50).unwrap_or(0.0), at(99).unwrap_or(0.0))
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

fn status(field: &str) -> u64 {
    status_of("/proc/self/status", field)
}

/// A field in kilobytes, as bytes.
fn status_of(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field));
    let value = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    value.unwrap_or(0) * 1024
}

/// What the second base of the swap has more, and less.
pub(crate) type Changes = (BTreeSet<PhoneNumber>, BTreeSet<PhoneNumber>);
