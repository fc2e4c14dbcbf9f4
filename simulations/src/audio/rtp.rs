//! RTP for every call of a process on one thread: a tick each 5 ms serves a quarter of the
//! streams, so that each sends and is read once in 20 ms without bursts.
//!
//! One thread with non-blocking sockets needs no wake-ups, no task a call, and does not wait for
//! signalling; a packet costs its two system calls and a copy from a looped table.

use super::{FRAME, Law, Sound, WINDOW, tones_in};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(5);
const PHASES: u64 = 4;
/// The ear listens to four packets of every eight.
const LISTEN_EVERY: u32 = 8;
/// A closed stream's port stays bound so long, so that stragglers are not refused with ICMP.
const LINGER: Duration = Duration::from_millis(500);
const MOMENTS: usize = 8_192;
/// Keys that are kept of a stream.
pub const KEYS: usize = 256;

/// What to play: sounds with their length in packets; the last one goes on for ever.
pub type Program = Vec<(Sound, u32)>;

/// What was heard at one end of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioReport {
    /// Tones of the grid, in hertz, heard in two windows or more.
    pub heard: Vec<u32>,
    /// RTP packets that came from the peer.
    pub packets: u64,
    /// Packets that never came, by sequence numbers.
    pub lost: u64,
    /// Packets sent.
    pub sent: u64,
    /// Keys of the telephone that came as events (RFC 4733), at most [`KEYS`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub keys: String,
    /// Datagrams from another source than the negotiated one, or not RTP.
    pub stray: u64,
    /// From opening the stream to the first packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_packet_ms: Option<u64>,
}

/// When each tone was heard; shared with whoever wants to look while the call goes on.
#[derive(Debug, Default)]
pub struct Hearing {
    counts: BTreeMap<u32, u32>,
    moments: VecDeque<(Instant, u32)>,
}

impl Hearing {
    fn note(&mut self, at: Instant, hertz: u32) {
        *self.counts.entry(hertz).or_default() += 1;
        if self.moments.len() == MOMENTS {
            self.moments.pop_front();
        }
        self.moments.push_back((at, hertz));
    }

    /// Tones heard in at least two windows between two moments.
    pub fn between(&self, from: Instant, to: Instant) -> Vec<u32> {
        let mut counts = BTreeMap::<u32, u32>::new();
        for (at, hertz) in &self.moments {
            if (from..=to).contains(at) {
                *counts.entry(*hertz).or_default() += 1;
            }
        }
        often(&counts)
    }
}

fn often(counts: &BTreeMap<u32, u32>) -> Vec<u32> {
    counts
        .iter()
        .filter(|(_, n)| **n >= 2)
        .map(|(hertz, _)| *hertz)
        .collect()
}

type Done = Box<dyn FnOnce(AudioReport) + Send>;

enum Command {
    Open(u64, Box<Stream>),
    Peer(u64, SocketAddr, Law),
    Play(u64, Program),
    Close(u64, Done),
}

/// A handle to the RTP thread. The thread ends when the last handle is dropped.
#[derive(Clone)]
pub struct RtpThread {
    commands: mpsc::Sender<Command>,
    next: Arc<AtomicU64>,
}

impl fmt::Debug for RtpThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RtpThread")
    }
}

/// One open stream. Dropping it leaves the stream running; close it.
#[derive(Debug)]
pub struct RtpStream {
    id: u64,
    thread: RtpThread,
    local: SocketAddr,
    hearing: Arc<Mutex<Hearing>>,
    arrived: Arc<AtomicU64>,
}

impl RtpThread {
    /// Starts the thread.
    pub fn start(name: &str) -> io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || Ticker::default().run(&inbox))?;
        Ok(Self {
            commands,
            next: Arc::default(),
        })
    }

    /// Opens a stream on a fresh port of `ip`; nothing is sent before the peer is known.
    pub fn open(
        &self,
        ip: IpAddr,
        peer: Option<(SocketAddr, Law)>,
        program: Program,
    ) -> io::Result<RtpStream> {
        self.open_into(ip, peer, program, Arc::default())
    }

    /// The same, adding to what a phone heard on earlier legs.
    pub fn open_into(
        &self,
        ip: IpAddr,
        peer: Option<(SocketAddr, Law)>,
        program: Program,
        hearing: Arc<Mutex<Hearing>>,
    ) -> io::Result<RtpStream> {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let stream = Stream::new(socket, peer, program, Arc::clone(&hearing), id);
        let arrived = Arc::clone(&stream.arrived);
        self.send(Command::Open(id, Box::new(stream)));
        Ok(RtpStream {
            id,
            thread: self.clone(),
            local,
            hearing,
            arrived,
        })
    }

    fn send(&self, command: Command) {
        // The thread outlives every handle, so a send fails only while the process dies.
        drop(self.commands.send(command));
    }
}

