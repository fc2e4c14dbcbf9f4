use super::*;
use crate::FolderLimits;
use domain::{AgentId, CampaignId, Codec, MemberId, RegionId};
use media::{Channel, Taped};
use media_io::{Tapes, tapes};
use std::{path::Path, sync::mpsc};
use storage::{
    OpenRecording, RECORDING_FOOTER, RECORDING_HEAD_MAX, RecordingFooter, RecordingPrivateKey,
    SealedRecording,
};

const NOW: WallTime = WallTime::from_millis(1_795_300_000_000);

fn call(n: u128) -> AttemptId {
    AttemptId(n)
}

fn order(n: u128, key: RecordingKey) -> Order {
    Order {
        head: RecordingHead {
            attempt: call(n),
            region: RegionId(1),
            node: MemberId(2),
            campaign: CampaignId(1),
            agent: Some(AgentId(3)),
            codec: Codec::Pcmu,
            began_at: NOW,
            key: key.id,
        },
        key,
    }
}

struct World {
    folder: Folder,
    orders: Orders,
    tapes: Tapes,
    told: Receiver<(AttemptId, CallRecording)>,
    handle: WriterHandle,
    key: RecordingPrivateKey,
}

impl World {
    fn new(path: &Path, limits: FolderLimits) -> Self {
        let folder = Folder::open(path.join("recordings"), limits).unwrap();
        folder.look(NOW).unwrap();
        let (tapes, reader) = tapes();
        let (orders, (tell, told)) = (Orders::default(), mpsc::channel());
        let tell = move |attempt, recording| tell.send((attempt, recording)).unwrap();
        let handle = Writer::start(folder.clone(), orders.clone(), reader, tell).unwrap();
        Self {
            folder,
            orders,
            tapes,
            told,
            handle,
            key: RecordingPrivateKey::draw(NOW),
        }
    }

    /// A call of so many milliseconds in which both sides speak throughout.
    fn speak(&mut self, n: u128, from: Instant, millis: u64) {
        let at = |more: u64| from + Duration::from_millis(more);
        let began = RecordingMark::Began {
            recording: call(n),
            law: Codec::Pcma,
        };
        self.tapes.mark(at(0), began);
        for packet in 0..millis / 20 {
            for (channel, code) in [(Channel::Agent, 0x11), (Channel::Person, 0x22)] {
                let taped = Taped {
                    recording: call(n),
                    channel,
                    codec: Codec::Pcma,
                    stream: 5,
                    timestamp: packet as u32 * 160,
                    payload: 12..172,
                };
                self.tapes.hear(at(packet * 20 + 20), &taped, &[code; 172]);
            }
            self.tapes.settle(at(packet * 20 + 20));
        }
        self.tapes.mark(at(millis), RecordingMark::Ended(call(n)));
    }

    /// Everything is written; what became of it.
    fn end(self) -> (Folder, RecordingPrivateKey, Vec<(AttemptId, CallRecording)>) {
        drop(self.tapes);
        self.handle.join();
        (self.folder, self.key, self.told.iter().collect())
    }
}

fn open(file: &[u8], key: &RecordingPrivateKey) -> OpenRecording {
    let head = &file[..file.len().min(RECORDING_HEAD_MAX)];
    SealedRecording::read(head).unwrap().unlock(key).unwrap()
}

#[test]
fn what_was_said_is_in_the_file_and_its_facts_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), FolderLimits::default());
    let key = world.key.public();
    assert!(world.orders.put(order(1, key)) && world.orders.put(order(2, key)));
    let from = media_io::now().monotonic;
    world.speak(1, from, 2_500);
    // The node stops in the middle of the other one: it has its end all the same.
    let began = RecordingMark::Began {
        recording: call(2),
        law: Codec::Pcmu,
    };
    world.tapes.mark(from + Duration::from_secs(3), began);
    let (folder, key, told) = world.end();
    let [(first, whole), (second, short)] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((first, second), (call(1), call(2)));
    assert_eq!(
        (whole.end, whole.length_ms, whole.missed),
        (RecordingEnd::Whole, 2_500, 0)
    );
    assert_eq!(short.end, RecordingEnd::Whole);
    let bytes = folder.size(call(1), NOW).unwrap().unwrap();
    assert_eq!(bytes, whole.file_bytes);
    let file = folder.piece(call(1), NOW, (0, bytes as usize)).unwrap();
    let open = open(&file, &key);
    assert_eq!(open.head().codec, Codec::Pcma, "as the bridge had it");
    let footer = RecordingFooter::read(&file[file.len() - RECORDING_FOOTER..]).unwrap();
    assert_eq!(Some(footer.hash), whole.hash);
    let mut heard = 0;
    for index in 0.. {
        let Some(at) = open.chunk_at(index, 20_000) else {
            break;
        };
        let mut sealed = file[at.start as usize..at.end as usize].to_vec();
        let plain = open.chunk(index, &mut sealed).unwrap();
        assert!(plain.chunks(2).all(|frame| frame == [0x11, 0x22]));
        heard += plain.len();
    }
    assert_eq!(heard, 40_000);
    assert!(folder.used() >= bytes);
}

#[test]
fn no_room_no_key_and_no_order_end_recordings_and_nothing_else() {
    let full = FolderLimits {
        leave_free: u64::MAX,
        ..FolderLimits::default()
    };
    let limited = FolderLimits {
        bytes: Some(0),
        ..FolderLimits::default()
    };
    for (limits, ordered, end) in [
        (full, true, RecordingEnd::Disk),
        (limited, true, RecordingEnd::FolderFull),
        (FolderLimits::default(), false, RecordingEnd::Refused),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path(), limits);
        if ordered {
            world.orders.put(order(1, world.key.public()));
        }
        world.speak(1, media_io::now().monotonic, 200);
        let (folder, _, told) = world.end();
        let ends: Vec<_> = told.iter().map(|(_, recording)| recording.end).collect();
        assert_eq!(ends, [end]);
        assert_eq!(folder.size(call(1), NOW).unwrap(), None);
    }
}

#[test]
fn orders_have_a_bound() {
    let (orders, key) = (Orders::default(), RecordingPrivateKey::draw(NOW).public());
    for n in 0..limits::RECORDINGS_OPEN {
        assert!(orders.put(order(n as u128, key)));
    }
    assert!(!orders.put(order(u128::MAX, key)));
    // Bridges that came to nothing take no room for long.
    orders.forget(media_io::now().monotonic + ORDER_LIFE);
    assert!(orders.put(order(u128::MAX, key)));
}
