//! Calls of ours: RFC 3261 section 13.2, forks and late answers included.

use super::{
    CancelCause, EndCause, Endpoint, Invite, Kind, LocalCause, Rejected, SipEvent, TimerName,
    transactions::Owner,
};
use crate::{
    call::{Call, CallEvent, CallHandle, CallState, Fork, Setup},
    dialog::Dialog,
    digest::{Credentials, Subject},
    flow::Flow,
    lexer::{Message, Name, StartLine, read_number, trim},
    message::{Head, NameAddr, Uri, q850_cause, split_list},
    session_timer::{lists, min_se},
    slots::Id,
    transaction::T1_64,
    write::{ALLOW, Request, put, put_body, put_display, put_header},
};
use bytes::Bytes;
use domain::{
    Now,
    limits::{SESSION_EXPIRES_MAX, SESSION_EXPIRES_MIN},
};
use std::{io::Write, time::Duration};

/// How long a call may ring when nobody says (RFC 3261's timer C).
const RINGING: Duration = Duration::from_secs(180);
/// Losing branches of one fork that are answered; more are left to time out.
const FORKS: usize = 8;

fn checked<'a>(field: &'static str, uri: &'a str) -> Result<Uri<'a>, Rejected> {
    Uri::read(uri.as_bytes())
        .filter(|uri| uri.is_sip() || uri.scheme.eq_ignore_ascii_case(b"tel"))
        .ok_or(Rejected::BadUri { field })
}

impl Endpoint {
    /// Starts a call. Its INVITE comes out as the next output.
    pub fn invite(&mut self, now: Now, invite: Invite) -> Result<CallHandle, Rejected> {
        checked("request_uri", &invite.request_uri)?;
        checked("from", &invite.from.uri)?;
        checked("to", &invite.to.uri)?;
        if let Some(identity) = &invite.p_asserted_identity {
            checked("p_asserted_identity", identity)?;
        }
        if invite.body.is_empty() {
            return Err(Rejected::NoBody);
        }
        if self.live_calls >= self.config.max_calls {
            let limit = self.config.max_calls;
            return Err(Rejected::TooManyCalls { limit });
        }
        let id = match (self.calls.next_id(), self.clients.is_full()) {
            (Some(id), false) => id,
            _ => return Err(Rejected::TooManyTransactions),
        };
        let call = self.new_call(id, &invite);
        let stored = self.calls.insert(call);
        assert!(stored == Some(id), "the slot was free a moment ago");
        self.live_calls += 1;
        let handle = CallHandle(id);
        let rings = invite.expires.unwrap_or(RINGING);
        self.timers
            .arm(TimerName::Deadline(handle), now.monotonic + rings);
        self.send_invite(now, handle);
        Ok(handle)
    }

    fn new_call(&mut self, id: Id, invite: &Invite) -> Call {
        let local_tag = self.tag_for(id);
        let address = |address: &super::Address, tag: Option<&str>| {
            let mut value = Vec::with_capacity(96);
            put_display(&mut value, &address.display);
            put!(value, "<{}>", address.uri);
            if let Some(tag) = tag {
                put!(value, ";tag={tag}");
            }
            value
        };
        let contact = self.contact_line(&invite.contact_user, invite.flow);
        let mut lines = Vec::with_capacity(256);
        lines.extend_from_slice(&contact);
        put_header(&mut lines, "Allow", ALLOW.as_bytes());
        lines.extend_from_slice(&self.user_agent_line());
        if let Some(identity) = &invite.p_asserted_identity {
            put!(lines, "P-Asserted-Identity: <{identity}>\r\n");
        }
        for (name, value) in &invite.headers {
            if !name.is_empty() && name.bytes().all(crate::lexer::is_token) {
                put_header(&mut lines, name, value.as_bytes());
            }
        }
        if let Some(expires) = invite.expires {
            put!(lines, "Expires: {}\r\n", expires.as_secs().max(1));
        }
        Call {
            state: CallState::Inviting,
            flow: invite.flow,
            sent_by: self.sent_by(invite.flow),
            call_id: self.tokens.token(24).into_bytes(),
            local: address(&invite.from, Some(&local_tag)),
            local_tag,
            remote: address(&invite.to, None),
            contact,
            cseq: 0,
            dialog: None,
            forks: Vec::new(),
            invite: None,
            setup: Some(Box::new(Setup {
                request_uri: invite.request_uri.clone().into_bytes(),
                lines,
                valid_until: invite.valid_until,
                answered: [0; 2],
                stopped: false,
                session_expires: invite.session_expires,
                reliable: invite.reliable,
                follow: invite.follow_redirect,
                adapted: [false; 2],
            })),
            credentials: invite.credentials.clone(),
            authorization: Vec::new(),
            ack: None,
            cancel_cause: None,
            expired: false,
            our_sdp: invite.body.clone(),
            first_sdp: invite.body.clone(),
            early: Vec::new(),
            session: None,
            min_se: None,
            peer_updates: false,
            refreshing: false,
            refresh_challenged: false,
            unacknowledged: None,
            bye_waiting: None,
            bye_challenged: false,
            open: 0,
        }
    }

