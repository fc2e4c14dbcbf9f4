//! CPU time of processes and threads, as the kernel counts it.

use std::{collections::BTreeMap, fs, time::Duration};

/// A process's CPU from a moment on.
#[derive(Debug)]
pub(crate) struct Clock {
    path: String,
    began: Duration,
}

impl Clock {
    pub(crate) fn of_self() -> Self {
        Self::at("/proc/self/stat".to_owned())
    }

    pub(crate) fn of(process: u32) -> Self {
        Self::at(format!("/proc/{process}/stat"))
    }

    fn at(path: String) -> Self {
        let began = spent(&path);
        Self { path, began }
    }

    /// User and system time since.
    pub(crate) fn spent(&self) -> Duration {
        spent(&self.path).saturating_sub(self.began)
    }
}

/// Fields 14 and 15 of `stat`: user and system time in ticks of 10 ms (`USER_HZ` is 100 on every
/// Linux).
fn spent(path: &str) -> Duration {
    let text = fs::read_to_string(path).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|f| f.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Seconds of CPU of this process's threads since its start, by name, the largest first.
pub(crate) fn threads() -> Vec<(String, f64)> {
    let mut all: Vec<_> = (threads_of(std::process::id()).into_iter())
        .map(|(name, cpu)| (name, cpu.as_secs_f64()))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.retain(|(_, cpu)| *cpu >= 0.1);
    all
}

/// CPU of a process's threads since its start, by name.
pub(crate) fn threads_of(process: u32) -> BTreeMap<String, Duration> {
    let mut by_name = BTreeMap::<String, Duration>::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let name = read("comm").trim().to_owned();
        *by_name.entry(name).or_default() += spent(&task.path().join("stat").display().to_string());
    }
    by_name
}

/// The machine's load of the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}
