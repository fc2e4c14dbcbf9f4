//! Rule packs: what a jurisdiction asks for, as data.

use crate::{AbandonmentRule, AbandonmentWindow, AttemptLimit, CallingHours, Window};
use domain::{
    Campaign, CountryCode,
    limits::{ABANDONMENT_WINDOW_MAX, ABANDONMENT_WINDOW_MIN, ATTEMPT_LIMITS},
};
use serde::{Deserialize, Deserializer, de};
use std::{fmt, sync::LazyLock, time::Duration};

/// The rules of one jurisdiction. The texts under `packs/` cite the source of each figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePack {
    /// What campaigns call it: `us-federal`, `china`, `demo`.
    pub name: String,
    /// When it was last read against its sources; changes with every change of a figure.
    pub version: String,
    /// One line for people who choose.
    pub summary: String,
    /// For simulated telephone networks only: never to be used with a real trunk.
    pub simulated_only: bool,
    /// When dialing is allowed, in the called person's own time.
    pub hours: CallingHours,
    /// How often a number may be tried.
    pub attempts: Vec<AttemptLimit>,
    /// Calls answered by a person whom no agent took.
    pub abandonment: AbandonmentRule,
    /// How long a call must be let ring at least.
    pub ring_min: Duration,
    /// What is played to persons and machines without an agent.
    pub message: MessageRule,
    /// Whether a call needs the person's consent.
    pub consent: ConsentRule,
    /// How old a registry's do-not-call data may be; none where there is no registry.
    pub registry_age_max: Option<Duration>,
    /// The country whose registry that is: lists of other countries do not count.
    pub registry_country: Option<CountryCode>,
    /// How long call records and proofs must be kept at least.
    pub records_kept: Duration,
}

/// What is asked of the message to a person whom no agent took, and of messages left on machines.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageRule {
    /// It begins so soon after the greeting.
    #[serde(deserialize_with = "duration")]
    pub within: Duration,
    /// What it says.
    pub must_say: Vec<MessagePart>,
    /// Whether a recorded message may be left on an answering machine.
    pub voice_drop: bool,
    /// Which rule forbids it; empty where none does.
    #[serde(default)]
    pub voice_drop_source: String,
}

/// What a message has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessagePart {
    /// Who calls.
    SellerName,
    /// A number where that seller can be reached.
    SellerNumber,
    /// That it is a sales call.
    Purpose,
    /// The key that ends the call and adds the number to the do-not-call list.
    OptOutKey,
}

/// What is asked of consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentRule {
    /// Whether each lead needs proof that the person agreed.
    pub required: bool,
}

/// A text is not a rule pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Not TOML, a key that is unknown or missing, or a value of the wrong shape.
    #[error("not a rule pack: {0}")]
    Shape(String),
    /// A field whose value cannot be.
    #[error("{field}: {why}")]
    Value {
        /// The field.
        field: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
}

/// A campaign asks for what its rule pack forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// The ring limit ends calls too soon.
    #[error("ring_limit {limit:?} is shorter than {min:?}, the least that {pack} allows")]
    RingLimit {
        /// The campaign's.
        limit: Duration,
        /// The pack's.
        min: Duration,
        /// The pack's name.
        pack: String,
    },
    /// Answered persons would wait too long.
    #[error("answer_limit {limit:?} is longer than {max:?}, the most that {pack} allows")]
    AnswerLimit {
        /// The campaign's.
        limit: Duration,
        /// The pack's.
        max: Duration,
        /// The pack's name.
        pack: String,
    },
}

static PACKS: LazyLock<Vec<RulePack>> = LazyLock::new(|| {
    [
        include_str!("../packs/us-federal.toml"),
        include_str!("../packs/china.toml"),
        include_str!("../packs/demo.toml"),
    ]
    .iter()
    .map(|text| RulePack::parse(text).expect("the packs in the binary are read by a test"))
    .collect()
});

