//! The source lock: whose packets a leg accepts. Learning more freely than this is how relays
//! are made to leak calls to strangers ("RTP bleed").

use std::net::SocketAddr;

/// Whose packets are a leg's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLock {
    negotiated: SocketAddr,
    symmetric: bool,
    latched: Option<SocketAddr>,
}

impl SourceLock {
    /// Only `negotiated` itself; or, when `symmetric`, whichever port of that host speaks first,
    /// until `negotiated` itself speaks: the first to speak may be a stream of another call that
    /// nobody ended, still sent to a port that this leg got after a restart.
    pub fn new(negotiated: SocketAddr, symmetric: bool) -> Self {
        Self {
            negotiated,
            symmetric,
            latched: None,
        }
    }

    /// Whether a packet from there may be looked at. Nothing is learned yet.
    pub fn admits(&self, from: SocketAddr) -> bool {
        from == self.negotiated
            || match self.latched {
                Some(latched) => latched == from,
                None => self.symmetric && from.ip() == self.negotiated.ip(),
            }
    }

    /// A packet from an admitted source proved valid: from now on it is the only one, but for the
    /// negotiated one.
    pub fn latch(&mut self, from: SocketAddr) {
        self.latched = Some(from);
    }

    /// Where to send: the latched source of a symmetric peer, else what was negotiated.
    pub fn target(&self) -> SocketAddr {
        match self.latched {
            Some(latched) if self.symmetric => latched,
            _ => self.negotiated,
        }
    }

    /// Whether RTCP from there may be the peer's: the same host. It carries no sound.
    pub fn admits_rtcp(&self, from: SocketAddr) -> bool {
        from.ip() == self.negotiated.ip()
    }

    /// Whether this is the lock for the same peer.
    pub fn is_for(&self, negotiated: SocketAddr, symmetric: bool) -> bool {
        self.negotiated == negotiated && self.symmetric == symmetric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_trunk_is_exactly_what_it_negotiated() {
        let mut lock = SourceLock::new(addr("192.0.2.1:4000"), false);
        assert!(!lock.admits(addr("192.0.2.1:4002")));
        assert!(!lock.admits(addr("192.0.2.2:4000")));
        assert!(lock.admits(addr("192.0.2.1:4000")));
        lock.latch(addr("192.0.2.1:4000"));
        assert!(!lock.admits(addr("192.0.2.1:4002")));
    }

    #[test]
    fn a_symmetric_peer_chooses_its_port_once() {
        let mut lock = SourceLock::new(addr("192.0.2.1:4000"), true);
        assert_eq!(lock.target(), addr("192.0.2.1:4000"));
        assert!(!lock.admits(addr("192.0.2.2:4000")));
        assert!(lock.admits(addr("192.0.2.1:9")));
        lock.latch(addr("192.0.2.1:9"));
        assert_eq!(lock.target(), addr("192.0.2.1:9"));
        assert!(!lock.admits(addr("192.0.2.1:10")));
        // The one agreed on wins, and keeps what it won.
        assert!(lock.admits(addr("192.0.2.1:4000")));
        lock.latch(addr("192.0.2.1:4000"));
        assert_eq!(lock.target(), addr("192.0.2.1:4000"));
        assert!(!lock.admits(addr("192.0.2.1:9")));
        assert!(lock.admits_rtcp(addr("192.0.2.1:4001")));
        assert!(!lock.admits_rtcp(addr("192.0.2.7:4001")));
        assert!(lock.is_for(addr("192.0.2.1:4000"), true));
        assert!(!lock.is_for(addr("192.0.2.1:4000"), false));
    }
}
