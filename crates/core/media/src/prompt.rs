//! What can be played to a leg: WAV files of the node's `prompts/` folder, and a few tones made
//! here.
//!
//! Speech cannot be made here, and the law asks for speech (who called, a number to refuse
//! further calls): the message for a person nobody could serve is a WAV file named in the
//! configuration. The built-in pattern named `tone` stands in only where it is configured by
//! that name.

use domain::{Codec, PhoneNumber, limits};
use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    g711::{self, FRAME, SAMPLE_RATE},
    tones::{self, Cadence},
    wav::{self, WavError},
};

/// A prompt in a relay's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PromptId(pub u16);

/// The built-in prompts: name, sound. Their ids count from zero in this order.
const BUILT_IN: [(&str, Cadence); 7] = [
    ("beep", tones::BEEP),
    ("tone", tones::ATTENTION),
    ("ringback-us", tones::RINGBACK_AMERICA),
    ("ringback-cn", tones::RINGBACK_CHINA),
    ("ringback-eu", tones::RINGBACK_EUROPE),
    ("ringback-uk", tones::RINGBACK_BRITAIN),
    ("hold-tones", tones::HOLD),
];

impl PromptId {
    /// The beep that tells an agent of a call.
    pub const BEEP: Self = Self(0);
    /// The attention pattern, named `tone`.
    pub const TONE: Self = Self(1);
    /// Ringing as in North America; the other countries' follow it.
    pub const RINGBACK: Self = Self(2);
    /// The soft notes for who is on hold, named `hold-tones`.
    pub const HOLD: Self = Self(6);

    /// Ringing as who calls that number would hear it: of China, Britain and North America; as in most
    /// of Europe everywhere else.
    pub fn ringing(called: Option<PhoneNumber>) -> Self {
        let within = |prefix| called.is_some_and(|number| number.has_prefix(prefix));
        let place = match () {
            () if within(1) => 0,
            () if within(86) => 1,
            () if within(44) => 3,
            () => 2,
        };
        Self(Self::RINGBACK.0 + place)
    }
}

/// A sound in whole frames of both laws, made once and played without any work.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt {
    mu: Vec<u8>,
    a: Vec<u8>,
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prompt({:?})", self.duration())
    }
}

/// A prompt cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// Its file cannot be read.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// It has no samples.
    #[error("the prompt has no sound in it")]
    Empty,
    /// It is too long.
    #[error("the prompt lasts {seconds} s; the limit is {} s", limits::PROMPT.as_secs())]
    TooLong {
        /// Its length.
        seconds: u64,
    },
    /// The name is taken, empty or too long.
    #[error("the prompt name {0:?} is taken, empty or longer than {limit} bytes", limit = limits::NAME_BYTES)]
    Name(String),
    /// The store is full.
    #[error("no more than {} prompts are kept", limits::PROMPTS)]
    TooMany,
}

impl Prompt {
    /// From linear samples at 8 kHz; the last frame is filled with silence.
    ///
    /// # Errors
    /// When there are none, or more than [`limits::PROMPT`] lasts.
    pub fn from_samples(samples: &[i16]) -> Result<Self, PromptError> {
        if samples.is_empty() {
            return Err(PromptError::Empty);
        }
        let seconds = samples.len().div_ceil(SAMPLE_RATE as usize) as u64;
        if seconds > limits::PROMPT.as_secs() {
            return Err(PromptError::TooLong { seconds });
        }
        let coded = |codec| {
            let mut codes: Vec<u8> = samples.iter().map(|s| g711::encode(codec, *s)).collect();
            codes.resize(samples.len().next_multiple_of(FRAME), g711::silence(codec));
            codes
        };
        Ok(Self {
            mu: coded(Codec::Pcmu),
            a: coded(Codec::Pcma),
        })
    }

    /// From a WAV file: 8 kHz, A-law, mu-law or 16-bit linear, mono or stereo.
    ///
    /// # Errors
    /// When the file cannot be played, is empty or too long.
    pub fn from_wav(bytes: &[u8]) -> Result<Self, PromptError> {
        let samples: Vec<i16> = wav::read(bytes)?.samples().collect();
        Self::from_samples(&samples)
    }

    /// One round of a cadence.
    ///
    /// # Errors
    /// As [`from_samples`](Self::from_samples).
    pub fn from_cadence(cadence: &Cadence) -> Result<Self, PromptError> {
        Self::from_samples(&cadence.samples())
    }

    /// The frame at `place`, 160 bytes; `None` past the end.
    pub fn frame(&self, codec: Codec, place: usize) -> Option<&[u8]> {
        let codes = match codec {
            Codec::Pcmu => &self.mu,
            Codec::Pcma => &self.a,
        };
        codes.chunks_exact(FRAME).nth(place)
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.mu.len() as u64 * 1_000 / u64::from(SAMPLE_RATE))
    }
}

