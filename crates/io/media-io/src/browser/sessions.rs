//! All browsers' sessions of one relay thread: whose a datagram is, and a packet's way between a
//! session and its leg.

use domain::{Codec, LegId, Now, limits};
use media::{
    BROWSER_EVENT, BrowserCommand, BrowserEnd, BrowserEvent, BrowserId, Exchange, MediaCommand,
    PeerReport, g711,
    rtp::{HEADER, Header},
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};
use str0m::{
    Event, IceConnectionState, Input, Output, Rtc,
    media::Mid,
    net::{Protocol, Receive},
    rtp::{RtpPacket, RtpWrite},
    stats::MediaEgressStats,
};

use super::{
    Arrival, BrowserGate, BrowserOrder, BrowserSink,
    measure::{Measures, Stray},
    numbers::Numbers,
    stun,
};
use crate::{carried::Carriage, sockets::Pair, syscalls::Datagrams, tapes::Tapes};

/// Where a browser's leg says that its peer is. Packets go from session to leg within the thread; no
/// network carries this address (RFC 6666), and a datagram that claims it is refused.
pub(crate) const NOWHERE: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1)), 9);

/// Who speaks for the leg at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    /// Whoever its socket hears.
    Socket,
    /// The browser in this slot; none while it is gone.
    Browser(Option<usize>),
}

/// What a session needs of the relay: its legs and their sockets.
pub(crate) struct Wire<'a> {
    pub(crate) now: Now,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) pairs: &'a [Pair],
    /// Where recorded bridges are written; what a browser says in them goes there as any leg's does.
    pub(crate) tapes: Option<&'a mut Tapes>,
    /// Legs that another node carries: a browser may be bridged with one.
    pub(crate) carriage: &'a Carriage,
}

struct Session {
    id: BrowserId,
    /// Allocates as it goes: the payload of each packet once, either way (`Arc<[u8]>`), and a buffer
    /// for each datagram that leaves. Nothing else is allocated on a packet's way.
    rtc: Rtc,
    ufrag: String,
    mid: Mid,
    codec: Codec,
    event: Option<u8>,
    began: Instant,
    up: bool,
    /// The place of its leg.
    place: Option<usize>,
    /// Addresses that its checks came from, oldest first.
    sources: Vec<SocketAddr>,
    /// When it is looked at without a datagram.
    armed: Option<Instant>,
    numbers: Numbers,
    over: Option<BrowserEnd>,
}

/// All sessions.
pub(crate) struct Browsers {
    socket: UdpSocket,
    /// What browsers were told; str0m knows its own candidate by it.
    address: SocketAddr,
    gate: BrowserGate,
    sink: BrowserSink,
    sessions: Vec<Option<Box<Session>>>,
    free: Vec<usize>,
    by_id: HashMap<BrowserId, usize>,
    by_ufrag: HashMap<String, usize>,
    /// At most [`limits::BROWSER_ADDRESSES`] a session.
    by_source: HashMap<SocketAddr, usize>,
    timers: BTreeSet<(Instant, usize)>,
    voices: Vec<Voice>,
    /// At most two a session.
    events: VecDeque<BrowserEvent>,
    measures: Measures,
}

impl Browsers {
    /// `places` is how many legs the relay may have.
    pub(crate) fn new(
        socket: UdpSocket,
        address: SocketAddr,
        gate: BrowserGate,
        sink: BrowserSink,
        places: usize,
    ) -> Self {
        Self {
            socket,
            address,
            gate,
            sink,
            sessions: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_source: HashMap::new(),
            timers: BTreeSet::new(),
            voices: vec![Voice::Socket; places],
            events: VecDeque::new(),
            measures: Measures::new(),
        }
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Whether the leg at `place` is a browser's: then its packets go through [`Self::send`].
    pub(crate) fn speaks_for(&self, place: usize) -> bool {
        self.voices[place] != Voice::Socket
    }

    /// The leg at `place` is closed.
    pub(crate) fn release(&mut self, place: usize) {
        if let Voice::Browser(Some(slot)) = self.voices[place]
            && let Some(session) = &mut self.sessions[slot]
        {
            session.place = None;
        }
        self.voices[place] = Voice::Socket;
    }

    /// How long until a session wants to be looked at.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let (due, _) = self.timers.first()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn tell(&mut self) {
        self.measures.tell(self.by_id.len());
    }

