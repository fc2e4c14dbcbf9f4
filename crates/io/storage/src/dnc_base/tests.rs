use super::*;
use domain::WallTime;
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    ops::ControlFlow,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tempfile::TempDir;

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).unwrap()
}

fn build_in(dir: &Path) -> DncBaseBuild {
    DncBaseBuild {
        dir: dir.into(),
        about: BaseAbout {
            source: "registry".into(),
            built_at: WallTime::from_millis(1_700_000_000_000),
        },
        memory: 0,
    }
}

fn go_on(_: BuildProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn from_text(dir: &Path, text: &str) -> Result<(BuiltDncBase, ListCounts), BuildError> {
    build_in(dir).from_list(text.as_bytes(), e164, |_| Ok(()), go_on)
}

/// A base of `count` numbers, each 7 apart, from a shuffled list.
fn sevens(dir: &Path, count: u64) -> DncBase {
    let text: String = (0..count)
        .map(|n| format!("+{}\n", 8_613_800_000_000 + n * 7_919 % count * 7))
        .collect();
    let (built, counts) = from_text(dir, &text).unwrap();
    assert_eq!((counts.accepted, built.count), (count, count));
    DncBase::open_verified(&built.path).unwrap()
}

/// What lies in a folder, without the lock of builds.
fn left(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    let names = names.map(|n| n.into_string().unwrap());
    names.filter(|n| n != "lock").collect()
}

#[test]
fn every_line_is_counted_and_told() {
    let dir = TempDir::new().unwrap();
    let long = "1".repeat(65);
    let text = format!(
        "\u{feff}number\n+8613800138000\n13900139000\n\n \"+8613800138000\" \r\n+0123456789\n\
         8613800138000\n{long}\n+861380013800012345\n+8613800138001"
    );
    let mut rejected = Vec::new();
    // A national format, as `numbering` would read it.
    let read = |text: &str| match text {
        "13900139000" => Ok(number(8_613_900_139_000)),
        _ => e164(text),
    };
    let (built, counts) = build_in(dir.path())
        .from_list(
            text.as_bytes(),
            read,
            |line| {
                assert!(!format!("{line:?}").contains("123"), "no digits");
                rejected.push((line.line, line.text.to_vec()));
                Ok(())
            },
            go_on,
        )
        .unwrap();
    assert_eq!((counts.read, counts.accepted, counts.duplicate), (10, 3, 2));
    assert_eq!((counts.invalid, counts.blank), (4, 1));
    let lines: Vec<u64> = counts.first_invalid.iter().map(|l| l.line).collect();
    assert_eq!(lines, [1, 6, 8, 9]);
    assert!(
        counts.first_invalid[2]
            .reason
            .contains("more than 64 bytes")
    );
    let told: Vec<u64> = rejected.iter().map(|(line, _)| *line).collect();
    assert_eq!(told, lines);
    assert_eq!(rejected[1].1, b"+0123456789");

    let base = DncBase::open_verified(&built.path).unwrap();
    assert_eq!((base.id(), base.count()), (built.id, 3));
    assert_eq!(base.about().source, "registry");
    for digits in [8_613_800_138_000, 8_613_800_138_001, 8_613_900_139_000] {
        assert!(base.contains(number(digits)));
        assert!(!base.contains(number(digits + 2)));
    }
    assert_eq!(dnc_bases(dir.path()).unwrap(), [built.id]);
    assert!(fs::metadata(&built.path).unwrap().permissions().readonly());
}

#[test]
fn only_the_first_invalid_lines_are_named() {
    let dir = TempDir::new().unwrap();
    for (broken, named) in [(20, 20), (21, 20)] {
        let text = format!("{}+8613800138000\n", "x\n".repeat(broken));
        let (_, counts) = from_text(dir.path(), &text).unwrap();
        assert_eq!(counts.invalid, broken as u64);
        assert_eq!(counts.first_invalid.len(), named);
    }
    let error = from_text(dir.path(), "x\n\n").unwrap_err();
    assert!(matches!(error, BuildError::Nothing { lines: 2 }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_base_answers_as_a_tree(
        numbers in prop::collection::vec(8_613_800_000_000..8_613_800_900_000_u64, 1..3_000),
        more in prop::collection::btree_set(8_613_800_000_000..8_613_800_900_000_u64, 0..300),
        lifts in prop::collection::vec(any::<prop::sample::Index>(), 0..300),
    ) {
        let dir = TempDir::new().unwrap();
        let text: String = numbers.iter().map(|n| format!("{n}\n")).collect();
        let (built, counts) = from_text(dir.path(), &text).unwrap();
        let mut oracle: BTreeSet<PhoneNumber> = numbers.iter().map(|n| number(*n)).collect();
        prop_assert_eq!(counts.accepted, oracle.len() as u64);
        prop_assert_eq!(counts.duplicate, (numbers.len() - oracle.len()) as u64);
        let base = DncBase::open_verified(&built.path).unwrap();
        prop_assert!(base.numbers().map(Result::unwrap).eq(oracle.iter().copied()));

        let added: BTreeSet<PhoneNumber> = more.into_iter().map(number).collect();
        let lifted: BTreeSet<PhoneNumber> =
            lifts.iter().map(|n| number(*n.get(&numbers))).collect();
        let next = build_in(dir.path()).compact(&base, &added, &lifted, go_on).unwrap();
        let next = DncBase::open_verified(&next.path).unwrap();
        oracle.retain(|n| !lifted.contains(n));
        oracle.extend(added);
        prop_assert!(next.numbers().map(Result::unwrap).eq(oracle.iter().copied()));
        for n in &numbers {
            prop_assert_eq!(next.contains(number(*n)), oracle.contains(&number(*n)));
        }
    }
}

#[test]
fn lists_beyond_memory_are_sorted_on_disk() {
    let dir = TempDir::new().unwrap();
    // The least memory holds 131,072 numbers.
    let base = sevens(dir.path(), 300_001);
    let resident = DncBase::open_resident(base.path()).unwrap();
    assert!(resident.numbers().eq(base.numbers()));
    for n in 0..300_001 {
        assert!(resident.contains(number(8_613_800_000_000 + n * 7)));
        assert!(base.contains(number(8_613_800_000_000 + n * 7)));
    }
    assert!(!base.contains(number(8_613_800_000_001)));
    assert_eq!(left(&dir.path().join("building")), [""; 0]);
}

#[test]
fn a_stopped_build_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let text: String = (0..1_100_000)
        .map(|n| format!("{}\n", 8_613_800_000_000_u64 + n))
        .collect();
    for stop_at in 0..3 {
        let step = |progress| match progress {
            BuildProgress::Reading { .. } => 0,
            BuildProgress::Writing { .. } => 1,
            BuildProgress::Verifying { .. } => 2,
        };
        let error = build_in(dir.path())
            .from_list(
                text.as_bytes(),
                e164,
                |_| Ok(()),
                |progress| {
                    if step(progress) == stop_at {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            )
            .unwrap_err();
        assert!(matches!(error, BuildError::Stopped), "{stop_at}: {error}");
        assert_eq!(left(dir.path()), ["building"]);
        assert_eq!(left(&dir.path().join("building")), [""; 0]);
    }
}

#[test]
fn one_build_at_a_time() {
    let dir = TempDir::new().unwrap();
    let mut inner = None;
    build_in(dir.path())
        .from_list(
            &b"x\n+8613800138000\n"[..],
            e164,
            |_| {
                inner = Some(from_text(dir.path(), "+8613800138000\n").unwrap_err());
                Ok(())
            },
            go_on,
        )
        .unwrap();
    assert!(matches!(inner, Some(BuildError::Folder(_))));
}

const KILLED_IN: &str = "DIALMESH_TEST_KILLED_BUILD_DIR";

/// Builds without end when it is the child of the test below.
#[test]
fn killed_child() {
    let Some(dir) = std::env::var_os(KILLED_IN) else {
        return;
    };
    struct Endless(u64);
    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            let line = format!("+{}\n", 8_613_800_000_000 + self.0);
            buffer[..line.len()].copy_from_slice(line.as_bytes());
            if self.0 == 400_000 {
                println!("busy");
                io::stdout().flush()?;
            }
            Ok(line.len())
        }
    }
    let _endless = build_in(Path::new(&dir)).from_list(Endless(0), e164, |_| Ok(()), go_on);
}

#[test]
fn a_killed_build_leaves_nothing_that_counts_and_the_next_one_sweeps() {
    let dir = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dnc_base::tests::killed_child", "--nocapture"])
        .env(KILLED_IN, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines
            .map_while(Result::ok)
            .any(|line| line.contains("busy"))
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let building = dir.path().join("building");
    assert!(left(&building).len() >= 2, "sorted runs were on disk");
    assert_eq!(left(dir.path()), ["building"]);
    assert_eq!(dnc_bases(dir.path()).unwrap(), []);
    sevens(dir.path(), 10);
    assert_eq!(left(&building), [""; 0]);
    assert_eq!(dnc_bases(dir.path()).unwrap().len(), 1);
}

#[test]
fn damaged_torn_and_misnamed_files_are_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let base = sevens(dir.path(), 100_000);
    let whole = fs::read(base.path()).unwrap();
    let path = dir.path().join("copy");
    for (section, at) in [
        ("blocks", 5_000),
        ("head", 12),
        ("footer", whole.len() - 40),
    ] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = DncBase::open_verified(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("section {section} is damaged")),
            "{error}"
        );
        assert!(
            error.contains("copy") && error.contains("fetch or build"),
            "{error}"
        );
    }
    for len in [0, 100, 600, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        let error = DncBase::open(&path).unwrap_err();
        assert!(
            matches!(error, DncBaseError::Refused { .. }),
            "{len}: {error}"
        );
    }
    let other = dnc_base_path(dir.path(), DncBaseId([7; 32]));
    fs::write(&other, &whole).unwrap();
    let error = DncBase::open(&other).unwrap_err();
    assert!(
        matches!(error, DncBaseError::Misnamed { id, .. } if id == base.id()),
        "{error}"
    );
    let error = DncBase::open(&dir.path().join("none")).unwrap_err();
    assert!(matches!(error, DncBaseError::Io { .. }));
}

