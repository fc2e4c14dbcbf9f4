//! Secured media as its negotiation has it: suites and keys of SRTP (RFC 3711, RFC 4568, RFC 7714), and
//! whether a peer's media is secured. What they do to a packet is `media`'s.

use serde::Deserialize;
use std::fmt;

/// How packets are encrypted and authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SrtpSuite {
    /// AES-128 in counter mode, HMAC-SHA1 of 80 bits (RFC 4568 section 6.2.1): every phone has it.
    AesCm128Sha1_80,
    /// The same with a tag of 32 bits on RTP; RTCP keeps 80 (section 6.2.2).
    AesCm128Sha1_32,
    /// AES-128-GCM (RFC 7714).
    AeadAes128Gcm,
    /// AES-256-GCM (RFC 7714).
    AeadAes256Gcm,
}

impl SrtpSuite {
    /// All, as we prefer them: what everybody has first, the short tag last.
    pub const ALL: [Self; 4] = [
        Self::AesCm128Sha1_80,
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm128Sha1_32,
    ];

    /// Its name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a name in `a=crypto`; names are told apart by case (RFC 4568 section 9.1).
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Bytes of its master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of its master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }
}

/// The longest key with its salt.
const LONGEST: usize = 44;

/// A master key and its salt, of one direction. It shows itself to nobody: `Debug` has the suite only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SrtpKey {
    suite: SrtpSuite,
    bytes: [u8; LONGEST],
}

impl SrtpKey {
    /// Takes key and salt, one behind the other; none where that is not the suite's length.
    pub fn new(suite: SrtpSuite, key_and_salt: &[u8]) -> Option<Self> {
        let len = suite.key_len() + suite.salt_len();
        let mut bytes = [0; LONGEST];
        (key_and_salt.len() == len).then(|| bytes[..len].copy_from_slice(key_and_salt))?;
        Some(Self { suite, bytes })
    }

    /// Lets `draw` fill a new key: from a named random stream of the caller's.
    pub fn draw(suite: SrtpSuite, draw: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = [0; LONGEST];
        draw(&mut bytes[..suite.key_len() + suite.salt_len()]);
        Self { suite, bytes }
    }

    /// Its suite.
    pub const fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// Key and salt, one behind the other, as `a=crypto` has them. Grep for this name to see who uses
    /// keys.
    pub fn expose(&self) -> &[u8] {
        &self.bytes[..self.suite.key_len() + self.suite.salt_len()]
    }

    /// The master key.
    pub fn expose_key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_len()]
    }

    /// The master salt.
    pub fn expose_salt(&self) -> &[u8] {
        &self.expose()[self.suite.key_len()..]
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SrtpKey({}, [redacted])", self.suite.name())
    }
}

/// The keys of one session: each side tells the other what it sends with. Both are of one suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SrtpKeys {
    /// What we send with.
    pub send: SrtpKey,
    /// What the peer sends with.
    pub receive: SrtpKey,
}

/// Whether a peer's media is secured. Keys stand in session descriptions, so they are only ever
/// given to, and taken from, a peer whose signalling is TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SrtpPolicy {
    /// Never.
    #[default]
    Off,
    /// Where the peer has it; plain media otherwise.
    Offered,
    /// Always: no call without it.
    Required,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_names_and_lengths() {
        for suite in SrtpSuite::ALL {
            assert_eq!(SrtpSuite::of(suite.name()), Some(suite));
            let len = suite.key_len() + suite.salt_len();
            assert!(len <= LONGEST);
            assert!(SrtpKey::new(suite, &vec![1; len - 1]).is_none());
            assert!(SrtpKey::new(suite, &vec![1; len + 1]).is_none());
            let key = SrtpKey::new(suite, &vec![7; len]).unwrap();
            assert_eq!(key.expose_key().len(), suite.key_len());
            assert_eq!(key.expose_salt().len(), suite.salt_len());
            assert_eq!(key, SrtpKey::draw(suite, |bytes| bytes.fill(7)));
        }
        assert_eq!(SrtpSuite::of("aes_cm_128_hmac_sha1_80"), None);
        assert_eq!(SrtpSuite::of("F8_128_HMAC_SHA1_80"), None);
    }

    #[test]
    fn a_key_shows_itself_to_nobody() {
        let send = SrtpKey::new(SrtpSuite::AesCm128Sha1_80, &[0xab; 30]).unwrap();
        let keys = SrtpKeys {
            send,
            receive: send,
        };
        let said = format!("{keys:?} {keys:#?}");
        assert!(said.contains("[redacted]"));
        for trace in ["171", "ab", "AB"] {
            assert!(!said.contains(trace), "{said}");
        }
    }
}
