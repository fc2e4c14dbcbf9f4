//! What crosses the wire, for servers and clients alike: own types, never domain types that hold
//! secrets. Phone numbers of leads are masked; durations carry their unit in the name.

mod call;
mod campaign;
mod clearance;
mod consent;
mod dnc_list;
mod do_not_call;
mod homes;
mod lead;
mod learned;
mod lift;
mod mesh;
mod operation;
mod page;
mod people;
mod recording;
mod standings;
mod status;
mod supervision;
mod time;
mod trunk;
mod trunk_manner;
mod voters;

pub use call::{
    AnsweredBy, Call, CallBack, CallDirection, CallFilter, CallPermission, ExportFormat,
    ExportQuery, LegQuality, Numbers,
};
pub use campaign::{
    AbandonmentBudget, AgentDisposition, AnsweringMachines, Campaign, CampaignSettings,
    CampaignStats, CityPacing, CityShare, IdleReason, PacingMode, Retry,
};
pub use clearance::{
    DncPattern, Freeze, FreezeLift, FreezeRequest, PatternRemoval, PatternRequest, pattern, target,
};
pub use consent::{
    Consent, ConsentCheck, ConsentImportOptions, ConsentWithdrawal, ConsentWithdrawn,
};
pub use dnc_list::{
    DncList, DncListDecision, DncListPull, DncListPullRequest, DncListRequest, DncListResult,
    header_line,
};
pub use do_not_call::{
    Acknowledgement, DncBase, DncBaseUse, DncCheck, DncCheckQuery, DncEntry, DncImportOptions,
    DncRemoval, DncRequest, DncResult, Scope, Wait,
};
pub use homes::{HomesFlow, HomesMove, HomesPlan, HomesPlanRequest, HomesRegion, HomesState};
pub use lead::{ImportOptions, Lead, LeadFilter};
pub use learned::{
    AnswerRate, CampaignLearned, HourLearned, LeadOrder, ListLearned, PlaceLearned, Promise,
};
pub use lift::{LiftArm, LiftOfRegion, LocalPresence};
pub use mesh::{
    AuditHead, HomeRule, HomeRules, HomeWhen, JoinToken, JoinTokenCreated, JoinTokenRequest,
    Member, Region, RegionRequest,
};
pub use operation::{Operation, OperationState};
pub use page::{Page, PageQuery};
pub use people::{
    Agent, AgentCreated, AgentPatch, AgentRequest, ApiToken, ApiTokenCreated, ApiTokenRequest,
    TokenIssued,
};
pub use recording::{
    RecordedCalls, Recording, RecordingCheck, RecordingDetail, RecordingFilter, RecordingKey,
    RecordingPause, hex,
};
pub use standings::{
    CallerIdPlace, CallerIdReputation, CallerIdReputations, CallerIdState, StandingsQuery,
};
pub use status::{
    Abandonment, AgentCounts, CallCounts, CityMode, CityOverflow, CityProblem, CityStatus,
    GroupMember, GroupStatus, Status, TrunkState, TrunkStatus,
};
pub use supervision::{
    LiveCall, LiveCalls, Seat, SupervisionManner, SupervisionRequest, Supervisor,
};
pub use time::Timestamp;
pub use trunk::{
    CallerId, CallerIdPatch, CallerIdRequest, CallerIdsAdded, CallerIdsRequest, Trunk, TrunkAuth,
    TrunkAuthRequest, TrunkPatch, TrunkRequest,
};
pub use trunk_manner::{PrivacyHeader, TrunkAttestation, TrunkManner, TrunkMannerPatch};
pub use voters::{Autopilot, RegionPolicy, ReplicaHealth, VoterSettings};

use crate::problem::FieldError;

/// What can be judged without asking the backend.
pub trait Validate {
    /// Every bad field; empty when there is none.
    fn validate(&self) -> Vec<FieldError>;
}

/// Collects bad fields.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<FieldError>);

impl Checks {
    pub(crate) fn require(&mut self, holds: bool, pointer: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push(FieldError::new(pointer, message()));
        }
    }

    /// A name: not empty, without control characters, within the bound.
    pub(crate) fn name(&mut self, pointer: &str, name: &str) {
        let max = domain::limits::NAME_BYTES;
        self.require(
            !name.trim().is_empty() && name.len() <= max && !name.chars().any(char::is_control),
            pointer,
            || {
                format!(
                    "has {} bytes; expected 1 to {max} without control characters",
                    name.len()
                )
            },
        );
    }

    pub(crate) fn range<T: PartialOrd + std::fmt::Display>(
        &mut self,
        pointer: &str,
        value: T,
        (min, max): (T, T),
    ) {
        self.require(value >= min && value <= max, pointer, || {
            format!("is {value}; expected {min} to {max}")
        });
    }

    pub(crate) fn number(&mut self, pointer: &str, number: &str) {
        if let Err(error) = number.parse::<domain::PhoneNumber>() {
            self.0.push(FieldError::new(
                pointer,
                format!("is not an E.164 number: {error}"),
            ));
        }
    }

    pub(crate) fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    pub(crate) fn done(self) -> Vec<FieldError> {
        self.0
    }
}

#[cfg(test)]
mod tests;
