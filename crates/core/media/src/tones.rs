//! Tones: how strong one is in a stretch of samples, and making them.
//!
//! Floating point is at home here: nothing of it is replicated.

use std::f64::consts::TAU;

use crate::g711::SAMPLE_RATE;

/// Finds one frequency in a stretch of samples (Goertzel's recurrence: one multiplication a
/// sample).
#[derive(Clone, Debug)]
pub struct Goertzel {
    coefficient: f64,
    past: [f64; 2],
    energy: f64,
    samples: u32,
}

impl Goertzel {
    /// For a frequency in Hz.
    pub fn new(frequency: f64) -> Self {
        Self {
            coefficient: 2.0 * (TAU * frequency / f64::from(SAMPLE_RATE)).cos(),
            past: [0.0; 2],
            energy: 0.0,
            samples: 0,
        }
    }

    /// Takes the next sample.
    pub fn push(&mut self, sample: i16) {
        let sample = f64::from(sample);
        let next = sample + self.coefficient * self.past[0] - self.past[1];
        self.past = [next, self.past[0]];
        self.energy += sample * sample;
        self.samples += 1;
    }

    /// The share of the power that lies in the tone, 0 to 1; 0 for silence. Starts anew.
    pub fn share(&mut self) -> f64 {
        let [a, b] = self.past;
        let power = a * a + b * b - self.coefficient * a * b;
        let whole = self.energy * f64::from(self.samples) / 2.0;
        let share = if whole > 0.0 {
            (power / whole).min(1.0)
        } else {
            0.0
        };
        *self = Self {
            past: [0.0; 2],
            energy: 0.0,
            samples: 0,
            ..*self
        };
        share
    }

    /// The share of `samples`' power that lies at `frequency` Hz.
    pub fn share_of(frequency: f64, samples: impl IntoIterator<Item = i16>) -> f64 {
        let mut tone = Self::new(frequency);
        samples.into_iter().for_each(|s| tone.push(s));
        tone.share()
    }
}

/// A part of a cadence: frequencies in Hz (none is silence) for so many milliseconds.
pub type Part = (&'static [f64], u32);

/// A sound made by us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cadence {
    /// Its parts, in order; a repeated prompt goes around.
    pub parts: &'static [Part],
    /// Level of each frequency in dBm0 (0 is 3.14 dB below the greatest sine of A-law).
    pub level: f64,
}

/// Tells an agent that a call is on the line.
pub const BEEP: Cadence = Cadence {
    parts: &[(&[1_000.0], 160), (&[], 40)],
    level: -12.0,
};
/// An attention pattern of three rising notes, for a person nobody can serve, where no spoken
/// message was configured. It says nothing: it is not a safe-harbour message by itself.
pub const ATTENTION: Cadence = Cadence {
    parts: &[
        (&[950.0], 330),
        (&[1_400.0], 330),
        (&[1_800.0], 330),
        (&[], 1_010),
    ],
    level: -14.0,
};
/// For who is on hold, where no music was configured: two soft notes every five seconds.
pub const HOLD: Cadence = Cadence {
    parts: &[(&[523.25], 400), (&[659.25], 400), (&[], 4_200)],
    level: -24.0,
};
/// Ringing as heard in North America.
pub const RINGBACK_AMERICA: Cadence = Cadence {
    parts: &[(&[440.0, 480.0], 2_000), (&[], 4_000)],
    level: -19.0,
};
/// Ringing as heard in China.
pub const RINGBACK_CHINA: Cadence = Cadence {
    parts: &[(&[450.0], 1_000), (&[], 4_000)],
    level: -10.0,
};
/// Ringing as heard in most of Europe.
pub const RINGBACK_EUROPE: Cadence = Cadence {
    parts: &[(&[425.0], 1_000), (&[], 4_000)],
    level: -10.0,
};
/// Ringing as heard in Britain.
pub const RINGBACK_BRITAIN: Cadence = Cadence {
    parts: &[
        (&[400.0, 450.0], 400),
        (&[], 200),
        (&[400.0, 450.0], 400),
        (&[], 2_000),
    ],
    level: -19.0,
};

