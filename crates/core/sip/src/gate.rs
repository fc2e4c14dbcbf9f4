//! Token buckets before the lexer: what strangers may cost.

use domain::Instant;
use std::net::IpAddr;

/// Buckets; sources share one when their keyed hashes meet.
const BUCKETS: usize = 1024;
/// Datagrams a second from one source, and how many at once.
const SOURCE_RATE: u64 = 20;
const SOURCE_BURST: u64 = 60;
/// Datagrams a second from all strangers together, and how many at once.
const TOTAL_RATE: u64 = 2_000;
const TOTAL_BURST: u64 = 4_000;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    millitokens: u64,
    filled: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant, rate: u64, burst: u64) -> bool {
        let gained = now.since(self.filled).as_millis() as u64;
        if gained > 0 {
            self.filled = now;
            self.millitokens = (self.millitokens + gained.saturating_mul(rate)).min(burst * 1000);
        }
        if self.millitokens < 1000 {
            return false;
        }
        self.millitokens -= 1000;
        true
    }
}

/// Token buckets by source, and one for all strangers together. A fixed table: a flood from any number
/// of addresses takes no memory.
#[derive(Debug)]
pub struct Gate {
    key: u64,
    sources: Vec<Bucket>,
    total: Bucket,
}

impl Gate {
    /// Full buckets; `key` decides which sources share one, and must not be known to them.
    pub fn new(key: u64) -> Self {
        let full = |burst| Bucket {
            millitokens: burst * 1000,
            filled: Instant::ZERO,
        };
        Self {
            key,
            sources: vec![full(SOURCE_BURST); BUCKETS],
            total: full(TOTAL_BURST),
        }
    }

    /// Whether a datagram of this stranger is looked at.
    pub fn admit(&mut self, now: Instant, source: IpAddr) -> bool {
        let bits = match source {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            // A /64 is one subscriber.
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        let mixed = (bits ^ self.key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bucket = &mut self.sources[(mixed >> 54) as usize % BUCKETS];
        bucket.take(now, SOURCE_RATE, SOURCE_BURST) && self.total.take(now, TOTAL_RATE, TOTAL_BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_is_held_to_its_rate_and_others_pass() {
        let mut gate = Gate::new(1);
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let at = |ms| Instant::from_millis(ms);
        let passed = (0..1000).filter(|_| gate.admit(at(1000), ip(1))).count();
        assert_eq!(passed as u64, SOURCE_BURST);
        assert!(gate.admit(at(1000), ip(2)));
        let passed = (0..1000).filter(|_| gate.admit(at(2000), ip(1))).count();
        assert_eq!(passed as u64, SOURCE_RATE);
    }

    #[test]
    fn all_together_are_held_too() {
        let mut gate = Gate::new(1);
        let passed = (0..100_000u32)
            .filter(|n| gate.admit(Instant::from_millis(1), IpAddr::from(n.to_be_bytes())))
            .count();
        assert!(passed as u64 <= TOTAL_BURST);
    }
}
