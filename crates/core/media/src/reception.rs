//! What came in, by RFC 3550: extended sequence numbers and restarts (A.1), loss (A.3), jitter
//! (A.8), and beyond it duplicates and reordering.

use domain::Instant;

use crate::rtcp::ReportBlock;
use crate::rtp::Header;

/// A jump forward of fewer numbers than this is loss (RFC 3550, A.1).
const MAX_DROPOUT: u16 = 3_000;
/// A step back of fewer numbers than this is reordering (RFC 3550, A.1).
const MAX_MISORDER: u16 = 100;
/// Nanoseconds of one sample at 8 kHz.
const SAMPLE_NANOS: i64 = 125_000;

/// What one packet was to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// To be played; the number is its extended sequence number.
    Good(u64),
    /// Seen before.
    Duplicate,
    /// Far from where the stream was. Two in a row are a restart; one is an error.
    Stray,
}

/// Counts over the life of a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceptionCounts {
    /// Packets that came, each once.
    pub received: u64,
    /// Packets that the sequence numbers say were sent.
    pub expected: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
}

impl ReceptionCounts {
    /// Packets that never came.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

#[derive(Clone, Debug)]
struct Source {
    ssrc: u32,
    base: u64,
    highest: u64,
    /// Which of the 128 numbers up to `highest` came; bit 0 is `highest`.
    seen: u128,
    received: u64,
    /// The number that would make a restart of a stray.
    restart_at: Option<u16>,
    /// Arrival and timestamp of the newest audio packet.
    transit: Option<(Instant, u32)>,
}

/// The reception statistics of one leg.
#[derive(Clone, Debug, Default)]
pub struct Reception {
    source: Option<Source>,
    /// Streams before the present one.
    past: ReceptionCounts,
    duplicates: u64,
    reordered: u64,
    jitter_nanos: i64,
    /// How many streams there were: names the present one.
    streams: u32,
    /// What the last report block was reckoned from.
    prior: (u64, u64),
}

impl Source {
    fn new(header: &Header) -> Self {
        // One turn up, so that reordered packets before the first do not go below zero.
        let extended = 0x1_0000 + u64::from(header.sequence);
        Self {
            ssrc: header.ssrc,
            base: extended,
            highest: extended,
            seen: 1,
            received: 1,
            restart_at: None,
            transit: None,
        }
    }
}

impl Reception {
    /// Takes note of one packet. `audio` packets count for jitter; telephone events repeat their
    /// timestamp and would spoil it.
    pub fn note(&mut self, now: Instant, header: &Header, audio: bool) -> Arrival {
        let arrival = self.place(header);
        if let (Arrival::Good(_), true, Some(source)) = (arrival, audio, &mut self.source) {
            if let Some((at, timestamp)) = source.transit {
                let apart = now.since(at).as_nanos() as i64;
                let said = i64::from(header.timestamp.wrapping_sub(timestamp) as i32);
                // A timestamp jump of more than a minute is a new clock, not jitter.
                if said.abs() < 480_000 {
                    let difference = (apart - said * SAMPLE_NANOS).abs();
                    self.jitter_nanos += (difference - self.jitter_nanos) / 16;
                }
            }
            source.transit = Some((now, header.timestamp));
        }
        arrival
    }

