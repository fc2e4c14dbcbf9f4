//! The one place that asks the kernel for randomness.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Secret;
use sansio::Seed;

/// The kernel gave no randomness: nothing that needs secrets can go on.
#[derive(Debug, thiserror::Error)]
#[error("the kernel gave no random bytes: {0}; keys and tokens cannot be made without them")]
pub struct EntropyError(getrandom::Error);

/// `N` random bytes.
///
/// # Errors
/// The kernel gave none.
pub fn bytes<const N: usize>() -> Result<[u8; N], EntropyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(EntropyError)?;
    Ok(bytes)
}

/// A seed for a core machine's named streams.
///
/// # Errors
/// The kernel gave none.
pub fn seed() -> Result<Seed, EntropyError> {
    bytes().map(Seed::new)
}

/// A secret text: `prefix`, then 256 random bits in base64url.
///
/// # Errors
/// The kernel gave none.
pub fn secret(prefix: &str) -> Result<Secret, EntropyError> {
    let bytes = bytes::<32>()?;
    Ok(Secret::new(format!(
        "{prefix}{}",
        URL_SAFE_NO_PAD.encode(bytes)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ_and_a_secret_has_its_prefix() {
        assert_ne!(bytes::<32>().unwrap(), bytes::<32>().unwrap());
        let secret = secret("dmat_").unwrap();
        assert!(secret.expose().starts_with("dmat_"));
        assert_eq!(secret.expose().len(), 5 + 43);
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }
}
