//! The thread that writes.

use crate::Folder;
use domain::{AttemptId, CallRecording, Instant, RecordingEnd, RecordingKey, WallTime, limits};
use media::{Recorder, RecordingMark};
use media_io::{TapeBatch, TapeEntry, TapeReader};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use storage::{RecordedSide, RecordingHead, RecordingTail, RecordingWriter};

/// How long a batch is waited for.
const WAIT: Duration = Duration::from_millis(100);
/// How often recordings are looked at of which nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the disk's room is looked at.
const ROOM_EVERY: Duration = Duration::from_secs(1);
/// A recording that did not begin within this time never will.
const ORDER_LIFE: Duration = Duration::from_secs(60);
/// Finished files that may wait to be synced.
const SYNCS: usize = 1_024;

/// A recording that is about to begin.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Whose call; its codec is known once it begins.
    pub head: RecordingHead,
    /// With which key.
    pub key: RecordingKey,
}

/// Recordings that are about to begin: said here before the relay is told. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Orders(Arc<Mutex<BTreeMap<AttemptId, (Order, Instant)>>>);

impl Orders {
    /// A recording will begin. False when too many wait already.
    pub fn put(&self, order: Order) -> bool {
        let mut orders = self.0.lock();
        let room = orders.len() < limits::RECORDINGS_OPEN;
        if room {
            let now = media_io::now().monotonic;
            orders.insert(order.head.attempt, (order, now));
        }
        room
    }

    fn take(&self, attempt: AttemptId) -> Option<Order> {
        self.0.lock().remove(&attempt).map(|(order, _)| order)
    }

    /// Those whose bridge came to nothing go.
    fn forget(&self, now: Instant) {
        (self.0.lock()).retain(|_, (_, put)| now.since(*put) < ORDER_LIFE);
    }
}

/// Hears what became of each recording; must not wait.
type Tell = Box<dyn Fn(AttemptId, CallRecording) + Send>;

/// Everything the thread holds; start it with [`Writer::start`].
pub struct Writer {
    folder: Folder,
    orders: Orders,
    tapes: TapeReader,
    tell: Tell,
    open: BTreeMap<AttemptId, Open>,
    /// The second that is being sealed.
    chunk: Vec<u8>,
    now: Instant,
    looked: Instant,
    room_looked: Instant,
    disk_full: bool,
    syncs: SyncSender<File>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

/// A recording under way.
struct Open {
    recorder: Recorder,
    began_at: WallTime,
    file: Sink,
}

enum Sink {
    Writing(Box<RecordingWriter<File>>),
    /// It failed; so many bytes and milliseconds are there.
    Ended(RecordingEnd, u64, u32),
}

/// The running thread. Stop the relay first: the thread ends when everything was written.
#[derive(Debug)]
pub struct WriterHandle(JoinHandle<()>);

impl WriterHandle {
    /// Waits until the last recording has its end.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the thread that writes recordings had died of a panic");
        }
    }
}

