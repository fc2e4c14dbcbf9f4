//! The time of what is heard from a leg: packets that were lost, late or never sent are silence to
//! whoever listens.

use domain::{Instant, limits};
use std::time::Duration;

/// Samples in a millisecond.
const PER_MS: u64 = 8;
/// A gap in the timestamps of more than this is a new clock, not silence.
const GAP_MAX: u32 = 8_000;
/// Nothing for so long is silence that is not sent (RFC 3389), or a dead line: it is heard as
/// silence from here on. Late packets are earlier.
const IDLE: Duration = Duration::from_millis(200);
/// What silence is given in.
const STEP: Duration = Duration::from_millis(20);

/// Says how many samples of silence a listener hears, and when.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// The stream, and the timestamp that follows what was heard of it.
    next: Option<(u32, u32)>,
    /// Up to when everything was heard.
    until: Instant,
    /// Samples of silence that were heard because nothing came: a gap in the timestamps behind them
    /// is no further silence.
    ahead: u32,
}

impl Timeline {
    /// From now on.
    pub const fn new(now: Instant) -> Self {
        Self {
            next: None,
            until: now,
            ahead: 0,
        }
    }

    /// So many samples came with that timestamp of that stream. Says how many samples of silence come
    /// before them; none when the packet is too late to be heard.
    pub fn packet(
        &mut self,
        now: Instant,
        stream: u32,
        timestamp: u32,
        samples: u32,
    ) -> Option<u32> {
        let known = self.next.filter(|(known, _)| *known == stream);
        let gap = known.map_or(0, |(_, next)| timestamp.wrapping_sub(next));
        // In the upper half of the numbers: from before what was heard.
        if gap > u32::MAX / 2 {
            return None;
        }
        let gap = if gap > GAP_MAX.saturating_add(self.ahead) {
            0
        } else {
            gap
        };
        let silence = gap.saturating_sub(self.ahead);
        self.ahead = 0;
        self.next = Some((stream, timestamp.wrapping_add(samples)));
        self.until = now;
        Some(silence)
    }

    /// How many samples of silence are to be heard because nothing came. At most
    /// [`limits::ANSWERING`] in one go.
    pub fn idle(&mut self, now: Instant) -> u32 {
        let span = now.since(self.until);
        if span < IDLE && self.ahead == 0 {
            return 0;
        }
        let steps = span.min(limits::ANSWERING).as_millis() / STEP.as_millis();
        let steps = u32::try_from(steps).unwrap_or(0);
        self.until = if span > limits::ANSWERING {
            now
        } else {
            self.until + STEP * steps
        };
        let samples = steps * (STEP.as_millis() as u64 * PER_MS) as u32;
        self.ahead = self.ahead.saturating_add(samples);
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000 + millis)
    }

    #[test]
    fn lost_packets_are_silence_and_late_ones_are_not_heard() {
        let mut line = Timeline::new(at(0));
        assert_eq!(line.packet(at(0), 1, 5_000, 160), Some(0));
        assert_eq!(line.packet(at(20), 1, 5_160, 160), Some(0));
        assert_eq!(
            line.packet(at(60), 1, 5_480, 160),
            Some(160),
            "one was lost"
        );
        assert_eq!(line.packet(at(70), 1, 5_320, 160), None, "and came late");
        assert_eq!(line.packet(at(80), 1, 5_640, 160), Some(0));
    }

    #[test]
    fn timestamps_wrap_and_new_clocks_are_no_silence() {
        let mut line = Timeline::new(at(0));
        line.packet(at(0), 1, u32::MAX - 159, 160);
        assert_eq!(line.packet(at(20), 1, 0, 160), Some(0));
        assert_eq!(line.packet(at(40), 1, 160 + GAP_MAX, 160), Some(GAP_MAX));
        let far = 160 + 2 * GAP_MAX + 161;
        assert_eq!(line.packet(at(60), 1, far, 160), Some(0));
        assert_eq!(line.packet(at(80), 2, 77, 160), Some(0), "another stream");
    }

    #[test]
    fn who_sends_no_silence_is_heard_to_be_silent() {
        let mut line = Timeline::new(at(0));
        line.packet(at(0), 1, 0, 160);
        assert_eq!(line.idle(at(199)), 0, "late packets are waited for");
        assert_eq!(line.idle(at(200)), 1_600);
        assert_eq!(line.idle(at(210)), 0);
        assert_eq!(line.idle(at(245)), 320);
        // Speech again: what was heard as silence already is not heard twice.
        assert_eq!(line.packet(at(260), 1, 2_080, 160), Some(0));
        assert_eq!(line.idle(at(300)), 0);
    }

    #[test]
    fn a_line_without_any_packet_is_silent_and_a_long_sleep_is_bounded() {
        let mut line = Timeline::new(at(0));
        assert_eq!(line.idle(at(1_000)), 8_000);
        let bound = limits::ANSWERING.as_millis() as u32 * PER_MS as u32;
        assert_eq!(line.idle(at(3_600_000)), bound);
        assert_eq!(line.idle(at(3_600_000)), 0);
    }
}
