//! A region leader's duties on a simulated member, with the real books: as `member` does them.

use crate::{
    defect::Defect,
    machine::has,
    region::{Command, Heard, Machine, Reply},
    runtime::{local_nanos, sleep},
    world::Replicas,
};
use consensus::{Applied, Leadership as Leads};
use domain::{Instant, MemberId, SessionId};
use ledger::{
    KeepAliveRefusal, Leadership, RegionCommand, RegionEvent, RegionLedger, RegionReply,
    SessionBook, TickBook,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;

/// How long a proposal of a leader may take before it is left and tried again later.
const PROPOSAL: Duration = Duration::from_secs(3);

/// What a member answers to a keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepAlive {
    Confirmed,
    Ended,
    NotLeading,
}

/// A region's group on a member, and its leader's books, for one run of its process. Clones share
/// them.
#[derive(Clone, Debug)]
pub(crate) struct Office {
    group: Replicas,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    sessions: SessionBook,
    ticks: TickBook,
}

fn now() -> Instant {
    Instant::from_nanos(local_nanos())
}

/// As a leader counts it.
fn counted(ttl: Duration) -> Duration {
    if has(Defect::ExpiresEarly) {
        ttl / 2
    } else {
        ttl
    }
}

impl Books {
    fn hear(&mut self, event: &RegionEvent) {
        match event {
            RegionEvent::SessionOpened { session, ttl, .. } => {
                self.sessions.opened(now(), *session, counted(*ttl));
            }
            RegionEvent::SessionEnded { session, .. } => self.sessions.ended(*session),
            RegionEvent::Ticked { leadership, index } => {
                self.sessions.ticked(*leadership);
                self.ticks.ticked(now(), *index);
            }
            RegionEvent::Reset { tick, .. } => self.ticks.ticked(now(), *tick),
            RegionEvent::AttemptsLost(_) | RegionEvent::FactsTaken { .. } => {}
        }
    }
}

impl Office {
    pub(crate) fn new(group: Replicas) -> Self {
        let mut books = Books::default();
        books
            .ticks
            .ticked(now(), read(&group, RegionLedger::last_tick));
        Self {
            group,
            books: Arc::new(Mutex::new(books)),
        }
    }

    /// A node asks for its session to be confirmed. Noted before the quorum round.
    pub(crate) async fn confirm(&self, session: SessionId) -> KeepAlive {
        let noted = self.books.lock().sessions.request_noted(now(), session);
        match noted {
            Ok(_) if has(Defect::NoQuorumRound) => KeepAlive::Confirmed,
            Ok(leadership) => match self.group.confirm_leadership().await {
                Ok(_) if self.leads_still(leadership) => KeepAlive::Confirmed,
                _ => KeepAlive::NotLeading,
            },
            Err(KeepAliveRefusal::Ended) => KeepAlive::Ended,
            Err(KeepAliveRefusal::NotLeading | KeepAliveRefusal::NotConfirmed) => {
                KeepAlive::NotLeading
            }
        }
    }

    /// Whether the books are those of the leadership that was just confirmed.
    fn leads_still(&self, noted: Leadership) -> bool {
        let now = *self.group.watch_leadership().borrow();
        now == Leads {
            term: noted.term,
            leader: Some(noted.member),
        }
    }

    async fn propose(&self, command: RegionCommand) {
        let command = Command::Region(Box::new(command));
        // Refused or without an answer: it is looked at again in the next round.
        drop(self.group.propose_within(&command, PROPOSAL).await);
    }

    /// This member leads: once every entry committed before is applied, it begins to count.
    async fn take_office(&self, leadership: Leadership) -> bool {
        let Ok(index) = self.group.confirm_leadership().await else {
            return false;
        };
        if self.group.wait_applied(index, PROPOSAL).await.is_err() {
            return false;
        }
        let (open, tick) = read(&self.group, |region| {
            let open = region.sessions().filter(|s| s.ended.is_none());
            (
                open.map(|s| (s.session, counted(s.ttl)))
                    .collect::<Vec<_>>(),
                region.last_tick(),
            )
        });
        let mut books = self.books.lock();
        books.ticks.ticked(now(), tick);
        books.ticks.elected(leadership);
        books.sessions.elected(now(), leadership, open);
        true
    }

    async fn due_duties(&self) {
        let confirmed = read(&self.group, RegionLedger::leadership);
        let (tick, expiries) = {
            let mut books = self.books.lock();
            (
                books.ticks.due(now(), confirmed),
                books.sessions.due_expiries(now()),
            )
        };
        for command in tick.into_iter().chain(expiries) {
            self.propose(command).await;
        }
    }

    /// A leader's duties, for as long as the process runs.
    pub(crate) async fn duties(self, me: MemberId) {
        let mut leadership = self.group.watch_leadership();
        let mut events = self.group.events();
        let mut office: Option<u64> = None;
        loop {
            let now = *leadership.borrow_and_update();
            let leads = now.leader == Some(me);
            if leads && office != Some(now.term) {
                let claim = Leadership {
                    term: now.term,
                    member: me,
                };
                if self.take_office(claim).await {
                    office = Some(now.term);
                }
            } else if !leads && office.take().is_some() {
                let mut books = self.books.lock();
                books.sessions.deposed();
                books.ticks.deposed();
            }
            if office.is_some() {
                self.due_duties().await;
            }
            let wait = if leads {
                Duration::from_millis(200)
            } else {
                Duration::from_secs(5)
            };
            tokio::select! {
                biased;
                changed = leadership.changed() => if changed.is_err() { return },
                event = events.recv() => match event {
                    Ok(applied) => self.hear(&applied),
                    Err(RecvError::Lagged(_)) => office = None,
                    Err(RecvError::Closed) => return,
                },
                () = sleep(wait) => {}
            }
        }
    }

    fn hear(&self, applied: &Applied<Heard>) {
        let mut books = self.books.lock();
        (applied.events.iter())
            .flat_map(|heard| &heard.region)
            .for_each(|event| books.hear(event));
    }
}

/// Looks at the ledger as applied here.
pub(crate) fn read<T>(group: &Replicas, look: impl FnOnce(&RegionLedger) -> T) -> T {
    group.read(|machine: &Machine| {
        let region = machine.region.as_ref();
        look(region.expect("only asked where there is one"))
    })
}

/// The ledger's answer.
pub(crate) fn of_region(reply: Reply) -> RegionReply {
    match reply {
        Reply::Region(reply) => reply,
        Reply::Line(_) => unreachable!("a ledger's command is answered by the ledger"),
    }
}
