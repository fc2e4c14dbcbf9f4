use super::*;
use crate::DataKeys;
use domain::RecordingKey;
use zeroize::Zeroizing;

const NOW: WallTime = WallTime::from_millis(1_800_000_000_000);

fn key() -> RecordingPrivateKey {
    RecordingPrivateKey::of(Zeroizing::new([7; 32]), NOW).expect("a key")
}

fn head(n: u32, key: &RecordingKey) -> RecordingHead {
    RecordingHead {
        attempt: AttemptId::new(RegionId(1), 2, n),
        region: RegionId(1),
        node: MemberId(2),
        campaign: CampaignId(4),
        agent: Some(AgentId(5)),
        codec: Codec::Pcma,
        began_at: NOW,
        key: key.id,
    }
}

fn tail(frames: u64) -> RecordingTail {
    RecordingTail {
        frames,
        sides: [RecordedSide {
            packets: 9,
            late: 1,
            dropped: 2,
        }; 2],
        pauses: vec![(100, 200)],
        peaks: vec![[1, 255]; 25],
        ended_at: NOW,
    }
}

/// Seconds of which each is another byte.
fn plain(index: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n as u64 * 7 + index) as u8).collect()
}

/// A file of two whole seconds and a half, of call `n`.
fn written(n: u32) -> Vec<u8> {
    let public = key().public();
    let drawn = [[n as u8 + 1; 32], [n as u8 + 2; 32]].map(Zeroizing::new);
    let mut writer =
        RecordingWriter::begin_with(&head(n, &public), &public, &drawn, Vec::new()).unwrap();
    for (index, bytes) in [(0, RECORDING_CHUNK), (1, RECORDING_CHUNK), (2, 8_000)] {
        writer.chunk(&mut plain(index, bytes)).unwrap();
    }
    let before = writer.bytes();
    let (file, sum) = writer.finish(&tail(20_000)).unwrap();
    assert_eq!(sum.bytes, file.len() as u64);
    assert_eq!(sum.hash, *blake3::hash(&file[..before as usize]).as_bytes());
    file
}

/// All of a file, checked as a reader does.
fn read(file: &[u8], key: &RecordingPrivateKey) -> Result<(Vec<u8>, bool), RecordingError> {
    let start = &file[..file.len().min(RECORDING_HEAD_MAX)];
    let open = SealedRecording::read(start)?.unlock(key)?;
    let footer = file
        .len()
        .checked_sub(RECORDING_FOOTER)
        .and_then(|at| RecordingFooter::read(&file[at..]));
    let frames = match &footer {
        None => open.frames_without_end(file.len() as u64),
        Some(footer) => {
            let end = file.len() - RECORDING_FOOTER;
            let from = end
                .checked_sub(footer.tail as usize)
                .ok_or(RecordingError::Tail)?;
            let mut sealed = file[from..end].to_vec();
            let tail = open.tail(footer, &mut sealed, file.len() as u64)?;
            if *blake3::hash(&file[..from]).as_bytes() != footer.hash {
                return Err(RecordingError::Tail);
            }
            tail.frames
        }
    };
    let mut all = Vec::new();
    for index in 0.. {
        let Some(at) = open.chunk_at(index, frames) else {
            break;
        };
        let mut sealed = file[at.start as usize..at.end as usize].to_vec();
        all.extend_from_slice(open.chunk(index, &mut sealed)?);
    }
    Ok((all, footer.is_some()))
}

fn whole() -> Vec<u8> {
    [
        plain(0, RECORDING_CHUNK),
        plain(1, RECORDING_CHUNK),
        plain(2, 8_000),
    ]
    .concat()
}

#[test]
fn what_is_written_is_read_with_the_private_half_alone() {
    let file = written(1);
    assert_eq!(read(&file, &key()), Ok((whole(), true)));
    let other = RecordingPrivateKey::draw(NOW);
    assert_eq!(
        read(&file, &other),
        Err(RecordingError::OtherKey(key().id()))
    );
    // Nothing of the sound lies in it.
    let second = &plain(0, RECORDING_CHUNK)[..32];
    assert!(!file.windows(32).any(|w| w == second));
}

#[test]
fn each_second_is_read_alone_and_any_order_will_do() {
    let file = written(1);
    let open = SealedRecording::read(&file[..RECORDING_HEAD_MAX])
        .unwrap()
        .unlock(&key())
        .unwrap();
    assert_eq!(open.head(), &head(1, &key().public()));
    for index in [2, 0, 1] {
        let at = open.chunk_at(index, 20_000).unwrap();
        let mut sealed = file[at.start as usize..at.end as usize].to_vec();
        let bytes = if index == 2 { 8_000 } else { RECORDING_CHUNK };
        assert_eq!(open.chunk(index, &mut sealed).unwrap(), plain(index, bytes));
    }
    assert_eq!(open.chunk_at(3, 20_000), None);
    assert_eq!(open.chunk_at(0, 0), None);
}

#[test]
fn a_crash_leaves_its_whole_seconds() {
    let file = written(1);
    let open = SealedRecording::read(&file[..RECORDING_HEAD_MAX])
        .unwrap()
        .unlock(&key())
        .unwrap();
    let first = open.chunk_at(0, 20_000).unwrap();
    let second = open.chunk_at(1, 20_000).unwrap();
    for (cut, bytes) in [
        (first.start, 0),
        (first.end - 1, 0),
        (first.end, RECORDING_CHUNK),
        (second.end - 1, RECORDING_CHUNK),
        (second.end, 2 * RECORDING_CHUNK),
        (second.end + 4_000, 2 * RECORDING_CHUNK),
        (file.len() as u64 - 1, 2 * RECORDING_CHUNK),
    ] {
        let left = read(&file[..cut as usize], &key());
        assert_eq!(left, Ok((whole()[..bytes].to_vec(), false)), "{cut}");
    }
    let headless = read(&file[..100], &key());
    assert_eq!(headless, Err(RecordingError::NotRecording));
}

