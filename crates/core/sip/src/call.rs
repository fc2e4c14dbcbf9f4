//! One INVITE usage: what the endpoint remembers of a call, and its states.

use crate::{
    dialog::Dialog,
    digest::Credentials,
    flow::Flow,
    session_timer::SessionTimer,
    slots::Id,
    write::{Request, put},
};
use bytes::Bytes;
use domain::Instant;
use sansio::{table, transitions::Table};
use std::{fmt, io::Write, time::Duration};

/// Names one call of one endpoint. A handle outlives its call harmlessly: it then names nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallHandle(pub(crate) Id);

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {:?}", self.0)
    }
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Ours: INVITE sent, nothing heard.
    Inviting,
    /// Ours: a provisional response came.
    Proceeding,
    /// Ours: to be cancelled as soon as a provisional response comes (RFC 3261 section 9.1).
    CancelWaiting,
    /// Ours: CANCEL sent.
    Cancelling,
    /// Theirs: waits for our decision.
    Incoming,
    /// Theirs: 200 sent, waits for ACK.
    Accepted,
    /// Answered, both sides know.
    Confirmed,
    /// Over; its final event is out.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEvent {
    Provisional,
    Answered,
    Cancel,
    Accept,
    Acknowledged,
    /// We refuse, or the far end, a timer or the transport does.
    Failed,
    HangUp,
    /// BYE or CANCEL from the peer.
    PeerLeft,
}

use CallState as State;

pub(crate) const TABLE: Table<State, CallEvent> = table!("call", State, CallEvent;
    Inviting: Provisional => Proceeding,
    Inviting: Answered => Confirmed,
    Inviting: Cancel => CancelWaiting,
    Inviting: Failed => Ended,
    Proceeding: Provisional => Proceeding,
    Proceeding: Answered => Confirmed,
    Proceeding: Cancel => Cancelling,
    Proceeding: Failed => Ended,
    CancelWaiting: Provisional => Cancelling,
    CancelWaiting: Answered => Ended,
    CancelWaiting: Failed => Ended,
    Cancelling: Provisional => Cancelling,
    Cancelling: Answered => Ended,
    Cancelling: Failed => Ended,
    Incoming: Accept => Accepted,
    Incoming: Failed => Ended,
    Incoming: PeerLeft => Ended,
    Accepted: Acknowledged => Confirmed,
    Accepted: Failed => Ended,
    Accepted: HangUp => Ended,
    Accepted: PeerLeft => Ended,
    Confirmed: Failed => Ended,
    Confirmed: HangUp => Ended,
    Confirmed: PeerLeft => Ended,
);

/// What an INVITE of ours is rebuilt from when it is challenged; dropped at its final response.
pub(crate) struct Setup {
    pub(crate) request_uri: Vec<u8>,
    /// Header lines beside the dialog's own.
    pub(crate) lines: Vec<u8>,
    pub(crate) valid_until: Option<Instant>,
    /// Challenges answered: by 401 and by 407.
    pub(crate) answered: [u8; 2],
    pub(crate) stopped: bool,
    /// Session-Expires to ask for.
    pub(crate) session_expires: Option<Duration>,
    /// Whether reliable provisional responses are offered.
    pub(crate) reliable: bool,
    /// Whether a redirection may be followed; none left once one was.
    pub(crate) follow: bool,
    /// The far end asked for something else (421, 422), and got it.
    pub(crate) adapted: [bool; 2],
}

/// A 2xx of ours that waits for its ACK (RFC 3261 section 13.3.1.4).
pub(crate) struct Unacknowledged {
    pub(crate) response: Bytes,
    pub(crate) flow: Flow,
    pub(crate) cseq: u32,
    pub(crate) interval: Duration,
}

/// What one early dialog said.
pub(crate) struct Early {
    pub(crate) tag: Vec<u8>,
    /// RSeq of the last reliable response.
    pub(crate) sequence: Option<u32>,
    /// A reliable response answered our offer.
    pub(crate) answered: bool,
    /// The peer's last description.
    pub(crate) sdp: Bytes,
}

