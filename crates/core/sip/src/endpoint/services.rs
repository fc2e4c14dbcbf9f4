//! Beside calls: phones that register with us, our registrations, and keep-alive.

use super::{Endpoint, Rejected, SipEvent, TimerName, caller::retry_after, transactions::Owner};
use crate::{
    digest::Subject,
    flow::Flow,
    keepalive::{Health, Watch},
    lexer::{Message, Name, read_number},
    message::{Head, NameAddr, Uri, param, split_list},
    registrar::{Change, Outcome},
    registration::{Carrier, Event, Registration, RegistrationState},
    write::{Request, put},
};
use domain::{
    Now, Secret, TrunkId,
    limits::{NODE_AGENTS, TRUNKS},
};
use std::{io::Write, time::Duration};

/// How long after its end a stream to a trunk is opened again, with up to as much again by draw: a
/// carrier that closes at once is not besieged.
const REOPEN: Duration = Duration::from_millis(500);

impl Endpoint {
    // ---- phones ----

    /// Lets a user register with this password, or changes it.
    pub fn set_user(&mut self, user: &str, password: Secret) -> Result<(), Rejected> {
        let registrar = self.registrar.as_mut().ok_or(Rejected::NoRegistrar)?;
        if registrar.set_user(user, password) {
            return Ok(());
        }
        Err(Rejected::TooMany {
            what: "registrar users",
            limit: NODE_AGENTS,
        })
    }

    /// Takes a user out; its phone is gone at once.
    pub fn remove_user(&mut self, user: &str) {
        let gone = self.registrar.as_mut().is_some_and(|r| r.remove_user(user));
        if gone {
            let user = user.to_owned();
            self.event(SipEvent::Unregistered { user });
            self.arm_bindings();
        }
    }

    /// Takes back where a phone was before a restart, for `left` of its registration. False when
    /// the user is unknown or has registered since, or the flow was a connection, which is gone.
    pub fn restore_binding(
        &mut self,
        now: Now,
        user: &str,
        flow: Flow,
        contact: &[u8],
        left: Duration,
    ) -> bool {
        let restored = !flow.is_reliable()
            && (self.registrar.as_mut())
                .is_some_and(|r| r.restore(user, flow, contact, left, now.monotonic));
        if restored {
            self.arm_bindings();
        }
        restored
    }

    pub(super) fn registered(
        &mut self,
        flow: Flow,
        user: String,
        outcome: Outcome,
        message: &Message<'_>,
        head: &Head<'_>,
    ) {
        match outcome {
            Outcome::Refused { status, lines } => {
                self.answer_stateless(flow, message, head, status, &lines);
            }
            Outcome::Ok { lines, change } => {
                self.answer_stateless(flow, message, head, 200, &lines);
                match change {
                    Change::None => {}
                    Change::Bound(expires) => self.event(SipEvent::Registered {
                        user,
                        flow,
                        expires,
                    }),
                    Change::Unbound => self.event(SipEvent::Unregistered { user }),
                }
                self.arm_bindings();
            }
        }
    }

    pub(super) fn arm_bindings(&mut self) {
        match self.registrar.as_ref().and_then(|r| r.next_expiry()) {
            Some(at) => self.timers.arm(TimerName::Bindings, at),
            None => {
                self.timers.disarm(&TimerName::Bindings);
            }
        }
    }

    pub(super) fn expire_bindings(&mut self, now: Now) {
        if let Some(registrar) = &mut self.registrar {
            for user in registrar.expire(now.monotonic) {
                self.event(SipEvent::Unregistered { user });
            }
        }
        self.arm_bindings();
    }

    // ---- our registrations ----

