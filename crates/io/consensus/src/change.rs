//! Changing who belongs to a group.

use crate::{
    config::{GroupId, LogId},
    group::Group,
    platform::{InstantOf, MeshLink, Platform, now, runtime::Instant, within},
    propose::Miss,
    protocol::{Kind, SERVICE, code, encode},
    receive::RaftOf,
    status::{GroupStatus, Role, status},
};
use domain::{MemberId, limits::VOTERS};
use mesh::{Priority, ServiceError};
use openraft::{
    ChangeMembers, EmptyNode,
    async_runtime::WatchReceiver as _,
    errors::{ChangeMembershipError, ClientWriteError, RaftError},
    raft::Precondition,
};
use sansio::Replicated;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A change of a group's members. Each may be repeated without harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MembershipChange {
    /// These copy the group from now on, without a vote.
    AddLearners(BTreeSet<MemberId>),
    /// These vote, one to five; who voted and is not named goes on as a learner. They must be
    /// learners that have caught up, or the group waits for them.
    SetVoters(BTreeSet<MemberId>),
    /// These leave the group.
    Remove(BTreeSet<MemberId>),
}

/// A group's members were not changed, or it is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The change itself is wrong: no voters, too many, unknown ones.
    #[error("{group} refused the change of its members: {why}")]
    Refused {
        /// Which group.
        group: GroupId,
        /// Why.
        why: String,
    },
    /// It was not confirmed in time. Look at the status, then repeat it.
    #[error(
        "{group} did not confirm the change of its members within {waited:?} ({why}); repeat it"
    )]
    Unconfirmed {
        /// Which group.
        group: GroupId,
        /// How long was waited.
        waited: Duration,
        /// What happened last.
        why: String,
    },
}

/// Makes the change on this member, which must lead.
pub(crate) async fn change_here<M: Replicated, P: Platform>(
    raft: &RaftOf<M, P>,
    change: &MembershipChange,
) -> Result<(), ServiceError> {
    let (me, at) = {
        let metrics = raft.metrics();
        let held = metrics.borrow_watched();
        let members = held.membership_config.membership();
        // Taken out of the group it leads for a moment yet, and must change nothing any more.
        let belongs = members.nodes().any(|(id, _)| *id == held.id);
        let at = *held.membership_config.log_id();
        (belongs, at)
    };
    if !me {
        let why = "this member was taken out of the group";
        return Err(ServiceError::new(code::NOT_LEADER, why));
    }
    change_after(raft, change, at).await
}

/// The change, if the members are still those that the entry at `seen` named.
async fn change_after<M: Replicated, P: Platform>(
    raft: &RaftOf<M, P>,
    change: &MembershipChange,
    seen: Option<LogId>,
) -> Result<(), ServiceError> {
    let numbers = |set: &BTreeSet<MemberId>| set.iter().map(|m| m.0).collect::<BTreeSet<u64>>();
    match change {
        MembershipChange::AddLearners(members) => {
            let nodes: BTreeMap<u64, EmptyNode> = numbers(members)
                .into_iter()
                .map(|m| (m, EmptyNode {}))
                .collect();
            apply(raft, ChangeMembers::AddNodes(nodes), Some(seen)).await
        }
        MembershipChange::SetVoters(voters) => {
            if voters.is_empty() || voters.len() > VOTERS {
                let why = format!("{} voters are not 1 to {VOTERS}", voters.len());
                return Err(ServiceError::new(code::REFUSED, why));
            }
            let voters = ChangeMembers::ReplaceAllVoters(numbers(voters));
            apply(raft, voters, Some(seen)).await
        }
        MembershipChange::Remove(members) => {
            let gone = numbers(members);
            let voters: BTreeSet<u64> = raft.voter_ids().collect();
            let stay: BTreeSet<u64> = voters.difference(&gone).copied().collect();
            if stay.is_empty() {
                return Err(ServiceError::new(code::REFUSED, "no voter would be left"));
            }
            let mut seen = Some(seen);
            if stay != voters {
                let stay = ChangeMembers::ReplaceAllVoters(stay);
                apply(raft, stay, seen.take()).await?;
            }
            let known: BTreeSet<u64> = raft.voter_ids().chain(raft.learner_ids()).collect();
            let gone: BTreeSet<u64> = gone.intersection(&known).copied().collect();
            if gone.is_empty() {
                return Ok(());
            }
            apply(raft, ChangeMembers::RemoveNodes(gone), seen).await
        }
    }
}

