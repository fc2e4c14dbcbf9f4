//! Bridged calls through a relay on loopback: what is lost, how late, at what cost.
//!
//! `cargo bench -p media-io --bench relay -- --calls 200 --seconds 30`
//!
//! Each side of all calls shares one socket, as a carrier's media gateway may; the relay has a
//! port a leg. Delay is from before the peer's `send` to after the other's `recv`, so it holds
//! the peers' own waking up; the same without a relay is printed beside it.

use domain::{Codec, LegId};
use media::{ExchangeConfig, MediaCommand, MediaEvent, PortRange, Prompts, Seed, rtp::Header};
use media_io::{Relay, RelayConfig};
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FRAME: Duration = Duration::from_millis(20);

fn main() {
    let (mut calls, mut seconds, mut coalesce, mut plain) = (200, 30, 0, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok()).expect("a number");
        match arg.as_str() {
            "--calls" => calls = number(),
            "--seconds" => seconds = number(),
            "--coalesce-us" => coalesce = number(),
            "--without-priority" => plain = true,
            _ => {} // cargo's own, such as --bench
        }
    }
    let span = Duration::from_secs(seconds);
    println!("load before: {}", load());
    let direct = measure(calls, span.min(Duration::from_secs(5)), None);
    println!("without a relay: {}", direct.text());
    let relayed = relayed(calls, span, Duration::from_micros(coalesce), plain);
    println!("load after: {}", load());
    assert!(relayed, "packets were lost by us");
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Runs the calls through a relay; whether nothing was lost by it.
fn relayed(calls: u64, span: Duration, coalesce: Duration, plain: bool) -> bool {
    let range = PortRange::new(20_000, 20_000 + (calls * 4 - 2) as u16).expect("a range");
    let exchange = ExchangeConfig::new(range);
    let mut config = RelayConfig::new(HOME, exchange, Prompts::default(), Seed::from_u64(7));
    config.coalesce = coalesce;
    if plain {
        config.niceness = 0;
    }
    let (sender, events) = channel();
    let sink = Box::new(move |event| sender.send(event).is_ok());
    let relay = Relay::start(config, sink).expect("free ports from 20000 on");
    let peers = Peers::new();
    for call in 0..calls {
        for side in 0..2 {
            let leg = LegId(call * 2 + side);
            let port = range.port(leg.0 as usize).expect("as many as legs");
            let send = |command| relay.send(command).expect("room for commands");
            send(MediaCommand::Open {
                leg,
                port,
                telephone_event: None,
            });
            send(MediaCommand::SetRemote {
                leg,
                addr: peers.addr(side as usize),
                rtcp: None,
                codec: Codec::Pcmu,
                telephone_event: None,
                send: true,
                symmetric: false,
            });
        }
        let (a, b) = (LegId(call * 2), LegId(call * 2 + 1));
        relay
            .send(MediaCommand::Bridge { a, b })
            .expect("room for commands");
    }
    relay
        .send(MediaCommand::Snapshot { leg: LegId(0) })
        .expect("room for commands");
    events
        .recv_timeout(Duration::from_secs(10))
        .expect("the bridges stand");
    let before = relay.cpu();
    let told = peers.run(calls, span, Some(range));
    // The figure is told each second.
    thread::sleep(Duration::from_millis(1_100));
    let cpu = relay.cpu() - before;
    let ok = account(&events, &relay, calls, &told);
    let call_seconds = calls as f64 * span.as_secs_f64();
    println!("through the relay: {}", told.text());
    println!(
        "relay thread: {:.3} s CPU, {:.1} % of a core, {:.3} ms a bridged call-second, {:.2} us a packet",
        cpu.as_secs_f64(),
        100.0 * cpu.as_secs_f64() / span.as_secs_f64(),
        1_000.0 * cpu.as_secs_f64() / call_seconds,
        1e6 * cpu.as_secs_f64() / told.sent as f64,
    );
    ok
}

/// Closes all legs and compares the relay's figures with the peers'.
fn account(
    events: &Receiver<MediaEvent>,
    relay: &media_io::RelayHandle,
    calls: u64,
    told: &Told,
) -> bool {
    for leg in (0..calls * 2).map(LegId) {
        relay
            .send(MediaCommand::Close { leg })
            .expect("room for commands");
    }
    let (mut closed, mut received, mut lost, mut refused) = (0, 0, 0, 0);
    let (mut unsent, mut overflowed, mut jitter) = (0, 0, 0);
    while closed < calls * 2 {
        let event = events
            .recv_timeout(Duration::from_secs(10))
            .expect("every leg closes");
        if let MediaEvent::Closed { stats, detail, .. } = event {
            closed += 1;
            received += stats.received;
            lost += stats.lost;
            refused += stats.refused;
            unsent += detail.unsent;
            overflowed += detail.overflowed;
            jitter = jitter.max(stats.jitter_us);
        }
    }
    println!(
        "relay's account: {received} received, {lost} lost, {refused} refused, {unsent} unsent, \
         {overflowed} dropped by the kernel, worst jitter {jitter} us"
    );
    received == told.sent && unsent == 0 && overflowed == 0 && told.received == told.sent
}

