//! Real sockets on loopback.

mod export;
mod locate;
mod stir;
mod strangers;
mod tls;
mod torture;

use super::*;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn message(body: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bK1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn listener(transport: SipTransport) -> Listener {
    Listener {
        transport,
        address: "127.0.0.1:0".parse().expect("address"),
    }
}

fn bind(limits: Limits, bound: usize) -> (SipSockets, mpsc::Receiver<TransportEvent>) {
    let (sink, events) = channel(bound);
    let both = [listener(SipTransport::Udp), listener(SipTransport::Tcp)];
    let sockets = SipSockets::bind(&both, limits, sink).expect("loopback can be bound");
    (sockets, events)
}

fn address(sockets: &SipSockets, transport: SipTransport) -> SocketAddr {
    let found = sockets.bound().iter().find(|l| l.transport == transport);
    found.expect("bound").address
}

fn received(events: &mpsc::Receiver<TransportEvent>) -> (Flow, Bytes) {
    match events.recv_timeout(PATIENCE).expect("an event comes") {
        TransportEvent::Received { flow, bytes } => (flow, bytes),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn datagrams_both_ways_from_a_thread_that_knows_no_tokio() {
    let (sockets, events) = bind(Limits::default(), 16);
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    peer.set_read_timeout(Some(PATIENCE)).expect("set");
    let local = address(&sockets, SipTransport::Udp);
    std::thread::spawn(move || {
        let big = vec![b'x'; 60_000];
        for bytes in [&b"hello"[..], &big, b""] {
            peer.send_to(bytes, local).expect("sent");
            let (flow, got) = received(&events);
            assert_eq!((flow.local, &got[..]), (local, bytes));
            sockets.send(flow, &got).expect("sent");
            let mut buffer = [0; 65_536];
            let (len, from) = peer.recv_from(&mut buffer).expect("comes back");
            assert_eq!((&buffer[..len], from), (bytes, local));
        }
        let mut elsewhere = Flow {
            transport: SipTransport::Udp,
            local: "127.0.0.2:1".parse().expect("address"),
            remote: local,
        };
        let refused = sockets.send(elsewhere, b"x").expect_err("not bound");
        assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
        elsewhere.transport = SipTransport::Tcp;
        assert!(sockets.send(elsewhere, b"x").is_err());
    })
    .join()
    .expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_sink_drops_datagrams_and_goes_on() {
    let (sockets, events) = bind(Limits::default(), 2);
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let local = address(&sockets, SipTransport::Udp);
    for n in 0..50u8 {
        peer.send_to(&[n], local).expect("sent");
    }
    let (_, first) = received(&events);
    assert_eq!(&first[..], [0]);
    // However many were dropped, the next ones come through once there is room.
    for _ in 0..100 {
        while events.try_recv().is_ok() {}
        peer.send_to(b"after", local).expect("sent");
        if matches!(events.recv_timeout(Duration::from_millis(100)), Ok(TransportEvent::Received { bytes, .. }) if &bytes[..] == b"after")
        {
            return;
        }
    }
    panic!("nothing came through any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streams_are_framed_when_split_at_any_byte() {
    let (sockets, events) = bind(Limits::default(), 1024);
    let mut peer = TcpStream::connect(address(&sockets, SipTransport::Tcp)).expect("accepted");
    peer.set_nodelay(true).expect("set");
    let two = [message("first"), message("second")];
    let stream = two.concat();
    for split in 0..=stream.len() {
        peer.write_all(&stream[..split]).expect("written");
        peer.flush().expect("flushed");
        peer.write_all(&stream[split..]).expect("written");
        for expected in &two {
            assert_eq!(&received(&events).1[..], &expected[..], "split at {split}");
        }
    }
    for byte in &stream {
        peer.write_all(&[*byte]).expect("written");
    }
    assert_eq!(&received(&events).1[..], &two[0][..]);
    let (flow, _) = received(&events);
    // Answers go back on the same connection, also from elsewhere than tokio.
    sockets
        .send(flow, b"SIP/2.0 200 OK\r\nl: 0\r\n\r\n")
        .expect("sent");
    let mut answer = [0; 24];
    peer.read_exact(&mut answer).expect("comes back");
    assert!(answer.starts_with(b"SIP/2.0 200"));
    peer.write_all(b"\r\n\r\n").expect("written");
    let mut pong = [0; 2];
    peer.read_exact(&mut pong).expect("a pong");
    assert_eq!(&pong, b"\r\n");
    assert_eq!(sockets.connections(), 1);
    drop(peer);
    assert_eq!(
        events.recv_timeout(PATIENCE),
        Ok(TransportEvent::Closed { flow })
    );
    assert_eq!(sockets.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn connections_are_opened_on_demand_and_failures_told() {
    let (sockets, events) = bind(Limits::default(), 16);
    let carrier = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let flow = Flow {
        transport: SipTransport::Tcp,
        local: address(&sockets, SipTransport::Tcp),
        remote: carrier.local_addr().expect("bound"),
    };
    let request = message("offer");
    sockets.send(flow, &request).expect("queued");
    sockets.send(flow, &request).expect("queued");
    let (mut stream, _) = carrier.accept().expect("connects");
    let mut got = vec![0; 2 * request.len()];
    stream.read_exact(&mut got).expect("both");
    assert_eq!(got, [request.clone(), request.clone()].concat());
    stream.write_all(&message("hello")).expect("written");
    assert_eq!(received(&events).0, flow);
    sockets.close(flow);
    assert_eq!(
        events.recv_timeout(PATIENCE),
        Ok(TransportEvent::Closed { flow })
    );
    // Nobody listens there any more: what waited for the connection did not leave.
    drop((carrier, stream));
    sockets.send(flow, &request).expect("queued");
    let bytes = Bytes::from(request);
    assert_eq!(
        events.recv_timeout(PATIENCE),
        Ok(TransportEvent::Unsent { flow, bytes })
    );
    assert_eq!(sockets.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_invite_waits_behind_unsent_bytes_and_the_queue_is_bounded() {
    let limits = Limits {
        unsent_bytes: 300_000,
        ..Limits::default()
    };
    let (sockets, events) = bind(limits, 16);
    let carrier = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let flow = Flow {
        transport: SipTransport::Tcp,
        local: address(&sockets, SipTransport::Tcp),
        remote: carrier.local_addr().expect("bound"),
    };
    sockets.send(flow, &message("first")).expect("queued");
    let (stream, _) = carrier.accept().expect("connects");
    // The far end reads nothing: the kernel's buffers fill, then ours, then it is refused.
    let big = message(&"x".repeat(60_000));
    let (mut sent, mut refusals) = (0, 0);
    // Until nothing drains into the kernel any more, whose buffers grow for a while.
    while refusals < 40 {
        match sockets.send(flow, &big) {
            Ok(()) => (sent, refusals) = (sent + 1, 0),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                refusals += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert!(sent < 10_000, "nothing bounds the queue");
    }
    let invite = [b"INVITE ".as_slice(), &message("")[8..]].concat();
    let refused = sockets.send(flow, &invite).expect_err("congested");
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    drop(stream);
    assert_eq!(
        events.recv_timeout(PATIENCE),
        Ok(TransportEvent::SendFailed { flow })
    );
    assert_eq!(
        events.recv_timeout(PATIENCE),
        Ok(TransportEvent::Closed { flow })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn hostile_streams_are_cut() {
    let limits = Limits {
        connections_per_source: 2,
        message: Duration::from_millis(200),
        idle: Duration::from_millis(400),
        ..Limits::default()
    };
    let (sockets, events) = bind(limits, 16);
    let local = address(&sockets, SipTransport::Tcp);
    let cut = |bytes: &[u8]| {
        let mut peer = TcpStream::connect(local).expect("accepted");
        peer.set_read_timeout(Some(PATIENCE)).expect("set");
        peer.write_all(bytes).expect("written");
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _reset_or_end = peer.read_to_end(&mut rest);
        assert!(rest.is_empty());
        assert!(matches!(
            events.recv_timeout(PATIENCE),
            Ok(TransportEvent::Closed { .. })
        ));
    };
    cut(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    cut(b"BYE sip:a SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n");
    cut(b"BYE sip:a SIP/2.0\r\nCall-ID: slow");
    cut(b"");
    let kept: Vec<_> = (0..2)
        .map(|_| TcpStream::connect(local).expect("accepted"))
        .collect();
    let mut over = TcpStream::connect(local).expect("the backlog takes it");
    over.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut rest = Vec::new();
    let _reset_or_end = over.read_to_end(&mut rest);
    assert!(sockets.connections() <= 2);
    drop(kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_last_handle_frees_the_port() {
    let (sockets, _events) = bind(Limits::default(), 16);
    let bound = sockets.bound().to_vec();
    let (sink, _other) = channel(1);
    let taken = SipSockets::bind(&bound, Limits::default(), sink.clone());
    let error = taken.expect_err("in use");
    assert!(error.to_string().contains("cannot listen on udp:127.0.0.1"));
    drop(sockets);
    let udp = bound
        .iter()
        .find(|l| l.transport == SipTransport::Udp)
        .expect("bound");
    SipSockets::bind(&[*udp], Limits::default(), sink).expect("free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn datagrams_that_come_back_are_told_and_hold_no_other_one_up() {
    let (sockets, events) = bind(Limits::default(), 1024);
    let local = address(&sockets, SipTransport::Udp);
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    peer.set_read_timeout(Some(PATIENCE)).expect("set");
    let nobody = {
        let gone = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        gone.local_addr().expect("bound")
    };
    let flow = |remote| Flow {
        transport: SipTransport::Udp,
        local,
        remote,
    };
    let there = flow(peer.local_addr().expect("bound"));
    // Many at once: every one comes back, and every one in between arrives.
    let long = message(&"x".repeat(2_000));
    for _ in 0..32 {
        sockets.send(flow(nobody), &long).expect("sent");
        sockets.send(there, &message("here")).expect("sent");
    }
    let mut buffer = [0; 2_048];
    for _ in 0..32 {
        let len = peer.recv(&mut buffer).expect("arrives");
        assert_eq!(&buffer[..len], &message("here")[..]);
    }
    for _ in 0..32 {
        match events.recv_timeout(PATIENCE) {
            Ok(TransportEvent::Unsent { flow: of, bytes }) => {
                assert_eq!(of, flow(nobody));
                // Its beginning, with the first Via.
                assert!(bytes.len() > 300 && long.starts_with(&bytes), "{bytes:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    // It hears as before.
    peer.send_to(&message("back"), local).expect("sent");
    assert_eq!(&received(&events).1[..], &message("back")[..]);
}
