//! TCP and TLS: accepted and opened connections, framed by Content-Length, bounded in every way.

use crate::{
    Shared, TransportEvent,
    config::not_bound,
    door::{Admission, Porter, Strangers},
    stream::Stream,
};
use bytes::{Buf, Bytes, BytesMut};
use domain::{SipTransport, limits::SEND_GUARD};
use parking_lot::Mutex;
use sip::{Flow, Frame, Framer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    time::{Instant, sleep, timeout, timeout_at},
};

/// Unacknowledged bytes for so long break the connection: an INVITE must not leave the kernel later.
const USER_TIMEOUT: Duration = SEND_GUARD;
/// How long a message waits for its turn before it is asked for again.
const TURN_PAUSE: Duration = Duration::from_millis(50);
/// How long a full sink is waited for before it is asked again.
const SINK_PAUSE: Duration = Duration::from_millis(2);
const READ_BYTES: usize = 16 * 1024;
/// What a new socket takes without waiting for the far end: less than any default of Linux.
const OPENING_BYTES: usize = 16 * 1024;
const BACKLOG: i32 = 1024;

/// What waits to be written.
#[derive(Default)]
struct Unsent {
    bytes: BytesMut,
    /// The connection was never opened, and is given up: nothing waits any more.
    given_up: bool,
}

/// One connection, open or being opened.
pub(crate) struct Connection {
    stream: OnceLock<Stream>,
    unsent: Mutex<Unsent>,
    /// Wakes the writer: there are bytes, or it is to close.
    wake: Notify,
    closing: Notify,
}