/// The two far ends of all calls.
struct Peers {
    sockets: [Arc<UdpSocket>; 2],
}

struct Told {
    sent: u64,
    received: u64,
    /// Sorted, in microseconds.
    delays: Vec<u32>,
    late_sends: u64,
}

impl Told {
    fn at(&self, permille: usize) -> f64 {
        let place = (self.delays.len() * permille / 1_000).min(self.delays.len().saturating_sub(1));
        self.delays
            .get(place)
            .map_or(f64::NAN, |us| f64::from(*us) / 1_000.0)
    }

    fn text(&self) -> String {
        format!(
            "{} sent, {} received, {} lost; delay p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms; \
             {} rounds of the sender began over 5 ms late",
            self.sent,
            self.received,
            self.sent as i64 - self.received as i64,
            self.at(500),
            self.at(990),
            self.at(999),
            self.at(1_000),
            self.late_sends,
        )
    }
}

fn measure(calls: u64, span: Duration, through: Option<PortRange>) -> Told {
    Peers::new().run(calls, span, through)
}

impl Peers {
    fn new() -> Self {
        let socket = || {
            let socket = UdpSocket::bind((HOME, 0)).expect("a free port");
            socket2::SockRef::from(&socket)
                .set_recv_buffer_size(4 << 20)
                .expect("a larger buffer");
            socket
                .set_read_timeout(Some(Duration::from_millis(300)))
                .expect("a timeout");
            Arc::new(socket)
        };
        Self {
            sockets: [socket(), socket()],
        }
    }

    fn addr(&self, side: usize) -> SocketAddr {
        self.sockets[side].local_addr().expect("it is bound")
    }

    fn listen(&self, side: usize, start: Instant, done: &Arc<AtomicBool>) -> JoinHandle<Vec<u32>> {
        let (socket, done) = (Arc::clone(&self.sockets[side]), Arc::clone(done));
        thread::spawn(move || {
            let mut delays = Vec::with_capacity(1 << 20);
            let mut buffer = [0; 2_000];
            loop {
                match socket.recv_from(&mut buffer) {
                    // Frames of silence are shorter in meaning: they carry no stamp.
                    Ok((172, _)) if buffer[12] == 0xda => {
                        let stamp = u64::from_be_bytes(buffer[13..21].try_into().expect("8 bytes"));
                        let delay = start.elapsed().as_nanos() as u64 - stamp;
                        delays.push((delay / 1_000) as u32);
                    }
                    Ok(_) => {}
                    Err(_) if done.load(Ordering::Acquire) => return delays,
                    Err(_) => {}
                }
            }
        })
    }

    /// Sends a packet each 20 ms each way of each call, evenly spread over the 20 ms.
    fn run(&self, calls: u64, span: Duration, through: Option<PortRange>) -> Told {
        let (start, done) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let ears = [0, 1].map(|side| self.listen(side, start, &done));
        let (legs, rounds) = (calls * 2, (span.as_millis() / 20) as u64);
        let (mut sent, mut late_sends) = (0, 0);
        let mut packet = [0; 172];
        packet[12] = 0xda;
        for millis in 0..rounds * 20 {
            let due = start + Duration::from_millis(millis);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            late_sends += u64::from(due.elapsed() > Duration::from_millis(5));
            let (round, slice) = (millis / 20, millis % FRAME.as_millis() as u64);
            for leg in legs * slice / 20..legs * (slice + 1) / 20 {
                let side = (leg % 2) as usize;
                let to = through
                    .and_then(|range| range.port(leg as usize))
                    .map_or(self.addr(1 - side), |port| {
                        SocketAddr::new(HOME, port.number())
                    });
                let header = Header {
                    marker: round == 0,
                    payload_type: 0,
                    sequence: round as u16,
                    timestamp: round as u32 * 160,
                    ssrc: leg as u32,
                };
                header.write(packet.first_chunk_mut().expect("longer than a header"));
                let stamp = start.elapsed().as_nanos() as u64;
                packet[13..21].copy_from_slice(&stamp.to_be_bytes());
                self.sockets[side]
                    .send_to(&packet, to)
                    .expect("loopback takes it");
                sent += 1;
            }
        }
        done.store(true, Ordering::Release);
        let mut delays: Vec<u32> = ears
            .into_iter()
            .flat_map(|ear| ear.join().expect("a listener does not panic"))
            .collect();
        delays.sort_unstable();
        Told {
            sent,
            received: delays.len() as u64,
            delays,
            late_sends,
        }
    }
}
