//! A browser's offer: what of it we take, and the session that answers it.

use domain::{Codec, limits};
use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use str0m::{
    Candidate, Rtc, RtcConfig,
    change::SdpOffer,
    config::{CryptoProvider, DtlsCert},
    format::{Codec as Coding, FormatParams},
    media::{Frequency, Mid},
    rtp::Extension,
};

/// How often the browser's own figures are asked of a session.
const FIGURES: Duration = Duration::from_secs(5);
/// Where telephone-event stands in our list; the answer uses the browser's own number.
const EVENT: u8 = 101;
/// The highest telephone event: the sixteen keys.
const KEYS: u8 = 15;
/// How much is told of what a library says of somebody's SDP.
const REASON: usize = 200;

/// A browser's offer cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Longer than we read.
    #[error("it has {given} bytes, at most {most} are read; leave out candidates and other codecs")]
    TooLong {
        /// Bytes that came.
        given: usize,
        /// [`limits::BROWSER_SDP_BYTES`].
        most: usize,
    },
    /// No audio.
    #[error("it has no audio (m=audio)")]
    NoAudio,
    /// More than one track, or something that is not audio.
    #[error("it offers {0} beside one audio track; leave it out")]
    Beside(String),
    /// Neither law.
    #[error("its audio has neither PCMU nor PCMA")]
    NoCodec,
    /// No DTLS.
    #[error("it has no DTLS fingerprint (a=fingerprint); plain RTP is not spoken with browsers")]
    NoFingerprint,
    /// The audio goes one way only.
    #[error("its audio is {0}; it must be sendrecv, with a microphone")]
    OneWay(String),
    /// It is not SDP, or not as WebRTC wants it.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// A session that waits for its browser. Handed to [`crate::RelayHandle::begin_browser`].
pub struct Arrival {
    pub(super) rtc: Rtc,
    pub(super) ufrag: String,
    pub(super) mid: Mid,
    /// What we send.
    pub(super) codec: Codec,
    /// The browser's number for telephone events.
    pub(super) event: Option<u8>,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("codec", &self.codec)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

/// Makes sessions: what they all have in common.
pub(super) struct Maker {
    crypto: Arc<CryptoProvider>,
    /// One for the life of the process: a browser knows it from the answer, over the agents' API.
    certificate: DtlsCert,
    address: SocketAddr,
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maker")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Maker {
    /// `address` is the one that browsers send to. None when no certificate can be made.
    pub(super) fn new(address: SocketAddr) -> Option<Self> {
        let crypto = str0m::crypto::from_feature_flags();
        let certificate = crypto.dtls_provider.generate_certificate()?;
        Some(Self {
            crypto: Arc::new(crypto),
            certificate,
            address,
        })
    }

    fn config(&self) -> RtcConfig {
        let mut config = RtcConfig::new()
            .clear_codecs()
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .clear_extension_map()
            .set_extension(4, Extension::RtpMid)
            .set_ice_lite(true)
            // Packets as they are: no frames, no reordering, the sender's timestamps.
            .set_rtp_mode(true)
            .set_stats_interval(Some(FIGURES))
            .set_crypto_provider(Arc::clone(&self.crypto))
            .set_dtls_cert(self.certificate.clone());
        let keys = FormatParams {
            telephone_event_max: Some(KEYS),
            ..FormatParams::default()
        };
        let clock = Frequency::EIGHT_KHZ;
        (config.codec_config()).add_config(EVENT.into(), None, Coding::Tele, clock, None, keys);
        config
    }

