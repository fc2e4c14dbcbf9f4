//! What a checker says when a rule is broken.

use std::fmt;

/// The rules that must never break, by their numbers in the mesh protocol. I8 is about agents and
/// bridges, which this tier does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// At most one live attempt to a number.
    I1,
    /// An INVITE only for a lead leased to the current session, inside its validity.
    I2,
    /// No INVITE, and nothing left ringing, once a do-not-call entry is effective.
    I3,
    /// No INVITE outside the calling window of every candidate zone.
    I4,
    /// No attempt limit and no redial gap is broken.
    I5,
    /// Abandonment stays within the budget, mesh-wide.
    I6,
    /// Every attempt ends in exactly one disposition, and what was acknowledged stays.
    I7,
    /// A caller ID leaves only by its own trunk, within its caps.
    I9,
    /// Replicas at equal index are equal, byte for byte.
    I10,
    /// No bound of sessions, leases, channels or rate is exceeded.
    I11,
    /// One seed replays one run.
    I12,
}

impl Invariant {
    /// Every one that this tier checks.
    pub const ALL: [Self; 11] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
    ];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::I1 => "one live attempt a number",
            Self::I2 => "INVITE only inside the session",
            Self::I3 => "do-not-call is obeyed",
            Self::I4 => "only in calling windows",
            Self::I5 => "attempt limits",
            Self::I6 => "abandonment within the budget",
            Self::I7 => "one disposition an attempt, none lost",
            Self::I9 => "caller IDs by their own trunk, within caps",
            Self::I10 => "replicas are equal",
            Self::I11 => "bounds",
            Self::I12 => "one seed, one run",
        }
    }

    /// This rule is broken.
    pub(crate) fn broken(self, what: impl Into<String>) -> Violation {
        Violation {
            invariant: self,
            what: what.into(),
            at: 0,
        }
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
    /// Milliseconds of the run.
    pub at: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} ({}) is broken at {}.{:03} s: {}",
            self.invariant,
            self.invariant.words(),
            self.at / 1000,
            self.at % 1000,
            self.what
        )
    }
}

impl std::error::Error for Violation {}

/// Fine, or broken.
pub(crate) type Checked = Result<(), Violation>;
