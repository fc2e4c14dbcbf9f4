//! Visits every state of a model, or looks for the shortest way to a broken rule.

use crate::{
    Defect, FreshnessModel, FreshnessShape, Invariant, LeaseModel, LeaseShape, Part, freshness,
    lease,
};
use stateright::{Checker as _, Expectation, HasDiscoveries, Model};
use std::{
    fmt::Debug,
    hash::Hash,
    time::{Duration, Instant},
};

/// A model and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The lease protocol.
    Lease(LeaseShape),
    /// Do-not-call and freshness.
    Freshness(FreshnessShape),
}

/// The shapes that are visited whole. Three nodes that all dial with a coarse time, and two nodes
/// and a coordinator with a finer one: both at once would take hours.
pub const SHAPES: [Shape; 4] = [
    Shape::Lease(LeaseShape {
        dialers: 3,
        strides: 1,
        late_answers: false,
    }),
    Shape::Lease(LeaseShape {
        dialers: 2,
        strides: 2,
        late_answers: true,
    }),
    Shape::Freshness(FreshnessShape {
        dialers: 3,
        strides: 1,
        entries: 2,
    }),
    Shape::Freshness(FreshnessShape {
        dialers: 2,
        strides: 1,
        entries: 3,
    }),
];

impl Shape {
    /// The one in which a mistake is looked for: no larger than it takes, since what a small mesh can
    /// do a larger one can.
    pub const fn of(defect: Defect) -> Self {
        match (defect.part(), defect) {
            (Part::Lease, Defect::MixesAnswers | Defect::CountsFromAnswer) => {
                Self::Lease(LeaseShape {
                    dialers: 1,
                    strides: 2,
                    late_answers: true,
                })
            }
            (Part::Lease, Defect::RoundBeforeRequest) => Self::Lease(LeaseShape {
                dialers: 1,
                strides: 2,
                late_answers: false,
            }),
            // Half of T, and the margin on top, must be less than some time at which a node may act.
            (Part::Lease, Defect::ExpiresEarly) => Self::Lease(LeaseShape {
                dialers: 1,
                strides: 3,
                late_answers: false,
            }),
            (Part::Lease, _) => Self::Lease(LeaseShape {
                dialers: 2,
                strides: 1,
                late_answers: false,
            }),
            (Part::Freshness, _) => SHAPES[3],
        }
    }

    /// Visits every state; with a mistake, until a rule is broken.
    pub fn explore(self, defect: Option<Defect>) -> Explored {
        match self {
            Self::Lease(shape) => {
                let broken = |state: &lease::State| state.broken;
                explore(LeaseModel::new(shape, defect), broken)
            }
            Self::Freshness(shape) => {
                let broken = |state: &freshness::State| state.broken;
                explore(FreshnessModel::new(shape, defect), broken)
            }
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Lease(shape) => {
                let late = if shape.late_answers {
                    ", late answers"
                } else {
                    ""
                };
                let (nodes, strides) = (shape.dialers, shape.strides);
                format!("lease: {nodes} of 3 members dial, T in {strides}{late}")
            }
            Self::Freshness(shape) => format!(
                "freshness: {} of 3 members dial, δ in {}, {} entries",
                shape.dialers, shape.strides, shape.entries
            ),
        };
        f.pad(&text)
    }
}

/// The shortest way to a broken rule.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The rule.
    pub invariant: Invariant,
    /// What happened, in order.
    pub steps: Vec<String>,
}

/// What was visited.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different states, but for the order of members and numbers.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The most steps that a state is away from the first one.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The shortest way to a broken rule.
    pub broken: Option<Counterexample>,
    /// What should happen sometimes, and in how many steps it first does.
    pub sometimes: Vec<(&'static str, Option<usize>)>,
}

/// On one thread: breadth first is shortest first, and counts are the same each time.
fn explore<M>(model: M, broken: fn(&M::State) -> Option<Invariant>) -> Explored
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let began = Instant::now();
    let properties = model.properties();
    let checker = (model.checker())
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut found = checker.discoveries();
    let sometimes = (properties.iter())
        .filter(|property| matches!(property.expectation, Expectation::Sometimes))
        .map(|property| {
            let steps = found
                .remove(property.name)
                .map(|path| path.into_actions().len());
            (property.name, steps)
        })
        .collect();
    let broken = (found
        .into_values()
        .min_by_key(|path| path.clone().into_actions().len()))
    .and_then(|path| {
        let invariant = broken(path.last_state())?;
        let steps = path.into_actions();
        let steps = steps.iter().map(|step| format!("{step:?}")).collect();
        Some(Counterexample { invariant, steps })
    });
    Explored {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth() - 1,
        took: began.elapsed(),
        broken,
        sometimes,
    }
}