    /// The session that answers an offer, and the answer. Takes some 0.3 ms.
    pub(super) fn answer(&self, sdp: &str) -> Result<(Arrival, String), OfferError> {
        let liked = judge(sdp)?;
        let unreadable = |why: &dyn fmt::Display| {
            OfferError::Unreadable(why.to_string().chars().take(REASON).collect())
        };
        let offer = SdpOffer::from_sdp_string(&without_candidates(sdp))
            .map_err(|error| unreadable(&error))?;
        let mut rtc = self.config().build(Instant::now());
        let ours = Candidate::host(self.address, "udp").map_err(|error| unreadable(&error))?;
        rtc.add_local_candidate(ours);
        let answer = rtc
            .sdp_api()
            .accept_offer(offer)
            .map_err(|error| unreadable(&error))?
            .to_sdp_string();
        let agreed = Agreed::read(&answer, liked).ok_or(OfferError::NoCodec)?;
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        let arrival = Arrival {
            rtc,
            ufrag,
            mid: Mid::from(agreed.mid),
            codec: agreed.codec,
            event: agreed.event,
        };
        Ok((arrival, answer))
    }
}

/// Refuses what we do not take, with what to do about it; the library would answer some of it with a
/// line that is switched off, and the agent would wonder about the silence. The codec that the browser
/// likes better.
fn judge(sdp: &str) -> Result<Codec, OfferError> {
    let most = limits::BROWSER_SDP_BYTES;
    if sdp.len() > most {
        let given = sdp.len();
        return Err(OfferError::TooLong { given, most });
    }
    let mut audio = None;
    for media in sdp.lines().filter_map(|line| line.strip_prefix("m=")) {
        let kind = media.split(' ').next().unwrap_or_default();
        match kind {
            "audio" if audio.is_none() => audio = Some(media),
            _ if audio.is_some() => {
                return Err(OfferError::Beside(kind.chars().take(32).collect()));
            }
            _ => return Err(OfferError::NoAudio),
        }
    }
    let media = audio.ok_or(OfferError::NoAudio)?;
    // Both have numbers of their own (RFC 3551, table 4); browsers use them.
    let liked = (media.split(' ').skip(3).find_map(g711)).ok_or(OfferError::NoCodec)?;
    let attribute = |name: &str| sdp.lines().any(|line| line.starts_with(name));
    if !attribute("a=fingerprint:") {
        return Err(OfferError::NoFingerprint);
    }
    for way in ["recvonly", "sendonly", "inactive"] {
        if sdp.lines().any(|line| line.strip_prefix("a=") == Some(way)) {
            return Err(OfferError::OneWay(way.to_owned()));
        }
    }
    Ok(liked)
}

fn g711(payload_type: &str) -> Option<Codec> {
    match payload_type {
        "0" => Some(Codec::Pcmu),
        "8" => Some(Codec::Pcma),
        _ => None,
    }
}

/// The offer without the browser's candidates: it is the browser that sends checks (we are ICE-lite),
/// and where they come from is where it is. So nobody can point us at a third party.
fn without_candidates(sdp: &str) -> String {
    let mut kept = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        if !line.starts_with("a=candidate:") && line != "a=end-of-candidates" {
            // Writing to a String cannot fail.
            let _written = write!(kept, "{line}\r\n");
        }
    }
    kept
}

/// What the answer settled on.
struct Agreed<'a> {
    mid: &'a str,
    codec: Codec,
    event: Option<u8>,
}

