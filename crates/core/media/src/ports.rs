//! The pool of RTP ports. A port rests after its call, so that the last call's late packets do
//! not reach the next; the one that rested longest goes first.

use domain::{Instant, limits};
use sansio::Stream;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

/// How long a port rests when the configuration does not say.
pub const DRAIN: Duration = Duration::from_secs(5);

/// An even UDP port for RTP; RTCP has the odd one above (RFC 3550, section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port(u16);

impl Port {
    /// An even port; `None` for an odd one or zero.
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 || number % 2 == 1 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// The RTP port's number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The RTCP port's number.
    pub const fn rtcp(self) -> u16 {
        self.0 + 1
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A range of ports cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "RTP ports {first} to {last}: the first must be even, the last not below it, and the range \
     no more than {} pairs",
    limits::MEDIA_PORTS
)]
pub struct PortRangeError {
    first: u16,
    last: u16,
}

/// A range of RTP ports: every even number from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    count: u16,
}

impl PortRange {
    /// From the first (even) to the last port; an even last one brings its odd sister along.
    ///
    /// # Errors
    /// When the first is odd or zero, the last below it, or more than
    /// [`limits::MEDIA_PORTS`] pairs lie between.
    pub fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        let count = last.checked_sub(first).map_or(0, |span| span / 2 + 1);
        if Port::new(first).is_none() || count == 0 || usize::from(count) > limits::MEDIA_PORTS {
            return Err(PortRangeError { first, last });
        }
        Ok(Self { first, count })
    }

    /// How many legs it serves.
    pub fn len(self) -> usize {
        usize::from(self.count)
    }

    /// Never: a range has one port at least.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The port at `place`, counted from zero.
    pub fn port(self, place: usize) -> Option<Port> {
        (place < self.len()).then(|| Port(self.first + 2 * place as u16))
    }

    /// The place of a port; `None` outside.
    pub fn place(self, port: Port) -> Option<usize> {
        let place = usize::from(port.0.checked_sub(self.first)? / 2);
        (place < self.len()).then_some(place)
    }

    /// All of them, in order.
    pub fn ports(self) -> impl Iterator<Item = Port> {
        (0..self.count).map(move |n| Port(self.first + 2 * n))
    }
}

/// The ports of one node: free, in use, or resting.
#[derive(Clone, Debug)]
pub struct PortPool {
    drain: Duration,
    /// In the order of their coming back: the front rested longest.
    free: VecDeque<(Instant, Port)>,
    used: BTreeSet<Port>,
}

impl PortPool {
    /// A pool of a whole range, every port rested. `order` shuffles it: which port a call gets
    /// must not be guessed from the call before.
    pub fn new(range: PortRange, drain: Duration, order: &mut Stream) -> Self {
        let mut free: VecDeque<_> = range.ports().map(|port| (Instant::ZERO, port)).collect();
        for n in (1..free.len()).rev() {
            free.swap(n, order.below(n as u32 + 1) as usize);
        }
        Self {
            drain,
            free,
            used: BTreeSet::new(),
        }
    }

    /// The port that rested longest; `None` when all are in use or resting.
    pub fn take(&mut self, now: Instant) -> Option<Port> {
        let (rested, _) = self.free.front()?;
        if *rested > now {
            return None;
        }
        let (_, port) = self.free.pop_front()?;
        self.used.insert(port);
        Some(port)
    }

    /// Gives a port back to rest. False when it was not in use: nothing changes then.
    pub fn give_back(&mut self, now: Instant, port: Port) -> bool {
        let held = self.used.remove(&port);
        if held {
            self.free.push_back((now + self.drain, port));
        }
        held
    }

    /// How many are in use.
    pub fn used(&self) -> usize {
        self.used.len()
    }

    /// How many may be taken now.
    pub fn rested(&self, now: Instant) -> usize {
        self.free.partition_point(|(rested, _)| *rested <= now)
    }

    /// How many are free or resting.
    pub fn idle(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sansio::Seed;
    use std::collections::BTreeMap;

    fn pool(first: u16, last: u16) -> PortPool {
        let mut order = Seed::from_u64(1).stream("ports");
        PortPool::new(PortRange::new(first, last).unwrap(), DRAIN, &mut order)
    }

    #[test]
    fn ranges_are_checked() {
        for (first, last) in [(0, 10), (3, 10), (10, 8), (2, u16::MAX)] {
            // 32,767 pairs are more than one node may have.
            assert!(PortRange::new(first, last).is_err(), "{first}-{last}");
        }
        let most = 2 * limits::MEDIA_PORTS as u16;
        assert_eq!(PortRange::new(2, most).unwrap().len(), limits::MEDIA_PORTS);
        assert!(PortRange::new(2, most + 2).is_err());
        let range = PortRange::new(40_000, 40_003).unwrap();
        assert_eq!(range.len(), 2);
        assert_eq!(range.place(Port::new(40_002).unwrap()), Some(1));
        assert_eq!(range.place(Port::new(40_004).unwrap()), None);
        assert_eq!(range.place(Port::new(39_998).unwrap()), None);
        assert_eq!(range.port(1).map(Port::rtcp), Some(40_003));
    }

    #[test]
    fn a_port_rests_before_it_is_used_again() {
        let mut pool = pool(40_000, 40_000);
        let at = Instant::from_millis;
        let port = pool.take(at(0)).unwrap();
        assert_eq!(pool.take(at(0)), None);
        assert!(pool.give_back(at(1_000), port));
        assert!(!pool.give_back(at(1_000), port), "only once");
        assert_eq!(pool.take(at(5_999)), None);
        assert_eq!(pool.take(at(6_000)), Some(port));
    }

    proptest! {
        /// No port is held twice, none comes back before it rested, none is lost, and the one
        /// that rested longest goes first.
        #[test]
        fn ports_are_neither_lost_nor_shared(steps in proptest::collection::vec((any::<bool>(), 0usize..50, 0u64..3_000), 1..400)) {
            let mut pool = pool(40_000, 40_019);
            let (mut held, mut back, mut now) = (Vec::new(), BTreeMap::new(), Instant::ZERO);
            for (take, which, wait) in steps {
                now = now + Duration::from_millis(wait);
                if take {
                    let rested = pool.rested(now);
                    prop_assert!(rested <= pool.idle());
                    let taken = pool.take(now);
                    prop_assert_eq!(taken.is_some(), rested > 0);
                    if let Some(port) = taken {
                        prop_assert!(!held.contains(&port));
                        if let Some(at) = back.remove(&port) {
                            prop_assert!(now.since(at) >= DRAIN);
                            prop_assert!(back.values().all(|other| *other >= at));
                        }
                        held.push(port);
                    } else {
                        prop_assert!(back.values().all(|at| now.since(*at) < DRAIN));
                    }
                } else if !held.is_empty() {
                    let port = held.swap_remove(which % held.len());
                    prop_assert!(pool.give_back(now, port));
                    back.insert(port, now);
                }
                prop_assert_eq!(pool.used(), held.len());
                prop_assert_eq!(pool.used() + pool.idle(), 10);
            }
        }
    }
}
