//! Keys that are sent to a leg's peer.

use super::*;
use crate::{dtmf::EventReceiver, tones::Goertzel};
use domain::Key;

fn send(exchange: &mut Exchange, leg: LegId, keys: &str) -> Result<(), Rejected> {
    keys.chars().try_for_each(|key| {
        let key = Key::of(key).unwrap();
        exchange.handle(at(0), MediaCommand::SendKey { leg, key })
    })
}

/// The same peer, whose answer had no telephone-event.
fn without_events(leg: LegId, codec: Codec) -> MediaCommand {
    let mut command = remote(leg, codec);
    if let MediaCommand::SetRemote {
        telephone_event, ..
    } = &mut command
    {
        *telephone_event = None;
    }
    command
}

/// Headers and payloads of the RTP that goes to a leg.
fn heard(said: &[(u64, Transmit, Vec<u8>)], to: LegId) -> Vec<(u64, Header, Vec<u8>)> {
    let rtp = said.iter().filter(|(_, t, _)| !t.rtcp && t.to == peer(to));
    rtp.map(|(millis, _, bytes)| {
        let (header, payload) = Header::read(bytes).unwrap();
        (*millis, header, bytes[payload].to_vec())
    })
    .collect()
}

/// The one key whose two tones a frame has.
fn key_in(codec: Codec, frame: &[u8]) -> Option<char> {
    let share = |hertz| {
        let samples = frame.iter().map(|code| g711::decode(codec, *code));
        Goertzel::share_of(hertz, samples)
    };
    let clear = |code: &u8| {
        let (row, column) = dtmf::frequencies(*code).unwrap();
        share(row) > 0.3 && share(column) > 0.3
    };
    let found: Vec<u8> = (0..16).filter(clear).collect();
    match found[..] {
        [] => None,
        [code] => dtmf::key(code),
        _ => panic!("two keys at once: {found:?}"),
    }
}

#[test]
fn keys_are_events_one_after_the_other() {
    let mut exchange = bridged();
    let (_, before, _) = pass(&mut exchange, at(0), A, packet(9, 0, &[0xff; 160])).unwrap();
    send(&mut exchange, B, "07#").unwrap();
    let said = heard(&run(&mut exchange, 1, 900), B);
    let events: Vec<_> = (said.iter())
        .filter(|(_, header, _)| header.payload_type == 96)
        .collect();
    assert_eq!(events.len(), 3 * 8, "five parts and three ends of each");
    // The ear of the other side: each key once, also where only one of its last packets arrives.
    for every in [1, 8] {
        let mut ear = EventReceiver::default();
        let note =
            |(_, header, payload): &&(u64, Header, Vec<u8>)| ear.note(header.timestamp, payload);
        let kept = events.iter().skip(every - 1).step_by(every);
        assert_eq!(kept.filter_map(note).collect::<String>(), "07#");
    }
    let mut next = before.sequence.wrapping_add(1);
    for (n, key) in events.chunks(8).enumerate() {
        let (began, first, _) = key[0];
        let durations: Vec<u16> = (key.iter())
            .map(|k| Event::read(&k.2).unwrap().duration)
            .collect();
        assert_eq!(durations, [160, 320, 480, 640, 800, 960, 960, 960]);
        for (place, (_, header, payload)) in key.iter().enumerate() {
            let event = Event::read(payload).unwrap();
            assert_eq!((header.marker, event.end), (place == 0, place >= 5));
            assert_eq!((header.timestamp, header.sequence), (first.timestamp, next));
            assert_eq!(header.ssrc, before.ssrc, "one stream for the leg's life");
            next = next.wrapping_add(1);
        }
        if n > 0 {
            let (earlier, last, _) = events[8 * (n - 1)];
            assert_eq!(began - earlier, 200);
            assert_eq!(first.timestamp.wrapping_sub(last.timestamp), 1_600);
        }
    }
    // The bridge goes on where the clock is, and without a step.
    let (_, after, _) = pass(&mut exchange, at(1_000), A, packet(10, 0, &[0xff; 160])).unwrap();
    assert!(after.marker);
    let silent = said
        .iter()
        .filter(|(_, header, _)| header.payload_type != 96)
        .count();
    assert_eq!(after.sequence, next.wrapping_add(silent as u16));
}

