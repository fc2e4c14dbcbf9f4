//! Agents' audio in browsers: the WebRTC face of the relay.
//!
//! One UDP socket serves all browsers of a node. Each has a session of its own (`str0m`: ICE-lite,
//! DTLS, SRTP, and no socket in it), driven on the relay's thread: a packet is decrypted, goes through
//! the same [`media::Exchange`] as any other leg's, and leaves, with neither a queue nor a lock between
//! a browser and a trunk. G.711 goes through as it is, telephone-event too. A session's making takes
//! some 0.2 ms of that thread, a packet a few microseconds.
//!
//! Offers are read and answered where they come in ([`BrowserGate`]), not on the relay's thread.

mod measure;
mod numbers;
mod offer;
mod sessions;
mod stun;

pub use offer::{Arrival, OfferError};
pub(crate) use sessions::{Browsers, NOWHERE, Wire};

use domain::limits;
use media::{BrowserCommand, BrowserEvent, BrowserId};
use offer::Maker;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Where browsers reach the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserConfig {
    /// The UDP address to bind.
    pub listen: SocketAddr,
    /// The one that browsers are told, where a router translates; `listen` where absent.
    pub advertise: Option<SocketAddr>,
}

/// Takes one event of a browser; false when it has no room now, and the same event is offered again
/// soon.
pub type BrowserSink = Box<dyn Fn(BrowserEvent) -> bool + Send + Sync>;

/// A browser's session was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// As many as may be.
    #[error("{} browsers' audio is carried already", limits::BROWSERS)]
    Full,
    /// The relay does not take it.
    #[error(transparent)]
    Send(#[from] crate::SendError),
}

/// What is queued for the relay's thread of browsers.
#[derive(Debug)]
pub(crate) enum BrowserOrder {
    /// A session begins.
    Begin(BrowserId, Box<Arrival>),
    /// The engine's word.
    Command(BrowserCommand),
}

/// Answers browsers' offers, on any thread. Clones share the limit.
#[derive(Clone, Debug)]
pub struct BrowserGate {
    maker: Arc<Maker>,
    count: Arc<AtomicUsize>,
}

impl BrowserGate {
    pub(crate) fn new(address: SocketAddr) -> Option<Self> {
        Some(Self {
            maker: Arc::new(Maker::new(address)?),
            count: Arc::default(),
        })
    }

    /// Reads an offer and answers it: the session, which [`crate::RelayHandle::begin_browser`] takes,
    /// and the SDP for the browser.
    ///
    /// # Errors
    /// What cannot be taken of the offer, and what to do.
    pub fn answer(&self, sdp: &str) -> Result<(Arrival, String), OfferError> {
        let answered = self.maker.answer(sdp);
        let result = match &answered {
            Ok(_) => "answered",
            Err(_) => "refused",
        };
        metrics::counter!("dialmesh_browser_offers_total", "result" => result).increment(1);
        answered
    }

    /// Takes a place for a session; false when there is none left.
    pub(crate) fn take_place(&self) -> bool {
        let more = |n| (n < limits::BROWSERS).then_some(n + 1);
        (self.count)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok()
    }

    pub(crate) fn give_place_back(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_bound_one_must_go_before_another_comes() {
        let gate = BrowserGate::new("127.0.0.1:9".parse().unwrap()).unwrap();
        for _ in 0..limits::BROWSERS {
            assert!(gate.take_place());
        }
        assert!(!gate.clone().take_place());
        gate.give_place_back();
        assert!(gate.take_place() && !gate.take_place());
    }
}
