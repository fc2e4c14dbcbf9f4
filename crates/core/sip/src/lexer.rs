//! Our own tolerant lexer: frames a message and indexes its headers without allocating.
//!
//! Tolerated: CRLF in front (RFC 3261 section 7.5), bare LF, folding (7.3.1), compact names (7.3.3),
//! white space round the colon, any bytes in values (GBK, Latin-1). Not tolerated: what is over a
//! limit, header names that are no token (request smuggling), a head without its empty line.
//! Whether the message makes sense is [`crate::message::Head`]'s business.

use domain::limits::{SIP_HEADERS, SIP_LINE_BYTES, SIP_MESSAGE_BYTES, SIP_VIAS};
use memchr::memchr;
use std::fmt;

macro_rules! names {
    ($($variant:ident = $long:literal $(/ $short:literal)?),+ $(,)?) => {
        /// A header's name. Names we never ask for are `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is the header of that name")]
        #[repr(u8)]
        pub enum Name { $($variant),+, Other }

        impl Name {
            const COUNT: usize = Self::Other as usize + 1;

            fn read(name: &[u8]) -> Self {
                match name.len() {
                    1 => { $($(if name.eq_ignore_ascii_case($short) { return Self::$variant; })?)+ }
                    n => { $(if n == $long.len() && name.eq_ignore_ascii_case($long) {
                        return Self::$variant;
                    })+ }
                }
                Self::Other
            }

            /// The name in full, as RFC 3261 writes it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant =>
                    std::str::from_utf8($long).expect("names are ASCII"),)+
                    Self::Other => "(other)" }
            }
        }
    };
}

names! {
    Via = b"Via" / b"v", From = b"From" / b"f", To = b"To" / b"t", CallId = b"Call-ID" / b"i",
    CSeq = b"CSeq", Contact = b"Contact" / b"m", MaxForwards = b"Max-Forwards",
    ContentLength = b"Content-Length" / b"l", ContentType = b"Content-Type" / b"c",
    ContentEncoding = b"Content-Encoding" / b"e", RecordRoute = b"Record-Route", Route = b"Route",
    Expires = b"Expires", MinExpires = b"Min-Expires", WwwAuthenticate = b"WWW-Authenticate",
    ProxyAuthenticate = b"Proxy-Authenticate", Authorization = b"Authorization",
    ProxyAuthorization = b"Proxy-Authorization", AuthenticationInfo = b"Authentication-Info",
    Reason = b"Reason", RetryAfter = b"Retry-After", Require = b"Require",
    ProxyRequire = b"Proxy-Require", Supported = b"Supported" / b"k", Allow = b"Allow",
    Accept = b"Accept", UserAgent = b"User-Agent", Server = b"Server", Warning = b"Warning",
    Date = b"Date", Subject = b"Subject" / b"s", PAssertedIdentity = b"P-Asserted-Identity",
    Diversion = b"Diversion", SessionExpires = b"Session-Expires" / b"x", MinSe = b"Min-SE",
    RSeq = b"RSeq", Privacy = b"Privacy",
}

/// A request's method. Unknown ones are kept: a UAS must answer them (RFC 3261 section 8.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each is the method of that name")]
pub enum Method<'a> {
    Invite,
    Ack,
    Cancel,
    Bye,
    Options,
    Register,
    Info,
    Update,
    Prack,
    Subscribe,
    Notify,
    Refer,
    Message,
    Publish,
    Other(&'a [u8]),
}

impl<'a> Method<'a> {
    /// Reads a method token. Methods are case-sensitive (RFC 3261 section 7.1).
    pub fn read(token: &'a [u8]) -> Self {
        match token {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"CANCEL" => Self::Cancel,
            b"BYE" => Self::Bye,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"INFO" => Self::Info,
            b"UPDATE" => Self::Update,
            b"PRACK" => Self::Prack,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"REFER" => Self::Refer,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other => Self::Other(other),
        }
    }

