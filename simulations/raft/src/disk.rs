//! A member's disk: what was written, what of it a sync has covered, and what a power cut leaves.
//!
//! Below the real raft-engine and the real snapshot store. Content that no sync covers survives a
//! power cut only in part: the first so many writes, the one after them torn. Names made, moved or
//! removed in a folder survive in their order, as many as the cut leaves, unless the folder was
//! synced. **Not modelled**: names of the journal's own files, which the engine looks for on the
//! real disk (empty files stand there), are as durable as if each were synced.

use crate::runtime::{self, Process};
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
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Since `synced`, in order.
    changes: Vec<Change>,
    /// How many of them a sync covers that has begun.
    syncing: usize,
}

impl Content {
    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.changes.push(change);
    }

    fn commit(&mut self) {
        for change in self.changes.drain(..self.syncing) {
            apply(&mut self.synced, &change);
        }
        self.syncing = 0;
    }

    /// What is left after a power cut. True when something was lost, and when it was torn.
    fn cut(&mut self, random: &mut Stream) -> (bool, bool) {
        let all = self.changes.len();
        let kept = random.below(all as u32 + 1) as usize;
        let mut torn = false;
        for (place, change) in std::mem::take(&mut self.changes).into_iter().enumerate() {
            if place < kept {
                apply(&mut self.synced, &change);
            } else if place == kept
                && let Change::Write { offset, mut bytes } = change
            {
                let length = random.below(bytes.len() as u32 + 1) as usize;
                torn = length > 0 && length < bytes.len();
                bytes.truncate(length);
                if !bytes.is_empty() {
                    apply(&mut self.synced, &Change::Write { offset, bytes });
                }
            }
        }
        self.syncing = 0;
        self.now = self.synced.clone();
        (kept < all, torn)
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(bytes);
        }
        Change::Truncate { length } => content.resize(*length, 0),
    }
}

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
    /// The power fails in the middle of the operation after so many more.
    fails_after: Option<u64>,
    failed: bool,
    /// The process that uses it now.
    owner: Process,
    quirks: Quirks,
    refused: u64,
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
}

/// What a power cut took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Files whose last writes are gone.
    pub(crate) files: u64,
    /// Files whose last write is there in part.
    pub(crate) torn: u64,
    /// Files made, moved or removed in vain.
    pub(crate) names: u64,
}

/// A disk, and the data key of the member whose it is. Clones are the same one. What is sealed has
/// other bytes in each run, and as many: nothing that happens depends on them.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>, DataKeys);

impl Default for Disk {
    fn default() -> Self {
        Self(Arc::default(), DataKeys::ephemeral())
    }
}

fn power() -> io::Error {
    io::Error::other("the power failed")
}

impl State {
    /// Counts an operation; false when the power fails in it.
    fn operate(&mut self) -> bool {
        if let Some(left) = &mut self.fails_after {
            if *left == 0 {
                self.failed = true;
                // Nothing of the process goes on after what it does just now.
                runtime::pause(self.owner, true);
            } else {
                *left -= 1;
            }
        }
        !self.failed
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
    pub(crate) fn new(quirks: Quirks) -> Self {
        let disk = Self::default();
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
        if !state.failed {
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

    /// The power will fail in the middle of the operation after so many more.
    pub(crate) fn fail_after(&self, operations: u64) {
        self.0.lock().fails_after = Some(operations);
    }

    /// Whether the power has failed.
    pub(crate) fn failed(&self) -> bool {
        self.0.lock().failed
    }

    /// The process that used the disk is gone; with `power`, so is what no sync has covered.
    pub(crate) fn restart(&self, power: Option<&mut Stream>) -> Loss {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.life += 1;
        state.fails_after = None;
        let mut loss = Loss::default();
        if let Some(random) = power {
            let all = state.namings.len();
            let kept = random.below(all as u32 + 1) as usize;
            loss.names = (all - kept) as u64;
            for naming in state.namings.drain(..).take(kept) {
                rename(&mut state.synced_names, &naming);
            }
            state.names = state.synced_names.clone();
            for content in state.contents.values_mut() {
                let (lost, torn) = content.cut(random);
                loss.files += u64::from(lost);
                loss.torn += u64::from(torn);
            }
        }
        // A killed process's writes are with the operating system, which goes on with its syncs.
        state.contents.values_mut().for_each(Content::commit);
        state.failed = false;
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
            if let Some(content) = state.contents.get_mut(&self.file) {
                content.syncing = content.changes.len();
            }
            Ok(())
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
            if let Some(content) = state.contents.get_mut(&file.handle.file) {
                content.syncing = content.changes.len();
                content.commit();
            }
            Ok(())
        })
    }

    fn settle(&self, path: &Path) -> io::Result<()> {
        let mut file = Files::open(self, path)?;
        self.sync(&mut file)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.operate(|state| {
            if !state.quirks.names_unsynced {
                state.commit_names();
            }
            Ok(())
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
