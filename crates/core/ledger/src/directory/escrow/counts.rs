//! Answers and abandonments by the hour, and what the budget has left of them.
//!
//! Where an hour lies across the window's edge it is judged against us: its answers are outside,
//! its abandonments inside.

use super::CALENDARS;
use crate::rules::Rules;
use domain::{WallTime, limits};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

const HOUR: i64 = 3_600_000;
/// A budget must outlast so long without a single answer: an outage of a carrier.
const DROUGHT: Duration = Duration::from_secs(30 * 60);

/// One hour of one campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Hour {
    answers: u32,
    abandoned: u32,
}

/// Hours of one campaign, by their number since the epoch; at most those of the longest window.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Counts(BTreeMap<i64, Hour>);

fn begin(hour: i64) -> WallTime {
    WallTime::from_millis(hour.saturating_mul(HOUR))
}

fn hour(at: WallTime) -> i64 {
    at.as_millis().div_euclid(HOUR)
}

impl Counts {
    /// Persons who answered, the first of them at `since`. Never later than the calendar: whoever
    /// runs ahead would have them count for longer.
    pub(super) fn add_answers(&mut self, clock: WallTime, since: WallTime, n: u32) {
        let at = since.min(clock);
        if n > 0 && at > clock - limits::ABANDONMENT_WINDOW_MAX {
            let hour = self.0.entry(hour(at)).or_default();
            hour.answers = hour.answers.saturating_add(n);
        }
    }

    /// Abandonments count from when they are told: they leave late.
    pub(super) fn add_abandoned(&mut self, clock: WallTime, n: u32) {
        if n > 0 {
            let hour = self.0.entry(hour(clock)).or_default();
            hour.abandoned = hour.abandoned.saturating_add(n);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is counted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets hours that no window reaches.
    pub(super) fn forget(&mut self, clock: WallTime) {
        let first = hour(super::reached(clock));
        self.0 = self.0.split_off(&first);
    }

    /// Answers inside the window that ends at `ends`, and abandonments inside the one that ends at
    /// `clock`.
    pub(super) fn inside(&self, rules: Rules, clock: WallTime, ends: WallTime) -> (u64, u64) {
        let window = rules.abandonment().window;
        let late = window.begins(clock - CALENDARS);
        let early = window.begins(ends);
        (self.0.iter()).fold((0, 0), |(answers, abandoned), (number, hour)| {
            let counts = early.is_some_and(|from| begin(*number) >= from);
            let gone = late.is_some_and(|from| begin(*number + 1) <= from);
            (
                answers + u64::from(if counts { hour.answers } else { 0 }),
                abandoned + u64::from(if gone { 0 } else { hour.abandoned }),
            )
        })
    }

    /// Whole abandonments that the budget has left until `ends`, with `dead` of them in doubt.
    ///
    /// The least of what is left then, and of what would be left, with one call's grace, at any
    /// later moment if nobody were abandoned from now on, nobody answered for half an hour, and
    /// from then on half as many persons as drop out of the window. So a good morning cannot be
    /// spent in one bad hour that outlives it.
    pub(super) fn left(&self, rules: Rules, clock: WallTime, ends: WallTime, dead: u64) -> i64 {
        let rule = rules.abandonment();
        let permille = i64::from(rule.budget_permille);
        let (answers, abandoned) = self.inside(rules, clock, ends);
        let (mut answers, mut abandoned) = (answers as i64, (abandoned + dead) as i64);
        let mut left = permille * answers - 1000 * abandoned;
        // A month's counts end all at once, and what is spent now with them.
        let (Some(span), Some(from)) = (rule.window.rolling(), rule.window.begins(ends)) else {
            return left.div_euclid(1000);
        };
        let all = answers;
        let mut dry = 0;
        for (number, hour) in &self.0 {
            if begin(*number) >= from {
                // Its answers leave with its beginning, the abandonments before it are gone then.
                answers -= i64::from(hour.answers);
                if (begin(*number) + span).since(ends) < DROUGHT {
                    dry = all - answers;
                }
                let hoped = (all - answers - dry) / 2;
                left = left.min(permille * (answers + hoped) - 1000 * abandoned + 1000);
            }
            // An hour whose abandonments were gone already is not among them.
            if begin(*number + 1) > clock - CALENDARS - span {
                abandoned -= i64::from(hour.abandoned);
            }
        }
        left.div_euclid(1000)
    }
}
