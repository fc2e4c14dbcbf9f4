//! The kit of every core machine.
//!
//! A machine has one face (ARCHITECTURE.md): `handle(now, Input) -> Result<(), Rejected>`,
//! `handle_timeout(now)`, `poll_output() -> Option<Output>`, `poll_timeout() -> Option<(Instant,
//! TimerName)>`. **One input, then drain outputs until `None`, then look at the timeout.**

mod lookup;
mod random;
mod replicated;
mod timers;
pub mod transitions;

pub use lookup::{LookUp, Spread};
pub use random::{Seed, Stream};
pub use replicated::{ApplyContext, Replicated, RestoreError};
pub use timers::Timers;
