//! Datagrams between two members: unreliable, on the same connection as everything else.

use bytes::Bytes;
use domain::{MemberId, limits};
use metrics::{Counter, counter};
use parking_lot::RwLock;
use quinn::{Connection, SendDatagramError};
use std::{fmt, sync::Arc};

/// A datagram did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// There is no link to the peer now.
    #[error("the peer is not connected")]
    NotConnected,
    /// The peer's release takes none.
    #[error("the peer takes no datagrams; it may run an older release")]
    NotTaken,
    /// It is longer than [`limits::MESH_DATAGRAM_BYTES`], or than the path takes.
    #[error(
        "the datagram is too long for the path; at most {} bytes go anywhere",
        limits::MESH_DATAGRAM_BYTES
    )]
    TooLarge,
}

impl From<SendDatagramError> for Unsent {
    fn from(error: SendDatagramError) -> Self {
        match error {
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => Self::NotTaken,
            SendDatagramError::TooLarge => Self::TooLarge,
            SendDatagramError::ConnectionLost(_) => Self::NotConnected,
        }
    }
}

type Taker = dyn Fn(MemberId, Bytes) + Send + Sync;

/// Who takes datagrams, and how many there were.
pub(crate) struct Datagrams {
    taker: RwLock<Option<Arc<Taker>>>,
    sent: Counter,
    unsent: [Counter; 3],
    received: Counter,
    too_large: Counter,
    unwanted: Counter,
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").finish_non_exhaustive()
    }
}

impl Default for Datagrams {
    fn default() -> Self {
        let of = |way: &'static str, result: &'static str| counter!("dialmesh_mesh_datagrams_total", "way" => way, "result" => result);
        Self {
            taker: RwLock::default(),
            sent: of("out", "ok"),
            unsent: ["not_connected", "not_taken", "too_large"].map(|why| of("out", why)),
            received: of("in", "ok"),
            too_large: of("in", "too_large"),
            unwanted: of("in", "unwanted"),
        }
    }
}

impl Datagrams {
    pub(crate) fn set_taker(&self, taker: Arc<Taker>) {
        *self.taker.write() = Some(taker);
    }

    /// A taker may hold the endpoint: without it nothing keeps that alive.
    pub(crate) fn forget_taker(&self) {
        *self.taker.write() = None;
    }

    pub(crate) fn count(&self, sent: Result<(), Unsent>) -> Result<(), Unsent> {
        match sent {
            Ok(()) => self.sent.increment(1),
            Err(why) => self.unsent[why as usize].increment(1),
        }
        sent
    }

    /// Reads a peer's datagrams until the connection ends.
    pub(crate) async fn read(&self, peer: MemberId, link: &Connection) {
        while let Ok(datagram) = link.read_datagram().await {
            if datagram.len() > limits::MESH_DATAGRAM_BYTES {
                self.too_large.increment(1);
                continue;
            }
            let taker = self.taker.read().clone();
            match taker {
                Some(taker) => {
                    self.received.increment(1);
                    taker(peer, datagram);
                }
                None => self.unwanted.increment(1),
            }
        }
    }
}
