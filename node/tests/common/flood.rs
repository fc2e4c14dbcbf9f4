//! REGISTERs: of one honest phone, and floods of strangers; from addresses of loopback of their own.

use domain::Secret;
use sip::{
    Credentials,
    digest::{Authorizer, Challenge, Subject},
    lexer::Message,
};
use std::{
    fs,
    io::Write as _,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::net::TcpSocket;

pub(crate) const LOGIN: &str = "li";
pub(crate) const PASSWORD: &str = "secret";
const URI: &str = "sip:dialmesh";
/// After how long a phone says it again: T1 of RFC 3261.
const AGAIN: Duration = Duration::from_millis(500);
const TRIES: usize = 4;

fn request(own: SocketAddr, user: &str, n: u64, line: &str) -> String {
    format!(
        "REGISTER {URI} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@dialmesh>;tag=t{n}\r\nTo: <sip:{user}@dialmesh>\r\n\
         Call-ID: c@{own}\r\nCSeq: {n} REGISTER\r\nContact: <sip:{user}@{own}>\r\n\
         Expires: 300\r\n{line}Content-Length: 0\r\n\r\n"
    )
}

/// The Authorization that a challenge asks for; none where the answer is no challenge.
fn proof(answer: &str, user: &str, password: &str) -> Option<String> {
    let message = Message::read(answer.as_bytes()).ok()?;
    let credentials = Credentials {
        username: user.into(),
        password: Secret::new(password),
    };
    let subject = Subject {
        method: b"REGISTER",
        uri: URI.as_bytes(),
        body: b"",
    };
    let mut line = Vec::new();
    let challenge = Challenge::strongest(&message)?;
    Authorizer::new(challenge, "c".into()).put(&mut line, &credentials, subject);
    String::from_utf8(line).ok()
}

fn status(answer: &str) -> u16 {
    answer[8..11].parse().unwrap()
}

/// A phone with the right password.
pub(crate) struct Phone {
    socket: UdpSocket,
    n: u64,
}

impl Phone {
    pub(crate) fn new(ip: &str, node: u16) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(("127.0.0.1", node)).unwrap();
        socket.set_read_timeout(Some(AGAIN)).unwrap();
        Self { socket, n: 0 }
    }

    /// One request and its answer; sent again where none comes, as phones do. None in the end.
    fn ask(&mut self, line: &str) -> Option<String> {
        self.n += 1;
        let own = self.socket.local_addr().unwrap();
        let text = request(own, LOGIN, self.n, line);
        let ours = format!("CSeq: {} REGISTER", self.n);
        for _ in 0..TRIES {
            self.socket.send(text.as_bytes()).unwrap();
            let mut buffer = [0; 4_096];
            while let Ok(len) = self.socket.recv(&mut buffer) {
                let answer = String::from_utf8_lossy(&buffer[..len]).into_owned();
                if answer.contains(&ours) {
                    return Some(answer);
                }
            }
        }
        None
    }

    /// Registers from the beginning, challenge and all; the last status, none where no answer came.
    pub(crate) fn register(&mut self) -> Option<u16> {
        let challenge = self.ask("")?;
        let line = proof(&challenge, LOGIN, PASSWORD)?;
        Some(status(&self.ask(&line)?))
    }
}

/// Datagrams of strangers, so many a second, until they are told to stop: no credentials, random users,
/// and, where they were challenged, wrong passwords.
pub(crate) struct Datagrams {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, u64)>,
}

impl Datagrams {
    pub(crate) fn start(from: &[&str], node: u16, rate: u64) -> Self {
        let bind = |ip: &&str| {
            let socket = UdpSocket::bind((*ip, 0)).unwrap();
            socket.connect(("127.0.0.1", node)).unwrap();
            socket.set_nonblocking(true).unwrap();
            let own = socket.local_addr().unwrap();
            (socket, own, String::new())
        };
        let mut sockets: Vec<_> = from.iter().map(bind).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (began, mut sent, mut answers) = (std::time::Instant::now(), 0, 0);
            let mut buffer = [0; 4_096];
            while !told.load(Ordering::Relaxed) {
                let due = began.elapsed().as_millis() as u64 * rate / 1_000;
                while sent < due {
                    let place = sent as usize % sockets.len();
                    let (socket, own, wrong) = &sockets[place];
                    let text = match sent / sockets.len() as u64 % 3 {
                        0 => request(*own, LOGIN, sent, ""),
                        1 => request(*own, &format!("u{sent}"), sent, ""),
                        _ => request(*own, LOGIN, sent, wrong),
                    };
                    // A full buffer loses it, as a network would.
                    socket.send(text.as_bytes()).ok();
                    sent += 1;
                }
                for (socket, _, wrong) in &mut sockets {
                    while let Ok(len) = socket.recv(&mut buffer) {
                        answers += 1;
                        let answer = String::from_utf8_lossy(&buffer[..len]);
                        if let Some(line) = proof(&answer, LOGIN, "not this one") {
                            *wrong = line;
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            (sent, answers)
        });
        Self { stop, thread }
    }

    /// How many were sent and answered.
    pub(crate) fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Messages over connections of one stranger, as fast as they are taken, until it is told to stop.
pub(crate) struct Connections {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Connections {
    pub(crate) async fn start(from: &str, node: u16) -> Self {
        let from: IpAddr = from.parse().unwrap();
        let mut streams = Vec::new();
        for _ in 0..8 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((from, 0).into()).unwrap();
            let stream = socket.connect(([127, 0, 0, 1], node).into()).await.unwrap();
            // Without waiting, as it came.
            let stream: TcpStream = stream.into_std().unwrap();
            let own = stream.local_addr().unwrap();
            streams.push((stream, own, Vec::<u8>::new()));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut written = 0;
            // Nobody reads answers; a stream whose buffers are full waits, as any sender does.
            while !told.load(Ordering::Relaxed) {
                let mut stuck = true;
                streams.retain_mut(|(stream, own, rest)| {
                    if rest.is_empty() {
                        written += 1;
                        rest.extend(request(*own, LOGIN, written, "").bytes());
                    }
                    match stream.write(rest) {
                        Ok(len) => {
                            drop(rest.drain(..len));
                            stuck = false;
                            true
                        }
                        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                    }
                });
                if stuck {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            written
        });
        Self { stop, thread }
    }

    /// How many were written into sockets.
    pub(crate) fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// CPU time of the engine's thread of the node in this process.
pub(crate) fn engine_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of_task = |task: std::io::Result<fs::DirEntry>| {
        let path = task.ok()?.path();
        let name = fs::read_to_string(path.join("comm")).ok()?;
        // On the CPU, in nanoseconds.
        let spent = fs::read_to_string(path.join("schedstat")).ok()?;
        let spent = spent.split(' ').next()?.parse().ok()?;
        (name.trim_end() == "engine").then_some(Duration::from_nanos(spent))
    };
    let found = tasks.filter_map(of_task).next();
    found.expect("the node's engine has a thread of that name")
}

/// Resident bytes of this process.
pub(crate) fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let resident = pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    resident * 4_096
}
