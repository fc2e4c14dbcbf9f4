//! The exchange: all legs of one relay thread, with no socket in sight.
//!
//! Packets come in one by one ([`Exchange::receive`], edited in place, answered by where they go
//! on; [`Exchange::seal`] makes them ready for it), commands as values ([`Exchange::handle`]); what the exchange says by itself (prompts,
//! silence that keeps a path open, RTCP) is asked for with [`Exchange::poll_transmit`] after
//! [`Exchange::handle_timeout`]. On the way of a packet nothing is allocated.

mod holding;
mod keys;
mod leg;
mod mixing;
mod packets;
mod secured;
mod taping;
mod ticks;

use domain::{
    Instant, LegId, Now,
    answering::{Heard, Verdict},
};
use sansio::{Seed, Stream};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    command::{BridgeStats, MediaCommand, MediaEvent, PeerReport, Rejected},
    ports::{Port, PortRange},
    prompt::{PromptId, Prompts},
    rtp::Outgoing,
    source::SourceLock,
};
pub use leg::Listening;
use leg::{Bridged, Leg, OnHold, Playing, Remote};
pub use packets::{Onward, Refusal, Tapped, Traffic};
pub use taping::{RecordingMark, Taped};
pub use ticks::{TRANSMIT_BYTES, TimerName, Transmit};

/// How an exchange behaves.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// The ports that legs are opened on.
    pub ports: PortRange,
    /// A leg to which nothing was sent for that long gets one frame of silence, so that routers
    /// and phones keep its path open; zero sends none. Reckoned in whole seconds.
    pub keep_alive: Duration,
    /// A leg from which nothing came for that long is told as silent; zero tells none.
    pub silent_after: Duration,
    /// Between two RTCP reports of a leg; zero sends none (RFC 3550, 6.2: 5 s).
    pub report_every: Duration,
    /// What RTCP calls us; no user, no host name that should not be known.
    pub canonical_name: String,
}

impl ExchangeConfig {
    /// The usual behaviour on these ports: silence each second, silent after 30 s, reports each
    /// 5 s.
    pub fn new(ports: PortRange) -> Self {
        Self {
            ports,
            keep_alive: Duration::from_secs(1),
            silent_after: Duration::from_secs(30),
            report_every: Duration::from_secs(5),
            canonical_name: "dialmesh".to_owned(),
        }
    }
}

/// All legs of one relay thread.
#[derive(Debug)]
pub struct Exchange {
    config: ExchangeConfig,
    prompts: Prompts,
    /// Where streams begin.
    origins: Stream,
    /// By the place of their port in the range.
    legs: Vec<Option<Box<Leg>>>,
    places: BTreeMap<LegId, usize>,
    /// Places of the legs that hear a prompt.
    playing: BTreeSet<usize>,
    /// Places of the legs whose peers are sent keys.
    keying: BTreeSet<usize>,
    /// Bridges with supervisors, by the place of the agent's leg.
    rooms: BTreeMap<usize, mixing::Room>,
    events: VecDeque<MediaEvent>,
    jobs: VecDeque<ticks::Job>,
    ticks: ticks::Ticks,
    traffic: Traffic,
    /// What the last packet brought to whoever listens.
    tapped: Option<Tapped>,
    /// What the last packet brought to a recording.
    taped: Option<Taped>,
    marks: VecDeque<RecordingMark>,
}

impl Exchange {
    /// An exchange without legs. SSRCs and the like come from the seed's stream `"rtp"`.
    pub fn new(config: ExchangeConfig, prompts: Prompts, seed: Seed) -> Self {
        let count = config.ports.len();
        let mut config = config;
        config.canonical_name = config.canonical_name.chars().take(60).collect();
        Self {
            prompts,
            origins: seed.stream("rtp"),
            legs: (0..count).map(|_| None).collect(),
            places: BTreeMap::new(),
            playing: BTreeSet::new(),
            keying: BTreeSet::new(),
            rooms: BTreeMap::new(),
            events: VecDeque::with_capacity(64),
            jobs: VecDeque::with_capacity(256),
            ticks: ticks::Ticks::default(),
            traffic: Traffic::default(),
            tapped: None,
            taped: None,
            marks: VecDeque::new(),
            config,
        }
    }

