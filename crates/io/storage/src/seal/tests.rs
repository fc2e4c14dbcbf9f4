use super::*;
use std::{fs, io, io::Write as _, os::unix::fs::PermissionsExt as _};

const KEY: [u8; 32] = [7; 32];
const PLACE: &[u8] = b"group 1, entry 5";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_record_has_the_bytes_it_always_had() {
    let keys = DataKeys::fixed(&[KEY]);
    let sealer = keys.sealer_with(SealedKind::Journal, *b"twelve bytes");
    let first = sealer.seal(PLACE, b"+8613800138000");
    assert_eq!(hex(&first), GOLDEN_RECORD);
    let second = sealer.seal(PLACE, b"+8613800138000");
    assert_ne!(first[HEAD..], second[HEAD..], "no nonce comes twice");
    for sealed in [first, second] {
        let plain = keys.open_bytes(SealedKind::Journal, PLACE, &sealed);
        assert_eq!(plain.unwrap(), b"+8613800138000");
    }
}

const GOLDEN_RECORD: &str = "015dc941e57477656c766520627974657300000000000000007329b7a0f409733c33fbb06604eb2cc01648863e39d86b9c1f4b21c96a96";

#[test]
fn a_file_has_the_bytes_it_always_had() {
    let keys = DataKeys::fixed(&[KEY]);
    let kind = SealedKind::Snapshot;
    let mut writer =
        SealedWriter::begin_with(&keys, kind, PLACE, 8, Vec::new(), *b"twelve bytes").unwrap();
    writer.write_all(b"+8613800138000").unwrap();
    let sealed = writer.finish().unwrap();
    assert_eq!(hex(&sealed), GOLDEN_FILE);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, sealed).unwrap();
    let file = SealedFile::open(&keys, kind, PLACE, &path).unwrap();
    assert_eq!(file.read_all().unwrap(), b"+8613800138000");
}

const GOLDEN_FILE: &str = "444d5345414c0102000000085dc941e57477656c7665206279746573caaf40f07ae700e35ff71b6f832fafd6f00f15fd96f571aaad809e31f45a5f07d99056acf7a07f066a674977bbde";

#[test]
fn what_was_changed_or_moved_does_not_open() {
    let keys = DataKeys::fixed(&[KEY]);
    let sealed = keys.sealer(SealedKind::Journal).seal(PLACE, b"a number");
    let open = |keys: &DataKeys, kind, place: &[u8], sealed: &[u8]| {
        keys.open_bytes(kind, place, sealed).unwrap_err()
    };
    let damaged = SealError::Damaged {
        what: "the journal entry",
        id: keys.active(),
    };
    // Any bit of the prefix, the count, the ciphertext and the tag.
    for at in 5..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        assert_eq!(
            open(&keys, SealedKind::Journal, PLACE, &flipped),
            damaged,
            "byte {at}"
        );
    }
    let elsewhere = open(&keys, SealedKind::Journal, b"group 1, entry 6", &sealed);
    assert_eq!(elsewhere, damaged);
    assert!(elsewhere.to_string().contains("moved here"), "{elsewhere}");
    let other_kind = open(&keys, SealedKind::View, PLACE, &sealed);
    assert!(matches!(other_kind, SealError::Damaged { .. }));
    let short = open(&keys, SealedKind::Journal, PLACE, &sealed[..SEAL_BYTES - 1]);
    assert!(short.to_string().contains("cut off"), "{short}");
    // Another key is told by its name.
    let other = DataKeys::fixed(&[[8; 32]]);
    let wrong = open(&other, SealedKind::Journal, PLACE, &sealed).to_string();
    let names = [keys.active().to_string(), other.active().to_string()];
    assert!(names.iter().all(|name| wrong.contains(name)), "{wrong}");
    assert!(wrong.contains("put back the key file"), "{wrong}");
}

