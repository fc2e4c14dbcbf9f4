//! Floods beside honest calls: strangers' INVITEs on the trunks' port and bad REGISTERs on the phones'
//! port, from real sockets into those of the product. `FLOOD_SECONDS=60` for the whole length.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod city;

use city::{City, caller_id, free_port, trunk};
use domain::CallRecord;
use engine::DirectoryCopy;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const AGENTS: u32 = 40;
/// How much longer setting up may take at the 99th percentile.
const SLOWER: Duration = Duration::from_millis(50);
/// How much more memory may be held, in bytes.
const MORE_MEMORY: u64 = 64 << 20;

/// A carrier in a process of its own: everybody answers, and is short of words.
struct Carrier(Child);

impl Carrier {
    fn start(folder: &Path, address: SocketAddr) -> Self {
        let config = folder.join("carrier.toml");
        let text = format!(
            "seed = 1\nmedia = false\nmedia_timeout_ms = 0\n[habits]\nanswer_permille_by_hour = {:?}\n\
             post_dial_mean_ms = 5\nring_mean_ms = 20\ntalk_mean_ms = 40\nwaits_permille = 0\n\
             early_media_permille = 0\n[[trunks]]\nname = \"east\"\nlisten = \"{address}\"\n\
             channels = 1000\ncalls_per_second = 1000\n",
            [1000; 24]
        );
        fs::write(&config, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_dialmesh-carrier"))
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line == "ready"));
        assert!(ready.is_some(), "the carrier did not start");
        Self(child)
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Sends so many datagrams a second until it is told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, u64)>,
}

impl Flood {
    /// `from` takes turns; `text` writes the n-th message.
    fn start(
        from: &[&str],
        to: SocketAddr,
        rate: u64,
        text: impl Fn(u64, SocketAddr) -> String + Send + 'static,
    ) -> Self {
        let bind = |ip: &&str| {
            let socket = UdpSocket::bind((*ip, 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let sockets: Vec<UdpSocket> = from.iter().map(bind).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (began, mut sent, mut answers) = (Instant::now(), 0, 0);
            let mut buffer = [0; 2_048];
            while !told.load(Ordering::Relaxed) {
                let due = began.elapsed().as_millis() as u64 * rate / 1_000;
                while sent < due {
                    let socket = &sockets[sent as usize % sockets.len()];
                    let own = socket.local_addr().unwrap();
                    // A full buffer loses it, as a network would.
                    socket.send_to(text(sent, own).as_bytes(), to).ok();
                    sent += 1;
                }
                for socket in &sockets {
                    while socket.recv(&mut buffer).is_ok() {
                        answers += 1;
                    }
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            (sent, answers)
        });
        Self { stop, thread }
    }

    /// How many were sent and answered.
    fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn invite(n: u64, own: SocketAddr) -> String {
    format!(
        "INVITE sip:+1212555{:04}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKf{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@{own}>;tag=f{n}\r\nTo: <sip:y@127.0.0.1>\r\n\
         Call-ID: f{n}@{own}\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{own}>\r\nContent-Length: 0\r\n\r\n",
        n % 10_000
    )
}

fn register(n: u64, own: SocketAddr) -> String {
    format!(
        "REGISTER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKr{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a{n}@dialmesh>;tag=r{n}\r\nTo: <sip:a{n}@dialmesh>\r\n\
         Call-ID: r{n}@{own}\r\nCSeq: 1 REGISTER\r\nContact: <sip:a{n}@{own}>\r\n\
         Authorization: Digest username=\"a{n}\", realm=\"dialmesh\", nonce=\"no\", uri=\"sip:x\", response=\"0\"\r\n\
         Expires: 300\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let resident = pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    resident * 4_096
}

/// From INVITE to 200, at the 99th percentile.
fn set_up(records: &[CallRecord]) -> Duration {
    let spans = records.iter().filter_map(|r| {
        let invited = r.invited_at?;
        Some(r.answered_at?.since(invited))
    });
    let mut spans: Vec<Duration> = spans.collect();
    spans.sort_unstable();
    spans[spans.len() * 99 / 100]
}

#[test]
fn calls_go_on_under_floods_and_strangers_get_no_answer() {
    let seconds: u64 = std::env::var("FLOOD_SECONDS").map_or(15, |text| text.parse().unwrap());
    let seconds = Duration::from_secs(seconds);
    let (folder, address) = (tempfile::tempdir().unwrap(), free_port());
    let _carrier = Carrier::start(folder.path(), address);
    let copy = DirectoryCopy {
        trunks: vec![trunk(1, address)],
        caller_ids: vec![caller_id("+12125550101", 1)],
        ..DirectoryCopy::default()
    };
    let numbers = |place| Some(format!("+1212{:07}", 2_000_000 + place).parse().unwrap());
    let mut city = City::start(copy, AGENTS, numbers);
    let phones = city.open_phones();
    let until = |city: &mut City, span: Duration| {
        let end = city.began.elapsed() + span;
        city.run(end);
    };
    until(&mut city, seconds);
    let quiet = std::mem::take(&mut city.records);
    let (memory, lost) = (resident(), city.lost.clone());
    let strangers = Flood::start(&["127.0.0.66"], city.trunk_address(), 5_000, invite);
    let sources = ["127.0.0.67", "127.0.0.68", "127.0.0.69"];
    let registers = Flood::start(&sources, phones, 10_000, register);
    until(&mut city, seconds);
    let flooded = std::mem::take(&mut city.records);
    let grown = resident().saturating_sub(memory);
    let (sent, answers) = strangers.end();
    let (tried, challenged) = registers.end();
    until(&mut city, Duration::from_secs(5));
    let after = std::mem::take(&mut city.records);
    let [before, during, healed] = [&quiet, &flooded, &after].map(|r| set_up(r));
    println!(
        "{} calls quiet, p99 {before:?}; {} under {sent} INVITEs ({answers} answered) and {tried} REGISTERs \
         ({challenged} answered), p99 {during:?}; {} after, p99 {healed:?}; {} KiB more; lost {:?}",
        quiet.len(),
        flooded.len(),
        after.len(),
        grown / 1024,
        city.lost
    );
    assert!(sent > 4_000 * seconds.as_secs() && tried > 8_000 * seconds.as_secs());
    assert_eq!(answers, 0, "strangers on the trunks' port get no answer");
    // Who may be a phone is asked who it is, so often: 20 a second and 60 at once of each address.
    let asked = sources.len() as u64 * (60 + 21 * (seconds.as_secs() + 1));
    assert!(challenged <= asked, "{challenged} challenges");
    assert!(during <= before + SLOWER, "{before:?} {during:?}");
    assert!(healed <= before + SLOWER, "{before:?} {healed:?}");
    assert!(grown < MORE_MEMORY, "{grown} bytes more");
    assert_eq!(city.lost, lost, "no honest call was lost");
    assert!(flooded.len() * 100 >= quiet.len() * 90);
}
