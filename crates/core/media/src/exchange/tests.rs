use super::*;
use crate::{
    dtmf::{self, Event},
    g711::{self, FRAME},
    rtcp::{self, ReportBlock, SenderInfo},
    rtp::Header,
};
use domain::{Codec, LegStats, WallTime, limits};

mod holding;
mod keys;
mod mixing;
mod secured;
mod taping;

const A: LegId = LegId(1);
const B: LegId = LegId(2);
const EVENT: u8 = 101;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn peer(leg: LegId) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, leg.0 as u8], 4_000))
}

fn at(millis: u64) -> Now {
    Now::default().plus(Duration::from_millis(1_000 + millis))
}

fn port(n: u16) -> Port {
    Port::new(n).unwrap()
}

fn exchange() -> Exchange {
    let config = ExchangeConfig::new(PortRange::new(40_000, 40_019).unwrap());
    Exchange::new(config, Prompts::default(), Seed::from_u64(5))
}

fn open(exchange: &mut Exchange, leg: LegId, codec: Codec, now: Now) {
    exchange
        .handle(
            now,
            MediaCommand::Open {
                leg,
                port: port(40_000 + 2 * leg.0 as u16),
                telephone_event: Some(EVENT),
            },
        )
        .unwrap();
    exchange.handle(now, remote(leg, codec)).unwrap();
}

fn remote(leg: LegId, codec: Codec) -> MediaCommand {
    MediaCommand::SetRemote {
        leg,
        addr: peer(leg),
        rtcp: Some(SocketAddr::new(peer(leg).ip(), 4_001)),
        codec,
        telephone_event: Some(96),
        send: true,
        symmetric: false,
    }
}

fn packet(sequence: u16, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    Header {
        marker: false,
        payload_type,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: 77,
    }
    .write(bytes.first_chunk_mut().unwrap());
    bytes.extend(payload);
    bytes
}

/// Puts a packet in and reads what comes out.
fn pass(
    exchange: &mut Exchange,
    now: Now,
    leg: LegId,
    mut bytes: Vec<u8>,
) -> Option<(SocketAddr, Header, Vec<u8>)> {
    let place = exchange.place_of(leg).unwrap();
    let onward = exchange.receive(now, place, peer(leg), &mut bytes)?;
    let bytes = &bytes[onward.bytes];
    let (header, payload) = Header::read(bytes).unwrap();
    Some((onward.to, header, bytes[payload].to_vec()))
}

fn events(exchange: &mut Exchange) -> Vec<MediaEvent> {
    std::iter::from_fn(|| exchange.poll_output()).collect()
}

fn own(exchange: &mut Exchange) -> Vec<(Transmit, Vec<u8>)> {
    let mut buffer = [0; TRANSMIT_BYTES];
    std::iter::from_fn(|| {
        let transmit = exchange.poll_transmit(&mut buffer)?;
        Some((transmit, buffer[..transmit.len].to_vec()))
    })
    .collect()
}

/// Lets the clock run and gathers everything said on the way.
fn run(exchange: &mut Exchange, from: u64, to: u64) -> Vec<(u64, Transmit, Vec<u8>)> {
    let mut said = Vec::new();
    for millis in from..=to {
        if exchange
            .poll_timeout()
            .is_some_and(|(due, _)| due <= at(millis).monotonic)
        {
            exchange.handle_timeout(at(millis));
            said.extend(
                own(exchange)
                    .into_iter()
                    .map(|(t, bytes)| (millis, t, bytes)),
            );
        }
    }
    said
}

fn bridged() -> Exchange {
    let mut exchange = exchange();
    open(&mut exchange, A, Codec::Pcmu, at(0));
    open(&mut exchange, B, Codec::Pcma, at(0));
    exchange
        .handle(at(0), MediaCommand::Bridge { a: A, b: B })
        .unwrap();
    exchange
}

