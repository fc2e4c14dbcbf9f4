//! What the engine asks of the mesh: sessions, freshness, claims.

use crate::{
    callers,
    event::{Event, Events},
    shell::Wish,
};
use consensus::ProposeError;
use domain::{
    CampaignId, Chances, EscrowAsk, EscrowProof, Incarnation, Instant, RegionId, SessionId,
};
use ledger::{
    Change, DirectoryCommand, DirectoryReply, RegionCommand, RegionRefusal, RegionReply, Shortage,
};
use member::{KeepAlive, Member};
use permit::EscrowQuestion;
use service::{clock, spawn::Tasks};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Questions are asked again so often until they are answered or the next one comes.
const ASK_AGAIN: Duration = Duration::from_millis(250);
const PROPOSAL: Duration = Duration::from_secs(5);
/// How many times at once the directory's leader is told what is applied.
const TELLING: usize = 4;
/// What goes wrong at every try is said so often.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The newest question of each kind: an older one that is still unanswered is dropped.
#[derive(Clone)]
pub(crate) struct Wishes {
    pub(crate) member: Member,
    pub(crate) events: Events,
    pub(crate) tasks: Tasks,
    pub(crate) incarnation: Incarnation,
    pub(crate) session_ttl: Duration,
    pub(crate) claims: Arc<AtomicU64>,
    /// What the journal proves of earlier runs: told the directory at once, before anybody asks for
    /// shares.
    pub(crate) proofs: Vec<EscrowProof>,
}

impl Wishes {
    /// Serves wishes until the engine's thread is gone: in this node's own region, and in those
    /// that it helps. A session once opened is kept: leads may be left under it.
    pub(crate) async fn serve(
        self,
        own: RegionId,
        mut helped: watch::Receiver<BTreeSet<RegionId>>,
        mut wishes: mpsc::Receiver<Wish>,
    ) {
        let (fresh, fresh_asked) = watch::channel(None);
        let (applied, applied_said) = watch::channel(0);
        self.tasks
            .spawn("freshness", self.clone().ask_fresh(fresh_asked));
        self.tasks
            .spawn("applied", self.clone().tell_applied(applied_said));
        let (shares, shares_asked) = watch::channel(None);
        self.tasks
            .spawn("escrow", self.clone().ask_escrow(shares_asked));
        let mut alive = BTreeMap::new();
        alive.insert(own, self.begin(own));
        loop {
            let wish = tokio::select! {
                wish = wishes.recv() => wish,
                Ok(()) = helped.changed() => {
                    for region in helped.borrow_and_update().iter() {
                        alive.entry(*region).or_insert_with(|| self.begin(*region));
                    }
                    continue;
                }
            };
            let Some(wish) = wish else { return };
            match wish {
                Wish::KeepAlive {
                    region,
                    session,
                    sent_at,
                } => {
                    if let Some(asked) = alive.get(&region) {
                        asked.send_replace(Some((session, sent_at)));
                    }
                }
                Wish::AskFresh { sent_at, applied } => {
                    _ = fresh.send_replace(Some((sent_at, applied)))
                }
                Wish::AskEscrow(question) => _ = shares.send_replace(Some(question)),
                Wish::Applied(index) => _ = applied.send_replace(index),
                Wish::WhoCalls {
                    ask,
                    number,
                    called,
                } => {
                    let (member, events) = (self.member.clone(), self.events.clone());
                    let telling = callers::tell(member, events, ask, number, called);
                    self.tasks.spawn("who_calls", telling);
                }
                Wish::Claim {
                    region,
                    session,
                    campaign,
                    n,
                    chances,
                } => {
                    let claiming = self.clone().claim(region, (session, campaign), n, chances);
                    self.tasks.spawn("claim", claiming);
                }
            }
        }
    }

    /// Opens a session in a region and keeps it.
    fn begin(&self, region: RegionId) -> watch::Sender<Option<(SessionId, Instant)>> {
        let (sender, asked) = watch::channel(None);
        let ended = Arc::new(tokio::sync::Notify::new());
        self.tasks.spawn(
            "keep_alive",
            self.clone().keep_alive(region, asked, Arc::clone(&ended)),
        );
        self.tasks
            .spawn("session", self.clone().hold_session(region, ended));
        sender
    }

