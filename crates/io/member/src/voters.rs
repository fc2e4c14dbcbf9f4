//! Who votes: all members up to five, the first by id. Done by each group's leader.

use crate::member::Member;
use consensus::{Group, MembershipChange};
use domain::MemberId;
use sansio::Replicated;
use std::{collections::BTreeSet, time::Duration};

/// Voters of a group at most.
const VOTERS: usize = 5;
/// How often a leader compares what is with what should be.
const LOOK: Duration = Duration::from_millis(500);
const CHANGE: Duration = Duration::from_secs(10);

impl Member {
    /// Keeps the members of one group as the directory has them, wherever this member leads.
    pub(crate) async fn keep_voters<M: Replicated>(self, group: Group<M>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if !group.is_leader() {
                continue;
            }
            if let Some(change) = self.next_change(&group)
                && let Err(error) = group.change(&change, CHANGE).await
            {
                tracing::warn!(group = %group.id(), %error, "members of the group were not changed; tried again");
            }
        }
    }

    /// The next step towards what should be: one at a time, and only with members that are there,
    /// so that a change never waits for one that is not.
    fn next_change<M: Replicated>(&self, group: &Group<M>) -> Option<MembershipChange> {
        let (wanted, removed): (Vec<_>, Vec<_>) = self.directory().read(|directory| {
            directory
                .members()
                .map(|m| (m.id, m.removed))
                .partition(|(_, removed)| !removed)
        });
        let wanted: BTreeSet<MemberId> = wanted.into_iter().map(|(id, _)| id).collect();
        let removed: BTreeSet<MemberId> = removed.into_iter().map(|(id, _)| id).collect();
        let status = group.status();
        let voters: BTreeSet<MemberId> = status.voters.iter().copied().collect();
        let all: BTreeSet<MemberId> = voters.iter().chain(&status.learners).copied().collect();
        let there = |id: &MemberId| *id == self.id() || self.endpoint().is_connected(*id);

        let leave: BTreeSet<MemberId> = all.intersection(&removed).copied().collect();
        if !leave.is_empty() && !leave.contains(&self.id()) {
            return Some(MembershipChange::Remove(leave));
        }
        let join: BTreeSet<MemberId> = wanted
            .difference(&all)
            .filter(|id| there(id))
            .copied()
            .collect();
        if !join.is_empty() {
            return Some(MembershipChange::AddLearners(join));
        }
        let should: BTreeSet<MemberId> = wanted.iter().take(VOTERS).copied().collect();
        let next = should
            .iter()
            .find(|id| !voters.contains(*id) && all.contains(*id) && there(id))?;
        let mut voters = voters;
        voters.insert(*next);
        (voters.len() <= VOTERS).then_some(MembershipChange::SetVoters(voters))
    }
}
