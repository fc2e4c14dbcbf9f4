//! What can be asked of the simulator, one file each.

pub(crate) mod determinism;
pub(crate) mod planted;
pub(crate) mod run;
pub(crate) mod swarm;

use raft_sim::{Defect, Keep, Options, Outcome, Seen};

/// The run of a seed, with a mistake on purpose if one is named.
pub(crate) fn options(seed: u64, defect: Option<Defect>) -> Options {
    let drawn = Options::drawn(seed);
    match defect {
        Some(defect) => drawn.with(defect),
        None => drawn,
    }
}

/// The one command that shows a run again.
pub(crate) fn again(options: &Options) -> String {
    let defect = (options.defect).map_or_else(String::new, |defect| format!(" --defect {defect}"));
    format!("cargo simulate-raft --seed {}{defect}", options.seed)
}

/// Tells a broken rule: its name, the last events, the command that shows it again.
pub(crate) fn tell_broken(options: &Options, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else {
        return;
    };
    // The fast run kept no words: the same run once more does.
    let told = raft_sim::run(options, Keep::Tail);
    println!("the last events:");
    for line in told.trace.lines() {
        println!("  {line}");
    }
    println!("seed {}: {violation}", options.seed);
    println!("reproduce with: {}", again(options));
}

/// What happened and how often, in three columns.
pub(crate) fn print_seen(seen: &Seen) {
    for (of, count) in seen.all() {
        let mark = if count == 0 { "   <- never" } else { "" };
        println!("{count:>12}  {}{mark}", of.words());
    }
}
