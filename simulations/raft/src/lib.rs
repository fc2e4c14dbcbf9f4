//! The fault simulator's second tier: groups of real openraft, in virtual time, under everything
//! that can go wrong with clocks, processes, links and disks.
//!
//! Real: openraft with our settings, [`consensus`]'s log store, snapshots, machine adapter, wire
//! protocol, proposing, reading and changing of members; [`storage`]'s journal with the real
//! raft-engine below it. Simulated: the runtime (one thread, a seed chooses who goes next), clocks,
//! the disk's files, and links. The machine is a book that knows every command, and in some runs a
//! region's real [`ledger::RegionLedger`] beside it, with its leader's real books; the nodes that open
//! sessions, claim, dial and report are modelled, and so is the telephone network that sees them dial.
//! One seed is one run, to the bit.
//!
//! A run has a *safety* phase with faults, then everything *heals*, then a *liveness* phase in
//! which every member must take a command, and all must show the same state.
//!
//! [`Defect`]s are mistakes on purpose at the seams around the adapter; each must be found.

mod content;
mod defect;
mod disk;
mod faults;
mod history;
mod log;
mod machine;
mod network;
mod nodes;
mod office;
mod options;
mod oracle;
mod platform;
mod region;
mod runtime;
mod seen;
mod violation;
mod world;

pub use defect::Defect;
pub use options::Options;
pub use runtime::SimRuntime;
pub use seen::{Happening, Seen};
pub use simulate::{Keep, Trace};
pub use violation::{Rule, Violation};

use parking_lot::Mutex;
use std::{path::Path, sync::Arc};

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first broken rule, if any.
    pub violation: Option<Violation>,
    /// How often what is tested happened.
    pub seen: Seen,
    /// What happened.
    pub trace: Trace,
    /// The hash of the replicas' last bytes; zero when the run broke off.
    pub replicas: u64,
}

/// Runs to the end or to the first violation.
pub fn run(options: &Options, keep: Keep) -> Outcome {
    log::quiet_failed_syncs();
    // The engine looks for its files' names on the real disk; best one in memory.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let folder = folder.expect("a folder for the names of files can be made");
    let oracle = Arc::new(Mutex::new(oracle::Oracle::new(keep)));
    let heard = Arc::clone(&oracle);
    let path = folder.path().to_owned();
    let result = runtime::run(options.seed, async {
        let world = world::World::new(options, heard, &path);
        let result = world.clone().run().await;
        (result, world.seen())
    });
    let mut oracle = oracle.lock();
    let mut violation = None;
    let mut replicas = 0;
    match result {
        Ok((result, links)) => {
            oracle.seen.add(&links);
            match result {
                Ok(hash) => replicas = hash,
                Err(broken) => violation = Some(broken),
            }
        }
        Err(stuck) => violation = Some(Rule::Alive.broken(oracle.now, format!("{stuck:?}"))),
    }
    Outcome {
        violation,
        seen: oracle.seen,
        trace: oracle.trace.clone(),
        replicas,
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

/// Runs twice; the hash over every event and the replicas' bytes, or the first difference.
///
/// # Errors
/// [`Difference`].
pub fn determinism(options: &Options) -> Result<u64, Box<Difference>> {
    let first = run(options, Keep::All);
    let second = run(options, Keep::All);
    if let Some((event, one, other)) = first.trace.first_difference(&second.trace) {
        let lines = [one, other];
        return Err(Box::new(Difference { event, lines }));
    }
    if first.replicas != second.replicas || first.seen != second.seen {
        let lines = [&first, &second].map(|o| format!("{:016x} {:?}", o.replicas, o.seen));
        let event = first.trace.lines().count();
        return Err(Box::new(Difference { event, lines }));
    }
    Ok(first.trace.hash())
}

/// Runs, and runs again where the mistake on purpose is one that a single run cannot show.
pub fn find(options: &Options) -> Outcome {
    let mut outcome = run(options, Keep::Hash);
    let twice = (options.defect).is_some_and(|d| d.seen_by().contains(&Rule::OneRun));
    if twice
        && outcome.violation.is_none()
        && let Err(difference) = determinism(options)
    {
        let what = format!("event {} differs: {:?}", difference.event, difference.lines);
        outcome.violation = Some(Rule::OneRun.broken(0, what));
    }
    outcome
}
