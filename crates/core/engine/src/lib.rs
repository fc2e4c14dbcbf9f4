//! One machine for one node, composed of the other core crates.
