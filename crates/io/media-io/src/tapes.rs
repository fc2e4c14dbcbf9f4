//! From the relay's thread to whoever writes recordings: batches of packets that go around between the
//! two, so that nothing is allocated on a packet's way and nobody waits for a disk.
//!
//! A batch is made when none is free, up to [`limits::RECORDING_BATCHES`]; beyond, packets are left out
//! and counted. What becomes of recordings (begin, pause, end) waits for room and is never left out.

use domain::{AttemptId, Codec, Instant, limits};
use media::{Channel, Exchange, RecordingMark, Sound, Taped};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::Duration,
};

/// Bytes of a batch: some 400 packets of 20 ms.
const BATCH_BYTES: usize = 64 * 1024;
/// Entries of a batch.
const BATCH_ENTRIES: usize = 512;
/// How long packets wait for their batch to be full.
const PASS_ON: Duration = Duration::from_millis(50);

/// One thing about one recording.
#[derive(Clone, Copy, Debug)]
pub enum TapeEntry<'a> {
    /// A packet's sound.
    Sound(AttemptId, Sound<'a>),
    /// So many packets of a side were left out: nobody had time for them.
    LeftOut(AttemptId, Channel, u32),
    /// What became of it, and when.
    Mark(RecordingMark, Instant),
}

#[derive(Clone, Debug)]
enum Kept {
    Sound {
        recording: AttemptId,
        at: Instant,
        channel: Channel,
        codec: Codec,
        stream: u32,
        timestamp: u32,
        payload: Range<usize>,
    },
    LeftOut(AttemptId, Channel, u32),
    Mark(RecordingMark, Instant),
}

/// Packets and marks in their order.
#[derive(Debug)]
pub struct TapeBatch {
    bytes: Vec<u8>,
    entries: Vec<Kept>,
    since: Instant,
}

impl TapeBatch {
    fn new() -> Box<Self> {
        Box::new(Self {
            bytes: Vec::with_capacity(BATCH_BYTES),
            entries: Vec::with_capacity(BATCH_ENTRIES),
            since: Instant::ZERO,
        })
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= BATCH_BYTES && self.entries.len() < BATCH_ENTRIES
    }

    /// What it holds, in its order.
    pub fn entries(&self) -> impl Iterator<Item = TapeEntry<'_>> {
        self.entries.iter().map(|kept| match kept {
            Kept::Sound {
                recording,
                at,
                channel,
                codec,
                stream,
                timestamp,
                payload,
            } => TapeEntry::Sound(
                *recording,
                Sound {
                    at: *at,
                    channel: *channel,
                    codec: *codec,
                    stream: *stream,
                    timestamp: *timestamp,
                    payload: &self.bytes[payload.clone()],
                },
            ),
            Kept::LeftOut(recording, channel, packets) => {
                TapeEntry::LeftOut(*recording, *channel, *packets)
            }
            Kept::Mark(mark, at) => TapeEntry::Mark(*mark, *at),
        })
    }
}

/// The relay's end.
#[derive(Debug)]
pub struct Tapes {
    full: SyncSender<Box<TapeBatch>>,
    empty: Receiver<Box<TapeBatch>>,
    made: usize,
    current: Option<Box<TapeBatch>>,
    waiting: VecDeque<(RecordingMark, Instant)>,
    /// Packets that were left out and not told of.
    left_out: BTreeMap<(AttemptId, u8), u32>,
}

/// The writer's end.
#[derive(Debug)]
pub struct TapeReader {
    full: Receiver<Box<TapeBatch>>,
    empty: SyncSender<Box<TapeBatch>>,
}

/// Both ends.
pub fn tapes() -> (Tapes, TapeReader) {
    // Neither is ever full: there are no more batches.
    let (full, filled) = sync_channel(limits::RECORDING_BATCHES);
    let (emptied, empty) = sync_channel(limits::RECORDING_BATCHES);
    let tapes = Tapes {
        full,
        empty,
        made: 0,
        current: None,
        waiting: VecDeque::new(),
        left_out: BTreeMap::new(),
    };
    let reader = TapeReader {
        full: filled,
        empty: emptied,
    };
    (tapes, reader)
}

impl Tapes {
    /// A packet of a recorded bridge.
    pub fn hear(&mut self, now: Instant, taped: &Taped, datagram: &[u8]) {
        let sound = &datagram[taped.payload.clone()];
        let Some(batch) = self.room(now, sound.len()) else {
            let key = (taped.recording, taped.channel as u8);
            *self.left_out.entry(key).or_default() += 1;
            return;
        };
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(sound);
        batch.entries.push(Kept::Sound {
            recording: taped.recording,
            at: now,
            channel: taped.channel,
            codec: taped.codec,
            stream: taped.stream,
            timestamp: taped.timestamp,
            payload: start..batch.bytes.len(),
        });
    }

