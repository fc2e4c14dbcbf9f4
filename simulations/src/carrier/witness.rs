//! The witness log: one JSON line for everything the product did on the wire.
//!
//! Numbers stand here in full. They are made up, and a witness that masks them could not say
//! whether one was dialed twice.

use crate::audio::rtp::AudioReport;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    net::SocketAddr,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Lines wait at most so long before they are written to the file.
const FLUSH: Duration = Duration::from_millis(50);

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The carrier began to listen.
    Started {
        /// The seed of every draw.
        seed: u64,
    },
    /// An INVITE that opens a call came.
    Invite {
        /// The same INVITE had come before.
        retransmission: bool,
        /// It was answered with 407 and opened no call.
        challenged: bool,
        /// It was ignored: an outage, or a number that never answers.
        ignored: bool,
        /// CSeq number.
        cseq: u32,
        /// How often the number has been called, this call included; 0 where it opened none.
        count: u32,
    },
    /// An INVITE inside a call came (hold, session refresh).
    Reinvite {
        /// The same had come before.
        retransmission: bool,
    },
    /// A CANCEL came.
    Cancel {
        /// After the final answer had been sent.
        late: bool,
        /// No such call.
        unknown: bool,
    },
    /// First ringing was sent.
    Ringing {
        /// 180 or 183.
        status: u16,
    },
    /// The final answer to the INVITE was sent.
    Final {
        /// Its status.
        status: u16,
        /// What the number does.
        behaviour: String,
    },
    /// The first ACK for the final answer came.
    Ack {
        /// The status acknowledged.
        status: u16,
    },
    /// A BYE came or was sent (first of each).
    Bye {
        /// `caller` (the product) or `callee` (us).
        by: String,
        /// No such call.
        unknown: bool,
    },
    /// The call is over; exactly one for each call that was opened.
    Closed {
        /// `refused`, `cancelled`, `caller`, `callee`, `no_ack`, `carrier_stopped`.
        how: String,
        /// Final status sent, 0 if none.
        status: u16,
        /// From the answer to the end; 0 if none.
        talk_ms: u64,
        /// What the called side heard; none where there was no media.
        #[serde(skip_serializing_if = "Option::is_none")]
        audio: Option<AudioReport>,
        /// The tone, in hertz, the called side spoke.
        tone: u32,
    },
    /// Something the trunk's contract forbids.
    Violation {
        /// `channels`, `calls_per_second`, `caller_id`, `credentials`.
        what: String,
        /// The figure seen, for people.
        detail: String,
    },
    /// A datagram that is no SIP message, or a message that fits nothing.
    Odd {
        /// What it was.
        detail: String,
    },
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// Nanoseconds since the carrier started, on the machine's steady clock.
    pub mono_ns: u64,
    /// The trunk, empty where none is known.
    pub trunk: String,
    /// Call-ID.
    pub call_id: String,
    /// The called number's digits, in full.
    pub number: String,
    /// The shown number's digits, in full.
    pub caller_id: String,
    /// Where the message came from.
    pub source: Option<SocketAddr>,
    /// The `X-Dialmesh-Attempt` header.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub attempt: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Writes entries on a thread of its own.
#[derive(Clone, Debug)]
pub struct Witness {
    started: Instant,
    lines: Option<mpsc::Sender<Line>>,
}

#[derive(Debug)]
enum Line {
    Entry(Box<Entry>),
    /// Answer when everything before is in the file.
    Sync(mpsc::Sender<()>),
}

impl Witness {
    /// Opens (creates, appends to) the log file; with none, entries are dropped.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let started = Instant::now();
        let Some(path) = path else {
            return Ok(Self {
                started,
                lines: None,
            });
        };
        let file = File::options().create(true).append(true).open(path)?;
        let (lines, inbox) = mpsc::channel();
        thread::Builder::new()
            .name("witness".into())
            .spawn(move || write_lines(file, &inbox))?;
        Ok(Self {
            started,
            lines: Some(lines),
        })
    }

    /// The two clocks, now.
    pub fn clocks(&self) -> (i64, u64) {
        self.clocks_at(Instant::now())
    }

    /// The two clocks as they were at `at`, a moment ago.
    pub fn clocks_at(&self, at: Instant) -> (i64, u64) {
        let wall = SystemTime::now()
            .checked_sub(at.elapsed())
            .and_then(|wall| wall.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map_or(0, |d| d.as_millis() as i64);
        let mono = at.saturating_duration_since(self.started);
        (wall, mono.as_nanos() as u64)
    }

    /// Writes an entry soon.
    pub fn write(&self, entry: Entry) {
        if let Some(lines) = &self.lines {
            drop(lines.send(Line::Entry(Box::new(entry))));
        }
    }

    /// Waits until everything written so far is in the file.
    pub fn sync(&self) {
        if let Some(lines) = &self.lines {
            let (done, wait) = mpsc::channel();
            drop(lines.send(Line::Sync(done)));
            wait.recv_timeout(Duration::from_secs(5)).ok();
        }
    }
}

fn write_lines(file: File, inbox: &mpsc::Receiver<Line>) {
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    let mut dirty_since: Option<Instant> = None;
    loop {
        let wait = dirty_since.map_or(Duration::from_secs(3_600), |since| {
            FLUSH.saturating_sub(since.elapsed())
        });
        let failed = match inbox.recv_timeout(wait) {
            Ok(Line::Entry(entry)) => {
                dirty_since.get_or_insert_with(Instant::now);
                serde_json::to_writer(&mut out, &entry)
                    .map_err(io::Error::from)
                    .and_then(|()| out.write_all(b"\n"))
            }
            Ok(Line::Sync(done)) => {
                let flushed = out.flush();
                done.send(()).ok();
                flushed
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(()),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                report(out.flush());
                return;
            }
        };
        report(failed);
        if dirty_since.is_some_and(|since| since.elapsed() >= FLUSH) {
            report(out.flush());
            dirty_since = None;
        }
    }
}

/// A witness that lost a line is no witness: say so where nobody can miss it, and stop.
fn report(result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("carrier: the witness log cannot be written: {error}");
        std::process::exit(1);
    }
}

/// Reads a log back.
pub fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    use anyhow::Context as _;
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the carrier's log {}", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(i, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}:{}: not an entry of the log", path.display(), i + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let witness = Witness::open(Some(&path)).unwrap();
        let (wall_ms, mono_ns) = witness.clocks();
        let entry = |event| Entry {
            wall_ms,
            mono_ns,
            trunk: "a".into(),
            call_id: "c".into(),
            number: "8613800138000".into(),
            caller_id: "861012345678".into(),
            source: Some(([127, 0, 0, 1], 5060).into()),
            attempt: String::new(),
            event,
        };
        let entries = [
            entry(Event::Started { seed: 3 }),
            entry(Event::Closed {
                how: "caller".into(),
                status: 200,
                talk_ms: 12,
                audio: Some(AudioReport {
                    heard: vec![500],
                    ..AudioReport::default()
                }),
                tone: 525,
            }),
        ];
        for e in &entries {
            witness.write(e.clone());
        }
        witness.sync();
        assert_eq!(read(&path).unwrap(), entries);
        std::fs::write(&path, "{}\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("log.jsonl:1"));
    }
}
