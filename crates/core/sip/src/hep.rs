//! HEP version 3: a SIP message together with where it came from, where it went and when, for tools
//! that watch signalling (Homer, sngrep). Layout by the protocol's published description: chunks of
//! vendor, type and length behind a head with the whole length, all big-endian. Keys of media are
//! blanked: whoever sees the copy shall not hear the call.

use crate::{flow::Flow, sdp::blank_keys};
use domain::SipTransport;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What one packet says.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Which way.
    pub flow: Flow,
    /// Whether we sent it.
    pub sent: bool,
    /// When, since the Unix epoch.
    pub at: Duration,
    /// Who watches; a collector tells its sources apart by it.
    pub agent: u32,
    /// The message.
    pub message: &'a [u8],
}

/// The chunks' vendor: none, the types are the protocol's own.
const GENERIC: [u8; 2] = [0, 0];
const FAMILY: u16 = 1;
const PROTOCOL: u16 = 2;
const FROM_4: u16 = 3;
const TO_4: u16 = 4;
const FROM_6: u16 = 5;
const TO_6: u16 = 6;
const FROM_PORT: u16 = 7;
const TO_PORT: u16 = 8;
const SECONDS: u16 = 9;
const MICROS: u16 = 10;
const KIND: u16 = 11;
const AGENT: u16 = 12;
const PAYLOAD: u16 = 15;

/// Address families and protocol numbers as Linux and IANA number them.
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The payload is SIP.
const SIP: u8 = 1;

impl Packet<'_> {
    /// Writes the packet over what is in `out`. False, with nothing written, where the message is too
    /// long for a packet's 16-bit length.
    pub fn encode(&self, out: &mut Vec<u8>) -> bool {
        out.clear();
        let (from, to) = match self.sent {
            true => (self.flow.local, self.flow.remote),
            false => (self.flow.remote, self.flow.local),
        };
        let protocol = match self.flow.transport {
            SipTransport::Udp => UDP,
            SipTransport::Tcp | SipTransport::Tls => TCP,
        };
        out.extend_from_slice(b"HEP3\0\0");
        addresses(out, from, to);
        chunk(out, PROTOCOL, &[protocol]);
        chunk(out, FROM_PORT, &from.port().to_be_bytes());
        chunk(out, TO_PORT, &to.port().to_be_bytes());
        let seconds = u32::try_from(self.at.as_secs()).unwrap_or(u32::MAX);
        chunk(out, SECONDS, &seconds.to_be_bytes());
        chunk(out, MICROS, &self.at.subsec_micros().to_be_bytes());
        chunk(out, KIND, &[SIP]);
        chunk(out, AGENT, &self.agent.to_be_bytes());
        let whole = out.len() + 6 + self.message.len();
        let Ok(whole) = u16::try_from(whole) else {
            out.clear();
            return false;
        };
        chunk(out, PAYLOAD, self.message);
        let message = out.len() - self.message.len();
        blank_keys(&mut out[message..]);
        out[4..6].copy_from_slice(&whole.to_be_bytes());
        true
    }
}

fn addresses(out: &mut Vec<u8>, from: SocketAddr, to: SocketAddr) {
    let (from, to) = (from.ip().to_canonical(), to.ip().to_canonical());
    if let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) {
        chunk(out, FAMILY, &[INET]);
        chunk(out, FROM_4, &from.octets());
        chunk(out, TO_4, &to.octets());
        return;
    }
    // A socket that is bound to no address in particular is of the other's family.
    let six = |ip| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    chunk(out, FAMILY, &[INET6]);
    chunk(out, FROM_6, &six(from).octets());
    chunk(out, TO_6, &six(to).octets());
}

