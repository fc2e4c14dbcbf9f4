//! Trunks and caller IDs.

use super::{
    Checks, Timestamp, TrunkManner, TrunkMannerPatch, TrunkState, Validate,
    trunk_manner::{check_profile, profile},
};
use crate::{limits::CALLER_IDS, problem::FieldError};
use domain::{
    CallerIdCaps, Codec, MemberId, NumberFormat, PhoneNumber, Secret, SipTransport, TrunkAddress,
    TrunkAddressError, TrunkId, status::TrunkHealth,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Credentials a carrier gave. The password is never given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrunkAuthRequest {
    /// Digest user name.
    pub username: String,
    /// Digest password.
    #[schema(value_type = String, write_only)]
    pub password: Secret,
}

/// Credentials as they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrunkAuth {
    /// Digest user name.
    pub username: String,
}

/// A new trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrunkRequest {
    /// Unique in the mesh.
    pub name: String,
    /// The node whose city it belongs to.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// `udp` or `tcp`.
    #[serde(default = "udp")]
    #[schema(value_type = String, example = "udp")]
    pub transport: SipTransport,
    /// The carrier's `address:port`; or its name, which is looked up by NAPTR and SRV (RFC 3263), with a
    /// port by its addresses alone.
    #[schema(example = "203.0.113.7:5060")]
    pub address: String,
    /// The domain in request URIs; the address when empty.
    #[serde(default)]
    pub domain: String,
    /// Digest credentials.
    #[serde(default)]
    pub auth: Option<TrunkAuthRequest>,
    /// Whether to REGISTER.
    #[serde(default)]
    pub register: bool,
    /// Calls at a time, at most.
    #[serde(default = "channels")]
    pub channels: u32,
    /// New calls a second, at most; as the profile says when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_second: Option<u32>,
    /// `plus_e164` or `e164`; as the profile says when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "plus_e164")]
    pub number_format: Option<NumberFormat>,
    /// Codecs offered, in order: `pcmu`, `pcma`; as the profile says when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub codecs: Option<Vec<Codec>>,
    /// How often OPTIONS asks whether it lives; 0 for never; as the profile says when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options_interval_seconds: Option<u64>,
    /// Lower goes first within a city.
    #[serde(default)]
    pub rank: u16,
    /// What fills in the rest: `generic`, `china-ims`, `twilio`, `telnyx`, `bandwidth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How it is used, where that is not as the profile says.
    #[serde(default)]
    pub manner: TrunkMannerPatch,
}

const fn udp() -> SipTransport {
    SipTransport::Udp
}
const fn channels() -> u32 {
    30
}

fn check_address(checks: &mut Checks, address: &str) {
    let parsed = address.parse::<TrunkAddress>();
    checks.require(parsed.is_ok(), "/address", || {
        let shown: String = address.chars().take(64).collect();
        format!("{shown:?} {TrunkAddressError}")
    });
}

fn check_auth(checks: &mut Checks, auth: Option<&TrunkAuthRequest>) {
    if let Some(auth) = auth {
        checks.name("/auth/username", &auth.username);
        let len = auth.password.expose().len();
        checks.range("/auth/password", len, (1, domain::limits::NAME_BYTES));
    }
}

impl Validate for TrunkRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        check_address(&mut checks, &self.address);
        check_auth(&mut checks, self.auth.as_ref());
        checks.range("/channels", self.channels, (1, 100_000));
        if let Some(rate) = self.calls_per_second {
            checks.range("/calls_per_second", rate, (1, 10_000));
        }
        if let Some(codecs) = &self.codecs {
            checks.range("/codecs", codecs.len(), (1, 2));
        }
        if let Some(seconds) = self.options_interval_seconds {
            checks.range("/options_interval_seconds", seconds, (0, 3_600));
        }
        check_profile(&mut checks, self.profile.as_deref());
        self.manner.check(&mut checks);
        checks.require(!self.register || self.auth.is_some(), "/register", || {
            "is true without auth; REGISTER needs credentials".to_owned()
        });
        checks.done()
    }
}

