//! Requests of the peer within a call: RFC 3261 section 12.2.2, RFC 3311, RFC 6086.

use super::{EndCause, Endpoint, SipEvent};
use crate::{
    call::{CallEvent, CallHandle, CallState},
    flow::Flow,
    lexer::{Message, Method, trim},
    message::{Head, body_is, q850_cause},
    sdp::LocalMedia,
    write::{ALLOW, put_header, response_head, warning},
};
use bytes::Bytes;
use domain::Now;

impl Endpoint {
    /// A request with a To-tag, other than ACK and CANCEL.
    pub(super) fn in_dialog(
        &mut self,
        now: Now,
        flow: Flow,
        key: u128,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let call = self
            .call_by_tag(head.to.tag().unwrap_or_default(), head.call_id)
            .filter(|call| self.is_peer_of(*call, head));
        let Some(call) = call else {
            return self.answer_stateless(flow, message, head, 481, b"");
        };
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let ended = found.state == CallState::Ended;
        let method = head.cseq.method;
        if ended && method != Method::Bye {
            return self.answer_stateless(flow, message, head, 481, b"");
        }
        if let Some(dialog) = &mut found.dialog {
            if dialog
                .remote_cseq
                .is_some_and(|last| head.cseq.number <= last)
            {
                return self.answer_stateless(flow, message, head, 500, b"");
            }
            dialog.remote_cseq = Some(head.cseq.number);
        }
        match method {
            Method::Bye => self.peer_hangs_up(now, flow, key, call, message, head),
            Method::Invite => self.re_invite(now, flow, key, call, message, head),
            Method::Update => self.update(now, flow, key, call, message, head),
            Method::Info => {
                self.answer_once(now, flow, key, message, head, Some(call), 200, b"", b"");
                if let Some(digit) = info_digit(message) {
                    self.event(SipEvent::Digit { call, digit });
                }
            }
            other => {
                let (status, lines) = self.capability_answer(other);
                self.answer_once(
                    now,
                    flow,
                    key,
                    message,
                    head,
                    Some(call),
                    status,
                    &lines,
                    b"",
                );
            }
        }
    }

    /// Whether the request's From-tag is the one of the dialog, where there is one.
    fn is_peer_of(&self, call: CallHandle, head: &Head<'_>) -> bool {
        self.calls.get(call.0).is_some_and(|found| {
            found
                .dialog
                .as_ref()
                .is_none_or(|dialog| dialog.remote_tag == head.from.tag().unwrap_or_default())
        })
    }

    /// Answers a non-INVITE request through a transaction, so that a repeat gets the same answer.
    #[expect(
        clippy::too_many_arguments,
        reason = "one place for what every answer has"
    )]
    pub(super) fn answer_once(
        &mut self,
        now: Now,
        flow: Flow,
        key: u128,
        message: &Message<'_>,
        head: &Head<'_>,
        call: Option<CallHandle>,
        status: u16,
        lines: &[u8],
        body: &[u8],
    ) {
        let reply_flow = self.reply_flow(flow, head);
        let tag = self.stateless_tag(head);
        let rendered = response_head(message, head, flow, Some(&tag));
        let method = head.cseq.method;
        match self.start_server(method, key, flow, reply_flow, rendered, call) {
            Some(id) => {
                self.respond(now, id, status, lines, body);
            }
            None => self.answer_stateless(flow, message, head, status, lines),
        }
    }

    fn peer_hangs_up(
        &mut self,
        now: Now,
        flow: Flow,
        key: u128,
        call: CallHandle,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let state = self.calls.get(call.0).map(|found| found.state);
        let ours_and_early = matches!(
            state,
            Some(
                CallState::Inviting
                    | CallState::Proceeding
                    | CallState::CancelWaiting
                    | CallState::Cancelling
            )
        );
        if ours_and_early {
            // A callee refuses; it does not hang up what it has not answered.
            return self.answer_stateless(flow, message, head, 481, b"");
        }
        self.answer_once(now, flow, key, message, head, Some(call), 200, b"", b"");
        if state == Some(CallState::Incoming) {
            return self.caller_left(now, call);
        }
        if let Some(found) = self.calls.get_mut(call.0) {
            // Its BYE says that it has our answer.
            found.unacknowledged = None;
            found.bye_waiting = None;
        }
        self.timers.disarm(&super::TimerName::Answer(call));
        self.timers.disarm(&super::TimerName::Acknowledge(call));
        let ended = SipEvent::Ended {
            call,
            cause: EndCause::Peer,
            q850: q850_cause(message),
        };
        self.finish(call, CallEvent::PeerLeft, ended);
        self.release(call);
    }

    /// Our next description for the peer's offer, or for a request without one. `Err` is the status, with
    /// header lines that say why.
    fn next_description(
        &self,
        call: CallHandle,
        message: &Message<'_>,
    ) -> Result<Vec<u8>, (u16, Vec<u8>)> {
        let only = |status: u16| (status, Vec::new());
        let found = self.calls.get(call.0).ok_or(only(481))?;
        let mut ours = LocalMedia::from_ours(&found.our_sdp).map_err(|_| only(488))?;
        // What was agreed on last may be one codec of several, and one key.
        if let Ok(first) = LocalMedia::from_ours(&found.first_sdp) {
            (ours.codecs, ours.crypto) = (first.codecs, first.crypto);
        }
        if message.body().is_empty() {
            return Ok(ours.offer());
        }
        if !body_is(message, "application/sdp") {
            return Err(only(415));
        }
        match ours.answer(message.body()) {
            Ok((answer, _)) => Ok(answer),
            Err(error) => Err((488, warning(&error.to_string()))),
        }
    }

    fn described(&mut self, call: CallHandle, message: &Message<'_>, ours: &[u8]) -> Vec<u8> {
        let ours = Bytes::copy_from_slice(ours);
        let mut lines = Vec::new();
        if let Some(found) = self.calls.get_mut(call.0) {
            found.our_sdp = ours.clone();
            lines.extend_from_slice(&found.contact);
            if let Some(dialog) = &mut found.dialog {
                dialog.refresh_target(message);
            }
            // Before the answer: what the 200 leaves out is what was offered last.
            let tag = message_tag(message);
            let early = found.early.iter_mut().find(|early| early.tag == tag);
            if let Some(early) = early.filter(|_| !message.body().is_empty()) {
                early.sdp = Bytes::copy_from_slice(message.body());
            }
        }
        put_header(&mut lines, "Allow", ALLOW.as_bytes());
        if !message.body().is_empty() {
            self.event(SipEvent::ReOffer {
                call,
                offer: Bytes::copy_from_slice(message.body()),
                answer: ours,
            });
        }
        lines
    }

    /// Re-INVITE (RFC 3261 section 14.2): hold, a moved address, another codec. What we do not speak,
    /// T.38 for one, gets 488 and leaves the session as it is.
    fn re_invite(
        &mut self,
        now: Now,
        flow: Flow,
        key: u128,
        call: CallHandle,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let Some(found) = self.calls.get(call.0) else {
            return;
        };
        let busy = found.unacknowledged.is_some() || found.refreshing;
        if found.state != CallState::Confirmed || busy {
            return self.answer_stateless(flow, message, head, 491, b"");
        }
        let reply_flow = self.reply_flow(flow, head);
        let rendered = response_head(message, head, flow, None);
        let method = Method::Invite;
        let Some(server) = self.start_server(method, key, flow, reply_flow, rendered, Some(call))
        else {
            return self.answer_stateless(flow, message, head, 503, b"Retry-After: 2\r\n");
        };
        let described = self.next_description(call, message);
        let timer = match described {
            Ok(_) => self.session_asked(now, call, message),
            Err(_) => Ok(Vec::new()),
        };
        let timer = match timer {
            Ok(lines) => lines,
            Err(lines) => {
                self.respond(now, server, 422, &lines, b"");
                return;
            }
        };
        match described {
            Ok(ours) => {
                let mut lines = self.described(call, message, &ours);
                lines.extend_from_slice(&timer);
                let cseq = Some(head.cseq.number);
                self.answer_invite(now, call, Some(server), cseq, &lines, &ours);
            }
            Err((status, lines)) => {
                self.respond(now, server, status, &lines, b"");
            }
        }
    }

    /// UPDATE (RFC 3311): as a re-INVITE, but answered at once, also before the call is.
    fn update(
        &mut self,
        now: Now,
        flow: Flow,
        key: u128,
        call: CallHandle,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let (status, lines, ours) = self.updated(now, call, message, head);
        self.answer_once(
            now,
            flow,
            key,
            message,
            head,
            Some(call),
            status,
            &lines,
            &ours,
        );
    }
}

