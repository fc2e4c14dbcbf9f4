//! Randomness as a value: one seed, split into named streams, so that a new draw in one place
//! moves no other.

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{RngCore, SeedableRng},
};
use std::fmt;

/// Where all of a process's or a simulation's randomness comes from. The shell draws it from the
/// operating system once; a simulation names it on the command line.
#[derive(Clone, Copy)]
pub struct Seed([u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed([redacted])")
    }
}

impl Seed {
    /// From 32 bytes of entropy.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A seed for tests and simulations.
    pub fn from_u64(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Self(bytes)
    }

    /// The stream of that name. Equal seed and name give equal draws.
    pub fn stream(self, name: &str) -> Stream {
        // FNV-1a picks one of ChaCha's 2^64 independent streams.
        let id = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        let mut rng = ChaCha12Rng::from_seed(self.0);
        rng.set_stream(id);
        Stream(rng)
    }
}

/// One named stream of random values.
#[derive(Clone)]
pub struct Stream(ChaCha12Rng);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream(..)")
    }
}

impl Stream {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number below `end`, which must not be zero (Lemire's multiplication; bias below 2^-32).
    pub fn below(&mut self, end: u32) -> u32 {
        assert!(end > 0, "a range must not be empty");
        ((u64::from(self.next_u32()) * u64::from(end)) >> 32) as u32
    }

    /// True in `share` of 1000 draws.
    pub fn permille(&mut self, share: u32) -> bool {
        self.below(1000) < share
    }

    /// So many random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// Appends `len` random lower-case letters and digits to `text`: SIP tags, branches, nonces.
    pub fn append_token(&mut self, text: &mut String, len: usize) {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bits = 0;
        let mut left = 0;
        for _ in 0..len {
            if left < 5 {
                bits = self.next_u64();
                left = 60;
            }
            text.push(char::from(ALPHABET[(bits & 31) as usize]));
            bits >>= 5;
            left -= 5;
        }
    }

    /// `len` random lower-case letters and digits.
    pub fn token(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len);
        self.append_token(&mut text, len);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_and_independent() {
        let seed = Seed::from_u64(42);
        let (mut a, mut again, mut b) = (seed.stream("a"), seed.stream("a"), seed.stream("b"));
        assert_eq!(a.next_u64(), again.next_u64());
        assert_ne!(a.next_u64(), b.next_u64());
        assert_eq!(seed.stream("tag").token(12), seed.stream("tag").token(12));
        assert_eq!(a.token(30).len(), 30);
    }
}
