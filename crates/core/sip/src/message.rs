//! What headers mean, on top of the lexer's index; and the only file that names `rsip`.
//!
//! Values are read in place by our own readers where `rsip` 0.4 reads them wrong or not at all
//! (compact and folded headers, IPv6, `tel:`, foreign bytes, several Via in a line, digest). `rsip` is
//! the vocabulary at the edges: media types, Allow, and whole messages through [`to_rsip`].

use crate::lexer::{
    BodyLength, Message, Method, Name, StartLine, is_blank, is_token, read_number, trim,
};
use rsip::headers::{ToTypedHeader, untyped};
use std::net::{IpAddr, SocketAddr};

/// Splits a header value at its top-level commas: not inside quotes, not inside `<>`.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split_at(value, b',').filter(|item| !item.is_empty())
}

/// Splits at `mark` outside quotes and angle brackets; items come trimmed.
fn split_at(value: &[u8], mark: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
        for (i, &byte) in text.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'<' if !quoted => bracketed = true,
                b'>' if !quoted => bracketed = false,
                b if b == mark && !quoted && !bracketed => {
                    rest = Some(&text[i + 1..]);
                    return Some(trim(&text[..i]));
                }
                _ => {}
            }
        }
        rest = None;
        Some(trim(text))
    })
}

/// Parameters `;name=value;flag` in order, quotes kept.
pub fn params(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    split_at(text, b';')
        .filter(|item| !item.is_empty())
        .map(|item| match memchr::memchr(b'=', item) {
            Some(at) => (trim(&item[..at]), Some(trim(&item[at + 1..]))),
            None => (item, None),
        })
}

/// The value of one parameter; empty when it is a flag.
pub fn param<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    params(text)
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.unwrap_or_default())
}

/// The text inside quotes with escapes undone, or the text itself.
pub fn unquote(text: &[u8]) -> Vec<u8> {
    let Some(inner) = text.strip_prefix(b"\"").and_then(|t| t.strip_suffix(b"\"")) else {
        return text.to_vec();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for &byte in inner {
        if byte == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            out.push(byte);
        }
    }
    out
}

/// A `name-addr` or `addr-spec` with its header parameters (RFC 3261 section 20.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// Display name as written, quotes included; often empty.
    pub display: &'a [u8],
    /// The URI alone.
    pub uri: &'a [u8],
    /// Everything after the URI.
    pub params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads one value. `None` for an unterminated quote or bracket, white space within the URI,
    /// or a bare URI with what would need brackets (RFC 4475 sections 3.1.2.6, .13 and .14).
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        let after_quotes = match value.first()? {
            b'"' => quoted_len(value)?,
            _ => 0,
        };
        match memchr::memchr(b'<', &value[after_quotes..]) {
            Some(offset) => {
                let open = after_quotes + offset;
                let close = open + memchr::memchr(b'>', &value[open..])?;
                let uri = &value[open + 1..close];
                let params = trim(&value[close + 1..]);
                let clean = !uri.is_empty() && !uri.iter().any(|b| is_blank(*b));
                let display = trim(&value[..open]);
                // Outside its quotes a display name has none.
                let stray = display[after_quotes.min(display.len())..].contains(&b'"');
                (clean && !stray && (params.is_empty() || params[0] == b';')).then_some(Self {
                    display,
                    uri,
                    params,
                })
            }
            None if after_quotes > 0 => None,
            None => {
                let end = memchr::memchr(b';', value).unwrap_or(value.len());
                let uri = trim(&value[..end]);
                let clean = !uri.is_empty()
                    && !uri
                        .iter()
                        .any(|b| is_blank(*b) || matches!(b, b'?' | b',' | b'"' | b'>'));
                clean.then_some(Self {
                    display: b"",
                    uri,
                    params: &value[end..],
                })
            }
        }
    }

    /// The tag parameter.
    pub fn tag(&self) -> Option<&'a [u8]> {
        param(self.params, b"tag").filter(|tag| !tag.is_empty())
    }
}

