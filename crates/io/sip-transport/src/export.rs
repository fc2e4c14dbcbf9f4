//! Copies of what is sent and received, as HEP packets to a collector. Best effort: a copy never waits,
//! and one that cannot leave is lost and counted.

use metrics::{Counter, counter, describe_counter};
use sip::{Flow, hep::Packet};
use std::{
    cell::RefCell,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{SystemTime, UNIX_EPOCH},
};

thread_local! {
    /// Room for one packet: messages are copied by the engine's thread and by those that receive.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Sends copies to one collector.
#[derive(Debug)]
pub struct Exporter {
    socket: UdpSocket,
    agent: u32,
    sent: Counter,
    lost: Counter,
}

impl Exporter {
    /// Copies go by UDP to `collector`, which tells its sources apart by `agent`.
    ///
    /// # Errors
    /// The system gives no socket, or knows no way to `collector`.
    pub fn new(collector: SocketAddr, agent: u32) -> io::Result<Self> {
        describe_counter!(
            "dialmesh_hep_packets_total",
            "Copies of SIP messages for the collector, by result"
        );
        let any: SocketAddr = match collector {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(collector)?;
        socket.set_nonblocking(true)?;
        let counted = |result| counter!("dialmesh_hep_packets_total", "result" => result);
        Ok(Self {
            socket,
            agent,
            sent: counted("sent"),
            lost: counted("lost"),
        })
    }

    pub(crate) fn copy(&self, flow: Flow, sent: bool, message: &[u8]) {
        let at = (SystemTime::now().duration_since(UNIX_EPOCH)).unwrap_or_default();
        let packet = Packet {
            flow,
            sent,
            at,
            agent: self.agent,
            message,
        };
        let left = ROOM.with_borrow_mut(|room| packet.encode(room) && self.leave(room));
        match left {
            true => self.sent.increment(1),
            false => self.lost.increment(1),
        }
    }

    /// An error may be about an earlier packet, which a collector that is not there sent back: once again.
    fn leave(&self, packet: &[u8]) -> bool {
        self.socket
            .send(packet)
            .or_else(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => self.socket.send(packet),
                _ => Err(error),
            })
            .is_ok()
    }
}