    /// The batch that takes so many bytes more; none when all are with the writer.
    fn room(&mut self, now: Instant, bytes: usize) -> Option<&mut TapeBatch> {
        if self.current.as_ref().is_some_and(|b| !b.has_room(bytes)) {
            self.pass_on();
        }
        if self.current.is_none() {
            let free = self.empty.try_recv().ok().or_else(|| {
                (self.made < limits::RECORDING_BATCHES).then(|| {
                    self.made += 1;
                    TapeBatch::new()
                })
            });
            let mut batch = free?;
            batch.bytes.clear();
            batch.entries.clear();
            batch.since = now;
            // What was left out before what follows it.
            while let Some(((recording, channel), packets)) = self.left_out.pop_first() {
                let channel = match channel {
                    0 => Channel::Agent,
                    _ => Channel::Person,
                };
                (batch.entries).push(Kept::LeftOut(recording, channel, packets));
            }
            let marks = self.waiting.drain(..);
            (batch.entries).extend(marks.map(|(mark, at)| Kept::Mark(mark, at)));
            self.current = Some(batch);
        }
        self.current.as_deref_mut()
    }

    fn pass_on(&mut self) {
        if let Some(batch) = self.current.take() {
            // Refused only when nobody writes any more: the process stops.
            drop(self.full.try_send(batch));
        }
    }

    /// Something became of a recording.
    pub fn mark(&mut self, now: Instant, mark: RecordingMark) {
        match self.room(now, 0) {
            Some(batch) => batch.entries.push(Kept::Mark(mark, now)),
            None => self.waiting.push_back((mark, now)),
        }
    }

    /// Takes what became of recordings, and passes on what has waited long enough.
    pub(crate) fn look(&mut self, now: Instant, exchange: &mut Exchange) {
        while let Some(mark) = exchange.poll_mark() {
            self.mark(now, mark);
        }
        self.settle(now);
    }

    /// Passes on what has waited long enough.
    pub fn settle(&mut self, now: Instant) {
        if !(self.waiting.is_empty() && self.left_out.is_empty()) {
            self.room(now, 0);
        }
        if (self.current.as_ref()).is_some_and(|batch| now.since(batch.since) >= PASS_ON) {
            self.pass_on();
        }
    }

    /// Within which time [`Tapes::look`] is wanted.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let waits = self.current.is_some() || !self.waiting.is_empty() || !self.left_out.is_empty();
        waits.then_some(PASS_ON)
    }
}

impl Drop for Tapes {
    /// What was said last is passed on, too.
    fn drop(&mut self) {
        self.pass_on();
    }
}

/// The relay is gone, and everything that it passed on was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayGone;

impl TapeReader {
    /// The next batch, waited for at most so long.
    ///
    /// # Errors
    /// [`RelayGone`].
    pub fn next(&self, wait: Duration) -> Result<Option<Box<TapeBatch>>, RelayGone> {
        match self.full.recv_timeout(wait) {
            Ok(batch) => Ok(Some(batch)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RelayGone),
        }
    }

    /// Gives a batch back, to be filled again.
    pub fn give_back(&self, batch: Box<TapeBatch>) {
        // Refused only when the relay is gone.
        drop(self.empty.try_send(batch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDING: AttemptId = AttemptId(7);

    fn taped() -> Taped {
        Taped {
            recording: RECORDING,
            channel: Channel::Person,
            codec: Codec::Pcmu,
            stream: 1,
            timestamp: 0,
            payload: 12..172,
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_marks_are_never_lost() {
        let (mut tapes, reader) = tapes();
        let now = Instant::from_millis(1_000);
        let datagram = [5; 172];
        // Nobody reads: every batch is filled, and then packets are left out.
        let a_batch = BATCH_BYTES / 160;
        for _ in 0..limits::RECORDING_BATCHES * a_batch + 3 {
            tapes.hear(now, &taped(), &datagram);
        }
        tapes.mark(now, RecordingMark::Ended(RECORDING));
        tapes.settle(now);
        assert!(tapes.patience().is_some());
        let (mut sounds, mut left_out, mut ended) = (0, 0, false);
        while let Ok(Some(batch)) = reader.next(Duration::ZERO) {
            for entry in batch.entries() {
                match entry {
                    TapeEntry::Sound(recording, sound) => {
                        assert_eq!((recording, sound.payload), (RECORDING, &[5; 160][..]));
                        sounds += 1;
                    }
                    TapeEntry::LeftOut(RECORDING, Channel::Person, n) => left_out += n,
                    TapeEntry::Mark(RecordingMark::Ended(RECORDING), _) => ended = true,
                    other => panic!("{other:?}"),
                }
            }
            reader.give_back(batch);
            tapes.settle(now + PASS_ON);
            tapes.settle(now + PASS_ON * 2);
        }
        assert_eq!(
            (sounds, left_out, ended),
            (limits::RECORDING_BATCHES * a_batch, 3, true)
        );
        assert_eq!(tapes.made, limits::RECORDING_BATCHES);
        assert_eq!(tapes.patience(), None);
    }

    #[test]
    fn packets_are_passed_on_soon_and_the_end_is_told() {
        let (mut tapes, reader) = tapes();
        let now = Instant::from_millis(1_000);
        tapes.hear(now, &taped(), &[5; 172]);
        tapes.settle(now + PASS_ON / 2);
        assert!(matches!(reader.next(Duration::ZERO), Ok(None)));
        tapes.settle(now + PASS_ON);
        assert!(matches!(reader.next(Duration::ZERO), Ok(Some(_))));
        drop(tapes);
        assert_eq!(reader.next(Duration::ZERO).err(), Some(RelayGone));
    }
}
