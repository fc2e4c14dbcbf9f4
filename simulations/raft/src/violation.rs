//! What must never break.

use std::fmt;

/// The rules, by the checker that sees them broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// I10: replicas of a group are equal byte for byte at equal index, whenever.
    Equal,
    /// What was acknowledged stays; what was surely not applied never is.
    Kept,
    /// A command that may be repeated counts once; one that may not is never repeated.
    Once,
    /// Reads and writes see everything acknowledged before they began.
    Linear,
    /// A leader is confirmed by a quorum only as long as no later one was.
    OneLeader,
    /// A group stops only when its disk is full; a journal opens after any crash.
    Alive,
    /// Once everything is healed, everything settles.
    Settles,
    /// I1: at most one live attempt to a number.
    OneDial,
    /// I2: who dials holds the lead's session, and the group has not ended it.
    InSession,
    /// I3, at the region: nothing is leased that do-not-call forbids.
    Forbidden,
    /// I5: an attempt is dialed once, a number within its limit, and every dial counts for good.
    Counted,
    /// I12: one seed, one run.
    OneRun,
}

impl Rule {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::Equal,
        Self::Kept,
        Self::Once,
        Self::Linear,
        Self::OneLeader,
        Self::Alive,
        Self::Settles,
        Self::OneDial,
        Self::InSession,
        Self::Forbidden,
        Self::Counted,
        Self::OneRun,
    ];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Equal => "I10: replicas are equal",
            Self::Kept => "what was acknowledged stays",
            Self::Once => "a command counts once",
            Self::Linear => "reads are linearizable",
            Self::OneLeader => "a leader is confirmed until the next",
            Self::Alive => "groups go on",
            Self::Settles => "everything settles once healed",
            Self::OneDial => "I1: one live attempt to a number",
            Self::InSession => "I2: dials are inside their session",
            Self::Forbidden => "I3: what is forbidden is not leased",
            Self::Counted => "I5: every attempt counts, once",
            Self::OneRun => "I12: one seed, one run",
        }
    }

    /// This rule is broken, at that millisecond.
    pub(crate) fn broken(self, at: u64, what: impl Into<String>) -> Violation {
        Violation {
            rule: self,
            what: what.into(),
            at,
        }
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
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
            self.rule,
            self.rule.words(),
            self.at / 1000,
            self.at % 1000,
            self.what
        )
    }
}

impl std::error::Error for Violation {}
