//! Digest access authentication (RFC 8760 over RFC 7616): MD5 and SHA-256, `qop=auth` or none.

use md5::Digest as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A hash the challenge names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RFC 2617's.
    #[serde(rename = "MD5")]
    Md5,
    /// RFC 8760's.
    #[serde(rename = "SHA-256")]
    Sha256,
}

impl Algorithm {
    /// Its name in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&md5::Md5::digest(text)),
            Self::Sha256 => hex(&sha2::Sha256::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The parameters of a challenge or of credentials, names in lower case, quotes removed.
pub type Params = BTreeMap<String, String>;

/// Reads `Digest a="b", c=d`; `None` for another scheme.
pub fn params(value: &str) -> Option<Params> {
    let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    Some(
        super::list(rest)
            .into_iter()
            .filter_map(|part| part.split_once('='))
            .map(|(k, v)| {
                let v = v.trim();
                let v = v
                    .strip_prefix('"')
                    .and_then(|v| v.strip_suffix('"'))
                    .unwrap_or(v);
                (k.trim().to_ascii_lowercase(), v.to_owned())
            })
            .collect(),
    )
}

/// The text of a challenge.
pub fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
    format!(
        r#"Digest realm="{realm}", nonce="{nonce}", algorithm={}, qop="auth"{}"#,
        algorithm.name(),
        if stale { ", stale=true" } else { "" }
    )
}

/// Who answers a challenge, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// User name.
    pub username: &'a str,
    /// Password.
    pub password: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The request's URI.
    pub uri: &'a str,
    /// A nonce of the client's own.
    pub cnonce: &'a str,
    /// How often the server's nonce has been used, from 1.
    pub count: u32,
}

impl Answer<'_> {
    /// The credentials that answer `challenge`, as the text of an `Authorization` header;
    /// `None` where the challenge asks for what is not spoken here.
    pub fn to(&self, challenge: &Params) -> Option<String> {
        let get = |name: &str| challenge.get(name).map(String::as_str);
        let algorithm = Algorithm::from_name(get("algorithm").unwrap_or("MD5"))?;
        let (realm, nonce) = (get("realm")?, get("nonce")?);
        let qop = match get("qop") {
            None => None,
            Some(list) if list.split(',').any(|q| q.trim() == "auth") => Some("auth"),
            Some(_) => return None,
        };
        let nc = format!("{:08x}", self.count);
        let response = response(&Inputs {
            algorithm,
            username: self.username,
            realm,
            password: self.password,
            method: self.method,
            uri: self.uri,
            nonce,
            qop: qop.map(|q| (q, nc.as_str(), self.cnonce)),
        });
        let mut text = format!(
            r#"Digest username="{}", realm="{realm}", nonce="{nonce}", uri="{}", response="{response}", algorithm={}"#,
            self.username,
            self.uri,
            algorithm.name()
        );
        if qop.is_some() {
            text.push_str(&format!(r#", qop=auth, nc={nc}, cnonce="{}""#, self.cnonce));
        }
        if let Some(opaque) = get("opaque") {
            text.push_str(&format!(r#", opaque="{opaque}""#));
        }
        Some(text)
    }
}

struct Inputs<'a> {
    algorithm: Algorithm,
    username: &'a str,
    realm: &'a str,
    password: &'a str,
    method: &'a str,
    uri: &'a str,
    nonce: &'a str,
    qop: Option<(&'a str, &'a str, &'a str)>,
}

fn response(i: &Inputs<'_>) -> String {
    let hash = |text: String| i.algorithm.hash(&text);
    let ha1 = hash(format!("{}:{}:{}", i.username, i.realm, i.password));
    let ha2 = hash(format!("{}:{}", i.method, i.uri));
    match i.qop {
        None => hash(format!("{ha1}:{}:{ha2}", i.nonce)),
        Some((qop, nc, cnonce)) => hash(format!("{ha1}:{}:{nc}:{cnonce}:{qop}:{ha2}", i.nonce)),
    }
}

/// Whether credentials prove the password for a request of that method. The nonce's age is the
/// caller's business.
pub fn verify(credentials: &Params, password: &str, method: &str) -> bool {
    let get = |name: &str| credentials.get(name).map(String::as_str);
    let Some(algorithm) = Algorithm::from_name(get("algorithm").unwrap_or("MD5")) else {
        return false;
    };
    let (Some(username), Some(realm), Some(nonce), Some(uri), Some(claimed)) = (
        get("username"),
        get("realm"),
        get("nonce"),
        get("uri"),
        get("response"),
    ) else {
        return false;
    };
    let qop = match (get("qop"), get("nc"), get("cnonce")) {
        (None, _, _) => None,
        (Some("auth"), Some(nc), Some(cnonce)) => Some(("auth", nc, cnonce)),
        _ => return false,
    };
    let expected = response(&Inputs {
        algorithm,
        username,
        realm,
        password,
        method,
        uri,
        nonce,
        qop,
    });
    expected.eq_ignore_ascii_case(claimed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 section 3.9.1, both hashes.
    #[test]
    fn published_examples() {
        for (algorithm, expected) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
            let challenge = params(&format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, nonce="{nonce}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
                algorithm.name()
            ))
            .unwrap();
            let answer = Answer {
                username: "Mufasa",
                password: "Circle of Life",
                method: "GET",
                uri: "/dir/index.html",
                cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                count: 1,
            };
            let text = answer.to(&challenge).unwrap();
            let sent = params(&text).unwrap();
            assert_eq!(sent["response"], expected, "{}", algorithm.name());
            assert!(verify(&sent, "Circle of Life", "GET"));
            assert!(!verify(&sent, "circle of life", "GET"));
            assert!(!verify(&sent, "Circle of Life", "PUT"));
        }
    }

    #[test]
    fn without_qop_and_unknown_schemes() {
        let old = params(r#"Digest realm="r", nonce="n""#).unwrap();
        let answer = Answer {
            username: "u",
            password: "p",
            method: "INVITE",
            uri: "sip:x",
            cnonce: "c",
            count: 1,
        };
        let sent = params(&answer.to(&old).unwrap()).unwrap();
        assert!(!sent.contains_key("qop") && verify(&sent, "p", "INVITE"));
        assert!(params("Basic abc").is_none());
        let odd = params(r#"Digest realm="r", nonce="n", algorithm=SHA-512-256"#).unwrap();
        assert_eq!(answer.to(&odd), None);
    }
}
