use super::*;
use crate::registration::Registration;

fn starts(sent: &[String]) -> Vec<&str> {
    let word = |text: &'_ str| text.find("\r\n").map_or(text.len(), |end| end.min(14));
    sent.iter()
        .map(|text| text[..word(text)].split(" sip:").next().unwrap_or_default())
        .collect()
}

fn one(mut sent: Vec<String>) -> String {
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.remove(0)
}

fn rig() -> Rig {
    Rig::new(EndpointConfig::default())
}

/// A call answered by the peer with To-tag `t`; the INVITE.
fn answered(rig: &mut Rig) -> (CallHandle, String, String) {
    let call = rig.call(|_| {});
    let invite = one(rig.take_sent());
    let ok = reply(&invite, "200 OK", "t", CONTACT, &sdp(9_000));
    rig.hear(&ok);
    (call, invite, ok)
}

#[test]
fn an_answered_call_from_invite_to_bye() {
    let mut rig = rig();
    let call = rig.call(|_| {});
    let invite = one(rig.take_sent());
    assert!(invite.starts_with("INVITE sip:+14155550134@carrier.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK"));
    assert!(
        header(&invite, Name::From)
            .starts_with("\"Acme \\\"1\\\"\" <sip:+12125550100@acme.example>;tag=")
    );
    assert!(invite.contains("X-Note: a Evil: 1\r\n") && !invite.contains("\nEvil"));
    assert!(!invite.contains("100rel"));
    assert_eq!(
        rig.endpoint.call_id(call),
        Some(header(&invite, Name::CallId).as_str())
    );
    rig.hear(&reply(&invite, "180 Ringing", "t", "", b""));
    rig.hear(&reply(
        &invite,
        "183 Session Progress",
        "u",
        CONTACT,
        &sdp(9_000),
    ));
    let ok = reply(
        &invite,
        "200 OK",
        "t",
        &format!("{CONTACT}Record-Route: <sip:192.0.2.1:5061;lr>\r\n"),
        &sdp(9_000),
    );
    rig.hear(&ok);
    let ack = one(rig.take_sent());
    assert!(ack.starts_with("ACK sip:gw@192.0.2.1:5062 SIP/2.0\r\n"));
    assert!(
        ack.contains("\r\nRoute: <sip:192.0.2.1:5061;lr>\r\n")
            && ack.contains("\r\nCSeq: 1 ACK\r\n")
    );
    assert_ne!(branch(&ack), branch(&invite));
    let events = rig.take_events();
    assert!(
        matches!(&events[0], SipEvent::Provisional { status: 180, to_tag, body, .. } if to_tag == "t" && body.is_empty())
    );
    assert!(
        matches!(&events[1], SipEvent::Provisional { status: 183, to_tag, body, .. } if to_tag == "u" && !body.is_empty())
    );
    assert_eq!(
        events[2],
        SipEvent::Answered {
            call,
            body: sdp(9_000)
        }
    );
    // A repeated 200 gets the same ACK and makes no event.
    rig.hear(&ok);
    assert_eq!(one(rig.take_sent()), ack);
    rig.endpoint
        .bye(rig.now, call, Some(16))
        .expect("confirmed");
    rig.drain();
    assert_eq!(
        rig.sent[0].0.remote.port(),
        5061,
        "next hop is the first route"
    );
    let bye = one(rig.take_sent());
    assert!(
        bye.starts_with("BYE sip:gw@192.0.2.1:5062")
            && bye.contains("CSeq: 2 BYE")
            && bye.contains("Reason: Q.850;cause=16")
    );
    assert_eq!(
        rig.take_events(),
        [SipEvent::Ended {
            call,
            cause: EndCause::Us,
            q850: None
        }]
    );
    assert_eq!(
        rig.endpoint.bye(rig.now, call, None),
        Err(Rejected::NoSuchCall)
    );
    rig.hear(&reply(&bye, "200 OK", "t", "", b""));
    rig.hear(&ok);
    assert_eq!(one(rig.take_sent()), ack, "also when the call is over");
    rig.assert_forgotten();
    assert_eq!(rig.endpoint.call_id(call), None);
}

