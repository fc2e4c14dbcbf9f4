//! Legs that are SRTP beside legs that are not.

use super::*;
use crate::{
    exchange::Taped,
    srtp::{SRTP_ROOM, SrtpContext},
};
use domain::{AttemptId, SrtpKey, SrtpKeys, SrtpSuite};

fn key(suite: SrtpSuite, fill: u8) -> SrtpKey {
    SrtpKey::draw(suite, |bytes| bytes.fill(fill))
}

fn keys(suite: SrtpSuite) -> SrtpKeys {
    SrtpKeys {
        send: key(suite, 1),
        receive: key(suite, 2),
    }
}

fn secure(exchange: &mut Exchange, leg: LegId, keys: Option<SrtpKeys>) {
    let command = MediaCommand::Secure { leg, keys };
    exchange.handle(at(0), command).unwrap();
}

/// The phone of a secured leg: its two directions.
struct Phone {
    out: SrtpContext,
    into: SrtpContext,
}

impl Phone {
    fn of(keys: SrtpKeys) -> Self {
        Self {
            out: SrtpContext::new(&keys.receive),
            into: SrtpContext::new(&keys.send),
        }
    }

    fn sealed(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        let len = packet.len();
        packet.extend([0; SRTP_ROOM]);
        let report = rtcp::is_rtcp(&packet);
        let len = match report {
            true => self.out.protect_rtcp(&mut packet, len).unwrap(),
            false => self.out.protect(&mut packet, len).unwrap(),
        };
        packet.truncate(len);
        packet
    }

    fn opened(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        let len = match rtcp::is_rtcp(&packet) {
            true => self.into.unprotect_rtcp(&mut packet).unwrap(),
            false => self.into.unprotect(&mut packet).unwrap(),
        };
        packet.truncate(len);
        packet
    }
}

/// What was taped of a packet, and its sound.
type Tape = Option<(Taped, Vec<u8>)>;

/// A packet's way through the exchange as a relay drives it; what was taped of it.
fn through(
    exchange: &mut Exchange,
    leg: LegId,
    from: SocketAddr,
    packet: &[u8],
) -> (Option<Vec<u8>>, Tape) {
    let mut buffer = packet.to_vec();
    buffer.extend([0; SRTP_ROOM]);
    let place = exchange.place_of(leg).unwrap();
    let onward = exchange.receive(at(0), place, from, &mut buffer[..packet.len()]);
    let taped = exchange.taped().map(|taped| {
        let sound = buffer[taped.payload.clone()].to_vec();
        (taped, sound)
    });
    let sent = onward.and_then(|onward| {
        let bytes = exchange.seal(onward.place, &mut buffer, onward.bytes)?;
        Some(buffer[bytes].to_vec())
    });
    (sent, taped)
}

#[test]
fn a_secured_leg_talks_with_a_plain_one_and_both_are_taped() {
    for suite in SrtpSuite::ALL {
        let mut exchange = bridged();
        let keys = keys(suite);
        secure(&mut exchange, A, Some(keys));
        exchange
            .handle(
                at(0),
                MediaCommand::Record {
                    recording: AttemptId(5),
                    agent: A,
                    person: B,
                },
            )
            .unwrap();
        let mut phone = Phone::of(keys);
        for n in 0..50 {
            let said = phone.sealed(packet(n, 8, &[n as u8; 160]));
            let (sent, taped) = through(&mut exchange, A, peer(A), &said);
            let sent = sent.unwrap();
            let (_, payload) = Header::read(&sent).unwrap();
            assert_eq!(sent[payload], [n as u8; 160], "plain to the trunk");
            assert_eq!(taped.unwrap().1, [n as u8; 160]);
            let (sent, taped) = through(&mut exchange, B, peer(B), &packet(n, 0, &[7; 160]));
            assert_eq!(taped.unwrap().1, [7; 160], "taped before it is sealed");
            let sent = sent.unwrap();
            assert_ne!(sent[12..172], [7; 160]);
            let heard = phone.opened(sent);
            assert_eq!(heard[12..], [7; 160]);
        }
        assert_eq!(exchange.traffic().refused, [0; 8]);
    }
}

