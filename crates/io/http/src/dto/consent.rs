//! Consents.

use super::{Acknowledgement, Checks, Timestamp, Validate, Wait};
use crate::problem::FieldError;
use domain::{CampaignId, ConsentKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How a file of consents is read: CSV with a heading and the column `number`, and where rows
/// differ `kind`, `source`, `place`, `given_at` and `until`. What is given here holds for rows
/// that leave it empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ConsentImportOptions {
    /// Count only, change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// ISO 3166 code for numbers without a country code.
    #[serde(default)]
    pub default_country: Option<String>,
    /// For calls of this campaign only; for every one when not given.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub campaign: Option<CampaignId>,
    /// How they agreed: `written`, `form` or `spoken`.
    #[serde(default)]
    pub kind: Option<String>,
    /// The text that they agreed to, or where it and the answers are kept.
    #[serde(default)]
    pub source: Option<String>,
    /// Where it was given: a page, a shop, a campaign's calls.
    #[serde(default)]
    pub place: Option<String>,
    /// When it was given, RFC 3339 in UTC.
    #[serde(default)]
    pub given_at: Option<String>,
    /// Good until then, RFC 3339 in UTC; until it is withdrawn when not given.
    #[serde(default)]
    pub until: Option<String>,
}

impl ConsentImportOptions {
    /// Judges what holds for rows that leave it empty.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn check(&self) -> Result<(), FieldError> {
        if let Some(kind) = &self.kind {
            (kind.parse::<ConsentKind>()).map_err(|why| FieldError::new("?kind", why))?;
        }
        for (pointer, time) in [("?given_at", &self.given_at), ("?until", &self.until)] {
            if let Some(time) = time {
                (time.parse::<Timestamp>()).map_err(|why| FieldError::new(pointer, why))?;
            }
        }
        Ok(())
    }
}

/// One consent of a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consent {
    /// Its id, as call records and the audit chain name it.
    pub id: String,
    /// For calls of this campaign only; for every one when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub campaign: Option<CampaignId>,
    /// How the person agreed: `written`, `form` or `spoken`.
    pub kind: String,
    /// The text that the person agreed to, or where it is kept.
    pub source: String,
    /// Where it was given.
    pub place: String,
    /// When it was given.
    pub given_at: Timestamp,
    /// Good until then; until it is withdrawn when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Since when the person agrees no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
    /// Whether it is good now: neither over nor withdrawn.
    pub good: bool,
}

/// What is known of a number's consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentCheck {
    /// The number, masked.
    pub number: String,
    /// Its consents, those that are over or withdrawn too.
    pub consents: Vec<Consent>,
    /// The directory index at which this was read.
    pub applied_index: u64,
}

/// A person agrees no more. What was given before counts no longer, also where it is imported later.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentWithdrawal {
    /// E.164.
    pub number: String,
    /// The consent for calls of this campaign; every consent of the person when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub campaign: Option<CampaignId>,
    /// Why; kept for the audit.
    pub reason: String,
    /// What to wait for; `effective` when not given.
    #[serde(default)]
    pub wait: Wait,
}

/// How far a withdrawal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentWithdrawn {
    /// Until when was waited.
    pub state: Acknowledgement,
    /// The directory's entry.
    pub index: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Consents that stood until now; none when the person had given none, or withdrawn all before.
    pub withdrawn: u32,
}

impl std::fmt::Debug for ConsentWithdrawal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsentWithdrawal")
            .field("campaign", &self.campaign)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl Validate for ConsentWithdrawal {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.number("/number", &self.number);
        let (len, max) = (self.reason.trim().len(), domain::limits::NAME_BYTES);
        checks.require((1..=max).contains(&len), "/reason", || {
            format!("has {len} bytes; expected 1 to {max}: withdrawing needs a reason")
        });
        checks.done()
    }
}
