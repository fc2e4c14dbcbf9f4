//! What the switch says about an INVITE: ringing, early media, the answer, refusals, new offers.

use super::{
    Behaviour, Call, Event, Flow, LIFETIME, Message, Phase, Sdp, Switch, T1, Timer, answer_flow,
};
use crate::audio::{Law, Sound};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// What this network speaks; the caller's order decides.
const LAWS: [Law; 2] = [Law::A, Law::Mu];
/// Port named when the carrier runs without media.
const DISCARD_PORT: u16 = 9;

impl Switch {
    /// Answers a request outside any INVITE of ours.
    pub(super) fn reply(&mut self, flow: Flow, request: &Message, status: u16) {
        let tag = self
            .find(request)
            .map_or_else(|| "none".to_owned(), |call| call.local_tag.clone());
        let response = Message::response(request, status, &tag, flow.peer);
        self.out
            .push((answer_flow(flow, request), response.to_bytes()));
    }

    /// Sends a response to the call's INVITE and keeps it for retransmissions.
    pub(super) fn respond(&mut self, id: u64, status: u16, sdp: Option<String>) {
        let call = self.calls.get_mut(&id).expect("a call that lives");
        let mut response = Message::response(&call.invite, status, &call.local_tag, call.flow.peer);
        if status > 100 && status < 300 {
            let trunk = &self.config.trunks[call.trunk];
            let transport = match call.flow.connection {
                Some(_) => ";transport=tcp",
                None => "",
            };
            response.add(
                "Contact",
                format!("<sip:{}@{}{transport}>", call.number, trunk.listen),
            );
            response.add("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO");
        }
        let cause = cause_of(status, call.fate.behaviour);
        if let Some(cause) = cause {
            response.add("Reason", format!("Q.850;cause={cause}"));
        }
        // The network behind has no circuit to that number; otherwise it is this switch that is full.
        if status == 503 && cause.is_none() {
            response.add("Retry-After", "1");
        }
        let response = match sdp {
            Some(sdp) => response.with_sdp(&sdp),
            None => response,
        };
        call.response = response.to_bytes();
        self.out
            .push((answer_flow(call.flow, &call.invite), call.response.clone()));
    }

    /// The session description of a 183 or 200, opening RTP where the carrier has media.
    fn describe(&mut self, id: u64, program: Vec<(Sound, u32)>) -> Option<String> {
        let call = self.calls.get_mut(&id).expect("a call that lives");
        let ip = self.trunk_ip[call.trunk];
        if call.stream.is_none() && self.config.media {
            let peer = call.session.as_ref().map(|offer| (offer.audio, call.law));
            match self.rtp.open(ip, peer, program) {
                Ok(stream) => call.stream = Some(stream),
                Err(error) => {
                    // Out of ports or descriptors: the call goes on, deaf, and the log says so.
                    let entry = self.entry_of(self.calls.get(&id), self.calls[&id].flow, None);
                    self.log(
                        entry,
                        Event::Odd {
                            detail: format!("no RTP socket: {error}"),
                        },
                    );
                }
            }
        } else if let Some(stream) = &call.stream {
            stream.play(program);
        }
        let call = &self.calls[&id];
        Some(session_of(call, ip).to_text(id, 1))
    }

    pub(super) fn ring(&mut self, id: u64, early_media: bool) {
        let has_offer = self.calls[&id].session.is_some();
        let (status, sdp) = if early_media && has_offer {
            (183, self.describe(id, vec![(Sound::Ringback, 0)]))
        } else {
            (180, None)
        };
        let call = self.calls.get_mut(&id).expect("a call that lives");
        call.phase = Phase::Ringing;
        call.early_sdp = sdp.is_some();
        let entry = self.entry_of(self.calls.get(&id), self.calls[&id].flow, None);
        self.log(entry, Event::Ringing { status });
        self.respond(id, status, sdp);
    }

    pub(super) fn answer(&mut self, now: Instant, id: u64) {
        let program = self.calls[&id].fate.program.clone();
        let sdp = self.describe(id, program);
        let call = self.calls.get_mut(&id).expect("a call that lives");
        call.phase = Phase::Answered;
        call.answered = Some(now);
        call.interval = T1;
        call.status = 200;
        let behaviour = name_of(call.fate.behaviour);
        self.disarm(id, &[Timer::Progress, Timer::Outcome]);
        let entry = self.entry_of(self.calls.get(&id), self.calls[&id].flow, None);
        self.log(
            entry,
            Event::Final {
                status: 200,
                behaviour,
            },
        );
        self.count(|s| {
            s.answered += 1;
            *s.finals.entry(200).or_default() += 1;
        });
        self.respond(id, 200, sdp);
        // A 200 is repeated over TCP too (section 13.3.1.4).
        self.arm(id, Timer::Retransmit, now + T1);
        self.arm(id, Timer::GiveUp, now + LIFETIME);
    }