#[test]
fn what_is_not_the_peers_is_dropped_counted_and_locks_nothing() {
    let mut exchange = exchange();
    open(&mut exchange, A, Codec::Pcma, at(0));
    open(&mut exchange, B, Codec::Pcma, at(0));
    let MediaCommand::SetRemote { leg, addr, .. } = remote(A, Codec::Pcma) else {
        unreachable!()
    };
    let symmetric = MediaCommand::SetRemote {
        leg,
        addr,
        rtcp: None,
        codec: Codec::Pcma,
        telephone_event: None,
        send: true,
        symmetric: true,
    };
    let keys = keys(SrtpSuite::AesCm128Sha1_80);
    secure(&mut exchange, A, Some(keys));
    exchange.handle(at(0), symmetric).unwrap();
    let bridge = MediaCommand::Bridge { a: A, b: B };
    exchange.handle(at(0), bridge).unwrap();
    events(&mut exchange);
    let mut phone = Phone::of(keys);
    let good = phone.sealed(packet(1, 8, &[3; 160]));
    let elsewhere = SocketAddr::new(peer(A).ip(), 999);
    // Plain, with another key, changed: none of them, from whatever port, locks the source.
    let plain = packet(9, 8, &[1; 160]);
    let mut stranger = Phone::of(SrtpKeys {
        send: keys.receive,
        receive: keys.send,
    });
    let strange = stranger.sealed(plain.clone());
    let mut changed = good.clone();
    changed[50] ^= 1;
    for bad in [&plain, &strange, &changed] {
        let (sent, taped) = through(&mut exchange, A, elsewhere, bad);
        assert!(sent.is_none() && taped.is_none());
    }
    assert_eq!(events(&mut exchange), []);
    assert_eq!(exchange.traffic().received, 0);
    assert!(through(&mut exchange, A, peer(A), &good).0.is_some());
    assert_eq!(through(&mut exchange, A, peer(A), &good).0, None);
    // The phone was heard from the negotiated port: only now is it locked.
    let (to_phone, _) = through(&mut exchange, B, peer(B), &packet(1, 8, &[4; 160]));
    assert!(to_phone.is_some());
    let refused = exchange.traffic().refused;
    let of = |refusal: Refusal| refused[refusal as usize];
    assert_eq!(
        (of(Refusal::Unauthenticated), of(Refusal::Replayed)),
        (3, 1)
    );
    assert_eq!(refused.iter().sum::<u64>(), 4);
    let snapshot = MediaCommand::Snapshot { leg: A };
    exchange.handle(at(0), snapshot).unwrap();
    let told = events(&mut exchange).pop();
    assert!(
        matches!(told, Some(MediaEvent::Snapshot { stats, .. }) if stats.refused == 4),
        "{told:?}"
    );
}

#[test]
fn keys_pressed_reports_and_prompts_are_secured_too() {
    let mut exchange = exchange();
    open(&mut exchange, A, Codec::Pcma, at(0));
    let keys = keys(SrtpSuite::AesCm128Sha1_32);
    secure(&mut exchange, A, Some(keys));
    let mut phone = Phone::of(keys);
    let place = exchange.place_of(A).unwrap();
    let event = Event {
        code: dtmf::code('5').unwrap(),
        end: false,
        volume: 10,
        duration: 160,
    };
    let mut pressed = phone.sealed(packet(1, EVENT, &event.bytes()));
    exchange.receive(at(0), place, peer(A), &mut pressed);
    let told = events(&mut exchange);
    assert!(
        told.contains(&MediaEvent::Digit { leg: A, digit: '5' }),
        "{told:?}"
    );
    let mut report = vec![0; rtcp::WRITE_BYTES];
    let len = rtcp::write(&mut report, 77, None, None, "phone");
    report.truncate(len);
    let from = SocketAddr::new(peer(A).ip(), 4_001);
    exchange.receive_rtcp(at(0), place, from, &mut report.clone());
    exchange.receive_rtcp(at(0), place, from, &mut phone.sealed(report));
    let refused = exchange.traffic().refused;
    assert_eq!(refused.iter().sum::<u64>(), 1, "the plain one: {refused:?}");
    // What the exchange says by itself: a tone, and a report.
    let play = MediaCommand::Play {
        leg: A,
        prompt: PromptId::TONE,
        repeat: true,
    };
    exchange.handle(at(0), play).unwrap();
    let (mut frames, mut reports) = (0, 0);
    for (_, transmit, said) in run(&mut exchange, 0, 6_000) {
        let mut buffer = said.clone();
        buffer.resize(TRANSMIT_BYTES, 0);
        let sealed = exchange.seal(place, &mut buffer, 0..transmit.len).unwrap();
        assert!(sealed.len() > said.len());
        assert_eq!(phone.opened(buffer[sealed].to_vec()), said);
        match transmit.rtcp {
            true => reports += 1,
            false => frames += 1,
        }
    }
    assert!(frames > 290 && reports >= 1, "{frames} {reports}");
}

