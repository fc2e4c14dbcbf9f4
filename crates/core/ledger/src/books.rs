//! What only a leader keeps, in memory, on its own steady clock: nothing here is replicated, and
//! a new leader starts over in the safe direction.
//!
//! * [`SessionBook`]: when a region's sessions may be expired (mesh protocol, section 3).
//! * [`TickBook`]: how much time a region's leader may say has passed.
//! * [`FreshnessBook`]: when a do-not-call entry is effective (mesh protocol, section 4).

mod freshness;
mod sessions;
mod ticks;

pub use freshness::{EffectiveToken, FreshnessBook};
pub use sessions::{KeepAliveRefusal, SessionBook};
pub use ticks::TickBook;

use domain::limits;
use std::time::Duration;

/// `span` on a leader's clock, long enough to have passed on every clock that is off by ρ.
fn at_least(span: Duration) -> Duration {
    span + span * limits::DRIFT_PERMILLE / 1000
}

/// What has passed for sure when a clock that may be fast by ρ shows `span`.
fn at_most(span: Duration) -> Duration {
    span - span * limits::DRIFT_PERMILLE / 1000
}
