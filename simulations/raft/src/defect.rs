//! Mistakes on purpose, at the seams around our adapter: each must be found.

use crate::violation::Rule;
use serde::{Deserialize, Serialize};

macro_rules! defects {
    ($($(#[doc = $breaks:literal])+ $name:ident, $text:literal, [$($by:ident),+];)+) => {
        /// A mistake planted below, above or beside the adapter. Its doc says where.
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

            /// What it does wrong, in words.
            pub const fn breaks(self) -> &'static str {
                match self { $(Self::$name => concat!($($breaks),+),)+ }
            }

            /// The rules whose checkers may be the first to see it.
            pub const fn seen_by(self) -> &'static [Rule] {
                match self { $(Self::$name => &[$(Rule::$by),+],)+ }
            }
        }
    };
}

defects! {
    /// Log: entries and votes are told as durable when written, before the sync returned.
    AckBeforeSync, "ack-before-sync", [Kept, Equal, OneLeader, Linear, Alive];
    /// Log: nothing is ever synced.
    NothingSynced, "nothing-synced", [Kept, Equal, OneLeader, Linear, Alive];
    /// Log: a vote is told as saved and is not.
    VoteNotSaved, "vote-not-saved", [OneLeader, Kept, Equal, Linear, Alive];
    /// Log: a write that met a full disk is told as done.
    FullDiskSwallowed, "full-disk-swallowed", [Kept, Equal, Linear, OneLeader, Alive];
    /// Snapshots: content is not synced before the file gets its name.
    SnapshotUnsynced, "snapshot-unsynced", [Alive, Kept, Equal, Linear, Settles];
    /// Snapshots: the folder is not synced after the file got its name.
    SnapshotNameUnsynced, "snapshot-name-unsynced", [Alive, Kept, Equal, Linear, Settles];
    /// Log: a sync that failed is told as done, and the process goes on.
    GoesOnAfterFailedSync, "goes-on-after-failed-sync", [Kept, Equal, Linear, OneLeader, Alive, Settles];
    /// Log: what a run before left is read from memory, whether or not it is on the disk.
    JournalUnsettled, "journal-unsettled", [Kept, Equal, Linear, OneLeader, Alive, Settles];
    /// Machine: state depends on the order of a hash map.
    HashOrder, "hash-order", [Equal];
    /// Machine: a replica takes its own calendar for the entry's.
    OwnCalendar, "own-calendar", [Equal];
    /// Machine: a snapshot leaves out which commands were seen last.
    SnapshotForgets, "snapshot-forgets", [Equal, Once, Kept];
    /// Machine: a command that comes again counts again.
    CountsAgain, "counts-again", [Once];
    /// Reads: the local machine is read without asking the leader.
    ReadsLocally, "reads-locally", [Linear];
    /// Reads: a leader reads its machine without a quorum round.
    LeaderReadsLocally, "leader-reads-locally", [Linear];
    /// Reads: the index is asked for, and not waited for.
    ReadsUnapplied, "reads-unapplied", [Linear];
    /// Network: a request that broke half-way is told as never sent.
    BrokenToldAsUnsent, "broken-told-as-unsent", [Kept, Once];
    /// Region's leader: sessions are expired after half of their time.
    ExpiresEarly, "expires-early", [OneDial, InSession];
    /// Region's leader: a keep-alive is answered without a quorum round.
    NoQuorumRound, "no-quorum-round", [OneDial, InSession];
    /// Node: validity counts from the answer, not from the question.
    CountsFromAnswer, "counts-from-answer", [OneDial, InSession];
    /// Node: it dials what it holds whether or not its session is valid.
    DialsOn, "dials-on", [OneDial, InSession];
    /// Node: after a lost answer it takes its leases from any replica, however old.
    LeasesReadLocally, "leases-read-locally", [OneDial, InSession, Counted];
    /// Node: what it dialed comes into its journal too late, and is given back after a crash.
    RefundsDialed, "refunds-dialed", [OneDial, Counted];
    /// The shell draws a delay from the process's own entropy.
    ForeignEntropy, "foreign-entropy", [OneRun];
}

impl Defect {
    /// Whether only a region's ledger can show it.
    pub(crate) fn needs_region(self) -> bool {
        self.seen_by().contains(&Rule::OneDial)
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
