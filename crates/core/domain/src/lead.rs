//! Leads: a person and number to call.

use crate::{
    AttemptId, CampaignId, Disposition, DncBaseId, LeadId, ListId, PhoneNumber, SessionId,
    WallTime, ZoneId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The lead's fields beside number and state.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeadProfile {
    /// The person's name, as imported.
    pub name: String,
    /// Every other column, by its heading.
    pub attributes: BTreeMap<String, String>,
}

/// A cleaned lead on its way into its home region's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLead {
    /// The number.
    pub number: PhoneNumber,
    /// Every time zone the number may lie in; empty means unknown, and unknown is never dialed.
    pub zones: Vec<ZoneId>,
    /// Larger goes first; 0 is ordinary.
    pub priority: i16,
    /// Name and further fields.
    pub profile: LeadProfile,
}

/// A lead leased to a node's session, with one attempt reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedLead {
    /// The lead.
    pub lead: LeadId,
    /// The reserved attempt.
    pub attempt: AttemptId,
    /// The session that may dial it.
    pub session: SessionId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// The list it came with.
    pub list: ListId,
    /// Its number.
    pub number: PhoneNumber,
    /// Every time zone the number may lie in.
    pub zones: Vec<ZoneId>,
    /// Which attempt at this lead it is, from 1.
    pub attempt_count: u16,
    /// Name and further fields, for the agent's screen.
    pub profile: LeadProfile,
}

/// How a leased lead ended at the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallOutcome {
    /// Never dialed: the attempt is refunded and the lead is due again.
    Undialed {
        /// The lead.
        lead: LeadId,
        /// The reserved attempt.
        attempt: AttemptId,
    },
    /// Dialed: at least one INVITE left.
    Dialed {
        /// The lead.
        lead: LeadId,
        /// The attempt.
        attempt: AttemptId,
        /// The one final result.
        disposition: Disposition,
        /// When the last INVITE datagram really left: redial gaps count from here.
        invited_at: WallTime,
        /// When the attempt ended.
        ended_at: WallTime,
        /// A promised callback, which overrides the retry rule.
        callback_at: Option<WallTime>,
    },
    /// Never dialed, since the do-not-call base covers the number: the attempt is refunded, and the
    /// lead rests for as long as that base is in use.
    Listed {
        /// The lead.
        lead: LeadId,
        /// The reserved attempt.
        attempt: AttemptId,
        /// The base that the node asked.
        base: DncBaseId,
    },
}

impl CallOutcome {
    /// The attempt it is about.
    pub const fn attempt(&self) -> AttemptId {
        match self {
            Self::Undialed { attempt, .. }
            | Self::Dialed { attempt, .. }
            | Self::Listed { attempt, .. } => *attempt,
        }
    }

    /// The lead it is about.
    pub const fn lead(&self) -> LeadId {
        match self {
            Self::Undialed { lead, .. } | Self::Dialed { lead, .. } | Self::Listed { lead, .. } => {
                *lead
            }
        }
    }
}
