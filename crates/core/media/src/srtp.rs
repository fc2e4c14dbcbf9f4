//! SRTP and SRTCP (RFC 3711; RFC 7714 for GCM): what a key does to packets, in place and without
//! allocation. Session keys are derived once, when a context is made.
//!
//! Not spoken: key derivation rates other than zero, master key identifiers, and RTP that is only
//! authenticated or only encrypted; session descriptions that ask for them are refused.

mod transform;
mod window;

use domain::SrtpKey;
use std::fmt;

use crate::rtp::HEADER;
use transform::Transform;
use window::Window;

/// The most bytes by which a packet grows: RTCP's index word and the longest tag.
pub const SRTP_ROOM: usize = 4 + 16;

/// Streams of one peer that are told apart; a further one takes the place of the one that was silent
/// longest.
const STREAMS: usize = 8;

/// Bytes of RTCP's header, up to and with its SSRC: never encrypted.
const RTCP_HEADER: usize = 8;
/// Says that an SRTCP packet is encrypted (RFC 3711 section 3.4).
const ENCRYPTED: u32 = 1 << 31;
/// A packet's index has 48 bits, an SRTCP packet's 31: beyond, the key is used up (section 9.2).
const RTP_END: u64 = 1 << 48;
const RTCP_END: u64 = 1 << 31;

/// Why a packet is not accepted, or not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Shorter than its header and tag, or not of RTP's version.
    #[error("the packet is too short for SRTP, or not of version 2")]
    Malformed,
    /// The tag is not the key's.
    #[error("the packet was not made with the peer's key, or was changed on its way")]
    Unauthenticated,
    /// Its index was used before, or lies too far back to tell.
    #[error("the packet's index was used before, or lies over 128 packets back")]
    Replayed,
    /// The buffer ends before the tag would.
    #[error("the buffer has no room for the packet's tag")]
    NoRoom,
    /// No index is left under this key.
    #[error("the key is used up")]
    UsedUp,
}

/// One SSRC under a key.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    rtp: Option<Window>,
    rtcp: Option<Window>,
    /// Counts up with the context's packets.
    used: u64,
}

/// All packets of one direction: what is sent with a key, or what is received with one.
pub struct SrtpContext {
    key: SrtpKey,
    rtp: Transform,
    rtcp: Transform,
    sources: [Option<Source>; STREAMS],
    /// The streams of the key before: one of them may go on where it was.
    before: [Option<Source>; STREAMS],
    packets: u64,
}

impl fmt::Debug for SrtpContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpContext")
            .field("key", &self.key)
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}

impl SrtpContext {
    /// Derives the session keys (RFC 3711 section 4.3).
    pub fn new(key: &SrtpKey) -> Self {
        let (rtp, rtcp) = transform::derive(key);
        Self {
            key: *key,
            rtp,
            rtcp,
            sources: [None; STREAMS],
            before: [None; STREAMS],
            packets: 0,
        }
    }

    /// The context for a peer's next key. Whether a stream that goes on begins anew with the key, as most
    /// phones have it, or keeps its rollover counter (RFC 3711 section 3.3.1), its first packet shows.
    #[must_use]
    pub fn followed_by(&self, key: &SrtpKey) -> Self {
        Self {
            before: self.sources,
            ..Self::new(key)
        }
    }

    /// Its key.
    pub fn key(&self) -> &SrtpKey {
        &self.key
    }

