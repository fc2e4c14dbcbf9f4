//! Calls to us: RFC 3261 section 13.3.

use super::{
    Address, CancelCause, EndCause, Endpoint, Kind, Rejected, SipEvent, TimerName,
    transactions::ServerMachine,
};
use crate::{
    call::{Call, CallEvent, CallHandle, CallState, Unacknowledged},
    dialog::Dialog,
    flow::Flow,
    lexer::{Message, Name, StartLine},
    message::{Head, NameAddr, unquote},
    session_timer::lists,
    transaction::{InviteServerState, T1, T2},
    write::{ALLOW, put, put_header, response_head, warning},
};
use bytes::Bytes;
use domain::Now;
use std::io::Write;

impl Endpoint {
    /// An INVITE outside any dialog, already let in.
    pub(super) fn incoming(
        &mut self,
        now: Now,
        flow: Flow,
        key: u128,
        message: &Message<'_>,
        head: &Head<'_>,
        user: Option<String>,
    ) {
        if let Some(unsupported) = crate::message::unsupported(message) {
            let mut lines = Vec::new();
            put_header(&mut lines, "Unsupported", &unsupported);
            return self.answer_stateless(flow, message, head, 420, &lines);
        }
        if !message.body().is_empty() && !crate::message::body_is(message, "application/sdp") {
            let lines = b"Accept: application/sdp\r\n";
            return self.answer_stateless(flow, message, head, 415, lines);
        }
        if !crate::message::accepts_sdp(message) {
            return self.answer_stateless(flow, message, head, 406, b"");
        }
        let room = self.live_calls < self.config.max_calls && !self.servers.is_full();
        let Some(id) = self.calls.next_id().filter(|_| room) else {
            self.count(|c| c.shed += 1);
            return self.answer_stateless(flow, message, head, 503, b"Retry-After: 2\r\n");
        };
        let StartLine::Request { uri, .. } = message.start() else {
            return;
        };
        let session = match self.session_offered(now, message) {
            Ok(session) => session,
            Err(lines) => return self.answer_stateless(flow, message, head, 422, &lines),
        };
        let tag = self.tag_for(id);
        let reply_flow = self.reply_flow(flow, head);
        let mut lines = response_head(message, head, flow, Some(&tag));
        for route in message.values(Name::RecordRoute) {
            put_header(&mut lines, "Record-Route", route);
        }
        let mut local = Vec::with_capacity(96);
        crate::write::put_value(&mut local, message.value(Name::To).unwrap_or_default());
        put!(local, ";tag={tag}");
        let called = crate::message::Uri::read(uri).map(|uri| uri.user_text());
        let call = Call {
            state: CallState::Incoming,
            flow,
            sent_by: self.sent_by(flow),
            call_id: head.call_id.to_vec(),
            local_tag: tag,
            local,
            remote: Vec::new(),
            contact: self.contact_line(&called.unwrap_or_default(), flow),
            cseq: 0,
            dialog: Some(Dialog::of_callee(message, head)),
            forks: Vec::new(),
            invite: None,
            setup: None,
            credentials: None,
            authorization: Vec::new(),
            ack: None,
            cancel_cause: None,
            expired: false,
            our_sdp: Bytes::new(),
            first_sdp: Bytes::new(),
            early: Vec::new(),
            session,
            min_se: None,
            peer_updates: lists(message, Name::Allow, b"UPDATE"),
            refreshing: false,
            refresh_challenged: false,
            unacknowledged: None,
            bye_waiting: None,
            bye_challenged: false,
            open: 0,
        };
        let stored = self.calls.insert(call);
        assert!(stored == Some(id), "the slot was free a moment ago");
        self.live_calls += 1;
        let call = CallHandle(id);
        let method = crate::lexer::Method::Invite;
        let server = self.start_server(method, key, flow, reply_flow, lines, Some(call));
        if let (Some(found), Some(server)) = (self.calls.get_mut(id), server) {
            found.invite = Some(server);
            self.respond(now, server, 100, b"", b"");
        }
        self.event(SipEvent::Incoming {
            call,
            flow,
            from: address(&head.from),
            asserted: asserted(message).map(Box::new),
            private: is_private(message),
            to: address(&head.to),
            request_uri: Address::new(String::from_utf8_lossy(uri)),
            user,
            body: Bytes::copy_from_slice(message.body()),
        });
    }

