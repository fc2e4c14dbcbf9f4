//! The weights in `src/weights.rs` are those that the training half gives.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a test"
)]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "corpus/training.rs"]
mod training;

use answering::Model;
use corpus::speech::{KEPT_WITH, version};

#[test]
fn the_weights_are_the_trainings() {
    let Some(version) = version().filter(|v| v.starts_with(KEPT_WITH)) else {
        eprintln!("SKIPPED: this is about {KEPT_WITH} (apt-get install espeak-ng)");
        return;
    };
    let (kept, made) = (Model::trained(), training::train());
    let thresholds = |m: &Model| (m.human_below, m.machine_above, m.at_limit_above);
    assert_eq!(thresholds(&kept), thresholds(&made), "with {version}");
    for (kept, made) in [(kept.ended, made.ended), (kept.going, made.going)] {
        let all = kept.weights.iter().zip(made.weights);
        // Another machine's cosines may move a frame or two.
        let far = |(k, m): (&f32, f32)| (k - m).abs() > 0.1;
        assert!((kept.bias - made.bias).abs() < 0.1);
        assert!(!all.into_iter().any(far), "train again: {made:?}");
    }
}
