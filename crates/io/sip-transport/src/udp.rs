//! UDP: one socket an address, big buffers, one thread that does nothing but receive.

use crate::{
    Shared, TransportEvent,
    door::{Admission, Porter},
    syscalls,
};
use bytes::Bytes;
use domain::SipTransport;
use sip::Flow;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

/// Asked of the system, which may give less: a second of 1,000 calls a second.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// How often a quiet receiver looks whether it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(100);
/// The largest datagram there is.
const DATAGRAM_BYTES: usize = 65_536;
/// As much of a datagram as comes back with an ICMP error: 576 bytes with its headers.
const RETURNED_BYTES: usize = 576;
/// A datagram is tried so often again while errors about earlier ones are in the way.
const TRIES: u32 = 8;

pub(crate) struct UdpListener {
    socket: Socket,
    address: SocketAddr,
}

impl UdpListener {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        socket.set_read_timeout(Some(STOP_CHECK))?;
        syscalls::want_undeliverable(&socket, address.is_ipv6())?;
        socket.bind(&address.into())?;
        let address = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("an IP socket has an IP address"))?;
        Ok(Self { socket, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends now, or loses the datagram. `Err` says that it did not leave.
    pub(crate) fn send(&self, shared: &Shared, remote: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let meters = &shared.meters;
        let to = SockAddr::from(remote);
        let mut tries = TRIES;
        loop {
            let sent = (self.socket).send_to_with_flags(bytes, &to, libc::MSG_DONTWAIT);
            match sent {
                Ok(_) => {
                    meters.datagrams_out.increment(1);
                    meters.bytes_out.increment(bytes.len() as u64);
                    let flow = Flow {
                        transport: SipTransport::Udp,
                        local: self.address,
                        remote,
                    };
                    shared.copy_sent(flow, bytes);
                    return Ok(());
                }
                Err(error) if is_full(&error) => {
                    meters.buffer_full.increment(1);
                    return Ok(());
                }
                Err(error) if tries == 0 => return Err(error),
                // It may be about an earlier datagram, and says nothing of this one.
                Err(_) => {
                    tries -= 1;
                    tell_undeliverable(shared, self.address, &self.socket);
                }
            }
        }
    }
}

/// Tells of every datagram that came back as undeliverable.
fn tell_undeliverable(shared: &Shared, local: SocketAddr, socket: &impl AsFd) {
    let mut buffer = [0; RETURNED_BYTES];
    while let Some((remote, len)) = syscalls::next_undeliverable(socket, &mut buffer) {
        shared.meters.undeliverable.increment(1);
        let flow = Flow {
            transport: SipTransport::Udp,
            local,
            remote,
        };
        let bytes = Bytes::copy_from_slice(&buffer[..len]);
        if !(shared.sink)(TransportEvent::Unsent { flow, bytes }) {
            shared.meters.sink_full.increment(1);
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Starts the receiver of one bound socket.
pub(crate) fn receive_on_thread(
    shared: &Arc<Shared>,
    listener: &UdpListener,
) -> io::Result<JoinHandle<()>> {
    let address = listener.address;
    let socket = UdpSocket::from(listener.socket.try_clone()?);
    let shared = shared.clone();
    std::thread::Builder::new()
        .name(format!("sip-udp-{}", address.port()))
        .spawn(move || receive(&shared, address, &socket))
}

fn receive(shared: &Shared, local: SocketAddr, socket: &UdpSocket) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut porter = Porter::new(shared.limits.strangers);
    while !shared.is_stopped() {
        let (len, remote) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            // The stop check, a signal, or an ICMP error about an earlier datagram: go on.
            Err(error) => {
                tell_undeliverable(shared, local, socket);
                if !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::HostUnreachable
                        | io::ErrorKind::NetworkUnreachable
                ) {
                    tracing::warn!(%local, %error, "UDP receive failed");
                    std::thread::sleep(STOP_CHECK);
                }
                continue;
            }
        };
        shared.meters.datagrams_in.increment(1);
        shared.meters.bytes_in.increment(len as u64);
        match porter.admits(&shared.door, remote.ip()) {
            Admission::Passes => {}
            refused => {
                shared.meters.refused_at_the_door(refused);
                continue;
            }
        }
        let flow = Flow {
            transport: SipTransport::Udp,
            local,
            remote,
        };
        shared.copy_received(flow, &buffer[..len]);
        let bytes = Bytes::copy_from_slice(&buffer[..len]);
        if !(shared.sink)(TransportEvent::Received { flow, bytes }) {
            shared.meters.sink_full.increment(1);
        }
    }
}