#[test]
fn a_bridge_carries_and_transcodes_both_ways() {
    let mut exchange = bridged();
    let (to, first, sound) = pass(&mut exchange, at(0), A, packet(9, 0, &[0xff; 160])).unwrap();
    assert_eq!(to, peer(B));
    assert_eq!((first.payload_type, first.marker), (8, true));
    assert_eq!(sound, [0xd5; 160]);
    let (_, next, _) = pass(&mut exchange, at(20), A, packet(10, 0, &[0; 160])).unwrap();
    assert_eq!(next.sequence, first.sequence + 1);
    assert_eq!(next.timestamp, first.timestamp.wrapping_add(160));
    assert_eq!(next.ssrc, first.ssrc);
    // The other law is understood too, and goes through as it is where it is wanted.
    let (to, back, sound) = pass(&mut exchange, at(20), B, packet(1, 0, &[0x12; 160])).unwrap();
    assert_eq!((to, back.payload_type), (peer(A), 0));
    assert_eq!(sound, [0x12; 160]);
    assert_ne!(back.ssrc, first.ssrc);
    assert_eq!(
        events(&mut exchange),
        [
            MediaEvent::FirstPacket { leg: A },
            MediaEvent::FirstPacket { leg: B }
        ]
    );
}

#[test]
fn extensions_and_padding_stay_behind() {
    let mut exchange = bridged();
    let mut bytes = packet(9, 8, &[]);
    bytes[0] |= 0x30;
    bytes.extend([0, 0, 0, 1, 1, 1, 1, 1]);
    bytes.extend([0x55; 80]);
    bytes.extend([0, 0, 0, 4]);
    let (_, header, sound) = pass(&mut exchange, at(0), B, bytes).unwrap();
    assert_eq!(header.payload_type, 0);
    assert_eq!(sound.len(), 80);
}

#[test]
fn strangers_are_refused_and_counted() {
    let mut exchange = bridged();
    let place = exchange.place_of(A).unwrap();
    let good = packet(1, 0, &[0; 160]);
    for stranger in ["192.0.2.1:4002", "203.0.113.9:4000"] {
        let mut bytes = good.clone();
        assert_eq!(
            exchange.receive(at(0), place, addr(stranger), &mut bytes),
            None
        );
    }
    let mut other = packet(1, 18, &[0; 20]);
    assert_eq!(exchange.receive(at(0), place, peer(A), &mut other), None);
    assert_eq!(
        exchange.receive(at(0), place, peer(A), &mut [1, 2, 3]),
        None
    );
    exchange.receive_oversized(place);
    assert_eq!(exchange.receive(at(0), 0, peer(A), &mut good.clone()), None);
    let third = LegId(3);
    let opened = MediaCommand::Open {
        leg: third,
        port: port(40_010),
        telephone_event: None,
    };
    exchange.handle(at(0), opened).unwrap();
    assert_eq!(
        exchange.receive(at(0), 5, peer(third), &mut good.clone()),
        None
    );
    let mut far = packet(30_000, 0, &[0; 160]);
    assert!(
        exchange
            .receive(at(0), place, peer(A), &mut good.clone())
            .is_some()
    );
    assert_eq!(exchange.receive(at(0), place, peer(A), &mut far), None);
    // In the order of Refusal::ALL.
    assert_eq!(exchange.traffic().refused, [1, 1, 2, 2, 1, 1, 0, 0]);
    exchange
        .handle(at(0), MediaCommand::Snapshot { leg: A })
        .unwrap();
    let snapshot = events(&mut exchange).pop().unwrap();
    assert!(matches!(snapshot, MediaEvent::Snapshot { stats, .. } if stats.refused == 6));
}

#[test]
fn a_phone_is_latched_and_a_new_address_starts_anew() {
    let mut exchange = bridged();
    let mut phone = remote(B, Codec::Pcma);
    if let MediaCommand::SetRemote { symmetric, .. } = &mut phone {
        *symmetric = true;
    }
    exchange.handle(at(0), phone).unwrap();
    let place = exchange.place_of(B).unwrap();
    let send = |exchange: &mut Exchange, from: &str, n| {
        exchange
            .receive(at(0), place, addr(from), &mut packet(n, 8, &[0; 160]))
            .is_some()
    };
    assert!(send(&mut exchange, "192.0.2.2:61000", 1));
    assert!(!send(&mut exchange, "192.0.2.2:61002", 2), "locked");
    let to = pass(&mut exchange, at(0), A, packet(1, 0, &[0; 160]))
        .unwrap()
        .0;
    assert_eq!(to, addr("192.0.2.2:61000"));
    // The same offer again keeps the lock.
    exchange.handle(at(0), phone).unwrap();
    assert!(send(&mut exchange, "192.0.2.2:61000", 3));
    // The phone itself speaks: who was first is a stranger from then on.
    assert!(send(&mut exchange, "192.0.2.2:4000", 4));
    assert!(!send(&mut exchange, "192.0.2.2:61000", 5));
    let to = pass(&mut exchange, at(0), A, packet(2, 0, &[0; 160]))
        .unwrap()
        .0;
    assert_eq!(to, addr("192.0.2.2:4000"));
    // A trunk's lock is exact.
    exchange.handle(at(0), remote(B, Codec::Pcma)).unwrap();
    assert!(!send(&mut exchange, "192.0.2.2:61000", 4));
}

