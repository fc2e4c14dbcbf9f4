//! The way of a packet.

use domain::{Codec, Instant, Key, Now, limits};
use std::{net::SocketAddr, ops::Range};

use super::{
    Exchange, Taped,
    leg::{Leg, OnHold},
};
use crate::{
    command::{MediaEvent, PeerReport},
    g711,
    reception::Arrival,
    rtcp::{self, Report},
    rtp::{HEADER, Header},
};

/// RFC 3389's comfort noise: allowed, and not passed on.
const COMFORT_NOISE: u8 = 13;

/// A packet goes on, edited in place. It is sent as [`Exchange::seal`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onward {
    /// From the socket of the port at this place.
    pub place: usize,
    /// To that address.
    pub to: SocketAddr,
    /// Which bytes of the buffer it is now.
    pub bytes: Range<usize>,
}

/// Why a packet was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No leg is open on the port.
    NoLeg,
    /// The leg's peer is not known yet.
    NoRemote,
    /// Not from the leg's peer.
    Source,
    /// Not RTP, not RTCP, or longer than we read.
    Malformed,
    /// A payload type that was not negotiated.
    Payload,
    /// A sequence number far from the stream's.
    Sequence,
    /// Not signed with the key of the leg's peer: plain, a stranger's, or changed.
    Unauthenticated,
    /// Signed with that key, and here before.
    Replayed,
}

impl Refusal {
    /// All of them, as they are counted.
    pub const ALL: [Self; 8] = [
        Self::NoLeg,
        Self::NoRemote,
        Self::Source,
        Self::Malformed,
        Self::Payload,
        Self::Sequence,
        Self::Unauthenticated,
        Self::Replayed,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoLeg => "no_leg",
            Self::NoRemote => "no_remote",
            Self::Source => "source",
            Self::Malformed => "malformed",
            Self::Payload => "payload",
            Self::Sequence => "sequence",
            Self::Unauthenticated => "unauthenticated",
            Self::Replayed => "replayed",
        }
    }
}

/// Packets over all legs since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// RTP accepted from peers.
    pub received: u64,
    /// RTP sent to peers: relayed and our own.
    pub sent: u64,
    /// Packets that the system would not take.
    pub unsent: u64,
    /// Packets that the system dropped before we read them; known when their leg ends.
    pub overflowed: u64,
    /// Refused, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
}

/// Audio of a leg that somebody listens to, as it lies in the packet that was just received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tapped {
    /// The place of the leg's port.
    pub place: usize,
    /// Its law.
    pub codec: Codec,
    /// Names its stream; another one has other timestamps.
    pub stream: u32,
    /// Of its first sample.
    pub timestamp: u32,
    /// Where it lies in the datagram.
    pub payload: Range<usize>,
}

enum Kind {
    Audio(Codec),
    Event,
    Comfort,
}

impl Exchange {
    /// Takes an RTP datagram that came to the port at `place`; says where it goes on, if it does.
    ///
    /// `packet` is the datagram in its buffer and is rewritten: the leg's own header stands
    /// before the payload afterwards.
    pub fn receive(
        &mut self,
        now: Now,
        place: usize,
        from: SocketAddr,
        packet: &mut [u8],
    ) -> Option<Onward> {
        if rtcp::is_rtcp(packet) {
            self.receive_rtcp(now, place, from, packet);
            return None;
        }
        (self.tapped, self.taped) = (None, None);
        match self.accept(now.monotonic, place, from, packet) {
            Err(refusal) => {
                self.refuse(place, refusal);
                None
            }
            Ok(None) => None,
            Ok(Some(accepted)) => self.pass_on(now.monotonic, accepted, packet),
        }
    }

    /// The audio in the packet that was received last, when somebody listens to its leg: to be taken
    /// before the next one comes.
    pub fn tapped(&mut self) -> Option<Tapped> {
        self.tapped.take()
    }

    /// A datagram that was longer than we read.
    pub fn receive_oversized(&mut self, place: usize) {
        self.refuse(place, Refusal::Malformed);
    }