    /// Registers with a carrier and keeps it so. Replaces an earlier registration of that id.
    pub fn register(
        &mut self,
        now: Now,
        id: TrunkId,
        registration: Registration,
    ) -> Result<(), Rejected> {
        let domain = format!("sip:{}", registration.domain);
        if !Uri::read(domain.as_bytes()).is_some_and(|uri| uri.user.is_empty()) {
            return Err(Rejected::BadUri { field: "domain" });
        }
        if self.carriers.len() >= TRUNKS && !self.carriers.contains_key(&id) {
            let (what, limit) = ("registrations", TRUNKS);
            return Err(Rejected::TooMany { what, limit });
        }
        let carrier = Carrier::new(registration, &mut self.tokens);
        self.carriers.insert(id, carrier);
        // A thousand trunks configured at once do not register at once.
        let jitter = Duration::from_millis(u64::from(self.jitter.below(500)));
        let at = now.monotonic + jitter;
        self.timers.arm(TimerName::Register(id), at);
        Ok(())
    }

    /// Ends a registration: REGISTER with Expires 0. `CarrierRegistration` tells when it is over.
    pub fn unregister(&mut self, now: Now, id: TrunkId) {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return;
        };
        if carrier.step(Event::Unregister) {
            carrier.challenges = 0;
            self.timers.disarm(&TimerName::Register(id));
            self.send_register(now, id);
        }
    }

    /// The registration's timer: a first, repeated or refreshing REGISTER.
    pub(super) fn register_again(&mut self, now: Now, id: TrunkId) {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return;
        };
        match carrier.state {
            RegistrationState::Registered => carrier.step(Event::Refresh),
            RegistrationState::Failed => carrier.step(Event::Retry),
            _ => false,
        };
        carrier.challenges = 0;
        self.send_register(now, id);
    }

    fn send_register(&mut self, now: Now, id: TrunkId) {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return;
        };
        carrier.cseq += 1;
        let Registration {
            flow,
            domain,
            user,
            credentials,
            expires,
        } = carrier.registration.clone();
        let (cseq, call_id) = (carrier.cseq, carrier.call_id.clone());
        let leaving = carrier.state == RegistrationState::Unregistering;
        let to = format!("<sip:{user}@{domain}>");
        let from = format!("{to};tag={}", carrier.tag);
        let uri = format!("sip:{domain}");
        let started = self.start_client(
            now,
            "REGISTER",
            flow,
            Owner::Register(id),
            |this, branch| {
                let mut out = Request {
                    method: "REGISTER",
                    uri: uri.as_bytes(),
                    transport: flow.transport,
                    sent_by: &this.sent_by(flow),
                    branch,
                    routes: &[],
                    from: from.as_bytes(),
                    to: to.as_bytes(),
                    call_id: call_id.as_bytes(),
                    cseq,
                }
                .begin(640);
                let contact = this.contact_line(&user, flow);
                out.extend_from_slice(&contact);
                let seconds = if leaving { 0 } else { expires.as_secs() };
                put!(out, "Expires: {seconds}\r\n");
                out.extend_from_slice(&this.user_agent_line());
                if let Some(credentials) = &credentials {
                    let subject = Subject {
                        method: b"REGISTER",
                        uri: uri.as_bytes(),
                        body: b"",
                    };
                    this.put_authorization(&mut out, flow, credentials, subject);
                }
                put!(out, "Content-Length: 0\r\n\r\n");
                out
            },
        );
        if started.is_none() {
            self.register_failed(now, id, 503);
        }
    }

    pub(super) fn register_response(&mut self, now: Now, id: TrunkId, message: &Message<'_>) {
        let (Some(status), Some(carrier)) = (message.status(), self.carriers.get_mut(&id)) else {
            return;
        };
        let before = carrier.registration.clone();
        match status {
            ..200 => {}
            200..300 => {
                let leaving = carrier.state == RegistrationState::Unregistering;
                if !carrier.step(Event::Accepted) {
                    return;
                }
                if !leaving {
                    let granted = granted(message, &before).max(Duration::from_secs(10));
                    let after = carrier.refresh_after(granted, &mut self.jitter);
                    self.timers
                        .arm(TimerName::Register(id), now.monotonic + after);
                }
                self.carrier_event(id, status);
            }
            401 | 407 if carrier.challenges < 2 => {
                carrier.challenges += 1;
                let again = carrier.challenges == 2;
                let Some(credentials) = before.credentials else {
                    return self.register_refused(now, id, status, message);
                };
                match self.learn_challenge(before.flow, &credentials, message) {
                    // Right credentials are refused a second time only for an old nonce, or
                    // because the first answer used one remembered from before.
                    Some(challenge) if !again || challenge.stale => self.send_register(now, id),
                    Some(challenge) => {
                        self.forget_challenge(before.flow, &credentials, challenge.proxy);
                        self.register_refused(now, id, status, message);
                    }
                    None => self.register_refused(now, id, status, message),
                }
            }
            423 if carrier.challenges < 4 => {
                let least = message.value(Name::MinExpires).and_then(read_number);
                match least {
                    Some(seconds) if u64::from(seconds) > before.expires.as_secs() => {
                        carrier.challenges += 4;
                        carrier.registration.expires = Duration::from_secs(u64::from(seconds));
                        self.send_register(now, id);
                    }
                    _ => self.register_refused(now, id, status, message),
                }
            }
            _ => self.register_refused(now, id, status, message),
        }
    }

    fn register_refused(&mut self, now: Now, id: TrunkId, status: u16, message: &Message<'_>) {
        self.register_pause(now, id, status, retry_after(message));
    }

    pub(super) fn register_failed(&mut self, now: Now, id: TrunkId, status: u16) {
        self.register_pause(now, id, status, None);
    }

    fn register_pause(&mut self, now: Now, id: TrunkId, status: u16, retry: Option<Duration>) {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return;
        };
        if !carrier.step(Event::Refused) {
            return;
        }
        if carrier.state == RegistrationState::Failed {
            let pause = carrier.back_off(retry, &mut self.jitter);
            self.timers
                .arm(TimerName::Register(id), now.monotonic + pause);
        }
        self.carrier_event(id, status);
    }

    fn carrier_event(&mut self, id: TrunkId, status: u16) {
        let Some(state) = self.carriers.get(&id).map(|c| c.state) else {
            return;
        };
        if state == RegistrationState::Unregistered {
            self.carriers.remove(&id);
        }
        self.event(SipEvent::CarrierRegistration { id, state, status });
    }

    // ---- keep-alive ----

    /// A stream to trunks closed: who is asked or registered over it is so again in a moment, which opens
    /// it before an INVITE has to (RFC 5626 section 4.5).
    pub(super) fn open_again(&mut self, now: Now, flow: Flow) {
        let asked = self.watches.iter().filter(|(_, watch)| watch.flow == flow);
        let asked = asked.filter(|(_, watch)| watch.probe.is_none());
        let registered = self.carriers.iter().filter(|(_, carrier)| {
            carrier.registration.flow == flow && carrier.state == RegistrationState::Registered
        });
        let timers: Vec<TimerName> = (asked.map(|(id, _)| TimerName::Probe(*id)))
            .chain(registered.map(|(id, _)| TimerName::Register(*id)))
            .collect();
        for timer in timers {
            let jitter = Duration::from_millis(u64::from(self.jitter.below(500)));
            (self.timers).arm(timer, now.monotonic + REOPEN + jitter);
        }
    }

    /// Asks a trunk with OPTIONS whether it lives, every `interval` or so; zero stops asking.
    pub fn watch(
        &mut self,
        now: Now,
        id: TrunkId,
        flow: Flow,
        interval: Duration,
    ) -> Result<(), Rejected> {
        if self.watches.len() >= TRUNKS && !self.watches.contains_key(&id) {
            let (what, limit) = ("watched trunks", TRUNKS);
            return Err(Rejected::TooMany { what, limit });
        }
        self.timers.disarm(&TimerName::ProbeLost(id));
        if let Some(probe) = self.watches.remove(&id).and_then(|old| old.probe) {
            self.abandon_client(now, probe);
        }
        if interval.is_zero() {
            self.timers.disarm(&TimerName::Probe(id));
            return Ok(());
        }
        let watch = Watch::new(flow, interval.max(Duration::from_millis(100)));
        self.watches.insert(id, watch);
        let first = Duration::from_millis(u64::from(self.jitter.below(200)));
        self.timers.arm(TimerName::Probe(id), now.monotonic + first);
        Ok(())
    }

    /// What is known about a watched trunk.
    pub fn health(&self, id: TrunkId) -> Option<Health> {
        self.watches.get(&id).map(|watch| watch.health)
    }

    pub(super) fn probe(&mut self, now: Now, id: TrunkId) {
        let Some((flow, patience)) = self.watches.get(&id).map(|w| (w.flow, w.patience())) else {
            return;
        };
        let sent_by = self.sent_by(flow);
        let (tag, call_id) = (self.tokens.token(12), self.tokens.token(24));
        let host = flow.remote.to_string();
        let probe = self.start_client(now, "OPTIONS", flow, Owner::Probe(id), |this, branch| {
            let uri = format!("sip:{host}");
            let mut out = Request {
                method: "OPTIONS",
                uri: uri.as_bytes(),
                transport: flow.transport,
                sent_by: &sent_by,
                branch,
                routes: &[],
                from: format!("<sip:ping@{sent_by}>;tag={tag}").as_bytes(),
                to: format!("<{uri}>").as_bytes(),
                call_id: call_id.as_bytes(),
                cseq: 1,
            }
            .begin(480);
            let contact = this.contact_line("ping", flow);
            out.extend_from_slice(&contact);
            out.extend_from_slice(&this.user_agent_line());
            put!(out, "Accept: application/sdp\r\nContent-Length: 0\r\n\r\n");
            out
        });
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.probe = probe;
        }
        self.timers
            .arm(TimerName::ProbeLost(id), now.monotonic + patience);
    }

    pub(super) fn probe_response(&mut self, now: Now, id: TrunkId, message: &Message<'_>) {
        if message.status().is_some_and(|status| status >= 200) {
            self.timers.disarm(&TimerName::ProbeLost(id));
            self.probed(now, id, true);
        }
    }

    pub(super) fn probe_lost(&mut self, now: Now, id: TrunkId) {
        self.timers.disarm(&TimerName::ProbeLost(id));
        if let Some(probe) = self.watches.get_mut(&id).and_then(|w| w.probe.take()) {
            self.abandon_client(now, probe);
            self.probed(now, id, false);
        }
    }

    fn probed(&mut self, now: Now, id: TrunkId, answered: bool) {
        let Some(watch) = self.watches.get_mut(&id) else {
            return;
        };
        watch.probe = None;
        let changed = watch.heard(answered);
        let after = watch.next_after(&mut self.jitter);
        let up = watch.health == Health::Up;
        self.timers.arm(TimerName::Probe(id), now.monotonic + after);
        if changed {
            self.event(SipEvent::TrunkHealth { id, up });
        }
    }
}

/// For how long a 200 grants: our Contact's parameter, else Expires, else what was asked.
fn granted(message: &Message<'_>, asked: &Registration) -> Duration {
    let ours = message
        .values(Name::Contact)
        .flat_map(split_list)
        .filter_map(NameAddr::read)
        .filter(|contact| {
            Uri::read(contact.uri).is_some_and(|uri| uri.user == asked.user.as_bytes())
        })
        .find_map(|contact| read_number(param(contact.params, b"expires")?));
    let seconds = ours.or_else(|| message.value(Name::Expires).and_then(read_number));
    seconds.map_or(asked.expires, |s| Duration::from_secs(u64::from(s)))
}
