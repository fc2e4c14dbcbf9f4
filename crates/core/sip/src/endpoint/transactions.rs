//! Transactions as the endpoint holds them: machines with their messages and owners.

use super::{Counters, Endpoint, Kind, LocalCause, TimerName};
use crate::{
    call::{CallHandle, Unacknowledged},
    flow::Flow,
    lexer::{Message, Method},
    message::Head,
    slots::Id,
    transaction::{
        Action, Actions, Class, Client, InviteClient, InviteClientState, InviteServer,
        InviteServerState, Server, Timer,
    },
    write::follow_invite,
};
use bytes::Bytes;
use domain::{Now, TrunkId};
use std::hash::{DefaultHasher, Hasher};

/// The magic cookie of RFC 3261 branches.
const COOKIE: &[u8] = b"z9hG4bK";

#[derive(Clone, Copy, Debug)]
pub(super) enum ClientMachine {
    Invite(InviteClient),
    Other(Client),
}

/// Who hears how a request of ours went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Invite(CallHandle),
    Bye(CallHandle),
    /// PRACK; its answer changes nothing.
    Prack(CallHandle),
    /// UPDATE or re-INVITE that keeps a session.
    Refresh(CallHandle),
    /// Nobody waits: CANCEL, and BYE to a fork that lost.
    Nobody,
    ForkBye(CallHandle),
    Register(TrunkId),
    Probe(TrunkId),
}