    fn incoming_call(&mut self, call: CallHandle) -> Result<&mut Call, Rejected> {
        let found = self.live_call(call)?;
        let state = found.state;
        if state == CallState::Incoming {
            return Ok(found);
        }
        let needs = "an incoming call that is not decided";
        Err(Rejected::WrongState { state, needs })
    }

    /// Tells the caller that it rings (180).
    pub fn ringing(&mut self, now: Now, call: CallHandle) -> Result<(), Rejected> {
        let found = self.incoming_call(call)?;
        let (lines, server) = (found.contact.clone(), found.invite);
        if let Some(server) = server {
            self.respond(now, server, 180, &lines, b"");
        }
        Ok(())
    }

    /// Answers an incoming call with this description. `Acknowledged` follows.
    pub fn accept(&mut self, now: Now, call: CallHandle, body: Bytes) -> Result<(), Rejected> {
        let found = self.incoming_call(call)?;
        if body.is_empty() {
            return Err(Rejected::NoBody);
        }
        let accepted = found.step(CallEvent::Accept);
        assert!(accepted, "an incoming call may be accepted");
        found.our_sdp = body.clone();
        found.first_sdp = body.clone();
        let mut lines = found.contact.clone();
        let cseq = found.dialog.as_ref().and_then(|d| d.remote_cseq);
        let server = found.invite;
        put_header(&mut lines, "Allow", ALLOW.as_bytes());
        self.accept_session(now, call, &mut lines);
        self.answer_invite(now, call, server, cseq, &lines, &body);
        Ok(())
    }

    /// Sends a 200 to an INVITE and repeats it until its ACK comes.
    pub(super) fn answer_invite(
        &mut self,
        now: Now,
        call: CallHandle,
        server: Option<crate::slots::Id>,
        cseq: Option<u32>,
        lines: &[u8],
        body: &[u8],
    ) {
        let Some(server) = server else {
            return;
        };
        let Some(flow) = self.servers.get(server).map(|found| found.flow) else {
            return;
        };
        if let Some(response) = self.respond(now, server, 200, lines, body) {
            let waiting = Unacknowledged {
                response,
                flow,
                cseq: cseq.unwrap_or_default(),
                interval: T1,
            };
            self.await_ack(now, call, waiting);
        }
    }

    /// Refuses an incoming call with a status from 300 to 699.
    pub fn reject(&mut self, now: Now, call: CallHandle, status: u16) -> Result<(), Rejected> {
        self.reject_for(now, call, status, "")
    }

    /// Refuses an incoming call and says why, in a Warning. A `Failed` event follows.
    pub fn reject_for(
        &mut self,
        now: Now,
        call: CallHandle,
        status: u16,
        why: &str,
    ) -> Result<(), Rejected> {
        let found = self.incoming_call(call)?;
        if !(300..700).contains(&status) {
            let needs = "from 300 to 699";
            return Err(Rejected::BadStatus { status, needs });
        }
        if let Some(server) = found.invite {
            self.respond(now, server, status, &warning(why), b"");
        }
        let refused = SipEvent::Failed {
            call,
            status,
            q850: None,
            reason: crate::write::reason_phrase(status).to_owned(),
            retry_after: None,
            local: None,
        };
        self.finish(call, CallEvent::Failed, refused);
        Ok(())
    }

    /// CANCEL (RFC 3261 section 9.2).
    pub(super) fn on_cancel(
        &mut self,
        now: Now,
        flow: Flow,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let invite = self.server_by_key(self.server_key(head, b"INVITE"));
        let Some(found) = invite.and_then(|id| self.servers.get(id)) else {
            return self.answer_stateless(flow, message, head, 481, b"");
        };
        let (machine, call) = (found.machine, found.call);
        self.answer_stateless(flow, message, head, 200, b"");
        let deciding = matches!(machine, ServerMachine::Invite(m) if m.state() == InviteServerState::Proceeding);
        if let (true, Some(call)) = (deciding, call) {
            self.caller_left(now, call);
        }
    }

