//! Agents' phones register here (RFC 3261 section 10.3), with digest and a bounded table.
//!
//! The nonce is stateless: a time, authenticated together with the peer's address by a key drawn at
//! start. It can be replayed from the same address while it lives (five minutes), since counters are
//! not kept; such a replay can only repeat the same request to the same URI.

use crate::{
    digest::{Algorithm, Authorization, Subject, hex, hmac_sha256, same},
    flow::Flow,
    lexer::{Message, Name, StartLine, read_number},
    message::{Head, NameAddr, Uri, param, split_list},
    write::put,
};
use domain::{Instant, Now, Secret, WallTime, limits::NODE_AGENTS};
use sansio::Stream;
use std::{collections::BTreeMap, io::Write, net::IpAddr, time::Duration};

/// How long a nonce lives.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);

/// What the registrar needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarConfig {
    /// Digest realm.
    pub realm: String,
    /// Shortest registration accepted; shorter ones get 423.
    pub min_expires: Duration,
    /// Longest registration granted.
    pub max_expires: Duration,
    /// Challenges name MD5 alone: there are phones that give up where they also read SHA-256.
    pub md5_only: bool,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            realm: "dialmesh".into(),
            min_expires: Duration::from_secs(30),
            max_expires: Duration::from_secs(600),
            md5_only: false,
        }
    }
}

/// Where a phone is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The way it came, and the way calls go back.
    pub flow: Flow,
    /// Its Contact URI: the Request-URI of calls to it.
    pub contact: Vec<u8>,
    /// Until when.
    pub expires: Instant,
    call_id: Vec<u8>,
    cseq: u32,
}

/// What a request's credentials amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This user.
    User(String),
    /// None, or old ones: challenge, and say whether only the nonce was old.
    Challenge { stale: bool },
    /// Wrong ones. Unknown users look the same.
    Forbidden,
}

/// What became of a REGISTER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 200 with these header lines; a changed binding to tell about.
    Ok { lines: Vec<u8>, change: Change },
    /// An error with these header lines.
    Refused { status: u16, lines: Vec<u8> },
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Bound(Duration),
    Unbound,
}

/// Users, bindings, nonces. One phone a user: the newest registration wins.
#[derive(Debug)]
pub(crate) struct Registrar {
    config: RegistrarConfig,
    key: [u8; 32],
    users: BTreeMap<String, Secret>,
    bindings: BTreeMap<String, Binding>,
    /// How many bindings came over each flow: asked for each datagram.
    flows: BTreeMap<Flow, u32>,
    /// And of each address.
    hosts: BTreeMap<IpAddr, u32>,
    nobody: Secret,
}

impl Registrar {
    pub(crate) fn new(config: RegistrarConfig, mut stream: Stream) -> Self {
        let mut key = [0; 32];
        stream.fill(&mut key);
        Self {
            config,
            key,
            users: BTreeMap::new(),
            bindings: BTreeMap::new(),
            flows: BTreeMap::new(),
            hosts: BTreeMap::new(),
            nobody: Secret::new(stream.token(32)),
        }
    }

    /// Adds a user or changes the password. False when the table is full ([`NODE_AGENTS`]).
    pub(crate) fn set_user(&mut self, user: &str, password: Secret) -> bool {
        if !self.users.contains_key(user) && self.users.len() >= NODE_AGENTS {
            return false;
        }
        self.users.insert(user.to_owned(), password);
        true
    }

    /// Removes a user; true when a binding went with it.
    pub(crate) fn remove_user(&mut self, user: &str) -> bool {
        self.users.remove(user);
        self.release(user)
    }

    /// Takes a binding out; whether there was one.
    fn release(&mut self, user: &str) -> bool {
        let Some(old) = self.bindings.remove(user) else {
            return false;
        };
        discount(&mut self.flows, &old.flow);
        discount(&mut self.hosts, &old.flow.remote.ip());
        true
    }

    /// Puts a binding in where there is none.
    fn bind(&mut self, user: &str, binding: Binding) {
        *self.flows.entry(binding.flow).or_default() += 1;
        *self.hosts.entry(binding.flow.remote.ip()).or_default() += 1;
        self.bindings.insert(user.to_owned(), binding);
    }

    pub(crate) fn binding(&self, user: &str) -> Option<&Binding> {
        self.bindings.get(user)
    }

    pub(crate) fn has_flow(&self, flow: Flow) -> bool {
        self.flows.contains_key(&flow)
    }

    /// Whether a phone is registered from there, by whatever flow.
    pub(crate) fn has_host(&self, ip: IpAddr) -> bool {
        self.hosts.contains_key(&ip)
    }

