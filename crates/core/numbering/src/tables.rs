//! The generated tables, read in place.
//!
//! A number's key is its first nine digits, country code first, filled up with zeros. `starts.bin`
//! holds where each interval of keys begins (u32, ascending, the first is 0), `values.bin` the
//! record of each interval (u16), and `buckets.bin` for each four leading digits the first interval
//! that begins there or later, so that a search looks at one bucket only. A record (6 bytes) names
//! country (u8), digits of the area code (u8), set of zones (u16) and place (u16); a place (8
//! bytes) names province, city, and both in Chinese, as u16 indices of names; name `i` lies in
//! `names.txt` from offset `i` to offset `i + 1` of `names.bin` (u32). All little-endian; name 0 is
//! empty, place 0 is nowhere.

static STARTS: &[u8] = include_bytes!("../tables/starts.bin");
static VALUES: &[u8] = include_bytes!("../tables/values.bin");
static BUCKETS: &[u8] = include_bytes!("../tables/buckets.bin");
static RECORDS: &[u8] = include_bytes!("../tables/records.bin");
static PLACES: &[u8] = include_bytes!("../tables/places.bin");
static NAME_OFFSETS: &[u8] = include_bytes!("../tables/names.bin");
static NAMES: &str = include_str!("../tables/names.txt");

/// Digits of a key.
const KEY_DIGITS: u32 = 9;
/// Keys of one bucket: five digits below the four that choose it.
const BUCKET_KEYS: u32 = 100_000;

/// What is known of an interval of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) country: u8,
    pub(crate) area_digits: u8,
    pub(crate) zone_set: u16,
    pub(crate) place: u16,
}

/// Indices of a place's names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) province: u16,
    pub(crate) city: u16,
    pub(crate) province_zh: u16,
    pub(crate) city_zh: u16,
}

fn u16_at(table: &[u8], index: usize) -> u16 {
    let at = index * 2;
    u16::from_le_bytes([table[at], table[at + 1]])
}

fn u32_at(table: &[u8], index: usize) -> u32 {
    let at = index * 4;
    u32::from_le_bytes([table[at], table[at + 1], table[at + 2], table[at + 3]])
}

/// The record of a number given by its digits, of which there must be at least one.
pub(crate) fn record(digits: u64) -> Record {
    let len = digits.ilog10() + 1;
    let key = if len > KEY_DIGITS {
        digits / 10u64.pow(len - KEY_DIGITS)
    } else {
        digits * 10u64.pow(KEY_DIGITS - len)
    };
    let key = u32::try_from(key).expect("nine digits fit in u32");
    let bucket = (key / BUCKET_KEYS) as usize;
    let (mut low, mut high) = (
        u32_at(BUCKETS, bucket) as usize,
        u32_at(BUCKETS, bucket + 1) as usize,
    );
    // The first interval that begins after the key; the one before it holds the key.
    while low < high {
        let middle = low.midpoint(high);
        if u32_at(STARTS, middle) <= key {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let at = usize::from(u16_at(VALUES, low - 1)) * 6;
    Record {
        country: RECORDS[at],
        area_digits: RECORDS[at + 1],
        zone_set: u16::from_le_bytes([RECORDS[at + 2], RECORDS[at + 3]]),
        place: u16::from_le_bytes([RECORDS[at + 4], RECORDS[at + 5]]),
    }
}

/// The names of a place.
pub(crate) fn place(index: u16) -> Place {
    let at = usize::from(index) * 4;
    Place {
        province: u16_at(PLACES, at),
        city: u16_at(PLACES, at + 1),
        province_zh: u16_at(PLACES, at + 2),
        city_zh: u16_at(PLACES, at + 3),
    }
}

/// A name, none where it is empty.
pub(crate) fn name(index: u16) -> Option<&'static str> {
    let index = usize::from(index);
    let (from, to) = (u32_at(NAME_OFFSETS, index), u32_at(NAME_OFFSETS, index + 1));
    (from < to).then(|| &NAMES[from as usize..to as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::{COUNTRIES, ZONE_SETS};
    use domain::zones;

    #[test]
    fn every_reference_leads_somewhere() {
        let intervals = STARTS.len() / 4;
        assert_eq!(VALUES.len() / 2, intervals);
        assert_eq!(u32_at(STARTS, 0), 0);
        for i in 1..intervals {
            assert!(u32_at(STARTS, i - 1) < u32_at(STARTS, i), "interval {i}");
        }
        for i in 0..intervals {
            assert!(usize::from(u16_at(VALUES, i)) < RECORDS.len() / 6);
        }
        for bytes in RECORDS.chunks_exact(6) {
            assert!(usize::from(bytes[0]) < COUNTRIES.len());
            assert!(bytes[1] <= 5);
            assert!(usize::from(u16::from_le_bytes([bytes[2], bytes[3]])) < ZONE_SETS.len());
            assert!(usize::from(u16::from_le_bytes([bytes[4], bytes[5]])) < PLACES.len() / 8);
        }
        for i in 0..PLACES.len() / 8 {
            let place = place(i as u16);
            for index in [place.province, place.city, place.province_zh, place.city_zh] {
                let _ = name(index);
            }
        }
        for zone in ZONE_SETS.iter().copied().flatten() {
            assert!(zones::name(*zone).is_some(), "{zone}");
        }
        assert_eq!(name(0), None);
    }

    #[test]
    fn buckets_agree_with_a_whole_search() {
        let intervals = STARTS.len() / 4;
        for i in (0..intervals).step_by(97) {
            let start = u32_at(STARTS, i);
            // Only keys that begin with a country code belong to numbers.
            if start < 100_000_000 {
                continue;
            }
            let (want, got) = (u16_at(VALUES, i), record(u64::from(start)));
            let at = usize::from(want) * 6;
            assert_eq!(got.country, RECORDS[at]);
            assert_eq!(
                got.place,
                u16::from_le_bytes([RECORDS[at + 4], RECORDS[at + 5]])
            );
        }
    }
}