    /// Sends the INVITE with the next CSeq and whatever challenges are known.
    fn send_invite(&mut self, now: Now, handle: CallHandle) {
        let Some(flow) = self.calls.get(handle.0).map(|call| call.flow) else {
            return;
        };
        let authorization = self.authorization(handle, "INVITE");
        let Some(call) = self.calls.get_mut(handle.0) else {
            return;
        };
        call.cseq += 1;
        call.authorization = authorization;
        let started = self.start_client(
            now,
            "INVITE",
            flow,
            Owner::Invite(handle),
            |this, branch| {
                let call = this.calls.get(handle.0).expect("checked above");
                let setup = call.setup.as_ref().expect("kept until the final response");
                let mut out = Request {
                    method: "INVITE",
                    uri: &setup.request_uri,
                    transport: flow.transport,
                    sent_by: &call.sent_by,
                    branch,
                    routes: &[],
                    from: &call.local,
                    to: &call.remote,
                    call_id: &call.call_id,
                    cseq: call.cseq,
                }
                .begin(640 + setup.lines.len() + call.our_sdp.len());
                out.extend_from_slice(&setup.lines);
                let more = if setup.reliable { ", 100rel" } else { "" };
                put!(out, "Supported: timer{more}\r\n");
                if let Some(asked) = setup.session_expires {
                    let least = call.min_se.unwrap_or(SESSION_EXPIRES_MIN).as_secs();
                    let asked = asked.as_secs();
                    put!(out, "Session-Expires: {asked}\r\nMin-SE: {least}\r\n");
                }
                out.extend_from_slice(&call.authorization);
                put_body(&mut out, "application/sdp", &call.our_sdp);
                out
            },
        );
        match (started, self.calls.get_mut(handle.0)) {
            (Some(_), Some(call)) => call.invite = started,
            _ => self.fail(handle, 503, LocalCause::Overload),
        }
    }

    /// Authorization lines for a request of this call, from challenges met before.
    fn authorization(&mut self, handle: CallHandle, method: &str) -> Vec<u8> {
        let mut lines = Vec::new();
        let Some(call) = self.calls.get(handle.0) else {
            return lines;
        };
        let Some(credentials) = call.credentials.clone() else {
            return lines;
        };
        let (flow, body) = (call.flow, call.our_sdp.clone());
        let uri = match (&call.setup, &call.dialog) {
            (Some(setup), _) => setup.request_uri.clone(),
            (None, Some(dialog)) => dialog.route().0.to_vec(),
            (None, None) => return lines,
        };
        let subject = Subject {
            method: method.as_bytes(),
            uri: &uri,
            body: if method == "INVITE" { &body } else { b"" },
        };
        self.put_authorization(&mut lines, flow, &credentials, subject);
        lines
    }

    /// Whether an INVITE of this call may leave now.
    pub(super) fn may_still_leave(&self, now: Now, handle: CallHandle) -> bool {
        self.calls.get(handle.0).is_some_and(|call| {
            call.setup.as_ref().is_some_and(|setup| {
                !setup.stopped && setup.valid_until.is_none_or(|until| now.monotonic < until)
            })
        })
    }