#[test]
fn a_challenged_invite_is_answered_once_and_the_nonce_serves_the_next_call() {
    let mut rig = rig();
    let call = rig.call(|invite| invite.credentials = credentials());
    let first = one(rig.take_sent());
    let ask = |n: u8, more: &str| {
        format!(
            "Proxy-Authenticate: Digest realm=\"r\", nonce=\"{n}\", qop=\"auth\", algorithm=SHA-256{more}\r\n"
        )
    };
    rig.hear(&reply(&first, "407 Auth", "x", &ask(1, ""), b""));
    let sent = rig.take_sent();
    assert_eq!(starts(&sent), ["ACK", "INVITE"]);
    assert_eq!(
        branch(&sent[0]),
        branch(&first),
        "ACK of a failure keeps the branch"
    );
    assert!(header(&sent[0], Name::To).ends_with(";tag=x"));
    let second = &sent[1];
    assert!(
        second.contains("CSeq: 2 INVITE")
            && second.contains("nc=00000001")
            && second.contains("algorithm=SHA-256")
    );
    assert_eq!(header(second, Name::CallId), header(&first, Name::CallId));
    assert_eq!(header(second, Name::From), header(&first, Name::From));
    assert!(!header(second, Name::To).contains("tag"));
    assert!(rig.take_events().is_empty());
    rig.hear(&reply(second, "200 OK", "t", CONTACT, &sdp(9_000)));
    let ack = one(rig.take_sent());
    assert!(ack.contains("CSeq: 2 ACK") && ack.contains("Proxy-Authorization: Digest"));
    rig.endpoint.bye(rig.now, call, None).expect("confirmed");
    let bye = one(rig.take_sent());
    assert!(bye.contains("CSeq: 3 BYE") && bye.contains("nc=00000002"));
    // The next call needs no challenge; when its nonce is old, one more INVITE.
    rig.call(|invite| invite.credentials = credentials());
    let third = one(rig.take_sent());
    assert!(third.contains("nc=00000003"));
    rig.hear(&reply(
        &third,
        "407 Auth",
        "x",
        &ask(2, ", stale=true"),
        b"",
    ));
    let fourth = rig.take_sent().remove(1);
    assert!(fourth.contains("nonce=\"2\"") && fourth.contains("nc=00000001"));
    // A second refusal is final.
    rig.take_events();
    rig.hear(&reply(&fourth, "407 Auth", "x", &ask(3, ""), b""));
    assert!(matches!(
        rig.take_events()[..],
        [SipEvent::Failed {
            status: 407,
            local: None,
            ..
        }]
    ));
    assert_eq!(starts(&rig.take_sent()), ["ACK"]);
    rig.assert_forgotten();
}

#[test]
fn a_401_and_a_407_in_one_call_are_both_answered() {
    let mut rig = rig();
    rig.call(|invite| invite.credentials = credentials());
    let first = one(rig.take_sent());
    rig.hear(&reply(
        &first,
        "407 Auth",
        "",
        "Proxy-Authenticate: Digest realm=\"p\", nonce=\"1\"\r\n",
        b"",
    ));
    let second = rig.take_sent().remove(1);
    rig.hear(&reply(
        &second,
        "401 Auth",
        "",
        "WWW-Authenticate: Digest realm=\"u\", nonce=\"2\"\r\n",
        b"",
    ));
    let third = rig.take_sent().remove(1);
    assert!(
        third.contains("\r\nAuthorization: Digest")
            && third.contains("Proxy-Authorization: Digest")
    );
    assert!(third.contains("CSeq: 3 INVITE"));
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut rig = rig();
    let call = rig.call(|_| {});
    let invite = one(rig.take_sent());
    rig.endpoint
        .cancel(rig.now, call, Some(31))
        .expect("not answered");
    rig.pass(Duration::from_secs(3));
    assert!(rig.take_sent().is_empty(), "neither CANCEL nor INVITE");
    rig.hear(&reply(&invite, "100 Trying", "", "", b""));
    let cancel = one(rig.take_sent());
    assert!(
        cancel.starts_with("CANCEL sip:+14155550134@carrier.example")
            && cancel.contains("CSeq: 1 CANCEL")
    );
    assert!(cancel.contains("Reason: Q.850;cause=31"));
    assert_eq!(branch(&cancel), branch(&invite));
    rig.hear(&reply(&cancel, "200 OK", "t", "", b""));
    rig.pass(Duration::from_secs(4));
    assert!(rig.take_sent().is_empty(), "the CANCEL was answered");
    rig.hear(&reply(&invite, "487 Terminated", "t", "", b""));
    assert_eq!(starts(&rig.take_sent()), ["ACK"]);
    assert_eq!(
        rig.take_events(),
        [SipEvent::Cancelled {
            call,
            cause: CancelCause::Asked,
            answered: false
        }]
    );
    rig.assert_forgotten();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let mut rig = rig();
    let call = rig.call(|_| {});
    let invite = one(rig.take_sent());
    rig.hear(&reply(&invite, "180 Ringing", "t", "", b""));
    rig.endpoint.cancel(rig.now, call, None).expect("ringing");
    assert_eq!(starts(&rig.take_sent()), ["CANCEL"]);
    rig.take_events();
    rig.hear(&reply(&invite, "200 OK", "t", CONTACT, &sdp(9_000)));
    assert_eq!(starts(&rig.take_sent()), ["ACK", "BYE"]);
    assert_eq!(
        rig.take_events(),
        [SipEvent::Cancelled {
            call,
            cause: CancelCause::Asked,
            answered: true
        }]
    );
    assert_eq!(
        rig.endpoint.cancel(rig.now, call, None),
        Err(Rejected::NoSuchCall)
    );
    rig.assert_forgotten();
}

