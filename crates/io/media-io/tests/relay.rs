//! A relay on real sockets. Nothing here sleeps: it waits on sockets and on events.

// Tests may unwrap; clippy's exemption does not reach the functions around them.
#![allow(clippy::unwrap_used)]

use domain::{
    Codec, LegId, SrtpKey, SrtpKeys, SrtpSuite, WhoAnswered,
    answering::{Heard, Verdict},
    limits,
};
use media::{
    ExchangeConfig, LegDetail, MediaCommand, MediaEvent, Port, PortPool, PortRange, PromptId,
    Prompts, SRTP_ROOM, Seed, SrtpContext,
    dtmf::{self, Event},
    g711, rtcp,
    rtp::Header,
    tones::{self, Goertzel},
};
use media_io::{Relay, RelayConfig, RelayHandle, SendError, StartError};
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        atomic::{AtomicU16, AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(10);
/// Questions to the relay until something it was sent must have been read.
const ROUNDS: usize = 20_000;
const EVENT: u8 = 101;

struct House {
    relay: RelayHandle,
    events: Receiver<MediaEvent>,
    range: PortRange,
    ip: IpAddr,
}

/// Tries ranges until one is free; below the ephemeral ports.
fn start(ip: &str, adjust: impl Fn(&mut RelayConfig), refusals: u32) -> House {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ip: IpAddr = ip.parse().unwrap();
    let spread = (std::process::id() % 900) as u16 * 20;
    for _ in 0..500 {
        let step = NEXT.fetch_add(20, Ordering::Relaxed);
        let first = 12_000 + (spread + step) % 18_000;
        let range = PortRange::new(first, first + 18).unwrap();
        let seed = Seed::from_u64(u64::from(first));
        let mut config = RelayConfig::new(ip, ExchangeConfig::new(range), Prompts::default(), seed);
        adjust(&mut config);
        let (sender, events) = channel();
        let left = AtomicU32::new(refusals);
        let sink = Box::new(move |event| {
            if left.load(Ordering::Relaxed) > 0 {
                left.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
            sender.send(event).is_ok()
        });
        match Relay::start(config, sink) {
            Ok(relay) => {
                return House {
                    relay,
                    events,
                    range,
                    ip,
                };
            }
            Err(StartError::Bind { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
    panic!("no free range of ports");
}

fn house() -> House {
    start("127.0.0.1", |_| {}, 0)
}

/// The far end of a leg.
struct Peer {
    leg: LegId,
    port: Port,
    socket: UdpSocket,
    rtcp: UdpSocket,
    to: SocketAddr,
    codec: Codec,
    next: u16,
    tone: f64,
}

impl House {
    fn send(&self, command: MediaCommand) {
        self.relay.send(command).unwrap();
    }

    fn event(&self) -> MediaEvent {
        self.events
            .recv_timeout(PATIENCE)
            .expect("an event in time")
    }

    /// The next event that `pick` wants; others are passed over.
    fn wait<T>(&self, pick: impl Fn(MediaEvent) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(self.event()) {
                return found;
            }
        }
    }

    fn join(&self, leg: u64, codec: Codec, tone: f64) -> Peer {
        let port = self.range.port(leg as usize).unwrap();
        let socket = UdpSocket::bind((self.ip, 0)).unwrap();
        let rtcp = UdpSocket::bind((self.ip, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        rtcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let peer = Peer {
            leg: LegId(leg),
            port,
            to: SocketAddr::new(self.ip, port.number()),
            socket,
            rtcp,
            codec,
            next: 500,
            tone,
        };
        let open = MediaCommand::Open {
            leg: peer.leg,
            port,
            telephone_event: Some(EVENT),
        };
        self.send(open);
        self.send(peer.remote(false));
        // Answered in order: once told, the leg is open and knows its peer.
        self.snapshot(peer.leg);
        peer
    }

    fn snapshot(&self, leg: LegId) -> (domain::LegStats, LegDetail) {
        self.send(MediaCommand::Snapshot { leg });
        self.wait(|event| match event {
            MediaEvent::Snapshot {
                leg: told,
                stats,
                detail,
            } if told == leg => Some((stats, detail)),
            _ => None,
        })
    }
}

impl Peer {
    fn remote(&self, symmetric: bool) -> MediaCommand {
        MediaCommand::SetRemote {
            leg: self.leg,
            addr: self.socket.local_addr().unwrap(),
            rtcp: Some(self.rtcp.local_addr().unwrap()),
            codec: self.codec,
            telephone_event: Some(EVENT),
            send: true,
            symmetric,
        }
    }

    fn bytes(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 12];
        let header = Header {
            marker: false,
            payload_type,
            sequence: self.next,
            timestamp,
            ssrc: self.leg.0 as u32,
        };
        self.next = self.next.wrapping_add(1);
        header.write(bytes.first_chunk_mut().unwrap());
        bytes.extend_from_slice(payload);
        bytes
    }

    /// The next 20 ms of its tone.
    fn say(&mut self) {
        let place = u64::from(self.next) * 160;
        let sound: Vec<u8> = tones::sine(self.tone, -10.0, place, 160)
            .map(|sample| g711::encode(self.codec, sample))
            .collect();
        let bytes = self.bytes(g711::payload_type(self.codec), place as u32, &sound);
        self.socket.send_to(&bytes, self.to).unwrap();
    }

    fn hear(&self) -> (Header, Vec<u8>) {
        let mut buffer = [0; 2_000];
        let (len, from) = self
            .socket
            .recv_from(&mut buffer)
            .expect("a packet in time");
        assert_eq!(from, self.to, "from the leg's own port");
        let (header, payload) = Header::read(&buffer[..len]).unwrap();
        (header, buffer[payload].to_vec())
    }

    /// Passes over frames of silence that came before the bridge.
    fn hear_sound(&self) -> (Header, Vec<u8>) {
        loop {
            let (header, payload) = self.hear();
            if payload
                .iter()
                .any(|code| *code != g711::silence(self.codec))
            {
                return (header, payload);
            }
        }
    }

    fn share(&self, frequency: f64, heard: &[u8]) -> f64 {
        Goertzel::share_of(
            frequency,
            heard.iter().map(|code| g711::decode(self.codec, *code)),
        )
    }
}

/// Both talk in turn; what each heard.
fn talk(a: &mut Peer, b: &mut Peer, frames: usize) -> (Vec<Header>, Vec<u8>, Vec<Header>, Vec<u8>) {
    let mut told = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..frames {
        a.say();
        let (header, sound) = b.hear_sound();
        told.2.push(header);
        told.3.extend(sound);
        b.say();
        let (header, sound) = a.hear_sound();
        told.0.push(header);
        told.1.extend(sound);
    }
    told
}

#[test]
fn each_side_hears_the_others_tone() {
    for ip in ["127.0.0.1", "::1"] {
        if UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0)).is_err() {
            continue; // a machine without IPv6
        }
        let house = start(ip, |_| {}, 0);
        let mut a = house.join(0, Codec::Pcmu, 600.0);
        let mut b = house.join(1, Codec::Pcma, 1_300.0);
        house.send(MediaCommand::Bridge { a: a.leg, b: b.leg });
        // Answered in order: once told, the bridge stands.
        house.snapshot(a.leg);
        let (at_a, heard_a, at_b, heard_b) = talk(&mut a, &mut b, 50);
        assert!(a.share(1_300.0, &heard_a) > 0.9, "a hears b");
        assert!(b.share(600.0, &heard_b) > 0.9, "b hears a");
        assert!(a.share(600.0, &heard_a) < 0.01, "a does not hear itself");
        assert!(at_a.iter().all(|h| h.payload_type == 0));
        assert!(at_b.iter().all(|h| h.payload_type == 8));
        house.send(MediaCommand::Close { leg: a.leg });
        let stats = house.wait(|event| match event {
            MediaEvent::Unbridged { stats, .. } => Some(stats),
            _ => None,
        });
        assert_eq!((stats.a.received, stats.a.sent, stats.a.lost), (50, 50, 0));
        assert_eq!((stats.b.received, stats.b.sent, stats.b.lost), (50, 50, 0));
        let closed = house.wait(|event| match event {
            MediaEvent::Closed {
                leg,
                port,
                stats,
                detail,
            } => Some((leg, port, stats, detail)),
            _ => None,
        });
        assert_eq!((closed.0, closed.1), (a.leg, a.port));
        assert_eq!(
            (closed.2.received, closed.2.lost, closed.2.refused),
            (50, 0, 0)
        );
        assert_eq!((closed.3.unsent, closed.3.overflowed), (0, 0));
    }
}

#[test]
fn an_agent_hears_one_stream_over_two_calls_and_a_beep() {
    let house = house();
    let mut agent = house.join(0, Codec::Pcmu, 500.0);
    let mut heard = vec![agent.hear().0]; // silence keeps the path open
    for call in 1..=2 {
        let mut person = house.join(call, Codec::Pcmu, 900.0);
        house.send(MediaCommand::Bridge {
            a: agent.leg,
            b: person.leg,
        });
        let beep = MediaCommand::Play {
            leg: agent.leg,
            prompt: PromptId::BEEP,
            repeat: false,
        };
        house.send(beep);
        let mut beeped = Vec::new();
        while beeped.len() < 8 * 160 {
            let (header, sound) = agent.hear();
            heard.push(header);
            if sound != [0xff; 160] {
                beeped.extend(sound);
            }
        }
        assert!(agent.share(1_000.0, &beeped) > 0.9);
        let end = house.wait(|event| match event {
            MediaEvent::Played { finished, .. } => Some(finished),
            _ => None,
        });
        assert!(end);
        for _ in 0..20 {
            person.say();
            loop {
                let (header, sound) = agent.hear();
                heard.push(header);
                if agent.share(900.0, &sound) > 0.8 {
                    break;
                }
            }
            agent.say();
            person.hear_sound();
        }
        house.send(MediaCommand::Unbridge {
            a: agent.leg,
            b: person.leg,
        });
        let stats = house.wait(|event| match event {
            MediaEvent::Unbridged { stats, .. } => Some(stats),
            _ => None,
        });
        assert_eq!((stats.a.received, stats.b.received), (20, 20));
        // On a slow machine a frame of silence may be among them.
        assert!((20..40).contains(&stats.b.sent));
    }
    for pair in heard.windows(2) {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert!((160..8_000 * 10).contains(&step), "{step}");
    }
}

#[test]
fn a_stranger_is_never_heard() {
    let house = house();
    let mut a = house.join(0, Codec::Pcmu, 600.0);
    let mut b = house.join(1, Codec::Pcmu, 1_300.0);
    house.send(MediaCommand::Bridge { a: a.leg, b: b.leg });
    house.snapshot(a.leg);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..1_000 {
        // Before and after the true one spoke, with its own SSRC, to RTP and RTCP.
        let mut bytes = a.bytes(0, n * 160, &[0; 160]);
        a.next = a.next.wrapping_sub(1);
        bytes[2] ^= 1;
        stranger.send_to(&bytes, a.to).unwrap();
        if n % 20 == 0 {
            a.say();
            let (_, sound) = b.hear_sound();
            assert!(b.share(600.0, &sound) > 0.8);
            b.say();
            a.hear_sound();
        }
    }
    // What the kernel had no room for never came to us.
    let told = (0..ROUNDS)
        .map(|_| house.snapshot(a.leg))
        .find(|(stats, detail)| stats.refused + detail.overflowed == 1_000);
    let (stats, _) = told.expect("each of them is accounted for");
    assert_eq!((stats.received, stats.lost), (50, 0));
    // Nothing came back to it.
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv_from(&mut [0; 100]).is_err());
}

#[test]
fn a_phone_behind_a_router_is_found_by_its_first_packet() {
    let house = house();
    let mut a = house.join(0, Codec::Pcmu, 600.0);
    let mut phone = house.join(1, Codec::Pcmu, 1_300.0);
    house.send(phone.remote(true));
    house.send(MediaCommand::Bridge {
        a: a.leg,
        b: phone.leg,
    });
    // The router chose another port than the one in SDP.
    phone.socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    house.snapshot(a.leg);
    phone.say();
    a.hear_sound();
    a.say();
    assert!(phone.share(600.0, &phone.hear_sound().1) > 0.8);
}

#[test]
fn keys_pass_and_are_told_once() {
    let house = house();
    let mut a = house.join(0, Codec::Pcma, 600.0);
    let mut b = house.join(1, Codec::Pcma, 1_300.0);
    house.send(MediaCommand::Bridge { a: a.leg, b: b.leg });
    house.snapshot(a.leg);
    talk(&mut a, &mut b, 2);
    for (n, key) in ['4', '2', '#'].into_iter().enumerate() {
        for step in 1..=6u16 {
            let event = Event {
                code: dtmf::code(key).unwrap(),
                end: step > 3,
                volume: 10,
                duration: step.min(4) * 160,
            };
            let bytes = a.bytes(EVENT, 100_000 + n as u32 * 2_000, &event.bytes());
            a.socket.send_to(&bytes, a.to).unwrap();
            let (header, payload) = b.hear();
            assert_eq!(
                (header.payload_type, &payload[..]),
                (EVENT, &event.bytes()[..])
            );
        }
    }
    let mut keys = String::new();
    while keys.len() < 3 {
        keys.push(house.wait(|event| match event {
            MediaEvent::Digit { digit, leg } if leg == a.leg => Some(digit),
            _ => None,
        }));
    }
    assert_eq!(keys, "42#");
    house.snapshot(a.leg); // nothing further was told before it
    assert!(house.events.try_recv().is_err());
}

#[test]
fn losses_are_counted_to_the_packet_and_passed_on_as_they_are() {
    let house = house();
    let mut a = house.join(0, Codec::Pcmu, 600.0);
    let b = house.join(1, Codec::Pcmu, 1_300.0);
    house.send(MediaCommand::Bridge { a: a.leg, b: b.leg });
    house.snapshot(a.leg);
    let mut heard = Vec::new();
    for n in 0..100 {
        if n % 10 == 3 || n == 50 {
            a.next += 1; // the network lost it
        } else {
            a.say();
            heard.push(b.hear_sound().0.sequence);
        }
    }
    let (stats, detail) = house.snapshot(a.leg);
    assert_eq!((stats.received, stats.lost), (89, 11));
    assert_eq!((detail.duplicates, detail.reordered), (0, 0));
    let span = heard[88].wrapping_sub(heard[0]) + 1;
    assert_eq!(span, 100, "the peer sees the same gaps");
}

#[test]
fn what_the_kernel_dropped_is_known() {
    let house = start("127.0.0.1", |config| config.receive_buffer = 1, 0);
    let mut a = house.join(0, Codec::Pcmu, 600.0);
    for _ in 0..500 {
        a.say();
    }
    let told = (0..ROUNDS)
        .map(|_| house.snapshot(a.leg))
        .find(|(stats, detail)| stats.received + detail.overflowed == 500);
    let (stats, detail) = told.expect("every packet is accounted for");
    assert!(stats.lost <= detail.overflowed);
}

#[test]
fn a_late_packet_does_not_reach_the_next_call() {
    let house = house();
    let mut order = Seed::from_u64(1).stream("ports");
    let mut pool = PortPool::new(house.range, Duration::ZERO, &mut order);
    // One port goes round; the pool would hold it back for the drain time.
    let now = media_io::now().monotonic;
    let port = pool.take(now).unwrap();
    let mut old = house.join(house.range.place(port).unwrap() as u64, Codec::Pcmu, 600.0);
    old.say();
    house.wait(|event| matches!(event, MediaEvent::FirstPacket { .. }).then_some(()));
    house.send(MediaCommand::Close { leg: old.leg });
    let closed = house.wait(|event| match event {
        MediaEvent::Closed { port, stats, .. } => Some((port, stats)),
        _ => None,
    });
    assert_eq!((closed.0, closed.1.received), (port, 1));
    assert!(pool.give_back(now, closed.0));
    old.say(); // nobody is there
    let new = house.join(old.leg.0, Codec::Pcmu, 900.0);
    old.say(); // somebody else is
    let told = (0..ROUNDS)
        .map(|_| house.snapshot(new.leg).0)
        .find(|stats| stats.refused > 0);
    assert_eq!(told.expect("the late packet is refused").received, 0);
}

#[test]
fn reports_are_sent_and_read() {
    let adjust = |config: &mut RelayConfig| {
        config.exchange.report_every = Duration::from_millis(100);
    };
    let house = start("127.0.0.1", adjust, 0);
    let mut a = house.join(0, Codec::Pcmu, 600.0);
    a.say();
    let mut buffer = [0; 1_000];
    let (len, from) = a.rtcp.recv_from(&mut buffer).unwrap();
    assert_eq!(from.port(), a.port.rtcp());
    let mut reports = Vec::new();
    rtcp::read(&buffer[..len], |report| reports.push(report)).unwrap();
    let ours = reports
        .iter()
        .find_map(|report| match report {
            rtcp::Report::Block(by, block) if block.ssrc == 0 => Some(*by),
            _ => None,
        })
        .expect("a block about us");
    let block = rtcp::ReportBlock {
        ssrc: ours,
        lost: 5,
        ..rtcp::ReportBlock::default()
    };
    let len = rtcp::write(&mut buffer, 0, None, Some(block), "peer");
    a.rtcp
        .send_to(&buffer[..len], (house.ip, a.port.rtcp()))
        .unwrap();
    let told = (0..ROUNDS).find_map(|_| house.snapshot(a.leg).1.peer);
    assert_eq!(told.expect("the report is read").lost, 5);
}

#[test]
fn events_wait_for_a_sink_without_room() {
    let house = start("127.0.0.1", |_| {}, 20);
    let mut a = house.join(0, Codec::Pcmu, 600.0);
    a.say();
    house.wait(|event| matches!(event, MediaEvent::FirstPacket { .. }).then_some(()));
    house.send(MediaCommand::Close { leg: a.leg });
    assert!(matches!(house.event(), MediaEvent::Closed { .. }));
    house.send(MediaCommand::Close { leg: a.leg });
    assert!(matches!(house.event(), MediaEvent::Rejected { .. }));
}

#[test]
fn commands_are_bounded() {
    let house = start("127.0.0.1", |_| {}, u32::MAX);
    let nobody = MediaCommand::Close { leg: LegId(7) };
    let mut taken = 0;
    loop {
        match house.relay.send(nobody) {
            Ok(()) => taken += 1,
            Err(error) => break assert_eq!(error, SendError::Busy),
        }
    }
    // The thread took one, whose refusal found no room.
    assert!((limits::RELAY_COMMANDS..=limits::RELAY_COMMANDS + 2).contains(&taken));
    assert!(house.relay.is_running());
}

#[test]
fn a_port_in_use_is_named() {
    let first = house();
    let exchange = ExchangeConfig::new(first.range);
    let config = RelayConfig::new(first.ip, exchange, Prompts::default(), Seed::from_u64(1));
    let error = Relay::start(config, Box::new(|_| true)).unwrap_err();
    let StartError::Bind { addr, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(Some(addr.port()), first.range.port(0).map(Port::number));
}

/// Something that rises and falls as a voice does, from `place` on.
fn voice(place: u32) -> Vec<i16> {
    (place..place + 160)
        .map(|n| {
            let time = f64::from(n) / 8_000.0;
            let part = |hertz: f64, peak: f64| peak * (hertz * time * std::f64::consts::TAU).sin();
            let sound = part(137.0, 3_000.0) + part(411.0, 3_500.0) + part(959.0, 2_000.0);
            let swell = (time * 4.0 * std::f64::consts::PI).sin().abs();
            (sound * swell) as i16
        })
        .collect()
}

/// What is heard of an answered leg to which `sound` is said, and of nothing more.
fn listened_to(sound: impl Fn(u32) -> Vec<i16>, frames: u32) -> WhoAnswered {
    let house = house();
    let mut a = house.join(0, Codec::Pcma, 0.0);
    for answered in [false, true] {
        house.send(MediaCommand::Listen {
            leg: a.leg,
            answered,
        });
    }
    house.snapshot(a.leg);
    for frame in 0..frames {
        let sound = sound(frame * 160);
        let codes: Vec<u8> = (sound.iter())
            .map(|sample| g711::encode(Codec::Pcma, *sample))
            .collect();
        let bytes = a.bytes(8, frame * 160, &codes);
        a.socket.send_to(&bytes, a.to).unwrap();
    }
    house.wait(|event| match event {
        MediaEvent::Heard {
            leg,
            heard: Heard::Answered(who),
        } if leg == a.leg => Some(who),
        _ => None,
    })
}

#[test]
fn who_answered_is_told_from_what_the_leg_says() {
    // Silence that is not sent is heard all the same.
    let who = listened_to(voice, 20);
    assert!(who.verdict.counts_as_person(), "{who:?}");
    let greeting = who.greeting;
    assert_eq!(greeting.utterances, 1, "{who:?}");
    assert!((280..=420).contains(&greeting.spoken_ms), "{who:?}");
    let fax = |place: u32| tones::sine(2_100.0, -12.0, u64::from(place), 160).collect();
    let who = listened_to(fax, 60);
    assert_eq!(who.verdict, Verdict::Fax, "{who:?}");
    assert!(who.took_ms <= 1_200);
}

#[test]
fn a_machine_is_listened_to_until_its_beep() {
    let house = house();
    let mut a = house.join(0, Codec::Pcma, 0.0);
    for answered in [false, true] {
        house.send(MediaCommand::Listen {
            leg: a.leg,
            answered,
        });
    }
    house.snapshot(a.leg);
    // Four seconds of greeting, half a second of beep, then nothing more is sent.
    let who = std::cell::Cell::new(None);
    for frame in 0..225u32 {
        let sound = match frame {
            0..200 => voice(frame * 160),
            _ => tones::sine(1_000.0, -12.0, u64::from(frame * 160), 160).collect(),
        };
        let codes: Vec<u8> = (sound.iter())
            .map(|sample| g711::encode(Codec::Pcma, *sample))
            .collect();
        let bytes = a.bytes(8, frame * 160, &codes);
        a.socket.send_to(&bytes, a.to).unwrap();
        // So many that the socket would not hold them all: once some were heard, the next.
        if frame % 10 == 0 {
            house.send(MediaCommand::Snapshot { leg: a.leg });
            house.wait(|event| match event {
                MediaEvent::Heard {
                    heard: Heard::Answered(said),
                    ..
                } => {
                    who.set(Some(said));
                    None
                }
                MediaEvent::Snapshot { .. } => Some(()),
                _ => None,
            });
        }
    }
    let who: WhoAnswered = who.take().expect("a verdict within the greeting");
    assert_eq!(who.verdict, Verdict::Machine, "{who:?}");
    house.wait(|event| match event {
        MediaEvent::Heard {
            leg,
            heard: Heard::Beep,
        } if leg == a.leg => Some(()),
        _ => None,
    });
}

#[test]
fn a_secured_phone_and_a_plain_trunk_hear_each_other_and_a_strangers_packets_are_dropped() {
    let house = house();
    let (mut phone, mut trunk) = (
        house.join(0, Codec::Pcma, 600.0),
        house.join(1, Codec::Pcma, 1_300.0),
    );
    let key = |fill| SrtpKey::draw(SrtpSuite::AesCm128Sha1_80, |bytes| bytes.fill(fill));
    let keys = SrtpKeys {
        send: key(1),
        receive: key(2),
    };
    house.send(MediaCommand::Secure {
        leg: phone.leg,
        keys: Some(keys),
    });
    house.send(MediaCommand::Bridge {
        a: phone.leg,
        b: trunk.leg,
    });
    house.snapshot(phone.leg);
    let (mut out, mut into) = (
        SrtpContext::new(&keys.receive),
        SrtpContext::new(&keys.send),
    );
    let (mut by_phone, mut by_trunk) = (Vec::new(), Vec::new());
    // In bursts, as a relay that was held up finds them.
    for _ in 0..10 {
        for n in 0..5 {
            let place = u64::from(phone.next) * 160;
            let sound: Vec<u8> = tones::sine(phone.tone, -10.0, place, 160)
                .map(|sample| g711::encode(phone.codec, sample))
                .collect();
            let mut bytes = phone.bytes(8, place as u32, &sound);
            let len = bytes.len();
            if n == 0 {
                // Its own, not encrypted.
                phone.socket.send_to(&bytes, phone.to).unwrap();
            }
            bytes.resize(len + SRTP_ROOM, 0);
            let len = out.protect(&mut bytes, len).unwrap();
            phone.socket.send_to(&bytes[..len], phone.to).unwrap();
            trunk.say();
        }
        for _ in 0..5 {
            by_trunk.extend(trunk.hear_sound().1);
        }
        let mut sounds = 0;
        while sounds < 5 {
            let mut buffer = [0; 2_000];
            let (len, _) = phone.socket.recv_from(&mut buffer).expect("in time");
            // What was said before the keys were told is not for them.
            let Ok(len) = into.unprotect(&mut buffer[..len]) else {
                continue;
            };
            let (_, payload) = Header::read(&buffer[..len]).unwrap();
            let silence = g711::silence(Codec::Pcma);
            if buffer[payload.clone()].iter().any(|code| *code != silence) {
                by_phone.extend_from_slice(&buffer[payload]);
                sounds += 1;
            }
        }
    }
    assert!(phone.share(1_300.0, &by_phone) > 0.9);
    assert!(trunk.share(600.0, &by_trunk) > 0.9);
    let (stats, _) = house.snapshot(phone.leg);
    assert_eq!((stats.received, stats.refused), (50, 10));
}
