//! The lease and freshness protocols (mesh protocol, sections 2 to 4) as models, every state of
//! which is visited, where the fault simulator draws its runs by chance.
//!
//! Two models, since a permit is the *and* of two things that know nothing of each other: in
//! [`LeaseModel`] do-not-call never forbids, in [`FreshnessModel`] the lease always holds. Each has
//! three members and two numbers; a number may have two attempts.
//!
//! **Real:** what is valid, due and waited out, asked of [`permit::SessionLease`],
//! [`permit::Freshness`], [`ledger::SessionBook`] and [`ledger::FreshnessBook`]. **Modelled:**
//! the groups (an entry is committed in one step by whoever leads; a leader's every act but its
//! answers needs a commit, so which member leads is not in the state, only that an old leader may
//! go on answering), nodes, journals, the network. **Time** goes in steps of two lengths, and
//! a state knows ages only, so there are finitely many.
//!
//! Nothing is cut off by depth: every state that the bounds allow is visited. States that differ
//! in the order of members and numbers only are one state, and so are those that can no longer
//! differ in what they may do. Where one order of things allows everything that another does, the
//! other is left out; the comments say where. States are told apart by hashes of 64 bits.
//!
//! **Not seen here:** I4 and I6 to I12; calling windows, retry gaps, bases; ringing that ends with
//! validity (3.7); bytes behind unsent bytes (3.8).
//!
//! [`Defect`]s are mistakes on purpose; each must have a counterexample.

#![forbid(unsafe_code)]

mod defect;
mod explore;
mod first;
pub mod freshness;
pub mod lease;
mod time;
mod verb;

pub use defect::{Defect, Invariant, Part};
pub use explore::{Counterexample, Explored, SHAPES, Shape};
pub use freshness::{FreshnessModel, FreshnessShape};
pub use lease::{LeaseModel, LeaseShape};
pub use verb::{ModelArgs, run};
