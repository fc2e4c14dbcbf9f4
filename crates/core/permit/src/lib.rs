//! The node's last word before an INVITE: lease validity, do-not-call freshness, caps.
//!
//! [`Permit`] composes [`SessionLease`] (one for each region), [`Freshness`], [`DncSet`] and
//! [`CapsBook`]. In one synchronous step: [`Permit::check`], the datagram leaves,
//! [`Permit::after_send`] with the clock read once more (mesh protocol, section 3.7). [`Escrow`]
//! says how many persons may be let down while lines are launched ahead of agents (section 5).

mod attempt;
pub mod audit;
pub mod base;
mod caps;
mod dnc;
mod escrow;
mod freshness;
mod permit;
mod session;

pub use attempt::{Attempt, Denial, Grant};
pub use caps::CapsBook;
pub use dnc::DncSet;
pub use escrow::{Escrow, EscrowQuestion};
pub use freshness::Freshness;
pub use permit::{
    AfterSend, DrainCause, Permit, PermitCounts, PermitInput, PermitOutput, Rejected, TimerName,
};
pub use session::SessionLease;

use domain::{Instant, limits};
use std::time::Duration;

/// What may be trusted of `span` on a clock that may be slow by ρ.
fn at_most(span: Duration) -> Duration {
    span - span * limits::DRIFT_PERMILLE / 1000
}

/// When a permission that lasts `span` is asked for again: a third of it after the last request
/// that was answered, and [`limits::RENEWAL_RETRY`] after the last one that left.
fn renewal_due(span: Duration, sent: Option<Instant>, answered: Option<Instant>) -> Instant {
    let soon = sent.map_or(Instant::ZERO, |sent| sent + limits::RENEWAL_RETRY);
    let usual = answered.map_or(Instant::ZERO, |answered| answered + span / 3);
    soon.max(usual)
}
