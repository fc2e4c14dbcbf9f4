//! The numbers of the packets that one browser is sent. Legs come and go, each with sequence numbers
//! and timestamps that begin anywhere; to the browser it is one stream, whose numbers go on: SRTP drops
//! what seems old (RFC 3711 section 3.3.1), and a player what seems late.

use std::time::{Duration, Instant};

/// Samples of a millisecond.
const SAMPLES: u32 = 8;
/// A pause is not made longer than this by its timestamps.
const LONGEST: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The newest sequence number sent, extended: SRTP counts the wraps; its timestamp, and when.
    newest: Option<(u64, u32, Instant)>,
    /// What is added to the leg's own numbers.
    shift: (u16, u32),
    /// The next packet is another leg's first.
    another: bool,
}

impl Numbers {
    /// What comes from here on is another leg's.
    pub(super) fn another_leg(&mut self) {
        self.another = true;
    }

    /// Sequence number and timestamp that a leg's packet is sent with; none for one from before the
    /// stream began.
    pub(super) fn of(&mut self, sequence: u16, timestamp: u32, now: Instant) -> Option<(u64, u32)> {
        if std::mem::take(&mut self.another)
            && let Some((newest, newest_timestamp, at)) = self.newest
        {
            let passed = now.saturating_duration_since(at).min(LONGEST).as_millis() as u32;
            let follows = newest_timestamp.wrapping_add(passed.max(1).wrapping_mul(SAMPLES));
            self.shift = (
                (newest as u16).wrapping_add(1).wrapping_sub(sequence),
                follows.wrapping_sub(timestamp),
            );
        }
        let timestamp = timestamp.wrapping_add(self.shift.1);
        let newest = self.newest.map(|(newest, ..)| newest);
        let sequence = extend(newest, sequence.wrapping_add(self.shift.0))?;
        if newest.is_none_or(|newest| sequence > newest) {
            self.newest = Some((sequence, timestamp, now));
        }
        Some((sequence, timestamp))
    }
}

/// The sequence number nearest to the newest one; the first begins within the first round. None for
/// one from before that.
fn extend(newest: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(newest) = newest else {
        return Some(u64::from(sequence));
    };
    let ahead = sequence.wrapping_sub(newest as u16);
    if ahead < 0x8000 {
        Some(newest + u64::from(ahead))
    } else {
        newest.checked_sub(u64::from(ahead.wrapping_neg()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_go_on_past_their_end() {
        assert_eq!(extend(None, 65_535), Some(65_535));
        assert_eq!(extend(Some(65_535), 0), Some(65_536));
        assert_eq!(extend(Some(65_536), 65_535), Some(65_535));
        assert_eq!(extend(Some(65_536), 1), Some(65_537));
        assert_eq!(extend(Some(70_000), 70_000_u64 as u16), Some(70_000));
        // A late packet of a stream that has only just begun.
        assert_eq!(extend(Some(1), 65_535), None);
    }

    #[test]
    fn another_leg_goes_on_where_the_last_one_was_whatever_its_numbers() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        for first in [0, 5, 20_000, 33_000, 65_530] {
            let mut numbers = Numbers::default();
            numbers.another_leg();
            assert_eq!(numbers.of(9_000, 500, at(0)), Some((9_000, 500)));
            assert_eq!(numbers.of(9_002, 820, at(40)), Some((9_002, 820)));
            // One that was overtaken keeps its place.
            assert_eq!(numbers.of(9_001, 660, at(41)), Some((9_001, 660)));
            numbers.another_leg();
            let timestamp = u32::from(first).wrapping_mul(77_777);
            let after = 820 + 60 * SAMPLES;
            assert_eq!(
                numbers.of(first, timestamp, at(100)),
                Some((9_003, after)),
                "{first}"
            );
            let next = numbers.of(first.wrapping_add(1), timestamp.wrapping_add(160), at(120));
            assert_eq!(next, Some((9_004, after + 160)));
        }
    }
}
