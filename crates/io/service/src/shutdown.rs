//! One way to stop: a signal, a request or a broken task begins it, everything else waits for it.

use std::{io, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Why the process stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// SIGINT or SIGTERM.
    Signal(&'static str),
    /// The process's own wish: the work is done, an operator asked.
    Requested(String),
    /// A task failed or panicked. The process must not go on as if nothing had happened.
    Failed(String),
}

impl Reason {
    /// Whether the process should end with a failure code.
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal(name) => write!(f, "{name} received"),
            Self::Requested(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Whether and why the process stops. Clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    state: Arc<watch::Sender<Option<Reason>>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Not begun.
    pub fn new() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Begins, unless it has begun; the first reason stays, except that a failure replaces a wish.
    pub fn begin(&self, reason: Reason) {
        self.state.send_if_modified(|state| match state {
            Some(first) if first.is_failure() || !reason.is_failure() => false,
            _ => {
                *state = Some(reason);
                true
            }
        });
    }

    /// Why it began, once it has.
    pub fn reason(&self) -> Option<Reason> {
        self.state.borrow().clone()
    }

    /// Whether it has begun.
    pub fn has_started(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Waits until it begins.
    pub async fn started(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`: the wait cannot end in an error.
        let waited = state.wait_for(Option::is_some).await;
        assert!(waited.is_ok(), "the sender is held by self");
    }

    /// Waits until it begins, then `deadline` more: what has not drained by then is cut off.
    pub async fn deadline(&self, deadline: Duration) {
        self.started().await;
        tokio::time::sleep(deadline).await;
    }

    /// From now on SIGINT and SIGTERM begin it; a second signal ends the process at once with
    /// code 130.
    ///
    /// # Errors
    /// The kernel refused the signal handlers.
    pub fn begin_on_signals(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                if this.has_started() {
                    tracing::warn!(signal = name, "second signal: leaving at once");
                    std::process::exit(130);
                }
                tracing::info!(signal = name, "stopping; a second signal leaves at once");
                this.begin(Reason::Signal(name));
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays_but_a_failure_wins() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.has_started());
        let waiter = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.started().await }
        });
        shutdown.begin(Reason::Signal("SIGTERM"));
        shutdown.begin(Reason::Requested("later".to_owned()));
        assert_eq!(shutdown.reason(), Some(Reason::Signal("SIGTERM")));
        waiter.await.unwrap();
        shutdown.begin(Reason::Failed("broken".to_owned()));
        assert!(shutdown.reason().unwrap().is_failure());
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_counts_from_the_beginning() {
        let shutdown = Shutdown::new();
        let begun = tokio::time::Instant::now();
        let (_, ()) = tokio::join!(shutdown.deadline(Duration::from_secs(5)), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            shutdown.begin(Reason::Requested("done".to_owned()));
        });
        assert_eq!(begun.elapsed(), Duration::from_secs(7));
    }
}
