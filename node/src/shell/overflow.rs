//! What the engine's thread has to do with other nodes' persons and agents.

use super::Running;
use crate::{
    event::Event,
    overflow::{Errand, OverflowEvent},
};
use domain::Now;
use engine::{Input, Output};

impl Running {
    pub(super) fn overflow_event(&mut self, now: Now, event: OverflowEvent) {
        match event {
            OverflowEvent::FreeAgents { peers, reply } => {
                // Nobody waits any more: fine.
                drop(reply.send(self.shell.engine.free_agents(&peers)));
            }
            OverflowEvent::Neighbour {
                member,
                round_trip,
                free,
            } => {
                let told = Input::Neighbour {
                    member,
                    round_trip,
                    free,
                };
                self.input(now, told);
            }
            OverflowEvent::Offered { from, offer, reply } => {
                let answer = self.shell.engine.offered(now, from, *offer);
                self.drain();
                // A node that does not wait any more lets the agent go, or the agent's time is over.
                let _gone = reply.send(answer).is_err();
            }
            OverflowEvent::OfferAnswered {
                from,
                attempt,
                call,
                answer,
            } => {
                let answered = Input::OfferAnswered {
                    from,
                    attempt,
                    call,
                    answer,
                };
                self.input(now, answered);
            }
            OverflowEvent::CarriedSaid { from, said, reply } => {
                self.requests += 1;
                let request = self.requests;
                self.words.insert(request, reply);
                self.input(
                    now,
                    Input::CarriedSaid {
                        from,
                        said,
                        request,
                    },
                );
            }
            OverflowEvent::WordTold {
                to,
                said,
                token,
                taken,
            } => {
                let told = Input::WordTold {
                    to,
                    said,
                    token,
                    taken,
                };
                self.input(now, told);
            }
        }
    }

    pub(super) fn overflow_output(&mut self, output: Output) {
        match output {
            Output::Carry(command) => {
                if let Err(error) = self.shell.relay.send_carry(command) {
                    tracing::error!(%error, ?command, "the relay did not take a command");
                    metrics::counter!("dialmesh_relay_commands_lost_total").increment(1);
                }
            }
            Output::Offer {
                to,
                attempt,
                offer,
                deadline,
            } => self.errand(Errand::Offer {
                to,
                attempt,
                offer,
                deadline,
            }),
            Output::Say { to, said, token } => self.errand(Errand::Say { to, said, token }),
            Output::WordTaken { request, taken } => {
                if let Some(reply) = self.words.remove(&request) {
                    // Nobody waits any more: fine.
                    let _gone = reply.send(taken).is_err();
                }
            }
            _ => {}
        }
    }

    /// What finds no room comes back as if the other node had not answered.
    fn errand(&self, errand: Errand) {
        let Err(back) = self.shell.errands.try_send(errand) else {
            return;
        };
        metrics::counter!("dialmesh_engine_wishes_lost_total").increment(1);
        let event = match back.into_inner() {
            Errand::Offer {
                to, attempt, offer, ..
            } => OverflowEvent::OfferAnswered {
                from: to,
                attempt,
                call: offer.call,
                answer: None,
            },
            Errand::Say { to, said, token } => OverflowEvent::WordTold {
                to,
                said,
                token,
                taken: false,
            },
        };
        self.shell.events.offer(Event::Overflow(event));
    }
}
