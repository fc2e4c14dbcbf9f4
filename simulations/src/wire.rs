//! SIP on the wire, as the simulated world reads and writes it (RFC 3261).
//!
//! The carrier is the *independent witness* of what the product dialed: it must not be blind to
//! the product's own mistakes. So nothing here comes from `core/sip` or `core/media`: a message
//! that both sides misread in the same way would pass every test. The code is small and plain
//! on purpose, favours reading over speed, and supports what a carrier and a desk phone need.

pub mod digest;
pub mod sdp;

use std::{fmt, net::SocketAddr};

/// Largest message read.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Why bytes are not a SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// No empty line after the headers.
    Unterminated,
    /// The start line is neither a request's nor a status line.
    StartLine(String),
    /// A header line without a colon.
    Header(String),
    /// `Content-Length` says more than came, or is no number.
    Length,
    /// A header that every message must have is missing.
    Missing(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unterminated => f.write_str("no empty line after the headers"),
            Self::StartLine(line) => write!(f, "not a start line: {line:?}"),
            Self::Header(line) => write!(f, "header line without a colon: {line:?}"),
            Self::Length => f.write_str("Content-Length does not fit the body"),
            Self::Missing(name) => write!(f, "no {name} header"),
        }
    }
}

impl std::error::Error for WireError {}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// `METHOD uri SIP/2.0`
    Request {
        /// The method, upper case.
        method: String,
        /// The request URI.
        uri: String,
    },
    /// `SIP/2.0 status reason`
    Response {
        /// 100 to 699.
        status: u16,
        /// For people.
        reason: String,
    },
}

/// One SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The first line.
    pub start: Start,
    /// Headers in order, compact names expanded.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The long form of a compact header name (RFC 3261 section 7.3.3 and later ones).
fn expanded(name: &str) -> &str {
    match name.as_bytes() {
        [b'v' | b'V'] => "Via",
        [b'f' | b'F'] => "From",
        [b't' | b'T'] => "To",
        [b'i' | b'I'] => "Call-ID",
        [b'm' | b'M'] => "Contact",
        [b'l' | b'L'] => "Content-Length",
        [b'c' | b'C'] => "Content-Type",
        [b'k' | b'K'] => "Supported",
        [b's' | b'S'] => "Subject",
        [b'e' | b'E'] => "Content-Encoding",
        [b'x' | b'X'] => "Session-Expires",
        _ => name,
    }
}

