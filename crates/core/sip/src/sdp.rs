//! Session descriptions (RFC 4566) and offer/answer (RFC 3264) for what we speak: G.711 and
//! telephone-event over RTP, plain or secured with keys in the description (RFC 4568). Everything else
//! is refused, saying what.

mod crypto;

pub use crypto::{CryptoFault, CryptoLine, LocalCrypto, blank_keys};

use crypto::Secured;
use domain::{
    Codec, SrtpKeys, SrtpPolicy,
    limits::{SDP_CRYPTO_LINES, SDP_MEDIA_LINES},
};
use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

/// Which way media flows, as its writer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The writer only sends: the reader is on hold.
    SendOnly,
    /// The writer only listens.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// What the other side answers at most.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    fn of(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer listens.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    fn both(self, other: Self) -> Self {
        Self::of(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    fn token(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    fn read(token: &str) -> Option<Self> {
        [
            Self::SendRecv,
            Self::SendOnly,
            Self::RecvOnly,
            Self::Inactive,
        ]
        .into_iter()
        .find(|d| d.token() == token)
    }
}

/// What is wrong with a description, or what we do not speak in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not a description at all.
    #[error("session description line {line} cannot be read; expected `letter=value`")]
    Malformed {
        /// Which line, from one.
        line: usize,
    },
    /// Over the limit.
    #[error("session description has over {SDP_MEDIA_LINES} media lines")]
    TooManyMedia,
    /// No audio line that we could take.
    #[error("no audio we speak: {reason}; PCMU and PCMA are spoken")]
    NotSpoken {
        /// What the first unfit line asks.
        reason: String,
    },
    /// Where media would go is no place for it.
    #[error("media address {0} is not an address of one host")]
    Address(String),
    /// The answer does not fit our offer.
    #[error("answer does not fit the offer: {0}")]
    Mismatch(&'static str),
}

/// One `m=` line with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image` ...
    pub kind: String,
    /// Port; zero refuses the line.
    pub port: u16,
    /// `RTP/AVP` ...
    pub protocol: String,
    /// Formats as written: payload types for RTP.
    pub formats: Vec<String>,
    /// `a=rtpmap`: payload type, encoding name in upper case, clock rate.
    pub maps: Vec<(u8, String, u32)>,
    /// Packet time in milliseconds.
    pub packet_time: Option<u8>,
    /// `a=crypto`: the keys that its writer would send with.
    pub crypto: Vec<Result<CryptoLine, CryptoFault>>,
    direction: Option<Direction>,
    connection: Option<String>,
}

/// A description as read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Session {
    /// The whole `o=` value.
    pub origin: String,
    /// Its media lines in order.
    pub media: Vec<Media>,
    connection: Option<String>,
    direction: Option<Direction>,
}

impl Session {
    /// Reads a description: bare LF, unknown lines, foreign bytes and a missing final line end are
    /// tolerated.
    pub fn read(body: &[u8]) -> Result<Self, SdpError> {
        let text = String::from_utf8_lossy(body);
        let mut session = Self::default();
        let mut started = false;
        for (i, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() {
                continue;
            }
            let malformed = SdpError::Malformed { line: i + 1 };
            let (letter, value) = line.split_once('=').ok_or(malformed.clone())?;
            match letter {
                "v" => started = true,
                _ if !started => return Err(malformed),
                "o" => session.origin = value.to_owned(),
                "c" => {
                    let address = value.split_ascii_whitespace().nth(2).ok_or(malformed)?;
                    let place = match session.media.last_mut() {
                        Some(media) => &mut media.connection,
                        None => &mut session.connection,
                    };
                    *place = Some(address.to_owned());
                }
                "m" if session.media.len() == SDP_MEDIA_LINES => {
                    return Err(SdpError::TooManyMedia);
                }
                "m" => session.media.push(read_media(value).ok_or(malformed)?),
                "a" => session.attribute(value),
                _ => {}
            }
        }
        if started {
            Ok(session)
        } else {
            Err(SdpError::Malformed { line: 1 })
        }
    }

