//! Mistakes on purpose, in the shell around the real machines: each must be found.

use crate::violation::Invariant;
use serde::{Deserialize, Serialize};

macro_rules! defects {
    ($($(#[doc = $breaks:literal])+ $name:ident, $text:literal, $rule:literal, [$($by:ident),+];)+) => {
        /// A mistake planted in the model's own shell. Its doc says which rule it breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Defect {
            $($(#[doc = $breaks])+ $name,)+
        }

        impl Defect {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name on the command line and in replay files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The section of the mesh protocol, or the invariant, whose rule it breaks.
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)+ }
            }

            /// What it does wrong, in words.
            pub const fn breaks(self) -> &'static str {
                match self { $(Self::$name => concat!($($breaks),+),)+ }
            }

            /// The invariants whose checkers may be the first to see it.
            pub const fn seen_by(self) -> &'static [Invariant] {
                match self { $(Self::$name => &[$(Invariant::$by),+],)+ }
            }
        }
    };
}

defects! {
    /// 3.1: a restarted node goes on dialing what its earlier run had leased.
    HopperSurvivesCrash, "hopper-survives-crash", "3.1", [I1, I2, I5, I7];
    /// 3.2: a leader answers keep-alives without a quorum round.
    NoQuorumRound, "no-quorum-round", "3.2", [I1, I2];
    /// 3.2: a leader answers by a quorum round that began before the request came.
    RoundBeforeRequest, "round-before-request", "3.2", [I1, I2];
    /// 3.2: a late answer is taken for one to the latest keep-alive, not to its own.
    MixesAnswers, "mixes-answers", "3.2", [I1, I2];
    /// 3.2: a node's clock stands still while it is paused (CLOCK_MONOTONIC for CLOCK_BOOTTIME).
    ClockStopsInPause, "clock-stops-in-pause", "3.2", [I1, I2, I3];
    /// 3.3: the leader counts half of T.
    ExpiresEarly, "expires-early", "3.3", [I1, I2];
    /// 3.3: a decided expiry does not stop keep-alives.
    AnswersDecided, "answers-decided", "3.3", [I1, I2];
    /// 3.3: a new leader does not count from its election but from long before.
    NewLeaderExpires, "new-leader-expires", "3.3", [I1, I2];
    /// 3.4: a node looks at the calling window when it claims, and not again when it dials.
    WindowAtClaimOnly, "window-at-claim-only", "3.4, I4", [I4];
    /// 3.5: a node dials leads that it has given back.
    DialsGivenBack, "dials-given-back", "3.5", [I1, I2, I5, I7];
    /// 3.5: an attempt that was cancelled is given back as if it had never been dialed.
    RefundsDialed, "refunds-dialed", "3.5, I5", [I5, I7];
    /// 3.6: the leader's ticks run fast, so doubts end while the network still works.
    TicksRunFast, "ticks-run-fast", "3.6", [I1];
    /// 3.6: a journal that lost its tail is called complete.
    FalseProof, "false-proof", "3.6", [I7, I5, I1];
    /// 3.6: the INVITE leaves before the journal says so, and a crash slips in between.
    MarksAfterSend, "marks-after-send", "3.6", [I7, I5, I1];
    /// 3.6: an unknown end is told as an end, so the doubt is cut short.
    UnknownIsAnEnd, "unknown-is-an-end", "3.6", [I1, I5];
    /// 3.7: a node does not ask its permit about its session.
    NoSessionCheck, "no-session-check", "3.7", [I1, I2, I9];
    /// 3.7: a node does not look at the clock after sending.
    NoCheckAfterSend, "no-check-after-send", "3.7, I4", [I1, I2, I3, I4];
    /// 3.7: unanswered attempts ring on when validity ends.
    RingsOn, "rings-on", "3.7", [I1, I2, I3];
    /// 3.8: an INVITE is written behind unsent bytes and leaves when the trunk's link wakes up.
    BehindUnsentBytes, "behind-unsent-bytes", "3.8", [I1, I2, I3, I4, I9];
    /// 3.8: redial gaps count from the claim, not from the last INVITE that left.
    GapFromClaim, "gap-from-claim", "3.8, I5", [I5];
    /// 3.8: a second restart forgets that a call of the first run may still be going on.
    SecondRestartForgets, "second-restart-forgets", "3.8", [I1, I5, I7];
    /// 4: `effective` is answered at commit.
    EffectiveAtCommit, "effective-at-commit", "4", [I3];
    /// 4: a node counts an answer as fresh before its index is applied.
    FreshTooSoon, "fresh-too-soon", "4", [I3];
    /// 4: a new directory leader does not wait out the freshness that earlier ones gave.
    EffectiveAtElection, "effective-at-election", "4", [I3];
    /// 4: an opt-out binds the node that heard it only once committed.
    OptOutWaits, "opt-out-waits", "4", [I3];
    /// 4: applying an entry does not cancel what rings at the number.
    RingsOnForbidden, "rings-on-forbidden", "4", [I3];
    /// 4: a node dials on by the do-not-call base it has until it has fetched the one in use.
    OldBaseStays, "old-base-stays", "4", [I3];
    /// 4: a node takes patterns and freezes in with the next snapshot only.
    ClearanceUnheard, "clearance-unheard", "4", [I3];
    /// 4: a node takes a freeze for over half-way to its end.
    ThawsEarly, "thaws-early", "4", [I3];
    /// 4: a node does not hear that consents are withdrawn.
    WithdrawalUnheard, "withdrawal-unheard", "4", [I3];
    /// 4: an import takes its own time for the time at which a consent was given.
    ImportStamps, "import-stamps", "4", [I3];
    /// 4: nodes and regions take the end of an entry in one scope for its end in all.
    EntryEndsEverywhere, "entry-ends-everywhere", "4", [I3];
    /// 4: nodes and regions take the end of a pattern in one scope for its end in all.
    PatternEndsEverywhere, "pattern-ends-everywhere", "4", [I3];
    /// 4: a node does not hear that the lift of a number is taken back.
    LiftEndUnheard, "lift-end-unheard", "4", [I3];
    /// 4: nodes and regions take the lift of a number from the base for the end of its entries.
    LiftFreesEntries, "lift-frees-entries", "4", [I3];
    /// 4: the region is not told of lifts, and its leads rest for ever.
    LiftUntold, "lift-untold", "4", [I7];
    /// 4: a base of all lists lacks what only the second of them has.
    ListLeftOut, "list-left-out", "4", [I3];
    /// 4: a base made from another has what registries said since, and not what was in that one.
    CompactionForgets, "compaction-forgets", "4", [I3];
    /// 4: entries of registries are dropped that the base in use does not have.
    SettlesUnlisted, "settles-unlisted", "4", [I3];
    /// 1: a region lets go of leads before the other one has said that it took them.
    ForgottenEarly, "forgotten-early", "1", [I7, I1];
    /// 1: the attempts at a number stay behind when it moves to another region.
    HistoryLeft, "history-left", "1", [I5, I7];
    /// 1: a region says that it has let go while numbers with a live attempt are still there.
    LeftEarly, "left-early", "1", [I1, I7];
    /// 1: an import goes to a number's new region and does not ask the old one.
    ImportsUnasked, "imports-unasked", "1", [I1];
    /// 1: an import by an old map names the newest.
    ImportsNameNewMap, "imports-name-new-map", "1", [I1];
    /// 5: an ask for shares that was not answered is sent again as a new one.
    AsksAgainAsNew, "asks-again-as-new", "5", [I6];
    /// 5: what was spent of a share is not written down, and a crash forgets it.
    SpentForgotten, "spent-forgotten", "5", [I6];
    /// 5: a restarted node goes on with the share of its earlier run.
    ShareSurvivesCrash, "share-survives-crash", "5", [I6];
    /// 5: a journal that lost its tail proves what a run spent.
    SpentLostIsProof, "spent-lost-is-proof", "5", [I6];
    /// 5: a proof says nothing of who was on the line when the run ended.
    CrashLetsNobodyDown, "crash-lets-nobody-down", "5", [I6];
    /// 5: a proof leaves out campaigns that the directory had not heard of from that run.
    UntoldNotProved, "untold-not-proved", "5", [I6];
    /// 5: what is spent beyond a share while an ask is under way does not come off what it brings.
    OverspentForgotten, "overspent-forgotten", "5", [I6];
    /// 5: the directory's calendar runs a month ahead, and abandonments leave the window too early.
    CalendarMonthAhead, "calendar-month-ahead", "5", [I6];
    /// 5: a node does not hear that campaigns count their abandonments together.
    GroupUnheard, "group-unheard", "5", [I6];
    /// 5: each campaign of a drop-rate group has lines for the whole share.
    GroupSharesTwice, "group-shares-twice", "5", [I6];
    /// I5: an abandoned call is reported as not answered.
    AbandonmentHidden, "abandonment-hidden", "I5", [I5];
    /// I7: a node forgets an outcome once it was sent, acknowledged or not.
    ForgetsOutcomes, "forgets-outcomes", "I7", [I7];
    /// I9: a restarted node has forgotten how often it showed its caller IDs.
    CapsForgotten, "caps-forgotten", "I9", [I9];
    /// I9: a caller ID of another city's trunk is shown.
    OtherTrunk, "other-trunk", "I9", [I9];
    /// I10: a replica applies two entries in the wrong order.
    WrongOrder, "wrong-order", "I10", [I10];
    /// I10: a replica takes its own calendar for the entry's.
    OwnCalendar, "own-calendar", "I10", [I10];
    /// I10: a replica that starts from a snapshot skips the entry after it.
    SnapshotGap, "snapshot-gap", "I10", [I10];
    /// I11: a node dials with every channel of its trunk taken.
    ChannelsIgnored, "channels-ignored", "I11", [I11];
    /// I11: a node dials faster than its trunk allows.
    RateIgnored, "rate-ignored", "I11", [I11];
    /// 6: what only this release knows is proposed while a member of the release before is there.
    NewerUnasked, "newer-unasked", "6", [I10];
    /// 6: a member whose way back is kept open says all that its release understands.
    SaysWhatItReads, "says-what-it-reads", "6", [I10];
    /// 6: the first member's word counts for all.
    FirstSpeaksForAll, "first-speaks-for-all", "6", [I10];
    /// I12: the shell draws a delay from the process's own entropy.
    ForeignEntropy, "foreign-entropy", "I12", [I12];
}

