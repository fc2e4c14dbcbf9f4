//! The system calls that the standard library does not have: datagrams that came back as
//! undeliverable, from a socket's error queue.
#![allow(unsafe_code)]

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd},
    ptr,
};

/// Has the system keep what comes back of datagrams that could not be delivered.
pub(crate) fn want_undeliverable(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    let (level, option) = if ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    let fd = socket.as_fd().as_raw_fd();
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the value lives through the call, which reads `len` bytes of it.
    let set = unsafe { libc::setsockopt(fd, level, option, (&raw const on).cast(), len) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The next datagram that came back, as far as it did: where it was to go, and how many bytes of its
/// beginning are in `buffer`.
pub(crate) fn next_undeliverable(
    socket: &impl AsFd,
    buffer: &mut [u8],
) -> Option<(SocketAddr, usize)> {
    // SAFETY: a socket address of zeros is a valid one, of no family.
    let mut name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a message header of zeros is a valid one, without anything in it.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of_val(&name) as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = ptr::null_mut();
    let (fd, flags) = (
        socket.as_fd().as_raw_fd(),
        libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
    );
    // SAFETY: everything that `message` points at lives through the call, with the lengths given.
    let len = unsafe { libc::recvmsg(fd, &raw mut message, flags) };
    let len = usize::try_from(len).ok()?;
    Some((address(&name)?, len.min(buffer.len())))
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is, and the storage has room and alignment for it.
            let name = unsafe { *ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some((ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says what it is, and the storage has room and alignment for it.
            let name = unsafe { *ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some((ip, u16::from_be(name.sin6_port)).into())
        }
        _ => None,
    }
}
