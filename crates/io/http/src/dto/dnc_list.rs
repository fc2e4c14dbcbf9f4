//! Do-not-call lists that are pulled from their publishers.

use super::{Checks, Timestamp, Validate};
use crate::problem::FieldError;
use domain::{CountryCode, Secret, limits};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Seconds between two pulls when nothing is said: a day.
const EVERY: u64 = 86_400;
/// Seconds that a list may be old when nothing is said: 31 days.
const MAX_AGE: u64 = 31 * 86_400;
/// Thousandths of a list's numbers that may be gone without anybody's approval, when nothing is said.
const SHRINK: u16 = 100;
/// Thousandths of a list's rows that may be no numbers without anybody's approval, when nothing is
/// said.
const INVALID: u16 = 1;

const fn every() -> u64 {
    EVERY
}

const fn max_age() -> u64 {
    MAX_AGE
}

const fn shrink() -> u16 {
    SHRINK
}

const fn invalid() -> u16 {
    INVALID
}

/// Declares a do-not-call list: the coordinator pulls it from then on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DncListRequest {
    /// Its name: 1 to 32 lower-case letters, digits, `-`, `_`, `.`; not `base`.
    #[schema(example = "ftc")]
    pub name: String,
    /// From where: an https address, an http one on the coordinator's own machine, or that of a file
    /// below the folder that its configuration names.
    pub from: String,
    /// How often, in seconds; a day when not given.
    #[serde(default = "every")]
    pub every_seconds: u64,
    /// ISO 3166 code of the country whose registry it is, and of numbers without a country code.
    #[serde(default)]
    pub country: Option<String>,
    /// How old it may be, in seconds, whatever a rule pack allows beyond; 31 days when not given.
    #[serde(default = "max_age")]
    pub max_age_seconds: u64,
    /// Thousandths of its numbers that may be gone at a pull without anybody's approval; 100 when
    /// not given.
    #[serde(default = "shrink")]
    pub shrink_permille: u16,
    /// Thousandths of its rows that may be no numbers without anybody's approval; 1 when not given.
    #[serde(default = "invalid")]
    pub invalid_permille: u16,
    /// One header line to ask with, such as `Authorization: Bearer …`; sealed at the coordinator
    /// and never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub header: Option<Secret>,
    /// PEM certificates: only these are trusted, and not the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl std::fmt::Debug for DncListRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DncListRequest")
            .field("name", &self.name)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// A header line as its name and value.
///
/// # Errors
/// It is none; says what one looks like, and nothing of what was given.
pub fn header_line(line: &str) -> Result<(&str, &str), String> {
    let expected = "expected one line such as `Authorization: Bearer …`";
    let (name, value) = line.split_once(':').ok_or_else(|| expected.to_owned())?;
    let value = value.trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let visible = |b: u8| (b' '..=b'~').contains(&b);
    if name.is_empty() || !name.bytes().all(plain) || value.is_empty() {
        return Err(expected.to_owned());
    }
    if !value.bytes().all(visible) || line.len() > limits::DNC_LIST_HEADER_BYTES {
        return Err(format!(
            "{expected}, of printable ASCII and {} bytes at most",
            limits::DNC_LIST_HEADER_BYTES
        ));
    }
    Ok((name, value))
}

impl Validate for DncListRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        let name = &self.name;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let good = (1..=32).contains(&name.len()) && name.bytes().all(plain);
        let taken = name == "base" || name.starts_with('.');
        checks.require(good && !taken, "/name", || {
            "is none; expected 1 to 32 lower-case letters, digits, -, _ and ., not beginning with a \
             point, and not base"
                .to_owned()
        });
        let most = limits::DNC_LIST_ADDRESS_BYTES;
        checks.require((1..=most).contains(&self.from.len()), "/from", || {
            format!("has {} bytes; expected 1 to {most}", self.from.len())
        });
        let seconds = |span: Duration| span.as_secs();
        let (least, most) = (limits::DNC_LIST_EVERY_MIN, limits::DNC_LIST_EVERY_MAX);
        let bounds = (seconds(least), seconds(most));
        checks.range("/every_seconds", self.every_seconds, bounds);
        let (least, most) = (limits::DNC_LIST_AGE_MIN, limits::DNC_LIST_AGE_MAX);
        let bounds = (seconds(least), seconds(most));
        checks.range("/max_age_seconds", self.max_age_seconds, bounds);
        checks.range("/shrink_permille", self.shrink_permille, (0, 1000));
        checks.range("/invalid_permille", self.invalid_permille, (0, 1000));
        if let Some(Err(error)) = self.country.as_deref().map(str::parse::<CountryCode>) {
            checks.push(FieldError::new("/country", format!("is {error}")));
        }
        if let Some(header) = &self.header
            && let Err(why) = header_line(header.expose())
        {
            checks.push(FieldError::new("/header", format!("is no header; {why}")));
        }
        if let Some(ca) = &self.ca {
            let most = limits::DNC_LIST_CA_BYTES;
            checks.require((1..=most).contains(&ca.len()), "/ca", || {
                format!("has {} bytes; expected 1 to {most}", ca.len())
            });
        }
        checks.done()
    }
}

