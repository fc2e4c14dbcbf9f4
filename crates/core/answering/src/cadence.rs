//! Call progress by cadence: which tone is how long on and off.

use crate::{
    FRAME_MS,
    tones::{CallTone, Step},
    verdict::{Ringing, Verdict},
};

/// One line of the table: a tone's parts, on and off in turn, in ms, beginning with on. The last
/// is reached, not passed: what follows need not be awaited.
struct Row {
    tone: CallTone,
    parts: &'static [u32],
    verdict: Verdict,
}

const fn row(tone: CallTone, parts: &'static [u32], verdict: Verdict) -> Row {
    Row {
        tone,
        parts,
        verdict,
    }
}

/// ITU-T E.180 supplement 2 (1994), and the tones of `media::tones`.
const TABLE: [Row; 13] = [
    row(
        CallTone::Hz440And480,
        &[2_000, 1_000],
        Verdict::Ringback(Ringing::America),
    ),
    row(
        CallTone::Hz450,
        &[1_000, 1_000],
        Verdict::Ringback(Ringing::China),
    ),
    row(
        CallTone::Hz425,
        &[1_000, 1_000],
        Verdict::Ringback(Ringing::Europe),
    ),
    row(
        CallTone::Hz400And450,
        &[400, 200, 400, 1_000],
        Verdict::Ringback(Ringing::Britain),
    ),
    row(CallTone::Hz480And620, &[500, 500, 500], Verdict::Busy),
    row(CallTone::Hz450, &[350, 350, 350], Verdict::Busy),
    row(CallTone::Hz425, &[500, 500, 500], Verdict::Busy),
    row(CallTone::Hz400, &[375, 375, 375], Verdict::Busy),
    row(CallTone::Hz480And620, &[250, 250, 250], Verdict::Congestion),
    row(CallTone::Hz450, &[700, 700, 700], Verdict::Congestion),
    row(CallTone::Hz425, &[250, 250, 250], Verdict::Congestion),
    row(CallTone::Hz400, &[400, 350, 225, 525], Verdict::Congestion),
    row(CallTone::Hz400, &[225, 525, 400, 350], Verdict::Congestion),
];

/// The most parts of a row.
const PARTS: usize = 4;
/// Frames of another sound after which a cadence is over.
const OTHER_FRAMES: u32 = 10;

/// Whether a measured part fits a row's: an eighth and a frame and a half either way.
fn fits(measured: u32, wanted: u32) -> bool {
    measured.abs_diff(wanted) <= wanted / 8 + 30
}

/// The last parts of a cadence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cadences {
    tone: Option<CallTone>,
    /// On and off in turn, the last at the end, in ms; 0 where none is.
    parts: [u32; PARTS],
    /// The frame after the last tone.
    end: u32,
    /// Frames heard.
    now: u32,
    /// Frames of something else since the last tone.
    other: u32,
}

impl Cadences {
    /// Takes a frame's step and whether something else than the tone is loud.
    pub(crate) fn take(&mut self, step: &Step, loud: bool) -> Option<Verdict> {
        self.now += 1;
        if let Some(tone) = step.over
            && let Some(call) = tone.call
        {
            if self.tone != Some(call) || self.other > OTHER_FRAMES {
                *self = Self {
                    tone: Some(call),
                    now: self.now,
                    ..Self::default()
                };
            } else {
                self.push((tone.start - self.end) * FRAME_MS);
            }
            self.push(tone.millis());
            (self.end, self.other) = (tone.end, 0);
            return self.matching(false);
        }
        self.other += u32::from(loud && !step.heard);
        if step.heard {
            return None;
        }
        self.matching(true)
    }

    /// What comes is another line's.
    pub(crate) fn forget(&mut self) {
        self.tone = None;
    }

    fn push(&mut self, millis: u32) {
        self.parts.rotate_left(1);
        self.parts[PARTS - 1] = millis;
    }

    /// The row that the last parts fit; of one that ends off, with the silence that goes on.
    fn matching(&self, silent: bool) -> Option<Verdict> {
        let tone = self.tone?;
        let off = (self.now - self.end) * FRAME_MS;
        let row = TABLE
            .iter()
            .filter(|row| row.tone == tone && (row.parts.len() % 2 == 0) == silent)
            .find(|row| {
                let known = row.parts.len() - usize::from(silent);
                let last = &self.parts[PARTS - known..];
                let fit = last.iter().zip(row.parts).all(|(m, w)| fits(*m, *w));
                let enough = !silent || off >= row.parts[known] - row.parts[known] / 8;
                fit && enough && self.other <= OTHER_FRAMES
            })?;
        Some(row.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FRAME, activity::level, bank::Bank, tones::Tones};
    use media::tones::sine;

    /// The verdicts on tones that are on and off for so many ms, again and again for 12 s.
    fn hear(tones: &[f64], parts: &[u32], ahead: u32) -> Vec<Verdict> {
        let mut samples = vec![0i16; (ahead * 8) as usize];
        for (n, millis) in parts.iter().cycle().enumerate() {
            let mut part = vec![0i16; (millis * 8) as usize];
            for tone in tones.iter().filter(|_| n % 2 == 0) {
                let wave = sine(*tone, -15.0, samples.len() as u64, part.len());
                part.iter_mut().zip(wave).for_each(|(s, w)| *s += w);
            }
            samples.extend(part);
            if samples.len() > 96_000 {
                break;
            }
        }
        let (mut bank, mut found) = (Bank::new(), Vec::new());
        let (mut tones, mut cadences) = (Tones::default(), Cadences::default());
        for frame in samples.as_chunks::<FRAME>().0 {
            let spectrum = bank.analyse(frame);
            let step = tones.take(&mut bank, &spectrum, level(spectrum.energy));
            found.extend(cadences.take(&step, false));
        }
        found.dedup();
        found
    }

    #[test]
    fn each_countrys_tones_wherever_frames_cut_them() {
        for ahead in [0, 7, 333, 1_011] {
            for (tones, parts, verdict) in [
                (
                    &[440.0, 480.0][..],
                    &[2_000, 4_000][..],
                    Verdict::Ringback(Ringing::America),
                ),
                (&[450.0], &[1_000, 4_000], Verdict::Ringback(Ringing::China)),
                (
                    &[425.0],
                    &[1_000, 4_000],
                    Verdict::Ringback(Ringing::Europe),
                ),
                (
                    &[400.0, 450.0],
                    &[400, 200, 400, 2_000],
                    Verdict::Ringback(Ringing::Britain),
                ),
                (&[480.0, 620.0], &[500, 500], Verdict::Busy),
                (&[450.0], &[350, 350], Verdict::Busy),
                (&[425.0], &[500, 500], Verdict::Busy),
                (&[400.0], &[375, 375], Verdict::Busy),
                (&[480.0, 620.0], &[250, 250], Verdict::Congestion),
                (&[450.0], &[700, 700], Verdict::Congestion),
                (&[425.0], &[250, 250], Verdict::Congestion),
                (&[400.0], &[400, 350, 225, 525], Verdict::Congestion),
            ] {
                assert_eq!(hear(tones, parts, ahead), [verdict], "{tones:?} {parts:?}");
            }
        }
    }

    #[test]
    fn a_lasting_tone_and_another_cadence_are_nothing() {
        assert_eq!(hear(&[450.0], &[20_000], 0), []);
        assert_eq!(hear(&[450.0], &[150, 150], 0), []);
        assert_eq!(hear(&[1_000.0], &[1_000, 4_000], 0), []);
    }
}