/// A dialog that another branch of a forked INVITE made; ended at once.
pub(crate) struct Fork {
    pub(crate) tag: Vec<u8>,
    pub(crate) ack: Bytes,
    pub(crate) flow: Flow,
}

pub(crate) struct Call {
    pub(crate) state: State,
    pub(crate) flow: Flow,
    pub(crate) sent_by: String,
    pub(crate) call_id: Vec<u8>,
    pub(crate) local_tag: String,
    /// Our From or To value with our tag.
    pub(crate) local: Vec<u8>,
    /// The peer's value before there is a dialog.
    pub(crate) remote: Vec<u8>,
    /// Our Contact line.
    pub(crate) contact: Vec<u8>,
    /// CSeq of our last request; of the INVITE while it is not answered.
    pub(crate) cseq: u32,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) forks: Vec<Fork>,
    /// The INVITE's transaction: client's for our calls, server's for theirs.
    pub(crate) invite: Option<Id>,
    pub(crate) setup: Option<Box<Setup>>,
    pub(crate) credentials: Option<Credentials>,
    /// Authorization lines of the INVITE, repeated in its ACK (RFC 3261 section 13.2.2.4).
    pub(crate) authorization: Vec<u8>,
    pub(crate) ack: Option<(Bytes, Flow)>,
    /// The Reason to give when the cancellation goes out.
    pub(crate) cancel_cause: Option<u16>,
    /// The deadline cancelled it, not the owner.
    pub(crate) expired: bool,
    /// Our last session description.
    pub(crate) our_sdp: Bytes,
    /// Our first one: it names every codec that we speak in this call.
    pub(crate) first_sdp: Bytes,
    /// Early dialogs, until the answer.
    pub(crate) early: Vec<Early>,
    pub(crate) session: Option<SessionTimer>,
    /// Min-SE that the far end asked for.
    pub(crate) min_se: Option<Duration>,
    /// The peer takes UPDATE.
    pub(crate) peer_updates: bool,
    /// A refresh of ours is under way.
    pub(crate) refreshing: bool,
    pub(crate) refresh_challenged: bool,
    pub(crate) unacknowledged: Option<Unacknowledged>,
    /// BYE asked for before the ACK came.
    pub(crate) bye_waiting: Option<Option<u16>>,
    pub(crate) bye_challenged: bool,
    /// Transactions that still refer to the call.
    pub(crate) open: u32,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("state", &self.state)
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Moves on; false where the table does not allow it.
    pub(crate) fn step(&mut self, event: CallEvent) -> bool {
        match TABLE.next(self.state, event) {
            Some(next) => {
                self.state = next;
                true
            }
            None => false,
        }
    }

    /// A request within a dialog of this call; `lines` are whole header lines.
    pub(crate) fn request(
        &self,
        dialog: &Dialog,
        flow: Flow,
        method: &str,
        cseq: u32,
        branch: &str,
        lines: &[u8],
    ) -> Vec<u8> {
        let mut out = self.request_head(dialog, flow, method, cseq, branch);
        out.extend_from_slice(lines);
        put!(out, "Content-Length: 0\r\n\r\n");
        out
    }

    /// The same up to where its own header lines begin.
    pub(crate) fn request_head(
        &self,
        dialog: &Dialog,
        flow: Flow,
        method: &str,
        cseq: u32,
        branch: &str,
    ) -> Vec<u8> {
        let (uri, routes) = dialog.route();
        Request {
            method,
            uri,
            transport: flow.transport,
            sent_by: &self.sent_by,
            branch,
            routes: &routes,
            from: &self.local,
            to: &dialog.remote,
            call_id: &self.call_id,
            cseq,
        }
        .begin(512)
    }

    /// Lets go of what an ended call does not need: it lingers 32 s for late responses.
    pub(crate) fn shrink(&mut self) {
        self.setup = None;
        self.our_sdp = Bytes::new();
        self.first_sdp = Bytes::new();
        self.early = Vec::new();
        self.authorization = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing_is_the_table() {
        insta::assert_snapshot!("call", TABLE.drawing());
    }

    #[test]
    fn nothing_leaves_the_end() {
        assert!(TABLE.moves.iter().all(|m| m.from != State::Ended));
    }
}
