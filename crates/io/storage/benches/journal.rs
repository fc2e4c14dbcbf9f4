//! What the journal takes: small entries as a node writes them, batches as Raft writes them.
//! `cargo bench -p storage --bench journal`

use bytes::Bytes;
use std::time::Instant;
use storage::{DataKeys, Durability, Journal, JournalBatch, JournalOptions};

/// Entries in one batch, bytes of each, batches.
const SHAPES: [(u64, usize, u64); 3] = [(1, 300, 40_000), (64, 300, 2_000), (1, 256 << 10, 400)];

fn main() {
    let dir = tempfile::tempdir().expect("a folder for the bench");
    let journal = open(dir.path());
    for (group, (entries, bytes, batches)) in (1..).zip(SHAPES) {
        // Incompressible, as sealed entries are.
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let entry = Bytes::from(noise);
        let started = Instant::now();
        let mut index = 1;
        for _ in 0..batches {
            let mut batch = JournalBatch::new();
            for _ in 0..entries {
                batch.append(group, index, entry.clone()).expect("small");
                index += 1;
            }
            journal.submit(batch, Durability::Written, || {});
        }
        journal.write(JournalBatch::new(), Durability::Synced);
        let took = started.elapsed().as_secs_f64();
        let all = (entries * batches) as f64;
        let started = Instant::now();
        let (mut read, mut from) = (0, 1);
        while from < index {
            let found = journal.read(group, from, index, 4 << 20).expect("readable");
            read += found.len();
            from = found.last().map_or(index, |(last, _)| last + 1);
        }
        let reading = started.elapsed().as_secs_f64();
        assert_eq!(read as u64, entries * batches, "all are there");
        println!(
            "{entries:3} x {bytes:6} B: written {:7.0} entries/s {:6.1} MB/s {:6.2} us/entry; read {:6.1} MB/s",
            all / took,
            all * bytes as f64 / took / 1e6,
            took / all * 1e6,
            all * bytes as f64 / reading / 1e6,
        );
    }
}

fn open(dir: &std::path::Path) -> Journal {
    Journal::open(
        &dir.join("journal"),
        JournalOptions::default(),
        &DataKeys::ephemeral(),
    )
    .expect("a journal")
}
