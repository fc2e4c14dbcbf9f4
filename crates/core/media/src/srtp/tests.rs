//! Whole packets: a published one, every suite both ways, hostile ones, rollovers and changes of keys.

use super::*;
use domain::SrtpSuite;
use proptest::prelude::*;

const MASTER: [u8; 30] = [
    0xe1, 0xf9, 0x7a, 0x0d, 0x3e, 0x01, 0x8b, 0xe0, 0xd6, 0x4f, 0xa3, 0x2c, 0x06, 0xde, 0x41, 0x39,
    0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6,
];

fn key(suite: SrtpSuite, seed: u8) -> SrtpKey {
    SrtpKey::draw(suite, |bytes| {
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = (n as u8).wrapping_mul(7) ^ seed;
        }
    })
}

fn pair(suite: SrtpSuite) -> (SrtpContext, SrtpContext) {
    let key = key(suite, 9);
    (SrtpContext::new(&key), SrtpContext::new(&key))
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend(1_600_u32.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160).map(|n| n as u8 ^ sequence as u8));
    packet
}

fn sealed(context: &mut SrtpContext, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    buffer.extend([0; SRTP_ROOM]);
    let len = context.protect(&mut buffer, packet.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn opened(context: &mut SrtpContext, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    let len = context.unprotect(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

/// The packets that libsrtp checks itself with.
#[test]
fn whole_packets_are_what_the_reference_makes_of_them() {
    let key = SrtpKey::new(SrtpSuite::AesCm128Sha1_80, &MASTER).unwrap();
    let mut plain = vec![0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad];
    plain.extend([0xca, 0xfe, 0xba, 0xbe]);
    plain.extend([0xab; 16]);
    let expected = [
        0x4e, 0x55, 0xdc, 0x4c, 0xe7, 0x99, 0x78, 0xd8, 0x8c, 0xa4, 0xd2, 0x15, 0x94, 0x9d, 0x24,
        0x02, 0xb7, 0x8d, 0x6a, 0xcc, 0x99, 0xea, 0x17, 0x9b, 0x8d, 0xbb,
    ];
    let made = sealed(&mut SrtpContext::new(&key), &plain).unwrap();
    assert_eq!(made, [&plain[..12], &expected].concat());
    assert_eq!(opened(&mut SrtpContext::new(&key), &made).unwrap(), plain);
    let mut report = vec![0x81, 0xc8, 0x00, 0x0b, 0xca, 0xfe, 0xba, 0xbe];
    report.extend([0xab; 16]);
    let expected = [
        0x71, 0x28, 0x03, 0x5b, 0xe4, 0x87, 0xb9, 0xbd, 0xbe, 0xf8, 0x90, 0x41, 0xf9, 0x77, 0xa5,
        0xa8, 0x80, 0x00, 0x00, 0x01, 0x99, 0x3e, 0x08, 0xcd, 0x54, 0xd6, 0xc1, 0x23, 0x07, 0x98,
    ];
    let mut made = report.clone();
    made.extend([0; SRTP_ROOM]);
    let len = SrtpContext::new(&key).protect_rtcp(&mut made, 24).unwrap();
    assert_eq!(made[..len], [&report[..8], &expected].concat());
}

#[test]
fn every_suite_both_ways() {
    for suite in SrtpSuite::ALL {
        let (mut out, mut into) = pair(suite);
        for n in 0..300_u16 {
            let plain = rtp(7, n.wrapping_add(65_400));
            let made = sealed(&mut out, &plain).unwrap();
            assert_eq!(made[..12], plain[..12]);
            assert_ne!(made[12..plain.len()], plain[12..]);
            assert_eq!(opened(&mut into, &made), Ok(plain));
            assert_eq!(opened(&mut into, &made), Err(SrtpError::Replayed));
            let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 7];
            report.extend([n as u8; 24]);
            let mut made = report.clone();
            made.extend([0; SRTP_ROOM]);
            let len = out.protect_rtcp(&mut made, report.len()).unwrap();
            let again = made.clone();
            assert_eq!(into.unprotect_rtcp(&mut made[..len]), Ok(report.len()));
            assert_eq!(made[..report.len()], report);
            let replayed = into.unprotect_rtcp(&mut again.clone()[..len]);
            assert_eq!(replayed, Err(SrtpError::Replayed));
        }
        let mut stranger = SrtpContext::new(&key(suite, 1));
        let made = sealed(&mut out, &rtp(7, 900)).unwrap();
        assert_eq!(
            opened(&mut stranger, &made),
            Err(SrtpError::Unauthenticated)
        );
    }
}

#[test]
fn each_changed_byte_is_noticed() {
    for suite in SrtpSuite::ALL {
        let (mut out, mut into) = pair(suite);
        let made = sealed(&mut out, &rtp(7, 1)).unwrap();
        for n in 0..made.len() {
            let mut changed = made.clone();
            changed[n] ^= 0x40;
            assert!(opened(&mut into, &changed).is_err(), "{suite:?} byte {n}");
        }
        for len in 0..made.len() {
            assert!(opened(&mut into, &made[..len]).is_err(), "{suite:?} {len}");
        }
        // Nothing was learned from any of them.
        assert!(opened(&mut into, &made).is_ok());
    }
}

#[test]
fn headers_with_lists_and_extensions_stay_readable() {
    let (mut out, mut into) = pair(SrtpSuite::AesCm128Sha1_80);
    let mut plain = rtp(7, 5);
    plain[0] |= 0x10 | 2;
    plain.splice(
        12..12,
        [1, 1, 1, 1, 2, 2, 2, 2, 0xbe, 0xde, 0, 1, 9, 9, 9, 9],
    );
    let made = sealed(&mut out, &plain).unwrap();
    assert_eq!(made[..28], plain[..28]);
    assert_eq!(opened(&mut into, &made), Ok(plain.clone()));
    // An extension that claims more than there is.
    plain[22] = 0xff;
    assert_eq!(sealed(&mut out, &plain), Err(SrtpError::Malformed));
    assert_eq!(opened(&mut into, &plain), Err(SrtpError::Malformed));
}

#[test]
fn an_index_is_used_once_and_never_without_room() {
    let (mut out, _) = pair(SrtpSuite::AesCm128Sha1_80);
    let plain = rtp(7, 100);
    let mut tight = plain.clone();
    tight.extend([0; 9]);
    assert_eq!(out.protect(&mut tight, plain.len()), Err(SrtpError::NoRoom));
    assert_eq!(out.protect(&mut [], 12), Err(SrtpError::NoRoom));
    assert!(sealed(&mut out, &plain).is_ok());
    assert_eq!(sealed(&mut out, &plain), Err(SrtpError::Replayed));
    assert!(sealed(&mut out, &rtp(7, 99)).is_ok());
    assert_eq!(out.protect_rtcp(&mut [0x80; 12], 4), Err(SrtpError::NoRoom));
    assert_eq!(
        out.protect_rtcp(&mut [0x80; 40], 4),
        Err(SrtpError::Malformed)
    );
}

#[test]
fn a_key_ends_with_its_last_index() {
    let (mut out, _) = pair(SrtpSuite::AesCm128Sha1_80);
    let last = Source {
        ssrc: 7,
        rtp: Some(Window::beginning(RTP_END - 1)),
        rtcp: Some(Window::beginning(RTCP_END - 1)),
        used: 1,
    };
    out.sources[0] = Some(last);
    assert_eq!(sealed(&mut out, &rtp(7, 0)), Err(SrtpError::UsedUp));
    let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 7];
    report.extend([0; SRTP_ROOM]);
    assert_eq!(out.protect_rtcp(&mut report, 8), Err(SrtpError::UsedUp));
}

#[test]
fn rtcp_that_is_only_signed_is_taken() {
    let (out, mut into) = pair(SrtpSuite::AesCm128Sha1_80);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4];
    let mut packet = report.to_vec();
    packet.extend(5_u32.to_be_bytes());
    packet.extend([0; 10]);
    // Signed as its sender does it: by what seals, with nothing to encrypt.
    let Transform::Counter { signature, .. } = &out.rtcp else {
        unreachable!()
    };
    let tag = aws_lc_rs::hmac::sign(signature, &packet[..16]);
    packet[16..].copy_from_slice(&tag.as_ref()[..10]);
    assert_eq!(into.unprotect_rtcp(&mut packet), Ok(12));
    assert_eq!(packet[..12], report);
}

#[test]
fn eight_streams_are_remembered_and_the_longest_silent_one_goes() {
    let (mut out, mut into) = pair(SrtpSuite::AeadAes128Gcm);
    let mut first = Vec::new();
    for ssrc in 0..STREAMS as u32 {
        first.push(sealed(&mut out, &rtp(ssrc, 1)).unwrap());
        assert!(opened(&mut into, first.last().unwrap()).is_ok());
    }
    assert_eq!(opened(&mut into, &first[0]), Err(SrtpError::Replayed));
    let again = sealed(&mut out, &rtp(0, 2)).unwrap();
    assert!(opened(&mut into, &again).is_ok());
    let ninth = sealed(&mut out, &rtp(99, 1)).unwrap();
    assert!(opened(&mut into, &ninth).is_ok());
    assert_eq!(opened(&mut into, &first[0]), Err(SrtpError::Replayed));
    assert!(into.find(1).is_none(), "silent longest");
    assert!(into.find(2).is_some());
}

/// After a change of keys one phone begins anew, another keeps its rollover counter.
#[test]
fn a_stream_goes_on_under_the_next_key() {
    let suite = SrtpSuite::AesCm128Sha1_80;
    let next = key(suite, 77);
    for keeps in [false, true] {
        let (mut out, mut into) = pair(suite);
        for sequence in [65_000_u16, 65_500, 500, 30_000] {
            let made = sealed(&mut out, &rtp(7, sequence)).unwrap();
            assert!(opened(&mut into, &made).is_ok());
        }
        let mut changed = SrtpContext::new(&next);
        if keeps {
            changed.sources = out.sources;
        }
        let mut into = into.followed_by(&next);
        for sequence in [30_001, 30_002] {
            let plain = rtp(7, sequence);
            let made = sealed(&mut changed, &plain).unwrap();
            assert_eq!(opened(&mut into, &made), Ok(plain), "keeps {keeps}");
        }
        // The key before is over.
        let late = sealed(&mut out, &rtp(7, 30_003)).unwrap();
        assert_eq!(opened(&mut into, &late), Err(SrtpError::Unauthenticated));
    }
}

#[test]
fn a_context_shows_no_key() {
    let context = SrtpContext::new(&SrtpKey::new(SrtpSuite::AesCm128Sha1_80, &MASTER).unwrap());
    let said = format!("{context:?}");
    assert!(
        said.contains("[redacted]") && !said.contains("225") && !said.contains("e1"),
        "{said}"
    );
}

proptest! {
    /// Any losses and any reordering within the window: what is accepted is what was sent, each once.
    #[test]
    fn what_is_accepted_was_sent(
        first in any::<u16>(),
        suite in 0..4_usize,
        order in prop::collection::vec((0..400_u64, 0..3_u8), 1..200),
    ) {
        let suite = SrtpSuite::ALL[suite];
        let (mut out, mut into) = pair(suite);
        // A stream begins in the lower half, as RFC 3711 would have it.
        let first = first & 0x7fff;
        let plain: Vec<_> = (0..400).map(|n| rtp(7, first.wrapping_add(n * 100))).collect();
        let made: Vec<_> = plain.iter().map(|p| sealed(&mut out, p).unwrap()).collect();
        let mut taken = vec![false; made.len()];
        let mut at = 0_u64;
        prop_assert_eq!(opened(&mut into, &made[0]), Ok(plain[0].clone()));
        taken[0] = true;
        for (jump, back) in order {
            at = (at + jump % 40).min(399);
            let n = at.saturating_sub(u64::from(back)) as usize;
            match opened(&mut into, &made[n]) {
                Ok(packet) => {
                    prop_assert_eq!(&packet, &plain[n]);
                    prop_assert!(!std::mem::replace(&mut taken[n], true));
                }
                Err(SrtpError::Replayed) => {}
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    /// Anything at all: no panic, and nothing is accepted.
    #[test]
    fn strangers_bytes_are_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        suite in 0..4_usize,
    ) {
        let (mut out, mut into) = pair(SrtpSuite::ALL[suite]);
        prop_assert!(into.unprotect(&mut bytes.clone()).is_err());
        prop_assert!(into.unprotect_rtcp(&mut bytes.clone()).is_err());
        let len = bytes.len();
        bytes.extend([0; SRTP_ROOM]);
        let _any = out.protect(&mut bytes.clone(), len);
        let _any = out.protect_rtcp(&mut bytes, len);
    }
}
