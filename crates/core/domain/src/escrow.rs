//! Shares of a campaign's abandonment budget: what a node and the directory say to each other
//! (mesh protocol, section 5).

use crate::{CampaignId, Incarnation, MemberId, WallTime};
use serde::{Deserialize, Serialize};

/// What one node tells of its campaigns, and what it would like to hold.
///
/// Counts are what was added since the ask before; the directory takes each sequence once, so the
/// same ask may be sent until it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowAsk {
    /// The node.
    pub member: MemberId,
    /// The run of its process: a share belongs to one run.
    pub incarnation: Incarnation,
    /// Counts the asks of this run, from 1; 0 is said once at its begin and tells proofs only.
    pub sequence: u64,
    /// What the journal knows of earlier runs.
    pub proofs: Vec<EscrowProof>,
    /// One for each campaign that has something to say.
    pub lines: Vec<EscrowLine>,
}

/// One campaign in an [`EscrowAsk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowLine {
    /// The campaign.
    pub campaign: CampaignId,
    /// Persons who answered since the last ask.
    pub answers: u32,
    /// When the first of them did, by the node's calendar.
    pub since: WallTime,
    /// Those whom no agent took in time, since the last ask.
    pub abandoned: u32,
    /// Permitted abandonments given back unused since the last ask.
    pub returned: u32,
    /// So many the node would like to hold.
    pub want: u32,
}

/// What a journal proves of an earlier run: so many were abandoned in it, and beyond them no more
/// than were in the air when it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowProof {
    /// The run.
    pub incarnation: Incarnation,
    /// Abandonments of the whole run by campaign; a campaign that is not here had none, or none
    /// that the directory was not told of.
    pub abandoned: Vec<(CampaignId, u64)>,
    /// Attempts by campaign that were dialed and whose end is not written: whoever waited for an
    /// agent, or answered after the process was gone, was let down by its end.
    pub in_air: Vec<(CampaignId, u64)>,
}

/// The directory's answer for one campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowGrant {
    /// The campaign.
    pub campaign: CampaignId,
    /// So many permitted abandonments more.
    pub granted: u32,
    /// What the node holds beyond this it is to give back: others want it, or the budget shrank.
    pub keep: u32,
    /// What the node holds may be used for [`crate::limits::ESCROW_LIFE`] from when it asked.
    pub renewed: bool,
}
