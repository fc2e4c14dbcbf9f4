//! Non-INVITE client transaction: RFC 3261 section 17.1.2.

use super::{Action, Actions, Class, T1, T1_64, T2, T4, Timer};
use sansio::{table, transitions::Table};
use std::time::Duration;

/// Where a request that we sent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Sent, nothing heard.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// Answered; the answer may be repeated.
    Completed,
    /// Over.
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Provisional,
    Final,
    TimerE,
    TimerF,
    TimerK,
    TransportError,
    /// The user does not wait any longer.
    Abandon,
}

use ClientState as State;

pub(super) const TABLE: Table<State, Event> = table!("non-INVITE client transaction", State, Event;
    Trying: TimerE => Trying,
    Trying: Provisional => Proceeding,
    Trying: Final => Completed,
    Trying: TimerF => Terminated,
    Trying: TransportError => Terminated,
    Trying: Abandon => Terminated,
    Proceeding: TimerE => Proceeding,
    Proceeding: Provisional => Proceeding,
    Proceeding: Final => Completed,
    Proceeding: TimerF => Terminated,
    Proceeding: TransportError => Terminated,
    Proceeding: Abandon => Terminated,
    Completed: TimerK => Terminated,
);

/// The machine. Timer E repeats, F gives up, K absorbs repeated answers.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl Client {
    /// Starts: the request goes out.
    pub fn start(reliable: bool) -> (Self, Actions) {
        let machine = Self {
            state: State::Trying,
            reliable,
            interval: T1,
        };
        let mut actions = vec![Action::Transmit, Action::Arm(Timer::F, T1_64)];
        if !reliable {
            actions.push(Action::Arm(Timer::E, T1));
        }
        (machine, Actions::of(&actions))
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    fn step(&mut self, event: Event) -> bool {
        match TABLE.next(self.state, event) {
            Some(next) => {
                self.state = next;
                true
            }
            None => false,
        }
    }

    /// A response came.
    pub fn response(&mut self, class: Class) -> Actions {
        let event = match class {
            Class::Provisional => Event::Provisional,
            Class::Success | Class::Failure => Event::Final,
        };
        if !self.step(event) {
            return Actions::NONE;
        }
        let [e, f] = [Action::Disarm(Timer::E), Action::Disarm(Timer::F)];
        match (self.state, self.reliable) {
            (State::Completed, false) => {
                Actions::of(&[e, f, Action::Arm(Timer::K, T4), Action::Deliver])
            }
            (State::Completed, true) => {
                self.state = State::Terminated;
                Actions::of(&[e, f, Action::Deliver, Action::Terminate])
            }
            _ => Actions::of(&[Action::Deliver]),
        }
    }

    /// A timer of ours fired.
    pub fn timer(&mut self, timer: Timer) -> Actions {
        let event = match timer {
            Timer::E => Event::TimerE,
            Timer::F => Event::TimerF,
            Timer::K => Event::TimerK,
            _ => return Actions::NONE,
        };
        if !self.step(event) {
            return Actions::NONE;
        }
        match event {
            Event::TimerE => {
                self.interval = match self.state {
                    State::Proceeding => T2,
                    _ => (self.interval * 2).min(T2),
                };
                Actions::of(&[Action::Transmit, Action::Arm(Timer::E, self.interval)])
            }
            Event::TimerF => Actions::of(&[
                Action::Disarm(Timer::E),
                Action::TimedOut,
                Action::Terminate,
            ]),
            _ => Actions::of(&[Action::Terminate]),
        }
    }

    /// The transport failed.
    pub fn transport_failed(&mut self) -> Actions {
        if !self.step(Event::TransportError) {
            return Actions::NONE;
        }
        Actions::of(&[
            Action::Disarm(Timer::E),
            Action::Disarm(Timer::F),
            Action::TransportFailed,
            Action::Terminate,
        ])
    }

    /// The user does not wait any longer.
    pub fn abandon(&mut self) -> Actions {
        if !self.step(Event::Abandon) {
            return Actions::NONE;
        }
        Actions::of(&[
            Action::Disarm(Timer::E),
            Action::Disarm(Timer::F),
            Action::Terminate,
        ])
    }
}
