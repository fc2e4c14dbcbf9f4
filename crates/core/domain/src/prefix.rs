//! Patterns: all numbers that begin with the same digits, such as an area code's.

use crate::PhoneNumber;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The first digits of E.164 numbers, country code first: 1 to [`Prefix::DIGITS`].
///
/// It stands for every number that begins with them. Longer ones would name a single number.
/// Printed and read as `+` and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(u64);

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// No digits at all.
    #[error("empty; expected + and the first 1 to 10 digits of the numbers, such as +1900")]
    Empty,
    /// Something other than digits after the plus sign.
    #[error("character {0:?} is not a digit; expected + and 1 to 10 digits, such as +1900")]
    NotADigit(char),
    /// Too many digits.
    #[error("{0} digits; a pattern has 1 to 10, and more name a number: enter that by itself")]
    Length(usize),
    /// Country codes do not begin with zero.
    #[error("begins with 0; a pattern begins with a country code of 1 to 9")]
    LeadingZero,
}

/// How many digits an integer has.
const fn length(digits: u64) -> u32 {
    match digits.checked_ilog10() {
        Some(log) => log + 1,
        None => 0,
    }
}

impl Prefix {
    /// The most digits.
    pub const DIGITS: usize = 10;
    /// The most digits of a number (E.164).
    const NUMBER_DIGITS: u32 = 15;

    /// From the digits as one integer, country code first.
    ///
    /// # Errors
    /// Zero, or more than [`Prefix::DIGITS`].
    pub const fn from_digits(digits: u64) -> Result<Self, PrefixError> {
        match length(digits) as usize {
            0 => Err(PrefixError::Empty),
            1..=Self::DIGITS => Ok(Self(digits)),
            more => Err(PrefixError::Length(more)),
        }
    }

    /// The digits as one integer, country code first.
    pub const fn digits(self) -> u64 {
        self.0
    }

    /// How many digits.
    pub const fn len(self) -> usize {
        length(self.0) as usize
    }

    /// Never: a pattern has digits.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// The first `len` digits of a number; none if that is no pattern.
    pub fn of(number: PhoneNumber, len: usize) -> Option<Self> {
        let digits = number.digits();
        let surplus = length(digits).checked_sub(u32::try_from(len).ok()?)?;
        Self::from_digits(digits / 10u64.pow(surplus)).ok()
    }

    /// Whether a number begins with these digits.
    pub fn covers(self, number: PhoneNumber) -> bool {
        Self::of(number, self.len()) == Some(self)
    }

    /// The numbers that begin with these digits, as ranges in the order of numbers: one for each
    /// length that a number may have.
    pub fn ranges(self) -> impl Iterator<Item = (PhoneNumber, PhoneNumber)> {
        let own = length(self.0);
        (own..=Self::NUMBER_DIGITS).filter_map(move |len| {
            let step = 10u64.pow(len - own);
            let first = PhoneNumber::from_digits(self.0 * step).ok()?;
            let last = PhoneNumber::from_digits(self.0 * step + (step - 1)).ok()?;
            Some((first, last))
        })
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if digits.is_empty() {
            return Err(PrefixError::Empty);
        }
        if let Some(c) = digits.chars().find(|c| !c.is_ascii_digit()) {
            return Err(PrefixError::NotADigit(c));
        }
        if digits.len() > Self::DIGITS {
            return Err(PrefixError::Length(digits.len()));
        }
        if digits.starts_with('0') {
            return Err(PrefixError::LeadingZero);
        }
        Self::from_digits(digits.parse().expect("at most 10 digits fit in u64"))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse()
                .map_err(de::Error::custom)
        } else {
            Self::from_digits(u64::deserialize(deserializer)?).map_err(de::Error::custom)
        }
    }
}

/// Values by pattern, asked by number: one look for each length that some pattern has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixMap<V> {
    map: BTreeMap<Prefix, V>,
    /// How many patterns have each length.
    lengths: [u32; Prefix::DIGITS],
}

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
            lengths: [0; Prefix::DIGITS],
        }
    }
}

