//! I5: no number exceeds the rule pack's rolling limits, no lead is redialed before its retry
//! rule, none within the gap after an abandonment; whatever crashes.

use super::Invite;
use crate::violation::{Checked, Invariant};
use domain::{AttemptId, CampaignId, PhoneNumber};
use std::collections::BTreeMap;

const HOUR: u64 = 3_600_000;
/// Three in 24 hours, seven in 7 days: what us-federal allows a number.
const LIMITS: [(usize, u64); 2] = [(3, 24 * HOUR), (7, 7 * 24 * HOUR)];
/// The rule pack's gap after an abandoned call.
const ABANDONED: u64 = 72 * HOUR;
/// Clocks of nodes may be off by this much, and marks are whole seconds.
const SLACK: u64 = 5_000;

/// Every INVITE, and every abandonment that the region knows.
#[derive(Debug, Default)]
pub(crate) struct AttemptLimits {
    invites: BTreeMap<PhoneNumber, Vec<u64>>,
    /// Of each number and campaign: a lead that moves to another region has another id there.
    last: BTreeMap<(PhoneNumber, CampaignId), u64>,
    claimed: BTreeMap<AttemptId, u64>,
    /// What the network knows: live answers that no agent took, and when they were dialed.
    truly_abandoned: BTreeMap<AttemptId, (PhoneNumber, u64)>,
    /// Since when it is known, and when the attempt was made.
    abandoned: BTreeMap<PhoneNumber, (u64, u64)>,
    /// How far the leaders' calendars were apart from each other at most: the ledger counts by
    /// them, so a day may be shorter by as much.
    calendar: (i64, i64),
}

impl AttemptLimits {
    /// The leaders' calendar is off by so many milliseconds from now on.
    pub(crate) fn calendar(&mut self, off: i64) {
        self.calendar = (self.calendar.0.min(off), self.calendar.1.max(off));
    }

    fn slack(&self) -> u64 {
        self.calendar.1.abs_diff(self.calendar.0) + SLACK
    }

    /// An attempt was reserved.
    pub(crate) fn claimed(&mut self, now: u64, attempt: AttemptId) {
        self.claimed.entry(attempt).or_insert(now);
    }

    /// A person answered and no agent came.
    pub(crate) fn leaves_alone(&mut self, attempt: AttemptId, number: PhoneNumber, invited: u64) {
        self.truly_abandoned.insert(attempt, (number, invited));
    }

    /// Whether an attempt really was abandoned: its number, and when it was dialed.
    pub(crate) fn was_abandoned(&self, attempt: AttemptId) -> Option<(PhoneNumber, u64)> {
        self.truly_abandoned.get(&attempt).copied()
    }

    /// The region's group took in, at `now`, that an attempt made at `invited` was abandoned.
    pub(crate) fn abandoned(&mut self, now: u64, number: PhoneNumber, invited: u64) {
        let known = self.abandoned.entry(number).or_insert((now, invited));
        if invited > known.1 {
            *known = (now, invited);
        }
    }

    pub(super) fn invite(&mut self, invite: &Invite<'_>) -> Checked {
        let (number, slack) = (invite.lead.number, self.slack());
        let times = self.invites.entry(number).or_default();
        times.push(invite.at);
        for (most, span) in LIMITS {
            let since = (invite.at + slack).saturating_sub(span);
            let recent = times
                .iter()
                .filter(|at| **at > since || invite.at + slack < span);
            let count = recent.count();
            if count > most {
                return Err(Invariant::I5.broken(format!(
                    "attempt {count} at {number} in {} h; {most} are allowed",
                    span / HOUR
                )));
            }
        }
        // What was leased before the abandonment was known could not know of it.
        let claimed = self.claimed.get(&invite.lead.attempt).copied();
        if let Some((known, invited)) = self.abandoned.get(&number)
            && claimed.is_some_and(|claimed| claimed > *known)
            && invite.at < (invited + ABANDONED).saturating_sub(slack)
        {
            return Err(Invariant::I5.broken(format!(
                "node {} dials {number}, abandoned at {invited} ms, known since {known} ms",
                invite.node
            )));
        }
        let gap = crate::world::RETRY.as_millis() as u64;
        let last = (self.last).insert((number, invite.lead.campaign), invite.at);
        match last {
            Some(last) if invite.at + slack < last + gap => Err(Invariant::I5.broken(format!(
                "{} is redialed after {} ms; its retry rule says {gap}",
                invite.lead.lead,
                invite.at - last
            ))),
            _ => Ok(()),
        }
    }
}
