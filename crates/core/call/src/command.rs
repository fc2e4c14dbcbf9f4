//! An agent's buttons: what the screen sends.

use crate::error::{AgentError, CommandError};
use domain::{Keys, PauseCode, WallTime};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;

/// What an agent wants. In JSON: `{"type":"dispose","disposition":"sale","note":"..."}`; unknown
/// fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", from = "Text")]
pub enum AgentCommand {
    /// Begin the shift: the agent's phone is called.
    LogIn,
    /// End the shift; during a call, once it and its wrap-up are over.
    LogOut,
    /// Take calls; during a call, once it and its wrap-up are over.
    Ready,
    /// Take no calls; during a call, once it and its wrap-up are over.
    Pause {
        /// Why.
        code: PauseCode,
    },
    /// End the call.
    HangUp,
    /// Set the call's one disposition, during the call or in wrap-up.
    Dispose {
        /// A name from the campaign's list.
        disposition: String,
        /// A note for the record, at most [`domain::limits::NOTE_BYTES`].
        note: String,
        /// A promised callback.
        callback_at: Option<WallTime>,
    },
    /// Record nothing of the call for now: a card's number is about to be said.
    RecordingPause,
    /// Record the call again.
    RecordingResume,
    /// Put the person on hold: music there, silence here.
    Hold,
    /// Speak with the person again.
    Resume,
    /// Send keys to the person, as a telephone's keypad does.
    PressKeys {
        /// 1 to [`domain::limits::KEYS`] of `0` to `9`, `*`, `#`.
        keys: Keys,
    },
}

/// The strict reading of [`AgentCommand`]: variants without fields are written as empty structs,
/// since serde looks for unknown fields only in those.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Text {
    LogIn {},
    LogOut {},
    Ready {},
    Pause {
        #[serde(default)]
        code: PauseCode,
    },
    HangUp {},
    Dispose {
        disposition: String,
        #[serde(default)]
        note: String,
        #[serde(default, deserialize_with = "optional_time")]
        callback_at: Option<WallTime>,
    },
    RecordingPause {},
    RecordingResume {},
    Hold {},
    Resume {},
    PressKeys {
        keys: Keys,
    },
}

impl From<Text> for AgentCommand {
    fn from(text: Text) -> Self {
        match text {
            Text::LogIn {} => Self::LogIn,
            Text::LogOut {} => Self::LogOut,
            Text::Ready {} => Self::Ready,
            Text::Pause { code } => Self::Pause { code },
            Text::HangUp {} => Self::HangUp,
            Text::Dispose {
                disposition,
                note,
                callback_at,
            } => Self::Dispose {
                disposition,
                note,
                callback_at,
            },
            Text::RecordingPause {} => Self::RecordingPause,
            Text::RecordingResume {} => Self::RecordingResume,
            Text::Hold {} => Self::Hold,
            Text::Resume {} => Self::Resume,
            Text::PressKeys { keys } => Self::PressKeys { keys },
        }
    }
}

impl AgentCommand {
    /// The error for a message that could not be read as a command; `why` is the reader's word.
    pub fn unreadable(why: impl fmt::Display) -> CommandError {
        AgentError::Unreadable.with(why)
    }
}

/// Milliseconds since the Unix epoch, or RFC 3339 text.
fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WallTime>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "a time: milliseconds since 1970, or RFC 3339 text"
    )]
    enum Given {
        Millis(i64),
        Text(String),
    }
    match Option::<Given>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Given::Millis(millis)) => Ok(Some(WallTime::from_millis(millis))),
        Some(Given::Text(text)) => rfc_3339(&text).map(Some).ok_or_else(|| {
            de::Error::custom(format!(
                "{:?} is not a time like 2026-11-21T22:34:56Z",
                text.chars().take(64).collect::<String>()
            ))
        }),
    }
}