#[test]
fn a_file_is_read_from_anywhere_and_refused_when_torn() {
    let keys = DataKeys::ephemeral();
    let kind = SealedKind::Rejects;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for length in [0, 1, 9, 10, 11, 20, 25] {
        let plain: Vec<u8> = (0..length).collect();
        let mut writer = SealedWriter::begin(&keys, kind, PLACE, 10, Vec::new()).unwrap();
        for byte in &plain {
            writer.write_all(&[*byte]).unwrap();
        }
        let sealed = writer.finish().unwrap();
        fs::write(&path, &sealed).unwrap();
        let file = SealedFile::open(&keys, kind, PLACE, &path).unwrap();
        assert_eq!(file.read_all().unwrap(), plain);
        for offset in 0..=plain.len() {
            for wanted in [1, 7, 10, 30] {
                let end = plain.len().min(offset + wanted);
                let found = file.read_at(offset as u64, wanted).unwrap();
                assert_eq!(found, plain[offset..end], "{length} {offset} {wanted}");
            }
        }
        // Wherever it is cut, reading it all says so; most of all between two chunks.
        for cut in 0..sealed.len() {
            fs::write(&path, &sealed[..cut]).unwrap();
            let read = SealedFile::open(&keys, kind, PLACE, &path).and_then(|f| f.read_all());
            let error = read.expect_err("it is torn").to_string();
            let between = cut > 28 && (cut - 28) % 26 == 0;
            assert!(
                !between || error.contains("cut off"),
                "{length} {cut}: {error}"
            );
        }
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            let read = SealedFile::open(&keys, kind, PLACE, &path).and_then(|f| f.read_all());
            assert!(read.is_err(), "{length}: byte {at}");
        }
        // Chunks in another order.
        if length == 25 {
            let mut swapped = sealed.clone();
            swapped[28..54].copy_from_slice(&sealed[54..80]);
            swapped[54..80].copy_from_slice(&sealed[28..54]);
            fs::write(&path, &swapped).unwrap();
            let file = SealedFile::open(&keys, kind, PLACE, &path).unwrap();
            let error = file.read_all().unwrap_err().to_string();
            assert!(error.contains("moved here"), "{error}");
        }
    }
}

#[test]
fn pieces_come_over_restarts() {
    let keys = DataKeys::ephemeral();
    let place = (SealedKind::Snapshot, PLACE);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let whole: Vec<u8> = (0..25).collect();
    let put = |offset: usize, piece: &[u8]| {
        sealed_parts(
            &crate::files::NativeFiles,
            &keys,
            place,
            10,
            &path,
            25,
            (offset as u64, piece),
        )
    };
    assert_eq!(put(0, &[]).unwrap(), 0);
    assert_eq!(put(0, &whole[..10]).unwrap(), 10);
    assert_eq!(put(0, &whole[..10]).unwrap(), 10, "it is there already");
    assert_eq!(put(20, &whole[20..]).unwrap(), 10, "it does not follow");
    assert!(
        put(10, &whole[10..15]).is_err(),
        "not as long as pieces are"
    );
    assert!(put(10, &[0; 16]).is_err(), "more than the whole");
    assert_eq!(put(10, &whole[10..20]).unwrap(), 20);
    // A crash in the middle of a chunk.
    let torn = fs::read(&path).unwrap();
    fs::write(&path, [&torn[..], &[1; 5]].concat()).unwrap();
    assert_eq!(put(0, &[]).unwrap(), 20);
    fs::write(&path, &torn[..torn.len() - 1]).unwrap();
    assert_eq!(put(0, &[]).unwrap(), 10);
    assert_eq!(put(10, &whole[10..20]).unwrap(), 20);
    assert_eq!(put(20, &whole[20..]).unwrap(), 25);
    let file = SealedFile::open(&keys, place.0, PLACE, &path).unwrap();
    assert_eq!(file.read_all().unwrap(), whole);
    assert!(
        !fs::read(&path)
            .unwrap()
            .windows(5)
            .any(|w| w == &whole[3..8])
    );
}

