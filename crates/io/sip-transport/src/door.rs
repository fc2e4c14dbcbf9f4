//! Who is let in before a message is copied or queued: guests always, strangers not at all or by
//! token buckets. A flood of theirs costs its datagrams' way through the kernel, and no room in the
//! engine's queue.

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
    /// prove who they are.
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

    /// Whether a connection of that address is taken at all.
    pub(crate) fn may_connect(&self, strangers: Strangers, ip: IpAddr) -> bool {
        strangers != Strangers::Refused || !self.told.load(Ordering::Acquire) || self.is_guest(ip)
    }
}

/// What one receiving thread needs at the door.
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

    /// Whether a datagram of that address passes.
    pub(crate) fn admits(&mut self, door: &Door, ip: IpAddr) -> bool {
        match self.strangers {
            Strangers::Welcome => true,
            _ if !door.told.load(Ordering::Acquire) || door.is_guest(ip) => true,
            Strangers::Metered => {
                let spent = domain::Instant::ZERO + self.began.elapsed();
                self.gate.admit(spent, ip.to_canonical())
            }
            Strangers::Refused => false,
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
        let mut refused = Porter::new(Strangers::Refused);
        assert!(
            refused.admits(&door, stranger),
            "nobody was said to be a guest yet"
        );
        assert!(door.may_connect(Strangers::Refused, stranger));
        door.set_guests([guest].into());
        for (strangers, passed) in [
            (Strangers::Welcome, 1_000),
            (Strangers::Metered, 60),
            (Strangers::Refused, 0),
        ] {
            let mut porter = Porter::new(strangers);
            assert!((0..1_000).all(|_| porter.admits(&door, guest)));
            assert!(porter.admits(&door, ip("::ffff:192.0.2.1")));
            let admitted = (0..1_000).filter(|_| porter.admits(&door, stranger));
            // A slow machine may gain a token on the way.
            let admitted = admitted.count();
            assert!(
                (passed..=passed + 20).contains(&admitted),
                "{strangers:?}: {admitted}"
            );
            let connects = door.may_connect(strangers, stranger);
            assert_eq!(connects, strangers != Strangers::Refused);
            assert!(door.may_connect(strangers, guest));
        }
        door.set_guests(BTreeSet::new());
        let mut refused = Porter::new(Strangers::Refused);
        assert!(!refused.admits(&door, guest), "no more");
    }
}
