//! What comes in: the cheapest way to say no comes first.

use super::{Endpoint, Kind, SipEvent};
use crate::{
    flow::Flow,
    lexer::{Message, Method, StartLine},
    message::Head,
    registrar::Verdict,
    write::{ALLOW, put, put_header, response_head},
};
use bytes::Bytes;
use domain::{Now, SipTransport};
use std::{
    hash::{DefaultHasher, Hasher},
    io::Write,
};

impl Endpoint {
    pub(super) fn receive(&mut self, now: Now, flow: Flow, bytes: &[u8]) {
        self.counters.received += 1;
        let peer = self.peers.contains(&flow.remote.ip());
        let phone = self.registrar.as_ref().is_some_and(|r| r.has_flow(flow));
        if !peer && !phone {
            // Before the lexer: strangers cost a look-up, or a token.
            if self.registrar.is_none() && !self.has_carrier_at(flow) {
                self.counters.strangers += 1;
                return;
            }
            // What comes from beside a phone, or from a phone by another way, waits behind no stranger.
            let ip = flow.remote.ip();
            let known = self.registrar.as_ref().is_some_and(|r| r.has_host(ip));
            let admitted = match known {
                true => self.gate.admit_known(now.monotonic, ip),
                false => self.gate.admit(now.monotonic, ip),
            };
            if !admitted {
                self.counters.throttled += 1;
                return;
            }
        }
        let Ok(message) = Message::read(bytes) else {
            self.counters.malformed += 1;
            return;
        };
        let Some(head) = Head::read(&message) else {
            self.counters.malformed += 1;
            return;
        };
        match message.start() {
            StartLine::Response { .. } => match self.client_of(flow, &head) {
                Some(id) if head.check(&message).is_ok() => {
                    self.client_response(now, id, &message, &head);
                }
                Some(_) => self.counters.malformed += 1,
                None => self.counters.stray += 1,
            },
            StartLine::Request { method, .. } => {
                self.request(now, flow, peer, method, &message, &head);
            }
        }
    }

    /// Whether we register or probe there: its answers are wanted though it may not call us.
    fn has_carrier_at(&self, flow: Flow) -> bool {
        let ip = flow.remote.ip();
        let carriers = self.carriers.values().map(|c| c.registration.flow);
        let watched = self.watches.values().map(|w| w.flow);
        carriers.chain(watched).any(|f| f.remote.ip() == ip)
    }

