//! Digest access authentication (RFC 2617, RFC 7616, RFC 8760): the client towards carriers, and the
//! primitives of the registrar's server side.

use crate::{
    lexer::{Message, Name, is_blank, trim},
    message::{params, split_list, unquote},
    write::put,
};
use domain::Secret;
use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};
use std::io::Write;

/// A user name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Digest user name.
    pub username: String,
    /// Digest password.
    pub password: Secret,
}

/// Hash of a challenge; later is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// RFC 2617.
    Md5,
    /// RFC 7616.
    Sha256,
    /// RFC 7616.
    Sha512_256,
}

impl Algorithm {
    fn read(token: &[u8]) -> Option<(Self, bool)> {
        let (name, session) = match token.len().checked_sub(5).map(|at| token.split_at(at)) {
            Some((name, tail)) if tail.eq_ignore_ascii_case(b"-sess") => (name, true),
            _ => (token, false),
        };
        let known = [Self::Md5, Self::Sha256, Self::Sha512_256];
        let algorithm = known
            .into_iter()
            .find(|a| name.eq_ignore_ascii_case(a.token().as_bytes()))?;
        Some((algorithm, session))
    }

    /// The token of the `algorithm` parameter.
    pub fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// Lower-case hexadecimal hash of the parts joined by colons.
    pub fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        fn run<D: sha2::digest::Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hasher = D::new();
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    hasher.update(b":");
                }
                hasher.update(part);
            }
            hex(&hasher.finalize())
        }
        match self {
            Self::Md5 => run::<Md5>(parts),
            Self::Sha256 => run::<Sha256>(parts),
            Self::Sha512_256 => run::<Sha512_256>(parts),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .collect()
}

/// How much of the message the answer covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// RFC 2069: neither counter nor client nonce.
    None,
    /// Method and URI.
    Auth,
    /// Method, URI and body.
    AuthInt,
}

/// What a server asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whether it was a 407 and is answered with Proxy-Authorization.
    pub proxy: bool,
    /// Protection space.
    pub realm: Vec<u8>,
    /// Server's nonce.
    pub nonce: Vec<u8>,
    /// Echoed as it came.
    pub opaque: Option<Vec<u8>>,
    /// Hash.
    pub algorithm: Algorithm,
    /// The `-sess` variant.
    pub session: bool,
    /// What we answer with: `auth` when offered.
    pub qop: Qop,
    /// The old nonce ran out; the password was right.
    pub stale: bool,
}

impl Challenge {
    /// The strongest challenge of a 401 or 407 that we can answer, the first among equals (RFC 8760
    /// section 2.4).
    pub fn strongest(message: &Message<'_>) -> Option<Self> {
        let (name, proxy) = match message.status()? {
            401 => (Name::WwwAuthenticate, false),
            407 => (Name::ProxyAuthenticate, true),
            _ => return None,
        };
        let mut best: Option<Self> = None;
        for value in message.values(name) {
            for challenge in Self::read_all(value, proxy) {
                if best
                    .as_ref()
                    .is_none_or(|b| challenge.algorithm > b.algorithm)
                {
                    best = Some(challenge);
                }
            }
        }
        best
    }

    /// Every Digest challenge of one header line; a line may hold several.
    fn read_all(value: &[u8], proxy: bool) -> Vec<Self> {
        let mut groups: Vec<(&[u8], Vec<&[u8]>)> = Vec::new();
        for item in split_list(value) {
            // `Digest realm="x"`: a token, white space, then the first parameter.
            let before = &item[..memchr::memchr(b'=', item).unwrap_or(item.len())];
            match trim(before).iter().position(|b| is_blank(*b)) {
                Some(space) => groups.push((&item[..space], vec![trim(&item[space..])])),
                None => {
                    if let Some((_, list)) = groups.last_mut() {
                        list.push(item);
                    }
                }
            }
        }
        groups
            .into_iter()
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Digest"))
            .filter_map(|(_, items)| Self::read_one(&items, proxy))
            .collect()
    }

