//! `Idempotency-Key` on POST: the same key with the same request gives the first answer again.
//!
//! Bound to token, route, query and body; a CSV upload is bound to its length instead of its
//! bytes, since it is never held in memory. Only successes are remembered: a refused request
//! changed nothing and may be sent again. Kept in memory: a restart forgets it.

use crate::{
    auth::Caller,
    extract::{body, media_type},
    limits::{
        BODY_BYTES, IDEMPOTENCY_BODY_BYTES, IDEMPOTENCY_KEY_BYTES, IDEMPOTENCY_KEYS,
        IDEMPOTENCY_SPAN,
    },
    problem::{Code, Problem},
};
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// The request's header.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Set on an answer that is given again.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

type Key = (String, String);
type Fingerprint = [u8; 32];

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

#[derive(Debug)]
struct Entry {
    order: u64,
    began: Instant,
    fingerprint: Fingerprint,
    answer: Option<Answer>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    by_order: BTreeMap<u64, Key>,
    next: u64,
}

/// Remembered requests.
#[derive(Debug, Default)]
pub struct Table(Mutex<Entries>);

#[derive(Debug)]
enum Begin {
    /// Nobody used the key: go on.
    New,
    /// The answer to give again.
    Replay(Answer),
    Refused(Code),
}

impl Table {
    fn begin(&self, key: &Key, fingerprint: Fingerprint, now: Instant) -> Begin {
        let mut entries = self.0.lock();
        entries.forget(now);
        if let Some(entry) = entries.by_key.get(key) {
            return match &entry.answer {
                _ if entry.fingerprint != fingerprint => Begin::Refused(Code::KeyReused),
                None => Begin::Refused(Code::KeyInFlight),
                Some(answer) => Begin::Replay(answer.clone()),
            };
        }
        if entries.by_key.len() >= IDEMPOTENCY_KEYS && !entries.drop_oldest_finished() {
            return Begin::Refused(Code::TooMany);
        }
        let order = entries.next;
        entries.next += 1;
        entries.by_order.insert(order, key.clone());
        let entry = Entry {
            order,
            began: now,
            fingerprint,
            answer: None,
        };
        entries.by_key.insert(key.clone(), entry);
        Begin::New
    }

    /// Remembers the answer, or forgets the key when there is none worth remembering.
    fn end(&self, key: &Key, answer: Option<Answer>) {
        let mut entries = self.0.lock();
        match answer {
            Some(answer) => {
                if let Some(entry) = entries.by_key.get_mut(key) {
                    entry.answer = Some(answer);
                }
            }
            None => entries.remove(key),
        }
    }
}

impl Entries {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.by_key.remove(key) {
            self.by_order.remove(&entry.order);
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((_, key)) = self.by_order.first_key_value() {
            let key = key.clone();
            let old = self
                .by_key
                .get(&key)
                .is_some_and(|e| now.saturating_duration_since(e.began) >= IDEMPOTENCY_SPAN);
            if !old {
                return;
            }
            self.remove(&key);
        }
    }

    fn drop_oldest_finished(&mut self) -> bool {
        let finished = |key: &&Key| self.by_key.get(*key).is_some_and(|e| e.answer.is_some());
        let Some(key) = self.by_order.values().find(finished).cloned() else {
            return false;
        };
        self.remove(&key);
        true
    }
}

/// Forgets the key when the task that holds it ends without an answer (a panic).
struct InFlight(Arc<Table>, Key, bool);

impl InFlight {
    fn end(mut self, answer: Option<Answer>) {
        self.2 = true;
        self.0.end(&self.1, answer);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.2 {
            self.0.end(&self.1, None);
        }
    }
}

fn read_key(request: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get(KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key)
            if (1..=IDEMPOTENCY_KEY_BYTES).contains(&key.len())
                && key.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(key.to_owned()))
        }
        _ => {
            let expected = format!("expected 1 to {IDEMPOTENCY_KEY_BYTES} printable characters");
            Err(Problem::field("Idempotency-Key", expected))
        }
    }
}

/// Answers a repeated POST from memory.
pub(crate) async fn idempotent(
    State(table): State<Arc<Table>>,
    request: Request,
    next: Next,
) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let key = match read_key(&request) {
        Ok(key) => key,
        Err(problem) => return problem.into_response(),
    };
    match (request.method() == Method::POST, key, caller) {
        (true, Some(key), Some(caller)) => {
            answer(table, (caller.principal.token, key), request, next).await
        }
        _ => next.run(request).await,
    }
}

