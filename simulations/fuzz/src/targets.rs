//! What reads foreign bytes.

mod audio;
mod endpoint;
mod text;

use sansio::Stream;

/// One target in some state.
pub(crate) trait State {
    /// A message that fits the state better than one of the corpus, if it has one.
    fn example(&mut self, _stream: &mut Stream) -> Option<Vec<u8>> {
        None
    }

    /// Takes an input.
    ///
    /// # Errors
    /// Which invariant does not hold.
    fn take(&mut self, bytes: &[u8], stream: &mut Stream) -> Result<(), String>;
}

/// A target.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// The folder of its corpus.
    pub(crate) corpus: &'static str,
    /// What is put into inputs.
    pub(crate) words: &'static [&'static [u8]],
    /// Its first state.
    pub(crate) start: fn(&mut Stream) -> Box<dyn State>,
}

const SIP_WORDS: &[&[u8]] = &[
    b"\r\n", b"\r\n\r\n", b"\r\n ", b";", b"<", b">", b"\"", b",", b"\\", b":", b"%00", b"\0", b"\xff\xfe", b"\xe4\xbd\xa0",
    b"4294967296", b"18446744073709551616", b"sip:", b"tel:", b";lr", b";tag=", b";branch=z9hG4bK", b"SIP/2.0 ",
    b"INVITE ", b"\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", b"\r\nContact: *", b"\r\nl: 0", b"\r\nContent-Length: ",
    b"\r\nRoute: <sip:192.0.2.9;lr>", b"\r\nRequire: 100rel", b"\r\nRSeq: 1", b"\r\nSession-Expires: 90",
    b"\r\nProxy-Authenticate: Digest realm=\"a\",nonce=\"b\",qop=\"auth,auth-int\",algorithm=SHA-256",
    b"\r\nContact: <sip:+14155550134@192.0.2.9>",
];

const SDP_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"m=audio 9 RTP/AVP 0 8 101\r\n",
    b"m=video 9 RTP/AVP 96\r\n",
    b"a=rtpmap:",
    b"a=fmtp:101 0-15\r\n",
    b"c=IN IP4 192.0.2.1\r\n",
    b"c=IN IP6 ::1\r\n",
    b"c=IN IP4 224.0.0.1\r\n",
    b"a=sendonly\r\n",
    b"a=inactive\r\n",
    b"a=rtcp:",
    b"a=rtcp-mux\r\n",
    b" 0",
    b"-1",
    b"65536",
    b"\xff",
];

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "message",
        about: "a SIP message and everything that reads its headers",
        corpus: "sip",
        words: SIP_WORDS,
        start: text::message,
    },
    Target {
        name: "stream",
        about: "SIP on a stream: the same messages however it is split",
        corpus: "sip",
        words: SIP_WORDS,
        start: text::stream,
    },
    Target {
        name: "sdp",
        about: "session descriptions, as offer and as answer",
        corpus: "sdp",
        words: SDP_WORDS,
        start: text::sdp,
    },
    Target {
        name: "trunk",
        about: "the user agent towards carriers, with calls of its own under way",
        corpus: "sip",
        words: SIP_WORDS,
        start: endpoint::trunk,
    },
    Target {
        name: "phone",
        about: "the user agent and registrar towards agents' phones",
        corpus: "sip",
        words: SIP_WORDS,
        start: endpoint::phone,
    },
    Target {
        name: "rtp",
        about: "RTP and RTCP that come to a bridge of two legs",
        corpus: "rtp",
        words: &[
            b"\x80\x00",
            b"\x80\xc8",
            b"\x81\xc9",
            b"\x80\x65",
            b"\xff\xff",
            b"\0\0\0\0",
        ],
        start: audio::exchange,
    },
    Target {
        name: "wav",
        about: "sound files that operators give",
        corpus: "wav",
        words: &[
            b"RIFF",
            b"WAVEfmt ",
            b"data",
            b"LIST",
            b"\xff\xff\xff\xff",
            b"\0\0\0\0",
            b"\x01\0\x01\0",
        ],
        start: audio::wav,
    },
];