    /// Header lines of a 401: SHA-256 first, MD5 for old phones (RFC 8760 section 2.3).
    pub(crate) fn challenge(&self, now: Now, source: IpAddr, stale: bool) -> Vec<u8> {
        let nonce = self.nonce(now.wall, source);
        let mut lines = Vec::with_capacity(320);
        let offered = match self.config.md5_only {
            true => &[Algorithm::Md5][..],
            false => &[Algorithm::Sha256, Algorithm::Md5],
        };
        for algorithm in offered {
            put!(
                lines,
                "WWW-Authenticate: Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{}\r\n",
                self.config.realm,
                algorithm.token(),
                if stale { ", stale=true" } else { "" }
            );
        }
        lines
    }

    fn nonce(&self, wall: WallTime, source: IpAddr) -> String {
        let at = format!("{:x}", wall.as_secs());
        let seal = self.seal(at.as_bytes(), source);
        format!("{at}.{}", String::from_utf8_lossy(&seal))
    }

    fn seal(&self, at: &[u8], source: IpAddr) -> Vec<u8> {
        let source = source.to_string();
        hex(&hmac_sha256(&self.key, &[at, b"|", source.as_bytes()])[..16])
    }

    /// Whether the nonce is ours for that source; `Some(false)` when it is too old.
    fn check_nonce(&self, nonce: &[u8], wall: WallTime, source: IpAddr) -> Option<bool> {
        let dot = nonce.iter().position(|b| *b == b'.')?;
        let (at, seal) = (&nonce[..dot], &nonce[dot + 1..]);
        if !same(&self.seal(at, source), seal) {
            return None;
        }
        let at = i64::from_str_radix(std::str::from_utf8(at).ok()?, 16).ok()?;
        let age = wall.as_secs() - at;
        Some((-1..=NONCE_LIFE.as_secs() as i64).contains(&age))
    }

    /// Judges the credentials of any request.
    pub(crate) fn judge(&self, now: Now, source: IpAddr, message: &Message<'_>) -> Verdict {
        let StartLine::Request { method, uri, .. } = message.start() else {
            return Verdict::Forbidden;
        };
        let realm = self.config.realm.as_bytes();
        let given = message
            .values(Name::Authorization)
            .filter_map(Authorization::read)
            .find(|a| a.realm == realm);
        let Some(given) = given else {
            return Verdict::Challenge { stale: false };
        };
        let fresh = match self.check_nonce(&given.nonce, now.wall, source) {
            // Not ours, or another address: ask again, as for a restart of this node.
            None => return Verdict::Challenge { stale: true },
            Some(fresh) => fresh,
        };
        let user = String::from_utf8_lossy(&given.username).into_owned();
        let password = self.users.get(&user);
        let subject = Subject {
            method: method.as_bytes(),
            uri,
            body: message.body(),
        };
        let right = given.verify(password.unwrap_or(&self.nobody), subject);
        match (right && password.is_some() && given.uri == uri, fresh) {
            (true, true) => Verdict::User(user),
            (true, false) => Verdict::Challenge { stale: true },
            (false, _) => Verdict::Forbidden,
        }
    }