fn quoted_len(value: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (i, &byte) in value.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// A URI in its parts. `tel:` and unknown schemes have their rest in `user`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// `sip`, `sips`, `tel` ... as written.
    pub scheme: &'a [u8],
    /// User part, escapes kept, password cut off.
    pub user: &'a [u8],
    /// Host, IPv6 brackets cut off.
    pub host: &'a [u8],
    /// Port, where written.
    pub port: Option<u16>,
    /// Parameters from the first `;` after the host.
    pub params: &'a [u8],
    /// Headers after `?`.
    pub headers: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI (RFC 3261 section 19.1, RFC 3966, RFC 5118).
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', text)?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        if scheme.is_empty() || !scheme.iter().all(|b| is_token(*b)) || rest.is_empty() {
            return None;
        }
        if rest
            .iter()
            .any(|b| *b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f))
        {
            return None;
        }
        let mut uri = Self {
            scheme,
            user: rest,
            host: b"",
            port: None,
            params: b"",
            headers: b"",
        };
        if !uri.is_sip() {
            if let Some(at) = memchr::memchr(b';', rest) {
                (uri.user, uri.params) = rest.split_at(at);
            }
            return Some(uri);
        }
        // The user part may hold `;` and `?`, so the host begins after the last `@` before the
        // host's own `?`; escaped ones do not count, since they are written %40.
        let rest = match memchr::memchr(b'@', rest) {
            Some(at) => {
                let user = &rest[..at];
                uri.user = &user[..memchr::memchr(b':', user).unwrap_or(user.len())];
                &rest[at + 1..]
            }
            None => {
                uri.user = b"";
                rest
            }
        };
        let rest = match memchr::memchr(b'?', rest) {
            Some(at) => {
                uri.headers = &rest[at + 1..];
                &rest[..at]
            }
            None => rest,
        };
        let host_port = match memchr::memchr(b';', rest) {
            Some(at) => {
                uri.params = &rest[at..];
                &rest[..at]
            }
            None => rest,
        };
        (uri.host, uri.port) = read_host_port(host_port)?;
        Some(uri)
    }

    /// Whether it is `sip:` or `sips:`.
    pub fn is_sip(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"sip") || self.scheme.eq_ignore_ascii_case(b"sips")
    }

    /// Where it points when its host is an address; names are the shell's business.
    pub fn address(&self) -> Option<SocketAddr> {
        let host: IpAddr = std::str::from_utf8(self.host).ok()?.parse().ok()?;
        Some(SocketAddr::new(host, self.port.unwrap_or(5060)))
    }

    /// The user part with `%` escapes undone.
    pub fn user_text(&self) -> String {
        let mut out = Vec::with_capacity(self.user.len());
        let mut rest = self.user;
        while let [first, tail @ ..] = rest {
            let hex = |b: u8| char::from(b).to_digit(16);
            if *first == b'%'
                && let [h, l, after @ ..] = tail
                && let (Some(h), Some(l)) = (hex(*h), hex(*l))
            {
                out.push((h << 4 | l) as u8);
                rest = after;
            } else {
                out.push(*first);
                rest = tail;
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn read_host_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let port = |text: &[u8]| -> Option<u16> { read_number(trim(text))?.try_into().ok() };
    if let Some(inner) = text.strip_prefix(b"[") {
        let close = memchr::memchr(b']', inner)?;
        let host = &inner[..close];
        std::str::from_utf8(host)
            .ok()?
            .parse::<std::net::Ipv6Addr>()
            .ok()?;
        return match trim(&inner[close + 1..]) {
            b"" => Some((host, None)),
            [b':', rest @ ..] => Some((host, Some(port(rest)?))),
            _ => None,
        };
    }
    let (host, port) = match memchr::memchr(b':', text) {
        Some(at) => (trim(&text[..at]), Some(port(&text[at + 1..])?)),
        None => (trim(text), None),
    };
    let named = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (!host.is_empty() && host.iter().all(named)).then_some((host, port))
}

/// One Via value (RFC 3261 section 20.42).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, or any other token.
    pub transport: &'a [u8],
    /// The sender's own idea of its host.
    pub host: &'a [u8],
    /// And of its port.
    pub port: Option<u16>,
    /// From the first `;`.
    pub params: &'a [u8],
}

impl<'a> Via<'a> {
    /// Reads one value: white space may stand round the slashes (RFC 4475 section 3.1.1.1).
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (protocol, rest) = cut(value, b'/')?;
        let (version, rest) = cut(rest, b'/')?;
        // Another version is answered with 505, which needs its Via.
        if !protocol.eq_ignore_ascii_case(b"SIP") || version.is_empty() {
            return None;
        }
        let rest = trim(rest);
        let end = rest.iter().position(|b| is_blank(*b))?;
        let (transport, rest) = rest.split_at(end);
        let at = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let (sent_by, params) = rest.split_at(at);
        let (host, port) = read_host_port(trim(sent_by))?;
        (!transport.is_empty()).then_some(Self {
            transport,
            host,
            port,
            params,
        })
    }

    /// The branch parameter; empty where there is none.
    pub fn branch(&self) -> &'a [u8] {
        param(self.params, b"branch").unwrap_or_default()
    }
}

