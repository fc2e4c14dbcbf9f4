//! Secured media: with whom keys are exchanged, and what the relay is told of a leg's session.

use crate::Engine;
use domain::{LegId, SipTransport, SrtpKeys, SrtpPolicy, Trunk};
use media::MediaCommand;
use sip::sdp::{Agreed, LocalCrypto};
use std::collections::BTreeMap;

/// Whose media a node secures (SRTP with keys in session descriptions, RFC 4568).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SrtpConfig {
    /// Agents' phones.
    pub phones: SrtpPolicy,
    /// Carriers, by their trunk's name; those that are not named are plain.
    pub trunks: BTreeMap<String, SrtpPolicy>,
}

impl SrtpConfig {
    /// A trunk's policy.
    pub fn of(&self, trunk: &Trunk) -> SrtpPolicy {
        self.trunks.get(&trunk.name).copied().unwrap_or_default()
    }
}

/// Secured media is required of a peer whose signalling would show the keys to everybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotTls;

impl NotTls {
    /// As the peer is told.
    pub(crate) const WHY: &str = "SRTP is required, and keys are exchanged by TLS only";
}

impl Engine {
    /// New keys for a session with a peer; none where its media is plain.
    ///
    /// # Errors
    /// It must be secured, and its signalling is not TLS.
    pub(crate) fn session_keys(
        &mut self,
        policy: SrtpPolicy,
        transport: SipTransport,
    ) -> Result<Option<LocalCrypto>, NotTls> {
        match (policy, transport) {
            (_, SipTransport::Tls) => {
                let draws = &mut self.key_draws;
                Ok(LocalCrypto::draw(policy, |bytes| draws.fill(bytes)))
            }
            (SrtpPolicy::Required, _) => Err(NotTls),
            (SrtpPolicy::Off | SrtpPolicy::Offered, _) => Ok(None),
        }
    }

    /// Tells the relay a leg's keys where they are others than it knows: before it is told the peer.
    fn secure_leg(&mut self, leg: LegId, keys: Option<SrtpKeys>) {
        let before = match keys {
            Some(keys) => self.secured.insert(leg, keys),
            None => self.secured.remove(&leg),
        };
        if before != keys {
            self.media(MediaCommand::Secure { leg, keys });
        }
    }

    /// Tells the relay a leg's peer as its session agreed on it.
    pub(crate) fn set_remote(&mut self, leg: LegId, agreed: &Agreed, symmetric: bool) {
        self.secure_leg(leg, agreed.crypto);
        let mut rtcp = agreed.remote;
        rtcp.set_port(agreed.remote.port().saturating_add(1));
        self.legs.set_codec(leg, agreed.codec);
        self.media(MediaCommand::SetRemote {
            leg,
            addr: agreed.remote,
            rtcp: Some(rtcp),
            codec: agreed.codec,
            telephone_event: agreed.dtmf_payload,
            send: agreed.direction.sends() && !agreed.remote.ip().is_unspecified(),
            symmetric,
        });
    }
}
