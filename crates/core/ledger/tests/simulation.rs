//! A region, its leaders, its nodes and the telephone network, all modelled, with every fault the
//! protocol is made for: leader changes, stale leaders, forwarded proposals, drifting clocks,
//! pauses before and after a send, crashes with and without the journal, lost, repeated and late
//! messages, calendars that jump. The ledger, its books and the permit are the real ones.
//!
//! After each step: I1 (one live call a number), I2 (an INVITE only inside a session that the
//! group still has open), I3 (none after a do-not-call entry is effective), I5 (attempts a number),
//! I7 (each attempt ends once). Planted defects show that the checkers see.

mod simulation {
    pub(crate) mod checks;
    pub(crate) mod leaders;
    pub(crate) mod nodes;
    pub(crate) mod world;
}

use simulation::world::{Defect, World};

/// Runs one seed; the first violation, if any.
fn run(seed: u64, defect: Defect) -> Result<World, String> {
    let mut world = World::new(seed, defect);
    world.run()?;
    Ok(world)
}

#[test]
fn seeds_are_clean() {
    let seeds = std::env::var("SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(300);
    let first = std::env::var("SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let mut sum = simulation::checks::Seen::default();
    for seed in first..first + seeds {
        match run(seed, Defect::None) {
            Ok(world) => sum.add(&world.checks.seen),
            Err(why) => panic!(
                "seed {seed}: {why}\nagain: SEED={seed} SEEDS=1 cargo test -p ledger --test simulation"
            ),
        }
    }
    println!("{sum:?}");
    // A simulation in which nothing happens proves nothing.
    if seeds >= 100 {
        assert!(sum.invites > 10 * seeds, "{sum:?}");
        assert!(sum.lost > 0 && sum.refunds > 0 && sum.late > 0, "{sum:?}");
        assert!(
            sum.effective > 0 && sum.expired > 0 && sum.superseded > 0,
            "{sum:?}"
        );
        assert!(
            sum.stale_expiries > 0 && sum.repeated_outcomes > 0,
            "{sum:?}"
        );
    }
}

#[test]
fn one_seed_runs_the_same_twice() {
    let sum = |seed| run(seed, Defect::None).map(|w| (w.checks.seen, w.ledger.applied()));
    assert_eq!(sum(7), sum(7));
}

#[test]
fn planted_defects_are_found() {
    for defect in Defect::ALL {
        let found = (0..400).find_map(|seed| Some((seed, run(seed, defect).err()?)));
        match found {
            Some((seed, why)) => println!("{defect:?}: found by seed {seed}: {why}"),
            None => panic!("{defect:?} was not found in 400 seeds"),
        }
    }
}
