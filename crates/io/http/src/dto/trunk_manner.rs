//! How a trunk is used: numbers, identity, sessions.

use super::Checks;
use domain::{IdentityHeader, NumberShape, Redirects, TrunkProfile, limits};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// What the Privacy header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyHeader {
    /// There is none.
    Unset,
    /// `none`.
    None,
    /// `id`.
    Id,
}

impl From<Option<domain::Privacy>> for PrivacyHeader {
    fn from(privacy: Option<domain::Privacy>) -> Self {
        match privacy {
            None => Self::Unset,
            Some(domain::Privacy::None) => Self::None,
            Some(domain::Privacy::Id) => Self::Id,
        }
    }
}

impl From<PrivacyHeader> for Option<domain::Privacy> {
    fn from(privacy: PrivacyHeader) -> Self {
        match privacy {
            PrivacyHeader::Unset => None,
            PrivacyHeader::None => Some(domain::Privacy::None),
            PrivacyHeader::Id => Some(domain::Privacy::Id),
        }
    }
}

/// What is vouched for in the PASSporT of a trunk's INVITEs (STIR/SHAKEN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkAttestation {
    /// INVITEs are not signed.
    None,
    /// Full: who calls is known, and that the number is theirs.
    A,
    /// Partial: who calls is known.
    B,
    /// Gateway: only where the call came in is known.
    C,
}

impl From<Option<domain::Attestation>> for TrunkAttestation {
    fn from(attestation: Option<domain::Attestation>) -> Self {
        match attestation {
            None => Self::None,
            Some(domain::Attestation::A) => Self::A,
            Some(domain::Attestation::B) => Self::B,
            Some(domain::Attestation::C) => Self::C,
        }
    }
}

impl From<TrunkAttestation> for Option<domain::Attestation> {
    fn from(attestation: TrunkAttestation) -> Self {
        match attestation {
            TrunkAttestation::None => None,
            TrunkAttestation::A => Some(domain::Attestation::A),
            TrunkAttestation::B => Some(domain::Attestation::B),
            TrunkAttestation::C => Some(domain::Attestation::C),
        }
    }
}

/// How a trunk is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrunkManner {
    /// The profile it was made from; empty where none.
    pub profile: String,
    /// Its share of the calls among trunks of its rank.
    pub weight: u16,
    /// How called numbers are written (`+{e164}`, `1234{e164}`, `0{national:86}`, `{dialed:86}`); empty
    /// where `number_format` says it.
    pub called: String,
    /// How caller IDs are written; the same.
    pub shown: String,
    /// Whether URIs with a number say `user=phone`.
    pub user_phone: bool,
    /// The header beside From: `none`, `asserted` (P-Asserted-Identity) or `preferred`.
    #[schema(value_type = String, example = "asserted")]
    pub identity: IdentityHeader,
    /// The Privacy header.
    pub privacy: PrivacyHeader,
    /// Session-Expires that is asked for; 0 where only the carrier's wish counts.
    pub session_expires_seconds: u64,
    /// Whether reliable provisional responses (100rel) are offered.
    pub reliable: bool,
    /// `refuse` or `follow`: what is done about 3xx.
    #[schema(value_type = String, example = "refuse")]
    pub redirects: Redirects,
    /// What is vouched for in the INVITEs' Identity header.
    pub attestation: TrunkAttestation,
}

impl From<&domain::TrunkManner> for TrunkManner {
    fn from(manner: &domain::TrunkManner) -> Self {
        let shape = |shape: &Option<NumberShape>| {
            shape.as_ref().map_or_else(String::new, ToString::to_string)
        };
        Self {
            profile: manner.profile.clone(),
            weight: manner.weight,
            called: shape(&manner.called),
            shown: shape(&manner.shown),
            user_phone: manner.user_phone,
            identity: manner.identity,
            privacy: manner.privacy.into(),
            session_expires_seconds: manner.session_expires.map_or(0, |span| span.as_secs()),
            reliable: manner.reliable,
            redirects: manner.redirects,
            attestation: manner.security.attestation.into(),
        }
    }
}

/// How a trunk is to be used: only what is given changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrunkMannerPatch {
    /// Its share of the calls among trunks of its rank: 1 to 10000, 100 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// How called numbers are written (`+{e164}`, `1234{e164}`, `0{national:86}`, `{dialed:86}`); empty
    /// for `number_format`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// How caller IDs are written; the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// Whether URIs with a number say `user=phone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_phone: Option<bool>,
    /// The header beside From: `none`, `asserted` or `preferred`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub identity: Option<IdentityHeader>,
    /// The Privacy header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyHeader>,
    /// Session-Expires to ask for; 0 to ask for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_expires_seconds: Option<u64>,
    /// Whether reliable provisional responses (100rel) are offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliable: Option<bool>,
    /// `refuse` or `follow`: what is done about 3xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub redirects: Option<Redirects>,
    /// What is vouched for in the INVITEs' Identity header (STIR/SHAKEN); `none` for no such header.
    /// The node needs `[sip.stir]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<TrunkAttestation>,
}

/// `None` for a text that is no shape; the empty one is no shape of its own.
fn shape(text: &str) -> Result<Option<NumberShape>, domain::NumberShapeError> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some),
    }
}

impl TrunkMannerPatch {
    pub(super) fn check(&self, checks: &mut Checks) {
        if let Some(weight) = self.weight {
            checks.range("/manner/weight", weight, (1, limits::TRUNK_WEIGHT));
        }
        for (pointer, text) in [
            ("/manner/called", &self.called),
            ("/manner/shown", &self.shown),
        ] {
            if let Some(Err(error)) = text.as_deref().map(shape) {
                checks.require(false, pointer, || error.to_string());
            }
        }
        if let Some(seconds) = self.session_expires_seconds.filter(|seconds| *seconds > 0) {
            let (min, max) = (limits::SESSION_EXPIRES_MIN, limits::SESSION_EXPIRES_MAX);
            let range = (min.as_secs(), max.as_secs());
            checks.range("/manner/session_expires_seconds", seconds, range);
        }
    }

    /// Applies the changes. A text that is no shape changes nothing; it was refused before.
    pub fn apply(self, manner: &mut domain::TrunkManner) {
        manner.weight = self.weight.unwrap_or(manner.weight);
        if let Some(Ok(called)) = self.called.as_deref().map(shape) {
            manner.called = called;
        }
        if let Some(Ok(shown)) = self.shown.as_deref().map(shape) {
            manner.shown = shown;
        }
        manner.user_phone = self.user_phone.unwrap_or(manner.user_phone);
        manner.identity = self.identity.unwrap_or(manner.identity);
        manner.privacy = self.privacy.map_or(manner.privacy, Into::into);
        if let Some(seconds) = self.session_expires_seconds {
            manner.session_expires = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        manner.reliable = self.reliable.unwrap_or(manner.reliable);
        manner.redirects = self.redirects.unwrap_or(manner.redirects);
        if let Some(attestation) = self.attestation {
            manner.security.attestation = attestation.into();
        }
    }
}

/// The profile of that name; `generic` where none is named.
pub(super) fn profile(name: Option<&str>) -> Option<&'static TrunkProfile> {
    TrunkProfile::by_name(name.unwrap_or("generic"))
}

pub(super) fn check_profile(checks: &mut Checks, name: Option<&str>) {
    checks.require(profile(name).is_some(), "/profile", || {
        let names: Vec<&str> = domain::PROFILES.iter().map(|p| p.name).collect();
        format!("is not one of {}", names.join(", "))
    });
}
