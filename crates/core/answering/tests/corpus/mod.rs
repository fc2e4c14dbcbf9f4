//! Audio with a known truth: speech of espeak-ng and tones, through what telephone lines do.
//!
//! It is synthetic. It holds thresholds in place and compares rules; it says nothing of how often
//! either is right in the field.
//!
//! Persons and machines have the same voices, speeds, silences ahead, levels, backgrounds, codecs
//! and losses, so that nothing but the shape of what is said tells them apart. How many clips there
//! are of each kind is our guess at a consumer campaign ([`KINDS`]); the table has a row for each,
//! so that other mixtures can be worked out.

pub mod phrases;
pub mod signals;
pub mod speech;

use answering::{Ringing, Sit, Verdict};
use phrases::Kind;
use sansio::{Seed, Stream};
use signals::{Line, MS, between, one, set_level, silence, tone};
use speech::Manner;

/// Training or judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Training,
    HeldOut,
}

/// What a clip is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Person,
    Machine,
    Fax,
    Busy,
    Congestion,
    Announcement,
    Ringback(Ringing),
    Silence,
}

impl Truth {
    /// Whether a verdict says the same.
    pub fn is(self, verdict: Verdict) -> bool {
        match self {
            Self::Person => verdict == Verdict::Human,
            Self::Machine => verdict == Verdict::Machine,
            Self::Fax => verdict == Verdict::Fax,
            Self::Busy => verdict == Verdict::Busy,
            Self::Congestion => verdict == Verdict::Congestion,
            Self::Announcement => {
                matches!(verdict, Verdict::Announcement | Verdict::Sit(_))
            }
            Self::Ringback(whose) => verdict == Verdict::Ringback(whose),
            Self::Silence => verdict == Verdict::Silence,
        }
    }
}

/// One call.
pub struct Clip {
    /// Its row in the table.
    pub kind: &'static str,
    pub truth: Truth,
    /// Whether it is heard before the answer.
    pub early: bool,
    pub samples: Vec<i16>,
    /// Samples at which the first greeting ends.
    pub greeting_end: usize,
    /// Samples at which a machine's beep ends.
    pub beep_end: Option<usize>,
    /// What is said, and by which voice.
    pub phrase: &'static str,
    pub voice: &'static str,
    /// What it is made of, for whoever looks into an error.
    pub about: String,
}

/// The kinds of clips and how many of each a half has.
pub const KINDS: [(&str, u32); 19] = [
    ("one word", 300),
    ("few words", 130),
    ("hello ... hello", 65),
    ("business", 30),
    ("long business", 5),
    ("carrier mailbox", 150),
    ("own greeting", 150),
    ("brief greeting", 15),
    ("sit + announcement", 40),
    ("announcement", 60),
    ("ringback china", 20),
    ("ringback america", 20),
    ("ringback britain", 20),
    ("ringback europe", 20),
    ("busy", 40),
    ("congestion", 30),
    ("fax answers", 20),
    ("fax calls", 20),
    ("silence", 40),
];

/// How many takes of each phrase there are.
const TAKES: usize = 3;

/// One phrase said once: its parts, and what it is.
struct Take {
    parts: Vec<Vec<f32>>,
    phrase: &'static str,
    voice: &'static str,
    about: String,
}

