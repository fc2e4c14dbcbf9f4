//! The machine that hears a line.

use crate::{
    FRAME, FRAME_MS, SPEECH_LIMIT_MS,
    activity::{self, Activity, Before},
    bank::Bank,
    cadence::Cadences,
    classifier::{Features, Model},
    speech::Speech,
    tones::{self, SitTones, Step, Tones},
    verdict::{Event, Reason, Verdict},
};
use domain::answering::{Greeting, WhoAnswered};

/// Before the answer or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Early media: ringback, tones and announcements.
    EarlyMedia,
    /// Somebody or something answered.
    Answered,
}

/// What the model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// In the silence after speech: was that all?
    Ended,
    /// While speech goes on: is that still a greeting?
    Going,
}

/// What may be set. The default is what the product uses.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What weighs the greeting.
    pub model: Model,
    /// Milliseconds without a word after the answer that make [`Verdict::Silence`].
    pub silence_limit_ms: u32,
    /// Milliseconds after the answer by which there is a verdict, whatever it is.
    pub limit_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: Model::trained(),
            silence_limit_ms: 4_000,
            limit_ms: 8_000,
        }
    }
}

/// Milliseconds of silence after which the model is first asked whether a greeting is over: stop
/// consonants and lost packets are shorter.
const ASK_AFTER_MS: u32 = 200;
/// Milliseconds of speech after which it is first asked whether it is a recording: a company's
/// people take that long.
const GOING_AFTER_MS: u32 = 1_800;
/// Milliseconds of counted speech after which no more is awaited: frames that may be a tone wait to
/// be counted, so that what was spoken is a little more.
const SPEECH_ENOUGH_MS: u32 = SPEECH_LIMIT_MS - VOWEL as u32 * FRAME_MS;
/// Milliseconds of silence after speech that no more is awaited in.
const SILENCE_ENOUGH_MS: u32 = 1_200;
/// Milliseconds of speech in early media that make an announcement.
const ANNOUNCEMENT_MS: u32 = 1_200;
/// Milliseconds of speech before a beep.
const BEFORE_BEEP_MS: u32 = 400;
/// Frames of a tone after speech that is awaited to its end: it may be a beep. A longer one is none.
const BEEP_FRAMES: u32 = 75;
/// Frames of silence after a tone that make it a beep or a calling fax.
const AFTER_TONE: u32 = 4;
/// Frames that sound like a tone and may be a vowel yet.
const VOWEL: usize = 8;

/// Hears one line from early media on.
#[derive(Clone, Debug)]
pub struct Listener {
    settings: Settings,
    phase: Phase,
    /// Frames of this phase.
    frames: u32,
    /// Frames of this phase since the last tone that is no vowel.
    since_tone: u32,
    bank: Bank,
    tones: Tones,
    sit: SitTones,
    cadences: Cadences,
    activity: Activity,
    speech: Speech,
    /// Levels of frames that sound like a tone and may be a vowel yet.
    vowel: ([f32; VOWEL], usize),
    /// A tone that may prove a beep or a fax, and the frames of silence after it.
    lone: Option<(Lone, u32)>,
    /// A tone is on that may be a beep: what it proves is awaited.
    tone: bool,
    verdict: Option<Verdict>,
    /// What is said with the next frame.
    next: Option<Event>,
    part: [i16; FRAME],
    filled: usize,
}

/// What a tone that is over may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lone {
    Beep,
    Fax,
}

