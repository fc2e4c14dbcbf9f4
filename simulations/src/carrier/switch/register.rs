//! Who may use a trunk: digest, limits, caller IDs, registration.

use super::{Event, Flow, Message, Outage, Switch, answer_flow, answers::NONCE_LIFE, caller_of};
use crate::wire::{
    digest::{self, Params},
    list,
};
use md5::Digest as _;
use std::time::{Duration, Instant};

/// Digest credentials of a request, from either header.
pub(super) fn credentials(message: &Message) -> Option<Params> {
    ["Proxy-Authorization", "Authorization"]
        .iter()
        .flat_map(|name| message.all(name))
        .find_map(digest::params)
}

enum Access {
    Granted,
    /// Ask for credentials; whether the nonce was only too old.
    Challenge(bool),
    Denied,
}

impl Switch {
    fn nonce(&mut self) -> String {
        let (wall_ms, _) = self.witness.clocks();
        let salt = self.random.token(6);
        format!("{wall_ms:x}-{salt}-{}", self.nonce_mac(wall_ms, &salt))
    }

    fn nonce_mac(&self, wall_ms: i64, salt: &str) -> String {
        let mac = sha2::Sha256::digest(format!("{}:{wall_ms:x}:{salt}", self.nonce_secret));
        mac[..8].iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Whether a nonce is one of ours and young enough; `None`: not ours.
    fn nonce_is_fresh(&self, nonce: &str) -> Option<bool> {
        let mut parts = nonce.split('-');
        let made = i64::from_str_radix(parts.next()?, 16).ok()?;
        let (salt, mac) = (parts.next()?, parts.next()?);
        let ours = self.nonce_mac(made, salt) == mac;
        let age = self.witness.clocks().0 - made;
        ours.then_some(Duration::from_millis(age.max(0) as u64) <= NONCE_LIFE)
    }

    fn access(&self, message: &Message, trunk: usize) -> Access {
        let config = &self.config.trunks[trunk];
        let Some(username) = &config.username else {
            return Access::Granted;
        };
        let Some(sent) = credentials(message) else {
            return Access::Challenge(false);
        };
        match self.nonce_is_fresh(sent.get("nonce").map_or("", String::as_str)) {
            None => return Access::Challenge(false),
            Some(false) => return Access::Challenge(true),
            Some(true) => {}
        }
        let right = sent.get("username") == Some(username)
            && sent.get("realm") == Some(&self.config.realm)
            && digest::verify(
                &sent,
                &config.password,
                message.method().unwrap_or_default(),
            );
        if right {
            Access::Granted
        } else {
            Access::Denied
        }
    }

    fn challenge(&mut self, flow: Flow, message: &Message, trunk: usize, stale: bool) -> Message {
        let register = message.method() == Some("REGISTER");
        let (status, name) = if register {
            (401, "WWW-Authenticate")
        } else {
            (407, "Proxy-Authenticate")
        };
        let nonce = self.nonce();
        let mut response = Message::response(message, status, "challenge", flow.peer);
        for algorithm in &self.config.trunks[trunk].algorithms {
            response.add(
                name,
                digest::challenge(&self.config.realm, &nonce, *algorithm, stale),
            );
        }
        response
    }

    fn violation(&self, flow: Flow, message: &Message, trunk: usize, what: &str, detail: String) {
        self.count(|s| s.violations += 1);
        let entry = self.entry_of(None, flow, Some((message, trunk)));
        let what = what.to_owned();
        self.log(entry, Event::Violation { what, detail });
    }

    /// Whether a new INVITE may open a call; else the response that refuses it.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message,
        trunk: usize,
    ) -> Option<Message> {
        match self.access(message, trunk) {
            Access::Granted => {}
            Access::Challenge(stale) => {
                let (retransmission, _) = self.first_sight(now, message, false);
                self.count(|s| s.challenged += u64::from(!retransmission));
                let entry = self.entry_of(None, flow, Some((message, trunk)));
                let event = Event::Invite {
                    retransmission,
                    challenged: true,
                    ignored: false,
                    cseq: message.cseq().0,
                    count: 0,
                };
                self.log(entry, event);
                return Some(self.challenge(flow, message, trunk, stale));
            }
            Access::Denied => {
                return Some(self.turn_away(
                    flow,
                    message,
                    trunk,
                    403,
                    "credentials",
                    "wrong password".into(),
                ));
            }
        }
        let config = &self.config.trunks[trunk];
        let (channels, cps) = (config.channels, config.calls_per_second);
        let caller = caller_of(message);
        if !config.caller_ids.is_empty()
            && !config
                .caller_ids
                .iter()
                .any(|n| n.trim_start_matches('+') == caller)
        {
            let detail = format!("{caller} is not this trunk's");
            return Some(self.turn_away(flow, message, trunk, 403, "caller_id", detail));
        }
        if self.live[trunk] >= channels {
            let detail = format!("{} calls live, {channels} allowed", self.live[trunk]);
            return Some(self.turn_away(flow, message, trunk, 503, "channels", detail));
        }
        let recent = &mut self.started[trunk];
        while recent
            .front()
            .is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1))
        {
            recent.pop_front();
        }
        let allowed = (cps + cps / 10 + 1) as usize;
        if recent.len() >= allowed {
            let detail = format!("{} calls within a second, {cps} allowed", recent.len() + 1);
            return Some(self.turn_away(flow, message, trunk, 503, "calls_per_second", detail));
        }
        recent.push_back(now);
        None
    }

    /// A refusal outside any call: the INVITE, the violation, the final answer and the end are
    /// logged, so that the log still holds each INVITE's whole story.
    fn turn_away(
        &mut self,
        flow: Flow,
        message: &Message,
        trunk: usize,
        status: u16,
        what: &str,
        detail: String,
    ) -> Message {
        let (retransmission, _) = self.first_sight(Instant::now(), message, false);
        let line = |this: &Self, event| {
            let entry = this.entry_of(None, flow, Some((message, trunk)));
            this.log(entry, event);
        };
        let invite = Event::Invite {
            retransmission,
            challenged: false,
            ignored: false,
            cseq: message.cseq().0,
            count: 0,
        };
        line(self, invite);
        if !retransmission {
            self.violation(flow, message, trunk, what, detail);
            self.count(|s| *s.finals.entry(status).or_default() += 1);
            line(
                self,
                Event::Final {
                    status,
                    behaviour: format!("violation_{what}"),
                },
            );
            let closed = Event::Closed {
                how: "refused".into(),
                status,
                talk_ms: 0,
                audio: None,
                tone: 0,
            };
            line(self, closed);
        }
        Message::response(message, status, "refused", flow.peer)
    }

    /// REGISTER from a trunk that wants to be known by its address.
    pub(super) fn on_register(&mut self, flow: Flow, message: &Message, trunk: usize) {
        if self.outages[trunk] == Outage::Storm {
            return self.reply(flow, message, 503);
        }
        let response = match self.access(message, trunk) {
            Access::Challenge(stale) => self.challenge(flow, message, trunk, stale),
            Access::Denied => {
                self.violation(
                    flow,
                    message,
                    trunk,
                    "credentials",
                    "wrong password in REGISTER".into(),
                );
                Message::response(message, 403, "registrar", flow.peer)
            }
            Access::Granted => {
                self.count(|s| s.registrations += 1);
                let expires = message
                    .header("Expires")
                    .and_then(|e| e.parse().ok())
                    .unwrap_or(3_600u32);
                let mut response = Message::response(message, 200, "registrar", flow.peer);
                for contact in message.all("Contact").flat_map(list) {
                    let bare = contact.split(";expires=").next().unwrap_or(contact);
                    response.add("Contact", format!("{bare};expires={expires}"));
                }
                response
            }
        };
        self.out
            .push((answer_flow(flow, message), response.to_bytes()));
    }
}
