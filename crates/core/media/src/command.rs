//! What an engine tells a relay, and what it hears from it.

use domain::{
    AttemptId, Codec, Key, LegId, LegStats, SrtpKeys, Supervision, answering::Heard, limits,
};
use std::{net::SocketAddr, time::Duration};

use crate::{ports::Port, prompt::PromptId};

/// Said by the engine to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaCommand {
    /// A leg begins on `port`. Nothing is accepted until [`SetRemote`](Self::SetRemote).
    Open {
        /// The leg.
        leg: LegId,
        /// Its port, from the pool.
        port: Port,
        /// The payload type under which we promised to understand telephone events.
        telephone_event: Option<u8>,
    },
    /// The peer's side as its SDP has it; again after a re-INVITE. The same address keeps the
    /// lock and the statistics; another one starts a new lock.
    SetRemote {
        /// The leg.
        leg: LegId,
        /// Where its RTP comes from and goes to. For a phone behind a translating router, the
        /// address its SIP came from rather than the private one in its SDP.
        addr: SocketAddr,
        /// Where its RTCP goes. The same as `addr` when RTP and RTCP share a port (RFC 5761);
        /// `None` sends no reports.
        rtcp: Option<SocketAddr>,
        /// What is sent to it. Both laws are understood from it, always.
        codec: Codec,
        /// The payload type under which it understands telephone events.
        telephone_event: Option<u8>,
        /// Whether anything is sent to it: false on hold.
        send: bool,
        /// Whether the first valid packet from the same host, whatever its port, locks the
        /// source and shows where to send: for registered phones, never for trunks.
        symmetric: bool,
    },
    /// The leg's packets are SRTP with these keys from here on, or plain: said before the
    /// [`SetRemote`](Self::SetRemote) of the same description. A key that stays keeps its streams.
    Secure {
        /// The leg.
        leg: LegId,
        /// What its session agreed on.
        keys: Option<SrtpKeys>,
    },
    /// Two open legs hear each other.
    Bridge {
        /// One leg.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// They no longer do. Answered by [`MediaEvent::Unbridged`].
    Unbridge {
        /// One leg.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// A prompt is played to a leg, in place of what its bridge says and of any prompt before.
    Play {
        /// The leg.
        leg: LegId,
        /// The prompt.
        prompt: PromptId,
        /// Around and around, until [`StopPlay`](Self::StopPlay).
        repeat: bool,
    },
    /// The prompt ends now. No answer when none is playing.
    StopPlay {
        /// The leg.
        leg: LegId,
    },
    /// The leg hears a prompt around and around, and neither it nor the other leg of its bridge hears the
    /// other; nothing of either is recorded, and of the two a supervisor hears the other leg alone. The
    /// bridge's end ends it.
    Hold {
        /// The leg.
        leg: LegId,
        /// The prompt.
        prompt: PromptId,
    },
    /// The two hear each other again; nothing where they do.
    Resume {
        /// The leg that was held.
        leg: LegId,
    },
    /// A key is sent to the leg's peer, after those that wait: as a telephone event (RFC 4733) where it
    /// understands them, else as its tone. Meanwhile it hears nothing else.
    SendKey {
        /// The leg.
        leg: LegId,
        /// Which.
        key: Key,
    },
    /// Somebody listens to what the leg's peer says, and tells who it is
    /// ([`MediaEvent::Heard`]); until that was told of the answer, of a machine until its beep, and at
    /// the latest until the leg is bridged, hears a prompt, or closes. Said twice: at the beginning, and
    /// with the answer.
    Listen {
        /// The leg.
        leg: LegId,
        /// Whether it was answered: what comes from here on is whoever answered.
        answered: bool,
    },
    /// What two bridged legs say is recorded, until they part.
    Record {
        /// Of which call.
        recording: AttemptId,
        /// The agent's leg.
        agent: LegId,
        /// The person's leg.
        person: LegId,
    },
    /// Nothing is recorded of a recorded bridge for now, or everything again.
    PauseRecording {
        /// A leg of the bridge.
        leg: LegId,
        /// For now.
        paused: bool,
    },
    /// A leg comes into the bridge of an agent's leg, or is there in another manner from here on: it
    /// hears both sides. The bridge's end lets it go.
    Supervise {
        /// The leg; in no bridge itself.
        leg: LegId,
        /// The agent's leg.
        agent: LegId,
        /// Who hears it.
        manner: Supervision,
    },
    /// The leg goes out of the bridge that it supervises.
    Unsupervise {
        /// The leg.
        leg: LegId,
    },
    /// How the leg is doing; answered by [`MediaEvent::Snapshot`].
    Snapshot {
        /// The leg.
        leg: LegId,
    },
    /// The leg ends, and with it its prompt and its bridge. Always answered by
    /// [`MediaEvent::Closed`] when the leg was open.
    Close {
        /// The leg.
        leg: LegId,
    },
}

impl MediaCommand {
    /// The (first) leg it is about.
    pub fn leg(&self) -> LegId {
        match self {
            Self::Open { leg, .. }
            | Self::Secure { leg, .. }
            | Self::SetRemote { leg, .. }
            | Self::Play { leg, .. }
            | Self::StopPlay { leg }
            | Self::Hold { leg, .. }
            | Self::Resume { leg }
            | Self::SendKey { leg, .. }
            | Self::Listen { leg, .. }
            | Self::PauseRecording { leg, .. }
            | Self::Supervise { leg, .. }
            | Self::Unsupervise { leg }
            | Self::Snapshot { leg }
            | Self::Close { leg } => *leg,
            Self::Bridge { a, .. } | Self::Unbridge { a, .. } => *a,
            Self::Record { person, .. } => *person,
        }
    }
}

/// Heard by the engine from the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// The leg's first valid packet came: its source is locked.
    FirstPacket {
        /// The leg.
        leg: LegId,
    },
    /// A key was pressed (RFC 4733): told at its first packet, once.
    Digit {
        /// The leg.
        leg: LegId,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// A prompt came to its end.
    Played {
        /// The leg.
        leg: LegId,
        /// The prompt.
        prompt: PromptId,
        /// To the last frame; false when it was stopped, replaced, or its leg closed.
        finished: bool,
    },
    /// A bridge ended, by command or because a leg closed.
    Unbridged {
        /// One leg, as named when they were bridged.
        a: LegId,
        /// The other.
        b: LegId,
        /// What both legs' RTP was like while they were bridged.
        stats: BridgeStats,
    },
    /// Neither RTP nor RTCP came from the leg for that long. Told once for each silence.
    Silent {
        /// The leg.
        leg: LegId,
        /// How long.
        span: Duration,
    },
    /// Who listens to the leg has something to say: of early media each thing that it is (ringback,
    /// then more), of the answer once.
    Heard {
        /// The leg.
        leg: LegId,
        /// What.
        heard: Heard,
    },
    /// Answer to [`MediaCommand::Snapshot`].
    Snapshot {
        /// The leg.
        leg: LegId,
        /// Since it was opened.
        stats: LegStats,
        /// Beyond what a call record keeps.
        detail: LegDetail,
    },
    /// The leg is gone; its port may go back to the pool.
    Closed {
        /// The leg.
        leg: LegId,
        /// Its port.
        port: Port,
        /// Over its whole life.
        stats: LegStats,
        /// Beyond what a call record keeps.
        detail: LegDetail,
    },
    /// A command was refused and changed nothing.
    Rejected {
        /// The command.
        command: MediaCommand,
        /// Why.
        reason: Rejected,
    },
}

/// Both sides of a bridge, from its start to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeStats {
    /// Leg `a`.
    pub a: LegStats,
    /// Leg `b`.
    pub b: LegStats,
}

