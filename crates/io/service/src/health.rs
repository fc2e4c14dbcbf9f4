//! Whether the process lives and may take work: `/livez`, `/readyz?verbose` and `/metrics` on a
//! port of their own.

use crate::{Metrics, clock, metrics};
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::Instant;
use parking_lot::Mutex;
use std::{collections::BTreeMap, fmt::Write, sync::Arc, time::Duration};

type Check = dyn Fn() -> Result<String, String> + Send + Sync;

enum Condition {
    /// Set by its owner.
    Gate(Result<String, String>),
    /// Asked each time.
    Check(Arc<Check>),
    /// Must beat at least this often; its silence means that the process is stuck.
    Pulse { last: Instant, every: Duration },
}

/// What must hold before the process is ready, by name. Clones share it. With nothing declared the
/// process is ready.
#[derive(Clone, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<BTreeMap<&'static str, Condition>>>,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.conditions.lock().keys())
            .finish()
    }
}

/// One condition, set by its owner.
#[derive(Clone, Debug)]
pub struct Gate {
    readiness: Readiness,
    name: &'static str,
}

impl Gate {
    /// The condition holds; `note` says how.
    pub fn open(&self, note: impl Into<String>) {
        self.set(Ok(note.into()));
    }

    /// The condition does not hold; `why` says what is waited for.
    pub fn close(&self, why: impl Into<String>) {
        self.set(Err(why.into()));
    }

    fn set(&self, state: Result<String, String>) {
        self.readiness
            .conditions
            .lock()
            .insert(self.name, Condition::Gate(state));
    }
}

/// A sign of life of a thread or task that must never be stuck.
#[derive(Clone, Debug)]
pub struct Pulse {
    readiness: Readiness,
    name: &'static str,
}

impl Pulse {
    /// Alive now.
    pub fn beat(&self) {
        if let Some(Condition::Pulse { last, .. }) =
            self.readiness.conditions.lock().get_mut(self.name)
        {
            *last = clock::monotonic();
        }
    }
}

/// How one condition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: &'static str,
    /// Whether it holds, and how or why not.
    pub state: Result<String, String>,
    /// Whether it speaks of life, not only of readiness.
    pub vital: bool,
}

impl Readiness {
    /// Nothing declared: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a condition that its owner sets. It starts closed.
    pub fn gate(&self, name: &'static str) -> Gate {
        let gate = Gate {
            readiness: self.clone(),
            name,
        };
        gate.close("starting");
        gate
    }

    /// Declares a condition that is asked each time. It must answer at once.
    pub fn check(
        &self,
        name: &'static str,
        check: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) {
        self.conditions
            .lock()
            .insert(name, Condition::Check(Arc::new(check)));
    }

    /// Declares something that must beat at least `every` so often. Its silence fails `/livez`
    /// too, so that a supervisor restarts the process.
    pub fn pulse(&self, name: &'static str, every: Duration) -> Pulse {
        let last = clock::monotonic();
        self.conditions
            .lock()
            .insert(name, Condition::Pulse { last, every });
        Pulse {
            readiness: self.clone(),
            name,
        }
    }

    /// How everything stands, by name.
    pub fn standing(&self) -> Vec<Standing> {
        let mut checks = Vec::new();
        let mut standing: Vec<_> = {
            let conditions = self.conditions.lock();
            let now = clock::monotonic();
            conditions
                .iter()
                .filter_map(|(&name, condition)| {
                    let (state, vital) = match condition {
                        Condition::Gate(state) => (state.clone(), false),
                        Condition::Check(check) => {
                            checks.push((name, check.clone()));
                            return None;
                        }
                        Condition::Pulse { last, every } => (pulse(now.since(*last), *every), true),
                    };
                    Some(Standing { name, state, vital })
                })
                .collect()
        };
        // Outside the lock: a check may look at gates itself.
        standing.extend(checks.into_iter().map(|(name, check)| Standing {
            name,
            state: check(),
            vital: false,
        }));
        standing.sort_by_key(|s| s.name);
        standing
    }

    /// Whether everything holds.
    pub fn is_ready(&self) -> bool {
        self.standing().iter().all(|s| s.state.is_ok())
    }
}

fn pulse(silent: Duration, every: Duration) -> Result<String, String> {
    if silent <= every {
        Ok(format!("last beat {} ms ago", silent.as_millis()))
    } else {
        Err(format!(
            "silent for {} ms, must beat every {} ms",
            silent.as_millis(),
            every.as_millis()
        ))
    }
}

fn report(standing: &[Standing], verbose: bool) -> Response {
    let failed = standing.iter().any(|s| s.state.is_err());
    let mut text = String::new();
    for s in standing.iter().filter(|s| verbose || s.state.is_err()) {
        let written = match &s.state {
            Ok(note) => writeln!(text, "[+] {} ok: {note}", s.name),
            Err(why) => writeln!(text, "[-] {} failed: {why}", s.name),
        };
        written.expect("writing to a String cannot fail");
    }
    text.push_str(if failed { "failed\n" } else { "ok\n" });
    let status = if failed {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn is_verbose(query: Option<&str>) -> bool {
    query.is_some_and(|q| {
        q.split('&')
            .any(|p| p == "verbose" || p.starts_with("verbose="))
    })
}

async fn livez(
    State((readiness, _)): State<(Readiness, Metrics)>,
    RawQuery(query): RawQuery,
) -> Response {
    let mut standing = readiness.standing();
    standing.retain(|s| s.vital);
    report(&standing, is_verbose(query.as_deref()))
}

async fn readyz(
    State((readiness, _)): State<(Readiness, Metrics)>,
    RawQuery(query): RawQuery,
) -> Response {
    report(&readiness.standing(), is_verbose(query.as_deref()))
}

async fn exposition(State((_, metrics)): State<(Readiness, Metrics)>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

/// `/livez`, `/readyz?verbose` and `/metrics`. For a port of its own that only the operator's
/// network reaches: it asks for no token.
pub fn monitoring_router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(exposition))
        .with_state((readiness, metrics))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    async fn get(router: &Router, uri: &str) -> (StatusCode, String) {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_when_every_condition_holds() {
        let readiness = Readiness::new();
        let router = monitoring_router(readiness.clone(), Metrics::detached().unwrap());
        assert_eq!(
            get(&router, "/readyz").await,
            (StatusCode::OK, "ok\n".to_owned())
        );
        let gate = readiness.gate("directory");
        readiness.check("disk", || Ok("9 GiB free".to_owned()));
        let (status, text) = get(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "[-] directory failed: starting\nfailed\n");
        gate.open("applied index 7");
        let (status, text) = get(&router, "/readyz?verbose").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            text,
            "[+] directory ok: applied index 7\n[+] disk ok: 9 GiB free\nok\n"
        );
        // Readiness is not life: a closed gate must not make a supervisor restart the process.
        gate.close("no leader");
        assert_eq!(get(&router, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn silence_of_a_pulse_fails_life() {
        let readiness = Readiness::new();
        let router = monitoring_router(readiness.clone(), Metrics::detached().unwrap());
        let pulse = readiness.pulse("engine", Duration::from_secs(3600));
        pulse.beat();
        assert_eq!(get(&router, "/livez").await.0, StatusCode::OK);
        readiness.pulse("engine", Duration::ZERO);
        let (status, text) = get(&router, "/livez").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.starts_with("[-] engine failed: silent for"), "{text}");
    }

    #[tokio::test]
    async fn metrics_are_text() {
        let router = monitoring_router(Readiness::new(), Metrics::detached().unwrap());
        let (status, text) = get(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("# HELP dialmesh_build_info"), "{text}");
    }
}