    fn request(
        &mut self,
        now: Now,
        flow: Flow,
        peer: bool,
        method: Method<'_>,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        if method == Method::Ack {
            return self.on_ack(now, message, head);
        }
        let key = self.server_key(head, method.as_bytes());
        // Retransmissions are known by branch and method, before anything else is read.
        if let Some(id) = self.server_by_key(key) {
            return self.repeated_request(now, id);
        }
        // Only who is in a call with us, has a phone here or is a peer gets any answer at all;
        // REGISTER and INVITE get their challenge where there is a registrar.
        let tagged = head.to.tag();
        let in_call = tagged.is_some_and(|tag| self.call_by_tag(tag, head.call_id).is_some())
            || (method == Method::Cancel
                && self
                    .server_by_key(self.server_key(head, b"INVITE"))
                    .is_some());
        let phone = self.registrar.as_ref().is_some_and(|r| r.has_flow(flow));
        let may_prove = self.registrar.is_some()
            && tagged.is_none()
            && matches!(method, Method::Register | Method::Invite);
        if !peer && !in_call && !phone && !may_prove {
            self.counters.strangers += 1;
            return;
        }
        if let Err(refusal) = head.check(message) {
            self.counters.malformed += 1;
            return self.answer_stateless(flow, message, head, refusal.status, b"");
        }
        match method {
            Method::Cancel => self.on_cancel(now, flow, message, head),
            _ if tagged.is_some() => self.in_dialog(now, flow, key, message, head),
            Method::Register => self.on_register(now, flow, message, head),
            Method::Invite => self.on_invite(now, flow, peer, key, message, head),
            other => {
                let (status, lines) = self.capability_answer(other);
                self.answer_stateless(flow, message, head, status, &lines);
            }
        }
    }

    fn on_ack(&mut self, now: Now, message: &Message<'_>, head: &Head<'_>) {
        let invite = self.server_by_key(self.server_key(head, b"INVITE"));
        if let Some(id) = invite
            && self.failure_acknowledged(now, id)
        {
            return;
        }
        let tag = head.to.tag().unwrap_or_default();
        match self.call_by_tag(tag, head.call_id) {
            Some(call) => self.answer_acknowledged(now, call, message, head),
            None => self.counters.stray += 1,
        }
    }

    fn on_invite(
        &mut self,
        now: Now,
        flow: Flow,
        peer: bool,
        key: u128,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let verdict = match &self.registrar {
            Some(registrar) if !peer => registrar.judge(now, flow.remote.ip(), message),
            _ => return self.incoming(now, flow, key, message, head, None),
        };
        match verdict {
            Verdict::User(user) => self.incoming(now, flow, key, message, head, Some(user)),
            Verdict::Challenge { stale } => self.challenge(now, flow, message, head, stale),
            Verdict::Forbidden => self.forbid(flow, message, head),
        }
    }

    fn challenge(
        &mut self,
        now: Now,
        flow: Flow,
        message: &Message<'_>,
        head: &Head<'_>,
        stale: bool,
    ) {
        self.counters.challenged += 1;
        if let Some(registrar) = &self.registrar {
            let lines = registrar.challenge(now, flow.remote.ip(), stale);
            self.answer_stateless(flow, message, head, 401, &lines);
        }
    }

    /// Wrong credentials.
    fn forbid(&mut self, flow: Flow, message: &Message<'_>, head: &Head<'_>) {
        self.counters.forbidden += 1;
        self.answer_stateless(flow, message, head, 403, b"");
    }

    fn on_register(&mut self, now: Now, flow: Flow, message: &Message<'_>, head: &Head<'_>) {
        let Some(registrar) = &mut self.registrar else {
            let (status, lines) = self.capability_answer(Method::Register);
            return self.answer_stateless(flow, message, head, status, &lines);
        };
        match registrar.judge(now, flow.remote.ip(), message) {
            Verdict::Challenge { stale } => self.challenge(now, flow, message, head, stale),
            Verdict::Forbidden => self.forbid(flow, message, head),
            Verdict::User(user) => {
                let outcome = registrar.register(now.monotonic, flow, &user, message, head);
                self.registered(flow, user, outcome, message, head);
            }
        }
    }

    /// Status and header lines for a request that we know only as far as to say what we can do.
    pub(super) fn capability_answer(&self, method: Method<'_>) -> (u16, Vec<u8>) {
        let mut lines = Vec::new();
        put_header(&mut lines, "Allow", ALLOW.as_bytes());
        match method {
            Method::Options => {
                put!(lines, "Accept: application/sdp\r\n");
                (200, lines)
            }
            Method::Other(_) => (501, lines),
            Method::Bye | Method::Info | Method::Update => (481, lines),
            _ => (405, lines),
        }
    }

    /// Answers without remembering that we did: the same request gets the same answer.
    pub(super) fn answer_stateless(
        &mut self,
        flow: Flow,
        message: &Message<'_>,
        head: &Head<'_>,
        status: u16,
        lines: &[u8],
    ) {
        let tag = self.stateless_tag(head);
        let rendered = response_head(message, head, flow, Some(&tag));
        let bytes = crate::write::response(status, None, &rendered, lines, b"");
        let to = self.reply_flow(flow, head);
        self.transmit(to, Bytes::from(bytes), Kind::Other);
    }

    /// A To-tag that depends on the request only (RFC 3261 section 8.2.7).
    pub(super) fn stateless_tag(&self, head: &Head<'_>) -> String {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.hash_key[1]);
        hasher.write(head.call_id);
        hasher.write(head.from.tag().unwrap_or_default());
        format!("s{:016x}", hasher.finish())
    }

    /// Where the response to a request goes (RFC 3261 section 18.2.2, RFC 3581): the connection; or the
    /// source address, with its port where `rport` says so, else with the Via's. Never another host.
    pub(super) fn reply_flow(&self, flow: Flow, head: &Head<'_>) -> Flow {
        let phones = self.registrar.is_some();
        let rport = crate::message::param(head.via.params, b"rport").is_some();
        if flow.transport != SipTransport::Udp || rport || phones {
            return flow;
        }
        let mut back = flow;
        back.remote.set_port(head.via.port.unwrap_or(5060));
        back
    }

    pub(super) fn flow_closed(&mut self, now: Now, flow: Flow) {
        self.flow_failed(now, flow);
        if let Some(registrar) = &mut self.registrar {
            for user in registrar.flow_closed(flow) {
                self.event(SipEvent::Unregistered { user });
            }
            self.arm_bindings();
        }
        self.open_again(now, flow);
    }
}
