//! Calls whose other side is at another node: who may be asked, what is said, and the audio between.

use crate::{
    config::OverflowConfig,
    event::{Event, Events},
};
use bytes::Bytes;
use call::PersistToken;
use domain::{
    AttemptId, CarriedCall, CarriedSaid, CarriedWord, FreeAgents, MemberId, MemberRole,
    OverflowAnswer, OverflowOffer, limits,
};
use media_io::CarriedGate;
use member::{CARRIED_WORD, FREE_AGENTS, Member, NOT_FOR_YOU, OVERFLOW_OFFER, decode, encode};
use mesh::{Priority, ServiceError};
use service::spawn::Tasks;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Errands that may wait for the async side.
pub(crate) const ERRANDS: usize = 4_096;
/// How often neighbours are told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a word may take.
const WORD: Duration = Duration::from_secs(2);
/// How long a disposition may take: the other node writes it durably.
const DISPOSITION: Duration = Duration::from_secs(5);
/// Error code of a node that is stopping.
const STOPPING: u16 = 6;

/// What the engine wants of another node.
#[derive(Debug)]
pub(crate) enum Errand {
    /// To ask it for an agent.
    Offer {
        to: MemberId,
        attempt: AttemptId,
        offer: Box<OverflowOffer>,
        deadline: Duration,
    },
    /// To say something of a call.
    Say {
        to: MemberId,
        said: CarriedSaid,
        token: Option<PersistToken>,
    },
}

/// What reaches the engine's thread of it.
#[derive(Debug)]
pub(crate) enum OverflowEvent {
    /// What is to be told to these other nodes.
    FreeAgents {
        peers: Vec<MemberId>,
        reply: oneshot::Sender<Vec<FreeAgents>>,
    },
    /// Another node told who is free there.
    Neighbour {
        member: MemberId,
        round_trip: Duration,
        free: FreeAgents,
    },
    /// Another node asks for an agent.
    Offered {
        from: MemberId,
        offer: Box<OverflowOffer>,
        reply: oneshot::Sender<OverflowAnswer>,
    },
    /// Another node answered an offer, or did not.
    OfferAnswered {
        from: MemberId,
        attempt: AttemptId,
        call: CarriedCall,
        answer: Option<OverflowAnswer>,
    },
    /// Another node said something of a carried call.
    CarriedSaid {
        from: MemberId,
        said: CarriedSaid,
        reply: oneshot::Sender<bool>,
    },
    /// Whether a word of a carried call was taken.
    WordTold {
        to: MemberId,
        said: CarriedSaid,
        token: Option<PersistToken>,
        taken: bool,
    },
}

/// Overflow of this node.
#[derive(Clone, Debug)]
pub(crate) struct Overflow {
    pub(crate) member: Member,
    pub(crate) events: Events,
    pub(crate) config: OverflowConfig,
}

impl Overflow {
    /// Runs the engine's errands, and where it is switched on answers other nodes, tells them of free
    /// agents and carries audio.
    pub(crate) fn start(self, tasks: &Tasks, errands: mpsc::Receiver<Errand>, gate: CarriedGate) {
        if self.config.enabled {
            self.carry(tasks, gate);
            self.serve();
            tasks.spawn("free_agents", self.clone().tell());
        }
        let running = tasks.clone();
        tasks.spawn("overflow", self.run(running, errands));
    }

    /// Audio: from the relay to the mesh and back.
    fn carry(&self, tasks: &Tasks, gate: CarriedGate) {
        let (packets, mut queue) = mpsc::channel::<(MemberId, Bytes)>(limits::CARRIED_PACKETS);
        gate.send_by(Box::new(move |to, packet| {
            packets
                .try_send((to, Bytes::copy_from_slice(packet)))
                .is_ok()
        }));
        let endpoint = self.member.endpoint().clone();
        endpoint.take_datagrams(move |from, datagram| gate.offer(from, datagram));
        tasks.spawn("carried_audio", async move {
            while let Some((to, packet)) = queue.recv().await {
                // Counted there; late speech is of no use.
                let _lost = endpoint.send_datagram(to, packet).is_err();
            }
        });
    }

    fn serve(&self) {
        let endpoint = self.member.endpoint();
        let here = self.clone();
        endpoint.serve(OVERFLOW_OFFER, move |from, request: Bytes| {
            let here = here.clone();
            async move {
                here.admit(from)?;
                let offer: OverflowOffer = decode(&request)?;
                let offer = Box::new(offer);
                let (reply, answer) = oneshot::channel();
                let event = OverflowEvent::Offered { from, offer, reply };
                here.events.put(Event::Overflow(event)).await;
                let answer: OverflowAnswer = answer.await.map_err(|_| stopping())?;
                Ok(encode(&answer))
            }
        });
        let here = self.clone();
        endpoint.serve(CARRIED_WORD, move |from, request: Bytes| {
            let here = here.clone();
            async move {
                here.admit(from)?;
                let said: CarriedSaid = decode(&request)?;
                let (reply, taken) = oneshot::channel();
                let event = OverflowEvent::CarriedSaid { from, said, reply };
                here.events.put(Event::Overflow(event)).await;
                Ok(encode(&taken.await.map_err(|_| stopping())?))
            }
        });
        let here = self.clone();
        endpoint.serve(FREE_AGENTS, move |from, request: Bytes| {
            let here = here.clone();
            async move {
                here.admit(from)?;
                let mut free: FreeAgents = decode(&request)?;
                let round_trip = here.member.endpoint().rtt(from).unwrap_or_default();
                if round_trip > here.config.round_trip {
                    // Calls that are carried go on.
                    free.ready.clear();
                }
                let event = OverflowEvent::Neighbour {
                    member: from,
                    round_trip,
                    free,
                };
                here.events.put(Event::Overflow(event)).await;
                Ok(Bytes::new())
            }
        });
    }

