//! What the nodes last said of themselves.

use domain::{MemberId, WallTime, status::NodeStatus};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Silence after which a node counts as unreachable: it speaks each second.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// Over how long calls a second are counted.
const RATE_SPAN: Duration = Duration::from_secs(10);
/// Statuses remembered of one node for its rate.
const RATE_POINTS: usize = 32;

/// What one node said last.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Its words.
    pub(crate) status: NodeStatus,
    /// When they came, by this process's clocks.
    pub(crate) received: Instant,
    /// The same on the calendar.
    pub(crate) received_at: WallTime,
    points: VecDeque<(Instant, u64)>,
}

impl Heard {
    /// Attempts a second over the last seconds.
    pub(crate) fn calls_per_second(&self) -> f64 {
        let (Some(first), Some(last)) = (self.points.front(), self.points.back()) else {
            return 0.0;
        };
        let span = last.0.duration_since(first.0).as_secs_f64();
        if span == 0.0 {
            0.0
        } else {
            last.1.saturating_sub(first.1) as f64 / span
        }
    }

    /// Whether it spoke lately.
    pub(crate) fn is_fresh(&self) -> bool {
        self.received.elapsed() <= SILENCE
    }
}

/// The last word of every node.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Mutex<BTreeMap<MemberId, Heard>>);

impl Nodes {
    pub(crate) fn hear(&self, status: NodeStatus, now: Instant, wall: WallTime) {
        let mut nodes = self.0.lock();
        let attempts = status.total.attempts;
        let mut points = nodes
            .remove(&status.node)
            .map(|heard| heard.points)
            .unwrap_or_default();
        // A restarted node counts from zero.
        if points.back().is_some_and(|(_, last)| *last > attempts) {
            points.clear();
        }
        points.push_back((now, attempts));
        while points.len() > RATE_POINTS
            || points
                .front()
                .is_some_and(|(at, _)| now.duration_since(*at) > RATE_SPAN)
        {
            points.pop_front();
        }
        nodes.insert(
            status.node,
            Heard {
                status,
                received: now,
                received_at: wall,
                points,
            },
        );
    }

    pub(crate) fn of(&self, node: MemberId) -> Option<Heard> {
        self.0.lock().get(&node).cloned()
    }

    /// Those that spoke lately.
    pub(crate) fn fresh(&self) -> Vec<NodeStatus> {
        let nodes = self.0.lock();
        nodes
            .values()
            .filter(|heard| heard.is_fresh())
            .map(|heard| heard.status.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(attempts: u64) -> NodeStatus {
        let mut status = NodeStatus {
            node: MemberId(2),
            ..NodeStatus::default()
        };
        status.total.attempts = attempts;
        status
    }

    #[test]
    fn the_rate_covers_the_last_seconds_and_survives_a_restart() {
        let (nodes, begun) = (Nodes::default(), Instant::now());
        for second in 0..40u64 {
            let now = begun + Duration::from_secs(second);
            nodes.hear(said(second * 3), now, WallTime::EPOCH);
        }
        let heard = nodes.of(MemberId(2)).unwrap();
        assert!((heard.calls_per_second() - 3.0).abs() < 0.01);
        nodes.hear(said(1), begun + Duration::from_secs(41), WallTime::EPOCH);
        assert_eq!(nodes.of(MemberId(2)).unwrap().calls_per_second(), 0.0);
    }
}
