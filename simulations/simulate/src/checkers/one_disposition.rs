//! I7: every attempt ends in exactly one disposition, and every acknowledged one survives.

use crate::{
    group::Group,
    seen::{Happening, Seen},
    violation::{Checked, Invariant},
};
use domain::{AttemptId, CallOutcome, CampaignId, PhoneNumber};
use ledger::{OutcomeCounts, RegionLedger};
use std::collections::{BTreeMap, BTreeSet};

/// The attempts that were reserved, and how they ended.
#[derive(Debug, Default)]
pub(crate) struct OneDisposition {
    claimed: BTreeMap<AttemptId, PhoneNumber>,
    invited: BTreeSet<AttemptId>,
    ended: BTreeSet<AttemptId>,
    refunded: u64,
    /// Dispositions of each number.
    disposed: BTreeMap<PhoneNumber, usize>,
}

impl OneDisposition {
    pub(crate) fn claimed(&mut self, attempt: AttemptId, number: PhoneNumber) {
        self.claimed.insert(attempt, number);
    }

    pub(crate) fn invited(&mut self, attempt: AttemptId) {
        self.invited.insert(attempt);
    }

    /// Whether the network saw an INVITE of it.
    pub(crate) fn was_invited(&self, attempt: AttemptId) -> bool {
        self.invited.contains(&attempt)
    }

    fn end(&mut self, attempt: AttemptId, disposed: bool) -> Checked {
        if !self.ended.insert(attempt) {
            return Err(Invariant::I7.broken(format!("{attempt} ends a second time")));
        }
        let Some(number) = self.claimed.get(&attempt) else {
            return Err(Invariant::I7.broken(format!("{attempt} ends and was never claimed")));
        };
        if disposed {
            *self.disposed.entry(*number).or_default() += 1;
        }
        Ok(())
    }

    /// An outcome was applied, alone in its command.
    pub(crate) fn outcome(
        &mut self,
        outcome: &CallOutcome,
        counts: &OutcomeCounts,
        seen: &mut Seen,
    ) -> Checked {
        let attempt = outcome.attempt();
        seen.saw_many(Happening::LateOutcomes, u64::from(counts.closed_before));
        if counts.accepted > 0 {
            seen.saw(Happening::OutcomesClosed);
            self.end(attempt, true)?;
        }
        if counts.refunded > 0 {
            seen.saw(Happening::Refunds);
            self.refunded += 1;
            if self.was_invited(attempt) {
                return Err(Invariant::I7.broken(format!("{attempt} was dialed and is refunded")));
            }
            self.end(attempt, false)?;
        }
        Ok(())
    }

    /// A doubt ran out.
    pub(crate) fn lost(&mut self, attempt: AttemptId) -> Checked {
        self.end(attempt, true)
    }

    /// What was claimed is leased, in doubt, or ended.
    pub(crate) fn balance(
        &self,
        regions: &[Group<RegionLedger>],
        campaigns: &[CampaignId],
    ) -> Checked {
        let regions = regions.iter().map(|group| &group.witness);
        let open: u64 = regions
            .flat_map(|region| campaigns.iter().map(|campaign| region.stats(*campaign)))
            .map(|stats| stats.leased + stats.in_doubt)
            .sum();
        let (claimed, ended) = (self.claimed.len() as u64, self.ended.len() as u64);
        if claimed == ended + open {
            return Ok(());
        }
        Err(Invariant::I7.broken(format!(
            "{claimed} attempts were claimed, {ended} ended, {open} are open"
        )))
    }

    /// At the end nothing is open, and each number remembers every attempt at it.
    pub(crate) fn settled(&self, regions: &[Group<RegionLedger>]) -> Checked {
        let regions = || regions.iter().map(|group| &group.witness);
        if let Some((attempt, number)) =
            (self.claimed.iter()).find(|(attempt, _)| !self.ended.contains(*attempt))
        {
            let views = |region: &RegionLedger| -> Vec<_> {
                let leads = region.leads_of(*number).into_iter();
                leads.filter_map(|lead| region.lead(lead)).collect()
            };
            let standing: Vec<_> = (regions().flat_map(views))
                .map(|lead| (lead.standing, lead.session))
                .collect();
            return Err(Invariant::I7.broken(format!(
                "{attempt} at {number} never ended, long after the heal: {standing:?}"
            )));
        }
        for (number, disposed) in &self.disposed {
            let marks: usize = regions().map(|r| r.attempts_at(*number).0.len()).sum();
            if marks != *disposed {
                return Err(Invariant::I7.broken(format!(
                    "{disposed} attempts at {number} ended, the region remembers {}",
                    marks
                )));
            }
        }
        Ok(())
    }
}