    /// Follows a command.
    ///
    /// # Errors
    /// When it names what is not there or not free; nothing has changed then.
    pub fn handle(&mut self, now: Now, command: MediaCommand) -> Result<(), Rejected> {
        let clock = now.monotonic;
        match command {
            MediaCommand::Open {
                leg,
                port,
                telephone_event,
            } => self.open(now, leg, port, telephone_event),
            MediaCommand::Secure { leg, keys } => self.secure(leg, keys),
            MediaCommand::SetRemote { .. } => self.set_remote(clock, command),
            MediaCommand::Bridge { a, b } => self.bridge(a, b),
            MediaCommand::Unbridge { a, b } => {
                let (place, other) = (self.place(a)?, self.place(b)?);
                match self.leg(place)?.bridged {
                    Some(bridged) if bridged.with == other => self.unbridge(place),
                    _ => return Err(Rejected::NotBridged),
                }
                Ok(())
            }
            MediaCommand::Record {
                recording,
                agent,
                person,
            } => self.record(recording, agent, person),
            MediaCommand::PauseRecording { leg, paused } => self.pause_recording(leg, paused),
            MediaCommand::Play {
                leg,
                prompt,
                repeat,
            } => self.play(leg, prompt, repeat),
            MediaCommand::StopPlay { leg } => {
                let place = self.place(leg)?;
                self.stop_play(place, false);
                Ok(())
            }
            MediaCommand::Hold { leg, prompt } => self.hold(leg, prompt),
            MediaCommand::Resume { leg } => self.resume(leg),
            MediaCommand::SendKey { leg, key } => {
                let place = self.place(leg)?;
                match self.send_key(place, key) {
                    true => Ok(()),
                    false => Err(Rejected::KeysFull),
                }
            }
            MediaCommand::Supervise { leg, agent, manner } => self.supervise(leg, agent, manner),
            MediaCommand::Unsupervise { leg } => self.leave_room(leg),
            MediaCommand::Snapshot { leg } => {
                let told = self.leg(self.place(leg)?)?;
                let (stats, detail) = (told.stats(), told.detail());
                self.events
                    .push_back(MediaEvent::Snapshot { leg, stats, detail });
                Ok(())
            }
            MediaCommand::Listen { leg, answered } => {
                let place = self.place(leg)?;
                self.leg_mut(place).listening = Some(if answered {
                    Listening::Answered
                } else {
                    Listening::Early
                });
                Ok(())
            }
            MediaCommand::Close { leg } => self.close(leg),
        }
    }

    /// Whether somebody listens to the leg at a place, and how far it is.
    pub fn listening(&self, place: usize) -> Option<Listening> {
        self.legs.get(place)?.as_ref()?.listening
    }