impl Writer {
    /// Starts the thread. `tell` hears what became of each recording, on that thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(
        folder: Folder,
        orders: Orders,
        tapes: TapeReader,
        tell: impl Fn(AttemptId, CallRecording) + Send + 'static,
    ) -> io::Result<WriterHandle> {
        let (syncs, files) = sync_channel(SYNCS);
        let syncing = thread::Builder::new()
            .name("recordings-sync".to_owned())
            .spawn(move || sync(&files))?;
        let writer = Self {
            folder,
            orders,
            tapes,
            tell: Box::new(tell),
            open: BTreeMap::new(),
            chunk: Vec::with_capacity(storage::RECORDING_CHUNK + 64),
            now: Instant::ZERO,
            looked: Instant::ZERO,
            room_looked: Instant::ZERO,
            disk_full: false,
            syncs,
        };
        let thread = thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || {
                writer.run();
                if syncing.join().is_err() {
                    tracing::error!("the thread that syncs recordings had died of a panic");
                }
            })?;
        Ok(WriterHandle(thread))
    }

    fn run(mut self) {
        loop {
            match self.tapes.next(WAIT) {
                Ok(Some(batch)) => {
                    self.take(&batch);
                    self.tapes.give_back(batch);
                }
                // Everything that was said so far is here.
                Ok(None) => self.now = self.now.max(media_io::now().monotonic),
                Err(media_io::RelayGone) => break,
            }
            self.look();
        }
        let left: Vec<AttemptId> = self.open.keys().copied().collect();
        for attempt in left {
            self.end(attempt, self.now);
        }
    }

    fn take(&mut self, batch: &TapeBatch) {
        for entry in batch.entries() {
            match entry {
                TapeEntry::Sound(attempt, sound) => {
                    self.now = self.now.max(sound.at);
                    let (chunk, folder) = (&mut self.chunk, &self.folder);
                    if let Some(open) = self.open.get_mut(&attempt) {
                        open.write(sound.at, chunk, folder);
                        open.recorder.hear(&sound);
                    }
                }
                TapeEntry::LeftOut(attempt, channel, packets) => {
                    if let Some(open) = self.open.get_mut(&attempt) {
                        open.recorder.dropped(channel, packets);
                    }
                }
                TapeEntry::Mark(mark, at) => {
                    self.now = self.now.max(at);
                    self.mark(mark, at);
                }
            }
        }
    }

    fn mark(&mut self, mark: RecordingMark, at: Instant) {
        match mark {
            RecordingMark::Began { recording, law } => self.begin(at, recording, law),
            RecordingMark::Paused(attempt) => {
                if let Some(open) = self.open.get_mut(&attempt) {
                    open.recorder.pause(at);
                }
            }
            RecordingMark::Resumed(attempt) => {
                if let Some(open) = self.open.get_mut(&attempt) {
                    open.recorder.resume(at);
                }
            }
            RecordingMark::Ended(attempt) => self.end(attempt, at),
        }
    }

    fn begin(&mut self, at: Instant, attempt: AttemptId, law: domain::Codec) {
        let Some(order) = self.orders.take(attempt) else {
            return self.told(attempt, CallRecording::only(RecordingEnd::Refused));
        };
        self.look_at_room(at);
        let refused = if self.open.len() >= limits::RECORDINGS_OPEN {
            Some(RecordingEnd::Refused)
        } else if self.folder.is_full() {
            Some(RecordingEnd::FolderFull)
        } else if self.disk_full {
            Some(RecordingEnd::Disk)
        } else {
            None
        };
        let head = RecordingHead {
            codec: law,
            ..order.head
        };
        let file = match refused {
            Some(end) => Sink::Ended(end, 0, 0),
            None => (self.folder.create(attempt, head.began_at))
                .and_then(|file| RecordingWriter::begin(&head, &order.key, file))
                .map_or_else(
                    |error| {
                        tracing::error!(%attempt, %error, "a call is not recorded: its file cannot be made");
                        Sink::Ended(RecordingEnd::Disk, 0, 0)
                    },
                    |writer| {
                        self.folder.grew(writer.bytes());
                        Sink::Writing(Box::new(writer))
                    },
                ),
        };
        let open = Open {
            recorder: Recorder::new(at, law),
            began_at: head.began_at,
            file,
        };
        self.open.insert(attempt, open);
        metrics::gauge!("dialmesh_recordings_open").set(self.open.len() as f64);
    }

    /// Recordings of which nothing comes have their silence written; a full disk ends them all.
    fn look(&mut self) {
        if self.now.since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = self.now;
        self.orders.forget(media_io::now().monotonic);
        for open in self.open.values_mut() {
            open.write(self.now, &mut self.chunk, &self.folder);
        }
        self.look_at_room(self.now);
    }

    fn look_at_room(&mut self, now: Instant) {
        if self.room_looked != Instant::ZERO && now.since(self.room_looked) < ROOM_EVERY {
            return;
        }
        self.room_looked = now;
        let full = self.folder.disk_is_full();
        if full && !self.disk_full {
            tracing::error!(
                "the disk has hardly any room left: recordings end, calls go on; make room, or lower recordings.keep"
            );
        }
        self.disk_full = full;
        if full {
            for open in self.open.values_mut() {
                open.give_up(RecordingEnd::Disk);
            }
        }
    }

    fn end(&mut self, attempt: AttemptId, at: Instant) {
        let Some(mut open) = self.open.remove(&attempt) else {
            return;
        };
        metrics::gauge!("dialmesh_recordings_open").set(self.open.len() as f64);
        open.write(at, &mut self.chunk, &self.folder);
        open.recorder.end(at);
        open.write(at, &mut self.chunk, &self.folder);
        let recording = self.finish(attempt, open);
        self.told(attempt, recording);
    }

    fn finish(&self, attempt: AttemptId, open: Open) -> CallRecording {
        let Open {
            recorder,
            began_at,
            file,
        } = open;
        let sides = recorder.sides();
        let missed = sides
            .iter()
            .map(|side| side.late.saturating_add(side.dropped));
        let whole = CallRecording {
            length_ms: recorder.length_ms(),
            paused_ms: recorder.paused_ms(),
            missed: missed.fold(0, u32::saturating_add),
            ..CallRecording::only(RecordingEnd::Whole)
        };
        let writer = match file {
            Sink::Writing(writer) => writer,
            Sink::Ended(end, file_bytes, length_ms) => {
                return CallRecording {
                    end,
                    file_bytes,
                    length_ms,
                    ..whole
                };
            }
        };
        let before = writer.bytes();
        let tail = RecordingTail {
            frames: recorder.frames(),
            sides: sides.map(|side| RecordedSide {
                packets: side.packets,
                late: side.late,
                dropped: side.dropped,
            }),
            pauses: recorder.pauses().to_vec(),
            peaks: recorder.peaks().to_vec(),
            ended_at: began_at + Duration::from_millis(whole.length_ms.into()),
        };
        match writer.finish(&tail) {
            Ok((file, sum)) => {
                self.folder.grew(sum.bytes - before);
                // When too many wait, the system syncs it by itself.
                drop(self.syncs.try_send(file));
                CallRecording {
                    file_bytes: sum.bytes,
                    hash: Some(sum.hash),
                    ..whole
                }
            }
            Err(error) => {
                tracing::error!(%attempt, %error, "a recording has no end: the disk refused");
                CallRecording {
                    end: RecordingEnd::Disk,
                    file_bytes: before,
                    ..whole
                }
            }
        }
    }

    fn told(&self, attempt: AttemptId, recording: CallRecording) {
        metrics::counter!("dialmesh_recordings_total", "end" => recording.end.name()).increment(1);
        if recording.missed > 0 {
            metrics::counter!("dialmesh_recordings_missed_packets_total")
                .increment(recording.missed.into());
        }
        (self.tell)(attempt, recording);
    }
}

