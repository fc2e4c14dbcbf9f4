//! Messages that are left on answering machines, where the law allows it.

use crate::limits;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What became of a message to a machine, as its call record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoiceDrop {
    /// It was played to its end.
    Left,
    /// The machine hung up while it was played, or it lasted too long.
    BrokenOff,
    /// The machine hung up before it began.
    HungUp,
    /// No beep within [`limits::MACHINE_BEEP`].
    NoBeep,
    /// Somebody pressed the key that opts out: no machine after all.
    OptedOut,
    /// The campaign's rule pack forbids it: hung up on, as without a message.
    Forbidden,
    /// The node has no prompt of that name: hung up on, too.
    NoPrompt,
}

impl VoiceDrop {
    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::BrokenOff => "broken_off",
            Self::HungUp => "hung_up",
            Self::NoBeep => "no_beep",
            Self::OptedOut => "opted_out",
            Self::Forbidden => "forbidden",
            Self::NoPrompt => "no_prompt",
        }
    }
}

/// A text is no name of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is no name of a prompt: 1 to {max} of a-z, 0-9, - and _", max = limits::PROMPT_NAME_BYTES)]
pub struct PromptNameError {
    shown: String,
}

/// The name of a prompt, as nodes' configurations have it under `[prompts.voice_drops]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PromptName(String);

impl PromptName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PromptName {
    type Error = PromptNameError;

    fn try_from(text: String) -> Result<Self, PromptNameError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        let long = (1..=limits::PROMPT_NAME_BYTES).contains(&text.len());
        if long && text.bytes().all(fits) {
            return Ok(Self(text));
        }
        let shown = text.chars().take(limits::PROMPT_NAME_BYTES).collect();
        Err(PromptNameError { shown })
    }
}

impl From<PromptName> for String {
    fn from(name: PromptName) -> Self {
        name.0
    }
}

impl fmt::Display for PromptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_prompts_have_a_shape_and_a_bound() {
        let name = |text: &str| PromptName::try_from(text.to_owned());
        let longest = "a".repeat(limits::PROMPT_NAME_BYTES);
        for good in ["autumn", "autumn_2-zh", &longest] {
            assert_eq!(name(good).unwrap().as_str(), good);
        }
        for bad in ["", "Autumn", "a b", "../x", "秋", &format!("{longest}a")] {
            let error = name(bad).unwrap_err().to_string();
            assert!(error.contains("1 to 32 of a-z"), "{error}");
        }
        let far = name(&"A".repeat(10_000)).unwrap_err().to_string();
        assert!(far.len() < 120, "{far}");
    }
}