#[test]
fn a_key_is_made_once_and_asked_for_ever_after() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("data.key"));
    fs::create_dir(&data).unwrap();
    let made = DataKeys::open(&file, &data).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let sealed = made.sealer(SealedKind::View).seal(PLACE, b"a number");
    let again = DataKeys::open(&file, &data).unwrap();
    assert_eq!(again.ids(), made.ids());
    assert_eq!(
        again.open_bytes(SealedKind::View, PLACE, &sealed).unwrap(),
        b"a number"
    );
    assert!(matches!(
        DataKeys::create(&file),
        Err(KeyFileError::Exists { .. })
    ));

    // Never printed.
    let text = fs::read_to_string(&file).unwrap();
    let secret = text.split_whitespace().last().unwrap();
    assert_eq!(secret.len(), 64);
    assert!(!format!("{made:?}").contains(&secret[..8]), "{made:?}");

    // Missing, while data is sealed with it.
    let away = dir.path().join("away.key");
    fs::rename(&file, &away).unwrap();
    let missing = DataKeys::open(&file, &data).unwrap_err().to_string();
    assert!(missing.contains("restore it from the backup"), "{missing}");
    assert!(missing.contains(&made.active().to_string()), "{missing}");
    assert!(!file.exists(), "no other key is made");

    // Another member's.
    let other = DataKeys::create(&file).unwrap();
    let wrong = DataKeys::open(&file, &data).unwrap_err().to_string();
    assert!(wrong.contains(&made.active().to_string()), "{wrong}");
    assert!(wrong.contains(&other.active().to_string()), "{wrong}");

    // Too open.
    fs::rename(&away, &file).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o700] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let opened = DataKeys::open(&file, &data);
        if mode == 0o700 {
            opened.unwrap();
        } else {
            let open = opened.unwrap_err().to_string();
            assert!(
                open.contains(&format!("{mode:04o}")) && open.contains("chmod 600"),
                "{open}"
            );
        }
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    DataKeys::open(&file, &data).unwrap();
}

#[test]
fn a_new_key_seals_and_the_old_one_opens() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data.key");
    let first = DataKeys::open(&file, dir.path()).unwrap();
    let old = first.sealer(SealedKind::Records).seal(PLACE, b"old");
    let rotated = DataKeys::rotate(&file).unwrap();
    let keys = DataKeys::open(&file, dir.path()).unwrap();
    assert_eq!(keys.ids(), rotated.ids());
    assert_eq!(keys.ids().len(), 2);
    assert_ne!(keys.active(), first.active());
    let new = keys.sealer(SealedKind::Records).seal(PLACE, b"new");
    assert_eq!(
        keys.open_bytes(SealedKind::Records, PLACE, &old).unwrap(),
        b"old"
    );
    assert_eq!(
        keys.open_bytes(SealedKind::Records, PLACE, &new).unwrap(),
        b"new"
    );
    // The file as it was before is told at once, though it opens what is old.
    let wrong = first
        .open_bytes(SealedKind::Records, PLACE, &new)
        .unwrap_err();
    assert!(matches!(wrong, SealError::WrongKey { id, .. } if id == keys.active()));
    let noted = fs::read_to_string(dir.path().join(SEALED_BY)).unwrap();
    let all = format!("sealed 1 {} {}\n", first.active(), keys.active());
    assert_eq!(noted, all);
    for _ in 2..64 {
        DataKeys::rotate(&file).unwrap();
    }
    assert!(matches!(
        DataKeys::rotate(&file),
        Err(KeyFileError::Full { .. })
    ));
    assert_eq!(DataKeys::load(&file).unwrap().ids().len(), 64);
}