    fn attribute(&mut self, value: &str) {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        let direction = Direction::read(name);
        let Some(media) = self.media.last_mut() else {
            self.direction = direction.or(self.direction);
            return;
        };
        media.direction = direction.or(media.direction);
        match name {
            "rtpmap" if media.maps.len() < 64 => media.maps.extend(read_map(value)),
            "ptime" => media.packet_time = value.trim().parse().ok(),
            "crypto" if media.crypto.len() < SDP_CRYPTO_LINES => {
                media.crypto.push(CryptoLine::read(value));
            }
            _ => {}
        }
    }

    /// The audio line we can take, which one it is, and how it is secured: the first that is, else the
    /// first.
    fn audio(&self, ours: Option<&LocalCrypto>) -> Result<Taken<'_>, SdpError> {
        let mut reason = "no media line".to_owned();
        let mut plain = None;
        for (place, media) in self.media.iter().enumerate() {
            match media.spoken(ours) {
                Ok(secured @ Some(_)) => return Ok((place, media, secured)),
                Ok(None) => plain = plain.or(Some((place, media, None))),
                Err(bad) if place == 0 => reason = bad.chars().take(120).collect(),
                Err(_) => {}
            }
        }
        plain.ok_or(SdpError::NotSpoken { reason })
    }

    /// Where the writer of `media` wants packets, and its direction with RFC 2543's hold undone.
    fn target(&self, media: &Media) -> Result<(SocketAddr, Direction), SdpError> {
        let host = media
            .connection
            .as_ref()
            .or(self.connection.as_ref())
            .ok_or(SdpError::Address("(none)".into()))?;
        let direction = media
            .direction
            .or(self.direction)
            .unwrap_or(Direction::SendRecv);
        let ip: IpAddr = host
            .parse()
            .map_err(|_| SdpError::Address(host.chars().take(80).collect()))?;
        if ip.is_unspecified() {
            // c=0.0.0.0 means: send me nothing.
            let held = Direction::of(direction.sends(), false);
            return Ok((SocketAddr::new(ip, media.port), held));
        }
        let bad = ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        if bad {
            return Err(SdpError::Address(host.clone()));
        }
        Ok((SocketAddr::new(ip, media.port), direction))
    }
}

/// An audio line, which one it is, and the keys of both sides where it is secured.
type Taken<'a> = (usize, &'a Media, Option<Secured>);

impl Media {
    /// Whether we can take it, and how it is secured; else why not.
    fn spoken(&self, ours: Option<&LocalCrypto>) -> Result<Option<Secured>, String> {
        if self.kind != "audio" {
            return Err(format!("{} line", self.kind));
        }
        if self.port == 0 {
            return Err("audio line with port 0".to_owned());
        }
        let met = ours.map(|ours| (ours.policy, ours.meet(&self.crypto)));
        let secured = match (self.protocol.as_str(), met) {
            ("RTP/AVP" | "RTP/SAVP", Some((_, Ok(secured)))) => Some(secured),
            ("RTP/AVP", Some((SrtpPolicy::Required, Err(_)))) => {
                return Err("plain audio where SRTP is required".to_owned());
            }
            ("RTP/AVP", _) => None,
            ("RTP/SAVP", Some((_, Err(fault)))) => {
                return Err(format!("audio over RTP/SAVP {fault}"));
            }
            ("RTP/SAVP", None) => {
                let why = "SRTP is off for this peer, or its signalling is not TLS";
                return Err(format!("audio over RTP/SAVP; {why}"));
            }
            (other, _) => return Err(format!("audio over {other}")),
        };
        match self.codecs().next() {
            Some(_) => Ok(secured),
            None => Err(format!("audio formats {}", self.formats.join(" "))),
        }
    }

