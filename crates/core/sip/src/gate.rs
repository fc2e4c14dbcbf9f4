//! Token buckets before the lexer: what strangers may cost, and what addresses may that have a phone here.

use domain::{Instant, limits::NODE_AGENTS};
use std::net::IpAddr;

/// Buckets; sources share one when their keyed hashes meet.
const BUCKETS: usize = 1024;

/// What a bucket gives.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Messages a second.
    steady: u64,
    /// Messages at once.
    burst: u64,
}

/// Of one stranger's address.
const STRANGER: Rate = Rate {
    steady: 20,
    burst: 60,
};
/// Of all strangers together.
const STRANGERS: Rate = Rate {
    steady: 2_000,
    burst: 4_000,
};
/// Of one address with a phone here: every phone of the largest node may be behind it, each with what it
/// says to register at once.
const KNOWN: Rate = Rate {
    steady: 1_000,
    burst: 2 * NODE_AGENTS as u64,
};

#[derive(Clone, Copy, Debug)]
struct Bucket {
    millitokens: u64,
    filled: Instant,
}

impl Bucket {
    const fn full(rate: Rate) -> Self {
        Self {
            millitokens: rate.burst * 1000,
            filled: Instant::ZERO,
        }
    }

    fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let gained = now.since(self.filled).as_millis() as u64;
        if gained > 0 {
            self.filled = now;
            self.millitokens =
                (self.millitokens + gained.saturating_mul(rate.steady)).min(rate.burst * 1000);
        }
        if self.millitokens < 1000 {
            return false;
        }
        self.millitokens -= 1000;
        true
    }
}

/// Token buckets by source, and one for all strangers together. Fixed tables: a flood from any number of
/// addresses takes no memory. Those with a phone here have a table of their own, so that no number of
/// strangers uses up what they may.
#[derive(Debug)]
pub struct Gate {
    key: u64,
    strangers: Vec<Bucket>,
    known: Vec<Bucket>,
    total: Bucket,
}

impl Gate {
    /// Full buckets; `key` decides which sources share one, and must not be known to them.
    pub fn new(key: u64) -> Self {
        Self {
            key,
            strangers: vec![Bucket::full(STRANGER); BUCKETS],
            known: vec![Bucket::full(KNOWN); BUCKETS],
            total: Bucket::full(STRANGERS),
        }
    }

    /// Whether a message of this stranger is looked at.
    pub fn admit(&mut self, now: Instant, source: IpAddr) -> bool {
        let place = self.place(source);
        self.strangers[place].take(now, STRANGER) && self.total.take(now, STRANGERS)
    }

    /// Whether a message is looked at of an address that a phone registered from.
    pub fn admit_known(&mut self, now: Instant, source: IpAddr) -> bool {
        let place = self.place(source);
        self.known[place].take(now, KNOWN)
    }

    fn place(&self, source: IpAddr) -> usize {
        let bits = match source {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            // A /64 is one subscriber.
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        let mixed = (bits ^ self.key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 54) as usize % BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn one_source_is_held_to_its_rate_and_others_pass() {
        let mut gate = Gate::new(1);
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let passed = (0..1000).filter(|_| gate.admit(at(1000), ip(1))).count();
        assert_eq!(passed as u64, STRANGER.burst);
        assert!(gate.admit(at(1000), ip(2)));
        let passed = (0..1000).filter(|_| gate.admit(at(2000), ip(1))).count();
        assert_eq!(passed as u64, STRANGER.steady);
    }

    #[test]
    fn all_together_are_held_too() {
        let mut gate = Gate::new(1);
        let passed = (0..100_000u32)
            .filter(|n| gate.admit(at(1), IpAddr::from(n.to_be_bytes())))
            .count();
        assert!(passed as u64 <= STRANGERS.burst);
    }

    #[test]
    fn strangers_use_up_nothing_of_who_has_a_phone_here() {
        let mut gate = Gate::new(1);
        let phone = IpAddr::from([192, 0, 2, 1]);
        // Of every address that shares a bucket with it, and many more.
        for n in 0..200_000u32 {
            gate.admit(at(1), IpAddr::from(n.to_be_bytes()));
        }
        assert!((0..200_000u32).all(|n| !gate.admit(at(1), IpAddr::from(n.to_be_bytes()))));
        let passed = (0..20_000).filter(|_| gate.admit_known(at(1), phone));
        assert_eq!(
            passed.count() as u64,
            KNOWN.burst,
            "and it has a bound, too"
        );
        let passed = (0..20_000).filter(|_| gate.admit_known(at(1_001), phone));
        assert_eq!(passed.count() as u64, KNOWN.steady);
    }
}
