//! Who votes in a group (mesh protocol, section 1): from what a group's leader sees of the members,
//! at most one safe step at a time, and a reason that operators read.
//!
//! [`decide`] is a function of values: the same view gives the same step. The leader takes the step
//! and looks again. Three rules hold whatever the view says:
//!
//! - no step leaves fewer live voters than a majority, neither of the voters before nor of those
//!   after it (a change of voters needs both);
//! - one voter changes at a time, and the leader is never the one that goes: leadership moves first;
//! - among live voters a step is taken only when the group is better after it than before
//!   ([`Score`]), so that a view that stands still comes to rest.

mod decide;
mod failover;
mod policy;
mod presence;
mod score;
mod view;

pub use decide::{Decision, Health, Step, VoterHealth, decide, heir};
pub use failover::Failover;
pub use policy::{Policy, PolicyError};
pub use presence::{Presence, Seen};
pub use score::Score;
pub use view::{Candidate, GroupView};