    /// Who listens to the leg at a place has something to say. Who answered is told once: nobody
    /// listens any more then, but to a machine, until its beep.
    pub fn heard(&mut self, place: usize, heard: Heard) {
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_deref_mut) else {
            return;
        };
        leg.listening = match (leg.listening, heard) {
            (None, _) => return,
            (Some(listening), Heard::Early(_)) => Some(listening),
            (Some(Listening::Machine), Heard::Answered(_)) => return,
            (Some(_), Heard::Answered(who)) => {
                (who.verdict == Verdict::Machine).then_some(Listening::Machine)
            }
            (Some(Listening::Machine), Heard::Beep) => None,
            (Some(_), Heard::Beep) => return,
        };
        let leg = leg.id;
        self.events.push_back(MediaEvent::Heard { leg, heard });
    }

    /// The next thing to tell the engine.
    pub fn poll_output(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// How many legs are open.
    pub fn open_legs(&self) -> usize {
        self.places.len()
    }

    /// Packets so far, over all legs.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The port whose place is `place`.
    pub fn port(&self, place: usize) -> Option<Port> {
        self.config.ports.port(place)
    }

    /// The place of an open leg's port in the range.
    pub fn place_of(&self, leg: LegId) -> Option<usize> {
        self.places.get(&leg).copied()
    }

    /// The leg that is open at a place.
    pub fn leg_at(&self, place: usize) -> Option<LegId> {
        Some(self.legs.get(place)?.as_ref()?.id)
    }

    /// The system would not take `count` packets for the leg at `place`.
    pub fn unsent(&mut self, place: usize, count: u64) {
        self.traffic.unsent += count;
        self.traffic.sent = self.traffic.sent.saturating_sub(count);
        if let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) {
            leg.unsent += count;
            leg.sent = leg.sent.saturating_sub(count);
        }
    }

    /// The system dropped `count` packets of the leg at `place` before they were read, since it
    /// was opened.
    pub fn overflowed(&mut self, place: usize, count: u64) {
        if let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) {
            self.traffic.overflowed += count.saturating_sub(leg.overflowed);
            leg.overflowed = count;
        }
    }

    /// What the peer of the leg at `place` says of what it hears, where its RTCP is not ours to read.
    pub fn peer_reports(&mut self, place: usize, report: PeerReport) {
        if let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) {
            leg.peer = Some(report);
        }
    }

    fn place(&self, leg: LegId) -> Result<usize, Rejected> {
        self.place_of(leg).ok_or(Rejected::UnknownLeg)
    }

    fn leg(&self, place: usize) -> Result<&Leg, Rejected> {
        self.legs[place].as_deref().ok_or(Rejected::UnknownLeg)
    }

    fn leg_mut(&mut self, place: usize) -> &mut Leg {
        self.legs[place]
            .as_deref_mut()
            .expect("places are those of open legs")
    }

    fn open(
        &mut self,
        now: Now,
        id: LegId,
        port: Port,
        telephone_event: Option<u8>,
    ) -> Result<(), Rejected> {
        let place = self.config.ports.place(port).ok_or(Rejected::PortOutside)?;
        if self.places.contains_key(&id) {
            return Err(Rejected::LegExists);
        }
        if self.legs[place].is_some() {
            return Err(Rejected::PortTaken);
        }
        let outgoing = self.fresh_stream();
        let leg = Leg::new(now.monotonic, id, port, telephone_event, outgoing);
        self.legs[place] = Some(Box::new(leg));
        self.places.insert(id, place);
        self.ticks.begin(now);
        Ok(())
    }

    /// A stream that begins at random places.
    fn fresh_stream(&mut self) -> Outgoing {
        Outgoing::new(
            self.origins.next_u32(),
            // In the lower half, as RFC 3711 would have it: no early wrap.
            (self.origins.next_u32() & 0x7fff) as u16,
            self.origins.next_u32(),
        )
    }

    fn set_remote(&mut self, now: Instant, command: MediaCommand) -> Result<(), Rejected> {
        let MediaCommand::SetRemote {
            leg,
            addr,
            rtcp,
            codec,
            telephone_event,
            send,
            symmetric,
        } = command
        else {
            return Ok(());
        };
        let place = self.place(leg)?;
        if !is_sendable(addr) || rtcp.is_some_and(|rtcp| !is_sendable(rtcp)) {
            return Err(Rejected::Address);
        }
        let leg = self.leg_mut(place);
        let lock = match &leg.remote {
            Some(remote) if remote.lock.is_for(addr, symmetric) => remote.lock,
            _ => SourceLock::new(addr, symmetric),
        };
        leg.remote = Some(Remote {
            lock,
            rtcp,
            codec,
            telephone_event,
            send,
        });
        // Silence is reckoned from the time the peer could speak.
        leg.alive(now);
        Ok(())
    }

    fn bridge(&mut self, a: LegId, b: LegId) -> Result<(), Rejected> {
        let (first, second) = (self.place(a)?, self.place(b)?);
        if first == second
            || self.leg(first)?.bridged.is_some()
            || self.leg(second)?.bridged.is_some()
        {
            return Err(Rejected::Bridged);
        }
        if self.leg(first)?.mix.is_some() || self.leg(second)?.mix.is_some() {
            return Err(Rejected::Supervises);
        }
        for (place, with) in [(first, second), (second, first)] {
            let leg = self.leg_mut(place);
            leg.outgoing.break_off();
            leg.listening = None;
            leg.bridged = Some(Bridged {
                with,
                first: place == first,
                since: leg.stats(),
                tape: None,
                on_hold: None,
            });
        }
        Ok(())
    }

    /// Ends the bridge of the leg at `place`, when there is one.
    fn unbridge(&mut self, place: usize) {
        let Some(bridged) = self.leg_mut(place).bridged.take() else {
            return;
        };
        self.end_room_of(place, bridged.with);
        match bridged.on_hold {
            Some(OnHold::Waits) => self.stop_play(place, false),
            Some(OnHold::Holds) => self.stop_play(bridged.with, false),
            None => {}
        }
        let ended = bridged
            .tape
            .map(|tape| RecordingMark::Ended(tape.recording));
        self.marks.extend(ended);
        let (mine, id) = {
            let leg = self.leg_mut(place);
            leg.outgoing.break_off();
            (leg.stats_since(&bridged.since), leg.id)
        };
        let other = self.leg_mut(bridged.with);
        other.outgoing.break_off();
        let since = other.bridged.take().map(|b| b.since).unwrap_or_default();
        let (theirs, other) = (other.stats_since(&since), other.id);
        let ((a, mine), (b, theirs)) = if bridged.first {
            ((id, mine), (other, theirs))
        } else {
            ((other, theirs), (id, mine))
        };
        let stats = BridgeStats { a: mine, b: theirs };
        self.events.push_back(MediaEvent::Unbridged { a, b, stats });
    }

    fn play(&mut self, leg: LegId, prompt: PromptId, repeat: bool) -> Result<(), Rejected> {
        let place = self.place(leg)?;
        if self.prompts.get(prompt).is_none() {
            return Err(Rejected::UnknownPrompt);
        }
        self.stop_play(place, false);
        let hears = self.leg_mut(place);
        hears.listening = None;
        hears.playing = Some(Playing {
            prompt,
            repeat,
            frame: 0,
            onset: true,
        });
        self.playing.insert(place);
        Ok(())
    }

    fn stop_play(&mut self, place: usize, finished: bool) {
        let leg = self.leg_mut(place);
        if let Some(playing) = leg.playing.take() {
            leg.outgoing.break_off();
            let (leg, prompt) = (leg.id, playing.prompt);
            self.playing.remove(&place);
            self.events.push_back(MediaEvent::Played {
                leg,
                prompt,
                finished,
            });
        }
    }

    fn close(&mut self, id: LegId) -> Result<(), Rejected> {
        let place = self.place(id)?;
        self.stop_play(place, false);
        self.unbridge(place);
        // Refused where it supervises nobody.
        let _left = self.leave_room(id).is_ok();
        self.places.remove(&id);
        self.keying.remove(&place);
        if let Some(leg) = self.legs[place].take() {
            self.events.push_back(MediaEvent::Closed {
                leg: id,
                port: leg.port,
                stats: leg.stats(),
                detail: leg.detail(),
            });
        }
        if self.places.is_empty() {
            self.ticks.end();
        }
        Ok(())
    }
}

/// Whether media may go there at all. What ranges a trunk or a phone may name is the engine's to
/// know; nobody may name these.
fn is_sendable(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let everybody = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !everybody
}

#[cfg(test)]
mod tests;
