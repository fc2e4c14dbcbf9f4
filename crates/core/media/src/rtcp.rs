//! RTCP (RFC 3550, section 6): sender and receiver reports read and written, the source's name.

use std::time::Duration;

/// One report on one source (RFC 3550, 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Share lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the start; 24 bits, signed.
    pub lost: i32,
    /// Extended highest sequence number received.
    pub highest: u32,
    /// Interarrival jitter in samples.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time in the last sender report; zero when there was none.
    pub last_sender_report: u32,
    /// Time since that report, in 65,536ths of a second.
    pub delay: u32,
}

/// What a sender says of its own stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time, 32.32 bits.
    pub ntp: u64,
    /// The same moment on the stream's clock.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// One packet of a compound that we understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A sender report's own part.
    Sender(u32, SenderInfo),
    /// A report block, with the SSRC of who reports.
    Block(u32, ReportBlock),
    /// The source leaves.
    Goodbye(u32),
}

/// A datagram is not an RTCP compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the RTCP compound breaks at byte {at}: a version other than 2, or a length past the end")]
pub struct RtcpError {
    /// Where.
    pub at: usize,
}

/// Bytes that [`write()`] needs at most, with a name of the greatest length.
pub const WRITE_BYTES: usize = 8 + 20 + 24 + 8 + 2 + 255 + 4;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// Whether a datagram on an RTP port is RTCP (RFC 5761, section 4).
pub fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet, [_, 192..=223, ..])
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u32::from_be_bytes(*b))
}

fn block(bytes: &[u8], at: usize) -> Option<ReportBlock> {
    let loss = word(bytes, at + 4)?;
    Some(ReportBlock {
        ssrc: word(bytes, at)?,
        fraction_lost: (loss >> 24) as u8,
        // Shifted up and down again, the 24th bit becomes the sign.
        lost: ((loss << 8) as i32) >> 8,
        highest: word(bytes, at + 8)?,
        jitter: word(bytes, at + 12)?,
        last_sender_report: word(bytes, at + 16)?,
        delay: word(bytes, at + 20)?,
    })
}

/// Reads a compound and calls `each` with what it holds; other packet types are passed over.
///
/// # Errors
/// When a version or a length is wrong; what came before was already told.
pub fn read(bytes: &[u8], mut each: impl FnMut(Report)) -> Result<(), RtcpError> {
    let mut at = 0;
    while at < bytes.len() {
        let error = RtcpError { at };
        let head = word(bytes, at).ok_or(error)?;
        let len = 4 * (head as usize & 0xffff) + 4;
        let packet = bytes.get(at..at + len).ok_or(error)?;
        if head >> 30 != 2 {
            return Err(error);
        }
        let count = (head >> 24) as usize & 31;
        let kind = (head >> 16) as u8;
        let first = match kind {
            SENDER_REPORT => 28,
            _ => 8,
        };
        match kind {
            SENDER_REPORT | RECEIVER_REPORT => {
                let ssrc = word(packet, 4).ok_or(error)?;
                if kind == SENDER_REPORT {
                    each(Report::Sender(ssrc, sender_info(packet).ok_or(error)?));
                }
                for n in 0..count {
                    each(Report::Block(
                        ssrc,
                        block(packet, first + 24 * n).ok_or(error)?,
                    ));
                }
            }
            GOODBYE => {
                for n in 0..count {
                    each(Report::Goodbye(word(packet, 4 + 4 * n).ok_or(error)?));
                }
            }
            _ => {}
        }
        at += len;
    }
    Ok(())
}

fn sender_info(packet: &[u8]) -> Option<SenderInfo> {
    Some(SenderInfo {
        ntp: u64::from(word(packet, 8)?) << 32 | u64::from(word(packet, 12)?),
        timestamp: word(packet, 16)?,
        packets: word(packet, 20)?,
        octets: word(packet, 24)?,
    })
}

