use super::*;
use crate::SealedKind;
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    process::{Command as Process, Stdio},
};

fn open(dir: &Path) -> Journal {
    Journal::open(dir, JournalOptions::default(), &keys()).unwrap()
}

fn keys() -> DataKeys {
    DataKeys::fixed(&[[3; 32]])
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn indexes(journal: &Journal, group: u64) -> Vec<u64> {
    let entries = journal.read(group, 0, u64::MAX, usize::MAX).unwrap();
    entries.into_iter().map(|(index, _)| index).collect()
}

#[test]
fn groups_keep_entries_and_values_apart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let journal = open(dir.path());
        let mut batch = JournalBatch::new();
        for index in 1..=5 {
            batch
                .append(1, index, bytes(&format!("one {index}")))
                .unwrap();
            batch
                .append(2, index + 100, bytes(&format!("two {index}")))
                .unwrap();
        }
        batch.put(1, "vote", b"v".to_vec());
        journal.write(batch, Durability::Synced);
        assert_eq!(journal.span(1), Some((1, 5)));
        assert_eq!(journal.span(2), Some((101, 105)));
        assert_eq!(
            journal.read(2, 102, 104, usize::MAX).unwrap()[1].1,
            bytes("two 3")
        );
        assert_eq!(journal.read(2, 102, 106, 1).unwrap().len(), 1);
        assert_eq!(journal.value(2, "vote"), None);
    }
    let journal = open(dir.path());
    assert_eq!(journal.span(1), Some((1, 5)));
    assert_eq!(journal.value(1, "vote").as_deref(), Some(&b"v"[..]));
    assert_eq!(
        journal.read(1, 0, 9, usize::MAX).unwrap()[4],
        (5, bytes("one 5"))
    );
}

#[test]
fn truncation_and_compaction_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    {
        let journal = open(dir.path());
        let mut batch = JournalBatch::new();
        for index in 0..10 {
            batch.append(1, index, bytes("old")).unwrap();
        }
        batch.truncate(1, 6);
        batch.compact(1, 2);
        journal.write(batch, Durability::Synced);
        assert_eq!(journal.span(1), Some((2, 5)));
    }
    {
        let journal = open(dir.path());
        assert_eq!(indexes(&journal, 1), [2, 3, 4, 5]);
        let mut batch = JournalBatch::new();
        batch.append(1, 6, bytes("new")).unwrap();
        journal.write(batch, Durability::Synced);
        assert_eq!(
            journal.read(1, 5, 99, usize::MAX).unwrap()[1],
            (6, bytes("new"))
        );
        // A snapshot beyond the log: it begins anew behind it.
        let mut batch = JournalBatch::new();
        batch.truncate(1, 4).compact(1, 100);
        journal.write(batch, Durability::Synced);
        assert_eq!(journal.span(1), None);
    }
    let journal = open(dir.path());
    assert_eq!(journal.span(1), None);
    assert_eq!(journal.compacted_before(1), 100);
    let mut batch = JournalBatch::new();
    batch.append(1, 100, bytes("after")).unwrap();
    journal.write(batch, Durability::Synced);
    assert_eq!(indexes(&journal, 1), [100]);
}

#[test]
fn entries_at_the_limit_pass_and_beyond_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let mut batch = JournalBatch::new();
    batch
        .append(1, 1, Bytes::from(vec![7; MAX_ENTRY_BYTES]))
        .unwrap();
    assert!(matches!(
        batch.append(1, 2, Bytes::from(vec![7; MAX_ENTRY_BYTES + 1])),
        Err(JournalError::TooLarge { .. })
    ));
    journal.write(batch, Durability::Written);
    assert_eq!(
        journal.read(1, 1, 2, 1).unwrap()[0].1.len(),
        MAX_ENTRY_BYTES
    );
}

#[test]
fn streams_count_on_after_restart_and_truncation() {
    let dir = tempfile::tempdir().unwrap();
    {
        let journal = open(dir.path());
        let outbox = journal.stream("outbox").unwrap();
        assert_eq!(outbox.next_index(), 1);
        assert_eq!(
            outbox
                .append(vec![bytes("a"), bytes("b")], Durability::Written)
                .unwrap(),
            2
        );
        assert_eq!(
            outbox.append(vec![bytes("c")], Durability::Synced).unwrap(),
            3
        );
        assert_eq!(
            outbox.read_from(2, usize::MAX).unwrap(),
            [(2, bytes("b")), (3, bytes("c"))]
        );
        outbox.truncate_prefix(99);
        journal.write(JournalBatch::new(), Durability::Synced);
        assert_eq!(outbox.read_from(0, usize::MAX).unwrap(), []);
    }
    let journal = open(dir.path());
    let outbox = journal.stream("outbox").unwrap();
    assert_eq!((outbox.first_index(), outbox.next_index()), (4, 4));
    assert_eq!(
        outbox.append(vec![bytes("d")], Durability::Synced).unwrap(),
        4
    );
    assert_eq!(journal.stream("other").unwrap().next_index(), 1);
    assert_eq!(outbox.read_from(0, usize::MAX).unwrap(), [(4, bytes("d"))]);
}

