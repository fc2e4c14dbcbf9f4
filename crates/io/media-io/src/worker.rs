//! The relay's thread.

use domain::{Instant, Now, limits};
use media::{
    CarryCommand, Exchange, MediaCommand, MediaEvent, Onward, SRTP_ROOM, exchange::TRANSMIT_BYTES,
};
use std::{
    net::SocketAddr,
    os::fd::AsFd,
    sync::{Arc, atomic::Ordering, mpsc::Receiver},
    thread,
    time::Duration,
};

use crate::{
    browser::{BrowserOrder, Browsers, NOWHERE, Wire},
    carried::Carriage,
    clock::now,
    ears::Ears,
    measure::Measures,
    relay::{RelayConfig, Shared, Sink},
    sockets::Pair,
    syscalls::{self, BATCH, Datagrams, Poller},
    tapes::Tapes,
};

/// The wake descriptor's token.
pub(crate) const WAKE: u64 = u64::MAX;

/// The token of the browsers' socket.
pub(crate) const BROWSERS: u64 = u64::MAX - 1;

/// What waits for the relay's thread.
pub(crate) enum Order {
    /// Of a leg.
    Media(MediaCommand),
    /// Of a browser's audio.
    Browser(BrowserOrder),
    /// Of a carried leg.
    Carry(CarryCommand),
}

/// The token of the RTP socket at `place`.
pub(crate) fn rtp_token(place: usize) -> u64 {
    place as u64 * 2
}

/// The token of the RTCP socket at `place`.
pub(crate) fn rtcp_token(place: usize) -> u64 {
    place as u64 * 2 + 1
}

/// How often metrics and CPU time are told, and the longest wait.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How soon an event that the sink had no room for is offered again.
const OFFER_AGAIN: Duration = Duration::from_millis(5);

pub(crate) struct Worker {
    exchange: Exchange,
    pairs: Vec<Pair>,
    /// What the kernel had dropped at each RTP socket when its leg began.
    drops: Vec<u64>,
    poller: Poller,
    queue: Receiver<Order>,
    shared: Arc<Shared>,
    sink: Sink,
    coalesce: Duration,
    niceness: i32,
    datagrams: Datagrams,
    measures: Measures,
    /// An event that the sink had no room for.
    waiting: Option<MediaEvent>,
    ears: Ears,
    browsers: Option<Browsers>,
    /// Events of browsers that their sink had no room for.
    browsers_wait: bool,
    tapes: Option<Tapes>,
    carriage: Carriage,
}

