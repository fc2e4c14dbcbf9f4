//! Vouching for who calls: the PASSporT of SHAKEN (RFC 8225, RFC 8588) and the Identity header that
//! bears it (RFC 8224). What signs it stands outside: a key and entropy are not this crate's business.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Attestation, PhoneNumber, WallTime, limits};
use std::fmt;

/// Bytes of an ES256 signature: r and s, 32 bytes each (RFC 7518 section 3.4).
pub const SIGNATURE_BYTES: usize = 64;

/// Signs with the operator's key.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The ES256 signature of `text`; none where the certificate is not valid at `now`, or the key
    /// cannot be used.
    fn sign(&self, now: WallTime, text: &[u8]) -> Option<[u8; SIGNATURE_BYTES]>;
}

/// What calls are vouched for with.
#[derive(Debug)]
pub struct Voucher {
    certificate: CertificateUrl,
    origination: [u8; 16],
    signer: Box<dyn Signer>,
}

/// Where verifiers fetch the certificate (`x5u`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateUrl(String);

/// Why an address of a certificate is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateUrlError {
    /// Verifiers fetch by HTTPS alone (RFC 8226 section 9, ATIS-1000074 section 5.3.1).
    #[error("does not begin with https:// and a host; give the public address of the PEM file")]
    NotHttps,
    /// A byte that has no place in a URI, or would have to be escaped.
    #[error("holds {0:?}; write it percent-encoded")]
    Byte(char),
    /// Too long for the header.
    #[error("has {0} bytes; at most {limit} are sent", limit = limits::CERTIFICATE_URL)]
    Long(usize),
}

impl std::str::FromStr for CertificateUrl {
    type Err = CertificateUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("https://");
        if !rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric())) {
            return Err(CertificateUrlError::NotHttps);
        }
        let plain = |c: char| c.is_ascii_graphic() && !"\"\\<>^`{|};,".contains(c);
        if let Some(wrong) = text.chars().find(|c| !plain(*c)) {
            return Err(CertificateUrlError::Byte(wrong));
        }
        if text.len() > limits::CERTIFICATE_URL {
            return Err(CertificateUrlError::Long(text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Voucher {
    /// `origination` is the claim `origid`: who, of this operator, put calls into the network. The
    /// operator can tell, nobody else.
    pub fn new(
        certificate: CertificateUrl,
        origination: [u8; 16],
        signer: Box<dyn Signer>,
    ) -> Self {
        Self {
            certificate,
            origination,
            signer,
        }
    }

    /// The value of the Identity header of a call that is placed `now`; none where the signer refuses.
    pub fn identity(
        &self,
        now: WallTime,
        attestation: Attestation,
        caller: PhoneNumber,
        called: PhoneNumber,
    ) -> Option<String> {
        let x5u = &self.certificate.0;
        // Keys in the order of their bytes and no white space (RFC 8225 section 9). No value needs to
        // be escaped.
        let header = format!(r#"{{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"{x5u}"}}"#);
        let claims = format!(
            r#"{{"attest":"{}","dest":{{"tn":["{}"]}},"iat":{},"orig":{{"tn":"{}"}},"origid":"{}"}}"#,
            attestation.claim(),
            called.digits(),
            now.as_millis().div_euclid(1000),
            caller.digits(),
            Uuid(self.origination),
        );
        let encoded = (header.len() + claims.len() + SIGNATURE_BYTES) * 4 / 3 + 8;
        let mut value = String::with_capacity(encoded + x5u.len() + 40);
        URL_SAFE_NO_PAD.encode_string(header, &mut value);
        value.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut value);
        let signature = self.signer.sign(now, value.as_bytes())?;
        value.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut value);
        value.push_str(";info=<");
        value.push_str(x5u);
        value.push_str(">;alg=ES256;ppt=shaken");
        Some(value)
    }
}

/// Bytes as a UUID of version 8 (RFC 9562 section 5.8).
struct Uuid([u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0;
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        for (place, byte) in bytes.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signs with the length of what it is to sign, until its end.
    #[derive(Debug)]
    struct Until(WallTime);

    impl Signer for Until {
        fn sign(&self, now: WallTime, text: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
            (now < self.0).then_some([text.len() as u8; SIGNATURE_BYTES])
        }
    }

    const NOW: WallTime = WallTime::from_millis(1_443_208_345_999);

    fn voucher() -> Voucher {
        Voucher::new(
            "https://cert.example.org/passport.cer"
                .parse()
                .expect("a URL"),
            *b"0123456789abcdef",
            Box::new(Until(WallTime::from_millis(1_443_208_346_000))),
        )
    }

    fn number(text: &str) -> PhoneNumber {
        text.parse().expect("E.164")
    }

    #[test]
    fn a_passport_is_written_as_the_standard_says() {
        let (caller, called) = (number("+12155551212"), number("+12155551213"));
        let value = voucher().identity(NOW, Attestation::A, caller, called);
        let value = value.expect("signed");
        let (token, parameters) = value.split_once(';').expect("parameters");
        assert_eq!(
            parameters,
            "info=<https://cert.example.org/passport.cer>;alg=ES256;ppt=shaken"
        );
        let parts: Vec<Vec<u8>> = (token.split('.'))
            .map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"))
            .collect();
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).expect("JSON");
        assert_eq!(
            text(&parts[0]),
            r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example.org/passport.cer"}"#
        );
        assert_eq!(
            text(&parts[1]),
            r#"{"attest":"A","dest":{"tn":["12155551213"]},"iat":1443208345,"orig":{"tn":"12155551212"},"origid":"30313233-3435-8637-b839-616263646566"}"#
        );
        let signed = token.rfind('.').expect("three parts");
        assert_eq!(parts[2], [signed as u8; SIGNATURE_BYTES]);
        // By another encoder.
        assert!(token.starts_with(
            "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiIsInR5cCI6InBhc3Nwb3J0Iiwi\
             eDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9."
        ));
    }

    #[test]
    fn what_the_signer_refuses_is_not_vouched_for() {
        let number = number("+12155551212");
        let late = NOW + std::time::Duration::from_millis(1);
        let signed = |now| voucher().identity(now, Attestation::C, number, number);
        let value = signed(NOW).expect("signed");
        let token = value.split(';').next().expect("a token");
        assert!(!token.contains(['\r', '\n', '+', '=', '/']), "{token}");
        assert_eq!(signed(late), None);
    }

    #[test]
    fn the_longest_address_leaves_the_header_within_a_line() {
        let at_bound = format!("https://a/{}", "x".repeat(limits::CERTIFICATE_URL - 10));
        let url: CertificateUrl = at_bound.parse().expect("at the bound");
        let voucher = Voucher {
            certificate: url,
            ..voucher()
        };
        let number = number("+999999999999999");
        let value = voucher.identity(NOW, Attestation::B, number, number);
        assert!(value.is_some_and(|value| value.len() < 2_048));
        for (wrong, why) in [
            (format!("{at_bound}x"), "has 513 bytes"),
            ("http://a/b".to_owned(), "does not begin with https"),
            ("https:///b".to_owned(), "does not begin with https"),
            ("https://a/\r\nEvil: 1".to_owned(), "holds '\\r'"),
            ("https://a/b>;x=<".to_owned(), "holds '>'"),
            ("https://a/\"".to_owned(), "holds '\"'"),
            ("https://a/\u{e4}".to_owned(), "percent-encoded"),
        ] {
            let error = wrong.parse::<CertificateUrl>().expect_err(&wrong);
            assert!(error.to_string().contains(why), "{wrong}: {error}");
        }
    }
}
