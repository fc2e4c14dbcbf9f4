//! Files as snapshots use them: the operating system's, or those of a simulated disk.

use rustix::fs::{Advice, fadvise};
use std::{
    fmt::Debug,
    fs,
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// The few things that snapshots ask of a file system. Errors are those of `std::fs`.
#[allow(
    clippy::missing_errors_doc,
    reason = "each is what std::fs says of the call of that name"
)]
pub trait Files: Clone + Debug + Send + Sync + 'static {
    /// An open file.
    type File: Read + Write + Seek + Send + Debug;

    /// Makes a directory and those above it.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// What lies in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Opens for reading.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// Makes or empties, for writing, for this user's eyes only.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Makes if need be, for reading and writing what is there.
    fn edit(&self, path: &Path) -> io::Result<Self::File>;
    /// Cuts an open file off.
    fn cut(&self, file: &mut Self::File, length: u64) -> io::Result<()>;
    /// Bytes of a file.
    fn length(&self, path: &Path) -> io::Result<u64>;
    /// Content of a file: survives a power cut from now on.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;
    /// What a process that is gone left in a file: it survives a power cut from now on, and what is
    /// read is on the disk. The system may show what waits to be written, and what it failed to write.
    fn settle(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory: survive a power cut from now on.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Moves a file over another one, if there is one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeFiles;

impl Files for NativeFiles {
    type File = fs::File;

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<fs::File> {
        fs::File::open(path)
    }

    fn create(&self, path: &Path) -> io::Result<fs::File> {
        let mut options = fs::File::options();
        options.create(true).truncate(true).write(true).mode(0o600);
        options.open(path)
    }

    fn edit(&self, path: &Path) -> io::Result<fs::File> {
        let mut options = fs::File::options();
        options.create(true).truncate(false).read(true).write(true);
        options.mode(0o600).open(path)
    }

    fn cut(&self, file: &mut fs::File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn sync(&self, file: &mut fs::File) -> io::Result<()> {
        file.sync_all()
    }

    fn settle(&self, path: &Path) -> io::Result<()> {
        let file = fs::File::open(path)?;
        file.sync_all()?;
        // Pages that are not on the disk although the sync says so go out of memory.
        fadvise(file, 0, None, Advice::DontNeed)?;
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
