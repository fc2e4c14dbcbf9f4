//! The sockets of a port range, bound once for the life of the relay.

use media::{Port, PortRange};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use crate::relay::StartError;

/// The two sockets of a port.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
}

/// Expedited forwarding (RFC 3246) in the traffic class byte: voice goes first.
const EXPEDITED: u32 = 46 << 2;

/// Binds every port of the range and the one above it.
pub(crate) fn bind_all(
    ip: IpAddr,
    range: PortRange,
    receive_buffer: usize,
) -> Result<Vec<Pair>, StartError> {
    let one = |port: u16| {
        let addr = SocketAddr::new(ip, port);
        bind(addr, receive_buffer).map_err(|source| StartError::Bind { addr, source })
    };
    range
        .ports()
        .map(|port: Port| {
            Ok(Pair {
                rtp: one(port.number())?,
                rtcp: one(port.rtcp())?,
            })
        })
        .collect()
}

/// A UDP socket as the relay's are: not waiting, marked, with room for `receive_buffer` bytes.
pub(crate) fn bind(addr: SocketAddr, receive_buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(receive_buffer)?;
    let marked = if addr.is_ipv4() {
        socket.set_tos_v4(EXPEDITED)
    } else {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(EXPEDITED)
    };
    if let Err(error) = marked {
        // Some containers forbid it; voice still flows, only without its precedence.
        tracing::debug!(%error, %addr, "RTP is not marked for expedited forwarding");
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
