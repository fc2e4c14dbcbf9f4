//! INVITE server transaction: RFC 3261 section 17.2.1, RFC 6026 section 8.7.

use super::{Action, Actions, Class, T1, T1_64, T2, T4, Timer};
use sansio::{table, transitions::Table};
use std::time::Duration;

/// Where an INVITE that came in stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteServerState {
    /// Being decided.
    Proceeding,
    /// Answered with 2xx, which the user repeats; repeated INVITEs are absorbed (RFC 6026).
    Accepted,
    /// Refused; waits for the ACK.
    Completed,
    /// The ACK came; repeated ones are absorbed.
    Confirmed,
    /// Over.
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Request,
    Ack,
    SendProvisional,
    SendSuccess,
    SendFailure,
    TimerG,
    TimerH,
    TimerI,
    TimerL,
    TransportError,
}

use InviteServerState as State;

pub(super) const TABLE: Table<State, Event> = table!("INVITE server transaction", State, Event;
    Proceeding: Request => Proceeding,
    Proceeding: SendProvisional => Proceeding,
    Proceeding: SendSuccess => Accepted,
    Proceeding: SendFailure => Completed,
    Proceeding: TransportError => Terminated,
    Accepted: Request => Accepted,
    Accepted: Ack => Accepted,
    Accepted: SendSuccess => Accepted,
    Accepted: TimerL => Terminated,
    Completed: Request => Completed,
    Completed: TimerG => Completed,
    Completed: Ack => Confirmed,
    Completed: TimerH => Terminated,
    Completed: TransportError => Terminated,
    Confirmed: Ack => Confirmed,
    Confirmed: TimerI => Terminated,
);

/// The machine. Timer G repeats the refusal, H gives up waiting for its ACK, I absorbs repeated ACKs,
/// L repeated INVITEs.
#[derive(Clone, Copy, Debug)]
pub struct InviteServer {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl InviteServer {
    /// An INVITE came in for the first time.
    pub fn start(reliable: bool) -> Self {
        Self {
            state: State::Proceeding,
            reliable,
            interval: T1,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    fn step(&mut self, event: Event) -> Option<State> {
        let before = self.state;
        self.state = TABLE.next(before, event)?;
        Some(before)
    }

    /// The INVITE came again.
    pub fn request(&mut self) -> Actions {
        match self.step(Event::Request) {
            Some(State::Proceeding | State::Completed) => Actions::of(&[Action::Transmit]),
            _ => Actions::NONE,
        }
    }

    /// An ACK for the refusal came. (An ACK for a 2xx has a branch of its own and finds the call.)
    pub fn ack(&mut self) -> Actions {
        match self.step(Event::Ack) {
            Some(State::Completed) if self.reliable => {
                self.state = State::Terminated;
                Actions::of(&[Action::Disarm(Timer::H), Action::Terminate])
            }
            Some(State::Completed) => Actions::of(&[
                Action::Disarm(Timer::G),
                Action::Disarm(Timer::H),
                Action::Arm(Timer::I, T4),
            ]),
            _ => Actions::NONE,
        }
    }

    /// The user answers.
    pub fn respond(&mut self, class: Class) -> Actions {
        let event = match class {
            Class::Provisional => Event::SendProvisional,
            Class::Success => Event::SendSuccess,
            Class::Failure => Event::SendFailure,
        };
        let Some(before) = self.step(event) else {
            return Actions::NONE;
        };
        match (before, self.state) {
            (State::Proceeding, State::Accepted) => {
                Actions::of(&[Action::Transmit, Action::Arm(Timer::L, T1_64)])
            }
            (_, State::Completed) if self.reliable => {
                Actions::of(&[Action::Transmit, Action::Arm(Timer::H, T1_64)])
            }
            (_, State::Completed) => Actions::of(&[
                Action::Transmit,
                Action::Arm(Timer::G, T1),
                Action::Arm(Timer::H, T1_64),
            ]),
            _ => Actions::of(&[Action::Transmit]),
        }
    }

    /// A timer of ours fired.
    pub fn timer(&mut self, timer: Timer) -> Actions {
        let event = match timer {
            Timer::G => Event::TimerG,
            Timer::H => Event::TimerH,
            Timer::I => Event::TimerI,
            Timer::L => Event::TimerL,
            _ => return Actions::NONE,
        };
        if self.step(event).is_none() {
            return Actions::NONE;
        }
        match event {
            Event::TimerG => {
                self.interval = (self.interval * 2).min(T2);
                Actions::of(&[Action::Transmit, Action::Arm(Timer::G, self.interval)])
            }
            Event::TimerH => Actions::of(&[
                Action::Disarm(Timer::G),
                Action::TimedOut,
                Action::Terminate,
            ]),
            _ => Actions::of(&[Action::Terminate]),
        }
    }

    /// The transport failed.
    pub fn transport_failed(&mut self) -> Actions {
        match self.step(Event::TransportError) {
            Some(_) => Actions::of(&[
                Action::Disarm(Timer::G),
                Action::Disarm(Timer::H),
                Action::TransportFailed,
                Action::Terminate,
            ]),
            None => Actions::NONE,
        }
    }
}
