//! Starting, commanding and stopping a relay.

use domain::limits;
use media::{
    BrowserCommand, BrowserId, CarryCommand, ExchangeConfig, MediaCommand, MediaEvent, Prompts,
    Seed,
};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    browser::{
        Arrival, BeginError, BrowserConfig, BrowserGate, BrowserOrder, BrowserSink, Browsers,
    },
    carried::{CarriedGate, Wires},
    sockets,
    syscalls::{Poller, Wake},
    tapes::Tapes,
    worker::{self, Order, Worker},
};

/// Bytes of the browsers' socket's receive buffer: one socket for all of them. The system may give less.
const BROWSERS_BUFFER: usize = 4 * 1024 * 1024;

/// What a relay needs to know.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The address that its sockets are bound to: the one that SDP tells. IPv4 or IPv6, as the
    /// trunks have it.
    pub bind: IpAddr,
    /// Ports and timings.
    pub exchange: ExchangeConfig,
    /// What can be played.
    pub prompts: Prompts,
    /// Where SSRCs and the like come from.
    pub seed: Seed,
    /// When wakes follow one another closely, the thread rests so long between two: more packets
    /// a wake, and so much more delay. Zero never rests. Of 200 calls the default takes a third of the
    /// relay's CPU away and adds some 3 ms of delay at the 99th percentile
    /// (`cargo bench -p media-io --bench relay -- --coalesce-us 2000`, and with 0 beside it).
    pub coalesce: Duration,
    /// Bytes of a socket's receive buffer; the kernel charges some 750 for a packet, so 64 KiB
    /// hold about 1.7 s of a leg.
    pub receive_buffer: usize,
    /// Scheduling niceness of the relay's thread, -20 (first) to 19: voice must not wait behind
    /// reports. Needs `LimitNICE` or `CAP_SYS_NICE` below zero; without them the thread runs as
    /// the others do.
    pub niceness: i32,
}

impl RelayConfig {
    /// The usual behaviour: a rest of 2 ms, 64 KiB of buffer, niceness -15.
    pub fn new(bind: IpAddr, exchange: ExchangeConfig, prompts: Prompts, seed: Seed) -> Self {
        Self {
            bind,
            exchange,
            prompts,
            seed,
            coalesce: Duration::from_millis(2),
            receive_buffer: 64 * 1024,
            niceness: -15,
        }
    }
}

/// A relay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error(
        "the RTP port {addr} cannot be bound; choose a free range outside the system's \
         ephemeral ports, an address of this machine, and allow two open files a port"
    )]
    Bind {
        /// Which.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The browsers' port cannot be bound.
    #[error(
        "the UDP port {addr} for browsers' audio cannot be bound; choose a free one of this machine"
    )]
    BindBrowsers {
        /// Which.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Browsers need an address to send to.
    #[error("browsers cannot send to {addr}; give the address that they reach this node by")]
    BrowserAddress {
        /// What they would be told.
        addr: SocketAddr,
    },
    /// No certificate for DTLS.
    #[error("the certificate for browsers' audio cannot be made")]
    Certificate,
    /// Epoll, eventfd or the thread.
    #[error("the system refused the RTP relay its {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// A command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too many are waiting; try again when events were taken.
    #[error("{} commands wait for the RTP relay already", limits::RELAY_COMMANDS)]
    Busy,
    /// The relay has stopped.
    #[error("the RTP relay has stopped")]
    Stopped,
}

/// Takes one event; false when it has no room now, and the same event is offered again soon.
pub(crate) type Sink = Box<dyn Fn(MediaEvent) -> bool + Send + Sync>;

/// What the handle and the thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) wake: Wake,
    /// Commands were queued since the thread last looked.
    pub(crate) called: AtomicBool,
    /// Something is queued that shall be looked at, and `called` is to say so yet.
    later: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// Microseconds of CPU, as of the last second.
    pub(crate) cpu: AtomicU64,
    /// To and from other nodes.
    pub(crate) wires: Arc<Wires>,
}

/// The RTP relay; see [`Relay::start`].
#[derive(Debug)]
pub struct Relay;

