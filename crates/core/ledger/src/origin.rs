//! Exactly once: a retried command is answered as the first time.

use domain::{Incarnation, MemberId, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who proposed a command, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The proposing member.
    pub member: MemberId,
    /// The run of its process.
    pub incarnation: Incarnation,
    /// Counts the member's commands of this run, from 1.
    pub sequence: u64,
}

/// What is remembered of one member's commands: a bounded window of sequences and answers.
///
/// A sequence above the floor and not in the window is new; one in the window is a retry; one at
/// or below the floor came too late to tell, and must not be applied again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answers<T> {
    incarnation: Incarnation,
    floor: u64,
    window: BTreeMap<u64, T>,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self {
            incarnation: Incarnation(0),
            floor: 0,
            window: BTreeMap::new(),
        }
    }
}

/// What a sequence turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a, T> {
    /// Never seen: apply it, then [`Answers::keep`].
    New,
    /// A retry of this.
    Again(&'a T),
    /// Older than the window or of an earlier run: refuse.
    TooOld,
}

impl<T> Answers<T> {
    /// What `sequence` of that run is.
    pub(crate) fn look(&mut self, incarnation: Incarnation, sequence: u64) -> Seen<'_, T> {
        if incarnation > self.incarnation {
            *self = Self {
                incarnation,
                ..Self::default()
            };
        }
        if incarnation < self.incarnation {
            return Seen::TooOld;
        }
        match self.window.get(&sequence) {
            Some(answer) => Seen::Again(answer),
            None if sequence <= self.floor => Seen::TooOld,
            None => Seen::New,
        }
    }

    /// Remembers the answer to `sequence`.
    pub(crate) fn keep(&mut self, sequence: u64, answer: T) {
        self.window.insert(sequence, answer);
        while self.window.len() > limits::RETRY_WINDOW {
            if let Some((oldest, _)) = self.window.pop_first() {
                self.floor = oldest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_up_to_the_bound_and_never_applies_twice() {
        let mut answers = Answers::default();
        let run = Incarnation(2);
        let last = limits::RETRY_WINDOW as u64 + 1;
        for sequence in 1..=last {
            assert_eq!(answers.look(run, sequence), Seen::New);
            answers.keep(sequence, sequence * 10);
        }
        assert_eq!(answers.look(run, 1), Seen::TooOld);
        assert_eq!(answers.look(run, 2), Seen::Again(&20));
        assert_eq!(answers.look(Incarnation(1), last + 1), Seen::TooOld);
        // A new run starts over.
        assert_eq!(answers.look(Incarnation(3), 1), Seen::New);
        assert_eq!(answers.look(run, last), Seen::TooOld);
    }

    #[test]
    fn out_of_order_commands_are_still_new() {
        let mut answers = Answers::default();
        answers.look(Incarnation(1), 7);
        answers.keep(7, "seven");
        assert_eq!(answers.look(Incarnation(1), 6), Seen::New);
    }
}
