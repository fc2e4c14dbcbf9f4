//! Where a number belongs.

use crate::{
    generated::{COUNTRIES, DATA_VERSION, ZONE_SETS},
    tables,
};
use domain::{PhoneNumber, ZoneId};
use std::fmt;

/// Where a number was given out. Names of places are known for North America, the United Kingdom
/// and China; other countries have country and zones only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Locality {
    /// ISO 3166 code. `001` for numbers of no country (satellites, international freephone), `ZZ`
    /// for a calling code that nobody has.
    pub country: &'static str,
    /// State or province in English: `California`, `Guangdong`.
    pub province: Option<&'static str>,
    /// City in English: `San Francisco`, `Shenzhen`. An area code shared by several towns names
    /// the first. A Chinese mobile number has the city of its first seven digits (归属地).
    pub city: Option<&'static str>,
    /// Province in Chinese: `广东省`.
    pub province_zh: Option<&'static str>,
    /// City in Chinese: `深圳市`.
    pub city_zh: Option<&'static str>,
    /// Area code without country code and trunk prefix: 415, 20, 755. None for mobile phones
    /// outside North America, freephone and premium numbers, and countries without places.
    pub area: Option<u32>,
    /// Every time zone such a number may lie in; empty where nothing is known, and then it may
    /// not be dialed (I4). A freephone number has all zones of its calling code.
    pub zones: &'static [ZoneId],
    /// Which place of the tables: equal for numbers of one city.
    place: u16,
    /// Which name the province has in the tables: equal for numbers of one province.
    province_name: u16,
}

impl Locality {
    /// Whether both have an area code, and the same one of the same country.
    pub fn same_area(&self, other: &Self) -> bool {
        self.area.is_some() && self.area == other.area && self.country == other.country
    }

    /// Whether both are of one known city.
    pub fn same_city(&self, other: &Self) -> bool {
        self.city.is_some() && self.place == other.place
    }

    /// Whether both are of one known province or state.
    pub fn same_province(&self, other: &Self) -> bool {
        self.province.is_some()
            && self.province_name == other.province_name
            && self.country == other.country
    }
}

impl fmt::Debug for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locality")
            .field("country", &self.country)
            .field("province", &self.province)
            .field("city", &self.city)
            .field("area", &self.area)
            .field("zones", &self.zones.len())
            .finish_non_exhaustive()
    }
}

/// Where a number belongs, by its longest known prefix. Takes well under a microsecond and no
/// allocation, and never fails: what is not known is none or empty.
pub fn locality(number: PhoneNumber) -> Locality {
    let digits = number.digits();
    let record = tables::record(digits);
    let place = tables::place(record.place);
    Locality {
        country: COUNTRIES[usize::from(record.country)],
        province: tables::name(place.province),
        city: tables::name(place.city),
        province_zh: tables::name(place.province_zh),
        city_zh: tables::name(place.city_zh),
        area: area(digits, u32::from(record.area_digits)),
        zones: ZONE_SETS[usize::from(record.zone_set)],
        place: record.place,
        province_name: place.province,
    }
}

/// Version of libphonenumber's data in the tables.
pub const fn data_version() -> &'static str {
    DATA_VERSION
}

/// The area code: so many digits after the country code.
fn area(digits: u64, area_digits: u32) -> Option<u32> {
    if area_digits == 0 {
        return None;
    }
    let len = digits.ilog10() + 1;
    // Area codes are known for calling codes 1, 44 and 86 only.
    let country_digits = if digits / 10u64.pow(len - 1) == 1 {
        1
    } else {
        2
    };
    let below = len.checked_sub(country_digits + area_digits)?;
    let area = digits / 10u64.pow(below) % 10u64.pow(area_digits);
    Some(u32::try_from(area).expect("at most five digits"))
}

#[cfg(test)]
mod tests;
