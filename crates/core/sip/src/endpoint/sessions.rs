//! Session timers of calls that are up: refreshing, being refreshed, giving up (RFC 4028).

use super::{EndCause, Endpoint, SipEvent, TimerName, transactions::Owner};
use crate::{
    call::{CallEvent, CallHandle, CallState},
    digest::Subject,
    lexer::{Message, Name},
    message::{Head, body_is},
    session_timer::{self, Refresher, SessionTimer, lists, session_expires},
    write::{put, put_body},
};
use bytes::Bytes;
use domain::{Now, limits::SESSION_EXPIRES_MIN};
use std::io::Write;

impl Endpoint {
    /// What a 2xx to an INVITE or a refresh of ours agrees to.
    pub(super) fn session_agreed(&mut self, now: Now, call: CallHandle, message: &Message<'_>) {
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        if message.value(Name::Allow).is_some() {
            found.peer_updates = lists(message, Name::Allow, b"UPDATE");
        }
        found.session = session_expires(message).map(|(interval, refresher)| {
            SessionTimer::new(interval, now.monotonic, refresher != Some(Refresher::Uas))
        });
        self.arm_session(call);
    }

    fn arm_session(&mut self, call: CallHandle) {
        match self.calls.get(call.0).and_then(|found| found.session) {
            Some(timer) if timer.ours => {
                (self.timers).arm(TimerName::Session(call), timer.refresh_at());
            }
            Some(timer) => self.timers.arm(TimerName::Session(call), timer.end_at()),
            None => {
                self.timers.disarm(&TimerName::Session(call));
            }
        }
    }

    /// The session timer that an INVITE to us asks for; it runs from our answer on. `Err` is 422 with
    /// its line.
    pub(super) fn session_offered(
        &self,
        now: Now,
        message: &Message<'_>,
    ) -> Result<Option<SessionTimer>, Vec<u8>> {
        let Some((interval, refresher)) = session_expires(message) else {
            return Ok(None);
        };
        if interval < SESSION_EXPIRES_MIN {
            let mut lines = Vec::new();
            put!(lines, "Min-SE: {}\r\n", SESSION_EXPIRES_MIN.as_secs());
            return Err(lines);
        }
        // Who does not know of timers cannot refresh.
        let knows = lists(message, Name::Supported, b"timer");
        let ours = !knows || refresher == Some(Refresher::Uas);
        Ok(Some(SessionTimer::new(interval, now.monotonic, ours)))
    }

    /// Begins the session timer of a call that we answer, and says so in the answer.
    pub(super) fn accept_session(&mut self, now: Now, call: CallHandle, lines: &mut Vec<u8>) {
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let Some(asked) = found.session else {
            return;
        };
        let timer = SessionTimer::new(asked.interval, now.monotonic, asked.ours);
        found.session = Some(timer);
        let who = if timer.ours {
            Refresher::Uas
        } else {
            Refresher::Uac
        };
        let (seconds, who) = (timer.interval.as_secs(), who.token());
        put!(lines, "Session-Expires: {seconds};refresher={who}\r\n");
        if !timer.ours {
            put!(lines, "Require: timer\r\n");
        }
        self.arm_session(call);
    }

    /// The peer refreshes, or asks for another interval: our answer's header lines. `Err` is 422 with
    /// its line.
    pub(super) fn session_asked(
        &mut self,
        now: Now,
        call: CallHandle,
        message: &Message<'_>,
    ) -> Result<Vec<u8>, Vec<u8>> {
        let mut lines = Vec::new();
        let Some(found) = self.calls.get_mut(call.0) else {
            return Ok(lines);
        };
        if found.state != CallState::Confirmed {
            return Ok(lines);
        }
        let Some((interval, refresher)) = session_expires(message) else {
            // A session that is refreshed without one has no end any more (section 9).
            found.session = None;
            self.arm_session(call);
            return Ok(lines);
        };
        if interval < SESSION_EXPIRES_MIN {
            put!(lines, "Min-SE: {}\r\n", SESSION_EXPIRES_MIN.as_secs());
            return Err(lines);
        }
        let knows = lists(message, Name::Supported, b"timer");
        // Who asks refreshes, unless it is we so far. (Who does not know of timers cannot.)
        let refresher = match (refresher, found.session) {
            _ if !knows => Refresher::Uas,
            (Some(refresher), _) => refresher,
            (None, Some(timer)) if timer.ours => Refresher::Uas,
            (None, _) => Refresher::Uac,
        };
        let ours = refresher == Refresher::Uas;
        found.session = Some(SessionTimer::new(interval, now.monotonic, ours));
        let (seconds, who) = (interval.as_secs(), refresher.token());
        put!(lines, "Session-Expires: {seconds};refresher={who}\r\n");
        if refresher == Refresher::Uac {
            put!(lines, "Require: timer\r\n");
        }
        self.arm_session(call);
        Ok(lines)
    }

