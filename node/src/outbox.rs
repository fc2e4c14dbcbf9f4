//! What the node owes to others: outcomes to the regions' groups, records to the coordinator,
//! opt-outs to the directory. Everything in it is durable in the journal already.

use crate::{
    event::{Event, Events},
    journal::{Attempts, Owed, Telling},
};
use domain::{CallOutcome, CallRecord, Disposition, DncEntry, MemberRole, RegionId, limits};
use ledger::{Change, DirectoryCommand, RegionCommand, RegionReply};
use member::{Member, RECORDS, RecordsReply, decode, encode_records};
use mesh::Priority;
use parking_lot::Mutex;
use service::{shutdown::Shutdown, spawn::Tasks};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use storage::ProcessEpoch;
use tokio::sync::Notify;

const AGAIN: Duration = Duration::from_millis(500);
/// Outcomes and records may gather so long while others are on their way.
const GATHER: Duration = Duration::from_millis(50);
const PROPOSAL: Duration = Duration::from_secs(5);
const SHIPMENT: Duration = Duration::from_secs(10);
/// Records in one shipment.
const RECORDS_BATCH: usize = 200;
/// How often the journal's shipped beginning is forgotten.
const FORGET: Duration = Duration::from_secs(10);

/// The index of a journal entry, and a count: after a crash one entry may stand behind many
/// attempts, those that were leased together.
type Key = (u64, u64);

/// The three queues, oldest entry first.
#[derive(Debug, Default)]
struct Queues {
    pushed: u64,
    outcomes: BTreeMap<Key, (Telling, CallOutcome)>,
    records: BTreeMap<Key, Box<CallRecord>>,
    opt_outs: BTreeMap<Key, DncEntry>,
}

impl Queues {
    fn len(&self) -> usize {
        self.outcomes.len().max(self.records.len()) + self.opt_outs.len()
    }

    fn oldest(&self) -> Option<u64> {
        [
            self.outcomes.keys().next(),
            self.records.keys().next(),
            self.opt_outs.keys().next(),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|(index, _)| *index)
    }
}

/// What is owed. Bounded by [`limits::OUTBOX`]: the engine stops dialing there.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    changed: Notify,
    emptied: Notify,
}

impl Outbox {
    pub(crate) fn push(&self, owed: Owed) {
        let mut queues = self.queues.lock();
        queues.pushed += 1;
        let key = (owed.index, queues.pushed);
        if let Some(outcome) = owed.outcome {
            queues.outcomes.insert(key, outcome);
        }
        if let Some(record) = owed.record {
            queues.records.insert(key, record);
        }
        if let Some(entry) = owed.opt_out {
            queues.opt_outs.insert(key, entry);
        }
        drop(queues);
        self.changed.notify_waiters();
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.lock().len()
    }

    /// Opt-outs not yet in the directory.
    pub(crate) fn opt_outs(&self) -> Vec<DncEntry> {
        self.queues.lock().opt_outs.values().copied().collect()
    }

    /// Waits until everything was shipped.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// The oldest outcome whose turn it is, and others that can be told with it.
    fn next_outcomes(&self, skipped: &[Skipped]) -> Option<Batch> {
        let queues = self.queues.lock();
        let is_skipped = |how: Telling, region: RegionId| {
            (skipped.iter()).any(|s| (s.telling, s.region) == (how, region))
        };
        let (telling, region) = (queues.outcomes.values())
            .map(|(how, outcome)| (*how, outcome.lead().region()))
            .find(|(how, region)| !is_skipped(*how, *region))?;
        let batch = (queues.outcomes.iter())
            .filter(|(_, (how, outcome))| *how == telling && outcome.lead().region() == region)
            .take(limits::OUTCOME_BATCH)
            .map(|(index, (_, outcome))| (*index, *outcome))
            .collect();
        Some((region, telling, batch))
    }

    fn shipped(&self) {
        if self.len() == 0 {
            self.emptied.notify_waiters();
        }
    }
}

/// Outcomes that are told in one command, each with the index of its journal entry.
type Batch = (RegionId, Telling, Vec<(Key, CallOutcome)>);

