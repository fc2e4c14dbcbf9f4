//! What a group's leader sees.

use crate::policy::{Policy, SILENCE};
use domain::{MemberId, MemberRole, RegionId};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// One member of the mesh, as a group's leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: MemberId,
    /// For reasons that people read.
    pub name: String,
    /// What it is.
    pub role: MemberRole,
    /// The region it dials for.
    pub region: Option<RegionId>,
    /// What it may fail together with: a city, a building.
    pub failure_domain: String,
    /// Under whose law its data lies; none is known to be elsewhere than asked.
    pub legal_domain: Option<String>,
    /// It is to be left alone: it leads nothing, and loses its vote when there is another for it.
    pub draining: bool,
    /// Taken out of the mesh.
    pub removed: bool,
    /// For how long nothing has been heard of it; zero while it is there.
    pub silent: Duration,
    /// For how long it has been there without a break; zero while it is not.
    pub steady: Duration,
    /// How often it was lost within the last hour.
    pub losses: u32,
    /// The last entry of the leader's log that it is known to have; none where it is not told.
    pub matched: Option<u64>,
}

impl Candidate {
    /// It is there.
    pub fn is_live(&self) -> bool {
        self.silent <= SILENCE
    }

    /// It has been away for so long that another takes its place.
    pub fn is_dead(&self, policy: &Policy) -> bool {
        self.silent >= policy.grace
    }

    /// Whether it may hold the group's data at all.
    pub fn may_hold(&self, policy: &Policy) -> bool {
        let lawful = match &policy.legal_domain {
            Some(wanted) => self.legal_domain.as_ref() == Some(wanted),
            None => true,
        };
        !self.removed && lawful
    }

    /// How long it must have been there to be promoted: twice as long for each recent loss, up to
    /// 64 times. A group that cannot lose anybody yet waits a fifth for a member never lost.
    pub fn stable_after(&self, policy: &Policy, voters: usize) -> Duration {
        match self.losses {
            0 if voters < 3 => policy.stable / 5,
            losses => policy.stable * (1 << losses.min(6)),
        }
    }

    /// It was lost so often of late that a steadier one is better.
    pub(crate) fn is_flaky(&self, policy: &Policy) -> bool {
        self.losses >= 3 && self.steady < self.stable_after(policy, usize::MAX)
    }

    pub(crate) fn is_caught_up(&self, policy: &Policy, last_log: u64) -> bool {
        self.matched
            .is_some_and(|matched| matched.saturating_add(policy.lag) >= last_log)
    }
}

/// A group as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The region whose leads it holds; none for the directory.
    pub region: Option<RegionId>,
    /// This member, which leads.
    pub leader: MemberId,
    /// For how long it has led without a break.
    pub led: Duration,
    /// Who votes.
    pub voters: BTreeSet<MemberId>,
    /// Who only copies.
    pub learners: BTreeSet<MemberId>,
    /// A change of members is not committed yet.
    pub changing: bool,
    /// The last entry of the leader's log.
    pub last_log: u64,
    /// Every member of the mesh, by id; at most [`domain::limits::MEMBERS`].
    pub members: BTreeMap<MemberId, Candidate>,
    /// Round trips between members, the lower id first; those not known are missing.
    pub round_trips: BTreeMap<(MemberId, MemberId), Duration>,
}

impl GroupView {
    pub(crate) fn is_live(&self, id: MemberId) -> bool {
        id == self.leader || self.members.get(&id).is_some_and(Candidate::is_live)
    }

    /// Live ones among these, and how many a majority of them is.
    pub(crate) fn live_and_quorum(&self, voters: &BTreeSet<MemberId>) -> (usize, usize) {
        let live = voters.iter().filter(|id| self.is_live(**id)).count();
        (live, voters.len() / 2 + 1)
    }

    pub(crate) fn has_quorum(&self, voters: &BTreeSet<MemberId>) -> bool {
        let (live, quorum) = self.live_and_quorum(voters);
        !voters.is_empty() && live >= quorum
    }

    /// For reasons.
    pub(crate) fn name(&self, id: MemberId) -> String {
        self.members
            .get(&id)
            .map_or_else(|| id.to_string(), |m| m.name.clone())
    }

    /// A learner that may vote from now on.
    pub(crate) fn is_ready(&self, id: MemberId, policy: &Policy) -> bool {
        self.learners.contains(&id)
            && self
                .members
                .get(&id)
                .is_some_and(|m| self.waits_for(m, policy).is_none())
    }

    /// Why a learner may not vote yet.
    pub(crate) fn waits_for(&self, m: &Candidate, policy: &Policy) -> Option<String> {
        let stable = m.stable_after(policy, self.voters.len());
        if !m.may_hold(policy) {
            return Some(format!("{} may not hold this group's data", m.name));
        }
        if m.draining {
            return Some(format!("{} drains", m.name));
        }
        if !m.is_live() {
            let silent = short(m.silent);
            return Some(format!("{} has been silent for {silent}", m.name));
        }
        if !m.is_caught_up(policy, self.last_log) {
            let lag = m.matched.map_or_else(
                || "all entries".to_owned(),
                |matched| format!("{} entries", self.last_log.saturating_sub(matched)),
            );
            return Some(format!("{} is {lag} behind", m.name));
        }
        (m.steady < stable).then(|| {
            let left = short(stable - m.steady);
            format!("{} must be there {left} longer without a break", m.name)
        })
    }
}

/// `3 min 20 s`, `45 s`; a part of a second counts as a whole one.
pub(crate) fn short(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match (seconds / 60, seconds % 60) {
        (0, s) => format!("{s} s"),
        (m, 0) => format!("{m} min"),
        (m, s) => format!("{m} min {s} s"),
    }
}
