//! Keys of a telephone that an agent presses for the person to hear. What they spell may be a card's
//! number or a password: nothing here prints it.

use crate::limits;
use serde::{Deserialize, Serialize};
use std::fmt;

const ALL: &str = "0123456789*#";

/// One key: `0` to `9`, `*` or `#`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u8);

impl Key {
    /// The key of a character, if it is one.
    pub fn of(character: char) -> Option<Self> {
        ALL.find(character).map(|place| Self(place as u8))
    }

    /// Its code as a telephone event, 0 to 11 (RFC 4733, section 3.2).
    pub const fn event(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Keys as they came from a screen: a text that [`Keys::read`] has yet to look at.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keys(String);

/// A text that is not keys. It tells the place, never what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// There are none, or too many.
    #[error("Given {given} keys, expected 1 to {}", limits::KEYS)]
    Count {
        /// How many.
        given: usize,
    },
    /// One of them is no key.
    #[error("Character {place} is none of 0 to 9, * and #")]
    Unknown {
        /// Which, from 1.
        place: usize,
    },
}

impl Keys {
    /// Any text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The keys in their order, 1 to [`limits::KEYS`].
    ///
    /// # Errors
    /// There are none or too many, or something else is among them.
    pub fn read(&self) -> Result<Vec<Key>, KeysError> {
        let given = self.0.chars().count();
        if given == 0 || given > limits::KEYS {
            return Err(KeysError::Count { given });
        }
        let read = |(n, character)| Key::of(character).ok_or(KeysError::Unknown { place: n + 1 });
        self.0.chars().enumerate().map(read).collect()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_their_order_up_to_the_limit() {
        let events = |text: &str| {
            let keys = Keys::new(text).read()?;
            Ok(keys.into_iter().map(Key::event).collect::<Vec<_>>())
        };
        assert_eq!(events("0129*#"), Ok(vec![0, 1, 2, 9, 10, 11]));
        assert_eq!(
            events(&"7".repeat(limits::KEYS)).map(|k| k.len()),
            Ok(limits::KEYS)
        );
        let count = |given| Err(KeysError::Count { given });
        assert_eq!(events(""), count(0));
        assert_eq!(
            events(&"7".repeat(limits::KEYS + 1)),
            count(limits::KEYS + 1)
        );
        for (text, place) in [("A", 1), ("12 3", 3), ("1２", 2)] {
            assert_eq!(events(text), Err(KeysError::Unknown { place }), "{text}");
        }
    }

    #[test]
    fn nothing_prints_what_was_pressed() {
        let keys = Keys::new("4929x");
        let shown = format!("{keys:?} {:?} {}", Key::of('4'), keys.read().unwrap_err());
        assert_eq!(
            shown,
            "Keys(5 bytes) Some(Key) Character 5 is none of 0 to 9, * and #"
        );
    }
}