#[test]
fn concurrent_submissions_are_written_in_groups() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    std::thread::scope(|scope| {
        for group in 1..=8 {
            let journal = journal.clone();
            scope.spawn(move || {
                for index in 1..=50 {
                    let mut batch = JournalBatch::new();
                    batch
                        .append(group, index, Bytes::from(vec![group as u8; 300]))
                        .unwrap();
                    journal.write(batch, Durability::Synced);
                }
            });
        }
    });
    for group in 1..=8 {
        assert_eq!(indexes(&journal, group), (1..=50).collect::<Vec<_>>());
    }
}

#[test]
fn what_may_wait_for_its_sync_holds_up_nothing_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (told, heard) = mpsc::channel();
    let submit = |index: u64, durability| {
        let told = told.clone();
        let mut batch = JournalBatch::new();
        batch.append(1, index, bytes("an entry")).unwrap();
        journal.submit(batch, durability, move || told.send(index).unwrap());
    };
    // Alone: nothing else brings the sync.
    submit(1, Durability::SyncedSoon);
    assert_eq!(heard.recv(), Ok(1));
    // A sync that another needs covers those before it.
    submit(2, Durability::SyncedSoon);
    submit(3, Durability::SyncedSoon);
    submit(4, Durability::Synced);
    let first: Vec<_> = (0..3).map(|_| heard.recv().unwrap()).collect();
    assert_eq!(first, [2, 3, 4]);
    // More than one group of them, each told in its turn.
    for index in 5..10_000 {
        submit(index, Durability::SyncedSoon);
    }
    for index in 5..10_000 {
        assert_eq!(heard.recv(), Ok(index));
    }
    // The end of the journal brings it too.
    submit(10_000, Durability::SyncedSoon);
    drop(journal);
    assert_eq!(heard.try_recv(), Ok(10_000));
}

#[test]
fn who_submits_writes_where_nothing_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let (told, heard) = mpsc::channel();
    let submit = |index: u64, durability| {
        let mut batch = JournalBatch::new();
        batch.append(7, index, bytes("entry")).unwrap();
        let told = told.clone();
        let done = move || {
            let by = std::thread::current().id();
            told.send((index, by)).unwrap();
        };
        journal.submit_here(batch, durability, done);
    };
    let here = std::thread::current().id();
    submit(1, Durability::Written);
    assert_eq!(heard.try_recv(), Ok((1, here)), "at once, by this thread");
    // Written at once too, and told by the writer's thread when its sync was made.
    submit(2, Durability::SyncedSoon);
    assert_eq!(journal.span(7), Some((1, 2)));
    submit(3, Durability::Written);
    let mut rest = [heard.recv().unwrap(), heard.recv().unwrap()];
    rest.sort_by_key(|(index, _)| *index);
    assert!(rest[0].0 == 2 && rest[0].1 != here && rest[1] == (3, here));
    // A sync that is asked for at once is the thread's.
    submit(4, Durability::Synced);
    let (index, by) = heard.recv().unwrap();
    assert!(index == 4 && by != here);
    // The end of the journal brings what is owed.
    submit(5, Durability::SyncedSoon);
    drop(journal);
    assert_eq!(heard.try_recv().map(|(index, _)| index), Ok(5));
}

#[test]
fn entries_follow_one_another_whoever_writes() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    // One stream is written here as far as may be, by two threads; another group goes to the writer's
    // thread meanwhile.
    let stream = journal.stream("both").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for n in 0..500_u64 {
                    let durability = match n % 3 {
                        0 => Durability::SyncedSoon,
                        _ => Durability::Written,
                    };
                    stream.append(vec![bytes("here")], durability).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for index in 1..=500 {
                let mut batch = JournalBatch::new();
                batch.append(9, index, bytes("there")).unwrap();
                let durability = match index % 5 {
                    0 => Durability::Synced,
                    _ => Durability::Written,
                };
                journal.submit(batch, durability, || {});
            }
        });
    });
    journal.write(JournalBatch::new(), Durability::Synced);
    assert_eq!(indexes(&journal, 9), (1..=500).collect::<Vec<_>>());
    assert_eq!(stream.next_index(), 1001);
    assert_eq!(stream.read_from(1, usize::MAX).unwrap().len(), 1000);
    drop((stream, journal));
    let journal = open(dir.path());
    let stream = journal.stream("both").unwrap();
    assert_eq!(stream.read_from(1, usize::MAX).unwrap().len(), 1000);
}

