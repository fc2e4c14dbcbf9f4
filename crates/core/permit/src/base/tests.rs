use super::*;
use domain::{PhoneNumber, WallTime, limits};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn about() -> BaseAbout {
    BaseAbout {
        source: "national registry".into(),
        built_at: WallTime::from_millis(1_700_000_000_000),
    }
}

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).unwrap()
}

fn encode(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut encoder = BaseEncoder::new(Vec::new(), about()).unwrap();
    for digits in numbers {
        encoder.push(number(digits)).unwrap();
    }
    let (bytes, summary) = encoder.finish().unwrap();
    assert_eq!(bytes.len() as u64, summary.bytes);
    bytes
}

/// Hashes every byte in pieces of `piece`, then walks the structure.
fn verify(bytes: &[u8], piece: usize) -> Result<(), BaseError> {
    let (layout, reader) = BaseReader::open(bytes)?;
    let mut verifier = BaseVerifier::new(&layout);
    for piece in bytes.chunks(piece) {
        verifier.take(piece)?;
    }
    verifier.finish()?;
    reader.check_structure()
}

/// Gives a changed footer its right hash again, as a hostile builder would.
fn sign(bytes: &mut [u8]) {
    let footer = bytes.len() - FOOTER_BYTES;
    let body = bytes.len() - 32;
    let hash = blake3::hash(&bytes[footer..body]);
    bytes[body..].copy_from_slice(hash.as_bytes());
}

fn assert_exact(bytes: &[u8], oracle: &BTreeSet<u64>) {
    let (layout, reader) = BaseReader::open(bytes).unwrap();
    assert_eq!(layout.count(), oracle.len() as u64);
    assert_eq!(layout.about(), &about());
    for digits in oracle {
        for near in [
            digits - 1,
            *digits,
            digits + 1,
            digits ^ 256,
            digits ^ 65_536,
        ] {
            if let Ok(near) = PhoneNumber::from_digits(near) {
                assert_eq!(
                    reader.contains(near),
                    oracle.contains(&near.digits()),
                    "{}",
                    near.reveal()
                );
            }
        }
    }
    for digits in [1_000_000, 999_999_999_999_999, 14_155_550_100] {
        assert_eq!(reader.contains(number(digits)), oracle.contains(&digits));
    }
    let asked: Vec<u64> = (oracle.iter())
        .flat_map(|digits| [*digits, digits + 1, digits ^ 65_536, 999_999_999_999_999])
        .collect();
    assert_together(&reader, &asked);
    let numbers: Vec<u64> = (reader.numbers()).map(|n| n.unwrap().digits()).collect();
    assert!(numbers.iter().eq(oracle.iter()));
    verify(bytes, 1_000).unwrap();
}

/// Many at once are answered as each alone, and what has no question is left alone.
fn assert_together(reader: &BaseReader<'_>, asked: &[u64]) {
    let asked: Vec<PhoneNumber> = (asked.iter())
        .filter_map(|digits| PhoneNumber::from_digits(*digits).ok())
        .collect();
    for left in [true, false] {
        let mut found = vec![left; asked.len() + 3];
        reader.contains_many(&asked, &mut found);
        let alone = asked.iter().map(|n| reader.contains(*n));
        assert!(alone.chain([left; 3]).eq(found));
    }
}

