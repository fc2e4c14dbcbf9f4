//! Free ports below the range from which the system hands out its own.

use anyhow::Context as _;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Mutex,
};

const FIRST: u16 = 10_000;
const LAST: u16 = 31_900;

/// Where this process looks next: two worlds of one process never look at the same ports.
static NEXT: Mutex<Option<u16>> = Mutex::new(None);

fn take(count: u16) -> u16 {
    let mut next = NEXT.lock().unwrap_or_else(|p| p.into_inner());
    // Different processes begin in different places.
    let span = LAST - FIRST;
    let scattered = || FIRST + (std::process::id() * 613 % u32::from(span)) as u16;
    let mut first = next.unwrap_or_else(scattered);
    if first + count > LAST {
        first = FIRST;
    }
    *next = Some(first + count);
    first
}

fn udp_is_free(port: u16) -> bool {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// An address of loopback whose port is free for UDP and TCP.
pub(super) fn address() -> anyhow::Result<SocketAddr> {
    let found = (FIRST..LAST)
        .map(|_| take(1))
        .find(|port| udp_is_free(*port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let port = found.with_context(|| format!("no port of {FIRST}-{LAST} is free"))?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// A row of free UDP ports; the first is even.
pub(super) fn row(count: u16) -> anyhow::Result<(u16, u16)> {
    for _ in 0..64 {
        let first = take(count + 1).next_multiple_of(2);
        if (first..first + count).all(udp_is_free) {
            return Ok((first, first + count - 1));
        }
    }
    anyhow::bail!("no {count} ports in a row are free in {FIRST}-{LAST}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_distinct() {
        let one = address().unwrap();
        let two = address().unwrap();
        assert_ne!(one, two);
        let (first, last) = row(10).unwrap();
        assert_eq!((first % 2, last - first), (0, 9));
        let (next, _) = row(10).unwrap();
        assert!(next > last || next < first);
    }
}
