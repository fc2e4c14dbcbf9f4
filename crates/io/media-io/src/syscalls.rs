//! The system calls that the standard library does not have: epoll, eventfd, recvmmsg,
//! sendmmsg, SO_MEMINFO, setpriority and two clocks. With the map of a file in `storage` and the error queue of a socket in `sip-transport`, the only `unsafe` of the workspace.
#![allow(unsafe_code)]

use domain::{Instant, limits};
use std::{
    array,
    fs::File,
    io::{self, Read, Write},
    mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

use socket2::SockAddr;

/// Datagrams read or sent in one call. A leg sends one in 20 ms: more are rare.
pub(crate) const BATCH: usize = 8;

/// Room for one datagram, and one byte more to notice longer ones.
const BUFFER: usize = limits::RTP_BYTES + 1;

/// The same, and what a packet grows by on its way out.
const ROOM: usize = BUFFER + media::SRTP_ROOM;

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// An epoll set, level-triggered.
#[derive(Debug)]
pub(crate) struct Poller {
    set: OwnedFd,
    ready: Vec<u64>,
    room: usize,
}

impl Poller {
    /// A set that tells of at most `room` descriptors at a time.
    pub(crate) fn new(room: usize) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let set = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the call above gave this descriptor to us and to nobody else.
        let set = unsafe { OwnedFd::from_raw_fd(set) };
        Ok(Self {
            set,
            ready: Vec::with_capacity(EVENTS),
            room: room.clamp(1, EVENTS),
        })
    }

    /// Tells of `fd` under `token` whenever it can be read.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        let (set, fd) = (self.set.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: `event` lives through the call, which only reads it.
        checked(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits until something can be read or the time (in whole milliseconds, rounded up) is over.
    /// Returns how many descriptors are ready and whether there may be more.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<(usize, bool)> {
        let millis = timeout.as_micros().div_ceil(1_000);
        let millis = libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX);
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let room = self.room as libc::c_int;
        // SAFETY: `events` has at least `room` entries and lives through the call.
        let count = checked(unsafe {
            libc::epoll_wait(self.set.as_raw_fd(), events.as_mut_ptr(), room, millis)
        });
        let count = match count {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        self.ready.clear();
        self.ready.extend(events[..count].iter().map(|e| e.u64));
        Ok((count, count == self.room))
    }

    /// The token of the `n`th ready descriptor of the last wait.
    pub(crate) fn token(&self, n: usize) -> u64 {
        self.ready[n]
    }
}

/// Entries of one epoll answer.
const EVENTS: usize = 512;

/// Wakes a thread out of its wait.
#[derive(Debug)]
pub(crate) struct Wake(File);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the call above gave this descriptor to us and to nobody else.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Wakes. Fails only when the counter is full, and then it is awake already.
    pub(crate) fn notify(&self) {
        let _full = (&self.0).write(&1u64.to_ne_bytes()).is_err();
    }

    /// Takes all wakes so far.
    pub(crate) fn clear(&self) {
        let _empty = (&self.0).read(&mut [0; 8]).is_err();
    }
}

/// Buffers for the datagrams of one read, reused for ever.
pub(crate) struct Datagrams {
    buffers: Box<[[u8; ROOM]; BATCH]>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    lengths: [usize; BATCH],
}

impl Datagrams {
    pub(crate) fn new() -> Self {
        Self {
            buffers: Box::new([[0; ROOM]; BATCH]),
            // SAFETY: a socket address of all zeros is a valid value (of no family).
            names: Box::new([unsafe { mem::zeroed() }; BATCH]),
            lengths: [0; BATCH],
        }
    }