impl Relay {
    /// Binds all ports of the range and starts the relay's thread. Install the metrics recorder
    /// before: its counters are looked up here.
    ///
    /// `sink` is called on the relay's thread with each event and must not wait: false means
    /// "not now", and the same event comes again, before any other. While events wait, no
    /// command is taken.
    ///
    /// # Errors
    /// When a port cannot be bound or the system refuses a descriptor or the thread.
    pub fn start(config: RelayConfig, sink: Sink) -> Result<RelayHandle, StartError> {
        Self::start_with(config, sink, None, None)
    }

    /// The same, and browsers' audio beside it. `told` is to `sink` as it stands for browsers' events.
    ///
    /// # Errors
    /// As [`Relay::start`], and when the browsers' port cannot be bound or their address not be used.
    pub fn start_with_browsers(
        config: RelayConfig,
        sink: Sink,
        browsers: BrowserConfig,
        told: BrowserSink,
    ) -> Result<RelayHandle, StartError> {
        Self::start_with(config, sink, Some((browsers, told)), None)
    }

    /// As [`Relay::start`]; what is said in recorded bridges goes to whoever reads `tapes`. Without
    /// them nothing is recorded.
    ///
    /// # Errors
    /// As [`Relay::start`].
    pub fn start_recording(
        config: RelayConfig,
        sink: Sink,
        tapes: Option<Tapes>,
    ) -> Result<RelayHandle, StartError> {
        Self::start_with(config, sink, None, tapes)
    }

    /// All of it: [`Relay::start_with_browsers`] and [`Relay::start_recording`].
    ///
    /// # Errors
    /// As those.
    pub fn start_with(
        config: RelayConfig,
        sink: Sink,
        browsers: Option<(BrowserConfig, BrowserSink)>,
        tapes: Option<Tapes>,
    ) -> Result<RelayHandle, StartError> {
        let system = |what| move |source| StartError::System { what, source };
        let pairs = sockets::bind_all(config.bind, config.exchange.ports, config.receive_buffer)?;
        let shared = Arc::new(Shared {
            wake: Wake::new().map_err(system("eventfd"))?,
            called: AtomicBool::new(false),
            later: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            cpu: AtomicU64::new(0),
            wires: Arc::default(),
        });
        let poller = Poller::new(512).map_err(system("epoll set"))?;
        poller
            .add(shared.wake.file().as_fd(), worker::WAKE)
            .map_err(system("place in the epoll set"))?;
        for (place, pair) in pairs.iter().enumerate() {
            for (socket, token) in [
                (&pair.rtp, worker::rtp_token(place)),
                (&pair.rtcp, worker::rtcp_token(place)),
            ] {
                poller
                    .add(socket.as_fd(), token)
                    .map_err(system("place in the epoll set"))?;
            }
        }
        let browsers = match browsers {
            Some((browsers, told)) => Some(open_browsers(browsers, told, pairs.len())?),
            None => None,
        };
        let gate = browsers.as_ref().map(|(_, gate, _)| gate.clone());
        let address = browsers.as_ref().map(|(_, _, address)| *address);
        if let Some((browsers, ..)) = &browsers {
            poller
                .add(browsers.socket().as_fd(), worker::BROWSERS)
                .map_err(system("place in the epoll set"))?;
        }
        let browsers = browsers.map(|(browsers, ..)| browsers);
        let (commands, queue) = sync_channel(limits::RELAY_COMMANDS);
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("rtp-relay".to_owned())
            .spawn(move || {
                let beside = (browsers, tapes);
                Worker::new(config, pairs, poller, queue, theirs, sink, beside).run();
            })
            .map_err(system("thread"))?;
        Ok(RelayHandle {
            commands,
            shared,
            thread: Some(thread),
            gate,
            address,
        })
    }
}

/// The browsers' sessions, their gate, and the bound address.
fn open_browsers(
    config: BrowserConfig,
    told: BrowserSink,
    places: usize,
) -> Result<(Browsers, BrowserGate, SocketAddr), StartError> {
    let addr = config.listen;
    let bind = |source| StartError::BindBrowsers { addr, source };
    let socket = sockets::bind(addr, BROWSERS_BUFFER).map_err(bind)?;
    let bound = socket.local_addr().map_err(bind)?;
    let addr = config.advertise.unwrap_or(bound);
    if addr.ip().is_unspecified() || addr.ip().is_multicast() || addr.port() == 0 {
        return Err(StartError::BrowserAddress { addr });
    }
    let gate = BrowserGate::new(addr).ok_or(StartError::Certificate)?;
    let browsers = Browsers::new(socket, addr, gate.clone(), told, places);
    Ok((browsers, gate, bound))
}

