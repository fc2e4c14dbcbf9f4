use super::*;

fn rig() -> Rig {
    Rig::new(EndpointConfig::default())
}

fn request(method: &str, cseq: u32, to_tag: &str, lines: &str, body: &[u8]) -> String {
    let to_tag = if to_tag.is_empty() {
        String::new()
    } else {
        format!(";tag={to_tag}")
    };
    let number = if method == "ACK" || method == "CANCEL" {
        1
    } else {
        cseq
    };
    format!(
        "{method} sip:+12125550100@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKp{number}\r\n\
         Max-Forwards: 70\r\nFrom: \"Bob\" <sip:+14155550134@carrier.example>;tag=p\r\nTo: <sip:+12125550100@acme.example>{to_tag}\r\n\
         Call-ID: theirs\r\nCSeq: {cseq} {method}\r\n{lines}Content-Length: {}\r\n\r\n{}",
        body.len(),
        String::from_utf8_lossy(body)
    )
}

fn incoming(rig: &mut Rig) -> (CallHandle, String) {
    let lines = format!("{CONTACT}Record-Route: <sip:192.0.2.1;lr>\r\n");
    rig.hear(&request("INVITE", 1, "", &lines, &sdp(9_000)));
    let sent = rig.take_sent();
    assert!(sent[0].starts_with("SIP/2.0 100 Trying\r\n"), "{sent:?}");
    match rig.take_events().remove(0) {
        SipEvent::Incoming {
            call,
            from,
            to,
            request_uri,
            user,
            body,
            ..
        } => {
            assert_eq!(
                (from.display.as_str(), from.user().as_str()),
                ("Bob", "+14155550134")
            );
            assert_eq!(
                (to.user(), request_uri.user()),
                ("+12125550100".into(), "+12125550100".into())
            );
            assert_eq!((user, body), (None, sdp(9_000)));
            let tag = header(&sent[0], Name::To);
            (call, tag.split(";tag=").nth(1).expect("tagged").to_owned())
        }
        other => panic!("{other:?}"),
    }
}

fn confirmed(rig: &mut Rig) -> (CallHandle, String) {
    let (call, tag) = incoming(rig);
    rig.endpoint
        .accept(rig.now, call, sdp(40_000))
        .expect("incoming");
    rig.take_sent();
    rig.hear(&request("ACK", 1, &tag, "", b"").replace("z9hG4bKp1", "z9hG4bKack"));
    assert_eq!(
        rig.take_events(),
        [SipEvent::Acknowledged {
            call,
            body: Bytes::new()
        }]
    );
    (call, tag)
}

#[test]
fn an_incoming_call_from_ring_to_bye() {
    let mut rig = rig();
    let (call, tag) = incoming(&mut rig);
    rig.hear(&request("INVITE", 1, "", CONTACT, &sdp(9_000)));
    assert!(
        rig.take_sent()[0].starts_with("SIP/2.0 100"),
        "repeated: answered from memory"
    );
    rig.endpoint.ringing(rig.now, call).expect("incoming");
    assert!(rig.take_sent()[0].starts_with("SIP/2.0 180 Ringing"));
    rig.endpoint
        .accept(rig.now, call, sdp(40_000))
        .expect("incoming");
    let ok = rig.take_sent().remove(0);
    assert!(
        ok.contains("\r\nRecord-Route: <sip:192.0.2.1;lr>\r\n")
            && ok.contains("Contact: <sip:+12125550100@192.0.2.9:5060>")
    );
    assert!(ok.contains("received=192.0.2.1;rport=5060"));
    // Until the ACK comes: 0.5, 1, 2 s.
    rig.pass(Duration::from_millis(3_600));
    assert_eq!(rig.take_sent(), [ok.clone(), ok.clone(), ok]);
    rig.hear(&request("INVITE", 1, "", CONTACT, &sdp(9_000)));
    assert!(rig.take_sent().is_empty(), "absorbed (RFC 6026)");
    rig.hear(&request("ACK", 1, &tag, "", b"").replace("z9hG4bKp1", "z9hG4bKack"));
    assert_eq!(
        rig.take_events(),
        [SipEvent::Acknowledged {
            call,
            body: Bytes::new()
        }]
    );
    rig.pass(Duration::from_secs(10));
    assert!(rig.take_sent().is_empty());
    let bye = request("BYE", 2, &tag, "Reason: Q.850;cause=16\r\n", b"");
    rig.hear(&bye);
    assert_eq!(
        rig.take_events(),
        [SipEvent::Ended {
            call,
            cause: EndCause::Peer,
            q850: Some(16)
        }]
    );
    let answer = rig.take_sent();
    assert!(answer[0].starts_with("SIP/2.0 200 OK"));
    rig.hear(&bye);
    assert_eq!(rig.take_sent(), answer);
    assert!(rig.take_events().is_empty());
    rig.assert_forgotten();
}

