//! Whether somebody speaks: a frame's level against a noise floor that follows the line.

use crate::FRAME;

/// Levels below this, in dB under full scale, are silence on any line (G.711 idles at -72).
const QUIETEST: f32 = -58.0;
/// Where the floor begins when nothing is known of the line, and the least it is taken for.
const FLOOR_START: f32 = -62.0;
const FLOOR_LEAST: f32 = -75.0;
/// dB over the floor at which speech begins, and at which it is still going on.
const BEGIN: f32 = 6.0;
const GO_ON: f32 = 4.0;
/// Speech lies above that part of the way from floor to peak; but 10 dB below the peak always is
/// speech, and 32 dB below never.
const PART: f32 = 0.4;
const ALWAYS: f32 = 10.0;
const NEVER: f32 = 32.0;
/// How fast the peak follows what is louder, and is forgotten (dB a frame).
const ATTACK: f32 = 0.6;
const DECAY: f32 = 0.04;
/// How fast the floor follows what is quieter, and what is louder.
const DOWN: f32 = 0.15;
const UP: f32 = 0.08;
/// Frames within 2.5 dB of each other that are noise however loud: no speech is that even. On a new
/// line the first ones tell.
const EVEN_DB: f32 = 2.5;
const EVEN_FRAMES: u32 = 20;
const EVEN_FIRST: u32 = 6;
/// The floor is no lower than the sixth quietest of so many frames: a second of speech has more
/// silence than that.
const WINDOW: usize = 50;
const QUIET_RANK: usize = 5;
/// What was taken for speech and lies no more than this over the floor was noise, in dB.
const NOISE: f32 = 5.0;
/// What is so much louder than all speech before is the one who answered; that was background.
const LOUDER: f32 = 13.0;
/// Frames that were louder than the noise before: fewer are the beginning of a word.
const ROOM: u32 = 10;
/// Frames without any sound that are lost packets; more of them are a silent line.
const LOST: u32 = 2;

/// A frame's level in dB under a full scale square wave, from the sum of its squares; -90 at the
/// least.
pub(crate) fn level(energy: f32) -> f32 {
    10.0 * (energy / FRAME as f32 / (32_768.0 * 32_768.0))
        .max(1e-9)
        .log10()
}

/// What a frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Whether somebody speaks in it.
    pub(crate) active: bool,
    /// What must be thought anew of the frames before.
    pub(crate) before: Option<Before>,
}

/// What frames that were taken for speech proved to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// The line's noise.
    Noise,
    /// Somebody or something in the background, but for the sound that goes on.
    Background,
}

/// Follows a line's noise and its speaker's level.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    floor: f32,
    peak: f32,
    active: bool,
    /// Frames heard.
    frames: u32,
    /// Frames without any sound.
    soundless: u32,
    /// A stretch of frames of one level: its mean, and how many.
    even: (f32, u32),
    /// Mean level of what was taken for speech, and of how many frames.
    speech: (f32, u32),
    window: [f32; WINDOW],
    windowed: usize,
}

impl Activity {
    pub(crate) const fn new() -> Self {
        Self {
            floor: FLOOR_START,
            peak: QUIETEST,
            active: false,
            frames: 0,
            soundless: 0,
            even: (0.0, 0),
            speech: (0.0, 0),
            window: [0.0; WINDOW],
            windowed: 0,
        }
    }

    /// Takes the next frame's level.
    pub(crate) fn take(&mut self, level: f32) -> Heard {
        self.frames += 1;
        self.soundless = if level < -85.0 { self.soundless + 1 } else { 0 };
        let lost = (1..=LOST).contains(&self.soundless);
        self.follow(level, lost);
        let over = if self.active { GO_ON } else { BEGIN };
        let part = self.floor + PART * (self.peak - self.floor);
        let threshold = (self.floor + over)
            .max(part.min(self.peak - ALWAYS))
            .max(self.peak - NEVER)
            .max(QUIETEST);
        self.active = level > threshold;
        let mut before = None;
        if self.speech.1 > 0 && self.speech.0 < self.floor + NOISE {
            before = Some(Before::Noise);
            self.speech.1 = 0;
            self.peak = self.peak.min(self.floor + BEGIN).max(QUIETEST);
        }
        if self.active {
            if level > self.peak {
                self.peak += (level - self.peak) * ATTACK;
            }
            // Noise may have grown under the speech: half a dB a second.
            self.floor += 0.01;
            let (mean, count) = self.speech;
            if count > 0 && self.peak > mean + LOUDER {
                if count >= ROOM {
                    before = Some(Before::Background);
                    self.floor = self.floor.max(mean.min(self.peak - LOUDER));
                }
                self.speech.1 = 0;
            }
            let (mean, count) = &mut self.speech;
            *count += 1;
            *mean += (level - *mean) / (*count).min(WINDOW as u32) as f32;
        } else if !lost {
            let off = level - self.floor;
            self.floor += off * if off < 0.0 { DOWN } else { UP };
            self.floor = self.floor.max(FLOOR_LEAST);
        }
        self.peak = (self.peak - DECAY).max(QUIETEST);
        Heard {
            active: self.active,
            before,
        }
    }

