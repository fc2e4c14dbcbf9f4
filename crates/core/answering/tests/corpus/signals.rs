//! Sounds that nobody speaks, and what a line does to all of them.

use domain::Codec;
use media::g711;
use sansio::Stream;
use std::f32::consts::TAU;

/// Samples in a millisecond.
pub const MS: usize = 8;

/// Between two numbers.
pub fn between(random: &mut Stream, low: f32, high: f32) -> f32 {
    low + (high - low) * (random.below(1 << 20) as f32 / (1 << 20) as f32)
}

/// One of these.
pub fn one<'a, T>(random: &mut Stream, of: &'a [T]) -> &'a T {
    &of[random.below(of.len() as u32) as usize]
}

/// Near enough to normal: the sum of four even draws, with a deviation of 1.
fn normal(random: &mut Stream) -> f32 {
    let bits = random.next_u64();
    let sum: i32 = (0..4)
        .map(|n| i32::from((bits >> (16 * n)) as u16) - 32_768)
        .sum();
    sum as f32 / 37_837.0
}

/// The root of the mean square of what is louder than a twentieth of the loudest 20 ms: of speech
/// without its silences.
pub fn active_level(samples: &[f32]) -> f32 {
    let powers: Vec<f32> = samples
        .chunks(20 * MS)
        .map(|c| c.iter().map(|s| s * s).sum::<f32>() / c.len() as f32)
        .collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let (sum, count) = powers
        .iter()
        .filter(|p| **p > loudest / 400.0)
        .fold((0.0, 0), |(sum, count), p| (sum + p, count + 1));
    (sum / count.max(1) as f32).sqrt()
}

/// What a level under full scale in dB is in samples.
pub fn amplitude(db: f32) -> f32 {
    32_768.0 * 10f32.powf(db / 20.0)
}

/// Makes samples so loud, in dB under full scale.
pub fn set_level(samples: &mut [f32], db: f32) {
    let level = active_level(samples);
    if level > 0.0 {
        let gain = amplitude(db) / level;
        samples.iter_mut().for_each(|s| *s *= gain);
    }
}

/// Sines together for so many ms, with 4 ms of swell and fade, full scale.
pub fn tone(frequencies: &[f32], millis: usize) -> Vec<f32> {
    let count = millis * MS;
    (0..count)
        .map(|n| {
            let swell = (n.min(count - 1 - n) as f32 / (4 * MS) as f32).min(1.0);
            let time = n as f32 / 8_000.0;
            let sum: f32 = frequencies
                .iter()
                .map(|f| (TAU * (f * time).fract()).sin())
                .sum();
            sum * swell * 10_000.0
        })
        .collect()
}

/// Silence.
pub fn silence(millis: usize) -> Vec<f32> {
    vec![0.0; millis * MS]
}

/// What is heard behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    Clean,
    White,
    Pink,
    Hum,
    Babble,
    Music,
}

impl Background {
    pub fn draw(random: &mut Stream) -> Self {
        match random.below(100) {
            0..40 => Self::Clean,
            40..55 => Self::White,
            55..75 => Self::Pink,
            75..80 => Self::Hum,
            80..92 => Self::Babble,
            _ => Self::Music,
        }
    }

    /// So many samples of it; `voices` is what babble is made of.
    pub fn samples(self, count: usize, voices: &[Vec<f32>], random: &mut Stream) -> Vec<f32> {
        match self {
            Self::Clean | Self::White => (0..count).map(|_| normal(random)).collect(),
            Self::Pink => pink(count, random),
            Self::Hum => (0..count)
                .map(|n| {
                    let time = n as f32 / 8_000.0;
                    let hum: f32 = [(50.0, 1.0), (150.0, 0.7), (250.0, 0.4)]
                        .iter()
                        .map(|(f, a)| a * (TAU * (f * time).fract()).sin())
                        .sum();
                    hum + 0.3 * normal(random)
                })
                .collect(),
            Self::Babble => babble(count, voices, random),
            Self::Music => music(count, random),
        }
    }
}

/// Six decades of filtered noise (Paul Kellet's filter).
fn pink(count: usize, random: &mut Stream) -> Vec<f32> {
    let mut parts = [0.0f32; 3];
    (0..count)
        .map(|_| {
            let white = normal(random);
            parts[0] = 0.997_65 * parts[0] + white * 0.099_046;
            parts[1] = 0.963 * parts[1] + white * 0.296_516_4;
            parts[2] = 0.57 * parts[2] + white * 1.052_691_3;
            parts.iter().sum::<f32>() + white * 0.184_8
        })
        .collect()
}

fn babble(count: usize, voices: &[Vec<f32>], random: &mut Stream) -> Vec<f32> {
    let mut all = vec![0.0; count];
    for _ in 0..6 {
        let mut at = 0;
        while at < count {
            let voice = one(random, voices);
            let level = active_level(voice).max(1.0);
            for (sample, spoken) in all[at..].iter_mut().zip(voice) {
                *sample += spoken / level;
            }
            at += voice.len() + random.below(1_500) as usize;
        }
    }
    all
}

