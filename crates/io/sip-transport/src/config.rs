//! What to bind, and how much to allow.

use crate::door::Strangers;
use domain::SipTransport;
use sip::Flow;
use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// UDP, TCP or TLS.
    pub transport: SipTransport,
    /// Address and port; port zero lets the system choose.
    pub address: SocketAddr,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            transport: SipTransport::Udp,
            address: (Ipv4Addr::UNSPECIFIED, 5060).into(),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.transport {
            SipTransport::Udp => "udp",
            SipTransport::Tcp => "tcp",
            SipTransport::Tls => "tls",
        };
        write!(f, "{name}:{}", self.address)
    }
}

/// Bounds on TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_source: usize,
    /// The same of an address that was not said to be a guest's, once that was said.
    pub connections_per_stranger: usize,
    /// Bytes waiting to be written on one connection.
    pub unsent_bytes: usize,
    /// A connection without a byte for so long is closed.
    pub idle: Duration,
    /// How long the rest of a begun message may take.
    pub message: Duration,
    /// How long opening a connection may take.
    pub connect: Duration,
    /// What becomes of messages from addresses that were not said to be guests'.
    pub strangers: Strangers,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            connections_per_source: 512,
            connections_per_stranger: 64,
            unsent_bytes: 256 * 1024,
            idle: Duration::from_secs(600),
            message: Duration::from_secs(10),
            // Within the validity that is left when an INVITE is handed over (`SEND_GUARD`).
            connect: Duration::from_millis(1_500),
            strangers: Strangers::Welcome,
        }
    }
}

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {listener}; is another process there, or is the address not this machine's?"
)]
pub struct BindError {
    /// Which one.
    pub listener: Listener,
    /// Why.
    #[source]
    pub source: io::Error,
}

pub(crate) fn not_bound(flow: Flow) -> io::Error {
    io::Error::new(
        io::ErrorKind::AddrNotAvailable,
        format!("{} is not one of the bound addresses", flow.local),
    )
}
