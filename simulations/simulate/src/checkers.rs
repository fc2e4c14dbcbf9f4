//! The invariants, told by a witness who sees real time and the telephone network. One file each.

pub(crate) mod abandonment;
pub(crate) mod attempt_limits;
pub(crate) mod bounds;
pub(crate) mod caller_ids;
pub(crate) mod calling_window;
pub(crate) mod clearance;
pub(crate) mod consent;
pub(crate) mod do_not_call;
pub(crate) mod inside_session;
pub(crate) mod one_disposition;
pub(crate) mod one_live_attempt;

use crate::{
    group::Group,
    options::Options,
    seen::{Happening, Seen},
    violation::Checked,
};
use domain::{AttemptId, CallerId, LeasedLead, TrunkId};
use ledger::{Directory, RegionLedger};

/// An INVITE as it leaves, seen by the network. Times are real, in milliseconds of the run.
#[derive(Clone, Debug)]
pub(crate) struct Invite<'a> {
    pub(crate) at: u64,
    /// True time of day.
    pub(crate) wall: i64,
    pub(crate) node: usize,
    pub(crate) lead: &'a LeasedLead,
    pub(crate) caller_id: &'a CallerId,
    pub(crate) trunk: TrunkId,
    /// False when it is cancelled at once, before any phone can ring.
    pub(crate) stands: bool,
}

/// What the checkers look at beside the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth<'a> {
    pub(crate) regions: &'a [Group<RegionLedger>],
    pub(crate) directory: &'a Directory,
}

impl<'a> Truth<'a> {
    /// The region that a lead is of.
    pub(crate) fn region_of(self, lead: &LeasedLead) -> Option<&'a RegionLedger> {
        let id = lead.lead.region();
        let mut regions = self.regions.iter().map(|group| &group.witness);
        regions.find(|region| region.region() == id)
    }
}

/// Names an attempt at the network.
pub(crate) type CallKey = AttemptId;

/// Every checker and what was counted.
#[derive(Debug, Default)]
pub(crate) struct Checkers {
    pub(crate) seen: Seen,
    pub(crate) live: one_live_attempt::OneLiveAttempt,
    pub(crate) session: inside_session::InsideSession,
    pub(crate) dnc: do_not_call::DoNotCall,
    pub(crate) clearance: clearance::Clearance,
    pub(crate) consents: consent::Consents,
    pub(crate) window: calling_window::CallingWindow,
    pub(crate) attempts: attempt_limits::AttemptLimits,
    pub(crate) disposition: one_disposition::OneDisposition,
    pub(crate) callers: caller_ids::CallerIds,
    pub(crate) bounds: bounds::Bounds,
    pub(crate) abandonment: abandonment::Abandonment,
}

impl Checkers {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            bounds: bounds::Bounds::new(options),
            ..Self::default()
        }
    }

    /// An INVITE leaves. Its call, if it stands, lives until `end`.
    pub(crate) fn invite(
        &mut self,
        truth: Truth<'_>,
        invite: &Invite<'_>,
        call: one_live_attempt::Call,
    ) -> Checked {
        self.seen.saw(Happening::Invites);
        self.attempts.invite(invite)?;
        self.callers.invite(invite)?;
        self.bounds.invite(invite)?;
        self.session.once(invite)?;
        self.disposition.invited(invite.lead.attempt);
        if !invite.stands {
            self.seen.saw(Happening::LateSends);
            return Ok(());
        }
        self.live.invite(invite, call)?;
        self.session.invite(truth, invite)?;
        self.dnc.invite(truth, invite)?;
        let lifted = self.dnc.is_lifted(invite.lead.number);
        (self.seen).saw_many(Happening::LiftedDialed, u64::from(lifted));
        self.clearance.invite(invite)?;
        self.consents.invite(invite)?;
        self.window.invite(invite)
    }

    /// A node that runs still has this attempt ringing.
    pub(crate) fn rings(
        &self,
        now: u64,
        wall: i64,
        node: usize,
        lead: &LeasedLead,
        truth: Truth<'_>,
    ) -> Checked {
        self.session.rings(now, node, lead)?;
        self.clearance.rings(now, wall, node, lead)?;
        self.consents.rings(now, node, lead)?;
        self.dnc.rings(now, node, lead, truth)
    }
}