/// Writes a compound: a sender report, or a receiver report when there is no `sender`, with at
/// most one block, and the canonical name (RFC 3550, 6.1 wants both). Returns its length.
///
/// # Panics
/// When `to` is shorter than [`WRITE_BYTES`] or `name` longer than 255 bytes.
pub fn write(
    to: &mut [u8],
    ssrc: u32,
    sender: Option<SenderInfo>,
    block: Option<ReportBlock>,
    name: &str,
) -> usize {
    assert!(
        to.len() >= WRITE_BYTES && name.len() <= 255,
        "bounds of the caller"
    );
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        to[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    let kind = if sender.is_some() {
        SENDER_REPORT
    } else {
        RECEIVER_REPORT
    };
    let words = 1 + 5 * usize::from(sender.is_some()) + 6 * usize::from(block.is_some());
    put(&[0x80 | u8::from(block.is_some()), kind, 0, words as u8]);
    put(&ssrc.to_be_bytes());
    if let Some(sender) = sender {
        put(&sender.ntp.to_be_bytes());
        put(&sender.timestamp.to_be_bytes());
        put(&sender.packets.to_be_bytes());
        put(&sender.octets.to_be_bytes());
    }
    if let Some(block) = block {
        put(&block.ssrc.to_be_bytes());
        let loss = u32::from(block.fraction_lost) << 24 | (block.lost as u32 & 0xff_ffff);
        put(&loss.to_be_bytes());
        put(&block.highest.to_be_bytes());
        put(&block.jitter.to_be_bytes());
        put(&block.last_sender_report.to_be_bytes());
        put(&block.delay.to_be_bytes());
    }
    // One chunk: SSRC, CNAME item, then at least one zero up to the next word.
    let padding = 4 - (2 + name.len()) % 4;
    let words = 1 + (2 + name.len() + padding) / 4;
    put(&[0x81, SOURCE_DESCRIPTION, 0, words as u8]);
    put(&ssrc.to_be_bytes());
    put(&[1, name.len() as u8]);
    put(name.as_bytes());
    put(&[0; 4][..padding]);
    at
}

/// The round trip that a report block tells (RFC 3550, figure 2), or `None` when it names no
/// sender report or says that it was answered before it was sent.
pub fn round_trip(now_ntp: u64, block: &ReportBlock) -> Option<Duration> {
    if block.last_sender_report == 0 {
        return None;
    }
    let now = (now_ntp >> 16) as u32;
    let parts = now
        .wrapping_sub(block.last_sender_report)
        .wrapping_sub(block.delay);
    // A minute or more is a clock that stepped or a peer that lies.
    (parts < 60 << 16).then(|| Duration::from_nanos((u64::from(parts) * 1_000_000_000) >> 16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> (SenderInfo, ReportBlock) {
        (
            SenderInfo {
                ntp: 0x0123_4567_89ab_cdef,
                timestamp: 4,
                packets: 5,
                octets: 6,
            },
            ReportBlock {
                ssrc: 7,
                fraction_lost: 8,
                lost: -9,
                highest: 10,
                jitter: 11,
                last_sender_report: 12,
                delay: 13,
            },
        )
    }

    #[test]
    fn what_is_written_is_read() {
        let (sender, block) = sample();
        for name in ["", "a", "ab", "abc", "leg@node"] {
            let mut bytes = [0xee; WRITE_BYTES];
            let len = write(&mut bytes, 3, Some(sender), Some(block), name);
            assert_eq!(len % 4, 0);
            let mut seen = Vec::new();
            read(&bytes[..len], |report| seen.push(report)).unwrap();
            assert_eq!(seen, [Report::Sender(3, sender), Report::Block(3, block)]);
            assert!(is_rtcp(&bytes));
        }
        let mut bytes = [0; WRITE_BYTES];
        let longest = "x".repeat(255);
        let len = write(&mut bytes, 3, None, Some(block), &longest);
        let mut seen = Vec::new();
        read(&bytes[..len], |report| seen.push(report)).unwrap();
        assert_eq!(seen, [Report::Block(3, block)]);
    }

    #[test]
    fn a_false_length_ends_the_reading() {
        let (sender, block) = sample();
        let mut bytes = [0; WRITE_BYTES];
        let len = write(&mut bytes, 3, Some(sender), Some(block), "n");
        bytes[0] |= 2; // claims three blocks
        assert!(read(&bytes[..len], |_| {}).is_err());
        assert_eq!(read(&bytes[..len - 1], |_| {}), Err(RtcpError { at: 0 }));
    }

    #[test]
    fn the_round_trip_is_what_is_left_after_the_delay() {
        // RFC 3550, figure 2: A = b710:8000, LSR = b705:2000, DLSR = 5.25 s, round trip 6.125 s.
        let block = ReportBlock {
            last_sender_report: 0xb705_2000,
            delay: 0x0005_4000,
            ..ReportBlock::default()
        };
        let now = 0xb44d_b710_8000_0000;
        assert_eq!(round_trip(now, &block), Some(Duration::from_millis(6_125)));
        assert_eq!(round_trip(now, &ReportBlock::default()), None);
        assert_eq!(round_trip(0xb44d_b705_0000_0000, &block), None);
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut count = 0;
            let whole = read(&bytes, |_| count += 1).is_ok();
            prop_assert!(whole || count <= bytes.len());
        }
    }
}