#[test]
fn a_sync_that_is_owed_is_made_though_nothing_is_to_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let shared = &journal.inner.shared;
    let syncs = |work: &dyn Fn()| {
        raft_engine::set_perf_context(Default::default());
        work();
        raft_engine::get_perf_context().log_sync_duration > Duration::ZERO
    };
    let write = |sync| {
        let mut group = writer::Group::default();
        group.sync = sync;
        group.write(shared).unwrap();
    };
    assert!(syncs(&|| write(true)));
    assert!(!syncs(&|| write(false)));
    assert!(
        !syncs(&|| shared.engine.sync().unwrap()),
        "the engine's own does nothing: why the writer writes a word"
    );
    assert_eq!(journal.inner.shared.span(disk::ITSELF), None);
}

#[test]
fn old_files_are_purged_and_nothing_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        file_bytes: 64 << 10,
        purge_bytes: 256 << 10,
    };
    {
        let journal = Journal::open(dir.path(), options, &keys()).unwrap();
        let quiet = journal.stream("quiet").unwrap();
        quiet
            .append(vec![bytes("kept")], Durability::Synced)
            .unwrap();
        for index in 1..=3000u64 {
            let mut batch = JournalBatch::new();
            // Incompressible, so that files fill up.
            let noise = blake3::hash(&index.to_le_bytes());
            let entry: Vec<u8> = noise.as_bytes().repeat(30);
            batch.append(1, index, Bytes::from(entry)).unwrap();
            batch.put(1, "committed", index.to_be_bytes().to_vec());
            if index > 100 {
                batch.compact(1, index - 100);
            }
            journal.write(batch, Durability::Written);
            if index % 500 == 0 {
                journal.inner.shared.engine.purge_expired_files().unwrap();
            }
        }
        assert!(journal.used_bytes() < 1 << 20, "{}", journal.used_bytes());
    }
    let journal = Journal::open(dir.path(), options, &keys()).unwrap();
    assert_eq!(indexes(&journal, 1), (2900..=3000).collect::<Vec<_>>());
    assert_eq!(
        journal.value(1, "committed"),
        Some(3000u64.to_be_bytes().to_vec())
    );
    let quiet = journal.stream("quiet").unwrap();
    assert_eq!(
        quiet.read_from(1, usize::MAX).unwrap(),
        [(1, bytes("kept"))]
    );
}

#[test]
fn an_earlier_releases_journal_is_read_and_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let number = "+8613800138000".parse().unwrap();
    let clear = || crate::in_clear(dir.path(), &[number], &[]).unwrap();
    let kept = |journal: &Journal| {
        let entries = journal.read(65537, 0, 9, usize::MAX).unwrap();
        let expected = (2..=4).map(|i| (i, bytes(&format!("entry {i} of +8613800138000"))));
        assert_eq!(entries, expected.collect::<Vec<_>>());
        assert_eq!(journal.compacted_before(65537), 2);
        assert_eq!(
            journal.value(65537, "vote").as_deref(),
            Some(&b"a vote"[..])
        );
        let attempts = journal.stream("attempts").unwrap();
        assert_eq!(attempts.next_index(), 2);
        let found = attempts.read_from(0, usize::MAX).unwrap();
        assert_eq!(found, [(1, bytes("attempt of +8613800138000"))]);
    };
    crate::copy_folder("tests/data/plain/journal", &path);
    assert!(!clear().is_empty());
    // What crashes leave half done at any step comes to the same end.
    for step in 0..3 {
        let (new, old) = (
            dir.path().join("journal.new"),
            dir.path().join("journal.old"),
        );
        match step {
            0 => drop(Journal::open(&new, JournalOptions::default(), &keys()).unwrap()),
            1 => {
                crate::copy_folder("tests/data/plain/journal", &old);
                fs::rename(&path, &new).unwrap();
            }
            _ => crate::copy_folder("tests/data/plain/journal", &old),
        }
        let journal = open(&path);
        kept(&journal);
        drop(journal);
        assert_eq!(clear(), [], "{step}");
        assert!(!new.exists() && !old.exists());
    }
    // A newer key: after one start the old one is needed no longer.
    let with = |keys: &[[u8; 32]]| {
        let keys = DataKeys::fixed(keys);
        Journal::open(&path, JournalOptions::default(), &keys)
    };
    kept(&with(&[[3; 32], [4; 32]]).unwrap());
    kept(&with(&[[4; 32]]).unwrap());
    let wrong = match with(&[[3; 32]]) {
        Err(error @ JournalError::Sealed { .. }) => format!("{:?}", error),
        other => panic!("{other:?}"),
    };
    assert!(wrong.contains("WrongKey"), "{wrong}");
    kept(&with(&[[4; 32]]).unwrap());
}

