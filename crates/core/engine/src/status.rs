//! What the node says of itself.

use crate::Engine;
use call::{AttemptEnd, AttemptState};
use domain::{
    AgentState, CampaignId, Disposition, Now, WallTime,
    status::{
        AgentCounts, AttemptCounts, LineCounts, NodeMode, NodeStatus, SessionStatus, TrunkHealth,
        TrunkStatus,
    },
};

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    total: AttemptCounts,
    campaigns: std::collections::BTreeMap<CampaignId, AttemptCounts>,
    mode: NodeMode,
    mode_since: WallTime,
}

impl Engine {
    pub(crate) fn count_attempt(&mut self, campaign: CampaignId) {
        self.tally.total.attempts += 1;
        self.tally.campaigns.entry(campaign).or_default().attempts += 1;
    }

    pub(crate) fn count_closed(&mut self, end: &AttemptEnd) {
        let of = self.tally.campaigns.entry(end.lease.campaign).or_default();
        for counts in [&mut self.tally.total, of] {
            counts.answered += u64::from(end.answered_at.is_some());
            counts.bridged += u64::from(end.bridged_at.is_some());
            counts.abandoned += u64::from(end.disposition == Disposition::Abandoned);
        }
    }

    /// Whether the groups are heard; remembers since when.
    fn mode(&mut self, now: Now) -> NodeMode {
        let central =
            (self.config.regions.iter()).all(|region| self.permit.may_dial(now.monotonic, *region));
        let mode = match (self.draining, central) {
            (true, _) => NodeMode::Draining,
            (false, true) => NodeMode::Central,
            (false, false) => NodeMode::Local,
        };
        // A renewal that is late is the first sign of being cut off, long before validity ends.
        let mode = if mode == NodeMode::Central && self.renewals_late(now) {
            NodeMode::Local
        } else {
            mode
        };
        if mode != self.tally.mode || self.tally.mode_since == WallTime::EPOCH {
            self.tally.mode = mode;
            self.tally.mode_since = now.wall;
        }
        mode
    }

    /// Whether no renewal was answered for longer than two of them take.
    fn renewals_late(&self, now: Now) -> bool {
        let fresh = self.permit.freshness().valid_until().since(now.monotonic);
        let sessions = (self.config.regions.iter())
            .filter_map(|region| self.permit.session(*region))
            .map(|lease| (lease.valid_until().since(now.monotonic), lease.ttl()));
        fresh < self.config.freshness / 2 || sessions.into_iter().any(|(left, ttl)| left < ttl / 2)
    }

    /// Everything the node says of itself.
    pub fn status(&mut self, now: Now) -> NodeStatus {
        let mut agents = AgentCounts::default();
        for (_, status, _) in self.calls.agents() {
            match status.state {
                AgentState::LoggedOut => {}
                AgentState::Paused(_) => agents.paused += 1,
                AgentState::Ready => agents.ready += 1,
                AgentState::Reserved => agents.reserved += 1,
                AgentState::OnCall => agents.on_call += 1,
                AgentState::WrapUp => agents.wrap_up += 1,
            }
        }
        let mut lines = LineCounts::default();
        for (attempt, .., state) in self.calls.attempts() {
            match state {
                AttemptState::WaitingForAgent if attempt.is_call_back() => {}
                // Another node's line.
                _ if self.calls.is_borrowed(attempt) => {}
                AttemptState::Leased | AttemptState::Dialing => lines.dialing += 1,
                AttemptState::Ringing => lines.ringing += 1,
                AttemptState::Answered
                | AttemptState::Screening
                | AttemptState::LeavingMessage
                | AttemptState::WaitingForAgent => {
                    lines.waiting += 1;
                }
                AttemptState::Bridged => lines.bridged += 1,
                AttemptState::WrapUp | AttemptState::Closed => {}
            }
        }
        let served = self.config.regions.iter().chain(&self.helped);
        let sessions = served.map(|region| {
            let lease = self.permit.session(*region);
            let left = lease.map_or(0, |l| l.valid_until().since(now.monotonic).as_millis());
            SessionStatus {
                region: *region,
                session: lease.map(permit::SessionLease::session),
                valid_ms: u64::try_from(left).unwrap_or(u64::MAX),
                hopper: lease.map_or(0, |l| self.hoppers.held_by(l.session(), *region) as u32),
            }
        });
        let sessions = sessions.collect();
        let trunks = self.ways.iter().map(|(id, way)| TrunkStatus {
            trunk: *id,
            up: way.health.trouble().is_none(),
            channels: self.legs.channels(*id),
            attempts: way.attempts,
            answered: way.answered,
        });
        let trunks = trunks.collect();
        let trunk_health = self.ways.iter().map(|(id, way)| TrunkHealth {
            trunk: *id,
            trouble: way.health.trouble(),
            since: way.health.since(),
            failed_over: way.health.failed_over,
        });
        let trunk_health = trunk_health.collect();
        let fresh = self
            .permit
            .freshness()
            .valid_until()
            .since(now.monotonic)
            .as_millis();
        let mode = self.mode(now);
        let pacing = self.held_back();
        NodeStatus {
            node: self.config.member,
            at: now.wall,
            mode,
            mode_since: self.tally.mode_since,
            queued: u32::try_from(self.backlog).unwrap_or(u32::MAX),
            fresh_ms: u64::try_from(fresh).unwrap_or(u64::MAX),
            sessions,
            trunks,
            agents,
            lines,
            total: self.tally.total,
            campaigns: self.tally.campaigns.clone(),
            refused: self
                .refused
                .iter()
                .map(|(rule, n)| ((*rule).to_owned(), *n))
                .collect(),
            trunk_health,
            pacing,
            problems: self.problems.said().to_vec(),
            overflow: self.carried_calls(),
        }
    }
}
