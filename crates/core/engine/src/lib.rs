//! One machine for one node, composed of the other core crates.
//!
//! [`Engine`] turns what `call` wishes of legs into SIP and media, what SIP and media say into
//! leg events, asks `permit` at the last moment, lets `pacing` say how many lines, and chooses
//! trunk and caller ID. It must not know sockets, clocks, Raft or the mesh: permissions and
//! directory facts come in as values; journal entries, datagrams and claims go out as values.
//!
//! **One input, then drain outputs until `None`, then look at the timeout.** Outputs are in
//! order: a [`Output::Note`] or [`Output::Persist`] is written before anything after it leaves.

mod asking;
mod bases;
mod browsers;
mod call_backs;
mod called;
mod callers;
mod clearance;
mod dialing;
mod engine;
mod escrow;
mod face;
mod facts;
mod health;
mod hopper;
mod learning;
mod legs;
mod levers;
mod lines;
mod listening;
mod overflow;
mod phones;
mod problems;
mod prompts;
mod recordings;
mod records;
mod scores;
mod secured;
mod signalling;
mod standings;
mod status;
mod supervision;
mod targets;

pub use asking::CallerAnswer;
pub use call_backs::CallBackConfig;
pub use called::CalledPerson;
pub use engine::Engine;
pub use face::{
    DirectoryChange, EngineConfig, Entry, Input, LearnedOf, Observed, Output, PhoneAddress,
    Rejected, Side, TimerName,
};
pub use facts::DirectoryCopy;
pub use overflow::OverflowStep;
pub use recordings::RecordingOrder;
pub use secured::SrtpConfig;
