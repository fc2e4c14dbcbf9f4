//! What a power cut left of the journal's last files, looked at before the engine does.
//!
//! A power cut keeps any part of what no sync has covered, not only its beginning. The engine reads
//! back what lies before the first batch whose head or items are damaged; but entries it checks in the
//! last batch of a file only. A batch whose entries are damaged and behind which another is whole
//! would be taken in, and the group could not be read any more. So the file is cut there first: no
//! sync had covered anything from there on, so nobody was told of it.
//!
//! The engine's files: a head (magic, version, of version 2 the alignment), then batches of a head
//! (length and way of compression, place of the items), entries with their CRC-32, items with theirs.
//! Damage in what a sync had covered cannot be told from this; the engine, too, cuts the last file there.

use raft_engine::env::{FileSystem, Handle, Permission};
use std::{
    fs,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

const MAGIC: &[u8] = b"RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5";
/// Bytes of a batch's head.
const HEAD: u64 = 16;
/// Bytes of a checksum.
const SUM: usize = 4;

/// Cuts the last file of each row of the engine's files before a batch of damaged entries, durably.
pub(super) fn cut_damaged<F: FileSystem>(dir: &Path, files: &F) -> io::Result<()> {
    for suffix in ["raftlog", "rewrite"] {
        let Some(path) = last_file(dir, suffix)? else {
            continue;
        };
        let handle = Arc::new(files.open(&path, Permission::ReadWrite)?);
        let length = handle.file_size()? as u64;
        let damage = first_damage(files.new_reader(Arc::clone(&handle))?, length)?;
        if let Some(place) = damage {
            tracing::warn!(
                file = %path.display(), place, length,
                "a power cut damaged entries that no sync had covered; the journal ends before them"
            );
            handle.truncate(usize::try_from(place).map_err(io::Error::other)?)?;
            handle.sync()?;
        }
    }
    Ok(())
}

/// Names sort by their number. None before the first start.
fn last_file(dir: &Path, suffix: &str) -> io::Result<Option<PathBuf>> {
    let mut last = None;
    if dir.is_dir() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == suffix) {
                last = last.max(Some(path));
            }
        }
    }
    Ok(last)
}

/// Where the first batch begins whose entries are damaged, as far as batches can be followed: where
/// they cannot, the engine ends.
fn first_damage(file: impl Read + Seek, length: u64) -> io::Result<Option<u64>> {
    let mut file = BufReader::with_capacity(256 << 10, file);
    file.seek(SeekFrom::Start(0))?;
    let mut head = [0; MAGIC.len() + 8];
    if length < head.len() as u64 {
        return Ok(None);
    }
    file.read_exact(&mut head)?;
    let version = &head[MAGIC.len()..];
    let mut place = match (head.starts_with(MAGIC), version.last()) {
        (true, Some(1)) => head.len() as u64,
        (true, Some(2)) => {
            file.seek_relative(8)?;
            head.len() as u64 + 8
        }
        _ => return Ok(None),
    };
    let mut entries = Vec::new();
    while place + HEAD <= length {
        let mut words = [0; HEAD as usize];
        file.read_exact(&mut words)?;
        let [bytes, items] = [&words[..8], &words[8..]]
            .map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes")));
        let bytes = bytes >> 8;
        if items < HEAD || items > bytes || bytes > length - place {
            return Ok(None);
        }
        entries.resize((items - HEAD) as usize, 0);
        file.read_exact(&mut entries)?;
        if !is_whole(&entries) {
            return Ok(Some(place));
        }
        file.seek_relative((bytes - items) as i64)?;
        place += bytes;
    }
    Ok(None)
}

fn is_whole(entries: &[u8]) -> bool {
    if entries.is_empty() {
        return true;
    }
    let Some((bytes, sum)) = entries.split_last_chunk::<SUM>() else {
        return false;
    };
    crc32fast::hash(bytes) == u32::from_le_bytes(*sum)
}

#[cfg(test)]
mod tests {
    use super::super::{Durability, Journal, JournalBatch, JournalOptions, disk::EntryExt};
    use crate::DataKeys;
    use bytes::Bytes;
    use std::{
        fs::{self, File},
        os::unix::fs::FileExt as _,
    };

    fn open(dir: &std::path::Path) -> Journal {
        let keys = DataKeys::fixed(&[[3; 32]]);
        Journal::open(dir, JournalOptions::default(), &keys).unwrap()
    }

    fn append(journal: &Journal, index: u64, text: &str) {
        let mut batch = JournalBatch::new();
        let entry = Bytes::from(text.repeat(3000));
        batch.append(7, index, entry).unwrap();
        journal.write(batch, Durability::Written);
    }

    /// A power cut loses a page in the middle of what was not synced, and keeps what lies behind.
    #[test]
    fn a_hole_in_front_of_whole_batches_ends_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0000000000000001.raftlog");
        let journal = open(dir.path());
        append(&journal, 1, "first");
        // What is allocated ahead goes when it is closed.
        drop(journal);
        let before = fs::metadata(&file).unwrap().len();
        assert!(before < 20_000, "{before}");
        let journal = open(dir.path());
        append(&journal, 2, "second");
        append(&journal, 3, "third");
        let mut batch = JournalBatch::new();
        batch.put(7, "vote", b"late".to_vec());
        journal.write(batch, Durability::Written);
        drop(journal);
        let hole = File::options().write(true).open(&file).unwrap();
        hole.write_all_at(&[0; 4096], before.next_multiple_of(4096))
            .unwrap();
        drop(hole);

        // The engine by itself takes it all in, and cannot read it back.
        let copy = tempfile::tempdir().unwrap();
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        let config = raft_engine::Config {
            dir: copy.path().to_string_lossy().into_owned(),
            ..raft_engine::Config::default()
        };
        let engine = raft_engine::Engine::open(config).unwrap();
        assert_eq!(engine.last_index(7), Some(3));
        let read = std::thread::spawn(move || {
            let mut found = Vec::new();
            engine.fetch_entries_to::<EntryExt>(7, 1, 4, None, &mut found)
        });
        assert!(read.join().unwrap().is_err());

        let journal = open(dir.path());
        assert_eq!(journal.span(7), Some((1, 1)));
        assert_eq!(journal.value(7, "vote"), None, "written behind the hole");
        let kept = journal.read(7, 0, 9, usize::MAX).unwrap();
        assert_eq!(kept, [(1, Bytes::from("first".repeat(3000)))]);
        // It goes on there, and is read back.
        append(&journal, 2, "another");
        drop(journal);
        let journal = open(dir.path());
        assert_eq!(journal.read(7, 0, 9, usize::MAX).unwrap().len(), 2);
    }

    #[test]
    fn whole_files_and_short_ones_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0000000000000001.raftlog");
        let journal = open(dir.path());
        (1..=20).for_each(|index| append(&journal, index, "entry"));
        drop(journal);
        let whole = fs::read(&file).unwrap();
        let damage = |bytes: &[u8]| {
            let file = std::io::Cursor::new(bytes);
            super::first_damage(file, bytes.len() as u64).unwrap()
        };
        // Wherever it was torn, the engine finds the end.
        for length in (0..whole.len()).step_by(97).chain([whole.len()]) {
            assert_eq!(damage(&whole[..length]), None, "{length}");
        }
        let mut flipped = whole.clone();
        let place = whole.len() / 2;
        flipped[place] ^= 1;
        let found = damage(&flipped).unwrap();
        assert!(found < place as u64 && place as u64 - found < 20_000);
    }
}