impl Listener {
    /// For a line that was not answered yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            phase: Phase::EarlyMedia,
            frames: 0,
            since_tone: 0,
            bank: Bank::new(),
            tones: Tones::default(),
            sit: SitTones::default(),
            cadences: Cadences::default(),
            activity: Activity::new(),
            speech: Speech::default(),
            vowel: ([0.0; VOWEL], 0),
            lone: None,
            tone: false,
            verdict: None,
            next: None,
            part: [0; FRAME],
            filled: 0,
        }
    }

    /// The call was answered: what was said before is another's. The line's noise is remembered.
    pub fn answered(&mut self) {
        self.phase = Phase::Answered;
        (self.frames, self.since_tone) = (0, 0);
        self.cadences.forget();
        self.activity.new_speaker();
        self.speech = Speech::default();
        self.vowel.1 = 0;
        (self.lone, self.verdict, self.next) = (None, None, None);
        self.tone = false;
        self.filled = 0;
    }

    /// Before the answer or after it.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The verdict of this phase.
    pub const fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Milliseconds heard in this phase.
    pub const fn heard_ms(&self) -> u32 {
        self.frames * FRAME_MS
    }

    /// Why: the shape of what was said so far, for the record.
    pub fn features(&self) -> Features {
        self.speech.features()
    }

    /// Who answered and why, for the record: a verdict of this phase as it was just said.
    pub fn who(&self, verdict: Verdict, reason: Reason) -> WhoAnswered {
        let features = self.features();
        WhoAnswered {
            verdict,
            reason,
            took_ms: self.heard_ms(),
            greeting: Greeting {
                lead_ms: features.lead_ms,
                spoken_ms: features.spoken_ms,
                longest_ms: features.longest_ms,
                pause_ms: features.pause_ms,
                silence_ms: features.silence_ms,
                utterances: features.utterances,
            },
        }
    }

    /// Takes any number of samples, as packets bring them; says what they tell. What does not
    /// fill a frame waits for more.
    pub fn hear(&mut self, mut samples: &[i16], mut say: impl FnMut(Event)) {
        while !samples.is_empty() {
            let room = FRAME - self.filled;
            let (now, later) = samples.split_at(room.min(samples.len()));
            self.part[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            samples = later;
            if self.filled == FRAME {
                self.filled = 0;
                let frame = self.part;
                self.handle_frame(&frame).into_iter().for_each(&mut say);
            }
        }
    }

    /// Takes the next 20 ms.
    pub fn handle_frame(&mut self, frame: &[i16; FRAME]) -> Option<Event> {
        let due = self.next.take();
        self.frames += 1;
        self.since_tone += 1;
        let spectrum = self.bank.analyse(frame);
        let level = activity::level(spectrum.energy);
        let step = self.tones.take(&mut self.bank, &spectrum, level);
        if step.no_vowel() {
            self.since_tone = 0;
        }
        let active = self.listen(&step, level);
        self.tone = step.no_vowel()
            && step
                .running
                .is_some_and(|t| t.single() && t.frames() <= BEEP_FRAMES)
            && self.speech.spoken_ms() >= BEFORE_BEEP_MS;
        let found = self.find(&step, active);
        if due.is_some() {
            // Only a beep: nothing else is found in the frame after one.
            return due;
        }
        let (verdict, reason) = found?;
        let ringing = matches!(self.verdict, Some(Verdict::Ringback(_)));
        if self.verdict.is_some() && !(ringing && self.verdict != Some(verdict)) {
            return None;
        }
        self.verdict = Some(verdict);
        Some(Event::Verdict(verdict, reason))
    }

    /// Counts a frame as speech or as silence; whether somebody speaks. A frame that sounds like a
    /// tone waits until it is known for one, or for a vowel.
    fn listen(&mut self, step: &Step, level: f32) -> bool {
        let (levels, waiting) = self.vowel;
        if step.no_vowel() {
            for _ in 0..=waiting {
                self.speech.take(false, level);
            }
            self.vowel.1 = 0;
            return false;
        }
        let begins = step.heard && step.running.is_some_and(|tone| tone.frames() == 1);
        if begins || !step.heard || waiting == VOWEL {
            for level in &levels[..waiting] {
                self.count(*level);
            }
            self.vowel.1 = 0;
        }
        if step.heard {
            self.vowel.0[self.vowel.1] = level;
            self.vowel.1 += 1;
            return false;
        }
        self.count(level)
    }

    fn count(&mut self, level: f32) -> bool {
        let heard = self.activity.take(level);
        match heard.before {
            Some(Before::Noise) => self.speech.was_noise(),
            Some(Before::Background) => self.speech.was_background(level),
            None => {}
        }
        self.speech.take(heard.active, level);
        heard.active
    }

    /// What this frame tells, in the order of evidence.
    fn find(&mut self, step: &Step, active: bool) -> Option<(Verdict, Reason)> {
        if let Some(kind) = self.sit.take(step) {
            return Some((Verdict::Sit(kind), Reason::Tone));
        }
        let cadence = self.cadences.take(step, active);
        if self.phase == Phase::EarlyMedia {
            return cadence
                .map(|verdict| (verdict, Reason::Cadence))
                .or_else(|| {
                    (self.speech.spoken_ms() >= ANNOUNCEMENT_MS)
                        .then_some((Verdict::Announcement, Reason::GreetingWentOn))
                });
        }
        if let Some(verdict) = cadence.filter(|v| !matches!(v, Verdict::Ringback(_))) {
            return Some((verdict, Reason::Cadence));
        }
        if step.running.as_ref().is_some_and(tones::is_answer_tone) {
            return Some((Verdict::Fax, Reason::Tone));
        }
        if let Some(verdict) = self.lone_tone(step, active) {
            return Some(verdict);
        }
        if self.verdict.is_some() {
            return None;
        }
        self.weigh()
    }

    /// Beeps and calling faxes: one tone, then silence.
    fn lone_tone(&mut self, step: &Step, active: bool) -> Option<(Verdict, Reason)> {
        // A tone's last frame ends in its middle, and is a tone of its own.
        if let Some(tone) = step.over.as_ref().filter(|tone| tone.frames() > 2) {
            let spoken = self.speech.spoken_ms();
            self.lone = if tones::is_calling_tone(tone) && spoken < BEFORE_BEEP_MS {
                Some((Lone::Fax, 0))
            } else if tones::is_beep(tone) && spoken >= BEFORE_BEEP_MS {
                Some((Lone::Beep, 0))
            } else {
                None
            };
            return None;
        }
        let (lone, silent) = self.lone?;
        if active || step.running.is_some_and(|tone| tone.frames() > 2) {
            self.lone = None;
            return None;
        }
        self.lone = Some((lone, silent + 1));
        if silent + 1 < AFTER_TONE {
            return None;
        }
        self.lone = None;
        match lone {
            Lone::Fax => Some((Verdict::Fax, Reason::Tone)),
            Lone::Beep => {
                self.next = Some(Event::Beep);
                Some((Verdict::Machine, Reason::Beep))
            }
        }
    }

    /// What the model is asked in this frame; none before the answer, and while a beep may be on.
    pub const fn question(&self) -> Option<Question> {
        if matches!(self.phase, Phase::EarlyMedia) || self.tone || self.lone.is_some() {
            None
        } else if self.speech.speaking() && self.speech.spoken_ms() >= GOING_AFTER_MS {
            Some(Question::Going)
        } else if self.speech.silence_ms() >= ASK_AFTER_MS {
            Some(Question::Ended)
        } else {
            None
        }
    }

    /// The greeting's shape, and the limits.
    fn weigh(&self) -> Option<(Verdict, Reason)> {
        let (model, features) = (&self.settings.model, self.features());
        let limit = |odds: f32| {
            if odds > model.at_limit_above {
                Some((Verdict::Machine, Reason::Limit))
            } else {
                Some((Verdict::Unknown, Reason::Limit))
            }
        };
        match self.question() {
            Some(Question::Going) => {
                let odds = model.going.machine(&features);
                if features.spoken_ms >= SPEECH_ENOUGH_MS {
                    return limit(odds);
                }
                if odds > model.machine_above {
                    return Some((Verdict::Machine, Reason::GreetingWentOn));
                }
            }
            Some(Question::Ended) => {
                let odds = model.ended.machine(&features);
                if features.is_plain() || odds < model.human_below {
                    return Some((Verdict::Human, Reason::GreetingEnded));
                }
                if features.silence_ms >= SILENCE_ENOUGH_MS {
                    return limit(odds);
                }
            }
            None => {}
        }
        if features.spoken_ms == 0 {
            let late = self.heard_ms() >= self.settings.limit_ms;
            let quiet = self.since_tone * FRAME_MS >= self.settings.silence_limit_ms;
            let verdict = if quiet {
                Verdict::Silence
            } else {
                Verdict::Unknown
            };
            return (quiet || late).then_some((verdict, Reason::Limit));
        }
        if self.heard_ms() < self.settings.limit_ms {
            return None;
        }
        limit(model.going.machine(&features))
    }
}