    /// The token.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Invite => b"INVITE",
            Self::Ack => b"ACK",
            Self::Cancel => b"CANCEL",
            Self::Bye => b"BYE",
            Self::Options => b"OPTIONS",
            Self::Register => b"REGISTER",
            Self::Info => b"INFO",
            Self::Update => b"UPDATE",
            Self::Prack => b"PRACK",
            Self::Subscribe => b"SUBSCRIBE",
            Self::Notify => b"NOTIFY",
            Self::Refer => b"REFER",
            Self::Message => b"MESSAGE",
            Self::Publish => b"PUBLISH",
            Self::Other(token) => token,
        }
    }
}

/// The first line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartLine<'a> {
    /// `INVITE sip:a@b SIP/2.0`.
    Request {
        /// What is asked.
        method: Method<'a>,
        /// The Request-URI as it stands, white space included where the sender erred.
        uri: &'a [u8],
        /// `SIP/2.0`, or what stands in its place.
        version: &'a [u8],
    },
    /// `SIP/2.0 200 OK`.
    Response {
        /// 100 to 699.
        status: u16,
        /// Free text, any bytes, possibly empty.
        reason: &'a [u8],
    },
}

/// What Content-Length says, held against the bytes at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLength {
    /// No such header: the body is the rest of the datagram (RFC 3261 section 18.3).
    Absent,
    /// That many bytes, all present.
    Whole(usize),
    /// That many bytes, of which some have not come.
    Short(usize),
    /// Not a number, or over the message limit.
    Malformed,
    /// More than one such header: which to believe is what smugglers play with.
    Repeated,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing but line ends.
    Empty,
    /// More bytes than the limit of one message.
    TooLong,
    /// A line over its limit.
    LineTooLong,
    /// More headers than the limit.
    TooManyHeaders,
    /// More Via values than the limit.
    TooManyVias,
    /// Neither a request line nor a status line.
    StartLine,
    /// A status that is not three digits from 100 to 699.
    Status,
    /// A header line without a colon.
    NoColon,
    /// A header name that is no token.
    HeaderName,
    /// The empty line after the headers is missing.
    NoEnd,
    /// On a stream: no Content-Length, two of them, or one that is no number.
    Framing,
}

/// A message that cannot be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SIP message cannot be read at byte {at}: {}", self.explain())]
pub struct LexError {
    /// What is wrong.
    pub fault: Fault,
    /// Byte offset in the message.
    pub at: usize,
    /// The last header indexed before that place.
    pub after: Option<Name>,
}