async fn answer(table: Arc<Table>, key: Key, request: Request, next: Next) -> Response {
    let mut hash = blake3::Hasher::new();
    let target = request.uri().path_and_query().map_or("", |t| t.as_str());
    hash.update(target.as_bytes()).update(&[0]);
    let request = if media_type(request.headers()) == "text/csv" {
        if let Some(length) = request.headers().get(header::CONTENT_LENGTH) {
            hash.update(length.as_bytes());
        }
        request
    } else {
        let (parts, rest) = request.into_parts();
        let request = Request::from_parts(parts.clone(), rest);
        match body(request, BODY_BYTES).await {
            Ok(bytes) => {
                hash.update(&bytes);
                Request::from_parts(parts, Body::from(bytes))
            }
            Err(problem) => return problem.into_response(),
        }
    };
    match table.begin(&key, *hash.finalize().as_bytes(), Instant::now()) {
        Begin::New => {}
        Begin::Refused(code) => {
            return Problem::new(code, "")
                .retry_after(Duration::from_secs(1))
                .into_response();
        }
        Begin::Replay(answer) => return replay(answer),
    }
    let flight = InFlight(table, key, false);
    // On its own task: when the client goes away, the work still ends and its answer is kept.
    let work = tokio::spawn(async move {
        let response = next.run(request).await;
        let (response, answer) = remember(response).await;
        flight.end(answer);
        response
    });
    match work.await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request's handler panicked");
            Problem::new(Code::Internal, "").into_response()
        }
    }
}

async fn remember(response: Response) -> (Response, Option<Answer>) {
    let short = response
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
        .is_none_or(|length| length <= IDEMPOTENCY_BODY_BYTES);
    if !response.status().is_success() || !short {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, IDEMPOTENCY_BODY_BYTES).await else {
        let lost = Problem::new(Code::Internal, "The answer is too large to be remembered.");
        return (lost.into_response(), None);
    };
    let answer = Answer {
        status: parts.status,
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        body: body.clone(),
    };
    (Response::from_parts(parts, Body::from(body)), Some(answer))
}

fn replay(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().extend(
        answer
            .headers
            .into_iter()
            .map(|(name, value)| (Some(name), value)),
    );
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        ("token".to_owned(), n.to_string())
    }

    fn done() -> Option<Answer> {
        Some(Answer {
            status: StatusCode::CREATED,
            headers: Vec::new(),
            body: Bytes::new(),
        })
    }

    #[test]
    fn a_key_belongs_to_one_request() {
        let (table, now) = (Table::default(), Instant::now());
        assert!(matches!(table.begin(&key(1), [1; 32], now), Begin::New));
        assert!(matches!(
            table.begin(&key(1), [1; 32], now),
            Begin::Refused(Code::KeyInFlight)
        ));
        table.end(&key(1), done());
        assert!(matches!(
            table.begin(&key(1), [1; 32], now),
            Begin::Replay(_)
        ));
        assert!(matches!(
            table.begin(&key(1), [2; 32], now),
            Begin::Refused(Code::KeyReused)
        ));
        let other = ("another token".to_owned(), "1".to_owned());
        assert!(matches!(table.begin(&other, [2; 32], now), Begin::New));
    }

    #[test]
    fn a_day_later_it_is_forgotten() {
        let (table, now) = (Table::default(), Instant::now());
        assert!(matches!(table.begin(&key(1), [1; 32], now), Begin::New));
        table.end(&key(1), done());
        let before = now + IDEMPOTENCY_SPAN - Duration::from_secs(1);
        assert!(matches!(
            table.begin(&key(1), [1; 32], before),
            Begin::Replay(_)
        ));
        let after = now + IDEMPOTENCY_SPAN;
        assert!(matches!(table.begin(&key(1), [2; 32], after), Begin::New));
    }

    #[test]
    fn at_the_bound_the_oldest_finished_goes_and_without_one_it_is_refused() {
        let (table, now) = (Table::default(), Instant::now());
        for n in 0..IDEMPOTENCY_KEYS {
            assert!(matches!(table.begin(&key(n), [1; 32], now), Begin::New));
        }
        let next = key(IDEMPOTENCY_KEYS);
        assert!(matches!(
            table.begin(&next, [1; 32], now),
            Begin::Refused(Code::TooMany)
        ));
        table.end(&key(7), done());
        assert!(matches!(table.begin(&next, [1; 32], now), Begin::New));
        assert!(matches!(
            table.begin(&key(7), [9; 32], now),
            Begin::Refused(Code::TooMany)
        ));
        assert_eq!(table.0.lock().by_key.len(), IDEMPOTENCY_KEYS);
    }
}