#[test]
fn keys_are_told_and_pass_under_the_other_sides_type() {
    let mut exchange = bridged();
    pass(&mut exchange, at(0), A, packet(1, 0, &[0; 160]));
    let key = |end, duration| {
        let event = Event {
            code: dtmf::code('7').unwrap(),
            end,
            volume: 5,
            duration,
        };
        let mut bytes = packet(0, EVENT, &event.bytes());
        bytes[4..8].copy_from_slice(&320u32.to_be_bytes());
        bytes
    };
    let mut last = 0;
    for n in 2..8u16 {
        let mut bytes = key(n > 4, n * 160);
        bytes[2..4].copy_from_slice(&n.to_be_bytes());
        let (_, header, payload) = pass(&mut exchange, at(20), A, bytes).unwrap();
        assert_eq!((header.payload_type, payload.len()), (96, 4));
        last = header.sequence;
    }
    let digits: Vec<_> = events(&mut exchange)
        .into_iter()
        .filter(|event| matches!(event, MediaEvent::Digit { .. }))
        .collect();
    assert_eq!(digits, [MediaEvent::Digit { leg: A, digit: '7' }]);
    // To a peer without telephone events they are not sent, and leave no gap.
    let mut deaf = remote(B, Codec::Pcma);
    if let MediaCommand::SetRemote {
        telephone_event, ..
    } = &mut deaf
    {
        *telephone_event = None;
    }
    exchange.handle(at(20), deaf).unwrap();
    let mut bytes = key(false, 160);
    bytes[2..4].copy_from_slice(&8u16.to_be_bytes());
    assert_eq!(pass(&mut exchange, at(40), A, bytes), None);
    assert_eq!(pass(&mut exchange, at(40), A, packet(9, 13, &[40])), None);
    let (_, header, _) = pass(&mut exchange, at(40), A, packet(10, 0, &[0; 160])).unwrap();
    assert_eq!(header.sequence, last + 1);
}

#[test]
fn a_peer_hears_one_stream_through_bridges_prompts_and_silence() {
    let mut exchange = exchange();
    for n in 1..=3 {
        open(&mut exchange, LegId(n), Codec::Pcmu, at(0));
    }
    let mut heard: Vec<(u64, Header)> = Vec::new();
    // An agent (A): silence for 3 s, a call, a beep, another call.
    let mut clock = 0;
    let mut wait = |exchange: &mut Exchange, heard: &mut Vec<(u64, Header)>, until| {
        for (millis, transmit, bytes) in run(exchange, clock, until) {
            if transmit.to == peer(A) {
                heard.push((millis, Header::read(&bytes).unwrap().0));
            }
        }
        clock = until + 1;
    };
    wait(&mut exchange, &mut heard, 3_000);
    assert!(
        (2..=4).contains(&heard.len()),
        "one frame of silence a second"
    );
    for (call, start) in [(B, 3_001), (LegId(3), 5_001)] {
        exchange
            .handle(at(start), MediaCommand::Bridge { a: A, b: call })
            .unwrap();
        let beep = MediaCommand::Play {
            leg: A,
            prompt: PromptId::BEEP,
            repeat: false,
        };
        exchange.handle(at(start), beep).unwrap();
        for n in 0..50u16 {
            let millis = start + u64::from(n) * 20;
            wait(&mut exchange, &mut heard, millis);
            let sound = packet(n + 20_000 * call.0 as u16, 0, &[1; 160]);
            if let Some((_, header, _)) = pass(&mut exchange, at(millis), call, sound) {
                heard.push((millis, header));
            }
        }
        exchange
            .handle(at(start + 1_000), MediaCommand::Unbridge { a: A, b: call })
            .unwrap();
    }
    assert!(heard.len() > 90);
    for pair in heard.windows(2) {
        let [(then, before), (now, after)] = pair else {
            unreachable!()
        };
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        let samples = after.timestamp.wrapping_sub(before.timestamp);
        let elapsed = (now - then) as u32 * 8;
        assert!(
            samples >= 160 && samples.abs_diff(elapsed) <= 2 * 160,
            "{samples} {elapsed}"
        );
        assert!(after.marker || samples == 160);
    }
    let played = events(&mut exchange)
        .into_iter()
        .filter(|e| matches!(e, MediaEvent::Played { finished: true, .. }))
        .count();
    assert_eq!(played, 2);
}