impl Worker {
    pub(crate) fn new(
        config: RelayConfig,
        pairs: Vec<Pair>,
        poller: Poller,
        queue: Receiver<Order>,
        shared: Arc<Shared>,
        sink: Sink,
        (browsers, tapes): (Option<Browsers>, Option<Tapes>),
    ) -> Self {
        Self {
            carriage: Carriage::new(Arc::clone(&shared.wires), pairs.len()),
            exchange: Exchange::new(config.exchange, config.prompts, config.seed),
            drops: vec![0; pairs.len()],
            pairs,
            poller,
            queue,
            shared,
            sink,
            coalesce: config.coalesce,
            niceness: config.niceness,
            datagrams: Datagrams::new(),
            measures: Measures::new(),
            waiting: None,
            ears: Ears::default(),
            browsers,
            browsers_wait: false,
            tapes,
        }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        if let Err(error) = syscalls::set_niceness(self.niceness) {
            tracing::info!(%error, niceness = self.niceness, "the RTP relay runs without priority");
        }
        let mut tell_at = now().monotonic + TELL_EVERY;
        let mut woke_at = Instant::ZERO;
        while !self.shared.stopping.load(Ordering::Acquire) {
            let before = now();
            let (ready, more) = match self.poller.wait(self.patience(before)) {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::error!(%error, "the RTP relay stops: epoll failed");
                    return;
                }
            };
            let now = now();
            let (mut packets, mut full) = (0, more);
            for n in 0..ready {
                let count = self.read(now, self.poller.token(n));
                packets += count;
                full |= count == BATCH;
            }
            packets += self.read_carried(now);
            self.offer_events();
            self.follow_commands(now);
            if let Some(tapes) = &mut self.tapes {
                tapes.look(now.monotonic, &mut self.exchange);
            }
            self.speak(now);
            if let Some((browsers, mut wire)) = self.browsers(now) {
                browsers.handle_timeouts(&mut wire);
            }
            self.ears.look(now.monotonic, &mut self.exchange);
            self.offer_events();
            if now.monotonic >= tell_at {
                tell_at = now.monotonic + TELL_EVERY;
                self.tell();
            }
            // Rest only where wakes follow one another closely: where packets come seldom,
            // resting gains nothing. And not while more waits than was read: all browsers send to
            // one socket.
            let close = now.monotonic.since(woke_at) < self.coalesce * 2;
            woke_at = now.monotonic;
            if close && packets > 0 && !full {
                thread::sleep(self.coalesce);
            }
        }
        let now = now();
        if let Some((browsers, mut wire)) = self.browsers(now) {
            browsers.farewell_all(&mut wire);
        }
        self.tell();
    }

    /// How long to wait for packets at most.
    fn patience(&self, now: Now) -> Duration {
        let mut patience = TELL_EVERY;
        if let Some((due, _)) = self.exchange.poll_timeout() {
            patience = patience.min(due.since(now.monotonic));
        }
        if let Some(due) = self.browsers.as_ref().and_then(Browsers::patience) {
            patience = patience.min(due);
        }
        if self.waiting.is_some() || self.browsers_wait {
            patience = patience.min(OFFER_AGAIN);
        }
        if let Some(soon) = self.tapes.as_ref().and_then(Tapes::patience) {
            patience = patience.min(soon);
        }
        patience
    }

    /// The browsers, and what they need of the rest.
    fn browsers(&mut self, now: Now) -> Option<(&mut Browsers, Wire<'_>)> {
        let wire = Wire {
            now,
            exchange: &mut self.exchange,
            pairs: &self.pairs,
            tapes: self.tapes.as_mut(),
            carriage: &self.carriage,
        };
        Some((self.browsers.as_mut()?, wire))
    }

    /// Reads one ready descriptor; returns how many datagrams it had.
    fn read(&mut self, now: Now, token: u64) -> usize {
        if token == WAKE {
            self.shared.wake.clear();
            return 0;
        }
        if token == BROWSERS {
            return self.read_browsers(now);
        }
        let place = (token / 2) as usize;
        let pair = &self.pairs[place];
        let rtcp = token % 2 == 1;
        let socket = if rtcp { &pair.rtcp } else { &pair.rtp };
        // Level-triggered: what is left over, and what failed, comes up again.
        let Ok(count) = self.datagrams.receive(socket.as_fd()) else {
            return 0;
        };
        let mut onwards: [Option<Onward>; BATCH] = [const { None }; BATCH];
        for (n, onward) in onwards.iter_mut().enumerate().take(count) {
            match self.datagrams.datagram(n) {
                // What a browser's leg takes comes from its session, never from a network.
                (Some(from), _) if from == NOWHERE => self.exchange.receive_oversized(place),
                (Some(from), Some(bytes)) if rtcp => {
                    self.exchange.receive_rtcp(now, place, from, bytes);
                }
                (Some(from), Some(bytes)) => {
                    *onward = self.exchange.receive(now, place, from, bytes);
                    if let Some(tapped) = self.exchange.tapped() {
                        let exchange = &mut self.exchange;
                        self.ears.hear(now.monotonic, exchange, &tapped, bytes);
                    }
                    if let Some(tapes) = &mut self.tapes
                        && let Some(taped) = self.exchange.taped()
                    {
                        tapes.hear(now.monotonic, &taped, bytes);
                    }
                }
                _ => self.exchange.receive_oversized(place),
            }
        }
        self.pass_on(now, &mut onwards);
        count
    }

    fn read_browsers(&mut self, now: Now) -> usize {
        let Some(browsers) = &mut self.browsers else {
            return 0;
        };
        let Ok(count) = self.datagrams.receive(browsers.socket().as_fd()) else {
            return 0;
        };
        let mut wire = Wire {
            now,
            exchange: &mut self.exchange,
            pairs: &self.pairs,
            tapes: self.tapes.as_mut(),
            carriage: &self.carriage,
        };
        browsers.receive(&mut wire, &mut self.datagrams, count);
        count
    }

    /// Reads what other nodes sent; how many packets it was.
    fn read_carried(&mut self, now: Now) -> usize {
        let came = self.carriage.take();
        for (from, datagram) in &came {
            let mut buffer = [0; limits::RTP_BYTES + SRTP_ROOM];
            let Some((place, packet)) = self.carriage.read(*from, datagram) else {
                continue;
            };
            if packet.len() > limits::RTP_BYTES {
                self.exchange.receive_oversized(place);
                continue;
            }
            let room = &mut buffer[..packet.len()];
            room.copy_from_slice(packet);
            let onward = self.exchange.receive(now, place, NOWHERE, room);
            if let Some(tapes) = &mut self.tapes
                && let Some(taped) = self.exchange.taped()
            {
                tapes.hear(now.monotonic, &taped, &buffer);
            }
            if let Some(onward) = onward {
                self.send_one(now, onward, &mut buffer);
            }
        }
        let count = came.len();
        self.carriage.put_back(came);
        count
    }

    /// Sends one packet of `buffer`: to a browser, to another node, or from its leg's socket.
    fn send_one(&mut self, now: Now, onward: Onward, buffer: &mut [u8]) {
        let Onward {
            place, to, bytes, ..
        } = onward;
        if self.carriage.speaks_for(place) {
            return (self.carriage).send(&mut self.exchange, place, &buffer[bytes]);
        }
        if self.browsers.as_ref().is_some_and(|b| b.speaks_for(place)) {
            if let Some((browsers, mut wire)) = self.browsers(now) {
                browsers.send(&mut wire, place, &buffer[bytes]);
            }
            return;
        }
        let Some(bytes) = self.exchange.seal(place, buffer, bytes) else {
            return;
        };
        if self.pairs[place].rtp.send_to(&buffer[bytes], to).is_err() {
            self.exchange.unsent(place, 1);
        }
    }

    /// Sends the packets of one read. They all go to one leg: no command comes between.
    fn pass_on(&mut self, now: Now, onwards: &mut [Option<Onward>; BATCH]) {
        if let Some(browsers) = &mut self.browsers
            && let Some(first) = onwards.iter().flatten().next()
            && browsers.speaks_for(first.place)
        {
            let mut wire = Wire {
                now,
                exchange: &mut self.exchange,
                pairs: &self.pairs,
                tapes: self.tapes.as_mut(),
                carriage: &self.carriage,
            };
            for (n, onward) in onwards.iter().enumerate() {
                if let Some(onward) = onward {
                    let bytes = self.datagrams.bytes(n, onward.bytes.clone());
                    browsers.send(&mut wire, onward.place, bytes);
                }
            }
            return;
        }
        if let Some(first) = onwards.iter().flatten().next()
            && self.carriage.speaks_for(first.place)
        {
            for (n, onward) in onwards.iter().enumerate() {
                if let Some(onward) = onward {
                    let bytes = self.datagrams.bytes(n, onward.bytes.clone());
                    (self.carriage).send(&mut self.exchange, onward.place, bytes);
                }
            }
            return;
        }
        for (n, onward) in onwards.iter_mut().enumerate() {
            let Some(sent) = onward else { continue };
            let room = self.datagrams.room(n);
            match self.exchange.seal(sent.place, room, sent.bytes.clone()) {
                Some(bytes) => sent.bytes = bytes,
                None => *onward = None,
            }
        }
        let several = onwards.iter().flatten().nth(1).is_some();
        let mut taken = 0;
        if several && let Some(first) = onwards.iter().flatten().next() {
            let messages = onwards
                .iter()
                .enumerate()
                .filter_map(|(n, onward)| Some((n, onward.as_ref()?)))
                .map(|(n, o)| (o.to, self.datagrams.bytes(n, o.bytes.clone())));
            taken = syscalls::send_batch(self.pairs[first.place].rtp.as_fd(), messages);
        }
        // One alone, or what is behind one that the system would not take.
        let rest = onwards.iter().enumerate();
        for (n, onward) in rest.filter_map(|(n, o)| Some((n, o.as_ref()?))).skip(taken) {
            let bytes = self.datagrams.bytes(n, onward.bytes.clone());
            if self.pairs[onward.place]
                .rtp
                .send_to(bytes, onward.to)
                .is_err()
            {
                self.exchange.unsent(onward.place, 1);
            }
        }
    }

    fn follow_commands(&mut self, now: Now) {
        // Cleared before the queue is read: a command queued meanwhile sets it again.
        if !self.shared.called.load(Ordering::Acquire) || self.waiting.is_some() {
            return;
        }
        self.shared.called.store(false, Ordering::Release);
        while let Ok(order) = self.queue.try_recv() {
            match order {
                Order::Media(command) => self.follow(now, command),
                Order::Browser(order) => {
                    if let Some((browsers, mut wire)) = self.browsers(now) {
                        browsers.follow(&mut wire, order);
                    }
                }
                Order::Carry(command) => self.carriage.follow(now, &mut self.exchange, command),
            }
            self.offer_events();
            if self.waiting.is_some() {
                // The rest waits until the sink has room.
                self.shared.called.store(true, Ordering::Release);
                return;
            }
        }
    }

    fn follow(&mut self, now: Now, command: MediaCommand) {
        let leg = command.leg();
        if let (MediaCommand::Close { .. } | MediaCommand::Snapshot { .. }, Some(place)) =
            (command, self.exchange.place_of(leg))
        {
            if let (MediaCommand::Close { .. }, Some(browsers)) = (command, &mut self.browsers) {
                browsers.release(place);
            }
            if let MediaCommand::Close { .. } = command {
                self.carriage.release(place);
            }
            let dropped = self.dropped(place).saturating_sub(self.drops[place]);
            self.exchange.overflowed(place, dropped);
        }
        match self.exchange.handle(now, command) {
            Ok(()) => {
                self.ears.follow(now.monotonic, &self.exchange, command);
                if let (MediaCommand::Open { .. }, Some(place)) =
                    (command, self.exchange.place_of(leg))
                {
                    self.drops[place] = self.dropped(place);
                }
            }
            Err(reason) => {
                tracing::warn!(?command, %reason, "a media command was refused");
                self.offer(MediaEvent::Rejected { command, reason });
            }
        }
    }

    fn dropped(&self, place: usize) -> u64 {
        syscalls::drops(self.pairs[place].rtp.as_fd())
    }

    /// Prompts, silence, reports.
    fn speak(&mut self, now: Now) {
        self.exchange.handle_timeout(now);
        let mut buffer = [0; TRANSMIT_BYTES];
        while let Some(transmit) = self.exchange.poll_transmit(&mut buffer) {
            if let Some(tapes) = &mut self.tapes
                && let Some(taped) = self.exchange.taped()
            {
                tapes.hear(now.monotonic, &taped, &buffer);
            }
            if let Some(browsers) = &mut self.browsers
                && browsers.speaks_for(transmit.place)
            {
                let mut wire = Wire {
                    now,
                    exchange: &mut self.exchange,
                    pairs: &self.pairs,
                    tapes: self.tapes.as_mut(),
                    carriage: &self.carriage,
                };
                browsers.send(&mut wire, transmit.place, &buffer[..transmit.len]);
                continue;
            }
            if self.carriage.speaks_for(transmit.place) {
                let packet = &buffer[..transmit.len];
                (self.carriage).send(&mut self.exchange, transmit.place, packet);
                continue;
            }
            let sealed = (self.exchange).seal(transmit.place, &mut buffer, 0..transmit.len);
            let Some(bytes) = sealed else { continue };
            let pair = &self.pairs[transmit.place];
            let socket = if transmit.rtcp { &pair.rtcp } else { &pair.rtp };
            let to: SocketAddr = transmit.to;
            if socket.send_to(&buffer[bytes], to).is_err() && !transmit.rtcp {
                self.exchange.unsent(transmit.place, 1);
            }
        }
    }

    fn offer_events(&mut self) {
        if let Some(browsers) = &mut self.browsers {
            self.browsers_wait = !browsers.offer_events();
        }
        if let Some(event) = self.waiting.take() {
            self.offer(event);
        }
        while self.waiting.is_none()
            && let Some(event) = self.exchange.poll_output()
        {
            self.offer(event);
        }
    }

    fn offer(&mut self, event: MediaEvent) {
        if !(self.sink)(event) {
            self.waiting = Some(event);
        }
    }

    fn tell(&mut self) {
        if let Some(browsers) = &mut self.browsers {
            browsers.tell();
        }
        let cpu = syscalls::thread_cpu();
        self.shared
            .cpu
            .store(cpu.as_micros() as u64, Ordering::Relaxed);
        self.measures
            .tell(self.exchange.traffic(), self.exchange.open_legs(), cpu);
        self.measures.tell_supervised(self.exchange.supervised());
    }
}