    /// Codecs we speak with their payload types, in the writer's order.
    fn codecs(&self) -> impl Iterator<Item = (Codec, u8)> + '_ {
        self.payload_types().filter_map(|pt| {
            match self.map(pt) {
                Some(("PCMU", 8000)) => Some((Codec::Pcmu, pt)),
                Some(("PCMA", 8000)) => Some((Codec::Pcma, pt)),
                Some(_) => None,
                // Static payload types need no map (RFC 3551 section 6).
                None if pt == 0 => Some((Codec::Pcmu, 0)),
                None if pt == 8 => Some((Codec::Pcma, 8)),
                None => None,
            }
        })
    }

    fn dtmf(&self) -> Option<u8> {
        self.payload_types()
            .find(|pt| self.map(*pt) == Some(("TELEPHONE-EVENT", 8000)))
    }

    fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats
            .iter()
            .filter_map(|f| f.parse().ok().filter(|pt| *pt < 128))
    }

    fn map(&self, pt: u8) -> Option<(&str, u32)> {
        let (_, name, rate) = self.maps.iter().find(|(p, ..)| *p == pt)?;
        Some((name, *rate))
    }
}

fn read_media(value: &str) -> Option<Media> {
    let mut words = value.split_ascii_whitespace();
    let kind = words.next()?.to_owned();
    let port = words.next()?.split('/').next()?.parse().ok()?;
    let protocol = words.next()?.to_owned();
    Some(Media {
        kind,
        port,
        protocol,
        formats: words.take(64).map(str::to_owned).collect(),
        maps: Vec::new(),
        packet_time: None,
        crypto: Vec::new(),
        direction: None,
        connection: None,
    })
}

fn read_map(value: &str) -> Option<(u8, String, u32)> {
    let (pt, rest) = value.trim().split_once(' ')?;
    let mut parts = rest.trim().split('/');
    let name = parts.next()?.to_ascii_uppercase();
    Some((pt.parse().ok()?, name, parts.next()?.trim().parse().ok()?))
}

/// Our side of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// `o=` session id: one per call.
    pub session_id: u64,
    /// `o=` version: one more for each changed description.
    pub version: u64,
    /// Where we want packets.
    pub address: SocketAddr,
    /// Codecs in order of preference.
    pub codecs: Vec<Codec>,
    /// Payload type of telephone-event in our offers.
    pub dtmf_payload: u8,
    /// What we want.
    pub direction: Direction,
    /// What we would send with; none where media is plain. Only for a peer whose signalling is TLS.
    pub crypto: Option<LocalCrypto>,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Where packets go. An unspecified address while the peer holds the old way.
    pub remote: SocketAddr,
    /// Codec both ways.
    pub codec: Codec,
    /// Payload type we send the codec with.
    pub payload: u8,
    /// Payload type we receive the codec with.
    pub local_payload: u8,
    /// Payload type we send telephone-event with; `None` when the peer has none.
    pub dtmf_payload: Option<u8>,
    /// Payload type we receive telephone-event with.
    pub local_dtmf_payload: Option<u8>,
    /// As we see it: whether we send, whether we listen.
    pub direction: Direction,
    /// Packet time the peer asks for, 20 ms where it does not say.
    pub packet_time: u8,
    /// The keys both ways; none where media is plain.
    pub crypto: Option<SrtpKeys>,
}

const fn payload(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
    }
}

const fn encoding(codec: Codec) -> &'static str {
    match codec {
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
    }
}

impl LocalMedia {
    fn begin(&self) -> String {
        let ip = self.address.ip();
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        format!(
            "v=0\r\no=- {} {} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n",
            self.session_id, self.version
        )
    }