    /// Tells the nearest nodes each second who is free here, and which calls are carried with them.
    async fn tell(self) {
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let near = self.near();
            let peers = near.iter().map(|(_, peer)| *peer).collect();
            let (reply, free) = oneshot::channel();
            let event = OverflowEvent::FreeAgents { peers, reply };
            self.events.put(Event::Overflow(event)).await;
            let Ok(free) = free.await else { return };
            for (place, ((round_trip, peer), free)) in near.into_iter().zip(free).enumerate() {
                let reached =
                    place < limits::POOL_NEIGHBOURS && round_trip <= self.config.round_trip;
                if !reached && free.calls.is_empty() {
                    continue;
                }
                let endpoint = self.member.endpoint().clone();
                tokio::spawn(async move {
                    let body = encode(&free);
                    let told = endpoint.rpc(peer, FREE_AGENTS, body, TELL_EVERY).await;
                    if let Err(error) = told {
                        tracing::debug!(%peer, %error, "a node was not told of free agents");
                    }
                });
            }
        }
    }

    /// Other nodes that are connected, the nearest first.
    fn near(&self) -> Vec<(Duration, MemberId)> {
        let me = self.member.id();
        let nodes: Vec<MemberId> = self.member.directory().read(|directory| {
            let nodes = directory.members();
            let nodes = nodes.filter(|m| m.role == MemberRole::Node && !m.removed && m.id != me);
            nodes.map(|m| m.id).collect()
        });
        let endpoint = self.member.endpoint();
        let mut near: Vec<_> = nodes
            .into_iter()
            .filter_map(|peer| Some((endpoint.rtt(peer)?, peer)))
            .collect();
        near.sort_unstable();
        near
    }

    /// Runs errands until the engine is gone.
    async fn run(self, tasks: Tasks, mut errands: mpsc::Receiver<Errand>) {
        while let Some(errand) = errands.recv().await {
            tasks.spawn("overflow_errand", self.clone().errand(errand));
        }
    }

    async fn errand(self, errand: Errand) {
        let event = match errand {
            Errand::Offer {
                to,
                attempt,
                offer,
                deadline,
            } => {
                let call = offer.call;
                let answer = match self.member.may_know(offer.lead.lead.region(), to) {
                    true => self.ask(to, &offer, deadline).await,
                    false => Some(OverflowAnswer::NotServed),
                };
                OverflowEvent::OfferAnswered {
                    from: to,
                    attempt,
                    call,
                    answer,
                }
            }
            Errand::Say { to, said, token } => {
                let deadline = match said.word {
                    CarriedWord::Disposed { .. } => DISPOSITION,
                    _ => WORD,
                };
                let endpoint = self.member.endpoint();
                let urgent = Priority::Urgent;
                let told = endpoint
                    .rpc_with(to, CARRIED_WORD, encode(&said), deadline, urgent)
                    .await;
                if let Err(error) = &told {
                    tracing::debug!(%to, call = %said.call, %error, "a word of a carried call was lost");
                }
                let taken = told.is_ok_and(|answer| decode(&answer).unwrap_or(false));
                OverflowEvent::WordTold {
                    to,
                    said,
                    token,
                    taken,
                }
            }
        };
        self.events.put(Event::Overflow(event)).await;
    }

    async fn ask(
        &self,
        to: MemberId,
        offer: &OverflowOffer,
        deadline: Duration,
    ) -> Option<OverflowAnswer> {
        let endpoint = self.member.endpoint();
        let urgent = Priority::Urgent;
        let asked = endpoint.rpc_with(to, OVERFLOW_OFFER, encode(offer), deadline, urgent);
        match asked.await {
            Ok(answer) => decode(&answer).ok(),
            // It has not begun, or serves none.
            Err(error) if error.surely_not_done() => Some(OverflowAnswer::NotServed),
            Err(error) => {
                tracing::debug!(%to, %error, "an offer was not answered");
                None
            }
        }
    }

    fn admit(&self, from: MemberId) -> Result<(), ServiceError> {
        let node = self.member.directory().read(|directory| {
            let known = directory.member(from);
            known.is_some_and(|m| m.role == MemberRole::Node && !m.removed)
        });
        match node {
            true => Ok(()),
            false => Err(ServiceError::new(NOT_FOR_YOU, "overflow is for nodes")),
        }
    }
}

fn stopping() -> ServiceError {
    ServiceError::new(STOPPING, "this node is stopping")
}
