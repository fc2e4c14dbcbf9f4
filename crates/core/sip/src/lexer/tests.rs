use super::*;

const INVITE: &[u8] = b"INVITE sip:bob@example.com SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
    f : <sip:alice@example.com>;tag=1\r\n\
    To: <sip:bob@example.com>\r\n\
    I:abc\r\n\
    CSeq:\r\n  1\r\n\tINVITE\r\n\
    Subject: caf\xe9\r\n\
    l: 3\r\n\
    \r\nabcdef";

#[test]
fn indexes_compact_folded_and_foreign_bytes() {
    let message = Message::read(INVITE).expect("valid");
    assert_eq!(message.method(), Some(Method::Invite));
    assert_eq!(message.value(Name::CallId), Some(&b"abc"[..]));
    assert_eq!(message.value(Name::CSeq), Some(&b"1\r\n\tINVITE"[..]));
    assert_eq!(message.value(Name::Subject), Some(&b"caf\xe9"[..]));
    assert_eq!(message.body(), b"abc");
    assert_eq!(message.body_length(), BodyLength::Whole(3));
    assert_eq!(message.header_count(), 7);
}

#[test]
fn bare_line_feeds_and_leading_line_ends_are_tolerated() {
    let text = String::from_utf8_lossy(INVITE).replace("\r\n", "\n");
    let message = [b"\r\n\r\n", text.as_bytes()].concat();
    let message = Message::read(&message).expect("valid");
    assert_eq!(
        message.value(Name::From),
        Some(&b"<sip:alice@example.com>;tag=1"[..])
    );
    assert_eq!(message.body(), b"abc");
}

#[test]
fn faults_say_what_and_where() {
    for (bytes, fault, at) in [
        (&b"\r\n\r\n"[..], Fault::Empty, 0),
        (b"HELLO\r\n\r\n", Fault::StartLine, 0),
        (b"SIP/2.0 4294967301 x\r\n\r\n", Fault::Status, 0),
        (b"SIP/2.0 099 x\r\n\r\n", Fault::Status, 0),
        (b"BYE sip:a SIP/2.0\r\nFrom\r\n\r\n", Fault::NoColon, 19),
        (
            b"BYE sip:a SIP/2.0\r\nX Trusted: 1\r\n\r\n",
            Fault::HeaderName,
            19,
        ),
        (b"BYE sip:a SIP/2.0\r\n: 1\r\n\r\n", Fault::HeaderName, 19),
        (b"BYE sip:a SIP/2.0\r\n folded\r\n\r\n", Fault::NoColon, 26),
        (b"BYE sip:a SIP/2.0\r\nTo: x\r\n", Fault::NoEnd, 26),
    ] {
        let error = Message::read(bytes).expect_err("invalid");
        assert_eq!((error.fault, error.at), (fault, at), "{error}");
    }
    let error = Message::read(b"BYE sip:a SIP/2.0\r\nTo: x\r\nBad\r\n\r\n").expect_err("invalid");
    assert_eq!(
        error.to_string(),
        "SIP message cannot be read at byte 26: a header line without a colon (after To)"
    );
}

fn with_headers(line: &str, times: usize) -> Vec<u8> {
    let mut bytes = b"BYE sip:a SIP/2.0\r\n".to_vec();
    for _ in 0..times {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn fault(bytes: &[u8]) -> Option<Fault> {
    Message::read(bytes).err().map(|e| e.fault)
}

#[test]
fn every_limit_holds_at_its_bound() {
    assert_eq!(fault(&with_headers("X: 1", SIP_HEADERS)), None);
    assert_eq!(
        fault(&with_headers("X: 1", SIP_HEADERS + 1)),
        Some(Fault::TooManyHeaders)
    );
    assert_eq!(fault(&with_headers("Via: a", SIP_VIAS)), None);
    assert_eq!(
        fault(&with_headers("Via: a", SIP_VIAS + 1)),
        Some(Fault::TooManyVias)
    );
    let commas = format!("v: {}", "a,".repeat(SIP_VIAS));
    assert_eq!(fault(&with_headers(&commas, 1)), Some(Fault::TooManyVias));
    let line = |len: usize| format!("X: {}", "y".repeat(len - 3));
    assert_eq!(fault(&with_headers(&line(SIP_LINE_BYTES), 1)), None);
    assert_eq!(
        fault(&with_headers(&line(SIP_LINE_BYTES + 1), 1)),
        Some(Fault::LineTooLong)
    );
    let folded = format!("X: 1\r\n {}", "y".repeat(SIP_LINE_BYTES));
    assert_eq!(fault(&with_headers(&folded, 1)), Some(Fault::LineTooLong));
    let mut whole = with_headers("X: 1", 1);
    whole.resize(SIP_MESSAGE_BYTES, b'x');
    assert_eq!(fault(&whole), None);
    whole.push(b'x');
    assert_eq!(fault(&whole), Some(Fault::TooLong));
}

#[test]
fn content_length_is_never_guessed() {
    let length = |lines: &str| {
        let text = format!("BYE sip:a SIP/2.0\r\n{lines}\r\nabcd");
        Message::read(text.as_bytes())
            .expect("framed")
            .body_length()
    };
    assert_eq!(length(""), BodyLength::Absent);
    assert_eq!(length("l: 04\r\n"), BodyLength::Whole(4));
    assert_eq!(length("l: 5\r\n"), BodyLength::Short(5));
    assert_eq!(length("l: -1\r\n"), BodyLength::Malformed);
    assert_eq!(length("l: 4, 4\r\n"), BodyLength::Malformed);
    assert_eq!(length("l: 4294967300\r\n"), BodyLength::Malformed);
    assert_eq!(
        length("l: 4\r\nContent-Length: 4\r\n"),
        BodyLength::Repeated
    );
}
