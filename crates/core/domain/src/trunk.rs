//! Trunks and caller IDs. A trunk belongs to one node's city; a caller ID to one trunk.

use crate::{MemberId, PhoneNumber, Secret, TrunkId};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, str::FromStr, time::Duration};

/// What carries SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SipTransport {
    /// RFC 3261 section 18, datagrams.
    Udp,
    /// RFC 3261 section 18.3, streams framed by Content-Length.
    Tcp,
    /// The same inside TLS (RFC 3261 section 26.3.1, RFC 5922).
    Tls,
}

/// A codec passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// G.711 mu-law, RTP payload type 0.
    Pcmu,
    /// G.711 A-law, RTP payload type 8.
    Pcma,
}

/// How a carrier wants numbers written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberFormat {
    /// `+14155550134`.
    PlusE164,
    /// `14155550134`.
    E164,
}

/// Credentials a carrier gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkAuth {
    /// Digest user name.
    pub username: String,
    /// Digest password.
    pub password: Secret,
}

/// A SIP route to the telephone network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    /// Its id.
    pub id: TrunkId,
    /// Unique in the mesh.
    pub name: String,
    /// The node whose city it belongs to.
    pub node: MemberId,
    /// Carries SIP.
    pub transport: SipTransport,
    /// The carrier's `address:port`, or its name with or without a port: see [`TrunkAddress`].
    pub address: String,
    /// The domain in request URIs; the address where empty.
    pub domain: String,
    /// Digest credentials; none where the carrier knows our address.
    pub auth: Option<TrunkAuth>,
    /// Whether to REGISTER.
    pub register: bool,
    /// Calls at a time, at most.
    pub channels: u32,
    /// New calls a second, at most.
    pub calls_per_second: u32,
    /// How numbers are written.
    pub number_format: NumberFormat,
    /// Codecs offered, in order.
    pub codecs: Vec<Codec>,
    /// How often OPTIONS asks whether it lives; zero for never.
    pub options_interval: Duration,
    /// Whether new calls may use it.
    pub enabled: bool,
    /// Lower goes first within a city.
    pub rank: u16,
}

/// Where a carrier is. Looking names up is the shell's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrunkAddress {
    /// At this address.
    At(SocketAddr),
    /// Where a name leads (RFC 3263): by NAPTR and SRV, or by its addresses alone where a port is
    /// given.
    Named {
        /// A domain name, in ASCII.
        host: String,
        /// The port.
        port: Option<u16>,
    },
}

/// A text that says nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is neither address:port nor a name; give 203.0.113.7:5060, carrier.example or carrier.example:5060"
)]
pub struct TrunkAddressError;

impl FromStr for TrunkAddress {
    type Err = TrunkAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(TrunkAddressError),
                _ => Ok(Self::At(address)),
            };
        }
        let (host, port) = match text.split_once(':') {
            None => (text, None),
            Some((host, port)) => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or(TrunkAddressError)?))
            }
        };
        let plain = |label: &str| {
            let ends = label.starts_with('-') || label.ends_with('-');
            let byte = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (1..=63).contains(&label.len()) && !ends && label.bytes().all(byte)
        };
        // An address without a port ends with digits, which no name does (RFC 3696 section 2).
        let last = host.rsplit('.').next().unwrap_or_default();
        let digits = last.bytes().all(|b| b.is_ascii_digit());
        match host.len() <= 253 && !digits && host.split('.').all(plain) {
            true => Ok(Self::Named {
                host: host.to_ascii_lowercase(),
                port,
            }),
            false => Err(TrunkAddressError),
        }
    }
}

/// One of the addresses that a carrier's name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrunkTarget {
    /// Lower goes first.
    pub priority: u16,
    /// Its share of the calls among targets of its priority.
    pub weight: u16,
    /// Where.
    pub address: SocketAddr,
}

/// How often a caller ID may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerIdCaps {
    /// Attempts in a day, at most.
    pub per_day: u32,
    /// Attempts in an hour, at most.
    pub per_hour: u32,
}

impl Default for CallerIdCaps {
    fn default() -> Self {
        Self {
            per_day: 75,
            per_hour: 20,
        }
    }
}

/// The number shown to the called party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerId {
    /// The number.
    pub number: PhoneNumber,
    /// The one trunk it leaves by.
    pub trunk: TrunkId,
    /// How often.
    pub caps: CallerIdCaps,
    /// Resting: not shown for now.
    pub resting: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_told_apart() {
        let named = |host: &str, port| TrunkAddress::Named {
            host: host.to_owned(),
            port,
        };
        for (text, expected) in [
            ("Carrier.example", named("carrier.example", None)),
            (
                "sip-1.carrier.example:5080",
                named("sip-1.carrier.example", Some(5080)),
            ),
            ("localhost", named("localhost", None)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["203.0.113.7:5060", "[2001:db8::7]:5061"] {
            let at = text.parse().map(TrunkAddress::At).expect("an address");
            assert_eq!(text.parse(), Ok(at));
        }
        let long = format!("{}.example", "a".repeat(64));
        let longer = vec!["a".repeat(63); 4].join(".");
        for text in [
            "",
            ":5060",
            "203.0.113.7",
            "203.0.113.7:0",
            "203.0.113.7:65536",
            "a.example:",
            "a.example:0",
            "a.example:x",
            "2001:db8::7",
            "a..example",
            ".example",
            "-a.example",
            "a-.example",
            "a b.example",
            "a@b.example",
            "sip:a.example",
            "\u{e4}.example",
            "a.example.\r\n",
            &long,
            &longer,
        ] {
            assert_eq!(
                text.parse::<TrunkAddress>(),
                Err(TrunkAddressError),
                "{text:?}"
            );
        }
    }
}