/// Numbers as they lie in life: alone, in thin and in crowded ranges.
fn crowds() -> impl Strategy<Value = BTreeSet<u64>> {
    let start = prop_oneof![
        1_000_000..1_200_000_u64,
        8_613_800_000_000..8_613_800_300_000_u64,
        1_000_000..999_999_000_000_000_u64,
    ];
    let crowd =
        (start, 1..2_000_u64, 1..1_500_u64, any::<u64>()).prop_map(|(start, count, gap, seed)| {
            let mut at = start;
            let mut state = seed | 1;
            let crowd: Vec<u64> = (0..count)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    at += 1 + state % gap;
                    at
                })
                .collect();
            crowd
        });
    prop::collection::vec(crowd, 0..6).prop_map(|all| all.into_iter().flatten().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_a_tree(oracle in crowds()) {
        assert_exact(&encode(oracle.iter().copied()), &oracle);
    }

    #[test]
    fn a_changed_byte_is_found_by_verification(
        oracle in crowds(),
        place in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let mut bytes = encode(oracle.iter().copied());
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        prop_assert!(verify(&bytes, 4_096).is_err());
        if let Ok((_, reader)) = BaseReader::open(&bytes) {
            for digits in &oracle {
                reader.contains(number(*digits));
            }
        }
    }

    #[test]
    fn a_torn_file_is_refused(oracle in crowds(), place in any::<prop::sample::Index>()) {
        let bytes = encode(oracle.iter().copied());
        prop_assert!(BaseReader::open(&bytes[..place.index(bytes.len())]).is_err());
        prop_assert!(BaseReader::open(&bytes[1..]).is_err());
    }

    #[test]
    fn hostile_bytes_lead_nowhere(
        oracle in crowds(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200),
        asked in prop::collection::vec(1_000_000..1_000_000_000_000_000_u64, 50),
        in_footer in any::<bool>(),
    ) {
        let mut bytes = encode(oracle.iter().copied());
        let len = bytes.len();
        for (place, value) in changes {
            let place = if in_footer {
                len - FOOTER_BYTES + 8 + place.index(FOOTER_BYTES - 8)
            } else {
                // The directory is where harm can be done; it lies at the end.
                len - FOOTER_BYTES - place.index((len - FOOTER_BYTES).min(20_000)) - 1
            };
            bytes[place] = value;
        }
        sign(&mut bytes);
        if let Ok((_, reader)) = BaseReader::open(&bytes) {
            let asked: Vec<u64> = oracle.iter().chain(&asked).copied().collect();
            assert_together(&reader, &asked);
            // Either is fine: it ends, within its bytes.
            let _checked = reader.check_structure();
        }
    }
}

#[test]
fn every_shape_at_its_bounds() {
    for count in [
        1, 16, 17, 32, 33, 513, 514, 515, 600, 5_851, 5_852, 40_000, 65_535, 65_536,
    ] {
        for spread in [1, 65_536 / count] {
            let first = 8_613_800_000_000_u64.next_multiple_of(65_536);
            let oracle: BTreeSet<u64> = (0..count).map(|n| first + n * spread).collect();
            assert_eq!(oracle.len() as u64, count);
            assert_exact(&encode(oracle.iter().copied()), &oracle);
        }
    }
    let shapes = [514, 515, 5_851, 5_852].map(BlockShape::best);
    use BlockShape::{Bitmap, Offsets, Split};
    assert_eq!(shapes, [Offsets, Split, Split, Bitmap]);
}

#[test]
fn an_empty_base_covers_nobody() {
    assert_exact(&encode([]), &BTreeSet::new());
}

#[test]
fn the_ends_of_the_number_space() {
    let oracle = BTreeSet::from([1_000_000, 999_999_999_999_999]);
    assert_exact(&encode(oracle.iter().copied()), &oracle);
}

#[test]
fn repeats_and_disorder_are_refused() {
    let mut encoder = BaseEncoder::new(Vec::new(), about()).unwrap();
    encoder.push(number(14_155_550_100)).unwrap();
    for digits in [14_155_550_100, 14_155_550_099] {
        let error = encoder.push(number(digits)).unwrap_err();
        assert!(matches!(error, EncodeError::NotAscending { .. }), "{error}");
        assert!(!error.to_string().contains("5550"), "masked");
    }
    encoder.push(number(14_155_550_101)).unwrap();
}

#[test]
fn the_bound_of_a_source_name_is_exact() {
    for (len, fits) in [(limits::NAME_BYTES, true), (limits::NAME_BYTES + 1, false)] {
        let about = BaseAbout {
            source: "n".repeat(len),
            ..about()
        };
        let encoder = BaseEncoder::new(Vec::new(), about.clone());
        assert_eq!(encoder.is_ok(), fits);
        if let Ok(encoder) = encoder {
            let (bytes, summary) = encoder.finish().unwrap();
            let (layout, _) = BaseReader::open(&bytes).unwrap();
            assert_eq!((layout.about(), layout.id()), (&about, summary.id));
        }
    }
}

