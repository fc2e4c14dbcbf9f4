//! A process's data directory: who holds it, and which run of the process this is.

use domain::Incarnation;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

/// A data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds it.
    #[error(
        "data directory {dir} is in use by another process ({holder}); stop that process or choose \
         another data directory"
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// What the holder wrote about itself.
        holder: String,
    },
    /// It cannot be made or locked.
    #[error("data directory {dir} cannot be opened; check that it exists and is writable")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The hold of this process on a data directory (`flock` on the file `lock` in it). Given back
/// when dropped and when the process dies, however it dies.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
    dir: PathBuf,
}

impl DataDirLock {
    /// Makes `dir` (mode 0700) when missing and takes hold of it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] when another process has it.
    pub fn acquire(dir: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io {
            dir: dir.into(),
            source,
        };
        if !dir.exists() {
            use std::os::unix::fs::DirBuilderExt;
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(io)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message; an unreadable file leaves it empty.
                if file.read_to_string(&mut holder).is_err() || holder.is_empty() {
                    holder = "unknown process".into();
                }
                return Err(DataDirError::InUse {
                    dir: dir.into(),
                    holder: holder.trim().into(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "process {}", std::process::id()).map_err(io)?;
        Ok(Self {
            _file: file,
            dir: dir.into(),
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The folder a file lies in; that of a bare name is the working directory.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Makes durable that a file has its name: fsync of the folder it lies in.
///
/// # Errors
/// Whatever the file system says.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Writes a small file so that a crash leaves the old or the new content, whole: temporary file,
/// fsync, rename, fsync of the directory. Mode 0600.
///
/// # Errors
/// Whatever the file system says.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (temporary, _) = write_beside(path, bytes)?;
    fs::rename(&temporary, path)?;
    sync_folder_of(path)
}

/// [`write_atomically`] where nothing of that name may be there, not even a dangling link.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (temporary, _) = write_beside(path, bytes)?;
    // A link, unlike a rename, never replaces.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked?;
    sync_folder_of(path)
}

/// [`write_atomically`] over a file that is there: the new one has its owner.
pub(crate) fn replace_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let old = fs::metadata(path)?;
    let (temporary, file) = write_beside(path, bytes)?;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    fs::rename(&temporary, path)?;
    sync_folder_of(path)
}

/// The bytes, synced, in a temporary file beside `path`.
fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<(PathBuf, File)> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok((temporary, file))
}

/// In the data directory: the last run ended by a failed sync.
const SYNC_FAILED: &str = "sync.failed";

/// Notes that a sync failed in the data directory: what its files show until the next start of the
/// machine need not be on the disk. The next run's [`ProcessEpoch`] does not trust this one.
pub(crate) fn note_failed_sync(dir: &Path) {
    // No sync: within this boot the file system's memory is enough, and another boot is not trusted
    // anyway. Where even this fails the disk is gone for the next run too.
    if let Err(error) = fs::write(dir.join(SYNC_FAILED), b"") {
        tracing::error!(%error, "nothing can be noted of the failed sync; do not start this member before the machine was restarted");
    }
}

/// The count of a process's runs cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The file system refused.
    #[error("process epoch {path} cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else. Starting over would reuse an incarnation.
    #[error(
        "process epoch {path} is damaged ({found:?}); restore it from a backup, or remove the whole \
         data directory and join the mesh again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its first characters.
        found: String,
    },
}

/// Which run of the process this is. Kept in the file `epoch` of the data directory.
///
/// A node's journal proves that a lease was never dialed only when nothing was lost in between:
/// after a start in the same boot (the page cache survived) or after a clean stop.
#[derive(Debug)]
pub struct ProcessEpoch {
    /// Grows with each start, from 1.
    pub incarnation: Incarnation,
    /// The machine has not been restarted since the last run began, and no sync failed in it. False
    /// at the first run.
    pub same_boot_as_last: bool,
    /// The last run ended by [`ProcessEpoch::finish_clean`]. True at the first run: there was
    /// nothing to lose.
    pub clean_stop_last: bool,
    path: PathBuf,
    boot: String,
}

impl ProcessEpoch {
    /// Counts this start, durably, before anything else is done in `dir`.
    ///
    /// # Errors
    /// [`EpochError`]; the process must not go on without its incarnation.
    pub fn begin(dir: &Path) -> Result<Self, EpochError> {
        let boot_path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot = fs::read_to_string(boot_path).map_err(|source| EpochError::Io {
            path: boot_path.into(),
            source,
        })?;
        Self::begin_in_boot(dir, boot.trim())
    }

