//! The first time that a property is met.

use std::sync::atomic::{AtomicU32, Ordering};

/// Which properties were met. The checker keeps the way to the last state that it finds for
/// a property; breadth first, the way to the first one is the shortest.
#[derive(Debug, Default)]
pub(crate) struct First(AtomicU32);

impl First {
    /// Whether property `place` is met, and was not before.
    pub(crate) fn met(&self, place: usize, met: bool) -> bool {
        met && self.0.fetch_or(1 << place, Ordering::Relaxed) & (1 << place) == 0
    }
}
