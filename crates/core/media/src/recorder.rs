//! The recorder: both directions of a bridge on one canvas of stereo G.711, agent left, person right.
//!
//! The canvas is as long as the bridge, whatever came: silence where nothing did. A packet is put
//! where its timestamp says, so that one that comes late, or before its predecessor, finds its place
//! for as long as that part of the canvas was not given out; [`crate::Timeline`] is for who listens and
//! cannot wait. Timestamps are tied to our own clock with a stream's first packet and tied anew when
//! they drifted apart by [`APART`], so that both sides stay side by side.

use domain::{Codec, Instant, limits};
use std::time::Duration;

use crate::g711::{self, SAMPLE_RATE};

/// Frames (one sample of each side) in a chunk: a second.
pub const CHUNK_FRAMES: usize = 8_000;
/// Bytes of a chunk.
pub const CHUNK_BYTES: usize = 2 * CHUNK_FRAMES;
/// Frames that one peak stands for: a tenth of a second.
pub const PEAK_FRAMES: usize = 800;
/// So long a late packet is waited for.
pub const LATE: Duration = Duration::from_millis(400);
/// How far a sender's clock and ours may come apart, and how far ahead of its time a packet may come.
const APART: u64 = 800;
/// Packets by which it is judged whether a sender's clock is slow.
const JUDGED: u32 = 250;
/// Packets that come too late for so long are those of another clock.
const ANOTHER_CLOCK: Duration = Duration::from_millis(500);
/// Frames of the canvas: a chunk, what is waited for, what may come early, and the longest packet.
const CANVAS: usize = CHUNK_FRAMES + 3_200 + APART as usize + 2_000;

/// Whose sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Left.
    Agent = 0,
    /// Right.
    Person = 1,
}

/// One packet's sound.
#[derive(Clone, Copy, Debug)]
pub struct Sound<'a> {
    /// When it came.
    pub at: Instant,
    /// Whose.
    pub channel: Channel,
    /// Its law.
    pub codec: Codec,
    /// Names its stream; another one has other timestamps.
    pub stream: u32,
    /// Of its first sample.
    pub timestamp: u32,
    /// G.711.
    pub payload: &'a [u8],
}

/// What is known of one side at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideFacts {
    /// Packets that are in the recording.
    pub packets: u32,
    /// Packets that came too late to be.
    pub late: u32,
    /// Packets that nobody had time for.
    pub dropped: u32,
}

/// A recording as it grows; ask [`Recorder::chunk`] before each packet and from time to time.
#[derive(Debug)]
pub struct Recorder {
    law: Codec,
    began: Instant,
    ended: Option<u64>,
    /// From frame `start` on; silence where nothing was put yet.
    canvas: Vec<u8>,
    start: u64,
    lines: [Line; 2],
    /// Nothing is put before this frame: it is of a pause.
    closed_until: u64,
    paused_at: Option<u64>,
    pauses: Vec<(u32, u32)>,
    peaks: Vec<[u8; 2]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// Stream, timestamp, and the frame that it stands for.
    tied: Option<(u32, u32, u64)>,
    /// Packets judged, and by how much the latest of them was behind at least.
    judged: u32,
    behind: u64,
    /// Since when every packet came too late.
    late_since: Option<Instant>,
    facts: SideFacts,
}

fn millis(frames: u64) -> u32 {
    u32::try_from(frames * 1000 / u64::from(SAMPLE_RATE)).unwrap_or(u32::MAX)
}

impl Recorder {
    /// Begins now, in that law.
    pub fn new(now: Instant, law: Codec) -> Self {
        Self {
            law,
            began: now,
            ended: None,
            canvas: vec![g711::encode(law, 0); 2 * CANVAS],
            start: 0,
            lines: [Line::default(); 2],
            closed_until: 0,
            paused_at: None,
            pauses: Vec::new(),
            peaks: Vec::new(),
        }
    }

    /// Its law.
    pub fn law(&self) -> Codec {
        self.law
    }

    /// The frame of a moment.
    fn frame(&self, at: Instant) -> u64 {
        let span = at.since(self.began).min(limits::RECORDING);
        (span.as_micros() * u128::from(SAMPLE_RATE) / 1_000_000) as u64
    }

    /// Takes the next chunk, if its time is over: `into` is filled with [`CHUNK_BYTES`], or with what
    /// is left once the recording has ended. False when there is none, or none yet.
    pub fn chunk(&mut self, now: Instant, into: &mut Vec<u8>) -> bool {
        let (frames, full) = match self.ended {
            Some(end) => ((end - self.start).min(CHUNK_FRAMES as u64) as usize, false),
            None => (CHUNK_FRAMES, true),
        };
        let late = (LATE.as_millis() as u64) * 8;
        if frames == 0 || (full && self.frame(now) < self.start + CHUNK_FRAMES as u64 + late) {
            return false;
        }
        into.clear();
        into.extend_from_slice(&self.canvas[..2 * frames]);
        for tenth in into.chunks(2 * PEAK_FRAMES) {
            let mut peak = [0; 2];
            for frame in tenth.chunks_exact(2) {
                for (peak, code) in peak.iter_mut().zip(frame) {
                    let size = g711::decode(self.law, *code).unsigned_abs() >> 7;
                    *peak = size.min(255).max(u16::from(*peak)) as u8;
                }
            }
            self.peaks.push(peak);
        }
        // What is behind moves to the front, and silence follows it.
        self.canvas.copy_within(2 * frames.., 0);
        let behind = self.canvas.len() - 2 * frames;
        self.canvas[behind..].fill(g711::encode(self.law, 0));
        self.start += frames as u64;
        true
    }