impl TrunkRequest {
    /// The trunk and how it is used, as the directory keeps them, enabled. None for a profile that
    /// there is not; [`Validate::validate`] says so before.
    pub fn into_domain(self, id: TrunkId) -> Option<(domain::Trunk, domain::TrunkManner)> {
        let named = self.profile.is_some();
        let profile = profile(self.profile.as_deref())?;
        let mut manner = profile.manner().ok()?;
        if !named {
            manner.profile = String::new();
        }
        if self.number_format.is_some() {
            (manner.called, manner.shown) = (None, None);
        }
        self.manner.apply(&mut manner);
        let interval = self.options_interval_seconds.map(Duration::from_secs);
        let trunk = domain::Trunk {
            id,
            name: self.name.trim().to_owned(),
            node: self.node,
            transport: self.transport,
            address: self.address,
            domain: self.domain,
            auth: self.auth.map(Into::into),
            register: self.register,
            channels: self.channels,
            calls_per_second: self.calls_per_second.unwrap_or(profile.calls_per_second),
            number_format: self.number_format.unwrap_or(profile.number_format),
            codecs: self.codecs.unwrap_or_else(|| profile.codecs.to_vec()),
            options_interval: interval.unwrap_or(profile.options_interval),
            enabled: true,
            rank: self.rank,
        };
        Some((trunk, manner))
    }
}

impl From<TrunkAuthRequest> for domain::TrunkAuth {
    fn from(auth: TrunkAuthRequest) -> Self {
        Self {
            username: auth.username,
            password: auth.password,
        }
    }
}

/// A trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trunk {
    /// Its id.
    #[schema(value_type = String, example = "trunk_00000001")]
    pub id: TrunkId,
    /// Unique in the mesh.
    pub name: String,
    /// The node whose city it belongs to.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// `udp` or `tcp`.
    #[schema(value_type = String)]
    pub transport: SipTransport,
    /// The carrier's `address:port`, or its name.
    pub address: String,
    /// The domain in request URIs; the address when empty.
    pub domain: String,
    /// Credentials, without the password.
    #[serde(default)]
    pub auth: Option<TrunkAuth>,
    /// Whether it REGISTERs.
    pub register: bool,
    /// Calls at a time, at most.
    pub channels: u32,
    /// New calls a second, at most.
    pub calls_per_second: u32,
    /// `plus_e164` or `e164`.
    #[schema(value_type = String)]
    pub number_format: NumberFormat,
    /// Codecs offered, in order.
    #[schema(value_type = Vec<String>)]
    pub codecs: Vec<Codec>,
    /// How often OPTIONS asks whether it lives; 0 for never.
    pub options_interval_seconds: u64,
    /// Whether new calls may use it.
    pub enabled: bool,
    /// Lower goes first within a city.
    pub rank: u16,
    /// How it is used.
    pub manner: TrunkManner,
    /// How it stands.
    pub state: TrunkState,
    /// Why it takes no new calls: `unusable`, `no_options`, `unregistered`, `retry_after`, `errors`,
    /// `silent`, `unreachable`, `few_answers` or `unresolved`.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Since when it is up or down, by its node.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Its calls that failed on the carrier's side and were tried at another address or on another
    /// trunk, since its node started.
    #[serde(default)]
    pub failed_over: u64,
}

impl Trunk {
    /// A trunk of which its node has said nothing.
    pub fn new(trunk: &domain::Trunk, manner: &domain::TrunkManner) -> Self {
        Self {
            id: trunk.id,
            name: trunk.name.clone(),
            node: trunk.node,
            transport: trunk.transport,
            address: trunk.address.clone(),
            domain: trunk.domain.clone(),
            auth: trunk.auth.as_ref().map(|auth| TrunkAuth {
                username: auth.username.clone(),
            }),
            register: trunk.register,
            channels: trunk.channels,
            calls_per_second: trunk.calls_per_second,
            number_format: trunk.number_format,
            codecs: trunk.codecs.clone(),
            options_interval_seconds: trunk.options_interval.as_secs(),
            enabled: trunk.enabled,
            rank: trunk.rank,
            manner: manner.into(),
            state: TrunkState::Unknown,
            trouble: None,
            since: None,
            failed_over: 0,
        }
    }

    /// The same with what its node says of it.
    #[must_use]
    pub fn with_health(self, state: TrunkState, health: Option<&TrunkHealth>) -> Self {
        let trouble = health.and_then(|health| health.trouble);
        Self {
            state,
            trouble: trouble.map(|trouble| trouble.name().to_owned()),
            since: health.map(|health| health.since.into()),
            failed_over: health.map_or(0, |health| health.failed_over),
            ..self
        }
    }
}

/// Changes of a trunk: only what is given changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrunkPatch {
    /// Whether new calls may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The carrier's `address:port`, or its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// New credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<TrunkAuthRequest>,
    /// Calls at a time, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// New calls a second, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_second: Option<u32>,
    /// Lower goes first within a city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u16>,
    /// How it is used.
    #[serde(default)]
    pub manner: TrunkMannerPatch,
}

