//! A member's disk: what was written, what of it a sync has covered, and what a power cut leaves.
//!
//! Below the real raft-engine and the real snapshot store. Content that no sync covers survives a
//! power cut only in part (see `content`), and so do names made, moved or removed in a folder that was
//! not synced. A sync may fail, once or from then on: what it should have covered is dropped in part,
//! while the system goes on showing it from memory until the file is settled or the power fails.
//! A process may die in the middle of an operation without the power failing.
//! **Not modelled**: names of the journal's own files, which the engine looks for on the
//! real disk (empty files stand there), are as durable as if each were synced.

use crate::{
    content::{Change, Content},
    runtime::{self, Process},
};
use consensus::platform::Files;
use parking_lot::Mutex;
use sansio::Stream;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use storage::{
    DataKeys,
    engine_files::{FileSystem, Handle, Permission, WriteExt},
};

#[derive(Clone, Debug)]
enum Naming {
    Made { path: PathBuf, file: u64 },
    Moved { from: PathBuf, to: PathBuf },
    Removed { path: PathBuf },
}

fn rename(names: &mut BTreeMap<PathBuf, u64>, naming: &Naming) {
    match naming {
        Naming::Made { path, file } => {
            names.insert(path.clone(), *file);
        }
        Naming::Moved { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Naming::Removed { path } => {
            names.remove(path);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    contents: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    synced_names: BTreeMap<PathBuf, u64>,
    namings: Vec<Naming>,
    next: u64,
    /// Counts lives of the disk: handles of an earlier one do nothing any more.
    life: u64,
    full: bool,
    /// The power fails, or the process dies, in the middle of the operation after so many more.
    fails_after: Option<(u64, End)>,
    failed: Option<End>,
    /// Syncs fail after so many more: one of them, or all from then on.
    syncs_fail: Option<(u64, bool)>,
    /// A sync failed while this process ran.
    sync_failed: bool,
    syncs_failed: u64,
    /// What a failed sync drops.
    random: Option<Stream>,
    /// The process that uses it now.
    owner: Process,
    quirks: Quirks,
    refused: u64,
}

/// How a process ends in the middle of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The power fails.
    Power,
    /// It alone: what it wrote is with the operating system.
    Killed,
}

/// Mistakes on purpose of this disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quirks {
    /// A write to a full disk is told as done.
    pub(crate) swallows_full: bool,
    /// Syncing a snapshot's content does nothing.
    pub(crate) content_unsynced: bool,
    /// Syncing a snapshot's folder does nothing.
    pub(crate) names_unsynced: bool,
    /// A failed sync is told as done.
    pub(crate) swallows_failed_sync: bool,
}

/// Faults that were to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    fails_after: Option<(u64, End)>,
    syncs_fail: Option<(u64, bool)>,
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Files whose last writes are gone.
    pub(crate) files: u64,
    /// Files with a write that is there in part.
    pub(crate) torn: u64,
    /// Files that lost something before something that is there.
    pub(crate) holes: u64,
    /// Files made, moved or removed in vain.
    pub(crate) names: u64,
}

/// A disk, and the data key of the member whose it is. Clones are the same one. What is sealed has
/// the same bytes in each run of a seed: whether a torn write can be told from a whole one depends on
/// what its lost bytes were.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>, DataKeys);

fn power() -> io::Error {
    io::Error::other("the power failed")
}

/// What a failed sync says; the engine panics with it.
pub(crate) const SYNC_FAILED: &str = "the sync failed";

fn sync_failed() -> io::Error {
    io::Error::other(SYNC_FAILED)
}

impl State {
    /// Counts an operation; false when the power fails in it.
    fn operate(&mut self) -> bool {
        if let Some((left, end)) = &mut self.fails_after {
            if *left == 0 {
                self.failed = Some(*end);
                // Nothing of the process goes on after what it does just now.
                runtime::pause(self.owner, true);
            } else {
                *left -= 1;
            }
        }
        self.failed.is_none()
    }

    /// Counts a sync; false when it fails.
    fn syncs(&mut self) -> bool {
        let Some((left, for_ever)) = &mut self.syncs_fail else {
            return true;
        };
        if runtime::is_over() {
            return true;
        }
        if *left > 0 {
            *left -= 1;
            return true;
        }
        if !*for_ever {
            self.syncs_fail = None;
        }
        self.sync_failed = true;
        self.syncs_failed += 1;
        false
    }

