//! Links between members: cut one way or both, or slow for a while.

use std::collections::{BTreeMap, BTreeSet};

/// Members are counted: voters first, then nodes.
#[derive(Debug, Default)]
pub(crate) struct Network {
    cut: BTreeSet<(usize, usize)>,
    clogged: BTreeMap<(usize, usize), u64>,
}

impl Network {
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Both ways.
    pub(crate) fn heal(&mut self, a: usize, b: usize) {
        self.cut.remove(&(a, b));
        self.cut.remove(&(b, a));
    }

    pub(crate) fn heal_all(&mut self) {
        self.cut.clear();
        self.clogged.clear();
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        from != to && self.cut.contains(&(from, to))
    }

    /// Whether two members hear each other.
    pub(crate) fn joined(&self, a: usize, b: usize) -> bool {
        !self.is_cut(a, b) && !self.is_cut(b, a)
    }

    pub(crate) fn clog(&mut self, from: usize, to: usize, until: u64) {
        self.clogged.insert((from, to), until);
    }

    pub(crate) fn is_clogged(&self, now: u64, from: usize, to: usize) -> bool {
        (self.clogged.get(&(from, to))).is_some_and(|until| *until > now)
    }
}
