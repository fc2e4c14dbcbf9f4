use super::*;
use domain::zones;

fn of(digits: u64) -> Locality {
    locality(PhoneNumber::from_digits(digits).unwrap())
}

fn zone_names(locality: &Locality) -> Vec<&'static str> {
    locality
        .zones
        .iter()
        .map(|zone| zones::name(*zone).unwrap())
        .collect()
}

/// Number, country, province, city, area, and the only zone where there is but one.
type Row = (
    u64,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    Option<u32>,
    &'static str,
);

#[rustfmt::skip]
const KNOWN: &[Row] = &[
    (12_125_550_100, "US", Some("New York"), Some("New York"), Some(212), "America/New_York"),
    (14_155_550_134, "US", Some("California"), Some("San Francisco"), Some(415), "America/Los_Angeles"),
    (13_105_550_134, "US", Some("California"), None, Some(310), "America/Los_Angeles"),
    (14_805_551_234, "US", Some("Arizona"), None, Some(480), "America/Phoenix"),
    (13_125_550_134, "US", Some("Illinois"), Some("Chicago"), Some(312), "America/Chicago"),
    (13_035_550_134, "US", Some("Colorado"), None, Some(303), "America/Denver"),
    (18_085_550_134, "US", Some("Hawaii"), None, Some(808), "Pacific/Honolulu"),
    (12_025_550_134, "US", Some("District of Columbia"), Some("Washington"), Some(202), "America/New_York"),
    (12_065_550_134, "US", Some("Washington"), None, Some(206), "America/Los_Angeles"),
    (13_055_550_134, "US", Some("Florida"), None, Some(305), "America/New_York"),
    (14_165_551_234, "CA", Some("Ontario"), None, Some(416), "America/Toronto"),
    (16_045_551_234, "CA", Some("British Columbia"), None, Some(604), "America/Vancouver"),
    (15_145_551_234, "CA", Some("Quebec"), None, Some(514), "America/Toronto"),
    (12_425_551_234, "BS", None, None, Some(242), "America/Nassau"),
    (17_875_551_234, "PR", None, None, Some(787), "America/Puerto_Rico"),
    (442_079_460_123, "GB", None, Some("London"), Some(20), "Europe/London"),
    (441_614_960_123, "GB", None, Some("Manchester"), Some(161), "Europe/London"),
    (441_224_123_456, "GB", None, Some("Aberdeen"), Some(1224), "Europe/London"),
    (441_387_312_345, "GB", None, Some("Langholm"), Some(13873), "Europe/London"),
    (442_890_123_456, "GB", None, Some("Belfast"), Some(28), "Europe/London"),
    (441_481_256_789, "GG", None, None, Some(1481), "Europe/Guernsey"),
    (441_534_123_456, "JE", None, None, Some(1534), "Europe/Jersey"),
    (861_065_529_988, "CN", Some("Beijing"), Some("Beijing"), Some(10), "Asia/Shanghai"),
    (862_112_345_678, "CN", Some("Shanghai"), Some("Shanghai"), Some(21), "Asia/Shanghai"),
    (862_012_345_678, "CN", Some("Guangdong"), Some("Guangzhou"), Some(20), "Asia/Shanghai"),
    (862_886_123_456, "CN", Some("Sichuan"), Some("Chengdu"), Some(28), "Asia/Shanghai"),
    (8_675_512_345_678, "CN", Some("Guangdong"), Some("Shenzhen"), Some(755), "Asia/Shanghai"),
    (8_657_112_345_678, "CN", Some("Zhejiang"), Some("Hangzhou"), Some(571), "Asia/Shanghai"),
    (869_911_234_567, "CN", Some("Xinjiang"), Some("Urumqi"), Some(991), "Asia/Shanghai"),
    (8_613_800_138_000, "CN", Some("Beijing"), Some("Beijing"), None, "Asia/Shanghai"),
    (8_613_507_551_234, "CN", Some("Fujian"), Some("Sanming"), None, "Asia/Shanghai"),
    (8_613_602_551_234, "CN", Some("Guangdong"), Some("Shenzhen"), None, "Asia/Shanghai"),
    (8_613_918_881_234, "CN", Some("Shanghai"), Some("Shanghai"), None, "Asia/Shanghai"),
    (8_618_612_345_678, "CN", Some("Beijing"), Some("Beijing"), None, "Asia/Shanghai"),
    (864_001_234_567, "CN", None, None, None, "Asia/Shanghai"),
    (85_223_456_789, "HK", None, None, None, "Asia/Hong_Kong"),
    (33_123_456_789, "FR", None, None, None, "Europe/Paris"),
    (6_591_234_567, "SG", None, None, None, "Asia/Singapore"),
    (919_876_543_210, "IN", None, None, None, "Asia/Calcutta"),
    (9_779_841_234_567, "NP", None, None, None, "Asia/Katmandu"),
    (77_271_234_567, "KZ", None, None, None, "Asia/Almaty"),
    (390_669_812_345, "VA", None, None, None, "Europe/Vatican"),
];