    fn read_one(items: &[&[u8]], proxy: bool) -> Option<Self> {
        let get = |name: &[u8]| parameter(items, name);
        let (algorithm, session) = match get(b"algorithm") {
            Some(token) => Algorithm::read(&token)?,
            None => (Algorithm::Md5, false),
        };
        let qop = match get(b"qop") {
            None => Qop::None,
            Some(list) => {
                let has = |what: &[u8]| {
                    list.split(|b| *b == b',')
                        .any(|q| trim(q).eq_ignore_ascii_case(what))
                };
                match (has(b"auth"), has(b"auth-int")) {
                    (true, _) => Qop::Auth,
                    (_, true) => Qop::AuthInt,
                    // Unknown protection only: as if none were asked (RFC 7616 section 3.3).
                    _ => Qop::None,
                }
            }
        };
        Some(Self {
            proxy,
            realm: get(b"realm")?,
            nonce: get(b"nonce")?,
            opaque: get(b"opaque"),
            algorithm,
            session,
            qop,
            stale: get(b"stale").is_some_and(|s| s.eq_ignore_ascii_case(b"true")),
        })
    }
}

fn parameter(items: &[&[u8]], name: &[u8]) -> Option<Vec<u8>> {
    items
        .iter()
        .flat_map(|item| params(item))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| unquote(value.unwrap_or_default()))
}

/// What an answer is computed for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The request's method.
    pub method: &'a [u8],
    /// The Request-URI as written.
    pub uri: &'a [u8],
    /// The request's body.
    pub body: &'a [u8],
}

struct Answer<'a> {
    username: &'a [u8],
    realm: &'a [u8],
    password: &'a [u8],
    nonce: &'a [u8],
    algorithm: Algorithm,
    session: bool,
    qop: Qop,
    nc: &'a [u8],
    cnonce: &'a [u8],
}

impl Answer<'_> {
    fn response(&self, subject: Subject<'_>) -> Vec<u8> {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let mut ha1 = hash(&[self.username, self.realm, self.password]);
        if self.session {
            ha1 = hash(&[&ha1, self.nonce, self.cnonce]);
        }
        let ha2 = match self.qop {
            Qop::AuthInt => hash(&[subject.method, subject.uri, &hash(&[subject.body])]),
            Qop::None | Qop::Auth => hash(&[subject.method, subject.uri]),
        };
        match self.qop {
            Qop::None => hash(&[&ha1, self.nonce, &ha2]),
            Qop::Auth | Qop::AuthInt => {
                let qop: &[u8] = if self.qop == Qop::Auth {
                    b"auth"
                } else {
                    b"auth-int"
                };
                hash(&[&ha1, self.nonce, self.nc, self.cnonce, qop, &ha2])
            }
        }
    }
}

/// A challenge in use: its nonce serves many requests, counted (RFC 7616 section 3.4).
#[derive(Clone, Debug)]
pub struct Authorizer {
    challenge: Challenge,
    cnonce: String,
    count: u32,
}

impl Authorizer {
    /// Answers `challenge` with this client nonce.
    pub fn new(challenge: Challenge, cnonce: String) -> Self {
        Self {
            challenge,
            cnonce,
            count: 0,
        }
    }