#[test]
fn a_damaged_base_is_not_made_a_whole_one() {
    let dir = TempDir::new().unwrap();
    // Far apart: blocks are offsets, and no bits.
    let text: String = (0..20_000u64)
        .map(|n| format!("{}\n", 8_613_800_000_000 + n * 97))
        .collect();
    let base = DncBase::open(&from_text(dir.path(), &text).unwrap().0.path).unwrap();
    let path = dir.path().join("copy");
    let mut bytes = fs::read(base.path()).unwrap();
    // An offset that becomes another number: in order all the same, so that only the hash tells.
    let whole: Vec<PhoneNumber> = base.numbers().map(Result::unwrap).collect();
    let damaged = (5_000..6_000).find_map(|at| {
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let base = DncBase::open(&path).unwrap();
        let numbers: Result<Vec<PhoneNumber>, _> = base.numbers().collect();
        bytes[at] ^= 1;
        numbers
            .is_ok_and(|numbers| numbers != whole)
            .then_some(base)
    });
    let damaged = damaged.expect("some byte is the lower half of an offset");
    let added = BTreeSet::from([number(8_613_800_000_001)]);
    let error = build_in(dir.path())
        .compact(&damaged, &added, &BTreeSet::new(), go_on)
        .unwrap_err();
    assert!(matches!(error, BuildError::Base(_)), "{error}");
    assert_eq!(dnc_bases(dir.path()).unwrap(), [base.id()]);
}

