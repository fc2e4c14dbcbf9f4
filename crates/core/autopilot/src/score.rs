//! Which of two sets of voters is better.

use crate::{policy::Policy, view::GroupView};
use domain::{MemberId, MemberRole};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// How good a set of voters is; greater is better. What stands first weighs most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Voters that may vote: neither removed, nor of another legal domain.
    lawful: Reverse<usize>,
    /// Coordinators, where there are three.
    coordinators: usize,
    /// One voter is of the group's own region: reports need not leave the city twice.
    own_region: bool,
    /// Different failure domains.
    domains: usize,
    /// Pairs too far apart.
    far: Reverse<usize>,
    /// Voters that come and go.
    flaky: Reverse<usize>,
}

/// Coordinators come first from here on.
const COORDINATORS: usize = 3;

/// Judges sets of voters of one group. Gathered once for a decision.
pub(crate) struct Judge<'a> {
    view: &'a GroupView,
    policy: &'a Policy,
    coordinators_first: bool,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(view: &'a GroupView, policy: &'a Policy) -> Self {
        let fit = |id: &MemberId| view.voters.contains(id) || view.is_ready(*id, policy);
        let coordinators = view
            .members
            .values()
            .filter(|m| m.role == MemberRole::Coordinator && m.may_hold(policy))
            .filter(|m| !m.draining && !m.is_dead(policy) && fit(&m.id));
        Self {
            view,
            policy,
            coordinators_first: coordinators.count() >= COORDINATORS,
        }
    }

    pub(crate) fn score(&self, voters: &BTreeSet<MemberId>) -> Score {
        let known: Vec<_> = voters
            .iter()
            .filter_map(|id| self.view.members.get(id))
            .collect();
        let domains: BTreeMap<&str, ()> = known
            .iter()
            .map(|m| (m.failure_domain.as_str(), ()))
            .collect();
        let own = |region| known.iter().any(|m| m.region == Some(region));
        let coordinators = known.iter().filter(|m| m.role == MemberRole::Coordinator);
        Score {
            lawful: Reverse(known.iter().filter(|m| !m.may_hold(self.policy)).count()),
            coordinators: if self.coordinators_first {
                coordinators.count()
            } else {
                0
            },
            own_region: self.view.region.is_some_and(own),
            domains: domains.len(),
            far: Reverse(self.far_pairs(voters)),
            flaky: Reverse(known.iter().filter(|m| m.is_flaky(self.policy)).count()),
        }
    }

    /// A newcomer must be near, and known to be: each leader knows its own round trips best, and
    /// would else hand over to the next, who knows better of another pair. Two who vote already may
    /// be a third further, so that a round trip that wavers about the bound moves nobody to and fro.
    fn far_pairs(&self, voters: &BTreeSet<MemberId>) -> usize {
        let both_vote = |a: &MemberId, b: &MemberId| {
            self.view.voters.contains(a) && self.view.voters.contains(b)
        };
        let pairs = voters
            .iter()
            .flat_map(|a| voters.range(a..).skip(1).map(move |b| (a, b)));
        pairs
            .filter(|(a, b)| {
                let time = self.view.round_trips.get(&(**a, **b));
                if both_vote(a, b) {
                    time.is_some_and(|time| *time > self.policy.near * 4 / 3)
                } else {
                    time.is_none_or(|time| *time > self.policy.near)
                }
            })
            .count()
    }
}