#[test]
fn bridges_and_legs_are_accounted_for_apart() {
    let mut exchange = bridged();
    let agent = LegId(3);
    for n in (0..10).filter(|n| n % 5 != 2) {
        pass(
            &mut exchange,
            at(u64::from(n) * 20),
            A,
            packet(n, 0, &[0; 160]),
        );
    }
    exchange
        .handle(at(200), MediaCommand::Unbridge { a: B, b: A })
        .unwrap();
    open(&mut exchange, agent, Codec::Pcmu, at(200));
    exchange
        .handle(at(200), MediaCommand::Bridge { a: agent, b: A })
        .unwrap();
    for n in 10..14 {
        pass(
            &mut exchange,
            at(u64::from(n) * 20),
            A,
            packet(n, 0, &[0; 160]),
        );
    }
    exchange
        .handle(at(300), MediaCommand::Close { leg: A })
        .unwrap();
    let told: Vec<_> = events(&mut exchange);
    let [_, MediaEvent::Unbridged { a, b, stats }, second, closed] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((a, b), (A, B), "named as bridged");
    assert_eq!((stats.a.received, stats.a.lost, stats.b.sent), (8, 2, 8));
    let MediaEvent::Unbridged { a, b, stats } = second else {
        panic!("{second:?}")
    };
    assert_eq!((a, b), (agent, A));
    assert_eq!(
        stats.a,
        LegStats {
            sent: 4,
            ..LegStats::default()
        }
    );
    assert_eq!((stats.b.received, stats.b.lost), (4, 0));
    let MediaEvent::Closed {
        leg, port, stats, ..
    } = closed
    else {
        panic!("{closed:?}")
    };
    assert_eq!((leg, port.number()), (A, 40_002));
    assert_eq!((stats.received, stats.lost), (12, 2));
    assert_eq!(exchange.open_legs(), 2);
}

#[test]
fn prompts_keep_time_wait_for_a_listener_and_end() {
    let mut exchange = exchange();
    let tone = MediaCommand::Play {
        leg: A,
        prompt: PromptId::TONE,
        repeat: false,
    };
    let opened = MediaCommand::Open {
        leg: A,
        port: port(40_002),
        telephone_event: None,
    };
    exchange.handle(at(0), opened).unwrap();
    exchange.handle(at(0), tone).unwrap();
    assert!(run(&mut exchange, 0, 500).is_empty());
    exchange.handle(at(500), remote(A, Codec::Pcma)).unwrap();
    let said = run(&mut exchange, 501, 4_000);
    let frames: Vec<_> = said
        .iter()
        .filter(|(_, _, bytes)| bytes.len() == 172)
        .take(100)
        .collect();
    for (n, (millis, transmit, bytes)) in frames.iter().enumerate() {
        assert_eq!(transmit.to, peer(A));
        assert_eq!(*millis, 520 + 20 * n as u64);
        let header = Header::read(bytes).unwrap().0;
        assert_eq!((header.marker, header.payload_type), (n == 0, 8));
    }
    let told = events(&mut exchange);
    assert_eq!(
        told,
        [MediaEvent::Played {
            leg: A,
            prompt: PromptId::TONE,
            finished: true
        }]
    );
    // A late wake sends no more than a handful, and a replaced prompt says so.
    exchange
        .handle(
            at(4_000),
            MediaCommand::Play {
                leg: A,
                prompt: PromptId::TONE,
                repeat: true,
            },
        )
        .unwrap();
    exchange.handle_timeout(at(6_000));
    let burst = own(&mut exchange);
    assert_eq!(burst.iter().filter(|(t, _)| t.len == 12 + FRAME).count(), 5);
    exchange
        .handle(
            at(6_000),
            MediaCommand::Play {
                leg: A,
                prompt: PromptId::BEEP,
                repeat: true,
            },
        )
        .unwrap();
    assert!(
        run(&mut exchange, 6_001, 8_000).len() >= 95,
        "it goes around"
    );
    exchange
        .handle(at(8_000), MediaCommand::StopPlay { leg: A })
        .unwrap();
    exchange
        .handle(at(8_000), MediaCommand::StopPlay { leg: A })
        .unwrap();
    assert_eq!(
        events(&mut exchange),
        [PromptId::TONE, PromptId::BEEP].map(|prompt| MediaEvent::Played {
            leg: A,
            prompt,
            finished: false
        })
    );
}

