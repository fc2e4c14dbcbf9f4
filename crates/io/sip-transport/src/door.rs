//! Who is let in before a message is copied or queued: guests, strangers not at all or by token buckets;
//! and where strangers may come in, guests by larger ones, since anybody can write a guest's address.
//! A flood of theirs costs its datagrams' way through the kernel, and no room in the engine's queue.

use parking_lot::RwLock;
use sip::Gate;
use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// What becomes of messages from addresses that are no guests'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strangers {
    /// They pass as everybody does.
    #[default]
    Welcome,
    /// So many a second pass, of one address and of all together ([`Gate`]): phones must be able to
    /// prove who they are. Guests are counted apart, with far more.
    Metered,
    /// None passes, and no connection is taken: carriers are known.
    Refused,
}

/// The door of one set of sockets.
#[derive(Debug, Default)]
pub(crate) struct Door {
    guests: RwLock<Arc<BTreeSet<IpAddr>>>,
    /// Whether guests were said: before that everybody passes as [`Strangers::Welcome`].
    told: AtomicBool,
}

impl Door {
    pub(crate) fn set_guests(&self, guests: BTreeSet<IpAddr>) {
        *self.guests.write() = Arc::new(guests);
        self.told.store(true, Ordering::Release);
    }

    pub(crate) fn is_guest(&self, ip: IpAddr) -> bool {
        self.guests.read().contains(&ip.to_canonical())
    }

    /// Whether messages of that address are counted as a stranger's.
    pub(crate) fn is_stranger(&self, strangers: Strangers, ip: IpAddr) -> bool {
        strangers != Strangers::Welcome && self.told.load(Ordering::Acquire) && !self.is_guest(ip)
    }

    /// Whether a connection of that address is taken at all.
    pub(crate) fn may_connect(&self, strangers: Strangers, ip: IpAddr) -> bool {
        strangers != Strangers::Refused || !self.told.load(Ordering::Acquire) || self.is_guest(ip)
    }
}

/// What becomes of a message at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// In.
    Passes,
    /// Not in: a stranger, over the rate or at all.
    Stranger,
    /// Not in: a guest, over the rate.
    Guest,
}

/// What one receiving thread needs at the door, or all streams together.
pub(crate) struct Porter {
    strangers: Strangers,
    gate: Gate,
    began: Instant,
}

impl Porter {
    pub(crate) fn new(strangers: Strangers) -> Self {
        // Drawn anew by each thread: nobody knows who shares a bucket with whom.
        let key = RandomState::new().build_hasher().finish();
        Self {
            strangers,
            gate: Gate::new(key),
            began: Instant::now(),
        }
    }

    /// Whether a message, or a connection, of that address passes.
    pub(crate) fn admits(&mut self, door: &Door, ip: IpAddr) -> Admission {
        if self.strangers == Strangers::Welcome || !door.told.load(Ordering::Acquire) {
            return Admission::Passes;
        }
        let guest = door.is_guest(ip);
        let spent = domain::Instant::ZERO + self.began.elapsed();
        let (admitted, other) = match (self.strangers, guest) {
            (Strangers::Metered, true) => (
                self.gate.admit_known(spent, ip.to_canonical()),
                Admission::Guest,
            ),
            (Strangers::Metered, false) => (
                self.gate.admit(spent, ip.to_canonical()),
                Admission::Stranger,
            ),
            (_, guest) => (guest, Admission::Stranger),
        };
        match admitted {
            true => Admission::Passes,
            false => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn guests_pass_and_strangers_as_it_is_said() {
        let door = Door::default();
        let (guest, stranger) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let passes = |porter: &mut Porter, ip| porter.admits(&door, ip) == Admission::Passes;
        let mut refused = Porter::new(Strangers::Refused);
        assert!(
            passes(&mut refused, stranger),
            "nobody was said to be a guest yet"
        );
        assert!(door.may_connect(Strangers::Refused, stranger));
        assert!(!door.is_stranger(Strangers::Refused, stranger));
        door.set_guests([guest].into());
        // Of so many at once; a slow machine may gain tokens on the way.
        for (strangers, of_stranger, of_guest) in [
            (
                Strangers::Welcome,
                30_000..=30_000_usize,
                30_000..=30_000_usize,
            ),
            (Strangers::Metered, 60..=80, 10_000..=12_000),
            (Strangers::Refused, 0..=0, 30_000..=30_000),
        ] {
            let mut porter = Porter::new(strangers);
            assert!(passes(&mut porter, ip("::ffff:192.0.2.1")));
            for (address, expected, no) in [
                (stranger, &of_stranger, Admission::Stranger),
                (guest, &of_guest, Admission::Guest),
            ] {
                let admitted = (0..30_000).filter(|_| match porter.admits(&door, address) {
                    Admission::Passes => true,
                    refused => {
                        assert_eq!(refused, no);
                        false
                    }
                });
                let admitted = admitted.count();
                // One guest's message came before.
                let least = expected.start().saturating_sub(1);
                assert!(
                    (least..=*expected.end()).contains(&admitted),
                    "{strangers:?}: {admitted} of {address}"
                );
            }
            let connects = door.may_connect(strangers, stranger);
            assert_eq!(connects, strangers != Strangers::Refused);
            assert_eq!(
                door.is_stranger(strangers, stranger),
                strangers != Strangers::Welcome
            );
            assert!(door.may_connect(strangers, guest) && !door.is_stranger(strangers, guest));
        }
        door.set_guests(BTreeSet::new());
        let mut refused = Porter::new(Strangers::Refused);
        assert_eq!(refused.admits(&door, guest), Admission::Stranger, "no more");
    }
}