impl Validate for TrunkPatch {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        if let Some(address) = &self.address {
            check_address(&mut checks, address);
        }
        check_auth(&mut checks, self.auth.as_ref());
        if let Some(channels) = self.channels {
            checks.range("/channels", channels, (1, 100_000));
        }
        if let Some(rate) = self.calls_per_second {
            checks.range("/calls_per_second", rate, (1, 10_000));
        }
        self.manner.check(&mut checks);
        checks.done()
    }
}

impl TrunkPatch {
    /// Applies the changes.
    pub fn apply(self, trunk: &mut domain::Trunk, manner: &mut domain::TrunkManner) {
        self.manner.apply(manner);
        trunk.enabled = self.enabled.unwrap_or(trunk.enabled);
        trunk.channels = self.channels.unwrap_or(trunk.channels);
        trunk.calls_per_second = self.calls_per_second.unwrap_or(trunk.calls_per_second);
        trunk.rank = self.rank.unwrap_or(trunk.rank);
        if let Some(address) = self.address {
            trunk.address = address;
        }
        if let Some(auth) = self.auth {
            trunk.auth = Some(auth.into());
        }
    }
}

/// One caller ID to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdRequest {
    /// E.164.
    pub number: String,
    /// The one trunk it leaves by.
    #[schema(value_type = String)]
    pub trunk: TrunkId,
    /// Attempts in a day, at most.
    #[serde(default = "per_day")]
    pub per_day: u32,
    /// Attempts in an hour, at most.
    #[serde(default = "per_hour")]
    pub per_hour: u32,
}

fn per_day() -> u32 {
    CallerIdCaps::default().per_day
}
fn per_hour() -> u32 {
    CallerIdCaps::default().per_hour
}

/// Caller IDs to add, all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdsRequest {
    /// At most 1000.
    pub caller_ids: Vec<CallerIdRequest>,
}

impl Validate for CallerIdsRequest {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.range("/caller_ids", self.caller_ids.len(), (1, CALLER_IDS));
        for (at, caller_id) in self.caller_ids.iter().enumerate().take(CALLER_IDS) {
            checks.number(&format!("/caller_ids/{at}/number"), &caller_id.number);
            let pointer = format!("/caller_ids/{at}/per_day");
            checks.range(&pointer, caller_id.per_day, (1, 1_000_000));
            let pointer = format!("/caller_ids/{at}/per_hour");
            checks.range(&pointer, caller_id.per_hour, (1, 1_000_000));
        }
        checks.done()
    }
}

impl CallerIdRequest {
    /// As the directory keeps it.
    ///
    /// # Errors
    /// The number is not E.164; [`Validate::validate`] says so before.
    pub fn to_domain(&self) -> Result<domain::CallerId, domain::phone::PhoneNumberError> {
        Ok(domain::CallerId {
            number: self.number.parse()?,
            trunk: self.trunk,
            caps: CallerIdCaps {
                per_day: self.per_day,
                per_hour: self.per_hour,
            },
            resting: false,
        })
    }
}

/// What became of the caller IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallerIdsAdded {
    /// New ones.
    pub added: usize,
    /// Those that were there; their caps and trunk are as in the request now.
    pub updated: usize,
}

/// A caller ID. It is the operator's own number and is shown whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallerId {
    /// E.164.
    pub number: String,
    /// The one trunk it leaves by.
    #[schema(value_type = String)]
    pub trunk: TrunkId,
    /// Attempts in a day, at most.
    pub per_day: u32,
    /// Attempts in an hour, at most.
    pub per_hour: u32,
    /// Not shown for now.
    pub resting: bool,
}

impl From<&domain::CallerId> for CallerId {
    fn from(caller_id: &domain::CallerId) -> Self {
        Self {
            number: PhoneNumber::reveal(caller_id.number),
            trunk: caller_id.trunk,
            per_day: caller_id.caps.per_day,
            per_hour: caller_id.caps.per_hour,
            resting: caller_id.resting,
        }
    }
}

/// Changes of a caller ID: only what is given changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerIdPatch {
    /// Do not show it for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resting: Option<bool>,
    /// Attempts in a day, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
    /// Attempts in an hour, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u32>,
}

impl Validate for CallerIdPatch {
    fn validate(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        for (pointer, value) in [("/per_day", self.per_day), ("/per_hour", self.per_hour)] {
            if let Some(value) = value {
                checks.range(pointer, value, (1, 1_000_000));
            }
        }
        checks.done()
    }
}
