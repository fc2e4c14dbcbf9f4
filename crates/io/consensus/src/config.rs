//! Which groups there are, and how they are tuned.

use crate::platform::Platform;
use bytes::Bytes;
use domain::{RegionId, WallTime};
use openraft::{
    Config, EmptyNode, OptionalSend, RaftTypeConfig, SnapshotPolicy,
    impls::{BoxedErrorSource, InlineBatch, ProgressResponder, leader_id_adv},
    vote::RaftLeaderId,
};
use serde::{Deserialize, Serialize};
use std::{fmt, marker::PhantomData, time::Duration};

/// A Raft group. In every message and storage key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupId {
    /// Facts that every member needs at hand.
    Directory,
    /// One region's leads.
    Region(RegionId),
}

impl GroupId {
    /// On the wire and in storage keys.
    pub const fn to_u64(self) -> u64 {
        match self {
            Self::Directory => 1,
            Self::Region(region) => 1 << 16 | region.0 as u64,
        }
    }

    /// The group of that number.
    pub const fn from_u64(number: u64) -> Option<Self> {
        match (number >> 16, number & 0xffff) {
            (0, 1) => Some(Self::Directory),
            (1, region) => Some(Self::Region(RegionId(region as u16))),
            _ => None,
        }
    }
}

impl fmt::Display for GroupId {
    /// `directory`, `reg_0003`: also the name of its folder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => f.write_str("directory"),
            Self::Region(region) => region.fmt(f),
        }
    }
}

/// How a group is tuned. The same on all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// How often a leader tells that it is alive.
    pub heartbeat: Duration,
    /// How long silence lasts before a member asks to be elected: at least,
    pub election_min: Duration,
    /// and at most.
    pub election_max: Duration,
    /// Entries after which a snapshot is made, once their commands also have as many bytes as the
    /// snapshot before: the larger a machine is, the longer its log may grow, so that snapshots
    /// never cost more than what they save.
    pub snapshot_every: u64,
    /// Entries of log kept behind the newest snapshot, for members that were away.
    pub keep_entries: u64,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            // A dead leader is replaced within 3 s: silence for the lease (`election_max`) and
            // one election timeout, at most 1.6 s, then two rounds of votes over links of up to
            // 300 ms, and the aftermath of what was on its way. A heartbeat that is not answered
            // before the next counts for nothing: no link between voters may be slower than that.
            heartbeat: Duration::from_millis(300),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(800),
            snapshot_every: 50_000,
            keep_entries: 100_000,
        }
    }
}

impl GroupOptions {
    pub(crate) fn to_openraft(self, group: GroupId) -> Config {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Config {
            cluster_name: group.to_string(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: millis(self.election_max),
            enable_pre_vote: Some(true),
            // A leader that restarted must be elected anew: resuming its term it would not know how
            // far it had committed (the committed index is a hint, written late), and answer
            // linearizable reads with less than it had acknowledged before.
            enable_leader_restore: Some(false),
            // At least the lease and one election: see openraft's #2080.
            quorum_loss_probe_interval: Some(2 * millis(self.election_max) + 500),
            max_payload_entries: 4096,
            // See `group::follow`.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.keep_entries,
            purge_batch_size: 256,
            // A follower that lags less than the log kept gets entries, never a snapshot.
            replication_lag_threshold: self.keep_entries.max(1000),
            install_snapshot_timeout: 600_000,
            backoff: "200ms".into(),
            ..Config::default()
        }
    }
}

/// What is written in the log: an encoded command and when it was proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal {
    pub(crate) wall: WallTime,
    pub(crate) command: Bytes,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.command.len(), self.wall)
    }
}

/// A machine's encoded reply; empty for entries that are not commands.
pub(crate) type Reply = Bytes;

/// What openraft's parts are, on a platform. Only the runtime differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types<P: Platform>(PhantomData<P>);

impl<P: Platform> RaftTypeConfig for Types<P> {
    type D = Proposal;
    type R = Reply;
    type NodeId = u64;
    type Node = EmptyNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = P::Runtime;
    type Responder<T>
        = ProgressResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

type LeaderId = leader_id_adv::LeaderId<u64, u64>;
type CommittedLeaderId = <LeaderId as RaftLeaderId>::Committed;
type Payload = openraft::EntryPayload<Proposal, u64, EmptyNode>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId>;
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(crate) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, EmptyNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, EmptyNode>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_numbers_round_trip() {
        for group in [
            GroupId::Directory,
            GroupId::Region(RegionId(0)),
            GroupId::Region(RegionId(u16::MAX)),
        ] {
            assert_eq!(GroupId::from_u64(group.to_u64()), Some(group));
        }
        assert_eq!(GroupId::from_u64(0), None);
        assert_eq!(GroupId::from_u64(2 << 16), None);
        assert_eq!(GroupId::Region(RegionId(3)).to_string(), "reg_0003");
    }

    #[test]
    fn the_defaults_are_what_openraft_accepts() {
        let config = GroupOptions::default()
            .to_openraft(GroupId::Directory)
            .validate()
            .unwrap();
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.enable_leader_restore, Some(false));
        assert!(config.quorum_loss_probe_interval >= Some(1600));
    }
}