impl Message {
    /// Reads one whole message: a datagram, or what [`frame`] cut from a stream.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let end = head_end(bytes).ok_or(WireError::Unterminated)?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n").flat_map(|l| l.split('\n'));
        let start = parse_start(lines.next().unwrap_or_default())?;
        let mut headers: Vec<(String, String)> = Vec::with_capacity(16);
        for line in lines.filter(|l| !l.is_empty()) {
            if line.starts_with([' ', '\t']) {
                let last = headers
                    .last_mut()
                    .ok_or_else(|| WireError::Header(line.into()))?;
                last.1.push(' ');
                last.1.push_str(line.trim());
                continue;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| WireError::Header(line.into()))?;
            headers.push((expanded(name.trim()).to_owned(), value.trim().to_owned()));
        }
        let mut message = Self {
            start,
            headers,
            body: Vec::new(),
        };
        let rest = &bytes[end..];
        let rest = rest
            .strip_prefix(b"\r\n\r\n")
            .or(rest.strip_prefix(b"\n\n"))
            .unwrap_or(rest);
        let length = match message.header("Content-Length") {
            Some(text) => text.parse().map_err(|_| WireError::Length)?,
            None => rest.len(),
        };
        message.body = rest.get(..length).ok_or(WireError::Length)?.to_vec();
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            if message.header(name).is_none() {
                return Err(WireError::Missing(name));
            }
        }
        Ok(message)
    }

    /// A request with nothing but its first line.
    pub fn request(method: &str, uri: &str) -> Self {
        Self {
            start: Start::Request {
                method: method.into(),
                uri: uri.into(),
            },
            headers: Vec::with_capacity(12),
            body: Vec::new(),
        }
    }

    /// A response to `request` with what section 8.2.6.2 copies; `tag` goes into To where it has
    /// none and the response is not 100.
    pub fn response(request: &Self, status: u16, tag: &str, source: SocketAddr) -> Self {
        let mut response = Self {
            start: Start::Response {
                status,
                reason: reason_of(status).into(),
            },
            headers: Vec::with_capacity(12),
            body: Vec::new(),
        };
        let mut top = true;
        for via in request.all("Via") {
            response.add(
                "Via",
                if std::mem::take(&mut top) {
                    answered_via(via, source)
                } else {
                    via.to_owned()
                },
            );
        }
        for route in request.all("Record-Route") {
            response.add("Record-Route", route);
        }
        response.add("From", request.header("From").unwrap_or_default());
        let to = request.header("To").unwrap_or_default();
        if status == 100 || tag.is_empty() || tag_of(to).is_some() {
            response.add("To", to);
        } else {
            response.add("To", format!("{to};tag={tag}"));
        }
        response.add("Call-ID", request.header("Call-ID").unwrap_or_default());
        response.add("CSeq", request.header("CSeq").unwrap_or_default());
        response
    }

    /// Adds a header at the end.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.add(name, value);
        self
    }

    /// The same with a session description as its body.
    #[must_use]
    pub fn with_sdp(mut self, sdp: &str) -> Self {
        self.add("Content-Type", "application/sdp");
        self.body = sdp.as_bytes().to_vec();
        self
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every header of that name, in order.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The request URI of a request, empty for a response.
    pub fn uri(&self) -> &str {
        match &self.start {
            Start::Request { uri, .. } => uri,
            Start::Response { .. } => "",
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// Number and method of CSeq.
    pub fn cseq(&self) -> (u32, &str) {
        let text = self.header("CSeq").unwrap_or_default();
        let (number, method) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        (number.parse().unwrap_or(0), method.trim())
    }

    /// Call-ID; there is one in every parsed message.
    pub fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or_default()
    }

    /// Branch of the topmost Via.
    pub fn branch(&self) -> &str {
        self.header("Via")
            .and_then(|via| {
                first_of_list(via)
                    .split(';')
                    .skip(1)
                    .find_map(|p| param_value(p, "branch"))
            })
            .unwrap_or_default()
    }

    /// Tag of From, empty if none.
    pub fn from_tag(&self) -> &str {
        self.header("From").and_then(tag_of).unwrap_or_default()
    }

    /// Tag of To, empty if none.
    pub fn to_tag(&self) -> &str {
        self.header("To").and_then(tag_of).unwrap_or_default()
    }

    /// The body as text where it is a session description.
    pub fn sdp(&self) -> Option<sdp::Sdp> {
        let kind = self.header("Content-Type")?;
        if !kind.to_ascii_lowercase().starts_with("application/sdp") {
            return None;
        }
        sdp::Sdp::parse(std::str::from_utf8(&self.body).ok()?)
    }

    /// The message as bytes; Content-Length is written here.
    pub fn to_bytes(&self) -> Vec<u8> {
        use std::io::Write as _;
        let mut out = Vec::with_capacity(512 + self.body.len());
        match &self.start {
            Start::Request { method, uri } => write!(out, "{method} {uri} SIP/2.0\r\n"),
            Start::Response { status, reason } => write!(out, "SIP/2.0 {status} {reason}\r\n"),
        }
        .expect("writing to memory cannot fail");
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("Content-Length") {
                write!(out, "{name}: {value}\r\n").expect("writing to memory cannot fail");
            }
        }
        write!(out, "Content-Length: {}\r\n\r\n", self.body.len())
            .expect("writing to memory cannot fail");
        out.extend_from_slice(&self.body);
        out
    }
}

/// Where a UDP response goes (RFC 3261 section 18.2.2 with RFC 3581): the source where the
/// request asked by `rport`, else the source's address with the port Via names.
pub fn response_target(request: &Message, source: SocketAddr) -> SocketAddr {
    let via = first_of_list(request.header("Via").unwrap_or_default());
    if via
        .split(';')
        .skip(1)
        .any(|p| p.trim().to_ascii_lowercase().starts_with("rport"))
    {
        return source;
    }
    let sent_by = via
        .split(';')
        .next()
        .and_then(|v| v.split_whitespace().nth(1))
        .unwrap_or_default();
    let port = sent_by
        .rsplit_once(':')
        .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
        .and_then(|(_, port)| port.parse().ok())
        .unwrap_or(5060);
    SocketAddr::new(source.ip(), port)
}

