//! `cargo run --release -p answering --example train`: writes `src/weights.rs` from the training
//! half of the corpus. It takes some seconds and espeak-ng; equal corpora give equal weights.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a corner of the tests' corpus"
)]

#[path = "mod.rs"]
mod corpus;
#[path = "training.rs"]
mod training;

use answering::Weights;
use std::{fmt::Write, fs};

fn print(name: &str, weights: &Weights) -> String {
    let mut text = format!(
        "    {name}: Weights {{\n        bias: {:?},\n        weights: [\n",
        weights.bias
    );
    for weight in weights.weights {
        writeln!(text, "            {weight:?},").expect("a string takes everything");
    }
    text + "        ],\n    },\n"
}

fn main() {
    assert!(
        corpus::speech::version().is_some(),
        "espeak-ng is missing: apt-get install espeak-ng"
    );
    let model = training::train();
    let text = format!(
        "//! Written by `cargo run --release -p answering --example train`; do not edit.\n\n\
         use crate::classifier::{{Model, Weights}};\n\n\
         #[rustfmt::skip]\n\
         pub(crate) const MODEL: Model = Model {{\n{}{}    human_below: {:?},\n    \
         machine_above: {:?},\n    at_limit_above: {:?},\n}};\n",
        print("ended", &model.ended),
        print("going", &model.going),
        model.human_below,
        model.machine_above,
        model.at_limit_above
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/weights.rs");
    fs::write(path, &text).expect("the crate's own source can be written");
    println!("{path}\n{text}");
}