    fn refuse(&mut self, place: usize, refusal: Refusal) {
        self.traffic.refused[refusal as usize] += 1;
        if let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) {
            leg.refused += 1;
        }
    }

    /// The receiving leg's part: is it the peer's, is it whole, is it new, is it a key.
    fn accept(
        &mut self,
        now: Instant,
        place: usize,
        from: SocketAddr,
        packet: &mut [u8],
    ) -> Result<Option<Accepted>, Refusal> {
        let leg = self
            .legs
            .get_mut(place)
            .and_then(Option::as_deref_mut)
            .ok_or(Refusal::NoLeg)?;
        let remote = leg.remote.as_mut().ok_or(Refusal::NoRemote)?;
        if !remote.lock.admits(from) {
            return Err(Refusal::Source);
        }
        let len = match &mut leg.secured {
            Some(secured) => secured.open(packet)?,
            None => packet.len(),
        };
        let packet = &packet[..len];
        let (header, payload) = Header::read(packet).map_err(|_| Refusal::Malformed)?;
        let kind = match header.payload_type {
            event if Some(event) == leg.telephone_event => Kind::Event,
            COMFORT_NOISE => Kind::Comfort,
            other => Kind::Audio(g711::codec_of(other).ok_or(Refusal::Payload)?),
        };
        let audio = matches!(kind, Kind::Audio(_));
        let extended = match leg.reception.note(now, &header, audio) {
            Arrival::Stray => return Err(Refusal::Sequence),
            Arrival::Duplicate => {
                leg.alive(now);
                return Ok(None);
            }
            Arrival::Good(extended) => extended,
        };
        remote.lock.latch(from);
        leg.alive(now);
        self.traffic.received += 1;
        if !leg.heard {
            leg.heard = true;
            self.events
                .push_back(MediaEvent::FirstPacket { leg: leg.id });
        }
        let stream = leg.reception.stream();
        let mut key = None;
        if let Kind::Event = kind {
            if leg.events_stream != stream {
                leg.events_stream = stream;
                leg.events.reset();
            }
            if let Some(digit) = leg.events.note(header.timestamp, &packet[payload.clone()]) {
                key = Key::of(digit);
                if self.events.len() < limits::MEDIA_EVENTS {
                    self.events
                        .push_back(MediaEvent::Digit { leg: leg.id, digit });
                }
            }
        }
        if leg.listening.is_some()
            && let Kind::Audio(codec) = kind
        {
            self.tapped = Some(Tapped {
                place,
                codec,
                stream,
                timestamp: header.timestamp,
                payload: payload.clone(),
            });
        }
        let on_hold = leg.bridged.and_then(|bridged| bridged.on_hold);
        let mix = leg.mix;
        if let Kind::Audio(codec) = kind
            && let Some(tape) = leg.bridged.and_then(|bridged| bridged.tape)
            && !tape.paused
            && on_hold.is_none()
            && !mix.is_some_and(|mix| mix.taped_as_mixed)
        {
            self.taped = Some(Taped {
                recording: tape.recording,
                channel: tape.channel,
                codec,
                stream,
                timestamp: header.timestamp,
                payload: payload.clone(),
            });
        }
        let with = leg.bridged.map(|bridged| bridged.with);
        if let Kind::Audio(codec) = kind
            && let Some(mix) = mix.filter(|mix| mix.speaks && on_hold != Some(OnHold::Waits))
        {
            self.hear_in_room(mix, codec, (stream, extended), &packet[payload.clone()]);
        }
        Ok(with.filter(|_| on_hold.is_none()).map(|with| Accepted {
            header,
            payload,
            kind,
            stream,
            extended,
            with,
            key,
        }))
    }

    /// The other leg's part: its payload types, its law, its stream.
    fn pass_on(&mut self, now: Instant, accepted: Accepted, packet: &mut [u8]) -> Option<Onward> {
        let Accepted {
            header,
            payload,
            kind,
            stream,
            extended,
            with,
            key,
        } = accepted;
        let leg: &mut Leg = self.legs[with].as_deref_mut()?;
        if !leg.keys.is_empty() {
            // Not on the wire, so not in the recording.
            self.taped = None;
        }
        if let (Some(key), Some(remote)) = (key, &leg.remote)
            && remote.telephone_event.is_none()
            && leg.bridged.is_some_and(|bridged| bridged.first)
        {
            // A phone's key for a person whose carrier knows no telephone events. What is too much for
            // the queue nobody could follow.
            let _full = self.send_key(with, key);
            return None;
        }
        if leg.playing.is_some() || !leg.keys.is_empty() || leg.mix.is_some_and(|mix| mix.hears) {
            return None;
        }
        let remote = leg.sendable()?;
        let (to, payload_type) = (
            remote.lock.target(),
            match kind {
                Kind::Audio(_) if payload.is_empty() => None,
                Kind::Audio(codec) => {
                    g711::transcode(codec, remote.codec, &mut packet[payload.clone()]);
                    if let Some(taped) = &mut self.taped {
                        taped.codec = remote.codec;
                    }
                    Some(g711::payload_type(remote.codec))
                }
                Kind::Event => remote.telephone_event,
                Kind::Comfort => None,
            },
        );
        let Some(payload_type) = payload_type else {
            leg.outgoing.skip(stream, extended);
            return None;
        };
        let new = leg.outgoing.relay(
            now,
            stream,
            extended,
            &header,
            (payload_type, payload.len()),
        )?;
        let start = payload.start - HEADER;
        new.write(
            packet[start..]
                .first_chunk_mut()
                .expect("a payload lies behind a whole header"),
        );
        leg.sent += 1;
        self.traffic.sent += 1;
        Some(Onward {
            place: with,
            to,
            bytes: start..payload.end,
        })
    }

    /// Takes an RTCP datagram that came to the leg at `place`, on either of its ports.
    pub fn receive_rtcp(&mut self, now: Now, place: usize, from: SocketAddr, packet: &mut [u8]) {
        if let Err(refusal) = self.accept_rtcp(now, place, from, packet) {
            self.refuse(place, refusal);
        }
    }

    fn accept_rtcp(
        &mut self,
        now: Now,
        place: usize,
        from: SocketAddr,
        packet: &mut [u8],
    ) -> Result<(), Refusal> {
        let ntp = self.ticks.ntp(now.monotonic);
        let leg = self
            .legs
            .get_mut(place)
            .and_then(Option::as_deref_mut)
            .ok_or(Refusal::NoLeg)?;
        let remote = leg.remote.as_ref().ok_or(Refusal::NoRemote)?;
        if !remote.lock.admits_rtcp(from) {
            return Err(Refusal::Source);
        }
        let len = match &mut leg.secured {
            Some(secured) => secured.open_rtcp(packet)?,
            None => packet.len(),
        };
        let packet = &packet[..len];
        let ours = leg.outgoing.ssrc();
        let (mut sender_report, mut peer) = (leg.sender_report, leg.peer);
        rtcp::read(packet, |report| match report {
            Report::Sender(_, info) => {
                sender_report = Some(((info.ntp >> 16) as u32, now.monotonic));
            }
            Report::Block(_, block) if block.ssrc == ours => {
                peer = Some(PeerReport {
                    lost: block.lost,
                    fraction_lost: block.fraction_lost,
                    jitter_us: block.jitter.saturating_mul(125),
                    round_trip: rtcp::round_trip(ntp, &block),
                });
            }
            // A goodbye ends nothing: SIP does.
            Report::Block(..) | Report::Goodbye(_) => {}
        })
        .map_err(|_| Refusal::Malformed)?;
        (leg.sender_report, leg.peer) = (sender_report, peer);
        leg.alive(now.monotonic);
        Ok(())
    }
}

/// A packet on its way from one leg to the other.
struct Accepted {
    header: Header,
    payload: Range<usize>,
    kind: Kind,
    stream: u32,
    extended: u64,
    /// The place of the leg it goes to.
    with: usize,
    /// A key that is newly pressed.
    key: Option<Key>,
}