impl<V> PrefixMap<V> {
    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Takes a pattern in; what it had before.
    pub fn insert(&mut self, prefix: Prefix, value: V) -> Option<V> {
        let old = self.map.insert(prefix, value);
        if old.is_none() {
            self.lengths[prefix.len() - 1] += 1;
        }
        old
    }

    /// Takes a pattern out; what it had.
    pub fn remove(&mut self, prefix: Prefix) -> Option<V> {
        let old = self.map.remove(&prefix);
        if old.is_some() {
            self.lengths[prefix.len() - 1] -= 1;
        }
        old
    }

    /// A pattern's value.
    pub fn get(&self, prefix: Prefix) -> Option<&V> {
        self.map.get(&prefix)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &V)> {
        self.map.iter().map(|(prefix, value)| (*prefix, value))
    }

    /// The patterns that cover a number, shortest first. Allocates nothing.
    pub fn covering(&self, number: PhoneNumber) -> impl Iterator<Item = (Prefix, &V)> {
        (self.lengths.iter().enumerate())
            .filter(|(_, count)| **count > 0)
            .filter_map(move |(place, _)| {
                let prefix = Prefix::of(number, place + 1)?;
                self.map.get(&prefix).map(|value| (prefix, value))
            })
    }
}

impl<V> FromIterator<(Prefix, V)> for PrefixMap<V> {
    fn from_iter<I: IntoIterator<Item = (Prefix, V)>>(values: I) -> Self {
        let mut map = Self::default();
        for (prefix, value) in values {
            map.insert(prefix, value);
        }
        map
    }
}

impl<V: Serialize> Serialize for PrefixMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.map.serialize(serializer)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for PrefixMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<Prefix, V>::deserialize(deserializer)?;
        Ok(map.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> PhoneNumber {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_is_a_plus_sign_and_one_to_ten_digits() {
        assert_eq!("+1900".parse::<Prefix>().unwrap().to_string(), "+1900");
        assert_eq!("86755".parse::<Prefix>().unwrap().len(), 5);
        assert!("+1234567890".parse::<Prefix>().is_ok());
        for (text, error) in [
            ("", PrefixError::Empty),
            ("+", PrefixError::Empty),
            ("+1*", PrefixError::NotADigit('*')),
            ("+12345678901", PrefixError::Length(11)),
            ("+01", PrefixError::LeadingZero),
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(error), "{text}");
        }
        assert_eq!(Prefix::from_digits(0), Err(PrefixError::Empty));
        assert!(Prefix::from_digits(9_999_999_999).is_ok());
        assert_eq!(
            Prefix::from_digits(10_000_000_000),
            Err(PrefixError::Length(11))
        );
    }

    #[test]
    fn covers_what_begins_with_it_whatever_its_length() {
        let prefix: Prefix = "+8675".parse().unwrap();
        for (text, yes) in [
            ("+8675512345678", true),
            ("+8675123", true),
            ("+867512345678901", true),
            ("+8676512345678", false),
            ("+18675512345", false),
        ] {
            let number = number(text);
            assert_eq!(prefix.covers(number), yes, "{text}");
            let within = prefix.ranges().any(|(a, b)| (a..=b).contains(&number));
            assert_eq!(within, yes, "{text} by ranges");
        }
    }

    #[test]
    fn a_map_finds_every_pattern_of_a_number() {
        let mut map: PrefixMap<u8> = [("+1", 1), ("+1900", 4), ("+86", 2)]
            .map(|(text, value)| (text.parse().unwrap(), value))
            .into_iter()
            .collect();
        let of = |map: &PrefixMap<u8>, text: &str| -> Vec<u8> {
            map.covering(number(text))
                .map(|(_, value)| *value)
                .collect()
        };
        assert_eq!(of(&map, "+19005550134"), [1, 4]);
        assert_eq!(of(&map, "+8613912345678"), [2]);
        assert_eq!(of(&map, "+4930123456"), []);
        assert_eq!(map.insert("+1".parse().unwrap(), 9), Some(1));
        assert_eq!(map.remove("+1".parse().unwrap()), Some(9));
        assert_eq!(map.remove("+1".parse().unwrap()), None);
        assert_eq!(of(&map, "+19005550134"), [4]);
        assert_eq!(map.len(), 2);
    }
}
