//! How many leads to hold ready: enough that dialing never waits for a claim, few enough that a
//! node that dies takes few with it.

use domain::Instant;
use domain::limits::{CLAIM_BATCH, SESSION_LEASES};
use std::time::Duration;

/// So much dialing should lie ready.
pub const HORIZON: Duration = Duration::from_secs(10);
const BUCKETS: usize = 10;

/// One campaign's leads at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct View {
    /// Leads in the hopper.
    pub leads: u32,
    /// Leads asked for that have not come.
    pub claiming: u32,
    /// Leads leased to the session in all, this campaign's hopper and lines included.
    pub leased: u32,
    /// Lines a controller would have with every agent ready, or has: the larger.
    pub lines: u32,
    /// Dials in the last [`HORIZON`] ([`DialRate::dials`]).
    pub dials: u32,
    /// Agents on shift who take calls of the campaign; without any no lead is held.
    pub agents: u32,
}

/// How many leads to claim now. Nothing while half of what should lie ready is there: one claim a
/// few seconds, not one a call.
pub fn wanted(view: &View) -> u32 {
    if view.agents == 0 {
        return 0;
    }
    let target = view.dials.max(view.lines.saturating_mul(2));
    let have = view.leads.saturating_add(view.claiming);
    if have > target / 2 {
        return 0;
    }
    let room = (SESSION_LEASES as u32).saturating_sub(view.leased.saturating_add(view.claiming));
    (target - have).min(CLAIM_BATCH as u32).min(room)
}

/// Counts dials of the last [`HORIZON`], by whole seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct DialRate {
    /// Dials in each of the last seconds, by second modulo.
    buckets: [u32; BUCKETS],
    /// The second last written to.
    second: u64,
}

impl DialRate {
    /// Notes one dial.
    pub fn note(&mut self, now: Instant) {
        self.turn(now);
        self.buckets[self.second as usize % BUCKETS] += 1;
    }

    /// Dials in the last [`HORIZON`].
    pub fn dials(&mut self, now: Instant) -> u32 {
        self.turn(now);
        self.buckets.iter().sum()
    }

    fn turn(&mut self, now: Instant) {
        let second = now.as_nanos() / 1_000_000_000;
        let passed = second.saturating_sub(self.second).min(BUCKETS as u64);
        for back in 0..passed {
            self.buckets[(second - back) as usize % BUCKETS] = 0;
        }
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_lie_ready_for_the_horizon() {
        let view = View {
            agents: 10,
            ..View::default()
        };
        for (leads, claiming, leased, lines, dials, expected) in [
            (0, 0, 0, 10, 0, 20),
            (0, 0, 0, 10, 50, 50),
            (25, 0, 30, 10, 50, 25),
            (26, 0, 30, 10, 50, 0), // half is there
            (0, 30, 10, 10, 50, 0), // a claim is under way
            (0, 0, 0, 1000, 0, CLAIM_BATCH as u32),
            (0, 0, SESSION_LEASES as u32, 10, 50, 0),
            (0, 0, SESSION_LEASES as u32 - 7, 10, 50, 7),
            (0, 0, 0, 0, 0, 0),
        ] {
            let view = View {
                leads,
                claiming,
                leased,
                lines,
                dials,
                ..view
            };
            assert_eq!(wanted(&view), expected, "{view:?}");
            assert_eq!(wanted(&View { agents: 0, ..view }), 0);
        }
    }

    #[test]
    fn dials_are_forgotten_after_the_horizon() {
        let mut rate = DialRate::default();
        let at = |s: u64| Instant::from_millis(s * 1000 + 500);
        for s in 0..20 {
            rate.note(at(s));
            rate.note(at(s));
        }
        assert_eq!(rate.dials(at(19)), 20);
        assert_eq!(rate.dials(at(24)), 10);
        assert_eq!(rate.dials(at(29)), 0);
        assert_eq!(rate.dials(at(10_000)), 0);
    }
}
