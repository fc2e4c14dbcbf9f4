//! A bank of Goertzel filters: every frame's power at each multiple of 50 Hz, and the power of the
//! call progress tones over 100 ms.

use crate::{FRAME, SAMPLE_RATE};
use std::f32::consts::TAU;

/// The grid's step in Hz: one turn a frame, so that a tone on the grid is in one bin alone.
const STEP: f32 = 50.0;
/// The lowest bin: 300 Hz.
const LOWEST: usize = 6;
/// Bins, up to 2,250 Hz.
const BINS: usize = 40;
/// Frequencies of call progress tones that 50 Hz do not tell apart, in Hz.
pub(crate) const FINE: [f32; 6] = [400.0, 425.0, 440.0, 450.0, 480.0, 620.0];
/// Frames of one look at them: 100 ms tell 10 Hz apart.
const FINE_FRAMES: u32 = 5;
/// Filters run side by side, so that the compiler may use wide registers.
const LANES: usize = 8;

fn coefficient(frequency: f32) -> f32 {
    2.0 * (TAU * frequency / SAMPLE_RATE as f32).cos()
}

/// What one frame holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spectrum {
    /// Sum of the squares of the samples, without their mean.
    pub(crate) energy: f32,
    /// Which part of that energy each bin has.
    share: [f32; BINS],
    /// The strongest bin.
    peak: usize,
    /// The frequency there in Hz, from how far its phase came since the frame before.
    pub(crate) frequency: f32,
}

impl Spectrum {
    /// The part of the energy between two frequencies in Hz, both on the grid and included.
    pub(crate) fn between(&self, low: f32, high: f32) -> f32 {
        let at = |frequency: f32| ((frequency / STEP) as usize).clamp(LOWEST, LOWEST + BINS - 1);
        self.share[at(low) - LOWEST..=at(high) - LOWEST]
            .iter()
            .sum()
    }

    /// The part of the energy in the strongest bin and its neighbours.
    pub(crate) fn purity(&self) -> f32 {
        self.share[self.peak.saturating_sub(1)..(self.peak + 2).min(BINS)]
            .iter()
            .sum()
    }

    /// The strongest bin's frequency in Hz.
    pub(crate) fn peak(&self) -> f32 {
        (self.peak + LOWEST) as f32 * STEP
    }
}

/// The filters and what they keep from frame to frame.
#[derive(Clone, Debug)]
pub(crate) struct Bank {
    coefficients: [f32; BINS],
    /// Cosine and sine of each bin's angle.
    angles: [(f32, f32); BINS],
    /// Each bin's real and imaginary part in the frame before.
    before: [(f32, f32); BINS],
    fine: Fine,
}

impl Bank {
    pub(crate) fn new() -> Self {
        let frequency = |bin: usize| (bin + LOWEST) as f32 * STEP;
        Self {
            coefficients: std::array::from_fn(|bin| coefficient(frequency(bin))),
            angles: std::array::from_fn(|bin| {
                let angle = TAU * frequency(bin) / SAMPLE_RATE as f32;
                (angle.cos(), angle.sin())
            }),
            before: [(0.0, 0.0); BINS],
            fine: Fine::new(),
        }
    }

    /// Takes the next frame.
    pub(crate) fn analyse(&mut self, frame: &[i16; FRAME]) -> Spectrum {
        let mut samples = [0.0f32; FRAME];
        for (sample, value) in samples.iter_mut().zip(frame) {
            *sample = f32::from(*value);
        }
        let mean = samples.iter().sum::<f32>() / FRAME as f32;
        let mut energy = 0.0;
        for sample in &mut samples {
            *sample -= mean;
            energy += *sample * *sample;
        }
        self.fine.take(&samples, energy);
        let mut parts = [(0.0, 0.0); BINS];
        for (chunk, group) in self.coefficients.chunks_exact(LANES).enumerate() {
            let mut filters = Lanes::new(group);
            filters.run(&samples);
            for lane in 0..LANES {
                let bin = chunk * LANES + lane;
                let (cos, sin) = self.angles[bin];
                let [one, two] = [filters.one[lane], filters.two[lane]];
                parts[bin] = (one - two * cos, two * sin);
            }
        }
        // A sine on the grid has (samples x amplitude / 2) squared here and samples x amplitude
        // squared / 2 there.
        let scale = 2.0 / (FRAME as f32 * energy.max(1.0));
        let share = parts.map(|(re, im)| (re * re + im * im) * scale);
        let peak = (0..BINS).fold(
            0,
            |best, bin| {
                if share[bin] > share[best] { bin } else { best }
            },
        );
        let frequency = (peak + LOWEST) as f32 * STEP + self.drift(peak, parts[peak]);
        self.before = parts;
        Spectrum {
            energy,
            share,
            peak,
            frequency,
        }
    }

