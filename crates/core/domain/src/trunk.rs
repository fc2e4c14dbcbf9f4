//! Trunks and caller IDs. A trunk belongs to one node's city; a caller ID to one trunk.

use crate::{MemberId, PhoneNumber, Secret, TrunkId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// The carrier's `address:port`. An IP address: name lookup is the shell's business.
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
