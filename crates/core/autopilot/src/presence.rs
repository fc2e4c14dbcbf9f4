//! Who has been there for how long, and how far apart members are: what every member notes about
//! the others, so that a new leader does not begin from nothing.

use domain::{Instant, MemberId, limits};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// Losses within this time count.
const LOSSES_WITHIN: Duration = Duration::from_secs(3600);
/// More losses than this say nothing new.
const LOSSES: usize = 16;
/// A round trip is the shortest one of this time and the same time before: queues come and go.
const TRIP_BUCKET: Duration = Duration::from_secs(60);
/// A round trip that nobody measured for so long says nothing any more.
const TRIP_KEPT: Duration = Duration::from_secs(300);
/// Pairs whose round trips are kept; beyond it only those known are renewed.
const PAIRS: usize = 4 * limits::MEMBERS;

#[derive(Clone, Debug)]
struct Peer {
    there: bool,
    /// When that began.
    since: Instant,
    losses: VecDeque<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Trip {
    began: Instant,
    last: Instant,
    now: Duration,
    before: Option<Duration>,
}

/// What one member notes about the others.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    peers: BTreeMap<MemberId, Peer>,
    trips: BTreeMap<(MemberId, MemberId), Trip>,
}

/// One other member, as noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// For how long nothing has been heard of it.
    pub silent: Duration,
    /// For how long it has been there without a break.
    pub steady: Duration,
    /// How often it was lost within the last hour.
    pub losses: u32,
}

impl Presence {
    /// There is a link to these members and to no other; `known` is who could be there. Who is
    /// not known any more is forgotten.
    pub fn linked(
        &mut self,
        now: Instant,
        linked: &BTreeSet<MemberId>,
        known: &BTreeSet<MemberId>,
    ) {
        self.peers.retain(|id, _| known.contains(id));
        self.trips.retain(|(a, b), trip| {
            known.contains(a) && known.contains(b) && now.since(trip.last) < TRIP_KEPT
        });
        for id in known.iter().take(limits::MEMBERS) {
            let there = linked.contains(id);
            let peer = self.peers.entry(*id).or_insert_with(|| Peer {
                there,
                since: now,
                losses: VecDeque::new(),
            });
            if peer.there && !there {
                peer.losses.push_back(now);
                if peer.losses.len() > LOSSES {
                    peer.losses.pop_front();
                }
            }
            if peer.there != there {
                (peer.there, peer.since) = (there, now);
            }
        }
    }

    /// A member as noted; none of which nothing was ever noted.
    pub fn seen(&self, now: Instant, id: MemberId) -> Option<Seen> {
        let peer = self.peers.get(&id)?;
        let time = now.since(peer.since);
        let recent = peer
            .losses
            .iter()
            .filter(|at| now.since(**at) < LOSSES_WITHIN);
        let (silent, steady) = if peer.there {
            (Duration::ZERO, time)
        } else {
            (time, Duration::ZERO)
        };
        Some(Seen {
            silent,
            steady,
            losses: u32::try_from(recent.count()).unwrap_or(u32::MAX),
        })
    }

    /// A round trip between two members was measured.
    pub fn trip(&mut self, now: Instant, a: MemberId, b: MemberId, time: Duration) {
        let full = self.trips.len() >= PAIRS;
        let pair = (a.min(b), a.max(b));
        if a == b || (full && !self.trips.contains_key(&pair)) {
            return;
        }
        let trip = self.trips.entry(pair).or_insert(Trip {
            began: now,
            last: now,
            now: time,
            before: None,
        });
        trip.last = now;
        if now.since(trip.began) >= TRIP_BUCKET {
            *trip = Trip {
                began: now,
                last: now,
                now: time,
                before: Some(trip.now),
            };
        }
        trip.now = trip.now.min(time);
    }

    /// Round trips measured for at least a minute, the lower id first.
    pub fn trips(&self) -> BTreeMap<(MemberId, MemberId), Duration> {
        let long = self.trips.iter();
        long.filter_map(|(pair, trip)| Some((*pair, trip.before?.min(trip.now))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1000 * seconds)
    }

    fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<MemberId> {
        ids.into_iter().map(MemberId).collect()
    }

    #[test]
    fn links_make_steady_members_and_losses_are_counted() {
        let (two, three) = (MemberId(2), MemberId(3));
        let mut book = Presence::default();
        let known = ids([2, 3]);
        book.linked(at(10), &ids([2]), &known);
        let seen = |book: &Presence, now, id| {
            book.seen(at(now), id)
                .map(|s| (s.silent.as_secs(), s.steady.as_secs(), s.losses))
        };
        assert_eq!(seen(&book, 15, two), Some((0, 5, 0)));
        // Never there: silent since it could have been, and no loss.
        assert_eq!(seen(&book, 15, three), Some((5, 0, 0)));
        assert_eq!(seen(&book, 15, MemberId(4)), None);
        book.linked(at(20), &ids([]), &known);
        book.linked(at(25), &ids([]), &known);
        assert_eq!(seen(&book, 30, two), Some((10, 0, 1)));
        book.linked(at(40), &ids([2, 3]), &known);
        assert_eq!(seen(&book, 41, two), Some((0, 1, 1)));
        // An hour later nobody remembers.
        assert_eq!(seen(&book, 20 + 3599, two).unwrap().2, 1);
        assert_eq!(seen(&book, 20 + 3600, two).unwrap().2, 0);
        book.linked(at(50), &ids([3]), &ids([3]));
        assert_eq!(seen(&book, 50, two), None, "who left the mesh is forgotten");
    }

    #[test]
    fn losses_have_a_bound() {
        let mut book = Presence::default();
        for n in 0..100 {
            let linked = if n % 2 == 0 { ids([2]) } else { ids([]) };
            book.linked(at(n), &linked, &ids([2]));
        }
        assert_eq!(
            book.seen(at(100), MemberId(2)).unwrap().losses as usize,
            LOSSES
        );
    }

    #[test]
    fn a_round_trip_is_the_shortest_of_two_minutes() {
        let mut book = Presence::default();
        let (one, two) = (MemberId(1), MemberId(2));
        let millis = Duration::from_millis;
        book.linked(at(0), &ids([]), &ids([1, 2]));
        book.trip(at(0), two, one, millis(50));
        book.trip(at(30), one, two, millis(20));
        assert!(book.trips().is_empty(), "not long enough");
        book.trip(at(60), one, two, millis(300));
        assert_eq!(book.trips(), [((one, two), millis(20))].into());
        book.trip(at(120), one, two, millis(310));
        assert_eq!(book.trips(), [((one, two), millis(300))].into());
        book.trip(at(120), one, one, millis(1));
        assert_eq!(book.trips().len(), 1);
        book.linked(at(419), &ids([]), &ids([1, 2]));
        assert_eq!(book.trips().len(), 1);
        book.linked(at(420), &ids([]), &ids([1, 2]));
        assert!(book.trips().is_empty(), "measured too long ago");
        book.trip(at(430), one, two, millis(50));
        book.trip(at(490), one, two, millis(50));
        assert_eq!(book.trips().len(), 1);
        book.linked(at(491), &ids([]), &ids([1]));
        assert!(book.trips().is_empty());
    }

    #[test]
    fn pairs_and_members_have_a_bound() {
        let mut book = Presence::default();
        book.linked(at(0), &ids([]), &ids(0..2000));
        assert_eq!(book.peers.len(), limits::MEMBERS);
        for n in 0..PAIRS as u64 + 10 {
            book.trip(at(0), MemberId(5000), MemberId(n), Duration::ZERO);
        }
        assert_eq!(book.trips.len(), PAIRS);
    }
}
