//! Hostile bytes for everything that reads what strangers and carriers send.
//!
//! A run is one seed: a target in its first state, and [`INPUTS_OF_A_RUN`] inputs that are messages of
//! the corpus, changed. So a failure is seen again by its target and seed alone, with whatever state
//! the inputs before it left. Inputs are drawn blindly, not led by coverage; what once failed stays in
//! the corpus and is run as it was.
//!
//! Wrong is: a panic, an invariant of the target that does not hold, an input that takes more than
//! [`LONGEST`] of CPU.

mod corpus;
mod mutate;
mod targets;

pub use targets::{TARGETS, Target};

use rustix::time::{ClockId, clock_gettime};
use sansio::Seed;
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Inputs that one state is given.
pub const INPUTS_OF_A_RUN: u64 = 50;

/// CPU that one input may take.
pub const LONGEST: Duration = Duration::from_millis(10);

/// Runs of a seed that took too long, before it counts: others use the machine too, and what they
/// evict from its caches is paid for here.
const TRIES: u32 = 3;

/// What was found.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The target's name.
    pub target: &'static str,
    /// The run.
    pub seed: u64,
    /// Which of its inputs, from 0.
    pub input: u64,
    /// What went wrong.
    pub why: String,
    /// The input.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: input {} of seed {}: {}\n  again: cargo fuzz-inputs --target {} --from {} --inputs {INPUTS_OF_A_RUN}\n  {}",
            self.target,
            self.input,
            self.seed,
            self.why,
            self.target,
            self.seed,
            self.bytes.escape_ascii()
        )
    }
}

/// CPU that this thread has used.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// What was seen of many runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Inputs given.
    pub inputs: u64,
    /// CPU of the longest.
    pub longest: Duration,
    /// CPU of all.
    pub total: Duration,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.longest = self.longest.max(other.longest);
        self.total += other.total;
    }
}

/// One run.
///
/// # Errors
/// What went wrong.
pub fn run(target: &Target, seed: u64) -> Result<Report, Failure> {
    for _ in 1..TRIES {
        match try_run(target, seed) {
            Ok(report) if report.longest > LONGEST => {}
            done => return done,
        }
    }
    let report = try_run(target, seed)?;
    match report.longest > LONGEST {
        false => Ok(report),
        true => Err(Failure {
            target: target.name,
            seed,
            input: INPUTS_OF_A_RUN,
            why: format!("one of its inputs took {:?} of CPU", report.longest),
            bytes: Vec::new(),
        }),
    }
}

fn try_run(target: &Target, seed: u64) -> Result<Report, Failure> {
    let mut stream = Seed::from_u64(seed).stream(target.name);
    let mut state = (target.start)(&mut stream);
    let corpus = corpus::of(target.name);
    let mut report = Report::default();
    for input in 0..INPUTS_OF_A_RUN {
        let mut bytes = state.example(&mut stream).unwrap_or_else(|| {
            let place = stream.below(u32::try_from(corpus.len()).unwrap_or(u32::MAX));
            corpus[place as usize].clone()
        });
        mutate::change(&mut bytes, &mut stream, target.words);
        let began = used();
        let taken = catch_unwind(AssertUnwindSafe(|| state.take(&bytes, &mut stream)));
        let spent = used().saturating_sub(began);
        report.inputs += 1;
        report.total += spent;
        report.longest = report.longest.max(spent);
        let why = match taken {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(panic) => format!("panicked: {}", text(&*panic)),
        };
        let target = target.name;
        return Err(Failure {
            target,
            seed,
            input,
            why,
            bytes,
        });
    }
    Ok(report)
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a word")
}

/// The corpus of a target as it is, each message in a fresh state.
///
/// # Errors
/// What went wrong.
pub fn run_corpus(target: &Target) -> Result<u64, Failure> {
    for (seed, bytes) in (0..).zip(corpus::of(target.name)) {
        let mut stream = Seed::from_u64(seed).stream(target.name);
        let taken = catch_unwind(AssertUnwindSafe(|| {
            (target.start)(&mut stream).take(bytes, &mut stream)
        }));
        let why = match taken {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(panic) => format!("panicked: {}", text(&*panic)),
        };
        return Err(Failure {
            target: target.name,
            seed,
            input: 0,
            why,
            bytes: bytes.clone(),
        });
    }
    Ok(corpus::of(target.name).len() as u64)
}

/// So many inputs from seed `from` on, on two threads.
///
/// # Errors
/// The first failure that was met.
pub fn swarm(
    target: &Target,
    from: u64,
    inputs: u64,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Report, Failure> {
    let runs = inputs.div_ceil(INPUTS_OF_A_RUN);
    let next = AtomicU64::new(0);
    let work = || {
        let mut report = Report::default();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= runs {
                return Ok(report);
            }
            match run(target, from + place) {
                Ok(one) => report.add(one),
                Err(failure) => {
                    // Nobody begins another.
                    next.store(runs, Ordering::Relaxed);
                    return Err(failure);
                }
            }
            told(place * INPUTS_OF_A_RUN);
        }
    };
    let reports = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().expect("panics of targets are caught"))
    });
    let mut all = Report::default();
    for report in reports {
        all.add(report?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansio::Stream;
    use targets::State;

    /// Panics at a zero in a digit's place, keeps more than it may, or takes its time.
    struct Bad(&'static str);

    impl State for Bad {
        fn take(&mut self, bytes: &[u8], _: &mut Stream) -> Result<(), String> {
            let met = bytes.starts_with(b"v=-1");
            match self.0 {
                "panics" => assert!(!met, "a negative version"),
                "breaks" if met => return Err("more than it may".into()),
                "slow" if met => {
                    let began = used();
                    while used() < began + LONGEST + Duration::from_millis(1) {}
                }
                _ => {}
            }
            Ok(())
        }
    }

    fn bad(start: fn(&mut Stream) -> Box<dyn State>) -> Target {
        Target {
            name: "sdp",
            about: "one that fails",
            corpus: "sdp",
            words: &[],
            start,
        }
    }

    #[test]
    fn what_is_wrong_is_found_and_seen_again() {
        let find = |target: &Target| {
            let found = swarm(target, 0, 100_000, &|_| ()).expect_err("it is found");
            let again = run(target, found.seed).expect_err("it is seen again");
            assert_eq!((again.input, again.bytes), (found.input, found.bytes));
            found.why
        };
        assert_eq!(
            find(&bad(|_| Box::new(Bad("panics")))),
            "panicked: a negative version"
        );
        assert_eq!(find(&bad(|_| Box::new(Bad("breaks")))), "more than it may");
        let slow = find(&bad(|_| Box::new(Bad("slow"))));
        assert!(slow.contains("took 1"), "{slow}");
        assert!(swarm(&bad(|_| Box::new(Bad("never"))), 0, 1_000, &|_| ()).is_ok());
    }
}