    fn place(&mut self, header: &Header) -> Arrival {
        let Some(source) = self.source.as_mut().filter(|s| s.ssrc == header.ssrc) else {
            return self.begin(header);
        };
        let step = header.sequence.wrapping_sub(source.highest as u16);
        if step == 0 {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        if step < MAX_DROPOUT {
            source.highest += u64::from(step);
            source.seen = source.seen.checked_shl(u32::from(step)).unwrap_or(0) | 1;
            source.received += 1;
            source.restart_at = None;
            return Arrival::Good(source.highest);
        }
        let back = step.wrapping_neg();
        if back <= MAX_MISORDER {
            let extended = source.highest - u64::from(back);
            let bit = 1u128 << back;
            if source.seen & bit != 0 {
                self.duplicates += 1;
                return Arrival::Duplicate;
            }
            source.seen |= bit;
            source.base = source.base.min(extended);
            source.received += 1;
            self.reordered += 1;
            return Arrival::Good(extended);
        }
        if source.restart_at == Some(header.sequence) {
            return self.begin(header);
        }
        source.restart_at = Some(header.sequence.wrapping_add(1));
        Arrival::Stray
    }

    fn begin(&mut self, header: &Header) -> Arrival {
        let counts = self.counts();
        self.past = ReceptionCounts {
            duplicates: 0,
            reordered: 0,
            ..counts
        };
        self.streams = self.streams.wrapping_add(1);
        self.prior = (0, 0);
        let source = self.source.insert(Source::new(header));
        Arrival::Good(source.highest)
    }

    /// Names the present stream of this leg; changes with its SSRC and when it restarts.
    pub fn stream(&self) -> u32 {
        self.streams
    }

    /// Counts so far.
    pub fn counts(&self) -> ReceptionCounts {
        let (received, expected) = self
            .source
            .as_ref()
            .map_or((0, 0), |s| (s.received, s.highest - s.base + 1));
        ReceptionCounts {
            received: self.past.received + received,
            expected: self.past.expected + expected,
            duplicates: self.duplicates,
            reordered: self.reordered,
        }
    }

    /// Interarrival jitter in microseconds.
    pub fn jitter_us(&self) -> u32 {
        (self.jitter_nanos / 1_000) as u32
    }

    /// The report block for the present source, and the start of the next one's interval
    /// (RFC 3550, 6.4.1 and A.3). The caller fills in the last sender report.
    pub fn report(&mut self) -> Option<ReportBlock> {
        let source = self.source.as_ref()?;
        let expected = source.highest - source.base + 1;
        let expected_now = expected - self.prior.0.min(expected);
        let received_now = source.received - self.prior.1.min(source.received);
        let lost_now = expected_now.saturating_sub(received_now);
        self.prior = (expected, source.received);
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: (lost_now * 256)
                .checked_div(expected_now)
                .unwrap_or(0)
                .min(255) as u8,
            lost: expected.saturating_sub(source.received).min(0x7f_ffff) as i32,
            highest: (source.highest as u32).wrapping_sub(0x1_0000),
            jitter: (self.jitter_nanos / SAMPLE_NANOS) as u32,
            last_sender_report: 0,
            delay: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(sequence: u16) -> Header {
        Header {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp: u32::from(sequence).wrapping_mul(160),
            ssrc: 1,
        }
    }

    fn take(reception: &mut Reception, sequence: u16) -> Arrival {
        reception.note(Instant::ZERO, &packet(sequence), false)
    }

    #[test]
    fn loss_is_exact_over_the_wrap() {
        let mut reception = Reception::default();
        for sequence in [65_533, 65_534, 0, 1, 65_535, 4, 4, 3] {
            take(&mut reception, sequence);
        }
        let counts = reception.counts();
        assert_eq!(counts.expected, 8); // 65533 to 4
        assert_eq!(counts.received, 7);
        assert_eq!(counts.lost(), 1); // 2
        assert_eq!(counts.duplicates, 1);
        assert_eq!(counts.reordered, 2);
    }

    #[test]
    fn one_stray_is_dropped_and_two_in_a_row_are_a_restart() {
        let mut reception = Reception::default();
        assert!(matches!(take(&mut reception, 10), Arrival::Good(_)));
        assert_eq!(take(&mut reception, 30_000), Arrival::Stray);
        assert!(matches!(take(&mut reception, 11), Arrival::Good(_)));
        assert_eq!(take(&mut reception, 40_000), Arrival::Stray);
        let before = reception.stream();
        assert!(matches!(take(&mut reception, 40_001), Arrival::Good(_)));
        assert_ne!(reception.stream(), before);
        assert_eq!(reception.counts().lost(), 0);
        assert_eq!(reception.counts().received, 3);
    }

    #[test]
    fn a_packet_before_the_first_is_reordered_not_lost() {
        let mut reception = Reception::default();
        take(&mut reception, 0);
        assert_eq!(take(&mut reception, 65_535), Arrival::Good(0xffff));
        assert_eq!(reception.counts().lost(), 0);
        assert_eq!(reception.counts().expected, 2);
    }

    #[test]
    fn even_spacing_has_no_jitter_and_alternation_has() {
        let mut reception = Reception::default();
        for n in 0..100u64 {
            reception.note(Instant::from_millis(n * 20), &packet(n as u16), true);
        }
        assert_eq!(reception.jitter_us(), 0);
        for n in 100..400u64 {
            let late = if n % 2 == 0 { 4 } else { 0 };
            reception.note(Instant::from_millis(n * 20 + late), &packet(n as u16), true);
        }
        assert!((3_900..=4_000).contains(&reception.jitter_us()));
    }

    #[test]
    fn report_blocks_tell_the_interval_and_the_whole() {
        let mut reception = Reception::default();
        for sequence in (0..100).filter(|n| n % 4 != 1) {
            take(&mut reception, sequence);
        }
        let block = reception.report().unwrap();
        assert_eq!((block.fraction_lost, block.lost), (64, 25));
        assert_eq!(block.highest, 99);
        for sequence in 100..200 {
            take(&mut reception, sequence);
        }
        let block = reception.report().unwrap();
        assert_eq!((block.fraction_lost, block.lost), (0, 25));
    }

    proptest! {
        /// Any order within the window and any loss: the counts are those of the sets.
        #[test]
        fn counts_are_exact(start: u16, marks in proptest::collection::vec((any::<bool>(), 0u8..60, any::<bool>()), 2..300)) {
            let mut order: Vec<(usize, u16)> = Vec::new();
            let last = marks.len() - 1;
            for (n, (lost, delay, twice)) in marks.iter().enumerate() {
                // The first and last arrive in place, so that the span is known.
                let edge = n == 0 || n == last;
                let delay = if edge { 0 } else { usize::from(*delay) };
                if *lost && !edge { continue; }
                let slot = if n == last { usize::MAX - 1 } else { n + delay };
                order.push((slot, start.wrapping_add(n as u16)));
                if *twice { order.push((slot, start.wrapping_add(n as u16))); }
            }
            order.sort_by_key(|(slot, _)| *slot);
            let mut reception = Reception::default();
            for (_, sequence) in &order {
                take(&mut reception, *sequence);
            }
            let mut unique: Vec<u16> = order.iter().map(|(_, s)| *s).collect();
            unique.sort_unstable();
            unique.dedup();
            let counts = reception.counts();
            prop_assert_eq!(counts.received, unique.len() as u64);
            prop_assert_eq!(counts.duplicates, (order.len() - unique.len()) as u64);
            prop_assert_eq!(counts.expected, marks.len() as u64);
        }
    }
}
