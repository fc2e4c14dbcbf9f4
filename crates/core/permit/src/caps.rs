//! How often each caller ID was shown.

use domain::{CallerIdCaps, PhoneNumber, WallTime, limits};
use sansio::LookUp;
use std::collections::VecDeque;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Attempts of this node's caller IDs within the last day, exactly, by the second.
///
/// A caller ID belongs to one trunk of one city (I9), so its caps are local. Room for the times is
/// taken when a caller ID becomes known, not at the attempt.
#[derive(Clone, Debug, Default)]
pub struct CapsBook {
    times: LookUp<PhoneNumber, VecDeque<i64>>,
}

/// Which cap is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CapReached {
    Day,
    Hour,
    Unknown,
}

fn room(caps: CallerIdCaps) -> usize {
    caps.per_day.min(limits::CALLER_ID_CAP) as usize
}

impl CapsBook {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a caller ID known, or its new caps.
    pub fn set(&mut self, number: PhoneNumber, caps: CallerIdCaps) {
        let times = self.times.entry(number).or_default();
        times.reserve_exact(room(caps).saturating_sub(times.len()));
    }

    /// Forgets a caller ID and what was counted of it.
    pub fn remove(&mut self, number: PhoneNumber) {
        self.times.remove(&number);
    }

    /// Counts attempts of an earlier run, from the node's journal. Times may come in any order.
    pub fn restore(&mut self, number: PhoneNumber, at: impl IntoIterator<Item = WallTime>) {
        let times = self.times.entry(number).or_default();
        times.extend(at.into_iter().map(WallTime::as_secs));
        times.make_contiguous().sort_unstable();
    }