    /// From now on no INVITE of this call leaves, repeated or with credentials: its validity ended.
    /// The call itself goes on: what has been sent may still be answered.
    pub fn stop_retransmissions(&mut self, call: CallHandle) -> Result<(), Rejected> {
        let found = self.live_call(call)?;
        if let Some(setup) = &mut found.setup {
            setup.stopped = true;
        }
        if let Some(id) = found.invite {
            self.silence_client(id);
        }
        Ok(())
    }

    /// Cancels a call of ours that is not answered. CANCEL goes out once a provisional response has
    /// come (RFC 3261 section 9.1); until then nothing is repeated. `q850` goes into its Reason header.
    pub fn cancel(
        &mut self,
        now: Now,
        call: CallHandle,
        q850: Option<u16>,
    ) -> Result<(), Rejected> {
        let found = self.live_call(call)?;
        let state = found.state;
        if !found.step(CallEvent::Cancel) {
            let needs = "a call of ours that is neither answered nor cancelled";
            return Err(Rejected::WrongState { state, needs });
        }
        found.cancel_cause = q850;
        let invite = found.invite;
        if let Some(setup) = &mut found.setup {
            setup.stopped = true;
        }
        match (found.state, invite) {
            (CallState::Cancelling, _) => self.send_cancel(now, call),
            (_, Some(id)) => self.silence_client(id),
            (_, None) => {}
        }
        // Until a provisional response comes, timer B is what ends it.
        let at = now.monotonic + T1_64;
        self.timers.arm(TimerName::Deadline(call), at);
        Ok(())
    }

    fn send_cancel(&mut self, now: Now, call: CallHandle) {
        let Some(found) = self.calls.get(call.0) else {
            return;
        };
        let lines = Self::reason_line(found.cancel_cause);
        if let Some(invite) = found.invite {
            self.start_cancel(now, invite, &lines);
        }
        let at = now.monotonic + T1_64;
        self.timers.arm(TimerName::Deadline(call), at);
    }

    /// It rang long enough, or nothing came of a CANCEL for 64 T1.
    pub(super) fn deadline(&mut self, now: Now, call: CallHandle) {
        let Ok(found) = self.live_call(call) else {
            return;
        };
        match found.state {
            CallState::Inviting | CallState::Proceeding => {
                found.expired = true;
                // The state was just seen to allow it.
                let cancelled = self.cancel(now, call, None);
                debug_assert!(cancelled.is_ok());
            }
            CallState::CancelWaiting | CallState::Cancelling => {
                let invite = found.invite;
                self.end_cancelled(call, false);
                if let Some(invite) = invite {
                    self.abandon_client(now, invite);
                }
            }
            CallState::Incoming | CallState::Accepted | CallState::Confirmed | CallState::Ended => {
            }
        }
    }

    fn end_cancelled(&mut self, call: CallHandle, answered: bool) {
        let expired = self.calls.get(call.0).is_some_and(|c| c.expired);
        let cause = if expired {
            CancelCause::Expired
        } else {
            CancelCause::Asked
        };
        let how = if answered {
            CallEvent::Answered
        } else {
            CallEvent::Failed
        };
        self.finish(
            call,
            how,
            SipEvent::Cancelled {
                call,
                cause,
                answered,
            },
        );
    }

    fn fail(&mut self, call: CallHandle, status: u16, cause: LocalCause) {
        self.finish(
            call,
            CallEvent::Failed,
            SipEvent::Failed {
                call,
                status,
                q850: None,
                reason: crate::write::reason_phrase(status).to_owned(),
                retry_after: None,
                local: Some(cause),
            },
        );
    }

    /// The INVITE's transaction ended without a final response.
    pub(super) fn invite_failed(&mut self, _now: Now, call: CallHandle, cause: LocalCause) {
        let cancelled = self
            .calls
            .get(call.0)
            .is_some_and(|c| matches!(c.state, CallState::CancelWaiting | CallState::Cancelling));
        match (cancelled, cause) {
            (true, _) => self.end_cancelled(call, false),
            (false, LocalCause::Timeout) => self.fail(call, 408, cause),
            (false, _) => self.fail(call, 503, cause),
        }
    }

