//! Calling windows: hours of the week in the called person's own time.

use crate::{Refusal, clock};
use domain::{
    WallTime, ZoneId,
    limits::{CALLING_WINDOWS, CLOSED_DATES},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;
/// 1970-01-01 was a Thursday; weeks are counted from Monday.
const EPOCH_WEEKDAY: i64 = 3;

/// A time of day to the second, 00:00 to 24:00; in text `HH:MM` or `HH:MM:SS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u32);

/// A text is not a time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time of day from 00:00 to 24:00; write 08:30")]
pub struct TimeOfDayError {
    text: String,
}

impl TimeOfDay {
    /// Seconds since midnight.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let two = |part: &str| {
            (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse::<u32>().ok())
                .flatten()
        };
        let read = || {
            let mut parts = text.split(':');
            let (hours, minutes) = (two(parts.next()?)?, two(parts.next()?)?);
            let seconds = parts.next().map_or(Some(0), two)?;
            let all = hours * 3600 + minutes * 60 + seconds;
            let fits = minutes < 60 && seconds < 60 && all <= 86_400;
            (fits && parts.next().is_none()).then_some(Self(all))
        };
        read().ok_or_else(|| TimeOfDayError {
            text: text.chars().take(16).collect(),
        })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{hours:02}:{minutes:02}")?;
        if seconds > 0 {
            write!(f, ":{seconds:02}")?;
        }
        Ok(())
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// The whole week, Monday first.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];
}

/// Hours of some days in which dialing is allowed: `{days = ["mon"], from = "09:00", to = "18:00"}`.
/// Open at `from`, closed at `to`; it does not reach past midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days; all seven where none is named.
    #[serde(default = "whole_week")]
    pub days: Vec<Day>,
    /// When it opens.
    pub from: TimeOfDay,
    /// When it closes; `24:00` for the end of the day.
    pub to: TimeOfDay,
}

fn whole_week() -> Vec<Day> {
    Day::ALL.to_vec()
}

/// The open hours of a week, and dates that are closed whatever the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallingHours {
    /// Open spans in seconds since Monday 00:00, ascending, apart from each other.
    week: Vec<(i64, i64)>,
    /// Closed local dates in days since 1970-01-01, ascending.
    closed: Vec<i64>,
}

impl CallingHours {
    /// How far [`next_open`](Self::next_open) and [`open_until`](Self::open_until) look.
    pub const SEARCH: Duration = Duration::from_secs(15 * 86_400);

