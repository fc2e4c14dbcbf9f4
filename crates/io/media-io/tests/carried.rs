//! A call of one relay whose agent is at another: the mesh between them is a pair of functions.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use bytes::Bytes;
use domain::{AttemptId, CarriedCall, Codec, LegId, MemberId, RegionId, limits};
use media::{
    CARRIED_EVENT, CarryCommand, Channel, ExchangeConfig, MediaCommand, MediaEvent, PortRange,
    Prompts, Seed, g711,
    rtp::{HEADER, Header},
};
use media_io::{Relay, RelayConfig, RelayHandle, StartError, TapeEntry, TapeReader, tapes};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(10);
const CALL: CarriedCall = CarriedCall(0x1234_5678_9abc_def0);
const MESH: LegId = LegId(9);

struct Node {
    relay: RelayHandle,
    events: Receiver<MediaEvent>,
    range: PortRange,
    /// Datagrams for the other node.
    out: Receiver<(MemberId, Bytes)>,
    recorded: TapeReader,
}

fn node() -> Node {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 900) as u16 * 20;
    for _ in 0..500 {
        let step = NEXT.fetch_add(20, Ordering::Relaxed);
        let first = 12_000 + (spread + step) % 18_000;
        let range = PortRange::new(first, first + 18).unwrap();
        let ip = "127.0.0.1".parse().unwrap();
        let mut exchange = ExchangeConfig::new(range);
        // Only what is said is to be seen.
        exchange.keep_alive = Duration::ZERO;
        let seed = Seed::from_u64(u64::from(first));
        let config = RelayConfig::new(ip, exchange, Prompts::default(), seed);
        let (sender, events) = channel();
        let (writer, recorded) = tapes();
        let sink = Box::new(move |event| sender.send(event).is_ok());
        match Relay::start_recording(config, sink, Some(writer)) {
            Ok(relay) => {
                let (sender, out): (Sender<(MemberId, Bytes)>, _) = channel();
                relay.carried().send_by(Box::new(move |to, packet| {
                    sender.send((to, Bytes::copy_from_slice(packet))).is_ok()
                }));
                return Node {
                    relay,
                    events,
                    range,
                    out,
                    recorded,
                };
            }
            Err(StartError::Bind { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
    panic!("no free range of ports");
}

/// A far end with a socket.
struct Peer {
    socket: UdpSocket,
    to: SocketAddr,
    codec: Codec,
    next: u16,
}

impl Node {
    fn send(&self, command: MediaCommand) {
        self.relay.send(command).unwrap();
    }

    fn wait<T>(&self, pick: impl Fn(MediaEvent) -> Option<T>) -> T {
        loop {
            let event = self
                .events
                .recv_timeout(PATIENCE)
                .expect("an event in time");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    fn join(&self, leg: u64, codec: Codec) -> Peer {
        let port = self.range.port(leg as usize).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.send(MediaCommand::Open {
            leg: LegId(leg),
            port,
            telephone_event: Some(101),
        });
        self.send(MediaCommand::SetRemote {
            leg: LegId(leg),
            addr: socket.local_addr().unwrap(),
            rtcp: None,
            codec,
            telephone_event: Some(101),
            send: true,
            symmetric: false,
        });
        Peer {
            socket,
            to: SocketAddr::new([127, 0, 0, 1].into(), port.number()),
            codec,
            next: 1,
        }
    }

    /// The carried leg, bridged with leg 1.
    fn carry(&self, peer: MemberId, codec: Codec) {
        let port = self.range.port(9).unwrap();
        self.send(MediaCommand::Open {
            leg: MESH,
            port,
            telephone_event: Some(CARRIED_EVENT),
        });
        let attach = CarryCommand::Attach {
            leg: MESH,
            peer,
            call: CALL,
            codec,
        };
        self.relay.send_carry(attach).unwrap();
        self.send(MediaCommand::Bridge {
            a: LegId(1),
            b: MESH,
        });
        // In one order: once it is told, all of it is done.
        self.received();
    }

    /// Packets that the carried leg took.
    fn received(&self) -> u64 {
        self.send(MediaCommand::Snapshot { leg: MESH });
        self.wait(|event| match event {
            MediaEvent::Snapshot { stats, .. } => Some(stats.received),
            _ => None,
        })
    }
}

impl Peer {
    fn say(&mut self, byte: u8) {
        let header = Header {
            marker: false,
            payload_type: g711::payload_type(self.codec),
            sequence: self.next,
            timestamp: u32::from(self.next) * 160,
            ssrc: 77,
        };
        self.next += 1;
        let mut packet = [byte; HEADER + 160];
        header.write(packet.first_chunk_mut().unwrap());
        self.socket.send_to(&packet, self.to).unwrap();
    }

    fn hears(&self) -> u8 {
        let mut packet = [0; 400];
        let (len, from) = self.socket.recv_from(&mut packet).expect("audio in time");
        assert_eq!((len, from), (HEADER + 160, self.to));
        let (header, payload) = Header::read(&packet[..len]).unwrap();
        assert_eq!(header.payload_type, g711::payload_type(self.codec));
        let payload = &packet[payload];
        assert!(payload.iter().all(|byte| *byte == payload[0]));
        payload[0]
    }
}

/// What one node sends reaches the other.
fn deliver(from: &Node, me: MemberId, to: &Node, peer: MemberId) -> Bytes {
    let (named, datagram) = from.out.recv_timeout(PATIENCE).expect("a datagram in time");
    assert_eq!(named, peer);
    to.relay.carried().offer(me, datagram.clone());
    datagram
}

#[test]
fn a_person_here_and_an_agent_there_hear_each_other_and_both_are_recorded_here() {
    let (here, there) = (MemberId(2), MemberId(3));
    let (home, host) = (node(), node());
    let (mut person, mut agent) = (home.join(1, Codec::Pcma), host.join(1, Codec::Pcmu));
    home.carry(there, Codec::Pcma);
    host.carry(here, Codec::Pcma);
    let recording = AttemptId::new(RegionId(1), 7, 0);
    home.send(MediaCommand::Record {
        recording,
        agent: MESH,
        person: LegId(1),
    });
    home.received();
    person.say(0x55);
    let datagram = deliver(&home, here, &host, there);
    assert_eq!(datagram.len(), 9 + HEADER + 160);
    assert_eq!(datagram[0], 1, "golden: the kind");
    assert_eq!(datagram[1..9], CALL.0.to_be_bytes(), "golden: the call");
    // The agent's phone has the other law: changed on the way to it, as on any bridge.
    let mut expected = [0x55];
    g711::transcode(Codec::Pcma, Codec::Pcmu, &mut expected);
    assert_eq!(agent.hears(), expected[0]);
    agent.say(0x33);
    let datagram = deliver(&host, there, &home, here);
    let mut expected = [0x33];
    g711::transcode(Codec::Pcmu, Codec::Pcma, &mut expected);
    assert_eq!(datagram[9 + HEADER], expected[0]);
    assert_eq!(person.hears(), expected[0]);
    assert_eq!((home.received(), host.received()), (1, 1));
    home.send(MediaCommand::Close { leg: MESH });
    let stats = home.wait(|event| match event {
        MediaEvent::Unbridged { stats, .. } => Some(stats),
        _ => None,
    });
    assert_eq!((stats.a.received, stats.b.received), (1, 1));
    let mut sides = Vec::new();
    while sides.len() < 2 {
        let batch = home.recorded.next(PATIENCE).unwrap();
        for entry in batch.expect("a batch in time").entries() {
            if let TapeEntry::Sound(of, sound) = entry {
                assert_eq!(of, recording);
                sides.push(sound.channel);
            }
        }
    }
    assert_eq!(sides, [Channel::Person, Channel::Agent]);
}

#[test]
fn strangers_other_calls_and_other_bytes_reach_nobody() {
    let (here, there) = (MemberId(2), MemberId(3));
    let home = node();
    let mut person = home.join(1, Codec::Pcma);
    home.carry(there, Codec::Pcma);
    person.say(0x55);
    let (_, good) = home.out.recv_timeout(PATIENCE).unwrap();
    let gate = home.relay.carried();
    let other = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        Bytes::from(bytes)
    };
    // Another member, another call, another kind, too short, no RTP, longer than any packet.
    gate.offer(here, good.clone());
    gate.offer(there, other(&|bytes| bytes[8] ^= 1));
    gate.offer(there, other(&|bytes| bytes[0] = 2));
    gate.offer(there, good.slice(..8));
    gate.offer(there, other(&|bytes| bytes[9] = 0));
    gate.offer(
        there,
        other(&|bytes| bytes.resize(limits::RTP_BYTES + 20, 0)),
    );
    assert_eq!(home.received(), 0);
    gate.offer(there, good.clone());
    assert_eq!(person.hears(), 0x55);
    assert_eq!(home.received(), 1);
    // Of a leg that closed nothing is known any more.
    home.send(MediaCommand::Close { leg: MESH });
    home.wait(|event| matches!(event, MediaEvent::Closed { .. }).then_some(()));
    gate.offer(there, good);
    person.say(0x55);
    assert!(home.out.recv_timeout(Duration::from_millis(200)).is_err());
}

#[test]
fn at_the_bound_the_oldest_packet_goes() {
    let there = MemberId(3);
    let home = node();
    home.join(1, Codec::Pcma);
    home.carry(there, Codec::Pcma);
    let gate = home.relay.carried();
    // More than may wait, faster than they are read; none of them is of a call.
    for _ in 0..limits::CARRIED_PACKETS * 2 {
        gate.offer(there, Bytes::from_static(&[9; 20]));
    }
    assert_eq!(home.received(), 0, "the relay goes on");
}
