//! Telephone numbers to country, area, city and candidate time zones; choice of a local caller ID.
//!
//! - [`parse`] reads what people write into E.164 and says what is wrong with what it refuses.
//! - [`locality`] says where a number belongs: country, province, city, area code and every time
//!   zone it may lie in. It answers from tables in the binary, without allocation.
//! - [`home_region`] applies the directory's map from numbers to regions.
//! - [`choose_caller_id`] picks the number to show, the most local first, never just any;
//!   [`choose_distant`] one that is not local, for the dials that [`is_held_out`]; [`compare`] says what
//!   local ones are worth.
//! - [`Standing`] learns what persons think of a number, [`review`] says each day which ones rest.
//!
//! The tables come from libphonenumber's data (Apache License 2.0; `tables/NOTICE`) by
//! `generate/generate.py`. What a prefix says is where a number was given out: a mobile phone may
//! live elsewhere. Where an import names a lead's zone, that is better evidence.

mod generated;
mod home;
mod lift;
mod locality;
mod parse;
mod presence;
mod standing;
mod tables;

pub use home::home_region;
pub use lift::{Answered, Comparison, LIFT_DIALS, Lift, compare};
pub use locality::{Locality, data_version, locality};
pub use parse::{ParseError, parse};
pub use presence::{
    CallerIdFacts, Choice, Closeness, Route, choose_caller_id, choose_distant, is_held_out,
    sticky_caller_id,
};
pub use standing::{PROBES, Review, STANDING_BYTES, Standing, review};
