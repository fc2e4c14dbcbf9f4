//! Named timers of one machine.

use domain::Instant;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// A machine's pending timers. Each name is armed at most once; arming it again moves it.
///
/// Equal deadlines fire in the order of their names, so that a run is the same every time.
#[derive(Debug, Clone)]
pub struct Timers<Name> {
    armed: BTreeMap<Name, Instant>,
    queue: BinaryHeap<Reverse<(Instant, Name)>>,
}

impl<Name: Ord + Clone> Default for Timers<Name> {
    fn default() -> Self {
        Self {
            armed: BTreeMap::new(),
            queue: BinaryHeap::new(),
        }
    }
}

impl<Name: Ord + Clone> Timers<Name> {
    /// Arms `name` for `at`, in place of any earlier arming.
    pub fn arm(&mut self, name: Name, at: Instant) {
        if self.armed.insert(name.clone(), at) != Some(at) {
            self.queue.push(Reverse((at, name)));
        }
        // Moved timers leave stale entries behind; rebuilt before they outnumber the live ones.
        if self.queue.len() > 64 + 2 * self.armed.len() {
            self.queue = self
                .armed
                .iter()
                .map(|(n, at)| Reverse((*at, n.clone())))
                .collect();
        }
    }

    /// Disarms `name`. Returns whether it was armed.
    pub fn disarm(&mut self, name: &Name) -> bool {
        self.armed.remove(name).is_some()
    }

    /// When `name` will fire.
    pub fn deadline(&self, name: &Name) -> Option<Instant> {
        self.armed.get(name).copied()
    }

    /// The next timer to fire. Not an iterator's: it takes nothing out.
    #[allow(
        clippy::should_implement_trait,
        reason = "reads like the timer wheel of quinn-proto"
    )]
    pub fn next(&mut self) -> Option<(Instant, Name)> {
        while let Some(Reverse((at, name))) = self.queue.peek() {
            if self.armed.get(name) == Some(at) {
                return Some((*at, name.clone()));
            }
            self.queue.pop();
        }
        None
    }

    /// Takes the next timer whose time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<Name> {
        let (at, name) = self.next()?;
        if at > now {
            return None;
        }
        self.queue.pop();
        self.armed.remove(&name);
        Some(name)
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.armed.len()
    }

    /// Whether none is armed.
    pub fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_in_order_and_once() {
        let at = Instant::from_millis;
        let mut timers = Timers::default();
        timers.arm("b", at(5));
        timers.arm("a", at(5));
        timers.arm("c", at(1));
        timers.arm("c", at(9));
        assert_eq!(timers.next(), Some((at(5), "a")));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(5)), Some("a"));
        assert!(timers.disarm(&"b"));
        assert_eq!(timers.pop_due(at(8)), None);
        assert_eq!(timers.pop_due(at(9)), Some("c"));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn moved_timers_do_not_pile_up() {
        let mut timers = Timers::default();
        for i in 0..10_000 {
            timers.arm("keep-alive", Instant::from_millis(i));
        }
        assert!(timers.queue.len() <= 70);
    }
}