    /// A response to an INVITE of ours.
    pub(super) fn invite_response(
        &mut self,
        now: Now,
        call: CallHandle,
        transaction: Id,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let Some(status) = message.status() else {
            return;
        };
        match status {
            ..200 => self.provisional(now, call, status, message, head),
            200..300 => self.answered(now, call, message, head),
            300.. => self.refused(now, call, transaction, status, message),
        }
    }

    fn provisional(
        &mut self,
        now: Now,
        call: CallHandle,
        status: u16,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let Ok(found) = self.live_call(call) else {
            return;
        };
        let waiting = found.state == CallState::CancelWaiting;
        if !found.step(CallEvent::Provisional) {
            return;
        }
        if waiting {
            self.send_cancel(now, call);
            return;
        }
        if found.state != CallState::Proceeding || !self.early_response(now, call, message, head) {
            return;
        }
        let tag = head.to.tag().unwrap_or_default();
        let described = crate::message::body_is(message, "application/sdp");
        self.event(SipEvent::Provisional {
            call,
            status,
            to_tag: String::from_utf8_lossy(&tag[..tag.len().min(128)]).into_owned(),
            body: Bytes::copy_from_slice(if described { message.body() } else { b"" }),
        });
    }

    /// A 2xx: the first makes the dialog; repeated ones are acknowledged again; those of other branches
    /// are acknowledged and hung up (RFC 3261 section 13.2.2.4).
    fn answered(&mut self, now: Now, call: CallHandle, message: &Message<'_>, head: &Head<'_>) {
        let tag = head.to.tag().unwrap_or_default();
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let again = match &found.dialog {
            Some(dialog) if dialog.remote_tag == tag => found.ack.clone(),
            _ => found
                .forks
                .iter()
                .find(|fork| fork.tag == tag)
                .map(|fork| (fork.ack.clone(), fork.flow)),
        };
        if let Some((ack, flow)) = again {
            self.count(|c| c.repeated += 1);
            self.transmit(flow, ack, Kind::Other);
            return;
        }
        // A 2xx without Contact is out of order, but the call is up (RFC 3261 section 12.1.1).
        let fallback = match (&found.setup, &found.dialog) {
            (Some(setup), _) => setup.request_uri.clone(),
            (None, Some(dialog)) => dialog.target.clone(),
            (None, None) => b"sip:unknown.invalid".to_vec(),
        };
        let dialog = Dialog::of_caller(message, head, &fallback);
        let flow = dialog.next_hop(found.flow, &self.peers);
        // The INVITE's own CSeq: a challenge may have counted on, a BYE may have too.
        let ack = self.build_ack(call, &dialog, flow, head.cseq.number);
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        self.outputs.push_back(super::Output::Transmit {
            flow,
            bytes: ack.clone(),
            kind: Kind::Other,
        });
        if found.dialog.is_some() || found.state == CallState::Ended {
            self.end_fork(now, call, dialog, ack, flow);
            return;
        }
        found.dialog = Some(dialog);
        found.ack = Some((ack, flow));
        found.setup = None;
        if matches!(
            found.state,
            CallState::CancelWaiting | CallState::Cancelling
        ) {
            let cause = found.cancel_cause;
            self.send_bye(now, call, cause);
            self.end_cancelled(call, true);
            return;
        }
        assert!(
            found.step(CallEvent::Answered),
            "a call not ended may be answered"
        );
        self.timers.disarm(&TimerName::Deadline(call));
        let described = crate::message::body_is(message, "application/sdp");
        let body = match message.body() {
            // It was said before, in a provisional response (RFC 3262 section 5).
            b"" => self.early_description(call, tag),
            body if described => Bytes::copy_from_slice(body),
            _ => Bytes::new(),
        };
        if let Some(found) = self.calls.get_mut(call.0) {
            found.early = Vec::new();
        }
        self.session_agreed(now, call, message);
        self.event(SipEvent::Answered { call, body });
    }

