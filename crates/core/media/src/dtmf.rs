//! Digits as telephone events (RFC 4733): each pressed key is told once, at its first packet.

use crate::tones;

/// Bytes of an event's payload.
pub const EVENT_BYTES: usize = 4;

const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// An event's payload (RFC 4733, 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Event code; 0 to 15 are keys.
    pub code: u8,
    /// The key was let go.
    pub end: bool,
    /// Power below 0 dBm0, 0 to 63 dB.
    pub volume: u8,
    /// How long so far, in samples.
    pub duration: u16,
}

impl Event {
    /// Reads a payload; `None` when it is too short.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let bytes = payload.first_chunk::<EVENT_BYTES>()?;
        Some(Self {
            code: bytes[0],
            end: bytes[1] & 0x80 != 0,
            volume: bytes[1] & 0x3f,
            duration: u16::from_be_bytes([bytes[2], bytes[3]]),
        })
    }

    /// The payload's bytes.
    pub fn bytes(self) -> [u8; EVENT_BYTES] {
        let [high, low] = self.duration.to_be_bytes();
        [
            self.code,
            u8::from(self.end) << 7 | (self.volume & 0x3f),
            high,
            low,
        ]
    }
}

/// The key of an event code, `0`-`9`, `*`, `#`, `A`-`D`.
pub fn key(code: u8) -> Option<char> {
    KEYS.get(usize::from(code)).map(|k| char::from(*k))
}

/// The event code of a key.
pub fn code(key: char) -> Option<u8> {
    KEYS.iter()
        .position(|k| char::from(*k) == key.to_ascii_uppercase())
        .map(|n| n as u8)
}

/// Rows and columns of the keypad in hertz (ITU-T Q.23), the code of each key's event in its place.
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const PLACES: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];
/// Level of each of a key's two tones in dBm0.
const LEVEL: f64 = -10.0;

/// The two frequencies of a key, in hertz, by its event code; none where it is no key.
pub fn frequencies(code: u8) -> Option<(f64, f64)> {
    let row = PLACES.iter().position(|row| row.contains(&code))?;
    let column = PLACES[row].iter().position(|place| *place == code)?;
    Some((ROWS[row], COLUMNS[column]))
}

/// `len` samples of a key's two tones, from `phase` (samples since they began) on; silence where the
/// code is no key's.
pub fn sound(code: u8, phase: u64, len: usize) -> impl Iterator<Item = i16> {
    let pair = frequencies(code);
    let of = move |hertz: f64| tones::sine(hertz, LEVEL, phase, len);
    let (row, column) = pair.unwrap_or((0.0, 0.0));
    of(row).zip(of(column)).map(|(a, b)| a + b)
}

/// The receiving end of one leg's events.
///
/// An event is named by its timestamp: its repeated and final packets share it. An event longer
/// than 8.19 s is cut into segments whose timestamps follow one another (RFC 4733, 2.5.1.3);
/// those are still one key.
#[derive(Clone, Debug, Default)]
pub struct EventReceiver {
    current: Option<(u32, Event)>,
}

impl EventReceiver {
    /// Takes one event packet; tells the key when it is newly pressed.
    pub fn note(&mut self, timestamp: u32, payload: &[u8]) -> Option<char> {
        let event = Event::read(payload)?;
        let before = self.current;
        if let Some((at, last)) = before {
            let ahead = timestamp.wrapping_sub(at);
            if ahead == 0 {
                if event.code == last.code && event.duration > last.duration {
                    self.current = Some((at, event));
                }
                return None;
            }
            if ahead >= 0x8000_0000 {
                return None; // a late repetition of an earlier key
            }
            let segment = event.code == last.code && !last.end && ahead == u32::from(u16::MAX);
            self.current = Some((timestamp, event));
            if segment {
                return None;
            }
        } else {
            self.current = Some((timestamp, event));
        }
        key(event.code)
    }

    /// Forgets the present event: the source began anew.
    pub fn reset(&mut self) {
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(key: char, end: bool, duration: u16) -> [u8; 4] {
        Event {
            code: code(key).unwrap(),
            end,
            volume: 10,
            duration,
        }
        .bytes()
    }

    #[test]
    fn a_key_is_told_once_whatever_is_lost() {
        let mut events = EventReceiver::default();
        assert_eq!(events.note(100, &payload('5', false, 160)), Some('5'));
        assert_eq!(events.note(100, &payload('5', false, 320)), None);
        for _ in 0..3 {
            assert_eq!(events.note(100, &payload('5', true, 480)), None);
        }
        // The same key again; only one of its last packets came.
        assert_eq!(events.note(2_000, &payload('5', true, 480)), Some('5'));
        // A late packet of the first.
        assert_eq!(events.note(100, &payload('5', true, 480)), None);
        assert_eq!(events.note(5_000, &payload('#', false, 0)), Some('#'));
    }

    #[test]
    fn a_held_key_is_one_key() {
        let mut events = EventReceiver::default();
        assert_eq!(events.note(7, &payload('9', false, 160)), Some('9'));
        assert_eq!(events.note(7, &payload('9', false, u16::MAX)), None);
        let next = 7 + u32::from(u16::MAX);
        assert_eq!(events.note(next, &payload('9', false, 160)), None);
        assert_eq!(events.note(next, &payload('9', true, 320)), None);
    }

    #[test]
    fn other_events_and_short_payloads_are_no_keys() {
        let mut events = EventReceiver::default();
        assert_eq!(events.note(1, &[0, 0, 0]), None);
        assert_eq!(events.note(1, &[16, 10, 0, 160]), None); // flash
        assert_eq!(events.note(u32::MAX, &payload('1', false, 0)), None);
        events.reset();
        assert_eq!(events.note(u32::MAX, &payload('1', false, 0)), Some('1'));
        assert_eq!(events.note(500, &payload('d', false, 0)), Some('D'));
    }

    #[test]
    fn events_round_trip() {
        for key in "0123456789*#ABCD".chars() {
            let bytes = payload(key, true, 777);
            let event = Event::read(&bytes).unwrap();
            assert_eq!(event.bytes(), bytes);
            assert_eq!(super::key(event.code), Some(key));
        }
        assert_eq!(code('x'), None);
    }
}