#[test]
fn a_swap_under_load_misses_nothing() {
    let dir = TempDir::new().unwrap();
    let first = sevens(dir.path(), 20_000);
    let added = BTreeSet::from([number(8_613_800_000_001)]);
    let second = build_in(dir.path())
        .compact(&first, &added, &BTreeSet::new(), go_on)
        .unwrap();
    let paths = [first.path().to_owned(), second.path];
    let swap = DncBaseSwap::new(Arc::new(first));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut asked = 0;
                while !stop.load(Ordering::Relaxed) || asked == 0 {
                    for n in 0..20_000 {
                        assert!(swap.contains(number(8_613_800_000_000 + n * 7)), "missed");
                        assert!(!swap.contains(number(8_613_800_000_003 + n * 7)), "false");
                    }
                    asked += 1;
                }
            });
        }
        for turn in 1..100 {
            let base = DncBase::open(&paths[turn % 2]).unwrap();
            let id = base.id();
            swap.replace(Arc::new(base));
            assert_eq!((BaseLookup::id(&swap), swap.current().id()), (id, id));
            for n in &added {
                assert_eq!(swap.contains(*n), turn % 2 == 1, "seen at once");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_base_travels_in_chunks_and_resumes() {
    let (there, here) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let base = sevens(there.path(), 1_500_000);
    let (id, len) = (base.id(), base.file_bytes());
    assert!(base.chunks() >= 2);
    let begin = || IncomingDncBase::begin(here.path(), id, len, base.tail()).unwrap();

    let mut incoming = begin();
    assert_eq!(incoming.missing().count(), base.chunks());
    let last = base.chunks() - 1;
    incoming.put(last, base.chunk(last)).unwrap();
    let mut broken = base.chunk(0).to_vec();
    broken[9] ^= 1;
    for (chunk, bytes) in [
        (0, &broken[..]),
        (0, base.chunk(1)),
        (last + 1, &[]),
        (0, &[]),
    ] {
        let error = incoming.put(chunk, bytes).unwrap_err();
        assert!(matches!(error, IncomingError::Chunk { .. }), "{error}");
    }
    let error = incoming.finish().unwrap_err();
    assert!(matches!(error, IncomingError::Missing { missing, .. } if missing == last));
    assert_eq!(dnc_bases(here.path()).unwrap(), []);

    let mut incoming = begin();
    assert_eq!(incoming.chunks(), base.chunks());
    let missing: Vec<usize> = incoming.missing().collect();
    assert_eq!(
        missing,
        (0..last).collect::<Vec<_>>(),
        "the last one is here"
    );
    for chunk in missing {
        incoming.put(chunk, base.chunk(chunk)).unwrap();
    }
    let received = incoming.finish().unwrap();
    assert_eq!((received.id(), received.count()), (id, base.count()));
    assert_eq!(dnc_bases(here.path()).unwrap(), [id]);
    assert_eq!(
        fs::read(received.path()).unwrap(),
        fs::read(base.path()).unwrap()
    );
    assert_eq!(left(&here.path().join("incoming")), [""; 0]);
}

#[test]
fn a_foreign_tail_is_refused() {
    let (there, here) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let base = sevens(there.path(), 1_000);
    let (id, len, tail) = (base.id(), base.file_bytes(), base.tail());
    let mut table = tail.to_vec();
    table[0] ^= 1;
    let longer = [tail, tail].concat();
    let cases = [
        (DncBaseId([1; 32]), len, tail),
        (id, len + 1, tail),
        (id, len, &tail[..100]),
        (id, len, &table[..]),
        (id, len, &tail[32..]),
        (id, len, &longer[..]),
    ];
    for (id, len, tail) in cases {
        let error = IncomingDncBase::begin(here.path(), id, len, tail).unwrap_err();
        assert!(matches!(error, IncomingError::Tail { .. }), "{error}");
    }
    assert_eq!(left(here.path()), [""; 0]);
}

#[test]
fn an_uploaded_file_is_taken_in_whole_and_as_what_it_is_said_to_be() {
    let (there, here) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let base = sevens(there.path(), 500_000);
    let bytes = fs::read(base.path()).unwrap();
    let upload = here.path().join("upload");
    let other = DncBaseId([7; 32]);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for (bytes, id) in [(&bytes, other), (&flipped, base.id())] {
        fs::write(&upload, bytes).unwrap();
        assert!(adopt_dnc_base(&upload, here.path(), id).is_err());
        assert_eq!(left(here.path()), ["upload"], "nothing was put in place");
    }
    fs::write(&upload, &bytes).unwrap();
    let adopted = adopt_dnc_base(&upload, here.path(), base.id()).unwrap();
    assert_eq!(adopted.count(), 500_000);
    assert_eq!(dnc_bases(here.path()).unwrap(), [base.id()]);
    assert!(!upload.exists());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_union_is_one_of_sets_and_differences_are_counted(
        sets in proptest::collection::vec(
            proptest::collection::btree_set(8_613_800_000_000u64..8_613_800_000_300, 1..200), 1..5)
    ) {
        let dir = TempDir::new().unwrap();
        let bases: Vec<DncBase> = (sets.iter().enumerate())
            .map(|(n, set)| {
                let text: String = set.iter().map(|number| format!("+{number}\n")).collect();
                let (built, _) = from_text(&dir.path().join(n.to_string()), &text).unwrap();
                DncBase::open(&built.path).unwrap()
            })
            .collect();
        let all: Vec<&DncBase> = bases.iter().collect();
        let built = build_in(dir.path()).union(&all, go_on).unwrap();
        let base = DncBase::open_verified(&built.path).unwrap();
        let numbers: BTreeSet<u64> = base.numbers().map(|n| n.unwrap().digits()).collect();
        prop_assert_eq!(&numbers, &sets.iter().flatten().copied().collect::<BTreeSet<u64>>());
        prop_assert_eq!(base.count(), numbers.len() as u64);
        for (set, one) in sets.iter().zip(&bases) {
            let added = numbers.difference(set).count() as u64;
            prop_assert_eq!(compare_dnc_bases(one, &base).unwrap(), (added, 0));
            prop_assert_eq!(compare_dnc_bases(&base, one).unwrap(), (0, added));
        }
        let (added, gone) = compare_dnc_bases(&bases[0], bases.last().unwrap()).unwrap();
        let (first, last) = (&sets[0], sets.last().unwrap());
        prop_assert_eq!(added, last.difference(first).count() as u64);
        prop_assert_eq!(gone, first.difference(last).count() as u64);
    }
}
