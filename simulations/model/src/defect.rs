//! Mistakes on purpose in the models' own shell: each must have a counterexample.

use std::fmt;

/// The rules that must never break, as far as these models reach (mesh protocol, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// At most one live attempt to a number.
    I1,
    /// An INVITE only for a lead leased to the current session, inside its validity.
    I2,
    /// No INVITE, and nothing left ringing, once a do-not-call entry is effective.
    I3,
    /// No number has more attempts than are allowed.
    I5,
}

/// Which model a mistake is made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Sessions, leases, attempts (mesh protocol, section 3).
    Lease,
    /// Do-not-call and how fresh a copy of it is (mesh protocol, section 4).
    Freshness,
}

macro_rules! defects {
    ($($(#[doc = $breaks:literal])+ $name:ident, $text:literal, $part:ident, $rule:literal, [$($by:ident),+];)+) => {
        /// A mistake planted in a model. Where the fault simulator plants the same one, it has the
        /// same name there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            $($(#[doc = $breaks])+ $name,)+
        }

        impl Defect {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The model that it is planted in.
            pub const fn part(self) -> Part {
                match self { $(Self::$name => Part::$part,)+ }
            }

            /// The section of the mesh protocol, or the invariant, whose rule it breaks.
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)+ }
            }

            /// What it does wrong, in words.
            pub const fn breaks(self) -> &'static str {
                match self { $(Self::$name => concat!($($breaks),+),)+ }
            }

            /// The invariants that it may break first.
            pub const fn seen_by(self) -> &'static [Invariant] {
                match self { $(Self::$name => &[$(Invariant::$by),+],)+ }
            }
        }
    };
}

defects! {
    /// 3.1: a restarted node goes on dialing what its earlier run had leased.
    HopperSurvivesCrash, "hopper-survives-crash", Lease, "3.1", [I1, I2, I5];
    /// 3.2: a leader answers keep-alives without a quorum round.
    NoQuorumRound, "no-quorum-round", Lease, "3.2", [I1, I2];
    /// 3.2: a leader answers by a quorum round that began before the request came.
    RoundBeforeRequest, "round-before-request", Lease, "3.2", [I1, I2];
    /// 3.2: a late answer is taken for one to the latest keep-alive, not to its own.
    MixesAnswers, "mixes-answers", Lease, "3.2", [I1, I2];
    /// 3.2: validity counts from when the answer came, not from when its request was sent.
    CountsFromAnswer, "counts-from-answer", Lease, "3.2", [I1, I2];
    /// 3.2: neither node nor leader leaves room for clocks that drift apart.
    NoDriftMargin, "no-drift-margin", Lease, "3.2, 3.3", [I1, I2];
    /// 3.2: a node's clock stands still while it is paused (CLOCK_MONOTONIC for CLOCK_BOOTTIME).
    ClockStopsInPause, "clock-stops-in-pause", Lease, "3.2", [I1, I2];
    /// 3.3: the leader counts half of T.
    ExpiresEarly, "expires-early", Lease, "3.3", [I1, I2];
    /// 3.3: a decided expiry does not stop keep-alives.
    AnswersDecided, "answers-decided", Lease, "3.3", [I1, I2];
    /// 3.3: a new leader does not count from its election but from long before.
    NewLeaderExpires, "new-leader-expires", Lease, "3.3", [I1, I2];
    /// 3.3: the group obeys an expiry that a leader before the current one decided.
    OldLeaderExpires, "old-leader-expires", Lease, "3.3", [I1, I2];
    /// 3.4: an attempt is counted when its outcome comes, not when the lead is claimed.
    CountsAtOutcome, "counts-at-outcome", Lease, "3.4, I5", [I5];
    /// 3.5: a node dials leads that it has given back.
    DialsGivenBack, "dials-given-back", Lease, "3.5", [I1, I2, I5];
    /// 3.5: an attempt that was cancelled is given back as if it had never been dialed.
    RefundsDialed, "refunds-dialed", Lease, "3.5, I5", [I5];
    /// 3.5: an outcome ends whatever attempt the lead has by then, not the one that it names.
    EndsAnyAttempt, "ends-any-attempt", Lease, "3.5", [I1, I2];
    /// 3.6: the leads of an ended session are leased again at once.
    NoDoubt, "no-doubt", Lease, "3.6", [I1];
    /// 3.6: the leader's ticks run fast, so doubts end while the network still works.
    TicksRunFast, "ticks-run-fast", Lease, "3.6", [I1];
    /// 3.6: a journal that lost its tail is called complete.
    FalseProof, "false-proof", Lease, "3.6", [I1, I5];
    /// 3.6: the INVITE leaves before the journal says so, and a crash slips in between.
    MarksAfterSend, "marks-after-send", Lease, "3.6", [I1, I5];
    /// 3.6: an unknown end is told as an end, so the doubt is cut short.
    UnknownIsAnEnd, "unknown-is-an-end", Lease, "3.6", [I1];
    /// 3.7: a node does not ask its permit about its session.
    NoSessionCheck, "no-session-check", Lease, "3.7", [I1, I2];
    /// 3.7: a node sends up to the last moment, with no guard for the time that sending takes.
    NoGuard, "no-guard", Lease, "3.7", [I2];
    /// 3.7: a node does not look at the clock after sending.
    NoCheckAfterSend, "no-check-after-send", Lease, "3.7", [I1, I2];
    /// 3.8: a second restart forgets that a call of the first run may still be going on.
    SecondRestartForgets, "second-restart-forgets", Lease, "3.8", [I1, I5];
    /// 4: `effective` is answered at commit.
    EffectiveAtCommit, "effective-at-commit", Freshness, "4", [I3];
    /// 4: a node counts an answer as fresh before its index is applied.
    FreshTooSoon, "fresh-too-soon", Freshness, "4", [I3];
    /// 4: freshness counts from when the answer came, not from when its request was sent.
    FreshFromAnswer, "fresh-from-answer", Freshness, "4", [I3];
    /// 4: a directory leader answers freshness requests without a quorum round.
    FreshWithoutRound, "fresh-without-round", Freshness, "4", [I3];
    /// 4: a new directory leader does not wait out the freshness that earlier ones gave.
    EffectiveAtElection, "effective-at-election", Freshness, "4", [I3];
    /// 4: a node says that it has applied an entry before its engine has.
    AppliedTooSoon, "applied-too-soon", Freshness, "4", [I3];
    /// 4: an opt-out binds the node that heard it only once committed.
    OptOutWaits, "opt-out-waits", Freshness, "4", [I3];
    /// 4: applying an entry does not cancel what rings at the number.
    RingsOnForbidden, "rings-on-forbidden", Freshness, "4", [I3];
    /// 4: a removal takes away an entry that was asked for again meanwhile.
    RemoveWins, "remove-wins", Freshness, "4", [I3];
    /// 4: a node dials on without freshness.
    NoFreshnessCheck, "no-freshness-check", Freshness, "4", [I3];
}

impl std::str::FromStr for Defect {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        (Self::ALL
            .iter()
            .copied()
            .find(|defect| defect.name() == text))
        .ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|defect| defect.name()).collect();
            format!("no defect {text:?}; there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
