//! The node's journal: what is known of its attempts after a crash.
//!
//! One stream of entries, each behind the run that wrote it. An attempt's last entry decides:
//! leased and never dialed, dialed with an unknown end, disposed, or closed.

use bytes::Bytes;
use call::JournalEntry;
use domain::{
    AttemptId, CallOutcome, CallRecord, CampaignId, DncEntry, EscrowProof, Incarnation, LeadId,
    SessionId, WallTime, limits,
};
use engine::Entry;
use ledger::Proof;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::{Durability, Journal, JournalError, JournalStream, ProcessEpoch};

/// Version of what is written.
const VERSION: u8 = 11;
/// The stream's name.
const STREAM: &str = "attempts";
/// Room for most entries, so that they need not grow.
const ENTRY_BYTES: usize = 512;
/// Bytes read at a time at start.
const READ: usize = 4 << 20;

/// One entry of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kept {
    /// A run begins: its number, and in which boot of the machine.
    Run {
        incarnation: Incarnation,
        boot: String,
    },
    /// Something of an attempt.
    Of(Entry),
}

/// The journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptsError {
    /// The storage below.
    #[error("the node's journal cannot be read")]
    Journal(#[from] JournalError),
    /// An entry of another release, or damage.
    #[error(
        "entry {index} of the node's journal cannot be read ({why}); start the release that wrote it, or move the data directory away and join again"
    )]
    Entry {
        /// Which.
        index: u64,
        /// Why.
        why: String,
    },
}

/// The node's journal of attempts.
#[derive(Debug)]
pub(crate) struct Attempts {
    stream: JournalStream,
    /// Abandonments of this run by campaign.
    abandoned: Mutex<BTreeMap<CampaignId, u64>>,
}

/// What earlier runs left.
pub(crate) struct Left {
    /// Outcomes, records and opt-outs to ship.
    pub(crate) owed: Vec<Owed>,
    /// What each run that can be trusted abandoned, and what it left in the air.
    pub(crate) proofs: Vec<EscrowProof>,
}

/// What is owed to others for one attempt, or one opt-out.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    /// The entry that may be forgotten once this is shipped.
    pub(crate) index: u64,
    /// For the region's group, and how to tell it.
    pub(crate) outcome: Option<(Telling, CallOutcome)>,
    /// For the coordinator.
    pub(crate) record: Option<Box<CallRecord>>,
    /// For the directory.
    pub(crate) opt_out: Option<DncEntry>,
}

/// How an outcome is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Telling {
    /// By the session that held the lead.
    Report(SessionId),
    /// For an earlier run of this node.
    Settle(Incarnation, Trust),
}

/// Why an earlier run's journal is believed; ordered for batching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// Same boot of the machine.
    SameBoot,
    /// It stopped in order.
    CleanStop,
    /// The machine went down.
    PowerLoss,
}

impl From<Trust> for Proof {
    fn from(trust: Trust) -> Self {
        match trust {
            Trust::SameBoot => Self::SameBoot,
            Trust::CleanStop => Self::CleanStop,
            Trust::PowerLoss => Self::PowerLoss,
        }
    }
}

fn encode(kept: &Kept) -> Bytes {
    let mut bytes = Vec::with_capacity(ENTRY_BYTES);
    bytes.push(VERSION);
    Bytes::from(postcard::to_extend(kept, bytes).expect("entries are plain data"))
}

/// One attempt of an earlier run.
struct Found {
    index: u64,
    run: usize,
    lead: LeadId,
    dialed: Option<Box<CallRecord>>,
    disposed: Option<JournalEntry>,
}

impl Attempts {
    /// Opens the stream, reads what earlier runs left, and begins this run.
    ///
    /// # Errors
    /// [`AttemptsError`].
    pub(crate) fn open(
        journal: &Journal,
        epoch: &ProcessEpoch,
        boot: &str,
        now: WallTime,
    ) -> Result<(Self, Left), AttemptsError> {
        let stream = journal.stream(STREAM)?;
        let mut reading = Reading::default();
        let mut from = stream.first_index();
        loop {
            let entries = stream.read_from(from, READ)?;
            let Some((last, _)) = entries.last() else {
                break;
            };
            from = last + 1;
            for (index, bytes) in &entries {
                reading.take(*index, bytes)?;
            }
        }
        let left = Left {
            proofs: reading.proofs(epoch, boot),
            owed: reading.owed(epoch, boot, now),
        };
        let begin = Kept::Run {
            incarnation: epoch.incarnation,
            boot: boot.to_owned(),
        };
        stream.append(vec![encode(&begin)], Durability::Synced)?;
        let abandoned = Mutex::default();
        Ok((Self { stream, abandoned }, left))
    }

    /// Writes entries and waits until the operating system has them.
    ///
    /// # Errors
    /// An entry is too large.
    pub(crate) fn note(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        for entry in &entries {
            if let Entry::Abandoned { campaign, total } = entry {
                self.abandoned.lock().insert(*campaign, *total);
            }
        }
        let entries = entries
            .into_iter()
            .map(|entry| encode(&Kept::Of(entry)))
            .collect();
        self.stream.append(entries, Durability::Written).map(drop)
    }

