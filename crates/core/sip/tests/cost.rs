//! What a call costs: the whole signalling of a caller's answered call, without the kernel.

use bytes::Bytes;
use domain::{Now, SipTransport};
use sansio::Seed;
use sip::{Address, Endpoint, EndpointConfig, Flow, Input, Invite, Kind, Output, SipEvent};
use std::time::{Duration, Instant};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

fn flow() -> Flow {
    Flow {
        transport: SipTransport::Udp,
        local: "192.0.2.9:5060".parse().expect("address"),
        remote: "192.0.2.1:5060".parse().expect("address"),
    }
}

/// The far end, as cheap as can be: the request's own headers between a status line and a contact.
fn reply(request: &[u8], status: &str, body: &str) -> Vec<u8> {
    let text = std::str::from_utf8(request).expect("ours is text");
    let head = text.split("\r\n\r\n").next().expect("a head");
    let mut out = format!("SIP/2.0 {status}\r\n");
    for line in head.split("\r\n").skip(1) {
        let name = line.split(':').next().expect("a name");
        match name {
            "To" if !line.contains(";tag=") => out.push_str(&format!("{line};tag=far\r\n")),
            "Via" | "From" | "To" | "Call-ID" | "CSeq" => out.push_str(&format!("{line}\r\n")),
            _ => {}
        }
    }
    out.push_str("Contact: <sip:gw@192.0.2.1:5060>\r\nContent-Type: application/sdp\r\n");
    out.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    out.into_bytes()
}

/// INVITE, 100, 180, 200, ACK, BYE, 200, with the timers of the calls before it. The bound is generous:
/// tests run unoptimised on shared machines. The figure is printed.
#[test]
fn a_call_costs_microseconds() {
    let mut endpoint = Endpoint::new(EndpointConfig::default(), Seed::from_u64(1));
    endpoint.set_peers([flow().remote.ip()]);
    let mut now = Now::default();
    let mut ours = Duration::ZERO;
    let calls = 40_000u32;
    let mut ended = 0;
    for _ in 0..calls {
        // 1,000 calls a second for 40 s: the first are forgotten while the last are made.
        now = now.plus(Duration::from_millis(1));
        let invite = Invite {
            flow: flow(),
            request_uri: "sip:+14155550134@carrier.example".into(),
            from: Address::new("sip:+12125550100@acme.example"),
            to: Address::new("sip:+14155550134@carrier.example"),
            contact_user: "d".into(),
            p_asserted_identity: Some("sip:+12125550100@acme.example".into()),
            headers: Vec::new(),
            body: Bytes::from_static(OFFER.as_bytes()),
            credentials: None,
            expires: Some(Duration::from_secs(60)),
            valid_until: None,
            session_expires: None,
            reliable: false,
            follow_redirect: false,
        };
        let start = Instant::now();
        endpoint.handle_timeout(now);
        let call = endpoint.invite(now, invite).expect("room");
        ours += start.elapsed();
        let mut inbox: Vec<Vec<u8>> = Vec::new();
        loop {
            let start = Instant::now();
            let output = endpoint.poll_output();
            ours += start.elapsed();
            match output {
                Some(Output::Transmit { bytes, kind, .. }) => match kind {
                    Kind::Invite { .. } => {
                        for (status, body) in
                            [("100 Trying", ""), ("180 Ringing", ""), ("200 OK", OFFER)]
                        {
                            inbox.push(reply(&bytes, status, body));
                        }
                        inbox.reverse();
                    }
                    Kind::Other if bytes.starts_with(b"BYE") => {
                        inbox.push(reply(&bytes, "200 OK", ""))
                    }
                    Kind::Other => {}
                },
                Some(Output::Event(SipEvent::Answered { call, .. })) => {
                    let start = Instant::now();
                    endpoint.bye(now, call, None).expect("answered");
                    ours += start.elapsed();
                }
                Some(Output::Event(SipEvent::Ended { call: over, .. })) => {
                    assert_eq!(over, call);
                    ended += 1;
                }
                Some(Output::Event(_)) => {}
                None => {
                    let Some(bytes) = inbox.pop() else { break };
                    let start = Instant::now();
                    let flow = flow();
                    endpoint
                        .handle(
                            now,
                            Input::Received {
                                flow,
                                bytes: &bytes,
                            },
                        )
                        .expect("network input is never refused");
                    ours += start.elapsed();
                }
            }
        }
    }
    assert_eq!(ended, calls);
    let micros = ours.as_secs_f64() * 1e6 / f64::from(calls);
    println!("{micros:.1} us a call, {:?} held", endpoint.held());
    assert!(micros < 1_000.0, "{micros} us a call");
}