/// The From-tag of a request.
fn message_tag(message: &Message<'_>) -> Vec<u8> {
    Head::read(message)
        .and_then(|head| head.from.tag().map(<[u8]>::to_vec))
        .unwrap_or_default()
}

impl Endpoint {
    /// The answer to an UPDATE: status, header lines, description.
    fn updated(
        &mut self,
        now: Now,
        call: CallHandle,
        message: &Message<'_>,
        head: &Head<'_>,
    ) -> (u16, Vec<u8>, Vec<u8>) {
        let described = if message.body().is_empty() {
            Ok(None)
        } else if self.offer_is_open(call, head) {
            // RFC 3311 section 5.2.
            Err((491, Vec::new()))
        } else {
            self.next_description(call, message).map(Some)
        };
        let timer = match described {
            Err((status, lines)) => return (status, lines, Vec::new()),
            Ok(_) => match self.session_asked(now, call, message) {
                Err(lines) => return (422, lines, Vec::new()),
                Ok(lines) => lines,
            },
        };
        let (mut lines, ours) = match described {
            Ok(Some(ours)) => (self.described(call, message, &ours), ours),
            _ => {
                let mut contact = Vec::new();
                if let Some(found) = self.calls.get_mut(call.0) {
                    contact.extend_from_slice(&found.contact);
                    if let Some(dialog) = &mut found.dialog {
                        dialog.refresh_target(message);
                    }
                }
                (contact, Vec::new())
            }
        };
        lines.extend_from_slice(&timer);
        (200, lines, ours)
    }

    /// Whether our INVITE's offer has no answer yet that the peer may count on.
    fn offer_is_open(&self, call: CallHandle, head: &Head<'_>) -> bool {
        let Some(found) = self.calls.get(call.0) else {
            return false;
        };
        let tag = head.from.tag().unwrap_or_default();
        let early = found.early.iter().find(|early| early.tag == tag);
        found.dialog.is_none() && !early.is_some_and(|early| early.answered)
    }
}

/// The key in an INFO body: `application/dtmf-relay` (`Signal=5`) or `application/dtmf` (`5`).
fn info_digit(message: &Message<'_>) -> Option<char> {
    let text = std::str::from_utf8(message.body()).ok()?;
    let digit = if body_is(message, "application/dtmf-relay") {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("signal"))?;
        trim(value.as_bytes())
    } else if body_is(message, "application/dtmf") {
        trim(text.as_bytes())
    } else {
        return None;
    };
    let key = match digit {
        b"10" => '*',
        b"11" => '#',
        [one] => char::from(one.to_ascii_uppercase()),
        _ => return None,
    };
    matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(key)
}
