//! The user agent: composes transactions, dialogs, registrar, registrations and keep-alive into one
//! machine. A node has two: one towards trunks, one towards agents' phones.
//!
//! **One input, then drain [`Endpoint::poll_output`] until `None`, then look at the timeout.**

mod callee;
mod caller;
mod early;
mod in_dialog;
mod receive;
mod services;
mod sessions;
mod transactions;
mod types;

#[cfg(test)]
mod tests;

pub use types::{
    Address, CallSummary, CancelCause, Counters, EndCause, EndpointConfig, Input, Invite, Kind,
    LocalCause, Output, Rejected, SipEvent, TimerName,
};

use crate::{
    call::{Call, CallEvent, CallHandle, CallState},
    digest::{Authorizer, Credentials, Subject},
    flow::Flow,
    gate::Gate,
    keepalive::Watch,
    registrar::{Binding, Registrar},
    registration::Carrier,
    slots::{Id, Slots},
    write::put,
};
use bytes::Bytes;
use domain::{Instant, Now, SipTransport, TrunkId};
use sansio::{Seed, Stream, Timers};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Write,
    net::{IpAddr, SocketAddr},
};
use transactions::{ClientTransaction, ServerTransaction};

/// Challenges remembered, one a trunk's user.
const AUTHORIZERS: usize = 1024;

/// The user agent.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    /// Tags, Call-IDs, branches.
    tokens: Stream,
    /// Jitter of refreshes and probes.
    jitter: Stream,
    /// Keys the table of server transactions and the tags of stateless answers.
    hash_key: [u64; 2],
    peers: BTreeSet<IpAddr>,
    gate: Gate,
    calls: Slots<Call>,
    live_calls: usize,
    clients: Slots<ClientTransaction>,
    servers: Slots<ServerTransaction>,
    server_keys: BTreeMap<u128, Id>,
    timers: Timers<TimerName>,
    outputs: VecDeque<Output>,
    authorizers: BTreeMap<(SocketAddr, String, bool), Authorizer>,
    registrar: Option<Registrar>,
    carriers: BTreeMap<TrunkId, Carrier>,
    watches: BTreeMap<TrunkId, Watch>,
    counters: Counters,
}

