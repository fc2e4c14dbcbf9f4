//! A region leader's duties: confirm and expire sessions, tick, forward directory facts.

use crate::{
    member::Member,
    protocol::{KEEP_ALIVE, KeepAliveReply, KeepAliveRequest, decode, encode},
};
use bytes::Bytes;
use consensus::{Applied, Group};
use domain::{CampaignId, RegionId, SessionId};
use ledger::{
    DirectoryEvent, Fact, Facts, KeepAliveRefusal, Leadership, RegionCommand, RegionEvent,
    RegionLedger, RegionReply, SessionBook, TickBook, catch_up,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;

/// How long a proposal of a leader may take before it is left and tried again later.
const PROPOSAL: Duration = Duration::from_secs(3);

/// A region group on this member, and its leader's books.
#[derive(Clone, Debug)]
pub(crate) struct RegionGroup {
    pub(crate) group: Group<RegionLedger>,
    pub(crate) books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    sessions: SessionBook,
    ticks: TickBook,
}

impl Books {
    fn hear(&mut self, event: &RegionEvent) {
        let now = service::clock::monotonic();
        match event {
            RegionEvent::SessionOpened { session, ttl, .. } => {
                self.sessions.opened(now, *session, *ttl)
            }
            RegionEvent::SessionEnded { session, .. } => self.sessions.ended(*session),
            RegionEvent::Ticked { leadership, index } => {
                self.sessions.ticked(*leadership);
                self.ticks.ticked(now, *index);
            }
            RegionEvent::Reset { tick, .. } => self.ticks.ticked(now, *tick),
            RegionEvent::AttemptsLost(_) | RegionEvent::FactsTaken { .. } => {}
        }
    }
}

impl RegionGroup {
    pub(crate) fn new(group: Group<RegionLedger>) -> Self {
        let mut books = Books::default();
        books.ticks.ticked(
            service::clock::monotonic(),
            group.read(RegionLedger::last_tick),
        );
        Self {
            group,
            books: Arc::new(Mutex::new(books)),
        }
    }

    /// A node asks for its session to be confirmed. Noted before the quorum round.
    pub(crate) async fn confirm(&self, session: SessionId) -> KeepAliveReply {
        let noted = self
            .books
            .lock()
            .sessions
            .request_noted(service::clock::monotonic(), session);
        match noted {
            Ok(leadership) => match self.group.confirm_leadership().await {
                Ok(_) if self.leads_still(leadership) => KeepAliveReply::Confirmed,
                _ => KeepAliveReply::NotLeading,
            },
            Err(KeepAliveRefusal::Ended) => KeepAliveReply::Ended,
            Err(KeepAliveRefusal::NotLeading | KeepAliveRefusal::NotConfirmed) => {
                KeepAliveReply::NotLeading
            }
        }
    }

    /// Whether the leadership that was just confirmed is that of the books. They may be those of an
    /// earlier one, while the duties wait for a proposal's answer, and would not know of a session that
    /// the leader in between ended.
    fn leads_still(&self, noted: Leadership) -> bool {
        let now = *self.group.watch_leadership().borrow();
        (now.term, now.leader) == (noted.term, Some(noted.member))
    }

    async fn propose(&self, command: RegionCommand) -> bool {
        match self.group.propose_within(&command, PROPOSAL).await {
            Ok(committed) => {
                if let RegionReply::Refused(refusal) = &committed.reply {
                    tracing::debug!(group = %self.group.id(), %refusal, "a leader's proposal was refused");
                }
                !matches!(committed.reply, RegionReply::Refused(_))
            }
            Err(error) => {
                tracing::warn!(group = %self.group.id(), %error, "a leader's proposal failed");
                false
            }
        }
    }

    /// This member leads: once every entry committed before is applied, it begins to count.
    async fn take_office(&self, leadership: Leadership) -> bool {
        let Ok(index) = self.group.confirm_leadership().await else {
            return false;
        };
        if self.group.wait_applied(index, PROPOSAL).await.is_err() {
            return false;
        }
        let now = service::clock::monotonic();
        let (open, tick) = self.group.read(|region| {
            let open = region.sessions().filter(|s| s.ended.is_none());
            (
                open.map(|s| (s.session, s.ttl)).collect::<Vec<_>>(),
                region.last_tick(),
            )
        });
        let mut books = self.books.lock();
        books.ticks.ticked(now, tick);
        books.ticks.elected(leadership);
        books.sessions.elected(now, leadership, open);
        true
    }
}

impl Member {
    /// Does a leader's duties in one region for as long as the group runs.
    pub(crate) async fn region_duties(self, region: RegionGroup) {
        let mut leadership = region.group.watch_leadership();
        let mut events = region.group.events();
        let mut directory_events = self.directory().events();
        let mut office: Option<u64> = None;
        let mut synced = false;
        loop {
            let now = *leadership.borrow_and_update();
            let leads = now.leader == Some(self.id());
            if leads && office != Some(now.term) {
                let claim = Leadership {
                    term: now.term,
                    member: self.id(),
                };
                if region.take_office(claim).await {
                    office = Some(now.term);
                }
                synced = false;
            } else if !leads && office.take().is_some() {
                let mut books = region.books.lock();
                books.sessions.deposed();
                books.ticks.deposed();
            }
            if office.is_some() {
                if !synced {
                    directory_events = self.directory().events();
                    synced = self.catch_region_up(&region).await;
                }
                self.due_duties(&region).await;
            }
            let wait = if leads {
                Duration::from_millis(200)
            } else {
                Duration::from_secs(5)
            };
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() { return },
                event = events.recv() => match event {
                    Ok(Applied { events, .. }) => events.iter().for_each(|e| region.books.lock().hear(e)),
                    // What was missed is read from the machine when office is taken anew.
                    Err(RecvError::Lagged(_)) => office = None,
                    Err(RecvError::Closed) => return,
                },
                event = directory_events.recv(), if office.is_some() && synced => match event {
                    Ok(applied) => synced = self.forward(&region, applied).await,
                    Err(RecvError::Lagged(_)) => synced = false,
                    Err(RecvError::Closed) => return,
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn due_duties(&self, region: &RegionGroup) {
        let now = service::clock::monotonic();
        let confirmed = region.group.read(RegionLedger::leadership);
        let (tick, expiries) = {
            let mut books = region.books.lock();
            (
                books.ticks.due(now, confirmed),
                books.sessions.due_expiries(now),
            )
        };
        for command in tick.into_iter().chain(expiries) {
            region.propose(command).await;
        }
    }

    /// Everything in the directory that the region does not know.
    async fn catch_region_up(&self, region: &RegionGroup) -> bool {
        let commands = self
            .directory()
            .read(|directory| region.group.read(|r| catch_up(directory, r)));
        for command in commands {
            if !region.propose(command).await {
                return false;
            }
        }
        true
    }

    /// One entry of the directory, as the region needs it.
    async fn forward(&self, region: &RegionGroup, applied: Applied<DirectoryEvent>) -> bool {
        let id = region.group.read(RegionLedger::region);
        for event in applied.events {
            let base = match &event {
                DirectoryEvent::Changed { facts, .. } => facts.iter().find_map(|fact| match fact {
                    Fact::DncBase(base) => Some(*base),
                    _ => None,
                }),
                _ => None,
            };
            let version = match &event {
                DirectoryEvent::Changed { facts, .. } => facts.iter().find_map(|fact| match fact {
                    Fact::MeshVersion(version) => Some(*version),
                    _ => None,
                }),
                _ => None,
            };
            if let Some(version) = version
                && !region.propose(RegionCommand::MeshVersion { version }).await
            {
                return false;
            }
            if let Some(base) = base {
                let command = RegionCommand::DncBase {
                    directory_index: applied.index,
                    base,
                };
                if !region.propose(command).await {
                    return false;
                }
            }
            if let DirectoryEvent::Changed { index, facts } = &event {
                for fact in facts {
                    let Fact::Clearance(facts) = fact else {
                        continue;
                    };
                    let command = RegionCommand::Clearance {
                        directory_index: *index,
                        facts: facts.clone(),
                    };
                    if !region.propose(command).await {
                        return false;
                    }
                }
            }
            let facts = match event {
                DirectoryEvent::Reset(_) => return false,
                DirectoryEvent::Changed { index, facts } => Facts {
                    directory_index: index,
                    campaigns: (facts.into_iter())
                        .filter_map(|fact| match fact {
                            Fact::Campaign(campaign) => Some(*campaign),
                            _ => None,
                        })
                        .collect(),
                    ..Facts::default()
                },
                DirectoryEvent::Dnc {
                    index,
                    added,
                    removed,
                } => Facts {
                    directory_index: index,
                    dnc_added: added
                        .into_iter()
                        .filter(|f| concerns(f.entry.scope, id))
                        .collect(),
                    dnc_removed: removed
                        .into_iter()
                        .filter(|r| concerns(r.scope, id))
                        .collect(),
                    ..Facts::default()
                },
            };
            let empty = facts.campaigns.is_empty()
                && facts.dnc_added.is_empty()
                && facts.dnc_removed.is_empty();
            if !empty && !region.propose(RegionCommand::Facts(facts)).await {
                return false;
            }
        }
        true
    }

    pub(crate) fn serve_regions(&self) {
        let member = self.clone();
        self.endpoint().serve(KEEP_ALIVE, move |_, request: Bytes| {
            let member = member.clone();
            async move {
                let KeepAliveRequest { region, session } = decode(&request)?;
                let reply = member.confirm_session(region, session).await;
                Ok(encode(&reply))
            }
        });
    }

    pub(crate) async fn confirm_session(
        &self,
        region: RegionId,
        session: SessionId,
    ) -> KeepAliveReply {
        match self.region_group(region) {
            Some(region) => region.confirm(session).await,
            None => KeepAliveReply::NotLeading,
        }
    }
}

fn concerns(scope: domain::DncScope, region: RegionId) -> bool {
    scope.covers(CampaignId(0), region) || matches!(scope, domain::DncScope::Campaign(_))
}
