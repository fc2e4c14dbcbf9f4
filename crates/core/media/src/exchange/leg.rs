//! One leg of the exchange.

use domain::{AttemptId, Codec, Instant, LegId, LegStats};
use std::net::SocketAddr;

use super::{keys::KeysOut, mixing::InRoom, secured::Secured};
use crate::{
    command::{LegDetail, PeerReport},
    dtmf::EventReceiver,
    ports::Port,
    prompt::PromptId,
    reception::Reception,
    recorder::Channel,
    rtp::Outgoing,
    source::SourceLock,
};

/// The peer's side, from its SDP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote {
    pub(super) lock: SourceLock,
    pub(super) rtcp: Option<SocketAddr>,
    pub(super) codec: Codec,
    pub(super) telephone_event: Option<u8>,
    pub(super) send: bool,
}

/// The bridge that a leg is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bridged {
    /// The place of the other leg.
    pub(super) with: usize,
    /// Whether this leg was named first.
    pub(super) first: bool,
    /// How things stood when it began.
    pub(super) since: LegStats,
    /// What is recorded of this leg.
    pub(super) tape: Option<Tape>,
    /// Its part in a bridge on hold.
    pub(super) on_hold: Option<OnHold>,
}

/// What a leg is in a bridge on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnHold {
    /// It hears the prompt, and nobody hears it.
    Waits,
    /// It holds the other.
    Holds,
}

/// How a bridged leg is recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tape {
    pub(super) recording: AttemptId,
    pub(super) channel: Channel,
    pub(super) paused: bool,
}

/// The prompt that a leg hears.
#[derive(Clone, Copy, Debug)]
pub(super) struct Playing {
    pub(super) prompt: PromptId,
    pub(super) repeat: bool,
    pub(super) frame: usize,
    /// The next frame starts a talkspurt.
    pub(super) onset: bool,
}

/// How far a leg is that somebody listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Early media.
    Early,
    /// It was answered.
    Answered,
    /// By a machine: its beep is listened for.
    Machine,
}

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) port: Port,
    pub(super) telephone_event: Option<u8>,
    pub(super) remote: Option<Remote>,
    /// Its packets are SRTP.
    pub(super) secured: Option<Box<Secured>>,
    pub(super) reception: Reception,
    pub(super) events: EventReceiver,
    /// The stream that `events` listens to.
    pub(super) events_stream: u32,
    pub(super) outgoing: Outgoing,
    pub(super) bridged: Option<Bridged>,
    /// Its bridge has supervisors, or it is one.
    pub(super) mix: Option<InRoom>,
    pub(super) playing: Option<Playing>,
    pub(super) keys: KeysOut,
    pub(super) listening: Option<Listening>,
    pub(super) sent: u64,
    pub(super) refused: u64,
    pub(super) unsent: u64,
    pub(super) overflowed: u64,
    pub(super) heard: bool,
    pub(super) heard_at: Instant,
    pub(super) silent: bool,
    pub(super) reported_at: Instant,
    /// Packets sent when the last report was.
    pub(super) reported_sent: u64,
    /// The peer's last sender report: the middle of its NTP time, and when it came.
    pub(super) sender_report: Option<(u32, Instant)>,
    pub(super) peer: Option<PeerReport>,
}

impl Leg {
    pub(super) fn new(
        now: Instant,
        id: LegId,
        port: Port,
        telephone_event: Option<u8>,
        outgoing: Outgoing,
    ) -> Self {
        Self {
            id,
            port,
            telephone_event,
            remote: None,
            secured: None,
            reception: Reception::default(),
            events: EventReceiver::default(),
            events_stream: 0,
            outgoing,
            bridged: None,
            mix: None,
            playing: None,
            keys: KeysOut::default(),
            listening: None,
            sent: 0,
            refused: 0,
            unsent: 0,
            overflowed: 0,
            heard: false,
            heard_at: now,
            silent: false,
            reported_at: now,
            reported_sent: 0,
            sender_report: None,
            peer: None,
        }
    }

    pub(super) fn stats(&self) -> LegStats {
        let counts = self.reception.counts();
        LegStats {
            received: counts.received,
            sent: self.sent,
            lost: counts.lost(),
            jitter_us: self.reception.jitter_us(),
            refused: self.refused,
        }
    }

    /// What was added since `then`; the jitter is the present one.
    pub(super) fn stats_since(&self, then: &LegStats) -> LegStats {
        let now = self.stats();
        LegStats {
            received: now.received.saturating_sub(then.received),
            sent: now.sent.saturating_sub(then.sent),
            // A packet lost before and found since makes this less than nothing.
            lost: now.lost.saturating_sub(then.lost),
            jitter_us: now.jitter_us,
            refused: now.refused.saturating_sub(then.refused),
        }
    }

    pub(super) fn detail(&self) -> LegDetail {
        let counts = self.reception.counts();
        LegDetail {
            duplicates: counts.duplicates,
            reordered: counts.reordered,
            unsent: self.unsent,
            overflowed: self.overflowed,
            peer: self.peer,
        }
    }

    /// Something of the peer's came.
    pub(super) fn alive(&mut self, now: Instant) {
        self.heard_at = now;
        self.silent = false;
    }

    /// The peer's side when anything may be sent there.
    pub(super) fn sendable(&self) -> Option<&Remote> {
        self.remote.as_ref().filter(|remote| remote.send)
    }
}
