//! A million inputs for each target; `INPUTS=50000` tries fewer.

use fuzz::{LONGEST, TARGETS, run_corpus, swarm};

#[test]
fn no_input_panics_breaks_an_invariant_or_takes_long() {
    let inputs = std::env::var("INPUTS").ok().and_then(|n| n.parse().ok());
    for target in &TARGETS {
        let kept = run_corpus(target).unwrap_or_else(|failure| panic!("{failure}"));
        let report = swarm(target, 0, inputs.unwrap_or(1_000_000), &|_| ());
        let report = report.unwrap_or_else(|failure| panic!("{failure}"));
        println!(
            "{}: {} inputs, longest {:?} of {LONGEST:?}, {kept} kept messages",
            target.name, report.inputs, report.longest
        );
    }
}
