//! Where bytes came from, and where they go.

use domain::SipTransport;
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// One way to one peer: a transport, our listening address, and the peer's address.
///
/// For TCP and TLS `local` is the listener's address also where we connect out, so that a flow keeps its
/// name across reconnects; `sip-transport` opens the connection when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// What carries the bytes.
    pub transport: SipTransport,
    /// Our listening address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

impl Flow {
    /// Whether the transport itself repeats what is lost (RFC 3261 section 17).
    pub fn is_reliable(self) -> bool {
        match self.transport {
            SipTransport::Udp => false,
            SipTransport::Tcp | SipTransport::Tls => true,
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.transport {
            SipTransport::Udp => "udp",
            SipTransport::Tcp => "tcp",
            SipTransport::Tls => "tls",
        };
        write!(f, "{name}:{}->{}", self.local, self.remote)
    }
}
