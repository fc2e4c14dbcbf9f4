use super::*;
use crate::sdp::{Agreed, Direction, LocalMedia, SdpError, Session};
use domain::{Codec, limits::SDP_CRYPTO_LINES};
use proptest::prelude::*;

/// RFC 4568's own example, and others of right and wrong lengths.
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn line(rest: &str) -> Result<CryptoLine, CryptoFault> {
    CryptoLine::read(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{rest}"))
}

#[test]
fn lines_are_read_as_peers_write_them() {
    let plain = line(KEY).unwrap();
    assert_eq!((plain.tag, plain.key.expose().len()), (1, 30));
    assert_eq!(&plain.key.expose()[..4], b"wDfv");
    for same in [
        format!("{KEY}|2^20"),
        format!("{KEY}|2^48"),
        format!("{KEY}|1048576"),
        format!("{KEY} KDR=0"),
        format!("{KEY}|2^31 WSH=64"),
        format!("{KEY} -FUTURE=1"),
    ] {
        assert_eq!(line(&same), Ok(plain), "{same}");
    }
    let value = format!("  999999999   AES_CM_128_HMAC_SHA1_80   INLINE:{KEY} ");
    assert_eq!(CryptoLine::read(&value).unwrap().tag, 999_999_999);
    // 28 bytes are written with padding, which some forget.
    let gcm = STANDARD.encode([5; 28]);
    for written in [gcm.as_str(), gcm.trim_end_matches('=')] {
        let value = format!("2 AEAD_AES_128_GCM inline:{written}");
        assert_eq!(CryptoLine::read(&value).unwrap().key.expose(), [5; 28]);
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    use CryptoFault::{KeyIdentifier, Malformed, Parameter, Suite};
    let short = STANDARD.encode([5; 29]);
    let long = STANDARD.encode([5; 31]);
    let endless = "A".repeat(60_000);
    for (value, fault) in [
        (String::new(), Malformed),
        ("1".into(), Malformed),
        ("1 AES_CM_128_HMAC_SHA1_80".into(), Malformed),
        (format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), Malformed),
        (
            format!("+1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            Malformed,
        ),
        (
            format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            Malformed,
        ),
        (format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"), Suite),
        (format!("1 aes_cm_128_hmac_sha1_80 inline:{KEY}"), Suite),
        (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}"), Malformed),
        (format!("1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}"), Malformed),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{short}"),
            Malformed,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}"),
            Malformed,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{endless}"),
            Malformed,
        ),
        (format!("1 AEAD_AES_128_GCM inline:{KEY}"), Malformed),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:".into(), Malformed),
        (
            "1 AES_CM_128_HMAC_SHA1_80 inline:****************************************".into(),
            Malformed,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"),
            KeyIdentifier,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:32"),
            KeyIdentifier,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4;inline:{KEY}|2:4"),
            KeyIdentifier,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^49"),
            Malformed,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|0"),
            Malformed,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|2^20"),
            Malformed,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=4"),
            Parameter,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"),
            Parameter,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP"),
            Parameter,
        ),
        (
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FEC_ORDER=SRTP_FEC"),
            Parameter,
        ),
    ] {
        let told = &value[..value.len().min(80)];
        assert_eq!(CryptoLine::read(&value), Err(fault), "{told}");
    }
}

fn side(policy: SrtpPolicy, port: u16) -> LocalMedia {
    let mut next = port as u8;
    LocalMedia {
        session_id: 7,
        version: 1,
        address: ([192, 0, 2, 9], port).into(),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        dtmf_payload: 101,
        direction: Direction::SendRecv,
        crypto: LocalCrypto::draw(policy, |bytes| {
            next = next.wrapping_add(1);
            bytes.fill(next);
        }),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The two sides' agreements after one exchange.
fn exchange(offerer: &LocalMedia, answerer: &LocalMedia) -> Result<(Agreed, Agreed), SdpError> {
    let (answer, theirs) = answerer.answer(&offerer.offer())?;
    Ok((offerer.read_answer(&answer)?, theirs))
}

#[test]
fn both_sides_know_each_others_keys() {
    use SrtpPolicy::{Off, Offered, Required};
    for (a, b, secured) in [
        (Off, Off, Some(false)),
        (Off, Offered, Some(false)),
        (Offered, Off, Some(false)),
        (Offered, Offered, Some(true)),
        (Offered, Required, Some(true)),
        (Required, Offered, Some(true)),
        (Required, Required, Some(true)),
        (Required, Off, None),
        (Off, Required, None),
    ] {
        let (one, other) = (side(a, 4_000), side(b, 5_000));
        let met = exchange(&one, &other);
        assert_eq!(met.is_ok(), secured.is_some(), "{a:?} {b:?} {met:?}");
        let Ok((ours, theirs)) = met else { continue };
        assert_eq!(ours.crypto.is_some(), secured == Some(true), "{a:?} {b:?}");
        match (ours.crypto, theirs.crypto) {
            (Some(ours), Some(theirs)) => {
                assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
                assert_ne!(ours.send, ours.receive);
                assert_eq!(ours.send.suite(), SrtpSuite::AesCm128Sha1_80);
            }
            (ours, theirs) => assert_eq!((ours, theirs), (None, None)),
        }
    }
}

#[test]
fn offers_and_answers_have_the_protocol_of_the_policy() {
    let offer = text(&side(SrtpPolicy::Required, 4_000).offer());
    assert!(
        offer.contains("m=audio 4000 RTP/SAVP 0 8 101\r\n"),
        "{offer}"
    );
    assert!(offer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"));
    assert_eq!(offer.matches("a=crypto:").count(), 4);
    let offer = text(&side(SrtpPolicy::Offered, 4_000).offer());
    assert!(
        offer.contains("m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap"),
        "{offer}"
    );
    assert_eq!(offer.matches("a=crypto:").count(), 4);
    let theirs = format!(
        "v=0\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0\nm=audio 11 RTP/SAVP 8\n\
         a=crypto:1 F8_128_HMAC_SHA1_80 inline:{KEY}\na=crypto:77 AES_CM_128_HMAC_SHA1_32 inline:{KEY}\n"
    );
    // The secured line of two is taken, and its tag and suite are the peer's choice.
    let (answer, agreed) = side(SrtpPolicy::Offered, 4_000)
        .answer(theirs.as_bytes())
        .unwrap();
    let answer = text(&answer);
    assert!(
        answer.contains("m=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/SAVP 8\r\n"),
        "{answer}"
    );
    assert!(answer.contains("a=crypto:77 AES_CM_128_HMAC_SHA1_32 inline:"));
    assert_eq!(answer.matches("a=crypto:").count(), 1);
    assert_eq!(agreed.remote.port(), 11);
    // Who has it off takes the plain one.
    let (answer, agreed) = side(SrtpPolicy::Off, 4_000)
        .answer(theirs.as_bytes())
        .unwrap();
    assert!(!text(&answer).contains("crypto"));
    assert_eq!((agreed.remote.port(), agreed.crypto), (9, None));
}

#[test]
fn what_is_refused_says_what_is_missing() {
    let offer = |media: &str| format!("v=0\nc=IN IP4 192.0.2.1\n{media}").into_bytes();
    let secure = offer(&format!(
        "m=audio 9 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\n"
    ));
    let plain = offer("m=audio 9 RTP/AVP 0\n");
    let identified = offer(&format!(
        "m=audio 9 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4\n"
    ));
    for (policy, offer, words) in [
        (SrtpPolicy::Off, &secure, "signalling is not TLS"),
        (
            SrtpPolicy::Required,
            &plain,
            "plain audio where SRTP is required",
        ),
        (SrtpPolicy::Offered, &identified, "master key identifier"),
        (
            SrtpPolicy::Offered,
            &offer("m=audio 9 RTP/SAVP 0\n"),
            "without a=crypto",
        ),
        (
            SrtpPolicy::Required,
            &offer("m=audio 9 RTP/SAVPF 0\n"),
            "RTP/SAVPF",
        ),
    ] {
        let refused = side(policy, 4_000).answer(offer).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
        assert!(!refused.contains(&KEY[..12]), "{refused}");
    }
    let required = side(SrtpPolicy::Required, 4_000);
    assert!(required.read_answer(&plain).is_err());
    // An answer with a suite that was never offered.
    let mut few = required;
    few.crypto.as_mut().unwrap().lines.truncate(1);
    let other = STANDARD.encode([3; 28]);
    let other = offer(&format!(
        "m=audio 9 RTP/SAVP 0\na=crypto:3 AEAD_AES_128_GCM inline:{other}\n"
    ));
    assert!(few.read_answer(&other).is_err());
}

#[test]
fn our_own_descriptions_bring_the_keys_back() {
    let ours = side(SrtpPolicy::Required, 4_000);
    let again = LocalMedia::from_ours(&ours.offer()).unwrap();
    assert_eq!((again.version, &again.crypto), (2, &ours.crypto));
    let ours = side(SrtpPolicy::Offered, 4_000);
    assert_eq!(
        LocalMedia::from_ours(&ours.offer()).unwrap().crypto,
        ours.crypto
    );
    // A second exchange of the same sides keeps our key; the peer's may be new.
    let (answer, first) = ours
        .answer(&side(SrtpPolicy::Required, 5_000).offer())
        .unwrap();
    let next = LocalMedia::from_ours(&answer).unwrap();
    assert_eq!(next.crypto.as_ref().unwrap().policy, SrtpPolicy::Required);
    let (_, second) = next
        .answer(&side(SrtpPolicy::Required, 6_000).offer())
        .unwrap();
    let (first, second) = (first.crypto.unwrap(), second.crypto.unwrap());
    assert_eq!(first.send, second.send);
    assert_ne!(first.receive, second.receive);
    let plain = side(SrtpPolicy::Off, 4_000);
    assert_eq!(LocalMedia::from_ours(&plain.offer()).unwrap().crypto, None);
}

#[test]
fn lines_are_bounded() {
    let many = |n: usize| {
        let mut text = "v=0\nc=IN IP4 192.0.2.1\nm=audio 9 RTP/SAVP 0\n".to_owned();
        for tag in 0..n {
            text += &format!("a=crypto:{tag} F8_128_HMAC_SHA1_80 inline:{KEY}\n");
        }
        text + &format!("a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\n")
    };
    let ours = side(SrtpPolicy::Offered, 4_000);
    assert!(ours.answer(many(SDP_CRYPTO_LINES - 1).as_bytes()).is_ok());
    assert!(ours.answer(many(SDP_CRYPTO_LINES).as_bytes()).is_err());
    let session = Session::read(many(5_000).as_bytes()).unwrap();
    assert_eq!(session.media[0].crypto.len(), SDP_CRYPTO_LINES);
}

#[test]
fn keys_are_blanked_in_copies() {
    let offer = side(SrtpPolicy::Required, 4_000).offer();
    let mut copy = offer.clone();
    blank_keys(&mut copy);
    assert_eq!(copy.len(), offer.len());
    assert!(
        text(&copy).contains(
            "AES_CM_128_HMAC_SHA1_80 inline:****************************************\r\n"
        )
    );
    for line in side(SrtpPolicy::Required, 4_000).crypto.unwrap().lines {
        let key = STANDARD.encode(line.key.expose());
        assert!(text(&offer).contains(&key) && !text(&copy).contains(&key[..8]));
    }
    let mut several = format!("INLINE:{KEY}|2^20;inline:{KEY}\r\ninline:").into_bytes();
    blank_keys(&mut several);
    let stars = "*".repeat(40);
    assert_eq!(
        text(&several),
        format!("INLINE:{stars}|2^20;inline:{stars}\r\ninline:")
    );
    let mut plain = b"INVITE sip:a@b SIP/2.0\r\nVia: x:y\r\n\r\nv=0\r\n".to_vec();
    let before = plain.clone();
    blank_keys(&mut plain);
    assert_eq!(plain, before);
    let shown = format!("{:?}", side(SrtpPolicy::Required, 4_000));
    assert!(
        shown.contains("[redacted]") && !shown.contains("168"),
        "{shown}"
    );
}

proptest! {
    /// Anything at all: no panic; a key that is read is one that was written.
    #[test]
    fn any_line_is_read_or_refused(value in "[0-9a-zA-Z_+/=|:;^ *-]{0,120}") {
        if let Ok(line) = CryptoLine::read(&value) {
            prop_assert!(value.contains(line.key.suite().name()));
        }
    }

    #[test]
    fn blanking_never_fails(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let len = bytes.len();
        blank_keys(&mut bytes);
        prop_assert_eq!(bytes.len(), len);
    }
}
