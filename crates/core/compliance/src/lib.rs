//! May this number be dialed now: calling windows and attempt limits; rule packs are data.
//!
//! A [`RulePack`] is one of the texts under `packs/`, compiled in and read once. The answers are
//! pure functions of pack, zones and time: [`may_dial_at`], [`next_open`], [`open_until`],
//! [`check_attempts`]. Unknown means no: a number without zones, a zone without rules, a time
//! beyond the zone rules' reach are refused (mesh protocol, I4).
//!
//! Time zone rules are compiled in from the IANA database; replicas of releases with different
//! databases may disagree about the hours of a zone whose law changed in between, so
//! [`zone_rules_version`] names the database.

mod abandonment;
mod attempts;
mod clock;
mod hours;
mod pack;
mod refusal;

pub use abandonment::{AbandonmentRule, AbandonmentWindow};
pub use attempts::{AttemptLimit, check_attempts};
pub use clock::{LocalTime, local_day, local_time, zone_rules_version};
pub use hours::{CallingHours, Day, TimeOfDay, TimeOfDayError, Window};
pub use pack::{Breach, ConsentRule, MessagePart, MessageRule, PackError, RulePack};
pub use refusal::Refusal;

use domain::{WallTime, ZoneId};

/// Whether the pack's calling window is open in every one of the candidate zones.
///
/// # Errors
/// [`Refusal::UnknownZone`] where there is no zone, [`Refusal::NoZoneRules`] where a zone has none,
/// [`Refusal::WindowClosed`] with the first zone that is closed.
pub fn may_dial_at(pack: &RulePack, zones: &[ZoneId], wall: WallTime) -> Result<(), Refusal> {
    pack.hours.check(zones, wall)
}

/// The earliest time from `from` on at which the window is open in every zone; `from` itself where
/// it is open. None where that is not within [`CallingHours::SEARCH`], or a zone is not known.
pub fn next_open(pack: &RulePack, zones: &[ZoneId], from: WallTime) -> Option<WallTime> {
    pack.hours.next_open(zones, from)
}

/// The first time after `at` at which the window is closed in some zone. None where it is closed at
/// `at`. Where it stays open, `at` and [`CallingHours::SEARCH`] more: at least so long.
pub fn open_until(pack: &RulePack, zones: &[ZoneId], at: WallTime) -> Option<WallTime> {
    pack.hours.open_until(zones, at)
}