    /// Opens a session in a region, and a new one whenever it ended.
    async fn hold_session(self, region: RegionId, ended: Arc<tokio::sync::Notify>) {
        loop {
            let command = RegionCommand::OpenSession {
                node: self.member.id(),
                incarnation: self.incarnation,
                ttl: self.session_ttl,
            };
            let opened = match self.member.region(region) {
                Some(group) => match group.propose_again(&command, PROPOSAL).await {
                    Ok(done) => match done.reply {
                        RegionReply::SessionOpened { session, ttl } => Some((session, ttl)),
                        other => {
                            tracing::error!(%region, ?other, "the region opens no session for this node");
                            None
                        }
                    },
                    Err(error) => {
                        tracing::warn!(%region, %error, "no session in the region yet; tried again");
                        None
                    }
                },
                None => None,
            };
            let Some((session, ttl)) = opened else {
                tokio::time::sleep(ASK_AGAIN).await;
                continue;
            };
            tracing::info!(%region, %session, "session opened");
            self.events
                .put(Event::SessionOpened {
                    region,
                    session,
                    ttl,
                })
                .await;
            ended.notified().await;
        }
    }

    /// Confirms the session, asking again until somebody says yes or no.
    async fn keep_alive(
        self,
        region: RegionId,
        mut asked: watch::Receiver<Option<(SessionId, Instant)>>,
        ended: Arc<tokio::sync::Notify>,
    ) {
        while asked.changed().await.is_ok() {
            let question = *asked.borrow_and_update();
            let Some((session, first_sent)) = question else {
                continue;
            };
            let mut sent_at = first_sent;
            loop {
                match self.member.keep_alive(region, session).await {
                    KeepAlive::Confirmed => {
                        self.events
                            .put(Event::SessionConfirmed {
                                region,
                                session,
                                sent_at,
                            })
                            .await;
                        break;
                    }
                    KeepAlive::Ended => {
                        tracing::warn!(%region, %session, "the region ended this node's session");
                        self.events
                            .put(Event::SessionEnded { region, session })
                            .await;
                        ended.notify_one();
                        break;
                    }
                    KeepAlive::Unknown => tokio::time::sleep(ASK_AGAIN).await,
                }
                if asked.has_changed().unwrap_or(true) {
                    break;
                }
                // Each question counts from when it left itself.
                sent_at = clock::monotonic();
            }
        }
    }

    /// Asks for freshness; says it once what was confirmed is in the engine's queue.
    async fn ask_fresh(self, mut asked: watch::Receiver<Option<(Instant, u64)>>) {
        while asked.changed().await.is_ok() {
            let question = *asked.borrow_and_update();
            let Some((first_sent, applied)) = question else {
                continue;
            };
            let mut sent_at = first_sent;
            loop {
                if let Some(index) = self.member.fresh(applied).await
                    && self
                        .member
                        .directory()
                        .wait_applied(index, PROPOSAL)
                        .await
                        .is_ok()
                {
                    self.events.put(Event::Fresh { sent_at, index }).await;
                    break;
                }
                tokio::time::sleep(ASK_AGAIN).await;
                if asked.has_changed().unwrap_or(true) {
                    break;
                }
                sent_at = clock::monotonic();
            }
        }
    }

    /// Asks for shares of abandonment budgets until the directory answers. It takes each ask once,
    /// and the engine asks nothing else before it has the answer. What the journal proves is not
    /// kept until somebody asks: other cities wait for what the earlier run held.
    async fn ask_escrow(mut self, mut asked: watch::Receiver<Option<EscrowQuestion>>) {
        if !self.proofs.is_empty() {
            // Before the engine's first, which is 1; it takes no answer to this one.
            let begun = EscrowQuestion {
                sequence: 0,
                lines: Vec::new(),
            };
            if self.ask_share(&begun).await {
                self.proofs.clear();
            }
        }
        let mut answered = 0;
        while asked.changed().await.is_ok() {
            let question = asked.borrow_and_update().clone();
            let Some(question) = question.filter(|q| q.sequence > answered) else {
                continue;
            };
            if self.ask_share(&question).await {
                answered = question.sequence;
                self.proofs.clear();
            }
        }
    }

