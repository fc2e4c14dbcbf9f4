//! Floods of strangers at a phones' port, beside an address that has a phone there: real sockets of
//! loopback's many addresses.

use super::*;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{collections::BTreeMap, net::Ipv4Addr, time::Instant};

const PHONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

fn metered(limits: Limits) -> (SipSockets, mpsc::Receiver<TransportEvent>) {
    let limits = Limits {
        strangers: Strangers::Metered,
        ..limits
    };
    let (sockets, events) = bind(limits, 65_536);
    sockets.set_guests([IpAddr::from(PHONE)]);
    (sockets, events)
}

/// A connection from that address; none where it is refused at once.
fn connect(from: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("made");
    socket
        .bind(&SockAddr::from(SocketAddr::from((from, 0))))
        .expect("loopback");
    socket.connect(&to.into()).ok()?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_write_timeout(Some(PATIENCE)).expect("set");
    Some(stream)
}

fn source(flow: Flow) -> IpAddr {
    flow.remote.ip()
}

/// What strangers may say: a minute's worth at once, and so many a second since.
fn allowed(began: Instant) -> usize {
    60 + 20 * (began.elapsed().as_secs() as usize + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flood_of_datagrams_takes_nothing_from_who_has_a_phone() {
    let (sockets, events) = metered(Limits::default());
    let local = address(&sockets, SipTransport::Udp);
    let flood = UdpSocket::bind((STRANGER, 0)).expect("loopback");
    let phone = UdpSocket::bind((PHONE, 0)).expect("loopback");
    let (began, mut strangers) = (Instant::now(), 0);
    for n in 0..400u32 {
        for _ in 0..50 {
            flood.send_to(b"REGISTER", local).expect("sent");
        }
        phone.send_to(&n.to_be_bytes(), local).expect("sent");
        // Each of the phone's comes through, in its turn.
        loop {
            let (flow, bytes) = received(&events);
            if source(flow) == PHONE {
                assert_eq!(&bytes[..], &n.to_be_bytes());
                break;
            }
            strangers += 1;
        }
    }
    println!("{strangers} of 20000 datagrams in {:?}", began.elapsed());
    assert!((60..=allowed(began)).contains(&strangers), "{strangers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flood_over_connections_waits_in_its_sockets() {
    const SENT: usize = 4_000;
    let (sockets, events) = metered(Limits::default());
    let local = address(&sockets, SipTransport::Tcp);
    // Two connections of one address share what it may say.
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(STRANGER, local).expect("accepted");
            std::thread::spawn(move || {
                let mut written = 0;
                while written < SENT && stream.write_all(&message(&written.to_string())).is_ok() {
                    written += 1;
                }
                (stream, written)
            })
        })
        .collect();
    let mut phone = connect(PHONE, local).expect("accepted");
    let (began, mut strangers) = (Instant::now(), BTreeMap::<SocketAddr, usize>::new());
    let count = |strangers: &mut BTreeMap<SocketAddr, usize>, flow: Flow, bytes: &[u8]| {
        let next = strangers.entry(flow.remote).or_default();
        // In their order, none lost.
        assert_eq!(bytes, &message(&next.to_string())[..]);
        *next += 1;
    };
    for n in 0..300 {
        let text = message(&format!("phone {n}"));
        phone.write_all(&text).expect("written");
        loop {
            let (flow, bytes) = received(&events);
            if source(flow) == PHONE {
                assert_eq!(bytes, text);
                break;
            }
            count(&mut strangers, flow, &bytes);
        }
    }
    let said: usize = strangers.values().sum();
    println!("{said} messages of a flood in {:?}", began.elapsed());
    assert!((1..=allowed(began)).contains(&said), "{said}");
    // Once a phone of that address is registered, all that waited is heard.
    sockets.set_guests([PHONE, STRANGER].map(IpAddr::from));
    while strangers.values().sum::<usize>() < 2 * SENT {
        let (flow, bytes) = received(&events);
        count(&mut strangers, flow, &bytes);
    }
    for flood in floods {
        assert_eq!(flood.join().expect("no panic").1, SENT);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn strangers_connections_are_bounded_and_leave_room() {
    let limits = Limits {
        connections: 8,
        connections_per_stranger: 4,
        ..Limits::default()
    };
    let (sockets, events) = metered(limits);
    let local = address(&sockets, SipTransport::Tcp);
    // Whether a connection is kept: what is said on it is heard, or its end is read.
    let kept = |from: Ipv4Addr| {
        let mut stream = connect(from, local)?;
        let mut byte = [0];
        let said = stream.write_all(&message("here"));
        if said.is_ok() && events.recv_timeout(Duration::from_millis(500)).is_ok() {
            return Some(stream);
        }
        let over = stream.read(&mut byte);
        assert!(
            over.is_err() || over.is_ok_and(|len| len == 0),
            "it is closed"
        );
        None
    };
    let other = Ipv4Addr::new(127, 0, 0, 4);
    let of_one: Vec<_> = (0..6).filter_map(|_| kept(STRANGER)).collect();
    assert_eq!(of_one.len(), 4, "of one stranger");
    let of_other: Vec<_> = (0..4).filter_map(|_| kept(other)).collect();
    assert_eq!(of_other.len(), 2, "three quarters of all are strangers'");
    let of_phone: Vec<_> = (0..4).filter_map(|_| kept(PHONE)).collect();
    assert_eq!(
        of_phone.len(),
        2,
        "the rest is kept for who has a phone here"
    );
    assert_eq!(sockets.connections(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stranger_opens_so_many_connections_a_second() {
    let (sockets, events) = metered(Limits::default());
    let local = address(&sockets, SipTransport::Tcp);
    let began = Instant::now();
    for _ in 0..400 {
        // Opened and left: with TLS each would cost a handshake.
        drop(connect(STRANGER, local));
    }
    let mut phone = connect(PHONE, local).expect("accepted");
    phone.write_all(&message("here")).expect("written");
    // Connections are taken in their order: those that were come to their end before or after.
    let mut taken = 0;
    loop {
        match events.recv_timeout(PATIENCE).expect("the phone is heard") {
            TransportEvent::Closed { flow } => {
                assert_eq!(source(flow), STRANGER);
                taken += 1;
            }
            TransportEvent::Received { flow, .. } => {
                assert_eq!(source(flow), PHONE);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    while sockets.connections() > 1 {
        let event = events.recv_timeout(PATIENCE).expect("each ends");
        assert!(matches!(event, TransportEvent::Closed { .. }), "{event:?}");
        taken += 1;
    }
    println!("{taken} of 400 connections in {:?}", began.elapsed());
    assert!((1..=allowed(began)).contains(&taken), "{taken}");
}