    /// The caller gave up before we decided: 487.
    pub(super) fn caller_left(&mut self, now: Now, call: CallHandle) {
        let Ok(found) = self.incoming_call(call) else {
            return;
        };
        if let Some(server) = found.invite {
            self.respond(now, server, 487, b"", b"");
        }
        let cause = CancelCause::Peer;
        let cancelled = SipEvent::Cancelled {
            call,
            cause,
            answered: false,
        };
        self.finish(call, CallEvent::PeerLeft, cancelled);
    }

    /// The ACK of a 2xx, of the first INVITE or a later one.
    pub(super) fn answer_acknowledged(
        &mut self,
        now: Now,
        call: CallHandle,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let ours = found.unacknowledged.as_ref();
        if ours.is_none_or(|waiting| waiting.cseq != head.cseq.number) {
            return;
        }
        found.unacknowledged = None;
        let first = found.step(CallEvent::Acknowledged);
        let bye = found.bye_waiting.take();
        self.timers.disarm(&TimerName::Answer(call));
        self.timers.disarm(&TimerName::Acknowledge(call));
        if let Some(q850) = bye {
            self.send_bye(now, call, q850);
        } else if first {
            let body = Bytes::copy_from_slice(message.body());
            self.event(SipEvent::Acknowledged { call, body });
        }
        self.release(call);
    }

    pub(super) fn repeat_answer(&mut self, now: Now, call: CallHandle) {
        let Some(waiting) = self
            .calls
            .get_mut(call.0)
            .and_then(|found| found.unacknowledged.as_mut())
        else {
            return;
        };
        waiting.interval = (waiting.interval * 2).min(T2);
        let (flow, response) = (waiting.flow, waiting.response.clone());
        let at = now.monotonic + waiting.interval;
        self.timers.arm(TimerName::Answer(call), at);
        self.transmit(flow, response, Kind::Other);
    }

    /// 64 T1 without ACK: the dialog is ended with BYE (RFC 3261 section 13.3.1.4).
    pub(super) fn never_acknowledged(&mut self, now: Now, call: CallHandle) {
        self.timers.disarm(&TimerName::Answer(call));
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        if found.unacknowledged.take().is_none() {
            return;
        }
        // An ended call owes its BYE only when it was hung up before the ACK.
        let owed = found.state != CallState::Ended || found.bye_waiting.take().is_some();
        if owed {
            self.send_bye(now, call, None);
        }
        let cause = EndCause::NoAck;
        let ended = SipEvent::Ended {
            call,
            cause,
            q850: None,
        };
        self.finish(call, CallEvent::Failed, ended);
        self.release(call);
    }
}

/// Who calls, as the peer asserts: the first URI of P-Asserted-Identity.
fn asserted(message: &Message<'_>) -> Option<Address> {
    let value = message.value(Name::PAssertedIdentity)?;
    let first = crate::message::split_list(value).next()?;
    NameAddr::read(first).map(|found| address(&found))
}

/// Whether the caller's identity is to be withheld (RFC 3323 section 4.2, RFC 3325 section 9.3).
fn is_private(message: &Message<'_>) -> bool {
    let values = message.values(Name::Privacy);
    let mut tokens = values.flat_map(|value| value.split(|b| matches!(b, b';' | b',' | b' ')));
    tokens.any(|token| {
        [&b"id"[..], b"user", b"header"]
            .iter()
            .any(|hides| token.eq_ignore_ascii_case(hides))
    })
}

fn address(address: &NameAddr<'_>) -> Address {
    let display = unquote(address.display);
    let text = |bytes: &[u8]| -> String {
        String::from_utf8_lossy(bytes)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(256)
            .collect()
    };
    Address {
        display: text(&display),
        uri: text(address.uri),
    }
}