#[test]
fn an_answer_that_is_never_acknowledged_is_hung_up() {
    let mut rig = rig();
    let (call, _) = incoming(&mut rig);
    rig.endpoint
        .accept(rig.now, call, sdp(40_000))
        .expect("incoming");
    rig.pass(Duration::from_secs(33));
    let sent = rig.take_sent();
    assert_eq!(
        sent.iter().filter(|s| s.starts_with("SIP/2.0 200")).count(),
        11
    );
    assert!(
        sent.iter()
            .any(|s| s.starts_with("BYE sip:gw@192.0.2.1:5062"))
    );
    assert_eq!(
        rig.take_events(),
        [SipEvent::Ended {
            call,
            cause: EndCause::NoAck,
            q850: None
        }]
    );
    rig.assert_forgotten();
}

#[test]
fn a_bye_of_ours_waits_for_the_ack() {
    let mut rig = rig();
    let (call, tag) = incoming(&mut rig);
    rig.endpoint
        .accept(rig.now, call, sdp(40_000))
        .expect("incoming");
    rig.take_sent();
    rig.endpoint.bye(rig.now, call, None).expect("accepted");
    assert_eq!(
        rig.take_events(),
        [SipEvent::Ended {
            call,
            cause: EndCause::Us,
            q850: None
        }]
    );
    assert!(rig.take_sent().is_empty());
    rig.hear(&request("ACK", 1, &tag, "", b"").replace("z9hG4bKp1", "z9hG4bKack"));
    assert!(rig.take_sent()[0].starts_with("BYE sip:"));
    rig.assert_forgotten();
}

#[test]
fn callers_that_give_up_and_callers_we_refuse() {
    let mut rig = rig();
    let (call, _) = incoming(&mut rig);
    rig.hear(&request("CANCEL", 1, "", "", b""));
    let sent = rig.take_sent();
    assert!(sent[0].starts_with("SIP/2.0 200") && sent[0].contains("CSeq: 1 CANCEL"));
    assert!(sent[1].starts_with("SIP/2.0 487") && sent[1].contains("CSeq: 1 INVITE"));
    assert_eq!(
        rig.take_events(),
        [SipEvent::Cancelled {
            call,
            cause: CancelCause::Peer,
            answered: false
        }]
    );
    rig.pass(Duration::from_millis(600));
    assert_eq!(rig.take_sent(), [sent[1].clone()]);
    rig.hear(&request("ACK", 1, "x", "", b""));
    rig.pass(Duration::from_secs(10));
    assert!(rig.take_sent().is_empty());
    rig.assert_forgotten();

    let (call, _) = incoming(&mut rig);
    assert!(matches!(
        rig.endpoint.reject(rig.now, call, 200),
        Err(Rejected::BadStatus { .. })
    ));
    rig.endpoint.reject(rig.now, call, 486).expect("incoming");
    assert!(rig.take_sent()[0].starts_with("SIP/2.0 486 Busy Here"));
    assert!(matches!(
        rig.take_events()[..],
        [SipEvent::Failed {
            status: 486,
            local: None,
            ..
        }]
    ));
    rig.hear(&request("CANCEL", 1, "", "", b""));
    assert!(rig.take_sent()[0].starts_with("SIP/2.0 200"));
    rig.assert_forgotten();
}