    /// The union of windows. None means never open.
    ///
    /// # Errors
    /// A text that says what is wrong: too many windows, a window that ends before it opens.
    pub fn new(windows: &[Window]) -> Result<Self, String> {
        if windows.len() > CALLING_WINDOWS {
            let count = windows.len();
            return Err(format!("{count} windows, at most {CALLING_WINDOWS}"));
        }
        let mut spans = Vec::new();
        for Window { days, from, to } in windows {
            if from >= to {
                return Err(format!(
                    "a window from {from} to {to} never opens; one past midnight is two windows"
                ));
            }
            for &day in days {
                let midnight = day as i64 * DAY;
                spans.push((midnight + i64::from(from.0), midnight + i64::from(to.0)));
            }
        }
        spans.sort_unstable();
        let mut week: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
        for (from, to) in spans {
            match week.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => week.push((from, to)),
            }
        }
        Ok(Self {
            week,
            closed: Vec::new(),
        })
    }

    /// The same hours without some dates, given as `2026-12-25` in the called person's calendar.
    ///
    /// # Errors
    /// A text that says what is wrong: not a date, too many.
    pub fn without_dates(mut self, dates: &[String]) -> Result<Self, String> {
        for date in dates {
            let day =
                days_of(date).ok_or_else(|| format!("{date:?} is not a date; write 2026-12-25"))?;
            self.closed.push(day);
        }
        self.closed.sort_unstable();
        self.closed.dedup();
        if self.closed.len() > CLOSED_DATES {
            let count = self.closed.len();
            return Err(format!("{count} closed dates, at most {CLOSED_DATES}"));
        }
        Ok(self)
    }

    /// These hours where the windows are open too: a campaign may narrow its pack's hours, never
    /// widen them. No windows change nothing.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn narrowed(&self, windows: &[Window]) -> Result<Self, String> {
        if windows.is_empty() {
            return Ok(self.clone());
        }
        let other = Self::new(windows)?;
        let mut week = Vec::new();
        for &(from, to) in &self.week {
            for &(other_from, other_to) in &other.week {
                let span = (from.max(other_from), to.min(other_to));
                if span.0 < span.1 {
                    week.push(span);
                }
            }
        }
        Ok(Self {
            week,
            closed: self.closed.clone(),
        })
    }

    /// Whether it is open in every zone; see [`may_dial_at`](crate::may_dial_at).
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, zones: &[ZoneId], wall: WallTime) -> Result<(), Refusal> {
        if zones.is_empty() {
            return Err(Refusal::UnknownZone);
        }
        let at = wall.as_secs();
        for &zone in zones {
            let segment = clock::segment(zone, at).ok_or(Refusal::NoZoneRules { zone })?;
            let local = at + segment.offset;
            if !self.is_open(local) {
                let local = TimeOfDay(local.rem_euclid(DAY) as u32);
                return Err(Refusal::WindowClosed { zone, local });
            }
        }
        Ok(())
    }

    /// When it is open in every zone; see [`next_open`](crate::next_open).
    pub fn next_open(&self, zones: &[ZoneId], from: WallTime) -> Option<WallTime> {
        if zones.is_empty() {
            return None;
        }
        let limit = (from + Self::SEARCH).as_secs();
        let mut at = from.as_secs();
        loop {
            let mut latest = at;
            for &zone in zones {
                latest = latest.max(self.next_open_in(zone, latest, limit)?);
            }
            if latest == at {
                // Windows open at whole seconds: within this one nothing changed before `from`.
                return Some(WallTime::from_millis(at * 1000).max(from));
            }
            at = latest;
        }
    }

    /// When it closes in some zone; see [`open_until`](crate::open_until).
    pub fn open_until(&self, zones: &[ZoneId], at: WallTime) -> Option<WallTime> {
        self.check(zones, at).ok()?;
        let limit = (at + Self::SEARCH).as_secs();
        let ends = zones
            .iter()
            .map(|&zone| self.open_until_in(zone, at.as_secs(), limit));
        let end = ends.min()?;
        Some(WallTime::from_millis(end * 1000).max(at))
    }

    /// Whether it is open at a local time in seconds since 1970-01-01T00:00 local.
    fn is_open(&self, local: i64) -> bool {
        let second = second_of_week(local);
        let after = self.week.partition_point(|&(from, _)| from <= second);
        after > 0 && second < self.week[after - 1].1 && !self.is_closed_date(local)
    }

    fn is_closed_date(&self, local: i64) -> bool {
        !self.closed.is_empty() && self.closed.binary_search(&local.div_euclid(DAY)).is_ok()
    }

    /// The earliest time from `at` to before `limit` at which it is open in the zone. Goes from one
    /// change of offset to the next, since between two of them local time runs like UTC.
    fn next_open_in(&self, zone: ZoneId, mut at: i64, limit: i64) -> Option<i64> {
        while at < limit {
            let segment = clock::segment(zone, at)?;
            let before = segment.end.min(limit) + segment.offset;
            if let Some(local) = self.next_open_local(at + segment.offset, before) {
                return Some(local - segment.offset);
            }
            at = segment.end;
        }
        None
    }

    /// The earliest open local time from `local` to before `before`.
    fn next_open_local(&self, mut local: i64, before: i64) -> Option<i64> {
        while local < before {
            let second = second_of_week(local);
            let monday = local - second;
            local = match self.week.iter().find(|&&(_, to)| second < to) {
                Some(&(from, _)) => {
                    let candidate = monday + from.max(second);
                    if !self.is_closed_date(candidate) {
                        return Some(candidate).filter(|&found| found < before);
                    }
                    next_midnight(candidate)
                }
                None => monday + WEEK,
            };
        }
        None
    }

    /// The first time after `at`, when it is open, at which it is closed in the zone, or `limit`.
    fn open_until_in(&self, zone: ZoneId, mut at: i64, limit: i64) -> i64 {
        while at < limit {
            // Beyond the zone rules' reach nothing may be dialed.
            let Some(segment) = clock::segment(zone, at) else {
                return at;
            };
            let before = segment.end.min(limit) + segment.offset;
            let end = self.open_until_local(at + segment.offset, before);
            if end < before {
                return end - segment.offset;
            }
            at = segment.end;
        }
        limit
    }

    /// The first local time from `local` to `before` at which it is closed, or `before`.
    fn open_until_local(&self, mut local: i64, before: i64) -> i64 {
        while local < before && self.is_open(local) {
            let second = second_of_week(local);
            let after = self.week.partition_point(|&(from, _)| from <= second);
            let end = local - second + self.week[after - 1].1;
            local = if self.closed.is_empty() {
                end
            } else {
                // The next day may be closed.
                end.min(next_midnight(local))
            };
        }
        local.min(before)
    }
}

fn second_of_week(local: i64) -> i64 {
    (local + EPOCH_WEEKDAY * DAY).rem_euclid(WEEK)
}

fn next_midnight(local: i64) -> i64 {
    (local.div_euclid(DAY) + 1) * DAY
}

/// Days from 1970-01-01 to a date written `2026-12-25`, in the Gregorian calendar.
fn days_of(date: &str) -> Option<i64> {
    let shaped = date.len() == 10
        && date.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    let part = |from: usize, to: usize| date[from..to].parse::<i8>().ok();
    let year = date[..4].parse::<i16>().ok()?;
    let civil = jiff::civil::Date::new(year, part(5, 7)?, part(8, 10)?).ok()?;
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    Some(i64::from(epoch.until(civil).ok()?.get_days()))
}

#[cfg(test)]
mod tests;