#[test]
fn the_bound_of_the_directory_is_exact() {
    // Two numbers two pages apart: three pages, two of them with groups, two entries.
    let needed = 3 * PAGE_BYTES + 2 * PAGE_GROUPS * GROUP_BYTES + 2 * ENTRY_BYTES;
    for (room, fits) in [(needed, true), (needed - 1, false)] {
        let mut encoder = BaseEncoder::with_room(Vec::new(), about(), room).unwrap();
        encoder.push(number(1_000_000)).unwrap();
        encoder.push(number(1_000_000 + (2 << PAGE_BITS))).unwrap();
        assert_eq!(encoder.finish().is_ok(), fits);
    }
}

#[test]
fn other_versions_are_refused_by_name() {
    for version in [OLDEST_VERSION - 1, VERSION + 1] {
        let mut bytes = encode([14_155_550_100]);
        let at = bytes.len() - FOOTER_BYTES + 8;
        bytes[at..at + 4].copy_from_slice(&version.to_le_bytes());
        sign(&mut bytes);
        let error = BaseReader::open(&bytes).unwrap_err();
        assert_eq!(error, BaseError::Version { found: version });
    }
}

#[test]
fn what_cannot_be_read_forbids() {
    let mut bytes = encode([14_155_550_100, 14_155_550_104]);
    let (layout, _) = BaseReader::open(&bytes).unwrap();
    bytes[layout.range(Section::Entries)].fill(0xff);
    let (_, reader) = BaseReader::open(&bytes).unwrap();
    assert!(reader.contains(number(14_155_550_102)));
    let error = verify(&bytes, 100).unwrap_err();
    let section = Section::Entries;
    assert_eq!(error, BaseError::Damaged { section });
    assert!(error.to_string().contains("section entries is damaged"));
}

#[test]
fn each_chunk_can_be_checked_from_the_tail() {
    // Beyond two chunks, so that whole ones and a part of one are there.
    let bytes = encode((0..1_500_000).map(|n| 8_613_800_000_000 + n * 13));
    let (layout, _) = BaseReader::open(&bytes).unwrap();
    assert!(layout.chunks() >= 2, "{}", layout.chunks());
    let table = &bytes[layout.range(Section::Chunks)];
    let mut covered = 0;
    for (n, hash) in table.chunks(32).enumerate() {
        let range = layout.chunk_range(n);
        assert_eq!(range.start, covered);
        covered = range.end;
        assert_eq!(chunk_hash(&bytes[range]), hash);
    }
    assert_eq!(covered, layout.range(Section::Chunks).start);
    for piece in [7_777, CHUNK_BYTES, CHUNK_BYTES + 1, bytes.len()] {
        verify(&bytes, piece).unwrap();
    }
    // 5,041 numbers a block: one byte each and a tenth.
    assert!(bytes.len() < 1_700_000, "{}", bytes.len());
}

/// The bytes of version 1. They may never change: bases in use are read by later releases.
#[test]
fn golden_bytes() {
    let golden = include_bytes!("golden-v1.dncbase");
    let thin = (0..600).map(|n| 8_613_800_000_000 + n * 97);
    let crowded = (0..6_000).map(|n| 8_613_900_058_624 + n * 3);
    let few = [8_613_850_000_000, 8_613_850_000_001, 8_613_850_009_999];
    let oracle: BTreeSet<u64> = few.into_iter().chain(thin).chain(crowded).collect();
    assert_eq!(encode(oracle.iter().copied()), golden);
    assert_exact(golden, &oracle);
    let (layout, _) = BaseReader::open(golden).unwrap();
    assert_eq!(
        layout.id().to_string(),
        "c3112f0eb4ad69b90411679d984a7ab534d2587d9baa6267e5792696cb549c5a"
    );
}
