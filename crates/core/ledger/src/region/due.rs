//! Who goes first among leads whose time has come, and among those that rest.

use super::book::LeadSlot;
use domain::WallTime;

/// Times that fit into 48 bits: 1970 to the year 10889. A callback beyond is one in 10889.
pub(super) fn within_reach(at: WallTime) -> WallTime {
    WallTime::from_millis(at.as_millis().clamp(0, 0xffff_ffff_ffff))
}

/// Times as they are compared among due leads: up to the year 6429, for one bit says more.
const UNPROMISED: u64 = 1 << 47;

/// Order among due leads: larger priority, promised callbacks, earlier due time, smaller id. Packed
/// into 12 bytes, since there is one for each due lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DueKey([u32; 3]);

impl DueKey {
    pub(super) fn new(class: Class, due: WallTime, lead: LeadSlot) -> Self {
        // Inverted and offset: larger priorities sort first.
        let rank = u32::from(!(class.priority as u16 ^ 0x8000));
        let due = (within_reach(due).as_millis() as u64).min(UNPROMISED - 1);
        let due = if class.promised {
            due
        } else {
            due | UNPROMISED
        };
        Self([rank << 16 | (due >> 32) as u32, due as u32, lead])
    }

    /// Order among leads that rest: earlier due time, smaller id.
    pub(super) fn resting(due: WallTime, lead: LeadSlot) -> Self {
        let due = due.as_millis() as u64;
        Self([(due >> 32) as u32, due as u32, lead])
    }

    /// The due time of a lead that rests.
    pub(super) fn rests_until(self) -> WallTime {
        WallTime::from_millis((i64::from(self.0[0]) << 32) | i64::from(self.0[1]))
    }

    /// The lead it orders.
    pub(super) fn lead(self) -> LeadSlot {
        self.0[2]
    }
}

/// What comes before any time or chance among due leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// Larger goes first.
    pub(super) priority: i16,
    /// An agent promised to call back at a time that has come: such go first within their priority.
    pub(super) promised: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_sort_by_priority_then_promise_then_time_then_lead() {
        let at = WallTime::from_millis;
        let key = |priority, due, lead| {
            let promised = false;
            DueKey::new(Class { priority, promised }, due, lead)
        };
        let promised = |priority, due, lead| {
            let promised = true;
            DueKey::new(Class { priority, promised }, due, lead)
        };
        let ordered = [
            key(i16::MAX, at(9), 9),
            key(1, at(5_000_000_000_000), 1),
            promised(0, at(2), 12),
            promised(0, at(3), 11),
            promised(0, at(i64::MAX), 3),
            key(0, at(-5), 0),
            key(0, at(1), 7),
            key(0, at(1), 8),
            key(0, at(1 << 33), 2),
            promised(-1, at(5), 4),
            key(-1, at(0), 0),
            key(i16::MIN, at(0), 0),
        ];
        assert!(ordered.is_sorted());
        assert_eq!(ordered[7].lead(), 8);
    }
}
