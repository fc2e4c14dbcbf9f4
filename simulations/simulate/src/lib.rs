//! The fault simulator: the mesh's pure machines in virtual time, under everything that can go
//! wrong, with a checker for each rule that must never break.
//!
//! Real: [`ledger::RegionLedger`] and [`ledger::Directory`] on every voter, the leaders' books
//! ([`ledger::SessionBook`], [`ledger::TickBook`], [`ledger::FreshnessBook`]), [`permit::Permit`]
//! on every node, the rule pack of `compliance`. Modelled: the log (commit needs a leader that hears
//! a majority; old leaders may go on believing), links, clocks, calendars, disks, the telephone
//! network, people, the coordinator that makes do-not-call bases, and the hand-over of leads from
//! region to region. One seed is one run, to the bit.
//!
//! A run has a *safety* phase with faults, then everything *heals*, then a *liveness* phase in
//! which everything must settle: no attempt open, no lead in doubt, and every lead that nothing
//! forbids for good can be claimed again, in the region where it is at home.
//!
//! Checked here: I1 to I7 and I9 to I12, one file each under `checkers/` (I10 in `group.rs`, where
//! entries apply; I12 by running a seed twice). For I6 the escrow is real ([`permit::Escrow`] and
//! the directory's), while the persons who answer are counts, and nodes let them down at will as
//! far as their shares go: what pacing makes of a share is not in the model. **Not seen by this
//! tier:** I8 (agents and bridges).
//!
//! [`Defect`]s are mistakes on purpose in the model's own shell; each must be found.

mod begin;
mod calls;
mod changes;
mod checkers;
mod commits;
mod consents;
mod copies;
mod defect;
mod escrow;
mod faults;
mod group;
mod homes;
mod journal;
mod keeper;
mod leaders;
mod network;
mod nodes;
mod options;
mod seen;
mod trace;
mod upgrades;
mod violation;
mod world;

pub use defect::Defect;
pub use options::Options;
pub use seen::{Happening, Seen};
pub use trace::{Keep, Trace, fold_of};
pub use violation::{Invariant, Violation};

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first broken rule, if any.
    pub violation: Option<Violation>,
    /// How often what is tested happened.
    pub seen: Seen,
    /// What happened.
    pub trace: Trace,
    /// The hash of every replica's last bytes; zero when the run broke off.
    pub replicas: u64,
}

/// Runs to the end or to the first violation.
pub fn run(options: &Options, keep: Keep) -> Outcome {
    let mut world = world::World::new(options, keep);
    let result = world.run();
    Outcome {
        replicas: result.as_ref().copied().unwrap_or(0),
        violation: result.err(),
        seen: world.checkers.seen,
        trace: world.trace,
    }
}

/// Two runs of equal options that were not equal (I12).
#[derive(Clone, Debug)]
pub struct Difference {
    /// The number of the first event that differs.
    pub event: usize,
    /// As it was the first and the second time.
    pub lines: [String; 2],
}

/// Runs twice; the hash over every event and every replica's bytes, or the first difference.
///
/// # Errors
/// [`Difference`].
pub fn determinism(options: &Options) -> Result<u64, Box<Difference>> {
    let first = run(options, Keep::Hash);
    let second = run(options, Keep::Hash);
    let same = |a: &Outcome, b: &Outcome| {
        a.trace.hash() == b.trace.hash() && a.replicas == b.replicas && a.seen == b.seen
    };
    if same(&first, &second) {
        return Ok(first.trace.hash());
    }
    let (first, second) = (run(options, Keep::All), run(options, Keep::All));
    let (event, one, other) = (first.trace.first_difference(&second.trace)).unwrap_or_default();
    Err(Box::new(Difference {
        event,
        lines: [one, other],
    }))
}

/// Runs, and runs again where the mistake on purpose is one that a single run cannot show.
pub fn find(options: &Options) -> Outcome {
    let mut outcome = run(options, Keep::Hash);
    let twice = (options.defect).is_some_and(|d| d.seen_by().contains(&Invariant::I12));
    if twice
        && outcome.violation.is_none()
        && let Err(difference) = determinism(options)
    {
        let what = format!("event {} differs: {:?}", difference.event, difference.lines);
        outcome.violation = Some(Violation {
            invariant: Invariant::I12,
            what,
            at: 0,
        });
    }
    outcome
}
