//! The lease protocol as a model.

mod state;
mod steps;

pub use state::{Lease, Line, Mark, Member, Number, Session, State};

use crate::{
    Defect, Invariant,
    first::First,
    time::{Grid, LONG_AGO, SPAN, Table, settled},
};
use domain::limits;
use permit::SessionLease;
use state::{ATTEMPTS, MEMBERS, NUMBERS};
use stateright::{Model, Property};
use std::time::Duration;

/// What can happen next. Members and numbers by their place in the state, which keeps them in
/// an order of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A step of time passes.
    TimePasses,
    /// A step passes, and this member's clock does not see it (a mistake).
    TimePassesUnseenBy(usize),
    /// Another leader is elected; the old one may go on believing that it leads.
    Elected,
    /// Opens a session.
    Opens(usize),
    /// Sends a keep-alive; the leader notes it, proves that it leads, and answers.
    KeepAlive(usize),
    /// Sends a keep-alive that is lost.
    KeepAliveLost(usize),
    /// Sends a keep-alive to a leader that is none any more, and that answers (a mistake).
    KeepAliveToOldLeader(usize),
    /// The answer comes.
    Answered(usize),
    /// Hears that its session has ended.
    LearnsEnd(usize),
    /// Its leader decides to expire its session.
    ExpiryDecided(usize),
    /// The expiry is committed.
    Expires(usize),
    /// Claims a number: one attempt is reserved.
    Claims(usize, usize),
    /// The permit is granted and the datagram leaves, in one step.
    Dials(usize, usize),
    /// The permit is granted, and a pause holds the datagram back.
    Pauses(usize, usize),
    /// The pause is over: the datagram leaves, and the clock is read once more.
    Wakes(usize, usize),
    /// The network ends a call.
    CallEnds(usize, usize),
    /// The outcome of a call that is over is reported.
    Reports(usize, usize),
    /// An outcome is reported as if there had been no call (a mistake).
    ReportsUndialed(usize, usize),
    /// A lead that was never dialed is given back.
    GivesBack(usize, usize),
    /// The process dies and starts again; its journal is whole.
    Crashes(usize),
    /// The power fails; the journal may lack its tail.
    LosesPower(usize),
    /// The journal of an earlier run is told.
    Settles(usize, usize),
    /// The doubt about a lead ends: the attempt counts, nobody knows how it ended.
    DoubtEnds(usize, usize),
}

/// How large the lease model is, beside its three members, two numbers and two attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseShape {
    /// How many of the members are nodes.
    pub dialers: usize,
    /// How many strides make up T.
    pub strides: u32,
    /// Answers to keep-alives may come late. If not they come at once: the worst case, since they
    /// count from their request however late they come.
    pub late_answers: bool,
}

/// The lease protocol.
#[derive(Debug)]
pub struct LeaseModel {
    shape: LeaseShape,
    defect: Option<Defect>,
    first: First,
    may_send: Table,
    is_valid: Table,
    expiry: Table,
    /// So long after an INVITE no call is left, and so long after a session's end no doubt.
    network_done: Table,
    doubt_over: Table,
}