/// Pull a list now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DncListPullRequest {
    /// Fetch and count only: what would be added and gone.
    #[serde(default)]
    pub dry_run: bool,
}

impl Validate for DncListPullRequest {
    fn validate(&self) -> Vec<FieldError> {
        Vec::new()
    }
}

/// Take, or do not take, what a pull brought and nobody has approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DncListDecision {
    /// Why; kept for the audit.
    pub reason: String,
}

impl Validate for DncListDecision {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        let (len, max) = (self.reason.trim().len(), limits::NAME_BYTES);
        checks.require((1..=max).contains(&len), "/reason", || {
            format!("has {len} bytes; expected 1 to {max}: say why, for those who come later")
        });
        checks.done()
    }
}

/// What became of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DncListResult {
    /// The publisher has nothing new: the age counts from now.
    Unchanged,
    /// It goes into the next base.
    Accepted,
    /// It waits for somebody to approve it.
    NeedsApproval,
    /// Nothing was taken; `error` says why.
    Failed,
}

/// One pull of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DncListPull {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What became of it.
    pub result: DncListResult,
    /// Bytes that came.
    pub bytes: u64,
    /// Rows read.
    pub rows: u64,
    /// Rows that are no numbers, a heading not counted.
    pub invalid: u64,
    /// Different numbers.
    pub numbers: u64,
    /// Numbers that were not in what was accepted before.
    pub added: u64,
    /// Numbers that were in it and are no more.
    pub removed: u64,
    /// Why it failed, or needs an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// A do-not-call list that the coordinator pulls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DncList {
    /// Its name.
    pub name: String,
    /// From where.
    pub from: String,
    /// How often, in seconds.
    pub every_seconds: u64,
    /// The country whose registry it is.
    pub country: Option<String>,
    /// How old it may be, in seconds.
    pub max_age_seconds: u64,
    /// Thousandths of its numbers that may be gone without anybody's approval.
    pub shrink_permille: u16,
    /// Thousandths of its rows that may be no numbers without anybody's approval.
    pub invalid_permille: u16,
    /// Name of the coordinator that pulls it.
    pub kept_by: String,
    /// Whether pulls rest.
    pub paused: bool,
    /// When it was declared.
    pub declared_at: Timestamp,
    /// When its publisher last gave or confirmed it; none before the first time.
    pub obtained_at: Option<Timestamp>,
    /// How long ago, in seconds.
    pub age_seconds: Option<u64>,
    /// Its numbers, as last accepted.
    pub numbers: Option<u64>,
    /// Whether the do-not-call base in use was made of exactly these.
    pub in_use: bool,
    /// When it is pulled next; none while it rests, or at another coordinator than its own.
    pub next_pull_at: Option<Timestamp>,
    /// Why what was pulled waits for an approval, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Its last pulls, newest first; one in lists of lists.
    pub pulls: Vec<DncListPull>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_one_line_and_never_shown() {
        assert_eq!(
            header_line("Authorization: Bearer abc:d").unwrap(),
            ("Authorization", "Bearer abc:d")
        );
        let name = "X: ".len();
        let longest = format!("X: {}", "a".repeat(limits::DNC_LIST_HEADER_BYTES - name));
        assert!(header_line(&longest).is_ok());
        let long = longest + "a";
        for bad in [
            "",
            "token",
            ": x",
            "A B: x",
            "A:",
            "A: \u{e9}",
            "A: x\ny",
            &long,
        ] {
            let why = header_line(bad).unwrap_err();
            assert!(why.contains("expected one line"), "{why}");
        }
    }
}
