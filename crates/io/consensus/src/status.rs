//! What a group is doing, for people and programs.

use crate::{
    config::{GroupId, Types},
    platform::Platform,
};
use domain::MemberId;
use openraft::{Instant as _, RaftMetrics, ServerState};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who leads, as this member sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// The newest term heard of.
    pub term: u64,
    /// Who leads in it; `None` while nobody is known to.
    pub leader: Option<MemberId>,
}

/// What this member is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Copies, and has no vote.
    Learner,
    /// Votes and copies.
    Follower,
    /// Asks to be elected.
    Candidate,
    /// Leads.
    Leader,
    /// The group has stopped on this member; see [`GroupStatus::failure`].
    Stopped,
}

impl Role {
    /// As it prints: one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Learner => "learner",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Stopped => "stopped",
        }
    }
}

/// Another member of the group, as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Which.
    pub member: MemberId,
    /// The last entry that it is known to have.
    pub matched: Option<u64>,
    /// How long ago the latest message was sent that it has answered; none before the first.
    pub answered_ago: Option<Duration>,
}

/// A group as this member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Which group.
    pub id: GroupId,
    /// What this member is in it.
    pub role: Role,
    /// The newest term heard of.
    pub term: u64,
    /// Who leads.
    pub leader: Option<MemberId>,
    /// Index of the last entry in this member's log.
    pub last_log: u64,
    /// Index of the last entry that this member knows to be committed.
    pub committed: u64,
    /// Index of the last entry applied here.
    pub applied: u64,
    /// Last index of the newest snapshot here; 0 without one.
    pub snapshot: u64,
    /// Last index dropped from the log here.
    pub purged: u64,
    /// Who votes.
    pub voters: Vec<MemberId>,
    /// Who only copies.
    pub learners: Vec<MemberId>,
    /// On the leader: the others.
    pub replicas: Vec<Replica>,
    /// A change of members is not committed yet.
    pub changing: bool,
    /// Who shall vote at the end of a change that is half done: a leader was lost in its midst.
    pub half_changed: Option<Vec<MemberId>>,
    /// Why the group stopped here, if it did.
    pub failure: Option<String>,
}

pub(crate) fn status<P: Platform>(
    id: GroupId,
    metrics: &RaftMetrics<Types<P>>,
    applied: u64,
) -> GroupStatus {
    let failure = metrics.running_state.as_ref().err().map(|e| e.to_string());
    let role = match metrics.state {
        _ if failure.is_some() => Role::Stopped,
        ServerState::Learner => Role::Learner,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Leader => Role::Leader,
        ServerState::Shutdown => Role::Stopped,
    };
    let membership = metrics.membership_config.membership();
    let ids = |set: &std::collections::BTreeSet<u64>| set.iter().copied().map(MemberId).collect();
    let changing =
        metrics.membership_config.log_id() != metrics.committed_membership_config.log_id();
    let half_changed = match membership.get_joint_config().as_slice() {
        [_, .., last] if !changing => Some(ids(last)),
        _ => None,
    };
    let index = |id: &Option<crate::config::LogId>| id.as_ref().map_or(0, |l| l.index);
    GroupStatus {
        id,
        role,
        term: metrics.current_term,
        leader: metrics.current_leader.map(MemberId),
        last_log: metrics.last_log_index.unwrap_or(0),
        committed: index(&metrics.local_committed),
        applied,
        snapshot: index(&metrics.snapshot),
        purged: index(&metrics.purged),
        voters: membership.voter_ids().map(MemberId).collect(),
        learners: membership.learner_ids().map(MemberId).collect(),
        replicas: replicas(metrics),
        changing,
        half_changed,
        failure,
    }
}

fn replicas<P: Platform>(metrics: &RaftMetrics<Types<P>>) -> Vec<Replica> {
    let answered = metrics.heartbeat.as_ref();
    let others = metrics.replication.iter().flatten();
    others
        .filter(|(id, _)| **id != metrics.id)
        .map(|(id, matched)| Replica {
            member: MemberId(*id),
            matched: matched.as_ref().map(|log| log.index),
            answered_ago: answered
                .and_then(|all| all.get(id).copied().flatten())
                .map(|at| at.elapsed()),
        })
        .collect()
}
