//! I9: a caller ID leaves only by the trunk that owns it, within its caps.

use super::Invite;
use crate::violation::{Checked, Invariant};
use domain::PhoneNumber;
use std::collections::BTreeMap;

const HOUR: u64 = 3_600_000;
/// An INVITE is counted when it is checked and may leave after a pause; a node's calendar may
/// differ a little from one boot to the next. In milliseconds.
const SLACK: u64 = 30_000;

/// When each caller ID was shown.
#[derive(Debug, Default)]
pub(crate) struct CallerIds {
    shown: BTreeMap<PhoneNumber, Vec<u64>>,
}

impl CallerIds {
    /// A power loss took so many of a node's last notes of this caller ID: they cannot count.
    pub(crate) fn forgotten(&mut self, number: PhoneNumber) {
        if let Some(times) = self.shown.get_mut(&number) {
            times.pop();
        }
    }

    pub(super) fn invite(&mut self, invite: &Invite<'_>) -> Checked {
        let caller = invite.caller_id;
        if caller.trunk != invite.trunk {
            return Err(Invariant::I9.broken(format!(
                "{} of {} leaves by {}",
                caller.number, caller.trunk, invite.trunk
            )));
        }
        let times = self.shown.entry(caller.number).or_default();
        times.push(invite.at);
        let limits = [
            (caller.caps.per_hour, HOUR),
            (caller.caps.per_day, 24 * HOUR),
        ];
        for (most, span) in limits {
            let recent = times.iter().filter(|at| **at + span > invite.at + SLACK);
            let count = recent.count();
            if count > most as usize {
                return Err(Invariant::I9.broken(format!(
                    "{} is shown {count} times in {} h; {most} are allowed",
                    caller.number,
                    span / HOUR
                )));
            }
        }
        Ok(())
    }
}