#[test]
fn silence_is_told_once_and_rtcp_is_life() {
    let mut exchange = exchange();
    open(&mut exchange, A, Codec::Pcmu, at(0));
    let place = exchange.place_of(A).unwrap();
    run(&mut exchange, 0, 20_000);
    let mut bytes = [0; rtcp::WRITE_BYTES];
    let len = rtcp::write(&mut bytes, 9, None, None, "peer");
    exchange.receive_rtcp(at(20_000), place, addr("192.0.2.1:4001"), &mut bytes[..len]);
    run(&mut exchange, 20_001, 49_000);
    assert_eq!(events(&mut exchange), []);
    run(&mut exchange, 49_001, 90_000);
    let told = events(&mut exchange);
    assert_eq!(told.len(), 1);
    assert!(
        matches!(told[0], MediaEvent::Silent { leg: A, span } if span >= Duration::from_secs(30))
    );
}

#[test]
fn nothing_is_sent_on_hold() {
    let mut exchange = bridged();
    let mut hold = remote(B, Codec::Pcma);
    if let MediaCommand::SetRemote { send, .. } = &mut hold {
        *send = false;
    }
    exchange.handle(at(0), hold).unwrap();
    assert_eq!(pass(&mut exchange, at(0), A, packet(1, 0, &[0; 160])), None);
    let said = run(&mut exchange, 0, 3_000);
    assert!(said.iter().all(|(_, t, _)| t.to == peer(A) || t.rtcp));
}

#[test]
fn reports_go_out_and_come_in() {
    let mut exchange = bridged();
    for n in 0..100u16 {
        pass(
            &mut exchange,
            at(u64::from(n) * 20),
            A,
            packet(n, 0, &[0; 160]),
        );
    }
    let place = exchange.place_of(B).unwrap();
    let said = run(&mut exchange, 2_000, 6_500);
    let (millis, transmit, bytes) = said
        .iter()
        .find(|(_, t, _)| t.rtcp && t.place == place)
        .unwrap();
    assert_eq!(transmit.to.port(), 4_001);
    let mut seen = Vec::new();
    rtcp::read(bytes, |report| seen.push(report)).unwrap();
    let [rtcp::Report::Sender(ssrc, info)] = seen[..] else {
        panic!("{seen:?}")
    };
    // A hundred relayed, and a frame of silence for each idle second since.
    assert!((100..105).contains(&info.packets));
    assert_eq!(info.octets, info.packets * 160);
    // Seconds since 1900 of a clock that showed 1970 and as many milliseconds.
    assert_eq!(info.ntp >> 32, 2_208_988_800 + 1 + millis / 1_000);
    // B answers 40 ms later, having held the report for 15.
    let block = ReportBlock {
        ssrc,
        lost: 3,
        fraction_lost: 7,
        jitter: 16,
        last_sender_report: (info.ntp >> 16) as u32,
        delay: 983,
        ..ReportBlock::default()
    };
    let mut answer = [0; rtcp::WRITE_BYTES];
    let sender = SenderInfo {
        ntp: 0xabc_0000,
        ..SenderInfo::default()
    };
    let len = rtcp::write(&mut answer, 9, Some(sender), Some(block), "b");
    exchange.receive_rtcp(
        at(millis + 40),
        place,
        addr("192.0.2.2:999"),
        &mut answer[..len],
    );
    // From elsewhere it is refused; on the RTP port it is read too.
    exchange.receive_rtcp(
        at(millis + 40),
        place,
        addr("192.0.2.3:4001"),
        &mut answer[..len],
    );
    assert_eq!(
        exchange.receive(at(millis + 40), place, peer(B), &mut answer[..len]),
        None
    );
    exchange
        .handle(at(7_000), MediaCommand::Close { leg: B })
        .unwrap();
    let Some(MediaEvent::Closed { detail, stats, .. }) = events(&mut exchange).pop() else {
        panic!()
    };
    let heard = detail.peer.unwrap();
    assert_eq!(
        (heard.lost, heard.fraction_lost, heard.jitter_us),
        (3, 7, 2_000)
    );
    let trip = heard.round_trip.unwrap();
    assert!((24..=26).contains(&trip.as_millis()), "{trip:?}");
    assert_eq!(stats.refused, 1);
}

