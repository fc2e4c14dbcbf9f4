//! Which base is in use, replaced while it is asked.

use super::DncBase;
use arc_swap::ArcSwap;
use domain::{DncBaseId, PhoneNumber, WallTime};
use permit::base::BaseLookup;
use std::{sync::Arc, thread, time::Duration};

/// How often and how long [`DncBaseSwap::replace`] waits for readers of the old base.
const TRIES: usize = 1_000;
const PAUSE: Duration = Duration::from_micros(100);

/// The base in use. Readers take no lock and never wait: each look-up sees the old base or the new
/// one, whole.
#[derive(Debug)]
pub struct DncBaseSwap {
    current: ArcSwap<DncBase>,
}

impl DncBaseSwap {
    /// Begins with a base, which the caller has verified.
    pub fn new(base: Arc<DncBase>) -> Self {
        Self {
            current: ArcSwap::new(base),
        }
    }

    /// Whether the number is in the base in use.
    #[inline]
    pub fn contains(&self, number: PhoneNumber) -> bool {
        self.current.load().contains(number)
    }

    /// The base in use.
    pub fn current(&self) -> Arc<DncBase> {
        self.current.load_full()
    }

    /// Puts another base, which the caller has verified, into use. Look-ups that begin after this
    /// returned see it. The old one is unmapped here, not by a reader, which may be in a hurry;
    /// only if somebody keeps it for long does it stay until then.
    pub fn replace(&self, base: Arc<DncBase>) {
        let mut old = self.current.swap(base);
        for _ in 0..TRIES {
            old = match Arc::try_unwrap(old) {
                Ok(unused) => return drop(unused),
                Err(used) => used,
            };
            thread::sleep(PAUSE);
        }
    }
}

impl BaseLookup for DncBaseSwap {
    fn contains(&self, number: PhoneNumber) -> bool {
        Self::contains(self, number)
    }

    fn contains_many(&self, numbers: &[PhoneNumber], found: &mut [bool]) {
        self.current.load().contains_many(numbers, found);
    }

    fn id(&self) -> DncBaseId {
        self.current.load().id()
    }

    fn as_of(&self) -> WallTime {
        self.current.load().about().built_at
    }
}
