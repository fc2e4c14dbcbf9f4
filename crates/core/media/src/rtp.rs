//! RTP packets (RFC 3550, section 5): read with every length checked, written in place; and the
//! outgoing side of a leg, whose stream stays one stream whatever feeds it.

use domain::Instant;
use std::ops::Range;

use crate::{dtmf::EVENT_BYTES, g711::SAMPLE_RATE};

/// Bytes of the fixed header; all that we ever write.
pub const HEADER: usize = 12;

/// The header fields that matter to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Start of a talkspurt (RFC 3551, section 4.1).
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in samples of 125 us.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// A datagram is not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Fewer bytes than the header, its CSRC list, its extension or its padding say.
    #[error("the packet is {have} bytes where its header needs at least {need}")]
    Short {
        /// Bytes there.
        have: usize,
        /// Bytes that the header promises.
        need: usize,
    },
    /// Not version 2.
    #[error("the packet has RTP version {0}; only version 2 is spoken")]
    Version(u8),
    /// Padding count of zero.
    #[error("the padding flag is set, but the last byte counts no padding")]
    Padding,
}

impl Header {
    /// Reads a packet: its header and where its payload lies, past CSRC list and extension and
    /// before padding.
    ///
    /// # Errors
    /// When a length does not fit or the version is not 2 (RFC 3550, appendix A.1).
    pub fn read(packet: &[u8]) -> Result<(Self, Range<usize>), RtpError> {
        let have = packet.len();
        let short = |need| RtpError::Short { have, need };
        let Some(fixed) = packet.first_chunk::<HEADER>() else {
            return Err(short(HEADER));
        };
        if fixed[0] >> 6 != 2 {
            return Err(RtpError::Version(fixed[0] >> 6));
        }
        let mut start = HEADER + 4 * usize::from(fixed[0] & 15);
        if fixed[0] & 0x10 != 0 {
            let words = packet.get(start + 2..start + 4).ok_or(short(start + 4))?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        let mut end = have;
        if fixed[0] & 0x20 != 0 {
            let padding = usize::from(packet[have - 1]);
            if padding == 0 {
                return Err(RtpError::Padding);
            }
            end = have.checked_sub(padding).ok_or(short(start + padding))?;
        }
        if end < start {
            return Err(short(start + have - end));
        }
        let header = Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        Ok((header, start..end))
    }

    /// Writes the fixed header: version 2, no padding, no extension, no CSRC.
    pub fn write(&self, to: &mut [u8; HEADER]) {
        to[0] = 0x80;
        to[1] = u8::from(self.marker) << 7 | (self.payload_type & 0x7f);
        to[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        to[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        to[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

/// What feeds an outgoing stream without a break: one bridge and one source of it.
#[derive(Clone, Copy, Debug)]
struct Run {
    source: u32,
    first: u64,
    highest: u64,
    sequence_offset: u16,
    timestamp_offset: u32,
}

/// The stream that one leg's peer hears: one SSRC for the leg's life, sequence numbers without a
/// step of our making, timestamps that follow the clock across bridges, prompts and silences.
///
/// Losses and reordering of a relayed source are kept as they are, so that the peer's own
/// statistics stay true.
#[derive(Clone, Debug)]
pub struct Outgoing {
    ssrc: u32,
    /// One past the newest sequence number used.
    next: u16,
    /// The newest timestamp used, when it was used, and how many samples it carried.
    timestamp: u32,
    stamped_at: Option<Instant>,
    samples: u32,
    sent_at: Option<Instant>,
    run: Option<Run>,
    packets: u32,
    octets: u32,
}

impl Outgoing {
    /// A stream that begins at random places (RFC 3550, section 5.1).
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            ssrc,
            next: sequence,
            timestamp,
            stamped_at: None,
            samples: 0,
            sent_at: None,
            run: None,
            packets: 0,
            octets: 0,
        }
    }

    /// The leg's own SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// When the newest packet left.
    pub fn sent_at(&self) -> Option<Instant> {
        self.sent_at
    }

    /// Packets and payload bytes so far, for the sender report; both wrap (RFC 3550, 6.4.1).
    pub fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }

    /// The timestamp that a sample taken `now` would have.
    pub fn timestamp_at(&self, now: Instant) -> u32 {
        self.stamped_at.map_or(self.timestamp, |at| {
            self.timestamp.wrapping_add(samples_between(at, now))
        })
    }

    /// Ends the present run: whatever comes next starts a talkspurt of its own.
    pub fn break_off(&mut self) {
        self.run = None;
    }

    /// The header for a relayed packet, or `None` for one that is older than its run.
    ///
    /// `source` names what feeds the stream (a new value means a new stream over there) and
    /// `extended` is the packet's extended sequence number in it.
    pub fn relay(
        &mut self,
        now: Instant,
        source: u32,
        extended: u64,
        header: &Header,
        payload: (u8, usize),
    ) -> Option<Header> {
        let (payload_type, len) = payload;
        let fresh = !matches!(self.run, Some(run) if run.source == source);
        if fresh {
            self.run = Some(Run {
                source,
                first: extended,
                highest: extended,
                sequence_offset: self.next.wrapping_sub(header.sequence),
                timestamp_offset: self.onset(now).wrapping_sub(header.timestamp),
            });
        }
        let run = self.run.as_mut()?;
        if extended < run.first {
            return None;
        }
        run.highest = run.highest.max(extended);
        let out = Header {
            marker: header.marker || fresh,
            payload_type,
            sequence: header.sequence.wrapping_add(run.sequence_offset),
            timestamp: header.timestamp.wrapping_add(run.timestamp_offset),
            ssrc: self.ssrc,
        };
        self.note(now, &out, len as u32);
        Some(out)
    }

    /// A packet of the run was kept back on purpose: the ones behind it close up, so that the
    /// peer sees no loss.
    pub fn skip(&mut self, source: u32, extended: u64) {
        if let Some(run) = &mut self.run
            && run.source == source
            && extended > run.highest
        {
            run.highest = extended;
            run.sequence_offset = run.sequence_offset.wrapping_sub(1);
        }
    }

    /// The header for the next frame of our own making (prompt, tone, silence). `onset` starts a
    /// talkspurt at the clock's place; otherwise the frame joins the one before.
    pub fn own(&mut self, now: Instant, onset: bool, payload_type: u8, samples: u32) -> Header {
        self.run = None;
        let timestamp = if onset {
            self.onset(now)
        } else {
            self.timestamp.wrapping_add(self.samples)
        };
        let out = Header {
            marker: onset,
            payload_type,
            sequence: self.next,
            timestamp,
            ssrc: self.ssrc,
        };
        self.note(now, &out, samples);
        out
    }

    /// The header for a packet of a telephone event of our own. The first one is where the clock is; the
    /// others repeat its timestamp (RFC 4733, 2.5.1.2). `samples` is how long the event will last.
    pub fn event(&mut self, now: Instant, first: bool, payload_type: u8, samples: u32) -> Header {
        self.run = None;
        let timestamp = if first {
            self.onset(now)
        } else {
            self.timestamp
        };
        let out = Header {
            marker: first,
            payload_type,
            sequence: self.next,
            timestamp,
            ssrc: self.ssrc,
        };
        self.note(now, &out, EVENT_BYTES as u32);
        self.samples = samples;
        out
    }

    /// Where a new source begins: as much later as the clock went on, and at least after the
    /// samples already sent.
    fn onset(&self, now: Instant) -> u32 {
        match self.stamped_at {
            None => self.timestamp,
            Some(at) => self
                .timestamp
                .wrapping_add(samples_between(at, now).max(self.samples)),
        }
    }

    fn note(&mut self, now: Instant, out: &Header, octets: u32) {
        if out.sequence.wrapping_sub(self.next) < 0x8000 {
            self.next = out.sequence.wrapping_add(1);
        }
        let ahead = out.timestamp.wrapping_sub(self.timestamp);
        if self.stamped_at.is_none() || (ahead != 0 && ahead < 0x8000_0000) {
            self.timestamp = out.timestamp;
            self.stamped_at = Some(now);
            self.samples = octets;
        }
        self.sent_at = Some(now);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets);
    }
}

fn samples_between(from: Instant, to: Instant) -> u32 {
    (to.since(from).as_nanos() * u128::from(SAMPLE_RATE) / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc: 7,
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000 + millis)
    }

    #[test]
    fn the_payload_lies_between_extension_and_padding() {
        let mut packet = vec![0; 12];
        header(0x1234, 0xdead_beef).write(packet.first_chunk_mut().unwrap());
        packet[0] = 0x80 | 0x20 | 0x10 | 1;
        packet[1] |= 0x80;
        packet.extend([9; 4]); // one CSRC
        packet.extend([0xbe, 0xde, 0, 1, 5, 5, 5, 5]); // one word of extension
        packet.extend([1, 2, 3]);
        packet.extend([0, 2]);
        let (read, payload) = Header::read(&packet).unwrap();
        assert_eq!(&packet[payload], [1, 2, 3]);
        assert!(read.marker);
        assert_eq!((read.sequence, read.timestamp), (0x1234, 0xdead_beef));
    }

    #[test]
    fn lengths_are_never_trusted() {
        let mut packet = [0; 12];
        header(1, 1).write(&mut packet);
        assert_eq!(Header::read(&packet).unwrap().1, 12..12);
        for (first, last, error) in [
            (0x81, 0, RtpError::Short { have: 12, need: 16 }),
            (0x90, 0, RtpError::Short { have: 12, need: 16 }),
            (0xa0, 13, RtpError::Short { have: 12, need: 25 }),
            (0xa0, 1, RtpError::Short { have: 12, need: 13 }),
            (0xa0, 0, RtpError::Padding),
            (0x40, 0, RtpError::Version(1)),
        ] {
            packet[0] = first;
            packet[11] = last;
            assert_eq!(Header::read(&packet), Err(error));
        }
        assert_eq!(
            Header::read(&packet[..11]),
            Err(RtpError::Short { have: 11, need: 12 })
        );
    }

    #[test]
    fn a_change_of_source_is_no_step() {
        let mut out = Outgoing::new(99, 65_534, 0xffff_ff00);
        let first = out.relay(at(0), 1, 500, &header(500, 9_000), (0, 160));
        assert_eq!(first.unwrap().sequence, 65_534);
        assert!(first.unwrap().marker);
        // Lost over there, lost over here.
        let third = out
            .relay(at(40), 1, 502, &header(502, 9_320), (0, 160))
            .unwrap();
        assert_eq!(third.sequence, 0);
        assert_eq!(third.timestamp, 0xffff_ff00u32.wrapping_add(320));
        assert!(!third.marker);
        // Another source half a second later: next number, half a second of samples.
        let other = out.relay(at(540), 2, 7, &header(7, 77), (8, 160)).unwrap();
        assert_eq!(other.sequence, 1);
        assert_eq!(other.timestamp, third.timestamp.wrapping_add(4_000));
        assert!(other.marker);
        // A packet from before the change has no place any more.
        assert_eq!(out.relay(at(541), 2, 6, &header(6, 1), (8, 160)), None);
        // Our own frames go on from there, never less than what was sent.
        let own = out.own(at(545), true, 0, 160);
        assert_eq!((own.sequence, own.marker), (2, true));
        assert_eq!(own.timestamp, other.timestamp.wrapping_add(160));
        assert_eq!(
            out.own(at(999), false, 0, 160).timestamp,
            own.timestamp.wrapping_add(160)
        );
    }

    #[test]
    fn packets_kept_back_leave_no_gap() {
        let mut out = Outgoing::new(1, 10, 0);
        let relay = |out: &mut Outgoing, n: u16| {
            out.relay(
                at(0),
                1,
                u64::from(n),
                &header(n, u32::from(n) * 160),
                (0, 160),
            )
            .unwrap()
            .sequence
        };
        assert_eq!(relay(&mut out, 100), 10);
        out.skip(1, 101);
        out.skip(1, 102);
        assert_eq!(relay(&mut out, 103), 11);
        assert_eq!(relay(&mut out, 104), 12);
    }

    #[test]
    fn repeated_event_timestamps_do_not_hold_the_clock() {
        // RFC 4733: every packet of one event has the event's first timestamp.
        let mut out = Outgoing::new(1, 0, 0);
        for n in 0..10 {
            out.relay(
                at(u64::from(n) * 20),
                1,
                u64::from(n),
                &header(n, 50),
                (101, 4),
            );
        }
        let after = out.own(at(400), true, 0, 160);
        assert_eq!(after.timestamp, 400 * 8);
        assert_eq!(out.timestamp_at(at(500)), 500 * 8);
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_payloads_lie_inside(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok((_, payload)) = Header::read(&bytes) {
                prop_assert!(payload.start >= HEADER && payload.start <= payload.end);
                prop_assert!(payload.end <= bytes.len());
            }
        }

        #[test]
        fn what_is_written_is_read(marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            let mut bytes = [0; HEADER];
            header.write(&mut bytes);
            prop_assert_eq!(Header::read(&bytes), Ok((header, HEADER..HEADER)));
        }

        /// Over any mixture of sources without loss, the numbers count up by one and the
        /// timestamps never go back.
        #[test]
        fn streams_are_continuous(turns in proptest::collection::vec((0u8..4, 1u64..400), 1..200)) {
            let mut out = Outgoing::new(5, 65_000, u32::MAX - 5_000);
            let (mut clock, mut before): (u64, Option<Header>) = (0, None);
            let mut sources = [(0u64, 0u32); 3];
            for (n, (who, wait)) in turns.into_iter().enumerate() {
                clock += wait;
                let next = if who == 3 {
                    out.own(at(clock), true, 0, 160)
                } else {
                    // Each source runs its own clock of 20 ms frames.
                    let (extended, timestamp) = &mut sources[usize::from(who)];
                    *extended += 1;
                    *timestamp = timestamp.wrapping_add(160);
                    // Changing hands each time makes every packet an onset.
                    out.relay(at(clock), n as u32, *extended, &header(*extended as u16, *timestamp), (0, 160)).unwrap()
                };
                if let Some(before) = before {
                    prop_assert_eq!(next.sequence, before.sequence.wrapping_add(1));
                    let step = next.timestamp.wrapping_sub(before.timestamp);
                    prop_assert!((160..400 * 8).contains(&step));
                }
                before = Some(next);
            }
        }
    }

    #[test]
    fn a_minute_is_480000_samples() {
        let from = at(0);
        assert_eq!(
            samples_between(from, from + Duration::from_secs(60)),
            480_000
        );
    }
}
