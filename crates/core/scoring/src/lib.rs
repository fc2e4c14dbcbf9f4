//! The chance that a lead answers or buys, learned online from its fields.
//!
//! A [`Model`] is a logistic regression whose weights lie in a table of fixed size, found by hash of
//! a field's name and value: it needs no list of fields beforehand and its memory never grows. It
//! learns from one result at a time (FTRL-proximal: each weight has a rate of its own that falls
//! with what it has seen), forgets by [`Model::fade`], and two that learned apart from one are put
//! together by [`Model::merge`]. [`Reliability`] says whether its chances are what happens.
//!
//! [`Hours`] learns beside it what segments and the hours of the day do, [`Order`] makes of both who is
//! called first. [`Answers`] is what a node keeps of a campaign: both, what they are seen by,
//! and whether they keep what they promise.
//!
//! Which fields a model may see is its caller's list. A field that stands for a person's protected
//! attributes (age, sex, family, origin, faith, health) belongs in none.

mod answers;
mod count;
mod effects;
mod features;
mod hours;
mod model;
mod order;
mod reliability;
mod saved;

pub use answers::{ATTEMPTS, Answers, GivenOut, Line, WEEKDAYS};
pub use count::Count;
pub use effects::{Factor, Factors};
pub use features::{FEATURES, Features};
pub use hours::{HOURS, Hours, SEGMENTS};
pub use model::{Learning, Model};
pub use order::Order;
pub use reliability::{Reliability, ranking};
pub use saved::Unreadable;
