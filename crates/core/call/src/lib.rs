//! Attempts, calls, agents, their matching and wrap-up: speaks of legs, knows no SIP and no RTP.
//!
//! [`CallCenter`] is one node's machine. It is composed of small ones with a transition table
//! each: the attempt ([`attempt::ATTEMPT`]), the agent ([`agent::AGENT`]) and the agent's phone
//! ([`agent::PHONE`]).
//!
//! What it keeps, whatever comes:
//! - an attempt ends in exactly one disposition, and an agent is told that one is set only after
//!   the journal has it (I7);
//! - an agent is in at most one bridge, and an agent who is gone counts for pacing no longer (I8);
//! - a person who was asked to be let go (cancelled, limit reached) is never joined with an agent.

pub mod agent;
pub mod attempt;
mod center;
mod command;
mod end;
pub mod error;
mod face;
pub mod failure;
mod leg;
mod notice;
mod ready;

pub use agent::Duty;
pub use attempt::{AttemptState, CancelReason, DialFacts, JournalEntry};
pub use center::{CallCenter, JoinedCall, LineAge, LinePhase, PacingView, limits};
pub use command::AgentCommand;
pub use end::AttemptEnd;
pub use error::{AgentError, CommandError, ErrorPage};
pub use face::{
    Account, AgentTimer, AttemptTimer, CallBackWish, Input, Observed, Output, PersistToken,
    Rejected, RequestId, TimerName,
};
pub use leg::{Callee, Failure, LegCommand, LegEvent, LocalCause, Prompt};
pub use notice::{
    AgentNotice, AgentStatus, CallBackCard, CallCard, CallEnd, DispositionChoice, EndedBy, Phone,
    RecordingState, WITHHELD,
};

/// Agents' legs are numbered by [`CallCenter`] from here up; the engine numbers all others below.
pub const AGENT_LEGS: u64 = 1 << 63;
