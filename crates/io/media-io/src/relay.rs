//! Starting, commanding and stopping a relay.

use domain::limits;
use media::{ExchangeConfig, MediaCommand, MediaEvent, Prompts, Seed};
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
    sockets,
    syscalls::{Poller, Wake},
    tapes::Tapes,
    worker::{self, Worker},
};

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
    /// a wake, and so much more delay. Zero, the default, never rests: what it saves in CPU has
    /// not been shown on a quiet machine, what it costs in delay is plain.
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
    /// The usual behaviour: no rest, 64 KiB of buffer, niceness -15.
    pub fn new(bind: IpAddr, exchange: ExchangeConfig, prompts: Prompts, seed: Seed) -> Self {
        Self {
            bind,
            exchange,
            prompts,
            seed,
            coalesce: Duration::ZERO,
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
    pub(crate) stopping: AtomicBool,
    /// Microseconds of CPU, as of the last second.
    pub(crate) cpu: AtomicU64,
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
        Self::start_recording(config, sink, None)
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
        let system = |what| move |source| StartError::System { what, source };
        let pairs = sockets::bind_all(config.bind, config.exchange.ports, config.receive_buffer)?;
        let shared = Arc::new(Shared {
            wake: Wake::new().map_err(system("eventfd"))?,
            called: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            cpu: AtomicU64::new(0),
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
        let (commands, queue) = sync_channel(limits::RELAY_COMMANDS);
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("rtp-relay".to_owned())
            .spawn(move || Worker::new(config, pairs, poller, queue, theirs, sink, tapes).run())
            .map_err(system("thread"))?;
        Ok(RelayHandle {
            commands,
            shared,
            thread: Some(thread),
        })
    }
}

/// A running relay. Dropping it stops the thread and closes the ports.
pub struct RelayHandle {
    commands: SyncSender<MediaCommand>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
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
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => SendError::Busy,
                TrySendError::Disconnected(_) => SendError::Stopped,
            })?;
        if !self.shared.called.swap(true, Ordering::AcqRel) {
            self.shared.wake.notify();
        }
        Ok(())
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
