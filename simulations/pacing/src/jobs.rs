//! Many runs on every processor, with progress; runs that a file holds already are not made again.

use crate::Run;
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, IsTerminal as _, Write as _},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What tells two runs of one population apart: controller, agents, answer rate in millionths,
/// hours in seconds, seed.
type Key = (String, usize, u64, u64, u64);

/// One run to make.
pub(crate) struct Job<'a> {
    pub(crate) controller: String,
    pub(crate) agents: usize,
    pub(crate) answer_rate: f64,
    pub(crate) hours: f64,
    pub(crate) seed: u64,
    pub(crate) make: Box<dyn Fn() -> Run + Send + Sync + 'a>,
}

impl Job<'_> {
    fn key(&self) -> Key {
        let name = self.controller.clone();
        key(name, self.agents, self.answer_rate, self.hours, self.seed)
    }
}

fn key(name: String, agents: usize, answer_rate: f64, hours: f64, seed: u64) -> Key {
    let whole = |value: f64, unit: f64| (value * unit).round() as u64;
    (
        name,
        agents,
        whole(answer_rate, 1e6),
        whole(hours, 3600.0),
        seed,
    )
}

/// Makes all runs and gives them in the jobs' order. With `json` each is printed as it ends; with
/// `keep` each is added to that file as well, and those found there are taken from it.
pub(crate) fn all(jobs: &[Job<'_>], json: bool, keep: Option<&Path>) -> anyhow::Result<Vec<Run>> {
    let kept = keep.map(read).transpose()?.unwrap_or_default();
    let file = keep.map(|path| {
        (File::options().create(true).append(true).open(path))
            .with_context(|| format!("{} cannot be written; name another file", path.display()))
    });
    let file = file.transpose()?.map(Mutex::new);
    let found: Vec<Option<Run>> = (jobs.iter().map(|job| kept.get(&job.key()).cloned())).collect();
    let todo: Vec<usize> = (0..jobs.len()).filter(|at| found[*at].is_none()).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(found);
    let progress = Mutex::new(Progress::new(todo.len()));
    let failed = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(at) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let run = (jobs[*at].make)();
                    let line = serde_json::json!(run);
                    if json {
                        println!("{line}");
                    }
                    if let Some(file) = &file {
                        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Err(error) = writeln!(file, "{line}") {
                            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        }
                    }
                    let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                    progress.note(&run);
                    done.lock().unwrap_or_else(PoisonError::into_inner)[*at] = Some(run);
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().context("a run panicked")? {
        return Err(error).context("the file of --keep cannot be written; is the disk full?");
    }
    let done = done.into_inner().context("a run panicked")?;
    (done.into_iter())
        .map(|run| run.context("a run is missing"))
        .collect()
}

/// The runs that a file holds. A last line that was cut off by a kill is passed over.
fn read(path: &Path) -> anyhow::Result<BTreeMap<Key, Run>> {
    let mut runs = BTreeMap::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(runs),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    for line in BufReader::new(file).lines() {
        let line = line.with_context(|| format!("{} cannot be read", path.display()))?;
        if let Ok(run) = serde_json::from_str::<Run>(&line) {
            let name = run.controller.clone();
            let key = key(name, run.agents, run.answer_rate, run.hours, run.seed);
            runs.insert(key, run);
        }
    }
    Ok(runs)
}

/// How far it is, on the error output: a bar where somebody looks, else a line now and then.
struct Progress {
    total: usize,
    done: usize,
    over: usize,
    began: Instant,
    next: Instant,
    looks: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        let now = Instant::now();
        Self {
            total,
            done: 0,
            over: 0,
            began: now,
            next: now,
            looks: std::io::stderr().is_terminal(),
        }
    }

    fn note(&mut self, run: &Run) {
        self.done += 1;
        self.over += usize::from(run.over_budget_calls > 1.0);
        let now = Instant::now();
        if now < self.next && self.done < self.total {
            return;
        }
        let every = if self.looks { 1 } else { 30 };
        self.next = now + Duration::from_secs(every);
        let text = self.text(now.duration_since(self.began));
        if !self.looks {
            eprintln!("{text}");
        } else if self.done < self.total {
            eprint!("\r{text} ");
        } else {
            eprintln!("\r{text} ");
        }
    }

    fn text(&self, passed: Duration) -> String {
        let share = self.done as f64 / self.total.max(1) as f64;
        let left = passed.as_secs_f64() * (1.0 - share) / share.max(1e-9);
        let filled = (share * 24.0) as usize;
        format!(
            "[{}{}] {} of {} runs, {} over budget, {:.0}:{:02.0} left",
            "#".repeat(filled),
            ".".repeat(24 - filled),
            self.done,
            self.total,
            self.over,
            (left / 60.0).floor(),
            left % 60.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(seed: u64, made: &AtomicUsize) -> Job<'_> {
        Job {
            controller: "one".to_owned(),
            agents: 2,
            answer_rate: 0.3,
            hours: 1.5,
            seed,
            make: Box::new(move || {
                made.fetch_add(1, Ordering::Relaxed);
                Run {
                    controller: "one".to_owned(),
                    agents: 2,
                    answer_rate: 0.3,
                    hours: 1.5,
                    seed,
                    answers: seed * 10,
                    ..Run::default()
                }
            }),
        }
    }

    #[test]
    fn a_run_that_is_kept_is_not_made_again() {
        let path = std::env::temp_dir().join(format!("pacing-keep-{}", std::process::id()));
        if path.exists() {
            std::fs::remove_file(&path).unwrap();
        }
        let made = AtomicUsize::new(0);
        let jobs: Vec<_> = (0..3).map(|seed| job(seed, &made)).collect();
        all(&jobs, false, Some(&path)).unwrap();
        // Killed in the middle of a line.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{{\"controller\":\"o")).unwrap();
        let jobs: Vec<_> = (1..5).map(|seed| job(seed, &made)).collect();
        let runs = all(&jobs, false, Some(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 5);
        let answers: Vec<u64> = runs.iter().map(|run| run.answers).collect();
        assert_eq!(answers, [10, 20, 30, 40]);
    }

    #[test]
    fn progress_says_what_is_left() {
        let mut progress = Progress::new(8);
        (progress.done, progress.over) = (2, 1);
        let text = progress.text(Duration::from_secs(30));
        assert_eq!(
            text,
            "[######..................] 2 of 8 runs, 1 over budget, 1:30 left"
        );
    }
}
