//! A journal of an earlier release, or sealed with an older data key, is copied entry by entry into
//! a new one at the first start, so that nothing readable, and nothing that needs the old key, stays.
//!
//! The copy lies in `journal.new` and takes the journal's place by two renames; a crash anywhere
//! leaves the old journal or the new one, whole.

use super::{
    JournalError, JournalOptions,
    disk::{EntryExt, ITSELF, Shared},
};
use crate::{
    data_dir::{folder_of, sync_folder_of},
    files::{Files as _, NativeFiles},
    seal::DataKeys,
};
use raft_engine::{LogBatch, env::DefaultFileSystem};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// By which key all of its entries are sealed.
const SEALED_BY: &[u8] = b".sealed";
/// Bytes copied at a time.
const PIECE: usize = 4 << 20;

/// Opens the journal, all of it sealed with the newest key.
pub(super) fn open(
    dir: &Path,
    options: JournalOptions,
    keys: &DataKeys,
) -> Result<Shared, JournalError> {
    let io = |source| JournalError::Io {
        dir: dir.into(),
        source,
    };
    let (new, old) = (beside(dir, "new"), beside(dir, "old"));
    finish(dir, &new, &old).map_err(io)?;
    let shared = open_here(dir, options, keys)?;
    let (by, active) = (
        shared.engine.get(ITSELF, SEALED_BY),
        keys.active().to_string().into_bytes(),
    );
    if by.as_deref() == Some(&active) {
        return Ok(shared);
    }
    if shared.engine.is_empty() {
        mark(&shared, active)?;
        return Ok(shared);
    }
    check_movable(dir).map_err(io)?;
    tracing::info!(dir = %dir.display(), key = %keys.active(), "the journal is sealed with the newest data key");
    {
        let sealed = open_here(&new, options, keys)?;
        copy(&shared, &sealed)?;
        mark(&sealed, active)?;
    }
    drop(shared);
    fs::rename(dir, &old).map_err(io)?;
    finish(dir, &new, &old).map_err(io)?;
    open_here(dir, options, keys)
}

/// Opens or makes a journal on the operating system's files.
fn open_here(dir: &Path, options: JournalOptions, keys: &DataKeys) -> Result<Shared, JournalError> {
    let io = |source| JournalError::Io {
        dir: dir.into(),
        source,
    };
    fs::create_dir_all(dir).map_err(io)?;
    settle(dir).map_err(io)?;
    let shared = Shared::open(dir, options, DefaultFileSystem, keys)?;
    // The engine does not sync the directory after it made its first file.
    File::open(dir).and_then(|d| d.sync_all()).map_err(io)?;
    sync_folder_of(dir).map_err(io)?;
    Ok(shared)
}

/// What is read from now on is on the disk. A run that was killed before its sync left pages that
/// wait to be written: whoever reads them as the log tells others of them. And pages whose write-back
/// failed stay in memory as if they were on the disk.
fn settle(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            NativeFiles.settle(&entry.path())?;
        }
    }
    Ok(())
}

/// The journal takes another's place by renaming folders, which a mount point does not allow and a
/// link would leave the old one behind.
fn check_movable(dir: &Path) -> io::Result<()> {
    let link = fs::symlink_metadata(dir)?.file_type().is_symlink();
    if link || fs::metadata(dir)?.dev() != fs::metadata(folder_of(dir))?.dev() {
        return Err(io::Error::other(
            "the journal has to be sealed anew, and its folder is a link or a mount point of its own: \
             stop the process and move it into the data directory, as a folder on the same file system",
        ));
    }
    Ok(())
}

fn beside(dir: &Path, what: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    dir.with_file_name(name)
}

/// Brings what a crash left half done to its end.
fn finish(dir: &Path, new: &Path, old: &Path) -> io::Result<()> {
    if old.exists() && !dir.exists() {
        // The copy was whole and synced before the journal made room for it.
        fs::rename(new, dir)?;
        sync_folder_of(dir)?;
    }
    for left in [new, old] {
        if left.exists() {
            fs::remove_dir_all(left)?;
        }
    }
    Ok(())
}

fn mark(shared: &Shared, key: Vec<u8>) -> Result<(), JournalError> {
    let mut log = LogBatch::default();
    log.put(ITSELF, SEALED_BY.to_vec(), key)
        .and_then(|()| shared.engine.write(&mut log, true))
        .map(drop)
        .map_err(|e| shared.refuse("written", e))
}

/// Every named value, and every entry that exists.
fn copy(from: &Shared, to: &Shared) -> Result<(), JournalError> {
    let failed = |e: raft_engine::Error| to.refuse("written", e);
    for group in from.engine.raft_groups() {
        let mut values = Vec::new();
        from.engine
            .scan_raw_messages(group, None, None, false, |key, value| {
                values.push((key.to_vec(), value.to_vec()));
                true
            })
            .map_err(|e| from.refuse("read", e))?;
        let mut log = LogBatch::default();
        for (key, value) in values {
            log.put(group, key, value).map_err(failed)?;
        }
        if !log.is_empty() {
            to.engine.write(&mut log, false).map_err(failed)?;
        }
        let mut next = 0;
        loop {
            let entries = from.read(group, next, u64::MAX, PIECE)?;
            let Some((last, _)) = entries.last() else {
                break;
            };
            next = last + 1;
            let mut log = LogBatch::with_capacity(entries.len());
            for (index, entry) in &entries {
                let message = to.message(group, *index, entry);
                log.add_entries::<EntryExt>(group, &[message])
                    .map_err(failed)?;
            }
            to.engine.write(&mut log, false).map_err(failed)?;
        }
    }
    Ok(())
}
