//! Do-not-call lists that are pulled from their publishers, and how old their data is.

use crate::WallTime;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// A country by its ISO 3166 code: two capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CountryCode([u8; 2]);

/// A text is not a country's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 3166 code; expected two letters, as in US")]
pub struct CountryCodeError;

impl CountryCode {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("it was made of letters")
    }
}

impl FromStr for CountryCode {
    type Err = CountryCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(CountryCodeError),
        }
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How old the data of one list is that the do-not-call base in use was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncListAge {
    /// The list's name.
    pub list: String,
    /// The country that it is about; none when it is about any.
    pub country: Option<CountryCode>,
    /// When its publisher last gave or confirmed it.
    pub as_of: WallTime,
    /// How old it may be, whatever a rule pack allows beyond.
    pub max_age: Duration,
}

impl DncListAge {
    /// Whether a rule pack that asks for the registry of `country` asks for this list.
    pub fn is_required_in(&self, country: Option<CountryCode>) -> bool {
        self.country.is_none() || country.is_none() || self.country == country
    }

    /// How old it may be under a rule pack that allows `max`.
    pub fn bound(&self, max: Duration) -> Duration {
        self.max_age.min(max)
    }
}

/// Whether registry data is older at `wall` than a rule pack allows: `max`, for the registry of
/// `country`. Every list that the pack asks for counts; where the base was made of none of them,
/// the time at which it was built. Allocates nothing.
pub fn registry_is_too_old(
    lists: &[DncListAge],
    built_at: WallTime,
    (max, country): (Duration, Option<CountryCode>),
    wall: WallTime,
) -> bool {
    let mut required = (lists.iter())
        .filter(|list| list.is_required_in(country))
        .peekable();
    match required.peek() {
        None => built_at + max < wall,
        Some(_) => required.any(|list| list.as_of + list.bound(max) < wall),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> WallTime {
        WallTime::from_millis(millis)
    }

    fn age(list: &str, country: &str, as_of: i64, max_age: u64) -> DncListAge {
        DncListAge {
            list: list.into(),
            country: country.parse().ok(),
            as_of: at(as_of),
            max_age: Duration::from_millis(max_age),
        }
    }

    #[test]
    fn a_country_is_two_letters() {
        let country: CountryCode = "us".parse().unwrap();
        assert_eq!((country.as_str(), country.to_string()), ("US", "US".into()));
        for text in ["", "u", "usa", "u1", "é"] {
            assert_eq!(text.parse::<CountryCode>(), Err(CountryCodeError), "{text}");
        }
    }

    #[test]
    fn the_oldest_list_that_is_asked_for_counts() {
        let us = "US".parse().ok();
        let rule = |max| (Duration::from_millis(max), us);
        // Without lists, the base's own time; at the bound it is still good.
        assert!(!registry_is_too_old(&[], at(0), rule(100), at(100)));
        assert!(registry_is_too_old(&[], at(0), rule(100), at(101)));
        let lists = [
            age("federal", "US", 50, 1_000),
            age("state", "US", 20, 1_000),
            age("elsewhere", "GB", 0, 1_000),
        ];
        assert!(!registry_is_too_old(&lists, at(0), rule(100), at(120)));
        assert!(registry_is_too_old(&lists, at(0), rule(100), at(121)));
        // A list may be held to less than the pack allows, and one of no country is always asked.
        let strict = [age("federal", "US", 50, 10)];
        assert!(!registry_is_too_old(&strict, at(0), rule(100), at(60)));
        assert!(registry_is_too_old(&strict, at(0), rule(100), at(61)));
        let any = [age("federal", "US", 50, 1_000), age("any", "", 20, 1_000)];
        assert!(registry_is_too_old(&any, at(0), rule(100), at(121)));
        // Only lists of another country: the base's own time.
        let foreign = [age("elsewhere", "GB", 50, 1_000)];
        assert!(registry_is_too_old(&foreign, at(0), rule(100), at(101)));
    }
}