/// What is known of a leg beyond [`LegStats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegDetail {
    /// Packets that came twice; dropped.
    pub duplicates: u64,
    /// Packets that came after a later one; passed on.
    pub reordered: u64,
    /// Packets for this leg's peer that the system would not take.
    pub unsent: u64,
    /// Packets of this leg that the system dropped before we read them. They are among the
    /// lost, and they are our fault.
    pub overflowed: u64,
    /// What the peer last said of what it hears from us.
    pub peer: Option<PeerReport>,
}

/// A peer's receiver report (RFC 3550, 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerReport {
    /// Packets of ours that it never got; negative when the network doubled some.
    pub lost: i32,
    /// Share lost since its report before, in 256ths.
    pub fraction_lost: u8,
    /// Jitter in microseconds as it sees it.
    pub jitter_us: u32,
    /// From us to it and back.
    pub round_trip: Option<Duration>,
}

/// A command that cannot be followed; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No such leg is open.
    #[error("the leg is not open")]
    UnknownLeg,
    /// A leg of that id is open already.
    #[error("the leg is open already")]
    LegExists,
    /// The port is another leg's.
    #[error("another leg is open on the port")]
    PortTaken,
    /// The port is not of this relay's range.
    #[error("the port is outside the relay's range")]
    PortOutside,
    /// A leg is in a bridge already, or the two are the same leg.
    #[error("a leg is in a bridge already, or named twice; unbridge it first")]
    Bridged,
    /// The two legs are not in one bridge.
    #[error("the legs are not bridged with each other")]
    NotBridged,
    /// The bridge is recorded already.
    #[error("the bridge is recorded already")]
    Recorded,
    /// The leg is in no bridge that is recorded.
    #[error("the leg is in no bridge that is recorded")]
    NotRecorded,
    /// The leg supervises another bridge.
    #[error("the leg supervises another bridge; let it leave that first")]
    Supervises,
    /// The leg supervises no bridge.
    #[error("the leg supervises no bridge")]
    NotSupervised,
    /// The bridge has as many supervisors as it may.
    #[error(
        "{} supervisors are in the bridge, which is the limit",
        limits::CALL_SUPERVISORS
    )]
    RoomFull,
    /// As many keys wait for the leg's peer as may.
    #[error("{} keys wait to be sent, which is the limit", 2 * limits::KEYS_WAITING)]
    KeysFull,
    /// No such prompt.
    #[error("there is no prompt of that id")]
    UnknownPrompt,
    /// The address is not one that media may be sent to.
    #[error("media is not sent to port zero, to everybody, or to a group")]
    Address,
}
