//! The directory leader's duties: freshness, and when do-not-call is effective.

use crate::{
    member::Member,
    protocol::{FreshnessRequest, NOT_LEADING, OTHER_FRESHNESS, decode, encode},
};
use bytes::Bytes;
use consensus::Leadership;
use domain::{MemberId, MemberRole};
use ledger::{EffectiveToken, FreshnessBook};
use mesh::ServiceError;
use parking_lot::Mutex;
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::{Notify, oneshot};

/// The book and those who wait on it.
#[derive(Debug)]
pub(crate) struct Freshness {
    /// For how long a confirmed copy may be trusted.
    pub(crate) delta: Duration,
    book: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug)]
struct Held {
    book: FreshnessBook,
    /// The term, led by this member, that the book was begun for.
    term: u64,
    waits: BTreeMap<EffectiveToken, oneshot::Sender<()>>,
}

impl Freshness {
    pub(crate) fn new(delta: Duration) -> Self {
        Self {
            delta,
            book: Mutex::new(Held {
                book: FreshnessBook::new(delta),
                term: 0,
                waits: BTreeMap::new(),
            }),
            changed: Notify::new(),
        }
    }

    /// Answers the waits that are over; when to look next.
    fn poll(&self) -> Option<domain::Instant> {
        let mut held = self.book.lock();
        let Held { book, waits, .. } = &mut *held;
        for (token, _) in book.poll(service::clock::monotonic()) {
            if let Some(asker) = waits.remove(&token) {
                // An asker that went away needs no answer.
                let _gone = asker.send(()).is_err();
            }
        }
        book.poll_timeout()
    }

    /// Begins to wait for an entry that `last` or an earlier leadership wrote. None where the book
    /// of this member, `me`, is of another.
    fn begin(&self, index: u64, last: Leadership, me: MemberId) -> Option<oneshot::Receiver<()>> {
        let mut held = self.book.lock();
        if (last.term, last.leader) != (held.term, Some(me)) {
            return None;
        }
        let token = held
            .book
            .wait_effective(service::clock::monotonic(), index)?;
        let (sender, receiver) = oneshot::channel();
        held.waits.insert(token, sender);
        drop(held);
        self.changed.notify_one();
        Some(receiver)
    }
}

impl Member {
    /// Follows the leadership of the directory and answers waits.
    pub(crate) async fn directory_duties(self) {
        let mut leadership = self.directory().watch_leadership();
        let mut applied = self.directory().watch_applied();
        let mut led_term = None;
        loop {
            let now = *leadership.borrow_and_update();
            let leads = now.leader == Some(self.id());
            if leads && led_term != Some(now.term) && self.has_all().await {
                let nodes = self.nodes();
                let mut held = self.freshness().book.lock();
                held.book.elected(service::clock::monotonic(), nodes);
                held.term = now.term;
                held.waits.clear();
                led_term = Some(now.term);
            } else if !leads && led_term.take().is_some() {
                let mut held = self.freshness().book.lock();
                held.book.deposed();
                held.waits.clear();
            } else if leads {
                self.note_nodes();
            }
            let next = self.freshness().poll();
            let wait = next.map_or(Duration::from_secs(1), |at| {
                service::clock::until(at).min(Duration::from_secs(1))
            });
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() { return },
                changed = applied.changed() => if changed.is_err() { return },
                () = self.freshness().changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Whether everything that an earlier leader committed is applied here: who could be dialing is
    /// among it.
    async fn has_all(&self) -> bool {
        let Ok(index) = self.directory().confirm_leadership().await else {
            return false;
        };
        let wait = Duration::from_secs(1);
        self.directory().wait_applied(index, wait).await.is_ok()
    }

    fn nodes(&self) -> Vec<MemberId> {
        self.directory().read(|directory| {
            let nodes = directory
                .members()
                .filter(|m| m.role == MemberRole::Node && !m.removed);
            nodes.map(|m| m.id).collect()
        })
    }

    fn note_nodes(&self) {
        let (there, gone): (Vec<_>, Vec<_>) = self.directory().read(|directory| {
            let nodes = directory.members().filter(|m| m.role == MemberRole::Node);
            nodes
                .map(|m| (m.id, m.removed))
                .partition(|(_, removed)| !removed)
        });
        let mut held = self.freshness().book.lock();
        let now = service::clock::monotonic();
        there
            .into_iter()
            .for_each(|(id, _)| held.book.joined(now, id));
        gone.into_iter().for_each(|(id, _)| held.book.removed(id));
    }

    /// A node asks for freshness. The request is noted before the quorum round.
    pub(crate) async fn confirm_fresh(
        &self,
        from: MemberId,
        applied: u64,
    ) -> Result<u64, ServiceError> {
        let noted =
            self.freshness()
                .book
                .lock()
                .book
                .renewed(service::clock::monotonic(), from, applied);
        self.freshness().changed.notify_one();
        if !noted {
            return Err(not_leading());
        }
        self.directory()
            .confirm_leadership()
            .await
            .map_err(|_| not_leading())
    }

    /// A node has applied up to an index.
    pub(crate) fn note_applied(&self, from: MemberId, index: u64) {
        self.freshness().book.lock().book.applied(from, index);
        self.freshness().changed.notify_one();
    }

    /// Waits until no node can dial by a copy without the entries up to `index`.
    pub(crate) async fn wait_effective_here(&self, index: u64) -> Result<(), ServiceError> {
        let applied = self
            .directory()
            .wait_applied(index, Duration::from_secs(5))
            .await;
        applied.map_err(|_| not_leading())?;
        // No quorum is asked whether this member still leads. The book of a leadership knows every
        // freshness that was given in it, and what was given before it has run out by δ after the
        // election. Where later leaders give any, it is for copies with every entry of this
        // leadership and of those before. The machine's last entry says that those up to `index`
        // are such.
        let last = self.directory().applied_leadership();
        let over = last.and_then(|of| self.freshness().begin(index, of, self.id()));
        let over = over.ok_or_else(not_leading)?;
        over.await.map_err(|_| not_leading())
    }

    pub(crate) fn serve_directory(&self) {
        use crate::protocol::{APPLIED, EFFECTIVE, FRESHNESS};
        let member = self.clone();
        self.endpoint()
            .serve(FRESHNESS, move |from, request: Bytes| {
                let member = member.clone();
                async move {
                    let asked: FreshnessRequest = decode(&request)?;
                    let delta = member.freshness().delta;
                    // Also a shorter one: this member waits by its own where it is elected next.
                    if asked.delta != delta {
                        let why = format!(
                            "[protocol] freshness is {:?} there and {delta:?} at the directory's leader; set it alike on all members",
                            asked.delta
                        );
                        return Err(ServiceError::new(OTHER_FRESHNESS, why));
                    }
                    let index = member.confirm_fresh(from, asked.applied).await?;
                    Ok(encode(&index))
                }
            });
        let member = self.clone();
        self.endpoint().serve(APPLIED, move |from, request: Bytes| {
            let member = member.clone();
            async move {
                member.note_applied(from, decode(&request)?);
                Ok(Bytes::new())
            }
        });
        let member = self.clone();
        self.endpoint().serve(EFFECTIVE, move |_, request: Bytes| {
            let member = member.clone();
            async move {
                member.wait_effective_here(decode(&request)?).await?;
                Ok(Bytes::new())
            }
        });
    }
}

fn not_leading() -> ServiceError {
    ServiceError::new(
        NOT_LEADING,
        "this member does not lead the directory, or no quorum confirms it",
    )
}
