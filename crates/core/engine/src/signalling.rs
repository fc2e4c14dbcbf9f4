//! Between the call center's legs and SIP and RTP: every SIP word of the engine stands here.

use crate::{
    Engine, Observed, Output, Side,
    call_backs::Came,
    legs::{Leg, Line, Owner, Progress},
    targets::Blame,
};
use bytes::Bytes;
use call::{Callee, Failure, LegCommand, LegEvent, LocalCause};
use domain::{
    AgentId, AttemptId, CallerId, Campaign, IdentityHeader, LegId, Now, NumberShape, PhoneNumber,
    Redirects, SipTransport, SrtpPolicy, Trunk, TrunkAddress, TrunkManner,
};
use media::{MediaCommand, MediaEvent, Port};
use sip::{
    CallHandle, Flow, Invite, RegistrationState, SipEvent,
    digest::Credentials,
    sdp::{Direction, LocalMedia},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Payload type of telephone-event in our offers (RFC 4733).
const TELEPHONE_EVENT: u8 = 101;
/// A leg that sends neither RTP nor RTCP for so long while it should is lost.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// A call that its trunk wants signed cannot be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsigned;

impl Engine {
    /// Does what the call center wishes of a leg.
    pub(crate) fn leg_command(&mut self, now: Now, command: LegCommand) {
        match command {
            LegCommand::Dial {
                leg,
                to: Callee::Person { attempt, number },
            } => {
                self.dial_person(now, leg, attempt, number);
            }
            LegCommand::Dial {
                leg,
                to: Callee::Agent(agent),
            } => self.dial_agent(now, leg, agent),
            LegCommand::Cancel { leg } => self.cancel_leg(now, leg),
            LegCommand::HangUp { leg } => self.hang_up(now, leg),
            LegCommand::Bridge { a, b } => {
                self.media(MediaCommand::Bridge { a, b });
                self.begin_recording(now, a, b);
            }
            LegCommand::PauseRecording { leg, paused } if self.pause_elsewhere(leg, paused) => {}
            LegCommand::PauseRecording { leg, paused } => {
                self.media(MediaCommand::PauseRecording { leg, paused });
            }
            LegCommand::Unbridge { a, b } => {
                if self.legs.is_open(a) && self.legs.is_open(b) {
                    self.media(MediaCommand::Unbridge { a, b });
                }
            }
            LegCommand::Play { leg, prompt } => self.play(now, leg, prompt),
            LegCommand::Hold { leg } => self.hold(leg),
            LegCommand::Resume { leg } => self.media(MediaCommand::Resume { leg }),
            LegCommand::SendKey { leg, key } => self.media(MediaCommand::SendKey { leg, key }),
            LegCommand::StopPlay { leg } => self.media(MediaCommand::StopPlay { leg }),
        }
    }

    /// Our side of a leg's session.
    pub(crate) fn local_media(&mut self, port: u16, codecs: Vec<domain::Codec>) -> LocalMedia {
        self.sdp_sessions += 1;
        LocalMedia {
            session_id: self.sdp_sessions,
            version: 1,
            address: SocketAddr::new(self.config.media_address, port),
            codecs,
            dtmf_payload: TELEPHONE_EVENT,
            direction: Direction::SendRecv,
            crypto: None,
        }
    }

    /// The INVITE for a person, as the trunk wants it.
    pub(crate) fn person_invite(
        &self,
        (trunk, flow): (&Trunk, Flow),
        caller: &CallerId,
        number: PhoneNumber,
        local: &LocalMedia,
        campaign: &Campaign,
        grant: &permit::Grant,
    ) -> Invite {
        let manner = self.facts.manner(trunk.id);
        let domain = if trunk.domain.is_empty() {
            &trunk.address
        } else {
            &trunk.domain
        };
        let shape = |given: &Option<NumberShape>| {
            given.clone().unwrap_or_else(|| trunk.number_format.into())
        };
        let called = user_of(&shape(&manner.called), number);
        let shown = user_of(&shape(&manner.shown), caller.number);
        let phone = if manner.user_phone { ";user=phone" } else { "" };
        let called = format!("sip:{called}@{domain}{phone}");
        let from = format!("sip:{shown}@{domain}{phone}");
        let asserted = manner.identity == IdentityHeader::Asserted;
        Invite {
            flow,
            request_uri: called.clone(),
            from: sip::Address::new(from.clone()),
            to: sip::Address::new(called),
            contact_user: shown,
            p_asserted_identity: asserted.then(|| from.clone()),
            headers: trunk_headers(&manner, &from, grant),
            body: Bytes::from(local.offer()),
            credentials: credentials(trunk),
            // The call center cancels at the ring limit; this is the net below it.
            expires: Some(campaign.ring_limit + Duration::from_secs(10)),
            valid_until: Some(grant.valid_until),
            session_expires: manner.session_expires,
            reliable: manner.reliable,
            follow_redirect: manner.redirects == Redirects::Follow,
        }
    }

    /// The Identity header of a call, where its trunk wants one.
    ///
    /// # Errors
    /// It wants one, and the call cannot be signed.
    pub(crate) fn vouch(
        &self,
        now: Now,
        trunk: domain::TrunkId,
        caller: &CallerId,
        number: PhoneNumber,
    ) -> Result<Option<(String, String)>, Unsigned> {
        let Some(attestation) = self.facts.manner(trunk).security.attestation else {
            return Ok(None);
        };
        let voucher = self.config.voucher.as_ref().ok_or(Unsigned)?;
        let value = voucher.identity(now.wall, attestation, caller.number, number);
        Ok(Some(("Identity".to_owned(), value.ok_or(Unsigned)?)))
    }

    /// The way to an address of a trunk; none where it wants TLS that this node lacks.
    pub(crate) fn trunk_flow(&self, trunk: &Trunk, remote: SocketAddr) -> Option<Flow> {
        let local = match trunk.transport {
            SipTransport::Udp | SipTransport::Tcp => self.config.trunk_address,
            SipTransport::Tls => self.config.trunk_tls?.0,
        };
        Some(Flow {
            transport: trunk.transport,
            local,
            remote,
        })
    }

    /// OPTIONS and REGISTER as the trunk wants them.
    pub(crate) fn signal_trunk(&mut self, now: Now, trunk: &Trunk) {
        let first = (self.ways.get(&trunk.id)).and_then(|way| way.targets.first(now.monotonic));
        let flow = first.and_then(|first| self.trunk_flow(trunk, first));
        if let Some(way) = self.ways.get_mut(&trunk.id) {
            let named = matches!(trunk.address.parse(), Ok(TrunkAddress::Named { .. }));
            way.health.unresolved = named && first.is_none();
            way.health.unusable = flow.is_none() && !way.health.unresolved;
            way.targets.watched = first;
        }
        let Some(flow) = flow else {
            return;
        };
        let interval = if trunk.enabled {
            trunk.options_interval
        } else {
            Duration::ZERO
        };
        let watched = self.trunk_ua.watch(now, trunk.id, flow, interval).is_ok();
        let registered = if trunk.enabled && trunk.register {
            self.trunk_ua
                .register(now, trunk.id, registration(trunk, flow))
                .is_ok()
        } else {
            self.trunk_ua.unregister(now, trunk.id);
            true
        };
        let must_be_secured = self.config.srtp.of(trunk) == SrtpPolicy::Required;
        let secured = !must_be_secured || trunk.transport == SipTransport::Tls;
        let wants_signature = (self.facts.manner(trunk.id).security.attestation).is_some();
        let signed = !wants_signature || self.config.voucher.is_some();
        if let Some(way) = self.ways.get_mut(&trunk.id) {
            // A trunk that cannot be watched, registered, signed for or secured as asked takes no call.
            way.health.unusable = !(watched && registered && signed && secured);
            way.health.no_options &= !interval.is_zero();
            way.health.unregistered &= trunk.register;
        }
        self.drain_ua(now, Side::Trunks);
    }

    /// No more OPTIONS and REGISTER for a trunk that is gone.
    pub(crate) fn forget_trunk(&mut self, now: Now, trunk: domain::TrunkId, flow: Option<Flow>) {
        if let Some(flow) = flow {
            let _full = self
                .trunk_ua
                .watch(now, trunk, flow, Duration::ZERO)
                .is_err();
        }
        self.trunk_ua.unregister(now, trunk);
        self.drain_ua(now, Side::Trunks);
    }

    /// Carriers that may talk to us.
    pub(crate) fn signal_peers(&mut self) {
        let sources = self.trunk_sources();
        self.trunk_ua.set_peers(sources);
        self.candidates_stale = true;
    }

    /// Addresses of carriers: nobody else is heard on the trunks' side.
    pub fn trunk_sources(&self) -> BTreeSet<IpAddr> {
        (self.ways.values())
            .flat_map(|way| way.targets.sources())
            .collect()
    }

    /// Begins the shift's leg: the agent's browser when its audio is offered, else the registered phone.
    fn dial_agent(&mut self, now: Now, leg: LegId, agent: AgentId) {
        let lost = LegEvent::Failed(Failure {
            local: Some(LocalCause::Unreachable),
            ..Failure::default()
        });
        let Some(account) = self.facts.agents.get(&agent) else {
            return self.tell_leg(now, leg, lost);
        };
        let login = account.login.clone();
        if self.has_browser(agent) {
            return self.dial_browser(now, leg, agent);
        }
        let Some((flow, contact)) = (self.agent_ua.binding(&login))
            .map(|b| (b.flow, String::from_utf8_lossy(&b.contact).into_owned()))
        else {
            return self.tell_leg(now, leg, lost);
        };
        let Ok(crypto) = self.session_keys(self.config.srtp.phones, flow.transport) else {
            self.observe(Observed::PhoneUnsecured { agent });
            return self.tell_leg(now, leg, lost);
        };
        let Some(port) = self.ports.take(now.monotonic) else {
            return self.tell_leg(now, leg, lost);
        };
        let codecs = vec![domain::Codec::Pcma, domain::Codec::Pcmu];
        let local = LocalMedia {
            crypto,
            ..self.local_media(port.number(), codecs)
        };
        let host = self.config.agent_address;
        let invite = Invite {
            flow,
            request_uri: contact,
            from: sip::Address {
                display: "dialmesh".to_owned(),
                uri: format!("sip:shift@{host}"),
            },
            to: sip::Address::new(format!("sip:{login}@{host}")),
            contact_user: "shift".to_owned(),
            p_asserted_identity: None,
            headers: Vec::new(),
            body: Bytes::from(local.offer()),
            credentials: None,
            expires: None,
            valid_until: None,
            session_expires: None,
            reliable: false,
            follow_redirect: false,
        };
        match self.agent_ua.invite(now, invite) {
            Ok(call) => {
                self.open_leg(leg, port, &local);
                self.legs.insert(
                    leg,
                    Leg {
                        owner: Owner::Agent(agent),
                        line: Line::Sip { call, local },
                        listened: false,
                        heard: true,
                        answered: false,
                        ended: false,
                        closing: false,
                        message: None,
                        progress: Progress::default(),
                    },
                );
                self.drain_ua(now, Side::Agents);
            }
            Err(_) => {
                self.ports.give_back(now.monotonic, port);
                self.tell_leg(now, leg, lost);
            }
        }
    }

    pub(crate) fn open_leg(&mut self, leg: LegId, port: Port, local: &LocalMedia) {
        let telephone_event = Some(local.dtmf_payload);
        self.media(MediaCommand::Open {
            leg,
            port,
            telephone_event,
        });
    }

    fn cancel_leg(&mut self, now: Now, leg: LegId) {
        let Some(found) = self.legs.get(leg).filter(|l| !l.ended) else {
            return;
        };
        let Some((side, call)) = side_and_call(found) else {
            // The call center let go of it already.
            return self.hang_up(now, leg);
        };
        // Refused means that its final event is out already: the call center hears it from there.
        let _gone = self.ua(side).cancel(now, call, None).is_err();
        self.drain_ua(now, side);
    }

    fn hang_up(&mut self, now: Now, leg: LegId) {
        let Some(found) = self.legs.get_mut(leg) else {
            return;
        };
        found.heard = false;
        let (ended, owner, call) = (found.ended, found.owner, side_and_call(found));
        let carried = matches!(found.line, Line::Carried(..));
        match (call, owner) {
            _ if ended => {}
            _ if carried => self.hang_up_carried(leg),
            (Some((side, call)), _) => {
                let _gone = self.ua(side).bye(now, call, Some(16)).is_err();
                self.drain_ua(now, side);
            }
            (None, Owner::Agent(agent)) => self.end_browser_leg(agent, leg),
            (None, Owner::Person { .. } | Owner::Visitor(_)) => {}
        }
        self.close_leg(leg);
    }

    /// No INVITE datagram of the attempt leaves any more.
    pub(crate) fn stop_retransmissions(&mut self, attempt: AttemptId) {
        if let Some(leg) = self.legs.of_attempt(attempt)
            && let Some(call) = (self.legs.get(leg).filter(|l| !l.ended)).and_then(Leg::call)
        {
            let _gone = self.trunk_ua.stop_retransmissions(call).is_err();
        }
    }

    /// Tells the relay, once, that a leg is over.
    pub(crate) fn close_leg(&mut self, leg: LegId) {
        if let Some(found) = self.legs.get_mut(leg)
            && !found.closing
        {
            found.closing = true;
            self.media(MediaCommand::Close { leg });
        }
    }

    /// Tells the call center of a leg, unless it has let go of it.
    pub(crate) fn tell_leg(&mut self, now: Now, leg: LegId, event: LegEvent) {
        if self.legs.get(leg).is_none_or(|l| l.heard) {
            self.tell_calls(now, call::Input::Leg { leg, event });
        }
    }

    /// Everything a user agent has to say.
    pub(crate) fn drain_ua(&mut self, now: Now, side: Side) {
        while let Some(output) = self.ua(side).poll_output() {
            match output {
                sip::Output::Transmit { flow, bytes, kind } => {
                    let invite = self.invite_of(now, side, kind);
                    self.output(Output::Transmit {
                        side,
                        flow,
                        bytes,
                        invite,
                    });
                }
                sip::Output::Event(event) => self.sip_event(now, side, event),
            }
        }
    }

    /// The attempt whose first INVITE a datagram is; notes when the last one left.
    fn invite_of(&mut self, now: Now, side: Side, kind: sip::Kind) -> Option<AttemptId> {
        let sip::Kind::Invite {
            call,
            retransmission,
        } = kind
        else {
            return None;
        };
        if side == Side::Agents {
            return None;
        }
        let owner = self
            .legs
            .of_call(side, call)
            .and_then(|leg| self.legs.get(leg))
            .map(|l| l.owner);
        let Some(Owner::Person { attempt, .. }) = owner else {
            return None;
        };
        self.last_invite.insert(attempt, now.wall);
        (!retransmission).then_some(attempt)
    }

    fn sip_event(&mut self, now: Now, side: Side, event: SipEvent) {
        match event {
            SipEvent::Provisional {
                call, status, body, ..
            } => {
                let Some(leg) = self.legs.of_call(side, call) else {
                    return;
                };
                self.word_of_trunk(now, leg, status != 100);
                let word = match (status, body.is_empty()) {
                    (100, _) => return,
                    (_, false) => LegEvent::EarlyMedia,
                    _ => LegEvent::Ringing,
                };
                self.hear_early_media(leg, &body);
                self.tell_leg(now, leg, word);
            }
            SipEvent::Answered { call, body } => self.answered(now, side, call, &body),
            SipEvent::Failed {
                call,
                status,
                q850,
                local,
                retry_after,
                ..
            } => {
                let refused = local.is_none() && matches!(status, 401 | 407);
                let failure = Failure {
                    status: if local.is_some() { 0 } else { status },
                    q850: q850.unwrap_or(0),
                    local: match local {
                        None if refused => Some(LocalCause::CredentialsRefused),
                        local => local.map(local_cause),
                    },
                };
                let Some(leg) = self.legs.of_call(side, call) else {
                    return self.caller_left(side, call);
                };
                if self.trunk_failed(now, leg, failure, local, retry_after) {
                    return;
                }
                self.leg_ended(now, side, call, LegEvent::Failed(failure));
            }
            SipEvent::Cancelled { call, .. } => {
                self.caller_left(side, call);
                if let Some(leg) = self.legs.of_call(side, call) {
                    self.trunk_undecided(now, leg);
                }
                let failure = Failure {
                    status: 487,
                    ..Failure::default()
                };
                self.leg_ended(now, side, call, LegEvent::Failed(failure));
            }
            SipEvent::Ended { call, cause, .. } => {
                self.caller_left(side, call);
                let by_peer = cause == sip::EndCause::Peer;
                self.leg_ended(now, side, call, LegEvent::HungUp { by_peer });
            }
            SipEvent::Incoming {
                call,
                flow,
                from,
                asserted,
                private,
                to,
                request_uri,
                body,
                ..
            } if side == Side::Trunks => self.call_came(
                now,
                Came {
                    call,
                    flow,
                    from,
                    asserted,
                    private,
                    to,
                    request_uri,
                    body,
                },
            ),
            SipEvent::Incoming { call, .. } => {
                // Agents' phones call nobody: told at once, not left ringing.
                let _gone = self.ua(side).reject(now, call, 480).is_err();
            }
            SipEvent::ReOffer {
                call,
                offer,
                answer,
            } => self.re_offer(side, call, &offer, &answer),
            SipEvent::Digit { call, digit } => {
                if let Some(leg) = self.legs.of_call(side, call) {
                    self.tell_leg(now, leg, LegEvent::Digit(digit));
                }
            }
            SipEvent::TrunkHealth { id, up } => self.options_told(now, id, up),
            SipEvent::CarrierRegistration { id, state, .. } => {
                if let Some(way) = self.ways.get_mut(&id) {
                    match state {
                        RegistrationState::Failed => way.health.unregistered = true,
                        RegistrationState::Registered | RegistrationState::Unregistered => {
                            way.health.unregistered = false;
                        }
                        _ => {}
                    }
                    self.tell_health(now, id);
                }
            }
            SipEvent::Registered {
                user,
                flow,
                expires,
            } => self.phone_registered(now, user, flow, expires),
            SipEvent::Unregistered { user } => self.output(Output::Phone {
                login: user,
                phone: None,
            }),
            SipEvent::Acknowledged { call, body } if side == Side::Trunks && !body.is_empty() => {
                self.offer_acknowledged(now, call, &body);
            }
            SipEvent::Acknowledged { .. } => {}
        }
    }

    /// A trunk answers OPTIONS, or does not any more. Where its name leads to another address as well,
    /// only this one rests.
    fn options_told(&mut self, now: Now, id: domain::TrunkId, up: bool) {
        let Some(way) = self.ways.get_mut(&id) else {
            return;
        };
        let watched = way.targets.watched;
        if up {
            way.health.heard(now.monotonic);
            if let Some(address) = watched {
                way.targets.worked(address);
            }
        }
        let failed = |address| way.targets.failed(now.monotonic, address, true);
        match watched.filter(|_| !up).map(failed) {
            Some(Blame::Target) => {}
            Some(Blame::Trunk) | None => way.health.no_options = !up,
        }
        self.watch_first(now, id);
        self.tell_health(now, id);
    }

    /// Lets the relay take early media of a leg that is listened to. Nothing is sent there.
    fn hear_early_media(&mut self, leg: LegId, body: &[u8]) {
        let Some(found) = self.legs.get(leg).filter(|l| l.listened && !l.answered) else {
            return;
        };
        // What cannot be read is the answer's to refuse.
        if !body.is_empty()
            && let Some(Ok(mut agreed)) = found.local().map(|local| local.read_answer(body))
        {
            agreed.direction = Direction::Inactive;
            self.set_remote(leg, &agreed, false);
        }
    }

    fn answered(&mut self, now: Now, side: Side, call: CallHandle, body: &[u8]) {
        let Some(leg) = self.legs.of_call(side, call) else {
            return;
        };
        let found = self
            .legs
            .get_mut(leg)
            .expect("legs and their calls go together");
        found.answered = true;
        let symmetric = matches!(found.owner, Owner::Agent(_));
        let listened = found.listened;
        let Some(agreed) = found.local().map(|local| local.read_answer(body)) else {
            return;
        };
        self.trunk_answered(now, leg);
        match agreed {
            Ok(agreed) => {
                self.set_remote(leg, &agreed, symmetric);
                if listened {
                    let answered = true;
                    self.media(MediaCommand::Listen { leg, answered });
                }
                self.tell_leg(now, leg, LegEvent::Answered);
            }
            Err(_) => {
                let _gone = self.ua(side).bye(now, call, Some(65)).is_err();
                let failure = Failure {
                    local: Some(LocalCause::MediaRefused),
                    ..Failure::default()
                };
                self.tell_leg(now, leg, LegEvent::Failed(failure));
                if let Some(found) = self.legs.get_mut(leg) {
                    found.heard = false;
                }
            }
        }
    }

    /// The peer changed the session within the call: hold, another address.
    fn re_offer(&mut self, side: Side, call: CallHandle, offer: &[u8], answer: &[u8]) {
        let Some(leg) = self.legs.of_call(side, call) else {
            return;
        };
        let Ok(ours) = LocalMedia::from_ours(answer) else {
            return;
        };
        if let Ok((_, agreed)) = ours.answer(offer) {
            self.set_remote(leg, &agreed, side == Side::Agents);
        }
    }

    fn leg_ended(&mut self, now: Now, side: Side, call: CallHandle, event: LegEvent) {
        let Some(leg) = self.legs.of_call(side, call) else {
            return;
        };
        self.legs.end(leg);
        // The call center first, which may part a bridge; then the relay closes the leg.
        self.tell_leg(now, leg, event);
        self.close_leg(leg);
    }

    /// The relay said something.
    pub(crate) fn media_event(&mut self, now: Now, event: MediaEvent) {
        match event {
            MediaEvent::Digit { leg, digit } => self.tell_leg(now, leg, LegEvent::Digit(digit)),
            MediaEvent::Played {
                leg,
                finished: true,
                ..
            } => {
                self.tell_leg(now, leg, LegEvent::Played);
            }
            MediaEvent::Unbridged { a, stats, .. } => {
                if let Some(Owner::Person { attempt, .. }) = self.legs.get(a).map(|l| l.owner) {
                    self.bridge_figures.insert(attempt, stats.b);
                }
            }
            MediaEvent::Heard { leg, heard } => self.heard(now, leg, heard),
            MediaEvent::Silent { leg, span } if span >= SILENCE_LIMIT => self.lost_media(now, leg),
            MediaEvent::Closed {
                leg, port, stats, ..
            } => {
                self.ports.give_back(now.monotonic, port);
                self.secured.remove(&leg);
                let owner = self.legs.get(leg).map(|l| l.owner);
                let waited = match owner {
                    Some(Owner::Person { attempt, .. }) => {
                        let waited = self.endings.contains_key(&attempt);
                        self.figures(leg, attempt, stats);
                        waited
                    }
                    _ => true,
                };
                self.legs.remove(leg, stats, !waited);
            }
            MediaEvent::FirstPacket { .. }
            | MediaEvent::Played { .. }
            | MediaEvent::Silent { .. }
            | MediaEvent::Snapshot { .. }
            | MediaEvent::Rejected { .. } => {}
        }
    }

    /// A leg went silent for too long: its peer is gone without a word.
    fn lost_media(&mut self, now: Now, leg: LegId) {
        let Some(found) = self.legs.get(leg).filter(|l| l.answered && !l.ended) else {
            return;
        };
        if let Line::Carried(..) = found.line {
            return self.carried_silent(now, leg);
        }
        match (side_and_call(found), found.owner) {
            (Some((side, call)), _) => {
                let _gone = self.ua(side).bye(now, call, Some(31)).is_err();
                self.drain_ua(now, side);
            }
            (None, Owner::Agent(agent)) => self.audio_stayed_away(now, agent),
            (None, Owner::Person { .. } | Owner::Visitor(_)) => {}
        }
    }

    pub(crate) fn media(&mut self, command: MediaCommand) {
        self.output(Output::Media(command));
    }

    fn ua(&mut self, side: Side) -> &mut sip::Endpoint {
        match side {
            Side::Trunks => &mut self.trunk_ua,
            Side::Agents => &mut self.agent_ua,
        }
    }
}

/// A leg's SIP call, when that is what it is held by.
fn side_and_call(leg: &Leg) -> Option<(Side, CallHandle)> {
    let side = match leg.owner {
        Owner::Person { .. } => Side::Trunks,
        Owner::Agent(_) | Owner::Visitor(_) => Side::Agents,
    };
    Some((side, leg.call()?))
}

/// A number as the user part of a URI, in full: it goes to the carrier. `#` has no place there as it is
/// (RFC 3261 section 25.1).
fn user_of(shape: &NumberShape, number: PhoneNumber) -> String {
    shape.write(number).replace('#', "%23")
}

/// What a trunk wants to be told beside the INVITE's own headers.
fn trunk_headers(
    manner: &TrunkManner,
    shown: &str,
    grant: &permit::Grant,
) -> Vec<(String, String)> {
    // For the carrier's records, and for a border controller that refuses older sessions.
    let mut headers = vec![
        ("X-Dialmesh-Attempt".to_owned(), grant.attempt.to_string()),
        ("X-Dialmesh-Session".to_owned(), grant.session.to_string()),
    ];
    if manner.identity == IdentityHeader::Preferred {
        headers.push(("P-Preferred-Identity".to_owned(), format!("<{shown}>")));
    }
    if let Some(privacy) = manner.privacy {
        headers.push(("Privacy".to_owned(), privacy.token().to_owned()));
    }
    headers
}

pub(crate) fn credentials(trunk: &Trunk) -> Option<Credentials> {
    trunk.auth.as_ref().map(|auth| Credentials {
        username: auth.username.clone(),
        password: auth.password.clone(),
    })
}

fn registration(trunk: &Trunk, flow: Flow) -> sip::Registration {
    let user = trunk
        .auth
        .as_ref()
        .map_or_else(|| trunk.name.clone(), |auth| auth.username.clone());
    sip::Registration {
        flow,
        domain: if trunk.domain.is_empty() {
            trunk.address.clone()
        } else {
            trunk.domain.clone()
        },
        user,
        credentials: credentials(trunk),
        expires: Duration::from_secs(300),
    }
}

fn local_cause(cause: sip::LocalCause) -> LocalCause {
    match cause {
        sip::LocalCause::Timeout => LocalCause::TimedOut,
        sip::LocalCause::Transport
        | sip::LocalCause::Unsent
        | sip::LocalCause::Congested
        | sip::LocalCause::Expired
        | sip::LocalCause::Overload => LocalCause::Unreachable,
    }
}
