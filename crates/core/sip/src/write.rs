//! Writes messages as bytes, straight into a `Vec`.
//!
//! Whatever comes from outside (names, reasons, extra headers) passes [`put_value`], which lets no
//! line end through: nobody smuggles a header into what we send.

use crate::{
    flow::Flow,
    lexer::{Message, Name, StartLine},
    message::{Head, param, split_list},
};
use domain::SipTransport;
use std::io::Write;

/// Methods we answer.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

/// Appends `value` with line ends and other control bytes as spaces.
pub(crate) fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    if !value.iter().any(|b| *b < b' ' || *b == 0x7f) {
        out.extend_from_slice(value);
        return;
    }
    let mut blank = false;
    for &byte in value {
        if byte < b' ' || byte == 0x7f {
            blank = true;
        } else {
            if blank && byte != b' ' {
                out.push(b' ');
            }
            blank = false;
            out.push(byte);
        }
    }
}

/// Appends `name: value` and the line end.
pub(crate) fn put_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    put_value(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends formatted text. Arguments must be free of line ends.
/// Why a description was refused (RFC 3261 section 20.43): 399, in words of ours and printable ASCII.
pub(crate) fn warning(why: &str) -> Vec<u8> {
    let clean = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let why: String = why.chars().filter(clean).take(200).collect();
    let mut lines = Vec::new();
    if !why.is_empty() {
        put_header(
            &mut lines,
            "Warning",
            format!("399 dialmesh \"{why}\"").as_bytes(),
        );
    }
    lines
}

macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        write!($out, $($arg)*).expect("writing to a Vec cannot fail")
    };
}
pub(crate) use put;

/// Ends the headers and appends the body.
pub(crate) fn put_body(out: &mut Vec<u8>, content_type: &str, body: &[u8]) {
    if !body.is_empty() {
        put_header(out, "Content-Type", content_type.as_bytes());
    }
    put!(out, "Content-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
}

/// The words of a status (RFC 3261 section 21 and its successors).
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "Version Not Supported",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        607 => "Unwanted",
        608 => "Rejected",
        other => match other / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirected",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Failure",
        },
    }
}

/// The name of a transport in Via.
pub(crate) fn via_transport(transport: SipTransport) -> &'static str {
    match transport {
        SipTransport::Udp => "UDP",
        SipTransport::Tcp => "TCP",
        SipTransport::Tls => "TLS",
    }
}

/// What a request within or outside a dialog is made of.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: &'a [u8],
    pub(crate) transport: SipTransport,
    pub(crate) sent_by: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) routes: &'a [Vec<u8>],
    /// Values of From and To, tags included.
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a [u8],
    pub(crate) call_id: &'a [u8],
    pub(crate) cseq: u32,
}

impl Request<'_> {
    /// Start line and the headers every request has; the caller adds its own and the body.
    pub(crate) fn begin(&self, capacity: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(capacity);
        put!(out, "{} ", self.method);
        put_value(&mut out, self.uri);
        put!(
            out,
            " SIP/2.0\r\nVia: SIP/2.0/{} {};branch={};rport\r\nMax-Forwards: 70\r\n",
            via_transport(self.transport),
            self.sent_by,
            self.branch
        );
        for route in self.routes {
            put_header(&mut out, "Route", route);
        }
        put_header(&mut out, "From", self.from);
        put_header(&mut out, "To", self.to);
        put_header(&mut out, "Call-ID", self.call_id);
        put!(out, "CSeq: {} {}\r\n", self.cseq, self.method);
        out
    }
}

/// ACK to a final failure, or CANCEL, from the INVITE's own bytes: same branch, Request-URI, From,
/// Call-ID, CSeq number and Route (RFC 3261 sections 9.1 and 17.1.1.3). `to` is the response's To for
/// an ACK, the INVITE's for a CANCEL.
pub(crate) fn follow_invite(
    invite: &[u8],
    method: &str,
    to: Option<&[u8]>,
    extra: &[u8],
) -> Option<Vec<u8>> {
    let message = Message::read(invite).ok()?;
    let StartLine::Request { uri, .. } = message.start() else {
        return None;
    };
    let head = Head::read(&message)?;
    let mut out = Vec::with_capacity(512);
    put!(out, "{method} ");
    put_value(&mut out, uri);
    out.extend_from_slice(b" SIP/2.0\r\n");
    put_header(&mut out, "Via", message.value(Name::Via)?);
    out.extend_from_slice(b"Max-Forwards: 70\r\n");
    for route in message.values(Name::Route) {
        put_header(&mut out, "Route", route);
    }
    put_header(&mut out, "From", message.value(Name::From)?);
    put_header(&mut out, "To", to.or(message.value(Name::To))?);
    put_header(&mut out, "Call-ID", head.call_id);
    put!(out, "CSeq: {} {method}\r\n", head.cseq.number);
    out.extend_from_slice(extra);
    put_body(&mut out, "", b"");
    Some(out)
}

