//! The shape of what was said: utterances, words, silences.

use crate::{FRAME_MS, classifier::Features};

/// Frames of sound that make a word: shorter ones are clicks and lost packets' edges.
const WORD: u32 = 3;
/// Frames of silence that part two words.
const BETWEEN_WORDS: u32 = 3;
/// Frames of silence that part two utterances: no stop consonant closes the mouth that long.
const BETWEEN_UTTERANCES: u32 = 10;

/// Frames that a voice takes at most to become as loud as it is.
const ONSET: u32 = 6;

/// Counts a line's speech, one frame at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Speech {
    /// Frames in all.
    frames: u32,
    /// Frames before the first word.
    lead: u32,
    /// Frames with speech in them, clicks left out.
    spoken: u32,
    /// Frames from the first word's first to its utterance's last; 0 until that is over.
    first: u32,
    /// Frames of the utterance that goes on, its short silences included.
    utterance: u32,
    longest: u32,
    utterances: u32,
    words: u32,
    /// Frames of sound without a break.
    sound: u32,
    /// Frames of silence without a break.
    silence: u32,
    /// The longest silence between two utterances.
    pause: u32,
    /// Levels of the frames with speech: how many, their mean, and the sum of squares around it.
    levels: (f32, f32, f32),
}

impl Speech {
    /// Takes a frame: whether somebody speaks, and its level in dB.
    pub(crate) fn take(&mut self, active: bool, level: f32) {
        self.frames += 1;
        if active {
            self.sound += 1;
            let (count, mean, squares) = &mut self.levels;
            *count += 1.0;
            let off = level - *mean;
            *mean += off / *count;
            *squares += off * (level - *mean);
            match self.sound {
                WORD => self.word(),
                n if n > WORD => {
                    self.spoken += 1;
                    self.utterance += 1;
                }
                _ => {}
            }
            return;
        }
        if self.sound > 0 && self.sound < WORD {
            // A click: it was silence after all.
            self.silence += self.sound;
            self.lead += if self.words == 0 { self.sound } else { 0 };
        } else if self.sound >= WORD {
            self.silence = 0;
        }
        self.sound = 0;
        self.silence += 1;
        if self.words == 0 {
            self.lead += 1;
        } else if self.silence >= BETWEEN_UTTERANCES && self.first == 0 {
            self.first = self.utterance;
        }
    }

    /// What was heard so far was noise.
    pub(crate) fn was_noise(&mut self) {
        *self = Self {
            frames: self.frames,
            lead: self.frames,
            ..Self::default()
        };
    }

    /// What was heard so far was in the background, but for the sound that goes on, of that level.
    pub(crate) fn was_background(&mut self, level: f32) {
        let kept = self.sound.min(ONSET);
        let before = self.frames - kept;
        *self = Self {
            frames: before,
            lead: before,
            ..Self::default()
        };
        (0..kept).for_each(|_| self.take(true, level));
    }

    /// A sound proved to be a word.
    fn word(&mut self) {
        self.spoken += WORD;
        if self.words == 0 || self.silence >= BETWEEN_UTTERANCES {
            self.utterances += 1;
            if self.words > 0 {
                self.pause = self.pause.max(self.silence);
                self.longest = self.longest.max(self.utterance);
            }
            self.words += 1;
            self.utterance = WORD;
        } else {
            self.words += u32::from(self.silence >= BETWEEN_WORDS);
            self.utterance += WORD + self.silence;
        }
    }

    /// Whether a word is being said.
    pub(crate) const fn speaking(&self) -> bool {
        self.sound >= WORD
    }

    /// Milliseconds of silence since the last word; 0 while one is said, and before the first.
    pub(crate) const fn silence_ms(&self) -> u32 {
        if self.words == 0 || self.sound >= WORD {
            0
        } else {
            (self.silence + self.sound) * FRAME_MS
        }
    }

    /// Milliseconds of speech.
    pub(crate) const fn spoken_ms(&self) -> u32 {
        self.spoken * FRAME_MS
    }

    /// Frames from the first word to the last, silences between them included.
    fn span(&self) -> u32 {
        if self.words == 0 {
            return 0;
        }
        self.frames - self.lead - self.silence_ms() / FRAME_MS
    }

    /// Everything that was counted.
    pub(crate) fn features(&self) -> Features {
        let (count, _, squares) = self.levels;
        Features {
            lead_ms: self.lead * FRAME_MS,
            first_ms: (if self.first > 0 {
                self.first
            } else {
                self.utterance
            }) * FRAME_MS,
            longest_ms: self.longest.max(self.utterance) * FRAME_MS,
            spoken_ms: self.spoken_ms(),
            span_ms: self.span() * FRAME_MS,
            silence_ms: self.silence_ms(),
            pause_ms: self.pause * FRAME_MS,
            utterances: self.utterances,
            words: self.words,
            spread_db: if count > 1.0 {
                (squares / count).sqrt()
            } else {
                0.0
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sounds and silences in frames, in turn, beginning with silence.
    fn shape(parts: &[u32]) -> Features {
        let mut speech = Speech::default();
        for (n, frames) in parts.iter().enumerate() {
            for _ in 0..*frames {
                speech.take(n % 2 == 1, -20.0);
            }
        }
        speech.features()
    }

    #[test]
    fn a_hello_is_one_utterance() {
        let said = shape(&[25, 12, 3, 8, 15]);
        assert_eq!((said.lead_ms, said.spoken_ms), (500, 400));
        assert_eq!((said.first_ms, said.longest_ms), (460, 460));
        assert_eq!((said.utterances, said.words), (1, 2));
        assert_eq!((said.silence_ms, said.pause_ms), (300, 0));
    }

    #[test]
    fn two_utterances_have_a_pause_between() {
        let said = shape(&[10, 20, 30, 40, 2]);
        assert_eq!((said.utterances, said.words), (2, 2));
        assert_eq!((said.first_ms, said.longest_ms), (400, 800));
        assert_eq!((said.pause_ms, said.silence_ms), (600, 40));
        assert_eq!(said.span_ms, 1_800);
    }

    #[test]
    fn noise_and_background_do_not_count() {
        let mut speech = Speech::default();
        (0..30).for_each(|_| speech.take(true, -50.0));
        speech.was_noise();
        let said = speech.features();
        assert_eq!((said.lead_ms, said.spoken_ms, said.words), (600, 0, 0));
        (0..20).for_each(|_| speech.take(true, -40.0));
        speech.was_background(-20.0);
        (0..4).for_each(|_| speech.take(true, -18.0));
        let said = speech.features();
        assert_eq!((said.lead_ms, said.spoken_ms), (880, 200));
        assert_eq!((said.utterances, said.words), (1, 1));
    }

    #[test]
    fn clicks_are_silence() {
        let said = shape(&[10, 2, 10, 20, 8, 1, 8]);
        assert_eq!((said.lead_ms, said.spoken_ms), (440, 400));
        assert_eq!((said.utterances, said.silence_ms), (1, 340));
    }
}
