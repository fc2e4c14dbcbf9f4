//! Do-not-call patterns and freezes.

use super::{Checks, Scope, Timestamp, Validate, Wait};
use crate::problem::FieldError;
use domain::{DncScope, Prefix, Target};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

fn check_reason(checks: &mut Checks, pointer: &str, reason: &str) {
    let (len, max) = (reason.trim().len(), domain::limits::NAME_BYTES);
    checks.require((1..=max).contains(&len), pointer, || {
        format!("has {len} bytes; expected 1 to {max}: say why, for those who come later")
    });
}

/// Never dial numbers that begin so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternRequest {
    /// The first 1 to 10 digits of the numbers, country code first.
    #[schema(example = "+1900")]
    pub pattern: String,
    /// Why.
    pub reason: String,
    /// Where; everywhere when not given.
    #[serde(default)]
    pub scope: Scope,
    /// What to wait for; `effective` when not given.
    #[serde(default)]
    pub wait: Wait,
}

/// Allow numbers that begin so again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternRemoval {
    /// The digits, exactly as they were given.
    #[schema(example = "+1900")]
    pub pattern: String,
    /// Where; the pattern of exactly this scope is removed.
    #[serde(default)]
    pub scope: Scope,
    /// Why; kept for the audit.
    pub reason: String,
}

/// The digits of a pattern.
///
/// # Errors
/// It is none; the field says what one looks like.
pub fn pattern(text: &str, pointer: &str) -> Result<Prefix, FieldError> {
    (text.trim().parse())
        .map_err(|error| FieldError::new(pointer, format!("is not a pattern: {error}")))
}

fn check_pattern(checks: &mut Checks, text: &str) {
    if let Err(error) = pattern(text, "/pattern") {
        checks.push(error);
    }
}

impl Validate for PatternRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        check_pattern(&mut checks, &self.pattern);
        check_reason(&mut checks, "/reason", &self.reason);
        checks.done()
    }
}

impl Validate for PatternRemoval {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        check_pattern(&mut checks, &self.pattern);
        check_reason(&mut checks, "/reason", &self.reason);
        checks.done()
    }
}

/// A do-not-call pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DncPattern {
    /// The digits with which the numbers begin.
    pub pattern: String,
    /// Where it holds.
    #[serde(default)]
    pub scope: Scope,
    /// Why.
    pub reason: String,
    /// Who asked: `admin`, `agent`, `person`, `registry`.
    pub source: String,
    /// When it was asked.
    pub added_at: Timestamp,
}

impl From<(&domain::DncPattern, DncScope)> for DncPattern {
    fn from((pattern, scope): (&domain::DncPattern, DncScope)) -> Self {
        Self {
            pattern: pattern.prefix.to_string(),
            scope: scope.into(),
            reason: pattern.reason.clone(),
            source: super::do_not_call::source_name(pattern.source).to_owned(),
            added_at: pattern.added_at.into(),
        }
    }
}

/// Do not dial a number, or numbers that begin so, until a time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    /// E.164; this or `pattern`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "+14155550134")]
    pub number: Option<String>,
    /// The first 1 to 10 digits; this or `number`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Until when; at most 366 days away. From then on they are dialed again by themselves.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who or what found it; the token's name when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What to wait for; `effective` when not given.
    #[serde(default)]
    pub wait: Wait,
}

impl std::fmt::Debug for FreezeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FreezeRequest")
            .field("pattern", &self.pattern)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// End a freeze before its time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeLift {
    /// E.164; this or `pattern`, as it was frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The digits; this or `number`, as they were frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Why; kept for the audit.
    pub reason: String,
}

impl std::fmt::Debug for FreezeLift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FreezeLift")
            .field("pattern", &self.pattern)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// What is to be frozen or lifted.
///
/// # Errors
/// None or both are named, or what is named cannot be read.
pub fn target(number: Option<&str>, prefix: Option<&str>) -> Result<Target, FieldError> {
    match (number, prefix) {
        (Some(number), None) => (number.trim().parse())
            .map(Target::Number)
            .map_err(|error| {
                FieldError::new("/number", format!("is not an E.164 number: {error}"))
            }),
        (None, Some(text)) => pattern(text, "/pattern").map(Target::Prefix),
        (None, None) => Err(FieldError::new(
            "/number",
            "is missing; give it, or a pattern",
        )),
        (Some(_), Some(_)) => Err(FieldError::new(
            "/pattern",
            "is given beside a number; give one of them",
        )),
    }
}

impl FreezeRequest {
    /// What is to be frozen.
    ///
    /// # Errors
    /// As [`target`].
    pub fn target(&self) -> Result<Target, FieldError> {
        target(self.number.as_deref(), self.pattern.as_deref())
    }
}

impl FreezeLift {
    /// What is to be dialed again.
    ///
    /// # Errors
    /// As [`target`].
    pub fn target(&self) -> Result<Target, FieldError> {
        target(self.number.as_deref(), self.pattern.as_deref())
    }
}

impl Validate for FreezeRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        if let Err(error) = self.target() {
            checks.push(error);
        }
        check_reason(&mut checks, "/reason", &self.reason);
        if let Some(source) = &self.source {
            checks.name("/source", source);
        }
        checks.done()
    }
}

impl Validate for FreezeLift {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        if let Err(error) = self.target() {
            checks.push(error);
        }
        check_reason(&mut checks, "/reason", &self.reason);
        checks.done()
    }
}

/// A freeze that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Freeze {
    /// The number, masked; none for a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The digits with which the numbers begin; none for a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who or what found it.
    pub source: String,
    /// Since when.
    pub frozen_at: Timestamp,
}

impl From<&domain::Freeze> for Freeze {
    fn from(freeze: &domain::Freeze) -> Self {
        let (number, pattern) = match freeze.target {
            Target::Number(number) => (Some(number.to_string()), None),
            Target::Prefix(prefix) => (None, Some(prefix.to_string())),
        };
        Self {
            number,
            pattern,
            until: freeze.until.into(),
            reason: freeze.reason.clone(),
            source: freeze.source.clone(),
            frozen_at: freeze.frozen_at.into(),
        }
    }
}