    fn begin_in_boot(dir: &Path, boot: &str) -> Result<Self, EpochError> {
        let path = dir.join("epoch");
        let last = match fs::read_to_string(&path) {
            Ok(text) => Some(parse(&text).ok_or_else(|| EpochError::Damaged {
                path: path.clone(),
                found: text.chars().take(64).collect(),
            })?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(EpochError::Io { path, source }),
        };
        // After a failed sync the system shows, from memory, what the disk may not have.
        let failed = dir.join(SYNC_FAILED);
        let lost = failed.exists();
        let epoch = Self {
            incarnation: Incarnation(last.as_ref().map_or(1, |l| l.0 + 1)),
            same_boot_as_last: !lost && last.as_ref().is_some_and(|l| l.1 == boot),
            clean_stop_last: last.as_ref().is_none_or(|l| l.2),
            path,
            boot: boot.to_owned(),
        };
        epoch.save("running")?;
        if lost {
            fs::remove_file(&failed).map_err(|source| EpochError::Io {
                path: failed,
                source,
            })?;
        }
        Ok(epoch)
    }

    /// Notes that everything was written and synced: the last act before exit.
    ///
    /// # Errors
    /// [`EpochError::Io`]; the next start will then count this stop as unclean.
    pub fn finish_clean(self) -> Result<(), EpochError> {
        self.save("stopped")
    }

    fn save(&self, state: &str) -> Result<(), EpochError> {
        let text = format!("epoch 1 {} {} {state}\n", self.incarnation.0, self.boot);
        write_atomically(&self.path, text.as_bytes()).map_err(|source| EpochError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

fn parse(text: &str) -> Option<(u64, String, bool)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["epoch", "1", incarnation, boot, state] = words[..] else {
        return None;
    };
    let clean = match state {
        "running" => false,
        "stopped" => true,
        _ => return None,
    };
    Some((incarnation.parse().ok()?, boot.to_owned(), clean))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        let held = DataDirLock::acquire(&data).unwrap();
        let error = DataDirLock::acquire(&data).unwrap_err();
        assert!(matches!(error, DataDirError::InUse { .. }));
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(held);
        DataDirLock::acquire(&data).unwrap();
    }

    #[test]
    fn incarnations_grow_and_remember_how_the_last_one_ended() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |boot| ProcessEpoch::begin_in_boot(dir.path(), boot).unwrap();
        let first = begin("boot-a");
        assert_eq!(first.incarnation, Incarnation(1));
        assert!(!first.same_boot_as_last && first.clean_stop_last);
        drop(first);
        let second = begin("boot-a");
        assert_eq!(second.incarnation, Incarnation(2));
        assert!(second.same_boot_as_last && !second.clean_stop_last);
        second.finish_clean().unwrap();
        let third = begin("boot-b");
        assert!(!third.same_boot_as_last && third.clean_stop_last);
        let real = ProcessEpoch::begin(dir.path()).unwrap();
        assert_eq!(real.incarnation, Incarnation(4));
        assert!(!real.clean_stop_last);
    }

    #[test]
    fn after_a_failed_sync_the_boot_proves_nothing_once() {
        let dir = tempfile::tempdir().unwrap();
        let begin = || ProcessEpoch::begin_in_boot(dir.path(), "boot-a").unwrap();
        begin();
        note_failed_sync(dir.path());
        assert!(!begin().same_boot_as_last);
        assert!(begin().same_boot_as_last);
    }

    #[test]
    fn a_replaced_file_keeps_its_owner_and_a_new_one_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        let error = write_new(&path, b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
        write_new(&path, b"new").unwrap();
        // Only root may give files away; for others the owner is their own before and after.
        let owner = match std::os::unix::fs::chown(&path, Some(4242), Some(4243)) {
            Ok(()) => (4242, 4243),
            Err(_) => (
                fs::metadata(&path).unwrap().uid(),
                fs::metadata(&path).unwrap().gid(),
            ),
        };
        replace_atomically(&path, b"newer").unwrap();
        let now = fs::metadata(&path).unwrap();
        assert_eq!(
            (now.uid(), now.gid(), now.mode() & 0o777),
            (owner.0, owner.1, 0o600)
        );
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_epoch_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("epoch"), "epoch 1 x y running").unwrap();
        assert!(matches!(
            ProcessEpoch::begin_in_boot(dir.path(), "b"),
            Err(EpochError::Damaged { .. })
        ));
    }
}
