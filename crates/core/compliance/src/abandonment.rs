//! What is asked of abandonment: the budget, and the window over which it is counted.

use crate::clock::segment;
use crate::pack::{duration, read_duration};
use domain::{WallTime, ZoneId, zones};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};
use std::{fmt, time::Duration};

/// What is asked of abandonment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbandonmentRule {
    /// At most so many thousandths of live answers, by campaign.
    pub budget_permille: u16,
    /// Over how long a time that is counted.
    pub window: AbandonmentWindow,
    /// An agent must be there so soon after the person's greeting.
    #[serde(deserialize_with = "duration")]
    pub answer_limit: Duration,
    /// How long an abandoned number rests.
    #[serde(deserialize_with = "duration")]
    pub gap: Duration,
}

/// Over what time answers and abandonments are counted. Written as a span (`30d`, `24h`) or as a
/// month of a time zone's calendar (`month Europe/London`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbandonmentWindow {
    /// The last so long, at any moment.
    Rolling(Duration),
    /// The month so far, by the calendar of a zone.
    Month(ZoneId),
}

impl AbandonmentWindow {
    /// When the window that includes `at` begins. None before 2000 and from 2100 on, where zones
    /// have no rules here.
    pub fn begins(self, at: WallTime) -> Option<WallTime> {
        match self {
            Self::Rolling(span) => Some(at - span),
            Self::Month(zone) => month_begins(zone, at.as_secs())
                .map(|secs| WallTime::from_millis(secs.saturating_mul(1000))),
        }
    }

    /// The span of a rolling window; none of a month, which ends all at once.
    pub const fn rolling(self) -> Option<Duration> {
        match self {
            Self::Rolling(span) => Some(span),
            Self::Month(_) => None,
        }
    }
}

fn month_begins(zone: ZoneId, at: i64) -> Option<i64> {
    let offset = segment(zone, at)?.offset;
    let local = Timestamp::from_second(at + offset).ok()?;
    let first = jiff::tz::Offset::UTC
        .to_datetime(local)
        .date()
        .first_of_month();
    let midnight = jiff::tz::Offset::UTC
        .to_timestamp(first.at(0, 0, 0, 0))
        .ok()?;
    // Daylight saving may have changed since.
    let guess = midnight.as_second() - offset;
    Some(midnight.as_second() - segment(zone, guess)?.offset)
}

impl fmt::Display for AbandonmentWindow {
    /// For people: `30 days`, `24 hours`, `the month in Europe/London`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rolling(span) => match span.as_secs() {
                secs if secs > 86_400 && secs.is_multiple_of(86_400) => {
                    write!(f, "{} days", secs / 86_400)
                }
                secs if secs.is_multiple_of(3600) => write!(f, "{} hours", secs / 3600),
                secs => write!(f, "{} minutes", secs / 60),
            },
            Self::Month(zone) => {
                let name = zones::name(*zone).unwrap_or("an unknown zone");
                write!(f, "the month in {name}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for AbandonmentWindow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some(name) = text.strip_prefix("month ") {
            let zone = zones::find(name).ok_or_else(|| {
                de::Error::custom(format!(
                    "{name:?} is not a time zone; write one of the IANA database, as in \
                     \"month Europe/London\""
                ))
            })?;
            return Ok(Self::Month(zone));
        }
        read_duration(&text).map(Self::Rolling).ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is neither a span of time nor a month; write 24h, 30d or \
                 \"month Europe/London\""
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> WallTime {
        WallTime::from_millis(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn a_month_begins_at_midnight_where_it_is_counted() {
        for (zone, now, begin) in [
            (
                "Europe/London",
                "2026-11-15T12:00:00Z",
                "2026-11-01T00:00:00Z",
            ),
            // Summer time ended within the month.
            (
                "Europe/London",
                "2026-10-31T23:59:59Z",
                "2026-09-30T23:00:00Z",
            ),
            (
                "Asia/Shanghai",
                "2026-11-30T15:59:59Z",
                "2026-10-31T16:00:00Z",
            ),
            (
                "Asia/Shanghai",
                "2026-11-30T16:00:00Z",
                "2026-11-30T16:00:00Z",
            ),
            (
                "America/New_York",
                "2027-01-01T04:59:59Z",
                "2026-12-01T05:00:00Z",
            ),
        ] {
            let window = AbandonmentWindow::Month(zones::find(zone).unwrap());
            assert_eq!(window.begins(at(now)), Some(at(begin)), "{zone} {now}");
        }
        let month = AbandonmentWindow::Month(zones::find("Asia/Shanghai").unwrap());
        assert_eq!(month.begins(at("2120-01-01T00:00:00Z")), None);
        assert_eq!(month.to_string(), "the month in Asia/Shanghai");
    }

    #[test]
    fn counts_are_kept_as_long_as_the_longest_month() {
        // Summer time ends within it: 31 days and an hour.
        let month = AbandonmentWindow::Month(zones::find("Europe/London").unwrap());
        let last = at("2026-10-31T23:59:59Z");
        let begin = month.begins(last).unwrap();
        assert!(last.since(begin) > Duration::from_secs(31 * 86_400));
        assert!(begin > last - domain::limits::ABANDONMENT_WINDOW_MAX);
    }

    #[test]
    fn windows_print_in_words() {
        for (hours, words) in [
            (24, "24 hours"),
            (48, "2 days"),
            (720, "30 days"),
            (36, "36 hours"),
        ] {
            let window = AbandonmentWindow::Rolling(Duration::from_secs(hours * 3600));
            assert_eq!(window.to_string(), words);
        }
    }
}