#[test]
fn a_cancel_that_nobody_follows_ends_after_64_t1() {
    let mut rig = rig();
    let call = rig.call(|_| {});
    let invite = one(rig.take_sent());
    rig.hear(&reply(&invite, "180 Ringing", "t", "", b""));
    rig.endpoint.cancel(rig.now, call, None).expect("ringing");
    rig.take_events();
    rig.pass(Duration::from_secs(31));
    assert!(rig.take_events().is_empty());
    rig.pass(Duration::from_secs(2));
    assert_eq!(
        rig.take_events(),
        [SipEvent::Cancelled {
            call,
            cause: CancelCause::Asked,
            answered: false
        }]
    );
    rig.assert_forgotten();
}

#[test]
fn every_fork_that_answers_is_acknowledged_and_all_but_one_hung_up() {
    let mut rig = rig();
    let (call, invite, _) = answered(&mut rig);
    rig.take_sent();
    let late = reply(
        &invite,
        "200 OK",
        "late",
        "Contact: <sip:other@192.0.2.1>\r\n",
        b"",
    );
    rig.hear(&late);
    let sent = rig.take_sent();
    assert_eq!(starts(&sent), ["ACK", "BYE"]);
    assert!(
        sent.iter()
            .all(|text| header(text, Name::To).ends_with(";tag=late")
                && text.contains("sip:other@192.0.2.1 "))
    );
    rig.hear(&late);
    assert_eq!(one(rig.take_sent()), sent[0]);
    assert_eq!(rig.take_events().len(), 1, "only the first answer");
    assert_eq!(
        rig.endpoint.call(call).map(|c| c.state),
        Some(CallState::Confirmed)
    );
}

#[test]
fn an_unanswered_invite_is_repeated_on_udp_and_times_out() {
    let mut rig = rig();
    let call = rig.call(|_| {});
    rig.pass(Duration::from_secs(31));
    rig.drain();
    let kinds: Vec<Kind> = rig.sent.drain(..).map(|(_, _, kind)| kind).collect();
    assert_eq!(kinds.len(), 6);
    assert_eq!(
        kinds[0],
        Kind::Invite {
            call,
            retransmission: false
        }
    );
    assert_eq!(
        kinds[5],
        Kind::Invite {
            call,
            retransmission: true
        }
    );
    rig.pass(Duration::from_secs(1));
    assert!(matches!(
        rig.take_events()[..],
        [SipEvent::Failed {
            status: 408,
            local: Some(LocalCause::Timeout),
            ..
        }]
    ));
    rig.assert_forgotten();
}

#[test]
fn no_invite_leaves_after_its_validity() {
    let mut rig = rig();
    let call = rig.call(|_| {});
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.take_sent().len(), 3);
    rig.endpoint.stop_retransmissions(call).expect("up");
    rig.pass(Duration::from_secs(20));
    assert!(rig.take_sent().is_empty());
    let until = rig.now.monotonic + Duration::from_secs(2);
    rig.call(|invite| {
        invite.valid_until = Some(until);
        invite.credentials = credentials();
    });
    let invite = rig.take_sent().remove(0);
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.take_sent().len(), 2);
    rig.take_events();
    rig.hear(&reply(
        &invite,
        "401 Auth",
        "",
        "WWW-Authenticate: Digest realm=\"u\", nonce=\"2\"\r\n",
        b"",
    ));
    assert_eq!(starts(&rig.take_sent()), ["ACK"]);
    assert!(matches!(
        rig.take_events()[..],
        [SipEvent::Failed {
            local: Some(LocalCause::Expired),
            ..
        }]
    ));
}