impl RulePack {
    /// The pack of that exact name; there is no other in its place.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PACKS.iter().find(|pack| pack.name == name)
    }

    /// Every pack in the binary.
    pub fn all() -> &'static [Self] {
        &PACKS
    }

    /// Reads a pack.
    ///
    /// # Errors
    /// [`PackError`] names the key and the line, or the field and its limit.
    pub fn parse(text: &str) -> Result<Self, PackError> {
        let raw: RawPack = toml::from_str(text).map_err(|e| PackError::Shape(e.to_string()))?;
        raw.check()
    }

    /// Whether a campaign's own limits keep this pack.
    ///
    /// # Errors
    /// [`Breach`] names the first that does not.
    pub fn allows(&self, campaign: &Campaign) -> Result<(), Breach> {
        let pack = || self.name.clone();
        if campaign.ring_limit < self.ring_min {
            return Err(Breach::RingLimit {
                limit: campaign.ring_limit,
                min: self.ring_min,
                pack: pack(),
            });
        }
        let max = self.abandonment.answer_limit;
        if campaign.answer_limit > max {
            return Err(Breach::AnswerLimit {
                limit: campaign.answer_limit,
                max,
                pack: pack(),
            });
        }
        Ok(())
    }

    /// How far back attempts must be remembered for the limits.
    pub fn history_span(&self) -> Duration {
        let spans = self.attempts.iter().map(|limit| limit.within);
        spans.max().unwrap_or(Duration::ZERO)
    }

    /// How many of the newest attempts must be remembered for the limits.
    pub fn history_len(&self) -> usize {
        let most = self.attempts.iter().map(|limit| limit.max as usize);
        most.max().unwrap_or(0)
    }
}

impl fmt::Display for RulePack {
    /// Name and version, as call records keep them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// A pack as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPack {
    name: String,
    version: String,
    summary: String,
    #[serde(default)]
    simulated_only: bool,
    windows: Vec<Window>,
    #[serde(default)]
    closed_dates: Vec<String>,
    attempts: Vec<RawLimit>,
    abandonment: AbandonmentRule,
    ringing: RawRinging,
    message: MessageRule,
    consent: ConsentRule,
    #[serde(default)]
    do_not_call: RawDoNotCall,
    records: RawRecords,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    max: u32,
    #[serde(deserialize_with = "duration")]
    within: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRinging {
    #[serde(deserialize_with = "duration")]
    min: Duration,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDoNotCall {
    #[serde(default, deserialize_with = "some_duration")]
    registry_age_max: Option<Duration>,
    #[serde(default)]
    registry_country: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecords {
    #[serde(deserialize_with = "duration")]
    kept: Duration,
}

impl RawPack {
    fn check(self) -> Result<RulePack, PackError> {
        let value = |field, why: &str| {
            Err(PackError::Value {
                field,
                why: why.to_owned(),
            })
        };
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(named) {
            return value(
                "name",
                "write 1 to 64 lower-case letters, digits and dashes",
            );
        }
        if self.version.is_empty() || self.version.len() > 64 {
            return value("version", "write 1 to 64 bytes: the date it was read");
        }
        if self.windows.is_empty() {
            return value("windows", "a pack without windows never dials; write one");
        }
        if self.attempts.is_empty() || self.attempts.len() > ATTEMPT_LIMITS {
            let why = format!("write 1 to {ATTEMPT_LIMITS} limits");
            return value("attempts", &why);
        }
        if self
            .attempts
            .iter()
            .any(|l| l.max == 0 || l.within.is_zero())
        {
            return value("attempts", "max and within must be above zero");
        }
        if self.abandonment.budget_permille > 1000 {
            return value("abandonment.budget_permille", "write 0 to 1000 thousandths");
        }
        if let AbandonmentWindow::Rolling(span) = self.abandonment.window
            && !(ABANDONMENT_WINDOW_MIN..=ABANDONMENT_WINDOW_MAX).contains(&span)
        {
            return value("abandonment.window", "write 6h to 31d, or a month");
        }
        if !self.message.voice_drop && self.message.voice_drop_source.trim().is_empty() {
            return value("message.voice_drop_source", "name the rule that forbids it");
        }
        let hours = CallingHours::new(&self.windows)
            .map_err(|why| PackError::Value {
                field: "windows",
                why,
            })?
            .without_dates(&self.closed_dates)
            .map_err(|why| PackError::Value {
                field: "closed_dates",
                why,
            })?;
        let country = self.do_not_call.registry_country.as_deref();
        let registry_country = match country.map(str::parse) {
            None => None,
            Some(Ok(country)) => Some(country),
            Some(Err(_)) => return value("do_not_call.registry_country", "write two letters: US"),
        };
        let limits = self.attempts.into_iter();
        Ok(RulePack {
            name: self.name,
            version: self.version,
            summary: self.summary,
            simulated_only: self.simulated_only,
            hours,
            attempts: limits
                .map(|RawLimit { max, within }| AttemptLimit { max, within })
                .collect(),
            abandonment: self.abandonment,
            ring_min: self.ringing.min,
            message: self.message,
            consent: self.consent,
            registry_age_max: self.do_not_call.registry_age_max,
            registry_country,
            records_kept: self.records.kept,
        })
    }
}

/// A span of time as packs write it: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(crate) fn read_duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    read_duration(&text).ok_or_else(|| {
        de::Error::custom(format!(
            "{text:?} is not a span of time; write 22s, 5m, 72h or 30d"
        ))
    })
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