    /// Offers events until the sink has no room. True when all are told.
    pub(crate) fn offer_events(&mut self) -> bool {
        while let Some(event) = self.events.front() {
            if !(self.sink)(*event) {
                return false;
            }
            self.events.pop_front();
        }
        true
    }

    // ---- Orders.

    pub(crate) fn follow(&mut self, wire: &mut Wire<'_>, order: BrowserOrder) {
        match order {
            BrowserOrder::Begin(id, arrival) => self.begin(wire, id, *arrival),
            BrowserOrder::Command(BrowserCommand::Attach { leg, browser }) => {
                self.attach(wire, leg, browser);
            }
            BrowserOrder::Command(BrowserCommand::End { browser }) => {
                if let Some(slot) = self.by_id.get(&browser).copied() {
                    self.farewell(wire, slot);
                }
            }
        }
    }

    fn begin(&mut self, wire: &mut Wire<'_>, id: BrowserId, arrival: Arrival) {
        let Arrival {
            rtc,
            ufrag,
            mid,
            codec,
            event,
        } = arrival;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            self.sessions.len() - 1
        });
        self.by_id.insert(id, slot);
        self.by_ufrag.insert(ufrag.clone(), slot);
        self.sessions[slot] = Some(Box::new(Session {
            id,
            rtc,
            ufrag,
            mid,
            codec,
            event,
            began: Instant::now(),
            up: false,
            place: None,
            sources: Vec::new(),
            armed: None,
            numbers: Numbers::default(),
            over: None,
        }));
        self.with(wire, slot, |_, _, _| {});
    }

    fn attach(&mut self, wire: &mut Wire<'_>, leg: LegId, browser: BrowserId) {
        // Either may have ended while the command was on its way; their ends are told.
        let (Some(place), Some(slot)) = (
            wire.exchange.place_of(leg),
            self.by_id.get(&browser).copied(),
        ) else {
            return;
        };
        self.release(place);
        let Some(session) = &mut self.sessions[slot] else {
            return;
        };
        let before = session.place.replace(place);
        session.numbers.another_leg();
        let (codec, event) = (session.codec, session.event.map(|_| BROWSER_EVENT));
        if let Some(before) = before.filter(|before| *before != place) {
            self.voices[before] = Voice::Browser(None);
        }
        self.voices[place] = Voice::Browser(Some(slot));
        set_remote(wire, leg, codec, event, true);
    }

    /// Ends a session in a way that the browser notices: BYE and DTLS close_notify.
    fn farewell(&mut self, wire: &mut Wire<'_>, slot: usize) {
        self.with(wire, slot, |_, session, _| {
            // What cannot be said is not said; the session ends all the same.
            let _said = session.rtc.close().is_ok();
            session.over = Some(BrowserEnd::Ended);
        });
    }

    /// The relay ends: its browsers are told, rather than left to find out.
    pub(crate) fn farewell_all(&mut self, wire: &mut Wire<'_>) {
        for slot in 0..self.sessions.len() {
            self.farewell(wire, slot);
        }
    }

    fn remove(&mut self, wire: &mut Wire<'_>, slot: usize, why: BrowserEnd) {
        let Some(session) = self.sessions[slot].take() else {
            return;
        };
        self.by_id.remove(&session.id);
        self.by_ufrag.remove(&session.ufrag);
        for source in &session.sources {
            self.by_source.remove(source);
        }
        if let Some(armed) = session.armed {
            self.timers.remove(&(armed, slot));
        }
        if let Some(place) = session.place {
            self.voices[place] = Voice::Browser(None);
            if let Some(leg) = wire.exchange.leg_at(place) {
                set_remote(wire, leg, session.codec, None, false);
            }
        }
        self.free.push(slot);
        self.gate.give_place_back();
        self.measures.ended(why);
        let browser = session.id;
        tracing::info!(%browser, why = why.name(), up = session.up, "a browser's audio ended");
        self.events.push_back(BrowserEvent::Down { browser, why });
    }

    // ---- Datagrams.

    /// Takes what was just read from the browsers' socket.
    pub(crate) fn receive(&mut self, wire: &mut Wire<'_>, datagrams: &mut Datagrams, count: usize) {
        for n in 0..count {
            let (Some(from), Some(bytes)) = datagrams.datagram(n) else {
                self.measures.stray(Stray::Malformed);
                continue;
            };
            if let Err(stray) = self.take(wire, from, bytes) {
                self.measures.stray(stray);
            }
        }
    }

    fn take(&mut self, wire: &mut Wire<'_>, from: SocketAddr, bytes: &[u8]) -> Result<(), Stray> {
        // RFC 7983: the first byte tells STUN (0 to 3) from DTLS and SRTP.
        let check = bytes.first().is_some_and(|first| *first < 4);
        let slot = if check {
            let ufrag = stun::local_ufrag(bytes).ok_or(Stray::Check)?;
            self.by_ufrag.get(ufrag).copied().ok_or(Stray::Check)?
        } else {
            self.by_source.get(&from).copied().ok_or(Stray::Stranger)?
        };
        let contents = bytes.try_into().map_err(|_| Stray::Malformed)?;
        let input = Input::Receive(
            Instant::now(),
            Receive {
                proto: Protocol::Udp,
                source: from,
                destination: self.address,
                contents,
            },
        );
        // The integrity of a check is proved before its address is remembered or anything is answered.
        let session = self.sessions[slot].as_ref().ok_or(Stray::Check)?;
        if !session.rtc.accepts(&input) {
            return Err(if check { Stray::Check } else { Stray::Stranger });
        }
        self.measures.datagrams_in += 1;
        if check {
            self.learn(slot, from);
        }
        self.with(wire, slot, |_, session, _| {
            if let Err(error) = session.rtc.handle_input(input) {
                tracing::debug!(browser = %session.id, %error, "a browser's datagram was not taken");
            }
        });
        Ok(())
    }

    /// A check of the session came from there: so its other packets may.
    fn learn(&mut self, slot: usize, from: SocketAddr) {
        if self.by_source.get(&from) == Some(&slot) {
            return;
        }
        // A browser that gets the address of one that went, its router having given it anew.
        if let Some(before) = self.by_source.insert(from, slot)
            && let Some(session) = &mut self.sessions[before]
        {
            session.sources.retain(|source| *source != from);
        }
        let Some(session) = &mut self.sessions[slot] else {
            return;
        };
        if session.sources.len() >= limits::BROWSER_ADDRESSES {
            let oldest = session.sources.remove(0);
            self.by_source.remove(&oldest);
        }
        session.sources.push(from);
    }

    /// Looks after the sessions whose time has come.
    pub(crate) fn handle_timeouts(&mut self, wire: &mut Wire<'_>) {
        let now = Instant::now();
        while let Some((due, slot)) = self.timers.first().copied()
            && due <= now
        {
            self.timers.pop_first();
            self.with(wire, slot, |_, session, _| {
                session.armed = None;
                if !session.up && now >= session.began + limits::BROWSER_CONNECT {
                    session.over = Some(BrowserEnd::Unreached);
                } else if let Err(error) = session.rtc.handle_input(Input::Timeout(now)) {
                    tracing::debug!(browser = %session.id, %error, "a browser's session broke");
                    session.over = Some(BrowserEnd::Failed);
                }
            });
        }
    }

    // ---- Packets.

    /// Sends an RTP packet of the leg at `place` to its browser. It is lost where the browser is gone.
    pub(crate) fn send(&mut self, wire: &mut Wire<'_>, place: usize, packet: &[u8]) {
        let Voice::Browser(Some(slot)) = self.voices[place] else {
            return;
        };
        self.with(wire, slot, |_, session, _| session.write(packet));
    }

    /// Changes one session, then does all that it wants done: str0m asks that nothing else come
    /// between.
    fn with(
        &mut self,
        wire: &mut Wire<'_>,
        slot: usize,
        change: impl FnOnce(&mut Self, &mut Session, &mut Wire<'_>),
    ) {
        // Out of its place meanwhile: its packets may have to reach another session.
        let Some(mut session) = self.sessions[slot].take() else {
            return;
        };
        change(self, &mut session, wire);
        let due = self.drain(wire, slot, &mut session);
        let over = session.over;
        if let Some(due) = due.filter(|_| over.is_none()) {
            let due = if session.up {
                due
            } else {
                due.min(session.began + limits::BROWSER_CONNECT)
            };
            // An earlier look than wanted does no harm and moves no timer at each packet.
            if session.armed.is_none_or(|armed| due < armed) {
                if let Some(armed) = session.armed.replace(due) {
                    self.timers.remove(&(armed, slot));
                }
                self.timers.insert((due, slot));
            }
        }
        self.sessions[slot] = Some(session);
        if let Some(why) = over {
            self.remove(wire, slot, why);
        }
    }

    /// Everything that a session wants; when it wants to be looked at again.
    fn drain(
        &mut self,
        wire: &mut Wire<'_>,
        slot: usize,
        session: &mut Session,
    ) -> Option<Instant> {
        loop {
            match session.rtc.poll_output() {
                Ok(Output::Timeout(due)) => {
                    if !session.rtc.is_alive() {
                        session.over.get_or_insert(BrowserEnd::Closed);
                    }
                    return Some(due);
                }
                Ok(Output::Transmit(out)) => {
                    self.measures.datagrams_out += 1;
                    if self.socket.send_to(&out.contents, out.destination).is_err()
                        && let Some(place) = session.place
                        && out.contents.first().is_some_and(|first| first >> 6 == 2)
                    {
                        wire.exchange.unsent(place, 1);
                    }
                }
                Ok(Output::Event(event)) => self.event(wire, slot, session, event),
                Err(error) => {
                    tracing::debug!(browser = %session.id, %error, "a browser's session broke");
                    session.over = Some(BrowserEnd::Failed);
                    return None;
                }
            }
        }
    }

    fn event(&mut self, wire: &mut Wire<'_>, slot: usize, session: &mut Session, event: Event) {
        match event {
            Event::Connected if !session.up => {
                session.up = true;
                self.measures.up(session.began.elapsed());
                let browser = session.id;
                tracing::info!(%browser, slot, "a browser's audio is up");
                self.events.push_back(BrowserEvent::Up { browser });
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if session.up => {
                session.over = Some(BrowserEnd::Lost);
            }
            Event::Closed => {
                session.over.get_or_insert(BrowserEnd::Closed);
            }
            Event::RtpPacket(packet) => self.heard(wire, session, &packet),
            Event::MediaEgressStats(figures) => {
                if let (Some(place), Some(report)) = (session.place, report(&figures)) {
                    wire.exchange.peer_reports(place, report);
                }
            }
            _ => {}
        }
    }

    /// A packet of the browser's: through the exchange, and on.
    fn heard(&mut self, wire: &mut Wire<'_>, session: &Session, packet: &RtpPacket) {
        let Some(place) = session.place else { return };
        let mut bytes = [0; limits::RTP_BYTES + media::SRTP_ROOM];
        let Some(len) = session.plain(packet, &mut bytes) else {
            return;
        };
        let onward = (wire.exchange).receive(wire.now, place, NOWHERE, &mut bytes[..len]);
        if let Some(tapes) = &mut wire.tapes
            && let Some(taped) = wire.exchange.taped()
        {
            tapes.hear(wire.now.monotonic, &taped, &bytes);
        }
        let Some(onward) = onward else { return };
        if self.speaks_for(onward.place) {
            return self.send(wire, onward.place, &bytes[onward.bytes]);
        }
        if wire.carriage.speaks_for(onward.place) {
            let bytes = &bytes[onward.bytes];
            return wire.carriage.send(wire.exchange, onward.place, bytes);
        }
        let sealed = (wire.exchange).seal(onward.place, &mut bytes, onward.bytes);
        if let Some(sealed) = sealed
            && (wire.pairs[onward.place].rtp)
                .send_to(&bytes[sealed], onward.to)
                .is_err()
        {
            wire.exchange.unsent(onward.place, 1);
        }
    }
}

impl Session {
    /// A packet as the leg knows it: its own header, the leg's number for telephone events. None for
    /// one that is longer than any of ours.
    fn plain(&self, packet: &RtpPacket, to: &mut [u8]) -> Option<usize> {
        let theirs = *packet.header.payload_type;
        let header = Header {
            marker: packet.header.marker,
            payload_type: match Some(theirs) == self.event {
                true => BROWSER_EVENT,
                false => theirs,
            },
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            ssrc: *packet.header.ssrc,
        };
        let len = HEADER + packet.payload.len();
        header.write(to.first_chunk_mut().expect("longer than a header"));
        to.get_mut(HEADER..len)?.copy_from_slice(&packet.payload);
        Some(len)
    }

    /// A packet of the leg's, as this browser knows it.
    fn write(&mut self, packet: &[u8]) {
        // Until DTLS is through nothing can be sent, and old speech is of no use later.
        let (true, Ok((header, payload))) = (self.up, Header::read(packet)) else {
            return;
        };
        let payload_type = match header.payload_type {
            BROWSER_EVENT => match self.event {
                Some(event) => event,
                None => return,
            },
            law => law,
        };
        let now = Instant::now();
        let numbers = self.numbers.of(header.sequence, header.timestamp, now);
        let Some((sequence, timestamp)) = numbers else {
            return;
        };
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(self.mid, None) else {
            return;
        };
        let write = RtpWrite::new(
            payload_type.into(),
            sequence.into(),
            timestamp,
            now,
            &packet[payload],
        );
        stream.write_rtp(write.marker(header.marker));
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(browser = %self.id, %error, "a browser's session broke");
            self.over = Some(BrowserEnd::Failed);
        }
    }
}

