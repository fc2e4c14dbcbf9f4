//! Sorting more numbers than memory holds: sorted runs on disk, then merged.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Runs that are merged at once: so many files are open and buffers held, at most.
const FAN_IN: usize = 64;
const RUN_BUFFER: usize = 256 * 1024;

/// Takes numbers in any order, gives them back ascending, each once.
#[derive(Debug)]
pub(super) struct Sorter {
    dir: PathBuf,
    /// At most so many numbers are held in memory.
    room: usize,
    held: Vec<u64>,
    runs: Vec<Run>,
    named: u64,
    duplicates: u64,
}

/// One sorted file: the steps from each number to the next, seven bits a byte.
#[derive(Debug)]
struct Run {
    path: PathBuf,
    count: u64,
}

impl Sorter {
    /// Files go to `dir`, which the caller sweeps.
    pub(super) fn new(dir: &Path, room: usize) -> Self {
        Self {
            dir: dir.into(),
            room: room.max(1),
            held: Vec::new(),
            runs: Vec::new(),
            named: 0,
            duplicates: 0,
        }
    }

    /// Takes in a number, not 0.
    pub(super) fn push(&mut self, number: u64) -> io::Result<()> {
        if self.held.len() == self.room {
            self.spill()?;
        }
        if self.held.capacity() == 0 {
            self.held.reserve_exact(self.room);
        }
        self.held.push(number);
        Ok(())
    }

    fn sort(&mut self) {
        let all = self.held.len();
        self.held.sort_unstable();
        self.held.dedup();
        self.duplicates += (all - self.held.len()) as u64;
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let mut run = self.new_run()?;
        for number in &self.held {
            run.push(*number)?;
        }
        self.held.clear();
        self.runs.push(run.finish()?);
        if self.runs.len() == FAN_IN {
            let mut merged = self.new_run()?;
            let runs = std::mem::take(&mut self.runs);
            self.duplicates += merge(&runs, |number| merged.push(number))?;
            self.runs.push(merged.finish()?);
            for run in runs {
                fs::remove_file(run.path)?;
            }
        }
        Ok(())
    }

    fn new_run(&mut self) -> io::Result<RunWriter> {
        self.named += 1;
        RunWriter::create(self.dir.join(format!("run-{}", self.named)))
    }

    /// Gives every number to `each`, ascending. Returns how many came more than once, counted each
    /// time after the first.
    pub(super) fn finish<E: From<io::Error>>(
        mut self,
        mut each: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<u64, E> {
        if self.runs.is_empty() {
            self.sort();
            for number in &self.held {
                each(*number)?;
            }
            return Ok(self.duplicates);
        }
        if !self.held.is_empty() {
            self.spill()?;
        }
        self.held = Vec::new();
        let duplicates = merge(&self.runs, each)?;
        Ok(self.duplicates + duplicates)
    }
}

/// Returns how many repeats were dropped.
fn merge<E: From<io::Error>>(
    runs: &[Run],
    mut each: impl FnMut(u64) -> Result<(), E>,
) -> Result<u64, E> {
    let mut readers = Vec::with_capacity(runs.len());
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for run in runs {
        let mut reader = RunReader::open(run)?;
        if let Some(first) = reader.next()? {
            heads.push(Reverse((first, readers.len())));
        }
        readers.push(reader);
    }
    let (mut last, mut duplicates) = (0, 0);
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((number, place)) = *head;
        match readers[place].next()? {
            Some(next) => *head = Reverse((next, place)),
            None => {
                PeekMut::pop(head);
            }
        }
        if number == last {
            duplicates += 1;
        } else {
            each(number)?;
            last = number;
        }
    }
    Ok(duplicates)
}

#[derive(Debug)]
struct RunWriter {
    path: PathBuf,
    file: BufWriter<File>,
    last: u64,
    count: u64,
}

impl RunWriter {
    fn create(path: PathBuf) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = (fs::OpenOptions::new().write(true).create_new(true))
            .mode(0o600)
            .open(&path)?;
        Ok(Self {
            path,
            file: BufWriter::with_capacity(RUN_BUFFER, file),
            last: 0,
            count: 0,
        })
    }

    fn push(&mut self, number: u64) -> io::Result<()> {
        let mut step = number - self.last;
        self.last = number;
        self.count += 1;
        let mut bytes = [0; 10];
        let mut len = 0;
        while step >= 0x80 {
            bytes[len] = step as u8 | 0x80;
            step >>= 7;
            len += 1;
        }
        bytes[len] = step as u8;
        self.file.write_all(&bytes[..=len])
    }

    fn finish(mut self) -> io::Result<Run> {
        self.file.flush()?;
        Ok(Run {
            path: self.path,
            count: self.count,
        })
    }
}

#[derive(Debug)]
struct RunReader {
    file: BufReader<File>,
    last: u64,
    left: u64,
}

impl RunReader {
    fn open(run: &Run) -> io::Result<Self> {
        Ok(Self {
            file: BufReader::with_capacity(RUN_BUFFER, File::open(&run.path)?),
            last: 0,
            left: run.count,
        })
    }

    fn next(&mut self) -> io::Result<Option<u64>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let (mut step, mut shift) = (0, 0);
        loop {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() || shift > 63 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a sorted run changed while it was merged",
                ));
            }
            let mut used = 0;
            for byte in buffer.iter().take(10) {
                used += 1;
                step |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    self.file.consume(used);
                    self.last += step;
                    return Ok(Some(self.last));
                }
                if shift > 63 {
                    break;
                }
            }
            self.file.consume(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn sorted(room: usize, numbers: &[u64]) -> (Vec<u64>, u64) {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path(), room);
        for number in numbers {
            sorter.push(*number).unwrap();
        }
        let mut all = Vec::new();
        let duplicates = sorter
            .finish(|number| {
                all.push(number);
                io::Result::Ok(())
            })
            .unwrap();
        (all, duplicates)
    }

    proptest! {
        #[test]
        fn every_number_once_in_order(
            numbers in prop::collection::vec(1..5_000_000_000_000_u64, 0..300),
            repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..100),
            room in 1..120_usize,
        ) {
            let mut numbers = numbers;
            for repeat in repeats {
                if !numbers.is_empty() {
                    numbers.push(*repeat.get(&numbers));
                }
            }
            let unique: BTreeSet<u64> = numbers.iter().copied().collect();
            let (all, duplicates) = sorted(room, &numbers);
            prop_assert_eq!(duplicates, (numbers.len() - unique.len()) as u64);
            prop_assert!(all.iter().eq(unique.iter()));
        }
    }

    #[test]
    fn more_runs_than_are_merged_at_once() {
        let many = (FAN_IN * FAN_IN + FAN_IN + 3) as u64;
        let numbers: Vec<u64> = (0..many).map(|n| 1 + n * 7_919 % many).collect();
        let (all, duplicates) = sorted(1, &numbers);
        assert_eq!(duplicates, 0);
        assert!(all.iter().copied().eq(1..=many));
    }
}
