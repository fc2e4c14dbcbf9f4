//! Whole user agents, with calls under way that inputs may be about.

use super::State;
use bytes::Bytes;
use domain::{Now, Secret, SipTransport};
use sansio::{Seed, Stream};
use sip::{
    Address, Credentials, Endpoint, EndpointConfig, Flow, Input, Invite, Output, RegistrarConfig,
    SipEvent,
    lexer::{Message, Name},
};
use std::{net::SocketAddr, time::Duration};

/// Calls at a time that the endpoint may have.
const CALLS: usize = 8;
/// Requests of ours that are remembered, to be answered.
const REMEMBERED: usize = 16;

const ANSWER: &str = "v=0\r\no=c 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
                      m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const STATUSES: [&str; 12] = [
    "100 Trying",
    "180 Ringing",
    "183 Progress",
    "200 OK",
    "302 Moved",
    "401 Unauthorized",
    "407 Proxy Authentication Required",
    "422 Too Small",
    "481 Gone",
    "486 Busy",
    "503 Unavailable",
    "603 Decline",
];
const LINES: [&str; 6] = [
    "",
    "Require: 100rel\r\nRSeq: 1\r\n",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n",
    "Session-Expires: 90;refresher=uac\r\nRequire: timer\r\n",
    "Retry-After: 5\r\nReason: Q.850;cause=34\r\n",
    "Record-Route: <sip:192.0.2.9;lr>\r\n",
];

struct Agent {
    endpoint: Endpoint,
    now: Now,
    flow: Flow,
    sent: Vec<Bytes>,
    calling: bool,
}

fn flow(transport: SipTransport) -> Flow {
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Flow {
        transport,
        local: address("192.0.2.1:5060"),
        remote: address("192.0.2.9:5060"),
    }
}

fn agent(stream: &mut Stream, registrar: bool) -> Agent {
    let mut seed = [0; 32];
    stream.fill(&mut seed);
    let config = EndpointConfig {
        max_calls: CALLS,
        registrar: registrar.then(RegistrarConfig::default),
        ..EndpointConfig::default()
    };
    let flow = flow(match stream.below(3) {
        0 => SipTransport::Udp,
        1 => SipTransport::Tcp,
        _ => SipTransport::Tls,
    });
    let mut agent = Agent {
        endpoint: Endpoint::new(config, Seed::new(seed)),
        now: Now::default().plus(Duration::from_secs(1_000)),
        flow,
        sent: Vec::new(),
        calling: !registrar,
    };
    agent.endpoint.set_peers([flow.remote.ip()]);
    agent
}

pub(super) fn trunk(stream: &mut Stream) -> Box<dyn State> {
    let mut agent = agent(stream, false);
    agent.call();
    agent.drain();
    Box::new(agent)
}

pub(super) fn phone(stream: &mut Stream) -> Box<dyn State> {
    let mut agent = agent(stream, true);
    for user in ["1001", "1002"] {
        let known = agent.endpoint.set_user(user, Secret::new("pw"));
        known.expect("there is room");
    }
    Box::new(agent)
}

impl Agent {
    fn call(&mut self) {
        let invite = Invite {
            flow: self.flow,
            request_uri: "sip:+14155550134@carrier.example".into(),
            from: Address::new("sip:+12125550100@acme.example"),
            to: Address::new("sip:+14155550134@carrier.example"),
            contact_user: "d".into(),
            p_asserted_identity: None,
            headers: Vec::new(),
            body: Bytes::from_static(ANSWER.as_bytes()),
            credentials: Some(Credentials {
                username: "dm01".into(),
                password: Secret::new("pw"),
            }),
            expires: None,
            valid_until: None,
            session_expires: Some(Duration::from_secs(1_800)),
            reliable: true,
            follow_redirect: true,
        };
        // At its bound it refuses, rightly.
        drop(self.endpoint.invite(self.now, invite));
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { bytes, .. } => {
                    if self.sent.len() == REMEMBERED {
                        self.sent.remove(0);
                    }
                    self.sent.push(bytes);
                }
                Output::Event(SipEvent::Incoming { call, .. }) => {
                    let answer = Bytes::from_static(ANSWER.as_bytes());
                    // It may be over already.
                    drop(self.endpoint.accept(self.now, call, answer));
                }
                Output::Event(_) => {}
            }
        }
    }

    /// A response to something that was sent.
    fn response(&self, stream: &mut Stream) -> Option<Vec<u8>> {
        let count = u32::try_from(self.sent.len()).ok().filter(|n| *n > 0)?;
        let request = Message::read(&self.sent[stream.below(count) as usize]).ok()?;
        request.method()?;
        let value = |name| Some(String::from_utf8_lossy(request.value(name)?).into_owned());
        let mut pick = |texts: &[&'static str]| texts[stream.below(texts.len() as u32) as usize];
        let (status, line, body) = (pick(&STATUSES), pick(&LINES), pick(&["", ANSWER]));
        Some(
            format!(
                "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=t{}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
                 Contact: <sip:c@192.0.2.9>\r\n{line}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                value(Name::Via)?,
                value(Name::From)?,
                value(Name::To)?,
                pick(&["1", "2"]),
                value(Name::CallId)?,
                value(Name::CSeq)?,
                body.len()
            )
            .into_bytes(),
        )
    }
}

impl State for Agent {
    fn example(&mut self, stream: &mut Stream) -> Option<Vec<u8>> {
        match stream.below(3) {
            0 => None,
            _ => self.response(stream),
        }
    }

    fn take(&mut self, bytes: &[u8], stream: &mut Stream) -> Result<(), String> {
        let flow = self.flow;
        let input = match stream.below(40) {
            0 => Input::SendFailed { flow },
            1 => Input::Unsent {
                flow,
                bytes,
                congested: false,
            },
            _ => Input::Received { flow, bytes },
        };
        let refused = self.endpoint.handle(self.now, input).err();
        self.drain();
        self.now = self
            .now
            .plus(Duration::from_millis(u64::from(stream.below(2_000))));
        self.endpoint.handle_timeout(self.now);
        self.drain();
        if self.calling && stream.below(10) == 0 {
            self.call();
            self.drain();
        }
        if let Some(refused) = refused {
            return Err(format!("input from the network was refused: {refused}"));
        }
        match self.endpoint.live_calls() {
            calls if calls > CALLS => Err(format!("{calls} calls where {CALLS} are the most")),
            _ => Ok(()),
        }
    }
}
