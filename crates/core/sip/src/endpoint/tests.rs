//! The endpoint against a scripted peer. `network` joins two endpoints.

mod calls_of_ours;
mod calls_to_us;
mod extensions;
mod floods;
mod network;
mod torture;

use super::*;
use crate::{lexer::Message, lexer::Name, message::Head, sdp::LocalMedia};
use domain::{Codec, Secret, SipTransport};
use std::time::Duration;

pub(super) const OURS: &str = "192.0.2.9:5060";
pub(super) const THEIRS: &str = "192.0.2.1:5060";

pub(super) fn flow_to(remote: &str) -> Flow {
    Flow {
        transport: SipTransport::Udp,
        local: OURS.parse().expect("address"),
        remote: remote.parse().expect("address"),
    }
}

pub(super) fn sdp(port: u16) -> Bytes {
    LocalMedia {
        session_id: 1,
        version: 1,
        address: format!("192.0.2.77:{port}").parse().expect("address"),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        dtmf_payload: 101,
        direction: crate::sdp::Direction::SendRecv,
        crypto: None,
    }
    .offer()
    .into()
}

/// One endpoint, its clock, and what it put out since last asked.
pub(super) struct Rig {
    pub(super) endpoint: Endpoint,
    pub(super) now: Now,
    pub(super) sent: Vec<(Flow, String, Kind)>,
    pub(super) events: Vec<SipEvent>,
}

impl Rig {
    pub(super) fn new(config: EndpointConfig) -> Self {
        let mut endpoint = Endpoint::new(config, Seed::from_u64(7));
        endpoint.set_peers([THEIRS.parse::<SocketAddr>().expect("address").ip()]);
        Self {
            endpoint,
            now: Now::default().plus(Duration::from_secs(1_000)),
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { flow, bytes, kind } => {
                    let text = String::from_utf8(bytes.to_vec()).expect("text");
                    self.sent.push((flow, text, kind));
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// What was sent since last asked.
    pub(super) fn take_sent(&mut self) -> Vec<String> {
        self.drain();
        self.sent.drain(..).map(|(_, text, _)| text).collect()
    }

    pub(super) fn take_events(&mut self) -> Vec<SipEvent> {
        self.drain();
        std::mem::take(&mut self.events)
    }

    pub(super) fn hear(&mut self, text: &str) {
        self.hear_from(THEIRS, text);
    }

    pub(super) fn hear_from(&mut self, remote: &str, text: &str) {
        let input = Input::Received {
            flow: flow_to(remote),
            bytes: text.as_bytes(),
        };
        self.endpoint
            .handle(self.now, input)
            .expect("network input is never refused");
    }

    /// Lets time pass, firing timers when they are due.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now.plus(span);
        while let Some((at, _)) = self.endpoint.poll_timeout()
            && at <= end.monotonic
        {
            self.now = self.now.plus(at.since(self.now.monotonic));
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    pub(super) fn call(&mut self, change: impl FnOnce(&mut Invite)) -> CallHandle {
        let mut invite = Invite {
            flow: flow_to(THEIRS),
            request_uri: "sip:+14155550134@carrier.example".into(),
            from: Address {
                display: "Acme \"1\"".into(),
                uri: "sip:+12125550100@acme.example".into(),
            },
            to: Address::new("sip:+14155550134@carrier.example"),
            contact_user: "d".into(),
            p_asserted_identity: Some("sip:+12125550100@acme.example".into()),
            headers: vec![("X-Note".into(), "a\r\nEvil: 1".into())],
            body: sdp(40_000),
            credentials: None,
            expires: None,
            valid_until: None,
            session_expires: None,
            reliable: false,
            follow_redirect: false,
        };
        change(&mut invite);
        self.endpoint.invite(self.now, invite).expect("room")
    }

    pub(super) fn assert_forgotten(&mut self) {
        self.pass(Duration::from_secs(70));
        assert_eq!(
            self.endpoint.held(),
            [0; 4],
            "calls, clients, servers, timers"
        );
        assert_eq!(self.endpoint.live_calls(), 0);
    }
}

/// The peer's response to a request of ours.
pub(super) fn reply(request: &str, status: &str, to_tag: &str, lines: &str, body: &[u8]) -> String {
    let message = Message::read(request.as_bytes()).expect("ours is well formed");
    let value =
        |name| String::from_utf8_lossy(message.value(name).expect("ours has it")).into_owned();
    let to = value(Name::To);
    let tag = match to_tag {
        "" => String::new(),
        _ if to.contains(";tag=") => String::new(),
        tag => format!(";tag={tag}"),
    };
    format!(
        "SIP/2.0 {status}\r\nVia: {};received=192.0.2.9\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         {lines}Content-Length: {}\r\n\r\n{}",
        value(Name::Via),
        value(Name::From),
        value(Name::CallId),
        value(Name::CSeq),
        body.len(),
        String::from_utf8_lossy(body)
    )
}

pub(super) fn header(text: &str, name: Name) -> String {
    let message = Message::read(text.as_bytes()).expect("well formed");
    String::from_utf8_lossy(message.value(name).unwrap_or_default()).into_owned()
}

pub(super) fn branch(text: &str) -> String {
    let message = Message::read(text.as_bytes()).expect("well formed");
    let head = Head::read(&message).expect("complete");
    String::from_utf8_lossy(head.via.branch()).into_owned()
}

pub(super) const CONTACT: &str =
    "Contact: <sip:gw@192.0.2.1:5062>\r\nContent-Type: application/sdp\r\n";

pub(super) fn credentials() -> Option<Credentials> {
    Some(Credentials {
        username: "acme".into(),
        password: Secret::new("pw"),
    })
}
