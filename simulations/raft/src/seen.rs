//! How often what is tested really happened: a swarm in which nothing happens proves nothing.

macro_rules! happenings {
    ($($name:ident, $text:literal;)+) => {
        /// Something worth counting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each has its words beside it")]
        pub enum Happening { $($name,)+ }

        impl Happening {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// In words.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

happenings! {
    Applied, "entries applied on a member";
    Writes, "commands acknowledged";
    WritesAgain, "commands that a retry met again";
    Undone, "commands told as surely not applied";
    Unknown, "commands of unknown outcome";
    Reads, "linearizable reads";
    ReadsFailed, "reads without a quorum";
    Elections, "leaders elected";
    Confirmed, "leaders confirmed by a quorum";
    SnapshotsInstalled, "snapshots taken from another member or a restart";
    SnapshotsAsked, "snapshots asked for";
    LogsPurged, "members whose log was purged";
    Partitions, "partitions";
    OneWayPartitions, "partitions one way";
    Clogs, "clogged links";
    CloggedMessages, "messages that a clog held up";
    Lost, "packets lost and sent again";
    NotConnected, "requests on a link given up";
    Busy, "requests refused as too many";
    Kills, "processes killed";
    PowerLosses, "power losses";
    PowerLossesInWrite, "power losses in the middle of a write";
    WritesLost, "files that lost unsynced writes";
    Torn, "files with a torn write";
    Holes, "files that lost writes before others that stayed";
    NamesLost, "file names lost";
    KillsInWrite, "processes killed in the middle of a write";
    SyncsFailed, "syncs that failed";
    SyncStops, "processes that stopped for a failed sync";
    SyncStopsAndPower, "power losses after a failed sync";
    Doubled, "requests that came twice";
    Pauses, "pauses";
    LongPauses, "pauses longer than an election";
    Drifts, "clocks that drift";
    Leaps, "clocks that leap forward";
    CalendarJumps, "calendar jumps";
    FullDisks, "full disks";
    FullRefused, "writes that a full disk refused";
    FullStops, "processes that stopped for a full disk";
    SlowDisks, "slow disks";
    HandOvers, "leaders asked to hand over";
    LeadersKilled, "leaders killed";
    Changes, "membership changes done";
    ChangesFailed, "membership changes not confirmed";
    RollingRestarts, "rolling restarts";
    Boots, "processes started";
    Sessions, "sessions opened by nodes";
    SessionsExpired, "sessions expired";
    SessionsSuperseded, "sessions that a later run closed";
    KeepAlives, "keep-alives answered";
    KeepAlivesLate, "keep-alives whose session had ended";
    Claimed, "leads leased";
    ClaimsAgain, "claims asked again";
    Dials, "dials";
    NotValid, "leads not dialed for want of validity";
    Reported, "outcomes reported";
    Settled, "outcomes that a journal told after a crash";
    DoubtsEnded, "attempts whose doubt ran out";
    Forbidden, "numbers forbidden at the region";
    NodeKills, "nodes killed";
    NodePauses, "nodes paused longer than a session";
}

/// Counts of one run or of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen([u64; Happening::ALL.len()]);

impl Default for Seen {
    fn default() -> Self {
        Self([0; Happening::ALL.len()])
    }
}

impl Seen {
    /// How often.
    pub const fn count(&self, of: Happening) -> u64 {
        self.0[of as usize]
    }

    /// Once more.
    pub(crate) fn saw(&mut self, of: Happening) {
        self.0[of as usize] += 1;
    }

    /// So many more.
    pub(crate) fn saw_many(&mut self, of: Happening, n: u64) {
        self.0[of as usize] += n;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Each with its count, in order.
    pub fn all(&self) -> impl Iterator<Item = (Happening, u64)> + '_ {
        Happening::ALL.iter().map(|of| (*of, self.count(*of)))
    }
}