    fn put_audio(
        &self,
        text: &mut String,
        (protocol, crypto): (&str, &[CryptoLine]),
        codecs: &[(Codec, u8)],
        dtmf: Option<u8>,
        direction: Direction,
    ) {
        let mut keys = String::new();
        for line in crypto {
            line.write(&mut keys);
        }
        let mut put = |part: std::fmt::Arguments<'_>| {
            text.write_fmt(part)
                .expect("writing to a String cannot fail");
        };
        put(format_args!("m=audio {} {protocol}", self.address.port()));
        for pt in codecs.iter().map(|(_, pt)| *pt).chain(dtmf) {
            put(format_args!(" {pt}"));
        }
        put(format_args!("\r\n"));
        for (codec, pt) in codecs {
            put(format_args!("a=rtpmap:{pt} {}/8000\r\n", encoding(*codec)));
        }
        if let Some(pt) = dtmf {
            put(format_args!(
                "a=rtpmap:{pt} telephone-event/8000\r\na=fmtp:{pt} 0-16\r\n"
            ));
        }
        put(format_args!(
            "{keys}a=ptime:20\r\na={}\r\n",
            direction.token()
        ));
    }

    /// Our offer.
    pub fn offer(&self) -> Vec<u8> {
        let codecs: Vec<_> = self.codecs.iter().map(|c| (*c, payload(*c))).collect();
        let mut text = self.begin();
        let dtmf = Some(self.dtmf_payload);
        // Only offered, it is plain audio with keys beside it: who does not know them leaves them.
        let secured = match &self.crypto {
            Some(ours) if ours.policy == SrtpPolicy::Required => ("RTP/SAVP", &ours.lines[..]),
            Some(ours) => ("RTP/AVP", &ours.lines[..]),
            None => ("RTP/AVP", &[][..]),
        };
        self.put_audio(&mut text, secured, &codecs, dtmf, self.direction);
        text.into_bytes()
    }

    /// What the answer to [`LocalMedia::offer`] agrees to.
    pub fn read_answer(&self, answer: &[u8]) -> Result<Agreed, SdpError> {
        let session = Session::read(answer)?;
        let (i, media, secured) = session.audio(self.crypto.as_ref())?;
        if i != 0 {
            return Err(SdpError::Mismatch("the audio line is not the first"));
        }
        let (codec, payload_type) = media
            .codecs()
            .find(|(codec, _)| self.codecs.contains(codec))
            .ok_or(SdpError::Mismatch("it names no codec of the offer"))?;
        let (remote, direction) = session.target(media)?;
        let dtmf = media.dtmf();
        Ok(Agreed {
            remote,
            codec,
            payload: payload_type,
            local_payload: payload(codec),
            dtmf_payload: dtmf,
            local_dtmf_payload: dtmf.map(|_| self.dtmf_payload),
            direction: self.direction.both(direction.mirrored()),
            packet_time: media.packet_time.unwrap_or(20),
            crypto: secured.map(|secured| secured.keys),
        })
    }

    /// Our answer to an offer, and what it agrees to. The first secured audio line we speak is taken, else
    /// the first plain one; every other line is refused with port 0, the order kept (RFC 3264 section 6).
    pub fn answer(&self, offer: &[u8]) -> Result<(Vec<u8>, Agreed), SdpError> {
        let session = Session::read(offer)?;
        let (taken, media, secured) = session.audio(self.crypto.as_ref())?;
        let (codec, payload_type) = media
            .codecs()
            .find(|(codec, _)| self.codecs.contains(codec))
            .ok_or_else(|| SdpError::NotSpoken {
                reason: format!("audio formats {}", media.formats.join(" "))
                    .chars()
                    .take(80)
                    .collect(),
            })?;
        let (remote, direction) = session.target(media)?;
        let direction = self.direction.both(direction.mirrored());
        let dtmf = media.dtmf();
        let mut text = self.begin();
        for (i, line) in session.media.iter().enumerate() {
            if i == taken {
                let keys: Vec<_> = secured.iter().map(Secured::answer).collect();
                let secured = (media.protocol.as_str(), &keys[..]);
                let codec = &[(codec, payload_type)];
                self.put_audio(&mut text, secured, codec, dtmf, direction);
            } else {
                let format = line.formats.first().map_or("0", String::as_str);
                write!(text, "m={} 0 {} {format}\r\n", line.kind, line.protocol)
                    .expect("writing to a String cannot fail");
            }
        }
        let agreed = Agreed {
            remote,
            codec,
            payload: payload_type,
            local_payload: payload_type,
            dtmf_payload: dtmf,
            local_dtmf_payload: dtmf,
            direction,
            packet_time: media.packet_time.unwrap_or(20),
            crypto: secured.map(|secured| secured.keys),
        };
        Ok((text.into_bytes(), agreed))
    }

    /// Our side as we last wrote it, from our own description, ready for the next one.
    pub fn from_ours(ours: &[u8]) -> Result<Self, SdpError> {
        let session = Session::read(ours)?;
        let audio = |m: &&Media| m.kind == "audio" && m.port != 0 && m.codecs().next().is_some();
        let media = session.media.iter().find(audio);
        let media = media.ok_or(SdpError::Mismatch("it has no audio line"))?;
        let (address, _) = session.target(media)?;
        let lines: Vec<_> = media.crypto.iter().filter_map(|line| line.ok()).collect();
        let policy = match media.protocol.as_str() {
            "RTP/SAVP" => SrtpPolicy::Required,
            _ => SrtpPolicy::Offered,
        };
        let mut origin = session.origin.split(' ').skip(1).map(str::parse);
        let mut number = || origin.next().and_then(Result::ok).unwrap_or(0);
        Ok(Self {
            session_id: number(),
            version: number() + 1,
            address,
            codecs: media.codecs().map(|(codec, _)| codec).collect(),
            dtmf_payload: media.dtmf().unwrap_or(101),
            direction: Direction::SendRecv,
            crypto: (!lines.is_empty()).then_some(LocalCrypto { policy, lines }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> LocalMedia {
        LocalMedia {
            session_id: 7,
            version: 1,
            address: "192.0.2.9:40000".parse().expect("address"),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            dtmf_payload: 101,
            direction: Direction::SendRecv,
            crypto: None,
        }
    }

    fn theirs(connection: &str, lines: &str) -> Vec<u8> {
        format!("v=0\no=x 1 1 IN IP4 h\ns=\nc=IN IP4 {connection}\nt=0 0\n{lines}").into_bytes()
    }

    #[test]
    fn offers_and_answers_meet() {
        let offer = ours().offer();
        assert!(String::from_utf8_lossy(&offer).contains("m=audio 40000 RTP/AVP 0 8 101\r\n"));
        let mut callee = ours();
        callee.address = "192.0.2.10:50000".parse().expect("address");
        callee.codecs = vec![Codec::Pcma];
        let (answer, agreed) = callee.answer(&offer).expect("a common codec");
        assert_eq!((agreed.codec, agreed.payload), (Codec::Pcma, 8));
        let agreed = ours().read_answer(&answer).expect("fits");
        assert_eq!(agreed.remote, callee.address);
        assert_eq!(
            (agreed.codec, agreed.dtmf_payload),
            (Codec::Pcma, Some(101))
        );
        let again = LocalMedia::from_ours(&answer).expect("ours");
        assert_eq!(
            (again.session_id, again.version, again.codecs),
            (7, 2, vec![Codec::Pcma])
        );
    }

    #[test]
    fn payload_types_may_differ_by_side() {
        let answer = theirs(
            "192.0.2.1",
            "m=audio 9000 RTP/AVP 8 96\na=rtpmap:96 telephone-event/8000\na=ptime:30\n",
        );
        let agreed = ours().read_answer(&answer).expect("fits");
        assert_eq!(
            (agreed.dtmf_payload, agreed.local_dtmf_payload),
            (Some(96), Some(101))
        );
        assert_eq!(agreed.packet_time, 30);
        let offer = theirs(
            "192.0.2.1",
            "m=audio 9000 RTP/AVP 97 98\na=rtpmap:97 pcmu/8000/1\na=rtpmap:98 telephone-event/8000\n",
        );
        let (answer, agreed) = ours().answer(&offer).expect("dynamic PCMU");
        assert_eq!((agreed.payload, agreed.dtmf_payload), (97, Some(98)));
        assert!(
            String::from_utf8_lossy(&answer).contains("RTP/AVP 97 98\r\na=rtpmap:97 PCMU/8000")
        );
    }

    #[test]
    fn holds_in_every_dialect() {
        for (connection, attribute, expected) in [
            ("192.0.2.1", "", Direction::SendRecv),
            ("192.0.2.1", "a=sendonly\n", Direction::RecvOnly),
            ("192.0.2.1", "a=recvonly\n", Direction::SendOnly),
            ("192.0.2.1", "a=inactive\n", Direction::Inactive),
            ("0.0.0.0", "", Direction::RecvOnly),
        ] {
            let offer = theirs(connection, &format!("m=audio 9000 RTP/AVP 0\n{attribute}"));
            let (answer, agreed) = ours().answer(&offer).expect("spoken");
            assert_eq!(agreed.direction, expected, "{connection} {attribute}");
            let line = format!("a={}\r\n", expected.token());
            assert!(String::from_utf8_lossy(&answer).ends_with(&line));
        }
    }

    #[test]
    fn what_we_do_not_speak_is_refused_by_name() {
        for (lines, reason) in [
            (
                "m=audio 9000 RTP/SAVP 0\n",
                "audio over RTP/SAVP; SRTP is off for this peer, or its signalling is not TLS",
            ),
            ("m=audio 9000 RTP/AVP 18\n", "audio formats 18"),
            (
                "m=audio 9000 RTP/AVP 0\na=rtpmap:0 G729/8000\n",
                "audio formats 0",
            ),
            ("m=image 9000 udptl t38\n", "image line"),
            ("m=audio 0 RTP/AVP 0\n", "audio line with port 0"),
            ("", "no media line"),
        ] {
            let error = ours()
                .answer(&theirs("192.0.2.1", lines))
                .expect_err("refused");
            assert_eq!(
                error,
                SdpError::NotSpoken {
                    reason: reason.into()
                }
            );
        }
        let offer = theirs(
            "192.0.2.1",
            "m=video 9 RTP/AVP 96\nm=audio 9000 RTP/AVP 18 8\nm=image 1 udptl t38\n",
        );
        let (answer, _) = ours().answer(&offer).expect("the second line");
        let answer = Session::read(&answer).expect("ours");
        let ports: Vec<u16> = answer.media.iter().map(|m| m.port).collect();
        assert_eq!(ports, [0, 40000, 0]);
        assert_eq!(answer.media[2].protocol, "udptl");
    }

    #[test]
    fn media_goes_to_one_host_only() {
        for bad in [
            "224.2.3.4",
            "255.255.255.255",
            "224.2.3.4/127",
            "host.example",
        ] {
            let offer = theirs(bad, "m=audio 9000 RTP/AVP 0\n");
            assert!(
                matches!(ours().answer(&offer), Err(SdpError::Address(_))),
                "{bad}"
            );
        }
        let v6 = b"v=0\r\nm=audio 9000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1";
        let (_, agreed) = ours().answer(v6).expect("no final line end");
        assert_eq!(
            agreed.remote,
            "[2001:db8::1]:9000".parse().expect("address")
        );
    }

    #[test]
    fn damaged_and_oversized_descriptions() {
        assert_eq!(Session::read(b""), Err(SdpError::Malformed { line: 1 }));
        assert_eq!(
            Session::read(b"hello"),
            Err(SdpError::Malformed { line: 1 })
        );
        assert_eq!(
            Session::read(b"v=0\nm=audio x"),
            Err(SdpError::Malformed { line: 2 })
        );
        let at_limit = theirs(
            "192.0.2.1",
            &"m=audio 9 RTP/AVP 0\n".repeat(SDP_MEDIA_LINES),
        );
        assert!(Session::read(&at_limit).is_ok());
        let over = theirs(
            "192.0.2.1",
            &"m=audio 9 RTP/AVP 0\n".repeat(SDP_MEDIA_LINES + 1),
        );
        assert_eq!(Session::read(&over), Err(SdpError::TooManyMedia));
    }
}