    /// Puts a packet's sound in its place. Take the chunks of its time first.
    pub fn hear(&mut self, sound: &Sound<'_>) {
        let due = self.frame(sound.at);
        let len = sound.payload.len() as u64;
        let line = &mut self.lines[sound.channel as usize];
        if self.paused_at.is_some() || self.ended.is_some() || len == 0 {
            return;
        }
        let natural = due.saturating_sub(len);
        let mut place = match line.tied {
            Some((stream, timestamp, frame)) if stream == sound.stream => {
                let ahead = sound.timestamp.wrapping_sub(timestamp).cast_signed();
                frame.checked_add_signed(i64::from(ahead))
            }
            _ => None,
        }
        .filter(|place| *place <= natural + APART)
        .unwrap_or_else(|| line.tie(sound, natural));
        if place < self.start {
            // A stall's packets come all at once; another clock's go on coming.
            let since = *line.late_since.get_or_insert(sound.at);
            if sound.at.since(since) < ANOTHER_CLOCK || natural < self.start {
                line.facts.late += 1;
                return;
            }
            place = line.tie(sound, natural);
        }
        line.late_since = None;
        line.judge(sound, natural, place);
        line.facts.packets += 1;
        self.put(sound, place);
    }

    fn put(&mut self, sound: &Sound<'_>, place: u64) {
        let crossing = g711::crossing(sound.codec, self.law);
        let hidden = self.closed_until.saturating_sub(place) as usize;
        let first = (place - self.start) as usize;
        let side = sound.channel as usize;
        let frames = self.canvas.chunks_exact_mut(2).skip(first);
        for (frame, code) in frames.zip(sound.payload).skip(hidden) {
            frame[side] = crossing.map_or(*code, |table| table[usize::from(*code)]);
        }
    }

    /// So many packets of a side came and nobody had time for them.
    pub fn dropped(&mut self, channel: Channel, packets: u32) {
        let facts = &mut self.lines[channel as usize].facts;
        facts.dropped = facts.dropped.saturating_add(packets);
    }

    /// Silence from here on: a card's number is said. Once more changes nothing.
    pub fn pause(&mut self, now: Instant) {
        let frame = self.frame(now);
        if self.ended.is_none() {
            self.paused_at.get_or_insert(frame);
        }
    }

    /// What is said is heard again.
    pub fn resume(&mut self, now: Instant) {
        let until = self.frame(now);
        if let Some(from) = self.paused_at.take() {
            self.closed_until = until;
            self.mark(millis(from), millis(until));
        }
    }

    fn mark(&mut self, from: u32, until: u32) {
        let full = self.pauses.len() == limits::RECORDING_PAUSES;
        match self.pauses.last_mut().filter(|_| full) {
            Some(last) => last.1 = until,
            None => self.pauses.push((from, until)),
        }
    }

    /// The recording ends here; take its last chunks with [`Recorder::chunk`].
    pub fn end(&mut self, now: Instant) {
        self.resume(now);
        let end = self.frame(now).max(self.start);
        self.ended.get_or_insert(end);
    }

    /// Frames so far; all of them once it ended and its chunks were taken.
    pub fn frames(&self) -> u64 {
        self.start
    }

    /// How long it is, in milliseconds.
    pub fn length_ms(&self) -> u32 {
        millis(self.start)
    }

    /// What is known of the agent's side and of the person's.
    pub fn sides(&self) -> [SideFacts; 2] {
        self.lines.map(|line| line.facts)
    }

    /// The intervals in which it was paused, from and until in milliseconds; the one that lasts is not
    /// among them.
    pub fn pauses(&self) -> &[(u32, u32)] {
        &self.pauses
    }

    /// For how long it was paused, in milliseconds.
    pub fn paused_ms(&self) -> u32 {
        self.pauses.iter().map(|(from, until)| until - from).sum()
    }

    /// The loudest sample of each tenth of a second, agent and person, 0 to 255.
    pub fn peaks(&self) -> &[[u8; 2]] {
        &self.peaks
    }
}

impl Line {
    /// Ties the timestamps to our clock anew.
    fn tie(&mut self, sound: &Sound<'_>, frame: u64) -> u64 {
        self.tied = Some((sound.stream, sound.timestamp, frame));
        (self.judged, self.behind) = (0, u64::MAX);
        frame
    }

    /// A sender whose clock is slow comes behind with every packet: what follows is put further on.
    fn judge(&mut self, sound: &Sound<'_>, natural: u64, place: u64) {
        self.behind = self.behind.min(natural.saturating_sub(place));
        self.judged += 1;
        if self.judged >= JUDGED {
            let behind = std::mem::replace(&mut self.behind, u64::MAX);
            self.judged = 0;
            // The long way from a first packet is kept short, too: timestamps wrap.
            let further = if behind > APART { behind } else { 0 };
            self.tied = Some((sound.stream, sound.timestamp, place + further));
        }
    }
}

#[cfg(test)]
mod tests;