    /// Writes an entry durably; `done` hears its index once `fdatasync` returned, which ends of calls
    /// that come within a few milliseconds share.
    ///
    /// # Errors
    /// The entry is too large.
    pub(crate) fn persist(
        &self,
        entry: Entry,
        done: impl FnOnce(u64) + Send + 'static,
    ) -> Result<(), JournalError> {
        let bytes = encode(&Kept::Of(entry));
        self.stream
            .append_then(vec![bytes], Durability::SyncedSoon, done)
            .map(drop)
    }

    /// The index of the next entry.
    pub(crate) fn next_index(&self) -> u64 {
        self.stream.next_index()
    }

    /// Forgets everything before an index.
    pub(crate) fn forget_before(&self, index: u64) {
        self.stream.truncate_prefix(index);
    }

    /// Writes that this run goes on, and what it abandoned so far: after [`Attempts::forget_before`]
    /// its beginning is gone.
    ///
    /// # Errors
    /// Never in practice: the entries are small.
    pub(crate) fn mark_run(&self, epoch: &ProcessEpoch, boot: &str) -> Result<(), JournalError> {
        let begin = Kept::Run {
            incarnation: epoch.incarnation,
            boot: boot.to_owned(),
        };
        let held = self.abandoned.lock();
        let abandoned = held.iter().map(|(campaign, total)| {
            encode(&Kept::Of(Entry::Abandoned {
                campaign: *campaign,
                total: *total,
            }))
        });
        let entries = std::iter::once(encode(&begin)).chain(abandoned).collect();
        self.stream.append(entries, Durability::Written).map(drop)
    }
}

#[derive(Default)]
struct Reading {
    runs: Vec<(Incarnation, String)>,
    open: BTreeMap<AttemptId, Found>,
    owed: Vec<(usize, Owed)>,
    /// Abandonments of each run by campaign.
    abandoned: BTreeMap<(usize, CampaignId), u64>,
}

