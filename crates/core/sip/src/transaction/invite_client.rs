//! INVITE client transaction: RFC 3261 section 17.1.1, RFC 6026 section 8.4.

use super::{Action, Actions, Class, T1, T1_64, Timer};
use sansio::{table, transitions::Table};
use std::time::Duration;

/// Where an INVITE that we sent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteClientState {
    /// Sent, nothing heard.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A 2xx came; more may, from forks or repeated (RFC 6026).
    Accepted,
    /// A failure came; it may be repeated.
    Completed,
    /// Over.
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Provisional,
    Success,
    Failure,
    TimerA,
    TimerB,
    TimerD,
    TimerM,
    TransportError,
    /// The user waited long enough for a final response (section 9.1).
    Abandon,
}

use InviteClientState as State;

pub(super) const TABLE: Table<State, Event> = table!("INVITE client transaction", State, Event;
    Calling: TimerA => Calling,
    Calling: Provisional => Proceeding,
    Calling: Success => Accepted,
    Calling: Failure => Completed,
    Calling: TimerB => Terminated,
    Calling: TransportError => Terminated,
    Calling: Abandon => Terminated,
    Proceeding: Provisional => Proceeding,
    Proceeding: Success => Accepted,
    Proceeding: Failure => Completed,
    Proceeding: Abandon => Terminated,
    Accepted: Success => Accepted,
    Accepted: TimerM => Terminated,
    Completed: Failure => Completed,
    Completed: TransportError => Terminated,
    Completed: TimerD => Terminated,
);

/// The machine. Timer A doubles the interval of retransmission, B gives up, D waits for repeated
/// failures, M for more 2xx.
#[derive(Clone, Copy, Debug)]
pub struct InviteClient {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl InviteClient {
    /// Starts: the request goes out.
    pub fn start(reliable: bool) -> (Self, Actions) {
        let machine = Self {
            state: State::Calling,
            reliable,
            interval: T1,
        };
        let mut actions = vec![Action::Transmit, Action::Arm(Timer::B, T1_64)];
        if !reliable {
            actions.push(Action::Arm(Timer::A, T1));
        }
        (machine, Actions::of(&actions))
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

    /// A response came.
    pub fn response(&mut self, class: Class) -> Actions {
        let event = match class {
            Class::Provisional => Event::Provisional,
            Class::Success => Event::Success,
            Class::Failure => Event::Failure,
        };
        let Some(before) = self.step(event) else {
            return Actions::NONE;
        };
        let [a, b] = [Action::Disarm(Timer::A), Action::Disarm(Timer::B)];
        match (before, self.state) {
            (_, State::Proceeding) => Actions::of(&[a, b, Action::Deliver]),
            (State::Accepted, State::Accepted) => Actions::of(&[Action::Deliver]),
            (_, State::Accepted) => {
                Actions::of(&[a, b, Action::Arm(Timer::M, T1_64), Action::Deliver])
            }
            (State::Completed, State::Completed) => Actions::of(&[Action::Acknowledge]),
            (_, State::Completed) if self.reliable => {
                // Timer D is zero: nothing is repeated on a stream.
                self.state = State::Terminated;
                Actions::of(&[
                    a,
                    b,
                    Action::Acknowledge,
                    Action::Deliver,
                    Action::Terminate,
                ])
            }
            (_, State::Completed) => Actions::of(&[
                a,
                b,
                Action::Acknowledge,
                Action::Arm(Timer::D, T1_64),
                Action::Deliver,
            ]),
            _ => Actions::NONE,
        }
    }

    /// A timer of ours fired.
    pub fn timer(&mut self, timer: Timer) -> Actions {
        let event = match timer {
            Timer::A => Event::TimerA,
            Timer::B => Event::TimerB,
            Timer::D => Event::TimerD,
            Timer::M => Event::TimerM,
            _ => return Actions::NONE,
        };
        if self.step(event).is_none() {
            return Actions::NONE;
        }
        match event {
            Event::TimerA => {
                self.interval *= 2;
                Actions::of(&[Action::Transmit, Action::Arm(Timer::A, self.interval)])
            }
            Event::TimerB => Actions::of(&[
                Action::Disarm(Timer::A),
                Action::TimedOut,
                Action::Terminate,
            ]),
            _ => Actions::of(&[Action::Terminate]),
        }
    }

    /// The transport failed.
    pub fn transport_failed(&mut self) -> Actions {
        match self.step(Event::TransportError) {
            Some(State::Calling) => Actions::of(&[
                Action::Disarm(Timer::A),
                Action::Disarm(Timer::B),
                Action::TransportFailed,
                Action::Terminate,
            ]),
            Some(_) => Actions::of(&[Action::Disarm(Timer::D), Action::Terminate]),
            None => Actions::NONE,
        }
    }

    /// The user gives up waiting for a final response.
    pub fn abandon(&mut self) -> Actions {
        match self.step(Event::Abandon) {
            Some(_) => Actions::of(&[
                Action::Disarm(Timer::A),
                Action::Disarm(Timer::B),
                Action::Terminate,
            ]),
            None => Actions::NONE,
        }
    }
}