async fn apply<M: Replicated, P: Platform>(
    raft: &RaftOf<M, P>,
    change: ChangeMembers<u64, EmptyNode>,
    seen: Option<Option<LogId>>,
) -> Result<(), ServiceError> {
    let seen = seen.map(|last_membership_log_id| Precondition::LastMembershipLogId {
        last_membership_log_id,
    });
    // `retain`: who loses its vote stays as a learner.
    match raft.change_membership_if(change, true, seen).await {
        Ok(_) => Ok(()),
        Err(RaftError::APIError(e)) => {
            let number = match &e {
                ClientWriteError::ForwardToLeader(_)
                | ClientWriteError::PreconditionFailed(_)
                | ClientWriteError::ChangeMembershipError(
                    ChangeMembershipError::InProgress(_)
                    | ChangeMembershipError::UncommittedLeaderLog(_),
                ) => code::NOT_LEADER,
                ClientWriteError::LogEntryDiscarded(_) => code::UNKNOWN_OUTCOME,
                _ => code::REFUSED,
            };
            Err(ServiceError::new(number, e.to_string()))
        }
        Err(RaftError::Fatal(e)) => Err(ServiceError::new(code::STOPPED, e.to_string())),
    }
}

impl<M: Replicated, P: Platform> Group<M, P> {
    /// Changes the group's members, from any member, and waits until that is committed. Tried
    /// again until `deadline` when there is no leader or another change is under way.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change(
        &self,
        change: &MembershipChange,
        deadline: Duration,
    ) -> Result<(), ChangeError> {
        let group = self.id();
        let end = now::<P>() + deadline;
        loop {
            let why = match self.try_change(change, end).await {
                Ok(()) => return Ok(()),
                Err(Miss::Refused(why)) => return Err(ChangeError::Refused { group, why }),
                // Changes may be repeated.
                Err(Miss::Again(why) | Miss::Unknown(why)) => why,
            };
            if now::<P>() >= end {
                return Err(ChangeError::Unconfirmed {
                    group,
                    waited: deadline,
                    why,
                });
            }
            self.pause_for_leader(end).await;
        }
    }

    /// The change, by the leader that decided it on what it saw: neither forwarded nor tried again,
    /// and refused where this member does not lead in that term any more or the members are not
    /// those that were seen. A decision must not reach whoever leads next.
    ///
    /// # Errors
    /// [`ChangeError`]; after [`ChangeError::Unconfirmed`] look anew.
    pub async fn change_as_leader(
        &self,
        change: &MembershipChange,
        seen: &GroupStatus,
        deadline: Duration,
    ) -> Result<(), ChangeError> {
        let group = self.id();
        let failed = |why: String| ChangeError::Unconfirmed {
            group,
            waited: deadline,
            why,
        };
        // Status and place in the log are of one moment.
        let (now, at) = {
            let metrics = self.raft().metrics();
            let held = metrics.borrow_watched();
            let now = status(group, &held, 0);
            (now, *held.membership_config.log_id())
        };
        let same = now.role == Role::Leader
            && now.term == seen.term
            && (&now.voters, &now.learners) == (&seen.voters, &seen.learners);
        if !same {
            return Err(failed(
                "the group is not as it was when this was decided".into(),
            ));
        }
        match within::<P, _>(deadline, change_after(self.raft(), change, at)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(e)) if e.code == code::REFUSED => Err(ChangeError::Refused {
                group,
                why: e.message,
            }),
            Some(Err(e)) => Err(failed(e.message)),
            None => Err(failed("it is not committed yet".into())),
        }
    }

    async fn try_change(&self, change: &MembershipChange, end: InstantOf<P>) -> Result<(), Miss> {
        let left = end.saturating_duration_since(now::<P>());
        let Some(leader) = self.leader() else {
            return Err(Miss::Again("no leader is known".into()));
        };
        if leader == self.member() {
            return match within::<P, _>(left, change_here(self.raft(), change)).await {
                Some(result) => result.map_err(Miss::of_service),
                None => Err(Miss::Unknown("it is not committed yet".into())),
            };
        }
        let message = encode(self.id(), Kind::Change, change);
        let answer =
            self.core()
                .endpoint
                .rpc_with(leader, SERVICE, message, left, Priority::Normal);
        answer.await.map(drop).map_err(Miss::of_rpc)
    }
}