/// One half of the corpus.
pub struct Corpus {
    half: Half,
    seed: Seed,
    takes: Vec<(&'static str, Vec<Take>)>,
    /// What babble is made of.
    voices: Vec<Vec<f32>>,
}

impl Corpus {
    /// Has everything said; seconds on the first run.
    pub fn new(half: Half) -> Self {
        let seed = Seed::from_u64(20_261_122);
        let kinds: [(&'static str, &Kind); 9] = [
            ("one word", &phrases::PLAIN),
            ("few words", &phrases::FEW),
            ("business", &phrases::BUSINESS),
            ("long business", &phrases::LONG_BUSINESS),
            ("carrier mailbox", &phrases::CARRIER),
            ("own greeting", &phrases::PERSONAL),
            ("brief greeting", &phrases::BRIEF),
            ("announcement", &phrases::NETWORK),
            ("hello ... hello", &phrases::PLAIN),
        ];
        let takes: Vec<(&'static str, Vec<Take>)> = kinds
            .into_iter()
            .map(|(name, kind)| (name, takes(half, name, kind, seed)))
            .collect();
        let voices = takes
            .iter()
            .filter(|(name, _)| *name == "few words" || *name == "business")
            .flat_map(|(_, takes)| takes.iter().flat_map(|t| t.parts.clone()))
            .collect();
        Self {
            half,
            seed,
            takes,
            voices,
        }
    }

    /// Every clip, one after the other.
    pub fn clips(&self) -> impl Iterator<Item = Clip> + '_ {
        KINDS
            .into_iter()
            .flat_map(move |(kind, count)| (0..count).map(move |n| self.clip(kind, n)))
    }

    /// The `n`th of a kind.
    pub fn clip(&self, kind: &'static str, n: u32) -> Clip {
        let random = &mut self.seed.stream(&format!("{:?}/{kind}/{n}", self.half));
        match kind {
            "one word" | "few words" | "hello ... hello" | "business" | "long business" => {
                self.person(kind, random)
            }
            "carrier mailbox" | "own greeting" | "brief greeting" => self.machine(kind, random),
            "sit + announcement" | "announcement" => self.announcement(kind, n, random),
            "silence" => self.silence(random),
            _ => self.tones(kind, n, random),
        }
    }

    fn take(&self, kind: &str, random: &mut Stream) -> &Take {
        let (_, takes) = self
            .takes
            .iter()
            .find(|(name, _)| *name == kind)
            .expect("each kind that is said has takes");
        one(random, takes)
    }

    /// A greeting, then waiting; some say it again when nobody answers.
    fn person(&self, kind: &'static str, random: &mut Stream) -> Clip {
        let line = Line::draw(random);
        let take = self.take(kind, random);
        let mut sound = lead(random);
        let said = speak(take, line.level, random);
        if random.permille(120) {
            // Answered in the middle of the word.
            sound.clear();
            let cut = (between(random, 40.0, 150.0) as usize * MS).min(said.len() / 3);
            sound.extend(&said[cut..]);
        } else {
            sound.extend(&said);
        }
        let greeting_end = sound.len();
        let again = if kind == "hello ... hello" {
            Some((500.0, 1_500.0))
        } else {
            random.permille(300).then_some((1_800.0, 3_000.0))
        };
        if let Some((least, most)) = again {
            sound.extend(silence(between(random, least, most) as usize));
            sound.extend(&said);
        }
        sound.extend(silence(3_500));
        Clip {
            kind,
            truth: Truth::Person,
            early: false,
            samples: line.carry(&sound, &self.voices, random),
            greeting_end,
            beep_end: None,
            phrase: take.phrase,
            voice: take.voice,
            about: format!("{} {line:?}", take.about),
        }
    }

    /// A greeting to its end; three of four beep, all wait.
    fn machine(&self, kind: &'static str, random: &mut Stream) -> Clip {
        let line = Line::draw(random);
        let take = self.take(kind, random);
        let mut sound = lead(random);
        sound.extend(speak(take, line.level, random));
        let greeting_end = sound.len();
        let beep_end = random.permille(750).then(|| {
            sound.extend(silence(between(random, 150.0, 1_200.0) as usize));
            let frequency = *one(
                random,
                &[
                    425.0, 440.0, 700.0, 850.0, 1_000.0, 1_100.0, 1_400.0, 2_000.0,
                ],
            );
            let mut beep = tone(
                &[frequency],
                *one(random, &[160, 250, 400, 500, 800, 1_200]),
            );
            set_level(&mut beep, line.level + between(random, -4.0, 6.0));
            sound.extend(beep);
            sound.len()
        });
        sound.extend(silence(3_000));
        Clip {
            kind,
            truth: Truth::Machine,
            early: false,
            samples: line.carry(&sound, &self.voices, random),
            greeting_end,
            beep_end,
            phrase: take.phrase,
            voice: take.voice,
            about: format!("{} {line:?}", take.about),
        }
    }

    /// The network speaks before the answer, with or without special information tones.
    fn announcement(&self, kind: &'static str, n: u32, random: &mut Stream) -> Clip {
        let line = Line::draw_for_tones(random);
        let take = self.take("announcement", random);
        let mut sound = silence(between(random, 100.0, 1_500.0) as usize);
        let mut about = take.about.clone();
        if kind == "sit + announcement" {
            let (name, tones) = sit(n);
            for (frequency, millis) in tones {
                let mut part = tone(&[frequency], millis);
                set_level(&mut part, line.level);
                sound.extend(part);
            }
            about = format!("{name:?} {about}");
            sound.extend(silence(between(random, 50.0, 300.0) as usize));
        }
        sound.extend(speak(take, line.level, random));
        let greeting_end = sound.len();
        sound.extend(silence(1_000));
        Clip {
            kind,
            truth: Truth::Announcement,
            early: true,
            samples: line.carry(&sound, &self.voices, random),
            greeting_end,
            beep_end: None,
            phrase: take.phrase,
            voice: take.voice,
            about: format!("{about} {line:?}"),
        }
    }

    fn silence(&self, random: &mut Stream) -> Clip {
        let line = Line {
            background: *one(
                random,
                &[signals::Background::White, signals::Background::Pink],
            ),
            ..Line::draw(random)
        };
        Clip {
            kind: "silence",
            truth: Truth::Silence,
            early: false,
            samples: line.carry(&silence(8_500), &self.voices, random),
            greeting_end: 0,
            beep_end: None,
            phrase: "",
            voice: "",
            about: format!("{line:?}"),
        }
    }

    /// Tones of the network, from anywhere in their cadence on, and of faxes.
    fn tones(&self, kind: &'static str, n: u32, random: &mut Stream) -> Clip {
        type Cadence = (&'static [f32], &'static [usize]);
        let line = Line::draw_for_tones(random);
        let busy: [Cadence; 4] = [
            (&[450.0], &[350, 350]),
            (&[480.0, 620.0], &[500, 500]),
            (&[400.0], &[375, 375]),
            (&[425.0], &[500, 500]),
        ];
        let congestion: [Cadence; 3] = [
            (&[450.0], &[700, 700]),
            (&[480.0, 620.0], &[250, 250]),
            (&[400.0], &[400, 350, 225, 525]),
        ];
        let (truth, (frequencies, parts)): (Truth, Cadence) = match kind {
            "ringback china" => (Truth::Ringback(Ringing::China), (&[450.0], &[1_000, 4_000])),
            "ringback america" => (
                Truth::Ringback(Ringing::America),
                (&[440.0, 480.0], &[2_000, 4_000]),
            ),
            "ringback britain" => (
                Truth::Ringback(Ringing::Britain),
                (&[400.0, 450.0], &[400, 200, 400, 2_000]),
            ),
            "ringback europe" => (
                Truth::Ringback(Ringing::Europe),
                (&[425.0], &[1_000, 4_000]),
            ),
            "busy" => (Truth::Busy, busy[n as usize % busy.len()]),
            "congestion" => (Truth::Congestion, congestion[n as usize % congestion.len()]),
            "fax calls" => (Truth::Fax, (&[1_100.0], &[500, 3_000])),
            _ => (Truth::Fax, (&[2_100.0], &[3_000, 75])),
        };
        let early = truth != Truth::Fax;
        let mut sound = Vec::new();
        while sound.len() < 14_000 * MS {
            for (n, millis) in parts.iter().enumerate() {
                sound.extend(if n % 2 == 0 {
                    tone(frequencies, *millis)
                } else {
                    silence(*millis)
                });
            }
        }
        set_level(&mut sound, line.level);
        if early {
            let from = between(random, 0.0, 3_000.0) as usize * MS;
            sound.drain(..from);
        } else {
            sound.splice(..0, silence(between(random, 200.0, 2_000.0) as usize));
        }
        sound.truncate(12_000 * MS);
        Clip {
            kind,
            truth,
            early,
            samples: line.carry(&sound, &self.voices, random),
            greeting_end: 0,
            beep_end: None,
            phrase: "",
            voice: "",
            about: format!("{frequencies:?} {line:?}"),
        }
    }
}

/// What comes before a greeting.
fn lead(random: &mut Stream) -> Vec<f32> {
    silence(between(random, 150.0, 1_500.0) as usize)
}

/// A take's parts with a pause between.
fn speak(take: &Take, level: f32, random: &mut Stream) -> Vec<f32> {
    let mut said = Vec::new();
    for (n, part) in take.parts.iter().enumerate() {
        if n > 0 {
            // Most pauses are a comma's, some a full stop's.
            let pause = if random.permille(850) {
                between(random, 120.0, 380.0)
            } else {
                between(random, 380.0, 700.0)
            };
            said.extend(silence(pause as usize));
        }
        said.extend(part);
    }
    set_level(&mut said, level);
    said
}

fn takes(half: Half, name: &str, kind: &Kind, seed: Seed) -> Vec<Take> {
    let phrases = kind.of(half);
    let mut takes = Vec::new();
    for (language, text) in phrases {
        for n in 0..TAKES {
            let mut random = seed.stream(&format!("{half:?}/{name}/{text}/{n}"));
            let manner = Manner::draw(half, *language, &mut random);
            takes.push(Take {
                parts: text.split('|').map(|t| speech::say(t, manner)).collect(),
                phrase: text,
                voice: manner.voice,
                about: format!("{text} {manner:?}"),
            });
        }
    }
    takes
}

/// The kinds of special information tones in turn, with frequency and length of each tone.
pub fn sit(n: u32) -> (Sit, [(f32, usize); 3]) {
    match n % 5 {
        0 => (
            Sit::Unspecified,
            [(950.0, 330), (1_400.0, 330), (1_800.0, 330)],
        ),
        1 => (
            Sit::Intercept,
            [(913.8, 274), (1_370.6, 274), (1_776.7, 380)],
        ),
        2 => (
            Sit::VacantCode,
            [(985.2, 380), (1_370.6, 274), (1_776.7, 380)],
        ),
        3 => (Sit::Reorder, [(913.8, 274), (1_428.5, 380), (1_776.7, 380)]),
        _ => (
            Sit::NoCircuit,
            [(985.2, 380), (1_428.5, 380), (1_776.7, 380)],
        ),
    }
}