    pub(super) fn refuse(&mut self, now: Instant, id: u64, status: u16) {
        let call = self.calls.get_mut(&id).expect("a call that lives");
        call.phase = Phase::Refused;
        call.interval = T1;
        call.status = status;
        let behaviour = name_of(call.fate.behaviour);
        let stream_transport = call.flow.connection.is_some();
        self.disarm(id, &[Timer::Progress, Timer::Outcome]);
        let entry = self.entry_of(self.calls.get(&id), self.calls[&id].flow, None);
        self.log(entry, Event::Final { status, behaviour });
        self.count(|s| *s.finals.entry(status).or_default() += 1);
        self.respond(id, status, None);
        self.close(
            now,
            id,
            if status == 487 {
                "cancelled"
            } else {
                "refused"
            },
        );
        if !stream_transport {
            self.arm(id, Timer::Retransmit, now + T1);
        }
        self.arm(id, Timer::GiveUp, now + LIFETIME);
    }

    /// INVITE within a call: hold, resume, session refresh.
    pub(super) fn on_reinvite(&mut self, flow: Flow, message: &Message, id: u64) {
        let call = &self.calls[&id];
        let cseq = message.cseq().0;
        let before = call
            .reinvite
            .as_ref()
            .filter(|(n, _)| *n == cseq)
            .map(|(_, r)| r.clone());
        let phase = call.phase;
        let entry = self.entry_of(Some(call), flow, None);
        self.log(
            entry,
            Event::Reinvite {
                retransmission: before.is_some(),
            },
        );
        let target = answer_flow(flow, message);
        if let Some(response) = before {
            self.out.push((target, response));
            return;
        }
        match phase {
            Phase::Talking => {}
            Phase::Over | Phase::Leaving => return self.reply(flow, message, 481),
            _ => return self.reply(flow, message, 491),
        }
        self.take_offer(id, message);
        let ip = self.trunk_ip[self.calls[&id].trunk];
        let call = self.calls.get_mut(&id).expect("found above");
        let response = Message::response(message, 200, &call.local_tag, flow.peer)
            .with(
                "Contact",
                format!(
                    "<sip:{}@{}>",
                    call.number, self.config.trunks[call.trunk].listen
                ),
            )
            .with_sdp(&session_of(call, ip).to_text(id, u64::from(cseq)))
            .to_bytes();
        call.reinvite = Some((cseq, response.clone()));
        self.out.push((target, response));
    }

    pub(super) fn on_update(&mut self, flow: Flow, message: &Message) {
        let Some(id) = self.find_id(message) else {
            return self.reply(flow, message, 481);
        };
        if message.sdp().is_none() {
            return self.reply(flow, message, 200);
        }
        self.take_offer(id, message);
        let call = &self.calls[&id];
        let sdp =
            session_of(call, self.trunk_ip[call.trunk]).to_text(id, u64::from(message.cseq().0));
        let response = Message::response(message, 200, &call.local_tag, flow.peer).with_sdp(&sdp);
        self.out
            .push((answer_flow(flow, message), response.to_bytes()));
    }

    fn take_offer(&mut self, id: u64, message: &Message) {
        let call = self.calls.get_mut(&id).expect("found by the caller");
        if let Some(offer) = message.sdp() {
            call.law = offer.laws.first().copied().unwrap_or(call.law);
            if let Some(stream) = &call.stream {
                stream.set_peer(offer.audio, call.law);
            }
            call.session = Some(offer);
        }
    }
}

/// Our side of the session: the answer to the caller's offer, or an offer where it made none.
fn session_of(call: &Call, ip: std::net::IpAddr) -> Sdp {
    let silent = call.stream.is_none();
    let audio = call
        .stream
        .as_ref()
        .map_or(SocketAddr::new(ip, DISCARD_PORT), |s| s.local());
    let mut session = call
        .session
        .as_ref()
        .and_then(|offer| offer.answer(audio, &LAWS))
        .unwrap_or_else(|| Sdp {
            audio,
            laws: LAWS.to_vec(),
            events: Some(101),
            direction: "sendrecv".into(),
        });
    if silent {
        session.direction = "inactive".into();
    }
    session
}

/// The Q.850 cause a real switch names beside a status (RFC 3398 the other way round).
fn cause_of(status: u16, behaviour: Behaviour) -> Option<u8> {
    match (status, behaviour) {
        (404, _) => Some(1),
        (486, _) => Some(17),
        (480, Behaviour::PoweredOff) => Some(20),
        (603, _) => Some(21),
        (503, Behaviour::Failure) => Some(34),
        _ => None,
    }
}

fn name_of(behaviour: Behaviour) -> String {
    match behaviour {
        Behaviour::Status(status) => format!("status_{status}"),
        other => serde_json::to_value(other)
            .ok()
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default(),
    }
}

/// How long a challenge's nonce is good for.
pub(super) const NONCE_LIFE: Duration = Duration::from_secs(300);