/// Chords of three notes and a melody, each with four harmonics that fade.
fn music(count: usize, random: &mut Stream) -> Vec<f32> {
    let mut all = vec![0.0; count];
    let beat = 8_000 * 60 / (80 + random.below(60) as usize);
    let root = between(random, 110.0, 180.0);
    let mut at = 0;
    while at < count {
        let chord = *one(random, &[0, 5, 7, 9]);
        let melody = 12 + *one(random, &[0, 2, 4, 7, 9]);
        for step in [chord, chord + 4, chord + 7, chord + melody] {
            let frequency = root * 2f32.powf(step as f32 / 12.0);
            for (n, sample) in all[at..].iter_mut().take(2 * beat).enumerate() {
                let time = n as f32 / 8_000.0;
                let fade = (-2.5 * time).exp() * (n as f32 / 80.0).min(1.0);
                let sum: f32 = (1..=4u8)
                    .map(f32::from)
                    .map(|h| (TAU * (h * frequency * time).fract()).sin() / h)
                    .sum();
                *sample += sum * fade;
            }
        }
        at += beat;
    }
    all
}

/// What a line does.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub codec: Codec,
    pub background: Background,
    /// dB between speech and background.
    pub ratio: f32,
    /// Level of what is said, in dB under full scale.
    pub level: f32,
    /// Lost packets in a thousand.
    pub loss: u32,
    /// Whether the last packet is repeated in a lost one's place; else there is silence.
    pub repeats: bool,
    /// Whether what is below 300 Hz was cut off on the way.
    pub narrow: bool,
}

impl Line {
    pub fn draw(random: &mut Stream) -> Self {
        let background = Background::draw(random);
        let low = random.permille(150);
        Self {
            codec: if random.permille(500) {
                Codec::Pcma
            } else {
                Codec::Pcmu
            },
            background,
            ratio: match background {
                Background::Clean => between(random, 40.0, 55.0),
                _ => between(random, 10.0, 30.0),
            },
            level: if low {
                between(random, -42.0, -34.0)
            } else {
                between(random, -30.0, -16.0)
            },
            loss: if random.permille(500) {
                0
            } else {
                10 + random.below(41)
            },
            repeats: random.permille(500),
            narrow: random.permille(500),
        }
    }

    /// Of tones that the network makes itself.
    pub fn draw_for_tones(random: &mut Stream) -> Self {
        Self {
            level: between(random, -28.0, -13.0),
            ratio: between(random, 15.0, 45.0),
            background: *one(random, &[Background::White, Background::Pink]),
            narrow: false,
            ..Self::draw(random)
        }
    }

    /// What arrives of a sound at its right level.
    pub fn carry(&self, sound: &[f32], voices: &[Vec<f32>], random: &mut Stream) -> Vec<i16> {
        let mut background = self.background.samples(sound.len(), voices, random);
        let power = background.iter().map(|s| s * s).sum::<f32>() / background.len().max(1) as f32;
        let gain = amplitude(self.level - self.ratio) / power.sqrt().max(1e-9);
        let mut whole: Vec<f32> = background
            .drain(..)
            .zip(sound)
            .map(|(b, s)| b * gain + s)
            .collect();
        if self.narrow {
            high_pass(&mut whole);
        }
        let mut heard: Vec<i16> = whole
            .iter()
            .map(|s| s.clamp(-32_768.0, 32_767.0) as i16)
            .map(|s| g711::decode(self.codec, g711::encode(self.codec, s)))
            .collect();
        let packet = 20 * MS;
        for n in 1..heard.len() / packet {
            if random.permille(self.loss) {
                let (before, lost) = heard.split_at_mut(n * packet);
                let lost = &mut lost[..packet];
                if self.repeats {
                    lost.copy_from_slice(&before[(n - 1) * packet..]);
                } else {
                    lost.fill(0);
                }
            }
        }
        heard
    }
}

/// Second order Butterworth at 300 Hz.
fn high_pass(samples: &mut [f32]) {
    let angle = TAU * 300.0 / 8_000.0;
    let (sin, cos) = angle.sin_cos();
    let alpha = sin * std::f32::consts::FRAC_1_SQRT_2;
    let [b0, b1, a1, a2] =
        [(1.0 + cos) / 2.0, -(1.0 + cos), -2.0 * cos, 1.0 - alpha].map(|c| c / (1.0 + alpha));
    let (mut x1, mut x2, mut y1, mut y2) = (0.0, 0.0, 0.0, 0.0);
    for sample in samples {
        let x = *sample;
        let y = b0 * x + b1 * x1 + b0 * x2 - a1 * y1 - a2 * y2;
        (x2, x1, y2, y1) = (x1, x, y1, y);
        *sample = y;
    }
}