    /// Carries out an authenticated REGISTER.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        flow: Flow,
        user: &str,
        message: &Message<'_>,
        head: &Head<'_>,
    ) -> Outcome {
        let refused = |status| Outcome::Refused {
            status,
            lines: Vec::new(),
        };
        let of_record = Uri::read(head.to.uri).map(|uri| uri.user_text());
        if of_record.as_deref() != Some(user) {
            return refused(403);
        }
        let contacts: Vec<&[u8]> = message.values(Name::Contact).flat_map(split_list).collect();
        if let Some(old) = self.bindings.get(user)
            && old.call_id == head.call_id
            && head.cseq.number < old.cseq
        {
            // Overtaken by a later one of the same phone (section 10.3, step 7).
            return refused(500);
        }
        let header_expires = message.value(Name::Expires).and_then(read_number);
        let [contact] = contacts[..] else {
            return match contacts.len() {
                0 => self.granted(now, user, Change::None),
                // One phone a user: of several contacts none is preferred.
                _ => refused(403),
            };
        };
        if contact == b"*" {
            return match header_expires {
                Some(0) => self.unbind(now, user),
                _ => refused(400),
            };
        }
        let Some(address) = NameAddr::read(contact) else {
            return refused(400);
        };
        if !Uri::read(address.uri).is_some_and(|uri| uri.is_sip()) {
            return refused(400);
        }
        let asked = param(address.params, b"expires")
            .and_then(read_number)
            .or(header_expires)
            .map_or(self.config.max_expires, |s| Duration::from_secs(s.into()));
        if asked.is_zero() {
            return self.unbind(now, user);
        }
        if asked < self.config.min_expires {
            let mut lines = Vec::new();
            put!(
                lines,
                "Min-Expires: {}\r\n",
                self.config.min_expires.as_secs()
            );
            return Outcome::Refused { status: 423, lines };
        }
        let granted = asked.min(self.config.max_expires);
        self.release(user);
        let binding = Binding {
            flow,
            contact: address.uri.to_vec(),
            expires: now + granted,
            call_id: head.call_id.to_vec(),
            cseq: head.cseq.number,
        };
        self.bind(user, binding);
        self.granted(now, user, Change::Bound(granted))
    }

    /// Takes back where a phone was before a restart. False when the user is unknown or has
    /// registered since, or the time is over.
    pub(crate) fn restore(
        &mut self,
        user: &str,
        flow: Flow,
        contact: &[u8],
        left: Duration,
        now: Instant,
    ) -> bool {
        let wanted = self.users.contains_key(user) && !self.bindings.contains_key(user);
        if !wanted || left.is_zero() {
            return false;
        }
        let binding = Binding {
            flow,
            contact: contact.to_vec(),
            expires: now + left.min(self.config.max_expires),
            call_id: Vec::new(),
            cseq: 0,
        };
        self.bind(user, binding);
        true
    }

    fn unbind(&mut self, now: Instant, user: &str) -> Outcome {
        let change = match self.release(user) {
            true => Change::Unbound,
            false => Change::None,
        };
        self.granted(now, user, change)
    }

    fn granted(&self, now: Instant, user: &str, change: Change) -> Outcome {
        let mut lines = Vec::new();
        if let Some(binding) = self.bindings.get(user) {
            let left = binding.expires.since(now).as_secs();
            lines.extend_from_slice(b"Contact: <");
            crate::write::put_value(&mut lines, &binding.contact);
            put!(lines, ">;expires={left}\r\n");
        }
        Outcome::Ok { lines, change }
    }

    /// When the next binding runs out.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.bindings.values().map(|b| b.expires).min()
    }

    /// Drops what has run out; the users that lost their phones.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<String> {
        self.drop_where(|binding| binding.expires <= now)
    }

    /// Drops what came over a connection that is gone.
    pub(crate) fn flow_closed(&mut self, flow: Flow) -> Vec<String> {
        self.drop_where(|binding| binding.flow == flow)
    }

    fn drop_where(&mut self, gone: impl Fn(&Binding) -> bool) -> Vec<String> {
        let users: Vec<String> = self
            .bindings
            .iter()
            .filter(|(_, binding)| gone(binding))
            .map(|(user, _)| user.clone())
            .collect();
        for user in &users {
            self.release(user);
        }
        users
    }
}

