//! Building a base: from a text list in any order, or from a base and what changed since.

use super::{DncBase, DncBaseError, list::Line, list::ListReader, put_in_place, runs::Sorter};
use crate::data_dir::{DataDirError, DataDirLock};
use domain::{DncBaseId, PhoneNumber, limits};
use permit::base::{BaseAbout, BaseEncoder, EncodeError};
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Memory for sorting that suits every list: 16 million numbers at a time.
pub const SORT_MEMORY: usize = 128 * 1024 * 1024;
/// The least memory for sorting.
pub const SORT_MEMORY_MIN: usize = 1024 * 1024;
/// Invalid lines that the counts name.
const FIRST_INVALID: usize = 20;
/// Lines or numbers between two reports of progress.
const PROGRESS_STEP: u64 = 1 << 20;

/// A base cannot be built. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Another build is running, or the folder cannot be used.
    #[error("the folder of do-not-call bases cannot be used")]
    Folder(#[from] DataDirError),
    /// A file cannot be written.
    #[error("the do-not-call base cannot be built in {dir}; check free space and permissions")]
    Io {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The list cannot be read on.
    #[error("the list cannot be read after line {line}")]
    List {
        /// The last line that was read.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The numbers do not fit a base.
    #[error("the numbers do not fit a do-not-call base")]
    Encode(#[from] EncodeError),
    /// What was written does not read back, or the old base is damaged.
    #[error("a do-not-call base does not read as it was written; check disk and memory")]
    Base(#[from] DncBaseError),
    /// Not one number: never what was meant.
    #[error("no number among {lines} lines; check the format: one number a line, country")]
    Nothing {
        /// Lines read.
        lines: u64,
    },
    /// The caller's progress function said so.
    #[error("stopped by request")]
    Stopped,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildProgress {
    /// Reads and sorts the list.
    Reading {
        /// Lines so far.
        lines: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// Writes the file.
    Writing {
        /// Numbers so far.
        numbers: u64,
    },
    /// Reads the file back; before that, the base that it is made from.
    Verifying {
        /// Bytes so far.
        bytes: u64,
    },
}

/// What a list held. `read` is the sum of the other four.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListCounts {
    /// Lines.
    pub read: u64,
    /// Different numbers: the base's count.
    pub accepted: u64,
    /// Repeats of numbers.
    pub duplicate: u64,
    /// Lines that are no number.
    pub invalid: u64,
    /// Lines with nothing on them.
    pub blank: u64,
    /// The first invalid ones.
    pub first_invalid: Vec<InvalidLine>,
}

/// A line that is no number. Holds none of its digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLine {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

/// A line that is no number, with its text: personal data, for a file of the importer's alone.
#[derive(Clone, Copy)]
pub struct RejectedLine<'a> {
    /// Counted from 1.
    pub line: u64,
    /// As read, trimmed; nothing of a line that is too long.
    pub text: &'a [u8],
    /// What is wrong.
    pub reason: &'a str,
}

impl std::fmt::Debug for RejectedLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// A base that stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltDncBase {
    /// The hash that names it.
    pub id: DncBaseId,
    /// The file.
    pub path: PathBuf,
    /// Its numbers.
    pub count: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Where and as what a base is built.
#[derive(Clone, Debug)]
pub struct DncBaseBuild {
    /// The folder of bases. One build at a time; its leftovers lie in the folder `building`.
    pub dir: PathBuf,
    /// Written into the file.
    pub about: BaseAbout,
    /// Bytes for sorting, [`SORT_MEMORY`] as a rule, at least [`SORT_MEMORY_MIN`]. What does not
    /// fit is sorted on disk, about 2 bytes a number.
    pub memory: usize,
}

/// Reads strict E.164, with or without `+`: what to read lines by when a list names no country.
///
/// # Errors
/// What is wrong, without digits.
pub fn e164(text: &str) -> Result<PhoneNumber, String> {
    text.parse::<PhoneNumber>().map_err(|e| e.to_string())
}

impl DncBaseBuild {
    /// Builds from a list with one number a line, in any order. Lines of `+` and 7 to 15 digits are
    /// taken as they are; `read` reads all others (a national format, or [`e164`]). Every line that
    /// is no number goes to `reject`. `progress` may stop the build.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is left behind.
    pub fn from_list(
        &self,
        list: impl Read,
        mut read: impl FnMut(&str) -> Result<PhoneNumber, String>,
        mut reject: impl FnMut(RejectedLine<'_>) -> io::Result<()>,
        mut progress: impl FnMut(BuildProgress) -> ControlFlow<()>,
    ) -> Result<(BuiltDncBase, ListCounts), BuildError> {
        let workplace = self.begin()?;
        let mut sorter = Sorter::new(&workplace.dir, self.memory.max(SORT_MEMORY_MIN) / 8);
        let mut counts = ListCounts::default();
        let mut list = ListReader::new(list);
        loop {
            let bytes = list.bytes();
            let line = match list.next() {
                Ok(None) => break,
                Ok(Some(line)) => line,
                Err(source) => {
                    let line = counts.read;
                    return Err(BuildError::List { line, source });
                }
            };
            counts.read += 1;
            match read_line(line, &mut read) {
                Ok(Some(number)) => {
                    (sorter.push(number.digits())).map_err(|source| self.io(source))?;
                }
                Ok(None) => counts.blank += 1,
                Err((text, reason)) => {
                    counts.invalid += 1;
                    let line = counts.read;
                    reject(RejectedLine {
                        line,
                        text,
                        reason: &reason,
                    })
                    .map_err(|source| self.io(source))?;
                    if counts.first_invalid.len() < FIRST_INVALID {
                        counts.first_invalid.push(InvalidLine { line, reason });
                    }
                }
            }
            if counts.read.is_multiple_of(PROGRESS_STEP) {
                let lines = counts.read;
                go_on(progress(BuildProgress::Reading { lines, bytes }))?;
            }
        }
        let (built, duplicates) = self.write(&workplace, &mut progress, |push| {
            sorter.finish(|digits| {
                let number = PhoneNumber::from_digits(digits)
                    .map_err(|e| self.io(io::Error::new(io::ErrorKind::InvalidData, e)))?;
                push(number)
            })
        })?;
        counts.accepted = built.count;
        counts.duplicate = duplicates;
        if built.count == 0 {
            return Err(BuildError::Nothing { lines: counts.read });
        }
        let built = self.put_in_place(&workplace, built)?;
        Ok((built, counts))
    }

    /// Folds what changed since into a new base: the old one without `lifted`, and with `added`,
    /// which wins over `lifted`. Every byte of the old one is checked before.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is left behind.
    pub fn compact(
        &self,
        base: &DncBase,
        added: &BTreeSet<PhoneNumber>,
        lifted: &BTreeSet<PhoneNumber>,
        mut progress: impl FnMut(BuildProgress) -> ControlFlow<()>,
    ) -> Result<BuiltDncBase, BuildError> {
        let workplace = self.begin()?;
        // The new file has right hashes whatever is in it: damage would be there for good.
        let mut stopped = false;
        base.verify(|bytes| stopped |= progress(BuildProgress::Verifying { bytes }).is_break())?;
        if stopped {
            return Err(BuildError::Stopped);
        }
        let (built, ()) = self.write(&workplace, &mut progress, |push| {
            let mut added = added.iter().copied().peekable();
            for number in sound(base) {
                let number = number?;
                let mut renewed = false;
                while let Some(new) = added.next_if(|new| *new <= number) {
                    renewed |= new == number;
                    push(new)?;
                }
                if !renewed && !lifted.contains(&number) {
                    push(number)?;
                }
            }
            added.try_for_each(push)
        })?;
        self.put_in_place(&workplace, built)
    }

    /// Builds from several bases: every number that is in one of them.
    ///
    /// # Errors
    /// [`BuildError`]; nothing is left behind.
    pub fn union(
        &self,
        bases: &[&DncBase],
        mut progress: impl FnMut(BuildProgress) -> ControlFlow<()>,
    ) -> Result<BuiltDncBase, BuildError> {
        let workplace = self.begin()?;
        let (built, ()) = self.write(&workplace, &mut progress, |push| {
            let mut rest: Vec<_> = (bases.iter().copied())
                .map(|base| sound(base).peekable())
                .collect();
            loop {
                let mut least: Option<PhoneNumber> = None;
                for numbers in &mut rest {
                    // A fault is taken out of its place, for it cannot be copied.
                    if let Some(Err(error)) = numbers.next_if(Result::is_err) {
                        return Err(error.into());
                    }
                    if let Some(Ok(number)) = numbers.peek() {
                        least = Some(least.map_or(*number, |known| known.min(*number)));
                    }
                }
                let Some(number) = least else {
                    return Ok(());
                };
                for numbers in &mut rest {
                    numbers.next_if(|next| next.as_ref().is_ok_and(|next| *next == number));
                }
                push(number)?;
            }
        })?;
        if built.count == 0 {
            return Err(BuildError::Nothing { lines: 0 });
        }
        self.put_in_place(&workplace, built)
    }

    fn io(&self, source: io::Error) -> BuildError {
        let dir = self.dir.clone();
        BuildError::Io { dir, source }
    }

    fn begin(&self) -> Result<Workplace, BuildError> {
        if self.about.source.len() > limits::NAME_BYTES {
            let bytes = self.about.source.len();
            return Err(EncodeError::SourceTooLong { bytes }.into());
        }
        let dir = self.dir.join("building");
        let lock = DataDirLock::acquire(&dir)?;
        let workplace = Workplace { dir, _lock: lock };
        // What a build that was killed has left.
        workplace.sweep().map_err(|source| self.io(source))?;
        Ok(workplace)
    }

    /// Writes and reads back a file in the workplace.
    fn write<T>(
        &self,
        workplace: &Workplace,
        progress: &mut impl FnMut(BuildProgress) -> ControlFlow<()>,
        feed: impl FnOnce(&mut dyn FnMut(PhoneNumber) -> Result<(), Failed>) -> Result<T, Failed>,
    ) -> Result<(BuiltDncBase, T), BuildError> {
        let path = workplace.dir.join("base");
        let file = (OpenOptions::new().write(true).read(true).create_new(true))
            .mode(0o600)
            .open(&path)
            .map_err(|source| self.io(source))?;
        let mut encoder = BaseEncoder::new(file, self.about.clone())?;
        let mut numbers = 0;
        let fed = feed(&mut |number| {
            encoder.push(number).map_err(BuildError::from)?;
            numbers += 1;
            if u64::is_multiple_of(numbers, PROGRESS_STEP) {
                go_on(progress(BuildProgress::Writing { numbers }))?;
            }
            Ok(())
        });
        let fed = fed.map_err(|failed| match failed {
            Failed::Build(error) => error,
            Failed::Io(source) => self.io(source),
        })?;
        let (file, summary) = encoder.finish()?;
        drop(file);
        let written = DncBase::open(&path)?;
        let mut stopped = ControlFlow::Continue(());
        written.verify(|bytes| {
            if stopped.is_continue() {
                stopped = progress(BuildProgress::Verifying { bytes });
            }
        })?;
        go_on(stopped)?;
        let built = BuiltDncBase {
            id: summary.id,
            path,
            count: summary.count,
            bytes: summary.bytes,
        };
        Ok((built, fed))
    }

    fn put_in_place(
        &self,
        workplace: &Workplace,
        built: BuiltDncBase,
    ) -> Result<BuiltDncBase, BuildError> {
        let written = workplace.dir.join("base");
        let path = File::open(&written)
            .and_then(|file| put_in_place(&file, &written, &self.dir, built.id))
            .map_err(|source| self.io(source))?;
        Ok(BuiltDncBase { path, ..built })
    }
}

/// The numbers of a base, or that it is damaged.
fn sound(base: &DncBase) -> impl Iterator<Item = Result<PhoneNumber, BuildError>> {
    base.numbers().map(|number| {
        number.map_err(|reason| {
            let file = base.path().into();
            BuildError::from(DncBaseError::Refused { file, reason })
        })
    })
}

/// How many numbers `new` has that `old` has not, and the other way round: what was added and what
/// is gone.
///
/// # Errors
/// One of them is damaged.
pub fn compare_dnc_bases(old: &DncBase, new: &DncBase) -> Result<(u64, u64), BuildError> {
    let both = {
        let mut both = 0;
        let mut old = sound(old).peekable();
        for number in sound(new) {
            let number = number?;
            while let Some(before) = old.next_if(|n| n.as_ref().map_or(true, |n| *n <= number)) {
                both += u64::from(before? == number);
            }
        }
        old.try_for_each(|number| number.map(drop))?;
        both
    };
    Ok((new.count() - both, old.count() - both))
}

/// What goes wrong while numbers are fed.
enum Failed {
    Build(BuildError),
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BuildError> for Failed {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

fn go_on(flow: ControlFlow<()>) -> Result<(), BuildError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(BuildError::Stopped),
    }
}

/// None when nothing is on the line; the text and what is wrong when it is no number.
fn read_line<'a>(
    line: Line<'a>,
    read: &mut impl FnMut(&str) -> Result<PhoneNumber, String>,
) -> Result<Option<PhoneNumber>, (&'a [u8], String)> {
    let text = match line {
        Line::TooLong => {
            let most = limits::NUMBER_TEXT_BYTES;
            return Err((
                &[],
                format!("more than {most} bytes; write one number a line"),
            ));
        }
        Line::Text([]) => return Ok(None),
        Line::Text(text) => text,
    };
    if let Some(number) = plain(text) {
        return Ok(Some(number));
    }
    std::str::from_utf8(text)
        .map_err(|_| "not UTF-8; save the list as UTF-8".to_owned())
        .and_then(read)
        .map(Some)
        .map_err(|reason| (text, reason))
}

/// `+` and 7 to 15 digits, the way nearly all lines of large lists are written: no detour.
fn plain(text: &[u8]) -> Option<PhoneNumber> {
    let digits = text.strip_prefix(b"+")?;
    if digits.len() > 15 || digits.first() == Some(&b'0') {
        return None;
    }
    let number = (digits.iter()).try_fold(0, |number: u64, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u64::from(byte - b'0'))
    })?;
    PhoneNumber::from_digits(number).ok()
}

/// The folder of a running build, emptied when it ends; by the next build when it was killed.
#[derive(Debug)]
struct Workplace {
    dir: PathBuf,
    _lock: DataDirLock,
}

impl Workplace {
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.file_name() != Some(Path::new("lock").as_os_str()) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What stays is swept by the next build.
        let _swept = self.sweep().is_ok();
    }
}
