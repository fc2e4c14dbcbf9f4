//! Audio without sockets: G.711, RTP, RTCP, SRTP, tones, DTMF, WAV, prompts, mixing, the port pool; and the
//! [`Exchange`], which joins legs and decides for each packet whether and where it goes on.
//!
//! `media-io` drives an exchange from real sockets; a simulator can drive one from memory.

pub mod browser;
pub mod carried;
pub mod command;
pub mod dtmf;
pub mod exchange;
pub mod g711;
pub mod listen;
pub mod mixer;
pub mod ports;
pub mod prompt;
pub mod reception;
pub mod recorder;
pub mod rtcp;
pub mod rtp;
pub mod source;
pub mod srtp;
pub mod tones;
pub mod wav;

pub use browser::{BROWSER_EVENT, BrowserCommand, BrowserEnd, BrowserEvent, BrowserId};
pub use carried::{CARRIED_EVENT, CarryCommand};
pub use command::{BridgeStats, LegDetail, MediaCommand, MediaEvent, PeerReport, Rejected};
pub use exchange::{
    Exchange, ExchangeConfig, Listening, Onward, RecordingMark, Refusal, Taped, Tapped, TimerName,
    Traffic, Transmit,
};
pub use listen::Timeline;
pub use mixer::{Mixer, Party};
pub use ports::{DRAIN, Port, PortPool, PortRange, PortRangeError};
pub use prompt::{Prompt, PromptError, PromptId, Prompts};
pub use recorder::{Channel, Recorder, SideFacts, Sound};
pub use srtp::{SRTP_ROOM, SrtpContext, SrtpError};

/// Where an exchange's SSRCs come from; drawn by the shell.
pub use sansio::Seed;