#[test]
fn entries_are_sealed_to_their_group_and_index() {
    let dir = tempfile::tempdir().unwrap();
    let number: domain::PhoneNumber = "+8613800138000".parse().unwrap();
    let mut entry = postcard::to_stdvec(&number).unwrap();
    entry.extend_from_slice(number.reveal().as_bytes());
    let journal = open(dir.path());
    let mut batch = JournalBatch::new();
    for index in 1..=200 {
        batch.append(1, index, Bytes::from(entry.clone())).unwrap();
    }
    journal.write(batch, Durability::Synced);
    assert_eq!(
        journal.read(1, 7, 8, 1).unwrap(),
        [(7, Bytes::from(entry.clone()))]
    );
    assert_eq!(crate::in_clear(dir.path(), &[number], &[]).unwrap(), []);
    // Entry 7 where entry 8 should be, and with a bit changed.
    let shared = &journal.inner.shared;
    let sealed = shared.message(1, 7, &entry);
    let place = |index: u64| [1u64.to_be_bytes(), index.to_be_bytes()].concat();
    let mut bytes = sealed.value[8..].to_vec();
    let error = keys().open_record(SealedKind::Journal, &place(8), &mut bytes.clone());
    assert!(error.unwrap_err().to_string().contains("moved here"));
    keys()
        .open_record(SealedKind::Journal, &place(7), &mut bytes)
        .unwrap();
    // In the file: the engine's own checksum is made to fit.
    let mut log = raft_engine::LogBatch::default();
    let mut moved = sealed.clone();
    moved.value[..8].copy_from_slice(&(1u64 << 56 | 201).to_be_bytes());
    log.add_entries::<disk::EntryExt>(1, &[moved]).unwrap();
    shared.engine.write(&mut log, true).unwrap();
    let error = journal.read(1, 201, 202, 1).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::Sealed {
                group: 1,
                index: 201,
                ..
            }
        ),
        "{error:?}"
    );
}

/// The child of [`a_killed_process_loses_nothing_written`]: writes without sync until killed.
#[test]
fn child_writes_until_killed() {
    let Ok(dir) = std::env::var("DIALMESH_TEST_JOURNAL") else {
        return;
    };
    let journal = open(Path::new(&dir));
    let stream = journal.stream("intents").unwrap();
    loop {
        let last = stream
            .append(vec![bytes("an intent")], Durability::Written)
            .unwrap();
        println!("\nwritten {last}");
    }
}

#[test]
fn a_killed_process_loses_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "journal::tests::child_writes_until_killed",
            "--nocapture",
        ])
        .env("DIALMESH_TEST_JOURNAL", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = 0;
    for line in BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        if let Some(index) = line.strip_prefix("written ") {
            told = index.parse().unwrap();
            if told == 500 {
                // SIGKILL.
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(told >= 500);
    let stream = open(dir.path()).stream("intents").unwrap();
    assert!(
        stream.next_index() > told,
        "{} written, {told} told",
        stream.next_index() - 1
    );
    let entries = stream.read_from(1, usize::MAX).unwrap();
    assert!(
        entries
            .iter()
            .all(|(_, entry)| *entry == bytes("an intent"))
    );
    assert!(entries.len() as u64 >= told);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Truncate(u8),
    Compact(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..6).prop_map(Step::Append),
        2 => any::<u8>().prop_map(Step::Truncate),
        2 => any::<u8>().prop_map(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]
    #[test]
    fn behaves_as_a_row_of_entries(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(dir.path());
        // The model: entries by index, and where the next one goes.
        let (mut model, mut next, mut stamp) = (BTreeMap::new(), 1u64, 0u64);
        let mut first = 0u64;
        for step in steps {
            let mut batch = JournalBatch::new();
            match step {
                Step::Append(count) => for _ in 0..count {
                    stamp += 1;
                    let entry = Bytes::copy_from_slice(&stamp.to_le_bytes());
                    batch.append(7, next, entry.clone()).unwrap();
                    model.insert(next, entry);
                    next += 1;
                },
                Step::Truncate(back) => {
                    let low = model.keys().next().copied().unwrap_or(next);
                    let from = next.saturating_sub(u64::from(back) % 12).max(low).max(first);
                    batch.truncate(7, from);
                    model.split_off(&from);
                    next = from.min(next);
                }
                Step::Compact(ahead) => {
                    let before = next.saturating_sub(6) + u64::from(ahead) % 12;
                    batch.compact(7, before);
                    model = model.split_off(&before);
                    next = next.max(before);
                    first = first.max(before);
                }
                Step::Reopen => {
                    drop(journal);
                    journal = open(dir.path());
                }
            }
            journal.write(batch, Durability::Written);
            let found = journal.read(7, 0, u64::MAX, usize::MAX).unwrap();
            prop_assert_eq!(found, model.clone().into_iter().collect::<Vec<_>>());
        }
    }
}