#[test]
fn keys_change_within_the_leg() {
    let mut exchange = bridged();
    let first = keys(SrtpSuite::AesCm128Sha1_80);
    secure(&mut exchange, A, Some(first));
    let mut phone = Phone::of(first);
    let hear = |exchange: &mut Exchange, n| {
        let (sent, _) = through(exchange, B, peer(B), &packet(n, 0, &[4; 160]));
        sent.unwrap()
    };
    let heard = phone.opened(hear(&mut exchange, 1));
    let ssrc = Header::read(&heard).unwrap().0.ssrc;
    assert!(
        through(
            &mut exchange,
            A,
            peer(A),
            &phone.sealed(packet(1, 8, &[1; 160]))
        )
        .0
        .is_some()
    );
    // Hold and back with the phone's new key: ours stays, and its stream with it.
    let second = SrtpKeys {
        receive: key(SrtpSuite::AesCm128Sha1_80, 9),
        ..first
    };
    secure(&mut exchange, A, Some(second));
    secure(&mut exchange, A, Some(second));
    phone.out = SrtpContext::new(&second.receive);
    assert!(
        through(
            &mut exchange,
            A,
            peer(A),
            &phone.sealed(packet(2, 8, &[1; 160]))
        )
        .0
        .is_some()
    );
    let heard = phone.opened(hear(&mut exchange, 2));
    assert_eq!(Header::read(&heard).unwrap().0.ssrc, ssrc);
    // Another suite: both keys are new, and our stream.
    let third = keys(SrtpSuite::AeadAes256Gcm);
    secure(&mut exchange, A, Some(third));
    let mut phone = Phone::of(third);
    assert!(
        through(
            &mut exchange,
            A,
            peer(A),
            &phone.sealed(packet(3, 8, &[1; 160]))
        )
        .0
        .is_some()
    );
    let heard = phone.opened(hear(&mut exchange, 3));
    assert_ne!(Header::read(&heard).unwrap().0.ssrc, ssrc);
    // Plain again.
    secure(&mut exchange, A, None);
    assert_eq!(hear(&mut exchange, 4)[12..], [4; 160]);
    let unknown = MediaCommand::Secure {
        leg: LegId(99),
        keys: None,
    };
    assert_eq!(exchange.handle(at(0), unknown), Err(Rejected::UnknownLeg));
}

#[test]
fn a_packet_without_room_for_its_tag_is_not_sent() {
    let mut exchange = bridged();
    secure(&mut exchange, A, Some(keys(SrtpSuite::AeadAes128Gcm)));
    let place = exchange.place_of(A).unwrap();
    let mut tight = packet(1, 8, &[4; 160]);
    let len = tight.len();
    assert_eq!(exchange.seal(place, &mut tight, 0..len), None);
    assert_eq!(exchange.traffic().unsent, 1);
    // Nothing is ever sent in the clear for a leg that is not there.
    assert_eq!(exchange.seal(0, &mut tight, 0..len), None);
}