    /// Reads what is there, up to [`BATCH`] datagrams, without waiting. Returns how many.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut parts: [libc::iovec; BATCH] = array::from_fn(|n| libc::iovec {
            iov_base: self.buffers[n].as_mut_ptr().cast(),
            iov_len: BUFFER,
        });
        let mut headers: [libc::mmsghdr; BATCH] = array::from_fn(|n| {
            // SAFETY: a message header of all zeros is a valid value: nothing, nowhere.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = ptr::from_mut(&mut self.names[n]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_iov = &raw mut parts[n];
            header.msg_hdr.msg_iovlen = 1;
            header
        });
        // SAFETY: each header points to one name and one buffer of `self` and one entry of
        // `parts`, with their true lengths; all of them live through the call, and no two
        // headers share any.
        let count = checked(unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        })? as usize;
        for (length, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *length = header.msg_len as usize;
        }
        Ok(count)
    }

    /// The `n`th datagram of the last read: its sender (none when of an unknown family) and its
    /// bytes; no bytes when it was longer than [`limits::RTP_BYTES`].
    pub(crate) fn datagram(&mut self, n: usize) -> (Option<SocketAddr>, Option<&mut [u8]>) {
        let from = address(&self.names[n]);
        let len = self.lengths[n];
        let bytes = (len <= limits::RTP_BYTES).then(|| &mut self.buffers[n][..len]);
        (from, bytes)
    }

    /// The whole `n`th buffer.
    pub(crate) fn room(&mut self, n: usize) -> &mut [u8] {
        &mut self.buffers[n]
    }

    /// Some bytes of the `n`th buffer.
    pub(crate) fn bytes(&self, n: usize, range: Range<usize>) -> &[u8] {
        &self.buffers[n][range]
    }
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let name = ptr::from_ref(name);
    // SAFETY: `name` points to a whole `sockaddr_storage`, which is larger than either address
    // and aligned for both; the family says which one the kernel wrote, and any bytes are a
    // valid value of both.
    unsafe {
        match libc::c_int::from((*name).ss_family) {
            libc::AF_INET => {
                let v4 = &*name.cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port)))
            }
            libc::AF_INET6 => {
                let v6 = &*name.cast::<libc::sockaddr_in6>();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(SocketAddr::new(IpAddr::V6(ip), u16::from_be(v6.sin6_port)))
            }
            _ => None,
        }
    }
}

/// Sends up to [`BATCH`] datagrams from one socket without waiting. Returns how many of them,
/// from the front, the system took.
pub(crate) fn send_batch<'a>(
    socket: BorrowedFd<'_>,
    messages: impl Iterator<Item = (SocketAddr, &'a [u8])>,
) -> usize {
    let mut names: [Option<SockAddr>; BATCH] = [const { None }; BATCH];
    let mut parts = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    let mut count = 0;
    for ((to, bytes), (name, part)) in messages.zip(names.iter_mut().zip(&mut parts)) {
        *name = Some(SockAddr::from(to));
        *part = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        count += 1;
    }
    let mut headers: [libc::mmsghdr; BATCH] = array::from_fn(|n| {
        // SAFETY: as in `receive`.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        if let Some(name) = &names[n] {
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header.msg_hdr.msg_iov = &raw mut parts[n];
            header.msg_hdr.msg_iovlen = 1;
        }
        header
    });
    // SAFETY: the first `count` headers point to names and parts above and through them to the
    // caller's bytes, with their true lengths; all live through the call, which only reads them
    // (but for the count of bytes in each header).
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(sent).unwrap_or(0)
}

/// How many datagrams the kernel dropped at this socket since it was made, for want of room or
/// for a bad checksum. Asked when a leg begins and ends, so that it costs packets nothing (unlike
/// SO_RXQ_OVFL, which rides on each and says nothing after the last).
pub(crate) fn drops(socket: BorrowedFd<'_>) -> u64 {
    const SO_MEMINFO: libc::c_int = 55;
    const SK_MEMINFO_DROPS: usize = 8;
    let mut told = [0u32; 16];
    let mut len = size_of_val(&told) as libc::socklen_t;
    // SAFETY: `told` and `len` live through the call and `len` is the length of `told`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            told.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    // A kernel before 4.12 does not know it: no drops are told then.
    if result == 0 && len as usize > SK_MEMINFO_DROPS * 4 {
        u64::from(told[SK_MEMINFO_DROPS])
    } else {
        0
    }
}

