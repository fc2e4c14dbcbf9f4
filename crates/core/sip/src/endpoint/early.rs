//! Reliable provisional responses (RFC 3262), and what early dialogs described.

use super::{Endpoint, transactions::Owner};
use crate::{
    call::{CallHandle, Early},
    dialog::Dialog,
    digest::Subject,
    lexer::{Message, Name, read_number},
    message::{Head, body_is},
    session_timer::lists,
    write::put,
};
use bytes::Bytes;
use domain::Now;
use std::io::Write;

/// Early dialogs of one call that are told apart; more are treated as unreliable.
const EARLY: usize = 8;

impl Endpoint {
    /// Takes in a provisional response, and acknowledges it where it asks for that. False for one that
    /// was there before, or that came out of turn: it will come again.
    pub(super) fn early_response(
        &mut self,
        now: Now,
        call: CallHandle,
        message: &Message<'_>,
        head: &Head<'_>,
    ) -> bool {
        let tag = head.to.tag().unwrap_or_default();
        let reliable = lists(message, Name::Require, b"100rel");
        let sequence = (message.value(Name::RSeq))
            .and_then(read_number)
            .filter(|_| reliable && !tag.is_empty());
        let described = !message.body().is_empty() && body_is(message, "application/sdp");
        if sequence.is_none() && (!described || tag.is_empty()) {
            return true;
        }
        let Some(found) = self.calls.get_mut(call.0) else {
            return true;
        };
        let place = match found.early.iter().position(|early| early.tag == tag) {
            Some(place) => place,
            None if found.early.len() >= EARLY => return true,
            None => {
                found.early.push(Early {
                    tag: tag.to_vec(),
                    sequence: None,
                    answered: false,
                    sdp: Bytes::new(),
                });
                found.early.len() - 1
            }
        };
        let early = &mut found.early[place];
        if let (Some(sequence), Some(last)) = (sequence, early.sequence)
            && sequence != last.wrapping_add(1)
        {
            return false;
        }
        if described {
            early.sdp = Bytes::copy_from_slice(message.body());
            early.answered |= sequence.is_some();
        }
        if let Some(sequence) = sequence {
            early.sequence = Some(sequence);
            self.send_prack(now, call, sequence, message, head);
        }
        true
    }

    fn send_prack(
        &mut self,
        now: Now,
        call: CallHandle,
        sequence: u32,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let fallback = found
            .setup
            .as_ref()
            .map_or_else(Vec::new, |setup| setup.request_uri.clone());
        let dialog = Dialog::of_caller(message, head, &fallback);
        found.cseq += 1;
        let (cseq, home) = (found.cseq, found.flow);
        let flow = dialog.next_hop(home, &self.peers);
        let credentials = found.credentials.clone();
        let mut lines = Vec::with_capacity(64);
        put!(lines, "RAck: {sequence} {} INVITE\r\n", head.cseq.number);
        if let Some(credentials) = &credentials {
            let (uri, _) = dialog.route();
            let uri = uri.to_vec();
            let subject = Subject {
                method: b"PRACK",
                uri: &uri,
                body: b"",
            };
            self.put_authorization(&mut lines, home, credentials, subject);
        }
        self.start_client(now, "PRACK", flow, Owner::Prack(call), |this, branch| {
            this.calls.get(call.0).map_or_else(Vec::new, |found| {
                found.request(&dialog, flow, "PRACK", cseq, branch, &lines)
            })
        });
    }

    /// What the peer described for the dialog of this tag before it answered.
    pub(super) fn early_description(&self, call: CallHandle, tag: &[u8]) -> Bytes {
        let found = self.calls.get(call.0);
        let early = found.and_then(|found| found.early.iter().find(|early| early.tag == tag));
        early.map_or_else(Bytes::new, |early| early.sdp.clone())
    }
}
