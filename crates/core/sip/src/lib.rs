//! SIP without sockets: messages, transactions, dialogs, digest, registration, SDP.
//!
//! Bytes and time go in, bytes and events come out. [`Endpoint`] is the user agent; a node has two,
//! one towards trunks and one towards agents' phones.
//!
//! The way of a message: [`lexer`] frames it and indexes its headers without allocating, [`message`]
//! reads what the headers mean, [`transaction`] machines are found by slot and generation from the
//! branch, and the endpoint's calls hear what is left. RFC sections stand beside what follows them.

mod call;
mod dialog;
pub mod digest;
mod endpoint;
mod flow;
mod framer;
mod gate;
pub mod hep;
mod keepalive;
pub mod lexer;
pub mod message;
pub mod passport;
mod registrar;
mod registration;
pub mod sdp;
mod session_timer;
mod slots;
pub mod transaction;
mod write;

pub use call::{CallHandle, CallState};
pub use digest::Credentials;
pub use endpoint::{
    Address, CallSummary, CancelCause, Counters, EndCause, Endpoint, EndpointConfig, Input, Invite,
    Kind, LocalCause, Output, Rejected, SipEvent, TimerName,
};
pub use flow::Flow;
pub use framer::{Frame, Framer};
pub use gate::Gate;
pub use keepalive::Health;
pub use registrar::{Binding, NONCE_LIFE, RegistrarConfig};
pub use registration::{Registration, RegistrationState};
pub use write::reason_phrase;