/// RFC 3339 `date-time`; the fraction beyond milliseconds is dropped. Leap seconds are refused.
fn rfc_3339(text: &str) -> Option<WallTime> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = bytes.get(range)?;
        digits.iter().all(u8::is_ascii_digit).then(|| {
            digits
                .iter()
                .fold(0, |n, digit| n * 10 + i64::from(digit - b'0'))
        })
    };
    let mark = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|b| allowed.contains(b));
    let marks = mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":");
    if !(marks && mark(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut millis = 0;
    if mark(at, b".") {
        let digits = bytes[at + 1..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if digits == 0 {
            return None;
        }
        for place in 0..3 {
            let digit = if place < digits {
                i64::from(bytes[at + 1 + place] - b'0')
            } else {
                0
            };
            millis = millis * 10 + digit;
        }
        at += 1 + digits;
    }
    let offset = match &bytes[at..] {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(at + 1..at + 3)?, number(at + 4..at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days from 1970-01-01 in the proleptic Gregorian calendar, years counted from March.
    let years = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = years * 365 + years.div_euclid(4) - years.div_euclid(100)
        + years.div_euclid(400)
        + day_of_year
        - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    Some(WallTime::from_millis(seconds * 1000 + millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AgentCommand, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn commands_read_and_write() {
        assert_eq!(read(r#"{"type":"log_in"}"#), Ok(AgentCommand::LogIn));
        let pause = read(r#"{"type":"recording_pause"}"#);
        assert_eq!(pause, Ok(AgentCommand::RecordingPause));
        let resume = read(r#"{"type":"recording_resume"}"#);
        assert_eq!(resume, Ok(AgentCommand::RecordingResume));
        assert_eq!(read(r#"{"type":"hold"}"#), Ok(AgentCommand::Hold));
        assert_eq!(read(r#"{"type":"resume"}"#), Ok(AgentCommand::Resume));
        let keys = Keys::new("12*#");
        let press = read(r#"{"type":"press_keys","keys":"12*#"}"#);
        assert_eq!(press, Ok(AgentCommand::PressKeys { keys }));
        assert_eq!(
            read(r#"{"type":"pause","code":"lunch"}"#),
            Ok(AgentCommand::Pause {
                code: PauseCode("lunch".into())
            })
        );
        let dispose = AgentCommand::Dispose {
            disposition: "sale".into(),
            note: String::new(),
            callback_at: Some(WallTime::from_millis(951_782_400_000)),
        };
        for at in ["951782400000", r#""2000-02-29T00:00:00Z""#] {
            let text = format!(r#"{{"type":"dispose","disposition":"sale","callback_at":{at}}}"#);
            assert_eq!(read(&text).as_ref(), Ok(&dispose));
        }
        let text = serde_json::to_string(&dispose).unwrap();
        assert_eq!(read(&text), Ok(dispose));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (text, part) in [
            (r#"{"type":"log_in","force":true}"#, "unknown field `force`"),
            (r#"{"type":"pause","reason":"x"}"#, "unknown field `reason`"),
            (r#"{"type":"dance"}"#, "unknown variant `dance`"),
            (r#"{"disposition":"sale"}"#, "missing field `type`"),
            (r#"{"type":"dispose"}"#, "missing field `disposition`"),
            (
                r#"{"type":"dispose","disposition":"a","callback_at":"soon"}"#,
                r#""soon" is not a time like"#,
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn times_read_as_rfc_3339() {
        for millis in [0, 951_782_400_000, 1_795_300_496_789, -1, 68_169_600_000] {
            let time = WallTime::from_millis(millis);
            assert_eq!(rfc_3339(&time.to_string()), Some(time), "{time}");
        }
        assert_eq!(
            rfc_3339("2026-11-21T22:34:56.5+08:00"),
            rfc_3339("2026-11-21T14:34:56.500Z")
        );
        for bad in [
            "2026-11-21",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T22:34:56",
            "2026-11-21T22:34:56.Z",
            "2026-11-21T22:34:56+0800",
            "２026-11-21T22:34:56Z",
            "",
        ] {
            assert_eq!(rfc_3339(bad), None, "{bad}");
        }
    }
}
