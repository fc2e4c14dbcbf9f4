use super::*;

#[test]
fn name_addresses() {
    let read = |text: &'static str| NameAddr::read(text.as_bytes());
    let tagged = read("\"A, \\\"B\\\" <x>\" <sip:a@b;lr>;x=\"q;tag=no\" ; tag = 7").expect("valid");
    assert_eq!(tagged.display, b"\"A, \\\"B\\\" <x>\"");
    assert_eq!(tagged.uri, b"sip:a@b;lr");
    assert_eq!(tagged.tag(), Some(&b"7"[..]));
    let bare = read("sip:a@b;tag=9").expect("valid");
    assert_eq!((bare.uri, bare.tag()), (&b"sip:a@b"[..], Some(&b"9"[..])));
    assert_eq!(
        read("caller<sip:c@d>").map(|n| n.display),
        Some(&b"caller"[..])
    );
    for bad in [
        "",
        "\"Mr. J. User <sip:j@example.com>",
        "\"W\" < sip:t@example.org >",
        "<sip:a",
        "sip:user@example.com?Route=%3Csip:x%3E",
        "<>",
        "a\" <sip:b@c>",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn uris() {
    let read = |text: &'static str| Uri::read(text.as_bytes());
    let uri = read("sip:user;par=u%40example.net@example.com:5080;transport=tcp?X=1").expect("ok");
    assert_eq!(uri.user_text(), "user;par=u@example.net");
    assert_eq!((uri.host, uri.port), (&b"example.com"[..], Some(5080)));
    assert_eq!(param(uri.params, b"Transport"), Some(&b"tcp"[..]));
    assert_eq!(uri.headers, b"X=1");
    let v6 = read("sip:[2001:db8::10]:5070").expect("ok");
    assert_eq!(
        v6.address(),
        Some("[2001:db8::10]:5070".parse().expect("address"))
    );
    assert_eq!(
        read("tel:+14155550134;phone-context=x").map(|u| u.user),
        Some(&b"+14155550134"[..])
    );
    assert_eq!(
        read("sip:a:secret@1.2.3.4").map(|u| u.user),
        Some(&b"a"[..])
    );
    for bad in [
        "",
        "sip:",
        "sip:2001:db8::10",
        "sip:a@[::1",
        "sip:a@b:99999",
        "sip:a b@c",
        "<sip:a@b>",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn vias_with_white_space() {
    let via =
        Via::read(b"SIP  /    2.0\r\n /   UDP  192.168.255.111 : 5070  ; branch=\r\n z9hG4bK30")
            .expect("ok");
    assert_eq!((via.host, via.port), (&b"192.168.255.111"[..], Some(5070)));
    assert_eq!(via.branch(), b"z9hG4bK30");
    assert!(Via::read(b"SIP/2.0/UDP 192.0.2.15;;,;,,").is_some());
    assert_eq!(Via::read(b"SIP/2.0/UDP"), None);
    let two: Vec<_> = split_list(b"SIP/2.0/UDP a;branch=1 , SIP/2.0/TCP b;branch=2").collect();
    assert_eq!(two.len(), 2);
}

#[test]
fn sequence_numbers_do_not_wrap() {
    assert_eq!(CSeq::read(b"0009 \r\n INVITE").map(|c| c.number), Some(9));
    assert_eq!(CSeq::read(b"2147483648 INVITE"), None);
    assert_eq!(CSeq::read(b"36893488147419103232 REGISTER"), None);
    assert_eq!(CSeq::read(b"1"), None);
}

fn message(lines: &str) -> Vec<u8> {
    format!(
        "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: c\r\n\
         CSeq: 1 INVITE\r\n{lines}\r\n"
    )
    .into_bytes()
}

#[test]
fn reasons_media_types_and_required_options() {
    let bytes = message(
        "Reason: SIP;cause=480, Q.850;cause=17;text=\"user, busy\"\r\nContent-Type: Application/SDP; charset=x\r\n\
         Require: 100rel, nothing\r\nAccept: text/plain, application/*;q=0.5\r\n",
    );
    let message = Message::read(&bytes).expect("valid");
    assert_eq!(q850_cause(&message), Some(17));
    assert!(body_is(&message, "application/sdp"));
    assert!(!body_is(&message, "text/plain"));
    assert!(accepts_sdp(&message));
    assert_eq!(unsupported(&message), Some(b"nothing".to_vec()));
}

#[test]
fn rsip_reads_what_it_could_not_before() {
    let bytes = b"INVITE sip:b@example.com SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        f: <sip:a@example.com>;tag=1\r\ns: x\r\n y\r\nt: <sip:b@example.com>\r\ni: c\xff\r\nCSeq: 1 INVITE\r\nl: 1\r\n\r\nabc";
    assert!(rsip::SipMessage::try_from(&bytes[..]).is_err());
    let message = Message::read(bytes).expect("valid");
    let rsip = to_rsip(&message).expect("rsip reads the normal form");
    use rsip::prelude::*;
    let rsip::SipMessage::Request(request) = rsip else {
        panic!("a request")
    };
    let tag = request
        .from_header()
        .and_then(|from| from.tag())
        .expect("typed");
    assert_eq!(tag.map(|tag| tag.value().to_owned()).as_deref(), Some("1"));
    assert_eq!(request.body(), b"a");
}