    /// The challenge being answered.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// Appends the Authorization or Proxy-Authorization line for one request.
    pub fn put(&mut self, out: &mut Vec<u8>, credentials: &Credentials, subject: Subject<'_>) {
        self.count = self.count.wrapping_add(1);
        let nc = format!("{:08x}", self.count);
        let c = &self.challenge;
        let response = Answer {
            username: credentials.username.as_bytes(),
            realm: &c.realm,
            password: credentials.password.expose().as_bytes(),
            nonce: &c.nonce,
            algorithm: c.algorithm,
            session: c.session,
            qop: c.qop,
            nc: nc.as_bytes(),
            cnonce: self.cnonce.as_bytes(),
        }
        .response(subject);
        out.extend_from_slice(if c.proxy {
            b"Proxy-Authorization: Digest "
        } else {
            b"Authorization: Digest "
        });
        put_quoted(out, "username", credentials.username.as_bytes());
        for (name, value) in [
            (", realm", &c.realm[..]),
            (", nonce", &c.nonce),
            (", uri", subject.uri),
            (", response", &response),
        ] {
            put_quoted(out, name, value);
        }
        let session = if c.session { "-sess" } else { "" };
        put!(out, ", algorithm={}{session}", c.algorithm.token());
        if c.qop != Qop::None {
            let qop = if c.qop == Qop::Auth {
                "auth"
            } else {
                "auth-int"
            };
            put!(out, ", qop={qop}, nc={nc}");
        }
        if c.qop != Qop::None || c.session {
            put_quoted(out, ", cnonce", self.cnonce.as_bytes());
        }
        if let Some(opaque) = &c.opaque {
            put_quoted(out, ", opaque", opaque);
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn put_quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    for &byte in value.iter().filter(|b| **b >= b' ' && **b != 0x7f) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// The parameters of an Authorization header, unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Claimed user.
    pub username: Vec<u8>,
    /// Realm it was computed for.
    pub realm: Vec<u8>,
    /// Nonce it was computed with.
    pub nonce: Vec<u8>,
    /// URI it was computed for.
    pub uri: Vec<u8>,
    response: Vec<u8>,
    algorithm: Algorithm,
    session: bool,
    qop: Qop,
    nc: Vec<u8>,
    cnonce: Vec<u8>,
}

impl Authorization {
    /// Reads a Digest header; other schemes and damaged ones count as no credentials (RFC 4475 section
    /// 3.3.7).
    pub fn read(value: &[u8]) -> Option<Self> {
        let space = value.iter().position(|b| is_blank(*b))?;
        if !value[..space].eq_ignore_ascii_case(b"Digest") {
            return None;
        }
        let items: Vec<&[u8]> = split_list(&value[space..]).collect();
        let get = |name: &[u8]| parameter(&items, name);
        let (algorithm, session) = match get(b"algorithm") {
            Some(token) => Algorithm::read(&token)?,
            None => (Algorithm::Md5, false),
        };
        let qop = match get(b"qop").as_deref() {
            None => Qop::None,
            Some(q) if q.eq_ignore_ascii_case(b"auth") => Qop::Auth,
            Some(q) if q.eq_ignore_ascii_case(b"auth-int") => Qop::AuthInt,
            Some(_) => return None,
        };
        Some(Self {
            username: get(b"username")?,
            realm: get(b"realm")?,
            nonce: get(b"nonce")?,
            uri: get(b"uri")?,
            response: get(b"response")?,
            algorithm,
            session,
            qop,
            nc: get(b"nc").unwrap_or_default(),
            cnonce: get(b"cnonce").unwrap_or_default(),
        })
    }

    /// Whether it was made with this password, for this request. Time does not depend on where the
    /// two differ.
    pub fn verify(&self, password: &Secret, subject: Subject<'_>) -> bool {
        let expected = Answer {
            username: &self.username,
            realm: &self.realm,
            password: password.expose().as_bytes(),
            nonce: &self.nonce,
            algorithm: self.algorithm,
            session: self.session,
            qop: self.qop,
            nc: &self.nc,
            cnonce: &self.cnonce,
        }
        .response(subject);
        same(&expected, &self.response)
    }
}

/// Whether two texts are equal, in time that depends on their lengths only.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

/// HMAC-SHA-256 (RFC 2104) with a key of one block or less.
pub(crate) fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut pad = [0x36u8; 64];
    pad.iter_mut().zip(key).for_each(|(p, k)| *p ^= k);
    let mut inner = Sha256::new();
    inner.update(pad);
    parts.iter().for_each(|part| inner.update(part));
    pad.iter_mut().for_each(|p| *p ^= 0x36 ^ 0x5c);
    let mut outer = Sha256::new();
    outer.update(pad);
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests;
