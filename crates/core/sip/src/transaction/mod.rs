//! The four transactions of RFC 3261 section 17 with the corrections of RFC 6026.
//!
//! Each machine is its table, a little memory, and [`Actions`] for the endpoint to carry out. They
//! know no message, no flow and no clock.

mod client;
mod invite_client;
mod invite_server;
mod server;

pub use client::{Client, ClientState};
pub use invite_client::{InviteClient, InviteClientState};
pub use invite_server::{InviteServer, InviteServerState};
pub use server::{Server, ServerState};

use std::time::Duration;

/// Round-trip estimate T1 (RFC 3261 section 17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// Longest retransmission interval T2.
pub const T2: Duration = Duration::from_secs(4);
/// Longest life of a message in the network T4.
pub const T4: Duration = Duration::from_secs(5);
/// 64 T1: how long anything is repeated or waited for.
pub const T1_64: Duration = Duration::from_secs(32);

/// RFC 3261's timers by their letters (table 4), and L and M of RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the letters are explained by their machines")]
pub enum Timer {
    A,
    B,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
}

/// What a machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Client: send the request (again). Server: send the last response (again).
    Transmit,
    /// INVITE client: acknowledge the failure.
    Acknowledge,
    /// Tell the transaction's user about what came in.
    Deliver,
    /// Start a timer.
    Arm(Timer, Duration),
    /// Stop a timer.
    Disarm(Timer),
    /// Tell the user that nobody answered, or that the ACK never came.
    TimedOut,
    /// Tell the user that the transport failed.
    TransportFailed,
    /// Forget the transaction. Always last.
    Terminate,
}

/// Up to six [`Action`]s, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Actions {
    list: [Option<Action>; 6],
    len: usize,
}

impl Actions {
    /// Nothing to do.
    pub const NONE: Self = Self {
        list: [None; 6],
        len: 0,
    };

    fn of(actions: &[Action]) -> Self {
        let mut list = Self::NONE;
        for action in actions {
            list.list[list.len] = Some(*action);
            list.len += 1;
        }
        list
    }

    /// The actions in order.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        self.list.into_iter().flatten()
    }
}

/// What kind of response came, or is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx to 6xx.
    Failure,
}

impl Class {
    /// The class of a status.
    pub fn of(status: u16) -> Self {
        match status {
            0..200 => Self::Provisional,
            200..300 => Self::Success,
            _ => Self::Failure,
        }
    }
}

#[cfg(test)]
mod tests;