    /// The attempts counted within the last day, oldest first, for the node's journal.
    pub fn times(&self, number: PhoneNumber) -> impl Iterator<Item = WallTime> + '_ {
        let times = self.times.get(&number).into_iter().flatten();
        times.map(|at| WallTime::from_millis(at * 1000))
    }

    /// Attempts within the last hour and the last day.
    pub fn counts(&self, number: PhoneNumber, now: WallTime) -> (u32, u32) {
        let Some(times) = self.times.get(&number) else {
            return (0, 0);
        };
        let now = now.as_secs();
        let since = |span: i64| times.len() - times.partition_point(|at| *at <= now - span);
        (since(HOUR) as u32, since(DAY) as u32)
    }

    /// Counts one attempt, unless a cap is reached.
    pub(crate) fn take(
        &mut self,
        number: PhoneNumber,
        caps: CallerIdCaps,
        now: WallTime,
    ) -> Result<(), CapReached> {
        let Some(times) = self.times.get_mut(&number) else {
            return Err(CapReached::Unknown);
        };
        // A calendar that was set back counts as standing still, so that order holds.
        let now = times
            .back()
            .map_or(now.as_secs(), |last| now.as_secs().max(*last));
        while times.front().is_some_and(|at| *at <= now - DAY) {
            times.pop_front();
        }
        if times.len() >= room(caps) {
            return Err(CapReached::Day);
        }
        let hour = times.len() - times.partition_point(|at| *at <= now - HOUR);
        if hour >= caps.per_hour as usize {
            return Err(CapReached::Hour);
        }
        times.push_back(now);
        Ok(())
    }

    /// What was counted at `counted` left at `at`, after a pause: a rolling cap counts from there.
    pub(crate) fn left(&mut self, number: PhoneNumber, counted: WallTime, at: WallTime) {
        let (counted, at) = (counted.as_secs(), at.as_secs());
        let Some(times) = self.times.get_mut(&number).filter(|_| counted < at) else {
            return;
        };
        // Counted later than asked where the calendar had been set back: then nothing to move.
        if let Ok(found) = times.binary_search(&counted) {
            times.remove(found);
            let last = times.back().map_or(at, |last| at.max(*last));
            times.push_back(last);
        }
    }

    /// The last attempt counted did not leave after all.
    pub(crate) fn give_back(&mut self, number: PhoneNumber) {
        if let Some(times) = self.times.get_mut(&number) {
            times.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const CAPS: CallerIdCaps = CallerIdCaps {
        per_day: 5,
        per_hour: 2,
    };

    fn at(secs: i64) -> WallTime {
        WallTime::from_millis(secs * 1000)
    }

    fn known() -> (CapsBook, PhoneNumber) {
        let number = "+14155550134".parse().unwrap();
        let mut book = CapsBook::new();
        book.set(number, CAPS);
        (book, number)
    }

    #[test]
    fn rolls_by_hour_and_day() {
        let (mut book, number) = known();
        assert_eq!(book.take(number, CAPS, at(0)), Ok(()));
        assert_eq!(book.take(number, CAPS, at(10)), Ok(()));
        assert_eq!(book.take(number, CAPS, at(HOUR - 1)), Err(CapReached::Hour));
        assert_eq!(book.take(number, CAPS, at(HOUR)), Ok(()));
        assert_eq!(book.take(number, CAPS, at(HOUR + 9)), Err(CapReached::Hour));
        for hours in [3, 5] {
            assert_eq!(book.take(number, CAPS, at(hours * HOUR)), Ok(()));
        }
        assert_eq!(book.take(number, CAPS, at(DAY - 1)), Err(CapReached::Day));
        assert_eq!(book.take(number, CAPS, at(DAY)), Ok(()));
        assert_eq!(book.counts(number, at(DAY)), (1, 5));
    }

    #[test]
    fn a_day_starting_late_still_holds_after_a_restart() {
        let (mut book, number) = known();
        book.restore(number, [at(50), at(40), at(30), at(20), at(10)]);
        assert_eq!(book.take(number, CAPS, at(8 * HOUR)), Err(CapReached::Day));
        let times: Vec<_> = book.times(number).collect();
        assert_eq!(times[0], at(10));
        assert_eq!(at(10) + Duration::from_secs(DAY as u64), at(DAY + 10));
        assert_eq!(book.take(number, CAPS, at(DAY + 10)), Ok(()));
    }

    #[test]
    fn a_pause_before_the_send_counts_from_the_send() {
        let (mut book, number) = known();
        book.take(number, CAPS, at(0)).unwrap();
        book.take(number, CAPS, at(1)).unwrap();
        book.left(number, at(0), at(20));
        assert_eq!(book.counts(number, at(20)), (2, 2));
        assert_eq!(book.take(number, CAPS, at(HOUR)), Err(CapReached::Hour));
        assert_eq!(book.take(number, CAPS, at(HOUR + 1)), Ok(()));
        assert_eq!(
            book.take(number, CAPS, at(HOUR + 19)),
            Err(CapReached::Hour)
        );
        assert_eq!(book.take(number, CAPS, at(HOUR + 20)), Ok(()));
        // Times that were never counted move nothing.
        book.left(number, at(7), at(2 * HOUR));
        assert_eq!(book.counts(number, at(HOUR + 20)), (2, 4));
    }

    #[test]
    fn a_calendar_set_back_frees_nothing() {
        let (mut book, number) = known();
        book.take(number, CAPS, at(DAY)).unwrap();
        book.take(number, CAPS, at(0)).unwrap();
        assert_eq!(book.take(number, CAPS, at(0)), Err(CapReached::Hour));
    }

    #[test]
    fn unknown_numbers_are_never_shown_and_zero_means_never() {
        let (mut book, number) = known();
        let zero = CallerIdCaps {
            per_day: 0,
            per_hour: 0,
        };
        assert_eq!(book.take(number, zero, at(0)), Err(CapReached::Day));
        book.remove(number);
        assert_eq!(book.take(number, CAPS, at(0)), Err(CapReached::Unknown));
    }

    #[test]
    fn the_largest_cap_holds() {
        let (mut book, number) = known();
        let caps = CallerIdCaps {
            per_day: u32::MAX,
            per_hour: u32::MAX,
        };
        book.set(number, caps);
        for _ in 0..limits::CALLER_ID_CAP {
            assert_eq!(book.take(number, caps, at(0)), Ok(()));
        }
        assert_eq!(book.take(number, caps, at(0)), Err(CapReached::Day));
    }
}