fn read_clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives through the call.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert!(
        result == 0,
        "both clocks are there on every Linux since 2.6.39"
    );
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Nanoseconds since boot, suspend included.
pub(crate) fn boot_time() -> Instant {
    Instant::from_nanos(read_clock(libc::CLOCK_BOOTTIME).as_nanos() as u64)
}

/// Asks for a better (lower) scheduling niceness for the calling thread alone.
pub(crate) fn set_niceness(niceness: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed. Zero means the calling thread on Linux.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) })?;
    Ok(())
}

/// The CPU time that the calling thread has used.
pub(crate) fn thread_cpu() -> Duration {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::UdpSocket, os::fd::AsFd};

    fn pair(ip: &str) -> (UdpSocket, UdpSocket) {
        let a = UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0)).unwrap();
        let b = UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0)).unwrap();
        (a, b)
    }

    #[test]
    fn datagrams_go_and_come_in_batches() {
        let (a, b) = pair("127.0.0.1");
        let texts: Vec<Vec<u8>> = (0..BATCH as u8)
            .map(|n| vec![n; 10 + usize::from(n)])
            .collect();
        let to = b.local_addr().unwrap();
        let sent = send_batch(a.as_fd(), texts.iter().map(|t| (to, &t[..])));
        assert_eq!(sent, BATCH);
        let mut datagrams = Datagrams::new();
        assert_eq!(datagrams.receive(b.as_fd()).unwrap(), BATCH);
        for (n, text) in texts.iter().enumerate() {
            let (from, bytes) = datagrams.datagram(n);
            assert_eq!(from, Some(a.local_addr().unwrap()));
            assert_eq!(bytes.unwrap(), &text[..]);
            assert_eq!(datagrams.bytes(n, 2..5), &text[2..5]);
        }
        let error = datagrams.receive(b.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_bound_of_a_datagram_is_exact() {
        let (a, b) = pair("127.0.0.1");
        let to = b.local_addr().unwrap();
        a.send_to(&[1; limits::RTP_BYTES], to).unwrap();
        a.send_to(&[1; limits::RTP_BYTES + 1], to).unwrap();
        a.send_to(&[1; limits::RTP_BYTES + 999], to).unwrap();
        a.send_to(&[], to).unwrap();
        let mut datagrams = Datagrams::new();
        assert_eq!(datagrams.receive(b.as_fd()).unwrap(), 4);
        assert!(datagrams.datagram(0).1.is_some());
        assert!(datagrams.datagram(1).1.is_none());
        assert!(datagrams.datagram(2).1.is_none());
        assert_eq!(datagrams.datagram(3).1.unwrap().len(), 0);
    }

    #[test]
    fn the_poller_wakes() {
        let mut poller = Poller::new(8).unwrap();
        let wake = Wake::new().unwrap();
        poller.add(wake.file().as_fd(), 42).unwrap();
        assert_eq!(poller.wait(Duration::ZERO).unwrap(), (0, false));
        wake.notify();
        assert_eq!(poller.wait(Duration::from_secs(5)).unwrap(), (1, false));
        assert_eq!(poller.token(0), 42);
        wake.clear();
        wake.clear();
        assert_eq!(poller.wait(Duration::ZERO).unwrap(), (0, false));
    }

    #[test]
    fn dropped_datagrams_are_counted_by_the_kernel() {
        let (a, b) = pair("127.0.0.1");
        socket2::SockRef::from(&b).set_recv_buffer_size(1).unwrap();
        let before = drops(b.as_fd());
        let mut taken = 0;
        for _ in 0..100 {
            a.send_to(&[0; 172], b.local_addr().unwrap()).unwrap();
        }
        let mut datagrams = Datagrams::new();
        while let Ok(count) = datagrams.receive(b.as_fd()) {
            taken += count as u64;
        }
        assert!(taken < 100);
        assert_eq!(drops(b.as_fd()) - before + taken, 100);
    }

    #[test]
    fn a_thread_may_always_be_nicer() {
        std::thread::spawn(|| set_niceness(19).unwrap())
            .join()
            .unwrap();
    }

    #[test]
    fn thread_cpu_grows() {
        let before = thread_cpu();
        let mut sum = 0u64;
        while thread_cpu() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(thread_cpu() > before);
    }
}