#[test]
fn commands_that_cannot_be_followed_change_nothing() {
    let mut exchange = bridged();
    let mut refuse = |command, reason| assert_eq!(exchange.handle(at(0), command), Err(reason));
    let opened = |leg, n| MediaCommand::Open {
        leg,
        port: port(n),
        telephone_event: None,
    };
    refuse(opened(A, 40_010), Rejected::LegExists);
    refuse(opened(LegId(9), 40_002), Rejected::PortTaken);
    refuse(opened(LegId(9), 40_020), Rejected::PortOutside);
    refuse(MediaCommand::Bridge { a: A, b: B }, Rejected::Bridged);
    refuse(MediaCommand::Unbridge { a: A, b: A }, Rejected::NotBridged);
    {
        let leg = LegId(9);
        let unknown = Rejected::UnknownLeg;
        refuse(MediaCommand::Close { leg }, unknown);
        refuse(MediaCommand::Snapshot { leg }, unknown);
        refuse(MediaCommand::StopPlay { leg }, unknown);
        refuse(MediaCommand::Bridge { a: A, b: leg }, unknown);
        refuse(remote(leg, Codec::Pcmu), unknown);
    }
    let none = MediaCommand::Play {
        leg: A,
        prompt: PromptId(99),
        repeat: false,
    };
    refuse(none, Rejected::UnknownPrompt);
    for bad in [
        "0.0.0.0:4000",
        "255.255.255.255:4000",
        "224.0.0.1:4000",
        "192.0.2.1:0",
        "[ff02::1]:9",
    ] {
        let mut command = remote(A, Codec::Pcmu);
        if let MediaCommand::SetRemote { addr: to, .. } = &mut command {
            *to = addr(bad);
        }
        refuse(command, Rejected::Address);
    }
    assert_eq!(events(&mut exchange), []);
    assert!(pass(&mut exchange, at(0), A, packet(1, 0, &[0; 160])).is_some());
}

#[test]
fn what_the_system_would_not_take_is_not_sent() {
    let mut exchange = bridged();
    pass(&mut exchange, at(0), A, packet(1, 0, &[0; 160]));
    let place = exchange.place_of(B).unwrap();
    exchange.unsent(place, 1);
    exchange.overflowed(place, 4);
    exchange.overflowed(place, 6);
    exchange
        .handle(at(0), MediaCommand::Close { leg: B })
        .unwrap();
    let Some(MediaEvent::Closed { stats, detail, .. }) = events(&mut exchange).pop() else {
        panic!()
    };
    assert_eq!((stats.sent, detail.unsent, detail.overflowed), (0, 1, 6));
    assert_eq!(
        (exchange.traffic().sent, exchange.traffic().overflowed),
        (0, 6)
    );
}

