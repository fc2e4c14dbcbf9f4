//! What happened, folded into one hash, and in words when somebody wants to read it.

use std::collections::VecDeque;

/// How many lines the tail of a failed run has.
const TAIL: usize = 48;

/// FNV-1a over 64-bit words, with the high bits brought down after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fold(u64);

impl Default for Fold {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fold {
    pub(crate) fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x100_0000_01b3);
        self.0 ^= self.0 >> 32;
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.word(u64::from_le_bytes(
                word.try_into().expect("chunks are eight bytes"),
            ));
        }
        for byte in words.remainder() {
            self.word(u64::from(*byte));
        }
        self.word(bytes.len() as u64);
    }

    pub(crate) const fn sum(self) -> u64 {
        self.0
    }
}

/// The hash of some bytes.
pub fn fold_of(bytes: &[u8]) -> u64 {
    let mut fold = Fold::default();
    fold.bytes(bytes);
    fold.sum()
}

/// How much of a run is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keep {
    /// The hash alone: fast.
    #[default]
    Hash,
    /// The hash after each event, and the last lines in words.
    Tail,
    /// The hash after each event, and every line in words.
    All,
}

/// A run's record.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    keep: Keep,
    fold: Fold,
    steps: Vec<u64>,
    lines: VecDeque<String>,
    dropped: usize,
}

impl Trace {
    /// An empty one.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// Something happened at `at`: `words` tell events apart, `line` says it to people.
    pub fn note(&mut self, at: u64, words: &[u64], line: impl FnOnce() -> String) {
        self.fold.word(at);
        for word in words {
            self.fold.word(*word);
        }
        if self.keep == Keep::Hash {
            return;
        }
        self.steps.push(self.fold.sum());
        if self.keep == Keep::Tail && self.lines.len() == TAIL {
            self.lines.pop_front();
            self.dropped += 1;
        }
        let (seconds, millis) = (at / 1000, at % 1000);
        self.lines
            .push_back(format!("{seconds:>6}.{millis:03} {}", line()));
    }

    /// The hash over everything so far.
    pub fn hash(&self) -> u64 {
        self.fold.sum()
    }

    /// The lines that were kept.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The first event in which two records differ: its number and both lines.
    pub fn first_difference(&self, other: &Self) -> Option<(usize, String, String)> {
        let same = (self.steps.iter().zip(&other.steps))
            .take_while(|(a, b)| a == b)
            .count();
        if same == self.steps.len() && same == other.steps.len() {
            return None;
        }
        let line = |of: &Self| {
            let place = same.checked_sub(of.dropped);
            let line = place.and_then(|place| of.lines.get(place));
            line.map_or_else(|| "(the run has ended)".into(), Clone::clone)
        };
        Some((same, line(self), line(other)))
    }
}
