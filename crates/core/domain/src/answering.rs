//! Who answered a call: what a campaign asks for, what a listener says, and what is kept of it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a campaign does about answering machines. Kept beside the campaign, by its id: the
/// campaign's own bytes are those of earlier releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweringMachines {
    /// Nobody listens: every answer is a person's.
    #[default]
    Off,
    /// Who answers is listened to before an agent is given; machines and fax are hung up on.
    HangUp,
}

impl AnsweringMachines {
    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::HangUp => "hang_up",
        }
    }
}

impl fmt::Display for AnsweringMachines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which special information tones were heard (Bellcore's code of frequencies and lengths).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sit {
    /// Intercept: the number is not in service or was changed.
    Intercept,
    /// Vacant code: no such number.
    VacantCode,
    /// Reorder: incomplete digits or a failure on the way.
    Reorder,
    /// No circuit: the network is full.
    NoCircuit,
    /// 950, 1400, 1800 Hz as in ITU-T E.180, which tell no kind; or a mixture that has no meaning.
    Unspecified,
}

/// Whose ringing was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ringing {
    /// 440 and 480 Hz, 2 s in 6.
    America,
    /// 450 Hz, 1 s in 5.
    China,
    /// 425 Hz, 1 s in 5.
    Europe,
    /// 400 and 450 Hz, twice 0.4 s in 3.
    Britain,
}

/// What a line was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// A person.
    Human,
    /// An answering machine or another recording.
    Machine,
    /// A fax or modem.
    Fax,
    /// The called line is busy.
    Busy,
    /// The network had no way there.
    Congestion,
    /// Special information tones: an announcement of the network follows.
    Sit(Sit),
    /// Speech before the answer. It may also be an advertisement instead of ringback: use it to
    /// explain a call that failed, never to end one.
    Announcement,
    /// It rings.
    Ringback(Ringing),
    /// Nothing was said for the listener's silence limit.
    Silence,
    /// Not to be told within the limits.
    Unknown,
}

impl Verdict {
    /// Whether the call must be treated as a person's: nobody who may be one is hung up on.
    pub const fn counts_as_person(self) -> bool {
        matches!(self, Self::Human | Self::Silence | Self::Unknown)
    }

    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Machine => "machine",
            Self::Fax => "fax",
            Self::Busy => "busy",
            Self::Congestion => "congestion",
            Self::Sit(_) => "sit",
            Self::Announcement => "announcement",
            Self::Ringback(_) => "ringback",
            Self::Silence => "silence",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which evidence decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// A tone, or tones one after the other.
    Tone,
    /// A machine's beep.
    Beep,
    /// A cadence of call progress tones.
    Cadence,
    /// The greeting ended, and the model took it for a person's.
    GreetingEnded,
    /// The greeting went on, and the model took it for a recording.
    GreetingWentOn,
    /// The speech or the time that a verdict may take was used up.
    Limit,
    /// The listener itself said nothing within its limit.
    NoWord,
}

impl Reason {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tone => "tone",
            Self::Beep => "beep",
            Self::Cadence => "cadence",
            Self::GreetingEnded => "greeting_ended",
            Self::GreetingWentOn => "greeting_went_on",
            Self::Limit => "limit",
            Self::NoWord => "no_word",
        }
    }
}

/// The shape of what was said until the verdict, in milliseconds: why the model decided as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct Greeting {
    /// Silence before the first word.
    pub lead_ms: u32,
    /// Speech in all, silences left out.
    pub spoken_ms: u32,
    /// The longest utterance.
    pub longest_ms: u32,
    /// The longest silence between two utterances.
    pub pause_ms: u32,
    /// Silence since the last word.
    pub silence_ms: u32,
    /// Stretches of speech with silences between.
    pub utterances: u32,
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lead_ms,
            spoken_ms,
            longest_ms,
            pause_ms,
            silence_ms,
            utterances,
        } = self;
        if *utterances == 0 {
            return write!(f, "nothing said in {lead_ms} ms");
        }
        let many = if *utterances == 1 { "" } else { "s" };
        write!(
            f,
            "{spoken_ms} ms of speech in {utterances} utterance{many} after {lead_ms} ms, longest \
             {longest_ms} ms, longest pause {pause_ms} ms, silent for {silence_ms} ms"
        )
    }
}

/// Who answered, and how that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WhoAnswered {
    /// Who or what.
    pub verdict: Verdict,
    /// By which evidence.
    pub reason: Reason,
    /// From the answer to the verdict, in milliseconds.
    pub took_ms: u32,
    /// What was said until then.
    pub greeting: Greeting,
}

impl WhoAnswered {
    /// Nothing was told within the limit: whoever it is counts as a person.
    pub const fn untold(took_ms: u32) -> Self {
        Self {
            verdict: Verdict::Unknown,
            reason: Reason::NoWord,
            took_ms,
            greeting: Greeting {
                lead_ms: 0,
                spoken_ms: 0,
                longest_ms: 0,
                pause_ms: 0,
                silence_ms: 0,
                utterances: 0,
            },
        }
    }
}

/// What was heard of an attempt by listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listened {
    /// What early media was: ringback, busy, special information tones, an announcement.
    pub early: Option<Verdict>,
    /// Who answered; none where nobody did, or the call ended before it was told.
    pub answered: Option<WhoAnswered>,
}

/// What a listener tells while a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    /// Before the answer: it explains a call that fails, and ends none.
    Early(Verdict),
    /// After it.
    Answered(WhoAnswered),
    /// A machine's beep, which is over: it records from here on. Only after [`Verdict::Machine`], once.
    Beep,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_who_may_be_a_person_counts_as_a_machine() {
        for (verdict, person) in [
            (Verdict::Human, true),
            (Verdict::Unknown, true),
            (Verdict::Silence, true),
            (Verdict::Machine, false),
            (Verdict::Fax, false),
            (Verdict::Busy, false),
        ] {
            assert_eq!(verdict.counts_as_person(), person, "{verdict}");
        }
        assert!(WhoAnswered::untold(10_000).verdict.counts_as_person());
    }

    #[test]
    fn a_greeting_reads_as_a_sentence() {
        let greeting = Greeting {
            lead_ms: 400,
            spoken_ms: 380,
            longest_ms: 400,
            pause_ms: 0,
            silence_ms: 660,
            utterances: 1,
        };
        assert_eq!(
            greeting.to_string(),
            "380 ms of speech in 1 utterance after 400 ms, longest 400 ms, longest pause 0 ms, \
             silent for 660 ms"
        );
        let nothing = Greeting {
            lead_ms: 4_000,
            ..Greeting::default()
        };
        assert_eq!(nothing.to_string(), "nothing said in 4000 ms");
    }
}
