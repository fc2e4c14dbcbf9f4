//! Session descriptions (RFC 8866), as little as one audio line of G.711 needs.

use crate::audio::Law;
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

/// What matters of a session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdp {
    /// Where audio goes; port 0 refuses.
    pub audio: SocketAddr,
    /// G.711 laws in order of preference.
    pub laws: Vec<Law>,
    /// Payload type of telephone-event at 8000 Hz, where offered.
    pub events: Option<u8>,
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    pub direction: String,
}

impl Sdp {
    /// Reads the first audio line; `None` where there is none or its address is not an IP.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut session_ip, mut media_ip): (Option<IpAddr>, Option<IpAddr>) = (None, None);
        let (mut port, mut laws, mut events) = (None, Vec::new(), None);
        let mut direction = "sendrecv".to_owned();
        let mut in_audio = false;
        for line in text.lines() {
            let Some((key, value)) = line.trim_end().split_once('=') else {
                continue;
            };
            match key {
                "m" => {
                    if port.is_some() {
                        break;
                    }
                    let mut words = value.split_whitespace();
                    in_audio = words.next() == Some("audio");
                    if in_audio {
                        port = words.next()?.split('/').next()?.parse::<u16>().ok();
                        laws = words
                            .skip(1)
                            .filter_map(|w| Law::from_payload_type(w.parse().ok()?))
                            .collect();
                    }
                }
                "c" => {
                    let ip = value.split_whitespace().nth(2)?.parse().ok();
                    if in_audio {
                        media_ip = ip;
                    } else if port.is_none() {
                        session_ip = ip;
                    }
                }
                "a" if in_audio || port.is_none() => {
                    if matches!(value, "sendrecv" | "sendonly" | "recvonly" | "inactive") {
                        direction = value.to_owned();
                    } else if let Some(map) = value.strip_prefix("rtpmap:")
                        && map.to_ascii_lowercase().ends_with("telephone-event/8000")
                    {
                        events = map.split_whitespace().next()?.parse().ok();
                    }
                }
                _ => {}
            }
        }
        Some(Self {
            audio: SocketAddr::new(media_ip.or(session_ip)?, port?),
            laws,
            events,
            direction,
        })
    }

    /// Writes it. `version` grows with each change within a dialog.
    pub fn to_text(&self, session: u64, version: u64) -> String {
        let (ip, port) = (self.audio.ip(), self.audio.port());
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let mut text = format!(
            "v=0\r\no=- {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP"
        );
        for law in &self.laws {
            let _infallible = write!(text, " {}", law.payload_type());
        }
        if let Some(events) = self.events {
            let _infallible = write!(text, " {events}");
        }
        text.push_str("\r\n");
        for law in &self.laws {
            let _infallible = write!(
                text,
                "a=rtpmap:{} {}/8000\r\n",
                law.payload_type(),
                law.name()
            );
        }
        if let Some(events) = self.events {
            let _infallible = write!(
                text,
                "a=rtpmap:{events} telephone-event/8000\r\na=fmtp:{events} 0-16\r\n"
            );
        }
        let _infallible = write!(text, "a=ptime:20\r\na={}\r\n", self.direction);
        text
    }

    /// The answer to this offer from `audio`; `None` where no law is shared.
    pub fn answer(&self, audio: SocketAddr, supported: &[Law]) -> Option<Self> {
        let law = self.laws.iter().find(|l| supported.contains(l))?;
        let direction = match self.direction.as_str() {
            "sendonly" => "recvonly",
            "recvonly" => "sendonly",
            other => other,
        };
        Some(Self {
            audio,
            laws: vec![*law],
            events: self.events,
            direction: direction.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_and_answers() {
        let offer = Sdp::parse(
            "v=0\r\no=x 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18 8 0 96\r\n\
             a=rtpmap:96 telephone-event/8000\r\na=sendonly\r\nm=video 4002 RTP/AVP 99\r\nc=IN IP4 192.0.2.3\r\n",
        )
        .unwrap();
        assert_eq!(offer.audio, "192.0.2.1:4000".parse().unwrap());
        assert_eq!(offer.laws, [Law::A, Law::Mu]);
        let answer = offer
            .answer("127.0.0.1:6000".parse().unwrap(), &[Law::Mu, Law::A])
            .unwrap();
        assert_eq!(
            (answer.laws.as_slice(), answer.direction.as_str()),
            (&[Law::A][..], "recvonly")
        );
        assert_eq!(answer.events, Some(96));
        assert_eq!(Sdp::parse(&answer.to_text(1, 1)), Some(answer));
        let video_only = "v=0\r\nc=IN IP4 1.2.3.4\r\nm=video 1 RTP/AVP 9\r\n";
        assert_eq!(Sdp::parse(video_only), None);
        let g729 = Sdp::parse("c=IN IP4 1.2.3.4\r\nm=audio 1 RTP/AVP 18\r\n").unwrap();
        assert_eq!(
            g729.answer("127.0.0.1:6000".parse().unwrap(), &[Law::Mu]),
            None
        );
    }
}
