//! Legs: what this machine says of them and hears of them. Only `engine` turns these words into
//! SIP and RTP.

use domain::{AgentId, AttemptId, Key, LegId, PhoneNumber};
use serde::{Deserialize, Serialize};

/// Whom a new leg is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// A lead, by a trunk. The engine asks the permit, sends the INVITE and answers with
    /// [`crate::Input::Dialed`] or [`crate::Input::NotDialed`].
    Person {
        /// The attempt it belongs to.
        attempt: AttemptId,
        /// The number to dial.
        number: PhoneNumber,
    },
    /// An agent's registered phone: one leg for the whole shift.
    Agent(AgentId),
}

/// What is to be played to a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// The abandonment message: who called, and key 9 to opt out (16 CFR 310.4(b)(4)(iii)).
    SafeHarbour,
    /// Music, or what stands for it, around and around until it is stopped: for who waits.
    Waiting,
    /// Who called, and key 9 to opt out: for a person who called back and whom nobody takes.
    WhoCalled,
    /// A short tone: the key was understood.
    Confirmed,
    /// The campaign's message, to a machine that records.
    VoiceDrop,
}

/// What the engine is to do with a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegCommand {
    /// Start a leg.
    Dial {
        /// The new leg.
        leg: LegId,
        /// Whom it reaches.
        to: Callee,
    },
    /// Give up a leg that was not answered. The leg ends with [`LegEvent::Failed`], or, when the
    /// answer crossed the CANCEL on the wire (RFC 3261 section 9.1), with [`LegEvent::Answered`].
    Cancel {
        /// The leg.
        leg: LegId,
    },
    /// End an answered leg (BYE). Nothing more needs to be said of it.
    HangUp {
        /// The leg.
        leg: LegId,
    },
    /// Let two legs hear each other.
    Bridge {
        /// The person's leg.
        a: LegId,
        /// The agent's leg.
        b: LegId,
    },
    /// Part two legs. Either may already be gone.
    Unbridge {
        /// The person's leg.
        a: LegId,
        /// The agent's leg.
        b: LegId,
    },
    /// Record nothing of a recorded bridge for now, or everything again.
    PauseRecording {
        /// The person's leg.
        leg: LegId,
        /// For now.
        paused: bool,
    },
    /// The person of a bridge hears music, and neither side the other.
    Hold {
        /// The person's leg.
        leg: LegId,
    },
    /// They hear each other again.
    Resume {
        /// The person's leg.
        leg: LegId,
    },
    /// Send a key to whoever is at the leg, after those before it.
    SendKey {
        /// The person's leg.
        leg: LegId,
        /// Which.
        key: Key,
    },
    /// Play a prompt; [`LegEvent::Played`] tells its end.
    Play {
        /// The leg.
        leg: LegId,
        /// What.
        prompt: Prompt,
    },
    /// Stop what is being played.
    StopPlay {
        /// The leg.
        leg: LegId,
    },
}

/// Why a leg failed on our own side, where no final response tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalCause {
    /// No final response came in time (RFC 3261 timer B, or the trunk's own limit).
    TimedOut,
    /// The trunk's address could not be reached, or the connection broke.
    Unreachable,
    /// The trunk refused our credentials.
    CredentialsRefused,
    /// The answer's media description could not be used.
    MediaRefused,
}

/// The facts of a leg's failure, from which [`crate::failure::disposition`] reads the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Failure {
    /// Final SIP status, 0 where none came.
    pub status: u16,
    /// Q.850 cause from the Reason header (RFC 3326), 0 where none came.
    pub q850: u16,
    /// What went wrong on our side, if that is it.
    pub local: Option<LocalCause>,
}

/// What happened to a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// 180: the phone rings.
    Ringing,
    /// 183 with media: ringback or an announcement.
    EarlyMedia,
    /// 200.
    Answered,
    /// Ended without an answer.
    Failed(Failure),
    /// A key was pressed: `0`-`9`, `*`, `#`, `A`-`D` (RFC 4733).
    Digit(char),
    /// An answered leg ended.
    HungUp {
        /// The other side ended it; otherwise we did (session timer, lost media, shutdown).
        by_peer: bool,
    },
    /// A prompt was played to its end.
    Played,
    /// An agent's answered leg has no audio for now: a browser whose page is loaded anew, or whose
    /// network is gone. [`LegEvent::Restored`] or [`LegEvent::HungUp`] follows.
    Interrupted,
    /// It has audio again.
    Restored,
}
