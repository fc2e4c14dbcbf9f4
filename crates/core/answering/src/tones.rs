//! Runs of one tone, and what single tones and triples of them mean.

use crate::{
    FRAME_MS,
    bank::{Bank, FINE, Spectrum},
    verdict::Sit,
};

/// Frames that may be missing inside a tone: two lost packets.
const MISSES: u32 = 2;
/// How steady a tone is: Hz and dB around what it was so far.
const STEADY_HZ: f32 = 20.0;
const STEADY_DB: f32 = 4.0;
/// The part of a frame's energy that a tone has, noise 10 dB below it allowed for.
const SHARE: f32 = 0.72;
/// Frames after which a steady tone is no vowel.
const VOWEL_FRAMES: u32 = 8;

/// What one frame sounds like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    /// One or two tones from 400 to 480 Hz: ringback and, outside North America, busy.
    Low,
    /// 480 and 620 Hz: busy in North America.
    Pair,
    /// One tone anywhere else from 500 to 2,250 Hz.
    Single,
}

/// Call progress tones, told apart over 100 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallTone {
    /// 400 Hz.
    Hz400,
    /// 425 Hz.
    Hz425,
    /// 450 Hz.
    Hz450,
    /// 440 and 480 Hz.
    Hz440And480,
    /// 400 and 450 Hz.
    Hz400And450,
    /// 480 and 620 Hz.
    Hz480And620,
}

/// A tone that is going on or was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tone {
    sound: Sound,
    /// Which call progress tone, once 100 ms of it were heard.
    pub(crate) call: Option<CallTone>,
    /// Its frequency in Hz; of two, somewhere between.
    pub(crate) frequency: f32,
    /// The frame in which it began, counted from the first.
    pub(crate) start: u32,
    /// The frame after the last in which it was heard.
    pub(crate) end: u32,
    level: f32,
}

impl Tone {
    /// How long it lasts, in ms.
    pub(crate) const fn millis(&self) -> u32 {
        self.frames() * FRAME_MS
    }

    /// How many frames it lasts.
    pub(crate) const fn frames(&self) -> u32 {
        self.end - self.start
    }

    /// Whether it is a single tone.
    pub(crate) fn single(&self) -> bool {
        match self.sound {
            Sound::Single => true,
            Sound::Low => !matches!(
                self.call,
                Some(CallTone::Hz440And480 | CallTone::Hz400And450)
            ),
            Sound::Pair => false,
        }
    }

    /// Whether its frequency lies that near another's, in Hz.
    pub(crate) fn near(&self, frequency: f32, tolerance: f32) -> bool {
        self.sound == Sound::Single && (self.frequency - frequency).abs() <= tolerance
    }
}

/// What a frame did to the tones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    /// The tone that goes on; its last frames may be missing.
    pub(crate) running: Option<Tone>,
    /// The tone that is over.
    pub(crate) over: Option<Tone>,
    /// Whether this frame continued the running tone.
    pub(crate) heard: bool,
}

impl Step {
    /// Whether the running tone is longer than any vowel is steady.
    pub(crate) fn no_vowel(&self) -> bool {
        self.running
            .is_some_and(|tone| tone.frames() >= VOWEL_FRAMES)
    }
}

/// Follows one tone at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tones {
    run: Option<Tone>,
    now: u32,
}

impl Tones {
    /// Takes the next frame: what the bank found and its level in dB.
    pub(crate) fn take(&mut self, bank: &mut Bank, spectrum: &Spectrum, level: f32) -> Step {
        let sound = sound(spectrum);
        let mut step = Step::default();
        if let (Some(run), Some(sound)) = (&mut self.run, sound)
            && run.continues(sound, spectrum, level, self.now)
        {
            // The first frame may have begun in its middle: it counts for nothing but its time.
            let weight = 1.0 / run.frames() as f32;
            if run.end == self.now {
                run.frequency += (spectrum.frequency - run.frequency) * weight;
            }
            run.level += (level - run.level) * weight;
            run.end = self.now + 1;
            if let Some(shares) = bank.fine() {
                run.call = run.call.or(call_tone(&shares));
            }
            step.heard = true;
        } else if let Some(sound) = sound {
            step.over = self.run.take();
            self.run = Some(Tone {
                sound,
                call: None,
                frequency: spectrum.frequency,
                start: self.now,
                end: self.now + 1,
                level,
            });
            bank.restart_fine();
            step.heard = true;
        } else if self.run.is_some_and(|run| self.now - run.end >= MISSES) {
            step.over = self.run.take();
        }
        self.now += 1;
        step.running = self.run;
        step
    }
}

impl Tone {
    fn continues(&self, sound: Sound, spectrum: &Spectrum, level: f32, now: u32) -> bool {
        let near = (spectrum.peak() - self.frequency).abs() <= 3.0 * STEADY_HZ;
        let even = (level - self.level).abs() <= STEADY_DB;
        // The first frame may have begun in its middle, and no phase came before it; nor before
        // one that follows a lost packet. Two tones beat, so their phase wanders.
        let steady = match sound {
            _ if self.frames() == 1 => return sound == self.sound && near,
            Sound::Single if self.end == now => {
                (spectrum.frequency - self.frequency).abs() <= STEADY_HZ
            }
            Sound::Single => near,
            Sound::Low | Sound::Pair => true,
        };
        sound == self.sound && steady && even
    }
}