impl RtpStream {
    /// The address to name in a session description.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Where packets go and come from, from now on.
    pub fn set_peer(&self, peer: SocketAddr, law: Law) {
        self.thread.send(Command::Peer(self.id, peer, law));
    }

    /// Plays something else.
    pub fn play(&self, program: Program) {
        self.thread.send(Command::Play(self.id, program));
    }

    /// Tones heard in two windows or more between two moments.
    pub fn heard_between(&self, from: Instant, to: Instant) -> Vec<u32> {
        self.hearing
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .between(from, to)
    }

    /// Packets that came from the peer so far.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// What was heard so far, shared.
    pub fn hearing(&self) -> Arc<Mutex<Hearing>> {
        Arc::clone(&self.hearing)
    }

    /// Ends the stream; `done` is called on the RTP thread with what was heard.
    pub fn close(self, done: impl FnOnce(AudioReport) + Send + 'static) {
        self.thread.send(Command::Close(self.id, Box::new(done)));
    }
}

struct Stream {
    socket: UdpSocket,
    peer: Option<(SocketAddr, Law)>,
    program: Program,
    step: usize,
    played: u32,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    opened: Instant,
    report: AudioReport,
    source: Option<Source>,
    lost_before: u64,
    window: Vec<i16>,
    since_window: u32,
    /// The timestamp of the newest telephone event.
    event: Option<u32>,
    hearing: Arc<Mutex<Hearing>>,
    arrived: Arc<AtomicU64>,
}

/// RFC 3550 appendix A.3, as far as loss goes.
struct Source {
    ssrc: u32,
    base: u64,
    highest: u64,
    received: u64,
}

impl Source {
    fn lost(&self) -> u64 {
        (self.highest - self.base + 1).saturating_sub(self.received)
    }
}

impl Stream {
    fn new(
        socket: UdpSocket,
        peer: Option<(SocketAddr, Law)>,
        program: Program,
        hearing: Arc<Mutex<Hearing>>,
        id: u64,
    ) -> Self {
        let ssrc = (id as u32).wrapping_mul(0x9e37_79b9) ^ 0x5eed_c0de;
        Self {
            socket,
            peer,
            program,
            step: 0,
            played: 0,
            sequence: ssrc as u16,
            timestamp: ssrc,
            ssrc,
            opened: Instant::now(),
            report: AudioReport::default(),
            source: None,
            lost_before: 0,
            window: Vec::with_capacity(WINDOW),
            since_window: 0,
            event: None,
            hearing,
            arrived: Arc::default(),
        }
    }