#[test]
fn nothing_that_was_changed_moved_cut_or_swapped_opens() {
    let (file, other) = (written(1), written(2));
    let open = SealedRecording::read(&file[..RECORDING_HEAD_MAX])
        .unwrap()
        .unlock(&key())
        .unwrap();
    let at = |n| {
        let range = open.chunk_at(n, 20_000).unwrap();
        range.start as usize..range.end as usize
    };
    // Each byte of the head, and bytes all over.
    let places = (0..at(0).start)
        .chain((at(0).start..file.len()).step_by(97))
        .chain([file.len() - RECORDING_FOOTER]);
    for place in places {
        let mut changed = file.clone();
        changed[place] ^= 1;
        let result = read(&changed, &key());
        assert!(
            result.is_err(),
            "byte {place}: {:?}",
            result.map(|(all, end)| (all.len(), end))
        );
    }
    // Without its end it is what a crash leaves, and says so.
    let mut endless = file.clone();
    *endless.last_mut().unwrap() ^= 1;
    assert!(matches!(read(&endless, &key()), Ok((_, false))));
    let mut moved = file.clone();
    moved.copy_within(at(1), at(0).start);
    moved[at(1)].copy_from_slice(&file[at(0)]);
    assert!(read(&moved, &key()).is_err());
    let mut swapped = file.clone();
    swapped[at(1)].copy_from_slice(&other[at(1)]);
    assert!(read(&swapped, &key()).is_err());
    // Not even where the hash is not looked at.
    let mut sealed = swapped[at(1)].to_vec();
    assert_eq!(open.chunk(1, &mut sealed), Err(RecordingError::Chunk(1)));
    let mut cut = file.clone();
    cut.drain(at(1));
    assert_eq!(read(&cut, &key()), Err(RecordingError::Tail));
    let tail_of = at(2).end;
    let exchanged = [&file[..tail_of], &other[tail_of..]].concat();
    assert_eq!(read(&exchanged, &key()), Err(RecordingError::Tail));
    let head_of = [&other[..at(0).start], &file[at(0).start..]].concat();
    assert!(read(&head_of, &key()).is_err());
}

#[test]
fn files_keep_their_bytes() {
    let file = written(1);
    let hash = blake3::hash(&file).to_hex();
    assert_eq!((file.len(), &hash.as_str()[..32]), GOLDEN);
    let mut later = file;
    later[6] = 2;
    assert_eq!(read(&later, &key()), Err(RecordingError::Version(2)));
}

/// As an implementation written from the document alone makes them.
const GOLDEN: (usize, &str) = (40_302, "9ce1465b3dbdb0b58cce20cec4330b0d");

#[test]
fn a_key_that_is_none_is_refused() {
    let none = RecordingKey {
        public: [0; 32],
        ..key().public()
    };
    let refused = RecordingWriter::begin(&head(1, &none), &none, Vec::new());
    assert!(refused.is_err());
}

#[test]
fn private_halves_are_kept_sealed_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let keys = DataKeys::ephemeral();
    let mut ring = RecordingKeys::open(dir.path(), &keys).unwrap();
    assert_eq!(ring.publics().count(), 0);
    ring.add(key(), dir.path(), &keys).unwrap();
    let drawn = RecordingPrivateKey::draw(NOW);
    ring.add(drawn.clone(), dir.path(), &keys).unwrap();
    let again = RecordingKeys::open(dir.path(), &keys).unwrap();
    assert!(again.publics().eq([key().public(), drawn.public()]));
    assert_eq!(
        read(&written(1), again.get(key().id()).unwrap()),
        Ok((whole(), true))
    );
    let bytes = std::fs::read(dir.path().join("recording.keys")).unwrap();
    assert!(!bytes.windows(32).any(|w| w == [7; 32]));
    assert!(RecordingKeys::open(dir.path(), &DataKeys::ephemeral()).is_err());
    // In clear only for who asks, and never over another file.
    let out = dir.path().join("copy");
    again.export(&out).unwrap();
    let copy = RecordingKeys::import(&out).unwrap();
    assert!(copy.publics().eq(again.publics()));
    assert!(again.export(&out).is_err());
    let text = std::fs::read_to_string(&out).unwrap();
    for (bad, why) in [
        (text.replace("0707", "0708"), "is not a recording key"),
        (text.replace("version 1\n", ""), "comes before"),
    ] {
        std::fs::write(&out, bad).unwrap();
        let error = RecordingKeys::import(&out).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn recording_keys_have_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let keys = DataKeys::ephemeral();
    let mut ring = RecordingKeys::default();
    for _ in 0..domain::limits::RECORDING_KEYS {
        ring.add(RecordingPrivateKey::draw(NOW), dir.path(), &keys)
            .unwrap();
    }
    let full = ring.add(RecordingPrivateKey::draw(NOW), dir.path(), &keys);
    assert!(matches!(full, Err(RecordingKeyError::Full)));
    assert_eq!(ring.publics().count(), domain::limits::RECORDING_KEYS);
}
