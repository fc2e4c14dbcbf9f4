//! The key that calls are signed with (STIR/SHAKEN), from an operator's files.

use crate::tls::{TlsError, certificates, malformed, read};
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use domain::WallTime;
use metrics::{Counter, counter, describe_counter};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sip::passport::{CertificateUrl, CertificateUrlError, SIGNATURE_BYTES, Signer, Voucher};
use std::{
    fmt,
    path::{Path, PathBuf},
};
use x509_parser::{oid_registry::Oid, parse_x509_certificate};

/// The extension that says for which numbers a certificate speaks (RFC 8226 section 9):
/// 1.3.6.1.5.5.7.1.26.
const TN_AUTHORIZATION_LIST: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 26];

/// Certificate and key as files in PEM, and where the certificate is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StirFiles {
    /// The chain, the certificate that signs first.
    pub certificate: PathBuf,
    /// Its private key, ECDSA on P-256: PKCS#8 or SEC1.
    pub key: PathBuf,
    /// Where verifiers fetch the same chain (`x5u`).
    pub x5u: String,
}

/// Why calls cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum StirError {
    /// A file cannot be read or holds no such thing.
    #[error(transparent)]
    File(#[from] TlsError),
    /// The address of the certificate is none.
    #[error("x5u {0}")]
    Url(#[from] CertificateUrlError),
    /// The key is of another kind.
    #[error("{} is no ECDSA key on P-256; SHAKEN signs with ES256 alone: openssl ecparam -name prime256v1 -genkey", .0.display())]
    Key(PathBuf),
    /// The certificate cannot be understood.
    #[error("{} is no X.509 certificate: {why}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Verifiers would find another key.
    #[error("{} is of another key than {}", certificate.display(), key.display())]
    Apart {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// It is over or not yet valid.
    #[error("{} is not valid now, but {from} to {until}; get a new one and restart the node", path.display())]
    NotValid {
        /// The certificate.
        path: PathBuf,
        /// From when.
        from: WallTime,
        /// Until when.
        until: WallTime,
    },
}

/// Reads the files and makes what calls are vouched for with. `origin` names who puts calls into the
/// network (a node): its hash with the certificate becomes the claim `origid`.
///
/// # Errors
/// When a file cannot be read or used, the certificate is of another key or not valid at `now`; the
/// error names it.
pub fn load_voucher(files: &StirFiles, origin: &str, now: WallTime) -> Result<Voucher, StirError> {
    let url: CertificateUrl = files.x5u.parse()?;
    let chain = certificates(&files.certificate)?;
    let leaf = &chain[0];
    let key = private_key(&files.key)?;
    let (from, until) = judge(&files.certificate, leaf, &key, &files.key)?;
    if now < from || now >= until {
        return Err(StirError::NotValid {
            path: files.certificate.clone(),
            from,
            until,
        });
    }
    let hash = digest(&SHA256, &[leaf.as_ref(), origin.as_bytes()].concat());
    let mut origination = [0; 16];
    origination.copy_from_slice(&hash.as_ref()[..16]);
    describe_counter!(
        "dialmesh_stir_signatures_total",
        "INVITEs that a trunk wants signed, by what became of it"
    );
    let counted = |result| counter!("dialmesh_stir_signatures_total", "result" => result);
    let signer = Key {
        pair: key,
        random: SystemRandom::new(),
        valid: (from, until),
        signed: counted("signed"),
        refused: counted("refused"),
    };
    Ok(Voucher::new(url, origination, Box::new(signer)))
}

fn private_key(path: &Path) -> Result<EcdsaKeyPair, StirError> {
    let bytes = read(path)?;
    let der = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| malformed(path, "a private key", &error))?;
    let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = match &der {
        PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(alg, der.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Sec1(der) => {
            EcdsaKeyPair::from_private_key_der(alg, der.secret_sec1_der()).ok()
        }
        _ => None,
    };
    pair.ok_or_else(|| StirError::Key(path.to_owned()))
}

/// From when to when a certificate is valid, if it is of that key.
fn judge(
    path: &Path,
    leaf: &CertificateDer<'_>,
    key: &EcdsaKeyPair,
    key_path: &Path,
) -> Result<(WallTime, WallTime), StirError> {
    let (_, certificate) =
        parse_x509_certificate(leaf).map_err(|error| StirError::Certificate {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
    if *certificate.public_key().subject_public_key.data != *key.public_key().as_ref() {
        return Err(StirError::Apart {
            certificate: path.to_owned(),
            key: key_path.to_owned(),
        });
    }
    let list = Oid::from(TN_AUTHORIZATION_LIST).ok();
    let speaks = (certificate.extensions().iter()).any(|e| Some(&e.oid) == list.as_ref());
    if !speaks {
        tracing::warn!(
            certificate = %path.display(),
            "the certificate that signs calls has no TNAuthList (RFC 8226): verifiers will not take what it signs"
        );
    }
    let at = |time: x509_parser::time::ASN1Time| {
        WallTime::from_millis(time.timestamp().saturating_mul(1000))
    };
    let validity = certificate.validity();
    Ok((at(validity.not_before), at(validity.not_after)))
}

/// The same text gets another signature each time.
struct Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    /// From and until.
    valid: (WallTime, WallTime),
    signed: Counter,
    refused: Counter,
}

impl fmt::Debug for Key {
    /// No key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("valid", &self.valid)
            .finish_non_exhaustive()
    }
}

impl Signer for Key {
    fn sign(&self, now: WallTime, text: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
        let valid = (self.valid.0..self.valid.1).contains(&now);
        let signature = match valid {
            true => self.pair.sign(&self.random, text).ok(),
            false => None,
        };
        let bytes = signature.and_then(|signature| signature.as_ref().try_into().ok());
        match bytes {
            Some(_) => self.signed.increment(1),
            None => self.refused.increment(1),
        }
        bytes
    }
}
