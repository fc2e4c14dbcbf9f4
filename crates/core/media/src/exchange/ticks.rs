//! What the exchange says by itself, on a tick of 20 ms: prompts, silence, reports.

use domain::{Instant, Now};
use std::{net::SocketAddr, time::Duration};

use super::Exchange;
use crate::{
    command::MediaEvent,
    g711::{self, FRAME},
    rtcp::{self, SenderInfo},
    rtp::HEADER,
};

/// Bytes of buffer that [`Exchange::poll_transmit`] needs.
pub const TRANSMIT_BYTES: usize = 512;

/// One frame.
const TICK: Duration = Duration::from_millis(20);
/// Each leg is looked after once in so many ticks: once a second, spread evenly.
const SLICES: usize = 50;
/// Frames sent at once after a late wake; what is beyond is let go.
const CATCH_UP: u32 = 5;
/// Seconds from 1900 (NTP) to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// The exchange's one timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerName {
    /// Prompts' frames and a slice of the housekeeping.
    Tick,
}

/// A packet of our own making, written to the caller's buffer. It is sent as [`Exchange::seal`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From the socket of the port at this place.
    pub place: usize,
    /// From its RTCP socket.
    pub rtcp: bool,
    /// To that address.
    pub to: SocketAddr,
    /// How many bytes.
    pub len: usize,
}

/// A packet to be made for the leg at a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    Frame(usize),
    /// The next packet of a key that is sent to the leg's peer.
    Key(usize),
    /// The next frame of the room of the agent's leg there.
    Mix(usize),
    /// The leg's part of it.
    Mixed(usize),
    Silence(usize),
    Report(usize),
}

#[derive(Debug, Default)]
pub(super) struct Ticks {
    next: Option<Instant>,
    slice: usize,
    now: Instant,
    /// Both clocks at the first leg: NTP time is reckoned from there, so that it never steps.
    origin: Option<Now>,
}

impl Ticks {
    pub(super) fn begin(&mut self, now: Now) {
        self.origin.get_or_insert(now);
        self.next.get_or_insert(now.monotonic + TICK);
    }

    pub(super) fn end(&mut self) {
        self.next = None;
    }

    /// The present tick's time.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// NTP time, 32.32 bits.
    pub(super) fn ntp(&self, now: Instant) -> u64 {
        let origin = self.origin.unwrap_or_default();
        let nanos = u128::try_from(origin.wall.as_millis()).unwrap_or(0) * 1_000_000
            + now.since(origin.monotonic).as_nanos();
        ((nanos << 32) / 1_000_000_000) as u64 + (NTP_EPOCH << 32)
    }
}