    pub(super) fn build_ack(
        &mut self,
        call: CallHandle,
        dialog: &Dialog,
        flow: Flow,
        cseq: u32,
    ) -> Bytes {
        let mut branch = String::with_capacity(24);
        branch.push_str("z9hG4bK");
        self.tokens.append_token(&mut branch, 16);
        self.calls.get(call.0).map_or_else(Bytes::new, |found| {
            let lines = &found.authorization;
            found
                .request(dialog, flow, "ACK", cseq, &branch, lines)
                .into()
        })
    }

    fn end_fork(&mut self, now: Now, call: CallHandle, dialog: Dialog, ack: Bytes, flow: Flow) {
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        if found.forks.len() >= FORKS {
            return;
        }
        found.forks.push(Fork {
            tag: dialog.remote_tag.clone(),
            ack,
            flow,
        });
        let cseq = found.cseq + 1;
        self.start_client(now, "BYE", flow, Owner::ForkBye(call), |this, branch| {
            this.calls.get(call.0).map_or_else(Vec::new, |found| {
                found.request(&dialog, flow, "BYE", cseq, branch, b"")
            })
        });
    }

    fn refused(
        &mut self,
        now: Now,
        call: CallHandle,
        transaction: Id,
        status: u16,
        message: &Message<'_>,
    ) {
        let Ok(found) = self.live_call(call) else {
            return;
        };
        if found.invite != Some(transaction) {
            return;
        }
        let cancelled = matches!(
            found.state,
            CallState::CancelWaiting | CallState::Cancelling
        );
        if cancelled && matches!(status, 401 | 407 | 408 | 487) {
            self.end_cancelled(call, false);
            return;
        }
        if matches!(status, 401 | 407) {
            match self.answer_challenge(now, call, status, message) {
                Challenged::Again => return self.send_invite(now, call),
                Challenged::TooLate => return self.fail(call, 408, LocalCause::Expired),
                Challenged::No => {}
            }
        }
        if !cancelled && self.adapt(call, status, message) {
            if self.may_still_leave(now, call) {
                return self.send_invite(now, call);
            }
            return self.fail(call, 408, LocalCause::Expired);
        }
        let StartLine::Response { reason, .. } = message.start() else {
            return;
        };
        let reason: String = String::from_utf8_lossy(reason).chars().take(128).collect();
        self.finish(
            call,
            CallEvent::Failed,
            SipEvent::Failed {
                call,
                status,
                q850: q850_cause(message),
                reason,
                retry_after: retry_after(message),
                local: None,
            },
        );
    }