#[test]
fn a_damaged_key_file_names_its_line_and_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data.key");
    DataKeys::create(&file).unwrap();
    let good = fs::read_to_string(&file).unwrap();
    let secret = good.split_whitespace().last().unwrap().to_owned();
    let other = if secret.starts_with('0') { '1' } else { '0' };
    let key_line = good.lines().last().unwrap();
    for (text, says) in [
        (good.replace("version 1", "version 2"), "newer release"),
        (
            good.replace(&secret, &format!("{other}{}", &secret[1..])),
            "not the one of its id",
        ),
        (good.replace(&secret, &secret[1..]), "64 hexadecimal"),
        (format!("{good}{key_line}\n"), "twice"),
        (format!("{good}kee x\n"), "line 5"),
        (String::new(), "empty"),
        ("version 1\n".to_owned(), "no key"),
    ] {
        fs::write(&file, &text).unwrap();
        let error = DataKeys::load(&file).unwrap_err().to_string();
        assert!(error.contains(says), "{error:?} lacks {says:?}");
        assert!(!error.contains(&secret[1..20]), "{error}");
    }
}

#[test]
fn a_keyed_hash_is_of_its_key_and_purpose() {
    let (keys, other) = (DataKeys::fixed(&[KEY]), DataKeys::fixed(&[[8; 32]]));
    let hash = keys.keyed_hash("phones", b"li");
    assert_eq!(hash, keys.keyed_hash("phones", b"li"));
    assert_ne!(hash, keys.keyed_hash("phones", b"wang"));
    assert_ne!(hash, keys.keyed_hash("audit", b"li"));
    assert_ne!(hash, other.keyed_hash("phones", b"li"));
}

/// Takes so many bytes, fails once, and takes the rest.
struct FailsOnce {
    until: usize,
    taken: Vec<u8>,
    failed: bool,
}

impl io::Write for FailsOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.failed && self.taken.len() + bytes.len() > self.until {
            self.failed = true;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_follows_a_write_that_failed() {
    let keys = DataKeys::fixed(&[KEY]);
    let file = FailsOnce {
        // The head, and the first chunk with its tag.
        until: 28 + 10 + 16,
        taken: Vec::new(),
        failed: false,
    };
    let mut writer = SealedWriter::begin(&keys, SealedKind::Rejects, PLACE, 10, file).unwrap();
    let error = writer.write_all(&[1; 25]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    // There would be room again.
    assert!(writer.write_all(&[1; 25]).is_err());
    assert!(writer.finish().is_err());
}

#[test]
fn beyond_the_end_there_is_nothing() {
    let keys = DataKeys::fixed(&[KEY]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for length in [0, 25] {
        let mut writer =
            SealedWriter::begin(&keys, SealedKind::Rejects, PLACE, 10, Vec::new()).unwrap();
        writer.write_all(&vec![1; length]).unwrap();
        fs::write(&path, writer.finish().unwrap()).unwrap();
        let file = SealedFile::open(&keys, SealedKind::Rejects, PLACE, &path).unwrap();
        for offset in [length as u64, length as u64 + 100, u64::MAX] {
            assert!(file.read_at(offset, 10).unwrap().is_empty());
        }
    }
}

#[test]
fn a_simulation_seals_alike_each_time_and_never_twice_with_one_prefix() {
    let run = || {
        let keys = DataKeys::of_simulation(7);
        [0; 3].map(|_| keys.sealer(SealedKind::Journal).seal(PLACE, b"plain"))
    };
    let [first, second, third] = run();
    assert_eq!([&first, &second, &third], run().each_ref());
    assert!(first[5..] != second[5..] && second[5..] != third[5..]);
    let keys = DataKeys::of_simulation(7);
    assert_eq!(
        keys.open_bytes(SealedKind::Journal, PLACE, &third).unwrap(),
        b"plain"
    );
    let others = DataKeys::of_simulation(8);
    assert!(
        others
            .open_bytes(SealedKind::Journal, PLACE, &third)
            .is_err()
    );
    // Everybody else's come out otherwise each time.
    let [one, other] = [0; 2].map(|_| {
        let keys = DataKeys::fixed(&[KEY]);
        keys.sealer(SealedKind::Journal).seal(PLACE, b"plain")
    });
    assert_ne!(one, other);
}