    /// How far in Hz the tone in a bin lies beside the bin's own frequency, which comes around
    /// once a frame: what its phase moved is the difference.
    fn drift(&self, bin: usize, (re, im): (f32, f32)) -> f32 {
        let (before_re, before_im) = self.before[bin];
        let turn = (im * before_re - re * before_im).atan2(re * before_re + im * before_im);
        turn / TAU * STEP
    }

    /// Forgets what it heard of call progress tones.
    pub(crate) fn restart_fine(&mut self) {
        self.fine = Fine::new();
    }

    /// The part of the energy at each of [`FINE`] over the last 100 ms since
    /// [`Bank::restart_fine`]; none between.
    pub(crate) fn fine(&self) -> Option<[f32; FINE.len()]> {
        self.fine.shares
    }
}

/// Eight filters side by side.
struct Lanes {
    coefficients: [f32; LANES],
    one: [f32; LANES],
    two: [f32; LANES],
}

impl Lanes {
    fn new(group: &[f32]) -> Self {
        Self {
            coefficients: std::array::from_fn(|lane| group.get(lane).copied().unwrap_or_default()),
            one: [0.0; LANES],
            two: [0.0; LANES],
        }
    }

    fn run(&mut self, samples: &[f32; FRAME]) {
        let (coefficients, mut one, mut two) = (self.coefficients, self.one, self.two);
        for sample in samples {
            for lane in 0..LANES {
                let next = coefficients[lane] * one[lane] - two[lane] + sample;
                two[lane] = one[lane];
                one[lane] = next;
            }
        }
        (self.one, self.two) = (one, two);
    }
}

/// The look at call progress tones.
#[derive(Clone, Debug)]
struct Fine {
    coefficients: [f32; FINE.len()],
    one: [f32; LANES],
    two: [f32; LANES],
    energy: f32,
    frames: u32,
    shares: Option<[f32; FINE.len()]>,
}

impl Fine {
    fn new() -> Self {
        Self {
            coefficients: FINE.map(coefficient),
            one: [0.0; LANES],
            two: [0.0; LANES],
            energy: 0.0,
            frames: 0,
            shares: None,
        }
    }

    fn take(&mut self, samples: &[f32; FRAME], energy: f32) {
        let mut lanes = Lanes {
            one: self.one,
            two: self.two,
            ..Lanes::new(&self.coefficients)
        };
        lanes.run(samples);
        (self.one, self.two) = (lanes.one, lanes.two);
        self.energy += energy;
        self.frames += 1;
        self.shares = None;
        if self.frames < FINE_FRAMES {
            return;
        }
        let scale = 2.0 / ((FRAME as u32 * self.frames) as f32 * self.energy.max(1.0));
        let shares = std::array::from_fn(|tone| {
            let (one, two) = (self.one[tone], self.two[tone]);
            (one * one + two * two - self.coefficients[tone] * one * two) * scale
        });
        *self = Self::new();
        self.shares = Some(shares);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::tones::sine;

    fn frames(frequencies: &[f64], count: usize) -> Vec<[i16; FRAME]> {
        (0..count)
            .map(|n| {
                let mut frame = [0i16; FRAME];
                for frequency in frequencies {
                    let tone = sine(*frequency, -15.0, (n * FRAME) as u64, FRAME);
                    for (sample, value) in frame.iter_mut().zip(tone) {
                        *sample += value;
                    }
                }
                frame
            })
            .collect()
    }

    #[test]
    fn a_tone_is_measured_to_the_hertz() {
        for frequency in [413.0, 913.8, 985.2, 1_370.6, 1_776.7, 2_100.0] {
            let mut bank = Bank::new();
            let mut last = None;
            for frame in frames(&[frequency], 5) {
                last = Some(bank.analyse(&frame));
            }
            let last = last.unwrap();
            assert!(
                (f64::from(last.frequency) - frequency).abs() < 2.0,
                "{frequency}"
            );
            assert!(last.purity() > 0.8, "{frequency}: {}", last.purity());
        }
    }

    #[test]
    fn call_progress_tones_are_told_apart() {
        for (tones, expected) in [
            (vec![450.0], vec![3]),
            (vec![425.0], vec![1]),
            (vec![440.0, 480.0], vec![2, 4]),
            (vec![400.0, 450.0], vec![0, 3]),
            (vec![480.0, 620.0], vec![4, 5]),
        ] {
            let mut bank = Bank::new();
            let mut shares = None;
            for frame in frames(&tones, FINE_FRAMES as usize) {
                bank.analyse(&frame);
                shares = bank.fine().or(shares);
            }
            let found: Vec<usize> = shares
                .unwrap()
                .iter()
                .enumerate()
                .filter(|(_, share)| **share > 0.3)
                .map(|(n, _)| n)
                .collect();
            assert_eq!(found, expected, "{tones:?}");
        }
    }

    #[test]
    fn silence_has_no_tone() {
        let spectrum = Bank::new().analyse(&[0; FRAME]);
        assert_eq!(spectrum.energy, 0.0);
        assert_eq!(spectrum.purity(), 0.0);
    }
}