impl Defect {
    /// Whether only runs in which campaigns ask for consent can show it.
    pub const fn is_about_consent(self) -> bool {
        matches!(self, Self::WithdrawalUnheard | Self::ImportStamps)
    }

    /// Whether only runs with two regions can show it.
    pub const fn is_about_moves(self) -> bool {
        matches!(
            self,
            Self::ForgottenEarly
                | Self::HistoryLeft
                | Self::LeftEarly
                | Self::ImportsUnasked
                | Self::ImportsNameNewMap
        )
    }

    /// Whether only runs in which campaigns count their abandonments together can show it.
    pub const fn is_about_groups(self) -> bool {
        matches!(self, Self::GroupUnheard | Self::GroupSharesTwice)
    }

    /// Whether only runs in which members are upgraded one by one can show it.
    pub const fn is_about_upgrades(self) -> bool {
        matches!(
            self,
            Self::NewerUnasked | Self::SaysWhatItReads | Self::FirstSpeaksForAll
        )
    }

    /// Whether only runs with lists, lifts, scoped patterns and compacted bases can show it.
    pub const fn is_about_registers(self) -> bool {
        matches!(
            self,
            Self::EntryEndsEverywhere
                | Self::PatternEndsEverywhere
                | Self::LiftEndUnheard
                | Self::LiftFreesEntries
                | Self::LiftUntold
                | Self::ListLeftOut
                | Self::CompactionForgets
                | Self::SettlesUnlisted
        )
    }
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

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