#[test]
fn the_peer_holds_moves_and_presses_keys() {
    let mut rig = rig();
    let (call, tag) = confirmed(&mut rig);
    let held = String::from_utf8_lossy(&sdp(9_002)).replace("sendrecv", "sendonly");
    rig.hear(&request("INVITE", 2, &tag, CONTACT, held.as_bytes()));
    let ok = rig.take_sent().remove(0);
    assert!(
        ok.starts_with("SIP/2.0 200") && ok.contains("a=recvonly\r\n") && ok.contains("o=- 1 2 ")
    );
    assert!(
        matches!(&rig.take_events()[..], [SipEvent::ReOffer { offer, .. }] if offer[..] == *held.as_bytes())
    );
    rig.pass(Duration::from_millis(600));
    assert_eq!(rig.take_sent(), [ok]);
    let ack = request("ACK", 2, &tag, "", b"").replace("z9hG4bKp1", "z9hG4bKack2");
    rig.hear(&ack);
    assert!(rig.take_events().is_empty());
    let fax = b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=image 9 udptl t38\r\n";
    rig.hear(&request("INVITE", 3, &tag, CONTACT, fax));
    assert!(rig.take_sent()[0].starts_with("SIP/2.0 488"));
    rig.hear(&request("ACK", 3, &tag, "", b"").replace("z9hG4bKp1", "z9hG4bKp3"));
    rig.hear(&request("UPDATE", 4, &tag, "", b""));
    assert!(rig.take_sent()[0].starts_with("SIP/2.0 200"));
    for (cseq, media_type, body, digit) in [
        (
            5,
            "application/dtmf-relay",
            "Signal= 5\r\nDuration=160\r\n",
            Some('5'),
        ),
        (6, "application/dtmf", "#", Some('#')),
        (7, "application/dtmf-relay", "Signal=10", Some('*')),
        (8, "text/plain", "5", None),
    ] {
        let lines = format!("Content-Type: {media_type}\r\n");
        rig.hear(&request("INFO", cseq, &tag, &lines, body.as_bytes()));
        assert!(rig.take_sent()[0].starts_with("SIP/2.0 200"));
        let events = rig.take_events();
        let expected: Vec<_> = digit
            .map(|digit| SipEvent::Digit { call, digit })
            .into_iter()
            .collect();
        assert_eq!(events, expected);
    }
    for (cseq, method, status) in [
        (9, "OPTIONS", "200"),
        (10, "REFER", "405"),
        (11, "DANCE", "501"),
        (3, "INFO", "500"),
    ] {
        rig.hear(&request(method, cseq, &tag, "", b"").replace("z9hG4bKp3", "z9hG4bKlow"));
        let sent = rig.take_sent();
        assert!(
            sent[0].starts_with(&format!("SIP/2.0 {status}")),
            "{method}: {sent:?}"
        );
    }
    rig.endpoint.bye(rig.now, call, None).expect("confirmed");
    assert!(rig.take_sent()[0].contains("\r\nRoute: <sip:192.0.2.1;lr>\r\n"));
    rig.assert_forgotten();
}

#[test]
fn requests_outside_calls() {
    let mut rig = rig();
    for (method, status) in [
        ("OPTIONS", "200"),
        ("REGISTER", "405"),
        ("SUBSCRIBE", "405"),
        ("BYE", "481"),
        ("X", "501"),
    ] {
        rig.hear(&request(method, 1, "", "", b""));
        assert!(
            rig.take_sent()[0].starts_with(&format!("SIP/2.0 {status}")),
            "{method}"
        );
    }
    rig.hear(&request("BYE", 1, "unknown", "", b""));
    assert!(rig.take_sent()[0].starts_with("SIP/2.0 481"));
    rig.hear(&request("ACK", 1, "unknown", "", b""));
    assert!(rig.take_sent().is_empty());
    for (lines, status) in [
        ("Require: 100rel\r\nExpires: 99999999999\r\n", "400"),
        ("Require: foo\r\n", "420"),
        ("Content-Type: text/plain\r\n", "415"),
        ("Accept: text/plain\r\n", "406"),
        ("Max-Forwards: 1\r\n", "400"),
    ] {
        rig.hear(&request("INVITE", 1, "", lines, b"v=0\r\n"));
        let sent = rig.take_sent();
        assert!(
            sent[0].starts_with(&format!("SIP/2.0 {status}")),
            "{lines}: {sent:?}"
        );
    }
    assert_eq!(rig.endpoint.held(), [0; 4], "answered without state");
}

