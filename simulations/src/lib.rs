//! The world that dialmesh is tested and shown against: a phone network with real SIP and RTP,
//! agents with phones and buttons, the wire between cities with its faults, people to call, and
//! the checkers that judge a run.
//!
//! It is the independent witness: it shares no SIP, RTP or audio code with the product, so that a
//! mistake made there is not made here too ([`wire`] says more).

pub mod agent;
pub mod audio;
pub mod carrier;
pub mod chaos;
pub mod checker;
pub mod control;
pub mod link;
pub mod phone;
pub mod population;
pub mod process;
pub mod wire;
pub mod world;