    /// Time to refresh, or nobody did.
    pub(super) fn session_due(&mut self, now: Now, call: CallHandle) {
        let Some(timer) = self.calls.get(call.0).and_then(|found| found.session) else {
            return;
        };
        if !timer.ours || timer.end_at() <= now.monotonic {
            return self.session_lost(now, call);
        }
        self.send_refresh(now, call);
        // What is heard of it arms anew; if nothing is, this ends the call.
        (self.timers).arm(TimerName::Session(call), timer.end_at());
    }

    /// UPDATE without a description where the peer takes it, else a re-INVITE with the one there is.
    fn send_refresh(&mut self, now: Now, call: CallHandle) {
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let (Some(timer), Some(dialog)) = (found.session, found.dialog.clone()) else {
            return;
        };
        if found.refreshing || found.state != CallState::Confirmed {
            return;
        }
        found.refreshing = true;
        found.cseq += 1;
        let by_update = found.peer_updates;
        let (cseq, home) = (found.cseq, found.flow);
        let flow = dialog.next_hop(home, &self.peers);
        let body = if by_update {
            Bytes::new()
        } else {
            found.our_sdp.clone()
        };
        let method = if by_update { "UPDATE" } else { "INVITE" };
        let mut lines = found.contact.clone();
        let seconds = timer.interval.as_secs();
        put!(
            lines,
            "Supported: timer\r\nSession-Expires: {seconds};refresher=uac\r\nMin-SE: {}\r\n",
            timer
                .interval
                .min(found.min_se.unwrap_or(SESSION_EXPIRES_MIN))
                .as_secs()
        );
        if let Some(credentials) = found.credentials.clone() {
            let uri = dialog.route().0.to_vec();
            let subject = Subject {
                method: method.as_bytes(),
                uri: &uri,
                body: &body,
            };
            // Challenges are remembered by where the call began, wherever its requests go now.
            self.put_authorization(&mut lines, home, &credentials, subject);
        }
        let started = self.start_client(now, method, flow, Owner::Refresh(call), |this, branch| {
            let Some(found) = this.calls.get(call.0) else {
                return Vec::new();
            };
            let mut out = found.request_head(&dialog, flow, method, cseq, branch);
            out.extend_from_slice(&lines);
            put_body(&mut out, "application/sdp", &body);
            out
        });
        if started.is_none()
            && let Some(found) = self.calls.get_mut(call.0)
        {
            found.refreshing = false;
        }
    }

    /// A response to a refresh of ours.
    pub(super) fn refresh_response(
        &mut self,
        now: Now,
        call: CallHandle,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let Some(status) = message.status().filter(|status| *status >= 200) else {
            return;
        };
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let by_invite = head.cseq.method == crate::lexer::Method::Invite;
        if by_invite
            && status < 300
            && let Some(dialog) = &mut found.dialog
        {
            dialog.refresh_target(message);
            let dialog = dialog.clone();
            let flow = dialog.next_hop(found.flow, &self.peers);
            let ack = self.build_ack(call, &dialog, flow, head.cseq.number);
            self.transmit(flow, ack, super::Kind::Other);
        }
        let Ok(found) = self.live_call(call) else {
            return;
        };
        if !std::mem::replace(&mut found.refreshing, false) {
            return;
        }
        match status {
            200..300 => {
                let (offer, credit) = (Bytes::copy_from_slice(message.body()), &found.our_sdp);
                let answer = credit.clone();
                found.refresh_challenged = false;
                self.session_agreed(now, call, message);
                if by_invite && !offer.is_empty() && body_is(message, "application/sdp") {
                    self.event(SipEvent::ReOffer {
                        call,
                        offer,
                        answer,
                    });
                }
            }
            422 => {
                let least = session_timer::min_se(message);
                if let (Some(timer), Some(least)) = (&mut found.session, least)
                    && least > timer.interval
                {
                    timer.interval = least;
                    found.min_se = Some(least);
                    self.send_refresh(now, call);
                }
            }
            401 | 407 => {
                let again = !std::mem::replace(&mut found.refresh_challenged, true);
                let (flow, credentials) = (found.flow, found.credentials.clone());
                if again
                    && let Some(credentials) = credentials
                    && self.learn_challenge(flow, &credentials, message).is_some()
                {
                    self.send_refresh(now, call);
                }
            }
            // The peer does not know the call any more (RFC 5057).
            404 | 408 | 410 | 481 => self.session_lost(now, call),
            405 | 501 if !by_invite => {
                found.peer_updates = false;
                self.send_refresh(now, call);
            }
            // 491 and passing troubles: once more in a moment, until the session's end.
            _ => {
                let at = now.monotonic + session_timer::RETRY;
                let end = found.session.map(|timer| timer.end_at());
                if let Some(end) = end {
                    self.timers.arm(TimerName::Session(call), at.min(end));
                }
            }
        }
    }

    /// A refresh got no answer, or no refresh came: the session is over.
    pub(super) fn session_lost(&mut self, now: Now, call: CallHandle) {
        let Ok(found) = self.live_call(call) else {
            return;
        };
        if found.state != CallState::Confirmed {
            return;
        }
        self.send_bye(now, call, None);
        let cause = EndCause::Expired;
        let q850 = None;
        self.finish(
            call,
            CallEvent::HangUp,
            SipEvent::Ended { call, cause, q850 },
        );
    }
}