/// Outcomes that could not be told: not tried again before then.
#[derive(Clone, Copy, Debug)]
struct Skipped {
    region: RegionId,
    telling: Telling,
    until: Instant,
}

/// Ships what is owed.
#[derive(Clone)]
pub(crate) struct Shipping {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) member: Member,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) events: Events,
    pub(crate) sequence: Arc<AtomicU64>,
    pub(crate) epoch: Arc<ProcessEpoch>,
    pub(crate) boot: String,
    pub(crate) shutdown: Shutdown,
}

impl Shipping {
    pub(crate) fn start(self, tasks: &Tasks) {
        tasks.spawn("ship_outcomes", self.clone().outcomes());
        tasks.spawn("ship_records", self.clone().records());
        tasks.spawn("ship_opt_outs", self.clone().opt_outs());
        tasks.spawn("forget_shipped", self.forget());
    }

    /// Lets some gather before they are told, unless the process is about to end: each telling is
    /// a commit, and a commit costs more than what is in it.
    async fn gather(&self) {
        if !self.shutdown.has_started() {
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Waits for more, or for a while after a failure.
    async fn pause(&self, failed: bool) {
        if failed {
            tokio::time::sleep(AGAIN).await;
        } else {
            let changed = self.outbox.changed.notified();
            // What came between the look and here is seen a moment later.
            tokio::time::timeout(AGAIN, changed).await.ok();
        }
        self.events.offer(Event::Backlog(self.outbox.len()));
    }

    async fn outcomes(self) {
        // A region that does not answer, or cannot take them yet, keeps nobody else's waiting.
        let mut skipped: Vec<Skipped> = Vec::new();
        loop {
            let now = Instant::now();
            skipped.retain(|s| s.until > now);
            let Some((region, telling, batch)) = self.outbox.next_outcomes(&skipped) else {
                self.pause(false).await;
                continue;
            };
            if !self.tell(region, telling, &batch).await {
                // Others have at least as long as it took.
                let until = Instant::now() + AGAIN.max(now.elapsed());
                skipped.push(Skipped {
                    region,
                    telling,
                    until,
                });
                self.events.offer(Event::Backlog(self.outbox.len()));
            } else if batch.len() < limits::OUTCOME_BATCH {
                self.gather().await;
            }
        }
    }

    async fn tell(&self, region: RegionId, telling: Telling, batch: &[(Key, CallOutcome)]) -> bool {
        let Some(group) = self.member.region(region) else {
            return false;
        };
        let outcomes = batch.iter().map(|(_, outcome)| *outcome).collect();
        let command = match telling {
            Telling::Report(session) => RegionCommand::Report {
                session,
                sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
                outcomes,
            },
            Telling::Settle(incarnation, trust) => RegionCommand::Settle {
                node: self.member.id(),
                incarnation,
                outcomes,
                proof: trust.into(),
            },
        };
        match group
            .propose_again(&command, PROPOSAL)
            .await
            .map(|done| done.reply)
        {
            Ok(RegionReply::Reported(counts)) => {
                if let Some((_, refusal)) = counts
                    .refused
                    .iter()
                    .find(|(_, r)| *r == ledger::OutcomeRefusal::StillOpen)
                {
                    tracing::debug!(%region, %refusal, "earlier attempts are settled once the old session has ended");
                    return self.drop_all_but(batch, &counts.refused);
                }
                for (place, refusal) in &counts.refused {
                    if *refusal == ledger::OutcomeRefusal::UnknownEnd {
                        tracing::info!(%region, place, "an earlier run died with a call in the air; its lead rests until the network is done with it");
                        continue;
                    }
                    tracing::warn!(%region, place, %refusal, "an outcome was not taken");
                }
                self.drop_all_but(batch, &[]);
                true
            }
            Ok(RegionReply::Refused(refusal @ ledger::RegionRefusal::NotYet { .. })) => {
                tracing::debug!(%region, %refusal, "outcomes wait for the region's version");
                false
            }
            Ok(RegionReply::Refused(refusal)) => {
                // The session is wholly forgotten: its leads came out of doubt long ago.
                tracing::warn!(%region, %refusal, outcomes = batch.len(), "outcomes were refused for good");
                self.drop_all_but(batch, &[]);
                true
            }
            Ok(other) => {
                tracing::error!(%region, ?other, "an answer of another kind to outcomes");
                false
            }
            Err(error) => {
                tracing::debug!(%region, %error, "outcomes wait for the region's group");
                false
            }
        }
    }

    /// Takes told outcomes out; those refused as too early stay. True when all went.
    fn drop_all_but(
        &self,
        batch: &[(Key, CallOutcome)],
        kept: &[(u32, ledger::OutcomeRefusal)],
    ) -> bool {
        let kept: BTreeSet<usize> = (kept.iter())
            .filter(|(_, refusal)| *refusal == ledger::OutcomeRefusal::StillOpen)
            .map(|(place, _)| *place as usize)
            .collect();
        let mut queues = self.outbox.queues.lock();
        for (place, (index, _)) in batch.iter().enumerate() {
            if !kept.contains(&place) {
                queues.outcomes.remove(index);
            }
        }
        drop(queues);
        self.outbox.shipped();
        kept.is_empty()
    }

    async fn records(self) {
        loop {
            let batch: Vec<(Key, Box<CallRecord>)> = {
                let queues = self.outbox.queues.lock();
                queues
                    .records
                    .iter()
                    .take(RECORDS_BATCH)
                    .map(|(i, r)| (*i, r.clone()))
                    .collect()
            };
            let failed = !batch.is_empty() && !self.ship(&batch).await;
            if batch.is_empty() || failed {
                self.pause(failed).await;
            } else if batch.len() < RECORDS_BATCH {
                self.gather().await;
            }
        }
    }

    async fn ship(&self, batch: &[(Key, Box<CallRecord>)]) -> bool {
        let (coordinators, records) = self.member.directory().read(|directory| {
            let coordinators: Vec<_> = (directory.members())
                .filter(|m| m.role == MemberRole::Coordinator && !m.removed)
                .map(|m| m.id)
                .collect();
            let named = batch.iter().map(|(_, record)| {
                let mut record = CallRecord::clone(record);
                // After a crash the name of an agent's disposition is not known here.
                if let Disposition::Agent(_) = record.disposition
                    && record.disposition_name == record.disposition.name()
                    && let Some(campaign) = directory.campaign(record.campaign)
                {
                    campaign
                        .disposition_name(record.disposition)
                        .clone_into(&mut record.disposition_name);
                }
                record
            });
            (coordinators, named.collect::<Vec<_>>())
        });
        let body = encode_records(&records);
        for coordinator in coordinators {
            let endpoint = self.member.endpoint();
            let sent =
                endpoint.rpc_with(coordinator, RECORDS, body.clone(), SHIPMENT, Priority::Bulk);
            match sent.await.map(|answer| decode::<RecordsReply>(&answer)) {
                Ok(Ok(_)) => {
                    let mut queues = self.outbox.queues.lock();
                    for (index, _) in batch {
                        queues.records.remove(index);
                    }
                    drop(queues);
                    self.outbox.shipped();
                    return true;
                }
                Ok(Err(error)) => {
                    tracing::warn!(%coordinator, %error, "the answer to records cannot be read")
                }
                Err(error) => {
                    tracing::debug!(%coordinator, %error, "call records wait for the coordinator")
                }
            }
        }
        false
    }

    async fn opt_outs(self) {
        loop {
            let batch: Vec<(Key, DncEntry)> = {
                let queues = self.outbox.queues.lock();
                queues
                    .opt_outs
                    .iter()
                    .take(limits::DNC_BATCH)
                    .map(|(i, e)| (*i, *e))
                    .collect()
            };
            let failed = !batch.is_empty() && !self.commit(&batch).await;
            if batch.is_empty() || failed {
                self.pause(failed).await;
            }
        }
    }

    async fn commit(&self, batch: &[(Key, DncEntry)]) -> bool {
        let version = self.member.directory().read(|d| d.mesh_version());
        let add = (batch.iter())
            .map(|(_, entry)| ledger::entry_for(version, *entry))
            .collect();
        let change = Change::ChangeDnc {
            add,
            remove: Vec::new(),
            reason: String::new(),
        };
        // Adding twice only renews the entry.
        let done = self
            .member
            .directory()
            .propose_again(&DirectoryCommand::from(change), PROPOSAL)
            .await;
        match done.map(|done| done.reply) {
            Ok(ledger::DirectoryReply::Dnc { index, .. }) => {
                let entries = batch.iter().map(|(_, entry)| *entry).collect();
                let taken = Event::OptOutsTaken { entries, index };
                self.events.put(taken).await;
                let mut queues = self.outbox.queues.lock();
                for (index, _) in batch {
                    queues.opt_outs.remove(index);
                }
                drop(queues);
                self.outbox.shipped();
                true
            }
            Ok(other) => {
                tracing::error!(
                    ?other,
                    "the directory did not take opt-outs; they bind this node and are tried again"
                );
                false
            }
            Err(error) => {
                tracing::debug!(%error, "opt-outs wait for the directory");
                false
            }
        }
    }

    /// Forgets the journal's beginning: everything older than what is owed and than the oldest
    /// attempt that may still be live.
    async fn forget(self) {
        // Each round forgets what was there the round before last, so that live attempts, which are
        // shorter than their leads' lease, keep their entries: see `HORIZON`.
        const HORIZON: usize = 1_080;
        let mut marks = std::collections::VecDeque::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(FORGET) => {}
                () = self.shutdown.started() => return,
            }
            marks.push_back(self.attempts.next_index());
            if marks.len() <= HORIZON {
                continue;
            }
            let old = marks.pop_front().unwrap_or(0);
            let owed = self.outbox.queues.lock().oldest().unwrap_or(u64::MAX);
            if let Err(error) = self.attempts.mark_run(&self.epoch, &self.boot) {
                tracing::error!(%error, "the journal does not take the mark of this run");
                continue;
            }
            self.attempts.forget_before(old.min(owed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{AttemptId, Incarnation, LeadId, SessionId};

    #[test]
    fn a_region_that_does_not_answer_keeps_no_other_waiting() {
        let outbox = Outbox::default();
        let telling = Telling::Report(SessionId(4));
        for (index, region) in (1..).zip([9, 9, 2, 9, 2]) {
            let region = RegionId(region);
            outbox.push(Owed {
                index,
                outcome: Some((
                    telling,
                    CallOutcome::Undialed {
                        lead: LeadId::new(region, index),
                        attempt: AttemptId::new(region, 1, index as u32),
                    },
                )),
                record: None,
                opt_out: None,
            });
        }
        let next = |skipped: &[Skipped]| {
            let (region, _, batch) = outbox.next_outcomes(skipped)?;
            Some((
                region.0,
                batch.iter().map(|(key, _)| key.0).collect::<Vec<_>>(),
            ))
        };
        let skip = |region| Skipped {
            region: RegionId(region),
            telling,
            until: Instant::now(),
        };
        assert_eq!(next(&[]), Some((9, vec![1, 2, 4])));
        assert_eq!(next(&[skip(9)]), Some((2, vec![3, 5])));
        assert_eq!(next(&[skip(9), skip(2)]), None);
    }

    #[test]
    fn attempts_leased_together_are_all_owed() {
        let outbox = Outbox::default();
        for place in 0..5 {
            let (lead, attempt) = (LeadId(place), AttemptId(u128::from(place)));
            let telling = Telling::Settle(Incarnation(1), crate::journal::Trust::SameBoot);
            outbox.push(Owed {
                index: 7,
                outcome: Some((telling, CallOutcome::Undialed { lead, attempt })),
                record: None,
                opt_out: None,
            });
        }
        assert_eq!(outbox.len(), 5);
        assert_eq!(outbox.queues.lock().oldest(), Some(7));
    }
}
