//! The messages of RFC 4475 and RFC 5118 on every transport: what arrives is what was sent, however
//! it was split. What is made of them is tested beside the endpoint (`cargo test -p sip torture`).

use super::{tls::Secured, *};
use sip::{Frame, Framer};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Right, but not to be had on our streams: 34 Via values where 32 are the most; and one without the
/// length that streams need (RFC 3261 section 18.3).
const NOT_ON_STREAMS: [&str; 2] = ["longreq.dat", "inv2543.dat"];

/// Name, class and bytes of every message; none where the folder is not there, which is said.
fn messages() -> Vec<(String, String, Vec<u8>)> {
    let folder: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data/sip-torture");
    let Ok(table) = fs::read_to_string(folder.join("table.tsv")) else {
        eprintln!(
            "SKIPPED: no torture messages at {}; nothing was tested",
            folder.display()
        );
        return Vec::new();
    };
    let row = |line: &str| {
        let mut columns = line.split('\t');
        let (file, class) = (columns.next()?, columns.nth(1)?);
        let bytes = fs::read(folder.join(file)).expect("listed files exist");
        Some((file.to_owned(), class.to_owned(), bytes))
    };
    let found: Vec<_> = table.lines().skip(1).filter_map(row).collect();
    assert!(found.len() >= 61, "{} messages", found.len());
    found
}

/// What a stream with these bytes gives: its messages, and whether it was found broken.
fn framed(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut framer, mut messages) = (Framer::default(), Vec::new());
    if framer.feed(bytes).is_err() {
        return (messages, true);
    }
    loop {
        match framer.next_frame() {
            Ok(Some(Frame::Message(message))) => messages.push(message),
            Ok(Some(Frame::Ping)) => {}
            Ok(None) => return (messages, false),
            Err(_) => return (messages, true),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_torture_message_as_a_datagram() {
    let (sockets, events) = bind(Limits::default(), 16);
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let local = address(&sockets, SipTransport::Udp);
    for (name, _, bytes) in messages() {
        peer.send_to(&bytes, local).expect("sent");
        assert_eq!(&received(&events).1[..], &bytes[..], "{name}");
    }
}

/// Sends a message split at one place, on a stream of its own where it does not end by itself.
fn split_anywhere<S: Read + Write>(
    name: &str,
    bytes: &[u8],
    step: usize,
    events: &mpsc::Receiver<TransportEvent>,
    open: &dyn Fn() -> S,
) {
    let (expected, broken) = framed(bytes);
    let whole = !broken && expected.concat() == bytes;
    let mut stream = open();
    for split in (0..=bytes.len()).step_by(step) {
        // One that was found broken may be closed before its second half is written.
        let sent = (stream.write_all(&bytes[..split]))
            .and_then(|()| stream.flush())
            .and_then(|()| stream.write_all(&bytes[split..]));
        assert!(sent.is_ok() || broken, "{name} at {split}: {sent:?}");
        for message in &expected {
            assert_eq!(&received(events).1[..], &message[..], "{name} at {split}");
        }
        if broken {
            // It is closed, and nothing else came of it.
            match events.recv_timeout(PATIENCE) {
                Ok(TransportEvent::Closed { .. }) => {}
                other => panic!("{name} at {split}: {other:?}"),
            }
            stream = open();
        } else if !whole {
            // It waits for the rest; who leaves now has said nothing.
            drop(stream);
            match events.recv_timeout(PATIENCE) {
                Ok(TransportEvent::Closed { .. }) => {}
                other => panic!("{name} at {split}: {other:?}"),
            }
            stream = open();
        }
    }
    drop(stream);
    match events.recv_timeout(PATIENCE) {
        Ok(TransportEvent::Closed { .. }) => {}
        other => panic!("{name} at its end: {other:?}"),
    }
}

fn wide() -> Limits {
    Limits {
        connections_per_source: 8_192,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_torture_message_on_a_stream_split_at_any_byte() {
    let (sockets, events) = bind(wide(), 1024);
    let local = address(&sockets, SipTransport::Tcp);
    let open = || {
        let stream = TcpStream::connect(local).expect("accepted");
        stream.set_nodelay(true).expect("set");
        stream
    };
    let mut whole = 0;
    for (name, class, bytes) in messages() {
        let (found, _) = framed(&bytes);
        let there = !found.is_empty();
        let right = class.starts_with("valid") && !NOT_ON_STREAMS.contains(&&*name);
        assert!(there || !right, "{name}: {} messages", found.len());
        whole += usize::from(there);
        split_anywhere(&name, &bytes, 1, &events, &open);
    }
    println!("{whole} of them hold a whole message on a stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_torture_message_inside_tls() {
    let secured = Secured::new(wide());
    for (name, _, bytes) in messages() {
        // Each try shakes hands where the message does not end by itself.
        let step = (bytes.len() / 16).max(1);
        split_anywhere(&name, &bytes, step, &secured.events, &|| secured.dial_in());
    }
}