impl Exchange {
    /// When [`handle_timeout`](Self::handle_timeout) is next wanted; never without legs.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerName)> {
        self.ticks.next.map(|at| (at, TimerName::Tick))
    }

    /// Does what is due. Drain [`poll_transmit`](Self::poll_transmit) afterwards.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.monotonic;
        let Some(due) = self.ticks.next.filter(|due| *due <= now) else {
            return;
        };
        let late = now.since(due).as_nanos() / TICK.as_nanos();
        let ticks = u32::try_from(late).unwrap_or(u32::MAX).saturating_add(1);
        self.ticks.next = Some(due + TICK.saturating_mul(ticks));
        self.ticks.now = now;
        for _ in 0..ticks.min(CATCH_UP) {
            self.jobs
                .extend(self.playing.iter().map(|place| Job::Frame(*place)));
            self.jobs
                .extend(self.keying.iter().map(|place| Job::Key(*place)));
            self.tick_rooms();
        }
        for _ in 0..ticks.min(SLICES as u32) {
            self.look_after_a_slice(now);
        }
    }

    fn look_after_a_slice(&mut self, now: Instant) {
        let all = self.legs.len();
        let slice = self.ticks.slice;
        self.ticks.slice = (slice + 1) % SLICES;
        for place in all * slice / SLICES..all * (slice + 1) / SLICES {
            let Some(leg) = self.legs[place].as_deref_mut() else {
                continue;
            };
            let Some(remote) = &leg.remote else { continue };
            let (config, since) = (&self.config, |then| now.since(then));
            let span = since(leg.heard_at);
            if !config.silent_after.is_zero() && span >= config.silent_after && !leg.silent {
                leg.silent = true;
                self.events
                    .push_back(MediaEvent::Silent { leg: leg.id, span });
            }
            // Half a tick of grace, or a second would often become two.
            let idle = leg
                .outgoing
                .sent_at()
                .is_none_or(|at| since(at) + TICK / 2 >= config.keep_alive);
            if remote.send && idle && leg.playing.is_none() && !config.keep_alive.is_zero() {
                self.jobs.push_back(Job::Silence(place));
            }
            if remote.rtcp.is_some()
                && !config.report_every.is_zero()
                && since(leg.reported_at) + TICK / 2 >= config.report_every
            {
                leg.reported_at = now;
                self.jobs.push_back(Job::Report(place));
            }
        }
    }

    /// Writes the next packet of our own making to `buffer` and says where it goes. What a recording
    /// has of it is asked for before the next one ([`taped`](Self::taped)).
    ///
    /// # Panics
    /// When `buffer` is shorter than [`TRANSMIT_BYTES`].
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        assert!(
            buffer.len() >= TRANSMIT_BYTES,
            "the caller's buffer is too short"
        );
        while let Some(job) = self.jobs.pop_front() {
            self.taped = None;
            let done = match job {
                Job::Frame(place) => self.frame(place, buffer),
                Job::Key(place) => self.key(place, buffer),
                Job::Mix(agent) => {
                    self.mix(agent);
                    None
                }
                Job::Mixed(place) => self.mixed(place, buffer),
                Job::Silence(place) => self.silence(place, buffer),
                Job::Report(place) => self.report(place, buffer),
            };
            if done.is_some() {
                return done;
            }
        }
        None
    }

    fn frame(&mut self, place: usize, buffer: &mut [u8]) -> Option<Transmit> {
        let now = self.ticks.now;
        // A command since the tick may have ended the prompt or the leg.
        let leg = self.legs[place].as_deref_mut()?;
        let playing = leg.playing.as_mut()?;
        // Nobody to hear it yet: it waits.
        let remote = leg.remote.as_ref()?;
        let prompt = self.prompts.get(playing.prompt)?;
        let frame = match prompt.frame(remote.codec, playing.frame) {
            Some(frame) => frame,
            None if playing.repeat => {
                playing.frame = 0;
                prompt.frame(remote.codec, 0)?
            }
            None => {
                self.stop_play(place, true);
                return None;
            }
        };
        playing.frame += 1;
        if !leg.keys.is_empty() {
            // It goes on behind them.
            playing.onset = true;
            return None;
        }
        if !remote.send {
            // On hold it goes on unheard.
            playing.onset = true;
            return None;
        }
        let onset = std::mem::take(&mut playing.onset);
        let payload_type = g711::payload_type(remote.codec);
        let header = leg.outgoing.own(now, onset, payload_type, FRAME as u32);
        write_frame(buffer, &header, |payload| payload.copy_from_slice(frame));
        let to = remote.lock.target();
        self.count_own(place, to)
    }

    fn silence(&mut self, place: usize, buffer: &mut [u8]) -> Option<Transmit> {
        let now = self.ticks.now;
        let leg = self.legs[place].as_deref_mut()?;
        let remote = *leg.sendable()?;
        if leg.playing.is_some() || !leg.keys.is_empty() || leg.mix.is_some_and(|mix| mix.hears) {
            return None;
        }
        let payload_type = g711::payload_type(remote.codec);
        let header = leg.outgoing.own(now, true, payload_type, FRAME as u32);
        write_frame(buffer, &header, |payload| {
            payload.fill(g711::silence(remote.codec))
        });
        self.count_own(place, remote.lock.target())
    }

    pub(super) fn count_own(&mut self, place: usize, to: SocketAddr) -> Option<Transmit> {
        self.count_sent(place, to, FRAME)
    }

    /// Counts a packet of our own with a payload of so many bytes.
    pub(super) fn count_sent(
        &mut self,
        place: usize,
        to: SocketAddr,
        payload: usize,
    ) -> Option<Transmit> {
        self.traffic.sent += 1;
        self.leg_mut(place).sent += 1;
        Some(Transmit {
            place,
            rtcp: false,
            to,
            len: HEADER + payload,
        })
    }

    fn report(&mut self, place: usize, buffer: &mut [u8]) -> Option<Transmit> {
        let now = self.ticks.now;
        let ntp = self.ticks.ntp(now);
        let leg = self.legs[place].as_deref_mut()?;
        let remote = leg.remote.as_ref()?;
        let (to, muxed) = (remote.rtcp?, remote.rtcp == Some(remote.lock.target()));
        let sending = leg.sent != leg.reported_sent;
        leg.reported_sent = leg.sent;
        let (packets, octets) = leg.outgoing.sent();
        let sender = sending.then(|| SenderInfo {
            ntp,
            timestamp: leg.outgoing.timestamp_at(now),
            packets,
            octets,
        });
        let mut block = leg.reception.report();
        if let (Some(block), Some((middle, at))) = (&mut block, leg.sender_report) {
            block.last_sender_report = middle;
            block.delay = ((now.since(at).as_nanos() << 16) / 1_000_000_000) as u32;
        }
        let name = &self.config.canonical_name;
        let len = rtcp::write(buffer, leg.outgoing.ssrc(), sender, block, name);
        Some(Transmit {
            place,
            rtcp: !muxed,
            to,
            len,
        })
    }
}

pub(super) fn write_frame(
    buffer: &mut [u8],
    header: &crate::rtp::Header,
    fill: impl FnOnce(&mut [u8]),
) {
    let (head, payload) = buffer.split_at_mut(HEADER);
    header.write(head.first_chunk_mut().expect("split there"));
    fill(&mut payload[..FRAME]);
}
