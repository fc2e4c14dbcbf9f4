//! Copies for a collector.

use super::*;

/// The text behind the packet's last chunk head, which is the payload's.
fn payload(packet: &[u8]) -> &[u8] {
    assert_eq!(&packet[..4], b"HEP3");
    let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    assert_eq!(len, packet.len());
    let mut at = 6;
    loop {
        let len = usize::from(u16::from_be_bytes([packet[at + 4], packet[at + 5]]));
        if at + len == packet.len() {
            return &packet[at + 6..];
        }
        at += len;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_message_is_copied_and_those_of_strangers_are_not() {
    let limits = Limits {
        strangers: Strangers::Refused,
        ..Limits::default()
    };
    let (sockets, events) = bind(limits, 64);
    let collector = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    collector.set_read_timeout(Some(PATIENCE)).expect("set");
    let at = collector.local_addr().expect("bound");
    sockets.export_to(Arc::new(Exporter::new(at, 1).expect("a way")));
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let (udp, tcp) = (
        address(&sockets, SipTransport::Udp),
        address(&sockets, SipTransport::Tcp),
    );
    sockets.set_guests([]);
    peer.send_to(b"of a stranger", udp).expect("sent");
    // Heard before the next one: the counter of this socket's own thread.
    let away: IpAddr = "127.0.0.1".parse().expect("address");
    let mut stream = TcpStream::connect(tcp).expect("refused after it was taken");
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    sockets.set_guests([away]);
    let mut buffer = vec![0; 65_536];
    let mut copied = |expected: &[u8]| {
        let len = collector.recv(&mut buffer).expect("a copy comes");
        assert_eq!(payload(&buffer[..len]), expected);
    };

    peer.send_to(b"by datagram", udp).expect("sent");
    let (flow, bytes) = received(&events);
    // The stranger's datagram may have been read after the guests were said.
    let first = match &bytes[..] {
        b"of a stranger" => {
            copied(b"of a stranger");
            received(&events).1
        }
        _ => bytes,
    };
    assert_eq!(&first[..], b"by datagram");
    copied(b"by datagram");
    sockets.send(flow, b"the answer").expect("it leaves");
    copied(b"the answer");

    let mut stream = TcpStream::connect(tcp).expect("connected");
    let framed = message("by stream");
    stream.write_all(&framed).expect("sent");
    let (flow, _) = received(&events);
    copied(&framed);
    sockets.send(flow, &message("back")).expect("it leaves");
    copied(&message("back"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_is_not_there_costs_no_message() {
    let (sockets, _events) = bind(Limits::default(), 64);
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let at = nobody.local_addr().expect("bound");
    drop(nobody);
    sockets.export_to(Arc::new(Exporter::new(at, 1).expect("a way")));
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    peer.set_read_timeout(Some(PATIENCE)).expect("set");
    let flow = Flow {
        transport: SipTransport::Udp,
        local: address(&sockets, SipTransport::Udp),
        remote: peer.local_addr().expect("bound"),
    };
    let mut buffer = [0; 16];
    for n in 0..100u8 {
        sockets.send(flow, &[n]).expect("it leaves");
        assert_eq!(peer.recv(&mut buffer).expect("it came"), 1);
        assert_eq!(buffer[0], n);
    }
}