fn answered_via(via: &str, source: SocketAddr) -> String {
    // Only the topmost of a comma list is ours to fill in.
    let first = first_of_list(via);
    let rest = &via[first.len()..];
    let mut out = String::with_capacity(via.len() + 48);
    for (i, part) in first.split(';').enumerate() {
        if i > 0 {
            out.push(';');
        }
        if part.trim().eq_ignore_ascii_case("rport") {
            out.push_str(&format!("rport={}", source.port()));
        } else {
            out.push_str(part);
        }
    }
    out.push_str(&format!(";received={}", source.ip()));
    out.push_str(rest);
    out
}

/// The first element of a comma-separated header value (commas in quotes and <> do not count).
pub fn first_of_list(value: &str) -> &str {
    let (mut quoted, mut angle) = (false, false);
    for (i, c) in value.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ',' if !quoted && !angle => return &value[..i],
            _ => {}
        }
    }
    value
}

/// The elements of a comma-separated header value.
pub fn list(value: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = value;
    loop {
        let first = first_of_list(rest);
        out.push(first.trim());
        match rest.get(first.len() + 1..) {
            Some(next) => rest = next,
            None => return out,
        }
    }
}

/// The URI of a From, To or Contact value, without what surrounds it.
pub fn uri_of(value: &str) -> &str {
    match (value.find('<'), value.find('>')) {
        (Some(a), Some(b)) if a < b => &value[a + 1..b],
        _ => value.split(';').next().unwrap_or(value).trim(),
    }
}

/// The user part of a `sip:` URI, or the number of a `tel:` URI.
pub fn user_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let rest = rest.split(['?', '@']).next().unwrap_or(rest);
    rest.split(';').next().unwrap_or(rest)
}

/// Address and port of a `sip:` URI whose host is an IP address.
pub fn address_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri.split_once(':').map_or(uri, |(_, r)| r);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, r)| r);
    let host = rest.split([';', '?', '>']).next().unwrap_or(rest);
    host.parse().ok().or_else(|| {
        Some(SocketAddr::new(
            host.trim_matches(['[', ']']).parse().ok()?,
            5060,
        ))
    })
}

/// The digits of a number however a carrier writes it.
pub fn digits_of(user: &str) -> String {
    user.chars().filter(char::is_ascii_digit).collect()
}

/// The `tag` parameter of a From or To value.
pub fn tag_of(value: &str) -> Option<&str> {
    let params = value.rfind('>').map_or(value, |at| &value[at + 1..]);
    params
        .split(';')
        .skip(1)
        .find_map(|p| param_value(p, "tag"))
}

fn param_value<'a>(param: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = param.split_once('=')?;
    key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    let crlf = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let lf = bytes.windows(2).position(|w| w == b"\n\n");
    match (crlf, lf) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Cuts one message from the front of a TCP stream (section 18.3): how many bytes it is,
/// `Ok(None)` when more must come. Leading CRLF keep-alives (RFC 5626) count as a message of
/// their own length and do not parse; the caller skips them with [`keepalive_len`].
pub fn frame(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(end) = head_end(bytes) else {
        return if bytes.len() > MESSAGE_BYTES {
            Err(WireError::Unterminated)
        } else {
            Ok(None)
        };
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let length = head
        .lines()
        .filter_map(|l| l.split_once(':'))
        .find(|(n, _)| expanded(n.trim()).eq_ignore_ascii_case("Content-Length"))
        .map_or(Ok(0), |(_, v)| v.trim().parse::<usize>())
        .map_err(|_| WireError::Length)?;
    if length > MESSAGE_BYTES {
        return Err(WireError::Length);
    }
    let gap = if bytes[end..].starts_with(b"\r\n\r\n") {
        4
    } else {
        2
    };
    let total = end + gap + length;
    Ok((bytes.len() >= total).then_some(total))
}

/// How many leading bytes are line ends, sent to keep a connection alive.
pub fn keepalive_len(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count()
}

fn parse_start(line: &str) -> Result<Start, WireError> {
    let bad = || WireError::StartLine(line.chars().take(80).collect());
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = status.parse().ok().filter(|s| (100..700).contains(s));
        return Ok(Start::Response {
            status: status.ok_or_else(bad)?,
            reason: reason.into(),
        });
    }
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(uri), Some("SIP/2.0"), None)
            if !method.is_empty() && !uri.is_empty() =>
        {
            Ok(Start::Request {
                method: method.into(),
                uri: uri.into(),
            })
        }
        _ => Err(bad()),
    }
}