fn sound(spectrum: &Spectrum) -> Option<Sound> {
    let peak = spectrum.peak();
    if (400.0..=500.0).contains(&peak) && spectrum.between(350.0, 550.0) >= SHARE + 0.05 {
        let high = spectrum.between(600.0, 650.0);
        return Some(if high >= 0.2 { Sound::Pair } else { Sound::Low });
    }
    if (400.0..=650.0).contains(&peak)
        && spectrum.between(400.0, 550.0) >= 0.2
        && spectrum.between(600.0, 650.0) >= 0.2
        && spectrum.between(400.0, 700.0) >= SHARE + 0.05
    {
        return Some(Sound::Pair);
    }
    (peak >= 500.0 && spectrum.purity() >= SHARE).then_some(Sound::Single)
}

fn call_tone(shares: &[f32; FINE.len()]) -> Option<CallTone> {
    let at = |n: usize| shares[n] >= 0.25;
    let most = |n: usize| shares[n] >= 0.6;
    let [hz400, hz425, hz440, hz450, hz480, hz620] = [0, 1, 2, 3, 4, 5];
    if at(hz480) && at(hz620) {
        Some(CallTone::Hz480And620)
    } else if at(hz440) && at(hz480) {
        Some(CallTone::Hz440And480)
    } else if at(hz400) && at(hz450) {
        Some(CallTone::Hz400And450)
    } else if most(hz450) {
        Some(CallTone::Hz450)
    } else if most(hz425) {
        Some(CallTone::Hz425)
    } else if most(hz400) {
        Some(CallTone::Hz400)
    } else {
        None
    }
}

/// Special information tones: three one after the other, the first two low or high.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SitTones {
    found: [f32; 2],
    stage: usize,
    /// Frames since the last of them ended.
    quiet: u32,
}

/// Low, ITU's middle, high: of the first and of the second tone, in Hz.
const FIRST: [f32; 3] = [913.8, 950.0, 985.2];
const SECOND: [f32; 3] = [1_370.6, 1_400.0, 1_428.5];
/// The third tone is 1776.7 or 1800 Hz.
const THIRD: f32 = 1_790.0;
/// How far a tone may lie beside its place in Hz (ITU-T E.180: 50), and how long it may be in ms
/// (Bellcore 274 and 380, E.180 330 with 70 either way).
const SIT_HZ: f32 = 50.0;
const SIT_MS: (u32, u32) = (200, 460);
/// Frames between two of them: E.180 has 30 ms, lost packets and the frame's grid the rest.
const SIT_GAP: u32 = 6;

impl SitTones {
    /// Takes a frame's step; the kind as soon as 160 ms of the third tone were heard.
    pub(crate) fn take(&mut self, step: &Step) -> Option<Sit> {
        if let Some(tone) = step.over {
            let long = (SIT_MS.0..=SIT_MS.1).contains(&tone.millis());
            if long && self.stage == 1 && tone.near(SECOND[1], SIT_HZ) {
                self.found[1] = tone.frequency;
                (self.stage, self.quiet) = (2, 0);
            } else if long && tone.near(FIRST[1], SIT_HZ) {
                self.found[0] = tone.frequency;
                (self.stage, self.quiet) = (1, 0);
            } else if tone.millis() >= 2 * FRAME_MS {
                self.stage = 0;
            }
        }
        if self.stage == 0 {
            return None;
        }
        let running = step.running.filter(|tone| tone.frames() > 1);
        self.quiet += u32::from(running.is_none());
        if self.quiet > SIT_GAP {
            self.stage = 0;
        }
        let third = running.is_some_and(|t| t.near(THIRD, SIT_HZ) && t.millis() >= 160);
        if self.stage < 2 || !third {
            return None;
        }
        self.stage = 0;
        Some(self.kind())
    }

    fn kind(&self) -> Sit {
        let nearest = |places: &[f32; 3], frequency: f32| {
            (0..3).fold(0, |best, n| {
                if (places[n] - frequency).abs() < (places[best] - frequency).abs() {
                    n
                } else {
                    best
                }
            })
        };
        match (
            nearest(&FIRST, self.found[0]),
            nearest(&SECOND, self.found[1]),
        ) {
            (0, 0) => Sit::Intercept,
            (2, 0) => Sit::VacantCode,
            (0, 2) => Sit::Reorder,
            (2, 2) => Sit::NoCircuit,
            _ => Sit::Unspecified,
        }
    }
}

/// A fax that answers: CED (2100 Hz, ITU-T T.30) for half a second, or one burst of CNG (1100 Hz
/// for half a second) and silence.
pub(crate) fn is_answer_tone(tone: &Tone) -> bool {
    tone.near(2_100.0, 25.0) && tone.millis() >= 500
}

