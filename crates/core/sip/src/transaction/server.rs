//! Non-INVITE server transaction: RFC 3261 section 17.2.2.

use super::{Action, Actions, Class, T1_64, Timer};
use sansio::{table, transitions::Table};

/// Where a request that came in stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Nothing answered yet.
    Trying,
    /// Answered provisionally.
    Proceeding,
    /// Answered; the request may be repeated.
    Completed,
    /// Over.
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Request,
    SendProvisional,
    SendFinal,
    TimerJ,
    TransportError,
}

use ServerState as State;

pub(super) const TABLE: Table<State, Event> = table!("non-INVITE server transaction", State, Event;
    Trying: Request => Trying,
    Trying: SendProvisional => Proceeding,
    Trying: SendFinal => Completed,
    Proceeding: Request => Proceeding,
    Proceeding: SendProvisional => Proceeding,
    Proceeding: SendFinal => Completed,
    Proceeding: TransportError => Terminated,
    Completed: Request => Completed,
    Completed: TimerJ => Terminated,
    Completed: TransportError => Terminated,
);

/// The machine. Timer J answers repeated requests with the same response.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    state: State,
    reliable: bool,
}

impl Server {
    /// A request came in for the first time.
    pub fn start(reliable: bool) -> Self {
        Self {
            state: State::Trying,
            reliable,
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

    /// The request came again.
    pub fn request(&mut self) -> Actions {
        match self.step(Event::Request) {
            Some(State::Proceeding | State::Completed) => Actions::of(&[Action::Transmit]),
            _ => Actions::NONE,
        }
    }

    /// The user answers.
    pub fn respond(&mut self, class: Class) -> Actions {
        let event = match class {
            Class::Provisional => Event::SendProvisional,
            Class::Success | Class::Failure => Event::SendFinal,
        };
        match (self.step(event), self.state) {
            (None, _) => Actions::NONE,
            (_, State::Completed) if self.reliable => {
                self.state = State::Terminated;
                Actions::of(&[Action::Transmit, Action::Terminate])
            }
            (_, State::Completed) => Actions::of(&[Action::Transmit, Action::Arm(Timer::J, T1_64)]),
            _ => Actions::of(&[Action::Transmit]),
        }
    }

    /// A timer of ours fired.
    pub fn timer(&mut self, timer: Timer) -> Actions {
        if timer != Timer::J || self.step(Event::TimerJ).is_none() {
            return Actions::NONE;
        }
        Actions::of(&[Action::Terminate])
    }

    /// The transport failed.
    pub fn transport_failed(&mut self) -> Actions {
        match self.step(Event::TransportError) {
            Some(_) => Actions::of(&[Action::Disarm(Timer::J), Action::Terminate]),
            None => Actions::NONE,
        }
    }
}