    /// Another speaks from now on; the noise is the same line's.
    pub(crate) const fn new_speaker(&mut self) {
        self.peak = QUIETEST;
        self.active = false;
        self.speech.1 = 0;
    }

    /// Raises the floor to what must be noise.
    fn follow(&mut self, level: f32, lost: bool) {
        let (mean, count) = &mut self.even;
        if *count == 0 || (level - *mean).abs() > EVEN_DB {
            (*mean, *count) = (level, 1);
        } else {
            *count += 1;
            *mean += (level - *mean) / *count as f32;
        }
        let first = *count == self.frames && *count >= EVEN_FIRST;
        if first || *count >= EVEN_FRAMES {
            self.floor = mean.max(FLOOR_LEAST);
        }
        if !lost {
            self.window[self.windowed % WINDOW] = level;
            self.windowed += 1;
        }
        if self.windowed >= WINDOW {
            let mut sorted = self.window;
            let (_, quiet, _) = sorted.select_nth_unstable_by(QUIET_RANK, f32::total_cmp);
            self.floor = self.floor.max(*quiet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(levels: impl IntoIterator<Item = f32>) -> Vec<bool> {
        let mut activity = Activity::new();
        levels
            .into_iter()
            .map(|l| activity.take(l).active)
            .collect()
    }

    /// Levels of noise as 20 ms frames of it have them.
    fn noise(level: f32) -> impl Iterator<Item = f32> {
        [0.3, -0.5, 0.9, -0.2, -0.8, 0.6, 0.1]
            .into_iter()
            .cycle()
            .map(move |d| level + d)
    }

    /// Syllables.
    fn speech(level: f32) -> impl Iterator<Item = f32> {
        [-8.0, 0.0, 2.0, 3.0, -1.0, -6.0]
            .into_iter()
            .cycle()
            .map(move |d| level + d)
    }

    #[test]
    fn speech_is_heard_at_any_level_over_any_noise() {
        for (loud, quiet) in [
            (-20.0, -72.0),
            (-35.0, -72.0),
            (-18.0, -40.0),
            (-28.0, -52.0),
        ] {
            let line: Vec<f32> = noise(quiet).take(40).chain(speech(loud).take(30)).collect();
            let line: Vec<f32> = line.into_iter().chain(noise(quiet).take(50)).collect();
            let heard = active(line);
            assert!(!heard[15..40].contains(&true), "{loud} {quiet}");
            let spoken = heard[40..70].iter().filter(|a| **a).count();
            assert!(spoken >= 25, "{loud} {quiet}: {spoken}");
            assert!(!heard[72..].contains(&true), "{loud} {quiet}");
        }
    }

    #[test]
    fn speech_without_silence_ahead_is_heard() {
        let heard = active(speech(-22.0).take(30).chain(noise(-60.0).take(30)));
        assert!(heard[..30].iter().filter(|a| **a).count() >= 25);
        assert!(!heard[31..].contains(&true));
    }

    #[test]
    fn a_new_lines_noise_is_known_after_a_tenth_of_a_second() {
        let heard = active(noise(-30.0).take(100));
        assert!(!heard[EVEN_FIRST as usize..].contains(&true));
    }

    #[test]
    fn noise_that_was_taken_for_speech_is_taken_back() {
        let mut activity = Activity::new();
        // Too uneven to be known for noise at once.
        let first = [-45.0, -41.0, -44.0, -40.5, -43.0];
        let line = first.into_iter().cycle().take(60);
        let before: Vec<Before> = line.filter_map(|l| activity.take(l).before).collect();
        assert_eq!(before, [Before::Noise]);
    }

    #[test]
    fn a_words_soft_beginning_is_no_background() {
        let mut activity = Activity::new();
        let line = noise(-70.0).take(20);
        let line = line.chain([-49.0, -41.0, -33.0, -22.0, -15.0, -13.0, -20.0, -30.0]);
        let heard: Vec<Heard> = line.map(|l| activity.take(l)).collect();
        assert!(heard.iter().all(|h| h.before.is_none()));
        assert!(heard[20..].iter().all(|h| h.active));
    }

    #[test]
    fn who_answers_is_louder_than_the_room() {
        let mut activity = Activity::new();
        let line = noise(-70.0).take(20).chain(speech(-45.0).take(30));
        let line = line.chain(speech(-20.0).take(10));
        let before: Vec<Before> = line.filter_map(|l| activity.take(l).before).collect();
        assert_eq!(before, [Before::Background]);
        let room = speech(-45.0).take(30).map(|l| activity.take(l).active);
        assert_eq!(room.filter(|active| *active).count(), 0);
    }
}
