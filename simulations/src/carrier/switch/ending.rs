//! How calls end: CANCEL, BYE from either side, silence; and the last line of each in the log.

use super::{
    Behaviour, Event, Flow, LIFETIME, Message, Phase, Switch, T1, Timer, address_of, answer_flow,
    key_of, uri_of,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

impl Switch {
    pub(super) fn give_up(&mut self, now: Instant, id: u64) {
        match self.calls[&id].phase {
            // RFC 3261 section 13.3.1.4: no ACK for 64 T1 ends the dialog with a BYE.
            Phase::Answered => self.hang_up(now, id, "no_ack"),
            _ => self.rest(now, id),
        }
    }

    pub(super) fn on_cancel(&mut self, now: Instant, flow: Flow, message: &Message) {
        let id = self
            .find_id(message)
            .filter(|id| self.calls[id].invite.branch() == message.branch());
        let Some(id) = id else {
            let entry = self.entry_of(None, flow, Some((message, self.trunk_of(flow, message))));
            self.log(
                entry,
                Event::Cancel {
                    late: false,
                    unknown: true,
                },
            );
            self.reply(flow, message, 481);
            return;
        };
        let call = &self.calls[&id];
        let ringing = matches!(call.phase, Phase::Routing | Phase::Ringing);
        let crossing = ringing && call.fate.behaviour == Behaviour::AnswersAtCancel;
        let entry = self.entry_of(Some(call), flow, None);
        self.log(
            entry,
            Event::Cancel {
                late: !ringing || crossing,
                unknown: false,
            },
        );
        self.count(|s| s.cancels += 1);
        if crossing {
            self.answer(now, id);
        }
        let tag = self.calls[&id].local_tag.clone();
        let answer = Message::response(message, 200, &tag, flow.peer);
        self.out
            .push((answer_flow(flow, message), answer.to_bytes()));
        if ringing && !crossing {
            self.refuse(now, id, 487);
        }
    }

    pub(super) fn on_bye(&mut self, now: Instant, flow: Flow, message: &Message) {
        let Some(id) = self.find_id(message) else {
            let entry = self.entry_of(None, flow, Some((message, self.trunk_of(flow, message))));
            self.log(
                entry,
                Event::Bye {
                    by: "caller".into(),
                    unknown: true,
                },
            );
            self.reply(flow, message, 481);
            return;
        };
        let call = &self.calls[&id];
        let (phase, closed) = (call.phase, call.closed);
        if !closed {
            let entry = self.entry_of(Some(call), flow, None);
            self.log(
                entry,
                Event::Bye {
                    by: "caller".into(),
                    unknown: false,
                },
            );
            self.count(|s| s.byes_in += 1);
        }
        self.reply(flow, message, 200);
        match phase {
            Phase::Answered | Phase::Talking => {
                self.close(now, id, "caller");
                self.rest(now, id);
            }
            Phase::Routing | Phase::Ringing => self.refuse(now, id, 487),
            Phase::Refused | Phase::Leaving | Phase::Over => {}
        }
    }

    pub(super) fn on_response(&mut self, now: Instant, message: &Message) {
        // In our own requests we are From and they are To.
        let key = key_of(message.call_id(), message.to_tag());
        let Some(id) = self.by_key.get(&key).copied() else {
            return;
        };
        let is_final = message.status().is_some_and(|s| s >= 200);
        if is_final && message.cseq().1 == "BYE" && self.calls[&id].phase == Phase::Leaving {
            self.rest(now, id);
        }
    }

    /// Nothing more to do but to recognise late retransmissions.
    pub(super) fn rest(&mut self, now: Instant, id: u64) {
        self.disarm(
            id,
            &[
                Timer::Progress,
                Timer::Outcome,
                Timer::Retransmit,
                Timer::GiveUp,
                Timer::HangUp,
                Timer::Silence,
            ],
        );
        self.calls.get_mut(&id).expect("a call that lives").phase = Phase::Over;
        self.arm(id, Timer::Forget, now + LIFETIME);
    }

    /// The called side, or the network for it, hangs up: BYE.
    pub(super) fn hang_up(&mut self, now: Instant, id: u64, how: &str) {
        self.close(now, id, how);
        let branch = self.random.token(16);
        let call = self.calls.get_mut(&id).expect("a call that lives");
        let target = call.invite.header("Contact").map_or("", uri_of).to_owned();
        let target = if target.is_empty() {
            uri_of(call.invite.header("From").unwrap_or_default()).to_owned()
        } else {
            target
        };
        let local = call.invite.header("To").unwrap_or_default();
        let transport = if call.flow.connection.is_some() {
            "TCP"
        } else {
            "UDP"
        };
        let ip = self.trunk_ip[call.trunk];
        let mut bye = Message::request("BYE", &target)
            .with(
                "Via",
                format!(
                    "SIP/2.0/{transport} {ip}:{};branch=z9hG4bK{branch}",
                    self.config.trunks[call.trunk].listen.port()
                ),
            )
            .with("Max-Forwards", "70");
        for route in call.invite.all("Record-Route") {
            bye.add("Route", route);
        }
        let bye = bye
            .with("From", format!("{local};tag={}", call.local_tag))
            .with("To", call.invite.header("From").unwrap_or_default())
            .with("Call-ID", call.invite.call_id())
            .with("CSeq", "1 BYE");
        let mut flow = call.flow;
        if flow.connection.is_none() {
            let hop = call
                .invite
                .header("Record-Route")
                .map_or(target.as_str(), uri_of);
            flow.peer = address_of(hop).unwrap_or(flow.peer);
        }
        let bytes = bye.to_bytes();
        call.bye = Some((flow, bytes.clone()));
        call.phase = Phase::Leaving;
        call.interval = T1;
        self.disarm(id, &[Timer::HangUp, Timer::Silence]);
        let entry = self.entry_of(self.calls.get(&id), flow, None);
        self.log(
            entry,
            Event::Bye {
                by: how.into(),
                unknown: false,
            },
        );
        self.count(|s| s.byes_out += 1);
        self.out.push((flow, bytes));
        self.arm(id, Timer::Retransmit, now + T1);
        self.arm(id, Timer::GiveUp, now + LIFETIME);
    }

    /// Ends the record of a call; its audio is measured and the line written.
    pub(super) fn close(&mut self, now: Instant, id: u64, how: &str) {
        let call = self.calls.get_mut(&id).expect("a call that lives");
        if std::mem::replace(&mut call.closed, true) {
            return;
        }
        let stream = call.stream.take();
        let talk_ms = call
            .answered
            .map_or(0, |at| now.duration_since(at).as_millis() as u64);
        let (status, tone, trunk, flow) = (call.status, call.fate.tone, call.trunk, call.flow);
        let (answered, how) = (call.answered.is_some(), how.to_owned());
        self.live[trunk] -= 1;
        let mut entry = self.entry_of(self.calls.get(&id), flow, None);
        self.count(|s| {
            s.live -= 1;
            s.closed += 1;
        });
        let closed = move |audio| Event::Closed {
            how,
            status,
            talk_ms,
            audio,
            tone,
        };
        let Some(stream) = stream else {
            self.log(entry, closed(None));
            return;
        };
        let (witness, stats) = (self.witness.clone(), Arc::clone(&self.stats));
        let reporting = Arc::clone(&self.reporting);
        reporting.fetch_add(1, Ordering::SeqCst);
        stream.close(move |report| {
            if answered && !report.heard.is_empty() {
                stats.lock().unwrap_or_else(|p| p.into_inner()).heard_caller += 1;
            }
            entry.event = closed(Some(report));
            witness.write(entry);
            reporting.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Ends every call's record; the process is about to leave.
    pub(in crate::carrier) fn stop(&mut self, now: Instant) {
        let mut live: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, c)| !c.closed)
            .map(|(id, _)| *id)
            .collect();
        live.sort_unstable();
        for id in live {
            self.close(now, id, "carrier_stopped");
        }
    }
}
