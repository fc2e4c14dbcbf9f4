//! The control plane's process: configuration and wiring, nothing else.
//!
//! [`init`] makes a mesh; [`run`] is the process: a member that replicates the directory and every
//! region, lets nodes join, keeps call records, and serves the admin API and the console.

pub mod config;

mod asking;
mod authority;
mod backend;
mod bases;
mod campaigns;
mod clearance;
mod compaction;
mod consents;
mod dnc;
mod homes;
mod import;
mod init;
mod leads;
mod learned;
mod lift;
mod lists;
mod members;
mod nodes;
mod notes;
mod operations;
mod people;
mod recordings;
mod records;
mod run;
mod standings;
mod stats;
mod status;
mod supervision;
mod tally;
#[cfg(test)]
mod tests;
mod trunks;
mod voters;

pub use init::{InitOptions, Initialised, init};
pub use run::{Addresses, Coordinator, run};
