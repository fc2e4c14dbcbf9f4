use super::*;

#[test]
fn a_bridge_is_recorded_as_it_is_carried_until_it_ends() {
    let mut exchange = bridged();
    let recording = domain::AttemptId(9);
    let record = |agent, person| MediaCommand::Record {
        recording,
        agent,
        person,
    };
    let place = |e: &Exchange, leg| e.place_of(leg).unwrap();
    let hear = |e: &mut Exchange, leg, bytes: Vec<u8>| {
        let mut bytes = bytes;
        e.receive(at(0), place(e, leg), peer(leg), &mut bytes);
        e.taped()
            .map(|t| (t.channel, t.codec, bytes[t.payload].to_vec()))
    };
    assert_eq!(hear(&mut exchange, A, packet(1, 0, &[0xff; 160])), None);
    assert_eq!(
        exchange.handle(at(0), record(A, A)),
        Err(Rejected::NotBridged)
    );
    exchange.handle(at(0), record(A, B)).unwrap();
    assert_eq!(
        exchange.handle(at(0), record(A, B)),
        Err(Rejected::Recorded)
    );
    let law = Codec::Pcma;
    assert_eq!(
        exchange.poll_mark(),
        Some(RecordingMark::Began { recording, law })
    );
    // A speaks mu-law and goes on in A-law; B speaks mu-law too, and A hears it as it is.
    let agent = hear(&mut exchange, A, packet(2, 0, &[0xff; 160]));
    assert_eq!(
        agent,
        Some((crate::Channel::Agent, Codec::Pcma, vec![0xd5; 160]))
    );
    let person = hear(&mut exchange, B, packet(1, 0, &[0x12; 160]));
    assert_eq!(
        person,
        Some((crate::Channel::Person, Codec::Pcmu, vec![0x12; 160]))
    );
    // Keys and comfort noise are no sound.
    assert_eq!(
        hear(&mut exchange, A, packet(3, EVENT, &[1, 0, 0, 160])),
        None
    );
    let pause = |paused| MediaCommand::PauseRecording { leg: B, paused };
    exchange.handle(at(0), pause(true)).unwrap();
    exchange.handle(at(0), pause(true)).unwrap();
    assert_eq!(hear(&mut exchange, A, packet(4, 0, &[0xff; 160])), None);
    assert_eq!(hear(&mut exchange, B, packet(2, 0, &[0xff; 160])), None);
    exchange.handle(at(0), pause(false)).unwrap();
    assert!(hear(&mut exchange, A, packet(5, 0, &[0xff; 160])).is_some());
    exchange
        .handle(at(0), MediaCommand::Close { leg: A })
        .unwrap();
    assert_eq!(hear(&mut exchange, B, packet(3, 0, &[0xff; 160])), None);
    assert_eq!(
        exchange.handle(at(0), pause(true)),
        Err(Rejected::NotRecorded)
    );
    let marks: Vec<_> = std::iter::from_fn(|| exchange.poll_mark()).collect();
    let expected = [
        RecordingMark::Paused(recording),
        RecordingMark::Resumed(recording),
        RecordingMark::Ended(recording),
    ];
    assert_eq!(marks, expected);
}