impl LeaseModel {
    /// With this mistake on purpose, if any.
    pub fn new(shape: LeaseShape, defect: Option<Defect>) -> Self {
        let grid = Grid::new(shape.strides);
        let has = |which| defect == Some(which);
        let permille = limits::DRIFT_PERMILLE;
        let (mut node_ttl, mut leader_ttl) = (SPAN, SPAN);
        if has(Defect::NoDriftMargin) {
            // So much more that the machines' own margin comes out as nothing.
            node_ttl = SPAN * 1000 / (1000 - permille);
            leader_ttl = SPAN * 1000 / (1000 + permille);
        }
        if has(Defect::ExpiresEarly) {
            leader_ttl /= 2;
        }
        // The longest that the network may work on a call.
        let longest = SPAN / shape.strides;
        let pace = if has(Defect::TicksRunFast) { 10 } else { 1 };
        let is_valid = grid.session(node_ttl, SessionLease::is_valid);
        let may_send = match defect {
            Some(Defect::NoSessionCheck) => grid.table(|_, _| true),
            Some(Defect::NoGuard) => is_valid,
            _ => grid.session(node_ttl, SessionLease::may_send),
        };
        let over = |pace: u32, after: Duration| {
            grid.table(move |age, phase| grid.span(age, phase) * pace >= after)
        };
        let doubt = if has(Defect::NoDoubt) {
            Duration::ZERO
        } else {
            longest
        };
        Self {
            shape,
            defect,
            first: First::default(),
            may_send,
            is_valid,
            expiry: grid.expiry(leader_ttl),
            network_done: over(1, longest),
            doubt_over: over(pace, doubt),
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn ask(table: &Table, state: &State, age: u8) -> bool {
        table[usize::from(state.phase)][usize::from(age)]
    }

    /// What no longer makes a difference is made equal.
    fn settle(&self, mut state: State) -> State {
        let phase = state.phase;
        for member in &mut state.members {
            if settled(member.valid, phase, &self.may_send)
                && settled(member.valid, phase, &self.is_valid)
            {
                member.valid = LONG_AGO;
            }
            // Nothing is sent by the session of a run that is over, so it may end at any time; and
            // without leads it might as well not be.
            if member.session == Session::OfEarlierRun {
                (member.noted, member.decided) = (LONG_AGO, true);
                if !member.holds_leads() {
                    member.forget_session();
                }
            }
            if !member.is_open() || settled(member.noted, phase, &self.expiry) {
                member.noted = LONG_AGO;
            }
            if !self.has(Defect::CountsFromAnswer) && !self.has(Defect::MixesAnswers) {
                member.flying = (member.flying)
                    .filter(|age| !settled(*age, phase, &self.is_valid) && *age < member.valid);
            }
            for line in &mut member.lines {
                if let Lease::Doubt(age) = &mut line.lease
                    && settled(*age, phase, &self.doubt_over)
                {
                    *age = LONG_AGO;
                }
                self.settle_line(line);
            }
        }
        for n in 0..NUMBERS {
            self.settle_number(&mut state, n);
        }
        state.in_order()
    }

    /// With every attempt used, and none of them left to be dialed or refunded, no INVITE can follow.
    fn settle_number(&self, state: &mut State, n: usize) {
        let counts_right = (self.defect).is_none_or(|d| !d.seen_by().contains(&Invariant::I5));
        let over = |member: &Member| {
            let mark = member.lines[n].mark;
            matches!(mark, Mark::None | Mark::Dialing | Mark::Ended)
        };
        if counts_right && state.numbers[n].attempts == ATTEMPTS && state.members.iter().all(over) {
            state.numbers[n].invites = ATTEMPTS;
        }
    }

    /// What a journal says of an attempt that the group has closed would be answered with
    /// "nothing"; of one whose end it does not know, with a refusal.
    fn settle_line(&self, line: &mut Line) {
        let tells_nothing = match line.mark {
            Mark::EndUnknown => !self.has(Defect::SecondRestartForgets),
            Mark::Dialing => line.call.is_none() && !self.has(Defect::EndsAnyAttempt),
            Mark::Undialed | Mark::Ended => true,
            _ => false,
        };
        let unknown = line.mark == Mark::EndUnknown && tells_nothing;
        if unknown || tells_nothing && line.lease == Lease::None {
            line.mark = Mark::None;
        }
    }
}

impl Model for LeaseModel {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.settle(State::first(self.shape.dialers))]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_some() {
            return;
        }
        steps.extend([Step::TimePasses, Step::Elected]);
        for m in 0..MEMBERS {
            self.group_steps(state, m, steps);
            self.node_steps(state, m, steps);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        self.take(&mut state, step);
        let state = self.settle(state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn breaks(model: &LeaseModel, state: &State, place: usize, rule: Invariant) -> bool {
            (model.first).met(SOMETIMES.len() + place, state.broken == Some(rule))
        }
        let mut properties = vec![
            Property::always("I1: one live attempt a number", |m: &Self, s: &State| {
                !breaks(m, s, 0, Invariant::I1)
            }),
            Property::always(
                "I2: INVITE only inside the session",
                |m: &Self, s: &State| !breaks(m, s, 1, Invariant::I2),
            ),
            Property::always("I5: attempt limits", |m: &Self, s: &State| {
                !breaks(m, s, 2, Invariant::I5)
            }),
        ];
        let met: [fn(&Self, &State) -> bool; SOMETIMES.len()] = [
            meets::<0>, meets::<1>, meets::<2>, meets::<3>, meets::<4>, meets::<5>, meets::<6>,
            meets::<7>,
        ];
        let sometimes = SOMETIMES.iter().zip(met);
        properties.extend(sometimes.map(|((name, _), met)| Property::sometimes(name, met)));
        properties
    }
}

fn meets<const PLACE: usize>(model: &LeaseModel, state: &State) -> bool {
    model.first.met(PLACE, SOMETIMES[PLACE].1(state))
}

fn any(state: &State, is: impl Fn(&Member) -> bool) -> bool {
    state.members.iter().any(is)
}

fn line(state: &State, is: impl Fn(&Line) -> bool) -> bool {
    any(state, |member: &Member| member.lines.iter().any(&is))
}

/// Whether something holds in a state.
type Holds = fn(&State) -> bool;

/// What should happen in some state, or the model is not alive.
const SOMETIMES: [(&str, Holds); 8] = [
    ("both numbers are called at once", |s| {
        (0..NUMBERS).all(|n| s.is_live(n))
    }),
    ("a number is called for the second time", |s| {
        (0..NUMBERS).any(|n| s.is_live(n) && s.numbers[n].attempts == ATTEMPTS)
    }),
    ("a session is open of a run that is over", |s| {
        any(s, |m| m.session == Session::OfEarlierRun)
    }),
    ("a lead in doubt is still being called", |s| {
        line(s, |l| l.lease != Lease::Held && l.call.is_some())
    }),
    ("an attempt is lost that never dialed", |s| {
        (0..NUMBERS).any(|n| s.is_free(n) && s.numbers[n].invites < s.numbers[n].attempts)
    }),
    ("a journal proves a lead undialed", |s| {
        line(s, |l| {
            l.mark == Mark::Undialed && matches!(l.lease, Lease::Doubt(_))
        })
    }),
    ("a pause outlasts session and doubt", |s| {
        line(s, |l| l.mark == Mark::Paused && l.lease == Lease::None)
    }),
    ("a lead of an ended session is leased again", |s| {
        let late = |l: &Line| l.mark == Mark::Paused && l.lease == Lease::None;
        (0..NUMBERS)
            .any(|n| any(s, |m| m.lines[n].lease == Lease::Held) && any(s, |m| late(&m.lines[n])))
    }),
];
