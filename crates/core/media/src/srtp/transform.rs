//! What is done to one packet whose index is known: AES in counter mode with HMAC-SHA1 (RFC 3711
//! section 4), or GCM (RFC 7714). The primitives are aws-lc's; keys are scheduled once.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    constant_time::verify_slices_are_equal,
    hmac,
    iv::FixedLength,
};
use domain::{SrtpKey, SrtpSuite};

use super::{ENCRYPTED, RTCP_HEADER, word};

/// Bytes of GCM's tag.
const GCM_TAG: usize = 16;
/// Bytes of an index word.
const WORD: usize = 4;

/// The session keys of RTP, or of RTCP.
#[allow(
    clippy::large_enum_variant,
    reason = "one for each leg and direction, and no step further for each packet"
)]
pub(super) enum Transform {
    Counter {
        cipher: EncryptingKey,
        salt: [u8; 14],
        signature: hmac::Key,
        tag: usize,
    },
    Gcm {
        key: LessSafeKey,
        salt: [u8; 12],
    },
}

/// The keys for RTP and for RTCP out of a master key (RFC 3711 section 4.3.1, RFC 7714 section 11).
pub(super) fn derive(key: &SrtpKey) -> (Transform, Transform) {
    (transform(key, 0, false), transform(key, 3, true))
}

fn transform(key: &SrtpKey, label: u8, rtcp: bool) -> Transform {
    let suite = key.suite();
    let mut cipher = [0; 32];
    let cipher = &mut cipher[..suite.key_len()];
    session_key(key, label, cipher);
    let mut salt = [0; 14];
    session_key(key, label + 2, &mut salt[..suite.salt_len()]);
    let tag = match suite {
        SrtpSuite::AesCm128Sha1_80 => 10,
        SrtpSuite::AesCm128Sha1_32 if rtcp => 10,
        SrtpSuite::AesCm128Sha1_32 => 4,
        SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm => {
            return Transform::gcm(cipher, *salt.first_chunk().expect("14 bytes hold 12"));
        }
    };
    let mut signature = [0; 20];
    session_key(key, label + 1, &mut signature);
    Transform::counter(cipher, salt, &signature, tag)
}

fn counter_key(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, key).expect("keys have their suite's length");
    EncryptingKey::ctr(key).expect("AES has a counter mode")
}

/// Encrypts, or decrypts, which is the same.
fn count(cipher: &EncryptingKey, iv: [u8; 16], bytes: &mut [u8]) {
    let iv = EncryptionContext::Iv128(FixedLength::from(iv));
    let done = cipher.less_safe_encrypt(bytes, iv);
    done.expect("counter mode takes any length");
}

/// The key stream of the master key at its salt, marked by the label.
fn session_key(key: &SrtpKey, label: u8, out: &mut [u8]) {
    let mut iv = [0; 16];
    // A shorter salt is filled up with zeros behind it.
    let salt = key.expose_salt();
    iv[..salt.len()].copy_from_slice(salt);
    iv[7] ^= label;
    out.fill(0);
    count(&counter_key(key.expose_key()), iv, out);
}

/// Section 4.1.1.
fn counter_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
    iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in iv.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    iv
}

/// RFC 7714 sections 8.1 and 9.1: RTCP's shorter index has zeros before it.
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut iv = [0; 12];
    iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
    iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    for (byte, salt) in iv.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    Nonce::assume_unique_for_key(iv)
}

fn sign(key: &hmac::Key, packet: &[u8], rollovers: Option<u32>) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(packet);
    if let Some(rollovers) = rollovers {
        context.update(&rollovers.to_be_bytes());
    }
    context.sign()
}

