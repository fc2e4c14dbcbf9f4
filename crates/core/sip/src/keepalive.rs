//! Does the trunk live? OPTIONS at an interval, with hysteresis.

use crate::flow::Flow;
use sansio::{Stream, table, transitions::Table};
use std::time::Duration;

/// Unanswered probes in a row that make a trunk down.
const LOSSES: u8 = 3;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is known about a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing heard, nothing missed long enough.
    Unknown,
    /// It answered, with whatever final response.
    Up,
    /// It did not, several times in a row.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Answered,
    Lost,
}

pub(crate) const TABLE: Table<Health, Event> = table!("trunk health", Health, Event;
    Unknown: Answered => Up,
    Unknown: Lost => Down,
    Up: Lost => Down,
    Down: Answered => Up,
);

/// One watched trunk.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) flow: Flow,
    pub(crate) interval: Duration,
    pub(crate) health: Health,
    /// The probe under way.
    pub(crate) probe: Option<crate::slots::Id>,
    losses: u8,
}

impl Watch {
    pub(crate) fn new(flow: Flow, interval: Duration) -> Self {
        Self {
            flow,
            interval,
            health: Health::Unknown,
            probe: None,
            losses: 0,
        }
    }

    /// Whether an answer or a loss changed the verdict.
    pub(crate) fn heard(&mut self, answered: bool) -> bool {
        let event = if answered {
            self.losses = 0;
            Event::Answered
        } else {
            self.losses = self.losses.saturating_add(1);
            if self.losses < LOSSES {
                return false;
            }
            Event::Lost
        };
        match TABLE.next(self.health, event) {
            Some(next) => {
                self.health = next;
                true
            }
            None => false,
        }
    }

    /// When to ask next: the interval, 10 % either way; sooner while in doubt, so that a dead trunk
    /// is known after about one interval.
    pub(crate) fn next_after(&self, stream: &mut Stream) -> Duration {
        let base = match self.losses {
            1.. if self.health != Health::Down => self.interval.min(Duration::from_secs(1)),
            _ => self.interval,
        };
        base * (900 + stream.below(200)) / 1000
    }

    /// How long to wait for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.interval.min(PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::SipTransport;

    #[test]
    fn the_drawing_is_the_table() {
        insta::assert_snapshot!("keepalive", TABLE.drawing());
    }

    #[test]
    fn three_losses_down_one_answer_up() {
        let address = "192.0.2.1:5060".parse().expect("address");
        let flow = Flow {
            transport: SipTransport::Udp,
            local: address,
            remote: address,
        };
        let mut watch = Watch::new(flow, Duration::from_secs(30));
        assert!(watch.heard(true) && !watch.heard(true));
        assert!(!watch.heard(false) && !watch.heard(false));
        let mut stream = sansio::Seed::from_u64(1).stream("keepalive");
        assert!(watch.next_after(&mut stream) < Duration::from_secs(2));
        assert!(watch.heard(false) && !watch.heard(false));
        assert_eq!(watch.health, Health::Down);
        assert!(watch.next_after(&mut stream) >= Duration::from_secs(27));
        assert!(watch.heard(true));
        assert!(!watch.heard(false) && !watch.heard(true));
    }
}
