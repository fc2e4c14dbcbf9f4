//! Sound that proves itself: tones named by who speaks, G.711, and the ear that finds tones.
//!
//! Written apart from `core/media` for the reason given in [`crate::wire`]: a witness that shares
//! the defendant's ears hears what the defendant hears.

pub mod rtp;

use serde::{Deserialize, Serialize};

/// Samples a second.
pub const RATE: u32 = 8_000;
/// Samples of one packet: 20 ms.
pub const FRAME: usize = 160;
/// Lowest tone of the grid, in hertz.
pub const GRID_FIRST: u32 = 300;
/// Highest tone of the grid, in hertz.
pub const GRID_LAST: u32 = 3_300;
/// Distance between tones of the grid, in hertz. Every tone repeats after 320 samples, two packets.
pub const GRID_STEP: u32 = 25;
/// Samples the ear listens to at a time: 80 ms, four packets.
pub const WINDOW: usize = 640;

const TONES: usize = ((GRID_LAST - GRID_FIRST) / GRID_STEP + 1) as usize;
const FOLD: usize = (RATE / GRID_STEP) as usize;

/// The tone, in hertz, that belongs to a text: an agent's login or a phone number.
///
/// Numbers (`+` and digits, the plus sign does not count) speak on odd multiples of 25 Hz, names
/// on even ones, so that no voice is the echo or an even harmonic of the other side. Everything
/// else the network plays lies 12.5 Hz beside the grid, where the ear is deaf.
pub fn tone_of(text: &str) -> f32 {
    tone_hertz(text) as f32
}

/// [`tone_of`] as a whole number.
pub fn tone_hertz(text: &str) -> u32 {
    let text = text.strip_prefix('+').unwrap_or(text);
    let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    });
    // Neighbouring numbers differ in their last digit only: spread them.
    let mixed = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
    if number {
        325 + 50 * (mixed % 60) as u32
    } else {
        300 + 50 * (mixed % 61) as u32
    }
}

/// A G.711 law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Law {
    /// mu-law, payload type 0.
    #[serde(rename = "pcmu")]
    Mu,
    /// A-law, payload type 8.
    #[serde(rename = "pcma")]
    A,
}

impl Law {
    /// By static RTP payload type (RFC 3551).
    pub const fn from_payload_type(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Mu),
            8 => Some(Self::A),
            _ => None,
        }
    }

    /// Static RTP payload type.
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// Name in session descriptions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mu => "PCMU",
            Self::A => "PCMA",
        }
    }

    /// One linear sample as a byte (ITU-T G.711).
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => mu_encode(sample),
            Self::A => a_encode(sample),
        }
    }

    /// One byte as a linear sample.
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::Mu => mu_decode(byte),
            Self::A => a_decode(byte),
        }
    }
}

fn mu_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    // The highest set bit is bit 7 at least, thanks to the bias.
    let exponent = (31 - magnitude.leading_zeros() as i32) - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

fn mu_decode(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((i32::from(byte & 0x0f) << 3) + 132) << ((byte >> 4) & 7)) - 132;
    (if byte & 0x80 != 0 {
        -magnitude
    } else {
        magnitude
    }) as i16
}

fn a_encode(sample: i16) -> u8 {
    let positive = sample >= 0;
    let magnitude = if positive {
        i32::from(sample)
    } else {
        -i32::from(sample) - 1
    } >> 3;
    let code = if magnitude < 32 {
        magnitude >> 1
    } else {
        let exponent = (31 - magnitude.leading_zeros() as i32) - 4;
        exponent << 4 | (magnitude >> exponent) & 0x0f
    };
    (code as u8 | if positive { 0x80 } else { 0 }) ^ 0x55
}

fn a_decode(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = (i32::from(byte >> 4 & 7), i32::from(byte & 0x0f));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    (if byte & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }) as i16
}

/// Something to play, in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sound {
    /// Nothing: packets of silence.
    Silence,
    /// A tone of the grid, in hertz.
    Tone(u32),
    /// Four seconds that rise and fall as speech does, with pauses.
    Speech,
    /// What a machine plays before it records: 1012.5 Hz.
    Beep,
    /// What a caller hears while it rings: one second of two tones, four of silence.
    Ringback,
    /// A fax machine's 2100 Hz answer tone, 12.5 Hz aside.
    Fax,
}

impl Sound {
    /// Its samples, a whole number of packets, fit for a loop.
    pub fn render(self) -> Vec<i16> {
        match self {
            Self::Silence => vec![0; FRAME],
            Self::Tone(hertz) => sines(FOLD, &[(hertz as f32, 8_000.0)]),
            Self::Beep => sines(WINDOW, &[(1_012.5, 9_000.0)]),
            Self::Fax => sines(WINDOW, &[(2_112.5, 9_000.0)]),
            Self::Ringback => {
                let mut samples = sines(8_000, &[(437.5, 5_000.0), (487.5, 5_000.0)]);
                samples.resize(40_000, 0);
                samples
            }
            Self::Speech => {
                let voice = sines(
                    32_000,
                    &[
                        (137.5, 2_500.0),
                        (387.5, 3_500.0),
                        (812.5, 2_500.0),
                        (1_587.5, 1_200.0),
                    ],
                );
                // Four syllables a second, a breath at the end of each second and a half.
                let envelope = |i: usize| {
                    let t = i as f32 / RATE as f32;
                    if t % 1.5 > 1.2 {
                        0.0
                    } else {
                        (t * 4.0 * std::f32::consts::PI).sin().abs()
                    }
                };
                voice
                    .iter()
                    .enumerate()
                    .map(|(i, s)| (f32::from(*s) * envelope(i)) as i16)
                    .collect()
            }
        }
    }
}