    fn send(&mut self, library: &mut Library) {
        let Some((peer, law)) = self.peer else { return };
        while self.step + 1 < self.program.len() && self.played >= self.program[self.step].1 {
            self.step += 1;
            self.played = 0;
        }
        let Some((sound, _)) = self.program.get(self.step) else {
            return;
        };
        let clip = library.clip(*sound, law);
        let at = (self.played as usize * FRAME) % clip.len();
        let mut packet = [0u8; 12 + FRAME];
        packet[0] = 0x80;
        // The marker bit opens a talkspurt (RFC 3551 section 4.1).
        packet[1] = law.payload_type() | if self.report.sent == 0 { 0x80 } else { 0 };
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[12..].copy_from_slice(&clip[at..at + FRAME]);
        if self.socket.send_to(&packet, peer).is_ok() {
            self.report.sent += 1;
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        self.played = self.played.wrapping_add(1);
    }

    fn receive(&mut self, now: Instant) {
        let mut datagram = [0u8; 2_048];
        // More than this in one tick is a flood, and waits for the next.
        for _ in 0..32 {
            match self.socket.recv_from(&mut datagram) {
                Ok((len, from)) => self.take(&datagram[..len], from, now),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // A refused earlier send shows here once; the peer may open its port later.
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let expected = self.peer.is_some_and(|(peer, _)| peer == from);
        let Some((payload_type, timestamp, sequence, ssrc, payload)) = read_header(datagram) else {
            self.report.stray += 1;
            return;
        };
        if !expected {
            self.report.stray += 1;
            return;
        }
        if self.report.packets == 0 {
            let waited = now.saturating_duration_since(self.opened);
            self.report.first_packet_ms = Some(waited.as_millis() as u64);
        }
        self.report.packets += 1;
        self.arrived.fetch_add(1, Ordering::Relaxed);
        let in_order = self.count(sequence, ssrc);
        let Some(law) = Law::from_payload_type(payload_type) else {
            self.note_event(payload_type, timestamp, payload);
            return;
        };
        self.since_window += 1;
        if !in_order || payload.len() != FRAME {
            self.window.clear();
            return;
        }
        if self.window.is_empty() && self.since_window < LISTEN_EVERY {
            return;
        }
        if self.window.is_empty() {
            self.since_window = 0;
        }
        self.window.extend(payload.iter().map(|b| law.decode(*b)));
        if let Ok(window) = <&[i16; WINDOW]>::try_from(self.window.as_slice()) {
            let tones = tones_in(window);
            if !tones.is_empty() {
                let mut hearing = self.hearing.lock().unwrap_or_else(|p| p.into_inner());
                for hertz in tones {
                    hearing.note(now, hertz);
                }
            }
            self.window.clear();
        }
    }

    /// A telephone event is named by its timestamp; its packets repeat it (RFC 4733, 2.5.1.2).
    fn note_event(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let &[code, ..] = payload else { return };
        let key = b"0123456789*#ABCD".get(usize::from(code));
        let newer = (self.event).is_none_or(|known| {
            let ahead = timestamp.wrapping_sub(known);
            ahead != 0 && ahead < 0x8000_0000
        });
        if let Some(key) = key
            && payload_type >= 96
            && payload.len() == 4
            && newer
            && self.report.keys.len() < KEYS
        {
            self.event = Some(timestamp);
            self.report.keys.push(char::from(*key));
        }
    }

    /// Whether the packet is the very next one.
    fn count(&mut self, sequence: u16, ssrc: u32) -> bool {
        match &mut self.source {
            Some(source) if source.ssrc == ssrc => {
                let ahead = sequence.wrapping_sub(source.highest as u16);
                source.received += 1;
                if ahead < 0x8000 {
                    source.highest += u64::from(ahead);
                }
                ahead == 1
            }
            other => {
                self.lost_before += other.as_ref().map_or(0, Source::lost);
                let base = u64::from(sequence) + 0x1_0000;
                *other = Some(Source {
                    ssrc,
                    base,
                    highest: base,
                    received: 1,
                });
                true
            }
        }
    }

    fn finish(mut self: Box<Self>, now: Instant) -> (AudioReport, UdpSocket) {
        self.receive(now);
        self.report.lost = self.lost_before + self.source.as_ref().map_or(0, Source::lost);
        let hearing = self.hearing.lock().unwrap_or_else(|p| p.into_inner());
        self.report.heard = often(&hearing.counts);
        drop(hearing);
        (self.report, self.socket)
    }
}

/// Payload type, timestamp, sequence number, SSRC and payload (RFC 3550 section 5.1).
fn read_header(datagram: &[u8]) -> Option<(u8, u32, u16, u32, &[u8])> {
    let head = datagram.get(..12)?;
    if head[0] >> 6 != 2 {
        return None;
    }
    let mut start = 12 + 4 * usize::from(head[0] & 0x0f);
    if head[0] & 0x10 != 0 {
        let words = datagram.get(start + 2..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    let padding = match head[0] & 0x20 {
        0 => 0,
        _ => usize::from(*datagram.last()?),
    };
    let payload = datagram.get(start..datagram.len().checked_sub(padding)?)?;
    Some((
        head[1] & 0x7f,
        u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        u16::from_be_bytes([head[2], head[3]]),
        u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        payload,
    ))
}

#[derive(Default)]
struct Library(HashMap<(Sound, Law), Arc<[u8]>>);

impl Library {
    fn clip(&mut self, sound: Sound, law: Law) -> &[u8] {
        self.0
            .entry((sound, law))
            .or_insert_with(|| sound.render().into_iter().map(|s| law.encode(s)).collect())
    }
}

#[derive(Default)]
struct Ticker {
    streams: BTreeMap<u64, Box<Stream>>,
    library: Library,
    lingering: VecDeque<(Instant, UdpSocket)>,
}

impl Ticker {
    fn run(mut self, inbox: &mpsc::Receiver<Command>) {
        let mut next = Instant::now();
        let mut phase = 0;
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            let now = Instant::now();
            for (id, stream) in &mut self.streams {
                if id % PHASES == phase {
                    stream.receive(now);
                    stream.send(&mut self.library);
                }
            }
            while self
                .lingering
                .front()
                .is_some_and(|(until, _)| *until <= now)
            {
                self.lingering.pop_front();
            }
            phase = (phase + 1) % PHASES;
            next += TICK;
            let now = Instant::now();
            match next.checked_duration_since(now) {
                Some(wait) => thread::sleep(wait),
                // So late that catching up would be a burst: let the time go.
                None if now - next > Duration::from_millis(200) => next = now,
                None => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open(id, stream) => {
                self.streams.insert(id, stream);
            }
            Command::Peer(id, peer, law) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.peer = Some((peer, law));
                }
            }
            Command::Play(id, program) => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    (stream.program, stream.step, stream.played) = (program, 0, 0);
                }
            }
            Command::Close(id, done) => {
                if let Some(stream) = self.streams.remove(&id) {
                    let now = Instant::now();
                    let (report, socket) = stream.finish(now);
                    self.lingering.push_back((now + LINGER, socket));
                    done(report);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_streams_hear_each_other() {
        let thread = RtpThread::start("rtp-test").unwrap();
        let ip = IpAddr::from([127, 0, 0, 1]);
        let a = thread
            .open(ip, None, vec![(Sound::Speech, 10), (Sound::Tone(450), 0)])
            .unwrap();
        let b = thread
            .open(ip, Some((a.local(), Law::A)), vec![(Sound::Tone(1_025), 0)])
            .unwrap();
        a.set_peer(b.local(), Law::A);
        let start = Instant::now();
        while b.heard_between(start, Instant::now()).is_empty()
            || a.heard_between(start, Instant::now()).is_empty()
        {
            assert!(start.elapsed() < Duration::from_secs(20), "no tone heard");
            thread::yield_now();
        }
        let (sender, reports) = mpsc::channel();
        for stream in [a, b] {
            let sender = sender.clone();
            stream.close(move |report| drop(sender.send(report)));
        }
        let (a, b) = (reports.recv().unwrap(), reports.recv().unwrap());
        assert_eq!((a.heard, b.heard), (vec![1_025], vec![450]));
        assert_eq!((a.lost, b.lost, a.stray, b.stray), (0, 0, 0, 0));
        assert!(a.packets > 10 && a.sent > 10);
    }

    #[test]
    fn three_hundred_streams_lose_nothing() {
        let thread = RtpThread::start("rtp-test").unwrap();
        let ip = IpAddr::from([127, 0, 0, 1]);
        let open = |hertz| {
            thread
                .open(ip, None, vec![(Sound::Tone(hertz), 0)])
                .unwrap()
        };
        let pairs: Vec<_> = (0..150).map(|_| (open(450), open(1_025))).collect();
        for (a, b) in &pairs {
            a.set_peer(b.local(), Law::Mu);
            b.set_peer(a.local(), Law::Mu);
        }
        let start = Instant::now();
        let heard = |s: &RtpStream| !s.heard_between(start, Instant::now()).is_empty();
        while !pairs.iter().all(|(a, b)| heard(a) && heard(b)) {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "not all were heard"
            );
            thread::yield_now();
        }
        let (sender, reports) = mpsc::channel();
        for stream in pairs.into_iter().flat_map(|(a, b)| [a, b]) {
            let sender = sender.clone();
            stream.close(move |report| drop(sender.send(report)));
        }
        drop(sender);
        let reports: Vec<_> = reports.iter().collect();
        assert_eq!(reports.len(), 300);
        assert_eq!(reports.iter().map(|r| r.lost).sum::<u64>(), 0);
    }

    #[test]
    fn each_key_is_heard_once_by_its_timestamp() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut stream = Stream::new(socket, None, Vec::new(), Arc::default(), 1);
        for (timestamp, payload) in [
            (100, &[5, 10, 0, 160][..]),
            (100, &[5, 0x8a, 3, 192]),
            (1_700, &[5, 10, 0, 160]),
            (100, &[5, 0x8a, 3, 192]),
            (3_300, &[16, 10, 0, 160]),
            (4_900, &[11, 10]),
            (6_500, &[11, 10, 0, 160]),
        ] {
            stream.note_event(101, timestamp, payload);
        }
        stream.note_event(13, 9_000, &[1, 2, 3, 4]);
        assert_eq!(stream.report.keys, "55#");
    }

    #[test]
    fn loss_counts_gaps_over_the_wrap() {
        let thread_socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut stream = Stream::new(thread_socket, None, Vec::new(), Arc::default(), 1);
        for sequence in [65_533u16, 65_534, 65_535, 2, 3, 1] {
            stream.count(sequence, 9);
        }
        // 0 never came, 1 came late.
        assert_eq!(stream.source.as_ref().unwrap().lost(), 1);
        stream.count(7, 10);
        assert_eq!((stream.lost_before, stream.source.unwrap().lost()), (1, 0));
    }

    #[test]
    fn headers_with_extension_and_padding() {
        let mut packet = vec![0xb1, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
        packet.extend([0, 0, 0, 7]); // one CSRC
        packet.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // extension of one word
        packet.extend([9, 9, 0, 2]); // payload and two bytes of padding
        let (payload_type, timestamp, sequence, ssrc, payload) = read_header(&packet).unwrap();
        assert_eq!(
            (payload_type, timestamp, sequence, ssrc, payload),
            (8, 0, 1, 2, &[9u8, 9][..])
        );
        assert_eq!(read_header(&[0x40; 12]), None);
        assert_eq!(read_header(&packet[..13]), None);
    }
}
