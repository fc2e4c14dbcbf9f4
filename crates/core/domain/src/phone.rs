//! Telephone numbers. They are personal data: every ordinary way to print one masks it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, num::NonZeroU64, str::FromStr};

/// A telephone number in E.164: country code and subscriber number, 7 to 15 digits.
///
/// `Debug`, `Display` and every human-readable serialisation print it masked
/// (`+1415*****34`). Compact binary serialisation (logs, wire) carries it whole.
/// [`PhoneNumber::reveal`] and [`Revealed`] are the only ways to print it in full.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(NonZeroU64);

/// Why a text is not an E.164 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneNumberError {
    /// No digits at all.
    #[error("empty; expected + and 7 to 15 digits")]
    Empty,
    /// Something other than digits after the plus sign.
    #[error("character {0:?} is not a digit; expected + and 7 to 15 digits")]
    NotADigit(char),
    /// Too few or too many digits.
    #[error("{0} digits; E.164 has 7 to 15")]
    Length(usize),
    /// Country codes do not begin with zero.
    #[error("begins with 0; E.164 begins with a country code of 1 to 9")]
    LeadingZero,
}

impl PhoneNumber {
    /// From the digits as one integer, country code first.
    pub fn from_digits(digits: u64) -> Result<Self, PhoneNumberError> {
        let len = digits.checked_ilog10().map_or(0, |l| l as usize + 1);
        match NonZeroU64::new(digits) {
            None => Err(PhoneNumberError::Empty),
            Some(n) if (7..=15).contains(&len) => Ok(Self(n)),
            Some(_) => Err(PhoneNumberError::Length(len)),
        }
    }

    /// The digits as one integer, country code first.
    pub const fn digits(self) -> u64 {
        self.0.get()
    }

    /// The whole number as `+` and digits. Grep for this name to see who prints numbers in full.
    pub fn reveal(self) -> String {
        format!("+{}", self.0)
    }

    /// Whether the number begins with these digits (`86755` for Shenzhen's landlines).
    pub fn has_prefix(self, prefix: u64) -> bool {
        let mut rest = self.0.get();
        while rest > prefix {
            rest /= 10;
        }
        prefix != 0 && rest == prefix
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneNumberError;

    /// Reads strict E.164 with or without `+`. National formats are `numbering`'s business.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if digits.is_empty() {
            return Err(PhoneNumberError::Empty);
        }
        if let Some(c) = digits.chars().find(|c| !c.is_ascii_digit()) {
            return Err(PhoneNumberError::NotADigit(c));
        }
        if !(7..=15).contains(&digits.len()) {
            return Err(PhoneNumberError::Length(digits.len()));
        }
        if digits.starts_with('0') {
            return Err(PhoneNumberError::LeadingZero);
        }
        Self::from_digits(digits.parse().expect("at most 15 digits fit in u64"))
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.get().to_string();
        // First four and last two stay: enough to tell numbers apart in a log, not to call one.
        let hidden = digits.len() - 6;
        write!(
            f,
            "+{}{}{}",
            &digits[..4],
            "*".repeat(hidden),
            &digits[digits.len() - 2..]
        )
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.digits())
        }
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
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

/// A number to be printed in full in human-readable output: exports an admin asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Revealed(pub PhoneNumber);

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Revealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.reveal())
    }
}

impl<'de> Deserialize<'de> for Revealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map(Self)
            .map_err(de::Error::custom)
    }
}

/// Any text that may hold a number (what an importer read), shown by its last two characters.
#[derive(Clone, Copy)]
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.chars().count();
        for (i, c) in self.0.chars().enumerate() {
            let plain = !c.is_ascii_digit() || i < 3.min(len / 3) || i + 2 >= len;
            fmt::Write::write_char(f, if plain { c } else { '*' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_masks() {
        let number: PhoneNumber = "+14155550134".parse().unwrap();
        assert_eq!(number.to_string(), "+1415*****34");
        assert_eq!(format!("{number:?}"), "+1415*****34");
        assert_eq!(number.reveal(), "+14155550134");
        assert_eq!(format!("{:?}", Revealed(number)), "+1415*****34");
        assert_eq!(Masked("0755-1234567").to_string(), "075*-*****67");
    }

    #[test]
    fn parses_only_e164() {
        for (text, error) in [
            ("", PhoneNumberError::Empty),
            ("+", PhoneNumberError::Empty),
            ("+1415x550134", PhoneNumberError::NotADigit('x')),
            ("+123456", PhoneNumberError::Length(6)),
            ("+1234567890123456", PhoneNumberError::Length(16)),
            ("+0123456789", PhoneNumberError::LeadingZero),
        ] {
            assert_eq!(text.parse::<PhoneNumber>(), Err(error), "{text}");
        }
    }

    #[test]
    fn prefixes() {
        let number: PhoneNumber = "+8675512345678".parse().unwrap();
        for (prefix, yes) in [
            (86, true),
            (86755, true),
            (8, true),
            (867, true),
            (1, false),
            (86756, false),
            (0, false),
        ] {
            assert_eq!(number.has_prefix(prefix), yes, "{prefix}");
        }
    }
}