#[test]
fn strangers_get_no_answer_and_leave_no_state() {
    let mut rig = rig();
    for method in ["INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL", "ACK"] {
        rig.hear_from(
            "198.51.100.7:5060",
            &request(method, 1, "", CONTACT, &sdp(9_000)),
        );
    }
    assert!(rig.take_sent().is_empty() && rig.take_events().is_empty());
    assert_eq!(rig.endpoint.held(), [0; 4]);
    assert_eq!(rig.endpoint.counters().strangers, 6);
}

#[test]
fn at_the_bound_new_calls_are_shed_and_old_ones_live() {
    let mut rig = Rig::new(EndpointConfig {
        max_calls: 1,
        ..EndpointConfig::default()
    });
    let (_, tag) = confirmed(&mut rig);
    let other = request("INVITE", 1, "", CONTACT, &sdp(9_000))
        .replace("theirs", "second")
        .replace("z9hG4bKp1", "z9hG4bKsecond");
    rig.hear(&other);
    let sent = rig.take_sent();
    assert!(sent[0].starts_with("SIP/2.0 503") && sent[0].contains("Retry-After: 2\r\n"));
    rig.hear(&other);
    assert_eq!(rig.take_sent(), sent, "the same answer, without state");
    rig.hear(&request("BYE", 2, &tag, "", b""));
    assert!(rig.take_sent()[0].starts_with("SIP/2.0 200"));
    assert_eq!(rig.endpoint.counters().shed, 2);
}

#[test]
fn who_calls_is_told_as_the_peer_asserts() {
    for (lines, asserted, private) in [
        ("", None, false),
        (
            "P-Asserted-Identity: \"Bob\" <sip:+14155550199@carrier.example>, <tel:+14155550199>\r\n",
            Some("+14155550199"),
            false,
        ),
        (
            "P-Asserted-Identity: <sip:+14155550199@c.example>\r\nPrivacy: id;critical\r\n",
            Some("+14155550199"),
            true,
        ),
        ("Privacy: none\r\n", None, false),
    ] {
        let mut rig = rig();
        let lines = format!("{CONTACT}{lines}");
        rig.hear(&request("INVITE", 1, "", &lines, &sdp(9_000)));
        match rig.take_events().remove(0) {
            SipEvent::Incoming {
                asserted: told,
                private: hidden,
                ..
            } => {
                let told = told.map(|address| address.user());
                assert_eq!((told.as_deref(), hidden), (asserted, private), "{lines}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_session_timer_that_the_caller_asks_for_runs_from_the_answer() {
    let asked =
        |expires: &str| format!("{CONTACT}Supported: timer\r\nSession-Expires: {expires}\r\n");
    let mut rig = rig();
    rig.hear(&request("INVITE", 1, "", &asked("60"), &sdp(9_000)));
    let refused = rig.take_sent().remove(0);
    assert!(refused.starts_with("SIP/2.0 422 "), "{refused}");
    assert!(refused.contains("\r\nMin-SE: 90\r\n"), "{refused}");
    assert!(rig.take_events().is_empty());

    let mut rig = self::rig();
    rig.hear(&request(
        "INVITE",
        1,
        "",
        &asked("120;refresher=uac"),
        &sdp(9_000),
    ));
    let trying = rig.take_sent().remove(0);
    let tag = header(&trying, Name::To);
    let tag = tag.split(";tag=").nth(1).expect("tagged").to_owned();
    let call = match rig.take_events().remove(0) {
        SipEvent::Incoming { call, .. } => call,
        other => panic!("{other:?}"),
    };
    rig.endpoint
        .accept(rig.now, call, sdp(40_000))
        .expect("incoming");
    let ok = rig.take_sent().remove(0);
    assert!(
        ok.contains("\r\nSession-Expires: 120;refresher=uac\r\n"),
        "{ok}"
    );
    assert!(ok.contains("\r\nRequire: timer\r\n"), "{ok}");
    rig.hear(&request("ACK", 1, &tag, "", b"").replace("z9hG4bKp1", "z9hG4bKack"));
    rig.take_events();
    rig.pass(Duration::from_secs(130));
    let ended = rig.take_events();
    assert_eq!(
        ended,
        [SipEvent::Ended {
            call,
            cause: EndCause::Expired,
            q850: None
        }],
        "nobody refreshed it"
    );
}