/// The usual reason phrase.
pub fn reason_of(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        607 => "Unwanted",
        608 => "Rejected",
        _ => "Unspecified",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:+8613800138000@10.0.0.9:5060;user=phone SIP/2.0\r\n\
        v: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKabc;rport\r\n\
        Via: SIP/2.0/UDP 10.0.0.3, SIP/2.0/UDP 10.0.0.4\r\n\
        f: \"A, B\" <sip:+861012345678@10.0.0.1>;tag=one\r\n\
        t: <sip:+8613800138000@10.0.0.9>\r\ni: call-1@host\r\nCSeq: 7 INVITE\r\n\
        Subject: folded\r\n  twice\r\nl: 4\r\n\r\nbody";

    #[test]
    fn reads_compact_folded_and_answers() {
        let message = Message::parse(INVITE.as_bytes()).unwrap();
        assert_eq!(message.method(), Some("INVITE"));
        assert_eq!(digits_of(user_of(message.uri())), "8613800138000");
        assert_eq!(message.branch(), "z9hG4bKabc");
        assert_eq!((message.from_tag(), message.to_tag()), ("one", ""));
        assert_eq!(message.header("subject"), Some("folded twice"));
        assert_eq!(message.cseq(), (7, "INVITE"));
        assert_eq!(message.body, b"body");
        let source = "192.0.2.7:999".parse().unwrap();
        let response = Message::response(&message, 180, "two", source);
        let again = Message::parse(&response.to_bytes()).unwrap();
        assert_eq!(again.to_tag(), "two");
        assert_eq!(again.all("Via").count(), 2);
        assert!(
            again
                .header("Via")
                .unwrap()
                .contains("rport=999;received=192.0.2.7")
        );
        assert_eq!(response_target(&message, source), source);
    }

    #[test]
    fn without_rport_the_answer_goes_to_sent_by() {
        let text = INVITE.replace(";rport", "");
        let message = Message::parse(text.as_bytes()).unwrap();
        let target = response_target(&message, "192.0.2.7:999".parse().unwrap());
        assert_eq!(target, "192.0.2.7:5070".parse().unwrap());
    }

    #[test]
    fn frames_streams_at_every_split() {
        let two = [INVITE.as_bytes(), INVITE.as_bytes()].concat();
        for cut in 0..INVITE.len() {
            assert_eq!(frame(&two[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(frame(&two), Ok(Some(INVITE.len())));
        assert_eq!(keepalive_len(b"\r\n\r\nINVITE"), 4);
        assert_eq!(
            frame(b"A: b\r\nContent-Length: x\r\n\r\n"),
            Err(WireError::Length)
        );
    }

    #[test]
    fn refuses_what_is_no_message() {
        assert_eq!(
            Message::parse(b"INVITE x SIP/2.0\r\n"),
            Err(WireError::Unterminated)
        );
        assert!(matches!(
            Message::parse(b"HELLO\r\n\r\n"),
            Err(WireError::StartLine(_))
        ));
        let text = INVITE.replace("CSeq: 7 INVITE\r\n", "");
        assert_eq!(
            Message::parse(text.as_bytes()),
            Err(WireError::Missing("CSeq"))
        );
        let text = INVITE.replace("l: 4", "l: 5");
        assert_eq!(Message::parse(text.as_bytes()), Err(WireError::Length));
    }

    #[test]
    fn lists_and_addresses() {
        assert_eq!(
            list(r#""a,b" <sip:x,y>, <sip:z>"#),
            [r#""a,b" <sip:x,y>"#, "<sip:z>"]
        );
        assert_eq!(
            address_of("sip:u@127.0.0.1:5080;transport=tcp"),
            "127.0.0.1:5080".parse().ok()
        );
        assert_eq!(address_of("sip:127.0.0.1"), "127.0.0.1:5060".parse().ok());
        assert_eq!(address_of("sip:u@example.com"), None);
        assert_eq!(uri_of("sip:a@b;tag=1"), "sip:a@b");
        assert_eq!(user_of("tel:+1-415;ext=2"), "+1-415");
    }
}