fn set_remote(
    wire: &mut Wire<'_>,
    leg: LegId,
    codec: Codec,
    telephone_event: Option<u8>,
    send: bool,
) {
    let command = MediaCommand::SetRemote {
        leg,
        addr: NOWHERE,
        // str0m reads and writes a session's RTCP.
        rtcp: None,
        codec,
        telephone_event,
        send,
        symmetric: false,
    };
    if let Err(reason) = wire.exchange.handle(wire.now, command) {
        tracing::warn!(?command, %reason, "a browser's leg was not changed");
    }
}

/// What the browser says of what it hears; none when it has not spoken since the last time.
fn report(figures: &MediaEgressStats) -> Option<PeerReport> {
    let remote = figures.remote.as_ref()?;
    Some(PeerReport {
        lost: i32::try_from(remote.packets_lost).unwrap_or(i32::MAX),
        fraction_lost: (figures.loss.unwrap_or(0.0) * 256.0).clamp(0.0, 255.0) as u8,
        // In samples, as RTCP has it.
        jitter_us: remote.jitter.saturating_mul(1_000_000 / g711::SAMPLE_RATE),
        round_trip: figures.rtt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browser::offer::tests::OFFER;
    use media::{ExchangeConfig, PortRange, Prompts, Seed};

    fn browsers() -> (Browsers, Exchange) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let gate = BrowserGate::new(address).unwrap();
        let range = PortRange::new(20_000, 20_006).unwrap();
        let config = ExchangeConfig::new(range);
        let exchange = Exchange::new(config, Prompts::default(), Seed::from_u64(1));
        let browsers = Browsers::new(socket, address, gate, Box::new(|_| true), 4);
        (browsers, exchange)
    }

    #[test]
    fn a_browser_has_so_many_addresses_and_the_oldest_goes() {
        let (mut browsers, mut exchange) = browsers();
        let carriage = Carriage::new(Default::default(), 4);
        let mut wire = Wire {
            now: crate::clock::now(),
            exchange: &mut exchange,
            pairs: &[],
            tapes: None,
            carriage: &carriage,
        };
        for id in [1, 2] {
            assert!(browsers.gate.take_place());
            let (arrival, _) = browsers.gate.answer(OFFER).unwrap();
            let begin = BrowserOrder::Begin(BrowserId(id), Box::new(arrival));
            browsers.follow(&mut wire, begin);
        }
        let at = |n: usize| SocketAddr::from(([192, 0, 2, 1], 1_000 + n as u16));
        let most = limits::BROWSER_ADDRESSES;
        for n in 0..most {
            browsers.learn(0, at(n));
            browsers.learn(0, at(n));
        }
        assert_eq!(browsers.by_source.len(), most);
        browsers.learn(0, at(most));
        assert_eq!(browsers.by_source.len(), most);
        assert!(!browsers.by_source.contains_key(&at(0)));
        // An address that is another browser's now.
        browsers.learn(1, at(most));
        assert_eq!(browsers.by_source[&at(most)], 1);
        let end = |id| {
            let browser = BrowserId(id);
            BrowserOrder::Command(BrowserCommand::End { browser })
        };
        browsers.follow(&mut wire, end(1));
        assert_eq!(browsers.by_source.len(), 1);
        // Nothing is left of either, and an end for one that is gone is nobody's.
        browsers.follow(&mut wire, end(2));
        browsers.follow(&mut wire, end(2));
        assert!(browsers.by_source.is_empty() && browsers.by_ufrag.is_empty());
        assert!(browsers.by_id.is_empty() && browsers.timers.is_empty());
        assert_eq!(browsers.free.len(), 2);
    }
}