    /// A sync of a file begins, or has failed.
    fn begin_sync(&mut self, file: u64) -> io::Result<()> {
        let fails = !self.syncs();
        let Some(content) = self.contents.get_mut(&file) else {
            return Ok(());
        };
        if fails {
            let random = self.random.as_mut().expect("given with the failure");
            content.fail_sync(random);
            if !self.quirks.swallows_failed_sync {
                return Err(sync_failed());
            }
        }
        content.begin_sync();
        Ok(())
    }

    /// A sync of folders, or its failure: what they should name may come to the disk later.
    fn sync_names(&mut self) -> io::Result<()> {
        if self.syncs() {
            self.commit_names();
        } else if !self.quirks.swallows_failed_sync {
            return Err(sync_failed());
        }
        Ok(())
    }

    fn write(&mut self, file: u64, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let whole = self.operate();
        let room = !self.full || self.quirks.swallows_full;
        let lost = self.full && self.quirks.swallows_full;
        let content = self.contents.get_mut(&file).ok_or_else(power)?;
        let length = if whole && room {
            bytes.len()
        } else {
            bytes.len() / 2
        };
        if length > 0 && !lost {
            let bytes = bytes[..length].to_vec();
            content.change(Change::Write { offset, bytes });
        }
        if !whole {
            return Err(power());
        }
        if !room {
            self.refused += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn settle(&mut self, file: u64) -> io::Result<()> {
        self.begin_sync(file)?;
        if let Some(content) = self.contents.get_mut(&file) {
            content.settle();
        }
        Ok(())
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.names, &naming);
        self.namings.push(naming);
    }

    /// As [`State::name`], and durable at once.
    fn name_durably(&mut self, naming: &Naming) {
        rename(&mut self.names, naming);
        rename(&mut self.synced_names, naming);
    }

    fn make(&mut self) -> u64 {
        let file = self.next;
        self.next += 1;
        self.contents.insert(file, Content::default());
        file
    }

    fn make_named(&mut self, path: &Path) -> u64 {
        let file = self.make();
        let path = path.to_owned();
        self.name(Naming::Made { path, file });
        file
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, path.display().to_string());
        self.names.get(path).copied().ok_or_else(missing)
    }

    fn commit_names(&mut self) {
        for naming in self.namings.drain(..) {
            rename(&mut self.synced_names, &naming);
        }
    }
}

impl Disk {
    pub(crate) fn new(quirks: Quirks, seed: u64) -> Self {
        let disk = Self(Arc::default(), DataKeys::of_simulation(seed));
        disk.0.lock().quirks = quirks;
        disk
    }

    /// A new process uses it.
    pub(crate) fn owned_by(&self, process: Process) {
        self.0.lock().owner = process;
    }

