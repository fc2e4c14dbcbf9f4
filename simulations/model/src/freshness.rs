//! Do-not-call and freshness as a model.

mod state;
mod steps;

pub use state::{Call, Entry, Member, OptOut, State, Watch};

use crate::{
    Defect,
    first::First,
    time::{Grid, LONG_AGO, Table, settled},
};
use permit::Freshness;
use state::{ENTRIES, MEMBERS};
use stateright::{Model, Property};

/// What can happen next. Members and numbers by their place in the state, which keeps them in an
/// order of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A step of time passes.
    TimePasses,
    /// Another directory leader is elected; the old one may go on believing that it leads.
    Elected,
    /// An entry that forbids a number is committed.
    Adds(usize),
    /// The same, and its leader waits from now on until it is effective.
    AddsWatched(usize),
    /// The removal of a number's entry, named by its index, is committed.
    Removes(usize, u8),
    /// The leader answers: effective.
    Effective,
    /// A member says that it has applied the awaited index, and has not (a mistake).
    Tells(usize),
    /// A member's engine applies the next entry.
    Applies(usize),
    /// A member asks for freshness; the leader notes it, proves that it leads, and answers.
    Asks(usize),
    /// A member asks a leader that is none any more, and that answers (a mistake).
    AsksOldLeader(usize),
    /// The answer counts from now on.
    Counts(usize),
    /// A person tells a node not to call a number.
    Hears(usize, usize),
    /// What a node heard is committed.
    Commits(usize),
    /// The permit is granted and the INVITE leaves, in one step.
    Dials(usize, usize),
    /// The permit is granted, and a pause holds the INVITE back.
    Pauses(usize, usize),
    /// The pause is over: the INVITE leaves, and the clock is read once more.
    Wakes(usize),
    /// It no longer rings.
    RingEnds(usize),
}

/// How large the freshness model is, beside its three members and two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessShape {
    /// How many of the members are nodes.
    pub dialers: usize,
    /// How many strides make up δ.
    pub strides: u32,
    /// How many entries are ever committed: 1 to 3.
    pub entries: u8,
}

/// Do-not-call and freshness.
#[derive(Debug)]
pub struct FreshnessModel {
    shape: FreshnessShape,
    defect: Option<Defect>,
    first: First,
    grid: Grid,
    may_send: Table,
    is_valid: Table,
    /// Freshness of a node is over, as its leader counts it.
    run_out: Table,
}

impl FreshnessModel {
    /// With this mistake on purpose, if any.
    pub fn new(shape: FreshnessShape, defect: Option<Defect>) -> Self {
        let grid = Grid::new(shape.strides);
        let may_send = match defect {
            Some(Defect::NoFreshnessCheck) => grid.table(|_, _| true),
            _ => grid.freshness(Freshness::may_send),
        };
        Self {
            shape: FreshnessShape {
                entries: shape.entries.min(ENTRIES as u8),
                ..shape
            },
            defect,
            first: First::default(),
            grid,
            may_send,
            is_valid: grid.freshness(Freshness::is_valid),
            run_out: grid.run_out(),
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
            if !self.has(Defect::FreshFromAnswer) {
                member.answer = (member.answer).filter(|(age, _)| {
                    !settled(*age, phase, &self.is_valid) && *age < member.valid
                });
            }
            if let Some(age) = &mut member.noted
                && (settled(*age, phase, &self.run_out)
                    || !matches!(state.watch, Watch::Nothing | Watch::Waiting(_)))
            {
                *age = LONG_AGO;
            }
        }
        state.in_order()
    }
}

impl Model for FreshnessModel {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.settle(State::first(self.shape.dialers))]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_some() || state.is_settled(self.shape.entries) {
            return;
        }
        steps.push(Step::TimePasses);
        // An election only ever gives nodes more time, so it matters where a wait begins anew.
        if matches!(state.watch, Watch::Waiting(_)) || self.has(Defect::FreshWithoutRound) {
            steps.push(Step::Elected);
        }
        self.directory_steps(state, steps);
        for m in (0..MEMBERS).filter(|m| state.members[*m].dials) {
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
        let mut properties = vec![Property::always(
            "I3: do-not-call is obeyed",
            |m: &Self, s: &State| !m.first.met(SOMETIMES.len(), s.broken.is_some()),
        )];
        let met: [fn(&Self, &State) -> bool; SOMETIMES.len()] = [
            meets::<0>, meets::<1>, meets::<2>, meets::<3>, meets::<4>, meets::<5>, meets::<6>,
            meets::<7>, meets::<8>,
        ];
        // A removal that loses takes an entry, another one, and itself.
        let loses = usize::from(usize::from(self.shape.entries) < ENTRIES);
        let sometimes = SOMETIMES.iter().zip(met).skip(loses);
        properties.extend(sometimes.map(|((name, _), met)| Property::sometimes(name, met)));
        properties
    }
}

fn meets<const PLACE: usize>(model: &FreshnessModel, state: &State) -> bool {
    model.first.met(PLACE, SOMETIMES[PLACE].1(state))
}

fn effective(s: &State, is: impl Fn(&Member, u8) -> bool) -> bool {
    let all = |index| s.members.iter().all(|m| !m.dials || is(m, index));
    matches!(s.watch, Watch::Effective(index) if all(index))
}

fn removal(s: &State, took_away: bool) -> bool {
    (0..s.committed()).any(|i| match s.log[usize::from(i)] {
        Entry::Remove(n, named) => (s.forbids(usize::from(n), i, false) == named) == took_away,
        _ => false,
    })
}

/// Whether something holds in a state.
type Holds = fn(&State) -> bool;

/// What should happen in some state, or the model is not alive.
const SOMETIMES: [(&str, Holds); 9] = [
    ("a removal comes after a new add", |s| removal(s, false)),
    ("effective, and every node has applied it", |s| {
        effective(s, |m, index| m.applied >= index)
    }),
    ("effective, and no node has applied it", |s| {
        effective(s, |m, index| m.applied < index)
    }),
    ("a number rings", |s| !s.is_quiet()),
    ("a removal takes an entry away", |s| removal(s, true)),
    ("a number rings again after a removal", |s| {
        s.members.iter().any(|m| match m.call {
            Call::Rings(n) if m.applied > 0 => s.forbids(usize::from(n), m.applied - 1, false) > 0,
            _ => false,
        })
    }),
    ("an answer waits for its index", |s| {
        s.members.iter().any(|m| m.answer.is_some())
    }),
    ("an opt-out is committed, not applied", |s| {
        (s.members.iter()).any(|m| matches!(m.opt_out, OptOut::Committed(..)))
    }),
    ("a pause outlasts freshness", |s| {
        let late = |m: &Member| matches!(m.call, Call::Paused(_)) && m.valid == LONG_AGO;
        s.members.iter().any(late)
    }),
];