/// One fewer; the last one is taken out.
fn discount<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::digest::{Authorizer, Challenge, Credentials};
    use domain::SipTransport;

    fn registrar() -> Registrar {
        let seed = sansio::Seed::from_u64(1);
        let mut registrar = Registrar::new(RegistrarConfig::default(), seed.stream("registrar"));
        assert!(registrar.set_user("1001", Secret::new("pw")));
        registrar
    }

    fn flow() -> Flow {
        Flow {
            transport: SipTransport::Udp,
            local: "192.0.2.9:5070".parse().expect("address"),
            remote: "192.0.2.1:5060".parse().expect("address"),
        }
    }

    fn request(cseq: u32, lines: &str) -> Vec<u8> {
        format!(
            "REGISTER sip:dialmesh SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:1001@d>;tag=1\r\n\
             To: <sip:1001@d>\r\nCall-ID: c\r\nCSeq: {cseq} REGISTER\r\n{lines}\r\n"
        )
        .into_bytes()
    }

    fn authorization(registrar: &Registrar, now: Now, password: &str) -> String {
        let lines = registrar.challenge(now, flow().remote.ip(), false);
        let text = format!("SIP/2.0 401 No\r\n{}\r\n", String::from_utf8_lossy(&lines));
        answer(&text, "1001", password)
    }

    /// The line that answers the strongest challenge of that message.
    pub(crate) fn answer(challenged: &str, user: &str, password: &str) -> String {
        let message = Message::read(challenged.as_bytes()).expect("framed");
        let challenge = Challenge::strongest(&message).expect("a challenge");
        assert_eq!(challenge.algorithm, Algorithm::Sha256);
        let credentials = Credentials {
            username: user.into(),
            password: Secret::new(password),
        };
        let subject = Subject {
            method: b"REGISTER",
            uri: b"sip:dialmesh",
            body: b"",
        };
        let mut line = Vec::new();
        Authorizer::new(challenge, "c".into()).put(&mut line, &credentials, subject);
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn credentials_are_judged() {
        let registrar = registrar();
        let now = Now::default().plus(Duration::from_secs(1_000));
        let judge = |now, source: &str, lines: &str| {
            let bytes = request(1, lines);
            let message = Message::read(&bytes).expect("framed");
            registrar.judge(now, source.parse().expect("address"), &message)
        };
        let right = authorization(&registrar, now, "pw");
        let user = Verdict::User("1001".into());
        assert_eq!(judge(now, "192.0.2.1", &right), user);
        assert_eq!(judge(now.plus(NONCE_LIFE), "192.0.2.1", &right), user);
        let stale = Verdict::Challenge { stale: true };
        assert_eq!(judge(now.plus(NONCE_LIFE * 2), "192.0.2.1", &right), stale);
        assert_eq!(judge(now, "192.0.2.2", &right), stale);
        let wrong = authorization(&registrar, now, "no");
        assert_eq!(judge(now, "192.0.2.1", &wrong), Verdict::Forbidden);
        let unknown = right.replace("\"1001\"", "\"1002\"");
        assert_eq!(judge(now, "192.0.2.1", &unknown), Verdict::Forbidden);
        let none = Verdict::Challenge { stale: false };
        assert_eq!(judge(now, "192.0.2.1", ""), none);
        assert_eq!(
            judge(now, "192.0.2.1", "Authorization: NoOne x=1\r\n"),
            none
        );
    }

    fn register(registrar: &mut Registrar, now: Instant, cseq: u32, lines: &str) -> Outcome {
        let bytes = request(cseq, lines);
        let message = Message::read(&bytes).expect("framed");
        let head = Head::read(&message).expect("complete");
        registrar.register(now, flow(), "1001", &message, &head)
    }

    #[test]
    fn bindings_live_as_long_as_granted() {
        let mut registrar = registrar();
        let now = Instant::from_millis(1);
        let mut step = |cseq, lines: &str| register(&mut registrar, now, cseq, lines);
        let ok = |lines: &str, change| Outcome::Ok {
            lines: lines.into(),
            change,
        };
        let bound = "Contact: <sip:1001@192.0.2.1:5060>;expires=600\r\n";
        let contact = "Contact: \"P\" <sip:1001@192.0.2.1:5060>;q=1\r\nExpires: 7200\r\n";
        assert_eq!(
            step(1, contact),
            ok(bound, Change::Bound(Duration::from_secs(600)))
        );
        assert_eq!(step(2, ""), ok(bound, Change::None));
        assert!(matches!(
            step(3, "m: <sip:1001@h>;expires=5\r\n"),
            Outcome::Refused { status: 423, .. }
        ));
        assert!(matches!(
            step(3, "m: *\r\n"),
            Outcome::Refused { status: 400, .. }
        ));
        assert!(matches!(
            step(0, contact),
            Outcome::Refused { status: 500, .. }
        ));
        assert_eq!(step(4, "m: *\r\nExpires: 0\r\n"), ok("", Change::Unbound));
        assert_eq!(
            step(5, "m: <sip:1001@h>;expires=60\r\n"),
            ok(
                "Contact: <sip:1001@h>;expires=60\r\n",
                Change::Bound(Duration::from_secs(60)),
            )
        );
        assert_eq!(registrar.binding("1001").map(|b| b.flow), Some(flow()));
        assert!(registrar.has_host(flow().remote.ip()));
        assert_eq!(
            registrar.expire(now + Duration::from_secs(59)),
            Vec::<String>::new()
        );
        assert_eq!(registrar.expire(now + Duration::from_secs(60)), ["1001"]);
        register(&mut registrar, now, 6, contact);
        assert_eq!(registrar.flow_closed(flow()), ["1001"]);
        assert!(!registrar.has_flow(flow()) && !registrar.has_host(flow().remote.ip()));
    }

    #[test]
    fn the_table_of_users_is_bounded() {
        let mut registrar = registrar();
        for n in 1..NODE_AGENTS {
            assert!(registrar.set_user(&format!("u{n}"), Secret::new("x")));
        }
        assert!(!registrar.set_user("one more", Secret::new("x")));
        assert!(registrar.set_user("u1", Secret::new("changed")));
    }

    #[test]
    fn phones_that_know_md5_only_read_nothing_else() {
        let config = RegistrarConfig {
            md5_only: true,
            ..RegistrarConfig::default()
        };
        let registrar = Registrar::new(config, sansio::Seed::from_u64(1).stream("registrar"));
        let lines = registrar.challenge(Now::default(), flow().remote.ip(), false);
        let lines = String::from_utf8(lines).expect("text");
        assert_eq!(lines.matches("WWW-Authenticate").count(), 1);
        assert!(lines.contains("algorithm=MD5,"), "{lines}");
    }
}