fn sines(samples: usize, parts: &[(f32, f32)]) -> Vec<i16> {
    let step = 2.0 * std::f64::consts::PI / f64::from(RATE);
    (0..samples)
        .map(|i| {
            parts
                .iter()
                .map(|(hertz, peak)| f64::from(*peak) * (step * f64::from(*hertz) * i as f64).sin())
                .sum::<f64>() as i16
        })
        .collect()
}

/// The tones of the grid, in hertz, that make up a fifth or more of the energy of a window.
///
/// Goertzel's recurrence over every tone at once. The window's two halves are added first: what
/// repeats in 320 samples (the grid) stays, what lies 12.5 Hz beside it cancels out.
pub fn tones_in(window: &[i16; WINDOW]) -> Vec<u32> {
    let energy: f32 = window.iter().map(|s| f32::from(*s).powi(2)).sum();
    // Softer than about -50 dBm0 is noise.
    if energy < WINDOW as f32 * 60.0 * 60.0 {
        return Vec::new();
    }
    let coefficients = coefficients();
    let (mut one, mut two) = ([0f32; TONES], [0f32; TONES]);
    for i in 0..FOLD {
        let sample = f32::from(window[i]) + f32::from(window[i + FOLD]);
        for k in 0..TONES {
            let next = sample + coefficients[k] * one[k] - two[k];
            two[k] = one[k];
            one[k] = next;
        }
    }
    // A pure tone's power in its bin is energy * WINDOW / 2.
    let whole = energy * WINDOW as f32 / 2.0;
    (0..TONES)
        .filter(|&k| {
            let power = one[k] * one[k] + two[k] * two[k] - coefficients[k] * one[k] * two[k];
            power > 0.2 * whole
        })
        .map(|k| GRID_FIRST + GRID_STEP * k as u32)
        .collect()
}

fn coefficients() -> &'static [f32; TONES] {
    static TABLE: std::sync::OnceLock<[f32; TONES]> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| {
        std::array::from_fn(|k| {
            let hertz = f64::from(GRID_FIRST + GRID_STEP * k as u32);
            (2.0 * (2.0 * std::f64::consts::PI * hertz / f64::from(RATE)).cos()) as f32
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(law: Law, sound: Sound, offset: usize) -> Vec<u32> {
        let samples = sound.render();
        let window =
            std::array::from_fn(|i| law.decode(law.encode(samples[(i + offset) % samples.len()])));
        tones_in(&window)
    }

    #[test]
    fn both_laws_are_monotonic_and_close() {
        for law in [Law::Mu, Law::A] {
            let mut last = i16::MIN;
            for sample in (i16::MIN..=i16::MAX).step_by(7) {
                let back = law.decode(law.encode(sample));
                assert!(back >= last, "{law:?} {sample}");
                last = back;
                let error = (i32::from(back) - i32::from(sample)).abs();
                assert!(
                    error <= i32::from(sample.unsigned_abs()) / 16 + 140,
                    "{law:?} {sample} {back}"
                );
            }
            for byte in 0..=255u8 {
                let again = law.decode(law.encode(law.decode(byte)));
                assert_eq!(again, law.decode(byte), "{law:?} {byte}");
            }
        }
        // ITU-T G.711: silence.
        assert_eq!((Law::Mu.encode(0), Law::A.encode(0)), (0xff, 0xd5));
    }

    #[test]
    fn the_ear_finds_each_tone_and_no_other() {
        for law in [Law::Mu, Law::A] {
            for hertz in (GRID_FIRST..=GRID_LAST).step_by(GRID_STEP as usize) {
                assert_eq!(heard(law, Sound::Tone(hertz), hertz as usize), [hertz]);
            }
        }
    }

    #[test]
    fn the_ear_is_deaf_to_the_network() {
        for sound in [
            Sound::Silence,
            Sound::Beep,
            Sound::Fax,
            Sound::Ringback,
            Sound::Speech,
        ] {
            for offset in (0..sound.render().len()).step_by(797) {
                let tones = heard(Law::A, sound, offset);
                assert!(tones.is_empty(), "{sound:?} at {offset}: {tones:?}");
            }
        }
    }

    #[test]
    fn two_voices_at_once_are_told_apart() {
        let (a, b) = (Sound::Tone(500).render(), Sound::Tone(1025).render());
        let mixed = std::array::from_fn(|i| a[i % FOLD] / 2 + b[i % FOLD] / 2);
        assert_eq!(tones_in(&mixed), [500, 1025]);
    }

    #[test]
    fn voices_of_agents_and_numbers_never_meet() {
        for i in 0..500u64 {
            let agent = tone_hertz(&format!("agent{i}"));
            let number = tone_hertz(&(8_613_800_000_000 + i).to_string());
            assert!(agent.is_multiple_of(50) && number % 50 == 25);
            assert!((GRID_FIRST..=GRID_LAST).contains(&agent));
            assert!((GRID_FIRST..=GRID_LAST).contains(&number));
        }
        assert_eq!(tone_of("+8613800138000"), tone_of("8613800138000"));
    }
}