/// Samples over which a tone swells and fades, so that it does not click: 5 ms.
const RAMP: u32 = SAMPLE_RATE / 200;

impl Cadence {
    /// The samples of one round.
    pub fn samples(&self) -> Vec<i16> {
        let peak = amplitude(self.level);
        let mut samples = Vec::new();
        for (frequencies, millis) in self.parts {
            let len = millis * SAMPLE_RATE / 1_000;
            for n in 0..len {
                let swell = f64::from(n.min(len - 1 - n).min(RAMP)) / f64::from(RAMP);
                let time = f64::from(n) / f64::from(SAMPLE_RATE);
                let sum: f64 = frequencies.iter().map(|f| (TAU * f * time).sin()).sum();
                samples.push((peak * swell * sum) as i16);
            }
        }
        samples
    }
}

/// The level of A-law's greatest sine in dBm0 (G.711, section 4).
#[allow(clippy::approx_constant)] // a figure in decibels that only looks like half a circle
const OVERLOAD: f64 = 3.14;

/// The peak of a sine of so many dBm0: G.711's greatest is +3.14 (A-law) at 32,256.
fn amplitude(dbm0: f64) -> f64 {
    32_256.0 * 10f64.powf((dbm0 - OVERLOAD) / 20.0)
}

/// A steady tone: `len` samples of `frequency` Hz at `dbm0`, from `phase` (samples since it
/// began) on; so a stream of frames joins without clicks.
pub fn sine(frequency: f64, dbm0: f64, phase: u64, len: usize) -> impl Iterator<Item = i16> {
    let peak = amplitude(dbm0);
    (0..len as u64).map(move |n| {
        let turn = frequency * (phase + n) as f64 / f64::from(SAMPLE_RATE);
        (peak * (TAU * turn.fract()).sin()) as i16
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::g711;
    use domain::Codec;

    #[test]
    fn a_tone_is_found_through_g711_and_no_other() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let heard: Vec<i16> = sine(697.0, -10.0, 0, 800)
                .map(|s| g711::decode(codec, g711::encode(codec, s)))
                .collect();
            assert!(Goertzel::share_of(697.0, heard.iter().copied()) > 0.95);
            assert!(Goertzel::share_of(941.0, heard.iter().copied()) < 0.01);
        }
        assert_eq!(Goertzel::share_of(697.0, [0; 160]), 0.0);
    }

    #[test]
    fn a_detector_starts_anew() {
        let mut tone = Goertzel::new(1_000.0);
        sine(1_000.0, -10.0, 0, 160).for_each(|s| tone.push(s));
        assert!(tone.share() > 0.99);
        sine(400.0, -10.0, 0, 160).for_each(|s| tone.push(s));
        assert!(tone.share() < 0.01);
    }

    #[test]
    fn the_milliwatt_has_its_level() {
        // G.711, table 5: the peaks of 1 kHz at 0 dBm0 sampled off the crest decode to 20,992.
        let peak = sine(1_000.0, 0.0, 0, 8).map(i16::unsigned_abs).max();
        assert!((22_000..23_000).contains(&peak.unwrap()));
    }

    #[test]
    fn cadences_last_and_sound_as_written() {
        let ring = RINGBACK_AMERICA.samples();
        assert_eq!(ring.len(), 48_000);
        let half = |f| Goertzel::share_of(f, ring[800..8_800].iter().copied());
        assert!((0.45..0.55).contains(&half(440.0)));
        assert!((0.45..0.55).contains(&half(480.0)));
        assert!(ring[16_000..].iter().all(|s| *s == 0));
        for cadence in [
            BEEP,
            ATTENTION,
            HOLD,
            RINGBACK_CHINA,
            RINGBACK_EUROPE,
            RINGBACK_BRITAIN,
        ] {
            let samples = cadence.samples();
            assert_eq!(samples.len() % g711::FRAME, 0, "a whole number of frames");
            assert_eq!(samples[0], 0);
        }
    }
}