impl Endpoint {
    /// A user agent that knows nobody yet.
    pub fn new(config: EndpointConfig, seed: Seed) -> Self {
        let mut keys = seed.stream("sip-keys");
        let calls = config.max_calls;
        Self {
            tokens: seed.stream("sip-tokens"),
            jitter: seed.stream("sip-jitter"),
            hash_key: [keys.next_u64(), keys.next_u64()],
            peers: BTreeSet::new(),
            gate: Gate::new(keys.next_u64()),
            // An ended call lingers 32 s, and so does each of its transactions.
            calls: Slots::new(calls.saturating_mul(8).saturating_add(64)),
            live_calls: 0,
            clients: Slots::new(calls.saturating_mul(16).saturating_add(2_048)),
            servers: Slots::new(calls.saturating_mul(16).saturating_add(1_024)),
            server_keys: BTreeMap::new(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            authorizers: BTreeMap::new(),
            registrar: config
                .registrar
                .clone()
                .map(|registrar| Registrar::new(registrar, seed.stream("sip-registrar"))),
            carriers: BTreeMap::new(),
            watches: BTreeMap::new(),
            counters: Counters::default(),
            config,
        }
    }

    /// Who may talk to us. Everybody else gets neither answer nor state, except that phones may
    /// register where there is a registrar.
    pub fn set_peers(&mut self, peers: impl IntoIterator<Item = IpAddr>) {
        self.peers = peers.into_iter().collect();
    }

    /// Takes one input from the network.
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Rejected> {
        match input {
            Input::Received { flow, bytes } => self.receive(now, flow, bytes),
            Input::FlowClosed { flow } => self.flow_closed(now, flow),
            Input::SendFailed { flow } => self.flow_failed(now, flow),
            Input::Unsent {
                flow,
                bytes,
                congested,
            } => self.unsent(now, flow, bytes, congested),
        }
        Ok(())
    }

    /// Fires every timer whose time has come.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(name) = self.timers.pop_due(now.monotonic) {
            match name {
                TimerName::Client(timer, id) => self.client_timer(now, Id::from(id), timer),
                TimerName::Server(timer, id) => self.server_timer(now, Id::from(id), timer),
                TimerName::Deadline(call) => self.deadline(now, call),
                TimerName::Answer(call) => self.repeat_answer(now, call),
                TimerName::Acknowledge(call) => self.never_acknowledged(now, call),
                TimerName::Session(call) => self.session_due(now, call),
                TimerName::Bindings => self.expire_bindings(now),
                TimerName::Register(trunk) => self.register_again(now, trunk),
                TimerName::Probe(trunk) => self.probe(now, trunk),
                TimerName::ProbeLost(trunk) => self.probe_lost(now, trunk),
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Endpoint::handle_timeout`], and why.
    pub fn poll_timeout(&mut self) -> Option<(Instant, TimerName)> {
        self.timers.next()
    }

    /// What has been seen and refused so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Calls whose final event is not out yet.
    pub fn live_calls(&self) -> usize {
        self.live_calls
    }

    /// What is held: calls (lingering ones too), client and server transactions, timers.
    pub fn held(&self) -> [usize; 4] {
        [
            self.calls.len(),
            self.clients.len(),
            self.servers.len(),
            self.timers.len(),
        ]
    }

    /// A call's Call-ID, state and flow, while it lingers.
    pub fn call(&self, call: CallHandle) -> Option<CallSummary<'_>> {
        let found = self.calls.get(call.0)?;
        Some(CallSummary {
            call_id: std::str::from_utf8(&found.call_id).unwrap_or("(not text)"),
            state: found.state,
            flow: found.flow,
        })
    }

    /// A call's Call-ID, while it lingers.
    pub fn call_id(&self, call: CallHandle) -> Option<&str> {
        self.call(call).map(|call| call.call_id)
    }

    /// Where a user's phone is registered.
    pub fn binding(&self, user: &str) -> Option<&Binding> {
        self.registrar.as_ref()?.binding(user)
    }

    fn live_call(&mut self, call: CallHandle) -> Result<&mut Call, Rejected> {
        self.calls
            .get_mut(call.0)
            .filter(|c| c.state != CallState::Ended)
            .ok_or(Rejected::NoSuchCall)
    }

    fn event(&mut self, event: SipEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    fn transmit(&mut self, flow: Flow, bytes: Bytes, kind: Kind) {
        self.outputs
            .push_back(Output::Transmit { flow, bytes, kind });
    }

    /// Ends a call: its one final event, if the table lets it end.
    fn finish(&mut self, call: CallHandle, how: CallEvent, event: SipEvent) -> bool {
        let Some(found) = self.calls.get_mut(call.0) else {
            return false;
        };
        if found.state == CallState::Ended || !found.step(how) {
            return false;
        }
        assert!(
            found.state == CallState::Ended,
            "a final event ends the call"
        );
        found.shrink();
        self.live_calls -= 1;
        self.timers.disarm(&TimerName::Deadline(call));
        self.timers.disarm(&TimerName::Session(call));
        self.event(event);
        self.release(call);
        true
    }

    /// Forgets an ended call that nothing refers to any more.
    fn release(&mut self, call: CallHandle) {
        let done = self.calls.get(call.0).is_some_and(|c| {
            c.state == CallState::Ended && c.open == 0 && c.unacknowledged.is_none()
        });
        if done {
            self.calls.remove(call.0);
        }
    }

    /// How others reach the address a flow came in by.
    fn sent_by(&self, flow: Flow) -> String {
        let advertised = self
            .config
            .advertised
            .iter()
            .find(|(l, _)| *l == flow.local);
        advertised
            .map_or(flow.local, |(_, public)| *public)
            .to_string()
    }

    /// Our Contact line.
    fn contact_line(&self, user: &str, flow: Flow) -> Vec<u8> {
        let mut line = Vec::with_capacity(64);
        line.extend_from_slice(b"Contact: <sip:");
        if !user.is_empty() {
            crate::write::put_value(&mut line, user.as_bytes());
            line.push(b'@');
        }
        line.extend_from_slice(self.sent_by(flow).as_bytes());
        match flow.transport {
            SipTransport::Udp => {}
            SipTransport::Tcp => line.extend_from_slice(b";transport=tcp"),
            SipTransport::Tls => line.extend_from_slice(b";transport=tls"),
        }
        line.extend_from_slice(b">\r\n");
        line
    }

    fn user_agent_line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(48);
        crate::write::put_header(&mut line, "User-Agent", self.config.user_agent.as_bytes());
        line
    }

    /// Appends what earlier challenges of that peer ask for, counting their nonces on.
    fn put_authorization(
        &mut self,
        out: &mut Vec<u8>,
        flow: Flow,
        credentials: &Credentials,
        subject: Subject<'_>,
    ) {
        for proxy in [false, true] {
            let key = (flow.remote, credentials.username.clone(), proxy);
            if let Some(authorizer) = self.authorizers.get_mut(&key) {
                authorizer.put(out, credentials, subject);
            }
        }
    }

    /// Remembers the challenge of a 401 or 407. `None` when it cannot be answered.
    fn learn_challenge(
        &mut self,
        flow: Flow,
        credentials: &Credentials,
        message: &crate::lexer::Message<'_>,
    ) -> Option<crate::digest::Challenge> {
        let challenge = crate::digest::Challenge::strongest(message)?;
        let key = (flow.remote, credentials.username.clone(), challenge.proxy);
        if self.authorizers.len() >= AUTHORIZERS && !self.authorizers.contains_key(&key) {
            self.authorizers.pop_first();
        }
        let cnonce = self.tokens.token(16);
        let authorizer = Authorizer::new(challenge.clone(), cnonce);
        self.authorizers.insert(key, authorizer);
        Some(challenge)
    }

    /// A tag that names the call: found again without hashing, and not to be guessed.
    fn tag_for(&mut self, call: Id) -> String {
        let mut tag = String::with_capacity(28);
        call.append_to(&mut tag);
        self.tokens.append_token(&mut tag, 12);
        tag
    }

    /// The call that a tag of ours names.
    fn call_by_tag(&self, tag: &[u8], call_id: &[u8]) -> Option<CallHandle> {
        let id = Id::read(tag)?;
        let call = self.calls.get(id)?;
        (call.local_tag.as_bytes() == tag && call.call_id == call_id).then_some(CallHandle(id))
    }

    fn reason_line(cause: Option<u16>) -> Vec<u8> {
        let mut line = Vec::new();
        if let Some(cause) = cause {
            put!(line, "Reason: Q.850;cause={cause}\r\n");
        }
        line
    }
}
