//! The invariants, told by a witness who sees real time and the telephone network.

use domain::{AttemptId, CallOutcome, CampaignId, PhoneNumber, SessionId};
use ledger::{RegionEvent, RegionLedger, RegionReply, SessionEnd};
use std::collections::{BTreeMap, BTreeSet};

/// One INVITE and what the network made of it. Times are real, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: PhoneNumber,
    pub(crate) attempt: AttemptId,
    pub(crate) start: u64,
    pub(crate) answered: Option<u64>,
    pub(crate) end: u64,
}

/// How often what was tested really happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) invites: u64,
    pub(crate) late: u64,
    pub(crate) lost: u64,
    pub(crate) refunds: u64,
    pub(crate) closed: u64,
    pub(crate) repeated_outcomes: u64,
    pub(crate) effective: u64,
    pub(crate) expired: u64,
    pub(crate) superseded: u64,
    pub(crate) stale_expiries: u64,
    pub(crate) elections: u64,
    pub(crate) crashes: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.invites += other.invites;
        self.late += other.late;
        self.lost += other.lost;
        self.refunds += other.refunds;
        self.closed += other.closed;
        self.repeated_outcomes += other.repeated_outcomes;
        self.effective += other.effective;
        self.expired += other.expired;
        self.superseded += other.superseded;
        self.stale_expiries += other.stale_expiries;
        self.elections += other.elections;
        self.crashes += other.crashes;
    }
}

#[derive(Default)]
pub(crate) struct Checks {
    pub(crate) seen: Seen,
    pub(crate) calls: Vec<Call>,
    claimed: BTreeSet<AttemptId>,
    invited: BTreeSet<AttemptId>,
    per_number: BTreeMap<PhoneNumber, u32>,
    effective: BTreeMap<PhoneNumber, u64>,
}

/// What us-federal allows a number in 24 hours; the simulation is shorter than that.
const ATTEMPTS: u32 = 3;

impl Checks {
    /// An INVITE leaves at real time `now`. `stands` is false when it is cancelled at once.
    pub(crate) fn invite(
        &mut self,
        ledger: &RegionLedger,
        session: SessionId,
        call: Call,
        stands: bool,
    ) -> Result<(), String> {
        self.seen.invites += 1;
        let attempts = self.per_number.entry(call.number).or_default();
        *attempts += 1;
        if *attempts > ATTEMPTS {
            return Err(format!("I5: attempt {attempts} at {}", call.number));
        }
        if !self.invited.insert(call.attempt) {
            return Err(format!("I2: {} dialed twice", call.attempt));
        }
        if !stands {
            self.seen.late += 1;
            return Ok(());
        }
        if let Some(other) =
            (self.calls.iter()).find(|c| c.number == call.number && c.end > call.start)
        {
            return Err(format!("I1: {call:?} while {other:?} lives"));
        }
        let open = ledger.session(session).is_some_and(|s| s.ended.is_none());
        let leased = || (ledger.leased_to(session).iter()).any(|l| l.attempt == call.attempt);
        if !open || !leased() {
            return Err(format!("I2: {call:?} outside {session}"));
        }
        if let Some(since) = self.effective.get(&call.number) {
            return Err(format!("I3: {call:?} although effective since {since}"));
        }
        self.calls.push(call);
        Ok(())
    }

    /// A do-not-call entry was answered as effective.
    pub(crate) fn effective(&mut self, number: PhoneNumber, now: u64) {
        self.seen.effective += 1;
        self.effective.entry(number).or_insert(now);
    }

    /// An outcome was applied, alone in its command.
    pub(crate) fn outcome(
        &mut self,
        outcome: &CallOutcome,
        reply: &RegionReply,
    ) -> Result<(), String> {
        let RegionReply::Reported(counts) = reply else {
            return Err(format!("an outcome was answered {reply:?}"));
        };
        self.seen.closed += u64::from(counts.accepted);
        self.seen.refunds += u64::from(counts.refunded);
        self.seen.repeated_outcomes += u64::from(counts.closed_before);
        if counts.refunded > 0 && self.invited.contains(&outcome.attempt()) {
            return Err(format!("I7: {} was dialed and refunded", outcome.attempt()));
        }
        Ok(())
    }

    pub(crate) fn claimed(&mut self, reply: &RegionReply) {
        if let RegionReply::Claimed { leads, .. } = reply {
            self.claimed.extend(leads.iter().map(|lead| lead.attempt));
        }
    }

    pub(crate) fn events(&mut self, events: &[RegionEvent]) {
        for event in events {
            match event {
                RegionEvent::AttemptsLost(lost) => self.seen.lost += lost.len() as u64,
                RegionEvent::SessionEnded { end, .. } => match end {
                    SessionEnd::Expired => self.seen.expired += 1,
                    SessionEnd::Superseded => self.seen.superseded += 1,
                    SessionEnd::Closed => {}
                },
                _ => {}
            }
        }
    }

    /// I7: what was claimed is leased, in doubt, or ended once.
    pub(crate) fn balance(&self, ledger: &RegionLedger) -> Result<(), String> {
        let stats = ledger.stats(CampaignId(1));
        let ended = self.seen.closed + self.seen.refunds + self.seen.lost;
        let open = stats.leased + stats.in_doubt;
        if self.claimed.len() as u64 != ended + open {
            return Err(format!(
                "I7: {} claimed, {ended} ended, {open} open",
                self.claimed.len()
            ));
        }
        Ok(())
    }
}