impl LexError {
    fn explain(&self) -> String {
        let what = match self.fault {
            Fault::Empty => "it is empty".to_owned(),
            Fault::TooLong => format!("over {SIP_MESSAGE_BYTES} bytes"),
            Fault::LineTooLong => format!("a header over {SIP_LINE_BYTES} bytes"),
            Fault::TooManyHeaders => format!("over {SIP_HEADERS} headers"),
            Fault::TooManyVias => format!("over {SIP_VIAS} Via values"),
            Fault::StartLine => "neither a request line nor a status line".to_owned(),
            Fault::Status => "the status is not 100 to 699".to_owned(),
            Fault::NoColon => "a header line without a colon".to_owned(),
            Fault::HeaderName => "a header name that is no token".to_owned(),
            Fault::NoEnd => "no empty line ends the headers".to_owned(),
            Fault::Framing => "a stream needs exactly one Content-Length".to_owned(),
        };
        match self.after {
            Some(name) => format!("{what} (after {})", name.as_str()),
            None => what,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: Name,
    name_at: u32,
    name_end: u32,
    value_at: u32,
    value_end: u32,
}

const NO_FIELD: Field = Field {
    name: Name::Other,
    name_at: 0,
    name_end: 0,
    value_at: 0,
    value_end: 0,
};
const NONE: u8 = u8::MAX;

/// A framed message: its bytes, and where everything is. About 2.6 KiB on the stack, no heap.
#[derive(Clone)]
pub struct Message<'a> {
    bytes: &'a [u8],
    start: StartLine<'a>,
    fields: [Field; SIP_HEADERS],
    count: usize,
    first: [u8; Name::COUNT],
    repeated: u64,
    body: &'a [u8],
    body_length: BodyLength,
    head_end: usize,
}

impl fmt::Debug for Message<'_> {
    /// Start line's kind and sizes only: the rest holds telephone numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Message");
        match self.start {
            StartLine::Request { method, .. } => f.field("method", &method),
            StartLine::Response { status, .. } => f.field("status", &status),
        };
        f.field("headers", &self.count)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Space, tab, and the line ends inside folded values.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `text` without white space at its ends.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

impl<'a> Message<'a> {
    /// Frames one message: a datagram, or what [`crate::Framer`] cut from a stream.
    pub fn read(bytes: &'a [u8]) -> Result<Self, LexError> {
        let fail = |fault, at| LexError {
            fault,
            at,
            after: None,
        };
        if bytes.len() > SIP_MESSAGE_BYTES {
            return Err(fail(Fault::TooLong, SIP_MESSAGE_BYTES));
        }
        let mut at = bytes
            .iter()
            .position(|b| !matches!(b, b'\r' | b'\n'))
            .ok_or(fail(Fault::Empty, 0))?;
        let (line, next) = line_at(bytes, at).ok_or(fail(Fault::NoEnd, bytes.len()))?;
        if line.len() > SIP_LINE_BYTES {
            return Err(fail(Fault::LineTooLong, at));
        }
        let start = read_start(line).map_err(|fault| fail(fault, at))?;
        at = next;
        let mut message = Self {
            bytes,
            start,
            fields: [NO_FIELD; SIP_HEADERS],
            count: 0,
            first: [NONE; Name::COUNT],
            repeated: 0,
            body: &[],
            body_length: BodyLength::Absent,
            head_end: 0,
        };
        let mut vias = 0;
        loop {
            let (line, next) =
                line_at(bytes, at).ok_or_else(|| message.fail(Fault::NoEnd, bytes.len()))?;
            if line.is_empty() {
                message.head_end = next;
                break;
            }
            if line.len() > SIP_LINE_BYTES {
                return Err(message.fail(Fault::LineTooLong, at));
            }
            if matches!(line[0], b' ' | b'\t') {
                message.fold(at + line.len())?;
            } else {
                message.index(line, at)?;
            }
            let last = message.fields[message.count - 1];
            if last.name == Name::Via {
                // A comma costs one even inside quotes, which a Via has no use for.
                vias += line.iter().filter(|b| **b == b',').count()
                    + usize::from(!matches!(line[0], b' ' | b'\t'));
                if vias > SIP_VIAS {
                    return Err(message.fail(Fault::TooManyVias, at));
                }
            }
            at = next;
        }
        message.cut_body();
        Ok(message)
    }

    fn fail(&self, fault: Fault, at: usize) -> LexError {
        LexError {
            fault,
            at,
            after: self.count.checked_sub(1).map(|last| self.fields[last].name),
        }
    }

    fn fold(&mut self, end: usize) -> Result<(), LexError> {
        let Some(last) = self.count.checked_sub(1) else {
            return Err(self.fail(Fault::NoColon, end));
        };
        let field = &mut self.fields[last];
        field.value_end = end as u32;
        // An empty first line left the value's start before the fold; trimmed when read.
        if end - field.name_at as usize > SIP_LINE_BYTES {
            return Err(self.fail(Fault::LineTooLong, end));
        }
        Ok(())
    }

    fn index(&mut self, line: &[u8], at: usize) -> Result<(), LexError> {
        let colon = memchr(b':', line).ok_or_else(|| self.fail(Fault::NoColon, at))?;
        let name = trim(&line[..colon]);
        if name.is_empty() || name.iter().any(|b| *b <= b' ' || *b >= 0x7f) {
            return Err(self.fail(Fault::HeaderName, at));
        }
        if self.count == SIP_HEADERS {
            return Err(self.fail(Fault::TooManyHeaders, at));
        }
        let known = Name::read(name);
        self.fields[self.count] = Field {
            name: known,
            name_at: at as u32,
            name_end: (at + name.len()) as u32,
            value_at: (at + colon + 1) as u32,
            value_end: (at + line.len()) as u32,
        };
        let first = &mut self.first[known as usize];
        if *first == NONE {
            *first = self.count as u8;
        } else {
            self.repeated |= 1 << known as u8;
        }
        self.count += 1;
        Ok(())
    }