impl<'a> Agreed<'a> {
    /// Of the codecs in the answer the one that the browser likes better: the library writes them in an
    /// order of its own.
    fn read(answer: &'a str, liked: Codec) -> Option<Self> {
        let line = |prefix: &str| answer.lines().find_map(|line| line.strip_prefix(prefix));
        let mut media = line("m=audio ")?.split(' ');
        if media.next() == Some("0") {
            return None;
        }
        let types: Vec<&str> = media.skip(1).collect();
        let codecs = || types.iter().filter_map(|pt| g711(pt));
        let codec = (codecs().find(|codec| *codec == liked)).or_else(|| codecs().next())?;
        let event = types.iter().find(|pt| {
            let map = line(&format!("a=rtpmap:{pt} "));
            map.is_some_and(|map| map.eq_ignore_ascii_case("telephone-event/8000"))
        });
        Some(Self {
            mid: line("a=mid:")?,
            codec,
            event: event.and_then(|pt| pt.parse().ok()),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As Chromium offers it, without its other codecs.
    pub(in crate::browser) const OFFER: &str = "v=0\r\n\
        o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 126\r\nc=IN IP4 0.0.0.0\r\n\
        a=rtcp:9 IN IP4 0.0.0.0\r\n\
        a=candidate:1 1 udp 2113937151 3f0c.local 40000 typ host generation 0\r\n\
        a=ice-ufrag:Y2Hk\r\na=ice-pwd:oO0lI1pPqQrRsStTuUvVwWxX\r\na=ice-options:trickle\r\n\
        a=fingerprint:sha-256 0A:1B:2C:3D:4E:5F:60:71:82:93:A4:B5:C6:D7:E8:F9:0A:1B:2C:3D:4E:5F:60:71:82:93:A4:B5:C6:D7:E8:F9\r\n\
        a=setup:actpass\r\na=mid:0\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
        a=sendrecv\r\na=msid:stream track\r\na=rtcp-mux\r\n\
        a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:126 telephone-event/8000\r\n\
        a=ssrc:3735928559 cname:abc\r\n";

    fn maker() -> Maker {
        Maker::new("192.0.2.7:3478".parse().unwrap()).unwrap()
    }

    fn refused(sdp: &str) -> OfferError {
        maker().answer(sdp).unwrap_err()
    }

    #[test]
    fn a_browsers_offer_is_answered_with_g711_and_keys() {
        let (arrival, answer) = maker().answer(OFFER).unwrap();
        assert_eq!((arrival.codec, arrival.event), (Codec::Pcmu, Some(126)));
        for line in [
            "a=ice-lite",
            "a=setup:passive",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:126 telephone-event/8000",
        ] {
            assert!(answer.lines().any(|l| l == line), "{line} not in {answer}");
        }
        assert!(answer.contains("192.0.2.7 3478 typ host"), "{answer}");
        assert!(!answer.contains("opus"), "{answer}");
        assert!(answer.contains(&format!("a=ice-ufrag:{}", arrival.ufrag)));
    }

    #[test]
    fn what_a_browser_likes_better_is_sent() {
        let offer = OFFER.replace("SAVPF 111 0 8 126", "SAVPF 8 0");
        let (arrival, _) = maker().answer(&offer).unwrap();
        assert_eq!((arrival.codec, arrival.event), (Codec::Pcma, None));
    }

    #[test]
    fn what_cannot_be_taken_is_refused_with_a_reason() {
        assert_eq!(refused(""), OfferError::NoAudio);
        assert_eq!(refused("hello"), OfferError::NoAudio);
        assert_eq!(
            refused(&OFFER.replace("m=audio", "m=video")),
            OfferError::NoAudio
        );
        let two = format!("{OFFER}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n");
        assert_eq!(refused(&two), OfferError::Beside("video".into()));
        let data = format!("{OFFER}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n");
        assert_eq!(refused(&data), OfferError::Beside("application".into()));
        let opus = OFFER.replace("SAVPF 111 0 8 126", "SAVPF 111");
        assert_eq!(refused(&opus), OfferError::NoCodec);
        let bare = OFFER.replace("a=fingerprint", "a=footprint");
        assert_eq!(refused(&bare), OfferError::NoFingerprint);
        let mute = OFFER.replace("a=sendrecv", "a=recvonly");
        assert_eq!(refused(&mute), OfferError::OneWay("recvonly".into()));
        let broken = OFFER.replace("a=mid:0\r\n", "").replace("v=0", "v=x");
        assert!(matches!(refused(&broken), OfferError::Unreadable(_)));
    }

    #[test]
    fn the_longest_offer_is_still_read() {
        let most = limits::BROWSER_SDP_BYTES;
        let pad = |to: usize| {
            let mut sdp = OFFER.to_owned();
            while sdp.len() < to {
                let left = to - sdp.len();
                // A line of 70 bytes, or what is left where that would leave too little for one more.
                let line = if left >= 80 { 70 } else { left };
                let name = "a=x-";
                sdp += &format!("{name}{}\r\n", "p".repeat(line - name.len() - 2));
            }
            sdp
        };
        assert_eq!(pad(most).len(), most);
        assert!(maker().answer(&pad(most)).is_ok());
        let given = most + 1;
        assert_eq!(refused(&pad(given)), OfferError::TooLong { given, most });
    }

    #[test]
    fn a_third_partys_address_is_not_kept() {
        let kept = without_candidates(OFFER);
        assert!(!kept.contains("3f0c.local") && kept.contains("a=ice-ufrag"));
    }
}
