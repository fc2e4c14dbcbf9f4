//! `a=crypto` (RFC 4568): what either side sends with, key included. A key stands there in the clear: a
//! description with one is only ever exchanged inside TLS, and is blanked before anybody sees a copy.

use base64::{
    Engine as _,
    engine::{
        DecodePaddingMode, GeneralPurpose,
        general_purpose::{GeneralPurposeConfig, STANDARD},
    },
};
use domain::{SrtpKey, SrtpKeys, SrtpPolicy, SrtpSuite};
use std::fmt::Write;

/// Peers forget the padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest key and salt, written.
const WRITTEN: usize = 60;

/// One `a=crypto` line that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoLine {
    /// Which of an offer's lines it is, or answers: 1 to 9 digits.
    pub tag: u32,
    /// Suite and key.
    pub key: SrtpKey,
}

/// Why an `a=crypto` line is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoFault {
    /// Not `tag suite inline:key`, or the key is not the suite's.
    #[error("with an a=crypto that cannot be read")]
    Malformed,
    /// A suite that we do not have.
    #[error("with no suite we have (AES_CM_128_HMAC_SHA1_80 is one)")]
    Suite,
    /// Several keys, or a master key identifier.
    #[error("with a master key identifier, which we do not have")]
    KeyIdentifier,
    /// A session parameter that changes what packets look like.
    #[error("with a session parameter that we do not have")]
    Parameter,
    /// No line at all.
    #[error("without a=crypto")]
    Missing,
}

impl CryptoLine {
    /// Reads an attribute's value.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn read(value: &str) -> Result<Self, CryptoFault> {
        let mut words = value.split_ascii_whitespace();
        let mut word = || words.next().ok_or(CryptoFault::Malformed);
        let (tag, suite, keys) = (word()?, word()?, word()?);
        let number = tag.len() <= 9 && tag.bytes().all(|b| b.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| number);
        let tag = tag.ok_or(CryptoFault::Malformed)?;
        let suite = SrtpSuite::of(suite).ok_or(CryptoFault::Suite)?;
        let key = read_key(suite, keys)?;
        match words.all(is_harmless) {
            true => Ok(Self { tag, key }),
            false => Err(CryptoFault::Parameter),
        }
    }

    /// Writes the whole line.
    pub(super) fn write(&self, text: &mut String) {
        let (suite, key) = (self.key.suite().name(), STANDARD.encode(self.key.expose()));
        write!(text, "a=crypto:{} {suite} inline:{key}\r\n", self.tag)
            .expect("writing to a String cannot fail");
    }
}

fn read_key(suite: SrtpSuite, keys: &str) -> Result<SrtpKey, CryptoFault> {
    if keys.contains(';') {
        // Several keys are told apart by their identifiers.
        return Err(CryptoFault::KeyIdentifier);
    }
    let (method, info) = keys.split_once(':').ok_or(CryptoFault::Malformed)?;
    let mut parts = info.split('|');
    let written = parts.next().unwrap_or_default();
    if !method.eq_ignore_ascii_case("inline") || written.len() > WRITTEN {
        return Err(CryptoFault::Malformed);
    }
    for (n, part) in parts.enumerate() {
        if part.contains(':') {
            return Err(CryptoFault::KeyIdentifier);
        }
        // How many packets the peer will send with its key: its own business, and far beyond a call's.
        if n > 0 || !is_lifetime(part) {
            return Err(CryptoFault::Malformed);
        }
    }
    let mut bytes = [0; WRITTEN];
    let len = LENIENT.decode_slice(written, &mut bytes);
    let len = len.map_err(|_| CryptoFault::Malformed)?;
    SrtpKey::new(suite, &bytes[..len]).ok_or(CryptoFault::Malformed)
}

fn is_lifetime(text: &str) -> bool {
    let (power, digits) = match text.strip_prefix("2^") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let plain = digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse::<u64>().ok().filter(|_| plain);
    number.is_some_and(|n| {
        if power {
            n <= 48
        } else {
            n > 0 && n <= 1 << 48
        }
    })
}

/// Whether a session parameter changes nothing that we do: a hint, or one that may be ignored.
fn is_harmless(parameter: &str) -> bool {
    let hint = parameter.get(..4).map(str::to_ascii_uppercase);
    match hint.as_deref() {
        Some("WSH=") => true,
        Some("KDR=") => parameter[4..].bytes().all(|b| b == b'0'),
        _ => parameter.starts_with('-'),
    }
}

/// What our side sends with: one key for each suite that it would use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCrypto {
    /// Offered, or required; never off.
    pub policy: SrtpPolicy,
    /// As preferred.
    pub lines: Vec<CryptoLine>,
}

impl LocalCrypto {
    /// New keys; none where `policy` is off. `draw` fills a key with random bytes.
    pub fn draw(policy: SrtpPolicy, mut draw: impl FnMut(&mut [u8])) -> Option<Self> {
        let mut tag = 0;
        let line = |suite| {
            tag += 1;
            let key = SrtpKey::draw(suite, &mut draw);
            CryptoLine { tag, key }
        };
        (policy != SrtpPolicy::Off).then(|| Self {
            policy,
            lines: SrtpSuite::ALL.map(line).to_vec(),
        })
    }

    /// The peer's first line whose suite is ours too, and our key for it.
    pub(super) fn meet(
        &self,
        theirs: &[Result<CryptoLine, CryptoFault>],
    ) -> Result<Secured, CryptoFault> {
        let mut fault = CryptoFault::Missing;
        for line in theirs {
            match line {
                Ok(line) => {
                    let ours = (self.lines.iter()).find(|o| o.key.suite() == line.key.suite());
                    if let Some(ours) = ours {
                        return Ok(Secured {
                            tag: line.tag,
                            keys: SrtpKeys {
                                send: ours.key,
                                receive: line.key,
                            },
                        });
                    }
                    fault = CryptoFault::Suite;
                }
                Err(found) if fault == CryptoFault::Missing => fault = *found,
                Err(_) => {}
            }
        }
        Err(fault)
    }
}

/// A line of the peer's that is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secured {
    tag: u32,
    pub(super) keys: SrtpKeys,
}

impl Secured {
    /// Our answer to it.
    pub(super) fn answer(&self) -> CryptoLine {
        CryptoLine {
            tag: self.tag,
            key: self.keys.send,
        }
    }
}

/// Overwrites the keys in a message's bytes, wherever they stand; its length stays.
pub fn blank_keys(message: &mut [u8]) {
    const METHOD: &[u8] = b"inline:";
    let mut at = 0;
    while let Some(found) = memchr::memchr(b':', &message[at..]) {
        let end = at + found + 1;
        at = end;
        let method = end.checked_sub(METHOD.len());
        let is_key = method.is_some_and(|begin| message[begin..end].eq_ignore_ascii_case(METHOD));
        if !is_key {
            continue;
        }
        let key =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
        let len = message[end..].iter().take_while(|b| key(b)).count();
        message[end..end + len].fill(b'*');
        at = end + len;
    }
}

#[cfg(test)]
mod tests;