    fn cut_body(&mut self) {
        let rest = &self.bytes[self.head_end..];
        (self.body, self.body_length) = match self.value(Name::ContentLength) {
            None => (rest, BodyLength::Absent),
            Some(_) if self.is_repeated(Name::ContentLength) => (rest, BodyLength::Repeated),
            Some(text) => match read_number(text) {
                Some(len) if len as usize <= rest.len() => {
                    (&rest[..len as usize], BodyLength::Whole(len as usize))
                }
                Some(len) if len as usize <= SIP_MESSAGE_BYTES => {
                    (rest, BodyLength::Short(len as usize))
                }
                _ => (rest, BodyLength::Malformed),
            },
        };
    }

    /// The first line.
    pub fn start(&self) -> StartLine<'a> {
        self.start
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Response { status, .. } => Some(status),
            StartLine::Request { .. } => None,
        }
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Response { .. } => None,
        }
    }

    /// The body, cut at Content-Length.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// What Content-Length says.
    pub fn body_length(&self) -> BodyLength {
        self.body_length
    }

    /// Offset of the first byte after the head's empty line.
    pub fn head_end(&self) -> usize {
        self.head_end
    }

    /// How many headers there are.
    pub fn header_count(&self) -> usize {
        self.count
    }

    /// Whether the header stands there more than once.
    pub fn is_repeated(&self, name: Name) -> bool {
        self.repeated & (1 << name as u8) != 0
    }

    /// The first value of that header, trimmed; may hold the line ends of folding.
    pub fn value(&self, name: Name) -> Option<&'a [u8]> {
        let first = self.first[name as usize];
        (first != NONE).then(|| self.field_value(usize::from(first)))
    }

    /// Every line of that header in order.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + '_ {
        let first = match self.first[name as usize] {
            NONE => self.count,
            first => usize::from(first),
        };
        (first..self.count)
            .filter(move |i| self.fields[*i].name == name)
            .map(|i| self.field_value(i))
    }

    /// Every header in order: the name as written, and the trimmed value.
    pub fn headers(&self) -> impl Iterator<Item = (Name, &'a [u8], &'a [u8])> + '_ {
        (0..self.count).map(|i| {
            let field = self.fields[i];
            let name = &self.bytes[field.name_at as usize..field.name_end as usize];
            (field.name, name, self.field_value(i))
        })
    }

    fn field_value(&self, index: usize) -> &'a [u8] {
        let field = self.fields[index];
        trim(&self.bytes[field.value_at as usize..field.value_end as usize])
    }
}

/// The line that starts at `at`, without its end, and where the next one starts.
fn line_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = &bytes[at..];
    let end = memchr(b'\n', rest)?;
    let line = &rest[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), at + end + 1))
}

fn read_start(line: &[u8]) -> Result<StartLine<'_>, Fault> {
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        let (code, reason) = match memchr(b' ', rest) {
            Some(space) => (&rest[..space], &rest[space + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        return match read_number(code) {
            Some(status @ 100..=699) if code.len() == 3 => Ok(StartLine::Response {
                status: status as u16,
                reason,
            }),
            _ => Err(Fault::Status),
        };
    }
    let method_end = memchr(b' ', line).ok_or(Fault::StartLine)?;
    let method = &line[..method_end];
    // White space after the version is harmless (RFC 4475 section 3.1.2.10).
    let rest = trim_end(&line[method_end + 1..]);
    let version_at = memchr::memrchr(b' ', rest).ok_or(Fault::StartLine)? + 1;
    let version = &rest[version_at..];
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) || !version.starts_with(b"SIP/") {
        return Err(Fault::StartLine);
    }
    Ok(StartLine::Request {
        method: Method::read(method),
        uri: &rest[..version_at - 1],
        version,
    })
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// RFC 3261's `token` characters.
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// A decimal number that fits 32 bits, and nothing else.
pub(crate) fn read_number(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests;
