//! The RTP relay: one thread that owns the sockets of a port range and drives a
//! [`media::Exchange`] with what they bring.
//!
//! All sockets are bound at the start and registered with epoll once. A wake reads each ready
//! socket with one `recvmmsg`, the exchange edits the packets in place, and they leave from the
//! other leg's socket, several at a time with one `sendmmsg`. Nothing is allocated and no lock
//! is taken on a packet's way; metrics are added up and told once a second. Packets of a leg that is
//! listened to are decoded for an `answering::Listener` as well; those of a recorded bridge are copied
//! into a batch for whoever writes recordings ([`tapes`]).
//!
//! One thread serves a node: 200 bridged calls take a few hundredths of a core, and any two legs
//! must be able to meet. Several relays on disjoint port ranges may run in one process, but a
//! bridge never spans two of them.
//!
//! Agents' browsers join by WebRTC ([`BrowserConfig`]): one more socket, sessions in front of legs. Legs of
//! calls that go on at another node have the mesh in the place of a socket ([`CarriedGate`]).

mod browser;
mod carried;
mod clock;
mod ears;
mod measure;
mod prompts;
mod relay;
mod sockets;
mod syscalls;
mod tapes;
mod worker;

pub use browser::{Arrival, BeginError, BrowserConfig, BrowserGate, BrowserSink, OfferError};
pub use carried::{CarriedGate, CarriedSink};
pub use clock::now;
pub use prompts::{PromptFileError, load_prompts};
pub use relay::{Relay, RelayConfig, RelayHandle, SendError, StartError};
pub use tapes::{RelayGone, TapeBatch, TapeEntry, TapeReader, Tapes, tapes};