fn cut(text: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(mark, text)?;
    Some((trim(&text[..at]), &text[at + 1..]))
}

/// CSeq (RFC 3261 section 20.16): below 2^31.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq<'a> {
    /// The sequence number.
    pub number: u32,
    /// The method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads the value.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let end = value.iter().position(|b| is_blank(*b))?;
        let number = read_number(&value[..end]).filter(|n| *n < 1 << 31)?;
        let method = trim(&value[end..]);
        method.iter().all(|b| is_token(*b)).then_some(Self {
            number,
            method: Method::read(method),
        })
    }
}

/// The headers that every message has, read once.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The topmost Via.
    pub via: Via<'a>,
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// CSeq.
    pub cseq: CSeq<'a>,
}

/// Why a request is answered with an error before anybody looks at what it asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {what}")]
pub struct Refusal {
    /// The answer's status.
    pub status: u16,
    /// What is wrong, for the reason phrase.
    pub what: &'static str,
}

const fn refuse(status: u16, what: &'static str) -> Refusal {
    Refusal { status, what }
}

impl<'a> Head<'a> {
    /// Reads the mandatory headers; `None` where one is missing or senseless, so that not even an
    /// error can be answered.
    pub fn read(message: &Message<'a>) -> Option<Self> {
        let via = split_list(message.value(Name::Via)?).next()?;
        Some(Self {
            via: Via::read(via)?,
            from: NameAddr::read(message.value(Name::From)?)?,
            to: NameAddr::read(message.value(Name::To)?)?,
            call_id: message.value(Name::CallId).filter(|id| !id.is_empty())?,
            cseq: CSeq::read(message.value(Name::CSeq)?)?,
        })
    }

    /// Holds a message against the grammar and RFC 4475: what must not be acted upon.
    pub fn check(&self, message: &Message<'a>) -> Result<(), Refusal> {
        const SINGLE: [Name; 6] = [
            Name::From,
            Name::To,
            Name::CallId,
            Name::CSeq,
            Name::MaxForwards,
            Name::ContentLength,
        ];
        if SINGLE.iter().any(|name| message.is_repeated(*name)) {
            return Err(refuse(400, "Repeated Header"));
        }
        match message.body_length() {
            BodyLength::Absent | BodyLength::Whole(_) => {}
            BodyLength::Short(_) | BodyLength::Malformed | BodyLength::Repeated => {
                return Err(refuse(400, "Bad Content-Length"));
            }
        }
        for value in message.values(Name::Via).flat_map(split_list) {
            Via::read(value).ok_or(refuse(400, "Bad Via"))?;
        }
        let number = |name, limit: u32| match message.value(name) {
            Some(text) => read_number(text).is_some_and(|n| n <= limit),
            None => true,
        };
        if !number(Name::MaxForwards, 255) {
            return Err(refuse(400, "Bad Max-Forwards"));
        }
        if !number(Name::Expires, u32::MAX) {
            return Err(refuse(400, "Bad Expires"));
        }
        if let StartLine::Request {
            method,
            uri,
            version,
        } = message.start()
        {
            return self.check_request(message, method, uri, version);
        }
        Ok(())
    }