    /// Whether the INVITE may go once more as this refusal asks for it: with 100rel (421), for a longer
    /// session (422), to where a redirection points.
    fn adapt(&mut self, call: CallHandle, status: u16, message: &Message<'_>) -> bool {
        let Some(found) = self.calls.get_mut(call.0) else {
            return false;
        };
        let Some(setup) = &mut found.setup else {
            return false;
        };
        match status {
            421 if lists(message, Name::Require, b"100rel") => {
                setup.reliable = true;
                !std::mem::replace(&mut setup.adapted[0], true)
            }
            422 => {
                let least = min_se(message).filter(|least| *least <= SESSION_EXPIRES_MAX);
                found.min_se = least;
                setup.session_expires = setup.session_expires.max(least);
                least.is_some() && !std::mem::replace(&mut setup.adapted[1], true)
            }
            300..400 if setup.follow => match redirected(&setup.request_uri, message) {
                Some(uri) => {
                    setup.request_uri = uri;
                    setup.follow = false;
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    fn answer_challenge(
        &mut self,
        now: Now,
        call: CallHandle,
        status: u16,
        message: &Message<'_>,
    ) -> Challenged {
        let may_leave = self.may_still_leave(now, call);
        let Some(found) = self.calls.get_mut(call.0) else {
            return Challenged::No;
        };
        let (flow, Some(credentials)) = (found.flow, found.credentials.clone()) else {
            return Challenged::No;
        };
        let kind = usize::from(status == 407);
        let answered = found.setup.as_ref().map_or(2, |setup| setup.answered[kind]);
        let Some(challenge) = self.learn_challenge(flow, &credentials, message) else {
            return Challenged::No;
        };
        // Once with each kind of challenge; once more when only the nonce had run out.
        if answered > 1 || (answered == 1 && !challenge.stale) {
            self.forget_challenge(flow, &credentials, challenge.proxy);
            return Challenged::No;
        }
        if !may_leave {
            return Challenged::TooLate;
        }
        if let Ok(found) = self.live_call(call)
            && let Some(setup) = &mut found.setup
        {
            setup.answered[kind] += 1;
        }
        Challenged::Again
    }

    pub(super) fn forget_challenge(&mut self, flow: Flow, credentials: &Credentials, proxy: bool) {
        let key = (flow.remote, credentials.username.clone(), proxy);
        self.authorizers.remove(&key);
    }

    /// Hangs an answered call up: BYE goes out, and the call has ended. `q850` goes into its Reason header.
    pub fn bye(&mut self, now: Now, call: CallHandle, q850: Option<u16>) -> Result<(), Rejected> {
        let found = self.live_call(call)?;
        let state = found.state;
        match state {
            CallState::Confirmed => self.send_bye(now, call, q850),
            // The peer's ACK first (RFC 3261 section 15).
            CallState::Accepted => found.bye_waiting = Some(q850),
            _ => {
                let needs = "an answered call; cancel or reject others";
                return Err(Rejected::WrongState { state, needs });
            }
        }
        let cause = EndCause::Us;
        let ended = SipEvent::Ended {
            call,
            cause,
            q850: None,
        };
        self.finish(call, CallEvent::HangUp, ended);
        Ok(())
    }

    pub(super) fn send_bye(&mut self, now: Now, call: CallHandle, q850: Option<u16>) {
        let mut lines = Self::reason_line(q850);
        if self
            .calls
            .get(call.0)
            .is_some_and(|c| c.credentials.is_some())
        {
            lines.extend_from_slice(&self.authorization(call, "BYE"));
        }
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let Some(dialog) = found.dialog.clone() else {
            return;
        };
        found.cseq += 1;
        let (cseq, flow) = (found.cseq, dialog.next_hop(found.flow, &self.peers));
        self.start_client(now, "BYE", flow, Owner::Bye(call), |this, branch| {
            this.calls.get(call.0).map_or_else(Vec::new, |found| {
                found.request(&dialog, flow, "BYE", cseq, branch, &lines)
            })
        });
    }

    /// A challenged BYE is sent once more with credentials.
    pub(super) fn bye_response(&mut self, now: Now, call: CallHandle, message: &Message<'_>) {
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        if !matches!(message.status(), Some(401 | 407))
            || std::mem::replace(&mut found.bye_challenged, true)
        {
            return;
        }
        let (flow, Some(credentials)) = (found.flow, found.credentials.clone()) else {
            return;
        };
        if self.learn_challenge(flow, &credentials, message).is_some() {
            self.send_bye(now, call, None);
        }
    }
}

enum Challenged {
    Again,
    TooLate,
    No,
}

/// The first Contact of a redirection that names the same user as before: whoever else it names was
/// not asked for.
fn redirected(asked: &[u8], message: &Message<'_>) -> Option<Vec<u8>> {
    let user = |uri: &Uri<'_>| {
        let end = memchr::memchr(b';', uri.user).unwrap_or(uri.user.len());
        uri.user[..end].to_vec()
    };
    let wanted = user(&Uri::read(asked)?);
    let contacts = message.values(Name::Contact).flat_map(split_list);
    let same = contacts.filter_map(NameAddr::read).find(|contact| {
        Uri::read(contact.uri).is_some_and(|uri| uri.is_sip() && user(&uri) == wanted)
    });
    same.map(|contact| contact.uri.to_vec())
}

/// Seconds of a Retry-After header (RFC 3261 section 20.33), at most a day.
pub(super) fn retry_after(message: &Message<'_>) -> Option<Duration> {
    let value = message.value(Name::RetryAfter)?;
    let digits = value
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(value.len());
    let seconds = read_number(trim(&value[..digits]))?;
    Some(Duration::from_secs(u64::from(seconds.min(86_400))))
}