#[test]
fn without_legs_there_is_no_timer() {
    let mut exchange = exchange();
    assert_eq!(exchange.poll_timeout(), None);
    open(&mut exchange, A, Codec::Pcmu, at(0));
    assert_eq!(
        exchange.poll_timeout(),
        Some((at(20).monotonic, TimerName::Tick))
    );
    exchange
        .handle(at(0), MediaCommand::Close { leg: A })
        .unwrap();
    assert_eq!(exchange.poll_timeout(), None);
    assert_eq!(at(0).wall, WallTime::from_millis(1_000));
}

#[test]
fn a_flood_of_keys_is_bounded() {
    let mut exchange = bridged();
    let place = exchange.place_of(A).unwrap();
    let event = Event {
        code: 1,
        end: false,
        volume: 0,
        duration: 160,
    }
    .bytes();
    for n in 0..limits::MEDIA_EVENTS as u32 + 100 {
        let mut bytes = packet(n as u16, EVENT, &event);
        bytes[4..8].copy_from_slice(&(n * 160).to_be_bytes());
        exchange.receive(at(0), place, peer(A), &mut bytes);
    }
    assert_eq!(events(&mut exchange).len(), limits::MEDIA_EVENTS);
    let silent = g711::silence(Codec::Pcmu);
    assert!(pass(&mut exchange, at(0), A, packet(100, 0, &[silent])).is_some());
}

#[test]
fn a_leg_that_is_listened_to_is_tapped_until_who_answered_is_told() {
    use domain::answering::{Heard, Verdict, WhoAnswered};
    let mut exchange = exchange();
    open(&mut exchange, A, Codec::Pcma, at(0));
    let place = exchange.place_of(A).unwrap();
    let mut sequence = 0;
    let mut tapped = |exchange: &mut Exchange, payload_type| {
        sequence += 1;
        let mut bytes = packet(sequence, payload_type, &[7; 160]);
        exchange.receive(at(0), place, peer(A), &mut bytes);
        exchange
            .tapped()
            .map(|tapped| bytes[tapped.payload].to_vec())
    };
    assert_eq!(tapped(&mut exchange, 8), None, "nobody asked");
    let listen = |answered| MediaCommand::Listen { leg: A, answered };
    let heard = |leg, heard| MediaEvent::Heard { leg, heard };
    exchange.handle(at(0), listen(false)).unwrap();
    assert_eq!(exchange.listening(place), Some(Listening::Early));
    assert_eq!(tapped(&mut exchange, 8), Some(vec![7; 160]));
    assert_eq!(tapped(&mut exchange, EVENT), None, "a key is no sound");
    events(&mut exchange);
    let busy = Heard::Early(Verdict::Busy);
    exchange.heard(place, busy);
    exchange.handle(at(0), listen(true)).unwrap();
    let who = Heard::Answered(WhoAnswered::untold(1));
    exchange.heard(place, who);
    exchange.heard(place, who);
    assert_eq!(events(&mut exchange), [heard(A, busy), heard(A, who)]);
    assert_eq!(tapped(&mut exchange, 8), None, "it was told");
    // A machine is listened to until its beep, and that is told once.
    let beep = Heard::Beep;
    exchange.handle(at(0), listen(true)).unwrap();
    exchange.heard(place, beep);
    let machine = Heard::Answered(WhoAnswered {
        verdict: Verdict::Machine,
        ..WhoAnswered::untold(1)
    });
    exchange.heard(place, machine);
    exchange.heard(place, machine);
    assert_eq!(exchange.listening(place), Some(Listening::Machine));
    assert_eq!(tapped(&mut exchange, 8), Some(vec![7; 160]));
    exchange.heard(place, beep);
    exchange.heard(place, beep);
    let told = [heard(A, machine), heard(A, beep)];
    assert_eq!(events(&mut exchange), told, "in this order");
    assert_eq!(exchange.listening(place), None);
    // An agent is there, or the message: nobody listens any more.
    open(&mut exchange, B, Codec::Pcma, at(0));
    exchange.handle(at(0), listen(true)).unwrap();
    let bridge = MediaCommand::Bridge { a: A, b: B };
    exchange.handle(at(0), bridge).unwrap();
    assert_eq!(exchange.listening(place), None);
    let nobody = MediaCommand::Listen {
        leg: LegId(9),
        answered: true,
    };
    let refused = exchange.handle(at(0), nobody);
    assert_eq!(refused, Err(Rejected::UnknownLeg));
}
