//! What holds a controller's wish back: channels, calls a second, leads at hand.

use domain::Instant;
use std::time::Duration;

/// How many lines may be launched now, whatever a controller wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Channels the trunks have free.
    pub channels: u32,
    /// Calls the trunks' rates allow at this moment ([`RateLimiter::available`], summed).
    pub calls: u32,
    /// Leads in the hopper.
    pub leads: u32,
}

impl Limits {
    /// A controller's wish within the limits.
    pub fn hold(self, lines: u32) -> u32 {
        lines.min(self.channels).min(self.calls).min(self.leads)
    }
}

/// A trunk's calls a second: a token bucket that keeps its promise in every window of a second.
///
/// A plain bucket of `n` tokens refilled at `n` a second lets `2n` pass in the second after a
/// pause. Here the bucket holds a twentieth and is refilled that much slower, so that bucket and
/// refill together never pass the rate (I11); what is lost is at most a twentieth of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimiter {
    calls_per_second: u32,
    /// Time for one token.
    interval: Duration,
    /// Tokens the bucket holds.
    burst: u32,
    /// When the bucket is full again.
    full_at: Instant,
}

impl RateLimiter {
    /// A full bucket. A rate of zero lets nothing pass.
    pub fn new(calls_per_second: u32) -> Self {
        let burst = calls_per_second / 20 + 1;
        let refill = u64::from(calls_per_second) + 1 - u64::from(burst);
        Self {
            calls_per_second,
            interval: Duration::from_nanos(1_000_000_000u64.div_ceil(refill.max(1))),
            burst,
            full_at: Instant::ZERO,
        }
    }

    /// The rate.
    pub const fn calls_per_second(&self) -> u32 {
        self.calls_per_second
    }

    /// How many calls may leave at one moment, at most.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Changes the rate; what was spent stays spent.
    pub fn set_rate(&mut self, calls_per_second: u32) {
        if calls_per_second != self.calls_per_second {
            let full_at = self.full_at;
            *self = Self::new(calls_per_second);
            self.full_at = full_at;
        }
    }

    /// How many calls may leave at this moment.
    pub fn available(&self, now: Instant) -> u32 {
        if self.calls_per_second == 0 {
            return 0;
        }
        // Rounded up: a token not wholly there is none.
        let owed = self.full_at.since(now).as_nanos();
        let missing = owed.div_ceil(self.interval.as_nanos());
        self.burst
            .saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// Takes one call's token; false when there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let some = self.available(now) > 0;
        if some {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        some
    }

    /// When the next call may leave; none when the rate is zero.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let ahead = self.interval * (self.burst - 1);
        (self.calls_per_second > 0).then(|| (self.full_at - ahead).max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_tightest_limit_holds() {
        let limits = Limits {
            channels: 5,
            calls: 3,
            leads: 4,
        };
        assert_eq!((limits.hold(9), limits.hold(2)), (3, 2));
    }

    #[test]
    fn a_busy_trunk_gets_nearly_its_rate() {
        for rate in [1, 5, 10, 50, 100, 2000] {
            let mut limiter = RateLimiter::new(rate);
            let mut now = Instant::from_millis(500);
            let end = now + Duration::from_secs(10);
            let mut calls = 0;
            while now < end {
                assert!(limiter.take(now));
                calls += 1;
                now = limiter.next(now).expect("the rate is not zero");
            }
            assert!(calls >= rate * 95 / 10, "{calls} calls in 10 s at {rate}/s");
        }
    }

    #[test]
    fn zero_lets_nothing_pass() {
        let mut limiter = RateLimiter::new(0);
        let now = Instant::from_millis(1);
        assert!(!limiter.take(now));
        assert_eq!((limiter.available(now), limiter.next(now)), (0, None));
        limiter.set_rate(3);
        assert!(limiter.take(now));
    }

    proptest! {
        #[test]
        fn no_second_sees_more_than_the_rate(
            rate in 1u32..300,
            steps in proptest::collection::vec((0u64..400, 1u32..40), 1..120),
        ) {
            let mut limiter = RateLimiter::new(rate);
            let mut now = Instant::from_millis(7);
            let mut calls: Vec<Instant> = vec![];
            for (pause, tries) in steps {
                now = now + Duration::from_millis(pause);
                let available = limiter.available(now);
                let mut taken = 0;
                for _ in 0..tries {
                    if limiter.take(now) {
                        taken += 1;
                        calls.push(now);
                    }
                }
                prop_assert_eq!(taken, available.min(tries));
            }
            for (i, call) in calls.iter().enumerate() {
                let second = calls[i..].iter().take_while(|c| c.since(*call) < Duration::from_secs(1));
                prop_assert!(second.count() <= rate as usize);
            }
        }
    }
}