    fn check_request(
        &self,
        message: &Message<'a>,
        method: Method<'_>,
        uri: &[u8],
        version: &[u8],
    ) -> Result<(), Refusal> {
        if version != b"SIP/2.0" {
            return Err(refuse(505, "Version Not Supported"));
        }
        if self.cseq.method != method {
            return Err(refuse(400, "CSeq Method Differs"));
        }
        let uri = Uri::read(uri).ok_or(refuse(400, "Bad Request-URI"))?;
        if !uri.headers.is_empty() {
            return Err(refuse(400, "Headers In Request-URI"));
        }
        for name in [Name::Contact, Name::Route, Name::RecordRoute] {
            for value in message.values(name).flat_map(split_list) {
                if value != b"*" && NameAddr::read(value).is_none() {
                    return Err(refuse(400, "Bad Address"));
                }
            }
        }
        for address in [self.from.uri, self.to.uri] {
            Uri::read(address).ok_or(refuse(400, "Bad From Or To"))?;
        }
        if !uri.is_sip() && !uri.scheme.eq_ignore_ascii_case(b"tel") {
            return Err(refuse(416, "Unsupported URI Scheme"));
        }
        Ok(())
    }
}

/// Option tags a message requires that we do not know, as the Unsupported header's value.
///
/// `100rel` is ignored: a required PRACK that never comes costs the peer a retransmission, a
/// refused call costs the call.
pub fn unsupported(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut tags = Vec::new();
    for name in [Name::Require, Name::ProxyRequire] {
        for tag in message.values(name).flat_map(split_list) {
            let known = [&b"100rel"[..], b"timer"];
            let known = known.iter().any(|known| tag.eq_ignore_ascii_case(known));
            if !known && tag.iter().all(|b| is_token(*b)) {
                if !tags.is_empty() {
                    tags.extend_from_slice(b", ");
                }
                tags.extend_from_slice(tag);
            }
        }
    }
    (!tags.is_empty()).then_some(tags)
}

/// The Q.850 cause of a Reason header (RFC 3326), 1 to 127.
pub fn q850_cause(message: &Message<'_>) -> Option<u16> {
    message
        .values(Name::Reason)
        .flat_map(split_list)
        .find_map(|reason| {
            let (protocol, rest) = reason.split_at(memchr::memchr(b';', reason)?);
            if !trim(protocol).eq_ignore_ascii_case(b"Q.850") {
                return None;
            }
            let cause = read_number(param(rest, b"cause")?)?;
            (1..=127).contains(&cause).then_some(cause as u16)
        })
}

/// Whether the body is `main/sub`; an absent Content-Type counts as what is asked for.
pub fn body_is(message: &Message<'_>, media_type: &str) -> bool {
    let Some(value) = message.value(Name::ContentType) else {
        return true;
    };
    if value.eq_ignore_ascii_case(media_type.as_bytes()) {
        return true;
    }
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let bare = text.split(';').next().unwrap_or_default().trim();
    untyped::ContentType::from(bare.to_ascii_lowercase())
        .typed()
        .is_ok_and(|typed| typed.to_string() == media_type)
}

/// Whether an Accept header, where present, lets us answer with SDP (RFC 4475 section 3.3.15).
pub fn accepts_sdp(message: &Message<'_>) -> bool {
    message.value(Name::Accept).is_none()
        || message
            .values(Name::Accept)
            .flat_map(split_list)
            .any(|item| {
                let bare = trim(item.split(|b| *b == b';').next().unwrap_or_default());
                [&b"application/sdp"[..], b"application/*", b"*/*"]
                    .iter()
                    .any(|ok| bare.eq_ignore_ascii_case(ok))
            })
}

/// The message as `rsip` sees it, after undoing what `rsip` cannot read: folds joined, compact
/// names written out, foreign bytes replaced, the body cut at Content-Length. For tools and tests.
pub fn to_rsip(message: &Message<'_>) -> Result<rsip::SipMessage, rsip::Error> {
    let mut text = Vec::with_capacity(512);
    match message.start() {
        StartLine::Request { method, uri, .. } => {
            text.extend_from_slice(method.as_bytes());
            text.push(b' ');
            text.extend_from_slice(uri);
            text.extend_from_slice(b" SIP/2.0\r\n");
        }
        StartLine::Response { status, reason } => {
            text.extend_from_slice(format!("SIP/2.0 {status} ").as_bytes());
            text.extend_from_slice(reason);
            text.extend_from_slice(b"\r\n");
        }
    }
    for (name, written, value) in message.headers() {
        match name {
            Name::Other => text.extend_from_slice(written),
            known => text.extend_from_slice(known.as_str().as_bytes()),
        }
        text.extend_from_slice(b": ");
        crate::write::put_value(&mut text, value);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(message.body());
    rsip::SipMessage::try_from(&*String::from_utf8_lossy(&text))
}

#[cfg(test)]
mod tests;