impl Transform {
    pub(super) fn counter(key: &[u8], salt: [u8; 14], signature: &[u8], tag: usize) -> Self {
        Self::Counter {
            cipher: counter_key(key),
            salt,
            signature: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, signature),
            tag,
        }
    }

    pub(super) fn gcm(key: &[u8], salt: [u8; 12]) -> Self {
        let algorithm = if key.len() == 32 {
            &AES_256_GCM
        } else {
            &AES_128_GCM
        };
        let key = UnboundKey::new(algorithm, key).expect("keys have their suite's length");
        Self::Gcm {
            key: LessSafeKey::new(key),
            salt,
        }
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Counter { tag, .. } => *tag,
            Self::Gcm { .. } => GCM_TAG,
        }
    }

    /// Whether a packet that is not accepted is as it was.
    pub(super) fn checks_first(&self) -> bool {
        matches!(self, Self::Counter { .. })
    }

    /// `packet` ends with room for the tag.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) {
        let (body, tag) = packet.split_at_mut(packet.len() - self.tag_len());
        match self {
            Self::Counter {
                cipher,
                salt,
                signature,
                ..
            } => {
                count(cipher, counter_iv(salt, ssrc, index), &mut body[header..]);
                let signed = sign(signature, body, Some((index >> 16) as u32));
                tag.copy_from_slice(&signed.as_ref()[..tag.len()]);
            }
            Self::Gcm { key, salt } => {
                let (header, payload) = body.split_at_mut(header);
                let nonce = gcm_nonce(salt, ssrc, index);
                let signed = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), payload);
                tag.copy_from_slice(signed.expect("packets are short").as_ref());
            }
        }
    }

    /// The length without the tag; none when the tag is not right.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let len = packet.len() - self.tag_len();
        match self {
            Self::Counter {
                cipher,
                salt,
                signature,
                ..
            } => {
                let (body, tag) = packet.split_at_mut(len);
                let signed = sign(signature, body, Some((index >> 16) as u32));
                verify_slices_are_equal(&signed.as_ref()[..tag.len()], tag).ok()?;
                count(cipher, counter_iv(salt, ssrc, index), &mut body[header..]);
            }
            Self::Gcm { key, salt } => {
                let (header, rest) = packet.split_at_mut(header);
                let nonce = gcm_nonce(salt, ssrc, index);
                key.open_in_place(nonce, Aad::from(&*header), rest).ok()?;
            }
        }
        Some(len)
    }

    /// The index word of an SRTCP packet: before the tag, with GCM behind it.
    pub(super) fn index_word(&self, packet: &[u8]) -> u32 {
        match self {
            Self::Counter { tag, .. } => word(packet, packet.len() - tag - WORD),
            Self::Gcm { .. } => word(packet, packet.len() - WORD),
        }
    }

    /// `packet` has room for the index word and the tag behind its first `len` bytes.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, said: u32) {
        let index = u64::from(said & !ENCRYPTED);
        match self {
            Self::Counter {
                cipher,
                salt,
                signature,
                ..
            } => {
                let iv = counter_iv(salt, ssrc, index);
                count(cipher, iv, &mut packet[RTCP_HEADER..len]);
                packet[len..len + WORD].copy_from_slice(&said.to_be_bytes());
                let (body, tag) = packet.split_at_mut(len + WORD);
                let signed = sign(signature, body, None);
                tag.copy_from_slice(&signed.as_ref()[..tag.len()]);
            }
            Self::Gcm { key, salt } => {
                let (body, tail) = packet.split_at_mut(len);
                let aad = rtcp_aad(body, said);
                let nonce = gcm_nonce(salt, ssrc, index);
                let payload = &mut body[RTCP_HEADER..];
                let signed = key.seal_in_place_separate_tag(nonce, Aad::from(aad), payload);
                tail[..GCM_TAG].copy_from_slice(signed.expect("packets are short").as_ref());
                tail[GCM_TAG..].copy_from_slice(&said.to_be_bytes());
            }
        }
    }

    /// Whether the tag is right; the first `len` bytes are the RTCP packet then.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, said: u32) -> bool {
        let index = u64::from(said & !ENCRYPTED);
        let encrypted = said & ENCRYPTED != 0;
        match self {
            Self::Counter {
                cipher,
                salt,
                signature,
                ..
            } => {
                let (body, tag) = packet.split_at_mut(len + WORD);
                let signed = sign(signature, body, None);
                if verify_slices_are_equal(&signed.as_ref()[..tag.len()], tag).is_err() {
                    return false;
                }
                if encrypted {
                    let iv = counter_iv(salt, ssrc, index);
                    count(cipher, iv, &mut body[RTCP_HEADER..len]);
                }
                true
            }
            Self::Gcm { key, salt } => {
                let nonce = gcm_nonce(salt, ssrc, index);
                if encrypted {
                    let aad = rtcp_aad(packet, said);
                    let rest = &mut packet[RTCP_HEADER..len + GCM_TAG];
                    return key.open_in_place(nonce, Aad::from(aad), rest).is_ok();
                }
                // All of it is only signed, and the word as if it lay right behind (RFC 7714 section 9.3).
                let (body, tail) = packet.split_at_mut(len + WORD);
                let mut tag = [0; GCM_TAG];
                tag[..WORD].copy_from_slice(&body[len..]);
                tag[WORD..].copy_from_slice(&tail[..GCM_TAG - WORD]);
                body[len..].copy_from_slice(&said.to_be_bytes());
                key.open_in_place(nonce, Aad::from(&*body), &mut tag)
                    .is_ok()
            }
        }
    }
}

/// What GCM signs beside an encrypted RTCP packet: its header and its index word.
fn rtcp_aad(packet: &[u8], said: u32) -> [u8; RTCP_HEADER + WORD] {
    let mut aad = [0; RTCP_HEADER + WORD];
    aad[..RTCP_HEADER].copy_from_slice(&packet[..RTCP_HEADER]);
    aad[RTCP_HEADER..].copy_from_slice(&said.to_be_bytes());
    aad
}

#[cfg(test)]
mod tests;
