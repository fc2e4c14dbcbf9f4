//! Durations as people write them: `22s`, `500ms`, `1m30s`, `2h`, `7d`.

use std::time::Duration;

/// A text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is {0:?}; expected a duration such as \"22s\", \"500ms\", \"1m30s\", \"2h\" or \"7d\"")]
pub struct DurationError(String);

fn unit(name: &str) -> Option<Duration> {
    Some(match name {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        "d" => Duration::from_secs(86_400),
        _ => return None,
    })
}

/// Reads whole numbers with units (`us`, `ms`, `s`, `m`, `h`, `d`), largest first, no spaces.
///
/// # Errors
/// Anything else, units out of order, or more than a `u64` of seconds.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let refused = || DurationError(text.chars().take(64).collect());
    let (mut rest, mut total, mut last) = (text, Duration::ZERO, Duration::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (name, tail) = tail.split_at(letters);
        let unit = unit(name).filter(|u| *u < last).ok_or_else(refused)?;
        let number: u32 = number.parse().map_err(|_| refused())?;
        total = unit
            .checked_mul(number)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(refused)?;
        (rest, last) = (tail, unit);
    }
    if text.is_empty() {
        return Err(refused());
    }
    Ok(total)
}

/// For `#[serde(with = "service::config::duration")]` on a [`Duration`].
pub mod duration {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::time::Duration;

    /// Reads `"22s"`.
    ///
    /// # Errors
    /// Not a text, or not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Duration;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration such as \"22s\", \"500ms\" or \"1m30s\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                super::parse_duration(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }

    /// Writes the largest unit that divides it: `90s`, `1500ms`, `2h`.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = value.as_micros();
        let (size, name) = [
            (86_400_000_000, "d"),
            (3_600_000_000, "h"),
            (60_000_000, "m"),
            (1_000_000, "s"),
            (1_000, "ms"),
        ]
        .into_iter()
        .find(|(size, _)| micros > 0 && micros.is_multiple_of(*size))
        .unwrap_or((1, "us"));
        serializer.collect_str(&format_args!("{}{name}", micros / size))
    }

    /// The wrapped form, for options.
    #[derive(Deserialize)]
    #[serde(transparent)]
    pub(super) struct Wrapped(#[serde(deserialize_with = "deserialize")] pub(super) Duration);
}

/// For `#[serde(default, with = "service::config::optional_duration")]` on an `Option<Duration>`.
pub mod optional_duration {
    use serde::{Deserialize, Deserializer};
    use std::time::Duration;

    /// Reads `"22s"`.
    ///
    /// # Errors
    /// Not a text, or not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<super::duration::Wrapped>::deserialize(deserializer)?.map(|w| w.0))
    }
}
