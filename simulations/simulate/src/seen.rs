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
    LogEntries, "entries committed";
    Snapshots, "snapshots restored in mid-run";
    Elections, "elections";
    LateDeposed, "leaders deposed late";
    RoundsFailed, "quorum rounds that failed";
    ForwardedProposals, "proposals that met no leader";
    Partitions, "partitions";
    OneWayPartitions, "partitions one way";
    Clogs, "clogged links";
    Lost, "messages lost";
    Repeated, "messages repeated";
    Pauses, "pauses";
    LongPauses, "pauses longer than T";
    Crashes, "crashes in the same boot";
    PowerLosses, "power losses";
    RegionsLost, "regions whose nodes all lost their power at once";
    WritesLost, "journal writes lost";
    CleanStops, "stops in order";
    RestartsInDoubt, "restarts with attempts in doubt";
    VoterRestarts, "voters restarted";
    VoterPauses, "voters paused";
    CalendarJumps, "calendar jumps";
    Slumbers, "whole mesh asleep for hours";
    Opened, "sessions opened";
    Expired, "sessions expired";
    Superseded, "sessions superseded";
    Closed, "sessions closed in order";
    StaleExpiries, "expiries of earlier leaders refused";
    Claims, "claims answered with leads";
    ClaimsAgain, "claims answered again";
    WindowShut, "claims while windows were shut";
    Invites, "INVITEs";
    Answered, "calls answered";
    LateSends, "INVITEs cancelled at once after a pause";
    TrunkStalls, "INVITEs held back by a stalled trunk";
    Drains, "drains at the end of validity";
    RingingCancelled, "ringing attempts cancelled";
    OutcomesClosed, "outcomes taken";
    Refunds, "attempts refunded";
    NoProof, "refunds refused after power loss";
    StillInDoubt, "unknown ends that left the doubt standing";
    DoubtsEnded, "doubts that ran out";
    LateOutcomes, "outcomes known before or too late";
    Abandoned, "abandoned calls";
    DncAdded, "do-not-call entries added";
    DncRemoved, "do-not-call entries removed";
    DncKept, "removals that met a renewed entry";
    BasesUsed, "do-not-call bases put into use";
    BasesFetched, "do-not-call bases fetched by a node";
    BasesEffective, "do-not-call bases answered as effective";
    DeniedBase, "denied: do-not-call base not here";
    ListsPulled, "do-not-call lists pulled";
    ListBasesUsed, "bases of lists put into use";
    Compactions, "bases made of another and what registries said since";
    CompactedUsed, "such bases put into use";
    Settled, "registries' entries dropped for a base that has them";
    Lifts, "numbers lifted from the base";
    LiftsGone, "lifts taken back or forgotten";
    LiftEndsEffective, "ends of lifts answered as effective";
    LiftedDialed, "INVITEs to numbers that were lifted from the base";
    ScopedPatterns, "patterns of one campaign or region added";
    Patterns, "do-not-call patterns added";
    Freezes, "freezes added";
    ClearanceGone, "patterns removed and freezes lifted or forgotten";
    ClearanceEffective, "patterns and freezes answered as effective";
    DeniedFrozen, "denied: frozen";
    Consents, "consents given";
    ConsentsAgain, "consents imported again";
    ConsentsGone, "consents withdrawn";
    WithdrawalEffective, "withdrawals answered as effective";
    ConsentAsked, "campaigns known to ask for consent";
    DeniedConsent, "denied: no consent";
    Listed, "leads given back as listed in the base";
    OptOuts, "opt-outs heard at a node";
    Effective, "entries answered as effective";
    CopyReset, "copies of do-not-call replaced by a snapshot";
    SharesGranted, "asks answered with shares";
    SharesSpent, "persons let down";
    SpentAfterEnd, "persons let down after their share's end";
    Overspent, "persons let down beyond a share";
    LetDownByCrash, "persons let down by a crash";
    SharesAtRisk, "asks that keep back what lines may spend";
    SharesReturned, "asks that give shares back";
    SharesProved, "asks with proofs of earlier runs";
    SharesInDoubt, "entries with shares in doubt";
    CountedTogether, "persons let down by a campaign that counts with another";
    SharesUnknown, "looks at a share that is not known";
    CampaignChanges, "campaign changes";
    FactsForwarded, "facts forwarded to the region";
    HomesApplied, "home maps that leads began to move by";
    LeadsLeave, "leads picked up for another region";
    BatchesTaken, "batches taken by another region, some again";
    BatchesForgotten, "batches let go of";
    Imported, "leads imported meanwhile";
    ImportsMetMoves, "imports that met a number on its way";
    ImportsSentOn, "imports sent on by a number's old region";
    DeniedSession, "denied: session ending";
    DeniedFresh, "denied: copy not fresh";
    DeniedDnc, "denied: do-not-call";
    DeniedWindow, "denied: window closed";
    DeniedCaps, "denied: caller ID's cap";
    ChannelsFull, "trunk full";
    RateFull, "trunk at its rate";
    Upgrades, "members upgraded";
    Downgrades, "members that went back to the release before";
    NewerRefused, "changes refused until all members understand them";
    NewerAsked, "changes asked for that the release before cannot read";
    DialableAtEnd, "leads dialable again at the end";
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