    /// Whether there is no room now.
    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().full
    }

    /// The syncs that have begun are done.
    pub(crate) fn commit_syncs(&self) {
        let mut state = self.0.lock();
        if state.failed.is_none() {
            state.contents.values_mut().for_each(Content::commit);
        }
    }

    /// From now on there is no room, or room again.
    pub(crate) fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Writes that met a full disk so far.
    pub(crate) fn refused(&self) -> u64 {
        self.0.lock().refused
    }

    /// The power will fail, or the process die, in the middle of the operation after so many more.
    pub(crate) fn fail_after(&self, operations: u64, end: End) {
        self.0.lock().fails_after = Some((operations, end));
    }

    /// Whether the power has failed, or the process died.
    pub(crate) fn failed(&self) -> Option<End> {
        self.0.lock().failed
    }

    /// The sync after so many more will fail, and with `for_ever` all after it.
    pub(crate) fn fail_syncs(&self, after: u64, for_ever: bool, random: Stream) {
        let mut state = self.0.lock();
        state.syncs_fail = Some((after, for_ever));
        state.random = Some(random);
    }

    /// Nothing fails until [`Disk::resume_faults`].
    pub(crate) fn hold_faults(&self) -> Held {
        let mut state = self.0.lock();
        Held {
            fails_after: state.fails_after.take(),
            syncs_fail: state.syncs_fail.take(),
        }
    }

    /// What was to fail fails again.
    pub(crate) fn resume_faults(&self, held: Held) {
        let mut state = self.0.lock();
        state.fails_after = held.fails_after;
        state.syncs_fail = held.syncs_fail;
    }

    /// Syncs succeed again.
    pub(crate) fn mend_syncs(&self) {
        self.0.lock().syncs_fail = None;
    }

    /// Whether a sync failed while this process ran.
    pub(crate) fn sync_failed(&self) -> bool {
        self.0.lock().sync_failed
    }

    /// Syncs that failed so far.
    pub(crate) fn syncs_failed(&self) -> u64 {
        self.0.lock().syncs_failed
    }

    /// The journal's files, as a start finds them: what is read from now on is on the disk.
    pub(crate) fn settle_engine(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let names = state.names.iter();
        let files: Vec<u64> = names
            .filter(|(path, _)| path.starts_with(folder))
            .map(|(_, file)| *file)
            .collect();
        files.into_iter().try_for_each(|file| state.settle(file))
    }

    /// The process that used the disk is gone; with `power`, so is what no sync has covered.
    pub(crate) fn restart(&self, power: Option<&mut Stream>) -> Loss {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.life += 1;
        state.fails_after = None;
        state.sync_failed = false;
        let mut loss = Loss::default();
        if let Some(random) = power {
            let all = state.namings.len();
            // A beginning of them, or any.
            let kept = random.below(all as u32 + 1) as usize;
            let any = random.permille(300);
            for (place, naming) in state.namings.drain(..).enumerate() {
                let stays = if any {
                    random.permille(500)
                } else {
                    place < kept
                };
                if stays {
                    rename(&mut state.synced_names, &naming);
                } else {
                    loss.names += 1;
                }
            }
            state.names = state.synced_names.clone();
            for content in state.contents.values_mut() {
                let cut = content.cut(random);
                loss.files += u64::from(cut.lost);
                loss.torn += u64::from(cut.torn);
                loss.holes += u64::from(cut.hole);
            }
        }
        // A killed process's writes are with the operating system, which goes on with its syncs.
        state.contents.values_mut().for_each(Content::commit);
        state.failed = None;
        let names = (state.names.values()).chain(state.synced_names.values());
        let used: std::collections::BTreeSet<u64> = names.copied().collect();
        state.contents.retain(|file, _| used.contains(file));
        loss
    }

    /// What its member seals with.
    pub(crate) fn keys(&self) -> &DataKeys {
        &self.1
    }

    /// As the engine sees it.
    pub(crate) fn engine_files(&self) -> EngineFiles {
        EngineFiles(self.clone())
    }

    fn handle(&self, file: u64) -> FileHandle {
        let life = self.0.lock().life;
        FileHandle {
            disk: self.clone(),
            file,
            life,
        }
    }
}

/// An open file of one life of the disk.
#[derive(Clone, Debug)]
pub(crate) struct FileHandle {
    disk: Disk,
    file: u64,
    life: u64,
}

impl FileHandle {
    /// Does something, unless the process that opened it is gone.
    fn with<T: Default>(&self, what: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock();
        if state.life == self.life {
            what(&mut state)
        } else {
            Ok(T::default())
        }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.with(|state| {
            if !state.operate() {
                return Err(power());
            }
            if let Some(content) = state.contents.get_mut(&self.file) {
                content.change(change);
            }
            Ok(())
        })
    }

    fn begin_sync(&self) -> io::Result<()> {
        self.with(|state| {
            if !state.operate() {
                // The engine panics on a failed sync; whoever asked for it is never told instead.
                return Ok(());
            }
            state.begin_sync(self.file)
        })
    }

    fn length(&self) -> io::Result<usize> {
        self.with(|state| Ok(state.contents.get(&self.file).map_or(0, |c| c.now.len())))
    }
}

impl Handle for FileHandle {
    fn truncate(&self, offset: usize) -> io::Result<()> {
        self.change(Change::Truncate { length: offset })
    }

    fn file_size(&self) -> io::Result<usize> {
        self.length()
    }

    fn sync(&self) -> io::Result<()> {
        self.begin_sync()
    }
}

/// A place in an open file.
#[derive(Debug)]
pub(crate) struct Cursor {
    handle: FileHandle,
    offset: usize,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (file, offset) = (self.handle.file, self.offset);
        let read = self.handle.with(|state| {
            let content = state.contents.get(&file).map_or(&[][..], |c| &c.now);
            let rest = content.get(offset..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })?;
        self.offset += read;
        Ok(read)
    }
}

impl Write for Cursor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (file, offset) = (self.handle.file, self.offset);
        self.handle.with(|state| state.write(file, offset, bytes))?;
        self.offset += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(offset) => offset as i64,
            SeekFrom::Current(by) => self.offset as i64 + by,
            SeekFrom::End(by) => self.handle.length()? as i64 + by,
        };
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        self.offset = usize::try_from(place).map_err(invalid)?;
        Ok(self.offset as u64)
    }
}

