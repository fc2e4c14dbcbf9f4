//! I11: sessions and leases stay within their bounds, trunks within channels and rate.

use super::Invite;
use crate::{
    options::Options,
    violation::{Checked, Invariant},
};
use domain::{CampaignId, limits};
use ledger::RegionLedger;
use std::collections::BTreeMap;

/// A second on a clock that is fast by ρ, in milliseconds.
const SECOND: u64 = 950;

/// What is allowed, and what left lately.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    calls_per_second: usize,
    channels: usize,
    sent: BTreeMap<usize, Vec<u64>>,
}

impl Bounds {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            calls_per_second: options.calls_per_second as usize,
            channels: options.channels as usize,
            sent: BTreeMap::new(),
        }
    }

    pub(super) fn invite(&mut self, invite: &Invite<'_>) -> Checked {
        let sent = self.sent.entry(invite.node).or_default();
        sent.retain(|at| at + SECOND > invite.at);
        sent.push(invite.at);
        if sent.len() > self.calls_per_second {
            return Err(Invariant::I11.broken(format!(
                "node {} sends {} INVITEs within a second; its trunk takes {}",
                invite.node,
                sent.len(),
                self.calls_per_second
            )));
        }
        Ok(())
    }

    /// How many calls a node's process has on its trunk.
    pub(crate) fn channels(&self, node: usize, used: usize) -> Checked {
        if used <= self.channels {
            return Ok(());
        }
        Err(Invariant::I11.broken(format!(
            "node {node} has {used} calls on a trunk of {} channels",
            self.channels
        )))
    }

    /// A claim for `n` was answered with `leads`.
    pub(crate) fn claimed(&self, n: u32, leads: usize) -> Checked {
        if leads <= n as usize {
            return Ok(());
        }
        Err(Invariant::I11.broken(format!("a claim for {n} brings {leads} leads")))
    }

    /// One open session a node, sessions and leases within their bounds.
    pub(crate) fn sessions(&self, region: &RegionLedger, campaigns: &[CampaignId]) -> Checked {
        let mut open = BTreeMap::new();
        let mut held = 0;
        let mut count = 0;
        for session in region.sessions() {
            count += 1;
            held += u64::from(session.leads);
            if session.leads as usize > limits::SESSION_LEASES {
                let (id, leads) = (session.session, session.leads);
                return Err(Invariant::I11.broken(format!("{id} holds {leads} leads")));
            }
            if session.ended.is_none()
                && let Some(other) = open.insert(session.node, session.session)
            {
                return Err(Invariant::I11.broken(format!(
                    "{} has two open sessions, {other} and {}",
                    session.node, session.session
                )));
            }
        }
        if count > limits::SESSIONS {
            return Err(Invariant::I11.broken(format!("{count} sessions are kept")));
        }
        let stats = campaigns.iter().map(|campaign| region.stats(*campaign));
        let leased: u64 = stats.map(|stats| stats.leased + stats.in_doubt).sum();
        if leased == held {
            return Ok(());
        }
        Err(Invariant::I11.broken(format!(
            "sessions hold {held} leads, but {leased} are leased or in doubt"
        )))
    }
}