    /// One ask, until there is an answer; whether it was a grant.
    async fn ask_share(&self, question: &EscrowQuestion) -> bool {
        let ask = EscrowAsk {
            member: self.member.id(),
            incarnation: self.incarnation,
            sequence: question.sequence,
            proofs: self.proofs.clone(),
            lines: question.lines.clone(),
        };
        let command = DirectoryCommand::from(Change::Escrow { ask: Box::new(ask) });
        let mut said = None;
        loop {
            let directory = self.member.directory();
            match directory
                .propose_again(&command, PROPOSAL)
                .await
                .map(|done| done.reply)
            {
                Ok(DirectoryReply::Escrow(grants)) => {
                    let sequence = question.sequence;
                    let answer = Event::EscrowAnswered { sequence, grants };
                    self.events.put(answer).await;
                    return true;
                }
                Ok(other) => {
                    tracing::error!(
                        ?other,
                        "the directory gives this node no share of abandonment budgets: it dials one line for each agent"
                    );
                    return false;
                }
                Err(error) => {
                    let now = clock::monotonic();
                    if said.is_none_or(|at| now.since(at) >= SAY_AGAIN) {
                        said = Some(now);
                        tracing::warn!(
                            %error,
                            "shares of abandonment budgets wait for the directory: without one this node dials one line for each agent"
                        );
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    }

    /// Tells the directory's leader what is applied. The next is told while the one before is on
    /// its way: an opt-out waits for it.
    async fn tell_applied(self, mut said: watch::Receiver<u64>) {
        let mut telling = JoinSet::new();
        loop {
            tokio::select! {
                Some(_told) = telling.join_next(), if !telling.is_empty() => {}
                changed = said.changed(), if telling.len() < TELLING => {
                    if changed.is_err() {
                        return;
                    }
                    let index = *said.borrow_and_update();
                    let member = self.member.clone();
                    telling.spawn(async move { member.tell_applied(index).await });
                }
            }
        }
    }

    async fn claim(
        self,
        region: RegionId,
        (session, campaign): (SessionId, CampaignId),
        n: u32,
        chances: Option<Box<Chances>>,
    ) {
        let sequence = self.claims.fetch_add(1, Ordering::Relaxed) + 1;
        let n = n.min(domain::limits::CLAIM_BATCH as u32);
        let in_turn = RegionCommand::Claim {
            session,
            campaign,
            n,
            sequence,
        };
        let reply = match chances {
            None => self.ask_for_leads(region, &in_turn).await,
            Some(chances) => {
                let best = RegionCommand::ClaimBest {
                    session,
                    campaign,
                    n,
                    sequence,
                    chances: *chances,
                };
                match self.ask_for_leads(region, &best).await {
                    // The region has not heard yet that every member can read it.
                    Some(RegionReply::Refused(RegionRefusal::NotYet { .. })) => {
                        self.ask_for_leads(region, &in_turn).await
                    }
                    reply => reply,
                }
            }
        };
        let (leads, rest) = match reply {
            Some(RegionReply::Claimed { leads, shortage }) => {
                (leads, shortage.and_then(|s| rest_after(&s)))
            }
            Some(RegionReply::Refused(RegionRefusal::SessionEnded { .. })) => {
                self.events
                    .put(Event::SessionEnded { region, session })
                    .await;
                (Vec::new(), Some(Duration::from_secs(1)))
            }
            Some(other) => {
                tracing::warn!(%region, %campaign, ?other, "a claim brought no leads");
                (Vec::new(), Some(Duration::from_secs(2)))
            }
            // Nothing was leased.
            None => (Vec::new(), Some(Duration::from_secs(1))),
        };
        self.events
            .put(Event::Claimed {
                region,
                campaign,
                leads,
                rest,
            })
            .await;
    }
}

impl Wishes {
    /// The region's answer to a claim; none when it certainly leased nothing. A claim whose fate
    /// is unknown is sent again: the region knows it by its sequence and gives the leads that it
    /// leased then, which would otherwise stay leased for as long as the session lives.
    async fn ask_for_leads(&self, region: RegionId, claim: &RegionCommand) -> Option<RegionReply> {
        loop {
            let group = self.member.region(region)?;
            match group.propose_again(claim, self.session_ttl).await {
                Ok(done) => return Some(done.reply),
                Err(error @ ProposeError::UnknownOutcome { .. }) => {
                    tracing::info!(%region, %error, "a claim is sent again");
                }
                Err(error) => {
                    tracing::warn!(%region, %error, "a claim was not taken");
                    return None;
                }
            }
        }
    }
}

/// How long not to ask again after a claim brought too few.
fn rest_after(shortage: &Shortage) -> Option<Duration> {
    match shortage {
        Shortage::SetAside { .. } => None,
        Shortage::SessionFull => Some(Duration::from_secs(1)),
        Shortage::NothingDue => Some(Duration::from_secs(2)),
        Shortage::WindowClosed { .. } => Some(Duration::from_secs(20)),
        Shortage::UnknownCampaign | Shortage::NotRunning => Some(Duration::from_millis(500)),
        Shortage::OtherRegions | Shortage::UnknownRulePack => Some(Duration::from_secs(30)),
    }
}
