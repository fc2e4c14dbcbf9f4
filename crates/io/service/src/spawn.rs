//! Named tasks. A task that panics or fails stops the process, loudly.

use crate::{Shutdown, shutdown::Reason};
use futures::FutureExt;
use parking_lot::Mutex;
use std::{
    any::Any, collections::BTreeMap, fmt::Display, future::Future, panic::AssertUnwindSafe,
    sync::Arc, time::Duration,
};
use tokio::sync::Notify;
use tracing::Instrument;

/// The tasks of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    shutdown: Shutdown,
    running: Arc<Running>,
}

#[derive(Debug, Default)]
struct Running {
    names: Mutex<BTreeMap<u64, (&'static str, Option<tokio::task::AbortHandle>)>>,
    next: std::sync::atomic::AtomicU64,
    ended: Notify,
}

/// Tasks that had not ended when the drain's deadline came; they were cut off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cut off after {deadline:?}: {}", names.join(", "))]
pub struct Unfinished {
    /// Their names.
    pub names: Vec<&'static str>,
    /// How long they were given.
    pub deadline: Duration,
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl Tasks {
    /// None yet; a broken task begins `shutdown` with a failure.
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            running: Arc::default(),
        }
    }

    /// What a task that has no end of its own looks at.
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task. If it panics, the process begins to stop with a failure.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_fallible(name, async move {
            task.await;
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Starts a task. If it panics or ends in an error, the process begins to stop with a failure.
    pub fn spawn_fallible<E: Display>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let id = self
            .running
            .next
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.running.names.lock().insert(id, (name, None));
        let (shutdown, guard) = (self.shutdown.clone(), Ended(self.running.clone(), id));
        let watched = async move {
            let _guard = guard;
            let why = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("task {name} failed: {error}"),
                Err(panic) => format!("task {name} panicked: {}", panic_text(&*panic)),
            };
            tracing::error!(task = name, "{why}; the process stops");
            shutdown.begin(Reason::Failed(why));
        };
        let handle = tokio::spawn(watched.instrument(tracing::info_span!("task", name)));
        if let Some(entry) = self.running.names.lock().get_mut(&id) {
            entry.1 = Some(handle.abort_handle());
        }
    }

    /// Names of the tasks that run now, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.running.names.lock().values().map(|t| t.0).collect();
        names.sort_unstable();
        names
    }

    /// Waits for every task to end, at most `deadline`; then cuts the others off.
    ///
    /// # Errors
    /// [`Unfinished`] names the tasks that were cut off.
    pub async fn drain(&self, deadline: Duration) -> Result<(), Unfinished> {
        let all_ended = async {
            loop {
                let ended = self.running.ended.notified();
                if self.running.names.lock().is_empty() {
                    return;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(deadline, all_ended).await.is_ok() {
            return Ok(());
        }
        let names = self.names();
        for (_, handle) in self.running.names.lock().values() {
            if let Some(handle) = handle {
                handle.abort();
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        Err(Unfinished { names, deadline })
    }
}

/// Takes the task off the list however it ends, aborts included.
struct Ended(Arc<Running>, u64);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.names.lock().remove(&self.1);
        self.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stops_the_process_and_names_the_task() {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn("relay", async { panic!("the socket is gone") });
        shutdown.started().await;
        let reason = shutdown.reason().unwrap();
        assert!(reason.is_failure());
        assert_eq!(
            reason.to_string(),
            "task relay panicked: the socket is gone"
        );
        tasks.drain(Duration::from_secs(5)).await.unwrap();
    }

    #[tokio::test]
    async fn an_error_stops_the_process_too() {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn_fallible("log", async { Err("disk full") });
        shutdown.started().await;
        assert_eq!(
            shutdown.reason().unwrap().to_string(),
            "task log failed: disk full"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn drain_waits_for_those_that_end_and_names_those_that_do_not() {
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn("stuck", std::future::pending());
        let stop = shutdown.clone();
        tasks.spawn("polite", async move { stop.started().await });
        shutdown.begin(Reason::Requested("test".to_owned()));
        let unfinished = tasks.drain(Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(unfinished.names, ["stuck"]);
        assert_eq!(unfinished.to_string(), "cut off after 3s: stuck");
    }
}
