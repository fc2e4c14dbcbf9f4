//! The folder: `YYYY-MM-DD/att_….dmrec`, the day on which a call was joined, in UTC.

use domain::{AttemptId, WallTime, limits};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use storage::RECORDING_SUFFIX;

const DAY: Duration = Duration::from_secs(86_400);

/// How much may lie in the folder, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderLimits {
    /// Files are deleted when the day on which they began is so long over.
    pub keep: Duration,
    /// No recording begins while the folder has so many bytes; none where only the disk is a bound.
    pub bytes: Option<u64>,
    /// Recordings end, and none begins, while the disk has fewer bytes left: the node's journal needs
    /// them.
    pub leave_free: u64,
}

impl Default for FolderLimits {
    /// 180 days, as much as the disk has but 2 GiB.
    fn default() -> Self {
        Self {
            keep: DAY * 180,
            bytes: None,
            leave_free: 2 << 30,
        }
    }
}

/// Where recordings lie. Clones share what is known of it.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    limits: FolderLimits,
    used: Arc<AtomicU64>,
}

/// What one look at the folder found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Looked {
    bytes: u64,
    deleted: u64,
}

fn day(at: WallTime) -> String {
    at.to_string().chars().take(10).collect()
}

impl Folder {
    /// A folder, made when it is missing. Look at it with [`Folder::look`] before the first recording.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: PathBuf, limits: FolderLimits) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)?;
        Ok(Self {
            path,
            limits,
            used: Arc::default(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in it, as far as is known.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn grew(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether it is as large as it may be.
    pub(crate) fn is_full(&self) -> bool {
        self.limits.bytes.is_some_and(|most| self.used() >= most)
    }

    /// Whether the disk has no room left that the node itself does not need.
    pub(crate) fn disk_is_full(&self) -> bool {
        match rustix::fs::statvfs(&self.path) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) < self.limits.leave_free,
            // Whatever is wrong shows when something is written.
            Err(_) => false,
        }
    }

    fn file(&self, attempt: AttemptId, began_at: WallTime) -> PathBuf {
        let name = format!("{attempt}.{RECORDING_SUFFIX}");
        self.path.join(day(began_at)).join(name)
    }

    /// A new file for a call.
    ///
    /// # Errors
    /// Whatever the file system says; there is one already.
    pub(crate) fn create(&self, attempt: AttemptId, began_at: WallTime) -> io::Result<File> {
        let path = self.file(attempt, began_at);
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    }

    /// Bytes of a call's recording, which may still grow; none where there is none.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn size(&self, attempt: AttemptId, began_at: WallTime) -> io::Result<Option<u64>> {
        match fs::metadata(self.file(attempt, began_at)) {
            Ok(about) => Ok(Some(about.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A piece of a call's recording, as it lies there: at most [`limits::RECORDING_PIECE_BYTES`], less
    /// at its end.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn piece(
        &self,
        attempt: AttemptId,
        began_at: WallTime,
        (offset, bytes): (u64, usize),
    ) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.file(attempt, began_at))?;
        file.seek(SeekFrom::Start(offset))?;
        let bytes = bytes.min(limits::RECORDING_PIECE_BYTES);
        let mut piece = Vec::with_capacity(bytes);
        file.take(bytes as u64).read_to_end(&mut piece)?;
        Ok(piece)
    }

    /// Deletes what has been kept for long enough, counts the rest, and warns before the folder is full.
    /// May take a while: once an hour will do.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn look(&self, now: WallTime) -> io::Result<()> {
        let looked = self.tidy(now)?;
        self.used.store(looked.bytes, Ordering::Relaxed);
        metrics::gauge!("dialmesh_recordings_bytes").set(looked.bytes as f64);
        if looked.deleted > 0 {
            metrics::counter!("dialmesh_recordings_deleted_total").increment(looked.deleted);
            tracing::info!(
                files = looked.deleted,
                "recordings were kept for as long as they may be, and deleted"
            );
        }
        if let Some(most) = self.limits.bytes
            && looked.bytes >= most / 10 * 9
        {
            tracing::warn!(
                bytes = looked.bytes,
                most,
                "the recordings' folder is almost full: when it is, calls go on without recording; raise recordings.limit_gib or lower recordings.keep"
            );
        }
        Ok(())
    }

    fn tidy(&self, now: WallTime) -> io::Result<Looked> {
        // A day's last recording began just before the next.
        let first_kept = day(WallTime::from_millis(
            now.as_millis() - (self.limits.keep + DAY).as_millis() as i64,
        ));
        let mut looked = Looked::default();
        for folder in fs::read_dir(&self.path)? {
            let folder = folder?;
            let name = folder.file_name();
            let Some(name) = name.to_str().filter(|name| is_day(name)) else {
                continue;
            };
            let over = name < first_kept.as_str();
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let ours = file
                    .path()
                    .extension()
                    .is_some_and(|e| e == RECORDING_SUFFIX);
                if over && ours {
                    fs::remove_file(file.path())?;
                    looked.deleted += 1;
                } else {
                    looked.bytes += file.metadata()?.len();
                }
            }
            if over {
                // What is not ours stays, and its folder with it.
                drop(fs::remove_dir(folder.path()));
            }
        }
        Ok(looked)
    }
}

