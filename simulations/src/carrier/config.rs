//! What the phone network is told: trunks, people's habits, rules, files. TOML; unknown keys refused.

use super::fate::{Behaviour, Habits};
use crate::wire::digest::Algorithm;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Everything about a carrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CarrierConfig {
    /// What every draw follows from.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Realm in digest challenges.
    #[serde(default = "default_realm")]
    pub realm: String,
    /// Where the witness log (JSON lines) goes; none keeps no file.
    #[serde(default)]
    pub log: Option<PathBuf>,
    /// Line-JSON control on this TCP address; loopback only. None: no control.
    #[serde(default)]
    pub control: Option<SocketAddr>,
    /// Whether to open RTP for calls whose INVITE or ACK describes a session.
    #[serde(default = "yes")]
    pub media: bool,
    /// Milliseconds without one RTP packet from the caller after which the network ends an
    /// answered call; zero waits for ever. It is how a carrier sheds the calls of a dead dialer.
    #[serde(default = "default_media_timeout")]
    pub media_timeout_ms: u32,
    /// Minutes east of UTC: the hour of `answer_permille_by_hour` is counted there.
    #[serde(default)]
    pub utc_offset_minutes: i32,
    /// How people behave.
    #[serde(default)]
    pub habits: Habits,
    /// Numbers that do not follow the draw; the first match wins.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// SIP routes sold.
    pub trunks: Vec<TrunkConfig>,
}

/// A number, or a group of them, forced to one behaviour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Leading digits of the number, country code first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Trailing digits of the number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// What happens.
    pub behaviour: Behaviour,
    /// Only up to that attempt (from 1); none: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
}

impl Rule {
    /// Whether it holds for the number's digits at that attempt.
    pub fn matches(&self, digits: &str, attempt: u32) -> bool {
        digits.starts_with(&self.prefix)
            && digits.ends_with(&self.suffix)
            && self.attempts_max.is_none_or(|max| attempt <= max)
    }
}

/// One route: an address of ours, who may use it, and how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkConfig {
    /// Name in the log.
    pub name: String,
    /// UDP and TCP on this address; port 0 lets the system choose. Trunks that share an address
    /// are told apart by digest user name, so each of them needs `username`.
    pub listen: SocketAddr,
    /// Digest user name; none lets anyone in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Digest password.
    #[serde(default)]
    pub password: String,
    /// Hashes offered in challenges, best first.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Calls at a time; above it 503 and a violation in the log.
    #[serde(default = "default_channels")]
    pub channels: u32,
    /// New calls in any one second; above it (and a tenth and one more, for jitter on the way)
    /// 503 and a violation in the log.
    #[serde(default = "default_cps")]
    pub calls_per_second: u32,
    /// Numbers that may be shown on this trunk (digits); empty: any. Others are refused with 403 and
    /// a violation in the log.
    #[serde(default)]
    pub caller_ids: Vec<String>,
}

fn default_seed() -> u64 {
    1
}
const fn default_media_timeout() -> u32 {
    15_000
}
fn default_realm() -> String {
    "carrier.test".into()
}
fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Sha256, Algorithm::Md5]
}
fn default_channels() -> u32 {
    1_000
}
fn default_cps() -> u32 {
    1_000
}
fn yes() -> bool {
    true
}

/// A configuration cannot be used.
#[derive(Debug)]
pub struct ConfigError(String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl CarrierConfig {
    /// Reads and checks a TOML text.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|e| ConfigError(e.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// A lively network for demonstrations: three trunks on loopback, one a city, each with a
    /// digest user named after it; short rings and short talks.
    pub fn default_demo(seed: u64) -> Self {
        let trunk = |name: &str| TrunkConfig {
            username: Some(name.to_owned()),
            password: format!("{name}-{seed:x}"),
            channels: 200,
            calls_per_second: 50,
            ..TrunkConfig::open(name, ([127, 0, 0, 1], 0).into())
        };
        Self {
            habits: Habits::demo(),
            ..Self::new(
                seed,
                vec![trunk("beijing"), trunk("shanghai"), trunk("shenzhen")],
            )
        }
    }

    /// A carrier with these trunks and ordinary habits.
    pub fn new(seed: u64, trunks: Vec<TrunkConfig>) -> Self {
        Self {
            seed,
            realm: default_realm(),
            log: None,
            control: None,
            media: true,
            media_timeout_ms: default_media_timeout(),
            utc_offset_minutes: 0,
            habits: Habits::default(),
            rules: Vec::new(),
            trunks,
        }
    }

    /// What cannot be true at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError(text));
        if self.trunks.is_empty() {
            return fail(
                "trunks: empty; name at least one [[trunks]] with `name` and `listen`".into(),
            );
        }
        if let Some(address) = self.control
            && !address.ip().is_loopback()
        {
            return fail(format!(
                "control: {address} is not on loopback; it has no password"
            ));
        }
        for (i, trunk) in self.trunks.iter().enumerate() {
            if trunk.username.is_some() && trunk.algorithms.is_empty() {
                return fail(format!(
                    "trunks[{i}].algorithms: empty; name MD5 or SHA-256"
                ));
            }
            for (j, other) in self.trunks.iter().enumerate().take(i) {
                if other.name == trunk.name {
                    return fail(format!(
                        "trunks[{i}].name: {:?} is trunks[{j}]'s too",
                        trunk.name
                    ));
                }
                let shared = other.listen == trunk.listen && trunk.listen.port() != 0;
                if shared && (trunk.username.is_none() || trunk.username == other.username) {
                    return fail(format!(
                        "trunks[{i}].listen: shared with trunks[{j}], so each needs its own username"
                    ));
                }
            }
        }
        self.habits.check().map_err(ConfigError)
    }
}

impl TrunkConfig {
    /// A trunk that lets anyone in, with wide limits.
    pub fn open(name: &str, listen: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            listen,
            username: None,
            password: String::new(),
            algorithms: default_algorithms(),
            channels: default_channels(),
            calls_per_second: default_cps(),
            caller_ids: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_toml_and_names_what_is_wrong() {
        let text = r#"
            seed = 7
            [habits]
            talk_mean_ms = 4000
            [[rules]]
            suffix = "00"
            behaviour = "busy"
            [[rules]]
            prefix = "1415"
            behaviour = { status = 604 }
            [[trunks]]
            name = "a"
            listen = "127.0.0.1:5060"
            username = "u"
            algorithms = ["MD5"]
        "#;
        let config = CarrierConfig::from_toml(text).unwrap();
        assert_eq!(config.rules[1].behaviour, Behaviour::Status(604));
        assert!(config.rules[0].matches("8613800138000", 3));
        let back = toml::to_string(&config).unwrap();
        assert_eq!(CarrierConfig::from_toml(&back).unwrap(), config);

        let error = CarrierConfig::from_toml(&text.replace("seed", "sead"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("sead") && error.contains("seed"), "{error}");
        let error = CarrierConfig::from_toml("trunks = []")
            .unwrap_err()
            .to_string();
        assert!(error.contains("at least one"), "{error}");
        let mut shared = config.clone();
        shared
            .trunks
            .push(TrunkConfig::open("b", config.trunks[0].listen));
        assert!(
            shared
                .check()
                .unwrap_err()
                .to_string()
                .contains("own username")
        );
        let mut open = config;
        open.control = Some(([0, 0, 0, 0], 1).into());
        assert!(open.check().is_err());
    }

    #[test]
    fn the_demo_is_valid() {
        CarrierConfig::default_demo(3).check().unwrap();
    }
}