impl WriteExt for Cursor {
    fn truncate(&mut self, offset: usize) -> io::Result<()> {
        self.offset = offset;
        self.handle.change(Change::Truncate { length: offset })
    }

    fn allocate(&mut self, _: usize, _: usize) -> io::Result<()> {
        // Room that is only promised holds nothing.
        Ok(())
    }
}

/// The disk below raft-engine.
#[derive(Clone, Debug)]
pub(crate) struct EngineFiles(Disk);

impl FileSystem for EngineFiles {
    type Handle = FileHandle;
    type Reader = Cursor;
    type Writer = Cursor;

    fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<FileHandle> {
        let path = path.as_ref();
        let file = {
            let mut state = self.0.0.lock();
            if !state.operate() {
                return Err(power());
            }
            fs::File::create(path)?;
            // The engine syncs a full file before it begins another.
            state.contents.values_mut().for_each(Content::commit);
            let file = state.make();
            let path = path.to_owned();
            state.name_durably(&Naming::Made { path, file });
            file
        };
        Ok(self.0.handle(file))
    }

    fn open<P: AsRef<Path>>(&self, path: P, _: Permission) -> io::Result<FileHandle> {
        let file = self.0.0.lock().find(path.as_ref())?;
        Ok(self.0.handle(file))
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let path = path.as_ref().to_owned();
        fs::remove_file(&path)?;
        self.0.0.lock().name_durably(&Naming::Removed { path });
        Ok(())
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> io::Result<()> {
        let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
        fs::rename(&from, &to)?;
        self.0.0.lock().name_durably(&Naming::Moved { from, to });
        Ok(())
    }

    fn new_reader(&self, handle: Arc<FileHandle>) -> io::Result<Cursor> {
        Ok(cursor((*handle).clone()))
    }

    fn new_writer(&self, handle: Arc<FileHandle>) -> io::Result<Cursor> {
        Ok(cursor((*handle).clone()))
    }
}

fn cursor(handle: FileHandle) -> Cursor {
    Cursor { handle, offset: 0 }
}

impl Disk {
    fn operate<T>(&self, what: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock();
        if state.operate() {
            what(&mut state)
        } else {
            Err(power())
        }
    }
}

/// The disk below the snapshot store.
impl Files for Disk {
    type File = Cursor;

    fn make_dir(&self, _: &Path) -> io::Result<()> {
        // Folders are where files say that they are.
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.0.lock();
        let inside = |path: &&PathBuf| path.parent() == Some(dir);
        Ok(state.names.keys().filter(inside).cloned().collect())
    }

    fn open(&self, path: &Path) -> io::Result<Cursor> {
        let file = self.operate(|state| state.find(path))?;
        Ok(cursor(self.handle(file)))
    }

    fn create(&self, path: &Path) -> io::Result<Cursor> {
        let file = self.operate(|state| {
            if state.full && !state.quirks.swallows_full {
                state.refused += 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            // A file of that name that somebody reads stays what it was.
            Ok(state.make_named(path))
        })?;
        Ok(cursor(self.handle(file)))
    }

    fn edit(&self, path: &Path) -> io::Result<Cursor> {
        let file = self.operate(|state| match state.find(path) {
            Ok(file) => Ok(file),
            Err(_) => Ok(state.make_named(path)),
        })?;
        Ok(cursor(self.handle(file)))
    }

    fn cut(&self, file: &mut Cursor, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        file.handle.change(Change::Truncate { length })
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let state = self.0.lock();
        let file = state.find(path)?;
        Ok(state.contents.get(&file).map_or(0, |c| c.now.len() as u64))
    }

    fn sync(&self, file: &mut Cursor) -> io::Result<()> {
        self.operate(|state| {
            if state.quirks.content_unsynced {
                return Ok(());
            }
            state.begin_sync(file.handle.file)?;
            if let Some(content) = state.contents.get_mut(&file.handle.file) {
                content.commit();
            }
            Ok(())
        })
    }

    fn settle(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            let file = state.find(path)?;
            state.settle(file)
        })
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.operate(|state| {
            if state.quirks.names_unsynced {
                return Ok(());
            }
            state.sync_names()
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.find(from)?;
            let (from, to) = (from.to_owned(), to.to_owned());
            state.name(Naming::Moved { from, to });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.find(path)?;
            let path = path.to_owned();
            state.name(Naming::Removed { path });
            Ok(())
        })
    }
}