impl Connection {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            stream: OnceLock::new(),
            unsent: Mutex::default(),
            wake: Notify::new(),
            closing: Notify::new(),
        })
    }

    fn open(&self, stream: Stream) {
        // Set once, by who made the connection.
        assert!(self.stream.set(stream).is_ok(), "a connection opens once");
    }

    pub(crate) fn close(&self) {
        self.closing.notify_one();
    }

    /// Whether so many bytes leave together when the connection is open: opening it ends before an INVITE
    /// would leave too late (`Limits::connect`), and a new socket takes as much at once.
    fn opens_with(&self, len: usize) -> bool {
        self.stream.get().is_none() && len <= OPENING_BYTES
    }

    /// Writes what the socket takes and keeps the rest, in order.
    fn write(&self, bytes: &[u8], limit: usize) -> io::Result<()> {
        let mut unsent = self.unsent.lock();
        if unsent.given_up {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let unsent = &mut unsent.bytes;
        let mut rest = bytes;
        let stream = self.stream.get();
        if unsent.is_empty() && !stream.is_some_and(Stream::holds_unsent) {
            if let Some(stream) = stream {
                match stream.try_write(bytes) {
                    Ok(written) => rest = &bytes[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                if stream.holds_unsent() {
                    self.wake.notify_one();
                }
            }
        } else if bytes.starts_with(b"INVITE ") && !self.opens_with(unsent.len() + bytes.len()) {
            return Err(congested("an INVITE does not wait behind unsent bytes"));
        }
        if rest.is_empty() {
            return Ok(());
        }
        if unsent.len() + rest.len() > limit {
            // Part of a message may be out: the stream is of no use any more.
            if rest.len() < bytes.len() {
                self.close();
            }
            return Err(congested("the queue of unsent bytes is full"));
        }
        unsent.extend_from_slice(rest);
        self.wake.notify_one();
        Ok(())
    }

    /// Gives up opening it: the messages that waited, none of which left.
    fn give_up(&self) -> Vec<Vec<u8>> {
        let mut unsent = self.unsent.lock();
        unsent.given_up = true;
        let bytes = unsent.bytes.split();
        drop(unsent);
        let (mut framer, mut messages) = (Framer::default(), Vec::new());
        for piece in bytes.chunks(READ_BYTES) {
            // They are our own: they can be framed.
            if framer.feed(piece).is_err() {
                break;
            }
            while let Ok(Some(frame)) = framer.next_frame() {
                if let Frame::Message(message) = frame {
                    messages.push(message);
                }
            }
        }
        messages
    }

    /// Writes what waits, as the socket takes it. Returns when the connection breaks.
    async fn flush(&self, stream: &Stream) -> io::Result<()> {
        loop {
            if self.unsent.lock().bytes.is_empty() && !stream.holds_unsent() {
                self.wake.notified().await;
                continue;
            }
            stream.writable().await?;
            let mut unsent = self.unsent.lock();
            if !stream.push()? || unsent.bytes.is_empty() {
                continue;
            }
            match stream.try_write(&unsent.bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => unsent.bytes.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn congested(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, what)
}

pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Accepts until stopped.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    transport: SipTransport,
    local: SocketAddr,
    listener: TcpListener,
) {
    let mut stop = shared.stop.clone();
    // Of connections, beside what is said on them: with TLS each one costs a handshake.
    let mut porter = Porter::new(shared.limits.strangers);
    loop {
        let accepted = tokio::select! {
            _ = stop.changed() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: accepting at once would only spin.
                tracing::warn!(%local, %error, "TCP accept failed");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let flow = Flow {
            transport,
            local,
            remote,
        };
        let strangers = shared.limits.strangers;
        if !shared.door.may_connect(strangers, remote.ip()) {
            shared.meters.strangers.increment(1);
            continue;
        }
        match porter.admits(&shared.door, remote.ip()) {
            Admission::Passes => {}
            refused => {
                shared.meters.refused_at_the_door(refused);
                continue;
            }
        }
        if !has_room(&shared, flow) || set_up(&stream).is_err() {
            shared.meters.refused.increment(1);
            continue;
        }
        let connection = Connection::new();
        shared.connections.lock().insert(flow, connection.clone());
        if transport == SipTransport::Tls {
            // What it costs to shake hands with a stranger is bounded: one of so many connections, for
            // so long.
            let opening = secured(shared.clone(), flow, stream, Peer::Client);
            (shared.runtime).spawn(opened(shared.weak(), flow, connection, opening));
        } else {
            connection.open(Stream::Plain(stream));
            shared.runtime.spawn(run(shared.weak(), flow, connection));
        }
    }
}

/// Whether one more connection may be taken. Strangers never take the last quarter of all: a phone that
/// was here before finds room.
fn has_room(shared: &Shared, flow: Flow) -> bool {
    let ip = flow.remote.ip();
    let limits = &shared.limits;
    let (most, per_source) = match shared.door.is_stranger(limits.strangers, ip) {
        true => (limits.connections / 4 * 3, limits.connections_per_stranger),
        false => (limits.connections, limits.connections_per_source),
    };
    let connections = shared.connections.lock();
    connections.len() < most
        && connections.keys().filter(|f| f.remote.ip() == ip).count() < per_source
}

/// Waits until a message of that address may be looked at: what it cannot say yet stays in its socket.
async fn turn(shared: &Shared, flow: Flow) {
    if shared.limits.strangers != Strangers::Metered {
        return;
    }
    let admits = || (shared.streams.lock()).admits(&shared.door, flow.remote.ip());
    if admits() == Admission::Passes {
        return;
    }
    shared.meters.held.increment(1);
    loop {
        sleep(TURN_PAUSE).await;
        if admits() == Admission::Passes {
            return;
        }
    }
}

/// Sends on an open connection, or opens one with these bytes first.
pub(crate) fn send(shared: &Arc<Shared>, flow: Flow, bytes: &[u8]) -> io::Result<()> {
    let limit = shared.limits.unsent_bytes;
    let mut connections = shared.connections.lock();
    let connection = match connections.get(&flow) {
        Some(connection) => connection.clone(),
        None => {
            let bound = shared
                .bound
                .iter()
                .any(|l| l.transport == flow.transport && l.address == flow.local);
            if !bound {
                return Err(not_bound(flow));
            }
            if connections.len() >= shared.limits.connections {
                shared.meters.refused.increment(1);
                return Err(congested("the bound of TCP connections is reached"));
            }
            let connection = Connection::new();
            connections.insert(flow, connection.clone());
            let opening = open(shared.clone(), flow);
            (shared.runtime).spawn(opened(shared.weak(), flow, connection.clone(), opening));
            connection
        }
    };
    drop(connections);
    connection.write(bytes, limit)?;
    shared.meters.messages_out.increment(1);
    shared.copy_sent(flow, bytes);
    shared.meters.bytes_out.increment(bytes.len() as u64);
    Ok(())
}

/// Waits for a connection to be open, then is its life.
async fn opened(
    shared: Weak<Shared>,
    flow: Flow,
    connection: Arc<Connection>,
    opening: impl Future<Output = io::Result<Stream>>,
) {
    let Some(patience) = shared.upgrade().map(|shared| shared.limits.connect) else {
        return;
    };
    let opened = timeout(patience, opening).await;
    match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => {
            connection.open(stream);
            run(shared, flow, connection).await;
        }
        Err(error) => {
            if flow.transport == SipTransport::Tls {
                // Mostly a certificate: without a word nobody would find out.
                tracing::warn!(%flow, %error, "TLS connection cannot be opened");
            } else {
                tracing::debug!(%flow, %error, "TCP connection cannot be opened");
            }
            if let Some(shared) = shared.upgrade() {
                forget(&shared, flow, &connection);
                for message in connection.give_up() {
                    let bytes = Bytes::from(message);
                    tell(&shared, TransportEvent::Unsent { flow, bytes }).await;
                }
            }
        }
    }
}

async fn open(shared: Arc<Shared>, flow: Flow) -> io::Result<Stream> {
    let socket = match flow.remote {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Carriers know us by our address: leave by the one the flow names.
    if !flow.local.ip().is_unspecified() {
        socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
    }
    let stream = socket.connect(flow.remote).await?;
    set_up(&stream)?;
    match flow.transport {
        SipTransport::Tls => secured(shared, flow, stream, Peer::Server).await,
        _ => Ok(Stream::Plain(stream)),
    }
}

/// Which side of the handshake the other one is.
enum Peer {
    Client,
    Server,
}

async fn secured(
    shared: Arc<Shared>,
    flow: Flow,
    stream: TcpStream,
    peer: Peer,
) -> io::Result<Stream> {
    let tls = shared.tls.as_ref().expect("bound with TLS");
    let connection = match peer {
        Peer::Client => tls.to_client(),
        Peer::Server => tls.to_server(flow.remote),
    };
    Stream::secured(stream, connection.map_err(io::Error::other)?).await
}

fn forget(shared: &Shared, flow: Flow, connection: &Arc<Connection>) {
    let mut connections = shared.connections.lock();
    if connections
        .get(&flow)
        .is_some_and(|c| Arc::ptr_eq(c, connection))
    {
        connections.remove(&flow);
    }
}

/// Hands an event over, however long the sink is full: on TCP nothing is repeated.
async fn tell(shared: &Shared, event: TransportEvent) {
    while !(shared.sink)(event.clone()) {
        if shared.is_stopped() {
            return;
        }
        sleep(SINK_PAUSE).await;
    }
}

/// An open connection's life.
async fn run(shared: Weak<Shared>, flow: Flow, connection: Arc<Connection>) {
    let Some(this) = shared.upgrade() else { return };
    let mut stop = this.stop.clone();
    this.meters.connections.increment(1.0);
    let stream = connection.stream.get().expect("opened by the caller");
    let ended = tokio::select! {
        _ = stop.changed() => Ok(()),
        () = connection.closing.notified() => Ok(()),
        ended = read(&this, flow, &connection, stream) => ended,
        ended = connection.flush(stream) => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%flow, %error, "TCP connection ended");
    }
    this.meters.connections.decrement(1.0);
    forget(&this, flow, &connection);
    if !connection.unsent.lock().bytes.is_empty() {
        tell(&this, TransportEvent::SendFailed { flow }).await;
    }
    tell(&this, TransportEvent::Closed { flow }).await;
}

async fn read(
    shared: &Shared,
    flow: Flow,
    connection: &Connection,
    stream: &Stream,
) -> io::Result<()> {
    let mut framer = Framer::default();
    let mut buffer = vec![0; READ_BYTES];
    // When the message begun must be whole.
    let mut whole_by = None;
    loop {
        let idle = Instant::now() + shared.limits.idle;
        let len = loop {
            match stream.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timeout_at(whole_by.unwrap_or(idle), stream.readable()).await??;
                }
                Err(error) => return Err(error),
            }
        };
        shared.meters.bytes_in.increment(len as u64);
        let bad = |error| {
            shared.meters.bad_framing.increment(1);
            io::Error::new(io::ErrorKind::InvalidData, error)
        };
        framer.feed(&buffer[..len]).map_err(bad)?;
        let mut got = false;
        while let Some(frame) = framer.next_frame().map_err(bad)? {
            got = true;
            match frame {
                Frame::Ping => connection.write(b"\r\n", shared.limits.unsent_bytes)?,
                Frame::Message(message) => {
                    turn(shared, flow).await;
                    shared.meters.messages_in.increment(1);
                    shared.copy_received(flow, &message);
                    let bytes = Bytes::from(message);
                    tell(shared, TransportEvent::Received { flow, bytes }).await;
                }
            }
        }
        whole_by = match (framer.is_waiting(), whole_by, got) {
            (false, ..) => None,
            (true, Some(by), false) => Some(by),
            (true, ..) => Some(Instant::now() + shared.limits.message),
        };
    }
}