/// A running relay. Dropping it stops the thread and closes the ports.
pub struct RelayHandle {
    commands: SyncSender<Order>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    gate: Option<BrowserGate>,
    address: Option<SocketAddr>,
}

impl fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayHandle")
            .field("cpu", &self.cpu())
            .finish_non_exhaustive()
    }
}

impl RelayHandle {
    /// Queues a command. Commands are followed in their order; one that cannot be is answered by
    /// [`MediaEvent::Rejected`].
    ///
    /// # Errors
    /// When [`limits::RELAY_COMMANDS`] wait already, or the relay stopped.
    pub fn send(&self, command: MediaCommand) -> Result<(), SendError> {
        self.queue(Order::Media(command))
    }

    /// Queues a command of a round without waking the relay for it: [`RelayHandle::flush`] does, once
    /// for all. Whoever does not flush may wait for the next command that wakes.
    ///
    /// # Errors
    /// As [`RelayHandle::send`].
    pub fn send_later(&self, command: MediaCommand) -> Result<(), SendError> {
        self.put(Order::Media(command))?;
        // A leg that is opened has nowhere to send to and nobody to hear before a later command.
        if !matches!(command, MediaCommand::Open { .. }) {
            self.shared.later.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Wakes the relay where [`RelayHandle::send_later`] queued what cannot wait.
    pub fn flush(&self) {
        if self.shared.later.swap(false, Ordering::Relaxed) {
            self.call();
        }
    }

    /// Queues a command of browsers' audio, in one order with the others. Without browsers it is
    /// nobody's.
    ///
    /// # Errors
    /// As [`RelayHandle::send`].
    pub fn send_browser(&self, command: BrowserCommand) -> Result<(), SendError> {
        self.queue(Order::Browser(BrowserOrder::Command(command)))
    }

    /// Queues a command of carried legs, in one order with the others.
    ///
    /// # Errors
    /// As [`RelayHandle::send`].
    pub fn send_carry(&self, command: CarryCommand) -> Result<(), SendError> {
        self.queue(Order::Carry(command))
    }

    /// The way to other nodes, for calls whose other side is there.
    pub fn carried(&self) -> CarriedGate {
        CarriedGate(Arc::clone(&self.shared))
    }

    /// Where offers are answered; none on a relay without browsers.
    pub fn browsers(&self) -> Option<&BrowserGate> {
        self.gate.as_ref()
    }

    /// The bound address of browsers' audio.
    pub fn browser_address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Begins the session of an answered offer. From then on it is told of, once up and once down.
    ///
    /// # Errors
    /// When [`limits::BROWSERS`] are there already, or the relay does not take it.
    pub fn begin_browser(&self, id: BrowserId, arrival: Arrival) -> Result<(), BeginError> {
        let Some(gate) = &self.gate else {
            return Err(BeginError::Send(SendError::Stopped));
        };
        if !gate.take_place() {
            return Err(BeginError::Full);
        }
        let order = Order::Browser(BrowserOrder::Begin(id, Box::new(arrival)));
        self.queue(order).map_err(|error| {
            gate.give_place_back();
            BeginError::Send(error)
        })
    }

    fn queue(&self, order: Order) -> Result<(), SendError> {
        self.put(order)?;
        self.call();
        Ok(())
    }

    fn put(&self, order: Order) -> Result<(), SendError> {
        self.commands.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Busy,
            TrySendError::Disconnected(_) => SendError::Stopped,
        })
    }

    fn call(&self) {
        if !self.shared.called.swap(true, Ordering::AcqRel) {
            self.shared.wake.notify();
        }
    }

    /// CPU time of the relay's thread, as of the last second.
    pub fn cpu(&self) -> Duration {
        Duration::from_micros(self.shared.cpu.load(Ordering::Relaxed))
    }

    /// Whether its thread still runs.
    pub fn is_running(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.wake.notify();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the RTP relay's thread had died of a panic; calls had no sound");
        }
    }
}
