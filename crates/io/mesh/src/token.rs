//! Join tokens: `dmj1.<hash of the CA's key>.<id>.<secret>`.
//!
//! The hash lets the joining node know the mesh before it says anything secret; the id lets the
//! coordinator find the token; the secret proves that the operator gave it.

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Secret;
use std::{fmt, str::FromStr};

const PREFIX: &str = "dmj1";
const HASH_BYTES: usize = 32;
const ID_BYTES: usize = 9;
const SECRET_BYTES: usize = 32;

/// A text is not a join token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin with the version.
    #[error(
        "a join token begins with \"dmj1.\"; this text does not. Copy the whole line that \
         `dialmesh token create` printed"
    )]
    Prefix,
    /// It has more or fewer parts.
    #[error(
        "a join token has four parts joined by dots, this one has {found}; it was cut when copied: \
         copy it again, or make a new one with `dialmesh token create`"
    )]
    Parts {
        /// How many it has.
        found: usize,
    },
    /// One part has the wrong length or characters.
    #[error(
        "the {part} of the join token is damaged ({expected} URL-safe base64 characters expected, \
         {found} characters found); copy it again, or make a new one with `dialmesh token create`"
    )]
    Part {
        /// Which part.
        part: &'static str,
        /// Its length in characters.
        expected: usize,
        /// The length found.
        found: usize,
    },
}

/// A join token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    ca_key_hash: [u8; HASH_BYTES],
    id: String,
    secret: Secret,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl JoinToken {
    /// A new token for the mesh whose CA key has that hash, with 32 random bytes as its secret.
    /// The coordinator keeps its [`JoinToken::id`] and [`JoinToken::secret_hash`] and shows
    /// [`JoinToken::reveal`] once.
    pub fn generate(ca_key_hash: [u8; 32]) -> Self {
        let mut id = [0; ID_BYTES];
        let mut secret = [0; SECRET_BYTES];
        rand::fill(&mut id).expect("the operating system always has entropy once booted");
        rand::fill(&mut secret).expect("the operating system always has entropy once booted");
        Self {
            ca_key_hash,
            id: URL_SAFE_NO_PAD.encode(id),
            secret: Secret::new(URL_SAFE_NO_PAD.encode(secret)),
        }
    }

    /// SHA-256 of the CA's public key (SubjectPublicKeyInfo, DER).
    pub fn ca_key_hash(&self) -> &[u8; 32] {
        &self.ca_key_hash
    }

    /// By which the coordinator finds it. Not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What proves it.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// What the coordinator keeps instead of the secret; see [`secret_matches`].
    pub fn secret_hash(&self) -> [u8; 32] {
        hash_secret(&self.secret)
    }

    /// The whole token as text, secret included: for the operator's eyes, once.
    pub fn reveal(&self) -> String {
        let hash = URL_SAFE_NO_PAD.encode(self.ca_key_hash);
        format!("{PREFIX}.{hash}.{}.{}", self.id, self.secret.expose())
    }
}

fn hash_secret(secret: &Secret) -> [u8; 32] {
    digest::digest(&digest::SHA256, secret.expose().as_bytes())
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// Whether `presented` is the secret whose [`JoinToken::secret_hash`] was kept. Takes the same
/// time wherever they differ.
pub fn secret_matches(presented: &Secret, kept_hash: &[u8; 32]) -> bool {
    constant_time::verify_slices_are_equal(&hash_secret(presented), kept_hash).is_ok()
}

fn part(name: &'static str, text: &str, bytes: usize) -> Result<Vec<u8>, TokenError> {
    let expected = (bytes * 8).div_ceil(6);
    URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .filter(|decoded| decoded.len() == bytes)
        .ok_or(TokenError::Part {
            part: name,
            expected,
            found: text.chars().count(),
        })
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        if parts[0] != PREFIX {
            return Err(TokenError::Prefix);
        }
        let [_, hash, id, secret] = parts[..] else {
            return Err(TokenError::Parts { found: parts.len() });
        };
        let ca_key_hash = part("hash of the CA key", hash, HASH_BYTES)?
            .try_into()
            .expect("the length was checked");
        part("id", id, ID_BYTES)?;
        part("secret", secret, SECRET_BYTES)?;
        Ok(Self {
            ca_key_hash,
            id: id.into(),
            secret: Secret::new(secret),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip_and_secrets_are_compared() {
        let token = JoinToken::generate([7; 32]);
        let text = token.reveal();
        assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(token.secret.expose()));
        assert!(secret_matches(token.secret(), &token.secret_hash()));
        assert!(!secret_matches(&Secret::new("other"), &token.secret_hash()));
        assert_ne!(JoinToken::generate([7; 32]), token);
    }

    #[test]
    fn errors_name_the_part_and_the_remedy() {
        let text = JoinToken::generate([7; 32]).reveal();
        let parts: Vec<&str> = text.split('.').collect();
        let wrong = |text: String| text.parse::<JoinToken>().unwrap_err().to_string();
        assert!(wrong("kubeadm.abc".into()).contains("dmj1."));
        assert!(wrong(parts[..3].join(".")).contains("four parts"));
        let [p, h, i, s] = parts[..] else { panic!() };
        assert!(wrong(format!("{p}.{}.{i}.{s}", &h[1..])).contains("hash of the CA key"));
        assert!(wrong(format!("{p}.{h}.!{}.{s}", &i[1..])).contains("the id of"));
        let cut = wrong(format!("{p}.{h}.{i}.{}", &s[..40]));
        assert!(
            cut.contains("the secret") && cut.contains("token create"),
            "{cut}"
        );
    }
}
