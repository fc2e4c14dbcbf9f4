//! The links to each peer, and where they are dialed.

use domain::MemberId;
use parking_lot::Mutex;
use quinn::Connection;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore, watch};

/// Requests of one peer in work at a time; it is told to come back later beyond.
pub(crate) const REQUESTS_PER_PEER: usize = 256;

/// Two members that dial each other at once have both connections within this time.
pub(crate) const CROSSING: Duration = Duration::from_secs(1);

/// One connection. Two members may dial each other at once; then both have two for a moment.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) dialed_by: MemberId,
    /// When it came up.
    pub(crate) since: Instant,
    /// It will be closed soon; nothing new is sent on it while there is another.
    pub(crate) retiring: bool,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: Option<SocketAddr>,
    /// Oldest first; the newest live one is used.
    links: Vec<Link>,
    pub(crate) permits: Arc<Semaphore>,
    /// Woken when address, refusal or links change.
    pub(crate) changed: Arc<Notify>,
    pub(crate) dialing: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            address: None,
            links: Vec::new(),
            permits: Arc::new(Semaphore::new(REQUESTS_PER_PEER)),
            changed: Arc::new(Notify::new()),
            dialing: false,
        }
    }
}

/// All peers.
#[derive(Debug)]
pub(crate) struct Peers {
    map: Mutex<BTreeMap<MemberId, Peer>>,
    connected: watch::Sender<BTreeSet<MemberId>>,
}

impl Peers {
    pub(crate) fn new() -> Self {
        Self {
            map: Mutex::default(),
            connected: watch::Sender::default(),
        }
    }

    pub(crate) fn with<T>(&self, peer: MemberId, look: impl FnOnce(&mut Peer) -> T) -> T {
        look(self.map.lock().entry(peer).or_default())
    }

    pub(crate) fn known(&self) -> Vec<MemberId> {
        self.map.lock().keys().copied().collect()
    }

    pub(crate) fn wake(&self, peer: MemberId) {
        self.with(peer, |p| p.changed.notify_waiters());
    }

    /// The connection to use for `peer`.
    pub(crate) fn live(&self, peer: MemberId) -> Option<Connection> {
        let map = self.map.lock();
        let links = &map.get(&peer)?.links;
        let mut live = links
            .iter()
            .rev()
            .filter(|l| l.connection.close_reason().is_none());
        let live = live.clone().find(|l| !l.retiring).or_else(|| live.next())?;
        Some(live.connection.clone())
    }

    /// A connection that `peer` dialed came up: it dials only while it knows of none, so whatever is
    /// older here leads to a process that is gone, or through a path that is dead. Closing it tells
    /// who waits for an answer on it now, and not when its silence is noticed. Only one that was
    /// dialed from here at the same time may be meant to stay.
    pub(crate) fn supersede(&self, peer: MemberId) {
        let old: Vec<_> = self.with(peer, |p| {
            let old = |link: &mut Link| link.dialed_by == peer || link.since.elapsed() >= CROSSING;
            p.links.extract_if(.., old).collect()
        });
        for link in old {
            link.connection.close(0u32.into(), b"superseded");
        }
    }

    /// Adds a connection. When each side has dialed the other, returns the superfluous one of the
    /// two and the one that stays: that dialed by the younger member (higher id), since it is the
    /// one more likely to sit behind an address translator.
    pub(crate) fn add(&self, peer: MemberId, link: Link) -> Option<(Connection, Connection)> {
        let both = self.with(peer, |p| {
            p.links.retain(|l| l.connection.close_reason().is_none());
            let other = p
                .links
                .iter()
                .find(|l| l.dialed_by != link.dialed_by)
                .cloned();
            p.links.push(link.clone());
            p.changed.notify_waiters();
            other.map(|other| {
                let (goes, stays) = if other.dialed_by < link.dialed_by {
                    (other, link)
                } else {
                    (link, other)
                };
                (goes.connection, stays.connection)
            })
        });
        self.publish();
        both
    }

    /// Nothing new is sent on `connection` while there is another.
    pub(crate) fn retire(&self, peer: MemberId, connection: &Connection) {
        self.with(peer, |p| {
            for link in &mut p.links {
                link.retiring |= link.connection.stable_id() == connection.stable_id();
            }
        });
    }

    pub(crate) fn remove(&self, peer: MemberId, connection: &Connection) {
        self.with(peer, |p| {
            p.links.retain(|l| {
                l.connection.stable_id() != connection.stable_id()
                    && l.connection.close_reason().is_none()
            });
            p.changed.notify_waiters();
        });
        self.publish();
    }

    pub(crate) fn close_links(&self, peer: MemberId, why: &[u8]) {
        let links = self.with(peer, |p| std::mem::take(&mut p.links));
        for link in links {
            link.connection.close(1u32.into(), why);
        }
        self.wake(peer);
        self.publish();
    }

    pub(crate) fn watch(&self) -> watch::Receiver<BTreeSet<MemberId>> {
        self.connected.subscribe()
    }

    fn publish(&self) {
        let map = self.map.lock();
        let now: BTreeSet<MemberId> = map
            .iter()
            .filter(|(_, p)| {
                p.links
                    .iter()
                    .any(|l| l.connection.close_reason().is_none())
            })
            .map(|(id, _)| *id)
            .collect();
        metrics::gauge!("dialmesh_mesh_peers_connected").set(now.len() as f64);
        // Under the lock, so that states are published in the order in which they came about.
        self.connected.send_if_modified(|held| {
            let changed = *held != now;
            *held = now;
            changed
        });
    }
}