fn is_day(name: &str) -> bool {
    let shape = |(n, c): (usize, char)| match n {
        4 | 7 => c == '-',
        _ => c.is_ascii_digit(),
    };
    name.len() == 10 && name.chars().enumerate().all(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const NOW: WallTime = WallTime::from_millis(1_795_300_000_000);

    fn ago(days: u64) -> WallTime {
        WallTime::from_millis(NOW.as_millis() - (DAY * days as u32).as_millis() as i64)
    }

    #[test]
    fn files_are_found_by_call_and_read_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path().join("r"), FolderLimits::default()).unwrap();
        let call = AttemptId(7);
        assert_eq!(folder.size(call, NOW).unwrap(), None);
        folder
            .create(call, NOW)
            .unwrap()
            .write_all(b"0123456789")
            .unwrap();
        assert!(folder.create(call, NOW).is_err(), "never twice");
        assert_eq!(folder.size(call, NOW).unwrap(), Some(10));
        assert_eq!(folder.piece(call, NOW, (3, 4)).unwrap(), b"3456");
        assert_eq!(folder.piece(call, NOW, (8, 40)).unwrap(), b"89");
        assert_eq!(folder.piece(call, NOW, (11, 40)).unwrap(), b"");
    }

    #[test]
    fn what_was_kept_for_long_enough_goes_and_the_rest_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let limits = FolderLimits {
            keep: DAY * 30,
            bytes: Some(25),
            ..FolderLimits::default()
        };
        let folder = Folder::open(dir.path().join("r"), limits).unwrap();
        for (n, days) in [0, 29, 31, 32, 400].into_iter().enumerate() {
            let mut file = folder.create(AttemptId(n as u128), ago(days)).unwrap();
            file.write_all(b"0123456789").unwrap();
        }
        let not_ours = folder.path().join(day(ago(400))).join("notes.txt");
        fs::write(&not_ours, "mine").unwrap();
        folder.look(NOW).unwrap();
        let left = |n: u128, days| folder.size(AttemptId(n), ago(days)).unwrap().is_some();
        // A day whose last call may have begun 30 days ago stays.
        assert!(left(0, 0) && left(1, 29) && left(2, 31));
        assert!(!left(3, 32) && !left(4, 400));
        assert!(not_ours.exists());
        assert_eq!(folder.used(), 34);
        assert!(folder.is_full());
        assert!(!folder.disk_is_full());
        let all = FolderLimits {
            leave_free: u64::MAX,
            ..FolderLimits::default()
        };
        assert!(Folder::open(dir.path().into(), all).unwrap().disk_is_full());
    }
}