#[test]
fn silence_after_100_ends_by_the_ringing_deadline_not_timer_b() {
    let mut rig = rig();
    let call = rig.call(|invite| invite.expires = Some(Duration::from_secs(40)));
    let invite = one(rig.take_sent());
    assert!(invite.contains("\r\nExpires: 40\r\n"));
    rig.hear(&reply(&invite, "100 Trying", "", "", b""));
    rig.pass(Duration::from_secs(39));
    assert!(matches!(
        rig.take_events()[..],
        [SipEvent::Provisional { status: 100, .. }]
    ));
    rig.pass(Duration::from_secs(2));
    assert!(rig.take_sent()[0].starts_with("CANCEL"));
    rig.hear(&reply(&invite, "487 Gone", "t", "", b""));
    assert_eq!(
        rig.take_events(),
        [SipEvent::Cancelled {
            call,
            cause: CancelCause::Expired,
            answered: false
        }]
    );
}

#[test]
fn failures_carry_what_the_carrier_said() {
    let mut rig = rig();
    let call = rig.call(|_| {});
    let invite = one(rig.take_sent());
    let failure = reply(
        &invite,
        "503 \u{5fd9}",
        "t",
        "Retry-After: 7 (busy)\r\nReason: Q.850;cause=34\r\n",
        b"",
    );
    rig.hear(&failure);
    assert_eq!(
        rig.take_events(),
        [SipEvent::Failed {
            call,
            status: 503,
            q850: Some(34),
            reason: "\u{5fd9}".into(),
            retry_after: Some(Duration::from_secs(7)),
            local: None,
        }]
    );
    let ack = one(rig.take_sent());
    rig.hear(&failure);
    assert_eq!(one(rig.take_sent()), ack);
    assert!(rig.take_events().is_empty());
    rig.assert_forgotten();
}

#[test]
fn a_failed_transport_ends_the_attempt_at_once() {
    let mut rig = rig();
    let call = rig.call(|invite| invite.flow.transport = SipTransport::Tcp);
    let mut flow = flow_to(THEIRS);
    flow.transport = SipTransport::Tcp;
    assert!(one(rig.take_sent()).contains("Via: SIP/2.0/TCP"));
    rig.endpoint
        .handle(rig.now, Input::SendFailed { flow })
        .expect("taken");
    assert!(
        matches!(&rig.take_events()[..], [SipEvent::Failed { call: c, status: 503, local: Some(LocalCause::Transport), .. }] if *c == call)
    );
    rig.assert_forgotten();
}

#[test]
fn a_stream_to_a_trunk_is_opened_again_before_an_invite_has_to() {
    let mut rig = rig();
    let mut flow = flow_to(THEIRS);
    flow.transport = SipTransport::Tcp;
    let (id, every) = (TrunkId(3), Duration::from_secs(600));
    (rig.endpoint.watch(rig.now, id, flow, every)).expect("room");
    let registration = Registration {
        flow,
        domain: "carrier.example".into(),
        user: "acme".into(),
        credentials: None,
        expires: every,
    };
    (rig.endpoint.register(rig.now, id, registration)).expect("room");
    rig.pass(Duration::from_secs(1));
    let sent = rig.take_sent();
    assert_eq!(sent.len(), 2, "{sent:?}");
    for request in &sent {
        rig.hear(&reply(request, "200 OK", "t", "", b""));
    }
    rig.pass(Duration::from_secs(60));
    assert!(rig.take_sent().is_empty());
    let closed = Input::FlowClosed { flow };
    rig.endpoint.handle(rig.now, closed).expect("taken");
    rig.pass(Duration::from_millis(400));
    assert!(rig.take_sent().is_empty(), "not at once");
    rig.pass(Duration::from_millis(700));
    let mut again = starts(&rig.take_sent())
        .iter()
        .map(|s| s.to_string())
        .collect::<Vec<_>>();
    again.sort();
    assert_eq!(again, ["OPTIONS", "REGISTER"]);
}