/// One chunk; its length counts its head.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(value.len() + 6).expect("the caller looked at what may be long");
    out.extend_from_slice(&GENERIC);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn packet(local: &str, remote: &str, message: &[u8], sent: bool) -> Option<Vec<u8>> {
        let packet = Packet {
            flow: Flow {
                transport: SipTransport::Udp,
                local: local.parse().unwrap(),
                remote: remote.parse().unwrap(),
            },
            sent,
            at: Duration::new(1_795_000_000, 123_456_789),
            agent: 7,
            message,
        };
        let mut out = vec![1, 2, 3];
        packet.encode(&mut out).then_some(out)
    }

    /// The chunks of a packet; nothing of it is left over.
    fn chunks(bytes: &[u8]) -> BTreeMap<u16, Vec<u8>> {
        assert_eq!(&bytes[..4], b"HEP3");
        let word = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        assert_eq!(word(4), bytes.len());
        let (mut at, mut found) = (6, BTreeMap::new());
        while at < bytes.len() {
            assert_eq!(word(at), 0, "vendor");
            let (kind, len) = (word(at + 2), word(at + 4));
            let value = bytes[at + 6..at + len].to_vec();
            assert!(found.insert(kind as u16, value).is_none());
            at += len;
        }
        found
    }

    #[test]
    fn a_packet_says_who_sent_what_when() {
        let message = b"OPTIONS sip:a SIP/2.0\r\n\r\n";
        let sent = packet("192.0.2.1:5060", "198.51.100.2:5080", message, true).unwrap();
        let found = chunks(&sent);
        let expected: [(u16, &[u8]); 11] = [
            (FAMILY, &[2]),
            (PROTOCOL, &[17]),
            (FROM_4, &[192, 0, 2, 1]),
            (TO_4, &[198, 51, 100, 2]),
            (FROM_PORT, &5060u16.to_be_bytes()),
            (TO_PORT, &5080u16.to_be_bytes()),
            (SECONDS, &1_795_000_000u32.to_be_bytes()),
            (MICROS, &123_456u32.to_be_bytes()),
            (KIND, &[1]),
            (AGENT, &7u32.to_be_bytes()),
            (PAYLOAD, message),
        ];
        let expected = expected.map(|(kind, value)| (kind, value.to_vec()));
        assert_eq!(found, BTreeMap::from(expected));
        let received = packet("192.0.2.1:5060", "198.51.100.2:5080", message, false).unwrap();
        assert_eq!(chunks(&received)[&FROM_4], [198, 51, 100, 2]);
        assert_eq!(chunks(&received)[&TO_PORT], 5060u16.to_be_bytes());
    }

    #[test]
    fn keys_of_media_are_blanked() {
        let message = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^31\r\n";
        let sent = packet("192.0.2.1:5061", "198.51.100.2:5061", message, true).unwrap();
        let copy = chunks(&sent).remove(&PAYLOAD).unwrap();
        assert_eq!(copy.len(), message.len());
        let copy = String::from_utf8(copy).unwrap();
        assert!(
            copy.ends_with(" inline:****************************************|2^31\r\n"),
            "{copy}"
        );
    }

    #[test]
    fn addresses_of_the_newer_family() {
        let found =
            chunks(&packet("[2001:db8::1]:5060", "[2001:db8::2]:5060", b"x", true).unwrap());
        assert_eq!(found[&FAMILY], [10]);
        assert_eq!(found[&TO_6][..4], [0x20, 1, 0x0d, 0xb8]);
        let mapped = packet("[::ffff:192.0.2.1]:5060", "198.51.100.2:5060", b"x", true).unwrap();
        assert_eq!(chunks(&mapped)[&FROM_4], [192, 0, 2, 1]);
    }

    #[test]
    fn the_longest_message_is_what_the_length_can_say() {
        let empty = packet("192.0.2.1:1", "192.0.2.2:2", b"", true)
            .unwrap()
            .len();
        let longest = usize::from(u16::MAX) - empty;
        let fits = packet("192.0.2.1:1", "192.0.2.2:2", &vec![b'x'; longest], true).unwrap();
        assert_eq!(fits.len(), usize::from(u16::MAX));
        let over = vec![b'x'; longest + 1];
        assert_eq!(packet("192.0.2.1:1", "192.0.2.2:2", &over, true), None);
    }
}
