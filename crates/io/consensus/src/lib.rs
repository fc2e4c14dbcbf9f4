//! Raft groups: a replicated machine on every member that holds it.
//!
//! The only crate that names openraft (an alpha, pinned; see the decision record). What it is held
//! to: pre-vote on; a leader that lost its quorum falls silent (`quorum_loss_probe_interval`), so
//! that others may elect; reads by a quorum round only, never by lease; the committed index kept;
//! 100,000 entries of log kept behind each snapshot.
//!
//! [`platform`] is what all of it stands on; a process stands on [`platform::Native`].
//!
//! [`Groups`] starts groups over one [`storage::Journal`] and one [`mesh::Endpoint`]; a [`Group`]
//! proposes, reads, and changes members, from any member: what only the leader can do is forwarded
//! to it.

mod change;
mod config;
mod gather;
mod group;
mod groups;
mod log_store;
mod machine;
mod network;
mod pipeline;
pub mod platform;
mod propose;
mod protocol;
mod receive;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;

pub use change::{ChangeError, MembershipChange};
pub use config::{GroupId, GroupOptions};
pub use group::{Group, ReadError, StartError, WaitError};
pub use groups::{GroupConfig, Groups};
pub use machine::{Applied, Listener};
pub use propose::{Committed, ProposeError};
pub use status::{GroupStatus, Leadership, Replica, Role};