#[test]
fn an_invite_that_reached_nobody_ends_for_certain_unless_it_was_sent_before() {
    let flow = flow_to(THEIRS);
    let unsent = |rig: &mut Rig, invite: &str, congested| {
        let bytes = invite.as_bytes();
        let input = Input::Unsent {
            flow,
            bytes,
            congested,
        };
        rig.endpoint.handle(rig.now, input).expect("taken");
    };
    for (congested, expected) in [(false, LocalCause::Unsent), (true, LocalCause::Congested)] {
        let mut rig = rig();
        let call = rig.call(|_| {});
        let other = rig.call(|_| {});
        let sent = rig.take_sent();
        let invite = sent[0].as_str();
        // Cut short before the branch's end, another branch, another method, nothing at all.
        let end = invite.find(&branch(invite)).expect("a branch") + branch(invite).len();
        let foreign = invite.replacen(&branch(invite), &branch(&sent[1]).replace('z', "y"), 1);
        let cancel = invite.replacen("INVITE", "CANCEL", 1);
        for wrong in [&invite[..end - 1], &foreign, &cancel, "", " ", "INVITE "] {
            unsent(&mut rig, wrong, congested);
        }
        assert!(rig.take_events().is_empty());
        unsent(&mut rig, &invite[..end], congested);
        assert!(
            matches!(&rig.take_events()[..], [SipEvent::Failed { call: c, status: 503, local: Some(cause), .. }] if *c == call && *cause == expected)
        );
        // The other one is as it was; told again of the first, nothing happens.
        unsent(&mut rig, invite, congested);
        rig.endpoint.cancel(rig.now, other, None).expect("alive");
        assert!(rig.take_events().is_empty());
    }
    // One that was repeated may have arrived the first time.
    let mut rig = rig();
    rig.call(|_| {});
    let invite = one(rig.take_sent());
    rig.pass(Duration::from_millis(600));
    assert_eq!(one(rig.take_sent()), invite);
    unsent(&mut rig, &invite, false);
    assert!(rig.take_events().is_empty());
}

#[test]
fn responses_that_are_not_ours_do_nothing() {
    let mut rig = rig();
    rig.call(|_| {});
    let invite = one(rig.take_sent());
    let ringing = reply(&invite, "180 Ringing", "t", "", b"");
    let token = branch(&invite);
    let forged = token[..token.len() - 1].to_owned() + if token.ends_with('a') { "b" } else { "a" };
    rig.hear(&ringing.replace(&token, &forged));
    rig.hear(&ringing.replace(&token, "z9hG4bK"));
    rig.hear(&ringing.replace("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"));
    rig.hear_from("198.51.100.7:5060", &ringing);
    rig.hear(&ringing.replace("Content-Length: 0", "Content-Length: 9999"));
    assert!(rig.take_events().is_empty() && rig.take_sent().is_empty());
    let counters = rig.endpoint.counters();
    assert_eq!(
        (counters.stray, counters.strangers, counters.malformed),
        (3, 1, 1)
    );
}

#[test]
fn bounds_and_bad_input_are_refused_without_a_change() {
    let mut rig = Rig::new(EndpointConfig {
        max_calls: 1,
        ..EndpointConfig::default()
    });
    let invite = |uri: &str, body: Bytes| Invite {
        flow: flow_to(THEIRS),
        request_uri: uri.into(),
        from: Address::new("sip:a@b"),
        to: Address::new("tel:+14155550134"),
        contact_user: String::new(),
        p_asserted_identity: None,
        headers: Vec::new(),
        body,
        credentials: None,
        expires: None,
        valid_until: None,
        session_expires: None,
        reliable: false,
        follow_redirect: false,
    };
    let now = rig.now;
    let mut try_it = |i| rig.endpoint.invite(now, i);
    assert_eq!(
        try_it(invite("sip:a b@c", sdp(2))),
        Err(Rejected::BadUri {
            field: "request_uri"
        })
    );
    assert_eq!(
        try_it(invite("mailto:a@c", sdp(2))),
        Err(Rejected::BadUri {
            field: "request_uri"
        })
    );
    assert_eq!(
        try_it(invite("sip:a@c", Bytes::new())),
        Err(Rejected::NoBody)
    );
    let call = try_it(invite("sip:a@c", sdp(2))).expect("one call");
    assert_eq!(
        try_it(invite("sip:a@c", sdp(2))),
        Err(Rejected::TooManyCalls { limit: 1 })
    );
    assert!(matches!(
        rig.endpoint.bye(now, call, None),
        Err(Rejected::WrongState { .. })
    ));
    assert!(matches!(
        rig.endpoint.accept(now, call, sdp(2)),
        Err(Rejected::WrongState { .. })
    ));
    assert_eq!(rig.take_sent().len(), 1);
}

#[test]
fn numbers_do_not_print() {
    let mut rig = rig();
    let call = rig.call(|_| {});
    rig.drain();
    let address = Address::new("sip:+14155550134@h");
    let shown = format!("{address:?} {call:?} {:?}", rig.endpoint.poll_output());
    assert!(!shown.contains("5550134"), "{shown}");
}
