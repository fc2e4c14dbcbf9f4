//! UDP, TCP and TLS sockets that drive core/sip.
//!
//! [`SipSockets`] sends from any thread without blocking: the engine's own thread calls
//! [`SipSockets::send`], and a UDP datagram has left when it returns. What is received goes into a
//! [`Sink`] of the caller's: the engine's single bounded queue, or a channel from [`channel`]. A full
//! sink costs datagrams (they are repeated by their senders); on TCP it slows the connection down.

mod config;
mod door;
mod export;
mod locate;
mod meters;
mod stir;
mod stream;
mod syscalls;
mod tcp;
mod tls;
mod udp;

pub use config::{BindError, Limits, Listener};
pub use door::Strangers;
pub use export::Exporter;
pub use locate::{LocateError, Located, Locator};
pub use stir::{StirError, StirFiles, load_voucher};
pub use tls::{Tls, TlsError, TlsFiles};

use bytes::Bytes;
use domain::SipTransport;
use door::{Door, Porter};
use meters::Meters;
use parking_lot::Mutex;
use sip::Flow;
use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock, Weak, mpsc},
};
use tcp::Connection;
use tokio::{runtime::Handle, sync::watch};
use udp::UdpListener;

/// What the sockets tell the engine.
#[derive(Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// One SIP message.
    Received {
        /// Where it came from; the way its answer goes.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// A TCP connection is gone, with whatever it had not sent.
    Closed {
        /// Which.
        flow: Flow,
    },
    /// A TCP connection broke with bytes unsent.
    SendFailed {
        /// Which way.
        flow: Flow,
    },
    /// A message reached nobody: its TCP connection could not be opened, or its datagram came back as
    /// undeliverable (ICMP).
    Unsent {
        /// Which way.
        flow: Flow,
        /// The message, or as much of its beginning as came back.
        bytes: Bytes,
    },
}

impl fmt::Debug for TransportEvent {
    /// Sizes only: messages hold telephone numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received { flow, bytes } => write!(f, "Received({flow}, {} bytes)", bytes.len()),
            Self::Closed { flow } => write!(f, "Closed({flow})"),
            Self::SendFailed { flow } => write!(f, "SendFailed({flow})"),
            Self::Unsent { flow, bytes } => write!(f, "Unsent({flow}, {} bytes)", bytes.len()),
        }
    }
}

/// Takes an event; false when it is full and the event was not taken. Called from socket threads: it
/// must not block.
pub type Sink = Arc<dyn Fn(TransportEvent) -> bool + Send + Sync>;

/// A sink in front of a bounded channel, for a thread that waits on nothing else.
pub fn channel(bound: usize) -> (Sink, mpsc::Receiver<TransportEvent>) {
    let (sender, receiver) = mpsc::sync_channel(bound);
    (
        Arc::new(move |event| sender.try_send(event).is_ok()),
        receiver,
    )
}

/// The bound sockets. Clones are handles to the same; the last one dropped closes everything: UDP
/// before `drop` returns, TCP as soon as the runtime gets to it.
#[derive(Clone)]
pub struct SipSockets {
    /// Not in `shared`: tasks of the runtime hold that a little longer.
    udp: Arc<BTreeMap<SocketAddr, UdpListener>>,
    shared: Arc<Shared>,
    _stop: Arc<StopOnDrop>,
}

impl fmt::Debug for SipSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipSockets")
            .field("bound", &self.shared.bound)
            .finish_non_exhaustive()
    }
}

struct Shared {
    bound: Vec<Listener>,
    connections: Mutex<BTreeMap<Flow, Arc<Connection>>>,
    limits: Limits,
    sink: Sink,
    door: Door,
    /// Of the messages of all streams.
    streams: Mutex<Porter>,
    /// Who gets a copy of every message, once somebody does.
    export: OnceLock<Arc<Exporter>>,
    /// Where a listener speaks it.
    tls: Option<Arc<Tls>>,
    meters: Meters,
    runtime: Handle,
    stop: watch::Receiver<bool>,
}

struct StopOnDrop {
    stop: watch::Sender<bool>,
    udp: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.udp.lock().drain(..) {
            // A panic of that thread was printed; there is nothing left to undo.
            drop(thread.join());
        }
    }
}

