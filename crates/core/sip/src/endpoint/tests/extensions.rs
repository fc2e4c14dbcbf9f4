//! PRACK, session timers, redirections, and what the peer changes within a call.

use super::*;
use crate::sdp::LocalCrypto;
use domain::SrtpPolicy;

fn one(mut sent: Vec<String>) -> String {
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.remove(0)
}

fn rig() -> Rig {
    Rig::new(EndpointConfig::default())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The peer's request within the call that this INVITE began.
fn request(invite: &str, method: &str, cseq: u32, lines: &str, body: &[u8]) -> String {
    let value = |name| header(invite, name);
    format!(
        "{method} sip:d@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{method}{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=t\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:gw@192.0.2.1:5062>\r\n{lines}Content-Length: {}\r\n\r\n{}",
        value(Name::To),
        value(Name::From),
        value(Name::CallId),
        body.len(),
        String::from_utf8_lossy(body)
    )
}

const SDP: &str = "Content-Type: application/sdp\r\n";

/// A call answered with these lines in the 200; the INVITE.
fn answered(rig: &mut Rig, lines: &str, change: impl FnOnce(&mut Invite)) -> (CallHandle, String) {
    let call = rig.call(change);
    let invite = one(rig.take_sent());
    let lines = format!("{CONTACT}{lines}");
    rig.hear(&reply(&invite, "200 OK", "t", &lines, &sdp(9_000)));
    rig.take_sent();
    rig.take_events();
    (call, invite)
}

fn status(sent: &str) -> &str {
    sent.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn reliable_responses_are_acknowledged_in_turn() {
    let mut rig = rig();
    let call = rig.call(|invite| invite.reliable = true);
    let invite = one(rig.take_sent());
    assert_eq!(header(&invite, Name::Supported), "timer, 100rel");
    let progress = |rseq: u32, tag: &str, body: &[u8]| {
        let described = if body.is_empty() { "" } else { SDP };
        let lines = format!(
            "Contact: <sip:gw@192.0.2.1:5062>\r\nRecord-Route: <sip:192.0.2.1:5061;lr>\r\nRequire: 100rel\r\nRSeq: {rseq}\r\n{described}"
        );
        reply(&invite, "183 Session Progress", tag, &lines, body)
    };
    rig.hear(&progress(77, "t", &sdp(9_000)));
    rig.drain();
    assert_eq!(rig.sent[0].0.remote.port(), 5061, "by the early route set");
    let prack = one(rig.take_sent());
    assert!(
        prack.starts_with("PRACK sip:gw@192.0.2.1:5062 SIP/2.0\r\n"),
        "{prack}"
    );
    assert!(prack.contains("\r\nRAck: 77 1 INVITE\r\n"), "{prack}");
    assert!(prack.contains("\r\nCSeq: 2 PRACK\r\n") && prack.contains(";tag=t\r\n"));
    assert_eq!(rig.take_events().len(), 1);
    // Repeated, and out of turn: neither is acknowledged nor told.
    rig.hear(&progress(77, "t", &sdp(9_000)));
    rig.hear(&progress(79, "t", b""));
    assert!(rig.take_sent().is_empty() && rig.take_events().is_empty());
    rig.hear(&progress(78, "t", b""));
    assert!(one(rig.take_sent()).contains("\r\nRAck: 78 1 INVITE\r\nContent-Length: 0\r\n"));
    // Another branch counts for itself.
    rig.hear(&progress(5, "u", b""));
    assert!(one(rig.take_sent()).contains("\r\nRAck: 5 1 INVITE\r\n"));
    rig.hear(&reply(&prack, "200 OK", "t", "", b""));
    // The 200 leaves out what the 183 said.
    let ok = "Contact: <sip:gw@192.0.2.1:5062>\r\n";
    rig.hear(&reply(&invite, "200 OK", "t", ok, b""));
    let ack = one(rig.take_sent());
    assert!(ack.contains("\r\nCSeq: 1 ACK\r\n"), "the INVITE's own");
    let body = sdp(9_000);
    let events = rig.take_events();
    assert_eq!(events.last(), Some(&SipEvent::Answered { call, body }));
    rig.endpoint.bye(rig.now, call, None).expect("confirmed");
    assert!(one(rig.take_sent()).contains("\r\nCSeq: 5 BYE\r\n"));
    rig.assert_forgotten();
}

#[test]
fn early_dialogs_have_a_bound() {
    let mut rig = rig();
    rig.call(|_| {});
    let invite = one(rig.take_sent());
    for branch in 0..9 {
        let lines = "Require: 100rel\r\nRSeq: 1\r\n";
        rig.hear(&reply(
            &invite,
            "180 Ringing",
            &format!("t{branch}"),
            lines,
            b"",
        ));
    }
    assert_eq!(rig.take_sent().len(), 8, "the ninth is not acknowledged");
    assert_eq!(rig.take_events().len(), 9, "and told all the same");
}

#[test]
fn reliable_responses_are_offered_where_they_are_required() {
    let mut rig = rig();
    rig.call(|_| {});
    let invite = one(rig.take_sent());
    let refusal = |invite: &str| {
        reply(
            invite,
            "421 Extension Required",
            "t",
            "Require: 100rel\r\n",
            b"",
        )
    };
    rig.hear(&refusal(&invite));
    let sent = rig.take_sent();
    assert!(sent[0].starts_with("ACK "));
    assert_eq!(header(&sent[1], Name::Supported), "timer, 100rel");
    assert_eq!(
        header(&sent[1], Name::CallId),
        header(&invite, Name::CallId)
    );
    assert!(sent[1].contains("\r\nCSeq: 2 INVITE\r\n"));
    // Once.
    rig.hear(&refusal(&sent[1]));
    assert_eq!(rig.take_sent().len(), 1);
    let failed = rig.take_events();
    assert!(matches!(failed[..], [SipEvent::Failed { status: 421, .. }]));
    rig.assert_forgotten();
}

#[test]
fn an_update_before_the_answer_waits_for_the_first_description() {
    let mut rig = rig();
    let call = rig.call(|invite| invite.reliable = true);
    let invite = one(rig.take_sent());
    rig.hear(&request(&invite, "UPDATE", 1, SDP, &sdp(9_500)));
    assert_eq!(
        status(&one(rig.take_sent())),
        "491",
        "our offer has no answer yet"
    );
    let lines = format!("{CONTACT}Require: 100rel\r\nRSeq: 1\r\n");
    rig.hear(&reply(
        &invite,
        "183 Session Progress",
        "t",
        &lines,
        &sdp(9_000),
    ));
    rig.take_sent();
    rig.take_events();
    rig.hear(&request(&invite, "UPDATE", 2, SDP, &sdp(9_600)));
    let ok = one(rig.take_sent());
    assert_eq!(status(&ok), "200");
    assert!(ok.contains("m=audio 40000 "), "{ok}");
    let events = rig.take_events();
    assert!(matches!(&events[..], [SipEvent::ReOffer { offer, .. }] if *offer == sdp(9_600)));
    // What holds at the answer is what was said last.
    rig.hear(&reply(
        &invite,
        "200 OK",
        "t",
        "Contact: <sip:gw@192.0.2.1:5062>\r\n",
        b"",
    ));
    let body = sdp(9_600);
    assert_eq!(rig.take_events(), [SipEvent::Answered { call, body }]);
}

#[test]
fn the_peer_holds_and_changes_the_codec_and_back() {
    let mut rig = rig();
    let (call, invite) = answered(&mut rig, "", |_| {});
    let offer = |formats: &str, direction: &str| {
        format!(
            "v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 9000 RTP/AVP {formats}\r\na={direction}\r\n"
        )
    };
    // PCMU alone, then PCMA alone, then both; held and resumed.
    for (cseq, formats, direction, answer) in [
        (1, "0", "sendonly", "RTP/AVP 0\r\n"),
        (2, "8", "sendrecv", "RTP/AVP 8\r\n"),
        (3, "0", "inactive", "RTP/AVP 0\r\n"),
        (4, "8 0", "sendrecv", "RTP/AVP 8\r\n"),
    ] {
        let body = offer(formats, direction);
        for method in ["UPDATE", "INVITE"] {
            let cseq = 2 * cseq + u32::from(method == "INVITE");
            rig.hear(&request(&invite, method, cseq, SDP, body.as_bytes()));
            let ok = rig.take_sent().pop().expect("an answer");
            assert_eq!(status(&ok), "200", "{ok}");
            assert!(ok.contains(answer), "{formats}: {ok}");
            let mirrored = match direction {
                "sendonly" => "recvonly",
                other => other,
            };
            assert!(ok.contains(&format!("a={mirrored}\r\n")), "{ok}");
            if method == "INVITE" {
                rig.hear(&request(&invite, "ACK", cseq, "", b""));
            }
            let told = rig.take_events();
            assert!(matches!(&told[..], [SipEvent::ReOffer { .. }]), "{told:?}");
        }
    }
    // Fax is not spoken: the call stays as it is.
    let fax =
        "v=0\r\no=x 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=image 9 udptl t38\r\n";
    rig.hear(&request(&invite, "INVITE", 20, SDP, fax.as_bytes()));
    assert_eq!(status(&one(rig.take_sent())), "488");
    // Nobody transfers our calls.
    rig.hear(&request(
        &invite,
        "REFER",
        21,
        "Refer-To: <sip:x@192.0.2.66>\r\n",
        b"",
    ));
    let refused = one(rig.take_sent());
    assert!(matches!(status(&refused), "405" | "501"), "{refused}");
    assert!(rig.take_events().is_empty());
    rig.endpoint.bye(rig.now, call, None).expect("still up");
}

#[test]
fn a_replacing_invite_is_an_ordinary_one_and_required_it_is_refused() {
    let mut rig = rig();
    let (_, ours) = answered(&mut rig, "", |_| {});
    let invite = |more: &str| {
        format!(
            "INVITE sip:d@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKr{}\r\nFrom: <sip:x@y>;tag=r\r\n\
             To: <sip:d@192.0.2.9>\r\nCall-ID: other\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:x@192.0.2.1>\r\n\
             Replaces: {};to-tag=t;from-tag=f\r\n{more}Content-Length: 0\r\n\r\n",
            more.len(),
            header(&ours, Name::CallId)
        )
    };
    rig.hear(&invite("Require: replaces\r\n"));
    let refused = one(rig.take_sent());
    assert_eq!(status(&refused), "420");
    assert!(refused.contains("Unsupported: replaces\r\n"));
    rig.hear(&invite(""));
    let events = rig.take_events();
    assert!(
        matches!(events[..], [SipEvent::Incoming { .. }]),
        "{events:?}"
    );
}

#[test]
fn we_refresh_with_update_half_way_and_hang_up_when_nobody_answers() {
    let mut rig = rig();
    let lines = "Allow: INVITE, ACK, BYE, UPDATE\r\nSession-Expires: 600;refresher=uac\r\n";
    let (call, invite) = answered(&mut rig, lines, |invite| {
        invite.session_expires = Some(seconds(600))
    });
    assert_eq!(header(&invite, Name::SessionExpires), "600");
    assert_eq!(header(&invite, Name::MinSe), "90");
    rig.pass(seconds(299));
    assert!(rig.take_sent().is_empty());
    rig.pass(seconds(2));
    let update = rig.take_sent().remove(0);
    assert!(
        update.starts_with("UPDATE sip:gw@192.0.2.1:5062 SIP/2.0\r\n"),
        "{update}"
    );
    assert_eq!(header(&update, Name::SessionExpires), "600;refresher=uac");
    assert!(update.ends_with("\r\nContent-Length: 0\r\n\r\n"));
    let agreed = "Session-Expires: 200;refresher=uac\r\n";
    rig.hear(&reply(&update, "200 OK", "t", agreed, b""));
    rig.take_sent();
    rig.pass(seconds(101));
    let update = rig.take_sent().remove(0);
    assert_eq!(header(&update, Name::SessionExpires), "200;refresher=uac");
    // Silence: 64 T1, then BYE.
    rig.pass(seconds(33));
    let sent = rig.take_sent();
    let bye = sent.last().expect("hung up");
    assert!(bye.starts_with("BYE "), "{bye}");
    let (cause, q850) = (EndCause::Expired, None);
    assert_eq!(rig.take_events(), [SipEvent::Ended { call, cause, q850 }]);
    rig.assert_forgotten();
}

#[test]
fn we_refresh_with_a_re_invite_where_the_peer_has_no_update() {
    let mut rig = rig();
    let lines = "Allow: INVITE, ACK, BYE\r\nSession-Expires: 90;refresher=uac\r\n";
    let (call, invite) = answered(&mut rig, lines, |_| {});
    assert!(
        !invite.contains("Session-Expires"),
        "not asked for, but the peer may"
    );
    rig.pass(seconds(46));
    let again = rig.take_sent().remove(0);
    assert!(
        again.starts_with("INVITE sip:gw@192.0.2.1:5062 SIP/2.0\r\n"),
        "{again}"
    );
    assert!(again.contains("m=audio 40000 ") && again.contains("\r\nCSeq: 2 INVITE\r\n"));
    // Meanwhile the peer's own has to wait.
    rig.hear(&request(&invite, "INVITE", 9, SDP, &sdp(9_100)));
    assert_eq!(status(&rig.take_sent().pop().expect("an answer")), "491");
    let ok = reply(
        &again,
        "200 OK",
        "t",
        &format!("{CONTACT}Session-Expires: 90;refresher=uas\r\n"),
        &sdp(9_200),
    );
    rig.hear(&ok);
    let ack = one(rig.take_sent());
    assert!(ack.starts_with("ACK ") && ack.contains("\r\nCSeq: 2 ACK\r\n"));
    rig.hear(&ok);
    assert!(one(rig.take_sent()).starts_with("ACK "), "each time");
    assert!(matches!(rig.take_events()[..], [SipEvent::ReOffer { .. }]));
    // From here on the peer refreshes: 30 s before the end we give it up.
    rig.pass(seconds(59));
    assert!(rig.take_sent().is_empty());
    rig.pass(seconds(2));
    assert!(rig.take_sent()[0].starts_with("BYE "));
    let (cause, q850) = (EndCause::Expired, None);
    assert_eq!(rig.take_events(), [SipEvent::Ended { call, cause, q850 }]);
    rig.assert_forgotten();
}

#[test]
fn the_peer_refreshes_and_says_for_how_long() {
    let mut rig = rig();
    let (call, invite) = answered(&mut rig, "Session-Expires: 90;refresher=uas\r\n", |_| {});
    for cseq in 1..5 {
        rig.pass(seconds(45));
        let lines = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n";
        rig.hear(&request(&invite, "UPDATE", cseq, lines, b""));
        let ok = one(rig.take_sent());
        assert_eq!(status(&ok), "200");
        assert_eq!(header(&ok, Name::SessionExpires), "90;refresher=uac");
        assert_eq!(header(&ok, Name::Require), "timer");
    }
    // Too short is refused with what we take; a peer that knows of no timers leaves it to us.
    let short = "Supported: timer\r\nSession-Expires: 60\r\n";
    rig.hear(&request(&invite, "UPDATE", 6, short, b""));
    let refused = one(rig.take_sent());
    assert_eq!(
        (status(&refused), &header(&refused, Name::MinSe)[..]),
        ("422", "90")
    );
    rig.hear(&request(
        &invite,
        "UPDATE",
        7,
        "Session-Expires: 100\r\n",
        b"",
    ));
    let ok = one(rig.take_sent());
    assert_eq!(header(&ok, Name::SessionExpires), "100;refresher=uas");
    assert!(!ok.contains("Require:"));
    rig.pass(seconds(51));
    assert!(
        rig.take_sent()[0].starts_with("INVITE "),
        "its Allow was never seen"
    );
    // Without one the session has no end.
    let (call2, other) = answered(&mut rig, "Session-Expires: 90;refresher=uas\r\n", |_| {});
    rig.hear(&request(&other, "UPDATE", 1, "Supported: timer\r\n", b""));
    rig.take_events();
    rig.take_sent();
    rig.pass(seconds(500));
    assert!(rig.endpoint.bye(rig.now, call2, None).is_ok(), "still up");
    assert_eq!(
        rig.endpoint.bye(rig.now, call, None),
        Err(Rejected::NoSuchCall)
    );
}

#[test]
fn a_refresh_that_fails_is_tried_again_or_ends_the_call() {
    let lines = "Allow: UPDATE\r\nSession-Expires: 600;refresher=uac\r\n";
    let mut rig = rig();
    let (call, _) = answered(&mut rig, lines, |invite| invite.credentials = credentials());
    rig.pass(seconds(300));
    let mut update = rig.take_sent().remove(0);
    for (refusal, more) in [
        ("491 Request Pending", ""),
        ("500 Server Internal Error", ""),
        ("422 Session Interval Too Small", "Min-SE: 1200\r\n"),
        (
            "407 Proxy Authentication Required",
            "Proxy-Authenticate: Digest realm=\"c\",nonce=\"n\",qop=\"auth\"\r\n",
        ),
        ("405 Method Not Allowed", "Allow: INVITE\r\n"),
    ] {
        rig.hear(&reply(&update, refusal, "t", more, b""));
        rig.pass(seconds(5));
        let sent = rig.take_sent();
        update = sent
            .into_iter()
            .next_back()
            .unwrap_or_else(|| panic!("{refusal}"));
    }
    assert!(update.starts_with("INVITE "), "{update}");
    assert_eq!(header(&update, Name::SessionExpires), "1200;refresher=uac");
    assert!(update.contains("\r\nProxy-Authorization: Digest "));
    rig.hear(&reply(
        &update,
        "481 Call/Transaction Does Not Exist",
        "t",
        "",
        b"",
    ));
    let sent = rig.take_sent();
    assert!(sent.iter().any(|text| text.starts_with("BYE ")), "{sent:?}");
    let (cause, q850) = (EndCause::Expired, None);
    assert_eq!(rig.take_events(), [SipEvent::Ended { call, cause, q850 }]);
    rig.assert_forgotten();
}

#[test]
fn a_session_too_short_for_the_carrier_is_asked_for_once_more() {
    let mut rig = rig();
    rig.call(|invite| invite.session_expires = Some(seconds(120)));
    let invite = one(rig.take_sent());
    let refusal = |invite: &str| {
        reply(
            invite,
            "422 Session Interval Too Small",
            "t",
            "Min-SE: 1800\r\n",
            b"",
        )
    };
    rig.hear(&refusal(&invite));
    let again = rig.take_sent().remove(1);
    assert_eq!(header(&again, Name::SessionExpires), "1800");
    assert_eq!(header(&again, Name::MinSe), "1800");
    rig.hear(&refusal(&again));
    assert!(matches!(
        rig.take_events()[..],
        [SipEvent::Failed { status: 422, .. }]
    ));
    rig.assert_forgotten();
}

#[test]
fn redirections_are_refused_or_followed_once_to_the_same_number() {
    let moved = |invite: &str, contact: &str| {
        let lines = format!("Contact: {contact}\r\n");
        reply(invite, "302 Moved Temporarily", "t", &lines, b"")
    };
    let same = "<sip:+14155550134;npdi;rn=+14155550000@lrn.carrier.example>";
    let mut refusing = rig();
    refusing.call(|_| {});
    let invite = one(refusing.take_sent());
    refusing.hear(&moved(&invite, same));
    assert!(matches!(
        refusing.take_events()[..],
        [SipEvent::Failed { status: 302, .. }]
    ));
    for elsewhere in [
        "<sip:+14155550199@carrier.example>",
        "<tel:+14155550134>",
        "*",
        "<sip:192.0.2.66>",
    ] {
        let mut rig = rig();
        rig.call(|invite| invite.follow_redirect = true);
        let invite = one(rig.take_sent());
        rig.hear(&moved(&invite, elsewhere));
        assert_eq!(rig.take_sent().len(), 1, "{elsewhere}: the ACK alone");
        assert!(matches!(
            rig.take_events()[..],
            [SipEvent::Failed { status: 302, .. }]
        ));
    }
    let mut rig = rig();
    rig.call(|invite| invite.follow_redirect = true);
    let invite = one(rig.take_sent());
    rig.hear(&moved(
        &invite,
        &format!("<sip:+14155550199@x.example>, {same}"),
    ));
    rig.drain();
    assert_eq!(rig.sent[1].0.remote.to_string(), THEIRS, "the same way");
    let again = rig.take_sent().remove(1);
    let target = "INVITE sip:+14155550134;npdi;rn=+14155550000@lrn.carrier.example SIP/2.0\r\n";
    assert!(again.starts_with(target), "{again}");
    assert_eq!(
        header(&again, Name::To),
        "<sip:+14155550134@carrier.example>"
    );
    rig.hear(&moved(&again, same));
    assert!(
        matches!(
            rig.take_events()[..],
            [SipEvent::Failed { status: 302, .. }]
        ),
        "once"
    );
    rig.assert_forgotten();
}

/// Hold, a new key of the peer's, and back: ours stays. Nothing within the call makes it plain.
#[test]
fn a_secured_call_stays_secured_and_keeps_our_key() {
    let ours = LocalMedia {
        crypto: LocalCrypto::draw(SrtpPolicy::Required, |bytes| bytes.fill(5)),
        ..LocalMedia::from_ours(&sdp(40_000)).expect("ours")
    };
    let mut rig = rig();
    let (_, invite) = answered(&mut rig, "", |invite| invite.body = ours.offer().into());
    let first = ours.crypto.as_ref().expect("drawn").lines[0];
    let theirs = |fill: u8, protocol: &str, direction: &str| {
        let crypto = LocalCrypto::draw(SrtpPolicy::Required, |bytes| bytes.fill(fill));
        let offer = LocalMedia {
            crypto,
            ..ours.clone()
        };
        let offer = String::from_utf8(offer.offer()).expect("text");
        offer
            .replace("RTP/SAVP", protocol)
            .replace("sendrecv", direction)
    };
    for (cseq, fill, direction) in [(1, 9, "sendonly"), (2, 9, "sendrecv"), (3, 11, "sendrecv")] {
        let offer = theirs(fill, "RTP/SAVP", direction);
        rig.hear(&request(&invite, "INVITE", cseq, SDP, offer.as_bytes()));
        let ok = rig.take_sent().pop().expect("an answer");
        assert_eq!(status(&ok), "200", "{ok}");
        rig.hear(&request(&invite, "ACK", cseq, "", b""));
        let told = rig.take_events();
        let [SipEvent::ReOffer { offer, answer, .. }] = &told[..] else {
            panic!("{told:?}")
        };
        let again = LocalMedia::from_ours(answer).expect("ours");
        let (_, agreed) = again.answer(offer).expect("agreed on");
        let keys = agreed.crypto.expect("secured");
        assert_eq!(keys.send, first.key);
        assert_eq!(keys.receive.expose(), [fill; 30]);
    }
    let plain = String::from_utf8_lossy(&sdp(9_000)).into_owned();
    for (cseq, offer, why) in [
        (4, plain, "plain audio where SRTP is required"),
        (
            5,
            theirs(9, "RTP/SAVPF", "sendrecv"),
            "audio over RTP/SAVPF",
        ),
    ] {
        rig.hear(&request(&invite, "INVITE", cseq, SDP, offer.as_bytes()));
        let refused = rig.take_sent().pop().expect("an answer");
        assert_eq!(status(&refused), "488");
        let warning = format!("Warning: 399 dialmesh \"no audio we speak: {why}");
        assert!(refused.contains(&warning), "{refused}");
        rig.hear(&request(&invite, "ACK", cseq, "", b""));
    }
}