impl Reading {
    fn take(&mut self, index: u64, bytes: &[u8]) -> Result<(), AttemptsError> {
        let bad = |why: String| AttemptsError::Entry { index, why };
        let kept = match bytes.split_first() {
            Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|e| bad(e.to_string()))?,
            // What was added since are the last fields of the record at the entry's end, and absent.
            Some((&version, body)) if (2..VERSION).contains(&version) => {
                let missing = &[0; 9][..usize::from(VERSION - version)];
                postcard::from_bytes(&[body, missing].concat()).map_err(|e| bad(e.to_string()))?
            }
            Some((version, _)) => return Err(bad(format!("version {version}"))),
            None => return Err(bad("empty".to_owned())),
        };
        match kept {
            Kept::Run { incarnation, boot } => {
                if self
                    .runs
                    .last()
                    .is_none_or(|(last, _)| *last != incarnation)
                {
                    self.runs.push((incarnation, boot));
                }
            }
            Kept::Of(entry) => self.of(index, entry),
        }
        Ok(())
    }

    fn of(&mut self, index: u64, entry: Entry) {
        // Entries before the first mark of a run belong to a run whose beginning was forgotten; it
        // is marked again at every forgetting, so the next mark names it.
        let run = self.runs.len().saturating_sub(1);
        match entry {
            Entry::Leased(leads) => {
                for (attempt, lead) in leads {
                    let found = Found {
                        index,
                        run,
                        lead,
                        dialed: None,
                        disposed: None,
                    };
                    self.open.insert(attempt, found);
                }
            }
            Entry::Dialing(record) => {
                let (attempt, lead) = (record.attempt, record.lead);
                let found = self.open.entry(attempt).or_insert(Found {
                    index,
                    run,
                    lead,
                    dialed: None,
                    disposed: None,
                });
                found.dialed = Some(record);
            }
            Entry::Disposed(disposed) => {
                let JournalEntry::Disposed { attempt, lead, .. } = &disposed;
                let found = self.open.entry(*attempt).or_insert(Found {
                    index,
                    run,
                    lead: *lead,
                    dialed: None,
                    disposed: None,
                });
                found.disposed = Some(disposed);
            }
            Entry::Closed {
                session: _,
                outcome,
                record,
            } => {
                self.open.remove(&outcome.attempt());
                // Whether it was shipped is not known: both receivers take it a second time.
                let told = Some((Telling::Settle(Incarnation(0), Trust::PowerLoss), outcome));
                self.owed.push((
                    run,
                    Owed {
                        index,
                        outcome: told,
                        record,
                        opt_out: None,
                    },
                ));
            }
            Entry::CalledBack(record) => {
                self.open.remove(&record.attempt);
                let owed = Owed {
                    index,
                    outcome: None,
                    record: Some(record),
                    opt_out: None,
                };
                self.owed.push((run, owed));
            }
            Entry::OptOut(entry) => {
                let owed = Owed {
                    index,
                    outcome: None,
                    record: None,
                    opt_out: Some(entry),
                };
                self.owed.push((run, owed));
            }
            Entry::Abandoned { campaign, total } => {
                let known = self.abandoned.entry((run, campaign)).or_default();
                *known = total.max(*known);
            }
        }
    }

    /// A run, and why its entries are believed.
    fn trust(&self, run: usize, epoch: &ProcessEpoch, boot: &str) -> (Incarnation, Trust) {
        let Some((incarnation, wrote_in)) = self.runs.get(run) else {
            return (Incarnation(0), Trust::PowerLoss);
        };
        let last = run + 1 == self.runs.len();
        let trust = match (wrote_in == boot, last && epoch.clean_stop_last) {
            (_, true) => Trust::CleanStop,
            (true, false) => Trust::SameBoot,
            (false, false) => Trust::PowerLoss,
        };
        (*incarnation, trust)
    }

    /// What the newest runs abandoned, of those whose last entries cannot be lost; and how many of
    /// their attempts were on the network at their end, persons who waited or spoke among them: the
    /// journal does not tell them apart.
    fn proofs(&self, epoch: &ProcessEpoch, boot: &str) -> Vec<EscrowProof> {
        let runs = (0..self.runs.len()).rev();
        let trusted = runs.filter_map(|run| match self.trust(run, epoch, boot) {
            (_, Trust::PowerLoss) => None,
            (incarnation, Trust::SameBoot | Trust::CleanStop) => {
                let last = CampaignId(u32::MAX);
                let of_run = self.abandoned.range((run, CampaignId(0))..=(run, last));
                let abandoned = of_run.map(|((_, campaign), n)| (*campaign, *n)).collect();
                let in_air = self.in_air(run).into_iter().collect();
                Some(EscrowProof {
                    incarnation,
                    abandoned,
                    in_air,
                })
            }
        });
        trusted.take(limits::ESCROW_PROOFS).collect()
    }

    /// A run's attempts by campaign that were dialed and did not end.
    fn in_air(&self, run: usize) -> BTreeMap<CampaignId, u64> {
        let mut many = BTreeMap::new();
        let open = self.open.values();
        for found in open.filter(|found| found.run == run && found.disposed.is_none()) {
            if let Some(record) = found.dialed.as_ref().filter(|r| r.call_back.is_none()) {
                *many.entry(record.campaign).or_default() += 1;
            }
        }
        many
    }

    fn owed(mut self, epoch: &ProcessEpoch, boot: &str, now: WallTime) -> Vec<Owed> {
        let (closed, open) = (
            std::mem::take(&mut self.owed),
            std::mem::take(&mut self.open),
        );
        let telling = |run: usize| {
            let (incarnation, trust) = self.trust(run, epoch, boot);
            Telling::Settle(incarnation, trust)
        };
        let mut owed: Vec<Owed> = Vec::with_capacity(closed.len() + open.len());
        for (run, mut one) in closed {
            if let Some((how, _)) = &mut one.outcome {
                *how = telling(run);
            }
            owed.push(one);
        }
        for (attempt, found) in open {
            let (outcome, record) = found.end(attempt, now);
            owed.push(Owed {
                index: found.index,
                // No lead was leased for a call-back: no region knows of it.
                outcome: (!attempt.is_call_back()).then(|| (telling(found.run), outcome)),
                record,
                opt_out: None,
            });
        }
        owed
    }
}

impl Found {
    /// What a crash left of the attempt.
    fn end(&self, attempt: AttemptId, now: WallTime) -> (CallOutcome, Option<Box<CallRecord>>) {
        let lead = self.lead;
        let Some(record) = &self.dialed else {
            let outcome = self.disposed.as_ref().map_or(
                CallOutcome::Undialed { lead, attempt },
                JournalEntry::outcome,
            );
            return (outcome, None);
        };
        let mut record = record.clone();
        record.closed_at = now;
        match &self.disposed {
            Some(entry) => {
                let JournalEntry::Disposed {
                    agent,
                    disposition,
                    note,
                    disposed_at,
                    ..
                } = entry;
                record.agent = *agent;
                record.disposition = domain::Disposition::Agent(*disposition);
                // The campaign's name for it is looked up when the record is shipped.
                record.disposition_name = record.disposition.name().to_owned();
                record.note.clone_from(note);
                if let Some(call_back) = &mut record.call_back {
                    call_back.end = domain::CallBackEnd::Taken;
                }
                record.ended_at = *disposed_at;
                (entry.outcome(), Some(record))
            }
            None => {
                let outcome = CallOutcome::Dialed {
                    lead,
                    attempt,
                    disposition: domain::Disposition::Unknown,
                    invited_at: record.ended_at,
                    ended_at: record.ended_at,
                    callback_at: None,
                };
                (outcome, Some(record))
            }
        }
    }
}

#[cfg(test)]
mod tests;