/// The headers of every response to a request (RFC 3261 section 8.2.6.2), rendered once: Via with
/// `received` and `rport` filled in (RFC 3581), From, To with our tag, Call-ID, CSeq.
pub(crate) fn response_head(
    message: &Message<'_>,
    head: &Head<'_>,
    flow: Flow,
    to_tag: Option<&str>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for (i, via) in message.values(Name::Via).flat_map(split_list).enumerate() {
        out.extend_from_slice(b"Via: ");
        if i == 0 {
            put_top_via(&mut out, via, head, flow);
        } else {
            put_value(&mut out, via);
        }
        out.extend_from_slice(b"\r\n");
    }
    put_header(
        &mut out,
        "From",
        message.value(Name::From).unwrap_or_default(),
    );
    out.extend_from_slice(b"To: ");
    put_value(&mut out, message.value(Name::To).unwrap_or_default());
    if let (None, Some(tag)) = (head.to.tag(), to_tag) {
        put!(out, ";tag={tag}");
    }
    out.extend_from_slice(b"\r\n");
    put_header(&mut out, "Call-ID", head.call_id);
    put!(out, "CSeq: {} ", head.cseq.number);
    put_value(&mut out, head.cseq.method.as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

fn put_top_via(out: &mut Vec<u8>, via: &[u8], head: &Head<'_>, flow: Flow) {
    let rport = param(head.via.params, b"rport").is_some();
    let ip = flow.remote.ip();
    let same_host = std::str::from_utf8(head.via.host).is_ok_and(|h| h.parse() == Ok(ip));
    if !rport && same_host {
        put_value(out, via);
        return;
    }
    let end = memchr::memchr(b';', via).unwrap_or(via.len());
    put_value(out, trim_end(&via[..end]));
    for (name, value) in crate::message::params(&via[end..]) {
        if name.eq_ignore_ascii_case(b"rport") || name.eq_ignore_ascii_case(b"received") {
            continue;
        }
        out.push(b';');
        put_value(out, name);
        if let Some(value) = value {
            out.push(b'=');
            put_value(out, value);
        }
    }
    put!(out, ";received={ip}");
    if rport {
        put!(out, ";rport={}", flow.remote.port());
    }
}

fn trim_end(text: &[u8]) -> &[u8] {
    crate::lexer::trim(text)
}

/// A whole response: status line, the rendered head, extra headers (complete lines), the body.
pub(crate) fn response(
    status: u16,
    reason: Option<&str>,
    head: &[u8],
    extra: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + head.len() + extra.len() + body.len());
    put!(out, "SIP/2.0 {status} ");
    put_value(&mut out, reason.unwrap_or(reason_phrase(status)).as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(head);
    out.extend_from_slice(extra);
    put_body(&mut out, "application/sdp", body);
    out
}

/// A display name as a quoted string (RFC 3261 section 25.1), with the space after it; nothing when empty.
pub(crate) fn put_display(out: &mut Vec<u8>, display: &str) {
    if display.is_empty() {
        return;
    }
    out.push(b'"');
    for byte in display.bytes().filter(|b| *b >= b' ' && *b != 0x7f) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.extend_from_slice(b"\" ");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_smuggles_a_line_end() {
        let mut out = Vec::new();
        put_header(&mut out, "X", b"a\r\nEvil: 1\n\0b");
        assert_eq!(out, b"X: a Evil: 1 b\r\n");
        out.clear();
        put_display(&mut out, "A \"B\" \\ \r\nC");
        assert_eq!(out, b"\"A \\\"B\\\" \\\\ C\" ");
    }

    #[test]
    fn responses_fill_in_received_and_rport() {
        let bytes = b"BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP host;rport;branch=z9hG4bK1, SIP/2.0/UDP x\r\n\
            From: <sip:a@b>;\r\n tag=1\r\nTo: <sip:b@c>\r\nCall-ID: i\r\nCSeq: 2 BYE\r\n\r\n";
        let message = Message::read(bytes).expect("valid");
        let head = Head::read(&message).expect("complete");
        let flow = Flow {
            transport: SipTransport::Udp,
            local: "192.0.2.9:5060".parse().expect("address"),
            remote: "192.0.2.1:5070".parse().expect("address"),
        };
        let head = response_head(&message, &head, flow, Some("me"));
        assert_eq!(
            String::from_utf8(response(481, None, &head, b"", b"")).expect("text"),
            "SIP/2.0 481 Call/Transaction Does Not Exist\r\n\
             Via: SIP/2.0/UDP host;branch=z9hG4bK1;received=192.0.2.1;rport=5070\r\n\
             Via: SIP/2.0/UDP x\r\nFrom: <sip:a@b>; tag=1\r\nTo: <sip:b@c>;tag=me\r\n\
             Call-ID: i\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