#[test]
fn known_numbers() {
    for &(digits, country, province, city, area, zone) in KNOWN {
        let got = of(digits);
        let shown = (got.country, got.province, got.city, got.area);
        assert_eq!(shown, (country, province, city, area), "{digits}");
        assert_eq!(zone_names(&got), [zone], "{digits}");
    }
}

#[test]
fn chinese_names_go_with_the_english_ones() {
    for (digits, province, city) in [
        (8_675_512_345_678, "广东省", "深圳市"),
        (8_613_800_138_000, "北京市", "北京市"),
        (8_613_507_551_234, "福建省", "三明市"),
    ] {
        let got = of(digits);
        assert_eq!((got.province_zh, got.city_zh), (Some(province), Some(city)));
    }
}

#[test]
fn what_spans_zones_has_them_all() {
    for (digits, want) in [
        // Alaska: the Aleutians too.
        (19_075_551_234, &["America/Adak", "America/Anchorage"][..]),
        // South Dakota's 605 lies in two.
        (
            16_055_551_234,
            &["America/Denver", "America/North_Dakota/Center"],
        ),
        (
            447_700_900_123,
            &["Europe/Guernsey", "Europe/Isle_of_Man", "Europe/London"],
        ),
    ] {
        assert_eq!(zone_names(&of(digits)), want, "{digits}");
    }
}

#[test]
fn freephone_is_nowhere_in_particular() {
    for area in [800, 833, 844, 855, 866, 877, 888] {
        let got = of(10_005_551_234 + area * 10_000_000);
        assert_eq!((got.province, got.city, got.area), (None, None, None));
        assert!(got.zones.len() > 30, "{area}: {got:?}");
    }
}

#[test]
fn unknown_has_no_zones() {
    // 800 and 882 are of no country, 999 is nobody's.
    for (digits, country) in [(80_012_345_678, "001"), (99_912_345_678, "ZZ")] {
        let got = of(digits);
        assert_eq!((got.country, got.zones.len()), (country, 0), "{digits}");
    }
}

#[test]
fn shortest_and_longest_numbers_have_a_place() {
    for digits in [
        1_000_000,
        9_999_999,
        999_999_999_999_999,
        100_000_000_000_000,
    ] {
        let _ = of(digits);
    }
    assert_eq!(of(2_901_234).country, "SH");
}

#[test]
fn nearness() {
    let (shenzhen, guangzhou) = (of(8_675_512_345_678), of(862_012_345_678));
    let (mobile, york) = (of(8_613_602_551_234), of(12_125_550_100));
    assert!(shenzhen.same_city(&mobile) && !shenzhen.same_area(&mobile));
    assert!(shenzhen.same_province(&guangzhou) && !shenzhen.same_city(&guangzhou));
    assert!(!york.same_province(&shenzhen) && york.same_area(&york));
    // Two numbers of which nothing is known are not near each other.
    let (a, b) = (of(33_123_456_789), of(33_623_456_789));
    assert!(!a.same_area(&b) && !a.same_city(&b) && !a.same_province(&b));
}
