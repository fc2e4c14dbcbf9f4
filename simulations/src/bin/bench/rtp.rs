//! RTP for all ends of all calls, in a process of its own so that its CPU is not the node's.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, UdpSocket},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, TryRecvError},
    time::{Duration, Instant},
};

/// One end: the address it told in SDP, and the node's for its leg.
pub(crate) type Pair = (SocketAddr, SocketAddr);

/// Milliseconds of audio in a packet.
const FRAME: Duration = Duration::from_millis(20);
/// The frame is cut into so many parts, so that the ends do not speak all at once.
const PARTS: usize = 4;
/// How long stragglers are waited for.
const STRAGGLERS: Duration = Duration::from_millis(700);
const WARM: u8 = 0xd5;
const MEASURED: u8 = 0x55;

/// What the ends heard.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// Packets sent in the measured span, all ends.
    pub(crate) sent: u64,
    /// Of those, how many came out at the other ends.
    pub(crate) received: u64,
    /// The largest delay of a sending, in microseconds.
    pub(crate) late_us: u64,
}

/// The running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Ends {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Ends {
    /// Starts it; it speaks at once.
    pub(crate) fn start(pairs: &[Pair]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe().context("this program")?)
            .arg("--rtp-ends")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the RTP process")?;
        let mut orders = child.stdin.take().context("its orders")?;
        let answers = BufReader::new(child.stdout.take().context("its answers")?);
        for (here, there) in pairs {
            writeln!(orders, "{here} {there}")?;
        }
        writeln!(orders, "speak")?;
        orders.flush()?;
        Ok(Self {
            child,
            orders,
            answers,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// From now on for so many seconds packets are counted.
    pub(crate) fn measure(&mut self, seconds: u64) -> anyhow::Result<()> {
        writeln!(self.orders, "{seconds}")?;
        self.orders.flush().context("the RTP process is gone")
    }

    /// What it heard, once the span is over.
    pub(crate) fn report(&mut self) -> anyhow::Result<Heard> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("its report is {line:?}"))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

struct End {
    socket: UdpSocket,
    node: SocketAddr,
    packet: [u8; 172],
    sequence: u16,
}

impl End {
    fn new(place: usize, (here, node): Pair) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(here).with_context(|| format!("binding {here}"))?;
        socket.set_nonblocking(true)?;
        let mut packet = [WARM; 172];
        // RTP version 2, payload type 8 (PCMA), then sequence, time, source (RFC 3550, 5.1).
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[8..12].copy_from_slice(&(place as u32 + 1).to_be_bytes());
        Ok(Self {
            socket,
            node,
            packet,
            sequence: 0,
        })
    }

    fn speak(&mut self, mark: u8) -> bool {
        self.sequence = self.sequence.wrapping_add(1);
        let time = u32::from(self.sequence).wrapping_mul(160);
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&time.to_be_bytes());
        self.packet[12] = mark;
        matches!(self.socket.send_to(&self.packet, self.node), Ok(172))
    }

    /// How many measured packets came.
    fn listen(&mut self) -> u64 {
        let (mut bytes, mut heard) = ([0; 2_048], 0);
        while let Ok(length) = self.socket.recv(&mut bytes) {
            if length == 172 && bytes[12] == MEASURED {
                heard += 1;
            }
        }
        heard
    }
}

/// The process: reads ends, speaks, counts when told to, reports, goes on until its input ends.
pub(crate) fn speak() -> anyhow::Result<()> {
    let (sender, orders) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut ends = Vec::new();
    loop {
        let line = orders.recv().context("no word to speak came")?;
        if line == "speak" {
            break;
        }
        let (here, there) = line.split_once(' ').context("an end")?;
        ends.push(End::new(ends.len(), (here.parse()?, there.parse()?))?);
    }
    let mut due = Instant::now();
    let mut heard = Heard::default();
    // Until when packets are marked, and until when stragglers are waited for.
    let mut until: Option<(Instant, Instant)> = None;
    for turn in 0usize.. {
        match orders.try_recv() {
            Ok(seconds) => {
                let end = Instant::now() + Duration::from_secs(seconds.parse()?);
                until = Some((end, end + STRAGGLERS));
            }
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {}
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        let measured = until.is_some_and(|(end, _)| now < end);
        if measured {
            heard.late_us = heard.late_us.max((now - due).as_micros() as u64);
        }
        let mark = if measured { MEASURED } else { WARM };
        for end in ends.iter_mut().skip(turn % PARTS).step_by(PARTS) {
            let sent = end.speak(mark);
            heard.sent += u64::from(measured && sent);
        }
        for end in &mut ends {
            heard.received += end.listen();
        }
        if until.is_some_and(|(_, end)| now >= end) {
            until = None;
            println!("{}", serde_json::to_string(&heard)?);
            io::stdout().flush()?;
        }
        due += FRAME / PARTS as u32;
    }
    Ok(())
}