impl SipSockets {
    /// Binds every listener and starts receiving. TCP and TLS run on the current tokio runtime, each UDP
    /// socket on a thread of its own, so that SIP never waits behind other work.
    ///
    /// # Errors
    /// When an address cannot be bound; nothing stays bound then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(listeners: &[Listener], limits: Limits, sink: Sink) -> Result<Self, BindError> {
        Self::bind_with(listeners, limits, None, sink)
    }

    /// [`SipSockets::bind`], and what listeners with TLS show and trust.
    ///
    /// # Errors
    /// As there, and when a listener speaks TLS without `tls`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind_with(
        listeners: &[Listener],
        limits: Limits,
        tls: Option<Arc<Tls>>,
        sink: Sink,
    ) -> Result<Self, BindError> {
        let (stop, stopped) = watch::channel(false);
        let mut bound = Vec::with_capacity(listeners.len());
        let mut udp = BTreeMap::new();
        let mut tcp = Vec::new();
        for listener in listeners {
            let fail = |source| BindError {
                listener: *listener,
                source,
            };
            let address = match listener.transport {
                SipTransport::Udp => {
                    let socket = UdpListener::bind(listener.address).map_err(fail)?;
                    let address = socket.address();
                    udp.insert(address, socket);
                    address
                }
                SipTransport::Tls if tls.is_none() => {
                    return Err(fail(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "it has no certificate",
                    )));
                }
                transport @ (SipTransport::Tcp | SipTransport::Tls) => {
                    let socket = tcp::bind(listener.address).map_err(fail)?;
                    let address = socket.local_addr().map_err(fail)?;
                    tcp.push((transport, address, socket));
                    address
                }
            };
            bound.push(Listener {
                address,
                ..*listener
            });
        }
        let shared = Arc::new(Shared {
            bound,
            connections: Mutex::default(),
            limits,
            sink,
            door: Door::default(),
            streams: Mutex::new(Porter::new(limits.strangers)),
            export: OnceLock::new(),
            tls,
            meters: Meters::new(),
            runtime: Handle::current(),
            stop: stopped,
        });
        let threads = udp
            .values()
            .map(|socket| udp::receive_on_thread(&shared, socket))
            .collect::<io::Result<Vec<_>>>();
        let sockets = Self {
            udp: Arc::new(udp),
            shared: shared.clone(),
            _stop: Arc::new(StopOnDrop {
                stop,
                udp: Mutex::default(),
            }),
        };
        match threads {
            Ok(threads) => *sockets._stop.udp.lock() = threads,
            Err(source) => {
                let listener = listeners.first().copied().unwrap_or_default();
                return Err(BindError { listener, source });
            }
        }
        for (transport, address, socket) in tcp {
            let accepting = tcp::accept(shared.clone(), transport, address, socket);
            shared.runtime.spawn(accepting);
        }
        Ok(sockets)
    }

    /// What is bound, in the order asked for, with real ports where zero was asked for.
    pub fn bound(&self) -> &[Listener] {
        &self.shared.bound
    }

    /// Sends one message, without blocking.
    ///
    /// UDP: the datagram has left when this returns. One that finds the socket's buffer full is lost
    /// as in the network, and counted. TCP: written at once, or kept in a bounded queue; a missing
    /// connection is opened first. An INVITE is never queued behind unsent bytes: it would leave too
    /// late.
    ///
    /// # Errors
    /// `AddrNotAvailable` when `flow.local` is not bound, `WouldBlock` when a TCP connection is
    /// congested, others from the system. The message did not leave: tell the endpoint with
    /// `Input::Unsent`.
    pub fn send(&self, flow: Flow, bytes: &[u8]) -> io::Result<()> {
        match flow.transport {
            SipTransport::Udp => {
                let socket = self
                    .udp
                    .get(&flow.local)
                    .ok_or_else(|| config::not_bound(flow))?;
                socket.send(&self.shared, flow.remote, bytes)
            }
            SipTransport::Tcp | SipTransport::Tls => tcp::send(&self.shared, flow, bytes),
        }
    }

    /// From now on, who is known here: what becomes of others says [`Limits::strangers`]. Until this is
    /// said for the first time everybody passes.
    pub fn set_guests(&self, guests: impl IntoIterator<Item = IpAddr>) {
        let guests = guests.into_iter().map(|ip| ip.to_canonical());
        self.shared.door.set_guests(guests.collect());
    }

    /// From now on a copy of every message goes there, both ways; those of strangers who are not let in do
    /// not. The first exporter stays.
    pub fn export_to(&self, exporter: Arc<Exporter>) {
        // The second one of the same sockets is a mistake that harms nobody.
        drop(self.shared.export.set(exporter));
    }

    /// Closes a TCP connection, if there is one. `Closed` follows.
    pub fn close(&self, flow: Flow) {
        if let Some(connection) = self.shared.connections.lock().get(&flow) {
            connection.close();
        }
    }

    /// How many TCP connections are open or being opened.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().len()
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    fn copy_sent(&self, flow: Flow, bytes: &[u8]) {
        if let Some(exporter) = self.export.get() {
            exporter.copy(flow, true, bytes);
        }
    }

    fn copy_received(&self, flow: Flow, bytes: &[u8]) {
        if let Some(exporter) = self.export.get() {
            exporter.copy(flow, false, bytes);
        }
    }

    fn weak(self: &Arc<Self>) -> Weak<Self> {
        Arc::downgrade(self)
    }
}

#[cfg(test)]
mod tests;