/// A relay's prompts by name. The built-in ones are always there.
#[derive(Clone, Debug)]
pub struct Prompts {
    kept: Vec<Prompt>,
    names: BTreeMap<String, PromptId>,
}

impl Default for Prompts {
    fn default() -> Self {
        let mut prompts = Self {
            kept: Vec::new(),
            names: BTreeMap::new(),
        };
        for (name, cadence) in &BUILT_IN {
            Prompt::from_cadence(cadence)
                .and_then(|prompt| prompts.insert(name, prompt))
                .expect("the built-in sounds are short and their names differ");
        }
        prompts
    }
}

impl Prompts {
    /// Keeps a prompt under a name and gives its id.
    ///
    /// # Errors
    /// When the name is taken, empty or too long, or the store is full.
    pub fn insert(&mut self, name: &str, prompt: Prompt) -> Result<PromptId, PromptError> {
        if self.kept.len() >= limits::PROMPTS {
            return Err(PromptError::TooMany);
        }
        if name.is_empty() || name.len() > limits::NAME_BYTES || self.names.contains_key(name) {
            return Err(PromptError::Name(
                name.chars().take(limits::NAME_BYTES).collect(),
            ));
        }
        let id = PromptId(self.kept.len() as u16);
        self.names.insert(name.to_owned(), id);
        self.kept.push(prompt);
        Ok(id)
    }

    /// The id of a name.
    pub fn id(&self, name: &str) -> Option<PromptId> {
        self.names.get(name).copied()
    }

    /// The prompt of an id.
    pub fn get(&self, id: PromptId) -> Option<&Prompt> {
        self.kept.get(usize::from(id.0))
    }

    /// All names, in order, with their ids.
    pub fn names(&self) -> impl Iterator<Item = (&str, PromptId)> {
        self.names.iter().map(|(name, id)| (name.as_str(), *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_prompts_have_their_ids() {
        let prompts = Prompts::default();
        assert_eq!(prompts.id("beep"), Some(PromptId::BEEP));
        assert_eq!(prompts.id("tone"), Some(PromptId::TONE));
        assert_eq!(prompts.id("ringback-us"), Some(PromptId::RINGBACK));
        assert_eq!(prompts.id("hold-tones"), Some(PromptId::HOLD));
        assert_eq!(prompts.names().count(), BUILT_IN.len());
        let tone = prompts.get(PromptId::TONE).unwrap();
        assert_eq!(tone.duration(), Duration::from_secs(2));
        assert_eq!(prompts.get(PromptId(99)), None);
    }

    #[test]
    fn a_file_becomes_whole_frames_of_both_laws() {
        let data: Vec<u8> = (0..250)
            .map(|n| g711::encode(Codec::Pcma, n * 30))
            .collect();
        let prompt = Prompt::from_wav(&wav::write(Codec::Pcma, 1, &data)).unwrap();
        assert_eq!(prompt.duration(), Duration::from_millis(40));
        assert_eq!(prompt.frame(Codec::Pcma, 0).unwrap(), &data[..160]);
        let last = prompt.frame(Codec::Pcmu, 1).unwrap();
        assert_eq!(last[90..], [0xff; 70]);
        assert_eq!(prompt.frame(Codec::Pcmu, 2), None);
    }

    #[test]
    fn it_rings_as_in_the_country_that_is_called() {
        let prompts = Prompts::default();
        for (number, name) in [
            ("+12125550100", "ringback-us"),
            ("+8675512345678", "ringback-cn"),
            ("+442079460123", "ringback-uk"),
            ("+4930123456", "ringback-eu"),
        ] {
            let number = number.parse().ok();
            assert_eq!(prompts.id(name), Some(PromptId::ringing(number)), "{name}");
        }
        assert_eq!(prompts.id("ringback-eu"), Some(PromptId::ringing(None)));
    }

    #[test]
    fn bounds_hold() {
        let longest = limits::PROMPT.as_secs() as usize * SAMPLE_RATE as usize;
        assert!(Prompt::from_samples(&vec![0; longest]).is_ok());
        assert!(matches!(
            Prompt::from_samples(&vec![0; longest + 1]),
            Err(PromptError::TooLong { .. })
        ));
        assert_eq!(Prompt::from_samples(&[]), Err(PromptError::Empty));
        let mut prompts = Prompts::default();
        let short = Prompt::from_samples(&[0]).unwrap();
        assert!(matches!(
            prompts.insert("beep", short.clone()),
            Err(PromptError::Name(_))
        ));
        assert!(matches!(
            prompts.insert("", short.clone()),
            Err(PromptError::Name(_))
        ));
        for n in BUILT_IN.len()..limits::PROMPTS {
            prompts.insert(&format!("p{n}"), short.clone()).unwrap();
        }
        assert_eq!(prompts.insert("more", short), Err(PromptError::TooMany));
    }
}