/// Whether a tone that is over was a calling fax's (T.30: 1100 +- 38 Hz, 500 ms +- 15 %).
pub(crate) fn is_calling_tone(tone: &Tone) -> bool {
    tone.near(1_100.0, 45.0) && (400..=620).contains(&tone.millis())
}

/// Whether a tone that is over was a machine's beep, where speech came before.
pub(crate) fn is_beep(tone: &Tone) -> bool {
    tone.single() && (120..=2_000).contains(&tone.millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FRAME, activity::level};
    use domain::Codec;
    use media::{g711, tones::sine};

    type Part = (&'static [f64], u32);

    /// Samples of tones one after the other, through G.711.
    fn sound_of(parts: &[Part], codec: Codec) -> Vec<i16> {
        let mut samples = Vec::new();
        for (tones, millis) in parts {
            let mut part = vec![0i32; (millis * 8) as usize];
            for tone in *tones {
                let wave = sine(*tone, -16.0, samples.len() as u64, part.len());
                part.iter_mut()
                    .zip(wave)
                    .for_each(|(s, w)| *s += i32::from(w));
            }
            samples.extend(
                part.iter()
                    .map(|s| g711::decode(codec, g711::encode(codec, *s as i16))),
            );
        }
        samples
    }

    /// Tones that were over, and special information tones.
    fn hear(parts: &[Part]) -> (Vec<Tone>, Vec<Sit>) {
        let (mut bank, mut tones, mut sit) = (Bank::new(), Tones::default(), SitTones::default());
        let (mut over, mut kinds) = (Vec::new(), Vec::new());
        for frame in sound_of(parts, Codec::Pcma).as_chunks::<FRAME>().0 {
            let spectrum = bank.analyse(frame);
            let step = tones.take(&mut bank, &spectrum, level(spectrum.energy));
            over.extend(step.over);
            kinds.extend(sit.take(&step));
        }
        (over, kinds)
    }

    #[test]
    fn each_kind_of_special_information_tones() {
        const THIRD_PART: Part = (&[1_776.7], 380);
        for (first, second, kind) in [
            ((&[913.8][..], 274), (&[1_370.6][..], 274), Sit::Intercept),
            ((&[985.2], 380), (&[1_370.6], 274), Sit::VacantCode),
            ((&[913.8], 274), (&[1_428.5], 380), Sit::Reorder),
            ((&[985.2], 380), (&[1_428.5], 380), Sit::NoCircuit),
        ] {
            let (_, kinds) = hear(&[(&[], 500), first, second, THIRD_PART, (&[], 500)]);
            assert_eq!(kinds, [kind]);
        }
        let itu: [Part; 7] = [
            (&[], 210),
            (&[950.0], 330),
            (&[], 20),
            (&[1_400.0], 330),
            (&[], 20),
            (&[1_800.0], 330),
            (&[], 500),
        ];
        assert_eq!(hear(&itu).1, [Sit::Unspecified]);
    }

    #[test]
    fn two_tones_or_wrong_ones_are_no_special_information() {
        for parts in [
            [(&[950.0][..], 330), (&[1_400.0][..], 330), (&[][..], 600)],
            [(&[950.0], 330), (&[1_800.0], 330), (&[], 600)],
            [(&[1_400.0], 330), (&[1_800.0], 330), (&[], 600)],
        ] {
            assert_eq!(hear(&parts).1, []);
        }
    }

    #[test]
    fn fax_tones_and_beeps_have_their_lengths() {
        let (over, _) = hear(&[(&[], 300), (&[1_100.0], 500), (&[], 500)]);
        assert!(over.iter().any(is_calling_tone), "{over:?}");
        let (over, _) = hear(&[(&[], 300), (&[2_100.0], 1_000), (&[], 500)]);
        assert!(over.iter().any(is_answer_tone), "{over:?}");
        for frequency in [440.0, 850.0, 1_000.0, 1_400.0, 2_000.0] {
            for millis in [160, 400, 1_200] {
                let tone: &'static [f64] = Box::leak(Box::new([frequency]));
                let (over, _) = hear(&[(&[], 310), (tone, millis), (&[], 500)]);
                let beep = over.iter().find(|t| is_beep(t));
                let beep = beep.unwrap_or_else(|| panic!("{frequency} {millis} {over:?}"));
                assert!(beep.millis().abs_diff(millis) <= 2 * FRAME_MS);
            }
        }
    }

    #[test]
    fn a_digit_is_no_beep() {
        let (over, _) = hear(&[(&[], 300), (&[697.0, 1_209.0], 200), (&[], 500)]);
        assert!(!over.iter().any(is_beep), "{over:?}");
    }

    #[test]
    fn a_tone_outlives_two_lost_packets_and_no_more() {
        for (missing, whole) in [(40, true), (120, false)] {
            let (over, _) = hear(&[
                (&[], 300),
                (&[1_000.0], 300),
                (&[], missing),
                (&[1_000.0], 300),
                (&[], 400),
            ]);
            assert_eq!(over.iter().any(|t| t.millis() >= 600), whole, "{over:?}");
        }
    }
}