#[test]
fn where_no_events_are_known_keys_are_tones() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut exchange = bridged();
        exchange.handle(at(0), without_events(B, codec)).unwrap();
        send(&mut exchange, B, "0123456789*#").unwrap();
        let said = heard(&run(&mut exchange, 1, 12 * 200), B);
        assert_eq!(said.len(), 12 * 10);
        let mut dialed = String::new();
        for key in said.chunks(10) {
            let keys: Vec<_> = key
                .iter()
                .map(|(_, _, frame)| key_in(codec, frame))
                .collect();
            assert!(
                keys[0].is_some() && keys[..6].iter().all(|k| *k == keys[0]),
                "{keys:?}"
            );
            assert_eq!(keys[6..], [None; 4], "silence behind it");
            dialed.extend(keys[0]);
        }
        assert_eq!(dialed, "0123456789*#");
        let steps = said.windows(2).all(|two| {
            let [(_, a, _), (_, b, _)] = two else {
                return false;
            };
            b.timestamp.wrapping_sub(a.timestamp) == 160
        });
        assert!(steps, "one unbroken stream");
    }
}

#[test]
fn while_a_key_is_sent_the_peer_hears_nothing_else_and_nothing_is_recorded() {
    let mut exchange = bridged();
    let record = MediaCommand::Record {
        recording: domain::AttemptId(7),
        agent: A,
        person: B,
    };
    exchange.handle(at(0), record).unwrap();
    send(&mut exchange, B, "5").unwrap();
    let voice = |n| packet(n, 0, &[0x10; 160]);
    assert_eq!(pass(&mut exchange, at(0), A, voice(1)), None);
    assert_eq!(exchange.taped(), None);
    // The other way nothing changes.
    assert!(pass(&mut exchange, at(0), B, packet(1, 8, &[0x10; 160])).is_some());
    assert!(exchange.taped().is_some());
    run(&mut exchange, 1, 220);
    assert!(pass(&mut exchange, at(221), A, voice(2)).is_some());
    assert!(exchange.taped().is_some());
}

#[test]
fn a_phones_key_reaches_whoever_knows_no_events_as_a_tone() {
    let mut exchange = exchange();
    open(&mut exchange, A, Codec::Pcma, at(0));
    open(&mut exchange, B, Codec::Pcma, at(0));
    exchange
        .handle(at(0), without_events(A, Codec::Pcma))
        .unwrap();
    exchange
        .handle(at(0), MediaCommand::Bridge { a: A, b: B })
        .unwrap();
    let event = |duration| {
        let code = dtmf::code('8').unwrap();
        let event = Event {
            code,
            end: false,
            volume: 10,
            duration,
        };
        event.bytes()
    };
    for (n, duration) in [(1, 160), (2, 320)] {
        let mut bytes = packet(n, EVENT, &event(duration));
        bytes[4..8].copy_from_slice(&99_u32.to_be_bytes());
        assert_eq!(pass(&mut exchange, at(u64::from(n)), B, bytes), None);
    }
    let said = heard(&run(&mut exchange, 3, 400), A);
    let keys: Vec<_> = said
        .iter()
        .map(|(_, _, frame)| key_in(Codec::Pcma, frame))
        .collect();
    assert_eq!(
        keys.iter().filter(|key| **key == Some('8')).count(),
        6,
        "once: {keys:?}"
    );
}

#[test]
fn so_many_keys_wait_and_no_more() {
    let mut exchange = bridged();
    let most = 2 * limits::KEYS_WAITING;
    send(&mut exchange, B, &"1".repeat(most)).unwrap();
    assert_eq!(send(&mut exchange, B, "1"), Err(Rejected::KeysFull));
    run(&mut exchange, 1, 200);
    assert_eq!(send(&mut exchange, B, "1"), Ok(()));
    // A leg that closes takes its keys with it.
    exchange
        .handle(at(201), MediaCommand::Close { leg: B })
        .unwrap();
    assert_eq!(heard(&run(&mut exchange, 202, 600), B), []);
    assert_eq!(send(&mut exchange, B, "1"), Err(Rejected::UnknownLeg));
}
