//! A fixed hasher for maps that are only looked up in, never iterated: numbers are spread well
//! enough by one multiplication, and no entropy enters core.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map for look-up only. Its order must never be seen.
pub type LookUp<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// Folds words in by rotation and an odd factor (2^64 divided by the golden ratio), and mixes the
/// high bits down at the end, since hash tables use the low ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, word: isize) {
        // How an enum's place is hashed.
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
