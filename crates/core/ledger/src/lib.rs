//! The replicated state machines: the directory, and one region's leads, leases and attempts.
//!
//! [`Directory`] and [`RegionLedger`] are driven by a Raft group each: equal logs give equal
//! state, byte for byte (I10). [`SessionBook`], [`TickBook`] and [`FreshnessBook`] are what a
//! leader keeps beside them, in memory only.

mod books;
mod directory;
mod envelope;
mod origin;
mod region;
mod rules;
mod table;

pub use books::{EffectiveToken, FreshnessBook, KeepAliveRefusal, SessionBook, TickBook};
pub use directory::{
    ApiToken, AuditHead, BudgetView, Change, ConsentKey, ConsentRefusal, Directory,
    DirectoryCommand, DirectoryEvent, DirectoryFacts, DirectoryReply, DncLift, DncList,
    DncListChange, DncListObtained, DncListSettings, DncPart, Fact, Home, HomeMap, HomesMove,
    JoinToken, KnownConsent, List, MeshId, NewDncBase, NewDncPart, NewMember, Place, RegionPolicy,
    Rejection, Removal, Role, ShareView, StagedDncBase, TokenHash, TokenId, TokenScope,
    VoterPolicy, entry_for,
};
pub use origin::Origin;
pub use region::{
    DncFact, DncRemoval, Facts, ImportTotals, LeadStanding, LeadView, Leadership, LostAttempt,
    MoveRefusal, MovedBatch, MovedCounts, MovedLead, MovedNumber, NumberView, OutcomeCounts,
    OutcomeRefusal, Proof, RegionCommand, RegionEvent, RegionLedger, RegionMoves, RegionRefusal,
    RegionReply, RegionStats, RowOutcome, RowRefusal, SessionEnd, SessionView, Shortage, catch_up,
};