    /// Encrypts and signs the RTP packet in the first `len` bytes of `buffer`; says how long it is now.
    /// No index is used twice, whatever sequence numbers come.
    ///
    /// # Errors
    /// It is no RTP packet, its number was used before, or the buffer or the key is at its end.
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let header = rtp_header(buffer.get(..len).ok_or(SrtpError::NoRoom)?)?;
        let end = len + self.rtp.tag_len();
        let packet = buffer.get_mut(..end).ok_or(SrtpError::NoRoom)?;
        let (sequence, ssrc) = (sequence_of(packet), word(packet, 8));
        let known = self.find(ssrc).and_then(|source| source.rtp);
        let index = match known {
            Some(window) => window.guess(sequence).ok_or(SrtpError::Replayed)?,
            None => u64::from(sequence),
        };
        if index >= RTP_END {
            return Err(SrtpError::UsedUp);
        }
        if known.is_some_and(|window| !window.takes(index)) {
            return Err(SrtpError::Replayed);
        }
        self.note(ssrc, |source| note(&mut source.rtp, index));
        self.rtp.seal_rtp(packet, header, ssrc, index);
        Ok(end)
    }

    /// Checks and decrypts the SRTP packet; says how long the RTP packet is that it became. A refused
    /// packet's bytes are of no use any more.
    ///
    /// # Errors
    /// It is not the peer's, not whole, or not new; nothing was learned from it then.
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = rtp_header(packet)?;
        if packet.len() < header + self.rtp.tag_len() {
            return Err(SrtpError::Malformed);
        }
        let (sequence, ssrc) = (sequence_of(packet), word(packet, 8));
        let known = self.find(ssrc).and_then(|source| source.rtp);
        let index = match known {
            Some(window) => window.guess(sequence).ok_or(SrtpError::Replayed)?,
            None => u64::from(sequence),
        };
        if known.is_some_and(|window| !window.takes(index)) {
            return Err(SrtpError::Replayed);
        }
        let (index, len) = match self.rtp.open_rtp(packet, header, ssrc, index) {
            Some(len) => (index, len),
            None => {
                // GCM leaves nothing to try again with.
                let kept = self.kept_index(ssrc, sequence).filter(|_| known.is_none());
                let kept = kept.filter(|_| self.rtp.checks_first());
                let kept = kept.ok_or(SrtpError::Unauthenticated)?;
                let opened = self.rtp.open_rtp(packet, header, ssrc, kept);
                (kept, opened.ok_or(SrtpError::Unauthenticated)?)
            }
        };
        self.note(ssrc, |source| note(&mut source.rtp, index));
        Ok(len)
    }

    /// Encrypts and signs the RTCP packet in the first `len` bytes of `buffer`; says how long it is now.
    ///
    /// # Errors
    /// It is no RTCP packet, or the buffer or the key is at its end.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let end = len + 4 + self.rtcp.tag_len();
        let packet = buffer.get_mut(..end).ok_or(SrtpError::NoRoom)?;
        if len < RTCP_HEADER || packet[0] >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let ssrc = word(packet, 4);
        let last = self.find(ssrc).and_then(|source| source.rtcp);
        let index = last.map_or(1, |window| window.highest() + 1);
        if index >= RTCP_END {
            return Err(SrtpError::UsedUp);
        }
        self.note(ssrc, |source| note(&mut source.rtcp, index));
        let word = ENCRYPTED | index as u32;
        self.rtcp.seal_rtcp(packet, len, ssrc, word);
        Ok(end)
    }

    /// Checks and decrypts the SRTCP packet; says how long the RTCP packet is that it became. One that is
    /// signed and not encrypted is taken (section 3.4).
    ///
    /// # Errors
    /// It is not the peer's, not whole, or not new; nothing was learned from it then.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let tail = 4 + self.rtcp.tag_len();
        let len = packet.len().checked_sub(tail);
        let len = len.filter(|len| *len >= RTCP_HEADER && packet[0] >> 6 == 2);
        let len = len.ok_or(SrtpError::Malformed)?;
        let ssrc = word(packet, 4);
        let said = self.rtcp.index_word(packet);
        let index = u64::from(said & !ENCRYPTED);
        let known = self.find(ssrc).and_then(|source| source.rtcp);
        if known.is_some_and(|window| !window.takes(index)) {
            return Err(SrtpError::Replayed);
        }
        if !self.rtcp.open_rtcp(packet, len, ssrc, said) {
            return Err(SrtpError::Unauthenticated);
        }
        self.note(ssrc, |source| note(&mut source.rtcp, index));
        Ok(len)
    }

    fn find(&self, ssrc: u32) -> Option<&Source> {
        (self.sources.iter().flatten()).find(|source| source.ssrc == ssrc)
    }

    /// The index of a stream's next packet if it kept its rollover counter across the change of keys.
    fn kept_index(&self, ssrc: u32, sequence: u16) -> Option<u64> {
        let mut before = self.before.iter().flatten();
        let window = before.find(|source| source.ssrc == ssrc)?.rtp?;
        window
            .guess(sequence)
            .filter(|index| *index != u64::from(sequence))
    }

    /// Writes down that a stream's packet was made or accepted.
    fn note(&mut self, ssrc: u32, noted: impl FnOnce(&mut Source)) {
        self.packets += 1;
        let place = (self.sources.iter())
            .position(|source| source.is_some_and(|source| source.ssrc == ssrc))
            .or_else(|| self.sources.iter().position(Option::is_none));
        let oldest = || {
            let used = |n: &usize| self.sources[*n].map_or(0, |source| source.used);
            (0..STREAMS).min_by_key(used).unwrap_or(0)
        };
        let place = place.unwrap_or_else(oldest);
        let source = match &mut self.sources[place] {
            Some(source) if source.ssrc == ssrc => source,
            other => other.insert(Source {
                ssrc,
                rtp: None,
                rtcp: None,
                used: 0,
            }),
        };
        source.used = self.packets;
        noted(source);
    }
}

fn note(window: &mut Option<Window>, index: u64) {
    match window {
        Some(window) => window.note(index),
        None => *window = Some(Window::beginning(index)),
    }
}

/// The bytes of an RTP packet that are never encrypted: header, CSRC list, extension.
fn rtp_header(packet: &[u8]) -> Result<usize, SrtpError> {
    let first = *packet.first().ok_or(SrtpError::Malformed)?;
    let mut len = HEADER + 4 * usize::from(first & 15);
    if first & 0x10 != 0 {
        let words = packet.get(len + 2..len + 4).ok_or(SrtpError::Malformed)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    match first >> 6 == 2 && len <= packet.len() {
        true => Ok(len),
        false => Err(SrtpError::Malformed),
    }
}

/// Four bytes of a packet whose length was looked at.
fn word(packet: &[u8], at: usize) -> u32 {
    let bytes = packet[at..].first_chunk();
    u32::from_be_bytes(*bytes.expect("behind it lies at least a tag"))
}

fn sequence_of(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

#[cfg(test)]
mod tests;
