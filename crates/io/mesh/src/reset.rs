//! How a member that was restarted tells its peers that the links of its last process are gone.

use crate::{files::write_private, identity::IdentityError};
use aws_lc_rs::{hmac, rand};
use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;
use std::{fmt, fs, io, path::Path, sync::Arc};

const FILE: &str = "reset.key";
const MAC_BYTES: usize = 64;
const BYTES: usize = MAC_BYTES + 8;

/// What a member answers packets of forgotten connections with: stateless resets (RFC 9000, section
/// 10.3). Kept beside its identity, so that the next process of the member, at the same address, ends
/// the connections of one that was killed as soon as a packet on them comes, and nobody waits for
/// their silence to be noticed. It outlives certificates: one renewed meanwhile changes nothing.
#[derive(Clone)]
pub struct ResetKey([u8; BYTES]);

impl fmt::Debug for ResetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetKey([redacted])")
    }
}

impl ResetKey {
    /// A key that no other process knows.
    pub fn random() -> Self {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).expect("the operating system always has entropy once booted");
        Self(bytes)
    }

    /// The key kept in `dir` as `reset.key`, or a new one, kept there; mode 0600.
    ///
    /// # Errors
    /// A file that cannot be read or written, or has another length than 72 bytes.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(FILE);
        let failed = |source| IdentityError::Io {
            path: path.clone(),
            source,
        };
        match fs::read(&path) {
            Ok(bytes) => {
                let found = bytes.len();
                let wrong = |_| IdentityError::Malformed {
                    what: "reset key",
                    why: format!(
                        "{} has {found} bytes, not {BYTES}; remove it, a new one is made at the next start",
                        path.display()
                    ),
                };
                bytes.try_into().map(Self).map_err(wrong)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let key = Self::random();
                write_private(&path, &key.0).map_err(failed)?;
                Ok(key)
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Connection IDs that the next process knows for this member's, and tokens that it can repeat.
    pub(crate) fn endpoint_config(&self) -> EndpointConfig {
        let (mac, ids) = self.0.split_at(MAC_BYTES);
        let ids = u64::from_be_bytes(ids.try_into().expect("eight bytes are left"));
        let mac = hmac::Key::new(hmac::HMAC_SHA256, mac);
        let mut config = EndpointConfig::new(Arc::new(mac));
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let made = ResetKey::load_or_create(dir.path()).unwrap();
        let read = ResetKey::load_or_create(dir.path()).unwrap();
        assert_eq!(made.0, read.0);
        assert_ne!(made.0, ResetKey::random().0);
        let path = dir.path().join(FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        let error = ResetKey::load_or_create(dir.path()).unwrap_err();
        assert!(error.to_string().contains("has 5 bytes, not 72"), "{error}");
    }
}