impl Open {
    /// Writes the seconds that are over.
    fn write(&mut self, now: Instant, chunk: &mut Vec<u8>, folder: &Folder) {
        while self.recorder.chunk(now, chunk) {
            let Sink::Writing(writer) = &mut self.file else {
                continue;
            };
            let before = writer.bytes();
            match writer.chunk(chunk) {
                Ok(()) => folder.grew(writer.bytes() - before),
                Err(error) => {
                    tracing::error!(%error, "a recording ends before its call: the disk refused");
                    let bytes = writer.bytes();
                    let frames =
                        self.recorder.frames() - (chunk.len() as u64).saturating_sub(16) / 2;
                    self.file = Sink::Ended(RecordingEnd::Disk, bytes, (frames / 8) as u32);
                }
            }
        }
    }

    /// Nothing more is written.
    fn give_up(&mut self, end: RecordingEnd) {
        if let Sink::Writing(writer) = &self.file {
            self.file = Sink::Ended(end, writer.bytes(), self.recorder.length_ms());
        }
    }
}

/// What was written is on the disk soon, whatever the writer does meanwhile.
fn sync(files: &Receiver<File>) {
    while let Ok(file) = files.recv() {
        if let Err(error) = file.sync_data() {
            tracing::warn!(%error, "a recording was written and may be lost by a power cut");
        }
    }
}

#[cfg(test)]
mod tests;
