//! I4: no INVITE outside the calling window of every candidate time zone; no zone means no.

use super::Invite;
use crate::violation::{Checked, Invariant};
use compliance::{RulePack, may_dial_at};
use domain::WallTime;

/// What a node's clock may be off, in milliseconds.
const SKEW: i64 = 1_100;

/// Judges by true time.
#[derive(Debug, Default)]
pub(crate) struct CallingWindow;

impl CallingWindow {
    pub(super) fn invite(&self, invite: &Invite<'_>) -> Checked {
        let pack = RulePack::by_name(crate::world::RULE_PACK).expect("the release has the pack");
        let zones = &invite.lead.zones;
        let open = |off| may_dial_at(pack, zones, WallTime::from_millis(invite.wall + off));
        match (open(-SKEW), open(0), open(SKEW)) {
            (Err(_), Err(why), Err(_)) => Err(Invariant::I4.broken(format!(
                "node {} dials {}: {why}",
                invite.node, invite.lead.number
            ))),
            _ => Ok(()),
        }
    }
}
