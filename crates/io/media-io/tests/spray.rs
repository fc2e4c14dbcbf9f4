//! RTP sprayed over all of a relay's ports beside calls: none of it is heard, and the calls do not
//! notice. `FLOOD_SECONDS=60` for the whole length.

// Tests may unwrap; clippy's exemption does not reach the functions around them.
#![allow(clippy::unwrap_used)]

use domain::{Codec, LegId};
use media::{ExchangeConfig, MediaCommand, PortRange, Prompts, Seed};
use media_io::{Relay, RelayConfig, RelayHandle, StartError};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Bridged calls: two legs each.
const CALLS: u16 = 20;
/// Pairs of ports, open or not.
const PORTS: u16 = 120;
/// Sprayed datagrams a second.
const SPRAY: u64 = 10_000;
const FRAME: Duration = Duration::from_millis(20);
/// How much later a packet may come at the 99th percentile.
const LATER: Duration = Duration::from_millis(5);

fn start() -> (RelayHandle, PortRange) {
    let spread = (std::process::id() % 40) as u16 * 2 * PORTS;
    for step in 0..40 {
        let first = 20_000 + (spread + step * 2 * PORTS) % (40 * PORTS);
        let range = PortRange::new(first, first + 2 * (PORTS - 1)).unwrap();
        let ip = [127, 0, 0, 1].into();
        let exchange = ExchangeConfig::new(range);
        let config = RelayConfig::new(ip, exchange, Prompts::default(), Seed::from_u64(1));
        match Relay::start(config, Box::new(|_| true)) {
            Ok(relay) => return (relay, range),
            Err(StartError::Bind { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("no free range of ports");
}

/// The far end of a leg.
struct Peer {
    socket: UdpSocket,
    to: SocketAddr,
    next: u16,
}

fn join(relay: &RelayHandle, range: PortRange, leg: u16) -> Peer {
    let port = range.port(usize::from(leg)).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let leg = LegId(u64::from(leg));
    let commands = [
        MediaCommand::Open {
            leg,
            port,
            telephone_event: None,
        },
        MediaCommand::SetRemote {
            leg,
            addr: socket.local_addr().unwrap(),
            rtcp: None,
            codec: Codec::Pcma,
            telephone_event: None,
            send: true,
            symmetric: false,
        },
    ];
    for command in commands {
        relay.send(command).unwrap();
    }
    let to = SocketAddr::from(([127, 0, 0, 1], port.number()));
    // What others on this machine still send to the port's last owner is none of its business.
    socket.connect(to).unwrap();
    Peer {
        socket,
        to,
        next: 1,
    }
}

impl Peer {
    /// 20 ms whose first bytes say when they were sent.
    fn say(&mut self, began: Instant) {
        let mut packet = [0xd5; 172];
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&self.next.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(self.next) * 160).to_be_bytes());
        packet[8..12].copy_from_slice(&u32::from(self.to.port()).to_be_bytes());
        let sent = began.elapsed().as_nanos() as u64;
        packet[12..20].copy_from_slice(&sent.to_be_bytes());
        self.next = self.next.wrapping_add(1);
        self.socket.send(&packet).unwrap();
    }

    fn hear(&self, began: Instant, delays: &mut Vec<Duration>) {
        let mut packet = [0; 2_048];
        while let Ok(length) = self.socket.recv(&mut packet) {
            assert_eq!(length, 172, "what was sprayed is never heard");
            let sent = u64::from_be_bytes(packet[12..20].try_into().unwrap());
            delays.push(began.elapsed() - Duration::from_nanos(sent));
        }
    }
}

/// Calls for so long: packets said, and how late each was that was heard.
fn talk(peers: &mut [Peer], span: Duration) -> (usize, Vec<Duration>) {
    let began = Instant::now();
    let (mut said, mut delays) = (0, Vec::new());
    let step = FRAME / peers.len() as u32;
    while began.elapsed() < span {
        // Each leg in its turn, as calls are spread over a frame.
        let due = (began.elapsed().as_nanos() / step.as_nanos()) as usize;
        while said < due {
            let place = said % peers.len();
            peers[place].say(began);
            said += 1;
        }
        for peer in peers.iter() {
            peer.hear(began, &mut delays);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        for peer in peers.iter() {
            peer.hear(began, &mut delays);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    delays.sort_unstable();
    (said, delays)
}

/// RTP of nobody, to each port in turn, RTCP's ports too.
fn spray(range: PortRange, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let stop = Arc::clone(stop);
    let first = range.port(0).unwrap().number();
    std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.66:0").unwrap();
        let (began, mut sent) = (Instant::now(), 0);
        let mut packet = [0x55; 100];
        packet[..2].copy_from_slice(&[0x80, 8]);
        while !stop.load(Ordering::Relaxed) {
            let due = began.elapsed().as_millis() as u64 * SPRAY / 1_000;
            while sent < due {
                packet[2..4].copy_from_slice(&(sent as u16).to_be_bytes());
                let port = first + (sent % (2 * u64::from(PORTS))) as u16;
                socket.send_to(&packet, ("127.0.0.1", port)).ok();
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        sent
    })
}

#[test]
fn calls_do_not_notice_a_spray_over_the_ports() {
    let seconds: u64 = std::env::var("FLOOD_SECONDS").map_or(8, |text| text.parse().unwrap());
    let span = Duration::from_secs(seconds);
    let (relay, range) = start();
    let mut peers: Vec<Peer> = (0..2 * CALLS).map(|leg| join(&relay, range, leg)).collect();
    for call in 0..u64::from(CALLS) {
        let (a, b) = (LegId(2 * call), LegId(2 * call + 1));
        relay.send(MediaCommand::Bridge { a, b }).unwrap();
    }
    // The first packets lock the sources.
    talk(&mut peers, Duration::from_millis(500));
    let p99 = |delays: &[Duration]| delays[delays.len() * 99 / 100];
    let (said, quiet) = talk(&mut peers, span);
    let stop = Arc::new(AtomicBool::new(false));
    let flood = spray(range, &stop);
    let (said_under, flooded) = talk(&mut peers, span);
    stop.store(true, Ordering::Relaxed);
    let sprayed = flood.join().unwrap();
    println!(
        "{} of {said} heard, p99 {:?}; {} of {said_under} under {sprayed} sprayed, p99 {:?}",
        quiet.len(),
        p99(&quiet),
        flooded.len(),
        p99(&flooded)
    );
    assert!(sprayed > SPRAY * 8 / 10 * seconds);
    assert!(flooded.len() * 1_000 >= said_under * 999);
    assert!(p99(&flooded) <= p99(&quiet) + LATER);
}