impl Owner {
    fn call(self) -> Option<CallHandle> {
        match self {
            Self::Invite(call)
            | Self::Bye(call)
            | Self::Prack(call)
            | Self::Refresh(call)
            | Self::ForkBye(call) => Some(call),
            Self::Nobody | Self::Register(_) | Self::Probe(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct ClientTransaction {
    pub(super) machine: ClientMachine,
    pub(super) flow: Flow,
    pub(super) request: Bytes,
    /// Unguessable tail of the branch.
    token: String,
    method: &'static str,
    pub(super) owner: Owner,
    ack: Option<Bytes>,
    cancel: Option<Id>,
    /// How often it was sent.
    sent: u32,
    /// Why it reached nobody, where that is certain.
    unsent: Option<LocalCause>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum ServerMachine {
    Invite(InviteServer),
    Other(Server),
}

#[derive(Debug)]
pub(super) struct ServerTransaction {
    pub(super) machine: ServerMachine,
    pub(super) flow: Flow,
    key: u128,
    /// Headers of every response.
    pub(super) head: Vec<u8>,
    response: Bytes,
    pub(super) call: Option<CallHandle>,
}

impl Endpoint {
    /// Starts a client transaction. `build` writes the request with the branch it is given.
    /// `None` when there is no room.
    pub(super) fn start_client(
        &mut self,
        now: Now,
        method: &'static str,
        flow: Flow,
        owner: Owner,
        build: impl FnOnce(&mut Self, &str) -> Vec<u8>,
    ) -> Option<Id> {
        let Some(id) = self.clients.next_id() else {
            self.counters.no_room += 1;
            return None;
        };
        let token = self.tokens.token(8);
        let mut branch = String::with_capacity(32);
        branch.push_str("z9hG4bK");
        id.append_to(&mut branch);
        branch.push_str(&token);
        let request = Bytes::from(build(self, &branch));
        let (machine, actions) = match method {
            "INVITE" => {
                let (machine, actions) = InviteClient::start(flow.is_reliable());
                (ClientMachine::Invite(machine), actions)
            }
            _ => {
                let (machine, actions) = Client::start(flow.is_reliable());
                (ClientMachine::Other(machine), actions)
            }
        };
        let stored = self.clients.insert(ClientTransaction {
            machine,
            flow,
            request,
            token,
            method,
            owner,
            ack: None,
            cancel: None,
            sent: 0,
            unsent: None,
        });
        assert!(
            stored == Some(id),
            "building a request starts no other transaction"
        );
        if let Some(call) = owner.call().and_then(|call| self.calls.get_mut(call.0)) {
            call.open += 1;
        }
        self.run_client(now, id, actions, None);
        Some(id)
    }

    /// CANCEL for an INVITE under way (RFC 3261 section 9.1). Its responses carry the INVITE's branch.
    pub(super) fn start_cancel(&mut self, now: Now, invite: Id, lines: &[u8]) {
        let Some(found) = self.clients.get(invite) else {
            return;
        };
        let flow = found.flow;
        let Some(request) = follow_invite(&found.request, "CANCEL", None, lines) else {
            return;
        };
        let cancel = self.start_client(now, "CANCEL", flow, Owner::Nobody, |_, _| request);
        if let Some(found) = self.clients.get_mut(invite) {
            found.cancel = cancel;
        }
    }

    /// The client transaction a response belongs to: named by its branch, checked by token, method
    /// and peer.
    pub(super) fn client_of(&self, flow: Flow, head: &Head<'_>) -> Option<Id> {
        let rest = head.via.branch().strip_prefix(COOKIE)?;
        let id = Id::read(rest)?;
        let found = self.clients.get(id)?;
        let known =
            found.flow.remote.ip() == flow.remote.ip() || self.peers.contains(&flow.remote.ip());
        if !known || !crate::digest::same(found.token.as_bytes(), &rest[16..]) {
            return None;
        }
        match head.cseq.method {
            Method::Cancel if found.method == "INVITE" => found.cancel,
            method => (method.as_bytes() == found.method.as_bytes()).then_some(id),
        }
    }

    /// A response reached its transaction.
    pub(super) fn client_response(
        &mut self,
        now: Now,
        id: Id,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        let (Some(status), Some(found)) = (message.status(), self.clients.get_mut(id)) else {
            return;
        };
        let actions = match &mut found.machine {
            ClientMachine::Invite(machine) => machine.response(Class::of(status)),
            ClientMachine::Other(machine) => machine.response(Class::of(status)),
        };
        if actions == Actions::NONE {
            self.counters.repeated += 1;
        }
        self.run_client(now, id, actions, Some((message, head)));
    }

    pub(super) fn client_timer(&mut self, now: Now, id: Id, timer: Timer) {
        let Some(found) = self.clients.get_mut(id) else {
            return;
        };
        let actions = match &mut found.machine {
            ClientMachine::Invite(machine) => machine.timer(timer),
            ClientMachine::Other(machine) => machine.timer(timer),
        };
        self.run_client(now, id, actions, None);
    }

    /// Gives a client transaction up without telling its owner.
    pub(super) fn abandon_client(&mut self, now: Now, id: Id) {
        let Some(found) = self.clients.get_mut(id) else {
            return;
        };
        let actions = match &mut found.machine {
            ClientMachine::Invite(machine) => machine.abandon(),
            ClientMachine::Other(machine) => machine.abandon(),
        };
        self.run_client(now, id, actions, None);
    }

    /// No datagram of this INVITE leaves any more.
    pub(super) fn silence_client(&mut self, id: Id) {
        self.timers.disarm(&TimerName::Client(Timer::A, id.into()));
    }

    fn run_client(
        &mut self,
        now: Now,
        id: Id,
        actions: Actions,
        response: Option<(&Message<'_>, &Head<'_>)>,
    ) {
        for action in actions.iter() {
            let Some(found) = self.clients.get_mut(id) else {
                return;
            };
            let (owner, unsent) = (found.owner, found.unsent);
            match action {
                Action::Transmit => self.transmit_request(now, id),
                Action::Acknowledge => self.acknowledge_failure(id, response),
                Action::Deliver => {
                    if let Some((message, head)) = response {
                        self.deliver(now, id, owner, message, head);
                    }
                }
                Action::Arm(timer, after) => self
                    .timers
                    .arm(TimerName::Client(timer, id.into()), now.monotonic + after),
                Action::Disarm(timer) => {
                    self.timers.disarm(&TimerName::Client(timer, id.into()));
                }
                Action::TimedOut => self.client_failed(now, owner, LocalCause::Timeout),
                Action::TransportFailed => {
                    let cause = unsent.unwrap_or(LocalCause::Transport);
                    self.client_failed(now, owner, cause);
                }
                Action::Terminate => self.end_client(now, id),
            }
        }
    }

    fn transmit_request(&mut self, now: Now, id: Id) {
        let Some(found) = self.clients.get_mut(id) else {
            return;
        };
        let retransmission = found.sent > 0;
        found.sent = found.sent.saturating_add(1);
        let (flow, bytes, owner) = (found.flow, found.request.clone(), found.owner);
        let kind = match owner {
            Owner::Invite(call) => Kind::Invite {
                call,
                retransmission,
            },
            _ => Kind::Other,
        };
        if let Kind::Invite { call, .. } = kind
            && !self.may_still_leave(now, call)
        {
            return;
        }
        self.counters.retransmitted += u64::from(retransmission);
        self.transmit(flow, bytes, kind);
    }

    fn acknowledge_failure(&mut self, id: Id, response: Option<(&Message<'_>, &Head<'_>)>) {
        let Some(found) = self.clients.get_mut(id) else {
            return;
        };
        if found.ack.is_none()
            && let Some((message, _)) = response
        {
            let to = message.value(crate::lexer::Name::To);
            found.ack = follow_invite(&found.request, "ACK", to, b"").map(Bytes::from);
        }
        if let Some(ack) = found.ack.clone() {
            let flow = found.flow;
            self.transmit(flow, ack, Kind::Other);
        }
    }

    fn deliver(&mut self, now: Now, id: Id, owner: Owner, message: &Message<'_>, head: &Head<'_>) {
        match owner {
            Owner::Invite(call) => {
                self.invite_response(now, call, id, message, head);
                // Only failures need the request again, for the ACK; 2xx leave a small transaction.
                if let Some(found) = self.clients.get_mut(id)
                    && matches!(found.machine, ClientMachine::Invite(m) if m.state() == InviteClientState::Accepted)
                {
                    found.request = Bytes::new();
                }
            }
            Owner::Bye(call) => self.bye_response(now, call, message),
            Owner::Register(trunk) => self.register_response(now, trunk, message),
            Owner::Probe(trunk) => self.probe_response(now, trunk, message),
            Owner::Refresh(call) => self.refresh_response(now, call, message, head),
            Owner::Nobody | Owner::ForkBye(_) | Owner::Prack(_) => {}
        }
    }

    fn client_failed(&mut self, now: Now, owner: Owner, cause: LocalCause) {
        match owner {
            Owner::Invite(call) => self.invite_failed(now, call, cause),
            Owner::Register(trunk) => self.register_failed(now, trunk, 408),
            Owner::Probe(trunk) => self.probe_lost(now, trunk),
            Owner::Refresh(call) => self.session_lost(now, call),
            Owner::Bye(_) | Owner::ForkBye(_) | Owner::Prack(_) | Owner::Nobody => {}
        }
    }

    fn end_client(&mut self, now: Now, id: Id) {
        let Some(found) = self.clients.remove(id) else {
            return;
        };
        if let Some(cancel) = found.cancel {
            // Nobody could match its response any more.
            self.abandon_client(now, cancel);
        }
        if let Some(call) = found.owner.call() {
            if let Some(call) = self.calls.get_mut(call.0) {
                call.open -= 1;
            }
            self.release(call);
        }
    }

    // ---- server side ----

    /// Names a server transaction (RFC 3261 section 17.2.3): a keyed 128-bit hash, so that nobody
    /// aims at collisions. ACK and CANCEL are looked up under their INVITE's name.
    pub(super) fn server_key(&self, head: &Head<'_>, method: &[u8]) -> u128 {
        let half = |key: u64| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(key);
            let mut put = |part: &[u8]| {
                hasher.write_usize(part.len());
                hasher.write(part);
            };
            let branch = head.via.branch();
            put(method);
            put(head.via.host);
            put(&head.via.port.unwrap_or(5060).to_be_bytes());
            put(branch);
            if branch.len() <= COOKIE.len() || !branch.starts_with(COOKIE) {
                // RFC 2543 peers: no unique branch.
                put(head.call_id);
                put(head.from.tag().unwrap_or_default());
                put(&head.cseq.number.to_be_bytes());
            }
            hasher.finish()
        };
        u128::from(half(self.hash_key[0])) << 64 | u128::from(half(self.hash_key[1]))
    }

    pub(super) fn server_by_key(&self, key: u128) -> Option<Id> {
        self.server_keys.get(&key).copied()
    }

    /// Starts a server transaction; `None` when there is no room.
    pub(super) fn start_server(
        &mut self,
        method: Method<'_>,
        key: u128,
        flow: Flow,
        reply_flow: Flow,
        head: Vec<u8>,
        call: Option<CallHandle>,
    ) -> Option<Id> {
        let machine = match method {
            Method::Invite => ServerMachine::Invite(InviteServer::start(flow.is_reliable())),
            _ => ServerMachine::Other(Server::start(flow.is_reliable())),
        };
        let id = self.servers.insert(ServerTransaction {
            machine,
            flow: reply_flow,
            key,
            head,
            response: Bytes::new(),
            call,
        })?;
        self.server_keys.insert(key, id);
        if let Some(call) = call.and_then(|call| self.calls.get_mut(call.0)) {
            call.open += 1;
        }
        Some(id)
    }

    /// Answers through the transaction.
    pub(super) fn respond(
        &mut self,
        now: Now,
        id: Id,
        status: u16,
        extra: &[u8],
        body: &[u8],
    ) -> Option<Bytes> {
        let found = self.servers.get_mut(id)?;
        let bytes = Bytes::from(crate::write::response(
            status,
            None,
            &found.head,
            extra,
            body,
        ));
        found.response = bytes.clone();
        let actions = match &mut found.machine {
            ServerMachine::Invite(machine) => machine.respond(Class::of(status)),
            ServerMachine::Other(machine) => machine.respond(Class::of(status)),
        };
        self.run_server(now, id, actions);
        Some(bytes)
    }

    /// A request came again.
    pub(super) fn repeated_request(&mut self, now: Now, id: Id) {
        self.counters.repeated += 1;
        let Some(found) = self.servers.get_mut(id) else {
            return;
        };
        let actions = match &mut found.machine {
            ServerMachine::Invite(machine) => machine.request(),
            ServerMachine::Other(machine) => machine.request(),
        };
        self.run_server(now, id, actions);
    }

    /// An ACK under an INVITE's branch; false when it is for a 2xx and concerns the call.
    pub(super) fn failure_acknowledged(&mut self, now: Now, id: Id) -> bool {
        let Some(ServerTransaction {
            machine: ServerMachine::Invite(machine),
            ..
        }) = self.servers.get_mut(id)
        else {
            return false;
        };
        if machine.state() == InviteServerState::Accepted {
            return false;
        }
        let actions = machine.ack();
        self.run_server(now, id, actions);
        true
    }

    pub(super) fn server_timer(&mut self, now: Now, id: Id, timer: Timer) {
        let Some(found) = self.servers.get_mut(id) else {
            return;
        };
        let actions = match &mut found.machine {
            ServerMachine::Invite(machine) => machine.timer(timer),
            ServerMachine::Other(machine) => machine.timer(timer),
        };
        self.run_server(now, id, actions);
    }

    fn run_server(&mut self, now: Now, id: Id, actions: Actions) {
        for action in actions.iter() {
            let Some(found) = self.servers.get(id) else {
                return;
            };
            match action {
                Action::Transmit if !found.response.is_empty() => {
                    let (flow, bytes) = (found.flow, found.response.clone());
                    self.transmit(flow, bytes, Kind::Other);
                }
                Action::Arm(timer, after) => self
                    .timers
                    .arm(TimerName::Server(timer, id.into()), now.monotonic + after),
                Action::Disarm(timer) => {
                    self.timers.disarm(&TimerName::Server(timer, id.into()));
                }
                Action::Terminate => self.end_server(id),
                // A refusal without ACK has ended its call already.
                Action::Transmit
                | Action::TimedOut
                | Action::TransportFailed
                | Action::Deliver
                | Action::Acknowledge => {}
            }
        }
    }

    fn end_server(&mut self, id: Id) {
        let Some(found) = self.servers.remove(id) else {
            return;
        };
        if self.server_keys.get(&found.key) == Some(&id) {
            self.server_keys.remove(&found.key);
        }
        if let Some(handle) = found.call {
            if let Some(call) = self.calls.get_mut(handle.0) {
                call.open -= 1;
            }
            self.release(handle);
        }
    }

    /// Everything waiting on a flow hears that it failed.
    pub(super) fn flow_failed(&mut self, now: Now, flow: Flow) {
        let clients: Vec<Id> = self.on_flow(flow);
        for id in clients {
            let Some(found) = self.clients.get_mut(id) else {
                continue;
            };
            let actions = match &mut found.machine {
                ClientMachine::Invite(machine) => machine.transport_failed(),
                ClientMachine::Other(machine) => machine.transport_failed(),
            };
            self.run_client(now, id, actions, None);
        }
    }

    /// A request of ours reached nobody. One that was sent before may have: an INVITE of which only a
    /// repetition is lost goes on as if nothing was known, and so does what is repeated anyway.
    pub(super) fn unsent(&mut self, now: Now, flow: Flow, bytes: &[u8], congested: bool) {
        let Some(id) = self.sent_as(flow, bytes) else {
            return;
        };
        let Some(found) = self.clients.get_mut(id) else {
            return;
        };
        let actions = match &mut found.machine {
            ClientMachine::Invite(machine) if found.sent == 1 => {
                found.unsent = Some(if congested {
                    LocalCause::Congested
                } else {
                    LocalCause::Unsent
                });
                machine.transport_failed()
            }
            ClientMachine::Other(machine) if flow.is_reliable() => machine.transport_failed(),
            ClientMachine::Invite(_) | ClientMachine::Other(_) => return,
        };
        self.run_client(now, id, actions, None);
    }

    /// The client transaction of a request of ours, from the request's own beginning: by the branch of
    /// its first Via, which nobody can guess, and its method.
    fn sent_as(&self, flow: Flow, bytes: &[u8]) -> Option<Id> {
        const VIA: &[u8] = b"\r\nVia: ";
        let method = &bytes[..memchr::memchr(b' ', bytes)?];
        let via = &bytes[memchr::memmem::find(bytes, VIA)? + VIA.len()..];
        let via = &via[..memchr::memchr(b'\r', via).unwrap_or(via.len())];
        let start = memchr::memmem::find(via, COOKIE)? + COOKIE.len();
        let id = Id::read(&via[start..])?;
        let found = self.clients.get(id)?;
        let token = via[start..].get(16..16 + found.token.len())?;
        let same = crate::digest::same(found.token.as_bytes(), token);
        let remote = found.flow.remote == flow.remote;
        (same && remote && method == found.method.as_bytes()).then_some(id)
    }

    fn on_flow(&self, flow: Flow) -> Vec<Id> {
        self.clients
            .iter()
            .filter(|(_, found)| found.flow == flow)
            .map(|(id, _)| id)
            .collect()
    }

    /// Sends a 2xx to an INVITE again and again until its ACK comes (RFC 3261 section 13.3.1.4).
    pub(super) fn await_ack(&mut self, now: Now, call: CallHandle, waiting: Unacknowledged) {
        let Some(found) = self.calls.get_mut(call.0) else {
            return;
        };
        let interval = waiting.interval;
        found.unacknowledged = Some(waiting);
        let at = now.monotonic;
        self.timers.arm(TimerName::Answer(call), at + interval);
        self.timers
            .arm(TimerName::Acknowledge(call), at + crate::transaction::T1_64);
    }

    /// For counters only.
    pub(super) fn count(&mut self, add: impl FnOnce(&mut Counters)) {
        add(&mut self.counters);
    }
}
